"""The authorization server in the sandboxes keeps the rules whose breach the daemon must survive."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.authserver import CODE_LIFE, AuthServer
from connectors.google.sandbox import OAuth as Google
from connectors.mailchimp.sandbox import Authorization as Mailchimp
from connectors.quickbooks.intuit import SCOPE
from connectors.quickbooks.intuit import OAuth as QuickBooks
from connectors.xero.sandbox_login import Login as Xero

BACK = "https://concord.example.com/oauth/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Clock:
    """A time that a test can let pass."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class App:
    """An app at an authorization server."""

    def __init__(self, server: AuthServer) -> None:
        self.server = server
        scope = {"QuickBooks": SCOPE, "Login": "offline_access accounting.contacts"}.get(self.name, "contacts")
        self.asked = {
            "client_id": server.client_id,
            "response_type": "code",
            "redirect_uri": BACK,
            "scope": SCOPE if isinstance(server, QuickBooks) else scope,
            "state": "s",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }

    @property
    def name(self) -> str:
        return type(self.server).__name__

    def lands(self, **changed: str) -> dict[str, str]:
        """What the browser brings back."""
        answer = self.server.authorize({**self.asked, **changed})
        assert answer.status_code == 302, bytes(answer.body)
        back = urlsplit(answer.headers["location"])
        return {name: values[0] for name, values in parse_qs(back.query).items()}

    def post(self, secret: str | None = None, **form: str) -> tuple[int, Mapping[str, Any]]:
        import json

        server = self.server
        held = server.client_secret if secret is None else secret
        word = base64.b64encode(f"{server.client_id}:{held}".encode()).decode()
        credentials = {} if server.basic else {"client_id": server.client_id, "client_secret": held}
        answer = server.token(f"Basic {word}" if server.basic else "", {**form, **credentials})
        return answer.status_code, json.loads(bytes(answer.body))

    def redeem(self, code: str, **changed: str) -> tuple[int, Mapping[str, Any]]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return self.post(**{**form, **changed})


MAKERS: dict[str, Callable[[Clock], AuthServer]] = {
    "google": lambda clock: Google(clock, rotate=True),
    "mailchimp": lambda clock: Mailchimp(),
    "quickbooks": lambda clock: QuickBooks(clock, "4711", "always"),
    "xero": lambda clock: Xero(clock),
}


@pytest.fixture(params=MAKERS)
def app(request: pytest.FixtureRequest) -> App:
    made = MAKERS[request.param](Clock())
    made.clock = Clock()
    return App(made)


def test_a_code_works_once_and_its_replay_takes_back_what_it_gave(app: App) -> None:
    back = app.lands()
    assert back["state"] == "s"
    status, answer = app.redeem(back["code"])
    assert status == 200
    word = f"Bearer {answer['access_token']}"
    assert app.server.user_of(word) == app.server.user
    assert app.redeem(back["code"])[0] == 400
    assert app.server.user_of(word) is None


def test_a_code_is_bound_to_its_address_and_dies_soon(app: App) -> None:
    code = app.lands()["code"]
    assert app.redeem(code, redirect_uri="https://evil.example.com/")[1] == {"error": "invalid_grant"}
    app.server.clock.now += CODE_LIFE + timedelta(seconds=1)  # type: ignore[attr-defined]
    assert app.redeem(code)[1] == {"error": "invalid_grant"}


def test_a_code_is_bound_to_its_verifier_where_the_vendor_looks(app: App) -> None:
    for wrong in ("", "w" * 43):
        assert app.redeem(app.lands()["code"], code_verifier=wrong)[0] == (400 if app.server.pkce else 200)
    if app.server.pkce:
        del app.asked["code_challenge"], app.asked["code_challenge_method"]
        assert app.redeem(app.lands()["code"])[0] == 400, "a challenge that somebody took out"
        assert app.server.authorize({**app.asked, "code_challenge": "x"}).status_code == 400, "plain is none"


def test_only_registered_addresses_and_known_clients(app: App) -> None:
    app.server.redirects = {BACK}
    answer = app.server.authorize({**app.asked, "redirect_uri": BACK + "/"})
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert app.server.authorize({**app.asked, "client_id": "x"}).status_code == 400
    code = app.lands()["code"]
    assert app.redeem(code, secret="wrong")[1] == {"error": "invalid_client"}
    assert app.redeem(code)[0] == 200


def test_a_no_is_a_no(app: App) -> None:
    app.server.denies = True
    back = app.lands()
    assert (back["error"], "code" in back) == ("access_denied", False)


def test_a_refresh_token_that_comes_twice_takes_all_back() -> None:
    app = App(Google(Clock(), rotate=True))
    app.server.kills = True
    first = app.server.grant("contacts")
    renewed = app.post(grant_type="refresh_token", refresh_token=first)[1]
    assert renewed["refresh_token"] != first
    assert app.post(grant_type="refresh_token", refresh_token=first)[0] == 400
    assert app.server.user_of(f"Bearer {renewed['access_token']}") is None
    assert app.post(grant_type="refresh_token", refresh_token=renewed["refresh_token"])[0] == 400


def test_where_nothing_is_refreshed() -> None:
    status, answer = App(Mailchimp()).post(grant_type="refresh_token", refresh_token="x")
    assert (status, answer) == (400, {"error": "unsupported_grant_type"})
