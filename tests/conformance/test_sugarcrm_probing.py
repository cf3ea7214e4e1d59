"""Which of its protocols a server speaks is found out before the first request, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from connectors.card import Card
from connectors.contract import Context
from connectors.errors import Throttled, Unauthorised, Unreachable
from connectors.sandbox import Sandbox, running
from connectors.sugarcrm import CONNECTOR
from connectors.sugarcrm.connector import DOORS, Sugar
from connectors.sugarcrm.legacy import sandbox as legacy_sandbox
from connectors.sugarcrm.sandbox import SugarSandbox
from connectors.sugarcrm.suite8 import sandbox as suite8_sandbox

WITH_EMOJI: Card = {"name": {"components": [{"kind": "surname", "value": "Lee 🎷"}]}, "keywords": {"vip": True}}


class Host:
    """A server at a URL, whatever it is."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None
        self.log: list[str] = []
        self.saved: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)

    def open(self, **settings: Any) -> Sugar:
        given = {"url": self.url, "username": "nobody", "password": "none", "rate": None, **self.saved, **settings}
        context = Context(
            now=lambda: datetime.now(UTC),
            sleep=lambda seconds: None,
            random=lambda: 0.5,
            save_secrets=self.saved.update,
        )
        opened = CONNECTOR.open(CONNECTOR.settings(**given), context)
        assert isinstance(opened, Sugar)
        return opened

    def serve(self, box: Sandbox) -> dict[str, Any]:
        self.app = box.app
        return box.settings(self.url)

    def answer(self, answer: Callable[[Request], Response]) -> None:
        verbs = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        self.app = Starlette(routes=[Route("/{path:path}", answer, methods=verbs)])


@pytest.fixture(scope="module")
def served() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


@pytest.fixture
def host(served: Host) -> Host:
    served.log, served.saved = [], {}
    return served


BOXES: Mapping[str, Callable[[], Sandbox]] = {
    "v11": SugarSandbox,
    "v4_1": legacy_sandbox.create,
    "v8": suite8_sandbox.create,
}


def settings_of(host: Host, protocol: str) -> dict[str, Any]:
    given = host.serve(BOXES[protocol]())
    given.pop("protocol", None)
    return given


@pytest.mark.parametrize("protocol", ["v11", "v4_1"])
def test_a_servers_protocol_is_found_out_once_and_kept(host: Host, protocol: str) -> None:
    given = settings_of(host, protocol)
    connector = host.open(**given)
    assert host.log == [], "nothing is sent before something is asked"
    list(connector.changes(None))
    assert connector.protocol == protocol
    assert host.saved["found"] == protocol
    probes = len([line for line in host.log if "ping" in line or "get_server_info" in line])
    assert probes >= 1
    host.log.clear()
    again = host.open(**given)
    assert again.protocol == protocol
    list(again.changes(None))
    assert not [line for line in host.log if line.endswith("/ping")]


def test_a_suitecrm_without_v4_1_speaks_v8(host: Host) -> None:
    given = settings_of(host, "v8")
    app = host.app

    async def without(scope: Scope, receive: Receive, send: Send) -> None:
        if "/service/" in scope["path"]:
            await HTMLResponse("<h1>Not Found</h1>", 404)(scope, receive, send)
        else:
            await app(scope, receive, send)

    host.app = without
    connector = host.open(**given)
    connector.check()
    assert connector.protocol == "v8"


@pytest.mark.parametrize("protocol", ["v11", "v4_1", "v8"])
def test_what_the_settings_say_is_not_probed(host: Host, protocol: str) -> None:
    given = settings_of(host, protocol)
    connector = host.open(**given, protocol=protocol)
    connector.check()
    assert connector.protocol == protocol
    assert "found" not in host.saved
    assert not [line for line in host.log if line.endswith("/ping")]


def test_check_looks_again_and_follows_a_server_that_was_replaced(host: Host) -> None:
    given = settings_of(host, "v11")
    host.saved = {"found": "v4_1"}
    connector = host.open(**given)
    assert "keywords" not in connector.capabilities.fields
    connector.check()
    assert host.saved["found"] == connector.protocol == "v11"
    assert "keywords" in connector.capabilities.fields


def test_fit_is_of_the_protocol_that_is_known_and_asks_nobody(host: Host) -> None:
    host.answer(lambda request: HTMLResponse("<h1>never</h1>"))
    new, kept, told = host.open(), host.open(found="v4_1"), host.open(protocol="v4_1", found="v11")
    assert new.fit(WITH_EMOJI, None)["keywords"] == {"vip": True}
    assert kept.fit(WITH_EMOJI, None) == told.fit(WITH_EMOJI, None)
    assert "keywords" not in kept.fit(WITH_EMOJI, None)
    assert "🎷" in str(new.fit(WITH_EMOJI, None))
    assert "🎷" not in str(kept.fit(WITH_EMOJI, None))
    assert "🎷" not in str(host.open(emoji=False).fit(WITH_EMOJI, None))
    assert host.log == []


ANSWERS: Mapping[str, Callable[[Request], Response]] = {
    "a web page": lambda request: HTMLResponse("<html><h1>Welcome</h1></html>"),
    "not found": lambda request: HTMLResponse("<h1>Not Found</h1>", 404),
    "another API": lambda request: JSONResponse({"error": "not_here"}, 404),
    "a redirect": lambda request: RedirectResponse("https://elsewhere.test/"),
    "an empty 500": lambda request: Response("", 500),
    "plain JSON": lambda request: JSONResponse([]),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_server_that_is_no_sugarcrm_is_told(host: Host, answer: Callable[[Request], Response]) -> None:
    host.answer(answer)
    for act in (lambda c: c.check(), lambda c: list(c.changes(None)), lambda c: list(c.read(["1"]))):
        with pytest.raises(Unreachable, match="neither SugarCRM nor SuiteCRM answers at this URL"):
            act(host.open())
    assert host.saved == {}


@pytest.mark.parametrize(("status", "kind"), [(503, Unreachable), (429, Throttled)])
def test_a_server_that_is_down_or_busy_is_not_taken_for_another(host: Host, status: int, kind: type[Exception]) -> None:
    host.answer(lambda request: Response("", status))
    with pytest.raises(kind) as told:
        host.open().check()
    assert "neither" not in str(told.value)
    assert host.saved == {}


def test_no_credentials_are_sent_to_whom_we_do_not_know(host: Host) -> None:
    bodies: list[bytes] = []

    async def nosy(request: Request) -> Response:
        bodies.append(await request.body() + str(request.headers).encode() + str(request.url).encode())
        return HTMLResponse("<h1>Who is there?</h1>", 404)

    host.app = Starlette(routes=[Route("/{path:path}", nosy, methods=["GET", "POST"])])
    with pytest.raises(Unreachable):
        host.open(username="ann", password="s3cret-word").check()
    assert bodies
    assert not [body for body in bodies if b"ann" in body or b"s3cret-word" in body]


def test_wrong_credentials_are_no_wrong_protocol(host: Host) -> None:
    given = settings_of(host, "v11")
    with pytest.raises(Unauthorised):
        host.open(**{**given, "password": "wrong"}).check()
    assert host.saved["found"] == "v11"


def test_the_protocols_that_can_do_more_come_first() -> None:
    assert list(DOORS) == ["v11", "v4_1", "v8"]
