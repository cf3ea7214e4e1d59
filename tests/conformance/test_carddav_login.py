"""Basic and Digest: who is asked what, and what of the password anybody could read on the way."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from test_carddav import ANNA, Remote, vcard

from connectors import http
from connectors.carddav.login import challenges, overheard
from connectors.carddav.sandbox import PASSWORD, CardDAVSandbox, create
from connectors.contract import Push
from connectors.errors import Unauthorised
from connectors.sandbox import running


@contextlib.contextmanager
def served(**warts: Any) -> Iterator[tuple[CardDAVSandbox, Remote]]:
    sandbox = create(**warts)
    with running(sandbox.app) as url:
        yield sandbox, Remote(sandbox.settings(url))


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """`far.test` is this machine; nobody but the resolver knows."""
    lookup = socket.getaddrinfo

    def found(host: Any, *rest: Any, **more: Any) -> Any:
        return lookup("127.0.0.1" if host in ("far.test", b"far.test") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def go_far(remote: Remote) -> None:
    remote.settings["url"] = remote.settings["url"].replace("127.0.0.1", "far.test")
    remote.open()


# --- Digest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["", "MD5", "SHA-256"])
def test_a_server_that_takes_digest_alone(algorithm: str) -> None:
    with served(login="digest", algorithm=algorithm) as (sandbox, remote):
        [path] = [sandbox.put("1.vcf", vcard("uid-1", "EMAIL:one@example.org"))]
        account = remote.connector.check()
        assert account.label.startswith("Contacts of lab")
        assert "contacts travel unencrypted (http)" in account.notes, "and the password does not"
        assert remote.pull() == [path]
        created = remote.create(ANNA)
        assert "anna@example.org" in sandbox.text(created.id)
        assert remote.write(Push("1", created.key or "", created, None))[0].error is None
        assert sandbox.door.seen.count("basic") == 1, "on this machine, before anything was known"


def test_it_is_remembered_and_every_request_is_counted() -> None:
    with served(login="digest") as (sandbox, remote):
        remote.pull()
        sandbox.door.seen.clear()
        assert remote.pull() == []
        assert sandbox.door.seen == ["", "digest"], "no password, even before the challenge"
        assert remote.requests.total() == 2, "the challenge counts"
        for n in range(3):
            remote.create(ANNA, f"key-{n}")
        assert set(sandbox.door.seen[1:]) == {"digest"}, "one challenge serves a whole run"


def test_a_stale_nonce_is_no_wrong_password() -> None:
    with served(login="digest", nonce_uses=2) as (sandbox, remote):
        remote.pull()
        outcomes = remote.write(*(Push(str(n), str(uuid.uuid4()), None, ANNA) for n in range(9)))
        assert [outcome.error for outcome in outcomes] == [None] * 9
        assert len(sandbox.book.cards) == 9


@pytest.mark.parametrize("login", ["basic", "digest", "both"])
def test_a_wrong_password_says_the_same(login: Any) -> None:
    with served(login=login) as (sandbox, remote):
        remote.settings["password"] = "s3cret-word"
        remote.open()
        with pytest.raises(Unauthorised, match="the credentials were refused; enter them again") as caught:
            remote.connector.check()
        assert "s3cret-word" not in str(caught.value)
        assert len(sandbox.door.seen) == (2 if login == "digest" else 1), "guessing locks accounts"


def test_a_digest_that_is_not_known() -> None:
    with (
        served(login="digest", algorithm="SHA-512-256") as (_, remote),
        pytest.raises(Unauthorised, match="a kind of Digest that is not known here"),
    ):
        remote.connector.check()


def test_a_server_that_changes_its_mind() -> None:
    with served(login="digest") as (sandbox, remote):
        remote.pull()
        sandbox.warts.login = "basic"
        assert remote.pull() == []
        assert remote.pull() == []
        assert remote.requests.total() == 1
        sandbox.warts.login = "digest"
        assert remote.pull() == []
        assert sandbox.door.seen[-1] == "digest"


# --- Basic ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["basic", "both"])
def test_basic_costs_no_request_more_than_it_did(login: Any) -> None:
    with served(login=login) as (sandbox, remote):
        remote.pull()
        remote.create(ANNA)
        assert "contacts and the password travel unencrypted (http)" in remote.connector.check().notes
        assert set(sandbox.door.seen) == {"basic"}
        assert "login" not in remote.memory


# --- where others can read ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("login", ["digest", "both"])
def test_no_password_is_sent_where_others_can_read_it(login: Any) -> None:
    with served(login=login) as (sandbox, remote):
        go_far(remote)
        remote.pull()
        remote.create(ANNA)
        remote.pull()
        assert set(sandbox.door.seen) == {"", "digest"}


@pytest.mark.usefixtures("far")
def test_where_others_can_read_a_server_is_asked_once_what_it_wants() -> None:
    with served(login="basic") as (sandbox, remote):
        go_far(remote)
        remote.pull()
        assert sandbox.door.seen[:2] == ["", "basic"]
        assert set(sandbox.door.seen[1:]) == {"basic"}
        remote.pull()
        assert sandbox.door.seen.count("") == 1


@pytest.mark.usefixtures("far")
def test_another_account_is_asked_anew() -> None:
    with served(login="basic") as (sandbox, remote):
        go_far(remote)
        remote.pull()
        remote.settings["username"] = "somebody"
        sandbox.door.seen.clear()
        remote.open()
        with pytest.raises(Unauthorised):
            remote.connector.check()
        assert sandbox.door.seen == ["", "basic"]


@pytest.mark.parametrize(
    ("url", "can"),
    [
        ("https://far.test/", False),
        ("http://far.test/", True),
        ("http://10.0.0.1/", True),
        ("http://127.0.0.1:5232/", False),
        ("http://[::1]/", False),
        ("http://localhost/", False),
        ("http://localhost.far.test/", True),
    ],
)
def test_who_can_read_it(url: str, can: bool) -> None:
    assert overheard(http.Request("GET", url)) is can


# --- the header -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        (['Basic realm="a, Digest b"'], ["basic"]),
        (['Digest realm="a", nonce="n", Basic realm="b"'], ["digest", "basic"]),
        (['Negotiate, Digest realm="a",nonce="x=y"'], ["negotiate", "digest"]),
        (["Bearer", 'DIGEST realm="a"'], ["bearer", "digest"]),
        (['Basic realm = "a" , charset="UTF-8"'], ["basic"]),
        ([], []),
        ([", ,"], []),
    ],
)
def test_what_a_server_asks_for(headers: list[str], schemes: list[str]) -> None:
    answer = http.Response(401, headers=[("www-authenticate", header) for header in headers])
    assert [scheme for scheme, _ in challenges(answer)] == schemes


def test_the_challenge_that_can_be_met_is_taken() -> None:
    """Of several (RFC 7616 section 3.7 lists the strongest first), and between others in one header."""
    with served(login="digest") as (sandbox, remote):
        ask = sandbox.door._challenges

        def all_in_one(*args: Any) -> Iterator[str]:
            [known] = ask(*args)
            yield 'Digest realm="sandbox", nonce="other", algorithm=SHA-512-256, qop="auth", ' + known + ", Negotiate"

        sandbox.door._challenges = all_in_one  # type: ignore[method-assign]
        assert remote.connector.check().label.startswith("Contacts of lab")


def test_the_sandbox_knows_a_digest_from_a_guess() -> None:
    with served(login="digest") as (sandbox, remote):
        remote.pull()
        nonce = next(iter(sandbox.door.uses))
        guess = (
            f'Digest username="lab", realm="sandbox", nonce="{nonce}", uri="/dav/", response="", qop=auth, nc=00000009'
        )
        basic = "Basic " + b64encode(f"lab:{PASSWORD}".encode()).decode()
        for said in (guess, basic):
            with http.Http(remote.settings["url"], remote.context) as client, pytest.raises(Unauthorised):
                client.request("GET", "/dav/", headers={"authorization": said})


def test_the_sandbox_and_another_client_agree_on_digest() -> None:
    """The standard library's, which shares no code with ours."""
    with served(login="digest", algorithm="MD5") as (sandbox, remote):
        url = remote.settings["url"] + sandbox.put("1.vcf", vcard("uid-1")) + "?a=b"
        for password, expected in ((PASSWORD, 200), ("wrong", 401)):
            keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            keys.add_password(None, remote.settings["url"], "lab", password)
            opener = urllib.request.build_opener(urllib.request.HTTPDigestAuthHandler(keys))
            try:
                status = opener.open(url).status
            except urllib.error.HTTPError as error:
                status = error.code
            assert status == expected
