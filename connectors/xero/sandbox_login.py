"""The sandbox's authorization server: consent, tokens that live half an hour, refresh tokens that rotate.

Numbers and shapes: accounting note A (Auth); K marks what it calls general knowledge.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from fastapi.responses import JSONResponse, RedirectResponse, Response

ACCESS: Final = timedelta(seconds=1_800)
REFRESH: Final = timedelta(days=60)
BROAD: Final = ("accounting.transactions", "accounting.reports")
"""Scopes that apps made after 2 March 2026 do not get."""
SCOPE: Final = "offline_access accounting.contacts accounting.invoices.read"


class Login:
    """grace: how long a refresh token works after it was used (K: half an hour). old_app: made before 2 March 2026.
    denies, forges_state: what the user, and an attacker, do on the consent page."""

    def __init__(self, clock: Callable[[], datetime], grace: float = 1_800.0, old_app: bool = False) -> None:
        self.client_id, self.client_secret = "SANDBOXCLIENT", secrets.token_urlsafe(24)
        self.grace, self.old_app = timedelta(seconds=grace), old_app
        self.denies = self.forges_state = False
        self._clock = clock
        self._refresh: dict[str, tuple[datetime, str]] = {}
        self._access: dict[str, tuple[datetime, str]] = {}
        self._codes: dict[str, dict[str, str]] = {}

    def grant(self, scope: str = SCOPE) -> str:
        """A refresh token, as if the user had consented."""
        token = secrets.token_urlsafe(32)
        self._refresh[token] = (self._clock() + REFRESH, scope)
        return token

    def revoke(self) -> None:
        """The app is disconnected in Xero."""
        self._refresh.clear()
        self._access.clear()

    def expire(self) -> None:
        """All access tokens die early."""
        self._access.clear()

    def scope_of(self, authorization: str) -> str | None:
        until, scope = self._access.get(authorization.removeprefix("Bearer "), (self._clock(), ""))
        return scope if until > self._clock() else None

    def authorize(self, query: Mapping[str, str]) -> Response:
        """The consent page: this user says yes at once. A scope that the app may not ask for stops it."""
        if query.get("client_id") != self.client_id or query.get("code_challenge_method") != "S256":
            return JSONResponse({"error": "invalid_request"}, 400)
        if not self.old_app and any(scope.startswith(BROAD) for scope in query.get("scope", "").split()):
            return JSONResponse({"error": "invalid_scope"}, 400)
        state = "forged" if self.forges_state else query["state"]
        if self.denies:
            return RedirectResponse(f"{query['redirect_uri']}?{urlencode({'error': 'access_denied', 'state': state})}")
        code = secrets.token_urlsafe(16)
        self._codes[code] = dict(query)
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode({'code': code, 'state': state})}", 302)

    def token(self, authorization: str, form: Mapping[str, str]) -> Response:
        """The token endpoint: the client by HTTP Basic, the rest as a form."""
        expected = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if authorization != f"Basic {expected}":
            return JSONResponse({"error": "invalid_client"}, 400)
        if form.get("grant_type") == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        asked = self._codes.pop(form.get("code", ""), {})
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not asked or challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._answer(asked["scope"])

    def _refreshed(self, token: str) -> Response:
        until, scope = self._refresh.get(token, (self._clock(), ""))
        if until <= self._clock():
            return JSONResponse({"error": "invalid_grant"}, 400)
        self._refresh[token] = (min(until, self._clock() + self.grace), scope)
        return self._answer(scope)

    def _answer(self, scope: str) -> Response:
        token = secrets.token_urlsafe(32)
        self._access[token] = (self._clock() + ACCESS, scope)
        seconds = int(ACCESS.total_seconds())
        answer = {"access_token": token, "expires_in": seconds, "token_type": "Bearer", "scope": scope}
        lasting = {"refresh_token": self.grant(scope)} if "offline_access" in scope.split() else {}
        return JSONResponse({**answer, **lasting})
