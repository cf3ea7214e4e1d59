"""What the conformance kit works with: the subject under test, the least engine that could be, cards to try.

Ships with the product, for authors of connectors; the daemon never imports it.
"""

from __future__ import annotations

import itertools
import re
import struct
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path as FilePath
from random import SystemRandom
from typing import Any, Final, TypeVar
from uuid import NAMESPACE_URL, uuid5

import yaml
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.card import (
    ADDRESS_KINDS,
    LINES,
    NAME_KINDS,
    SLOT,
    VALUE,
    Card,
    Element,
    Equivalence,
    Leaves,
    Path,
    blob_uri,
    card_of,
    components,
    full_name,
    leaves,
)
from connectors.consent import Channel, Consent, ConsentState
from connectors.contract import Connector, Context, Outcome, Page, Push, Record
from connectors.errors import CursorExpired, Error
from connectors.registry import system
from connectors.sandbox import Faults

T = TypeVar("T")

SETTLE: Final = 2.0
"""Seconds that pass between what happens and the next look: remotes keep times by the second."""
_serial = itertools.count(1)


# --- the subject ---------------------------------------------------------------------------------------------


@dataclass
class Subject:
    """A connector under test, and the strings that its remote can be pulled by.

    open: a connector for the account; called more than once. Give it a `Context` that does not really sleep.
    human: who else edits in the remote; by default a second connector of the account.
    faults: the sandbox's; without them the tests of trouble are skipped.
    advance: moves the remote's clock by so many seconds.
    requests: how many requests the remote has had; by default as `faults.log` tells.
    impostor: a connector with wrong credentials. secrets: texts that no error may show.
    expire: makes the remote forget all cursors. garbage: cursors that nobody ever gave out.
    plant, planted: set (to a text), and read, a field of the remote's record that no card knows, by record id.
    creating: finds the request that creates a record, for the faults.
    holds: how many elements of a field the remote holds at least, of a card that has work and private addresses,
        a mobile, a work and a home number. crowd: how many records need more than one page.
    quiet: most requests of a run in which nothing is new.
    region: country in which phone numbers are read. domain: of the e-mail addresses that are made up.
    exempt: {name of a test: why it does not apply}; shown as skipped with that reason.
    live: a real account: only records made here are touched, and they are removed in the end.
    """

    open: Callable[[], Connector]
    human: Callable[[], Connector] | None = None
    faults: Faults | None = None
    advance: Callable[[float], None] = lambda seconds: None
    requests: Callable[[], int] | None = None
    impostor: Callable[[], Connector] | None = None
    secrets: Sequence[str] = ()
    expire: Callable[[], None] | None = None
    garbage: Sequence[Any] = ("no cursor", {"no": "cursor"})
    plant: Callable[[str, str], None] | None = None
    planted: Callable[[str], str | None] | None = None
    creating: str = r"^(POST|PUT|PATCH) "
    holds: Mapping[str, int] = field(default_factory=dict)
    crowd: int = 4
    quiet: int = 5
    region: str | None = None
    domain: str = "example.org"
    exempt: Mapping[str, str] = field(default_factory=dict)
    live: bool = False


def hurried() -> Context:
    """A context that never really waits: the time is the time, sleep returns at once."""
    return Context(now=lambda: datetime.now(UTC), sleep=lambda seconds: None, random=lambda: 0.5)


def live_subject(name: str, path: str) -> Subject:
    """A real account as a subject. path: a YAML or JSON file with the settings of a connection to that system."""
    kind = system(name)
    settings = kind.settings.model_validate(yaml.safe_load(FilePath(path).read_text(encoding="utf-8")))
    count = itertools.count(1)
    seen = [0]

    def counted(method: str, sent: int, received: int) -> None:
        seen[0] = next(count)

    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=SystemRandom().random, requests=counted)
    secrets = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    return Subject(
        open=lambda: kind.open(settings, context),
        advance=time.sleep,
        requests=lambda: seen[0],
        secrets=[secret for secret in secrets if secret],
        live=True,
    )


# --- the least engine that could be --------------------------------------------------------------------------


@dataclass
class News:
    """What a pull brought. shown: every record given, as often as it was; changed: those that were new or differ
    from what was known; gone: those known before that are deleted."""

    shown: list[Record] = field(default_factory=list)
    changed: dict[str, Record] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    pages: list[Page] = field(default_factory=list)


class Mirror:
    """One connection's memory: the cursor, and every record as last seen."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.known: dict[str, Record] = {}
        self.cursor: Any = None

    def pull(self, most: int | None = None) -> News:
        """All news, or the first `most` pages of it; like an engine that is stopped there."""
        try:
            return self._pull(most)
        except CursorExpired:
            self.cursor = None
            return self._pull(most)

    def _pull(self, most: int | None) -> News:
        news, pages = News(), iter(self.connector.changes(self.cursor))
        for page in itertools.islice(pages, most):
            self._take(page, news)
        return news

    def _take(self, page: Page, news: News) -> None:
        news.pages.append(page)
        for record in page.records:
            self._see(record, news)
        news.named.update(page.listed)
        asked = [
            key
            for key, version in page.listed.items()
            if key not in self.known or (version is not None and version != self.known[key].version)
        ]
        for record in self.connector.read(asked) if asked else ():
            self._see(record, news)
        if page.complete:
            for key in [key for key in self.known if key not in news.named]:
                del self.known[key]
                news.gone.add(key)
        if page.cursor is not None:
            self.cursor = page.cursor

    def _see(self, record: Record, news: News) -> None:
        news.shown.append(record)
        news.named.add(record.id)
        for alias in record.aliases:
            self.known.pop(alias, None)
        before = self.known.pop(record.id, None)
        if record.card is None:
            if before is not None:
                news.gone.add(record.id)
        elif record.refused is None:
            self.known[record.id] = record
            if before is None or before.card != record.card or said(before) != said(record):
                news.changed[record.id] = record


@dataclass
class Held:
    """A record as an engine holds it: our card, what we projected (`sent`), and the record with our element ids."""

    key: str
    card: Card
    sent: Card
    record: Record
    answer: Record


class Bench:
    """Does with connectors what the engine does, and asserts at each step what must always hold."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.eq = Equivalence(subject.region)
        self.connector = subject.open()
        self.opened = [self.connector]
        self.marker = f"Concordtest{SystemRandom().randrange(16**6):06x}" if subject.live else "Concordtest"
        self._human: Connector | None = None

    @property
    def human(self) -> Connector:
        """The other one who edits in the remote."""
        if self._human is None:
            self._human = (self.subject.human or self.subject.open)()
            self.opened.append(self._human)
        return self._human

    def fresh(self) -> Connector:
        """A connector that has not spoken yet."""
        self.opened.append(self.subject.open())
        return self.opened[-1]

    # -- cards

    def plain(self) -> dict[str, Any]:
        """A card that nearly every system can hold: a name and an e-mail address, unlike any other card here."""
        n = next(_serial)
        mail = f"{self.marker}{n}@{self.subject.domain}".lower()
        return {
            "name": {"components": components({"given": "Ann", "surname": f"{self.marker}{n}"})},
            "emails": {"e1": {"address": mail, "contexts": {"work": True}}},
        }

    def rich(self) -> dict[str, Any]:
        """A card with something in every field."""
        card = self.plain()
        mail = card["emails"]["e1"]["address"]
        for name, value in RICH.items():
            card[name] = {**card.get(name, {}), **value}
        card["emails"]["e2"] = {"address": "private." + mail, "contexts": {"private": True}}
        return card

    # -- acts

    def settle(self) -> None:
        """Let time pass until reads show what was written."""
        self.subject.advance(max(SETTLE, self.connector.capabilities.lag + SETTLE))

    def write(self, pushes: Sequence[Push], by: Connector | None = None) -> dict[str, Outcome]:
        """Outcomes by ref: exactly one for each push, with either a record or an error."""
        outcomes = list((by or self.connector).write(pushes))
        refs = [outcome.ref for outcome in outcomes]
        assert sorted(refs) == sorted(push.ref for push in pushes), "each push has exactly one outcome"
        for outcome in outcomes:
            assert (outcome.record is None) != (outcome.error is None), "an outcome is a record or an error"
            if outcome.error:
                self.discreet(outcome.error)
        return {outcome.ref: outcome for outcome in outcomes}

    def creation(self, card: Card) -> Push:
        """The push that creates this card."""
        key = str(uuid5(NAMESPACE_URL, f"{self.marker}/{next(_serial)}"))
        return Push(ref=key, key=key, held=None, card=self.connector.fit(card, None), blob=BLOBS.__getitem__)

    def create(self, card: Card, by: Connector | None = None) -> Held:
        """A new record for this card."""
        push = self.creation(card)
        return self.created(push, card, self.write([push], by)[push.ref])

    def created(self, push: Push, card: Card, outcome: Outcome) -> Held:
        assert outcome.error is None, f"a plain create failed: {outcome.error!r}"
        assert outcome.record is not None
        self.stored(outcome)
        assert push.card is not None
        return self.hold(push.key, card, push.card, outcome.record)

    def stored(self, outcome: Outcome) -> Card:
        """What a write that succeeded left there."""
        assert outcome.record is not None, outcome
        assert outcome.record.card is not None, outcome
        return outcome.record.card

    def hold(self, key: str, card: Card, sent: Card, answer: Record) -> Held:
        """An answer, with our ids in it."""
        view = rekeyed(answer.card or {}, sent, self.eq)
        return Held(key, card, sent, replace(answer, card=view), answer)

    def wanted(self, held: Held, card: Card) -> Push:
        """The push that makes the record show `card`: what it showed, with the leaves that we changed."""
        seen = held.record.card or {}
        desired = self.connector.fit(card, seen)
        return Push(
            ref=held.key,
            key=held.key,
            held=held.record,
            card=overlaid(seen, held.sent, desired, self.eq),
            blob=BLOBS.__getitem__,
        )

    def update(self, held: Held, card: Card, by: Connector | None = None) -> Held:
        """The record shows `card` now."""
        outcome = self.write([self.wanted(held, card)], by)[held.key]
        assert outcome.error is None, f"a plain update failed: {outcome.error!r}"
        assert outcome.record is not None
        self.stored(outcome)
        return self.hold(held.key, card, self.connector.fit(card, held.record.card), outcome.record)

    def say(self, held: Held, state: ConsentState, channel: Channel, by: Connector | None = None) -> Held:
        """The record's place for that channel says so now; its card stays."""
        place = next(c for c in held.record.consents if c.channel == channel)
        wanted = Consent(channel, place.address, state, at=SAID, evidence=PROOF if state == "granted" else {})
        push = replace(self.wanted(held, held.card), consents=[wanted])
        outcome = self.write([push], by)[held.key]
        assert outcome.error is None, f"a plain opt-out failed: {outcome.error!r}"
        assert outcome.record is not None
        self.stored(outcome)
        return self.hold(held.key, held.card, held.sent, outcome.record)

    def delete(self, held: Held, by: Connector | None = None) -> Outcome:
        return self.write([Push(ref=held.key, key=held.key, held=held.record, card=None)], by)[held.key]

    def read(self, record_id: str, by: Connector | None = None) -> Record:
        [record] = list((by or self.connector).read([record_id]))
        assert record.id == record_id
        return record

    def mirror(self, connector: Connector | None = None) -> Mirror:
        """A mirror that has seen everything and is quiet."""
        self.settle()
        mirror = Mirror(connector or self.connector)
        mirror.pull()
        self.settle()
        mirror.pull()
        return mirror

    def named(self, surname: str) -> list[Record]:
        """Every record there is whose name holds this text."""
        self.settle()
        mirror = Mirror(self.fresh())
        mirror.pull()
        return [record for record in mirror.known.values() if surname in full_name(record.card or {})]

    def requests(self) -> int | None:
        """How many requests there were so far, where that is known."""
        if self.subject.requests:
            return self.subject.requests()
        return len(self.subject.faults.log) if self.subject.faults else None

    def attempt(self, act: Callable[[], T]) -> T | Error:
        """What came of it, or the error by reaction; any other exception is a fault of the connector."""
        try:
            return act()
        except Error as error:
            self.discreet(error)
            return error

    def discreet(self, thing: object) -> None:
        """No secret shows in this, nor in what it was caused by."""
        told = f"{thing!s} {thing!r}"
        if isinstance(thing, BaseException):
            for cause in (thing.__cause__, thing.__context__):
                if cause is not None:
                    self.discreet(cause)
        for secret in self.subject.secrets:
            assert secret not in told, f"a {type(thing).__name__} shows a secret"

    def close(self) -> None:
        """Remove what was made in a real account, and let go."""
        if self.subject.live:
            ours = self.named(self.marker)
            list(self.connector.write([Push(r.id, r.key or r.id, r, None) for r in ours]))
        for connector in self.opened:
            connector.close()


SAID: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROOF: Final = {"form": "paper", "timestamp": SAID.isoformat()}


def said(record: Record) -> dict[tuple[Channel, str], ConsentState]:
    """What a record's places for consent say."""
    return {consent.place: consent.state for consent in record.consents}


# --- cards against views -------------------------------------------------------------------------------------


def rekeyed(view: Card, card: Card, eq: Equivalence) -> Card:
    """The view with the element ids of the card that it is the answer to."""
    found: dict[str, Any] = dict(view)
    names: dict[str, dict[str, str]] = {}
    for name in [name for name in view if name in VALUE]:
        names[name] = _paired(name, view[name], card.get(name, {}), eq)
        found[name] = {names[name][key]: element for key, element in view[name].items()}
    if "titles" in found:
        known = names.get("organizations", {})
        found["titles"] = {
            key: {**title, "organizationId": known.get(title["organizationId"], title["organizationId"])}
            if "organizationId" in title
            else title
            for key, title in found["titles"].items()
        }
    return found


def _paired(name: str, view: Mapping[str, Element], card: Mapping[str, Element], eq: Equivalence) -> dict[str, str]:
    rules: tuple[Callable[[Element], Any], ...] = (
        lambda e: (eq.element_key(name, e), e.get(SLOT)),
        lambda e: eq.element_key(name, e),
        lambda e: e.get(SLOT),
        lambda e: e.get("kind"),
    )
    left, free, pairs = dict(view), dict(card), {}
    for rule in rules:
        for key, element in list(left.items()):
            match = next((k for k, e in free.items() if rule(e) is not None and rule(e) == rule(element)), None)
            if match is not None:
                pairs[key] = match
                del left[key], free[match]
    return {**pairs, **{key: f"remote {key}" for key in left}}


def overlaid(seen: Card, sent: Card, desired: Card, eq: Equivalence) -> Card:
    """What a record showed, with what changed between two projections of ours."""
    after, before, now = leaves(seen), leaves(sent), leaves(desired)
    changed = [path for path in {*before, *now} if not eq.same(path, before.get(path), now.get(path))]
    for path in changed:
        if path in now:
            after[path] = now[path]
        else:
            after.pop(path, None)
    gone = {path[:2] for path in before if path[0] in VALUE} - {path[:2] for path in now}
    placed = {(path[0], now[path]): path[1] for path in changed if path[-1] == SLOT and path in now}
    return card_of(
        {path: value for path, value in after.items() if path[:2] not in gone and _stays(path, after, placed)}
    )


def _stays(path: Path, after: Leaves, placed: Mapping[tuple[str, Any], str]) -> bool:
    """Is this leaf's element not pushed out of its slot by another?"""
    slot = after.get((*path[:2], SLOT)) if len(path) == 3 else None
    return slot is None or placed.get((path[0], slot), path[1]) == path[1]


def missing(projected: Card, view: Card, eq: Equivalence) -> list[str]:
    """Where the view does not show what was projected, in words. Of a photo only its presence can be asked: remotes
    make smaller copies."""
    wanted, shown = leaves(projected), leaves(view)
    return [
        f"{'/'.join(path)}: projected {value!r}, shown {shown.get(path)!r}"
        for path, value in wanted.items()
        if not (path[0] == "media" and path in shown)
        and not (path[0] == "media" and path[-1] == "size")
        and not eq.same(path, value, shown.get(path))
    ]


def differences(one: Card, other: Card, eq: Equivalence) -> list[str]:
    """Where two projections differ, in words."""
    left, right = leaves(one), leaves(other)
    return [
        f"{'/'.join(path)}: {left.get(path)!r} and {right.get(path)!r}"
        for path in sorted({*left, *right})
        if not eq.same(path, left.get(path), right.get(path))
    ]


_WORDS = re.compile(r"\w+")
_MARKS: Final = frozenset({"contexts", "features", "kind", "pref", "size", "mediaType", "phonetic"})


def invented(fitted: Card, card: Card) -> list[str]:
    """Values of the projection that are nowhere in the card. Cut and tidied texts pass; what a slot says of its
    element (its kind, its context) is not a value."""
    ours = leaves(card)
    texts = [text for path, value in ours.items() for text in (*path[1:], *_texts(value))]
    whole = _squeezed("".join(texts))
    found = []
    for path, value in leaves(fitted).items():
        if len(path) == 3 and (path[2] in _MARKS or (path[2].startswith("concord:") and path[2] != LINES)):
            continue
        if isinstance(value, str):
            alien: Any = [word for word in _WORDS.findall(_folded(value)) if word not in whole]
        elif path[-1] == "date":
            alien = {k: v for k, v in value.items() if not str(k).startswith("@") and ours.get(path, {}).get(k) != v}
        else:
            alien = None if path in ours or value in ours.values() else value
        if alien:
            found.append(f"{'/'.join(path)}: {alien!r}")
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for held in value.values():
            yield from _texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from _texts(held)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _squeezed(text: str) -> str:
    return "".join(_WORDS.findall(_folded(text)))


# --- cards to try --------------------------------------------------------------------------------------------


def png(red: int, side: int = 48) -> bytes:
    """A small picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\x00" + bytes((red, 90, 160)) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


BLOBS: Final = {blob_uri(photo): photo for photo in (png(200), png(20))}
PHOTOS: Final = tuple(
    {"kind": "photo", "uri": uri, "mediaType": "image/png", "size": len(photo)} for uri, photo in BLOBS.items()
)

RICH: Final[Mapping[str, Mapping[str, Any]]] = {
    "nicknames": {"n1": {"name": "Annie"}},
    "organizations": {"o1": {"name": "Weiß & Sons"}},
    "titles": {"t1": {"name": "Head of Sales", "organizationId": "o1"}},
    "phones": {
        "p1": {"number": "+49 171 5550001", "features": {"mobile": True}},
        "p2": {"number": "+49 30 5550002", "contexts": {"work": True}},
        "p3": {"number": "+49 40 5550003", "contexts": {"private": True}},
    },
    "addresses": {
        "a1": {
            LINES: "Lange Straße 12",
            "components": components(
                {"locality": "Göttingen", "region": "Niedersachsen", "postcode": "37073", "country": "Germany"}
            ),
            "contexts": {"work": True},
        }
    },
    "anniversaries": {"b1": {"kind": "birth", "date": {"year": 1979, "month": 2, "day": 28}}},
    "notes": {"m1": {"note": "Prefers the phone.\nNot before ten."}},
    "links": {"l1": {"uri": "https://example.org/ann"}},
    "media": {"f1": PHOTOS[0]},
    "keywords": {"customer": True},
    "groups": {"g1": {"name": "Concordtest friends"}},
}

PROBES: Final[Mapping[str, Mapping[str, Any]]] = {
    "second e-mail": {"emails": {"e2": {"address": "second.concordtest@example.org", "contexts": {"private": True}}}},
    "three phones": {"phones": RICH["phones"]},
    "two mobiles": {
        "phones": {
            "p1": {"number": "+49 171 5550011", "features": {"mobile": True}},
            "p2": {"number": "+49 172 5550012", "features": {"mobile": True}},
        }
    },
    "label": {"phones": {"p1": {"number": "+49 171 5550021", "label": "Boat"}}},
    "phone with extension": {"phones": {"p1": {"number": "+49 30 5550022 ext. 7", "contexts": {"work": True}}}},
    "address": {"addresses": RICH["addresses"]},
    "address of two lines": {
        "addresses": {"a1": {LINES: "Lange Straße 12\nHinterhaus", "components": components({"locality": "Bonn"})}}
    },
    "post office box": {
        "addresses": {"a1": {"components": components({"postOfficeBox": "4711", "locality": "Bonn", "postcode": "53"})}}
    },
    "work": {"organizations": RICH["organizations"], "titles": RICH["titles"]},
    "birthday": {"anniversaries": RICH["anniversaries"]},
    "birthday without a year": {"anniversaries": {"b1": {"kind": "birth", "date": {"month": 2, "day": 29}}}},
    "wedding": {"anniversaries": {"w1": {"kind": "wedding", "date": {"year": 2004, "month": 6, "day": 5}}}},
    "note": {"notes": RICH["notes"]},
    "long text": {"notes": {"m1": {"note": "All work and no play makes Jack a dull boy. " * 120}}},
    "unicode": {"notes": {"m1": {"note": "Žluťoučký kůň, Ελληνικά, 日本語, עברית, e\u0301"}}},
    "emoji": {"notes": {"m1": {"note": "Likes 🎷 and 👩‍👩‍👧"}}},
    "markup": {"notes": {"m1": {"note": "a < b & c > d, \"quoted\" 'single' \\ back; comma, 100 %"}}},
    "apostrophe": {"organizations": {"o1": {"name": 'O\'Brien & Söhne "Nord"'}}},
    "link": {"links": RICH["links"]},
    "nickname": {"nicknames": RICH["nicknames"]},
    "photo": {"media": RICH["media"]},
    "keywords": {"keywords": {"customer": True, "press": True}},
    "groups": {"groups": {"g1": {"name": "Concordtest friends"}, "g2": {"name": "Concordtest choir"}}},
}
"""Cards, beyond a name and an address, that some system somewhere does not survive."""


def cards() -> st.SearchStrategy[dict[str, Any]]:
    """Cards of all shapes. Element ids come from a small pool, so that two cards often share some."""
    return st.fixed_dictionaries(
        {},
        optional={
            "name": _names(),
            "nicknames": _elements({"name": _TEXT}),
            "organizations": _elements({"name": _TEXT}),
            "titles": _elements({"name": _TEXT}),
            "emails": _elements({"address": _ADDRESS}, _CONTEXTS | _PREF),
            "phones": _elements({"number": _NUMBER}, _CONTEXTS | _PREF | _FEATURES),
            "addresses": _elements({LINES: _TEXT, "components": _components(ADDRESS_KINDS)}, _CONTEXTS),
            "anniversaries": _elements({"kind": st.sampled_from(("birth", "wedding", "other")), "date": _DATE}),
            "notes": _elements({"note": _TEXT}),
            "links": _elements({"uri": st.sampled_from([f"https://example.org/{n}" for n in range(1, 7)])}),
            "media": _elements({"kind": st.just("photo")}).map(_with_photos),
            "keywords": st.dictionaries(st.sampled_from(("customer", "press", "Straße")), st.just(True), max_size=3),
            "groups": _elements({"name": st.sampled_from(("Friends", "friends", "Choir"))}),
        },
    )


_TEXT: Final = st.sampled_from(
    ("Ann", "b", "Weiß & Söhne", "O'Brien <Ltd>", "日本", "🎷 jazz", "one, two; three", "two\nlines", "long text " * 30)
)
_ADDRESS: Final = st.sampled_from([f"ann{n}@example.org" for n in range(1, 12)])
_NUMBER: Final = st.sampled_from([f"+49 30 55500{n:02d}" for n in range(1, 12)])
_CONTEXTS: Final = {"contexts": st.sampled_from(({"work": True}, {"private": True}))}
_FEATURES: Final = {"features": st.sampled_from(({"mobile": True}, {"fax": True}))}
_PREF: Final = {"pref": st.integers(1, 3)}
_DATE: Final = st.sampled_from(
    (
        {"year": 1979, "month": 2, "day": 28},
        {"year": 2004, "month": 12, "day": 1},
        {"month": 2, "day": 29},
        {"year": 1950},
    )
)


def _components(kinds: Sequence[str]) -> st.SearchStrategy[list[dict[str, str]]]:
    return st.dictionaries(st.sampled_from(kinds), _TEXT, min_size=1, max_size=3).map(components)


def _names() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"components": _components(NAME_KINDS)}, optional={"full": _TEXT})


def _elements(
    always: Mapping[str, st.SearchStrategy[Any]], sometimes: Mapping[str, st.SearchStrategy[Any]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    element = st.fixed_dictionaries(dict(always), optional=dict(sometimes or {}))
    return st.dictionaries(st.sampled_from("123456"), element, min_size=1, max_size=3)


def _with_photos(elements: Mapping[str, Any]) -> dict[str, Any]:
    return {key: PHOTOS[int(key) % len(PHOTOS)] for key in elements}
