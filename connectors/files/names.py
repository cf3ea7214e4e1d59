"""A whole name in one cell, split only where there is no doubt. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from nameparser import parse

from connectors.card import components

_PLAIN: Final = re.compile(r"([^\W\d_]{2,}(?:[-'’][^\W\d_]+)*) ([^\W\d_]{2,}(?:[-'’][^\W\d_]+)*)\Z")
_INITIALLED: Final = re.compile(
    r"([^\W\d_]{2,}(?:[-'’][^\W\d_]+)*) ((?:[^\W\d_]\.? )+)([^\W\d_]{2,}(?:[-'’][^\W\d_]+)*)\Z"
)
_JOINED: Final = re.compile(r" [ey] ")
_LATIN: Final = re.compile(r"[\u0000-\u024f\u1e00-\u1eff\u2018\u2019]+\Z")
_NO_PERSON: Final = re.compile(
    r"\d|[&@/]|\b(?:and|und|et|of|the|für|ltd|limited|llc|llp|inc|corp|co|company|gmbh|ag|kg|ohg|ug|mbh|se|plc|sa|"
    r"sarl|srl|spa|bv|nv|oy|ab|as|aps|group|gruppe|family|familie|team|office|büro|praxis|hotel|verein|e\.?v|"
    r"foundation|stiftung|university|universität|bank|school|schule|institute?)\b",
    re.IGNORECASE,
)
# Words that may be a title, an ending or a particle, so that a plain look at two words is not enough.
_MARKED: Final = re.compile(
    r"\b(?:dr|prof|mr|mrs|ms|miss|mx|sir|dame|lady|lord|rev|hon|herr|frau|jr|sr|i{2,3}|iv|phd|md|mba|esq|dipl|ing|"
    r"van|von|de|del|della|der|den|di|da|dos|du|la|le|el|al|bin|ibn|ben|ter|ten|zu|zum|zur|st|do|mac|mc|o)\b",
    re.IGNORECASE,
)
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.[ -]?|[^\W\d_](?:[ -]|\Z))+\Z")


def split(text: str) -> dict[str, Any]:
    """A name of the card from one cell: components where the parts are beyond doubt, else `full` as it stands.

    Sure are two words ("John Smith"), a comma ("Smith, John"), and what has initials, titles, endings or particles
    around those. Three plain words are not ("Gabriel García Márquez", "Chan Tai Man"), nor is one, nor another script
    than Latin (its order may be another), nor a firm or a couple. Letter case is never changed.
    """
    text = " ".join(text.split())
    if not _LATIN.match(text) or _NO_PERSON.search(text) or _JOINED.search(text):
        return {"full": text}
    if not _MARKED.search(text):
        if plain := _PLAIN.match(text):
            return {"components": components({"given": plain[1], "surname": plain[2]})}
        if plain := _INITIALLED.match(text):
            return {"components": components({"given": plain[1], "given2": plain[2].strip(), "surname": plain[3]})}
    parsed = parse(text)
    given, middle = parsed.given, parsed.middle
    if "," in text and not _INITIALS.match(middle):
        given, middle = f"{given} {middle}".strip(), ""  # the comma tells the surname, and nothing about the rest
    parts = {
        "title": parsed.title,
        "given": given,
        "given2": middle,
        "surname": parsed.family,
        "credential": parsed.suffix,
    }
    if parsed.nickname or parsed.maiden or parsed.ambiguities or not _sure(text, parts):
        return {"full": text}
    return {"components": components(parts)}


def _sure(text: str, parts: dict[str, str]) -> bool:
    if not parts["given"] or not parts["surname"] or (parts["given2"] and not _INITIALS.match(parts["given2"])):
        return False
    words = sorted(re.findall(r"\w+", " ".join(parts.values())))
    if words != sorted(re.findall(r"\w+", text)) or text.count(",") > 1:
        return False
    if "," in text:
        return True
    one_word = " " not in parts["given"] or _INITIALS.match(parts["given"]) is not None
    *particles, _ = parts["surname"].split()
    return one_word and all(particle.islower() or _MARKED.fullmatch(particle) for particle in particles)
