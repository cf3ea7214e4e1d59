"""The journal: what changed, who did it, where and when. Rows are never rewritten; those of who asked to be forgotten
go. And the conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import changes, conflicts, connections, people
from connectors.card import Path


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the journal. path: () is the whole person. connection_id: whose side it came from, None: ours.
    at: when it was done there, as far as the remote told, else when we heard of it. reason: what was done to many at
    once (a group was renamed), None: it was done to this person."""

    person_id: int
    path: Path
    before: Any
    after: Any
    actor: str
    connection_id: int | None = None
    run_id: int | None = None
    at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed `path`. kept "ask": ours stands until a human decides."""

    person_id: int
    connection_id: int
    path: Path
    ours: Any
    theirs: Any
    kept: Literal["ours", "theirs", "ask"]
    id: int = 0
    at: datetime | None = None
    uid: str = ""
    name: str = ""
    connection: str = ""


def pointer(path: Path) -> str:
    """The path as a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def path_of(text: str) -> Path:
    """The path that a JSON pointer names."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def append(unit: Unit, rows: Sequence[Change]) -> None:
    unit.insert(
        changes,
        [
            {
                "person_id": row.person_id,
                "path": pointer(row.path),
                "before": row.before,
                "after": row.after,
                "connection_id": row.connection_id,
                "run_id": row.run_id,
                "actor": row.actor,
                "at": row.at or unit.now,
                "reason": row.reason,
            }
            for row in rows
        ],
    )


def history(unit: Unit, person: int) -> list[Change]:
    """Everything that happened to a person, oldest first."""
    columns = [changes.c[name] for name in Change.__slots__]
    query = sa.select(*columns).where(changes.c.person_id == person).order_by(changes.c.id)
    return [Change(row.person_id, path_of(row.path), *row[2:]) for row in unit.db.execute(query)]


def last_change(unit: Unit, person: int, at: Path) -> tuple[int | None, datetime] | None:
    """Who changed this value (or element, or anything in it) last and when: (connection, moment). Of the whole person,
    who did something to them; what was done to many at once is no edit of each."""
    place = pointer(at)
    own = () if at else (changes.c.reason.is_(None),)
    query = (
        sa.select(changes.c.connection_id, changes.c.at)
        .where(
            changes.c.person_id == person,
            *own,
            sa.or_(
                changes.c.path.in_([place, ""]),
                changes.c.path.startswith(place + "/", autoescape=True),
                sa.literal(place).startswith(changes.c.path + "/"),
            ),
        )
        .order_by(changes.c.id.desc())
        .limit(1)
    )
    row = unit.db.execute(query).first()
    return (row[0], row[1]) if row else None


def record_conflicts(unit: Unit, found: Sequence[Conflict]) -> None:
    """Write them down. A question that is open keeps its number and has the values as they are now; what they were is
    history."""
    rows = [row for row in found if row.kept != "ask" or not _goes_on(unit, row)]
    unit.insert(
        conflicts,
        [
            {
                "person_id": row.person_id,
                "connection_id": row.connection_id,
                "path": pointer(row.path),
                "ours": row.ours,
                "theirs": row.theirs,
                "kept": row.kept,
                "open": row.kept == "ask",
                "at": unit.now,
            }
            for row in rows
        ],
    )


def _goes_on(unit: Unit, row: Conflict) -> bool:
    """Is it the same question as one that waits for a human?"""
    same = (conflicts.c.person_id == row.person_id) & (conflicts.c.connection_id == row.connection_id)
    query = sa.select(conflicts).where(same, conflicts.c.path == pointer(row.path), conflicts.c.open)
    asked = unit.db.execute(query).first()
    if asked is None:
        return False
    former = {name: value for name, value in asked._mapping.items() if name != "id"}
    unit.insert(conflicts, [{**former, "open": False, "kept": "ours"}])
    now = {"ours": row.ours, "theirs": row.theirs, "at": unit.now}
    unit.db.execute(sa.update(conflicts).where(conflicts.c.id == asked.id).values(**now))
    return True


def list_conflicts(
    unit: Unit, *, only_open: bool = False, limit: int = 100, person: int | None = None
) -> list[Conflict]:
    """Conflicts, newest first."""
    query = (
        sa.select(
            *(
                conflicts.c[name]
                for name in ("person_id", "connection_id", "path", "ours", "theirs", "kept", "id", "at")
            ),
            people.c.uid,
            people.c.name,
            connections.c.name.label("connection"),
        )
        .join(people, people.c.id == conflicts.c.person_id)
        .join(connections, connections.c.id == conflicts.c.connection_id)
        .order_by(conflicts.c.id.desc())
        .limit(limit)
    )
    if only_open:
        query = query.where(conflicts.c.open)
    if person is not None:
        query = query.where(conflicts.c.person_id == person)
    return [Conflict(row[0], row[1], path_of(row[2]), *row[3:]) for row in unit.db.execute(query)]


def get_conflict(unit: Unit, conflict: int) -> tuple[Conflict, bool] | None:
    """One conflict, and whether it is open."""
    row = unit.db.execute(sa.select(conflicts).where(conflicts.c.id == conflict)).first()
    if row is None:
        return None
    found = Conflict(
        row.person_id, row.connection_id, path_of(row.path), row.ours, row.theirs, row.kept, row.id, row.at
    )
    return found, row.open


def close_conflict(unit: Unit, conflict: int, kept: Literal["ours", "theirs"]) -> None:
    unit.db.execute(sa.update(conflicts).where(conflicts.c.id == conflict).values(open=False, kept=kept))


def disputed(unit: Unit, connection: int, persons: Iterable[int]) -> dict[int, set[Path]]:
    """Paths about which a human has yet to decide, by person."""
    query = sa.select(conflicts.c.person_id, conflicts.c.path).where(
        conflicts.c.connection_id == connection, conflicts.c.open, unit.among(conflicts.c.person_id, set(persons))
    )
    found: dict[int, set[Path]] = {}
    for person, path in unit.db.execute(query):
        found.setdefault(person, set()).add(path_of(path))
    return found


def erase(unit: Unit, person: int) -> None:
    """Nothing is left of what happened to this person (who asked to be forgotten)."""
    unit.db.execute(sa.delete(changes).where(changes.c.person_id == person))
    unit.db.execute(sa.delete(conflicts).where(conflicts.c.person_id == person))
