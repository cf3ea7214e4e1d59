"""Files at the terminal: what `concord import` says, takes and leaves behind, and where `concord export` writes to."""

from __future__ import annotations

import os
import threading
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


# --- what is edited


@pytest.mark.parametrize("more", [[], ["--snapshot"]])
def test_a_corrected_mail_address_makes_nobody_new_and_nobody_gone(desk: Desk, tmp_path: Path, more: list[str]) -> None:
    file = tmp_path / "people.csv"
    rows = ["Name,Email", "Ben Bax,ben@b.example", "Ann Orr,ann@b.example", "John Smith,j@b.example"]
    file.write_text("\n".join(rows))
    desk("import", file, "--json")
    before = {person["uid"] for person in desk.people()}
    file.write_text("\n".join([*rows, "John Smith,jj@b.example"]).replace("ben@b", "benjamin@b"))
    report = desk("import", file, *more, "--json").json
    assert (report["people"], report["updated"], report["archived"]) == (1, 1, 0), report
    assert before < {person["uid"] for person in desk.people()} and len(desk.people()) == 4
    (ben,) = desk.people("Ben")
    assert [one["address"] for one in ben["card"]["emails"].values()] == ["benjamin@b.example"]
    assert desk("sync", "--until-quiet").code == cli.OK and len(desk.people()) == 4


# --- what cannot be read, and what is gone


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("empty.csv", b"", "is empty"),
        ("binary.csv", bytes(range(256)) * 50, "not a text file"),
        ("headless.csv", b"alpha,beta\n1,2\n", "no header row is found"),
        ("broken.json", b'[{"@type": "Card", "name": {"full": "Ann"}}, {"@type', "is no JSContact"),
        ("missing.csv", None, "there is no file"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_nothing_behind(
    desk: Desk, tmp_path: Path, name: str, data: bytes | None, why: str
) -> None:
    file = tmp_path / name
    if data is not None:
        file.write_bytes(data)
    for more in ([], ["--dry-run"]):
        answer = desk("import", file, *more)
        assert answer.code == cli.BAD_INPUT and why in answer.err and not answer.out.strip()
        told = desk("import", file, "--json", *more)
        assert told.code == cli.BAD_INPUT and why in told.json["error"]["message"]
    assert desk("connections", "--json").json == [] and desk.people() == []
    assert desk("doctor").code == cli.OK


def test_a_bad_file_does_not_take_the_place_of_a_good_one(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Name,Email\nBen Bax,b@x.test\n")
    desk("import", file)
    known = desk("connections", "--json").json
    file.write_bytes(b"")
    assert desk("import", file).code == cli.BAD_INPUT
    assert desk("connections", "--json").json == known


def test_a_file_that_was_imported_may_be_gone(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Name,Email\nBen Bax,b@x.test\n")
    desk("import", file)
    file.write_text("Name,Email\nBen Bax,b@x.test\nNot Yet,n@x.test\n")
    assert desk("sync").code == cli.OK and len(desk.people()) == 1
    whole = file.read_bytes()
    file.write_bytes(b"")
    assert desk("sync").code == desk("doctor").code == cli.OK and len(desk.people()) == 1
    file.write_bytes(whole)
    assert desk("import", file, "--json").json["people"] == 1
    file.unlink()
    for command in (["sync"], ["sync", "--until-quiet"], ["plan"], ["doctor"]):
        answer = desk(*command)
        assert answer.code == cli.OK and "no file" not in answer.out + answer.err, answer
    desk("connections", "retry", "people")
    assert desk("sync").code == cli.OK and len(desk.people()) == 2


def test_a_declared_file_that_is_gone_is_a_failure_and_is_read_at_every_sync(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("Name,Email\nBen Bax,b@x.test\n")
    entry = {"name": "erp", "system": "files", "settings": {"path": str(file)}, "every": "1h", "direction": "pull"}
    desk("apply", desk.file({**entry, "approve": "auto"}))
    desk("sync")
    file.write_text("Name,Email\nBen Bax,b@x.test\nAnn Orr,a@x.test\n")
    assert desk("import", file, "--as", "erp", "--json").json["people"] == 1
    file.write_text("Name,Email\nBen Bax,b@x.test\nAnn Orr,a@x.test\nCem C,c@x.test\n")
    assert desk("sync").code == cli.OK and len(desk.people()) == 3
    file.unlink()
    assert desk("sync").code == cli.FAILED


# --- where an export goes


def test_a_pipe_gets_the_people_and_nothing_else(desk: Desk, tmp_path: Path) -> None:
    file, pipe = tmp_path / "people.csv", tmp_path / "pipe.csv"
    file.write_text("Name,Email\nBen Bax,b@x.test\n")
    desk("import", file)
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    answer = desk("export", pipe)
    reader.join(10)
    assert answer.code == cli.OK and b"b@x.test" in got[0] and pipe.is_fifo()
    assert "1 people" in answer.err and not answer.out
    assert "1 people" in desk("export", tmp_path / "whole.csv").out


def test_an_export_into_a_folder_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    answer = desk("export", tmp_path / "none" / "people.csv")
    assert answer.code == cli.BAD_INPUT and f"there is no folder {tmp_path / 'none'}" in answer.err
    assert "Errno" not in answer.err
