"""vCards as the connector's records, and group cards as membership; pure.

A contact's groups come from two places: its own CATEGORIES, and group cards that list its UID (Apple's
X-ADDRESSBOOKSERVER-KIND:group in vCard 3.0, KIND:group in 4.0). Both are `groups` in the view, one element a name.
A group that exists as a card, or is about to, is written there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors import vcard
from connectors.card import VALUE, Card
from connectors.contentline import Broken, VCard

FIELDS: Final = frozenset({"kind", "name", *VALUE})
"""What a vCard can hold at least in part."""

GROUP_FILTERS: Final = (("X-ADDRESSBOOKSERVER-KIND", "equals", "group"), ("KIND", "equals", "group"))
"""An addressbook-query that finds the group cards."""

Index = Mapping[str, tuple[str, ...]]
"""The names of the group cards that each member is in, by `member_key`."""


@dataclass(frozen=True, slots=True)
class GroupCard:
    """A group card: its name, its members by `member_key`, the version it was read in."""

    name: str
    members: frozenset[str]
    etag: str | None

    def dump(self) -> list[Any]:
        return [self.name, sorted(self.members), self.etag]

    @classmethod
    def load(cls, dumped: list[Any]) -> GroupCard:
        return cls(dumped[0], frozenset(dumped[1]), dumped[2])


Groups = Mapping[str, GroupCard]
"""Group cards by their href."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A card that is a contact. uid: bare; None where the card has none."""

    uid: str | None
    card: Card
    blobs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a text is not a vCard we can read, and what could be read of it."""

    reason: str
    card: Card


def parsed(text: str, etag: str | None) -> Contact | GroupCard | Unreadable:
    """What a resource of an address book is."""
    cards = list(vcard.parse(text))
    if not cards:
        return Unreadable("there is no vCard in it", {})
    found = cards[0]
    if isinstance(found, Broken) or len(cards) > 1:
        broken = next((part for part in cards if isinstance(part, Broken)), None)
        return Unreadable(broken.reason if broken else f"{len(cards)} vCards in one resource", _legible(cards))
    group = vcard.group_of(found)
    if group is not None:
        return GroupCard(group.name, frozenset(map(member_key, group.members)), etag)
    card, blobs = vcard.read(found)
    return Contact(bare_uid(found), card, blobs)


def _legible(parts: Iterable[VCard | Broken]) -> Card:
    """What can be made out of a text that is no single vCard. Of several cards in it no name: it may be either's."""
    cards = [vcard.read(vcard.remains(part) if isinstance(part, Broken) else part)[0] for part in parts]
    cards = [card for card in cards if card.keys() & {"name", "emails", "phones"}]
    if len(cards) == 1:
        return cards[0]
    return {
        name: {f"{n}.{id_}": element for n, card in enumerate(cards) for id_, element in card.get(name, {}).items()}
        for name in ("emails", "phones")
    }


def bare_uid(card: VCard) -> str | None:
    """The UID without `urn:uuid:`, which vCard 4.0 puts before it and 3.0 does not."""
    uid = card.uid
    return uid[9:] if uid and uid[:9].lower() == "urn:uuid:" else uid


def member_key(uid: str) -> str:
    """What a member of a group card is recognised by."""
    return uid.strip().casefold().removeprefix("urn:uuid:")


def fold(name: str) -> str:
    """What a group is recognised by."""
    return name.strip().casefold()


# --- membership ---------------------------------------------------------------------------------------------------


def index(groups: Groups) -> Index:
    """Who is in which group cards."""
    found: dict[str, tuple[str, ...]] = {}
    for group in sorted(groups.values(), key=lambda group: group.name):
        for member in group.members:
            found[member] = (*found.get(member, ()), group.name)
    return found


def touched(before: Groups, after: Groups) -> set[str]:
    """The members whose view changes between two states of the group cards."""
    found: set[str] = set()
    for href in before.keys() | after.keys():
        old, new = before.get(href), after.get(href)
        if old is None or new is None or old.name != new.name:
            found |= (old.members if old else frozenset()) | (new.members if new else frozenset())
        else:
            found |= old.members ^ new.members
    return found


def view(contact: Contact, members: Index) -> Card:
    """The contact with the group cards that list it."""
    names = members.get(member_key(contact.uid), ()) if contact.uid else ()
    if not names:
        return contact.card
    elements = dict(contact.card.get("groups", {}))
    there = {fold(element["name"]) for element in elements.values()}
    for name in names:
        if fold(name) not in there:
            there.add(fold(name))
            elements[f"group card {name}"] = {"name": name}
    return {**contact.card, "groups": elements}


def group_names(card: Card | None) -> set[str]:
    """The folded names of a card's groups."""
    return {fold(element["name"]) for element in (card or {}).get("groups", {}).values() if element.get("name")}


@dataclass(frozen=True, slots=True)
class Moves:
    """The group cards (hrefs) that a contact joins and leaves."""

    joins: frozenset[str] = frozenset()
    leaves: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.joins or self.leaves)


def moves(uid: str | None, before: Card | None, after: Card | None, groups: Groups) -> Moves:
    """Which group cards must change so that a contact's groups go from `before` to `after`. A deleted contact (`after`
    None) leaves them all; one without UID cannot be a member."""
    if uid is None or not groups:
        return Moves()
    old, new, key = group_names(before), group_names(after), member_key(uid)
    joins = {href for href, group in groups.items() if fold(group.name) in new - old and key not in group.members}
    leaves = {
        href
        for href, group in groups.items()
        if key in group.members and (after is None or fold(group.name) in old - new)
    }
    return Moves(frozenset(joins), frozenset(leaves))


def new_groups(names: Iterable[str], groups: Groups) -> list[str]:
    """Those of these names that no group card has, each once and as it is written first."""
    there, found = names_of(groups), dict[str, str]()
    for name in names:
        if fold(name) and fold(name) not in there:
            found.setdefault(fold(name), name.strip())
    return list(found.values())


def joined(before: Card | None, after: Card) -> list[str]:
    """The names of the groups that somebody joins, as they are written."""
    old = group_names(before)
    names = (element.get("name", "") for element in after.get("groups", {}).values())
    return [name for name in names if name and fold(name) not in old]


def without(card: Card, names: Iterable[str]) -> Card:
    """The card without the groups of these (folded) names."""
    unwanted = set(names)
    if not unwanted or not card.get("groups"):
        return card
    kept = {key: element for key, element in card["groups"].items() if fold(element.get("name", "")) not in unwanted}
    rest = {field: value for field, value in card.items() if field != "groups"}
    return {**rest, "groups": kept} if kept else rest


# --- texts ----------------------------------------------------------------------------------------------------------


def composed(card: Card, uid: str, version: str, groups: Groups, blob: Callable[[str], bytes]) -> str:
    """The text of a new contact."""
    return vcard.write(without(card, names_of(groups)), version, uid=uid, blob=blob)


def amended(text: str, before: Card, after: Card, groups: Groups, blob: Callable[[str], bytes]) -> str:
    """The contact's text with the difference between two views of it, and no more."""
    cards = names_of(groups)
    gone = (group_names(before) - group_names(after)) & cards
    if gone:
        # It may be a category of that name as well, which then goes too.
        found = parsed(text, None)
        cards -= gone & group_names(found.card if isinstance(found, Contact) else None)
    return vcard.patch(text, without(before, cards), without(after, cards), blob=blob)


def names_of(groups: Groups) -> set[str]:
    """The folded names of the group cards."""
    return {fold(group.name) for group in groups.values()}


def regrouped(text: str, joins: Iterable[str], leaves: Iterable[str]) -> str:
    """A group card's text with members (UIDs) added and removed; the same text where nothing changes."""
    card = next(iter(vcard.parse(text)), None)
    group = vcard.group_of(card) if isinstance(card, VCard) else None
    if group is None:
        return text
    gone = set(map(member_key, leaves))
    members = [member for member in group.members if member_key(member) not in gone]
    there = set(map(member_key, members))
    members += [uid for uid in joins if member_key(uid) not in there]
    return text if members == list(group.members) else vcard.with_members(text, members)


def grouped(like: str, name: str, uid: str, members: Iterable[str]) -> str:
    """The text of a new group card, in the dialect of another one: Apple's, or that of vCard 4."""
    card = next(iter(vcard.parse(like)), None)
    names = {line.name for line in card.lines} if isinstance(card, VCard) else set()
    version = "4.0" if isinstance(card, VCard) and card.version == "4.0" else "3.0"
    return vcard.write_group(
        name, uid, members, version, apple="KIND" not in names or "X-ADDRESSBOOKSERVER-KIND" in names
    )
