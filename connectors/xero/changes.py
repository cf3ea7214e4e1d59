"""Reading a listing of Xero in the order of its last change, so that no row is missed and none comes twice.

Pages by number are not safe while people work: a row that changes moves to the end, and the first row of the next page
moves up into the page that was just read. So the next page is asked for by time (If-Modified-Since) and only where
rows of one second fill a page by number. The cursor of a page is the time that it reaches, and what was seen within
the last minute before: that minute is read again with every run (accounting note A: overlap 60 s), and what did not
change in it is not shown again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.errors import CursorExpired
from connectors.xero.stamps import header, milliseconds

OVERLAP: Final = 60_000
"""Milliseconds that are read again."""
CALM: Final = 600_000
"""Milliseconds after which a change that we have not seen is not to be expected any more: a place that nothing has
moved for so long follows Xero's own clock, so that a quiet run does not read the last busy minute for ever."""
SECOND: Final = 1_000
ORDER: Final = "UpdatedDateUTC ASC"

Row = Mapping[str, Any]
Fetch = Callable[[str | None, int], Row]
"""An answer to (If-Modified-Since, page)."""


@dataclass(frozen=True)
class Place:
    """How far a listing was read. since: milliseconds, None: nothing yet. recent: {id: milliseconds} of what was seen
    in the minute before."""

    since: int | None = None
    recent: Mapping[str, int] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"since": self.since, "recent": dict(self.recent)}

    @classmethod
    def load(cls, kept: Any) -> Place:
        """From JSON. Raises CursorExpired where it is none of ours."""
        if not isinstance(kept, dict) or not isinstance(kept.get("recent"), dict):
            raise CursorExpired("the place was kept by another version; everything is listed again")
        return cls(kept.get("since"), kept["recent"])


@dataclass(frozen=True)
class Step:
    """One page. rows: those not seen yet as they are. place: once they are stored. total: of all rows, where told.
    proven: this is the last page, and as many rows came as there are."""

    rows: list[Row]
    place: Place
    last: bool
    proven: bool
    total: int | None


def walk(fetch: Fetch, name: str, key: str, place: Place) -> Iterator[Step]:
    """The rows that changed since `place`. name: of the list in an answer; key: of a row's id."""
    since = None if place.since is None else place.since - OVERLAP
    seen, listed, page, ordered = dict(place.recent), set[str](), 1, True
    total: int | None = None
    reached = place.since or 0
    while True:
        answer = fetch(None if since is None else header(since), page)
        rows, pagination = answer[name], answer.get("pagination") or {}
        stamps = [milliseconds(row.get("UpdatedDateUTC")) for row in rows]
        ordered = ordered and stamps == sorted(stamps)
        total = pagination.get("itemCount") if total is None else total
        news = [row for row, at in zip(rows, stamps, strict=True) if seen.get(row[key]) != at]
        seen |= {row[key]: at for row, at in zip(rows, stamps, strict=True)}
        listed.update(row[key] for row in rows)
        last = page >= pagination["pageCount"] if "pageCount" in pagination else not rows
        reached = max([reached, *stamps])
        if last and reached:
            reached = max(reached, milliseconds(answer.get("DateTimeUTC")) - CALM)
        if last or ordered:  # else what is on the pages to come may be older
            place = Place(reached or None, {row: at for row, at in seen.items() if at >= reached - OVERLAP})
        yield Step(news, place, last, last and total is not None and len(listed) >= total, total)
        if last:
            return
        # Rounded to seconds, and the second before: whether "since" includes its moment is not told.
        following = reached // SECOND * SECOND - SECOND
        if ordered and following > (since or 0):
            since, page = following, 1
        else:
            page += 1
