"""The SugarCRM sandbox's front: its sessions (OAuth2), and what shows the calls inside of a bulk to faults and the log.

Rules cite the sugarcrm note by section.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.sugarcrm.beans import Failure

USERNAME: Final = "concord"
PASSWORD: Final = "a Password of 2026"  # noqa: S105 of the sandbox only
ACCESS_LIFE, REFRESH_LIFE = 3600, 1_209_600
"""Seconds (A1)."""


@dataclass
class Grant:
    """The session of our user on a platform: there is one (A1)."""

    access: str
    until: datetime
    refresh: str
    refresh_until: datetime


class Sessions:
    """Who is logged in. clients: secrets by OAuth key. platforms: those that are registered, or None.

    asked: the kinds of grant that were asked for, in order.
    """

    def __init__(
        self, now: Callable[[], datetime], clients: Mapping[str, str], platforms: frozenset[str] | None
    ) -> None:
        self._now, self._clients, self._platforms = now, clients, platforms
        self.grants: dict[str, Grant] = {}
        self.asked: list[str] = []
        self._serial = 0

    def admit(self, headers: Mapping[str, str]) -> None:
        """Raises where no living access token comes along (A1)."""
        token = headers.get("oauth-token") or headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            raise Failure(401, "need_login", "No valid authentication for user.")
        if not any(grant.access == token and grant.until > self._now() for grant in self.grants.values()):
            raise Failure(401, "invalid_grant", "The access token provided is invalid.")

    def answer(self, path: Sequence[str], body: Mapping[str, Any]) -> dict[str, Any]:
        """What the token endpoint says."""
        if path != ["oauth2", "token"]:
            raise Failure(404, "no_method", "Could not find a method")
        kind, platform = str(body.get("grant_type")), str(body.get("platform") or "base")
        self.asked.append(kind)
        client = str(body.get("client_id"))
        if client not in self._clients or self._clients[client] != body.get("client_secret", ""):
            raise Failure(401, "invalid_client", "Invalid client id and secret combination")
        if self._platforms is not None and platform not in self._platforms:
            raise Failure(422, "invalid_parameter", f"Unknown platform {platform}")
        if kind == "password":
            if (body.get("username"), body.get("password")) != (USERNAME, PASSWORD):
                raise Failure(401, "need_login", "You must specify a valid username and password.")
            return self.open(platform)
        if kind == "refresh_token":
            held = self.grants.get(platform)
            if held is None or held.refresh != body.get("refresh_token") or held.refresh_until <= self._now():
                raise Failure(401, "invalid_grant", "Invalid refresh token")
            return self.open(platform)
        raise Failure(400, "unsupported_grant_type", "Invalid grant_type parameter or parameter missing")

    def open(self, platform: str) -> dict[str, Any]:
        """A new session in place of the one there was: its tokens, access and refresh, are dead (A1)."""
        self._serial += 1
        now, name = self._now(), f"{platform}-{self._serial}"
        grant = Grant(
            f"access-{name}",
            now + timedelta(seconds=ACCESS_LIFE),
            f"refresh-{name}",
            now + timedelta(seconds=REFRESH_LIFE),
        )
        self.grants[platform] = grant
        return {
            "access_token": grant.access,
            "expires_in": ACCESS_LIFE,
            "token_type": "bearer",
            "scope": None,
            "refresh_token": grant.refresh,
            "refresh_expires_in": REFRESH_LIFE,
            "download_token": f"download-{name}",
        }


class Opened:
    """Shows the calls inside of a bulk as its query ("POST /rest/v11_10/bulk?PUT Contacts/…;GET …"), so that faults can
    aim at them and the log tells them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/bulk"):
            await self._app(scope, receive, send)
            return
        raw = await Request(scope, receive).body()

        async def again() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        await self._app({**scope, "query_string": _calls_in(raw)}, again, send)


def _calls_in(raw: bytes) -> bytes:
    try:
        requests = orjson.loads(raw)["requests"]
        return ";".join(f"{request['method']} {request['url'].split('/', 2)[2]}" for request in requests).encode()
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return b""
