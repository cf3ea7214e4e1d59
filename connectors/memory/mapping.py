"""What a remote in memory can hold, as a `Profile`: the projection, and views to cells and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from connectors.card import ADDRESS_KINDS, LINES, SLOT, VALUE, Card, Element, Leaves, Path, card_of, full_name, leaves
from connectors.consent import Channel
from connectors.contract import Capabilities

ROW: Final = "concord:row"
"""Where an element of a list stands in the remote: the row's id, carried by the view so that a write finds it."""

Cells = Leaves
"""What a record holds, flat: {(field, row or slot, property): value}."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one element.

    mark: (property, value) that an element must have to belong here, and that the view shows for it; None: any.
    props: the properties that it holds; None: all.
    """

    name: str
    props: frozenset[str] | None = None
    mark: tuple[str, str] | None = None

    def takes(self, element: Element) -> bool:
        """Does this element belong here?"""
        if self.mark is None:
            return True
        prop, value = self.mark
        held = element.get(prop) or ()
        return held == value if isinstance(held, str) else value in held

    def shown(self) -> dict[str, Any]:
        """What the view says of an element because it stands here."""
        if self.mark is None:
            return {}
        prop, value = self.mark
        return {prop: value if prop == "kind" else {value: True}}


@dataclass(frozen=True)
class Profile:
    """What a remote can hold (first part) and how it behaves (second part).

    lists: fields of which it holds any number of elements, with all their properties. slots: fields with fixed places.
    name: the parts of a name it holds, None: all. groups, keywords, others (properties unknown to us): held at all.
    cut: longest text, characters; longer is cut silently. mandatory: the cells without which it refuses a record.
    full_dates: a date needs year, month and day. longest_address: e-mail addresses beyond are refused.

    answers: what it answers to a write: the stored record, or only its id and version.
    listing: `records` in full, or only `versions` to be read one by one.
    key: keeps our key. unique: refuses a second record with the same e-mail address. modified: tells when a record
    changed, in steps of `tick` seconds. consents: its places for consent: a `flag` of the whole channel, or a `status`
    of the one address. lag: reads show the state of that many seconds ago; find_lag: so does search.
    """

    title: str
    lists: frozenset[str] = frozenset()
    slots: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)
    name: frozenset[str] | None = None
    groups: bool = False
    keywords: bool = False
    others: bool = False
    cut: int | None = None
    mandatory: tuple[Path, ...] = ()
    full_dates: bool = False
    longest_address: int | None = None

    tombstones: bool = True
    conditional: bool = True
    key: bool = True
    unique: bool = False
    answers: Literal["record", "version"] = "record"
    listing: Literal["records", "versions"] = "records"
    modified: bool = True
    tick: float = 0.0
    consents: Mapping[Channel, Literal["flag", "status"]] = field(default_factory=dict)
    page: int = 100
    batch: int = 20
    lag: float = 0.0
    find_lag: float = 0.0

    def __post_init__(self) -> None:
        if self.lag and self.answers == "version":
            raise ValueError("a remote whose reads lag must answer writes with the record: it cannot be read back")

    @cached_property
    def capabilities(self) -> Capabilities:
        fields = {"name", *self.lists, *self.slots}
        fields |= {name for name in ("groups", "keywords") if getattr(self, name)}
        return Capabilities(
            fields=frozenset(fields),
            tombstones=self.tombstones,
            conditional=self.conditional,
            batch=self.batch,
            lag=self.lag,
            find_lag=self.find_lag,
            consents=frozenset(self.consents),
            optins=frozenset(channel for channel, kind in self.consents.items() if kind == "status"),
        )

    # -- the projection

    def fit(self, card: Card, held: Card | None) -> Card:
        """What a record would hold if the card were written over `held`; see `Connector.fit`."""
        fitted: dict[str, Any] = {}
        for name, value in card.items():
            kept: Any
            if name == "name":
                kept = self._part(value, self.name)
            elif name == "groups":
                kept = _distinct(value, (held or {}).get(name, {})) if self.groups else None
            elif name == "keywords":
                kept = {keyword: True for keyword in value if keyword} if self.keywords else None
            elif name in self.slots:
                kept = self._place(name, value, (held or {}).get(name, {}))
            elif name in VALUE:
                kept = self._rows(card, value) if name in self.lists else None
            else:
                kept = value if self.others else None
            if kept not in (None, "", {}):
                fitted[name] = kept
        if ("name", "surname") in self.mandatory:
            _surname(fitted, self._text(full_name(card)))
        return fitted

    def _rows(self, card: Card, elements: Mapping[str, Element]) -> dict[str, Element]:
        rows: dict[str, Element] = {}
        for key, element in elements.items():
            kept = self._part(element, None)
            if kept.get("organizationId", "") not in {"", *card.get("organizations", ())}:
                del kept["organizationId"]
            if kept:
                rows[key] = kept
        return rows

    def _place(self, name: str, elements: Mapping[str, Element], held: Mapping[str, Element]) -> dict[str, Element]:
        """The elements that find a slot: those that stand in one stay while they belong there, the others take what is
        free, the preferred first; narrow slots are filled before those that take any."""
        shelf = {slot.name: slot for slot in self.slots[name]}
        wanted = {key: e for key, e in elements.items() if self._holdable(name, e)}
        places: dict[str, str] = {}
        for source in (held, wanted):
            for key in sorted(wanted):
                slot = shelf.get(source.get(key, {}).get(SLOT, ""))
                if slot and key not in places.values() and slot.name not in places and slot.takes(wanted[key]):
                    places[slot.name] = key
        waiting = [key for key in wanted if key not in places.values()]
        for key in sorted(waiting, key=lambda k: (wanted[k].get("pref") or 100, k)):
            free = [s for s in shelf.values() if s.name not in places and s.takes(wanted[key])]
            if free:
                places[min(free, key=lambda s: s.mark is None).name] = key
        kept: dict[str, Element] = {}
        for slot_name, key in places.items():
            slot = shelf[slot_name]
            kept[key] = {**self._part(wanted[key], slot.props), **slot.shown(), SLOT: slot_name}
        return kept

    def _holdable(self, name: str, element: Element) -> bool:
        """Is there anything of this element that the remote could hold?"""
        if name == "anniversaries" and self.full_dates and len(element.get("date") or ()) < 3:
            return False
        if name == "emails" and len(element.get("address") or "") > (self.longest_address or 1_000):
            return False
        props = self.slots[name][0].props
        kept = self._part(element, props)
        return bool(kept.get(VALUE[name])) or bool(kept.get("components"))

    def _part(self, holder: Element, props: frozenset[str] | None) -> dict[str, Any]:
        """The properties of an element, or of a name, that the remote holds, as it holds them."""
        kept: dict[str, Any] = {}
        for prop, value in holder.items():
            if prop == "components":
                found = self._components(value, props)
                if found:
                    kept[prop] = found
            elif (prop in props if props is not None else not _local(prop)) and value not in ("", None):
                kept[prop] = self._text(value)
        return kept

    def _components(self, value: Sequence[Mapping[str, str]], props: frozenset[str] | None) -> list[dict[str, str]]:
        merged: dict[str, dict[str, str]] = {}
        for component in value:
            if props is not None and component["kind"] not in props:
                continue
            parts = {name: text for name, text in component.items() if props is None or name != "phonetic"}
            before = merged.get(component["kind"])
            if before:
                parts["value"] = f"{before['value']} {component['value']}"
            merged[component["kind"]] = {**(before or {}), **parts, "value": self._text(parts.get("value", ""))}
        return [c for c in merged.values() if c["value"] or c.get("phonetic")]

    def _text(self, value: Any) -> Any:
        return value[: self.cut] if self.cut and isinstance(value, str) else value

    # -- cells

    def cells(self, card: Card) -> Cells:
        """The record's cells for a card in this remote's view (or made by `fit`). Rows that the remote has yet to make
        are named `+` and the element's id."""
        rows: dict[Path, str] = {
            (name, key): self._row(name, key, element) for name in VALUE for key, element in card.get(name, {}).items()
        }
        cells: Cells = {}
        for path, value in leaves(card).items():
            if path[0] not in VALUE:
                cells[path] = value
            elif not _local(path[2]) and not self._implied(path[0], path[2], rows[path[:2]]):
                if path[2] == "organizationId":
                    value = rows.get(("organizations", value), value)
                cells[path[0], rows[path[:2]], path[2]] = value
        return {path: value for path, value in cells.items() if value not in ("", None)}

    def _row(self, name: str, key: str, element: Element) -> str:
        if name == "groups":
            return str(element.get("name", "")).strip().casefold()
        if name in self.slots and any(key == slot.name for slot in self.slots[name]):
            return str(element.get(SLOT, key))
        return str(element.get(SLOT) or element.get(ROW) or "+" + key)

    def _implied(self, name: str, prop: str, row: str) -> bool:
        """Does the slot itself say this?"""
        return any(slot.name == row and slot.mark and slot.mark[0] == prop for slot in self.slots.get(name, ()))

    def view(self, cells: Cells) -> Card:
        """The card that these cells show."""
        shown = dict(cells)
        for name, row in {path[:2] for path in cells if path[0] in VALUE and path[0] != "groups"}:
            slot = next((s for s in self.slots.get(name, ()) if s.name == row), None)
            shown[name, row, SLOT if slot else ROW] = row
            for prop, value in (slot.shown() if slot else {}).items():
                shown[name, row, prop] = value
        return card_of(dict(sorted(shown.items())))


def _local(prop: str) -> bool:
    """Is this a connector's note to itself?"""
    return prop.startswith("concord:") and prop != LINES


def _distinct(groups: Mapping[str, Element], held: Mapping[str, Element]) -> dict[str, Element]:
    """One membership for each group, known by its folded name."""
    kept: dict[str, tuple[str, Element]] = {}
    for key in sorted(groups, key=lambda key: (key not in held, key)):
        name = str(groups[key].get("name", "")).strip()
        if name:
            kept.setdefault(name.casefold(), (key, {"name": name}))
    return dict(kept.values())


def _surname(fitted: dict[str, Any], best: str) -> None:
    """A remote that insists on a surname gets the best true name there is in its place."""
    name = fitted.get("name", {})
    parts = {c["kind"]: c for c in name.get("components", ())}
    if best and not parts.get("surname", {}).get("value"):
        fitted["name"] = {**name, "components": [{"kind": "surname", "value": best}]}


# --- four kinds of remote ------------------------------------------------------------------------------------

_PHOTO: Final = (Slot("photo", frozenset({"uri", "mediaType", "size"}), ("kind", "photo")),)


def addressbook() -> Profile:
    """Lists of everything, locks, tombstones, our key: an address book in the manner of Google or Exchange."""
    return Profile(
        title="Address book",
        lists=frozenset(VALUE) - {"media", "groups"},
        slots={"media": _PHOTO},
        groups=True,
        keywords=True,
        others=True,
    )


def crm() -> Profile:
    """Slots, a mandatory surname, cut texts; no lock, no tombstones, no place for our key: a classic CRM."""

    def slots(prop: str, *named: tuple[str, tuple[str, str] | None]) -> tuple[Slot, ...]:
        return tuple(Slot(name, frozenset({prop}), mark) for name, mark in named)

    return Profile(
        title="CRM",
        slots={
            "emails": slots("address", ("email", None), ("email2", None)),
            "phones": slots(
                "number", ("mobile", ("features", "mobile")), ("phone", ("contexts", "work")), ("otherphone", None)
            ),
            "addresses": (Slot("mailing", frozenset({LINES, *ADDRESS_KINDS})),),
            "notes": slots("note", ("description", None)),
            "organizations": slots("name", ("company", None)),
            "titles": slots("name", ("title", None)),
            "anniversaries": slots("date", ("birthday", ("kind", "birth"))),
        },
        name=frozenset({"title", "given", "surname"}),
        cut=40,
        mandatory=(("name", "surname"),),
        full_dates=True,
        longest_address=100,
        tombstones=False,
        conditional=False,
        key=False,
        tick=1.0,
        consents={"email": "flag", "phone": "flag"},
        batch=1,
    )


def mailer() -> Profile:
    """One e-mail address, which is the natural key, a short name, and groups: a mailing tool."""
    return Profile(
        title="Mailer",
        slots={"emails": (Slot("address", frozenset({"address"})),)},
        name=frozenset({"given", "surname"}),
        groups=True,
        mandatory=(("emails", "address", "address"),),
        conditional=False,
        key=False,
        unique=True,
        answers="version",
        consents={"email": "status"},
        batch=500,
    )


def lister() -> Profile:
    """Lists ids with versions, and reads them one by one: a plain CardDAV server."""
    return Profile(
        title="Lister",
        lists=frozenset({"nicknames", "organizations", "titles", "emails", "phones", "addresses", "anniversaries"})
        | {"notes", "links"},
        slots={"media": _PHOTO},
        keywords=True,
        tombstones=False,
        answers="version",
        listing="versions",
        modified=False,
        batch=1,
    )
