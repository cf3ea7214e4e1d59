"""Tryton in a box: the JSON-RPC of a live 8.2 with the modules party and account_invoice, warts included.

Rules cite what was observed on the live server ("L": the accounting note, part C, transcript jsonrpc, and
`tests/conformance/test_tryton_sandbox.py`, which asks both the same), or the file of trytond that has them.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from connectors.sandbox import Faults, Hostile
from connectors.tryton.models import MODELS
from connectors.tryton.records import Failure, Row, Store, user_error

DATABASE: Final = "demo"
LOGIN: Final = "admin"
PASSWORD: Final = "correct horse"  # noqa: S105
COUNTRIES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "AT": ("Austria", {"AT-9": "Wien", "AT-7": "Tirol"}),
    "CH": ("Switzerland", {"CH-ZH": "Zürich"}),
    "DE": ("Germany", {"DE-NI": "Niedersachsen", "DE-BY": "Bayern", "DE-BE": "Berlin", "DE-HH": "Hamburg"}),
    "FR": ("France", {"FR-BRE": "Bretagne"}),
    "GB": ("United Kingdom", {"GB-ENG": "England", "GB-SCT": "Scotland"}),
    "US": ("United States", {"US-TX": "Texas", "US-NY": "New York", "US-CA": "California"}),
}
WITHOUT_RPC: Final = frozenset({"party.party-party.category"})
"""Models that answer 403 (L): they have no view."""


class Status(Exception):
    """An answer that is none of JSON-RPC."""

    def __init__(self, status: int, words: str = "") -> None:
        super().__init__(words)
        self.status, self.words = status, words


class TrytonSandbox:
    """The server. Tests and the demo act on it as humans in its client do: `seed`, `edit`, `remove`, `merge`, …

    invoices: the module account_invoice is activated. log: the user may read the log of deletions.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] | None = None,
        *,
        invoices: bool = True,
        log: bool = True,
        wizard: bool = True,
    ) -> None:
        self.faults = Faults()
        self.invoices, self.readable_log, self.wizard = invoices, log, wizard
        self._clock = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self._lock = threading.RLock()
        self.store = Store(self.now)
        self._sessions: dict[str, int] = {}
        self._wizards = 0
        self._install()
        app = FastAPI(openapi_url=None)
        app.add_api_route("/rpc/", self._root, methods=["POST"], response_model=None)
        app.add_api_route("/{database}/rpc/", self._rpc, methods=["POST"], response_model=None)
        self.app: ASGIApp = Hostile(app, self.faults)

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": url, "database": DATABASE, "username": LOGIN, "password": PASSWORD, "rate": None}

    def _install(self) -> None:
        for code, (name, parts) in COUNTRIES.items():
            country = self.store.create("country.country", {"code": code, "name": name})
            for key, text in parts.items():
                region = {"country": country, "code": key, "name": text, "type": "state"}
                self.store.create("country.subdivision", region)
        self.store.create("currency.currency", {"name": "Euro", "code": "EUR"})

    # --- the clock ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, aware."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        with self._lock:
            self._ahead += timedelta(seconds=seconds)

    # --- what humans do in the client --------------------------------------------------------------------------------

    def seed(self, people: Iterable[Mapping[str, Any]]) -> list[str]:
        """Make parties; returns their ids. Columns as `create` takes them; `categories` may be names, and the country
        of an address may be its code."""
        with self._lock:
            return [str(self.store.within(partial(self._enter, dict(person)))) for person in people]

    def _enter(self, person: dict[str, Any]) -> int:
        for name in ("contact_mechanisms", "addresses", "identifiers"):
            rows = [self._located(row) for row in person.pop(name, ())]
            if rows:
                person[name] = [["create", rows]]
        names = person.pop("categories", ())
        if names:
            person["categories"] = [["add", [self.category(name) for name in names]]]
        return self.store.create("party.party", person)

    def _located(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(row.get("country"), str):
            return dict(row)
        [country] = self.store.search("country.country", [["code", "=", row["country"]]])
        return {**row, "country": country}

    def category(self, name: str) -> int:
        """The id of a category, which is made where there is none."""
        found = self.store.search("party.category", [["rec_name", "=", name]])
        return found[0] if found else self.store.create("party.category", {"name": name})

    def edit(self, party: str, **columns: Any) -> None:
        """Change a party, as its form does."""
        self.write("party.party", int(party), **columns)

    def write(self, model: str, number: int, **columns: Any) -> None:
        """Change a row in a list of its own."""
        with self._lock:
            self.store.within(lambda: self.store.write(model, [number], columns, {}))

    def remove(self, party: str, model: str = "party.party") -> None:
        """Delete a party, or a row of another model."""
        with self._lock:
            self.store.within(lambda: self.store.delete(model, [int(party)], {}))

    def vanish(self, party: str) -> None:
        """Delete a party behind Tryton's back: no log tells."""
        with self._lock:
            del self.store.tables["party.party"][int(party)]

    def merge(self, loser: str, winner: str) -> None:
        """The wizard `party.replace`. Both must have the same name, else it asks a human."""
        with self._lock:
            self.store.within(lambda: self._merge(int(loser), int(winner)))

    def _merge(self, loser: int, winner: int) -> None:
        """The rows of the one are archived and go over to the other (party.py, `Replace`)."""
        names = [self.store.tables["party.party"][party]["name"] for party in (loser, winner)]
        if names[0] != names[1]:
            words = f'Parties have different names: "{names[0]}" vs "{names[1]}".'
            raise Failure("UserWarning", [f"party.replace name {loser} {winner}", words, ""])
        for model, _ in MODELS["party.party"].lists.values():
            for row in [row for row in self.store.tables[model].values() if row["party"] == loser]:
                self.store.write(model, [row["id"]], {"active": False}, {})
                moved = {**self.store.tables[model][row["id"]], "party": winner}
                self.store.tables[model][row["id"]] = moved
        self.store.write("party.party", [loser], {"active": False}, {})
        replaced = {**self.store.tables["party.party"][loser], "replaced_by": winner}
        self.store.tables["party.party"][loser] = replaced

    def invoice(self, party: str, lines: Sequence[tuple[str, str, str]], state: str = "posted", **columns: Any) -> str:
        """Make a customer invoice of (description, quantity, unit price); returns its id."""
        with self._lock:
            return str(self.store.within(lambda: self._invoice(int(party), lines, state, columns)))

    def _invoice(
        self, party: int, lines: Sequence[tuple[str, str, str]], state: str, columns: Mapping[str, Any]
    ) -> int:
        rows: list[dict[str, Any]] = [
            {
                "type": "line",
                "description": text,
                "quantity": float(quantity),
                "unit_price": Decimal(price),
                "amount": Decimal(quantity) * Decimal(price),
            }
            for text, quantity, price in lines
        ]
        numbered = state in ("posted", "paid")
        return self.store.create(
            "account.invoice",
            {
                "type": "out",
                "state": state,
                "party": party,
                "currency": 1,
                "number": str(len(self.store.tables["account.invoice"]) + 1) if numbered else None,
                "invoice_date": self.now().date() if numbered else None,
                "total_amount": sum((row["amount"] for row in rows), Decimal(0)),
                "lines": [["create", rows]],
                **columns,
            },
        )

    def rows(self, model: str = "party.party") -> list[Row]:
        """All rows of a model, archived ones as well."""
        with self._lock:
            return [dict(row) for _, row in sorted(self.store.tables[model].items())]

    def kill_sessions(self) -> None:
        """Forget who is logged in."""
        with self._lock:
            self._sessions.clear()

    # --- HTTP --------------------------------------------------------------------------------------------------------

    async def _root(self, request: Request) -> Response:
        given = json.loads(await request.body())
        results = {"common.server.version": "8.2", "common.db.list": [DATABASE]}
        return _json({"id": given["id"], "result": results[given["method"]]})

    async def _rpc(self, request: Request, database: str) -> Response:
        try:
            given = json.loads(await request.body(), object_hook=_decode)
            method, params = given["method"], list(given["params"])
        except (ValueError, KeyError, TypeError):
            return _html(400, "Unable to read JSON request")
        if database != DATABASE:
            return _html(404, "Not Found")
        try:
            with self._lock:
                if method == "common.db.login":
                    found = self._login(*params[:2])
                else:
                    self._authorised(request)
                    found = self._dispatch(method, params)
        except Status as status:
            return _html(status.status, status.words)
        except Failure as failure:
            return _json({"id": given["id"], "error": list(failure.args)})
        return _json({"id": given["id"], "result": found})

    def _login(self, login: str, parameters: Mapping[str, str]) -> Any:
        if "password" not in parameters:
            raise Failure("LoginException", ["password", f"Password for {login}", "password"])  # L
        if (login, parameters["password"]) != (LOGIN, PASSWORD):
            raise Status(401, "Unauthorized")  # L: HTML
        token = secrets.token_hex(32)
        self._sessions[token] = 1
        return [1, token, None]

    def _authorised(self, request: Request) -> None:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            login, user, token = base64.b64decode(value).decode().rsplit(":", 2)
        except ValueError:
            raise Status(401) from None
        if kind != "Session" or login != LOGIN or str(self._sessions.get(token)) != user:
            raise Status(401)  # L: nothing in it

    # --- methods -----------------------------------------------------------------------------------------------------

    def _dispatch(self, method: str, params: list[Any]) -> Any:
        kind, _, rest = method.partition(".")
        name, _, verb = rest.rpartition(".")
        if not params or not isinstance(params[-1], dict):
            raise Status(422, "Missing context argument")  # L
        context = params.pop()
        if kind == "wizard":
            return self.store.within(lambda: self._wizard(name, verb, params))
        if name == "res.user" and verb == "get_preferences":
            return {"company": 1, "companies": [1], "language": "en", "groups": []}
        if name in WITHOUT_RPC:
            raise Status(403, "Forbidden")
        self._access(name)
        handlers: dict[str, Callable[[str, list[Any], Mapping[str, Any]], Any]] = {
            "search": self._search,
            "search_count": lambda *given: len(self._search(*given)),
            "search_read": self._search_read,
            "read": self._read,
            "create": self._create,
            "write": self._write,
            "delete": self._delete,
        }
        if verb not in handlers:
            raise Status(403, "Forbidden")
        return self.store.within(lambda: handlers[verb](name, params, context))

    def _access(self, name: str) -> None:
        if name.startswith("account.invoice") and not self.invoices:
            raise Failure(repr(name), "")
        if name == "ir.model.log" and not self.readable_log:
            raise user_error('You are not allowed to access "Log".')

    def _search(self, name: str, params: list[Any], context: Mapping[str, Any]) -> list[int]:
        domain, offset, limit, order = [*params, *[None] * 4][:4]
        found = self.store.search(name, domain, active=context.get("active_test", True))
        if order and order[0] == ["id", "DESC"]:
            found.reverse()
        return found[offset or 0 :][:limit]

    def _search_read(self, name: str, params: list[Any], context: Mapping[str, Any]) -> list[Row]:
        found = self._search(name, params[:4], context)
        return self.store.read(name, found, params[4], active=context.get("active_test", True))

    def _read(self, name: str, params: list[Any], context: Mapping[str, Any]) -> list[Row]:
        return self.store.read(name, params[0], params[1], active=context.get("active_test", True))

    def _create(self, name: str, params: list[Any], context: Mapping[str, Any]) -> list[int]:
        return [self.store.create(name, values) for values in params[0]]

    def _write(self, name: str, params: list[Any], context: Mapping[str, Any]) -> None:
        stamps = dict(context.get("_timestamp") or {})
        for ids, values in zip(params[::2], params[1::2], strict=True):
            self.store.write(name, ids, values, stamps)

    def _delete(self, name: str, params: list[Any], context: Mapping[str, Any]) -> None:
        self.store.delete(name, params[0], dict(context.get("_timestamp") or {}))

    def _wizard(self, name: str, verb: str, params: list[Any]) -> Any:
        if name not in ("party.erase", "party.replace") or not self.wizard:
            raise user_error("You are not allowed to execute this wizard.")
        if verb == "create":
            self._wizards += 1
            return [self._wizards, "ask", "end"]
        if verb == "execute" and name == "party.erase":
            self._erase(params[1]["ask"]["party"])
        elif verb == "execute":
            self._merge(params[1]["ask"]["source"], params[1]["ask"]["destination"])
        return {} if verb == "execute" else None

    def _erase(self, number: int) -> None:
        """As party.py, `Erase`; columns are written in SQL, which moves no `write_date` of a party."""
        party = self.store.tables["party.party"][number]
        if party["active"]:
            raise user_error(f'Party "{party["name"]}" cannot be erased because they are still active.')
        self.store.tables["party.party"][number] = {**party, "name": None}
        erased: dict[str, dict[str, Any]] = {
            "party.identifier": {"type": None, "code": "****"},
            "party.contact_mechanism": {"type": "other", "value": "****", "name": None, "comment": None},
            "party.address": dict.fromkeys(c for c in MODELS["party.address"].columns if c not in ("party", "active")),
        }
        for model, columns in erased.items():
            for row in [row for row in self.store.tables[model].values() if row["party"] == number]:
                self.store.tables[model][row["id"]] = {
                    **row,
                    **columns,
                    "active": False,
                    "write_date": self.store.at,
                }


# --- JSON ------------------------------------------------------------------------------------------------------------


def _decode(held: dict[str, Any]) -> Any:
    if held.get("__class__") == "datetime":
        return datetime(**{key: value for key, value in held.items() if key != "__class__"}, tzinfo=UTC)
    if held.get("__class__") == "Decimal":
        return Decimal(held["decimal"])
    return held


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        units = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{unit: getattr(value, unit) for unit in units}}
    if isinstance(value, date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    raise TypeError(type(value).__name__)


def _json(body: Mapping[str, Any]) -> Response:
    return Response(json.dumps(body, default=_encode), media_type="application/json")


def _html(status: int, words: str) -> Response:
    if not words:
        return Response(None, status)
    text = f"<!doctype html>\n<html lang=en>\n<title>{status}</title>\n<h1>{words}</h1>\n"
    return HTMLResponse(text, status)


def create(**options: Any) -> TrytonSandbox:
    """A new, empty server."""
    return TrytonSandbox(**options)
