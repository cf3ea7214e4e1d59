"""The listings on PostgreSQL: what they ask has to be understood there, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from office import Office
from test_web_connecting import Browser, Counter

from app.core.policy import Policy
from connectors import registry
from connectors.sandbox import running

ASK = Policy(ask=True)


@pytest.fixture
def office(postgres_url: str, tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "home", postgres_url)
    yield made
    made.close()


def test_everything_is_found_there_too(office: Office) -> None:
    office.connect(book=ASK, crm=ASK)
    for number in range(3):
        office.add(number, groups={"1": {"name": "Friends"}})
    office.add(9, notes={"1": {"note": "x" * 100_001}})
    office.round()
    (group,) = office.get("/v1/groups?name=FRIEND")["items"]
    assert (group["name"], group["people"]) == ("Friends", 3)
    members = f"/v1/groups/{group['id']}/members"
    page = office.get(f"{members}?limit=2")
    assert len(page["items"]) == 2
    assert len(office.get(f"{members}?cursor={page['next']}")["items"]) == 1
    changed = office("PATCH", f"/v1/groups/{group['id']}", json={"name": "Fans"}, headers={"if-match": '"1"'})
    assert (changed.json()["name"], changed.json()["people"]) == ("Fans", 3)
    assert len(office.get("/v1/people?group=fans")["items"]) == 3
    assert len(office.get("/v1/people?search=doe1&connection=crm&updated_since=2020-01-01T00:00:00Z")["items"]) == 1
    uid = office.person()["uid"]
    assert office.get(f"/v1/people/{uid}/history")["items"]
    assert office.get("/v1/refused")["items"][0]["direction"] == "in"
    office.post(f"/v1/people/{uid}/consent", {"state": "withdrawn", "words": "called us"})
    assert len(office.get("/v1/consent?by=human&channel=email&state=withdrawn")["items"]) == 1
    assert office.get("/v1/consent?by=system&connection=crm&since=2020-01-01T00:00:00Z")["items"] == []
    assert office.get("/v1/conflicts?field=phones&connection=crm&state=all")["items"] == []
    first = office.get("/v1/runs")["items"][-1]["id"]
    page = office.get(f"/v1/runs/{first}/results?limit=2")
    rest = office.get(f"/v1/runs/{first}/results?cursor={page['next']}")
    assert [r["what"] for r in page["items"] + rest["items"]] == ["refused", "taken", "taken", "taken"]
    plan = office.post("/v1/plans", {"connections": ["crm"]}, headers={"idempotency-key": "k"})
    assert office.get("/v1/plans")["items"] == [plan]
    assert office.post("/v1/plans", {"connections": ["crm"]}, headers={"idempotency-key": "k"}) == plan
    assert office.get("/v1/audit?action=make_plan")["items"][0]["target"] == f"plans/{plan['id']}"
    assert office.post(f"/v1/people/{uid}/erasure")["erased"]


def test_an_account_is_connected_there_too(office: Office) -> None:
    box = registry.sandbox("google")
    with running(box.app) as url:
        counter, browser = Counter(office, "google", url, box), Browser(office)
        link = counter.link()
        landing = browser.consent(browser.open(link))
        assert [browser.here.get(landing).status_code for _ in range(2)] == [200, 410]
        counter.pause()
        assert "goes on" in counter.connect().text
        late = browser.consent(browser.open(counter.link()))
        office("DELETE", "/v1/connections/it")
        assert "removed meanwhile" in browser.here.get(late).text
