"""Connecting an account in a browser: what must be remembered from the link to the vendor's answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import handshakes

KEPT: Final = timedelta(days=1)
"""How long one that has expired is kept, so that whoever comes late is told why."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """One. connection_id: None where the connection was removed meanwhile. browser, state, ticket: hashes. sealed: the
    PKCE verifier, encrypted. other: another account than before is welcome. spent: when the state came back. done: when
    access was given."""

    id: int
    connection_id: int | None
    asked_by: str
    other: bool
    expires: datetime
    browser: str | None
    state: str | None
    sealed: bytes | None
    redirect: str | None
    spent: datetime | None
    done: datetime | None


_COLUMNS = [handshakes.c[name] for name in Handshake.__slots__]


def begin(unit: Unit, connection: int, asked_by: str, ticket: str, other: bool, expires: datetime) -> None:
    """A new one; those that nobody needs any more go."""
    unit.db.execute(sa.delete(handshakes).where(handshakes.c.expires < unit.now - KEPT))
    row = {"connection_id": connection, "asked_by": asked_by[:64], "ticket": ticket, "other": other}
    unit.db.execute(sa.insert(handshakes).values(**row, expires=expires))


def by_ticket(unit: Unit, ticket: str) -> Handshake | None:
    """By the hash of what its link holds."""
    return _one(unit, handshakes.c.ticket == ticket)


def by_state(unit: Unit, state: str) -> Handshake | None:
    """By the hash of what the vendor sends back."""
    return _one(unit, handshakes.c.state == state)


def _one(unit: Unit, condition: sa.ColumnElement[bool]) -> Handshake | None:
    row = unit.db.execute(sa.select(*_COLUMNS).where(condition)).first()
    return Handshake(*row) if row else None


def open_(unit: Unit, id_: int, browser: str, state: str, sealed: bytes | None, redirect: str) -> None:
    """A browser opened the link. What an earlier opening asked for is good for nothing from now on."""
    values = {"browser": browser, "state": state, "sealed": sealed, "redirect": redirect, "spent": None}
    unit.db.execute(sa.update(handshakes).where(handshakes.c.id == id_).values(**values))


def spend(unit: Unit, id_: int, state: str) -> bool:
    """Take the state: of all who bring it, one gets True."""
    query = sa.update(handshakes).where(
        handshakes.c.id == id_, handshakes.c.state == state, handshakes.c.spent.is_(None), handshakes.c.done.is_(None)
    )
    return unit.db.execute(query.values(spent=unit.now, sealed=None)).rowcount == 1


def finish(unit: Unit, id_: int) -> None:
    """Access was given: its link opens nothing any more."""
    unit.db.execute(sa.update(handshakes).where(handshakes.c.id == id_).values(done=unit.now, sealed=None))
