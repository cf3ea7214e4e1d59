"""Consent in a browser: PKCE, state, the loopback redirect, and pasting by hand."""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors import loopback
from connectors.contract import Context
from connectors.errors import Unauthorised
from connectors.google import CONNECTOR
from connectors.google.sandbox import GoogleSandbox, create
from connectors.sandbox import running

Served = tuple[GoogleSandbox, dict[str, Any]]


@pytest.fixture
def served() -> Iterator[Served]:
    box = create()
    with running(box.app) as url:
        yield box, {**box.settings(url), "refresh_token": ""}


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def landing(link: str) -> str:
    """Where the browser is sent once the user said yes."""
    try:
        urllib.request.build_opener(_Stay).open(link)
    except urllib.error.HTTPError as answer:
        return str(answer.headers["location"])
    raise AssertionError("no redirect came")


def browse(link: str) -> str:
    """A browser on this machine that follows the redirect; the user pastes nothing."""
    with urllib.request.urlopen(link) as page:
        assert b"close this page" in page.read()
    return ""


def consent(settings: dict[str, Any], show: Callable[[str], str]) -> dict[str, str]:
    assert CONNECTOR.oauth is not None
    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)
    return loopback.consent(CONNECTOR.oauth, settings, show, context)


@pytest.mark.parametrize(
    "show",
    [browse, landing, lambda link: parse_qs(urlsplit(landing(link)).query)["code"][0]],
    ids=["redirect", "address pasted", "code pasted"],
)
def test_consent_brings_a_refresh_token_that_works(served: Served, show: Callable[[str], str]) -> None:
    box, settings = served
    granted = consent(settings, show)
    assert set(granted) == {"refresh_token"}
    assert granted["refresh_token"] in box.oauth.refreshes


def test_the_link_asks_for_lasting_access_with_pkce(served: Served) -> None:
    links: list[str] = []

    def show(link: str) -> str:
        links.append(link)
        return landing(link)

    consent(served[1], show)
    consent(served[1], show)
    first, second = ({k: v[0] for k, v in parse_qs(urlsplit(link).query).items()} for link in links)
    assert (first["access_type"], first["prompt"], first["code_challenge_method"]) == ("offline", "consent", "S256")
    assert first["login_hint"] == "someone@example.test"
    assert urlsplit(first["redirect_uri"]).hostname == "127.0.0.1"
    assert first["state"] != second["state"] and first["code_challenge"] != second["code_challenge"]
    assert "client_secret" not in first


def test_an_answer_to_another_link_is_refused(served: Served) -> None:
    box, settings = served
    box.oauth.forges_state = True
    for show in (browse, landing):
        with pytest.raises(Unauthorised, match="does not belong"):
            consent(settings, show)
    assert len(box.oauth.codes) == 2, "no code was spent"


def test_a_no_is_told(served: Served) -> None:
    box, settings = served
    box.oauth.denies = True
    with pytest.raises(Unauthorised, match="access_denied"):
        consent(settings, browse)


def test_half_an_address_is_told(served: Served) -> None:
    with pytest.raises(Unauthorised, match="does not belong"):
        consent(served[1], lambda link: "what is this")


def test_without_a_client_there_is_nothing_to_ask(served: Served) -> None:
    with pytest.raises(Unauthorised, match="client_id and client_secret"):
        consent({**served[1], "client_id": ""}, browse)


def test_a_wrong_secret_is_told_and_nothing_secret_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []

    def show(link: str) -> str:
        shown.append(landing(link))
        return shown[-1]

    with caplog.at_level(logging.DEBUG), pytest.raises(Unauthorised, match="client_secret") as caught:
        consent({**served[1], "client_secret": "hunter2"}, show)
    code = parse_qs(urlsplit(shown[0]).query)["code"][0]
    for secret in ("hunter2", code):
        assert secret not in str(caught.value)
        assert secret not in caplog.text


def test_a_code_is_worth_nothing_without_its_verifier(served: Served) -> None:
    codes: list[str] = []

    def steal(link: str) -> str:
        codes.append(landing(link))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consent(served[1], steal)
    [stolen] = [parse_qs(urlsplit(address).query)["code"][0] for address in codes]
    with pytest.raises(Unauthorised):
        consent(served[1], lambda link: stolen)
