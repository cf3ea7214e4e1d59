"""Webhooks in: proved, noted, answered within milliseconds. What they say is not read; see `app.jobs.receiving`."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.jobs.receiving import Receiver

LARGEST: Final = 1 << 20
"""Bytes of a webhook; vendors send a few thousand."""
STATUS: Final = {"taken": 200, "unknown": 404, "forged": 401}
"""Xero's check of a new address wants 200 for what is signed well and 401 for what is not (accounting note)."""


def router(receiver: Receiver) -> APIRouter:
    """The routes under /hooks, to be mounted without any other authentication: the address and the signature are it."""
    api = APIRouter(prefix="/hooks", tags=["webhooks"], include_in_schema=False)

    @api.api_route("/{connection}/{token}", methods=["GET", "HEAD"])
    def check(connection: str, token: str) -> Response:
        """Mailchimp asks by GET whether somebody is there before it takes an address (mailchimp note 6)."""
        return Response(status_code=200 if receiver.knows(connection, token) else 404)

    @api.post("/{connection}/{token}")
    async def take(connection: str, token: str, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                return Response(status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        verdict = await run_in_threadpool(receiver.receive, connection, token, headers, bytes(body))
        return Response(status_code=STATUS[verdict])

    return api
