"""The API as one ASGI application."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse

from app.web import examples, problems
from app.web.acts import Guarded
from app.web.api import (
    audit,
    conflicts,
    connections,
    consent,
    files,
    groups,
    health,
    oauth,
    people,
    plans,
    refused,
    runs,
    sessions,
    systems,
    tokens,
    users,
)
from app.web.ports import Ports
from app.web.problems import Flaw, Problem
from app.web.shield import Shield

ROUTERS: Final = (
    sessions.router,
    users.router,
    tokens.router,
    systems.router,
    connections.router,
    groups.router,
    people.router,
    consent.router,
    plans.router,
    runs.router,
    conflicts.router,
    refused.router,
    files.router,
    audit.router,
    health.router,
    oauth.router,
)
STATIC: Final = Path(__file__).parent / "static"
DOCS_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'",
    "cache-control": "no-cache",
}
ABOUT: Final = """
One true card per person, and every system of your business in step with it, both ways.

**Who**: sign in (`POST /v1/sessions`) or make a token (`POST /v1/tokens`), and send `Authorization: Bearer TOKEN`.
Roles: `viewer` reads, `operator` works with persons, plans and conflicts, `admin` does everything, `webhook` only
brings news from a remote. **Errors** are problem details (RFC 9457). **Lists** come in pages: send `next` as `cursor`.
**Twice is once**: a POST with an `Idempotency-Key` that was done in the last 24 hours is answered as it was then.
**Two editors**: persons and groups have an ETag; a change needs `If-Match`. **Every act** is in `GET /v1/audit`.
"""


def create_app(ports: Ports, more: Sequence[APIRouter] = ()) -> FastAPI:
    """The API. more: routers of others (webhooks in, metrics), which answer for themselves who may use them."""
    app = FastAPI(
        title="Concord",
        version=version("concord"),
        summary="The admin API",
        description=ABOUT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.ports = ports
    for router in (*ROUTERS, *more):
        app.include_router(router)
    _serve_docs(app)
    problems.install(app)
    app.add_middleware(Shield)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with what FastAPI does not know: who may, problems, idempotency keys."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            license_info=app.license_info,
            routes=app.routes,
        )
        parts = made.setdefault("components", {})
        parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        schemas = parts.setdefault("schemas", {})
        for model in (Problem, Flaw):
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas[model.__name__].pop("$defs", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for path in made["paths"].values():
            for method, operation in path.items():
                _complete(method, operation)
        examples.add(made)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(method: str, operation: dict[str, Any]) -> None:
    permission = operation.pop("x-permission", None)
    operation.pop("x-recorded", None)
    shown_once = operation.pop("x-shown-once", False)
    told = operation.get("description", "").partition("\n\n")[0].replace("\n", " ")
    operation["summary"] = re.split(r"(?<=[.?:;]) ", told, maxsplit=1)[0].rstrip(".:;")
    if permission:
        operation["description"] = f"{operation.get('description', '')}\n\nTakes `{permission}`.".strip()
    if "422" in operation["responses"] and "application/json" in operation["responses"]["422"].get("content", {}):
        del operation["responses"]["422"]  # FastAPI's own, of which we never answer
        operation["responses"] |= problems.openapi(422)
    if "requestBody" in operation:  # what is no JSON, or no form, at all
        operation["responses"] = problems.openapi(400) | operation["responses"]
    if method == "post" and permission:
        again = "a repetition is answered with 409" if shown_once else "a repetition is answered as the first time"
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": f"A key of your own for this very request; {again}.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
                "example": "6f1c9b52-9a52-4d8a-8f3b-0f4d9f2f6a11",
            }
        )
        operation["responses"] |= {
            k: v for k, v in problems.openapi(409, 422).items() if k not in operation["responses"]
        }


def _serve_docs(app: FastAPI) -> None:
    """The documentation as a page that needs nothing from elsewhere."""
    for path, file, media in (
        ("/docs", "docs.html", "text/html"),
        ("/docs/docs.js", "docs.js", "text/javascript"),
        ("/docs/docs.css", "docs.css", "text/css"),
    ):

        def page(file: str = file, media: str = media) -> FileResponse:
            return FileResponse(STATIC / file, media_type=media, headers=DOCS_HEADERS)

        app.add_api_route(path, page, include_in_schema=False)


__all__ = ["Guarded", "create_app"]
