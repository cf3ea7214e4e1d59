"""What a human does to a group as a whole: rename it, join it with another, remove it. One act, one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from app.core.grouping import regrouped
from app.engine.access import Taken
from app.engine.resolve import Outdated, store_edits
from app.engine.world import World, policy_of
from app.store import connections, groups, people
from app.store.groups import Group
from app.store.store import Unit
from connectors.card import group_key, problem

LONGEST: Final = 320
"""Characters of a name that a human gives."""
_STEP: Final = 1_000
"""Persons whose cards are in memory at once."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it. people: whose cards were changed. joined: the id that is an alias from now on."""

    group: Group
    people: int
    joined: str | None = None


def find(unit: Unit, uid: str) -> Group:
    """The group of this id, or the one that it was joined with. Raises LookupError."""
    found = groups.get(unit, uid)
    if found is None:
        raise LookupError(f"no group has the id {uid!r}")
    return found


def find_any(unit: Unit, text: str) -> Group:
    """The group with this id or name, else with the only id that begins so. Raises LookupError."""
    found = groups.get(unit, text) or groups.called(unit, text) or groups.beginning(unit, text)
    if found is None:
        raise LookupError(f"no (single) group is {text!r}, by id or by name; `concord groups list` shows what there is")
    return found


def rename(world: World, uid: str, name: str, actor: str, *, merge: bool = False, rev: int | None = None) -> Done:
    """The group is called so from now on, here at once and in the systems with their next sync. rev: the revision that
    the human saw. merge: where another is called so already, they become one: the older's id stays, the other's leads
    to it, and it is written as the other was.

    Raises LookupError, Outdated, Taken (the name, or the old one is in a filter), ValueError for what is no name.
    """
    name = _name(name)
    with world.store.begin(durable=True) as unit:
        group = find(unit, uid)
        if rev is not None and rev != group.rev:
            raise Outdated(f"{group.uid} is at revision {group.rev} by now, not {rev}; read it again")
        other = groups.called(unit, name)
        if other is None or other.id == group.id:
            if name == group.name:
                return Done(group, 0)
            _refuse_filtered(unit, group, name)
            renamed = groups.rename(unit, group, name)  # first, or the cards would bring a group of that name
            reason = f"the group {group.name} was renamed to {name}"
            return Done(renamed, _regroup(unit, world, group.name, name, actor, reason))
        if not merge:
            raise Taken(f"there is a group {other.name} already ({other.uid}); to make the two one, say merge")
        _refuse_filtered(unit, group, other.name)
        reason = f"the group {group.name} was joined with {other.name}"
        number = _regroup(unit, world, group.name, other.name, actor, reason)
        kept, gone = sorted([group, other], key=lambda g: g.id)
        return Done(groups.join(unit, kept, gone, other.name), number, gone.uid)


def remove(world: World, uid: str, actor: str, *, rev: int | None = None) -> Done:
    """The group is gone; who was in it lives on. Raises LookupError, Outdated, Taken (it is in a filter)."""
    with world.store.begin(durable=True) as unit:
        group = find(unit, uid)
        if rev is not None and rev != group.rev:
            raise Outdated(f"{group.uid} is at revision {group.rev} by now, not {rev}; read it again")
        _refuse_filtered(unit, group, None)
        number = _regroup(unit, world, group.name, None, actor, f"the group {group.name} was removed")
        groups.remove(unit, group)
        return Done(group, number)


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > LONGEST:
        raise ValueError(f"a group's name has 1 to {LONGEST} characters")
    if wrong := problem({"groups": {"1": {"name": name}}}):
        raise ValueError(wrong)
    return name


def _refuse_filtered(unit: Unit, group: Group, name: str | None) -> None:
    """Who leaves the group would leave a connection, too, if that takes only this group's members."""
    for connection in connections.every(unit):
        wanted = {group_key(text) for text in policy_of(connection.policy).filter.get("groups", ())}
        if group_key(group.name) in wanted and (name is None or group_key(name) not in wanted):
            do = f"add {name} to that filter first" if name else "take it out of that filter first"
            raise Taken(f"{connection.name} takes only who is in {group.name} (its filter); {do}")


def _regroup(unit: Unit, world: World, old: str, new: str | None, actor: str, reason: str) -> int:
    """Everybody's card, of the living and of those who might be brought back; how many living were changed."""
    number = 0
    for ids in _steps(groups.bearers(unit, old)):
        found = people.load(unit, ids)
        edits = [(found[id_], regrouped(found[id_].card, old, new, world.mint)) for id_ in ids]
        changed = [(person, card) for person, card in edits if card != person.card]
        store_edits(unit, world, changed, actor, reason)
        number += sum(person.state == "live" for person, _ in changed)
    return number


def _steps(ids: list[int]) -> Iterator[Iterable[int]]:
    for start in range(0, len(ids), _STEP):
        yield ids[start : start + _STEP]
