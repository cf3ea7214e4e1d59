"""Links: which record of which connection is whom, and the two shadows of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import aliases, links
from connectors.card import Card
from connectors.contract import Record

State = Literal["live", "gone"]


class Brief(NamedTuple):
    """What is needed of a link to see that nothing happened."""

    remote_id: str
    person_id: int
    state: State
    version: str | None
    modified: datetime | None
    digest: str | None
    prior: str | None
    written: datetime | None


@dataclass(frozen=True, slots=True)
class Link:
    """A record of a connection and the person it is.

    digest: of the view as the connector gave it. prior: the digests before our last write at `written`,
    and before those shortly before it.
    consents: its places for consent, as `core.consent` writes them.
    """

    connection_id: int
    remote_id: str
    person_id: int
    state: State
    version: str | None
    modified: datetime | None
    digest: str | None
    prior: str | None
    written: datetime | None
    seen: Card
    sent: Card
    raw: Any = None
    consents: Any = None


_BRIEF = [links.c[name] for name in Brief._fields]
_SENT = sa.func.coalesce(links.c.sent, links.c.seen, type_=links.c.sent.type).label("sent")
_ALL = [_SENT if name == "sent" else links.c[name] for name in Link.__slots__]


def briefs(unit: Unit, connection: int, remote_ids: Iterable[str]) -> dict[str, Brief]:
    """The links of these records."""
    if not (wanted := [*remote_ids]):
        return {}
    query = sa.select(*_BRIEF).where(links.c.connection_id == connection, unit.among(links.c.remote_id, wanted))
    return {row[0]: Brief._make(row) for row in unit.db.execute(query)}


def load(unit: Unit, connection: int, remote_ids: Iterable[str]) -> dict[str, Link]:
    """The links of these records, whole."""
    if not (wanted := [*remote_ids]):
        return {}
    query = sa.select(*_ALL).where(links.c.connection_id == connection, unit.among(links.c.remote_id, wanted))
    return {row.remote_id: Link(*row) for row in unit.db.execute(query)}


_HOLDER = sa.select(links.c.person_id).where(
    links.c.connection_id == sa.bindparam("connection"),
    links.c.remote_id == sa.bindparam("remote"),
    links.c.state == "live",
)


def holder(unit: Unit, connection: int, remote_id: str) -> int | None:
    """The person whose living record this is."""
    found: int | None = unit.db.execute(_HOLDER, {"connection": connection, "remote": remote_id}).scalar()
    return found


def of_people(
    unit: Unit, person_ids: Iterable[int], *, connection: int | None = None, state: State | None = "live"
) -> list[Link]:
    """The links of these persons, in one connection or in all; live ones, or (state None) tombstones too."""
    query = sa.select(*_ALL).where(unit.among(links.c.person_id, set(person_ids)))
    if state is not None:
        query = query.where(links.c.state == state)
    if connection is not None:
        query = query.where(links.c.connection_id == connection)
    # Sorted here: asked to sort, SQLite reads all of a connection's links in their order rather than a few by person.
    return sorted((Link(*row) for row in unit.db.execute(query)), key=lambda link: (link.connection_id, link.remote_id))


def people_here(unit: Unit, connection: int, person_ids: Iterable[int]) -> set[int]:
    """Which of these persons have a live record in the connection."""
    query = sa.select(links.c.person_id).where(
        links.c.connection_id == connection, links.c.state == "live", unit.among(links.c.person_id, person_ids)
    )
    return set(unit.db.execute(query).scalars())


def save(unit: Unit, changed: Sequence[Link]) -> None:
    unit.upsert(links, [_row(link) for link in changed])


def _row(link: Link) -> dict[str, Any]:
    row = {name: getattr(link, name) for name in Link.__slots__}
    if link.sent == link.seen:
        row["sent"] = None
    return row


def set_versions(unit: Unit, connection: int, records: Iterable[Record]) -> None:
    """Records whose version changed and nothing that we see: the next write starts from them as they are now."""
    rows = [{"this": r.id, "new": r.version, "moment": r.modified, "memory": r.raw} for r in records]
    if rows:
        moment = sa.bindparam("moment", type_=links.c.modified.type)
        unit.db.execute(
            sa.update(links)
            .where(links.c.connection_id == connection, links.c.remote_id == sa.bindparam("this"))
            .values(
                version=sa.bindparam("new"),
                modified=sa.func.coalesce(moment, links.c.modified),
                raw=sa.bindparam("memory"),
            ),
            rows,
        )


def count(unit: Unit, connection: int) -> int:
    """How many live records the connection has."""
    query = sa.select(sa.func.count()).where(links.c.connection_id == connection, links.c.state == "live")
    return unit.db.execute(query).scalar_one()


def live_ids(unit: Unit, connection: int) -> Iterable[str]:
    """The ids of all live records."""
    query = sa.select(links.c.remote_id).where(links.c.connection_id == connection, links.c.state == "live")
    return unit.db.execute(query).scalars()


def written_since(unit: Unit, connection: int, since: datetime) -> set[str]:
    """The ids of live records to which we wrote since then."""
    query = sa.select(links.c.remote_id).where(
        links.c.connection_id == connection, links.c.state == "live", links.c.written >= since
    )
    return set(unit.db.execute(query).scalars())


def rename(unit: Unit, connection: int, old: str, new: str) -> None:
    """A record goes under another id from now on; the old one stays known as an alias.

    Where two records became one and were two persons, the other person's is a tombstone: nobody deleted that person,
    and nobody wants the record back.
    """
    here = links.c.connection_id == connection
    taken = unit.db.execute(sa.select(links.c.person_id).where(here, links.c.remote_id == new)).scalar()
    former = here & (links.c.remote_id == old)
    if taken is None:
        unit.db.execute(sa.update(links).where(former).values(remote_id=new))
    else:
        unit.db.execute(sa.delete(links).where(former, links.c.person_id == taken))
        unit.db.execute(sa.update(links).where(former).values(state="gone"))
    unit.upsert(aliases, [{"connection_id": connection, "alias": old, "remote_id": new}])


def forget(unit: Unit, connection: int, remote_id: str) -> None:
    """Not even a tombstone is left."""
    unit.db.execute(sa.delete(links).where(links.c.connection_id == connection, links.c.remote_id == remote_id))


def forget_digests(unit: Unit, connection: int, gained: Callable[[str], bool]) -> None:
    """Every record is looked at again when it is read next; its gained fields as if they had never been seen.

    gained: may this field be taken from the remote from now on, and could it not before?
    """
    after = ""
    while batch := _some(unit, connection, after):
        after = batch[-1].remote_id
        save(unit, [_unread(link, gained) for link in batch])


def _some(unit: Unit, connection: int, after: str) -> list[Link]:
    """The next live records by id."""
    here = sa.and_(links.c.connection_id == connection, links.c.state == "live", links.c.remote_id > after)
    return [Link(*row) for row in unit.db.execute(sa.select(*_ALL).where(here).order_by(links.c.remote_id).limit(500))]


def _unread(link: Link, gained: Callable[[str], bool]) -> Link:
    seen, sent = _without(link.seen, gained), _without(link.sent, gained)
    return replace(link, version=None, digest=None, prior=None, seen=seen, sent=sent)


def _without(card: Card, gained: Callable[[str], bool]) -> Card:
    return {field: value for field, value in card.items() if not gained(field)}


def forget_tombstones(unit: Unit, in_connections: Iterable[int], person_ids: Iterable[int]) -> None:
    """These persons were deleted there, and live on."""
    unit.db.execute(
        sa.delete(links).where(
            unit.among(links.c.connection_id, in_connections),
            unit.among(links.c.person_id, person_ids),
            links.c.state == "gone",
        )
    )


def shared(unit: Unit, connection: int) -> list[tuple[str, int]]:
    """Records of this connection whose persons have records in others too: (remote id, person)."""
    other = links.alias()
    elsewhere = sa.exists().where(other.c.person_id == links.c.person_id, other.c.connection_id != connection)
    query = sa.select(links.c.remote_id, links.c.person_id).where(links.c.connection_id == connection, elsewhere)
    return [(row[0], row[1]) for row in unit.db.execute(query.order_by(links.c.remote_id))]


def of_connection(unit: Unit, connection: int) -> Iterable[Brief]:
    """All live records of a connection."""
    query = sa.select(*_BRIEF).where(links.c.connection_id == connection, links.c.state == "live")
    return [Brief._make(row) for row in unit.db.execute(query)]
