"""A Customer or Vendor of QuickBooks Online and our card. Pure.

Reading (`view`), projecting (`fit`) and writing (`change`) go through the same table of places, so that what we project
is what QuickBooks will show: `fit` is "written, cut, then read".

The name is what the parts say (Title, GivenName, MiddleName, FamilyName, Suffix). DisplayName is QuickBooks' own label
of the record: unique among all customers, vendors and employees, and often the company's name, or the same name in a
bookkeeper's order of words. It is shown (`name/full`) where it tells more (`_tells`): where there are no parts, or
where it has no word in common with them and there is no company. What makes it unique (`numbered`) is never shown.

Sources: "note" is the accounting note, part B; "Intuit" is Intuit's reference page of Customer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.card import LINES, SLOT, Card, Element, components, full_name, part
from connectors.quickbooks.places import (
    COMPANY,
    CUSTOMER,
    DISPLAY,
    EMAIL,
    GENERATIONS,
    INNER,
    LIMITS,
    LINE_NAMES,
    NAME,
    PARTS,
    SUFFIX,
    URL,
    VENDOR,
    Columns,
    Kind,
    Place,
    Row,
    is_address,
    storable,
)

ATTEMPTS: Final = 4
"""How many names are tried for a record: the plain one and three with a mark."""


# --- reading ---------------------------------------------------------------------------------------------------------


def view(row: Row, kind: Kind) -> Card:
    """The card that a record shows. Element ids are the properties' names; of e-mail addresses their positions."""
    columns = read(row, kind)
    card: dict[str, Any] = {}
    name = _name(columns)
    if _tells(label(row), name, columns[COMPANY] or row.get("Job") or row.get("ParentRef")):
        name["full"] = label(row)
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


def _tells(text: str, name: Mapping[str, Any], company: Any) -> bool:
    """Does a label say who it is beyond the parts of a name? A company says that already; of a sub-customer or job the
    label is the project's. "Weiss, Ann" is Ann Weiss, and goes on being her when a part is corrected."""
    if not text or not name:
        return bool(text)
    parts = " ".join(component["value"] for component in name["components"])
    return not company and not _words(text) & _words(parts)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w'’]+", text.casefold()))


def numbered(text: str, key: str, attempt: int) -> str:
    """A DisplayName with a mark that makes it unique: attempt 0 has none, then 4, 8, 12 digits. They come from our key
    alone, so a create that is repeated, or looked for, has the same names. The sign ~ is among those that QuickBooks
    takes everywhere, and nobody ends a name so."""
    mark = f" ~{hashlib.sha256(key.encode()).hexdigest()[: 4 * attempt]}" if attempt else ""
    return text[: LIMITS[DISPLAY] - len(mark)].rstrip() + mark


# --- projecting ------------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None, kind: Kind) -> Card:
    """What a record would show if the card were written over `held`."""
    standing = columns(held or {}, kind)
    fitted: dict[str, Any] = {}
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
    name = _fit_name(card, bool(fitted.get("organizations")))
    return {"name": name, **fitted} if name else fitted


def _fit_name(card: Card, company: bool) -> dict[str, Any]:
    name = card.get("name") or {}
    parts = {column: storable(part(name, kind), column) for kind, column in NAME.items()}
    shown = _name({**parts, SUFFIX: _suffix(name)})
    texts = [str(name.get("full") or "")] if shown else _names(card)
    full = label({DISPLAY: next(filter(None, (storable(text, DISPLAY) for text in texts)), "")})
    return {**shown, "full": full} if _tells(full, shown, company) else shown


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
    good = [key for key, text in texts.items() if text and (text in standing or is_address(text))]
    kept = [key for key in sorted(held, key=lambda key: SLOT not in held[key]) if key in good]
    chosen = kept or sorted(good, key=lambda key: found[key].get("pref") or 100)[:1]
    fitted: dict[str, Any] = {}
    for key in chosen:
        if len(",".join([*(e["address"] for e in fitted.values()), texts[key]])) <= LIMITS[EMAIL] or not fitted:
            fitted[key] = {"address": texts[key]}
    for key in list(fitted)[:1]:
        fitted[key][SLOT] = kind.prefix + EMAIL
    return fitted


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
    """The DisplayName of a view: its full name, else its parts as QuickBooks itself puts them together (Intuit)."""
    return storable(str((card.get("name") or {}).get("full") or "") or _built(card), DISPLAY)


def _built(card: Card) -> str:
    found = columns(card, VENDOR)
    return " ".join(filter(None, (found[column] for column in (*NAME.values(), SUFFIX))))


def renamed(card: Card, held: Card, raw: Row, kind: Kind) -> str:
    """The DisplayName that a change brings, or "" where it stays: it follows the name or the company it was made of; a
    label that the bookkeeper chose is theirs. Sub-customers and jobs are never renamed."""
    if raw.get("job"):
        return ""
    stands, name = label({DISPLAY: raw.get("display")}), ""
    before, after = held.get("name") or {}, card.get("name") or {}
    was, company = columns(held, kind)[COMPANY], columns(card, kind)[COMPANY]
    if after.get("full") != before.get("full"):
        # One that is not to be shown any more goes only if it would still be.
        parts = {"components": after["components"]} if after.get("components") else {}
        if after.get("full") or _tells(stands, parts, company):
            name = display(card)
    elif not before.get("full") and stands == _built(held):
        name = display(card)
    elif was and stands == was:
        name = storable(company, DISPLAY) or display(card)
    return "" if name == stands else name
