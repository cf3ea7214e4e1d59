"""Reading a connection: page by page, one transaction a page; what takes something away comes last, under the brake."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.core import guard, identity
from app.engine import refusals
from app.engine.intake import Intake, nameless, record_of
from app.engine.world import Session
from app.store import connections, journal, links, outbox, people, runs
from app.store.links import Brief, Link
from app.store.people import Person
from app.store.store import Unit
from connectors.card import problem_id
from connectors.contract import Page, Record, batched
from connectors.errors import CursorExpired

STEP = 500
"""Parked arrivals that are settled in one transaction."""


class Held(Exception):
    """The brake: this run would take too much away. Nothing was taken; the message says what to do."""


@dataclass(slots=True)
class Listing:
    """What a pass over a remote has named so far.

    anew: it starts from nothing although we know records. Only when it is complete does it tell what was deleted
    meanwhile, so no place in its middle is kept: broken off, it starts again.
    """

    named: set[str]
    done: int = 0
    anew: bool = False


def pull(session: Session) -> None:
    """Take in everything that happened since the cursor, then settle what takes something away.

    Raises Held where that is too much to do without asking.
    """
    try:
        named = _read(session, session.connection.cursor)
    except CursorExpired:
        named = _read(session, None)
    _look_after(session, named)
    with session.store.read() as unit:
        waiting = runs.count_parked(unit, session.id)
    if waiting:
        brake(session, waiting)
        settle(session)


def _read(session: Session, cursor: Any) -> set[str]:
    """Take in every page since the cursor; what they named."""
    with session.store.read() as unit:
        listing = Listing(set(), anew=cursor is None and links.count(unit, session.id) > 0)
    pages = iter(session.connector.changes(cursor))
    while True:
        with session.world.watch("page", {}) as tell:
            page = next(pages, None)
            if page is None:
                break
            cursor = page.cursor or cursor
            records = gather(session, page)
            with session.store.begin() as unit:
                take_page(session, unit, page, records, listing)
            tell("records", len(records))
        session.world.at("pull.page")
        session.progress("pull", listing.done, page.total)
    if listing.anew:
        with session.store.begin() as unit:
            session.fence(unit)
            connections.update(unit, session.id, cursor=cursor)
    return listing.named


def _look_after(session: Session, named: set[str]) -> None:
    """Read what we made since the last run read, and no page named: where deletions are counted, or are the difference
    of two states, nothing tells of one that came before the record was ever shown. Where reads lag, who is gone cannot
    be told from who is not shown yet."""
    if session.connector.capabilities.lag or session.run_id is None:
        return
    with session.store.read() as unit:
        since = runs.made_since(unit, session.id, session.run_id)
        made = links.written_since(unit, session.id, since) - named if since else set()
    for batch in batched(sorted(made), STEP):
        records = [*session.connector.read(batch)]
        with session.store.begin() as unit:
            session.fence(unit)
            intake = Intake(session, unit)
            intake.take(records)
            intake.flush()
        session.world.at("pull.page")


def gather(session: Session, page: Page) -> list[Record]:
    """The page's records, and those of which it only says that they are there, where there is something to be read."""
    records = list(page.records)
    listed = {remote: version for remote, version in page.listed.items() if not problem_id(remote)}
    if listed:
        with session.store.read() as unit:
            known = links.briefs(unit, session.id, listed)
            back = any(link.state == "gone" for link in known.values())
            asked = runs.refused_ids(unit, session.id) if back else set()
        unread = [r for r, version in listed.items() if _is_unread(known.get(r), version, asked)]
        for batch in batched(unread, STEP):
            records += session.connector.read(batch)
    return records


def _is_unread(link: Brief | None, version: str | None, asked: Set[str]) -> bool:
    """Is there anything to be read? version: None where the listing tells none. asked: of these a human has to say what
    they are.

    Of an unproven write we know the version, and not what became of it. Whoever was deleted and is there again, out of
    a bin, say, has to be looked at, although the record be as it was.
    """
    if link is None:
        return version is not None
    if link.state == "gone" and link.remote_id not in asked:
        return True
    return version is not None and (link.version != version or link.digest is None)


def take_page(session: Session, unit: Unit, page: Page, records: list[Record], listing: Listing) -> None:
    """Store what a page brought, and the cursor that stands for it."""
    session.fence(unit)
    intake = Intake(session, unit)
    intake.take(records)
    intake.flush()
    listing.named.update(page.listed)
    nameless_ones = {nameless(remote): reason for remote in page.listed if (reason := problem_id(remote))}
    refusals.keep(unit, session.id, nameless_ones, {}, session.world.eq)
    listing.named.update(record.id for record in records)
    listed = {remote for remote in page.listed if not problem_id(remote)}
    runs.unpark_gone(unit, session.id, listed - {r.id for r in records if r.card is None})
    listing.done += len(records) or len(page.listed)
    session.tally.pulled += len(records)
    if page.complete:
        runs.park(unit, session.id, session.run_id, dict.fromkeys(_missing(session, unit, listing.named)))
        named = {nameless(remote) if problem_id(remote) else remote for remote in listing.named}
        refusals.lift(unit, session.id, runs.refused_ids(unit, session.id) - named)
    if page.cursor is not None and not listing.anew:
        connections.update(unit, session.id, cursor=page.cursor)


def _missing(session: Session, unit: Unit, named: set[str]) -> Iterator[str]:
    """Linked records that a complete listing did not name, but for those so fresh that it may not know them yet."""
    missing = [remote for remote in links.live_ids(unit, session.id) if remote not in named]
    lag = timedelta(seconds=session.connector.capabilities.lag)
    for remote, link in links.briefs(unit, session.id, missing).items():
        if link.written is None or unit.now - link.written >= lag:
            yield remote


def brake(session: Session, waiting: int) -> None:
    """Stop before the first loss where there are too many and no human has said that it is meant."""
    with session.store.read() as unit:
        reason = too_much(session, unit, waiting)
    if reason:
        raise Held(reason)


def too_much(session: Session, unit: Unit, waiting: int) -> str | None:
    """Why these losses need a human's word, or None."""
    held, cleared = links.count(unit, session.id), session.connection.cleared
    if guard.may_lose(waiting, held) or (cleared is not None and unit.now < cleared):
        return None
    return (
        f"{session.connection.name} would delete, blank or opt out (or in) {waiting} of {held} contacts; "
        f"nothing was touched. If that is meant: concord sync {session.connection.name} --release"
    )


def settle(session: Session) -> None:
    """Take in the parked arrivals."""
    after = ""
    while True:
        with session.store.begin() as unit:
            parked = runs.parked(unit, session.id, after=after, limit=STEP)
            settle_some(session, unit, parked)
        session.world.at("pull.settled")
        if not parked:
            return
        after = max(parked)


def settle_some(session: Session, unit: Unit, parked: dict[str, Any]) -> None:
    """These arrivals take something away, and may."""
    session.fence(unit)
    runs.unpark(unit, session.id, parked)
    intake = Intake(session, unit)
    intake.take([record_of(record) for record in parked.values() if record is not None], settling=True)
    intake.flush()
    gone = links.load(unit, session.id, [remote for remote, record in parked.items() if record is None])
    persons = people.load(unit, [link.person_id for link in gone.values()])
    for link in gone.values():
        if link.state == "live":
            _gone(session, unit, link, persons[link.person_id])
    refusals.lift(unit, session.id, gone)


def _gone(session: Session, unit: Unit, link: Link, person: Person) -> None:
    """A record was deleted there."""
    links.save(unit, [replace(link, state="gone")])
    others = links.of_people(unit, [person.id], connection=session.id)
    if person.state != "live" or others or session.policy.deletes == "ignore" or not _reads(session):
        return
    if not _writes(session):
        last = journal.last_change(unit, person.id, ())
        if last is not None and last[0] != session.id:
            return  # others have edited what this connection is never told of
    elif outbox.awaits(unit, session.id, person.id):
        _survives(session, unit, link, person)
        return
    state: people.State = "deleted" if session.policy.deletes == "propagate" else "archived"
    gone = replace(person, rev=person.rev + 1, state=state)
    people.update(unit, [gone], {person.id: identity.keys_of(person.card, session.world.eq)})
    _log(session, unit, person, person.card, None)
    session.tally.archived += 1
    if session.policy.deletes == "propagate":
        outbox.owe(unit, connections.receivers(unit, session.id), [person.id])


def _reads(session: Session) -> bool:
    return session.policy.direction in ("both", "pull")


def _writes(session: Session) -> bool:
    return session.policy.direction in ("both", "push")


def _survives(session: Session, unit: Unit, link: Link, person: Person) -> None:
    """Edited here after we last agreed, deleted there: the edit wins, the record is made anew, and it is said."""
    links.forget(unit, session.id, link.remote_id)
    journal.record_conflicts(unit, [journal.Conflict(person.id, session.id, (), person.card, None, "ours")])
    outbox.owe(unit, [session.id], [person.id])
    session.tally.conflicts += 1


def _log(session: Session, unit: Unit, person: Person, before: Any, after: Any) -> None:
    change = journal.Change(person.id, (), before, after, session.connection.name, session.id, session.run_id)
    journal.append(unit, [change])
