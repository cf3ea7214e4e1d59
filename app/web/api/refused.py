"""What could not be taken in, or not be written: with its reason, to be tried again or left."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.engine import look, resolve
from app.secrets import redact
from app.store import overview
from app.store.overview import SetAside
from app.web.acts import Guarded, Here, Noted, rule
from app.web.api.runs import pair
from app.web.paging import Cursor, Limit, Page, cursor_of, page, place
from app.web.problems import responses

router = APIRouter(prefix="/v1/refused", route_class=Guarded, tags=["refused"])
Id = Annotated[str, Path(max_length=2_000, description="As listed.")]


class RefusedInfo(BaseModel):
    """One thing that was set aside."""

    id: str
    connection: str
    direction: Literal["in", "out"] = Field(description="in: a record of the remote; out: a person of ours.")
    record: str | None
    person: str | None
    name: str | None
    reason: str
    at: datetime


def _info(found: SetAside) -> RefusedInfo:
    came = found.direction == "in"
    return RefusedInfo(
        id=cursor_of([found.connection, found.direction, found.key]),
        connection=found.connection,
        direction=found.direction,
        record=found.key if came else None,
        person=None if came else found.key,
        name=found.name,
        reason=redact(None, "", found.reason),
        at=found.at,
    )


@router.get("", **rule("refused:read"), responses=responses(401, 403, 422))
def list_refused(
    here: Here,
    connection: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RefusedInfo]:
    """What was set aside, by connection."""
    after = pair(place(cursor, list), 3)
    with here.store.read() as unit:
        found = overview.set_aside(unit, connection=connection, after=after, limit=limit + 1)
    return page(found, limit, lambda row: [row.connection, row.direction, row.key], _info)


class Retried(BaseModel):
    """What came of it. reason: why it is refused still, where it was tried at once."""

    taken: bool | None = Field(description="null: it is tried with the next sync.")
    reason: str | None = None


@router.post("/{id}/retry", **rule("refused:write"), responses=responses(401, 403, 404, 409, 422, 502, 503))
def retry_refused(here: Here, note: Noted, id: Id) -> Retried:  # noqa: A002
    """Try again: a record is read anew at once, a person is written with the next sync."""
    connection, direction, key = _parts(id)
    note.target, note.detail = f"connections/{connection}", {direction: key}
    if direction == "out":
        resolve.retry_push(here.world(), connection, key)
        return Retried(taken=None)
    reason = look.read_again(here.world(), connection, key)
    return Retried(taken=reason is None, reason=redact(None, "", reason))


@router.post("/{id}/ignore", status_code=204, **rule("refused:write"), responses=responses(401, 403, 404, 409, 422))
def ignore_refused(here: Here, note: Noted, id: Id) -> None:  # noqa: A002
    """Leave it: a record is not heard of until it changes there, a person is not written there."""
    connection, direction, key = _parts(id)
    note.target, note.detail = f"connections/{connection}", {direction: key}
    (resolve.leave_out if direction == "out" else resolve.forget_refusal)(here.world(), connection, key)


def _parts(id_: str) -> tuple[str, str, str]:
    try:
        found = pair(orjson.loads(base64.urlsafe_b64decode(id_.encode())), 3)
    except (ValueError, TypeError, binascii.Error):
        found = None
    if found is None or found[1] not in ("in", "out"):
        raise LookupError("nothing of this id was set aside")
    return found[0], found[1], found[2]
