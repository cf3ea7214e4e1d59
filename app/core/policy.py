"""What the admin allows one connection: who may write what, who wins, what a deletion means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.card import Card, group_key

Direction = Literal["both", "pull", "push", "off"]
Deletes = Literal["propagate", "archive", "ignore"]


@dataclass(frozen=True, slots=True)
class Policy:
    """One connection's policy.

    direction: which way changes flow. fields: the same per field of the card, overriding it.
    prefer: the connections whose values win a conflict, best first; empty: the newest edit wins. ask: nobody wins
        before a human says so.
    deletes: what a deletion here does to the person. propagate: archive it and delete it everywhere else; archive:
        archive it and leave the other systems alone; ignore: only this copy is gone.
    blanks: whether an emptied value erases ours ("erase") or is filled again ("keep").
    filter: which people belong in this system, {field: values of which one must match}; empty: everybody.
    """

    direction: Direction = "both"
    fields: Mapping[str, Direction] = field(default_factory=dict)
    prefer: tuple[str, ...] = ()
    ask: bool = False
    deletes: Deletes = "propagate"
    blanks: Literal["erase", "keep"] = "erase"
    filter: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def pulls(self, name: str) -> bool:
        """May this field be taken from the remote?"""
        return self.fields.get(name, self.direction) in ("both", "pull")

    def pushes(self, name: str) -> bool:
        """May this field be written to the remote?"""
        return self.fields.get(name, self.direction) in ("both", "push")

    def welcomes(self, card: Card) -> bool:
        """Does this person belong in the system? (Leaving the filter is not a deletion.)"""
        return all(_values(card, name) & {group_key(v) for v in wanted} for name, wanted in self.filter.items())


def _values(card: Card, name: str) -> set[str]:
    """What a filter can match in one field: keywords, names of groups and organisations, or the text of a value; each
    as a group's name is compared, without case and with blanks as one."""
    value = card.get(name)
    if isinstance(value, str):
        return {group_key(value)}
    if name == "keywords":
        return {group_key(keyword) for keyword in value or ()}
    return {group_key(text) for element in (value or {}).values() for text in element.values() if isinstance(text, str)}
