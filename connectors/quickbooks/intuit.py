"""Intuit's authorization server in a box (accounting note, part B, "Auth")."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

SCOPE: Final = "com.intuit.quickbooks.accounting"


@dataclass
class OAuth:
    """Intuit's authorization server. An access token lives an hour, a refresh token 100 days, and all that came of one
    consent five years (note)."""

    clock: Callable[[], datetime]
    realm: str
    rotate: str
    client_id: str = "ABsandboxclient"
    client_secret: str = field(default_factory=lambda: secrets.token_hex(20))
    denies: bool = False
    refreshes: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    accesses: dict[str, datetime] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def grant(self, consented: datetime | None = None) -> str:
        """A refresh token, as if the user had consented."""
        token = "AB" + secrets.token_urlsafe(30)
        self.refreshes[token] = (self.clock(), consented or self.clock())
        return token

    def revoke(self) -> None:
        """The user disconnects the app."""
        self.refreshes.clear()
        self.accesses.clear()

    def expire(self) -> None:
        """All access tokens die early."""
        self.accesses.clear()

    def admits(self, authorization: str) -> bool:
        until = self.accesses.get(authorization.removeprefix("Bearer "))
        return until is not None and until > self.clock()

    def authorize(self, query: Mapping[str, str]) -> Response:
        """The consent page: this user says yes at once. The redirect brings the company's number (note)."""
        if query.get("client_id") != self.client_id or query.get("scope") != SCOPE:
            return JSONResponse({"error": "invalid_request"}, 400)
        back = {"state": query.get("state", "")}
        if self.denies:
            back |= {"error": "access_denied"}
        else:
            code = "XAB" + secrets.token_urlsafe(16)
            self.codes[code] = dict(query)
            back |= {"code": code, "realmId": self.realm}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", 302)

    def token(self, authorization: str, form: Mapping[str, str]) -> Response:
        told_ = base64.b64decode(authorization.removeprefix("Basic ") or b"").decode(errors="replace")
        if told_ != f"{self.client_id}:{self.client_secret}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("grant_type") == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or asked.get("redirect_uri") != form.get("redirect_uri"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._answer(self.grant())

    def _refreshed(self, token: str) -> Response:
        made, consented = self.refreshes.get(token, (datetime.min.replace(tzinfo=UTC),) * 2)
        now = self.clock()
        if now - made > timedelta(days=100) or now - consented > timedelta(days=5 * 365):
            return JSONResponse({"error": "invalid_grant", "error_description": "Token invalid"}, 400)
        if self.rotate == "always":
            del self.refreshes[token]
            return self._answer(self.grant(consented))
        if now - made >= timedelta(days=1):
            # The value changes about every 24 hours, and the old one is dead (note).
            del self.refreshes[token]
            return self._answer(self.grant(consented))
        return self._answer(token)

    def _answer(self, refresh: str) -> Response:
        token = "ey" + secrets.token_urlsafe(40)
        self.accesses[token] = self.clock() + timedelta(seconds=3600)
        return JSONResponse(
            {
                "token_type": "bearer",
                "access_token": token,
                "expires_in": 3600,
                "refresh_token": refresh,
                "x_refresh_token_expires_in": 8_640_000,
            }
        )
