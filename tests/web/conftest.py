"""Offices: one for each test, or one for many that only look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from office import Office
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.engine import access


@pytest.fixture(autouse=True, scope="session")
def _quick_hashes() -> Iterator[None]:
    """Argon2 as it is, with a hundredth of its work: what tests do is sign in."""
    quick = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "_hasher", lambda: quick)
        yield


@pytest.fixture(autouse=True)
def _logging(logging_as_it_was: None) -> None:
    """Applications are started here."""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def showroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office for a whole file; whatever a test does there, the others see."""
    made = Office(tmp_path_factory.mktemp("showroom") / "home")
    made.connect()
    for number in range(5):
        made.add(number, groups={"1": {"name": "Friends" if number % 2 else "friends "}})
    made.round()
    yield made
    made.close()
