"""A party of Tryton and our card. Pure.

A party has one name, and lists without limit: contact mechanisms (telephones, e-mail addresses, web sites, …),
addresses, categories. An element of the view names its row by `concord:slot`, so that a write finds the row that an
element came from, and an edited row is recognised by the engine. `fit` gives no slots: a new row gets its number there.

`rows` reads a row as an element and writes an element as a row; `fit` is "written, then read".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from connectors.card import SLOT, Card, Element, digest, full_name
from connectors.tryton.rows import (
    COUNTRY,
    ERASED,
    OTHERS,
    PARTS,
    SUBDIVISION,
    Columns,
    Row,
    address,
    address_columns,
    line_of,
    mechanism,
    mechanism_columns,
    text_of,
    written_address,
)

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
SEPARATOR: Final = " / "
"""Between the names of nested categories in their `rec_name` (category.py, `tree(separator=…)`)."""
READ: Final = (
    "name",
    "active",
    "replaced_by",
    "write_date",
    "create_date",
    "_timestamp",
    f"{CATEGORIES}.rec_name",
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


def children(row: Row, name: str) -> list[Row]:
    """The rows of one of a party's lists, without those that are archived."""
    return [child for child in row.get(name + ".") or () if child.get("active", True)]


# --- reading --------------------------------------------------------------------------------------------------------


def view(row: Row) -> Card:
    """The card that a party shows."""
    card: dict[str, Any] = {}
    if text_of(row, "name"):
        card["name"] = {"full": row["name"]}
    for child in children(row, MECHANISMS):
        found = mechanism(child)
        if found:
            card.setdefault(found[0], {})[str(child["id"])] = {**found[1], SLOT: str(child["id"])}
    for child in children(row, ADDRESSES):
        element = address(child)
        if element:
            card.setdefault("addresses", {})[str(child["id"])] = {**element, SLOT: str(child["id"])}
    for child in row.get(CATEGORIES + ".") or ():  # Tryton shows archived ones, too (observed)
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
    names = {str(child["id"]): child["rec_name"] for child in row.get(CATEGORIES + ".") or ()}
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
    name = line_of(full_name(card))
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
    return SEPARATOR.join(filter(None, (line_of(one) for one in line_of(name).split(SEPARATOR))))


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


def revived(row: Row) -> Columns:
    """What takes a party's archived rows back into use."""
    found: Columns = {}
    for name in MODELS:
        ids = [child["id"] for child in row.get(name + ".") or () if not child["active"]]
        if ids:
            found[name] = [["write", ids, {"active": True}]]
    return found


def blank(row: Row) -> Columns:
    """What takes everything personal out of a party, as the wizard does (party.py, `Erase`)."""
    erased = {
        MECHANISMS: {"type": "other", "value": ERASED, "name": None, "comment": None},
        ADDRESSES: {
            **dict.fromkeys(("party_name", "attn", "street_unstructured", *PARTS, "post_box", *OTHERS)),
            **dict.fromkeys(("postal_code", "city", COUNTRY, SUBDIVISION)),
        },
        IDENTIFIERS: {"type": None, "code": ERASED},
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
