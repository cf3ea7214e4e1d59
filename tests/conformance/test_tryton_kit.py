"""The conformance kit on Tryton: the real server, and the sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
import servers
import tryton_server

from connectors.contract import Context
from connectors.sandbox import Faults, Hostile
from connectors.testing import Conformance, LiveConformance, Subject
from connectors.tryton import CONNECTOR
from connectors.tryton.connector import TrytonConnector
from connectors.tryton.sandbox import PASSWORD, TrytonSandbox


@pytest.fixture(scope="module")
def stage() -> Iterator[servers.Stage]:
    with servers.stage() as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tryton_server.Tryton]:
    with tryton_server.tryton(tmp_path_factory.mktemp("tryton")) as running:
        yield running


class TestServer(Conformance):
    """A real one, with troubles on the way to it. Its database is shared by the tests."""

    @pytest.fixture
    def subject(self, server: tryton_server.Tryton, stage: servers.Stage) -> Subject:
        count: list[str] = []
        faults = Faults()
        stage.app = Hostile(tryton_server.Front(server.url), faults)
        context = Context(
            now=lambda: datetime.now(UTC),
            sleep=lambda seconds: None,
            random=lambda: 0.5,
            requests=lambda method, sent, received: count.append(method),
        )

        def connect(**more: Any) -> TrytonConnector:
            opened = CONNECTOR.open(CONNECTOR.settings(**server.settings(url=stage.url, **more)), context)
            assert isinstance(opened, TrytonConnector)
            return opened

        def plant(record: str, text: str) -> None:
            code = {"type": None, "code": text}
            server.call("model.party.party.write", [int(record)], {"identifiers": [["create", [code]]]})

        def planted(record: str) -> str | None:
            [row] = server.call("model.party.party.read", [int(record)], ["identifiers.code"])
            return next((one["code"] for one in row["identifiers."] if not one["code"].startswith("concord:")), None)

        return Subject(
            open=connect,
            faults=faults,
            requests=lambda: len(count),
            creating=r"^POST ",
            impostor=lambda: connect(username="nobody", password="a wrong one"),
            secrets=[server.password, "a wrong one"],
            garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
            plant=plant,
            planted=planted,
            holds={"emails": 2, "phones": 3, "addresses": 1, "groups": 1},
            quiet=2,
        )


FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of the server: it is tried with the real one."""


class OnSandbox(Conformance):
    options: Mapping[str, Any] = MappingProxyType({})
    quiet = 2

    @pytest.fixture
    def subject(self, stage: servers.Stage) -> Subject:
        box = TrytonSandbox(**self.options)
        stage.app = box.app
        context = Context(now=box.now, sleep=box.advance, random=lambda: 0.5)

        def connect(**more: Any) -> TrytonConnector:
            opened = CONNECTOR.open(CONNECTOR.settings(**{**box.settings(stage.url), **more}), context)
            assert isinstance(opened, TrytonConnector)
            return opened

        def plant(record: str, text: str) -> None:
            box.edit(record, identifiers=[["create", [{"type": None, "code": text}]]])

        def planted(record: str) -> str | None:
            codes = [row["code"] for row in box.rows("party.identifier") if row["party"] == int(record)]
            return next((code for code in codes if not code.startswith("concord:")), None)

        return Subject(
            open=connect,
            faults=box.faults,
            advance=box.advance,
            impostor=lambda: connect(password="a wrong one"),
            secrets=[PASSWORD, "a wrong one"],
            garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
            plant=plant,
            planted=planted,
            creating=r"^POST ",
            holds={"emails": 2, "phones": 3, "addresses": 1, "groups": 1},
            quiet=self.quiet,
            exempt=dict.fromkeys(FIT, "TestServer tries it"),
        )


class TestSandbox(OnSandbox):
    """As the real one is."""


class TestWithoutLog(OnSandbox):
    """A user who may not read the log of deletions."""

    options = MappingProxyType({"log": False, "invoices": False})


class TestTrytonLive(LiveConformance):
    system = "tryton"
