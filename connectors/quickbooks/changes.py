"""What is new in QuickBooks: change data capture, and listings where it does not reach.

CDC looks back 30 days and gives 1,000 objects in all, without pages (accounting note, part B). So:

- The place to go on from is the server's time of the answer, less an overlap; what the overlap shows again is known
  by a mark of the row and left out.
- An answer of 1,000 objects is not trusted. The entities are asked for one by one; where a single one still fills the
  answer, all is listed: a listing gives 1,000 rows a request as well, and CDC cannot be asked for an earlier half, as
  it has no upper end.
- A place older than 29 days is expired.
- Merged records vanish without a trace ("only the webhook tells"), so everything is listed again now and then.

A listing is ordered by Id and takes in inactive rows, so that rows do not move while it goes on. Each page begins with
the last row of the one before: where it does not, rows have moved all the same, and it steps back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from connectors.errors import CursorExpired, Refused, Unreachable
from connectors.quickbooks.client import PAGE, Client, Row, moment

VERSION: Final = 1
OVERLAP: Final = timedelta(seconds=90)
"""Writes that were under way while CDC was asked show with a time before it."""
LOOK_BACK: Final = timedelta(days=29)
"""CDC knows 30 days; one is left for the way there and for clocks."""
MOST_STEPS_BACK: Final = 20

Rows = Sequence[tuple[str, Row]]
"""(entity, row), in order."""


@dataclass(frozen=True)
class Step:
    """Rows, and the cursor once they are in the store. listed: "entity/id" of rows that are there as they were shown
    before. complete: the last step of a listing of everything."""

    rows: Rows
    listed: Sequence[str] = ()
    cursor: Any = None
    complete: bool = False


@dataclass
class Place:
    """Where to go on: {since: server time, full: when all was listed last, recent: {entity/id: mark}}."""

    since: datetime
    full: datetime
    recent: dict[str, str] = field(default_factory=dict)


@dataclass
class Feed:
    """One kind of news. entities: what is read. where: what narrows a listing down. relist: hours after which all is
    listed again, None: never of its own accord. sweep: list all at once where CDC falls short, else say that the place
    is expired."""

    client: Client
    entities: Sequence[str]
    now: Callable[[], datetime]
    where: str = ""
    relist: float | None = None
    sweep: bool = True

    def steps(self, cursor: Any | None) -> Iterator[Step]:
        """Everything, or what changed since. Only the last step has a cursor: what broke off begins again."""
        place = None if cursor is None else self._load(cursor)
        if place is None or self._is_due(place):
            yield from self._everything()
            return
        found = self._changed(place)
        if found is None:
            yield from self._everything(place.recent)
            return
        rows, at = found
        following = Place(at - OVERLAP, place.full)
        news = []
        for entity, row in rows:
            name, mark = f"{entity}/{row.get('Id')}", _mark(row)
            if place.recent.get(name) != mark:
                news.append((entity, row))
            _remember(following, name, mark, row)
        yield Step(news, cursor=self._dump(following))

    def _is_due(self, place: Place) -> bool:
        return self.relist is not None and self.now() - place.full >= timedelta(hours=self.relist)

    def _load(self, cursor: Any) -> Place:
        known = isinstance(cursor, Mapping) and cursor.get("v") == VERSION
        if not known or list(cursor.get("entities") or ()) != list(self.entities):
            raise CursorExpired("this place was kept by other settings; everything is listed again")
        since, full = moment(cursor.get("since")), moment(cursor.get("full"))
        if since is None or full is None:
            raise CursorExpired("this place has no time; everything is listed again")
        if self.now() - since > LOOK_BACK:
            raise CursorExpired("QuickBooks tells changes of the last 30 days only; everything is listed again")
        return Place(since, full, dict(cursor.get("recent") or {}))

    def _dump(self, place: Place) -> dict[str, Any]:
        return {
            "v": VERSION,
            "entities": list(self.entities),
            "since": place.since.isoformat(),
            "full": place.full.isoformat(),
            "recent": place.recent,
        }

    # --- what changed

    def _changed(self, place: Place) -> tuple[Rows, datetime] | None:
        """(the rows that changed, the server's time before any was asked for); None where CDC cannot tell."""
        rows = self._cdc(self.entities, place.since)
        at = self._clock()
        if rows is not None:
            return rows, at
        parts = [self._cdc([entity], place.since) for entity in self.entities] if len(self.entities) > 1 else [None]
        if None not in parts:
            return [row for part in parts for row in part or ()], at
        if self.sweep:
            return None
        raise CursorExpired("more changed in QuickBooks than it can tell; everything is listed again")

    def _cdc(self, entities: Sequence[str], since: datetime) -> Rows | None:
        """The rows that changed, None where the answer is full."""
        try:
            found = self.client.changed(entities, since)
        except Refused as refused:
            raise CursorExpired(f"QuickBooks does not tell what changed since {since:%Y-%m-%d}: {refused}") from None
        rows = [(entity, row) for entity, part in found.items() for row in part]
        return None if len(rows) >= PAGE else rows

    def _clock(self) -> datetime:
        """The server's time of the last answer."""
        if self.client.clock is None:
            raise Unreachable("QuickBooks did not tell its time; without it the changes cannot be followed")
        return self.client.clock

    # --- everything

    def _everything(self, known: Mapping[str, str] = MappingProxyType({})) -> Iterator[Step]:
        """All rows. known: marks of those that were shown just now."""
        place: Place | None = None
        for entity in self.entities:
            for rows in self._walk(entity):
                place = place or Place(self._clock() - OVERLAP, self.now())
                marks = {f"{entity}/{row['Id']}": _mark(row) for row in rows}
                for (name, mark), row in zip(marks.items(), rows, strict=True):
                    _remember(place, name, mark, row)
                shown = {name for name, mark in marks.items() if known.get(name) == mark}
                named = list(zip(marks, rows, strict=True))
                there = [name for name, row in named if name in shown and row.get("Active", True)]
                yield Step([(entity, row) for name, row in named if name not in shown], there)
        assert place is not None, "each entity has a page, be it empty"
        yield Step((), cursor=self._dump(place), complete=True)

    def _walk(self, entity: str) -> Iterator[list[Row]]:
        """All rows of an entity, each once."""
        position, last, back = 1, "", 0
        seen: set[str] = set()
        while True:
            where = f" where {self.where}" if self.where else ""
            page = f" startposition {position} maxresults {PAGE}"
            rows = self.client.query(f"select * from {entity}{where} orderby Id{page}").get(entity, [])
            if last and (not rows or rows[0]["Id"] != last):
                back += 1
                if back > MOST_STEPS_BACK:
                    raise Unreachable(
                        f"the list of {entity}s changes while it is read; it begins again at the next turn"
                    )
                position, last = max(1, position - PAGE), ""
                continue
            new = [row for row in rows if row["Id"] not in seen]
            seen.update(row["Id"] for row in new)
            yield new
            if len(rows) < PAGE:
                return
            position, last = position + len(rows) - 1, rows[-1]["Id"]


def updated(row: Row) -> datetime | None:
    """When it last changed."""
    return moment((row.get("MetaData") or {}).get("LastUpdatedTime"))


def is_deleted(row: Row) -> bool:
    return bool(row.get("status") == "Deleted")


def _mark(row: Row) -> str:
    """What a row is known by when it is shown again."""
    return hashlib.blake2b(json.dumps(row, sort_keys=True, default=str).encode(), digest_size=6).hexdigest()


def _remember(place: Place, name: str, mark: str, row: Row) -> None:
    """Keep the mark of a row that the overlap will show again. Whoever is deleted need not say when."""
    at = updated(row)
    if at is None or at >= place.since:
        place.recent[name] = mark
