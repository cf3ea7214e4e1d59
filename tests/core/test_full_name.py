"""A full name that is older than its parts must not outlive them."""

from __future__ import annotations

from typing import Any

from app.core.policy import Policy
from app.core.reconcile import EMPTY, merge
from connectors.card import Card, Equivalence


def fit(card: Card, held: Card | None) -> Card:
    return card


def crm(card: Card, held: Card | None) -> Card:
    """A system without a field for the full name."""
    return {**card, "name": {"components": card["name"]["components"]}}


def named(surname: str, full: str | None = None) -> dict[str, Any]:
    parts = [{"kind": "given", "value": "Zoë"}, {"kind": "surname", "value": surname}]
    return {"name": {"components": parts} | ({"full": full} if full else {})}


def merged(card: Card, seen: Card, view: Card, fitted: Any) -> Any:
    sent = fitted(card, None) if seen else EMPTY
    return merge(card, view, seen, sent, fit=fitted, policy=Policy(), arbiter=lambda path: "theirs", eq=Equivalence())


def test_a_surname_changed_elsewhere_takes_the_full_name_along() -> None:
    found = merged(named("Öz", "Dr. Zoë Öz"), named("Öz"), named("Bax"), crm)
    assert found.card == named("Bax")
    assert [(e.path, e.before, e.after) for e in found.edits] == [
        (("name", "surname"), "Öz", "Bax"),
        (("name", "full"), "Dr. Zoë Öz", None),
    ]
    assert found.losses == 0


def test_who_shows_the_full_name_himself_knows_better() -> None:
    before, after = named("Öz", "Dr. Zoë Öz"), named("Bax", "Dr. Zoë Öz")
    assert merged(before, before, after, fit).card == after


def test_other_edits_leave_it_alone() -> None:
    card = named("Öz", "Dr. Zoë Öz")
    view = named("Öz") | {"notes": {"1": {"note": "new"}}}
    assert merged(card, named("Öz"), view, crm).card["name"] == card["name"]
