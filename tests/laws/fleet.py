"""An installation of many processes on one PostgreSQL: daemons and workers as they are started in production, and
killed; the systems and their people live here (`sixworld.py`), and outlive all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from screens import KINDS, Kind, Screen
from sixworld import PLAIN, Enter, SixWorld, Street, Type, nth
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from world import Clock

import migrations
from app.bootstrap import Application, split_secrets
from app.engine.run import find
from app.engine.world import Tally
from app.secrets import Keyring
from app.settings import Settings
from app.store import links, runs, tables
from app.store.connections import Connection
from app.store.store import Store
from connectors.contract import Connector, Context
from connectors.sandbox import running

MEMBERS: Final = {
    "serve 1": "serve",
    "serve 2": "serve",
    "worker 1": "worker",
    "worker 2": "worker",
    "worker 3": "worker",
}
UP: Final = {"serve": "Uvicorn running on", "worker": "[app.jobs.worker]"}
"""What they say when they have begun, and take it when they are told to end."""
EVERY: Final = "5s"
BLIND: Final = frozenset({"sugar", "vtiger", "mail"})
"""They take a write whatever happened since we read: who types there between our read and our write is overwritten, and
nobody can know. So people type there while nobody is at work."""
LATE: Final = frozenset({"google", "mail"})
"""Who was just created may not be found for minutes: a create that never arrived is sent again only then."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})


class RealClock(Clock):
    """The time, and what passes at once when no process is there to see it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def wait(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


# --- the street, with somebody lying in wait -------------------------------------------------------------------------


@dataclass
class Trap:
    """Catches a write to one system, before it takes effect (and it never does), or after (and nobody hears of it)."""

    screen: Screen
    skip: int
    after: bool
    caught: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def takes(self, scope: Scope) -> bool:
        query = scope["query_string"].decode()
        request = f"{scope['method']} {scope['path']}{query and '?' + query}"
        ours = scope["path"].startswith(self.screen.paths) and scope["method"] not in READS
        if self.caught.is_set() or not ours or self.screen.login.search(request):
            return False
        self.skip -= 1
        return self.skip < 0


class Toll(Street):
    """One request at a time gets through, and none while somebody types."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.trap: Trap | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while not self.lock.acquire(blocking=False):
            await asyncio.sleep(0.001)
        try:
            trap = self.trap if self.trap and self.trap.takes(scope) else None
            if trap is None:
                await super().__call__(scope, receive, send)
                return
            if trap.after:
                await super().__call__(scope, receive, _nowhere)
            trap.caught.set()
        finally:
            self.lock.release()
        while not trap.over.is_set():
            await asyncio.sleep(0.01)
        await Response("", 503)(scope, receive, send)  # to the dead

    @contextmanager
    def lying_in_wait(self, trap: Trap) -> Iterator[Trap]:
        self.trap = trap
        try:
            yield trap
        finally:
            self.trap = None
            trap.over.set()


async def _nowhere(message: Message) -> None:
    """An answer that nobody hears."""


@contextmanager
def street_with_toll() -> Iterator[Toll]:
    made = Toll()
    with running(made) as made.url:
        yield made


# --- the world -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Branch(Application):
    """The installation as this process sees it. clock: whose time it is."""

    clock: Clock = field(default_factory=RealClock)

    def context(self) -> Context:
        return replace(super().context(), now=self.clock, sleep=self.clock.wait)


class FleetWorld(SixWorld):
    """People at their screens, while other processes sync; when these have ended, this one may."""

    street: Toll

    def __init__(self, at: Toll, home: Path, url: str, queue: str, names: tuple[str, ...]) -> None:
        kinds = {name: Kind(KINDS[name].make, {**KINDS[name].settings}) for name in names}
        self.installation = Settings.model_validate({"home": home, "database_url": url, "queue": queue})
        self.keyring = Keyring(self.installation)
        self._url = at.url
        with closing(Store(url, self._clock())) as store:
            migrations.upgrade(store.engine)
        super().__init__(at, kinds, url=url)
        self.application = Branch(self.installation, self.store, self.keyring, self.clock)

    def _clock(self) -> Clock:
        return RealClock()

    def _account(self, name: str) -> Mapping[str, Any]:
        screen: Screen = self.remotes[name]
        settings = screen.system.settings.model_validate(screen.settings(self._url))
        shown, hidden = split_secrets(screen.system, settings)
        secrets = self.keyring.encrypt(hidden) if hidden else None
        return {"system": screen.system.name, "settings": shown, "secrets": secrets, "schedule": EVERY}

    def _open_for_business(self) -> None:
        """The first contacts are the fleet's."""

    def _open(self, connection: Connection, tally: Tally) -> Connector:
        return self.application.open(connection, tally)

    def connector(self, name: str, requests: Any = None) -> Connector:
        return self._open(find(self.engine, name), Tally())

    # -- who does what

    def at_work(self, name: str) -> int | None:
        """The process that holds the lease of a connection."""
        return self._holder(f"sync:{name}")

    def leader(self) -> int | None:
        return self._holder("scheduler")

    def _holder(self, lease: str) -> int | None:
        held = self.look(lambda unit: runs.lease_holder(unit, lease))
        return int(held[0].split(":")[1].split("/")[0]) if held else None

    def runs(self) -> list[Any]:
        return self.look(lambda unit: unit.db.execute(tables.runs.select().order_by(tables.runs.c.id)).all())

    def begun(self, name: str, since: datetime) -> bool:
        """Has a run of that connection begun since?"""
        return any(run.connection_id == self.ids[name] and run.started > since for run in self.runs())

    def unanswered(self) -> int:
        """Creates whose answer never came, and that may only be found later."""
        query = sa.select(sa.func.count()).where(tables.pushes.c.state == "sent")
        return self.look(lambda unit: unit.db.execute(query).scalar_one())

    def at_rest(self, since: datetime) -> bool:
        """Since then every connection was read, and brought nothing; nothing is owed, and nobody is at work."""
        owed = sa.select(tables.pushes.c.person_id).where(tables.pushes.c.state == "owed")
        if self.look(lambda unit: unit.db.execute(owed).first()) or any(map(self.at_work, self.ids)):
            return False
        last: dict[int, Any] = {run.connection_id: run for run in self.runs() if run.scope == "sync"}
        return all(
            (run := last.get(id_)) and run.started > since and run.outcome == "done" and Tally(**run.counters).quiet
            for id_ in self.ids.values()
        )

    # -- people

    def act(self, step: Any, living: Callable[[int], bool]) -> None:
        """Somebody does something, if they can just now; and nobody is anywhere twice, not even for a moment."""
        with self.street.lock:
            if self._can(step, living):
                step.do(self)
            self.nobody_twice()

    def _can(self, step: Any, living: Callable[[int], bool]) -> bool:
        if isinstance(step, Enter):
            return True
        record = nth(self, step.at, step.record)
        if record is None or not self.met(self.ledger.owner(self.remotes[step.at].card(record)) or 0):
            return False  # two cards that have yet to meet become one with all that is in either
        if isinstance(step, Type) and step.name in (*PLAIN, "emails") and not self.known(step.at, record):
            return False  # whom we made, of whom we have not heard, who has no key of ours, and another name by then
        worker = self.at_work(step.at) if step.at in BLIND else None
        return worker is None or not living(worker)

    def known(self, at: str, record: str) -> bool:
        return bool(self.look(lambda unit: links.briefs(unit, self.ids[at], [record])))

    def nobody_twice(self) -> None:
        for name, screen in self.remotes.items():
            there = Counter(self.ledger.owner(card) for card in screen.cards().values())
            twice = {real for real, number in there.items() if real is not None and number > 1}
            assert not twice, f"{name} has {twice} more than once"


# --- the processes ---------------------------------------------------------------------------------------------------


class Fleet:
    """The processes, by name; each is started again under the same name."""

    def __init__(self, world: FleetWorld) -> None:
        self._settings = world.installation
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: Counter[str] = Counter()
        self._said: dict[str, int] = {}

    def start(self, name: str) -> None:
        settings = self._settings
        environment = {
            **os.environ,
            "CONCORD_HOME": str(settings.home),
            "CONCORD_DATABASE_URL": settings.database_url,
            "CONCORD_QUEUE": settings.queue,
            "CONCORD_LOG_FORMAT": "console",
        }
        command = [sys.executable, "-m", "app", MEMBERS[name], *(["--port", "0"] if MEMBERS[name] == "serve" else [])]
        with self._file(name).open("ab") as log:
            self._said[name] = log.tell()
            self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def living(self, pid: int) -> bool:
        return any(process.pid == pid and process.poll() is None for process in self.processes.values())

    def name_of(self, pid: int) -> str:
        (name,) = [name for name, process in self.processes.items() if process.pid == pid]
        return name

    def kill(self, name: str) -> None:
        """SIGKILL, and another one is started in its place at once."""
        process = self.processes[name]
        assert process.poll() is None, f"{name} ended by itself: {self.log(name)}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.killed[name] += 1
        self.start(name)

    def end(self, patience: float = 45.0) -> dict[str, int]:
        """Tell all to end, when all have begun; their exit codes."""
        until = time.monotonic() + patience
        while behind := [name for name in self.processes if not self._is_up(name)]:
            assert time.monotonic() < until, f"{behind} never began"
            time.sleep(0.05)
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: p.wait(max(0.0, until - time.monotonic())) for name, p in self.processes.items()}

    def _is_up(self, name: str) -> bool:
        said = self._file(name).read_bytes()[self._said[name] :]
        return UP[MEMBERS[name]] in said.decode()

    def log(self, name: str) -> str:
        return self._file(name).read_text()

    def _file(self, name: str) -> Path:
        return self._settings.home / f"{name}.log"


@contextmanager
def fleet(world: FleetWorld) -> Iterator[Fleet]:
    """All members; whoever is left at the end is killed."""
    made = Fleet(world)
    try:
        for name in MEMBERS:
            made.start(name)
        yield made
    finally:
        for process in made.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
