"""The conformance kit on every kind of SugarCRM with REST v11."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from connectors.contract import Context
from connectors.sandbox import running
from connectors.sugarcrm import CONNECTOR
from connectors.sugarcrm.connector import Sugar
from connectors.sugarcrm.sandbox import PASSWORD, SugarSandbox
from connectors.testing import Conformance, LiveConformance, Subject

FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of the server."""
START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = SugarSandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


def subject_of(host: Host, box: SugarSandbox, module: str = "Contacts", **settings: Any) -> Subject:
    host.box = box
    secrets: dict[str, str] = {}

    def connect(**more: Any) -> Sugar:
        given = {**box.settings(host.url), "page": 100, **settings, **secrets, **more}
        context = Context(now=box.now, sleep=box.advance, random=lambda: 0.5, save_secrets=secrets.update)
        opened = CONNECTOR.open(CONNECTOR.settings(**given), context)
        assert isinstance(opened, Sugar)
        return opened

    def planted(record: str) -> str:
        return str(next(row["lead_source"] for row in box.rows(module) if row["id"] == record.rpartition("/")[2]))

    return Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        impostor=lambda: connect(password="a wrong password", refresh_token=""),
        secrets=[PASSWORD, "a wrong password"],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=lambda record, text: box.edit(record.rpartition("/")[2], module, lead_source=text),
        planted=planted,
        creating=r"bulk\?(.*;)?(PATCH integrate/|POST (Contacts|Leads)(;|$))",
        holds={"emails": 2, "phones": 3, "addresses": 1, "groups": 1},
        crowd=105,
        quiet=4,  # within the overlap, the last 105 are looked at again
    )


class TestV11(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        return subject_of(host, SugarSandbox(clock=lambda: START))


class TestLeads(Conformance):
    """Leads beside contacts; new ones are leads."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        subject = subject_of(host, SugarSandbox(clock=lambda: START), "Leads", leads=True, create_as="Leads")
        subject.exempt = dict.fromkeys(FIT, "TestV11 tries it")
        return subject


class TestWithoutSyncKey(Conformance):
    """Our user is no administrator; the server is older, and cuts and shows things in its own way."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        options: dict[str, Any] = {
            "admin": False,
            "newest": "v11",
            "text_flags": True,
            "page_cap": 30,
            "addresses": False,
            "resets": False,
            "full_answers": False,
            "astral": False,
        }
        subject = subject_of(host, SugarSandbox(clock=lambda: START, **options), emoji=False, leads=True)
        subject.exempt = dict.fromkeys(FIT, "TestV11 tries it")
        return subject


class TestKeyField(Conformance):
    """Our key is in a custom field."""

    @pytest.fixture
    def subject(self, host: Host) -> Subject:
        box = SugarSandbox(clock=lambda: START, admin=False, custom=["concord_key_c"])
        subject = subject_of(host, box, key_field="concord_key_c")
        subject.exempt = dict.fromkeys(FIT, "TestV11 tries it")
        return subject


class TestSugarLive(LiveConformance):
    system = "sugarcrm"
