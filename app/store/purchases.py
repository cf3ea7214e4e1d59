"""What people bought, as the remotes that know it tell. Whose a purchase is, the links say: nothing here names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import aliases, connections, links, people, purchases
from connectors.contract import Line, Purchase


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase, and the connection that told of it."""

    connection: str
    purchase: Purchase


_COLUMNS = [c for c in purchases.c if c.name not in ("connection_id", "read")]


def keep(unit: Unit, connection: int, found: Sequence[Purchase]) -> None:
    """Store these as they are now, but for those of persons who were erased."""
    unit.upsert(purchases, [_row(unit, connection, purchase) for purchase in found])
    _forget_erased(unit, connection, {purchase.record for purchase in found})


def remove(unit: Unit, connection: int, ids: Iterable[str]) -> None:
    """They are not there any more."""
    here = purchases.c.connection_id == connection
    unit.db.execute(sa.delete(purchases).where(here, unit.among(purchases.c.id, set(ids))))


def of_person(unit: Unit, person: int) -> list[Bought]:
    """What a person bought, newest first. A record that goes under another id by now is known by its former ones."""
    names = (
        sa.select(links.c.connection_id, links.c.remote_id)
        .where(links.c.person_id == person)
        .union(
            sa.select(aliases.c.connection_id, aliases.c.alias)
            .join(
                links,
                sa.and_(links.c.connection_id == aliases.c.connection_id, links.c.remote_id == aliases.c.remote_id),
            )
            .where(links.c.person_id == person)
        )
        .subquery()
    )
    query = (
        sa.select(connections.c.name, *_COLUMNS)
        .join(
            names, sa.and_(names.c.connection_id == purchases.c.connection_id, names.c.remote_id == purchases.c.record)
        )
        .join(connections, connections.c.id == purchases.c.connection_id)
        .order_by(purchases.c.date.desc(), purchases.c.number.desc())
    )
    return [Bought(row[0], _purchase(row._mapping)) for row in unit.db.execute(query)]


def _forget_erased(unit: Unit, connection: int, records: set[str]) -> None:
    erased = (
        sa.select(links.c.remote_id)
        .join(people, people.c.id == links.c.person_id)
        .where(links.c.connection_id == connection, people.c.state == "erased", unit.among(links.c.remote_id, records))
    )
    here = purchases.c.connection_id == connection
    unit.db.execute(sa.delete(purchases).where(here, purchases.c.record.in_(erased)))


def erase(unit: Unit, person: int) -> None:
    """Nothing is left of what this person bought (who asked to be forgotten)."""
    for bought in unit.db.execute(
        sa.select(links.c.connection_id, links.c.remote_id).where(links.c.person_id == person)
    ).all():
        unit.db.execute(
            sa.delete(purchases).where(purchases.c.connection_id == bought[0], purchases.c.record == bought[1])
        )


def _row(unit: Unit, connection: int, purchase: Purchase) -> dict[str, Any]:
    return {
        "connection_id": connection,
        "id": purchase.id,
        "record": purchase.record,
        "kind": purchase.kind,
        "number": purchase.number[:200],
        "date": purchase.date.isoformat() if purchase.date else None,
        "total": str(purchase.total),
        "currency": purchase.currency,
        "state": purchase.state,
        "lines": [_line(line) for line in purchase.lines],
        "read": unit.now,
    }


def _line(line: Line) -> list[str | None]:
    return [line.text, line.item, *(None if n is None else str(n) for n in (line.quantity, line.price, line.amount))]


def _purchase(row: Any) -> Purchase:
    lines = [
        Line(text, item, *(None if number is None else Decimal(number) for number in numbers))
        for text, item, *numbers in row["lines"]
    ]
    return Purchase(
        id=row["id"],
        record=row["record"],
        kind=row["kind"],
        number=row["number"],
        date=date.fromisoformat(row["date"]) if row["date"] else None,
        total=Decimal(row["total"]),
        currency=row["currency"],
        state=row["state"],
        lines=lines,
    )
