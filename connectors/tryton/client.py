"""Tryton's JSON-RPC: one method per call that we use, sessions, and what errors mean.

Every call is a POST to `/<database>/rpc/` with the context as the last parameter; errors come with HTTP 200 as
`{"error": [class, arguments]}` (accounting note C, transcript jsonrpc).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from connectors import http
from connectors.contract import Context
from connectors.errors import Error, Refused, Stale, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response

Row = dict[str, Any]
Domain = list[Any]

PARTY: Final = "party.party"
RENEW: Final = "enter user name and password again"
UPDATE_MISSING: Final = "give the URL at which Tryton's clients log in, and the database's name"


class Broken(Unreachable):
    """The server failed at a call that only reads: it says why in its own words, which are for programmers."""


TABLE: Final[Mapping[str, tuple[type[Error], str]]] = {
    "UserError": (Refused, ""),
    "UserWarning": (Refused, " (Tryton asks for a confirmation that only a person can give, in its own client)"),
    "ConcurrencyException": (Stale, ""),
    "LoginException": (Unauthorised, " (this account asks for more than a password; use one that does not)"),
}
"""Class of an error -> what we do about it, and what is added to its words (exceptions.py). Every other class is a
fault of the server, which has then taken everything back (dispatcher.py): reading ends there, and the record that was
to be written is set aside."""


# --- values ---------------------------------------------------------------------------------------------------------


UNITS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def decode(held: Mapping[str, Any]) -> Any:
    """A value of a class of its own (jsonrpc.py). Times are UTC."""
    kind = held.get("__class__")
    if kind == "datetime":
        return datetime(**{unit: held[unit] for unit in UNITS}, tzinfo=UTC)
    if kind == "date":
        return date(held["year"], held["month"], held["day"])
    if kind == "Decimal":
        return Decimal(held["decimal"])
    return held


def encode(moment: datetime) -> dict[str, Any]:
    """A time for a domain."""
    utc = moment.astimezone(UTC)
    return {"__class__": "datetime", **{unit: getattr(utc, unit) for unit in UNITS}}


# --- answers --------------------------------------------------------------------------------------------------------


def envelope(response: Response) -> Mapping[str, Any] | None:
    """The body where it is an answer of JSON-RPC; None for web pages and nothing at all."""
    try:
        body = json.loads(response.content, parse_float=Decimal, object_hook=decode)
    except (ValueError, KeyError, TypeError):
        return None
    return body if isinstance(body, dict) and ("result" in body or "error" in body) else None


def react(response: Response) -> Error | None:
    """What an answer means that is none of JSON-RPC."""
    status = response.status_code
    if status == 401:
        return Unauthorised(f"Tryton refused the credentials; {RENEW}")
    if status == 404:
        return Unreachable(f"there is no such Tryton database at this URL (HTTP 404); {UPDATE_MISSING}")
    if 300 <= status < 400:
        return Unreachable(f"this URL is redirected (HTTP {status}); {UPDATE_MISSING}")
    if status == 422:
        return Refused("Tryton did not take the form of the call (HTTP 422)")
    if status >= 400:
        return http.react(response)
    if envelope(response) is None:
        return Uncertain(f"something answered that is no Tryton (HTTP {status}); {UPDATE_MISSING}")
    return None


def result(body: Mapping[str, Any], method: str, *, read: bool) -> Any:
    """The result of an answer. Raises by `TABLE`."""
    if "error" not in body:
        return body["result"]
    found = body["error"]
    name, told = (str(found[0]), found[1]) if isinstance(found, list) and len(found) > 1 else (str(found), "")
    kind, hint = TABLE.get(name, (Broken if read else Refused, ""))
    raise kind(f"Tryton, {method}: {_words(name, told)}{hint}")


def _words(name: str, told: Any) -> str:
    """What a human would read; the third argument of a UserError, a form's definition, is long and for clients."""
    if name not in TABLE:
        return f"the server failed ({name[:200]})"
    if isinstance(told, str):
        return told[:500]
    texts = told[1:3] if name == "UserWarning" or name == "LoginException" else told[:2]
    return " ".join(text.strip() for text in texts if isinstance(text, str) and text.strip())[:500]


# --- calls ----------------------------------------------------------------------------------------------------------


class Client:
    """The calls we use, in one session. Nothing is sent before the first of them. Safe to share between threads.

    language: in which names of countries and errors come. rate: most requests a second.
    """

    def __init__(
        self,
        url: str,
        database: str,
        username: str,
        password: str,
        context: Context,
        *,
        language: str,
        rate: float | None,
        verify: bool,
    ) -> None:
        self._wire = Http(url.rstrip("/") + "/", context, react=react, rate=rate, verify=verify, timeout=90.0)
        self._path = f"{quote(database, safe='')}/rpc/"
        self._username, self._password, self.language = username, password, language
        self._lock = threading.Lock()
        self._session: str | None = None
        self.clock: datetime | None = None
        """The server's time when it last answered."""

    def call(self, method: str, *params: Any, context: Mapping[str, Any] | None = None, read: bool = False) -> Any:
        """The result of a method. read: it changes nothing, so it may be sent again."""
        sent = {"id": 1, "method": method, "params": [*params, {"language": self.language, **(context or {})}]}
        for again in (False, True):
            session = self._alive()
            headers = {"authorization": f"Session {session}"}
            try:
                body = self._send(sent, headers, repeatable=read)
            except Unauthorised:
                if again:
                    raise
                with self._lock:
                    if self._session == session:
                        self._session = None
                continue
            return result(body, method, read=read)
        raise AssertionError("the second turn returns or raises")

    def _alive(self) -> str:
        with self._lock:
            if self._session is None:
                sent = {
                    "id": 1,
                    "method": "common.db.login",
                    "params": [self._username, {"password": self._password}, self.language],
                }
                found = result(self._send(sent, {}, repeatable=True), "login", read=True)
                token = f"{self._username}:{found[0]}:{found[1]}".encode()
                self._session = base64.b64encode(token).decode()
            return self._session

    def _send(self, sent: Mapping[str, Any], headers: Mapping[str, str], *, repeatable: bool) -> Mapping[str, Any]:
        response = self._wire.request("POST", self._path, json=sent, headers=headers, repeatable=repeatable)
        self.clock = http.server_time(response)
        return envelope(response) or {}

    def version(self) -> str:
        """The server's series, "8.2"."""
        sent = {"id": 1, "method": "common.server.version", "params": []}
        response = self._wire.request("POST", "rpc/", json=sent, repeatable=True)
        self.clock = http.server_time(response)
        return str(result(envelope(response) or {}, "version", read=True))

    def preferences(self) -> Row:
        """The user's own context: without `companies` in it, nothing of a company is shown."""
        found: Row = self.call("model.res.user.get_preferences", True, read=True)
        return {name: found[name] for name in ("company", "companies") if name in found}

    def rows(
        self,
        model: str,
        domain: Domain,
        fields: Sequence[str],
        *,
        limit: int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> list[Row]:
        """The rows of a model that match, by id; archived ones as well. A field `list.column` brings columns of the
        rows of a list, under `list.`."""
        seen = {"active_test": False, **(context or {})}
        order = [["id", "ASC"]]
        found: list[Row] = self.call(
            f"model.{model}.search_read", domain, 0, limit, order, list(fields), context=seen, read=True
        )
        return found

    def ids(self, model: str, domain: Domain) -> list[int]:
        """The ids of the rows that match; archived ones as well."""
        found: list[int] = self.call(
            f"model.{model}.search", domain, 0, None, [["id", "ASC"]], context={"active_test": False}, read=True
        )
        return found

    def create(self, model: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """New rows, all of them or none; their ids."""
        made: list[int] = self.call(f"model.{model}.create", list(rows))
        return made

    def write(self, changes: Iterable[tuple[int, Mapping[str, Any]]], stamps: Mapping[str, str]) -> None:
        """Change parties, all of them or none. stamps: `_timestamp` by "model,id", also of rows in their lists; where
        one was written meanwhile, it is Stale."""
        pairs: list[Any] = []
        for party, columns in changes:
            pairs += [[party], columns]
        self.call(f"model.{PARTY}.write", *pairs, context={"_timestamp": dict(stamps)})

    def delete(self, ids: Sequence[int], stamps: Mapping[str, str]) -> None:
        """Delete parties, all of them or none. One that is not there is no error (observed)."""
        self.call(f"model.{PARTY}.delete", list(ids), context={"_timestamp": dict(stamps)})

    def erase(self, party: int) -> None:
        """Blank an archived party and what hangs on it, with Tryton's own wizard (party.py, `Erase`)."""
        there = {"active_model": PARTY, "active_id": party, "active_ids": [party]}
        session, *_ = self.call("wizard.party.erase.create", context=there)
        try:
            self.call("wizard.party.erase.execute", session, {"ask": {"party": party}}, "erase", context=there)
        finally:
            self.call("wizard.party.erase.delete", session, context=there)

    def close(self) -> None:
        """Let go of sockets. The session ends by itself after some minutes."""
        self._wire.close()
