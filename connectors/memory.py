"""A remote in memory and its connector: the reference for what a connector must do.

It speaks no protocol: its endpoints are methods, its warts are switches, its clock is given. Engine tests run long
random histories against it, and the conformance kit proves itself on it. `Profile` says what a remote can hold and
promise; `addressbook`, `crm`, `mailer` and `lister` are four that cover what real systems differ in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal

from connectors.card import (
    ADDRESS_KINDS,
    LINES,
    SLOT,
    VALUE,
    Card,
    Element,
    Equivalence,
    Leaves,
    Path,
    blob_uri,
    card_of,
    full_name,
    leaves,
)
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import CursorExpired, Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain
from connectors.errors import Unreachable as Unreachable
from connectors.sandbox import Faults

ROW: Final = "concord:row"
"""Where an element of a list stands in the remote: the row's id, carried by the view so that a write finds it."""

Cells = Leaves
"""What a record holds, flat: {(field, row or slot, property): value}."""


# --- what a remote can hold and promise ----------------------------------------------------------------------


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
    changed, in steps of `tick` seconds. lag: reads show the state of that many seconds ago; find_lag: so does search.
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


# --- the remote ----------------------------------------------------------------------------------------------


class Status(Exception):
    """The remote's answer to a request that failed, numbered as in HTTP."""

    def __init__(self, code: int, words: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.retry_after = code, retry_after


class Lost(Exception):
    """The connection broke."""


@dataclass(frozen=True)
class State:
    """A record at one moment. cells None: deleted. extra: what the remote knows and no card tells."""

    id: str
    seq: int
    at: datetime
    cells: Cells | None
    key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    view: Card | None = None

    @property
    def version(self) -> str:
        return f"v{self.seq}"


@dataclass(frozen=True, slots=True)
class Write:
    """One write request. id None creates; cells None deletes, else None as a cell's value clears the cell."""

    id: str | None
    cells: Cells | None
    version: str | None = None
    key: str | None = None
    whole: bool = False
    """Put the cells in place of everything the record holds, also of what no card tells."""


class MemoryRemote:
    """A remote with one account. Endpoints: `whoami`, `listing`, `news`, `fetch`, `search`, `upload`, `send`. A human
    at its screen: `add`, `edit`, `remove`, `plant`; and what tests look at: `cards`, `card`, `planted`.

    Switches: faults (see `connectors.sandbox.Faults`; requests are named "GET /records", "POST /records create" …),
    lying: an answered version is not the stored one (only for remotes that answer nothing more).
    short_pages: pages hold less than asked for, also nothing, though more is to come. behind: that many latest events
    are not yet seen by reads. reformat: what the remote makes of the cells it is given. shrink: what of a photo.
    secret: the account's password.
    """

    def __init__(self, profile: Profile, now: Callable[[], datetime] | None = None) -> None:
        self.profile = profile
        self.now = now or (lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.faults = Faults()
        self.lying = False
        self.short_pages = False
        self.behind = 0
        self.reformat: Callable[[Cells], Cells] = lambda cells: cells
        self.shrink: Callable[[bytes], bytes] = lambda photo: photo
        self.secret = "open sesame"  # noqa: S105 (nobody's)
        self.blobs: dict[str, bytes] = {}
        self.groups: dict[str, str] = {}
        self.epoch = 1
        self._log: list[State] = []
        self._born: list[str] = []
        self._past: dict[str, list[State]] = {}
        self._lock = threading.RLock()

    # -- the human at the screen, and what tests look at

    def add(self, card: Card) -> str:
        """A new record, made of a card in this remote's view; returns its id."""
        with self._lock:
            return self._create(Write(None, self.profile.cells(card))).id

    def edit(self, record_id: str, card: Card) -> None:
        """The record shows this now. Start from `card(id)` to change a detail."""
        with self._lock:
            before = self._live(record_id)
            after = self.profile.cells(card)
            self._update(before, {path: after.get(path) for path in {**(before.cells or {}), **after}})

    def remove(self, record_id: str) -> None:
        with self._lock:
            self._delete(self._live(record_id))

    def plant(self, record_id: str, name: str, value: Any) -> None:
        """Set a field of the remote that no card knows."""
        with self._lock:
            old = self._live(record_id)
            self._note(old, old.cells, extra={**old.extra, name: value})

    def planted(self, record_id: str) -> Mapping[str, Any]:
        """The fields that no card knows."""
        return self._live(record_id).extra

    def card(self, record_id: str) -> Card | None:
        """What the record shows at this moment, whatever reads show; None where there is none."""
        past = self._past.get(record_id)
        return self._view(past[-1]) if past and past[-1].cells is not None else None

    def cards(self) -> dict[str, Card]:
        """What every living record shows at this moment."""
        with self._lock:
            return {key: card for key in self._born if (card := self.card(key)) is not None}

    def expire_cursors(self) -> None:
        """Forget every client's place."""
        self.epoch += 1

    # -- endpoints

    def whoami(self, secret: str) -> Any:
        return self._serve("GET /me", secret, lambda: {"account": f"{self.profile.title} in memory", "now": self.now()})

    def listing(self, secret: str, after: int = 0) -> Any:
        """A page of every living record: `records`, `next` (None on the last page), `seq` to ask news from."""

        def page() -> Mapping[str, Any]:
            horizon, size, number = self._horizon(), self._size(after), after
            found: list[State] = []
            while number < len(self._born) and len(found) < size:
                state = self._at(self._born[number], horizon)
                number += 1
                if state and state.cells is not None:
                    found.append(state)
            more = number < len(self._born)
            return {"records": found, "next": number if more else None, "seq": horizon, "epoch": self.epoch}

        return self._serve(f"GET /records?after={after}", secret, page)

    def news(self, secret: str, epoch: Any, since: Any) -> Any:
        """A page of what changed after the event `since`: `records`, `seq` to go on from, `more`."""

        def page() -> Mapping[str, Any]:
            horizon = self._horizon()
            if epoch != self.epoch or not isinstance(since, int) or not 0 <= since <= len(self._log):
                raise Status(410, "unknown place")
            end = min(max(horizon, since), since + self._size(since))
            found = [s for s in self._log[since:end] if self._at(s.id, horizon) is s]
            if not self.profile.tombstones:
                found = [state for state in found if state.cells is not None]
            return {"records": found, "seq": end, "more": end < horizon}

        return self._serve(f"GET /news?since={since}", secret, page)

    def fetch(self, secret: str, ids: Sequence[str]) -> Any:
        """These records, those that live."""

        def records() -> Sequence[State]:
            horizon = self._horizon()
            found = (self._at(key, horizon) for key in dict.fromkeys(ids))
            return [state for state in found if state and state.cells is not None]

        return self._serve("GET /records/" + ",".join(ids[:3]), secret, records)

    def search(self, secret: str, key: str | None, cells: Cells) -> Any:
        """Records with our key where the remote keeps it, else with just these cells."""

        def records() -> Sequence[State]:
            horizon = self._horizon(self.profile.find_lag)
            states = [s for s in (self._at(name, horizon) for name in self._born) if s and s.cells is not None]
            if self.profile.key:
                return [state for state in states if state.key == key]
            wanted = self._natural(cells)
            return [state for state in states if self._natural(state.cells or {}) == wanted]

        return self._serve("GET /search", secret, records)

    def upload(self, secret: str, photo: bytes) -> Any:
        """Store a photo; returns its name, which is of what was made of it."""

        def store() -> str:
            kept = self.shrink(photo)
            self.blobs[blob_uri(kept)] = kept
            return blob_uri(kept)

        return self._serve("POST /photos", secret, store)

    def send(self, secret: str, writes: Sequence[Write]) -> Any:
        """Do these writes; for each the record, or its id and version, or why it failed."""
        kinds = ",".join(dict.fromkeys(_kind(write) for write in writes))

        def answers() -> Sequence[State | tuple[str, str] | Status]:
            if len(writes) > self.profile.batch:
                raise Status(413, f"at most {self.profile.batch} writes in a request")
            return [self._answer(write) for write in writes]

        return self._serve(f"POST /records {kinds}", secret, answers)

    # -- inside

    def _serve(self, request: str, secret: str, work: Callable[[], Any]) -> Any:
        with self._lock:
            fault = self.faults.take(request)
            if fault is None or fault.kind == "slow":
                self._admit(secret)
                return work()
            if fault.kind == "throttle":
                raise Status(429, "too many requests", fault.retry_after)
            if fault.kind == "unavailable":
                raise Status(503, "unavailable")
            if fault.kind == "html":
                return "<html><body><h1>Maintenance</h1></body></html>"
            if fault.kind == "lost_before":
                raise Lost("before")
            self._admit(secret)
            work()
            raise Status(500, "internal error") if fault.kind == "error_after" else Lost("after")

    def _admit(self, secret: str) -> None:
        if secret != self.secret:
            raise Status(401, "who are you?")

    def _horizon(self, lag: float = 0.0) -> int:
        """How many events reads know of."""
        horizon = len(self._log) - self.behind
        lag = max(lag, self.profile.lag)
        if lag:
            edge = self.now() - timedelta(seconds=lag)
            while horizon > 0 and self._log[horizon - 1].at > edge:
                horizon -= 1
        return max(0, horizon)

    def _size(self, place: int) -> int:
        return self.profile.page if not self.short_pages else max(1, self.profile.page // 2 - place % 2)

    def _at(self, record_id: str, horizon: int) -> State | None:
        past = self._past.get(record_id, ())
        return next((state for state in reversed(past) if state.seq <= horizon), None)

    def _live(self, record_id: str) -> State:
        past = self._past.get(record_id)
        if not past or past[-1].cells is None:
            raise Status(404, f"no record {record_id}")
        return past[-1]

    def _view(self, state: State) -> Card:
        return state.view if state.view is not None else {}

    def _answer(self, write: Write) -> State | tuple[str, str] | Status:
        try:
            if write.id is None:
                state = self._create(write)
            else:
                old = self._live(write.id)
                if self.profile.conditional and write.version not in (None, old.version):
                    raise Status(412, "changed meanwhile")
                state = self._delete(old) if write.cells is None else self._update(old, write.cells, write.whole)
        except Status as failed:
            return failed
        if self.profile.answers == "record":
            return state
        return state.id, state.version + ("'" if self.lying else "")

    def _create(self, write: Write) -> State:
        at = self.now()
        blank = State(f"r{len(self._born) + 1}", 0, at, {}, key=write.key if self.profile.key else None)
        return self._update(blank, write.cells or {})

    def _update(self, old: State, changes: Cells, whole: bool = False) -> State:
        cells = {} if whole else dict(old.cells or {})
        for path, value in changes.items():
            if value is None:
                cells.pop(path, None)
            else:
                cells[path] = value
        cells, rows = _numbered(cells, old.rows)
        cells = self._stored(old.id, cells)
        return self._note(old, cells, extra={} if whole else old.extra, rows=rows)

    def _stored(self, record_id: str, cells: Cells) -> Cells:
        """The cells as the remote keeps them. Raises Status for what it refuses."""
        profile = self.profile
        kept: Cells = {}
        for path, value in self.reformat(cells).items():
            if path[0] in profile.slots and all(slot.name != path[1] for slot in profile.slots[path[0]]):
                raise Status(422, f"there is no {path[1]} among {path[0]}")
            if path[0] == "groups":
                value = self.groups.setdefault(path[1], value)
            if isinstance(value, str):
                value = value[: profile.cut]
            if path[-1] == "address" and len(value) > (profile.longest_address or 1_000):
                raise Status(422, "e-mail address too long")
            if value != "":
                kept[path] = value
            if path[0] == "media" and path[-1] == "uri":
                kept[*path[:2], "size"] = len(self.blobs[value])
        for path in profile.mandatory:
            if path not in kept:
                raise Status(422, f"{'.'.join(path)} is mandatory")
        if profile.unique and self._taken(record_id, kept):
            raise Status(409, "another record has this address")
        return kept

    def _taken(self, record_id: str, cells: Cells) -> bool:
        addresses = _addresses(cells)
        return any(
            past[-1].cells and addresses & _addresses(past[-1].cells)
            for key, past in self._past.items()
            if key != record_id
        )

    def _delete(self, old: State) -> State:
        return self._note(old, None)

    def _note(self, old: State, cells: Cells | None, extra: Mapping[str, Any] | None = None, rows: int = 0) -> State:
        """An event: the record is this from now on."""
        state = State(
            old.id,
            len(self._log) + 1,
            self.now(),
            cells,
            old.key,
            (extra or {}) if cells is not None else {},
            rows or old.rows,
            None if cells is None else self.profile.view(cells),
        )
        self._log.append(state)
        if state.id not in self._past:
            self._born.append(state.id)
        self._past.setdefault(state.id, []).append(state)
        return state

    def _natural(self, cells: Cells) -> Any:
        """What a record is recognised by where there is no place for our key."""
        if self.profile.unique:
            return _addresses(cells)
        same = Equivalence()
        return {(path[0], path[-1], same.key(path[0], path[-1], value)) for path, value in cells.items()}


def _kind(write: Write) -> str:
    if write.id is None:
        return "create"
    return "delete" if write.cells is None else "update"


def _addresses(cells: Cells) -> set[str]:
    return {str(value).casefold() for path, value in cells.items() if path[0] == "emails" and path[-1] == "address"}


def _numbered(cells: Cells, rows: int) -> tuple[Cells, int]:
    """The cells with ids for new rows, and the number of rows ever made."""
    fresh: dict[Path, str] = {}
    for path in cells:
        if len(path) == 3 and path[1].startswith("+") and path[:2] not in fresh:
            rows += 1
            fresh[path[0], path[1]] = str(rows)
    if not fresh:
        return cells, rows
    numbered: Cells = {}
    for path, value in cells.items():
        if path[-1] == "organizationId":
            value = fresh.get(("organizations", value), value)
        numbered[(path[0], fresh[path[:2]], path[2]) if path[:2] in fresh else path] = value
    return numbered, rows


# --- the connector -------------------------------------------------------------------------------------------


class MemoryConnector:
    """The connector of a `MemoryRemote`. secret: the account's password, by default the right one."""

    def __init__(self, remote: MemoryRemote, context: Context | None = None, secret: str | None = None) -> None:
        self.remote, self.profile = remote, remote.profile
        self.capabilities = remote.profile.capabilities
        self._context = context
        self._secret = remote.secret if secret is None else secret

    def fit(self, card: Card, held: Card | None) -> Card:
        return self.profile.fit(card, held)

    def check(self) -> Account:
        me = self._get(self.remote.whoami)
        return Account(label=me["account"], clock=me["now"])

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        if self.profile.listing == "versions":
            yield from self._versions(cursor)
        elif cursor is None or (isinstance(cursor, dict) and "after" in cursor):
            yield from self._everything(cursor)
        else:
            yield from self._news(cursor)

    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        """Every record; a listing that was broken off goes on at its cursor, but then proves no deletion."""
        place = cursor or {}
        after: int | None = place.get("after", 0)
        while after is not None:
            page = self._get(self.remote.listing, after)
            after = page["next"]
            if not place:
                place = {"epoch": page["epoch"], "seq": page["seq"]}
            at = {"epoch": place["epoch"], "seq": place["seq"]}
            yield Page(
                records=[self._record(state) for state in page["records"]],
                cursor=at if after is None else {**at, "after": after},
                complete=after is None and cursor is None,
            )

    def _news(self, cursor: Any) -> Iterator[Page]:
        if not isinstance(cursor, dict):
            raise CursorExpired("this cursor is not one of ours; a full listing is needed")
        epoch, seq, more = cursor.get("epoch"), cursor.get("seq"), True
        while more:
            page = self._get(self.remote.news, epoch, seq)
            seq, more = page["seq"], page["more"]
            yield Page(records=[self._record(s) for s in page["records"]], cursor={"epoch": epoch, "seq": seq})
        if not self.profile.tombstones:
            yield from self._present({"epoch": epoch, "seq": seq})

    def _present(self, cursor: Any) -> Iterator[Page]:
        """The ids of all records, so that what is gone can be told."""
        after: int | None = 0
        while after is not None:
            page = self._get(self.remote.listing, after)
            after = page["next"]
            yield Page(listed={s.id: None for s in page["records"]}, cursor=cursor, complete=after is None)

    def _versions(self, cursor: Any | None) -> Iterator[Page]:
        """Ids and versions of all records, if anything happened since the cursor."""
        after: int | None = 0
        start: dict[str, Any] | None = None
        while after is not None:
            page = self._get(self.remote.listing, after)
            start = start or {"epoch": page["epoch"], "seq": page["seq"]}
            if cursor == start:
                yield Page(cursor=start)
                return
            after = page["next"]
            yield Page(
                listed={s.id: s.version for s in page["records"]},
                cursor=start if after is None else None,
                complete=after is None,
            )

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for some in batched(ids, self.profile.page):
            found = {state.id: state for state in self._get(self.remote.fetch, some)}
            for record_id in some:
                yield self._record(found[record_id]) if record_id in found else Record(record_id, None)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        for push in pushes:
            for state in self._get(self.remote.search, push.key, self.profile.cells(push.card or {})):
                yield push.ref, self._record(state)

    def _record(self, state: State) -> Record:
        card = state.view
        photos = [photo["uri"] for photo in (card or {}).get("media", {}).values()]
        return Record(
            id=state.id,
            card=card,
            version=state.version,
            modified=self._modified(state.at),
            key=state.key,
            blobs={uri: self.remote.blobs[uri] for uri in photos},
        )

    def _modified(self, at: datetime) -> datetime | None:
        if not self.profile.modified:
            return None
        return datetime.fromtimestamp(at.timestamp() // tick * tick, UTC) if (tick := self.profile.tick) else at

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        for some in batched(pushes, self.capabilities.batch):
            yield from self._batch(some)

    def _batch(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        due: list[tuple[Push, Write]] = []
        for push in pushes:
            write = self._difference(push)
            if write is None:
                yield Outcome(push.ref, push.held)
            else:
                due.append((push, write))
        if not due:
            return
        try:
            answers = self._call(self.remote.send, [write for _, write in due])
        except (Uncertain, Refused) as failed:
            yield from (Outcome(push.ref, error=failed) for push, _ in due)
            return
        yield from self._outcomes([push for push, _ in due], answers)

    def _outcomes(self, pushes: Sequence[Push], answers: Sequence[Any]) -> Iterator[Outcome]:
        """What the remote made of the writes; read back where its answer does not tell."""
        unread: dict[str, Push] = {}
        for push, answer in zip(pushes, answers, strict=True):
            if isinstance(answer, Status):
                yield Outcome(push.ref, error=reaction(answer))
            elif push.card is None:
                record_id = push.held.id if push.held else push.ref
                yield Outcome(push.ref, Record(record_id, None))
            elif isinstance(answer, State):
                yield Outcome(push.ref, self._record(answer))
            else:
                unread[answer[0]] = push
        for record in self.read(list(unread)):
            yield Outcome(unread[record.id].ref, record)

    def _difference(self, push: Push) -> Write | None:
        """The write that makes the record what the push wants; None where it is that already."""
        if push.held is None:
            return Write(None, self._photos(push, self.profile.cells(push.card or {})), key=push.key)
        if push.card is None:
            return Write(push.held.id, None, push.held.version)
        before, after = self.profile.cells(push.held.card or {}), self.profile.cells(push.card)
        paths = {**before, **after}
        changes = {path: after.get(path) for path in paths if before.get(path) != after.get(path)}
        return Write(push.held.id, self._photos(push, changes), push.held.version) if changes else None

    def _photos(self, push: Push, cells: Cells) -> Cells:
        """The cells with photos uploaded, named as the remote names them."""
        named = dict(cells)
        for path, uri in cells.items():
            if path[0] == "media" and path[-1] == "uri" and uri is not None:
                named[path] = self._get(self.remote.upload, push.blob(uri))
        return named

    # -- requests

    def _get(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        """A request that may be repeated: without an answer, nothing took effect."""
        try:
            return self._call(endpoint, *parts)
        except Uncertain as unknown:
            raise Unreachable(str(unknown)) from None

    def _call(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        if self._context:
            self._context.requests("POST" if endpoint == self.remote.send else "GET", 0, 0)
        try:
            answer = endpoint(self._secret, *parts)
        except Status as status:
            raise reaction(status) from None
        except Lost:
            raise Uncertain("the connection broke before an answer came") from None
        if isinstance(answer, str) and endpoint != self.remote.upload:
            raise Uncertain("a web page came in place of an answer; is the remote in maintenance?")
        return answer

    def close(self) -> None:
        """Nothing is held open."""


def reaction(status: Status) -> Error:
    """What a status asks us to do."""
    if status.code == 429:
        return Throttled(str(status), status.retry_after)
    kinds: Mapping[int, type[Error]] = {
        401: Unauthorised,
        404: Missing,
        409: Refused,
        410: CursorExpired,
        412: Stale,
        413: Refused,
        422: Refused,
        503: Unreachable,
    }
    return kinds.get(status.code, Uncertain)(str(status))


def tidy_phones(cells: Cells) -> Cells:
    """A reformatting remote: phone numbers come back with blanks after every third digit."""
    return {
        path: _spaced(value) if path[0] == "phones" and path[-1] == "number" else value for path, value in cells.items()
    }


def _spaced(number: str) -> str:
    packed = "".join(number.split())
    return " ".join(packed[at : at + 3] for at in range(0, len(packed), 3))


def without(*fields: str) -> Callable[[Cells], Cells]:
    """A remote that takes these fields without a word and forgets them."""

    def forget(cells: Cells) -> Cells:
        return {path: value for path, value in cells.items() if path[0] not in fields}

    return forget


def read_all(connector: MemoryConnector, ids: Iterable[str]) -> dict[str, Record]:
    """These records by id."""
    return {record.id: record for record in connector.read(list(ids))}
