"""Who a row is: what it is recognised by when the file comes again. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from connectors.card import SLOT, VALUE, Card, email_key, fold, part, phone_key
from connectors.files.mapping import Person

IDENTITY: Final = frozenset({"name", "nicknames", "organizations", "emails", "phones", "links", "onlineServices"})
"""The fields that `natural_key` and `name_key` look at."""

_LINKEDIN: Final = re.compile(r"linkedin\.com/(?:[a-z]{2}/)?in/([^/?#\s]+)", re.IGNORECASE)


def natural_key(person: Person) -> str:
    """What a row is recognised by when the file comes again, edited: another program's id, LinkedIn's profile
    address, the first e-mail address, the first phone number, the name with the company (spreadsheets note, "Delta");
    "" where it has nothing of these."""
    card = person.card
    if person.own_id:
        return f"id:{person.own_id}"
    if slug := _linkedin(card):
        return f"linkedin:{slug}"
    for element in card.get("emails", {}).values():
        if element.get("address"):
            return f"email:{email_key(element['address'])}"
    for element in card.get("phones", {}).values():
        if element.get("number"):
            return f"phone:{phone_key(element['number'])}"
    name = name_key(card)
    company = next((e["name"] for e in card.get("organizations", {}).values() if e.get("name")), "")
    return f"name:{name}|{fold(company)}" if name or company else ""


def _linkedin(card: Card) -> str:
    for field in ("onlineServices", "links"):
        for element in card.get(field, {}).values():
            if match := _LINKEDIN.search(element.get("uri", "")):
                return unquote(match[1]).casefold()
    return ""


def name_key(card: Card) -> str:
    """The person's name folded for comparison, "" for none."""
    name = card.get("name", {})
    said = " ".join(filter(None, (part(name, "given"), part(name, "given2"), part(name, "surname"))))
    nick = next((e.get("name", "") for e in card.get("nicknames", {}).values()), "")
    return fold(said or name.get("full", "") or nick)


def merged(one: Card, other: Card, same: Callable[[str, Mapping[str, Any]], Hashable]) -> Card | None:
    """Two rows of one person in one file as one card; None where they contradict each other.

    same: gives the key by which elements of a field are the same (`Equivalence.element_key`).
    """
    both: dict[str, Any] = {**other, **one}
    for field in one.keys() & other.keys():
        if field == "keywords":
            both[field] = {**one[field], **other[field]}
        elif field in VALUE:
            both[field] = _union(field, one[field], other[field], same)
        elif one[field] != other[field]:
            return None
    return both


def _union(
    field: str,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    same: Callable[[str, Mapping[str, Any]], Hashable],
) -> dict[str, Any]:
    both = dict(one)
    known = {same(field, element) for element in one.values()}
    for key, element in other.items():
        if same(field, element) in known:
            continue
        number, free = 1, key
        while free in both:
            number += 1
            free = f"{key}.{number}"
        both[free] = {**element, SLOT: free} if SLOT in element else element
    return both
