"""Files at the terminal: what `concord import` says, takes and leaves behind, and where `concord export` writes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk

from app.cli import common as cli

# --- encodings


def test_an_encoding_that_was_guessed_is_said_and_another_can_be_chosen(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes("Name,Email\nИван Жуков П,i@x.test\nМария Орлова П,m@x.test\n".encode("koi8_r"))
    assert "koi8_r is a guess" in desk("import", file, "--dry-run").out
    answer = desk("import", file)
    assert answer.code == cli.OK and "koi8_r is a guess" in answer.err and "--encoding NAME" in answer.err
    assert "koi8_r" in desk("import", file, "--json").json["message"]
    known = desk.people()
    chosen = desk("import", file, "--encoding", "cp1251", "--json")
    assert chosen.json["message"] is None
    assert desk("import", file, "--encoding", "koi8-r").code == cli.OK
    assert [(p["uid"], p["card"]["name"]) for p in desk.people()] == [(p["uid"], p["card"]["name"]) for p in known]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_encoding_that_nobody_knows_is_a_mistake_of_the_command_line(
    desk: Desk, tmp_path: Path, more: list[str]
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Name,Email\nBen Bax,b@x.test\n")
    answer = desk("import", file, "--encoding", "klingon", *more)
    assert answer.code == cli.BAD_INPUT and "'klingon' is no encoding that we know" in answer.err
    assert desk("connections", "--json").json == [] and desk.people() == []
