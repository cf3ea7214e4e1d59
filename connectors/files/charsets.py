"""Which characters the bytes of a text file are (spreadsheets note, "Read": Windows-1252 takes nearly any bytes, so it
never fails; what it gives has to look like words)."""

from __future__ import annotations

import codecs
import re
from typing import IO, Final

_BROKEN: Final = re.compile(r"[\udc80-\udcff]")
_BEYOND: Final = re.compile(r"[^\x00-\x7f]")
_CHUNK: Final = 1 << 20
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLD: Final = ("cp1252", "mac_roman", "cp850", "cp1250")
"""In the order of how common they are: the first of equals wins."""
_SAMPLE: Final = 20_000
"""So many places with bytes beyond ASCII are looked at."""


def detect(file: IO[bytes]) -> str | None:
    """The encoding of a text; None where it is no text. Reads the file once.

    UTF-8 with a few broken bytes is UTF-8: only the rows with the broken bytes are lost, not all accents.
    """
    file.seek(0)
    head = file.read(_CHUNK)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if wide := _without_mark(head[:4096]):
        return wide
    if b"\0" in head[:8192]:
        return None
    return _utf8(file) or _looks_best(file)


def _without_mark(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Latin text is 0."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) * 0.2 and even < odd / 10:
        return "utf-16-le"
    return "utf-16-be" if even > len(head) * 0.2 and odd < even / 10 else None


def _utf8(file: IO[bytes]) -> str | None:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = broken = 0
    while chunk := file.read(_CHUNK):
        text = decoder.decode(chunk)
        if not text.isascii():
            bad = len(_BROKEN.findall(text))
            broken += bad
            good += len(_BEYOND.findall(text)) - bad
    broken += len(decoder.decode(b"", final=True))
    return "utf-8" if good > broken * 10 or not broken else None


def _looks_best(file: IO[bytes]) -> str:
    sample = bytearray()
    file.seek(0)
    while len(sample) < _SAMPLE and (chunk := file.read(_CHUNK)):
        for at, byte in enumerate(chunk):
            if byte > 0x7F:
                sample += chunk[max(0, at - 1) : at + 2] + b" "
                if len(sample) >= _SAMPLE:
                    break
    return max(_OLD, key=lambda encoding: _looks(bytes(sample), encoding))


def _looks(sample: bytes, encoding: str) -> int:
    """How much a decoded sample looks like words: letters among letters, capitals only where words begin."""
    text = sample.decode(encoding, "replace")
    points = 0
    for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if char == "\ufffd" or "\x80" <= char <= "\x9f":
            points -= 3
        elif char > "\x7f" and char.isalpha():
            inside = char.isupper() and before.islower()
            points += -2 if inside else before.isalpha() or after.isalpha()
    return points
