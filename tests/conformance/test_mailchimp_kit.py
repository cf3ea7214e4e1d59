"""The conformance kit on the Mailchimp connector: by API key, by OAuth2, with an index that lags, with everything in
batches. All traffic is held against the Marketing API's specification. The same kit runs on a real audience where
CONCORD_LIVE_MAILCHIMP names a file with settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from mailchimpspec import Watched
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.contract import Connector, Context
from connectors.mailchimp import CONNECTOR
from connectors.mailchimp.sandbox import API_KEY, create
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of how it is reached: TestByKey tries it."""


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
def subject_of(host: Host, *, oauth: bool = False, more: Any = None, **options: Any) -> Iterator[Subject]:
    """An audience in a box. Sleeping lets its clock pass. more: settings."""
    box = create(now=lambda: START, **options)
    host.app = watched = Watched(box.app)
    context = Context(now=box.clock, sleep=box.advance, random=lambda: 0.5)
    wrong = {"access_token": "a wrong token"} if oauth else {"api_key": "wrongkey-us19"}
    settings = {**(box.consented(host.url) if oauth else box.settings(host.url)), **(more or {})}

    def connect(**other: Any) -> Connector:
        return CONNECTOR.open(CONNECTOR.settings(**{**settings, **other}), context)

    yield Subject(
        open=connect,
        faults=box.faults,
        advance=box.advance,
        impostor=lambda: connect(**wrong),
        secrets=[API_KEY, *wrong.values(), *box.oauth.tokens, box.oauth.client_secret],
        garbage=["no cursor", {"no": "cursor"}, {"v": 0}],
        plant=lambda record, text: box.edit(record, SHOESIZE=text),
        planted=lambda record: str(box.member(record)["merge_fields"]["SHOESIZE"]),
        creating=r"^POST /3.0/lists/[^/]+(\?|$)",
        holds={"emails": 1, "phones": 2, "addresses": 1},
        crowd=5,
        quiet=2,
    )
    assert not watched.violations, "\n".join(watched.violations[:3])


class TestByKey(Conformance):
    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host) as subject:
            yield subject


class TestByConsent(Conformance):
    """OAuth2; and our key is kept in a merge field, which is made with the first contact."""

    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host, oauth=True, more={"key_field": "CONCORDID"}) as subject:
            subject.exempt = dict.fromkeys(FIT, "TestByKey tries it")
            yield subject


class TestLagging(Conformance):
    """Listings show what was two minutes ago; and a time is exclusive, tags move it, rows of a create take none."""

    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host, lag=120.0, inclusive=False, tags_move=True, row_tags=False) as subject:
            subject.exempt = dict.fromkeys(FIT, "TestByKey tries it")
            yield subject


class TestSmallPages(Conformance):
    """Pages of three, whatever can be in batches is, and problems do not name their type."""

    @pytest.fixture
    def subject(self, host: Host) -> Iterator[Subject]:
        with subject_of(host, more={"page_size": 3, "batch_from": 2}, typed=False) as subject:
            subject.exempt = dict.fromkeys(FIT, "TestByKey tries it")
            subject.quiet = 4  # what changed in the last second is shown again: three pages of it
            yield subject


class TestMailchimpLive(LiveConformance):
    system = "mailchimp"
