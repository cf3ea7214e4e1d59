"""SugarCRM's columns of a person, what they hold, and which part of a card stands where. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, SLOT, Element, components, part

Row = Mapping[str, Any]
Columns = dict[str, str]

ORGANIZATION: Final = "account_name"
"""The column with the organisation's name. Of a contact it is read only: its link to an account is written instead."""
LISTS: Final = "concord:lists"
"""The pseudo-column with the target lists."""
EXEMPT: Final = "exempt"
"""What the types of those target lists begin with that say who is not to be mailed: they are no groups."""
MANDATORY: Final = "last_name"
MODULES: Final = ("Contacts", "Leads")

NAME: Final = {"title": "salutation", "given": "first_name", "surname": "last_name"}
PHONES: Final = ("phone_work", "phone_mobile", "phone_home", "phone_other", "phone_fax")

LIMITS: Final[Mapping[str, int]] = {
    "salutation": 255,
    "first_name": 100,
    "last_name": 100,
    "title": 100,
    "department": 255,
    ORGANIZATION: 150,
    **dict.fromkeys(PHONES, 100),
    **{
        f"{kind}_address_{name}": length
        for kind in ("primary", "alt")
        for name, length in {"street": 150, "city": 100, "state": 100, "postalcode": 20, "country": 255}.items()
    },
    "email": 255,
    "tag": 255,
    LISTS: 50,
}
"""Lengths of the columns, characters (note, field map; vardefs of SuiteCRM 7.14). Longer text is cut."""
TEXT_BYTES: Final = 65_535
"""What `description` holds, bytes of UTF-8 (a column of type TEXT)."""
EXACT: Final = frozenset({*PHONES, "email", "tag", LISTS})
"""Texts of which half would be something else: all or nothing."""

Keeps = Callable[[str, str], str]
"""(column, text) -> what a protocol keeps of a text sent to that column, as it will be shown."""


def _all(column: str, text: str) -> str:
    return text


_ASTRAL: Final = re.compile("[\u200d\ufe0f]*[\U00010000-\U0010ffff][\u200d\ufe0f]*")


def no_emoji(column: str, text: str) -> str:
    """The text without four-byte characters: they come back as "????" (note B)."""
    kept, lost = _ASTRAL.subn("", text)
    return kept.strip() if lost else kept


@dataclass(frozen=True)
class Dialect:
    """What one protocol can hold of a card. tags: there are any. keeps: see `Keeps`."""

    tags: bool = True
    keeps: Keeps = _all

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the card that can be held at least in part."""
        listed = {"name", "emails", "groups", *FIELDS}
        return frozenset(listed | {"keywords"} if self.tags else listed)


# --- places --------------------------------------------------------------------------------------------------


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
            value = text(row, column)
            if prop == "date":
                found |= _date(value)
            elif not value:
                continue
            elif prop in ADDRESS_KINDS:
                parts[prop] = value
            else:
                found[prop] = [{"name": value}] if prop == "units" else value
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


def text(row: Row, column: str) -> str:
    """A column's text; "" where there is none or only blanks."""
    value = row.get(column)
    return value if isinstance(value, str) and value.strip() else ""


def flag(value: Any) -> bool:
    """A boolean in any of the ways in which SugarCRM writes one (note A3)."""
    return value in (True, 1) or str(value).casefold() in ("1", "true", "on", "yes")


def _date(value: str) -> dict[str, Any]:
    """A full date; a blank or impossible one ("0000-00-00") is none."""
    match = re.match(r"(\d{4})-(\d\d)-(\d\d)(?!\d)", value)
    if not match:
        return {}
    year, month, day = map(int, match.groups())
    return {"date": {"year": year, "month": month, "day": day}} if month and day else {}


def _iso(value: Mapping[str, Any]) -> str:
    """YYYY-MM-DD of a full date of a year that MySQL has; "" for any other (note, field map: full only)."""
    try:
        day = date(value["year"], value["month"], value["day"])
    except (KeyError, TypeError, ValueError):
        return ""
    return day.isoformat() if day.year >= 1000 else ""


def _phone(column: str, says: str, marks: Mapping[str, Any]) -> Place:
    return Place("phones", column, {"number": column}, marks, says)


def _address(kind: str) -> Place:
    names = {LINES: "street", "locality": "city", "region": "state", "postcode": "postalcode", "country": "country"}
    return Place("addresses", f"{kind}_address", {prop: f"{kind}_address_{name}" for prop, name in names.items()})


PLACES: Final = (
    Place("organizations", ORGANIZATION, {"name": ORGANIZATION, "units": "department"}),
    Place("titles", "title", {"name": "title"}),
    _phone("phone_mobile", "mobile", {"features": {"mobile": True}}),
    _phone("phone_work", "work", {"contexts": {"work": True}}),
    _phone("phone_home", "private", {"contexts": {"private": True}}),
    _phone("phone_other", "", {}),
    _phone("phone_fax", "fax", {"features": {"fax": True}}),
    _address("primary"),
    _address("alt"),
    Place("anniversaries", "birthdate", {"date": "birthdate"}, {"kind": "birth"}),
    Place("notes", "description", {"note": "description"}),
)
FIELDS: Final[Mapping[str, tuple[Place, ...]]] = {
    name: tuple(place for place in PLACES if place.field == name)
    for name in dict.fromkeys(place.field for place in PLACES)
}
SLOTS: Final = {place.slot: place for place in PLACES}
COLUMNS: Final = (*NAME.values(), *dict.fromkeys(column for place in PLACES for column in place.columns.values()))
"""The columns with text that we read and write."""


def storable(column: str, value: str, dialect: Dialect) -> str:
    """The part of a text that a column keeps; of a text that leads somewhere (`EXACT`) all or nothing."""
    kept = _cut(column, dialect.keeps(column, value))
    while (again := _cut(column, dialect.keeps(column, kept))) != kept:
        kept = again
    return kept if kept.strip() and (kept == value or column not in EXACT) else ""


def _cut(column: str, value: str) -> str:
    if column == "description":
        return value if len(value) * 4 <= TEXT_BYTES else value.encode()[:TEXT_BYTES].decode(errors="ignore")
    return value[: LIMITS.get(column)]
