"""Says when, never what: puts jobs into the queue, from one process at a time.

The truth is in the database: the connections' schedules, their last runs, what they are owed. So there is nothing to
keep in step, and a process that takes the lead knows all that the last one knew. The lead is a lease; what is put into
the queue is put there in the transaction that proves the lease, so two leaders never fire both.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from app.jobs import turns
from app.jobs.queue import Queue
from app.jobs.schedule import Past, next_run, quiet_until
from app.store import hooks, jobs, keeping, runs
from app.store.connections import Connection
from app.store.jobs import Kind, Standing
from app.store.store import Store, Unit

log = logging.getLogger(__name__)

LEADER: Final = "scheduler"
LEASE: Final = 6.0
"""Seconds after which the lead of a dead process is taken over. A living one renews it twice in that."""
TICK: Final = 1.0
"""Seconds between two looks."""

CHORES: Final[Mapping[Kind, timedelta]] = {"notices": timedelta(seconds=2), "housekeeping": timedelta(hours=1)}
"""Least time between two of them, whatever became of the first."""

Due = tuple[Kind, int | None]


class Scheduler:
    """One process's candidate for the lead. jitter: see `schedule.next_run`."""

    def __init__(self, store: Store, queue: Queue, owner: str, zone: ZoneInfo, *, jitter: bool = True) -> None:
        self._store, self._queue, self._zone, self._jitter = store, queue, zone, jitter
        self._owner = f"{owner}/{uuid.uuid4().hex[:8]}"
        self._fired: dict[int, datetime] = {}
        self._chores: dict[Kind, datetime] = {}
        self._next: dict[int, tuple[object, datetime]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Look every second, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and leave the lead to somebody else at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(LEASE)
        with self._store.begin() as unit:
            runs.drop_lease(unit, LEADER, self._owner)

    @property
    def alive(self) -> bool:
        """Does it look?"""
        return self._thread.is_alive()

    def tick(self) -> bool:
        """Look once, and fire what is due; True where this process leads."""
        with self._store.read() as unit:
            holder = runs.lease_holder(unit, LEADER)
            if holder and holder[0] != self._owner:
                self._fired.clear()
                self._next.clear()
                return False
            fresh = holder is not None and holder[1] - unit.now > timedelta(seconds=LEASE / 2)
            if fresh and next(self._due(unit), None) is None:
                return True
        with self._store.begin() as unit:
            if not runs.take_lease(unit, LEADER, self._owner, LEASE):
                return False
            for kind, connection in [*self._due(unit)]:
                self._queue.enqueue(kind, connection, unit=unit)
                if kind == "sync" and connection is not None:
                    self._fired[connection] = unit.now
                if kind in CHORES:
                    self._chores[kind] = unit.now
        return True

    def _due(self, unit: Unit) -> Iterator[Due]:
        for standing in jobs.standings(unit):
            if self._is_due(unit, standing):
                yield "sync", standing.connection.id
        for connection in turns.owed(unit, self._zone):
            yield "push", connection
        if self._may("notices", unit.now) and hooks.pending(unit):
            yield "notices", None
        if self._may("housekeeping", unit.now) and keeping.is_due(unit):
            yield "housekeeping", None

    def _may(self, chore: Kind, now: datetime) -> bool:
        """A chore that fails is not put in again and again."""
        last = self._chores.get(chore)
        return last is None or last + CHORES[chore] <= now

    def _is_due(self, unit: Unit, standing: Standing) -> bool:
        connection = standing.connection
        if not connection.schedule or not turns.automatic(connection):
            return False
        if self._turn(connection, standing, unit.now) > unit.now:
            return False
        return not quiet_until(connection.quiet, unit.now, self._zone) and not turns.busy(unit, connection)

    def _turn(self, connection: Connection, standing: Standing, now: datetime) -> datetime:
        """When its next turn is; computed once for each last run, for the jitter's sake."""
        fired = self._fired.get(connection.id)
        basis = (connection.schedule, standing.run, standing.finished, fired)
        known = self._next.get(connection.id)
        if known is None or known[0] != basis:
            past = Past(_later(standing.read, fired), _later(standing.finished, fired), standing.failures)
            known = basis, next_run(connection.schedule or "", past, now, self._zone, jitter=self._jitter)
            self._next[connection.id] = known
        return known[1]

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
            except Exception:
                log.exception("the scheduler stumbled; trying again")
            self._stop.wait(TICK)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other
