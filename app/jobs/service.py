"""All that runs beside the API: the queue, a worker, a candidate for the scheduler's lead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, Protocol

from app.engine.world import World
from app.jobs.local import LocalQueue
from app.jobs.notices import Cipher, Notifier
from app.jobs.perform import Performer
from app.jobs.queue import Perform, Queue, Task
from app.jobs.schedule import zone_of
from app.jobs.scheduler import Scheduler
from app.store import keeping
from app.store.store import Store
from connectors.contract import Context

log = logging.getLogger(__name__)

GRACE: Final = 20.0
"""Seconds that running jobs have to end by themselves when the process shall end; Docker gives 10 by default,
Kubernetes 30."""


class Options(Protocol):
    """What of the installation's settings matters here."""

    @property
    def database_url(self) -> str:
        """Where the store is."""
        ...

    @property
    def queue(self) -> Literal["local", "distributed"]:
        """Which queue."""
        ...

    @property
    def lanes(self) -> int:
        """How many jobs a process does at a time."""
        ...

    @property
    def timezone(self) -> str:
        """Of cron lines and quiet hours."""
        ...

    @property
    def keep_journal_days(self) -> int:
        """0: for ever."""
        ...


class Application(Protocol):
    """What is run (`app.bootstrap.Application` is one)."""

    @property
    def settings(self) -> Options:
        """The installation's."""
        ...

    @property
    def store(self) -> Store:
        """The database."""
        ...

    @property
    def keyring(self) -> Cipher:
        """Encrypts the credentials."""
        ...

    def world(self, *, at: Callable[[str], None]) -> World:
        """What the engine works with."""
        ...

    def context(self) -> Context:
        """Clock, chance and sleep."""
        ...


class Service:
    """What runs. queue: where more jobs can be put."""

    def __init__(self, application: Application, queue: Queue | None = None) -> None:
        settings, store = application.settings, application.store
        zone = zone_of(settings.timezone)
        self.queue = queue or open_queue(application)
        chores: dict[str, Perform] = {
            "notices": Notifier(store, application.keyring, application.context()),
            "housekeeping": housekeeping(store, settings.keep_journal_days),
        }
        performer = Performer(store, lambda at: application.world(at=at), self.queue, zone, chores)
        self._worker = self.queue.worker(performer, settings.lanes)
        self._scheduler = Scheduler(store, self.queue, owner_of(application), zone)

    def start(self) -> Service:
        """Begin; everything happens in threads of its own."""
        self._worker.start()
        self._scheduler.start()
        return self

    def trouble(self) -> str | None:
        """Why nothing would happen by itself any more; None where all is well."""
        if not self._scheduler.alive:
            return "the scheduler has stopped"
        return None if self._worker.alive else "the worker has stopped"

    def stop(self, grace: float = GRACE) -> bool:
        """End: nothing new is begun, what runs has `grace` seconds to end, then it is left at its next good moment and
        handed back. False where something would not even stop there: another process takes that over."""
        self._scheduler.stop()
        ended = self._worker.stop(grace)
        self.queue.close()
        if not ended:
            log.warning("some jobs did not stop in time; they are taken over by another process, or the next start")
        return ended


def start(application: Application) -> Service:
    """Start everything that runs beside the API; to be stopped by its `stop()`."""
    return Service(application).start()


def open_queue(application: Application) -> Queue:
    """The queue of this installation: to put jobs in, without working any off. Raises BadQueue."""
    if application.settings.queue == "distributed":
        from app.jobs.distributed import DistributedQueue

        return DistributedQueue(application.store)
    return LocalQueue(application.store, owner_of(application))


def owner_of(application: Application) -> str:
    """This process, in leases and jobs."""
    return application.world(at=lambda name: None).owner


def housekeeping(store: Store, journal_days: int) -> Perform:
    """Does the job "housekeeping"."""

    def tidy(task: Task) -> datetime | None:
        with store.begin() as unit:
            gone = keeping.let_go(unit, journal_days)
            keeping.done(unit)
        if any(gone.values()):
            log.info("let go of what was old: %s", {name: rows for name, rows in gone.items() if rows})
        return None

    return tidy
