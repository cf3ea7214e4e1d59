"""Reading who bought what, from the remotes that know it. Facts: they are never merged, and never written back."""

from __future__ import annotations

from itertools import count
from typing import Any

from app.engine.world import Session
from app.store import connections, purchases
from connectors.contract import Seller
from connectors.errors import CursorExpired


def read(session: Session) -> None:
    """Take in what was sold since the last time, a transaction a page."""
    connector = session.connector
    if not isinstance(connector, Seller) or session.policy.fields.get("purchases", "pull") not in ("both", "pull"):
        return
    try:
        _read(session, connector, session.connection.sales_cursor)
    except CursorExpired:
        _read(session, connector, None)


def _read(session: Session, connector: Seller, cursor: Any) -> None:
    pages = iter(connector.purchases(cursor))
    for number in count(1):
        with session.world.watch("page", {}) as tell:
            page = next(pages, None)
            if page is None:
                return
            with session.store.begin() as unit:
                session.fence(unit)
                purchases.keep(unit, session.id, page.purchases)
                purchases.remove(unit, session.id, page.gone)
                if page.cursor is not None:
                    connections.update(unit, session.id, sales_cursor=page.cursor)
            tell("purchases", len(page.purchases))
        session.world.at("sales.page")
        session.progress("purchases", number)
