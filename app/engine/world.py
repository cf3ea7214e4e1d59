"""What the engine works with: everything that is not pure comes in here, from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.core.identity import Key
from app.core.policy import Policy
from app.store.connections import Connection
from app.store.runs import Refusal
from app.store.store import Store, Unit
from connectors.card import Equivalence
from connectors.contract import Connector, Watch, unwatched

Fence = Callable[[Unit], None]
"""Raises where this process has lost the right to write."""


class Unusable(Exception):
    """A connection cannot be opened (its settings, its key, its connector); the message says what to do."""


@dataclass(frozen=True, slots=True)
class World:
    """The engine's surroundings.

    open: a connector for a configured account, counting its requests into the tally; raises Unusable.
    mint: a new element id. uid: a new person's uid. owner: this process, in leases and nowhere else.
    at: called at every named write boundary ("pull.page", "push.intent", …): where tests kill the process.
    progress: (connection, phase, done, total or None).
    watch: told of every run, page and batch, with the ids of connection and run.
    """

    store: Store
    open: Callable[[Connection, Tally], Connector]
    mint: Callable[[], str]
    uid: Callable[[], str]
    owner: str
    eq: Equivalence = field(default_factory=Equivalence)
    at: Callable[[str], None] = lambda name: None
    progress: Callable[[str, str, int, int | None], None] = lambda connection, phase, done, total: None
    watch: Watch = unwatched


@dataclass(slots=True)
class Tally:
    """What a run did. linked: records found to be a person we knew. quiet: nothing was written anywhere. budget: the
    requests that were left at its end, {"burst" | "minute" | "day": number}, as far as that is known."""

    pulled: int = 0
    people: int = 0
    linked: int = 0
    updated: int = 0
    archived: int = 0
    conflicts: int = 0
    refused: int = 0
    created: int = 0
    written: int = 0
    deleted: int = 0
    aside: int = 0
    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    budget: dict[str, int] = field(default_factory=dict)

    def count_request(self, method: str, sent: int, received: int) -> None:
        self.requests += 1
        self.bytes_sent += sent
        self.bytes_received += received

    def count_budget(self, window: str, left: int) -> None:
        self.budget[window] = left

    @property
    def writes(self) -> int:
        """Writes to the remote."""
        return self.created + self.written + self.deleted

    @property
    def quiet(self) -> bool:
        """Did nothing happen that another system, or the next run, would have to hear of?"""
        return not (self.writes or self.people or self.linked or self.updated or self.archived)

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Session:
    """One run of one connection. unread: its records that cannot be read, by what tells whose they may be; None until
    that is asked for."""

    world: World
    connection: Connection
    policy: Policy
    connector: Connector
    tally: Tally
    run_id: int | None = None
    fence: Fence = lambda unit: None
    unread: Mapping[Key, Sequence[Refusal]] | None = None

    @property
    def id(self) -> int:
        return self.connection.id

    @property
    def store(self) -> Store:
        return self.world.store

    def progress(self, phase: str, done: int, total: int | None = None) -> None:
        self.world.progress(self.connection.name, phase, done, total)


def policy_of(stored: Mapping[str, Any]) -> Policy:
    """The policy from its JSON in the store."""
    return Policy(
        direction=stored.get("direction", "both"),
        fields=stored.get("fields", {}),
        prefer=tuple(stored.get("prefer", ())),
        ask=stored.get("ask", False),
        deletes=stored.get("deletes", "propagate"),
        blanks=stored.get("blanks", "erase"),
        filter={name: tuple(values) for name, values in stored.get("filter", {}).items()},
    )


def policy_json(policy: Policy) -> dict[str, Any]:
    """The policy as it is kept in the store."""
    return {
        "direction": policy.direction,
        "fields": dict(policy.fields),
        "prefer": list(policy.prefer),
        "ask": policy.ask,
        "deletes": policy.deletes,
        "blanks": policy.blanks,
        "filter": {name: list(values) for name, values in policy.filter.items()},
    }


def earlier(one: datetime | None, other: datetime) -> datetime:
    """The earlier of a remote's word for when something happened and our own clock: nothing happens in the future."""
    return other if one is None or one > other else one
