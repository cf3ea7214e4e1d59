"""The conformance kit on every kind of vTiger there is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from connectors.contract import Context
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject
from connectors.vtiger import CONNECTOR
from connectors.vtiger.connector import VtigerConnector
from connectors.vtiger.sandbox import ACCESS_KEY, VtigerSandbox

FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of the server: it is tried on contacts (TestStock) and leads (TestLeads)."""
START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = VtigerSandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


def subject_of(host: Host, box: VtigerSandbox, **settings: Any) -> Subject:
    host.box = box

    def connect(**more: Any) -> VtigerConnector:
        context = Context(now=box.now, sleep=box.advance, random=lambda: 0.5)
        opened = CONNECTOR.open(CONNECTOR.settings(**{**box.settings(host.url), **settings, **more}), context)
        assert isinstance(opened, VtigerConnector)
        return opened

    def planted(record: str) -> str:
        module = "Leads" if record.startswith("10x") else "Contacts"
        return next(row["leadsource"] for row in box.rows(module) if row["id"] == record)

    return Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        impostor=lambda: connect(access_key="a wrong key"),
        secrets=[ACCESS_KEY, "a wrong key"],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=lambda record, text: box.edit(record, leadsource=text),
        planted=planted,
        creating=r"^POST .*(webservice\.php|/create)",
        holds={"emails": 2, "phones": 3, "addresses": 1},
        crowd=205,
    )


class TestStock(Conformance):
    """8.2 on PHP 8: sync is broken."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, VtigerSandbox(clock=lambda: START))


class TestRepaired(Conformance):
    """An older or repaired one: sync works."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, VtigerSandbox(clock=lambda: START, sync="working", php8=False))
        subject.exempt = dict.fromkeys(FIT, "TestStock tries it")
        return subject


class TestCloud(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, VtigerSandbox(clock=lambda: START, sync="working", cloud=True, utf8mb4=True))
        subject.exempt = dict.fromkeys(FIT, "TestStock tries it")
        return subject


class TestLeads(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, VtigerSandbox(clock=lambda: START), leads=True, create_as="Leads")
        subject.holds = {"emails": 2, "phones": 2, "addresses": 1}
        subject.quiet = 8
        subject.exempt = {"test_fit_holds_what_is_promised": "only Contacts hold a birthday"}
        return subject


class TestVtigerLive(LiveConformance):
    system = "vtiger"
