"""A member of an audience and our card. Pure.

A member is made by one e-mail address; the rest stands in merge fields, whose meaning the audience's layout tells. Tags
are groups by their name, interests are groups by "Category: Name". A group that is an interest is joined there, every
other one is a tag: an unknown tag is created by the first member that has it (mailchimp note 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.card import SLOT, Card, Element, components, digest, email_key, fold, full_name, part
from connectors.mailchimp.layout import EMAIL, TAG_CHARACTERS, Layout, Place, shown_address

Member = Mapping[str, Any]
"""A member as the API gives it."""

NAME_KINDS: Final = ("title", "given", "given2", "surname")
_ADDRESS: Final = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\"]+\.[^@\s,;<>()\".]+")
_LONGEST_ADDRESS: Final = 254


# --- reading ---------------------------------------------------------------------------------------------------------


def record_id(member: Member) -> str:
    """What a member is known by: its contact id, which stays when the address changes; else the hash (note 2)."""
    return str(member.get("contact_id") or member["id"])


def view(member: Member, layout: Layout, tags: Sequence[Mapping[str, Any]]) -> Card:
    """The card that a member shows. Element ids are the places' tags, "email", "tag:ID", "interest:ID".

    tags: all of the member's, [{id, name}].
    """
    merge = member.get("merge_fields") or {}
    card: dict[str, Any] = {}
    parts = {kind: str(merge.get(place.tag) or "").strip() for kind, place in layout.names.items()}
    if full := parts.pop("full", ""):
        card["name"] = {"full": full}
    elif any(parts.values()):
        card["name"] = {"components": components(parts)}
    card["emails"] = {EMAIL: {"address": str(member["email_address"]), SLOT: EMAIL}}
    for place in layout.places:
        element = place.read(merge.get(place.tag))
        if element is not None:
            card.setdefault(place.field, {})[place.tag] = element
    groups = _distinct({**_tag_groups(tags), **_interest_groups(member, layout)}, {})
    if groups:
        card["groups"] = groups
    return card


def _tag_groups(tags: Sequence[Mapping[str, Any]]) -> dict[str, Element]:
    return {f"tag:{tag['id']}": {"name": str(tag["name"])} for tag in sorted(tags, key=lambda tag: int(tag["id"]))}


def _interest_groups(member: Member, layout: Layout) -> dict[str, Element]:
    return {f"interest:{id_}": {"name": layout.interests[id_]} for id_ in joined(member) if id_ in layout.interests}


def joined(member: Member) -> list[str]:
    """The ids of the interests that the member has."""
    return sorted(id_ for id_, on in (member.get("interests") or {}).items() if on)


def version(member: Member) -> str:
    """What we call a member's state. `last_changed` steps by a second and does not move with every tag or interest
    (note 5), so a digest of what stands there goes with it. It takes no more than a sweep asks for."""
    tags = sorted(str(tag["name"]) for tag in member.get("tags") or ())
    state = digest(
        {
            "is": [member.get("email_address"), member.get("status")],
            # A new merge field is blank everywhere, and no news of anybody.
            "merge": {tag: value for tag, value in (member.get("merge_fields") or {}).items() if value},
            "interests": joined(member),
            "tags": tags,
            "count": member.get("tags_count", len(tags)),
        }
    )
    return f"{member.get('last_changed') or ''}/{state[:12]}"


def key_of(member: Member, layout: Layout) -> str | None:
    """Our key, where the member carries it."""
    return str((member.get("merge_fields") or {}).get(layout.key) or "") or None if layout.key else None


# --- projecting ------------------------------------------------------------------------------------------------------


def usable(address: str) -> str:
    """The address as Mailchimp keeps it, its domain in small letters (note 8); "" where it can be none."""
    text = address.strip().removeprefix("mailto:")
    if not _ADDRESS.fullmatch(text) or len(text) > _LONGEST_ADDRESS:
        return ""
    user, _, domain = text.rpartition("@")
    return f"{user}@{domain.lower()}"


def fit(card: Card, held: Card | None, layout: Layout) -> Card:
    """What a member would show if the card were written over `held`. Nothing where there is no member yet and no
    address to make one."""
    fitted: dict[str, Any] = {}
    emails = _fit_email(card.get("emails") or {}, (held or {}).get("emails") or {})
    if not emails and not held:
        return {}
    if parts := _fit_name(card, layout):
        fitted["name"] = parts
    if emails:
        fitted["emails"] = emails
    for field, places in layout.fields.items():
        elements = _fit_elements(card.get(field) or {}, (held or {}).get(field) or {}, places)
        if elements:
            fitted[field] = elements
    groups = {key: {"name": name} for key, group in (card.get("groups") or {}).items() if (name := _tag_name(group))}
    if kept := _distinct(groups, (held or {}).get("groups") or {}):
        fitted["groups"] = kept
    return fitted


def _fit_email(found: Mapping[str, Element], held: Mapping[str, Element]) -> dict[str, Element]:
    """The one address: what is the member's stays so while it is in the card, else the preferred one."""
    able = {key: address for key, e in found.items() if (address := usable(str(e.get("address") or "")))}
    standing = [key for source in (found, held) for key in able if (source.get(key) or {}).get(SLOT) == EMAIL]
    chosen = [*standing, *_by_preference(found, able)][:1]
    return {key: {"address": able[key], SLOT: EMAIL} for key in chosen}


def _by_preference(found: Mapping[str, Element], keys: Iterable[str]) -> list[str]:
    return sorted(keys, key=lambda key: found[key].get("pref") or 100)


def _fit_name(card: Card, layout: Layout) -> dict[str, Any]:
    name = card.get("name") or {}
    if "full" in layout.names:
        full = layout.names["full"].text(full_name({"name": name}))
        return {"full": full} if full else {}
    texts = {kind: part(name, kind) for kind in NAME_KINDS}
    if not name.get("components"):
        # Who is known by a full name only is called by it; where it would have to be cut, nobody knows.
        texts["given" if "given" in layout.names else "surname"] = str(name.get("full") or "")
    parts = {kind: place.text(texts[kind]) for kind, place in layout.names.items()}
    return {"components": components(parts)} if any(parts.values()) else {}


def _fit_elements(
    found: Mapping[str, Element], held: Mapping[str, Element], places: tuple[Place, ...]
) -> dict[str, Element]:
    standing = {element.get(SLOT): element for element in held.values()}
    settled = _settle(found, held, standing, places)
    shown = {key: _shown(found[key], place, standing.get(place.tag)) for key, place in settled.items()}
    return {key: element for key, element in shown.items() if element is not None}


def _shown(element: Element, place: Place, standing: Element | None) -> Element | None:
    """The element as this place will show it, or None."""
    value = place.write(element, standing)
    if value is None:
        return None
    if place.type == "address":
        return {**shown_address(element, value), SLOT: place.tag}
    return place.read(value)


def _settle(
    found: Mapping[str, Element],
    held: Mapping[str, Element],
    standing: Mapping[Any, Element],
    places: tuple[Place, ...],
) -> dict[str, Place]:
    """Which element stands where. What stands in a place stays while it is true there; the others take what is free,
    the preferred first."""
    shelf = {place.tag: place for place in places}
    settled: dict[str, Place] = {}

    def fits(key: str, place: Place) -> bool:
        free = place not in settled.values()
        return free and _belongs(found[key], place) and _shown(found[key], place, standing.get(place.tag)) is not None

    for source in (found, held):
        for key in found:
            place = shelf.get((source.get(key) or {}).get(SLOT, ""))
            if place and key not in settled and fits(key, place):
                settled[key] = place
    for key in _by_preference(found, found):
        if key not in settled:
            place = next((place for place in _candidates(found[key], places) if fits(key, place)), None)
            if place:
                settled[key] = place
    return settled


def _belongs(element: Element, place: Place) -> bool:
    """Does the place say nothing that the element contradicts?"""
    kind = place.target.marks.get("kind")
    if kind:
        return bool(element.get("kind") == kind)
    if place.field != "phones":
        return True
    says = _says(element)
    if not says:
        return True
    return place.target.says in says or (not place.target.says and says[0] not in ("fax", "pager"))


def _says(element: Element) -> list[str]:
    """What a phone says of itself, in the words of the places; the strongest first."""
    features, contexts = element.get("features") or {}, element.get("contexts") or {}
    words = ("fax", "pager", "mobile", "work", "private")
    return [word for word in words if features.get(word) or contexts.get(word)]


def _candidates(element: Element, places: tuple[Place, ...]) -> list[Place]:
    """The places for a newcomer, best first. A number that says nothing is not called mobile or private."""
    if places[0].field != "phones":
        return list(places)
    return [place for word in (*_says(element), "") for place in places if place.target.says == word]


def _tag_name(group: Element) -> str:
    name = str(group.get("name") or "").strip()
    return name if len(name) <= TAG_CHARACTERS else ""


def _distinct(groups: Mapping[str, Element], held: Mapping[str, Element]) -> dict[str, Element]:
    """One of each name, whatever its case; of equals the one that is held."""
    kept: dict[str, str] = {}
    for key in sorted(groups, key=lambda key: key not in held):
        kept.setdefault(str(groups[key]["name"]).casefold(), key)
    return {key: groups[key] for key in groups if key in kept.values()}


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What must be written to a member. email: the new address, "" where it stays. merge: {tag: value}; "" clears.
    join, leave: names of groups."""

    email: str
    merge: Mapping[str, Any]
    join: Sequence[str]
    leave: Sequence[str]


def difference(card: Card, held: Card, layout: Layout) -> Change:
    """What turns a member that shows `held` into one that shows `card`."""
    before, after = merge_fields(held, held, layout), merge_fields(card, held, layout)
    wanted, current = _group_names(card), _group_names(held)
    email = address_of(card)
    return Change(
        email="" if email_key(email) == email_key(address_of(held)) else email,
        merge={tag: value for tag, value in after.items() if value is not None and value != before[tag]},
        join=[name for folded, name in wanted.items() if folded not in current],
        leave=[name for folded, name in current.items() if folded not in wanted],
    )


def merge_fields(card: Card, held: Card, layout: Layout) -> dict[str, Any]:
    """All merge fields of a view, "" where it says nothing, None where they cannot say it. held: what stands there."""
    written: dict[str, Any] = dict.fromkeys(layout.by_tag, "")
    name = card.get("name") or {}
    for kind, place in layout.names.items():
        written[place.tag] = str(name.get("full") or "") if kind == "full" else part(name, kind)
    standing = {element[SLOT]: element for element in _placed(held)}
    for element in _placed(card):
        found = layout.by_tag.get(element[SLOT])
        if found:
            written[found.tag] = found.write(element, standing.get(found.tag))
    return written


def _placed(card: Card) -> Iterator[Element]:
    """Every element that stands in a slot."""
    for value in card.values():
        if isinstance(value, Mapping):
            yield from (e for e in value.values() if isinstance(e, Mapping) and SLOT in e)


def _group_names(card: Card) -> dict[str, str]:
    names = (str(group.get("name") or "").strip() for group in (card.get("groups") or {}).values())
    return {name.casefold(): name for name in names if name}


def address_of(card: Card) -> str:
    """The e-mail address of a view, or ""."""
    return next((str(e.get("address") or "") for e in (card.get("emails") or {}).values()), "")


def name_of(card: Card) -> str:
    """What a view calls its person, or ""; an address is no name."""
    return full_name({"name": card.get("name") or {}})


def same_name(one: Card, other: Card) -> bool:
    """Do two views call their person the same?"""
    return fold(name_of(one)) == fold(name_of(other))
