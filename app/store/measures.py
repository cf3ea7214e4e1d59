"""Numbers about the whole, each by a query that stays cheap: for dashboards, not for decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.store.outbox import ASIDE
from app.store.store import Unit
from app.store.tables import conflicts, connections, losses, notices, people, pushes, refused, runs


@dataclass(frozen=True, slots=True)
class Measured:
    """How a connection stands. read: when the last reading run that ended well began. pushes: {state: number}.
    oldest: since when the oldest push is owed. refused: records that cannot be taken. parked: deletions that wait.
    conflicts: values about which a human has to decide. budget: {window: requests left} as the last run knew it."""

    name: str
    state: str
    read: datetime | None
    pushes: dict[str, int]
    oldest: datetime | None
    refused: int
    parked: int
    conflicts: int
    budget: dict[str, int]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended. counters: what it did."""

    connection: str
    outcome: str
    seconds: float
    counters: dict[str, Any]


def connections_measured(unit: Unit) -> list[Measured]:
    """Every connection, by name."""
    owed: dict[int, dict[str, int]] = {}
    by_state = sa.select(pushes.c.connection_id, pushes.c.state, sa.func.count()).group_by(
        pushes.c.connection_id, pushes.c.state
    )
    for connection, state, number in unit.db.execute(by_state):
        shown, states = "aside" if state in ASIDE else state, owed.setdefault(connection, {})
        states[shown] = states.get(shown, 0) + number
    waits = sa.select(pushes.c.connection_id, sa.func.min(pushes.c.since)).where(pushes.c.state == "owed")
    oldest = dict(_pairs(unit, waits.group_by(pushes.c.connection_id)))
    bad, parked = _count(unit, refused, refused.c.ignored.is_(None)), _count(unit, losses)
    clashes = _count(unit, conflicts, conflicts.c.open)
    well = (
        sa.select(sa.func.max(runs.c.id))
        .where(runs.c.connection_id == connections.c.id, runs.c.outcome == "done", runs.c.scope == "sync")
        .correlate(connections)
        .scalar_subquery()
    )
    newest = (
        sa.select(sa.func.max(runs.c.id))
        .where(runs.c.connection_id == connections.c.id, runs.c.outcome != "running")
        .correlate(connections)
        .scalar_subquery()
    )
    last = runs.alias("last")
    query = (
        sa.select(connections.c.id, connections.c.name, connections.c.state, runs.c.started, last.c.counters)
        .select_from(connections)
        .outerjoin(runs, runs.c.id == well)
        .outerjoin(last, last.c.id == newest)
        .order_by(connections.c.name)
    )
    return [
        Measured(
            name,
            state,
            read,
            owed.get(id_, {}),
            oldest.get(id_),
            bad.get(id_, 0),
            parked.get(id_, 0),
            clashes.get(id_, 0),
            (counters or {}).get("budget", {}),
        )
        for id_, name, state, read, counters in unit.db.execute(query)
    ]


def _count(unit: Unit, table: sa.Table, which: sa.ColumnElement[bool] | None = None) -> dict[int, int]:
    query = sa.select(table.c.connection_id, sa.func.count()).group_by(table.c.connection_id)
    return dict(_pairs(unit, query if which is None else query.where(which)))


def _pairs(unit: Unit, query: sa.Select[Any]) -> Iterable[tuple[Any, Any]]:
    return [(row[0], row[1]) for row in unit.db.execute(query)]


def persons(unit: Unit) -> dict[str, int]:
    """{state: number}."""
    query = sa.select(people.c.state, sa.func.count()).group_by(people.c.state)
    return dict(_pairs(unit, query))


def notices_by_state(unit: Unit) -> dict[str, int]:
    """{state: number}."""
    query = sa.select(notices.c.state, sa.func.count()).group_by(notices.c.state)
    return dict(_pairs(unit, query))


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where runs were seen, and those of them that had not ended then."""

    last: int
    open: frozenset[int]


def runs_now(unit: Unit) -> Place:
    """The place from which on runs are new."""
    last = unit.db.execute(sa.select(sa.func.max(runs.c.id))).scalar() or 0
    running = sa.select(runs.c.id).where(runs.c.outcome == "running").order_by(runs.c.id.desc()).limit(1_000)
    return Place(last, frozenset(unit.db.execute(running).scalars()))


def runs_since(unit: Unit, place: Place) -> tuple[list[Ended], Place]:
    """The runs that ended since, and the place after them."""
    query = (
        sa.select(runs, connections.c.name)
        .join(connections, connections.c.id == runs.c.connection_id)
        .where(sa.or_(runs.c.id > place.last, unit.among(runs.c.id, place.open)))
        .order_by(runs.c.id)
    )
    rows = [*unit.db.execute(query)]
    ended = [
        Ended(row.name, row.outcome, (row.finished - row.started).total_seconds(), row.counters)
        for row in rows
        if row.finished is not None
    ]
    running = frozenset(row.id for row in rows if row.finished is None)
    return ended, Place(max([place.last, *(row.id for row in rows)]), running)
