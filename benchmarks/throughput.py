"""Several `concord worker` on PostgreSQL: how fast many connections are told of many people, and how that grows.

Every remote is an address book in this process that answers each request a fixed time late, as real ones do. The best
there could be: all lanes of all workers wait for answers all the time, and nothing else takes any.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app import bootstrap
from app.filing import import_file
from app.jobs.service import open_queue
from app.settings import Settings
from app.store import connections
from benchmarks.engine import folder
from benchmarks.figure import Figure
from benchmarks.home import Home
from benchmarks.requests import vcard
from connectors.carddav.sandbox import CardDAVSandbox
from connectors.sandbox import running
from tests import postgres

WORKERS: Final = (1, 2, 4)
CONNECTIONS: Final = 20
PEOPLE: Final = 10
LANES: Final = 4
"""Jobs that a worker does at a time: so few that four workers have a connection for each."""
DELAY: Final = 0.25
"""Seconds that each answer is late; what vendors' APIs take for a write."""
PATIENCE: Final = 300.0


class Late:
    """ASGI: an address book that answers late, and counts."""

    def __init__(self, inner: ASGIApp, delay: float, moved: threading.Condition) -> None:
        self._inner, self._delay, self._moved, self.requests = inner, delay, moved, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._delay)
        await self._inner(scope, receive, send)
        with self._moved:
            self.requests += 1
            self._moved.notify_all()


def measure(
    people: int = PEOPLE, workers: Sequence[int] = WORKERS, remotes: int = CONNECTIONS, delay: float = DELAY
) -> Iterator[Figure]:
    """Records written a second by these numbers of workers: everybody there is to every connection."""
    with postgres.running() as server:
        first = 0.0
        for number in workers:
            url = postgres.new_database(server, f"workers_{number}")
            seconds, requests = _told(url, number, people, remotes, delay)
            records = people * remotes
            value, best = records / seconds, records / (requests * delay) * min(number * LANES, remotes)
            first = first or value
            note = f"{remotes} connections, {LANES} lanes a worker, answers {delay * 1000:.0f} ms late; "
            note += f"{value / first:.2f} × the first; {os.cpu_count()} cores for workers, database and remotes"
            yield Figure(f"workers_{number}", records, value, "records/s", best, best / value, note=note)


def _told(url: str, workers: int, people: int, remotes: int, delay: float) -> tuple[float, int]:
    """(seconds, requests) until every address book holds everybody."""
    moved = threading.Condition()
    books = [CardDAVSandbox() for _ in range(remotes)]
    doors = [Late(book.app, delay, moved) for book in books]
    with folder() as at, contextlib.ExitStack() as stack:
        environment = {"DATABASE_URL": url, "QUEUE": "distributed", "LANES": str(LANES)}
        home = Home(at, {f"CONCORD_{name}": value for name, value in environment.items()})
        entries = [
            {"name": f"book{n}", "system": "carddav", "approve": "auto", "settings": book.settings(address)}
            for n, book in enumerate(books)
            for address in [stack.enter_context(running(doors[n]))]
        ]
        home.apply(entries)
        application = bootstrap.start(Settings(home=at, database_url=url, queue="distributed", log_level="error"))
        stack.callback(application.store.close)
        _know(application, at / "people.vcf", people)
        stack.enter_context(home.working(workers))
        before = time.perf_counter()
        queue = open_queue(application)
        with application.store.begin() as unit:
            for connection in connections.every(unit):
                if connection.system == "carddav":
                    queue.enqueue("sync", connection.id, unit=unit)
        with moved:
            full = moved.wait_for(lambda: all(len(book.book.cards) == people for book in books), PATIENCE)
        seconds = time.perf_counter() - before
        if not full:
            raise RuntimeError(f"the books are not full: {(at / 'worker.log').read_text()[-2000:]}")
        return seconds, sum(door.requests for door in doors)


def _know(application: Any, file: Path, people: int) -> None:
    """Take in so many people, from a file."""
    file.write_text("".join(vcard(n) for n in range(people)), newline="")
    report, refused = import_file(application, file, None, {}, progress=lambda *_: None)
    if refused or report.tally.people != people:
        raise RuntimeError(f"people.vcf: {report.tally}")
