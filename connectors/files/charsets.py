"""Which characters the bytes of a text file are.

Only a mark and UTF-8 prove it. Of the old encodings nearly any takes nearly any bytes (spreadsheets note, "Read"):
which one it was is a guess by the letters and pairs of letters that languages have, and by whether there are words.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import IO, Final, NamedTuple

from connectors.errors import Refused

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
_OLD: Final = (
    *("cp1252", "mac-roman", "cp850", "cp1250", "iso8859-2", "cp1254"),
    *("cp1251", "koi8-r", "cp866", "cp1253", "iso8859-7", "cp1255", "cp1256", "cp874", "iso8859-5"),
    *("cp932", "euc-jp", "cp949", "gb18030", "big5hkscs"),
)
"""Those that address books are met in. With all that there are to choose from, the guesses of short files are much
worse."""
_SAMPLE: Final = 20_000
"""So many bytes of lines with bytes beyond ASCII are looked at."""
_USUAL: Final = {"cp1252": 1.15}
"""Where a text is too short to tell, it is most likely this one."""


class Charset(NamedTuple):
    """An encoding by its name in Python. guessed: the bytes do not prove it."""

    name: str
    guessed: bool = False


def known(name: str) -> str:
    """This encoding, if it is one. Raises Refused."""
    try:
        "a".encode(name).decode(name)
    except (LookupError, ValueError):
        raise Refused(
            f"{name!r} is no encoding that we know; some that we do: utf-8, cp1252 (Western), cp1250 (Central "
            "Europe), cp1251 or koi8-r (Cyrillic), cp1253 (Greek), cp1254 (Turkish), cp932 (Japanese), cp949 (Korean), "
            "gb18030 or big5 (Chinese), mac_roman, cp850"
        ) from None
    return name


def detect(file: IO[bytes]) -> Charset | None:
    """The encoding of a text; None where it is no text. Reads the file once.

    UTF-8 with a few broken bytes is UTF-8: only the rows with the broken bytes are lost, not all accents.
    """
    file.seek(0)
    head = file.read(_CHUNK)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return Charset(encoding)
    if wide := _without_mark(head[:4096]):
        return Charset(wide)
    if b"\0" in head[:8192]:
        return None
    return Charset("utf-8") if _is_utf8(file) else Charset(_guess(_sample(file)), guessed=True)


def _without_mark(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Latin text is 0."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) * 0.2 and even < odd / 10:
        return "utf-16-le"
    return "utf-16-be" if even > len(head) * 0.2 and odd < even / 10 else None


def _is_utf8(file: IO[bytes]) -> bool:
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
    return good > broken * 10 or not broken


def _sample(file: IO[bytes]) -> bytes:
    """The first lines with bytes beyond ASCII: only they tell anything."""
    sample = bytearray()
    file.seek(0)
    while len(sample) < _SAMPLE and (line := file.readline(_SAMPLE)):
        if not line.isascii():
            sample += line
    return bytes(sample)


def _guess(sample: bytes) -> str:
    import chardet  # it takes long, and most files are UTF-8

    best, most = "cp1252", 0.0
    for found in chardet.detect_all(sample, ignore_threshold=True, include_encodings=_OLD):
        name = codecs.lookup(found["encoding"] or best).name.replace("-", "_")
        points = found["confidence"] * _words(sample.decode(name, "replace")) ** 5 * _USUAL.get(name, 1)
        if points > most:
            best, most = name, points
    return _japanese(sample, best) or best


def _words(text: str) -> float:
    """How much of what is beyond ASCII looks like words, from 0 to 1."""
    points = total = 0.0
    for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if char > "\x7f":
            total += 1
            points += (_letter if char.isalpha() else _mark)(before, char, after)
    return points / total if total else 0


def _letter(before: str, char: str, after: str) -> float:
    """Words are of one script, capitals are at their beginning or everywhere, and names begin with one."""
    if any(other.isalpha() and _latin(other) != _latin(char) for other in (before, after)):
        return 0
    if char.isupper():
        return not before.isalpha() or (before.isupper() and not after.islower())
    return 1 if before.isalpha() or not char.islower() else 0.7


def _mark(before: str, char: str, after: str) -> float:
    """No sign is beside a letter, no punctuation between two."""
    letters = before.isalpha() + after.isalpha()
    if unicodedata.category(char)[0] == "P":
        return char == "’" or letters < 2
    return char.isprintable() and char != "\ufffd" and not letters


def _latin(char: str) -> bool:
    return char < "\u0250"


def _japanese(sample: bytes, likely: str) -> str | None:
    """The Japanese encoding where its own letters show that it is one.

    EUC-JP and GB 2312 have the same shape. Of the rows from D0 on, a third of Chinese is, and what is rare in Japanese.
    """
    for name in ("cp932", "euc_jp"):
        try:
            text = [char for char in sample.decode(name) if char > "\x7f"]
        except UnicodeDecodeError:
            continue
        kana = sum("\u3041" <= char <= "\u30ff" for char in text)
        if kana * 3 > len(text):
            return name
        if name == "euc_jp" and likely == "gb18030":
            rare = sum(char.encode(name)[0] >= 0xD0 for char in text)
            if kana * 20 > len(text) or (len(text) > 4 and rare * 12 < len(text)):
                return name
    return None
