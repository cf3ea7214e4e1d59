"""The process dies at any write boundary, and the next one goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import pytest
import world as world_module
from laws import at_peace
from steps import Add, Clash, Delete, Edit, Rename, Run, Settle, Step, play
from world import LawWorld

from app.engine.run import LEASE
from connectors.memory import MemoryRemote, addressbook, crm, lister

KINDS = {"book": addressbook, "crm": crm, "list": lister}

BEFORE: Sequence[Step] = (
    Add("book", ("phones", "notes")),
    Add("crm", ("titles",), also="list"),
    Add("list", ("phones",)),
    Settle(),
)
AFTER: Sequence[Step] = (
    Edit("book", "value", "phones"),
    Clash("crm", "list", "titles", record=1),
    Rename("crm", "given", record=2),
    Edit("list", "remove", "phones", record=2),
    Delete("list"),
    Add("book", ("titles",)),
    Add("crm", ("notes",)),
)
"""What a typical day brings: creates, edits, a conflict, a loss, a deletion, both ways."""


def world_on(file: Path) -> LawWorld:
    return LawWorld({name: make() for name, make in KINDS.items()}, url=world_module.new_database(file))


def boundaries(world: LawWorld) -> list[tuple[str, str, int]]:
    """Every named write boundary of a round, in order: (connection, name, how many of this name came before it)."""
    found: list[tuple[str, str, int]] = []
    for name in world.remotes:
        world.run(name)
        named = [point for point in world.points if "." in point]
        found += [(name, point, named[:n].count(point)) for n, point in enumerate(named)]
    return found


@pytest.fixture(scope="module")
def typical(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, int]]:
    world = world_on(tmp_path_factory.mktemp("crash") / "count.db")
    play(world, [*BEFORE, *AFTER])
    return boundaries(world)


def nth(point: str, before: int) -> Callable[[str, int], bool]:
    """True at the boundary of that name before which so many others of it came."""
    left = before

    def here(name: str, number: int) -> bool:
        nonlocal left
        if name != point:
            return False
        left -= 1
        return left < 0

    return here


@pytest.mark.parametrize("part", range(4))
def test_killed_at_each_boundary_of_a_typical_day(
    part: int, typical: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    """The store is thrown away and opened again from its file; the lease of the dead has run out."""
    assert {point for _, point, _ in typical} == {
        "pull.page",
        "pull.settled",
        "push.intent",
        "push.written",
        "push.outcome",
    }
    for number, (connection, point, before) in enumerate(typical[part::4]):
        world = world_on(tmp_path / f"{number}.db")
        play(world, [*BEFORE, *AFTER])
        for name in world.remotes:
            if name == connection:
                assert world.run_killed(name, nth(point, before)) == point
                break
            world.run(name)
        at_peace(world)
        world.store.close()


@pytest.mark.parametrize("connection", ["book", "crm", "list"])
def test_killed_at_any_transaction_or_request_of_a_first_contact(connection: str) -> None:
    """Finer than the named boundaries: at the beginning of every transaction, and before every request."""

    def first_contact() -> LawWorld:
        world = LawWorld({name: make() for name, make in KINDS.items()})
        Add("crm" if connection == "book" else "book", ("notes",), address=False).do(world)
        Add(connection, ("phones",)).do(world)
        world.run("crm" if connection == "book" else "book")
        return world

    world = first_contact()
    world.run(connection)
    for point in range(1, len(world.points) + 1):
        world = first_contact()
        assert world.run_killed(connection, lambda name, number: number == point)  # noqa: B023
        at_peace(world)


@pytest.mark.parametrize("first", ["push.intent", "request POST", "push.written"])
@pytest.mark.parametrize("second", ["recover.known", "recover.creates", "request GET", "begin"])
def test_killed_again_while_it_recovers(first: str, second: str, tmp_path: Path) -> None:
    world = world_on(tmp_path / "twice.db")
    play(world, [*BEFORE, *AFTER])
    world.run("book")
    assert world.run_killed("crm", nth(first, 1 if first != "push.intent" else 0)) == first
    world.run_killed("crm", nth(second, 0))
    at_peace(world)
    world.store.close()


@pytest.mark.parametrize("connection", ["book", "crm", "list"])
@pytest.mark.parametrize("how", ["remove", "value", "add"])
def test_who_edits_a_record_that_we_made_before_we_heard_so(connection: str, how: str, tmp_path: Path) -> None:
    """The answer to our create never came; by the time we find the record somebody has been there."""
    for field in ("phones", "notes", "emails"):
        world = world_on(tmp_path / f"{field}.db")
        source = "book" if connection != "book" else "crm"
        play(world, [Add(source, ("phones", "notes", "titles")), Run(source)])
        assert world.run_killed(connection, nth("push.written", 0)) == "push.written"
        Edit(connection, how, field).do(world)
        at_peace(world)
        world.store.close()


@pytest.mark.parametrize("then", [Delete("book"), Edit("book", "value", "phones")])
def test_what_waits_for_the_end_of_a_run_can_be_taken_back(then: Step, tmp_path: Path) -> None:
    """A record takes something away, and waits with all that it brings; the run dies, and people are there before the
    next one. Had nobody been there, nothing would be lost."""
    for step in (then, Settle()):
        world = world_on(tmp_path / f"{type(step).__name__}.db")
        play(world, [Add("book", ("phones", "notes")), Settle()])
        play(world, [Edit("book", "remove", "notes"), Edit("book", "value", "phones")])
        assert world.run_killed("book", nth("pull.page", 0)) == "pull.page"
        typed = max(world.ledger.entries)
        assert typed in world.remembered() - world.remembered(waiting=False), "it waits"
        step.do(world)
        at_peace(world)
        assert (typed in world.ledger.discharged) == (step is then)
        world.store.close()


# --- really killed -------------------------------------------------------------------------------------------


class Served:
    """A remote of this process for another one: each call through the socket is made here."""

    def __init__(self, remote: MemoryRemote, at: Path) -> None:
        self.remote, self.listener = remote, Listener(str(at), "AF_UNIX")
        self.address = str(at)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with self.listener, self.listener.accept() as wire:
            while True:
                try:
                    name, parts = wire.recv()
                except (EOFError, ConnectionResetError):
                    return  # the other process is dead
                found = getattr(self.remote, name)
                try:
                    answer: Any = found(*parts) if callable(found) else found
                except Exception as error:
                    answer = error
                wire.send(answer)


@pytest.mark.parametrize(
    ("connection", "fatal"),
    [
        ("book", "pull.page"),
        ("book", "pull.settled"),
        ("list", "push.intent"),
        ("crm", "push.written"),
        ("list", "push.outcome"),
        ("list", "push.reread"),
        ("crm", "recover.known"),
        ("crm", "recover.creates"),
    ],
)
def test_really_killed(connection: str, fatal: str, tmp_path: Path) -> None:
    """A child process works on the database against remotes that live here, and gets SIGKILL at the boundary."""
    world = world_on(tmp_path / "killed.db")
    play(world, [*BEFORE, *AFTER])
    if fatal == "pull.settled":
        world.human("book", world.records("book")[1], lambda card: card.pop("emails"))
    for name in [*world.remotes][: [*world.remotes].index(connection)]:
        world.run(name)
    if fatal.startswith("recover"):  # another death has to come first
        assert world.run_killed(connection, nth("push.written", 0 if fatal == "recover.known" else 1)) is not None
    if fatal == "push.reread":
        remote, send = world.remotes[connection], world.remotes[connection].send

        def send_late(secret: str, writes: Any) -> Any:
            remote.send = send  # type: ignore[method-assign]
            Edit(connection, "value", "notes").do(world)
            return send(secret, writes)

        remote.send = send_late  # type: ignore[method-assign]
    world.store.close()
    served = Served(world.remotes[connection], tmp_path / "wire")
    program = [sys.executable, str(Path(__file__).with_name("child.py")), world.url, served.address, connection, fatal]
    folder = Path(__file__)
    path = os.pathsep.join([str(folder.parents[2]), str(folder.parent)])
    ended = subprocess.run(program, env={**os.environ, "PYTHONPATH": path}, check=False, timeout=60)
    served.thread.join(10)
    assert ended.returncode == -signal.SIGKILL, "it never came to that boundary"
    world.restart()
    world.clock.wait(3600 + LEASE)
    at_peace(world)
    world.store.close()


# --- two at once ---------------------------------------------------------------------------------------------


def test_of_two_at_once_one_works_and_the_other_says_busy(tmp_path: Path) -> None:
    world = world_on(tmp_path / "busy.db")
    play(world, [*BEFORE, *AFTER])
    seen: list[str] = []
    world.meanwhile = (2, lambda: seen.append(_other(world).run("book").outcome))
    assert world.run("book").outcome == "done"
    assert seen == ["busy"]
    at_peace(world)


def _other(world: LawWorld) -> LawWorld:
    """Another process on the same database and the same remotes."""
    other = LawWorld.__new__(LawWorld)
    other.__dict__.update(world.__dict__, running=False, meanwhile=None)
    other.restart_engine("other")
    return other


def test_the_lease_of_the_dead_is_taken_over_when_it_has_run_out(tmp_path: Path) -> None:
    world = world_on(tmp_path / "lease.db")
    play(world, [*BEFORE, *AFTER])
    other = _other(world)
    world.wait_for_lease = False
    assert world.run_killed("book", nth("pull.page", 0))
    assert other.run("book").outcome == "busy"
    world.clock.wait(LEASE - 1)
    assert other.run("book").outcome == "busy"
    world.clock.wait(2)
    assert other.run("book").outcome == "done"
    at_peace(world)


@pytest.mark.parametrize("boundary", [1, 2, 3, 4])
def test_who_slept_through_their_lease_writes_nothing_more(boundary: int, tmp_path: Path) -> None:
    world = world_on(tmp_path / "slept.db")
    play(world, [*BEFORE, *AFTER])
    world.run("list")
    outcomes: list[str] = []

    def sleep() -> None:
        world.clock.wait(LEASE + 1)
        outcomes.append(_other(world).run("book").outcome)

    world.meanwhile = (boundary, sleep)
    outcomes.append(world.run("book").outcome)
    assert outcomes[0] == "done"
    world.troubled = True
    at_peace(world)


def test_who_changes_while_being_written_is_written_again(tmp_path: Path) -> None:
    """Another connection brings an edit after our push was prepared and before its outcome is stored."""
    for boundary in range(1, 8):
        world = world_on(tmp_path / f"changes{boundary}.db")
        play(world, [Add("crm", ("phones", "notes")), Settle(), Edit("crm", "value", "phones")])
        world.run("crm")
        Edit("list", "value", "notes").do(world)
        other = _other(world)
        world.meanwhile = (boundary, lambda other=other: other.run("list"))  # type: ignore[misc]
        world.run("book")
        at_peace(world)
        world.store.close()
