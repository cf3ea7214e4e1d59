"""The QuickBooks connector against its sandbox, trap by trap (accounting note, part B)."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import pytest
from pydantic import ValidationError
from qbospec import Watched
from starlette.types import Receive, Scope, Send

from connectors import loopback
from connectors.card import Card, components
from connectors.contract import Context, Outcome, Page, Push, Record, Sales, Seller
from connectors.errors import (
    CursorExpired,
    Error,
    Missing,
    Refused,
    Stale,
    Throttled,
    Unauthorised,
    Uncertain,
    Unreachable,
)
from connectors.oauth import TOKENS
from connectors.quickbooks import CONNECTOR, changes, merges
from connectors.quickbooks.client import CODES, OAUTH, PRODUCTION, SANDBOX, QuickBooksSettings, error_of
from connectors.quickbooks.connector import QuickBooks
from connectors.quickbooks.deliveries import Event, legacy
from connectors.quickbooks.mapping import ATTEMPTS, numbered
from connectors.quickbooks.sandbox import QuickBooksSandbox, create
from connectors.sandbox import running
from connectors.testing import Mirror

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
KEYS = (f"5b0e3a1e-0c5e-4f0b-9b57-{n:012d}" for n in itertools.count(1))


@dataclass
class World:
    """A sandbox that is served, and connectors to it. Sleeping lets its clock pass."""

    url: str
    box: QuickBooksSandbox = field(default_factory=create)
    slept: list[float] = field(default_factory=list)
    stored: dict[str, str] = field(default_factory=dict)
    locks: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watched = Watched(self.box.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.watched(scope, receive, send)

    def serve(self, **options: Any) -> QuickBooksSandbox:
        self.box = create(clock=lambda: START, **options)
        self.watched = Watched(self.box.app)
        self.slept, self.stored, self.given, self.memory = [], {}, self.box.settings(self.url), {}
        return self.box

    def open(self, **settings: Any) -> QuickBooks:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.box.advance(seconds)

        @contextmanager
        def renewing() -> Iterator[Mapping[str, str]]:
            self.locks += 1
            yield dict(self.stored)

        context = Context(
            now=self.box.clock,
            sleep=sleep,
            random=lambda: 0.5,
            memory=dict(self.memory),
            save_secrets=self.stored.update,
            renewing=renewing,
        )
        opened = CONNECTOR.open(CONNECTOR.settings(**{**self.given, **settings}), context)
        assert isinstance(opened, QuickBooks)
        return opened

    def webhook(self, style: Any = "legacy") -> None:
        """What happened is told, and remembered as the daemon does."""
        self.memory |= merges.told(self.box.webhook(style=style).body, self.memory)

    def log(self, act: Callable[[], Any]) -> list[str]:
        """The requests that an act costs, tokens left out."""
        before = len(self.box.faults.log)
        act()
        return [line for line in self.box.faults.log[before:] if "/oauth2/" not in line]


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    made = World("")
    with running(made) as made.url:
        yield made


@pytest.fixture
def world(served: World) -> Iterator[World]:
    served.serve()
    yield served
    assert served.watched.violations == []


def ann(given: str = "Ann", surname: str = "Weiss", **more: Any) -> Card:
    return {
        "name": {"components": components({"given": given, "surname": surname})},
        "emails": {"e1": {"address": f"{given}@example.com".lower()}},
        **more,
    }


def creation(connector: QuickBooks, card: Card, key: str = "") -> Push:
    key = key or next(KEYS)
    return Push(ref=key, key=key, held=None, card=connector.fit(card, None))


def only(outcomes: Iterator[Outcome]) -> Outcome:
    [outcome] = outcomes
    return outcome


def made(connector: QuickBooks, card: Card) -> Record:
    return got(only(connector.write([creation(connector, card)])))


def got(outcome: Outcome) -> Record:
    assert outcome.error is None, outcome.error
    assert outcome.record is not None
    return outcome.record


def edit(held: Record, **fields: Any) -> Push:
    return Push(ref=held.id, key=next(KEYS), held=held, card={**(held.card or {}), **fields})


def named(given: str, surname: str = "Weiss") -> dict[str, Any]:
    return {"components": components({"given": given, "surname": surname})}


def read(connector: QuickBooks, *ids: str) -> list[Record]:
    return list(connector.read(ids))


def displays(box: QuickBooksSandbox, entity: str = "Customer") -> list[str]:
    return [row["DisplayName"] for row in box.rows(entity)]


def shown(pages: Sequence[Page]) -> dict[str, bool]:
    """{id: is it there?} of all records that the pages bring."""
    return {record.id: record.card is not None for page in pages for record in page.records}


# --- settings and the account


def test_settings_say_what_is_wrong() -> None:
    given = {"client_id": "a", "client_secret": "b"}
    assert QuickBooksSettings(**given).base == PRODUCTION
    assert QuickBooksSettings(**given, sandbox=True).base == SANDBOX
    assert QuickBooksSettings(**given, sandbox=True, url="http://127.0.0.1:1/").base == "http://127.0.0.1:1"
    for wrong in ({"url": "quickbooks"}, {"entities": ()}, {"entities": ("Vendor",)}, {"entities": ("Customer",) * 2}):
        with pytest.raises(ValidationError):
            QuickBooksSettings(**given, **wrong)
    assert "entities" not in QuickBooksSettings.tuning, "without vendors, vendors would look deleted"


def test_the_account_says_which_company_it_is(world: World) -> None:
    world.box.seed([{"DisplayName": "a"}, {"DisplayName": "b"}])
    account = world.open().check()
    assert account.label == "Sandbox Company_US_1 in QuickBooks Online (2 customers, 0 vendors)"
    assert account.clock == START


def test_without_a_company_nothing_is_asked(world: World) -> None:
    connector = world.open(realm_id="")
    with pytest.raises(Unauthorised, match="realm_id"):
        connector.check()
    assert world.box.faults.log == []


def test_another_company_needs_another_consent(world: World) -> None:
    with pytest.raises(Unauthorised, match="realm_id"):
        world.open(realm_id="1").check()


# --- reading


def test_customers_and_vendors_are_records_of_their_own(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    world.box.seed([{"GivenName": "Vera"}], "Vendor")
    pages = list(world.open().changes(None))
    assert shown(pages) == {"Customer/1": True, "Vendor/1": True}
    assert shown(list(world.open(entities=("Customer",)).changes(None))) == {"Customer/1": True}
    both = read(world.open(), "Vendor/1", "Customer/1", "Vendor/9", "Horse/1", "Customer/'")
    assert {record.id: record.card is not None for record in both} == {
        "Vendor/1": True,
        "Customer/1": True,
        "Vendor/9": False,
        "Horse/1": False,
        "Customer/'": False,
    }


def test_a_record_has_its_version_and_its_time(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    world.box.advance(60)
    world.box.edit("Customer", "1", Notes="n")
    [record] = read(world.open(), "Customer/1")
    assert (record.version, record.modified) == ("1", world.box.clock())


def test_inactive_is_deleted_and_active_again_is_back(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.advance(600)
    world.box.archive("Customer", "1")
    assert mirror.pull().gone == {"Customer/1"}
    assert [record.card for record in read(mirror.connector, "Customer/1")] == [None]
    world.box.advance(600)
    world.box.restore("Customer", "1")
    assert set(mirror.pull().changed) == {"Customer/1"}
    assert shown(list(world.open().changes(None))) == {"Customer/1": True, "Customer/2": True}


def test_inactive_ones_are_not_in_a_listing(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}])
    world.box.archive("Customer", "1")
    pages = list(world.open().changes(None))
    assert shown(pages) == {"Customer/2": True}
    assert pages[-1].complete


@pytest.mark.parametrize("merged", ["vanish", "inactive"])
def test_a_merged_record_is_found_out(world: World, merged: str) -> None:
    world.serve(merged=merged)
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.advance(600)
    world.box.merge("Customer", "1", "2")
    assert mirror.pull().gone == (set() if merged == "vanish" else {"Customer/2"})
    world.box.advance(24 * 3600)
    news = mirror.pull()
    assert news.pages[-1].complete, "everything is listed once a day"
    assert mirror.known.keys() == {"Customer/1"}


@pytest.mark.parametrize("style", ["legacy", "cloudevents"])
@pytest.mark.parametrize("merged", ["vanish", "inactive"])
def test_a_merge_that_a_webhook_told_is_followed_and_told_once(world: World, merged: str, style: str) -> None:
    world.serve(merged=merged)
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}, {"GivenName": "Cy"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.webhook()
    world.box.advance(600)
    world.box.merge("Customer", "1", "2")
    world.box.merge("Customer", "3", "1")
    world.webhook(style)
    mirror.connector = world.open()
    news = mirror.pull()
    [first, *_] = news.pages
    assert [(record.id, [*record.aliases]) for record in first.records] == [
        ("Customer/3", ["Customer/2", "Customer/1"])
    ]
    assert first.records[0].card == read(world.open(), "Customer/3")[0].card
    mirror.pull()
    costs = world.log(lambda: mirror.pull())
    assert len(costs) == 1, f"it is told once: {costs}"


def test_a_merge_is_looked_up_before_it_is_believed(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.memory = {"merged": {world.box.realm: {"Customer/2": "Customer/1"}, "another": {"Customer/1": "Customer/2"}}}
    mirror.connector = world.open()
    assert not [record for page in mirror.pull().pages for record in page.records if record.aliases]
    world.box.archive("Customer", "2")
    [told] = [record for page in mirror.pull().pages for record in page.records if record.aliases]
    assert (told.id, told.aliases) == ("Customer/1", ["Customer/2"])


def test_a_merge_that_never_shows_is_forgotten_with_the_next_listing(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}, {"GivenName": "Bo"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.memory = {"merged": {world.box.realm: {"Customer/2": "Customer/1"}}}
    mirror.connector = world.open()
    assert len(world.log(lambda: mirror.pull())) == 2
    world.box.advance(24 * 3600)
    mirror.pull()
    assert len(world.log(lambda: mirror.pull())) == 1


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{}", b'[{"type": "qbo.customer.merged.v1"}]', b'{"eventNotifications": [7]}']
)
def test_a_webhook_of_another_shape_tells_of_no_merge(body: bytes) -> None:
    assert merges.told(body, {}) == {}


def test_of_a_company_so_many_merges_are_remembered() -> None:
    memory: dict[str, Any] = {}
    for number in range(1, merges.MOST + 3):
        event = Event("Vendor", "1000", "Merge", "2026-01-01T00:00:00Z", str(number))
        memory |= merges.told(json.dumps(legacy("r", [event])).encode(), memory)
    assert len(memory["merged"]["r"]) == merges.MOST
    assert [*memory["merged"]["r"]][-1] == f"Vendor/{merges.MOST + 2}"


def test_silence_costs_one_request(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    mirror = Mirror(world.open())
    mirror.pull()
    assert world.log(lambda: mirror.pull()) == [
        f"GET /v3/company/{world.box.realm}/cdc?entities=Customer%2CVendor&changedSince=2026-11-22T01%3A42%3A03Z"
        "&minorversion=75"
    ]


def test_what_the_overlap_shows_again_is_no_news(world: World) -> None:
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.seed([{"GivenName": "Ann"}])
    assert set(mirror.pull().changed) == {"Customer/1"}
    assert mirror.pull().shown == []
    world.box.edit("Customer", "1", Notes="within the same second")
    assert set(mirror.pull().changed) == {"Customer/1"}
    world.box.archive("Customer", "1")
    assert mirror.pull().gone == {"Customer/1"}
    assert mirror.pull().shown == []


def test_a_write_that_shows_late_with_an_earlier_time_is_not_missed(world: World) -> None:
    """It was under way while CDC was asked."""
    mirror = Mirror(world.open())
    world.box.advance(300)
    mirror.pull()
    [late] = world.box.seed([{"GivenName": "Ann"}])
    entry = world.box.books.entry("Customer", late)
    entry.updated = world.box.clock() - changes.OVERLAP / 2
    world.box.advance(300)
    assert set(mirror.pull().changed) == {f"Customer/{late}"}


def test_at_its_limit_cdc_is_asked_by_entity(world: World) -> None:
    world.serve(cap=1000)
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.advance(600)
    world.box.seed({"GivenName": f"A{n}"} for n in range(600))
    world.box.seed(({"GivenName": f"V{n}"} for n in range(400)), "Vendor")
    requests = world.log(lambda: mirror.pull())
    asked = [parse_qs(urlsplit(line.split()[1]).query)["entities"] for line in requests]
    assert asked == [["Customer,Vendor"], ["Customer"], ["Vendor"]]
    assert len(mirror.known) == 1000


def test_where_one_entity_fills_cdc_all_is_listed_at_once(world: World) -> None:
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.advance(600)
    world.box.seed({"GivenName": f"A{n}"} for n in range(1_100))
    requests = world.log(lambda: mirror.pull())
    assert [line.split("?")[0].rpartition("/")[2] for line in requests] == ["cdc"] * 3 + ["query"] * 3
    assert len(mirror.known) == 1_100
    world.box.advance(600)
    assert mirror.pull().shown == [], "what the overlap shows again is listed by name only"
    world.box.advance(600)
    assert len(world.log(lambda: mirror.pull())) == 1


def test_an_inactive_record_is_not_listed_as_being_there(world: World) -> None:
    world.serve(cap=1000)
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.seed({"GivenName": f"A{n}"} for n in range(3))
    world.box.archive("Customer", "2")
    mirror.pull()
    world.box.seed({"GivenName": f"B{n}"} for n in range(1000))
    news = mirror.pull()
    assert news.pages[-1].complete
    assert "Customer/2" not in news.named
    assert "Customer/1" in news.named
    assert len(mirror.known) == 1002


def test_a_place_older_than_cdc_looks_back_is_expired(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    connector = world.open(full_every=10_000)
    cursor = list(connector.changes(None))[-1].cursor
    world.box.advance(28 * 86_400)
    list(connector.changes(cursor))
    world.box.advance(2 * 86_400)
    asked = len(world.box.faults.log)
    with pytest.raises(CursorExpired, match="30 days"):
        list(connector.changes(cursor))
    assert len(world.box.faults.log) == asked


def test_cdc_that_refuses_a_place_makes_it_expired(world: World) -> None:
    connector = world.open()
    cursor = list(connector.changes(None))[-1].cursor
    world.box.fail("GET /cdc", "2500", "changedSince may not be more than 30 days ago")
    with pytest.raises(CursorExpired):
        list(connector.changes(cursor))


def test_a_place_is_bound_to_the_entities(world: World) -> None:
    cursor = list(world.open().changes(None))[-1].cursor
    for other in (None, {**cursor, "since": "yesterday"}, {**cursor, "v": 0}):
        if other is not None:
            with pytest.raises(CursorExpired):
                list(world.open().changes(other))
    with pytest.raises(CursorExpired):
        list(world.open(entities=("Customer",)).changes(cursor))


@pytest.mark.parametrize("text_ids", [False, True])
def test_a_listing_survives_rows_that_move(world: World, monkeypatch: pytest.MonkeyPatch, text_ids: bool) -> None:
    """A merged record vanishes from a page that was read already: all later rows move up."""
    monkeypatch.setattr(changes, "PAGE", 5)
    world.serve(text_ids=text_ids)
    world.box.seed({"GivenName": f"A{n}"} for n in range(1, 23))
    pages = world.open(entities=("Customer",)).changes(None)
    seen = shown([next(pages), next(pages)])
    for loser in ("2", "3", "4"):
        world.box.merge("Customer", "1", loser)
    world.box.seed([{"GivenName": "New"}])
    rest = list(pages)
    assert rest[-1].complete
    there = {f"Customer/{row['Id']}" for row in world.box.rows()}
    assert there - {"Customer/23"} <= seen.keys() | shown(rest).keys()
    names = [record.id for page in rest for record in page.records]
    assert len(names) == len(set(names))


def test_a_list_that_never_rests_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PAGE", 2)
    world.box.seed({"GivenName": f"A{n}"} for n in range(1, 6))
    connector = world.open(entities=("Customer",))
    monkeypatch.setattr(connector._client, "query", _restless(connector._client.query))
    with pytest.raises(Unreachable, match="changes while it is read"):
        list(connector.changes(None))


def _restless(query: Callable[[str], Any]) -> Callable[[str], Any]:
    numbers = itertools.count(100)

    def answer(statement: str) -> Any:
        found = query(statement)
        rows = [{**row, "Id": str(next(numbers))} for row in found.get("Customer", ())]
        return {"Customer": rows}

    return answer


def test_a_listing_that_broke_off_has_no_place(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    pages = list(world.open().changes(None))
    assert [page.cursor is None for page in pages] == [True] * (len(pages) - 1) + [False]
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]


# --- writing


def test_writes_of_thirty_are_one_request(world: World) -> None:
    connector = world.open()
    pushes = [creation(connector, ann(f"A{n}")) for n in range(30)]
    assert len(world.log(lambda: [got(o) for o in connector.write(pushes)])) == 1
    held = {record.id: record for record in read(connector, *(f"Customer/{n}" for n in range(1, 31)))}
    edits = [edit(record, name=named(f"B{n}")) for n, record in enumerate(held.values())]
    assert len(world.log(lambda: [got(o) for o in connector.write(edits)])) == 1
    assert sorted(displays(world.box)) == sorted(f"B{n} Weiss" for n in range(30))
    gone = [Push(r.id, "k", r, None) for r in read(connector, *held)]
    assert len(world.log(lambda: [got(o) for o in connector.write(gone)])) == 2, "they are looked at first"


def test_only_what_differs_is_sent_and_what_is_not_sent_stays(world: World) -> None:
    world.box.seed([{"GivenName": "Ann", "FamilyName": "Weiss", "ResaleNum": "R1", "Notes": "theirs"}])
    connector = world.open()
    [held] = read(connector, "Customer/1")
    record = got(only(connector.write([edit(held, emails={"e": {"address": "a@example.com"}})])))
    assert world.watched.bodies[-1] == (
        "customer",
        {"Id": "1", "SyncToken": "0", "sparse": True, "PrimaryEmailAddr": {"Address": "a@example.com"}},
    )
    row = world.box.row("Customer", "1")
    assert (row["ResaleNum"], row["Notes"], record.version) == ("R1", "theirs", "1")


def test_new_ones_become_what_the_settings_say(world: World) -> None:
    vendor = made(world.open(create_as="Vendor"), ann("Vera"))
    customer = made(world.open(), ann("Cora"))
    assert (vendor.id, customer.id) == ("Vendor/1", "Customer/1")


def test_a_vendor_is_written_as_a_vendor(world: World) -> None:
    world.box.seed([{"GivenName": "Vera", "FamilyName": "Weiss", "AcctNum": "7"}], "Vendor")
    connector = world.open()
    [held] = read(connector, "Vendor/1")
    assert got(only(connector.write([edit(held, name=named("Vera", "Rot"))]))).id == "Vendor/1"
    assert displays(world.box, "Vendor") == ["Vera Rot"]
    assert world.box.row("Vendor", "1")["AcctNum"] == "7"
    assert displays(world.box) == []


def test_a_name_that_is_taken_gets_a_mark_that_nobody_sees(world: World) -> None:
    world.box.seed([{"GivenName": "Ann", "FamilyName": "Weiss"}], "Vendor")
    world.box.employ("Acme")
    connector = world.open()
    pushes = [creation(connector, ann()), creation(connector, ann()), creation(connector, {"name": {"full": "Acme"}})]
    records = [got(outcome) for outcome in connector.write(pushes)]
    names = sorted(displays(world.box))
    assert [name[:-5] for name in names] == ["Acme ", "Ann Weiss ", "Ann Weiss "]
    assert len(set(names)) == 3
    by_ref = {record.id: record for record in records}
    assert all("~" not in str(record.card) for record in by_ref.values())
    assert {"full": "Acme"} in [(record.card or {})["name"] for record in records]


def test_a_mark_is_neither_read_back_nor_pushed_for_ever(world: World) -> None:
    world.box.seed([{"GivenName": "Ann", "FamilyName": "Weiss"}])
    connector = world.open()
    held = made(connector, ann())
    mirror = Mirror(connector)
    mirror.pull()
    assert mirror.known[held.id].card == held.card
    assert world.log(lambda: [got(o) for o in connector.write([edit(held)])]) == []
    fitted = connector.fit(held.card or {}, held.card)
    assert fitted == held.card
    body = world.log(
        lambda: got(only(connector.write([edit(held, notes={"n": {"note": "x", "concord:slot": "Notes"}})])))
    )
    assert len(body) == 1
    assert "DisplayName" not in world.watched.bodies[-1][1]


def test_a_rename_into_a_taken_name_gets_a_mark_and_drops_it_when_free(world: World) -> None:
    world.box.seed([{"GivenName": "Bea", "FamilyName": "Weiss"}, {"GivenName": "Ann", "FamilyName": "Weiss"}])
    connector = world.open()
    [held] = read(connector, "Customer/2")
    held = got(only(connector.write([edit(held, name=named("Bea"))])))
    assert displays(world.box)[1].startswith("Bea Weiss ~")
    held = got(only(connector.write([edit(held, name=named("Cleo"))])))
    assert displays(world.box)[1] == "Cleo Weiss"


def test_where_even_marks_are_taken_the_record_is_refused(world: World) -> None:
    connector = world.open()
    push = creation(connector, ann())
    for attempt in range(ATTEMPTS):
        world.box.employ(numbered("Ann Weiss", push.key, attempt))
    outcome = only(connector.write([push]))
    assert isinstance(outcome.error, Refused)
    assert "has this name" in str(outcome.error)


def test_a_card_that_says_nothing_is_refused_without_a_request(world: World) -> None:
    connector = world.open()
    requests = world.log(lambda: list(connector.write([creation(connector, {})])))
    assert requests == []
    assert isinstance(only(connector.write([creation(connector, {})])).error, Refused)


def test_a_job_is_kept_up_to_date_and_never_renamed(world: World) -> None:
    world.box.seed([{"DisplayName": "Ann"}, {"DisplayName": "Kitchen", "Job": True, "ParentRef": {"value": "1"}}])
    connector = world.open()
    [held] = read(connector, "Customer/2")
    assert held.card == {"name": {"full": "Kitchen"}}
    assert got(only(connector.write([edit(held, name={"full": "Bath"})]))) == held
    got(only(connector.write([edit(held, name=named("Bo"), emails={"e": {"address": "b@example.com"}})])))
    row = world.box.row("Customer", "2")
    assert (row["DisplayName"], row["FullyQualifiedName"], row["GivenName"]) == ("Kitchen", "Ann:Kitchen", "Bo")


def test_their_edit_makes_ours_stale_and_is_kept(world: World) -> None:
    connector = world.open()
    one, other = made(connector, ann("Ann")), made(connector, ann("Bea"))
    world.box.edit("Customer", "1", Notes="theirs")
    outcomes = {o.ref: o for o in connector.write([edit(one, name=named("X")), edit(other, name=named("Y"))])}
    assert isinstance(outcomes[one.id].error, Stale)
    assert got(outcomes[other.id]).version == "1"
    assert world.box.row("Customer", "1")["GivenName"] == "Ann"


def test_an_archived_record_is_missing_and_stays_so(world: World) -> None:
    connector = world.open()
    one, other = made(connector, ann("Ann")), made(connector, ann("Bea"))
    world.box.archive("Customer", "1")
    outcomes = {o.ref: o for o in connector.write([edit(one, name=named("X")), edit(other, name=named("Y"))])}
    assert isinstance(outcomes[one.id].error, Missing)
    assert outcomes[other.id].error is None
    assert not world.box.row("Customer", "1")["Active"]


def test_deleting_is_archiving_and_frees_the_name(world: World) -> None:
    connector = world.open()
    held = made(connector, ann())
    record = got(only(connector.write([Push("r", "k", held, None)])))
    assert (record.id, record.card) == (held.id, None)
    row = world.box.row("Customer", "1")
    assert (row["Active"], row["PrimaryEmailAddr"]) == (False, {"Address": "ann@example.com"})
    assert made(connector, ann()).id == "Customer/2"


def test_who_owes_is_not_archived(world: World) -> None:
    connector = world.open()
    held = made(connector, ann())
    world.box.amend("Customer", "1", Balance=Decimal("85.10"))
    [held] = read(connector, "Customer/1")
    outcome = only(connector.write([Push("r", "k", held, None)]))
    assert isinstance(outcome.error, Refused)
    assert "85.10" in str(outcome.error)
    assert world.box.row("Customer", "1")["Active"]


def test_a_deletion_of_what_changed_meanwhile_is_stale(world: World) -> None:
    connector = world.open()
    held = made(connector, ann())
    world.box.edit("Customer", "1", Notes="theirs")
    assert isinstance(only(connector.write([Push("r", "k", held, None)])).error, Stale)
    assert world.box.row("Customer", "1")["Active"]


def test_what_is_gone_is_deleted_already(world: World) -> None:
    connector = world.open()
    held = made(connector, ann())
    world.box.archive("Customer", "1")
    assert len(world.log(lambda: got(only(connector.write([Push("r", "k", held, None)]))))) == 1


@pytest.mark.parametrize("archived", [False, True])
def test_who_is_forgotten_is_blanked_and_archived(world: World, archived: bool) -> None:
    world.box.seed([{"DisplayName": "Ann W", "GivenName": "Ann", "Notes": "n", "BillAddr": {"Line1": "x"}}])
    connector = world.open()
    [held] = read(connector, "Customer/1")
    if archived:
        world.box.archive("Customer", "1")
    got(only(connector.write([Push("r", "k", held, None, erase=True)])))
    row = world.box.row("Customer", "1")
    assert not row["Active"]
    assert row.keys() & {"GivenName", "Notes", "PrimaryEmailAddr"} == set()
    assert "Line1" not in row.get("BillAddr", {})
    assert row["DisplayName"] == "Ann W (deleted)"


def test_one_bad_apple_does_not_spoil_a_batch(world: World) -> None:
    connector = world.open()
    bad = Push("bad", next(KEYS), None, {"name": {"full": "x" * 501}, "links": {}})
    world.box.fail("POST /batch", "2010", "Request has invalid property")
    good = creation(connector, ann())
    outcomes = {o.ref: o for o in connector.write([bad, good])}
    assert got(outcomes[good.ref]).id
    assert len(world.box.rows()) == 2, "a batch refused as a whole is sent one by one"


def test_an_item_that_is_throttled_ends_the_run_and_counts_as_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = world.open()
    pushes = [creation(connector, ann("Ann")), creation(connector, ann("Bea"))]
    batch = connector._client.batch

    def throttled(items: Any, request: str) -> Any:
        answers = batch(items[:1], request)
        return {**answers, items[1].name: Throttled("enough", 60.0)}

    monkeypatch.setattr(connector._client, "batch", throttled)
    told: list[str] = []
    with pytest.raises(Throttled):
        told.extend(outcome.ref for outcome in connector.write(pushes))
    assert told == [pushes[0].ref]


# --- creates whose answer is lost


def test_a_lost_create_is_found_by_its_name_and_content(world: World) -> None:
    connector = world.open()
    push = creation(connector, ann())
    world.box.faults.add("lost_after", "POST .*/customer")
    assert isinstance(only(connector.write([push])).error, Uncertain)
    [(ref, record)] = connector.find([push])
    assert (ref, record.id) == (push.ref, "Customer/1")


def test_a_lost_create_with_a_mark_is_found_by_the_mark(world: World) -> None:
    world.box.seed([{"GivenName": "Ann", "FamilyName": "Weiss", "PrimaryEmailAddr": {"Address": "ann@example.com"}}])
    world.box.edit("Customer", "1", Notes="somebody else")
    connector = world.open()
    push = creation(connector, ann())
    world.box.faults.add("lost_after", "POST .*/customer", skip=1)
    assert isinstance(only(connector.write([push])).error, Uncertain)
    world.box.edit("Customer", "2", Notes="edited since")
    [(_, record)] = connector.find([push])
    assert record.id == "Customer/2"


@pytest.mark.parametrize(
    "other",
    [
        {"GivenName": "Ann", "FamilyName": "Weiss"},
        {"GivenName": "Ann", "FamilyName": "Weiss", "PrimaryEmailAddr": {"Address": "other@example.com"}},
    ],
)
def test_somebody_of_the_same_name_is_not_found(world: World, other: dict[str, Any]) -> None:
    world.box.seed([other])
    connector = world.open()
    assert list(connector.find([creation(connector, ann())])) == []


def test_a_namesake_that_was_edited_is_not_ours(world: World) -> None:
    connector = world.open()
    made(connector, ann())
    world.box.edit("Customer", "1", Notes="has a life of its own")
    assert list(connector.find([creation(connector, ann())])) == []


def test_names_are_looked_for_whatever_is_in_them(world: World) -> None:
    connector = world.open()
    push = creation(connector, {"name": {"full": 'O\'Brien \\ "Nord" & Söhne, 100 %'}})
    got(only(connector.write([push])))
    assert [record.id for _, record in connector.find([push])] == ["Customer/1"]


def test_a_lost_batch_is_uncertain_and_found_again(world: World) -> None:
    connector = world.open()
    pushes = [creation(connector, ann(f"A{n}")) for n in range(3)]
    world.box.faults.add("error_after", "POST .*/batch")
    assert all(isinstance(outcome.error, Uncertain) for outcome in connector.write(pushes))
    assert {ref for ref, _ in connector.find(pushes)} == {push.ref for push in pushes}


def test_a_create_that_is_sent_again_is_answered_as_the_first_time(world: World) -> None:
    connector = world.open()
    push = creation(connector, ann())
    world.box.faults.add("lost_after", "POST .*/customer")
    assert isinstance(only(connector.write([push])).error, Uncertain)
    assert got(only(connector.write([push]))).id == "Customer/1"
    assert len(world.box.rows()) == 1
    first, second = (line for line in world.box.faults.log if "/customer?" in line)
    assert first == second


def test_an_old_answer_is_not_taken_for_a_new_record(world: World) -> None:
    """The same content was created before, and archived since: its request is answered with what is gone."""
    connector = world.open()
    push = creation(connector, ann())
    held = got(only(connector.write([push])))
    got(only(connector.write([Push("r", push.key, held, None)])))
    world.box.advance(86_400)
    again = got(only(connector.write([push])))
    assert again.id == "Customer/2"
    assert world.box.row("Customer", "2")["Active"]


def test_an_edit_back_and_forth_is_written_each_time(world: World) -> None:
    connector = world.open()
    held = made(connector, ann())
    for given in ("Bea", "Ann", "Bea", "Ann"):
        held = got(only(connector.write([Push("r", "k", held, {**(held.card or {}), "name": named(given)})])))
        assert displays(world.box) == [f"{given} Weiss"]


# --- errors


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_its_reaction(code: str) -> None:
    error = error_of({"Error": [{"code": code, "Detail": "why", "element": "Line"}]}, "; intuit_tid 1-2")
    assert isinstance(error, CODES[code][0])
    assert "intuit_tid 1-2" in str(error)
    assert "why" in str(error)
    assert type(error_of({"error": [{"code": code.zfill(6), "detail": "why"}]})) is type(error)


def test_an_unknown_failure_is_a_refusal() -> None:
    assert type(error_of({"Error": [{"code": "2050", "Detail": "too long"}]})) is Refused
    assert type(error_of({})) is Refused


def test_a_failure_with_status_200_is_a_failure(world: World) -> None:
    connector = world.open()
    push = creation(connector, ann())
    world.box.fail("POST /customer", "6000", "A business validation error: closed books", status=200)
    outcome = only(connector.write([push]))
    assert isinstance(outcome.error, Refused)
    assert "closed books" in str(outcome.error)
    assert "intuit_tid 1-" in str(outcome.error)
    world.box.fail("POST /query", "10000", "An application error has occurred", status=200, times=9)
    with pytest.raises(Unreachable):
        read(connector, "Customer/1")


def test_the_minute_is_waited_for(world: World) -> None:
    world.serve(per_minute=3)
    world.box.seed({"GivenName": f"A{n}"} for n in range(5))
    connector = world.open()
    for _ in range(7):
        read(connector, "Customer/1")
    assert world.slept == [60.0, 60.0]


def test_batches_have_a_quota_of_their_own(world: World) -> None:
    connector = world.open(rate=8.0)
    assert connector._client._batches._budget is not None
    assert connector._client._batches._budget._rate * 60 == pytest.approx(38.4)
    assert connector._client._http._budget is not None
    assert connector._client._http._budget._rate * 60 <= 500


# --- tokens


def test_a_new_refresh_token_is_stored_before_it_is_used(world: World) -> None:
    world.serve(rotate="always")
    connector = world.open()
    connector.check()
    first = world.stored["refresh_token"]
    assert first in world.box.oauth.refreshes
    world.box.advance(3600)
    connector.check()
    assert world.stored["refresh_token"] != first
    assert world.stored["refresh_token"] in world.box.oauth.refreshes
    world.open().check()


def test_a_token_that_dies_early_is_renewed_once(world: World) -> None:
    connector = world.open()
    connector.check()
    world.box.oauth.expire()
    connector.check()
    world.box.oauth.revoke()
    with pytest.raises(Unauthorised, match="consent"):
        connector.check()


def test_access_that_was_taken_back_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    connector = world.open()
    world.box.oauth.revoke()
    with caplog.at_level(logging.DEBUG), pytest.raises(Unauthorised, match="five years") as told:
        connector.check()
    for secret in (world.given["refresh_token"], world.given["client_secret"]):
        assert secret not in str(told.value)
        assert secret not in caplog.text


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def landing(link: str) -> str:
    """Where the browser is sent once the user said yes."""
    try:
        build_opener(_Stay).open(link)
    except HTTPError as answer:
        return str(answer.headers["location"])
    raise AssertionError("no redirect came")


def test_consent_brings_the_company_with_the_tokens(world: World) -> None:
    settings = {**world.given, "refresh_token": "", "realm_id": ""}
    context = Context(now=world.box.clock, sleep=world.box.advance, random=lambda: 0.5)
    granted = loopback.consent(OAUTH, settings, landing, context)
    assert granted["realm_id"] == world.box.realm
    assert world.open(**granted).check().clock == START


def test_a_pasted_code_leaves_the_company_to_the_settings(world: World) -> None:
    context = Context(now=world.box.clock, sleep=world.box.advance, random=lambda: 0.5)

    def code(link: str) -> str:
        return parse_qs(urlsplit(landing(link)).query)["code"][0]

    assert set(loopback.consent(OAUTH, world.given, code, context)) == {"refresh_token"}


# --- purchases


def sold(connector: QuickBooks, cursor: Any = None) -> tuple[list[Sales], Any]:
    assert isinstance(connector, Seller)
    steps = list(connector.purchases(cursor))
    return steps, steps[-1].cursor


def test_purchases_are_told_once_and_then_as_they_change(world: World) -> None:
    world.box.seed([{"GivenName": "Ann"}])
    line = {"Amount": Decimal("85.10"), "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 1}}
    invoice = world.box.issue("Invoice", "1", TotalAmt=Decimal("85.10"), Balance=Decimal("85.10"), Line=[line])
    world.box.issue("SalesReceipt", "1", TotalAmt=Decimal("5.00"), Balance=0, CurrencyRef={"value": "EUR"})
    world.box.issue("CreditMemo", "1", TotalAmt=Decimal("3"), RemainingCredit=Decimal("3"))
    connector = world.open()
    steps, cursor = sold(connector)
    found = {p.id: p for step in steps for p in step.purchases}
    assert {key: (str(p.total), p.state, p.currency) for key, p in found.items()} == {
        "Invoice/1": ("85.10", "open", "USD"),
        "SalesReceipt/1": ("5.00", "paid", "EUR"),
        "CreditMemo/1": ("-3", "open", "USD"),
    }
    assert {p.record for p in found.values()} == {"Customer/1"}
    world.box.advance(600)
    steps, cursor = sold(connector, cursor)
    assert [step.purchases for step in steps] == [[]]
    world.box.amend("Invoice", invoice, Balance=Decimal("0.00"))
    steps, cursor = sold(connector, cursor)
    assert [(p.id, p.state) for step in steps for p in step.purchases] == [("Invoice/1", "paid")]
    world.box.void("Invoice", invoice)
    steps, cursor = sold(connector, cursor)
    assert [(p.id, p.state) for step in steps for p in step.purchases] == [("Invoice/1", "void")]
    world.box.remove("Invoice", invoice)
    steps, cursor = sold(connector, cursor)
    assert [step.gone for step in steps] == [["Invoice/1"]]
    assert len(world.log(lambda: sold(connector, cursor))) == 1


def test_more_purchases_than_can_be_told_are_read_anew(world: World) -> None:
    world.serve(cap=5)
    connector = world.open()
    _, cursor = sold(connector)
    for _ in range(1_000):
        world.box.issue("Invoice", "1", TotalAmt=1, Balance=1)
    world.box.options.cap = 1000
    with pytest.raises(CursorExpired):
        sold(connector, cursor)
    steps, _ = sold(connector)
    assert sum(len(step.purchases) for step in steps) == 1_000


def test_a_broken_answer_is_never_news(world: World) -> None:
    connector = world.open()
    cursor = list(connector.changes(None))[-1].cursor
    for kind in ("html", "unavailable"):
        world.box.faults.add(kind, "/cdc", times=9)
        with pytest.raises(Error) as told:
            list(connector.changes(cursor))
        assert isinstance(told.value, Unreachable)
        world.box.faults.clear()


def test_tokens_are_shared_in_the_process(world: World) -> None:
    world.open().check()
    asked = len(world.box.faults.log)
    world.open().check()
    assert all("/oauth2/" not in line for line in world.box.faults.log[asked:])
    assert TOKENS is not None
