"""When a connection's turn is. Pure: the same questions have the same answers (but for the jitter, which is chance).

A schedule is an interval (`30s`, `5m`, `1h`, `1d`) or a cron line of five fields; quiet hours are `22:00-06:00`.
APScheduler's triggers know how either goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EVERY: Final = re.compile(r"(\d+)([smhd])")
QUIET: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SHORTEST: Final = 5.0
"""Seconds between two runs of an interval: more often is not in time, it is in the way."""
FIRST_REST: Final = timedelta(minutes=1)
LONGEST_REST: Final = timedelta(hours=1)
"""How long a failing connection is left alone: a minute, then twice as long each time, up to an hour."""


def seconds(every: str) -> float:
    """How long `5m` is. Raises ValueError."""
    found = EVERY.fullmatch(every)
    if found is None:
        raise ValueError(f"{every!r} is no interval; write a number and a unit, as in 30s, 5m, 1h or 1d")
    return float(found[1]) * _SECONDS[found[2]]


def check_schedule(text: str) -> None:
    """Raises ValueError with what a schedule looks like."""
    if EVERY.fullmatch(text):
        if seconds(text) < SHORTEST:
            raise ValueError(f"{text} is too often; {SHORTEST:.0f}s is the least")
        return
    try:
        trigger = _cron(text, ZoneInfo("UTC"))
        if trigger.get_next_fire_time(None, datetime(2024, 1, 1, tzinfo=UTC)) is None:
            raise ValueError("there is no such day")
    except ValueError as error:
        raise ValueError(
            "a number and a unit, as in 30s, 5m, 1h or 1d, or a cron line of five fields, as in "
            f"`*/15 8-18 * * mon-fri` ({error})"
        ) from None


def check_quiet(text: str) -> None:
    """Raises ValueError with what quiet hours look like."""
    found = QUIET.fullmatch(text)
    if found is None or found.groups()[:2] == found.groups()[2:]:
        raise ValueError("from when to when, as in 22:00-06:00")


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name (IANA). Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; use a name as in Europe/Berlin or UTC") from None


def quiet_until(quiet: str | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end in which `now` is; None where it is in none."""
    found = QUIET.fullmatch(quiet or "")
    if found is None:
        return None
    begins, ends = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    here = now.astimezone(zone)
    this = here.time()
    inside = begins <= this < ends if begins < ends else this >= begins or this < ends
    if not inside:
        return None
    day = here.date() if this < ends else here.date() + timedelta(days=1)
    return datetime.combine(day, ends, zone).astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a connection's last run. failures: how many failed in a row."""

    started: datetime | None = None
    finished: datetime | None = None
    failures: int = 0


def next_run(schedule: str, past: Past, now: datetime, zone: ZoneInfo, *, jitter: bool = True) -> datetime:
    """When the connection's next turn is, or was: a moment of the past means that it is due.

    jitter: spread by up to a tenth of the interval, half a minute at most, so that not everybody comes at once.
    """
    if past.failures:
        return (past.finished or past.started or now) + rest(past.failures)
    trigger = _interval(schedule, now, zone) if EVERY.fullmatch(schedule) else _cron(schedule, zone)
    if past.started is None and EVERY.fullmatch(schedule):
        return now
    trigger.jitter = _spread(schedule) if jitter else None
    found: datetime = trigger.get_next_fire_time(past.started, now)
    return found.astimezone(now.tzinfo)


def rest(failures: int) -> timedelta:
    """How long a connection is left alone after so many failures in a row."""
    doubled: timedelta = FIRST_REST * 2 ** min(failures - 1, 10)
    return min(doubled, LONGEST_REST)


def _spread(schedule: str) -> float:
    return min(30.0, seconds(schedule) / 10) if EVERY.fullmatch(schedule) else 30.0


def _interval(schedule: str, now: datetime, zone: ZoneInfo) -> Any:
    from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped]

    return IntervalTrigger(seconds=max(SHORTEST, seconds(schedule)), start_date=now, timezone=zone)


def _cron(line: str, zone: ZoneInfo) -> Any:
    from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]

    *fields, days = line.split()
    return CronTrigger.from_crontab(" ".join([*fields, _days(days)]), timezone=zone)


def _days(field: str) -> str:
    """The days of a week by name: in a cron line 0 and 7 are Sunday, to APScheduler 0 is Monday."""
    return ",".join(_named(part) for part in field.split(","))


def _named(part: str) -> str:
    found = re.fullmatch(r"([0-7])(?:-([0-7]))?(/\d+)?", re.sub(r"^\*/", "0-6/", part))
    if found is None:
        return part
    first, step = int(found[1]), int((found[3] or "/1")[1:])
    last = int(found[2]) if found[2] else (6 if found[3] else first)
    if last < first or step < 1:
        raise ValueError(f"{part} names no days")
    return ",".join(dict.fromkeys(DAYS[day % 7] for day in range(first, last + 1, step)))
