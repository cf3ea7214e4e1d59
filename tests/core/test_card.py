"""The card as a value: its leaves, its bounds, and when two values are one."""

from __future__ import annotations

import unicodedata

import pytest

from connectors.card import fold


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
