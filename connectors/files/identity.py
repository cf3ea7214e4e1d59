"""Who a row is: what it is recognised by when the file comes again. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from connectors.card import SLOT, VALUE, Card, email_key, fold, part, phone_key
from connectors.files import cells
from connectors.files.headers import Layout
from connectors.files.mapping import split

_LINKEDIN: Final = re.compile(r"linkedin\.com/(?:[a-z]{2}/)?in/([^/?#\s]+)", re.IGNORECASE)


class Who(NamedTuple):
    """uid, rev and action are the columns of our own export. natural is what the person is recognised by, "" where a
    row names nobody; name is for telling apart two people who share that."""

    natural: str
    name: str
    uid: str = ""
    rev: str = ""
    action: str = ""

    @property
    def key(self) -> str:
        """Our own key if there is one, else the natural one."""
        return f"uid:{self.uid}" if self.uid else self.natural


class Identity:
    """Tells who the rows of one layout are: another program's id, LinkedIn's profile address, the first e-mail address,
    the first phone number, the name with the company (spreadsheets note, "Delta")."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._clean = cells.as_written if layout.own else cells.clean

        def at(field: str, *props: str) -> list[int]:
            places = ((c.index, c.place) for c in layout.columns)
            return [index for index, found in places if found.field == field and found.prop in (props or (found.prop,))]

        self._ids, self._uid, self._rev, self._action = at("id"), at("sync_id"), at("sync_rev"), at("sync_action")
        self._services = at("onlineServices") + at("links")
        self._emails, self._phones = at("emails", "address"), at("phones", "number")
        self._full, self._nick, self._company = at("name", "full"), at("nicknames"), at("organizations", "name")
        self._parts = [index for kind in ("given", "given2", "surname") for index in at("name", kind)]

    def of(self, row: Sequence[str]) -> Who:
        """Who this row is."""
        name = self._name(row)
        found = self._first(row, self._uid), self._first(row, self._rev), self._first(row, self._action).casefold()
        return Who(self._natural(row, name), name, *found)

    def _filled(self, row: Sequence[str], at: Sequence[int]) -> list[str]:
        clean = self._clean
        return [text for index in at if row[index] and (text := clean(row[index]))]

    def _first(self, row: Sequence[str], at: Sequence[int]) -> str:
        for index in at:
            if row[index] and (text := self._clean(row[index])):
                return text.strip()
        return ""

    def _name(self, row: Sequence[str]) -> str:
        if self._full and (full := self._first(row, self._full)):
            return _folded(full)
        return _folded(" ".join(self._filled(row, self._parts))) or _folded(self._first(row, self._nick))

    def _natural(self, row: Sequence[str], name: str) -> str:
        """ "" for a row without name, e-mail address and phone number, whatever its id is."""
        email = self._value(row, "emails", self._emails)
        phone = "" if email else self._value(row, "phones", self._phones)
        company = "" if email or phone else _folded(self._first(row, self._company))
        if not (email or phone or name or company):
            return ""
        if own := self._first(row, self._ids):
            return f"id:{own}"
        for text in self._filled(row, self._services):
            if slug := _LINKEDIN.search(text):
                return f"linkedin:{unquote(slug[1]).casefold()}"
        if email:
            return f"email:{email_key(email)}"
        return f"phone:{phone_key(phone)}" if phone else f"name:{name}|{company}"

    def _value(self, row: Sequence[str], field: str, at: Sequence[int]) -> str:
        for index in at:
            if row[index] and (found := split(self._layout, field, self._clean(row[index]))):
                return found[0]
        return ""


def who(card: Card, uid: str = "") -> Who:
    """Who a card is, by the same order."""
    name = card.get("name", {})
    parts = " ".join(filter(None, (part(name, kind) for kind in ("given", "given2", "surname"))))
    nick, company = (_value(card, field) for field in ("nicknames", "organizations"))
    said = _folded(parts) or _folded(name.get("full", "")) or _folded(nick)
    email, phone = _value(card, "emails"), _value(card, "phones")
    natural = f"name:{said}|{_folded(company)}" if said or company else ""
    if phone:
        natural = f"phone:{phone_key(phone)}"
    if email:
        natural = f"email:{email_key(email)}"
    for field in ("onlineServices", "links") if natural else ():
        for element in card.get(field, {}).values():
            if slug := _LINKEDIN.search(element.get("uri", "")):
                natural = f"linkedin:{unquote(slug[1]).casefold()}"
    return Who(natural, said, uid)


def _folded(text: str) -> str:
    """A name for comparison; one without a letter (🙂) as it is."""
    return fold(text) or text.strip().casefold()


def _value(card: Card, field: str) -> str:
    """The first value of a field."""
    found = (element.get(VALUE[field]) for element in card.get(field, {}).values())
    return next(filter(None, found), "")


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
