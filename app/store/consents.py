"""The ledger of consent: what was said about contacting a person, by whom and when. Rows are never rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import consents, people
from connectors.consent import Channel, ConsentState


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. actor: the connection, or the human here. basis: on what it rests, in words. recorded: when we heard."""

    person_id: int
    channel: Channel
    address: str
    state: ConsentState
    at: datetime
    actor: str
    basis: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    connection_id: int | None = None
    run_id: int | None = None
    recorded: datetime | None = None


_COLUMNS = [consents.c[name] for name in Entry.__slots__]


def append(unit: Unit, entries: Sequence[Entry]) -> None:
    rows = [{name: getattr(entry, name) for name in Entry.__slots__} for entry in entries]
    unit.insert(consents, [{**row, "evidence": dict(row["evidence"]), "recorded": unit.now} for row in rows])


def of_people(unit: Unit, persons: Iterable[int]) -> list[Entry]:
    """Everything that was said about these persons, oldest first."""
    return _entries(unit, unit.among(consents.c.person_id, set(persons)))


def at_addresses(unit: Unit, addresses: Iterable[str]) -> list[Entry]:
    """Everything that was said about these folded addresses, of anybody, oldest first."""
    return _entries(unit, unit.among(consents.c.address, set(addresses)))


def _entries(unit: Unit, wanted: sa.ColumnElement[bool]) -> list[Entry]:
    query = sa.select(*_COLUMNS).where(wanted).order_by(consents.c.at, consents.c.id)
    return [Entry(*row) for row in unit.db.execute(query)]


@dataclass(frozen=True, slots=True)
class Said:
    """A row of the ledger, and whose it is."""

    id: int
    uid: str
    name: str
    entry: Entry


def listing(
    unit: Unit,
    *,
    channel: Channel | None = None,
    state: ConsentState | None = None,
    connection: int | None = None,
    human: bool | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Said]:
    """Rows, newest first, before that id. human: only what was entered here, or only what a system told. since: when it
    was recorded."""
    wanted = {consents.c.channel: channel, consents.c.state: state, consents.c.connection_id: connection}
    query = (
        sa.select(consents.c.id, people.c.uid, people.c.name, *_COLUMNS)
        .join(people, people.c.id == consents.c.person_id)
        .where(*(column == value for column, value in wanted.items() if value is not None))
    )
    if human is not None:
        query = query.where(consents.c.connection_id.is_(None) == human)
    if since is not None:
        query = query.where(consents.c.recorded >= since)
    if before is not None:
        query = query.where(consents.c.id < before)
    rows = unit.db.execute(query.order_by(consents.c.id.desc()).limit(limit))
    return [Said(row[0], row[1], row[2], Entry(*row[3:])) for row in rows]


def erase(unit: Unit, person: int) -> None:
    """Nothing is left of what was said about this person (who asked to be forgotten)."""
    unit.db.execute(sa.delete(consents).where(consents.c.person_id == person))
