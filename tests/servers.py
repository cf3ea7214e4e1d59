"""Real CardDAV servers for the tests and the benchmarks, each a process of its own on 127.0.0.1 over a folder that the
caller gives (a temporary one). They are ended by the handle that started them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.sandbox import bind, running

PATIENCE = 20.0
"""Seconds that a server may take to answer."""

MKCOL = (
    '<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype>'
    "<collection/><C:addressbook/></resourcetype><displayname>{name}</displayname></prop></set></mkcol>"
)


@dataclass(frozen=True)
class Server:
    """A server that answers.

    url: its root. book: the URL of an empty address book. folder: where it keeps its files.
    """

    url: str
    book: str
    username: str
    password: str
    folder: Path

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a connection to it, secrets in the clear."""
        return {"url": self.url, "username": self.username, "password": self.password, **more}

    def ask(
        self, method: str, url: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Any]:
        """What another client sees: status, body, headers."""
        token = b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            url, body.encode() or None, {"authorization": f"Basic {token}", **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def put(self, name: str, text: str, book: str | None = None) -> str:
        """Store a card as another client would; returns its path."""
        url = (book or self.book) + name
        status, answer, _ = self.ask("PUT", url, text, {"content-type": "text/vcard; charset=utf-8"})
        if status not in (200, 201, 204):
            raise RuntimeError(f"PUT {url}: HTTP {status}: {answer[:200]}")
        return "/" + url.split("/", 3)[3]

    def get(self, path: str) -> str:
        """The text that is stored at a path."""
        status, text, _ = self.ask("GET", self.url + path)
        if status != 200:
            raise LookupError(f"GET {path}: HTTP {status}")
        return text

    def make_book(self, url: str, name: str) -> str:
        """Make one more address book; returns its URL."""
        headers = {"content-type": "application/xml; charset=utf-8"}
        status, answer, _ = self.ask("MKCOL", url, MKCOL.format(name=name), headers)
        if status != 201:
            raise RuntimeError(f"MKCOL {url}: HTTP {status}: {answer[:200]}")
        return url


class Stage:
    """One running server for many sandboxes, one after the other: starting a server costs more than most tests."""

    def __init__(self) -> None:
        self.url = ""
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "nothing is on stage"
        await self.app(scope, receive, send)


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is open; put a sandbox's `app` on it."""
    made = Stage()
    with running(made) as made.url:
        yield made


@contextlib.contextmanager
def radicale(folder: Path, username: str = "lab", password: str = "pass:word") -> Iterator[Server]:
    """Radicale with a password file and one address book, "Contacts"."""
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    users.write_text(f"{username}:{password}\n")
    port = free_port()
    options = {
        "server-hosts": f"127.0.0.1:{port}",
        "auth-type": "htpasswd",
        "auth-htpasswd-filename": str(users),
        "auth-htpasswd-encryption": "plain",
        "auth-delay": "0",
        "storage-filesystem-folder": str(folder / "collections"),
        "web-type": "none",
        "logging-level": "error",
    }
    command = [str(Path(sys.executable).with_name("radicale")), "--config", ""]
    command += [f"--{name}={value}" for name, value in options.items()]
    url = f"http://127.0.0.1:{port}"
    server = Server(url, f"{url}/{username}/contacts/", username, password, folder)
    with process(command, folder / "radicale.log", url):
        if not (folder / "collections" / "collection-root" / username / "contacts").exists():
            server.make_book(server.book, "Contacts")
        yield server


@contextlib.contextmanager
def xandikos(folder: Path) -> Iterator[Server]:
    """Xandikos with its default address book. It wants TLS before it asks for a password, so it asks for none."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(Path(sys.executable).with_name("xandikos")), "serve", "--directory", str(data), "--defaults"]
    command += ["--state-dir", str(folder / "state"), "--listen-address", "127.0.0.1", "--port", str(port)]
    command += ["--no-detect-systemd"]
    url = f"http://127.0.0.1:{port}"
    with process(command, folder / "xandikos.log", url):
        yield Server(url, f"{url}/user/contacts/addressbook/", "user", "none", folder)


@contextlib.contextmanager
def process(command: list[str], log: Path, url: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; entered once it answers at `url`. environment: ours by default."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment)
    try:
        until = time.monotonic() + PATIENCE
        while not answers(url):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not come up: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers(url: str) -> bool:
    """Does a web server answer there, with whatever status?"""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that was free a moment ago."""
    with contextlib.closing(bind()) as listener:
        port: int = listener.getsockname()[1]
        return port
