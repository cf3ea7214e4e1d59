"""Which element of a remote's view is which of ours.

A remote knows nothing of our element ids. Before anything is compared, its view is re-keyed: each element gets the id
under which we know it, or a new one. After that, a merge is a comparison of equal paths.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from connectors.card import SLOT, VALUE, Card, Element, Equivalence

NAMED_BY_VALUE = frozenset({"groups"})
"""Fields whose elements are what they are called: another name is another element, never an edit."""

ONCE = frozenset({"birth", "death"})
"""Kinds of anniversaries of which a person has one: another date is an edit of it, or contradicts it."""

Elements = Mapping[str, Element]


def align(view: Card, known: Sequence[Card], eq: Equivalence, mint: Callable[[], str]) -> Card:
    """The view with its elements under our ids.

    known: the cards whose ids count, nearest first: what this remote showed last, then the canonical card. Only the
        nearest can explain an element as an edit of another; in the others it is recognised by its value alone.
    mint: gives a new id.
    """
    aligned: dict[str, Any] = {}
    ids: dict[str, str] = {}
    for field, value in view.items():
        if field not in VALUE:
            aligned[field] = value
            continue
        names = _names(field, value, [card.get(field, {}) for card in known], eq, mint)
        aligned[field] = {names[key]: element for key, element in value.items()}
        if field == "organizations":
            ids = names
    if ids and "titles" in aligned:
        aligned["titles"] = {key: _retie(title, ids) for key, title in aligned["titles"].items()}
    return aligned


def _retie(title: Element, organizations: Mapping[str, str]) -> Element:
    """A title tied to its organisation's new id."""
    tied = organizations.get(title.get("organizationId", ""))
    return {**title, "organizationId": tied} if tied else title


def _names(
    field: str, elements: Elements, known: Sequence[Elements], eq: Equivalence, mint: Callable[[], str]
) -> dict[str, str]:
    """Our id for each element of one field."""
    names: dict[str, str] = {}
    for rank, old in enumerate(known):
        if not old:
            continue
        taken = set(names.values())
        left = {key: element for key, element in elements.items() if key not in names}
        free = {key: element for key, element in old.items() if key not in taken}
        if rank == 0 and [*left.values()] == [*free.values()]:
            names.update(zip(left, free, strict=True))  # as `pair` would, which has to look closer for most of a merge
        elif left and free:
            names.update(pair(field, left, free, eq, edits=rank == 0))
    for key in elements:
        if key not in names:
            names[key] = mint()
    return names


def pair(field: str, new: Elements, old: Elements, eq: Equivalence, *, edits: bool = True) -> dict[str, str]:
    """Which new element is which old one.

    Elements are recognised by value (of equals, the one in the same slot and of the same kind), then, as edits, by
    slot, then by kind and position where as many of that kind are left on both sides. What a person has once is the
    same whatever is said of it.
    """

    def value(element: Element) -> Hashable:
        return eq.element_key(field, element)

    def slot(element: Element) -> Hashable:
        return element.get(SLOT)

    recognised: list[Callable[[Element], Hashable]] = [
        lambda e: None if value(e) is None else (value(e), slot(e), _kind(e)),
        lambda e: None if value(e) is None else (value(e), slot(e)),
        lambda e: None if value(e) is None else (value(e), _kind(e)),
        value,
    ]
    if edits and field not in NAMED_BY_VALUE:
        recognised.append(slot)
    if field == "anniversaries":
        recognised.append(lambda e: e.get("kind") if e.get("kind") in ONCE else None)
    left, free, pairs = dict(new), dict(old), {}
    for key in recognised:
        for one, other in list(_matches(left, free, key)):
            pairs[one] = other
            del left[one], free[other]
        if not left or not free:
            return pairs
    if edits and field not in NAMED_BY_VALUE:
        pairs.update(_leftovers(left, free))
    return pairs


def _matches(new: Elements, old: Elements, key: Callable[[Element], Hashable]) -> Iterator[tuple[str, str]]:
    """Pairs with equal keys, in order; an element without a key has no pair."""
    shelves: dict[Hashable, list[str]] = {}
    for name, element in old.items():
        shelves.setdefault(key(element), []).append(name)
    for name, element in new.items():
        wanted = key(element)
        if wanted is not None and shelves.get(wanted):
            yield name, shelves[wanted].pop(0)


def _leftovers(new: Elements, old: Elements) -> Iterator[tuple[str, str]]:
    """Elements of one kind, as many on both sides: edits, in order."""
    shelves: dict[Hashable, tuple[list[str], list[str]]] = {}
    for side, elements in enumerate((new, old)):
        for name, element in elements.items():
            shelves.setdefault(_kind(element), ([], []))[side].append(name)
    for ours, theirs in shelves.values():
        if len(ours) == len(theirs):
            yield from zip(ours, theirs, strict=True)


def _kind(element: Element) -> Hashable:
    """What sort of element it is: a work mobile, a home address, a title rather than a role."""
    marks = [tuple(sorted(element.get(prop) or ())) for prop in ("contexts", "features")]
    return (*marks, element.get("label"), element.get("kind"), element.get("service"))
