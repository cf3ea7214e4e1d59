"""What the doctor says about connections in trouble: what is so, and a command that helps."""

from __future__ import annotations

import pytest
from desk import Desk

from app.cli import common as cli


@pytest.mark.parametrize(
    ("state", "then"), [("new", "plan crm"), ("active", "sync crm"), ("paused", "connections resume crm")]
)
@pytest.mark.parametrize("trouble", ["down", "html"])
def test_a_server_in_trouble(desk: Desk, state: str, then: str, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with desk.system("crm", "vtiger") as crm:
        desk("apply", desk.file(desk.entry("crm", "vtiger", approve="ask" if state == "new" else "auto")))
        if state != "new":
            desk("sync")
        if state == "paused":
            assert desk("connections", "pause", "crm").code == cli.OK
        if trouble == "html":
            crm.faults.add("html", times=10_000)
            answer = desk("doctor", "--json")
    if trouble == "down":
        answer = desk("doctor", "--json")
    assert answer.code == cli.FAILED
    (finding,) = [f for f in answer.json if f["about"] == "crm" and f["state"] == "ill"]
    assert finding["advice"] == f"when its server answers as it should: concord {then}"


def test_credentials_that_are_refused(desk: Desk) -> None:
    with desk.system("addresses", "google"):
        desk.settings["addresses"]["refresh_token"] = "revoked"
        desk("apply", desk.file(desk.entry("addresses", "google")))
        (finding,) = [f for f in desk("doctor", "--json").json if f["about"] == "addresses"]
        checked = desk("connections", "check", "addresses")
    assert "consent addresses" in finding["advice"]
    assert "NAME" not in finding["message"] + finding["advice"]
    assert checked.code == cli.PAUSED
    assert "addresses: " in checked.err and "consent addresses" in checked.err and "NAME" not in checked.err


def test_a_connection_that_cannot_be_opened(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
        (desk.home / "concord.key").unlink()
        (finding,) = [f for f in desk("doctor", "--json").json if f["about"] == "crm"]
    assert "key" in finding["message"] and finding["advice"] == "when that is mended: concord plan crm"
