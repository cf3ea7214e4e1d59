"""The laws of the design as questions to a world whose history has ended. Each raises AssertionError where it falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from deeds import only_people_edit
from ours import only_ours
from world import EQ, LawWorld, marks

from app.core.align import align
from app.store import links, outbox, people, tables
from app.store.links import Link
from app.store.people import Person
from app.store.store import Unit
from connectors.card import VALUE, Card, Path, leaves

ROUNDS = 2
"""After people stop, so many rounds and everything agrees."""


def at_peace(world: LawWorld, *, everybody_agrees: bool = True) -> None:
    """People and trouble stop. At the end of every history: agreement, silence and no loss together; and no edit was
    heard that nobody made (`deeds.py`), and nothing written that was not ours to write (`ours.py`).

    everybody_agrees: unless policies say that some systems need not.
    """
    world.calm()
    for _ in range(ROUNDS + world.troubled):
        world.round()
        world.rest()
    silent(world)
    nothing_lost(world, shown_at=() if everybody_agrees else world.remotes)
    nothing_invented(world)
    if everybody_agrees:
        converged(world)
        no_duplicates(world)
        stays_deleted(world)
        world.troubled = False
        world.agreed = True
    only_people_edit(world)
    only_ours(world)


# --- law 2: silence ------------------------------------------------------------------------------------------


def silent(world: LawWorld) -> None:
    """The next round writes nothing, and the one after reads no more than what it costs to hear that nothing
    happened."""
    for remote in world.remotes.values():
        remote.faults.log.clear()
    reports = world.round()
    for report in reports:
        assert report.outcome == "done", f"{report.connection}: {report.outcome}: {report.message}"
        assert report.quiet, f"{report.connection} was not quiet: {report.tally}"
    for name, remote in world.remotes.items():
        writes = [request for request in remote.faults.log if request.startswith("POST")]
        assert not writes, f"{name} was written to in silence: {writes}"
        remote.faults.log.clear()
    world.round()
    for name, remote in world.remotes.items():
        assert len(remote.faults.log) <= _idle(world, name), f"{name}: {remote.faults.log}"


def _idle(world: LawWorld, name: str) -> int:
    """Requests to hear that nothing happened: one, and the pages of a listing where deletions are not told."""
    remote = world.remotes[name]
    if remote.profile.tombstones or remote.profile.listing == "versions":
        return 1
    smallest = max(1, remote.profile.page // 2 - 1) if remote.short_pages else remote.profile.page
    return 2 + len(remote.cards()) // smallest


# --- law 1: convergence --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Books:
    """What the store holds at the end."""

    people: dict[int, Person]
    links: list[Link]
    aside: set[tuple[int, int]]


def books(world: LawWorld) -> Books:
    def read(unit: Unit) -> Books:
        ids = unit.db.execute(sa.select(tables.people.c.id)).scalars().all()
        aside = {(row.connection_id, row.person_id) for row in outbox.aside(unit)}
        return Books(people.load(unit, ids), links.of_people(unit, ids), aside)

    found: Books = world.look(read)
    return found


def converged(world: LawWorld, names: Collection[str] | None = None) -> None:
    """Every remote shows every live person as well as it can, and nobody else. names: of those that must."""
    found = books(world)
    for name in names or world.remotes:
        remote, here = world.remotes[name], world.ids[name]
        held = {link.remote_id: link for link in found.links if link.connection_id == here}
        shown = remote.cards()
        refused = {record for at, record in world.refusals() if at == name}
        assert shown.keys() - held.keys() <= refused, f"{name} has records that we do not know: {shown.keys() - held}"
        assert held.keys() <= shown.keys(), f"{name} has lost {held.keys() - shown.keys()}"
        for person in found.people.values():
            records = [held[id_] for id_ in held.keys() - refused if held[id_].person_id == person.id]
            unread = any(held[id_].person_id == person.id for id_ in held.keys() & refused)
            if records or not unread:
                _shown_well(world, name, person, records, found)
    if names is None:
        _books_agree(world)


def _shown_well(world: LawWorld, name: str, person: Person, held: list[Link], found: Books) -> None:
    remote, here = world.remotes[name], world.ids[name]
    if (here, person.id) in found.aside:
        return  # with a reason for the admin
    if person.state != "live":
        assert not held, f"{name} still has {person.id}, who was deleted"
        return
    fit = remote.profile.fit
    assert held or not fit(person.card, None), f"{name} has no record of {person.card}"
    for link in held:
        view = align(remote.cards()[link.remote_id], [link.seen, person.card], EQ, lambda: "nobody")
        wanted = fit(person.card, view)
        assert same(view, wanted), f"{name} shows {difference(view, wanted)} of {person.card}"


def same(one: Card, other: Card) -> bool:
    return not difference(one, other)


def difference(one: Card, other: Card) -> dict[Path, tuple[Any, Any]]:
    """Leaves that are not equivalent, but for a connector's notes to itself."""
    a, b = leaves(one), leaves(other)
    return {
        path: (a.get(path), b.get(path))
        for path in {*a, *b}
        if not local(path) and not EQ.same(path, a.get(path), b.get(path))
    }


def local(path: Path) -> bool:
    return path[-1] in ("concord:slot", "concord:row")


def _books_agree(world: LawWorld) -> None:
    """Without a look at our own shadows: two remotes that hold everything hold the same."""
    if not {"book", "list"} <= world.remotes.keys() or books(world).aside:
        return
    common = world.remotes["list"].profile.capabilities.fields & world.remotes["book"].profile.capabilities.fields

    def everything(name: str) -> Counter[Hashable]:
        return Counter(
            key
            for card in world.remotes[name].cards().values()
            for key in values({field: value for field, value in card.items() if field in common})
        )

    mine, yours = everything("book"), everything("list")
    assert mine == yours, f"book only: {mine - yours}; list only: {yours - mine}"


def values(card: Card) -> Iterator[Hashable]:
    """Every value, folded, wherever it stands."""
    for path, value in leaves(card).items():
        if not local(path):
            yield path[0], path[-1], EQ.key(path[0], path[-1], value)


# --- law 3: nothing lost -------------------------------------------------------------------------------------


def nothing_lost(world: LawWorld, *, shown_at: Iterable[str] = ()) -> None:
    """Every value that a human entered is in a card, in the journal, or in a conflict.

    shown_at: it is enough that one of these still shows it (we may not take it from there, or cannot).
    """
    ledger = world.ledger
    unread = marks([world.remotes[name].cards() for name in shown_at])
    unread |= marks([world.remotes[at].card(record) for at, record in world.refusals()])
    lost = ledger.entries.keys() - ledger.discharged - world.remembered() - unread
    assert not lost, f"lost: {[ledger.entries[mark] for mark in sorted(lost)]}"


# --- law 4: nothing invented ---------------------------------------------------------------------------------


def nothing_invented(world: LawWorld) -> None:
    """Every text in a card or a remote was entered by a human in that field, or is its beginning where the remote cuts,
    or the best name there is where the remote insists on one."""
    entered: dict[str, set[Hashable]] = {}
    for entry in world.ledger.entries.values():
        entered.setdefault(entry.field, {"info@x.test"}).add(_folded(entry.field, entry.value))
    everybody = [(None, person.card) for person in books(world).people.values()]
    shown = [(remote.profile, card) for remote in world.remotes.values() for card in remote.cards().values()]
    for profile, card in everybody + shown:
        for path, value in leaves(card).items():
            field = path[1] if path[0] == "name" else path[0]
            if path[0] != "name" and path[-1] != VALUE.get(path[0]):
                continue
            fallback = profile is not None and path in profile.mandatory
            known = _known(field, value, entered.get(field, set())) or (fallback and _best_name(value, world))
            assert known, f"nobody entered {path}: {value!r}"


def _folded(field: str, value: Any) -> Hashable:
    return EQ.key(field, VALUE.get(field, field), value)


def _known(field: str, value: Any, known: set[Hashable]) -> bool:
    key = _folded(field, value)
    if key in known:
        return True
    # A cut text is known by its beginning; from a remote that cuts it may have come as an edit of somebody there.
    text = str(key)
    return isinstance(value, str) and len(value) >= 40 and any(str(other).startswith(text) for other in known)


def _best_name(value: Any, world: LawWorld) -> bool:
    """Is it put together of what was entered for the name, an organisation, an address or a number? (The last word may
    be cut.)"""
    words = {word for entry in world.ledger.entries.values() for word in str(entry.value).split()} | {"info@x.test"}
    *whole, last = str(value).split()
    return {*whole} <= words and any(word.startswith(last) for word in words)


# --- law 5: no duplicates ------------------------------------------------------------------------------------


def no_duplicates(world: LawWorld, *, unheard: Collection[int] = ()) -> None:
    """One person is one person here and at most one record in each remote; and never a mixture of two.

    unheard: of whom we may know nothing yet.
    """
    owners = Counter[int]()
    for person in books(world).people.values():
        mine = world.ledger.owners(person.card)
        assert len(mine) <= 1, f"persons {mine} were mixed: {person.card}"
        if person.state == "live":
            owners.update(mine)
    twice = [real for real, number in owners.items() if number > 1]
    assert not twice, f"here more than once: {twice}"
    for name, remote in world.remotes.items():
        there = Counter(world.ledger.owner(card) for card in remote.cards().values())
        twice_there = [real for real, number in there.items() if real is not None and number > 1]
        assert not twice_there, f"{name} has {twice_there} more than once"
    entered = {entry.real for mark, entry in world.ledger.entries.items() if mark not in world.ledger.discharged}
    missing = entered - owners.keys() - world.ledger.deleted - {*unheard}
    assert not missing, f"nobody deleted {missing}, and they are gone"


# --- law 8: deleted stays deleted ----------------------------------------------------------------------------


def stays_deleted(world: LawWorld) -> None:
    """Who was deleted when all agreed, and not touched since, is nowhere any more."""
    for person in books(world).people.values():
        if person.state == "live":
            back = world.ledger.owners(person.card) & world.ledger.buried
            assert not back, f"deleted, and back: {back}"
    for name, remote in world.remotes.items():
        shown = {world.ledger.owner(card) for card in remote.cards().values()} & world.ledger.buried
        assert not shown, f"{name} still shows {shown}, who were deleted"
