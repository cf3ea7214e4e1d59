"""A name rewritten as one text, where others keep it in parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.naming import respelled
from app.core.policy import Policy
from app.core.reconcile import merge
from connectors.card import Card, Equivalence, full_name

ANN = {"given": "Ann", "surname": "Lee"}


@pytest.mark.parametrize(
    ("parts", "before", "after", "expected"),
    [
        (ANN, "Ann Lee", "Ann Miller", {"given": "Ann", "surname": "Miller"}),
        (ANN, "Ann Lee", "Anna Lee", {"given": "Anna", "surname": "Lee"}),
        (ANN, "Ann Lee", "Ann Maria Lee", {"given": "Ann Maria", "surname": "Lee"}),
        (ANN, "Ann Lee", "Ann Lee-Miller", {"given": "Ann", "surname": "Lee-Miller"}),
        (ANN, "Ann Lee", "Bob van der Stone", {"given": "Bob", "surname": "van der Stone"}),
        (ANN, "Ann Lee", "Lee", {"surname": "Lee"}),
        ({"title": "Dr.", **ANN}, "Ann Lee", "Ann Miller", {"title": "Dr.", "given": "Ann", "surname": "Miller"}),
        (
            {"given": "Ann", "given2": "Maria", "surname": "van Dyk"},
            "Ann Maria van Dyk",
            "Ann van Dyk",
            {"given": "Ann", "surname": "van Dyk"},
        ),
        (ANN, "Acme Ltd", "Acme GmbH", ANN),
        ({}, "Ann Lee", "Ann Miller", {}),
    ],
)
def test_each_word_goes_to_the_part_that_it_stands_for(
    parts: dict[str, str], before: str, after: str, expected: dict[str, str]
) -> None:
    assert respelled(parts, before, after) == expected


_WORDS = st.lists(st.text("abcé", min_size=1, max_size=3), min_size=1, max_size=4).map(" ".join)


@given(st.dictionaries(st.sampled_from(["given", "given2", "surname"]), _WORDS, min_size=1), _WORDS)
def test_nothing_is_made_up_and_nothing_is_lost(parts: dict[str, str], after: str) -> None:
    before = " ".join(parts[kind] for kind in ("given", "given2", "surname") if kind in parts)
    spelled = respelled(parts, before, after)
    words = sorted(word for value in spelled.values() for word in value.split())
    assert words == sorted(after.split())
    assert respelled(parts, before, before) == {k: " ".join(v.split()) for k, v in parts.items()}


def fit(card: Card, held: Card | None) -> Card:
    """A system that has one text for a name."""
    return {"name": {"full": full_name(card)}} if full_name(card) else {}


def test_a_rename_where_names_are_one_text_reaches_the_parts() -> None:
    card = {"name": {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": "Lee"}]}}
    seen = {"name": {"full": "Ann Lee"}}
    merged = merge(
        card,
        {"name": {"full": "Ann Miller"}},
        seen,
        seen,
        fit=fit,
        policy=Policy(),
        arbiter=lambda path: "theirs",
        eq=Equivalence(),
    )
    assert {c["kind"]: c["value"] for c in merged.card["name"]["components"]} == {"given": "Ann", "surname": "Miller"}
    assert {edit.path for edit in merged.edits} == {("name", "full"), ("name", "surname")}
    again = merge(
        merged.card,
        merged.seen,
        merged.seen,
        merged.sent,
        fit=fit,
        policy=Policy(),
        arbiter=lambda path: "theirs",
        eq=Equivalence(),
    )
    assert not again.edits
