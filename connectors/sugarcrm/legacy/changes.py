"""How changes and deletions are found through v4_1, and the cursor they leave behind.

A row's `date_modified` moves with its own columns and with its deletion, which the listing shows when asked (note,
deleted). Everything else leaves it alone (transcript v41-02b, J; note, List membership), and is watched where it is:

- Addresses and their flags have times of their own, on the address and on its link. The server's validator lets a query
  select from these two tables (SugarSQLValidate), so one query asks for all three. Where a server does not take it,
  they are found with the next full listing; `check` says so.
- Accounts that changed: their contacts are read again, for the account's name may be another.
- Target lists tell how many members they have (`entry_count`). Where that changed, and once in `LISTS_EVERY`, their
  members are listed and compared with those known: removed links are never shown (transcript v41-04). Beyond
  `MOST_MEMBERS` none are remembered, and memberships are found with the next full listing.

Times are those of the server's clock, which `get_server_info` tells. A look begins `OVERLAP` before the former one did;
what it showed already is known by its fingerprint. All walks are by id, in pages that begin after the last id: an order
by time alone loses rows (live notes, Paging).

A link that was made or removed behind the contact's back (an account's sub-panel) and a row that the database forgot
leave no trace: so everything is listed once in `full_every` hours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.card import digest
from connectors.contract import Page, Record, batched
from connectors.errors import CursorExpired
from connectors.sugarcrm.legacy.client import Client, Forbidden, Unsupported, listed, quoted
from connectors.sugarcrm.legacy.rows import moment
from connectors.sugarcrm.mapping import EXEMPT, LISTS, record_id

Row = Mapping[str, Any]

OVERLAP: Final = timedelta(seconds=30)
"""That much is read twice: a row is stored a while after the time it bears, and web servers' clocks differ."""
LISTS_EVERY: Final = timedelta(minutes=15)
MOST_RECENT: Final = 5_000
MOST_MEMBERS: Final = 20_000
"""How much the cursor remembers. Beyond, rows come twice, memberships wait for the next full listing."""
MOST_ACCOUNTS: Final = 40
"""Where more accounts changed, listing everything is cheaper."""
AT_ONCE: Final = 100
"""Ids in one query."""
MOST_LISTS: Final = 10_000
VERSION: Final = 1
TABLES: Final = {"Contacts": "contacts", "Leads": "leads"}


@dataclass
class TargetList:
    """What is known of a target list: its members are ids of records."""

    name: str = ""
    count: str = ""
    members: set[str] = field(default_factory=set)


@dataclass
class State:
    """The cursor.

    modules: what is read. since: the server's time from which on the next look asks. wide: the server takes queries for
    addresses. recent: {id: fingerprint} of what the last look showed; accounts: {id: name}, likewise.
    lists: the target lists by id; None: too many members to remember. lists_at: our time when they were last compared.
    full: our time when everything was last listed. listing: module and id after which a full listing goes on.
    """

    modules: list[str]
    since: str = ""
    wide: bool = True
    recent: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, TargetList] | None = field(default_factory=dict)
    lists_at: str = ""
    full: str = ""
    listing: tuple[str, str] | None = None

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        dumped = {"v": VERSION, **dataclasses.asdict(self)}
        for item in (dumped["lists"] or {}).values():
            item["members"] = sorted(item["members"])
        return dumped

    @classmethod
    def load(cls, cursor: Any, modules: Sequence[str]) -> State:
        """From JSON. Raises CursorExpired where it was made by other settings or another version."""
        known = isinstance(cursor, dict) and cursor.get("v") == VERSION
        if not known or list(cursor.get("modules", ())) != list(modules):
            raise CursorExpired("the place was kept by other settings; everything is listed again")
        rest = {name: value for name, value in cursor.items() if name != "v"}
        lists = cursor["lists"]
        rest["lists"] = None if lists is None else {key: _target_list(item) for key, item in lists.items()}
        rest["listing"] = tuple(cursor["listing"]) if cursor["listing"] else None
        return cls(**rest)

    def remember(self, module: str, row: Row) -> None:
        """Keep the memberships that a row shows."""
        if self.lists is None:
            return
        record = record_id(module, row["id"])
        shown = {str(item["id"]): str(item["name"]) for item in row[LISTS]}
        for key, known in self.lists.items():
            if key not in shown:
                known.members.discard(record)
        for key, name in shown.items():
            self.lists.setdefault(key, TargetList(name)).members.add(record)
        if sum(len(known.members) for known in self.lists.values()) > MOST_MEMBERS:
            self.lists = None


def _target_list(item: Mapping[str, Any]) -> TargetList:
    return TargetList(item["name"], item["count"], set(item["members"]))


class Pull:
    """One call of `changes`.

    modules: what to read, in this order. record: makes a record of a row. size: rows of a page.
    """

    def __init__(
        self,
        client: Client,
        modules: Sequence[str],
        record: Callable[[str, Row], Record],
        now: Callable[[], datetime],
        size: int,
        full_every: timedelta,
    ) -> None:
        self._client, self._modules, self._record = client, modules, record
        self._now, self._size, self._full_every = now, size, full_every
        self._marks: dict[str, str] = {}

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

    def _clock(self) -> str:
        """The time from which the look after this one asks, the server's."""
        at = self._client.server().clock or self._now().astimezone(UTC)
        return (at - OVERLAP).strftime("%Y-%m-%d %H:%M:%S")

    # --- everything --------------------------------------------------------------------------------------------------

    def _start(self) -> State:
        state = State(list(self._modules), since=self._clock(), full=self._now().isoformat())
        state.lists_at, state.listing = state.full, (self._modules[0], "")
        state.wide = takes_wide(self._client, self._modules[0], state.since)
        return state

    def _list(self, state: State, *, complete: bool) -> Iterator[Page]:
        """Every row in full, from where `state.listing` says."""
        assert state.listing
        for module in self._modules[self._modules.index(state.listing[0]) :]:
            if module != state.listing[0]:
                state.listing = (module, "")
            for rows, total in self._walk(module, "", after=state.listing[1]):
                for row in rows:
                    state.remember(module, row)
                    if str(row.get("date_modified")) > state.since and len(state.recent) < MOST_RECENT:
                        state.recent[record_id(module, row["id"])] = _mark(row)  # the next look meets it again
                state.listing = (module, rows[-1]["id"])
                records = [self._record(module, row) for row in rows]
                yield Page(records=records, cursor=state.dump(), total=total)
        state.listing = None
        yield Page(cursor=state.dump(), complete=complete)

    def _walk(
        self, module: str, where: str, *, after: str = "", deleted: bool = False
    ) -> Iterator[tuple[Sequence[Row], int | None]]:
        """(rows, how many there are) page by page, by id: each page begins after the last one's last id."""
        while True:
            bounds = [where] if where else []
            bounds += [f"{TABLES[module]}.id > {quoted(after)}"] if after else []
            listing = self._client.people(module, " and ".join(bounds), size=self._size, deleted=deleted)
            if listing.rows:
                yield listing.rows, listing.total
            if len(listing.rows) < self._size:
                return
            after = listing.rows[-1]["id"]

    # --- what is new -------------------------------------------------------------------------------------------------

    def _news(self, state: State) -> Iterator[Page]:
        begun = self._clock()
        changed = self._accounts(state)
        if changed is None:
            yield from self._list(self._start(), complete=True)
            return
        for module in self._modules:
            for rows, _ in self._walk(module, changed_since(module, state.since, state.wide), deleted=True):
                yield Page(records=self._shown(module, rows, state))
        for module, ids in self._affected(changed, state):
            for batch in batched(ids, AT_ONCE):
                rows = self._client.people(module, f"{TABLES[module]}.id in {listed(batch)}", size=AT_ONCE).rows
                yield Page(records=self._shown(module, rows, state))
        state.since = begun
        state.recent = self._marks if len(self._marks) <= MOST_RECENT else {}
        yield Page(cursor=state.dump())

    def _shown(self, module: str, rows: Iterable[Row], state: State) -> list[Record]:
        """Records of those rows that were not shown as they are, neither by the last look nor by this one."""
        records = []
        for row in rows:
            record = record_id(module, row["id"])
            mark = _mark(row)
            if self._marks.get(record, state.recent.get(record)) != mark:
                gone = row.get("deleted") == "1"
                records.append(tombstone(record, row) if gone else self._record(module, row))
            self._marks[record] = mark
            state.remember(module, row)
        return records

    def _accounts(self, state: State) -> list[str] | None:
        """The accounts that changed and were not shown so by the last look; None: too many."""
        if "Contacts" not in self._modules:
            return []
        where = f"accounts.date_modified > {quoted(state.since)}"
        try:
            found = self._client.rows("Accounts", where, ["id", "name"], size=MOST_ACCOUNTS + 1)
        except Forbidden:
            return []
        if len(found) > MOST_ACCOUNTS:
            return None
        names = {row["id"]: row.get("name", "") for row in found}
        fresh = [record for record, name in names.items() if state.accounts.get(record) != name]
        state.accounts = names
        return fresh

    def _affected(self, accounts: Iterable[str], state: State) -> Iterator[tuple[str, list[str]]]:
        """(module, ids) of the rows that look different without a change of their own."""
        found = {module: dict[str, None]() for module in self._modules}
        for account in accounts:
            contacts = self._client.members("Accounts", account, "contacts")
            # Whom this very look showed was read after the accounts were.
            found["Contacts"] |= dict.fromkeys(row for row in contacts if row not in self._marks)
        for record in self._moved(state):
            module, _, row = record.rpartition("/")
            found[module or "Contacts"][row] = None
        yield from ((module, list(ids)) for module, ids in found.items())

    # --- target lists ------------------------------------------------------------------------------------------------

    def _moved(self, state: State) -> set[str]:
        """The records that came into a target list or left one, or whose list has another name."""
        if state.lists is None:
            return set()
        due = self._now() - datetime.fromisoformat(state.lists_at) >= LISTS_EVERY
        columns = ["id", "name", "list_type", "entry_count"]
        try:
            rows = self._client.rows("ProspectLists", "", columns, size=MOST_LISTS)
        except Forbidden:
            state.lists = None
            return set()
        now = {row["id"]: row for row in rows if not row.get("list_type", "").startswith(EXEMPT)}
        moved: set[str] = set()
        for key in state.lists.keys() - now.keys():
            moved |= state.lists.pop(key).members
        for key, row in now.items():
            moved |= self._compared(state.lists.setdefault(key, TargetList(row["name"])), row, due)
        if due:
            state.lists_at = self._now().isoformat()
        if sum(len(known.members) for known in state.lists.values()) > MOST_MEMBERS:
            state.lists = None
        return moved

    def _compared(self, known: TargetList, row: Row, due: bool) -> set[str]:
        """Whom a list that may have changed concerns. What this very look showed of it is in `known` already."""
        renamed = known.name != row["name"]
        moved = set(known.members) if renamed else set()
        count = str(row.get("entry_count", ""))
        # A list that nobody has looked into yet is not known to be as the last count said.
        if due or renamed or known.count != count:
            members = {
                record_id(module, record)
                for module in self._modules
                for record in self._client.members("ProspectLists", row["id"], TABLES[module])
            }
            moved |= members ^ known.members
            known.members = members
        known.name, known.count = row["name"], count
        return moved


def _mark(row: Row) -> str:
    return digest(row)[:12]


def tombstone(record: str, row: Row) -> Record:
    """The record of a row in the bin: its time is that of the deletion (note, deleted)."""
    return Record(record, None, modified=moment(row.get("date_modified")))


def changed_since(module: str, since: str, wide: bool) -> str:
    """The condition for rows that changed after `since`; wide: or whose addresses did."""
    table, at = TABLES[module], quoted(since)
    own = f"{table}.date_modified > {at}"
    if not wide:
        return own
    of_module = f"eabr.bean_module = {quoted(module)}"
    links = f"select eabr.bean_id from email_addr_bean_rel eabr where {of_module} and eabr.date_modified > {at}"
    flags = (
        "select eabr.bean_id from email_addr_bean_rel eabr join email_addresses ea on ea.id = eabr.email_address_id"
        f" where {of_module} and ea.date_modified > {at}"
    )
    return f"({own} or {table}.id in ({links}) or {table}.id in ({flags}))"


def takes_wide(client: Client, module: str, since: str) -> bool:
    """Does this server take a query that asks for addresses?"""
    try:
        client.people(module, changed_since(module, since, True), size=1, probing=True)
    except Unsupported:
        return False
    return True
