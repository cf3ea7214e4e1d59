"""Giving a connection access to its account: proved before it is stored, and never another account's by mistake.

From a terminal (`concord connections consent`), by a link in a browser (see `app.web.api.oauth`), or in the file of
connections. Why the link goes the way it goes: docs/decisions/0011-a-link-starts-a-consent.md.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, get_args
from urllib.parse import urlencode

from pydantic import SecretStr

from app.bootstrap import Application, BadConnection
from app.engine.look import account_mark
from app.engine.resolve import stand_still
from app.engine.run import Busy, find
from app.engine.world import Unusable
from app.secrets import BadKey
from app.store import connections, handshakes, links
from app.store.connections import Connection
from app.store.handshakes import Handshake
from app.web.ports import Connected, Invitation, NotConnected, Opened
from connectors import oauth, registry
from connectors.contract import Connector, System
from connectors.errors import Error, Unauthorised

log = logging.getLogger(__name__)

LIFE: Final = timedelta(minutes=10)
"""How long a link is good, from the wish to the vendor's answer."""
SAMPLE: Final = 20
"""Known records of which an account must hold one to be the one that we know, where the remote tells no id."""
START: Final = "/oauth/start/"
CALLBACK: Final = "/oauth/callback"
"""The one address that is registered with every vendor."""
AGAIN: Final = "ask for a new link and try again"


def secret_fields(system: System) -> set[str]:
    """The names of a system's secret settings."""
    fields = system.settings.model_fields.items()
    return {name for name, field in fields if SecretStr in (field.annotation, *get_args(field.annotation))}


def entered(system: System) -> list[str]:
    """The secret settings that a human enters, where there is no consent page: those without which nothing goes."""
    return sorted(name for name in secret_fields(system) if system.settings.model_fields[name].is_required())


# --- whose credentials are these?


@dataclass(frozen=True, slots=True)
class Proof:
    """Credentials that work. account: the mark of the account; None where the remote tells none. other: it is another
    account than before. certain: the remote said by id that it is not. label: the account in words."""

    secrets: Mapping[str, str]
    account: str | None
    other: bool
    certain: bool
    label: str


def prove(app: Application, connection: Connection, given: Mapping[str, str], *, other: bool = False) -> Proof:
    """Ask the remote with credentials that are not stored yet. other: another account than before is welcome.

    Raises Unusable where it is another account and that is not welcome; the connector's errors.
    """
    stored = app.keyring.decrypt(connection.secrets) if connection.secrets else {}
    system = registry.system(connection.system)
    if system.oauth is None and "refresh_token" in secret_fields(system):
        given = {"refresh_token": "", **given}  # a session that lives would prove no password
    _named_as_before(connection, {**connection.settings, **stored}, given, other)
    with app.store.read() as unit:
        known = sorted(links.live_ids(unit, connection.id))[:SAMPLE]
    connector, renewed = app.try_out(connection, {**stored, **given})
    try:
        account = connector.check()
        mark = account_mark(connection.system, account.id)
        if mark is not None and connection.account is not None:
            certain, changed = True, mark != connection.account
        else:
            certain, changed = not known, bool(known) and not _holds(connector, known)
    finally:
        connector.close()
    if changed and not other:
        raise Unusable(f"this is {account.label}: another account than {_before(connection)}")
    return Proof({**given, **renewed}, mark, changed, certain, account.label)


def _holds(connector: Connector, known: list[str]) -> bool:
    return any(record.card is not None or record.refused for record in connector.read(known))


def _named_as_before(connection: Connection, held: Mapping[str, Any], given: Mapping[str, str], other: bool) -> None:
    """A consent may bring the account's name (QuickBooks' realm_id), which we know already."""
    if other:
        return
    secret = secret_fields(registry.system(connection.system))
    for name in given.keys() - secret:
        if held.get(name) and held[name] != given[name]:
            raise Unusable(f"this is the account {given[name]} ({name}): another one than {_before(connection)}")


def _before(connection: Connection) -> str:
    return (
        f"the one that {connection.name} is connected to. Nothing was changed. Sign in to that one; for this one make "
        f"another connection, or say that you mean it: concord connections consent {connection.name} --other-account"
    )


def accept(app: Application, connection: Connection, proof: Proof) -> bool:
    """Store credentials that were proved; True where the connection was paused for want of them, and goes on.

    Raises LookupError where the connection was removed meanwhile; Busy where it is not certain whose account it is, and
    the connection runs.
    """
    with app.renewing(connection.id), app.store.begin(durable=True) as unit:
        now = connections.by_name(unit, connection.name)
        if now is None or now.id != connection.id:
            raise LookupError(f"{connection.name} was removed meanwhile; nothing was stored")
        if not proof.certain or proof.other:
            stand_still(app.world(), unit, now.name)
        before = app.keyring.decrypt(now.secrets) if now.secrets else {}
        values: dict[str, Any] = {"secrets": app.keyring.encrypt({**before, **proof.secrets})}
        if proof.other:
            connections.start_over(unit, now.id)
            connections.update(unit, now.id, account=proof.account, **values)
            return False
        if not proof.certain:
            values["cursor"] = None
        return connections.let_in(unit, now, account=proof.account or now.account, **values)


def lacks_access(app: Application, connection: Connection) -> bool:
    """Must a human give access (again) before it can run?"""
    if connection.denied is not None:
        return True
    try:
        system = registry.system(connection.system)
        held = app.keyring.decrypt(connection.secrets) if connection.secrets else {}
    except (BadKey, registry.UnknownSystem):
        return False
    if system.oauth is None:
        return False
    return not any(held.get(name) for name in secret_fields(system) - {"client_secret"})


# --- by a link in a browser


class Links:
    """See `app.web.ports.Consents`."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def invite(self, name: str, asked_by: str, base: str, other: bool) -> Invitation:
        connection = find(self._app.world(), name)
        system = registry.system(connection.system)
        if system.oauth is None and not entered(system):
            raise ValueError(f"{connection.system} needs no credentials")
        if system.oauth is not None:
            self._ask(system, connection, base)  # says at once what is missing
        ticket = secrets.token_urlsafe(32)
        with self._app.store.begin(durable=True) as unit:
            expires = unit.now + LIFE
            handshakes.begin(unit, connection.id, asked_by, _hash(ticket), other, expires)
        return Invitation(f"{base}{START}{ticket}", expires)

    def open(self, ticket: str, base: str) -> Opened:
        with self._app.store.read() as unit:
            shake = handshakes.by_ticket(unit, _hash(ticket))
        connection = self._waiting(shake)
        assert shake is not None
        system = registry.system(connection.system)
        cookie, sealed = secrets.token_urlsafe(32), None
        state, location = secrets.token_urlsafe(32), None
        if system.oauth is not None:
            try:
                asked = self._ask(system, connection, base)
            except ValueError as error:
                raise NotConnected(str(error), 409, connection.name) from None
            state, location = asked.state, asked.url
            sealed = self._app.keyring.encrypt({"verifier": asked.verifier})
        with self._app.store.begin(durable=True) as unit:
            handshakes.open_(unit, shake.id, _hash(cookie), _hash(state), sealed, f"{base}{CALLBACK}")
        fields = [] if system.oauth is not None else entered(system)
        return Opened(connection.name, system.title, _cookie(shake), cookie, location, state, fields)

    def whose(self, state: str) -> tuple[str, str] | None:
        with self._app.store.read() as unit:
            shake = handshakes.by_state(unit, _hash(state))
            found = {c.id: c.name for c in connections.every(unit)}
        return (shake.asked_by, found.get(shake.connection_id or 0, "")) if shake else None

    def finish(self, query: Mapping[str, str], cookies: Mapping[str, str]) -> Connected:
        shake, connection = self._claim(query.get("state", ""), cookies)
        try:
            return self._redeem(shake, connection, query)
        except _TOLD as error:
            raise _told(error, connection.name) from None

    def enter(self, state: str, given: Mapping[str, str], cookies: Mapping[str, str]) -> Connected:
        shake, connection = self._claim(state, cookies)
        wanted = entered(registry.system(connection.system))
        if given.keys() != set(wanted) or not all(given.values()):
            raise NotConnected(f"{' and '.join(wanted)} must be filled in; open the link again", 400, connection.name)
        try:
            return self._store(shake, connection, given)
        except _TOLD as error:
            raise _told(error, connection.name) from None

    # --- the steps

    def _ask(self, system: System, connection: Connection, base: str) -> oauth.Asked:
        assert system.oauth is not None
        try:
            settings = self._app.connector_settings(system, connection).model_dump()
            return oauth.ask(system.oauth, settings, f"{base}{CALLBACK}")
        except (BadConnection, Unauthorised) as error:
            raise ValueError(str(error)) from None

    def _waiting(self, shake: Handshake | None) -> Connection:
        """The connection that a handshake is for. Raises NotConnected where it is over."""
        if shake is None:
            raise NotConnected(f"this link is not known here, or is long gone; {AGAIN}", 404)
        with self._app.store.read() as unit:
            now, found = unit.now, {c.id: c for c in connections.every(unit)}
        connection = found.get(shake.connection_id or 0)
        if connection is None:
            raise NotConnected("the connection that this was about was removed meanwhile", 410)
        if shake.done is not None:
            raise NotConnected("this link was used already, with success; there is nothing to do", 410, connection.name)
        if shake.expires <= now:
            raise NotConnected(f"this took longer than ten minutes; {AGAIN}", 410, connection.name)
        return connection

    def _claim(self, state: str, cookies: Mapping[str, str]) -> tuple[Handshake, Connection]:
        """The handshake of a state that came back to the browser that it was given to; once."""
        with self._app.store.read() as unit:
            shake = handshakes.by_state(unit, _hash(state)) if state else None
        connection = self._waiting(shake)
        assert shake is not None
        name = connection.name
        cookie = cookies.get(_cookie(shake), "")
        if not secrets.compare_digest(_hash(cookie), shake.browser or ""):
            raise NotConnected(f"this did not begin in this browser; {AGAIN}, all of it in one browser", 403, name)
        with self._app.store.begin(durable=True) as unit:
            if not handshakes.spend(unit, shake.id, _hash(state)):
                raise NotConnected("this answer was used already; if it failed, open the link again", 410, name)
        return shake, connection

    def _redeem(self, shake: Handshake, connection: Connection, query: Mapping[str, str]) -> Connected:
        system = registry.system(connection.system)
        if system.oauth is None or shake.sealed is None:
            raise NotConnected("this is no answer of a vendor", 400, connection.name)
        verifier = self._app.keyring.decrypt(shake.sealed)["verifier"]
        asked = oauth.Asked("", query["state"], verifier, shake.redirect or "")
        brought = oauth.brought(urlencode(query), asked)
        settings = self._app.connector_settings(system, connection).model_dump()
        granted = oauth.redeem(system.oauth, settings, asked, brought, self._app.context())
        return self._store(shake, connection, granted)

    def _store(self, shake: Handshake, connection: Connection, given: Mapping[str, str]) -> Connected:
        proof = prove(self._app, connection, given, other=shake.other)
        resumed = accept(self._app, connection, proof)
        with self._app.store.begin(durable=True) as unit:
            handshakes.finish(unit, shake.id)
        return Connected(connection.id, connection.name, proof.label, resumed, proof.other)


_TOLD: Final = (Error, Unusable, Busy, LookupError, BadKey, BadConnection)


def _told(error: Exception, name: str) -> NotConnected:
    words = str(error).replace(oauth.AGAIN, AGAIN)
    status = 409 if isinstance(error, Unusable | Busy) else 410 if isinstance(error, LookupError) else 502
    return NotConnected(words, 403 if isinstance(error, Unauthorised) else status, name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _cookie(shake: Handshake) -> str:
    return f"concord-consent-{shake.id}"
