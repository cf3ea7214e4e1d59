"""What is broken where Concord lives: its disk, its database, its key, the file of connections. Always words that say
what to do, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from app.cli import common as cli
from app.store import store

# --- the database


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has room for a few pages."""
    tune = store._tune

    def tuned(connection: Any, record: Any) -> None:
        tune(connection, record)
        connection.execute("PRAGMA max_page_count=20")

    monkeypatch.setattr(store, "_tune", tuned)


@pytest.mark.usefixtures("small")
def test_the_disk_is_full_while_the_database_is_made(desk: Desk) -> None:
    for command in ("connections", "doctor"):
        answer = desk(command)
        assert answer.code == cli.FAILED
        assert "the disk of the database is full; make room and run again" in answer.err


def garbage(file: Path) -> None:
    file.write_bytes(b"no database at all, but long enough to be read as one" * 100)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:30_000])


@pytest.mark.parametrize("spoil", [garbage, cut])
@pytest.mark.parametrize("command", ["connections", "doctor", "sync"])
def test_a_database_that_is_none(desk: Desk, spoil: Any, command: str) -> None:
    desk("connections")
    spoil(desk.home / "concord.db")
    answer = desk(command)
    assert answer.code == cli.FAILED
    assert str(desk.home / "concord.db") in answer.err and "concord restore FILE" in answer.err


def test_the_doctor_finds_damage_that_nobody_stumbled_over(desk: Desk) -> None:
    desk("connections")
    file = desk.home / "concord.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + b"x" * 12_000 + whole[20_192:])
    answer = desk("doctor", "--json")
    assert answer.code == cli.FAILED
    assert [(f["about"], f["state"]) for f in answer.json] == [("database", "ill")]
    assert "damaged" in answer.json[0]["message"] and "concord restore" in answer.json[0]["advice"]


def test_a_backup_that_is_broken(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    file.write_bytes(b"SQLite format 3\0 but broken")
    answer = desk("restore", file)
    assert answer.code == cli.FAILED and "damaged" in answer.err


# --- the key


def test_a_key_that_cannot_be_read(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
        key = desk.home / "concord.key"
        key.unlink()
        key.mkdir()  # for root no file is unreadable
        for command in ("sync", "apply"):
            answer = desk(command, *([desk.home / "connections.yaml"] if command == "apply" else []))
            assert answer.code == cli.FAILED
            assert f"{key} cannot be read" in answer.err and "should not happen" not in answer.err
        found = {f["about"]: f for f in desk("doctor", "--json").json}
        assert found["secrets"]["state"] == "ill" and "mode 600" in found["secrets"]["advice"]


def test_a_key_that_is_no_text(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
        (desk.home / "concord.key").write_bytes(b"\xff" * 44)
        assert "holds no key; restore it" in desk("sync").err


# --- the file of connections

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS = "{url: 'https://crm.test', username: a, access_key: ${CRM_KEY}}"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("connections: &a\n  - *a\n", 1, "connections[0][0]"),
        ("connections:\n  " + "[" * 5000, 2, "nested more than 12 deep"),
        ("connections: " + "{a: " * 5000, 1, "nested more than 12 deep"),
        ("connections: []\n" + LAUGHS, 1 + 1, "aliases"),
        ("connections: []\n#" + "x" * (1 << 20), 1, "bytes"),
        (f"connections:\n  - name: crm\n    system: vtiger\n    settings: {SETTINGS}\n", 4, 'write "${CRM_KEY}"'),
        ("connections:\n  - name: !tag crm\n    system: vtiger\n", 2, "connections[0].name: cannot be read"),
        ("connections:\n  - name: 2024-13-45\n    system: vtiger\n", 2, "connections[0].name: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end(desk: Desk, tmp_path: Path, text: str, line: int, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    began = time.monotonic()
    answer = desk("apply", file)
    assert time.monotonic() - began < 10
    assert answer.code == cli.BAD_INPUT
    assert f"{file}:" in answer.err and words in answer.err
    assert any(f"{file}:{number}: " in answer.err for number in range(line, line + 10)), answer.err


def test_aliases_are_fine_that_stand_for_a_little(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    one = "  - {{name: {}, system: vtiger, settings: {}}}\n"
    held = "&held {url: 'https://crm.test', username: a, access_key: b}"
    file.write_text("connections:\n" + one.format("one", held) + one.format("other", "*held"))
    assert [c["name"] for c in desk("apply", file, "--json").json] == ["one", "other"]


# --- the whole of it, as it is met


def test_as_a_process(desk: Desk) -> None:
    desk("connections")
    garbage(desk.home / "concord.db")
    done = subprocess.run(
        [sys.executable, "-m", "app", "doctor"], env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == cli.FAILED and "Traceback" not in done.stderr and "restore" in done.stderr
