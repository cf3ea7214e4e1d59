"""The conformance kit on the Google connector: a plain account, one whose listings lag, a hostile one. All traffic is
held against Google's discovery document. The same kit runs on a real account where CONCORD_LIVE_GOOGLE names a file
with settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from googlespec import Watched

from connectors.contract import Connector, Context
from connectors.google import CONNECTOR
from connectors.google.sandbox import GoogleSandbox, create
from connectors.sandbox import running
from connectors.testing import Conformance, LiveConformance, Subject

START = datetime(2026, 11, 22, tzinfo=UTC)


@contextmanager
def subject_of(**options: Any) -> Iterator[Subject]:
    """An account in a box. Sleeping lets its clock pass; so does every request, by a millisecond."""
    box = create(now=lambda: START, tick=0.001, **options)
    watched = Watched(box.app)
    context = Context(now=box.clock, sleep=box.advance, random=lambda: 0.5)
    with running(watched) as url:
        settings = box.settings(url)

        def connect(**other: Any) -> Connector:
            return CONNECTOR.open(CONNECTOR.settings(**{**settings, **other}), context)

        yield Subject(
            open=connect,
            faults=box.faults,
            advance=box.advance,
            impostor=lambda: connect(refresh_token="1//wrong", client_secret="wrong word"),
            secrets=[settings["refresh_token"], settings["client_secret"], "1//wrong", "wrong word"],
            expire=lambda: box.advance(8 * 86_400),
            plant=lambda key, text: plant(box, key, text),
            planted=lambda key: planted(box, key),
            creating="people:batchCreateContacts",
            holds={"emails": 2, "phones": 3, "addresses": 1, "notes": 1},
            crowd=5,
            quiet=2,
            region="GB",
        )
    assert watched.violations == []


def plant(box: GoogleSandbox, key: str, text: str) -> None:
    """A display name of the first e-mail address: a property of an item that no card knows."""
    box.edit(key, lambda fields: fields["emailAddresses"][0].update(displayName=text))


def planted(box: GoogleSandbox, key: str) -> str | None:
    [person] = [p for p in box.people() if p["metadata"]["sources"][0]["id"] == key]
    return next((item["displayName"] for item in person["emailAddresses"] if "displayName" in item), None)


class TestPlain(Conformance):
    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of() as subject:
            yield subject


class TestLagging(Conformance):
    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of(lag=300) as subject:
            yield subject


class TestSmallPages(Conformance):
    """And photos kept in another form, batches half done, faults not named, tokens that live on."""

    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with subject_of(page_cap=3, reencode=True, names_faulty=False, partial=True, extend=True) as subject:
            yield subject


class TestLive(LiveConformance):
    system = "google"
