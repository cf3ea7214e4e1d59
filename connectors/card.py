"""The card: one contact as a value, in a profile of JSContact (RFC 9553, RFC 9982).

A `Card` is plain JSON and is never changed in place. Fields of the profile:

    kind           individual (when absent) | org | group
    name           {components: [{kind, value, phonetic?}], full?}   one component of a kind
    nicknames      {id: {name}}
    organizations  {id: {name, units?: [{name}]}}
    titles         {id: {name, kind?: title|role, organizationId?}}
    emails         {id: {address, contexts?, label?, pref?}}
    phones         {id: {number, features?, contexts?, label?, pref?}}
    addresses      {id: {concord:lines?, components?, countryCode?, contexts?, label?, pref?, full?}}
    anniversaries  {id: {kind: birth|wedding|death|other, date: {year?, month?, day?}, label?}}
    notes          {id: {note}}
    links          {id: {uri, kind?, contexts?, label?}}
    onlineServices {id: {service?, user?, uri?, contexts?, label?}}
    relations      {id: {name, kind?}}       related people known only by their name
    media          {id: {kind: photo|logo|sound, uri, mediaType?, size?}}  uri is `sha-256:<hex>` of a blob
    keywords       {keyword: true}
    groups         {id: {name}}              the contact groups, lists, labels this person is in

Street, house, flat are one text with line breaks, `concord:lines`: systems cut them differently and no
cutting is right everywhere. The other parts of an address are components of the kinds postOfficeBox,
locality, region, postcode, country, one of each.

Element ids (the keys of the maps) mean nothing to a remote. An element of a remote's view may carry
`concord:slot`, the place it stands in there ("mobile", "secondaryemail"); the canonical card never does.
Whatever else a card holds is kept as it is, as one value per unknown property.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import orjson

Card = Mapping[str, Any]
Element = Mapping[str, Any]
Path = tuple[str, ...]
"""A leaf's place: ("name", "given"), ("emails", ID, "address"), ("keywords", "vip")."""
Leaves = dict[Path, Any]

SLOT: Final = "concord:slot"
LINES: Final = "concord:lines"

VALUE: Final[Mapping[str, str]] = {
    "nicknames": "name",
    "organizations": "name",
    "titles": "name",
    "emails": "address",
    "phones": "number",
    "addresses": LINES,
    "anniversaries": "date",
    "notes": "note",
    "links": "uri",
    "onlineServices": "user",
    "relations": "name",
    "media": "uri",
    "groups": "name",
}
"""The fields that hold elements, and the property that is the element's value."""

NAME_KINDS: Final = ("title", "given", "given2", "surname", "surname2", "generation", "credential")
ADDRESS_KINDS: Final = ("postOfficeBox", "locality", "region", "postcode", "country")
_COMPONENT_ORDER: Final = {kind: n for n, kind in enumerate(NAME_KINDS + ADDRESS_KINDS)}

MAX_TEXT: Final = 100_000
"""Longest text of one property, characters."""
MAX_ID: Final = 512
"""Longest id of a record, characters."""
MAX_ELEMENTS: Final = 1_000
"""Most elements of one field."""
MAX_PHOTO: Final = 16 * 1024 * 1024
"""Largest photo, bytes."""


# --- leaves: a card as a flat map, which is what can be compared and merged -------------------------------


def leaves(card: Card) -> Leaves:
    """Every value of the card under its path."""
    found: Leaves = {}
    for field, value in card.items():
        if field in VALUE:
            for key, element in value.items():
                _open(found, (field, key), element)
        elif field == "name":
            _open(found, (field,), value)
        elif field == "keywords":
            for keyword in value:
                found[field, keyword] = True
        else:
            found[(field,)] = value
    return found


def _open(found: Leaves, at: Path, holder: Mapping[str, Any]) -> None:
    for prop, value in holder.items():
        if prop != "components":
            found[(*at, prop)] = value
            continue
        for component in value:
            path = (*at, component["kind"])
            # The profile has one component of a kind; a second one is read as more of the first.
            found[path] = f"{found[path]} {component['value']}" if path in found else component["value"]
            if "phonetic" in component:
                found[(*at, component["kind"] + ".phonetic")] = component["phonetic"]


def card_of(parts: Leaves) -> Card:
    """The card whose leaves these are."""
    card: dict[str, Any] = {}
    for path, value in parts.items():
        field = path[0]
        if field in VALUE:
            element = card.setdefault(field, {}).setdefault(path[1], {})
            _close(element, path[2], value)
        elif field == "name" and len(path) == 2:
            _close(card.setdefault(field, {}), path[1], value)
        elif field == "keywords" and len(path) == 2:
            card.setdefault(field, {})[path[1]] = True
        else:
            card[field] = value
    for holder in _component_holders(card):
        holder["components"].sort(key=lambda component: _COMPONENT_ORDER[component["kind"]])
        for component in [c for c in holder["components"] if "value" not in c]:
            component["value"] = ""
    return card


def _close(holder: dict[str, Any], prop: str, value: Any) -> None:
    kind, _, detail = prop.partition(".")
    if kind not in _COMPONENT_ORDER:
        holder[prop] = value
        return
    components = holder.setdefault("components", [])
    component = next((c for c in components if c["kind"] == kind), None)
    if component is None:
        component = {"kind": kind}
        components.append(component)
    component[detail or "value"] = value


def _component_holders(card: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    if "components" in card.get("name", ()):
        yield card["name"]
    for address in card.get("addresses", {}).values():
        if "components" in address:
            yield address


def part(holder: Mapping[str, Any], kind: str) -> str:
    """One component's value of a name or an address, or ""."""
    return " ".join([c["value"] for c in holder.get("components", ()) if c["kind"] == kind])


def components(parts: Mapping[str, str]) -> list[dict[str, str]]:
    """The components of a name or an address from {kind: value}, blanks left out, in canonical order."""
    found = [{"kind": kind, "value": value} for kind, value in parts.items() if value]
    return sorted(found, key=lambda component: _COMPONENT_ORDER[component["kind"]])


def full_name(card: Card) -> str:
    """How a person would write the name: the given full name, else the components in order, else the best
    there is (organisation, e-mail address, phone number), else ""."""
    name = card.get("name", {})
    if name.get("full"):
        return str(name["full"])
    if name.get("components"):
        return " ".join(c["value"] for c in name["components"] if c.get("value"))
    for field in ("nicknames", "organizations", "emails", "phones"):
        for element in card.get(field, {}).values():
            if element.get(VALUE[field]):
                return str(element[VALUE[field]])
    return ""


def digest(card: Card) -> str:
    """A short fingerprint of a card; equal cards have equal fingerprints."""
    raw = orjson.dumps(card, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def blob_uri(data: bytes) -> str:
    """The name of a photo: its SHA-256."""
    return "sha-256:" + hashlib.sha256(data).hexdigest()


def problem(card: Card) -> str | None:
    """Why this card is beyond our bounds or cannot be stored, in words for an admin; None where it can be taken.

    To be asked before anything else is done with a card of unknown origin: `digest` and the store raise TypeError or
    ValueError for what is refused here.
    """
    try:
        raw = orjson.dumps(card)
    except TypeError as error:
        return _flaw(card, ()) or f"it cannot be stored as JSON ({error})"
    for media in card.get("media", {}).values():
        if media.get("size", 0) > MAX_PHOTO:
            return f"a photo of {media['size'] / 1048576:.0f} MB; at most {MAX_PHOTO // 1048576} MB are taken"
    # NUL is written as an escape (to look for its first byte is ten times quicker), and what is no number as null.
    suspicious = (b"\\" in raw and b"\\u0000" in raw) or b"null" in raw
    if suspicious and (flaw := _flaw(card, ())):
        return flaw
    if len(raw) < _SURELY_SMALL:
        return None
    for field, value in card.items():
        if (field in VALUE or field == "keywords") and len(value) > MAX_ELEMENTS:
            return f"{len(value):,} {field} on one contact; at most {MAX_ELEMENTS:,} are taken"
    return _too_long(card)


def problem_id(text: str) -> str | None:
    """Why this cannot be the id of a record, in words for an admin; None where it can."""
    if not text:
        return "its id is empty"
    if len(text) > MAX_ID:
        return f"its id is {len(text):,} characters long; the limit is {MAX_ID:,}"
    wrong = _wrong_text(text)
    return f"its id {wrong}" if wrong else None


def unstorable(value: Any) -> str | None:
    """Why this JSON value cannot be stored, in words for an admin; None where it can."""
    try:
        raw = orjson.dumps(value)
    except TypeError as error:
        return _flaw(value, ()) or f"it cannot be stored as JSON ({error})"
    return _flaw(value, ()) if b"\\u0000" in raw else None


_SURELY_SMALL: Final = 4 * MAX_ELEMENTS
"""Bytes of JSON in which no bound can be broken: even empty elements take more each."""
_MAX_DEPTH: Final = 200
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _flaw(value: Any, at: Path) -> str | None:
    """What in this JSON value cannot be stored, the first there is."""
    if len(at) > _MAX_DEPTH:
        return f"{_place(at)} is nested too deeply"
    if isinstance(value, Mapping):
        flaws = (_flaw_of_name(key, at) or _flaw(inner, (*at, str(key))) for key, inner in value.items())
        return next(filter(None, flaws), None)
    if isinstance(value, list | tuple):
        return next(filter(None, (_flaw(inner, (*at, *at[-1:])) for inner in value)), None)
    wrong = _wrong_text(value) if isinstance(value, str) else _wrong_number(value)
    return f"{_place(at)} {wrong}" if wrong else None


def _flaw_of_name(key: Any, at: Path) -> str | None:
    wrong = _wrong_text(key) if isinstance(key, str) else f"is no text ({type(key).__name__})"
    return f"a name in {_place(at)} {wrong}" if wrong else None


def _wrong_text(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character, which databases refuse; take it out there"
    if not text.isascii() and _SURROGATE.search(text):
        return "holds half a character (a lone surrogate); write it anew there"
    return None


def _wrong_number(value: Any) -> str | None:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return "is a number of more than 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, which is no number"
    return None


def _too_long(card: Card) -> str | None:
    for path, value in leaves(card).items():
        for text in (value, path[-1]):
            if isinstance(text, str) and len(text) > MAX_TEXT:
                return f"{_place((*path[:1], *path[2:]))} is {len(text):,} characters long; the limit is {MAX_TEXT:,}"
    return None


def _place(at: Path) -> str:
    """Where in a card: the field and the property, in text that can be stored and shown."""
    names = dict.fromkeys((*at[:1], *at[-1:]))
    return "/".join(name[:80] for name in names) or "the card"


# --- equivalence: two ways to write one value ---------------------------------------------------------------


@dataclass(frozen=True)
class Equivalence:
    """When two values are the same value. It only compares: what it folds is never written anywhere.

    region: ISO 3166 country in which phone numbers without a country code are read, or None.
    """

    region: str | None = None

    def same(self, path: Path, one: Any, other: Any) -> bool:
        """Are these two values of one leaf the same value?"""
        if one == other:
            return True
        if one is None or other is None:
            return False
        return self.key(path[0], path[-1], one) == self.key(path[0], path[-1], other)

    def key(self, field: str, prop: str, value: Any) -> Hashable:
        """The folded form of one property's value."""
        if not isinstance(value, str):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if field == "emails" and prop == "address":
            return email_key(value)
        if field == "phones" and prop == "number":
            return phone_key(value, self.region)
        if field == "links" and prop == "uri":
            return url_key(value)
        if field == "addresses":
            return fold(value)
        if field == "groups":
            return group_key(value)
        return value.strip().replace("\r\n", "\n")

    def element_key(self, field: str, element: Element) -> Hashable:
        """What an element is recognised by among the elements of its field; None for one without a value."""
        if field == "addresses":
            parts = [element.get(LINES) or element.get("full") or "", part(element, "postOfficeBox")]
            place = part(element, "postcode") or part(element, "locality")
            return fold(" ".join([*parts, place])) or None
        if field == "anniversaries":
            return element.get("kind"), orjson.dumps(element.get("date"), option=orjson.OPT_SORT_KEYS)
        if field == "onlineServices":
            return (element.get("service"), element.get("user") or element.get("uri")) if element else None
        value = element.get(VALUE[field])
        return None if value in (None, "") else self.key(field, VALUE[field], value)


_PLAIN_INTERNATIONAL = re.compile(r"\+[\d .\-/]{7,24}\Z")


@lru_cache(maxsize=65_536)
def phone_key(number: str, region: str | None = None) -> str:
    """E.164 (with ;ext=) where the number can be read so, else its digits, else the text itself. A leading 00 is read
    as +, as nearly everywhere."""
    if number.startswith("00") and len(number) > 9:
        number = "+" + number[2:]
    if _PLAIN_INTERNATIONAL.match(number):
        return "+" + "".join(filter(str.isdigit, number))
    if number.startswith("+") or region:
        import phonenumbers  # lazily: it costs 60 ms and most runs never come here

        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            pass
        else:
            e164 = str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
            return f"{e164};ext={parsed.extension}" if parsed.extension else e164
    return "".join(filter(str.isdigit, number)) or number.strip().casefold()


def email_key(address: str) -> str:
    """The address without `mailto:`, blanks and case."""
    return address.strip().removeprefix("mailto:").casefold()


def group_key(name: str) -> str:
    """The name of a group without case, and blanks as one each: however it is written, it is one group."""
    return " ".join(name.split()).casefold()


def group_names(card: Card) -> Iterator[str]:
    """The names of the groups that this person is in, as the card writes them."""
    for element in card.get("groups", {}).values():
        if isinstance(name := element.get("name"), str) and name.strip():
            yield name


@lru_cache(maxsize=8_192)
def url_key(uri: str) -> str:
    """Host and path without scheme, `www.`, letter case of the host and a trailing slash."""
    text = uri.strip()
    try:
        parts = urlsplit(text if "//" in text else "//" + text)
        host = (parts.hostname or "").removeprefix("www.")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return text
    query = f"?{parts.query}" if parts.query else ""
    return f"{host}{port}{unquote(parts.path).rstrip('/')}{query}"


def fold(text: str) -> str:
    """Letters and digits with their marks, without case, accents composed: how addresses are compared."""
    cased = text.casefold()
    try:
        return " ".join(cased.encode("latin-1").translate(_LATIN).decode("latin-1").split())
    except UnicodeEncodeError:
        return " ".join(unicodedata.normalize("NFC", cased).translate(_SIGNS).split())


_LATIN: Final = bytes(code if chr(code).isalnum() else ord(" ") for code in range(256))
"""What becomes of each byte of Latin-1: most texts are that, and this is the quick way."""


class _Signs(dict[int, str]):
    """What becomes of each code point; filled as they are met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if "VARIATION SELECTOR" in unicodedata.name(sign, ""):
            found = ""  # it chooses a glyph, not a letter
        else:
            # The vowels of many scripts are marks (category M): without them different names are one.
            found = sign if unicodedata.category(sign)[0] in "LNM" else " "
        self[code] = found
        return found


_SIGNS: Final = _Signs()
