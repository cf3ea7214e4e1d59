"""The Accounting API 2.0, one method an endpoint, and Xero's authorization server (accounting note A)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import quote
from uuid import UUID

from pydantic import Field, SecretStr

from connectors.contract import Context, OAuth, Settings, web_address
from connectors.errors import Error, Missing, Refused, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.http import Http, Response, react, retry_after, server_time
from connectors.oauth import AGAIN, Grant

CONTACTS: Final = "accounting.contacts"
SALES: Final = frozenset(
    {"accounting.invoices.read", "accounting.invoices", "accounting.transactions.read", "accounting.transactions"}
)
"""The scopes that let invoices and credit notes be read; the broad ones are not given to apps made after 2 March 2026
(accounting note A)."""
OAUTH: Final = OAuth(
    title="Xero",
    auth_uri="https://login.xero.com/identity/connect/authorize",
    token_uri="https://identity.xero.com/connect/token",  # noqa: S106 an address, not a secret
    scope=f"offline_access {CONTACTS} accounting.invoices.read",
    basic=True,
    required=CONTACTS,
    dead="It was not used for 60 days, its app was disconnected in Xero, or another copy of it was renewed",
    register="make a Web app under developer.xero.com, My Apps",
)

MOST_ROWS: Final = 50
"""Contacts in one request, read by id or written (accounting note A); the ids of 50 keep an address under 2,048
characters, where Xero's kind of server ends."""
WAITS: Final[Mapping[str, float]] = {"minute": 60.0, "appminute": 60.0, "concurrent": 2.0, "day": 3600.0}
"""Seconds to wait by X-Rate-Limit-Problem, where Retry-After does not say."""
NAME_TAKEN: Final = "already assigned to another contact"
ARCHIVED: Final = "matched an archived contact"
"""Xero's words for a name that is not unique, and for a write to an archived contact."""

Row = Mapping[str, Any]
Listing = Literal["Contacts", "Invoices", "CreditNotes"]


class XeroSettings(Settings):
    """One organisation in Xero.

    client_id, client_secret: of a Web app under developer.xero.com. refresh_token: what consent brought.
    tenant: the organisation, by its id or its name; needed where the consent covers several. The id spares a request
    with each run.
    nameless: what a contact without first and last name is: an organisation, or a person (sole traders).
    rate: most requests a second (Xero allows 60 a minute). page_size: contacts or invoices a page.
    full_every: hours after which everything is read again, for what leaves no trace: who is in which group.
    """

    tuning: ClassVar[frozenset[str]] = frozenset(
        {"auth_uri", "token_uri", "client_id", "nameless", "rate", "page_size", "full_every"}
    )

    url: Annotated[str, web_address("Xero's API")] = "https://api.xero.com/"
    auth_uri: Annotated[str, web_address("the consent page")] = OAUTH.auth_uri
    token_uri: Annotated[str, web_address("what gives out tokens")] = OAUTH.token_uri
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr = SecretStr("")
    tenant: str = ""
    nameless: Literal["organization", "person"] = "organization"
    rate: float | None = Field(default=0.9, gt=0)
    page_size: int = Field(default=1000, ge=1, le=1000)
    full_every: float = Field(default=24.0, gt=0)


# --- errors ----------------------------------------------------------------------------------------------------------


class NameTaken(Refused):
    """Another active contact has this name."""


def refusal(messages: Sequence[str]) -> Error:
    """What Xero's validation messages about one contact mean."""
    said = "; ".join(messages)[:400] or "it does not say why"
    if NAME_TAKEN in said:
        return NameTaken(f"Xero refused it: {said}")
    if ARCHIVED in said:
        return Missing(f"the contact is archived in Xero: {said}")
    return Refused(f"Xero refused it: {said}")


def messages(element: Row) -> list[str]:
    """The validation messages of one row; Xero's own documentation spells them in two ways."""
    errors = element.get("ValidationErrors") or ()
    return [text for error in errors if (text := str(error.get("Message") or error.get("Description") or ""))]


def xero_react(response: Response) -> Error | None:
    """What an answer means (accounting note A)."""
    status, where = response.status_code, f"{response.request.method} {response.request.url.path}"
    if status < 400:
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return (
            None if is_json or status == 204 else Uncertain(f"{where}: Xero answered with something that is not JSON")
        )
    body = _body(response)
    if status == 400:
        elements = [element for element in body.get("Elements") or () if isinstance(element, dict)]
        said = [text for element in elements for text in messages(element)]
        return refusal(said or [str(body.get("Message") or body.get("Detail") or "")])
    if status == 401:
        return Unauthorised(f"Xero refused the access token ({_detail(body)}); {AGAIN}")
    if status == 403:
        return Unauthorised(f"Xero denied access to this organisation ({_detail(body)}); {AGAIN} and choose it there")
    if status == 404:
        return Missing(f"{where}: Xero knows no such contact")
    if status == 429:
        return _throttled(response)
    if status == 503 and "offline" in response.text[:200].casefold():
        return Unreachable("this organisation is offline in Xero")
    return react(response)


def _throttled(response: Response) -> Throttled:
    problem = response.headers.get("x-rate-limit-problem", "").casefold()
    asked = retry_after(response)
    limits = {"day": "requests a day", "minute": "requests a minute", "concurrent": "requests at once"}
    words = limits.get(problem, "requests")
    return Throttled(f"Xero: too many {words}", WAITS.get(problem) if asked is None else asked)


def _body(response: Response) -> Row:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _detail(body: Row) -> str:
    return str(body.get("Detail") or body.get("Title") or "no reason given")[:200]


class _TokenRefused(Error):
    """HTTP 401 to a token that may merely have expired."""


def _unless_renewable(last: bool) -> Callable[[Response], Error | None]:
    def decide(response: Response) -> Error | None:
        if response.status_code == 401 and not last:
            return _TokenRefused("the access token was refused")
        return xero_react(response)

    return decide


# --- the endpoints ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation that the consent covers. name: "" where nobody asked."""

    id: str
    name: str = ""


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


class Client:
    """The endpoints. All of them raise errors by reaction (`xero_react`).

    day_left: requests left today as Xero last said, None: it did not. clock: Xero's time.
    """

    def __init__(self, settings: XeroSettings, context: Context) -> None:
        self._settings = settings
        # A burst of 6 and 0.9 a second are 60 in any minute.
        self._http = Http(settings.url, context, react=xero_react, rate=settings.rate, burst=6, timeout=60.0)
        self._grant = Grant(self._http, context, settings, OAUTH)
        self._told_budget = context.budget
        self._tenant: Tenant | None = None
        self.day_left: int | None = None
        self.clock: datetime | None = None

    def close(self) -> None:
        self._http.close()

    def scopes(self) -> frozenset[str]:
        """What the user granted; empty where Xero does not say."""
        return frozenset(self._grant.access()[1].split())

    # whose

    def tenants(self) -> list[Tenant]:
        """The organisations that the consent covers."""
        rows = self._send("GET", "connections", tenant=False).json()
        found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        kind = "ORGANISATION"
        return [Tenant(str(r["tenantId"]), str(r.get("tenantName", ""))) for r in found if r.get("tenantType") == kind]

    def tenant(self) -> Tenant:
        """The organisation that the settings choose. Raises Unauthorised where they do not choose one."""
        if self._tenant is None:
            given = _is_id(self._settings.tenant)
            self._tenant = Tenant(self._settings.tenant.lower()) if given else self.choose(self.tenants())
        return self._tenant

    def choose(self, tenants: Sequence[Tenant]) -> Tenant:
        """Which of these the settings mean."""
        wanted = self._settings.tenant.strip().casefold()
        there = ", ".join(f"{tenant.name} ({tenant.id})" for tenant in tenants)
        fitting = [tenant for tenant in tenants if wanted in ("", tenant.id.lower(), tenant.name.casefold())]
        if len(fitting) == 1:
            return fitting[0]
        if not tenants:
            raise Unauthorised(f"this consent covers no organisation; {AGAIN} and choose one there")
        if not fitting:
            raise Unauthorised(
                f"this consent does not cover the organisation {self._settings.tenant!r} but {there}; enter one of "
                f"them as tenant, or {AGAIN}"
            )
        raise Unauthorised(f"there are several organisations: {there}; enter the id of one of them as tenant")

    # reading

    def listing(self, name: Listing, params: Mapping[str, Any], since: str | None = None) -> Row:
        """A page of a listing: {pagination: {page, pageSize, pageCount, itemCount}, name: [...]}. Amounts are Decimal.

        since: for If-Modified-Since.
        """
        headers = {"if-modified-since": since} if since else {}
        response = self._send("GET", f"api.xro/2.0/{name}", params=params, headers=headers)
        floats = None if name == "Contacts" else Decimal
        return _has(json.loads(response.text, parse_float=floats), name, Unreachable)

    def contacts(self, ids: Sequence[str]) -> list[Row]:
        """These contacts in whole, archived ones too; at most 50. Without `page` they would come thin."""
        joined = quote(",".join(ids), safe=",")
        params = f"IDs={joined}&includeArchived=true&page=1&pageSize={MOST_ROWS}"
        return self._rows(self._send("GET", f"api.xro/2.0/Contacts?{params}"), "Contacts")

    def contact(self, number: str) -> Row | None:
        """The contact of this ContactNumber."""
        try:
            rows = self._rows(self._send("GET", f"api.xro/2.0/Contacts/{quote(number, safe='')}"), "Contacts")
        except Missing:
            return None
        return rows[0] if rows else None

    # writing

    def create(self, rows: Sequence[Row], key: str) -> list[Row]:
        """Create contacts: each as it is now, or with its ValidationErrors. Never sent twice."""
        return self._write("PUT", rows, key)

    def update(self, rows: Sequence[Row], key: str) -> list[Row]:
        """Change contacts, told by ContactID: as `create`. Repeatable: the key makes it happen once.

        Raises Missing for all where one of them never existed.
        """
        return self._write("POST", rows, key)

    def _write(self, method: str, rows: Sequence[Row], key: str) -> list[Row]:
        response = self._send(
            method,
            "api.xro/2.0/Contacts",
            params={"summarizeErrors": "false"},
            json={"Contacts": list(rows)},
            headers={"idempotency-key": key},
            repeatable=method == "POST",
        )
        return self._rows(response, "Contacts")

    def groups(self) -> list[Row]:
        """All contact groups, without their members."""
        return self._rows(self._send("GET", "api.xro/2.0/ContactGroups"), "ContactGroups")

    def create_group(self, name: str, key: str) -> list[Row]:
        """Create a contact group."""
        body = {"ContactGroups": [{"Name": name}]}
        headers = {"idempotency-key": key}
        response = self._send("PUT", "api.xro/2.0/ContactGroups", json=body, headers=headers, repeatable=False)
        return self._rows(response, "ContactGroups")

    def join(self, group: str, contacts: Sequence[str], key: str) -> None:
        """Put contacts into a group."""
        body = {"Contacts": [{"ContactID": contact} for contact in contacts]}
        path = f"api.xro/2.0/ContactGroups/{group}/Contacts"
        self._send("PUT", path, json=body, headers={"idempotency-key": key}, repeatable=True)

    def leave(self, group: str, contact: str) -> None:
        """Take a contact out of a group."""
        self._send("DELETE", f"api.xro/2.0/ContactGroups/{group}/Contacts/{contact}", repeatable=True)

    # the way out

    @staticmethod
    def _rows(response: Response, name: str) -> list[Row]:
        kind = Unreachable if response.request.method == "GET" else Uncertain
        return [row for row in _has(_body(response), name, kind)[name] if isinstance(row, dict)]

    def _send(self, method: str, path: str, *, tenant: bool = True, **options: Any) -> Response:
        """Send with our token; one that is refused is renewed once."""
        headers = {"accept": "application/json", **(options.pop("headers", None) or {})}
        if tenant:
            headers["xero-tenant-id"] = self.tenant().id
        for last in (False, True):
            token, _ = self._grant.access()
            try:
                response = self._http.request(
                    method,
                    path,
                    headers={**headers, "authorization": f"Bearer {token}"},
                    react=_unless_renewable(last),
                    **options,
                )
            except _TokenRefused:
                self._grant.refused()
                continue
            left = response.headers.get("x-daylimit-remaining", "")
            self.day_left = int(left) if left.isdigit() else self.day_left
            for window in ("day", "minute"):
                if (told := response.headers.get(f"x-{window[:3]}limit-remaining", "")).isdigit():
                    self._told_budget(window, int(told))
            self.clock = server_time(response) or self.clock
            return response
        raise AssertionError("the last attempt returns or raises")


def _has(body: Any, name: str, otherwise: type[Error]) -> Row:
    """The body, if it is a listing of that name: no answer is no empty list."""
    if not isinstance(body, dict) or not isinstance(body.get(name), list):
        raise otherwise(f"Xero's answer holds no {name}")
    return body
