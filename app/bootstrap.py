"""Puts the pieces together: the one file that knows everybody."""

from __future__ import annotations

import gc
import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from app import logs, tracing
from app.engine.leases import beating
from app.engine.look import Telling
from app.engine.world import Tally, Unusable, World
from app.secrets import BadKey, Keyring
from app.settings import BadSettings, Settings, load
from app.store import connections, runs, sealed
from app.store.connections import Connection
from app.store.store import Store
from connectors import registry
from connectors.card import Equivalence
from connectors.contract import Connector, Context, System, Watch
from connectors.contract import Settings as ConnectorSettings
from connectors.errors import Unreachable

RENEWAL = 60.0
"""Seconds that a process waits for another one that renews the same credentials."""
RENEWAL_LEASE = 6.0
"""Seconds after which a process that died while it renewed them is in nobody's way any more."""
RENEWAL_TURNS = 240
"""How often a process looks in that time whether it is its turn."""


class BadConnection(Exception):
    """A stored connection does not fit its connector (any more); the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Application:
    """A running Concord: its settings, its database, its keys. watch: who is told what goes on. sleep: how connectors
    wait for their turn."""

    settings: Settings
    store: Store
    keyring: Keyring
    watch: Watch = field(default=logs.about, kw_only=True)
    sleep: Callable[[float], None] = field(default=lambda seconds: time.sleep(seconds), kw_only=True)

    def world(
        self,
        progress: Callable[[str, str, int, int | None], None] = lambda connection, phase, done, total: None,
        at: Callable[[str], None] = lambda name: None,
    ) -> World:
        """What the engine works with. How far it is can be read in the store, too, by whoever follows a run."""
        told = Telling(self.store)

        def tell(connection: str, phase: str, done: int, total: int | None) -> None:
            progress(connection, phase, done, total)
            told(connection, phase, done, total)

        return World(
            store=self.store,
            open=self.open,
            mint=lambda: secrets.token_hex(4),
            uid=lambda: str(uuid.uuid4()),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            eq=Equivalence(self.settings.region),
            progress=tell,
            at=at,
            watch=self.watch,
        )

    def open(self, connection: Connection, tally: Tally) -> Connector:
        """The connector of a stored connection. Raises Unusable."""
        try:
            system = registry.system(connection.system)
            settings = self.connector_settings(system, connection)
        except (BadConnection, BadKey, registry.UnknownSystem) as error:
            raise Unusable(str(error)) from None
        context = replace(
            self.context(),
            requests=tally.count_request,
            budget=tally.count_budget,
            memory=connection.memory or {},
            remember=lambda name, value: self.remember(connection.id, name, value),
            save_secrets=lambda changed: self.save_secrets(connection.id, changed),
            renewing=lambda: self.renewing(connection.id),
        )
        made: Connector = system.open(settings, context)
        return made

    def try_out(self, connection: Connection, hidden: Mapping[str, str]) -> tuple[Connector, dict[str, str]]:
        """The connector of a connection with credentials that are not stored (yet), and where it puts what it renews of
        them meanwhile: the stored ones are neither used nor touched. Raises Unusable."""
        renewed: dict[str, str] = {}
        try:
            system = registry.system(connection.system)
            settings = self.connector_settings(system, connection, hidden)
        except (BadConnection, registry.UnknownSystem) as error:
            raise Unusable(str(error)) from None
        context = replace(self.context(), memory=connection.memory or {}, save_secrets=renewed.update)
        made: Connector = system.open(settings, context)
        return made, renewed

    def context(self) -> Context:
        """The world as a connector sees it, without a connection of its own."""
        return Context(now=lambda: datetime.now(UTC), sleep=self.sleep, random=random.random, watch=self.watch)

    @contextmanager
    def renewing(self, connection: int) -> Iterator[Mapping[str, str]]:
        """Be the only one who renews a connection's credentials, on any machine; yields them as they are by then.

        Raises Unreachable where another process has been at it for longer than that can take.
        """
        name, owner = f"renew:{connection}", str(uuid.uuid4())
        for _ in range(RENEWAL_TURNS):
            with self.store.begin() as unit:
                if runs.take_lease(unit, name, owner, RENEWAL_LEASE):
                    break
            time.sleep(RENEWAL / RENEWAL_TURNS)
        else:
            raise Unreachable("another process is renewing these credentials; this one tries again at its next turn")
        try:
            with self.store.read() as unit:
                stored = connections.secrets_of(unit, connection)
            with beating(self.store, name, owner, RENEWAL_LEASE):
                yield self.keyring.decrypt(stored) if stored else {}
        finally:
            with self.store.begin() as unit:
                runs.drop_lease(unit, name, owner)

    def connector_settings(
        self, system: System, connection: Connection, hidden: Mapping[str, str] | None = None
    ) -> ConnectorSettings:
        """A connection's settings, secrets (the stored ones by default) and all, as its connector wants them."""
        if hidden is None:
            hidden = self.keyring.decrypt(connection.secrets) if connection.secrets else {}
        try:
            return system.settings.model_validate({**connection.settings, **hidden})
        except ValidationError as error:
            raise BadConnection(f"{connection.name}: {describe(error)}; mend it with: concord apply FILE") from None

    def remember(self, connection: int, name: str, value: Any) -> None:
        """What a connector found out about its remote, for the runs to come."""
        with self.store.begin() as unit:
            connections.remember(unit, connection, name, value)

    def save_secrets(self, connection: int, changed: Mapping[str, str]) -> None:
        """Rotated credentials replace the stored ones at once."""
        with self.store.begin(durable=True) as unit:
            stored = connections.secrets_of(unit, connection)
            hidden = self.keyring.decrypt(stored) if stored else {}
            connections.update(unit, connection, secrets=self.keyring.encrypt({**hidden, **changed}))

    def rotate_secrets(self) -> int:
        """Encrypt everything that is stored encrypted with the first key; how much that is. All or nothing.

        Raises ValueError where there is one key only, BadKey where one that was used is missing.
        """
        if not self.settings.secrets_keys:
            raise ValueError(
                f"the only key is the one in {self.settings.key_file}; set CONCORD_SECRETS_KEYS to a new key, a comma "
                "and that one, run this again, and take the old one away then"
            )
        with self.store.begin(durable=True) as unit:
            return sealed.reseal(unit, lambda token: self.keyring.encrypt(self.keyring.decrypt(token)))


def start(settings: Settings | None = None) -> Application:
    """Open the database (made or brought up to date where it has to be) and get ready.

    Raises BadSettings, Unopenable, migrations.WrongVersion.
    """
    import migrations

    relax_gc()
    settings = settings or load()
    logs.later(settings)
    watch = tracing.watching(logs.about, settings)
    file = settings.database_file
    if file is not None:
        _make_folder(file.parent)
    store = Store(settings.database_url, lambda: datetime.now(UTC))
    with store.read():
        pass  # says clearly why it cannot be opened, if it cannot
    migrations.upgrade(store.engine)
    return Application(settings, store, Keyring(settings), watch=watch)


def _make_folder(folder: Path) -> None:
    """For its owner only; one that is there stays as it is."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = f"{folder} is a file" if folder.is_file() else f"{folder} cannot be made ({error.strerror})"
        raise BadSettings(
            f"CONCORD_HOME: there is no folder for the database: {why}; name one that you may write to"
        ) from None


def relax_gc() -> None:
    """Look for cycles seldom: cards have none, and looking costs a first pull a fifth of its time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def split_secrets(system: System, settings: ConnectorSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """A connector's settings as (what may be shown, what is encrypted), defaults left out."""
    open_part: dict[str, Any] = settings.model_dump(mode="json", exclude_defaults=True)
    hidden = {}
    for name in system.settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            open_part.pop(name, None)
            if value.get_secret_value():
                hidden[name] = value.get_secret_value()
    return open_part, hidden


def describe(error: ValidationError) -> str:
    """What is wrong, without the values."""
    problems = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'settings'}: {p['msg']}" for p in problems)
