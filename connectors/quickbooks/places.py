"""Where what stands in a customer or vendor: its properties, their lengths, and the places for elements. Pure.

Sources: "note" is the accounting note, part B; "Intuit" is Intuit's reference page of Customer.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from connectors.card import LINES, SLOT, Card, Element, components, part

Row = Mapping[str, Any]
Columns = dict[str, Any]
"""{property: text}; of an address {property: {line or part: text}}. Blank: empty there."""

NAME: Final = {"title": "Title", "given": "GivenName", "given2": "MiddleName", "surname": "FamilyName"}
SUFFIX: Final = "Suffix"
DISPLAY: Final = "DisplayName"
COMPANY: Final = "CompanyName"
EMAIL: Final = "PrimaryEmailAddr"
LINE_NAMES: Final = tuple(f"Line{n}" for n in range(1, 6))
PARTS: Final = {
    "locality": "City",
    "region": "CountrySubDivisionCode",
    "postcode": "PostalCode",
    "country": "Country",
}
INNER: Final = {
    EMAIL: "Address",
    **dict.fromkeys(("PrimaryPhone", "AlternatePhone", "Mobile", "Fax"), "FreeFormNumber"),
    "WebAddr": "URI",
}
"""Properties that are objects with one text in them."""

LIMITS: Final[Mapping[str, int]] = {
    DISPLAY: 500,
    "Title": 16,
    "GivenName": 100,
    "MiddleName": 100,
    "FamilyName": 100,
    SUFFIX: 16,
    COMPANY: 100,
    EMAIL: 100,
    **dict.fromkeys(("PrimaryPhone", "AlternatePhone", "Mobile", "Fax"), 30),
    "WebAddr": 1000,
    "Notes": 2000,
    **dict.fromkeys(LINE_NAMES, 500),
    **dict.fromkeys(("City", "CountrySubDivisionCode", "Country"), 255),
    "PostalCode": 30,
}
"""Most characters of a property (Intuit; e-mail and phones: note; parts of an address: general knowledge). Longer text
is refused there, so it is cut here."""
EXACT: Final = frozenset({"Title", SUFFIX, EMAIL, *INNER, *LINE_NAMES, "PostalCode"})
"""Properties of which half would be wrong: they hold the whole text or none."""
NO_COLON: Final = frozenset({DISPLAY, *NAME.values(), SUFFIX})
"""Properties without colon, tab and line break (Intuit: "Business Rules")."""

GENERATIONS: Final = frozenset({"jr", "sr", "junior", "senior", "i", "ii", "iii", "iv", "v", "vi", "2nd", "3rd", "4th"})
"""Words of a Suffix that tell generations apart; all others are credentials."""

URL: Final = re.compile(r"https?://[^\s/]+\.[^\s]+")
ADDRESS: Final = re.compile(r"[^\s,;@]+@[^\s,;@]+\.[^\s,;@]+")
_ASTRAL: Final = re.compile("[\u200d\ufe0f]*[\U00010000-\U0010ffff][\u200d\ufe0f]*")


# --- the places ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Room for one element: a property of the record. says: the word for it among `_says`. marks: what the view says of
    an element because it stands here."""

    field: str
    column: str
    slot: str
    says: str = ""
    marks: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def read(self, value: Any) -> Element | None:
        """The element that such a column shows, or None."""
        found = _address(value) if self.field == "addresses" else _said(_PROPERTY[self.field], value)
        return {**found, **self.marks, SLOT: self.slot} if found else None

    def write(self, element: Element) -> Any:
        """The column of an element that stands here, as its text is."""
        if self.field == "addresses":
            return _lines_and_parts(element)
        return str(element.get(_PROPERTY[self.field]) or "").strip()


def _said(prop: str, text: str) -> dict[str, Any]:
    return {prop: text} if text else {}


_PROPERTY: Final = {"organizations": "name", "phones": "number", "links": "uri", "notes": "note"}


@dataclass(frozen=True)
class Kind:
    """Customer or Vendor. Slots of vendors begin with "Vendor/", so that a view tells which it is of."""

    name: str
    prefix: str
    addresses: tuple[str, ...]
    notes: bool

    @cached_property
    def places(self) -> Mapping[str, tuple[Place, ...]]:
        """The places by the card's field, without e-mail: that is one list."""
        delivery = {"contexts": {"delivery": True}}
        found = [
            self._place("organizations", COMPANY),
            self._place("phones", "PrimaryPhone"),
            self._place("phones", "AlternatePhone"),
            self._place("phones", "Mobile", "mobile", {"features": {"mobile": True}}),
            self._place("phones", "Fax", "fax", {"features": {"fax": True}}),
            self._place("addresses", "BillAddr"),
            self._place("links", "WebAddr"),
        ]
        if "ShipAddr" in self.addresses:
            found.append(self._place("addresses", "ShipAddr", "delivery", delivery))
        if self.notes:
            found.append(self._place("notes", "Notes"))
        names = dict.fromkeys(place.field for place in found)
        return {name: tuple(place for place in found if place.field == name) for name in names}

    def _place(self, name: str, column: str, says: str = "", marks: Mapping[str, Any] | None = None) -> Place:
        return Place(name, column, self.prefix + column, says, marks or {})

    @property
    def fields(self) -> frozenset[str]:
        """The card's fields that it holds."""
        return frozenset({"name", "emails", *self.places})


CUSTOMER: Final = Kind("Customer", "", ("BillAddr", "ShipAddr"), True)
VENDOR: Final = Kind("Vendor", "Vendor/", ("BillAddr",), False)
KINDS: Final = {kind.name: kind for kind in (CUSTOMER, VENDOR)}


def kind_of(card: Card | None, default: Kind) -> Kind:
    """Whose view this is, as its slots tell; the default where none stands in a slot."""
    for value in (card or {}).values():
        for element in value.values() if isinstance(value, Mapping) else ():
            if isinstance(element, Mapping) and SLOT in element:
                return VENDOR if str(element[SLOT]).startswith(VENDOR.prefix) else CUSTOMER
    return default


def _address(columns: Mapping[str, str]) -> dict[str, Any]:
    lines = "\n".join(filter(None, (columns.get(name, "") for name in LINE_NAMES)))
    parts = components({kind: columns.get(column, "") for kind, column in PARTS.items()})
    return {**({LINES: lines} if lines else {}), **({"components": parts} if parts else {})}


def _lines_and_parts(element: Element) -> dict[str, str]:
    """The columns of an address. Lines beyond the fifth are put into it; a post office box has no column, so an address
    that is nothing else has none either."""
    text = str(element.get(LINES) or ("" if element.get("components") else element.get("full")) or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines and part(element, "postOfficeBox"):
        return dict.fromkeys((*LINE_NAMES, *PARTS.values()), "")
    if len(lines) > len(LINE_NAMES):
        lines = [*lines[:4], ", ".join(lines[4:])]
    written = dict.fromkeys(LINE_NAMES, "") | dict(zip(LINE_NAMES, lines, strict=False))
    return written | {column: part(element, kind) for kind, column in PARTS.items()}


# --- texts -----------------------------------------------------------------------------------------------------------


def storable(text: str, column: str) -> str:
    """The part of a text that a property keeps. Characters beyond the basic plane (emoji) are refused there."""
    kept = _ASTRAL.sub("", text)
    if column != "Notes":
        kept = re.sub(r"\s*[:\t\r\n]+\s*" if column in NO_COLON else r"\s*[\t\r\n]+\s*", " ", kept)
    kept = kept.strip()
    limit = LIMITS[column]
    if column in EXACT:
        return kept if len(kept) <= limit else ""
    return kept[:limit].rstrip()


def is_address(text: str) -> bool:
    """Is this one e-mail address that QuickBooks takes?"""
    return bool(ADDRESS.fullmatch(text)) and storable(text, EMAIL) == text
