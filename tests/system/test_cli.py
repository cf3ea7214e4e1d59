"""The command line from the outside: what an admin does all day, and what goes wrong."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from desk import Desk

from app.cli import WORDS, load
from app.cli import common as cli

ROW = {"firstname": "Zoë", "lastname": "O'Brien", "email": "zoe@x.test", "mobile": "+44 7700 900001"}
PERSON = {
    "names": [{"givenName": "Zoë", "familyName": "O'Brien"}],
    "emailAddresses": [{"value": "ZOE@x.test"}],
    "phoneNumbers": [{"value": "+447700900001", "type": "mobile"}],
    "birthdays": [{"date": {"month": 2, "day": 29}}],
}


@pytest.fixture
def two(desk: Desk) -> Iterator[Desk]:
    """vTiger and Google with one person each: the same one."""
    with desk.system("crm", "vtiger") as crm, desk.system("google", "google") as google:
        crm.seed([ROW])
        google.seed([PERSON])
        yield desk


def declare(desk: Desk, **more: object) -> None:
    file = desk.file(desk.entry("crm", "vtiger", **more), desk.entry("google", "google", **more))
    assert desk("apply", file).code == cli.OK


def mobile(desk: Desk) -> str:
    return str(desk.sandboxes["google"].people()[0]["phoneNumbers"][0]["value"])


# --- the everyday


def test_a_number_changed_in_the_crm_rings_at_google(two: Desk) -> None:
    declare(two)
    assert two("sync", "--until-quiet").code == cli.OK
    crm = two.sandboxes["crm"]
    crm.edit(crm.rows()[0]["id"], mobile="+44 7700 900999")
    assert two("sync").code == cli.OK
    assert mobile(two) == "+44 7700 900999"
    assert len(two.people()) == len(crm.rows()) == len(two.sandboxes["google"].people()) == 1
    quiet = two("sync", "--json").json
    assert [run["written"] + run["created"] + run["deleted"] for run in quiet] == [0, 0]


def test_nothing_is_written_before_the_first_contact_is_approved(two: Desk) -> None:
    declare(two, approve="ask")
    two.sandboxes["crm"].seed([{**ROW, "firstname": "Ben", "lastname": "Bax", "email": "ben@x.test"}])
    waiting = two("sync")
    assert waiting.code == cli.WAITING and "concord plan" in waiting.err
    plan = two("plan", "--json").json
    assert {c["connection"]: c["creates"] for c in plan["connections"]} == {"crm": 0, "google": 1}
    assert [item["name"] for item in plan["items"] if item["action"] == "create"] == ["Ben Bax"]
    assert not two.people() and len(two.sandboxes["google"].people()) == 1
    ben = next(item["person"] for item in plan["items"] if item["action"] == "create")
    assert "creates" in two("plan").out
    assert two("plan", "--approve").code == cli.OK
    assert two("sync", "--until-quiet").code == cli.OK
    assert len(two.sandboxes["google"].people()) == 2
    assert ben  # the plan's person is made up anew by the run; its name is what counts
    assert {p["card"]["name"]["components"][0]["value"] for p in two.people()} == {"Zoë", "Ben"}


def test_part_of_a_plan_is_held_back(two: Desk) -> None:
    declare(two)
    two("sync", "--until-quiet")
    uid = two.people()[0]["uid"]
    with two.system("other", "vtiger") as other:
        two("apply", two.file(two.entry("other", "vtiger", approve="ask")))
        assert two("plan", "other", "--approve", "--hold", uid).code == cli.OK
        two("sync", "--until-quiet")
        assert other.rows() == []


def test_a_conflict_waits_for_a_human_and_is_settled(two: Desk) -> None:
    declare(two, conflicts="ask")
    two("sync", "--until-quiet")
    crm, google = two.sandboxes["crm"], two.sandboxes["google"]
    crm.edit(crm.rows()[0]["id"], mobile="+44 7700 900111")
    google.edit(google.people()[0]["resourceName"], lambda f: f["phoneNumbers"][0].update(value="+44 7700 900222"))
    two("sync", "--until-quiet")
    (clash,) = two("conflicts", "--json").json
    assert {clash["ours"], clash["theirs"]} == {"+44 7700 900111", "+44 7700 900222"}
    assert "resolve" in two("conflicts").out
    assert two("conflicts", "resolve", clash["id"], "maybe").code == cli.BAD_INPUT
    assert two("conflicts", "resolve", clash["id"], "theirs").code == cli.OK
    assert two("sync", "--until-quiet").code == cli.OK
    assert crm.rows()[0]["mobile"] == mobile(two) == clash["theirs"]
    assert two("conflicts", "--json").json == []


def test_an_edit_here_reaches_every_system_and_the_journal(two: Desk) -> None:
    declare(two)
    two("sync", "--until-quiet")
    (person,) = two.people()
    phone = next(iter(person["card"]["phones"]))
    assert two("people", "edit", person["uid"][:8], f"phones/{phone}/number=+44 7700 900555").code == cli.OK
    two("sync", "--until-quiet")
    assert mobile(two) == two.sandboxes["crm"].rows()[0]["mobile"] == "+44 7700 900555"
    shown = two("people", "show", person["uid"], "--json").json
    last = shown["history"][-1]
    assert (last["by"], last["before"], last["after"]) == ("admin", "+44 7700 900001", "+44 7700 900555")
    assert {link["connection"] for link in shown["links"]} == {"crm", "google"}
    assert "+44 7700 900555" in two("people", "show", person["uid"]).out


def test_connections_as_code_are_idempotent(two: Desk) -> None:
    file = two.file(two.entry("crm", "vtiger"), two.entry("google", "google"))
    assert [d["what"] for d in two("apply", file, "--json").json] == ["created", "created"]
    assert [d["what"] for d in two("apply", file, "--json").json] == ["unchanged", "unchanged"]
    file = two.file(two.entry("crm", "vtiger", every="10m"), two.entry("google", "google"))
    assert [d["what"] for d in two("apply", file, "--json").json] == ["updated", "unchanged"]
    listed = two("connections", "--json").json
    assert [(c["name"], c["every"], c["state"]) for c in listed] == [("crm", "10m", "new"), ("google", None, "new")]
    assert "crm" in two("connections").out
    assert two("connections", "remove", "google", "--yes").code == cli.OK
    assert [c["name"] for c in two("connections", "--json").json] == ["crm"]


def test_secrets_are_nowhere_in_the_clear(two: Desk) -> None:
    declare(two)
    said = [
        two(*command) for command in (["sync"], ["connections", "--json"], ["doctor", "--json"], ["plan", "--json"])
    ]
    key, token = two.settings["crm"]["access_key"], two.settings["google"]["refresh_token"]
    everything = "".join(answer.out + answer.err for answer in said)
    assert key not in everything and token not in everything
    assert key.encode() not in two.bytes_stored() and token.encode() not in two.bytes_stored()


def test_a_paused_connection_is_owed_what_happened_meanwhile(two: Desk) -> None:
    declare(two)
    two("sync", "--until-quiet")
    assert two("connections", "pause", "google").code == cli.OK
    crm = two.sandboxes["crm"]
    crm.edit(crm.rows()[0]["id"], mobile="+44 7700 900777")
    assert two("sync").code == cli.PAUSED
    assert mobile(two) != "+44 7700 900777"
    assert two("connections", "resume", "google").code == cli.OK
    assert two("sync").code == cli.OK
    assert mobile(two) == "+44 7700 900777"


def test_deletions_beyond_the_brake_wait(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm, desk.system("google", "google") as google:
        crm.seed(
            [{**ROW, "lastname": f"N{n}", "email": f"n{n}@x.test", "mobile": f"+44 7700 9{n:05}"} for n in range(40)]
        )
        declare(desk)
        desk("sync", "--until-quiet")
        for row in crm.rows()[:15]:
            crm.remove(row["id"])
        held = desk("sync")
        assert held.code == cli.WAITING and "--release" in held.err
        assert len(google.people()) == 40
        assert any("--release" in (f["advice"] or "") for f in desk("doctor", "--json").json)
        assert desk("sync", "--release", "--until-quiet").code == cli.OK
        assert len(google.people()) == 25
        assert len(desk("people", "--archived", "--json").json) == 15


# --- what goes wrong


def test_wrong_key_pauses_that_connection_and_no_other(two: Desk) -> None:
    two.settings["crm"]["access_key"] = "wrong key"
    declare(two)
    answer = two("sync")
    assert answer.code == cli.PAUSED and "consent crm" in answer.err
    assert {c["name"]: c["state"] for c in two("connections", "--json").json} == {"crm": "paused", "google": "active"}
    assert len(two.people()) == 1
    assert two("doctor").code == cli.FAILED
    two.settings["crm"]["access_key"] = two.sandboxes["crm"].settings("")["access_key"]
    declare(two)
    assert two("sync").code == cli.OK, "new credentials let it go on"


def test_a_revoked_grant_says_how_to_consent_again(two: Desk) -> None:
    two.settings["google"]["refresh_token"] = "revoked"
    declare(two)
    answer = two("sync")
    assert answer.code == cli.PAUSED and "consent" in answer.err


@pytest.mark.parametrize("kind", ["html", "unavailable", "lost_before"])
def test_a_remote_in_trouble_fails_its_run_in_words(two: Desk, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    declare(two)
    two.sandboxes["crm"].faults.add(kind, times=10_000)
    answer = two("sync")
    assert answer.code == cli.FAILED and "crm:" in answer.err
    two.sandboxes["crm"].faults.clear()
    assert two("sync", "--until-quiet").code == cli.OK
    assert len(two.people()) == 1


def test_a_server_that_is_down(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        pass
    desk("apply", desk.file(desk.entry("crm", "vtiger")))
    with contextlib.suppress(KeyError):
        answer = desk("connections", "check", "crm")
        assert answer.code == cli.FAILED and "reach" in answer.err


def test_two_daemons_at_once(two: Desk) -> None:
    from app.bootstrap import start
    from app.engine.run import lease

    declare(two)
    other = start()
    with lease(other.world(), "crm"):
        answer = two("sync")
        assert answer.code == cli.FAILED and "another process" in answer.err
    assert two("sync").code == cli.OK
    other.store.close()


def test_a_clock_two_hours_off_is_told(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm:
        crm.advance(7200)
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
        found = desk("doctor", "--json").json
        assert any("120 minutes ahead" in f["message"] and f["state"] == "look" for f in found)


def test_unknown_names_and_commands(desk: Desk) -> None:
    assert desk("sync").code == cli.BAD_INPUT
    assert desk("sync", "nobody").code == cli.BAD_INPUT
    assert desk("nonsense").code == cli.BAD_INPUT
    assert desk("people", "show", "nobody").code == cli.BAD_INPUT
    assert desk("conflicts", "resolve", "1", "ours").code == cli.BAD_INPUT
    assert desk("sandbox", "nonsense").code == cli.BAD_INPUT


def test_a_key_that_does_not_fit(two: Desk) -> None:
    declare(two)
    (two.home / "concord.key").unlink()
    answer = two("sync")
    assert answer.code == cli.FAILED and "key" in answer.err
    assert any(f["about"] == "secrets" and f["state"] == "ill" for f in two("doctor", "--json").json)


def test_exit_codes_are_those_documented() -> None:
    page = Path(__file__).parents[2].joinpath("docs/errors-and-exit-codes.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    assert documented == {cli.OK, cli.FAILED, cli.BAD_INPUT, cli.WAITING, cli.SET_ASIDE, cli.PAUSED, cli.INTERRUPTED}


def test_a_bare_off_is_off(two: Desk) -> None:
    file = two.home / "off.yaml"
    settings = json.dumps(two.settings["crm"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f"connections:\n  - name: crm\n    system: vtiger\n    settings: {settings}\n    fields: {{notes: off}}\n"
    )
    assert two("apply", file, "--json").json[0]["what"] == "created"


# --- the file of connections

BAD = """\
connections:
  - name: crm
    system: vtigerx
    settings: {url: "http://127.0.0.1:1", access_key: "${NOPE}"}
    every: 5x
  - name: "bad name!"
    system: vtiger
    settings: {url: 3, usernam: x}
    fields: {notez: pull}
    conflicts: sometimes
  - name: good
    system: vtiger
    settings: {url: "http://127.0.0.1:1", username: a, access_key: b}
"""


def test_a_bad_file_is_refused_whole_with_line_and_key(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)
    answer = desk("apply", file)
    assert answer.code == cli.BAD_INPUT
    said = re.sub(r"\s+", " ", answer.err)
    for line, key in [
        (3, "connections[0].system"),
        (4, "connections[0].settings.access_key"),
        (5, "connections[0].every"),
        (6, "connections[1].name"),
        (8, "connections[1].settings.url"),
        (8, "connections[1].settings.usernam"),
        (9, "connections[1].fields"),
        (10, "connections[1].conflicts"),
    ]:
        assert f"bad.yaml:{line}: {key}" in said, f"line {line}, {key} not in {said}"
    assert desk("connections", "--json").json == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("connections: [", "no YAML"),
        ("", "connections"),
        ("a: 1", "connections"),
        ("connections: 3", "list"),
        ("connections: [3]", "name and system"),
        ("connections: [{name: a, name: b, system: vtiger}]", "twice"),
        ("\x00", "no YAML"),
    ],
)
def test_files_that_are_none(desk: Desk, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    answer = desk("apply", file)
    assert answer.code == cli.BAD_INPUT and words in answer.err


# --- files


def test_a_file_twice_then_edited_makes_no_doubles(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("First name,Last name,Email,Phone\nZoë,Öz,z@x.test,020 7946 0000\nBen,Bax,b@x.test,\n")
    looked = desk("import", file, "--dry-run", "--json").json
    assert [column["header"] for column in looked["columns"]] == ["First name", "Last name", "Email", "Phone"]
    assert desk.people() == []
    assert desk("import", file, "--dry-run").code == cli.OK
    first = desk("import", file, "--json").json
    assert first["people"] == 2
    again = desk("import", file, "--json").json
    assert again["people"] == again["updated"] == 0
    file.write_text("First name,Last name,Email,Phone\nZoë,Öz,z@x.test,020 7946 9999\nBen,Bax,b@x.test,\n")
    edited = desk("import", file, "--json").json
    assert (edited["people"], edited["updated"]) == (0, 1)
    (zoe,) = desk.people("Zoë")
    assert [p["number"] for p in zoe["card"]["phones"].values()] == ["020 7946 9999"]


@pytest.mark.parametrize("ending", ["vcf", "csv", "xlsx", "json"])
def test_an_export_is_imported_as_the_same_people(desk: Desk, tmp_path: Path, ending: str) -> None:
    source = tmp_path / "people.csv"
    source.write_text("First name,Last name,Email\nZoë,Öz,z@x.test\nBen,Bax,b@x.test\n")
    desk("import", source)
    before = desk.people()
    out = tmp_path / f"out.{ending}"
    assert desk("export", out, "--json").json["people"] == 2
    report = desk("import", out, "--json").json
    assert (report["people"], report["linked"]) == (0, 2), report
    assert [p["uid"] for p in desk.people()] == [p["uid"] for p in before]


def test_rows_that_cannot_be_taken_are_named(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    wide = ",".join(["x"] * 10_000)
    file.write_text(f"First name,Last name,Email\nZoë,Öz,z@x.test\n,,\n{wide}\nBen,Bax,b@x.test\n")
    answer = desk("import", file, "--json")
    assert answer.code == cli.SET_ASIDE
    assert answer.json["people"] == 2 and answer.json["refused_rows"]
    assert "cannot be taken" in desk("import", file, "--as", "again").out


@pytest.mark.parametrize("name", ["missing.csv", "folder", "binary.csv", "empty.csv", "old.xls"])
def test_files_that_cannot_be_imported(desk: Desk, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name != "missing.csv":
        path.write_bytes(
            {"binary.csv": bytes(range(256)) * 50, "empty.csv": b"", "old.xls": b"\xd0\xcf\x11\xe0" * 20}[name]
        )
    for arguments in (["import", path], ["import", path, "--dry-run"]):
        answer = desk(*arguments)
        assert answer.code in (cli.FAILED, cli.BAD_INPUT), answer
        assert answer.err.strip()


def test_a_vcard_cut_in_half_and_a_huge_photo(desk: Desk, tmp_path: Path) -> None:
    import base64

    file = tmp_path / "cards.vcf"
    photo = base64.b64encode(b"\xff\xd8\xff" + b"x" * (50 << 20)).decode()
    good = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Zoë Öz\r\nEMAIL:z@x.test\r\nEND:VCARD\r\n"
    huge = (
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Big\r\nEMAIL:b@x.test\r\nPHOTO;ENCODING=b;TYPE=JPEG:{photo}\r\nEND:VCARD\r\n"
    )
    file.write_text(huge + good + "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Cut")
    answer = desk("import", file, "--json")
    assert answer.code == cli.SET_ASIDE
    reasons = " ".join(row["reason"] for row in answer.json["refused_rows"])
    assert len(answer.json["refused_rows"]) == 2 and "MB" in reasons
    assert [p["card"]["name"] for p in desk.people()]


def test_a_full_disk_loses_nothing(two: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa

    from app.store import store

    declare(two)
    two.sandboxes["crm"].seed(
        [{**ROW, "lastname": f"N{n}", "email": f"n{n}@x.test", "description": "x" * 2000} for n in range(300)]
    )

    def small(connection: object, record: object) -> None:
        tune(connection, record)
        connection.execute("PRAGMA max_page_count=120")  # type: ignore[attr-defined]

    tune = store._tune
    monkeypatch.setattr(store, "_tune", small)
    answer = two("sync", "crm")
    assert answer.code == cli.FAILED and "disk" in answer.err
    monkeypatch.setattr(store, "_tune", tune)
    assert two("sync", "--until-quiet").code == cli.OK
    assert len(two.people()) == len(two.sandboxes["google"].people()) == 301
    assert sa


def test_help_is_there_for_every_command(desk: Desk) -> None:
    said = desk("--help").out
    for command in ("apply", "plan", "sync", "import", "export", "doctor", "sandbox", "demo", "connections", "people"):
        assert command in said
        assert desk(command, "--help").code == cli.OK


def test_json_is_json(two: Desk) -> None:
    declare(two)
    two("sync")
    for command in (["connections"], ["people"], ["conflicts"], ["doctor"], ["plan"], ["sync"]):
        json.loads(two(*command, "--json").out)


def test_a_word_loads_all_that_can_be_typed_after_it() -> None:
    """A word that `WORDS` lacks would only be slower; one that it has in the wrong place could not be typed."""
    code = (
        "import json, sys, typer; from app.cli import load; command = typer.main.get_command(load(sys.argv[1])); "
        "print(json.dumps({name: sorted(getattr(c, 'commands', ())) for name, c in command.commands.items() "
        "if c.callback or c.commands}))"
    )
    whole: Any = typer.main.get_command(load())
    every = {name: sorted(getattr(command, "commands", ())) for name, command in whole.commands.items()}
    assert every.keys() == {word for words in WORDS.values() for word in words}
    for word, following in sorted(every.items()):
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)[word] == following


def test_every_list_of_commands_tells_each_of_them_whole(desk: Desk) -> None:
    whole: Any = typer.main.get_command(load())
    words = [[], *([name] for name, command in whole.commands.items() if getattr(command, "commands", ()))]
    cut = [line for word in words for line in desk(*word, "--help").out.splitlines() if re.search(r"\w\.\.\.$", line)]
    assert cut == []


def test_it_says_which_version_it_is(desk: Desk) -> None:
    assert (said := desk("--version")).code == cli.OK
    assert said.out == f"concord {version('concord')}\n"


def test_a_word_that_is_no_command_is_answered_with_those_that_are(desk: Desk) -> None:
    said = desk("snyc")
    assert said.code == cli.BAD_INPUT
    assert "snyc" in said.err
