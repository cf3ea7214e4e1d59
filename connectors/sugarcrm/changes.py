"""What happened since: all of SugarCRM's Contacts and Leads, and then what moved.

A listing goes by id. News go by `date_modified`, which steps by a second, from a little before the newest that was
seen; what is seen again as it was is left out. What leaves no trace there is looked for where it does: a renamed
account at the account, an address's opt-out, which belongs to all who share the address, at the address. Membership of
target lists leaves none anywhere, and purged rows neither (A4): those come with the next full listing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.card import digest
from connectors.contract import Page, Record
from connectors.errors import CursorExpired
from connectors.sugarcrm import mapping, rows
from connectors.sugarcrm.client import AT_ONCE, Answer, Call, Client, Filter, Row, listing
from connectors.sugarcrm.lists import Lists
from connectors.sugarcrm.rows import STAMP, instant

VERSION: Final = "v11/1"
OVERLAP: Final = timedelta(seconds=10)
"""How long after its time a row may appear: at least 2 s (A4); a save with workflows takes longer."""
MOST_RECENT: Final = 5_000
"""Rows of the last seconds that a cursor remembers."""
LATEST: Final = f"{STAMP}:DESC,id:DESC"
EARLIEST: Final = f"{STAMP}:ASC,id:ASC"
ACCOUNTS, ADDRESSES = "Accounts", "EmailAddresses"
FIELDS: Final[Mapping[str, Sequence[str]]] = {
    ACCOUNTS: ("id", "name", STAMP),
    ADDRESSES: ("id", "email_address", "opt_out", "invalid_email", STAMP),
}
"""What is watched beside contacts, and what is read of it."""
LEADS_TO: Final[Mapping[str, tuple[str, str]]] = {
    ACCOUNTS: ("accounts.id", "id"),
    ADDRESSES: ("email_addresses.email_address", "email_address"),
}
"""{watched module: (how the records that show it are found, by which of its fields)} (A4: related `link.field`)."""

Recorder = Callable[[str, Sequence[Row], Mapping[str, Sequence[Row]]], list[Record]]


@dataclass
class Watch:
    """How far a module was read.

    since: the newest `date_modified` seen, UTC. at: when that was first seen, by our clock. settled: nothing can appear
    up to there any more. recent: {id: mark} of the rows of the last seconds before `since`.
    """

    since: str = ""
    at: str = ""
    settled: str = ""
    recent: dict[str, str] = field(default_factory=dict)

    def where(self) -> Filter:
        """The rows that are to be looked at."""
        if not self.since:
            return []
        edge = _earlier(self.since)
        return [{STAMP: {"$gt": self.settled} if self.settled >= edge else {"$gte": edge}}]

    def news(self, found: Iterable[Row]) -> list[Row]:
        """Those rows that were not seen as they are."""
        return [row for row in found if self.recent.get(str(row["id"])) != _mark(row)]

    def saw(self, found: Sequence[Row], now: datetime) -> None:
        """These rows came, the newest last."""
        newest = instant(found[-1]) if found else ""
        if newest > self.since:
            self.since, self.at = newest, now.isoformat()
        edge = _earlier(self.since) if self.since else ""
        late = {str(row["id"]): _mark(row) for row in found if instant(row) >= edge}
        self.recent = dict([*(self.recent | late).items()][-MOST_RECENT:])

    def settle(self, asked: datetime) -> None:
        """All was read that was to be read at that time."""
        if self.since and asked - datetime.fromisoformat(self.at) >= OVERLAP:
            self.settled, self.recent = self.since, {}


@dataclass
class State:
    """What a cursor holds.

    modules: of contacts; others: watched beside them. full: when all was last listed. listing: (module, last id) of a
    listing that is under way. proven: the last listing named every record in one go.
    """

    modules: dict[str, Watch]
    others: dict[str, Watch]
    full: str
    listing: tuple[str, str] | None = None
    proven: bool = True

    def dump(self) -> dict[str, Any]:
        return {"v": VERSION, **asdict(self)}

    @classmethod
    def load(cls, cursor: Any, modules: Sequence[str]) -> State:
        if not isinstance(cursor, Mapping) or cursor.get("v") != VERSION:
            raise CursorExpired("this place was not kept by this version of the connector; everything is listed again")
        if set(cursor["modules"]) != set(modules):
            raise CursorExpired("the place was kept by other settings; everything is listed again")
        watches = {
            name: {module: Watch(**watch) for module, watch in cursor[name].items()} for name in ("modules", "others")
        }
        under_way = tuple(cursor["listing"]) if cursor["listing"] else None
        return cls(**watches, full=cursor["full"], listing=under_way, proven=cursor["proven"])


class Pull:
    """One call of `changes`.

    fields: what is read of a contact. record: makes the records of a module's rows and who is in which target lists.
    """

    def __init__(
        self,
        client: Client,
        modules: Sequence[str],
        fields: Sequence[str],
        record: Recorder,
        now: Callable[[], datetime],
        *,
        page: int,
        full_every: timedelta,
    ) -> None:
        self._client, self._modules, self._fields, self._record = client, modules, fields, record
        self._now, self._page, self._full_every = now, page, full_every
        self._lists = Lists(client)
        self._given: set[str] = set()
        """Records given in this run, by id: one may be news for more than one reason."""

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """See `Connector.changes`."""
        state = None if cursor is None else State.load(cursor, self._modules)
        if state is None or (not state.listing and self._due(state)):
            yield from self._list(*self._start(), proven=True)
            return
        if state.listing:
            yield from self._list(state, None, proven=False)
        yield from self._news(state)

    def _due(self, state: State) -> bool:
        return self._now() - datetime.fromisoformat(state.full) >= self._full_every

    # -- everything

    def _start(self) -> tuple[State, int]:
        """A state that knows the newest of each module, and how many records there are."""
        watched = [*self._modules, *([ACCOUNTS] if "Contacts" in self._modules else []), ADDRESSES]
        newest = [listing(module, [], ["id", STAMP], 1, order=LATEST, deleted=True) for module in watched]
        counts = [Call("POST", f"{module}/filter/count", {"filter": []}) for module in self._modules]
        now, answers = self._now(), self._client.reads([*newest, *counts])
        total = sum(int(answer.checked().get("record_count", 0)) for answer in answers[len(watched) :])
        watches = {
            module: self._anchored(answer, now)
            for module, answer in zip(watched, answers, strict=False)
            if _usable(module, answer)
        }
        modules = {module: watches.pop(module) for module in self._modules}
        return State(modules, watches, now.isoformat(), listing=(self._modules[0], "")), total

    def _anchored(self, answer: Answer, now: datetime) -> Watch:
        found = answer.rows()
        return Watch(instant(found[0]), now.isoformat()) if found else Watch(at=now.isoformat())

    def _list(self, state: State, total: int | None, *, proven: bool) -> Iterator[Page]:
        """Every row in full, from where `state.listing` says."""
        assert state.listing
        for module in self._modules[self._modules.index(state.listing[0]) :]:
            after = state.listing[1] if module == state.listing[0] else ""
            members = self._lists.all(module)
            for found in self._client.walk(module, [], self._fields, after):
                state.listing = (module, str(found[-1]["id"]))
                yield Page(records=self._record(module, found, members), cursor=state.dump(), total=total)
        state.listing, state.full, state.proven = None, self._now().isoformat(), proven
        yield Page(cursor=state.dump(), complete=proven)

    def _sweep(self, state: State) -> Iterator[Page]:
        """All ids: the engine finds those that are gone."""
        for module in self._modules:
            for found in self._client.walk(module, [], ["id"]):
                yield Page(listed={rows.tombstone(module, row).id: None for row in found})
        state.proven = True
        yield Page(cursor=state.dump(), complete=True)

    # -- what is new

    def _news(self, state: State) -> Iterator[Page]:
        asked = self._now()
        watches = {**state.modules, **state.others}
        fields = {module: FIELDS.get(module, self._fields) for module in watches}
        calls = [
            listing(module, watch.where(), fields[module], self._page, order=EARLIEST, deleted=True)
            for module, watch in watches.items()
        ]
        answers = dict(zip(watches, self._client.reads(calls), strict=True))
        for module, watch in state.modules.items():
            for found in self._since(module, watch, answers[module]):
                yield Page(records=self._records(module, found), cursor=state.dump())
            watch.settle(asked)
        for module, watch in state.others.items():
            if _usable(module, answers[module]):
                for found in self._since(module, watch, answers[module]):
                    yield from self._shown_by(module, found)
                watch.settle(asked)
        if state.proven:
            yield Page(cursor=state.dump())
        else:
            yield from self._sweep(state)

    def _since(self, module: str, watch: Watch, first: Answer) -> Iterator[list[Row]]:
        """The rows that changed since, in pages, without those that were seen as they are."""
        answer, where = first, watch.where()
        while True:
            found = answer.rows()
            fresh = watch.news(found)
            watch.saw(found, self._now())
            if fresh:
                yield fresh
            if not found or not answer.more():
                return
            last = found[-1]
            at = instant(last)
            beyond = {"$or": [{STAMP: {"$gt": at}}, {STAMP: {"$equals": at}, "id": {"$gt": last["id"]}}]}
            fields = FIELDS.get(module, self._fields)
            call = listing(module, [*where, beyond], fields, self._page, order=EARLIEST, deleted=True)
            answer = Answer(self._client.call(call, repeatable=True), None)

    def _records(self, module: str, found: Sequence[Row]) -> list[Record]:
        """The records of rows, tombstones among them, without those that were given already."""
        living = [row for row in found if not _deleted(row)]
        members = self._lists.of(module, [str(row["id"]) for row in living])
        made = [rows.tombstone(module, row) for row in found if _deleted(row)]
        made += self._record(module, living, members)
        fresh = [record for record in made if record.id not in self._given]
        self._given.update(record.id for record in fresh)
        return fresh

    def _shown_by(self, watched: str, found: Sequence[Row]) -> Iterator[Page]:
        """The contacts that show these accounts or addresses."""
        link, name = LEADS_TO[watched]
        values = [str(row[name]) for row in found if row.get(name) and not _deleted(row)]
        for module in self._modules if watched == ADDRESSES else ["Contacts"]:
            for start in range(0, len(values), AT_ONCE):
                where = [{link: {"$in": values[start : start + AT_ONCE]}}]
                for page in self._client.walk(module, where, self._fields):
                    yield Page(records=self._records(module, page))


def _usable(module: str, answer: Answer) -> bool:
    """Some servers or roles show no addresses as such; then their flags are seen with the contact only."""
    return module != ADDRESSES or answer.error is None


def _deleted(row: Row) -> bool:
    return mapping.flag(row.get("deleted"))


def _mark(row: Row) -> str:
    return digest({name: value for name, value in row.items() if name != "_acl"})[:12]


def _earlier(at: str) -> str:
    moment = datetime.fromisoformat(at).astimezone(UTC) - OVERLAP
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
