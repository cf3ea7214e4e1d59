"""The conformance kit on Tryton: the real server, and the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import tryton_server

from connectors.contract import Context
from connectors.testing import Conformance, LiveConformance, Subject
from connectors.tryton import CONNECTOR
from connectors.tryton.connector import TrytonConnector


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tryton_server.Tryton]:
    with tryton_server.tryton(tmp_path_factory.mktemp("tryton")) as running:
        yield running


class TestServer(Conformance):
    """A real one. Its database is shared by the tests: each looks only for what it made."""

    @pytest.fixture
    def subject(self, server: tryton_server.Tryton) -> Subject:
        count: list[str] = []
        context = Context(
            now=lambda: datetime.now(UTC),
            sleep=time.sleep,
            random=lambda: 0.5,
            requests=lambda method, sent, received: count.append(method),
        )

        def connect(**more: Any) -> TrytonConnector:
            opened = CONNECTOR.open(CONNECTOR.settings(**server.settings(**more)), context)
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
            requests=lambda: len(count),
            impostor=lambda: connect(username="nobody", password="a wrong one"),
            secrets=[server.password, "a wrong one"],
            garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
            plant=plant,
            planted=planted,
            holds={"emails": 2, "phones": 3, "addresses": 1, "groups": 1},
            quiet=2,
        )


class TestTrytonLive(LiveConformance):
    system = "tryton"
