"""The door to the database: transactions, and nothing about contacts."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, NamedTuple

import orjson
import sqlalchemy as sa

Row = Mapping[str, Any]
WRITER = 0x436F6E636F7264
"""PostgreSQL's lock of the one unit that writes ("Concord" in ASCII)."""


class Unopenable(Exception):
    """The database cannot be opened, or read to its end; the message says which and why."""


class StoreFull(Exception):
    """The database cannot take more (its disk is full). Nothing of the unit of work was stored."""


FULL = ("disk is full", "disk I/O error", "No space left on device")
DAMAGED = ("is not a database", "is malformed")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of work: a transaction and the moment at which it happens. committed: what is called once it is."""

    db: sa.Connection
    now: datetime
    committed: list[Callable[[], None]] = field(default_factory=list, compare=False)

    @property
    def sqlite(self) -> bool:
        return self.db.dialect.name == "sqlite"

    def among(self, column: sa.ColumnElement[Any], values: Iterable[Any]) -> sa.ColumnElement[bool]:
        """column IN (values), any number of them: one parameter, where IN's list would be rendered anew each time."""
        found = [*values]
        if self.sqlite:
            listed = sa.func.json_each(orjson.dumps(found).decode()).table_valued("value")
            return column.in_(sa.select(listed.c.value))
        return column == sa.any_(sa.literal(found, sa.ARRAY(column.type)))

    def insert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        self._many(table, rows, "insert")

    def upsert(self, table: sa.Table, rows: Sequence[Row], *, ignore: bool = False) -> None:
        """Insert; where the primary key is taken, overwrite the columns given, or leave the row as it is."""
        self._many(table, rows, "ignore" if ignore else "overwrite")

    def _many(self, table: sa.Table, rows: Sequence[Row], mode: Mode) -> None:
        """Past SQLAlchemy's work per row and per statement: a first pull would spend a third of its time there."""
        if not rows:
            return
        bulk = _bulk(self.db.dialect, table, tuple(rows[0]), mode)
        columns = [
            [row[name] for row in rows] if process is None else [process(row[name]) for row in rows]
            for name, process in bulk.columns
        ]
        values: Any = [*zip(*columns, strict=True)]
        if bulk.named:
            names = [name for name, _ in bulk.columns]
            values = [dict(zip(names, row, strict=True)) for row in values]
        self.db.exec_driver_sql(bulk.sql, values)

    def next_ids(self, table: sa.Table, count: int) -> range | list[int]:
        """Fresh primary keys for rows to be inserted by this unit."""
        if self.sqlite:  # the unit is the only writer
            last = self.db.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
            return range(last + 1, last + 1 + count)
        sequence = sa.func.pg_get_serial_sequence(table.name, "id")
        series = sa.func.generate_series(1, count)
        return list(self.db.execute(sa.select(sa.func.nextval(sequence)).select_from(series)).scalars())


Mode = Literal["insert", "overwrite", "ignore"]


class Bulk(NamedTuple):
    """A statement for many rows. columns: in the order of its parameters, each with what makes it fit for the driver.
    named: the driver wants its parameters by name."""

    sql: str
    columns: list[tuple[str, Callable[[Any], Any] | None]]
    named: bool


@lru_cache(maxsize=256)
def _bulk(dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...], mode: Mode) -> Bulk:
    insert: Any = import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)
    keys = [column.name for column in table.primary_key]
    if mode == "ignore":
        insert = insert.on_conflict_do_nothing(index_elements=keys)
    elif mode == "overwrite":
        changed = {name: insert.excluded[name] for name in names if name not in keys}
        insert = insert.on_conflict_do_update(index_elements=keys, set_=changed)
    compiled = insert.compile(dialect=dialect, column_keys=[*names])
    order = compiled.positiontup if compiled.positional else names
    processors = {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names}
    return Bulk(str(compiled), [(name, processors[name]) for name in order or ()], not compiled.positional)


class Store:
    """A database, and when its transactions begin and end.

    url: an SQLAlchemy URL. clock: the time, aware.
    """

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        self.url = url
        self.clock = clock
        # Parameters are people's data: they must not get into errors and logs.
        self.engine = sa.create_engine(url, hide_parameters=True, **_options(url))
        sa.event.listen(self.engine, "handle_error", self._tell)
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "do_connect", _make)
            sa.event.listen(self.engine, "connect", _tune)
            sa.event.listen(self.engine, "begin", _begin)
        else:
            sa.event.listen(self.engine, "begin", _begin_postgres)
        # SQLite has one writer at a time; in one process its turn is awaited better here than by its polling.
        self._turn = threading.RLock() if self.engine.dialect.name == "sqlite" else contextlib.nullcontext()

    @contextlib.contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[Unit]:
        """A unit of work that may write; it is committed when the block ends well.

        durable: survives a power cut, not only a killed process (SQLite; PostgreSQL always does). Needed for what
            cannot be read again from a remote: intents of writes, and what a human told us.
        """
        with self._turn, self._unit("FULL" if durable else "NORMAL", "BEGIN IMMEDIATE") as (unit, transaction):
            yield unit
            transaction.commit()
        for tell in unit.committed:
            tell()

    @contextlib.contextmanager
    def trial(self) -> Iterator[Unit]:
        """A unit of work that is undone at its end, whatever happens: to see what would be."""
        with self._turn, self._unit("NORMAL", "BEGIN IMMEDIATE") as (unit, transaction):
            yield unit
            transaction.rollback()

    @contextlib.contextmanager
    def read(self) -> Iterator[Unit]:
        """A consistent view of the data."""
        with self._unit("NORMAL", "BEGIN") as (unit, transaction):
            yield unit
            transaction.rollback()

    @contextlib.contextmanager
    def _unit(self, synchronous: str, begin: str) -> Iterator[tuple[Unit, sa.RootTransaction]]:
        with self.engine.connect() as raw:
            db = raw.execution_options(concord_synchronous=synchronous, concord_begin=begin)
            with db.begin() as transaction:
                yield Unit(db, self.clock()), transaction

    def flaw(self) -> str | None:
        """What is wrong with the file of the database, as SQLite finds it; a server's is its own affair."""
        if self.engine.dialect.name != "sqlite":
            return None
        with self.read() as unit:
            found = str(unit.db.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        return None if found == "ok" else found

    def _tell(self, context: sa.engine.ExceptionContext) -> None:
        """In whatever the database fails that somebody can mend, it is said what: here, or while it is made."""
        if context.is_pre_ping:  # a connection that was closed meanwhile is replaced
            return
        why = str(context.original_exception).strip()
        where = self.engine.url.render_as_string(hide_password=True)
        if any(words in why for words in FULL):
            raise StoreFull(f"the disk of the database is full; make room and run again ({why})")
        if any(words in why for words in DAMAGED):
            raise Unopenable(
                f"the database {where} is damaged, or no database ({why}); "
                "move that file away, then get a backup back with `concord restore FILE`"
            )
        if context.connection is None and isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
            raise Unopenable(f"the database {where} cannot be opened: {why}")

    def close(self) -> None:
        self.engine.dispose()


def _options(url: str) -> dict[str, Any]:
    if sa.make_url(url).get_backend_name() != "sqlite":
        # Writers wait for their turn with a connection in their hands: every lane and every request may need one.
        return {"pool_pre_ping": True, "pool_size": 8, "max_overflow": 32}
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if sa.make_url(url).database in (None, "", ":memory:"):
        options["poolclass"] = sa.StaticPool
    return options


def _make(_dialect: Any, _record: Any, where: Sequence[Any], _options: Any) -> None:
    """Contacts are nobody's business but the owner's, whatever the umask: SQLite takes a file's mode for those that it
    puts beside it, and leaves one that is there as it is. Where none can be made, it says so itself."""
    file = str(where[0]) if where else ":memory:"
    if not file.startswith((":memory:", "file:")):
        with contextlib.suppress(OSError):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _tune(connection: Any, _record: Any) -> None:
    """SQLite as a server's database: readers beside one writer, foreign keys kept, transactions begun by us."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=30000", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    synchronous = options.get("concord_synchronous", "FULL")
    if connection.info.get("synchronous") != synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
        connection.info["synchronous"] = synchronous
    connection.exec_driver_sql(options.get("concord_begin", "BEGIN"))


def _begin_postgres(connection: sa.Connection) -> None:
    """PostgreSQL as we know SQLite: readers see one moment, and one unit writes at a time. So what a unit has read is
    true until it commits, and two runs that meet the same new person at once do not both add it."""
    kind = connection.get_execution_options().get("concord_begin")
    if kind == "BEGIN":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    elif kind:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER})")
