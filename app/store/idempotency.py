"""Answers to requests that may be sent twice, by the key that their sender gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import idempotency


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked under a key (as a hash), and what was answered. status None: not answered yet. body None: it
    held what is shown only once."""

    request: str
    at: datetime
    status: int | None
    headers: Mapping[str, str] | None
    body: bytes | None


def find(unit: Unit, owner: str, key: str) -> Answer | None:
    columns = [idempotency.c[name] for name in Answer.__slots__]
    row = unit.db.execute(sa.select(*columns).where(_is(owner, key))).first()
    return Answer(*row) if row else None


def claim(unit: Unit, owner: str, key: str, request: str) -> None:
    """This key stands for this request from now on."""
    row = {"owner": owner, "key": key, "request": request, "at": unit.now, "status": None}
    unit.upsert(idempotency, [row | {"headers": None, "body": None}])


def answer(unit: Unit, owner: str, key: str, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
    values = {"status": status, "headers": dict(headers), "body": body}
    unit.db.execute(sa.update(idempotency).where(_is(owner, key)).values(**values))


def release(unit: Unit, owner: str, key: str) -> None:
    """It failed; the key may be used again."""
    unit.db.execute(sa.delete(idempotency).where(_is(owner, key)))


def tidy(unit: Unit, before: datetime) -> None:
    unit.db.execute(sa.delete(idempotency).where(idempotency.c.at < before))


def _is(owner: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(idempotency.c.owner == owner, idempotency.c.key == key)


def forget(unit: Unit, text: str) -> None:
    """Answers that hold this text (the uid of a person who asked to be forgotten)."""
    found = [
        (row.owner, row.key)
        for row in unit.db.execute(sa.select(idempotency.c.owner, idempotency.c.key, idempotency.c.body))
        if row.body is not None and text.encode() in row.body
    ]
    for owner, key in found:
        release(unit, owner, key)
