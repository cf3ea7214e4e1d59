"""A real CardDAV server beside the sandboxes: Radicale, a process of its own on 127.0.0.1."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.contract import Context
from connectors.errors import Error, Unreachable
from connectors.http import BasicAuth, Http
from connectors.sandbox import bind

USER = "demo"
PATIENCE = 20.0
"""Seconds that the server may take to answer."""
MKCOL = (
    '<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype>'
    "<collection/><C:addressbook/></resourcetype><displayname>Contacts</displayname></prop></set></mkcol>"
)


class NoServer(Exception):
    """Radicale is not installed or does not start."""


@dataclass(frozen=True)
class AddressBook:
    """An address book on a real server, as another client sees it."""

    url: str
    password: str
    http: Http

    def settings(self) -> dict[str, Any]:
        """Settings of a connection to it."""
        return {"url": self.url, "username": USER, "password": self.password}

    def put(self, name: str, text: str) -> None:
        headers = {"content-type": "text/vcard; charset=utf-8"}
        self.http.request("PUT", f"/{USER}/contacts/{name}", content=text.encode(), headers=headers)


@contextlib.contextmanager
def radicale(folder: Path, password: str) -> Iterator[AddressBook]:
    """Radicale over an empty folder, with one address book. Raises NoServer."""
    program = Path(sys.executable).with_name("radicale")
    if not program.exists():
        raise NoServer("Radicale is not installed; `make demo` installs it (or: pip install 'concord[demo]')")
    users = folder / "users"
    users.write_text(f"{USER}:{password}\n")
    with bind() as free:
        port = free.getsockname()[1]
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
    command = [str(program), "--config", "", *(f"--{name}={value}" for name, value in options.items())]
    url = f"http://127.0.0.1:{port}"
    with (folder / "radicale.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)
    try:
        with Http(url, context, auth=BasicAuth(USER, password), tries=1) as http:
            _wait(http, server)
            headers = {"content-type": "application/xml; charset=utf-8"}
            http.request("MKCOL", f"/{USER}/contacts/", content=MKCOL, headers=headers)
            yield AddressBook(url, password, http)
    finally:
        server.terminate()
        server.wait()


def _wait(http: Http, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < until:
        try:
            http.request("GET", "/.well-known/carddav")
        except Unreachable:
            time.sleep(0.05)
        except Error:
            return  # it answers, whatever it thinks of us
        else:
            return
    raise NoServer("Radicale did not start")
