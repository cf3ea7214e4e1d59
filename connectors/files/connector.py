"""A file of contacts as a system that is only read."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson
from pydantic import Field, field_validator

from connectors.card import SLOT, VALUE, Card, Leaves, card_of, leaves
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, Settings, batched
from connectors.errors import Refused
from connectors.files.cards import JsCards, VCards
from connectors.files.edits import Roll, moved, pack, unpack
from connectors.files.headers import place
from connectors.files.rows import Records, survey
from connectors.files.source import Format, Options, Source

PAGE: Final = 500
"""Records a page."""

READING: Final = 2
"""Raised when the same bytes give other cards, so that files are read again."""

FIELDS: Final = frozenset({*VALUE, "kind", "name", "keywords"})


class FileSettings(Settings):
    """Where the file is, and what a person decided about it."""

    # The same source comes from another folder each time; who a row is, is told by what is in it.
    tuning: ClassVar[frozenset[str]] = frozenset(
        {"path", "format", "region", "sheet", "columns", "delimiter", "encoding", "snapshot", "imported"}
    )

    path: str = Field(description="The file: CSV, TSV, XLSX, vCard (.vcf) or JSContact (.json).")
    format: Format | None = Field(None, description="What is in it; found out by its content where absent.")
    region: str | None = Field(
        None, description="Where its people live, as a remark: numbers are taken as written, whatever it says."
    )
    sheet: str = Field("", description="The sheet of a workbook; where absent, the one with the best header.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description='What columns are, where their headers do not tell: {"Kontakt 2": "phones/work"}.',
    )
    delimiter: str = Field("", max_length=1, description="Between the cells of a text file, where it is not found out.")
    encoding: str = Field("", description="Of a text file, where it is not found out (utf-8, cp1252, cp932, …).")
    snapshot: bool = Field(False, description="The file always names everybody: who is no longer in it is deleted.")
    imported: str = Field(
        "", description="When `concord import` took it in: it is read then, not at every sync, and may be gone since."
    )

    @field_validator("columns")
    @classmethod
    def _known_places(cls, columns: dict[str, str]) -> dict[str, str]:
        for path in columns.values():
            place(path)
        return {header.strip(): path for header, path in columns.items()}

    @property
    def options(self) -> Options:
        """How to read it."""
        return Options(self.format, self.sheet, self.delimiter, self.encoding, self.columns)


class Files:
    """One file. It is read as a whole when its bytes have changed, and not at all when they have not."""

    capabilities = Capabilities(
        fields=FIELDS, tombstones=False, conditional=False, creates=False, updates=False, deletes=False
    )

    def __init__(self, settings: FileSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._path = Path(settings.path).expanduser()

    def fit(self, card: Card, held: Card | None) -> Card:
        """What stands in the file, in the card's present words: nothing can be added to a file."""
        if held is None:
            return {}
        ours = leaves(card)
        kept: Leaves = {path: ours[path] for path in leaves(held) if path in ours}
        elements = {path[:2] for path in kept if len(path) > 2}
        kept |= {path: value for path, value in leaves(held).items() if path[-1] == SLOT and path[:2] in elements}
        return card_of(kept)

    def check(self) -> Account:
        """Open the file and find out what it is. Raises Refused or Unreachable."""
        if when := self._settings.imported[:10]:
            return Account(f"{self._path.name} (imported {when})", ["it is read when it is imported, and may be gone"])
        with Source(self._path) as source:
            kind = self._settings.format or source.sniff()
            notes = ["a file is only read; edits made elsewhere do not go into it"]
            if not self._settings.snapshot:
                notes.append("who is missing from it is not deleted (setting `snapshot`)")
            label = f"{self._path.name} ({kind})"
            if kind in ("csv", "xlsx"):
                table = source.table(self._settings.options, kind)
                found = survey(table, self._settings.columns)
                label = f"{self._path.name} ({kind}, layout {found.layout.name}, {found.rows:,} rows)"
                notes += table.facts.notes
            return Account(label, notes)

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """Every contact of the file, if it is not the one that the cursor stands for.

        The cursor remembers who was in it, so that a row is followed whose id was edited. It comes with the last page:
        a run that breaks off reads the file again. The last page is `complete` for a snapshot, unless a row was refused
        that nobody can tell the owner of: its absence would look like a deletion.

        What was imported is read at the import, and then no more.
        """
        known = cursor or {}
        imported = {"imported": self._settings.imported}
        if self._settings.imported and (imported.items() <= known.items() or not self._path.exists()):
            return
        with Source(self._path) as source:
            here = {"sha256": source.sha256(), "reading": self._reading()}
            if here.items() <= known.items():
                if not imported.items() <= known.items():
                    yield Page(cursor=known | imported)
                return
            former = self._moved(source, known.get("rows", ""))
            records, roll = self._records(source), Roll()
            pages = batched(map(partial(_followed, former), roll.noting(records)), PAGE)
            last: list[Record] = next(pages, [])
            for page in pages:
                yield Page(last)
                last = page
            source.unchanged()
            rows = {"rows": pack(roll.editable(records.doubtful))}
            complete = self._settings.snapshot and not records.unnamed
            yield Page(last, cursor=here | imported | rows, complete=complete)

    def _moved(self, source: Source, rows: str) -> dict[str, str]:
        """{id: former id} of the rows whose id was edited since."""
        if not rows:
            return {}
        records, roll = self._records(source), Roll()
        deque(roll.noting(records), 0)
        return moved(unpack(rows), roll.editable(records.doubtful), roll.names)

    def _reading(self) -> str:
        """The fingerprint of all that decides, beside the bytes, what is read."""
        said = self._settings.model_dump(mode="json", exclude={"path", "region", "imported"})
        return hashlib.sha256(orjson.dumps([READING, said], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    def _records(self, source: Source) -> Records | VCards | JsCards:
        kind = self._settings.format or source.sniff()
        if kind == "vcard":
            return VCards(source.file)
        if kind == "jscontact":
            return JsCards(source.file)
        table = source.table(self._settings.options, kind)
        return Records(table, survey(table, self._settings.columns))

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        """These contacts; the file is gone through once."""
        wanted = set(ids)
        with Source(self._path) as source:
            for record in self._records(source):
                if record.id in wanted:
                    wanted.remove(record.id)
                    yield record
        for ident in ids:
            if ident in wanted:
                yield Record(ident, None)

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """Refused, all of them."""
        for push in pushes:
            yield Outcome(push.ref, error=Refused("a file is only read; export the contacts to a new file instead"))

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """Nothing is ever created here."""
        return iter(())

    def close(self) -> None:
        """Nothing is held open between calls."""


def _followed(former: Mapping[str, str], record: Record) -> Record:
    return replace(record, aliases=(former[record.id],)) if record.id in former else record


def open_files(settings: FileSettings, context: Context) -> Files:
    """The connector of one file."""
    return Files(settings, context)
