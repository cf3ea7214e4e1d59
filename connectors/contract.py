"""What a connector is. Synchronous: the engine runs connectors in threads.

A connector turns one remote into four verbs (`changes`, `read`, `write`, `find`) and one pure function (`fit`).
It holds no state between runs but what the engine hands back to it: the cursor, and each record as it was last
seen (`Record.raw` is for what only the connector understands).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from connectors.card import Card
from connectors.consent import Channel, Consent
from connectors.errors import Error


@dataclass(frozen=True, slots=True)
class Record:
    """One contact as the remote holds it.

    card: the contact in that system's view, element ids being its own (a slot's name, a position);
        None means: deleted there.
    version: what the remote calls this state (etag, modified time); compared for equality only.
    modified: when it last changed there, aware, where the remote says so reliably and in order. A record
        with an earlier `modified` than one already seen is an old read and is ignored.
    key: our own key (the person's uid) where the remote carries it.
    raw: the connector's own memory of the record, JSON; handed back in `Push.held`.
    blobs: the bytes of the photos that `card` names, {uri: bytes}.
    aliases: other ids under which this record was known before (a merge, a renamed resource).
    refused: why this record cannot be read as a contact; it is then set aside. Of `card` only that counts which tells
        whose it may be (name, addresses, numbers): nobody who seems to be this gets a second record beside it.
    consents: what its places for consent show now, every place that this record has, whatever they show.
    """

    id: str
    card: Card | None
    version: str | None = None
    modified: datetime | None = None
    key: str | None = None
    raw: Any = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    refused: str | None = None
    consents: Sequence[Consent] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A step of `changes`.

    records: contacts read in full, and tombstones.
    listed: ids that exist, with their versions (None: unknown). The engine reads those whose version is not
        the one it knows; an id listed without a version only counts as being there.
    cursor: where to go on once this page is in the store; JSON. None keeps the old one.
    complete: said on the last page, if the pages of this very iteration named every record there is. Only then
        may the engine take what was not named for deleted.
    total: how many records are to come in all, where known (for progress).
    """

    records: Sequence[Record] = ()
    listed: Mapping[str, str | None] = field(default_factory=dict)
    cursor: Any = None
    complete: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """One write the engine wants.

    ref: names the push in its outcome.
    key: the person's uid: to be stored with a create where the remote has a place for it.
    held: the record as last seen, or None to create. `held.version` is the base of a conditional write.
    card: what the record shall hold now, complete, in the remote's view (made by `fit`); None deletes.
        The difference to `held.card` is what must be written, and no more.
    blob: gives the bytes of a photo by its uri.
    consents: the places for consent that must be written, and what they must show; the other places are not touched,
        whatever else is written. Of a create: all that is known about the person's addresses; where nothing is, the
        new record must not say that the person agreed. `granted` comes only with evidence.
    erase: of a delete: the person asked to be forgotten; use the remote's erasure where it has one.
    """

    ref: str
    key: str
    held: Record | None
    card: Card | None
    blob: Callable[[str], bytes] = field(compare=False, default=lambda uri: b"")
    consents: Sequence[Consent] = ()
    erase: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one push: the record as the remote holds it now (its answer, not what was sent; `card` None
    after a delete), or the error. proven False: the remote took it and named the version that it has now, and what it
    was sent is told as its answer; what is next read under that version is what became of it, and nobody's edit."""

    ref: str
    record: Record | None = None
    error: Error | None = None
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are there, and what is possible there (probed, not assumed).

    label: shown to the admin ("admin at vTiger 8.2.0").
    notes: facts worth telling ("this server cannot list deletions; they are found by comparing listings").
    clock: the server's own time, aware, where it tells.
    id: what the remote calls the account for good, where consent may be another account's by mistake; "" where it
        does not tell, or the settings name the account already.
    """

    label: str
    notes: Sequence[str] = ()
    clock: datetime | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine must know about a system to treat it well.

    fields: the fields of the card that it can hold at least in part; others are never expected there.
    tombstones: deletions are reported by `changes(cursor)`; else they are found by complete listings.
    conditional: a write is refused when the record changed under us.
    creates / updates / deletes: can be written at all.
    batch: most pushes that one `write` sends in one request.
    lag: seconds for which reads may show the state before our last write.
    find_lag: seconds for which `find` may miss a record that was just created.
    consents: the channels for which a record there has a place that says whether the person may be contacted.
    optins: those whose place can also say that the person opted in; the others' only that they opted out.
    """

    fields: frozenset[str]
    tombstones: bool = True
    conditional: bool = True
    creates: bool = True
    updates: bool = True
    deletes: bool = True
    batch: int = 1
    lag: float = 0.0
    find_lag: float = 0.0
    consents: frozenset[Channel] = frozenset()
    optins: frozenset[Channel] = frozenset()


class Settings(BaseModel):
    """Base of a connector's settings. Fields of type `SecretStr` are stored encrypted and never shown.

    tuning: those that do not say which account it is. When any other one changes that is not secret, it is another
    account, and everything known of the former one's records is forgotten.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tuning: ClassVar[frozenset[str]] = frozenset()


def web_address(what: str, *, optional: bool = False) -> AfterValidator:
    """A setting that is an http(s) address. what: whose it is, as in "vTiger's start page". optional: or empty."""

    def check(url: str) -> str:
        if optional and not url:
            return url
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("this is no address: its host, or its port (1 to 65535), cannot be") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"\s", url):
            raise ValueError(f"give the address of {what}, with http:// or https://")
        return url

    return AfterValidator(check)


@runtime_checkable
class Connector(Protocol):
    """One configured account in one remote."""

    capabilities: Capabilities

    def fit(self, card: Card, held: Card | None) -> Card:
        """What this system would hold if `card` were written over `held`. Pure.

        Elements keep the ids of `card`. A system with slots says which element stands where by `concord:slot`;
        an element of `held` keeps its slot while its id is still in `card` and still belongs there.
        `fit(fit(c, h), h) == fit(c, h) == fit(c, fit(c, h))`.
        """
        ...

    def check(self) -> Account:
        """Prove the credentials, find out who we are and what this remote can do."""
        ...

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """What happened since `cursor`; everything where it is None.

        Raises CursorExpired where a full listing is needed instead.
        """
        ...

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        """These records in full, in any order; a record that is not there comes with `card` None."""
        ...

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """Write each push, in batches as the remote allows; yield each outcome as soon as it is known.

        Errors about one push are outcomes; an error that ends the whole run (Throttled, Unreachable, Unauthorised)
        is raised, and pushes without an outcome then count as not sent.
        """
        ...

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """Look for records that creates whose answer never came may have made: (ref, record) for each found, by our
        key where the remote carries it, else by natural key."""
        ...

    def close(self) -> None:
        """Let go of sockets."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a purchase. quantity, price (of one) and amount are as the remote says; None where it does not."""

    text: str
    item: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """Something that a contact bought, or was credited: a fact that is read and never written.

    id: the remote's id. record: id of the contact's record there. number: as printed on it.
    total: with tax, in `currency` (ISO 4217); of a credit negative.
    state: draft | open (owed) | paid | void. lines: as far as the remote gives them.
    """

    id: str
    record: str
    kind: Literal["invoice", "receipt", "credit"]
    number: str
    date: date | None
    total: Decimal
    currency: str
    state: Literal["draft", "open", "paid", "void"]
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class Sales:
    """A step of `purchases`. gone: ids of purchases that are not there any more. cursor: as in `Page`."""

    purchases: Sequence[Purchase] = ()
    gone: Sequence[str] = ()
    cursor: Any = None


@runtime_checkable
class Seller(Protocol):
    """A connector whose remote knows who bought what."""

    def purchases(self, cursor: Any | None) -> Iterator[Sales]:
        """What was sold, credited or changed since `cursor`; everything where it is None.

        Raises CursorExpired where everything must be read again.
        """
        ...


Tell = Callable[[str, Any], None]
Watch = Callable[[str, Mapping[str, Any]], AbstractContextManager[Tell]]
"""Who watches what goes on: (what, facts) as it begins; the function that it yields takes more facts as they come; the
end is the end of the `with`. Facts are never secrets, nor anybody's data."""


def _unheard(name: str, value: Any) -> None:
    """Nobody listens."""


def unwatched(what: str, facts: Mapping[str, Any]) -> AbstractContextManager[Tell]:
    """A `Watch` for where nobody looks."""
    return nullcontext(_unheard)


@dataclass(frozen=True, slots=True)
class Context:
    """What the world gives a connector: everything that is not pure comes in here.

    now: the time, aware. sleep: waits that many seconds. random: [0, 1), for jitter.
    requests: called once per HTTP request sent, with (method, bytes sent, bytes received).
    watch: see `Watch`; every HTTP request is told to it.
    budget: called with (of what, requests left) where a limit of requests is known: "burst" is our own for this
        process, "minute" and "day" are what the remote told.
    memory: what was found out about this remote in earlier runs, as it was when this one began; remember: adds to it at
        once (JSON).
    save_secrets: stores rotated credentials at once ({setting: new value}).
    renewing: to be held while credentials are renewed, so that no two processes do it at once; it yields the secret
        settings as they are stored by then ({setting: value}; empty where nobody keeps them): another one may have
        renewed them meanwhile.
    """

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    random: Callable[[], float]
    requests: Callable[[str, int, int], None] = lambda method, sent, received: None
    watch: Watch = unwatched
    budget: Callable[[str, int], None] = lambda window, left: None
    memory: Mapping[str, Any] = field(default_factory=dict)
    remember: Callable[[str, Any], None] = lambda name, value: None
    save_secrets: Callable[[Mapping[str, str]], None] = lambda secrets: None
    renewing: Callable[[], AbstractContextManager[Mapping[str, str]]] = lambda: nullcontext({})


def _refresh_token(answer: Mapping[str, Any], redirect: Mapping[str, str]) -> Mapping[str, str]:
    return {"refresh_token": str(answer.get("refresh_token") or "")}


@dataclass(frozen=True, slots=True)
class OAuth:
    """How consent is given to a system: OAuth2 with an authorization code and PKCE (RFC 6749, RFC 7636).

    title: the vendor in words for an admin. auth_uri, token_uri: its addresses, unless the settings say others under
    these names. scope: what is asked for, blank-separated. authorize: more parameters of the consent page.
    basic: the client's name and secret go to the token endpoint by HTTP Basic, else in the form.
    required: the scope without which consent is worth nothing (a box the user did not tick).
    dead: why a refresh token may have died there. register: what must be set up at the vendor first.
    granted: the settings that a consent brings, from the token endpoint's answer and the redirect's query; where a
        value is empty, no lasting access was given.
    """

    title: str
    auth_uri: str
    token_uri: str
    scope: str
    authorize: Mapping[str, str] = field(default_factory=dict)
    basic: bool = False
    required: str = ""
    dead: str = "It was revoked or not used for too long"
    register: str = "register an app with the vendor"
    granted: Callable[[Mapping[str, Any], Mapping[str, str]], Mapping[str, str]] = _refresh_token


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a remote that tells of news by webhook proves that it is it.

    proves: (headers with small names, body as it came, key, now) -> is it the remote's own? None where it signs
    nothing: then only the address is secret. signed: it always signs, so without the key nothing is believed.
    tells: what it says that nobody can ask for: (body that was proved, what is remembered) -> what to remember anew, as
        `Context.remember` does.
    """

    proves: Callable[[Mapping[str, str], bytes, str, datetime], bool] | None = None
    signed: bool = False
    tells: Callable[[bytes, Mapping[str, Any]], Mapping[str, Any]] = lambda body, memory: {}


@dataclass(frozen=True, slots=True)
class System:
    """A kind of remote as the registry knows it: one per connector package, named `CONNECTOR` there.

    open: makes a connector for one account. It does no I/O; the first request does.
    oauth: how its users give us access, with settings `client_id`, `client_secret` and what `oauth.granted` brings;
        None where credentials are simply entered.
    direction: which way changes flow where the admin does not say (of books that must not be written: "pull").
    deletes: what a deletion there means where the admin does not say (in books, that somebody is archived: "ignore").
    webhook: how its webhooks are proved; without it they are taken unsigned, at an address that is a secret.
    sandbox: "package.module:function" that makes its sandbox (`create(**options)`), for demo, tests and developers.
    """

    name: str
    title: str
    settings: type[Settings]
    open: Callable[[Any, Context], Connector]
    direction: Literal["both", "pull", "push"] = "both"
    deletes: Literal["propagate", "archive", "ignore"] = "propagate"
    sandbox: str | None = None
    oauth: OAuth | None = None
    webhook: Webhook | None = None


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size` items."""
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
