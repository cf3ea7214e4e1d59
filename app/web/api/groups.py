"""Groups, lists, labels: what they are called, who is in which."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, Field

from app.engine import groups as acts
from app.store import browse, groups
from app.store.groups import Group
from app.store.store import Unit
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.api.people import Brief, brief
from app.web.etags import ETAG, revision
from app.web.models import Model
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import Failure, responses

router = APIRouter(prefix="/v1/groups", route_class=Guarded, tags=["groups"])
KNOWN = (401, 403, 404)
GroupId = Annotated[
    str, Path(max_length=64, description="The group's id.", examples=["5d1f6f1e-2a3b-4c5d-8e9f-1a2b3c4d5e6f"])
]


class GroupInfo(BaseModel):
    """A group. However its name is written, it is one."""

    id: str = Field(
        description="Minted once, never used again. One of a group that was joined with another leads to that.",
        examples=["5d1f6f1e-2a3b-4c5d-8e9f-1a2b3c4d5e6f"],
    )
    rev: int = Field(description="How often it was renamed; the ETag.", examples=[1])
    name: str = Field(examples=["Customers"])
    people: int = Field(description="How many living persons are in it.", examples=[12])
    created: datetime


@router.get("", **rule("groups:read"), responses=responses(401, 403, 422))
def list_groups(
    here: Here,
    name: Annotated[str, Query(max_length=320, description="In the name.", examples=["customer"])] = "",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[GroupInfo]:
    """Groups, by name; those too that nobody is in any more."""
    with here.store.read() as unit:
        found = groups.listing(unit, name=name, after=place(cursor, str) or "", limit=limit + 1)
        sizes = groups.sizes(unit, found[:limit])
    return page(found, limit, lambda group: group.key, lambda group: _info(group, sizes[group.id]))


@router.get("/{id}/members", **rule("groups:read"), responses=responses(*KNOWN, 422))
def list_members(here: Here, id: GroupId, limit: Limit = 50, cursor: Cursor = None) -> Page[Brief]:  # noqa: A002
    """Who is in a group, in the order in which they became known."""
    after = place(cursor) or 0
    with here.store.read() as unit:
        group = acts.find(unit, id)
        found = browse.persons(unit, group=group.name, after=after, limit=limit + 1)
    return page(found, limit, lambda row: row.person.id, brief)


@router.get("/{id}", **rule("groups:read"), responses={**responses(*KNOWN), **ETAG})
def show_group(here: Here, response: Response, id: GroupId) -> GroupInfo:  # noqa: A002
    """A group. The id of one that was joined with another shows that other, with its own id."""
    with here.store.read() as unit:
        return _shown(unit, acts.find(unit, id), response)


class Renaming(Model):
    """What the group shall be called."""

    name: str = Field(min_length=1, max_length=acts.LONGEST, pattern=r"\S", examples=["Clients"])
    merge: bool = Field(
        default=False,
        description="If there is a group of that name already, make the two one. The older id stays, the other leads "
        "to it. This cannot be undone by a rename.",
    )


@router.patch("/{id}", **rule("groups:write"), responses={**responses(*KNOWN, 409, 412, 413, 422, 428), **ETAG})
def rename_group(
    here: Here,
    who: Who,
    note: Noted,
    response: Response,
    id: GroupId,  # noqa: A002
    body: Renaming,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that was read.")] = None,
) -> GroupInfo:
    """Call a group otherwise: on everybody's card at once, in every connected system with its next sync."""
    if if_match is None:
        raise Failure(428, "send the ETag of the group as you read it: If-Match")
    done = acts.rename(here.world(), id, body.name, who.name, merge=body.merge, rev=revision(if_match))
    note.detail = {"people": done.people, "joined": done.joined}
    with here.store.read() as unit:
        return _shown(unit, done.group, response)


@router.delete("/{id}", status_code=204, **rule("groups:write"), responses=responses(*KNOWN, 409, 412, 422))
def remove_group(
    here: Here,
    who: Who,
    note: Noted,
    id: GroupId,  # noqa: A002
    if_match: Annotated[str | None, Header(max_length=200, description="Only if it is as it was read.")] = None,
) -> None:
    """Remove a group. Who was in it leaves it, here and in every connected system, and lives on."""
    rev = revision(if_match) if if_match is not None else None
    note.detail = {"people": acts.remove(here.world(), id, who.name, rev=rev).people}


def _shown(unit: Unit, group: Group, response: Response) -> GroupInfo:
    response.headers["etag"] = f'"{group.rev}"'
    return _info(group, groups.sizes(unit, [group])[group.id])


def _info(group: Group, people: int) -> GroupInfo:
    return GroupInfo(id=group.uid, rev=group.rev, name=group.name, people=people, created=group.created)
