"""What a CardDAV server is trusted to keep: what it was seen to keep, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.carddav.kept import Kept, sizes_of
from connectors.contract import Context


def card(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])


def kept(memory: dict[str, Any]) -> Kept:
    return Kept(Context(None, None, None, memory=memory, remember=memory.__setitem__))  # type: ignore[arg-type]


PLAIN = card("FN:Anna Berg", "TEL;TYPE=CELL:+49 171 1", "NOTE:twelve chars")


def test_nothing_is_trusted_before_it_was_seen() -> None:
    assert not kept({}).keeps(PLAIN)


def test_what_came_back_is_trusted_in_later_runs_too() -> None:
    memory: dict[str, Any] = {}
    first = kept(memory)
    first.proven(PLAIN, same=True)
    first.save()
    assert kept(memory).keeps(PLAIN)
    assert kept(memory).keeps(card("FN:Bo", "NOTE:short"))


@pytest.mark.parametrize(
    "other",
    [
        card("FN:Anna Berg", "NICKNAME:Annie"),
        card("FN:Anna Berg", "TEL;TYPE=FAX:+49 171 1"),
        card("FN:Anna Berg", "TEL;TYPE=CELL;PREF=1:+49 171 1"),
        card("FN:Anna Berg", "NOTE:thirteen char"),
        card("FN:Anna Berg", "NOTE:one", "NOTE:two"),
        card("FN:Anna Berg", "PHOTO;ENCODING=b;TYPE=PNG:AAAA"),
        "no card",
    ],
    ids=["property", "type", "parameter", "length", "number", "photo", "rubbish"],
)
def test_another_kind_longer_or_more_is_not_trusted(other: str) -> None:
    seen = kept({})
    seen.proven(PLAIN, same=True)
    assert not seen.keeps(other)


def test_photos_never_are() -> None:
    photo = card("FN:Anna", "PHOTO;ENCODING=b;TYPE=PNG:AAAA")
    seen = kept({})
    seen.proven(photo, same=True)
    assert not seen.keeps(photo)


def test_trust_that_was_abused_is_gone() -> None:
    memory: dict[str, Any] = {}
    seen = kept(memory)
    seen.proven(PLAIN, same=True)
    seen.proven(card("NOTE:cut"), same=False)
    seen.save()
    assert not kept(memory).keeps(PLAIN)
    assert kept(memory).keeps(card("FN:Anna Berg", "TEL;TYPE=CELL:+49 171 1"))


def test_it_is_remembered_only_where_there_is_news() -> None:
    told: list[str] = []
    seen = Kept(Context(None, None, None, remember=lambda name, value: told.append(name)))  # type: ignore[arg-type]
    for _ in range(3):
        seen.proven(PLAIN, same=True)
        seen.save()
    assert told == ["kept"]


def test_sizes() -> None:
    assert sizes_of(PLAIN)["TEL;TYPE=cell"] == (9, 1)
