"""QuickBooks Online in a box: the accounting API and the OAuth2 server of one company, warts included.

Sources: "note" is the accounting note, part B; [K] marks what it calls general knowledge; "Intuit" its public
reference. What the books make of what they are sent is in `books.py`, the query language in `qbql.py`, webhooks in
`deliveries.py`, the tokens in `intuit.py`.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from connectors.quickbooks.books import NAMED, Books, Fault, Row, told
from connectors.quickbooks.deliveries import Delivery, Event, delivery
from connectors.quickbooks.intuit import OAuth
from connectors.quickbooks.qbql import Malformed, Select, parse
from connectors.sandbox import Faults, Hostile

LOOK_BACK: Final = timedelta(days=30)
MOST_CHANGES: Final = 1000
MOST_ITEMS: Final = 30
MINUTE: Final = timedelta(minutes=1)
WITHOUT_CDC: Final = frozenset({"JournalCode", "TaxAgency", "TimeActivity", "TaxCode", "TaxRate"})


@dataclass
class Options:
    """How this company is made.

    merged: a merged loser vanishes, or becomes inactive (note: "vanishes/inactive"). replays: `requestid` works (note);
    issue QuickBooks-V3-DotNET-SDK 352 doubts it. cap: most objects of a CDC answer. text_ids: `orderby Id` sorts texts.
    rotate: a refresh token is changed with each refresh, "daily" only once a day (note). per_minute, batches: quotas of
    a minute (note: 500 and 40); None: none.
    """

    merged: Literal["vanish", "inactive"] = "vanish"
    replays: bool = True
    cap: int = MOST_CHANGES
    text_ids: bool = False
    rotate: Literal["daily", "always"] = "daily"
    per_minute: int | None = None
    batches: int | None = None


class QuickBooksSandbox:
    """One company. Tests and the demo act on it as a bookkeeper at the screen: `seed`, `edit`, `archive`, `merge`, …"""

    def __init__(self, clock: Callable[[], datetime] | None = None, seed: int = 0, **options: Any) -> None:
        self.options = Options(**options)
        self.faults = Faults()
        self.realm = "4620816365012345678"
        self.verifier = secrets.token_hex(16)
        self.lock = threading.RLock()
        self.events: list[Event] = []
        self.failures: list[tuple[str, int, Fault]] = []
        self._now = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self.books = Books(self.clock)
        self.oauth = OAuth(self.clock, self.realm, self.options.rotate)
        self._answers: dict[str, Row] = {}
        self._spent: dict[str, list[datetime]] = {}
        self.app: ASGIApp = Hostile(_app(self), self.faults)
        for n in range(1, seed + 1):
            self.seed([{"GivenName": f"Given{n}", "FamilyName": f"Family{n}", **_mail(f"person{n}@example.test")}])

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "url": url,
            "auth_uri": f"{url}/connect/oauth2",
            "token_uri": f"{url}/oauth2/v1/tokens/bearer",
            "realm_id": self.realm,
            "client_id": self.oauth.client_id,
            "client_secret": self.oauth.client_secret,
            "refresh_token": self.oauth.grant(),
            "rate": None,
        }

    # --- the clock

    def clock(self) -> datetime:
        return self._now() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self.lock:
            self._ahead += timedelta(seconds=seconds)

    # --- what a bookkeeper does

    def seed(self, people: Iterable[Mapping[str, Any]], entity: str = "Customer") -> list[str]:
        """Make records; returns their Ids."""
        with self.lock:
            return [self._done(entity, self.books.save(entity, person), "Create") for person in people]

    def employ(self, name: str) -> str:
        """Make an employee: it only takes a name away."""
        with self.lock:
            return self.books.issue("Employee", {"DisplayName": name, "Active": True})

    def edit(self, entity: str, ident: str, **properties: Any) -> None:
        """Change properties of a record."""
        with self.lock:
            row = self.books.entry(entity, ident).row
            self._done(
                entity,
                self.books.save(entity, {"Id": ident, "SyncToken": row["SyncToken"], "sparse": True, **properties}),
                "Update",
            )

    def archive(self, entity: str, ident: str) -> None:
        """Make a record inactive; what is owed does not matter at the screen (Intuit: a credit memo is written)."""
        self.edit(entity, ident, Active=False)

    def restore(self, entity: str, ident: str) -> None:
        """Make a record active again."""
        self.edit(entity, ident, Active=True)

    def merge(self, entity: str, survivor: str, loser: str) -> None:
        """Two records become one: documents move, the loser is gone, only the webhook tells (note)."""
        with self.lock:
            kept, lost = self.books.entry(entity, survivor), self.books.entry(entity, loser)
            for name in ("Invoice", "SalesReceipt", "CreditMemo", "Payment"):
                for entry in self.books.tables[name].values():
                    if (entry.row.get("CustomerRef") or {}).get("value") == loser and entity == "Customer":
                        entry.row["CustomerRef"] = {"value": survivor}
                        self.books.touch(entry)
            if self.options.merged == "vanish":
                del self.books.tables[entity][loser]
            else:
                lost.row["Active"] = False
                self.books.touch(lost)
            self.books.touch(kept)
            self.events.append(Event(entity, survivor, "Merge", told(self.clock()), loser))

    def issue(self, entity: str, customer: str, **document: Any) -> str:
        """A document for a customer; its Id. An invoice that is not paid adds to the balance."""
        with self.lock:
            ident = self.books.issue(entity, {"CustomerRef": {"value": customer}, "TxnDate": "2026-11-20", **document})
            return self._done(entity, {"Id": ident}, "Create")

    def amend(self, entity: str, ident: str, **properties: Any) -> None:
        """Change a document, or what a bookkeeper cannot change of a record (its balance)."""
        with self.lock:
            self.books.amend(entity, ident, **properties)
            self._done(entity, {"Id": ident}, "Update")

    def void(self, entity: str, ident: str) -> None:
        """Void a document: nothing is left of its amounts (note [K])."""
        with self.lock:
            lines = [{**line, "Amount": Decimal(0)} for line in self.books.entry(entity, ident).row.get("Line") or ()]
            self.amend(entity, ident, TotalAmt=Decimal(0), Balance=Decimal(0), PrivateNote="Voided", Line=lines)

    def remove(self, entity: str, ident: str) -> None:
        """Delete a document."""
        with self.lock:
            self.books.drop(entity, ident)
            self._done(entity, {"Id": ident}, "Delete")

    def rows(self, entity: str = "Customer") -> list[Row]:
        """All records in full."""
        with self.lock:
            return list(self.books.rows(entity))

    def row(self, entity: str, ident: str) -> Row:
        """One record in full."""
        with self.lock:
            return self.books.shown(entity, self.books.entry(entity, ident))

    def fail(self, pattern: str, code: str, detail: str, status: int = 400, times: int = 1) -> None:
        """The next requests that match are answered with this Fault; status 200 is met, too (note: PHP-SDK 211)."""
        self.failures += [(pattern, status, Fault(code, "A business validation error has occurred", detail))] * times

    def webhook(
        self,
        events: Sequence[Event] | None = None,
        style: Literal["legacy", "cloudevents"] = "legacy",
        path: str = "/",
    ) -> Delivery:
        """The signed POST that tells of these events; without, of all since the last one."""
        with self.lock:
            told_, self.events = (self.events, []) if events is None else (list(events), self.events)
        return delivery(self.realm, told_, self.verifier, style, path)

    def _done(self, entity: str, row: Mapping[str, Any], operation: Any) -> str:
        self.events.append(Event(entity, str(row["Id"]), operation, told(self.clock())))
        return str(row["Id"])

    # --- what the API does

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Row:
        """The answer to a request that was admitted. Raises Fault."""
        for n, (pattern, status, fault) in enumerate(self.failures):
            if re.search(pattern, f"{method} /{path}"):
                del self.failures[n]
                if status == 200:
                    return {"Fault": fault.body(), "time": told(self.clock())}
                raise fault
        if path == "query":
            return self._query(query.get("query") or body.decode())
        if path == "cdc" and method == "GET":
            return self._cdc(query)
        if method == "POST":
            return self._once(query.get("requestid"), lambda: self._post(path, body))
        raise Fault("500", "Unsupported Operation", f"{method} {path} is not supported.")

    def _post(self, path: str, body: bytes) -> Row:
        sent = json.loads(body, parse_float=Decimal)
        if path == "batch":
            return self._batch(sent)
        entity = path.capitalize()
        operation = "Update" if sent.get("Id") else "Create"
        row = self.books.save(entity, sent)
        self._done(entity, row, operation)
        return {entity: row}

    def _once(self, request: str | None, act: Callable[[], Row]) -> Row:
        """A repeated POST of the same `requestid` gets the first answer (note). Failures are not kept [K]."""
        if request and len(request) > 50:
            raise Fault("2050", "String length is too long", "requestid", "requestid")
        if request and self.options.replays and request in self._answers:
            return self._answers[request]
        answer = {**act(), "time": told(self.clock())}
        if request:
            self._answers[request] = answer
        return answer

    def _query(self, statement: str) -> Row:
        try:
            select = parse(statement)
        except Malformed as malformed:
            raise Fault("4000", "Error parsing query", f"QueryParserError: {malformed}") from None
        rows = self._table(select)
        if select.counts:
            return {"QueryResponse": {"totalCount": len(rows)}}
        if self.options.text_ids and select.orderby.casefold() == "id":
            rows = sorted(rows, key=lambda row: str(row["Id"]))
            page = rows[select.start - 1 : select.start - 1 + select.most]
        else:
            page = select.page(rows)
        # None: {"QueryResponse": {}} (note).
        found = {select.entity: page, "startPosition": select.start, "maxResults": len(page)} if page else {}
        return {"QueryResponse": found}

    def _table(self, select: Select) -> list[Any]:
        if select.entity == "CompanyInfo":
            return [{"Id": "1", "CompanyName": "Sandbox Company_US_1", "Country": "US"}]
        if select.entity == "Preferences":
            home = {"value": self.books.home}
            return [{"Id": "1", "CurrencyPrefs": {"HomeCurrency": home, "MultiCurrencyEnabled": False}}]
        if select.entity not in self.books.tables:
            raise Fault("4001", "Invalid query", f"QueryValidationError: Metadata not found for {select.entity}")
        rows = [row for row in self.books.rows(select.entity) if select.matches(row)]
        if select.entity in NAMED and not select.asks("Active"):
            rows = [row for row in rows if row["Active"]]  # inactive ones are hidden (note [K])
        return rows

    def _cdc(self, query: Mapping[str, str]) -> Row:
        """All that changed, in no pages; more than 1,000 are cut off (note)."""
        try:
            since = datetime.fromisoformat(query["changedSince"])
        except (KeyError, ValueError):
            raise Fault("2030", "Invalid ID", "changedSince is not a date", "changedSince") from None
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        if self.clock() - since > LOOK_BACK:
            said = "changedSince may not be more than 30 days ago"
            raise Fault("2500", "Invalid Reference Id", said, "changedSince")
        left, parts = self.options.cap, []
        for entity in query.get("entities", "").split(","):
            if entity not in self.books.tables or entity in WITHOUT_CDC:
                raise Fault("2020", "Required param missing", f"{entity} is not supported for CDC", "entities")
            changed = [entry for entry in self.books.tables[entity].values() if entry.updated >= since]
            changed.sort(key=lambda entry: entry.updated, reverse=True)
            rows = [self.books.shown(entity, entry) for entry in changed[:left]]
            left -= len(rows)
            parts.append({entity: rows, "startPosition": 1, "maxResults": len(rows)} if rows else {})
        return {"CDCResponse": [{"QueryResponse": parts}]}

    def _batch(self, sent: Mapping[str, Any]) -> Row:
        """Each item for itself, in no order that could be relied on (Intuit: Batch, "Business Rules")."""
        items = sent.get("BatchItemRequest") or []
        if len(items) > MOST_ITEMS:
            raise Fault("1040", "Too many items", f"At most {MOST_ITEMS} items in a batch, {len(items)} came")
        return {"BatchItemResponse": [self._item(item) for item in reversed(items)]}

    def _item(self, item: Mapping[str, Any]) -> Row:
        entity = next((name for name in item if name in self.books.tables), "")
        try:
            if item.get("operation") not in ("create", "update"):
                raise Fault("500", "Unsupported Operation", f"{item.get('operation')} is not supported.")
            if (item["operation"] == "update") != bool(item[entity].get("Id")):
                raise Fault("2020", "Required param missing", "Required parameter Id is missing", "Id")
            row = self.books.save(entity, item[entity])
        except Fault as fault:
            return {"bId": item.get("bId"), "Fault": fault.body()}
        self._done(entity, row, "Update" if item["operation"] == "update" else "Create")
        return {"bId": item.get("bId"), entity: row}

    def spend(self, path: str) -> bool:
        """Is this request within the quotas of the minute?"""
        quotas = {"": self.options.per_minute, **({"batch": self.options.batches} if path == "batch" else {})}
        for name, most in quotas.items():
            recent = [at for at in self._spent.get(name, ()) if self.clock() - at < MINUTE]
            if most is not None and len(recent) >= most:
                return False
            self._spent[name] = [*recent, self.clock()]
        return True


def _mail(address: str) -> Row:
    return {"PrimaryEmailAddr": {"Address": address}}


def create(**options: Any) -> QuickBooksSandbox:
    """A new company. options: as of `QuickBooksSandbox`."""
    return QuickBooksSandbox(**options)


# --- the app ---------------------------------------------------------------------------------------------------------


def dumped(answer: Row) -> bytes:
    """JSON with amounts as they are kept, digit by digit."""
    text = json.dumps(answer, default=lambda number: f"\x00{number}\x00")
    return re.sub(r'"\\u0000(-?[0-9.]+)\\u0000"', r"\1", text).encode()


def _response(answer: Row, status: int = 200) -> Response:
    headers = {"intuit_tid": f"1-{secrets.token_hex(4)}-{secrets.token_hex(12)}"}
    return Response(dumped(answer), status, headers, media_type="application/json")


def _unauthorised(box: QuickBooksSandbox) -> Response:
    """HTTP 401 has another shape than all other failures (note)."""
    said = "message=AuthenticationFailed; errorCode=003200; statusCode=401"
    error = {"message": said, "detail": "Malformed bearer token", "code": "3200", "element": None}
    fault = {"error": [error], "type": "AUTHENTICATION"}
    answer = {"warnings": None, "intuitObject": None, "fault": fault, "requestId": None, "time": told(box.clock())}
    return _response(answer, 401)


def _app(box: QuickBooksSandbox) -> FastAPI:
    app = FastAPI(title="QuickBooks Online sandbox", openapi_url=None)

    @app.api_route("/v3/company/{realm}/{path:path}", methods=["GET", "POST"], response_model=None)
    async def api(realm: str, path: str, request: Request) -> Response:
        body = await request.body()
        with box.lock:
            time = {"time": told(box.clock())}
            company = box.oauth.user_of(request.headers.get("authorization", ""))
            if company is None:
                return _unauthorised(box)
            if not box.spend(path):
                said = Fault("3001", "ThrottleExceeded", "statusCode=429, The request limit was reached.")
                return _response({"Fault": said.body(), **time}, 429)
            if realm != company:
                refused = Fault("3100", "ApplicationAuthorizationFailed", "statusCode=403", kind="AUTHORIZATION")
                return _response({"Fault": refused.body(), **time}, 403)
            query = {name: values[0] for name, values in parse_qs(request.url.query).items()}
            try:
                return _response({**time, **box.answer(request.method, path, query, body)})
            except Fault as fault:
                return _response({"Fault": fault.body(), **time}, 400)

    app.router.routes.extend(box.oauth.routes("/connect/oauth2", "/oauth2/v1/tokens/bearer", box.lock))
    return app
