"""The Marketing API 3.0: one method an endpoint, and what its answers mean.

Requests go out one after another, so that of the ten connections that Mailchimp allows a user over all apps one is ours
(mailchimp note 1). There is no rate to keep and no header that tells of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from connectors import http
from connectors.contract import Context, OAuth, Settings, web_address
from connectors.errors import Error, Unauthorised, Uncertain
from connectors.http import BasicAuth, Http, Response
from connectors.mailchimp.answers import RENEW, NoAudience, as_json, react
from connectors.mailchimp.layout import OFF, TARGETS
from connectors.oauth import AGAIN

PAGE: Final = 1000
"""Most rows of a page (note 1)."""
TIMEOUT: Final = 125.0
"""Seconds; Mailchimp ends a call after 120 (note 1)."""
FIELDS: Final = (
    "id",
    "contact_id",
    "email_address",
    "status",
    "merge_fields",
    "interests",
    "tags",
    "tags_count",
    "last_changed",
    "timestamp_opt",
    "timestamp_signup",
    "ip_opt",
    "ip_signup",
    "source",
    "unsubscribe_reason",
    "sms_phone_number",
    "sms_subscription_status",
    "sms_subscription_last_updated",
)
"""What we read of a member; `_links` never (note 1)."""
LIGHT: Final = FIELDS[: FIELDS.index("last_changed") + 1]
"""What tells that a member is there, and in which state."""

# Addresses: note 1. No scopes; a token lives until it is revoked, so there is nothing to refresh.
OAUTH: Final = OAuth(
    title="Mailchimp",
    auth_uri="https://login.mailchimp.com/oauth2/authorize",
    token_uri="https://login.mailchimp.com/oauth2/token",  # noqa: S106 an address, not a secret
    scope="",
    dead="It was revoked in the account",
    register="register an app in Mailchimp under Account, Extras, Registered apps",
    granted=lambda answer, redirect: {"access_token": str(answer.get("access_token") or "")},
)
METADATA: Final = "https://login.mailchimp.com/oauth2/metadata"


# --- settings --------------------------------------------------------------------------------------------------------


def _api_key(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if text and not re.fullmatch(r"[^\s-]+-[a-z]+\d+", text):
        raise ValueError("an API key ends with its data centre, as in …-us19; copy it whole")
    return key


def _meanings(meanings: dict[str, str]) -> dict[str, str]:
    unknown = sorted(set(meanings.values()) - {OFF, *TARGETS})
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is nothing that a merge field can hold; say one of: {', '.join(TARGETS)}, off"
        )
    return meanings


def _tag(tag: str) -> str:
    if tag and not re.fullmatch(r"[A-Z][A-Z0-9_]{0,9}", tag):
        raise ValueError("a merge field's tag has at most ten characters: capital letters, digits and _")
    return tag


class MailchimpSettings(Settings):
    """One audience.

    audience: its id (Audience, Settings, Audience name and defaults). api_key: of the account, with its data centre.
    access_token: in place of a key, what consent brought to the app `client_id`.
    merge_fields: what merge fields hold whose tag and name do not tell: {tag: one of `layout.TARGETS`, or off}.
    key_field: tag of a merge field that keeps our key, created where there is none; default: none, then new members are
        recognised by address and name. url: of the API, where it is another than the key or the token say.
    page_size: members of a page. batch_from: so many writes or reads at once go through /batches (some minutes, but
        few requests). sweep_every: hours after which all ids and tags are listed, to find what leaves no trace.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    tuning: ClassVar[frozenset[str]] = frozenset(
        {
            "auth_uri",
            "token_uri",
            "metadata_uri",
            "client_id",
            "merge_fields",
            "key_field",
            "page_size",
            "batch_from",
            "sweep_every",
        }
    )

    url: Annotated[str, web_address("Mailchimp's API, or none for your account's own", optional=True)] = ""
    audience: str = Field(min_length=1)
    api_key: Annotated[SecretStr, AfterValidator(_api_key)] = SecretStr("")
    access_token: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    auth_uri: Annotated[str, web_address("the consent page")] = OAUTH.auth_uri
    token_uri: Annotated[str, web_address("what gives out tokens")] = OAUTH.token_uri
    metadata_uri: Annotated[str, web_address("what tells of an account")] = METADATA
    merge_fields: Annotated[dict[str, str], AfterValidator(_meanings)] = Field(default_factory=dict)
    key_field: Annotated[str, AfterValidator(_tag)] = ""
    page_size: int = Field(default=PAGE, ge=1, le=PAGE)
    batch_from: int = Field(default=50, ge=2)
    sweep_every: float = Field(default=24.0, gt=0)


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One request, which may go out alone or in a batch. path: below /3.0. repeatable: has the same effect twice."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    repeatable: bool = True


def subscriber_hash(address: str) -> str:
    """The name of a member by its address: MD5 of its small letters (note 2)."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


_endpoints: dict[str, str] = {}
"""What the metadata endpoint said, by a digest of the token: it does not change."""


class Client:
    """The endpoints. All of them raise errors by reaction (`RULES`)."""

    def __init__(self, settings: MailchimpSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._list = f"/lists/{quote(settings.audience, safe='')}"
        self._wire: Http | None = None
        # What has an address of its own: the metadata of a token, result files.
        self._files = Http(settings.metadata_uri, context, timeout=TIMEOUT)
        self.response: Response | None = None

    def close(self) -> None:
        self._files.close()
        if self._wire:
            self._wire.close()

    # operations: sent alone by `send`, or many by `batches.send_all`

    def member(self, name: str) -> Operation:
        """One member in full. name: its contact id or the hash of its address."""
        return Operation("GET", self._member(name), {"fields": ",".join(FIELDS)})

    def patch(self, name: str, body: Mapping[str, Any]) -> Operation:
        """Change what is named; merge fields and interests are merged by key. The answer is the member."""
        return Operation("PATCH", self._member(name), _LENIENT, body)

    def put(self, address: str, body: Mapping[str, Any]) -> Operation:
        """Change the member of this address, or make one. `status` brings it back from the archive."""
        return Operation("PUT", self._member(subscriber_hash(address)), _LENIENT, {"email_address": address, **body})

    def archive(self, name: str) -> Operation:
        return Operation("DELETE", self._member(name))

    def forget(self, name: str) -> Operation:
        """Delete for good: the address can never be imported again."""
        return Operation("POST", f"{self._member(name)}/actions/delete-permanent")

    def tags(self, name: str) -> Operation:
        """All tags of a member; its own `tags` are fifty at most (note 2)."""
        return Operation("GET", f"{self._member(name)}/tags", {"fields": "tags,total_items", "count": str(PAGE)})

    def tag(self, name: str, active: Sequence[str], inactive: Sequence[str]) -> Operation:
        """Give tags and take tags, without setting off automations. No answer."""
        marks = [{"name": tag, "status": "active"} for tag in active]
        marks += [{"name": tag, "status": "inactive"} for tag in inactive]
        return Operation("POST", f"{self._member(name)}/tags", body={"tags": marks, "is_syncing": True})

    def _member(self, name: str) -> str:
        return f"{self._list}/members/{quote(name, safe='')}"

    # endpoints

    def audience(self) -> Mapping[str, Any]:
        """{id, name, stats: {member_count, …}}. Raises Unauthorised where there is none, and says which there are."""
        try:
            fields = {"fields": "id,name,double_optin,stats.member_count"}
            return self._object(Operation("GET", self._list, fields))
        except NoAudience:
            answer = self._object(Operation("GET", "/lists", {"fields": "lists.id,lists.name", "count": str(PAGE)}))
            there = ", ".join(f"{entry['id']} ({entry['name']})" for entry in answer.get("lists") or ()) or "none"
            words = f"this account has no audience {self._settings.audience!r}; it has: {there}"
            raise NoAudience(words) from None

    def members(self, fields: Sequence[str], **params: str) -> Mapping[str, Any]:
        """A page of members: {members, total_items}."""
        wanted = ",".join([*(f"members.{name}" for name in fields), "total_items"])
        return self._object(Operation("GET", f"{self._list}/members", {"fields": wanted, **params}))

    def merge_fields(self) -> list[Mapping[str, Any]]:
        """The audience's merge fields, but for the address itself."""
        params = {"count": str(PAGE), "exclude_fields": "_links,merge_fields._links"}
        return list(self._rows(Operation("GET", f"{self._list}/merge-fields", params), "merge_fields"))

    def add_merge_field(self, tag: str, name: str) -> None:
        """Make a merge field of type text that no form shows."""
        body = {"tag": tag, "name": name, "type": "text", "public": False}
        self.send(Operation("POST", f"{self._list}/merge-fields", body=body, repeatable=False))

    def interests(self) -> dict[str, str]:
        """{id: "Category: Name"} of all interests."""
        path = f"{self._list}/interest-categories"
        wanted = {"fields": "categories.id,categories.title", "count": str(PAGE)}
        found: dict[str, str] = {}
        for category in self._rows(Operation("GET", path, wanted), "categories"):
            inner = Operation(
                "GET",
                f"{path}/{category['id']}/interests",
                {"fields": "interests.id,interests.name", "count": str(PAGE)},
            )
            for interest in self._rows(inner, "interests"):
                found[str(interest["id"])] = f"{category['title']}: {interest['name']}"
        return found

    def create(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Make at most 500 members: {new_members, errors: [{email_address, error, error_code, …}]}. Who is one already
        is left as they are. Never sent twice."""
        body = {"members": list(rows), "update_existing": False, "sync_tags": False}
        return self._object(Operation("POST", self._list, _LENIENT, body, repeatable=False))

    def start_batch(self, operations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Hand in operations: {id, status, …}."""
        return self._object(Operation("POST", "/batches", body={"operations": list(operations)}, repeatable=False))

    def batch(self, name: str) -> Mapping[str, Any]:
        """How far a batch is: {status, response_body_url, …}."""
        params = {"fields": "id,status,total_operations,finished_operations,errored_operations,response_body_url"}
        return self._object(Operation("GET", f"/batches/{quote(name, safe='')}", params))

    def result(self, url: str) -> bytes:
        """The file with a batch's results. Its address is its own key: ours is not sent there (note 4)."""
        return self._files.request("GET", url).content

    # the way out

    def send(self, operation: Operation) -> Any:
        """The answer's JSON; None where there is no content."""
        self.response = self._http().request(
            operation.method,
            operation.path.lstrip("/"),
            params=operation.params or None,
            json=operation.body,
            repeatable=operation.repeatable,
        )
        return as_json(self.response)

    def _object(self, operation: Operation) -> Mapping[str, Any]:
        answer = self.send(operation)
        if not isinstance(answer, Mapping):
            raise Uncertain("Mailchimp did not answer with an object")
        return answer

    def _rows(self, operation: Operation, name: str) -> Iterator[Mapping[str, Any]]:
        yield from self._object(operation).get(name) or ()

    def _http(self) -> Http:
        if self._wire is None:
            settings = self._settings
            key, token = settings.api_key.get_secret_value(), settings.access_token.get_secret_value()
            if not key and not token:
                raise Unauthorised(f"neither an API key nor access was given to Mailchimp yet; {RENEW}")
            url = settings.url or (self._endpoint(token) if token else _of_key(key))
            self._wire = Http(
                url.rstrip("/") + "/",
                self._context,
                react=react,
                headers={"authorization": f"Bearer {token}"} if token else None,
                auth=None if token else BasicAuth("concord", key),
                timeout=TIMEOUT,
            )
        return self._wire

    def _endpoint(self, token: str) -> str:
        """Where the API of a token's account is (note 1)."""
        key = hashlib.sha256(token.encode()).hexdigest()
        if key not in _endpoints:
            headers = {"authorization": f"OAuth {token}", "accept": "application/json"}
            response = self._files.request("GET", self._settings.metadata_uri, headers=headers, react=_of_metadata)
            _endpoints[key] = f"{as_json(response)['api_endpoint']}/3.0"  # type: ignore[index]
        return _endpoints[key]


_LENIENT: Final = {"skip_merge_validation": "true"}
"""A member may lack what the audience's forms require (note 2)."""


def _of_key(key: str) -> str:
    """The data centre is what follows the dash of an API key (note 1)."""
    return f"https://{key.rpartition('-')[2]}.api.mailchimp.com/3.0"


def _of_metadata(response: Response) -> Error | None:
    body = as_json(response)
    if response.status_code in (400, 401, 403) or (isinstance(body, Mapping) and body.get("error")):
        return Unauthorised(f"Mailchimp does not take the access token; {AGAIN}")
    if response.status_code >= 300:
        return http.react(response) or Uncertain("Mailchimp's metadata endpoint sent us elsewhere")
    if not isinstance(body, Mapping) or not str(body.get("api_endpoint") or "").startswith("http"):
        return Uncertain("Mailchimp's metadata endpoint did not say where the account is")
    return None
