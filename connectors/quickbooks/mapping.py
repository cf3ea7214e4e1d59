"""A Customer or Vendor of QuickBooks Online and our card. Pure.

Reading (`view`), projecting (`fit`) and writing (`change`) go through the same table of places, so that what we project
is what QuickBooks will show: `fit` is "written, cut, then read".

The name is what the parts say (Title, GivenName, MiddleName, FamilyName, Suffix). DisplayName is QuickBooks' own label
of the record: unique among all customers, vendors and employees, and often a company's name or a bookkeeper's order of
words. Only a record without any part is called by it (`name/full`). What makes it unique (`numbered`) is never shown.

Sources: "note" is the accounting note, part B; "Intuit" is Intuit's reference page of Customer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from connectors.card import LINES, SLOT, Card, Element, components, full_name, part

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


# --- reading ---------------------------------------------------------------------------------------------------------


def view(row: Row, kind: Kind) -> Card:
    """The card that a record shows. Element ids are the properties' names; of e-mail addresses their positions."""
    columns = read(row, kind)
    card: dict[str, Any] = {}
    name = _name(columns) or ({"full": label(row)} if label(row) else {})
    if name:
        card["name"] = name
    emails = _emails([text for text in re.split(r"[,;]", columns[EMAIL]) if text.strip()], kind)
    if emails:
        card["emails"] = emails
    for name_, places in kind.places.items():
        shown = {place.column: element for place in places if (element := place.read(columns[place.column]))}
        if shown:
            card[name_] = shown
    if "ShipAddr" in kind.addresses and _same_place(row):
        del card["addresses"]["ShipAddr"]
    return card


def read(row: Row, kind: Kind) -> Columns:
    """The columns of a record as QuickBooks gives it."""
    found: Columns = {column: _text(row, column) for column in (*NAME.values(), SUFFIX, COMPANY)}
    for column, inner in INNER.items():
        found[column] = _text(row.get(column) or {}, inner)
    for column in kind.addresses:
        found[column] = _address_columns(row.get(column) or {})
    if kind.notes:
        found["Notes"] = _text(row, "Notes")
    return found


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""


def _address_columns(row: Row) -> dict[str, str]:
    return {column: _text(row, column) for column in (*LINE_NAMES, *PARTS.values())}


def _same_place(row: Row) -> bool:
    """Does it ship to where it bills? QuickBooks then gives the address twice (Intuit: Customer 29); it is one."""
    bill, ship = (_address_columns(row.get(column) or {}) for column in ("BillAddr", "ShipAddr"))
    return bill == ship and any(bill.values())


def _address(columns: Mapping[str, str]) -> dict[str, Any]:
    lines = "\n".join(filter(None, (columns.get(name, "") for name in LINE_NAMES)))
    parts = components({kind: columns.get(column, "") for kind, column in PARTS.items()})
    return {**({LINES: lines} if lines else {}), **({"components": parts} if parts else {})}


def _name(columns: Columns) -> dict[str, Any]:
    parts = {kind: columns[column] for kind, column in NAME.items()}
    words = columns[SUFFIX].replace(",", " ").split()
    end = next((n for n, word in enumerate(words) if word.rstrip(".").casefold() not in GENERATIONS), len(words))
    parts |= {"generation": " ".join(words[:end]), "credential": " ".join(words[end:])}
    return {"components": components(parts)} if any(parts.values()) else {}


def _emails(addresses: list[str], kind: Kind) -> dict[str, Any]:
    """One property may hold several addresses, separated by commas: each is shown, the first one in the slot."""
    shown: dict[str, Any] = {str(n): {"address": text.strip()} for n, text in enumerate(addresses, 1)}
    if shown:
        shown["1"][SLOT] = kind.prefix + EMAIL
    return shown


def label(row: Row) -> str:
    """DisplayName without what only makes it unique, and without the mark of an inactive record (note: "(deleted)")."""
    return re.sub(r"(?: ~[0-9a-f]{4,12}| \(deleted\))+\Z", "", _text(row, DISPLAY))


def numbered(text: str, key: str, attempt: int) -> str:
    """A DisplayName with a mark that makes it unique: attempt 0 has none, then 4, 8, 12 digits. They come from our key
    alone, so a create that is repeated, or looked for, has the same names. The sign ~ is among those that QuickBooks
    takes everywhere, and nobody ends a name so."""
    mark = f" ~{hashlib.sha256(key.encode()).hexdigest()[: 4 * attempt]}" if attempt else ""
    return text[: LIMITS[DISPLAY] - len(mark)].rstrip() + mark


ATTEMPTS: Final = 4


# --- projecting ------------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None, kind: Kind) -> Card:
    """What a record would show if the card were written over `held`."""
    standing = columns(held or {}, kind)
    fitted: dict[str, Any] = {}
    name = _fit_name(card)
    if name:
        fitted["name"] = name
    emails = _fit_emails(card.get("emails") or {}, (held or {}).get("emails") or {}, kind)
    if emails:
        fitted["emails"] = emails
    for name_, places in kind.places.items():
        found = card.get(name_) or {}
        settled = _settle(found, (held or {}).get(name_) or {}, places, standing)
        shown = {}
        for key, place in settled.items():
            element = place.read(_stored(place, found[key], standing))
            if element:
                shown[key] = element
        if shown:
            fitted[name_] = _without_twin(shown) if name_ == "addresses" else shown
    return fitted


def _fit_name(card: Card) -> dict[str, Any]:
    name = card.get("name") or {}
    parts = {column: storable(part(name, kind), column) for kind, column in NAME.items()}
    shown = _name({**parts, SUFFIX: _suffix(name)})
    if shown:
        return shown
    full = next(filter(None, (storable(text, DISPLAY) for text in _names(card))), "")
    return {"full": label({DISPLAY: full})} if full else {}


def _suffix(name: Mapping[str, Any]) -> str:
    """What stands behind the name; without the credentials where both are too long."""
    both = (part(name, "generation"), part(name, "credential"))
    return storable(" ".join(filter(None, both)), SUFFIX) or storable(both[0], SUFFIX)


def _names(card: Card) -> Iterator[str]:
    """What a record without parts of a name may be called, the best first: QuickBooks wants a DisplayName."""
    yield full_name({"name": card.get("name") or {}})
    for name in ("nicknames", "organizations", "emails", "phones"):
        yield full_name({name: card.get(name) or {}})


def _fit_emails(found: Mapping[str, Element], held: Mapping[str, Element], kind: Kind) -> dict[str, Any]:
    """The addresses that stand there stay; no other joins them, for QuickBooks mails its invoices to all of them. Only
    where none stands, the preferred one is put there."""
    texts = {key: str(element.get("address") or "").strip() for key, element in found.items()}
    standing = {str(element.get("address") or "") for element in held.values()}
    good = [key for key, text in texts.items() if text and (text in standing or _is_address(text))]
    kept = [key for key in sorted(held, key=lambda key: SLOT not in held[key]) if key in good]
    chosen = kept or sorted(good, key=lambda key: found[key].get("pref") or 100)[:1]
    fitted: dict[str, Any] = {}
    for key in chosen:
        if len(",".join([*(e["address"] for e in fitted.values()), texts[key]])) <= LIMITS[EMAIL] or not fitted:
            fitted[key] = {"address": texts[key]}
    for key in list(fitted)[:1]:
        fitted[key][SLOT] = kind.prefix + EMAIL
    return fitted


def _is_address(text: str) -> bool:
    return bool(ADDRESS.fullmatch(text)) and storable(text, EMAIL) == text


def _settle(
    found: Mapping[str, Element], held: Mapping[str, Element], places: tuple[Place, ...], standing: Columns
) -> dict[str, Place]:
    """Which element stands where. What stands in a place stays while that place is still true of it; the others take
    what is free, the preferred first."""
    shelf = {place.slot: place for place in places}
    settled: dict[str, Place] = {}
    for source in (found, held):
        for key, element in found.items():
            place = shelf.get((source.get(key) or {}).get(SLOT, ""))
            free = place and key not in settled and place not in settled.values()
            if place and free and _may_stay(place, element) and place.read(_stored(place, element, standing)):
                settled[key] = place
    for key in sorted(found, key=lambda k: found[k].get("pref") or 100):
        if key not in settled:
            for place in _candidates(found[key], places):
                if place not in settled.values() and place.read(_stored(place, found[key], {})):
                    settled[key] = place
                    break
    return settled


def _says(element: Element) -> list[str]:
    """What an element says of itself, in the words of the places."""
    features, contexts = element.get("features") or {}, element.get("contexts") or {}
    return [word for word in ("fax", "mobile", "delivery") if features.get(word) or contexts.get(word)]


def _may_stay(place: Place, element: Element) -> bool:
    """Does the place say nothing that the element contradicts?"""
    says = _says(element)
    return "fax" not in says if not place.says else place.says in says or not says


def _candidates(element: Element, places: tuple[Place, ...]) -> list[Place]:
    """The places for a newcomer, best first. Where goods are sent to matters (taxes hang on it): no address becomes
    that unless it says so."""
    says = _says(element)[:1]
    own = [place for place in places if place.says in says]
    return own if says in (["fax"], ["delivery"]) else own + [place for place in places if not place.says]


def _stored(place: Place, element: Element, standing: Columns) -> Any:
    """What the column will hold. What stands there already is shown as it stands."""
    written = place.write(element)
    if written == standing.get(place.column):
        return written
    if place.field == "addresses":
        stored = {column: storable(text, column) for column, text in written.items()}
        return stored if all(stored[column] for column, text in written.items() if text.strip()) else {}
    stored_text = storable(written, place.column)
    return stored_text if place.field != "links" or URL.fullmatch(stored_text) else ""


def _without_twin(shown: dict[str, Any]) -> dict[str, Any]:
    """Without the address for deliveries where it is that for bills."""
    bill = next((_values(element) for element in shown.values() if not element.get("contexts")), None)
    return {key: e for key, e in shown.items() if not e.get("contexts") or _values(e) != bill}


def _values(element: Element) -> tuple[Any, Any]:
    return element.get(LINES), element.get("components")


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


# --- writing ---------------------------------------------------------------------------------------------------------


def columns(card: Card, kind: Kind) -> Columns:
    """All columns of a view, blank where it says nothing. Elements stand where their slot says."""
    name = card.get("name") or {}
    written: Columns = {column: part(name, part_) for part_, column in NAME.items()}
    written[SUFFIX] = " ".join(filter(None, (part(name, "generation"), part(name, "credential"))))
    emails = sorted((card.get("emails") or {}).values(), key=lambda element: SLOT not in element)
    written[EMAIL] = ",".join(str(element.get("address") or "") for element in emails)
    for name_, places in kind.places.items():
        standing = {element.get(SLOT): element for element in (card.get(name_) or {}).values()}
        for place in places:
            written[place.column] = place.write(standing.get(place.slot) or {})
    return written


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


def memory(row: Row) -> dict[str, Any]:
    """What has to be remembered of a record to change it later (`Record.raw`): its label, whether it is a sub-customer
    or job, and its addresses whole, for an address is written whole."""
    found: dict[str, Any] = {"display": _text(row, DISPLAY)}
    if row.get("Job") or row.get("ParentRef"):
        found["job"] = True
    for column in CUSTOMER.addresses:
        if row.get(column):
            found[column] = dict(row[column])
    return found


def create(card: Card, kind: Kind) -> dict[str, Any]:
    """The properties of a new record, without those that are empty."""
    given = {column: value for column, value in columns(card, kind).items() if _any(value)}
    name = display(card)
    return {**({DISPLAY: name} if name else {}), **{column: _body(column, value) for column, value in given.items()}}


def change(card: Card, held: Card, raw: Row, kind: Kind) -> dict[str, Any]:
    """The properties to send to turn `held` into `card`; a blank one clears. raw: the `memory` of the record."""
    before, after = columns(held, kind), columns(card, kind)
    changed = {column: value for column, value in after.items() if value != before[column]}
    if "BillAddr" in changed and _same_place(raw) and not _any(after.get("ShipAddr", "")):
        changed["ShipAddr"] = changed["BillAddr"]
    body = {column: _body(column, value, raw.get(column)) for column, value in changed.items()}
    name = renamed(card, held, raw, kind)
    return {**body, **({DISPLAY: name} if name else {})}


def blank(kind: Kind, raw: Row) -> dict[str, Any]:
    """The properties to send to clear all that tells of a person. DisplayName stays: it cannot be empty, and it is what
    documents that must be kept by law are filed under."""
    empty = columns({}, kind)
    return {column: _body(column, value, raw.get(column)) for column, value in empty.items()}


def _any(value: Any) -> bool:
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _body(column: str, value: Any, stands: Row | None = None) -> Any:
    """A column as QuickBooks takes it. An address keeps what we do not know of it, but not where the old one was."""
    if column in INNER:
        return {INNER[column]: value}
    if not isinstance(value, Mapping):
        return value
    unknown = {name: kept for name, kept in (stands or {}).items() if name not in ("Lat", "Long")}
    return {**unknown, **{name: text for name, text in value.items() if text or name in unknown}}


def display(card: Card) -> str:
    """The DisplayName of a view: its parts as QuickBooks itself puts them together (Intuit), else its full name."""
    return storable(_built(card) or str((card.get("name") or {}).get("full") or ""), DISPLAY)


def _built(card: Card) -> str:
    found = columns(card, VENDOR)
    return " ".join(filter(None, (found[column] for column in (*NAME.values(), SUFFIX))))


def renamed(card: Card, held: Card, raw: Row, kind: Kind) -> str:
    """The DisplayName that a change brings, or "" where it stays: it follows the name or the company it was made of; a
    label that the bookkeeper chose is theirs. Sub-customers and jobs are never renamed."""
    if raw.get("job"):
        return ""
    stands, name = label({DISPLAY: raw.get("display")}), ""
    if "full" in (held.get("name") or {}) or "full" in (card.get("name") or {}) or stands == _built(held):
        name = display(card)
    elif stands == columns(held, kind)[COMPANY]:
        name = storable(columns(card, kind)[COMPANY], DISPLAY)
    return "" if name == stands else name
