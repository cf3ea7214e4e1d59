"""An installation with its API, two remotes in memory, and somebody of every role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from app import consenting, daemon
from app.bootstrap import Application
from app.core.permissions import Role
from app.core.policy import Policy
from app.engine import access
from app.engine.run import Report, find, sync
from app.engine.world import Tally, policy_json
from app.secrets import Keyring
from app.settings import Settings
from app.store import connections, tables
from app.store.connections import Connection
from app.store.store import Store
from app.web.app import create_app
from app.web.ports import Ports
from connectors.card import Card
from connectors.contract import Connector, Context
from connectors.memory import MemoryConnector, MemoryRemote, addressbook, crm

PASSWORD = "a battery of horses"
PUBLIC = "https://concord.example.com"


class Clock:
    """The real time, or the one at which a test stopped it; and what the test adds to it."""

    def __init__(self) -> None:
        self.ahead, self.stopped = timedelta(), False

    def __call__(self) -> datetime:
        return (datetime(2030, 1, 1, tzinfo=UTC) if self.stopped else datetime.now(UTC)) + self.ahead


class Branch(Application):
    """An installation whose accounts of the system "memory" are remotes in memory."""

    remotes: Mapping[str, MemoryRemote]

    def context(self) -> Context:
        return replace(super().context(), sleep=lambda seconds: None)

    def open(self, connection: Connection, tally: Tally) -> Connector:
        if connection.system != "memory":
            return super().open(connection, tally)
        context = Context(self.store.clock, lambda seconds: None, lambda: 0.5, tally.count_request)
        return MemoryConnector(self.remotes[connection.name], context)


class InPlace:
    """Jobs that are done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []

    def enqueue(self, kind: str, connection: int) -> bool:
        if (kind, connection) in self.waiting:
            return False
        self.waiting.append((kind, connection))
        return True


class Office:
    """The API, and everybody's desk."""

    def __init__(self, home: Path, url: str | None = None, *, raising: bool = True) -> None:
        self.clock, self.jobs, self.home = Clock(), InPlace(), home
        settings = Settings(home=home, public_url=PUBLIC, **({"database_url": url} if url else {}))
        home.mkdir(exist_ok=True)
        self.store = Store(settings.database_url, self.clock)
        tables.metadata.create_all(self.store.engine)
        self.branch = Branch(settings, self.store, Keyring(settings))
        self.remotes = {
            "book": MemoryRemote(addressbook(), self.clock),
            "crm": MemoryRemote(crm(), self.clock),
        }
        object.__setattr__(self.branch, "remotes", self.remotes)
        self.stopping = False
        self.app: FastAPI = create_app(
            Ports(
                store=self.store,
                world=self.branch.world,
                jobs=self.jobs,
                accounts=daemon.ConfiguredAccounts(self.branch),
                consents=consenting.Links(self.branch),
                files=daemon.FilesOnDisk(self.branch),
                uploads=home / "uploads",
                public_url=settings.public_url,
                stopping=lambda: self.stopping,
            )
        )
        self.client = TestClient(self.app, raise_server_exceptions=raising)
        self.tokens: dict[str, str] = {}
        for role in get_args(Role):
            access.add_user(self.store, role, role, None)
            self.tokens[role], _ = access.issue(self.store, "test", role, ["*"], None)

    def connect(self, **policies: Policy) -> None:
        """Connect the remotes, first contact behind them."""
        with self.store.begin() as unit:
            for name in self.remotes:
                policy = policy_json(policies.get(name, Policy()))
                row = {"name": name, "system": "memory", "settings": {}, "policy": policy}
                connections.add(unit, **row, approve="auto", state="new")

    def round(self) -> list[Report]:
        """Sync everything once."""
        return [sync(self.branch.world(), name) for name in self.remotes]

    def work(self) -> None:
        """Do what was put into the queue."""
        waiting, self.jobs.waiting = self.jobs.waiting, []
        with self.store.read() as unit:
            names = {c.id: c.name for c in connections.every(unit)}
        for _, connection in waiting:
            sync(self.branch.world(), names[connection])

    def connection(self, name: str) -> Connection:
        return find(self.branch.world(), name)

    def add(self, number: int, remote: str = "book", **fields: Any) -> str:
        """A contact in a remote; its id there."""
        card: Card = {
            "name": {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": f"Doe{number}"}]},
            "emails": {"1": {"address": f"ann{number}@example.com"}},
            "phones": {"1": {"number": f"+49 30 1000{number:03}", "features": {"mobile": True}}},
            **fields,
        }
        return self.remotes[remote].add(card)

    def __call__(self, method: str, path: str, role: str | None = "admin", **more: Any) -> Response:
        headers = {**({"authorization": f"Bearer {self.tokens[role]}"} if role else {}), **more.pop("headers", {})}
        found: Response = self.client.request(method, path, headers=headers, **more)
        return found

    def get(self, path: str, role: str = "admin", **more: Any) -> Any:
        """What a path shows."""
        found = self("GET", path, role, **more)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, body: Any = None, role: str = "admin", **more: Any) -> Any:
        """What an act that succeeds answers."""
        found = self("POST", path, role, **({"json": body} if body is not None else {}), **more)
        assert found.status_code in (200, 201, 202, 204), found.text
        return found.json() if found.content else None

    def person(self) -> Any:
        """The first person there is."""
        return self.get("/v1/people")["items"][0]

    def close(self) -> None:
        self.store.close()


MakeOffice = Callable[[], Office]
