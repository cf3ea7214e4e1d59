"""The benchmarks of the daemon, as small as they can be: they run, and what they measure is what happened."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import api, latency, page, throughput
from benchmarks.figure import Figure


def test_latency_of_a_change() -> None:
    middle, slow = latency.measure(4, changes=3, pace=0.0)
    assert 0 < middle.floor < middle.value <= slow.value, "nothing is quicker than its own requests"
    assert middle.target and middle.held is (middle.value < 1_000)


def test_the_api() -> None:
    figures = {figure.name: figure for figure in api.measure([20], requests=5)}
    assert set(figures) == {f"api_{what}_{which}" for what in ("read", "search", "edit") for which in ("median", "p99")}
    assert all(figure.floor > 0 and figure.value > 0 for figure in figures.values())
    for name in ("api_read_median", "api_search_median"):
        assert figures[name].floor < figures[name].value
    assert all(kind in figures["api_search_median"].note for kind in api.SEARCHES)


def test_throughput_of_workers() -> None:
    one, two = throughput.measure(2, workers=(1, 2), remotes=3, delay=0.01)
    assert (one.name, two.name, one.n) == ("workers_1", "workers_2", 6)
    assert 0 < one.value < one.floor and 0 < two.value < two.floor, "no quicker than if nothing but answers took time"


def test_what_was_not_measured_now_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latest, shown = tmp_path / "latest.json", tmp_path / "figures.md"
    monkeypatch.setattr(benchmarks, "LATEST", latest)
    monkeypatch.setattr(page, "PAGE", shown)
    shown.write_text(
        f"# Figures\n\n{page.HEAD}| first_pull | 7 | as it was |\n| api_read_median | 8 | old |\n\nThe end.\n"
    )
    latest.write_text(json.dumps([{"name": "first_pull", "n": 7}, {"name": "api_read_median", "n": 8}]))
    figure = Figure("api_read_median", 20, 12_345.6, "ms", 1.0, 2.06, "< 1 ms", False, "slowly")
    monkeypatch.setattr(api, "measure", lambda sizes: iter([figure]))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "api", "--sizes", "20", "--page"])
    assert benchmarks.main() == 1, "a target was missed"
    assert [(row["name"], row["n"]) for row in json.loads(latest.read_text())] == [("first_pull", 7), (figure.name, 20)]
    assert shown.read_text() == (
        f"# Figures\n\n{page.HEAD}| first_pull | 7 | as it was |\n"
        "| api_read_median | 20 | 12,346 ms | 1 ms | 2.06 | < 1 ms: missed | slowly |\n\nThe end.\n"
    )


def test_the_page_tells_the_figures_of_the_daemon() -> None:
    text = page.PAGE.read_text()
    table = text.partition(page.HEAD)[2]
    for name in ("latency_median", "api_read_p99", "api_search_p99", "api_edit_p99", "workers_1", "workers_4"):
        assert f"\n| {name} |" in f"\n{table}"
    assert page.rewritten(text, []) == text
