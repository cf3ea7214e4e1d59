"""Intuit's authorization server in a box (accounting note, part B, "Auth")."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.authserver import AuthServer, Token

SCOPE: Final = "com.intuit.quickbooks.accounting"
FIVE_YEARS: Final = timedelta(days=5 * 365)


class OAuth(AuthServer):
    """An access token lives an hour, a refresh token 100 days, and all that came of one consent five years (note).
    Its users are companies. rotate: a refresh token changes "daily" or "always"."""

    basic = True
    stranger = 401
    refresh_life = timedelta(days=100)

    def __init__(self, clock: Callable[[], datetime], realm: str, rotate: str) -> None:
        super().__init__(clock, "ABsandboxclient", realm)
        self.rotate = rotate

    def grant(self, scope: str = SCOPE, user: str | None = None) -> str:
        return super().grant(scope, user)

    def problem(self, query: Mapping[str, str]) -> str | None:
        return None if query.get("scope") == SCOPE else "invalid_scope"

    def landing(self, user: str) -> Mapping[str, str]:
        """The redirect brings the company's number (note)."""
        return {"realmId": user}

    def name_token(self, kind: str) -> str:
        return {"code": "XAB", "refresh": "AB", "access": "ey"}[kind] + secrets.token_urlsafe(30)

    def successor(self, token: str, held: Token) -> str | None:
        """The value changes about every 24 hours, and the old one is dead (note)."""
        due = self.rotate == "always" or self.clock() - held.made >= timedelta(days=1)
        return self.replace(token, held) if due else token

    def _refresh_for(self, consent: Any) -> str:
        token = super()._refresh_for(consent)
        held, end = self.refreshes[token], consent.at + FIVE_YEARS
        self.refreshes[token] = Token(consent, held.made, min(held.until or end, end))
        return token

    def answer(self, access: str, scope: str, refresh: str | None) -> dict[str, Any]:
        """It names no scope (note)."""
        life = {"token_type": "bearer", "access_token": access, "expires_in": 3600}
        return {**life, "refresh_token": refresh, "x_refresh_token_expires_in": 8_640_000}
