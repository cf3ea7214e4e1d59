"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from house import Clock, House, card
from prometheus_client.parser import text_string_to_metric_families

from app.engine.run import sync
from app.jobs.metrics import Metrics
from app.store import connections, runs


@pytest.fixture
def house(houses: Callable[..., House], clock: Clock) -> House:
    house = houses(clock)
    house.connect("crm")
    house.connect("book")
    house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    return house


def _read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """{(name, label values…): value}."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_how_things_stand(house: House, clock: Clock) -> None:
    metrics = Metrics(house.store)
    assert ("concord_lag_seconds", "crm") not in _read(metrics), "it was never read"
    sync(house.world(), "crm")
    clock.wait(90)
    found = _read(metrics)
    assert found["concord_lag_seconds", "crm"] == pytest.approx(90, abs=1)
    assert found["concord_pushes", "book", "owed"] == 1
    assert found["concord_push_wait_seconds", "book"] == pytest.approx(90, abs=1)
    assert found["concord_pushes", "crm", "aside"] == 0
    assert found["concord_people", "live"] == 1
    assert found["concord_connection_active", "crm"] == 1
    with house.store.begin() as unit:
        connections.update(unit, house.ids["crm"], state="paused")
        runs.refuse(unit, house.ids["crm"], {"r1": "why", "r2": "why"}, {})
    found = _read(metrics)
    assert found["concord_connection_active", "crm"] == 0
    assert found["concord_refused_records", "crm"] == 2


def test_what_happened_is_counted_once_whoever_did_it(house: House, clock: Clock) -> None:
    sync(house.world(), "crm")
    metrics = Metrics(house.store)
    assert ("concord_runs_total", "crm", "done") not in _read(metrics), "that was before"
    elsewhere = house.beside("house:2")
    sync(elsewhere.world(), "book")
    for _ in range(2):
        found = _read(metrics)
        assert found["concord_runs_total", "book", "done"] == 1
        assert found["concord_contacts_total", "book", "created"] == 1
        assert found["concord_requests_total", "book"] >= 1
        assert found["concord_run_seconds_count", "book"] == 1
    elsewhere.store.close()


def test_a_run_is_counted_when_it_ends(house: House, clock: Clock) -> None:
    with house.store.begin() as unit:
        before = runs.start(unit, house.ids["crm"])
    metrics = Metrics(house.store)
    with house.store.begin() as unit:
        slow = runs.start(unit, house.ids["book"])
    assert ("concord_runs_total", "book", "done") not in _read(metrics)
    clock.wait(20)
    with house.store.begin() as unit:
        runs.finish(unit, slow, "done", None, {"requests": 7})
        runs.finish(unit, before, "failed", "why", {})
    found = _read(metrics)
    assert found["concord_runs_total", "book", "done"] == 1
    assert found["concord_requests_total", "book"] == 7
    assert found["concord_runs_total", "crm", "failed"] == 1
    assert found["concord_run_seconds_sum", "book"] == pytest.approx(20, abs=1)


def test_the_requests_that_are_left_are_told(house: House) -> None:
    metrics = Metrics(house.store)
    assert not [key for key in _read(metrics) if key[0] == "concord_request_budget_left"]
    for budget in ({"day": 900, "minute": 5}, {"day": 880, "burst": 3}):
        with house.store.begin() as unit:
            runs.finish(unit, runs.start(unit, house.ids["book"]), "done", None, {"budget": budget})
    with house.store.begin() as unit:
        runs.start(unit, house.ids["book"])  # what runs has not told yet
    found = {key[1:]: value for key, value in _read(metrics).items() if key[0] == "concord_request_budget_left"}
    assert found == {("book", "day"): 880, ("book", "burst"): 3}
