"""A daemon without its shell: remotes in memory, a database, and a clock that goes on when it is told to."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from app.core.policy import Policy
from app.engine.run import activate, find
from app.engine.world import Tally, World, policy_json
from app.jobs.queue import Task
from app.secrets import Keyring
from app.settings import Settings
from app.store import connections, people, runs, tables
from app.store.connections import Connection
from app.store.store import Store
from connectors.contract import Connector, Context
from connectors.memory import MemoryConnector, MemoryRemote, addressbook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATIENCE = 20.0
"""Seconds in which what must happen has to happen."""


class Clock:
    """Stands still, but for a microsecond a look, until time passes."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += timedelta(microseconds=1)
            return self.now

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.now += timedelta(seconds=seconds)


def real_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Options:
    """What a service wants to know of the settings."""

    database_url: str = "sqlite://"
    queue: Literal["local", "distributed"] = "local"
    lanes: int = 4
    timezone: str = "UTC"
    keep_journal_days: int = 0


@dataclass
class House:
    """An application (see `app.jobs.service.Application`) whose remotes are in this process.

    busy: called at every request to a remote, with the connection's name.
    """

    url: str
    clock: Callable[[], datetime]
    settings: Options = field(default_factory=Options)
    busy: Callable[[str], None] = lambda name: None
    remotes: dict[str, MemoryRemote] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    owner: str = "house:1"
    create: bool = True

    def __post_init__(self) -> None:
        self.store = Store(self.url, self.clock)
        self.keyring = Keyring(Settings())
        if self.create:
            tables.metadata.create_all(self.store.engine)

    def beside(self, owner: str) -> House:
        """Another process on the same database, with the same remotes."""
        return House(self.url, self.clock, self.settings, self.busy, self.remotes, self.ids, owner=owner, create=False)

    def connect(self, name: str, *, active: bool = True, **values: Any) -> int:
        """A connection to an address book of its own."""
        self.remotes[name] = MemoryRemote(addressbook(), self.clock)
        row: dict[str, Any] = {"schedule": "5m", "approve": "auto", "state": "new", **values}
        with self.store.begin() as unit:
            self.ids[name] = connections.add(
                unit, name=name, system="memory", settings={}, policy=policy_json(Policy()), **row
            )
        if active:
            world = self.world()
            activate(world, find(world, name))
        return self.ids[name]

    def world(self, *, at: Callable[[str], None] = lambda name: None) -> World:
        return World(self.store, self._open, lambda: uuid.uuid4().hex[:8], lambda: str(uuid.uuid4()), self.owner, at=at)

    def context(self) -> Context:
        return Context(now=self.clock, sleep=lambda seconds: None, random=lambda: 0.5)

    def _open(self, connection: Connection, tally: Tally) -> Connector:
        def request(method: str, sent: int, received: int) -> None:
            tally.count_request(method, sent, received)
            self.busy(connection.name)

        context = Context(self.clock, lambda seconds: None, lambda: 0.5, request)
        return MemoryConnector(self.remotes[connection.name], context)

    # --- looking

    def runs(self, name: str | None = None) -> list[Any]:
        """(connection's name, scope, outcome) of the runs, in order."""
        names = {id_: name for name, id_ in self.ids.items()}
        with self.store.read() as unit:
            rows = unit.db.execute(tables.runs.select().order_by(tables.runs.c.id)).all()
        found = [(names[row.connection_id], row.scope, row.outcome) for row in rows]
        return [row for row in found if name in (None, row[0])]

    def names(self, remote: str) -> list[str]:
        """The full names that a remote shows."""
        return sorted(card["name"]["full"] for card in self.remotes[remote].cards().values())

    def people(self) -> int:
        with self.store.read() as unit:
            return people.count(unit)

    def lease(self, name: str) -> str | None:
        with self.store.read() as unit:
            held = runs.lease_holder(unit, name)
        return held[0] if held else None


def card(name: str, mail: str) -> dict[str, Any]:
    """A contact."""
    given, _, surname = name.partition(" ")
    return {
        "name": {
            "full": name,
            "components": [{"kind": "given", "value": given}, {"kind": "surname", "value": surname}],
        },
        "emails": {"1": {"address": mail}},
    }


def until(what: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait for something that other threads or processes do."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Bench:
    """Performs jobs by noting them; holds them while it is told to."""

    def __init__(self, again: Iterable[datetime | None] = ()) -> None:
        self.done: list[tuple[str, int | None]] = []
        self.running: list[tuple[str, int | None]] = []
        self.most: dict[int | None, int] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.asked = False
        self._again = iter(again)
        self._lock = threading.Lock()

    def __call__(self, task: Task) -> datetime | None:
        me = (task.kind, task.connection_id)
        with self._lock:
            self.running.append(me)
            now = sum(1 for _, connection in self.running if connection == task.connection_id)
            self.most[task.connection_id] = max(self.most.get(task.connection_id, 0), now)
        while not self.gate.wait(0.01):
            if task.stopping():
                self.asked = True
                with self._lock:
                    self.running.remove(me)
                return NOON
        with self._lock:
            self.running.remove(me)
            self.done.append(me)
            return next(self._again, None)
