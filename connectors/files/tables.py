"""Tables of text cells: what CSV and XLSX files are read as (spreadsheets note, "Read")."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Final, NamedTuple, Protocol

from connectors.errors import Refused
from connectors.files import charsets, quotes
from connectors.files.cells import unshield
from connectors.files.headers import HEADER_SEARCHED
from connectors.files.quotes import Cells

MAX_COLUMNS: Final = 1_000
"""A table may have so many columns."""

WHOLE: Final = -1

Score = Callable[[Sequence[str]], int]
"""How much a row looks like a header."""


class Row(NamedTuple):
    """One row. number: as a spreadsheet counts, from 1. faults: {index of a cell, WHOLE of all: why it cannot be
    trusted}."""

    number: int
    cells: list[str]
    faults: Mapping[int, str]


@dataclass
class Facts:
    """What is to be told about a table. guessed: its bytes do not prove the encoding. odd: {(what, index of the
    column): cells}, complete once it was read."""

    format: str
    encoding: str = ""
    guessed: bool = False
    delimiter: str = ""
    sheet: str = ""
    other_sheets: Sequence[str] = ()
    odd: Counter[tuple[str, int]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def doubt(self) -> str:
        """What a person should know who sees odd letters; "" where the encoding is sure."""
        if not self.guessed:
            return ""
        return (
            f"the file does not tell its encoding; {self.encoding} is a guess. If letters look odd, import it again "
            "with the right one (--encoding NAME at a terminal: cp1252, cp1251 or cp932, say), or save it as CSV UTF-8"
        )


class Table(Protocol):
    """Rows that can be read again and again."""

    facts: Facts

    def rows(self) -> Iterator[Row]:
        """The rows from the first. Raises Refused where the file is broken."""
        ...


NO_FAULTS: Final[Mapping[int, str]] = {}
_DELIMITERS: Final = (",", ";", "\t", "|")
_UNDECODED: Final = "has bytes that are not {encoding}; save the file as CSV UTF-8"


class CsvTable:
    """Text with delimiters. Encoding and delimiter are found out unless given.

    Raises Refused for what is no text, is empty, or has no cell under any delimiter.
    """

    def __init__(self, file: IO[bytes], score: Score, encoding: str = "", delimiter: str = "") -> None:
        found = charsets.Charset(charsets.known(encoding)) if encoding else charsets.detect(file)
        if not found:
            raise Refused("this is not a text file; export the contacts as CSV, XLSX, vCard or JSON")
        self._file = file
        self.facts = Facts("csv", encoding=found.name, guessed=found.guessed)
        self.facts.delimiter = delimiter or self._announced() or self._delimiter(score)
        self.facts.format = "tsv" if self.facts.delimiter == "\t" else "csv"

    def rows(self) -> Iterator[Row]:
        """The rows, the line `sep=;` that Excel takes for an order included."""
        encoding = self.facts.encoding
        undecoded = _UNDECODED.format(encoding=encoding)
        for number, (cells, fault) in enumerate(self._records(self.facts.delimiter), 1):
            faults = {WHOLE: fault} if fault else NO_FAULTS
            whole = "".join(cells)
            for at, cell in () if whole.isascii() and "'" not in whole else enumerate(cells):
                if cell[:1] == "'":
                    cells[at] = unshield(cell)
                if not cell.isascii() and any("\udc80" <= char <= "\udcff" or char == "\ufffd" for char in cell):
                    # Shown as far as it can be read; such a cell is never taken for a value.
                    cells[at] = cell.encode("utf-8", "replace").decode()
                    faults = {**faults, at: undecoded}
            yield Row(number, cells, faults)

    def _records(self, delimiter: str) -> Iterator[Cells]:
        self._file.seek(0)
        errors = "surrogateescape" if self.facts.encoding.startswith("utf-8") else "replace"
        text = io.TextIOWrapper(self._file, self.facts.encoding, errors, newline="")
        try:
            yield from quotes.records(text, delimiter)
        except UnicodeError as error:
            raise Refused(f"the file is not {self.facts.encoding}: {error}") from None
        finally:
            if not self._file.closed:
                text.detach()

    def _announced(self) -> str:
        """The delimiter that a first line `sep=;` tells."""
        first = next(self._records("\0"), Cells([]))
        line = first.cells[0] if first.cells else ""
        return line[4] if len(line) == 5 and line.lower().startswith("sep=") else ""

    def _delimiter(self, score: Score) -> str:
        """The delimiter under which the best header is found; csv.Sniffer errs on preambles (spreadsheets note)."""

        def points(delimiter: str) -> tuple[int, int]:
            try:
                head = [one.cells for one in islice(self._records(delimiter), HEADER_SEARCHED)]
            except Refused:
                return 0, 0
            widths = Counter(len(cells) for cells in head if len(cells) > 1)
            return max(map(score, head), default=0), max(widths.values(), default=0)

        return max(_DELIMITERS, key=points)


def looks_empty(cells: Sequence[str]) -> bool:
    """Is there nothing in this row?"""
    return not any(cells) or "".join(cells).isspace()
