"""Which vCard property is which field of the card: a line to its elements (`DECODERS`), elements to their line
(`encode`), and what of an element a vCard can hold at all (`fit_element`).

Facts about dialects: vCard note ("Apple dialect"), RFC 2426, 6350, 6474, 8605, 9554, 9555.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from connectors.card import ADDRESS_KINDS, LINES, Element, components, part
from connectors.contentline import Line, clean, escape, escape_uri, split, unescape
from connectors.vcardlinks import (
    MEDIA,
    MEDIA_NAME,
    MEDIA_OWN,
    MEDIA_TYPE,
    MESSENGERS,
    RELATIVES,
    SOCIAL,
    Blobs,
    account,
    encode_media,
    encode_relation,
    encode_service,
    media,
    relation,
    service,
)
from connectors.vcardparams import (
    BARE,
    CONTEXTS,
    FEATURES,
    PARAMS,
    Draft,
    Partners,
    fit_params,
    label_partner,
    labelled,
    params_of,
    traits_of,
)

Decoder = Callable[[Line, Partners, Blobs], list[dict[str, Any]] | None]

TIME: Final = "concord:time"
"""The time of day that a program wrote with an anniversary ("1430-0500"); it belongs to no date, and is only kept."""
LABELLED: Final = frozenset({"emails", "phones", "addresses", "anniversaries", "links", "onlineServices", "relations"})
"""The fields whose elements take the label of their group."""
LISTS: Final[Mapping[str, str]] = {"nicknames": "NICKNAME", "groups": "CATEGORIES"}
"""The fields of which one line holds several elements."""


# --- fields of one text -------------------------------------------------------------------------------------

_TEL_URI: Final = re.compile(r"tel:(.*?)(?:;ext=([\w.-]+))?\Z", re.IGNORECASE)


def number_of(text: str) -> str:
    """A phone number without the dress of a `tel:` URI."""
    found = _TEL_URI.match(text)
    if found is None:
        return text
    number = unquote(found.group(1)).strip()
    return f"{number} ext. {found.group(2)}" if found.group(2) else number


def address_of(text: str) -> str:
    """An e-mail address without `mailto:`."""
    return text[7:].strip() if text[:7].lower() == "mailto:" else text


def _texts(field: str, prop: str, change: Callable[[str], str] = str, **more: Any) -> Decoder:
    """A decoder of properties whose value is one text."""

    def decode(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
        text = change(unescape(line.value).strip())
        if not text:
            return []
        element = {prop: text, **more, **traits_of(line.params, field)}
        return [labelled(element, field, partners)] if partners and field in LABELLED else [element]

    return decode


def _note(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
    text = unescape(line.value)
    return [{"note": text, **traits_of(line.params, "notes")}] if text.strip() else []


def _names(field: str) -> Decoder:
    """A decoder of lists of names."""

    def decode(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
        names = (unescape(name).strip() for name in split(line.value, ","))
        return [{"name": name, **traits_of(line.params, field)} for name in names if name]

    return decode


def _organization(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
    name, *units = (unescape(text).strip() for text in split(line.value, ";"))
    element: dict[str, Any] = {"name": name} if name else {}
    if any(units):
        element["units"] = [{"name": unit} for unit in units if unit]
    return [{**element, **traits_of(line.params, "organizations")}] if element else []


# --- addresses ----------------------------------------------------------------------------------------------

_ADDRESS_OWN: Final = frozenset({"LABEL", "CC"})


def _address_parts(value: str) -> list[str]:
    parts = [unescape(text).strip() for text in split(value, ";")]
    if len(parts) == 1:  # somebody's plain text
        return ["", "", parts[0], "", "", "", ""]
    return (parts + [""] * 7)[:7]


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(text for text in (parts[2], parts[1]) if text)


def _address(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
    parts = _address_parts(line.value)
    full = "".join(line.param("LABEL")[:1]).strip()
    places = components(dict(zip(ADDRESS_KINDS, (parts[0], *parts[3:]), strict=True)))
    lines = _lines(parts)
    if not lines and not places:
        lines, full = full, ""
    code = partners.get("X-ABADR", "").strip() or "".join(line.param("CC")[:1])
    found = {LINES: lines, "components": places, "full": full}
    element = {key: value for key, value in found.items() if value}
    if not element:
        return []
    if is_country(code):
        element["countryCode"] = code.upper()
    return [labelled({**element, **traits_of(line.params, "addresses", _ADDRESS_OWN)}, "addresses", partners)]


def is_country(code: str) -> bool:
    """Is this an ISO 3166 alpha-2 code by its looks?"""
    return len(code) == 2 and code.isascii() and code.isalpha()


def _encode_address(element: Element, version: str, like: Line | None) -> Draft:
    lines = element.get(LINES, "")
    values = [part(element, kind) for kind in ADDRESS_KINDS]
    parts = [escape(text) for text in (values[0], "", lines, *values[1:])]
    if like:
        was, raw = _address_parts(like.value), split(like.value, ";")
        if len(raw) >= 7:
            kept = [raw[n] if unescape(parts[n]) == was[n] else parts[n] for n in range(7)]
            # Street and flat are one text: both stay as they were, or all goes into the street.
            same = _lines(was) == lines
            parts = [kept[0], raw[1], raw[2], *kept[3:], *raw[7:]] if same else [kept[0], *parts[1:3], *kept[3:]]
    params, partners = params_of(element, version, like), label_partner(element)
    if element.get("full"):
        params = (*params, ("LABEL", (element["full"],)))
    code = element.get("countryCode")
    if code and version.startswith("4"):
        params = (*params, ("CC", (code,)))
    elif code:
        partners = (*partners, ("X-ABADR", code.lower()))
    return Draft("ADR", params, ";".join(parts), partners)


# --- anniversaries ------------------------------------------------------------------------------------------

_DATE: Final = re.compile(
    r"(?:(?P<y>\d{4})[-/]?(?P<m>\d\d)[-/]?(?P<d>\d\d)|(?P<y2>\d{4})-(?P<m2>\d\d)|(?P<y3>\d{4})"
    r"|--(?P<m4>\d\d)-?(?P<d4>\d\d)|--(?P<m5>\d\d)|---(?P<d6>\d\d))(?:[T ](?P<time>.+))?\Z"
)
_MIDNIGHT: Final = re.compile(r"[0:.]*(?:Z|[+-][0:]+)?\Z")
_OMIT_YEAR: Final = "X-APPLE-OMIT-YEAR"
_DATE_OWN: Final = BARE | {_OMIT_YEAR, "CALSCALE"}
_DAYS: Final = {
    "BDAY": "birth",
    "DEATHDATE": "death",
    "ANNIVERSARY": "wedding",
    "X-ANNIVERSARY": "wedding",
    "X-MS-ANNIVERSARY": "wedding",
    "X-EVOLUTION-ANNIVERSARY": "wedding",
    "X-KADDRESSBOOK-X-ANNIVERSARY": "wedding",
    "X-ABDATE": "other",
}
_WEDDING_LABEL: Final = "_$!<Anniversary>!$_"


def _anniversary(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]] | None:
    text = unescape(line.value).strip()
    if not text:
        return []
    found = _DATE.match(text)
    if found is None or "text" in line.param("VALUE") or line.param("CALSCALE")[:1] not in ((), ("gregorian",)):
        return None
    named = {key[0]: int(value) for key, value in found.groupdict().items() if value and key != "time"}
    if named.get("y") == 0 or found.group("y") in line.param(_OMIT_YEAR):
        named.pop("y", None)
    date = {word: named[word[0]] for word in ("year", "month", "day") if word[0] in named}
    if not date or not is_date(date):
        return None
    element: dict[str, Any] = {"kind": _DAYS[line.name], "date": date}
    if not _MIDNIGHT.match(found.group("time") or ""):
        element[TIME] = found.group("time")
    element |= traits_of(line.params, "anniversaries", _DATE_OWN)
    if line.name == "X-ABDATE" and partners.get("X-ABLABEL") == _WEDDING_LABEL:
        element["kind"] = "wedding"
    elif line.name == "X-ABDATE":
        labelled(element, "anniversaries", partners)
    return [element]


def is_date(date: Mapping[str, Any]) -> bool:
    """Is this a partial date that calendars know?"""
    return (
        1 <= date.get("year", 1) <= 9999
        and 1 <= date.get("month", 1) <= 12
        and 1 <= date.get("day", 1) <= 31
        and ("month" in date or "day" not in date or "year" not in date)
    )


def _encode_anniversary(element: Element, version: str, like: Line | None) -> Draft:
    kind, date = element["kind"], element["date"]
    params = params_of(element, version, like)
    partners: tuple[tuple[str, str], ...] = ()
    name = next((name for name, of in _DAYS.items() if of == kind), "X-ABDATE")
    if kind == "wedding" and not version.startswith("4"):
        name = "X-ABDATE"
    if like and _DAYS[like.name] == kind:
        name = like.name
    if name == "X-ABDATE":
        partners = (("X-ABLABEL", _WEDDING_LABEL),) if kind == "wedding" else label_partner(element)
        partners = partners or (("X-ABLABEL", "_$!<Other>!$_"),)
    basic = version.startswith("4") and not (like and re.match(r"\d{4}-", like.value))
    if "year" not in date and "month" in date and "day" in date and not version.startswith("4"):
        date = {**date, "year": 1604}
        params = (*params, (_OMIT_YEAR, ("1604",)))
    text = _date_text(date, "" if basic else "-")
    return Draft(name, params, text + (f"T{escape(element[TIME])}" if TIME in element else ""), partners)


def _date_text(date: Mapping[str, int], dash: str) -> str:
    year, month, day = (date.get(word) for word in ("year", "month", "day"))
    if year is None:
        return f"--{month:02}" + (f"{dash}{day:02}" if day else "") if month else f"---{day:02}"
    if month is None:
        return f"{year:04}"
    return f"{year:04}-{month:02}" if day is None else f"{year:04}{dash}{month:02}{dash}{day:02}"


# --- the tables ---------------------------------------------------------------------------------------------

DECODERS: Final[Mapping[str, tuple[str, Decoder]]] = {
    "EMAIL": ("emails", _texts("emails", "address", address_of)),
    "TEL": ("phones", _texts("phones", "number", number_of)),
    "ADR": ("addresses", _address),
    "ORG": ("organizations", _organization),
    "TITLE": ("titles", _texts("titles", "name")),
    "ROLE": ("titles", _texts("titles", "name", kind="role")),
    "NICKNAME": ("nicknames", _names("nicknames")),
    "CATEGORIES": ("groups", _names("groups")),
    "NOTE": ("notes", _note),
    "URL": ("links", _texts("links", "uri")),
    "CONTACT-URI": ("links", _texts("links", "uri", kind="contact")),
    **dict.fromkeys(_DAYS, ("anniversaries", _anniversary)),
    **dict.fromkeys(("IMPP", *SOCIAL, *MESSENGERS), ("onlineServices", service)),
    **dict.fromkeys(("RELATED", "X-ABRELATEDNAMES", *RELATIVES), ("relations", relation)),
    **dict.fromkeys(MEDIA, ("media", media)),
}
"""{property: (field, decoder)}. A decoder gives the line's elements, [] for a blank line, None for one that the field
cannot hold."""


def encode(
    field: str,
    elements: Sequence[Element],
    version: str,
    like: Line | None = None,
    blob: Callable[[str], bytes] | None = None,
) -> Draft | None:
    """The line of these elements (several in LISTS only, and those of equal `vCardParams`); None where a photo's bytes
    are not to be had.

    like: the line that is rewritten; what it says beside is kept, and its dialect.
    """
    element = elements[0]
    if field == "media":
        return encode_media(element, version, blob)
    if field == "addresses":
        return _encode_address(element, version, like)
    if field == "anniversaries":
        return _encode_anniversary(element, version, like)
    if field == "onlineServices":
        return encode_service(element, version, like)
    if field == "relations":
        return encode_relation(element, version, like)
    params = params_of(element, version, like)
    if field in LISTS:
        return Draft(LISTS[field], params, ",".join(escape(named["name"]) for named in elements))
    if field == "organizations":
        texts = [element.get("name", ""), *(unit["name"] for unit in element.get("units", ()))]
        return Draft("ORG", params, ";".join(map(escape, texts)))
    name, value = _SIMPLE[field](element)
    return Draft(name, params, value, label_partner(element))


_SIMPLE: Final[Mapping[str, Callable[[Element], tuple[str, str]]]] = {
    "emails": lambda element: ("EMAIL", escape(element["address"])),
    "phones": lambda element: ("TEL", escape(element["number"])),
    "notes": lambda element: ("NOTE", escape(element["note"])),
    "titles": lambda element: ("ROLE" if element.get("kind") == "role" else "TITLE", escape(element["name"])),
    "links": lambda element: ("CONTACT-URI" if "kind" in element else "URL", escape_uri(element["uri"])),
}


# --- what a vCard can hold ----------------------------------------------------------------------------------

_OWN_PARAMS: Final[Mapping[str, frozenset[str]]] = {
    "addresses": _ADDRESS_OWN,
    "anniversaries": _DATE_OWN,
    "relations": BARE,
    "media": MEDIA_OWN,
    "onlineServices": frozenset({"X-SERVICE-TYPE", "SERVICE-TYPE", "X-USER", "USERNAME"}),
}


def fit_text(value: Any) -> str:
    """A text as it comes back from a vCard."""
    return clean(value).strip() if isinstance(value, str) else ""


def fit_element(field: str, element: Element) -> dict[str, Any] | None:
    """What a vCard can hold of an element of that field; None where that is nothing."""
    fitted = _FITS[field](element)
    if not fitted:
        return None
    own = _OWN_PARAMS.get(field, frozenset())
    if params := fit_params(element.get(PARAMS), own):
        fitted[PARAMS] = params
    if field in LABELLED and field != "relations" and fitted.get("kind") not in ("birth", "death", "wedding"):
        fitted |= {"label": label} if (label := fit_text(element.get("label"))) else {}
    if own >= BARE:
        return fitted
    if contexts := _marked(element.get("contexts"), CONTEXTS.values()):
        fitted["contexts"] = contexts
    if field == "phones" and (features := _marked(element.get("features"), FEATURES.values())):
        fitted["features"] = features
    pref = element.get("pref")
    if isinstance(pref, int) and 1 <= pref <= 100:
        fitted["pref"] = pref
    return fitted


def _marked(held: Mapping[str, bool] | None, known: Iterable[str]) -> dict[str, bool]:
    return {mark: True for mark in known if held.get(mark)} if held else {}


def _fit_texts(prop: str, change: Callable[[str], str] = str) -> Callable[[Element], dict[str, Any]]:
    def fit(element: Element) -> dict[str, Any]:
        text = change(fit_text(element.get(prop)))
        return {prop: text} if text else {}

    return fit


def _fit_note(element: Element) -> dict[str, Any]:
    text = clean(element.get("note", ""))
    return {"note": text} if text.strip() else {}


def _fit_title(element: Element) -> dict[str, Any]:
    name = fit_text(element.get("name"))
    role = {"kind": "role"} if element.get("kind") == "role" else {}
    return {"name": name, **role} if name else {}


def _fit_link(element: Element) -> dict[str, Any]:
    uri = fit_text(element.get("uri"))
    kind = {"kind": "contact"} if element.get("kind") == "contact" else {}
    return {"uri": uri, **kind} if uri else {}


def _fit_organization(element: Element) -> dict[str, Any]:
    name = fit_text(element.get("name"))
    units = [{"name": text} for unit in element.get("units", ()) if (text := fit_text(unit.get("name")))]
    return ({"name": name} if name else {}) | ({"units": units} if units else {})


def _fit_address(element: Element) -> dict[str, Any]:
    places = components({kind: fit_text(part(element, kind)) for kind in ADDRESS_KINDS})
    lines, full = fit_text(element.get(LINES)), fit_text(element.get("full"))
    if not lines and not places:
        lines, full = full, ""
    code = fit_text(element.get("countryCode")).upper()
    found = {LINES: lines, "components": places, "full": full}
    fitted = {key: value for key, value in found.items() if value}
    return fitted | ({"countryCode": code} if fitted and is_country(code) else {})


def _fit_anniversary(element: Element) -> dict[str, Any]:
    date = {word: value for word in ("year", "month", "day") if isinstance(value := element["date"].get(word), int)}
    if "year" in date and "month" not in date:
        date.pop("day", None)
    if not date or not is_date(date):
        return {}
    kind = element.get("kind")
    fitted: dict[str, Any] = {"kind": kind if kind in ("birth", "death", "wedding") else "other", "date": date}
    time = fit_text(element.get(TIME))
    return fitted | ({TIME: time} if time and not _MIDNIGHT.match(time) else {})


def _fit_service(element: Element) -> dict[str, Any]:
    service, user, uri = (fit_text(element.get(key)) for key in ("service", "user", "uri"))
    return account(service, user, uri) if user or uri else {}


def _fit_relation(element: Element) -> dict[str, Any]:
    name, kind = fit_text(element.get("name")), fit_text(element.get("kind"))
    return ({"name": name, "kind": kind} if kind else {"name": name}) if name else {}


def _fit_media(element: Element) -> dict[str, Any]:
    uri, media_type = fit_text(element.get("uri")), fit_text(element.get("mediaType")).lower()
    if not uri or element.get("kind") not in MEDIA_NAME:
        return {}
    fitted = {"kind": element["kind"], "uri": uri}
    if uri.startswith("sha-256:") and "size" in element:
        fitted["size"] = element["size"]
    return fitted | ({"mediaType": media_type} if MEDIA_TYPE.match(media_type) else {})


_FITS: Final[Mapping[str, Callable[[Element], dict[str, Any]]]] = {
    "nicknames": _fit_texts("name"),
    "organizations": _fit_organization,
    "titles": _fit_title,
    "emails": _fit_texts("address", address_of),
    "phones": _fit_texts("number", number_of),
    "addresses": _fit_address,
    "anniversaries": _fit_anniversary,
    "notes": _fit_note,
    "links": _fit_link,
    "onlineServices": _fit_service,
    "relations": _fit_relation,
    "media": _fit_media,
    "groups": _fit_texts("name"),
}
