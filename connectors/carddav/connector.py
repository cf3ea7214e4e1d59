"""The contract for CardDAV (see the package's docstring for what servers do)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from connectors import vcard
from connectors.card import Card
from connectors.carddav import dav, mapping
from connectors.carddav.addressbook import BATCH, AddressBook
from connectors.carddav.client import CardDAVSettings, Client, Stored
from connectors.carddav.discovery import Book
from connectors.carddav.kept import Kept
from connectors.carddav.mapping import Contact, GroupCard, Groups, Unreadable
from connectors.carddav.services import DNS, Resolver
from connectors.carddav.writing import Writer
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import CursorExpired, Missing, Refused, Unreachable
from connectors.http import server_time

FEW: Final = 100
"""Up to this many changed cards are read at once; of more, only their names are told and group cards are asked for."""
PAGE: Final = 1000
"""Most cards named on one page."""


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


class CardDAV:
    """One address book. resolver: answers for the DNS; None: this machine's does."""

    capabilities = Capabilities(fields=mapping.FIELDS, tombstones=True, conditional=True, batch=1)

    def __init__(self, settings: CardDAVSettings, context: Context, resolver: Resolver | None = None) -> None:
        self._client = Client(settings, context, resolver or DNS())
        self._book = AddressBook(self._client, settings.address_book, context)
        self._writer = Writer(self._client, self._book, Kept(context))

    def fit(self, card: Card, held: Card | None) -> Card:
        return vcard.fit_vcard(card)

    def close(self) -> None:
        self._client.close()

    # --- who and where -----------------------------------------------------------------------------------------

    def check(self) -> Account:
        book = self._book.discover()
        answer = self._client.options(book.url)
        able = {word.strip() for word in answer.headers.get("dav", "").split(",")}
        if "addressbook" not in able:
            raise Unreachable(
                f"{book.url} is served by WebDAV without CardDAV (its DAV header lacks `addressbook`); check the url"
            )
        server = answer.headers.get("server", "")
        where = urlsplit(book.url)
        label = f"{book.name} of {self._client.username or 'nobody'} at {where.netloc}" + (server and f" ({server})")
        notes = list(_notes(book, self._client))
        return Account(label, notes, server_time(answer))

    # --- what changed ------------------------------------------------------------------------------------------

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        if cursor is None:
            state = Cursor(self._book.account, self._book.discover())
        else:
            try:
                state = Cursor.load(cursor)
            except (KeyError, TypeError):
                raise CursorExpired("the cursor was made by another version of this connector") from None
            if state.account != self._book.account:
                raise CursorExpired("the settings name another address book now")
        self._book.recall(state.book, state.groups)
        try:
            yield from self._sync(state) if state.book.syncs else self._compare(state)
        except dav.Malformed as broken:
            raise Unreachable(f"the server's listing cannot be read: {broken}") from None
        except Missing as gone:
            kind = Unreachable if cursor is None else CursorExpired
            raise kind(f"the address book {state.book.name!r} is no longer there: {gone}") from None
        except Unreachable:
            if cursor is None or not self._book.moved():
                raise
            raise CursorExpired(f"the DNS of {self._client.domain} names another server now") from None

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
            more = any(item.status == 507 for item in answer.items)
            if answer.token is None or (more and answer.token == token):
                raise Unreachable("the server's list of changes has no new sync token; it cannot be gone on from")
            token = answer.token
            gone = [] if full else [item.href for item in answer.items if item.status == 404]
            yield from self._pages(self._book.named(answer.items), gone, full, not more, state, token=token)
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
        cards = self._book.named(items)
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
        moved = Cursor(state.account, state.book, token, ctag, self._book.groups)
        yield Page(records, dict(rest), moved.dump() if last or not full else None, complete=full and last, total=total)

    def _sorted(
        self, named: dict[str, str | None], gone: Sequence[str], full: bool
    ) -> tuple[list[Record], dict[str, str | None]]:
        """Contacts apart from group cards: records, and names with versions that the engine may read."""
        before = self._book.groups
        records: list[Record] = [Record(href, None) for href in gone if href not in before]
        if not named and not gone:
            return records, {}
        after = {href: group for href, group in before.items() if href not in gone}
        contacts: dict[str, tuple[Stored, Contact | Unreadable]] = {}
        found = self._book.group_cards() if full or len(named) > FEW else None
        if found is not None:
            after = {href: group for href, group in after.items() if href not in named} | found
            listed = {href: etag for href, etag in named.items() if href not in after}
        else:
            listed = dict(named)
            for stored in self._book.fetch(list(named)):
                after.pop(stored.href, None)
                resource = mapping.parsed(stored.text, stored.etag)
                if isinstance(resource, GroupCard):
                    after[stored.href] = resource
                    listed.pop(stored.href, None)
                else:
                    contacts[stored.href] = stored, resource
        self._book.keep(after)
        # Whoever joined or left a group shows that, although the card is what it was.
        contacts = {**self._book.by_uid(mapping.touched(before, after)), **contacts}
        for stored, contact in contacts.values():
            listed.pop(stored.href, None)
            records.append(self._book.record(stored, contact))
        return records, listed

    # --- reading -----------------------------------------------------------------------------------------------

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for batch in batched(ids, BATCH):
            there = {stored.href: stored for stored in self._book.fetch(batch)}
            for href in batch:
                stored = there.get(dav.path_of(href))
                if stored is None:
                    yield Record(href, None)
                    continue
                resource = mapping.parsed(stored.text, stored.etag)
                # A group card is no contact; `changes` turns it into its members' groups.
                yield Record(href, None) if isinstance(resource, GroupCard) else self._book.record(stored, resource)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        refs = {self._book.href(push.key): push.ref for push in pushes}
        for record in self.read(list(refs)):
            if record.card is not None or record.refused is not None:
                yield refs[record.id], record

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return self._writer.write(pushes)


def _notes(book: Book, client: Client) -> Iterator[str]:
    where = urlsplit(book.url)
    if where.hostname != urlsplit(client.url).hostname:
        yield f"found at {where.netloc} by the DNS of {client.domain}"
    if not book.writable:
        yield "this account may only read the address book"
    if where.scheme == "http":
        what = "contacts travel" if client.login.digests else "contacts and the password travel"
        yield f"{what} unencrypted (http)"
    if not book.syncs:
        how = "by its ctag and" if book.tags else "by"
        yield f"this server cannot list changes and deletions; they are found {how} comparing listings"
    if book.max_size is not None:
        yield f"a card may have {book.max_size:,} bytes"
