"""Real workers, each a process of its own, and a remote that answers when it is allowed to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from house import until
from starlette.types import ASGIApp, Receive, Scope, Send

from app import bootstrap, configure
from app.settings import Settings
from app.store import tables
from connectors import registry
from connectors.sandbox import running


class Held:
    """A remote whose answers wait while the gate is closed. asked: how many requests came."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner, self.gate, self.asked = inner, threading.Event(), 0
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.asked += 1
            while not self.gate.is_set():
                await asyncio.sleep(0.01)
        await self._inner(scope, receive, send)


class Plant:
    """An installation with one connection, `crm`, to a vTiger in a box that can be held."""

    def __init__(self, home: Path, url: str | None, queue: str) -> None:
        self.home, self.url, self.queue = home, url, queue
        self.settings = Settings.model_validate(
            {"home": home, "queue": queue, **({"database_url": url} if url else {})}
        )
        self.application = bootstrap.start(self.settings)
        self.store = self.application.store
        self.box = registry.sandbox("vtiger")
        self.remote = Held(self.box.app)

    def declare(self, settings: dict[str, Any], **values: Any) -> None:
        entry = configure.Entry(
            name="crm", system="vtiger", settings=settings, approve="auto", **{"every": "1h", **values}
        )
        system = registry.system("vtiger")
        configure.apply(self.application, [configure.Declared(entry, system, system.settings.model_validate(settings))])

    @contextmanager
    def worker(self, *arguments: str, command: str = "worker") -> Iterator[subprocess.Popen[bytes]]:
        """`concord worker` (or another command), killed at the end if it still runs."""
        environment = {**os.environ, "CONCORD_HOME": str(self.home), "CONCORD_QUEUE": self.queue}
        if self.url:
            environment["CONCORD_DATABASE_URL"] = self.url
        with (self.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", command, *arguments], env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def log(self) -> str:
        return (self.home / "worker.log").read_text()

    def outcomes(self) -> list[str]:
        with self.store.read() as unit:
            rows = unit.db.execute(tables.runs.select().order_by(tables.runs.c.id))
            return [row.outcome for row in rows]

    def wait_for_workers(self, number: int) -> None:
        """Until so many have said in the log that they work."""
        until(lambda: self.log().count("working") >= number)


@contextmanager
def plant(home: Path, url: str | None, queue: str) -> Iterator[Plant]:
    """A plant whose remote is up."""
    made = Plant(home, url, queue)
    try:
        with running(made.remote) as address:
            made.declare(made.box.settings(address))
            try:
                yield made
            finally:
                made.remote.gate.set()
    finally:
        made.store.close()
