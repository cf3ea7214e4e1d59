"""SuiteCRM 7.14 or SugarCRM CE 6.5 in a box: `service/v4_1/rest.php`, warts included.

Rules cite the sugarcrm note ("note"), the notes of live servers ("live"), a transcript ("T02": transcripts/suitecrm,
v41-02…), or SuiteCRM's source by file ("S:").
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html.entities import codepoint2name
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.sandbox import Faults, Hostile
from connectors.sugarcrm.legacy.store import (
    BEANS,
    LINKED,
    Broken,
    Denied,
    Options,
    Store,
    Values,
    checked,
    ordered,
    run,
    select,
)

USERNAME: Final = "admin"
PASSWORD: Final = "Admin#123"  # noqa: S105 of the sandbox alone
PATH: Final = "/service/v4_1/rest.php"
IDLE: Final = 24 * 60
"""Seconds after which PHP forgets a session (note, login)."""
TAGS: Final = re.compile(r"<(?!\s)[^>]*(?:>|$)")
WARNING: Final = "Access to this object is denied since it has been deleted or does not exist"

PARAMETERS: Final[Mapping[str, Sequence[str]]] = {
    "login": ("user_auth", "application?", "name_value_list?", "application_name?"),
    "logout": ("session",),
    "get_server_info": (),
    "get_user_id": ("session",),
    "get_entry": ("session", "module_name", "id", "select_fields?", "link_name_to_fields_array?", "track_view?"),
    "get_entries": ("session", "module_name", "ids", "select_fields?", "link_name_to_fields_array?", "track_view?"),
    "get_entry_list": (
        "session",
        "module_name",
        "query?",
        "order_by?",
        "offset?",
        "select_fields?",
        "link_name_to_fields_array?",
        "max_results?",
        "deleted?",
        "favorites?",
    ),
    "get_entries_count": ("session", "module_name", "query", "deleted"),
    "set_entry": ("session", "module_name", "name_value_list", "track_view?"),
    "set_entries": ("session", "module_name", "name_value_lists"),
    "set_relationship": (
        "session",
        "module_name",
        "module_id",
        "link_field_name",
        "related_ids",
        "name_value_list?",
        "delete?",
    ),
    "set_relationships": (
        "session",
        "module_names",
        "module_ids",
        "link_field_names",
        "related_ids",
        "name_value_lists?",
        "delete_array?",
    ),
    "get_relationships": (
        "session",
        "module_name",
        "module_id",
        "link_field_name",
        "related_module_query",
        "related_fields",
        "related_module_link_name_to_fields_array",
        "deleted",
        "order_by?",
        "offset?",
        "limit?",
    ),
    "get_module_fields": ("session", "module_name", "fields?"),
}
"""Method -> its parameters in documented order; `?`: it may be left out (T00)."""


class Fault(Exception):
    """A failure that comes with HTTP 200 (T01)."""

    def __init__(self, name: str, number: int | str, description: str) -> None:
        super().__init__(name)
        self.body = {"name": name, "number": number, "description": description}


INVALID_LOGIN: Final = (
    "Invalid Login",
    10,
    "Login attempt failed please check the username and password",
)
INVALID_SESSION: Final = ("Invalid Session ID", 11, "The session ID is invalid")
NO_MODULE: Final = ("Module Does Not Exist", 20, "This module is not available on this server")
NO_ACCESS: Final = ("Access Denied", 40, "You do not have access")
NO_METHOD: Final = (
    "An Undefined Error - invalid_call occurred",
    "-1",
    "There is no error definition for invalid_call",
)


class SuiteSandbox:
    """The server. Tests and the demo act on it as a human at its screen: `seed`, `edit`, `remove`, `rows`."""

    def __init__(self, clock: Callable[[], datetime] | None = None, **options: Any) -> None:
        self.options = Options(**options)
        self.faults = Faults()
        self.store = Store(self.options, clock)
        self.lock = threading.RLock()
        self._sessions: dict[str, float] = {}
        self._serial = 0
        api = FastAPI(openapi_url=None)
        if self.options.v41:
            api.add_api_route(PATH, self._serve, methods=["GET", "POST"], response_model=None)
        self.api = api
        self.app: ASGIApp = Legible(Hostile(api, self.faults))

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": url, "username": USERNAME, "password": PASSWORD, "protocol": "v4_1", "rate": None}

    # --- what humans do at the screen --------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, aware."""
        with self.lock:
            return self.store.now()

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        with self.lock:
            self.store.advance(seconds)

    def seed(self, people: Iterable[Mapping[str, Any]], module: str = "Contacts") -> list[str]:
        """Make records; returns their ids. `account` is its account's name, `emails` are addresses, `lists` names of
        target lists."""
        with self.lock:
            return [self._enter(module, dict(person)) for person in people]

    def _enter(self, module: str, columns: dict[str, Any]) -> str:
        account, emails, lists = (columns.pop(name, None) for name in ("account", "emails", "lists"))
        record = self.store.save(module, columns, None)
        self._complete(module, record, account, emails, lists)
        return record

    def edit(self, record: str, module: str = "Contacts", **columns: Any) -> None:
        """Change a record; as `seed`. Addresses and lists that are given replace the former ones."""
        with self.lock:
            account, emails, lists = (columns.pop(name, None) for name in ("account", "emails", "lists"))
            if columns:
                self.store.save(module, columns, record)
            for name, given in (("email_addresses", emails), ("prospect_lists", lists)):
                for old in self.store.linked(module, record, name) if given is not None else ():
                    self.store.unlink(module, record, name, old["id"])
            self._complete(module, record, account, emails, lists)

    def _complete(
        self, module: str, record: str, account: str | None, emails: Sequence[str] | None, lists: Sequence[str] | None
    ) -> None:
        if account is not None:
            self.store.save("Contacts", {"account_id": account and self._named("Accounts", account)}, record)
        for n, address in enumerate(emails or ()):
            caps = self.store.rows("select id from email_addresses where email_address_caps = ?", address.upper())
            bean = caps[0]["id"] if caps else self.store.save("EmailAddresses", self._address(address), None)
            self.store.link(module, record, "email_addresses", bean, {"primary_address": int(n == 0)})
        for name in lists or ():
            self.store.link(module, record, "prospect_lists", self._named("ProspectLists", name))

    def _address(self, address: str) -> Values:
        return {"email_address": address, "email_address_caps": address.upper()}

    def _named(self, module: str, name: str) -> str:
        found = self.store.rows(f"select id from {BEANS[module][0]} where name = ? and deleted = 0", name)
        return str(found[0]["id"]) if found else self.store.save(module, {"name": name}, None)

    def flag(self, address: str, **flags: Any) -> None:
        """Set opt_out or invalid_email of an address, for all who have it."""
        with self.lock:
            for bean in self.store.rows("select id from email_addresses where email_address_caps = ?", address.upper()):
                self.store.save("EmailAddresses", flags, bean["id"])

    def rename(self, name: str, new: str, module: str = "Accounts") -> None:
        """Another name for an account or a target list."""
        with self.lock:
            self.store.save(module, {"name": new}, self._named(module, name))

    def remove(self, record: str, module: str = "Contacts") -> None:
        with self.lock:
            self.store.delete(module, record)

    def purge(self, record: str, module: str = "Contacts") -> None:
        """A deleted row taken out of the database, as the scheduler does: nothing tells of it any more."""
        with self.lock:
            self.store.db.execute(f"delete from {BEANS[module][0]} where id = ?", (record,))

    def rows(self, module: str = "Contacts") -> list[Values]:
        """All living records, with `emails` [(address, opt_out)], `account` and `lists`."""
        with self.lock:
            found = self.store.rows(f"select * from {BEANS[module][0]} where deleted = 0 order by id")
            return [{**row, **self._extras(module, row["id"])} for row in found]

    def _extras(self, module: str, record: str) -> Values:
        if module not in ("Contacts", "Leads"):
            return {}
        return {
            "emails": [(a["email_address"], a["opt_out"]) for a in self.store.addresses(module, record)],
            "account": (self.store.account(record) or {}).get("name"),
            "lists": sorted(item["name"] for item in self.store.linked(module, record, "prospect_lists")),
        }

    def kill_sessions(self) -> None:
        """Forget who is logged in."""
        with self.lock:
            self._sessions.clear()

    # --- rest.php ----------------------------------------------------------------------------------------------------

    async def _serve(self, request: Request) -> Response:
        form = {k: v[0] for k, v in parse_qs((await request.body()).decode(), keep_blank_values=True).items()}
        with self.lock:
            try:
                return _json(self._call(form.get("method", ""), form.get("rest_data", "")))
            except Fault as fault:
                return _json(fault.body)
            except Denied:
                return _json(Fault(*NO_ACCESS).body)
            except Broken as broken:
                return Response(str(broken), 500, media_type="text/html; charset=UTF-8")

    def _call(self, method: str, rest_data: str) -> Any:
        try:
            given = orjson.loads(rest_data)
        except orjson.JSONDecodeError:
            return None  # T01, "bad JSON"
        if method not in PARAMETERS:
            raise Fault(*NO_METHOD)
        bound = self._bound(PARAMETERS[method], given)
        if "session" in bound:
            self._session(str(bound["session"]))
            bound.pop("session")
        return getattr(self, f"_{method}")(**bound)

    def _bound(self, parameters: Sequence[str], given: Any) -> dict[str, Any]:
        """PHP 8 binds an object's keys as named arguments, PHP 7 its values by position; an array always goes by
        position (T00)."""
        names = [name.rstrip("?") for name in parameters]
        if isinstance(given, dict) and self.options.php8:
            if not given.keys() <= set(names):
                raise Broken  # T00, "documented key Favorites"
            bound = dict(given)
        else:
            bound = dict(zip(names, given.values() if isinstance(given, dict) else given, strict=False))
        if any(not name.endswith("?") and name not in bound for name in parameters):
            raise Broken
        return bound

    def _session(self, session: str) -> None:
        at = self.store.now().timestamp()
        if at - self._sessions.get(session, -IDLE - 1) > IDLE:
            self._sessions.pop(session, None)
            raise Fault(*INVALID_SESSION)
        self._sessions[session] = at

    def _login(self, user_auth: Mapping[str, Any], **_: Any) -> Any:
        password = str(user_auth.get("password"))
        if user_auth.get("encryption") == "PLAIN":
            password = _md5(password)
        if user_auth.get("user_name") != USERNAME or password != _md5(PASSWORD):
            raise Fault(*INVALID_LOGIN)
        self._serial += 1
        session = hashlib.blake2b(str(self._serial).encode(), digest_size=16).hexdigest()
        self._sessions[session] = self.store.now().timestamp()
        values = {
            "user_id": "1",
            "user_name": USERNAME,
            "user_language": "en_us",
            "user_currency_id": None,
            "user_is_admin": self.options.admin,
            "user_default_team_id": None,
            "user_default_dateformat": "m/d/Y",
            "user_default_timeformat": "H:i",
            "user_number_separator": ",",
            "user_decimal_separator": ".",
            "mobile_max_list_entries": None,
            "mobile_max_subpanel_entries": None,
            "user_currency_name": "US Dollars",
        }
        return {"id": session, "module_name": "Users", "name_value_list": _name_values(values)}

    def _logout(self) -> None:
        return None

    def _get_server_info(self) -> Any:
        info = {"flavor": "CE", "version": "6.5.25", "suitecrm_version": "7.14.6", "gmt_time": self.store.stamp()}
        if self.options.edition == "ce65":
            del info["suitecrm_version"]
        return info

    def _get_user_id(self) -> str:
        return "1"

    def _get_module_fields(self, module_name: str, fields: Sequence[str] = ()) -> Any:
        table, columns = self._bean(module_name)
        found = {name: {"name": name, "type": "varchar"} for name in columns if not fields or name in fields}
        links = {link: {"name": link} for module, link in LINKED if module == module_name}
        return {"module_name": module_name, "table_name": table, "module_fields": found, "link_fields": links}

    def _bean(self, module: str) -> tuple[str, Sequence[str]]:
        if module not in BEANS or module in self.options.hidden:
            raise Fault(*NO_MODULE)
        return self.store.beans[module]

    # --- reading -----------------------------------------------------------------------------------------------------

    def _get_entry_list(
        self,
        module_name: str,
        query: str = "",
        order_by: str = "",
        offset: Any = 0,
        select_fields: Sequence[str] = (),
        link_name_to_fields_array: Sequence[Mapping[str, Any]] = (),
        max_results: Any = "",
        deleted: Any = 0,
        favorites: bool = False,
    ) -> Any:
        table, _ = self._bean(module_name)
        if "(select" in query and not self.options.subselects:
            raise Denied
        source = select(self.store, module_name, checked(query or "", order_by or ""), bool(deleted))
        start, limit = max(0, int(offset or 0)), int(max_results or 0)
        limit = limit if limit > 0 else 20  # live: 0, -1 or "" gives 20
        order = ordered(module_name, order_by or "", start)
        sql = f"select {table}.* {source} order by {order} limit {limit} offset {start}"
        found = list(run(self.store, sql))
        total = next(run(self.store, f"select count(*) as n {source}"))["n"]
        return {
            "result_count": len(found),
            "total_count": str(total) if total else 0,  # a text, or the number 0 (T03)
            "next_offset": start + len(found),  # never -1 (T03, "offset beyond")
            "entry_list": [self._entry(module_name, row, select_fields) for row in found],
            "relationship_list": [
                {
                    "link_list": [
                        {"name": link, "records": [{"link_value": record} for record in records]}
                        for link, records in self._links(module_name, row["id"], link_name_to_fields_array)
                    ]
                }
                for row in found
                if link_name_to_fields_array
            ],
        }

    def _get_entries_count(self, module_name: str, query: str, deleted: Any) -> Any:
        source = select(self.store, module_name, checked(query or "", ""), bool(deleted))
        return {"result_count": str(next(run(self.store, f"select count(*) as n {source}"))["n"])}

    def _get_entry(self, module_name: str, id: str, **more: Any) -> Any:  # noqa: A002 PHP's name for it
        return self._get_entries(module_name, [id], **more)

    def _get_entries(
        self,
        module_name: str,
        ids: Sequence[str],
        select_fields: Sequence[str] = (),
        link_name_to_fields_array: Sequence[Mapping[str, Any]] = (),
        track_view: bool = False,
    ) -> Any:
        entries: list[Any] = []
        links: list[Any] = []
        for record in ids:
            row = self.store.get(module_name, record)
            if row is None:  # a list in place of an object (T02, "get_entry nonexistent")
                gone = [{"name": "warning", "value": WARNING}, {"name": "deleted", "value": "1"}]
                entries.append({"id": record, "module_name": module_name, "name_value_list": gone})
                continue
            entries.append(self._entry(module_name, row, select_fields))
            if link_name_to_fields_array:
                found = self._links(module_name, record, link_name_to_fields_array)
                links.append([{"name": link, "records": records} for link, records in found])
        return {"entry_list": entries, "relationship_list": links}

    def _entry(self, module: str, row: Values, fields: Sequence[str]) -> Any:
        values = self.shown(module, row)
        chosen = {name: values[name] for name in fields or values if name in values}
        encoded = {name: _encoded(value) for name, value in chosen.items()}
        # PHP writes an empty map as a list (live).
        return {"id": row["id"], "module_name": module, "name_value_list": _name_values(encoded) or []}

    def shown(self, module: str, row: Values) -> Values:
        """A bean's fields as text, those that are not set left out (T02, "get_entry")."""
        found: Values = {name: "" if value is None else str(value) for name, value in row.items()}
        if module in ("Contacts", "Leads"):
            found |= {name: str(value) for name, value in self.store.legacy(module, row["id"]).items()}
            names = (found["salutation"], found["first_name"], found["last_name"])
            found["name"] = " ".join(name.strip() for name in names if name.strip())
        if module == "Contacts" and (account := self.store.account(row["id"])):
            found |= {"account_id": account["id"], "account_name": account["name"]}
        if module == "ProspectLists":
            found["entry_count"] = str(self.store.entry_count(row["id"]))
        return found

    def _links(self, module: str, record: str, asked: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
        found = []
        for link in asked:
            name, fields = str(link["name"]), link["value"]
            if (module, name) in LINKED:
                beans = self.store.linked(module, record, name)
                found.append((name, [_name_values(self._linked(LINKED[module, name], b, fields)) for b in beans]))
        return found

    def _linked(self, module: str, bean: Values, fields: Sequence[str]) -> Values:
        """`primary_address` is there, and empty (T02, "get_entry with email_addresses link")."""
        known = {**self.shown(module, bean), "primary_address": ""}
        return {name: _encoded(known[name]) for name in fields if name in known}

    def _get_relationships(
        self,
        module_name: str,
        module_id: str,
        link_field_name: str,
        related_module_query: str,
        related_fields: Sequence[str],
        related_module_link_name_to_fields_array: Any,
        deleted: Any,
        order_by: str = "",
        offset: int = 0,
        limit: Any = False,
    ) -> Any:
        if self.store.get(module_name, module_id) is None:
            raise Broken  # note: unknown parent -> 500 (T00)
        other = LINKED.get((module_name, link_field_name))
        if other is None:
            return {"entry_list": [], "relationship_list": []}
        found = self.store.linked(module_name, module_id, link_field_name)
        column = order_by.split()[0] if order_by else ""
        if column in BEANS[other][1]:
            found.sort(key=lambda bean: str(bean[column]).casefold())
        found = found[offset : offset + int(limit) if limit else None]
        entries: list[Any] = []
        for bean in found:
            values = self._linked(other, bean, related_fields)
            record = bean["id"] if "id" in related_fields else None  # T04, "order qualified"
            entries.append({"id": record, "module_name": other, "name_value_list": _name_values(values) or []})
        return {"entry_list": entries, "relationship_list": []}

    # --- writing -----------------------------------------------------------------------------------------------------

    def _set_entry(self, module_name: str, name_value_list: Any, track_view: bool = False) -> Any:
        _, columns = self._bean(module_name)
        if module_name in self.options.denied:
            raise Fault(*NO_ACCESS)
        given = _given(name_value_list)
        record = self._write(module_name, given)
        known = {*columns, "email1", "email2", "email_opt_out", "email", "account_id", "account_name", "id"}
        echo = {name: _echo(name, value) for name, value in given.items() if name in known}
        if "date_modified" in echo and "update_date_modified" not in given:
            echo["date_modified"] = self.store.stamp()
        return {"id": record, "entry_list": _name_values(echo)}

    def _set_entries(self, module_name: str, name_value_lists: Sequence[Any]) -> Any:
        self._bean(module_name)
        ids = []
        for given in map(_given, name_value_lists):
            if module_name in self.options.denied:
                continue  # note: ACL-denied rows are skipped, the list gets shorter
            if module_name == "Contacts":
                twin = self._prepare(given)
                if twin is not None:
                    ids.append(twin)
                    continue
            ids.append(self._write(module_name, given))
        return {"ids": ids}

    def _prepare(self, given: Values) -> str | None:
        """S:SoapHelperWebService::new_handle_set_entries: an account is made of its name, and a contact without an id
        is looked for by last name and address; the one that is found is answered, and nothing written."""
        name = given.pop("account_name", None)
        if name and not given.get("account_id"):
            given["account_id"] = self._named("Accounts", name)
        if given.get("id"):
            return None
        for address in filter(None, (given.get("email1"), given.get("email2"))):
            found = self.store.rows(
                "select c.id from contacts c join email_addr_bean_rel ear on ear.bean_id = c.id and ear.deleted = 0"
                " join email_addresses ea on ea.id = ear.email_address_id"
                " where ea.email_address_caps = ? and c.deleted = 0 and c.last_name = ?",
                str(address).upper(),
                str(given.get("last_name") or ""),
            )
            if found:
                return str(found[0]["id"])
        return None

    def _write(self, module: str, given: Values) -> str:
        record = str(given.get("id") or "")
        if record and not given.get("new_with_id"):
            if self.store.get(module, record) is None:
                return record  # a success, and nothing written (T02, "set_entry with unknown id", "undelete")
            flags = {name: value for name, value in given.items() if name != "deleted"}
            if flags.keys() - {"id"} or "deleted" not in given:
                self.store.save(module, flags, record)
            if str(given.get("deleted", "0")) in ("1", "True"):
                self.store.delete(module, record)  # saved, then marked (S:new_handle_set_entries)
            return record
        return self.store.save(module, given, None, record or None)

    def _set_relationship(
        self,
        module_name: str,
        module_id: str,
        link_field_name: str,
        related_ids: Sequence[str],
        name_value_list: Any = (),
        delete: Any = 0,
    ) -> Any:
        """Counts calls, not ids; what is not there is "created", too (T04)."""
        if (module_name, link_field_name) not in LINKED:
            return {"created": 0, "failed": 1, "deleted": 0}
        for other in related_ids:
            if delete:
                self.store.unlink(module_name, module_id, link_field_name, other)
            else:
                self.store.link(module_name, module_id, link_field_name, other, _given(name_value_list))
        return {"created": int(not delete), "failed": 0, "deleted": int(bool(delete))}

    def _set_relationships(
        self,
        module_names: Sequence[str],
        module_ids: Sequence[str],
        link_field_names: Sequence[str],
        related_ids: Sequence[Sequence[str]],
        name_value_lists: Sequence[Any] = (),
        delete_array: Sequence[Any] = (),
    ) -> Any:
        total = {"created": 0, "failed": 0, "deleted": 0}
        for n, call in enumerate(zip(module_names, module_ids, link_field_names, related_ids, strict=True)):
            values = name_value_lists[n] if n < len(name_value_lists) else ()
            one = self._set_relationship(*call, values, delete_array[n] if n < len(delete_array) else 0)
            total = {name: count + one[name] for name, count in total.items()}
        return total


class Legible:
    """ASGI middleware: names the method of a call in the path that `Faults` sees, for all calls go to one address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), bool(message.get("more_body"))
        form = parse_qs(body.decode(errors="replace"))
        named = {"method": form.get("method", [""])[0], "module": _module(form.get("rest_data", [""])[0])}
        scope = {**scope, "query_string": urlencode({k: v for k, v in named.items() if v}).encode()}

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)


def _module(rest_data: str) -> str:
    """The module that a call is about, where it names one."""
    try:
        data = orjson.loads(rest_data)
    except orjson.JSONDecodeError:
        return ""
    second = data[1] if isinstance(data, list) and len(data) > 1 else ""
    found = data.get("module_name", "") if isinstance(data, dict) else second
    return found if isinstance(found, str) and found in BEANS else ""


def create(**options: Any) -> SuiteSandbox:
    """A new server; `clock` and the fields of `Options`."""
    return SuiteSandbox(**options)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json; charset=UTF-8")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _name_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"name": name, "value": value} for name, value in values.items()}


def _given(name_value_list: Any) -> Values:
    """A list of {name, value}, or a plain object (T00, last but one)."""
    if isinstance(name_value_list, Mapping):
        return dict(name_value_list)
    return {str(item["name"]): item["value"] for item in name_value_list}


def _encoded(value: Any) -> Any:
    """As reads encode (note, HTML entities): not the ampersand."""
    if not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("'", "&#039;")


def _echo(name: str, value: Any) -> Any:
    """As `set_entry` echoes what it was given (T02, "set_entry full")."""
    if name in ("do_not_call", "opt_out", "invalid_email"):
        return value in (1, "1", True)
    if name == "birthdate":
        return value if re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) else ""
    if name == "description" or not isinstance(value, str):
        return _encoded(value)
    return "".join(map(_entity, TAGS.sub("", value)))


def _entity(character: str) -> str:
    if character in "&'":
        return "&amp;amp;" if character == "&" else "&#039;"
    name = codepoint2name.get(ord(character))
    return f"&{name};" if name else character
