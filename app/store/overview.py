"""What the daemon did and what waits: runs and what came of each record in them, plans, what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.store.outbox import ASIDE
from app.store.runs import Run
from app.store.store import Unit
from app.store.tables import changes, conflicts, connections, links, losses, people, plans, pushes, refused, runs

_RUN = [runs.c[name] for name in Run.__slots__]


# --- runs


def run(unit: Unit, id_: int) -> Run | None:
    row = unit.db.execute(sa.select(*_RUN).where(runs.c.id == id_)).first()
    return Run(*row) if row else None


def list_runs(
    unit: Unit,
    *,
    connection: int | None = None,
    outcome: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Run]:
    """Runs, newest first, before that id."""
    query = sa.select(*_RUN)
    if connection is not None:
        query = query.where(runs.c.connection_id == connection)
    if outcome is not None:
        query = query.where(runs.c.outcome == outcome)
    if before is not None:
        query = query.where(runs.c.id < before)
    return [Run(*row) for row in unit.db.execute(query.order_by(runs.c.id.desc()).limit(limit))]


def tell(unit: Unit, connection: str, progress: Sequence[Any]) -> None:
    """How far the run of that connection is: [phase, done, total or None]."""
    here = sa.select(connections.c.id).where(connections.c.name == connection).scalar_subquery()
    unit.db.execute(
        sa.update(runs).where(runs.c.connection_id == here, runs.c.outcome == "running").values(progress=[*progress])
    )


def progress(unit: Unit, id_: int) -> Any:
    """What was last told of a run."""
    return unit.db.execute(sa.select(runs.c.progress).where(runs.c.id == id_)).scalar()


What = Literal["taken", "written", "conflict", "refused", "aside", "waiting"]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one record or person in a run. key: what tells it from the others of its kind."""

    what: What
    key: str
    uid: str | None
    name: str | None
    record: str | None
    detail: str | None


def results(unit: Unit, of: Run, *, after: Sequence[str] | None = None, limit: int = 100) -> list[Result]:
    """What is stored of a run's records: whose card changed by it, what was written there (by it last), what clashed,
    what was refused or set aside (by it last), what waits for the brake."""
    end = of.finished or unit.now
    nothing = sa.cast(sa.null(), sa.String)

    def rows(what: What, key: Any, record: Any, detail: Any, where: Any, person: Any = None) -> Any:
        text = sa.cast(key, sa.String)
        who = (people.c.uid, people.c.name) if person is not None else (nothing, nothing)
        query = sa.select(sa.literal(what).label("what"), text.label("key"), *who, record, detail).where(where)
        return query.join(people, people.c.id == person) if person is not None else query

    def during(moment: sa.Column[Any], connection: sa.Column[Any]) -> Any:
        return sa.and_(connection == of.connection_id, moment >= of.started, moment <= end)

    number = sa.cast(sa.func.count(), sa.String)
    taken = rows("taken", people.c.uid, nothing, number, changes.c.run_id == of.id, changes.c.person_id)
    parts = [
        taken.group_by(people.c.uid, people.c.name),
        rows(
            "written",
            links.c.remote_id,
            links.c.remote_id,
            nothing,
            during(links.c.written, links.c.connection_id),
            links.c.person_id,
        ),
        rows(
            "conflict",
            conflicts.c.id,
            nothing,
            conflicts.c.path,
            during(conflicts.c.at, conflicts.c.connection_id),
            conflicts.c.person_id,
        ),
        rows(
            "refused",
            refused.c.remote_id,
            refused.c.remote_id,
            refused.c.reason,
            sa.and_(during(refused.c.at, refused.c.connection_id), refused.c.ignored.is_(None)),
        ),
        rows("waiting", losses.c.remote_id, losses.c.remote_id, nothing, losses.c.run_id == of.id),
    ]
    newest = sa.select(sa.func.max(runs.c.id)).where(runs.c.connection_id == of.connection_id).scalar_subquery()
    aside = sa.and_(pushes.c.connection_id == of.connection_id, pushes.c.state.in_(ASIDE), newest == of.id)
    parts.append(rows("aside", people.c.uid, nothing, pushes.c.reason, aside, pushes.c.person_id))
    found = sa.union_all(*parts).subquery()
    query = sa.select(found).order_by(found.c.what, found.c.key).limit(limit)
    if after is not None:
        query = query.where(sa.tuple_(found.c.what, found.c.key) > sa.tuple_(*map(sa.literal, after)))
    return [Result(*row) for row in unit.db.execute(query)]


# --- plans


@dataclass(frozen=True, slots=True)
class Plan:
    """A stored plan. forecasts: its part for each connection, without the single items."""

    id: int
    made: datetime
    state: str
    forecasts: list[dict[str, Any]]


def list_plans(unit: Unit, *, before: int | None = None, limit: int = 50) -> list[Plan]:
    """Plans, newest first, before that id; only what is short of them is read."""
    query = _plans(unit).order_by(plans.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(plans.c.id < before)
    return [_plan(row) for row in unit.db.execute(query)]


def plan(unit: Unit, id_: int) -> Plan | None:
    row = unit.db.execute(_plans(unit).where(plans.c.id == id_)).first()
    return _plan(row) if row else None


def plan_items(unit: Unit, id_: int) -> list[dict[str, Any]]:
    """Every single thing that the plan would do."""
    body: dict[str, Any] | None = unit.db.execute(sa.select(plans.c.body).where(plans.c.id == id_)).scalar()
    return list((body or {}).get("items", ()))


def _plans(unit: Unit) -> sa.Select[Any]:
    body = sa.type_coerce(plans.c.body, sa.Text)
    part: Any = sa.func.json_extract(body, "$.connections")
    if not unit.sqlite:
        part = sa.cast(sa.cast(body, sa.JSON)["connections"], sa.Text)
    return sa.select(plans.c.id, plans.c.made, plans.c.state, sa.type_coerce(part, plans.c.body.type))


def _plan(row: Any) -> Plan:
    return Plan(row[0], row[1], row[2], row[3] or [])


# --- set aside


@dataclass(frozen=True, slots=True)
class SetAside:
    """What could not be taken in ("in", a record) or written ("out", a person). key: the record's id or the uid."""

    connection: str
    direction: Literal["in", "out"]
    key: str
    name: str | None
    reason: str
    at: datetime


def set_aside(
    unit: Unit, *, connection: str | None = None, after: Sequence[str] | None = None, limit: int = 50
) -> list[SetAside]:
    """What was set aside, by connection, direction and key, after that one."""
    came = (
        sa.select(
            connections.c.name.label("connection"),
            sa.literal("in").label("direction"),
            refused.c.remote_id.label("key"),
            sa.cast(sa.null(), sa.String).label("name"),
            refused.c.reason,
            refused.c.at,
        )
        .join(connections, connections.c.id == refused.c.connection_id)
        .where(refused.c.ignored.is_(None))
    )
    went = (
        sa.select(connections.c.name, sa.literal("out"), people.c.uid, people.c.name, pushes.c.reason, pushes.c.since)
        .join(connections, connections.c.id == pushes.c.connection_id)
        .join(people, people.c.id == pushes.c.person_id)
        .where(pushes.c.state.in_(ASIDE))
    )
    found = sa.union_all(came, went).subquery()
    query = sa.select(found).order_by(found.c.connection, found.c.direction, found.c.key).limit(limit)
    if connection is not None:
        query = query.where(found.c.connection == connection)
    if after is not None:
        place = sa.tuple_(found.c.connection, found.c.direction, found.c.key)
        query = query.where(place > sa.tuple_(*map(sa.literal, after)))
    return [SetAside(*row) for row in unit.db.execute(query)]
