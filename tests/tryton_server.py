"""A real Tryton server for the tests: the one of the demo (`app.demo.tryton`), and another user's client."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.demo import servers
from app.demo.tryton import DATABASE, LOGIN, PASSWORD


@dataclass
class Tryton:
    """A server that answers, and somebody else who works in it (`call`)."""

    url: str
    login: str = LOGIN
    password: str = PASSWORD
    database: str = DATABASE
    session: str = field(default="", repr=False)
    """The header that proves the login, once there was one."""

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of a connection to it, secrets in the clear."""
        mine = {"url": self.url, "database": self.database, "username": self.login, "password": self.password}
        return {**mine, "rate": None, **more}

    def call(self, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Any:
        """The result of a method, asked for by another user's client. Raises RuntimeError with the server's error."""
        if not self.session:
            user, token, _ = self._result("common.db.login", [self.login, {"password": self.password}, "en"])
            self.session = "Session " + b64encode(f"{self.login}:{user}:{token}".encode()).decode()
        return self._result(method, [*params, context or {}])

    def _result(self, method: str, params: list[Any]) -> Any:
        headers = {"authorization": self.session} if self.session else {}
        body = {"id": 1, "method": method, "params": params}
        status, content = self.raw(f"/{self.database}/rpc/", headers, body)
        if status != 200:
            raise RuntimeError(f"{method}: HTTP {status}")
        told = json.loads(content)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]

    def raw(self, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
        """Status and body of an answer."""
        # An answer of more than 1,400 characters is called gzip, although we did not ask for it, and is not.
        sent = {"content-type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wizard(self, name: str, state: str, form: dict[str, Any], then: str, context: dict[str, Any]) -> None:
        """Go through a wizard of one form."""
        session, _, _ = self.call(f"wizard.{name}.create", context=context)
        self.call(f"wizard.{name}.execute", session, {state: form}, then, context=context)
        self.call(f"wizard.{name}.delete", session, context=context)


@contextlib.contextmanager
def tryton(folder: Path) -> Iterator[Tryton]:
    """A server over a fresh copy of the template, in a folder that the caller gives."""
    with servers.tryton(folder) as ready:
        yield Tryton(ready().url)


class Front:
    """An ASGI app that hands everything to the real server, so that troubles can be put in between (`Hostile`)."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body, headers = await request.body(), dict(request.headers)
        status, kind, content = await run_in_threadpool(self._ask, scope["path"], headers, body)
        await Response(content, status, {"content-type": kind})(scope, receive, send)

    def _ask(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        kept = {name: headers[name] for name in ("authorization", "content-type") if name in headers}
        request = urllib.request.Request(self.url + path, body, kept)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers.get("content-type", ""), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("content-type", ""), error.read()
