"""What an admin may get wrong, or change his mind about, without anybody losing a contact."""

from __future__ import annotations

from typing import Any

import pytest
from desk import Desk

from app.bootstrap import start
from app.cli import common as cli
from app.consenting import accept, prove
from app.engine.run import Busy, find, lease
from app.engine.world import Unusable
from connectors.google.client import SCOPE

ZOE = {"firstname": "Zoë", "lastname": "O'Brien", "email": "zoe@x.test", "mobile": "+44 7700 900001"}
BEN = {"firstname": "Ben", "lastname": "Bax", "email": "ben@x.test", "mobile": "+44 7700 900002"}
ZOE_AT_GOOGLE = {
    "names": [{"givenName": "Zoë", "familyName": "O'Brien"}],
    "emailAddresses": [{"value": "zoe@x.test"}],
}


def stored(desk: Desk, name: str) -> dict[str, Any]:
    return next(c for c in desk("connections", "--json").json if c["name"] == name)


def what(desk: Desk, *entries: dict[str, Any]) -> list[str]:
    answer = desk("apply", desk.file(*entries), "--json")
    assert answer.code == cli.OK, answer.err
    return [done["what"] for done in answer.json]


# --- another account


def test_another_installation_starts_over_and_overwrites_nobody(desk: Desk) -> None:
    with desk.system("old", "vtiger") as old, desk.system("new", "vtiger") as new:
        assert old.seed([ZOE]) == new.seed([BEN]), "record ids of two installations overlap"
        desk("apply", desk.file({**desk.entry("old", "vtiger"), "name": "crm"}))
        desk("sync", "--until-quiet")
        file = desk.file({**desk.entry("new", "vtiger", approve="ask"), "name": "crm"})
        answer = desk("apply", file)
        assert "another account: it starts over and waits for your approval" in " ".join(answer.out.split())
        assert (stored(desk, "crm")["state"], stored(desk, "crm")["records"]) == ("new", 0)
        assert desk("sync").code == cli.WAITING
        assert desk("plan", "crm", "--approve").code == cli.OK
        assert desk("sync", "--until-quiet").code == cli.OK
        assert {row["lastname"] for row in new.rows()} == {"O'Brien", "Bax"}
        assert len(desk.people()) == 2 and [row["lastname"] for row in old.rows()] == ["O'Brien"]
        assert desk("people", "--archived", "--json").json == []


def test_tuning_a_connection_keeps_its_links(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm:
        crm.seed([ZOE])
        entry = desk.entry("crm", "vtiger")
        assert what(desk, entry) == ["created"]
        desk("sync")
        entry["settings"] = {**entry["settings"], "rate": 7.0, "full_every": 3}
        assert what(desk, entry) == ["updated"]
        assert (stored(desk, "crm")["state"], stored(desk, "crm")["records"]) == ("active", 1)


def test_a_change_that_reads_anew_does_not_meet_a_run(desk: Desk) -> None:
    with desk.system("crm", "vtiger"):
        entry = desk.entry("crm", "vtiger")
        what(desk, entry)
        desk("sync")
        entry["settings"] = {**entry["settings"], "rate": 7.0}
        other = start()
        with lease(other.world(), "crm"):
            answer = desk("apply", desk.file(entry))
            assert answer.code == cli.FAILED and "being synced" in answer.err
            assert what(desk, desk.entry("crm", "vtiger", every="5m")) == ["updated"], "this one meets nothing"
        other.store.close()
        assert what(desk, {**entry, "every": "5m"}) == ["updated"]


@pytest.mark.parametrize("same", [True, False])
def test_a_consent_finds_out_whose_account_it_is(desk: Desk, same: bool) -> None:
    """Also where nobody has asked for the account's id before: by the records that we know."""
    with desk.system("google", "google") as google:
        (zoe,) = google.seed([ZOE_AT_GOOGLE])
        desk("apply", desk.file(desk.entry("google", "google", approve="ask")))
        desk("plan", "google", "--approve")
        desk("sync")
        if not same:  # nothing that we know is in this account
            google.remove(zoe)
            google.seed([{"names": [{"givenName": "Ben", "familyName": "Bax"}]}])
        app = start()
        connection = find(app.world(), "google")
        assert connection.account is None
        granted = {"refresh_token": google.oauth.grant(SCOPE)}
        if not same:
            with pytest.raises(Unusable, match="another account"):
                prove(app, connection, granted)
        proof = prove(app, connection, granted, other=not same)
        with lease(app.world(), "google"), pytest.raises(Busy):
            accept(app, connection, proof)
        assert find(app.world(), "google").secrets == connection.secrets
        accept(app, connection, proof)
        now = find(app.world(), "google")
        assert (now.cursor, now.account) == (None, proof.account)
        app.store.close()
        assert stored(desk, "google")["state"] == ("active" if same else "new")
        assert desk("sync").code == (cli.OK if same else cli.WAITING)
        assert len(desk.people()) == 1, "who is not in the new account is not deleted for it"


# --- another policy


def test_a_field_that_may_be_taken_now_is_taken_from_records_that_did_not_change(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm:
        crm.seed([{**ZOE, "description": "a note"}])
        what(desk, desk.entry("crm", "vtiger", fields={"notes": "push"}))
        desk("sync")
        assert "notes" not in desk.people()[0]["card"]
        assert what(desk, desk.entry("crm", "vtiger")) == ["updated"]
        assert desk("sync", "--until-quiet").code == cli.OK
        (note,) = desk.people()[0]["card"]["notes"].values()
        assert note["note"] == crm.rows()[0]["description"] == "a note"
        assert len(desk.people()[0]["card"]["emails"]) == 1


def test_a_field_opened_later_meets_as_if_for_the_first_time(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm, desk.system("google", "google") as google:
        crm.seed([{**ZOE, "description": "theirs"}])
        google.seed([{**ZOE_AT_GOOGLE, "biographies": [{"value": "ours"}]}])
        book = desk.entry("google", "google")
        what(desk, desk.entry("crm", "vtiger", fields={"notes": "off"}), book)
        desk("sync", "--until-quiet")
        what(desk, desk.entry("crm", "vtiger"), book)
        desk("sync", "--until-quiet")
        assert {n["note"] for n in desk.people()[0]["card"]["notes"].values()} == {"ours", "theirs"}
        assert (crm.rows()[0]["description"], google.people()[0]["biographies"][0]["value"]) == ("theirs", "ours")
        assert all(run["written"] == 0 for run in desk("sync", "--json").json)


# --- files


def test_an_import_as_a_snapshot_reads_the_same_file_again(desk: Desk) -> None:
    file = desk.home.parent / "people.csv"
    rows = ["First name,Last name,Email", "Zoë,Öz,z@x.test", "Ben,Bax,b@x.test"]
    file.write_text("\n".join(rows))
    desk("import", file)
    file.write_text("\n".join(rows[:2]))
    desk("import", file)
    assert len(desk.people()) == 2
    desk("import", file, "--snapshot")
    assert len(desk.people()) == 1


# --- entered at the terminal


def test_edits_are_checked_before_they_go_anywhere(desk: Desk) -> None:
    with desk.system("crm", "vtiger") as crm:
        crm.seed([ZOE])
        what(desk, desk.entry("crm", "vtiger"))
        desk("sync")
        uid = desk.people()[0]["uid"]
        for wrong in ("keywords=vip", "phonez/1/number=1", "anniversaries/b/date=3.1.80", "phones/x/label=boat"):
            answer = desk("people", "edit", uid, wrong)
            assert answer.code == cli.BAD_INPUT and answer.err.strip(), wrong
        born = ("anniversaries/b/kind=birth", "anniversaries/b/date=1980-01-03")
        assert desk("people", "edit", uid, "keywords/vip=yes", *born).code == cli.OK
        assert desk("sync", "--until-quiet").code == cli.OK
        assert crm.rows()[0]["birthday"] == "1980-01-03"
