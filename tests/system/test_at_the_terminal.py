"""What stands on the terminal: readable, said once, true, and never obeyed by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from app import show
from app.cli import common as cli
from app.engine.plan import Forecast, Item, Plan


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ({"year": 1985, "month": 9, "day": 12}, "1985-09-12"),
        ({"month": 9, "day": 12}, "--09-12"),
        ({"year": 1985, "month": 9}, "1985-09"),
        ({"year": 1985}, "1985"),
        ({"year": 85, "month": 1, "day": 2}, "0085-01-02"),
        ({"month": 9}, "--09"),
    ],
)
def test_a_date_of_which_parts_are_unknown(
    date: dict[str, int], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card: Any = {"anniversaries": {"b": {"kind": "birth", "date": date}}}
    assert f"{words} (birth)" in [str(what) for _, what in show.card_lines(card)]
    item = Item("crm", "update", "u", "Zoë", "1", [("/anniversaries/b/date", None, date)])
    show.plan(Plan([Forecast("crm", False, updates=1)], [item]))
    assert f"date: {words}\n" in capsys.readouterr().out.replace(" \n", "\n")


EVIL = "Eve\u202etxt.exe\x1b[31m\x9b2J\u2066x\x07"


def test_what_steers_a_terminal_is_not_obeyed(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    card = {"@type": "Card", "version": "1.0", "uid": "1", "name": {"full": EVIL}, "notes": {"n": {"note": EVIL}}}
    file.write_text(json.dumps([card]))
    desk("import", file)
    (person,) = desk.people()
    held = json.dumps(person, ensure_ascii=False)
    assert "\u202e" in held, "programs get it as it is"
    for words in (["people"], ["people", "show", person["uid"]]):
        said = desk(*words).out
        assert "Eve" in said and "txt.exe" in said
        assert not {*said} & {"\u202e", "\u2066", "\x1b", "\x9b", "\x07"}


def test_neither_is_it_in_a_line_or_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    show.out.print(EVIL)
    show.out.print(show.styled("[bold]{}[/]", EVIL))
    show.complain(EVIL)
    show.warn(EVIL)
    show.table(None, ["who"], [[EVIL]])
    out, err = capsys.readouterr()
    assert not {*out, *err} & {"\u202e", "\u2066", "\x1b", "\x9b", "\x07"}
    assert out.count("Eve") == 4 and err.count("Eve") == 1


def test_names_of_the_world_stay_as_they_are() -> None:
    for name in ("Zoë O'Brien", "李小龙", "\u200fמשה\u200f", "محمد", "👩‍👩‍👧", "line\nline\ttab"):
        assert show.harmless(name) == name


def test_a_rename_that_meets_another_group_says_what_to_type(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("First name,Last name,Email,Categories\nZoë,Öz,z@x.test,Club\nBen,Bax,b@x.test,Choir\n")
    desk("import", file)
    answer = desk("groups", "rename", "Club", "Choir")
    assert answer.code == cli.BAD_INPUT and "say --merge" in answer.err
    assert desk("groups", "rename", "Club", "Choir", "--merge").code == cli.OK


def test_that_a_connection_is_paused_is_said_once(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm:
        desk.settings["crm"]["access_key"] = "wrong key"
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
        done = subprocess.run(
            [sys.executable, "-m", "app", "sync"],
            env={**os.environ, "CONCORD_LOG_LEVEL": "warning"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert crm
    assert done.returncode == cli.PAUSED
    assert done.stderr.count("consent crm") == 1 and '"event"' not in done.stderr


def test_a_source_that_is_only_read_is_owed_nothing(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm, desk.system("old", "vtiger"):
        crm.seed([{"firstname": "Zoë", "lastname": "Öz", "email": "z@x.test"}])
        entries = [desk.entry("crm", "vtiger"), desk.entry("old", "vtiger", direction="pull")]
        desk("apply", desk.file(*entries))
        desk("sync", "old")
        desk("sync", "crm")
        owed = {c["name"]: c["owed"] for c in desk("connections", "--json").json}
        assert owed == {"crm": 0, "old": 0}
        desk("apply", desk.file(entries[0], {**entries[1], "fields": {"phones": "push"}}))
        assert {c["name"]: c["owed"] for c in desk("connections", "--json").json}["old"] == 1
