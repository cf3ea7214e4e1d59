"""OAuth2 for an installed app: consent with PKCE and a loopback redirect, and access tokens from the refresh token.

Sources: google-people note 1 (addresses, scopes, answers, causes of a dead refresh token); RFC 8252 section 7.3
(loopback redirect), RFC 7636 (PKCE, S256), RFC 6749 section 10.12 (state). No token, code or secret
is ever logged or put into an error's words.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from connectors.contract import Context
from connectors.errors import Error, Throttled, Unauthorised, Uncertain
from connectors.http import Http, Response, react, retry_after

AUTH_URI: Final = "https://accounts.google.com/o/oauth2/v2/auth"
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 an address, not a secret
SCOPE: Final = "https://www.googleapis.com/auth/contacts"
AGAIN: Final = "run `concord connections consent NAME` to give access again"
PATIENCE: Final = 300.0
"""Seconds that the loopback listener waits for the browser."""
EARLY: Final = timedelta(seconds=60)
"""An access token is renewed this long before it expires."""

WHY_DEAD: Final = (
    "Google no longer accepts the refresh token. It was revoked, was not used for six months, or the consent screen is "
    "still in Testing, where tokens live 7 days"
)


def token_react(response: Response) -> Error | None:
    """What the token endpoint's answers mean (note 1): 400 invalid_grant is a dead refresh token."""
    if response.status_code in (400, 401, 403):
        reason = _json(response).get("error")
        if reason == "invalid_grant":
            return Unauthorised(f"{WHY_DEAD}; {AGAIN}")
        if reason in ("invalid_client", "unauthorized_client"):
            return Unauthorised("Google does not know this client_id and client_secret; correct them in the settings")
        return Unauthorised(f"Google gave no access token (HTTP {response.status_code}); {AGAIN}")
    if response.status_code == 429:
        return Throttled("Google's token endpoint: too many requests", retry_after(response))
    if response.status_code < 400 and "access_token" not in _json(response):
        return Uncertain("Google's token endpoint did not answer with a token")
    return react(response)


def _json(response: Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def ask_token(http: Http, token_uri: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    """The token endpoint's answer to a form. Raises Unauthorised for a refused grant.

    An authorization code works once; a refresh token may be sent again.
    """
    repeatable = form["grant_type"] == "refresh_token"
    return _json(http.request("POST", token_uri, data=form, repeatable=repeatable, react=token_react))


class Tokens:
    """Access tokens of this process: they live an hour, so that not every run has to ask for one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, datetime, str]] = {}

    def get(self, key: str, now: datetime) -> tuple[str, str] | None:
        """(access token, its scopes), if it lives on for a while."""
        with self._lock:
            token, until, scope = self._held.get(key, ("", now, ""))
        return (token, scope) if until - EARLY > now else None

    def put(self, key: str, token: str, until: datetime, scope: str) -> None:
        with self._lock:
            self._held[key] = (token, until, scope)

    def drop(self, key: str) -> None:
        with self._lock:
            self._held.pop(key, None)


TOKENS: Final = Tokens()


class Grant:
    """What the user granted us: gives access tokens as long as the refresh token lives."""

    def __init__(self, http: Http, context: Context, settings: Any) -> None:
        self._http, self._context, self._settings = http, context, settings
        self._refresh_token: str = settings.refresh_token.get_secret_value()

    def _key(self) -> str:
        parts = (self._settings.token_uri, self._settings.client_id, self._refresh_token)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def access(self) -> tuple[str, str]:
        """(access token, its scopes). Raises Unauthorised where there is none to be had."""
        held = TOKENS.get(self._key(), self._context.now())
        return held or self._renew()

    def refused(self) -> None:
        """The API refused the token (HTTP 401): ask for another at the next turn."""
        TOKENS.drop(self._key())

    def _renew(self) -> tuple[str, str]:
        if not self._refresh_token:
            raise Unauthorised(f"nobody has given access to this account yet; {AGAIN}")
        answer = ask_token(
            self._http,
            self._settings.token_uri,
            {
                "grant_type": "refresh_token",
                "client_id": self._settings.client_id,
                "client_secret": self._settings.client_secret.get_secret_value(),
                "refresh_token": self._refresh_token,
            },
        )
        # The answer to a refresh holds no refresh token as a rule: the old one stays (note 1).
        rotated = answer.get("refresh_token")
        if rotated and rotated != self._refresh_token:
            self._refresh_token = rotated
            self._context.save_secrets({"refresh_token": rotated})
        token, scope = str(answer["access_token"]), str(answer.get("scope", ""))
        until = self._context.now() + timedelta(seconds=float(answer.get("expires_in", 3600)))
        TOKENS.put(self._key(), token, until, scope)
        return token, scope


# --- consent ------------------------------------------------------------------------------------------------


def consent(settings: Mapping[str, Any], show: Callable[[str], str]) -> dict[str, str]:
    """Ask the user for access in a browser; returns {"refresh_token": …}.

    settings: client_id, client_secret, and auth_uri, token_uri, account where given.
    show: shows the link; returns the address (or code) that the user pasted, or "" to wait for the browser to come
        back to this machine by itself. Pasting is for a browser on another machine.
    Raises Unauthorised where no access was given.
    """
    client_id, client_secret = str(settings.get("client_id", "")), _plain(settings.get("client_secret", ""))
    if not client_id or not client_secret:
        raise Unauthorised("client_id and client_secret are needed first: make an OAuth client of type Desktop app")
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _listening() as (redirect_uri, arrived):
        query = {
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": SCOPE,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "access_type": "offline",
            "prompt": "consent",
            **({"login_hint": str(settings["account"])} if settings.get("account") else {}),
        }
        pasted = show(f"{settings.get('auth_uri') or AUTH_URI}?{urlencode(query)}").strip()
        code = _code(pasted, state) if pasted else _code(arrived(PATIENCE), state, pasted=False)
    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=secrets.SystemRandom().random)
    token_uri = str(settings.get("token_uri") or TOKEN_URI)
    with Http(token_uri, context) as http:
        answer = ask_token(
            http,
            token_uri,
            {
                "grant_type": "authorization_code",
                "client_id": client_id,
                "client_secret": client_secret,
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_uri,
            },
        )
    return _granted(answer)


def _granted(answer: Mapping[str, Any]) -> dict[str, str]:
    if SCOPE not in str(answer.get("scope", SCOPE)).split():
        raise Unauthorised("access to the contacts was not ticked; consent again and tick it")
    if not answer.get("refresh_token"):
        raise Unauthorised(
            "Google gave no lasting access; remove this app at https://myaccount.google.com/permissions, "
            "then consent again"
        )
    return {"refresh_token": str(answer["refresh_token"])}


def _plain(secret: Any) -> str:
    return str(secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret)


def _code(brought: str, state: str, *, pasted: bool = True) -> str:
    """The code in what the browser or the user brought: an address with `code` and `state`, or a bare pasted code."""
    if pasted and "=" not in brought and "/" in brought[:3] and " " not in brought:
        return brought  # Google's codes look like 4/0Ab…
    query = parse_qs(urlsplit(brought).query or brought)
    if error := query.get("error"):
        raise Unauthorised(f"access was not given ({error[0][:40]}); {AGAIN}")
    if not secrets.compare_digest(query.get("state", [""])[0], state):
        raise Unauthorised("this answer does not belong to the link that was shown; open the link and try again")
    if not query.get("code"):
        raise Unauthorised("no code was found in it; paste the whole address of the page on which you ended up")
    return query["code"][0]


@contextmanager
def _listening() -> Iterator[tuple[str, Callable[[float], str]]]:
    """A listener on the loopback address, for the one redirect: (its address, wait for the address that came)."""
    came: list[str] = []
    event = threading.Event()

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"code", "error"} & set(parse_qs(urlsplit(self.path).query))
            self.send_response(200 if known else 404)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.end_headers()
            if known:
                self.wfile.write(b"Done. You can close this page and go back to Concord.")
                came.append(self.path)
                event.set()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name is http.server's
            """Nothing: the request line holds the code."""

    server = HTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()

    def arrived(patience: float) -> str:
        if not event.wait(patience):
            raise Unauthorised(f"the browser did not come back within {patience:.0f} seconds; {AGAIN}")
        return came[0]

    try:
        yield f"http://127.0.0.1:{server.server_port}", arrived
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
