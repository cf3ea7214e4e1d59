"""From the rows of a table to records. Read twice: first who is in it and in which order days and months stand, then
the contacts themselves, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

from connectors.card import Card, Equivalence, digest, problem
from connectors.consent import Consent
from connectors.contract import Record
from connectors.errors import Refused
from connectors.files import cells, headers
from connectors.files.consents import Consents
from connectors.files.headers import HEADER_SEARCHED, SYNC, Layout
from connectors.files.identity import Identity, Who, merged
from connectors.files.mapping import Reader
from connectors.files.tables import MAX_COLUMNS, WHOLE, Row, Table, looks_empty

UNNAMED: Final = "row:"
"""Begins the id of a refused row that we cannot recognise again once it is edited."""

NOBODY: Final = "there is no name, no e-mail address and no phone number in it"

_DELETE: Final = frozenset({"delete", "x", "löschen", "remove"})
_SHORT: Final = 4_000
"""A row of so few characters has neither a text nor a list that is too long."""
_SAME: Final = Equivalence().element_key


@dataclass
class Survey:
    """What the first reading found. orders: {index of a date column: "dmy" or "mdy"}; unsure: columns where both are
    possible; keys and (key, name) pairs go by their hash."""

    layout: Layout
    header_row: int
    rows: int = 0
    orders: dict[int, str] = field(default_factory=dict)
    unsure: dict[int, str] = field(default_factory=dict)
    names_of: dict[int, int | None] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)


def survey(table: Table, chosen: Mapping[str, str]) -> Survey:
    """Read a table for the first time.

    Raises Refused where no header row is found, or the file is broken.
    """
    found = _header(table, chosen)
    dates = {
        c.index: [0, 0, 0] for c in found.layout.columns if (c.place.field, c.place.prop) == ("anniversaries", "date")
    }
    identity = Identity(found.layout)
    seen: set[int] = set()
    for row in _body(table, found):
        found.rows += 1
        for index, seen_of in dates.items():
            _count(cells.clean(row.cells[index]), seen_of)
        if _fault(row, found.layout):
            continue
        who = identity.of(row.cells)
        if who.natural:
            one, both = hash(who.key), hash((who.key, who.name))
            if found.names_of.setdefault(one, both) != both:
                found.names_of[one] = None
            if both in seen:
                found.repeated.add(both)
            seen.add(both)
    for index, (first, second, any_) in dates.items():
        _decide(found, index, first, second, any_)
    return found


def _header(table: Table, chosen: Mapping[str, str]) -> Survey:
    head = list(islice(table.rows(), HEADER_SEARCHED))
    best = max(head, key=lambda row: headers.score(row.cells, chosen), default=None)
    if best is None or not headers.score(best.cells, chosen):
        raise Refused(
            f"no header row is found in the first {HEADER_SEARCHED} rows: name the columns (Name, E-mail, Phone …), "
            "or say by the setting `columns` what they are"
        )
    width = len(best.cells)
    while width and not best.cells[width - 1].strip():
        width -= 1
    if width > MAX_COLUMNS:
        raise Refused(f"the table has {width:,} columns; at most {MAX_COLUMNS:,} are read")
    missing = chosen.keys() - {cell.strip() for cell in best.cells}
    if missing:
        raise Refused(f"the setting `columns` names headers that are not in the file: {', '.join(sorted(missing))}")
    return Survey(headers.layout(best.cells[:width], chosen), best.number)


def _body(table: Table, found: Survey) -> Iterator[Row]:
    """The rows under the header that have anything in them, as wide as the header at least."""
    width = len(found.layout.columns)
    for row in table.rows():
        if row.number <= found.header_row or looks_empty(row.cells):
            continue
        if len(row.cells) < width:
            row.cells.extend([""] * (width - len(row.cells)))
        yield row


def _count(text: str, seen: list[int]) -> None:
    numbers = cells.day_month(text) if text else None
    if numbers and not cells.no_date(text):
        seen[2] += 1
        seen[0] += numbers[0] > 12
        seen[1] += numbers[1] > 12


def _decide(found: Survey, index: int, first: int, second: int, total: int) -> None:
    """A day beyond 12 anywhere in the column tells the order of all its dates."""
    if first and not second:
        found.orders[index] = "dmy"
    elif second and not first:
        found.orders[index] = "mdy"
    elif total:
        mixed = "dates of both orders, day first and month first, stand in it" if first else "day or month first?"
        found.unsure[index] = f"{total:,} dates kept as text: {mixed}"


def _fault(row: Row, layout: Layout) -> str:
    """Why a row cannot be read; "" where it can."""
    width = len(layout.columns)
    if whole := row.faults.get(WHOLE):
        return whole
    if len(row.cells) > width and any(cell.strip() for cell in row.cells[width:]):
        return f"has {len(row.cells):,} cells under {width:,} headers; is text with a delimiter not in quotation marks?"
    for index, why in row.faults.items():
        if index < width and layout.columns[index].place.field not in ("extra", "consent"):
            return f"column {layout.columns[index].header!r} {why}"
    return ""


@dataclass(frozen=True, slots=True)
class _Waiting:
    who: Who
    card: Card
    number: int
    consents: tuple[Consent, ...]


class Records:
    """The second reading: every row as a record, refused ones with their reason.

    unnamed: refused rows so far that no id stands for, so that their absence later would say nothing. doubtful: the
    names in those that could not be read.
    """

    def __init__(self, table: Table, found: Survey) -> None:
        self._table, self._found = table, found
        self._consents = Consents(found.layout)
        self.unnamed = 0
        self.doubtful: set[str] = set()

    def __iter__(self) -> Iterator[Record]:
        reader, identity = Reader(self._found.layout, self._found.orders), Identity(self._found.layout)
        repeated: dict[str, list[_Waiting]] = {}
        for row in _body(self._table, self._found):
            if fault := _fault(row, self._found.layout):
                self.doubtful.add(identity.of(row.cells).name)
                yield self._refused(row, fault)
                continue
            who = identity.of(row.cells)
            ident = self._id(who)
            if reason := self._wrong(who, row):
                yield self._refused(row, reason, ident)
            elif who.uid and who.action in _DELETE:
                yield Record(ident, None, key=who.uid)
            elif hash((who.key, who.name)) in self._found.repeated:
                waiting = _Waiting(who, reader.read(row.cells), row.number, self._consents.of(row.cells))
                repeated.setdefault(ident, []).append(waiting)
            else:
                yield self._record(ident, who, reader.read(row.cells), row)
        for ident, group in repeated.items():
            yield from self._one_of(ident, group)

    def _id(self, who: Who) -> str:
        """The record's id; "" where nothing tells.

        Where two people share a key (a couple's address) their names tell them apart, for both alike: which one
        comes first in the file must not matter.
        """
        ident = who.uid or who.natural
        if ident and who.natural and self._found.names_of.get(hash(who.key)) is None:
            ident = f"{ident}#{who.name}"
        if len(ident) > 200:
            ident = f"{ident[:150]}~{blake2b(ident.encode(), digest_size=12).hexdigest()}"
        return ident

    def _wrong(self, who: Who, row: Row) -> str:
        if not who.natural and not (who.uid and (who.action in _DELETE or self._says(row))):
            return NOBODY
        if self._found.layout.name == "linkedin" and not who.name:
            return "there is no name in it (LinkedIn lists closed accounts so)"
        return ""

    def _says(self, row: Row) -> bool:
        """Is there anything in a row besides its key? An address alone is somebody, where the key says who."""
        columns = self._found.layout.columns
        return any(row.cells[c.index].strip() for c in columns if c.place.field not in SYNC)

    def _record(self, ident: str, who: Who, card: Card, row: Row) -> Record:
        # A short row cannot be beyond any bound, and to ask costs as much as to read it.
        reason = problem(card) if sum(map(len, row.cells)) > _SHORT else None
        return self._refused(row, reason, ident) if reason else _made(ident, who, card, self._consents.of(row.cells))

    def _refused(self, row: Row, reason: str, ident: str = "") -> Record:
        if not ident:
            self.unnamed += 1
            ident = UNNAMED + blake2b("\0".join(row.cells).encode("utf-8", "replace"), digest_size=12).hexdigest()
        return Record(ident, None, refused=f"row {row.number:,}: {reason}")

    def _one_of(self, ident: str, group: Sequence[_Waiting]) -> Iterator[Record]:
        """Rows of one person: one record where they agree, else the first, and the others refused."""
        first, *others = group
        card = first.card
        refused = []
        for other in others:
            both = merged(card, other.card, _SAME)
            if both is None or problem(both):
                refused.append(other)
            else:
                card = both
        yield _made(ident, first.who, card, first.consents)
        for other in refused:
            yield Record(
                f"{ident}#{digest(other.card)}",
                None,
                refused=f"row {other.number:,}: it is the person of row {first.number:,} (same key, same name) but "
                "says otherwise; make them one row",
            )


def _made(ident: str, who: Who, card: Card, consents: tuple[Consent, ...]) -> Record:
    raw: dict[str, Any] | None = {"rev": who.rev} if who.rev else None
    key = who.uid if who.uid == ident else None  # a copied row is somebody new
    return Record(ident, card, digest(card), key=key, raw=raw, consents=consents)
