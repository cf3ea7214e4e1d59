"""Law 6: whatever the journal says that a system did, somebody did at its screen. All else (cut texts, forgotten
fields, other spellings, echoes of our own writes) is that system's own copy, and nobody's edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from watched import Deed
from world import EQ, LawWorld, marks

from app.store import journal, tables
from app.store.journal import Change
from app.store.store import Unit
from connectors.card import VALUE, Card, Leaves, Path, leaves

Said = tuple[str, str, str]
"""A value without the element in which it stands: field, property, and the value folded."""


def only_people_edit(world: LawWorld) -> None:
    """What a system took out of a card, somebody took away there, or overwrote; what it brought, somebody typed there,
    in these very words. And nothing that was done once is told twice."""
    past: Past = world.look(_past)
    for name, here in world.ids.items():
        if world.remotes[name].lied:
            continue
        screen = Screen.of(world.remotes[name].deeds)
        for change in past.changes:
            if change.connection_id == here:
                _somebodys(name, screen, change, past)


# --- what people did


@dataclass
class Screen:
    """What people took and brought at the screen of one system, and how often; none of it has been told yet."""

    took: Counter[Said] = field(default_factory=Counter)
    brought: Counter[Said] = field(default_factory=Counter)
    deleted: set[int] = field(default_factory=set)
    """The markers of the records that were deleted there."""
    touched: set[int] = field(default_factory=set)
    """The markers of the records that were entered or changed there."""

    @classmethod
    def of(cls, deeds: Iterable[Deed]) -> Screen:
        screen = cls()
        for deed in deeds:
            screen.note(deed)
        return screen

    def note(self, deed: Deed) -> None:
        """Who changes an element, or a part of a name, takes all of it and brings all that it shows then. What the
        remote makes of the others when it is saved, nobody did."""
        before, saved, after = _parts(deed.before), _parts(deed.saved), _parts(deed.after)
        changed = {at for at in {*before, *saved} if before.get(at) != saved.get(at)}
        for at in changed & before.keys():
            self.took.update(_said(*leaf) for leaf in before[at].items())
        for at in after.keys() - (before.keys() - changed):
            self.brought.update(_said(*leaf) for leaf in after[at].items())
        (self.touched if deed.saved else self.deleted).update(marks(deed.before, deed.after))

    def tell_brought(self, path: Path, value: Any) -> bool:
        """Did somebody bring this, and has it not been told yet?"""
        return _tell(self.brought, _said(path, value))

    def tell_took(self, path: Path, value: Any) -> bool:
        """The same of what was taken. Who takes what a screen shows of a text takes all of it."""
        *where, text = _said(path, value)
        shown = (said for said in self.took if [*said[:2]] == where and said[2] and text.startswith(said[2]))
        return any(_tell(self.took, said) for said in shown)


def _tell(done: Counter[Said], said: Said) -> bool:
    done[said] -= 1
    return done[said] >= 0


def _said(path: Path, value: Any) -> Said:
    return path[0], path[-1], str(EQ.key(path[0], path[-1], value))


def _parts(card: Card) -> Mapping[Path, Leaves]:
    """The elements of a card, the parts of its name, and whatever else there is, by path."""
    found: dict[Path, Leaves] = {}
    for path, value in leaves(card).items():
        found.setdefault(path[:2], {})[path] = value
    return found


# --- what is told of it


@dataclass(frozen=True)
class Past:
    """What the store tells of the past. changes: everything in the journal. first: the first change of each person.
    overruled: the values that lost against those of a system where it had not seen them, as (person, connection, path,
    value)."""

    changes: list[Change]
    first: list[Change]
    overruled: set[tuple[int, int | None, Path, str]]


def _past(unit: Unit) -> Past:
    ids = unit.db.execute(sa.select(tables.people.c.id)).scalars().all()
    histories = [history for person in ids if (history := journal.history(unit, person))]
    clashes = [clash for clash in journal.list_conflicts(unit, limit=100_000) if clash.kept == "theirs"]
    return Past(
        [change for history in histories for change in history],
        [history[0] for history in histories],
        {(clash.person_id, clash.connection_id, clash.path, str(clash.ours)) for clash in clashes},
    )


def _somebodys(name: str, screen: Screen, change: Change, past: Past) -> None:
    """This change was somebody's doing at that screen."""
    path, before, after = change.path, change.before, change.after
    what = f"{'/'.join(path) or 'the person'}: {before!r} -> {after!r}"
    if not path and after is None:
        assert marks(before) & screen.deleted, f"law 6: nobody deleted anybody in {name}; {what}"
        return
    if not path and change not in past.first:
        # What made them live again stands in rows of its own.
        assert marks(after) & screen.touched, f"law 6: nobody touched them in {name}; {what}"
        return
    for at, value in _values(path, after):
        assert screen.tell_brought(at, value), f"law 6: nobody typed {value!r} in {name}; {what}"
    if (change.person_id, change.connection_id, path, str(before)) in past.overruled:
        return
    for at, value in _values(path, before):
        # Of an element that went whole, a system may have shown no more than its value.
        if at == path or at[-1] == VALUE.get(at[0]):
            assert screen.tell_took(at, value), f"law 6: nobody took {value!r} away in {name}; {what}"


def _values(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """What stands on one side of a row of the journal, leaf by leaf."""
    if value is None:
        return
    if path and (path[0] not in VALUE or len(path) == 3):
        yield path, value
    else:
        yield from leaves({path[0]: {path[1]: value}} if path else value).items()
