"""Who is who: evidence in two independent parts."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.identity import Candidate, choose, compatible, keys_of
from connectors.card import Card, Equivalence


def named(given: str = "", surname: str = "", **more: str) -> dict[str, Any]:
    parts = {"given": given, "surname": surname, **more}
    return {"name": {"components": [{"kind": kind, "value": value} for kind, value in parts.items() if value]}}


def candidate(person: int, card: Card, *keys: str, here: bool = False) -> Candidate:
    return Candidate(person, card, frozenset((kind, "…") for kind in keys), here)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (named("Anna", "Meyer"), named("Anna", "Meyer"), True),
        (named("Anna", "Meyer"), named("ANNA", "Méyer"), True),
        (named("Anna", "Meyer"), named("Meyer", "Anna"), True),
        (named("Anna", "Meyer"), named("A", "Meyer"), True),
        (named("B", "Meyer"), named("Anna", "Meyer"), False),
        (named("Bob", "Meyer"), named("Robert", "Meyer"), True),
        (named("Robert", "Meyer"), named("Bob", "Meyer"), True),
        (named("Anna", "Meyer"), named("Otto", "Meyer"), False),
        (named("Anna", "Meyer"), named("Anna", "Schulz"), False),
        (named("Anna", "Meyer"), named("", "Meyer"), True),
        (named("Anna", "Meyer"), named("Anna"), False),
        (named("Anna Maria", "Meyer"), named("Maria", "Meyer"), True),
        (named("Anna", "Meyer"), named("Anna Maria", "Meyer"), True),
        (named("Anna", "Meyer"), {}, True),
        ({}, named("Anna", "Meyer"), True),
        (named("Jim", "Kirk", generation="Jr"), named("Jim", "Kirk", generation="Sr"), False),
        (named("Jim", "Kirk", generation="Jr"), named("Jim", "Kirk"), True),
        (named("Jim", "Kirk", generation="Jr"), named("J", "Kirk", generation="Sr"), False),
        (named("Jim", "Kirk", generation="Jr"), named("J", "Kirk", generation="jr."), True),
        ({**named("Anna", "Meyer"), "kind": "org"}, named("Anna", "Meyer"), False),
        ({"name": {"full": "Anna Meyer"}}, named("Anna", "Meyer"), True),
        ({"name": {"full": "Anna Meyer"}}, named("Otto", "Meyer"), False),
    ],
)
def test_names_of_one_person(one: Card, other: Card, same: bool) -> None:
    assert compatible(one, other) is same
    assert compatible(other, one) is same


def test_an_address_alone_is_nobody() -> None:
    otto = candidate(1, named("Otto", "Meyer"), "email", "phone")
    assert choose(named("Anna", "Meyer"), [otto]) is None
    assert choose(named("Anna", "Meyer"), []) is None


def test_the_strongest_evidence_counts_then_the_oldest_person() -> None:
    anna = named("Anna", "Meyer")
    weak, strong = candidate(1, anna, "phone"), candidate(2, anna, "email")
    assert choose(anna, [weak, strong]) == 2
    assert choose(anna, [candidate(7, anna, "email"), candidate(3, anna, "email")]) == 3
    assert choose(anna, [strong, candidate(4, anna, "email", "phone")]) == 4
    assert choose(anna, [candidate(9, named("Else"), "uid"), strong]) == 9


def test_a_second_record_in_one_system_is_the_same_person_only_with_the_very_same_name() -> None:
    anna = named("Anna", "Meyer")
    assert choose(named("A", "Meyer"), [candidate(1, anna, "email", here=True)]) is None
    assert choose({}, [candidate(1, anna, "email", here=True)]) is None
    assert choose({}, [candidate(1, {}, "email", here=True)]) is None
    assert choose(named("anna", "meyer"), [candidate(1, anna, "email", here=True)]) == 1
    assert choose(named("Otto", "Meyer"), [candidate(1, anna, "uid", here=True)]) is None, "a copy keeps our key"


def test_a_nameless_record_is_whoever_alone_has_its_address() -> None:
    anna, otto = candidate(1, named("Anna"), "email"), candidate(2, named("Otto"), "email")
    assert choose({}, [anna]) == 1
    assert choose({}, [anna, otto]) is None


def test_what_a_card_is_found_by() -> None:
    card = {
        "emails": {"1": {"address": "Anna@X.test"}, "2": {"label": "empty"}, "3": {"address": "a@b"}},
        "phones": {"1": {"number": "+49 30 1"}, "2": {"number": "110"}},
    }
    assert keys_of(card, Equivalence()) == {("email", "anna@x.test"), ("phone", "+49301")}
    assert keys_of({}, Equivalence()) == set()
