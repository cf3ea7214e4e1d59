"""The conformance kit on QuickBooks: customers, vendors, and a company where everything is small and hostile. All
traffic is held against the entities' field lists. The same kit runs on a real company where CONCORD_LIVE_QUICKBOOKS
names a file with settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from qbospec import Watched
from starlette.types import Receive, Scope, Send

from connectors.contract import Connector, Context
from connectors.quickbooks import CONNECTOR, changes
from connectors.quickbooks.sandbox import QuickBooksSandbox, create
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject

FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of the server: it is tried on customers and vendors."""
START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = create()
        self.watched = Watched(self.box.app)

    def hold(self, box: QuickBooksSandbox) -> None:
        self.box, self.watched = box, Watched(box.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.watched(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


def subject_of(host: Host, box: QuickBooksSandbox, **settings: Any) -> Subject:
    host.hold(box)
    given = {**box.settings(host.url), **settings}
    entity = given.get("create_as", "Customer")

    def connect(**more: Any) -> Connector:
        context = Context(now=box.clock, sleep=box.advance, random=lambda: 0.5)
        return CONNECTOR.open(CONNECTOR.settings(**{**given, **more}), context)

    def plant(record: str, text: str) -> None:
        name, _, number = record.partition("/")
        box.edit(name, number, **{"ResaleNum" if name == "Customer" else "AcctNum": text})

    def planted(record: str) -> str | None:
        row = box.row(*record.split("/"))
        return row.get("ResaleNum") or row.get("AcctNum")

    return Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        impostor=lambda: connect(refresh_token="a wrong token", client_secret="a wrong secret"),
        secrets=[given["refresh_token"], given["client_secret"], "a wrong token", "a wrong secret"],
        expire=lambda: box.advance(31 * 86_400),
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}, {"v": 1, "entities": ["Customer", "Vendor"]}],
        plant=plant,
        planted=planted,
        creating=rf"^POST /v3/company/\d+/({entity.lower()}|batch)",
        holds={"emails": 1, "phones": 3, "addresses": 1},
        crowd=5,
        quiet=1,
        region="DE",
    )


@pytest.fixture(autouse=True)
def _within_the_lists(host: Host) -> Iterator[None]:
    yield
    assert host.watched.violations == []


class TestCustomers(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, create(clock=lambda: START))


class TestVendors(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, create(clock=lambda: START), entities=("Vendor",), create_as="Vendor")


class TestSmall(Conformance):
    """Pages of three rows, CDC of three objects, ids in the order of texts, and no replays."""

    @pytest.fixture
    def subject(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> Subject:
        monkeypatch.setattr(changes, "PAGE", 3)
        box = create(clock=lambda: START, cap=3, text_ids=True, replays=False)
        subject = subject_of(host, box, create_as="Vendor")
        subject.quiet = 8
        subject.exempt = dict.fromkeys(FIT, "TestCustomers and TestVendors try it")
        return subject


class TestQuickBooksLive(LiveConformance):
    system = "quickbooks"
