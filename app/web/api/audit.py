"""Who did what when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.store import audit
from app.store.audit import UNDER_WAY, Act
from app.web.acts import Guarded, Here, rule
from app.web.models import Moment
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import responses

router = APIRouter(prefix="/v1/audit", route_class=Guarded, tags=["audit"])


class ActInfo(BaseModel):
    """One act."""

    id: int
    at: datetime
    actor: str = Field(examples=["ann"])
    address: str = Field(description='Where from; "" is the terminal.')
    token_id: int | None
    action: str = Field(description="The operation's id.", examples=["pause_connection"])
    target: str = Field(examples=["connections/crm"])
    status: int | None = Field(description="The HTTP status of the answer; null: it never came, or is under way.")
    detail: dict[str, Any]


def _info(act: Act) -> ActInfo:
    given = {name: getattr(act, name) for name in ActInfo.model_fields}
    return ActInfo(**{**given, "status": None if act.status == UNDER_WAY else act.status})


@router.get("", **rule("audit:read"), responses=responses(401, 403, 422))
def list_acts(
    here: Here,
    actor: Annotated[str | None, Query(max_length=64)] = None,
    action: Annotated[str | None, Query(max_length=64)] = None,
    target: Annotated[str | None, Query(max_length=200)] = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ActInfo]:
    """Acts, newest first. Reading is no act, but for exports."""
    with here.store.read() as unit:
        found = audit.listing(
            unit,
            actor=actor,
            action=action,
            target=target,
            since=since,
            until=until,
            before=place(cursor),
            limit=limit + 1,
        )
    return page(found, limit, lambda act: act.id, _info)
