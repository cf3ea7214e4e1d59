"""A plan of many connections of which one is dead: it stops only itself, and is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desk import Desk

from app.cli import common as cli
from connectors.errors import Unreachable

ROW = {"firstname": "Zoë", "lastname": "O'Brien", "email": "zoe@x.test"}


@pytest.fixture
def three(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A CRM with one person, Google, and a CRM that is down."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with desk.system("down", "vtiger"):
        pass
    with desk.system("crm", "vtiger") as crm, desk.system("google", "google"):
        crm.seed([ROW])
        entries = [desk.entry(name, system) for name, system in (("crm", "vtiger"), ("google", "google"))]
        desk("apply", desk.file(*entries, desk.entry("down", "vtiger", approve="ask")))
        desk("sync", "google")
        yield desk


def test_the_others_are_planned_and_it_is_named(three: Desk) -> None:
    answer = three("plan")
    assert answer.code == cli.FAILED
    assert "down is not in this plan" in answer.err and "cannot be reached" in answer.err
    assert "Zoë O'Brien" in answer.out
    assert "concord plan crm --approve" in answer.out, "what nobody has seen is not approved with it"
    planned = {f["connection"]: f for f in three("plan", "--json").json["connections"]}
    assert planned["crm"]["records"] == planned["google"]["creates"] == 1
    assert planned["crm"]["failed"] is planned["google"]["failed"] is None
    assert "cannot be reached" in planned["down"]["failed"] and not planned["down"]["creates"]


def test_alone_it_fails(three: Desk) -> None:
    answer = three("plan", "down")
    assert answer.code == cli.FAILED
    assert "down: 127.0.0.1:" in answer.err and "cannot be reached" in answer.err


@pytest.mark.parametrize("spoil", ["the key", "the settings", "a reader that is active"])
def test_whatever_is_broken_of_it(three: Desk, spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.bootstrap import Application, BadConnection
    from app.secrets import BadKey
    from app.store.connections import Connection

    if spoil == "a reader that is active":  # it is asked what it has places for, and nothing else

        def dead(self: object, *given: object) -> object:
            raise Unreachable("its server is off")

        monkeypatch.setattr("connectors.google.connector.Google.fit", dead)
        planned = {f["connection"]: f["failed"] for f in three("plan", "crm", "--json").json["connections"]}
        assert planned == {"crm": None, "google": "its server is off"}
        return
    settings = Application.connector_settings

    def broken(self: Application, system: object, connection: Connection, hidden: object = None) -> object:
        if connection.name == "down":
            raise BadKey("its key is gone") if spoil == "the key" else BadConnection("its settings are gone")
        return settings(self, system, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(Application, "connector_settings", broken)
    planned = {f["connection"]: f["failed"] for f in three("plan", "--json").json["connections"]}
    assert planned["crm"] is None and "gone" in planned["down"]


def test_a_fault_of_ours_in_one_of_them(three: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(self: object, cursor: object) -> object:
        raise RuntimeError("a bug")

    monkeypatch.setenv("CONCORD_LOG_LEVEL", "error")
    monkeypatch.setattr("connectors.google.connector.Google.changes", fault)
    monkeypatch.setattr("app.engine.plan.log.error", lambda *given, **more: None)
    planned = {f["connection"]: f["failed"] for f in three("plan", "--json").json["connections"]}
    assert planned["crm"] is None and "RuntimeError" in planned["google"]
