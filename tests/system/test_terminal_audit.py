"""Whoever acts at a terminal stands in the audit, as whoever acts over the API does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from desk import Desk

from app.bootstrap import start
from app.cli import load
from app.store import audit
from app.store.audit import Act

READING = {
    "plan", "sync", "doctor", "serve", "worker", "demo", "sandbox", "connections", "connections check", "people",
    "people show", "conflicts", "consent show", "groups list", "groups show", "users", "tokens",
    "webhooks list", "webhooks dead", "refused",
}  # fmt: skip
"""Commands that change nothing by themselves: a plan or a sync does what was decided before."""
ALONE = {"move-database": "it works with two databases, and puts no word of its own into either"}
ACTING: dict[str, list[str]] = {
    "apply": ["FILE"],
    "import": ["people.csv"],
    "export": ["people.csv"],
    "backup": ["copy.db"],
    "connections pause": ["nobody"],
    "connections resume": ["nobody"],
    "connections remove": ["nobody", "--yes"],
    "connections retry": ["nobody"],
    "connections consent": ["nobody"],
    "connections webhook": ["nobody"],
    "people edit": ["nobody", "/name/given=Zoë"],
    "people restore": ["nobody"],
    "people release": ["nobody"],
    "people data": ["nobody", "data.json"],
    "people erase": ["nobody", "--yes"],
    "people admit": ["nobody@x.test"],
    "conflicts resolve": ["4711", "ours"],
    "consent opt-out": ["nobody", "--reason", "called us"],
    "consent opt-in": ["nobody", "--evidence", "a form"],
    "groups rename": ["nobody", "Clients"],
    "groups remove": ["nobody", "--yes"],
    "refused retry": ["nobody", "nothing"],
    "refused ignore": ["nobody", "nothing"],
    "users add": ["bob", "--no-password"],
    "users change": ["nobody", "--disable"],
    "users remove": ["nobody"],
    "tokens add": ["nobody"],
    "tokens revoke": ["4711"],
    "secrets rotate": [],
    "webhooks add": ["https://x.test/hook"],
    "webhooks remove": ["4711"],
    "webhooks resume": ["4711"],
    "webhooks resend": [],
}
"""What can be said of nobody and nothing; the restore, the approval and the release have tests of their own."""
OTHERS = {"restore"}


def commands(group: Any, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        if getattr(command, "commands", None):
            if command.invoke_without_command:
                yield path
            yield from commands(command, path)
        else:
            yield path


def acts() -> list[Act]:
    """Newest first."""
    application = start()
    with application.store.read() as unit:
        found = audit.listing(unit)
    application.store.close()
    return found


def test_every_command_was_thought_about() -> None:
    assert {*commands(typer.main.get_command(load()))} == READING.union(ALONE, ACTING, OTHERS)


@pytest.mark.parametrize("command", ACTING)
def test_who_acts_is_written_down(desk: Desk, command: str) -> None:
    file = desk.file()
    words = [str(file) if word == "FILE" else word for word in ACTING[command]]
    words = [str(desk.home / word) if word.endswith((".csv", ".db")) else word for word in words]
    (desk.home / "people.csv").write_text("Name,E-Mail\nAnn Doe,ann@example.com\n")
    answer = desk(*command.split(), *words)
    [act, *more] = acts()
    assert not more
    assert act.actor.endswith(" at the terminal")
    assert act.action and act.target
    assert (act.status == 200) == (answer.code == 0), answer.err


def test_a_restore_an_approval_and_a_release_are_written_down(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        assert desk("apply", desk.file({**desk.entry("crm", "vtiger"), "approve": "ask"})).code == 0
        assert desk("plan", "--approve").code == 0
        assert desk("sync", "--release").code == 0
        assert desk("sync").code == 0
    copy = desk.home / "copy.db"
    assert desk("backup", copy).code == 0
    assert desk("restore", copy, "--replace").code == 0
    names = [act.action for act in acts() if act.status == 200]
    assert names[-3:] == ["release_losses", "approve_plan", "apply_connections"]
    assert names[0] == "restore"
