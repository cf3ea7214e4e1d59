"""Xero in a box: the Accounting API 2.0 of some organisations, and the authorization server.

Sources: accounting note A; "spec" is Xero's specification 16.1.0; "rec" are answers recorded by others from Xero's demo
company; K is general knowledge. Endpoints that the connector has no use for are not here. What a human does in Xero is
done by the `Books` of an organisation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from xml.sax.saxutils import escape

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp

from connectors.sandbox import Faults, Hostile
from connectors.xero.sandbox_api import ENDPOINTS, Act
from connectors.xero.sandbox_books import BadQuery, Books, Invalid, NoSuchThing
from connectors.xero.sandbox_login import OWNER, Login

REMEMBERED: Final = timedelta(minutes=6)
"""How long an Idempotency-Key is (note: its lifetime is short; K)."""


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, dict(headers or {})


@dataclass
class Limit:
    """A rate limit that the next requests meet: X-Rate-Limit-Problem, and what Retry-After says."""

    problem: str
    retry_after: int | None
    times: int


@dataclass
class Quota:
    """How much of an organisation's requests is spent (note: 60 a minute, 5,000 a day)."""

    spent: list[datetime] = field(default_factory=list)


class XeroSandbox:
    """Some organisations, and one app that their user consented to.

    tenants: their names. seed: how many made-up contacts the first has. page_cap: most rows a page holds whatever is
    asked for (note: 1000, K). minute, day: requests that are allowed (note: 60 and 5,000); None: no limit.
    grace, old_app: see `Login`. groups_touch: see `Books`. forgets: Idempotency-Key has no effect any more (note: its
    lifetime is short). tick: seconds that each request lets pass. now: the clock.
    """

    def __init__(
        self,
        *,
        tenants: Sequence[str] = ("Demo Company (NZ)",),
        seed: int = 0,
        page_cap: int = 1_000,
        minute: int | None = None,
        day: int | None = None,
        grace: float = 1_800.0,
        old_app: bool = False,
        groups_touch: bool = False,
        forgets: bool = False,
        tick: float = 0.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.minute, self.day, self.forgets, self.tick = minute, day, forgets, tick
        self.lock = threading.RLock()
        self.webhook_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._now, self._offset = now, timedelta()
        self._limits: list[Limit] = []
        self._quotas: dict[str, Quota] = {}
        self._remembered: dict[str, tuple[datetime, str, Response]] = {}
        self._sequence = 0
        self.login = Login(self.clock, grace, old_app)
        ids = [f"70784a63-d24b-46a9-a4db-0e70a274b{n:03x}" for n in range(1, len(tenants) + 1)]
        self.organisations = {
            key: Books(key, name, self.clock, page_cap, groups_touch) for key, name in zip(ids, tenants, strict=True)
        }
        self.faults = Faults()
        self.app: ASGIApp = Hostile(_app(self), self.faults)
        for n in range(1, seed + 1):
            self.books.add(
                Name=f"Given{n} Family{n}",
                FirstName=f"Given{n}",
                LastName=f"Family{n}",
                EmailAddress=f"person{n}@example.test",
                Phones=[{"PhoneType": "DEFAULT", "PhoneNumber": f"555 {n:04}", "PhoneAreaCode": "09"}],
            )
            self.advance(0.01)

    @property
    def books(self) -> Books:
        """The first organisation."""
        return next(iter(self.organisations.values()))

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "url": url + "/",
            "auth_uri": f"{url}/identity/connect/authorize",
            "token_uri": f"{url}/connect/token",
            "client_id": self.login.client_id,
            "client_secret": self.login.client_secret,
            "refresh_token": self.login.grant(),
            "tenant": self.books.tenant,
            "rate": None,
        }

    # --- the clock -------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return self._now() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._offset += timedelta(seconds=seconds)

    # --- trouble on demand -----------------------------------------------------------------------------------------

    def limit(self, problem: str, retry_after: int | None = None, times: int = 1) -> None:
        """The next requests are too many: `minute`, `day`, `concurrent` or `appminute`."""
        self._limits.append(Limit(problem, retry_after, times))

    # --- webhooks --------------------------------------------------------------------------------------------------

    def event(self, contact: str, kind: str = "UPDATE", category: str = "CONTACT") -> dict[str, Any]:
        """What happened to a record of the first organisation. Archiving is an UPDATE (note: Webhooks)."""
        collection = {"CONTACT": "Contacts", "INVOICE": "Invoices", "CREDITNOTE": "CreditNotes"}[category]
        return {
            "resourceUrl": f"https://api.xero.com/api.xro/2.0/{collection}/{contact}",
            "resourceId": contact,
            "eventDateUtc": self.clock().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3],
            "eventType": kind,
            "eventCategory": category,
            "tenantId": self.books.tenant,
            "tenantType": "ORGANISATION",
        }

    def delivery(
        self, *events: Mapping[str, Any], path: str = "/", forged: bool = False
    ) -> tuple[str, dict[str, str], bytes]:
        """(path, headers, body) of a webhook's delivery, signed with `webhook_key` (note: Webhooks).

        Without events it is what the intent-to-receive check sends; that check sends `forged` ones, too, and wants 401
        for them and 200 for the others.
        """
        first = self._sequence + 1
        self._sequence += len(events)
        body = json.dumps(
            {
                "events": list(events),
                "firstEventSequence": first if events else 0,
                "lastEventSequence": self._sequence if events else 0,
                "entropy": secrets.token_urlsafe(15).upper(),
            }
        ).encode()
        key = self.webhook_key + ("forged" if forged else "")
        signature = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
        return path, {"content-type": "application/json; charset=utf-8", "x-xero-signature": signature}, body

    # --- being let in ----------------------------------------------------------------------------------------------

    def admit(self, request: Request, scopes: Sequence[str]) -> Books:
        """The organisation that a request is about; every call of it counts (note: Limits)."""
        self.advance(self.tick)
        granted = self.login.scope_of(request.headers.get("authorization", ""))
        if granted is None:
            raise Problem(401, _problem(401, "Unauthorized", "TokenExpired: the token is expired or was never given"))
        enough = {*scopes, *(f"{scope}.read" for scope in scopes if request.method == "GET")}
        if not enough & set(granted.split()):
            raise Problem(401, _problem(401, "Unauthorized", "AuthorizationUnsuccessful"))
        books = self.organisations.get(request.headers.get("xero-tenant-id", "").lower())
        if books is None:
            raise Problem(403, _problem(403, "Forbidden", "AuthenticationUnsuccessful"))
        self._count(books.tenant)
        return books

    def _count(self, tenant: str) -> None:
        due = next((limit for limit in self._limits if limit.times > 0), None)
        if due is not None:
            due.times -= 1
            after = {} if due.retry_after is None else {"retry-after": str(due.retry_after)}
            raise Problem(429, None, {"x-rate-limit-problem": due.problem, **after})
        quota, now = self._quotas.setdefault(tenant, Quota()), self.clock()
        quota.spent = [at for at in quota.spent if now - at < timedelta(days=1)]
        recent = [at for at in quota.spent if now - at < timedelta(minutes=1)]
        if self.minute is not None and len(recent) >= self.minute:
            wait = (recent[0] + timedelta(minutes=1) - now).total_seconds()
            raise Problem(429, None, {"x-rate-limit-problem": "minute", "retry-after": str(int(wait) + 1)})
        if self.day is not None and len(quota.spent) >= self.day:
            wait = (quota.spent[0] + timedelta(days=1) - now).total_seconds()
            raise Problem(429, None, {"x-rate-limit-problem": "day", "retry-after": str(int(wait) + 1)})
        quota.spent.append(now)

    def remaining(self, tenant: str) -> dict[str, str]:
        """The headers that tell how much is left."""
        spent = self._quotas.get(tenant, Quota()).spent
        recent = [at for at in spent if self.clock() - at < timedelta(minutes=1)]
        return {
            "x-minlimit-remaining": str(max(0, (self.minute or 60) - len(recent))),
            "x-daylimit-remaining": str(max(0, (self.day or 5_000) - len(spent))),
            "x-appminlimit-remaining": str(10_000 - len(recent)),
        }

    def once(self, request: Request, raw: bytes, act: Callable[[], Response]) -> Response:
        """With an Idempotency-Key the first answer is given again (spec)."""
        key = request.headers.get("idempotency-key", "")
        if len(key) > 128:
            raise BadQuery("The Idempotency-Key cannot exceed 128 characters")
        what = hashlib.sha256(f"{request.method} {request.url.path}".encode() + raw).hexdigest()
        until, before, answer = self._remembered.get(key, (self.clock(), what, None))
        if key and not self.forgets and answer is not None and until > self.clock():
            if before != what:
                raise BadQuery("This Idempotency-Key was used for another request")
            return answer
        made = act()
        self._remembered[key] = (self.clock() + REMEMBERED, what, made)
        return made


# --- answers ---------------------------------------------------------------------------------------------------------


def _problem(status: int, title: str, detail: str) -> dict[str, Any]:
    """The shape of what is refused before it reaches the API proper (K)."""
    return {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": secrets.token_hex(8)}


def _xml(name: str, value: Any) -> str:
    """What comes to those who do not ask for JSON (note: Accept)."""
    if isinstance(value, Mapping):
        inner = "".join(_xml(key, each) for key, each in value.items())
    elif isinstance(value, list):
        inner = "".join(_xml(name.removesuffix("s"), each) for each in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


# --- the app ---------------------------------------------------------------------------------------------------------


def _app(box: XeroSandbox) -> FastAPI:
    app = FastAPI(title="Xero sandbox", openapi_url=None)
    for method, path, scopes, act in ENDPOINTS:
        app.add_api_route("/api.xro/2.0" + path, _handler(box, scopes, act), methods=[method], response_model=None)
    _add_login(app, box)
    return app


def _handler(box: XeroSandbox, scopes: Sequence[str], act: Act) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        raw = await request.body()
        with box.lock:
            try:
                books = box.admit(request, scopes)
                body = json.loads(raw) if raw else {}
                return box.once(request, raw, lambda: _answer(box, request, books, act(books, request, body)))
            except Exception as error:  # what it is not known to answer to is a fault of the sandbox
                answer = _refusal(error)
                if answer is None:
                    raise
                return answer

    return handle


def _answer(box: XeroSandbox, request: Request, books: Books, body: Mapping[str, Any] | None) -> Response:
    headers = box.remaining(books.tenant)
    if body is None:
        return Response(None, 204, headers)
    envelope = {"Id": secrets.token_hex(16), "Status": "OK", "ProviderName": "Sandbox", "DateTimeUTC": books.now()}
    if "application/json" not in request.headers.get("accept", ""):
        return Response(_xml("Response", {**envelope, **body}), 200, headers, media_type="text/xml")
    return JSONResponse({**envelope, **body}, 200, headers)


def _refusal(error: Exception) -> Response | None:
    if isinstance(error, Problem):
        made = Response("") if error.body is None else JSONResponse(error.body)
        made.status_code = error.status
        made.headers.update(error.headers)
        return made
    if isinstance(error, NoSuchThing):
        return Response("", 404, media_type="text/html")
    if isinstance(error, BadQuery):
        return JSONResponse({"ErrorNumber": 16, "Type": "QueryParseException", "Message": str(error)}, 400)
    if isinstance(error, Invalid):
        words = {"Type": "ValidationException", "Message": "A validation exception occurred"}
        return JSONResponse({"ErrorNumber": 10, **words, "Elements": error.rows}, 400)
    return None


def _add_login(app: FastAPI, box: XeroSandbox) -> None:
    """The authorization server, and which organisations a consent covers (note: Auth)."""

    app.router.routes.extend(box.login.routes("/identity/connect/authorize", "/connect/token", box.lock))

    @app.get("/connections")
    def connections(request: Request) -> Response:
        with box.lock:
            user = box.login.user_of(request.headers.get("authorization", ""))
            if user is None:
                return JSONResponse(_problem(401, "Unauthorized", "TokenExpired"), 401)
            return JSONResponse(
                [
                    {
                        "id": hashlib.md5(books.tenant.encode(), usedforsecurity=False).hexdigest(),
                        "tenantId": books.tenant,
                        "tenantType": "ORGANISATION",
                        "tenantName": books.name,
                    }
                    for books in box.organisations.values()
                    if user == OWNER
                ]
            )


def create(**options: Any) -> XeroSandbox:
    """Some organisations; the options are those of `XeroSandbox`."""
    return XeroSandbox(**options)
