"""`service/v4_1/rest.php`: one method per operation. Each call is a POST whose form names the method (note, part B)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from connectors import http
from connectors.contract import Context
from connectors.errors import Error, Refused, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response
from connectors.sugarcrm.legacy import rows as shape

PATH: Final = "service/v4_1/rest.php"
RENEW: Final = "enter user name and password again"
APPLICATION: Final = "Concord"

EMAIL_FIELDS: Final = ("id", "email_address", "opt_out", "invalid_email")
LIST_FIELDS: Final = ("id", "name", "list_type")
READS: Final = frozenset({"login", "get_server_info", "get_entry_list", "get_relationships", "get_module_fields"})
"""Methods that may be sent again."""


class Unsupported(Refused):
    """This server does not do this."""


class Forbidden(Unauthorised):
    """A module that this server or this user does not have."""


class Crashed(Uncertain):
    """The server failed on a call (HTTP 500): what it did before, it did; it does no more."""


Reaction = type[Error]

TABLE: Final[Mapping[str, tuple[Reaction, Reaction]]] = {
    "10": (Unauthorised, Unauthorised),  # login
    "11": (Unreachable, Unreachable),  # session, after a second login
    "12": (Unauthorised, Unauthorised),  # lockout
    "20": (Forbidden, Refused),  # no such module here, or none for us
    "40": (Forbidden, Refused),  # access; also SQL that the server rejects
    "1001": (Unreachable, Refused),
    "1008": (Unauthorised, Unauthorised),  # password expired
    "1009": (Unauthorised, Unauthorised),  # locked out
    "-1": (Unsupported, Unsupported),  # unknown method
}
"""Number of a fault -> what we do about it when (reading, writing) (note, part B). Any other one ends the run when
reading, and sets the record aside when writing."""
DEAD_SESSION: Final = "11"
REJECTED: Final = "40"


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself without a login. version: as an admin would name it. rebuilds: each save writes the
    list of addresses anew, as SugarCRM CE does (note, E-mail traps). clock: its time, aware."""

    version: str
    rebuilds: bool
    clock: datetime | None


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in."""

    id: str
    name: str
    admin: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer of `get_entry_list`: rows for `connectors.sugarcrm.mapping`; total as far as the server tells."""

    rows: Sequence[Mapping[str, Any]]
    total: int | None


def react(response: Response) -> Error | None:
    """What an answer that is no JSON means. One that is JSON is an answer, whatever it says (note, part B)."""
    status = response.status_code
    if status == 500:
        return Crashed("SugarCRM failed on a call (HTTP 500); its log says why")
    if status in (401, 403, 429) or status > 500:
        return http.react(response)
    if status == 404:
        return Unreachable("there is no web service v4_1 at this URL (HTTP 404); give the URL of the start page")
    if 300 <= status < 400:
        return Unreachable("this URL is redirected; give the URL that the browser shows at the start page")
    if _parsed(response) is _NOTHING:
        return Uncertain(f"SugarCRM answered with something that is no answer of its API (HTTP {status})")
    return None


def react_probing(response: Response) -> Error | None:
    """`react` where SQL that a server does not know ends in HTTP 500 (transcript v41-03)."""
    if response.status_code == 500:
        return Unsupported("this server fails at it (HTTP 500)")
    return react(response)


_NOTHING: Final = object()


def _parsed(response: Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return _NOTHING


def speaks(wire: Http) -> bool:
    """Does this server speak v4_1? Asked without credentials."""

    def judged(response: Response) -> Error | None:
        return http.react(response) if response.status_code in (429, 502, 503, 504) else None

    response = wire.request("POST", PATH, data=_form("get_server_info", []), repeatable=True, react=judged)
    body = _parsed(response)
    return response.status_code == 200 and isinstance(body, dict) and "flavor" in body and "version" in body


def _form(method: str, params: Sequence[Any]) -> dict[str, str]:
    """PHP 7 binds the values of an object by position, PHP 8 its keys by name; a list means the same to both
    (transcript v41-00)."""
    return {
        "method": method,
        "input_type": "JSON",
        "response_type": "JSON",
        "rest_data": orjson.dumps(params).decode(),
    }


class Client:
    """The operations we use. Nothing is sent before the first of them. Safe to share between threads, which share one
    session; sessions side by side are fine (note, login).

    rate: most requests a second; the server has no limit of its own. verify: check TLS certificates.
    key_field: a field in which our key is kept, or "".
    """

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        context: Context,
        *,
        rate: float | None,
        verify: bool,
        key_field: str = "",
    ) -> None:
        self._wire = Http(url.rstrip("/") + "/", context, react=react, rate=rate, verify=verify, timeout=60.0)
        self._username, self._key_field = username, key_field
        # The server keeps the password as MD5 and wants it so; it is as good as the password, and never shown.
        self._proof = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
        self._lock = threading.Lock()
        self._session: str | None = None
        self._user: User | None = None

    # --- calls -------------------------------------------------------------------------------------------------------

    def _call(self, method: str, *params: Any, probing: bool = False) -> Any:
        """The answer. Raises by `TABLE` and `react`. A dead session is renewed once: the call had no effect."""
        for again in (False, True):
            session = self._alive()
            body = self._send(method, [session, *params], probing)
            if again or _number(body) != DEAD_SESSION:
                return _checked(body, method, probing)
            with self._lock:
                if self._session == session:
                    self._session = None
        raise AssertionError("the second turn returns or raises")

    def _send(self, method: str, params: Sequence[Any], probing: bool = False) -> Any:
        reaction = react_probing if probing else react
        repeatable = method in READS
        response = self._wire.request("POST", PATH, data=_form(method, params), repeatable=repeatable, react=reaction)
        return _parsed(response)

    def _alive(self) -> str:
        with self._lock:
            if self._session is None:
                self._session = self._login()
            return self._session

    def _login(self) -> str:
        auth = {"user_name": self._username, "password": self._proof, "encryption": "", "version": "1"}
        found = _object(_checked(self._send("login", [auth, APPLICATION, []]), "login"), "login")
        values = _values(found.get("name_value_list"))
        admin = values.get("user_is_admin") in (True, 1, "1")
        self._user = User(str(values.get("user_id") or ""), self._username, admin)
        return str(found["id"])

    @property
    def user(self) -> User:
        """Who is logged in."""
        self._alive()
        assert self._user is not None
        return self._user

    # --- reading -----------------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """What the server says of itself; needs no login."""
        info = _object(_checked(self._send("get_server_info", []), "get_server_info"), "get_server_info")
        suite = info.get("suitecrm_version")
        version = f"SuiteCRM {suite}" if suite else f"SugarCRM {info.get('flavor', '')} {info.get('version', '')}"
        return Server(version, not suite, shape.moment(str(info.get("gmt_time") or "")))

    def fields(self, module: str) -> Mapping[str, Any]:
        """The fields of a module, by name."""
        found = _object(self._call("get_module_fields", module, []), "get_module_fields")
        return _mapping(found.get("module_fields"))

    def people(
        self, module: str, query: str, *, size: int, order: str = "id ASC", deleted: bool = False, probing: bool = False
    ) -> Listing:
        """Contacts or Leads with their addresses and target lists, the first `size` that match.

        query: a condition with qualified columns; order: unqualified ones, or it is ignored (transcripts v41-03, 03b).
        deleted: those as well. probing: HTTP 500 is an answer (Unsupported).
        """
        links = [
            {"name": "email_addresses", "value": EMAIL_FIELDS},
            {"name": "prospect_lists", "value": LIST_FIELDS},
        ]
        columns = [*shape.READ, *([self._key_field] if self._key_field else [])]
        body = self._list(module, query, order, columns, links, size, deleted, probing)
        linked = [_linked(found) for found in body.get("relationship_list") or ()]
        rows = []
        for n, entry in enumerate(body["entry_list"]):
            found = linked[n] if n < len(linked) else {}
            values = {**_values(entry.get("name_value_list")), "id": str(entry["id"])}
            if self._key_field:
                values[shape.KEY] = values.pop(self._key_field, "")
            rows.append(shape.row(values, found.get("email_addresses", ()), found.get("prospect_lists", ())))
        return Listing(rows, _total(body))

    def rows(self, module: str, query: str, columns: Sequence[str], *, size: int) -> list[dict[str, str]]:
        """Rows of any module, as text, by id; the first `size` that match."""
        body = self._list(module, query, "id ASC", columns, [], size, False, False)
        return [
            {**shape.row(_values(entry.get("name_value_list"))), "id": str(entry["id"])} for entry in body["entry_list"]
        ]

    def _list(
        self,
        module: str,
        query: str,
        order: str,
        columns: Sequence[str],
        links: Sequence[Any],
        size: int,
        deleted: bool,
        probing: bool,
    ) -> Mapping[str, Any]:
        body = self._call(
            "get_entry_list", module, query, order, 0, columns, links, size, int(deleted), False, probing=probing
        )
        found = _object(body, "get_entry_list")
        if not isinstance(found.get("entry_list"), list):
            raise Unreachable("SugarCRM's get_entry_list answered without a list")
        return found

    def members(self, module: str, record: str, link: str) -> list[str]:
        """The ids at the other end of a link, all of them (transcript v41-04)."""
        body = _object(self._call("get_relationships", module, record, link, "", ["id"], [], 0, "", 0, False), link)
        return [str(entry["id"]) for entry in body.get("entry_list") or () if entry.get("id")]

    # --- writing -----------------------------------------------------------------------------------------------------

    def save(self, module: str, beans: Sequence[Mapping[str, Any]]) -> list[str]:
        """Save beans, in order; their ids. An `id` with `new_with_id` makes one; an `id` alone changes what is given,
        with `deleted` removes it. That there is an answer proves nothing: rows that were not written are listed as
        well, and those we may not write are left out (transcript v41-03, "set_entries with errors"). So look."""
        lists = [[{"name": name, "value": value} for name, value in bean.items()] for bean in beans]
        body = self._call("set_entries", module, lists)
        if not isinstance(body, dict):
            raise Uncertain("SugarCRM's set_entries answered with nothing")
        return [str(found) for found in body.get("ids") or ()]

    def relate(self, links: Iterable[Link]) -> None:
        """Make or remove links, in order. The answer counts calls, whatever became of them (transcript v41-04)."""
        made = list(links)
        body = self._call(
            "set_relationships",
            [link.module for link in made],
            [link.record for link in made],
            [link.name for link in made],
            [list(link.others) for link in made],
            [[{"name": name, "value": value} for name, value in link.values.items()] for link in made],
            [int(link.delete) for link in made],
        )
        if not isinstance(body, dict):
            raise Uncertain("SugarCRM's set_relationships answered with nothing")

    def close(self) -> None:
        """Let go of sockets. The session dies by itself."""
        self._wire.close()


@dataclass(frozen=True, slots=True)
class Link:
    """One call of a relationship: from a record, by a link's name, to others. values: fields of the link itself."""

    module: str
    record: str
    name: str
    others: Sequence[str]
    values: Mapping[str, Any]
    delete: bool = False


# --- answers ---------------------------------------------------------------------------------------------------------


def _number(body: Any) -> str:
    """The number of a fault; "" of an answer. An unknown method has a text for a number (transcript v41-01)."""
    fault = isinstance(body, dict) and "number" in body and "description" in body
    return str(body["number"]) if fault else ""


def _checked(body: Any, method: str, probing: bool = False) -> Any:
    number = _number(body)
    if not number:
        return body
    if probing and number == REJECTED:
        raise Unsupported("this server rejects it")
    read = method in READS
    kind = TABLE.get(number, (Unreachable, Refused))[0 if read else 1]
    hint = f"; {RENEW}" if kind is Unauthorised and method == "login" else ""
    raise kind(f"SugarCRM, {method}: {str(body['description'])[:300]} ({body['name']}, {number}){hint}")


def _object(body: Any, method: str) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise Unreachable(f"SugarCRM's {method} answered with nothing")
    return body


def _mapping(value: Any) -> Mapping[str, Any]:
    """PHP writes an empty map as a list (live notes)."""
    return value if isinstance(value, dict) else {}


def _values(name_value_list: Any) -> dict[str, Any]:
    """{name: value}; of a list (a record that is gone, or nothing that is set) as well."""
    items = name_value_list.values() if isinstance(name_value_list, dict) else name_value_list or ()
    return {str(item["name"]): item.get("value") for item in items if isinstance(item, dict) and "name" in item}


def _linked(found: Any) -> dict[str, list[dict[str, str]]]:
    """Link -> its records, in the shape of `get_entry_list`, or that of `get_entry` (note, part B)."""
    links = found.get("link_list", ()) if isinstance(found, dict) else found or ()
    return {
        str(link["name"]): [
            shape.row(_values(record.get("link_value", record))) for record in link.get("records") or ()
        ]
        for link in links
    }


def _total(body: Mapping[str, Any]) -> int | None:
    """A text, or the number 0; -1 where counting is switched off."""
    try:
        total = int(body.get("total_count", -1))
    except (TypeError, ValueError):
        return None
    return total if total >= 0 else None


def quoted(text: str) -> str:
    """A literal of MySQL: the server's validator and MySQL both take backslashes (note, HTML entities)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def listed(values: Iterable[str]) -> str:
    """The right side of IN."""
    return "(" + ",".join(map(quoted, values)) + ")"
