"""What each resource does when all is well."""

from __future__ import annotations

import json
from typing import Any

import pytest
from office import Office

from app.core.policy import Policy
from app.store import connections, idempotency, outbox, people
from connectors.errors import Unreachable
from connectors.memory import MemoryConnector

ASK = Policy(ask=True)


def test_people_are_found_and_read(showroom: Office) -> None:
    assert [p["name"] for p in showroom.get("/v1/people?search=doe3")["items"]] == ["Ann Doe3"]
    assert [p["name"] for p in showroom.get("/v1/people?search=ANN2@example.com")["items"]] == ["Ann Doe2"]
    assert [p["name"] for p in showroom.get("/v1/people?search=%2B49301000004")["items"]] == ["Ann Doe4"]
    assert len(showroom.get("/v1/people?connection=crm")["items"]) == 5
    assert showroom.get("/v1/people?updated_since=2100-01-01T00:00:00Z")["items"] == []
    assert showroom.get("/v1/people?state=archived")["items"] == []
    uid = showroom.person()["uid"]
    shown = showroom("GET", f"/v1/people/{uid}")
    assert shown.headers["etag"] == f'"{shown.json()["rev"]}"'
    assert {link["connection"] for link in shown.json()["links"]} == {"book", "crm"}
    again = showroom("GET", f"/v1/people/{uid}", headers={"if-none-match": shown.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pages_bring_everybody_once(showroom: Office) -> None:
    seen, cursor = [], ""
    while True:
        page = showroom.get(f"/v1/people?limit=2{cursor}")
        seen += [p["uid"] for p in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 5
    assert showroom.get("/v1/people?limit=5")["next"] is None


def test_runs_tell_what_became_of_the_records(showroom: Office) -> None:
    runs = showroom.get("/v1/runs?connection=crm")["items"]
    assert runs[-1]["counters"]["created"] == 5
    assert runs[-1]["counters"]["seconds"] > 0
    results = showroom.get(f"/v1/runs/{runs[-1]['id']}/results")["items"]
    assert [r["what"] for r in results] == ["written"] * 5
    first = showroom.get(f"/v1/runs/{showroom.get('/v1/runs?connection=book')['items'][-1]['id']}/results?limit=3")
    assert [r["what"] for r in first["items"]] == ["taken"] * 3
    rest = showroom.get(f"/v1/runs/1/results?limit=3&cursor={first['next']}")["items"]
    assert len(rest) == 2
    assert showroom.get("/v1/runs?outcome=failed")["items"] == []


def test_a_run_is_followed_to_its_end(showroom: Office) -> None:
    text = showroom("GET", "/v1/runs/1/events").text
    assert text.startswith("event: end\ndata: {")
    assert json.loads(text.split("data: ")[1])["outcome"] == "done"


def test_an_edit_reaches_the_journal_and_the_systems(office: Office) -> None:
    office.connect()
    office.add(1)
    office.round()
    person = office.person()
    (key,) = person["card"]["emails"]
    done = office(
        "PATCH",
        f"/v1/people/{person['uid']}",
        "operator",
        json={"values": {"/name/given": "Zoë", f"/emails/{key}/address": "zoe@example.com"}},
        headers={"if-match": f'"{person["rev"]}"'},
    )
    assert done.status_code == 200, done.text
    assert done.json()["name"] == "Zoë Doe1"
    assert done.headers["etag"] == f'"{person["rev"] + 1}"'
    office.round()
    assert [c["emails"]["1"]["address"] for c in office.remotes["book"].cards().values()] == ["zoe@example.com"]
    history = office.get(f"/v1/people/{person['uid']}/history?limit=1")
    assert (history["items"][0]["by"], history["next"] is not None) == ("operator", True)
    lineage = {o["path"]: o["origin"] for o in office.get(f"/v1/people/{person['uid']}/lineage")}
    assert lineage["/name/given"]["by"] == "operator"
    assert (lineage["/name/surname"]["by"], lineage["/name/surname"]["connection"]) == ("book", "book")
    assert (
        office(
            "PATCH", f"/v1/people/{person['uid']}", json={"values": {"/nose": "1"}}, headers={"if-match": "*"}
        ).status_code
        == 422
    )


def conflict(office: Office) -> int:
    """Two numbers for one phone."""
    office.connect(book=ASK, crm=ASK)
    for number in range(2):
        office.add(number)
    office.round()
    office.round()
    for remote in office.remotes.values():
        for record, card in remote.cards().items():
            (key, phone), *_ = card["phones"].items()
            number = f"{phone['number']}{1 if remote is office.remotes['book'] else 2}"
            remote.edit(record, {**card, "phones": {key: {**phone, "number": number}}})
    office.round()
    found = office.get("/v1/conflicts")["items"]
    assert len(found) == 2, found
    number: int = found[0]["id"]
    return number


def test_a_conflict_is_settled_by_side_by_value_or_by_rule(office: Office) -> None:
    number = conflict(office)
    found = office.get(f"/v1/conflicts/{number}")
    assert found["open"] and found["ours"] != found["theirs"]
    assert office("POST", f"/v1/conflicts/{number}/resolution", json={}).status_code == 422
    done = office.post(f"/v1/conflicts/{number}/resolution", {"value": "+49 30 999"}, "operator")
    assert not done["open"]
    assert office("POST", f"/v1/conflicts/{number}/resolution", json={"side": "ours"}).status_code == 422
    assert office.post("/v1/conflicts/resolutions", {"side": "theirs", "field": "emails"})["settled"] == 0
    swept = office.post("/v1/conflicts/resolutions", {"side": "theirs", "field": "phones"})
    assert (swept["settled"], swept["failed"], swept["more"]) == (1, [], False)
    office.round()
    office.round()
    views = [
        sorted(p["number"] for c in r.cards().values() for p in c["phones"].values()) for r in office.remotes.values()
    ]
    assert views[0] == views[1]
    assert "+49 30 999" in views[0]
    assert office.get("/v1/conflicts")["items"] == []
    assert len(office.get("/v1/conflicts?state=all")["items"]) == 2


def test_a_plan_is_made_and_approved_in_part(office: Office) -> None:
    office.connect()
    with office.store.begin() as unit:
        for c in connections.every(unit):
            connections.update(unit, c.id, approve="ask")
    for number in range(3):
        office.add(number)
    made = office.post("/v1/plans", {"connections": ["book", "crm"]}, "operator")
    assert made["state"] == "waiting"
    assert {f["connection"]: f["creates"] for f in made["connections"]} == {"book": 0, "crm": 3}
    items = office.get(f"/v1/plans/{made['id']}/items?connection=crm&limit=2")
    assert len(items["items"]) == 2 and items["next"]
    assert office.get("/v1/plans")["items"][0]["id"] == made["id"]
    approved = office.post(f"/v1/plans/{made['id']}/approval", {"connections": ["book"]}, "operator")
    assert approved["state"] == "approved"
    assert office("POST", f"/v1/plans/{made['id']}/rejection").status_code == 409
    office.work()
    assert [office.connection(name).state for name in ("book", "crm")] == ["active", "new"]
    other = office.post("/v1/plans", {"connections": ["crm"]})
    held = office.person()["uid"]
    office.post(f"/v1/plans/{other['id']}/approval", {"hold": [held]})
    office.work()
    assert len(office.remotes["crm"].cards()) == 2
    third = office.post("/v1/plans", {"connections": ["crm"]})
    assert office.post(f"/v1/plans/{third['id']}/rejection")["state"] == "rejected"
    assert office("POST", "/v1/plans", json={"connections": ["nobody"]}).status_code == 404


def test_a_plan_tells_which_connection_could_not_be_read(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the plan with its reason, and its first contact is not approved with those that somebody has seen."""
    office.connect()
    with office.store.begin() as unit:
        for c in connections.every(unit):
            connections.update(unit, c.id, approve="ask")
    office.add(1)
    changes = MemoryConnector.changes

    def dead(self: MemoryConnector, cursor: Any) -> Any:
        if self.remote is office.remotes["crm"]:
            raise Unreachable("its server is off")
        return changes(self, cursor)

    monkeypatch.setattr(MemoryConnector, "changes", dead)
    made = office.post("/v1/plans", {"connections": ["book", "crm"]})
    told = {f["connection"]: f["failed"] for f in made["connections"]}
    assert told == {**dict.fromkeys(told), "crm": "its server is off"}
    office.post(f"/v1/plans/{made['id']}/approval", {})
    assert [office.connection(name).state for name in ("book", "crm")] == ["active", "new"]
    alone = office("POST", "/v1/plans", json={"connections": ["crm"]})
    assert alone.status_code == 502 and "crm: its server is off" in alone.text


def test_what_was_refused_is_tried_again_or_left(office: Office) -> None:
    office.connect()
    office.add(1, notes={"1": {"note": "x" * 100_001}})
    office.round()
    (refused,) = office.get("/v1/refused")["items"]
    assert (refused["connection"], refused["direction"]) == ("book", "in")
    assert "100,000" in refused["reason"]
    again = office.post(f"/v1/refused/{refused['id']}/retry", role="operator")
    assert (again["taken"], "100,000" in again["reason"]) == (False, True)
    (record,) = office.remotes["book"].cards()
    card = office.remotes["book"].cards()[record]
    office.remotes["book"].edit(record, {**card, "notes": {"1": {"note": "short"}}})
    assert office.post(f"/v1/refused/{refused['id']}/retry") == {"taken": True, "reason": None}
    assert office.get("/v1/refused")["items"] == []
    assert office.person()["name"] == "Ann Doe1"
    assert office("POST", f"/v1/refused/{refused['id']}/ignore").status_code == 404
    office.add(2, notes={"1": {"note": "x" * 100_001}})
    office.round()
    (refused,) = office.get("/v1/refused?connection=book")["items"]
    office.post(f"/v1/refused/{refused['id']}/ignore")
    assert office.get("/v1/refused")["items"] == []


def test_who_could_not_be_written_is_left_out(office: Office) -> None:
    office.connect()
    office.round()
    office.add(1)
    office.round()
    with office.store.begin() as unit:
        crm = connections.by_name(unit, "crm")
        (person,) = people.search(unit)
        assert crm is not None
        outbox.owe(unit, [crm.id], [person.id])
        outbox.set_aside(unit, crm.id, person.id, "they will not have them")
    (aside,) = office.get("/v1/refused")["items"]
    assert (aside["direction"], aside["person"], aside["reason"]) == ("out", person.uid, "they will not have them")
    assert office.get("/v1/connections/crm")["aside"] == 1
    assert office.post(f"/v1/refused/{aside['id']}/retry")["taken"] is None
    assert office("POST", f"/v1/refused/{aside['id']}/ignore").status_code == 404


def test_consent_is_recorded(office: Office) -> None:
    office.connect()
    office.add(1)
    office.round()
    uid = office.person()["uid"]
    done = office.post(f"/v1/people/{uid}/consent", {"state": "withdrawn", "words": "called us"}, "operator")
    assert ("email", "withdrawn") in [(h["channel"], h["state"]) for h in done["holds"]]
    assert office.get(f"/v1/people/{uid}/consent", "viewer")["said"][0]["by"] == "operator"
    stale = {"state": "granted", "words": "a form", "at": "2020-01-01T00:00:00Z"}
    assert office("POST", f"/v1/people/{uid}/consent", json=stale).status_code == 422
    assert office("POST", f"/v1/people/{uid}/consent", json={"state": "granted", "words": " "}).status_code == 422


def test_the_ledger_is_read_as_a_whole(office: Office) -> None:
    office.connect()
    for number in range(3):
        office.add(number)
    office.round()
    people = office.get("/v1/people")["items"]
    for person in people:
        office.post(f"/v1/people/{person['uid']}/consent", {"state": "withdrawn", "words": "called us"}, "operator")
    office.post(
        f"/v1/people/{people[0]['uid']}/consent", {"state": "withdrawn", "words": "a letter", "channel": "post"}
    )
    first = office.get("/v1/consent?limit=3", "viewer")
    rest = office.get(f"/v1/consent?cursor={first['next']}", "viewer")
    rows = first["items"] + rest["items"]
    assert [row["name"] for row in rows] == ["Ann Doe0", "Ann Doe2", "Ann Doe1", "Ann Doe0"]
    assert (rows[0]["channel"], rows[0]["by"], rows[0]["connection"], rows[0]["basis"]) == (
        "post",
        "admin",
        None,
        "a letter",
    )
    assert len(office.get("/v1/consent?channel=email&by=human")["items"]) == 3
    for nothing in ("state=granted", "by=system", "connection=crm", "since=2100-01-01T00:00:00Z"):
        assert office.get(f"/v1/consent?{nothing}")["items"] == [], nothing
    assert office("GET", "/v1/consent?connection=nobody").status_code == 404
    office.post(f"/v1/people/{people[0]['uid']}/erasure")
    assert len(office.get("/v1/consent")["items"]) == 2, "who was forgotten is in no ledger"


def test_a_person_is_shown_everything_and_forgotten(office: Office) -> None:
    office.connect()
    office.add(1)
    office.round()
    uid = office.person()["uid"]
    data = office("GET", f"/v1/people/{uid}/data", "operator")
    assert data.json()["card"]["name"] and "attachment" in data.headers["content-disposition"]
    assert office.get(f"/v1/people/{uid}/purchases") == []
    assert [s["connection"] for s in office.get(f"/v1/people/{uid}/erasure")["records"]] == ["book", "crm"]
    said = {"state": "withdrawn", "words": "by phone"}
    office.post(f"/v1/people/{uid}/consent", said, headers={"idempotency-key": "k1"})
    assert office("POST", f"/v1/people/{uid}/erasure", "operator").status_code == 403
    assert office.post(f"/v1/people/{uid}/erasure")["erased"]
    assert office.get(f"/v1/people/{uid}")["card"] == {}
    with office.store.read() as unit:
        assert idempotency.find(unit, "user:1", "k1") is None, "an answer that is kept tells of who was forgotten"
    office.round()
    assert [r.cards() for r in office.remotes.values()] == [{}, {}]


def test_connections_are_made_changed_and_forgotten(office: Office) -> None:
    made = office.post(
        "/v1/connections",
        {
            "name": "shop",
            "system": "vtiger",
            "settings": {"url": "http://127.0.0.1:9", "username": "admin", "access_key": "planted-secret"},
            "every": "5m",
            "direction": "pull",
        },
    )
    assert (made["state"], made["has_secrets"], made["policy"]["direction"]) == ("new", True, "pull")
    assert made["settings"] == {"url": "http://127.0.0.1:9", "username": "admin"}
    assert office("POST", "/v1/connections", json={"name": "shop", "system": "vtiger"}).status_code in (409, 422)
    assert office.branch.keyring.decrypt(office.connection("shop").secrets or b"") == {"access_key": "planted-secret"}
    done = office(
        "PATCH", "/v1/connections/shop", json={"every": None, "conflicts": "ask", "settings": {"username": "root"}}
    )
    assert done.json()["what"] == "updated"
    assert (
        done.json()["connection"]["policy"] | {"every": None, "conflicts": "ask"} == done.json()["connection"]["policy"]
    )
    assert office.branch.keyring.decrypt(office.connection("shop").secrets or b"") == {"access_key": "planted-secret"}
    office("PUT", "/v1/connections/shop/credentials", json={"secrets": {"access_key": "another-secret"}})
    assert office.branch.keyring.decrypt(office.connection("shop").secrets or b"") == {"access_key": "another-secret"}
    wrong = office("PUT", "/v1/connections/shop/credentials", json={"secrets": {"username": "x"}})
    assert wrong.json()["errors"][0]["pointer"] == "/body/secrets/username"
    check = office.post("/v1/connections/shop/check", role="operator")
    assert not check["ok"] and check["error"]
    assert office("POST", "/v1/connections/shop/pause").status_code == 422
    assert office("DELETE", "/v1/connections/shop").status_code == 204
    assert office("GET", "/v1/connections/shop").status_code == 404


def test_a_connection_is_paused_resumed_synced_and_looked_at(office: Office) -> None:
    office.connect()
    office.add(1, relations={"1": {"name": "Bob"}})
    office.round()
    check = office.post("/v1/connections/crm/check", role="operator")
    assert (check["ok"], check["label"]) == (True, "CRM in memory")
    assert office.post("/v1/connections/crm/pause", role="operator")["state"] == "paused"
    assert office.post("/v1/connections/crm/resume", role="operator")["reason"] is None
    assert office.post("/v1/connections/crm/sync", role="operator")["queued"]
    assert not office.post("/v1/connections/crm/hint", role="webhook")["queued"]
    office.work()
    seen = office.get(f"/v1/connections/crm/preview?person={office.person()['uid']}", "viewer")
    assert seen["belongs"] and seen["record"]
    assert any(lost["path"].startswith("/relations/") for lost in seen["lost"])
    assert office.post("/v1/connections/crm/retry")["contacts"] == 0
    assert office("POST", "/v1/connections/crm/release").status_code == 422
    first = office.post("/v1/connections/crm/hook-address")["path"]
    assert first.startswith("/hooks/crm/") and first != office.post("/v1/connections/crm/hook-address")["path"]
    assert office("DELETE", "/v1/connections/crm?links=keep").status_code == 204
    assert office.get("/v1/connections/crm")["state"] == "paused"
    assert office.get("/v1/connections/crm")["records"] == 1
    office("DELETE", "/v1/connections/crm")
    assert len(office.get("/v1/connections")) == 1
    assert len(office.remotes["crm"].cards()) == 1


def test_losses_are_released(office: Office) -> None:
    office.connect()
    for number in range(20):
        office.add(number)
    office.round()
    office.round()
    for record in [*office.remotes["book"].cards()][:15]:
        office.remotes["book"].remove(record)
    assert office.round()[0].outcome == "held"
    assert office.get("/v1/connections/book")["waiting"] == 15
    run = office.get("/v1/runs?connection=book&outcome=held")["items"][0]
    assert {r["what"] for r in office.get(f"/v1/runs/{run['id']}/results")["items"]} == {"waiting"}
    office.post("/v1/connections/book/release", role="operator")
    office.work()
    assert len(office.get("/v1/people?limit=200")["items"]) == 5


def test_systems_say_what_they_need(showroom: Office) -> None:
    systems = {system["name"]: system for system in showroom.get("/v1/systems")}
    assert systems["vtiger"]["secrets"] == ["access_key"]
    assert "url" in systems["vtiger"]["settings"]["properties"]
    assert systems["google"]["oauth"]


CSV = b"Name,E-Mail\nAnn Doe,ann@example.com\nBob Roe,bob@example.com\n"


def test_a_file_is_looked_at_then_taken(office: Office) -> None:
    file = {"file": ("people.csv", CSV)}
    seen = office("POST", "/v1/imports/inspection", "operator", files=file)
    assert seen.status_code == 200, seen.text
    assert [c["header"] for c in seen.json()["columns"]] == ["Name", "E-Mail"]
    done = office("POST", "/v1/imports", "operator", files=file, data={"name": "list"})
    assert done.status_code == 201, done.text
    assert (done.json()["outcome"], done.json()["counters"]["people"]) == ("done", 2)
    again = office("POST", "/v1/imports", "operator", files=file, data={"name": "list"})
    assert again.json()["counters"]["people"] == 0
    assert [p.name for p in (office.home / "uploads").iterdir()] == ["list.csv"]
    assert (office.home / "uploads" / "list.csv").stat().st_mode & 0o077 == 0
    exported = office("GET", "/v1/exports?format=csv&search=bob", "operator")
    assert exported.status_code == 200
    assert b"bob@example.com" in exported.content and b"ann@example.com" not in exported.content
    assert [p.name for p in (office.home / "uploads").iterdir()] == ["list.csv"]
    sjis = {"file": ("people.csv", "name,email\n山田,taro@x.test\n".encode("cp932"))}
    odd = office("POST", "/v1/imports/inspection", files=sjis, data={"encoding": "cp1252"}).json()
    right = office("POST", "/v1/imports/inspection", files=sjis, data={"encoding": "cp932"}).json()
    assert odd["columns"][0]["samples"] != right["columns"][0]["samples"] == ["山田"]
    nonsense = office("POST", "/v1/imports/inspection", files=sjis, data={"encoding": "nonsense"})
    assert nonsense.status_code == 422
    assert "no encoding that we know" in nonsense.text
    bad = office("POST", "/v1/imports", files={"file": ("people.exe", CSV)}, data={"name": "x"})
    assert bad.status_code == 422
    assert office("POST", "/v1/imports", files={"file": ("x.xlsx", b"nonsense")}, data={"name": "x"}).status_code == 422
    assert office("GET", "/v1/connections/x").status_code == 404


def test_health(office: Office) -> None:
    assert office("GET", "/healthz", None).json() == office("GET", "/readyz", None).json() == {"status": "ok"}
