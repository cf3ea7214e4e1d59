"""A quotation mark that is never closed costs its own row; cells with line breaks are whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_files_tables import bare, records, taken

from connectors.contract import Record
from connectors.files.inspection import inspect


def made(folder: Path, text: str) -> Path:
    path = folder / "a.csv"
    path.write_bytes(text.encode())
    return path


def emails(found: list[Record]) -> list[str]:
    return [record.id.removeprefix("email:") for record in found if record.card]


def whys(path: Path) -> list[str]:
    return [record.refused for record in records(path) if record.refused]


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ('Name,Email\n"Open Quote,o@o.example\nNext,n@n.example\nLast,l@l.example\n', 2),
        ('Name,Email\nNext,n@n.example\nLast,l@l.example\n"Open Quote,o@o.example', 4),
        ('Name,Email\n"Open Quote,o@o.example\nNext,n@n.example\n"Last, Quoted",l@l.example\n', 2),
        ('"Name","Email"\r\n"Open Quote","o@o.example\r\n"Next","n@n.example"\r\n"Last","l@l.example"\r\n', 2),
        ('Name;Email\n"Two\nlines";"n@n.example"\n"Open Quote;o@o.example\nLast;l@l.example\n', 4),
        ('Name,Email\n"Open Quote,o@o.example\n\nNext,n@n.example\n\nLast,l@l.example\n', 2),
    ],
)
def test_only_the_row_with_the_open_mark_is_lost(tmp_path: Path, broken: str, line: int) -> None:
    path = made(tmp_path, broken)
    assert emails(records(path)) == ["n@n.example", "l@l.example"]
    [why] = whys(path)
    assert f"a quotation mark in line {line} opens a text and is never closed; close it" in why
    assert inspect(path).refused == [why]


def test_several_open_marks_and_what_follows_them(tmp_path: Path) -> None:
    rows = "".join(f'"Open {n},o{n}@example.org\nFine {n},f{n}@example.org\n' for n in range(50))
    path = made(tmp_path, f"Name,Email\n{rows}")
    assert emails(records(path)) == [f"f{n}@example.org" for n in range(50)]
    assert len(whys(path)) == 50


def test_the_rest_of_a_broken_cell_is_nobody(tmp_path: Path) -> None:
    path = made(tmp_path, 'Name,Street,Email\nAnn,"12 High St\nLondon\nUK,a@example.org\nBen,Mill Ln,b@example.org\n')
    assert emails(records(path)) == ["b@example.org"]
    assert [why.split(": ", 1)[1][:30] for why in whys(path)] == [
        "a quotation mark in line 2 ope",
        "it seems to be the rest of lin",
        "it seems to be the rest of lin",
    ]


def test_cells_with_line_breaks_and_careless_marks_stay_as_they_are(tmp_path: Path) -> None:
    text = (
        "Name,Street,Notes,Email\r\n"
        '"Ann ""A"" Orr","12 High St\nFlat 2\r\nLondon","He said ""hi"",\nthen left",a@example.org\r\n'
        'Ben "Bax" B,"1 Mill Ln\nYork" ,6" pipes,b@example.org\r\n'
        '"Cem" C,"","",c@example.org\r\n'
    )
    ann, ben, cem = taken(made(tmp_path, text))
    assert [record.id for record in (ann, ben, cem)] == [f"email:{one}@example.org" for one in "abc"]
    assert "12 High St\\nFlat 2\\r\\nLondon" in repr(ann.card) or "12 High St\\nFlat 2\\nLondon" in repr(ann.card)
    assert bare(ann.card or {})["notes/1/note"] == 'He said "hi",\nthen left'
    assert bare(ben.card or {})["notes/1/note"] == '6" pipes'


def test_a_cell_that_is_too_long_costs_its_row(tmp_path: Path) -> None:
    long = "x" * (2 << 20)
    text = f'Name,Notes,Email\nAnn,"{long}\nmore",a@example.org\nBig,{long},big@example.org\nBen,,b@example.org\n'
    path = made(tmp_path, text)
    assert emails(records(path)) == ["b@example.org"]
    assert [why.split(":")[0] for why in whys(path)] == ["row 2", "row 3"]
    huge = made(tmp_path, f"Name,Notes,Email\nAnn,{long * 9},a@example.org\nBen,,b@example.org\n")
    assert emails(records(huge)) == ["b@example.org"]
    assert whys(huge) == ["row 2: a cell in line 2 has more than 16 MB"]


def test_an_open_mark_in_a_long_file_is_found(tmp_path: Path) -> None:
    rows = "".join(f"Person {n},p{n}@example.org\n" for n in range(30_000))
    path = made(tmp_path, f'Name,Email\n"Open,o@example.org\n{rows}')
    assert len(emails(records(path))) == 30_000 and len(whys(path)) == 1
