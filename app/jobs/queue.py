"""The port of the queue: jobs go in here, whoever works them off.

Two implementations: `local` (our own table; no broker) and `distributed` (Procrastinate on PostgreSQL). Both promise:

- of each connection at most one job runs at a time, on any machine, and at most one waits: asking twice is asking once;
- a job of a process that died is done by another one within `TAKEOVER` seconds;
- a job that is put in a unit of work is there if, and only if, that unit is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from app.store.jobs import Job, Kind, State
from app.store.store import Unit

TAKEOVER: Final = 10.0
"""Seconds without a sign of life after which a worker counts as dead. A living one gives three in that."""
HEARTBEAT: Final = TAKEOVER / 3

Perform = Callable[["Task"], "datetime | None"]
"""Does a job. A moment it returns: it could not be done now, and is to be done then."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job as the one who does it sees it. stopping: its process wants to end; at the next good moment it is to be
    left as it is, for somebody else."""

    kind: Kind
    connection_id: int | None
    stopping: Callable[[], bool]


class Worker(Protocol):
    """Does jobs, several at a time, in threads of its own."""

    @property
    def alive(self) -> bool:
        """Does it take jobs?"""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self, grace: float) -> bool:
        """Take no more jobs, and let those that run end. After `grace` seconds they are asked to stop at their next
        good moment, and are handed back. False where one would not even do that: another worker takes it over."""
        ...


class Queue(Protocol):
    """Where jobs wait."""

    def enqueue(
        self, kind: Kind, connection: int | None = None, *, after: datetime | None = None, unit: Unit | None = None
    ) -> bool:
        """Let a job be done, not before `after`. unit: in this unit of work, else in one of its own. False where it
        was to be done by then anyway."""
        ...

    def listing(self, unit: Unit) -> list[Job]:
        """The jobs that run, then those that wait."""
        ...

    def worker(self, perform: Perform, lanes: int) -> Worker:
        """One that does the jobs of this queue, `lanes` at a time; to be started."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


__all__ = ["HEARTBEAT", "TAKEOVER", "Job", "Kind", "Perform", "Queue", "State", "Task", "Worker"]
