"""The remote in memory: its endpoints, its human, its warts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.card import Card, Equivalence, Path, blob_uri
from connectors.consent import Channel, Consent, ConsentState
from connectors.memory.mapping import Cells, Profile
from connectors.sandbox import Faults


class Status(Exception):
    """The remote's answer to a request that failed, numbered as in HTTP."""

    def __init__(self, code: int, words: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.retry_after = code, retry_after


class Lost(Exception):
    """The connection broke."""


@dataclass(frozen=True)
class State:
    """A record at one moment. cells None: deleted. extra: what the remote knows and no card tells. consents: what its
    places for consent say, by channel."""

    id: str
    seq: int
    at: datetime
    cells: Cells | None
    key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    view: Card | None = None
    consents: Mapping[Channel, Consent] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return f"v{self.seq}"


@dataclass(frozen=True, slots=True)
class Write:
    """One write request. id None creates; cells None deletes, else None as a cell's value clears the cell."""

    id: str | None
    cells: Cells | None
    version: str | None = None
    key: str | None = None
    whole: bool = False
    """Put the cells in place of everything the record holds, also of what no card tells."""
    consents: Mapping[Channel, Consent] = field(default_factory=dict)


class MemoryRemote:
    """A remote with one account. Endpoints: `whoami`, `listing`, `news`, `fetch`, `search`, `upload`, `send`. A human
    at its screen: `add`, `edit`, `remove`, `plant`; and what tests look at: `cards`, `card`, `planted`.

    Switches: faults (see `connectors.sandbox.Faults`; requests are named "GET /records", "POST /records create" …),
    lying: an answered version is not the stored one (only for remotes that answer nothing more).
    short_pages: pages hold less than asked for, also nothing, though more is to come. behind: that many latest events
    are not yet seen by reads. reformat: what the remote makes of the cells it is given. shrink: what of a photo.
    secret: the account's password.
    """

    def __init__(self, profile: Profile, now: Callable[[], datetime] | None = None) -> None:
        self.profile = profile
        self.now = now or (lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.faults = Faults()
        self.lying = False
        self.short_pages = False
        self.behind = 0
        self.reformat: Callable[[Cells], Cells] = lambda cells: cells
        self.shrink: Callable[[bytes], bytes] = lambda photo: photo
        self.secret = "open sesame"  # noqa: S105 (nobody's)
        self.blobs: dict[str, bytes] = {}
        self.groups: dict[str, str] = {}
        self.epoch = 1
        self._log: list[State] = []
        self._born: list[str] = []
        self._past: dict[str, list[State]] = {}
        self._lock = threading.RLock()

    # -- the human at the screen, and what tests look at

    def add(self, card: Card) -> str:
        """A new record, made of a card in this remote's view; returns its id."""
        with self._lock:
            return self._create(Write(None, self.profile.cells(card))).id

    def edit(self, record_id: str, card: Card) -> None:
        """The record shows this now. Start from `card(id)` to change a detail."""
        with self._lock:
            before = self._live(record_id)
            after = self.profile.cells(card)
            self._update(before, {path: after.get(path) for path in {**(before.cells or {}), **after}})

    def remove(self, record_id: str) -> None:
        with self._lock:
            self._delete(self._live(record_id))

    def plant(self, record_id: str, name: str, value: Any) -> None:
        """Set a field of the remote that no card knows."""
        with self._lock:
            old = self._live(record_id)
            self._note(old, old.cells, extra={**old.extra, name: value})

    def opt(self, record_id: str, channel: Channel, state: ConsentState, **evidence: str) -> None:
        """A place for consent says this from now on; evidence: the person did it themselves, and this proves it."""
        with self._lock:
            old = self._live(record_id)
            said = Consent(channel, "", state, self.now(), evidence)
            self._note(old, old.cells, old.extra, old.rows, {**old.consents, channel: said})

    def opted(self, record_id: str, channel: Channel) -> ConsentState:
        """What that place says at this moment."""
        said = self._live(record_id).consents.get(channel)
        if said is None or (self.profile.consents.get(channel) == "flag" and said.state != "withdrawn"):
            return "unknown"
        return said.state

    def planted(self, record_id: str) -> Mapping[str, Any]:
        """The fields that no card knows."""
        return self._live(record_id).extra

    def card(self, record_id: str) -> Card | None:
        """What the record shows at this moment, whatever reads show; None where there is none."""
        past = self._past.get(record_id)
        return past[-1].view if past else None

    def cards(self) -> dict[str, Card]:
        """What every living record shows at this moment."""
        with self._lock:
            return {key: card for key in self._born if (card := self.card(key)) is not None}

    def expire_cursors(self) -> None:
        """Forget every client's place."""
        self.epoch += 1

    # -- endpoints

    def whoami(self, secret: str) -> Any:
        return self._serve("GET /me", secret, lambda: {"account": f"{self.profile.title} in memory", "now": self.now()})

    def listing(self, secret: str, after: int = 0) -> Any:
        """A page of every living record: `records`, `next` (None on the last page), `seq` to ask news from."""

        def page() -> Mapping[str, Any]:
            horizon, size, number = self._horizon(), self._size(after), after
            found: list[State] = []
            while number < len(self._born) and len(found) < size:
                state = self._at(self._born[number], horizon)
                number += 1
                if state and state.cells is not None:
                    found.append(state)
            more = number < len(self._born)
            return {"records": found, "next": number if more else None, "seq": horizon, "epoch": self.epoch}

        return self._serve(f"GET /records?after={after}", secret, page)

    def news(self, secret: str, epoch: Any, since: Any) -> Any:
        """A page of what changed after the event `since`: `records`, `seq` to go on from, `more`."""

        def page() -> Mapping[str, Any]:
            horizon = self._horizon()
            if epoch != self.epoch or not isinstance(since, int) or not 0 <= since <= len(self._log):
                raise Status(410, "unknown place")
            end = min(max(horizon, since), since + self._size(since))
            found = [s for s in self._log[since:end] if self._at(s.id, horizon) is s]
            if not self.profile.tombstones:
                found = [state for state in found if state.cells is not None]
            return {"records": found, "seq": end, "more": end < horizon}

        return self._serve(f"GET /news?since={since}", secret, page)

    def fetch(self, secret: str, ids: Sequence[str]) -> Any:
        """These records, those that live."""

        def records() -> Sequence[State]:
            horizon = self._horizon()
            found = (self._at(key, horizon) for key in dict.fromkeys(ids))
            return [state for state in found if state and state.cells is not None]

        return self._serve("GET /records/" + ",".join(ids[:3]), secret, records)

    def search(self, secret: str, key: str | None, cells: Cells) -> Any:
        """Records with our key where the remote keeps it, else with just these cells."""

        def records() -> Sequence[State]:
            horizon = self._horizon(self.profile.find_lag)
            states = [s for s in (self._at(name, horizon) for name in self._born) if s and s.cells is not None]
            if self.profile.key:
                return [state for state in states if state.key == key]
            wanted = self._natural(cells)
            return [state for state in states if self._natural(state.cells or {}) == wanted]

        return self._serve("GET /search", secret, records)

    def upload(self, secret: str, photo: bytes) -> Any:
        """Store a photo; returns its name, which is of what was made of it."""

        def store() -> str:
            kept = self.shrink(photo)
            self.blobs[blob_uri(kept)] = kept
            return blob_uri(kept)

        return self._serve("POST /photos", secret, store)

    def send(self, secret: str, writes: Sequence[Write]) -> Any:
        """Do these writes; for each the record, or its id and version, or why it failed."""
        kinds = ",".join(dict.fromkeys(_kind(write) for write in writes))

        def answers() -> Sequence[State | tuple[str, str] | Status]:
            if len(writes) > self.profile.batch:
                raise Status(413, f"at most {self.profile.batch} writes in a request")
            return [self._answer(write) for write in writes]

        return self._serve(f"POST /records {kinds}", secret, answers)

    # -- inside

    def _serve(self, request: str, secret: str, work: Callable[[], Any]) -> Any:
        with self._lock:
            fault = self.faults.take(request)
            if fault is None or fault.kind == "slow":
                self._admit(secret)
                return work()
            if fault.kind == "throttle":
                raise Status(429, "too many requests", fault.retry_after)
            if fault.kind == "unavailable":
                raise Status(503, "unavailable")
            if fault.kind == "html":
                return "<html><body><h1>Maintenance</h1></body></html>"
            if fault.kind == "lost_before":
                raise Lost("before")
            self._admit(secret)
            work()
            raise Status(500, "internal error") if fault.kind == "error_after" else Lost("after")

    def _admit(self, secret: str) -> None:
        if secret != self.secret:
            raise Status(401, "who are you?")

    def _horizon(self, lag: float = 0.0) -> int:
        """How many events reads know of."""
        horizon = len(self._log) - self.behind
        lag = max(lag, self.profile.lag)
        if lag:
            edge = self.now() - timedelta(seconds=lag)
            while horizon > 0 and self._log[horizon - 1].at > edge:
                horizon -= 1
        return max(0, horizon)

    def _size(self, place: int) -> int:
        return self.profile.page if not self.short_pages else max(1, self.profile.page // 2 - place % 2)

    def _at(self, record_id: str, horizon: int) -> State | None:
        past = self._past.get(record_id, ())
        return next((state for state in reversed(past) if state.seq <= horizon), None)

    def _live(self, record_id: str) -> State:
        past = self._past.get(record_id)
        if not past or past[-1].cells is None:
            raise Status(404, f"no record {record_id}")
        return past[-1]

    def _answer(self, write: Write) -> State | tuple[str, str] | Status:
        try:
            if write.id is None:
                state = self._create(write)
            else:
                old = self._live(write.id)
                if self.profile.conditional and write.version not in (None, old.version):
                    raise Status(412, "changed meanwhile")
                gone = write.cells is None
                state = self._delete(old) if gone else self._update(old, write.cells or {}, write.whole, write.consents)
        except Status as failed:
            return failed
        if self.profile.answers == "record":
            return state
        return state.id, state.version + ("'" if self.lying else "")

    def _create(self, write: Write) -> State:
        at = self.now()
        blank = State(f"r{len(self._born) + 1}", 0, at, {}, key=write.key if self.profile.key else None)
        return self._update(blank, write.cells or {}, consents=write.consents)

    def _update(
        self, old: State, changes: Cells, whole: bool = False, consents: Mapping[Channel, Consent] | None = None
    ) -> State:
        cells = {} if whole else dict(old.cells or {})
        for path, value in changes.items():
            if value is None:
                cells.pop(path, None)
            else:
                cells[path] = value
        cells, rows = _numbered(cells, old.rows)
        cells = self._stored(old.id, cells)
        said = {} if whole else old.consents
        return self._note(old, cells, {} if whole else old.extra, rows, {**said, **(consents or {})})

    def _stored(self, record_id: str, cells: Cells) -> Cells:
        """The cells as the remote keeps them. Raises Status for what it refuses."""
        profile = self.profile
        kept: Cells = {}
        for path, value in self.reformat(cells).items():
            if path[0] in profile.slots and all(slot.name != path[1] for slot in profile.slots[path[0]]):
                raise Status(422, f"there is no {path[1]} among {path[0]}")
            if path[0] == "groups":
                value = self.groups.setdefault(path[1], value)
            if isinstance(value, str):
                value = value[: profile.cut]
            if path[-1] == "address" and len(value) > (profile.longest_address or 1_000):
                raise Status(422, "e-mail address too long")
            if value != "":
                kept[path] = value
            if path[0] == "media" and path[-1] == "uri":
                kept[*path[:2], "size"] = len(self.blobs[value])
        for path in profile.mandatory:
            if path not in kept:
                raise Status(422, f"{'.'.join(path)} is mandatory")
        if profile.unique and self._taken(record_id, kept):
            raise Status(409, "another record has this address")
        return kept

    def _taken(self, record_id: str, cells: Cells) -> bool:
        addresses = _addresses(cells)
        return any(
            past[-1].cells and addresses & _addresses(past[-1].cells)
            for key, past in self._past.items()
            if key != record_id
        )

    def _delete(self, old: State) -> State:
        return self._note(old, None)

    def _note(
        self,
        old: State,
        cells: Cells | None,
        extra: Mapping[str, Any] | None = None,
        rows: int = 0,
        consents: Mapping[Channel, Consent] | None = None,
    ) -> State:
        """An event: the record is this from now on."""
        state = State(
            old.id,
            len(self._log) + 1,
            self.now(),
            cells,
            old.key,
            (extra or {}) if cells is not None else {},
            rows or old.rows,
            None if cells is None else self.profile.view(cells),
            old.consents if consents is None else consents,
        )
        self._log.append(state)
        if state.id not in self._past:
            self._born.append(state.id)
        self._past.setdefault(state.id, []).append(state)
        return state

    def _natural(self, cells: Cells) -> Any:
        """What a record is recognised by where there is no place for our key."""
        if self.profile.unique:
            return _addresses(cells)
        same = Equivalence()
        return {(path[0], path[-1], same.key(path[0], path[-1], value)) for path, value in cells.items()}


def _kind(write: Write) -> str:
    if write.id is None:
        return "create"
    return "delete" if write.cells is None else "update"


def _addresses(cells: Cells) -> set[str]:
    return {str(value).casefold() for path, value in cells.items() if path[0] == "emails" and path[-1] == "address"}


def _numbered(cells: Cells, rows: int) -> tuple[Cells, int]:
    """The cells with ids for new rows, and the number of rows ever made."""
    fresh: dict[Path, str] = {}
    for path in cells:
        if len(path) == 3 and path[1].startswith("+") and path[:2] not in fresh:
            rows += 1
            fresh[path[0], path[1]] = str(rows)
    if not fresh:
        return cells, rows
    numbered: Cells = {}
    for path, value in cells.items():
        if path[-1] == "organizationId":
            value = fresh.get(("organizations", value), value)
        numbered[(path[0], fresh[path[:2]], path[2]) if path[:2] in fresh else path] = value
    return numbered, rows


def tidy_phones(cells: Cells) -> Cells:
    """A reformatting remote: phone numbers come back with blanks after every third digit (an extension stays)."""
    return {
        path: _spaced(value) if path[0] == "phones" and path[-1] == "number" else value for path, value in cells.items()
    }


def _spaced(number: str) -> str:
    packed = "".join(number.split())
    if not packed.removeprefix("+").isdigit():
        return number
    return " ".join(packed[at : at + 3] for at in range(0, len(packed), 3))


def without(*fields: str) -> Callable[[Cells], Cells]:
    """A remote that takes these fields without a word and forgets them."""

    def forget(cells: Cells) -> Cells:
        return {path: value for path, value in cells.items() if path[0] not in fields}

    return forget
