"""The records of a text with delimiters, where quotation marks may have been forgotten.

A mark that opens a cell and is never closed makes one cell of everything up to the next mark, or to the end. Then only
its own line is lost: the lines after it are read anew. Line breaks in cells that are closed stay what they are.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MAX_RECORD: Final = 16 * 1024 * 1024
"""A cell of more characters is never looked for the end of."""

csv.field_size_limit(MAX_RECORD)  # of the process; what is too long for a contact is refused by its row


class Cells(NamedTuple):
    """One record. fault: why it cannot be read, "" where it can."""

    cells: list[str]
    fault: str = ""


class _Lines:
    """The lines of a text. taken: those of the record that is being read; they can be put back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines, self._again = iter(lines), deque[str]()
        self.taken: list[str] = []
        self.number = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """The record is read; the next one begins."""
        self.number += len(self.taken)
        self.taken = []

    def keep_first(self) -> None:
        """Only the first line is of this record; the others are read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]
        self.ended = False


def records(text: Iterable[str], delimiter: str) -> Iterator[Cells]:
    """The records of a text, whose lines keep their ends."""
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter)
    width = broken = 0
    while True:
        lines.begin()
        cells = _next(reader)
        number = lines.number + 1
        if cells is None and not lines.taken:
            return
        if cells is None or _never_closed(lines, delimiter, width):
            broken = number
            why = _OPEN if lines.ended or len(lines.taken) > 1 else _LONG
            lines.keep_first()
            yield Cells(_bare(lines.taken[0], delimiter), why.format(number))
        elif broken and cells and len(cells) != width:
            yield Cells(cells, _REST.format(broken))
        else:
            broken, width = 0, len(cells) or width
            yield Cells(cells)


_OPEN: Final = "a quotation mark in line {:,} opens a text and is never closed; close it, or take it away"
_LONG: Final = f"a cell in line {{:,}} has more than {MAX_RECORD >> 20} MB"
_REST: Final = "it seems to be the rest of line {:,}, where a quotation mark is never closed"


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next record; None where there is none, or none can be read."""
    try:
        return next(reader, None)
    except csv.Error:
        return None


def _never_closed(lines: _Lines, delimiter: str, width: int) -> bool:
    """Is more in this record than one row of the table?

    Either the text ended within a cell; or the mark that closed it was meant to open another, for what follows it is no
    delimiter, and a line that it swallowed is a row by itself.
    """
    if lines.ended or len(lines.taken) == 1:
        return lines.ended
    try:
        deque(csv.reader(lines.taken, delimiter=delimiter, strict=True), 0)
    except csv.Error:
        return any(len(_next(csv.reader([line], delimiter=delimiter)) or ()) == width for line in lines.taken[1:])
    return False


def _bare(line: str, delimiter: str) -> list[str]:
    """The cells of a line as far as they can be told."""
    return line.replace('"', "").rstrip("\r\n").split(delimiter)
