"""What a worker does when it is a job's turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from app.engine.run import GOOD_MOMENTS, Busy, Reads, Report, sync
from app.engine.world import World
from app.jobs import turns
from app.jobs.queue import Perform, Queue, Task
from app.store import jobs
from app.store.store import Store

log = logging.getLogger(__name__)

BUSY: Final = timedelta(seconds=5)
"""When a connection is looked at again that somebody at a terminal is syncing."""


class Performer:
    """Does the jobs of a process.

    world: the engine's surroundings, given what is called at every write boundary. chores: what the other kinds of jobs
    do; see `Perform`.
    """

    def __init__(
        self,
        store: Store,
        world: Callable[[Callable[[str], None]], World],
        queue: Queue,
        zone: ZoneInfo,
        chores: Mapping[str, Perform],
    ) -> None:
        self._store, self._world, self._queue, self._zone, self._chores = store, world, queue, zone, chores

    def __call__(self, task: Task) -> datetime | None:
        if task.kind in ("sync", "push"):
            assert task.connection_id is not None
            return self._run(task, task.connection_id)
        return self._chores[task.kind](task)

    def _run(self, task: Task, connection: int) -> datetime | None:
        with self._store.read() as unit:
            found = jobs.standings(unit, [connection])
            if not found or (task.kind == "push" and not jobs.has_pushes(unit, connection)):
                return None
            # What was never read, or not since a backup was restored, may hold already what it is owed.
            reads: Reads = "overwritable" if task.kind == "push" and found[0].read is not None else "all"
            name = found[0].connection.name
            held = turns.busy(unit, found[0].connection)
        if held:
            with self._store.begin() as unit:
                jobs.free_of_the_dead(unit, f"sync:{name}")
        report = self._sync(task, name, reads)
        if report.outcome == "busy":
            return self._store.clock() + (timedelta() if task.stopping() else BUSY)
        _tell(report)
        self._wake()
        return None

    def _sync(self, task: Task, name: str, reads: Reads) -> Report:
        def at(moment: str) -> None:
            if moment in GOOD_MOMENTS and task.stopping():
                raise Busy("this process ends; another one, or the next start, goes on")

        world = self._world(at)
        return sync(replace(world, owner=f"{jobs.WORKER}{world.owner}"), name, reads=reads)

    def _wake(self) -> None:
        """A change is with the others in seconds: they need not wait for their turns."""
        with self._store.read() as unit:
            if not any(turns.owed(unit, self._zone)):
                return
        with self._store.begin() as unit:
            for connection in turns.owed(unit, self._zone):
                self._queue.enqueue("push", connection, unit=unit)


def _tell(report: Report) -> None:
    level = logging.INFO if report.outcome in ("done", "waiting") else logging.WARNING
    if report.quiet and report.outcome == "done":
        level = logging.DEBUG
    did = ", ".join(
        f"{name} {number}" for name, number in report.tally.as_json().items() if number and name != "budget"
    )
    about = {"connection": report.connection, **({"run": report.run} if report.run is not None else {})}
    log.log(level, "%s: %s (%s)", report.connection, report.message or report.outcome, did, extra=about)
