"""The groups as objects. Who is in them is said by the cards alone, by name; a group is there from the first card on
that names it until it is removed."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import group_aliases, groups, people
from connectors.card import Card, group_key, group_names

LONGEST: Final = 200
"""Characters of a folded name that are its key as they are; of a longer one its beginning and its hash are."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group. name: as it was first written, or renamed. person_id: on whose card the name first stood."""

    id: int
    uid: str
    rev: int
    name: str
    key: str
    person_id: int | None
    created: datetime


_COLUMNS = [groups.c[name] for name in Group.__slots__]


def key_of(name: str) -> str:
    """What a group is known by, however its name is written."""
    folded = group_key(name)
    if len(folded) <= LONGEST:
        return folded
    return f"{folded[:LONGEST]} {hashlib.sha256(folded.encode()).hexdigest()}"


def ensure(unit: Unit, cards: Iterable[tuple[int, Card]]) -> None:
    """Every group that these persons' cards name is there from now on. Units that write are one after another, so two
    who bring the same group make one."""
    found: dict[str, tuple[str, int]] = {}
    for person, card in cards:
        for name in group_names(card):
            found.setdefault(key_of(name), (name.strip(), person))
    if not found:
        return
    known = set(unit.db.execute(sa.select(groups.c.key).where(unit.among(groups.c.key, found))).scalars())
    unit.insert(
        groups,
        [
            {"uid": str(uuid.uuid4()), "rev": 1, "name": name, "key": key, "person_id": person, "created": unit.now}
            for key, (name, person) in found.items()
            if key not in known
        ],
    )


# --- found


def get(unit: Unit, uid: str) -> Group | None:
    """The group of this id; of one that was joined with another, that other."""
    joined = sa.select(group_aliases.c.group_id).where(group_aliases.c.uid == uid)
    row = unit.db.execute(sa.select(*_COLUMNS).where(sa.or_(groups.c.uid == uid, groups.c.id.in_(joined)))).first()
    return Group(*row) if row else None


def called(unit: Unit, name: str) -> Group | None:
    """The group of this name, however it is written."""
    row = unit.db.execute(sa.select(*_COLUMNS).where(groups.c.key == key_of(name))).first()
    return Group(*row) if row else None


def beginning(unit: Unit, uid: str) -> Group | None:
    """The only group whose id begins so (at least 6 characters)."""
    if len(uid) < 6:
        return None
    query = sa.select(*_COLUMNS).where(groups.c.uid.startswith(uid, autoescape=True)).limit(2)
    rows = unit.db.execute(query).all()
    return Group(*rows[0]) if len(rows) == 1 else None


def listing(unit: Unit, *, name: str = "", after: str = "", limit: int = 50) -> list[Group]:
    """Groups by name, after that key. name: in the name, however it is written."""
    query = sa.select(*_COLUMNS).where(groups.c.key > after)
    if name:
        query = query.where(groups.c.key.contains(group_key(name), autoescape=True))
    return [Group(*row) for row in unit.db.execute(query.order_by(groups.c.key).limit(limit))]


def sizes(unit: Unit, wanted: Iterable[Group]) -> dict[int, int]:
    """How many living persons are in each of these groups."""
    found = {group.key: 0 for group in wanted}
    keys: dict[str, str] = {}
    here: tuple[int, set[str]] = (0, set())
    living = _standing(unit, people.c.id).where(people.c.state == "live").order_by(people.c.id)
    for person, name in unit.db.execute(living):
        if person != here[0]:
            here = person, set()
        key = keys.get(name) or keys.setdefault(name, key_of(name))
        if key in found and key not in here[1]:  # who writes it in two ways is one person
            here[1].add(key)
            found[key] += 1
    return {group.id: found[group.key] for group in wanted}


def spellings(unit: Unit, name: str) -> list[str]:
    """Every way in which a card writes this group's name."""
    wanted = key_of(name)
    return [written for written in unit.db.execute(_standing(unit).distinct()).scalars() if key_of(written) == wanted]


def bearers(unit: Unit, name: str) -> list[int]:
    """The persons whose cards name this group, whether they live or not, by id."""
    query = sa.select(people.c.id).where(bearing(unit, name)).order_by(people.c.id)
    return list(unit.db.execute(query).scalars())


def bearing(unit: Unit, name: str) -> sa.ColumnElement[bool]:
    """Does this row of `people` name this group?"""
    listed, column = _listed(unit)
    return sa.exists().select_from(listed).where(unit.among(column, spellings(unit, name)))


def _standing(unit: Unit, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """These columns of everybody, and the name of each group that their cards name."""
    listed, name = _listed(unit)
    return sa.select(*columns, name).select_from(people.join(listed, sa.true())).where(name.is_not(None))


def _listed(unit: Unit) -> tuple[Any, sa.ColumnElement[str]]:
    """The groups of a person's card as rows, and the column with the name."""
    card = sa.type_coerce(people.c.card, sa.Text)
    if unit.sqlite:
        listed: Any = sa.func.json_each(card, "$.groups").table_valued(
            "key", "value", name="card_groups", joins_implicitly=True
        )
        return listed, sa.func.json_extract(listed.c.value, "$.name")
    listed = sa.func.json_each(sa.cast(card, sa.JSON)["groups"]).table_valued(
        "key", "value", name="card_groups", joins_implicitly=True
    )
    return listed.render_derived(), sa.cast(listed.c.value, sa.JSON)["name"].as_string()


# --- changed


def rename(unit: Unit, group: Group, name: str) -> Group:
    """It is called so from now on."""
    changed = replace(group, rev=group.rev + 1, name=name, key=key_of(name))
    values = {"rev": changed.rev, "name": changed.name, "key": changed.key}
    unit.db.execute(sa.update(groups).where(groups.c.id == group.id).values(**values))
    return changed


def join(unit: Unit, kept: Group, other: Group, name: str) -> Group:
    """Two groups are one from now on; the other's id leads to it."""
    unit.db.execute(sa.update(group_aliases).where(group_aliases.c.group_id == other.id).values(group_id=kept.id))
    remove(unit, other)
    unit.insert(group_aliases, [{"uid": other.uid, "group_id": kept.id}])
    return rename(unit, kept, name)


def remove(unit: Unit, group: Group) -> None:
    """It is gone, and its id for good."""
    unit.db.execute(sa.delete(groups).where(groups.c.id == group.id))


def forget(unit: Unit, person: int) -> None:
    """Groups that came with this person (who asked to be forgotten, and is in none any more) and that no card names
    now are gone; the others pass to somebody who is in them."""
    query = sa.select(*_COLUMNS).where(groups.c.person_id == person)
    for group in [Group(*row) for row in unit.db.execute(query)]:
        heirs = bearers(unit, group.name)
        if heirs:
            unit.db.execute(sa.update(groups).where(groups.c.id == group.id).values(person_id=heirs[0]))
        else:
            remove(unit, group)
