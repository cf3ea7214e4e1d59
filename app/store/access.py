"""Users of the API and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import tokens, users

Role = Literal["admin", "operator", "viewer", "webhook"]
Kind = Literal["api", "session", "bootstrap"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use the API. password: its argon2 hash, or None: tokens only. failures: wrong passwords since
    the last right one; locked: until when none is looked at."""

    id: int
    name: str
    role: Role
    password: str | None
    enabled: bool
    failures: int
    locked: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """What a request shows to prove whose it is; known by its hash only. user_id None: the first start's."""

    id: int
    user_id: int | None
    kind: Kind
    name: str
    scopes: list[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None


_USER = [users.c[name] for name in User.__slots__]
_TOKEN = [tokens.c[name] for name in Token.__slots__]


# --- users


def every_user(unit: Unit) -> list[User]:
    """All users, by name."""
    return [User(*row) for row in unit.db.execute(sa.select(*_USER).order_by(users.c.name))]


def user(unit: Unit, name: str) -> User | None:
    row = unit.db.execute(sa.select(*_USER).where(users.c.name == name)).first()
    return User(*row) if row else None


def user_by_id(unit: Unit, id_: int) -> User | None:
    row = unit.db.execute(sa.select(*_USER).where(users.c.id == id_)).first()
    return User(*row) if row else None


def add_user(unit: Unit, name: str, role: Role, password: str | None) -> None:
    row = {"name": name, "role": role, "password": password, "enabled": True, "failures": 0, "created": unit.now}
    unit.db.execute(sa.insert(users).values(**row))


def update_user(unit: Unit, id_: int, **values: Any) -> None:
    unit.db.execute(sa.update(users).where(users.c.id == id_).values(**values))


def remove_user(unit: Unit, id_: int) -> None:
    """With all tokens."""
    unit.db.execute(sa.delete(users).where(users.c.id == id_))


# --- tokens


def add_token(
    unit: Unit,
    user: int | None,
    kind: Kind,
    name: str,
    hashed: str,
    scopes: list[str],
    expires: datetime | None,
) -> int:
    """A new token; its id."""
    row = {"user_id": user, "kind": kind, "name": name, "hash": hashed, "scopes": scopes}
    found = unit.db.execute(sa.insert(tokens).values(**row, created=unit.now, expires=expires)).inserted_primary_key
    assert found is not None
    return int(found[0])


def token(unit: Unit, hashed: str) -> Token | None:
    """The token with this hash, whether it is still good or not."""
    row = unit.db.execute(sa.select(*_TOKEN).where(tokens.c.hash == hashed)).first()
    return Token(*row) if row else None


def token_by_id(unit: Unit, id_: int) -> Token | None:
    row = unit.db.execute(sa.select(*_TOKEN).where(tokens.c.id == id_)).first()
    return Token(*row) if row else None


def list_tokens(
    unit: Unit, user: int | None = None, *, kind: Kind = "api", after: int = 0, limit: int = 100_000
) -> list[Token]:
    """Tokens of that kind, of one user or of all, by id after that one."""
    query = sa.select(*_TOKEN).where(tokens.c.kind == kind, tokens.c.id > after)
    if user is not None:
        query = query.where(tokens.c.user_id == user)
    return [Token(*row) for row in unit.db.execute(query.order_by(tokens.c.id).limit(limit))]


def revoke(unit: Unit, id_: int) -> None:
    unit.db.execute(sa.update(tokens).where(tokens.c.id == id_, tokens.c.revoked.is_(None)).values(revoked=unit.now))


def revoke_kind(unit: Unit, kind: Kind, user: int | None) -> None:
    """All of a user's tokens of a kind."""
    own = tokens.c.user_id.is_(None) if user is None else tokens.c.user_id == user
    unit.db.execute(
        sa.update(tokens).where(tokens.c.kind == kind, own, tokens.c.revoked.is_(None)).values(revoked=unit.now)
    )


def touch(unit: Unit, id_: int) -> None:
    """It was just shown."""
    unit.db.execute(sa.update(tokens).where(tokens.c.id == id_).values(used=unit.now))


def tidy(unit: Unit, before: datetime) -> None:
    """Forget sessions that ended before that moment."""
    unit.db.execute(sa.delete(tokens).where(tokens.c.kind == "session", tokens.c.expires < before))
