"""Running many connections: side by side, and again until everything is quiet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.engine.run import Report, sync
from app.engine.world import World
from app.store import connections, outbox

ROUNDS = 20
"""Most rounds over all connections until everything must be quiet."""
LANES = 8
"""Connections that are spoken with at one time."""


def sync_all(world: World, names: Sequence[str], *, until_quiet: bool = False, release: bool = False) -> list[Report]:
    """Run these connections; until_quiet: again and again until a whole round changed nothing.

    The reports of all runs, in order.
    """
    reports: list[Report] = []
    for number in range(ROUNDS if until_quiet else 1):
        this = side_by_side(world, names, release=release and number == 0)
        names = [report.connection for report in this if report.outcome == "done"]
        # What the writing brought to light (edits met on the way) is owed to those that were done before.
        this += [sync(world, name, reads="nothing") for name in _owing(world, names)]
        reports += this
        if not names or (all(report.quiet for report in this) and not _owing(world, names)):
            break
    return reports


def _owing(world: World, names: Sequence[str]) -> list[str]:
    """Those of the connections that are owed something."""
    with world.store.read() as unit:
        ids = {connection.name: connection.id for connection in connections.every(unit)}
        return [name for name in names if outbox.count(unit, ids[name], "owed")]


def side_by_side(world: World, names: Sequence[str], *, release: bool = False) -> list[Report]:
    """Run each connection once: all are read before the first is written, so that what one brings goes out to the
    others at once. The reports in the order of the names.

    A fault of ours in one of them is raised when all have ended.
    """
    if len(names) == 1:
        return [sync(world, names[0], release=release)]
    gate = Gate(names, _first_contacts(world, names))
    reports: dict[str, Report] = {}
    faults: list[BaseException] = []

    def run(name: str) -> None:
        try:
            with gate.passing(name) as pulled:

                def read() -> None:
                    pulled()
                    world.at("pull.settled")  # others may have read for long: to leave is better before writing

                reports[name] = sync(world, name, release=release, pulled=read)
        except BaseException as fault:
            faults.append(fault)

    # Daemons: an interrupted process ends at once, and what was committed stays.
    threads = [threading.Thread(target=run, args=(name,), name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return [reports[name] for name in names]


def _first_contacts(world: World, names: Sequence[str]) -> list[str]:
    with world.store.read() as unit:
        new = {connection.name for connection in connections.every(unit) if connection.cursor is None}
    return [name for name in names if name in new]


class Gate:
    """Lets everybody write when everybody has read, and not more than `LANES` do either at one time.

    in_turn: those who read one after the other, in this order: whose way to write a value is the card's is no matter of
        chance at a first contact.
    """

    def __init__(self, names: Sequence[str], in_turn: Sequence[str]) -> None:
        self._reading = set(names)
        self._in_turn = in_turn
        self._lanes = threading.Semaphore(LANES)
        self._moved = threading.Condition()

    @contextmanager
    def passing(self, name: str) -> Iterator[Callable[[], None]]:
        """A runner on its way; yields what it calls between reading and writing. Who never gets so far is not waited
        for."""
        before = set(self._in_turn[: self._in_turn.index(name)]) if name in self._in_turn else set()
        self._wait(lambda: not before & self._reading)
        with self._lanes:
            try:
                yield lambda: self._arrive(name)
            finally:
                self._has_read(name)

    def _arrive(self, name: str) -> None:
        self._has_read(name)
        self._lanes.release()
        try:
            self._wait(lambda: not self._reading)
        finally:
            self._lanes.acquire()

    def _has_read(self, name: str) -> None:
        with self._moved:
            self._reading.discard(name)
            self._moved.notify_all()

    def _wait(self, until: Callable[[], bool]) -> None:
        with self._moved:
            self._moved.wait_for(until)
