"""Processes that start: many at once, and on a database that is not for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import bootstrap, daemon
from app.bootstrap import Application
from app.engine import access
from app.settings import Settings
from app.store import runs


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found: str = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""
    return found or f"sqlite:///{tmp_path / 'home' / 'concord.db'}"


@pytest.fixture
def application(url: str, tmp_path: Path) -> Iterator[Application]:
    made = bootstrap.start(Settings.model_validate({"home": tmp_path / "home", "database_url": url}))
    yield made
    made.store.close()


def test_daemons_that_start_at_once_leave_one_token_that_opens(application: Application) -> None:
    with ThreadPoolExecutor(8) as pool:
        files = {*pool.map(lambda _: daemon.first_token(application), range(8))}
    (file,) = files
    assert file is not None
    assert access.principal_of(application.store, file.read_text().strip()).name == "first start"


def test_who_dies_while_renewing_credentials_is_not_waited_for_long(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who lives is, however long it takes."""
    monkeypatch.setattr(bootstrap, "RENEWAL_LEASE", 0.9)
    with application.store.begin() as unit:
        runs.take_lease(unit, "renew:7", "the dead", 0.9)
    entered = threading.Event()

    def another() -> None:
        with application.renewing(7):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        with application.renewing(7):
            assert 0.5 < time.monotonic() - began < 5
            other = pool.submit(another)
            assert not entered.wait(2)
        other.result(5)
