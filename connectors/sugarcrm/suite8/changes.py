"""How changes and deletions are found through V8, and the cursor they leave behind.

Times come without their seconds under the default time format (sugarcrm note, V8), but filters compare whole ones. So
the last change is known to the minute (`since`); each look begins a minute before it, and what was shown already is
known by its fingerprint. Once two looks that were `PAST` apart found the same last minute, it is over, and the next
look begins after it.

There is no feed of deletions (live notes). Rows that were entered before a minute can only become fewer, by deletions:
one count of them a run is compared with the last one. When it differs, or while there are rows younger than that, all
ids are listed, and the engine takes the difference.

Flags of addresses do not move a contact. All addresses that have one are few: they are listed once a run, and when they
are others than before, everything is listed in full, for an address does not tell who has it. So do accounts when more
than `MOST_ACCOUNTS` changed; of fewer, the contacts are read again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.card import digest, email_key
from connectors.contract import Page, Record
from connectors.errors import CursorExpired, Missing, Refused
from connectors.sugarcrm.mapping import flags_of, record_id
from connectors.sugarcrm.suite8 import mapping
from connectors.sugarcrm.suite8.client import IDS, Client
from connectors.sugarcrm.suite8.mapping import ADDRESS, READ, minute

Row = Mapping[str, Any]

PAST: Final = timedelta(seconds=120)
MINUTE: Final = timedelta(minutes=1)
MOST_RECENT: Final = 5_000
MOST_ACCOUNTS: Final = 20
VERSION: Final = 1


@dataclass
class Watch:
    """What is known of one module. since: the minute of its last change. read: our time when it was first found to be
    the last; settled: it is over."""

    since: str = ""
    read: str = ""
    settled: bool = False

    @property
    def start(self) -> str:
        """The time that the next look begins with."""
        if not self.since:
            return ""
        at = datetime.fromisoformat(self.since) + (MINUTE if self.settled else -MINUTE)
        return at.strftime("%Y-%m-%d %H:%M:%S")

    def seen(self, until: str, asked: datetime) -> None:
        """Everything until then was read, in a look that began at this time of ours."""
        if until > self.since:
            self.since, self.read, self.settled = until, asked.isoformat(), False
        elif self.read and not self.settled:
            self.settled = asked - datetime.fromisoformat(self.read) >= PAST


@dataclass
class State:
    """The cursor.

    recent: {id: fingerprint} of what the last look showed. before, count: how many rows were entered before that time.
    young: there are rows that were entered later. accounts: {id: name}, likewise of the last look.
    flags: a digest of the addresses with flags. full, listing: as in v4_1's.
    """

    modules: dict[str, Watch]
    account: Watch = field(default_factory=Watch)
    recent: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    young: bool = False
    flags: str = ""
    full: str = ""
    listing: tuple[str, str] | None = None

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
        rest["account"] = Watch(**cursor["account"])
        rest["listing"] = tuple(cursor["listing"]) if cursor["listing"] else None
        return cls(**rest)


class Pull:
    """One call of `changes`; as v4_1's."""

    def __init__(
        self,
        client: Client,
        modules: Sequence[str],
        now: Callable[[], datetime],
        size: int,
        full_every: timedelta,
    ) -> None:
        self._client, self._modules, self._now = client, list(modules), now
        self._size, self._full_every = size, full_every
        self._marks: dict[str, str] = {}
        self._flagged: dict[str, Row] = {}

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """See `Connector.changes`."""
        state = None if cursor is None else State.load(cursor, self._modules)
        self._flagged = flagged(self._client)
        flags = digest({"flags": sorted(map(str, self._flagged.items()))})
        stale = state is None or (not state.listing and self._due(state))
        if state is None or stale or state.flags != flags:
            yield from self._list(self._start(flags), complete=True)
            return
        if state.listing:
            yield from self._list(state, complete=False)
        yield from self._news(state)

    def _due(self, state: State) -> bool:
        return self._now() - datetime.fromisoformat(state.full) >= self._full_every

    def _record(self, module: str, row: Row) -> Record:
        return mapping.record(module, mapping.full(row, self._flagged))

    # --- everything --------------------------------------------------------------------------------------------------

    def _start(self, flags: str) -> State:
        state = State({module: Watch() for module in self._modules}, flags=flags, full=self._now().isoformat())
        state.listing, state.young = (self._modules[0], ""), True
        for module, watch in state.modules.items():
            watch.seen(self._newest(module), self._now())
        state.account.seen(self._newest("Accounts") if "Contacts" in self._modules else "", self._now())
        return state

    def _newest(self, module: str) -> str:
        """The minute of a module's last change."""
        return minute(self._client.newest(module))

    def _list(self, state: State, *, complete: bool) -> Iterator[Page]:
        assert state.listing
        for module in self._modules[self._modules.index(state.listing[0]) :]:
            after = state.listing[1] if module == state.listing[0] else ""
            for rows in self._client.walk(module, [], READ, self._size, after):
                state.listing = (module, rows[-1]["id"])
                self._keep(module, rows, state)
                yield Page(records=[self._record(module, row) for row in rows], cursor=state.dump())
        state.listing = None
        yield Page(cursor=state.dump(), complete=complete)

    def _keep(self, module: str, rows: Sequence[Row], state: State) -> None:
        """Remember those rows that the next look will meet again."""
        start = state.modules[module].start
        young = [row for row in rows if minute(row.get("date_modified")) >= start]
        if len(state.recent) + len(young) <= MOST_RECENT:
            state.recent |= {record_id(module, row["id"]): _mark(row) for row in young}

    # --- what is new -------------------------------------------------------------------------------------------------

    def _news(self, state: State) -> Iterator[Page]:
        asked = self._now()
        accounts = self._accounts(state, asked)
        if accounts is None:
            yield from self._list(self._start(state.flags), complete=True)
            return
        due = state.young
        for module in self._modules:
            due = self._fewer(module, state) or due
        for module, watch in state.modules.items():
            until = watch.since
            where = [("date_modified", "gte", watch.start)] if watch.start else []
            for rows in self._client.walk(module, where, READ, self._size):
                until = max(until, *(minute(row.get("date_modified")) for row in rows))
                yield Page(records=self._shown(module, rows, state))
            watch.seen(until, asked)
        yield Page(records=self._shown("Contacts", self._of_accounts(accounts), state))
        self._anchor(state)
        if due:
            yield from self._sweep(state)
        state.recent = self._marks if len(self._marks) <= MOST_RECENT else {}
        yield Page(cursor=state.dump(), complete=due)

    def _shown(self, module: str, rows: Sequence[Row], state: State) -> list[Record]:
        """Records of those rows that were not shown as they are, neither by the last look nor by this one."""
        records = []
        for row in rows:
            record = record_id(module, row["id"])
            mark = _mark(row)
            if self._marks.get(record, state.recent.get(record)) != mark:
                records.append(self._record(module, row))
            self._marks[record] = mark
        return records

    def _accounts(self, state: State, asked: datetime) -> list[str] | None:
        """The accounts that changed and were not shown so by the last look; None: too many."""
        if "Contacts" not in self._modules:
            return []
        start = state.account.start
        where = [("date_modified", "gte", start)] if start else []
        rows, _ = self._client.page("Accounts", where, ["name", "date_modified"], MOST_ACCOUNTS + 1)
        if len(rows) > MOST_ACCOUNTS:
            return None
        state.account.seen(max([state.account.since, *(minute(row.get("date_modified")) for row in rows)]), asked)
        names = {row["id"]: str(row.get("name") or "") for row in rows}
        fresh = [record for record, name in names.items() if state.accounts.get(record) != name]
        state.accounts = names
        return fresh

    def _of_accounts(self, accounts: Sequence[str]) -> list[Row]:
        rows: list[Row] = []
        for account in accounts:
            for contact in self._client.linked("Accounts", account, "contacts"):
                if contact not in self._marks:
                    try:
                        rows.append(self._client.get("Contacts", contact, READ))
                    except Missing:
                        continue
        return rows

    # --- deletions ---------------------------------------------------------------------------------------------------

    def _fewer(self, module: str, state: State) -> bool:
        """Are some of the rows gone that were counted?"""
        before = state.before.get(module, "")
        if not before:
            return False
        now = self._client.count(module, [("date_entered", "lt", before)])
        fewer, state.count[module] = now != state.count[module], now
        return fewer

    def _anchor(self, state: State) -> None:
        """Count the rows that cannot become more any more; before all ids are listed, so that nothing goes unnoticed
        between the two."""
        state.young = False
        for module, watch in state.modules.items():
            before = watch.start
            state.young = state.young or (bool(before) and not watch.settled)
            if before and before != state.before.get(module):
                state.before[module] = before
                state.count[module] = self._client.count(module, [("date_entered", "lt", before)])

    def _sweep(self, state: State) -> Iterator[Page]:
        """All ids: the engine finds those that are gone."""
        for module in self._modules:
            for rows in self._client.walk(module, [], ["date_entered"], IDS):
                yield Page(listed={record_id(module, row["id"]): None for row in rows})


def _mark(row: Row) -> str:
    return digest(row)[:12]


def flagged(client: Client) -> dict[str, Row]:
    """The addresses that opted out or do not work, by folded address."""
    where = [("opt_out", "eq", "1"), ("invalid_email", "eq", "1")]
    found: dict[str, Row] = {}
    try:
        for rows in client.either("EmailAddresses", where, ADDRESS, IDS):
            found |= {email_key(str(row.get("email_address") or "")): flags_of(row) for row in rows}
    except Refused:  # the module is not open here: `check` says so
        return {}
    return found
