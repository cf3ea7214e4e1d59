"""The People API, one method an endpoint, over google-api-python-client; requests go out through `Http`.

googleapiclient knows the protocol (addresses, parameters, their types) from the discovery document that it brings
along; timeouts, retries, the budget and counting are `Http`'s, by `Transport`, which looks like httplib2 to it.
It is imported when the first request is made: it costs half a second.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, SecretStr

from connectors.contract import Context, OAuth, Settings, web_address
from connectors.errors import CursorExpired, Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain
from connectors.http import Http, Response, react, retry_after, server_time
from connectors.oauth import AGAIN, Grant

SCOPE: Final = "https://www.googleapis.com/auth/contacts"
# Addresses, scope, causes of death: google-people note 1.
OAUTH: Final = OAuth(
    title="Google",
    auth_uri="https://accounts.google.com/o/oauth2/v2/auth",
    token_uri="https://oauth2.googleapis.com/token",  # noqa: S106 an address, not a secret
    scope=SCOPE,
    authorize={"access_type": "offline", "prompt": "consent"},
    required=SCOPE,
    dead="It was revoked, was not used for six months, or the consent screen is still in Testing, where tokens live "
    "7 days",
    register="make an OAuth client of type Desktop app",
)

CONTACT_ONLY: Final = ["READ_SOURCE_TYPE_CONTACT"]
MINUTE_QUOTA: Final = 20.0
"""Seconds to wait where a per-minute quota is spent and nobody says for how long."""
LONG_QUOTA: Final = 3600.0
"""Seconds to wait where a daily quota is spent."""
LARGEST: Final = 2048
"""Pixels asked for of a photo: without `sz` a thumbnail comes."""


class GoogleSettings(Settings):
    """One Google account.

    client_id, client_secret: an OAuth client of type "Desktop app". refresh_token: what consent brought.
    account: its address, a hint for the consent page. rate: most requests a second without photos (Google allows 90 a
    minute, note 7). page_size: contacts a listing page.
    photos: whether photos are read and written (one more request for each contact with a photo that changed).
    """

    # Another client_id needs another consent, and that finds out whose account it is.
    tuning: ClassVar[frozenset[str]] = frozenset({"auth_uri", "token_uri", "client_id", "rate", "page_size", "photos"})

    url: Annotated[str, web_address("Google's API")] = "https://people.googleapis.com/"
    auth_uri: Annotated[str, web_address("the consent page")] = OAUTH.auth_uri
    token_uri: Annotated[str, web_address("what gives out tokens")] = OAUTH.token_uri
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr = SecretStr("")
    account: str = ""
    rate: float | None = Field(default=1.5, gt=0)
    page_size: int = Field(default=1000, ge=1, le=1000)
    photos: bool = True


# --- errors -------------------------------------------------------------------------------------------------


class Rejected(Refused):
    """A refused request that tells which of its contacts it was refused for.

    items: {resource name, or position in a batch create: (status code of google.rpc.Code, message)}.
    """

    def __init__(self, message: str, items: Mapping[str, tuple[int, str]]) -> None:
        super().__init__(message)
        self.items = items


FAILED_PRECONDITION: Final = 9
"""google.rpc.Code of a stale etag."""
NOT_FOUND: Final = 5


@dataclass(frozen=True)
class Rule:
    """One row of the table of reactions: which answers it is about, and what they mean."""

    status: Sequence[int]
    sign: str
    make: Callable[[str, Response], Error]


def _throttled(wait: float) -> Callable[[str, Response], Error]:
    def make(said: str, response: Response) -> Error:
        asked = retry_after(response)
        return Throttled(f"Google's quota is spent: {said}", wait if asked is None else asked)

    return make


def _says(kind: type[Error], words: str) -> Callable[[str, Response], Error]:
    return lambda said, response: kind(f"{words} (HTTP {response.status_code}: {said})")


_NO_SCOPE: Final = f"this consent does not cover reading and writing contacts; {AGAIN} and tick the contacts"
_DISABLED: Final = (
    "the People API is not enabled for this client's Google Cloud project; enable it in the Cloud console"
)

RULES: Final = (
    Rule((400, 410), "expired_sync_token", _says(CursorExpired, "the sync token is expired")),
    Rule((400, 410), "sync token is expired", _says(CursorExpired, "the sync token is expired")),
    Rule((400, 403, 409, 412), "etag is different", _says(Stale, "the contact changed meanwhile")),
    Rule((401,), "", _says(Unauthorised, f"Google refused the access token; {AGAIN}")),
    Rule((403,), "access_token_scope_insufficient", _says(Unauthorised, _NO_SCOPE)),
    Rule((403,), "insufficient authentication scopes", _says(Unauthorised, _NO_SCOPE)),
    Rule((403,), "service_disabled", _says(Unauthorised, _DISABLED)),
    Rule((403,), "accessnotconfigured", _says(Unauthorised, _DISABLED)),
    Rule((403,), "ratelimitexceeded", _throttled(MINUTE_QUOTA)),
    Rule((403,), "", _says(Unauthorised, "Google denied access; check the account's rights")),
    Rule((404,), "", _says(Missing, "Google has no such contact")),
    Rule((429,), "resource has been exhausted", _throttled(LONG_QUOTA)),
    Rule((429,), "fbs quota limit", _throttled(LONG_QUOTA)),
    Rule((429,), "quota exceeded", _throttled(MINUTE_QUOTA)),
)
"""google-people note 7, first match counts. `sign` is looked for in the error's message, reasons and descriptions.
What matches no row is left to HTTP's own meaning: 429 backs off, 5xx is uncertain, another 4xx refused."""


def google_react(response: Response) -> Error | None:
    """What an answer of the People API means."""
    if response.status_code < 400:
        if response.headers.get("content-type", "").startswith("application/json"):
            return None
        return Uncertain("Google answered with something that is not JSON")
    error = _error(response)
    details = [detail for detail in error.get("details", ()) if isinstance(detail, dict)]
    said = str(error.get("message", ""))[:200] or "no message"
    signs = "\n".join(_signs(error, details)).casefold()
    items = _items(details)
    if response.status_code == 400 and items:
        return Rejected(f"Google refused {len(items)} of the contacts: {said}", items)
    for rule in RULES:
        if response.status_code in rule.status and rule.sign in signs:
            return rule.make(said, response)
    if 400 <= response.status_code < 429:
        return Refused(f"Google refused it (HTTP {response.status_code}): {said}")
    return react(response)


def _error(response: Response) -> Mapping[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _signs(error: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> list[str]:
    """What Google says on its own account, in all places where it may stand."""
    found = [str(error.get("message", "")), str(error.get("status", ""))]
    for detail in details:
        found.append(str(detail.get("reason", "")))
        found += [str(violation.get("description", "")) for violation in detail.get("violations", ())]
    return found + [str(inner.get("reason", "")) for inner in error.get("errors", ()) if isinstance(inner, dict)]


def _items(details: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, str]]:
    """Batch{Create,Update}ContactsErrorDetails: `contactErrors`, by position or by resource name. The discovery
    document names the messages only; their shape is as two public clients read it."""
    found: dict[str, tuple[int, str]] = {}
    for detail in details:
        if str(detail.get("@type", "")).endswith("ContactsErrorDetails"):
            for name, status in (detail.get("contactErrors") or {}).items():
                found[str(name)] = (int(status.get("code", 0)), str(status.get("message", ""))[:200])
    return found


# --- transport ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Api:
    """The collections of the People API as googleapiclient offers them. They only build requests; each is executed with
    a `Transport`. Kept, because googleapiclient makes all methods anew whenever a collection is asked for (17 ms)."""

    people: Any
    connections: Any
    groups: Any


@cache
def _api(endpoint: str) -> Api:
    from googleapiclient.discovery import build

    options = {"api_endpoint": endpoint}
    service = build("people", "v1", static_discovery=True, http=_Nothing(), client_options=options)
    people = service.people()
    return Api(people, people.connections(), service.contactGroups())


class _Nothing:
    """Stands where googleapiclient wants an HTTP client while it builds the service."""


class Transport:
    """`Http` with the face of httplib2 that googleapiclient calls."""

    def __init__(self, send: Callable[..., Response], repeatable: bool) -> None:
        self._send, self._repeatable = send, repeatable

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **unused: Any,
    ) -> tuple[Any, bytes]:
        """An answer that is not an error; errors by reaction are raised through googleapiclient."""
        import httplib2  # type: ignore[import-untyped]

        # httpx computes the length itself; googleapiclient's counts characters.
        kept = {name: value for name, value in (headers or {}).items() if name.lower() != "content-length"}
        response = self._send(method, uri, body or None, kept, self._repeatable)
        return httplib2.Response({"status": response.status_code, **response.headers}), response.content


class Client:
    """The endpoints. All of them raise errors by reaction (`RULES`). Writes must be sent one after another (note 5)."""

    def __init__(self, settings: GoogleSettings, context: Context) -> None:
        self._settings = settings
        self._http = Http(settings.url, context, react=google_react, rate=settings.rate, timeout=60.0)
        # Photos come from another host, which has no such quota.
        self._files = Http(settings.url, context, timeout=60.0)
        self._grant = Grant(self._http, context, settings, OAUTH)
        self.clock: datetime | None = None

    def close(self) -> None:
        self._http.close()
        self._files.close()

    def scopes(self) -> Sequence[str]:
        """What the user granted; empty where Google does not say."""
        return self._grant.access()[1].split()

    # reading

    def connections(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A page of the account's contacts: {connections?, nextPageToken?, nextSyncToken?, totalItems?}."""
        return self._call(lambda api: api.connections.list(resourceName="people/me", **params))

    def me(self) -> str:
        """The account, by the resource name that is its own for good (people.get of people/me, which the scope of
        contacts covers); "" where Google does not tell."""
        try:
            answer = self._call(lambda api: api.people.get(resourceName="people/me", personFields="metadata"))
        except (Missing, Refused):
            return ""
        return str(answer.get("resourceName") or "")

    def people(self, names: Sequence[str], fields: str) -> list[Mapping[str, Any]]:
        """At most 200 persons: [{requestedResourceName, httpStatusCode, person?, status?}]."""
        answer = self._call(
            lambda api: api.people.getBatchGet(resourceNames=list(names), personFields=fields, sources=CONTACT_ONLY)
        )
        return list(answer.get("responses", ()))

    def groups(self, page_token: str | None, sync_token: str | None) -> Mapping[str, Any]:
        """A page of the contact groups: {contactGroups?, nextPageToken?, nextSyncToken?}."""
        return self._call(lambda api: api.groups.list(pageSize=1000, pageToken=page_token, syncToken=sync_token))

    def members(self, group: str, most: int) -> list[str]:
        """The resource names of a group's members."""
        answer = self._call(lambda api: api.groups.get(resourceName=group, maxMembers=most))
        return list(answer.get("memberResourceNames", ()))

    def photo(self, url: str) -> tuple[bytes, str]:
        """(bytes, media type) of a photo as large as it is kept. Public: sent without our token."""
        address = f"{url}{'&' if '?' in url else '?'}sz={LARGEST}"
        response = self._files.request("GET", address)
        return response.content, response.headers.get("content-type", "").partition(";")[0].strip()

    # writing

    def create(self, people: Sequence[Mapping[str, Any]], fields: str) -> list[Mapping[str, Any]]:
        """Create at most 200 contacts: [{httpStatusCode, person, …}] in order. Never sent twice: Google knows no
        duplicates."""
        body = {
            "contacts": [{"contactPerson": person} for person in people],
            "readMask": fields,
            "sources": CONTACT_ONLY,
        }
        answer = self._call(lambda api: api.people.batchCreateContacts(body=body), repeatable=False)
        return list(answer.get("createdPeople", ()))

    def create_one(self, person: Mapping[str, Any], fields: str) -> Mapping[str, Any]:
        """Create one contact: the person. A refusal of this request means that there is none. Never sent twice."""
        return self._call(
            lambda api: api.people.createContact(body=person, personFields=fields, sources=CONTACT_ONLY),
            repeatable=False,
        )

    def update(self, people: Mapping[str, Mapping[str, Any]], mask: str, fields: str) -> Mapping[str, Any]:
        """Replace the lists of `mask` in at most 200 contacts, {resource name: person with its source and etag}:
        {resource name: {person, …}}. Conditional, hence repeatable: one that meets its own effect is stale.
        """
        body = {"contacts": people, "updateMask": mask, "readMask": fields, "sources": CONTACT_ONLY}
        answer = self._call(lambda api: api.people.batchUpdateContacts(body=body))
        found: Mapping[str, Any] = answer.get("updateResult", {})
        return found

    def delete(self, names: Sequence[str]) -> None:
        """Delete at most 500 contacts. Not conditional."""
        self._call(lambda api: api.people.batchDeleteContacts(body={"resourceNames": list(names)}))

    def put_photo(self, name: str, data: bytes, fields: str) -> Mapping[str, Any]:
        """Give a contact this JPEG or PNG: the person. Not conditional."""
        body = {
            "photoBytes": base64.b64encode(data).decode(),
            "personFields": fields,
            "sources": CONTACT_ONLY,
        }
        answer = self._call(lambda api: api.people.updateContactPhoto(resourceName=name, body=body))
        found: Mapping[str, Any] = answer["person"]
        return found

    def drop_photo(self, name: str, fields: str) -> Mapping[str, Any]:
        """Take a contact's photo away: the person."""
        answer = self._call(
            lambda api: api.people.deleteContactPhoto(resourceName=name, personFields=fields, sources=CONTACT_ONLY)
        )
        found: Mapping[str, Any] = answer["person"]
        return found

    def create_group(self, name: str) -> Mapping[str, Any]:
        """Create a contact group. Raises Refused where there is one of that name: names are unique (HTTP 409)."""
        return self._call(lambda api: api.groups.create(body={"contactGroup": {"name": name}}))

    # the way out

    def _call(self, make: Callable[[Api], Any], repeatable: bool = True) -> Mapping[str, Any]:
        request = make(_api(self._settings.url.rstrip("/") + "/"))
        answer: Mapping[str, Any] = request.execute(http=Transport(self._send, repeatable), num_retries=0)
        return answer

    def _send(
        self, method: str, uri: str, body: str | bytes | None, headers: Mapping[str, str], repeatable: bool
    ) -> Response:
        """Send with our token; one that is refused is renewed once (note 1)."""
        for last in (False, True):
            token, _ = self._grant.access()
            try:
                response = self._http.request(
                    method,
                    uri,
                    content=body,
                    headers={**headers, "authorization": f"Bearer {token}"},
                    repeatable=repeatable,
                    react=_unless_renewable(last),
                )
            except _TokenRefused:
                self._grant.refused()
                continue
            self.clock = server_time(response)
            return response
        raise AssertionError("the last attempt returns or raises")


class _TokenRefused(Error):
    """HTTP 401 to a token that may merely have expired."""


def _unless_renewable(last: bool) -> Callable[[Response], Error | None]:
    def decide(response: Response) -> Error | None:
        if response.status_code == 401 and not last:
            return _TokenRefused("the access token was refused")
        return google_react(response)

    return decide
