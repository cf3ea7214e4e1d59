"""Databases and houses for the tests of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from house import Clock, House, real_clock


@pytest.fixture(autouse=True)
def _logging(logging_as_it_was: None) -> None:
    """Applications are started here."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes houses on one SQLite file."""
    made: list[House] = []

    def make(clock: Callable[[], datetime] = real_clock, **values: object) -> House:
        house = House(f"sqlite:///{tmp_path / 'concord.db'}", clock, **values)  # type: ignore[arg-type]
        made.append(house)
        return house

    yield make
    for house in made:
        house.store.close()
