"""Processes that start: many at once, and on a database that is not for them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import bootstrap, daemon
from app.bootstrap import Application
from app.engine import access
from app.settings import Settings


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
