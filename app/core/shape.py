"""What a human may enter into a card: which fields there are, and what their values look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, NAME_KINDS, VALUE, Card, Path, leaves

Reader = Callable[[Any], Any]
"""Reads a value as typed or as it stands in a card; raises ValueError saying what is expected."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is a text")
    return value


def _one_of(*words: str) -> Reader:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is one of {', '.join(words)}")
        return str(value)

    return read


def _flags(value: Any) -> dict[str, bool]:
    words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    if isinstance(words, Mapping):
        words = [word for word, on in words.items() if on is True]
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise ValueError("is one word or several, as in work,private")
    return dict.fromkeys(words, True)


def _rank(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= 100:
        raise ValueError("is a number from 1 (preferred) to 100")
    return int(value)


def _units(value: Any) -> list[dict[str, str]]:
    units = [{"name": value}] if isinstance(value, str) else value
    if not isinstance(units, list) or not all(isinstance(u, Mapping) and isinstance(u.get("name"), str) for u in units):
        raise ValueError("is the name of a department")
    return units


_DATE = re.compile(r"(?:(?P<year>\d{4})|-(?=-\d\d?-))(?:-(?P<month>\d\d?)(?:-(?P<day>\d\d?))?)?")


def _date(value: Any) -> dict[str, int]:
    """The date of "1980-01-03", "1980-01", "1980" or "--01-03"."""
    parts: Any = value
    if isinstance(value, str):
        found = _DATE.fullmatch(value.strip())
        parts = {name: int(text) for name, text in found.groupdict().items() if text} if found else None
    if not isinstance(parts, Mapping) or not _is_date(parts):
        raise ValueError("is a date: 1980-01-03, 1980-01, 1980, or --01-03 without a year")
    return dict(parts)


def _is_date(parts: Mapping[str, Any]) -> bool:
    known = parts.keys() <= {"year", "month", "day"} and all(type(number) is int for number in parts.values())
    if not known or not parts.keys() & {"year", "month"} or ("day" in parts and "month" not in parts):
        return False
    try:
        date(parts.get("year", 2000), parts.get("month", 1), parts.get("day", 1))  # 2000: there is a 29th of February
    except (ValueError, OverflowError):
        return False
    return True


_MARKS: Final[Mapping[str, Reader]] = {"contexts": _flags, "label": _text}
_RANKED: Final[Mapping[str, Reader]] = {**_MARKS, "pref": _rank}

ELEMENTS: Final[Mapping[str, Mapping[str, Reader]]] = {
    "nicknames": {"name": _text},
    "organizations": {"name": _text, "units": _units},
    "titles": {"name": _text, "kind": _one_of("title", "role"), "organizationId": _text},
    "emails": {"address": _text, **_RANKED},
    "phones": {"number": _text, "features": _flags, **_RANKED},
    "addresses": {LINES: _text, **dict.fromkeys(ADDRESS_KINDS, _text), "countryCode": _text, "full": _text, **_RANKED},
    "anniversaries": {"kind": _one_of("birth", "wedding", "death", "other"), "date": _date, "label": _text},
    "notes": {"note": _text},
    "links": {"uri": _text, "kind": _text, **_MARKS},
    "onlineServices": {"service": _text, "user": _text, "uri": _text, **_MARKS},
    "relations": {"name": _text, "kind": _text},
    "groups": {"name": _text},
}
"""What the elements of each field are made of. Photos cannot be typed."""

NAME: Final[Mapping[str, Reader]] = dict.fromkeys(
    [*NAME_KINDS, *(kind + ".phonetic" for kind in NAME_KINDS), "full"], _text
)
KIND: Final = _one_of("individual", "org", "group")
FIELDS: Final = sorted([*VALUE, "name", "keywords", "kind"])
_ENOUGH: Final[Mapping[str, frozenset[str]]] = {
    "addresses": frozenset({LINES, "full", *ADDRESS_KINDS}),
    "onlineServices": frozenset({"user", "uri"}),
}
"""Where other properties than the element's value make an element, too."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def entered(path: Path, typed: Any) -> Any:
    """The value that was typed for this place of a card; None clears it, as "" does. Raises ValueError.

    Whole elements and fields ("phones/1", "phones") can only be cleared. Keywords are said yes or no.
    """
    if path[0] not in FIELDS:
        raise ValueError(f"no field of a card is called {path[0] or '(nothing)'}; there are: {', '.join(FIELDS)}")
    if typed is None or typed == "":
        return None
    read = _reader(path)
    try:
        return read(typed)
    except ValueError as wrong:
        raise ValueError(f"{'/'.join(path)} {wrong}") from None


def _reader(path: Path) -> Reader:
    field, inner = path[0], path[1:]
    if field == "kind" and not inner:
        return KIND
    if field == "keywords":
        return _keyword(inner)
    if field == "media":
        raise ValueError("a photo cannot be typed in; it comes from the connected systems (it can be cleared: media=)")
    known = NAME if field == "name" else ELEMENTS.get(field, {})
    depth = 1 if field == "name" else 2
    example = f"name/given=Zoë or name/full=Zoë Öz; parts: {', '.join(NAME)}"
    if field in ELEMENTS:
        example = f"{field}/ID/{VALUE[field]}=VALUE; in an ID there are: {', '.join(known)}"
    if len(inner) != depth or inner[-1] not in known or (depth == 2 and not _ID.fullmatch(inner[0])):
        raise ValueError(f"{'/'.join(path)} is no place of a card; write {example}")
    return known[inner[-1]]


def _keyword(inner: Path) -> Reader:
    if len(inner) != 1 or not inner[0].strip():
        raise ValueError("keywords are given by name: keywords/vip=yes, or =no to take it away")

    def read(value: Any) -> bool | None:
        word = value.casefold() if isinstance(value, str) else value
        if word in (True, "yes", "true", "on", "1"):
            return True
        if word in (False, "no", "false", "off", "0"):
            return None
        raise ValueError("is yes or no")

    return read


def shape(card: Card) -> str | None:
    """What is wrong with the elements of this card, in words; None where all have what makes them one."""
    for field, elements in card.items():
        for key, element in elements.items() if field in VALUE else ():
            here = {path[2] for path in leaves({field: {key: element}})}
            if not here & _ENOUGH.get(field, {VALUE[field]}):
                return f"{field}/{key} would have no {VALUE[field]}; to take it away altogether, clear {field}/{key}"
            if field == "anniversaries" and "kind" not in here:
                return f"say what {field}/{key} is: {field}/{key}/kind=birth (or wedding, death, other)"
    return None
