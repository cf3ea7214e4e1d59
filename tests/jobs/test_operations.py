"""Operating it from a terminal, and what the file of connections says about turns and webhooks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import cli, configure
from app.bootstrap import start
from app.jobs.receiving import door_of
from app.store import connections, hooks

Run = Callable[..., tuple[int, str, str]]
SETTINGS = {"url": "http://127.0.0.1:9", "username": "admin", "access_key": "0123456789abcdef"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    """`concord …`: (exit code, standard output, standard error)."""
    monkeypatch.setenv("CONCORD_HOME", str(home))
    monkeypatch.setenv("CONCORD_LOG_LEVEL", "error")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["concord", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        return (code, *capsys.readouterr())

    return run


def _apply(concord: Run, home: Path, **values: Any) -> tuple[int, str, str]:
    file = home.parent / "connections.yaml"
    entry = {"name": "crm", "system": "vtiger", "settings": SETTINGS, **values}
    file.write_text(json.dumps({"connections": [entry]}))
    return concord("apply", file)


def _stored() -> tuple[connections.Connection, Any]:
    application = start()
    with application.store.read() as unit:
        [found] = connections.every(unit)
    door = door_of(application.keyring, found.hook)
    application.store.close()
    return found, door


def test_turns_and_quiet_hours_are_declared(concord: Run, home: Path) -> None:
    assert _apply(concord, home, every="*/15 8-18 * * mon-fri", quiet="22:00-06:00")[0] == 0
    found, door = _stored()
    assert (found.schedule, found.quiet, door) == ("*/15 8-18 * * mon-fri", "22:00-06:00", None)
    assert _apply(concord, home, every="5m")[0] == 0
    assert _stored()[0].quiet is None, "what the file does not say any more does not hold any more"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"every": "5x"}, "as in 30s, 5m, 1h or 1d, or a cron line"),
        ({"every": "61 * * * *"}, "higher than the maximum"),
        ({"every": "1s"}, "5s is the least"),
        ({"quiet": "22-6"}, "as in 22:00-06:00"),
        ({"quiet": "06:00-06:00"}, "from when to when"),
        ({"quiet": "25:00-06:00"}, "from when to when"),
    ],
)
def test_what_is_no_turn_is_refused_with_its_line(concord: Run, home: Path, values: dict[str, str], says: str) -> None:
    code, _, err = _apply(concord, home, **values)
    assert code == 2
    assert says in err
    assert "connections.yaml:1" in err


def test_a_key_of_webhooks_is_kept_secret_and_its_address_stays(concord: Run, home: Path) -> None:
    _apply(concord, home, hook="first-key")
    _, door = _stored()
    assert door.key == "first-key"
    out = concord("connections", "webhook", "crm", "--json")[1]
    assert json.loads(out)["path"] == f"/hooks/crm/{door.token}"
    _, said, _ = _apply(concord, home, hook="first-key")
    assert "unchanged" in said
    _apply(concord, home, hook="second-key")
    _, after = _stored()
    assert (after.key, after.token) == ("second-key", door.token)
    assert b"second-key" not in b"".join(path.read_bytes() for path in home.glob("concord.db*"))
    fresh = json.loads(concord("connections", "webhook", "crm", "--fresh", "--json")[1])["path"]
    assert fresh != f"/hooks/crm/{door.token}"
    assert _stored()[1].key == "second-key"


def test_subscriptions_come_and_go(concord: Run) -> None:
    code, out, _ = concord("webhooks", "add", "https://x.test/hook", "--event", "person.changed", "--json")
    added = json.loads(out)
    assert code == 0
    assert added["secret"].startswith("whsec_")
    [listed] = json.loads(concord("webhooks", "list", "--json")[1])
    assert (listed["url"], listed["events"], listed["state"]) == ("https://x.test/hook", "person.changed", "active")
    assert added["secret"] not in concord("webhooks", "list")[1]
    assert concord("webhooks", "add", "https://x.test", "--event", "sneeze")[0] == 2
    assert concord("webhooks", "add", "x.test")[0] == 2
    assert concord("webhooks", "resume", added["number"])[0] == 0
    assert concord("webhooks", "remove", added["number"])[0] == 0
    assert concord("webhooks", "remove", added["number"])[0] == 2
    assert "Nobody yet" in concord("webhooks", "list")[1]


def test_the_dead_are_listed_and_resent(concord: Run) -> None:
    concord("webhooks", "add", "https://x.test/hook")
    application = start()
    with application.store.begin() as unit:
        unit.insert(hooks.notices, [hooks._notice(unit, 1, "a", "person.changed", {"person": "u1"})])
        hooks.settle(unit, "msg_a", "dead", unit.now, "HTTP 500")
    application.store.close()
    [dead] = json.loads(concord("webhooks", "dead", "--json")[1])
    assert (dead["id"], dead["answer"], dead["data"]) == ("msg_a", "HTTP 500", {"person": "u1"})
    assert "msg_a" in concord("webhooks", "dead")[1]
    assert json.loads(concord("webhooks", "resend", "--json")[1])["notices"] == 1
    assert "None" in concord("webhooks", "dead")[1]


def test_backup_restore_and_move(concord: Run, home: Path, tmp_path: Path) -> None:
    _apply(concord, home)
    file = tmp_path / "backup.db"
    code, out, _ = concord("backup", file)
    assert code == 0
    assert "concord.key" in out
    code, _, err = concord("backup", file)
    assert (code, "--replace" in err) == (2, True)
    assert concord("backup", file, "--replace")[0] == 0
    code, _, err = concord("restore", file)
    assert (code, "--replace" in err) == (2, True)
    code, out, _ = concord("restore", file, "--replace", "--json")
    assert code == 0
    assert Path(json.loads(out)["aside"]).exists()
    source, target = (f"sqlite:///{path}" for path in (home / "concord.db", tmp_path / "new" / "two.db"))
    code, out, _ = concord("move-database", source, target, "--json")
    moved = json.loads(out)
    assert code == 0
    assert {row["table"]: row["rows"] for row in moved["tables"]}["connections"] == 1
    assert moved["key"].endswith("two.key")
    assert "digest on both sides" in concord("move-database", source, f"sqlite:///{tmp_path / 'three.db'}")[1]
    code, _, err = concord("move-database", "mysql://ann:secret@x/y", target)
    assert code == 2
    assert "secret" not in err


def test_a_queue_that_the_database_cannot_carry_is_refused(concord: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_QUEUE", "distributed")
    code, _, err = concord("worker")
    assert (code, "PostgreSQL" in err) == (2, True)


@pytest.mark.parametrize("name", ["CONCORD_TIMEZONE", "CONCORD_LANES", "CONCORD_KEEP_JOURNAL_DAYS", "CONCORD_QUEUE"])
def test_settings_that_cannot_be_are_refused_by_name(concord: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "-7")
    code, _, err = concord("connections")
    assert (code, name in err) == (2, True)


def test_an_entry_of_the_file_shows_no_key() -> None:
    entry = configure.Entry(name="crm", system="xero", hook="0123456789")  # type: ignore[arg-type]
    assert "0123456789" not in repr(entry)
