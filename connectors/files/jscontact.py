"""Our card as strict JSContact (RFC 9553) and back. Pure.

What the profile adds goes under our prefix, as the RFC asks of vendors (section 1.8): groups, relations, labels of
anniversaries, sizes of media, columns of tables, the revision. Written is version 1.0 with a `uid`: version 2.0 (RFC
9982) only makes `uid` optional, so every reader of either takes it (jscontact note, "Status"). Street lines go out
twice, as our text and as a component `name`, so that others see them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from connectors.card import ADDRESS_KINDS, LINES, NAME_KINDS, SLOT, VALUE, Card, blob_uri, components
from connectors.errors import Refused
from connectors.files.headers import EXTRA

PREFIX: Final = "concord:"
_COLUMNS: Final = PREFIX + "columns"
_REV: Final = PREFIX + "rev"
_OWN_FIELDS: Final = ("groups", "relations")
_OWN_PROPS: Final[Mapping[str, tuple[str, ...]]] = {"anniversaries": ("label",), "media": ("size",)}
_KINDS: Final = ("birth", "wedding", "death")
_ENVELOPE: Final = frozenset({"@type", "version", "uid", "updated", "prodId", _REV, _COLUMNS})
_STREET: Final = frozenset(
    {"room", "apartment", "floor", "building", "number", "name", "block", "subdistrict", "district"}
    | {"direction", "landmark"}
)

Blob = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact as JSContact tells it. uid "" and rev "" where it has none."""

    card: Card
    uid: str = ""
    rev: str = ""
    blobs: Mapping[str, bytes] = field(default_factory=dict)


# --- out -------------------------------------------------------------------------------------------------------


def to_jscontact(card: Card, uid: str, rev: str = "", blob: Blob | None = None) -> dict[str, Any]:
    """The card as a JSContact Card object; photos become data: URIs where `blob` has their bytes."""
    found: dict[str, Any] = {"@type": "Card", "version": "1.0", "uid": uid, "prodId": "Concord"}
    if rev:
        found[_REV] = rev
    for name, value in card.items():
        if name.startswith(EXTRA):
            found.setdefault(_COLUMNS, {})[name.removeprefix(EXTRA)] = value
        elif name in VALUE:
            elements = {key: _element_out(name, element, blob) for key, element in value.items()}
            found[PREFIX + name if name in _OWN_FIELDS else name] = elements
        else:
            found[name] = value
    return found


def _element_out(name: str, element: Mapping[str, Any], blob: Blob | None) -> dict[str, Any]:
    own = _OWN_PROPS.get(name, ())
    found = {PREFIX + prop if prop in own else prop: value for prop, value in element.items() if prop != SLOT}
    if name == "anniversaries" and found.get("kind") == "other":
        found["kind"] = PREFIX + "other"
    if name == "addresses" and found.get(LINES):
        street = {"kind": "name", "value": found[LINES]}
        found["components"] = [street, *found.get("components", ())]
    if name == "media" and blob and str(found.get("uri", "")).startswith("sha-256:") and (data := blob(found["uri"])):
        kind = found.get("mediaType", "")
        kind = kind if "/" in kind else ""
        found["uri"] = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return found


# --- in --------------------------------------------------------------------------------------------------------


def from_jscontact(source: Any) -> Contact:
    """The card of a JSContact Card object, ours or another program's. Raises Refused for what is none."""
    if not isinstance(source, Mapping) or source.get("@type", "Card") != "Card":
        raise Refused("this is no JSContact Card")
    card: dict[str, Any] = {}
    blobs: dict[str, bytes] = {}
    for key, value in source.items():
        name = key.removeprefix(PREFIX) if key.removeprefix(PREFIX) in _OWN_FIELDS else key
        if key not in _ENVELOPE:
            try:
                card[name] = _field_in(name, value, blobs)
            except (TypeError, ValueError, KeyError, AttributeError):
                raise Refused(f"{key} is not of the shape that JSContact wants") from None
    for header, text in _map(_COLUMNS, source.get(_COLUMNS, {})).items():
        card[EXTRA + header] = text
    return Contact(card, str(source.get("uid", "")), str(source.get(_REV, "")), blobs)


def _field_in(name: str, value: Any, blobs: dict[str, bytes]) -> Any:
    if name in VALUE:
        return {str(key): _element_in(name, element, blobs) for key, element in _map(name, value).items()}
    if name == "name":
        return _name_in(_map(name, value))
    if name == "keywords":
        return dict.fromkeys(_map(name, value), True)
    if name == "kind" and not isinstance(value, str):
        raise TypeError
    return value


def _map(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused(f"{name} is no object, as JSContact wants it")
    return value


_SHAPES: Final[Mapping[str, type]] = {
    **dict.fromkeys(("address", "number", "name", "note", "uri", "user", "service", "label", "kind", "full"), str),
    **dict.fromkeys(("countryCode", "mediaType", "organizationId", LINES), str),
    **dict.fromkeys(("contexts", "features", "date"), Mapping),
    **dict.fromkeys(("units", "components"), list),
    **dict.fromkeys(("pref", "size"), int),
}


def _element_in(name: str, source: Any, blobs: dict[str, bytes]) -> dict[str, Any]:
    own = {PREFIX + prop: prop for prop in _OWN_PROPS.get(name, ())}
    found = {own.get(prop, prop): value for prop, value in _map(name, source).items() if prop not in ("@type", SLOT)}
    for prop, value in found.items():
        if not isinstance(value, _SHAPES.get(prop, object)):
            raise Refused(f"{prop} in {name} is not of the shape that JSContact wants")
    if name == "addresses":
        _address_in(found)
    elif name == "anniversaries":
        _anniversary_in(found)
    elif name == "media":
        _media_in(found, blobs)
    elif "units" in found:
        found["units"] = [_plain(unit) for unit in found["units"]]
    return found


def _plain(source: Mapping[str, Any]) -> dict[str, Any]:
    return {prop: value for prop, value in source.items() if prop != "@type"}


def _name_in(source: Mapping[str, Any]) -> dict[str, Any]:
    found = {prop: value for prop, value in source.items() if prop not in ("@type", "isOrdered", "defaultSeparator")}
    if "components" in found:
        parts = [_plain(one) for one in found["components"] if one.get("kind") != "separator"]
        if any(one["kind"] not in NAME_KINDS or not isinstance(one.get("value"), str) for one in parts):
            raise Refused("a component of the name is of a kind that JSContact does not know")
        found["components"] = sorted(_once(parts), key=lambda one: NAME_KINDS.index(one["kind"]))
    return found


def _once(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One component of a kind: a second one is more of the first."""
    found: dict[str, dict[str, Any]] = {}
    for one in parts:
        known = found.setdefault(one["kind"], one)
        if known is not one:
            known["value"] = f"{known['value']} {one['value']}"
    return list(found.values())


def _address_in(found: dict[str, Any]) -> None:
    """Street parts become our lines, where we did not write them ourselves."""
    ordered, separator = found.pop("isOrdered", False), found.pop("defaultSeparator", " ")
    if "components" not in found:
        return
    parts = found.pop("components")
    if LINES not in found:
        lines, gap = "", ""
        for one in parts:
            if one.get("kind") == "separator":
                gap = one["value"] if ordered else gap
            elif one.get("kind") in _STREET:
                lines += (gap or separator if lines else "") + one["value"]
                gap = ""
        if lines:
            found[LINES] = lines
    known: dict[str, str] = {}
    for one in parts:
        if one.get("kind") in ADDRESS_KINDS:
            known[one["kind"]] = f"{known[one['kind']]} {one['value']}" if one["kind"] in known else one["value"]
    if known:
        found["components"] = components(known)


_INSTANT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T")


def _anniversary_in(found: dict[str, Any]) -> None:
    if found.get("kind") not in _KINDS:
        found["kind"] = str(found.get("kind", "other")).removeprefix(PREFIX)
    date = found.get("date", {})
    if instant := _INSTANT.match(str(date.get("utc", ""))):
        found["date"] = dict(zip(("year", "month", "day"), map(int, instant.groups()), strict=True))
    elif date:
        found["date"] = {part: int(date[part]) for part in ("year", "month", "day") if part in date}


_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w-]+=[^;,]*)*)(;base64)?,", re.IGNORECASE)


def _media_in(found: dict[str, Any], blobs: dict[str, bytes]) -> None:
    uri = found.get("uri", "")
    match = _DATA.match(uri)
    if not match:
        return
    try:
        body = uri[match.end() :]
        data = base64.b64decode(body) if match[3] else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise Refused("the bytes of a photo are damaged") from None
    found["uri"] = blob_uri(data)
    blobs[found["uri"]] = data
    if match[1]:
        found.setdefault("mediaType", match[1])
    found.setdefault("size", len(data))
