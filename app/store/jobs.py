"""Jobs of the local queue, and what there is to know about whose turn it is.

Of each lock at most one job waits and at most one runs: that is the table's primary key, not a habit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from app.store.connections import Connection
from app.store.store import Unit
from app.store.tables import connections, jobs, leases, people, pushes, runs

Kind = Literal["sync", "push", "notices", "housekeeping"]
"""sync: read and write a connection. push: write only what it is owed. notices: tell our subscribers. housekeeping: let
go of what is too old."""
State = Literal["waiting", "running"]
WORKER = "worker "
"""What the owner of a lease begins with, where a worker took it for a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done. lock: no two jobs of one lock run at a time. due: not before. worker: who runs it; until:
    when it may be taken over, unless the worker says again that it lives."""

    lock: str
    state: State
    kind: Kind
    connection_id: int | None
    due: datetime
    worker: str | None = None
    until: datetime | None = None


_COLUMNS = [jobs.c[name] for name in Job.__slots__]


def lock_of(kind: Kind, connection: int | None) -> str:
    """Reading and writing of one connection exclude each other; other kinds only themselves."""
    return f"sync:{connection}" if kind in ("sync", "push") else kind


def merged(one: Kind, other: Kind) -> Kind:
    """One job that does what two of the same lock would do: a sync writes as well."""
    return "sync" if "sync" in (one, other) else one


def put(unit: Unit, kind: Kind, connection: int | None, due: datetime) -> bool:
    """Let it wait; with one that waits already it becomes one job, at the earlier time. True where that changed
    anything."""
    lock = lock_of(kind, connection)
    found = _one(unit, lock, "waiting")
    if found is None:
        row = {"lock": lock, "state": "waiting", "kind": kind, "connection_id": connection, "due": due}
        unit.insert(jobs, [row])
        return True
    wanted = (merged(found.kind, kind), min(found.due, due))
    if wanted == (found.kind, found.due):
        return False
    unit.db.execute(sa.update(jobs).where(_is(lock, "waiting")).values(kind=wanted[0], due=wanted[1]))
    return True


def take(unit: Unit, worker: str, seconds: float) -> Job | None:
    """The job that has been due for longest and whose lock is free; from now on it is this worker's, for so long."""
    query = sa.select(*_COLUMNS).where(_ready(unit)).order_by(jobs.c.due, jobs.c.lock).limit(1)
    row = unit.db.execute(query).first()
    if row is None:
        return None
    until = unit.now + timedelta(seconds=seconds)
    taken = Job(row.lock, "running", row.kind, row.connection_id, row.due, worker, until)
    unit.db.execute(
        sa.update(jobs).where(_is(taken.lock, "waiting")).values(state="running", worker=worker, until=until)
    )
    return taken


def pressing(unit: Unit) -> bool:
    """Is there a job to be taken, or to be taken over?"""
    dead = sa.and_(jobs.c.state == "running", jobs.c.until <= unit.now)
    return unit.db.execute(sa.select(jobs.c.lock).where(sa.or_(_ready(unit), dead)).limit(1)).first() is not None


def _ready(unit: Unit) -> sa.ColumnElement[bool]:
    running = jobs.alias()
    busy = sa.exists().where(running.c.lock == jobs.c.lock, running.c.state == "running")
    return sa.and_(jobs.c.state == "waiting", jobs.c.due <= unit.now, ~busy)


def keep(unit: Unit, worker: str, seconds: float) -> set[str]:
    """The worker lives; the locks that are still its own."""
    own = sa.and_(jobs.c.state == "running", jobs.c.worker == worker)
    unit.db.execute(sa.update(jobs).where(own).values(until=unit.now + timedelta(seconds=seconds)))
    return set(unit.db.execute(sa.select(jobs.c.lock).where(own)).scalars())


def finish(unit: Unit, job: Job) -> bool:
    """It is done; False where it was taken over meanwhile, and is somebody else's."""
    query = sa.delete(jobs).where(_is(job.lock, "running"), jobs.c.worker == job.worker)
    return unit.db.execute(query).rowcount == 1


def hand_back(unit: Unit, job: Job, due: datetime) -> None:
    """It is not done: somebody does it then."""
    if finish(unit, job):
        put(unit, job.kind, job.connection_id, due)


def take_over(unit: Unit) -> list[Job]:
    """Jobs whose worker has not been heard of for too long wait again, now."""
    query = sa.select(*_COLUMNS).where(jobs.c.state == "running", jobs.c.until <= unit.now)
    dead = [Job(*row) for row in unit.db.execute(query)]
    for job in dead:
        hand_back(unit, job, unit.now)
    return dead


def listing(unit: Unit) -> list[Job]:
    """All jobs: the running ones first, then by time."""
    query = sa.select(*_COLUMNS).order_by(jobs.c.state, jobs.c.due, jobs.c.lock)
    return [Job(*row) for row in unit.db.execute(query)]


def _is(lock: str, state: State) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.lock == lock, jobs.c.state == state)


def _one(unit: Unit, lock: str, state: State) -> Job | None:
    row = unit.db.execute(sa.select(*_COLUMNS).where(_is(lock, state))).first()
    return Job(*row) if row else None


def free_of_the_dead(unit: Unit, lease: str) -> None:
    """Who has the job of a connection may sync it: a lease that another worker holds is a dead one's. What a command
    at a terminal holds stays."""
    mine = leases.c.owner.startswith(WORKER, autoescape=True)
    unit.db.execute(sa.delete(leases).where(leases.c.name == lease, mine))


# --- whose turn it is


@dataclass(frozen=True, slots=True)
class Standing:
    """A connection and its last run, if there was one. read: when the last one began that read. failures: how many runs
    in a row failed, the last ones."""

    connection: Connection
    run: int | None
    started: datetime | None
    finished: datetime | None
    read: datetime | None
    failures: int


COUNTED = 16
"""Failures in a row that are told apart; more make no difference."""


def standings(unit: Unit, only: Sequence[int] | None = None) -> list[Standing]:
    """How each connection stands, by name."""
    own = [connections.c[name] for name in Connection.__slots__]
    last, reading = runs.alias(), runs.alias()
    newest = sa.select(sa.func.max(runs.c.id)).where(runs.c.connection_id == connections.c.id)
    query = (
        sa.select(*own, last.c.id, last.c.started, last.c.finished, reading.c.started, last.c.outcome)
        .select_from(connections)
        .outerjoin(last, last.c.id == newest.correlate(connections).scalar_subquery())
        .outerjoin(
            reading, reading.c.id == newest.where(runs.c.scope == "sync").correlate(connections).scalar_subquery()
        )
        .order_by(connections.c.name)
    )
    if only is not None:
        query = query.where(unit.among(connections.c.id, only))
    return [_standing(unit, tuple(row), len(own)) for row in unit.db.execute(query)]


def _standing(unit: Unit, row: Sequence[Any], width: int) -> Standing:
    run, started, finished, read, outcome = row[width:]
    return Standing(Connection(*row[:width]), run, started, finished, read, _failures(unit, row[0], outcome))


def _failures(unit: Unit, connection: int, outcome: str | None) -> int:
    if outcome in (None, "done", "held", "paused"):
        return 0
    query = (
        sa.select(runs.c.outcome)
        .where(runs.c.connection_id == connection, runs.c.outcome.not_in(["running", "busy"]))
        .order_by(runs.c.id.desc())
        .limit(COUNTED)
    )
    number = 0
    for found in unit.db.execute(query).scalars():
        if found != "failed":
            break
        number += 1
    return number


def reads(unit: Unit, connection: int, number: int) -> list[datetime]:
    """When the last runs began that read, the newest first."""
    query = sa.select(runs.c.started).where(runs.c.connection_id == connection, runs.c.scope == "sync")
    return list(unit.db.execute(query.order_by(runs.c.id.desc()).limit(number)).scalars())


def owes_news(unit: Unit, connection: int, since: datetime | None) -> bool:
    """Is the connection owed something that happened after its last run began? What was owed before that, the run has
    seen and had a reason to leave."""
    query = sa.select(sa.literal(1)).where(pushes.c.connection_id == connection, pushes.c.state == "owed")
    if since is not None:
        fresh = sa.exists().where(people.c.id == pushes.c.person_id, people.c.updated >= since)
        query = query.where(sa.or_(pushes.c.since >= since, fresh))
    return unit.db.execute(query.limit(1)).first() is not None


def has_pushes(unit: Unit, connection: int) -> bool:
    """Is there anything to be written, or to be looked after?"""
    query = sa.select(sa.literal(1)).where(pushes.c.connection_id == connection, pushes.c.state.in_(["owed", "sent"]))
    return unit.db.execute(query.limit(1)).first() is not None
