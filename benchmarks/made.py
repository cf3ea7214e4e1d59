"""Made-up contacts and a remote without any cost of its own, so that what is measured is ours."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import migrations
from app.core.policy import Policy
from app.engine.world import Tally, World, policy_json
from app.store import connections
from app.store.connections import Connection
from app.store.store import Store
from connectors.card import Card
from connectors.contract import Account, Capabilities, Outcome, Page, Push, Record

PAGE = 500


def card(number: int, edition: int = 0) -> Card:
    """An ordinary contact: two e-mail addresses, two phones, a firm, an address, a note."""
    return {
        "name": {
            "components": [
                {"kind": "given", "value": f"Given{number % 997}"},
                {"kind": "surname", "value": f"Surname{number}"},
            ]
        },
        "emails": {
            "1": {"address": f"user{number}@example{number % 50}.test", "contexts": {"work": True}},
            "2": {"address": f"private{number}@home.test", "contexts": {"private": True}},
        },
        "phones": {
            "1": {"number": f"+44 7700 {number:07d}", "features": {"mobile": True}},
            "2": {"number": f"+44 1632 {number:07d}", "contexts": {"work": True}},
        },
        "organizations": {"1": {"name": f"Firm {number % 1000}"}},
        "addresses": {
            "1": {
                "concord:lines": f"{number} High Street",
                "components": [
                    {"kind": "locality", "value": "London"},
                    {"kind": "postcode", "value": f"SW{number % 99}"},
                ],
            }
        },
        "notes": {"1": {"note": f"met at the fair, edition {edition}"}},
    }


@dataclass
class Remote:
    """A remote that costs nothing: `count` contacts, of which the first `changed` are at another edition.

    mode: full (every record), delta (only the changed ones), quiet (an empty delta), versions (lists ids and versions).
    """

    count: int
    mode: str = "full"
    changed: int = 0
    edition: int = 0
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(fields=frozenset(), batch=PAGE))
    requests: Callable[[str, int, int], None] = lambda method, sent, received: None

    def fit(self, card: Card, held: Card | None) -> Card:
        return card

    def check(self) -> Account:
        return Account("made up")

    def _record(self, number: int) -> Record:
        edition = self.edition if number < self.changed else 0
        return Record(str(number), card(number, edition), version=f"v{edition}", key=f"uid-{number}")

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        if self.mode == "quiet":
            self.requests("GET", 0, 0)
            yield Page(cursor="now")
            return
        size, total = PAGE, self.changed if self.mode == "delta" else self.count
        for start in range(0, total, size):
            self.requests("GET", 0, 0)
            numbers = range(start, min(total, start + size))
            last = numbers[-1] + 1 == total
            if self.mode == "versions":
                yield Page(listed={str(n): "v0" for n in numbers}, complete=last)
            else:
                yield Page([self._record(n) for n in numbers], cursor="now", complete=last and self.mode == "full")

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for id_ in ids:
            record = self._record(int(id_.removeprefix("uid-")))
            # What was written here has its key for an id, and is as it was written.
            yield record if id_ == record.id else replace(record, id=id_, version="written")

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        self.requests("POST", 0, 0)
        for push in pushes:
            id_ = push.held.id if push.held else push.key
            yield Outcome(push.ref, Record(id_, push.card, version="written", key=push.key))

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        return iter(())

    def close(self) -> None:
        pass


def world(file: Path, remotes: dict[str, Remote]) -> World:
    """An engine on a database in this file, with these remotes as connections that have had their first contact."""
    store = Store(f"sqlite:///{file}", lambda: datetime.now(UTC))
    migrations.upgrade(store.engine)
    with store.begin() as unit:
        for name in remotes:
            if connections.by_name(unit, name) is None:
                policy = policy_json(Policy())
                connections.add(
                    unit, name=name, system="made", settings={}, policy=policy, approve="auto", state="active"
                )
    ids = itertools.count()

    def open_(connection: Connection, tally: Tally) -> Remote:
        remote = remotes[connection.name]
        remote.requests = tally.count_request
        return remote

    return World(store, open_, lambda: f"{next(ids):08x}", lambda: str(uuid.uuid4()), "benchmark")
