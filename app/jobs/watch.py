"""The simplest service there is: one process that syncs each connection at its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from app.engine.rounds import sync_all
from app.engine.run import Report
from app.engine.world import World
from app.store import connections

DEFAULT = timedelta(minutes=5)
LONGEST_BACKOFF = 12
"""Intervals that a failing connection is left alone for, at most."""


def watch(world: World, names: Sequence[str], sleep: Callable[[float], None]) -> Iterator[list[Report]]:
    """Sync for ever, yielding the reports of each round. A connection that fails waits twice as long each time."""
    due: dict[str, datetime] = dict.fromkeys(names, world.store.clock())
    failures: dict[str, int] = dict.fromkeys(names, 0)
    while True:
        now = world.store.clock()
        ready = [name for name, at in due.items() if at <= now]
        if not ready:
            sleep(max(0.1, (min(due.values()) - now).total_seconds()))
            continue
        reports = sync_all(world, ready)
        every = _intervals(world)
        for report in reports:
            name = report.connection
            failures[name] = 0 if report.outcome == "done" else failures[name] + 1
            waits = min(2 ** failures[name], LONGEST_BACKOFF) if failures[name] else 1
            due[name] = world.store.clock() + every.get(name, DEFAULT) * waits
        yield reports


def _intervals(world: World) -> dict[str, timedelta]:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    with world.store.read() as unit:
        return {
            c.name: timedelta(seconds=int(c.schedule[:-1]) * units[c.schedule[-1]])
            for c in connections.every(unit)
            if c.schedule
        }
