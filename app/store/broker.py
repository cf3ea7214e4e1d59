"""Procrastinate's tables in our database, as far as its own interface does not reach them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from app.store.jobs import Job, Kind, lock_of
from app.store.store import Unit

_VERSION: Final = sa.text("SELECT obj_description(to_regclass('procrastinate_jobs'), 'pg_class')")


def driver(unit: Unit) -> Any:
    """The driver's connection, on which a job is put into this very unit of work."""
    return unit.db.connection.driver_connection


def install(unit: Unit, schema: str, migrations: Sequence[Path]) -> None:
    """Make the tables, or bring them up to date. migrations: all there are, in order; the schema has them in it."""
    last = migrations[-1].name
    known = unit.db.execute(_VERSION).scalar()
    if known == last:
        return
    scripts = [schema] if known is None else [file.read_text() for file in migrations if file.name > known]
    for script in scripts:
        driver(unit).execute(script)  # past SQLAlchemy, for which % in it would be a parameter
    # The version stands at the tables themselves, so that it comes and goes with them.
    driver(unit).execute(f"COMMENT ON TABLE procrastinate_jobs IS '{last}'")


_HURRY = sa.text("""
    UPDATE procrastinate_jobs SET
        scheduled_at = CASE WHEN CAST(:at AS timestamptz) IS NULL OR scheduled_at IS NULL THEN NULL
                            ELSE LEAST(scheduled_at, CAST(:at AS timestamptz)) END,
        args = CASE WHEN :kind = 'sync' THEN jsonb_set(args, '{kind}', '"sync"') ELSE args END
    WHERE queueing_lock = :lock AND status = 'todo'
    RETURNING id
""")


def hurry(unit: Unit, kind: Kind, connection: int | None, after: datetime | None) -> bool:
    """The job that waits of this lock shall do this as well, and not later; False where it does not wait any more."""
    values = {"kind": kind, "at": after, "lock": lock_of(kind, connection)}
    return unit.db.execute(_HURRY, values).first() is not None


_LISTING = sa.text("""
    SELECT lock, status, args, COALESCE(scheduled_at, now()) AS due, worker_id FROM procrastinate_jobs
    WHERE status IN ('todo', 'doing') ORDER BY status DESC, due, lock
""")


def listing(unit: Unit) -> list[Job]:
    """The jobs that run, then those that wait, by time."""
    found = [
        Job(
            row.lock,
            "running" if row.status == "doing" else "waiting",
            row.args["kind"],
            row.args["connection_id"],
            row.due,
            str(row.worker_id) if row.worker_id else None,
        )
        for row in unit.db.execute(_LISTING)
    ]
    return sorted(found, key=lambda job: job.state)
