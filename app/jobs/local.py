"""The queue without a broker: our own table, and threads in the process that works it off.

Any number of processes may share it, on SQLite and PostgreSQL alike. A worker says every few seconds that it lives;
jobs of one that does not are taken over by the next that looks.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from datetime import datetime, timedelta
from typing import Final

from app.jobs.queue import HEARTBEAT, TAKEOVER, Perform, Task
from app.store import jobs
from app.store.jobs import Job, Kind
from app.store.store import Store, Unit

log = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds after which a worker looks for jobs that other processes put in; its own process wakes it at once."""
AGAIN: Final = timedelta(seconds=30)
"""When a job is tried again of which nobody knows why it failed."""
LAST_CALL: Final = 5.0
"""Seconds within which jobs must reach a good moment to stop, once they are asked to."""


class LocalQueue:
    """See `app.jobs.queue.Queue`."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store, self._owner = store, owner
        self.news = threading.Event()

    def enqueue(
        self, kind: Kind, connection: int | None = None, *, after: datetime | None = None, unit: Unit | None = None
    ) -> bool:
        with contextlib.nullcontext(unit) if unit else self._store.begin() as here:
            put = jobs.put(here, kind, connection, after or here.now)
            here.committed.append(self.news.set)  # woken earlier, the worker would not see it
        return put

    def listing(self, unit: Unit) -> list[Job]:
        return jobs.listing(unit)

    def worker(self, perform: Perform, lanes: int) -> LocalWorker:
        return LocalWorker(self._store, self, f"{jobs.WORKER}{self._owner}/{uuid.uuid4().hex[:8]}", perform, lanes)

    def close(self) -> None:
        """There is nothing to let go of: the store is not ours."""


class LocalWorker:
    """See `app.jobs.queue.Worker`. name: in the table; no two living workers have the same."""

    def __init__(self, store: Store, queue: LocalQueue, name: str, perform: Perform, lanes: int) -> None:
        self._store, self._queue, self._name, self._perform, self._lanes = store, queue, name, perform, lanes
        self._running: set[str] = set()
        self._moved = threading.Condition()
        self._stop, self._last_call, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="jobs", daemon=True),
            threading.Thread(target=self._live, name="jobs-heartbeat", daemon=True),
        ]

    @property
    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, grace: float) -> bool:
        self._stop.set()
        self._queue.news.set()
        if not self._idle(grace):
            self._last_call.set()
            log.info("grace is over; what still runs stops at its next good moment")
        idle = self._idle(LAST_CALL)
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(HEARTBEAT)
        return idle

    # --- taking jobs

    def _work(self) -> None:
        while not self._stop.is_set():
            self._queue.news.clear()
            try:
                taken = self._look()
            except Exception:
                log.exception("looking for jobs failed; trying again")
                taken = False
            if not taken and not self._stop.is_set():
                self._queue.news.wait(LOOK)

    def _look(self) -> bool:
        """Start the next job; False where there is none, or no lane."""
        if len(self._running) >= self._lanes:
            return False
        with self._store.read() as unit:
            if not jobs.pressing(unit):
                return False  # most looks end here, and write nothing
        with self._store.begin() as unit:
            for dead in jobs.take_over(unit):
                log.warning("%s died while it was at %s; the job is done again", dead.worker, dead.lock)
            job = jobs.take(unit, self._name, TAKEOVER)
        if job is None:
            return False
        with self._moved:
            self._running.add(job.lock)
        threading.Thread(target=self._do, args=(job,), name=job.lock, daemon=True).start()
        return True

    def _do(self, job: Job) -> None:
        try:
            self._settle(job, self._outcome(job))
        except Exception:
            # The store is not to be had: nobody hears that the job is over, so it is taken over, and that is right.
            log.exception("the end of %s could not be stored", job.lock)
        finally:
            with self._moved:
                self._running.discard(job.lock)
                self._moved.notify_all()
            self._queue.news.set()

    def _outcome(self, job: Job) -> datetime | None:
        try:
            return self._perform(Task(job.kind, job.connection_id, self._last_call.is_set))
        except Exception:
            log.exception("%s failed; it is tried again in %d s", job.lock, AGAIN.total_seconds())
            return self._store.clock() + AGAIN

    def _settle(self, job: Job, again: datetime | None) -> None:
        with self._store.begin() as unit:
            if again is not None:
                jobs.hand_back(unit, job, again)
            else:
                jobs.finish(unit, job)

    # --- staying alive, and coming to an end

    def _live(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            if not self._running:
                continue
            try:
                with self._store.begin() as unit:
                    jobs.keep(unit, self._name, TAKEOVER)
            except Exception:
                log.warning("the sign of life could not be given; trying again", exc_info=True)

    def _idle(self, patience: float) -> bool:
        with self._moved:
            return self._moved.wait_for(lambda: not self._running, patience)
