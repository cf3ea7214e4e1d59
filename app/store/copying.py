"""The whole database into another one, and the proof that both hold the same."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import sqlalchemy as sa

from app.store.store import Store, Unit
from app.store.tables import EPOCH, connections, jobs, leases, metadata, people, runs, suppressions

BATCH: Final = 500
FLEETING: Final = frozenset({"leases", "jobs"})
"""Of processes that are not there any more when the copy is used."""
RESTORED: Final = "restored"


class Mismatch(Exception):
    """The copy does not hold what the original holds; the message says where."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a table holds. digest: of all its rows, in whatever order."""

    table: str
    rows: int
    digest: str


def tables() -> list[sa.Table]:
    """What is copied, in an order in which what is pointed at comes first."""
    return [table for table in metadata.sorted_tables if table.name not in FLEETING]


def is_empty(unit: Unit) -> bool:
    """Was nothing ever kept there?"""
    return not any(
        unit.db.execute(sa.select(sa.literal(1)).select_from(t).limit(1)).first() for t in (people, connections)
    )


def in_use(unit: Unit) -> list[str]:
    """Who works with the database right now."""
    return list(unit.db.execute(sa.select(leases.c.owner).where(leases.c.until > unit.now).distinct()).scalars())


def copy(source: Unit, target: Unit, progress: Callable[[str, int], None] = lambda table, rows: None) -> list[Proof]:
    """Copy everything into an empty database, and prove it: {table: rows, digest} of both sides are the same.

    Raises Mismatch; nothing must be kept of the target then.
    """
    proofs = []
    for table in reversed(tables()):  # what a new database has in it by itself
        target.db.execute(sa.delete(table))
    for table in tables():
        for batch in _rows(source, table):
            target.insert(table, batch)
            progress(table.name, len(batch))
        _count_on(target, table)
        before, after = prove(source, table), prove(target, table)
        if before != after:
            raise Mismatch(f"{table.name}: {before.rows} rows became {after.rows}, or some are different")
        proofs.append(before)
    return proofs


def prove(unit: Unit, table: sa.Table) -> Proof:
    """What the table holds now."""
    total, count = 0, 0
    for batch in _rows(unit, table):
        for row in batch:
            line = orjson.dumps([row[column.name] for column in table.c], default=_plain)
            total += int.from_bytes(hashlib.sha256(line).digest(), "big")
        count += len(batch)
    return Proof(table.name, count, f"{total % (1 << 256):064x}")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(type(value).__name__)


def _rows(unit: Unit, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    found = unit.db.execute(sa.select(table), execution_options={"yield_per": BATCH})
    for part in found.partitions(BATCH):
        yield [_exact(row._asdict()) for row in part]


def _exact(row: dict[str, Any]) -> dict[str, Any]:
    """Moments as they are; a driver's own kinds of bytes as bytes."""
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


def _count_on(unit: Unit, table: sa.Table) -> None:
    """PostgreSQL numbers new rows after those that were copied."""
    if unit.sqlite or "id" not in table.c or not isinstance(table.c.id.type, sa.Integer):
        return
    last = unit.db.execute(sa.select(sa.func.max(table.c.id))).scalar()
    if last is not None:
        unit.db.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, "id"), last)))


# --- backups


def snapshot(store: Store, file: Path) -> None:
    """The SQLite database as it is at one moment, into a new file, while others go on writing."""
    with store.read() as unit, sqlite3.connect(file) as target:
        unit.db.connection.driver_connection.backup(target)  # type: ignore[union-attr]
        target.execute("PRAGMA journal_mode=DELETE")
        [(found,)] = target.execute("PRAGMA integrity_check(1)").fetchall()
    target.close()
    if found != "ok":
        raise Mismatch(f"the database is damaged: {found}")


def settle_restored(unit: Unit) -> None:
    """The copy is of the past: who worked with it is gone, and every remote has to be read before it is written to, for
    what we did there since is not known here."""
    unit.db.execute(sa.delete(leases))
    unit.db.execute(sa.delete(jobs))
    unit.db.execute(sa.update(runs).values(scope=RESTORED))


def erased(unit: Unit) -> list[str]:
    """The uids of persons who asked to be forgotten."""
    return list(unit.db.execute(sa.select(people.c.uid).where(people.c.state == "erased")).scalars())


def live_among(unit: Unit, uids: list[str]) -> list[str]:
    """Those of them who are here and not erased."""
    query = sa.select(people.c.uid).where(unit.among(people.c.uid, uids), people.c.state != "erased")
    return list(unit.db.execute(query).scalars())


def kept_out(unit: Unit) -> dict[str, datetime]:
    """{hash: since when} of the addresses of those who were erased."""
    return {row.hash: row.at or EPOCH for row in unit.db.execute(sa.select(suppressions))}


def keep_out(unit: Unit, hashes: dict[str, datetime]) -> None:
    """These addresses are not to be known again."""
    unit.upsert(suppressions, [{"hash": hash_, "at": at} for hash_, at in hashes.items()], ignore=True)
