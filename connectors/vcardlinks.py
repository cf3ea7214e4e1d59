"""Online services, related people and media of a vCard: lines to elements, elements to lines (see `vcardfields`)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from connectors.card import Element, blob_uri
from connectors.contentline import Line, escape, escape_uri, unescape
from connectors.vcardparams import (
    BARE,
    BUILTIN,
    CONTEXTS,
    NOISE,
    PARAMS,
    Draft,
    Partners,
    label_partner,
    labelled,
    listed,
    params_of,
    traits_of,
)

Blobs = dict[str, bytes]


# --- online services ----------------------------------------------------------------------------------------

MESSENGERS: Final[Mapping[str, str]] = {
    "X-AIM": "AIM",
    "X-ICQ": "ICQ",
    "X-MSN": "MSN",
    "X-YAHOO": "Yahoo",
    "X-JABBER": "Jabber",
    "X-SKYPE": "Skype",
    "X-SKYPE-USERNAME": "Skype",
    "X-GTALK": "Google Talk",
    "X-GOOGLE-TALK": "Google Talk",
    "X-QQ": "QQ",
    "X-GADUGADU": "Gadu-Gadu",
    "X-GROUPWISE": "GroupWise",
    "X-TWITTER": "Twitter",
    "X-MS-IMADDRESS": "",
}
_SCHEMES: Final[Mapping[str, str]] = {
    "aim": "AIM",
    "icq": "ICQ",
    "msnim": "MSN",
    "ymsgr": "Yahoo",
    "xmpp": "Jabber",
    "skype": "Skype",
    "gtalk": "Google Talk",
    "qq": "QQ",
    "gg": "Gadu-Gadu",
    "x-apple": "",
}
_SCHEME_OF: Final = {
    **{service.casefold(): scheme for scheme, service in _SCHEMES.items() if service},
    "googletalk": "xmpp",
    "facebook": "xmpp",
}
_IMPP_OWN: Final = frozenset({"X-SERVICE-TYPE", "SERVICE-TYPE"})
_SOCIAL_OWN: Final = _IMPP_OWN | {"X-USER", "USERNAME"}
SOCIAL: Final = frozenset({"X-SOCIALPROFILE", "SOCIALPROFILE"})
_TOKEN: Final = re.compile(r"[a-z0-9.-]+\Z")


def account(service: str, user: str, uri: str) -> dict[str, str]:
    """An online service with its user's name taken out of a messenger's URI where there is nothing else in it."""
    scheme, colon, rest = uri.partition(":")
    plain = "" if "?" in rest else rest.strip().replace("%3F", "?").replace("%25", "%")
    if not colon and not user:
        user, uri = uri, ""
    elif scheme.lower() in _SCHEMES and plain and user in ("", plain):
        user, uri, service = plain, "", service or _SCHEMES[scheme.lower()]
    found = {"service": service, "user": user, "uri": uri}
    return {key: value for key, value in found.items() if value}


def service(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]]:
    """An account somewhere: IMPP, X-AIM and the like, X-SOCIALPROFILE, SOCIALPROFILE."""
    text = unescape(line.value).strip()
    named = _first(line, "X-SERVICE-TYPE", "SERVICE-TYPE")
    if line.name in MESSENGERS:
        found = {"service": MESSENGERS[line.name], "user": text}
        element: dict[str, Any] = {key: value for key, value in found.items() if value} if text else {}
    elif line.name == "IMPP":
        element = account(named, "", text) if text else {}
    else:
        return _social(line, named, text, partners)
    traits = traits_of(line.params, "onlineServices", _IMPP_OWN)
    return [labelled({**element, **traits}, "onlineServices", partners)] if element else []


def _social(line: Line, named: str, text: str, partners: Partners) -> list[dict[str, Any]]:
    traits = dict(traits_of(line.params, "onlineServices", _SOCIAL_OWN))
    rest = dict(traits.pop(PARAMS, {}))
    # Apple names the service as a type, always in lower case; SERVICE-TYPE is RFC 9554's way.
    types = [token for token in listed(rest.pop("type", ())) if token != named.lower()]
    if not named and types:
        named = types.pop(0)
    element = account(named, _first(line, "X-USER", "USERNAME"), text)
    if "user" not in element and "uri" not in element:
        return []
    if types:
        rest["type"] = types[0] if len(types) == 1 else types
    if rest:
        traits[PARAMS] = rest
    return [labelled({**element, **traits}, "onlineServices", partners)]


def _first(line: Line, *names: str) -> str:
    return next((value.strip() for name in names for value in line.param(name)), "")


def encode_service(element: Element, version: str, like: Line | None) -> Draft:
    service, user, uri = (element.get(key, "") for key in ("service", "user", "uri"))
    partners = label_partner(element)
    if like and not uri and MESSENGERS.get(like.name) == service:
        return Draft(like.name, params_of(element, version, like), escape(user), partners)
    social = like.name in SOCIAL if like else False
    if (uri and user) or uri.startswith(("http:", "https:")) or social:
        return _encode_social(element, version, like, partners)
    params = params_of(element, version, like)
    if service:
        params = (("X-SERVICE-TYPE", (service,)), *params)
    scheme = _SCHEME_OF.get(service.casefold(), "x-apple")
    return Draft("IMPP", params, escape_uri(uri or f"{scheme}:{_in_uri(user)}"), partners)


def _encode_social(element: Element, version: str, like: Line | None, partners: tuple[tuple[str, str], ...]) -> Draft:
    service, user, uri = (element.get(key, "") for key in ("service", "user", "uri"))
    four = version.startswith("4")
    token = service.lower()
    typed = bool(_TOKEN.match(token)) and token not in CONTEXTS and token not in NOISE | {"pref"} and not four
    params = params_of(element, version, like, [token] if typed else ())
    if service and not (typed and token == service):
        params = (("SERVICE-TYPE", (service,)), *params)
    if user:
        params = (*params, ("USERNAME" if four else "X-USER", (user,)))
    name = like.name if like and like.name in SOCIAL else "SOCIALPROFILE" if four else "X-SOCIALPROFILE"
    return Draft(name, params, escape_uri(uri or f"x-apple:{_in_uri(user)}"), partners)


def _in_uri(user: str) -> str:
    """A name as a messenger's URI has it: a question mark would begin a query."""
    return user.replace("%", "%25").replace("?", "%3F")


# --- relations ----------------------------------------------------------------------------------------------

RELATIVES: Final[Mapping[str, str]] = {
    "X-SPOUSE": "spouse",
    "X-EVOLUTION-SPOUSE": "spouse",
    "X-MS-SPOUSE": "spouse",
    "X-KADDRESSBOOK-X-SPOUSESNAME": "spouse",
    "X-MS-CHILD": "child",
    "X-ASSISTANT": "assistant",
    "X-EVOLUTION-ASSISTANT": "assistant",
    "X-MS-ASSISTANT": "assistant",
    "X-KADDRESSBOOK-X-ASSISTANTSNAME": "assistant",
    "X-MANAGER": "manager",
    "X-EVOLUTION-MANAGER": "manager",
    "X-MS-MANAGER": "manager",
    "X-KADDRESSBOOK-X-MANAGERSNAME": "manager",
}
_APPLE_KINDS: Final = re.compile(
    "(mother|father|parent|brother|sister|child|son|daughter|friend|spouse|partner|assistant|manager)\\Z"
)
_RFC_KINDS: Final = re.compile(
    "(contact|acquaintance|friend|met|co-worker|colleague|co-resident|neighbor|child|parent|sibling|spouse|kin|muse"
    r"|crush|date|sweetheart|me|agent|emergency)\Z"
)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:\S+\Z", re.IGNORECASE)


def relation(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]] | None:
    name = unescape(line.value).strip()
    if not name:
        return []
    kind = RELATIVES.get(line.name, "")
    if line.name == "RELATED":
        types = [kind for kind in line.param("TYPE") if kind != "pref"]
        if len(types) > 1 or ("text" not in line.param("VALUE") and _URI.match(name)):
            return None
        kind = "".join(types)
    elif not kind:
        label = partners.get("X-ABLABEL", "")
        builtin = BUILTIN.match(label)
        kind = builtin.group(1).lower() if builtin else label
        kind = "" if builtin and kind == "other" else kind
    element = {"name": name, "kind": kind} if kind else {"name": name}
    return [{**element, **traits_of(line.params, "relations", BARE)}]


def encode_relation(element: Element, version: str, like: Line | None) -> Draft:
    kind, name = element.get("kind", ""), escape(element["name"])
    if like and kind and RELATIVES.get(like.name) == kind:
        return Draft(like.name, params_of(element, version, like), name)
    params = params_of(element, version)
    if version.startswith("4") and (not kind or _RFC_KINDS.match(kind)):
        return Draft("RELATED", (("VALUE", ("text",)), *((("TYPE", (kind,)),) if kind else ()), *params), name)
    label = f"_$!<{kind.capitalize()}>!$_" if _APPLE_KINDS.match(kind) else escape(kind or "_$!<Other>!$_")
    return Draft("X-ABRELATEDNAMES", params, name, (("X-ABLABEL", label),))


# --- media --------------------------------------------------------------------------------------------------

MEDIA: Final[Mapping[str, tuple[str, str]]] = {
    "PHOTO": ("photo", "image"),
    "LOGO": ("logo", "image"),
    "SOUND": ("sound", "audio"),
}
MEDIA_NAME: Final = {kind: (name, major) for name, (kind, major) in MEDIA.items()}
MEDIA_OWN: Final = BARE | {"MEDIATYPE"}
MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+\Z")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)


def media(line: Line, partners: Partners, blobs: Blobs) -> list[dict[str, Any]] | None:
    kind, major = MEDIA[line.name]
    value = line.value.strip()
    if not value:
        return []
    types = [token for token in line.param("TYPE") if token not in ("pref", "work", "home")]
    media_type = "".join(line.param("MEDIATYPE")[:1] or (f"{major}/{types[0]}" if types else "",))
    element: dict[str, Any] = {"kind": kind}
    if value[:5].lower() == "data:":
        head, _, body = value[5:].replace("\\", "").partition(",")
        inside, encoded, _ = head.partition(";base64")
        data = _bytes(unquote(body)) if encoded else unquote_to_bytes(body)
        media_type = media_type or inside.partition(";")[0]
    elif "b" in line.param("ENCODING") or not _SCHEME.match(value):
        data = _bytes(value)
    else:
        data, element["uri"] = b"", unescape(value)
    if "uri" not in element:
        if not data:
            return None
        element |= {"uri": blob_uri(data), "size": len(data)}
        blobs[element["uri"]] = data
    media_type = media_type.lower()
    if MEDIA_TYPE.match(media_type):
        element["mediaType"] = media_type
    return [{**element, **traits_of(line.params, "media", MEDIA_OWN)}]


def _bytes(text: str) -> bytes:
    """The bytes of base64, padded or not, cut off or not; b"" where it is none."""
    text = "".join(text.split()).rstrip("=")
    text = text[:-1] if len(text) % 4 == 1 else text  # one character alone is no byte
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def encode_media(element: Element, version: str, blob: Callable[[str], bytes] | None) -> Draft | None:
    name, major = MEDIA_NAME[element["kind"]]
    uri, media_type = element["uri"], element.get("mediaType", "")
    params = params_of(element, version)
    stored = uri.startswith("sha-256:")
    data = blob(uri) if blob and stored else b""
    if stored and not data:
        return None
    if stored and version.startswith("4"):
        encoded = base64.b64encode(data).decode("ascii")
        return Draft(name, params, f"data:{media_type};base64,{encoded}")
    if media_type.startswith(f"{major}/") and not version.startswith("4"):
        params = (("TYPE", (media_type.partition("/")[2].upper(),)), *params)
    elif media_type:
        params = (("MEDIATYPE", (media_type,)), *params)
    if stored:
        return Draft(name, (("ENCODING", ("b",)), *params), base64.b64encode(data).decode("ascii"))
    return Draft(name, (("VALUE", ("uri",)), *params), escape_uri(uri))
