"""The queue on many machines: Procrastinate on our PostgreSQL database.

A job is put into the transaction of its cause; workers hear of it by LISTEN/NOTIFY. Procrastinate's `lock` lets one job
of a connection run, its `queueing_lock` lets one wait. Every worker looks every few seconds for jobs of workers that
have not been heard of, and lets them wait again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector, exceptions
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.jobs import Job as BrokerJob
from procrastinate.schema import SchemaManager
from procrastinate.worker import Worker as BrokerWorker

from app.jobs.queue import HEARTBEAT, TAKEOVER, Perform, Task
from app.store import broker
from app.store.jobs import Job, Kind, lock_of
from app.store.store import Store, Unit

log = logging.getLogger(__name__)

TASK: Final = "concord.job"
LOOK: Final = 1.0
"""Seconds after which a worker looks for jobs whose time has come; of others it is told."""
RESCUE: Final = 2.0
"""Seconds between two looks for jobs of the dead."""
AGAIN: Final = timedelta(seconds=30)
LAST_CALL: Final = 5.0
RECONNECT: Final = 2.0
TURNS: Final = 5
"""How often a job is put in that another worker begins in that very moment."""


class BadQueue(ValueError):
    """The queue cannot be used with this database; the message says what to do."""


class DistributedQueue:
    """See `app.jobs.queue.Queue`."""

    def __init__(self, store: Store) -> None:
        if store.engine.dialect.name != "postgresql":
            raise BadQueue(
                "CONCORD_QUEUE=distributed needs PostgreSQL; set CONCORD_DATABASE_URL, or CONCORD_QUEUE=local"
            )
        self._store = store
        self.url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        # Never opened: jobs are put in over the store's connections.
        self._app = App(connector=SyncPsycopgConnector(conninfo=self.url))
        migrations = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        with store.begin() as unit:
            broker.install(unit, SchemaManager.get_schema(), migrations)

    def enqueue(
        self, kind: Kind, connection: int | None = None, *, after: datetime | None = None, unit: Unit | None = None
    ) -> bool:
        with contextlib.nullcontext(unit) if unit else self._store.begin() as here:
            for _ in range(TURNS):
                if self._put(here, kind, connection, after):
                    return True
                if broker.hurry(here, kind, connection, after):
                    return False
        raise BadQueue(f"the job {lock_of(kind, connection)} can neither be put in nor found")

    def _put(self, unit: Unit, kind: Kind, connection: int | None, after: datetime | None) -> bool:
        raw, lock = broker.driver(unit), lock_of(kind, connection)
        job = self._app.configure_task(TASK, lock=lock, queueing_lock=lock, schedule_at=after, connection=raw)
        try:
            with raw.transaction():  # a savepoint: the unit survives a job that waits already
                job.defer(kind=kind, connection_id=connection)
        except exceptions.AlreadyEnqueued:
            return False
        return True

    def listing(self, unit: Unit) -> list[Job]:
        return broker.listing(unit)

    def worker(self, perform: Perform, lanes: int) -> DistributedWorker:
        return DistributedWorker(self, self._store.clock, perform, lanes)

    def close(self) -> None:
        """There is nothing to let go of: the store is not ours."""


class DistributedWorker:
    """See `app.jobs.queue.Worker`. Procrastinate's event loop has a thread of its own; jobs have one each."""

    def __init__(self, queue: DistributedQueue, clock: Callable[[], datetime], perform: Perform, lanes: int) -> None:
        self._queue, self._clock, self._perform, self._lanes = queue, clock, perform, lanes
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="jobs", daemon=True)
        self._stop, self._last_call = threading.Event(), threading.Event()
        self._worker: BrokerWorker | None = None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace: float) -> bool:
        self._stop.set()
        if worker := self._worker:
            worker.stop()  # type: ignore[no-untyped-call]
        self._join(grace)
        if self._thread.is_alive():
            self._last_call.set()
            log.info("grace is over; what still runs stops at its next good moment")
        self._join(LAST_CALL)
        return not self._thread.is_alive()

    def _join(self, patience: float) -> None:
        if self._thread.is_alive():
            self._thread.join(patience)

    # --- in the event loop

    async def _main(self) -> None:
        while not self._stop.is_set():
            try:
                await self._work()
            except Exception:
                log.exception("the database of the jobs is lost; trying again")
                await asyncio.sleep(RECONNECT)

    async def _work(self) -> None:
        app = App(connector=PsycopgConnector(conninfo=self._queue.url, min_size=1, max_size=4))
        app.task(name=TASK)(self._job)
        async with app.open_async():
            worker = BrokerWorker(
                app,
                concurrency=self._lanes,
                fetch_job_polling_interval=LOOK,
                update_heartbeat_interval=HEARTBEAT,
                stalled_worker_timeout=TAKEOVER,
                delete_jobs=DeleteJobCondition.ALWAYS,
                install_signal_handlers=False,
            )
            beside = [asyncio.create_task(self._live(app, worker)), asyncio.create_task(self._rescue(app))]
            self._worker = worker
            try:
                if not self._stop.is_set():
                    await self._run(worker)
            finally:
                self._worker = None
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

    async def _run(self, worker: BrokerWorker) -> None:
        """Until it is told to stop; also where that was said before it began to listen."""
        running = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
        while not running.done():
            if self._stop.is_set():
                worker.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait([running], timeout=LOOK)
        running.result()

    async def _live(self, app: App, worker: BrokerWorker) -> None:
        """Signs of life to the very end: Procrastinate gives none while it waits for the last jobs."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            if worker.worker_id is not None:
                with contextlib.suppress(exceptions.ConnectorException):
                    await app.job_manager.update_heartbeat(worker.worker_id)

    async def _rescue(self, app: App) -> None:
        while True:
            try:
                for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=TAKEOVER):
                    await _again(app, job)
            except exceptions.ConnectorException:
                log.warning("jobs of the dead could not be looked for; trying again", exc_info=True)
            await asyncio.sleep(RESCUE)

    # --- a job

    async def _job(self, kind: Kind, connection_id: int | None) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            self._do(kind, connection_id)
            loop.call_soon_threadsafe(ended.set_result, None)

        # A daemon: a job that stops nowhere does not keep the process from ending.
        threading.Thread(target=run, name=lock_of(kind, connection_id), daemon=True).start()
        await ended

    def _do(self, kind: Kind, connection_id: int | None) -> None:
        try:
            again = self._perform(Task(kind, connection_id, self._last_call.is_set))
        except Exception:
            log.exception("%s failed; it is tried again in %d s", kind, AGAIN.total_seconds())
            again = self._clock() + AGAIN
        try:
            if again is not None:
                self._queue.enqueue(kind, connection_id, after=again)
        except Exception:
            log.exception("%s could not be put in again; the scheduler does, at its next turn", kind)


async def _again(app: App, job: BrokerJob) -> None:
    """A job of a worker that died waits again, unless another one of its lock does."""
    try:
        await app.job_manager.retry_job(job)
        log.warning("a worker died while it was at %s; the job is done again", job.lock)
    except exceptions.UniqueViolation:
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
    except exceptions.ConnectorException:
        log.debug("%s was rescued by another worker", job.lock)
