"""SuiteCRM's V8 JSON:API in a box, over the same database as v4_1's sandbox.

Rules cite the sugarcrm note ("note"), the notes of live servers ("live"), the transcript ("T8":
transcripts/suitecrm/v8-01-auth-crud), or SuiteCRM's source ("S:").
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from fastapi import Request
from starlette.responses import Response

from connectors.sugarcrm.legacy.sandbox import PASSWORD, USERNAME, SuiteSandbox
from connectors.sugarcrm.legacy.store import BEANS, LINKED, Broken, Values, run

CLIENT: Final = "22222222-2222-2222-2222-222222222222"
CLIENT_SECRET: Final = "lab-secret"  # noqa: S105 of the sandbox alone
LIFE: Final = 3600
OPERATORS: Final = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like"}
NAMES: Final = {
    "Contacts": "Contact",
    "Leads": "Lead",
    "Accounts": "Account",
    "ProspectLists": "ProspectList",
    "EmailAddresses": "EmailAddress",
}
"""The type in answers is the bean's name, not the module's (T8, create)."""
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
PRIMARY: Final = "email_addresses_primary"
"""A link that makes what it links the primary address (T01, link_fields; its relationship has that as its role)."""


class Bad(Exception):
    """HTTP 400 with `errors`, an object (T8, "get one")."""


class Unknown(Exception):
    """No valid token: HTTP 401 (T8, "no token / bad token")."""


class Suite8Sandbox(SuiteSandbox):
    """The server; v4_1 is closed unless it is asked for."""

    def __init__(self, clock: Callable[[], datetime] | None = None, **options: Any) -> None:
        super().__init__(clock, **{"v41": False, **options})
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._tokens = 0
        add = self.api.add_api_route
        add("/Api/access_token", self._token, methods=["POST"], response_model=None)
        add("/Api/V8/meta/modules", self._api, methods=["GET"], response_model=None)
        add("/Api/V8/current-user", self._api, methods=["GET"], response_model=None)
        methods = ["GET", "POST", "PATCH", "DELETE"]
        add("/Api/V8/module", self._api, methods=methods, response_model=None)
        add("/Api/V8/module/{path:path}", self._api, methods=methods, response_model=None)

    def settings(self, url: str) -> dict[str, Any]:
        oauth = {"client_id": CLIENT, "client_secret": CLIENT_SECRET}
        return {**super().settings(url), **oauth, "protocol": "v8"}

    def kill_sessions(self) -> None:
        with self.lock:
            self._access.clear()
            self._refresh.clear()

    # --- tokens ------------------------------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        with self.lock:
            given = _body(raw)
            client, secret = given.get("client_id"), given.get("client_secret")
            if client != CLIENT:  # T8, "wrong secret"
                return _unknown_error(f"OAuth2Clients module with id {client} is not found")
            if secret != CLIENT_SECRET:
                return _oauth_error(401, "invalid_client", "Client authentication failed")
            if given.get("grant_type") == "password":
                if given.get("username") != USERNAME:
                    return _unknown_error(f"No user found with name: {given.get('username')}")
                if given.get("password") != PASSWORD:  # the text tells the password (T8, "password grant")
                    return _unknown_error(f"The password is invalid: {given.get('password')}")
            elif given.get("grant_type") == "refresh_token":
                if given.get("refresh_token") not in self._refresh:
                    return _oauth_error(401, "invalid_request", "The refresh token is invalid.")
                self._refresh.discard(str(given["refresh_token"]))  # single use (live, V8)
            else:
                words = "The authorization grant type is not supported by the authorization server."
                return _oauth_error(400, "unsupported_grant_type", words)
            access, refresh = self._fresh("access"), self._fresh("refresh")
            self._access[access] = self.store.now().timestamp()
            self._refresh.add(refresh)
            answer = {"token_type": "Bearer", "expires_in": LIFE, "access_token": access, "refresh_token": refresh}
            return _json(answer)

    def _fresh(self, kind: str) -> str:
        self._tokens += 1
        return hashlib.blake2b(f"{kind}{self._tokens}".encode(), digest_size=24).hexdigest()

    def _authorised(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.store.now().timestamp() - self._access.get(token, -math.inf) > LIFE:
            raise Unknown

    # --- the API -----------------------------------------------------------------------------------------------------

    async def _api(self, request: Request) -> Response:
        raw = await request.body()
        with self.lock:
            try:
                self._authorised(request)
                status, body = self._route(request, raw)
                return _json(body, status)
            except Unknown:
                words = "The resource owner or authorization server denied the request."
                return _oauth_error(401, "access_denied", words)
            except Bad as bad:
                return _json({"errors": {"status": 400, "title": None, "detail": str(bad)}}, 400)
            except Broken as broken:
                return Response(str(broken), 500, media_type="text/html; charset=UTF-8")

    def _route(self, request: Request, raw: bytes) -> tuple[int, Any]:
        parts = request.url.path.removeprefix("/Api/V8/").split("/")
        if parts[0] == "current-user":
            user = {"user_name": USERNAME, "is_admin": str(int(self.options.admin))}
            return 200, {"data": {"type": "User", "id": "1", "attributes": user}}
        if parts[0] == "meta":
            access = {"label": "", "access": ["access", "delete", "edit", "list", "view"]}
            return 200, {"data": {"type": "modules", "attributes": dict.fromkeys(BEANS, access)}}
        verb, rest = request.method, parts[1:]
        if not rest:
            return 201, self._write(verb, self._data(request, raw))
        module = rest[0]
        if module not in BEANS or module in self.options.hidden:
            raise Bad(f"Module with name {module} is not found")
        if len(rest) == 1:
            return 200, self._listing(module, request.query_params)
        if not UUID.fullmatch(rest[1]):
            raise Bad(f'The option "id" with value "{rest[1]}" is invalid.')
        row = self._row(module, rest[1])
        if len(rest) > 2:
            return 201 if verb == "POST" else 200, self._relationship(verb, module, rest, request, raw)
        if verb == "DELETE":
            self.store.delete(module, row["id"])
            return 200, {"meta": {"message": f"Record with id {row['id']} is deleted"}, "data": []}
        return 200, {"data": self._shown(module, row, self._fields(module, request.query_params))}

    def _data(self, request: Request, raw: bytes) -> Mapping[str, Any]:
        """Another content type, or no JSON: as if nothing had been sent (T8, "malformed JSON")."""
        kind = request.headers.get("content-type", "").split(";")[0]
        body = _body(raw) if kind in ("application/vnd.api+json", "application/json") else {}
        data = body.get("data")
        if not isinstance(data, Mapping):
            raise Bad('The required option "data" is missing.')
        return data

    def _row(self, module: str, record: str) -> Values:
        row = self.store.get(module, record)
        if row is None:
            raise Bad(f"{module} module with id {record} is not found")
        return row

    # --- reading -----------------------------------------------------------------------------------------------------

    def _known(self, module: str) -> set[str]:
        more = {"email1", "email2", "email_opt_out", "invalid_email", "account_id", "account_name", "name"}
        return {*BEANS[module][1], *(more if module in ("Contacts", "Leads") else ())}

    def _fields(self, module: str, query: Mapping[str, str]) -> list[str] | None:
        given = query.get(f"fields[{module}]")
        if given is None:
            return None
        names = given.split(",")
        missing = [name for name in names if name not in self._known(module)]
        if missing:
            raise Bad(f"The following field in {NAMES[module]} module is not found: {', '.join(missing)}")
        return names

    def _listing(self, module: str, query: Mapping[str, str]) -> Any:
        table, columns = BEANS[module]
        for name in query:
            if not re.match(r"(fields|page|filter)\[|sort$", name):
                raise Bad(f'The option "{name}" does not exist.')  # live: unknown parameters
        fields = self._fields(module, query)
        where = self._where(module, query)
        size, number = int(query.get("page[size]", 0)), int(query.get("page[number]", 1))
        offset = (number - 1) * size if size else 0  # without a size, the number is ignored (note, V8)
        order = f"shuffled({table}.id, {offset})"  # live: without sort a listing loses rows, by date_modified, too
        if "sort" in query:
            column = query["sort"].lstrip("-")
            if column not in columns:
                raise Bad(f"Sort field {column} is not found")
            order = f"{table}.{column}{' desc' if query['sort'].startswith('-') else ''}, {order}"
        source = f"from {table} where {where}"
        found = list(run(self.store, f"select {table}.* {source} order by {order} limit {size or 20} offset {offset}"))
        if any(row["deleted"] for row in found):
            gone = next(row["id"] for row in found if row["deleted"])
            raise Bad(f"{module} module with id {gone} is not found")  # note, V8: filter[deleted][eq]=1
        answer: dict[str, Any] = {"data": [self._shown(module, row, fields) for row in found]}
        if size and found:
            total = next(run(self.store, f"select count(*) as n {source}"))["n"]
            answer["meta"] = {"total-pages": math.ceil(total / size), "records-on-this-page": len(found)}
        return answer

    def _where(self, module: str, query: Mapping[str, str]) -> str:
        """S:Filter::parseWhere."""
        table, _ = BEANS[module]
        joint, deleted, parts = "and", 0, []
        for name, value in query.items():
            match = re.fullmatch(r"filter\[(\w+)\](?:\[(\w+)\])?", name)
            if not match:
                continue
            column, operator = match.groups()
            if column == "operator":
                joint = "or" if value.lower() == "or" else "and"
            elif column == "deleted":
                deleted = int(value == "1")
            elif column not in self._known(module):
                raise Bad(f"Filter field {column} in {NAMES[module]} module is not found")
            elif operator not in OPERATORS:
                raise Bad(f"Filter operator {operator} is invalid")
            else:
                quoted = "'" + value.replace("'", "''") + "'"
                parts.append(f"{table}.{column} {OPERATORS[operator]} {quoted}")
        own = f"{table}.deleted = {deleted}"
        return f"({f' {joint} '.join(parts)}) and {own}" if parts else own

    def _shown(self, module: str, row: Values, fields: list[str] | None) -> Any:
        """What is not set is ""; times lose their seconds under the default time format (T8, create; note, V8)."""
        values = dict.fromkeys(self._known(module), "") | self.shown(module, row)
        values.pop("id")
        for name in ("date_entered", "date_modified", "date_created"):
            if values.get(name):
                stamp = values[name][:16] + ":00" if self.options.minutes else values[name]
                values[name] = stamp.replace(" ", "T") + "+00:00"
        chosen = {name: _encoded(value) for name, value in values.items() if fields is None or name in fields}
        links = {
            other: {"links": {"related": f"V8/module/{module}/{row['id']}/relationships/{link}"}}
            for (of, link), other in LINKED.items()
            if of == module
        }
        return {"type": NAMES[module], "id": row["id"], "attributes": chosen, "relationships": links}

    # --- writing -----------------------------------------------------------------------------------------------------

    def _write(self, verb: str, data: Mapping[str, Any]) -> Any:
        module, record = str(data.get("type")), data.get("id")
        if module not in BEANS or module in self.options.hidden:
            raise Bad(f"Module {module} does not exist")
        given = dict(data.get("attributes") or {})
        for name in given:
            if name not in self._known(module):
                raise Bad(f"Property {name} in {NAMES[module]} module is invalid")
        if record is not None and not UUID.fullmatch(str(record)):
            raise Bad(f'The option "id" with value "{record}" is invalid.')
        if verb == "PATCH":
            self._row(module, str(record))
            made = self.store.save(module, given, str(record))
        else:
            if record is not None and self.store.get(module, str(record), deleted=True):
                raise Bad(f"Bean {module} with id {record} is already exist")
            made = self.store.save(module, given, None, None if record is None else str(record))
        saved = self.store.get(module, made, deleted=True)
        assert saved is not None
        return {"data": self._shown(module, saved, None)}

    def _relationship(self, verb: str, module: str, rest: list[str], request: Request, raw: bytes) -> Any:
        """S:RelationshipService: nothing but type and id of what is linked."""
        record, link = rest[1], rest[3]
        real = "email_addresses" if link == PRIMARY else link
        if (module, real) not in LINKED:
            raise Bad(f"Cannot load relationship {link} for {NAMES[module]} module")
        other = LINKED[module, real]
        found = self.store.linked(module, record, real)
        if verb == "GET":
            if not found:
                words = f"There is no relationship set in {NAMES[module]} module with {link} link field"
                return {"meta": {"message": words}}
            return {"data": [{"type": NAMES[other], "id": bean["id"]} for bean in found]}
        if verb == "POST":
            data = self._data(request, raw)
            self._row(other, str(data.get("id")))
            self.store.link(module, record, real, str(data["id"]), {"primary_address": int(link == PRIMARY)})
            return {"meta": {"message": f"{NAMES[other]} with id {data['id']} has been added"}}
        if not any(bean["id"] == rest[4] for bean in found):
            raise Bad(f"Module with {rest[4]} id is not related to {NAMES[module]}")
        self.store.unlink(module, record, real, rest[4])
        return {"meta": {"message": "Relationship has been deleted"}}


def create(**options: Any) -> Suite8Sandbox:
    """A new server; `clock` and the fields of `connectors.sugarcrm.legacy.store.Options`."""
    return Suite8Sandbox(**options)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _body(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/vnd.api+json")


def _oauth_error(status: int, error: str, words: str) -> Response:
    return _json({"error": error, "error_description": words, "message": words}, status)


def _unknown_error(words: str) -> Response:
    return _oauth_error(500, "unknown_error", words)


def _encoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#039;")
