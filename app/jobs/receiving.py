"""What remotes tell us by webhook: proved, noted, and taken as a hint to read; never as data. Of some, what nobody
can ask for is remembered for their connector (`connectors.contract.Webhook`), which looks it up.

A connection's address holds a secret of its own, for some systems sign nothing. Who knows the address, and the key
where the system signs, can make us look at that remote, every few seconds at most, and no more.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from app.jobs import turns
from app.jobs.notices import Cipher
from app.jobs.queue import Queue
from app.store import connections, hooks
from app.store.connections import Connection
from app.store.store import Store, Unit
from connectors import registry
from connectors.contract import Webhook

log = logging.getLogger(__name__)

News = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What a webhook adds to what is remembered."""
Verdict = Literal["taken", "unknown", "forged"]
TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Door:
    """How a connection's webhooks get in. token: the secret of its address. key: what the system signs with, "" where
    it does not, or nobody told us."""

    token: str
    key: str = ""

    def dump(self, cipher: Cipher) -> bytes:
        """Encrypted, for the store."""
        return cipher.encrypt({"token": self.token, **({"key": self.key} if self.key else {})})


def door_of(cipher: Cipher, hook: bytes | None) -> Door | None:
    """From the store; None where the connection has no address yet."""
    if hook is None:
        return None
    held = cipher.decrypt(hook)
    return Door(held["token"], held.get("key", ""))


def with_key(cipher: Cipher, hook: bytes | None, key: SecretStr) -> bytes | None:
    """The door with that key, for the store; None where it has it already."""
    door = door_of(cipher, hook)
    if door is not None and door.key == key.get_secret_value():
        return None
    return Door(door.token if door else secrets.token_urlsafe(TOKEN_BYTES), key.get_secret_value()).dump(cipher)


def address(store: Store, cipher: Cipher, name: str, *, fresh: bool = False) -> str:
    """The path at which a connection's webhooks are taken, made at the first call. fresh: another one, because somebody
    knows the old one who must not. Raises LookupError."""
    with store.begin(durable=True) as unit:
        connection = connections.get(unit, name)
        door = door_of(cipher, connection.hook)
        if door is None or fresh:
            door = Door(secrets.token_urlsafe(TOKEN_BYTES), door.key if door else "")
            connections.update(unit, connection.id, hook=door.dump(cipher))
    return f"/hooks/{name}/{door.token}"


class Receiver:
    """Takes webhooks in."""

    def __init__(self, store: Store, cipher: Cipher, queue: Queue, zone: ZoneInfo) -> None:
        self._store, self._cipher, self._queue, self._zone = store, cipher, queue, zone

    def knows(self, name: str, token: str) -> bool:
        """Is this the address of a connection?"""
        return self._at(name, token) is not None

    def receive(self, name: str, token: str, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Take one in. headers: with small names. unknown: there is no such address. forged: it proves nothing."""
        found = self._at(name, token)
        if found is None:
            return "unknown"
        connection, door = found
        scheme = registry.system(connection.system).webhook or Webhook()
        signed = scheme.proves is not None and bool(door.key or scheme.signed)
        if signed and not self._proved(connection, scheme, door, headers, body):
            return "forged"
        with self._store.begin() as unit:
            new = hooks.receive(unit, connection.id, hashlib.sha256(body).hexdigest(), len(body))
            # Unsigned, two edits may be told in the same words; signed words come twice only when they are replayed.
            if new or not signed:
                self._hint(unit, connection, door, lambda memory: scheme.tells(body, memory) if signed else {})
        return "taken"

    def _at(self, name: str, token: str) -> tuple[Connection, Door] | None:
        with self._store.read() as unit:
            connection = connections.by_name(unit, name)
        door = door_of(self._cipher, connection.hook) if connection else None
        if connection is None or door is None or not hmac.compare_digest(door.token.encode(), token.encode()):
            return None
        return connection, door

    def _proved(
        self, connection: Connection, scheme: Webhook, door: Door, headers: Mapping[str, str], body: bytes
    ) -> bool:
        if not door.key:
            log.warning(
                "%s: a webhook came and cannot be proved: enter the key it is signed with (hook: in the file of "
                "connections)",
                connection.name,
            )
            return False
        return scheme.proves is not None and scheme.proves(headers, body, door.key, self._store.clock())

    def _hint(self, unit: Unit, told: Connection, door: Door, news: News) -> None:
        for connection in self._meant(unit, told, door):
            connections.learn(unit, connection.id, news)
            at = turns.on_hint(unit, connection.id, self._zone)
            if at is not None:
                self._queue.enqueue("sync", connection.id, after=at, unit=unit)

    def _meant(self, unit: Unit, told: Connection, door: Door) -> Iterator[Connection]:
        """A vendor's app has one address for all its accounts (Xero, QuickBooks): the connections with the same key."""
        yield told
        for other in connections.every(unit):
            if door.key and other.id != told.id and other.system == told.system:
                theirs = door_of(self._cipher, other.hook)
                if theirs is not None and theirs.key == door.key:
                    yield other
