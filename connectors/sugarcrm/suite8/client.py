"""SuiteCRM's V8 JSON:API: one method per operation (sugarcrm note, part B, V8; transcript v8-01)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from connectors import http
from connectors.contract import Context
from connectors.errors import Error, Missing, Refused, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response
from connectors.oauth import Session
from connectors.sugarcrm.legacy.rows import row as row_of
from connectors.sugarcrm.settings import SugarSettings

Row = dict[str, Any]
Filter = Sequence[tuple[str, str, str]]
"""(column, operator, value); operators: eq neq gt gte lt lte like."""

JSON_API: Final = "application/vnd.api+json"
RENEW: Final = "enter user name and password again"
IDS: Final = 5_000
"""Ids in one page: the server has no cap."""


class Expired(Unauthorised):
    """The access token is dead: ask for another one, once."""


class Taken(Refused):
    """There is, or was, a row with this id."""


def react(response: Response) -> Error | None:
    """What an answer means. `errors` is an object, and nearly everything is HTTP 400 (live notes, V8)."""
    status, body = response.status_code, _body(response)
    if status == 401:
        return Expired(f"SuiteCRM no longer takes the access token; {RENEW}")
    if status == 400 and isinstance(body, dict):
        return _refusal(body)
    if status == 403:
        kind = Unauthorised if response.request.method == "GET" else Refused
        return kind("SuiteCRM says that this user may not do that; check the role")
    if status >= 400:
        return http.react(response)
    if status >= 300:
        return Unreachable("this URL is redirected; give the URL that the browser shows at the start page")
    if not isinstance(body, dict):
        return Uncertain("SuiteCRM answered with something that is no answer of its API")
    return None


def _refusal(body: Mapping[str, Any]) -> Error:
    errors = body.get("errors")
    found = errors[0] if isinstance(errors, list) and errors else errors
    detail = str(found.get("detail", "") if isinstance(found, dict) else "")[:300]
    if "already exist" in detail:
        return Taken(f"SuiteCRM: {detail}")
    if "is not found" in detail and " with id " in detail:
        return Missing(f"SuiteCRM: {detail}")
    return Refused(f"SuiteCRM: {detail or 'refused'}")


def react_token(response: Response) -> Error | None:
    """What the token endpoint's answers mean. Its words are never told: they hold the password (transcript v8-01)."""
    status, body = response.status_code, _body(response)
    error = str(body.get("error", "")) if isinstance(body, dict) else ""
    if status < 300 and isinstance(body, dict):
        return None if body.get("access_token") else Uncertain("SuiteCRM did not answer the login with a token")
    if error == "invalid_client":
        return Unauthorised("SuiteCRM refused the client_secret (Administration, OAuth2 Clients and Tokens)")
    if error:
        # An unknown client, user or password is HTTP 500 `unknown_error`.
        return Unauthorised(
            f"SuiteCRM refused the login; {RENEW}, and client_id and client_secret of an OAuth2 client of type password"
        )
    return react(response)


def speaks(wire: Http) -> bool:
    """Does this server speak V8? Asked without credentials: it says that they are missing."""

    def judged(response: Response) -> Error | None:
        return http.react(response) if response.status_code in (429, 502, 503, 504) else None

    response = wire.request("GET", "Api/V8/meta/modules", headers={"accept": JSON_API}, react=judged)
    body = _body(response)
    return response.status_code == 401 and isinstance(body, dict) and body.get("error") == "access_denied"


def _body(response: Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


class Login(Session):
    """A password grant, then refreshes: each refresh token works once (transcript v8-01). Where it is dead, the
    password opens a new session."""

    def __init__(self, wire: Http, context: Context, settings: SugarSettings) -> None:
        self._wire, self._settings = wire, settings
        owner = ("suite8", settings.url, settings.username, settings.client_id)
        super().__init__(context, owner, settings.refresh_token.get_secret_value())

    def ask(self, refresh_token: str) -> Mapping[str, Any]:
        if refresh_token:
            try:
                return self._post({"grant_type": "refresh_token", "refresh_token": refresh_token})
            except Unauthorised:
                pass
        password = self._settings.password.get_secret_value()
        return self._post({"grant_type": "password", "username": self._settings.username, "password": password})

    def _post(self, grant: Mapping[str, str]) -> Mapping[str, Any]:
        client = {
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
        }
        sent = orjson.dumps({**grant, **client})
        headers = {"content-type": JSON_API, "accept": JSON_API}
        # A refresh without an answer may have used its token up: then the password opens a new session.
        response = self._wire.request(
            "POST", "Api/access_token", content=sent, headers=headers, repeatable=True, react=react_token
        )
        answer: Mapping[str, Any] = _body(response)
        return answer


class Client:
    """The operations we use. Nothing is sent before the first of them."""

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._wire = Http(
            settings.url + "/",
            context,
            react=react,
            rate=settings.rate,
            verify=settings.verify_tls,
            timeout=60.0,
            headers={"accept": JSON_API},
        )
        self._login = Login(self._wire, context, settings)

    def _call(self, method: str, path: str, *, params: Any = None, data: Mapping[str, Any] | None = None) -> Any:
        """The body of an answer. A dead token is renewed once: the call had no effect."""
        content = None if data is None else orjson.dumps({"data": data})
        for again in (False, True):
            token = self._login.access()[0]
            headers = {"authorization": f"Bearer {token}", **({"content-type": JSON_API} if content else {})}
            try:
                response = self._wire.request(method, f"Api/V8/{path}", params=params, content=content, headers=headers)
                return _body(response)
            except Expired:
                self._login.refused()
                if again:
                    raise
        raise AssertionError("the second turn returns or raises")

    # --- reading -----------------------------------------------------------------------------------------------------

    def user(self) -> Mapping[str, Any]:
        """Who is logged in: `user_name`, `is_admin`."""
        found: Mapping[str, Any] = self._call("GET", "current-user")["data"]["attributes"]
        return found

    def page(self, module: str, where: Filter, fields: Sequence[str], size: int) -> tuple[list[Row], int]:
        """(rows by id, how many pages of this size there are). Only an order by id loses nothing (live notes, V8)."""
        params = {f"fields[{module}]": ",".join(fields), "sort": "id", "page[size]": str(size), "page[number]": "1"}
        return self._rows(module, {**params, **_filter(where)})

    def either(self, module: str, where: Filter, fields: Sequence[str], size: int) -> Iterator[list[Row]]:
        """Rows that meet one of these conditions, page by page."""
        params = {f"fields[{module}]": ",".join(fields), "sort": "id", "page[size]": str(size), **_filter(where)}
        for number in itertools.count(1):
            rows, _ = self._rows(module, {**params, "filter[operator]": "or", "page[number]": str(number)})
            if rows:
                yield rows
            if len(rows) < size:
                return

    def newest(self, module: str) -> str:
        """When a module last changed, as the server writes it; "" of an empty one."""
        params = {
            f"fields[{module}]": "date_modified",
            "sort": "-date_modified",
            "page[size]": "1",
            "page[number]": "1",
        }
        rows, _ = self._rows(module, params)
        return str(rows[0].get("date_modified") or "") if rows else ""

    def _rows(self, module: str, params: Mapping[str, str]) -> tuple[list[Row], int]:
        body = self._call("GET", f"module/{module}", params=params)
        data, meta = body.get("data"), body.get("meta")
        if not isinstance(data, list):
            raise Unreachable("SuiteCRM answered a listing without a list")
        pages = meta.get("total-pages", 0) if isinstance(meta, dict) else 0
        return [_row(item) for item in data], int(pages)

    def walk(
        self, module: str, where: Filter, fields: Sequence[str], size: int, after: str = ""
    ) -> Iterator[list[Row]]:
        """Rows page by page, by id: each page begins after the last one's last id."""
        while True:
            bounds = [("id", "gt", after)] if after else []
            rows, _ = self.page(module, [*where, *bounds], fields, size)
            if rows:
                yield rows
            if len(rows) < size:
                return
            after = rows[-1]["id"]

    def count(self, module: str, where: Filter) -> int:
        """How many rows there are: pages of one row."""
        return self.page(module, where, ["date_modified"], 1)[1]

    def get(self, module: str, record: str, fields: Sequence[str]) -> Row:
        """One row. Raises Missing."""
        body = self._call("GET", f"module/{module}/{record}", params={f"fields[{module}]": ",".join(fields)})
        return _row(body["data"])

    def linked(self, module: str, record: str, link: str) -> list[str]:
        """The ids at the other end of a link; nothing at all is there without one."""
        data = self._call("GET", f"module/{module}/{record}/relationships/{link}").get("data")
        return [str(item["id"]) for item in data or ()]

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, module: str, attributes: Mapping[str, Any], record: str | None = None) -> Row:
        """A new row, as it is stored. Raises Taken where the id is in use, or was."""
        chosen = {"id": record} if record else {}
        return _row(self._call("POST", "module", data={"type": module, **chosen, "attributes": attributes})["data"])

    def update(self, module: str, record: str, attributes: Mapping[str, Any]) -> Row:
        """Change the given fields; the row as it is stored. Addresses are silently left alone (transcript v8-01)."""
        data = {"type": module, "id": record, "attributes": attributes}
        return _row(self._call("PATCH", "module", data=data)["data"])

    def delete(self, module: str, record: str) -> None:
        """Into the bin."""
        self._call("DELETE", f"module/{module}/{record}")

    def link(self, module: str, record: str, link: str, other: str, of: str) -> None:
        """Link another module's row."""
        self._call("POST", f"module/{module}/{record}/relationships/{link}", data={"type": of, "id": other})

    def unlink(self, module: str, record: str, link: str, other: str) -> None:
        """Remove a link. Raises Refused where there is none."""
        self._call("DELETE", f"module/{module}/{record}/relationships/{link}/{other}")

    def close(self) -> None:
        """Let go of sockets."""
        self._wire.close()


def _filter(where: Filter) -> dict[str, str]:
    return {f"filter[{column}][{operator}]": value for column, operator, value in where}


def _row(item: Mapping[str, Any]) -> Row:
    attributes = item.get("attributes")
    return {**row_of(attributes if isinstance(attributes, dict) else {}), "id": str(item["id"])}
