"""Content lines: how vCard 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350) put properties into text, and back.

`parse` cuts bytes into cards of `Line`s. A line keeps its raw text, so that what nobody touched is written back byte
for byte, and has its value in one form whatever it came in: unfolded, quoted-printable decoded, escaped as in 3.0.
`render` makes the raw text of a new line.

Read beyond the standards, because programs write it: CR, LF and CR CR LF line ends, folds inside a UTF-8 sequence,
UTF-16, bytes that are not UTF-8 (taken for CHARSET, else Windows-1252), 2.1's bare parameters, soft line breaks and
nested AGENT cards, base64 blocks that are not indented, unbalanced quotes in parameters.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

MAX_LINE: Final = 64 * 1024 * 1024
"""Longest line, folds included, characters."""
MAX_DEPTH: Final = 8
"""Deepest nesting of AGENT cards."""
WIDTH: Final = 75
"""Octets after which a line is folded."""

Params = tuple[tuple[str, tuple[str, ...]], ...]
"""Parameters in order: (NAME, values). Values of TYPE, ENCODING and VALUE are in lower case."""


class Line(NamedTuple):
    """One property.

    name: upper case; "" where this is no content line: a blank one, or rubbish (then `value` says what).
    value: unfolded and decoded, still escaped as in vCard 3.0 whatever the card's version; without line breaks.
    group: "item1" of `item1.TEL`, as written, or "".
    raw: as read, folds and line end included. Bytes that are not UTF-8 stand in it as surrogates
        (error handler `surrogateescape`).
    number: the line of the file it began on, from 1.
    """

    name: str
    params: Params = ()
    value: str = ""
    group: str = ""
    raw: str = ""
    number: int = 0

    def param(self, name: str) -> tuple[str, ...]:
        """The values of one parameter, () where it is not there."""
        for key, values in self.params:
            if key == name:
                return values
        return ()


@dataclass(frozen=True, slots=True)
class VCard:
    """One card as it was written: all its lines from BEGIN to END."""

    lines: Sequence[Line]
    version: str

    @property
    def uid(self) -> str | None:
        """The card's UID as written there, None without one."""
        return next((unescape(line.value).strip() for line in self.lines if line.name == "UID"), None) or None

    @property
    def text(self) -> str:
        """The card as it was read."""
        return "".join(line.raw for line in self.lines)


@dataclass(frozen=True, slots=True)
class Broken:
    """A stretch of text that is no readable card: why, on which line (from 1), and the whole of it."""

    reason: str
    number: int
    text: str


# --- reading ------------------------------------------------------------------------------------------------

_BREAK: Final = r"(?:\r{0,2}\n|\r)"
_LOGICAL: Final = re.compile(rf"[^\r\n]*+(?:{_BREAK}[ \t][^\r\n]*+)*+(?:{_BREAK}|\Z)")
_PHYSICAL: Final = re.compile(rf"[^\r\n]*+(?:{_BREAK}|\Z)")
_FOLD: Final = re.compile(rf"{_BREAK}[ \t]")
_BASE64_ONLY: Final = re.compile(rf"[A-Za-z0-9+/]+={{0,2}}[ \t]*(?:{_BREAK}|\Z)")
_QUOTED_HEAD: Final = re.compile(r'[^":]*+(?:"[^"]*+"[^":]*+)*+:')
_NAME: Final = re.compile(r"(?:([\w-]+)\.)?([\w/-]+)[ \t]*+(?=;|\Z)")
_PARAM_NAME: Final = re.compile(r"[A-Z0-9_-]+\Z")
_PARAM: Final = re.compile(r';((?:"[^"]*+"|[^;])*+)')
_PARAM_VALUE: Final = re.compile(r'((?:"[^"]*+"|[^,])*+)(?:,|\Z)')
_CARET: Final = re.compile(r"\^([n^'])")
_CHARSET: Final = re.compile(r';CHARSET="?([\w.:-]+)', re.IGNORECASE)
_PRINTABLE: Final = re.compile(r'(?:[^":\r\n]|"[^"\r\n]*+")*?[;=]"?QUOTED-PRINTABLE\b', re.IGNORECASE)
_BARE: Final = {
    **dict.fromkeys(("quoted-printable", "base64", "b", "8bit", "7bit"), "ENCODING"),
    **dict.fromkeys(("inline", "url", "content-id", "cid"), "VALUE"),
}
_LISTS: Final = frozenset({"CATEGORIES", "NICKNAME"})


def parse(data: bytes | str) -> Iterator[VCard | Broken]:
    """The cards of a file, in order; what is not a card comes as `Broken`, and the next one is read. Never raises."""
    lines = _lines(*_text(data))
    stray: list[Line] = []
    begin = next(lines, None)
    while begin is not None:
        if not _marks(begin, "BEGIN"):
            stray.append(begin)
            begin = next(lines, None)
            continue
        yield from _outside(stray)
        stray = []
        card, begin = _card(begin, lines)
        yield card
        begin = begin or next(lines, None)
    yield from _outside(stray)


def _text(data: bytes | str) -> tuple[str, bool]:
    """The text of a file, and whether bytes in it were not UTF-8."""
    if isinstance(data, str):
        return data, not data.isascii() and bool(re.search("[\udc80-\udcff]", data))
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace"), False
    if data[:4] in (b"B\0E\0", b"\0B\0E"):
        return data.decode("utf-16-le" if data[1] == 0 else "utf-16-be", "replace"), False
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape"), True


def _lines(text: str, damaged: bool) -> Iterator[Line]:
    at, number, end = 0, 1, len(text)
    printable = "printable" in text or "PRINTABLE" in text or "Printable" in text
    dirty = bool(_DIRT.search(text))
    while at < end:
        found = _LOGICAL.match(text, at)
        assert found is not None  # it matches any text
        raw = found.group()
        if printable and _PRINTABLE.match(raw):
            raw = _printable(text, at)
        flat = "" if len(raw) > MAX_LINE else _unfold(raw, printable)
        if damaged and not flat.isascii():
            flat = _repair(flat)
        # An escape character may be a charset's, still to be decoded.
        if dirty and not ("\x1b" in flat and _CHARSET.search(flat.partition(":")[0])):
            flat = clean(flat)
        line = _line(flat, raw, number)
        if line.params and "b" in line.param("ENCODING"):
            line = _with_block(line, text, at + len(raw))
        yield line
        at += len(line.raw)
        number += line.raw.count("\n") or line.raw.count("\r")


def _unfold(raw: str, printable: bool) -> str:
    flat = raw.rstrip("\r\n")
    if "\n" not in flat and "\r" not in flat:
        return flat
    if not printable or not _PRINTABLE.match(flat):
        return _FOLD.sub("", flat)
    # After a soft break, blanks are text, unless every line is indented: then somebody folded as well.
    first, *rest = re.split(_BREAK, flat)
    indented = len(rest) > 1 and all(piece[:1] in (" ", "\t") for piece in rest)
    pieces = [first]
    for piece in rest:
        soft = pieces[-1].endswith("=")
        if soft:
            pieces[-1] = pieces[-1][:-1]
        pieces.append(piece if soft and not indented else piece[1:])
    return "".join(pieces)


def _printable(text: str, at: int) -> str:
    """A quoted-printable line: on to the first physical line that neither ends in `=` nor is folded."""
    start = at
    while at < len(text):
        found = _PHYSICAL.match(text, at)
        assert found is not None
        at = found.end()
        soft = found.group().rstrip("\r\n").endswith("=")
        if not text.startswith((" ", "\t"), at) and (not soft or text[at : at + 9].upper() == "END:VCARD"):
            break
    return text[start:at]


def _with_block(line: Line, text: str, at: int) -> Line:
    """A base64 line with the lines of its block that were not indented, and without blanks."""
    pieces: list[str] = []
    while found := _BASE64_ONLY.match(text, at):
        pieces.append(found.group())
        at = found.end()
    block = "".join(pieces)
    return line._replace(value="".join((line.value + block).split()), raw=line.raw + block)


def _repair(flat: str) -> str:
    data = flat.encode("utf-8", "surrogateescape")
    named = _CHARSET.search(flat.partition(":")[0])
    return _decode(data, named.group(1) if named else "")


def _decode(data: bytes, charset: str) -> str:
    """Text of bytes that say what they are, and are often wrong about it."""
    # Seven-bit charsets (ISO-2022-JP) look like UTF-8.
    for name in (charset, "utf-8") if b"\x1b" in data else ("utf-8", charset):
        try:
            return data.decode(name)
        except (ValueError, LookupError):  # an unknown name, a wrong one, one with a NUL
            continue
    text = data.decode("utf-8", "replace")
    if any(ord(char) > 127 and char != "\ufffd" for char in text):
        return text  # UTF-8 that somebody cut through
    return data.decode("cp1252", "replace")


def _line(flat: str, raw: str, number: int) -> Line:
    head, colon, value = flat.partition(":")
    if '"' in head and (found := _QUOTED_HEAD.match(flat)):
        head, value = flat[: found.end() - 1], flat[found.end() :]
    known = (_head if len(head) < 256 else _head.__wrapped__)(head) if colon else None
    if known is None:
        return Line("", (), flat, "", raw, number)
    return Line(known[1], known[2], value, known[0], raw, number)


@lru_cache(maxsize=8_192)
def _head(head: str) -> tuple[str, str, Params] | None:
    """Group, name and parameters of what stands before the colon; None where it is no such thing."""
    found = _NAME.match(head.lstrip("\ufeff \t"))
    if found is None:
        return None
    params: dict[str, list[str]] = {}
    for text in _PARAM.findall(found.string, found.end()):
        key, equals, value = text.strip().partition("=")
        name = key.strip().upper()
        if not equals:
            name, value = _BARE.get(key.lower(), "TYPE"), key
        if (value or equals) and _PARAM_NAME.match(name):
            params.setdefault(name, []).extend(_param_values(name, value))
    return found.group(1) or "", found.group(2).upper(), tuple((name, tuple(found)) for name, found in params.items())


def _param_values(name: str, text: str) -> list[str]:
    pieces = text.split(",") if '"' not in text else [piece for piece in _PARAM_VALUE.findall(text) if piece]
    values = [piece.strip().strip('"') for piece in pieces]
    if "^" in text:
        values = [_CARET.sub(lambda m: {"n": "\n", "^": "^", "'": '"'}[m.group(1)], value) for value in values]
    if name not in ("TYPE", "ENCODING", "VALUE"):
        return values
    # vCard 4 quotes whole lists: TYPE="work,voice".
    words = [part.strip().lower() for value in values for part in value.split(",") if part.strip()]
    return ["b" if word == "base64" and name == "ENCODING" else word for word in words]


def _marks(line: Line, name: str) -> bool:
    return line.name == name and line.value.strip().upper() == "VCARD"


def _card(begin: Line, lines: Iterator[Line]) -> tuple[VCard | Broken, Line | None]:
    """The card that `begin` opens; and the BEGIN that cut it short, where one did."""
    held = [begin]
    wrong: tuple[str, int] | None = None
    last = 0  # where the last content line stands in `held`
    for line in lines:
        if not line.name:
            wrong = wrong or _complaint(line)
        elif line.name == "BEGIN":
            if held[last].name != "AGENT" or held[last].value.strip() or not _marks(line, "BEGIN"):
                return _cut(held, "another BEGIN came before END:VCARD"), line
            agent, depth = _agent([*held[last:], line], lines)
            held[last:] = [agent]
            if depth > MAX_DEPTH:
                wrong = wrong or (f"cards nested {depth} deep; at most {MAX_DEPTH} are taken", line.number)
            continue
        else:
            last = len(held)
        held.append(line)
        if line.name == "END":
            return _closed(held, wrong), None
    return _cut(held, "the text ends before END:VCARD"), None


def _complaint(line: Line) -> tuple[str, int] | None:
    if len(line.raw) > MAX_LINE:
        return f"a line of {len(line.raw) >> 20} MB; at most {MAX_LINE >> 20} MB are taken", line.number
    text = line.value.strip()
    return (f"not a vCard line: {text[:60]!r}", line.number) if text.strip("\ufeff") else None


def _agent(opening: Sequence[Line], lines: Iterator[Line]) -> tuple[Line, int]:
    """The AGENT line with its nested card as its value, line breaks and all; and how deep that nests.

    opening: the lines from AGENT to the nested BEGIN.
    """
    raws, depth, deepest = [line.raw for line in opening], 1, 1
    for line in lines:
        raws.append(line.raw)
        depth += _marks(line, "BEGIN") - _marks(line, "END")
        deepest = max(deepest, depth)
        if not depth:
            break
    return opening[0]._replace(raw="".join(raws), value="".join(raws[len(opening) - 1 :])), deepest


def _cut(held: Sequence[Line], why: str) -> Broken:
    return _broken(f"the card is cut off: {why}", held[0].number, held)


def _broken(reason: str, number: int, lines: Sequence[Line]) -> Broken:
    text = "".join(line.raw for line in lines)
    return Broken(reason, number, text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _closed(held: list[Line], wrong: tuple[str, int] | None) -> VCard | Broken:
    if wrong or not _marks(held[-1], "END"):
        reason, number = wrong or (f"END:{held[-1].value} does not close a vCard", held[-1].number)
        return _broken(reason, number, held)
    return _whole(held)


def _whole(lines: Sequence[Line]) -> VCard:
    version = next((line.value.strip() for line in lines if line.name == "VERSION"), "") or "3.0"
    old = version.startswith("2")
    return VCard([_finish(line, old) if old or line.params else line for line in lines], version)


def remains(broken: Broken) -> VCard:
    """What of it are content lines: enough to tell whose card it was, and never to be written back."""
    return _whole([line for line in _lines(broken.text, False) if line.name])


def _outside(stray: list[Line]) -> Iterator[Broken]:
    found = next((line for line in stray if line.raw.strip("\ufeff \t\r\n\0\x1a")), None)
    if found:
        yield _broken("text outside of BEGIN:VCARD and END:VCARD", found.number, stray)


def _finish(line: Line, old: bool) -> Line:
    """The line with its value decoded and escaped as in 3.0, which can be done once the version is known."""
    value = line.value
    if line.name == "AGENT" and ("\n" in value or "\r" in value):
        return line._replace(value=escape(value))
    encoded = line.params and "quoted-printable" in line.param("ENCODING")
    if encoded:
        charset = next(iter(line.param("CHARSET")), "")
        value = _decode(binascii.a2b_qp(value.encode("utf-8", "surrogateescape")), charset)
    elif line.params and "\x1b" in value and line.param("CHARSET"):
        value = _decode(value.encode("utf-8", "surrogateescape"), line.param("CHARSET")[0])
    if old:
        value = re.sub(r"\\(?![;,])", r"\\\\", value) if "\\" in value else value
        if "," in value and line.name not in _LISTS:
            value = re.sub(r"(?<!\\),", r"\\,", value)
    if encoded or value is not line.value:
        value = clean(value).replace("\n", "\\n")
    params = _lasting(line.params) if line.params else line.params
    return line if value is line.value and params is line.params else line._replace(value=value, params=params)


@lru_cache(maxsize=1_024)
def _lasting(params: Params) -> Params:
    """The parameters without those that only say how the value was encoded."""
    kept = tuple(
        (name, values)
        for name, values in params
        if name != "CHARSET"
        and not (name == "ENCODING" and values[:1] in (("quoted-printable",), ("8bit",), ("7bit",)))
    )
    return params if kept == params else kept


# --- values -------------------------------------------------------------------------------------------------

_ESCAPE: Final = re.compile(r"\\([nN\\,;:\"'])")
_PIECE: Final = {mark: re.compile(rf"((?:[^{mark}\\]|\\.?)*+)({mark}|\Z)", re.DOTALL) for mark in ",;"}
_CONTROL: Final = dict.fromkeys([*range(9), *range(11, 32), 127])
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_DIRT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """The text as a vCard can hold it: line breaks as \\n, no other control characters but the tab."""
    if not _CONTROLS.search(text):
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)


def escape(text: str) -> str:
    """A text as (part of) a value."""
    text = clean(text).replace("\\", "\\\\").replace(",", "\\,")
    return text.replace(";", "\\;").replace("\n", "\\n")


def escape_uri(uri: str) -> str:
    """A URI as a value: commas and semicolons are its own."""
    return clean(uri).replace("\\", "\\\\").replace("\n", "\\n")


def unescape(value: str) -> str:
    """The text of a value without escapes. A backslash that escapes nothing is a backslash."""
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: "\n" if m.group(1) in "nN" else m.group(1), value)


def split(value: str, mark: str) -> list[str]:
    """The parts of a structured value (mark ";") or of a list (","), still escaped."""
    if "\\" not in value:
        return value.split(mark)
    parts: list[str] = []
    for found in _PIECE[mark].finditer(value):
        parts.append(found.group(1))
        if not found.group(2):
            break
    return parts


# --- writing ------------------------------------------------------------------------------------------------

_PLAIN_PARAM: Final = re.compile(r"[^\x00-\x1f\x7f\":;,^]*\Z")


def render(line: Line, version: str, newline: str = "\r\n") -> str:
    """The raw text of a line in a card of that version ("2.1", "3.0", "4.0"), folded, line end included."""
    name = f"{line.group}.{line.name}" if line.group else line.name
    if version.startswith("2"):
        return _render_old(name, line, newline)
    params = "".join(f";{key}={','.join(map(_param_text, values))}" for key, values in line.params)
    return fold(f"{name}{params}:{line.value}", newline) + newline


def _param_text(value: str) -> str:
    if _PLAIN_PARAM.match(value):
        return value
    value = clean(value).replace("^", "^^").replace("\n", "^n").replace('"', "^'")
    return f'"{value}"' if re.search("[:;,]", value) else value


def fold(text: str, newline: str = "\r\n") -> str:
    """The text in lines of at most 75 octets, no character cut in two."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= WIDTH:
        return text
    pieces, at, width = [], 0, WIDTH
    while at < len(data):
        end = min(at + width, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(data[at:end])
        at, width = end, WIDTH - 1
    return f"{newline} ".encode().join(pieces).decode("utf-8", "surrogateescape")


def _render_old(name: str, line: Line, newline: str) -> str:
    """A line of vCard 2.1: bare types, quoted-printable where it is needed, base64 ended by a blank line."""
    params = "".join(
        f";{value.upper()}" if key == "TYPE" and re.match(r"[\w-]+\Z", value) else f";{key}={_param_text(value)}"
        for key, values in line.params
        for value in values
        if key != "ENCODING"
    )
    if "b" in line.param("ENCODING"):
        return fold(f"{name}{params};ENCODING=BASE64:{line.value}", newline) + newline * 2
    lists = line.name in _LISTS
    value = _ESCAPE.sub(lambda found: _old_escape(found, lists), line.value)
    if value.isascii() and "\r" not in value:
        return f"{name}{params}:{value}{newline}"
    data = binascii.b2a_qp(value.encode("utf-8", "surrogateescape"), istext=False).decode("ascii")
    data = data.replace("=\n", f"={newline}")
    return f"{name}{params};CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:{data}{newline}"


def _old_escape(found: re.Match[str], lists: bool) -> str:
    """An escape of 3.0 as 2.1 has it: only of what separates parts, or would be read as escaped."""
    mark = found.group(1)
    if mark in "nN":
        return "\r\n"
    if mark == "\\" and found.string[found.end() : found.end() + 1] in (";", ","):
        return "\\ "  # a blank, which no reader minds, keeps it from escaping what separates
    after_backslash = found.string[found.start() - 1 : found.start()] == "\\"
    return f"\\{mark}" if mark == ";" or (mark == "," and (lists or after_backslash)) else mark
