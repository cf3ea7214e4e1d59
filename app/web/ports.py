"""What the API needs of the rest of the daemon, and is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from app.engine.run import Report
from app.engine.world import World
from app.store.connections import Connection
from app.store.store import Store
from connectors.contract import Watch, unwatched

Place = tuple[str | int, ...]


class Invalid(ValueError):
    """Values that cannot be used: [(where, why)], where as keys and positions within what was given."""

    def __init__(self, problems: Sequence[tuple[Place, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, at))}: {why}" if at else why for at, why in problems))


class Jobs(Protocol):
    """Where work is put that takes its time (see `app.jobs.queue.Queue`)."""

    def enqueue(self, kind: Literal["sync"], connection: int) -> bool:
        """Have this connection (by id) synced soon. False where it waits for that already."""
        ...


class Accounts(Protocol):
    """The configured accounts, with what only the composition knows: connectors' settings, and the keys."""

    def systems(self) -> list[dict[str, Any]]:
        """The installed systems: name, title, JSON Schema of the settings, names of the secret ones, direction."""
        ...

    def create(self, entry: Mapping[str, Any]) -> None:
        """A new connection. Raises Invalid, access.Taken."""
        ...

    def change(self, name: str, patch: Mapping[str, Any]) -> Literal["updated", "unchanged", "reset"]:
        """Merge into a connection (RFC 7396). Raises LookupError, Invalid, Busy."""
        ...

    def rotate(self, name: str, secrets: Mapping[str, str]) -> None:
        """New values for secret settings. Raises LookupError, Invalid."""
        ...

    def hook_address(self, name: str) -> str:
        """A new address (a path) for the connection's webhooks; the former one is dead. It holds a secret. Raises
        LookupError."""
        ...

    def lacks_access(self, connection: Connection) -> bool:
        """Must a human give access (again) before it can run?"""
        ...

    def declared(self, connection: Connection) -> dict[str, Any]:
        """The connection as it could be declared, but for secret settings."""
        ...


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link by which a human connects an account in a browser. It holds a secret, and is good until `expires`."""

    url: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """What a browser that opened a link is given. cookie, value: by which it is known again. location: the vendor's
    consent page; None where there is none: then `fields` are entered in a form, which brings `state` back."""

    connection: str
    title: str
    cookie: str
    value: str
    location: str | None
    state: str
    fields: Sequence[str]


@dataclass(frozen=True, slots=True)
class Connected:
    """Access was given, and stored. id: of the connection. account: in words. resumed: it was paused for want of it.
    other: it is another account than before, and starts over."""

    id: int
    connection: str
    account: str
    resumed: bool
    other: bool


class NotConnected(Exception):
    """Access was not given, or not taken; the message says why and what to do. status: of the answer."""

    def __init__(self, message: str, status: int, connection: str | None = None) -> None:
        super().__init__(message)
        self.status, self.connection = status, connection


class Consents(Protocol):
    """Connecting accounts in a browser. base: where browsers reach us."""

    def invite(self, name: str, asked_by: str, base: str, other: bool) -> Invitation:
        """A link for a connection. other: another account than before is welcome. Raises LookupError, ValueError."""
        ...

    def open(self, ticket: str, base: str) -> Opened:
        """A browser opened the link that ends with `ticket`. Raises NotConnected."""
        ...

    def whose(self, state: str) -> tuple[str, str] | None:
        """(who asked for it, which connection) for what came back; None where nobody waits for it."""
        ...

    def finish(self, query: Mapping[str, str], cookies: Mapping[str, str]) -> Connected:
        """The vendor sent the browser back with this query. Raises NotConnected."""
        ...

    def enter(self, state: str, given: Mapping[str, str], cookies: Mapping[str, str]) -> Connected:
        """The form came back with these secret settings. Raises NotConnected."""
        ...


class Files(Protocol):
    """Files in and out."""

    def inspect(self, file: Path, columns: Mapping[str, str], encoding: str) -> dict[str, Any]:
        """What an import would make of the file. encoding: "" to find out. Raises errors.Refused."""
        ...

    def take(
        self, file: Path, name: str, columns: Mapping[str, str], snapshot: bool, encoding: str
    ) -> tuple[Report, list[dict[str, str]]]:
        """Take the file in as the source of that name, and keep it. Raises errors.Refused, Busy, ValueError."""
        ...

    def write(self, file: Path, format_: str, search: str) -> Written:
        """Write the people who are found to the file."""
        ...


class Written(Protocol):
    """What an export wrote. left_out: {what a format cannot hold: persons}."""

    @property
    def contacts(self) -> int:
        """Persons in the file."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """What is not in it."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the API stands on. stopping: is the server about to end? Streams end then, too. watch: is told of every
    request."""

    store: Store
    world: Callable[[], World]
    jobs: Jobs
    accounts: Accounts
    consents: Consents
    files: Files
    uploads: Path
    public_url: str | None = None
    """Where browsers reach us; None: on this machine only."""
    stopping: Callable[[], bool] = lambda: False
    watch: Watch = unwatched
    ready: Sequence[Callable[[], str | None]] = field(default_factory=tuple)
    """Each says why the daemon cannot work now, or None."""
