"""XLSX as a table of text cells (spreadsheets note, "Cell traps").

openpyxl reads the cells, row by row. What its streaming reader does not show (hidden rows, merged cells, formulas that
were never calculated) is read from the sheet's XML beforehand.
"""

from __future__ import annotations

import datetime
import operator
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import IO, Any, Final
from xml.etree import ElementTree

import openpyxl
from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from connectors.errors import Refused
from connectors.files.headers import HEADER_SEARCHED
from connectors.files.tables import MAX_COLUMNS, NO_FAULTS, Facts, Row, Score

MAX_UNPACKED: Final = 512 * 1024 * 1024
"""A workbook may unpack to so many bytes …"""
MAX_RATIO: Final = 200
"""… and to so many times its size, once it is beyond 32 MiB. Real sheets pack 5 to 50 times."""
MAX_PARTS: Final = 5_000

_BROKEN: Final = "this workbook is damaged ({}); open it in a spreadsheet program and save it again as .xlsx"
_UNCALCULATED: Final = "is a formula without a result; open the file in Excel and save it"
_ROUNDED: Final = "is a number of more than 15 digits, which Excel has rounded; make the cell text and type it again"
ERROR: Final = "error"


def check_archive(file: IO[bytes]) -> None:
    """Refuse what must not be unpacked, and what is no .xlsx inside."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise Refused(_BROKEN.format(error)) from None
    names = {part.filename for part in parts}
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    bomb = unpacked > 32 * 1024 * 1024 and unpacked / packed > MAX_RATIO
    if unpacked > MAX_UNPACKED or bomb or len(parts) > MAX_PARTS:
        raise Refused(f"the archive would unpack to {unpacked / 1048576:,.0f} MB; such a file is not opened")
    if any(part.flag_bits & 1 for part in parts):
        raise Refused("the archive is protected by a password; save it without one")
    if "xl/vbaProject.bin" in names:
        raise Refused("workbooks with macros (.xlsm) are not opened; save it as .xlsx")
    if "xl/workbook.bin" in names:
        raise Refused("binary workbooks (.xlsb) cannot be read; save it as .xlsx")
    if "content.xml" in names and "mimetype" in names:
        raise Refused("OpenDocument (.ods) cannot be read; save it as .xlsx or .csv")
    if "xl/workbook.xml" not in names:
        raise Refused("a ZIP archive without a workbook in it; unpack it and give the CSV, XLSX or vCard file inside")


@dataclass
class Traits:
    """What a sheet has besides values. uncalculated: {row: indices}; down: {(row, index): rows it reaches down to}."""

    hidden: int = 0
    merged: list[str] = field(default_factory=list)
    uncalculated: dict[int, set[int]] = field(default_factory=dict)
    down: dict[tuple[int, int], int] = field(default_factory=dict)


class XlsxTable:
    """One sheet of a workbook: the one named, else the one whose header is the best.

    Raises Refused for a workbook that cannot be read, or that has no such sheet.
    """

    def __init__(self, file: IO[bytes], score: Score, sheet: str = "") -> None:
        check_archive(file)
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except Exception as error:  # openpyxl raises whatever the XML made stumble
            raise Refused(_BROKEN.format(type(error).__name__)) from None
        # Typed as an ordinary worksheet, which the one that streams is not.
        sheets: dict[str, Any] = {one.title: one for one in self._book.worksheets if isinstance(one, ReadOnlyWorksheet)}
        for one in sheets.values():
            one.reset_dimensions()
        if sheet and sheet not in sheets:
            raise Refused(f"there is no sheet {sheet!r}; there are: {', '.join(sheets)}")
        shown = [name for name, one in sheets.items() if one.sheet_state == "visible"] or list(sheets)
        if not shown:
            raise Refused("there is no sheet in this workbook")
        chosen = sheet or (max(shown, key=lambda name: self._best(sheets[name], score)) if len(shown) > 1 else shown[0])
        self._sheet = sheets[chosen]
        self.facts = Facts("xlsx", sheet=chosen, other_sheets=[name for name in sheets if name != chosen])
        self._traits: Traits | None = None

    def _best(self, sheet: Any, score: Score) -> int:
        rows = islice(self._cells(sheet), HEADER_SEARCHED)
        return max((score([str(cell.value or "") for cell in row]) for row in rows), default=0)

    def _cells(self, sheet: Any) -> Iterator[tuple[Any, ...]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = iter(sheet.iter_rows())
            while True:
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except Exception as error:
                    raise Refused(_BROKEN.format(type(error).__name__)) from None
                yield row

    def rows(self) -> Iterator[Row]:
        """The rows; numbers as a person sees them in the sheet, dates as ISO, merged cells filled downwards."""
        if self._traits is None:
            self._traits = self._read_traits()
            self._tell(self._traits)
        traits = self._traits
        self.facts.odd.clear()
        filled: dict[int, tuple[int, str]] = {}
        for number, row in enumerate(self._cells(self._sheet), 1):
            cells: list[str] = []
            faults = NO_FAULTS
            for index, cell in enumerate(row):
                text, fault = self._read(cell, index)
                if fault:
                    faults = {**faults, index: fault}
                cells.append(text)
            for index in traits.uncalculated.get(number, ()):
                faults = {**faults, index: _UNCALCULATED}
            if traits.down:
                _fill(number, cells, filled, traits)
            yield Row(number, cells, faults)

    def _read(self, cell: Any, index: int) -> tuple[str, str]:
        """A cell's text, and why it cannot be trusted."""
        value = cell.value
        if value is None:
            return "", ""
        if isinstance(value, str):
            if cell.data_type == "e":
                self.facts.odd[ERROR, index] += 1
                return "", ""
            return (_unescape(value) if "_x" in value else value), ""
        if isinstance(value, bool):
            return ("TRUE" if value else "FALSE"), ""
        if isinstance(value, int | float):
            return self._number(value, str(cell.number_format or "General"), index)
        if isinstance(value, datetime.datetime):
            plain = value.time() == datetime.time()
            return (value.date().isoformat() if plain else value.isoformat(" ", "seconds")), ""
        return str(value), ""

    def _number(self, value: int | float, number_format: str, index: int) -> tuple[str, str]:
        if abs(value) >= 1e15:
            return str(value), _ROUNDED
        self.facts.odd["number", index] += 1
        if value != int(value):
            return repr(value), ""
        text = shown(int(value), number_format)
        if text != str(int(value)):
            self.facts.odd["format", index] += 1
        return text, ""

    def _tell(self, traits: Traits) -> None:
        notes = self.facts.notes
        if traits.hidden:
            notes.append(f"{traits.hidden:,} hidden rows are imported, too")
        if traits.merged:
            merged = ", ".join(traits.merged[:5])
            notes.append(f"merged cells ({merged}): their value counts for every row they cover")
        if self.facts.other_sheets:
            notes.append(f"other sheets are not imported: {', '.join(self.facts.other_sheets)}")

    def _read_traits(self) -> Traits:
        traits = Traits()
        try:
            with self._sheet._get_source() as source:
                _scan(source, traits)
        except Exception as error:
            raise Refused(_BROKEN.format(type(error).__name__)) from None
        return traits


def _scan(source: IO[bytes], traits: Traits) -> None:
    """Read what openpyxl does not show while streaming. (Expat itself stops entities that blow up.)"""
    number = 0
    # Cells are counted where they do not say where they are.
    at = 0
    for event, element in ElementTree.iterparse(source, ("start", "end")):
        tag = element.tag.rpartition("}")[2]
        if event == "start":
            if tag == "row":
                number, at = int(element.get("r", number + 1)), 0
                traits.hidden += element.get("hidden") in ("1", "true")
        elif tag == "c":
            at = coordinate_to_tuple(element.get("r", ""))[1] if element.get("r") else at + 1
            formula, value = element.find("{*}f"), element.findtext("{*}v")
            if formula is not None and not value and element.find("{*}is") is None:
                traits.uncalculated.setdefault(number, set()).add(at - 1)
        elif tag == "mergeCell":
            _merge(element.get("ref", ""), traits)
        elif tag == "row":
            element.clear()


def _merge(reference: str, traits: Traits) -> None:
    left, top, _, bottom = range_boundaries(reference)
    if left and top and bottom and len(traits.merged) < 10_000:
        traits.merged.append(reference)
        if bottom > top:
            traits.down[top, left - 1] = bottom


def _fill(number: int, cells: list[str], filled: dict[int, tuple[int, str]], traits: Traits) -> None:
    """A value merged over several rows stands in each of them."""
    for index, text in enumerate(cells):
        if bottom := traits.down.get((number, index)):
            filled[index] = bottom, text
    for index, (bottom, text) in filled.items():
        if number <= bottom and index < MAX_COLUMNS:
            cells.extend([""] * (index + 1 - len(cells)))
            cells[index] = cells[index] or text


# --- numbers as a person sees them ------------------------------------------------------------------------------

_MASK: Final = re.compile(r'(?:[0#?]|\\.|"[^"]*"|[-+() /]|_.|\*.)+\Z')
_MASK_PART: Final = re.compile(r'([0#?])|\\(.)|"([^"]*)"|([-+() /])|_.|\*.')
_CONDITION: Final = re.compile(r"\[(<=|>=|<|>|=)(\d+)\]")
_HOLDS: Final = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "=": operator.eq}
_STRIPPED: Final = re.compile(r"\[(?![<>=])[^\]]*\]")


@lru_cache(maxsize=65_536)
def shown(value: int, number_format: str) -> str:
    """A whole number under a number format made of digits and literals (ZIP `00000`, telephone `(000) 000-0000`);
    plain digits under any other format."""
    if number_format in ("General", "0", "@", "#") or value < 0:
        return str(value)
    mask = _section(value, _STRIPPED.sub("", number_format))
    if not _MASK.match(mask) or not re.search(r"[0#]", mask):
        return str(value)
    parts = [match.groups() for match in _MASK_PART.finditer(mask)]
    places = sum(1 for part in parts if part[0])
    digits = str(value).rjust(places)
    longer = len(digits) - places
    waiting = iter([digits[: longer + 1], *digits[longer + 1 :]])  # the first place takes what is too long
    found = ""
    for place, escaped, quoted, literal in parts:
        if not place:
            found += escaped or quoted or literal or ""
        elif (digit := next(waiting)) != " ":
            found += digit
        elif place == "0" or re.search(r"\d", found):
            found += "0"
    return found.strip()


def _section(value: int, number_format: str) -> str:
    """The part of a format that holds for this number: `[<=9999999]000-0000;(000) 000-0000`."""
    sections = number_format.split(";")
    if not _CONDITION.match(sections[0]):
        return sections[0]
    for section in sections:
        condition = _CONDITION.match(section)
        if condition is None:
            return section
        limit, sign = int(condition[2]), condition[1]
        holds = {
            "<=": value <= limit,
            "<": value < limit,
            ">=": value >= limit,
            ">": value > limit,
            "=": value == limit,
        }
        if holds[sign]:
            return section[condition.end() :]
    return "General"


_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _unescape(text: str) -> str:
    """Excel writes control characters as _x000D_ (ECMA-376 part 1, 22.9.2.19)."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def escape(text: str) -> str:
    """The reverse: characters that XML cannot hold (and CR, which it changes) as _xHHHH_."""
    return _UNWRITABLE.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
