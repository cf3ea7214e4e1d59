"""An edited file comes again: who got another e-mail address is followed, nobody is taken for somebody else."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from test_files_tables import pages

from connectors.contract import Page, Record

HEADER = "Name,Email,Phone"


def read(path: Path, rows: Sequence[str], cursor: Any = None, **settings: Any) -> list[Page]:
    path.write_text("\n".join([HEADER, *rows]))
    return pages(path, cursor, **settings)


def followed(path: Path, before: Sequence[str], after: Sequence[str], **settings: Any) -> dict[str, Sequence[str]]:
    """{id: former ids} of what an edited file shows of those who moved."""
    cursor = read(path, before, **settings)[-1].cursor
    found: list[Record] = [record for page in read(path, after, cursor, **settings) for record in page.records]
    return {record.id: record.aliases for record in found if record.aliases}


BEN, ANN = "Ben Bax,ben@b.example,", "Ann Orr,ann@b.example,020 7946 0001"


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ([BEN], ["Ben Bax,benjamin@b.example,"], {"email:benjamin@b.example": ("email:ben@b.example",)}),
        ([ANN, BEN], ["Ben  BAX,bb@b.example,", ANN], {"email:bb@b.example": ("email:ben@b.example",)}),
        (["Ben Bax,,", ANN], [BEN, ANN], {"email:ben@b.example": ("name:ben bax|",)}),
        ([ANN, "Cem C,,111 222 333"], [ANN, "Cem C,,111 222 444"], {"phone:111222444": ("phone:111222333",)}),
    ],
)
def test_an_edited_row_is_the_same_record(tmp_path: Path, before: list[str], after: list[str], moves: Any) -> None:
    assert followed(tmp_path / "a.csv", before, after) == moves


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["John Smith,a@x.example,", "John Smith,b@x.example,", ANN], ["John Smith,c@x.example,", ANN]),
        (["John Smith,a@x.example,", ANN], ["John Smith,b@x.example,", "John Smith,c@x.example,", ANN]),
        (["John Smith,a@x.example,", ANN], ["John Smith,a@x.example,", "John Smith,c@x.example,", ANN]),
        (["John Smith,a@x.example,", ANN, BEN], ["John Smith,ann@b.example,", BEN]),
        (["John Smith,a@x.example,", ANN, BEN], ["John Smith,b@x.example,", "John Smith,c@x.example,,,,x", ANN, BEN]),
        (
            ["John Smith,a@x.example,", ANN, BEN],
            ["Carl Cox,c@x.example,", "John Smith,j@x.example,", "Di D,d@x.test,"],
        ),
        ([BEN, ANN], [ANN, ",benjamin@b.example,"]),
    ],
)
def test_two_people_are_never_taken_for_one(tmp_path: Path, before: list[str], after: list[str]) -> None:
    assert followed(tmp_path / "a.csv", before, after) == {}


def test_ids_of_a_column_are_never_edited_mail_addresses(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Customer No,Name,Email\n1,Ben Bax,b@x.example\n")
    cursor = pages(path)[-1].cursor
    path.write_text("Customer No,Name,Email\n2,Ben Bax,b@x.example\n")
    [record] = pages(path, cursor)[0].records
    assert record.id == "id:2" and not record.aliases


def test_cards_without_uid_are_followed_too(tmp_path: Path) -> None:
    path = tmp_path / "a.vcf"
    card = "BEGIN:VCARD\nVERSION:3.0\nFN:Ben Bax\nN:Bax;Ben;;;\nEMAIL:{}\nEND:VCARD\n"
    path.write_text(card.format("ben@b.example"))
    [first] = pages(path)
    path.write_text(card.format("benjamin@b.example"))
    [record] = pages(path, first.cursor)[0].records
    assert record.aliases == (first.records[0].id,)


def test_what_is_remembered_is_small(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [
        f"Person{n} P,{draw.choice('abcdefgh')}person.{draw.randrange(10**9)}@mail{n % 997}.example,"
        for n in range(20_000)
    ]
    path = tmp_path / "a.csv"
    cursor = read(path, rows)[-1].cursor
    assert len(orjson.dumps(cursor)) < 35 * len(rows)
    rows[777] = "Person777 P,new@mail.example,"
    moves = {
        record.id: record.aliases for page in read(path, rows, cursor) for record in page.records if record.aliases
    }
    assert list(moves) == ["email:new@mail.example"]


def test_what_was_imported_is_read_once(tmp_path: Path) -> None:
    path, now = tmp_path / "a.csv", datetime.datetime.now(datetime.UTC)
    first, later = now.isoformat(), (now + datetime.timedelta(hours=1)).isoformat()
    cursor = read(path, [BEN, ANN], imported=first)[-1].cursor
    path.write_text("something else")
    assert pages(path, cursor, imported=first) == []
    path.unlink()
    assert pages(path, cursor, imported=first) == pages(path, None, imported=first) == []
    [same] = read(path, [BEN, ANN], cursor, imported=later)
    assert not same.records and not same.complete
    assert pages(path, same.cursor, imported=later) == []
