"""Webhooks in: proved, noted, answered within milliseconds. What they say is not read; see `app.jobs.receiving`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.jobs.receiving import Receiver
from app.secrets import BadKey

log = logging.getLogger(__name__)

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
        return answer(lambda: 200 if receiver.knows(connection, token) else 404)

    @api.post("/{connection}/{token}")
    async def take(connection: str, token: str, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                return Response(status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}

        def status() -> int:
            return STATUS[receiver.receive(connection, token, headers, bytes(body))]

        return await run_in_threadpool(answer, status)

    return api


def answer(status: Callable[[], int]) -> Response:
    """Where our own key is missing nothing can be told: the vendor is to come again."""
    try:
        return Response(status_code=status())
    except BadKey as error:
        log.warning("a webhook came and cannot be told from a forged one: %s", error)
        return Response(status_code=503)
