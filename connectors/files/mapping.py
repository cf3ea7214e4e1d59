"""A row of a table as a card, and a card as a row of our own export. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from connectors.card import (
    ADDRESS_KINDS,
    LINES,
    NAME_KINDS,
    SLOT,
    VALUE,
    Card,
    fold,
)
from connectors.files import cells, names
from connectors.files.headers import AS_FOUND, EXTRA, SYNC, Column, Layout

Values = Sequence[str]
Draft = dict[str, Any]
Step = Callable[[Values, Draft], None]


class Reader:
    """Reads the rows of one layout.

    orders: for each column of dates whether 03/07 is "dmy" or "mdy"; without it such a date stays text.
    """

    def __init__(self, layout: Layout, orders: Mapping[int, str] | None = None) -> None:
        self.layout, self._orders = layout, orders or {}
        self._clean = cells.as_written if layout.own else cells.clean
        groups: dict[tuple[str, str], list[Column]] = defaultdict(list)
        self._extras: list[tuple[int, str]] = []
        for column in layout.columns:
            field = column.place.field
            if field in ("extra", "consent", "id"):
                self._extras.append((column.index, EXTRA + column.header.removesuffix(AS_FOUND)))
            elif field not in SYNC:
                groups[field, "" if field == "name" else column.place.group].append(column)
        self._steps = [self._step(field, group, columns) for (field, group), columns in groups.items()]

    def read(self, row: Sequence[str]) -> Card:
        """The card of a row, which is at least as wide as the layout."""
        clean = self._clean
        values = [clean(cell) if cell else "" for cell in row]
        card: Draft = {}
        for step in self._steps:
            step(values, card)
        for index, name in self._extras:
            if values[index]:
                card[name] = values[index]
        return card

    def _step(self, field: str, group: str, columns: list[Column]) -> Step:
        makers: Mapping[str, Callable[[str, str, list[Column]], Step]] = {
            "name": self._name,
            "addresses": self._address,
            "anniversaries": self._date,
            "keywords": self._keywords,
            "groups": self._groups,
            "kind": self._kind,
        }
        return makers.get(field, self._values)(field, group, columns)

    def _kind_of(self, field: str, text: str) -> dict[str, Any]:
        if not self.layout.own:
            text = text.removeprefix("*").strip()  # Google's mark of the first one
        if not text:
            return {}
        if field in ("relations", "titles"):
            return {"kind": text}
        return cells.own_kind(text) if self.layout.own else cells.kind(text, field == "phones")

    def _values(self, field: str, group: str, columns: list[Column]) -> Step:
        """Elements whose value is a text; several of them where the cell holds several."""
        at = {column.place.prop: column.index for column in columns}
        main, typed = at.pop(VALUE[field], None), at.pop("type", None)
        said = {prop: value for column in columns for prop, value in column.place.attrs.items()}
        header = next((c.header for c in columns if c.index == main), "")
        own, plain = self.layout.own, VALUE[field]
        ready = dict(said) if own else {**said, SLOT: group}
        whole = not at and "organizationId" not in said and field != "onlineServices"

        def step(values: Values, card: Draft) -> None:
            text = values[main] if main is not None else ""
            label = values[typed] if typed is not None else ""
            if not text and not (own and label) and not any(values[index] for index in at.values()):
                return
            found = split(self.layout, field, text)
            if found is None:
                card[EXTRA + header] = text
                return
            elements = card.setdefault(field, {})
            if whole and not label and len(found) == 1:
                elements[group] = {plain: found[0], **ready}
                return
            more = {**said, **self._kind_of(field, label), **self._details(field, at, values)}
            if more.get("organizationId") not in (None, *card.get("organizations", ())):
                del more["organizationId"]
            for number, value in enumerate(found or [""], 1):
                key = group if number == 1 else f"{group}.{number}"
                element = self._element(field, value, more)
                elements[key] = element if own else element | {SLOT: key}

        return step

    def _details(self, field: str, at: Mapping[str, int], values: Values) -> dict[str, Any]:
        """Properties of an element that stand in columns of their own."""
        found: dict[str, Any] = {prop: values[index] for prop, index in at.items() if values[index]}
        if "units" in found:
            units = cells.listed(found["units"], own=True) if self.layout.own else [found["units"]]
            found["units"] = [{"name": unit} for unit in units]
        return found

    def _element(self, field: str, value: str, more: Mapping[str, Any]) -> dict[str, Any]:
        if not value:
            return dict(more)
        if field == "onlineServices" and not self.layout.own and ("://" in value or ".com/" in value):
            return {"uri": value, **more}
        return {VALUE[field]: value, **more}

    def _name(self, field: str, group: str, columns: list[Column]) -> Step:
        at = [(column.place.prop, column.index) for column in columns]
        own = self.layout.own
        sounded = [kind for kind in NAME_KINDS if any(prop == f"{kind}.phonetic" for prop, _ in at)]

        def step(values: Values, card: Draft) -> None:
            said: dict[str, str] = {}
            for prop, index in at:
                if values[index]:
                    said[prop] = f"{said[prop]} {values[index]}" if prop in said else values[index]
            if not said:
                return
            full = said.pop("full", "")
            parts = [{"kind": kind, "value": said[kind]} for kind in NAME_KINDS if kind in said]
            for kind in sounded:
                if phonetic := said.get(f"{kind}.phonetic"):
                    _sounded(parts, kind, phonetic)
            name: dict[str, Any] = {"components": parts} if parts else {}
            if full and own:
                name["full"] = full
            elif full and not parts:
                name = names.split(full)
            elif full and not _within(full, [c["value"] for c in parts]):
                name["full"] = full
            card["name"] = name

        return step

    def _address(self, field: str, group: str, columns: list[Column]) -> Step:
        at = {column.place.prop: column.index for column in columns}
        own = self.layout.own
        said = next((column.place.attrs for column in columns if column.place.attrs), {})

        def step(values: Values, card: Draft) -> None:
            found = {prop: values[index] for prop, index in at.items() if values[index]}
            kind = self._kind_of(field, found.pop("type", ""))
            if not found and not (own and kind):
                return
            street = " ".join(filter(None, (found.get("lines"), found.get("number"))))
            lines = "\n".join(filter(None, (street, *(found.get(f"lines{n}") for n in range(2, 6)))))
            parts = [{"kind": kind, "value": found[kind]} for kind in ADDRESS_KINDS if kind in found]
            address: dict[str, Any] = {LINES: lines} if lines else {}
            if parts:
                address["components"] = parts
            if "countryCode" in found:
                address["countryCode"] = found["countryCode"]
            full = found.get("full", "")
            if full and (own or not _within(full, [lines, *(c["value"] for c in parts)])):
                address["full"] = full
            address |= {**said, **kind} | ({} if own else {SLOT: group})
            card.setdefault("addresses", {})[group] = address

        return step

    def _date(self, field: str, group: str, columns: list[Column]) -> Step:
        at = {column.place.prop: column.index for column in columns}
        value, typed = next(c for c in columns if c.place.prop == "date"), at.get("type")
        order, own = self._orders.get(value.index), self.layout.own

        def step(values: Values, card: Draft) -> None:
            text = values[value.index]
            if not text or (not own and cells.no_date(text)):
                return
            date = cells.date(text, order)
            if date is None:
                card[EXTRA + value.header] = text
                if typed is not None and values[typed]:
                    card[EXTRA + self.layout.columns[typed].header] = values[typed]
                return
            kind = cells.event_kind(values[typed]) if typed is not None and values[typed] else {}
            element = {**value.place.attrs, "date": date, **kind} | ({} if own else {SLOT: group})
            card.setdefault("anniversaries", {})[group] = element

        return step

    def _listed(self, values: Values, columns: list[Column]) -> Iterable[str]:
        for column in columns:
            text = values[column.index]
            if not text:
                continue
            if self.layout.name.startswith("google"):
                # Everybody is in myContacts: it says nothing. The other system groups bear a star, too.
                pieces = [piece.removeprefix("* ").strip() for piece in text.split(" ::: ")]
                yield from (piece for piece in pieces if piece and piece not in ("myContacts", "My Contacts"))
            else:
                yield from cells.listed(text, self.layout.own)

    def _keywords(self, field: str, group: str, columns: list[Column]) -> Step:
        def step(values: Values, card: Draft) -> None:
            if found := dict.fromkeys(self._listed(values, columns), True):
                card.setdefault("keywords", {}).update(found)

        return step

    def _groups(self, field: str, group: str, columns: list[Column]) -> Step:
        def step(values: Values, card: Draft) -> None:
            known = card.setdefault("groups", {})
            for name in self._listed(values, columns):
                if all(element["name"] != name for element in known.values()):
                    known[str(len(known) + 1)] = {"name": name}
            if not known:
                del card["groups"]

        return step

    def _kind(self, field: str, group: str, columns: list[Column]) -> Step:
        def step(values: Values, card: Draft) -> None:
            if values[columns[0].index]:
                card["kind"] = values[columns[0].index].strip().casefold()

        return step


def split(layout: Layout, field: str, text: str) -> list[str] | None:
    """The values in a cell of that field, none in an empty one; None where it holds something else."""
    if layout.own or not text:
        return [text] if text else []
    pieces = text.split(" ::: ") if layout.name.startswith("google") else [text]
    if field not in ("emails", "phones"):
        return pieces
    found: list[str] = []
    for piece in pieces:
        values = cells.emails(piece) if field == "emails" else cells.phones(piece)
        if values is None:
            return None
        found += values
    return found


def _within(whole: str, parts: Iterable[str]) -> bool:
    """Do these parts say everything that the whole says?"""
    return set(fold(whole).split()) <= set(fold(" ".join(parts)).split())


def _sounded(parts: list[dict[str, str]], kind: str, phonetic: str) -> None:
    component = next((c for c in parts if c["kind"] == kind), None)
    if component is None:
        component = {"kind": kind, "value": ""}
        parts.append(component)
        parts.sort(key=lambda c: NAME_KINDS.index(c["kind"]))
    component["phonetic"] = phonetic
