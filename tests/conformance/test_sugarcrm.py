"""The SugarCRM connector (REST v11) against its sandbox, trap by trap (sugarcrm note, part A)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from connectors.card import Card
from connectors.consent import Consent, shown
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
from connectors.oauth import TOKENS
from connectors.sandbox import running
from connectors.sugarcrm import CONNECTOR, changes
from connectors.sugarcrm.client import BY_STATUS, TABLE, Denied, Expired, Outdated, judged
from connectors.sugarcrm.connector import Sugar
from connectors.sugarcrm.sandbox import PASSWORD, SugarSandbox
from connectors.testing import Mirror

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
KEY = "5b0e3a1e-0c5e-4f0b-9b57-0d2c5d5b8f11"
OTHER_KEY = "9d3c1f52-7a80-4f0b-8c1d-5f2b3f1e0a77"


@dataclass
class World:
    """A sandbox that is served, and connectors to it. Sleeping lets its clock pass."""

    url: str
    box: SugarSandbox = field(default_factory=SugarSandbox)
    opened: list[Sugar] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    """As they are stored by now."""
    saved: list[Mapping[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)

    def serve(self, **options: Any) -> SugarSandbox:
        self.box = SugarSandbox(clock=lambda: START, **options)
        return self.box

    def save(self, changed: Mapping[str, str]) -> None:
        self.saved.append(changed)
        self.secrets |= changed

    @contextmanager
    def renewing(self) -> Iterator[Mapping[str, str]]:
        yield dict(self.secrets)

    def open(self, **settings: Any) -> Sugar:
        given = CONNECTOR.settings(**{**self.box.settings(self.url), "protocol": "v11", **self.secrets, **settings})
        context = Context(
            now=self.box.now,
            sleep=self.box.advance,
            random=lambda: 0.5,
            save_secrets=self.save,
            renewing=self.renewing,
        )
        opened = CONNECTOR.open(given, context)
        assert isinstance(opened, Sugar)
        self.opened.append(opened)
        return opened

    def log(self, act: Callable[[], Any]) -> list[str]:
        """The requests that an act costs."""
        before = len(self.box.faults.log)
        act()
        return self.box.faults.log[before:]


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    made = World("")
    with running(made) as made.url:
        yield made


@pytest.fixture
def world(served: World) -> Iterator[World]:
    TOKENS._held.clear()
    served.serve()
    served.secrets, served.saved = {}, []
    yield served
    for connector in served.opened:
        connector.close()
    served.opened.clear()


NAME = {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": "Lee"}]}


def contact(connector: Sugar, **card: Any) -> Card:
    return connector.fit({"name": NAME, **card}, None)


def push(
    connector: Sugar, held: Record | None, card: Card | None, key: str = KEY, consents: Sequence[Consent] = ()
) -> Outcome:
    [outcome] = connector.write([Push("ref", key, held, card, consents=consents)])
    assert outcome.ref == "ref"
    return outcome


def made(connector: Sugar, card: Card, key: str = KEY, consents: Sequence[Consent] = ()) -> Record:
    return good(push(connector, None, card, key, consents))


def good(outcome: Outcome) -> Record:
    assert outcome.error is None, repr(outcome.error)
    assert outcome.record is not None
    return outcome.record


def changed(connector: Sugar, held: Record, **fields: Any) -> Outcome:
    """What comes of writing these fields over a record; None takes a field away."""
    card = {name: value for name, value in {**(held.card or {}), **fields}.items() if value is not None}
    return push(connector, held, connector.fit(card, held.card))


def one(connector: Sugar, record: str) -> Record:
    [found] = connector.read([record])
    return found


def named(number: int) -> Card:
    return {"name": {"components": [{"kind": "surname", "value": f"N{number}"}]}}


def row(world: World, record: str, module: str = "Contacts") -> dict[str, Any]:
    return next(row for row in world.box.rows(module) if row["id"] == record)


def addresses(world: World, record: str) -> dict[str, tuple[bool, bool, bool]]:
    """{address: (primary, opted out, invalid)} as the server has them."""
    return {
        item["email_address"]: (item["primary_address"], item["opt_out"], item["invalid_email"])
        for item in row(world, record)["email"]
    }


def ids(pages: Sequence[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records]


# --- errors (A2) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", sorted(TABLE))
def test_a_label_is_judged_by_the_table(label: str) -> None:
    error = judged(400, {"error": label, "error_message": "because"}, "GET me")
    assert type(error) is TABLE[label][0]
    assert "because" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Expired),
        (403, Denied),
        (404, Missing),
        (409, Stale),
        (413, Refused),
        (422, Refused),
        (424, Refused),
        (433, Unreachable),
        (500, Uncertain),
        (503, Unreachable),
        (429, Throttled),
        (502, Uncertain),
        (418, Refused),
    ],
)
def test_without_a_label_the_status_tells(status: int, kind: type[Error]) -> None:
    assert type(judged(status, None, "GET me")) is kind
    assert type(judged(status, {"error": "something_new"}, "GET me")) is kind
    assert status not in BY_STATUS or TABLE[BY_STATUS[status]][0] is kind


def test_the_version_of_the_api_is_the_newest_that_is_spoken(world: World) -> None:
    world.serve(newest="v11")
    connector = world.open()
    held = made(connector, contact(connector))
    assert held.key is None
    assert one(connector, held.id).card == held.card
    assert isinstance(judged(301, {"error": "incorrect_version"}, "x"), Outdated)


def test_a_server_without_any_of_our_versions(world: World) -> None:
    world.serve(newest="v10")
    with pytest.raises(Unreachable, match="protocol: v4_1"):
        world.open().check()


# --- sessions (A1) ---------------------------------------------------------------------------------------------------


def test_one_login_serves_all_runs_of_a_process(world: World) -> None:
    world.open().check()
    world.open().check()
    assert world.box.sessions.asked == ["password"]
    assert list(world.box.sessions.grants) == ["concord"], (
        "a platform of our own: nobody is thrown out of the web pages"
    )


def test_an_old_session_is_refreshed_and_stored_before_it_is_used(world: World) -> None:
    connector = world.open()
    connector.check()
    assert [set(saved) for saved in world.saved] == [{"refresh_token"}]
    first = world.secrets["refresh_token"]
    world.box.advance(3600)
    stored: list[str] = []
    world.box.faults.log.clear()
    original = world.save

    def save(changed: Mapping[str, str]) -> None:
        stored.extend(world.box.faults.log)
        original(changed)

    world.save = save  # type: ignore[method-assign]
    try:
        world.open().check()
    finally:
        del world.save
    assert world.box.sessions.asked == ["password", "refresh_token"]
    assert world.secrets["refresh_token"] != first
    assert stored == ["POST /rest/v11_10/oauth2/token"], "stored before anything else was sent"


def test_a_dead_refresh_token_is_replaced_by_the_password(world: World) -> None:
    world.open().check()
    world.box.revoke()
    world.box.advance(3600)
    world.open().check()
    assert world.box.sessions.asked == ["password", "refresh_token", "password"]


def test_a_refresh_whose_answer_was_lost(world: World) -> None:
    """Its token is dead by then (A1)."""
    world.open().check()
    world.box.advance(3600)
    world.box.faults.add("lost_after", "oauth2/token")
    world.open().check()
    assert world.box.sessions.asked == ["password", "refresh_token", "refresh_token", "password"]


def test_whoever_is_thrown_out_comes_back_and_writes_once(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector))
    world.box.log_in("concord")
    after = good(changed(connector, held, titles={"t": {"name": "Head"}}))
    assert (after.card or {})["titles"]["title"]["name"] == "Head"
    assert len(world.box.rows()) == 1


def test_humans_log_in_on_their_own_platform(world: World) -> None:
    connector = world.open()
    connector.check()
    world.box.log_in("base")
    connector.check()
    assert world.box.sessions.asked == ["password"]
    assert set(world.box.sessions.grants) == {"base", "concord"}


def test_another_process_that_renewed_meanwhile_is_followed(world: World) -> None:
    connector = world.open()
    connector.check()
    mine = world.secrets["refresh_token"]
    world.box.advance(3600)
    theirs = world.box.sessions.open("concord")
    world.secrets = {"refresh_token": theirs["refresh_token"]}
    connector.check()
    assert world.box.sessions.asked == ["password", "refresh_token"], "with the token that was stored"
    assert world.secrets["refresh_token"] not in (mine, theirs["refresh_token"])


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ({}, {"password": "a wrong one"}, "enter user name and password again"),
        ({"platforms": frozenset({"base"})}, {}, "API Platforms"),
        ({}, {"client_id": "nobody"}, "OAuth Keys"),
        ({"clients": {"ours": "a secret"}}, {"client_id": "ours", "client_secret": "wrong"}, "OAuth Keys"),
    ],
)
def test_a_refused_login_says_what_to_do(world: World, options: Any, settings: Any, words: str) -> None:
    world.serve(**options)
    with pytest.raises(Unauthorised, match=words) as told:
        world.open(**settings).check()
    assert "wrong" not in str(told.value)
    assert PASSWORD not in str(told.value)


def test_an_oauth_key_with_a_secret(world: World) -> None:
    world.serve(clients={"ours": "a secret"})
    assert world.open(client_id="ours", client_secret="a secret").check().label.startswith("concord at SugarCRM")


# --- who and what ----------------------------------------------------------------------------------------------------


def test_check_tells_what_this_user_may_not(world: World) -> None:
    world.serve(admin=False, denied=["title", "assigned_user_id"])
    world.box.seed([{"last_name": "Lee"}])
    notes = " ".join(world.open().check().notes)
    assert "no administrator" in notes
    assert "sync_key" in notes
    assert "may not write title of Contacts" in notes
    assert "assigned_user_id" not in notes


def test_who_may_not_read_is_told(world: World) -> None:
    world.box.fail("POST Contacts/filter$", 403, "not_authorized", times=9)
    with pytest.raises(Unauthorised, match="role"):
        list(world.open().changes(None))


# --- reading (A3, A4) ------------------------------------------------------------------------------------------------


def test_silence_is_one_request(world: World) -> None:
    world.box.seed([{"last_name": f"N{n}", "email": [{"email_address": f"n{n}@x.test"}]} for n in range(30)])
    world.box.join("Contacts", world.box.rows()[0]["id"], "Friends")
    connector = world.open()
    mirror = Mirror(connector)
    mirror.pull()
    for _ in range(2):
        world.box.advance(60)
        mirror.pull()
    assert len(world.log(mirror.pull)) == 1
    assert world.box.faults.log[-1].count("filter") == 3


def test_a_mass_edit_of_one_second_is_read_in_full(world: World) -> None:
    """Thousands of equal times: pages go on by id within a second (A4)."""
    world.serve(page_cap=20)
    made_ids = world.box.seed([{"last_name": f"N{n}"} for n in range(90)])
    connector = world.open(page=50)
    mirror = Mirror(connector)
    assert len(mirror.pull().changed) == 90
    world.box.advance(60)
    mirror.pull()
    for record in made_ids:
        world.box.edit(record, title="all")
    world.box.advance(60)
    news = mirror.pull()
    assert set(news.changed) == set(made_ids)
    assert len(news.shown) == 90


def test_a_row_that_is_committed_late_is_not_missed(world: World) -> None:
    connector = world.open()
    mirror = Mirror(connector)
    mirror.pull()
    world.box.advance(60)
    world.box.seed([{"last_name": "On time"}])
    assert len(mirror.pull().changed) == 1
    late = world.box.seed([{"last_name": "Late"}])[0]
    world.box.data.beans["Contacts"][late].modified = world.box.now().replace(microsecond=0) - changes.OVERLAP / 2
    assert set(mirror.pull().changed) == {late}
    for _ in range(2):
        assert mirror.pull().shown == []
        world.box.advance(60)
    assert mirror.cursor["modules"]["Contacts"]["recent"] == {}


def test_what_came_before_the_settled_is_not_shown_again(world: World) -> None:
    connector = world.open()
    mirror = Mirror(connector)
    mirror.pull()
    world.box.seed([{"last_name": "First"}])
    mirror.pull()
    world.box.advance(5)
    second = world.box.seed([{"last_name": "Second"}])[0]
    world.box.advance(20)
    mirror.pull()
    mirror.pull()
    third = world.box.seed([{"last_name": "Third"}])[0]
    assert ids(mirror.pull().pages) == [third]
    assert second in mirror.known


def test_deletions_come_as_tombstones_and_restores_as_records(world: World) -> None:
    record = world.box.seed([{"last_name": "Lee"}])[0]
    connector = world.open(leads=True)
    lead = world.box.seed([{"last_name": "Lead"}], "Leads")[0]
    mirror = Mirror(connector)
    assert set(mirror.pull().changed) == {record, f"Leads/{lead}"}
    world.box.advance(20)
    world.box.remove(record)
    world.box.remove(lead, "Leads")
    assert mirror.pull().gone == {record, f"Leads/{lead}"}
    world.box.advance(20)
    world.box.restore(record)
    assert set(mirror.pull().changed) == {record}


def test_purged_rows_are_missed_by_the_next_full_listing(world: World) -> None:
    record = world.box.seed([{"last_name": "Lee"}, {"last_name": "Kay"}])[0]
    mirror = Mirror(world.open(full_every=1))
    mirror.pull()
    world.box.purge(record)
    world.box.advance(1800)
    assert mirror.pull().gone == set()
    world.box.advance(1800)
    assert mirror.pull().gone == {record}


def test_a_broken_off_listing_is_proven_by_the_next_run(world: World) -> None:
    kept = world.box.seed([{"last_name": f"N{n}"} for n in range(25)])
    mirror = Mirror(world.open(page=10))
    mirror.pull(most=1)
    gone = next(iter(mirror.known))
    world.box.purge(gone)
    news = mirror.pull()
    assert news.gone == {gone}
    assert set(mirror.known) == set(kept) - {gone}
    assert [page.complete for page in mirror.pull().pages] == [False]


def test_rows_that_move_do_not_hide_others_from_a_listing(world: World) -> None:
    """Offsets would skip rows when others go (A4)."""
    everybody = world.box.seed([{"last_name": f"N{n}"} for n in range(40)])
    pages = world.open(page=10).changes(None)
    first = next(pages)
    for record in first.records[:5]:
        world.box.remove(record.id)
    rest = list(pages)
    assert set(everybody) == {record.id for record in first.records} | set(ids(rest))
    assert first.total == 40


def test_a_renamed_account_is_news_of_its_contacts(world: World) -> None:
    record, bystander = world.box.seed([{"last_name": "Lee", "account_name": "Acme"}, {"last_name": "Kay"}])
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.advance(20)
    mirror.pull()
    world.box.edit(row(world, record)["account_id"], "Accounts", name="Acme International")
    news = mirror.pull()
    assert set(news.changed) == {record}
    assert bystander in mirror.known
    assert (news.changed[record].card or {})["organizations"]["account_name"]["name"] == "Acme International"


@pytest.mark.parametrize("told", [True, False])
def test_a_shared_opt_out_is_news_of_everybody_with_that_address(world: World, told: bool) -> None:
    """The flag stands with the address; no contact's time moves (A3). Servers that do not show addresses as such show
    it with the next full listing."""
    world.serve(addresses=told)
    email = [{"email_address": "info@x.test", "primary_address": True}]
    both = world.box.seed([{"last_name": "Lee", "email": email}, {"last_name": "Kay", "email": email}])
    mirror = Mirror(world.open(full_every=1))
    mirror.pull()
    world.box.advance(20)
    mirror.pull()
    world.box.opt_out("INFO@x.test")
    mirror.pull()
    seen = {shown(mirror.known[record].consents, "email", "info@x.test") for record in both}
    assert seen == ({"withdrawn"} if told else {"unknown"})
    world.box.advance(3600)
    mirror.pull()
    assert {shown(mirror.known[record].consents, "email", "info@x.test") for record in both} == {"withdrawn"}


def test_membership_is_read_with_the_record_and_with_every_full_listing(world: World) -> None:
    record = world.box.seed([{"last_name": "Lee", "lists": ["Friends"]}])[0]
    mirror = Mirror(world.open(full_every=1))
    mirror.pull()
    assert groups(mirror.known[record]) == {"Friends"}
    for _ in range(2):
        world.box.advance(20)
        mirror.pull()
    world.box.join("Contacts", record, "Choir")
    mirror.pull()
    assert groups(mirror.known[record]) == {"Friends"}, "it moves no time: not seen yet"
    world.box.edit(record, title="Head")
    mirror.pull()
    assert groups(mirror.known[record]) == {"Friends", "Choir"}
    world.box.leave("Contacts", record, "Friends")
    world.box.advance(3600)
    mirror.pull()
    assert groups(mirror.known[record]) == {"Choir"}


def groups(record: Record) -> set[str]:
    return {group["name"] for group in (record.card or {}).get("groups", {}).values()}


def test_a_list_of_more_members_than_a_page(world: World) -> None:
    world.serve(page_cap=7)
    world.box.seed([{"last_name": f"N{n}", "lists": ["Friends"]} for n in range(30)])
    mirror = Mirror(world.open())
    mirror.pull()
    assert len(mirror.known) == 30
    assert all(groups(record) == {"Friends"} for record in mirror.known.values())


def test_a_contact_in_more_lists_than_a_page(world: World) -> None:
    world.serve(page_cap=3)
    record = world.box.seed([{"last_name": "Lee", "lists": [f"List {n}" for n in range(8)]}])[0]
    assert len(groups(one(world.open(), record))) == 8


def test_lists_of_those_who_are_not_to_be_mailed_are_no_groups(world: World) -> None:
    record = world.box.seed([{"last_name": "Lee", "lists": ["Suppressed", "Friends"]}])[0]
    exempt = next(bean for bean in world.box.data.living("ProspectLists") if bean.values["name"] == "Suppressed")
    exempt.values["list_type"] = "exempt"
    connector = world.open()
    assert groups(one(connector, record)) == {"Friends"}
    [page] = [page for page in connector.changes(None) if page.records]
    assert groups(page.records[0]) == {"Friends"}
    other = made(connector, contact(connector, groups={"g": {"name": "Suppressed"}}))
    assert exempt.id not in (other.raw or {})["lists"], "nobody is put on a list of the exempt"


def test_a_cursor_of_other_settings_expires(world: World) -> None:
    cursor = list(world.open().changes(None))[-1].cursor
    with pytest.raises(CursorExpired):
        list(world.open(leads=True).changes(cursor))


def test_both_ways_to_write_a_flag_are_read(world: World) -> None:
    """`true` and "1" (A3); "0" is off."""
    world.serve(text_flags=True)
    email = [{"email_address": "a@x.test", "opt_out": True}, {"email_address": "b@x.test", "primary_address": True}]
    record = one(world.open(), world.box.seed([{"last_name": "Lee", "email": email}])[0])
    assert shown(record.consents, "email", "a@x.test") == "withdrawn"
    assert shown(record.consents, "email", "b@x.test") == "unknown"
    assert shown(record.consents, "phone") == "unknown"
    assert (record.card or {})["emails"]["1"] == {"address": "b@x.test", "pref": 1}


# --- writing (A3, A5, A6) --------------------------------------------------------------------------------------------


def test_ten_edits_are_one_request(world: World) -> None:
    connector = world.open()
    records = [one(connector, at) for at in world.box.seed([{"last_name": f"N{n}"} for n in range(10)])]
    card = {"titles": {"t": {"name": "Head"}}}
    pushes = [Push(r.id, KEY, r, connector.fit({**(r.card or {}), **card}, r.card)) for r in records]
    assert len(world.log(lambda: list(connector.write(pushes)))) == 1
    assert {row["title"] for row in world.box.rows()} == {"Head"}


def test_an_edit_made_meanwhile_is_stale_whatever_is_written(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector, emails={"e": {"address": "ann@x.test"}}))
    world.box.advance(1)
    world.box.edit(held.id, title="Theirs")
    email = {"e": {"address": "new@x.test", "pref": 1}}
    for outcome in (
        changed(connector, held, titles={"t": {"name": "Ours"}}),  # 409 by X-TIMESTAMP
        changed(connector, held, emails=email),  # seen before
        changed(connector, held, keywords={"vip": True}),
        push(connector, held, None),
        push(connector, held, held.card, consents=[Consent("email", "ann@x.test", "withdrawn")]),
    ):
        assert isinstance(outcome.error, Stale)
    assert row(world, held.id)["title"] == "Theirs"
    assert addresses(world, held.id) == {"ann@x.test": (True, False, False)}


def test_one_that_fails_in_a_bulk_fails_alone(world: World) -> None:
    connector = world.open()
    first, second, third = (made(connector, named(n), f"{KEY}{n}") for n in range(3))
    world.box.fail(f"PUT Contacts/{second.id}", 422, "invalid_parameter")
    pushes = [
        Push(r.id, KEY, r, {**(r.card or {}), "titles": {"t": {"name": "Head", "concord:slot": "title"}}})
        for r in (first, second, third)
    ]
    outcomes = {outcome.ref: outcome for outcome in connector.write(pushes)}
    assert isinstance(outcomes[second.id].error, Refused)
    assert good(outcomes[first.id]).card == one(connector, first.id).card
    assert good(outcomes[third.id]).card == one(connector, third.id).card


def test_what_took_effect_is_told_before_a_run_ends(world: World) -> None:
    connector = world.open()
    first, second = (made(connector, named(n), f"{KEY}{n}") for n in range(2))
    world.box.fail(f"PUT Contacts/{second.id}", 429, "too_many")
    pushes = [
        Push(r.id, KEY, r, {**(r.card or {}), "titles": {"t": {"name": "Head", "concord:slot": "title"}}})
        for r in (first, second)
    ]
    outcomes = connector.write(pushes)
    assert good(next(outcomes)).id == first.id
    with pytest.raises(Throttled):
        next(outcomes)


def test_a_create_that_failed_after_its_effect_is_found(world: World) -> None:
    connector = world.open()
    world.box.fail("PATCH integrate", 500, "fatal_error", after=True)
    outcome = push(connector, None, contact(connector))
    assert isinstance(outcome.error, Uncertain)
    [(ref, found)] = connector.find([Push("ref", KEY, None, contact(connector))])
    assert (ref, found.key) == ("ref", KEY)
    assert found.id == world.box.rows()[0]["id"]


def test_a_create_that_could_not_be_read_back_is_uncertain(world: World) -> None:
    connector = world.open()
    world.box.fail("GET integrate", 404, "not_found")
    assert isinstance(push(connector, None, contact(connector)).error, Uncertain)
    assert len(world.box.rows()) == 1


def test_a_key_sent_twice_makes_one_record(world: World) -> None:
    connector = world.open()
    first, again = made(connector, contact(connector)), made(connector, contact(connector))
    assert first.id == again.id
    assert len(world.box.rows()) == 1


def test_another_programs_sync_key_is_not_ours(world: World) -> None:
    assert one(world.open(), world.box.seed([{"last_name": "Lee", "sync_key": "ext-17"}])[0]).key is None


def test_without_keys_a_lost_create_is_found_by_what_it_shows(world: World) -> None:
    world.serve(admin=False)
    connector = world.open()
    card = contact(connector, emails={"e": {"address": "ann@x.test"}}, titles={"t": {"name": "Head"}})
    email = [{"email_address": "ann@x.test"}]
    world.box.seed([{"first_name": "Ann", "last_name": "Lee", "email": email}])  # without the title
    world.box.seed([{"first_name": "Ann", "last_name": "Lee", "email": email, "title": "Head", "sync_key": "ext-1"}])
    assert list(connector.find([Push("ref", KEY, None, card)])) == []
    made_ = made(connector, card)
    assert [(ref, found.id) for ref, found in connector.find([Push("ref", KEY, None, card)])] == [("ref", made_.id)]


def test_two_alike_are_not_found_in_one_record(world: World) -> None:
    world.serve(admin=False)
    connector = world.open()
    there = made(connector, contact(connector))
    pushes = [Push("a", KEY, None, contact(connector)), Push("b", OTHER_KEY, None, contact(connector))]
    assert [found.id for _, found in connector.find(pushes)] == [there.id]


def test_a_field_keeps_our_key_where_sync_key_is_not_allowed(world: World) -> None:
    world.serve(admin=False, custom=["concord_key_c"])
    connector = world.open(key_field="concord_key_c")
    held = made(connector, contact(connector))
    assert held.key == KEY
    assert row(world, held.id)["concord_key_c"] == f"concord-{KEY}"
    assert [found.id for _, found in connector.find([Push("ref", KEY, None, contact(connector))])] == [held.id]


def test_no_name_no_record(world: World) -> None:
    connector = world.open()
    outcome = push(connector, None, connector.fit({"notes": {"n": {"note": "?"}}}, None))
    assert isinstance(outcome.error, Refused)
    assert world.box.rows() == []


def test_texts_are_cut_as_projected(world: World) -> None:
    connector = world.open()
    card = contact(
        connector,
        titles={"t": {"name": "x" * 300}},
        notes={"n": {"note": "ö" * 60_000}},
        addresses={"a": {"concord:lines": "street " * 40}},
        phones={"p": {"number": "0" * 120}},
    )
    held = made(connector, card)
    assert held.card is not None
    assert held.card["titles"]["title"]["name"] == card["titles"]["t"]["name"] == "x" * 100
    assert held.card["notes"]["description"]["note"] == card["notes"]["n"]["note"]
    assert "phones" not in card, "half a number leads elsewhere"


def test_a_birthday_comes_and_goes(world: World) -> None:
    connector = world.open()
    birth = {"b": {"kind": "birth", "date": {"year": 1980, "month": 2, "day": 29}}}
    held = made(connector, contact(connector, anniversaries=birth))
    assert row(world, held.id)["birthdate"] == "1980-02-29"
    after = good(changed(connector, held, anniversaries=None))
    assert "anniversaries" not in (after.card or {})


def test_fields_that_the_user_may_not_write_are_not_sent(world: World) -> None:
    world.serve(denied=["title"])
    connector = world.open()
    held = one(connector, world.box.seed([{"last_name": "Lee", "title": "Head"}])[0])
    both = good(changed(connector, held, titles={"t": {"name": "No"}}, notes={"n": {"note": "Yes"}}))
    assert (both.card or {})["notes"]["description"]["note"] == "Yes"
    assert (both.card or {})["titles"]["title"]["name"] == "Head"
    outcome = changed(connector, both, titles={"t": {"name": "No"}})
    assert isinstance(outcome.error, Refused)
    assert "title" in str(outcome.error)


def test_an_account_that_the_user_may_not_choose_is_not_made(world: World) -> None:
    world.serve(denied=["account_name"])
    connector = world.open()
    held = one(connector, world.box.seed([{"last_name": "Lee"}])[0])
    outcome = changed(connector, held, organizations={"o": {"name": "Acme"}})
    assert isinstance(outcome.error, Refused)
    assert world.box.rows("Accounts") == []
    assert row(world, held.id)["account_id"] == ""


# organisations, tags, lists


def test_organisations_are_linked_or_made_once(world: World) -> None:
    connector = world.open()
    world.box.seed([{"name": "Acme"}], "Accounts")
    names = ["ACME", "Beta", "beta", "Beta"]
    pushes = [
        Push(str(n), f"{KEY}{n}", None, connector.fit({**named(n), "organizations": {"o": {"name": name}}}, None))
        for n, name in enumerate(names)
    ]
    outcomes = [good(outcome) for outcome in connector.write(pushes)]
    assert sorted(account["name"] for account in world.box.rows("Accounts")) == ["Acme", "Beta"]
    assert [(r.card or {})["organizations"]["account_name"]["name"] for r in outcomes] == [
        "Acme",
        "Beta",
        "Beta",
        "Beta",
    ]
    after = good(changed(connector, outcomes[1], organizations=None))
    assert "organizations" not in (after.card or {})
    assert len(world.box.rows("Accounts")) == 2, "only the link goes"
    assert {a["name"] for a in world.box.rows("Accounts")} == {"Acme", "Beta"}


def test_an_organisation_that_may_or_may_not_have_been_made(world: World) -> None:
    connector = world.open()
    world.box.fail("^POST Accounts$", 500, "fatal_error", after=True)
    made(connector, contact(connector, organizations={"o": {"name": "Acme"}}))
    assert [account["name"] for account in world.box.rows("Accounts")] == ["Acme"]
    world.box.fail("^POST Accounts$", 422, "invalid_parameter")
    outcome = push(connector, None, contact(connector, organizations={"o": {"name": "Beta"}}), OTHER_KEY)
    assert isinstance(outcome.error, Refused)
    assert "Beta" in str(outcome.error)
    assert len(world.box.rows()) == 1


def test_an_organisation_whose_fate_is_not_known(world: World) -> None:
    """Nothing was sent of the contact: it is tried again, not set aside."""
    connector = world.open()
    world.box.fail("^POST Accounts$", 500, "fatal_error")
    pushes = [
        Push(str(n), f"{KEY}{n}", None, connector.fit({**named(n), "organizations": {"o": {"name": name}}}, None))
        for n, name in enumerate(["Acme", "ACME"])
    ]
    assert [type(outcome.error) for outcome in connector.write(pushes)] == [Uncertain, Uncertain]
    world.box.fail("^POST Accounts$", 429, "too_many")
    with pytest.raises(Throttled):
        list(connector.write(pushes))
    assert world.box.rows() == []


def test_a_leads_organisation_is_text(world: World) -> None:
    connector = world.open(leads=True, create_as="Leads")
    held = made(connector, contact(connector, organizations={"o": {"name": "Acme", "units": [{"name": "Sales"}]}}))
    assert held.id.startswith("Leads/")
    [lead] = world.box.rows("Leads")
    assert (lead["account_name"], lead["department"]) == ("Acme", "Sales")
    assert world.box.rows("Accounts") == []


def test_tags_of_others_stay_and_letter_case_is_theirs(world: World) -> None:
    connector = world.open()
    held = one(connector, world.box.seed([{"last_name": "Lee", "tag": [{"name": "VIP"}, {"name": "Old"}]}])[0])
    assert (held.card or {})["keywords"] == {"Old": True, "VIP": True}
    after = good(changed(connector, held, keywords={"vip": True, "new": True}))
    assert {tag["name"] for tag in row(world, held.id)["tag"]} == {"VIP", "new"}
    assert (after.card or {})["keywords"] == {"VIP": True, "new": True}


def test_target_lists_are_made_joined_and_left(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector, groups={"g": {"name": "Friends"}, "h": {"name": "Choir"}}))
    assert world.box.lists(held.id) == {"Friends", "Choir"}
    world.box.join("Contacts", held.id, "Theirs")
    left = {key: group for key, group in (held.card or {})["groups"].items() if group["name"] != "Choir"}
    after = good(changed(connector, held, groups=left))
    assert groups(after) == {"Friends", "Theirs"}, "what was joined meanwhile is seen"
    assert world.box.lists(held.id) == {"Friends", "Theirs"}
    assert len(world.box.rows("ProspectLists")) == 3


def test_an_edit_elsewhere_leaves_lists_alone(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector, groups={"g": {"name": "Friends"}}))
    after = good(changed(connector, held, titles={"t": {"name": "Head"}}))
    assert groups(after) == {"Friends"}
    assert after.version == one(connector, held.id).version


# --- consent (A3) ----------------------------------------------------------------------------------------------------


def test_every_place_for_consent_is_shown(world: World) -> None:
    email = [
        {"email_address": "a@x.test", "opt_out": True},
        {"email_address": "b@x.test", "invalid_email": True},
        {"email_address": "c@x.test", "primary_address": True},
    ]
    record = one(world.open(), world.box.seed([{"last_name": "Lee", "email": email, "do_not_call": True}])[0])
    assert [(c.channel, c.address, c.state) for c in record.consents] == [
        ("email", "c@x.test", "unknown"),
        ("email", "a@x.test", "withdrawn"),
        ("email", "b@x.test", "undeliverable"),
        ("phone", "", "withdrawn"),
    ]


def test_an_opt_out_is_written_where_it_stands_and_nowhere_else(world: World) -> None:
    connector = world.open()
    emails = {"e": {"address": "a@x.test", "pref": 1}, "f": {"address": "b@x.test"}}
    held = made(connector, contact(connector, emails=emails))
    after = good(push(connector, held, held.card, consents=[Consent("email", "B@x.test", "withdrawn")]))
    assert addresses(world, held.id) == {"a@x.test": (True, False, False), "b@x.test": (False, True, False)}
    assert shown(after.consents, "email", "b@x.test") == "withdrawn"
    assert not row(world, held.id)["do_not_call"]
    world.box.advance(1)
    call = good(push(connector, after, after.card, consents=[Consent("phone", "", "withdrawn")]))
    assert row(world, held.id)["do_not_call"]
    assert shown(call.consents, "email", "b@x.test") == "withdrawn"
    back = good(
        push(connector, call, call.card, consents=[Consent("email", "b@x.test", "granted", START, {"ip": "1"})])
    )
    assert shown(back.consents, "email", "b@x.test") == "unknown", "there is no opt-in to be shown"
    assert shown(back.consents, "phone") == "withdrawn"


@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_no_edit_takes_an_opt_out_back(world: World, resets: bool, told: bool) -> None:
    """The flag moved at another record since we read this one: its time says nothing of that (A3)."""
    world.serve(resets=resets, addresses=told)
    connector = world.open()
    held = made(connector, contact(connector, emails={"e": {"address": "info@x.test"}}))
    world.box.opt_out("info@x.test")
    two = {"e": {"address": "info@x.test", "pref": 1}, "f": {"address": "ann@x.test"}}
    after = good(changed(connector, held, emails=two))
    assert addresses(world, held.id)["info@x.test"] == (True, True, False)
    assert shown(after.consents, "email", "info@x.test") == "withdrawn"
    world.box.opt_out("b@x.test")
    other = made(connector, contact(connector, emails={"e": {"address": "Info@x.test"}}), OTHER_KEY)
    assert shown(other.consents, "email", "info@x.test") == "withdrawn", "one address is one for all"
    assert addresses(world, held.id)["info@x.test"] == (True, True, False)
    good(changed(connector, other, emails={"e": {"address": "new@x.test"}}))
    assert addresses(world, held.id)["info@x.test"] == (True, True, False)


def test_the_opt_out_of_somebody_deleted_is_remembered(world: World) -> None:
    connector = world.open()
    email = [{"email_address": "ann@x.test", "opt_out": True}]
    world.box.remove(world.box.seed([{"last_name": "Lee", "email": email}])[0])
    held = made(connector, contact(connector, emails={"e": {"address": "ann@x.test"}}))
    assert shown(held.consents, "email", "ann@x.test") == "withdrawn"


def test_a_create_is_opted_out_in_the_request_that_makes_it(world: World) -> None:
    connector = world.open()
    consents = [Consent("email", "ann@x.test", "withdrawn"), Consent("phone", "", "withdrawn")]
    held = made(connector, contact(connector, emails={"e": {"address": "ann@x.test"}}), consents=consents)
    assert {c.state for c in held.consents} == {"withdrawn"}
    body = [line for line in world.box.faults.log if "PATCH" in line]
    assert len(body) == 1


def test_who_asked_to_be_forgotten_is_blanked_before_the_delete(world: World) -> None:
    connector = world.open()
    card = contact(
        connector,
        emails={"e": {"address": "ann@x.test"}},
        titles={"t": {"name": "Head"}},
        organizations={"o": {"name": "Acme"}},
        anniversaries={"b": {"kind": "birth", "date": {"year": 1980, "month": 2, "day": 29}}},
        keywords={"vip": True},
    )
    held = made(connector, card)
    [outcome] = connector.write([Push("ref", KEY, held, None, erase=True)])
    assert good(outcome).card is None
    bean = world.box.data.beans["Contacts"][held.id]
    assert bean.deleted
    assert (bean.values["first_name"], bean.values["last_name"], bean.values["title"]) == ("", "erased", "")
    assert (bean.emails, bean.tags, bean.account, bean.values["birthdate"]) == ({}, [], "", "")


# --- emails ----------------------------------------------------------------------------------------------------------


def test_the_primary_address_can_be_moved_and_removed(world: World) -> None:
    connector = world.open()
    emails = {"e": {"address": "a@x.test", "pref": 1}, "f": {"address": "b@x.test"}}
    held = made(connector, contact(connector, emails=emails))
    moved = {"1": {"address": "a@x.test"}, "2": {"address": "b@x.test", "pref": 1}}
    after = good(changed(connector, held, emails=moved))
    assert addresses(world, held.id) == {"a@x.test": (False, False, False), "b@x.test": (True, False, False)}
    last = good(changed(connector, after, emails={"2": {"address": "a@x.test"}}))
    assert addresses(world, held.id) == {"a@x.test": (True, False, False)}
    assert (last.card or {})["emails"] == {"1": {"address": "a@x.test", "pref": 1}}


def test_addresses_that_came_meanwhile_elsewhere_are_not_dropped(world: World) -> None:
    """The array replaces the list (A3): the change is written into what is there."""
    connector = world.open()
    held = made(connector, contact(connector, emails={"e": {"address": "a@x.test"}}))
    bean = world.box.data.beans["Contacts"][held.id]
    bean.emails[world.box.data.share("theirs@x.test", {}).id] = False
    good(changed(connector, held, emails={"e": {"address": "new@x.test"}}))
    assert set(addresses(world, held.id)) == {"new@x.test", "theirs@x.test"}


def test_what_is_no_address_is_not_sent(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector, emails={"e": {"address": "not an address"}}))
    assert "emails" not in (held.card or {})


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_thin_answer_is_read_back(world: World) -> None:
    """Whether POST and PUT answer in full is not confirmed (A3, K)."""
    world.serve(full_answers=False, admin=False)
    connector = world.open()
    held = made(connector, contact(connector, emails={"e": {"address": "a@x.test"}}))
    assert held.card == one(connector, held.id).card
    after = good(changed(connector, held, titles={"t": {"name": "Head"}}))
    assert after.card == one(connector, held.id).card


def test_a_lost_bulk_is_uncertain_for_all_of_it(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector))
    world.box.faults.add("lost_after", "PUT Contacts")
    outcome = changed(connector, held, titles={"t": {"name": "Head"}})
    assert isinstance(outcome.error, Uncertain)
    assert row(world, held.id)["title"] == "Head"


def test_maintenance_is_no_deletion(world: World) -> None:
    world.box.seed([{"last_name": "Lee"}])
    world.box.faults.add("unavailable", times=99)
    with pytest.raises(Unreachable):
        list(world.open().changes(None))


def test_a_call_that_fails_within_a_reading_bulk_ends_the_reading(world: World) -> None:
    mirror = Mirror(world.open())
    mirror.pull()
    world.box.fail("^POST Contacts/filter$", 500, "fatal_error", times=9)
    before = mirror.cursor
    with pytest.raises(Unreachable):
        mirror.pull()
    assert mirror.cursor == before


def test_settings_that_cannot_work_are_refused() -> None:
    good_ones = {"url": "https://crm.x.test/index.php?module=Home", "username": "a", "password": "b"}
    assert CONNECTOR.settings(**good_ones).model_dump()["url"] == "https://crm.x.test"
    for bad in ({"url": "crm.x.test"}, {"create_as": "Leads"}, {"key_field": "1; drop"}, {"platform": ""}):
        with pytest.raises(ValidationError):
            CONNECTOR.settings(**{**good_ones, **bad})


def test_a_record_of_a_module_that_is_not_ours_is_not_there(world: World) -> None:
    lead = world.box.seed([{"last_name": "Lead"}], "Leads")[0]
    assert one(world.open(), f"Leads/{lead}").card is None
    assert one(world.open(leads=True), f"Leads/{lead}").card is not None
