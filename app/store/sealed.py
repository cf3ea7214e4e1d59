"""Everything in the store that is encrypted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import connections, handshakes, subscriptions

COLUMNS: Final[tuple[sa.Column[bytes], ...]] = (
    connections.c.secrets,
    connections.c.hook,
    subscriptions.c.secret,
    handshakes.c.sealed,
)


def reseal(unit: Unit, anew: Callable[[bytes], bytes]) -> int:
    """Let every encrypted value be encrypted anew; how many there are."""
    number = 0
    for column in COLUMNS:
        table = column.table
        for id_, sealed in unit.db.execute(sa.select(table.c.id, column).where(column.is_not(None))).all():
            unit.db.execute(sa.update(table).where(table.c.id == id_).values({column.name: anew(sealed)}))
            number += 1
    return number
