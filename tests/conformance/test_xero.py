"""The Xero connector against its sandbox, quirk by quirk (accounting note A). All traffic is held against Xero's
specification."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from xerospec import Watched

from connectors import loopback
from connectors.card import SLOT
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
from connectors.sandbox import running
from connectors.xero import CONNECTOR
from connectors.xero.connector import Xero
from connectors.xero.sandbox import XeroSandbox, create

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "0f8fad5b-d9cb-469f-a165-70867728950e"


@dataclass
class World:
    """A sandbox that is served, and connectors to it. Sleeping lets its clock pass."""

    box: XeroSandbox
    url: str
    watched: Watched
    settings: dict[str, Any]
    slept: list[float] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    opened: list[Xero] = field(default_factory=list)

    def context(self, stored: Mapping[str, str] | None = None) -> Context:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.box.advance(seconds)

        def count(method: str, sent: int, received: int) -> None:
            self.requests += 1

        return Context(
            now=self.box.clock,
            sleep=sleep,
            random=lambda: 0.5,
            requests=count,
            save_secrets=self.saved.update,
            renewing=lambda: nullcontext(stored or {}),
        )

    def open(self, *, stored: Mapping[str, str] | None = None, **settings: Any) -> Xero:
        opened = CONNECTOR.open(CONNECTOR.settings(**{**self.settings, **settings}), self.context(stored))
        assert isinstance(opened, Xero)
        self.opened.append(opened)
        return opened

    def cost(self, act: Callable[[], Any]) -> int:
        before = self.requests
        act()
        return self.requests - before

    def sent(self, operation: str) -> list[Any]:
        return [body for name, body in self.watched.bodies if name == operation]


Make = Callable[..., World]


@pytest.fixture
def world() -> Iterator[Make]:
    with ExitStack() as stack:
        made: list[World] = []

        def make(**options: Any) -> World:
            box = create(now=lambda: START, tick=0.001, **options)
            watched = Watched(box.app)
            url = stack.enter_context(running(watched))
            made.append(World(box, url, watched, box.settings(url)))
            return made[-1]

        yield make
        for xero in [xero for one in made for xero in one.opened]:
            xero.close()
        assert [violation for one in made for violation in one.watched.violations] == []


def pull(xero: Xero, cursor: Any = None) -> tuple[list[Record], Any]:
    """(all records, the cursor at the end)."""
    records: list[Record] = []
    for page in xero.changes(cursor):
        records += page.records
        cursor = page.cursor or cursor
    return records, cursor


def card(given: str = "Ann", surname: str = "Lee", **fields: Any) -> dict[str, Any]:
    components = [{"kind": "given", "value": given}, {"kind": "surname", "value": surname}]
    return {"name": {"components": components}, **fields}


def new(xero: Xero, ref: str, wanted: Mapping[str, Any], key: str = "") -> Push:
    return Push(ref, key or f"{KEY[:-4]}{int(ref):04}", None, xero.fit(wanted, None))


def change(record: Record, **fields: Any) -> Push:
    """An update of the record's card: these fields replaced."""
    return Push(record.id, "key", record, {**(record.card or {}), **fields})


def renamed(record: Record, given: str) -> Push:
    kept = [c for c in (record.card or {})["name"]["components"] if c["kind"] != "given"]
    return change(record, name={"components": [{"kind": "given", "value": given}, *kept]})


def one(outcomes: Iterator[Outcome]) -> Outcome:
    [outcome] = outcomes
    return outcome


def done(outcomes: Iterator[Outcome]) -> dict[str, Record]:
    found = {}
    for outcome in outcomes:
        assert outcome.error is None, outcome.error
        assert outcome.record is not None
        found[outcome.ref] = outcome.record
    return found


def failed(outcomes: Iterator[Outcome]) -> Error:
    error = one(outcomes).error
    assert error is not None
    return error


def read(xero: Xero, key: str) -> Record:
    [record] = xero.read([key])
    return record


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_full_listing_tells_that_it_is_whole_on_its_last_page(world: Make) -> None:
    there = world(seed=5, page_cap=2)
    got = list(there.open().changes(None))
    assert sum(len(page.records) for page in got) == 5
    assert [page.complete for page in got] == [False] * (len(got) - 1) + [True]
    assert got[0].total == 5


def test_a_quiet_run_costs_one_request(world: Make) -> None:
    there = world(seed=3)
    xero = there.open()
    _, cursor = pull(xero)
    assert there.cost(lambda: pull(xero, cursor)) == 1
    assert pull(xero, cursor)[0] == []


def test_the_last_minute_is_read_again_and_nothing_in_it_is_missed(world: Make) -> None:
    there = world()
    late, early = there.box.books.add(Name="Late"), there.box.books.add(Name="Early")
    there.box.advance(120)
    there.box.books.edit(early)
    xero = there.open()
    _, cursor = pull(xero)
    # A write of a minute ago that only becomes visible now.
    there.box.books.contacts[late] |= {
        "Name": "Later",
        "UpdatedDateUTC": there.box.books.contacts[early]["UpdatedDateUTC"],
    }
    [record], _ = pull(xero, cursor)
    assert record.id == late


def test_who_works_while_we_read_is_not_missed(world: Make) -> None:
    """A contact that changes moves to the end, and the next one slips into the page that was read."""
    there = world(page_cap=3)
    books = there.box.books
    ids = []
    for n in range(12):
        ids.append(books.add(Name=f"Firm {n}"))
        there.box.advance(5)
    seen: list[str] = []
    pages: list[Page] = []
    for n, page in enumerate(there.open().changes(None)):
        seen += [record.id for record in page.records]
        pages.append(page)
        if n < 3:
            books.edit(ids[n], EmailAddress=f"new{n}@x.test")
            there.box.advance(1)
    assert set(ids) == set(seen)
    assert pages[-1].complete


def test_many_changes_in_one_second_fill_pages_by_number(world: Make) -> None:
    there = world(page_cap=2)
    ids = {there.box.books.add(Name=f"Firm {n}") for n in range(7)}
    got = list(there.open().changes(None))
    assert {record.id for page in got for record in page.records} == ids
    assert sum(len(page.records) for page in got) == 7
    assert got[-1].complete


def test_a_listing_that_misses_contacts_is_not_whole(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world(seed=4)
    hidden = next(iter(there.box.books.contacts))
    xero = there.open()
    listing = xero._client.listing
    monkeypatch.setattr(
        xero._client,
        "listing",
        lambda *args: {
            **listing(*args),
            "Contacts": [r for r in listing(*args)["Contacts"] if r["ContactID"] != hidden],
        },
    )
    got = list(xero.changes(None))
    assert not any(page.complete for page in got)
    monkeypatch.undo()
    assert list(there.open().changes(got[-1].cursor))[-1].complete, "so it is read in whole at the next turn"


def test_a_busy_minute_is_not_read_for_ever(world: Make) -> None:
    there = world(seed=300)
    xero = there.open(page_size=100)
    _, cursor = pull(xero)
    assert there.cost(lambda: pull(xero, cursor)) > 1
    there.box.advance(900)
    _, cursor = pull(xero, cursor)
    assert there.cost(lambda: pull(xero, cursor)) == 1
    there.box.advance(900)
    ann = next(iter(there.box.books.contacts))
    there.box.books.edit(ann, EmailAddress="new@x.test")
    assert [record.id for record in pull(xero, cursor)[0]] == [ann]


def test_a_listing_out_of_order_is_read_by_number_and_keeps_its_place(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = world(seed=7, page_cap=2)
    xero = there.open()
    listing = xero._client.listing
    by_name = {"order": "Name DESC"}
    monkeypatch.setattr(
        xero._client, "listing", lambda name, params, since=None: listing(name, {**params, **by_name}, since)
    )
    got = list(xero.changes(None))
    assert sum(len(page.records) for page in got) == 7
    assert got[0].cursor["contacts"] == {"since": None, "recent": {}}
    assert got[-1].complete


def test_what_a_run_costs(world: Make) -> None:
    there = world(seed=1000)
    xero = there.open()
    xero.check()
    cursor: Any = None

    def run() -> None:
        nonlocal cursor
        _, cursor = pull(xero, cursor)

    assert there.cost(run) == 1
    assert there.cost(run) == 1
    ids = list(there.box.books.contacts)[:10]
    for key in ids:
        there.box.books.edit(key, EmailAddress="new@x.test")
    assert there.cost(run) == 1
    records = list(xero.read(ids))
    assert there.cost(lambda: done(xero.write([renamed(record, "Zoe" + record.id[:4]) for record in records]))) == 2
    creates = [new(xero, str(n), card(f"New{n}")) for n in range(1, 11)]
    assert there.cost(lambda: done(xero.write(creates))) == 2


def test_everything_is_read_again_once_a_day(world: Make) -> None:
    there = world(seed=3)
    xero = there.open()
    _, cursor = pull(xero)
    group = there.box.books.group("Friends", *there.box.books.contacts)
    there.box.advance(3600)
    assert pull(xero, cursor)[0] == [], "joining a group leaves no trace"
    there.box.advance(23 * 3600)
    records, later = pull(xero, cursor)
    assert [record.card["groups"] for record in records if record.card] == [{group: {"name": "Friends"}}] * 3
    assert later["full"] > cursor["full"]


def test_archived_is_gone_and_restored_is_back(world: Make) -> None:
    there = world(seed=2)
    ann, bob = there.box.books.contacts
    xero = there.open()
    _, cursor = pull(xero)
    there.box.books.archive(ann)
    records, cursor = pull(xero, cursor)
    assert [(record.id, record.card) for record in records] == [(ann, None)]
    assert read(xero, ann).card is None
    there.box.books.restore(ann)
    records, cursor = pull(xero, cursor)
    assert [record.id for record in records if record.card] == [ann]
    there.box.books.archive(bob)
    listed = list(there.open().changes(None))
    assert [record.id for page in listed for record in page.records] == [ann]
    assert listed[-1].complete


def test_a_merged_contact_is_an_alias_of_the_winner_even_if_that_did_not_change(world: Make) -> None:
    there = world(seed=4)
    ann, bob, cid, dora = there.box.books.contacts
    there.box.advance(3600)
    xero = there.open()
    _, cursor = pull(xero)
    there.box.books.merge(ann, bob)
    records, cursor = pull(xero, cursor)
    assert [(record.id, record.card is None, list(record.aliases)) for record in records] == [
        (ann, False, [bob]),
        (bob, True, []),
    ]
    there.box.advance(3600)
    there.box.books.merge(cid, ann)
    there.box.advance(1)
    there.box.books.merge(dora, cid)
    records, _ = pull(xero, cursor)
    assert {record.id: list(record.aliases) for record in records} == {dora: [ann, cid], ann: [], cid: []}
    listed, _ = pull(there.open(stored=there.saved))
    assert {record.id: sorted(record.aliases) for record in listed} == {dora: sorted([ann, bob, cid])}


def test_a_merge_into_what_is_archived_is_just_gone(world: Make) -> None:
    there = world(seed=2)
    ann, bob = there.box.books.contacts
    xero = there.open()
    _, cursor = pull(xero)
    there.box.books.merge(ann, bob)
    there.box.books.archive(ann)
    records, _ = pull(xero, cursor)
    assert {record.id: record.card for record in records} == {ann: None, bob: None}


def test_a_cursor_is_of_one_organisation(world: Make) -> None:
    there = world(tenants=("One", "Two"))
    _, cursor = pull(there.open())
    with pytest.raises(CursorExpired):
        pull(there.open(tenant="Two"), cursor)


def test_ids_that_were_never_there_are_deleted(world: Make) -> None:
    there = world(seed=60)
    wanted = [*there.box.books.contacts, KEY]
    xero = there.open()
    xero.check()
    records: list[Record] = []
    assert there.cost(lambda: records.extend(xero.read(wanted))) == 2
    assert [record.id for record in records if record.card is None] == [KEY]
    assert len(records) == 61


# --- names that must be unique ----------------------------------------------------------------------------------------


def test_a_second_ann_lee_gets_a_mark_that_nobody_sees(world: Make) -> None:
    there = world()
    there.box.books.add(Name="ann lee")
    xero = there.open()
    push = new(xero, "1", card())
    record = done(xero.write([push]))["1"]
    stored = there.box.books.contacts[record.id]
    assert stored["Name"].startswith("Ann Lee (")
    assert record.card == push.card
    assert "organizations" not in (record.card or {})
    assert xero.fit(card(), record.card) == push.card, "nothing is owed for it"
    # Writing something else leaves the mark; a new name does without.
    record = done(xero.write([change(record, phones={"p": {"number": "1", SLOT: "MOBILE"}})]))[record.id]
    assert there.box.books.contacts[record.id]["Name"] == stored["Name"]
    record = done(xero.write([renamed(record, "Berta")]))[record.id]
    assert there.box.books.contacts[record.id]["Name"] == "Berta Lee"


def test_the_mark_is_the_same_whenever_it_is_made(world: Make) -> None:
    names = set()
    for _ in range(2):
        there = world()
        there.box.books.add(Name="Ann Lee")
        xero = there.open()
        done(xero.write([new(xero, "1", card())]))
        names.add([c["Name"] for c in there.box.books.contacts.values()][-1])
    assert len(names) == 1


def test_namesakes_in_one_batch_all_come_in(world: Make) -> None:
    there = world()
    xero = there.open()
    records = done(
        xero.write([new(xero, str(n), card(emails={"e": {"address": f"a{n}@x.test"}})) for n in range(1, 4)])
    )
    assert len({record.id for record in records.values()}) == 3
    names = [contact["Name"] for contact in there.box.books.contacts.values()]
    assert names[0] == "Ann Lee"
    assert len(set(names)) == 3


def test_a_rename_to_a_taken_name_gets_a_mark_of_the_record(world: Make) -> None:
    there = world()
    there.box.books.add(Name="Berta Lee")
    ann = there.box.books.add(Name="Ann Lee", FirstName="Ann", LastName="Lee", ContactNumber="C-0815")
    xero = there.open()
    record = done(xero.write([renamed(read(xero, ann), "Berta")]))[ann]
    assert there.box.books.contacts[ann]["Name"].startswith("Berta Lee (")
    assert there.box.books.contacts[ann]["ContactNumber"] == "C-0815", "their number is not ours to take"
    assert record.card == {"name": {"components": card("Berta")["name"]["components"]}}
    assert read(xero, ann).card == record.card


def test_what_a_human_writes_in_brackets_is_no_mark(world: Make) -> None:
    there = world()
    key = there.box.books.add(Name="Acme (c0ffee)")
    record = read(there.open(), key)
    assert record.card == {"kind": "org", "organizations": {"Name": {"name": "Acme (c0ffee)", SLOT: "Name"}}}


def test_a_name_taken_by_our_own_lost_create_is_found_not_made_twice(world: Make) -> None:
    there = world(forgets=True)
    xero = there.open()
    push = new(xero, "1", card())
    there.box.faults.add("lost_after", "PUT /api.xro/2.0/Contacts")
    assert isinstance(failed(xero.write([push])), Uncertain)
    assert isinstance(failed(xero.write([push])), Uncertain), "even if it is sent again"
    assert len(there.box.books.contacts) == 1
    [(ref, record)] = xero.find([push])
    assert (ref, record.key, record.card) == ("1", push.key, push.card)


def test_the_same_create_again_has_no_second_effect(world: Make) -> None:
    there = world()
    xero = there.open()
    push = new(xero, "1", card())
    there.box.faults.add("lost_after", "PUT /api.xro/2.0/Contacts")
    assert isinstance(failed(xero.write([push])), Uncertain)
    record = done(xero.write([push]))["1"]
    assert list(there.box.books.contacts) == [record.id]


def test_the_same_change_may_be_due_again(world: Make) -> None:
    """Within the memory of an Idempotency-Key: there, back, and there again."""
    there = world()
    ann = there.box.books.add(Name="Ann Lee", FirstName="Ann", LastName="Lee")
    xero = there.open()
    record = read(xero, ann)
    for given in ("Berta", "Ann", "Berta"):
        record = done(xero.write([renamed(record, given)]))[ann]
    assert there.box.books.contacts[ann]["Name"] == "Berta Lee"


def test_an_archived_contact_with_our_number_is_not_found(world: Make) -> None:
    there = world()
    xero = there.open()
    push = new(xero, "1", card())
    there.box.books.archive(done(xero.write([push]))["1"].id)
    assert list(xero.find([push])) == []


# --- writing ----------------------------------------------------------------------------------------------------------

FULL = {
    "Name": "Acme Ltd",
    "FirstName": "Ann",
    "LastName": "Lee",
    "EmailAddress": "ann@x.test",
    "TaxNumber": "GST 12-345",
    "BankAccountDetails": "01-0123-0456789-00",
    "ContactNumber": "C-0815",
    "Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": "1234567", "PhoneAreaCode": "09", "PhoneCountryCode": "64"}],
    "Addresses": [
        {"AddressType": "STREET", "AddressLine1": "1 Main St", "City": "Auckland", "AttentionTo": "Reception"},
    ],
    "ContactPersons": [
        {"FirstName": "Bob", "LastName": "Ray", "EmailAddress": "bob@x.test", "IncludeInEmails": True},
        {"FirstName": "Cid", "LastName": "Orr", "EmailAddress": "cid@x.test", "IncludeInEmails": False},
    ],
}


def test_only_what_changed_is_sent_and_all_else_stays(world: Make) -> None:
    there = world()
    key = there.box.books.add(**FULL, Website="https://acme.test")
    before = dict(there.box.books.contacts[key])
    xero = there.open()
    record = read(xero, key)
    wanted = dict(record.card or {})
    wanted["emails"] = {**wanted["emails"], "EmailAddress": {"address": "new@x.test", SLOT: "EmailAddress"}}
    done(xero.write([change(record, emails=wanted["emails"])]))
    [body] = there.sent("updateOrCreateContacts")
    assert body == {"Contacts": [{"ContactID": key, "Name": "Acme Ltd", "EmailAddress": "new@x.test"}]}
    after = there.box.books.contacts[key]
    assert {prop: value for prop, value in after.items() if value != before.get(prop)}.keys() == {
        "EmailAddress",
        "UpdatedDateUTC",
    }


def test_a_changed_number_goes_whole_and_takes_its_codes_away(world: Make) -> None:
    there = world()
    key = there.box.books.add(**FULL)
    xero = there.open()
    record = read(xero, key)
    assert (record.card or {})["phones"]["DEFAULT"]["number"] == "+64 9 1234567"
    phones = {"DEFAULT": {"number": "+64 9 7654321", SLOT: "DEFAULT"}}
    answer = done(xero.write([change(record, phones=phones)]))[key]
    [default] = [p for p in there.box.books.contacts[key]["Phones"] if p["PhoneType"] == "DEFAULT"]
    assert default == {
        "PhoneType": "DEFAULT",
        "PhoneNumber": "+64 9 7654321",
        "PhoneAreaCode": "",
        "PhoneCountryCode": "",
    }
    assert (answer.card or {})["phones"] == phones


def test_a_changed_city_leaves_the_street_and_who_it_is_for(world: Make) -> None:
    there = world()
    key = there.box.books.add(**FULL)
    xero = there.open()
    record = read(xero, key)
    street = (record.card or {})["addresses"]["STREET"]
    moved = {**street, "components": [{"kind": "locality", "value": "Wellington"}]}
    done(xero.write([change(record, addresses={"STREET": moved})]))
    [address] = [a for a in there.box.books.contacts[key]["Addresses"] if a["AddressType"] == "STREET"]
    assert address["City"] == "Wellington"
    assert (address["AddressLine1"], address["AttentionTo"]) == ("1 Main St", "Reception")
    [body] = there.sent("updateOrCreateContacts")
    assert body["Contacts"][0]["Addresses"] == [{"AddressType": "STREET", "City": "Wellington"}]


def test_contact_persons_are_sent_as_a_list_and_none_is_lost(world: Make) -> None:
    there = world()
    key = there.box.books.add(**FULL)
    xero = there.open()
    record = read(xero, key)
    emails = dict((record.card or {})["emails"])
    assert emails["ContactPerson1"] == {"address": "bob@x.test", "label": "Bob Ray", SLOT: "ContactPerson1"}
    emails["ContactPerson1"] = {**emails["ContactPerson1"], "address": "robert@x.test"}
    record = done(xero.write([change(record, emails=emails)]))[key]
    people = there.box.books.contacts[key]["ContactPersons"]
    assert [p["EmailAddress"] for p in people] == ["robert@x.test", "cid@x.test"]
    assert people[0]["IncludeInEmails"] is True
    # The last addresses go, the people stay: an empty list would change nothing.
    record = done(xero.write([change(record, emails={"EmailAddress": emails["EmailAddress"]})]))[key]
    people = there.box.books.contacts[key]["ContactPersons"]
    assert [(p["FirstName"], p["EmailAddress"]) for p in people] == [("Bob", ""), ("Cid", "")]
    assert (record.card or {})["emails"].keys() == {"EmailAddress"}


def test_a_bad_row_spoils_nothing(world: Make) -> None:
    there = world(seed=3)
    xero = there.open()
    records, _ = pull(xero)
    bad = {"EmailAddress": {"address": "jörg@x.test", SLOT: "EmailAddress"}}
    outcomes = {
        o.ref: o
        for o in xero.write([renamed(records[0], "A"), change(records[1], emails=bad), renamed(records[2], "C")])
    }
    error = outcomes[records[1].id].error
    assert isinstance(error, Refused)
    assert "Email address must be valid" in str(error)
    assert [outcomes[r.id].error for r in (records[0], records[2])] == [None, None]
    assert len(there.sent("updateOrCreateContacts")) == 1


def test_a_request_that_is_refused_whole_is_sent_in_halves(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world()
    honest = there.box.books.write

    def strict(rows: Any, *, create: bool) -> Any:
        from connectors.xero.sandbox_books import BadQuery

        if any(row.get("FirstName") == "Poison" for row in rows):
            raise BadQuery("JSON for post data was invalid")
        return honest(rows, create=create)

    monkeypatch.setattr(there.box.books, "write", strict)
    xero = there.open()
    names = ["Ann", "Bob", "Poison", "Dora", "Eve"]
    outcomes = {o.ref: o for o in xero.write([new(xero, str(n), card(name)) for n, name in enumerate(names, 1)])}
    assert [ref for ref, outcome in outcomes.items() if outcome.error] == ["3"]
    assert isinstance(outcomes["3"].error, Refused)
    assert len(there.box.books.contacts) == 4


def test_a_contact_that_vanishes_under_a_batch_fails_alone(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP 404 for the whole request, where one id does not exist."""
    there = world(seed=4)
    xero = there.open()
    records, _ = pull(xero)
    honest = there.box.books.write

    def gone(rows: Any, *, create: bool) -> Any:
        there.box.books.contacts.pop(records[1].id, None)
        return honest(rows, create=create)

    monkeypatch.setattr(there.box.books, "write", gone)
    outcomes = {o.ref: o for o in xero.write([renamed(record, f"New{n}") for n, record in enumerate(records)])}
    assert isinstance(outcomes[records[1].id].error, Missing)
    assert [ref for ref, outcome in outcomes.items() if outcome.error] == [records[1].id]


def test_an_edit_between_is_seen(world: Make) -> None:
    there = world(seed=1)
    xero = there.open()
    [record], _ = pull(xero)
    there.box.advance(1)
    there.box.books.edit(record.id, LastName="Orr")
    assert isinstance(failed(xero.write([renamed(record, "Berta")])), Stale)
    assert isinstance(failed(xero.write([Push("1", "key", record, None)])), Stale)
    assert there.box.books.contacts[record.id]["ContactStatus"] == "ACTIVE"


def test_an_archived_contact_is_missing_and_an_erased_one_is_left_alone(world: Make) -> None:
    there = world(seed=2)
    xero = there.open()
    records, _ = pull(xero)
    there.box.books.archive(records[0].id)
    there.box.books.erase(records[1].id)
    assert isinstance(failed(xero.write([renamed(records[0], "Berta")])), Missing)
    assert isinstance(failed(xero.write([renamed(records[1], "Berta")])), Refused)
    for record in records:
        gone = done(xero.write([Push("1", "key", record, None)]))["1"]
        assert (gone.id, gone.card) == (record.id, None)


def test_archived_between_look_and_write_is_missing(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world(seed=1)
    xero = there.open()
    [record], _ = pull(xero)
    look = xero._client.contacts

    def late(ids: Any) -> Any:
        rows = look(ids)
        there.box.books.archive(record.id)
        return rows

    monkeypatch.setattr(xero._client, "contacts", late)
    assert isinstance(failed(xero.write([renamed(record, "Berta")])), Missing)


def test_deleting_archives_and_erasing_blanks_first(world: Make) -> None:
    there = world()
    kept, forgotten = there.box.books.add(**FULL), there.box.books.add(**{**FULL, "Name": "Ann Lee"})
    xero = there.open()
    done(
        xero.write(
            [Push("1", "key", read(xero, kept), None), Push("2", "key", read(xero, forgotten), None, erase=True)]
        )
    )
    contacts = there.box.books.contacts
    assert contacts[kept]["ContactStatus"] == contacts[forgotten]["ContactStatus"] == "ARCHIVED"
    assert contacts[kept]["FirstName"] == "Ann"
    told = str(there.box.books.show(contacts[forgotten]))
    for personal in ("Ann", "Lee", "ann@", "1234567", "Main St", "Auckland", "Bob", "bob@", "cid@", "C-0815"):
        assert personal not in told
    assert contacts[forgotten]["TaxNumber"] == FULL["TaxNumber"], "what the law wants kept is not ours"


def test_who_was_erased_in_xero_is_not_made_again(world: Make) -> None:
    there = world()
    xero = there.open()
    push = new(xero, "1", card(emails={"e": {"address": "Ann@x.test"}}))
    there.box.books.erase(done(xero.write([push]))["1"].id)
    again = there.open()
    for other in (push, new(again, "2", card("Anna", emails={"e": {"address": "ann@X.test"}}))):
        error = failed(again.write([other]))
        assert isinstance(error, Refused)
        assert "erased" in str(error)
    assert done(again.write([new(again, "3", card("Bob"))]))


def test_nobody_without_any_name_is_made(world: Make) -> None:
    there = world()
    xero = there.open()
    push = new(xero, "1", {"addresses": {"a": {"concord:lines": "1 Main St"}}})
    assert isinstance(failed(xero.write([push])), Refused)
    assert there.box.books.contacts == {}


def test_a_batch_is_fifty(world: Make) -> None:
    there = world()
    xero = there.open()
    pushes = [new(xero, str(n), card(f"Ann{n}")) for n in range(1, 121)]
    done(xero.write(pushes))
    assert [len(body["Contacts"]) for body in there.sent("createContacts")] == [50, 50, 20]


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_are_joined_made_and_left(world: Make) -> None:
    there = world(seed=2)
    books = there.box.books
    ann, bob = books.contacts
    old = books.group("Old", ann, bob)
    xero = there.open()
    records = {record.id: record for record in pull(xero)[0]}
    wanted = {"x": {"name": "new"}, "y": {"name": "OLD"}}
    answers = done(
        xero.write([change(records[ann], groups={"x": {"name": "new"}}), change(records[bob], groups=wanted)])
    )
    assert books.groups[old]["members"] == [bob]
    [made] = [group for group in books.groups.values() if group["Name"] == "new"]
    assert made["members"] == [ann, bob]
    assert {g["name"] for g in (answers[bob].card or {})["groups"].values()} == {"new", "Old"}
    assert there.sent("updateOrCreateContacts") == [], "the contacts themselves were not touched"
    assert len(there.sent("createContactGroupContacts")) == 1, "one request for a group"


def test_a_contact_whose_group_cannot_be_joined_is_not_made_twice(world: Make) -> None:
    there = world()
    xero = there.open()
    push = new(xero, "1", card(groups={"g": {"name": "Friends"}}))
    there.box.faults.add("error_after", "PUT /api.xro/2.0/ContactGroups$")
    assert isinstance(failed(xero.write([push])), Uncertain)
    [(_, record)] = xero.find([push])
    assert "groups" not in (record.card or {})
    answer = done(xero.write([change(record, groups={"g": {"name": "Friends"}})]))[record.id]
    assert len((answer.card or {})["groups"]) == 1
    assert len(there.box.books.groups) == 1


def test_a_run_that_ends_at_the_groups_reports_what_was_made(world: Make) -> None:
    there = world()
    xero = there.open()
    there.box.faults.add("throttle", "ContactGroups", times=99, retry_after=9000)
    seen: list[Outcome] = []
    with pytest.raises(Throttled):
        seen.extend(xero.write([new(xero, "2", card("Bob", groups={"g": {"name": "Friends"}}))]))
    assert [type(outcome.error) for outcome in seen] == [Uncertain]


# --- limits and trouble -----------------------------------------------------------------------------------------------


def test_a_spent_minute_is_waited_for_and_a_spent_day_parks(world: Make) -> None:
    there = world(seed=1)
    xero = there.open()
    there.box.limit("minute", 17)
    assert len(pull(xero)[0]) == 1
    assert 17.0 in there.slept
    there.box.limit("concurrent")
    pull(xero)
    assert there.slept[-1] == 2.0
    there.box.limit("day", 7200)
    with pytest.raises(Throttled, match="a day") as caught:
        pull(xero)
    assert caught.value.retry_after == 7200
    there.box.limit("day")
    with pytest.raises(Throttled) as caught:
        pull(xero)
    assert caught.value.retry_after == 3600


def test_our_own_pace_stays_below_the_limit(world: Make) -> None:
    there = world(seed=1, minute=60)
    xero = there.open(rate=0.9)
    ids = list(there.box.books.contacts)
    for _ in range(150):
        list(xero.read(ids))
    assert there.box.faults.log.count("POST /connect/token") == 1
    assert there.requests == 151, "no request was refused"


def test_the_day_that_is_left_is_told(world: Make) -> None:
    there = world(day=100)
    notes = there.open().check().notes
    assert any("99 requests are left" in note for note in notes)


@pytest.mark.parametrize("trouble", ["html", "unavailable", "lost_after", "error_after"])
def test_a_create_in_trouble_is_never_sent_twice(world: Make, trouble: Any) -> None:
    there = world()
    xero = there.open()
    xero.check()
    there.box.faults.add(trouble, "PUT /api.xro/2.0/Contacts")
    assert isinstance(failed(xero.write([new(xero, "1", card())])), Uncertain)
    assert len([line for line in there.box.faults.log if line.startswith("PUT")]) == 1


def test_an_organisation_that_is_offline_is_unreachable(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectors.xero.sandbox import Problem

    there = world(seed=1)
    xero = there.open()
    [record], _ = pull(xero)

    def offline(*args: Any) -> None:
        raise Problem(503, {"words": "The Organisation is offline"})

    monkeypatch.setattr(there.box, "admit", offline)
    with pytest.raises(Unreachable, match="offline"):
        list(xero.write([renamed(record, "Berta")]))


# --- whose ------------------------------------------------------------------------------------------------------------


def test_several_organisations_must_be_chosen_from(world: Make) -> None:
    there = world(tenants=("Acme", "Beta"))
    acme, beta = there.box.organisations
    for act in (lambda x: x.check(), lambda x: pull(x)):
        with pytest.raises(Unauthorised) as caught:
            act(there.open(tenant=""))
        for told in ("Acme", acme, "Beta", beta, "tenant"):
            assert told in str(caught.value)
    with pytest.raises(Unauthorised, match=r"Gamma.*Acme"):
        there.open(tenant="Gamma").check()
    there.box.organisations[beta].add(Name="Only in Beta")
    for chosen in ("beta", beta, beta.upper()):
        assert len(pull(there.open(tenant=chosen))[0]) == 1
    assert there.open(tenant="beta").check().label == "Beta at Xero (1 contacts)"


def test_the_only_organisation_needs_no_choice(world: Make) -> None:
    there = world(seed=2)
    xero = there.open(tenant="")
    account = xero.check()
    assert account.label == "Demo Company (NZ) at Xero (2 contacts)"
    assert any(there.box.books.tenant in note for note in account.notes)
    assert not any("Enter" in note for note in there.open().check().notes)


def test_a_consent_without_organisations_says_what_to_do(world: Make) -> None:
    there = world()
    there.box.organisations.clear()
    there.settings["tenant"] = ""
    with pytest.raises(Unauthorised, match="consent"):
        there.open().check()


def test_an_organisation_that_was_disconnected_is_told(world: Make) -> None:
    there = world()
    with pytest.raises(Unauthorised, match="denied access"):
        pull(there.open(tenant=KEY))


# --- credentials ------------------------------------------------------------------------------------------------------


def test_every_refresh_token_is_kept_before_it_is_used(world: Make) -> None:
    there = world(grace=0)
    xero = there.open()
    pull(xero)
    first = there.saved["refresh_token"]
    assert first != there.settings["refresh_token"]
    there.box.advance(3600)
    pull(xero)
    assert there.saved["refresh_token"] != first
    there.box.advance(3600)
    with pytest.raises(Unauthorised, match="consent"):
        pull(there.open())  # with the first one of all
    pull(there.open(stored=there.saved))


def test_an_access_token_that_died_early_is_renewed_once(world: Make) -> None:
    there = world(seed=1)
    xero = there.open()
    pull(xero)
    there.box.login.expire()
    assert len(pull(xero)[0]) == 1
    there.box.login.revoke()
    with pytest.raises(Unauthorised, match="refresh token"):
        pull(xero)


def test_nothing_secret_is_told(world: Make, caplog: pytest.LogCaptureFixture) -> None:
    there = world(grace=0)
    with caplog.at_level(logging.DEBUG):
        xero = there.open()
        pull(xero)
        there.box.login.revoke()
        there.box.login.expire()
        with pytest.raises(Unauthorised) as caught:
            pull(xero)
    for secret in (there.settings["refresh_token"], there.settings["client_secret"], there.saved["refresh_token"]):
        assert secret not in caplog.text + str(caught.value) + repr(xero)


def test_a_consent_for_reading_is_told(world: Make) -> None:
    there = world(seed=1)
    token = there.box.login.grant("offline_access accounting.contacts.read")
    xero = there.open(refresh_token=token)
    notes = " ".join(xero.check().notes)
    assert "reading only" in notes
    assert "purchases are not read" in notes
    assert (xero.capabilities.creates, xero.capabilities.updates, xero.capabilities.deletes) == (False, False, False)
    assert len(pull(xero)[0]) == 1
    assert list(xero.purchases(None)) == []


def test_consent_in_a_browser_brings_a_refresh_token(world: Make) -> None:
    there = world()
    links: list[str] = []

    def show(link: str) -> str:
        import urllib.request

        links.append(link)
        with urllib.request.urlopen(link) as page:
            assert b"close this page" in page.read()
        return ""

    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)
    assert CONNECTOR.oauth is not None
    granted = loopback.consent(CONNECTOR.oauth, {**there.settings, "refresh_token": ""}, show, context)
    assert set(granted) == {"refresh_token"}
    pull(there.open(refresh_token=granted["refresh_token"]))
    scopes = parse_qs(urlsplit(links[0]).query)["scope"][0].split()
    assert "offline_access" in scopes
    assert "accounting.transactions" not in " ".join(scopes), "new apps do not get it"


# --- purchases --------------------------------------------------------------------------------------------------------


def sold(xero: Xero, cursor: Any = None) -> tuple[list[Sales], Any]:
    steps = list(xero.purchases(cursor))
    return steps, steps[-1].cursor


def test_what_was_sold_is_read_with_its_lines_exactly(world: Make) -> None:
    there = world()
    books = there.box.books
    ann = books.add(Name="Ann Lee")
    line = {"Description": "Mic stand", "ItemCode": "MIC", "Quantity": 3.0, "UnitAmount": 0.1, "LineAmount": 0.3}
    invoice = books.sell(ann, 148062.76, LineItems=[line], Date="/Date(1518685950940+0000)/", InvoiceNumber="INV-7")
    books.sell(ann, 20.0, Type="ACCPAY")
    credit = books.credit(ann, 34.5, Status="PAID", CreditNoteNumber="CN-1", CurrencyCode="EUR")
    books.credit(ann, 1.0, Type="ACCPAYCREDIT")
    xero = there.open()
    assert isinstance(xero, Seller)
    steps, _ = sold(xero)
    first, second = [purchase for step in steps for purchase in step.purchases]
    assert (first.id, first.record, first.kind, first.number) == (invoice, ann, "invoice", "INV-7")
    assert (first.total, first.currency, first.state, first.date) == (
        Decimal("148062.76"),
        "NZD",
        "open",
        date(2018, 2, 15),
    )
    [shown] = first.lines
    assert (shown.text, shown.item) == ("Mic stand", "MIC")
    assert (shown.quantity, shown.price, shown.amount) == (Decimal("3.0"), Decimal("0.1"), Decimal("0.3"))
    assert (second.id, second.kind, second.total, second.state) == (credit, "credit", Decimal("-34.5"), "paid")


def test_a_purchase_changes_its_state_and_a_deleted_draft_is_gone(world: Make) -> None:
    there = world()
    books = there.box.books
    ann = books.add(Name="Ann Lee")
    paid, void, draft, asked = (
        books.sell(ann, n, Status=s) for n, s in ((1, "AUTHORISED"), (2, "AUTHORISED"), (3, "DRAFT"), (4, "SUBMITTED"))
    )
    xero = there.open()
    steps, cursor = sold(xero)
    states = {purchase.id: purchase.state for step in steps for purchase in step.purchases}
    assert states == {paid: "open", void: "open", draft: "draft", asked: "draft"}
    there.box.advance(5)
    books.mark(paid, "PAID")
    books.mark(void, "VOIDED")
    books.mark(draft, "DELETED")
    steps, cursor = sold(xero, cursor)
    assert {p.id: p.state for step in steps for p in step.purchases} == {paid: "paid", void: "void"}
    assert [key for step in steps for key in step.gone] == [draft]
    assert there.cost(lambda: sold(xero, cursor)) == 2
    steps, _ = sold(xero, cursor)
    assert [(list(step.purchases), list(step.gone)) for step in steps] == [([], [])] * 2


def test_purchases_come_in_pages_and_go_on_after_each(world: Make) -> None:
    there = world(page_cap=2)
    ann = there.box.books.add(Name="Ann Lee")
    ids = []
    for n in range(1, 8):
        ids.append(there.box.books.sell(ann, n))
        there.box.advance(10)
    xero = there.open()
    steps = iter(xero.purchases(None))
    first = next(steps)
    rest, _ = sold(xero, first.cursor)
    assert len(first.purchases) == 2
    assert {p.id for step in (first, *rest) for p in step.purchases} == set(ids)
    with pytest.raises(CursorExpired):
        list(xero.purchases({"v": 0}))


def test_a_merged_customer_keeps_what_they_bought(world: Make) -> None:
    there = world(seed=2)
    winner, loser = there.box.books.contacts
    invoice = there.box.books.sell(loser, 10)
    xero = there.open()
    _, cursor = sold(xero)
    there.box.books.merge(winner, loser)
    steps, _ = sold(xero, cursor)
    assert [(p.id, p.record) for step in steps for p in step.purchases] == [(invoice, winner)]
