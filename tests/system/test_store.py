"""What SQLite is told about a unit of work."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.store.store import Store, Unit

NORMAL, FULL = 1, 2
"""`PRAGMA synchronous`: what survives a killed process, and what survives a power cut."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'concord.db'}", lambda: datetime.now(UTC))


def _synchronous(unit: Unit) -> int:
    return int(unit.db.exec_driver_sql("PRAGMA synchronous").scalar_one())


def test_what_must_survive_a_power_cut_does_whatever_came_before(store: Store) -> None:
    for durable in (False, True, True, False, True):
        with store.begin(durable=durable) as unit:
            assert _synchronous(unit) == (FULL if durable else NORMAL)
        with store.read() as unit:
            assert _synchronous(unit) == NORMAL


def test_nor_does_it_depend_on_whose_connection_it_was(store: Store) -> None:
    with store.begin() as outer, store.read() as inner:
        assert _synchronous(outer) == _synchronous(inner) == NORMAL
    for _ in range(3):
        with store.begin(durable=True) as outer, store.read() as inner:
            assert (_synchronous(outer), _synchronous(inner)) == (FULL, NORMAL)
