"""Persons and what they are found by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from app.store import groups
from app.store.store import Unit
from app.store.tables import keys, people
from connectors.card import Card, full_name

State = Literal["live", "archived", "deleted", "erased"]
"""archived: deleted in one system and left alone in the others; deleted: to be deleted in the others too."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person: the card, how often it changed (`rev`), and whether it is in use."""

    id: int
    uid: str
    rev: int
    state: State
    card: Card


_COLUMNS = (people.c.id, people.c.uid, people.c.rev, people.c.state, people.c.card)


def load(unit: Unit, ids: Iterable[int]) -> dict[int, Person]:
    """These persons, by id."""
    if not (wanted := set(ids)):
        return {}
    rows = unit.db.execute(sa.select(*_COLUMNS).where(unit.among(people.c.id, wanted)))
    return {row.id: Person(*row) for row in rows}


def by_uid(unit: Unit, uid: str) -> Person | None:
    """The person with this uid, else with the only uid that begins so (at least 6 characters)."""
    exact = unit.db.execute(sa.select(*_COLUMNS).where(people.c.uid == uid)).first()
    if exact is not None:
        return Person(*exact)
    if len(uid) < 6:
        return None
    begins = people.c.uid.startswith(uid, autoescape=True)
    rows = unit.db.execute(sa.select(*_COLUMNS).where(begins).limit(2)).all()
    return Person(*rows[0]) if len(rows) == 1 else None


def get(unit: Unit, uid: str) -> Person:
    """As `by_uid`; raises LookupError where there is nobody."""
    person = by_uid(unit, uid)
    if person is None:
        raise LookupError(f"no (single) person has a uid that begins with {uid!r}; give at least 6 characters of it")
    return person


def by_keys(unit: Unit, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], set[int]]:
    """Which persons have which of these keys. The kind "uid" is the person's own uid."""
    found: dict[tuple[str, str], set[int]] = {}
    by_kind: dict[str, list[str]] = {}
    for kind, value in wanted:
        by_kind.setdefault(kind, []).append(value)
    for kind, values in by_kind.items():
        if kind == "uid":
            query = sa.select(people.c.uid, people.c.id).where(unit.among(people.c.uid, values))
        else:
            query = sa.select(keys.c.value, keys.c.person_id).where(
                keys.c.kind == kind, unit.among(keys.c.value, values)
            )
        for value, person in unit.db.execute(query):
            found.setdefault((kind, value), set()).add(person)
    return found


def insert(unit: Unit, persons: Sequence[Person], found_by: Mapping[int, Iterable[tuple[str, str]]]) -> None:
    """New persons, with their keys."""
    unit.insert(people, [_row(unit, person) for person in persons])
    groups.ensure(unit, ((person.id, person.card) for person in persons))
    _add_keys(unit, found_by)


def update(unit: Unit, persons: Sequence[Person], found_by: Mapping[int, Iterable[tuple[str, str]]]) -> None:
    """Persons as they are now, with their keys."""
    if not persons:
        return
    rows = [{"this": row.pop("id"), **row} for row in (_row(unit, person) for person in persons)]
    columns: dict[str, sa.BindParameter[object]] = {name: sa.bindparam(name) for name in rows[0] if name != "this"}
    unit.db.execute(sa.update(people).where(people.c.id == sa.bindparam("this")).values(columns), rows)
    groups.ensure(unit, ((person.id, person.card) for person in persons))
    unit.db.execute(sa.delete(keys).where(unit.among(keys.c.person_id, [person.id for person in persons])))
    _add_keys(unit, found_by)


def _add_keys(unit: Unit, found_by: Mapping[int, Iterable[tuple[str, str]]]) -> None:
    unit.insert(
        keys,
        [
            {"kind": kind, "value": value, "person_id": person}
            for person, found in found_by.items()
            for kind, value in found
        ],
    )


def _row(unit: Unit, person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "uid": person.uid,
        "rev": person.rev,
        "state": person.state,
        "name": full_name(person.card)[:200],
        "card": person.card,
        "updated": unit.now,
    }


def search(unit: Unit, text: str = "", *, state: State = "live", limit: int = 50, after: int = 0) -> list[Person]:
    """Persons whose name contains the text, or who have exactly this e-mail address or phone number; by id."""
    states = ("archived", "deleted") if state == "archived" else (state,)
    query = sa.select(*_COLUMNS).where(people.c.state.in_(states), people.c.id > after)
    if text:
        query = query.where(fits(unit, text, [("email", text.casefold()), ("phone", text.casefold())]))
    return [Person(*row) for row in unit.db.execute(query.order_by(people.c.id).limit(limit))]


def fits(unit: Unit, text: str, found_by: Iterable[tuple[str, str]]) -> sa.ColumnElement[bool]:
    """Does the name contain the text, or has the person one of these keys? The indexes of names and keys answer, for to
    read every card takes ten times as long."""
    named = people.alias()
    # In SQLite LIKE looks at no case as it is; lower() would only be called for every name.
    contains = named.c.name.contains if unit.sqlite else named.c.name.icontains
    by_name = sa.select(named.c.id).where(contains(text, autoescape=True))
    known = [sa.and_(keys.c.kind == kind, keys.c.value == value) for kind, value in found_by]
    return people.c.id.in_(by_name.union_all(sa.select(keys.c.person_id).where(sa.or_(sa.false(), *known))))


def count(unit: Unit, state: State = "live") -> int:
    return unit.db.execute(sa.select(sa.func.count()).where(people.c.state == state)).scalar_one()


def next_ids(unit: Unit, number: int) -> Sequence[int]:
    """Ids for persons to be inserted by this unit."""
    return unit.next_ids(people, number)
