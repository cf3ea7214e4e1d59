"""Contacts into a file: vCard, CSV, XLSX, JSContact. Written beside the target and moved into its place when whole.

What a table holds: the name, twenty elements of each field with their kinds and labels, tags, groups, columns that
we keep. It does not hold photos, element ids, which company a title belongs to, and properties that are not ours; XLSX
not a text beyond 32,767 characters either. What was left out is counted in `Written.left_out`, not dropped in silence.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import openpyxl
import orjson
from openpyxl.cell import WriteOnlyCell
from openpyxl.utils import get_column_letter

from connectors import vcard
from connectors.card import Card
from connectors.files.cells import shield
from connectors.files.headers import SYNC
from connectors.files.jscontact import to_jscontact
from connectors.files.ownlayout import BASIC, row
from connectors.files.source import Format
from connectors.files.workbook import escape

Blob = Callable[[str], bytes]
Contact = tuple[str, Any, Card]
"""uid, revision, card."""

MAX_CELL: Final = 32_767
"""Most characters that Excel keeps in a cell."""
_SPOOLED: Final = 32 * 1024 * 1024


@dataclass
class Written:
    """How many contacts were written, and what of them was not: {in words: contacts}."""

    contacts: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def write_file(
    target: Path | str | IO[bytes], kind: Format, people: Iterable[Contact], blob: Blob = lambda uri: b""
) -> Written:
    """Write contacts to a file or a binary stream, one after the other.

    A file appears under its name only when it is whole; one that stood there before stays until then. A link stays one:
    what it leads to is written. What is no file (a pipe, a terminal) is written to as it is.
    blob: gives the bytes of a photo by its uri.
    """
    write = {"vcard": _vcards, "csv": _csv, "xlsx": _xlsx, "jscontact": _jscontact}[kind]
    if not isinstance(target, Path | str):
        return write(target, people, blob)
    path = Path(target)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the file in it")
    if path.exists() and not path.is_file():
        with path.open("wb") as pipe:
            return write(pipe, people, blob)
    with _appearing(Path(os.path.realpath(path))) as file:
        return write(file, people, blob)


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A new file beside this one, that takes its place once it is whole."""
    try:
        handle, made = tempfile.mkstemp(prefix=".export.", dir=path.parent)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no folder {path.parent}; make it first, or choose another") from None
    except PermissionError:
        raise PermissionError(f"you may not write into the folder {path.parent}; choose another") from None
    except OSError as error:
        raise OSError(f"nothing can be written into the folder {path.parent}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)  # noqa: PTH105 - the name is text
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


def _vcards(file: IO[bytes], people: Iterable[Contact], blob: Blob) -> Written:
    written = Written()
    for uid, rev, card in people:
        stamp = rev if isinstance(rev, datetime) else None
        file.write(vcard.write(card, "3.0", uid=uid, rev=stamp, blob=blob).encode())
        written.contacts += 1
    return written


def _jscontact(file: IO[bytes], people: Iterable[Contact], blob: Blob) -> Written:
    written = Written()
    file.write(b"[")
    for uid, rev, card in people:
        file.write(b",\n" if written.contacts else b"\n")
        file.write(orjson.dumps(to_jscontact(card, uid, _rev(rev), blob)))
        written.contacts += 1
    file.write(b"\n]\n")
    return written


def _rev(rev: Any) -> str:
    if isinstance(rev, datetime):
        return rev.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return "" if rev is None else str(rev)


# --- tables ----------------------------------------------------------------------------------------------------


class _Rows:
    """The rows of an export, kept aside until it is known which columns they need."""

    def __init__(self, spool: IO[bytes], people: Iterable[Contact]) -> None:
        self._spool = spool
        self.written = Written()
        found = set(BASIC)
        for uid, rev, card in people:
            cells, left_out = row(card)
            found |= cells.keys()
            self.written.contacts += 1
            self.written.left_out.update(set(left_out))
            named = {column[3]: text for column, text in cells.items()}
            self._spool.write(orjson.dumps([uid, _rev(rev), named]) + b"\n")
        self.headers = [*SYNC, *(column[3] for column in sorted(found))]

    def __iter__(self) -> Iterator[list[str]]:
        self._spool.seek(0)
        for line in self._spool:
            uid, rev, cells = orjson.loads(line)
            yield [uid, rev, "", *(cells.get(header, "") for header in self.headers[len(SYNC) :])]


def _csv(file: IO[bytes], people: Iterable[Contact], blob: Blob) -> Written:
    """UTF-8 with a mark, CRLF, all quoted, no cell that Excel would run (spreadsheets note, "Write")."""
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        rows = _Rows(spool, people)
        text = io.TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)
        out = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        out.writerow(map(shield, rows.headers))
        for cells in rows:
            out.writerow(map(shield, cells))
        text.flush()
        text.detach()
    return rows.written


def _xlsx(file: IO[bytes], people: Iterable[Contact], blob: Blob) -> Written:
    """Every cell a text, formulas none, whole dates as dates; header frozen, the key columns hidden."""
    with tempfile.SpooledTemporaryFile(_SPOOLED) as spool:
        rows = _Rows(spool, people)
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("Contacts")
        sheet.freeze_panes = "A2"
        for index in range(len(rows.headers)):
            shape = sheet.column_dimensions[get_column_letter(index + 1)]
            shape.width, shape.hidden = 18, index < 2
        dates = {index for index, header in enumerate(rows.headers) if header.startswith(("Birthday", "Event "))}
        sheet.append([_cell(sheet, header) for header in rows.headers])
        for cells in rows:
            for index, text in enumerate(cells):
                if len(text) > MAX_CELL:
                    rows.written.left_out[f"a text in {rows.headers[index]!r} longer than Excel's cells"] += 1
                    cells[index] = ""
            sheet.append([_cell(sheet, text, index in dates) if text else None for index, text in enumerate(cells)])
        book.save(file)
    return rows.written


def _cell(sheet: Any, text: str, dated: bool = False) -> Any:
    """A text cell; a date cell for a whole date that Excel knows (it knows none before March 1900)."""
    if dated and len(text) == 10 and text >= "1900-03-01" and text[:1].isdigit():
        cell = WriteOnlyCell(sheet, value=datetime.fromisoformat(text))
        cell.number_format = "yyyy-mm-dd"
        return cell
    cell = WriteOnlyCell(sheet, value=escape(text))
    cell.data_type = "s"
    cell.number_format = "@"
    return cell
