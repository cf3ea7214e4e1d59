"""The sandbox's authorization server: tokens that live half an hour, refresh tokens that rotate.

Numbers and shapes: accounting note A (Auth); K marks what it calls general knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from connectors.authserver import AuthServer, Token

BROAD: Final = ("accounting.transactions", "accounting.reports")
"""Scopes that apps made after 2 March 2026 do not get."""
SCOPE: Final = "offline_access accounting.contacts accounting.invoices.read"
OWNER: Final = "owner"
"""Who may consent for the organisations here; anybody else has another one."""


class Login(AuthServer):
    """grace: how long a refresh token works after it was used (K: half an hour). old_app: made before 2 March 2026."""

    basic = True
    access_life = timedelta(seconds=1_800)
    refresh_life = timedelta(days=60)

    def __init__(self, clock: Callable[[], datetime], grace: float = 1_800.0, old_app: bool = False) -> None:
        super().__init__(clock, "SANDBOXCLIENT", OWNER)
        self.grace, self.old_app = timedelta(seconds=grace), old_app

    def grant(self, scope: str = SCOPE, user: str | None = None) -> str:
        return super().grant(scope, user)

    def problem(self, query: Mapping[str, str]) -> str | None:
        """A scope that the app may not ask for stops the consent page."""
        broad = any(scope.startswith(BROAD) for scope in query.get("scope", "").split())
        return "invalid_scope" if broad and not self.old_app else None

    def lasting(self, scope: str) -> bool:
        return "offline_access" in scope.split()

    def successor(self, token: str, held: Token) -> str | None:
        return self.replace(token, held, self.grace) if self.lasting(held.consent.scope) else None
