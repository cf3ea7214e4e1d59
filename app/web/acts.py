"""Every request on its way through: who is it, may they, was it done already, write it down, do it, say how it ended.

A route says with `rule` what it needs; one that says nothing cannot be made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from app.engine import access
from app.engine.access import Denied, Principal
from app.store import audit, idempotency
from app.store.audit import Act
from app.store.store import Store
from app.web import problems
from app.web.ports import Ports
from app.web.problems import Failure

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
KEPT: Final = timedelta(hours=24)
"""How long an answer can be had again by its idempotency key."""
UNDER_WAY: Final = timedelta(minutes=10)
"""After so long a request that was never answered is taken for dead."""
_SUSPICIOUS: Final = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(slots=True)
class Note:
    """What a handler adds to its act in the audit."""

    target: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route needs. permission None: anybody may. recorded: it stands in the audit. shown_once: its answer holds
    a secret and is not kept."""

    permission: str | None
    recorded: bool
    shown_once: bool


def rule(permission: str | None, *, recorded: bool | None = None, shown_once: bool = False) -> dict[str, Any]:
    """What a route needs, to be spread into its decorator. recorded: by default, whatever does not only read."""
    if recorded is None:
        recorded = permission is not None and not permission.endswith(":read")
    needs: dict[str, Any] = {"x-recorded": recorded, "x-shown-once": shown_once, "security": []}
    if permission is not None:
        needs |= {"x-permission": permission, "security": [{"bearer": []}]}
    return {"openapi_extra": needs}


class Guarded(APIRoute):
    """A route that nobody passes unseen."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        needs = self.openapi_extra or {}
        if "security" not in needs:
            raise TypeError(f"{self.path} does not say who may use it")
        own = Rule(needs.get("x-permission"), needs["x-recorded"], needs["x-shown-once"])
        name, path = self.name, self.path_format

        async def guarded(request: Request) -> Response:
            facts = {"http.request.method": request.method, "http.route": path}
            with ports_of(request).watch(f"{request.method} {path}", facts) as tell:
                try:
                    response = await _pass(request, own, name, path, handle)
                except Exception as error:
                    response = problems.answer(error)
                tell("http.response.status_code", response.status_code)
            return response

        return guarded


async def _pass(request: Request, own: Rule, name: str, path: str, handle: Handler) -> Response:
    store = ports_of(request).store
    request.state.note = note = Note(_target(request, path))
    if own.permission is None:
        await _refuse_unstorable(request)
        return await handle(request)
    request.state.principal = who = await run_in_threadpool(_principal, store, request)
    may = who.may(own.permission)
    if not may and not own.recorded:
        return _forbidden(who, own.permission)

    async def act() -> Response:
        if not own.recorded:
            return await handle(request)
        id_ = await run_in_threadpool(_begin, store, request, who, name, note)
        try:
            response = await handle(request) if may else _forbidden(who, own.permission or "")
        except Exception as error:
            response = problems.answer(error)
        await run_in_threadpool(_finish, store, id_, response.status_code, note)
        return response

    if not may:
        return await act()
    await _refuse_unstorable(request)
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    return await act() if key is None else await _once(request, key, who, own, act)


def _principal(store: Store, request: Request) -> Principal:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.casefold() != "bearer" or not token:
        raise Denied("sign in first (POST /v1/sessions), and send its token: Authorization: Bearer TOKEN")
    return access.principal_of(store, token.strip())


async def may_still(request: Request, permission: str) -> bool:
    """May who made this request still do that? For answers that last."""
    try:
        who = await run_in_threadpool(_principal, ports_of(request).store, request)
    except Denied:
        return False
    return who.may(permission)


def _forbidden(who: Principal, permission: str) -> Response:
    return problems.problem(403, f"{who.name} may not do this with this token; it takes {permission}")


async def _refuse_unstorable(request: Request) -> None:
    """No text of ours may hold a NUL character or half of one (a lone surrogate): databases refuse them."""
    if b"%00" in request.scope.get("raw_path", b"") + b"?" + request.scope["query_string"]:
        raise Failure(422, "its address holds a NUL character; take it out")
    if "json" not in request.headers.get("content-type", ""):
        return
    body = await request.body()
    if _SUSPICIOUS.search(body):
        with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is refused as such
            if any(_UNSTORABLE.search(text) for text in _texts(json.loads(body))):
                raise Failure(422, "it holds a NUL character, or half a character (a lone surrogate); take it out")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            waiting += [*found, *found.values()]
        elif isinstance(found, list):
            waiting += found


def _target(request: Request, path: str) -> str:
    """What the act is on: the resource, and which one where its address says so."""
    resource, _, rest = path.removeprefix("/v1/").partition("/")
    name = rest[1 : rest.index("}")] if rest.startswith("{") else None
    return f"{resource}/{request.path_params[name.partition(':')[0]]}" if name else resource


# --- the audit


def _begin(store: Store, request: Request, who: Principal, name: str, note: Note) -> int:
    with store.begin() as unit:
        return audit.begin(unit, Act(who.name, name, note.target, address=address_of(request), token_id=who.token_id))


def _finish(store: Store, id_: int, status: int, note: Note) -> None:
    with store.begin() as unit:
        audit.finish(unit, id_, status, note.target, note.detail)


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""


# --- once only


async def _once(
    request: Request, key: str, who: Principal, own: Rule, act: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer of the first request with this key."""
    if not _KEY.fullmatch(key):
        raise Failure(422, "Idempotency-Key: 1 to 200 printable characters, without blanks")
    store, owner = ports_of(request).store, f"user:{who.user_id}"
    known = await run_in_threadpool(_claim, store, owner, key, await _fingerprint(request))
    if known is not None:
        return known
    try:
        response = await act()
    except BaseException:
        await run_in_threadpool(_release, store, owner, key)
        raise
    if response.status_code >= 400:  # nothing was done: once it is mended, the same key may be sent again
        await run_in_threadpool(_release, store, owner, key)
    else:
        body = None if own.shown_once else bytes(response.body)
        await run_in_threadpool(_keep, store, owner, key, response, body)
    return response


async def _fingerprint(request: Request) -> str:
    """What is asked, whatever the sender's library does to a form's boundaries."""
    body = await request.body()
    kind, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    if kind.startswith("multipart/") and boundary:
        body = body.replace(boundary.strip('"').encode(), b"")
    asked = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(asked.encode() + body).hexdigest()


def _claim(store: Store, owner: str, key: str, fingerprint: str) -> Response | None:
    with store.begin() as unit:
        idempotency.tidy(unit, unit.now - KEPT)
        known = idempotency.find(unit, owner, key)
        if known is None or (known.status is None and unit.now - known.at > UNDER_WAY):
            idempotency.claim(unit, owner, key, fingerprint)
            return None
    if known.request != fingerprint:
        raise Failure(422, "this Idempotency-Key was used for another request; take a new one")
    if known.status is None:
        raise Failure(409, "the first request with this Idempotency-Key is still under way; ask again later")
    if known.body is None:
        raise Failure(409, "this was done already; what it answered is shown only once")
    headers = {**(known.headers or {}), "idempotency-replayed": "true"}
    return Response(known.body, known.status, headers)


def _keep(store: Store, owner: str, key: str, response: Response, body: bytes | None) -> None:
    kept = {name: value for name, value in response.headers.items() if name in ("content-type", "location", "etag")}
    with store.begin() as unit:
        idempotency.answer(unit, owner, key, response.status_code, kept, body)


def _release(store: Store, owner: str, key: str) -> None:
    with store.begin() as unit:
        idempotency.release(unit, owner, key)


# --- what handlers ask for


def ports_of(request: Request) -> Ports:
    found: Ports = request.app.state.ports
    return found


def _who(request: Request) -> Principal:
    found: Principal = request.state.principal
    return found


def _note(request: Request) -> Note:
    found: Note = request.state.note
    return found


Here = Annotated[Ports, Depends(ports_of)]
Who = Annotated[Principal, Depends(_who)]
Noted = Annotated[Note, Depends(_note)]
