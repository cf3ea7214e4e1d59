"""SugarCRM's REST v11: sessions, one method an operation, and `bulk`, which sends many in one request.

Sections are those of the sugarcrm note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from connectors import http
from connectors.contract import Context, batched
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response, retry_after, server_time
from connectors.oauth import Session
from connectors.sugarcrm.settings import SugarSettings

Row = Mapping[str, Any]

VERSIONS: Final = ("v11_10", "v11")
"""Of the API, the preferred first: `sync_key` came with v11_10 (A6)."""
MOST_CALLS: Final = 50
"""Calls in one bulk request (A6)."""
AT_ONCE: Final = 100
"""Values of one `$in`."""
RENEW: Final = "enter user name and password again"
DEAD_TOKEN: Final = frozenset({"need_login", "invalid_grant"})


class Denied(Refused):
    """not_authorized: this user may not do that."""


class Outdated(Refused):
    """incorrect_version: the server does not speak this version of the API."""


class Expired(Unauthorised):
    """The access token is dead: log in again, once (A1)."""


TABLE: Final[Mapping[str, tuple[type[Error], str]]] = {
    "need_login": (Expired, f"the session is over; {RENEW}"),
    "invalid_grant": (Expired, f"the session is over; {RENEW}"),
    "not_authorized": (Denied, "the user may not do that; check the role"),
    "inactive_portal_user": (Unauthorised, "the user is not active; activate it or enter another"),
    "portal_not_configured": (Unauthorised, "this login is for portals only; enter another user"),
    "incorrect_version": (Outdated, "the server does not speak this version of REST"),
    "no_method": (Missing, "the server has no such operation"),
    "not_found": (Missing, "the record is not there, or not visible to this user"),
    "edit_conflict": (Stale, "the record was changed in SugarCRM meanwhile"),
    "request_too_large": (Refused, "the record is too large"),
    "missing_parameter": (Refused, "SugarCRM misses something"),
    "invalid_parameter": (Refused, "SugarCRM does not take a value"),
    "request_failure": (Refused, "SugarCRM could not do it"),
    "metadata_out_of_date": (Unreachable, "SugarCRM is being changed; it is tried again"),
    "client_outdated": (Unreachable, "SugarCRM is being upgraded; it is tried again"),
    "maintenance": (Unreachable, "SugarCRM is in maintenance"),
    "fatal_error": (Uncertain, "SugarCRM failed"),
}
"""Label of an error -> what we do about it (A2). A label that is not here is judged by its HTTP status."""
BY_STATUS: Final[Mapping[int, str]] = {
    401: "need_login",
    403: "not_authorized",
    404: "not_found",
    409: "edit_conflict",
    412: "metadata_out_of_date",
    413: "request_too_large",
    422: "invalid_parameter",
    424: "request_failure",
    433: "client_outdated",
    500: "fatal_error",
    503: "maintenance",
}
"""The label that a status stands for (A2)."""


def judged(status: int, body: Any, where: str) -> Error | None:
    """What an answer of the API means, be it a response's or an item's of a bulk."""
    if status < 300:
        return None
    said = body if isinstance(body, Mapping) else {}
    label = str(said.get("error", ""))
    if status == 429:
        return Throttled(f"SugarCRM, {where}: too many requests")
    kind, words = TABLE.get(label) or TABLE.get(BY_STATUS.get(status, "")) or (None, "")
    if kind is None:
        kind, words = (Uncertain, "SugarCRM failed") if status >= 500 else (Refused, "SugarCRM refused it")
    message = str(said.get("error_message", ""))[:300]
    return kind(f"SugarCRM, {where}: {words} (HTTP {status}{label and ', ' + label}{message and ': ' + message})")


def body_of(response: Response) -> Any:
    """The JSON of an answer; None where it is none (a web page, nothing at all)."""
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def react(response: Response) -> Error | None:
    """What a response means."""
    status, body = response.status_code, body_of(response)
    where = f"{response.request.method} {response.request.url.path.rpartition('/rest/')[2]}"
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return Throttled(f"SugarCRM, {where}: too many requests (HTTP {status})", retry_after(response))
    if isinstance(body, dict | list):
        return judged(status, body, where)
    if status == 404:
        return Unreachable("there is no REST API of SugarCRM at this URL (HTTP 404); give the URL of its start page")
    if 300 <= status < 400:
        return Unreachable("this URL is redirected; give the URL that the browser shows at SugarCRM's start page")
    if status < 400:
        return Uncertain("a web page came in place of an answer of SugarCRM; is it in maintenance?")
    if status == 503:
        return Unreachable(f"SugarCRM, {where}: not available now (HTTP 503)")
    return http.react(response)


# --- sessions ------------------------------------------------------------------------------------------------


class Login(Session):
    """A session of our own platform: a password grant, then refreshes (A1).

    Each login or refresh kills the tokens that this user had on this platform before; where the refresh token is dead
    (revoked, or another login), the password opens a new session.
    """

    def __init__(self, post: Callable[[Mapping[str, str]], Any], context: Context, settings: SugarSettings) -> None:
        self._post, self._settings = post, settings
        owner = ("sugarcrm", settings.url, settings.username, settings.platform)
        super().__init__(context, owner, settings.refresh_token.get_secret_value())

    def ask(self, refresh_token: str) -> Mapping[str, Any]:
        if refresh_token:
            try:
                return self._token({"grant_type": "refresh_token", "refresh_token": refresh_token})
            except Unauthorised:
                pass
        password = self._settings.password.get_secret_value()
        return self._token({"grant_type": "password", "username": self._settings.username, "password": password})

    def _token(self, grant: Mapping[str, str]) -> Mapping[str, Any]:
        settings = self._settings
        client = {"client_id": settings.client_id, "client_secret": settings.client_secret.get_secret_value()}
        answer: Mapping[str, Any] = self._post({**grant, **client, "platform": settings.platform})
        return answer


def token_reaction(response: Response) -> Error | None:
    """What the token endpoint's answers mean. The server's words are not told: they may echo what was sent."""
    status, body = response.status_code, body_of(response)
    said = body if isinstance(body, Mapping) else {}
    label = str(said.get("error", ""))
    if status < 300 and isinstance(body, dict):
        return None if body.get("access_token") else Uncertain("SugarCRM did not answer the login with a token")
    if label == "incorrect_version":
        return Outdated("the server does not speak this version of REST")
    if label in ("invalid_client", "unauthorized_client"):
        return Unauthorised("SugarCRM does not know this client_id and client_secret (Administration, OAuth Keys)")
    if status in (400, 401, 403, 422) and label:
        return Unauthorised(
            f"SugarCRM refused the login ({label[:40]}); {RENEW}. If they are right, register the platform named in"
            " the settings there (Administration, API Platforms)"
        )
    return react(response)


# --- operations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One operation. path: below the version ("Contacts/filter")."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call in a bulk."""

    body: Any
    error: Error | None

    def rows(self) -> list[Row]:
        """The records of a listing. Raises the call's error."""
        return list(self.checked()["records"])

    def more(self) -> bool:
        """Are there more than these? `next_offset` is -1 on the last page (A4)."""
        return int(self.checked().get("next_offset", -1)) != -1

    def checked(self) -> Mapping[str, Any]:
        if self.error:
            raise self.error
        if not isinstance(self.body, Mapping):
            raise Uncertain("SugarCRM answered a call with something that is no object")
        return self.body


Filter = Sequence[Mapping[str, Any]]


def listing(
    module: str, where: Filter, fields: Sequence[str], most: int, *, order: str = "id:ASC", deleted: bool = False
) -> Call:
    """A page of a module's rows (A4). deleted: the deleted ones, too, in short."""
    body: dict[str, Any] = {"filter": list(where), "fields": ",".join(fields), "max_num": most, "order_by": order}
    if deleted:
        body["deleted"] = True
    return Call("POST", f"{module}/filter", body)


def below(*parts: str) -> str:
    """A path of these parts."""
    return "/".join(quote(part, safe="") for part in parts)


class Client:
    """The operations we use. Nothing is sent before the first of them."""

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._http = Http(
            settings.url + "/",
            context,
            react=react,
            rate=settings.rate,
            verify=settings.verify_tls,
            timeout=120.0,
            headers={"x-sugar-platform": settings.platform},
        )
        self._login = Login(self._post_login, context, settings)
        self._page = settings.page
        self.version = VERSIONS[0]
        self.keyed = not settings.key_field
        """May this user write `sync_key`? Assumed until it is refused."""
        self.clock: datetime | None = None

    def close(self) -> None:
        """Let go of sockets. The session stays: its refresh token opens the next run."""
        self._http.close()

    # -- sending

    def _post_login(self, body: Mapping[str, str]) -> Any:
        def send() -> Response:
            # A refresh without an answer may have killed its token: then the password opens a new session.
            return self._http.request(
                "POST", self._url("oauth2/token"), json=body, repeatable=True, react=token_reaction
            )

        return body_of(self._versioned(send))

    def _url(self, path: str) -> str:
        return f"rest/{self.version}/{path}"

    def _versioned(self, send: Callable[[], Response]) -> Response:
        """Send, with an older version of the API where the server is too old for ours."""
        try:
            return send()
        except Outdated as outdated:
            if self.version == VERSIONS[-1]:
                words = "this SugarCRM is older than version 8 and has no REST v11; set protocol: v4_1"
                raise Unreachable(words) from outdated
            self.version = VERSIONS[-1]
            return self._versioned(send)

    def call(self, call: Call, *, repeatable: bool | None = None) -> Any:
        """The body of the answer to one call. Raises by `TABLE`."""
        return self._send(lambda: call, repeatable)

    def _send(self, made: Callable[[], Call], repeatable: bool | None) -> Any:
        """made: makes the call anew for each turn, for the version of the API that is spoken by then."""

        def send() -> Response:
            token, call = self._login.access()[0], made()
            return self._http.request(
                call.method,
                self._url(call.path),
                json=call.body,
                headers={**call.headers, "oauth-token": token},
                repeatable=repeatable,
            )

        for again in (False, True):
            try:
                response = self._versioned(send)
            except Expired:
                # Nothing took effect: the server did not even look who asks for what.
                self._login.refused()
                if again:
                    raise
            else:
                self.clock = server_time(response) or self.clock
                return body_of(response)
        raise AssertionError("the second turn returns or raises")

    def bulk(self, calls: Sequence[Call], *, repeatable: bool) -> list[Answer]:
        """The answers to these calls, at most `MOST_CALLS`, in order. They are done one after another, and one that
        fails does not stop the others (A6). Raises what happened to the request as a whole."""
        if not calls:
            return []
        if len(calls) == 1 and repeatable:
            return [self._alone(calls[0])]
        items = self._send(
            lambda: Call("POST", "bulk", {"requests": [self._request(call) for call in calls]}), repeatable
        )
        if not isinstance(items, list) or len(items) != len(calls):
            raise Uncertain("SugarCRM did not say what became of every call of a bulk request")
        return [_answer(call, item) for call, item in zip(calls, items, strict=True)]

    def reads(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers to any number of calls that only read. Raises what is about more than the one call."""
        answers = [answer for batch in batched(calls, MOST_CALLS) for answer in self.bulk(batch, repeatable=True)]
        for answer in answers:
            if isinstance(answer.error, Uncertain):
                raise Unreachable(str(answer.error))
            if answer.error and not isinstance(answer.error, Refused | Missing):
                raise answer.error
        return answers

    def _alone(self, call: Call) -> Answer:
        try:
            return Answer(self.call(call, repeatable=True), None)
        except (Refused, Missing) as error:
            return Answer(None, error)

    def _request(self, call: Call) -> dict[str, Any]:
        request: dict[str, Any] = {"url": f"/{self.version}/{call.path}", "method": call.method}
        if call.headers:
            request["headers"] = [f"{name}: {value}" for name, value in call.headers.items()]
        if call.body is not None:
            request["data"] = orjson.dumps(call.body).decode()
        return request

    # -- reading

    def walk(
        self, module: str, where: Filter, fields: Sequence[str], after: str = "", first: Answer | None = None
    ) -> Iterator[list[Row]]:
        """All rows that match, in pages, by id: rows that come or go meanwhile move no other (A4). A page may be
        smaller than asked for (`max_list_limit`). first: the first page, where it was had already."""
        while True:
            beyond = [{"id": {"$gt": after}}] if after else []
            call = listing(module, [*where, *beyond], fields, self._page)
            answer = first or Answer(self.call(call, repeatable=True), None)
            first = None
            rows = answer.rows()
            if rows:
                yield rows
                after = str(rows[-1]["id"])
            if not rows or not answer.more():
                return

    def rows(self, module: str, where: Filter, fields: Sequence[str]) -> list[Row]:
        """All rows that match, by id."""
        return [row for page in self.walk(module, where, fields) for row in page]

    def among(self, module: str, name: str, values: Sequence[str], fields: Sequence[str]) -> list[Row]:
        """The rows whose field is one of these values."""
        found: list[Row] = []
        for batch in batched(values, AT_ONCE):
            found += self.rows(module, [{name: {"$in": batch}}], fields)
        return found


def with_params(path: str, params: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode(params)}"


def _answer(call: Call, item: Any) -> Answer:
    """An item of a bulk: {contents, headers, status} (A6)."""
    if not isinstance(item, Mapping) or "status" not in item:
        return Answer(None, Uncertain(f"SugarCRM did not say what became of {call.method} {call.path}"))
    contents = item.get("contents")
    if isinstance(contents, str):
        try:
            contents = orjson.loads(contents)
        except orjson.JSONDecodeError:
            contents = None
    error = judged(int(item["status"]), contents, f"{call.method} {call.path}")
    # The request as a whole was let in: the session ended on the way, and the next request opens another.
    return Answer(contents, Unreachable(str(error)) if isinstance(error, Expired) else error)


def speaks(wire: Http) -> bool:
    """Is there a REST v11 at this address? Asks without credentials, and an API says what it thinks of that (A1)."""
    for version in VERSIONS:
        response = wire.request("GET", f"rest/{version}/ping", react=unavailable)
        body = body_of(response)
        label = body.get("error") if isinstance(body, dict) else None
        if label in DEAD_TOKEN or body == "pong":
            return True
        if label != "incorrect_version":
            return False
    return False


def unavailable(response: Response) -> Error | None:
    """For who only wants to know what is there: what says nothing about that."""
    return react(response) if response.status_code in (429, 503) else None
