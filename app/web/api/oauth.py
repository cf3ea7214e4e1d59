"""Where browsers go to connect an account: from the link, to the vendor, and back. Pages for humans, in plain words.

No token lets anybody in here. The link is proof that somebody who may asked for it; what the vendor sends back is
believed once, within ten minutes, in the browser that opened the link.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from app.secrets import redact
from app.settings import LOOPBACK
from app.store import audit
from app.store.audit import Act
from app.web.acts import Guarded, Here, address_of, ports_of, rule
from app.web.ports import Connected, NotConnected, Opened, Ports
from app.web.problems import Failure, responses

router = APIRouter(prefix="/oauth", route_class=Guarded, tags=["connecting"])
log = logging.getLogger(__name__)

COOKIE_SECONDS: Final = 600
STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:4rem auto;"
    "padding:0 1rem}h1{font-size:1.5rem}input,button{font:inherit;padding:.4rem;margin:.3rem 0;display:block;"
    "width:100%;box-sizing:border-box}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
}
TELLING: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": words, "content": {"text/html": {"schema": {"type": "string"}}}}
    for status, words in {
        400: "What came is not what was asked for.",
        403: "Access was not given, or it came from another browser.",
        404: "Nobody waits for this.",
        409: "It is another account, or it is busy.",
        410: "It is over: used, too late, or the connection is gone.",
        500: "A fault of ours; the log has the details.",
        502: "The vendor gave no usable answer.",
    }.items()
}


def base_of(request: Request) -> str:
    """Where browsers reach us: as the settings say, else this very machine. The request's Host is not believed.

    Raises Failure where we listen beyond this machine, and nobody said how we are reached.
    """
    public = ports_of(request).public_url
    if public:
        return public
    host, port = request.scope.get("server") or ("", None)
    if host not in LOOPBACK or not port:
        raise Failure(422, "set CONCORD_PUBLIC_URL to the address at which browsers reach Concord first")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def page(status: int, title: str, *words: str, form: str = "") -> HTMLResponse:
    """A page that needs nothing from elsewhere, and tells nothing to elsewhere."""
    said = "".join(f"<p>{escape(str(redact(None, '', line)))}</p>" for line in words)
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)} · Concord</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{said}{form}</main></body></html>"
    )
    return HTMLResponse(text, status, HEADERS)


def _sorry(error: NotConnected) -> HTMLResponse:
    title = f"{error.connection} is not connected" if error.connection else "Not connected"
    return page(error.status, title, _sentence(str(error)), "Nothing was stored. You can close this page.")


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


@router.get(
    "/start/{ticket}",
    **rule(None),
    response_class=HTMLResponse,
    responses={**responses(422), **TELLING, 303: {"description": "To the vendor's consent page."}},
)
def start_consent(
    here: Here, request: Request, ticket: Annotated[str, Path(description="What the link holds.", examples=["Kq3v…"])]
) -> Response:
    """Open a link: on to the vendor's page, or a form for the credentials where the vendor has none."""
    base = base_of(request)
    try:
        opened = here.consents.open(ticket, base)
    except NotConnected as error:
        return _sorry(error)
    answer = RedirectResponse(opened.location, 303, HEADERS) if opened.location else _form(opened, base)
    answer.set_cookie(
        opened.cookie,
        opened.value,
        max_age=COOKIE_SECONDS,
        path=_path_of(base),
        secure=base.startswith("https:"),
        httponly=True,
        samesite="lax",
    )
    return answer


def _path_of(base: str) -> str:
    """Where the cookie is sent: to these pages only, also behind a proxy that puts them under a path."""
    return "/" + "/".join([*base.split("/")[3:], "oauth"])


def _form(opened: Opened, base: str) -> HTMLResponse:
    inputs = "".join(
        f'<label>{escape(name.replace("_", " "))}<input type="password" name="{escape(name)}" required '
        'autocomplete="off"></label>'
        for name in opened.fields
    )
    form = (
        f'<form method="post" action="{escape(base)}/oauth/credentials">{inputs}'
        f'<input type="hidden" name="state" value="{escape(opened.state)}"><button>Connect</button></form>'
    )
    words = f"{opened.title} has no page of its own for this. What you enter is stored encrypted, and shown to nobody."
    return page(200, f"Connect {opened.connection}", words, form=form)


@router.get("/callback", **rule(None), response_class=HTMLResponse, responses={**responses(422), **TELLING})
def finish_consent(
    here: Here,
    request: Request,
    state: Annotated[str, Query(description="As it was sent to the vendor.", examples=["xyz"])] = "",
    code: Annotated[
        str, Query(description="What the vendor gave (RFC 6749 section 4.1.2).", examples=["SplxlOBeZQQYbYS6WxSbIA"])
    ] = "",
    error: Annotated[str, Query(description="Why it gave none.", examples=["access_denied"])] = "",
) -> Response:
    """Where vendors send the browser back to. It is the same for all, to be registered with each."""
    # Of a name that comes twice the first counts; some vendors bring more (realmId).
    query = {name: values[0] for name in request.query_params if (values := request.query_params.getlist(name))}
    act = partial(here.consents.finish, {**query, "state": state}, request.cookies)
    return _ended(here, request, "finish_consent", state, act)


class Entered(BaseModel):
    """What the form brings: the state that it was given, and the secret settings of that system, by name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"example": {"state": "xyz", "password": "…"}})

    state: str = Field(default="", examples=["xyz"])


@router.post("/credentials", **rule(None), response_class=HTMLResponse, responses={**responses(413, 422), **TELLING})
def enter_credentials(here: Here, request: Request, body: Annotated[Entered, Form()]) -> Response:
    """What was entered in the form that a link opened, where the vendor has no consent page."""
    given = {name: str(value) for name, value in (body.model_extra or {}).items()}
    act = partial(here.consents.enter, body.state, given, request.cookies)
    return _ended(here, request, "enter_credentials", body.state, act)


def _ended(here: Ports, request: Request, action: str, state: str, act: Callable[[], Connected]) -> Response:
    """How it ended, for the human; written down in the name of who asked for the link."""
    whose = here.consents.whose(state)
    id_ = _begin(here, request, action, *whose) if whose else None
    try:
        done = act()
    except NotConnected as error:
        answer = _sorry(error)
    except Exception:
        log.exception("a consent failed")
        answer = page(500, "Not connected", "This should not happen; the log of Concord has the details.")
    else:
        here.jobs.enqueue("sync", done.id)
        answer = page(200, f"{done.connection} is connected", *_good_news(done))
    if whose and id_ is not None:
        with here.store.begin() as unit:
            audit.finish(unit, id_, answer.status_code, f"connections/{whose[1]}", {})
    return answer


def _begin(here: Ports, request: Request, action: str, asked_by: str, connection: str) -> int:
    with here.store.begin() as unit:
        return audit.begin(unit, Act(asked_by, action, f"connections/{connection}", address=address_of(request)))


def _good_news(done: Connected) -> Sequence[str]:
    news = [f"Concord may use {done.account} now.", "You can close this page."]
    if done.resumed:
        news.insert(1, "It was paused for want of access, and goes on.")
    if done.other:
        news.insert(1, "It is another account than before, so it starts over: make a plan, and approve it.")
    return news
