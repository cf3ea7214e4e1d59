"""The queue in our own table: what the port promises, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from house import NOON, Bench, Clock, House, real_clock, until

from app.jobs.local import LocalQueue
from app.jobs.queue import TAKEOVER
from app.store import jobs


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[House]:
    url = f"sqlite:///{tmp_path / 'concord.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    house = House(url, clock)
    for name in ("crm", "book", "mail"):
        house.connect(name)
    yield house
    house.store.close()


@pytest.fixture
def queue(house: House) -> LocalQueue:
    return LocalQueue(house.store, "host:1")


def _take(house: House, worker: str = "worker a") -> jobs.Job | None:
    with house.store.begin() as unit:
        return jobs.take(unit, worker, TAKEOVER)


def _waiting(house: House) -> list[tuple[str, str]]:
    with house.store.read() as unit:
        return [(job.lock, job.kind) for job in jobs.listing(unit) if job.state == "waiting"]


def test_the_one_that_has_been_due_for_longest_comes_first(house: House, queue: LocalQueue, clock: Clock) -> None:
    queue.enqueue("sync", 1, after=NOON - timedelta(minutes=1))
    queue.enqueue("sync", 2, after=NOON - timedelta(minutes=2))
    queue.enqueue("sync", 3, after=NOON + timedelta(minutes=1))
    assert [job.connection_id for job in iter(lambda: _take(house), None)] == [2, 1]
    clock.wait(61)
    found = _take(house)
    assert found and found.connection_id == 3


def test_asking_twice_is_asking_once_at_the_earlier_time(house: House, queue: LocalQueue) -> None:
    assert queue.enqueue("push", 1, after=NOON + timedelta(hours=1))
    assert not queue.enqueue("push", 1, after=NOON + timedelta(hours=2))
    assert queue.enqueue("sync", 1), "it is earlier, and more"
    assert not queue.enqueue("push", 1)
    assert _waiting(house) == [("sync:1", "sync")]
    assert _take(house)


def test_of_one_connection_one_runs_and_one_waits(house: House, queue: LocalQueue) -> None:
    queue.enqueue("sync", 1)
    first = _take(house)
    assert first
    assert queue.enqueue("push", 1), "news that came while it runs"
    assert _take(house, "worker b") is None
    with house.store.begin() as unit:
        assert jobs.finish(unit, first)
    assert _take(house, "worker b")


def test_a_job_is_there_only_if_its_cause_is(house: House, queue: LocalQueue) -> None:
    with house.store.trial() as unit:
        queue.enqueue("sync", 1, unit=unit)
    assert _waiting(house) == []


def test_a_worker_is_woken_when_its_job_can_be_seen(house: House, queue: LocalQueue) -> None:
    """Woken by a job that is not committed yet, it would find nothing and sleep on."""
    with house.store.trial() as unit:
        queue.enqueue("sync", 1, unit=unit)
    assert not queue.news.is_set()
    with house.store.begin() as unit:
        queue.enqueue("sync", 1, unit=unit)
        assert not queue.news.is_set()
    assert queue.news.is_set()


def test_a_job_of_the_dead_is_taken_over_and_one_of_the_living_is_not(house: House, clock: Clock) -> None:
    queue = LocalQueue(house.store, "host:1")
    queue.enqueue("sync", 1)
    queue.enqueue("sync", 2)
    dead, living = _take(house, "worker a"), _take(house, "worker b")
    assert dead and living
    clock.wait(TAKEOVER - 1)
    with house.store.begin() as unit:
        assert jobs.keep(unit, "worker b", TAKEOVER) == {living.lock}
        assert jobs.take_over(unit) == []
    clock.wait(2)
    with house.store.begin() as unit:
        assert [job.lock for job in jobs.take_over(unit)] == [dead.lock]
    again = _take(house, "worker c")
    assert again and again.lock == dead.lock
    with house.store.begin() as unit:
        assert not jobs.finish(unit, dead), "who was taken for dead has nothing to say about it any more"
        assert jobs.finish(unit, again)


def test_taken_over_it_becomes_one_with_the_one_that_waits(house: House, queue: LocalQueue, clock: Clock) -> None:
    queue.enqueue("sync", 1)
    assert _take(house)
    queue.enqueue("push", 1)
    clock.wait(TAKEOVER + 1)
    with house.store.begin() as unit:
        jobs.take_over(unit)
    assert _waiting(house) == [("sync:1", "sync")]


def test_a_connection_that_goes_takes_its_jobs_along(house: House, queue: LocalQueue) -> None:
    from app.store import connections

    queue.enqueue("sync", 1)
    with house.store.begin() as unit:
        connections.remove(unit, 1)
    assert _waiting(house) == []


# --- with threads


def test_a_worker_does_all_of_them_and_never_two_of_one_connection(houses: Callable[..., House]) -> None:
    house = houses(real_clock)
    for name in ("crm", "book", "mail"):
        house.connect(name)
    queue, bench = LocalQueue(house.store, "host:1"), Bench()
    worker = queue.worker(bench, lanes=4)
    worker.start()
    for number in range(30):
        queue.enqueue("sync", 1 + number % 3)
    until(lambda: _waiting(house) == [] and not bench.running)
    assert worker.stop(5)
    assert {connection for _, connection in bench.done} == {1, 2, 3}
    assert set(bench.most.values()) == {1}


def test_two_workers_share_the_work(houses: Callable[..., House]) -> None:
    house = houses(real_clock)
    for name in ("crm", "book", "mail"):
        house.connect(name)
    other = house.beside("house:2")
    queues = [LocalQueue(house.store, "host:1"), LocalQueue(other.store, "host:2")]
    benches = [Bench(), Bench()]
    workers = [queue.worker(bench, lanes=1) for queue, bench in zip(queues, benches, strict=True)]
    benches[0].gate.clear()
    benches[1].gate.clear()
    queues[0].enqueue("sync", 1)
    queues[0].enqueue("sync", 2)
    for worker in workers:
        worker.start()
    until(lambda: all(len(bench.running) == 1 for bench in benches))
    assert {benches[0].running[0][1], benches[1].running[0][1]} == {1, 2}
    for bench in benches:
        bench.gate.set()
    assert all(worker.stop(5) for worker in workers)
    other.store.close()


def test_a_worker_that_ends_finishes_what_runs_and_begins_nothing(houses: Callable[..., House]) -> None:
    house = houses(real_clock)
    house.connect("crm")
    house.connect("book")
    queue, bench = LocalQueue(house.store, "host:1"), Bench()
    worker = queue.worker(bench, lanes=1)
    bench.gate.clear()
    queue.enqueue("sync", 1)
    worker.start()
    until(lambda: bool(bench.running))
    queue.enqueue("sync", 2)
    import threading

    threading.Timer(0.3, bench.gate.set).start()
    assert worker.stop(10)
    assert bench.done == [("sync", 1)]
    assert not bench.asked
    assert _waiting(house) == [("sync:2", "sync")]


def test_what_does_not_end_in_time_is_handed_back(houses: Callable[..., House]) -> None:
    house = houses(real_clock)
    house.connect("crm")
    queue, bench = LocalQueue(house.store, "host:1"), Bench()
    worker = queue.worker(bench, lanes=1)
    bench.gate.clear()
    queue.enqueue("sync", 1)
    worker.start()
    until(lambda: bool(bench.running))
    assert worker.stop(0.1)
    assert bench.asked
    assert bench.done == []
    assert _waiting(house) == [("sync:1", "sync")]


def test_a_job_that_breaks_is_tried_again_later_and_harms_no_other(houses: Callable[..., House]) -> None:
    house = houses(real_clock)
    house.connect("crm")
    house.connect("book")
    done = []

    def perform(task: object) -> None:
        if task.connection_id == 1:  # type: ignore[attr-defined]
            raise RuntimeError("planted")
        done.append(task)

    queue = LocalQueue(house.store, "host:1")
    queue.enqueue("sync", 1)
    queue.enqueue("sync", 2)
    worker = queue.worker(perform, lanes=2)
    worker.start()
    until(lambda: bool(done) and len(_waiting(house)) == 1)
    assert worker.stop(5)
    with house.store.read() as unit:
        [left] = jobs.listing(unit)
        assert left.connection_id == 1
        assert left.due > unit.now + timedelta(seconds=10)


def test_a_worker_says_that_it_lives_for_as_long_as_a_job_takes(
    houses: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.jobs import local

    monkeypatch.setattr(local, "HEARTBEAT", 0.05)
    house = houses(real_clock)
    house.connect("crm")
    queue, bench = LocalQueue(house.store, "host:1"), Bench()
    bench.gate.clear()
    worker = queue.worker(bench, lanes=1)
    queue.enqueue("sync", 1)
    worker.start()
    until(lambda: bool(bench.running))

    def promised() -> float:
        with house.store.read() as unit:
            [job] = jobs.listing(unit)
        assert job.until
        return job.until.timestamp()

    first = promised()
    until(lambda: promised() > first + 0.1)
    bench.gate.set()
    assert worker.stop(5)
