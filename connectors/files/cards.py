"""From the cards of a vCard or JSContact file to records, one at a time."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, Final

from connectors import vcard
from connectors.card import MAX_ID, MAX_PHOTO, Card, digest, problem
from connectors.contract import Record
from connectors.errors import Refused
from connectors.files.identity import who
from connectors.files.jscontact import from_jscontact
from connectors.files.rows import NOBODY, UNNAMED

MAX_CARD: Final = 2 * MAX_PHOTO
"""Most bytes of one vCard: the largest photo, in base64, and room for all else."""
_MAX_JSON: Final = 64 * 1024 * 1024
_CHUNK: Final = 1 << 20

_URN: Final = "urn:uuid:"


class _Records:
    """Gives ids: the card's own, else what it is recognised by, with the name, so that no two people share one.

    unnamed: refused ones so far that no id stands for.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._seen: dict[str, str] = {}
        self.unnamed = 0
        self.doubtful: frozenset[str] = frozenset()

    def _record(
        self, where: str, card: Card, uid: str = "", rev: str = "", blobs: Mapping[str, bytes] | None = None
    ) -> Record | None:
        """A card as a record; None for one that the file has already."""
        uid = uid[len(_URN) :] if uid[: len(_URN)].lower() == _URN else uid
        found = who(card, uid)
        if not found.natural:
            return self._refused(where, NOBODY, uid)
        version = digest(card)
        ident = uid or _within_bounds(f"{found.natural}#{found.name}")
        known = self._seen.setdefault(ident, "")
        if known == version:
            return None
        if known:
            twin = "another contact in this file has the same id and says otherwise; make them one, or change its id"
            return self._refused(where, twin, f"{ident}#{version}")
        self._seen[ident] = version
        if reason := problem(card):
            return self._refused(where, reason, ident)
        raw = {"rev": rev} if rev else None
        return Record(ident, card, version, key=uid or None, raw=raw, blobs=blobs or {})

    def _refused(self, where: str, reason: str, ident: str = "") -> Record:
        self.unnamed += not ident
        return Record(ident or UNNAMED + digest({"where": where, "why": reason}), None, refused=f"{where}: {reason}")


def _within_bounds(ident: str) -> str:
    """An id that we made of what is in a card: what is too long there is not the id."""
    return ident if len(ident) <= MAX_ID else f"{ident[:150]}~{digest({'id': ident})}"


class VCards(_Records):
    """The contacts of a vCard file of any version; group cards (Apple's, vCard 4's) become groups of their members."""

    def __iter__(self) -> Iterator[Record]:
        groups = self._groups()
        for number, chunk in enumerate(_chunks(self._file), 1):
            where = f"card {number:,}"
            if chunk is None:
                yield self._refused(where, f"it has more than {MAX_CARD >> 20} MB; take the photo out")
                continue
            for found in vcard.parse(chunk):
                if isinstance(found, vcard.Broken):
                    if found.text.strip():
                        yield self._refused(where, found.reason)
                elif record := self._contact(where, found, groups):
                    yield record

    def _contact(self, where: str, found: vcard.VCard, groups: Mapping[str, list[str]]) -> Record | None:
        card, blobs = vcard.read(found)
        if vcard.group_of(found) is not None and not (card.keys() & {"emails", "phones", "addresses"}):
            return None  # it only names its members
        uid = found.uid or ""
        if names := groups.get(uid.lower().removeprefix(_URN)):
            known = dict(card.get("groups", {}))
            for name in names:
                if all(one["name"] != name for one in known.values()):
                    known[str(len(known) + 1)] = {"name": name}
            card = {**card, "groups": known}
        return self._record(where, card, uid, blobs=blobs)

    def _groups(self) -> dict[str, list[str]]:
        """The names of the groups that each member is in: a group may stand before or after its members."""
        found: dict[str, list[str]] = {}
        for chunk in _chunks(self._file):
            if chunk and _GROUP.search(chunk):
                for one in vcard.parse(chunk):
                    group = vcard.group_of(one) if isinstance(one, vcard.VCard) else None
                    for member in group.members if group else ():
                        found.setdefault(member.lower().removeprefix(_URN), []).append(group.name if group else "")
        return found


_GROUP: Final = re.compile(rb"KIND[^:\r\n]*:group", re.IGNORECASE)
_BEGIN: Final = b"begin:vcard"
_END: Final = b"end:vcard"


def _chunks(file: BufferedReader) -> Iterator[bytes | None]:
    """The file cut between its cards; None in the place of one that is too large.

    A card inside another (AGENT of vCard 2.1) is not cut off: what follows its end is no BEGIN.
    """
    file.seek(0)
    head = file.read(_CHUNK)
    file.seek(0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:4] or b"\n" not in head:
        whole = file.read(MAX_CARD + 1)
        yield whole if len(whole) <= MAX_CARD else None
        return
    lines: list[bytes] = []
    size, ended = 0, False
    while line := file.readline(_CHUNK):
        mark = line[:16].strip().lower() if len(line) < 64 else b""
        if mark == _BEGIN and ended:
            yield b"".join(lines) if size <= MAX_CARD else None
            lines, size = [], 0
        ended = mark == _END or (ended and not line.strip())
        size += len(line)
        if size <= MAX_CARD:
            lines.append(line)
        else:
            lines.clear()
    yield b"".join(lines) if size <= MAX_CARD else None


class JsCards(_Records):
    """The contacts of a JSContact file: an array of Cards, one Card, or one Card a line."""

    def __iter__(self) -> Iterator[Record]:
        for number, source in enumerate(_objects(self._file), 1):
            where = f"card {number:,}"
            try:
                contact = from_jscontact(source)
            except Refused as error:
                yield self._refused(where, str(error))
                continue
            record = self._record(where, contact.card, contact.uid, contact.rev, contact.blobs)
            if record:
                yield record


_SPACE: Final = re.compile(r"[\s,\[\]]*")


def _objects(file: BufferedReader) -> Iterator[Any]:
    """The JSON objects of a file one by one. Raises Refused where it is no JSON."""
    file.seek(0)
    decoder = json.JSONDecoder()
    read = codecs.getincrementaldecoder("utf-8-sig")()
    text, at, wanted, ended = "", 0, _CHUNK, False
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at < len(text):
            try:
                found, at = decoder.raw_decode(text, at)
                yield found
                continue
            except json.JSONDecodeError as error:
                if ended or len(text) - at > _MAX_JSON:
                    raise Refused(f"the file is no JSContact: {error.msg} near {text[at : at + 40]!r}") from None
            except RecursionError:
                raise Refused("the file is no JSContact: it is nested too deeply") from None
        if ended:
            return
        try:
            chunk = file.read(wanted)
            text, at, ended = text[at:] + read.decode(chunk, not chunk), 0, not chunk
        except UnicodeDecodeError:
            raise Refused("the file is no JSContact: it is not UTF-8") from None
        wanted = max(_CHUNK, len(text))
