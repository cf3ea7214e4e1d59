"""vCard 2.1, 3.0 and 4.0 to and from the card.

    for found in parse(data):            a VCard, or a Broken with the reason (`remains`: what can be read of it)
        card, blobs = read(found)
    text = write(card, "3.0", uid=…)     a new vCard
    text = patch(text, before, after)    only the lines of what changed; all others stay byte for byte

`fit_vcard` is what a vCard can hold of a card: `read` of what `write` wrote gives it, up to element ids. What a vCard
holds and our profile does not is in the card as `vCardProps`, arrays of [name, parameters, type, value] as in RFC
9555, the value as it stands in a vCard 3.0, escapes included. Dropped are VERSION, PRODID and REV, and of the card
`keywords`, `organizationId`s and unknown fields. UID is not in the card: see `VCard.uid`.
Contact groups that are cards of their own: `group_of`, `with_members`, `write_group`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from connectors.contentline import Broken, Line, VCard, escape, parse, remains, render, unescape
from connectors.vcardpatch import only, patch
from connectors.vcardread import KINDS, fn_of, kind_of, name_of, read, survey
from connectors.vcardwrite import fit_vcard, write

__all__ = ["Broken", "Group", "VCard", "fit_vcard", "group_of", "parse", "patch", "read"]
__all__ += ["remains", "with_members", "write", "write_group"]

_MEMBERS: Final = ("X-ADDRESSBOOKSERVER-MEMBER", "MEMBER")
_URN: Final = "urn:uuid:"


@dataclass(frozen=True, slots=True)
class Group:
    """A contact group: its name, and the UIDs of its members (`urn:uuid:` left out)."""

    name: str
    members: tuple[str, ...]


def group_of(vcard: VCard) -> Group | None:
    """The contact group that this card is, in Apple's dialect or vCard 4's; None for a contact."""
    if not any(line.name in KINDS for line in vcard.lines):
        return None
    found = survey(vcard.lines)
    if kind_of(found.singles) != "group":
        return None
    members = [_member(line) for line in vcard.lines if line.name in _MEMBERS]
    return Group(fn_of({"name": name_of(found.singles, {})}), tuple(member for member in members if member))


def _member(line: Line) -> str:
    uri = unescape(line.value).strip()
    return uri[len(_URN) :] if uri[: len(_URN)].lower() == _URN else uri


def with_members(original: str, members: Iterable[str]) -> str:
    """The group card with these members; the lines of those that stay, and all others, stay byte for byte.

    Raises Refused where the original is no readable vCard.
    """
    vcard = only(original)
    wanted = list(dict.fromkeys(members))
    present = {_member(line) for line in vcard.lines if line.name in _MEMBERS}
    first, last = vcard.lines[0].raw, vcard.lines[-1].raw
    newline = first[len(first.rstrip("\r\n")) :] or "\r\n"
    names = {line.name for line in vcard.lines}
    name = next((name for name in _MEMBERS if name in names), "")
    name = name or _MEMBERS["KIND" in names and "X-ADDRESSBOOKSERVER-KIND" not in names]
    kept = [line.raw for line in vcard.lines[:-1] if line.name not in _MEMBERS or _member(line) in wanted]
    added = [render(_member_line(name, uid), vcard.version, newline) for uid in wanted if uid not in present]
    return "".join([*kept, *added, last])


def _member_line(name: str, uid: str) -> Line:
    return Line(name, (), escape(uid if re.match(r"(mailto|tel|https?|urn):", uid) else _URN + uid))


def write_group(name: str, uid: str, members: Iterable[str], version: str = "3.0", *, apple: bool = True) -> str:
    """A new group card. apple: in Apple's dialect, which is what phones read of a vCard 3.0; else KIND and MEMBER."""
    kind, member = ("X-ADDRESSBOOKSERVER-KIND", _MEMBERS[0]) if apple else ("KIND", _MEMBERS[1])
    # Apple shows the N of a group, not its FN (vCard note, "Apple dialect").
    lines = [
        Line("BEGIN", (), "VCARD"),
        Line("VERSION", (), version),
        Line("UID", (), escape(uid)),
        Line("FN", (), escape(name)),
        Line("N", (), escape(name) + ";;;;"),
        Line(kind, (), "group"),
        *(_member_line(member, uid) for uid in dict.fromkeys(members)),
        Line("END", (), "VCARD"),
    ]
    return "".join(render(line, version) for line in lines)
