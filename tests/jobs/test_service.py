"""All of it together, with real threads and a real clock: what `concord serve` starts beside the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from house import House, Options, card, real_clock, until

from app.jobs.service import Service, start
from app.store import connections, jobs


@pytest.fixture(params=["local", "distributed"])
def house(request: pytest.FixtureRequest, houses: Callable[..., House]) -> Iterator[House]:
    if request.param == "local":
        house = houses(real_clock)
    else:
        house = House(request.getfixturevalue("postgres_url"), real_clock, Options(queue="distributed"))
    for name in ("crm", "book", "mail"):
        house.connect(name, schedule="1h")
    yield house
    house.store.close()


@pytest.fixture
def service(house: House) -> Iterator[Service]:
    service = start(house)
    try:
        until(lambda: len([run for run in house.runs() if run[2] == "done"]) >= 3)
        yield service
    finally:
        assert service.stop(10)


def test_a_change_reaches_the_others_in_seconds(house: House, service: Service) -> None:
    house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    began = time.monotonic()
    service.queue.enqueue("sync", house.ids["crm"])
    until(lambda: house.names("book") == house.names("mail") == ["Ann Abel"])
    assert time.monotonic() - began < 8
    until(lambda: _idle(house, service))
    assert [scope for _, scope, _ in house.runs("book")] == ["sync", "push"]


def test_another_process_takes_the_lead_and_the_work(house: House, service: Service) -> None:
    other = house.beside("house:2")
    heir = start(other)
    until(lambda: house.lease("scheduler") is not None)
    service.stop(5)
    with house.store.begin() as unit:
        connections.update(unit, house.ids["crm"], schedule="5s")
    before = len(house.runs("crm"))
    try:
        until(lambda: len(house.runs("crm")) > before)
    finally:
        assert heir.stop(5)
        other.store.close()


def test_a_removed_connections_job_is_nobodys_trouble(house: House, service: Service) -> None:
    gone = house.ids["mail"]
    with house.store.begin() as unit:
        connections.remove(unit, gone)
    del house.ids["mail"]
    service.queue.enqueue("sync", house.ids["crm"])
    if house.settings.queue == "distributed":
        service.queue.enqueue("sync", gone)
    until(lambda: _idle(house, service) and house.runs("crm")[-1][2] == "done")


def _idle(house: House, service: Service) -> bool:
    with house.store.read() as unit:
        return not service.queue.listing(unit)


def test_a_command_at_a_terminal_goes_first(houses: Callable[..., House]) -> None:
    """A worker waits for it, and does not take its lease for a dead one's."""
    from app.engine.run import lease
    from app.jobs.perform import BUSY, Performer
    from app.jobs.queue import Task
    from app.jobs.schedule import zone_of

    house = houses(real_clock)
    house.connect("crm")
    from app.jobs.local import LocalQueue

    queue = LocalQueue(house.store, "h")
    perform = Performer(house.store, lambda at: house.world(at=at), queue, zone_of("UTC"), {})
    with lease(house.world(), "crm"):
        again = perform(Task("sync", house.ids["crm"], lambda: False))
        assert again is not None
        assert again <= house.store.clock() + BUSY
        assert house.runs() == []
    assert perform(Task("sync", house.ids["crm"], lambda: False)) is None
    assert house.runs() == [("crm", "sync", "done")]
    with house.store.begin() as unit:
        jobs.put(unit, "sync", house.ids["crm"], unit.now)
