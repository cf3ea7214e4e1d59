"""Who a record of somebody unknown is."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.identity import Candidate, Key, choose, compatible, is_uid, keys_of
from app.store import people
from app.store.people import Person
from app.store.store import Store
from app.store.tables import metadata
from connectors.card import NAME_KINDS, Card, Equivalence

EQ = Equivalence()
MAIL: Key = ("email", "a@x.test")
PHONE: Key = ("phone", "+4921112345")


def named(given: str = "", surname: str = "", kind: str = "", **more: str) -> dict[str, Any]:
    """A card with this name."""
    parts = {"given": given, "surname": surname, **more}
    found: list[dict[str, str]] = [{"kind": k, "value": parts[k]} for k in NAME_KINDS if parts.get(k)]
    return {"name": {"components": found}} | ({"kind": kind} if kind else {})


def full(text: str) -> dict[str, Any]:
    return {"name": {"full": text}}


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("Ann", "Doe"), named("Ann", "Doe")),
        (named("Ann", "Doe"), named("ANN", "doe")),
        (named("Ann", "Doe"), named("Doe", "Ann")),  # the fields swapped
        (named("Ann", "Doe"), full("Doe, Ann")),
        (named("Robert", "Doe"), named("Bob", "Doe")),
        (named("Bob", "Doe"), named("Robert", "Doe")),
        (named("R.", "Doe"), named("Robert", "Doe")),
        (named("Robert", "Doe"), named("r", "Doe")),
        (named("Ann", "Doe"), named("Ann Marie", "Doe")),
        (named("", "Doe"), named("Ann", "Doe")),
        (named("Zoë", "Müller"), named("Zoe", "Muller")),
        (named("Ann", "Doe"), named("Ann", "Doe", generation="Jr.")),
        (named("Ann", "Doe", generation="Jr."), named("Ann", "Doe", generation="jr")),
        (named("Ann", "Doe"), {}),
        ({}, {}),
        (named("Ann", "Doe"), named("Ann", "Doe", kind="individual")),
        (named("🙂"), named("Ann", "Doe")),  # signs are no name
    ],
)
def test_these_can_be_one_person(one: Card, other: Card) -> None:
    assert compatible(one, other)
    assert compatible(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("Ann", "Doe"), named("John", "Doe")),
        (named("Ann", "Doe"), named("Ann", "Roe")),
        (named("A", "Doe"), named("John", "Doe")),
        (named("Ann"), named("Ann", "Doe")),
        (named("Robert", "Doe", generation="Jr."), named("Robert", "Doe", generation="Sr.")),
        (named("Robert", "Doe", generation="Jr."), named("Bob", "Doe", generation="Sr.")),
        (named("Ann", "Doe"), named("Ann", "Doe", kind="org")),
        (named("राम", "शर्मा"), named("रीमा", "शर्मा")),
        (named("伟", "王"), named("伟明", "王")),  # no initial: a name of one sign
    ],
)
def test_these_cannot(one: Card, other: Card) -> None:
    assert not compatible(one, other)
    assert not compatible(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("مُحَمَّد", "محمد"),  # harakat
        ("שָׂרָה", "שרה"),  # niqqud
        ("Nguyễn Thị Ánh", "Nguyen Thi Anh"),
        ("İpek", "Ipek"),
        ("Ångström", "Angstrom"),
        ("김민수", unicodedata.normalize("NFD", "김민수")),
        ("राम कुमार", unicodedata.normalize("NFD", "राम कुमार")),
        ("Ａｎｎ", "ann"),
        ("Ann ❤️", "Ann"),
    ],
)
def test_one_name_written_in_two_ways(one: str, other: str) -> None:
    assert compatible(full(one), full(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("राम", "रीमा"),
        ("रम", "राम"),
        ("कुल", "कल"),
        ("सुमन्", "सुमन"),  # virama
        ("সুমন", "সীমন"),
        ("ராம", "ரீமா"),
        ("రమ", "రామ"),
        ("สุดา", "สิดา"),
        ("สุดา", "สดา"),
        ("かとう", "がとう"),  # voicing
        ("김민수", "김민서"),
    ],
)
def test_other_vowels_are_another_name(one: str, other: str) -> None:
    assert not compatible(full(one), full(other))


# --- choice ---------------------------------------------------------------------------------------------------------

ANN, BOB = named("Ann", "Doe"), named("Bob", "Roe")


def person(number: int, card: Card, *keys: Key, here: bool = False) -> Candidate:
    return Candidate(number, card, frozenset(keys), here)


def test_nobody_is_chosen_among_nobody() -> None:
    assert choose(ANN, []) is None


def test_the_strongest_evidence_wins_then_who_is_known_longest() -> None:
    assert choose(ANN, [person(1, ANN, PHONE), person(2, ANN, MAIL)]) == 2
    assert choose(ANN, [person(1, ANN, MAIL), person(2, ANN, MAIL, PHONE)]) == 2
    assert choose(ANN, [person(2, ANN, MAIL), person(1, ANN, MAIL)]) == 1
    assert choose(ANN, [person(1, BOB, MAIL, PHONE), person(2, ANN, PHONE)]) == 2


def test_two_records_in_one_system_are_one_person_only_by_the_same_name() -> None:
    assert choose(named("A.", "Doe"), [person(1, ANN, MAIL, here=True)]) is None
    assert choose(named("Doe", "Ann"), [person(1, ANN, MAIL, here=True)]) == 1
    assert choose({}, [person(1, {}, MAIL, here=True)]) is None


def test_our_own_key_says_who_it_is_whatever_the_name() -> None:
    assert choose(BOB, [person(1, ANN, ("uid", "u1")), person(2, BOB, MAIL, PHONE)]) == 1
    assert choose({}, [person(1, ANN, ("uid", "u1")), person(2, BOB, MAIL)]) == 1


def test_a_copy_that_kept_our_key_is_somebody_else_once_it_has_another_name() -> None:
    assert choose(BOB, [person(1, ANN, ("uid", "u1"), here=True)]) is None
    assert choose(BOB, [person(1, ANN, ("uid", "u1"), MAIL, here=True), person(2, BOB, MAIL)]) == 2
    assert choose(ANN, [person(1, ANN, ("uid", "u1"), here=True)]) == 1


def test_a_record_without_a_name_is_nobody_where_several_share_the_address() -> None:
    nameless = {"emails": {"1": {"address": "a@x.test"}}}
    assert choose(nameless, [person(1, ANN, MAIL)]) == 1
    assert choose(nameless, [person(1, ANN, MAIL), person(2, BOB, MAIL)]) is None
    assert choose(nameless, [person(1, ANN, MAIL, PHONE), person(2, BOB, MAIL)]) is None
    assert choose(nameless, [person(1, ANN, MAIL), person(2, BOB, MAIL, here=True)]) is None


# --- keys -----------------------------------------------------------------------------------------------------------


def mails(*addresses: str) -> dict[str, Any]:
    return {"emails": {str(n): {"address": address} for n, address in enumerate(addresses)}}


def test_keys_are_folded_and_short_values_say_nothing() -> None:
    card = {**mails("Ann@X.test", "mailto:ann@x.test", "a@b"), "phones": {"1": {"number": "0049 211 12345"}, "2": {}}}
    assert keys_of(card, EQ) == {("email", "ann@x.test"), ("phone", "+4921112345")}


@pytest.mark.parametrize("text", ["u", "b5f5c4a0-3a0d-4c2e-9f0e-0123456789ab", "Ä" * 64])
def test_a_uid(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", "u" * 65, "a b", "a\n", "a\0", "a\u00a0b", "a\u200bb", "\ud800"])
def test_no_uid(text: str) -> None:
    assert not is_uid(text)


# --- the store ------------------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store("sqlite://", lambda: datetime(2024, 1, 1, tzinfo=UTC))
    metadata.create_all(store.engine)
    yield store
    store.close()


def test_addresses_of_any_length_are_stored_and_found(store: Store) -> None:
    long = "a" * 330
    card = mails(f"{long}@x.test", f"{long}@y.test")
    found_by = {1: keys_of(card, EQ)}
    assert all(len(value) <= 320 for _, value in found_by[1])  # the column of the store
    with store.begin() as unit:
        people.insert(unit, [Person(1, "u1", 1, "live", card)], found_by)
        people.update(unit, [Person(1, "u1", 2, "live", card)], found_by)
        wanted = keys_of(mails(f"{long}@x.test"), EQ)
        assert people.by_keys(unit, wanted) == {key: {1} for key in wanted}
        assert len(wanted) == 1


def test_errors_of_the_database_hold_nobodys_data(store: Store) -> None:
    with store.begin() as unit, pytest.raises(sa.exc.IntegrityError) as caught:
        people.insert(unit, [Person(n, "u1", 1, "live", full("Secret Person")) for n in (1, 2)], {})
    assert "Secret" not in str(caught.value)
