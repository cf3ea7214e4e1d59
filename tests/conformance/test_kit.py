"""The conformance kit can fail: reference connectors pass it, each broken one is caught by the test meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from broken import CASES, Case
from hypothesis import Phase, settings

from connectors.errors import Error
from connectors.memory import MemoryConnector, MemoryRemote, Profile, addressbook, crm, lister, mailer, tidy_phones
from connectors.testing import Bench, Conformance, Subject


def subject_of(
    profile: Profile, connector: type[MemoryConnector] = MemoryConnector, upset: Callable[[MemoryRemote], None] = id
) -> Subject:
    """A connector of a remote in memory with small pages; `upset` turns the remote's switches."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    remote = MemoryRemote(replace(profile, page=3), lambda: clock[0])
    upset(remote)

    def advance(seconds: float) -> None:
        clock[0] += timedelta(seconds=seconds)

    return Subject(
        open=lambda: connector(remote),
        human=lambda: MemoryConnector(remote),
        faults=remote.faults,
        advance=advance,
        impostor=lambda: connector(remote, secret="wrong word"),
        secrets=[remote.secret, "wrong word"],
        expire=remote.expire_cursors,
        plant=lambda record_id, text: remote.plant(record_id, "spare", text),
        planted=lambda record_id: remote.planted(record_id).get("spare"),
        creating="^POST /records",
        crowd=8,
        quiet=20,
    )


SAME_FIT = {name: "proven for the profile above" for name in vars(Conformance) if name.startswith("test_fit")}


def shaky(remote: MemoryRemote) -> None:
    """Everything a correct connector must bear."""
    remote.short_pages = True
    remote.lying = True
    remote.reformat = tidy_phones
    remote.shrink = lambda photo: photo[:100]


class TestAddressbook(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(addressbook())


class TestCrm(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(crm())


class TestMailer(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(mailer())


class TestLister(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(lister())


class TestLaggingAddressbook(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return replace(subject_of(replace(addressbook(), lag=30.0, find_lag=90.0), upset=shaky), exempt=SAME_FIT)


class TestShakyLister(Conformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return replace(subject_of(lister(), upset=shaky), exempt=SAME_FIT)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.connector.__name__}-{case.test}")
def test_a_broken_connector_is_caught(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.conformance._some", settings(max_examples=100, phases=[Phase.generate]))
    bench = Bench(subject_of(case.profile(), case.connector, case.upset))
    test = getattr(Conformance(), case.test)
    with pytest.raises((AssertionError, Error, ValueError)):
        test(bench, *([] if case.parameter is None else [case.parameter]))


def test_every_test_of_the_kit_can_fail() -> None:
    tests = {name for name in vars(Conformance) if name.startswith("test_")}
    assert tests == {case.test for case in CASES}
