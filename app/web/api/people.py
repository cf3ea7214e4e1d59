"""The persons: found, read, edited, explained, forgotten."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.core.consent import fold
from app.engine import privacy, resolve
from app.engine.run import find
from app.store import browse, connections, journal, links, people
from app.store.browse import Found
from app.store.journal import Change, path_of, pointer
from app.store.people import Person
from app.store.store import Unit
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.etags import ETAG, revision
from app.web.models import Card, Model, Moment, Pointer, Uid
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import Failure, responses
from connectors.card import Equivalence, Path, full_name, leaves

router = APIRouter(prefix="/v1/people", route_class=Guarded, tags=["people"])
KNOWN = (401, 403, 404)
STATES: dict[str, tuple[people.State, ...]] = {
    "live": ("live",),
    "archived": ("archived", "deleted"),
    "erased": ("erased",),
    "all": ("live", "archived", "deleted", "erased"),
}


class Brief(BaseModel):
    """A person in a listing."""

    uid: str
    rev: int
    state: Literal["live", "archived", "deleted", "erased"]
    name: str
    updated: datetime
    card: Card


class LinkInfo(BaseModel):
    """A person's record in a connection."""

    connection: str
    record: str
    state: Literal["live", "gone"]
    shows: Card
    modified: datetime | None
    written: datetime | None


class PersonInfo(BaseModel):
    """A person: the card, and the records that show it."""

    uid: str
    rev: int = Field(description="How often the card changed; the ETag.")
    state: Literal["live", "archived", "deleted", "erased"]
    name: str
    card: Card
    links: list[LinkInfo]


def brief(found: Found) -> Brief:
    p = found.person
    name = full_name(p.card)
    return Brief(uid=p.uid, rev=p.rev, state=p.state, name=name, card=dict(p.card), updated=found.updated)


def person_of(unit: Unit, uid: str) -> Person:
    """The person with exactly this uid; raises LookupError."""
    person = people.by_uid(unit, uid)
    if person is None or person.uid != uid:
        raise LookupError(f"no person has the uid {uid!r}")
    return person


@router.get("", **rule("people:read"), responses=responses(401, 403, 404, 422))
def list_people(
    here: Here,
    search: Annotated[str, Query(max_length=320, description="Part of the name, or an address or number.")] = "",
    state: Literal["live", "archived", "erased", "all"] = "live",
    group: Annotated[str, Query(max_length=320, description="In the group of this name.")] = "",
    connection: Annotated[str | None, Query(max_length=64, description="With a record there.")] = None,
    updated_since: Moment | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Brief]:
    """Persons, in the order in which they became known."""
    world = here.world()
    within = find(world, connection).id if connection is not None else None
    after = place(cursor) or 0
    with here.store.read() as unit:
        found = browse.persons(
            unit,
            text=search,
            found_by=_spelled(search, world.eq),
            states=STATES[state],
            group=group,
            connection=within,
            since=updated_since,
            after=after,
            limit=limit + 1,
        )
    return page(found, limit, lambda row: row.person.id, brief)


def _spelled(text: str, eq: Equivalence) -> set[tuple[str, str]]:
    """What the text is as the key of an address or number."""
    return {("email", fold("email", text, eq)), ("phone", fold("phone", text, eq))} if text else set()


# --- one person; a uid may hold slashes, so what follows it comes first


class ChangeInfo(BaseModel):
    """One row of the journal."""

    at: datetime | None
    by: str = Field(description="The connection, or the human.")
    connection: str | None
    run: int | None
    path: str = Field(description="A JSON pointer; empty: the whole person.")
    before: Any
    after: Any
    reason: str | None = Field(
        description="What was done to many at once; null: it was done to this person.",
        examples=["the group Customers was renamed to Clients"],
    )


def _change(change: Change, names: dict[int, str]) -> ChangeInfo:
    return ChangeInfo(
        at=change.at,
        by=change.actor,
        connection=names.get(change.connection_id) if change.connection_id is not None else None,
        run=change.run_id,
        path=pointer(change.path),
        before=change.before,
        after=change.after,
        reason=change.reason,
    )


def _names(unit: Unit) -> dict[int, str]:
    return {connection.id: connection.name for connection in connections.every(unit)}


@router.get("/{uid:path}/history", **rule("people:read"), responses=responses(*KNOWN, 422))
def list_history(here: Here, uid: Uid, limit: Limit = 50, cursor: Cursor = None) -> Page[ChangeInfo]:
    """Everything that happened to a person, newest first."""
    with here.store.read() as unit:
        names, person = _names(unit), person_of(unit, uid)
        found = browse.history(unit, person.id, before=place(cursor), limit=limit + 1)
    return page(found, limit, lambda row: row[0], lambda row: _change(row[1], names))


class Origin(BaseModel):
    """A value of the card and how it came to be there."""

    path: Pointer
    value: Any
    origin: ChangeInfo | None = Field(description="The last change of this value; null: older than the journal.")


@router.get("/{uid:path}/lineage", **rule("people:read"), responses=responses(*KNOWN))
def show_lineage(here: Here, uid: Uid) -> list[Origin]:
    """Why each value is here: who brought it, from where, when."""
    with here.store.read() as unit:
        names, person = _names(unit), person_of(unit, uid)
        last: dict[Path, tuple[int, Change]] = {
            change.path: (number, change) for number, change in enumerate(journal.history(unit, person.id))
        }
    return [
        Origin(path=pointer(path), value=value, origin=_change(found[1], names) if found else None)
        for path, value in leaves(person.card).items()
        for found in [max((last[p] for p in _prefixes(path) if p in last), default=None, key=lambda row: row[0])]
    ]


def _prefixes(path: Path) -> list[Path]:
    return [path[:length] for length in range(len(path) + 1)]


class Standing(BaseModel):
    """What holds for one way of contacting a person."""

    channel: Literal["email", "phone", "sms", "post"]
    address: str = Field(description="Folded; empty: the whole channel.")
    state: str = Field(examples=["withdrawn"])
    since: datetime | None


class Said(BaseModel):
    """One entry of the ledger."""

    at: datetime
    by: str
    channel: Literal["email", "phone", "sms", "post"]
    address: str
    state: str
    basis: str
    evidence: dict[str, str]


class ConsentInfo(BaseModel):
    """What holds, and everything that was ever said."""

    uid: str
    name: str
    holds: list[Standing]
    said: list[Said]


@router.get("/{uid:path}/consent", **rule("consent:read"), responses=responses(*KNOWN))
def show_consent(here: Here, uid: Uid) -> ConsentInfo:
    """May this person be contacted, and what is that founded on?"""
    _exact(here, uid)
    return ConsentInfo.model_validate(privacy.standing(here.world(), uid))


class NewConsent(Model):
    """What a person said."""

    channel: Literal["email", "phone", "sms", "post"] = "email"
    address: str = Field(
        default="", max_length=320, description="Only this address or number; empty: the whole channel."
    )
    state: Literal["granted", "withdrawn"]
    words: str = Field(
        min_length=1,
        max_length=2_000,
        pattern=r"\S",
        description="In what way it was said; of an opt-in: what proves it.",
        examples=["signed form of 2026-03-01, folder 7"],
    )
    at: Moment | None = Field(default=None, description="When; by default, now.")


@router.post(
    "/{uid:path}/consent", status_code=201, **rule("consent:write"), responses=responses(*KNOWN, 409, 413, 422)
)
def record_consent(here: Here, who: Who, note: Noted, uid: Uid, body: NewConsent) -> ConsentInfo:
    """Record an opt-out, or an opt-in with its evidence. Every system with a place for it is told."""
    _exact(here, uid)
    note.detail = {"channel": body.channel, "state": body.state, "whole_channel": not body.address}
    world = here.world()
    privacy.say(world, uid, body.channel, body.address, body.state, body.words, who.name, body.at)
    return ConsentInfo.model_validate(privacy.standing(world, uid))


class LineInfo(BaseModel):
    """One line of a purchase. Numbers are decimals, as texts."""

    text: str
    item: str | None
    quantity: str | None
    price: str | None
    amount: str | None


class PurchaseInfo(BaseModel):
    """Something that the person bought, or was credited."""

    connection: str
    id: str
    record: str
    kind: Literal["invoice", "receipt", "credit"]
    number: str
    date: str | None
    total: str = Field(description="A decimal, with tax.", examples=["119.00"])
    currency: str
    state: Literal["draft", "open", "paid", "void"]
    lines: list[LineInfo]


@router.get("/{uid:path}/purchases", **rule("people:read"), responses=responses(*KNOWN))
def list_purchases(here: Here, uid: Uid) -> list[PurchaseInfo]:
    """What the person bought, newest first, as the books tell."""
    with here.store.read() as unit:
        found = privacy.bought(unit, person_of(unit, uid))
    return [PurchaseInfo.model_validate(purchase) for purchase in found]


@router.get("/{uid:path}/data", **rule("people:export", recorded=True), responses=responses(*KNOWN))
def export_data(here: Here, uid: Uid) -> JSONResponse:
    """Everything that is held on the person, for the person (GDPR, articles 15 and 20)."""
    _exact(here, uid)
    name = re.sub(r"[^A-Za-z0-9-]", "-", uid)
    headers = {"content-disposition": f'attachment; filename="{name}.json"'}
    return JSONResponse(jsonable_encoder(privacy.everything(here.world(), uid)), headers=headers)


class StepInfo(BaseModel):
    """What becomes of one record of the person."""

    connection: str
    record: str
    what: str = Field(examples=["erased by the next sync"])


class Erasure(BaseModel):
    """What erasing does, or did."""

    uid: str
    erased: bool
    records: list[StepInfo]


@router.get("/{uid:path}/erasure", **rule("people:read"), responses=responses(*KNOWN))
def plan_erasure(here: Here, uid: Uid) -> Erasure:
    """What erasing the person would do. Nothing is changed."""
    return _erasure(uid, _exact(here, uid).state == "erased", privacy.plan(here.world(), uid))


@router.post("/{uid:path}/erasure", **rule("people:erase"), responses=responses(*KNOWN, 409, 422))
def erase_person(here: Here, who: Who, uid: Uid) -> Erasure:
    """Forget a person who asked for it: here at once, in the connected systems with their next sync. For good."""
    _exact(here, uid)
    return _erasure(uid, True, privacy.erase(here.world(), uid, who.name))


def _erasure(uid: str, erased: bool, steps: list[privacy.Step]) -> Erasure:
    rows = [StepInfo(connection=s.connection, record=s.record, what=s.what) for s in steps]
    return Erasure(uid=uid, erased=erased, records=rows)


def _exact(here: Here, uid: str) -> Person:
    with here.store.read() as unit:
        return person_of(unit, uid)


@router.get(
    "/{uid:path}",
    **rule("people:read"),
    response_model=PersonInfo,
    responses={**responses(*KNOWN), **ETAG, 304: {"description": "Not Modified"}},
)
def show_person(
    here: Here,
    response: Response,
    uid: Uid,
    if_none_match: Annotated[str | None, Header(max_length=200)] = None,
) -> PersonInfo | Response:
    """A person: the card, and where it is linked."""
    with here.store.read() as unit:
        person = person_of(unit, uid)
        if if_none_match == _etag(person):
            return Response(status_code=304, headers={"etag": _etag(person)})
        response.headers["etag"] = _etag(person)
        return _person(unit, person)


def _etag(person: Person) -> str:
    return f'"{person.rev}"'


def _person(unit: Unit, person: Person) -> PersonInfo:
    names = _names(unit)
    held = links.of_people(unit, [person.id], state=None)
    shown = [
        LinkInfo(
            connection=names[x.connection_id],
            record=x.remote_id,
            state=x.state,
            shows=dict(x.seen),
            modified=x.modified,
            written=x.written,
        )
        for x in held
    ]
    name = full_name(person.card)
    return PersonInfo(
        uid=person.uid, rev=person.rev, state=person.state, name=name, card=dict(person.card), links=shown
    )


class Edit(Model):
    """New values by their places; null takes a value (or a whole element) away."""

    values: dict[str, Any] = Field(
        min_length=1,
        max_length=1_000,
        description="{JSON pointer into the card: value}",
        examples=[{"/name/given": "Zoë", "/emails/e1/address": "zoe@example.com", "/phones/p2": None}],
    )


@router.patch("/{uid:path}", **rule("people:write"), responses={**responses(*KNOWN, 409, 412, 413, 422, 428), **ETAG})
def edit_person(
    here: Here,
    who: Who,
    note: Noted,
    response: Response,
    uid: Uid,
    body: Edit,
    if_match: Annotated[str | None, Header(max_length=200, description="The ETag that was read.")] = None,
) -> PersonInfo:
    """Change a person here; every connected system hears of it. Who read an older revision is refused (412)."""
    if if_match is None:
        raise Failure(428, "send the ETag of the person as you read it: If-Match")
    note.detail = {"paths": sorted(body.values)[:100]}
    _exact(here, uid)
    person = resolve.edit(here.world(), uid, _values(body.values), who.name, rev=revision(if_match))
    response.headers["etag"] = _etag(person)
    with here.store.read() as unit:
        return _person(unit, person)


def _values(given: dict[str, Any]) -> dict[Path, Any]:
    wrong = [place for place in given if not place.startswith("/")]
    if wrong:
        raise ValueError(f"{wrong[0][:80]!r} is no JSON pointer; write it as in /name/given")
    return {path_of(place): value for place, value in given.items()}
