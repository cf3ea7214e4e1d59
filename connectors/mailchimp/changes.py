"""How changes and deletions are found, and the cursor that they leave behind.

`since_last_changed` brings the members that changed, all but the archived, and asked with `status=archived` those that
were archived (mailchimp note 5). Places are told by `last_changed` as Mailchimp gave it, never by our clock. Listings
show writes late, so the last five minutes are read twice; what was seen in them is remembered by its version, so that
nothing is given twice. Once a look that came five minutes later found nothing newer, the place is settled and the next
looks begin there: then a silent run is one row of nothing, twice.

Pages go by place, not by offset: each begins with the second in which the one before it ended, so no row slips between
two, however the set moves. Only within one second, which may be a whole import, rows are counted off. From the second
page on the window is frozen: what changes meanwhile is the next run's.

What is deleted for good is never reported, and tags and interests may change without a trace (note 5). So once in
`sweep_every` hours all ids are listed with what makes up their versions. The engine reads those whose version differs,
and takes for deleted what was not named; a listing is complete when it named no fewer than there were when it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.contract import Page, Record
from connectors.errors import CursorExpired
from connectors.mailchimp.client import FIELDS, LIGHT, Client
from connectors.mailchimp.layout import Layout
from connectors.mailchimp.mapping import Member, joined, record_id, version

OVERLAP: Final = timedelta(minutes=5)
SECOND: Final = timedelta(seconds=1)
FREEZE: Final = timedelta(minutes=1)
"""How far ahead of our clock a frozen window ends, for clocks that differ."""
RETRY: Final = timedelta(hours=1)
"""When to list everything again after a listing that was not complete."""
MOST_RECENT: Final = 2_000
"""How many versions the cursor remembers; beyond, a member may come twice."""
VERSION: Final = 1
ARCHIVED: Final = "archived"


@dataclass
class Watch:
    """A place among the members, or among the archived ones.

    since: the last `last_changed` that was seen. read: our time when it was first. settled: nothing can come before it
    any more. recent: {id: version} of what was seen near it.
    """

    since: str = ""
    read: str = ""
    settled: bool = False
    recent: dict[str, str] = field(default_factory=dict)

    @property
    def start(self) -> str:
        """Where the next look begins."""
        return self.since if self.settled or not self.since else _shifted(self.since, -OVERLAP)

    def news(self, rows: Sequence[Member], now: datetime) -> list[Member]:
        """Those of the rows that were not seen yet. They are from now on."""
        found = [row for row in rows if self.recent.get(record_id(row)) != version(row)]
        newest = max((str(row["last_changed"]) for row in rows), default="")
        if newest > self.since:
            self.since, self.read, self.settled = newest, now.isoformat(), False
        self.recent.update((record_id(row), version(row)) for row in rows)
        return found

    def looked(self, now: datetime) -> None:
        """A look has ended: forget what cannot come again."""
        late = bool(self.read) and now - datetime.fromisoformat(self.read) >= OVERLAP
        self.settled = self.settled or late
        self.trim()

    def trim(self) -> None:
        """Remember no more than the next look may show."""
        start = self.start
        near = {name: seen for name, seen in self.recent.items() if seen.partition("/")[0] >= start}
        self.recent = dict(sorted(near.items(), key=lambda item: item[1])[-MOST_RECENT:])


@dataclass
class State:
    """The cursor. layout: as it was discovered, with `fingerprint` of what it means; swept: when everything was last
    listed, "" for not yet."""

    layout: Mapping[str, Any]
    fingerprint: str
    live: Watch = field(default_factory=Watch)
    archived: Watch = field(default_factory=Watch)
    swept: str = ""

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"v": VERSION, **asdict(self)}

    @classmethod
    def load(cls, cursor: Any) -> State:
        """From JSON. Raises CursorExpired where it is none of this version."""
        if not isinstance(cursor, dict) or cursor.get("v") != VERSION:
            raise CursorExpired("this place is none of ours; everything is listed again")
        rest = {name: value for name, value in cursor.items() if name != "v"}
        for name in ("live", "archived"):
            rest[name] = Watch(**{**rest[name], "recent": dict(rest[name]["recent"])})
        return cls(**rest)


class Pull:
    """One call of `changes`.

    discover: asks for the audience's layout. record: makes a record of a member. adopt: is told which layout holds.
    """

    def __init__(
        self,
        client: Client,
        *,
        discover: Callable[[], Layout],
        remembered: Callable[[Mapping[str, Any]], Layout],
        adopt: Callable[[Layout], object],
        record: Callable[[Member], Record],
        now: Callable[[], datetime],
        page_size: int,
        sweep_every: timedelta,
    ) -> None:
        self._client, self._now, self._size, self._every = client, now, page_size, sweep_every
        self._discover, self._remembered, self._adopt, self._record = discover, remembered, adopt, record
        self._total = 0

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """See `Connector.changes`."""
        if cursor is None:
            yield from self._everything()
            return
        state = State.load(cursor)
        due = not state.swept or self._now() - datetime.fromisoformat(state.swept) >= self._every
        layout = self._discover() if due else self._remembered(state.layout)
        self._take(state, layout)
        yield from self._news(state, layout)
        if due:
            yield from self._sweep(state)

    def _take(self, state: State, layout: Layout) -> None:
        """Go on with this layout, if views made by the former one still hold."""
        former = self._remembered(state.layout)
        same = former.fingerprint == state.fingerprint and layout.extends(former)
        if layout.fingerprint != state.fingerprint and not same:
            raise CursorExpired("the audience's fields or groups are other ones now; everything is read again")
        state.layout, state.fingerprint = layout.as_json(), layout.fingerprint
        self._adopt(layout)

    # -- everything

    def _everything(self) -> Iterator[Page]:
        layout = self._discover()
        self._adopt(layout)
        state = State(layout.as_json(), layout.fingerprint)
        newest = self._client.members(LIGHT, status=ARCHIVED, sort_field="last_changed", sort_dir="DESC", count="1")
        state.archived.news(newest.get("members") or (), self._now())
        named: dict[str, str] = {}
        records: list[Record] = []
        for rows in self._walk("", FIELDS):
            if records:
                yield Page(records, cursor=state.dump(), total=self._total)
            fresh = [row for row in rows if named.get(record_id(row)) != version(row)]
            state.live.news(rows, self._now())
            state.live.trim()
            named.update((record_id(row), version(row)) for row in fresh)
            layout = self._up_to_date(state, layout, fresh)
            records = [self._record(row) for row in fresh]
        complete = len(named) >= self._total
        state.swept = self._now().isoformat() if complete else ""
        state.live.looked(self._now())
        yield Page(records, cursor=state.dump(), complete=complete, total=self._total)

    def _up_to_date(self, state: State, layout: Layout, rows: Sequence[Member]) -> Layout:
        """The layout, asked for again where a member has an interest that it does not know."""
        if all(id_ in layout.interests for row in rows for id_ in joined(row)):
            return layout
        layout = self._discover()
        self._take(state, layout)
        return layout

    # -- what changed

    def _news(self, state: State, layout: Layout) -> Iterator[Page]:
        for rows in self._walk(state.live.start, FIELDS, frozen=True):
            fresh = state.live.news(rows, self._now())
            state.live.trim()
            layout = self._up_to_date(state, layout, fresh)
            yield Page([self._record(row) for row in fresh], cursor=state.dump())
        state.live.looked(self._now())
        for rows in self._walk(state.archived.start, FIELDS, frozen=True, status=ARCHIVED):
            gone = state.archived.news(rows, self._now())
            state.archived.trim()
            yield Page([self._record(row) for row in gone], cursor=state.dump())
        state.archived.looked(self._now())
        yield Page(cursor=state.dump())

    # -- what leaves no trace

    def _sweep(self, state: State) -> Iterator[Page]:
        named: set[str] = set()
        for rows in self._walk("", LIGHT):
            listed = {record_id(row): version(row) for row in rows}
            named.update(listed)
            yield Page(listed=listed, total=self._total)
        complete = len(named) >= self._total
        state.swept = (self._now() - (timedelta() if complete else self._every - RETRY)).isoformat()
        yield Page(cursor=state.dump(), complete=complete)

    # -- pages

    def _walk(
        self, since: str, fields: Sequence[str], *, frozen: bool = False, **filters: str
    ) -> Iterator[list[Member]]:
        """The members from this place on, by the time of their last change. `_total` is how many there are."""
        until = (self._now() + FREEZE).replace(microsecond=0).isoformat() if frozen else ""
        offset, first = 0, True
        while True:
            params = {"sort_field": "last_changed", "sort_dir": "ASC", "count": str(self._size), **filters}
            params |= {"since_last_changed": since} if since else {}
            params |= {"before_last_changed": until} if until and not first else {}
            params |= {"offset": str(offset)} if offset else {}
            answer = self._client.members(fields, **params)
            rows = list(answer.get("members") or ())
            there = int(answer.get("total_items") or 0)
            self._total, first = (there if first else self._total), False
            if rows:
                yield rows
            if not rows or offset + len(rows) >= there:
                return
            first_second, second = (str(rows[at]["last_changed"]) for at in (0, -1))
            place = _shifted(second, -SECOND)
            moves = place > since and first_second != second
            since, offset = (place, 0) if moves else (since, offset + len(rows))


def _shifted(text: str, by: timedelta) -> str:
    """A time of Mailchimp's moved. Never with fractions of a second: they make it ignore the filter (note 5)."""
    return (datetime.fromisoformat(text) + by).replace(microsecond=0).isoformat()
