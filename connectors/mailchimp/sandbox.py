"""The Marketing API 3.0 in a box: an account with one audience, batches, webhooks and OAuth2, with the vendor's warts.

Rules cite the sections of the mailchimp note in parentheses; K marks what it calls unconfirmed, which is switchable
(`audience.Rules`, `account.Manner`). What people do in Mailchimp's own pages is done through `audience`, `seed` and
`edit`. Campaigns, reports, e-commerce and search are not here: the connector has no use for them. A new webhook's URL
is not asked whether it answers (6).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.authserver import AuthServer, Token
from connectors.mailchimp.account import Account
from connectors.mailchimp.audience import Problem
from connectors.sandbox import Faults, Hostile

API_KEY: Final = "0123456789abcdef0123456789abcdef-us19"
CONNECTIONS: Final = 10
"""Requests at a time of one user (1)."""
OWNER: Final = "owner"
"""Whose account this is; anybody else's has other audiences."""


@dataclass(frozen=True)
class Delivery:
    """A webhook as it is sent: form-encoded, signed where a secret was agreed on (6)."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class MailchimpSandbox(Account):
    """The account behind HTTP. The options are those of `Account`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults = Faults()
        self.bodyless_403 = 0
        """So many requests more are answered with HTTP 403 without a body (1)."""
        self.busiest = 0
        """The most requests that were served at a time."""
        self._serving = 0
        self._told = 0
        self.oauth = Authorization()
        self.app: ASGIApp = Hostile(_app(self), self.faults)

    def settings(self, url: str) -> dict[str, Any]:
        return {"url": f"{url}/3.0", "audience": self.audience.id, "api_key": API_KEY}

    def consented(self, url: str) -> dict[str, Any]:
        """Settings with access by OAuth2; `access_token` is what consent brings."""
        return {
            "audience": self.audience.id,
            "client_id": self.oauth.client_id,
            "client_secret": self.oauth.client_secret,
            "access_token": self.oauth.grant(),
            "auth_uri": f"{url}/oauth2/authorize",
            "token_uri": f"{url}/oauth2/token",
            "metadata_uri": f"{url}/oauth2/metadata",
        }

    # --- what humans do at the screen --------------------------------------------------------------------------------

    def seed(self, people: Iterable[Mapping[str, Any]]) -> list[str]:
        """Make members, as an import does: whatever is given stands there. Returns their contact ids."""
        made = []
        with self.lock:
            for person in people:
                merge = dict(person.get("merge_fields") or {})
                given = {"status": "subscribed", **person, "merge_fields": {}}
                member = self.audience.add(given, lenient=True, source="admin")
                member.merge.update(merge)
                member.facts["source"] = str(person.get("source", "Import"))
                self.audience._touch(member)
                made.append(member.contact_id)
        return made

    def edit(self, name: str, **given: Any) -> None:
        """An admin changes a member: merge fields by tag, or `email_address`, `status`, `interests`."""
        with self.lock:
            body: dict[str, Any] = {key: value for key, value in given.items() if key.islower()}
            if merge := {key: value for key, value in given.items() if key.isupper()}:
                body["merge_fields"] = merge
            self.audience.change(self.audience.find(name), body, lenient=True, source="admin")

    def member(self, name: str) -> dict[str, Any]:
        """A member's JSON, by address, hash or contact id."""
        with self.lock:
            return self.audience.show(self.audience.find(name))

    # --- webhooks (6) ------------------------------------------------------------------------------------------------

    def deliveries(self) -> list[Delivery]:
        """What the webhooks are told of what happened since the last call."""
        with self.lock:
            events, self._told = self.audience.events[self._told :], len(self.audience.events)
            return [
                self.delivery(kind, data, hook["url"], at, hook.get("signing_secret", ""))
                for kind, at, source, data in events
                for hook in self.webhooks.values()
                if hook["events"].get(kind) and hook["sources"].get(source)
            ]

    @staticmethod
    def delivery(kind: str, data: Mapping[str, str], url: str, at: datetime, secret: str = "") -> Delivery:
        """One webhook. url: where it goes. secret: what it is signed with, "" for the old unsigned way."""
        form = {"type": kind, "fired_at": at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")}
        body = urlencode({**form, **{f"data[{name}]": value for name, value in data.items()}}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", "user-agent": "MailChimp"}
        if secret:
            moment = str(int(at.timestamp()))
            signature = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
            headers["x-mailchimp-signature"] = f"t={moment},v1={signature}"
        return Delivery("/" + url.split("/", 3)[3] if url.count("/") > 2 else "/", headers, body)

    # --- the door ----------------------------------------------------------------------------------------------------

    def admit(self, authorization: str) -> Response | None:
        """Who may not come in, and why (1)."""
        if self.bodyless_403 > 0:
            self.bodyless_403 -= 1
            return Response("", 403)
        if self._serving > CONNECTIONS:
            words = "You have exceeded the limit of 10 simultaneous connections."
            return self._error(Problem(429, "Too Many Requests", words))
        kind, _, credential = authorization.partition(" ")
        if kind == "Basic":
            credential = base64.b64decode(credential).decode().partition(":")[2]
        if credential not in {API_KEY, *self.oauth.tokens}:
            words = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
            return self._error(Problem(401, "API Key Invalid", words))
        return None

    def _belongs_to_another(self, authorization: str) -> bool:
        """A token of somebody else's account, which has other audiences (here: none)."""
        return self.oauth.user_of(authorization) not in (None, OWNER)

    def _error(self, problem: Problem) -> Response:
        return JSONResponse(self._problem(problem), problem.status, media_type="application/problem+json")

    async def serve(self, request: Request) -> Response:
        """One request to the API."""
        self._serving += 1
        self.busiest = max(self.busiest, self._serving)
        try:
            body = await request.body()
            if self.manner.delay:
                await asyncio.sleep(self.manner.delay)
            refused = self.admit(request.headers.get("authorization", ""))
            if refused:
                return refused
            path = request.scope["raw_path"].decode().partition("?")[0].removeprefix("/3.0")
            if self._belongs_to_another(request.headers.get("authorization", "")):
                if path == "/lists":
                    return JSONResponse({"lists": [], "total_items": 0})
                return self._error(Problem(404, "Resource Not Found", "The requested resource could not be found."))
            query = dict(request.query_params)
            status, answer = self.call(request.method, path, query, json.loads(body) if body else None)
        finally:
            self._serving -= 1
        if answer is None:
            return Response(status_code=status)
        text = json.dumps(answer).replace('"@/results', f'"{str(request.base_url).rstrip("/")}/results')
        kind = "application/json" if status < 400 else "application/problem+json"
        return Response(text, status, media_type=f"{kind}; charset=utf-8")


# --- OAuth2 (1) ------------------------------------------------------------------------------------------------------


class Authorization(AuthServer):
    """login.mailchimp.com: a code flow without PKCE (what it is sent of that it ignores), tokens that never expire, and
    nothing to refresh."""

    pkce = False
    access_life = None
    refreshable = False

    def __init__(self) -> None:
        super().__init__(lambda: datetime.now(UTC), "123456789012", OWNER)

    @property
    def tokens(self) -> dict[str, Token]:
        """The access tokens that work."""
        return self.accesses

    def grant(self, scope: str = "", user: str | None = None) -> str:
        """An access token, as if the user had consented."""
        token = self.name_token("access")
        self.accesses[token] = Token(self._consent(scope, user), self.clock(), None)
        return token

    def name_token(self, kind: str) -> str:
        return secrets.token_hex(16)

    def lasting(self, scope: str) -> bool:
        return False

    def answer(self, access: str, scope: str, refresh: str | None) -> dict[str, Any]:
        return {"access_token": access, "expires_in": 0, "scope": None}

    def metadata(self, authorization: str, base: str) -> Response:
        """Where the account is, for a token."""
        if self.user_of(authorization) is None:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"dc": "us19", "accountname": "Sandbox", "api_endpoint": base, "login_url": base})


def _app(box: MailchimpSandbox) -> Starlette:
    async def metadata(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return box.oauth.metadata(request.headers.get("authorization", ""), base)

    async def result(request: Request) -> Response:
        data = box.file(request.path_params["ticket"])
        if data is None or "authorization" in request.headers:  # the address is its own key
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        return Response(data, media_type="application/gzip")

    return Starlette(
        routes=[
            *box.oauth.routes("/oauth2/authorize", "/oauth2/token"),
            Route("/oauth2/metadata", metadata),
            Route("/results/{ticket}.tar.gz", result),
            Route("/3.0/{path:path}", box.serve, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def create(**options: Any) -> MailchimpSandbox:
    """A new account; the options are those of `MailchimpSandbox`."""
    return MailchimpSandbox(**options)
