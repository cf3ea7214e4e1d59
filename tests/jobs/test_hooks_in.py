"""Webhooks in: what the vendors' sandboxes send, and what forgers do. They are hints to read, and harmless."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from house import NOON, PATIENCE, Clock, House
from pydantic import SecretStr

from app.jobs import turns
from app.jobs.local import LocalQueue
from app.jobs.receiving import Receiver, address, with_key
from app.secrets import Keyring
from app.settings import Settings
from app.store import connections, hooks, jobs, keeping, runs
from app.web.hooks import LARGEST, router
from connectors import registry
from connectors.quickbooks.deliveries import Event
from connectors.sandbox import running

FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Gate:
    """A receiver behind HTTP."""

    house: House
    clock: Clock
    http: httpx.Client

    def connect(self, name: str, system: str, key: str = "", **values: Any) -> str:
        """A connection of that system; the path of its webhooks."""
        id_ = self.house.connect(name, **values)
        with self.house.store.begin() as unit:
            connections.update(unit, id_, system=system)
            if key:
                connections.update(unit, id_, hook=with_key(self.house.keyring, None, SecretStr(key)))
        return address(self.house.store, self.house.keyring, name)

    def post(self, path: str, body: bytes | str, headers: Mapping[str, str] | None = None) -> int:
        return self.http.post(path, content=body, headers=dict(headers or {})).status_code

    def jobs(self) -> list[tuple[str, str]]:
        """(kind, connection) that wait."""
        names = {id_: name for name, id_ in self.house.ids.items()}
        with self.house.store.read() as unit:
            return [(job.kind, names[job.connection_id or 0]) for job in jobs.listing(unit)]

    def clear(self) -> None:
        """All that waits is done: a run began now."""
        with self.house.store.begin() as unit:
            while job := jobs.take(unit, "worker t", 10):
                jobs.finish(unit, job)
                runs.finish(unit, runs.start(unit, job.connection_id or 0), "done", None, {})

    def deliveries(self, name: str) -> list[hooks.Delivery]:
        with self.house.store.read() as unit:
            return hooks.deliveries(unit, self.house.ids[name])


@pytest.fixture
def gate(houses: Callable[..., House], clock: Clock) -> Iterator[Gate]:
    house = houses(clock)
    queue = LocalQueue(house.store, "host:1")
    api = FastAPI()
    api.include_router(router(Receiver(house.store, house.keyring, queue, ZoneInfo("UTC"))))
    with running(api) as url, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        yield Gate(house, clock, http)


# --- each vendor, as its sandbox sends it


def test_mailchimp_unsigned(gate: Gate) -> None:
    box = registry.sandbox("mailchimp")
    path = gate.connect("news", "mailchimp")
    assert gate.http.get(path).status_code == 200, "asked when the webhook is made"
    sent = box.delivery("profile", {"email": "ann@x.test", "merges[FNAME]": "Ann"}, f"https://c.test{path}", NOON)
    assert gate.post(path, sent.body, sent.headers) == 200
    assert gate.jobs() == [("sync", "news")]


def test_mailchimp_signed_forged_and_late(gate: Gate) -> None:
    box = registry.sandbox("mailchimp")
    path = gate.connect("news", "mailchimp", key="0123456789abcdef")

    def deliver(secret: str, ago: float) -> int:
        sent = box.delivery("profile", {"email": "a@x.test"}, f"https://c.test{path}", _ago(gate, ago), secret)
        return gate.post(path, sent.body, sent.headers)

    assert deliver("another", 0) == 401
    assert deliver("", 0) == 401, "where a key is known, nothing is believed without it"
    assert deliver("0123456789abcdef", 301) == 401, "what is late may be a replay"
    assert gate.jobs() == []
    assert deliver("0123456789abcdef", 299) == 200
    assert gate.jobs() == [("sync", "news")]


def _ago(gate: Gate, seconds: float) -> Any:
    return gate.clock() - timedelta(seconds=seconds)


def test_xero_and_its_intent_to_receive(gate: Gate) -> None:
    box = registry.sandbox("xero")
    path = gate.connect("books", "xero", key=box.webhook_key)
    for forged, status in ((True, 401), (False, 200), (True, 401)):
        _, headers, body = box.delivery(forged=forged)
        answer = gate.http.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.content) == (status, b"")
    contact = box.add({"Name": "Ann Abel"}) if hasattr(box, "add") else "c1"
    _, headers, body = box.delivery(box.event(str(contact)))
    assert gate.post(path, body, headers) == 200
    assert gate.jobs() == [("sync", "books")]


@pytest.mark.parametrize("style", ["legacy", "cloudevents"])
def test_quickbooks_in_both_shapes(gate: Gate, style: Any) -> None:
    box = registry.sandbox("quickbooks")
    path = gate.connect("books", "quickbooks", key=box.verifier)
    sent = box.webhook([Event("Customer", "58", "Update", "2026-03-02T12:00:00Z")], style)
    assert gate.post(path, sent.body, {**sent.headers, "intuit-signature": "Zm9yZ2Vk"}) == 401
    assert gate.post(path, sent.body + b" ", sent.headers) == 401
    assert gate.jobs() == []
    assert gate.post(path, sent.body, sent.headers) == 200
    assert gate.jobs() == [("sync", "books")]


@pytest.mark.parametrize("system", ["xero", "quickbooks"])
def test_who_always_signs_is_not_believed_without_a_key(gate: Gate, system: str) -> None:
    path = gate.connect("books", system)
    assert gate.post(path, b"{}", {}) == 401
    assert gate.jobs() == []


def test_sugarcrm_and_vtiger_sign_nothing(gate: Gate) -> None:
    sugar = gate.connect("sugar", "sugarcrm")
    vtiger = gate.connect("vtiger", "vtiger")
    body = json.dumps({"isUpdate": True, "dataChanges": {}, "bean": "Contacts", "data": {"id": "1"}})
    assert gate.post(sugar, body, {"content-type": "application/json"}) == 200
    assert gate.post(vtiger, "record=12x34&event=update", FORM) == 200
    assert sorted(gate.jobs()) == [("sync", "sugar"), ("sync", "vtiger")]


# --- strangers


def test_the_address_is_a_secret(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger")
    name, token = path.split("/")[2:]
    for wrong in (f"/hooks/{name}/guess", f"/hooks/other/{token}", f"/hooks/{name}/{token}x", f"/hooks/{name}/é"):
        assert gate.post(wrong, b"x") == 404
        assert gate.http.get(wrong).status_code == 404
    assert gate.jobs() == []
    assert gate.deliveries("crm") == [], "strangers leave no trace"


def test_a_known_address_can_be_changed(gate: Gate) -> None:
    old = gate.connect("crm", "vtiger")
    assert address(gate.house.store, gate.house.keyring, "crm") == old
    new = address(gate.house.store, gate.house.keyring, "crm", fresh=True)
    assert (gate.post(old, b"x"), gate.post(new, b"x")) == (404, 200)


def test_a_new_key_keeps_the_address(gate: Gate) -> None:
    box = registry.sandbox("xero")
    path = gate.connect("books", "xero", key="old")
    with gate.house.store.begin() as unit:
        found = connections.by_name(unit, "books")
        assert found
        connections.update(unit, found.id, hook=with_key(gate.house.keyring, found.hook, SecretStr(box.webhook_key)))
    _, headers, body = box.delivery()
    assert gate.post(path, body, headers) == 200


def test_nothing_large_is_read(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger")
    assert gate.post(path, b"x" * (LARGEST + 1)) == 413
    assert gate.post(path, b"x" * LARGEST) == 200


def test_what_it_says_is_not_kept(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger")
    gate.post(path, "email=ann.secret@x.test", FORM)
    [found] = gate.deliveries("crm")
    assert (found.size, found.times) == (23, 1)
    with gate.house.store.read() as unit:
        stored = unit.db.exec_driver_sql("SELECT * FROM hook_deliveries").all()
    assert "ann.secret" not in str(stored)


# --- what nobody can ask for


def merge(gate: Gate, path: str, gone: str, left: str, style: Any = "legacy", verifier: str = "") -> int:
    """QuickBooks tells that one customer took in another."""
    box = registry.sandbox("quickbooks")
    box.verifier = verifier or "the verifier"
    sent = box.webhook([Event("Customer", left, "Merge", "2026-03-02T12:00:00Z", gone)], style)
    return gate.post(path, sent.body, sent.headers)


def remembered(gate: Gate, name: str) -> Any:
    with gate.house.store.read() as unit:
        found = connections.by_name(unit, name)
        assert found is not None
        return found.memory


@pytest.mark.parametrize("style", ["legacy", "cloudevents"])
def test_a_merge_in_quickbooks_is_remembered_for_its_connector(gate: Gate, style: Any) -> None:
    path = gate.connect("books", "quickbooks", key="the verifier")
    gate.connect("shop books", "quickbooks", key="the verifier")
    gate.connect("other books", "quickbooks", key="another")
    with gate.house.store.begin() as unit:
        connections.remember(unit, gate.house.ids["books"], "door", "open")
    assert merge(gate, path, "7", "3", style, verifier="a forger's") == 401
    assert remembered(gate, "books") == {"door": "open"}
    assert merge(gate, path, "7", "3", style) == merge(gate, path, "9", "3", style) == 200
    realm = registry.sandbox("quickbooks").realm
    said = {realm: {"Customer/7": "Customer/3", "Customer/9": "Customer/3"}}
    assert remembered(gate, "books") == {"door": "open", "merged": said}
    assert remembered(gate, "shop books") == {"merged": said}, "one address for all the accounts of an app"
    assert remembered(gate, "other books") is None


# --- replays and floods


def test_a_replay_of_something_signed_does_nothing(gate: Gate) -> None:
    box = registry.sandbox("quickbooks")
    path = gate.connect("books", "quickbooks", key=box.verifier)
    sent = box.webhook([Event("Customer", "58", "Update", "2026-03-02T12:00:00Z")])
    assert gate.post(path, sent.body, sent.headers) == 200
    gate.clear()
    for _ in range(5):
        gate.clock.wait(60)
        assert gate.post(path, sent.body, sent.headers) == 200, "the vendor must not try again for ever"
    assert gate.jobs() == []
    assert [found.times for found in gate.deliveries("books")] == [6]


def _signed(gate: Gate, system: str) -> tuple[str, str, bytes, dict[str, str]]:
    """(key, path, body, headers) of a delivery by a vendor that signs."""
    box: Any = registry.sandbox(system)
    if system == "mailchimp":
        key = "0123456789abcdef"
        path = gate.connect("it", system, key=key)
        sent = box.delivery("profile", {"email": "ann@x.test"}, f"https://c.test{path}", gate.clock(), key)
        return key, path, sent.body, dict(sent.headers)
    if system == "xero":
        path = gate.connect("it", system, key=box.webhook_key)
        _, headers, body = box.delivery(box.event("c1"))
        return box.webhook_key, path, body, headers
    path = gate.connect("it", system, key=box.verifier)
    sent = box.webhook([Event("Customer", "58", "Update", "2026-03-02T12:00:00Z")])
    return box.verifier, path, sent.body, dict(sent.headers)


@pytest.mark.parametrize("system", ["mailchimp", "xero", "quickbooks"])
def test_what_is_signed_is_taken_once_and_for_nobody_else(gate: Gate, system: str) -> None:
    """Replayed at its own address it does nothing; at an address with another key, or altered, it is forged."""
    key, path, body, headers = _signed(gate, system)
    assert gate.post(path, body, headers) == 200
    gate.clear()
    for _ in range(3):
        gate.clock.wait(20)
        assert gate.post(path, body, headers) == 200
    assert gate.jobs() == []
    assert [found.times for found in gate.deliveries("it")] == [4]
    other = gate.connect("other", system, key=key + "x")
    assert gate.post(other, body, headers) == 401
    assert gate.post(path, body.replace(b"e", b"E", 1), headers) == 401
    assert gate.post(path, b"", headers) == 401
    assert gate.jobs() == []


def test_a_flood_from_many_is_answered_and_makes_one_job(gate: Gate) -> None:
    """Vendors give up after a few seconds (Xero after five)."""
    path = gate.connect("crm", "vtiger")
    took: list[float] = []

    def post(number: int) -> int:
        began = time.monotonic()
        status = gate.post(path, f"record={number}")
        took.append(time.monotonic() - began)
        return status

    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(post, range(120))} == {200}
    assert sorted(took)[len(took) // 2] < 1
    assert max(took) < 5
    assert gate.jobs() == [("sync", "crm")]


def test_without_our_own_key_nothing_is_believed_and_nothing_is_lost(gate: Gate) -> None:
    """The vendor is told to come again: by then somebody may have put the key back."""
    _, path, body, headers = _signed(gate, "xero")
    receiver = Receiver(gate.house.store, _other_keyring(), LocalQueue(gate.house.store, "host:2"), ZoneInfo("UTC"))
    api = FastAPI()
    api.include_router(router(receiver))
    with running(api) as url:
        answer = httpx.post(url + path, content=body, headers=headers)
        assert (answer.status_code, httpx.get(url + path).status_code) == (503, 503)
    assert gate.jobs() == []
    assert gate.post(path, body, headers) == 200
    assert gate.jobs() == [("sync", "it")]


def _other_keyring() -> Keyring:
    return Keyring(Settings(secrets_keys=(SecretStr(Fernet.generate_key().decode()),)))


def test_the_same_words_unsigned_are_news_again(gate: Gate) -> None:
    """A workflow of vTiger says the same of every edit of a record."""
    path = gate.connect("crm", "vtiger")
    gate.post(path, b"record=12x34")
    gate.clock.wait(20)
    gate.clear()
    gate.clock.wait(20)
    gate.post(path, b"record=12x34")
    assert gate.jobs() == [("sync", "crm")]


def test_a_flood_is_a_few_runs_now_and_one_every_so_often(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger")
    done = []
    for number in range(200):
        gate.post(path, f"record={number}".encode())
        gate.clock.wait(1)
        done += [number] if _due(gate) else []
        gate.clear()
    assert done[: turns.AT_ONCE] == [*range(turns.AT_ONCE)], "a few edits in a row are passed on one by one"
    later = [number for number in done if number >= 100]
    assert 9 <= len(later) <= 10
    assert len(gate.jobs()) <= 1


def _due(gate: Gate) -> bool:
    with gate.house.store.read() as unit:
        return jobs.pressing(unit)


def test_a_flood_does_not_fill_the_disk(gate: Gate) -> None:
    gate.connect("crm", "vtiger")
    with gate.house.store.begin() as unit:
        for number in range(keeping.DELIVERIES + 50):
            hooks.receive(unit, 1, str(number), 1)
    gate.clock.wait(1)
    with gate.house.store.begin() as unit:
        hooks.receive(unit, 1, "last", 1)
        assert keeping.let_go(unit, 0)["hook_deliveries"] == 51
        kept = [found.id for found in hooks.deliveries(unit, 1, limit=10_000)]
    assert len(kept) == keeping.DELIVERIES
    assert max(kept) == keeping.DELIVERIES + 51


# --- what a hint can do


def test_hints_wake_nobody_who_must_not_run(gate: Gate) -> None:
    paused = gate.connect("paused", "vtiger")
    new = gate.connect("new", "vtiger", active=False, approve="ask")
    with gate.house.store.begin() as unit:
        connections.update(unit, gate.house.ids["paused"], state="paused")
    assert (gate.post(paused, b"x"), gate.post(new, b"x")) == (200, 200)
    assert gate.jobs() == []


def test_hints_run_what_else_runs_by_hand_only(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger", schedule=None)
    assert gate.post(path, b"x") == 200
    assert gate.jobs() == [("sync", "crm")]


def test_a_hint_does_not_wake_who_rests_from_failing(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger")
    with gate.house.store.begin() as unit:
        runs.finish(unit, runs.start(unit, gate.house.ids["crm"]), "failed", "planted", {})
        failed = unit.now
    assert gate.post(path, b"x") == 200
    with gate.house.store.read() as unit:
        [job] = jobs.listing(unit)
    assert job.due - failed >= timedelta(seconds=59)


def test_in_quiet_hours_a_hint_waits_for_their_end(gate: Gate) -> None:
    path = gate.connect("crm", "vtiger", quiet="11:00-13:00")
    gate.post(path, b"x")
    with gate.house.store.read() as unit:
        [job] = jobs.listing(unit)
    assert job.due == NOON.replace(hour=13)


def test_one_address_of_an_app_wakes_all_its_accounts(gate: Gate) -> None:
    """An app at Xero or Intuit has one address for all organisations that allowed it."""
    box = registry.sandbox("xero")
    path = gate.connect("north", "xero", key=box.webhook_key)
    gate.connect("south", "xero", key=box.webhook_key)
    gate.connect("stranger", "xero", key="another")
    _, headers, body = box.delivery(box.event("c1"))
    assert gate.post(path, body, headers) == 200
    assert sorted(gate.jobs()) == [("sync", "north"), ("sync", "south")]
