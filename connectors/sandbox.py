"""A remote in a box: the ground on which every connector's sandbox stands.

A sandbox is a FastAPI app that speaks a vendor's protocol, warts included. It is served on a loopback port, by
`running` in this process or by `concord sandbox`, and is hostile on demand through its `Faults`.
Used by the demo, the tests and developers; never by the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import uvicorn
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal["throttle", "unavailable", "html", "error_after", "lost_before", "lost_after", "slow"]
"""throttle: 429 · unavailable: 503 · html: 200 with a web page in place of an answer · error_after: the request
takes effect, then 500 · lost_before / lost_after: the connection breaks before / after the effect ·
slow: `seconds` late."""


@dataclass
class Fault:
    """One kind of trouble, for the next `times` requests that match `pattern` ("POST /webservice", a regular
    expression searched in "METHOD /path?query")."""

    kind: Kind
    pattern: str = "."
    times: int = 1
    retry_after: float | None = None
    seconds: float = 0.0
    skip: int = 0


@dataclass
class Faults:
    """The troubles that are due, and every request that came, in order."""

    due: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: Kind, pattern: str = ".", times: int = 1, **options: Any) -> None:
        with self.lock:
            self.due.append(Fault(kind, pattern, times, **options))

    def clear(self) -> None:
        with self.lock:
            self.due.clear()

    def take(self, request: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self.lock:
            self.log.append(request)
            for fault in self.due:
                if fault.times > 0 and re.search(fault.pattern, request):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class Hostile:
    """ASGI middleware that makes the faults happen."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app, self.faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        query = scope["query_string"].decode()
        fault = self.faults.take(f"{scope['method']} {scope['path']}" + (f"?{query}" if query else ""))
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind == "slow":
            time.sleep(fault.seconds)
            await self.app(scope, receive, send)
        elif fault.kind == "throttle":
            headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
            await Response("", 429, headers)(scope, receive, send)
        elif fault.kind == "unavailable":
            await Response("", 503)(scope, receive, send)
        elif fault.kind == "html":
            await HTMLResponse("<html><body><h1>Maintenance</h1></body></html>")(scope, receive, send)
        else:
            if fault.kind != "lost_before":
                await self.app(scope, receive, _nowhere)
            if fault.kind == "error_after":
                await Response("", 500)(scope, receive, send)
            else:
                await _break(send)


async def _nowhere(message: Message) -> None:
    """Swallows an answer."""


async def _break(send: Send) -> None:
    """Promise a body and hang up: the client sees the connection break."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"", "more_body": True})


class Sandbox(Protocol):
    """What every sandbox offers to tests and the demo: its ASGI app (already wrapped in `Hostile`), its faults, and
    settings that let a connector in."""

    app: ASGIApp
    faults: Faults

    def settings(self, url: str) -> dict[str, Any]:
        """Settings for a connection to this sandbox served at `url`, secrets in the clear."""
        ...


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket on this machine."""
    # Named as TCP, so that asyncio sets TCP_NODELAY on what it accepts; without, each answer may wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


class _Server(uvicorn.Server):
    """Ends when it is told to. uvicorn's own looks ten times a second whether it was, and sleeps as long again: most of
    what a test takes that needs a server of its own."""

    async def main_loop(self) -> None:
        for tick in itertools.count():
            if self.should_exit:
                return
            if tick % 100 == 0:
                await self.on_tick(0)  # what the date header says
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in [*self.server_state.connections]:
            connection.shutdown()
        for task in self.server_state.tasks:
            task.cancel()


@contextlib.contextmanager
def running(app: ASGIApp, port: int = 0, *, dated: bool = True) -> Iterator[str]:
    """Serve the app on 127.0.0.1 in a thread; yields its URL. dated: answers tell this machine's time, else what the
    app says."""
    listener = bind(port=port)
    server = _Server(uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, date_header=dated))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the sandbox server did not start")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()
