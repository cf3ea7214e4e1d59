"""vTiger's two doors: `webservice.php` and the cloud's REST API. One method per operation.

Both carry the same operations, ids, query language and envelope (vtiger note, parts A and B). The cloud knows no
session, so it is preferred where its `/me` answers. That a server has only the other one is remembered for later runs.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson

from connectors import http
from connectors.contract import Context
from connectors.errors import Error, Missing, Refused, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response

Row = dict[str, Any]

PAGE: Final = 100
"""Most rows of one query, whatever LIMIT says (vtiger note A4)."""
DOUBTFUL: Final = frozenset('"\\')
"""Characters of which nobody knows what they do in a literal of a query (transcript 04)."""
CLOUD: Final = "/restapi/v1/vtiger/default"
DOOR: Final = "door"
"""Under this name it is remembered which door a server has, and `check` asks anew."""
RENEW: Final = "enter user name and access key again (in vTiger: My Preferences; a new password makes a new key)"


class Denied(Refused):
    """ACCESS_DENIED for a write: the record is gone, was never there, or is not ours to write (vtiger note A3)."""


class Unsupported(Refused):
    """This server does not do this operation."""


Reaction = type[Error]

TABLE: Final[Mapping[str, tuple[Reaction, Reaction]]] = {
    "ACCESS_DENIED": (Unauthorised, Denied),
    "AUTHENTICATION_FAILURE": (Unauthorised, Unauthorised),
    "ACCESSKEY_UNDEFINED": (Unauthorised, Unauthorised),
    "INVALID_USER_CREDENTIALS": (Unauthorised, Unauthorised),
    "INVALID_AUTH_TOKEN": (Unauthorised, Unauthorised),
    "SESSION_EXPIRED": (Unreachable, Unreachable),
    "SESSION_LEFT_IDLE": (Unreachable, Unreachable),
    "INVALID_SESSIONID": (Unreachable, Unreachable),
    "AUTHENTICATION_REQUIRED": (Unreachable, Unreachable),
    "RECORD_NOT_FOUND": (Missing, Missing),
    "MANDATORY_FIELDS_MISSING": (Refused, Refused),
    "REFERENCE_INVALID": (Refused, Refused),
    "INVALID_ID_ATTRIBUTE": (Refused, Refused),
    "LEAD_ALREADY_CONVERTED": (Refused, Refused),
    "0": (Refused, Refused),  # "Duplicate(s) detected!" (transcript 09)
    "UNKNOWN_OPERATION": (Unsupported, Unsupported),
    "OPERATION_NOT_SUPPORTED": (Unsupported, Unsupported),
    "DATABASE_QUERY_ERROR": (Unreachable, Uncertain),
    "INTERNAL_SERVER_ERROR": (Unreachable, Uncertain),
}
"""Error code of the envelope -> what we do about it when (reading, writing) (vtiger note A6). A code that is not here
ends the run when reading, and sets the record aside when writing."""

DEAD_SESSION: Final = frozenset(
    {"SESSION_EXPIRED", "SESSION_LEFT_IDLE", "INVALID_SESSIONID", "AUTHENTICATION_REQUIRED"}
)
"""Log in again, once (vtiger note A1). The request had no effect."""
RACED: Final = frozenset({"INVALID_AUTH_TOKEN", "INVALID_USER_CREDENTIALS"})
"""What a login answers when another program asked for a challenge of the same user meanwhile (transcript 01)."""

READS: Final = frozenset({"getchallenge", "query", "describe", "retrieve", "sync", "me"})
"""The verb is fixed by the operation; the wrong one hides the parameters (vtiger note, part A)."""


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in. version: vTiger's; admin: sees everything; both where it tells. clock: the server's time."""

    id: str
    name: str
    version: str | None = None
    admin: bool | None = None
    clock: datetime | None = None


# --- answers ---------------------------------------------------------------------------------------------------------


def envelope(response: Response) -> Mapping[str, Any] | None:
    """The body where it is vTiger's {"success": …}; None for web pages, plain text and nothing at all."""
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and "success" in body else None


def react(response: Response) -> Error | None:
    """What an answer without an envelope means. One with an envelope is an answer, whatever its status: 200 in
    webservice.php, 400 in the cloud (vtiger note, parts A and B)."""
    status = response.status_code
    if status in (401, 429) or status >= 500:
        return Unauthorised(f"vTiger refused the credentials; {RENEW}") if status == 401 else http.react(response)
    if envelope(response) is not None:
        return None
    if status == 404:
        return Unreachable("there is no vTiger web service at this URL (HTTP 404); give the URL of vTiger's start page")
    if 300 <= status < 400:
        return Unreachable("this URL is redirected; give the URL that the browser shows at vTiger's start page")
    if status == 403:
        return http.react(response)
    # A maintenance page; or "Sorry! Attempt to access restricted file." after a row was created (transcript 03).
    return Uncertain(f"vTiger answered with something that is no answer of its API (HTTP {status})")


def react_broken(response: Response) -> Error | None:
    """`react` for an operation that stock servers fail at (vtiger note A5)."""
    if response.status_code == 500:
        return Unsupported("this server fails at it (HTTP 500)")
    return react(response)


def result(body: Mapping[str, Any], operation: str) -> Any:
    """The result in an envelope. Raises by `TABLE`."""
    if body["success"]:
        return body.get("result")
    code, message = fault(body)
    read = operation in READS
    kind = TABLE.get(code, (Unreachable, Refused))[0 if read else 1]
    hint = f"; {RENEW}" if kind is Unauthorised and (code != "ACCESS_DENIED" or operation == "getchallenge") else ""
    raise kind(f"vTiger, {operation}: {message} ({code}){hint}")


def fault(body: Mapping[str, Any]) -> tuple[str, str]:
    """Code and message of a failure; the code of a duplicate is the number 0 (transcript 09)."""
    error = body.get("error") or {}
    return str(error.get("code", "")), str(error.get("message", ""))[:300]


# --- webservice.php --------------------------------------------------------------------------------------------------


class Webservice:
    """The open source door. Safe to share between threads; they share one session."""

    def __init__(self, wire: Http, username: str, access_key: str) -> None:
        self._wire, self._username, self._access_key = wire, username, access_key
        self._lock = threading.Lock()
        self._session: str | None = None
        self.user = self._enter()

    def call(self, operation: str, params: Mapping[str, Any], *, broken: bool = False) -> Any:
        """The operation's result. broken: the server is known to fail at this with HTTP 500, which then is an answer
        (Unsupported). Raises by `TABLE` and `react`."""
        for again in (False, True):
            session = self._alive()
            body = self._send(operation, {**params, "sessionName": session}, broken)
            if body["success"] or again or fault(body)[0] not in DEAD_SESSION:
                return result(body, operation)
            with self._lock:
                if self._session == session:
                    self._session = None
        raise AssertionError("the second turn returns or raises")

    def _alive(self) -> str:
        with self._lock:
            if self._session is None:
                self.user = self._enter()
            assert self._session is not None
            return self._session

    def _enter(self) -> User:
        """Log in (vtiger note A1). The session is a parameter; cookies are ignored (transcript 07)."""
        for again in (False, True):
            challenge = result(self._send("getchallenge", {"username": self._username}), "getchallenge")
            proof = hashlib.md5(f"{challenge['token']}{self._access_key}".encode(), usedforsecurity=False).hexdigest()
            body = self._send("login", {"username": self._username, "accessKey": proof})
            if body["success"] or again or fault(body)[0] not in RACED:
                break
        login = result(body, "login")
        self._session = str(login["sessionName"])
        clock = datetime.fromtimestamp(int(challenge["serverTime"]), UTC)
        admin = login["is_admin"] == "on" if "is_admin" in login else None
        return User(str(login["userId"]), self._username, login.get("vtigerVersion"), admin, clock)

    def _send(self, operation: str, params: Mapping[str, Any], broken: bool = False) -> Mapping[str, Any]:
        reaction = react_broken if broken else react
        sent = {"operation": operation, **params}
        if operation in READS:
            response = self._wire.request("GET", "webservice.php", params=sent, react=reaction)
        else:
            repeatable = operation == "login"
            response = self._wire.request("POST", "webservice.php", data=sent, repeatable=repeatable, react=reaction)
        return envelope(response) or {}


# --- cloud -----------------------------------------------------------------------------------------------------------


class Cloud:
    """The cloud's door: HTTP Basic, operations as paths (vtiger note, part B)."""

    def __init__(self, wire: Http, headers: Mapping[str, str], user: User) -> None:
        self._wire, self._headers, self.user = wire, headers, user

    def call(self, operation: str, params: Mapping[str, Any], *, broken: bool = False) -> Any:
        """The operation's result; as `Webservice.call`."""
        reaction = react_broken if broken else react
        path, headers = f"{CLOUD}/{operation}", self._headers
        if operation in READS:
            response = self._wire.request("GET", path, params=params, headers=headers, react=reaction)
        else:
            response = self._wire.request("POST", path, data=params, headers=headers, react=reaction)
        return result(envelope(response) or {}, operation)


def basic(username: str, access_key: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"authorization": "Basic " + base64.b64encode(f"{username}:{access_key}".encode()).decode()}


def cloud_user(me: Response) -> User | None:
    """The user that the cloud's `/me` names; None where this is no cloud (which then shows at the other door)."""
    body = envelope(me) or {}
    if me.status_code != 200 or not body.get("success"):
        return None
    found = body["result"]
    return User(str(found["id"]), str(found.get("user_name") or found["id"]), clock=http.server_time(me))


_Door = TypeVar("_Door", Webservice, Cloud)


# --- operations ------------------------------------------------------------------------------------------------------


class Client:
    """The operations we use. Nothing is sent before the first of them. Safe to share between threads.

    rate: most requests a second; vTiger has no limit of its own (vtiger note A6). verify: check TLS certificates.
    """

    def __init__(
        self, url: str, username: str, access_key: str, context: Context, *, rate: float | None, verify: bool
    ) -> None:
        base = url.removesuffix("webservice.php").rstrip("/") + "/"
        self._wire = Http(base, context, react=react, rate=rate, verify=verify)
        self._username, self._access_key = username, access_key
        self._lock = threading.Lock()
        self._door: Webservice | Cloud | None = None
        self._remember, self._remembered = context.remember, context.memory.get(DOOR)

    @property
    def door(self) -> Webservice | Cloud:
        """The door of this server: the cloud's where its `/me` answers. One that had the other door the last time is
        not asked for it again, as long as that opens."""
        with self._lock:
            if self._door is None:
                self._door = self._known() or self._probe()
            return self._door

    def probe(self) -> None:
        """Find out anew which door this server has."""
        with self._lock:
            self._door = self._probe()

    def _known(self) -> Webservice | Cloud | None:
        if self._remembered != Webservice.__name__:
            return None
        try:
            return self._webservice()
        except (Unreachable, Uncertain, Unauthorised) as error:
            door = self._cloud()  # it may have moved there
            if door is None:
                raise error
            return door

    def _probe(self) -> Webservice | Cloud:
        return self._cloud() or self._webservice()

    def _cloud(self) -> Cloud | None:
        headers = basic(self._username, self._access_key)
        user = cloud_user(self._wire.request("GET", f"{CLOUD}/me", headers=headers, react=_throttled_only))
        return None if user is None else self._kept(Cloud(self._wire, headers, user))

    def _webservice(self) -> Webservice:
        return self._kept(Webservice(self._wire, self._username, self._access_key))

    def _kept(self, door: _Door) -> _Door:
        name = type(door).__name__
        if name != self._remembered:
            self._remember(DOOR, name)
            self._remembered = name
        return door

    @property
    def user(self) -> User:
        """Who is logged in."""
        return self.door.user

    def describe(self, module: str) -> Row:
        """What a module is: its `idPrefix`, its fields, what may be done (vtiger note A2)."""
        found: Row = self.door.call("describe", {"elementType": module})
        return found

    def query(self, text: str) -> list[Row]:
        """The rows of a VTQL query, at most `PAGE`. Rows that we may not see are left out after LIMIT, so that fewer
        than asked for does not mean the end (vtiger note A4)."""
        rows: list[Row] = self.door.call("query", {"query": text + ";"})
        return rows

    def count(self, module: str, where: str = "") -> int:
        """How many rows there are, those that we may not see included."""
        rows = self.query(f"select count(*) from {module}{where and ' where ' + where}")
        return int(rows[0]["count"])

    def sync(self, module: str, since: int) -> Row:
        """What changed and what was deleted after `since` (unix seconds, at least 1), in the scope of the whole
        application (vtiger note A5). Raises Unsupported where the server cannot, Unauthorised where we may not."""
        params = {"modifiedTime": max(1, since), "elementType": module, "syncType": "application"}
        found: Row = self.door.call("sync", params, broken=True)
        return found

    def create(self, module: str, element: Mapping[str, str]) -> Row:
        """A new record; answers it in full."""
        params = {"elementType": module, "element": orjson.dumps(element).decode()}
        row: Row = self.door.call("create", params)
        return row

    def revise(self, element: Mapping[str, str]) -> Row:
        """Change the given columns of the record `id`; "" clears. Answers the record in full."""
        row: Row = self.door.call("revise", {"element": orjson.dumps(element).decode()})
        return row

    def delete(self, record: str) -> None:
        """Into the recycle bin."""
        self.door.call("delete", {"id": record})

    def close(self) -> None:
        """Let go of sockets. No logout: it fails on PHP 8 and the session would stay (vtiger note A1)."""
        self._wire.close()


def _throttled_only(response: Response) -> Error | None:
    return http.react(response) if response.status_code == 429 else None


def quoted(text: str) -> str:
    """A literal of VTQL: quotes are doubled, a backslash escapes nothing (transcripts 04, 07)."""
    return "'" + text.replace("'", "''") + "'"


def listed(values: Sequence[str]) -> str:
    """The right side of IN."""
    return "(" + ",".join(map(quoted, values)) + ")"


def plain(text: str) -> bool:
    """May the text stand in a literal?"""
    return not DOUBTFUL & set(text)


def equals(column: str, text: str) -> str:
    """The condition that finds a text. Doubtful characters match any, so compare what comes."""
    if plain(text):
        return f"{column} = {quoted(text)}"
    return f"{column} like {quoted(text.translate({ord(mark): '_' for mark in DOUBTFUL}))}"
