"""The queue on PostgreSQL with Procrastinate: the same promises, in its own ways."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from house import Bench, House, real_clock, until

from app.jobs.distributed import BadQueue, DistributedQueue
from app.store import broker, jobs
from app.store.jobs import Job


@pytest.fixture
def house(postgres_url: str) -> Iterator[House]:
    house = House(postgres_url, real_clock)
    for name in ("crm", "book", "mail"):
        house.connect(name)
    yield house
    house.store.close()


@pytest.fixture
def queue(house: House) -> DistributedQueue:
    return DistributedQueue(house.store)


def _jobs(house: House, queue: DistributedQueue) -> list[Job]:
    with house.store.read() as unit:
        return queue.listing(unit)


def test_it_wants_postgresql() -> None:
    house = House("sqlite://", real_clock)
    with pytest.raises(BadQueue, match="needs PostgreSQL"):
        DistributedQueue(house.store)
    house.store.close()


def test_the_tables_are_made_once_and_their_version_is_known(house: House, queue: DistributedQueue) -> None:
    DistributedQueue(house.store)
    with house.store.read() as unit:
        found = unit.db.exec_driver_sql("SELECT obj_description('procrastinate_jobs'::regclass, 'pg_class')").scalar()
    assert found and found.endswith(".sql")


def test_newer_scripts_are_run_in_order(house: House, queue: DistributedQueue, tmp_path: object) -> None:
    from pathlib import Path

    files = []
    for name, words in (("99.01_a.sql", "CREATE TABLE newer (id int)"), ("99.02_b.sql", "DROP TABLE newer")):
        file = Path(str(tmp_path)) / name
        file.write_text(f"{words}; -- 100%")
        files.append(file)
    with house.store.begin() as unit:
        broker.install(unit, "nonsense", files)
        broker.install(unit, "nonsense", files)


def test_asking_twice_is_asking_once_at_the_earlier_time(house: House, queue: DistributedQueue) -> None:
    now = house.store.clock()
    assert queue.enqueue("push", 1, after=now + timedelta(hours=1))
    assert not queue.enqueue("push", 1, after=now + timedelta(hours=2))
    [job] = _jobs(house, queue)
    assert job.due == now + timedelta(hours=1)
    assert not queue.enqueue("sync", 1)
    [job] = _jobs(house, queue)
    assert (job.kind, job.state) == ("sync", "waiting")
    assert job.due <= house.store.clock() + timedelta(seconds=5)
    assert not queue.enqueue("push", 1)
    [job] = _jobs(house, queue)
    assert job.kind == "sync", "which writes as well"


def test_a_job_is_there_only_if_its_cause_is(house: House, queue: DistributedQueue) -> None:
    with house.store.trial() as unit:
        queue.enqueue("sync", 1, unit=unit)
        assert queue.listing(unit)
    assert _jobs(house, queue) == []
    with house.store.begin() as unit:
        queue.enqueue("sync", 1, unit=unit)
        assert not queue.enqueue("sync", 1, unit=unit), "and the unit of work goes on"
        queue.enqueue("sync", 2, unit=unit)
    assert [job.connection_id for job in _jobs(house, queue)] == [1, 2]


def test_one_of_a_connection_at_a_time_and_all_are_done(house: House, queue: DistributedQueue) -> None:
    bench = Bench()
    bench.gate.clear()
    worker = queue.worker(bench, lanes=8)
    worker.start()
    for connection in (1, 2, 3):
        queue.enqueue("sync", connection)
    until(lambda: len(bench.running) == 3)
    queue.enqueue("push", 1)
    until(lambda: {job.state for job in _jobs(house, queue)} == {"running", "waiting"})
    bench.gate.set()
    until(lambda: _jobs(house, queue) == [])
    assert worker.stop(5)
    assert sorted(bench.done) == [("push", 1), ("sync", 1), ("sync", 2), ("sync", 3)]
    assert set(bench.most.values()) == {1}


def test_what_cannot_be_done_now_waits_again(house: House, queue: DistributedQueue) -> None:
    later = house.store.clock() + timedelta(hours=1)
    bench = Bench(again=[later])
    worker = queue.worker(bench, lanes=1)
    queue.enqueue("sync", 1)
    worker.start()
    until(lambda: bool(bench.done) and [job.state for job in _jobs(house, queue)] == ["waiting"])
    assert worker.stop(5)
    [job] = _jobs(house, queue)
    assert job.due == later


def test_a_job_that_breaks_harms_no_other(house: House, queue: DistributedQueue) -> None:
    done: list[int | None] = []

    def perform(task: object) -> None:
        if task.connection_id == 1:  # type: ignore[attr-defined]
            raise RuntimeError("planted")
        done.append(task.connection_id)  # type: ignore[attr-defined]

    worker = queue.worker(perform, lanes=1)
    worker.start()
    queue.enqueue("sync", 1)
    queue.enqueue("sync", 2)
    until(lambda: done == [2])
    assert worker.stop(5)
    assert [(job.connection_id, job.state) for job in _jobs(house, queue)] == [(1, "waiting")]


def test_a_worker_may_stop_before_it_has_begun(queue: DistributedQueue) -> None:
    worker = queue.worker(Bench(), lanes=1)
    worker.start()
    assert worker.stop(10)
    assert queue.worker(Bench(), lanes=1).stop(1)


def test_a_worker_that_ends_finishes_what_runs_and_begins_nothing(house: House, queue: DistributedQueue) -> None:
    bench = Bench()
    bench.gate.clear()
    worker = queue.worker(bench, lanes=1)
    worker.start()
    queue.enqueue("sync", 1)
    until(lambda: bool(bench.running))
    queue.enqueue("sync", 2)
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(worker.stop, 10)
        time.sleep(0.5)
        bench.gate.set()
        assert ended.result()
    assert bench.done == [("sync", 1)]
    assert [(job.connection_id, job.state) for job in _jobs(house, queue)] == [(2, "waiting")]


def test_two_jobs_of_one_lock_after_a_death_become_one(house: House, queue: DistributedQueue) -> None:
    """The dead one's runs, another waits: it cannot wait a second time."""
    queue.enqueue("sync", 1)
    with house.store.begin() as unit:
        unit.db.exec_driver_sql("UPDATE procrastinate_jobs SET status = 'doing'")  # of a worker that is gone
    queue.enqueue("push", 1)
    assert len(_jobs(house, queue)) == 2
    bench = Bench()
    worker = queue.worker(bench, lanes=1)
    worker.start()
    until(lambda: _jobs(house, queue) == [])
    assert worker.stop(5)
    assert len(bench.done) == 1


def test_locks_are_those_of_the_local_queue() -> None:
    assert jobs.lock_of("sync", 7) == jobs.lock_of("push", 7) != jobs.lock_of("sync", 8)
