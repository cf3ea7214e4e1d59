"""The daemon as a process, and the commands that let people in."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from office import PASSWORD

from app import cli
from app.bootstrap import start
from app.daemon import build
from app.jobs.service import Service
from app.store import audit, connections

SERVE = [sys.executable, "-m", "app", "serve", "--port", "0"]
Run = Any
Daemon = tuple[subprocess.Popen[str], str, str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONCORD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    with serving() as found:
        yield found


@contextmanager
def serving(*more: str) -> Iterator[Daemon]:
    """The process, its address, what it logged until it was there."""
    environment = {**os.environ, "CONCORD_LOG_FORMAT": "json"}
    with subprocess.Popen([*SERVE, *more], env=environment, stderr=subprocess.PIPE, text=True) as process:
        log = ""
        assert process.stderr
        for line in process.stderr:
            log += line
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        else:
            raise AssertionError(log)
        yield process, found[1], log
        process.kill()


def test_it_serves_until_it_is_told_to_end(home: Path, daemon: Daemon) -> None:
    process, url, log = daemon
    assert url.startswith("http://127.0.0.1:"), "it listens on this machine only"
    [file] = re.findall(r"token in (\S+) ", log)
    token = Path(file).read_text().strip()
    assert token not in log
    assert Path(file).stat().st_mode & 0o777 == 0o600
    with httpx.Client(base_url=url) as client:
        assert client.get("/readyz").status_code == 200
        assert "server" not in client.get("/healthz").headers
        new = {"name": "ann", "role": "admin", "password": PASSWORD}
        made = client.post("/v1/users", json=new, headers={"authorization": f"Bearer {token}"})
        assert made.status_code == 201, made.text
        near = {"x-forwarded-for": "203.0.113.9"}  # as a proxy on this machine says
        session = client.post("/v1/sessions", json={"name": "ann", "password": PASSWORD}, headers=near).json()
        client.headers["authorization"] = f"Bearer {session['token']}"
        new = {"name": "files", "system": "files", "settings": {"path": str(home / "none.csv")}, "approve": "auto"}
        assert client.post("/v1/connections", json=new).status_code == 201
        assert client.post("/v1/connections/files/sync").json()["queued"]
        deadline = time.monotonic() + 20
        while not (runs := client.get("/v1/runs?connection=files").json()["items"]) or runs[0]["outcome"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert runs[0]["outcome"] == "failed"
        assert client.get("/v1/audit?action=sign_in").json()["items"][0]["address"] == "203.0.113.9"
        with client.stream("GET", f"/v1/runs/{runs[0]['id']}/events") as stream:
            assert "event: end" in "".join(stream.iter_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr
    assert "Traceback" not in process.stderr.read()


def test_it_is_ready_while_it_can_work(home: Path) -> None:
    application = start()
    service, ending = Service(application), False
    client = TestClient(build(application, service.queue, lambda: ending, [service.trouble]))

    def why() -> str:
        answer = client.get("/readyz")
        assert client.get("/healthz").status_code == 200, "a process that ends is alive until it has"
        return "" if answer.status_code == 200 else str(answer.json()["detail"])

    assert "scheduler" in why()
    service.start()
    assert why() == ""
    ending = True
    assert "about to end" in why()
    ending = False
    with application.store.begin() as unit:
        unit.db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "9999" in why()
    service.stop(1)
    application.store.close()


@pytest.mark.parametrize(("believed", "address"), [("127.0.0.0/8", "203.0.113.9"), ("10.1.2.0/24", "127.0.0.1")])
def test_only_our_proxy_says_who_comes(home: Path, believed: str, address: str) -> None:
    with serving("--proxy", believed) as (_, url, _), httpx.Client(base_url=url) as client:
        near = {"x-forwarded-for": "198.51.100.1, 203.0.113.9"}  # the first may be anybody's word
        assert client.post("/v1/sessions", json={"name": "eve", "password": PASSWORD}, headers=near).status_code == 401
        application = start()
        with application.store.read() as unit:
            [act] = audit.listing(unit, action="sign_in")
        application.store.close()
        assert act.address == address


def concord(
    *arguments: str, stdin: str = "", capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> tuple[int, str]:
    patch.setattr(sys, "argv", ["concord", *arguments])
    patch.setattr(sys, "stdin", io.StringIO(stdin))
    capture.readouterr()
    try:
        cli.main()
    except SystemExit as leave:
        code = leave.code
    else:
        code = 0
    out, err = capture.readouterr()
    return (code if isinstance(code, int) else 0), out + err


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments, stdin="": concord(*arguments, stdin=stdin, capture=capsys, patch=monkeypatch)


def test_users_and_tokens_at_the_terminal(run: Run) -> None:
    assert run("users")[1].startswith("No users yet")
    assert run("users", "add", "ann", "--role", "king", "--no-password")[0] == 2
    assert run("users", "add", "ann", "--role", "admin", "--password-stdin", stdin="short\n")[0] == 2
    assert run("users", "add", "ann", "--role", "admin", "--password-stdin", stdin=PASSWORD + "\n")[0] == 0
    assert run("users", "add", "ann", "--no-password")[0] == 2
    assert run("users", "add", "bob", "--no-password")[0] == 0
    assert run("users", "change", "bob", "--role", "operator", "--disable")[0] == 0
    assert run("users", "change", "ann", "--disable")[0] == 2, "nobody would be left"
    users = json.loads(run("users", "--json")[1])
    assert [(u["name"], u["role"], u["enabled"], u["signs in"]) for u in users] == [
        ("ann", "admin", True, True),
        ("bob", "operator", False, False),
    ]
    made = json.loads(run("tokens", "add", "ann", "--scope", "people:read", "--json")[1])
    assert made["shown_once"].startswith("ccd_")
    assert made["shown_once"] not in run("tokens", "--json")[1]
    assert run("tokens", "add", "ann", "--scope", "nose:read")[0] == 2
    assert run("tokens", "revoke", str(made["id"]))[0] == 0
    assert run("users", "remove", "bob")[0] == 0
    application = start()
    with application.store.read() as unit:
        acts = [(act.action, act.target) for act in audit.listing(unit) if act.status == 200]
    application.store.close()
    assert acts[0] == ("remove_user", "users/bob")
    assert len(acts) == 6


def test_secrets_move_to_a_new_key(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = start()
    with application.store.begin() as unit:
        for name in ("one", "two"):
            secret = application.keyring.encrypt({"password": f"planted-{name}"})
            row = {"name": name, "system": "vtiger", "settings": {}, "policy": {}, "approve": "ask", "state": "new"}
            connections.add(unit, **row, secrets=secret, hook=secret)
    application.store.close()
    code, said = run("secrets", "rotate")
    assert code == 2 and "CONCORD_SECRETS_KEYS" in said
    old, new = (home / "concord.key").read_text().strip(), Fernet.generate_key().decode()
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", f"{new},{old}")
    assert run("secrets", "rotate")[1].startswith("4 stored secrets")
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", new)
    application = start()
    with application.store.read() as unit:
        held = [application.keyring.decrypt(c.secrets or b"")["password"] for c in connections.every(unit)]
    application.store.close()
    assert held == ["planted-one", "planted-two"]
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", Fernet.generate_key().decode())
    assert run("secrets", "rotate")[0] == 1


def test_no_command_waits_for_the_web_framework() -> None:
    code = (
        "import sys; import app.cli, app.daemon; app.cli.load(); "
        "sys.exit('fastapi' in sys.modules or 'uvicorn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
