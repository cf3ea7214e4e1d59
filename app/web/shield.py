"""What every answer carries, and how much every request may."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import Failure, answer

MAX_BODY: Final = 1 << 20
"""Bytes of a request, but for files."""
MAX_FILE: Final = 64 << 20
"""Bytes of a request that brings a file."""
FILES: Final = "/v1/imports"

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
API_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class Shield:
    """ASGI middleware: security headers on every answer, no request larger than what it may be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        limit = MAX_FILE if path.startswith(FILES) else MAX_BODY
        more = API_HEADERS if path.startswith("/v1/") else {}

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, **more}.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > limit:
            await answer(_too_large(limit))(scope, receive, shielded)
            return
        await self.app(scope, _counted(receive, limit), shielded)


def _counted(receive: Receive, limit: int) -> Receive:
    """A body that did not say how long it is, or lied, is stopped where it becomes too long."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> Failure:
    return Failure(413, f"a request has {limit:,} bytes at most here")
