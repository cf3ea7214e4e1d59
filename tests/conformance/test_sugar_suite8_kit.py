"""The conformance kit on SuiteCRM's V8."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from connectors.contract import Context
from connectors.sandbox import running
from connectors.sugarcrm.legacy.sandbox import PASSWORD
from connectors.sugarcrm.mapping import module_and_row
from connectors.sugarcrm.settings import SugarSettings
from connectors.sugarcrm.suite8.connector import Suite8
from connectors.sugarcrm.suite8.sandbox import CLIENT_SECRET, Suite8Sandbox
from connectors.testing import Conformance, Subject

FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
WRONG = "a wrong password"


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = Suite8Sandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


def subject_of(host: Host, box: Suite8Sandbox, **settings: Any) -> Subject:
    host.box = box

    def connect(**more: Any) -> Suite8:
        context = Context(now=box.now, sleep=box.advance, random=lambda: 0.5)
        return Suite8(SugarSettings(**{**box.settings(host.url), "page": 12, **settings, **more}), context)

    def plant(record: str, text: str) -> None:
        module, row = module_and_row(record)
        box.edit(row, module, lead_source=text)

    def planted(record: str) -> str:
        module, row = module_and_row(record)
        return str(next(found["lead_source"] for found in box.rows(module) if found["id"] == row))

    return Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        impostor=lambda: connect(password=WRONG, username="nobody"),
        secrets=[PASSWORD, WRONG, CLIENT_SECRET],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=plant,
        planted=planted,
        creating=r"^POST /Api/V8/module$",
        holds={"emails": 2, "phones": 3, "addresses": 1},
        crowd=15,
        quiet=8,
    )


class TestMinutes(Conformance):
    """As installed: times lose their seconds."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, Suite8Sandbox(clock=lambda: START))


class TestSeconds(Conformance):
    """With H:i:s for the user's time format."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, Suite8Sandbox(clock=lambda: START, minutes=False))
        subject.exempt = dict.fromkeys(FIT, "TestMinutes tries it")
        return subject


class TestLeads(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, Suite8Sandbox(clock=lambda: START), leads=True, create_as="Leads")
        subject.quiet = 10
        subject.exempt = dict.fromkeys(FIT, "TestMinutes tries it")
        return subject
