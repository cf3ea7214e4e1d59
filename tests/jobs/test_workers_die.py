"""Workers that are killed, and workers that are told to end: no job is lost, and none runs twice at a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import until
from processes import Plant, plant

WITHIN = 15.0
"""Seconds in which a dead worker's job has to be done by another one."""


@pytest.fixture(params=["local", "distributed"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    url = request.getfixturevalue("postgres_url") if request.param == "distributed" else None
    with plant(tmp_path, url, request.param) as made:
        yield made


def test_a_killed_workers_job_is_taken_over_within_seconds(site: Plant) -> None:
    site.remote.gate.clear()
    with site.worker() as doomed:
        until(lambda: site.remote.asked > 0)
        with site.worker() as heir:
            site.wait_for_workers(2)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
            died = time.monotonic()
            site.remote.gate.set()
            until(lambda: "done" in site.outcomes(), WITHIN)
            assert time.monotonic() - died < WITHIN
            assert site.outcomes() == ["running", "done"], "the dead one's run never ended"
            heir.send_signal(signal.SIGTERM)
            assert heir.wait(15) == 0, site.log()


def test_told_to_end_it_finishes_what_runs(site: Plant) -> None:
    site.remote.gate.clear()
    with site.worker() as worker:
        until(lambda: site.remote.asked > 0)
        worker.send_signal(signal.SIGTERM)
        until(lambda: "told to end" in site.log())
        site.remote.gate.set()
        assert worker.wait(15) == 0, site.log()
    assert site.outcomes() == ["done"]
    assert _jobs(site) == []


def test_a_daemon_that_is_told_to_end_finishes_what_runs(site: Plant) -> None:
    site.remote.gate.clear()
    with site.worker("--port", "0", command="serve") as daemon:
        until(lambda: site.remote.asked > 0)
        daemon.send_signal(signal.SIGTERM)
        until(lambda: "Shutting down" in site.log())
        site.remote.gate.set()
        assert daemon.wait(15) == 0, site.log()
    assert site.outcomes() == ["done"]
    assert _jobs(site) == []


def test_told_to_end_at_once_it_hands_back(site: Plant) -> None:
    site.remote.gate.clear()
    with site.worker("--grace", "0") as worker:
        until(lambda: site.remote.asked > 0)
        worker.send_signal(signal.SIGTERM)
        until(lambda: "grace is over" in site.log())
        site.remote.gate.set()
        assert worker.wait(15) == 0, site.log()
    assert site.outcomes() == ["busy"]
    assert _jobs(site) == [("waiting", "sync")]
    with site.worker() as heir:
        until(lambda: "done" in site.outcomes())
        heir.send_signal(signal.SIGTERM)
        assert heir.wait(15) == 0


def _jobs(site: Plant) -> list[tuple[str, str]]:
    from app.jobs.service import open_queue

    with site.store.read() as unit:
        return [(job.state, job.kind) for job in open_queue(site.application).listing(unit) if job.connection_id]
