"""Webhooks: what remotes told us (deliveries), who wants to be told by us (subscriptions), and what they are told
(notices).

A notice names what changed and never a value: who may know more asks the API. So nothing here has to be forgotten with
a person. Notices are made from the journal and the runs, up to a place that every subscription has of its own: what is
committed there is told, whichever process wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Literal

import orjson
import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import changes, conflicts, connections, hook_deliveries, notices, people, runs, subscriptions

EVENTS: Final = ("person.changed", "conflict.opened", "run.finished")
STEP: Final = 1_000
"""Rows of the journal that become notices in one unit of work."""
PATHS: Final = 100
"""Most paths that one notice names."""
QUIET: Final = ("people", "linked", "updated", "archived", "created", "written", "deleted", "aside", "refused")
"""A run that did none of these is not worth a notice."""


# --- what remotes tell us


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that came. times: how often the very same one did."""

    id: int
    connection_id: int
    received: datetime
    size: int
    times: int


def receive(unit: Unit, connection: int, digest: str, size: int) -> bool:
    """Note that it came; True where it is the first of its kind."""
    here = sa.and_(hook_deliveries.c.connection_id == connection, hook_deliveries.c.digest == digest)
    again = sa.update(hook_deliveries).where(here).values(times=hook_deliveries.c.times + 1, received=unit.now)
    if unit.db.execute(again).rowcount:
        return False
    row = {"connection_id": connection, "digest": digest, "received": unit.now, "size": size, "times": 1}
    unit.db.execute(sa.insert(hook_deliveries).values(**row))
    return True


def deliveries(unit: Unit, connection: int, *, limit: int = 100) -> list[Delivery]:
    """What came last, newest first."""
    columns = [hook_deliveries.c[name] for name in Delivery.__slots__]
    query = sa.select(*columns).where(hook_deliveries.c.connection_id == connection)
    query = query.order_by(hook_deliveries.c.received.desc(), hook_deliveries.c.id.desc()).limit(limit)
    return [Delivery(*row) for row in unit.db.execute(query)]


# --- who wants to be told


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody who wants to be told. events: of which kinds, none named: of all. secret: encrypted. state "off": nobody
    is told; reason: why."""

    id: int
    url: str
    events: Sequence[str]
    secret: bytes
    state: Literal["active", "off"]
    reason: str | None
    created: datetime
    place: Mapping[str, Any]


_SUBSCRIPTION = [subscriptions.c[name] for name in Subscription.__slots__]


def subscribe(unit: Unit, url: str, events: Sequence[str], secret: bytes) -> int:
    """From now on they are told; the subscription's id. Raises ValueError where an event is not known."""
    if unknown := sorted(set(events) - {*EVENTS}):
        raise ValueError(f"there is no event {', '.join(unknown)}; there are: {', '.join(EVENTS)}")
    row = {"url": url, "events": [*events], "secret": secret, "state": "active", "created": unit.now}
    key = unit.db.execute(sa.insert(subscriptions).values(**row, place=_head(unit))).inserted_primary_key
    assert key is not None
    return int(key[0])


def unsubscribe(unit: Unit, subscription: int) -> bool:
    """They are told nothing any more; False where there is no such subscription."""
    return unit.db.execute(sa.delete(subscriptions).where(subscriptions.c.id == subscription)).rowcount == 1


def switch(unit: Unit, subscription: int, state: Literal["active", "off"], reason: str | None = None) -> bool:
    """On or off. What happened while it was off is told when it is on again; False where there is no such one."""
    query = sa.update(subscriptions).where(subscriptions.c.id == subscription).values(state=state, reason=reason)
    return unit.db.execute(query).rowcount == 1


def every(unit: Unit, *, active: bool = False) -> list[Subscription]:
    """The subscriptions, oldest first."""
    query = sa.select(*_SUBSCRIPTION).order_by(subscriptions.c.id)
    if active:
        query = query.where(subscriptions.c.state == "active")
    return [Subscription(*row) for row in unit.db.execute(query)]


# --- making notices


def pending(unit: Unit) -> bool:
    """Is there something to be told, or to be tried again?"""
    listening = every(unit, active=True)
    if not listening:
        return False
    if any(_behind(unit, subscription.place) for subscription in listening):
        return True
    query = sa.select(notices.c.id).join(subscriptions).where(_due(unit)).limit(1)
    return unit.db.execute(query).first() is not None


def collect(unit: Unit, uid: Callable[[], str]) -> bool:
    """Make notices of what happened since the last time; True where there is more. uid: makes a notice's id."""
    more = False
    for subscription in every(unit, active=True):
        place = dict(subscription.place)
        told = [*_persons(unit, place), *_clashes(unit, place), *_runs(unit, place)]
        wanted = {*subscription.events} or {*EVENTS}
        rows = [_notice(unit, subscription.id, uid(), type_, data) for type_, data in told if type_ in wanted]
        unit.insert(notices, rows)
        if place != subscription.place:
            query = sa.update(subscriptions).where(subscriptions.c.id == subscription.id)
            unit.db.execute(query.values(place=place))
        more |= _behind(unit, place)
    return more


def _notice(unit: Unit, subscription: int, id_: str, type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    body = orjson.dumps({"type": type_, "timestamp": unit.now, "data": data}, option=orjson.OPT_UTC_Z).decode()
    return {
        "id": f"msg_{id_}",
        "subscription_id": subscription,
        "type": type_,
        "body": body,
        "created": unit.now,
        "state": "waiting",
        "due": unit.now,
        "attempts": 0,
    }


Told = tuple[str, dict[str, Any]]


def _head(unit: Unit) -> dict[str, Any]:
    """The place at which nothing is new."""
    newest = {name: _newest(unit, table) for name, table in _SOURCES.items()}
    open_ = sa.select(runs.c.id).where(runs.c.outcome == "running").order_by(runs.c.id.desc()).limit(100)
    return {**newest, "open": sorted(unit.db.execute(open_).scalars())}


_SOURCES: Final = {"changes": changes, "conflicts": conflicts, "runs": runs}


def _newest(unit: Unit, table: sa.Table) -> int:
    return unit.db.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0


def _behind(unit: Unit, place: Mapping[str, Any]) -> bool:
    if any(_newest(unit, table) > place.get(name, 0) for name, table in _SOURCES.items()):
        return True
    ended = sa.select(runs.c.id).where(unit.among(runs.c.id, place.get("open", [])), runs.c.outcome != "running")
    return bool(place.get("open")) and unit.db.execute(ended.limit(1)).first() is not None


def _persons(unit: Unit, place: dict[str, Any]) -> Iterable[Told]:
    query = (
        sa.select(changes.c.id, people.c.uid, people.c.rev, people.c.state, changes.c.path, changes.c.actor)
        .join(people, people.c.id == changes.c.person_id)
        .where(changes.c.id > place.get("changes", 0))
        .order_by(changes.c.id)
        .limit(STEP)
    )
    rows = [*unit.db.execute(query)]
    # Where the last rows' persons were erased meanwhile, they are not in the join; the place still moves on.
    place["changes"] = rows[-1].id if len(rows) == STEP else max(place.get("changes", 0), _newest(unit, changes))
    for uid, own in groupby(sorted(rows, key=lambda row: (row.uid, row.id)), key=lambda row: row.uid):
        found = [*own]
        paths = [*dict.fromkeys(row.path for row in found)]
        yield (
            "person.changed",
            {
                "person": uid,
                "revision": found[-1].rev,
                "state": found[-1].state,
                "paths": paths[:PATHS],
                "by": [*dict.fromkeys(row.actor for row in found)],
            },
        )


def _clashes(unit: Unit, place: dict[str, Any]) -> Iterable[Told]:
    query = (
        sa.select(conflicts.c.id, conflicts.c.path, conflicts.c.open, people.c.uid, connections.c.name)
        .join(people, people.c.id == conflicts.c.person_id)
        .join(connections, connections.c.id == conflicts.c.connection_id)
        .where(conflicts.c.id > place.get("conflicts", 0))
        .order_by(conflicts.c.id)
        .limit(STEP)
    )
    rows = [*unit.db.execute(query)]
    place["conflicts"] = rows[-1].id if len(rows) == STEP else max(place.get("conflicts", 0), _newest(unit, conflicts))
    for row in rows:
        if row.open:
            yield "conflict.opened", {"conflict": row.id, "person": row.uid, "connection": row.name, "path": row.path}


def _runs(unit: Unit, place: dict[str, Any]) -> Iterable[Told]:
    since, waiting = place.get("runs", 0), place.get("open", [])
    query = (
        sa.select(runs.c.id, runs.c.outcome, runs.c.message, runs.c.counters, runs.c.connection_id, connections.c.name)
        .join(connections, connections.c.id == runs.c.connection_id)
        .where(sa.or_(runs.c.id > since, unit.among(runs.c.id, waiting)))
        .order_by(runs.c.id)
        .limit(STEP)
    )
    rows = [*unit.db.execute(query)]
    # A run that did not end although a later one of its connection began died with its process.
    newest = {row.connection_id: row.id for row in rows}
    place["runs"] = max([since, *(row.id for row in rows)])
    place["open"] = [row.id for row in rows if row.outcome == "running" and newest[row.connection_id] == row.id]
    for row in rows:
        did = {name: row.counters[name] for name in QUIET if row.counters.get(name)}
        if row.outcome == "running" or (row.outcome == "done" and not did):
            continue
        data = {"run": row.id, "connection": row.name, "outcome": row.outcome, "message": row.message, "counters": did}
        yield "run.finished", data


# --- telling


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told. id: the same at every attempt, by which the receiver knows what it has had. due: when it is
    tried next. answer: what became of the last attempt. state "dead": nobody tries any more, until it is resent."""

    id: str
    subscription_id: int
    type: str
    body: str
    created: datetime
    state: Literal["waiting", "sent", "dead"]
    due: datetime
    attempts: int
    answer: str | None


_NOTICE = [notices.c[name] for name in Notice.__slots__]


def _due(unit: Unit) -> sa.ColumnElement[bool]:
    return sa.and_(notices.c.state == "waiting", notices.c.due <= unit.now, subscriptions.c.state == "active")


def due(unit: Unit, limit: int) -> list[Notice]:
    """What is to be told now, oldest first."""
    query = sa.select(*_NOTICE).join(subscriptions).where(_due(unit)).order_by(notices.c.due, notices.c.id).limit(limit)
    return [Notice(*row) for row in unit.db.execute(query)]


def settle(unit: Unit, notice: str, state: Literal["waiting", "sent", "dead"], due: datetime, answer: str) -> None:
    """What became of an attempt."""
    values = {"state": state, "due": due, "answer": answer, "attempts": notices.c.attempts + 1}
    unit.db.execute(sa.update(notices).where(notices.c.id == notice).values(**values))


def listing(unit: Unit, state: str, *, subscription: int | None = None, limit: int = 100) -> list[Notice]:
    """The notices of that state, newest first: "dead" is the dead-letter list."""
    query = sa.select(*_NOTICE).where(notices.c.state == state)
    if subscription is not None:
        query = query.where(notices.c.subscription_id == subscription)
    return [
        Notice(*row) for row in unit.db.execute(query.order_by(notices.c.created.desc(), notices.c.id).limit(limit))
    ]


def resend(unit: Unit, ids: Sequence[str] | None = None) -> int:
    """These are told (again) now, with a full count of attempts; None: all dead ones. How many."""
    query = sa.update(notices).values(state="waiting", due=unit.now, attempts=0)
    query = query.where(notices.c.state == "dead") if ids is None else query.where(unit.among(notices.c.id, ids))
    return unit.db.execute(query).rowcount
