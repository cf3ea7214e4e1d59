"""Looking through the store, a page at a time: persons, histories, conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.store import groups
from app.store.journal import Change, Conflict, path_of
from app.store.people import Person, State, fits
from app.store.store import Unit
from app.store.tables import changes, conflicts, connections, links, people


@dataclass(frozen=True, slots=True)
class Found:
    """A person in a listing, and when it last changed."""

    person: Person
    updated: datetime


def persons(
    unit: Unit,
    *,
    text: str = "",
    found_by: Iterable[tuple[str, str]] = (),
    states: Sequence[State] = ("live",),
    group: str = "",
    connection: int | None = None,
    since: datetime | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[Found]:
    """Persons by id, after that one. text: in the name; found_by: or with one of these keys. group: in a group of
    this name. connection: with a living record there. since: changed at that moment or later."""
    query = sa.select(*(people.c[n] for n in ("id", "uid", "rev", "state", "card")), people.c.updated)
    query = query.where(people.c.state.in_(states), people.c.id > after)
    if text:
        query = query.where(fits(unit, text, found_by))
    if group:
        query = query.where(groups.bearing(unit, group))
    if connection is not None:
        here = sa.and_(links.c.connection_id == connection, links.c.person_id == people.c.id, links.c.state == "live")
        query = query.where(sa.exists().where(here))
    if since is not None:
        query = query.where(people.c.updated >= since)
    return [Found(Person(*row[:5]), row[5]) for row in unit.db.execute(query.order_by(people.c.id).limit(limit))]


# --- what happened


def history(unit: Unit, person: int, *, before: int | None = None, limit: int = 100) -> list[tuple[int, Change]]:
    """(id, change) of a person, newest first, before that id."""
    columns = [changes.c[name] for name in Change.__slots__]
    query = sa.select(changes.c.id, *columns).where(changes.c.person_id == person)
    if before is not None:
        query = query.where(changes.c.id < before)
    rows = unit.db.execute(query.order_by(changes.c.id.desc()).limit(limit))
    return [(row[0], Change(row[1], path_of(row[2]), *row[3:])) for row in rows]


@dataclass(frozen=True, slots=True)
class Listed:
    """A conflict in a listing, and whether it waits for a human."""

    conflict: Conflict
    open: bool


def clashes(
    unit: Unit,
    *,
    only_open: bool = True,
    person: str | None = None,
    connection: str | None = None,
    field: str | None = None,
    ids: Iterable[int] | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Listed]:
    """Conflicts, newest first, before that id. field: at the top of the card (`emails`)."""
    c = conflicts.c
    query = (
        sa.select(c.person_id, c.connection_id, c.path, c.ours, c.theirs, c.kept, c.id, c.at)
        .add_columns(people.c.uid, people.c.name, connections.c.name, c.open)
        .join(people, people.c.id == c.person_id)
        .join(connections, connections.c.id == c.connection_id)
    )
    if only_open:
        query = query.where(c.open)
    if person is not None:
        query = query.where(people.c.uid == person)
    if connection is not None:
        query = query.where(connections.c.name == connection)
    if field is not None:
        query = query.where((c.path == f"/{field}") | c.path.startswith(f"/{field}/", autoescape=True))
    if ids is not None:
        query = query.where(unit.among(c.id, ids))
    if before is not None:
        query = query.where(c.id < before)
    rows = unit.db.execute(query.order_by(c.id.desc()).limit(limit))
    return [Listed(Conflict(row[0], row[1], path_of(row[2]), *row[3:11]), row[11]) for row in rows]
