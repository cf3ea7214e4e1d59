"""The accounting API of QuickBooks Online, one method an endpoint.

"note" is the accounting note, part B. Amounts are parsed as Decimal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.contract import Context, OAuth, Settings, web_address
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain
from connectors.http import Http, Response, react, retry_after
from connectors.oauth import AGAIN, Grant

Row = Mapping[str, Any]
Entity = Literal["Customer", "Vendor"]

PRODUCTION: Final = "https://quickbooks.api.intuit.com"
SANDBOX: Final = "https://sandbox-quickbooks.api.intuit.com"
MINOR_VERSION: Final = "75"
"""The oldest that is still served (note)."""
PAGE: Final = 1000
"""Most objects that a query, or all of a CDC answer, gives (note)."""
BATCH: Final = 30
"""Most items of a batch (note)."""
BATCH_SHARE: Final = 40 / 500
"""Batches a minute, of all requests a minute (note)."""
MINUTE: Final = 60.0
"""Seconds to wait where a quota of a minute is spent and nobody says for how long."""


def _granted(answer: Mapping[str, Any], redirect: Mapping[str, str]) -> Mapping[str, str]:
    """The company's number comes with the redirect, not with the tokens (note). Where only the code was pasted it must
    stand in the settings already."""
    realm = redirect.get("realmId")
    return {"refresh_token": str(answer.get("refresh_token") or ""), **({"realm_id": realm} if realm else {})}


OAUTH: Final = OAuth(
    title="QuickBooks",
    auth_uri="https://appcenter.intuit.com/connect/oauth2",
    token_uri="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106 an address, not a secret
    scope="com.intuit.quickbooks.accounting",
    basic=True,
    dead="It was revoked, was not used for 100 days, or is five years old",
    register="make an app with the accounting scope at developer.intuit.com and enter its redirect address there",
    granted=_granted,
)


def _bare(url: str) -> str:
    return url.rstrip("/")


class QuickBooksSettings(Settings):
    """One company in QuickBooks Online.

    realm_id: the company's number; consent brings it. client_id, client_secret: of your app at developer.intuit.com.
    refresh_token: what consent brought; QuickBooks changes it about every day, and each new one is stored.
    sandbox: the company is one of Intuit's sandbox companies. url: another address of the API.
    entities: which records are contacts. create_as: what a new contact becomes.
    full_every: hours after which everything is listed again, to find what leaves no trace (merged records).
    rate: most requests a second; QuickBooks allows 500 a minute.
    """

    tuning: ClassVar[frozenset[str]] = frozenset(
        {"auth_uri", "token_uri", "client_id", "create_as", "full_every", "rate"}
    )

    realm_id: str = ""
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr = SecretStr("")
    sandbox: bool = False
    url: Annotated[
        str, web_address("QuickBooks' API, or none for Intuit's own", optional=True), AfterValidator(_bare)
    ] = ""
    auth_uri: Annotated[str, web_address("the consent page")] = OAUTH.auth_uri
    token_uri: Annotated[str, web_address("what gives out tokens")] = OAUTH.token_uri
    entities: tuple[Entity, ...] = ("Customer", "Vendor")
    create_as: Entity = "Customer"
    full_every: float = Field(default=24.0, gt=0)
    rate: float | None = Field(default=8.0, gt=0)

    @model_validator(mode="after")
    def _what_is_created_is_read(self) -> QuickBooksSettings:
        if len(set(self.entities)) != len(self.entities) or not self.entities:
            raise ValueError("entities: name Customer, Vendor, or both, each once")
        if self.create_as not in self.entities:
            raise ValueError(f"create_as: {self.create_as} must be among the entities, else what is made is never read")
        return self

    @property
    def base(self) -> str:
        """Where the API is."""
        return self.url or (SANDBOX if self.sandbox else PRODUCTION)


# --- errors ----------------------------------------------------------------------------------------------------------


class NameTaken(Refused):
    """Another customer, vendor or employee has this DisplayName."""


class Inactive(Missing):
    """What is written to, or referred to, is not there or was made inactive."""


CODES: Final[Mapping[str, tuple[type[Error], str]]] = {
    "5010": (Stale, "the record was changed in QuickBooks meanwhile"),
    "6240": (NameTaken, "another customer, vendor or employee has this name"),
    "610": (Inactive, "it is not in QuickBooks, or was made inactive"),
    "3001": (Throttled, "QuickBooks takes no more requests for a minute"),
    "3200": (Unauthorised, f"QuickBooks refused the access token; {AGAIN}"),
    "3100": (Unauthorised, f"this consent is not for this company; check realm_id, or {AGAIN}"),
    "120": (Unauthorised, f"the user who consented may not do this in QuickBooks; {AGAIN} as an administrator"),
    "6000": (Refused, "QuickBooks refused it by a rule of the business"),
    "10000": (Uncertain, "QuickBooks failed"),
}
"""What the codes of a Fault mean (note, "Fault"); 3100, 3200 and 10000 are general knowledge. Codes are written with
leading zeros in places ("003200"). Any other code is a refusal of that record."""


def fault_of(body: Any) -> Row | None:
    """The Fault in an answer or in an item of one. Some come with HTTP 200; that of HTTP 401 has lower-case names."""
    if not isinstance(body, Mapping):
        return None
    found = body.get("Fault") or body.get("fault")
    return found if isinstance(found, Mapping) else None


def error_of(fault: Row, trace: str = "") -> Error:
    """What a Fault asks us to do. trace: `intuit_tid`, by which Intuit's support finds the request."""
    errors = fault.get("Error") or fault.get("error") or [{}]
    first: Row = errors[0] if isinstance(errors, Sequence) and isinstance(errors[0], Mapping) else {}
    named = {str(name).lower(): value for name, value in first.items()}
    code = str(named.get("code") or "").lstrip("0")
    detail = " ".join(str(named.get("detail") or named.get("message") or "no detail").split())[:300]
    kind, words = CODES.get(code, (Refused, "QuickBooks refused it"))
    element = f", {named['element']}" if named.get("element") else ""
    text = f"{words} ({code or 'no code'}{element}: {detail}{trace})"
    return Throttled(text, MINUTE) if kind is Throttled else kind(text)


def quickbooks_react(response: Response) -> Error | None:
    """What an answer of the API means."""
    body = _json(response)
    trace = response.headers.get("intuit_tid", "")
    trace = f"; intuit_tid {trace}" if trace else ""
    fault = fault_of(body)
    if response.status_code == 429:
        wait = retry_after(response)
        return Throttled(f"QuickBooks takes no more requests for now{trace}", MINUTE if wait is None else wait)
    if fault and response.status_code < 500:
        error = error_of(fault, trace)
        if response.status_code in (401, 403) and not isinstance(error, Unauthorised):
            return Unauthorised(f"QuickBooks denied access; {AGAIN} ({error})")
        return error
    if response.status_code < 400:
        return (
            None if isinstance(body, dict) else Uncertain(f"QuickBooks answered with something else than JSON{trace}")
        )
    error = react(response) or Uncertain("QuickBooks failed")
    if isinstance(error, Throttled):
        return error
    return type(error)(f"{error}{trace}")


def _json(response: Response) -> Any:
    """The answer with amounts as Decimal; None where it is no JSON."""
    try:
        return json.loads(response.content, parse_float=Decimal)
    except ValueError:
        return None


# --- the endpoints ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """One operation of a batch. name: its `bId`, at most 10 characters (quickbooks-ruby pull request 344)."""

    name: str
    operation: Literal["create", "update"]
    entity: str
    body: Row


class Client:
    """The endpoints. All of them raise errors by reaction (`CODES`)."""

    def __init__(self, settings: QuickBooksSettings, context: Context) -> None:
        self.realm = settings.realm_id
        rate = settings.rate
        self._http = Http(settings.base, context, react=quickbooks_react, rate=rate, burst=40, timeout=60.0)
        # Batches have a quota of their own.
        share = rate and rate * BATCH_SHARE
        self._batches = Http(settings.base, context, react=quickbooks_react, rate=share, burst=20, timeout=120.0)
        self._grant = Grant(self._http, context, settings, OAUTH)
        self.clock: datetime | None = None

    def close(self) -> None:
        self._http.close()
        self._batches.close()

    def query(self, statement: str) -> Row:
        """The QueryResponse of a select statement: {entity: rows, startPosition, maxResults, totalCount?}; {} for
        nothing. Sent as a body, for there are addresses too long for servers."""
        answer = self._send("POST", "query", content=statement, kind="application/text", repeatable=True)
        found: Row = answer.get("QueryResponse") or {}
        return found

    def rows(self, entity: str, where: str, rest: str = "") -> list[Row]:
        """The rows of an entity that match, one page."""
        found: list[Row] = self.query(f"select * from {entity} where {where}{rest} maxresults {PAGE}").get(entity, [])
        return found

    def count(self, entity: str) -> int:
        """How many active ones there are."""
        return int(self.query(f"select count(*) from {entity}").get("totalCount") or 0)

    def changed(self, entities: Sequence[str], since: datetime) -> dict[str, list[Row]]:
        """What changed since, by entity, deleted ones as {"status": "Deleted", "Id"}. At `PAGE` rows in all some are
        missing, and nobody says which (note, "CDC")."""
        params = {"entities": ",".join(entities), "changedSince": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        answer = self._send("GET", "cdc", params=params)
        found: dict[str, list[Row]] = {entity: [] for entity in entities}
        for response in answer.get("CDCResponse") or ():
            fault = fault_of(response)
            if fault:
                raise error_of(fault)
            for part in response.get("QueryResponse") or ():
                for entity in entities:
                    found[entity] += part.get(entity) or []
        return found

    def save(self, item: Item, request: str) -> Row:
        """Create or update one: the whole record. request: a second POST of this name gives the first one's answer."""
        answer = self._send(
            "POST", item.entity.lower(), params={"requestid": request}, content=json.dumps(item.body), repeatable=False
        )
        row = answer.get(item.entity)
        if not isinstance(row, Mapping) or "Id" not in row:
            raise Uncertain("QuickBooks did not say what became of this record")
        return row

    def batch(self, items: Sequence[Item], request: str) -> dict[str, Row | Error]:
        """At most `BATCH` operations, each by itself: {name: the whole record, or why it was refused}. They come in any
        order, and are worked off in any order (note, "Batch")."""
        body = [{"bId": item.name, "operation": item.operation, item.entity: item.body} for item in items]
        content = json.dumps({"BatchItemRequest": body})
        answer = self._send(
            "POST", "batch", params={"requestid": request}, content=content, repeatable=False, http=self._batches
        )
        entities = {item.name: item.entity for item in items}
        found: dict[str, Row | Error] = {}
        for said in answer.get("BatchItemResponse") or ():
            name = str(said.get("bId"))
            fault = fault_of(said)
            row = said.get(entities.get(name, ""))
            if fault:
                found[name] = error_of(fault)
            elif isinstance(row, Mapping) and "Id" in row:
                found[name] = row
        lost = Uncertain("QuickBooks did not say what became of this record")
        return {item.name: found.get(item.name, lost) for item in items}

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: str | None = None,
        kind: str = "application/json",
        repeatable: bool | None = None,
        http: Http | None = None,
    ) -> Row:
        """Send with our token; one that is refused is renewed once."""
        if not self.realm:
            raise Unauthorised(f"nobody has said which company this is about (realm_id); {AGAIN}")
        for last in (False, True):
            token, _ = self._grant.access()
            headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
            try:
                response = (http or self._http).request(
                    method,
                    f"/v3/company/{quote(self.realm, safe='')}/{path}",
                    params={**(params or {}), "minorversion": MINOR_VERSION},
                    content=None if content is None else content.encode(),
                    headers={**headers, "content-type": kind} if content is not None else headers,
                    repeatable=repeatable,
                    react=_unless_renewable(last),
                )
            except _TokenRefused:
                self._grant.refused()
                continue
            answer: Row = _json(response)
            self.clock = moment(answer.get("time")) or self.clock
            return answer
        raise AssertionError("the last attempt returns or raises")


class _TokenRefused(Error):
    """HTTP 401 to a token that may merely have expired."""


def _unless_renewable(last: bool) -> Callable[[Response], Error | None]:
    def decide(response: Response) -> Error | None:
        if response.status_code == 401 and not last:
            return _TokenRefused("the access token was refused")
        return quickbooks_react(response)

    return decide


def moment(text: Any) -> datetime | None:
    """A time as QuickBooks writes it ("2026-01-01T10:00:00-08:00"), aware; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None


def quoted(text: str) -> str:
    r"""A text in a select statement; an apostrophe is written \' (note, "Query")."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def listed(texts: Sequence[str]) -> str:
    """Several texts, for `in`."""
    return f"({', '.join(map(quoted, texts))})"
