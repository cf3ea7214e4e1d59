"""One record against one person: what changed on which side since they last agreed, and what follows.

Each side is compared only with its own past, never with the other side. Two shadows remember that past:
`seen`, the record as the remote last showed it, and `sent`, our projection of the card when we last agreed.

    the remote changed  <=>  view != seen
    we changed          <=>  fit(card, seen) != sent

So a remote may reformat, cut or reorder as it likes: what it shows is compared with what it showed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.core.naming import respelled
from app.core.policy import Policy
from app.core.rendering import renders
from connectors.card import LINES, NAME_KINDS, SLOT, VALUE, Card, Equivalence, Leaves, Path, card_of, leaves

Fit = Callable[[Card, Card | None], Card]
Side = Literal["ours", "theirs", "ask"]
Arbiter = Callable[[Path], Side]
"""Who wins a conflict about this path (an element's path for anything inside an element)."""

EMPTY: Card = {}
FULL: Path = ("name", "full")


@dataclass(frozen=True, slots=True)
class Edit:
    """The card changed at `path`: a leaf, or a whole element that came (before None) or went (after None)."""

    path: Path
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed `path` since they last agreed. kept says whose value the card has now; "ask": ours until a
    human decides."""

    path: Path
    ours: Any
    theirs: Any
    kept: Side


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of card and shadows. losses: how many values the remote's side took out of the card."""

    card: Card
    seen: Card
    sent: Card
    edits: tuple[Edit, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Owed:
    """A write that a remote is owed: what the record shall hold (`card`), and `sent` once it does.

    paths: the leaves that we changed. Empty where only our shadow is behind and nothing need be written.
    """

    card: Card
    sent: Card
    paths: frozenset[Path]


def first_sight(view: Card, fit: Fit, policy: Policy) -> Merged:
    """A record of somebody unknown becomes the card."""
    card = {field: _public(field, value) for field, value in view.items() if policy.pulls(field)}
    return Merged(card=card, seen=view, sent=fit(card, view))


def merge(
    card: Card,
    view: Card,
    seen: Card,
    sent: Card,
    *,
    fit: Fit,
    policy: Policy,
    arbiter: Arbiter,
    eq: Equivalence,
    disputed: Collection[Path] = (),
) -> Merged:
    """Merge what the remote shows now into the card. disputed: paths about which a human has yet to decide.

    All four are keyed by our element ids (`align`). With empty shadows it is a first meeting: a union that takes
    nothing away. What is accepted from the remote enters `sent`, so nothing is owed for it; what lost does not.
    """
    work = _Merge(card, view, seen, sent, fit=fit, policy=policy, arbiter=arbiter, eq=eq, disputed=disputed)
    work.elements()
    work.values()
    work.full_name()
    return work.result()


class _Merge:
    """The state of one merge: the card's leaves as they become, and what was said about each path."""

    def __init__(
        self,
        card: Card,
        view: Card,
        seen: Card,
        sent: Card,
        *,
        fit: Fit,
        policy: Policy,
        arbiter: Arbiter,
        eq: Equivalence,
        disputed: Collection[Path],
    ) -> None:
        self.fit, self.policy, self.arbiter, self.eq, self.disputed = fit, policy, arbiter, eq, disputed
        self.card, self.view = card, view
        self.ours = leaves(card)
        self.then, self.now = leaves(seen), leaves(view)
        self.sent = leaves(sent)
        self.mine = leaves(fit(card, seen or view))
        self.agreed: set[Path] = set()
        self.rejected: set[Path] = set()
        self.asked: set[Path] = set()
        self.edits: list[Edit] = []
        self.conflicts: list[Conflict] = []
        self.losses = 0

    # -- whole elements that came or went

    def elements(self) -> None:
        before, after = _grouped(self.then), _grouped(self.now)
        present = _grouped(self.ours)
        for at in sorted(before.keys() - after.keys()):
            if self.policy.pulls(at[0]):
                self._gone(at, before[at], present.get(at))
        for at in sorted(after.keys() - before.keys()):
            if self.policy.pulls(at[0]) and at not in present:
                self._came(at, after[at])

    def _gone(self, at: Path, before: Leaves, present: Leaves | None) -> None:
        """The remote no longer has an element."""
        paths = set(before) | set(present or ()) | {p for p in self.sent if p[:2] == at}
        if present is None:
            self.agreed |= paths
        elif self.policy.blanks == "keep":
            self.rejected |= paths
        elif self._we_changed(p for p in paths if not _local(p)):
            self.rejected |= paths
            self.conflicts.append(Conflict(at, _value(present, at), None, "ours"))
        else:
            self.agreed |= paths
            self.edits.append(Edit(at, _value(present, at), None))
            self.losses += 1
            for path in present:
                del self.ours[path]

    def _came(self, at: Path, after: Leaves) -> None:
        """The remote has an element that the card does not."""
        new = {path: value for path, value in after.items() if not _local(path)}
        if new:
            self.ours.update(new)
            self.edits.append(Edit(at, None, _value(new, at)))
        self.agreed.add(at)

    # -- values inside elements that stayed, and everything that is no element

    def values(self) -> None:
        for path in sorted({*self.then, *self.now}):
            at = path[:2]
            if at in self.agreed or path in self.agreed or path in self.rejected or not self.policy.pulls(path[0]):
                continue
            before, after = self.then.get(path), self.now.get(path)
            if self.eq.same(path, before, after):
                continue
            if _local(path):
                self.agreed.add(path)
            elif path[0] in VALUE and not any(p[:2] == at for p in self.ours):
                self._edited_after_our_delete(at)
            else:
                self._value(path, before, after)

    def _edited_after_our_delete(self, at: Path) -> None:
        """They edited what we had deleted: edited beats deleted."""
        theirs = {path: value for path, value in self.now.items() if path[:2] == at}
        self._came(at, theirs)
        self.conflicts.append(Conflict(at, None, _value(theirs, at), "theirs"))

    def _value(self, path: Path, before: Any, after: Any) -> None:
        ours = self.ours.get(path)
        if self.eq.same(path, after, ours) or (after is not None and self.eq.same(path, after, self.mine.get(path))):
            self.agreed.add(path)
        elif after is None and self.policy.blanks == "keep":
            self.rejected.add(path)
        elif path in self.disputed and ours is not None and after is not None:
            self._clash(path, ours, after)
        elif not self._we_changed([path]) or (ours is None and path not in self.sent):
            self._accept(path, ours, after)
        elif before is None and _says_less(path, after, ours):
            self.rejected.add(path)
        elif before is None and _says_less(path, ours, after):
            self._accept(path, ours, after)
        else:
            self._clash(path, ours, after)

    def _clash(self, path: Path, ours: Any, after: Any) -> None:
        side = self.arbiter(path[:2] if path[0] in VALUE else path)
        if after is None or ours is None:
            # One of the two deleted the value, the other edited it: edited beats deleted.
            side = "ours" if after is None else "theirs"
        self.conflicts.append(Conflict(path, ours, after, side))
        if side == "theirs":
            self._accept(path, ours, after)
        elif side == "ours":
            self.rejected.add(path)
        else:
            self.asked.add(path)

    def _accept(self, path: Path, ours: Any, after: Any) -> None:
        self.agreed.add(path)
        self.edits.append(Edit(path, ours, after))
        if after is None:
            self.losses += 1
            self.ours.pop(path, None)
        else:
            self.ours[path] = after

    def _we_changed(self, paths: Iterable[Path]) -> bool:
        return any(not self.eq.same(p, self.mine.get(p), self.sent.get(p)) for p in paths)

    # -- the outcome

    def full_name(self) -> None:
        """A full name that is older than its parts is no longer the name; who shows it himself knows better. Nor are
        parts that are older than a full name which came from where there are no parts."""
        full, changed = self.ours.get(FULL), {edit.path: edit for edit in self.edits if edit.path[0] == "name"}
        if full is not None and FULL not in self.now and outdates(changed):
            del self.ours[FULL]
            self.edits.append(Edit(FULL, full, None))
        elif full is not None and changed.keys() == {FULL} and {p for p in self.now if p[0] == "name"} == {FULL}:
            self._respell(str(self.then.get(FULL) or changed[FULL].before or ""), str(full))

    def _respell(self, before: str, after: str) -> None:
        """The parts as the new full name has them."""
        parts = {
            path[1]: str(value) for path, value in self.ours.items() if path[0] == "name" and path[1] in NAME_KINDS
        }
        spelled = respelled(parts, before, after) if before else parts
        for kind in sorted({*parts, *spelled}):
            if parts.get(kind) != spelled.get(kind):
                self.edits.append(Edit(("name", kind), parts.get(kind), spelled.get(kind)))
                _put(self.ours, ("name", kind), spelled.get(kind))

    def result(self) -> Merged:
        card = card_of(self.ours) if self.edits else self.card
        return Merged(
            card=card,
            seen=self.view,
            sent=card_of(self._sent(leaves(self.fit(card, self.view)))),
            edits=tuple(self.edits),
            conflicts=tuple(self.conflicts),
            losses=self.losses,
        )

    def _sent(self, desired: Leaves) -> Leaves:
        """Our projection as both sides know it now."""
        sent = dict(self.sent)
        for path in {*desired, *sent}:
            if path[:2] in self.agreed and path not in self.agreed and path in desired and path not in self.now:
                # Theirs, and now shown otherwise because of what else we hold (a title joins a firm): not yet there.
                sent.pop(path, None)
            elif path in self.agreed or path[:2] in self.agreed or path in self.asked:
                if path in desired or path not in self.now:
                    _put(sent, path, desired.get(path))
                # Else it is shown there still, and no longer to be: owed, if we ever sent it.
            elif path in self.rejected:
                # Owed again: forget that it was ever there.
                sent.pop(path, None)
        return sent


def outdates(changed: Iterable[Path]) -> bool:
    """Do these changes make a name's full text outdated? Its parts changed, and it did not."""
    names = {path for path in changed if path[0] == "name"}
    return bool(names) and FULL not in names


def owed(
    card: Card,
    seen: Card,
    sent: Card,
    *,
    fit: Fit,
    policy: Policy,
    eq: Equivalence,
    disputed: Collection[Path] = (),
) -> Owed | None:
    """What must be written to a record so that it shows the card again; None where nothing is owed. disputed: paths
    about which a human has yet to decide; they stay as they are."""
    desired, before = leaves(fit(card, seen)), leaves(sent)
    paths = frozenset(
        path
        for path in {*desired, *before} - {*disputed}
        if policy.pushes(path[0]) and not eq.same(path, desired.get(path), before.get(path))
    )
    if not paths:
        return None
    shown = leaves(seen)
    after, agreed = dict(shown), dict(before)
    for path in paths:
        _put(after, path, desired.get(path))
        _put(agreed, path, desired.get(path))
    _drop_gone(after, before, desired, policy)
    _vacate(after, {path: value for path, value in desired.items() if path in paths})
    written = frozenset(path for path in paths if not eq.same(path, after.get(path), shown.get(path)))
    return Owed(card=card_of(after), sent=card_of(agreed), paths=written)


def owed_create(card: Card, *, fit: Fit, policy: Policy) -> Owed:
    """What a new record shall hold."""
    allowed = card_of({path: value for path, value in leaves(card).items() if policy.pushes(path[0])})
    desired = fit(allowed, None)
    return Owed(card=desired, sent=desired, paths=frozenset(leaves(desired)))


def answered(seen: Card, answer: Card, paths: Iterable[Path]) -> Card:
    """What the remote would have shown after our write if nobody else had written.

    Where we wrote, its answer is its way to show what we sent. Where we did not, it should be as it was seen: the
    difference between this and the answer is somebody's edit.
    """
    before, after = leaves(seen), leaves(answer)
    touched = set(paths)
    elements = {path[:2] for path in touched if path[0] in VALUE}
    for path in {*before, *after}:
        if path in touched or path[:2] in elements or path[-1] == SLOT:
            _put(before, path, after.get(path))
    return card_of(before)


def acknowledged(view: Card, seen: Card, sent: Card, wrote: Leaves, eq: Equivalence) -> tuple[Card, Card]:
    """Both shadows after a write whose answer never came, as far as the record shows that it arrived.

    wrote: the leaves that went out, None where one was taken away. Where the record shows, and did not before, what we
    wrote or what a remote could make of it, that is its way to show what we sent. All else is as it was: if it shows
    something new there, that is somebody's edit.
    """
    now, then, agreed = leaves(view), leaves(seen), leaves(sent)
    known = {path[:2] for path in then}
    taken = set()
    for path, value in wrote.items():
        shown = now.get(path)
        if eq.same(path, shown, then.get(path)) or not (eq.same(path, shown, value) or renders(path, value, shown)):
            continue
        taken.add(path[:2])
        _put(then, path, shown)
        _put(agreed, path, value)
    for path in now:  # what the remote itself knows of an element that we brought
        if path not in wrote and path[:2] in taken - known:
            then[path] = now[path]
    return card_of(then), card_of(agreed)


def _drop_gone(after: Leaves, before: Leaves, desired: Leaves, policy: Policy) -> None:
    """An element that we took away goes whole, with what only the remote knew of it."""
    for at in _grouped(before).keys() - _grouped(desired).keys():
        if policy.pushes(at[0]):
            for path in [p for p in after if p[:2] == at]:
                del after[path]


def _vacate(after: Leaves, placed: Leaves) -> None:
    """Two elements cannot stand in one slot: the one that we place now stays."""
    for path, slot in placed.items():
        if path[-1] != SLOT:
            continue
        rivals = [p for p, s in after.items() if p[0] == path[0] and p[-1] == SLOT and s == slot and p[1] != path[1]]
        for rival in rivals:
            for p in [p for p in after if p[:2] == rival[:2]]:
                del after[p]


def _grouped(parts: Leaves) -> dict[Path, Leaves]:
    """The leaves of each element, by the element's path."""
    groups: dict[Path, Leaves] = {}
    for path, value in parts.items():
        if path[0] in VALUE:
            groups.setdefault(path[:2], {})[path] = value
    return groups


def _value(parts: Mapping[Path, Any], at: Path) -> Any:
    """The element at `at` as JSON."""
    return card_of(dict(parts))[at[0]][at[1]] if parts else None


def _public(field: str, value: Any) -> Any:
    """A field of a view without the connector's notes to itself."""
    if field not in VALUE:
        return value
    return {
        key: {prop: v for prop, v in element.items() if not _is_note(prop)} if any(map(_is_note, element)) else element
        for key, element in value.items()
    }


def _local(path: Path) -> bool:
    """Is this a note of the connector to itself inside its view (its slot, say), and no value?"""
    return len(path) == 3 and _is_note(path[2])


def _is_note(prop: str) -> bool:
    return prop[:8] == "concord:" and prop != LINES


def _says_less(path: Path, one: Any, other: Any) -> bool:
    """Is one a date that the other only completes (a birthday without its year)?"""
    return path[-1] == "date" and isinstance(one, dict) and isinstance(other, dict) and one.items() < other.items()


def _put(parts: Leaves, path: Path, value: Any) -> None:
    if value is None:
        parts.pop(path, None)
    else:
        parts[path] = value
