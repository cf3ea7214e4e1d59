"""Told to end in the middle of a sync: it says what that means, forgets nothing, and is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
from desk import Desk

from app.cli import common as cli

PROMISE = "interrupted; what was committed stays, the rest is done by the next run"
ROWS = [
    {"firstname": "Ada", "lastname": f"N{n}", "email": f"n{n}@x.test", "mobile": f"+44 7700 9{n:05}"} for n in range(40)
]


@pytest.fixture
def two(desk: Desk) -> Iterator[Desk]:
    with desk.system("crm", "vtiger") as crm, desk.system("google", "google"):
        crm.seed(ROWS)
        desk("apply", desk.file(desk.entry("crm", "vtiger"), desk.entry("google", "google")))
        yield desk


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def told_to_end(begun: Callable[[str], object], *command: str, number: int = signal.SIGINT, times: int = 1) -> str:
    """What the command says that is told to end as soon as that is true. begun: is given what it has said so far."""
    with tempfile.TemporaryFile("w+") as file:
        said = lambda: os.pread(file.fileno(), 1_000_000, 0).decode()  # noqa: E731
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *command],
            env={**os.environ},
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            # who runs us in the background may have us ignore it, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # type: ignore[arg-type, return-value]
        )
        try:
            until(lambda: begun(said()) or process.poll() is not None)
            for _ in range(times):
                process.send_signal(number)
                time.sleep(0.3)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        out = said()
    assert process.returncode == cli.INTERRUPTED, out + err
    assert PROMISE in err
    assert "Traceback" not in err
    return out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("names", [["crm"], []])
def test_the_next_sync_goes_on_at_once(two: Desk, number: int, names: list[str]) -> None:
    crm = two.sandboxes["crm"]
    crm.faults.add("slow", times=10_000, seconds=0.4)
    before = len(crm.faults.log)
    told_to_end(lambda _: len(crm.faults.log) > before + 1, "sync", *names, number=number)
    crm.faults.clear()
    assert two("sync", "--until-quiet").code == cli.OK
    assert len(two.people()) == len(two.sandboxes["google"].people()) == len(ROWS)


def test_nobody_is_forgotten_or_made_twice_who_was_being_written(two: Desk) -> None:
    """An address book has one write on its way while the last is told."""
    with two.system("book", "carddav") as box:
        assert two("apply", two.file(two.entry("book", "carddav"))).code == cli.OK
        assert two("sync", "crm").code == cli.OK
        box.faults.add("slow", "PUT", times=10_000, seconds=0.3)
        told_to_end(lambda _: len(box.book.cards) > 2, "sync", "book")
        arrived = len(box.book.cards)
        time.sleep(0.5)
        assert 2 < len(box.book.cards) == arrived < len(ROWS), "what was on its way was waited for"
        box.faults.clear()
        assert two("sync", "--until-quiet").code == cli.OK
        assert len(box.book.cards) == len(two.people()) == len(ROWS)
        assert not two("refused", "--json").json


def test_it_waits_for_no_turn(two: Desk) -> None:
    """A system that asks for a pause of a minute is not waited for."""
    crm = two.sandboxes["crm"]
    crm.faults.add("throttle", times=10_000, retry_after=60)
    began = time.monotonic()
    told_to_end(lambda _: crm.faults.log, "sync", "crm")
    assert time.monotonic() - began < 20


def test_told_twice_it_ends_at_once(two: Desk) -> None:
    crm = two.sandboxes["crm"]
    crm.faults.add("slow", times=10_000, seconds=4)
    before = len(crm.faults.log)
    told_to_end(lambda _: len(crm.faults.log) > before, "sync", times=2)


def test_a_program_reads_that_it_was_interrupted(two: Desk) -> None:
    crm = two.sandboxes["crm"]
    crm.faults.add("slow", times=10_000, seconds=0.4)
    before = len(crm.faults.log)
    said = told_to_end(lambda _: len(crm.faults.log) > before + 1, "sync", "--json")
    out, _ = json.JSONDecoder().raw_decode(said)
    assert out == {"error": {"message": PROMISE, "exit_code": cli.INTERRUPTED}}
    assert "ending as soon as" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_ends_between_two_syncs(two: Desk, number: int) -> None:
    google = two.sandboxes["google"]
    told_to_end(lambda _: len(google.people()) == len(ROWS), "sync", "--watch", number=number)
    assert two("sync").code == cli.OK


def test_a_box_is_closed(desk: Desk) -> None:
    assert "in a box at" in told_to_end(lambda said: "in a box at" in said, "sandbox", "vtiger")


def test_who_holds_a_connection_may_have_died(two: Desk) -> None:
    from app.bootstrap import start
    from app.engine.run import lease

    other = start()
    with lease(other.world(), "crm"):
        answer = two("sync", "crm")
    other.store.close()
    assert answer.code == cli.FAILED
    assert "if it has died, a sync in 30 seconds takes over" in answer.err or "in 29 seconds" in answer.err
