"""One address book: its cards however they must be asked for, and the group cards in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote, urlsplit
from uuid import NAMESPACE_URL, uuid5

from connectors.carddav import dav, mapping
from connectors.carddav.client import Client, Stored, strong
from connectors.carddav.discovery import Book, discover
from connectors.carddav.mapping import Contact, GroupCard, Groups, Unreadable
from connectors.contract import Context, Record, batched
from connectors.errors import Error, Missing, Refused, Stale, Uncertain, Unreachable

FOUND: Final = "found"
BATCH: Final = 100
"""Cards per multiget. On Radicale and Xandikos 100 to 200 are fastest per card; larger ones only need more memory."""
TRIES: Final = 3
"""How often a group card is changed again when somebody else changed it meanwhile."""
NAMESAKES: Final = 50
"""How many group cards may have been made under one name, and renamed since."""


class AddressBook:
    """The address book of a connection. It is looked for, and its group cards are asked for, when first needed; where
    it was found is remembered from run to run.

    wanted: which one, by display name or path; None: the only one.
    """

    def __init__(self, client: Client, wanted: str | None, context: Context) -> None:
        self._client, self._wanted, self._remember = client, wanted, context.remember
        known = context.memory.get(FOUND, {})
        self._book = Book.load(known["book"]) if known.get("account") == self.account else None
        if self._book is not None:
            client.move(self._book.url)
        self._groups: Groups | None = None
        self._index: mapping.Index = {}
        self._unmade: dict[str, str] = {}

    @property
    def account(self) -> list[str | None]:
        """What it was looked for by: with other settings it may be another one."""
        return [self._client.url, self._client.username, self._wanted]

    def discover(self) -> Book:
        """Look for it anew."""
        self._book = discover(self._client, self._wanted)
        self._remember(FOUND, {"account": self.account, "book": self._book.dump()})
        return self._book

    def recall(self, book: Book, groups: Groups) -> None:
        """Take both as they were known at the end of an earlier run."""
        self._book = book
        self._client.move(book.url)
        self._unmade = {}
        self.keep(groups)

    def moved(self) -> bool:
        """Does the DNS that led us to its host lead to others by now?"""
        host = urlsplit(self.book.url).netloc
        if host == urlsplit(self._client.url).netloc:
            return False
        hosts = {urlsplit(place.url).netloc for place in self._client.announced() if place.ours}
        return bool(hosts) and host not in hosts

    @property
    def book(self) -> Book:
        return self._book or self.discover()

    @property
    def groups(self) -> Groups:
        """The group cards as last seen, and those that are about to be made (`expect`)."""
        if self._groups is None:
            self.keep(self.group_cards() or {})
        return self._groups or {}

    @property
    def members(self) -> mapping.Index:
        """Who is in which of them."""
        return self._index if self.groups else {}

    def keep(self, groups: Groups) -> None:
        """From now on these are the group cards."""
        self._groups, self._index = groups, mapping.index(groups)

    def href(self, key: str) -> str:
        """Where a card of ours is put."""
        return dav.path_of(urlsplit(self.book.url).path + quote(key, safe="") + ".vcf")

    def record(self, stored: Stored, resource: Contact | Unreadable) -> Record:
        """A contact with the groups it is in; a refused record where it cannot be read."""
        if isinstance(resource, Unreadable):
            card, reason = resource.card or None, resource.reason
            return Record(stored.href, card, stored.etag, raw=stored.text, refused=reason)
        card = mapping.view(resource, self.members)
        return Record(stored.href, card, stored.etag, key=resource.uid, raw=stored.text, blobs=resource.blobs)

    # --- cards -------------------------------------------------------------------------------------------------

    def named(self, items: Iterable[dav.Item]) -> dict[str, str | None]:
        """The cards that a listing names, with their versions; not the book itself, nor collections in it."""
        own = urlsplit(self.book.url).path.rstrip("/")
        return {
            item.href: strong(item.text(dav.ETAG))
            for item in items
            if item.status is None
            and item.href.rstrip("/") != own
            and not item.href.endswith("/")
            and dav.D + "collection" not in item.names(dav.RESOURCE_TYPE)
        }

    def fetch(self, hrefs: Sequence[str]) -> Iterator[Stored]:
        """Those of these cards that are there: by multiget, and one by one where it fails or says nothing of them.

        Raises Unreachable where the address book is gone: its cards must not be taken for deleted one by one.
        """
        for batch in batched(hrefs, BATCH):
            answers, gone = self._together(batch)
            told = gone.union(stored.href for stored in answers)
            answers += self._singly(href for href in batch if dav.path_of(href) not in told)
            if not answers:
                self.still_there()
            yield from answers

    def _together(self, hrefs: Sequence[str]) -> tuple[list[Stored], set[str]]:
        """A multiget. It fails as a whole where one card holds what XML cannot, and on servers without it."""
        try:
            return self._client.multiget(self.book.url, hrefs)
        except (dav.Malformed, Refused, Missing):
            return [], set()

    def _singly(self, hrefs: Iterable[str]) -> Iterator[Stored]:
        for href in hrefs:
            with contextlib.suppress(Missing):
                yield self._client.get(self.book.url, href)

    def still_there(self) -> None:
        """Raises Unreachable where the address book itself is gone."""
        try:
            self._client.ctag(self.book.url)
        except Missing as missing:
            raise Unreachable(f"the address book {self.book.name!r} is no longer there: {missing}") from None

    def search(self, filters: Sequence[tuple[str, str, str]]) -> Iterable[Stored]:
        """The cards that meet any of the filters, or all cards where the server will not search."""
        try:
            return self._client.query(self.book.url, filters)
        except (Refused, dav.Malformed):
            return self.fetch(list(self.named(self._client.etags(self.book.url))))

    def by_uid(self, members: Iterable[str]) -> dict[str, tuple[Stored, Contact]]:
        """The contacts with these UIDs, by href."""
        wanted = set(members)
        found: dict[str, tuple[Stored, Contact]] = {}
        for batch in batched(sorted(wanted), BATCH):
            # "contains": in vCard 4.0 the UID has `urn:uuid:` before it.
            for stored in self.search([("UID", "contains", uid) for uid in batch]):
                contact = mapping.parsed(stored.text, stored.etag)
                if isinstance(contact, Contact) and mapping.member_key(contact.uid or "") in wanted:
                    found[stored.href] = stored, contact
        return found

    # --- group cards -------------------------------------------------------------------------------------------

    def group_cards(self) -> dict[str, GroupCard] | None:
        """The group cards there are now; None where the server cannot search for them."""
        answers = self._group_texts()
        return None if answers is None else _group_cards(answers)

    def _group_texts(self) -> list[Stored] | None:
        try:
            return self._client.query(self.book.url, mapping.GROUP_FILTERS)
        except (Refused, dav.Malformed):
            return None
        except Missing:
            self.still_there()
            return None

    def expect(self, names: Iterable[str]) -> None:
        """Somebody is about to join groups of these names. In an address book where groups are cards, those that are
        new here become cards as well, made with their first members; where there is no group card at all, and of what
        contacts here have as a category, nothing is made: they are categories."""
        joined = list(names)
        new = mapping.new_groups(joined, self.groups) if joined else []
        if not new or not self.groups:
            return
        # Asked anew, for somebody may have made one of them meanwhile.
        texts = self._group_texts() or list(self.fetch(list(self.groups)))
        there = _group_cards(texts)
        known = {**self.groups, **there}
        new = mapping.new_groups(new, known)
        like = next((stored.text for stored in texts if stored.href in there), None)
        if new and like is not None:
            categories = self._categories(new)
            for name in (name for name in new if mapping.fold(name) not in categories):
                href = next((href for href, _ in self._places(name) if href not in known), None)
                if href is not None:  # else it was renamed so often that it becomes a category
                    known[href] = GroupCard(name, frozenset(), None)
                    self._unmade[href] = like
        self.keep(known)

    def _categories(self, names: Sequence[str]) -> set[str]:
        """The folded names of the categories that contacts here have, as far as they contain one of these names."""
        try:
            answers = self._client.query(self.book.url, [("CATEGORIES", "contains", name) for name in names])
        except (Refused, Missing, dav.Malformed):
            return set()
        contacts = (mapping.parsed(stored.text, None) for stored in answers)
        return {name for found in contacts if isinstance(found, Contact) for name in mapping.group_names(found.card)}

    def _places(self, name: str) -> Iterator[tuple[str, str]]:
        """Where a group card of this name is made, and its UID: always the same, so that it is not made twice; further
        ones where groups that were made there have other names by now."""
        for number in range(NAMESAKES):
            uid = str(uuid5(NAMESPACE_URL, f"{self.book.url}#{mapping.fold(name)}#{number}"))
            yield self.href(uid), uid

    def regroup(self, href: str, joins: Sequence[str], leaves: Sequence[str]) -> None:
        """Add and remove members (UIDs) of one group card, or make it. Raises Stale, Missing, Refused, Uncertain."""
        groups = dict(self.groups)
        if href in self._unmade:
            place, text = self._made(groups.pop(href).name, self._unmade[href], joins)
            del self._unmade[href]
        else:
            place, text = href, self._changed(href, joins, leaves)
        # Without its version: `changes` will look at it again, and finds what others changed in it.
        group = mapping.parsed(text, None)
        if isinstance(group, GroupCard):
            self.keep({**groups, place: group})

    def _made(self, name: str, like: str, members: Sequence[str]) -> tuple[str, str]:
        """Make a group card in the dialect of another: where, and its text."""
        for href, uid in self._places(name):
            text = mapping.grouped(like, name, uid, members)
            try:
                self._client.put(self.book.url, href, text, None)
            except (Stale, Uncertain) as error:
                # Something is there already, or perhaps: by an attempt of ours whose answer was lost, or made as this
                # group and renamed since.
                if self._is_group(href, name, error):
                    return href, self._changed(href, members, ())
            else:
                return href, text
        raise Refused(f"the address book has {NAMESAKES} groups that were once called {name!r}; remove some")

    def _is_group(self, href: str, name: str, error: Error) -> bool:
        """Is there a group card of this name? Raises the error of an attempt to make it, where nothing is there."""
        try:
            there = mapping.parsed(self._client.get(self.book.url, href).text, None)
        except Missing:
            raise error from None
        return isinstance(there, GroupCard) and mapping.fold(there.name) == mapping.fold(name)

    def _changed(self, href: str, joins: Sequence[str], leaves: Sequence[str]) -> str:
        """Add and remove members of a group card that is there; its text then."""
        for attempt in range(1, TRIES + 1):
            stored = self._client.get(self.book.url, href)
            text = mapping.regrouped(stored.text, joins, leaves)
            if text == stored.text:
                break
            try:
                self._client.put(self.book.url, href, text, stored.etag)
                break
            except Stale:
                if attempt == TRIES:
                    raise
        return text


def _group_cards(answers: Iterable[Stored]) -> dict[str, GroupCard]:
    resources = ((stored.href, mapping.parsed(stored.text, stored.etag)) for stored in answers)
    return {href: group for href, group in resources if isinstance(group, GroupCard)}
