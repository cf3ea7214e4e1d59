"""Who did what when. A row is written before the act and completed after it; it is never rewritten afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import audit

UNDER_WAY: Final = 0
"""The status of an act whose end is not known: it is under way, or the process died in it."""


@dataclass(frozen=True, slots=True)
class Act:
    """One row. action: the operation's id. target: on what, as in connections/crm. status: of the answer."""

    actor: str
    action: str
    target: str = ""
    status: int = UNDER_WAY
    address: str = ""
    token_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    at: datetime | None = None


_COLUMNS = [audit.c[name] for name in Act.__slots__]


def begin(unit: Unit, act: Act) -> int:
    """Say that this is about to be done; the row's id."""
    row = {name: getattr(act, name) for name in ("action", "status", "token_id")}
    row |= {"actor": act.actor[:64], "target": act.target[:200], "address": act.address[:64]}
    key = unit.db.execute(sa.insert(audit).values(**row, detail=dict(act.detail), at=unit.now)).inserted_primary_key
    assert key is not None
    return int(key[0])


def finish(unit: Unit, id_: int, status: int, target: str, detail: Mapping[str, Any]) -> None:
    """Say how it ended."""
    values = {"status": status, "target": target[:200], "detail": dict(detail)}
    unit.db.execute(sa.update(audit).where(audit.c.id == id_, audit.c.status == UNDER_WAY).values(**values))


def listing(
    unit: Unit,
    *,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Act]:
    """Acts, newest first, before that id."""
    wanted = {audit.c.actor: actor, audit.c.action: action, audit.c.target: target}
    query = sa.select(*_COLUMNS).where(*(column == value for column, value in wanted.items() if value is not None))
    if before is not None:
        query = query.where(audit.c.id < before)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if until is not None:
        query = query.where(audit.c.at < until)
    return [Act(*row) for row in unit.db.execute(query.order_by(audit.c.id.desc()).limit(limit))]


def failures(unit: Unit, address: str, action: str, since: datetime) -> int:
    """How often this was refused to somebody at this address since then."""
    query = sa.select(sa.func.count()).where(
        audit.c.address == address, audit.c.action == action, audit.c.at >= since, audit.c.status >= 400
    )
    return unit.db.execute(query).scalar_one()
