"""Processes that start: many at once, on a database that is not for them, and without the key of the credentials."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from app import bootstrap, configure, daemon
from app.bootstrap import Application
from app.configure import Declared, Entry
from app.engine import access
from app.settings import Settings
from app.store import connections, runs
from app.store.connections import Connection
from app.store.store import Store
from connectors import registry
from connectors.sandbox import running as serving
from migrations import HEAD

ROOT = Path(__file__).parents[2]


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


# --- a database that a newer Concord has been at ----------------------------------------------------------------------


def everything(store: Store) -> list[object]:
    """All rows of all tables."""
    with store.read() as unit:
        names = sorted(sa.inspect(unit.db).get_table_names())
        return [(name, sorted(map(repr, unit.db.exec_driver_sql(f"SELECT * FROM {name}")))) for name in names]


@pytest.mark.parametrize(
    "words",
    [["people"], ["sync"], ["serve", "--port", "0"], ["worker"], ["apply", "shop.yaml"]],
    ids=lambda words: words[0],
)
def test_a_newer_database_is_left_alone_and_said_so(application: Application, words: list[str]) -> None:
    with application.store.begin() as unit:
        unit.db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = everything(application.store)
    ended = run(application, *words)
    assert ended.returncode == 1
    said = " ".join(ended.stderr.split())
    assert f"the database is of version 9999, this Concord knows versions up to {HEAD}" in said
    assert "install the Concord that last used it, or restore a backup" in said
    assert "Traceback" not in said
    assert everything(application.store) == before


def run(application: Application, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`concord …` as a process; one that would go on for ever fails the test."""
    settings = application.settings
    here = {"CONCORD_HOME": str(settings.home), "CONCORD_DATABASE_URL": settings.database_url}
    settings.home.mkdir(exist_ok=True)
    (settings.home / "shop.yaml").write_text("connections: []\n")
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **here, **environment},
        cwd=settings.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- the key of the credentials is lost -------------------------------------------------------------------------------


def test_without_its_key_a_connection_fails_and_goes_on_when_the_key_is_back(application: Application) -> None:
    """It is neither paused nor overwritten: what was encrypted waits for its key."""
    book = registry.sandbox("carddav")
    with serving(book.app) as url:
        system = registry.system("carddav")
        settings = book.settings(url)
        entry = Entry(name="book", system="carddav", settings=settings, approve="auto")
        configure.apply(application, [Declared(entry, system, system.settings.model_validate(settings))])
        (stored,) = listed(application)
        lost = run(application, "sync", "book", CONCORD_SECRETS_KEYS=Fernet.generate_key().decode())
        assert lost.returncode == 1
        said = " ".join((lost.stdout + lost.stderr).split())
        assert "CONCORD_SECRETS_KEYS has no key that fits the stored credentials" in said
        assert "Traceback" not in said
        (now,) = listed(application)
        assert (now.secrets, now.state) == (stored.secrets, "active")
        assert run(application, "sync", "book").returncode == 0


def listed(application: Application) -> list[Connection]:
    with application.store.read() as unit:
        return connections.every(unit)
