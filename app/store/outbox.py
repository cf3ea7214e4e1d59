"""The outbox: which person is owed to which connection.

A row says only that there may be something to write; what, is computed when it is sent, from the card as it is then.
So ten edits are one write, and a row can stand here for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import people, pushes
from connectors.card import Leaves

State = Literal["owed", "sent", "aside", "waits", "held"]
"""waits: a record there may be this person's; looked at again in every run. held: a human does not want this person
there."""
ASIDE: Final[tuple[State, ...]] = ("aside", "waits")
"""What was set aside, for good or for another record."""
Sent = Mapping[str, Leaves]
"""The leaves that writes set, by the record's id ("" for one to be created); None for a leaf that was taken away."""
MAX_ATTEMPTS = 3
"""How often a push is tried against a record that keeps changing under us, before it is set aside."""


@dataclass(frozen=True, slots=True)
class Due:
    """A push that is due. since: when it was last owed. attempts: how often it failed so far. sent_at: when it went
    out, where its outcome is unknown; sent: what went out then."""

    person_id: int
    since: datetime
    attempts: int
    sent_at: datetime | None
    sent: Sent


@dataclass(frozen=True, slots=True)
class Aside:
    """A push that was set aside, and why."""

    connection_id: int
    person_id: int
    uid: str
    name: str
    reason: str
    since: datetime


def owe(unit: Unit, connections: Iterable[int], persons: Iterable[int]) -> None:
    """These persons may be owed to these connections. One that was set aside gets another chance: it is another
    write now."""
    rows = [
        {"connection_id": c, "person_id": p, "state": "owed", "attempts": 0, "since": unit.now}
        for c in connections
        for p in persons
    ]
    unit.upsert(pushes, rows, ignore=True)
    if rows:
        aside = pushes.c.state.in_(ASIDE)
        here = pushes.c.connection_id.in_({row["connection_id"] for row in rows})
        unit.db.execute(
            sa.update(pushes)
            .where(
                unit.among(pushes.c.person_id, {row["person_id"] for row in rows}),
                here,
                pushes.c.state.in_([*ASIDE, "sent"]),
            )
            .values(
                state=sa.case((aside, "owed"), else_=pushes.c.state),
                attempts=sa.case((aside, 0), else_=pushes.c.attempts),
                reason=None,
                since=unit.now,  # what is on its way by now does not settle it (`settle_unchanged`)
            )
        )


def owe_everybody(unit: Unit, connection: int) -> None:
    """Every live person may be owed to this connection (its first contact, or its policy changed)."""
    everybody = sa.select(
        sa.literal(connection),
        people.c.id,
        sa.literal("owed"),
        sa.literal(0),
        sa.literal(unit.now, pushes.c.since.type),
    ).where(people.c.state == "live", ~sa.exists().where(_is(connection, people.c.id)))
    names = ["connection_id", "person_id", "state", "attempts", "since"]
    unit.db.execute(sa.insert(pushes).from_select(names, everybody))


def _is(connection: int, person: sa.ColumnElement[int] | int) -> sa.ColumnElement[bool]:
    return sa.and_(pushes.c.connection_id == connection, pushes.c.person_id == person)


def due(unit: Unit, connection: int, state: State, *, after: int = 0, limit: int = 200) -> list[Due]:
    """Pushes in this state, by person, after that one."""
    query = (
        sa.select(pushes.c.person_id, pushes.c.since, pushes.c.attempts, pushes.c.sent_at, pushes.c.sent)
        .where(pushes.c.connection_id == connection, pushes.c.state == state, pushes.c.person_id > after)
        .order_by(pushes.c.person_id)
        .limit(limit)
    )
    return [Due(row.person_id, row.since, row.attempts, row.sent_at, _sent(row.sent)) for row in unit.db.execute(query)]


def _sent(stored: dict[str, list[Any]] | None) -> Sent:
    return {record: {tuple(path): value for path, value in parts} for record, parts in (stored or {}).items()}


def promise(unit: Unit, connection: int, writes: Mapping[int, Sent]) -> None:
    """The intent: from now on the outcome of these persons' writes is unknown until it is said."""
    if writes:
        statement = (
            sa.update(pushes)
            .where(pushes.c.connection_id == connection, pushes.c.person_id == sa.bindparam("this"))
            .values(state="sent", sent_at=unit.now, sent=sa.bindparam("what"))
        )
        rows = [
            {"this": person, "what": {record: [[*each] for each in parts.items()] for record, parts in sent.items()}}
            for person, sent in writes.items()
        ]
        unit.db.execute(statement, rows)


def mark_owed(unit: Unit, connection: int, persons: Iterable[int], *, failed: bool = False) -> None:
    """Nothing was written: to be tried again. failed: it counts as an attempt."""
    attempts = pushes.c.attempts + (1 if failed else 0)
    unit.db.execute(
        sa.update(pushes)
        .where(pushes.c.connection_id == connection, unit.among(pushes.c.person_id, persons))
        .values(state="owed", sent_at=None, sent=None, attempts=attempts)
    )


def set_aside(unit: Unit, connection: int, person: int, reason: str, *, waits: bool = False) -> None:
    """waits: not for good, but for another record (`rouse`)."""
    values = {"state": "waits" if waits else "aside", "sent_at": None, "reason": reason}
    unit.db.execute(sa.update(pushes).where(_is(connection, person)).values(**values))


def rouse(unit: Unit, connection: int) -> None:
    """Whoever waits for a record is owed, and waits on if it is still in the way."""
    where = pushes.c.connection_id == connection, pushes.c.state == "waits"
    unit.db.execute(sa.update(pushes).where(*where).values(state="owed", reason=None))


def hold(unit: Unit, connection: int, persons: Iterable[int]) -> None:
    """These persons are not written to the connection until a human says so."""
    rows = [
        {"connection_id": connection, "person_id": p, "state": "held", "attempts": 0, "since": unit.now}
        for p in persons
    ]
    unit.upsert(pushes, rows)


def release(unit: Unit, person: int) -> set[int]:
    """Where this person was held back, they are owed; the connections."""
    held = pushes.c.person_id == person, pushes.c.state == "held"
    found = set(unit.db.execute(sa.select(pushes.c.connection_id).where(*held)).scalars())
    unit.db.execute(sa.update(pushes).where(*held).values(state="owed", attempts=0, since=unit.now))
    return found


_SETTLE_UNCHANGED = sa.delete(pushes).where(
    pushes.c.connection_id == sa.bindparam("connection"),
    pushes.c.person_id == sa.bindparam("person"),
    pushes.c.since == sa.bindparam("since"),
    sa.exists().where(people.c.id == sa.bindparam("person"), people.c.rev == sa.bindparam("rev")),
)


def settle_unchanged(unit: Unit, connection: int, person: int, rev: int, since: datetime) -> bool:
    """Nothing is owed any more, if the person is still at this revision, and was not owed again meanwhile (for what is
    not in the card: consent, say)."""
    values = {"connection": connection, "person": person, "rev": rev, "since": since}
    return unit.db.execute(_SETTLE_UNCHANGED, values).rowcount == 1


def settle(unit: Unit, connection: int, persons: Iterable[int]) -> None:
    """Nothing is owed any more."""
    unit.db.execute(
        sa.delete(pushes).where(pushes.c.connection_id == connection, unit.among(pushes.c.person_id, persons))
    )


def aside(unit: Unit, connection: int | None = None) -> Sequence[Aside]:
    """What was set aside, by person."""
    query = (
        sa.select(
            pushes.c.connection_id, pushes.c.person_id, people.c.uid, people.c.name, pushes.c.reason, pushes.c.since
        )
        .join(people)
        .where(pushes.c.state.in_(ASIDE))
        .order_by(pushes.c.person_id)
    )
    if connection is not None:
        query = query.where(pushes.c.connection_id == connection)
    return [Aside(*row) for row in unit.db.execute(query)]


def retry(unit: Unit, connection: int, persons: Iterable[int] | None = None) -> int:
    """What was set aside (of these persons, or everything) is tried again; how many."""
    query = sa.update(pushes).where(pushes.c.connection_id == connection, pushes.c.state.in_(ASIDE))
    if persons is not None:
        query = query.where(unit.among(pushes.c.person_id, persons))
    return unit.db.execute(query.values(state="owed", attempts=0, reason=None)).rowcount


def awaits(unit: Unit, connection: int, person: int) -> bool:
    """Is something on its way to this person there, which they may not know of?"""
    query = sa.select(pushes.c.state).where(_is(connection, person), pushes.c.state.in_(["owed", "sent"]))
    return unit.db.execute(query).first() is not None


def count(unit: Unit, connection: int, *states: State) -> int:
    query = sa.select(sa.func.count()).where(pushes.c.connection_id == connection, pushes.c.state.in_(states))
    return unit.db.execute(query).scalar_one()


def forget(unit: Unit, person: int) -> None:
    """Nothing waits to be written of this person (who asked to be forgotten)."""
    unit.db.execute(sa.delete(pushes).where(pushes.c.person_id == person))
