"""The Google connector against its sandbox, trap by trap (google-people note 10). All traffic is held against Google's
discovery document."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from googlespec import Watched

from connectors.card import SLOT, blob_uri
from connectors.contract import Context, Outcome, Page, Push, Record
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
from connectors.google import CONNECTOR, client
from connectors.google import connector as connector_module
from connectors.google.connector import Google
from connectors.google.sandbox import PIXEL, GoogleSandbox, create
from connectors.sandbox import running

START = datetime(2026, 11, 22, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"a photo" * 50
JPEG = b"\xff\xd8\xff" + b"another" * 50
ANN = {
    "names": [{"givenName": "Ann", "familyName": "Lee"}],
    "emailAddresses": [{"value": "ann@x.test", "type": "work"}],
}
BOB = {"names": [{"givenName": "Bob", "familyName": "Ray"}], "phoneNumbers": [{"value": "020 7946 0001"}]}


@dataclass
class World:
    """A sandbox that is served, and connectors to it. Sleeping lets its clock pass."""

    box: GoogleSandbox
    url: str
    watched: Watched
    slept: list[float] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    opened: list[Google] = field(default_factory=list)

    def context(self) -> Context:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.box.advance(seconds)

        def count(method: str, sent: int, received: int) -> None:
            self.requests += 1

        return Context(
            now=self.box.clock, sleep=sleep, random=lambda: 0.5, requests=count, save_secrets=self.saved.update
        )

    def open(self, **settings: Any) -> Google:
        given = {**self.box.settings(self.url), **settings}
        opened = CONNECTOR.open(CONNECTOR.settings(**given), self.context())
        assert isinstance(opened, Google)
        self.opened.append(opened)
        return opened

    def name(self, record: Record) -> str:
        return str(record.raw["resource"])


Make = Callable[..., World]


@pytest.fixture
def world() -> Iterator[Make]:
    with ExitStack() as stack:
        made: list[World] = []

        def make(**options: Any) -> World:
            box = create(now=lambda: START, **options)
            watched = Watched(box.app)
            one = World(box, stack.enter_context(running(watched)), watched)
            made.append(one)
            return one

        yield make
        for google in [google for one in made for google in one.opened]:
            google.close()
        assert [violation for one in made for violation in one.watched.violations] == []


def pages(google: Google, cursor: Any = None) -> tuple[list[Record], Any]:
    """(all records, the cursor at the end)."""
    records: list[Record] = []
    for page in google.changes(cursor):
        records += page.records
    return records, page.cursor


def by_name(records: list[Record]) -> dict[str, Record]:
    return {name_of(record): record for record in records if record.card is not None}


def name_of(record: Record) -> str:
    components = (record.card or {}).get("name", {}).get("components", [])
    return next((c["value"] for c in components if c["kind"] == "given"), "")


def push(record: Record, ref: str = "1", blob: bytes = b"", **fields: Any) -> Push:
    """An update of the record's card: these fields replaced."""
    return Push(ref, "key", record, {**(record.card or {}), **fields}, lambda uri: blob)


def new(ref: str, given: str, blob: bytes = b"", **fields: Any) -> Push:
    card = {"name": {"components": [{"kind": "given", "value": given}]}, **fields}
    return Push(ref, f"uuid-{ref}", None, card, lambda uri: blob)


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


# --- reading ----------------------------------------------------------------------------------------------------


def test_full_listing_in_pages_gives_its_cursor_and_its_completeness_last(world: Make) -> None:
    there = world(seed=5, page_cap=2)
    got: list[Page] = list(there.open().changes(None))
    assert [len(page.records) for page in got] == [2, 2, 1]
    assert [page.complete for page in got] == [False, False, True]
    assert [page.cursor is None for page in got] == [True, True, False]
    assert got[0].total == 5


def test_a_quiet_run_costs_two_requests(world: Make) -> None:
    there = world(seed=3)
    _, cursor = pages(there.open())
    there.open()  # another refresh token: the access token is not shared
    google = there.open()
    pages(google, cursor)
    before = there.requests
    records, following = pages(google, cursor)
    assert (records, there.requests - before) == ([], 2)
    assert following["people"]


def test_the_access_token_serves_the_next_run_too(world: Make) -> None:
    there = world(seed=1)
    settings = there.box.settings(there.url)
    _, cursor = pages(there.open(**settings))
    before = there.requests
    pages(there.open(**settings), cursor)
    assert there.requests - before == 2


def test_edits_and_deletions_come_in_the_delta_deletions_last(world: Make) -> None:
    there = world(page_cap=1)
    ann, bob = there.box.seed([ANN, BOB])
    _, cursor = pages(there.open())
    there.box.remove(ann)
    there.box.edit(bob, lambda person: person["names"][0].update(givenName="Robert"))
    records, _ = pages(there.open(), cursor)
    assert [(record.card is None, name_of(record)) for record in records] == [(False, "Robert"), (True, "")]


def test_a_delta_is_never_complete(world: Make) -> None:
    there = world(seed=2)
    _, cursor = pages(there.open())
    assert [page.complete for page in there.open().changes(cursor)] == [False]


def test_an_expired_token_is_http_400_and_asks_for_a_full_listing(world: Make) -> None:
    there = world(seed=1)
    _, cursor = pages(there.open())
    there.box.advance(timedelta(days=7, seconds=1).total_seconds())
    with pytest.raises(CursorExpired, match="2026-11-22"):
        pages(there.open(), cursor)


def test_a_token_is_bound_to_the_parameters(world: Make) -> None:
    there = world(seed=1)
    _, cursor = pages(there.open())
    before = there.requests
    with pytest.raises(CursorExpired):
        pages(there.open(page_size=500), cursor)
    assert there.requests == before, "our own hash is enough to know"
    with pytest.raises(CursorExpired):  # the sandbox holds us to it as well
        pages(there.open(), {**cursor, "people": cursor["people"][:-8] + "AAAAAAA="})


def test_the_parameters_of_a_delta_equal_those_of_the_full_listing(world: Make) -> None:
    there = world(seed=3, page_cap=2)
    _, cursor = pages(there.open())
    pages(there.open(), cursor)
    listings = [line for line in there.box.faults.log if "/connections" in line]
    stripped = {line.split("&pageToken")[0].split("&syncToken")[0].removesuffix("&alt=json") for line in listings}
    assert len(listings) == 3
    assert len(stripped) == 1


def test_a_listing_that_breaks_off_leaves_no_cursor(world: Make) -> None:
    there = world(seed=4, page_cap=2)
    there.box.faults.add("lost_after", "connections.*pageToken", times=10)
    seen: list[Page] = []
    with pytest.raises(Unreachable):
        seen.extend(there.open().changes(None))
    assert [page.cursor for page in seen] == [None]


def test_a_renamed_resource_stays_the_same_record(world: Make) -> None:
    there = world()
    [ann] = there.box.seed([ANN])
    [before], cursor = pages(there.open())
    renamed = there.box.rename(ann)
    [delta], _ = pages(there.open(), cursor)
    [listed], _ = pages(there.open())
    assert before.id == delta.id == listed.id
    assert there.name(delta) == renamed != ann
    [again] = there.open().read([before.id])  # under its former name, which Google answers to
    assert again.id == before.id
    outcome = one(there.open().write([push(delta, notes={"n": {"note": "hi"}})]))
    assert outcome.error is None


def test_a_merge_by_the_user_tells_what_became_of_the_other(world: Make) -> None:
    there = world()
    ann, bob = there.box.seed([ANN, BOB])
    records, cursor = pages(there.open())
    ids = {name: record.id for name, record in by_name(records).items()}
    there.box.merge(ann, bob)
    records, _ = pages(there.open(), cursor)
    assert [(record.id, record.card is None) for record in records] == [(ids["Ann"], False), (ids["Bob"], True)]
    assert list(records[0].aliases) == [ids["Bob"]]


def test_listings_lag_but_an_old_read_is_known_as_old(world: Make) -> None:
    there = world(lag=120)
    there.box.seed([ANN])
    there.box.advance(121)
    google = there.open()
    [held], cursor = pages(google)
    written = done(google.write([push(held, notes={"n": {"note": "new"}})]))["1"]
    there.box.edit(there.name(held), lambda person: None)
    [stale], _ = pages(there.open())  # a full listing shows what was before
    assert stale.card == held.card
    assert stale.modified is not None and written.modified is not None
    assert stale.modified < written.modified
    assert google.capabilities.lag >= 120
    assert pages(there.open(), cursor)[0] == []
    there.box.advance(121)
    [fresh], _ = pages(there.open(), cursor)
    assert fresh.card is not None and fresh.card["notes"] == written.card["notes"]  # type: ignore[index]


def test_profile_items_are_neither_shown_nor_written(world: Make) -> None:
    there = world()
    profile = {"value": "ann@profile.test", "metadata": {"source": {"type": "PROFILE", "id": "77"}}}
    [ann] = there.box.seed([{**ANN, "emailAddresses": [*ANN["emailAddresses"], profile]}])
    [held], _ = pages(there.open())
    assert [e["address"] for e in held.card["emails"].values()] == ["ann@x.test"]  # type: ignore[index]
    emails = {"a": {"address": "ann@new.test"}}
    done(there.open().write([push(held, emails=emails)]))
    [person] = there.box.people()
    assert [item["value"] for item in person["emailAddresses"]] == ["ann@new.test", "ann@profile.test"]
    assert "profile.test" not in json.dumps(there.watched.bodies)
    assert ann == person["resourceName"]


def test_more_than_a_hundred_addresses_are_read_whole(world: Make) -> None:
    there = world()
    many = [{"value": f"a{n}@x.test"} for n in range(120)]
    there.box.seed([{**ANN, "emailAddresses": many}])
    [record], _ = pages(there.open())
    assert len(record.card["emails"]) == 120  # type: ignore[index]
    assert any("batchGet" in line for line in there.box.faults.log)


def test_reading_two_hundred_and_one_takes_two_requests_that_are_too_long_for_an_address(world: Make) -> None:
    there = world(seed=201)
    google = there.open()
    records, _ = pages(google)
    before = there.requests
    again = list(google.read([record.id for record in records]))
    assert there.requests - before == 2
    assert {record.id: record.card for record in again} == {record.id: record.card for record in records}
    assert "POST /v1/people:batchGet" in there.box.faults.log


def test_a_contact_that_is_not_there_reads_as_deleted(world: Make) -> None:
    there = world()
    [ann] = there.box.seed([ANN])
    [held], _ = pages(there.open())
    there.box.remove(ann)
    assert list(there.open().read([held.id])) == [Record(held.id, None)]


# --- groups -------------------------------------------------------------------------------------------------------


def grouped(record: Record) -> list[str]:
    return sorted(group["name"] for group in (record.card or {}).get("groups", {}).values())


def member(*groups: str) -> list[dict[str, Any]]:
    return [{"contactGroupMembership": {"contactGroupResourceName": group}} for group in groups]


def test_groups_show_by_name_and_system_groups_do_not(world: Make) -> None:
    there = world()
    vip = there.box.group("VIP")
    there.box.seed([{**ANN, "memberships": member("contactGroups/myContacts", "contactGroups/starred", vip)}])
    [record], _ = pages(there.open())
    assert grouped(record) == ["VIP"]


def test_joining_makes_the_group_and_leaving_keeps_my_contacts_and_starred(world: Make) -> None:
    there = world()
    there.box.seed([{**ANN, "memberships": member("contactGroups/myContacts", "contactGroups/starred")}])
    google = there.open()
    [held], _ = pages(google)
    joined = done(google.write([push(held, groups={"g": {"name": "Chess"}})]))["1"]
    assert grouped(joined) == ["Chess"]
    left = done(google.write([push(joined, groups={})]))["1"]
    assert grouped(left) == []
    [person] = there.box.people()
    names = {item["contactGroupMembership"]["contactGroupId"] for item in person["memberships"]}
    assert names == {"myContacts", "starred"}


def test_a_contact_in_nothing_but_our_group_goes_to_my_contacts_when_it_leaves(world: Make) -> None:
    there = world()
    vip = there.box.group("VIP")
    there.box.seed([{**ANN, "memberships": member(vip)}])
    google = there.open()
    [held], _ = pages(google)
    done(google.write([push(held, groups={})]))
    assert there.box.people()[0]["memberships"][0]["contactGroupMembership"]["contactGroupId"] == "myContacts"


def test_a_group_made_meanwhile_is_looked_up(world: Make) -> None:
    there = world()
    there.box.seed([ANN])
    google = there.open()
    [held], _ = pages(google)
    there.box.group("chess")
    assert grouped(done(google.write([push(held, groups={"g": {"name": "Chess"}})]))["1"]) == ["chess"]


def test_a_renamed_group_shows_on_its_members(world: Make) -> None:
    there = world()
    vip = there.box.group("VIP")
    there.box.seed([{**ANN, "memberships": member(vip)}, BOB])
    _, cursor = pages(there.open())
    there.box.rename_group(vip, "Friends of the house")
    records, cursor = pages(there.open(), cursor)
    assert [grouped(record) for record in records] == [["Friends of the house"]]
    assert pages(there.open(), cursor)[0] == []


def test_a_group_that_was_not_listed_yet_shows_once_it_is(world: Make) -> None:
    there = world()
    _, before = pages(there.open())
    vip = there.box.group("VIP")
    there.box.seed([{**ANN, "memberships": member(vip)}])
    _, cursor = pages(there.open())
    late = {**cursor, "groups": before["groups"], "names": {}, "unknown": [vip]}  # as if listed late
    records, following = pages(there.open(), late)
    assert [grouped(record) for record in records] == [["VIP"]]
    assert following["unknown"] == []


def test_a_group_that_is_gone_shows_on_nobody(world: Make) -> None:
    there = world()
    vip = there.box.group("VIP")
    there.box.seed([{**ANN, "memberships": member("contactGroups/myContacts", vip)}])
    _, cursor = pages(there.open())
    there.box.delete_group(vip)
    records, _ = pages(there.open(), cursor)
    assert [grouped(record) for record in records] == [[]]


def test_a_name_that_only_a_system_group_has_cannot_be_joined_and_stops_nothing(world: Make) -> None:
    there = world()
    there.box.seed([ANN])
    google = there.open()
    [held], _ = pages(google)
    written = done(google.write([push(held, groups={"g": {"name": "Family"}}, notes={"n": {"note": "hi"}})]))["1"]
    assert grouped(written) == []
    assert written.card["notes"]  # type: ignore[index]


# --- writing ------------------------------------------------------------------------------------------------------


def test_only_changed_lists_are_sent_and_the_rest_of_an_item_survives(world: Make) -> None:
    there = world()
    email = {"value": "ann@x.test", "type": "Boat", "displayName": "Annie"}
    there.box.seed([{**ANN, "emailAddresses": [email], "userDefined": [{"key": "Shoe", "value": "42"}]}])
    google = there.open()
    [held], _ = pages(google)
    emails = {key: {**e, "address": "ann@new.test"} for key, e in held.card["emails"].items()}  # type: ignore[index]
    done(google.write([push(held, emails=emails)]))
    [(_, body)] = [entry for entry in there.watched.bodies if entry[0].endswith("batchUpdateContacts")]
    assert body["updateMask"] == "emailAddresses"
    [person] = there.box.people()
    kept = {k: v for k, v in person["emailAddresses"][0].items() if k not in ("metadata", "formattedType")}
    assert kept == {**email, "value": "ann@new.test"}
    assert person["userDefined"]


def test_nothing_to_write_costs_nothing(world: Make) -> None:
    there = world()
    there.box.seed([ANN])
    google = there.open()
    [held], _ = pages(google)
    before = there.requests
    assert one(google.write([push(held)])) == Outcome("1", held)
    assert there.requests == before


def test_an_answer_is_the_base_of_the_next_write(world: Make) -> None:
    there = world()
    there.box.seed([ANN])
    google = there.open()
    [held], _ = pages(google)
    first = done(google.write([push(held, notes={"n": {"note": "one"}})]))["1"]
    second = done(google.write([push(first, notes={"n": {"note": "two"}})]))["1"]
    assert second.card["notes"]["biography"]["note"] == "two"  # type: ignore[index]
    [read] = google.read([held.id])
    assert (read.card, read.version, read.raw) == (second.card, second.version, second.raw)


def test_updates_go_by_the_lists_they_replace_two_hundred_at_a_time(world: Make) -> None:
    there = world(seed=205)
    google = there.open()
    records, _ = pages(google)
    noted = [push(r, f"n{i}", notes={"n": {"note": "x"}}) for i, r in enumerate(records[:203])]
    linked = [push(r, f"l{i}", links={"u": {"uri": "https://x.test"}}) for i, r in enumerate(records[203:])]
    before = there.requests
    assert len(done(google.write(noted + linked))) == 205
    assert there.requests - before == 3
    sizes = [(body["updateMask"], len(body["contacts"])) for _, body in there.watched.bodies]
    assert sorted(sizes) == [("biographies", 3), ("biographies", 200), ("urls", 2)]


@pytest.mark.parametrize("names_faulty", [True, False])
@pytest.mark.parametrize("partial", [True, False])
def test_one_stale_contact_does_not_spoil_its_batch(world: Make, names_faulty: bool, partial: bool) -> None:
    there = world(seed=9, names_faulty=names_faulty, partial=partial)
    google = there.open()
    records, _ = pages(google)
    there.box.edit(there.name(records[4]), lambda person: person["names"][0].update(givenName="Edited"))
    pushes = [push(r, str(n), notes={"n": {"note": "x"}}) for n, r in enumerate(records)]
    outcomes = {outcome.ref: outcome for outcome in google.write(pushes)}
    assert isinstance(outcomes["4"].error, Stale)
    assert set(outcomes) == {str(n) for n in range(9)}
    # What a half-done batch did change is stale when it is sent again: true, and settled by reading it.
    stale = {ref for ref, outcome in outcomes.items() if isinstance(outcome.error, Stale)}
    assert stale == {"4"} or partial
    noted = {p["metadata"]["sources"][0]["id"] for p in there.box.people() if p.get("biographies")}
    assert noted == {r.id for n, r in enumerate(records) if n != 4}
    assert any("Edited" in p["names"][0]["displayName"] for p in there.box.people())


def test_a_contact_deleted_meanwhile_is_missing(world: Make) -> None:
    there = world(seed=2)
    google = there.open()
    records, _ = pages(google)
    there.box.remove(there.name(records[0]))
    outcomes = {o.ref: o for o in google.write([push(r, r.id, notes={"n": {"note": "x"}}) for r in records])}
    assert isinstance(outcomes[records[0].id].error, Missing)
    assert outcomes[records[1].id].error is None


def test_an_update_whose_answer_got_lost_is_sent_again_and_found_stale(world: Make) -> None:
    there = world(seed=1)
    google = there.open()
    [held], _ = pages(google)
    there.box.faults.add("lost_after", "batchUpdate")
    outcome = one(google.write([push(held, notes={"n": {"note": "x"}})]))
    assert isinstance(outcome.error, Stale)
    [read] = google.read([held.id])
    assert read.card["notes"]["biography"]["note"] == "x"  # type: ignore[index]


def test_creates_carry_our_key_and_are_found_by_it(world: Make) -> None:
    there = world(seed=2, page_cap=1)
    google = there.open()
    pushes = [new("a", "Ada"), new("b", "Bea")]
    made = done(google.write(pushes))
    assert [made["a"].key, made["b"].key] == ["uuid-a", "uuid-b"]
    found = dict(google.find([*pushes, new("c", "Cleo")]))
    assert {ref: record.id for ref, record in found.items()} == {ref: record.id for ref, record in made.items()}
    assert found["a"].card == made["a"].card


def test_a_create_is_not_found_before_listings_show_it(world: Make) -> None:
    there = world(lag=300)
    google = there.open()
    there.box.faults.add("lost_after", "batchCreate")
    assert isinstance(one(google.write([new("a", "Ada")])).error, Uncertain)
    assert list(google.find([new("a", "Ada")])) == []
    there.box.advance(google.capabilities.find_lag)
    assert [ref for ref, _ in google.find([new("a", "Ada")])] == ["a"]


@pytest.mark.parametrize("kind", ["lost_after", "error_after", "lost_before", "html"])
def test_a_lost_create_is_uncertain_and_never_sent_twice(world: Make, kind: Any) -> None:
    there = world()
    google = there.open()
    there.box.faults.add(kind, "batchCreate")
    outcomes = list(google.write([new("a", "Ada"), new("b", "Bea")]))
    assert [type(outcome.error) for outcome in outcomes] == [Uncertain, Uncertain]
    assert sum("batchCreate" in line for line in there.box.faults.log) == 1
    assert len(there.box.people()) == (2 if kind in ("lost_after", "error_after") else 0)


def test_a_lost_create_of_one_alone_is_uncertain_and_never_sent_twice(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = world()
    monkeypatch.setattr(connector_module, "_suspects", {"uuid-a"})
    there.box.faults.add("lost_after", "createContact")
    assert isinstance(one(there.open().write([new("a", "Ada")])).error, Uncertain)
    assert len(there.box.people()) == 1


def test_a_refused_batch_of_creates_is_refused_for_those_it_names_and_uncertain_for_the_rest(
    world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = world()
    google = there.open()
    bad = _spoiled(monkeypatch)
    outcomes = {o.ref: o.error for o in google.write([new("a", "Ada"), new("bad", bad), new("c", "Cleo")])}
    assert {ref: type(error) for ref, error in outcomes.items()} == {"a": Uncertain, "bad": Refused, "c": Uncertain}


def test_one_bad_apple_does_not_keep_the_others_out_for_ever(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = world(names_faulty=False)
    google = there.open()
    bad = _spoiled(monkeypatch)
    pushes = [new("a", "Ada"), new("bad", bad), new("c", "Cleo")]
    assert {type(o.error) for o in google.write(pushes)} == {Uncertain}
    assert list(google.find(pushes)) == []
    outcomes = {o.ref: o for o in there.open().write(pushes)}
    assert isinstance(outcomes["bad"].error, Refused)
    assert outcomes["a"].record and outcomes["c"].record
    assert len(there.box.people()) == 2


def _spoiled(monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the connector send an impossible date with one contact, as mapping never would."""
    right = connector_module.mapping.changes

    def wrong(lists: Any, held: Any, card: Any) -> Any:
        spoiled = right(lists, held, card)
        if "Spoiled" in json.dumps(card):
            spoiled["birthdays"] = [{"date": {"month": 2, "day": 31}}]
        return spoiled

    monkeypatch.setattr(connector_module.mapping, "changes", wrong)
    return "Spoiled"


def test_deletes_look_first_and_take_five_hundred_at_a_time(world: Make) -> None:
    there = world(seed=6)
    google = there.open()
    records, _ = pages(google)
    there.box.edit(there.name(records[0]), lambda person: person["names"][0].update(givenName="Edited"))
    there.box.remove(there.name(records[1]))
    outcomes = {o.ref: o for o in google.write([Push(r.id, "k", r, None) for r in records])}
    assert isinstance(outcomes[records[0].id].error, Stale)
    assert all(o.record and o.record.card is None for ref, o in outcomes.items() if ref != records[0].id)
    assert [p["metadata"]["sources"][0]["id"] for p in there.box.people()] == [records[0].id]


def test_a_delete_whose_answer_got_lost_is_done(world: Make) -> None:
    there = world(seed=2)
    google = there.open()
    records, _ = pages(google)
    there.box.faults.add("lost_after", "batchDelete")
    assert len(done(google.write([Push(r.id, "k", r, None) for r in records]))) == 2
    assert there.box.people() == []


def test_two_notes_never_become_two_biographies(world: Make) -> None:
    there = world()
    google = there.open()
    notes = {"b": {"note": "second"}, "a": {"note": "first"}}
    card = google.fit({"name": {"full": "Ann Lee"}, "notes": notes}, None)
    made = done(google.write([Push("1", "uuid", None, {**card, "notes": notes})]))["1"]
    assert made.card["notes"] == {"biography": {"note": "first", SLOT: "biography"}}  # type: ignore[index]


# --- photos -------------------------------------------------------------------------------------------------------


def photo(data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"p": {"kind": "photo", "uri": blob_uri(data), "mediaType": kind, "size": len(data)}}


def test_a_photo_is_read_as_large_as_it_is_kept_and_default_ones_are_none(world: Make) -> None:
    there = world()
    ann, _ = there.box.seed([ANN, BOB])
    there.box.set_photo(ann, PNG)
    records = by_name(pages(there.open())[0])
    assert records["Ann"].card["media"] == {"photo": {**photo(PNG)["p"], SLOT: "photo"}}  # type: ignore[index]
    assert records["Ann"].blobs == {blob_uri(PNG): PNG}
    assert "media" not in records["Bob"].card  # type: ignore[operator]
    assert blob_uri(PIXEL) not in records["Ann"].blobs


def test_a_known_photo_is_not_fetched_again_for_an_answer(world: Make) -> None:
    there = world()
    [ann] = there.box.seed([ANN])
    there.box.set_photo(ann, PNG)
    google = there.open()
    [held], _ = pages(google)
    google = there.open()
    written = done(google.write([push(held, notes={"n": {"note": "x"}})]))["1"]
    assert written.card["media"] == held.card["media"]  # type: ignore[index]
    assert sum("/photos/" in line for line in there.box.faults.log) == 1


def test_photos_are_put_changed_and_taken_away(world: Make) -> None:
    there = world(reencode=True)
    google = there.open()
    made = done(google.write([new("a", "Ada", blob=PNG, media=photo(PNG))]))["a"]
    assert made.card["media"]["photo"]["uri"] != blob_uri(PNG)  # type: ignore[index]  Google's own copy
    changed = done(google.write([push(made, blob=JPEG, media=photo(JPEG, "image/jpeg"))]))["1"]
    assert (there.box.photo(there.name(made)) or b"").startswith(JPEG)
    done(google.write([push(changed, media={})]))
    assert there.box.photo(there.name(made)) is None


def test_a_photo_that_is_the_same_is_not_sent(world: Make) -> None:
    there = world(reencode=True)
    google = there.open()
    made = done(google.write([new("a", "Ada", blob=PNG, media=photo(PNG))]))["a"]
    before = there.requests
    fitted = google.fit(made.card or {}, made.card)
    assert done(google.write([replace(push(made), card=fitted)]))["1"] == made
    assert there.requests == before


def test_a_created_contact_whose_photo_fails_is_uncertain_and_not_lost(world: Make) -> None:
    there = world()
    google = there.open()
    there.box.faults.add("unavailable", "updateContactPhoto", times=99)
    pushes = [new("a", "Ada", blob=PNG, media=photo(PNG)), new("b", "Bea", blob=PNG, media=photo(PNG))]
    outcomes: list[Outcome] = []
    with pytest.raises(Unreachable):
        outcomes.extend(google.write(pushes))
    assert [type(outcome.error) for outcome in outcomes] == [Uncertain, Uncertain]
    assert sum("updateContactPhoto" in line for line in there.box.faults.log) == 4, "the second photo is not tried"
    assert {ref for ref, _ in google.find(pushes)} == {"a", "b"}


def test_a_photo_that_is_no_photo_is_refused(world: Make) -> None:
    there = world(seed=1)
    google = there.open()
    [held], _ = pages(google)
    outcome = one(google.write([push(held, blob=b"GIF89a", media=photo(b"GIF89a"))]))
    assert isinstance(outcome.error, Refused)


def test_a_photo_that_cannot_be_had_sets_its_contact_aside(world: Make) -> None:
    there = world()
    ann, _ = there.box.seed([ANN, BOB])
    there.box.set_photo(ann, PNG)
    there.box._photos.clear()
    records = by_name(pages(there.open())[0])
    assert records["Ann"].refused and "photo" in records["Ann"].refused
    assert records["Bob"].refused is None


def test_photos_can_be_left_alone(world: Make) -> None:
    there = world()
    [ann] = there.box.seed([ANN])
    there.box.set_photo(ann, PNG)
    google = there.open(photos=False)
    [held], _ = pages(google)
    assert "media" not in (held.card or {}) and "media" not in google.capabilities.fields
    assert google.fit({"media": photo(JPEG)}, held.card) == {}
    done(google.write([push(held, notes={"n": {"note": "x"}})]))
    assert there.box.photo(ann) == PNG


def test_the_connector_is_loaded_without_the_api_client() -> None:
    code = "import connectors.google, sys; sys.exit(any(m.startswith('googleapiclient') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_our_token_goes_to_the_api_only(world: Make) -> None:
    there = world()
    [ann] = there.box.seed([ANN])
    there.box.set_photo(ann, PNG)
    sent: dict[str, bool] = {}
    app = there.watched.app

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            sent[scope["path"]] = b"authorization" in dict(scope["headers"])
        await app(scope, receive, send)

    with running(spy) as url:
        google = there.open(**there.box.settings(url))
        pages(google)
        google.close()
    assert {path: given for path, given in sent.items() if "photos" in path or "token" in path} == {
        next(path for path in sent if "photos" in path): False,
        "/token": False,
    }


# --- errors -------------------------------------------------------------------------------------------------------


def test_a_minute_quota_is_waited_for(world: Make) -> None:
    there = world(seed=2, minute_quotas={"read": 4})
    google = there.open()
    for _ in range(4):
        pages(google)
    assert there.slept
    assert sum(there.slept) <= 300


def test_retry_after_is_honoured(world: Make) -> None:
    there = world(seed=1)
    there.box.faults.add("throttle", "/v1/", retry_after=7)
    pages(there.open())
    assert there.slept == [7.0]


def test_a_daily_quota_ends_the_run_at_once_and_for_long(world: Make) -> None:
    there = world(seed=1)
    there.box.exhausted = True
    with pytest.raises(Throttled) as caught:
        pages(there.open())
    assert caught.value.retry_after == 3600
    assert there.slept == []


def test_the_quota_of_full_listings_is_waited_for(world: Make) -> None:
    there = world(seed=1, full_quota=1)
    google = there.open()
    pages(google)
    pages(google)
    assert there.slept


def test_503_on_a_listing_is_tried_again(world: Make) -> None:
    there = world(seed=1)
    there.box.faults.add("unavailable", "connections", times=2)
    assert len(pages(there.open())[0]) == 1


def test_a_web_page_is_no_answer(world: Make) -> None:
    there = world(seed=1)
    there.box.faults.add("html", "connections", times=99)
    with pytest.raises(Unreachable):
        pages(there.open())


def test_an_api_that_is_not_enabled_says_so(world: Make) -> None:
    there = world()
    there.box.disabled = True
    with pytest.raises(Unauthorised, match="not enabled"):
        there.open().check()


def test_a_consent_for_reading_is_found_out(world: Make) -> None:
    there = world(seed=1)
    google = there.open(refresh_token=there.box.oauth.grant("https://www.googleapis.com/auth/contacts.readonly"))
    account = google.check()
    assert any("reading only" in note for note in account.notes)
    assert not (google.capabilities.creates or google.capabilities.updates or google.capabilities.deletes)
    with pytest.raises(Unauthorised, match="consent NAME"):
        list(google.write([new("a", "Ada")]))


def test_check_tells_who_and_how_many_and_what_time_it_is(world: Make) -> None:
    there = world(seed=3)
    account = there.open().check()
    assert account.label == "Google Contacts of someone@example.test (3 contacts)"
    assert account.clock is not None and account.clock.tzinfo is not None


ERRORS = [
    (401, {}, Unauthorised),
    (403, {"message": "Request had insufficient authentication scopes."}, Unauthorised),
    (403, {"details": [{"reason": "SERVICE_DISABLED"}]}, Unauthorised),
    (403, {"errors": [{"reason": "rateLimitExceeded"}]}, Throttled),
    (403, {"message": "Request person.etag is different than the current person.etag. Clear …"}, Stale),
    (403, {}, Unauthorised),
    (400, {"message": "Request person.metadata.sources.etag is different than the current …"}, Stale),
    (400, {"details": [{"reason": "EXPIRED_SYNC_TOKEN"}]}, CursorExpired),
    (400, {"message": "Sync token is expired. Clear local cache …", "status": "INVALID_ARGUMENT"}, CursorExpired),
    (400, {"message": "Invalid value"}, Refused),
    (404, {"status": "NOT_FOUND"}, Missing),
    (409, {"status": "ALREADY_EXISTS"}, Refused),
    (429, {"message": "Quota exceeded for quota metric 'Critical read requests'"}, Throttled),
    (429, {"message": "Resource has been exhausted (e.g. check quota)."}, Throttled),
    (429, {"details": [{"violations": [{"description": "FBS quota limit exceeded"}]}]}, Throttled),
    (500, {}, Uncertain),
    (503, {"status": "UNAVAILABLE"}, Uncertain),
]


@pytest.mark.parametrize(("status", "error", "reaction"), ERRORS)
def test_every_row_of_the_table(status: int, error: dict[str, Any], reaction: type[Error]) -> None:
    request = client.Http("http://127.0.0.1", _idle())._client.build_request(
        "GET", "http://127.0.0.1/v1/x?token=secret"
    )
    answer = client.Response(status, json={"error": {"code": status, **error}}, request=request)
    made = client.google_react(answer)
    assert type(made) is reaction
    assert "secret" not in str(made)
    long = reaction is Throttled and ("exhausted" in json.dumps(error) or "FBS" in json.dumps(error))
    if isinstance(made, Throttled):
        assert made.retry_after == (client.LONG_QUOTA if long else client.MINUTE_QUOTA)


def _idle() -> Context:
    return Context(now=lambda: START, sleep=lambda seconds: None, random=lambda: 0.5)


# --- credentials --------------------------------------------------------------------------------------------------


def test_an_access_token_that_died_is_renewed_once(world: Make) -> None:
    there = world(seed=1)
    google = there.open()
    pages(google)
    there.box.oauth.expire()
    assert len(pages(google)[0]) == 1
    there.box.advance(3700)
    assert len(pages(google)[0]) == 1


def test_a_revoked_consent_says_how_to_give_it_again(world: Make, caplog: pytest.LogCaptureFixture) -> None:
    there = world(seed=1)
    settings = there.box.settings(there.url)
    google = there.open(**settings)
    pages(google)
    there.box.oauth.revoke()
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(Unauthorised, match="concord connections consent NAME") as caught,
    ):
        pages(google)
    assert settings["refresh_token"] not in str(caught.value) + caplog.text
    assert settings["client_secret"] not in str(caught.value) + caplog.text


def test_no_consent_yet(world: Make) -> None:
    with pytest.raises(Unauthorised, match="consent NAME"):
        world().open(refresh_token="").check()


def test_a_rotated_refresh_token_is_saved_at_once_and_the_old_one_kept_otherwise(world: Make) -> None:
    there = world(seed=1, rotate=True)
    google = there.open()
    pages(google)
    assert set(there.saved) == {"refresh_token"}
    there.box.oauth.expire()
    assert len(pages(google)[0]) == 1  # with the new one
    quiet = world(seed=1)
    pages(quiet.open())
    assert quiet.saved == {}
