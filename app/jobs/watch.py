"""The simplest service there is: one process that syncs each connection at its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from app.engine.rounds import sync_all
from app.engine.run import Report
from app.engine.world import World
from app.jobs.schedule import Past, next_run, quiet_until
from app.store import connections

DEFAULT = "5m"


def watch(world: World, names: Sequence[str], sleep: Callable[[float], None], zone: ZoneInfo) -> Iterator[list[Report]]:
    """Sync for ever, yielding the reports of each round: everybody at once, then each at its time, but in its quiet
    hours. A connection that fails is left alone for longer each time. zone: of cron lines and quiet hours."""
    due: dict[str, datetime] = dict.fromkeys(names, world.store.clock())
    failures: dict[str, int] = dict.fromkeys(names, 0)
    while True:
        now = world.store.clock()
        ready = [name for name, at in due.items() if at <= now]
        if not ready:
            sleep(max(0.1, (min(due.values()) - now).total_seconds()))
            continue
        reports = sync_all(world, ready)
        schedules = _schedules(world)
        for report in reports:
            name = report.connection
            failures[name] = 0 if report.outcome == "done" else failures[name] + 1
            ended = world.store.clock()
            past = Past(ended, ended, failures[name])
            every, quiet = schedules.get(name, (DEFAULT, None))
            turn = next_run(every, past, ended, zone, jitter=False)
            due[name] = quiet_until(quiet, turn, zone) or turn
        yield reports


def _schedules(world: World) -> dict[str, tuple[str, str | None]]:
    """{connection: (when its turns are, when it is to be quiet)}."""
    with world.store.read() as unit:
        return {c.name: (c.schedule or DEFAULT, c.quiet) for c in connections.every(unit)}
