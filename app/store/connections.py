"""Configured accounts: settings, policy, state and cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import aliases, conflicts, connections, links, losses, purchases, pushes, refused

State = Literal["new", "active", "paused"]


@dataclass(frozen=True, slots=True)
class Connection:
    """One configured account.

    settings: without secrets. secrets: the encrypted rest. policy: as JSON (see core.policy). schedule: "5m", a cron
    line, or None. approve: whether the first contact waits for a human. state "new": that has not been yet. reason: why
    it is paused. cleared: until when a human has released the brake. sales_cursor: the place up to which purchases were
    read. memory: what its connector found out about the remote. quiet: "22:00-06:00", when nothing runs by itself.
    hook: how its webhooks are known to be its own, encrypted. account: a fingerprint of the account that it is, once it
    was told. denied: since when it is paused because its credentials are refused.
    """

    id: int
    name: str
    system: str
    settings: dict[str, Any]
    secrets: bytes | None
    policy: dict[str, Any]
    schedule: str | None
    approve: Literal["ask", "auto"]
    state: State
    reason: str | None
    cursor: Any
    cleared: datetime | None
    sales_cursor: Any = None
    memory: Any = None
    quiet: str | None = None
    hook: bytes | None = None
    account: str | None = None
    denied: datetime | None = None


_ALL = [connections.c[name] for name in Connection.__slots__]


def every(unit: Unit) -> list[Connection]:
    """All connections, by name."""
    return [Connection(*row) for row in unit.db.execute(sa.select(*_ALL).order_by(connections.c.name))]


def by_name(unit: Unit, name: str) -> Connection | None:
    row = unit.db.execute(sa.select(*_ALL).where(connections.c.name == name)).first()
    return Connection(*row) if row else None


def get(unit: Unit, name: str) -> Connection:
    """As `by_name`; raises LookupError where there is none."""
    found = by_name(unit, name)
    if found is None:
        raise LookupError(f"no connection is called {name!r}")
    return found


def add(unit: Unit, **values: Any) -> int:
    """A new connection; its id."""
    key = unit.db.execute(sa.insert(connections).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def update(unit: Unit, connection: int, **values: Any) -> None:
    unit.db.execute(sa.update(connections).where(connections.c.id == connection).values(**values))


def remove(unit: Unit, connection: int) -> None:
    """Forget a connection with its links, cursor and outbox. The persons stay, and so does the journal."""
    unit.db.execute(sa.delete(connections).where(connections.c.id == connection))


def start_over(unit: Unit, connection: int) -> None:
    """It is another account: nothing that is known of the records of the former one holds for this one's, even where
    they have the same ids. It waits for its first contact again."""
    for table in (links, aliases, losses, purchases, pushes, refused):
        unit.db.execute(sa.delete(table).where(table.c.connection_id == connection))
    unit.db.execute(
        sa.update(conflicts)
        .where(conflicts.c.connection_id == connection, conflicts.c.open)
        .values(open=False, kept="ours")
    )
    blank = {"cursor": None, "sales_cursor": None, "cleared": None, "memory": None, "account": None, "denied": None}
    update(unit, connection, state="new", reason=None, **blank)


def let_in(unit: Unit, connection: Connection, **values: Any) -> bool:
    """It has credentials that work: if it is paused for want of them, it goes on. True where it does."""
    resumed = connection.denied is not None
    if resumed:
        values |= {
            "denied": None,
            "reason": None,
            "state": "active" if connection.state == "paused" else connection.state,
        }
    if values:
        update(unit, connection.id, **values)
    return resumed


def remember(unit: Unit, connection: int, name: str, value: Any) -> None:
    """Add to what a connection's connector knows about its remote."""
    learn(unit, connection, lambda memory: {name: value})


def learn(unit: Unit, connection: int, news: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Add to what a connection's connector knows what follows from it. Who else adds meanwhile waits."""
    query = sa.select(connections.c.memory).where(connections.c.id == connection).with_for_update()
    memory = unit.db.execute(query).scalar() or {}
    if found := news(memory):
        update(unit, connection, memory={**memory, **found})


def receivers(unit: Unit, source: int | None) -> list[int]:
    """The connections that hear of a change: all that have had their first contact, but its source. Paused ones too:
    they are owed what happened meanwhile."""
    query = sa.select(connections.c.id).where(connections.c.state != "new")
    if source is not None:
        query = query.where(connections.c.id != source)
    return list(unit.db.execute(query.order_by(connections.c.id)).scalars())


def secrets_of(unit: Unit, connection: int) -> bytes | None:
    """The encrypted credentials as they are now."""
    return unit.db.execute(sa.select(connections.c.secrets).where(connections.c.id == connection)).scalar()
