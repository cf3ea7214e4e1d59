"""Who may run by itself now, and who should: asked by the scheduler, by a worker after each run, and by webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from app.jobs.schedule import quiet_until, rest
from app.store import jobs, runs
from app.store.connections import Connection
from app.store.jobs import Standing
from app.store.store import Unit

BETWEEN_HINTS: Final = timedelta(seconds=10)
"""Least time between two runs that webhooks ask for, once there were `AT_ONCE`: a flood of them is a few runs now, and
one every so often."""
AT_ONCE: Final = 5
"""So many runs in a minute wait for nothing: people who save one record after the other see each pass on at once."""


def automatic(connection: Connection) -> bool:
    """May it run without a human? A first contact only where that was said beforehand."""
    return connection.state == "active" or (connection.state == "new" and connection.approve == "auto")


def resting_until(standing: Standing) -> datetime | None:
    """Until when a failing connection is left alone."""
    if not standing.failures:
        return None
    last = standing.finished or standing.started
    return last + rest(standing.failures) if last else None


def busy(unit: Unit, connection: Connection) -> bool:
    """Is it being synced right now, by whomever?"""
    return runs.lease_holder(unit, f"sync:{connection.name}") is not None


def owed(unit: Unit, zone: ZoneInfo) -> Iterator[int]:
    """The connections that are owed something they have not heard of yet and may be told now. Those that run by hand
    only wait for the hand."""
    for standing in jobs.standings(unit):
        connection = standing.connection
        resting = resting_until(standing)
        if (
            connection.state == "active"
            and connection.schedule
            and not (resting and resting > unit.now)
            and not quiet_until(connection.quiet, unit.now, zone)
            and jobs.owes_news(unit, connection.id, standing.started)
            and not busy(unit, connection)
        ):
            yield connection.id


def on_hint(unit: Unit, connection: int, zone: ZoneInfo) -> datetime | None:
    """When a connection may run whose remote hinted at news; None where it may not run by itself at all."""
    for standing in jobs.standings(unit, [connection]):
        if not automatic(standing.connection):
            return None
        at = max(unit.now, resting_until(standing) or unit.now)
        lately = jobs.reads(unit, connection, AT_ONCE)
        if len(lately) == AT_ONCE and lately[-1] > unit.now - timedelta(minutes=1):
            at = max(at, lately[0] + BETWEEN_HINTS)
        return quiet_until(standing.connection.quiet, at, zone) or at
    return None
