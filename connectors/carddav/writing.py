"""Writing into an address book: one request a card, and what proves that it was stored."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from connectors.card import Card
from connectors.carddav import dav, mapping
from connectors.carddav.addressbook import AddressBook
from connectors.carddav.client import Client, Stored
from connectors.carddav.kept import Kept
from connectors.carddav.mapping import Contact, GroupCard, Moves
from connectors.contract import Outcome, Push, Record, batched
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable

PROOF: Final = 50
"""Writes that are read back in one request, where it is not known that the server keeps them."""
AHEAD: Final = 2
"""Writes that are on their way or next: whoever is killed then has no more of them to look for."""
HEAD_START: Final = 0.001
"""Seconds that the next write has to go out before we work on: only one thread of Python works at a time, and a server
that waits is time lost."""
ENDING: Final = (Throttled, Unreachable, Unauthorised)
"""Errors that end a run."""
UNFINISHED: Final = "the card was stored, but the run ended before all of it was written or proven"


@dataclass(frozen=True, slots=True)
class Draft:
    """A card about to be sent. etag: the version that it replaces; None: it is new. trusted: the server keeps such
    cards. moves: as in `Sent`."""

    push: Push
    href: str
    etag: str | None
    text: str
    trusted: bool
    moves: Moves


@dataclass(frozen=True, slots=True)
class Sent:
    """A card that the server took. stored: as we know it, which is as it is (`seen`), as it was sent to a server that
    keeps such cards (`trusted`), or as it was sent and yet to be read back (`due`). moves: the group cards that are
    still to change."""

    push: Push
    stored: Stored
    proof: Literal["seen", "trusted", "due"]
    moves: Moves


Composed = Draft | Sent | Record | Error | None
"""What is to be sent, None for a deletion; or what has become of it already."""


class Writer:
    """Writes into one address book."""

    def __init__(self, client: Client, book: AddressBook, kept: Kept) -> None:
        self._client, self._book, self._kept = client, book, kept

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """As the contract's `write`. A card costs one request, and two more for each group card that it joins or leaves
        with others; a group card that is made costs one, and two for looking. See `_proof` for when it costs more."""
        for batch in batched(pushes, PROOF):
            yield from self._write(batch)

    def _write(self, batch: Sequence[Push]) -> Iterator[Outcome]:
        """Outcomes come at once, but for those that wait for a group card, or for the proof of what was stored."""
        waiting: list[Sent] = []
        self._book.expect(name for push in batch for name in _joined(push))
        try:
            for push, result in self._in_a_row(batch):
                if isinstance(result, Error):
                    yield Outcome(push.ref, error=result)
                elif isinstance(result, Record):
                    yield Outcome(push.ref, result)
                elif result.proof != "due" and not result.moves:
                    yield self._outcome(result)
                else:
                    waiting.append(result)
            yield from self._finish(waiting)
        except ENDING:
            # What was stored is told before the run ends.
            for sent in waiting:
                yield self._outcome(sent, Uncertain(UNFINISHED) if sent.moves or not sent.stored.etag else None)
            raise

    def _in_a_row(self, batch: Sequence[Push]) -> Iterator[tuple[Push, Sent | Record | Error]]:
        """What became of each, in order. While one is told and another composed, the next is on its way: Xandikos
        refuses two at once (423 Locked), but no server waits for us. After an error that ends the run nothing more is
        sent."""
        if any(push.card is None or push.held is None or push.held.key for push in batch):
            self._book.groups  # noqa: B018 asked for before anything is on its way
        ended = threading.Event()

        def send(push: Push, draft: Composed) -> Sent | Record | Error | None:
            try:
                return None if ended.is_set() else self._send(push, draft)
            except ENDING:
                ended.set()
                raise

        left, around = iter(batch), copy_context()  # what the lane tells is of this run, too
        row: deque[tuple[Push, Future[Sent | Record | Error | None]]] = deque()
        with ThreadPoolExecutor(1) as lane:
            try:
                while True:
                    for push in islice(left, AHEAD - len(row)):
                        row.append((push, lane.submit(around.run, send, push, self._composed(push))))
                    if not row:
                        break
                    push, sent = row.popleft()
                    result = sent.result()
                    wait([future for _, future in row], timeout=HEAD_START)
                    if result is not None:
                        yield push, result
            finally:
                ended.set()

    def _composed(self, push: Push) -> Composed:
        try:
            return self._draft(push, push.card) if push.card is not None else None
        except Refused as error:
            return error

    def _draft(self, push: Push, card: Card) -> Draft | Sent | Record:
        """The text that the card shall have. Gives the held record where nothing differs. Raises Refused."""
        if card.get("kind") == "group":
            raise Refused("a contact group is not written as a contact")
        held = push.held
        # Without UID nobody is a member of a group card: such a contact has its groups in itself.
        groups = self._book.groups if held is None or held.key else {}
        if held is None or held.card is None:
            href, etag = self._book.href(push.key), None
            change = mapping.moves(push.key, None, card, groups)
            text = mapping.composed(card, push.key, self._book.book.version, groups, push.blob)
        else:
            href, etag = held.id, held.version
            change = mapping.moves(held.key, held.card, card, groups)
            text = mapping.amended(held.raw, held.card, card, groups, push.blob)
            if text == held.raw:
                return Sent(push, Stored(href, etag, text), "seen", change) if change else held
            if etag is None:
                raise Refused(f"{href} has no ETag; it cannot be changed without the risk of losing somebody's edit")
        self._fits_in(href, text)
        return Draft(push, href, etag, text, self._kept.keeps(text), change)

    def _send(self, push: Push, draft: Composed) -> Sent | Record | Error:
        try:
            if draft is None:
                return self._delete(push)
            return self._put(draft) if isinstance(draft, Draft) else draft
        except (Refused, Missing) as error:
            if push.held is None:
                self._book.still_there()  # it is where it was found once, perhaps long ago
            return error
        except (Stale, Uncertain) as error:
            return error

    def _put(self, draft: Draft) -> Sent:
        """Store one card."""
        href, etag = draft.href, draft.etag
        try:
            told = self._client.put(self._book.book.url, href, draft.text, etag)
        except Stale as stale:
            if etag is not None:
                self._look_for(href)
                raise
            raise Uncertain(f"{href} exists already, perhaps by an earlier attempt of ours ({stale})") from None
        return self._proof(draft, Stored(href, told, draft.text))

    def _look_for(self, href: str) -> None:
        """Raises Missing where a failed condition means that the card is gone (RFC 9110 section 13.1.1)."""
        with contextlib.suppress(*ENDING, Refused, Uncertain):
            self._client.get(self._book.book.url, href)

    def _fits_in(self, href: str, text: str) -> None:
        most, size = self._book.book.max_size, len(text.encode())
        if most is not None and size > most:
            raise Refused(f"{href} would have {size:,} bytes; the server takes {most:,} at most")

    def _proof(self, draft: Draft, sent: Stored) -> Sent:
        """Is what we sent what is stored?"""
        if sent.etag is not None:
            return Sent(draft.push, sent, "trusted" if draft.trusted else "due", draft.moves)
        try:
            stored = self._client.get(self._book.book.url, sent.href)
        except (Error, dav.Malformed) as error:
            raise Uncertain(f"{sent.href} was stored, but cannot be read back: {error}") from None
        return Sent(draft.push, stored, "seen", draft.moves)

    def _finish(self, waiting: list[Sent]) -> Iterator[Outcome]:
        """Change the group cards, read back what is not proven, and tell the outcomes."""
        if not waiting:
            return
        failed = self._regroup(waiting)
        due = [sent.stored.href for sent in waiting if sent.proof == "due"]
        there = {stored.href: stored for stored in self._book.fetch(due)} if due else {}
        while waiting:
            sent = waiting.pop(0)
            stored = there.get(sent.stored.href)
            # With another ETag it is somebody's later edit: ours is the answer, theirs is news for `changes`.
            if sent.proof == "due" and stored is not None and stored.etag == sent.stored.etag:
                self._kept.proven(sent.stored.text, same=_meaning(stored.text) == _meaning(sent.stored.text))
                sent = Sent(sent.push, stored, "seen", sent.moves)
            error = next((failed[href] for href in sent.moves.joins | sent.moves.leaves if href in failed), None)
            yield self._outcome(sent, error)
        self._kept.save()

    def _outcome(self, sent: Sent, error: Error | None = None) -> Outcome:
        if error is not None:
            return Outcome(sent.push.ref, error=error)
        if sent.push.card is None:
            return Outcome(sent.push.ref, Record(sent.stored.href, None))
        resource = mapping.parsed(sent.stored.text, sent.stored.etag)
        if isinstance(resource, GroupCard):
            return Outcome(sent.push.ref, error=Refused(f"{sent.stored.href} is a group card there"))
        return Outcome(sent.push.ref, self._book.record(sent.stored, resource), proven=sent.proof == "seen")

    def _delete(self, push: Push) -> Sent | Record:
        held = push.held
        if held is None:
            raise Refused("there is no record to delete")
        with contextlib.suppress(Missing):  # somebody was faster
            self._client.delete(self._book.book.url, held.id, held.version)
        change = mapping.moves(held.key, held.card, None, self._book.groups)
        return Sent(push, Stored(held.id, None, ""), "seen", change) if change else Record(held.id, None)

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
                self._book.regroup(href, joins.get(href, ()), leaves.get(href, ()))
            except (Refused, Stale, Missing, Uncertain) as error:
                failed[href] = Refused(f"the contact is stored, but not its group: {error}")
        return failed


def _joined(push: Push) -> list[str]:
    """The groups that somebody joins who can be in group cards, which takes a UID."""
    if push.card is None or (push.held is not None and push.held.card is not None and not push.held.key):
        return []
    return mapping.joined(push.held.card if push.held else None, push.card)


def _meaning(text: str) -> Card | None:
    """What a card says, however it is written."""
    resource = mapping.parsed(text, None)
    return resource.card if isinstance(resource, Contact) else None
