"""Groups, lists, labels: who is in which."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.store import browse
from app.web.acts import Guarded, Here, rule
from app.web.api.people import Brief, brief
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import responses

router = APIRouter(prefix="/v1/groups", route_class=Guarded, tags=["groups"])


class Group(BaseModel):
    """A group of living persons."""

    name: str = Field(examples=["Customers"])
    people: int


@router.get("", **rule("groups:read"), responses=responses(401, 403))
def list_groups(here: Here) -> list[Group]:
    """All groups, by name, with how many are in them. Capitals make no other group."""
    with here.store.read() as unit:
        return [Group(name=name, people=number) for name, number in browse.groups(unit)]


@router.get("/members", **rule("groups:read"), responses=responses(401, 403, 422))
def list_members(
    here: Here,
    group: Annotated[str, Query(min_length=1, max_length=320, description="The group's name.")],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Brief]:
    """Who is in a group."""
    after = place(cursor) or 0
    with here.store.read() as unit:
        found = browse.persons(unit, group=group, after=after, limit=limit + 1)
    return page(found, limit, lambda row: row.person.id, brief)
