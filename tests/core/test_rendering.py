"""What a remote may make of a text, and what somebody must have typed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.reconcile import acknowledged
from app.core.rendering import renders
from connectors.card import Equivalence, leaves

NOTE = ("notes", "1", "note")
PHONE = ("phones", "1", "number")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Tom & Jerry 🥐 Ltd", "Tom &amp; Jerry ? L"),
        ("one\ntwo", "one two"),
        ("MÜLLER", "Müller"),
        ("a long story", "a long"),
    ],
)
def test_of_a_text(sent: str, shown: str) -> None:
    assert renders(NOTE, sent, shown)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("Anna", "Hanna"), ("Anna", "Anna Bell"), ("Anna", ""), ("Anna", "!"), ("Anna", None), (None, "Anna"), (1, 1)],
)
def test_not_of_a_text(sent: Any, shown: Any) -> None:
    assert not renders(NOTE, sent, shown)


@pytest.mark.parametrize("shown", ["030 1234567", "(030) 123-4567", "0049301234567", "1234567", "+49.30.1234567"])
def test_of_a_number(shown: str) -> None:
    assert renders(PHONE, "+49 30 1234567", shown)
    assert renders(PHONE, shown, "+49 30 1234567")


@pytest.mark.parametrize("shown", ["030 1234568", "4567", "+49 30 12345", "", "none"])
def test_not_of_a_number(shown: str) -> None:
    assert not renders(PHONE, "+49 30 1234567", shown)


@given(st.text(st.characters(codec="ascii", exclude_characters="&"), min_size=1), st.integers(1, 40))
def test_a_beginning_with_a_letter_in_it_is_of_the_text(text: str, length: int) -> None:
    assert renders(NOTE, text, text[:length]) == any(map(str.isalnum, text[:length]))


OLD = {"notes": {"1": {"note": "old"}}, "phones": {"2": {"number": "1234567"}}}


def wrote(text: str | None) -> dict[Any, Any]:
    return {NOTE: text}


@pytest.mark.parametrize(
    ("now", "seen", "sent"),
    [
        ("a long", "a long", "a long story"),
        ("a long story", "a long story", "a long story"),
        ("typed since", "old", "old"),
        ("old", "old", "old"),
    ],
)
def test_what_arrived_is_ours_and_all_else_is_as_it_was(now: str, seen: str, sent: str) -> None:
    view = {**OLD, "notes": {"1": {"note": now}}, "phones": {"2": {"number": "7654321"}}}
    shadows = acknowledged(view, OLD, OLD, wrote("a long story"), Equivalence())
    assert [shadow["notes"]["1"]["note"] for shadow in shadows] == [seen, sent]
    assert [shadow["phones"] for shadow in shadows] == [OLD["phones"]] * 2


def test_what_we_took_away_and_is_gone_is_our_deletion() -> None:
    seen, sent = acknowledged({"phones": OLD["phones"]}, OLD, OLD, wrote(None), Equivalence())
    assert leaves(seen) == leaves(sent) == leaves({"phones": OLD["phones"]})


def test_what_the_remote_adds_to_an_element_that_we_brought_is_no_edit() -> None:
    view = {**OLD, "notes": {"1": {"note": "old"}, "9": {"note": "new", "concord:slot": "description"}}}
    seen, sent = acknowledged(view, OLD, OLD, {("notes", "9", "note"): "new"}, Equivalence())
    assert seen["notes"]["9"] == view["notes"]["9"]
    assert sent["notes"]["9"] == {"note": "new"}
