"""Real servers beside the sandboxes: Radicale and Tryton, each a process of its own on 127.0.0.1 over a folder of its
own, ended by the handle that started it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from app.demo import tryton as program
from connectors.contract import Context
from connectors.errors import Error, Unreachable
from connectors.http import BasicAuth, Http
from connectors.sandbox import bind

PATIENCE = 20.0
"""Seconds that a server may take to answer."""
GRACE = 5.0
"""Seconds that it may take to end."""
USER = "demo"
MKCOL = (
    '<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype>'
    "<collection/><C:addressbook/></resourcetype><displayname>Contacts</displayname></prop></set></mkcol>"
)


class NoServer(Exception):
    """A server is not installed or does not start; the message says which and what to do."""


def installed(package: str) -> str:
    """The version of a package, e.g. "3.7.1". Raises NoServer, in words, where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        raise NoServer(f"{package} is not installed (`make demo` installs it, and so does concord[demo])") from None


@dataclass(frozen=True)
class Process:
    """A server that was started, and perhaps does not answer yet."""

    title: str
    url: str
    handle: subprocess.Popen[bytes]
    log: Path
    patience: float = PATIENCE

    def wait(self) -> None:
        """Until it answers. Raises NoServer with the last that it said."""
        until = time.monotonic() + self.patience
        with Http(self.url, context(), tries=1) as http:
            while self.handle.poll() is None and time.monotonic() < until:
                try:
                    http.request("GET", "/")
                except Unreachable:
                    time.sleep(0.05)
                except Error:
                    return  # it answers, whatever it thinks of us
                else:
                    return
        said = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        raise NoServer(f"{self.title} did not start: {said[0][:300] if said else 'it said nothing'}")


def context() -> Context:
    """The world as another client of a server sees it."""
    return Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)


@contextlib.contextmanager
def port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else is given until the block ends: it is bound and not listened at, which lets
    in a server that asks for this very one (SO_REUSEADDR, as http.server does)."""
    with bind() as held:
        yield held.getsockname()[1]


@contextlib.contextmanager
def process(
    title: str, host: str, command: Sequence[str], folder: Path, patience: float = PATIENCE
) -> Iterator[Process]:
    """A server until the block ends. It is entered at once: `wait` says when it answers."""
    log = folder / f"{title.casefold()}.log"
    with log.open("wb") as output:
        # In a session of its own, for Ctrl-C is for us, and we end it in order.
        handle = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield Process(title, f"http://{host}", handle, log, patience)
    finally:
        handle.terminate()
        try:
            handle.wait(GRACE)
        except subprocess.TimeoutExpired:
            handle.kill()
            handle.wait()


# --- Radicale --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddressBook:
    """An address book on a real server, as another client sees it."""

    url: str
    password: str
    http: Http

    def settings(self) -> dict[str, Any]:
        """Settings of a connection to it."""
        return {"url": self.url, "username": USER, "password": self.password}

    def put(self, name: str, text: str) -> str:
        """Store a card; its path."""
        path = f"/{USER}/contacts/{name}"
        headers = {"content-type": "text/vcard; charset=utf-8"}
        self.http.request("PUT", path, content=text.encode(), headers=headers)
        return path


@contextlib.contextmanager
def radicale(folder: Path, password: str) -> Iterator[Callable[[], AddressBook]]:
    """Radicale over an empty folder; what it yields waits for it and makes an address book. Raises NoServer."""
    installed("radicale")
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    users.write_text(f"{USER}:{password}\n")
    options = {
        "auth-type": "htpasswd",
        "auth-htpasswd-filename": str(users),
        "auth-htpasswd-encryption": "plain",
        "auth-delay": "0",
        "storage-filesystem-folder": str(folder / "collections"),
        "web-type": "none",
        "logging-level": "error",
    }
    command = [
        sys.executable,
        "-m",
        "radicale",
        "--config",
        "",
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    with contextlib.ExitStack() as stack:
        host = f"127.0.0.1:{stack.enter_context(port())}"
        server = stack.enter_context(process("Radicale", host, [*command, f"--server-hosts={host}"], folder))
        http = stack.enter_context(Http(server.url, context(), auth=BasicAuth(USER, password), tries=1))

        def ready() -> AddressBook:
            server.wait()
            headers = {"content-type": "application/xml; charset=utf-8"}
            http.request("MKCOL", f"/{USER}/contacts/", content=MKCOL, headers=headers)
            return AddressBook(server.url, password, http)

        yield ready


# --- Tryton ----------------------------------------------------------------------------------------------------------


class ServerSays(Error):
    """An error that Tryton answered with."""


@dataclass
class Bookkeeper:
    """Somebody who works in a real Tryton with its own client."""

    url: str
    http: Http
    session: str = field(default="", repr=False)

    def settings(self) -> dict[str, Any]:
        """Settings of a connection to it."""
        known = {"url": self.url, "database": program.DATABASE, "username": program.LOGIN}
        return {**known, "password": program.PASSWORD, "rate": None}

    def call(self, method: str, *params: Any) -> Any:
        """The result of a method. Raises ServerSays, and the errors of connectors.http."""
        if not self.session:
            user, token, _ = self._result("common.db.login", [program.LOGIN, {"password": program.PASSWORD}, "en"], {})
            proof = f"{program.LOGIN}:{user}:{token}".encode()
            self.session = "Session " + b64encode(proof).decode()
        # The company for which invoices are written.
        ours = {"company": 1, "companies": [1]}
        return self._result(method, [*params, ours], {"authorization": self.session})

    def _result(self, method: str, params: list[Any], headers: Mapping[str, str]) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params})
        sent = {"content-type": "application/json", **headers}
        answer = self.http.request("POST", f"/{program.DATABASE}/rpc/", content=body, headers=sent).json()
        if "error" in answer:
            raise ServerSays(f"Tryton, asked for {method}: {answer['error']}")
        return answer["result"]

    def find(self, model: str, *domain: Any) -> int:
        """The id of the first row that meets a domain."""
        return int(self.call(f"model.{model}.search", list(domain), 0, 1, None)[0])


@contextlib.contextmanager
def tryton(folder: Path) -> Iterator[Callable[[], Bookkeeper]]:
    """Tryton over a fresh database in an empty folder; what it yields waits for it. Raises NoServer."""
    installed("trytond-account-invoice")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "trytond.conf"
    with contextlib.ExitStack() as stack:
        free = stack.enter_context(port())
        file.write_text(program.config(folder, free))
        # The first time on a machine the database is made.
        patience = program.MAKING + PATIENCE
        command = program.command("serve", file)
        server = stack.enter_context(process("Tryton", f"127.0.0.1:{free}", command, folder, patience))
        http = stack.enter_context(Http(server.url, context(), tries=1, timeout=60.0))

        def ready() -> Bookkeeper:
            server.wait()
            return Bookkeeper(server.url, http)

        yield ready
