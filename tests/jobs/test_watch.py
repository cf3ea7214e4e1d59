"""`concord sync --watch`: one process at a terminal that syncs each connection at its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from house import NOON, Clock, House

from app.engine.run import Report
from app.jobs.watch import watch
from connectors.errors import Unreachable


def _rounds(house: House, clock: Clock, zone: str = "UTC") -> Iterator[tuple[datetime, list[tuple[str, str]]]]:
    """When a round ended, and (connection, outcome) in it; sleeping takes no time."""
    for reports in watch(house.world(), [*house.ids], clock.wait, ZoneInfo(zone)):
        yield clock(), [_told(report) for report in reports]


def _told(report: Report) -> tuple[str, str]:
    return report.connection, report.outcome


@pytest.fixture
def house(houses: Callable[..., House], clock: Clock) -> House:
    return houses(clock)


def test_each_at_its_interval(house: House, clock: Clock) -> None:
    house.connect("crm", schedule="7m")
    house.connect("book")
    rounds = [*islice(_rounds(house, clock), 4)]
    assert [[name for name, _ in told] for _, told in rounds] == [["crm", "book"], ["book"], ["crm"], ["book"]]
    assert [(at - NOON).total_seconds() // 60 for at, _ in rounds] == [0, 5, 7, 10]


def test_nothing_runs_in_quiet_hours(house: House, clock: Clock) -> None:
    house.connect("crm", schedule="1h", quiet="14:30-20:00")
    hours = [at.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") for at, _ in
             islice(_rounds(house, clock, "Europe/Berlin"), 4)]  # fmt: skip
    begins = NOON.astimezone(ZoneInfo("Europe/Berlin"))
    assert hours == [begins.strftime("%H:%M"), (begins + timedelta(hours=1)).strftime("%H:%M"), "20:00", "21:00"]


def test_a_cron_line_is_of_the_place(house: House, clock: Clock) -> None:
    house.connect("crm", schedule="30 18 * * *")
    _, (at, _) = islice(_rounds(house, clock, "Asia/Tokyo"), 2)
    assert at.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%H:%M") == "18:30"


def test_who_fails_is_left_alone_longer_each_time(house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    house.connect("crm", schedule="10s")

    def gone(*_: Any) -> Any:
        raise Unreachable("it cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr("connectors.memory.MemoryConnector.changes", gone)
        rounds = [*islice(_rounds(house, clock), 4)]
    assert {outcome for _, told in rounds for _, outcome in told} == {"failed"}
    times = [at for at, _ in rounds]
    assert [round((b - a).total_seconds()) for a, b in pairwise(times)] == [60, 120, 240]
