"""A row of vTiger's Contacts or Leads and our card. Pure.

A module is a table of places. Each place holds one element of the card in one or more columns, and is named by a slot.
Reading (`view`), projecting (`fit`) and writing (`columns`) go through the same table, so that what we project is what
vTiger will show: `fit` is "written, cut, then read".

An organisation is a record of its own (Accounts). Whoever reads a row puts the account's name into it under the
pseudo-column `ORGANIZATION`; whoever writes one turns that column into `account_id`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from html.entities import name2codepoint
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, SLOT, Card, Element, components, digest, full_name, part
from connectors.consent import Channel, Consent

Row = Mapping[str, Any]
Columns = dict[str, str]

ORGANIZATION: Final = "concord:accountname"
"""The pseudo-column with the name of the account that `account_id` refers to."""
KEY_PREFIX: Final = "concord:"
"""Our key stands in `source`, which is stored as given on create (vtiger note A3)."""
MANDATORY: Final = "lastname"
"""The one of our columns without which nothing is created, and which cannot be cleared (vtiger note A3)."""

NAME: Final = {"title": "salutationtype", "given": "firstname", "surname": "lastname"}

LIMITS: Final[Mapping[str, int]] = {
    "salutationtype": 200,
    "firstname": 40,
    "lastname": 80,
    "email": 100,
    "secondaryemail": 100,
    **dict.fromkeys(("phone", "mobile", "homephone", "otherphone", "fax", "assistantphone"), 50),
    "assistant": 30,
    "title": 50,
    "department": 30,
    ORGANIZATION: 100,
    "mailingstreet": 250,
    "mailingcity": 40,
    "mailingstate": 30,
    "mailingzip": 30,
    "mailingcountry": 40,
    "mailingpobox": 30,
    "otherstreet": 250,
    "othercity": 40,
    "otherstate": 50,
    "otherzip": 30,
    "othercountry": 30,
    "otherpobox": 30,
    "company": 100,
    "designation": 50,
    "website": 255,
    "lane": 250,
    **dict.fromkeys(("city", "state", "code", "country", "pobox"), 30),
}
"""Column lengths of a stock installation, characters (tables vtiger_contactdetails, vtiger_contactsubdetails,
vtiger_contactaddress, vtiger_leaddetails, vtiger_leadaddress, vtiger_account). Longer text is cut silently
(transcript 03, "create too long lastname": 80 are left)."""


@dataclass(frozen=True)
class Place:
    """Room for one element.

    field: the card's field. slot: the place's name. columns: {property or component kind: column}.
    marks: what the view says of an element because it stands here. says: the word for it among `_says`.
    """

    field: str
    slot: str
    columns: Mapping[str, str]
    marks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    says: str = ""

    def read(self, row: Row) -> Element | None:
        """The element that stands here, or None."""
        found: dict[str, Any] = {}
        parts: dict[str, str] = {}
        for prop, column in self.columns.items():
            text = _text(row, column)
            if prop == "date":
                found |= _date(text)
            elif not text:
                continue
            elif prop in ADDRESS_KINDS:
                parts[prop] = text
            else:
                found[prop] = [{"name": text}] if prop == "units" else text
        if parts:
            found["components"] = components(parts)
        return {**found, **self.marks, SLOT: self.slot} if found else None

    def write(self, element: Element) -> Columns:
        """The columns of an element that stands here; a blank one clears."""
        return {column: _written(element, prop) for prop, column in self.columns.items()}


def _written(element: Element, prop: str) -> str:
    if prop == "date":
        return _iso(element.get("date") or {})
    if prop in ADDRESS_KINDS:
        return part(element, prop)
    if prop == "units":
        return next((str(unit.get("name") or "") for unit in element.get("units") or ()), "")
    if prop == LINES and not element.get(LINES) and not element.get("components"):
        return str(element.get("full") or "")
    return str(element.get(prop) or "")


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) and value.strip() else ""


def _date(text: str) -> dict[str, Any]:
    """A full date; a blank or impossible one ("0000-00-00") is none."""
    match = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text)
    if not match:
        return {}
    year, month, day = map(int, match.groups())
    return {"date": {"year": year, "month": month, "day": day}} if month and day else {}


def _iso(value: Mapping[str, Any]) -> str:
    """YYYY-MM-DD of a full date of a year that MySQL has; "" for any other."""
    try:
        day = date(value["year"], value["month"], value["day"])
    except (KeyError, TypeError, ValueError):
        return ""
    return day.isoformat() if day.year >= 1000 else ""


# --- the modules (vtiger note, field map; transcript 02-describe) ------------------------------------------------


def _simple(card_field: str, prop: str, *columns: str) -> tuple[Place, ...]:
    return tuple(Place(card_field, column, {prop: column}) for column in columns)


def _phone(column: str, says: str, marks: Mapping[str, Any]) -> Place:
    return Place("phones", column, {"number": column}, marks, says)


def _address(slot: str, *columns: str) -> Place:
    return Place("addresses", slot, dict(zip((LINES, *ADDRESS_KINDS), columns, strict=True)))


_MOBILE: Final = _phone("mobile", "mobile", {"features": {"mobile": True}})
_WORK: Final = _phone("phone", "work", {"contexts": {"work": True}})
_FAX: Final = _phone("fax", "fax", {"features": {"fax": True}})


@dataclass(frozen=True)
class Module:
    """Contacts or Leads. flags: the column of each channel's opt-out. aliases: what the other module calls the same
    place."""

    name: str
    places: tuple[Place, ...]
    flags: Mapping[Channel, str]
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @cached_property
    def fields(self) -> Mapping[str, tuple[Place, ...]]:
        """The places by the card's fields."""
        names = dict.fromkeys(place.field for place in self.places)
        return {name: tuple(place for place in self.places if place.field == name) for name in names}

    @cached_property
    def slots(self) -> Mapping[str, Place]:
        """The places by name, the other module's names included."""
        named = {place.slot: place for place in self.places}
        return {alias: named[slot] for alias, slot in self.aliases.items()} | named

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column that we read or write."""
        return (*NAME.values(), *(column for place in self.places for column in place.columns.values()))


CONTACTS: Final = Module(
    "Contacts",
    (
        Place("organizations", "account_id", {"name": ORGANIZATION, "units": "department"}),
        Place("titles", "title", {"name": "title"}),
        *_simple("emails", "address", "email", "secondaryemail"),
        _MOBILE,
        _WORK,
        _phone("homephone", "private", {"contexts": {"private": True}}),
        _phone("otherphone", "", {}),
        _FAX,
        _phone("assistantphone", "assistant", {"label": "assistant"}),
        *(
            _address(kind, *(kind + column for column in ("street", "pobox", "city", "state", "zip", "country")))
            for kind in ("mailing", "other")
        ),
        Place("anniversaries", "birthday", {"date": "birthday"}, {"kind": "birth"}),
        Place("relations", "assistant", {"name": "assistant"}, {"kind": "assistant"}),
        Place("notes", "description", {"note": "description"}),
    ),
    {"email": "emailoptout", "phone": "donotcall"},
    {"company": "account_id", "designation": "title", "lane": "mailing"},
)
LEADS: Final = Module(
    "Leads",
    (
        Place("organizations", "company", {"name": "company"}),
        Place("titles", "designation", {"name": "designation"}),
        *_simple("emails", "address", "email", "secondaryemail"),
        _MOBILE,
        _WORK,
        _FAX,
        _address("lane", "lane", "pobox", "city", "state", "code", "country"),
        Place("links", "website", {"uri": "website"}),
        Place("notes", "description", {"note": "description"}),
    ),
    {"email": "emailoptout"},
    {"account_id": "company", "title": "designation", "mailing": "lane"},
)
MODULES: Final = {module.name: module for module in (CONTACTS, LEADS)}
EXACT: Final = frozenset(
    column
    for module in MODULES.values()
    for name in ("emails", "phones", "links")
    for place in module.fields.get(name, ())
    for column in place.columns.values()
)
"""Columns whose text leads somewhere: half of it would lead somewhere else."""


# --- reading -----------------------------------------------------------------------------------------------------


def view(row: Row, module: Module) -> Card:
    """The card that a row shows. Element ids are the slots' names."""
    card: dict[str, Any] = {}
    parts = {kind: _text(row, column) for kind, column in NAME.items()}
    if any(parts.values()):
        card["name"] = {"components": components(parts)}
    for place in module.places:
        element = place.read(row)
        if element is not None:
            card.setdefault(place.field, {})[place.slot] = element
    return card


def consents(row: Row, module: Module) -> list[Consent]:
    """What a row's opt-outs say; a column that this server does not show (an admin can hide it) is no place."""
    return [
        Consent(channel, "", "withdrawn" if str(row[column]).casefold() in _ON else "unknown")
        for channel, column in module.flags.items()
        if row.get(column) is not None
    ]


def said(wanted: Iterable[Consent], module: Module) -> Columns:
    """The columns that say so; what is about one address has no place of its own here."""
    flags = {c.channel: "1" if c.state == "withdrawn" else "0" for c in wanted if not c.address}
    return {module.flags[channel]: flag for channel, flag in flags.items() if channel in module.flags}


_ON: Final = ("1", "on", "yes", "true")


def version(row: Row, shown: Card, module: Module) -> str:
    """What we call a row's state: `modifiedtime` steps by a second, so a digest of what it shows goes with it."""
    flags = [str(row.get(column)) for column in module.flags.values()]
    return f"{row.get('modifiedtime')}/{digest({'card': shown, 'flags': flags})[:10]}"


def key(row: Row) -> str | None:
    """Our key, where the row carries it."""
    source = _text(row, "source")
    return source.removeprefix(KEY_PREFIX) if source.startswith(KEY_PREFIX) else None


# --- projecting --------------------------------------------------------------------------------------------------


def module_of(card: Card | None, default: Module) -> Module:
    """Which module a view came from, as its slots tell; the default where it has none that tells."""
    slots = {element[SLOT] for _, element in elements(card or {})}
    for module, other in ((LEADS, CONTACTS), (CONTACTS, LEADS)):
        if slots & {place.slot for place in module.places} - {place.slot for place in other.places}:
            return module
    return default


def elements(card: Card) -> Iterator[tuple[str, Element]]:
    """(field, element) of every element that stands in a slot."""
    for card_field, value in card.items():
        if isinstance(value, Mapping):
            for element in value.values():
                if isinstance(element, Mapping) and SLOT in element:
                    yield card_field, element


def fit(card: Card, held: Card | None, module: Module) -> Card:
    """What a row would show if the card were written over `held`."""
    standing = columns(held or {}, module)
    fitted: dict[str, Any] = {}
    name = _fit_name(card, standing)
    if name:
        fitted["name"] = name
    for card_field, places in module.fields.items():
        found = card.get(card_field)
        if not found:
            continue
        settled = _settle(found, (held or {}).get(card_field) or {}, places)
        shown = {
            key: element
            for key, place in settled.items()
            if (element := place.read(_stored(place.write(found[key]), standing))) is not None
        }
        if shown:
            fitted[card_field] = shown
    return fitted


def _fit_name(card: Card, standing: Columns) -> dict[str, Any]:
    name = card.get("name") or {}
    stored = _stored({column: part(name, kind) for kind, column in NAME.items()}, standing)
    if not stored[MANDATORY]:
        # Whoever has only a given name gets it as surname, so that nobody reads it twice.
        found = (storable(text, MANDATORY) for text in _names(card))
        stored[MANDATORY] = next(filter(None, found), "")
        stored[NAME["given"]] = ""
    parts = {kind: stored[column] for kind, column in NAME.items()}
    return {"components": components(parts)} if any(parts.values()) else {}


def _names(card: Card) -> Iterator[str]:
    """What a person may be called by, the best first. A title is no name."""
    name = card.get("name") or {}
    yield part(name, "given")
    yield full_name({"name": {**name, "components": [c for c in name.get("components") or () if c["kind"] != "title"]}})
    for card_field in ("nicknames", "organizations", "emails", "phones"):
        yield full_name({card_field: card.get(card_field) or {}})


def _settle(found: Mapping[str, Element], held: Mapping[str, Element], places: tuple[Place, ...]) -> dict[str, Place]:
    """Which element stands where. What stands in a place stays while that place is still true of it; the others take
    what is free, the preferred first."""
    shelf = {place.slot: place for place in places}
    settled: dict[str, Place] = {}
    wanted = {key: element for key, element in found.items() if _holdable(element, places)}
    for source in (wanted, held):
        for key, element in wanted.items():
            place = shelf.get((source.get(key) or {}).get(SLOT, ""))
            if place and key not in settled and place not in settled.values() and _may_stay(place, element):
                settled[key] = place
    for key in sorted(wanted, key=lambda k: wanted[k].get("pref") or 100):
        if key not in settled:
            free = (place for place in _candidates(wanted[key], places) if place not in settled.values())
            place = next(free, None)
            if place:
                settled[key] = place
    return settled


def _holdable(element: Element, places: tuple[Place, ...]) -> bool:
    """Is there anything of this element that a column could show?"""
    place = places[0]
    if place.marks.get("kind") and element.get("kind") != place.marks["kind"]:
        return False
    return place.read(_stored(place.write(element), {})) is not None


def _says(element: Element) -> list[str]:
    """What a phone says of itself, in the words of the places; the strongest first."""
    features, contexts = element.get("features") or {}, element.get("contexts") or {}
    if features.get("fax"):
        return ["fax"]
    if str(element.get("label") or "").casefold() == "assistant":
        return ["assistant"]
    words = ("mobile", "pager", "work", "private")
    return [word for word in words if features.get(word) or contexts.get(word)]


def _may_stay(place: Place, element: Element) -> bool:
    """Does the place say nothing that the element contradicts?"""
    if place.field != "phones":
        return True
    says = _says(element)
    if not says:
        return True
    return place.says in says or (not place.says and says[0] not in ("fax", "assistant"))


def _candidates(element: Element, places: tuple[Place, ...]) -> list[Place]:
    """The places for a newcomer, best first. A number that says nothing is not called mobile or private."""
    if places[0].field != "phones":
        return list(places)
    says = _says(element)
    own = [place for word in says for place in places if place.says == word]
    if says and says[0] in ("fax", "assistant"):
        return own
    spare = [place for word in ("", *([] if says else ["work"])) for place in places if place.says == word]
    return own + spare


_ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));")
_ASTRAL: Final = re.compile("[\u200d\ufe0f]*[\U00010000-\U0010ffff][\u200d\ufe0f]*")


def _stored(written: Columns, standing: Columns) -> Columns:
    """What the columns will show. A text that stands there already is shown as it stands."""
    return {
        column: text if text == standing.get(column) else storable(text, column) for column, text in written.items()
    }


def storable(text: str, column: str) -> str:
    """The part of a text that a column keeps.

    Entities are decoded on read (vtiger note A3), so they are sent decoded; characters beyond the basic plane become
    "????" in a utf8mb3 database (transcript 03, "create full"), so they are left out; the rest is cut (`LIMITS`).
    Of a text that leads somewhere (`EXACT`) it is all or nothing.
    """
    kept, lost = text, 0
    while True:
        # One entity may hide another (&amp;lt;), and what is left out may make one.
        plain, count = _ASTRAL.subn("", _ENTITY.sub(_character, kept))
        lost += count
        if plain == kept:
            break
        kept = plain
    kept = (kept.strip() if lost else kept)[: LIMITS.get(column)]
    return kept if kept.strip() and (kept == text or column not in EXACT) else ""


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else name2codepoint.get(name, 0)
    return chr(code) if 31 < code < 0xD800 or 0xDFFF < code < 0x110000 else match.group()


# --- writing -----------------------------------------------------------------------------------------------------


def columns(card: Card, module: Module) -> Columns:
    """All columns of a view, blank where it says nothing. Elements stand where their slot says."""
    written = dict.fromkeys(module.columns, "")
    name = card.get("name") or {}
    written |= {column: part(name, kind) for kind, column in NAME.items()}
    for card_field, element in elements(card):
        place = module.slots.get(element[SLOT])
        if place is not None and place.field == card_field:
            written |= place.write(element)
    return written


def difference(card: Card, held: Card, module: Module) -> Columns:
    """The columns that must be written to turn `held` into `card`; "" clears."""
    before = columns(held, module)
    return {column: text for column, text in columns(card, module).items() if text != before[column]}
