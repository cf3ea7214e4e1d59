"""Consent from a command line: the browser comes back to a listener on this machine, or the user pastes where it ended
(RFC 8252 section 7.3)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from connectors.contract import Context, OAuth
from connectors.errors import Unauthorised
from connectors.oauth import AGAIN, ask, brought, redeem

PATIENCE: Final = 300.0
"""Seconds that the listener waits for the browser."""


def consent(
    oauth: OAuth,
    settings: Mapping[str, Any],
    show: Callable[[str], str],
    context: Context,
    redirect: str | None = None,
) -> dict[str, str]:
    """Ask the user for access in a browser; returns the settings to add.

    show: shows the link; returns the address (or code) that the user pasted, or "" to wait for the browser to come
        back to this machine by itself. Pasting is for a browser on another machine.
    redirect: the address that is registered with the vendor, where it wants one letter by letter. On this machine
        (http://localhost:8421/back) it is listened at; from elsewhere the user pastes. None: any port of this machine.
    Raises Unauthorised where no access was given, ValueError where that address cannot be listened at.
    """
    with _waiting(redirect) as (redirect_uri, arrived):
        asked = ask(oauth, settings, redirect_uri)
        pasted = show(asked.url).strip()
        if pasted and "=" not in pasted and " " not in pasted:
            query = {"code": pasted}  # the bare code, by the hand of who was shown the link
        else:
            query = brought(pasted or arrived(PATIENCE), asked)
    return redeem(oauth, settings, asked, query, context)


@contextmanager
def _waiting(redirect: str | None) -> Iterator[tuple[str, Callable[[float], str]]]:
    """Where the browser is to come back to: (the address, wait for the address that came)."""
    parts = urlsplit(redirect or "http://127.0.0.1:0")
    if redirect and (parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost")):

        def nobody(patience: float) -> str:
            raise Unauthorised(f"the browser comes back to {redirect}, not here; paste the address it ended at")

        yield redirect, nobody
        return
    with _listening(parts.port or (80 if redirect else 0), parts.path or "/") as (found, arrived):
        yield redirect or f"http://127.0.0.1:{found}", arrived


@contextmanager
def _listening(port: int, path: str) -> Iterator[tuple[int, Callable[[float], str]]]:
    """A listener on the loopback address, for the one redirect: (its port, wait for the address that came)."""
    came: list[str] = []
    event = threading.Event()

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            known = parts.path == path and {"code", "error"} & set(parse_qs(parts.query))
            self.send_response(200 if known else 404)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.end_headers()
            if known:
                self.wfile.write(b"Done. You can close this page and go back to Concord.")
                came.append(self.path)
                event.set()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name is http.server's
            """Nothing: the request line holds the code."""

    try:
        server = HTTPServer(("127.0.0.1", port), Redirect)
    except OSError as error:
        raise ValueError(f"port {port} of this machine cannot be listened at ({error.strerror})") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()

    def arrived(patience: float) -> str:
        if not event.wait(patience):
            raise Unauthorised(f"the browser did not come back within {patience:.0f} seconds; {AGAIN}")
        return came[0]

    try:
        yield server.server_port, arrived
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
