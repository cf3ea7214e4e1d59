"""The API of a real daemon over HTTP, with a token, on a connection that is kept: reading, searching, editing a person.

Beside it what SQLite alone takes: for reading and searching the very statement that the store sends it; for an edit the
new card and a row of the journal in one durable transaction.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import sqlalchemy as sa

from app.store import browse, people
from app.store.store import Store, Unit
from benchmarks.engine import child, folder
from benchmarks.figure import Figure
from benchmarks.home import Home
from connectors.card import email_key, phone_key
from tests import servers

REQUESTS: Final = 200
LIMIT: Final = 50
SEARCHES: Final = ("a name", "an address", "a common name", "nobody")

Times = dict[str, list[float]]
"""What was done → how long each took, seconds."""


def measure(sizes: Sequence[int], requests: int = REQUESTS) -> Iterator[Figure]:
    """Median and p99 of each, at these numbers of persons; the last one is held to the target."""
    for n in sizes:
        with folder() as at:
            child("pull", n, at / "concord.db")
            ours = _asked(Home(at), n, requests)
            bare = _bare(at / "concord.db", n, requests)
        yield from _figures(n, ours, bare, held=n == sizes[-1])


def _figures(n: int, ours: Times, bare: Times, held: bool) -> Iterator[Figure]:
    kinds = {"read": ["read"], "search": [*SEARCHES], "edit": ["edit"]}
    for name, parts in kinds.items():
        times, floors = ([t for part in parts for t in found[part]] for found in (ours, bare))
        each = "; ".join(f"{part} {median(ours[part]) * 1000:.1f}" for part in parts) if len(parts) > 1 else ""
        value, floor = median(times) * 1000, median(floors) * 1000
        yield Figure(f"api_{name}_median", n, value, "ms", floor, value / floor, note=each)
        value, floor = _p99(times) * 1000, _p99(floors) * 1000
        yield Figure(f"api_{name}_p99", n, value, "ms", floor, value / floor, "< 200 ms", value < 200 if held else None)


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[ceil(0.99 * len(times)) - 1]


def _timed(play: Callable[[Any], object], given: Sequence[Any]) -> list[float]:
    times = []
    for one in given:
        before = time.perf_counter()
        play(one)
        times.append(time.perf_counter() - before)
    return times


def _wanted(kind: str, n: int, requests: int) -> list[str]:
    """What is searched for, as people type it."""
    chance = random.Random(kind)
    numbers = [chance.randrange(n) for _ in range(requests)]
    return {
        "a name": [f"{number % 997} surname{number}" for number in numbers],
        "an address": [f"User{number}@example{number % 50}.test" for number in numbers],
        "a common name": ["given1"] * requests,
        "nobody": [f"nobody{number}" for number in numbers],
    }[kind]


# --- the daemon


def _asked(home: Home, n: int, requests: int) -> Times:
    token = home.token()
    with home.serving(servers.free_port()) as url, httpx.Client(base_url=url) as client:
        client.headers["authorization"] = f"Bearer {token}"

        def get(path: str, **params: Any) -> httpx.Response:
            return client.get(f"/v1/people{path}", params=params).raise_for_status()

        def search(text: str) -> None:
            found = get("", search=text, limit=LIMIT).json()["items"]
            assert bool(found) != text.startswith("nobody"), text

        def edit(seen: tuple[str, str]) -> None:
            path, tag = seen
            body = {"values": {"/name/given": f"Edited{tag}"}}
            client.patch(f"/v1/people{path}", json=body, headers={"if-match": tag}).raise_for_status()

        chosen = random.Random(n).sample(_uids(home.folder / "concord.db"), min(requests, n))
        for uid in chosen[:5]:  # what a daemon does once, it has done
            get(f"/{uid}")
            search("given1")
        times = {"read": _timed(lambda uid: get(f"/{uid}"), chosen)}
        times |= {kind: _timed(search, _wanted(kind, n, requests)) for kind in SEARCHES}
        seen = [(f"/{uid}", get(f"/{uid}").headers["etag"]) for uid in chosen]
        return {**times, "edit": _timed(edit, seen)}


def _uids(file: Path) -> list[str]:
    raw = sqlite3.connect(file)
    found = [row[0] for row in raw.execute("SELECT uid FROM people")]
    raw.close()
    return found


# --- SQLite alone


def _bare(file: Path, n: int, requests: int) -> Times:
    chosen = random.Random(n).sample(_uids(file), min(requests, n))
    store = Store(f"sqlite:///{file}", lambda: datetime.now(UTC))
    reads = [_statement(store, partial(people.by_uid, uid=uid)) for uid in chosen]
    searches = {kind: [_search(store, text) for text in _wanted(kind, n, requests)] for kind in SEARCHES}
    store.close()
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA cache_size=-16000")
    times = {"read": _timed(lambda sent: raw.execute(*sent).fetchall(), reads)}
    times |= {kind: _timed(lambda sent: raw.execute(*sent).fetchall(), sent) for kind, sent in searches.items()}
    raw.execute("PRAGMA synchronous=FULL")

    def edit(uid: str) -> None:
        raw.execute("BEGIN IMMEDIATE")
        id_, card = raw.execute("SELECT id, card FROM people WHERE uid = ?", (uid,)).fetchone()
        raw.execute("UPDATE people SET card = ?, rev = rev + 1 WHERE id = ?", (card, id_))
        row = (id_, "/name", card, card, "bench", "2026-01-01")
        raw.execute("INSERT INTO changes (person_id, path, before, after, actor, at) VALUES (?, ?, ?, ?, ?, ?)", row)
        raw.execute("COMMIT")

    times["edit"] = _timed(edit, chosen)
    raw.close()
    return times


def _search(store: Store, text: str) -> tuple[str, Any]:
    spelled = {("email", email_key(text)), ("phone", phone_key(text))}
    return _statement(store, lambda unit: browse.persons(unit, text=text, found_by=spelled, limit=LIMIT + 1))


def _statement(store: Store, play: Callable[[Unit], object]) -> tuple[str, Any]:
    """The statement that the store sends the database, and its parameters."""
    sent: list[tuple[str, Any]] = []

    def listen(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        sent.append((statement, parameters))

    with store.read() as unit:
        sa.event.listen(unit.db, "before_cursor_execute", listen)
        play(unit)
        sa.event.remove(unit.db, "before_cursor_execute", listen)
    return sent[-1]
