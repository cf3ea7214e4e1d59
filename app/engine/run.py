"""One run of one connection: under a lease, recover, pull, push; whatever happens is said in the run's row."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal

from app.engine import sales
from app.engine.leases import beating
from app.engine.pull import Held, pull
from app.engine.push import push, recover
from app.engine.world import Fence, Session, Tally, Unusable, World, policy_of
from app.store import connections, outbox, runs
from app.store.connections import Connection
from app.store.store import StoreFull, Unit, Unopenable
from connectors.errors import Error, Unauthorised

log = logging.getLogger(__name__)

GOOD_MOMENTS: Final = frozenset({"pull.page", "pull.settled", "push.outcome", "push.reread", "sales.page"})
"""Where a run can be left: what it did is committed, and what is on its way is looked for by the next."""
LEASE = 30.0
"""Seconds after which the lease of a dead process can be taken over. A living one renews it three times in that."""


class Busy(Exception):
    """Another process is syncing this connection right now."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one run. outcome: done | held | failed | paused | waiting | busy. run: its id; None where it did
    not begin."""

    connection: str
    outcome: str
    message: str | None
    tally: Tally
    run: int | None = None

    @property
    def quiet(self) -> bool:
        return self.tally.quiet


Reads = Literal["all", "overwritable", "nothing"]
"""What a run reads before it writes. overwritable: it was read a while ago, and a write without a condition would
overwrite what was typed there since. nothing: it has just been read."""


def sync(
    world: World,
    name: str,
    *,
    release: bool = False,
    reads: Reads = "all",
    pulled: Callable[[], None] = lambda: None,
) -> Report:
    """Run one connection once. release: the brake is off for this run. pulled: called between reading everything and
    writing.

    Errors of the remote end the run, not the process: they are in the report.
    """
    tally = Tally()
    started = world.store.clock()
    run: int | None = None
    with world.watch("run", {"connection": name}) as tell:

        def begun(id_: int) -> None:
            nonlocal run
            run = id_
            tell("run", id_)

        try:
            with lease(world, name) as fence:
                outcome, message = _run(world, name, tally, fence, release, reads, pulled, begun)
        except Busy as busy:
            outcome, message = "busy", str(busy)
        tell("outcome", outcome)
    tally.seconds = round((world.store.clock() - started).total_seconds(), 3)
    return Report(name, outcome, message, tally, run)


def _run(
    world: World,
    name: str,
    tally: Tally,
    fence: Fence,
    release: bool,
    reads: Reads,
    pulled: Callable[[], None],
    begun: Callable[[int], None],
) -> tuple[str, str | None]:
    connection = find(world, name)
    if connection.state == "paused":
        return "paused", connection.reason or "paused; resume it with: concord connections resume " + name
    if connection.state == "new":
        if connection.approve != "auto":
            return (
                "waiting",
                f"its first contact waits for you: concord plan {name}, then concord plan {name} --approve",
            )
        connection = activate(world, connection)
    if release:
        connection = replace(connection, cleared=world.store.clock() + timedelta(days=1))
    with world.store.begin() as unit:
        run_id = runs.start(unit, connection.id, only_push=reads != "all")
    begun(run_id)
    began = world.store.clock()
    outcome, message = _attempt(world, connection, tally, run_id, fence, reads, pulled)
    tally.seconds = round((world.store.clock() - began).total_seconds(), 3)
    with world.store.begin() as unit:
        runs.finish(unit, run_id, outcome, message, tally.as_json())
        if outcome == "paused":
            connections.update(unit, connection.id, state="paused", reason=message, denied=unit.now)
    return outcome, message


def _attempt(
    world: World,
    connection: Connection,
    tally: Tally,
    run_id: int,
    fence: Fence,
    reads: Reads,
    pulled: Callable[[], None],
) -> tuple[str, str | None]:
    try:
        with session_for(world, connection, tally, run_id, fence) as session:
            recover(session)
            if reads == "all":
                pull(session)
                sales.read(session)
                pulled()
            elif reads == "overwritable" and not session.connector.capabilities.conditional:
                pull(session)
            push(session)
    except Busy as busy:
        return "busy", str(busy)
    except Held as held:
        return "held", str(held)
    except Unauthorised as error:
        return "paused", told(error, connection.name)
    except (Error, StoreFull, Unopenable, Unusable) as error:
        return "failed", told(error, connection.name)
    except Exception as error:
        # A fault of ours, or of a connector: it ends this run and no other one.
        log.exception("run %d of %s failed", run_id, connection.name)
        return "failed", f"this should not happen ({type(error).__name__}); the log has the details"
    return "done", None


def give_access(name: str) -> str:
    """How a connection gets credentials that work."""
    return f"concord connections consent {name} (or POST {consent_path(name)})"


def consent_path(name: str) -> str:
    """Where the API gives a link by which a human connects the account (again)."""
    return f"/v1/connections/{name}/consent"


def told(error: Exception, name: str) -> str:
    """A connection's error, with what to do about it where that is known."""
    words = named(error, name)
    return f"{words}. It goes on with: {give_access(name)}" if isinstance(error, Unauthorised) else words


def named(error: Exception, name: str) -> str:
    """A connection's error in its connector's words, which do not know what it is called here."""
    return str(error).replace("connections consent NAME", f"connections consent {name}")


@contextmanager
def telling_of(name: str) -> Iterator[None]:
    """What goes wrong with a connection meanwhile says with which."""
    try:
        yield
    except (Error, Unusable) as error:
        error.args = (f"{name}: {told(error, name)}", *error.args[1:])
        raise


@contextmanager
def session_for(
    world: World, connection: Connection, tally: Tally, run_id: int | None = None, fence: Fence = lambda unit: None
) -> Iterator[Session]:
    """An opened connection."""
    connector = world.open(connection, tally)
    try:
        yield Session(world, connection, policy_of(connection.policy), connector, tally, run_id, fence)
    finally:
        connector.close()


def find(world: World, name: str) -> Connection:
    """The connection of that name; raises LookupError."""
    with world.store.read() as unit:
        found = connections.by_name(unit, name)
        if found is None:
            names = ", ".join(connection.name for connection in connections.every(unit)) or "none yet"
            raise LookupError(f"no connection is called {name!r}; there are: {names}")
        return found


def owed(unit: Unit, connection: Connection) -> int:
    """How many persons it has not heard of yet; where nothing may be written, it is not going to."""
    policy = policy_of(connection.policy)
    writes = {policy.direction, *policy.fields.values()} & {"both", "push"}
    return outbox.count(unit, connection.id, "owed") if writes else 0


def activate(world: World, connection: Connection) -> Connection:
    """The first contact is allowed: from now on the connection hears of changes, and of everybody there is."""
    with world.store.begin(durable=True) as unit:
        connections.update(unit, connection.id, state="active")
        outbox.owe_everybody(unit, connection.id)
    return replace(connection, state="active")


@contextmanager
def lease(world: World, name: str) -> Iterator[Fence]:
    """Be the only one who syncs this connection, on any machine. Raises Busy.

    Yields a fence: called in a unit of work, it raises Busy if the lease went to another process meanwhile (this one
    was asleep too long), so that nothing is written on an old promise.
    """
    key, owner = f"sync:{name}", f"{world.owner}/{world.mint()}"

    def fence(unit: Unit) -> None:
        if not runs.keep_lease(unit, key, owner, LEASE):
            raise _busy(unit, name, key)

    with world.store.begin() as unit:
        if not runs.take_lease(unit, key, owner, LEASE):
            raise _busy(unit, name, key)
    try:
        with beating(world.store, key, owner, LEASE):
            yield fence
    finally:
        with world.store.begin() as unit:
            runs.drop_lease(unit, key, owner)


def _busy(unit: Unit, name: str, key: str) -> Busy:
    """Who holds the lease mostly lives; who died does not renew it."""
    holder = runs.lease_holder(unit, key)
    died = ""
    if holder is not None:
        died = f" (if it has died, a sync in {math.ceil((holder[1] - unit.now).total_seconds())} seconds takes over)"
    return Busy(f"{name} is being synced by another process; try again when that ends{died}")
