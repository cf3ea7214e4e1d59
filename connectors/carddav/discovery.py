"""From what somebody typed to the address book (RFC 6764, RFC 6352 section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from connectors.carddav import dav
from connectors.carddav.client import WELL_KNOWN, Client
from connectors.carddav.services import Place
from connectors.errors import Missing, Refused, Unreachable

PLACES: Final = (dav.RESOURCE_TYPE, dav.DISPLAY_NAME, dav.PRINCIPAL, dav.HOME)
BOOK: Final = (
    dav.RESOURCE_TYPE,
    dav.DISPLAY_NAME,
    dav.PRIVILEGES,
    dav.REPORTS,
    dav.SYNC_TOKEN,
    dav.CTAG,
    dav.SUPPORTED_DATA,
    dav.MAX_SIZE,
)
WRITES: Final = {dav.D + name for name in ("all", "write", "write-content", "bind")}


@dataclass(frozen=True, slots=True)
class Book:
    """An address book and what its server can do.

    syncs: sync-collection. tags: a ctag. writable: our rights, where the server tells them. max_size: bytes.
    version: of the vCards that we make there.
    """

    url: str
    name: str
    syncs: bool = True
    tags: bool = True
    writable: bool = True
    max_size: int | None = None
    version: str = "3.0"

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Book | None:
        """What was dumped; None where another version of this connector did."""
        return cls(**dumped) if dumped.keys() == {field.name for field in fields(cls)} else None


def discover(client: Client, wanted: str | None) -> Book:
    """The address book: `wanted` by display name or path, else the only one.

    Raises Unreachable where there is none, or several and none is wanted; the message lists them.
    """
    place, item = _start(client)
    if dav.ADDRESS_BOOK in item.names(dav.RESOURCE_TYPE):
        return _at(client, place, wanted)
    home = item.href_in(dav.HOME)
    principal = item.href_in(dav.PRINCIPAL)
    if home is None and principal is not None:
        place, item = _one(client, urljoin(place, principal))
        home = item.href_in(dav.HOME)
    if home is None:
        raise Unreachable(
            f"{client.url} names no address book for {client.username or 'nobody'}: "
            "check the username, or type the full URL of the address book"
        )
    return _choose(_books(client, urljoin(place, home)), wanted)


def _start(client: Client) -> tuple[str, dav.Item]:
    """The first place that knows more: one that the DNS of the typed domain announces, else what was typed."""
    announced = client.announced()
    lost: Unreachable | None = None
    for place in announced:
        if place.ours:
            client.move(place.url)
            try:
                found = _at_announced(client, place)
            except Unreachable as error:
                lost = lost or error
            else:
                if found is not None:
                    return found
    client.move(client.url)
    try:
        return _at_typed(client)
    except Unreachable:
        if lost is not None:
            raise lost from None
        strange = next((place for place in announced if not place.ours), None)
        if strange is None:
            raise
        raise Unreachable(
            f"the DNS of {client.domain} says that its CardDAV is at {urlsplit(strange.url).netloc}, which is not "
            f"given the password unasked: if it is yours, type {strange.url}{strange.path or '/'} as url"
        ) from None


def _at_announced(client: Client, place: Place) -> tuple[str, dav.Item] | None:
    """RFC 6764 section 6: the path that was announced, else what the host itself points to, else its root."""
    found = _knowing(client, place.url + place.path) if place.path else None
    if found is None and (known := client.well_known(place.url)) is not None:
        found = _knowing(client, known)
    return found or _knowing(client, place.url + "/")


def _at_typed(client: Client) -> tuple[str, dav.Item]:
    """What was typed, else where its host points to. A path that leads nowhere is not replaced by another: somebody
    else's address book could be at its end."""
    found = _knowing(client, client.url)
    bare = urlsplit(client.url).path in ("/", WELL_KNOWN)
    if found is None and bare and (known := client.well_known(client.url)) is not None:
        found = _knowing(client, known)
    if found is None:
        hint = "nor does its host point to one; type the full URL" if bare else "correct the url, or type only the host"
        raise Unreachable(f"there is no CardDAV at {client.url}, {hint}")
    return found


def _knowing(client: Client, url: str) -> tuple[str, dav.Item] | None:
    try:
        place, item = _one(client, url)
    except (Missing, Refused):
        return None
    return (place, item) if _helps(item) else None


def _helps(item: dav.Item) -> bool:
    known = item.href_in(dav.HOME) or item.href_in(dav.PRINCIPAL)
    return known is not None or dav.ADDRESS_BOOK in item.names(dav.RESOURCE_TYPE)


def _one(client: Client, url: str) -> tuple[str, dav.Item]:
    place, items = client.properties(url, PLACES)
    return place, items[0]


def _at(client: Client, url: str, wanted: str | None) -> Book:
    """The very address book that was typed."""
    place, items = client.properties(url, BOOK)
    books = [_book(place, item) for item in items]
    return _choose(books[:1], wanted)


def _books(client: Client, home: str) -> list[Book]:
    place, items = client.properties(home, BOOK, depth=1)
    return [_book(place, item) for item in items if dav.ADDRESS_BOOK in item.names(dav.RESOURCE_TYPE)]


def _book(place: str, item: dav.Item) -> Book:
    path = item.href if item.href.endswith("/") else item.href + "/"
    reports, rights = item.names(dav.REPORTS), item.names(dav.PRIVILEGES)
    token = item.text(dav.SYNC_TOKEN)
    size = item.text(dav.MAX_SIZE) or ""
    return Book(
        url=urljoin(place, path),
        name=item.text(dav.DISPLAY_NAME) or unquote(path.rstrip("/").rpartition("/")[2]),
        syncs=dav.D + "sync-collection" in reports if reports else token is not None,
        tags=item.text(dav.CTAG) is not None,
        writable=not rights or bool(rights & WRITES),
        max_size=int(size) if size.isdigit() else None,
        version=_version(item),
    )


def _version(item: dav.Item) -> str:
    """3.0, which everybody reads, unless the server takes 4.0 alone."""
    supported = item.props.get(dav.SUPPORTED_DATA)
    kinds = supported.iter(dav.C + "address-data-type") if supported is not None else ()
    versions = {kind.get("version", "3.0") for kind in kinds}
    return "4.0" if versions == {"4.0"} else "3.0"


def _choose(books: Iterable[Book], wanted: str | None) -> Book:
    found = list(books)
    if wanted is not None:
        path = dav.path_of(wanted).strip("/")
        by_path = [book for book in found if urlsplit(book.url).path.strip("/") == path]
        chosen = by_path or [book for book in found if book.name.casefold() == wanted.strip().casefold()]
    else:
        chosen = found
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{book.name!r} ({urlsplit(book.url).path})" for book in found)
    if not found:
        raise Unreachable("the account has no address book; make one on the server first")
    if not chosen:
        raise Unreachable(f"the account has no address book {wanted!r}; it has {listed}")
    raise Unreachable(f"the account has several address books; name one as address_book: {listed}")
