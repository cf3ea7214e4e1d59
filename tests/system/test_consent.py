"""Consent at the terminal: imported, shown, recorded, kept; a person's data, and a person forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk

from app.cli import common as cli

EXPORT = """Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,LEID,EUID,UNSUB_TIME,UNSUB_REASON
zoe@x.test,Zoë,Weiß,2,2024-01-02 03:04:05,192.0.2.9,77,ab12,2024-05-01 10:00:00,NORMAL
"""
ROW = {"firstname": "Zoë", "lastname": "Weiß", "email": "zoe@x.test", "mobile": "+44 7700 900001"}


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Desk]:
    """One person in a CRM, synced."""
    desk = Desk(monkeypatch, capsys, tmp_path / "home")
    with desk.system("crm", "vtiger") as box:
        box.seed([ROW])
        assert desk("apply", desk.file(desk.entry("crm", "vtiger"))).code == cli.OK
        assert desk("sync").code == cli.OK
        yield desk


def flag(desk: Desk) -> str:
    return str(desk.sandboxes["crm"].rows()[0]["emailoptout"])


def uid(desk: Desk) -> str:
    (person,) = desk.people()
    return str(person["uid"])


def test_an_unsubscribed_export_is_heard_in_the_crm(crm: Desk, tmp_path: Path) -> None:
    file = tmp_path / "unsubscribed_members_export.csv"
    file.write_text(EXPORT)
    assert "goes into its ledger" in crm("import", file, "--dry-run").out
    assert crm("import", file).code == cli.OK
    assert crm("sync").code == cli.OK
    assert flag(crm) == "1"
    shown = crm("consent", "show", uid(crm), "--json").json
    assert [(said["state"], said["address"]) for said in shown["said"]] == [("withdrawn", "zoe@x.test")]
    assert "must not be contacted" in crm("consent", "show", uid(crm)[:8]).out
    assert "must not be contacted" in crm("people", "show", uid(crm)).out
    assert crm("import", file).code == cli.OK
    assert len(crm("consent", "show", uid(crm), "--json").json["said"]) == 1, "the second import says nothing new"


def test_an_opt_in_needs_evidence_that_is_newer(crm: Desk) -> None:
    who = uid(crm)
    assert crm("consent", "opt-out", who, "--reason", "on the phone").code == cli.OK
    crm("sync")
    assert flag(crm) == "1"
    late = crm("consent", "opt-in", who, "--evidence", "an old form", "--at", "2020-01-01")
    assert late.code == cli.BAD_INPUT and "no newer" in late.err
    assert crm("consent", "opt-in", who, "--evidence", " ").code == cli.BAD_INPUT
    assert crm("consent", "opt-in", who).code != cli.OK
    assert crm("consent", "opt-in", who, "--evidence", "form of today, folder 7").code == cli.OK
    crm("sync")
    assert flag(crm) == "0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--channel", "pigeon"], "one of email"),
        (["--address", "nobody@x.test"], "has no nobody@x.test"),
        (["--at", "2999-01-01"], "yet to come"),
    ],
)
def test_what_cannot_be_recorded_is_told(crm: Desk, arguments: list[str], words: str) -> None:
    answer = crm("consent", "opt-out", uid(crm), *arguments)
    assert answer.code == cli.BAD_INPUT
    assert words in answer.err
    assert crm("consent", "show", "nobody-here").code == cli.BAD_INPUT


def test_a_person_gets_everything_and_is_forgotten(crm: Desk, tmp_path: Path) -> None:
    who, file = uid(crm), tmp_path / "zoe.json"
    assert crm("people", "data", who, file).code == cli.OK
    assert "+44 7700 900001" in json.dumps(json.loads(file.read_text()))
    plan = crm("people", "erase", who)
    assert "erased by the next sync" in plan.out and crm.people()
    assert crm("people", "erase", who, "--yes").code == cli.OK
    assert crm("sync").code == cli.OK
    assert crm.sandboxes["crm"].rows() == []
    crm.sandboxes["crm"].seed([ROW])
    back = crm("sync")
    assert back.code == cli.SET_ASIDE and not crm.people(), "nothing brings them back"
    assert crm("people", "admit", "ZOE@x.test").code == cli.OK
    crm("connections", "retry", "crm")
    assert crm("sync").code == cli.OK and len(crm.people()) == 1
    assert crm("people", "admit", "ZOE@x.test").code == cli.BAD_INPUT
