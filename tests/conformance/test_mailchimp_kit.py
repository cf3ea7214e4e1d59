"""The conformance kit on the Mailchimp connector: by API key, by OAuth2, with an index that lags, with everything in
batches. All traffic is held against the Marketing API's specification. The same kit runs on a real audience where
CONCORD_LIVE_MAILCHIMP names a file with settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract import Connector, Context
from connectors.mailchimp import CONNECTOR
from connectors.mailchimp.sandbox import API_KEY, MailchimpSandbox, create
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
FIT = [name for name in dir(Conformance) if name.startswith("test_fit_")]
"""`fit` knows nothing of how it is reached: TestByKey tries it."""


@contextmanager
def subject_of(*, oauth: bool = False, quiet: int = 2, more: dict[str, Any] | None = None, **options: Any) -> Iterator[Subject]:
    """An audience in a box. Sleeping lets its clock pass."""
    box = create(now=lambda: START, **options)
    context = Context(now=box.clock, sleep=box.advance, random=lambda: 0.5)
    wrong = {"access_token": "a wrong token"} if oauth else {"api_key": "wrongkey-us19"}
    with running(box.app) as url:
        settings = {**(box.consented(url) if oauth else box.settings(url)), **(more or {})}

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
            quiet=quiet,
        )


class TestByKey(Conformance):
    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of() as subject:
            yield subject
