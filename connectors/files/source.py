"""A file of contacts, whatever it is inside: opened, recognised by its content, and cut into contacts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Literal

from connectors.errors import Refused, Unreachable
from connectors.files import headers
from connectors.files.tables import CsvTable, Table
from connectors.files.workbook import XlsxTable

Format = Literal["csv", "xlsx", "vcard", "jscontact"]

MAX_BYTES: Final = 1024 * 1024 * 1024
"""Largest file, bytes."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is to be read where a person decided it; "" and None: found out."""

    format: Format | None = None
    sheet: str = ""
    delimiter: str = ""
    encoding: str = ""
    columns: Mapping[str, str] | None = None


class Source:
    """An opened file. Raises Unreachable where it cannot be had now, Refused where it is no file for us."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file: BufferedReader = path.open("rb")
        except FileNotFoundError:
            raise Unreachable(f"there is no file {path}") from None
        except IsADirectoryError:
            raise Refused(f"{path} is a folder; give the file in it") from None
        except OSError as error:
            raise Unreachable(f"{path} cannot be opened: {error.strerror}; is it open in another program?") from None
        self._state = self._stat()
        if self._state[0] > MAX_BYTES:
            self.file.close()
            raise Refused(
                f"{path.name} has {self._state[0] / 1048576:,.0f} MB; at most {MAX_BYTES >> 20:,} MB are read"
            )

    def _stat(self) -> tuple[int, int]:
        stat = os.stat(self.file.fileno())  # noqa: PTH116 - the open file, not what is at its path by now
        return stat.st_size, stat.st_mtime_ns

    def sha256(self) -> str:
        """The fingerprint of the whole file."""
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").hexdigest()

    def unchanged(self) -> None:
        """Raises Unreachable where the file was written to since it was opened."""
        if self._stat() != self._state:
            raise Unreachable(f"{self.path.name} changed while it was read; it will be read again at the next turn")

    def sniff(self) -> Format:
        """The format, by content. Raises Refused for what cannot be read, saying what to do."""
        self.file.seek(0)
        return _sniff(self.file.read(4096), self.path.name)

    def table(self, options: Options, kind: Format) -> Table:
        """The table in it."""
        chosen = options.columns or {}

        def score(row: Sequence[str]) -> int:
            return headers.score(row, chosen)

        if kind == "xlsx":
            return XlsxTable(self.file, score, options.sheet)
        return CsvTable(self.file, score, options.encoding, options.delimiter)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHERS: Final = (
    (b"%PDF", "a PDF; export the contacts as CSV, XLSX or vCard"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x89PNG", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1f\x8b", "packed (gzip); unpack it first"),
    (b"7z\xbc\xaf", "packed (7-Zip); unpack it first"),
    (b"Rar!", "packed (RAR); unpack it first"),
    (b"<?xml", "XML; export the contacts as CSV, XLSX or vCard"),
    (b"<!DOCTYPE", "a web page; export the contacts as CSV, XLSX or vCard"),
    (b"<html", "a web page (some programs call one .xls); open it in Excel and save it as .xlsx"),
    (b"SQLite format 3", "a database"),
)


def _sniff(head: bytes, name: str) -> Format:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    wide = head.replace(b"\0", b"").lstrip(b"\xff\xfe").lstrip()
    if not text:
        raise Refused(f"{name} is empty")
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith(_OLE):
        raise Refused(
            f"{name} is an old Excel file (.xls) or protected by a password; open it in Excel, take the password away "
            "and save it as .xlsx"
        )
    for mark, what in _OTHERS:
        if text[: len(mark)].lower() == mark.lower():
            raise Refused(f"{name} is {what}")
    if text[:12].upper().startswith(b"BEGIN:VCARD") or wide[:12].upper().startswith(b"BEGIN:VCARD"):
        return "vcard"
    if text[:1] in (b"{", b"[") and b'"' in text:
        return "jscontact"
    return "csv"
