"""WebDAV's XML, both ways; pure.

Answers are read with the standard library's parser, after a look at the prolog: a document with a DOCTYPE (and so
with entities of its own) is never parsed, which is all that defusedxml would do for us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

D: Final = "{DAV:}"
C: Final = "{urn:ietf:params:xml:ns:carddav}"
S: Final = "{http://calendarserver.org/ns/}"

RESOURCE_TYPE: Final = D + "resourcetype"
DISPLAY_NAME: Final = D + "displayname"
PRINCIPAL: Final = D + "current-user-principal"
PRIVILEGES: Final = D + "current-user-privilege-set"
REPORTS: Final = D + "supported-report-set"
ETAG: Final = D + "getetag"
SYNC_TOKEN: Final = D + "sync-token"
HOME: Final = C + "addressbook-home-set"
ADDRESS_BOOK: Final = C + "addressbook"
ADDRESS_DATA: Final = C + "address-data"
SUPPORTED_DATA: Final = C + "supported-address-data"
MAX_SIZE: Final = C + "max-resource-size"
CTAG: Final = S + "getctag"

_HEAD: Final = '<?xml version="1.0" encoding="utf-8"?>'
_SPACES: Final = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav" xmlns:S="http://calendarserver.org/ns/"'
_PREFIX: Final = {D: "", C: "C:", S: "S:"}
_PROLOG: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?>(?:<\?.*?\?>|<!--.*?-->)\s*)*+<[^!?]", re.DOTALL)


class Malformed(ValueError):
    """Not the XML that WebDAV would answer with."""


@dataclass(frozen=True, slots=True)
class Item:
    """One resource of a multistatus.

    href: its path, in canonical spelling. status: the resource's own, where it has no properties (404: gone).
    props: those that were found.
    """

    href: str
    status: int | None = None
    props: Mapping[str, ET.Element] = field(default_factory=dict)

    def text(self, prop: str) -> str | None:
        """A property's text, None where there is none."""
        element = self.props.get(prop)
        return (element.text or "").strip() or None if element is not None else None

    def names(self, prop: str) -> set[str]:
        """The names of all elements within a property."""
        element = self.props.get(prop)
        return {inner.tag for inner in element.iter()} if element is not None else set()

    def href_in(self, prop: str) -> str | None:
        """The first href within a property, as it was sent."""
        element = self.props.get(prop)
        return element.findtext(D + "href", "").strip() or None if element is not None else None


@dataclass(frozen=True, slots=True)
class Multistatus:
    """items: one per resource. token: the sync token (RFC 6578), where it is the answer to a sync."""

    items: list[Item]
    token: str | None = None


def multistatus(body: bytes) -> Multistatus:
    """Read a 207 answer. Raises Malformed."""
    root = _root(body)
    if root.tag != D + "multistatus":
        raise Malformed(f"the answer is <{_local(root.tag)}>, not a multistatus")
    items = [item for response in root.iterfind(D + "response") for item in _items(response)]
    return Multistatus(items, (root.findtext(SYNC_TOKEN) or "").strip() or None)


def _items(response: ET.Element) -> Iterable[Item]:
    props: dict[str, ET.Element] = {}
    for propstat in response.iterfind(D + "propstat"):
        if _status(propstat) == 200:
            props.update((prop.tag, prop) for prop in propstat.iterfind(D + "prop/*"))
    status = _status(response)
    # A response that only tells a status may name several resources (RFC 4918 section 14.24).
    for href in response.iterfind(D + "href"):
        yield Item(path_of((href.text or "").strip()), status, props)


def _status(element: ET.Element) -> int | None:
    words = element.findtext(D + "status", "").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def _root(body: bytes) -> ET.Element:
    if b"\0" in body or not _PROLOG.match(body):
        raise Malformed("the answer is not XML, or brings a document type of its own")
    try:
        return ET.fromstring(body)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise Malformed(f"the answer is not well-formed XML ({error})") from None


def condition(body: bytes) -> str | None:
    """The precondition that an error answer names ("no-uid-conflict", RFC 4918 section 16), None without one."""
    try:
        root = _root(body)
    except Malformed:
        return None
    return next((_local(child.tag) for child in root), None) if root.tag == D + "error" else None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def path_of(href: str) -> str:
    """The path of an href, spelt in one way: servers answer with paths or whole URLs, and escape what they like."""
    parts = urlsplit(href)
    path = parts.path if parts.netloc else href.partition("?")[0].partition("#")[0]
    return "/".join(quote(unquote_to_bytes(segment), safe="!$&'()*+,;=:@~") for segment in path.split("/"))


def propfind(names: Iterable[str]) -> str:
    """Ask for these properties."""
    return f"{_HEAD}<propfind {_SPACES}><prop>{_props(names)}</prop></propfind>"


def sync_collection(token: str | None) -> str:
    """Ask what changed since `token`, everything where it is None (RFC 6578 section 3.2)."""
    return (
        f"{_HEAD}<sync-collection {_SPACES}><sync-token>{escape(token or '')}</sync-token>"
        f"<sync-level>1</sync-level><prop><getetag/></prop></sync-collection>"
    )


def multiget(hrefs: Iterable[str]) -> str:
    """Ask for these cards (RFC 6352 section 8.7)."""
    listed = "".join(f"<href>{escape(href)}</href>" for href in hrefs)
    return f"{_HEAD}<C:addressbook-multiget {_SPACES}>{_DATA}{listed}</C:addressbook-multiget>"


def query(filters: Iterable[tuple[str, str, str]]) -> str:
    """Ask for the cards that meet any of (property, "equals" or "contains", text) (RFC 6352 section 8.6)."""
    tests = "".join(
        f"<C:prop-filter name={quoteattr(prop)}>"
        f'<C:text-match match-type="{match}">{escape(text)}</C:text-match></C:prop-filter>'
        for prop, match, text in filters
    )
    return (
        f'{_HEAD}<C:addressbook-query {_SPACES}>{_DATA}<C:filter test="anyof">{tests}</C:filter></C:addressbook-query>'
    )


def _props(names: Iterable[str]) -> str:
    return "".join(f"<{_PREFIX[name[: name.index('}') + 1]]}{_local(name)}/>" for name in names)


_DATA: Final = f"<prop>{_props((ETAG, ADDRESS_DATA))}</prop>"
