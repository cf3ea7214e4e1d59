"""Runs, leases, plans; arrivals that wait (losses) and records that were refused; photos."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import blobs, leases, links, losses, people, plans, refused, runs
from connectors.card import Card

READ: Final = ("done", "held")
"""Outcomes of a run that has read everything there was, those that it made among it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One pull and push of one connection. outcome: running | done | held | failed | paused | waiting."""

    id: int
    connection_id: int
    started: datetime
    finished: datetime | None
    outcome: str
    message: str | None
    counters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that cannot be taken, and why. card: as much of it as tells whose it may be, where anything does."""

    connection_id: int
    remote_id: str
    reason: str
    at: datetime
    card: Card | None


# --- runs


def start(unit: Unit, connection: int, *, only_push: bool = False) -> int:
    row = {"connection_id": connection, "started": unit.now, "outcome": "running", "counters": {}}
    row["scope"] = "push" if only_push else "sync"
    key = unit.db.execute(sa.insert(runs).values(**row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def finish(unit: Unit, run: int, outcome: str, message: str | None, counters: Mapping[str, Any]) -> None:
    values = {"finished": unit.now, "outcome": outcome, "message": message, "counters": dict(counters)}
    unit.db.execute(sa.update(runs).where(runs.c.id == run).values(**values))


def latest(unit: Unit) -> dict[int, Run]:
    """The last run of each connection."""
    last = sa.select(sa.func.max(runs.c.id)).group_by(runs.c.connection_id)
    columns = [runs.c[name] for name in Run.__slots__]
    return {row.connection_id: Run(*row) for row in unit.db.execute(sa.select(*columns).where(runs.c.id.in_(last)))}


def made_since(unit: Unit, connection: int, run: int) -> datetime | None:
    """Since when earlier runs may have created records that none of them has read again; None where they made none."""
    before = runs.c.connection_id == connection, runs.c.id < run
    read = sa.select(sa.func.max(runs.c.id)).where(*before, runs.c.scope == "sync", runs.c.outcome.in_(READ))
    query = sa.select(runs.c.started, runs.c.outcome, runs.c.counters).where(
        *before, runs.c.id >= sa.func.coalesce(read.scalar_subquery(), 0)
    )
    found = unit.db.execute(query.order_by(runs.c.id)).all()
    made = any(row.outcome == "running" or row.counters.get("created") for row in found)
    return found[0].started if made else None


# --- leases


def take_lease(unit: Unit, name: str, owner: str, seconds: float) -> bool:
    """Hold the lease for so long, unless somebody else does. Also renews one's own."""
    until = unit.now + timedelta(seconds=seconds)
    row = {"name": name, "owner": owner, "until": until}
    unit.upsert(leases, [{**row, "until": unit.now, "owner": owner}], ignore=True)
    query = (
        sa.update(leases)
        .where(leases.c.name == name, sa.or_(leases.c.owner == owner, leases.c.until <= unit.now))
        .values(owner=owner, until=until)
    )
    return unit.db.execute(query).rowcount == 1


_KEEP = (
    sa.update(leases)
    .where(leases.c.name == sa.bindparam("this"), leases.c.owner == sa.bindparam("holder"))
    .values(until=sa.bindparam("end"))
)


def keep_lease(unit: Unit, name: str, owner: str, seconds: float) -> bool:
    """Renew one's own lease; False where it is somebody else's by now."""
    end = unit.now + timedelta(seconds=seconds)
    return unit.db.execute(_KEEP, {"this": name, "holder": owner, "end": end}).rowcount == 1


def drop_lease(unit: Unit, name: str, owner: str) -> None:
    unit.db.execute(sa.delete(leases).where(leases.c.name == name, leases.c.owner == owner))


def lease_holder(unit: Unit, name: str) -> tuple[str, datetime] | None:
    """Who holds it, and until when."""
    row = unit.db.execute(sa.select(leases.c.owner, leases.c.until).where(leases.c.name == name)).first()
    return (row[0], row[1]) if row and row[1] > unit.now else None


# --- arrivals that take something away wait here for the end of the run, and the brake


def park(unit: Unit, connection: int, run: int | None, arrivals: Mapping[str, Any]) -> None:
    """{remote id: record as JSON, or None where it is gone there}."""
    unit.upsert(
        losses,
        [
            {"connection_id": connection, "remote_id": remote, "record": record, "run_id": run, "at": unit.now}
            for remote, record in arrivals.items()
        ],
    )


def parked(unit: Unit, connection: int, *, after: str = "", limit: int = 500) -> dict[str, Any]:
    query = (
        sa.select(losses.c.remote_id, losses.c.record)
        .where(losses.c.connection_id == connection, losses.c.remote_id > after)
        .order_by(losses.c.remote_id)
        .limit(limit)
    )
    return {row.remote_id: row.record for row in unit.db.execute(query)}


def count_parked(unit: Unit, connection: int) -> int:
    return unit.db.execute(sa.select(sa.func.count()).where(losses.c.connection_id == connection)).scalar_one()


def unpark(unit: Unit, connection: int, remote_ids: Collection[str]) -> None:
    if remote_ids:
        unit.db.execute(sa.delete(losses).where(_parked(unit, connection, remote_ids)))


def unpark_gone(unit: Unit, connection: int, remote_ids: Collection[str]) -> None:
    """These are there after all."""
    if remote_ids:
        unit.db.execute(sa.delete(losses).where(_parked(unit, connection, remote_ids), losses.c.record.is_(None)))


def _parked(unit: Unit, connection: int, remote_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    return sa.and_(losses.c.connection_id == connection, unit.among(losses.c.remote_id, remote_ids))


def waiting(unit: Unit, connection: int, remote_ids: Iterable[str]) -> set[str]:
    """Which of these records have an arrival that waits."""
    query = sa.select(losses.c.remote_id).where(_parked(unit, connection, remote_ids))
    return set(unit.db.execute(query).scalars())


# --- refused records

_REFUSAL: Final = (refused.c.connection_id, refused.c.remote_id, refused.c.reason, refused.c.at, refused.c.card)


def refuse(unit: Unit, connection: int, reasons: Mapping[str, str], cards: Mapping[str, Card | None]) -> None:
    """cards: as much of each as tells whose it may be, beside what was known of it before; None: nothing may be kept. A
    record that is ignored stays so while it is refused for the same reason and shows the same."""
    columns = refused.c.remote_id, refused.c.reason, refused.c.card, refused.c.ignored
    query = sa.select(*columns).where(refused.c.connection_id == connection)
    known = {row[0]: row for row in unit.db.execute(query.where(unit.among(refused.c.remote_id, reasons)))}
    rows = []
    for remote, reason in reasons.items():
        before = known.get(remote)
        new, old = cards.get(remote, {}), before.card if before else None
        card = None if new is None else {**(old or {}), **new} or None
        same = before is not None and (before.reason, old) == (reason, card)
        row = {"connection_id": connection, "remote_id": remote, "reason": reason, "at": unit.now, "card": card}
        rows.append(row | {"ignored": before.ignored if before and same else None})
    unit.upsert(refused, rows)


def accept(unit: Unit, connection: int, remote_ids: Iterable[str]) -> Sequence[Refusal]:
    """They were taken after all, or are gone; those of them that were refused."""
    query = (
        sa.delete(refused)
        .where(refused.c.connection_id == connection, unit.among(refused.c.remote_id, remote_ids))
        .returning(*_REFUSAL)
    )
    return [Refusal(*row) for row in unit.db.execute(query)]


def refuses(unit: Unit, connection: int) -> bool:
    """Is any record of this connection refused? Nearly always none is, and that is quickly said."""
    query = sa.select(refused.c.remote_id).where(refused.c.connection_id == connection).limit(1)
    return unit.db.execute(query).first() is not None


def refused_ids(unit: Unit, connection: int, *, ignored: bool = False) -> set[str]:
    """ignored: only those that are ignored."""
    query = sa.select(refused.c.remote_id).where(refused.c.connection_id == connection)
    return set(unit.db.execute(query.where(refused.c.ignored.is_not(None)) if ignored else query).scalars())


def refusals(unit: Unit, connection: int | None = None, *where: sa.ColumnElement[bool]) -> Sequence[Refusal]:
    """Those that nobody said to ignore."""
    query = sa.select(*_REFUSAL).where(refused.c.ignored.is_(None), *where)
    if connection is not None:
        query = query.where(refused.c.connection_id == connection)
    return [Refusal(*row) for row in unit.db.execute(query.order_by(refused.c.connection_id, refused.c.remote_id))]


def unread(unit: Unit, connection: int | None = None) -> Sequence[Refusal]:
    """Those of which it can be told whose they may be."""
    return refusals(unit, connection, refused.c.card.is_not(None))


def ignore(unit: Unit, connection: int, remote_id: str) -> None:
    """A human wants to hear no more of this record until it changes."""
    where = refused.c.connection_id == connection, refused.c.remote_id == remote_id
    unit.db.execute(sa.update(refused).where(*where).values(ignored=unit.now))


def forget_card(unit: Unit, connection: int, remote_id: str) -> None:
    """Whose a refused record may be is not kept any more."""
    where = refused.c.connection_id == connection, refused.c.remote_id == remote_id
    unit.db.execute(sa.update(refused).where(*where).values(card=None))


# --- plans


def save_plan(unit: Unit, body: Any) -> int:
    key = unit.db.execute(sa.insert(plans).values(made=unit.now, state="waiting", body=body)).inserted_primary_key
    assert key is not None
    return int(key[0])


def last_plan(unit: Unit) -> tuple[int, datetime, str, Any] | None:
    """(id, made, state, body) of the newest plan."""
    row = unit.db.execute(sa.select(plans).order_by(plans.c.id.desc()).limit(1)).first()
    return (row.id, row.made, row.state, row.body) if row else None


def set_plan_state(unit: Unit, plan: int, state: str) -> None:
    unit.db.execute(sa.update(plans).where(plans.c.id == plan).values(state=state))


# --- photos


def keep_blobs(unit: Unit, found: Mapping[str, bytes]) -> None:
    unit.upsert(blobs, [{"uri": uri, "data": data} for uri, data in found.items()], ignore=True)


def blob(unit: Unit, uri: str) -> bytes:
    """The bytes of a photo; b"" where we do not have them."""
    return unit.db.execute(sa.select(blobs.c.data).where(blobs.c.uri == uri)).scalar() or b""


def drop_photos(unit: Unit, uris: Iterable[str]) -> None:
    """Those of the photos that no card and no record shows any more."""
    for uri in uris:
        used = sa.or_(
            sa.exists().where(people.c.card.cast(sa.Text).contains(uri, autoescape=True)),
            sa.exists().where(links.c.seen.cast(sa.Text).contains(uri, autoescape=True)),
        )
        unit.db.execute(sa.delete(blobs).where(blobs.c.uri == uri, ~used))


# --- forgetting


def erase(unit: Unit, uid: str, records: Iterable[tuple[int, str]]) -> None:
    """Plans, waiting arrivals and refusals that tell of this person (who asked to be forgotten)."""
    unit.db.execute(sa.delete(plans).where(plans.c.body.cast(sa.Text).contains(uid, autoescape=True)))
    for connection, remote in records:
        for table in (losses, refused):
            unit.db.execute(sa.delete(table).where(table.c.connection_id == connection, table.c.remote_id == remote))
