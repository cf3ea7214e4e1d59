"""The contract, kept with a remote in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from connectors.card import Card
from connectors.consent import Channel, Consent, place_key
from connectors.contract import Account, Context, Outcome, Page, Push, Record, batched
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
from connectors.memory.mapping import Cells
from connectors.memory.remote import Lost, MemoryRemote, State, Status, Write


class MemoryConnector:
    """The connector of a `MemoryRemote`. secret: the account's password, by default the right one."""

    def __init__(self, remote: MemoryRemote, context: Context | None = None, secret: str | None = None) -> None:
        self.remote, self.profile = remote, remote.profile
        self.capabilities = remote.profile.capabilities
        self._context = context
        self._secret = remote.secret if secret is None else secret

    def fit(self, card: Card, held: Card | None) -> Card:
        return self.profile.fit(card, held)

    def check(self) -> Account:
        me = self._get(self.remote.whoami)
        return Account(label=me["account"], clock=me["now"])

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        if self.profile.listing == "versions":
            yield from self._versions(cursor)
        elif cursor is None or (isinstance(cursor, dict) and "after" in cursor):
            yield from self._everything(cursor)
        else:
            yield from self._news(cursor)

    def _everything(self, cursor: Any | None) -> Iterator[Page]:
        """Every record; a listing that was broken off goes on at its cursor, but then proves no deletion."""
        place = cursor or {}
        after: int | None = place.get("after", 0)
        while after is not None:
            page = self._get(self.remote.listing, after)
            after = page["next"]
            if not place:
                place = {"epoch": page["epoch"], "seq": page["seq"]}
            at = {"epoch": place["epoch"], "seq": place["seq"]}
            yield Page(
                records=[self._record(state) for state in page["records"]],
                cursor=at if after is None else {**at, "after": after},
                complete=after is None and cursor is None,
            )

    def _news(self, cursor: Any) -> Iterator[Page]:
        if not isinstance(cursor, dict):
            raise CursorExpired("this cursor is not one of ours; a full listing is needed")
        epoch, seq, more = cursor.get("epoch"), cursor.get("seq"), True
        while more:
            page = self._get(self.remote.news, epoch, seq)
            seq, more = page["seq"], page["more"]
            yield Page(records=[self._record(s) for s in page["records"]], cursor={"epoch": epoch, "seq": seq})
        if not self.profile.tombstones:
            yield from self._present({"epoch": epoch, "seq": seq})

    def _present(self, cursor: Any) -> Iterator[Page]:
        """The ids of all records, so that what is gone can be told."""
        after: int | None = 0
        while after is not None:
            page = self._get(self.remote.listing, after)
            after = page["next"]
            yield Page(listed={s.id: None for s in page["records"]}, cursor=cursor, complete=after is None)

    def _versions(self, cursor: Any | None) -> Iterator[Page]:
        """Ids and versions of all records, if anything happened since the cursor."""
        after: int | None = 0
        start: dict[str, Any] | None = None
        while after is not None:
            page = self._get(self.remote.listing, after)
            start = start or {"epoch": page["epoch"], "seq": page["seq"]}
            if cursor == start:
                yield Page(cursor=start)
                return
            after = page["next"]
            yield Page(
                listed={s.id: s.version for s in page["records"]},
                cursor=start if after is None else None,
                complete=after is None,
            )

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for some in batched(ids, self.profile.page):
            found = {state.id: state for state in self._get(self.remote.fetch, some)}
            for record_id in some:
                yield self._record(found[record_id]) if record_id in found else Record(record_id, None)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        for push in pushes:
            for state in self._get(self.remote.search, push.key, self.profile.cells(push.card or {})):
                yield push.ref, self._record(state)

    def _record(self, state: State) -> Record:
        card = state.view
        photos = [photo["uri"] for photo in (card or {}).get("media", {}).values()]
        return Record(
            id=state.id,
            card=card,
            version=state.version,
            modified=self._modified(state.at),
            key=state.key,
            blobs={uri: self.remote.blobs[uri] for uri in photos},
            consents=self._consents(state) if card is not None else (),
        )

    def _consents(self, state: State) -> list[Consent]:
        """Every place that the record has: a flag is about the channel, a status about the one address."""
        found = []
        for channel, kind in self.profile.consents.items():
            address = _address(state.cells or {}) if kind == "status" else ""
            if kind == "flag" or address:
                said = state.consents.get(channel, Consent(channel, "", "unknown"))
                shown = said.state if kind == "status" or said.state == "withdrawn" else "unknown"
                found.append(replace(said, address=address, state=shown))
        return found

    def _modified(self, at: datetime) -> datetime | None:
        if not self.profile.modified:
            return None
        return datetime.fromtimestamp(at.timestamp() // tick * tick, UTC) if (tick := self.profile.tick) else at

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        for some in batched(pushes, self.capabilities.batch):
            yield from self._batch(some)

    def _batch(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        due: list[tuple[Push, Write]] = []
        for push in pushes:
            write = self._difference(push)
            if write is None:
                yield Outcome(push.ref, push.held)
            else:
                due.append((push, write))
        if not due:
            return
        try:
            answers = self._call(self.remote.send, [write for _, write in due])
        except (Uncertain, Refused) as failed:
            yield from (Outcome(push.ref, error=failed) for push, _ in due)
            return
        yield from self._outcomes([push for push, _ in due], answers)

    def _outcomes(self, pushes: Sequence[Push], answers: Sequence[Any]) -> Iterator[Outcome]:
        """What the remote made of the writes; read back where its answer does not tell."""
        unread: dict[str, Push] = {}
        for push, answer in zip(pushes, answers, strict=True):
            if isinstance(answer, Status):
                yield Outcome(push.ref, error=reaction(answer))
            elif push.card is None:
                record_id = push.held.id if push.held else push.ref
                yield Outcome(push.ref, Record(record_id, None))
            elif isinstance(answer, State):
                yield Outcome(push.ref, self._record(answer))
            else:
                unread[answer[0]] = push
        yield from self._read_back(unread)

    def _read_back(self, unread: dict[str, Push]) -> Iterator[Outcome]:
        """Written, but not shown. What cannot be read back now took effect all the same."""
        reason = "it is gone again"
        try:
            for record in self.read(list(unread)):
                if record.card is not None:
                    yield Outcome(unread.pop(record.id).ref, record)
        except Error as failed:
            reason = str(failed)
        for push in unread.values():
            yield Outcome(push.ref, error=Uncertain(f"written, but not read back: {reason}"))

    def _difference(self, push: Push) -> Write | None:
        """The write that makes the record what the push wants; None where it is that already."""
        if push.held is None:
            cells = self.profile.cells(push.card or {})
            said = self._said(push, _address(cells))
            return Write(None, self._photos(push, cells), key=push.key, consents=said)
        if push.card is None:
            return Write(push.held.id, None, push.held.version)
        before, after = self.profile.cells(push.held.card or {}), self.profile.cells(push.card)
        paths = {**before, **after}
        changes = {path: after.get(path) for path in paths if before.get(path) != after.get(path)}
        said = self._said(push, _address(before))
        if not changes and not said:
            return None
        return Write(push.held.id, self._photos(push, changes), push.held.version, consents=said)

    def _said(self, push: Push, address: str) -> dict[Channel, Consent]:
        """What must be written to the record's own places."""
        places = {
            channel: "" if kind == "flag" else place_key(channel, address)
            for channel, kind in self.profile.consents.items()
        }
        return {c.channel: c for c in push.consents if places.get(c.channel, "-") == c.place[1]}

    def _photos(self, push: Push, cells: Cells) -> Cells:
        """The cells with photos uploaded, named as the remote names them."""
        named = dict(cells)
        for path, uri in cells.items():
            if path[0] == "media" and path[-1] == "uri" and uri is not None:
                named[path] = self._get(self.remote.upload, push.blob(uri))
        return named

    # -- requests

    def _get(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        """A request that may be repeated: without an answer, nothing took effect."""
        try:
            return self._call(endpoint, *parts)
        except Uncertain as unknown:
            raise Unreachable(str(unknown)) from None

    def _call(self, endpoint: Callable[..., Any], *parts: Any) -> Any:
        if self._context:
            self._context.requests("POST" if endpoint == self.remote.send else "GET", 0, 0)
        try:
            answer = endpoint(self._secret, *parts)
        except Status as status:
            raise reaction(status) from None
        except Lost:
            raise Uncertain("the connection broke before an answer came") from None
        if isinstance(answer, str) and endpoint != self.remote.upload:
            raise Uncertain("a web page came in place of an answer; is the remote in maintenance?")
        return answer

    def close(self) -> None:
        """Nothing is held open."""


def _address(cells: Cells) -> str:
    """The e-mail address of a record that has one."""
    return next((str(v) for path, v in cells.items() if path[0] == "emails" and path[-1] == "address"), "")


def reaction(status: Status) -> Error:
    """What a status asks us to do."""
    if status.code == 429:
        return Throttled(str(status), status.retry_after)
    kinds: Mapping[int, type[Error]] = {
        401: Unauthorised,
        404: Missing,
        409: Refused,
        410: CursorExpired,
        412: Stale,
        413: Refused,
        422: Refused,
        503: Unreachable,
    }
    return kinds.get(status.code, Uncertain)(str(status))
