"""How long things are kept. Contacts are never let go of by age; what is about them may be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import changes, conflicts, hook_deliveries, idempotency, installation, notices, plans, runs

EVERY: Final = timedelta(days=1)
QUIET_RUNS: Final = timedelta(days=7)
"""Runs in which nothing happened; there are hundreds a day."""
HOOKS: Final = timedelta(days=7)
DELIVERIES: Final = 1_000
"""Most deliveries that are remembered of one connection, however many come."""
SENT: Final = timedelta(days=7)
DEAD: Final = timedelta(days=90)
PLANS: Final = timedelta(days=90)
ANSWERS: Final = timedelta(days=2)
"""Of requests with an idempotency key."""
_LAST: Final = "housekeeping"
_DOING: Final = ("people", "linked", "updated", "archived", "created", "written", "deleted", "aside", "refused")


def is_due(unit: Unit) -> bool:
    """Was it done less than a day ago?"""
    last = unit.db.execute(sa.select(installation.c.value).where(installation.c.name == _LAST)).scalar()
    return last is None or datetime.fromisoformat(last) + EVERY <= unit.now


def done(unit: Unit) -> None:
    """It was done now."""
    unit.upsert(installation, [{"name": _LAST, "value": unit.now.isoformat()}])


def let_go(unit: Unit, journal_days: int) -> dict[str, int]:
    """Delete what is older than it has to be; {table: rows}. journal_days: 0 keeps the journal for ever."""
    found = {
        "runs": _quiet_runs(unit),
        "hook_deliveries": _delete(unit, hook_deliveries, hook_deliveries.c.received < unit.now - HOOKS) + _flood(unit),
        "notices": _delete(unit, notices, _old_notices(unit)),
        "plans": _delete(unit, plans, sa.and_(plans.c.made < unit.now - PLANS, plans.c.state != "waiting")),
        "idempotency": _delete(unit, idempotency, idempotency.c.at < unit.now - ANSWERS),
    }
    if journal_days:
        found |= _journal(unit, unit.now - timedelta(days=journal_days))
    return found


def _journal(unit: Unit, before: datetime) -> dict[str, int]:
    """The last word on every path stays, for it says who said so: the next conflict is decided by it."""
    later = changes.alias()
    spoken = sa.exists().where(
        later.c.person_id == changes.c.person_id, later.c.path == changes.c.path, later.c.id > changes.c.id
    )
    last = sa.select(sa.func.max(runs.c.id)).group_by(runs.c.connection_id)
    return {
        "changes": _delete(unit, changes, sa.and_(changes.c.at < before, spoken)),
        "conflicts": _delete(unit, conflicts, sa.and_(conflicts.c.at < before, ~conflicts.c.open)),
        "runs": _delete(unit, runs, sa.and_(runs.c.started < before, runs.c.id.not_in(last))),
    }


def _quiet_runs(unit: Unit) -> int:
    """Runs that ended well and did nothing, and not the last one of a connection."""
    last = sa.select(sa.func.max(runs.c.id)).group_by(runs.c.connection_id, runs.c.scope)
    query = sa.select(runs.c.id, runs.c.counters).where(
        runs.c.started < unit.now - QUIET_RUNS, runs.c.outcome == "done", runs.c.id.not_in(last)
    )
    quiet = [row.id for row in unit.db.execute(query) if not any(row.counters.get(name) for name in _DOING)]
    return _delete(unit, runs, unit.among(runs.c.id, quiet))


def _old_notices(unit: Unit) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.and_(notices.c.state == "sent", notices.c.created < unit.now - SENT),
        sa.and_(notices.c.state == "dead", notices.c.created < unit.now - DEAD),
    )


def _flood(unit: Unit) -> int:
    rank = sa.func.row_number().over(
        partition_by=hook_deliveries.c.connection_id, order_by=hook_deliveries.c.received.desc()
    )
    ranked = sa.select(hook_deliveries.c.id, rank.label("rank")).subquery()
    old = sa.select(ranked.c.id).where(ranked.c.rank > DELIVERIES)
    return _delete(unit, hook_deliveries, hook_deliveries.c.id.in_(old))


def _delete(unit: Unit, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return unit.db.execute(sa.delete(table).where(which)).rowcount
