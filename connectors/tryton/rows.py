"""A contact mechanism or an address of Tryton, and an element of our card. Pure.

Of each, one function reads a row as an element and one writes an element as a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import phonenumbers

from connectors.card import LINES, VALUE, Element, components, part

Row = Mapping[str, Any]
Columns = dict[str, Any]

ERASED: Final = "****"
"""What the wizard `party.erase` leaves of a value."""
PARTS: Final = ("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number")
OTHERS: Final = ("private_bag", "post_office")
COUNTRY, SUBDIVISION = "country", "subdivision"


# --- text -----------------------------------------------------------------------------------------------------------

_BREAKS: Final = re.compile(r"[\t\n\r\x0b\x0c]+")
"""What no Char field takes (fields/char.py, `forbidden_chars`)."""


def line_of(value: Any) -> str:
    """A text as a Char field takes and keeps it."""
    return _BREAKS.sub(" ", value).strip() if isinstance(value, str) else ""


def text_of(row: Row, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) and value.strip() else ""


# --- contact mechanisms ---------------------------------------------------------------------------------------------

_SERVICES: Final = {"skype": "Skype", "sip": "SIP", "irc": "IRC", "jabber": "Jabber"}
_SERVICE_OF: Final = {**{name.casefold(): word for word, name in _SERVICES.items()}, "xmpp": "jabber"}
_NUMBERS: Final = {"phone": "Phone", "mobile": "Mobile", "fax": "Fax"}
_NUMBER_OF: Final = {name.casefold(): word for word, name in _NUMBERS.items()}
_NAMED_NUMBER: Final = re.compile(rf"({'|'.join(_NUMBERS.values())})(?:: (.+))?", re.IGNORECASE)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:\S+", re.IGNORECASE)


def callable_number(number: str) -> bool:
    """Does Tryton take it for a telephone number? It refuses others for the types phone, mobile and fax, where it has
    the library `phonenumbers` (contact_mechanism.py, `check_valid_phonenumber`)."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False


def mechanism(row: Row) -> tuple[str, Element] | None:
    """The card's field and element that a contact mechanism shows; None where it shows nothing.

    A number that Tryton would not take as one stands there as `other`, with a name that says what it is.
    """
    value, kind, name = text_of(row, "value"), str(row.get("type") or ""), text_of(row, "name")
    if not value or value == ERASED:
        return None
    named = _NAMED_NUMBER.fullmatch(name) if kind == "other" else None
    if named:
        kind, name = _NUMBER_OF[named[1].casefold()], named[2] or ""
    label = {"label": name} if name else {}
    if kind in _NUMBERS:
        features = {} if kind == "phone" else {"features": {kind: True}}
        return "phones", {"number": value, **features, **label}
    if kind == "email":
        return "emails", {"address": value, **label}
    if kind == "website":
        return "links", {"uri": value, **label}
    said = {"uri" if _URI.fullmatch(value) else "user": value}
    if kind in _SERVICES:
        return "onlineServices", {"service": _SERVICES[kind], **said, **label}
    return "onlineServices", {**({"service": name} if name else {}), **said}


def mechanism_columns(field: str, element: Element) -> Columns | None:
    """The contact mechanism that shows an element; None where there is none."""
    value, label = line_of(element.get(VALUE[field])), line_of(element.get("label")) or None
    if field == "onlineServices":
        value = value or line_of(element.get("uri"))
    if not value or value == ERASED:
        return None
    if field == "phones":
        return _number_columns(element, value, label)
    if field != "onlineServices":
        return {"type": "email" if field == "emails" else "website", "value": value, "name": label}
    service = line_of(element.get("service"))
    known = _SERVICE_OF.get(service.casefold())
    if known:
        return {"type": known, "value": value, "name": label}
    if _NAMED_NUMBER.fullmatch(service):
        return None  # it would come back as a telephone number
    return {"type": "other", "value": value, "name": service or None}


def _number_columns(element: Element, value: str, label: str | None) -> Columns:
    features = element.get("features") or {}
    kind = next((kind for kind in ("fax", "mobile") if features.get(kind)), "phone")
    if callable_number(value):
        return {"type": kind, "value": value, "name": label}
    return {"type": "other", "value": value, "name": f"{_NUMBERS[kind]}: {label}" if label else _NUMBERS[kind]}


# --- addresses ------------------------------------------------------------------------------------------------------


def address(row: Row) -> Element | None:
    """The element that an address shows; None for a blank one, which Tryton's own form makes of itself.

    Without a post box the street is as Tryton formats it for the country; with one, which would be part of that text,
    the parts are joined.
    """
    found: dict[str, Any] = {}
    lines = text_of(row, "street")
    if text_of(row, "post_box"):
        written = [text_of(row, column).strip() for column in (*PARTS, *OTHERS)]
        lines = " ".join(filter(None, written)) or text_of(row, "street_unstructured")
    country, subdivision = row.get("country.") or {}, row.get("subdivision.") or {}
    parts = {
        "postOfficeBox": text_of(row, "post_box"),
        "locality": text_of(row, "city"),
        "region": text_of(subdivision, "name"),
        "postcode": text_of(row, "postal_code"),
        "country": text_of(country, "name"),
    }
    if lines:
        found[LINES] = lines
    if any(parts.values()):
        found["components"] = components(parts)
    if text_of(country, "code"):
        found["countryCode"] = country["code"]
    return found or None


def written_address(element: Element) -> Element | None:
    """The address as Tryton holds it, if it knows the country and the region.

    A region is a record of its country's. Next to a post box the street is one line (`address_columns`).
    """
    box = line_of(part(element, "postOfficeBox"))
    lines = element.get(LINES) or ""
    if not lines and not element.get("components"):
        lines = element.get("full") or ""
    lines = _BREAKS.sub(", ", lines.strip()) if box else lines.strip()
    country, code = line_of(part(element, "country")), line_of(element.get("countryCode")).upper()
    parts = {
        "postOfficeBox": box,
        "locality": line_of(part(element, "locality")),
        "region": line_of(part(element, "region")) if country or code else "",
        "postcode": line_of(part(element, "postcode")),
        "country": country,
    }
    found: dict[str, Any] = {}
    if lines:
        found[LINES] = lines
    if any(parts.values()):
        found["components"] = components(parts)
    if code:
        found["countryCode"] = code
    return found or None


def address_columns(element: Element, before: Element | None = None, standing: Iterable[str] = ()) -> Columns:
    """What to write so that an address shows `element`; before: what it shows now; standing: its columns with parts of
    the street in them.

    `country` is (name, code) and `subdivision` a name: who writes them finds the records. The field `street` itself
    cannot be written while there is a part (observed: "You are not allowed to modify the field"), so it never is.
    """
    before = before or {}
    found: Columns = {}
    for column, kind in (("city", "locality"), ("postal_code", "postcode"), ("post_box", "postOfficeBox")):
        if part(element, kind) != part(before, kind):
            found[column] = part(element, kind) or None
    if _place(element) != _place(before):
        country, code = part(element, "country"), element.get("countryCode") or ""
        if country and before and code == before.get("countryCode") and country != part(before, "country"):
            code = ""  # it is the former country's
        found |= {COUNTRY: (country, code), SUBDIVISION: part(element, "region")}
    lines, box = element.get(LINES) or "", part(element, "postOfficeBox")
    parts = set(standing) - {"street_unstructured"}
    moves = "post_box" in found and bool(box) and not parts and "street_unstructured" in standing
    if lines != (before.get(LINES) or "") or moves:
        found |= dict.fromkeys(standing)
        if lines:
            found["street_name" if box else "street_unstructured"] = _BREAKS.sub(", ", lines) if box else lines
    return found


def _place(element: Element) -> tuple[str, str, str]:
    return part(element, "country"), element.get("countryCode") or "", part(element, "region")
