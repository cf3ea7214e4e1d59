"""Values that both sides changed: listed, and settled one by one or many by a rule."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from app.engine import resolve
from app.store import browse
from app.store.browse import Listed
from app.store.journal import pointer
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.models import BigNumber, Model
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import responses

router = APIRouter(prefix="/v1/conflicts", route_class=Guarded, tags=["conflicts"])
AT_ONCE: Final = 500
"""Conflicts that one request settles."""


class ConflictInfo(BaseModel):
    """Both sides changed one value since they last agreed."""

    id: int
    at: datetime | None
    person: str
    name: str
    connection: str
    path: str = Field(description="A JSON pointer; empty: the whole person.", examples=["/phones/p1/number"])
    ours: Any
    theirs: Any
    kept: Literal["ours", "theirs", "ask"]
    open: bool


def _info(listed: Listed) -> ConflictInfo:
    c = listed.conflict
    return ConflictInfo(
        id=c.id,
        at=c.at,
        person=c.uid,
        name=c.name,
        connection=c.connection,
        path=pointer(c.path),
        ours=c.ours,
        theirs=c.theirs,
        kept=c.kept,
        open=listed.open,
    )


@router.get("", **rule("conflicts:read"), responses=responses(401, 403, 422))
def list_conflicts(
    here: Here,
    state: Literal["open", "all"] = "open",
    person: Annotated[str | None, Query(max_length=64, description="A person's uid.")] = None,
    connection: Annotated[str | None, Query(max_length=64)] = None,
    field: Annotated[str | None, Query(max_length=64, description="Of the card: emails.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ConflictInfo]:
    """Conflicts, newest first; by default those that wait for a human."""
    before = place(cursor)
    with here.store.read() as unit:
        found = browse.clashes(
            unit,
            only_open=state == "open",
            person=person,
            connection=connection,
            field=field,
            before=before,
            limit=limit + 1,
        )
    return page(found, limit, lambda row: row.conflict.id, _info)


def _read(here: Here, id_: int) -> ConflictInfo:
    with here.store.read() as unit:
        found = browse.clashes(unit, only_open=False, ids=[id_], limit=1)
    if not found:
        raise LookupError(f"there is no conflict {id_}")
    return _info(found[0])


@router.get("/{id}", **rule("conflicts:read"), responses=responses(401, 403, 404, 422))
def show_conflict(here: Here, id: BigNumber) -> ConflictInfo:  # noqa: A002
    """One conflict."""
    return _read(here, id)


class Decision(Model):
    """Whose value it shall be, or which; null clears."""

    side: Literal["ours", "theirs"] | None = None
    value: Any = Field(default=None, description="A value that neither side had.", examples=["+49 30 1234567"])

    @model_validator(mode="after")
    def _one_of_them(self) -> Decision:
        if (self.side is None) == ("value" not in self.model_fields_set):
            raise ValueError("say either side or value")
        return self


@router.post("/{id}/resolution", **rule("conflicts:write"), responses=responses(401, 403, 404, 409, 413, 422))
def resolve_conflict(here: Here, who: Who, note: Noted, id: BigNumber, body: Decision) -> ConflictInfo:  # noqa: A002
    """Settle one. The next sync carries the decision everywhere."""
    note.detail = {"side": body.side or "value"}
    world = here.world()
    if body.side is not None:
        resolve.decide(world, id, body.side, who.name)
    else:
        resolve.decide_by_value(world, id, body.value, who.name)
    return _read(here, id)


class Sweep(Model):
    """Which of the open conflicts, and whose values win in them. What is left out does not choose."""

    side: Literal["ours", "theirs"]
    connection: str | None = Field(default=None, max_length=64)
    field: str | None = Field(default=None, max_length=64, examples=["phones"])
    person: str | None = Field(default=None, max_length=64)
    ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] | None = Field(default=None, max_length=AT_ONCE)


class Unsettled(BaseModel):
    """A conflict that could not be settled so."""

    id: int
    reason: str


class Swept(BaseModel):
    """What became of them. more: there are others that the rule fits; send it again."""

    settled: int
    failed: list[Unsettled]
    more: bool


@router.post("/resolutions", **rule("conflicts:write"), responses=responses(401, 403, 409, 413, 422))
def resolve_conflicts(here: Here, who: Who, note: Noted, body: Sweep) -> Swept:
    """Settle many by a rule, each by itself."""
    with here.store.read() as unit:
        found = browse.clashes(
            unit,
            person=body.person,
            connection=body.connection,
            field=body.field,
            ids=body.ids,
            limit=AT_ONCE + 1,
        )
    world, failed = here.world(), []
    chosen = [row.conflict.id for row in found[:AT_ONCE]]
    for id_ in chosen:
        try:
            resolve.decide(world, id_, body.side, who.name)
        except (LookupError, ValueError) as error:
            failed.append(Unsettled(id=id_, reason=str(error)))
    swept = Swept(settled=len(chosen) - len(failed), failed=failed, more=len(found) > AT_ONCE)
    note.detail = {**body.model_dump(exclude_none=True, exclude={"ids"}), "settled": swept.settled}
    return swept
