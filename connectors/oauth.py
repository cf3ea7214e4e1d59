"""OAuth2: access tokens from a refresh token, and the consent that brings one.

Consent is an authorization code with PKCE and state, in a browser (RFC 6749 sections 4.1 and 10.12; RFC 7636, S256).
No token, code or secret is ever logged or put into an error's words.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from connectors.contract import Context, OAuth
from connectors.errors import Error, Throttled, Unauthorised, Uncertain
from connectors.http import BasicAuth, Http, Response, react, retry_after

AGAIN: Final = "run `concord connections consent NAME` to give access again"
EARLY: Final = timedelta(seconds=60)
"""An access token is renewed this long before it expires."""


# --- access tokens --------------------------------------------------------------------------------------------


class Tokens:
    """Access tokens of this process: they live an hour or so, so that not every run has to ask for one."""

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


class Session:
    """Access tokens by a refresh token that rotates: a base for each way to get one. Safe between processes: a new
    refresh token is stored before its access token is used, and whoever comes second takes what the first one stored.

    owner: texts that say whose session it is (token endpoint, client, user …).
    """

    def __init__(self, context: Context, owner: Sequence[str], refresh_token: str) -> None:
        self._context, self._owner, self._refresh_token = context, tuple(owner), refresh_token

    def ask(self, refresh_token: str) -> Mapping[str, Any]:
        """The token endpoint's answer (RFC 6749 section 5.1). refresh_token: the newest there is, or "".

        Raises Unauthorised where there is no access to be had.
        """
        raise NotImplementedError

    def _key(self) -> str:
        return hashlib.sha256("\0".join((*self._owner, self._refresh_token)).encode()).hexdigest()

    def access(self) -> tuple[str, str]:
        """(access token, its scopes). Raises Unauthorised where there is none to be had."""
        held = TOKENS.get(self._key(), self._context.now())
        return held or self._renew()

    def refused(self) -> None:
        """The API refused the token (HTTP 401): ask for another at the next turn."""
        TOKENS.drop(self._key())

    def _renew(self) -> tuple[str, str]:
        with self._context.renewing() as stored:
            newer = stored.get("refresh_token")
            if newer and newer != self._refresh_token:  # another process was here first
                self._refresh_token = newer
                held = TOKENS.get(self._key(), self._context.now())
                if held:
                    return held
            answer = self.ask(self._refresh_token)
            # Many servers keep the old refresh token; where a new one comes, the old one is dead: store it before use.
            rotated = answer.get("refresh_token")
            if rotated and rotated != self._refresh_token:
                self._refresh_token = str(rotated)
                self._context.save_secrets({"refresh_token": self._refresh_token})
            token, scope = str(answer["access_token"]), str(answer.get("scope") or "")
            until = self._context.now() + timedelta(seconds=float(answer.get("expires_in", 3600)))
            TOKENS.put(self._key(), token, until, scope)
        return token, scope


class Grant(Session):
    """What the user granted us: gives access tokens as long as the refresh token lives.

    settings: `client_id`, `client_secret`, `refresh_token` (SecretStr), and `token_uri` where another is to be asked.
    """

    def __init__(self, http: Http, context: Context, settings: Any, oauth: OAuth) -> None:
        self._http = http
        self._client = Client.of(oauth, settings.model_dump())
        refresh_token = str(settings.refresh_token.get_secret_value())
        super().__init__(context, (self._client.token_uri, self._client.id), refresh_token)

    def ask(self, refresh_token: str) -> Mapping[str, Any]:
        if not refresh_token:
            raise Unauthorised(f"nobody has given access to this account yet; {AGAIN}")
        return _ask(self._http, self._client, _refresh(refresh_token))


# --- the token endpoint ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Client:
    """Us, as the vendor's token endpoint knows us."""

    oauth: OAuth
    id: str
    secret: str
    auth_uri: str
    token_uri: str

    @staticmethod
    def of(oauth: OAuth, settings: Mapping[str, Any]) -> Client:
        """From a connection's settings. Raises Unauthorised where there is no client yet."""
        secret = settings.get("client_secret") or ""
        plain = str(secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret)
        if not settings.get("client_id") or not plain:
            raise Unauthorised(f"client_id and client_secret are needed first: {oauth.register}")
        auth_uri, token_uri = (str(settings.get(name) or getattr(oauth, name)) for name in ("auth_uri", "token_uri"))
        return Client(oauth, str(settings["client_id"]), plain, auth_uri, token_uri)


def _refresh(token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": token}


def _ask(http: Http, client: Client, form: Mapping[str, str]) -> Mapping[str, Any]:
    """The token endpoint's answer to a form. Raises Unauthorised for a refused grant.

    An authorization code works once; a refresh token may be sent again.
    """
    headers = {"accept": "application/json"}
    if client.oauth.basic:
        headers["authorization"] = basic(client.id, client.secret)
    else:
        form = {**form, "client_id": client.id, "client_secret": client.secret}
    repeatable = form["grant_type"] == "refresh_token"

    def judged(response: Response) -> Error | None:
        return _react(client.oauth, response)

    return _json(
        http.request("POST", client.token_uri, data=form, headers=headers, repeatable=repeatable, react=judged)
    )


def basic(user: str, password: str) -> str:
    """The value of an Authorization header by HTTP Basic (RFC 7617)."""
    return str(BasicAuth(user, password)._auth_header)


def _react(oauth: OAuth, response: Response) -> Error | None:
    """What the token endpoint's answers mean (RFC 6749 section 5.2)."""
    title = oauth.title
    if response.status_code in (400, 401, 403):
        reason = _json(response).get("error")
        if reason == "invalid_grant":
            return Unauthorised(f"{title} no longer accepts the refresh token. {oauth.dead}; {AGAIN}")
        if reason in ("invalid_client", "unauthorized_client"):
            return Unauthorised(f"{title} does not know this client_id and client_secret; correct them in the settings")
        return Unauthorised(f"{title} gave no access token (HTTP {response.status_code}); {AGAIN}")
    if response.status_code == 429:
        return Throttled(f"{title}'s token endpoint: too many requests", retry_after(response))
    if response.status_code < 400 and "access_token" not in _json(response):
        return Uncertain(f"{title}'s token endpoint did not answer with a token")
    return react(response)


def _json(response: Response) -> Mapping[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


# --- consent --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A consent that was asked for: what must be remembered until the browser comes back."""

    url: str
    state: str
    verifier: str
    redirect_uri: str


def ask(oauth: OAuth, settings: Mapping[str, Any], redirect_uri: str) -> Asked:
    """The page on which the user gives access. settings: client_id, client_secret; account is a hint for the page."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    client = Client.of(oauth, settings)
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    url = prepare_grant_uri(
        client.auth_uri,
        client.id,
        "code",
        redirect_uri,
        oauth.scope,
        state,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        login_hint=str(settings.get("account") or "") or None,
        **oauth.authorize,
    )
    return Asked(url, state, verifier, redirect_uri)


def brought(redirect: str, asked: Asked) -> dict[str, str]:
    """The query with which the browser came back. Raises Unauthorised where it brings no code of ours."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(redirect).query or redirect).items()}
    if error := query.get("error"):
        raise Unauthorised(f"access was not given ({error[:40]}); {AGAIN}")
    if not secrets.compare_digest(query.get("state", "").encode(), asked.state.encode()):
        raise Unauthorised("this answer does not belong to the link that was shown; open the link and try again")
    if not query.get("code"):
        raise Unauthorised("no code was found in it; paste the whole address of the page on which you ended up")
    return query


def redeem(
    oauth: OAuth, settings: Mapping[str, Any], asked: Asked, redirect: Mapping[str, str], context: Context
) -> dict[str, str]:
    """The settings that a consent brings (tokens). Raises Unauthorised where no lasting access was given."""
    client = Client.of(oauth, settings)
    form = {
        "grant_type": "authorization_code",
        "code": redirect["code"],
        "code_verifier": asked.verifier,
        "redirect_uri": asked.redirect_uri,
    }
    with Http(client.token_uri, context) as http:
        answer = _ask(http, client, form)
    if oauth.required and oauth.required not in str(answer.get("scope", oauth.required)).split():
        raise Unauthorised("access to the contacts was not ticked; consent again and tick it")
    granted = dict(oauth.granted(answer, redirect))
    if not all(granted.values()):
        raise Unauthorised(
            f"{oauth.title} gave no lasting access; remove this app in your account there, then consent again"
        )
    return granted
