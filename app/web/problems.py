"""Every error as a problem detail (RFC 9457): what happened, and what to do about it. Never a secret, never a trace."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.engine.access import Denied, Taken, TooOften
from app.engine.resolve import Outdated
from app.engine.run import Busy
from app.engine.world import Unusable
from app.secrets import BadKey, redact
from app.store.store import StoreFull, Unopenable
from app.web.ports import Invalid
from connectors.errors import Error, Refused, Throttled
from connectors.registry import UnknownSystem

log = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"


class Flaw(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="Where, as a JSON pointer: /body/name", examples=["/body/name"])
    detail: str = Field(description="Why, in words.", examples=["Field required"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "no connection is called 'crm'; there are: phone",
            }
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Flaw] | None = None


class Failure(HTTPException):
    """An error that a handler answers with."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How these answers are documented, for a route."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(statuses)
    }


def openapi(*statuses: int) -> dict[str, dict[str, Any]]:
    """How these answers are documented, in the document."""
    return {str(status): text for status, text in responses(*statuses).items()}


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: Sequence[Flaw] = ()
) -> JSONResponse:
    """The answer that tells a problem."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors) or None)
    content = redact(None, "", body.model_dump(exclude_none=True))
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


_REACTIONS: Final[Mapping[type[Exception], int]] = {
    LookupError: 404,
    ValueError: 422,
    UnknownSystem: 422,
    Refused: 422,
    Taken: 409,
    Busy: 409,
    Unusable: 409,
    Outdated: 412,
    StoreFull: 507,
    Unopenable: 503,
    BadKey: 503,
}
"""By the very class: what merely descends from these (a KeyError) is a fault of ours."""


def answer(error: Exception) -> JSONResponse:
    """What an error is answered with."""
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), error.headers)
    if isinstance(error, RequestValidationError):
        return _invalid([(tuple(e["loc"]), e["msg"].removeprefix("Value error, ")) for e in error.errors()])
    if isinstance(error, Invalid):
        return _invalid([(("body", *at), why) for at, why in error.problems])
    if isinstance(error, Denied):
        return problem(401, str(error), {"www-authenticate": "Bearer"})
    if isinstance(error, TooOften):
        return problem(429, str(error), {"retry-after": f"{error.seconds:.0f}"})
    if (status := _REACTIONS.get(type(error))) is not None:
        return problem(status, str(error))
    if isinstance(error, Throttled):
        return problem(503, str(error), {"retry-after": f"{error.retry_after or 60:.0f}"})
    if isinstance(error, Error):
        return problem(502, str(error))
    log.error("a request failed", exc_info=error)
    return problem(500, "this should not happen; the log has the details")


def _invalid(found: Sequence[tuple[tuple[str | int, ...], str]]) -> JSONResponse:
    flaws = [Flaw(pointer="".join(f"/{part}" for part in at), detail=why) for at, why in found]
    return problem(422, "; ".join(f"{flaw.pointer}: {flaw.detail}" for flaw in flaws), errors=flaws)


def _allowed(routes: Iterable[Any], scope: Scope) -> Iterator[str]:
    """Every method of that address: it may be several routes'."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _allowed(inner.routes, scope)
        elif route.matches(scope)[0] is not Match.NONE:
            yield from route.methods or ()


def install(app: FastAPI) -> None:
    """Answer everything that no route answers (404, 405, …) and what fails outside of them likewise."""

    async def tell(request: Request, error: Exception) -> JSONResponse:
        told = answer(error)
        if told.status_code == 405:
            told.headers["allow"] = ", ".join(sorted({*_allowed(app.routes, request.scope)}))
        return told

    for kind in (HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, tell)
