"""The laws on both databases: the tests of `BOTH` run on SQLite and on PostgreSQL, where a statement takes much longer.
So there it is every eighth of them, and all in the long profile."""

from __future__ import annotations

import zlib
from typing import Final

import pytest
import world
from hypothesis import settings

from app.engine import push

BOTH = {
    "test_crashes",
    "test_each_law",
    "test_forgotten",
    "test_groups",
    "test_merged_there",
    "test_opt_out_sticks",
    "test_resolve",
    "test_unproven",
    "test_what_cannot_be_kept",
}
SHARE: Final = 8
LONG: Final = settings.get_current_profile_name() == "long"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    function = metafunc.function
    if metafunc.module.__name__ not in BOTH or hasattr(function, "hypothesis"):
        return  # searches have examples of their own there: test_laws_on_postgres.py
    drawn = LONG or zlib.crc32(function.__name__.encode()) % SHARE == 0
    metafunc.parametrize("database", ["sqlite", *(["postgresql"] if drawn else [])], indirect=True)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few persons are several steps of writing, so that every history goes from one to the next."""
    monkeypatch.setattr(push, "FIRST", 1)
    monkeypatch.setattr(push, "STEP", 2)


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the worlds of a test are kept."""
    kind: str = getattr(request, "param", "sqlite")
    if kind == "postgresql":
        make = request.getfixturevalue("postgres_copies")
        monkeypatch.setattr(world, "new_database", lambda file=None: make())
    return kind
