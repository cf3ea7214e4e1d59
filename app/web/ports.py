"""What the API needs of the rest of the daemon, and is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

    def declared(self, connection: Connection) -> dict[str, Any]:
        """The connection as it could be declared, but for secret settings."""
        ...


class Files(Protocol):
    """Files in and out."""

    def inspect(self, file: Path, columns: Mapping[str, str]) -> dict[str, Any]:
        """What an import would make of the file. Raises errors.Refused."""
        ...

    def take(
        self, file: Path, name: str, columns: Mapping[str, str], snapshot: bool
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
    files: Files
    uploads: Path
    stopping: Callable[[], bool] = lambda: False
    watch: Watch = unwatched
    ready: Sequence[Callable[[], str | None]] = field(default_factory=tuple)
    """Each says why the daemon cannot work now, or None."""
