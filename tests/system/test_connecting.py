"""Access given at the terminal and through the daemon as a process; renewed by one process at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from desk import Desk

from app.bootstrap import Application, start
from app.cli import common as code
from app.engine.run import find, session_for
from app.engine.world import Tally
from app.settings import Settings
from connectors import registry
from connectors.google.client import SCOPE
from connectors.oauth import TOKENS
from connectors.sandbox import bind, running


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Desk:
    return Desk(monkeypatch, capsys, tmp_path / "home")


def landing(link: str) -> str:
    """Where the vendor sends the browser of somebody who says yes."""
    answer = httpx.get(link, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    return str(answer.headers["location"])


class Human:
    """Answers the terminal's questions, and goes to the addresses that it shows."""

    def __init__(
        self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], does: Callable[[str], str]
    ) -> None:
        self.said = ""

        def prompt(text: str, **_: Any) -> str:
            self.said = capsys.readouterr().err
            found = re.search(r"https?://\S+", self.said)
            return does(found[0] if found else text)

        patch.setattr("typer.prompt", prompt)


def declared(desk: Desk, name: str, system: str, **more: Any) -> None:
    entry = desk.entry(name, system, **more)
    entry["settings"] = {k: v for k, v in entry["settings"].items() if k not in ("refresh_token", "account")}
    assert desk("apply", desk.file(entry)).code == code.OK


# --- at the terminal


def test_consent_is_pasted_or_comes_back_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk.system("phones", "google") as google:
        declared(desk, "phones", "google")
        assert "nobody has given access yet: concord connections consent phones" in desk("connections").out
        Human(monkeypatch, capsys, landing)
        answer = desk("connections", "consent", "phones")
        assert answer.code == code.OK and "may use Google Contacts" in answer.out
        assert desk("sync").code == code.OK

        def browse(link: str) -> str:
            assert "close this page" in httpx.get(landing(link)).text
            return ""

        Human(monkeypatch, capsys, browse)
        assert desk("connections", "consent", "phones", "--json").json["resumed"] is False
        google.oauth.revoke()
        TOKENS._held.clear()
        answer = desk("sync")
        assert answer.code == code.PAUSED and "concord connections consent phones" in answer.err
        (row,) = desk("connections", "--json").json
        assert row["consent_url"] == "/v1/connections/phones/consent" and "consent phones" in row["reason"]
        assert "consent phones" in desk("connections").out
        assert "consent phones" in desk("doctor").out
        answer = desk("connections", "consent", "phones")
        assert "It goes on" in answer.out and desk("sync").code == code.OK
        assert desk("connections", "--json").json[0]["consent_url"] is None


def test_an_address_that_is_registered_letter_by_letter(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with bind() as free:
        port = free.getsockname()[1]
    with desk.system("books", "xero") as xero:
        declared(desk, "books", "xero")
        fixed = f"http://localhost:{port}/back"
        xero.login.redirects = {fixed, "https://elsewhere.example.com/x", f"http://127.0.0.1:{port}"}

        def browse(link: str) -> str:
            back = landing(link).replace("localhost", "127.0.0.1")
            assert httpx.get(f"http://127.0.0.1:{port}/else?code=x").status_code == 404
            assert httpx.get(back).status_code == 200
            return ""

        Human(monkeypatch, capsys, browse)
        assert desk("connections", "consent", "books", "--redirect", fixed).code == code.OK
        Human(monkeypatch, capsys, landing)
        answer = desk("connections", "consent", "books", "--redirect", "https://elsewhere.example.com/x")
        assert answer.code == code.OK
        assert desk("connections", "consent", "books", "--port", port).code == code.OK
        Human(monkeypatch, capsys, lambda link: "")
        answer = desk("connections", "consent", "books", "--redirect", "https://elsewhere.example.com/x")
        assert answer.code == code.PAUSED and "paste the address" in answer.err
        with bind(port=port) as taken:
            taken.listen()
            answer = desk("connections", "consent", "books", "--port", port)
            assert answer.code == code.BAD_INPUT and "cannot be listened at" in answer.err


def test_another_account_is_refused_at_the_terminal_and_in_the_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk.system("phones", "google") as google:
        declared(desk, "phones", "google")
        Human(monkeypatch, capsys, landing)
        desk("connections", "consent", "phones")
        assert desk("sync").code == code.OK
        google.oauth.user = "4711"
        answer = desk("connections", "consent", "phones")
        assert answer.code == code.FAILED and "another account" in answer.err and "--other-account" in answer.err
        entry = desk.entry("phones", "google")
        entry["settings"] = {k: v for k, v in entry["settings"].items() if k != "account"}
        entry["settings"]["refresh_token"] = google.oauth.grant(SCOPE)
        answer = desk("apply", desk.file({**entry, "every": "5m"}))
        assert answer.code == code.FAILED and "another account" in answer.err
        (row,) = desk("connections", "--json").json
        assert (row["every"], row["state"]) == (None, "active"), "all of the file, or nothing"
        assert desk("sync").code == code.OK
        entry["settings"]["refresh_token"] = google.oauth.grant(SCOPE, "101500000000000000001")
        assert desk("apply", desk.file(entry)).code == code.OK
        entry["settings"]["refresh_token"] = "dead"
        assert desk("apply", desk.file(entry)).code == code.PAUSED
        assert desk("sync").code == code.OK, "a dead token does not take the place of one that lives"
        answer = desk("connections", "consent", "phones", "--other-account", "--json")
        assert answer.json["reset"] and desk("connections", "--json").json[0]["state"] == "new"


def test_passwords_are_entered_where_there_is_no_consent_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk.system("crm", "sugarcrm"):
        password = desk.settings["crm"]["password"]
        desk.settings["crm"]["password"] = "wrong"
        desk("apply", desk.file(desk.entry("crm", "sugarcrm")))
        assert desk("sync").code == code.PAUSED
        Human(monkeypatch, capsys, lambda question: "wrong as well")
        assert desk("connections", "consent", "crm").code == code.PAUSED
        Human(monkeypatch, capsys, lambda question: password if question == "password" else "")
        answer = desk("connections", "consent", "crm")
        assert answer.code == code.OK and "It goes on" in answer.out and password not in answer.out + answer.err
        assert desk("sync").code == code.OK
    desk("apply", desk.file({"name": "list", "system": "files", "settings": {"path": "x.csv"}}))
    assert desk("connections", "consent", "list").code == code.BAD_INPUT


# --- through the daemon, as a process


class Daemon:
    """`concord serve`, and a browser that follows wherever it is sent."""

    def __init__(self, process: subprocess.Popen[str], url: str, token: str, log: list[str]) -> None:
        self.process, self.url, self.log = process, url, log
        self.api = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"})
        self.browser = httpx.Client(follow_redirects=True)


@pytest.fixture
def daemon(desk: Desk) -> Iterator[Daemon]:
    desk("users", "add", "ann", "--role", "admin", "--no-password")
    token = desk("tokens", "add", "ann", "--json").json["shown_once"]
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    environment = {**os.environ, "CONCORD_LOG_FORMAT": "json", "CONCORD_LOG_LEVEL": "debug"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        log: list[str] = []
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        else:
            raise AssertionError(log)
        reader = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
        reader.start()
        made = Daemon(process, found[1], token, log)
        yield made
        made.api.close()
        made.browser.close()
        process.terminate()
        process.wait(20)
        reader.join(5)


@pytest.mark.parametrize("system", ["google", "mailchimp", "quickbooks", "xero"])
def test_a_browser_connects_through_the_daemon(daemon: Daemon, system: str) -> None:
    """From the link to the first sync, with a real process, real HTTP, and the vendor's sandbox."""
    box = registry.sandbox(system)
    server = box.login if system == "xero" else box.oauth
    server.redirects = {f"{daemon.url}/oauth/callback"}
    with running(box.app) as url:
        held = box.consented(url) if system == "mailchimp" else box.settings(url)
        settings = {k: v for k, v in held.items() if k not in ("refresh_token", "access_token", "realm_id")}
        new = {"name": "it", "system": system, "settings": settings, "approve": "auto"}
        assert daemon.api.post("/v1/connections", json=new).status_code == 201
        link = daemon.api.post("/v1/connections/it/consent").json()["url"]
        assert link.startswith(f"{daemon.url}/oauth/start/")
        page = daemon.browser.get(link)
        assert (page.status_code, "it is connected" in page.text) == (200, True), page.text
        deadline = time.monotonic() + 30
        while not (runs := daemon.api.get("/v1/runs?connection=it").json()["items"]) or runs[0]["outcome"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert runs[0]["outcome"] == "done", runs
        landed = parse_qs(page.url.query.decode())
        (code_,), (state,) = landed["code"], landed["state"]
        logged = "".join(daemon.log)
        for word in (code_, state, link.rpartition("/")[2], server.client_secret, *server.accesses, *server.refreshes):
            assert word not in logged


def test_a_link_from_the_terminal_is_good_at_the_daemon(
    daemon: Daemon, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk.system("phones", "google"):
        declared(desk, "phones", "google")
        monkeypatch.setenv("CONCORD_PUBLIC_URL", daemon.url)
        made = desk("connections", "consent", "phones", "--link", "--json").json
        page = daemon.browser.get(made["url"])
        assert "phones is connected" in page.text
        acts = daemon.api.get("/v1/audit?target=connections/phones").json()["items"]
        assert (acts[0]["action"], acts[0]["status"]) == ("finish_consent", 200)
        assert acts[0]["actor"].endswith(" at the terminal")


# --- one renews, the others take what it got


def applied(url: str | None, home: Path, settings: dict[str, Any]) -> Application:
    application = start(Settings.model_validate({"home": home, **({"database_url": url} if url else {})}))
    from app import configure

    entry = configure.Entry.model_validate({"name": "phones", "system": "google", "settings": settings})
    system = registry.system("google")
    configure.apply(application, [configure.Declared(entry, system, system.settings.model_validate(settings))])
    return application


RENEW = """
import sys
from app.bootstrap import start
from app.engine.run import find, session_for
from app.engine.world import Tally
application = start()
print("ready", flush=True)
sys.stdin.readline()
with session_for(application.world(), find(application.world(), "phones"), Tally()) as session:
    print(session.connector.check().label, flush=True)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_processes_never_renew_both(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refresh token rotates, and everything is taken back if it comes a second time."""
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    box = registry.sandbox("google", rotate=True)
    box.oauth.kills = True
    with running(box.app) as where:
        application = applied(url, tmp_path, box.settings(where))
        first = application.keyring.decrypt(find(application.world(), "phones").secrets or b"")["refresh_token"]
        monkeypatch.setenv("CONCORD_HOME", str(tmp_path))
        if url:
            monkeypatch.setenv("CONCORD_DATABASE_URL", url)
        box.faults.add("slow", "POST /token", seconds=0.3, times=3)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", RENEW],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60) for process in processes]
        assert [out for out, _ in said] == ["Google Contacts of someone@example.test (0 contacts)\n"] * 3, said
        # Each process asks once (access tokens are not shared), but never twice with the same refresh token.
        assert len([line for line in box.faults.log if line == "POST /token"]) == 3
        last = application.keyring.decrypt(find(application.world(), "phones").secrets or b"")["refresh_token"]
        assert last != first and last in box.oauth.refreshes
        application.store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_many_threads_renew_once(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    box = registry.sandbox("google", rotate=True)
    box.oauth.kills = True
    with running(box.app) as where:
        application = applied(url, tmp_path, box.settings(where))
        together = threading.Barrier(4)

        def check(_: int) -> str:
            world = application.world()
            with session_for(world, find(world, "phones"), Tally()) as session:
                together.wait()
                return session.connector.check().label

        for _ in range(3):
            with ThreadPoolExecutor(4) as pool:
                assert len({*pool.map(check, range(4))}) == 1
            box.oauth.expire()
            TOKENS._held.clear()
        assert len([line for line in box.faults.log if line == "POST /token"]) == 3
        application.store.close()


def test_it_is_told_where_the_daemon_is_to_be_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, fits in (
        ("https://concord.example.com/", True),
        ("https://example.com/concord", True),
        ("http://127.0.0.1:8420", True),
        ("http://concord.example.com", False),
        ("concord.example.com", False),
        ("https://concord.example.com/?x=1", False),
        ("https://ann@concord.example.com", False),
    ):
        monkeypatch.setenv("CONCORD_PUBLIC_URL", value)
        answer = desk("connections")
        assert (answer.code == code.OK) is fits, answer.err
        assert fits or "CONCORD_PUBLIC_URL" in answer.err
