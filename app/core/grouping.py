"""What becomes of a card when a group is renamed, joined with another, or removed."""

from __future__ import annotations

from collections.abc import Callable

from connectors.card import Card, Element, group_key


def regrouped(card: Card, old: str, new: str | None, mint: Callable[[], str]) -> Card:
    """The card in `new` instead of `old` (None: in neither), once, and written so; `old` however it is written.

    A group's element is what it is called, so another name is another element, with an id of its own: a system where
    somebody entered that name meanwhile is then seen to say the same.
    """
    before: dict[str, Element] = dict(card.get("groups", {}))
    left = {key for key, element in before.items() if _key(element) == group_key(old)}
    if new is None:
        after = {key: element for key, element in before.items() if key not in left}
        return _with(card, after)
    there = [key for key, element in before.items() if _key(element) == group_key(new)]
    if not left and not there:
        return card
    kept = there[0] if there else mint()
    written = {**(before[kept] if there else before[min(left)]), "name": new}
    gone = left.union(there) - {kept}
    after = {key: element for key, element in before.items() if key not in gone}
    return _with(card, {**after, kept: written})


def _key(element: Element) -> str:
    return group_key(str(element.get("name", "")))


def _with(card: Card, groups: dict[str, Element]) -> Card:
    """The card in exactly these groups."""
    rest = {field: value for field, value in card.items() if field != "groups"}
    return {**rest, "groups": groups} if groups else rest
