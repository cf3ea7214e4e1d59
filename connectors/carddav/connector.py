"""The contract for CardDAV (see the package's docstring for what servers do)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from connectors import vcard
from connectors.card import Card
from connectors.carddav import dav, mapping
from connectors.carddav.client import CardDAVSettings, Client, Stored, strong
from connectors.carddav.discovery import Book, discover
from connectors.carddav.mapping import Contact, GroupCard, Groups, Moves, Unreadable
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import (
    CursorExpired,
    Error,
    Missing,
    Refused,
    Stale,
    Throttled,
    Unauthorised,
    Uncertain,
    Unreachable,
)
from connectors.http import server_time

BATCH: Final = 100
"""Cards per multiget. On Radicale and Xandikos 100 to 200 are fastest per card; larger ones only need more memory."""
FEW: Final = 100
"""Up to this many changed cards are read at once; of more, only their names are told and group cards are asked for."""
PAGE: Final = 1000
"""Most cards named on one page."""
PROOF: Final = 50
"""Writes that are read back in one request, where the server does not store what it was sent."""
TRIES: Final = 3
"""How often a group card is changed again when somebody else changed it meanwhile."""

ENDING: Final = (Throttled, Unreachable, Unauthorised)
"""Errors that end a run."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where we stand.

    account: what the settings were; a cursor is of no use with others. token: of sync-collection. ctag: where there
    is no sync-collection.
    """

    account: list[str | None]
    book: Book
    token: str | None = None
    ctag: str | None = None
    groups: Groups = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        groups = {href: group.dump() for href, group in self.groups.items()}
        return {
            "account": self.account,
            "book": self.book.dump(),
            "token": self.token,
            "ctag": self.ctag,
            "groups": groups,
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Cursor:
        groups = {href: GroupCard.load(group) for href, group in dumped["groups"].items()}
        return cls(dumped["account"], Book(**dumped["book"]), dumped["token"], dumped["ctag"], groups)


@dataclass(frozen=True, slots=True)
class Sent:
    """A card that the server took. stored: as we know it; proven: by its answer, or by reading it back."""

    push: Push
    stored: Stored
    proven: bool
    moves: Moves


class CardDAV:
    """One address book."""

    capabilities = Capabilities(fields=mapping.FIELDS, tombstones=True, conditional=True, batch=1)

    def __init__(self, settings: CardDAVSettings, context: Context) -> None:
        self._settings = settings
        self._client = Client(settings, context)
        self._book: Book | None = None
        self._groups: Groups | None = None
        self._index: mapping.Index = {}
        # Does the server store what it is sent, byte for byte? Found out with the first write.
        self._faithful: bool | None = None

    def fit(self, card: Card, held: Card | None) -> Card:
        return vcard.fit_vcard(card)

    def close(self) -> None:
        self._client.close()

    # --- who and where -----------------------------------------------------------------------------------------

    def check(self) -> Account:
        book = self._book = discover(self._client, self._settings.address_book)
        answer = self._client.options(book.url)
        able = {word.strip() for word in answer.headers.get("dav", "").split(",")}
        if "addressbook" not in able:
            raise Unreachable(
                f"{book.url} is served by WebDAV without CardDAV (its DAV header lacks `addressbook`); check the url"
            )
        server = answer.headers.get("server", "")
        where = urlsplit(book.url)
        label = f"{book.name} of {self._client.username or 'nobody'} at {where.netloc}" + (server and f" ({server})")
        return Account(label, tuple(_notes(book)), server_time(answer))

    def _open(self) -> Book:
        if self._book is None:
            self._book = discover(self._client, self._settings.address_book)
        return self._book

    def _account(self) -> list[str | None]:
        return [self._client.url, self._client.username, self._settings.address_book]

    # --- what changed ------------------------------------------------------------------------------------------

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        if cursor is None:
            state = Cursor(self._account(), discover(self._client, self._settings.address_book))
        else:
            try:
                state = Cursor.load(cursor)
            except (KeyError, TypeError):
                raise CursorExpired("the cursor was made by another version of this connector") from None
            if state.account != self._account():
                raise CursorExpired("the settings name another address book now")
        self._book = state.book
        self._keep(state.groups if cursor is not None else {})
        try:
            yield from self._sync(state) if state.book.syncs else self._compare(state)
        except dav.Malformed as broken:
            raise Unreachable(f"the server's listing cannot be read: {broken}") from None
        except Missing as gone:
            kind = Unreachable if cursor is None else CursorExpired
            raise kind(f"the address book {state.book.name!r} is no longer there: {gone}") from None

    def _sync(self, state: Cursor) -> Iterator[Page]:
        """By sync-collection: what it answers is the delta, or everything where there is no token yet."""
        full, token = state.token is None, state.token
        while True:
            try:
                answer = self._client.sync(state.book.url, token)
            except Refused as refused:
                if not full:
                    raise CursorExpired(str(refused)) from None
                yield from self._compare(replace(state, book=replace(state.book, syncs=False)))
                return
            own = urlsplit(state.book.url).path
            more = any(item.href == own and item.status == 507 for item in answer.items)
            if answer.token is None or (more and answer.token == token):
                raise Unreachable("the server's list of changes has no new sync token; it cannot be gone on from")
            token = answer.token
            gone = [] if full else [item.href for item in answer.items if item.status == 404]
            yield from self._pages(_cards(answer.items, own), gone, full, not more, state, token=token)
            if not more:
                return

    def _compare(self, state: Cursor) -> Iterator[Page]:
        """Without sync-collection: nothing where the ctag stands still, else a listing of everything."""
        # The tag first: a change between the two requests then shows at the next run.
        tag = self._client.ctag(state.book.url) if state.book.tags else None
        if tag is not None and tag == state.ctag:
            yield Page()
            return
        items = self._client.etags(state.book.url)
        own = urlsplit(state.book.url).path
        if all(item.href.rstrip("/") != own.rstrip("/") for item in items):
            raise Unreachable("the server's listing lacks the address book itself; it is not taken for complete")
        cards = _cards(items, own)
        # Contacts that are gone show by their absence; of group cards only we know that they were there.
        gone = [href for href in state.groups if href not in cards]
        yield from self._pages(cards, gone, True, True, state, ctag=tag)

    def _pages(
        self,
        named: dict[str, str | None],
        gone: Sequence[str],
        full: bool,
        last: bool,
        state: Cursor,
        *,
        token: str | None = None,
        ctag: str | None = None,
    ) -> Iterator[Page]:
        """The pages of one answer. Only the last one moves the cursor; of a full listing cut in pieces by the server,
        only the very last one does: it alone proves what is gone."""
        records, listed = self._sorted(named, gone, full)
        total = len(records) + len(listed) if full and last else None
        *chunks, rest = list(batched(listed.items(), PAGE)) or [[]]
        for chunk in chunks:
            yield Page(listed=dict(chunk), total=total)
        moved = Cursor(state.account, state.book, token, ctag, self._known_groups())
        yield Page(records, dict(rest), moved.dump() if last or not full else None, complete=full and last, total=total)

    def _sorted(
        self, named: dict[str, str | None], gone: Sequence[str], full: bool
    ) -> tuple[list[Record], dict[str, str | None]]:
        """Contacts apart from group cards: records, and names with versions that the engine may read."""
        before = dict(self._groups or {})
        records: list[Record] = [Record(href, None) for href in gone if href not in before]
        if not named and not gone:
            return records, {}
        after = {href: group for href, group in before.items() if href not in gone}
        contacts: list[tuple[Stored, Contact | Unreadable]] = []
        found = self._group_cards(named) if full or len(named) > FEW else None
        if found is not None:
            after = {href: group for href, group in after.items() if href not in named} | found
            listed = {href: etag for href, etag in named.items() if href not in after}
        else:
            listed = dict(named)
            for stored in self._fetch(list(named)):
                listed.pop(stored.href, None)
                after.pop(stored.href, None)
                resource = mapping.parsed(stored.text, stored.etag)
                if isinstance(resource, GroupCard):
                    after[stored.href] = resource
                else:
                    contacts.append((stored, resource))
        self._keep(after)
        members = mapping.touched(before, after)
        there = {stored.href for stored, _ in contacts}
        contacts += [pair for pair in self._by_uid(members) if pair[0].href not in there]
        for stored, contact in contacts:
            listed.pop(stored.href, None)
            records.append(self._record(stored, contact))
        return records, listed

    def _group_cards(self, named: Mapping[str, Any]) -> dict[str, GroupCard] | None:
        """The group cards of the book; None where the server cannot search for them."""
        if not named:
            return {}
        try:
            answers = self._client.query(self._open().url, mapping.GROUP_FILTERS)
        except (Refused, Missing, dav.Malformed):
            return None
        resources = ((stored.href, mapping.parsed(stored.text, stored.etag)) for stored in answers)
        return {href: group for href, group in resources if isinstance(group, GroupCard)}

    def _by_uid(self, members: Iterable[str]) -> Iterator[tuple[Stored, Contact]]:
        """The contacts with these UIDs."""
        wanted = set(members)
        for batch in batched(sorted(wanted), BATCH):
            # "contains": in vCard 4.0 the UID has `urn:uuid:` before it.
            for stored in self._search([("UID", "contains", uid) for uid in batch]):
                contact = mapping.parsed(stored.text, stored.etag)
                if isinstance(contact, Contact) and mapping.member_key(contact.uid or "") in wanted:
                    wanted.discard(mapping.member_key(contact.uid or ""))
                    yield stored, contact

    def _search(self, filters: Sequence[tuple[str, str, str]]) -> Iterable[Stored]:
        """The cards that meet any of the filters, or all cards where the server will not search."""
        try:
            return self._client.query(self._open().url, filters)
        except (Refused, dav.Malformed):
            url = self._open().url
            return self._fetch(list(_cards(self._client.etags(url), urlsplit(url).path)))

    def _keep(self, groups: Groups) -> None:
        self._groups, self._index = groups, mapping.index(groups)

    def _known_groups(self) -> Groups:
        """The group cards as `changes` left them, or asked for where it has not run."""
        if self._groups is None:
            self._keep(self._group_cards({"all": None}) or {})
        return self._groups or {}

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        self._open()
        self._known_groups()
        for batch in batched(ids, BATCH):
            there = {stored.href: stored for stored in self._fetch(batch)}
            for href in batch:
                stored = there.get(dav.path_of(href))
                if stored is None:
                    yield Record(href, None)
                    continue
                resource = mapping.parsed(stored.text, stored.etag)
                # A group card is no contact; `changes` turns it into its members' groups.
                yield Record(href, None) if isinstance(resource, GroupCard) else self._record(stored, resource)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        refs = {self._href(push.key): push.ref for push in pushes}
        for record in self.read(list(refs)):
            if record.card is not None or record.refused is not None:
                yield refs[record.id], record

    def _fetch(self, hrefs: Sequence[str]) -> Iterator[Stored]:
        """Those of these cards that are there: by multiget, and one by one where it fails or says nothing of them."""
        book = self._open().url
        for batch in batched(hrefs, BATCH):
            try:
                answers, gone = self._client.multiget(book, batch)
            except (dav.Malformed, Refused, Missing):
                # One card with characters that XML cannot hold breaks the answer for all.
                answers, gone = [], set()
            yield from answers
            gone.update(stored.href for stored in answers)
            for href in batch:
                if dav.path_of(href) not in gone:
                    try:
                        yield self._client.get(book, href)
                    except Missing:
                        continue

    def _record(self, stored: Stored, resource: Contact | Unreadable) -> Record:
        if isinstance(resource, Unreadable):
            return Record(stored.href, None, stored.etag, raw=stored.text, refused=resource.reason)
        return Record(
            stored.href,
            mapping.view(resource, self._index),
            stored.etag,
            key=resource.uid,
            raw=stored.text,
            blobs=resource.blobs,
        )

    def _href(self, key: str) -> str:
        return dav.path_of(urlsplit(self._open().url).path + quote(key, safe="") + ".vcf")

    # --- writing -----------------------------------------------------------------------------------------------

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        self._open()
        self._known_groups()
        for batch in batched(pushes, PROOF):
            yield from self._write(batch)

    def _write(self, batch: Sequence[Push]) -> Iterator[Outcome]:
        """Outcomes come at once, but for those that wait for a group card, or for the proof of what was stored."""
        waiting: list[Sent] = []
        try:
            for push in batch:
                try:
                    result = self._delete(push) if push.card is None else self._put(push, push.card)
                except (Refused, Stale, Missing, Uncertain) as error:
                    yield Outcome(push.ref, error=error)
                    continue
                if isinstance(result, Record):
                    yield Outcome(push.ref, result)
                elif result.proven and not result.moves:
                    yield self._outcome(result)
                else:
                    waiting.append(result)
            yield from self._finish(waiting)
        except ENDING:
            # What was stored is told before the run ends.
            for sent in waiting:
                yield self._outcome(sent, _UNFINISHED if sent.moves or not sent.stored.etag else None)
            raise

    def _put(self, push: Push, card: Card) -> Sent | Record:
        """Store one card. Gives the held record where nothing differs."""
        if card.get("kind") == "group":
            raise Refused("a contact group is not written as a contact")
        held = push.held
        # Without UID nobody is a member of a group card: such a contact has its groups in itself.
        groups = self._known_groups() if held is None or held.key else {}
        if held is None or held.card is None:
            href, etag = self._href(push.key), None
            change = mapping.moves(push.key, None, card, groups)
            text = mapping.composed(card, push.key, self._open().version, groups, push.blob)
        else:
            href, etag = held.id, held.version
            change = mapping.moves(held.key, held.card, card, groups)
            text = mapping.amended(held.raw, held.card, card, groups, push.blob)
            if text == held.raw:
                return Sent(push, Stored(href, etag, text), True, change) if change else held
            if etag is None:
                raise Refused(f"{href} has no ETag; it cannot be changed without the risk of losing somebody's edit")
        self._fits_in(href, text)
        try:
            told = self._client.put(self._open().url, href, text, etag)
        except Stale as stale:
            if etag is not None:
                self._look_for(href)
                raise
            raise Uncertain(f"{href} exists already, perhaps by an earlier attempt of ours ({stale})") from None
        return self._proof(push, Stored(href, told, text), change)

    def _look_for(self, href: str) -> None:
        """Raises Missing where a failed condition means that the card is gone (RFC 9110 section 13.1.1)."""
        with contextlib.suppress(*ENDING, Refused, Uncertain):
            self._client.get(self._open().url, href)

    def _fits_in(self, href: str, text: str) -> None:
        most, size = self._open().max_size, len(text.encode())
        if most is not None and size > most:
            raise Refused(f"{href} would have {size:,} bytes; the server takes {most:,} at most")

    def _proof(self, push: Push, sent: Stored, change: Moves) -> Sent:
        """Is what we sent what is stored? A strong ETag promises so (RFC 6352 section 6.3.2.3), but Radicale gives one
        and rewrites the card: the first write shows how far this server can be trusted."""
        if sent.etag is not None and self._faithful is not None:
            return Sent(push, sent, self._faithful, change)
        try:
            stored = self._client.get(self._open().url, sent.href)
        except (Error, dav.Malformed) as error:
            raise Uncertain(f"{sent.href} was stored, but cannot be read back: {error}") from None
        if sent.etag is None:
            return Sent(push, stored, True, change)
        self._faithful = stored.text == sent.text
        return Sent(push, stored if stored.etag == sent.etag else sent, True, change)

    def _finish(self, waiting: list[Sent]) -> Iterator[Outcome]:
        """Change the group cards, read back what is not proven, and tell the outcomes."""
        if not waiting:
            return
        failed = self._regroup(waiting)
        unproven = [sent.stored.href for sent in waiting if not sent.proven]
        there = {stored.href: stored for stored in self._fetch(unproven)} if unproven else {}
        while waiting:
            sent = waiting.pop(0)
            stored = there.get(sent.stored.href, sent.stored)
            # With another ETag it is somebody's later edit: ours is the answer, theirs is news for `changes`.
            if not sent.proven and stored.etag == sent.stored.etag:
                sent = Sent(sent.push, stored, True, sent.moves)
            error = next((failed[href] for href in sent.moves.joins | sent.moves.leaves if href in failed), None)
            yield self._outcome(sent, error)

    def _outcome(self, sent: Sent, error: Error | None = None) -> Outcome:
        if error is not None:
            return Outcome(sent.push.ref, error=error)
        if sent.push.card is None:
            return Outcome(sent.push.ref, Record(sent.stored.href, None))
        resource = mapping.parsed(sent.stored.text, sent.stored.etag)
        if isinstance(resource, GroupCard):
            return Outcome(sent.push.ref, error=Refused(f"{sent.stored.href} is a group card there"))
        return Outcome(sent.push.ref, self._record(sent.stored, resource))

    def _delete(self, push: Push) -> Sent | Record:
        held = push.held
        if held is None:
            raise Refused("there is no record to delete")
        with contextlib.suppress(Missing):  # somebody was faster
            self._client.delete(self._open().url, held.id, held.version)
        change = mapping.moves(held.key, held.card, None, self._known_groups())
        return Sent(push, Stored(held.id, None, ""), True, change) if change else Record(held.id, None)

    # --- group cards -------------------------------------------------------------------------------------------

    def _regroup(self, waiting: Iterable[Sent]) -> dict[str, Error]:
        """Change each group card once for all; gives the errors, by href."""
        joins: dict[str, list[str]] = {}
        leaves: dict[str, list[str]] = {}
        for sent in waiting:
            uid = sent.push.held.key if sent.push.held and sent.push.held.card else sent.push.key
            for href in sent.moves.joins:
                joins.setdefault(href, []).append(uid or "")
            for href in sent.moves.leaves:
                leaves.setdefault(href, []).append(uid or "")
        failed: dict[str, Error] = {}
        for href in sorted(joins.keys() | leaves.keys()):
            try:
                self._change_members(href, joins.get(href, ()), leaves.get(href, ()))
            except (Refused, Stale, Missing, Uncertain) as error:
                failed[href] = Refused(f"the contact is stored, but not its group: {error}")
        return failed

    def _change_members(self, href: str, joins: Sequence[str], leaves: Sequence[str]) -> None:
        book = self._open().url
        for attempt in range(1, TRIES + 1):
            stored = self._client.get(book, href)
            text = mapping.regrouped(stored.text, joins, leaves)
            if text == stored.text:
                break
            try:
                self._client.put(book, href, text, stored.etag)
                break
            except Stale:
                if attempt == TRIES:
                    raise
        group = mapping.parsed(text, None)
        if isinstance(group, GroupCard):
            self._keep({**self._known_groups(), href: group})


_UNFINISHED: Final = Uncertain("the card was stored, but the run ended before all of it was written or proven")


def _notes(book: Book) -> Iterator[str]:
    if not book.writable:
        yield "this account may only read the address book"
    if urlsplit(book.url).scheme == "http":
        yield "the password travels unencrypted (http)"
    if not book.syncs:
        how = "by its ctag and" if book.tags else "by"
        yield f"this server cannot list changes and deletions; they are found {how} comparing listings"
    if book.max_size is not None:
        yield f"a card may have {book.max_size:,} bytes"


def _cards(items: Iterable[dav.Item], own: str) -> dict[str, str | None]:
    """The cards that a listing names, with their versions; not the book itself, nor collections in it."""
    return {
        item.href: strong(item.text(dav.ETAG))
        for item in items
        if item.status is None
        and item.href.rstrip("/") != own.rstrip("/")
        and not item.href.endswith("/")
        and dav.D + "collection" not in item.names(dav.RESOURCE_TYPE)
    }
