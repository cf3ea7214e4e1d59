"""The conformance kit on the Xero connector: a plain organisation, one whose pages are small and whose groups touch
their members, one among several that is chosen by name and where nobody without a first name is an organisation. All
traffic is held against Xero's specification. The same kit runs on a real organisation where CONCORD_LIVE_XERO names a
file with settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from xerospec import Watched

from connectors.contract import Connector, Context
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject
from connectors.xero import CONNECTOR
from connectors.xero.sandbox import create

FIT = {name: "TestPlain tries it" for name in dir(Conformance) if name.startswith("test_fit_")}
START = datetime(2026, 11, 22, tzinfo=UTC)
READ_ONLY = {"links": 0}
"""The website is shown, and cannot be written."""


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.app: ASGIApp = create().app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


@contextmanager
def subject_of(host: Host, chosen: dict[str, Any], **options: Any) -> Iterator[Subject]:
    """An organisation in a box. Sleeping lets its clock pass; so does every request, by a millisecond."""
    box = create(now=lambda: START, tick=0.001, **options)
    host.app = watched = Watched(box.app)
    context = Context(now=box.clock, sleep=box.advance, random=lambda: 0.5)
    settings = {**box.settings(host.url), **chosen}

    def connect(**other: Any) -> Connector:
        return CONNECTOR.open(CONNECTOR.settings(**{**settings, **other}), context)

    def plant(contact: str, text: str) -> None:
        box.books.edit(contact, TaxNumber=text)

    yield Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        requests=lambda: len(box.faults.log),
        impostor=lambda: connect(refresh_token="a wrong token", client_secret="a wrong word"),
        secrets=[settings["refresh_token"], settings["client_secret"], "a wrong token", "a wrong word"],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=plant,
        planted=lambda contact: box.books.contacts[contact].get("TaxNumber"),
        creating="PUT /api.xro/2.0/Contacts",
        holds={"emails": 1, "phones": 3, "addresses": 1, "groups": 1, **READ_ONLY},
        crowd=5,
        quiet=1,
        region="GB",
    )
    assert watched.violations == []


class TestPlain(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host, {}) as subject:
            yield subject


class TestSmallPages(Conformance):
    """And Idempotency-Keys that are forgotten at once."""

    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host, {"page_size": 2}, page_cap=2, groups_touch=True, forgets=True) as subject:
            subject.exempt = FIT
            subject.quiet = 5  # the last minute is read again: what was made in it, in pages of two
            yield subject


class TestPeopleByName(Conformance):
    """An organisation chosen by its name; who has no first and last name is a person."""

    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        chosen = {"tenant": "demo company (nz)", "nameless": "person"}
        with subject_of(host, chosen, tenants=("Demo Company (NZ)", "Another")) as subject:
            subject.quiet = 2
            yield subject


class TestXeroLive(LiveConformance):
    system = "xero"
