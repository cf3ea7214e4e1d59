"""Looking at a connection without syncing it: who we are there, what it would show of a person, a refused record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.engine.intake import Intake
from app.engine.run import find, lease, session_for
from app.engine.world import Session, Tally, World
from app.store import connections, links, overview, people, runs
from app.store.store import Store
from connectors.card import SLOT, Card, Path, leaves
from connectors.contract import Account
from connectors.errors import Unauthorised


def check(world: World, name: str) -> Account:
    """Ask the remote who we are and what is possible there; who we are is remembered from the first time on.

    Raises LookupError, Unusable, the connectors' errors; Unauthorised also where it is another account than before.
    """
    connection = find(world, name)
    with session_for(world, connection, Tally()) as session:
        account = session.connector.check()
    mark = account_mark(connection.system, account.id)
    if connection.account is not None and mark not in (None, connection.account):
        raise Unauthorised(f"{account.label} is another account than the one that {name} was connected to")
    if connection.account is None and mark is not None:
        with world.store.begin() as unit:
            connections.update(unit, connection.id, account=mark)
    return account


def account_mark(system: str, id_: str) -> str | None:
    """What is remembered of an account's id: enough to know it again. None where the remote tells none."""
    return hashlib.sha256(f"{system}\0{id_}".encode()).hexdigest() if id_ else None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a connection would show of a person if the card were written there now.

    shows: the card in that system's view. lost: values of the card that it cannot hold, or may not be told. altered:
    [(path, ours, what it would show)]. belongs: does the filter let the person in? record: its record there.
    """

    shows: Card
    lost: list[tuple[Path, Any]]
    altered: list[tuple[Path, Any, Any]]
    belongs: bool
    record: str | None


def preview(world: World, name: str, uid: str) -> Preview:
    """What becomes of a person in a connection; nothing is asked of the remote. Raises LookupError, Unusable."""
    connection = find(world, name)
    with world.store.read() as unit:
        person = people.get(unit, uid)
        held = next(iter(links.of_people(unit, [person.id], connection=connection.id)), None)
    with session_for(world, connection, Tally()) as session:
        shows = session.connector.fit(person.card, held.seen if held else None)
        ours, theirs = leaves(person.card), {p: v for p, v in leaves(shows).items() if p[-1] != SLOT}
        told = {path: value for path, value in theirs.items() if session.policy.pushes(path[0])}
        return Preview(
            shows,
            [(path, value) for path, value in ours.items() if path not in told],
            [(p, ours.get(p), v) for p, v in told.items() if not world.eq.same(p, ours.get(p), v)],
            session.policy.welcomes(person.card),
            held.remote_id if held else None,
        )


def read_again(world: World, name: str, record: str) -> str | None:
    """Read a refused record anew and take it in; why it is refused still, or None.

    Raises LookupError where it was not refused, Busy while the connection runs, the connectors' errors.
    """
    connection = find(world, name)
    with world.store.read() as unit:
        if record not in {found.remote_id for found in runs.refusals(unit, connection.id)}:
            raise LookupError(f"no record {record!r} of {name} was refused")
    with lease(world, name) as fence, session_for(world, connection, Tally(), fence=fence) as session:
        return _take_again(session, record)


def _take_again(session: Session, record: str) -> str | None:
    records = [*session.connector.read([record])]
    with session.store.begin(durable=True) as unit:
        session.fence(unit)
        intake = Intake(session, unit)
        intake.take(records)
        intake.flush()
        return next((r.reason for r in runs.refusals(unit, session.id) if r.remote_id == record), None)


def release(world: World, name: str, life: timedelta) -> int:
    """The losses that wait in a connection are meant: for so long the brake lets them pass. How many there are.

    Raises LookupError, and ValueError where none wait.
    """
    connection = find(world, name)
    with world.store.begin(durable=True) as unit:
        waiting = runs.count_parked(unit, connection.id)
        if not waiting:
            raise ValueError(f"nothing waits for your word in {name}")
        connections.update(unit, connection.id, cleared=unit.now + life)
    return waiting


class Telling:
    """A `World.progress` that keeps in the store how far a run is, at most once a second for each connection; a run
    that is over sooner tells nothing. It must not be called within a unit of work."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: dict[str, float] = {}

    def __call__(self, connection: str, phase: str, done: int, total: int | None) -> None:
        now = self._store.clock().timestamp()
        if now - self._told.setdefault(connection, now) < 1:
            return
        self._told[connection] = now
        with self._store.begin() as unit:
            overview.tell(unit, connection, [phase, done, total])
