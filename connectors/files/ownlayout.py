"""A card as a row of our own export, so that `mapping.Reader` gives the same card again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, VALUE, Card, part
from connectors.files import cells
from connectors.files.headers import AS_FOUND, CONSENT, EXTRA, IGNORED, recognise

Row = dict[tuple[int, int, int, str], str]
"""The cells of a row by column: (rank of the field, number of the element, rank of the property, header)."""

MOST: Final = 20
"""So many elements of a field get columns; more of them would make a table nobody can use."""

_NAME_HEADERS: Final[Mapping[str, str]] = {
    "full": "Full name",
    "title": "Name prefix",
    "given": "First name",
    "given2": "Middle name",
    "surname": "Last name",
    "surname2": "Second last name",
    "generation": "Generation",
    "credential": "Name suffix",
    "given.phonetic": "Phonetic first name",
    "given2.phonetic": "Phonetic middle name",
    "surname.phonetic": "Phonetic last name",
}
_TITLES: Final[Mapping[str, str]] = {
    "nicknames": "Nickname",
    "organizations": "Company",
    "titles": "Job title",
    "emails": "E-mail",
    "phones": "Phone",
    "addresses": "Address",
    "anniversaries": "Event",
    "links": "Website",
    "onlineServices": "IM",
    "relations": "Relation",
    "notes": "Note",
}
_PROP_HEADERS: Final[Mapping[str, str]] = {
    LINES: "street",
    "postOfficeBox": "PO box",
    "locality": "city",
    "region": "region",
    "postcode": "postal code",
    "country": "country",
    "countryCode": "country code",
    "full": "formatted",
    "units": "department",
    "service": "service",
    "uri": "link",
    "type": "type",
}
_PROP_RANK: Final = {prop: rank for rank, prop in enumerate(("", *_PROP_HEADERS))}
_ORDER: Final = (
    *("kind", "name", "organizations", "titles", "emails", "phones", "addresses", "keywords", "groups"),
    *("nicknames", "anniversaries", "links", "onlineServices", "relations", "notes"),
)
_FIELD_RANK: Final = {field: rank for rank, field in enumerate(_ORDER)}
_LAST: Final = len(_FIELD_RANK)

BASIC: Final[tuple[tuple[int, int, int, str], ...]] = tuple(
    (_FIELD_RANK["name"], 0, list(_NAME_HEADERS).index(kind), _NAME_HEADERS[kind]) for kind in ("given", "surname")
)
"""Columns that every export has, filled or not."""


def row(card: Card) -> tuple[Row, list[str]]:
    """The cells of a card, and in words what has no column: photos, ids, properties that are neither ours nor text."""
    cells_of: Row = {}
    left_out: list[str] = []
    for field, value in card.items():
        if field == "name":
            _name_cells(value, cells_of, left_out)
        elif field in _TITLES:
            _element_cells(field, list(value.values()), cells_of, left_out)
        elif field in ("keywords", "groups"):
            items = value if field == "keywords" else [element.get("name", "") for element in value.values()]
            header = "Tags" if field == "keywords" else "Groups"
            cells_of[_FIELD_RANK[field], 0, 0, header] = cells.list_text(items)
        elif field == "kind":
            cells_of[_FIELD_RANK[field], 0, 0, "Kind"] = value
        elif field.startswith(EXTRA) and isinstance(value, str):
            cells_of[_LAST, 0, 0, _extra_header(field.removeprefix(EXTRA))] = value
        else:
            left_out.append(field)
    return {column: text for column, text in cells_of.items() if text}, left_out


def _extra_header(header: str) -> str:
    place = recognise(header)
    return header if place in (IGNORED, CONSENT) or place.field == "id" else header + AS_FOUND


def _name_cells(name: Mapping[str, Any], row: Row, left_out: list[str]) -> None:
    said = {prop: value for prop, value in name.items() if prop != "components"}
    for component in name.get("components", ()):
        said[component["kind"]] = component["value"]
        if "phonetic" in component:
            said[component["kind"] + ".phonetic"] = component["phonetic"]
    for rank, (prop, header) in enumerate(_NAME_HEADERS.items()):
        if prop in said:
            row[_FIELD_RANK["name"], 0, rank, header] = said.pop(prop)
    left_out += [f"name {prop}" for prop in said]


def _element_cells(field: str, elements: list[Mapping[str, Any]], row: Row, left_out: list[str]) -> None:
    if len(elements) > MOST:
        left_out.append(f"{field} beyond {MOST}")
    number = 0
    for element in elements[:MOST]:
        if field == "anniversaries" and _is_birthday(element, row):
            row[_FIELD_RANK[field], 0, 0, "Birthday"] = cells.date_text(element["date"])
            continue
        number += 1
        for prop, text in _texts(field, element).items():
            header = f"{_TITLES[field]} {number} {_PROP_HEADERS.get(prop, '')}".rstrip()
            row[_FIELD_RANK[field], number, _PROP_RANK[prop], header] = text
        if "organizationId" in element:
            left_out.append("which company a title belongs to")


def _is_birthday(element: Mapping[str, Any], row: Row) -> bool:
    taken = (_FIELD_RANK["anniversaries"], 0, 0, "Birthday") in row
    return element.get("kind") == "birth" and "label" not in element and "date" in element and not taken


def _texts(field: str, element: Mapping[str, Any]) -> dict[str, str]:
    """The cells of one element: {property: text}, the value itself under ""."""
    if field == "addresses":
        found = {LINES: element.get(LINES, "")} | {kind: part(element, kind) for kind in ADDRESS_KINDS}
        found |= {prop: element.get(prop, "") for prop in ("countryCode", "full")}
    elif field == "anniversaries":
        return {"": cells.date_text(element.get("date", {})), "type": cells.event_text(element)}
    else:
        found = {"": element.get(VALUE[field], "")}
    if field in ("relations", "titles"):
        return found | {"type": element.get("kind", "")}
    if field == "organizations":
        found["units"] = cells.list_text(unit.get("name", "") for unit in element.get("units", ()))
    if field == "onlineServices":
        found |= {prop: element.get(prop, "") for prop in ("service", "uri")}
    return found | {"type": cells.kind_text(element)}
