"""A party of Tryton and our card. Pure.

A party has one name, and lists without limit: contact mechanisms (telephones, e-mail addresses, web sites, …),
addresses, categories. An element of the view names its row by `concord:slot`, so that a write finds the row that an
element came from, and an edited row is recognised by the engine. `fit` gives no slots: a new row gets its number there.

Of each list `shown` reads a row as an element and `columns` writes an element as a row; `fit` is "written, then read".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import phonenumbers

from connectors.card import LINES, SLOT, VALUE, Card, Element, components, digest, full_name, part

Row = Mapping[str, Any]
Columns = dict[str, Any]

MECHANISMS: Final = "contact_mechanisms"
ADDRESSES: Final = "addresses"
CATEGORIES: Final = "categories"
IDENTIFIERS: Final = "identifiers"
MODELS: Final = {MECHANISMS: "party.contact_mechanism", ADDRESSES: "party.address", IDENTIFIERS: "party.identifier"}
PARTY: Final = "party.party"

FIELDS: Final = frozenset({"name", "emails", "phones", "links", "onlineServices", "addresses", "groups"})
"""What a party can hold at least in part (accounting note, field map)."""
KEY_PREFIX: Final = "concord:"
"""Our key is an identifier without a type, which no document prints: only those of tax types are (party.py,
`TAX_IDENTIFIER_TYPES`)."""
ERASED: Final = "****"
"""What the wizard `party.erase` leaves of a value."""
SEPARATOR: Final = " / "
"""Between the names of nested categories in their `rec_name` (category.py, `tree(separator=…)`)."""

PARTS: Final = ("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number")
OTHERS: Final = ("private_bag", "post_office")
COUNTRY, SUBDIVISION = "country", "subdivision"

READ: Final = (
    "name",
    "active",
    "replaced_by",
    "write_date",
    "create_date",
    "_timestamp",
    *(f"{CATEGORIES}.{column}" for column in ("rec_name", "active")),
    *(f"{IDENTIFIERS}.{column}" for column in ("code", "active", "_timestamp")),
    *(
        f"{MECHANISMS}.{column}"
        for column in ("type", "value", "name", "sequence", "active", "_timestamp", "write_date", "create_date")
    ),
    *(
        f"{ADDRESSES}.{column}"
        for column in (
            "street",
            "street_unstructured",
            *PARTS,
            "post_box",
            *OTHERS,
            "postal_code",
            "city",
            "country.code",
            "country.name",
            "subdivision.name",
            "sequence",
            "active",
            "_timestamp",
            "write_date",
            "create_date",
        )
    ),
)
"""The fields of a party that we read, with those of its lists: one request brings them all."""


# --- text -----------------------------------------------------------------------------------------------------------

_BREAKS: Final = re.compile(r"[\t\n\r\x0b\x0c]+")
"""What no Char field takes (fields/char.py, `forbidden_chars`)."""


def _line(value: Any) -> str:
    """A text as a Char field takes and keeps it."""
    return _BREAKS.sub(" ", value).strip() if isinstance(value, str) else ""


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) and value.strip() else ""


def children(row: Row, name: str) -> list[Row]:
    """The rows of one of a party's lists, without those that are archived."""
    return [child for child in row.get(name + ".") or () if child.get("active", True)]


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
    value, kind, name = _text(row, "value"), str(row.get("type") or ""), _text(row, "name")
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
    value, label = _line(element.get(VALUE[field])), _line(element.get("label")) or None
    if field == "onlineServices":
        value = value or _line(element.get("uri"))
    if not value or value == ERASED:
        return None
    if field == "phones":
        return _number_columns(element, value, label)
    if field != "onlineServices":
        return {"type": "email" if field == "emails" else "website", "value": value, "name": label}
    service = _line(element.get("service"))
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
    lines = _text(row, "street")
    if _text(row, "post_box"):
        written = [_text(row, column).strip() for column in (*PARTS, *OTHERS)]
        lines = " ".join(filter(None, written)) or _text(row, "street_unstructured")
    country, subdivision = row.get("country.") or {}, row.get("subdivision.") or {}
    parts = {
        "postOfficeBox": _text(row, "post_box"),
        "locality": _text(row, "city"),
        "region": _text(subdivision, "name"),
        "postcode": _text(row, "postal_code"),
        "country": _text(country, "name"),
    }
    if lines:
        found[LINES] = lines
    if any(parts.values()):
        found["components"] = components(parts)
    if _text(country, "code"):
        found["countryCode"] = country["code"]
    return found or None


def written_address(element: Element) -> Element | None:
    """The address as Tryton holds it, if it knows the country and the region.

    A region is a record of its country's. Next to a post box the street is one line (`address_columns`).
    """
    box = _line(part(element, "postOfficeBox"))
    lines = element.get(LINES) or ""
    if not lines and not element.get("components"):
        lines = element.get("full") or ""
    lines = _BREAKS.sub(", ", lines.strip()) if box else lines.strip()
    country, code = _line(part(element, "country")), _line(element.get("countryCode")).upper()
    parts = {
        "postOfficeBox": box,
        "locality": _line(part(element, "locality")),
        "region": _line(part(element, "region")) if country or code else "",
        "postcode": _line(part(element, "postcode")),
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


# --- reading --------------------------------------------------------------------------------------------------------


def view(row: Row) -> Card:
    """The card that a party shows."""
    card: dict[str, Any] = {}
    if _text(row, "name"):
        card["name"] = {"full": row["name"]}
    for child in children(row, MECHANISMS):
        found = mechanism(child)
        if found:
            card.setdefault(found[0], {})[str(child["id"])] = {**found[1], SLOT: str(child["id"])}
    for child in children(row, ADDRESSES):
        element = address(child)
        if element:
            card.setdefault("addresses", {})[str(child["id"])] = {**element, SLOT: str(child["id"])}
    for child in children(row, CATEGORIES):
        card.setdefault("groups", {})[str(child["id"])] = {"name": child["rec_name"]}
    return card


def memory(row: Row) -> dict[str, Any]:
    """What a later write must know of a party: the timestamps that prove it unchanged, its categories by id, the
    columns of its addresses' streets, the last place in its ordered lists."""
    stamps = {f"{PARTY},{row['id']}": row["_timestamp"]}
    for name, model in MODELS.items():
        stamps |= {f"{model},{child['id']}": child["_timestamp"] for child in children(row, name)}
    streets = {
        str(child["id"]): [c for c in ("street_unstructured", *PARTS, *OTHERS) if child.get(c)]
        for child in children(row, ADDRESSES)
    }
    last = {
        name: max(
            (child["sequence"] for child in children(row, name) if child.get("sequence") is not None), default=None
        )
        for name in (MECHANISMS, ADDRESSES)
    }
    names = {str(child["id"]): child["rec_name"] for child in children(row, CATEGORIES)}
    return {"stamps": stamps, "streets": streets, "last": last, "categories": names}


def version(row: Row, shown: Card) -> str:
    """What we call a party's state: the timestamps of all its rows and what they show; a category's name is in neither
    of the former."""
    return digest({"stamps": memory(row)["stamps"], "card": shown})


def modified(row: Row) -> datetime | None:
    """When the party or one of its rows last changed. A row's write does not move the party's (accounting note C)."""
    rows = [row, *(child for name in (MECHANISMS, ADDRESSES) for child in row.get(name + ".") or ())]
    dates = [one.get("write_date") or one.get("create_date") for one in rows]
    return max((at for at in dates if isinstance(at, datetime)), default=None)


def key(row: Row) -> str | None:
    """Our key, where the party carries it."""
    codes = (str(child.get("code") or "") for child in children(row, IDENTIFIERS))
    return next((code.removeprefix(KEY_PREFIX) for code in codes if code.startswith(KEY_PREFIX)), None)


# --- projecting -----------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None) -> Card:
    """What a party would show if the card were written over `held`."""
    fitted: dict[str, Any] = {}
    name = _line(full_name(card))
    if name:
        fitted["name"] = {"full": name}
    for field in ("emails", "phones", "links", "onlineServices"):
        _put(fitted, field, ((key, _shown(field, element)) for key, element in _preferred(card, field)))
    _put(fitted, "addresses", ((key, written_address(element)) for key, element in _preferred(card, "addresses")))
    _put(fitted, "groups", _fit_groups(card, (held or {}).get("groups") or {}))
    return fitted


def _put(fitted: dict[str, Any], field: str, elements: Iterable[tuple[str, Element | None]]) -> None:
    found = {key: element for key, element in elements if element}
    if found:
        fitted[field] = found


def _preferred(card: Card, field: str) -> list[tuple[str, Element]]:
    """The elements, the preferred ones first: the first of a kind is Tryton's default."""
    return sorted((card.get(field) or {}).items(), key=lambda item: item[1].get("pref") or 100)


def _shown(field: str, element: Element) -> Element | None:
    columns = mechanism_columns(field, element)
    found = mechanism(columns) if columns else None
    return found[1] if found and found[0] == field else None


def _fit_groups(card: Card, held: Mapping[str, Element]) -> Iterator[tuple[str, Element]]:
    """Names that differ only by letter case are one category; the one that is held stays."""
    groups = card.get("groups") or {}
    taken: set[str] = set()
    for key in sorted(groups, key=lambda key: key not in held):
        name = category_name(groups[key].get("name") or "")
        if name and name.casefold() not in taken:
            taken.add(name.casefold())
            yield key, {"name": name}


def category_name(name: str) -> str:
    """The name of a nested category: its and its parents' names, each as a Char field keeps it."""
    return SEPARATOR.join(filter(None, (_line(one) for one in _line(name).split(SEPARATOR))))


# --- writing --------------------------------------------------------------------------------------------------------


def creation(card: Card, key: str) -> Columns:
    """The columns of a new party, `categories` as names and places by name."""
    found: Columns = {"name": (card.get("name") or {}).get("full") or None}
    found[IDENTIFIERS] = [["create", [{"type": None, "code": KEY_PREFIX + key}]]]
    return {**found, **_lists(card, {}, {})}


def difference(card: Card, held: Card, remembered: Mapping[str, Any]) -> Columns:
    """The columns that differ between what a party shows and what it shall show, and no more."""
    found: Columns = {}
    before, after = ((one.get("name") or {}).get("full") or None for one in (held, card))
    if before != after:
        found["name"] = after
    return {**found, **_lists(card, held, remembered)}


def blank(row: Row) -> Columns:
    """What takes everything personal out of an archived party, as the wizard does (party.py, `Erase`)."""
    erased = {
        MECHANISMS: {"type": "other", "value": ERASED, "name": None, "comment": None, "active": False},
        ADDRESSES: {
            **dict.fromkeys(("party_name", "attn", "street_unstructured", *PARTS, "post_box", *OTHERS)),
            **dict.fromkeys(("postal_code", "city", COUNTRY, SUBDIVISION)),
            "active": False,
        },
        IDENTIFIERS: {"type": None, "code": ERASED, "active": False},
    }
    found: Columns = {"name": None}
    for name, columns in erased.items():
        ids = [child["id"] for child in row.get(name + ".") or ()]
        if ids:
            found[name] = [["write", ids, columns]]
    return found


def _lists(card: Card, held: Card, remembered: Mapping[str, Any]) -> Columns:
    found: Columns = {}
    last = remembered.get("last") or {}
    mechanisms: list[list[Any]] = []
    made: list[Columns] = []
    for field in ("emails", "phones", "links", "onlineServices"):
        changes, new = _mechanisms(field, card.get(field) or {}, held.get(field) or {})
        mechanisms += changes
        made += new
    _add(found, MECHANISMS, mechanisms, made, last.get(MECHANISMS))
    changes, made = _addresses(card, held, remembered.get("streets") or {})
    _add(found, ADDRESSES, changes, made, last.get(ADDRESSES))
    joined, left = _groups(card, held)
    if joined or left:
        found[CATEGORIES] = (joined, left)
    return found


def _add(found: Columns, name: str, changes: list[list[Any]], made: list[Columns], last: int | None) -> None:
    """New rows come after those that a human put in order: without a number they would come first, as the default."""
    if made and last is not None:
        made = [{**columns, "sequence": last + n} for n, columns in enumerate(made, 1)]
    if changes or made:
        found[name] = [*changes, *([["create", made]] if made else [])]


def _gone(elements: Mapping[str, Element], held: Mapping[str, Element]) -> list[list[Any]]:
    left = {element.get(SLOT) for element in elements.values()}
    gone = [int(element[SLOT]) for element in held.values() if element.get(SLOT) and element[SLOT] not in left]
    return [["delete", gone]] if gone else []


def _by_row(held: Mapping[str, Element]) -> dict[str, Element]:
    return {element[SLOT]: element for element in held.values() if element.get(SLOT)}


def _mechanisms(
    field: str, elements: Mapping[str, Element], held: Mapping[str, Element]
) -> tuple[list[list[Any]], list[Columns]]:
    """What to do to the rows of one field, and the new rows."""
    changes, made, rows = _gone(elements, held), [], _by_row(held)
    for element in elements.values():
        columns = mechanism_columns(field, element)
        if columns is None:
            continue
        row = rows.get(element.get(SLOT) or "")
        if row is None:
            made.append({column: value for column, value in columns.items() if value})
            continue
        standing = mechanism_columns(field, row) or {}
        change = {column: value for column, value in columns.items() if value != standing.get(column)}
        if change:
            changes.append(["write", [int(element[SLOT])], change])
    return changes, made


def _addresses(card: Card, held: Card, streets: Mapping[str, list[str]]) -> tuple[list[list[Any]], list[Columns]]:
    elements, rows = card.get("addresses") or {}, _by_row(held.get("addresses") or {})
    changes, made = _gone(elements, held.get("addresses") or {}), []
    for element in elements.values():
        slot = element.get(SLOT) or ""
        columns = address_columns(element, rows.get(slot), streets.get(slot, ()))
        if slot not in rows:
            made.append({column: value for column, value in columns.items() if value})
        elif columns:
            changes.append(["write", [int(slot)], columns])
    return changes, made


def _groups(card: Card, held: Card) -> tuple[list[str], list[str]]:
    """The names of the categories to join and to leave."""
    before, after = (
        {
            element["name"].casefold(): element["name"]
            for element in (one.get("groups") or {}).values()
            if element.get("name")
        }
        for one in (held, card)
    )
    return [after[name] for name in after if name not in before], [before[name] for name in before if name not in after]
