"""What an import would make of a file, told before it is done."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from connectors.card import VALUE
from connectors.files.cards import JsCards, VCards
from connectors.files.consents import Consents
from connectors.files.headers import EXTRA, Column
from connectors.files.rows import Records, Survey, survey
from connectors.files.source import Options, Source
from connectors.files.tables import Table
from connectors.files.workbook import ERROR

SAMPLES: Final = 3
REFUSED_SHOWN: Final = 100

_CONSENT: Final = "consent: not a card field, kept as extra"
_HEARD: Final = "consent: goes into its ledger, and is kept as extra"
_EXTRA: Final = "kept as extra"


@dataclass
class ColumnReport:
    """One column: its header, what it becomes in words, some of its values, in how many rows it is filled."""

    header: str
    becomes: str
    samples: list[str] = field(default_factory=list)
    filled: int = 0


@dataclass
class Inspection:
    """A file as it would be imported. `as_json` for the API.

    rows: below the header; contacts: records that come out of them; deletions: rows that ask for one.
    refused: (id, reason) of the first ones, refused_count of all. dates: columns whose day and month are unsure.
    suspicious: what a person should look at. notes: what was decided. fields: how many contacts have each field.
    """

    file: str
    format: str
    encoding: str = ""
    delimiter: str = ""
    layout: str = ""
    sheet: str = ""
    other_sheets: list[str] = field(default_factory=list)
    header_row: int = 0
    rows: int = 0
    contacts: int = 0
    deletions: int = 0
    refused_count: int = 0
    refused: list[str] = field(default_factory=list)
    columns: list[ColumnReport] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    suspicious: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def inspect(path: Path | str, options: Options | None = None) -> Inspection:
    """Read a file without importing it. Raises Refused or Unreachable for a file that cannot be read at all."""
    options = options or Options()
    with Source(Path(path)) as source:
        kind = options.format or source.sniff()
        found = Inspection(source.path.name, kind)
        if kind == "vcard":
            _count(found, VCards(source.file))
            found.rows = found.contacts + found.refused_count
        elif kind == "jscontact":
            _count(found, JsCards(source.file))
            found.rows = found.contacts + found.refused_count
        else:
            _table(found, source.table(options, kind), options)
        return found


def check(path: Path, options: Options) -> str:
    """Read a file as far as it takes to know that it can be read at all; what a person should know who takes it in, or
    "". Raises Refused or Unreachable."""
    with Source(path) as source:
        kind = options.format or source.sniff()
        if kind == "jscontact":
            deque(JsCards(source.file), 0)
        if kind in ("vcard", "jscontact"):
            return ""
        table = source.table(options, kind)
        survey(table, options.columns or {})
        return table.facts.doubt


def _table(found: Inspection, table: Table, options: Options) -> None:
    seen = survey(table, options.columns or {})
    facts = table.facts
    found.format, found.encoding, found.delimiter = facts.format, facts.encoding, facts.delimiter
    found.sheet, found.other_sheets = facts.sheet, list(facts.other_sheets)
    found.layout, found.header_row, found.rows = seen.layout.name, seen.header_row, seen.rows
    found.columns = [ColumnReport(c.header, _becomes(c, seen)) for c in seen.layout.columns]
    for row in table.rows():
        if row.number > seen.header_row:
            for report, text in zip(found.columns, row.cells, strict=False):
                _sample(report, text)
    kept = _count(found, Records(table, seen))
    found.notes += facts.notes
    headers = {column.index: column for column in seen.layout.columns}
    found.dates = [f"{headers[index].header}: {why}" for index, why in seen.unsure.items()]
    found.suspicious = [*filter(None, [facts.doubt]), *_suspicious(table, headers)]
    found.suspicious += _misplaced(kept, seen)
    doubled = len(seen.repeated)
    if doubled:
        found.suspicious.append(f"{doubled:,} people stand in several rows (same key, same name)")
    shared = sum(1 for names in seen.names_of.values() if names is None)
    if shared:
        found.suspicious.append(f"{shared:,} e-mail addresses or other keys are shared by people of different names")


def _becomes(column: Column, seen: Survey) -> str:
    place = column.place
    if place.field == "consent":
        return _HEARD if column.header in Consents(seen.layout).headers else _CONSENT
    if place.field == "extra":
        return _EXTRA
    if place.field == "id":
        return "recognises the row; " + _EXTRA
    if order := seen.orders.get(column.index):
        return f"{place.words}, {'day' if order == 'dmy' else 'month'} first"
    return place.words


def _sample(report: ColumnReport, text: str) -> None:
    if not text.strip():
        return
    report.filled += 1
    if len(report.samples) < SAMPLES and text not in report.samples:
        report.samples.append(text[:80])


def _suspicious(table: Table, headers: dict[int, Column]) -> Iterator[str]:
    for (what, index), count in sorted(table.facts.odd.items()):
        column = headers.get(index)
        if column is None:
            continue
        if what == ERROR:
            yield f"{column.header}: {count:,} cells hold an error (#N/A, #REF!, …) and count as empty"
        elif what == "number" and column.place.field == "phones":
            yield f"{column.header}: {count:,} phone numbers are stored as numbers; a leading + or 0 may be missing"
        elif what == "format":
            yield f"{column.header}: {count:,} numbers are taken as their format shows them (leading zeros)"


_MEANT: Final = {"emails": "e-mail address", "phones": "phone number"}


def _misplaced(kept: Counter[str], seen: Survey) -> Iterator[str]:
    """Cells that do not hold what their column is for."""
    for column in seen.layout.columns:
        meant, count = _MEANT.get(column.place.field), kept[EXTRA + column.header]
        if meant and count:
            yield f"{column.header}: {count:,} cells hold no {meant}; what they hold is kept as extra"


def _count(found: Inspection, records: Records | VCards | JsCards) -> Counter[str]:
    """Count what comes of the records; how many have each column that is only kept."""
    fields: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for record in records:
        if record.refused:
            found.refused_count += 1
            if len(found.refused) < REFUSED_SHOWN:
                found.refused.append(record.refused)
        elif record.card is None:
            found.deletions += 1
        else:
            found.contacts += 1
            fields.update(field for field in record.card if field in VALUE or field in ("name", "keywords"))
            kept.update(field for field in record.card if field.startswith(EXTRA))
    found.fields = dict(fields)
    return kept
