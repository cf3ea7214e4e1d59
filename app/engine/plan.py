"""What a run would do, found out by doing it: remotes are read, the real code takes everything in, what would be
written is listed, and the transaction is rolled back. So a plan cannot disagree with the run that follows it."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from app.core.consent import of_json
from app.engine.pull import Listing, gather, settle_some, take_page, too_much
from app.engine.push import Task, prepare
from app.engine.run import find, session_for, telling_of, told
from app.engine.world import Session, Tally, Unusable, World
from app.store import connections, journal, links, outbox, people, runs
from app.store.connections import Connection
from app.store.store import StoreFull, Unit, Unopenable
from connectors.card import Card, Path, full_name, leaves
from connectors.contract import Page, Record
from connectors.errors import CursorExpired, Error

log = logging.getLogger(__name__)

Action = Literal["link", "create", "update", "delete"]
STEP = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that would happen to one person in one connection. values: [(path, before, after)]."""

    connection: str
    action: Action
    person: str
    name: str
    record: str | None = None
    values: list[tuple[str, Any, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Forecast:
    """What would happen to one connection.

    losses: records there whose deletions or blanks would be taken over; held: the brake would stop the run.
    aside: persons who would not be made, since a record that cannot be read may be theirs.
    cannot_hold: {field: persons who have it and would not show it there}. requests: estimated for the writes.
    failed: why the connection could not be opened or read; then nothing of it is known.
    """

    connection: str
    first: bool
    records: int = 0
    people: int = 0
    linked: int = 0
    updated: int = 0
    conflicts: int = 0
    refused: int = 0
    losses: int = 0
    held: str | None = None
    creates: int = 0
    updates: int = 0
    deletes: int = 0
    aside: int = 0
    requests: int = 0
    cannot_hold: dict[str, int] = field(default_factory=dict)
    failed: str | None = None


@dataclass(slots=True)
class Plan:
    """A forecast for each connection, and every single thing that would happen. id: of the stored plan."""

    forecasts: list[Forecast]
    items: list[Item]
    id: int = 0

    def as_json(self) -> dict[str, Any]:
        rows = [{name: getattr(f, name) for name in Forecast.__slots__} for f in self.forecasts]
        items = [{name: getattr(item, name) for name in Item.__slots__} for item in self.items]
        return {"id": self.id, "connections": rows, "items": items}


def make(world: World, names: Sequence[str]) -> Plan:
    """Find out what syncing these connections would do, here and in every other connection. Changes nothing.

    A connection that cannot be opened or read stops only itself: its forecast says why. Where it is the only one that
    was asked for, that is raised. Raises LookupError for an unknown name.
    """
    with ExitStack() as stack:
        with world.store.read() as unit:
            known = connections.every(unit)
        wanted = [find(world, name) for name in names]
        asked = {connection.id for connection in wanted}
        sessions: dict[int, Session] = {}
        gathered: dict[int, Gathered] = {}
        failed: list[Forecast] = []
        for c in known:
            if c.id not in asked and c.state != "active":
                continue
            try:
                session = stack.enter_context(session_for(world, c, Tally()))
                gathered[c.id] = _gather(session) if c.id in asked else []
                session.connector.fit({}, None)  # who must ask once what there are places for does not ask in a unit
                sessions[c.id] = session
            except Exception as error:
                failed.append(Forecast(c.name, c.state == "new", failed=_why(error, c.name, alone=asked == {c.id})))
        with world.store.trial() as unit:
            made = _rehearse(unit, sessions, [c for c in wanted if c.id in sessions], gathered)
    made.forecasts = sorted(made.forecasts + failed, key=lambda forecast: forecast.connection)
    return made


def _why(error: Exception, name: str, *, alone: bool) -> str:
    """Why a connection is not in the plan, in words. Raises what is no trouble of this connection, and all that is
    where nothing but it was asked for."""
    if isinstance(error, StoreFull | Unopenable):
        raise error
    if isinstance(error, Error | Unusable):
        if alone:
            with telling_of(name):
                raise error
        return told(error, name)
    if alone:
        raise error
    log.error("%s cannot be planned", name, exc_info=error)
    return f"this should not happen ({type(error).__name__}); the log has the details"


Gathered = list[tuple[Page, list[Record]]]


def _gather(session: Session) -> Gathered:
    """All that the remote has to say, read before any transaction begins."""

    def read(cursor: Any) -> Gathered:
        pages = []
        for page in session.connector.changes(cursor):
            pages.append((page, gather(session, page)))
            session.progress("read", sum(len(records) for _, records in pages), page.total)
        return pages

    try:
        return read(session.connection.cursor)
    except CursorExpired:
        return read(None)


def _rehearse(
    unit: Unit,
    sessions: dict[int, Session],
    wanted: Sequence[Connection],
    gathered: dict[int, Gathered],
) -> Plan:
    forecasts = {id_: Forecast(s.connection.name, s.connection.state == "new") for id_, s in sessions.items()}
    items: list[Item] = []
    for connection in wanted:
        if connection.state == "new":
            connections.update(unit, connection.id, state="active")
            outbox.owe_everybody(unit, connection.id)
    for connection in wanted:
        _take_in(unit, sessions[connection.id], gathered[connection.id], forecasts[connection.id])
    for connection in wanted:
        if connection.state == "new":
            items += _met(unit, connection)
    for id_, session in sessions.items():
        items += _would_write(unit, session, forecasts[id_])
    return Plan([*forecasts.values()], items)


def _take_in(unit: Unit, session: Session, pages: Iterable[tuple[Page, list[Record]]], forecast: Forecast) -> None:
    listing = Listing(set())
    for page, records in pages:
        take_page(session, unit, page, records, listing)
    forecast.losses = runs.count_parked(unit, session.id)
    forecast.held = too_much(session, unit, forecast.losses)
    if not forecast.held:
        after = ""
        while parked := runs.parked(unit, session.id, after=after, limit=STEP):
            settle_some(session, unit, parked)
            after = max(parked)
    tally = session.tally
    forecast.records, forecast.people, forecast.linked = tally.pulled, tally.people, tally.linked
    forecast.updated, forecast.conflicts, forecast.refused = tally.updated, tally.conflicts, tally.refused


def _met(unit: Unit, connection: Connection) -> list[Item]:
    """Records of a new connection that turn out to be persons whom others know."""
    found = links.shared(unit, connection.id)
    persons = people.load(unit, [person for _, person in found])
    return [
        Item(connection.name, "link", persons[person].uid, full_name(persons[person].card), record)
        for record, person in found
    ]


def _would_write(unit: Unit, session: Session, forecast: Forecast) -> list[Item]:
    items: list[Item] = []
    lacking: Counter[str] = Counter()
    after = 0
    outbox.rouse(unit, session.id)
    while due := outbox.due(unit, session.id, "owed", after=after, limit=STEP):
        after = due[-1].person_id
        prepared = prepare(session, unit, [push.person_id for push in due])
        forecast.aside += len(prepared.aside)
        for task in prepared.tasks:
            items.append(_item(session, task))
            if task.owed is not None:
                lacking.update(_lacking(task.person.card, task.owed.card))
    counts = Counter(item.action for item in items)
    forecast.creates, forecast.updates, forecast.deletes = counts["create"], counts["update"], counts["delete"]
    size = session.connector.capabilities.batch
    forecast.requests = sum(math.ceil(number / size) for number in counts.values())
    forecast.cannot_hold = dict(sorted(lacking.items()))
    return items


def _item(session: Session, task: Task) -> Item:
    person = task.person
    name, record = full_name(person.card), task.link.remote_id if task.link else None
    if task.owed is None:
        return Item(session.connection.name, "delete", person.uid, name, record)
    before = leaves(task.link.seen) if task.link else {}
    after = leaves(task.owed.card)
    values = [
        (journal.pointer(path), before.get(path), after.get(path)) for path in sorted(task.owed.paths) if _shown(path)
    ]
    places = {place[:2]: place.state for place in of_json(task.link.consents)} if task.link else {}
    values += [
        (journal.pointer(("consent", c.channel, c.address)), places.get((c.channel, c.address)), c.state)
        for c in task.consents
    ]
    return Item(session.connection.name, "update" if task.link else "create", person.uid, name, record, values)


def _shown(path: Path) -> bool:
    return path[-1] != "concord:slot"


def _lacking(card: Card, held: Card) -> set[str]:
    """The fields of which the system would hold less than the card has."""
    return {name for name, value in card.items() if isinstance(value, dict) and len(held.get(name, ())) < len(value)}


def save(world: World, plan: Plan) -> Plan:
    """Keep the plan, for approval later."""
    with world.store.begin(durable=True) as unit:
        plan.id = runs.save_plan(unit, plan.as_json())
    return plan


def approve(world: World, names: Sequence[str], *, hold: Sequence[str] = ()) -> None:
    """Allow these connections their first contact. hold: uids of persons that shall not be written to them."""
    wanted = [find(world, name) for name in names]
    with world.store.begin(durable=True) as unit:
        held = [people.by_uid(unit, uid) for uid in hold]
        if None in held:
            raise LookupError(f"no person has the uid {hold[held.index(None)]!r}")
        for connection in wanted:
            if connection.state == "new":
                connections.update(unit, connection.id, state="active")
                outbox.owe_everybody(unit, connection.id)
            outbox.hold(unit, connection.id, [person.id for person in held if person is not None])
