"""The conformance kit on SuiteCRM 7.14 and SugarCRM CE 6.5 through v4_1."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from connectors.contract import Context
from connectors.sandbox import running
from connectors.sugarcrm.legacy.connector import Legacy
from connectors.sugarcrm.legacy.sandbox import PASSWORD, SuiteSandbox
from connectors.sugarcrm.mapping import module_and_row
from connectors.sugarcrm.settings import SugarSettings
from connectors.testing import Conformance, Subject

FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of the server: TestSuite tries it."""
START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
WRONG = "a wrong password"


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = SuiteSandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


def subject_of(host: Host, box: SuiteSandbox, **settings: Any) -> Subject:
    host.box = box

    def connect(**more: Any) -> Legacy:
        context = Context(now=box.now, sleep=box.advance, random=lambda: 0.5)
        return Legacy(SugarSettings(**{**box.settings(host.url), "page": 60, **settings, **more}), context)

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
        impostor=lambda: connect(password=WRONG),
        secrets=[PASSWORD, WRONG],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=plant,
        planted=planted,
        creating=r"method=set_entries&module=(Contacts|Leads)",
        holds={"emails": 2, "phones": 3, "addresses": 1, "groups": 1},
        crowd=105,
    )


class TestSuite(Conformance):
    """SuiteCRM 7.14 on PHP 8."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, SuiteSandbox(clock=lambda: START))


class TestCommunityEdition(Conformance):
    """SugarCRM CE 6.5 on PHP 7: parameters by position, addresses and flags written anew on each save."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, SuiteSandbox(clock=lambda: START, edition="ce65", php8=False))
        subject.exempt = dict.fromkeys(FIT, "TestSuite tries it")
        return subject


class TestLeads(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, SuiteSandbox(clock=lambda: START), leads=True, create_as="Leads")
        subject.quiet = 6
        subject.exempt = dict.fromkeys(FIT, "TestSuite tries it")
        return subject
