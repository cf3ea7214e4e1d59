"""The card as a value: its leaves, its bounds, and when two values are one."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import cards

from connectors.card import (
    LINES,
    MAX_ELEMENTS,
    MAX_ID,
    MAX_PHOTO,
    MAX_TEXT,
    Card,
    Element,
    Equivalence,
    card_of,
    digest,
    fold,
    leaves,
    problem,
    problem_id,
)

QUIET = settings(derandomize=True, deadline=None, max_examples=100)

# --- folding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("12 Main Street, Apt. 4b\nSpringfield", "12 main street apt 4b springfield"),
        ("snake_case", "snake case"),
        ("Königsallee 12 – Süd", "königsallee 12 süd"),
        ("Straße", "strasse"),
        ("Łódź", "łódź"),
        ("राम, दिल्ली", "राम दिल्ली"),
        ("Ann ❤️", "ann"),
        ("葛\U000e0100城", "葛城"),
        ("–", ""),
    ],
)
def test_a_fold_keeps_letters_digits_and_their_marks(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("one", "other"), [("राम", "रीमा"), ("ราม", "รีมา"), ("সুমন", "সীমন"), ("بَ", "بِ"), ("caf\u00e9", "cafe")]
)
def test_marks_make_another_text(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize("text", ["Nguyễn Thị Ánh", "김민수", "Müller", "Łódź é", "か゚が", "राम क़ा"])
def test_composed_or_not_is_the_same_text(text: str) -> None:
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))


# --- leaves ---------------------------------------------------------------------------------------------------------


@QUIET
@given(card=cards())
def test_a_card_is_its_leaves(card: Card) -> None:
    assert leaves(card_of(leaves(card))) == leaves(card)
    assert problem(card) is None


def test_the_leaves_of_a_card() -> None:
    name = {"components": [{"kind": "given", "value": "Ann", "phonetic": "æn"}, {"kind": "surname", "value": "Doe"}]}
    card = {
        "kind": "individual",
        "name": {**name, "full": "Ann Doe"},
        "emails": {"e1": {"address": "ann@x.test", "pref": 1}},
        "addresses": {"a1": {LINES: "Main St 1", "components": [{"kind": "locality", "value": "Rome"}]}},
        "keywords": {"vip": True},
        "x:unknown": {"as": ["it", "is"]},
    }
    assert leaves(card) == {
        ("kind",): "individual",
        ("name", "given"): "Ann",
        ("name", "given.phonetic"): "æn",
        ("name", "surname"): "Doe",
        ("name", "full"): "Ann Doe",
        ("emails", "e1", "address"): "ann@x.test",
        ("emails", "e1", "pref"): 1,
        ("addresses", "a1", LINES): "Main St 1",
        ("addresses", "a1", "locality"): "Rome",
        ("keywords", "vip"): True,
        ("x:unknown",): {"as": ["it", "is"]},
    }
    assert card_of(leaves(card)) == card


def test_components_come_in_canonical_order_one_of_a_kind() -> None:
    twice = [{"kind": "surname", "value": "Doe"}, {"kind": "given", "value": "Ann"}, {"kind": "given", "value": "Eve"}]
    once = [{"kind": "given", "value": "Ann Eve"}, {"kind": "surname", "value": "Doe"}]
    assert card_of(leaves({"name": {"components": twice}})) == {"name": {"components": once}}


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"notes": {"1": {"note": "a\ud83d"}}}, "notes/note holds half a character"),
        ({"notes": {"1": {"note": "a\0b"}}}, "notes/note holds a NUL"),
        ({"keywords": {"a\0b": True}}, "a name in keywords holds a NUL"),
        ({"x\udc00": 1}, "a name in the card holds half a character"),
        ({"name": {"components": [{"kind": "given", "value": "\0"}]}}, "name/value holds a NUL"),
        ({"emails": {"1": {"address": "a@x.test", "pref": 2**64}}}, "emails/pref is a number of more than 64 bits"),
        ({"x": [{"y": -(2**63) - 1}]}, "x/y is a number of more than 64 bits"),
        ({"x": [float("nan")]}, "x is nan, which is no number"),
        ({"x": {"y": float("-inf")}}, "x/y is -inf"),
        ({"keywords": {1: True}}, "a name in keywords is no text (int)"),
        ({"x": {"y": object()}}, "it cannot be stored as JSON"),
        ({"notes": {"1": {"note": "n" * (MAX_TEXT + 1)}}}, "notes/note is 100,001 characters long"),
        ({"name": {"full": "n" * (MAX_TEXT + 1)}}, "name is 100,001 characters long"),
        ({"keywords": {"k" * (MAX_TEXT + 1): True}}, "keywords is 100,001 characters long"),
        ({"emails": {str(n): {} for n in range(MAX_ELEMENTS + 1)}}, "1,001 emails on one contact"),
        ({"keywords": {str(n): True for n in range(MAX_ELEMENTS + 1)}}, "1,001 keywords on one contact"),
        ({"media": {"1": {"kind": "photo", "size": MAX_PHOTO + 1}}}, "a photo of 16 MB; at most 16 MB"),
    ],
)
def test_what_cannot_be_taken_is_said_in_words(card: Card, words: str) -> None:
    reason = problem(card)
    assert reason is not None
    assert reason.startswith(words)
    reason.encode()  # it is stored and shown


def test_a_card_without_a_bottom_is_refused() -> None:
    card: dict[str, Any] = {}
    for _ in range(2_000):
        card = {"x": card}
    assert problem(card) == "x is nested too deeply"


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"notes": {"1": {"note": "n" * MAX_TEXT}}},
        {"notes": {"1": {"note": "the text \\u0000 and null"}}},
        {"notes": {"1": {"note": None}}},
        {"emails": {str(n): {"address": "a@x.test"} for n in range(MAX_ELEMENTS)}},
        {"media": {"1": {"kind": "photo", "size": MAX_PHOTO}}},
        {"x": [2**64 - 1, -(2**63), 1.5, True]},
        {"vCardProps": [["key", {}, "uri", "k" * (MAX_TEXT + 1)]]},
        {"notes": {"1": {"note": "🙂 whole"}}},
    ],
)
def test_what_is_within_the_bounds_is_taken(card: Card) -> None:
    assert problem(card) is None
    assert digest(card)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its id is empty"),
        ("i" * (MAX_ID + 1), "its id is 513 characters long; the limit is 512"),
        ("a\0", "its id holds a NUL character"),
        ("a\ud800", "its id holds half a character"),
    ],
)
def test_an_id_that_cannot_be_stored(text: str, words: str) -> None:
    assert str(problem_id(text)).startswith(words)


@pytest.mark.parametrize("text", ["12x34", "/book/Ünïcödé 1.vcf", "i" * MAX_ID])
def test_an_id_that_can(text: str) -> None:
    assert problem_id(text) is None


# --- equivalence ----------------------------------------------------------------------------------------------------

GERMAN = Equivalence("DE")
NUMBER, ADDRESS, URI = ("phones", "1", "number"), ("emails", "1", "address"), ("links", "1", "uri")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+49 211 1234567", "+49211/1234567"),
        ("+49 211 1234567", "0049 211 1234567"),
        ("+49 (0)211 1234567", "+49 211 1234567"),
        ("+49 211 1234567", "0211 1234567"),
        ("+49 211 1234567 ext. 12", "0211 1234567 x12"),
        ("tel:+49-211-1234567", "+49 211 1234567"),
        ("0800 FLOWERS", "0800 flowers"),
        ("ask Ann", " ASK ann "),
    ],
)
def test_one_phone_number(one: str, other: str) -> None:
    assert GERMAN.same(NUMBER, one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+49 211 1234567", "+49 211 1234568"),
        ("+49 211 1234567", "+43 211 1234567"),
        ("+49 211 1234567", "+49 211 1234567 ext. 12"),
        ("+49 211 1234567 ext. 1", "+49 211 1234567 ext. 12"),
        ("ask Ann", "ask Bob"),
        ("0211 1234567", ""),
    ],
)
def test_two_phone_numbers(one: str, other: str) -> None:
    assert not GERMAN.same(NUMBER, one, other)


def test_a_national_number_is_read_in_a_region_only() -> None:
    assert not Equivalence().same(NUMBER, "+49 211 1234567", "0211 1234567")
    assert not Equivalence("AT").same(NUMBER, "+49 211 1234567", "0211 1234567")
    assert Equivalence().same(NUMBER, "(0211) 123-4567", "0211 1234567")


@pytest.mark.parametrize(
    ("path", "one", "other", "same"),
    [
        (ADDRESS, "Ann@X.test", " mailto:ann@x.test ", True),
        (ADDRESS, "ann@x.test", "anna@x.test", False),
        (URI, "https://www.x.test/a/", "http://X.test/a", True),
        (URI, "https://x.test/%C3%A9", "x.test/é", True),
        (URI, "https://x.test/a", "https://x.test/A", False),
        (URI, "https://x.test/a?b=1", "https://x.test/a?b=2", False),
        (URI, "https://x.test:8443/", "https://x.test/", False),
        (URI, "https://[bad", "https://[bad", True),
        (URI, "https://[bad", "https://[worse", False),
        (("addresses", "1", LINES), "Main St. 1,\nFlat 2", "main st 1 flat 2", True),
        (("addresses", "1", LINES), "Main St. 1", "Main St. 11", False),
        (("groups", "1", "name"), "VIP", " vip", True),
        (("notes", "1", "note"), "a\r\nb", "a\nb ", True),
        (("notes", "1", "note"), "a", "A", False),
        (("anniversaries", "1", "date"), {"year": 1980, "month": 3}, {"month": 3, "year": 1980}, True),
        (("anniversaries", "1", "date"), {"year": 1980}, {"year": 1981}, False),
        (("emails", "1", "pref"), 1, None, False),
    ],
)
def test_one_value_written_in_two_ways(path: tuple[str, ...], one: Any, other: Any, same: bool) -> None:
    assert Equivalence().same(path, one, other) is same
    assert Equivalence().same(path, other, one) is same


@pytest.mark.parametrize(
    ("field", "one", "other", "same"),
    [
        ("addresses", {LINES: "Main St 1"}, {"full": "main st. 1"}, True),
        (
            "addresses",
            {LINES: "Main St 1", "components": [{"kind": "postcode", "value": "1"}]},
            {LINES: "Main St 1", "components": [{"kind": "postcode", "value": "2"}]},
            False,
        ),
        ("onlineServices", {"service": "Skype", "user": "ann"}, {"service": "Skype", "uri": "ann"}, True),
        ("onlineServices", {"service": "Skype", "user": "ann"}, {"service": "AIM", "user": "ann"}, False),
        ("anniversaries", {"kind": "birth", "date": {"year": 1}}, {"kind": "death", "date": {"year": 1}}, False),
        ("emails", {"address": "A@x.test", "pref": 1}, {"address": "a@x.test"}, True),
    ],
)
def test_what_an_element_is_recognised_by(field: str, one: Element, other: Element, same: bool) -> None:
    assert (Equivalence().element_key(field, one) == Equivalence().element_key(field, other)) is same


@pytest.mark.parametrize("field", ["addresses", "onlineServices", "emails", "phones", "notes"])
def test_an_element_without_a_value_is_recognised_by_nothing(field: str) -> None:
    assert Equivalence().element_key(field, {}) is None
