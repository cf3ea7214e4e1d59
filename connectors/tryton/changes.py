"""How changes and deletions are found: `Pull.changes`, and the cursor it leaves behind.

Changes: a party's `write_date` does not move with those of its contact mechanisms, addresses and categories
(accounting note C), so one search asks for the parties where any of these was written since (categories with their
parents, whose names are part of theirs). The link between a party and a category cannot be read (it has no RPC,
observed: HTTP 403), but is only written with its party. Times are those of the beginning of a transaction, so the last
`OVERLAP` seconds are read again, and what was seen in them is remembered: a silent run gives nothing twice.

Deletions leave no row, but those by users leave one in Tryton's own log (`ir.model.log`, modelstorage.py). It does not
say of what, once that is gone (observed: `resource` is empty), but can be searched by it. So one request a run tells
whether anything was deleted at all:
- parties: all ids are listed, and the engine takes the difference;
- rows of a party: their party was written in the same transaction and is among the changes, or else (rows deleted from
  a list of their own, categories) everything is read again.
Who may not read the log lists all ids in every run. What is deleted behind Tryton's back, by scripts and in SQL, shows
in the full reading once in `full_every` hours.

Archived parties are deleted ones; those that were merged into another are its aliases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from connectors.contract import Page, Record, batched
from connectors.errors import CursorExpired, Refused
from connectors.tryton import mapping
from connectors.tryton.client import PARTY, Broken, Client, Domain, Row, encode

PAGE: Final = 500
"""Parties read at once; Tryton reads in chunks of 1,000 rows (config: database, in_max)."""
OVERLAP: Final = timedelta(seconds=60)
"""What is read twice: how long a transaction may take without its changes being missed till the next full reading."""
MOST_RECENT: Final = 2_000
"""How much the cursor remembers; beyond, parties come twice."""
VERSION: Final = 1

LOG: Final = "ir.model.log"
ROWS: Final = ("party.contact_mechanism", "party.address")
CATEGORY: Final = "party.category"
NAMED: Final = (
    "",
    "contact_mechanisms.",
    "addresses.",
    "categories.",
    "categories.parent.",
    "categories.parent.parent.",
)
"""Whose `write_date` says that a party's view may have changed."""


@dataclass
class State:
    """The cursor.

    since: everything that was written until then is known; the server's time. recent: {id: version} of what was seen
    that was written in the last seconds before. logged: the log's rows seen in these; None where we may not read it.
    full: when everything was last read, our time. after: the party after which the reading goes on that was begun at
    `began`; None: none is under way. listing: it is one of everything; first: nothing was known before.
    """

    since: str = ""
    recent: dict[str, str] = field(default_factory=dict)
    logged: list[int] | None = field(default_factory=list)
    full: str = ""
    after: int | None = None
    began: str = ""
    listing: bool = False
    first: bool = False

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"v": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def load(cls, cursor: Any) -> State:
        """From JSON. Raises CursorExpired where another version made it."""
        names = {"v", *(one.name for one in dataclasses.fields(cls))}
        if not isinstance(cursor, dict) or cursor.keys() != names or cursor["v"] != VERSION:
            raise CursorExpired("the place was kept by another version of this connector; everything is read again")
        return cls(**{name: value for name, value in cursor.items() if name != "v"})


class Pull:
    """One call of `changes`."""

    def __init__(self, client: Client, now: Callable[[], datetime], full_every: timedelta) -> None:
        self._client, self._now, self._full_every = client, now, full_every
        self._seen: dict[str, str] = {}

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """See `Connector.changes`."""
        if cursor is None:
            yield from self._everything(first=True)
            return
        state = State.load(cursor)
        if state.listing:
            yield from self._rest(state)
            return
        if self._now() - datetime.fromisoformat(state.full) >= self._full_every:
            yield from self._everything(first=False)
            return
        deleted = self._deleted(state)
        if deleted.everything:
            yield from self._everything(first=False)
            return
        # The ids first: what is merged or deleted after they were listed counts as being there, till the next run.
        ids = self._ids() if deleted.parties else None
        yield from self._news(state)
        state.logged = deleted.logged
        listed = dict.fromkeys(map(str, ids or ()))
        yield Page(listed=listed, cursor=state.dump(), complete=ids is not None)

    # -- everything

    def _ids(self) -> list[int]:
        return self._client.ids(PARTY, [["active", "=", True]])

    def _everything(self, *, first: bool) -> Iterator[Page]:
        total = len(self._ids())
        began = self._clock()
        logged = self._log([["create_date", ">", encode(began - OVERLAP)]])
        state = State(logged=logged, began=began.isoformat(), listing=True, first=first, after=0)
        yield from self._list(state, complete=True, total=total)

    def _rest(self, state: State) -> Iterator[Page]:
        """Go on with a reading of everything that was broken off, then with what changed since it began. It did not
        name everything in one go, so the ids do."""
        ids = self._ids()
        yield from self._list(state)
        yield from self._news(state)
        yield Page(listed=dict.fromkeys(map(str, ids)), cursor=state.dump(), complete=True)

    def _list(self, state: State, *, complete: bool = False, total: int | None = None) -> Iterator[Page]:
        aliases = self._aliases()
        while True:
            domain = [["active", "=", True], ["id", ">", state.after or 0]]
            rows = self._client.rows(PARTY, domain, mapping.READ, limit=PAGE)
            records = [record(row, aliases.get(row["id"], ()), dated=state.first) for row in rows]
            self._remember(rows, records, datetime.fromisoformat(state.began))
            if len(rows) < PAGE:
                break
            state.after = rows[-1]["id"]
            yield Page(records=records, cursor=state.dump(), total=total)
        state.since, state.full = state.began, self._now().isoformat()
        state.listing, state.after, state.began = False, None, ""
        state.recent = self._recent()
        yield Page(records=records, cursor=state.dump(), complete=complete, total=total)

    def _aliases(self) -> dict[int, list[str]]:
        """Who was merged into whom, by who is left."""
        rows = self._client.rows(PARTY, [["replaced_by", "!=", None]], ["replaced_by"])
        merged = {row["id"]: row["replaced_by"] for row in rows}
        found: dict[int, list[str]] = {}
        for loser in merged:
            found.setdefault(last(loser, merged), []).append(str(loser))
        return found

    # -- what is new

    def _news(self, state: State) -> Iterator[Page]:
        """The parties that were written since. A reading that was broken off goes on after the last party."""
        since = encode(datetime.fromisoformat(state.since) - OVERLAP)
        written = ["OR", *([f"{name}{date}", ">", since] for name in NAMED for date in ("write_date", "create_date"))]
        if state.after is None:
            state.after, state.began = 0, ""
        while True:
            domain: Domain = [written, ["id", ">", state.after]]
            rows = self._client.rows(PARTY, domain, mapping.READ, limit=PAGE)
            state.began = state.began or self._clock().isoformat()
            records = self._changed(rows, state.recent)
            news = [one for one in records if one.aliases or state.recent.get(one.id) != _mark(one)]
            self._remember(rows, records, datetime.fromisoformat(state.began))
            if len(rows) < PAGE:
                break
            state.after = rows[-1]["id"]
            yield Page(records=news, cursor=state.dump())
        state.since, state.after, state.began, state.recent = state.began, None, "", self._recent()
        yield Page(records=news)

    def _changed(self, rows: list[Row], recent: Mapping[str, str]) -> list[Record]:
        """Records of changed parties, and of those that others were merged into."""
        left = {row["id"]: row for row in rows if not row["replaced_by"]}
        merged = {row["id"]: row["replaced_by"] for row in rows if row["replaced_by"]}
        aliases: dict[int, list[str]] = {}
        for loser in list(merged):
            mark = self._seen[str(loser)] = f"merged into {merged[loser]}"
            if recent.get(str(loser)) != mark:
                aliases.setdefault(survivor(self._client, loser, merged), []).append(str(loser))
        missing = [party for party in aliases if party not in left]
        left |= _rows(self._client, missing) if missing else {}
        return [record(row, aliases.get(row["id"], ())) for row in left.values()]

    def _remember(self, rows: list[Row], records: list[Record], began: datetime) -> None:
        """What was written so short before that the next run will see it again."""
        dates = {str(row["id"]): mapping.modified(row) for row in rows}
        for one in records:
            at = dates.get(one.id)
            if at is None or at > began - OVERLAP - OVERLAP:
                self._seen[one.id] = _mark(one)

    def _recent(self) -> dict[str, str]:
        return dict(list(self._seen.items())[-MOST_RECENT:])

    def _clock(self) -> datetime:
        return (self._client.clock or self._now()).astimezone(UTC)

    # -- what is gone

    def _log(self, domain: Domain) -> list[int] | None:
        """The log's rows about deletions; None where we may not read them, or there is no log (before 6.6)."""
        try:
            return self._client.ids(LOG, [["event", "=", "delete"], *domain])
        except (Refused, Broken):
            return None

    def _deleted(self, state: State) -> _Deleted:
        """What the log says was deleted since."""
        since = encode(datetime.fromisoformat(state.since) - OVERLAP)
        rows = None if state.logged is None else self._log([["create_date", ">", since]])
        if rows is None:
            return _Deleted(None, parties=True)
        new = sorted(set(rows) - set(state.logged or ()))
        if not new:
            return _Deleted(rows)
        parties, rows_of = self._about(new, [PARTY]), self._about(new, list(ROWS))
        times: set[datetime] = set()
        if rows_of:
            explained = [["event", "=", "write"], ["resource", "like", f"{PARTY},%"], ["create_date", ">", since]]
            times = self._times([["id", "in", rows_of]])
            times -= self._times(["OR", ["id", "in", parties], explained])
        everything = bool(times or self._about(new, [CATEGORY]))
        return _Deleted(rows, parties=bool(parties), everything=everything)

    def _about(self, rows: list[int], models: list[str]) -> list[int]:
        """Those of the log's rows that are about these models."""
        about = ["OR", *(["resource", "like", f"{model},%"] for model in models)]
        return self._client.ids(LOG, [["id", "in", rows], about])

    def _times(self, domain: Domain) -> set[datetime]:
        """When it was written: all that one transaction writes has one time."""
        return {row["create_date"] for row in self._client.rows(LOG, domain, ["create_date"])}


@dataclass(frozen=True)
class _Deleted:
    """What was deleted: parties, or what only shows when everything is read again. logged: as in `State`."""

    logged: list[int] | None
    parties: bool = False
    everything: bool = False


def record(row: Row, aliases: Any = (), *, dated: bool = True) -> Record:
    """A record of a party.

    dated: without its time where it may show an older state as the newer one: with a row that was deleted by itself
    its time is gone, too.
    """
    number = str(row["id"])
    if not row["active"]:
        return Record(number, None, aliases=tuple(aliases))
    shown = mapping.view(row)
    return Record(
        id=number,
        card=shown,
        version=mapping.version(row, shown),
        modified=mapping.modified(row) if dated else None,
        key=mapping.key(row),
        raw=mapping.memory(row),
        aliases=tuple(aliases),
        refused=None if shown else "the party has neither a name nor anything else; it was emptied or erased in Tryton",
    )


def last(party: int, merged: Mapping[int, int]) -> int:
    """Who is left of a chain of mergers."""
    seen = {party}
    while party in merged and merged[party] not in seen:
        party = merged[party]
        seen.add(party)
    return party


def survivor(client: Client, loser: int, merged: dict[int, int]) -> int:
    """Who is left of a chain of mergers; merged: those that are known, to which the others are added."""
    while True:
        found = last(loser, merged)
        rows = client.rows(PARTY, [["id", "=", found], ["replaced_by", "!=", None]], ["replaced_by"])
        if not rows or rows[0]["replaced_by"] in merged:
            return found
        merged[found] = rows[0]["replaced_by"]


def read(client: Client, ids: Sequence[str]) -> Iterator[Record]:
    """These parties; one that was merged comes as the party that is left, with its own id as an alias."""
    for batch in batched(dict.fromkeys(ids), PAGE):
        rows = _rows(client, [int(party) for party in batch if party.isdecimal()])
        merged = {row["id"]: row["replaced_by"] for row in rows.values() if row["replaced_by"]}
        left = {loser: survivor(client, loser, merged) for loser in list(merged)}
        missing = sorted(set(left.values()) - rows.keys())
        rows |= _rows(client, missing) if missing else {}
        for party in batch:
            row = rows.get(int(party)) if party.isdecimal() else None
            if row is None:
                yield Record(party, None)
            elif row["id"] in left and left[row["id"]] in rows:
                yield record(rows[left[row["id"]]], [party])
            else:
                yield record(row)


def _rows(client: Client, ids: Sequence[int]) -> dict[int, Row]:
    return {row["id"]: row for row in client.rows(PARTY, [["id", "in", list(ids)]], mapping.READ)}


def _mark(one: Record) -> str:
    return one.version or "gone"
