"""How changes and deletions are found: `Pull.changes`, and the cursor it leaves behind.

vTiger has a `sync` operation that reports both, but it is broken on PHP 8 and shows only one's own records where the
server does not know `syncType` (vtiger note A5). It is used where a probe proved that it shows everybody's records, or
while there is nobody else's record to show. Everywhere else:

Changes are the rows with `modifiedtime >= since - 2 s`. One query brings the newest 100 and with them the next
`since`; a count says whether that was all. If not, the set is walked by id: an order by `modifiedtime` has no second
column, so rows of one second would slip between its pages. What was seen in the last two seconds is remembered by
fingerprint, so that a silent run gives nothing twice. Once two looks that were two seconds apart found the same
`since`, it is past, and the next looks begin after it.

Deletions leave no trace. Ids are given out in ascending order, so the number of rows up to the highest id of the last
run (`top`) can only fall, by deletions; one `count(*)` a run compares it. It counts rows that we may not see as well,
on both sides. Rows that appeared since (`fresh`, beyond `top`) are asked for by id in the next run, after the new count
was taken: a row that goes in between is reported as deleted and makes the next count differ, never the other way
round. When the count differs, all ids are listed, and the engine takes the difference. Two events can cancel out: a
row committed late, with a lower id, or restored from the recycle bin, while another is deleted. And a row that becomes
visible to us, or an account that is unlinked, changes no `modifiedtime`. So everything is read in full once in
`full_every` hours.

Accounts are watched like contacts, for their names: when one changes, its contacts are read again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.card import digest
from connectors.contract import Page, Record, batched
from connectors.errors import CursorExpired, Unauthorised, Unreachable
from connectors.vtiger.accounts import Accounts
from connectors.vtiger.client import PAGE, Client, Row, Unsupported, listed

OVERLAP: Final = 2
"""Seconds that are read twice: times are whole seconds, and a row may be stored after a later one (vtiger note A5)."""
ZONES: Final = timedelta(hours=15)
"""A server's wall clock is at most that far ahead of UTC."""
MOST_RECENT: Final = 1_000
MOST_FRESH: Final = 500
MOST_NAMES: Final = 1_000
"""How much the cursor remembers. Beyond, rows come twice, ids are listed, contacts are read again."""
VERSION: Final = 1

ZONE_STEP: Final = 900
"""Seconds; the offset of every time zone is a multiple. `lastModifiedTime` may be that of a deleted record."""
DELETED: Final = "deleted"
LATEST: Final = "9999"


@dataclass
class Watch:
    """What is known of one module.

    since: `modifiedtime` up to which everything is known. read: our time when it was first found to be the last.
    settled: it was found so again when it was past, so nothing can come before it any more.
    recent: {id: fingerprint} of what was seen near it, while it is not settled.
    top, count: the highest id known and how many rows there are up to it; -1: not known. fresh: ids beyond it.
    """

    since: str = ""
    read: str = ""
    settled: bool = False
    recent: dict[str, str] = field(default_factory=dict)
    top: str = ""
    count: int = 0
    fresh: list[str] = field(default_factory=list)

    @property
    def start(self) -> str:
        """The time that the next look begins with."""
        return _earlier(self.since) if self.since and not self.settled else self.since

    def seen(self, until: str, recent: Mapping[str, str], asked: datetime, answered: datetime) -> None:
        """Everything until then was read, between these times of ours. By the later of two looks at the same `since`
        the server's clock has passed it by as much as they were apart: what its second brought was there to be seen."""
        if until > self.since:
            self.since, self.read, self.settled = until, answered.isoformat(), False
        elif self.read and not self.settled:
            self.settled = asked - datetime.fromisoformat(self.read) >= timedelta(seconds=OVERLAP)
        self.recent = {} if self.settled else dict(list(recent.items())[-MOST_RECENT:])


@dataclass
class State:
    """The cursor.

    zone: seconds from UTC to the server's clock where `sync` is used, None where it is not; proven: it was seen to show
    other people's records. names: of the accounts that contacts refer to, None where they are too many.
    full: when everything was last read. listing: the module and the id after which a full reading goes on.
    complete: everything was named in one go since the full reading began.
    """

    modules: dict[str, Watch]
    accounts: Watch
    zone: int | None = None
    proven: bool = False
    names: dict[str, str] | None = field(default_factory=dict)
    full: str = ""
    listing: tuple[str, str] | None = None
    complete: bool = False

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"v": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def load(cls, cursor: Any, modules: Sequence[str]) -> State:
        """From JSON. Raises CursorExpired where it was made by other settings or another version."""
        known = isinstance(cursor, dict) and cursor.get("v") == VERSION
        if not known or list(cursor.get("modules", ())) != list(modules):
            raise CursorExpired("the place was kept by other settings; everything is listed again")
        rest = {name: value for name, value in cursor.items() if name != "v"}
        rest["modules"] = {name: Watch(**watch) for name, watch in cursor["modules"].items()}
        rest["accounts"] = Watch(**cursor["accounts"])
        rest["listing"] = tuple(cursor["listing"]) if cursor["listing"] else None
        return cls(**rest)


@dataclass(frozen=True)
class Probe:
    """What `sync` is good for here. zone: as in `State`. why: why it is not used."""

    zone: int | None
    proven: bool = False
    why: str = ""


class Pull:
    """One call of `changes`.

    modules: the modules to read, in this order. record: makes a record of a row with its account's name.
    """

    def __init__(
        self,
        client: Client,
        modules: Sequence[str],
        record: Callable[[Row], Record],
        now: Callable[[], datetime],
        full_every: timedelta,
    ) -> None:
        self._client, self._modules, self._record = client, modules, record
        self._now, self._full_every = now, full_every
        self._accounts = Accounts(client)

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """See `Connector.changes`."""
        state = None if cursor is None else State.load(cursor, self._modules)
        if state is None or (not state.listing and self._due(state)):
            yield from self._list(self._start(), complete=True)
            return
        if state.listing:
            yield from self._list(state, complete=False)
        yield from self._news(state)

    def _due(self, state: State) -> bool:
        return self._now() - datetime.fromisoformat(state.full) >= self._full_every

    # -- everything

    def _start(self) -> State:
        found = probe(self._client, self._modules[0])
        state = State({name: Watch() for name in self._modules}, Watch(), found.zone, found.proven)
        for module, watch in [*state.modules.items(), ("Accounts", state.accounts)]:
            newest = _newest(self._client, module)
            watch.seen(newest["modifiedtime"] if newest else "", {}, self._now(), self._now())
        state.listing = (self._modules[0], "")
        return state

    def _list(self, state: State, *, complete: bool) -> Iterator[Page]:
        """Every row in full, from where `state.listing` says."""
        assert state.listing
        total = 0
        for module in self._modules:
            if module == state.listing[0] and not state.listing[1]:
                self._anchor(module, state.modules[module])
            total += max(0, state.modules[module].count)
        for module in self._modules[self._modules.index(state.listing[0]) :]:
            watch = state.modules[module]
            if module != state.listing[0]:
                state.listing = (module, "")
                self._anchor(module, watch)
            for rows in self._walk(module, after=state.listing[1]):
                state.listing = (module, rows[-1]["id"])
                self._beyond(watch, rows)
                yield Page(records=self._records(state, rows), cursor=state.dump(), total=total or None)
        state.listing, state.full, state.complete = None, self._now().isoformat(), complete
        yield Page(cursor=state.dump(), complete=complete)

    def _anchor(self, module: str, watch: Watch) -> None:
        """Count the rows that there are now, before they are read."""
        newest = self._client.query(f"select id from {module} order by id desc limit {PAGE}")
        watch.top = newest[0]["id"] if newest else ""
        watch.count = self._count(module, watch.top)
        watch.fresh = []

    def _count(self, module: str, top: str) -> int:
        return self._client.count(module, f"id <= '{top}'") if top else 0

    def _walk(self, module: str, columns: str = "*", where: str = "", after: str = "") -> Iterator[list[Row]]:
        """The rows in pages, by id. Rows that we may not see are taken out of a page after it was cut, so even an
        empty page is not the end while rows are counted beyond it (vtiger note A4)."""
        while True:
            bounds = " and ".join(part for part in (where, f"id > '{after}'" if after else "") if part)
            select = f"select {columns} from {module}{bounds and ' where ' + bounds} order by id limit "
            rows = self._client.query(f"{select}{PAGE}")
            if not rows:
                hidden = self._client.count(module, bounds)
                for offset in range(PAGE, hidden, PAGE):
                    rows = self._client.query(f"{select}{offset},{PAGE}")
                    if rows:
                        break
            if not rows:
                return
            yield rows
            after = rows[-1]["id"]

    def _records(self, state: State, rows: Iterable[Row]) -> list[Record]:
        filled = self._accounts.fill(rows)
        if state.names is not None:
            # A name that is remembered already changes only in `_renamed`, which reads all of its contacts again.
            state.names = {**self._accounts.names, **state.names}
            if len(state.names) > MOST_NAMES:
                state.names = None
        return [self._record(row) for row in filled]

    # -- what is new

    def _news(self, state: State) -> Iterator[Page]:
        yield from self._renamed(state)
        gone = False
        for module, watch in state.modules.items():
            if state.zone is not None:
                yield from self._synced(module, watch, state)
            else:
                gone = self._missing(module, watch) or gone
                yield Page(records=self._verify(module, watch))
                yield from self._modified(module, watch, state)
        if gone or not state.complete:
            yield from self._sweep(state)
        else:
            yield Page(cursor=state.dump())

    def _missing(self, module: str, watch: Watch) -> bool:
        """Do all ids have to be listed to know what is gone?"""
        if len(watch.fresh) > MOST_FRESH:
            watch.fresh = []
            return True
        return watch.count != self._count(module, watch.top)

    def _verify(self, module: str, watch: Watch) -> list[Record]:
        """Those rows that appeared in the last run and are gone already. The others are counted from now on."""
        if not watch.fresh:
            return []
        fresh, watch.fresh = watch.fresh, []
        watch.top = max([*fresh, watch.top], key=_number)
        watch.count = self._count(module, watch.top)
        alive: set[str] = set()
        for batch in batched(fresh, PAGE):
            alive |= {row["id"] for row in self._client.query(f"select id from {module} where id in {listed(batch)}")}
        return [Record(record, None) for record in fresh if record not in alive]

    def _beyond(self, watch: Watch, rows: Iterable[Row]) -> None:
        known = set(watch.fresh)
        new = [row["id"] for row in rows if _number(row["id"]) > _number(watch.top) and row["id"] not in known]
        watch.fresh = [*watch.fresh, *new][: MOST_FRESH + 1]

    def _modified(self, module: str, watch: Watch, state: State) -> Iterator[Page]:
        for rows in self._since(module, watch):
            self._beyond(watch, rows)
            yield Page(records=self._records(state, rows))

    def _since(self, module: str, watch: Watch, columns: str = "*") -> Iterator[list[Row]]:
        """The rows that changed since, without those that were seen as they are."""
        asked = self._now()
        where = watch.start and f"modifiedtime {'>' if watch.settled else '>='} '{watch.start}'"
        matching = where and f" where {where}"
        newest = self._client.query(f"select {columns} from {module}{matching} order by modifiedtime desc limit {PAGE}")
        until = max([watch.since, *(row["modifiedtime"] for row in newest[:1])])
        recent: dict[str, str] = {}
        whole = self._client.count(module, where) <= len(newest)
        for rows in [newest] if whole else self._walk(module, columns, where):
            marks = {row["id"]: _fingerprint(row) for row in rows}
            recent |= {row["id"]: marks[row["id"]] for row in rows if row["modifiedtime"] >= _earlier(until)}
            news = [row for row in rows if watch.recent.get(row["id"]) != marks[row["id"]]]
            if news:
                yield news
        watch.seen(until, recent, asked, self._now())

    def _sweep(self, state: State) -> Iterator[Page]:
        """All ids: the engine finds those that are gone."""
        for module, watch in state.modules.items():
            self._anchor(module, watch)
            for rows in self._walk(module, "id"):
                self._beyond(watch, rows)
                yield Page(listed={row["id"]: None for row in rows})
        state.complete = True
        yield Page(cursor=state.dump(), complete=True)

    # -- organisations

    def _renamed(self, state: State) -> Iterator[Page]:
        """The contacts of accounts that were renamed."""
        for rows in self._since("Accounts", state.accounts, "id, accountname, modifiedtime"):
            ids = [row["id"] for row in rows if self._is_renamed(row, state)]
            for batch in batched(ids, PAGE):
                for contacts in self._walk("Contacts", where=f"account_id in {listed(batch)}"):
                    yield Page(records=self._records(state, contacts))

    def _is_renamed(self, row: Row, state: State) -> bool:
        self._accounts.names[row["id"]] = row["accountname"]
        if state.names is None:
            return True
        known = state.names.get(row["id"])
        if known is not None:
            state.names[row["id"]] = row["accountname"]
        return known not in (None, row["accountname"])

    # -- sync

    def _synced(self, module: str, watch: Watch, state: State) -> Iterator[Page]:
        self._check_scope(module, state)
        assert state.zone is not None
        asked = self._now()
        since = _seconds(watch.start, state.zone) - (not watch.settled) if watch.since else 1
        recent: dict[str, tuple[str, str]] = {}
        while True:
            answer = self._sync(module, since)
            rows, deleted = answer["updated"], answer["deleted"]
            marks = {row["id"]: _fingerprint(row) for row in rows}
            news = [row for row in rows if watch.recent.get(row["id"]) != marks[row["id"]]]
            tombstones = [Record(record, None) for record in deleted if watch.recent.get(record) != DELETED]
            yield Page(records=[*self._records(state, news), *tombstones])
            recent |= {row["id"]: (row["modifiedtime"], marks[row["id"]]) for row in rows}
            recent |= dict.fromkeys(deleted, (LATEST, DELETED))
            until = int(answer["lastModifiedTime"])
            if not answer.get("more"):
                break
            if until <= since:
                raise Unreachable("vTiger's sync says that there is more, but does not move on")
            since = until
        latest = max(watch.since, _wall(until, state.zone))
        near = _earlier(latest)
        watch.seen(latest, {record: mark for record, (at, mark) in recent.items() if at >= near}, asked, self._now())

    def _sync(self, module: str, since: int) -> Row:
        try:
            return self._client.sync(module, since)
        except Unsupported:
            pass
        try:
            return self._client.sync(module, since)
        except Unsupported as broken:
            raise CursorExpired(f"sync does not work any more ({broken}); everything is listed again") from broken

    def _check_scope(self, module: str, state: State) -> None:
        """While nobody else had records, nobody could tell whether sync would show them."""
        if state.proven or state.zone is None:
            return
        witness = _witness(self._client, module)
        if witness is None:
            return
        if not _testifies(self._client, module, witness, state.zone):
            raise CursorExpired("sync shows only the records of its user here; everything is listed again")
        state.proven = True


def probe(client: Client, module: str) -> Probe:
    """Find out what `sync` is good for here. Raises Unreachable and Unauthorised for anything but sync itself."""
    newest = _newest(client, module)
    witness = _witness(client, module)
    start = _seconds(newest["modifiedtime"], 0) - int(ZONES.total_seconds()) if newest else 1
    try:
        answer = client.sync(module, start)
        if newest is None:
            return Probe(0)
        rows = answer["updated"]
        if not rows:
            return Probe(None, why="it does not show the records that queries show")
        ahead = _seconds(max(row["modifiedtime"] for row in rows), 0) - int(answer["lastModifiedTime"])
        zone = round(ahead / ZONE_STEP) * ZONE_STEP
        if not _testifies(client, module, witness or newest, zone):
            return Probe(None, why="it shows only the records of its user")
    except (Unsupported, Unauthorised) as refused:
        return Probe(None, why=str(refused))
    return Probe(zone, proven=witness is not None)


def _newest(client: Client, module: str) -> Row | None:
    """The record that changed last; the highest `modifiedtime` there is."""
    rows = client.query(f"select id, modifiedtime from {module} order by modifiedtime desc limit {PAGE}")
    return rows[0] if rows else None


def _witness(client: Client, module: str) -> Row | None:
    """A record of somebody else."""
    rows = client.query(
        f"select id, modifiedtime from {module} where assigned_user_id != '{client.user.id}'"
        f" order by modifiedtime desc limit {PAGE}"
    )
    return rows[0] if rows else None


def _testifies(client: Client, module: str, witness: Row, zone: int) -> bool:
    """Does sync show the witness? A page holds all rows of its first second (vtiger note A5)."""
    answer = client.sync(module, _seconds(witness["modifiedtime"], zone) - 1)
    return any(row["id"] == witness["id"] for row in answer["updated"])


def _number(record: str) -> int:
    """What follows the x of an id; 0 of none."""
    return int(record.partition("x")[2] or 0)


def _fingerprint(row: Row) -> str:
    return digest(row)[:12]


def _wall(seconds: int, zone: int) -> str:
    return datetime.fromtimestamp(seconds + zone, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(wall: str, zone: int) -> int:
    return int(datetime.fromisoformat(wall).replace(tzinfo=UTC).timestamp()) - zone


def _earlier(wall: str) -> str:
    return _wall(_seconds(wall, 0) - OVERLAP, 0)
