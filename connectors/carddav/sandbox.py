"""A CardDAV server in a box: one account, one address book, as RFC 6352 and RFC 6578 have it, and what real servers
make of them, on demand (`Warts`; each cites the server or the RFC it was seen in).

Its DAV root is `/dav/`; the root of the host knows nothing of it, but `/.well-known/carddav` does (RFC 6764).
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from connectors.carddav import dav
from connectors.contentline import VCard, parse, unescape
from connectors.sandbox import Faults, Hostile

METHODS: Final = ["OPTIONS", "PROPFIND", "REPORT", "GET", "PUT", "DELETE"]
ROOT: Final = "/dav/"
PRINCIPAL: Final = "/dav/principals/lab/"
HOME: Final = "/dav/books/lab/"
USERNAME: Final = "lab"
PASSWORD: Final = "sandbox-password"  # noqa: S105 - it opens nothing but this sandbox
NAMESPACES: Final = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav" xmlns:S="http://calendarserver.org/ns/"'
PREFIX: Final = {dav.D: "", dav.C: "C:", dav.S: "S:"}
DIGEST_PARAM: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


@dataclass
class Warts:
    """What this server does otherwise.

    sync: knows sync-collection. ctag: has a ctag. put_etag: strong; weak or none, as the RFC asks of those that rewrite
        (DAViCal: none). rewrites: adds a REV line to what is stored (DAViCal) and sorts the properties (Radicale,
        which nevertheless gives a strong ETag: the lying one).
    truncate: most entries of one sync answer (RFC 6578 section 3.6). token_error: the status for a forgotten token
        (Radicale 403, Xandikos 412, 409 elsewhere), or 207: everything and no error (DAViCal).
    tells_missing: multiget has 404 entries (not DAViCal). unique_uid: 409 for a UID at a second path (Radicale).
    queries: knows addressbook-query, as RFC 6352 demands. absolute_hrefs: whole URLs in answers (Xandikos, at times).
    max_size: bytes of a card. quota: cards; more are 507. read_only: 403 for each write.
    redirect: the status of the well-known redirect; to: where it points. books: names of more address books.
    login: how it wants to be told who asks; digest is what Baïkal wants alone unless told otherwise (sabre/http
        `Auth/Digest.php`). algorithm: of Digest (RFC 7616 section 6.1); "": not told, which is MD5, as sabre does.
        nonce_uses: how often a nonce is taken before it is stale (RFC 7616 section 3.3; sabre: for ever).
    """

    sync: bool = True
    ctag: bool = True
    put_etag: Literal["strong", "weak", "none"] = "strong"
    rewrites: bool = False
    truncate: int | None = None
    token_error: int = 403
    tells_missing: bool = True
    unique_uid: bool = True
    queries: bool = True
    absolute_hrefs: bool = False
    max_size: int | None = None
    quota: int | None = None
    read_only: bool = False
    addressbook: bool = True
    redirect: int = 301
    to: str = ROOT
    books: tuple[str, ...] = ()
    login: Literal["basic", "digest", "both"] = "basic"
    algorithm: Literal["", "MD5", "SHA-256", "SHA-512-256"] = ""
    nonce_uses: int | None = None


@dataclass
class Book:
    """Cards by file name, and every change in order: (file name, there)."""

    name: str
    path: str
    cards: dict[str, str] = field(default_factory=dict)
    history: list[tuple[str, bool]] = field(default_factory=list)
    oldest: int = 0

    def store(self, name: str, text: str) -> None:
        self.cards[name] = text
        self.history.append((name, True))

    def remove(self, name: str) -> None:
        del self.cards[name]
        self.history.append((name, False))


@dataclass
class Door:
    """Who may come in. seen: how each request said who it is ("" where it did not). uses: the highest count that each
    nonce was used with."""

    seen: list[str] = field(default_factory=list)
    uses: dict[str, int] = field(default_factory=dict)

    def refusal(self, request: Request, warts: Warts) -> Response | None:
        """The answer to somebody who may not come in."""
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        self.seen.append(scheme.lower())
        stale = False
        if scheme == "Basic" and warts.login != "digest":
            if said == base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode():
                return None
        elif scheme == "Digest" and warts.login != "basic":
            told = {name: value or bare for name, value, bare in DIGEST_PARAM.findall(said)}
            if told.get("response") == self._expected(request, told, warts.algorithm):
                stale = not self._fresh(told, warts.nonce_uses)
                if not stale:
                    return None
        answer = Response("Unauthorized", 401)
        for challenge in self._challenges(warts, stale):
            answer.headers.append("www-authenticate", challenge)
        return answer

    def _challenges(self, warts: Warts, stale: bool) -> Iterable[str]:
        if warts.login != "basic":
            nonce = hashlib.sha256(str(len(self.uses)).encode()).hexdigest()[:16]
            self.uses[nonce] = 0
            more = f",algorithm={warts.algorithm}" if warts.algorithm else ""
            more += ",stale=true" if stale else ""
            yield f'Digest realm="sandbox",qop="auth",nonce="{nonce}",opaque="0123"{more}'
        if warts.login != "digest":
            yield 'Basic realm="sandbox"'

    def _expected(self, request: Request, told: Mapping[str, str], algorithm: str) -> str | None:
        """RFC 7616 section 3.4.1; None where something is missing, or is about another request."""
        target = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        if told.get("username") != USERNAME or told.get("uri") != target or told.get("nonce") not in self.uses:
            return None

        def hashed(text: str) -> str:
            return hashlib.new("sha256" if algorithm == "SHA-256" else "md5", text.encode()).hexdigest()

        secret, what = hashed(f"{USERNAME}:sandbox:{PASSWORD}"), hashed(f"{request.method}:{target}")
        return hashed(":".join([secret, *(told.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")), what]))

    def _fresh(self, told: Mapping[str, str], most: int | None) -> bool:
        """Is it no copy of an earlier request, and the nonce not used up?"""
        count, nonce = int(told.get("nc", "0"), 16), told["nonce"]
        if count <= self.uses[nonce] or (most is not None and count > most):
            return False
        self.uses[nonce] = count
        return True


class CardDAVSandbox:
    """The server. `book` is its first address book; tests act on it as other clients would."""

    def __init__(self, seed: int | None = None, people: int = 25, **warts: Any) -> None:
        self.warts = Warts(**warts)
        self.faults = Faults()
        self.door = Door()
        names = ("Contacts", *self.warts.books)
        self.books = [Book(name, f"{HOME}{quote(name.lower())}/") for name in names]
        self.book = self.books[0]
        if seed is not None:
            for name, text in sorted(invented(seed, people).items()):
                self.book.store(name, text)
        app = FastAPI(openapi_url=None)
        app.add_api_route("/{path:path}", self._answer, methods=METHODS, response_model=None)
        self.app: ASGIApp = Hostile(app, self.faults)

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": url, "username": USERNAME, "password": PASSWORD}

    # --- what other clients do ---------------------------------------------------------------------------------

    def put(self, name: str, text: str) -> str:
        """Store a card in the first address book; returns its path."""
        self.book.store(name, text)
        return self.book.path + name

    def remove(self, path: str) -> None:
        self.book.remove(path.rpartition("/")[2])

    def text(self, path: str) -> str:
        """What is stored at a path. Raises KeyError."""
        return self.book.cards[path.rpartition("/")[2]]

    def forget(self) -> None:
        """Forget all sync tokens given so far."""
        for book in self.books:
            book.history.append(("", False))
            book.oldest = len(book.history)

    # --- the protocol ------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        if request.url.path.rstrip("/") == "/.well-known/carddav":
            return Response(status_code=self.warts.redirect, headers={"location": self.warts.to})
        refused = self.door.refusal(request, self.warts)
        if refused is not None:
            return refused
        if not request.url.path.startswith(ROOT):
            return Response("Not found", 404)
        path = dav.path_of(request.scope.get("raw_path", request.url.path.encode()).decode())
        verb = getattr(self, "_" + request.method.lower())
        answer: Response = verb(request, path, body)
        return answer

    def _at(self, path: str) -> tuple[Book | None, str]:
        """The address book of a path, and the file name in it."""
        folder, _, name = path.rpartition("/")
        book = next((book for book in self.books if book.path == folder + "/"), None)
        return book, name

    def _options(self, request: Request, path: str, body: bytes) -> Response:
        able = "1, 3, access-control" + (", addressbook" if self.warts.addressbook else "")
        return Response(headers={"dav": able, "allow": ", ".join(METHODS)})

    def _get(self, request: Request, path: str, body: bytes) -> Response:
        book, name = self._at(path)
        if book is None or name not in book.cards:
            return Response("Not found", 404)
        text = book.cards[name]
        return Response(text.encode(), headers={"etag": etag(text), "content-type": "text/vcard; charset=utf-8"})

    def _put(self, request: Request, path: str, body: bytes) -> Response:
        book, name = self._at(path)
        if book is None or not name:
            return Response("No such collection", 409)
        text = body.decode("utf-8", "replace")
        refused = self._refusal(book, name, request.headers, body, text)
        if refused is not None:
            return refused
        created = name not in book.cards
        book.store(name, rewritten(text) if self.warts.rewrites else text)
        tag = etag(book.cards[name])
        told = {"strong": {"etag": tag}, "weak": {"etag": "W/" + tag}, "none": {}}[self.warts.put_etag]
        return Response(status_code=201 if created else 204, headers=told)

    def _refusal(self, book: Book, name: str, headers: Mapping[str, str], body: bytes, text: str) -> Response | None:
        old = book.cards.get(name)
        if self.warts.read_only:
            return error(403, "<need-privileges/>")
        if failed(headers, old):
            return Response("Precondition failed", 412)
        if self.warts.max_size is not None and len(body) > self.warts.max_size:
            return error(403, "<C:max-resource-size/>")
        cards = list(parse(text))
        if len(cards) != 1 or not isinstance(cards[0], VCard):
            return error(403, "<C:valid-address-data/>")
        uid = cards[0].uid
        others = (other for key, other in book.cards.items() if key != name)
        if self.warts.unique_uid and uid and any(f"UID:{uid}" in other.splitlines() for other in others):
            return error(409, "<C:no-uid-conflict/>")
        if self.warts.quota is not None and old is None and len(book.cards) >= self.warts.quota:
            return error(507, "<quota-not-exceeded/>")
        return None

    def _delete(self, request: Request, path: str, body: bytes) -> Response:
        book, name = self._at(path)
        if self.warts.read_only:
            return error(403, "<need-privileges/>")
        if book is None or name not in book.cards:
            return Response("Not found", 404)
        if failed(request.headers, book.cards[name]):
            return Response("Precondition failed", 412)
        book.remove(name)
        return Response(status_code=204)

    def _propfind(self, request: Request, path: str, body: bytes) -> Response:
        wanted = [prop.tag for prop in ET.fromstring(body).iterfind(f"{dav.D}prop/*")]
        found = self._members(path, request.headers.get("depth", "0"))
        if not found and self._members(path + "/", "0"):
            return Response(status_code=301, headers={"location": path + "/"})
        if not found:
            return Response("Not found", 404)
        return self._multistatus([self._entry(href, wanted, props) for href, props in found], request)

    def _members(self, path: str, depth: str) -> list[tuple[str, dict[str, str]]]:
        """Resources with their properties, as XML."""
        book, name = self._at(path)
        if path in (ROOT, PRINCIPAL):
            return [(path, self._person())]
        if path == HOME:
            inner = [(book.path, self._properties(book)) for book in self.books] if depth == "1" else []
            return [(HOME, {**self._person(), dav.RESOURCE_TYPE: "<collection/>"}), *inner]
        if book is None:
            return []
        if name:
            return [(path, card_properties(book.cards[name]))] if name in book.cards else []
        inner = [(book.path + name, card_properties(text)) for name, text in book.cards.items()]
        return [(book.path, self._properties(book)), *(inner if depth == "1" else [])]

    def _person(self) -> dict[str, str]:
        return {
            dav.RESOURCE_TYPE: "<collection/><principal/>",
            dav.PRINCIPAL: f"<href>{PRINCIPAL}</href>",
            dav.HOME: f"<href>{HOME}</href>",
        }

    def _properties(self, book: Book) -> dict[str, str]:
        warts = self.warts
        reports = ["C:addressbook-multiget"]
        reports += ["C:addressbook-query"] if warts.queries else []
        reports += ["sync-collection"] if warts.sync else []
        rights = ["read"] if warts.read_only else ["read", "write"]
        props = {
            dav.RESOURCE_TYPE: "<collection/><C:addressbook/>",
            dav.DISPLAY_NAME: escape(book.name),
            dav.PRINCIPAL: f"<href>{PRINCIPAL}</href>",
            dav.REPORTS: "".join(f"<supported-report><report><{r}/></report></supported-report>" for r in reports),
            dav.PRIVILEGES: "".join(f"<privilege><{right}/></privilege>" for right in rights),
            dav.SUPPORTED_DATA: '<C:address-data-type content-type="text/vcard" version="3.0"/>',
        }
        if warts.sync:
            props[dav.SYNC_TOKEN] = token(len(book.history))
        if warts.ctag:
            props[dav.CTAG] = str(len(book.history))
        if warts.max_size is not None:
            props[dav.MAX_SIZE] = str(warts.max_size)
        return props

    def _report(self, request: Request, path: str, body: bytes) -> Response:
        book, _ = self._at(path)
        root = ET.fromstring(body)
        if book is None:
            return Response("Not found", 404)
        if root.tag == dav.D + "sync-collection" and self.warts.sync:
            return self._sync(request, book, root)
        if root.tag == dav.C + "addressbook-multiget":
            return self._multiget(request, book, root)
        if root.tag == dav.C + "addressbook-query" and self.warts.queries:
            return self._query(request, book, root)
        return error(403, "<supported-report/>")

    def _sync(self, request: Request, book: Book, root: ET.Element) -> Response:
        asked = (root.findtext(dav.SYNC_TOKEN) or "").strip()
        known = re.fullmatch(r"urn:sandbox:(\d+)", asked)
        at = int(known.group(1)) if known else 0
        if asked and (known is None or not book.oldest <= at <= len(book.history)):
            if self.warts.token_error != 207:
                return error(self.warts.token_error, "<valid-sync-token/>")
            at = 0
        steps = book.history[at:]
        names = dict.fromkeys(name for name, _ in steps if name)
        entries: list[str] = []
        for seen, name in enumerate(names):
            if seen == self.warts.truncate:
                # The last step told so far; later ones of names already told will be told again.
                at += next(step for step, (other, _) in enumerate(steps) if other == name)
                entries.append(f"<response><href>{book.path}</href><status>HTTP/1.1 507 Insufficient Storage</status>")
                entries[-1] += "<error><number-of-matches-within-limits/></error></response>"
                return self._multistatus(entries, request, token(at))
            if name in book.cards:
                entries.append(self._entry(book.path + name, [dav.ETAG], card_properties(book.cards[name])))
            elif asked:
                entries.append(gone(book.path + name))
        return self._multistatus(entries, request, token(len(book.history)))

    def _multiget(self, request: Request, book: Book, root: ET.Element) -> Response:
        entries = []
        for element in root.iterfind(dav.D + "href"):
            href = dav.path_of(element.text or "")
            text = book.cards.get(href.removeprefix(book.path))
            if text is not None:
                entries.append(self._entry(href, [dav.ETAG, dav.ADDRESS_DATA], card_properties(text)))
            elif self.warts.tells_missing:
                entries.append(gone(href))
        return self._multistatus(entries, request)

    def _query(self, request: Request, book: Book, root: ET.Element) -> Response:
        tests = [
            (test.get("name", "").upper(), match.get("match-type", "contains"), (match.text or "").casefold())
            for test in root.iter(dav.C + "prop-filter")
            for match in test.iterfind(dav.C + "text-match")
        ]
        entries = [
            self._entry(book.path + name, [dav.ETAG, dav.ADDRESS_DATA], card_properties(text))
            for name, text in book.cards.items()
            if meets(text, tests)
        ]
        return self._multistatus(entries, request)

    def _entry(self, href: str, wanted: Iterable[str], props: Mapping[str, str]) -> str:
        """Properties that are not there come in a propstat of their own (RFC 4918 section 9.1)."""
        there = "".join(element(name, props[name]) for name in wanted if name in props)
        missing = "".join(element(name, "") for name in wanted if name not in props)
        text = f"<response><href>{escape(href)}</href>"
        if there:
            text += f"<propstat><prop>{there}</prop><status>HTTP/1.1 200 OK</status></propstat>"
        if missing:
            text += f"<propstat><prop>{missing}</prop><status>HTTP/1.1 404 Not Found</status></propstat>"
        return text + "</response>"

    def _multistatus(self, entries: Iterable[str], request: Request, new_token: str | None = None) -> Response:
        content = "".join(entries)
        if self.warts.absolute_hrefs:
            host = "{0.scheme}://{0.netloc}".format(urlsplit(str(request.url)))
            content = content.replace("<href>/", f"<href>{host}/")
        content += f"<sync-token>{new_token}</sync-token>" if new_token else ""
        return xml(207, f"<multistatus {NAMESPACES}>{content}</multistatus>")


def create(**options: Any) -> CardDAVSandbox:
    """A new sandbox: `seed` fills its address book with invented `people`; the rest are `Warts`."""
    return CardDAVSandbox(**options)


def etag(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"'


def token(step: int) -> str:
    return f"urn:sandbox:{step}"


def failed(headers: Mapping[str, str], old: str | None) -> bool:
    """Does If-Match or If-None-Match forbid it? (RFC 9110 section 13.1)"""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and (old is None or match not in ("*", etag(old))):
        return True
    return none_match == "*" and old is not None


def rewritten(text: str) -> str:
    """The card with its properties sorted and a REV."""
    card = next(iter(parse(text)))
    assert isinstance(card, VCard)
    first, *rest = card.lines
    version = [line for line in rest if line.name == "VERSION"]
    inner = [line for line in rest if line.name not in ("VERSION", "END", "REV")]
    raw = [line.raw for line in (first, *version, *sorted(inner, key=lambda line: line.name))]
    return "".join(raw) + "REV:20260101T000000Z\r\nEND:VCARD\r\n"


def meets(text: str, tests: Iterable[tuple[str, str, str]]) -> bool:
    card = next(iter(parse(text)), None)
    if not isinstance(card, VCard):
        return False
    for name, match, wanted in tests:
        values = [unescape(line.value).casefold() for line in card.lines if line.name == name]
        if any(wanted == value if match == "equals" else wanted in value for value in values):
            return True
    return False


def card_properties(text: str) -> dict[str, str]:
    return {dav.RESOURCE_TYPE: "", dav.ETAG: escape(etag(text)), dav.ADDRESS_DATA: escape(text)}


def element(name: str, content: str) -> str:
    space, _, local = name.partition("}")
    tag = PREFIX[space + "}"] + local
    return f"<{tag}>{content}</{tag}>" if content else f"<{tag}/>"


def gone(href: str) -> str:
    return f"<response><href>{escape(href)}</href><status>HTTP/1.1 404 Not Found</status></response>"


def error(status: int, condition: str) -> Response:
    return xml(status, f"<error {NAMESPACES}>{condition}</error>")


def xml(status: int, content: str) -> Response:
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return Response((head + content).encode(), status, media_type="application/xml; charset=utf-8")


GIVEN: Final = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Femi", "Grace", "Hana", "Ivo", "Jun")
FAMILY: Final = ("Åström", "Bianchi", "Costa", "Dvořák", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jensen")


def invented(seed: int, people: int) -> dict[str, str]:
    """Cards of people who do not exist, by file name; the same for the same seed."""
    chance = random.Random(seed)
    found = {}
    for number in range(people):
        given, family = chance.choice(GIVEN), chance.choice(FAMILY)
        uid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        lines = [
            "BEGIN:VCARD",
            "VERSION:3.0",
            f"UID:{uid}",
            f"N:{family};{given};;;",
            f"FN:{given} {family}",
            f"EMAIL;TYPE=INTERNET,WORK:person{number}@example.org",
            f"TEL;TYPE=CELL:+4670{chance.randrange(10**7):07d}",
            "END:VCARD",
        ]
        found[f"{uid}.vcf"] = "\r\n".join(lines) + "\r\n"
    return found
