"""What the columns of a table mean: recognised by their headers, in whatever layout. Pure.

Sources of the layouts: spreadsheets note ("Read"), linkedin note ("Format"), mailchimp export columns, Microsoft's and
Google's own export files (English, and Outlook's German translation).
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, NAME_KINDS, VALUE
from connectors.files import cells
from connectors.files.aliases import aliases

HEADER_SEARCHED: Final = 20
"""The header is one of the first so many rows."""

EXTRA: Final = "concord:column:"
"""A column that means nothing to a card is kept in it as a vendor property of this prefix and the header."""

AS_FOUND: Final = " (as found)"
"""Ends the header, in our own export, of a column that we keep but that would be recognised by its name."""

SYNC: Final = ("sync_id", "sync_rev", "sync_action")
"""The columns of our own exports that say which person a row is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the values of a column go.

    field: a field of the card, one of SYNC, "id" (another program's key), "consent", or "extra".
    prop: the property of the element (address, number, type, locality, …) or of the name.
    group: which element of the row: columns of one group make one element ("work", "home fax", "2").
    attrs: what the header itself says about the element (contexts, features, label, kind, service).
    """

    field: str
    prop: str = ""
    group: str = ""
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False, hash=False)

    @property
    def words(self) -> str:
        """For people: "phones (work)", "addresses (home): postcode"."""
        group = f" ({self.group})" if self.group else ""
        prop = "" if self.prop in ("", VALUE.get(self.field)) else f": {self.prop}"
        return f"{self.field}{group}{prop}"


IGNORED: Final = Place("extra")
CONSENT: Final = Place("consent")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. index counts from 0; header is unique in its table."""

    index: int
    header: str
    place: Place


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table and the program that wrote it, as far as we can tell ("google", "outlook", …; "concord" is
    our own export; "table" any other)."""

    name: str
    columns: tuple[Column, ...]

    @property
    def own(self) -> bool:
        """Our own export: cells are exact, nothing is guessed."""
        return self.name == "concord"

    def has(self, field: str) -> bool:
        """Is there a column for that field?"""
        return any(column.place.field == field for column in self.columns)


# --- places by words: "phones/work", "addresses/home/locality", "name/given" ------------------------------------

_PROPS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("full", *NAME_KINDS, *(f"{kind}.phonetic" for kind in NAME_KINDS)),
    "nicknames": ("name",),
    "organizations": ("name", "units"),
    "titles": ("name", "type"),
    "emails": ("address", "type"),
    "phones": ("number", "type"),
    "addresses": (
        "lines",
        "number",
        "lines2",
        "lines3",
        "lines4",
        "lines5",
        "full",
        "type",
        "countryCode",
        *ADDRESS_KINDS,
    ),
    "anniversaries": ("date", "type"),
    "notes": ("note",),
    "links": ("uri", "type"),
    "onlineServices": ("user", "uri", "service", "type"),
    "relations": ("name", "type"),
    "keywords": ("",),
    "groups": ("name",),
    "kind": ("",),
    "id": ("",),
    "extra": ("",),
}
_FIRST: Final = {field: props[0] for field, props in _PROPS.items()}
_BIRTH: Final = ("birth", "wedding", "death")


class UnknownPlace(ValueError):
    """No column can go there; the message says what would be right."""


def place(path: str) -> Place:
    """The place that a path names: FIELD, FIELD/GROUP, FIELD/PROPERTY or FIELD/GROUP/PROPERTY.

    Raises UnknownPlace.
    """
    name, *rest = path.strip().split("/")
    if name not in _PROPS:
        raise UnknownPlace(f"{path!r} is no field path; it begins with one of: {', '.join(_PROPS)}")
    prop = rest.pop() if rest and rest[-1] in _PROPS[name] else _FIRST[name]
    if len(rest) > 1 or (rest and name in ("name", "keywords", "kind", "id", "extra")):
        raise UnknownPlace(f"{path!r}: after {name}/ comes one of: {', '.join(filter(None, _PROPS[name]))}")
    if name == "name" and "/" not in path:
        prop = "full"
    return _grouped(name, prop, rest[0] if rest else "")


def _grouped(name: str, prop: str, group: str) -> Place:
    if name == "anniversaries":
        group = group or "birth"
        known: Mapping[str, Any] = {"kind": group} if group in _BIRTH else {"kind": "other", "label": group}
        return Place(name, prop, group, known)
    if name == "titles" and group == "role":
        return Place(name, prop, group, {"kind": "role"})
    if name == "onlineServices":
        return Place(name, prop, group, {"service": group} if group else {})
    if name == "relations":
        return Place(name, prop, group, {"kind": group} if group else {})
    if group.startswith("="):
        return Place(name, prop, group[1:], {"label": group[1:]})
    return Place(name, prop, group, cells.kind(group, name == "phones") if group and not group.isdigit() else {})


_EVENT: Final = Place("anniversaries", "date", "", {"kind": "other"})

_CONSENT: Final = re.compile(
    r"opt_?(?:ed)?_?(?:in|out)|(?:do_not|dont|no)_(?:e?_?mail|call|contact|phone|post|sms|market)|unsub|subscri|abgemeldet"
    r"|consent|permission|gdpr|dsgvo|einwillig|werbesperre|werbung|widerspr|confirm_(?:time|ip)|mailing_?list|bounced|suppress"
    r"|kein_?e?_?mail|keine_werbung|newsletter|blacklist|email_status"
)


# --- reading one header ---------------------------------------------------------------------------------------

_CAMEL: Final = re.compile(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])")
_WORD: Final = re.compile(r"[^\W_]+")
_TRAILING: Final = re.compile(r"([^\W\d]+)(\d{1,2})\Z")
_TYPE_WORDS: Final = frozenset({"type", "typ", "label"})
_MARKS: Final = str.maketrans({"'": "", "’": "", "´": ""})


def words(header: str) -> tuple[str, ...]:
    """The words of a header without case, accents and punctuation: "E-mail 1 - Value" → e mail 1 value."""
    text = unicodedata.normalize("NFKC", cells.clean(header)).translate(_MARKS)
    text = unicodedata.normalize("NFD", _CAMEL.sub(" ", text).casefold())
    return tuple(_WORD.findall("".join(c for c in text if not unicodedata.combining(c))))


def _table() -> dict[str, Place]:
    found: dict[str, Place] = {}
    for alias, path in aliases():
        # As Germans without their keys write it, too: Straße, Strasse; Geschäft, Geschaeft.
        for spelling in (alias, alias.translate({0xE4: "ae", 0xF6: "oe", 0xFC: "ue"})):
            found.setdefault("".join(words(spelling)), place(path))
    return found | {
        "kind": Place("kind"),
        "eventvalue": _EVENT,
        "eventlabel": replace(_EVENT, prop="type"),
        "event": _EVENT,
    }


_TABLE: Final = _table()
_CONTEXTUAL: Final = frozenset({"emails", "phones", "addresses", "links"})
_SINGLE: Final = frozenset({"name", "kind", *SYNC})
_NUMBERED: Final = _CONTEXTUAL | {
    "organizations",
    "titles",
    "nicknames",
    "notes",
    "onlineServices",
    "relations",
    "anniversaries",
}


@lru_cache(maxsize=4_096)
def recognise(header: str) -> Place:
    """Where a column of this header goes; IGNORED where the header means nothing to us."""
    said = words(header)
    joined = "_".join(said)
    if joined in SYNC:
        return Place(joined)
    found = _TABLE.get("".join(said))
    if found is not None:
        return found
    return _compound(said) or (CONSENT if _CONSENT.search(joined) else IGNORED)


def _compound(said: tuple[str, ...]) -> Place | None:
    """A header made of a noun and a number, a context, "Type" or "Value" ("Work Phone 2", "E-mail 1 - Label")."""
    if found := _counted(said, ()):
        return found
    nouns, contexts = _without_contexts(said)
    if not contexts:
        return None
    numbered = _TABLE.get("".join(nouns))  # Business Street 2
    found = _with_context(numbered, contexts, 0) if numbered else _counted(nouns, contexts)
    return found if found and found.field in _CONTEXTUAL else None


def _counted(said: tuple[str, ...], contexts: Sequence[str]) -> Place | None:
    nouns, number = _without_number(said)
    typed = bool(nouns) and nouns[-1] in _TYPE_WORDS
    if nouns and (typed or nouns[-1] == "value"):
        nouns = nouns[:-1]
    found = _TABLE.get("".join(nouns))
    if found is None or (number and found.field not in _NUMBERED):
        return None
    if typed and "type" not in _PROPS[found.field]:
        return None
    return _with_context(replace(found, prop="type") if typed else found, contexts, number)


def _with_context(found: Place, contexts: Sequence[str], number: int) -> Place:
    count = str(number) if number > 1 or (number and not contexts and not found.group) else ""
    group = " ".join(filter(None, (*contexts, found.group, count)))
    return replace(found, group=group, attrs={**found.attrs, **cells.kind(" ".join(contexts))})


def _without_contexts(said: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The words without those that say work, home or other, and these (in our words)."""
    contexts = [_GROUPS.get(cells.CONTEXT_WORDS.get(word, word), word) for word in said if word in _SAYS_WHERE]
    return tuple(word for word in said if word not in _SAYS_WHERE), contexts


_SAYS_WHERE: Final = cells.OTHER_WORDS | cells.CONTEXT_WORDS.keys()
_GROUPS: Final = {"private": "home", "work": "work", "mailing": "mailing"} | {
    word: "other" for word in cells.OTHER_WORDS if word != "mailing"
}


def _without_number(said: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """The words without the first number among them, and the number (0: none)."""
    for at, word in enumerate(said):
        if word.isdecimal() and len(word) < 3:
            return said[:at] + said[at + 1 :], int(word)
        if trailing := _TRAILING.match(word):
            return (*said[:at], trailing[1], *said[at + 1 :]), int(trailing[2])
    return said, 0


# --- reading a whole header row ----------------------------------------------------------------------------------


def score(row: Sequence[str], chosen: Mapping[str, str]) -> int:
    """How much a row looks like a header: the columns it would give us; 0 for a row that names no contact at all."""
    places = [_chosen(cell, chosen) or recognise(cell) for cell in row if cell and len(cell) < 100]
    known = [found for found in places if found is not IGNORED]
    naming = {"name", "emails", "phones", "organizations", "nicknames", *SYNC[:1]}
    if not any(found.field in naming for found in known):
        return 0
    alone = len([cell for cell in row if cell.strip()]) <= 2
    decided = any(cell.strip() in chosen for cell in row)
    return len(known) if len(known) > 1 or alone or decided else 0


def _chosen(header: str, chosen: Mapping[str, str]) -> Place | None:
    path = chosen.get(header.strip())
    return None if path is None else place(path)


def layout(row: Sequence[str], chosen: Mapping[str, str]) -> Layout:
    """The columns under a header row. chosen: {header: field path} that a person decided; it wins."""
    names = _unique([cells.clean(cell) for cell in row])
    places = [_chosen(name, chosen) or recognise(name) if name else IGNORED for name in names]
    folded = {"".join(words(name)) for name in names}
    kind = _layout_name(folded)
    places = _in_context(kind, names, places, chosen)
    columns = [Column(index, name or f"column {_letters(index)}", places[index]) for index, name in enumerate(names)]
    return Layout(kind, tuple(_separate(columns, kind == "concord")))


_SIGNS: Final = (
    ("concord", {"syncid", "syncrev"}),
    ("google", {"email1label"}),
    ("google", {"phone1label", "labels"}),
    ("google (old)", {"email1type"}),
    ("google (old)", {"givenname", "groupmembership"}),
    ("linkedin", {"firstname", "lastname", "connectedon"}),
    ("mailchimp", {"memberrating"}),
    ("mailchimp", {"optintime", "leid"}),
    ("outlook", {"emailaddress", "businessstreet"}),
    ("outlook", {"emailaddress", "businessphone"}),
    ("outlook", {"emailadresse", "strassegeschaftlich"}),
    ("outlook", {"emailadresse", "telefongeschaftlich"}),
    ("salesforce", {"mailingstreet", "lastname"}),
)


def _layout_name(folded: set[str]) -> str:
    return next((name for name, signs in _SIGNS if signs <= folded), "table")


def _in_context(kind: str, names: list[str], places: list[Place], chosen: Mapping[str, str]) -> list[Place]:
    """Places that depend on the other columns."""
    said = ["".join(words(name)) for name in names]
    given = next((at for at, found in enumerate(places) if found.prop == "given"), None)
    surname = any(found.field == "name" and found.prop == "surname" for found in places)
    split_groups = {found.group for found in places if found.prop in ("locality", "postcode")}
    for at, found in enumerate(places):
        if names[at] in chosen:
            continue
        if said[at] == "title":
            before_name = given is not None and at < given
            places[at] = place("name/title" if before_name or kind == "outlook" else "titles")
        elif said[at] == "name" and given is not None and not surname and kind == "table":
            places[at] = place("name/surname")  # German sheets: Name, Vorname
        elif said[at] == "url" and kind == "linkedin":
            places[at] = place("onlineServices/LinkedIn/uri")
        elif found.prop == "lines" and found.group not in split_groups and _whole(names[at]):
            places[at] = replace(found, prop="full")
        elif (kind == "outlook" and found.prop == "type") or (kind == "mailchimp" and said[at] == "region"):
            places[at] = IGNORED  # SMTP or EX; where the reader's IP address seemed to be
    return places if kind == "concord" else _joined(places)


_ADDRESS_WORDS: Final = frozenset(["address", "adresse", "anschrift", "indirizzo", "direccion"])


def _whole(header: str) -> bool:
    """Does the header speak of an address, not of its street? ("Address", "Work address", "Firmenanschrift")"""
    said = [word for word in words(header) if not word.isdecimal() and word not in _SAYS_WHERE]
    return bool(said) and all(word.endswith(tuple(_ADDRESS_WORDS)) for word in said)


def _joined(places: list[Place]) -> list[Place]:
    """Titles belong to the organisation of the same number where the layout numbers them."""
    numbered = {found.group for found in places if found.field == "organizations" and found.group.isdigit()}
    return [
        replace(found, attrs={**found.attrs, "organizationId": found.group})
        if found.field == "titles" and found.group in numbered
        else found
        for found in places
    ]


def _separate(columns: list[Column], own: bool) -> list[Column]:
    """No two columns in one place: a second "Phone" is phone 2. A type column without its value column stays extra, but
    in our own export, where a label may stand alone."""
    taken: set[tuple[str, str, str]] = set()
    # Those that say their number have the first choice.
    placed = {column.index: _free(column.place, taken) for column in columns if column.place.group}
    placed |= {column.index: _free(column.place, taken) for column in columns if not column.place.group}
    elements = {(place.field, place.group) for place in placed.values() if place.prop != "type"}

    def final(place: Place) -> Place:
        alone = place.prop == "type" and (place.field, place.group) not in elements
        return IGNORED if alone and (not own or place.field == "anniversaries") else place

    return [replace(column, place=final(placed[column.index])) for column in columns]


def _free(wanted: Place, taken: set[tuple[str, str, str]]) -> Place:
    """The place itself, or the next of its kind where another column has it already."""
    if wanted.field in _SINGLE:
        again = (wanted.field, wanted.prop, "") in taken and wanted.prop != "title"
        taken.add((wanted.field, wanted.prop, ""))
        return IGNORED if again else wanted
    if wanted.field not in _NUMBERED:
        return wanted
    group, number = wanted.group or "1", 1
    base = "" if group.isdigit() else group
    while wanted.prop != "type" and (wanted.field, wanted.prop, group) in taken:
        number += 1
        group = f"{base} {number}".strip()
    taken.add((wanted.field, wanted.prop, group))
    return replace(wanted, group=group)


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 or not name else f"{name} ({seen[name]})")
    return found


def _letters(index: int) -> str:
    """0 → A, 26 → AA, as spreadsheets call their columns."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(65 + rest) + text
    return text
