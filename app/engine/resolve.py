"""What a human decides: conflicts, edits here, another try for what was set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from app.core import identity
from app.core.reconcile import FULL, outdates
from app.core.shape import entered, shape
from app.engine.run import LEASE, Busy
from app.engine.world import World
from app.store import connections, journal, links, outbox, people, runs
from app.store.journal import Conflict
from app.store.people import Person
from app.store.store import Unit
from connectors.card import LINES, VALUE, Card, Leaves, Path, card_of, leaves, problem


class Outdated(Exception):
    """The person changed since it was read."""


def decide(world: World, conflict: int, side: Literal["ours", "theirs"], actor: str) -> None:
    """Settle an open conflict with a value as it is now: the card's, or what the remote shows.

    Raises LookupError where there is none of that number, ValueError where it cannot be decided (any more).
    """
    with world.store.begin(durable=True) as unit:
        clash, person = _open(unit, conflict)
        if side == "theirs":
            path, value = _theirs(unit, person, clash)
            card = _edited(person.card, {path: value})
            if card != person.card:
                store_edit(unit, world, person, card, actor)
        _close(unit, clash, side)


def decide_by_value(world: World, conflict: int, value: Any, actor: str) -> None:
    """Settle an open conflict with a value that neither side had; None clears.

    Raises LookupError where there is none of that number, ValueError where it cannot be decided (any more) or so.
    """
    with world.store.begin(durable=True) as unit:
        clash, person = _open(unit, conflict)
        if not clash.path:
            raise ValueError("this conflict is about the whole person; say ours or theirs")
        card = _entered(person, {clash.path: value})
        if card != person.card:
            store_edit(unit, world, person, card, actor)
        _close(unit, clash, "ours")


def _open(unit: Unit, conflict: int) -> tuple[Conflict, Person]:
    """An open conflict and the living person that it is about."""
    found = journal.get_conflict(unit, conflict)
    if found is None:
        raise LookupError(f"there is no conflict {conflict}")
    clash, is_open = found
    person = people.load(unit, [clash.person_id])[clash.person_id]
    if not is_open:
        raise ValueError(
            f"conflict {conflict} is settled already ({clash.kept}); to change the value: "
            f"concord people edit {person.uid[:8]} PATH=VALUE"
        )
    _must_live(person)
    return clash, person


def _close(unit: Unit, clash: Conflict, side: Literal["ours", "theirs"]) -> None:
    _forget_sent(unit, clash.person_id, clash.connection_id, clash.path)
    outbox.owe(unit, [clash.connection_id], [clash.person_id])
    journal.close_conflict(unit, clash.id, side)


def _theirs(unit: Unit, person: Person, clash: Conflict) -> tuple[Path, Any]:
    """What the remote shows now where the conflict was, and where it goes in the card: an element that only one of the
    two has comes or goes whole."""
    path = clash.path
    shown = [leaves(link.seen) for link in links.of_people(unit, [person.id], connection=clash.connection_id)]
    if not shown:
        return path, clash.theirs
    ours = leaves(person.card)
    # A person can have two records there: the one that says something else is the one that was meant.
    seen = next((s for s in shown if s.get(path) != ours.get(path)), shown[0])
    at = path[:2]
    parts = {p: v for p, v in seen.items() if p[:2] == at and (p[-1] == LINES or not p[-1].startswith("concord:"))}
    if path[0] not in VALUE or (len(path) == 3 and parts and any(p[:2] == at for p in ours)):
        return path, seen.get(path)
    return at, card_of(parts)[at[0]][at[1]] if parts else None


def _must_live(person: Person) -> None:
    if person.state == "erased":
        raise ValueError(f"{person.uid} was erased; nothing can be changed there any more")
    if person.state != "live":
        raise ValueError(
            f"{person.uid} is {person.state}; bring them back first: concord people restore {person.uid[:8]}"
        )


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
        person = people.get(unit, uid)
        if rev is not None and rev != person.rev:
            raise Outdated(f"{uid} is at revision {person.rev} by now, not {rev}; read it again")
        _must_live(person)
        card = _entered(person, values)
        return store_edit(unit, world, person, card, actor) if card != person.card else person


def _entered(person: Person, values: Mapping[Path, Any]) -> Card:
    """The person's card with what a human entered. Raises ValueError with what is wrong with it."""
    read = {path: entered(path, value) for path, value in values.items()}
    for path, value in read.items():
        if value is None and path[0] != "keywords" and not any(p[: len(path)] == path for p in leaves(person.card)):
            raise ValueError(f"there is nothing at {'/'.join(path)} to be cleared")
    card = _edited(person.card, read)
    touched = {path[:2] for path in values if path[0] in VALUE}
    reason = shape(card_of({p: v for p, v in leaves(card).items() if p[:2] in touched})) or problem(card)
    if reason:
        raise ValueError(reason)
    return card


def restore(world: World, uid: str, actor: str) -> Person:
    """A person that was deleted in some system lives on: made anew wherever the record is gone.

    Raises LookupError, and ValueError where the person lives, or was erased.
    """
    with world.store.begin(durable=True) as unit:
        person = people.get(unit, uid)
        if person.state not in ("archived", "deleted"):
            raise ValueError(f"{person.uid} is {person.state}; only who was deleted can be restored")
        back = replace(person, rev=person.rev + 1, state="live")
        people.update(unit, [back], {person.id: identity.keys_of(person.card, world.eq)})
        journal.append(unit, [journal.Change(person.id, (), None, person.card, actor)])
        links.forget_tombstones(unit, [c.id for c in connections.every(unit)], [person.id])
        outbox.owe(unit, connections.receivers(unit, None), [person.id])
        return back


def release(world: World, uid: str) -> list[str]:
    """A person that was held back from some systems goes there after all; to which. Raises LookupError, ValueError."""
    with world.store.begin(durable=True) as unit:
        person = people.get(unit, uid)
        held = outbox.release(unit, person.id)
        if not held:
            raise ValueError(f"{person.uid} is held back from nowhere")
        return sorted(c.name for c in connections.every(unit) if c.id in held)


def _edited(card: Card, values: Mapping[Path, Any]) -> Card:
    """The card with these values. A name's full text does not outlive its parts."""
    for path, value in values.items():
        card = put(card, path, value)
    return put(card, FULL, None) if outdates(values) else card


def store_edit(unit: Unit, world: World, person: Person, card: Card, actor: str) -> Person:
    """The person has this card from now on; everybody is owed it."""
    return store_edits(unit, world, [(person, card)], actor)[0]


def store_edits(
    unit: Unit, world: World, edits: Sequence[tuple[Person, Card]], actor: str, reason: str | None = None
) -> list[Person]:
    """These persons have these cards from now on; of those who live, everybody is owed it. reason: what is done to all
    of them at once."""
    rows = [
        journal.Change(person.id, path, before.get(path), after.get(path), actor, reason=reason)
        for person, card in edits
        for before, after in [(leaves(person.card), leaves(card))]
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]
    changed = [replace(person, rev=person.rev + 1, card=card) for person, card in edits]
    people.update(unit, changed, {person.id: identity.keys_of(person.card, world.eq) for person in changed})
    journal.append(unit, rows)
    outbox.owe(unit, connections.receivers(unit, None), [person.id for person in changed if person.state == "live"])
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
        connection = connections.get(unit, name)
        refused = runs.refusals(unit, connection.id)
        if refused:
            # They are read again with the next full listing, and stand here until they are taken.
            stand_still(world, unit, name)
            connections.update(unit, connection.id, cursor=None)
        return outbox.retry(unit, connection.id) + len(refused)


# --- one thing that was set aside


def retry_push(world: World, name: str, uid: str) -> None:
    """Try again to write this person there. Raises LookupError where that was not set aside."""
    _push_aside(world, name, uid, lambda unit, connection, person: outbox.retry(unit, connection, [person]))


def leave_out(world: World, name: str, uid: str) -> None:
    """This person, whom the connection would not take, is not written there until a human says so. Raises LookupError
    where that was not set aside."""
    _push_aside(world, name, uid, lambda unit, connection, person: outbox.hold(unit, connection, [person]))


def _push_aside(world: World, name: str, uid: str, then: Callable[[Unit, int, int], object]) -> None:
    with world.store.begin(durable=True) as unit:
        connection, person = connections.get(unit, name), people.by_uid(unit, uid)
        aside = {found.person_id for found in outbox.aside(unit, connection.id)}
        if person is None or person.id not in aside:
            raise LookupError(f"no person {uid!r} was set aside in {name}")
        then(unit, connection.id, person.id)


def forget_refusal(world: World, name: str, record: str) -> None:
    """Say no more of this record until it changes there; whoever was not written for its sake may be. Raises
    LookupError where it was not refused."""
    with world.store.begin(durable=True) as unit:
        connection = connections.get(unit, name)
        if record not in {found.remote_id for found in runs.refusals(unit, connection.id)}:
            raise LookupError(f"no record {record!r} of {name} was refused")
        runs.ignore(unit, connection.id, record)
