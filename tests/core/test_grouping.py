"""A card in another group, in none, and never in one twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from app.core.grouping import regrouped
from connectors.card import group_key, group_names


@pytest.fixture
def mint() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"new{next(numbers)}"


def groups(*names: str) -> dict[str, Any]:
    return {"notes": {"1": {"note": "x"}}, "groups": {f"g{n}": {"name": name} for n, name in enumerate(names)}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["Old"], {"new1": "New"}),
        (["Other", "oLD "], {"g0": "Other", "new1": "New"}),
        (["Old", "OLD", "old  "], {"new1": "New"}),
        (["Old", "new"], {"g1": "New"}),
        (["new"], {"g0": "New"}),
        (["Other"], {"g0": "Other"}),
        ([], {}),
    ],
)
def test_the_new_name_stands_once_where_the_old_one_stood(
    before: list[str], after: dict[str, str], mint: Callable[[], str]
) -> None:
    card = regrouped(groups(*before), "Old", "New", mint)
    assert {key: element["name"] for key, element in card["groups"].items()} == after
    assert card["notes"] == {"1": {"note": "x"}}
    assert regrouped(card, "Old", "New", mint) == card


def test_another_spelling_is_the_same_element(mint: Callable[[], str]) -> None:
    card = regrouped(groups("best  friends", "Other"), "Best Friends", "Best Friends", mint)
    assert card["groups"] == {"g0": {"name": "Best Friends"}, "g1": {"name": "Other"}}


def test_what_else_is_known_of_the_membership_stays(mint: Callable[[], str]) -> None:
    card = regrouped({"groups": {"1": {"name": "Old", "example.com:since": "2020"}}}, "old", "New", mint)
    assert card["groups"] == {"new1": {"name": "New", "example.com:since": "2020"}}


def test_who_leaves_the_last_group_has_none(mint: Callable[[], str]) -> None:
    assert regrouped(groups("Old", "old"), "OLD", None, mint) == {"notes": {"1": {"note": "x"}}}
    assert [*group_names(regrouped(groups("Old", "Other"), "Old", None, mint))] == ["Other"]


def test_however_a_name_is_written_it_is_one() -> None:
    assert len({group_key(name) for name in ("Best Friends", " best  FRIENDS\t", "best\u00a0friends")}) == 1
    assert group_key("STRASSE") == group_key("straße")
    assert [*group_names({"groups": {"1": {}, "2": {"name": " "}, "3": {"name": 7}, "4": {"name": "x"}}})] == ["x"]
