"""Who wins when both sides changed the same value."""

from __future__ import annotations

from datetime import datetime

from app.core.reconcile import Arbiter, Side
from app.engine.world import Session
from app.store import connections, journal
from app.store.store import Unit
from connectors.card import Path


def arbiter(unit: Unit, session: Session, person: int, at: datetime) -> Arbiter:
    """The policy's answer for one person: the newest edit, the preferred connection, or a human.

    at: when the remote's value was set there.
    """

    def decide(path: Path) -> Side:
        if session.policy.ask:
            return "ask"
        last = journal.last_change(unit, person, path) if person > 0 else None
        if session.policy.prefer:
            return _preferred(unit, session, last[0] if last else None)
        return "theirs" if last is None or at > last[1] else "ours"

    return decide


def _preferred(unit: Unit, session: Session, other: int | None) -> Side:
    """The one of the two that stands first in the list; ours where neither does."""
    order = session.policy.prefer
    names = {connection.id: connection.name for connection in connections.every(unit)}
    here, there = session.connection.name, names.get(other) if other is not None else None
    if here not in order:
        return "ours"
    return "theirs" if there not in order or order.index(here) < order.index(there) else "ours"
