"""What is well and what is not, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.bootstrap import Application
from app.engine import look
from app.engine.run import give_access, named
from app.engine.world import Unusable
from app.secrets import BadKey
from app.store import connections, outbox, people, runs
from app.store.connections import Connection
from connectors.errors import Error, Unauthorised

MAX_SKEW = 300.0
"""Seconds by which a remote's clock may differ before "the newest wins" can pick the wrong value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. advice: what to do, where it is not well."""

    about: str
    state: Literal["well", "look", "ill"]
    message: str
    advice: str | None = None


def examine(app: Application) -> Iterator[Finding]:
    """Look at everything, one finding at a time; remotes are asked who we are."""
    if flaw := app.store.flaw():
        advice = "move that file away, then get a backup back: concord restore FILE"
        yield Finding("database", "ill", f"{_where(app)} is damaged: {flaw}", advice)
        return
    with app.store.read() as unit:
        number = people.count(unit)
        found = connections.every(unit)
    yield Finding("database", "well", f"{_where(app)}: {number:,} people, {len(found)} connections")
    yield from _readers(app)
    yield _key(app, found)
    for connection in found:
        yield from _connection(app, connection)


def _where(app: Application) -> str:
    file = app.settings.database_file
    return str(file) if file else app.store.engine.url.render_as_string(hide_password=True)


def _readers(app: Application) -> Iterator[Finding]:
    """Who else on this machine may read the contacts: by the modes of the file, and of the folder that it is in."""
    file = app.settings.database_file
    if file is None or os.name != "posix":
        return
    mode = file.stat().st_mode & file.parent.stat().st_mode * 4  # to read needs 4 here and, to come here, 1 there
    if mode & 0o044:
        advice = f"chmod 600 {file}*"
        yield Finding("database", "look", f"other users of this machine can read {file}", advice)


def _key(app: Application, found: list[Connection]) -> Finding:
    encrypted = [connection for connection in found if connection.secrets]
    try:
        for connection in encrypted:
            app.keyring.decrypt(connection.secrets or b"")
    except BadKey as error:
        return Finding("secrets", "ill", "the stored credentials cannot be read", str(error))
    return Finding("secrets", "well", f"the key fits the credentials of {len(encrypted)} connections")


def _connection(app: Application, connection: Connection) -> Iterator[Finding]:
    name = connection.name
    try:
        account = look.check(app.world(), name)
    except Unauthorised as error:
        yield Finding(name, "ill", named(error, name), give_access(name))
        return
    except Error as error:
        yield Finding(name, "ill", named(error, name), f"when its server answers as it should: {_again(connection)}")
        return
    except Unusable as error:
        yield Finding(name, "ill", str(error), f"when that is mended: {_again(connection)}")
        return
    yield Finding(name, "well", "; ".join([account.label, *account.notes]))
    if account.clock is not None:
        skew = (app.store.clock() - account.clock).total_seconds()
        if abs(skew) > MAX_SKEW:
            yield Finding(
                name,
                "look",
                f"its clock is {abs(skew) / 60:.0f} minutes {'behind' if skew > 0 else 'ahead of'} ours",
                "set the clocks (NTP); until then the newest edit may lose to an older one",
            )
    yield from _state(app, connection)


def _again(connection: Connection) -> str:
    """How a connection goes on that can be reached again."""
    what = {"paused": "connections resume", "new": "plan", "active": "sync"}[connection.state]
    return f"concord {what} {connection.name}"


def _state(app: Application, connection: Connection) -> Iterator[Finding]:
    name = connection.name
    with app.store.read() as unit:
        aside, refused = len(outbox.aside(unit, connection.id)), len(runs.refusals(unit, connection.id))
        waiting, last = runs.count_parked(unit, connection.id), runs.latest(unit).get(connection.id)
    if connection.state == "paused":
        advice = give_access(name) if connection.denied else f"concord connections resume {name}"
        yield Finding(name, "ill", connection.reason or "paused", advice)
    elif connection.state == "new":
        yield Finding(name, "look", "its first contact waits for you", f"concord plan {name}")
    if waiting and last is not None and last.outcome == "held":
        yield Finding(name, "look", f"{waiting} deletions wait for your word", f"concord sync {name} --release")
    if aside or refused:
        yield Finding(name, "look", f"{aside + refused} contacts were set aside", f"concord connections retry {name}")
    if last is not None and last.outcome == "failed":
        yield Finding(name, "look", f"its last run failed: {last.message}", f"concord sync {name}")
