"""vTiger in a box: `webservice.php` of a stock 8.2 on PHP 8, and the cloud's REST API, warts included.

Rules cite the vtiger note ("A3"), or a transcript of a live server by its number ("T03": transcripts/vtiger/03-crud).
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import heapq
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.entities import codepoint2name, name2codepoint
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from connectors.sandbox import Faults, Hostile
from connectors.vtiger import vtql
from connectors.vtiger.schema import CONTACTS, SCHEMAS, Column, Schema

USERNAME: Final = "admin"
ACCESS_KEY: Final = "M5TUhMHOa5HnvhXE"
USER: Final = 1
DENIED: Final = "Permission to perform the operation is denied"
TOKEN_LIFE: Final = 300
"""Seconds (T01: expireTime - serverTime)."""
SESSION_IDLE, SESSION_LIFE = 30 * 60, 24 * 3600
"""Seconds (A1)."""
SYNC_PAGE: Final = 100
GET: Final = frozenset({"getchallenge", "listtypes", "describe", "retrieve", "query", "sync"})
POST: Final = frozenset({"login", "create", "update", "revise", "delete", "logout", "extendsession", "convertlead"})
CLOUD: Final = "/restapi/v1/vtiger/default"


class Fault(Exception):
    """A failure in the envelope. code is a text, or the number 0 for duplicates (T09)."""

    def __init__(self, code: str | int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Crash(Exception):
    """An uncaught PHP error: HTTP 500 and nothing else (T01, T05a)."""


class Plain(Exception):
    """HTTP 200 with a text that is no JSON (T03, "create bad owner id")."""


def denied(what: str = "") -> Fault:
    return Fault("ACCESS_DENIED", DENIED + what)


@dataclass
class Row:
    """A record. values: as the database holds them. deleted: in the recycle bin. converted: a lead that became a
    contact."""

    id: int
    values: dict[str, str]
    deleted: bool = False
    converted: bool = False


@dataclass
class Table:
    """A module's records. ids: of all that were ever made, ascending."""

    schema: Schema
    rows: dict[int, Row] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.rows[row.id] = row
        bisect.insort(self.ids, row.id)

    def living(self, after: int = 0, until: int | None = None) -> Iterator[Row]:
        """Those that queries see, by id."""
        start = bisect.bisect_right(self.ids, after)
        stop = len(self.ids) if until is None else bisect.bisect_right(self.ids, until)
        for number in self.ids[start:stop]:
            row = self.rows[number]
            if not row.deleted and not row.converted:
                yield row


@dataclass
class Session:
    born: float
    used: float


@dataclass
class Options:
    """How this server is made.

    sync: `broken` as stock on PHP 8 (T05a), `working`, or `missing` from the operation table. scopes: `syncType` is
        known; stock tables do not know it (A5). admin: the API's user is an administrator.
    cloud: the REST API answers as well. php8: unknown operations and `logout` crash (T01).
    unique: columns of Contacts with the duplicate rule on (T09). utf8mb4: the database keeps four-byte characters.
    clears_references: `revise` clears a reference given as "".
    zone: seconds by which the server's wall clock is ahead of UTC (A4: default UTC).
    """

    sync: Literal["broken", "working", "missing"] = "broken"
    scopes: bool = True
    admin: bool = True
    cloud: bool = False
    php8: bool = True
    unique: Sequence[str] = ()
    utf8mb4: bool = False
    clears_references: bool = True
    zone: int = 0


class VtigerSandbox:
    """The server. Tests and the demo act on it as a human at its screen: `seed`, `edit`, `remove`, `rows`."""

    def __init__(self, clock: Callable[[], datetime] | None = None, **options: Any) -> None:
        self.options = Options(**options)
        self.faults = Faults()
        self.hidden: set[str] = set()
        """Ids of records that the API's user may not see. They are taken out after LIMIT, and counted (A4)."""
        self._clock = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self._lock = threading.RLock()
        self._tables = {name: Table(schema) for name, schema in SCHEMAS.items()}
        self._prefixes = {schema.prefix: name for name, schema in SCHEMAS.items()}
        self._next_id = 2  # T03: the first contact is 12x2; the sequence is shared by all modules (A2)
        self._numbers: dict[str, int] = {}
        self._token: tuple[str, float] | None = None
        self._sessions: dict[str, Session] = {}
        self._serial = 0
        self._install()
        app = FastAPI(openapi_url=None)
        app.add_api_route("/webservice.php", self._webservice, methods=["GET", "POST"], response_model=None)
        if self.options.cloud:
            app.add_api_route(CLOUD + "/{operation}", self._rest, methods=["GET", "POST"], response_model=None)
        self.app: ASGIApp = Hostile(app, self.faults)

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": url, "username": USERNAME, "access_key": ACCESS_KEY, "rate": None}

    def _install(self) -> None:
        users = {
            1: ("admin", "on" if self.options.admin else "off", "Ada", "Administrator", "admin@example.com"),
            5: ("ben", "off", "Ben", "Builder", "ben@example.com"),
        }
        columns = ("user_name", "is_admin", "first_name", "last_name", "email1")
        for number, values in users.items():
            self._tables["Users"].add(Row(number, dict(zip(columns, values, strict=True))))
        groups = {2: "Team Selling", 3: "Marketing Group", 4: "Support Group"}  # T04
        for number, name in groups.items():
            self._tables["Groups"].add(Row(number, {"groupname": name, "description": ""}))

    # --- the clock ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, aware."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        with self._lock:
            self._ahead += timedelta(seconds=seconds)

    def _wall(self, seconds: float | None = None) -> str:
        """Times are whole seconds of the server's own zone (A4)."""
        at = self.now() if seconds is None else datetime.fromtimestamp(seconds, UTC)
        return (at + timedelta(seconds=self.options.zone)).strftime("%Y-%m-%d %H:%M:%S")

    def _unix(self, wall: str) -> int:
        return int(datetime.fromisoformat(wall).replace(tzinfo=UTC).timestamp()) - self.options.zone

    # --- what humans do at the screen --------------------------------------------------------------------------------

    def seed(self, people: Iterable[Mapping[str, Any]], module: str = "Contacts") -> list[str]:
        """Make records; returns their ids. `accountname` among a contact's columns finds or makes its account."""
        with self._lock:
            return [self._enter(module, dict(person)) for person in people]

    def _enter(self, module: str, columns: dict[str, Any]) -> str:
        if module == "Contacts" and "accountname" in columns:
            columns["account_id"] = self._account(str(columns.pop("accountname")))
        table = self._tables[module]
        row = self._new(table, {"assigned_user_id": "19x1", **columns}, source=str(columns.get("source", "CRM")))
        return f"{table.schema.prefix}x{row.id}"

    def _account(self, name: str) -> str:
        if not name:
            return ""
        for row in self._tables["Accounts"].living():
            if row.values["accountname"] == name:
                return f"11x{row.id}"
        return self._enter("Accounts", {"accountname": name})

    def edit(self, record: str, **columns: Any) -> None:
        """Change columns of a record."""
        with self._lock:
            table, row = self._find(record)
            if table.schema is CONTACTS and "accountname" in columns:
                columns["account_id"] = self._account(columns.pop("accountname"))
            self._save(table, row, columns, clear=True)

    def remove(self, record: str) -> None:
        """Put a record into the recycle bin. Contacts of an account are unlinked without a change of their own."""
        with self._lock:
            table, row = self._find(record)
            self._delete(table, row)

    def restore(self, record: str) -> None:
        """Take a record out of the recycle bin: it shows as modified (A5)."""
        with self._lock:
            row = self._row(record)
            row.deleted = False
            self._touch(row)

    def purge(self, record: str) -> None:
        """Empty the recycle bin of a record: sync never reports it (A5)."""
        with self._lock:
            table, number = self._tables[self._prefixes[record.partition("x")[0]]], self._row(record).id
            del table.rows[number]
            table.ids.remove(number)

    def convert(self, lead: str) -> str:
        """Make a contact of a lead, which vanishes from queries and shows as deleted in sync (A5); the contact's id."""
        with self._lock:
            _, row = self._find(lead)
            taken = ("firstname", "lastname", "email", "secondaryemail", "phone", "mobile", "fax", "description")
            columns = {name: row.values[name] for name in taken}
            if row.values["company"]:
                columns["accountname"] = row.values["company"]
            contact = self._enter("Contacts", {**columns, "title": row.values["designation"]})
            self._row(contact).values["isconvertedfromlead"] = "1"
            row.converted = True
            self._touch(row)
            return contact

    def rows(self, module: str = "Contacts") -> list[dict[str, str]]:
        """All records in full, as a query shows them to one who may see everything."""
        with self._lock:
            return [self._shown(self._tables[module].schema, row) for row in self._tables[module].living()]

    def kill_sessions(self) -> None:
        """Forget who is logged in."""
        with self._lock:
            self._sessions.clear()

    # --- records -----------------------------------------------------------------------------------------------------

    def _row(self, record: str) -> Row:
        prefix, _, number = record.partition("x")
        return self._tables[self._prefixes[prefix]].rows[int(number)]

    def _find(self, record: Any) -> tuple[Table, Row]:
        """The living record of an id, with the failures of T03, "retrieve …"."""
        prefix, x, number = str(record or "").partition("x")
        if not x and prefix.isdigit():
            raise denied()
        table = self._tables.get(self._prefixes.get(prefix, ""))
        if table is None or not number.isdigit():
            raise denied(" for id")
        row = table.rows.get(int(number))
        if row is None and any(int(number) in other.rows for other in self._tables.values() if other.schema.entity):
            raise Fault("INVALID_ID_ATTRIBUTE", "Id specified is incorrect")
        if row is None or row.deleted or record in self.hidden:
            raise denied()
        return table, row

    def _new(self, table: Table, columns: Mapping[str, Any], source: str) -> Row:
        schema = table.schema
        self._check(table, columns, None)
        row = Row(self._next_id, {column.name: column.blank for column in schema.columns})
        self._next_id += 1
        number, prefix = schema.number
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        row.values |= {number: f"{prefix}{self._numbers[prefix]}", "source": source[:100], "createdtime": self._wall()}
        table.add(row)
        self._save(table, row, columns, clear=False)
        return row

    def _save(self, table: Table, row: Row, columns: Mapping[str, Any], *, clear: bool) -> None:
        """Every save bumps `modifiedtime`, also one that changes nothing (T03, "revise no-op")."""
        for name, value in columns.items():
            column = table.schema.by_name.get(name)
            if column is None or not column.editable or name == "modifiedby":
                continue  # unknown and read-only columns are ignored (T03, "create unknown field", "set readonly")
            text = self._stored(column, value)
            if column.kind == "reference" and not text and not clear:
                continue  # a blank reference is dropped, not cleared (A3)
            row.values[name] = text
        self._touch(row)

    def _touch(self, row: Row) -> None:
        row.values |= {"modifiedtime": self._wall(), "modifiedby": "19x1"}

    def _stored(self, column: Column, value: Any) -> str:
        """What the database keeps of a value (T03, "create …")."""
        if column.kind == "boolean":
            return "1" if value in (True, 1, "1", "on") else "0"
        text = "" if value is None else str(value)
        if column.kind == "date":
            return _date(text)
        if column.kind == "owner":
            prefix, x, number = text.partition("x")
            return f"19x{prefix}" if not x else f"{prefix}x{number}"
        if column.kind == "reference":
            number = text.partition("x")[2]
            known = number.isdigit() and int(number) in self._tables[column.refers].rows
            return text if known else ""  # a dangling reference is blanked (T03, "create bad reference")
        if not self.options.utf8mb4:
            text = re.sub("[\U00010000-\U0010ffff]", "????", text)  # T03, "create full"
        return text[: column.length] or column.blank

    def _check(self, table: Table, columns: Mapping[str, Any], row: Row | None) -> None:
        """What is refused: wrong references, then duplicates where there is a rule. Nothing else is (A3)."""
        for name, value in columns.items():
            column = table.schema.by_name.get(name)
            if column is not None and column.kind == "reference" and value and name != "modifiedby":
                prefix = str(value).partition("x")[0]
                if self._prefixes.get(prefix) != column.refers:
                    raise Fault("REFERENCE_INVALID", f"Invalid reference specified for {name}")
        unique = self.options.unique if table.schema is CONTACTS else ()
        for name in unique:
            text = str(columns.get(name) or "").casefold()
            others = (other for other in table.living() if other is not row)
            if text and any(other.values[name].casefold() == text for other in others):
                raise Fault(0, "Duplicate(s) detected!")

    def _delete(self, table: Table, row: Row) -> None:
        row.deleted = True
        self._touch(row)
        if table.schema.name == "Accounts":
            for contact in self._tables["Contacts"].living():
                if contact.values["account_id"] == f"11x{row.id}":
                    contact.values["account_id"] = ""

    # --- how records are shown ---------------------------------------------------------------------------------------

    def _shown(self, schema: Schema, row: Row, columns: Sequence[str] | None = None) -> dict[str, str]:
        """As queries show a row: entities decoded (A3), the id where it was asked for, else last (T04)."""
        names = [column.name for column in schema.columns] if columns is None else columns
        shown = {
            name: f"{schema.prefix}x{row.id}" if name == "id" else self._value(row.values[name], name) for name in names
        }
        return shown if "id" in shown else {**shown, "id": f"{schema.prefix}x{row.id}"}

    def _value(self, text: str, name: str) -> str:
        if name == "assigned_user_id" and not self._assignable(text):
            return text.partition("x")[2]  # T04: "999" for the owner that does not exist
        return _ENTITY.sub(_character, text) if "&" in text else text

    def _assignable(self, owner: str) -> bool:
        prefix, _, number = owner.partition("x")
        table = self._tables.get({"19": "Users", "20": "Groups"}.get(prefix, ""))
        return table is not None and number.isdigit() and int(number) in table.rows

    def _answer(self, schema: Schema, row: Row) -> dict[str, str]:
        """As create, retrieve and revise show it: with a label in HTML (T03), without tags."""
        shown = self._shown(schema, row)
        if "tags" in shown:
            shown["tags"] = ""
        name = " ".join(row.values[part] for part in schema.names if row.values[part])
        return {**shown, "label": "".join(map(_entity, name))}

    # --- operations --------------------------------------------------------------------------------------------------

    def _operate(self, operation: str, given: Mapping[str, str]) -> Any:
        handlers: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "listtypes": self._list_types,
            "describe": lambda p: self._schema(p.get("elementType", "")).described(),
            "retrieve": self._retrieve,
            "query": self._query,
            "sync": self._sync,
            "create": self._create,
            "update": self._update,
            "revise": self._revise,
            "delete": self._remove,
            "convertlead": self._convert,
        }
        return handlers[operation](given)

    def _schema(self, name: str) -> Schema:
        if name not in SCHEMAS:  # case matters (T04, "lower-case module")
            raise denied(f" for name : {name}")
        return SCHEMAS[name]

    def _list_types(self, given: Mapping[str, str]) -> Any:
        information = {
            schema.name: {"isEntity": schema.entity, "label": schema.label, "singular": schema.label.removesuffix("s")}
            for schema in SCHEMAS.values()
        }
        return {"types": list(information), "information": information}

    def _retrieve(self, given: Mapping[str, str]) -> Any:
        table, row = self._find(given.get("id", ""))
        return self._answer(table.schema, row)

    def _create(self, given: Mapping[str, str]) -> Any:
        if given.get("elementType", "") not in SCHEMAS:
            raise denied()  # T03, "create in unknown module", "create via GET"
        if given["elementType"] in ("Users", "Groups"):
            raise denied(" for id")  # T07
        table = self._tables[given["elementType"]]
        element = _element(given)
        self._demand(table.schema, element)
        row = self._new(table, element, source=str(element.get("source") or "WEBSERVICE"))
        self._fall_over_owner(row)
        return self._answer(table.schema, row)

    def _update(self, given: Mapping[str, str]) -> Any:
        element = _element(given)
        table, row = self._find(element.get("id"))
        self._demand(table.schema, element)
        self._check(table, element, row)
        self._save(table, row, element, clear=False)  # merges, as revise does (T03, "update with mandatory only")
        self._fall_over_owner(row)
        return self._answer(table.schema, row)

    def _revise(self, given: Mapping[str, str]) -> Any:
        element = _element(given)
        table, row = self._find(element.get("id"))
        for column in table.schema.columns:
            if column.mandatory and column.name in element and not element[column.name]:
                raise _missing(column.name)
        self._check(table, element, row)
        self._save(table, row, element, clear=self.options.clears_references)
        self._fall_over_owner(row)
        return self._answer(table.schema, row)

    def _fall_over_owner(self, row: Row) -> None:
        """The row is stored, then PHP stumbles over an owner that does not exist (T03, "create bad owner id")."""
        if not self._assignable(row.values["assigned_user_id"]):
            raise Plain("Sorry! Attempt to access restricted file.")

    def _demand(self, schema: Schema, element: Mapping[str, Any]) -> None:
        for column in schema.columns:
            if column.mandatory and not element.get(column.name):
                raise _missing(column.name)

    def _remove(self, given: Mapping[str, str]) -> Any:
        table, row = self._find(given.get("id", ""))
        self._delete(table, row)
        return {"status": "successful"}

    def _convert(self, given: Mapping[str, str]) -> Any:
        lead = str(_element(given).get("leadId") or "")
        _, row = self._find(lead)
        if row.converted:
            raise Fault("LEAD_ALREADY_CONVERTED", "Lead is already converted")
        return {"Contacts": self.convert(lead)}

    # --- query -------------------------------------------------------------------------------------------------------

    def _query(self, given: Mapping[str, str]) -> Any:
        if not given.get("query"):
            raise denied(" for query")
        query = vtql.parse(given["query"])
        schema = self._schema(query.module)
        for name in query.columns if query.columns != ["*"] and not query.counts else ():
            if name != "id" and name not in schema.by_name:
                raise Fault("ACCESS_DENIED", f"Permission to access '.{name}.' attribute denied.")
        matching = self._matching(schema, query)
        if query.counts:
            return [{"count": str(sum(1 for _ in matching))}]
        page = self._page(schema, query, matching)
        columns = None if query.columns == ["*"] else query.columns
        shown = [self._shown(schema, row, columns) for row in page]
        return [row for row in shown if row["id"] not in self.hidden]

    def _matching(self, schema: Schema, query: vtql.Query) -> Iterable[Row]:
        tests = [[self._test(schema, condition) for condition in group] for group in query.where]
        after, until = _bounds(query) if len(tests) == 1 else (0, None)
        passes = vtql.either(tests)
        rows = self._tables[schema.name].living(after, until)
        return (row for row in rows if passes(row))

    def _test(self, schema: Schema, condition: vtql.Condition) -> vtql.Test[Row]:
        name, operator = condition.column, condition.operator
        if "." in name:
            raise vtql.failed()  # T04, "dotted reference"
        column = schema.by_name.get(name)
        if column is None and name != "id":
            raise vtql.QueryError("ACCESS_DENIED", f"Permission to access {name} attribute denied.")
        if column is None:
            numbers = [_number(value) for value in condition.values]
            return vtql.number_test(lambda row: row.id, operator, numbers)
        if column.kind in ("reference", "owner"):
            if column.kind == "reference" and not all("x" in value for value in condition.values):
                raise Fault("INVALID_ID_ATTRIBUTE", "Id specified is incorrect")
            numbers = [_number(value) for value in condition.values]
            return vtql.number_test(lambda row: _number(row.values[name]), operator, numbers)
        values = [vtql.literal(value) for value in condition.values]
        compare = vtql.time_test if column.kind == "datetime" else vtql.text_test
        return compare(lambda row: row.values[name], operator, values)

    def _page(self, schema: Schema, query: vtql.Query, matching: Iterable[Row]) -> list[Row]:
        """Ordered by the columns alone: rows that are equal there come in no order to rely on (T04)."""
        wanted = query.offset + query.limit
        names = [name for name in query.order if name == "id" or name in schema.by_name]
        if len(names) != len(query.order):
            raise vtql.failed()

        def place(row: Row) -> Any:
            return [row.id if name == "id" else row.values[name].casefold() for name in names] + [_shuffled(row.id)]

        if names and (names != ["id"] or query.descending):  # records come by id anyway
            best = heapq.nlargest if query.descending else heapq.nsmallest
            rows = best(wanted, matching, key=place)
        else:
            rows = [row for _, row in zip(range(wanted), matching, strict=False)]
        return rows[query.offset :]

    # --- sync --------------------------------------------------------------------------------------------------------

    def _sync(self, given: Mapping[str, str]) -> Any:
        """A5: strictly later than the given second, up to the last second of the first 100, in full seconds."""
        since, module = given.get("modifiedTime", ""), given.get("elementType", "")
        if not since.isdigit() or since == "0" or not module:
            raise Crash
        if module not in SCHEMAS or not SCHEMAS[module].entity:
            raise denied()
        scope = given.get("syncType", "user") if self.options.scopes else "user"
        if scope == "application" and not self.options.admin:
            raise Fault("ACCESS_DENIED", "Only admin users can perform application sync")
        bound = self._wall(int(since))
        table = self._tables[module]
        later = [
            row
            for row in table.rows.values()
            if row.values["modifiedtime"] > bound
            and self._in_scope(row, scope)
            and self._id(table, row) not in self.hidden
        ]
        first = heapq.nsmallest(SYNC_PAGE, later, key=lambda row: row.values["modifiedtime"])
        until = first[-1].values["modifiedtime"] if first else bound
        batch = sorted(
            (row for row in later if row.values["modifiedtime"] <= until), key=lambda row: row.values["modifiedtime"]
        )
        return {
            "updated": [self._shown(table.schema, row) for row in batch if not (row.deleted or row.converted)],
            "deleted": [self._id(table, row) for row in batch if row.deleted or row.converted],
            "more": any(row.values["modifiedtime"] > until for row in later),
            "lastModifiedTime": self._unix(until) if first else int(since),
        }

    def _id(self, table: Table, row: Row) -> str:
        return f"{table.schema.prefix}x{row.id}"

    def _in_scope(self, row: Row, scope: str) -> bool:
        owner = row.values["assigned_user_id"]
        return scope == "application" or owner == "19x1" or (scope == "userandgroup" and owner.startswith("20x"))

    # --- webservice.php ----------------------------------------------------------------------------------------------

    async def _webservice(self, request: Request) -> Response:
        body = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        posted = body if request.method == "POST" else {}
        query = dict(request.query_params)
        with self._lock:
            try:
                return _json({"success": True, "result": self._called({**query, **posted}, query, posted)})
            except Crash:
                return Response("", 500, media_type="text/html; charset=UTF-8")
            except Plain as text:
                return Response(str(text), media_type="text/html; charset=UTF-8")
            except (Fault, vtql.QueryError) as fault:
                return _json(_failure(fault))

    def _called(self, everything: Mapping[str, str], query: Mapping[str, str], posted: Mapping[str, str]) -> Any:
        operation = everything.get("operation", "").lower()
        if operation not in GET | POST or (operation == "sync" and self.options.sync == "missing"):
            if self.options.php8:
                raise Crash  # T01, "unknown operation"; T07, "JSON body instead of form"
            raise Fault("UNKNOWN_OPERATION", "Unknown operation requested")
        # Parameters are read from the verb's own place only (part A): the others are missing.
        given = query if operation in GET else posted
        if operation == "getchallenge":
            return self._challenge(given)
        if operation == "login":
            return self._login(given)
        session = self._session(everything.get("sessionName", ""), operation, given)
        if operation == "logout":
            if self.options.php8:
                raise Crash  # and the session stays (T01, "logout")
            self._sessions.pop(session)
            return {"message": "successfull"}
        if operation == "extendsession":
            return {"sessionName": session, "userId": "19x1", "version": "0.22", "vtigerVersion": "8.2.0"}
        if operation == "sync" and self.options.sync == "broken":
            raise Crash  # T05a
        return self._operate(operation, given)

    def _challenge(self, given: Mapping[str, str]) -> Any:
        if not given.get("username"):
            raise Fault("ACCESS_DENIED", "No username given")
        if given["username"] != USERNAME:
            raise Fault("ACCESS_DENIED", "username does not exists")
        at = self.now().timestamp()
        self._token = (self._unguessable(), at)  # one a user: the earlier one is void (T01)
        return {"token": self._token[0], "serverTime": int(at), "expireTime": int(at) + TOKEN_LIFE}

    def _login(self, given: Mapping[str, str]) -> Any:
        if given.get("username") != USERNAME or self._token is None or self._age(self._token[1]) > TOKEN_LIFE:
            raise Fault("INVALID_AUTH_TOKEN", "Specified token is invalid or expired")
        proof = hashlib.md5(f"{self._token[0]}{ACCESS_KEY}".encode(), usedforsecurity=False).hexdigest()
        if given.get("accessKey") != proof:
            raise Fault("INVALID_USER_CREDENTIALS", "Invalid username or password")
        name, at = self._unguessable(), self.now().timestamp()
        self._sessions[name] = Session(at, at)
        return {
            "username": USERNAME,
            "first_name": "Ada",
            "last_name": "Administrator",
            "email": "admin@example.com",
            "time_zone": "UTC",
            "hour_format": "12",
            "date_format": "yyyy-mm-dd",
            "is_admin": "on" if self.options.admin else "off",
            "call_duration": "5",
            "other_event_duration": "5",
            "sessionName": name,
            "userId": "19x1",
            "version": "0.22",
            "vtigerVersion": "8.2.0",
        }

    def _session(self, name: str, operation: str, given: Mapping[str, str]) -> str:
        if not name and operation == "extendsession":
            raise Fault("AUTHENTICATION_FAILURE", "Authencation Failed")
        if not name or (operation == "extendsession" and not given):
            raise Fault("AUTHENTICATION_REQUIRED", "Authencation required")
        session = self._sessions.get(name)
        if session is None:
            raise Fault("INVALID_SESSIONID", "Session Identifier provided is Invalid")
        if self._age(session.born) > SESSION_LIFE:
            raise Fault("SESSION_EXPIRED", "Session has expired")
        if self._age(session.used) > SESSION_IDLE:
            raise Fault("SESSION_LEFT_IDLE", "Session has been left idle")
        session.used = self.now().timestamp()
        return name

    def _age(self, since: float) -> float:
        return self.now().timestamp() - since

    def _unguessable(self) -> str:
        """Unlike any other, and the same in each run of a test."""
        self._serial += 1
        return hashlib.blake2b(str(self._serial).encode(), digest_size=8).hexdigest()

    # --- cloud -------------------------------------------------------------------------------------------------------

    async def _rest(self, request: Request, operation: str) -> Response:
        """Part B: HTTP Basic, the same operations; a failure is 400."""
        credentials = base64.b64encode(f"{USERNAME}:{ACCESS_KEY}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {credentials}":
            return _json(_failure(Fault("AUTHENTICATION_REQUIRED", "Authencation required")), 401)
        method, known = request.method, (GET | POST | {"me"}) - {"getchallenge", "login", "logout", "extendsession"}
        if operation not in known or (operation == "sync" and self.options.sync != "working"):
            return _json(_failure(Fault("UNKNOWN_OPERATION", "Unknown operation requested")), 404)
        if method != ("POST" if operation in POST else "GET"):
            return _json(_failure(Fault("OPERATION_NOT_SUPPORTED", "Method not allowed")), 405)
        body = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        with self._lock:
            try:
                if operation == "me":
                    return _json({"success": True, "result": self._me()})
                given = body if method == "POST" else dict(request.query_params)
                return _json({"success": True, "result": self._operate(operation, given)})
            except Crash:
                return Response("", 500)
            except Plain as text:
                return Response(str(text))
            except (Fault, vtql.QueryError) as fault:
                return _json(_failure(fault), 400)

    def _me(self) -> Any:
        names = {"first_name": "Ada", "last_name": "Administrator", "email1": "admin@example.com"}
        return {"id": "19x1", "user_name": USERNAME, **names}


def create(**options: Any) -> VtigerSandbox:
    """A new server; `clock` and the fields of `Options`."""
    return VtigerSandbox(**options)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


def _failure(fault: Fault | vtql.QueryError) -> dict[str, Any]:
    return {"success": False, "error": {"message": fault.message, "code": fault.code}}


def _missing(name: str) -> Fault:
    return Fault("MANDATORY_FIELDS_MISSING", f"{name} does not have a value")


def _element(given: Mapping[str, str]) -> dict[str, Any]:
    """What is no JSON decodes to nothing (T03, "create malformed JSON")."""
    try:
        element = orjson.loads(given.get("element", ""))
    except orjson.JSONDecodeError:
        return {}
    return element if isinstance(element, dict) else {}


def _date(text: str) -> str:
    """29/02/1980 is read again (T03, "create invalid date"); what cannot be read is stored as nothing (A3)."""
    for pattern in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC).strftime("%Y-%m-%d")
        except ValueError:
            continue
    return ""


_ENTITY: Final = re.compile(r"&(#\d+|#[xX][0-9a-fA-F]+|\w+);")


def _character(match: re.Match[str]) -> str:
    """As PHP's html_entity_decode with ENT_QUOTES reads an entity of HTML 4 (A3)."""
    name = match.group(1)
    if name[0] != "#":
        return chr(name2codepoint[name]) if name in name2codepoint else match.group()
    code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    return chr(code) if 31 < code < 0x110000 and not 0xD800 <= code < 0xE000 else match.group()


def _entity(character: str) -> str:
    """As PHP's htmlentities with ENT_QUOTES (T03: Zo&euml; O&#039;Brien)."""
    if character == "'":
        return "&#039;"
    name = codepoint2name.get(ord(character))
    return f"&{name};" if name else character


def _number(value: str) -> int:
    """The number of an id, whichever module its prefix names (A4: 12x5, quoted or not)."""
    digits = value.strip("'\"").rpartition("x")[2]
    return int(digits) if digits.isdigit() else -1


def _bounds(query: vtql.Query) -> tuple[int, int | None]:
    """Where ids begin and end that a condition on ids lets through: an index."""
    after, until = 0, None
    for condition in query.where[0]:
        if condition.column == "id" and condition.operator in (">", ">="):
            after = max(after, _number(condition.values[0]) - (condition.operator == ">="))
        elif condition.column == "id" and condition.operator in ("<", "<=", "="):
            until = _number(condition.values[0])
    return after, until


def _shuffled(number: int) -> int:
    """An order of equals that is neither that of their ids nor random."""
    return number * 2654435761 % 2**32
