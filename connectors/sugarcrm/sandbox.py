"""SugarCRM in a box: REST v11 with its OAuth2, filters, bulk, and the doors of the other protocols closed.

Rules cite the sugarcrm note by section; K marks what it calls unconfirmed, which is switchable (`Options`). The boxes
of v4_1 and V8 are `connectors.sugarcrm.legacy.sandbox` and `connectors.sugarcrm.suite8.sandbox`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.sandbox import Faults, Hostile
from connectors.sugarcrm.beans import (
    COLUMNS,
    PEOPLE,
    Address,
    Bean,
    Database,
    Failure,
    address_field,
    invalid_parameter,
    matches,
    missing_parameter,
)
from connectors.sugarcrm.boxed import PASSWORD, USERNAME, Opened, Sessions

__all__ = ["PASSWORD", "USERNAME", "Options", "SugarSandbox", "create"]

DEFAULT_PAGE: Final = 20
"""`max_num` where none is given (A4)."""
ADDRESSES: Final = "EmailAddresses"


@dataclass
class Options:
    """How this server is made.

    newest: the newest version of REST it speaks. admin: our user is an administrator (A6: only they use `sync_key`).
    clients: secrets by OAuth key (A1). platforms: those that are registered; None: any will do (A1).
    text_flags: flags of addresses come as "1"/"0" (A3). page_cap: `max_list_limit` (A4, K).
    addresses: the module EmailAddresses can be asked (K). resets: an address written without flags loses them (K).
    full_answers: POST and PUT answer with the whole bean, else with id and time only (A3, K).
    object_data: bulk takes `data` as an object, too (A6). astral: four-byte characters are kept (K).
    denied: fields that our user may not write (A3). zone: hours by which the user's clock is ahead of UTC (A3).
    custom: custom fields of people.
    """

    newest: str = "v11_10"
    admin: bool = True
    clients: Mapping[str, str] = field(default_factory=lambda: {"sugar": ""})
    platforms: frozenset[str] | None = None
    text_flags: bool = False
    page_cap: int = 1000
    addresses: bool = True
    resets: bool = True
    full_answers: bool = True
    object_data: bool = True
    astral: bool = True
    denied: Sequence[str] = ()
    zone: float = -4
    custom: Sequence[str] = ()


@dataclass
class Trouble:
    """A call of a bulk (or a request) that fails: `times` of those whose "METHOD path" matches."""

    pattern: str
    failure: Failure
    times: int = 1
    after: bool = False


@dataclass(frozen=True)
class Asked:
    """One call, be it a request or an item of a bulk."""

    method: str
    path: Sequence[str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


class SugarSandbox:
    """The server. Tests and the demo act on it as a human at its screen: `seed`, `edit`, `remove`, `opt_out` …"""

    def __init__(self, clock: Callable[[], datetime] | None = None, **options: Any) -> None:
        self.options = Options(**options)
        self.faults = Faults()
        self.troubles: list[Trouble] = []
        self._clock = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self._lock = threading.RLock()
        self.data = Database(self._second, resets=self.options.resets, astral=self.options.astral)
        self.data.custom |= set(self.options.custom)
        self.sessions = Sessions(self.now, self.options.clients, self.options.platforms)
        routes = [Route("/rest/{version}/{path:path}", self._serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
        self.app: ASGIApp = Opened(Hostile(Starlette(routes=routes), self.faults))

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": url, "username": USERNAME, "password": PASSWORD, "rate": None}

    # --- the clock ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, aware."""
        return self._clock() + self._ahead

    def _second(self) -> datetime:
        """Times are whole seconds (A3)."""
        return self.now().replace(microsecond=0)

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        with self._lock:
            self._ahead += timedelta(seconds=seconds)

    # --- what humans do at the screen --------------------------------------------------------------------------------

    def seed(self, people: Iterable[Mapping[str, Any]], module: str = "Contacts") -> list[str]:
        """Make records; returns their ids. `account_name` of a contact finds or makes its account, `lists` are names of
        target lists."""
        with self._lock:
            return [self._enter(module, dict(person)) for person in people]

    def _enter(self, module: str, values: dict[str, Any]) -> str:
        lists = values.pop("lists", ())
        made = self.data.create(module, self._with_account(module, values))
        if "sync_key" in values:
            made.values["sync_key"] = values["sync_key"]
        for name in lists:
            self.join(module, made.id, name)
        return made.id

    def _with_account(self, module: str, values: dict[str, Any]) -> dict[str, Any]:
        if module == "Contacts" and "account_name" in values:
            values["account_id"] = self._named("Accounts", str(values.pop("account_name")))
        return values

    def _named(self, module: str, name: str) -> str:
        found = next((bean.id for bean in self.data.living(module) if bean.values["name"] == name), None)
        return found or (self.data.create(module, {"name": name}).id if name else "")

    def edit(self, record: str, module: str = "Contacts", **values: Any) -> None:
        """Change fields of a record."""
        with self._lock:
            self.data.write(self.data.get(module, record), self._with_account(module, values))

    def remove(self, record: str, module: str = "Contacts") -> None:
        with self._lock:
            self.data.delete(self.data.get(module, record))

    def restore(self, record: str, module: str = "Contacts") -> None:
        with self._lock:
            bean = self.data.beans[module][record]
            bean.deleted, bean.modified = False, self._second()

    def purge(self, record: str, module: str = "Contacts") -> None:
        """Take a deleted row out of the database: it never shows again (A4)."""
        with self._lock:
            del self.data.beans[module][record]

    def opt_out(self, address: str, *, opt_out: bool = True, invalid: bool = False) -> None:
        """Somebody unsubscribed: one flag for everybody with that address; no record of theirs is touched (A3)."""
        with self._lock:
            self.data.share(address, {"opt_out": opt_out, "invalid_email": invalid})

    def join(self, module: str, record: str, name: str) -> None:
        """Put a record into a target list, which is made where there is none. Moves no `date_modified` (A4)."""
        with self._lock:
            self.data.members.add((self._named("ProspectLists", name), module, record))

    def leave(self, module: str, record: str, name: str) -> None:
        with self._lock:
            self.data.members.discard((self._named("ProspectLists", name), module, record))

    def rows(self, module: str = "Contacts") -> list[dict[str, Any]]:
        """All living records in full."""
        with self._lock:
            return [self._shown(bean, None) for bean in self.data.living(module)]

    def lists(self, record: str, module: str = "Contacts") -> set[str]:
        """The names of the target lists of a record."""
        with self._lock:
            return {bean.values["name"] for bean in self.data.lists_of(self.data.get(module, record))}

    def revoke(self) -> None:
        """End all sessions, as an administrator can."""
        with self._lock:
            self.sessions.grants.clear()

    def log_in(self, platform: str) -> None:
        """Our user logs in elsewhere on that platform: whoever was logged in there is out (A1)."""
        with self._lock:
            self.sessions.open(platform)

    def fail(self, pattern: str, status: int, label: str, *, times: int = 1, after: bool = False, **extra: Any) -> None:
        """Let calls fail, those inside of a bulk, too. after: once they have taken effect."""
        self.troubles.append(Trouble(pattern, Failure(status, label, "as asked for", **extra), times, after))

    def hook(self, record: str, changes: Mapping[str, tuple[Any, Any]], module: str = "Contacts") -> bytes:
        """The body of a Web Logic Hook's delivery about an edit: {isUpdate, dataChanges, bean, data} (A6). It is sent
        when cron runs, by POST, and unsigned: a hint to look, and no more."""
        with self._lock:
            bean = self.data.beans[module][record]
            changed = {
                name: {"field_name": name, "data_type": "varchar", "before": before, "after": after}
                for name, (before, after) in changes.items()
            }
            body = {"isUpdate": True, "dataChanges": changed, "bean": module, "data": self._shown(bean, None)}
            return orjson.dumps(body)

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> Response:
        raw = await request.body()
        with self._lock:
            try:
                answer: Any = self._handle(request, raw)
                status = 200
                if isinstance(answer, tuple):
                    status, answer = answer
            except Failure as failure:
                status, answer = failure.status, failure.body()
        return Response(orjson.dumps(answer), status, media_type="application/json")

    def _handle(self, request: Request, raw: bytes) -> Any:
        version = request.path_params["version"]
        if not re.fullmatch(r"v1[01](_\d+)?", version) or _number(version) > _number(self.options.newest):
            raise Failure(301, "incorrect_version", "Version not supported")  # A2
        path = [unquote(part) for part in request.path_params["path"].split("/")]
        body = None
        if raw:
            try:
                body = orjson.loads(raw)
            except orjson.JSONDecodeError:
                raise Failure(422, "invalid_parameter", "the body is no JSON") from None
        if path[:1] == ["oauth2"]:
            return self.sessions.answer(path, body or {})
        self.sessions.admit(request.headers)
        asked = Asked(request.method, path, dict(request.query_params), request.headers, body)
        return self._bulk(asked) if path == ["bulk"] else self._call(asked)

    # --- calls -------------------------------------------------------------------------------------------------------

    def _bulk(self, asked: Asked) -> list[dict[str, Any]]:
        """One after another; one that fails does not stop the others, and the whole answers 200 (A6)."""
        requests = (asked.body or {}).get("requests")
        if asked.method != "POST" or not isinstance(requests, list):
            raise missing_parameter("requests")
        items: list[dict[str, Any]] = []
        for request in requests:
            try:
                answer = self._call(self._item(request))
                status, contents = answer if isinstance(answer, tuple) else (200, answer)
            except Failure as failure:
                status, contents = failure.status, failure.body()
            items.append({"contents": contents, "headers": [], "status": status})
        return items

    def _item(self, request: Mapping[str, Any]) -> Asked:
        address, _, query = str(request["url"]).lstrip("/").partition("?")
        version, *path = [unquote(part) for part in address.split("/")]
        if _number(version) > _number(self.options.newest):
            raise Failure(301, "incorrect_version", "Version not supported")
        data = request.get("data")
        if isinstance(data, str):
            data = orjson.loads(data)
        elif data is not None and not self.options.object_data:
            raise invalid_parameter("data")
        pairs = [str(line).partition(":") for line in request.get("headers", ())]
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Asked(str(request.get("method", "GET")), path, dict(parse_qsl(query)), headers, data)

    def _call(self, asked: Asked) -> Any:
        words = f"{asked.method} {'/'.join(asked.path)}"
        trouble = next((t for t in self.troubles if t.times > 0 and re.search(t.pattern, words)), None)
        if trouble:
            trouble.times -= 1
            if not trouble.after:
                raise trouble.failure
        answer = self._answer(asked)
        if trouble:
            raise trouble.failure
        return answer

    def _answer(self, asked: Asked) -> Any:
        match [asked.method, *asked.path]:
            case ["GET", "ping"]:
                return "pong"
            case ["GET", "me"]:
                kind = "admin" if self.options.admin else "user"
                return {"current_user": {"id": "1", "user_name": USERNAME, "full_name": "Con Cord", "type": kind}}
            case ["PATCH" | "GET" as verb, "integrate", module, "sync_key", key] if _is(module):
                return self._by_key(verb, module, key, asked)
            case ["POST" | "GET", module, "filter"] | ["GET", module] if _is(module) or module == ADDRESSES:
                return self._listing(module, asked)
            case ["POST", module, "filter", "count"] if _is(module):
                where = (asked.body or {}).get("filter", [])
                return {"record_count": sum(self._matches(bean, where) for bean in self.data.living(module))}
            case ["POST", module] if _is(module):
                return self._answered(self.data.create(module, self._writable(asked.body)))
            case [verb, module, record] if _is(module):
                return self._record(verb, module, record, asked)
            case ["GET", module, record, "link", "prospect_lists"] if module in PEOPLE:
                lists = self.data.lists_of(self.data.get(module, record))
                return self._page(lists, asked.query, partial(self._shown, fields=asked.query.get("fields")))
        raise Failure(404, "no_method", "Could not find a method for this request")

    def _record(self, verb: str, module: str, record: str, asked: Asked) -> Any:
        bean = self.data.get(module, record)
        if verb == "GET":
            return self._shown(bean, asked.query.get("fields"))
        if verb == "DELETE":
            self.data.delete(bean)
            return {"id": bean.id}
        if verb != "PUT":
            raise Failure(404, "no_method", "Could not find a method for this request")
        stamp = asked.headers.get("x-timestamp")
        if stamp and datetime.fromisoformat(stamp) != bean.modified:
            raise Failure(  # A5
                409, "edit_conflict", "Edit conflict", record=self._shown(bean, None)
            )
        self.data.write(bean, self._writable(asked.body))
        return self._answered(bean)

    def _by_key(self, verb: str, module: str, key: str, asked: Asked) -> Any:
        """The upsert of v11_10; administrators only (A6)."""
        if _number(self.options.newest) < _number("v11_10"):
            raise Failure(404, "no_method", "Could not find a method for this request")
        if not self.options.admin:
            raise Failure(403, "not_authorized", "You are not authorized to perform this action.")
        bean = next((bean for bean in self.data.living(module) if bean.values["sync_key"] == key), None)
        if verb == "GET":
            if bean is None:
                raise Failure(404, "not_found", "Could not find record by sync_key")
            return self._shown(bean, asked.query.get("fields"))
        if bean is not None:
            self.data.write(bean, self._writable(asked.body))
            return 200, {"record": bean.id}
        bean = self.data.create(module, self._writable(asked.body))
        bean.values["sync_key"] = key
        return 201, {"record": bean.id}

    def _writable(self, body: Any) -> Mapping[str, Any]:
        if not isinstance(body, Mapping):
            raise missing_parameter("the record")
        denied = sorted(set(self.options.denied) & set(body))
        if denied:
            raise Failure(403, "not_authorized", f"Not allowed to edit field {denied[0]}")
        return body

    # --- listings (A4) -----------------------------------------------------------------------------------------------

    def _listing(self, module: str, asked: Asked) -> Any:
        given = {**asked.query, **(asked.body or {})}
        where = given.get("filter") or []
        fields = given.get("fields")
        if module == ADDRESSES:
            return self._page(self._addresses(where, given), given)
        beans = [
            bean
            for bean in self.data.beans[module].values()
            if (given.get("deleted") or not bean.deleted) and self._matches(bean, where)
        ]
        for name, direction in reversed(_order(given)):
            beans.sort(key=partial(self._sortable, name), reverse=direction == "DESC")
        return self._page(beans, given, lambda bean: self._shown(bean, fields))

    def _sortable(self, name: str, bean: Bean) -> Any:
        return self.data.column(bean, name)[0]

    def _matches(self, bean: Bean, where: Any) -> bool:
        return matches(where, lambda name: self.data.column(bean, name))

    def _addresses(self, where: Any, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not self.options.addresses:
            raise Failure(404, "no_method", "Could not find a method for this request")
        found = [address for address in self.data.addresses.values() if matches(where, partial(_fields, address))]
        for name, direction in reversed(_order(given)):
            found.sort(key=partial(_field, name), reverse=direction == "DESC")
        return [
            {
                "id": address.id,
                "email_address": address.text,
                "opt_out": self._flag(address.opt_out),
                "invalid_email": self._flag(address.invalid),
                "date_modified": self._time(address.modified),
                "_acl": {"fields": []},
            }
            for address in found
        ]

    def _page(self, items: Sequence[Any], given: Mapping[str, Any], shown: Callable[[Any], Any] | None = None) -> Any:
        """A page; `next_offset` is -1 on the last one, and `max_num` is cut without a word (A4)."""
        most = min(int(given.get("max_num", DEFAULT_PAGE)), self.options.page_cap)
        start = int(given.get("offset", 0))
        page = items[start : start + most]
        more = start + most < len(items)
        return {"next_offset": start + most if more else -1, "records": [shown(i) if shown else i for i in page]}

    # --- showing -----------------------------------------------------------------------------------------------------

    def _time(self, at: datetime) -> str:
        """With the user's offset (A3)."""
        return at.astimezone(timezone(timedelta(hours=self.options.zone))).isoformat(timespec="seconds")

    def _flag(self, value: bool) -> Any:
        """true/false, or "1"/"0" (A3)."""
        return ("1" if value else "0") if self.options.text_flags else value

    def _answered(self, bean: Bean) -> dict[str, Any]:
        return self._shown(bean, None if self.options.full_answers else "id")

    def _shown(self, bean: Bean, fields: Any) -> dict[str, Any]:
        """A bean as far as it is asked for; `id` and `date_modified` always come (A3)."""
        acl: dict[str, Any] = {"fields": {name: {"write": "no", "create": "no"} for name in self.options.denied} or []}
        stamp = {"id": bean.id, "date_modified": self._time(bean.modified)}
        if bean.deleted:
            return {**stamp, "deleted": True, "_acl": acl}  # A4, K
        full = {**stamp, "date_entered": self._time(bean.entered), "deleted": False, **bean.values}
        full |= dict.fromkeys(self.data.custom - full.keys(), "")
        if bean.module in PEOPLE:
            full["full_name"] = f"{bean.values['first_name']} {bean.values['last_name']}".strip()
            full["tag"] = [{"id": name.lower(), "name": name} for name in bean.tags]
            full["do_not_call"] = self._flag(bean.values["do_not_call"])
            full["team_name"] = [{"id": "1", "name": "Global", "name_2": "", "primary": True}]
        if bean.module in PEOPLE or bean.module == "Accounts":
            full["email"] = [self._email(address, primary) for address, primary in self.data.emails_of(bean)]
        if bean.module == "Contacts":
            account = self.data.account_of(bean)
            full |= {
                "account_id": account.id if account else "",
                "account_name": account.values["name"] if account else "",
            }
        if fields:
            wanted = {*str(fields).split(","), "id", "date_modified"}
            full = {name: value for name, value in full.items() if name in wanted}
        return {**full, "_module": bean.module, "_acl": acl}

    def _email(self, address: Address, primary: bool) -> dict[str, Any]:
        return {
            "email_address": address.text,
            "email_address_id": address.id,
            "primary_address": self._flag(primary),
            "opt_out": self._flag(address.opt_out),
            "invalid_email": self._flag(address.invalid),
            "reply_to_address": self._flag(False),
        }


def _field(name: str, address: Address) -> Any:
    return address_field(address, name)


def _fields(address: Address, name: str) -> list[Any]:
    return [address_field(address, name)]


def _is(module: str) -> bool:
    return module in COLUMNS


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _order(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """[(field, ASC | DESC)] of "date_modified:ASC,id:ASC" (A4); by default the newest first."""
    text = str(given.get("order_by") or "date_modified:DESC")
    parts = (part.partition(":") for part in text.split(","))
    return [(name.strip(), direction.strip().upper() or "ASC") for name, _, direction in parts]


def create(**options: Any) -> SugarSandbox:
    """A SugarCRM with REST v11."""
    return SugarSandbox(**options)
