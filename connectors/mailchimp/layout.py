"""What an audience has places for: its merge fields, as discovered, and its interests. Pure.

Every audience has merge fields of its own, known by a tag of at most ten characters, a name and a type (mailchimp
note 3). A field is taken for what its tag or its name says (`TARGETS`), else, where it is the audience's only one of
its type, for what its type says; the settings may say otherwise. What is taken for nothing is neither read nor written.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final

from connectors.card import LINES, SLOT, VALUE, Element, components, digest, part
from connectors.mailchimp.countries import code_of, name_of

MergeField = Mapping[str, Any]
"""A merge field as the API describes it: {tag, name, type, options?}."""

OFF: Final = "off"
EMAIL: Final = "email"
"""The slot of the address that makes the member."""
TEXT_BYTES: Final = 255
"""Longest text of a merge field in UTF-8 (mailchimp note 3, K)."""
TAG_CHARACTERS: Final = 100
"""Longest name of a tag (K)."""

TEXTS: Final = frozenset({"text", "radio", "dropdown"})


@dataclass(frozen=True)
class Target:
    """What of a card a merge field may hold.

    field: of the card. kind: of the name's component, or "full". says: what sort of phone it is. marks: properties that
    every element there has. types: of merge fields that can hold it. words: tags and names that mean it.
    """

    field: str
    words: str
    kind: str = ""
    says: str = ""
    marks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    types: frozenset[str] = TEXTS


_NUMBERS: Final = frozenset({"phone", "text"})


def _phone(words: str, says: str = "", **marks: Any) -> Target:
    return Target("phones", words, says=says, marks=marks, types=_NUMBERS)


TARGETS: Final[Mapping[str, Target]] = {
    "given name": Target("name", "FNAME FIRSTNAME GIVENNAME VORNAME PRENOM", "given"),
    "second name": Target("name", "MNAME MIDDLENAME SECONDNAME", "given2"),
    "surname": Target("name", "LNAME LASTNAME SURNAME FAMILYNAME NACHNAME NOM", "surname"),
    "name prefix": Target("name", "PREFIX SALUTATION ANREDE NAMEPREFIX", "title"),
    "full name": Target("name", "NAME FULLNAME", "full"),
    "organization": Target(
        "organizations", "COMPANY COMPANYNAME ORG ORGANIZATION ORGANISATION BUSINESS EMPLOYER FIRMA"
    ),
    "job title": Target("titles", "JOBTITLE JOB POSITION FUNCTION FUNKTION"),
    "nickname": Target("nicknames", "NICKNAME NICK"),
    "note": Target("notes", "NOTE NOTES"),
    "phone": _phone("PHONE PHONENUMBER PHONENO TEL TELEPHONE TELEFON"),
    "mobile": _phone("MOBILE MOBILEPHONE CELL CELLPHONE MOBIL HANDY", "mobile", features={"mobile": True}),
    "work phone": _phone("WORKPHONE PHONEWORK BUSINESSPHONE", "work", contexts={"work": True}),
    "home phone": _phone("HOMEPHONE PHONEHOME", "private", contexts={"private": True}),
    "fax": _phone("FAX FAXNUMBER", "fax", features={"fax": True}),
    "address": Target("addresses", "ADDRESS", types=frozenset({"address"})),
    "birthday": Target(
        "anniversaries",
        "BIRTHDAY BDAY BIRTHDATE DOB DATEOFBIRTH GEBURTSTAG",
        marks={"kind": "birth"},
        types=frozenset({"birthday", "date"}),
    ),
    "wedding": Target(
        "anniversaries", "ANNIVERSARY WEDDING WEDDINGDAY", marks={"kind": "wedding"}, types=frozenset({"date"})
    ),
    "website": Target("links", "WEBSITE URL WEB HOMEPAGE SITE WWW WEBPAGE", types=frozenset({"url", "text"})),
}
"""What the settings may call the meaning of a merge field."""
BY_TYPE: Final[Mapping[str, str]] = {
    "address": "address",
    "phone": "phone",
    "birthday": "birthday",
    "url": "website",
}
_MEANING: Final = {(word, kind): name for name, t in TARGETS.items() for word in t.words.split() for kind in t.types}
FIELDS: Final = frozenset({"emails", "groups", *(target.field for target in TARGETS.values())})
"""The fields of a card that some audience may have a place for."""
EXACT: Final = frozenset({"phones", "links"})
"""Fields whose texts lead somewhere: half of one would lead somewhere else."""


class Mistake(ValueError):
    """The settings say of a merge field what cannot be; the message says what to write instead."""


# --- a place ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One merge field that we know the meaning of."""

    tag: str
    target: Target
    type: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def field(self) -> str:
        return self.target.field

    def read(self, value: Any) -> Element | None:
        """The element that this value shows, or None. Unset is "" and never null (note 3)."""
        found = _READERS.get(self.type, _read_text)(value, VALUE[self.field])
        return {**found, **self.target.marks, SLOT: self.tag} if found else None

    def write(self, element: Element, standing: Element | None = None) -> Any:
        """The value that shows this element; "" clears; None where the field cannot hold it.

        standing: what stands there now.
        """
        if self.type == "address":
            return _address(element, standing or {})
        if self.type in ("birthday", "date"):
            return _DATES[self.type](element.get("date") or {})
        return self.text(str(element.get(VALUE[self.field]) or "")) or None

    def text(self, text: str) -> str:
        """The part of a text that this field keeps, "" where it keeps nothing of it."""
        whole = plain(text)
        kept = cut(whole)
        if self.field in EXACT and kept != whole:
            return ""
        if self.type in ("radio", "dropdown"):
            choices = {str(choice).casefold(): str(choice) for choice in self.options.get("choices") or ()}
            return choices.get(kept.casefold(), "")
        if self.type == "url":
            return kept if re.fullmatch(r"https?://[^\s/]+\.[^\s]+", kept, re.IGNORECASE) else ""
        if self.type == "phone" and self.options.get("phone_format") == "US":
            return _us_number(kept)
        return kept


_MARKUP: Final = re.compile(r"</?[A-Za-z!][^<>]*>")


def plain(text: str) -> str:
    """The text on one line, without what Mailchimp would take for HTML and strip (note 8, K)."""
    while True:
        stripped = _MARKUP.sub("", text)
        if stripped == text:
            return " ".join(line.strip() for line in text.splitlines() if line.strip())
        text = stripped


def cut(text: str) -> str:
    """As much of the text as 255 bytes hold."""
    return text.encode()[:TEXT_BYTES].decode(errors="ignore").strip()


def _us_number(number: str) -> str:
    """NXX-NXX-XXXX, the only form that a phone field of the US format takes (note 3)."""
    digits = re.sub(r"\D", "", number)
    if number.startswith("+") and not digits.startswith("1"):
        return ""
    match = re.fullmatch(r"1?([2-9]\d\d)([2-9]\d\d)(\d{4})", digits)
    return "-".join(match.groups()) if match else ""


def _read_text(value: Any, prop: str) -> dict[str, Any]:
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    return {prop: text} if text else {}


_PARTS: Final = {"city": "locality", "state": "region", "zip": "postcode"}


def _read_address(value: Any, prop: str) -> dict[str, Any]:
    """An address of which only the country is set shows the form's default and no address."""
    if not isinstance(value, Mapping):
        return {}
    parts = {kind: str(value.get(name) or "").strip() for name, kind in _PARTS.items()}
    lines = "\n".join(text for name in ("addr1", "addr2") if (text := str(value.get(name) or "").strip()))
    if not lines and not any(parts.values()):
        return {}
    country = str(value.get("country") or "").strip()
    code = code_of(country)
    shown = components({**parts, "country": name_of(code) if code else country})
    found: dict[str, Any] = {LINES: lines} if lines else {}
    return {**found, **({"components": shown} if shown else {}), **({"countryCode": code} if code else {})}


def _address(element: Element, standing: Element) -> dict[str, str] | None:
    """A complete address object; None for one that lacks the street, the city, the state or the zip code: sent so, it
    is refused, and stored so, it breaks later updates (note 3). One whose country has no code we know is not sent
    either: without its country it would be taken for an American one. What stands there already may stay."""
    lines = [line for text in str(element.get(LINES) or "").splitlines() if (line := plain(text))]
    found = {
        "addr1": cut(lines[0]) if lines else "",
        **{name: cut(plain(part(element, kind))) for name, kind in _PARTS.items()},
    }
    if not all(found.values()):
        return None
    text = part(element, "country")
    country = code_of(text) or code_of(str(element.get("countryCode") or "") if not text else "")
    if text and not country:
        if text != part(standing, "country"):
            return None
        country = text
    if len(lines) > 1:
        found["addr2"] = cut(", ".join(lines[1:]))
    return {**found, **({"country": country} if country else {})}


def shown_address(element: Element, written: Mapping[str, str]) -> Element:
    """The element as it will stand there, its country in its own words: these are kept as long as they say the same."""
    shown = _read_address(written, LINES)
    parts = {c["kind"]: c["value"] for c in shown["components"]}
    parts["country"] = part(element, "country")
    code = str(element.get("countryCode") or "")
    kept = {"countryCode": code} if code and code_of(code) == shown.get("countryCode") else {}
    return {LINES: shown[LINES], "components": components(parts), **kept}


def _read_birthday(value: Any, prop: str) -> dict[str, Any]:
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", value.strip()) if isinstance(value, str) else None
    return {prop: {"month": int(match[1]), "day": int(match[2])}} if match else {}


def _read_date(value: Any, prop: str) -> dict[str, Any]:
    match = re.match(r"(\d{4})-(\d\d)-(\d\d)", value) if isinstance(value, str) else None
    return {prop: dict(zip(("year", "month", "day"), map(int, match.groups()), strict=True))} if match else {}


def _birthday(when: Mapping[str, Any]) -> str | None:
    return f"{when['month']:02}/{when['day']:02}" if when.get("month") and when.get("day") else None


def _full_date(when: Mapping[str, Any]) -> str | None:
    try:
        return date(when["year"], when["month"], when["day"]).isoformat()
    except (KeyError, TypeError, ValueError):
        return None


_READERS: Final[Mapping[str, Callable[[Any, str], dict[str, Any]]]] = {
    "address": _read_address,
    "birthday": _read_birthday,
    "date": _read_date,
}
_DATES: Final[Mapping[str, Callable[[Mapping[str, Any]], str | None]]] = {"birthday": _birthday, "date": _full_date}


# --- the whole of it -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """An audience's places. interests: {id: "Category: Name"}. key: the tag under which our key is to be kept, "" for
    none. merge: what the places were made of."""

    places: tuple[Place, ...]
    names: Mapping[str, Place]
    interests: Mapping[str, str]
    key: str = ""
    merge: Sequence[MergeField] = ()

    @cached_property
    def fields(self) -> Mapping[str, tuple[Place, ...]]:
        """The places by the card's fields, but for the name's."""
        found = dict.fromkeys(place.field for place in self.places)
        return {name: tuple(place for place in self.places if place.field == name) for name in found}

    @property
    def holds(self) -> frozenset[str]:
        """The fields of a card that this audience can hold."""
        return frozenset({"emails", "groups", *(["name"] if self.names else []), *self.fields})

    @cached_property
    def interest_ids(self) -> Mapping[str, str]:
        """{folded name: id} of the interests."""
        return {name.casefold(): id_ for id_, name in self.interests.items()}

    @cached_property
    def by_tag(self) -> Mapping[str, Place]:
        return {place.tag: place for place in (*self.names.values(), *self.places)}

    @property
    def keeps_key(self) -> bool:
        """Is there a merge field for our key?"""
        return any(entry["tag"] == self.key for entry in self.merge)

    def as_json(self) -> dict[str, Any]:
        """As the cursor keeps it."""
        return {"merge": list(self.merge), "interests": dict(self.interests)}

    @property
    def fingerprint(self) -> str:
        """Of everything that a view depends on."""
        meaning = {tag: (p.field, p.target.kind, p.target.says, p.type) for tag, p in self.by_tag.items()}
        return digest({"fields": meaning, "interests": dict(self.interests)})

    def extends(self, other: Layout) -> bool:
        """Is this the other one with some interests more?"""
        known = {id_: self.interests.get(id_) for id_ in other.interests}
        return known == dict(other.interests) and self.by_tag == other.by_tag


def layout(
    merge: Iterable[MergeField], interests: Mapping[str, str], meanings: Mapping[str, str], key: str = ""
) -> Layout:
    """What the merge fields mean. meanings: what the settings say of some, {tag: name of a target, or "off"}.

    Raises Mistake for a tag that is not there and for a meaning that its type cannot hold.
    """
    kept = [_trimmed(entry) for entry in merge]
    known = {entry["tag"]: entry for entry in kept}
    if unknown := sorted(set(meanings) - known.keys()):
        has = ", ".join(sorted(known)) or "none"
        raise Mistake(f"merge_fields names {unknown[0]}, which the audience does not have; it has: {has}")
    meant: dict[str, str] = {}
    for tag, meaning in meanings.items():
        kind = known[tag]["type"]
        if meaning != OFF and kind not in TARGETS[meaning].types:
            types = " or ".join(sorted(TARGETS[meaning].types))
            raise Mistake(f"{tag} is of type {kind} and cannot hold the {meaning}, which takes one of type {types}")
        meant[tag] = meaning
    rest = [entry for entry in kept if entry["tag"] not in meant and entry["tag"] != key]
    guessed = _guessed(rest)
    meant = {tag: meaning for tag in known if (meaning := meant.get(tag, guessed.get(tag, OFF))) != OFF}
    names: dict[str, Place] = {}
    places: list[Place] = []
    for tag, meaning in meant.items():
        entry = known[tag]
        place = Place(tag, TARGETS[meaning], entry["type"], entry["options"])
        if place.field == "name":
            names.setdefault(place.target.kind, place)
        else:
            places.append(place)
    if "given" in names or "surname" in names:
        names.pop("full", None)
    return Layout(tuple(places), names, dict(interests), key, kept)


def _guessed(entries: Sequence[MergeField]) -> dict[str, str]:
    """What tags and names say, then what a type says that no other field has."""
    types = Counter(entry["type"] for entry in entries)
    found: dict[str, str] = {}
    for entry in entries:
        kind = entry["type"]
        words = (entry["tag"], re.sub(r"[^A-Z0-9]", "", entry["name"].upper()))
        said = next((_MEANING[word, kind] for word in words if (word, kind) in _MEANING), None)
        meaning = said or (BY_TYPE.get(kind) if types[kind] == 1 else None)
        if meaning:
            found[entry["tag"]] = meaning
    return found


def _trimmed(entry: MergeField) -> dict[str, Any]:
    """What we use of a merge field."""
    options = entry.get("options") or {}
    return {
        "tag": str(entry.get("tag") or ""),
        "name": str(entry.get("name") or ""),
        "type": str(entry.get("type") or "text"),
        "options": {name: options[name] for name in ("phone_format", "choices") if options.get(name)},
    }
