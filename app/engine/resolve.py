"""What a human decides: conflicts, edits here, another try for what was set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from app.core import identity
from app.core.reconcile import FULL, outdates
from app.engine.run import LEASE, Busy
from app.engine.world import World
from app.store import connections, journal, links, outbox, people, runs
from app.store.people import Person
from app.store.store import Unit
from connectors.card import VALUE, Card, Leaves, Path, card_of, leaves, problem


class Outdated(Exception):
    """The person changed since it was read."""


def decide(world: World, conflict: int, side: Literal["ours", "theirs"], actor: str) -> None:
    """Settle a conflict. Raises LookupError where there is none of that number."""
    with world.store.begin(durable=True) as unit:
        found = journal.get_conflict(unit, conflict)
        if found is None:
            raise LookupError(f"there is no conflict {conflict}")
        clash, _ = found
        person = people.load(unit, [clash.person_id])[clash.person_id]
        value = clash.theirs if side == "theirs" else clash.ours
        if not clash.path:
            raise LookupError("this conflict is about a whole person; delete or restore the person instead")
        card = put(person.card, clash.path, value)
        if card != person.card:
            store_edit(unit, world, person, card, actor)
        _forget_sent(unit, clash.person_id, clash.connection_id, clash.path)
        outbox.owe(unit, [clash.connection_id], [clash.person_id])
        journal.close_conflict(unit, conflict, side)


def _forget_sent(unit: Unit, person: int, connection: int, path: Path) -> None:
    """The remote is owed this path again, whatever we agreed on before."""
    held = links.of_people(unit, [person], connection=connection)
    links.save(
        unit,
        [
            replace(link, sent=card_of({p: v for p, v in leaves(link.sent).items() if p[: len(path)] != path}))
            for link in held
        ],
    )


def edit(world: World, uid: str, values: Mapping[Path, Any], actor: str, *, rev: int | None = None) -> Person:
    """A human edits a person here: {path: value, or None to clear}. rev: the revision that the human saw.

    Raises LookupError, Outdated, and ValueError with what is wrong with the values.
    """
    with world.store.begin(durable=True) as unit:
        person = people.by_uid(unit, uid)
        if person is None:
            raise LookupError(f"no person has the uid {uid!r}")
        if rev is not None and rev != person.rev:
            raise Outdated(f"{uid} is at revision {person.rev} by now, not {rev}; read it again")
        card = person.card
        for path, value in values.items():
            card = put(card, path, value)
        if outdates(values):
            card = put(card, FULL, None)
        reason = problem(card)
        if reason:
            raise ValueError(reason)
        return store_edit(unit, world, person, card, actor) if card != person.card else person


def store_edit(unit: Unit, world: World, person: Person, card: Card, actor: str) -> Person:
    """The person has this card from now on; everybody is owed it."""
    before, after = leaves(person.card), leaves(card)
    rows = [
        journal.Change(person.id, path, before.get(path), after.get(path), actor)
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    changed = replace(person, rev=person.rev + 1, card=card)
    people.update(unit, [changed], {person.id: identity.keys_of(card, world.eq)})
    journal.append(unit, rows)
    outbox.owe(unit, connections.receivers(unit, None), [person.id])
    return changed


def put(card: Card, path: Path, value: Any) -> Card:
    """The card with this value (None: without it) at a leaf or an element."""
    parts: Leaves = {p: v for p, v in leaves(card).items() if p[: len(path)] != path}
    if value is not None:
        if path[0] in VALUE and len(path) == 2:
            parts.update(leaves({path[0]: {path[1]: value}}))
        else:
            parts[path] = value
    return card_of(parts)


def stand_still(world: World, unit: Unit, name: str) -> None:
    """Nobody syncs this connection until this unit of work ends, so that no run stores its old cursor over ours.

    Raises Busy.
    """
    key, owner = f"sync:{name}", f"{world.owner}/{world.mint()}"
    if not runs.take_lease(unit, key, owner, LEASE):
        raise Busy(f"{name} is being synced right now; nothing was changed. Try again when that ends")
    runs.drop_lease(unit, key, owner)  # the row stays locked until the commit


def retry(world: World, name: str) -> int:
    """Try again everything that was set aside in a connection; how many. Persons that a human held back stay so.

    Raises LookupError, and Busy while the connection runs.
    """
    with world.store.begin(durable=True) as unit:
        connection = connections.by_name(unit, name)
        if connection is None:
            raise LookupError(f"no connection is called {name!r}")
        refused = runs.refusals(unit, connection.id)
        if refused:
            # They are read again with the next full listing, and stand here until they are taken.
            stand_still(world, unit, name)
            connections.update(unit, connection.id, cursor=None)
        return outbox.retry(unit, connection.id) + len(refused)
