"""An authorization server in a box: what the sandboxes of all vendors with OAuth2 share.

The authorization code grant with PKCE S256, and refresh tokens (RFC 6749 sections 4.1 and 6, RFC 7636): a code works
once, for ten minutes, for the address and the verifier that it was asked with; shown again, it takes back what it gave
(section 4.1.2). The consent page asks nothing: its user says yes, or no, at once. What a vendor does otherwise it says
by overriding.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CODE_LIFE = timedelta(minutes=10)
"""The longest that RFC 6749 section 4.1.2 recommends."""


@dataclass(slots=True)
class Consent:
    """What one user said yes to, once. refresh, access: the tokens that came of it."""

    user: str
    scope: str
    at: datetime
    refresh: set[str] = field(default_factory=set)
    access: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Token:
    """until: None where it lives until it is taken back."""

    consent: Consent
    made: datetime
    until: datetime | None


@dataclass(slots=True)
class Code:
    """An authorization code, and what it was asked with."""

    consent: Consent
    query: Mapping[str, str]
    made: datetime
    used: bool = False


class AuthServer:
    """user: who is signed in at the vendor. denies, forges_state: what that user, and an attacker, do on the consent
    page. redirects: the addresses that the app has registered; None: any will do. clock: the sandbox's.

    basic: the client comes by HTTP Basic. pkce: a challenge is looked at. stranger: the status for a wrong client.
    access_life, refresh_life: None is for ever. refreshable: there are refresh tokens at all. kills: a refresh token
    that is shown once more after it was replaced takes back its whole consent (RFC 9700 section 4.14.2).
    """

    basic: ClassVar[bool] = False
    pkce: ClassVar[bool] = True
    stranger: ClassVar[int] = 400
    access_life: ClassVar[timedelta | None] = timedelta(hours=1)
    refresh_life: ClassVar[timedelta | None] = None
    refreshable: ClassVar[bool] = True

    def __init__(self, clock: Callable[[], datetime], client_id: str, user: str = "someone") -> None:
        self.client_id, self.client_secret = client_id, secrets.token_hex(20)
        self.user = user
        self.denies = self.forges_state = self.kills = False
        self.redirects: Collection[str] | None = None
        self.clock = clock
        self.refreshes: dict[str, Token] = {}
        self.accesses: dict[str, Token] = {}
        self.codes: dict[str, Code] = {}
        self.replaced: dict[str, Consent] = {}

    # --- what a vendor does in its own way

    def problem(self, query: Mapping[str, str]) -> str | None:
        """Why this is not asked on the consent page."""
        return None

    def landing(self, user: str) -> Mapping[str, str]:
        """What else the browser brings back beside the code."""
        return {}

    def name_token(self, kind: str) -> str:
        """A new code, refresh or access token, as the vendor's look."""
        return secrets.token_urlsafe(24)

    def lasting(self, scope: str) -> bool:
        """Does such a consent bring a refresh token?"""
        return True

    def successor(self, token: str, held: Token) -> str | None:
        """What a refresh answers as the refresh token: a new one (`replace`), the same, or None: nothing is said."""
        return None

    def answer(self, access: str, scope: str, refresh: str | None) -> dict[str, Any]:
        """The token endpoint's answer."""
        life = self.access_life
        told: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": scope}
        told |= {"expires_in": int(life.total_seconds())} if life else {}
        return told | ({"refresh_token": refresh} if refresh else {})

    # --- what tests, and the user in the vendor's own pages, do

    def grant(self, scope: str = "", user: str | None = None) -> str:
        """A refresh token, as if the user had consented."""
        return self._refresh_for(self._consent(scope, user))

    def revoke(self) -> None:
        """The user takes back all access: no refresh token and no access token works any more."""
        self.refreshes.clear()
        self.accesses.clear()

    def expire(self) -> None:
        """All access tokens die early."""
        self.accesses.clear()

    # --- what the API asks

    def scope_of(self, authorization: str) -> str | None:
        """What a token (an Authorization header) covers; None where it lets nobody in."""
        held = self._living(authorization)
        return held.consent.scope if held else None

    def user_of(self, authorization: str) -> str | None:
        """Whose token it is; None where it lets nobody in."""
        held = self._living(authorization)
        return held.consent.user if held else None

    def _living(self, authorization: str) -> Token | None:
        held = self.accesses.get(authorization.partition(" ")[2])
        return held if held and (held.until is None or held.until > self.clock()) else None

    # --- the consent page

    def authorize(self, query: Mapping[str, str]) -> Response:
        """Sends the browser back, or keeps it where the address to send it to cannot be believed."""
        back = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id or query.get("response_type", "code") != "code" or not back:
            return JSONResponse({"error": "invalid_request"}, 400)
        if self.redirects is not None and back not in self.redirects:
            return JSONResponse({"error": "redirect_uri_mismatch"}, 400)
        if self.pkce and "code_challenge" in query and query.get("code_challenge_method") != "S256":
            return JSONResponse({"error": "invalid_request"}, 400)
        if problem := self.problem(query):
            return JSONResponse({"error": problem}, 400)
        brings: dict[str, str] = {"state": "forged" if self.forges_state else query.get("state", "")}
        if self.denies:
            brings["error"] = "access_denied"
        else:
            code = self.name_token("code")
            self.codes[code] = Code(self._consent(query.get("scope", "")), dict(query), self.clock())
            brings |= {"code": code, **self.landing(self.user)}
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode(brings)}", 302)

    # --- the token endpoint

    def token(self, authorization: str, form: Mapping[str, str]) -> Response:
        """Trades a code or a refresh token for an access token."""
        if not self._is_client(authorization, form):
            return JSONResponse({"error": "invalid_client"}, self.stranger)
        if form.get("grant_type") == "authorization_code":
            return self._redeemed(form)
        if form.get("grant_type") == "refresh_token" and self.refreshable:
            return self._refreshed(form.get("refresh_token", ""))
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _is_client(self, authorization: str, form: Mapping[str, str]) -> bool:
        if self.basic:
            word = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
            return secrets.compare_digest(authorization.encode(), f"Basic {word}".encode())
        return form.get("client_id") == self.client_id and form.get("client_secret") == self.client_secret

    def _redeemed(self, form: Mapping[str, str]) -> Response:
        code = self.codes.get(form.get("code", ""))
        if code is None or not self._fits(code, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        if code.used:
            self._take_back(code.consent)
            return JSONResponse({"error": "invalid_grant"}, 400)
        code.used = True
        lasts = self.lasting(code.consent.scope)
        return self._answer(code.consent, self._refresh_for(code.consent) if lasts else None)

    def _fits(self, code: Code, form: Mapping[str, str]) -> bool:
        if self.clock() - code.made > CODE_LIFE or form.get("redirect_uri") != code.query["redirect_uri"]:
            return False
        if not self.pkce:
            return True
        verifier = form.get("code_verifier", "")
        if "code_challenge" not in code.query:
            return not verifier  # somebody took the challenge out of the address (RFC 9700 section 4.8.2)
        digest = hashlib.sha256(verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code.query["code_challenge"]

    def _refreshed(self, token: str) -> Response:
        held = self.refreshes.get(token)
        if held is None or (held.until is not None and held.until <= self.clock()):
            if self.kills and token in self.replaced:
                self._take_back(self.replaced[token])
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._answer(held.consent, self.successor(token, held))

    def replace(self, token: str, held: Token, grace: timedelta = timedelta()) -> str:
        """A new refresh token for this one, which dies (after so long)."""
        self.replaced[token] = held.consent
        if grace:
            end = self.clock() + grace
            self.refreshes[token] = Token(held.consent, held.made, min(held.until or end, end))
        else:
            del self.refreshes[token]
        return self._refresh_for(held.consent)

    def _answer(self, consent: Consent, refresh: str | None) -> Response:
        access, now = self.name_token("access"), self.clock()
        self.accesses[access] = Token(consent, now, now + self.access_life if self.access_life else None)
        consent.access.add(access)
        return JSONResponse(self.answer(access, consent.scope, refresh))

    def _consent(self, scope: str, user: str | None = None) -> Consent:
        return Consent(self.user if user is None else user, scope, self.clock())

    def _refresh_for(self, consent: Consent) -> str:
        token, now = self.name_token("refresh"), self.clock()
        self.refreshes[token] = Token(consent, now, now + self.refresh_life if self.refresh_life else None)
        consent.refresh.add(token)
        return token

    def _take_back(self, consent: Consent) -> None:
        for token in consent.refresh:
            self.refreshes.pop(token, None)
        for token in consent.access:
            self.accesses.pop(token, None)

    # --- over HTTP

    def routes(self, authorize: str, token: str, lock: AbstractContextManager[Any] | None = None) -> list[Route]:
        """Its two endpoints at these paths, for a sandbox's app."""
        guard = lock or threading.Lock()

        def consent_page(request: Request) -> Response:
            with guard:
                return self.authorize(dict(request.query_params))

        async def token_endpoint(request: Request) -> Response:
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}

            def answer() -> Response:
                with guard:
                    return self.token(request.headers.get("authorization", ""), form)

            return await run_in_threadpool(answer)

        return [Route(authorize, consent_page), Route(token, token_endpoint, methods=["POST"])]
