"""CardDAV's endpoints, one method each, and the table of what an answer means for us.

The password goes to the host that was typed, or to one within that domain that its DNS names (`services`), and to no
other: a redirect or a link to another host is an error that says what to type instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final
from urllib.parse import SplitResult, urljoin, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from connectors import http
from connectors.carddav import dav, services
from connectors.carddav.login import Login
from connectors.contract import Context, Settings
from connectors.errors import CursorExpired, Error, Missing, Refused, Stale, Unauthorised, Uncertain, Unreachable

WELL_KNOWN: Final = "/.well-known/carddav"
MAX_REDIRECTS: Final = 5
XML: Final = {"content-type": "application/xml; charset=utf-8"}


def _typed(url: str) -> str:
    try:
        typed_url(url)
    except Unreachable as error:
        raise ValueError(str(error)) from None
    return url


class CardDAVSettings(Settings):
    """An account on a CardDAV server."""

    tuning: ClassVar[frozenset[str]] = frozenset({"verify_tls", "rate"})

    url: Annotated[str, AfterValidator(_typed)] = Field(
        min_length=1,
        description="Host name, user@host, or the full URL of the server, a principal, or an address book",
    )
    username: str = Field("", description="Left out: the user@host typed as url")
    password: SecretStr
    address_book: str | None = Field(None, description="Display name or path, where the account has several")
    verify_tls: bool = Field(True, description="Check the server's certificate")
    rate: float | None = Field(None, gt=0, description="Most requests per second")


@dataclass(frozen=True, slots=True)
class Stored:
    """A card's text as stored. etag: without quotes' weakness mark; None where the server told none or a weak one."""

    href: str
    etag: str | None
    text: str


def typed_url(typed: str) -> str:
    """The URL that was meant: "host", "host:port/path" and "user@host" become https URLs.

    Raises Unreachable where there is no host in it.
    """
    text = typed.strip()
    if "://" not in text:
        text = "https://" + text.rpartition("@")[2]
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise Unreachable("the url is not a host name, user@host or an http(s) URL; correct it")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path or '/'}"


CONDITIONS: Final[Mapping[str, tuple[type[Error], str]]] = {
    "supported-report": (Refused, "the server does not do this report"),
    "supported-filter": (Refused, "the server cannot search by this"),
    "number-of-matches-within-limits": (Refused, "more matches than the server will tell"),
    "valid-sync-token": (CursorExpired, "the server no longer knows our sync token"),
    "no-uid-conflict": (Refused, "another card on the server has the same UID"),
    "valid-address-data": (Refused, "the server does not read this as a vCard"),
    "supported-address-data": (Refused, "the server does not take this kind of vCard"),
    "max-resource-size": (Refused, "the card is larger than the server takes ({size:,} bytes)"),
}
"""By the precondition that the answer names, whatever the status: servers disagree about it (403, 409, 412, 507)."""

WRITING: Final[Mapping[int, tuple[type[Error], str]]] = {
    400: (Refused, "the server does not take this card"),
    403: (Refused, "this account may not do that in the address book; it may be read-only"),
    404: (Missing, "not found"),
    405: (Refused, "the server does not allow it; the address book may be read-only"),
    409: (Refused, "the server reports a conflict; the address book may be gone or hold a card with this UID"),
    410: (Missing, "gone"),
    412: (Stale, "the card changed meanwhile"),
    413: (Refused, "the card is too large for the server ({size:,} bytes)"),
    415: (Refused, "the server does not take this kind of vCard"),
    507: (Refused, "no room for the card on the server ({size:,} bytes)"),
}
READING: Final[Mapping[int, tuple[type[Error], str]]] = {
    403: (Unauthorised, "access was denied; check the account's rights"),
    404: (Missing, "there is nothing at this address"),
    405: (Missing, "this address does not speak WebDAV"),
    410: (Missing, "gone"),
    501: (Refused, "the server cannot do that"),
}


def react(response: http.Response) -> Error | None:
    """What an answer means for us; None: it is one to work with."""
    status = response.status_code
    if status < 300:
        return None
    request = response.request
    where = http.named(request)
    if status < 400:
        return Unreachable(f"{where}: moved to {response.headers.get('location', 'elsewhere')}; correct the url")
    table = WRITING if request.method in ("PUT", "DELETE") else READING
    found = CONDITIONS.get(dav.condition(response.content) or "") or table.get(status)
    if found is None:
        return http.react(response)
    kind, words = found
    return kind(f"{where}: {words.format(size=int(request.headers.get('content-length', 0)))} (HTTP {status})")


def _react_but_redirects(response: http.Response) -> Error | None:
    return None if 300 <= response.status_code < 400 else react(response)


class Client:
    """One account's requests. `hrefs` are absolute paths on the host of the address book.

    Raises, beside what `react` says: Unreachable where the answer is no WebDAV; reports raise dav.Malformed where
    their XML is broken.
    """

    def __init__(self, settings: CardDAVSettings, context: Context, resolver: services.Resolver) -> None:
        self.url = typed_url(settings.url)
        self.domain = services.domain(settings.url)
        self._home = urlsplit(self.url)
        self._resolver, self._random = resolver, context.random
        typed_name = settings.url.strip() if "@" in settings.url and "://" not in settings.url else ""
        self.username = settings.username or typed_name
        self.login = Login(self.username, settings.password.get_secret_value(), [self.url, self.username], context)
        self._http = http.Http(
            self.url,
            context,
            react=react,
            auth=self.login,
            rate=settings.rate,
            verify=settings.verify_tls,
        )

    # --- discovery ---------------------------------------------------------------------------------------------

    def announced(self) -> list[services.Place]:
        """Where the DNS of the typed domain says that its CardDAV is; nothing where a URL was typed."""
        if self.domain is None:
            return []
        return services.announced(self.domain, urlsplit(self.url).scheme, self._resolver, self._random)

    def move(self, url: str) -> None:
        """From now on the account is at the host of this URL: it is given the password, and no other."""
        self._home = urlsplit(url)

    def properties(self, url: str, names: Iterable[str], depth: int = 0) -> tuple[str, list[dav.Item]]:
        """PROPFIND, redirects on the same host followed: where it ended, and what it found, which is something.
        Raises Missing."""
        body, headers = dav.propfind(names), {**XML, "depth": str(depth)}
        for _ in range(MAX_REDIRECTS):
            response = self._request("PROPFIND", url, body, headers, redirects=True)
            if response.status_code < 300:
                return url, self._there(url, response)
            url = urljoin(url, response.headers.get("location", url))
        raise Unreachable(f"{self._home.netloc} redirects in circles; type the full URL of the address book")

    def well_known(self, host: str) -> str | None:
        """Where the host of this URL says its CardDAV is (RFC 6764 section 5); None where it does not say."""
        url = urljoin(host, WELL_KNOWN)
        try:
            response = self._request("GET", url, redirects=True)
        except (Missing, Refused, Unauthorised):
            return None
        return urljoin(url, response.headers["location"]) if "location" in response.headers else None

    def options(self, url: str) -> http.Response:
        """OPTIONS: the DAV header says what the server knows, Server says who it is."""
        return self._request("OPTIONS", url)

    # --- the address book --------------------------------------------------------------------------------------

    def sync(self, book: str, token: str | None) -> dav.Multistatus:
        """REPORT sync-collection. Raises CursorExpired for a token the server has forgotten."""
        # RFC 6578 section 3.2 wants depth 0; Radicale, Xandikos and DAViCal take 1 as well.
        return self._report(book, dav.sync_collection(token), depth=0)

    def ctag(self, book: str) -> str | None:
        """The collection's tag, which changes with any card; None where the server has none."""
        return self.properties(book, (dav.CTAG,))[1][0].text(dav.CTAG)

    def etags(self, book: str) -> list[dav.Item]:
        """PROPFIND depth 1: everything in the book, itself included."""
        return self.properties(book, (dav.RESOURCE_TYPE, dav.ETAG), depth=1)[1]

    def multiget(self, book: str, hrefs: Sequence[str]) -> tuple[list[Stored], set[str]]:
        """REPORT addressbook-multiget: the cards, and those of `hrefs` that the server says are not there. It may be
        silent about some (DAViCal leaves out what is missing)."""
        answer = self._report(book, dav.multiget(hrefs))
        return _stored(answer), {item.href for item in answer.items if item.status == 404}

    def query(self, book: str, filters: Iterable[tuple[str, str, str]]) -> list[Stored]:
        """REPORT addressbook-query: the cards that meet any of the filters, as the server judges it."""
        answer = self._report(book, dav.query(filters))
        if any(item.status == 507 for item in answer.items):
            raise Refused(f"{book} has more matches than the server will tell (HTTP 507)")
        return _stored(answer)

    # --- one card ----------------------------------------------------------------------------------------------

    def get(self, book: str, href: str) -> Stored:
        """GET one card, byte for byte."""
        response = self._request("GET", urljoin(book, href))
        if _is_html(response):
            raise Unreachable(f"GET {href}: a web page came instead of a vCard; the server may be under maintenance")
        return Stored(href, strong(response.headers.get("etag")), _decoded(response.content))

    def put(self, book: str, href: str, text: str, etag: str | None) -> str | None:
        """PUT over the version `etag`, or as a new card where it is None; gives the new ETag where the server vouches
        for the text with a strong one (RFC 6352 section 6.3.2.3). Raises Stale where the condition fails."""
        headers = {"content-type": "text/vcard; charset=utf-8"}
        headers |= {"if-match": etag} if etag else {"if-none-match": "*"}
        response = self._request("PUT", urljoin(book, href), text, headers)
        self._took_effect(response)
        told = response.headers.get("etag", "")
        return None if told.startswith("W/") else told or None

    def delete(self, book: str, href: str, etag: str | None) -> None:
        """DELETE the version `etag`. Raises Stale, Missing."""
        response = self._request("DELETE", urljoin(book, href), headers={"if-match": etag} if etag else {})
        self._took_effect(response)

    def close(self) -> None:
        self._http.close()

    # --- common ------------------------------------------------------------------------------------------------

    def _report(self, book: str, body: str, depth: int = 1) -> dav.Multistatus:
        return self._multistatus(self._request("REPORT", book, body, {**XML, "depth": str(depth)}))

    def _request(
        self,
        method: str,
        url: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        redirects: bool = False,
    ) -> http.Response:
        self._keep_at_home(urlsplit(url))
        content = None if body is None else body.encode()
        handler = _react_but_redirects if redirects else react
        return self._http.request(method, url, content=content, headers=headers, react=handler)

    def _keep_at_home(self, url: SplitResult) -> None:
        """Raises Unreachable for an address that must not see the password."""
        home = self._home
        if url.hostname != home.hostname:
            raise Unreachable(
                f"{home.hostname} sends us to {url.hostname}, which is not given the password unasked: "
                f"if it is yours, type {url.scheme}://{url.netloc}/ as url"
            )
        if home.scheme == "https" and url.scheme != "https":
            raise Unreachable(f"{home.hostname} sends us from https to {url.scheme}; the password is not sent there")

    def _multistatus(self, response: http.Response) -> dav.Multistatus:
        if response.status_code != 207 or _is_html(response):
            kind = response.headers.get("content-type", "nothing").partition(";")[0]
            raise Unreachable(
                f"{response.request.url.copy_with(query=None, userinfo=None)} answered HTTP {response.status_code} "
                f"with {kind}, not as a CardDAV server; check the url, or wait for the end of its maintenance"
            )
        return dav.multistatus(response.content)

    def _there(self, url: str, response: http.Response) -> list[dav.Item]:
        """What a PROPFIND found. Xandikos says of what is not there 207, and in it 404."""
        try:
            items = self._multistatus(response).items
        except dav.Malformed as broken:
            raise Unreachable(f"the answer of {url} cannot be read: {broken}") from None
        found = [item for item in items if item.status is None or item.status < 400]
        if not found:
            raise Missing(f"PROPFIND {url}: there is nothing at this address")
        return found

    def _took_effect(self, response: http.Response) -> None:
        if _is_html(response):
            raise Uncertain(f"{response.request.method} {response.request.url.path}: a web page came as the answer")


def strong(etag: str | None) -> str | None:
    """An ETag for comparing and for If-Match. The mark of weakness is dropped: compressing proxies add it to the
    strong ETag that the server goes by."""
    return (etag or "").strip().removeprefix("W/") or None


def _stored(answer: dav.Multistatus) -> list[Stored]:
    found = []
    for item in answer.items:
        data = item.props.get(dav.ADDRESS_DATA)
        if data is not None and data.text:
            found.append(Stored(item.href, strong(item.text(dav.ETAG)), _with_line_ends(data.text)))
    return found


def _with_line_ends(text: str) -> str:
    """A card out of XML, which knows line feeds only (XML 1.0 section 2.11), with the line ends that vCard demands."""
    return text.lstrip().replace("\r\n", "\n").replace("\n", "\r\n")


def _is_html(response: http.Response) -> bool:
    return "html" in response.headers.get("content-type", "")


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")
