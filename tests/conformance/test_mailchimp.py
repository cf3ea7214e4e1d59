"""The Mailchimp connector against its sandbox: consent, shared addresses, new addresses, the archive, what is found
late, bulk and batches. Everything that goes over the wire is held against the specification."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from mailchimpspec import Watched
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors import loopback
from connectors.card import Card, Equivalence, components
from connectors.consent import Consent
from connectors.contract import Account, Context, Outcome, Page, Push, Record
from connectors.errors import CursorExpired, Error, Missing, Refused, Throttled, Unauthorised, Uncertain
from connectors.mailchimp import CONNECTOR, answers, client
from connectors.mailchimp.connector import Mailchimp
from connectors.mailchimp.sandbox import API_KEY, MailchimpSandbox, create
from connectors.sandbox import running
from connectors.testbench import overlaid, rekeyed

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
SAID = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROOF = {"timestamp": SAID.isoformat(), "ip": "192.0.2.7"}
EQ = Equivalence()
ANN = "ann@example.org"


class Host:
    """One server for all tests; each has a box of its own. most: requests that were under way at the same time."""

    def __init__(self) -> None:
        self.url = ""
        self.app: ASGIApp = create().app
        self.most = self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._now += scope["type"] == "http"
        self.most = max(self.most, self._now)
        try:
            await self.app(scope, receive, send)
        finally:
            self._now -= scope["type"] == "http"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made
    assert made.most == 1, "of the ten connections that all apps of a user share (note 1), we use one"


class World:
    """An audience, a connector, and the little an engine does."""

    def __init__(self, host: Host, more: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.box: MailchimpSandbox = create(now=lambda: START, **options)
        host.app = self.watched = Watched(self.box.app)
        self.settings = {**self.box.settings(host.url), **(more or {})}
        self.counted: Counter[str] = Counter()
        self.url = host.url
        self.connector = self.open()

    def open(self, **more: Any) -> Mailchimp:
        def count(method: str, sent: int, received: int) -> None:
            self.counted[method] += 1

        context = Context(now=self.box.clock, sleep=self.box.advance, random=lambda: 0.5, requests=count)
        return Mailchimp(CONNECTOR.settings(**{**self.settings, **more}), context)  # type: ignore[arg-type]

    def cost(self, act: Callable[[], Any]) -> int:
        """How many requests this takes."""
        before = self.counted.total()
        act()
        return self.counted.total() - before

    # acts

    def push(self, card: Card, held: Record | None = None, consents: Sequence[Consent] = (), key: str = "") -> Push:
        """The push that makes a record of this card, or that makes `held` show it."""
        ref = key or f"uid-{id(card)}"
        if held is None:
            return Push(ref, ref, None, self.connector.fit(card, None), consents=consents)
        seen = rekeyed(held.card or {}, card, EQ)
        fitted = self.connector.fit(card, seen)
        wanted = overlaid(seen, self.connector.fit(seen, seen), fitted, EQ)
        return Push(ref, ref, replace(held, card=seen), wanted, consents=consents)

    def write(self, *pushes: Push) -> list[Outcome]:
        """Outcomes in the order of the pushes."""
        found = {outcome.ref: outcome for outcome in self.connector.write(pushes)}
        assert found.keys() == {push.ref for push in pushes}
        return [found[push.ref] for push in pushes]

    def create(self, card: Card, *consents: Consent, key: str = "") -> Record:
        return good(self.write(self.push(card, None, consents, key))[0])

    def refused(self, push: Push) -> str:
        error = self.write(push)[0].error
        assert isinstance(error, Refused), error
        return str(error)

    def read(self, name: str) -> Record:
        [record] = self.connector.read([name])
        return record

    def pull(self, cursor: Any = None, connector: Mailchimp | None = None) -> tuple[list[Page], Any]:
        """(pages, cursor)."""
        pages = list((connector or self.connector).changes(cursor))
        return pages, next((page.cursor for page in reversed(pages) if page.cursor is not None), cursor)

    def quiet(self) -> Any:
        """A cursor after which there is nothing new."""
        _, cursor = self.pull()
        for _ in range(2):
            self.box.advance(301)
            _, cursor = self.pull(cursor)
        return cursor

    def statuses(self) -> list[str]:
        """Every status that went over the wire in an update."""
        bodies = [body for method, path, _, body in self.watched.requests if method in ("PATCH", "PUT")]
        return [body["status"] for body in bodies if "status" in body]


def good(outcome: Outcome) -> Record:
    assert outcome.error is None, outcome.error
    assert outcome.record is not None
    return outcome.record


@pytest.fixture
def make(host: Host) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def build(more: Mapping[str, Any] | None = None, **options: Any) -> World:
        made.append(World(host, more, **options))
        return made[-1]

    yield build
    for world in made:
        world.connector.close()
        assert not world.watched.violations, "\n".join(world.watched.violations[:3])


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    return make()


def person(given: str = "Ann", surname: str = "Bell", address: str = ANN, **more: Any) -> dict[str, Any]:
    name = {"components": components({"given": given, "surname": surname})}
    return {"name": name, "emails": {"e1": {"address": address}}, **more}


def consent(state: Any, address: str = ANN, channel: Any = "email", **evidence: str) -> Consent:
    return Consent(channel, address, state, SAID, evidence)


def records(pages: Sequence[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


def listed(pages: Sequence[Page]) -> set[str]:
    return {name for page in pages for name in page.listed}


# --- horror stories ---------------------------------------------------------------------------------------------------


def test_a_profile_edit_does_not_re_subscribe(world: World) -> None:
    """An integration that sends `status` with every edit opts people in again that an admin had taken out."""
    held = world.create(person(), consent("granted", **PROOF))
    world.box.edit(ANN, status="unsubscribed")
    for name in ("Anna", "Annie"):
        held = good(world.write(world.push(person(name), held))[0])
        assert held.consents[0].state == "withdrawn"
    good(world.write(world.push(person("Annie", address="bell@example.org"), held))[0])
    assert world.box.member("bell@example.org")["status"] == "unsubscribed"
    assert world.statuses() == []


def test_the_compliance_error_does_not_repeat_for_ever(world: World) -> None:
    """The person unsubscribed; somebody's old "yes" is sent with every edit, and no edit ever arrives."""
    held = world.create(person(), consent("granted", **PROOF))
    world.box.audience.unsubscribe(ANN)
    words = world.refused(world.push(person("Anna"), held, [consent("granted", **PROOF)]))
    assert "nobody but the person" in words
    assert "forms" in words and "pending" in words, "it says what to do"
    assert world.statuses() == ["subscribed"], "it was tried once"
    member = world.box.member(ANN)
    assert (member["status"], member["merge_fields"]["FNAME"]) == ("unsubscribed", "Anna"), "the edit did arrive"
    held = good(world.write(world.push(person("Annie"), world.read(held.id)))[0])
    assert world.statuses() == ["subscribed"]
    assert held.consents[0].state == "withdrawn"


def test_two_people_at_one_address(world: World) -> None:
    """A couple: whoever comes second must not become the first one's name."""
    ann = world.create(person("Ann", phones={"p": {"number": "+49 30 1"}}))
    before = world.box.member(ANN)
    words = world.refused(world.push(person("Bob")))
    assert "already is a member as Ann Bell; two people share this address" in words
    assert world.box.member(ANN) == before
    assert list(world.connector.find([world.push(person("Bob"))])) == [], "nor is it taken for a lost create of his"
    assert [record.id for _, record in world.connector.find([world.push(person("Ann"))])] == [ann.id]


def test_two_people_at_one_address_in_one_request(world: World) -> None:
    first, second = world.write(
        world.push(person("Ann"), key="a"), world.push(person("Bob", address=ANN.upper()), key="b")
    )
    assert good(first).consents[0].state == "unknown"
    assert isinstance(second.error, Refused)
    assert "as Ann Bell" in str(second.error)


def test_a_stale_list_opts_nobody_in(world: World) -> None:
    """Somebody imports an old list as "subscribed": no evidence comes of it, and the opt-out can be written again."""
    held = world.create(person(), consent("withdrawn"))
    cursor = world.quiet()
    row = {"email_address": ANN, "status": "subscribed"}
    world.box.call("POST", f"/lists/{world.box.audience.id}", {}, {"members": [row], "update_existing": True})
    [news] = records(world.pull(cursor)[0])
    assert (news.consents[0].state, news.consents[0].evidence) == ("granted", {})
    held = good(world.write(world.push(person(), news, [consent("withdrawn")]))[0])
    assert held.consents[0].state == "withdrawn"


# --- consent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ((), "transactional"),
        ((consent("withdrawn"),), "unsubscribed"),
        ((consent("granted", **PROOF),), "subscribed"),
        ((consent("granted"),), "transactional"),
        ((consent("pending"),), "transactional"),
    ],
)
def test_a_new_member_is_what_is_known_in_the_same_request(world: World, known: Any, status: str) -> None:
    made = world.create(person(), *known)
    [row] = [body["members"][0] for method, path, _, body in world.watched.requests if method == "POST"]
    assert row["status"] == status == world.box.member(ANN)["status"]
    assert world.box.audience.mails == []
    [shown], [answered] = world.read(made.id).consents, made.consents
    assert (shown.place, shown.state, shown.at, shown.evidence) == (
        answered.place,
        answered.state,
        answered.at,
        answered.evidence,
    )


def test_an_address_is_one_however_it_is_written(world: World) -> None:
    made = world.create(person(address="Ann@Example.ORG"))
    assert (made.card or {})["emails"]["email"]["address"] == "Ann@example.org", "as the person writes it"
    assert [record.id for _, record in world.connector.find([world.push(person())])] == [made.id]
    held = good(world.write(world.push(person(), made, [consent("withdrawn", "ANN@EXAMPLE.ORG")]))[0])
    assert held.consents[0].state == "withdrawn"
    assert len(world.box.audience.members) == 1


def test_evidence_is_passed_on_and_comes_back(world: World) -> None:
    made = world.create(person(), consent("granted", **PROOF))
    member = world.box.member(ANN)
    assert (member["timestamp_opt"], member["ip_opt"]) == (PROOF["timestamp"], "192.0.2.7")
    for record in (made, world.read(made.id)):
        assert (record.consents[0].at, record.consents[0].evidence) == (SAID, PROOF)


def test_the_person_opts_in_again(world: World) -> None:
    made = world.create(person())
    world.box.audience.unsubscribe(ANN, "NORMAL")
    [shown] = world.read(made.id).consents
    assert (shown.state, shown.reason, shown.evidence) == ("withdrawn", "NORMAL", {})
    world.box.audience.sign_up(ANN, "192.0.2.7")
    [shown] = world.read(made.id).consents
    assert (shown.state, shown.evidence["ip"], shown.evidence["form"]) == ("granted", "192.0.2.7", "Hosted Signup Form")


def test_who_may_be_asked_is_asked_only_when_it_is_said(world: World) -> None:
    held = world.create(person())
    world.box.audience.unsubscribe(ANN)
    held = good(world.write(world.push(person(), world.read(held.id), [consent("pending")]))[0])
    assert held.consents[0].state == "pending"
    assert world.box.audience.mails == [ANN]


def test_no_evidence_no_subscription(world: World) -> None:
    held = world.create(person(), consent("withdrawn"))
    words = world.refused(world.push(person("Anna"), held, [consent("granted")]))
    assert "evidence" in words
    assert world.statuses() == []
    assert world.box.member(ANN)["merge_fields"]["FNAME"] == "Anna", "the edit has nothing to do with it"


def test_a_bounce_is_told(world: World) -> None:
    made = world.create(person())
    cursor = world.quiet()
    world.box.audience.bounce(ANN)
    [news] = records(world.pull(cursor)[0])
    assert news.id == made.id and news.card
    assert (news.consents[0].state, news.consents[0].reason) == ("undeliverable", "hard bounce")


def test_text_messages_cannot_be_written(world: World) -> None:
    made = world.create(person())
    world.box.audience.find(ANN).facts |= {"sms_phone_number": "+14046550123", "sms_subscription_status": "subscribed"}
    held = world.read(made.id)
    assert [(c.channel, c.address, c.state) for c in held.consents][1] == ("sms", "+14046550123", "granted")
    words = world.refused(world.push(person("Anna"), held, [consent("withdrawn", "+14046550123", "sms")]))
    assert "by hand" in words


# --- new addresses ----------------------------------------------------------------------------------------------------


def test_a_new_address_keeps_the_record(world: World) -> None:
    held = world.create(person(groups={"g": {"name": "vip"}}))
    after = good(world.write(world.push(person(address="bell@example.org", groups={"g": {"name": "vip"}}), held))[0])
    assert after.id == held.id == world.box.member("bell@example.org")["contact_id"]
    assert after.raw["hash"] == world.box.member("bell@example.org")["id"] != held.raw["hash"]
    assert after.card == {
        **(held.card or {}),
        "emails": {"email": {"address": "bell@example.org", "concord:slot": "email"}},
    }
    assert len(world.box.audience.members) == 1


def collide(world: World, name: str = "Ann", **target: Any) -> tuple[Record, Push]:
    """Ann moves to an address that is a member already."""
    held = world.create(person(groups={"g": {"name": "vip"}}, phones={"p": {"number": "+49 30 1"}}))
    world.box.edit(ANN, SHOESIZE="38")
    given = {"email_address": "bell@example.org", "status": "transactional", **target}
    given["merge_fields"] = {"FNAME": name, "LNAME": "Bell", "COMPANY": "Weiß"}
    status, body = world.box.call("POST", f"/lists/{world.box.audience.id}/members", {}, given)
    assert status == 200, body
    wanted = person(
        "Ann", address="bell@example.org", groups={"g": {"name": "vip"}}, phones={"p": {"number": "+49 30 2"}}
    )
    return held, world.push(wanted, held)


def test_an_address_that_is_the_same_person_elsewhere_is_merged_by_hand(world: World) -> None:
    held, push = collide(world, tags=["old friend"])
    after = good(world.write(push)[0])
    target = world.box.member("bell@example.org")
    assert after.id == target["contact_id"] != held.id
    assert after.aliases == (held.id,)
    assert target["merge_fields"]["PHONE"] == "+49 30 2", "as the card has it"
    assert target["merge_fields"]["SHOESIZE"] == "38", "what no card knows goes along"
    assert target["merge_fields"]["COMPANY"] == "Weiß", "what the target has stays"
    assert {tag["name"] for tag in target["tags"]} == {"vip", "old friend"}
    assert world.box.member(ANN)["status"] == "archived", "archived, not deleted"
    assert after == replace(world.read(after.id), aliases=after.aliases)
    assert not [path for _, path, _, _ in world.watched.requests if "delete-permanent" in path]


def test_an_opt_out_goes_along(world: World) -> None:
    _, push = collide(world, status="subscribed")
    world.box.audience.unsubscribe(ANN)
    assert good(world.write(push)[0]).consents[0].state == "withdrawn"


def test_a_target_that_said_no_is_not_asked_again(world: World) -> None:
    _, push = collide(world, status="subscribed")
    world.box.edit(ANN, status="subscribed")
    world.box.audience.unsubscribe("bell@example.org")
    assert good(world.write(push)[0]).consents[0].state == "withdrawn"
    assert world.statuses() == []


def test_a_target_in_the_archive_comes_back_and_is_not_subscribed(world: World) -> None:
    _, push = collide(world, status="subscribed")
    world.box.call("DELETE", f"/lists/{world.box.audience.id}/members/bell@example.org", {}, None)
    after = good(world.write(push)[0])
    assert after.consents[0].state == "unknown"
    assert after.card


def test_an_address_of_somebody_else_is_left_to_them(world: World) -> None:
    _, push = collide(world, name="Bob")
    before = world.box.member("bell@example.org"), world.box.member(ANN)
    assert "as Bob Bell; two people share" in world.refused(push)
    assert (world.box.member("bell@example.org"), world.box.member(ANN)) == before


def test_a_member_needs_an_address(world: World) -> None:
    card = {"name": person()["name"], "phones": {"p": {"number": "1"}}}
    assert world.connector.fit(card, None) == {}
    held = world.create(person())
    assert "cannot be without an e-mail address" in world.refused(world.push(card, held))
    assert world.box.member(ANN)["merge_fields"]["LNAME"] == "Bell"


# --- the archive, and for good ----------------------------------------------------------------------------------------


def delete(world: World, held: Record, erase: bool = False) -> Outcome:
    return world.write(Push("d", "d", held, None, erase=erase))[0]


def test_we_delete_by_archiving_and_see_what_comes_back(world: World) -> None:
    held = world.create(person())
    cursor = world.quiet()
    assert good(delete(world, held)).card is None
    assert world.box.member(ANN)["status"] == "archived"
    assert world.read(held.id).card is None
    pages, cursor = world.pull(cursor)
    assert [(record.id, record.card) for record in records(pages)] == [(held.id, None)]
    assert good(delete(world, held)).card is None, "once more does no harm"
    world.box.advance(60)
    world.box.edit(ANN, status="subscribed")
    [back] = records(world.pull(cursor)[0])
    assert back.id == held.id and back.card == held.card


def test_what_is_archived_is_not_brought_back_by_an_edit(world: World) -> None:
    held = world.create(person())
    world.box.call("DELETE", f"/lists/{world.box.audience.id}/members/{ANN}", {}, None)
    for consents in ((), (consent("withdrawn"),)):
        [outcome] = world.write(world.push(person("Anna"), held, consents))
        assert isinstance(outcome.error, Missing)
    assert world.box.member(ANN)["status"] == "archived"


@pytest.mark.parametrize(("said_no", "status"), [(False, "transactional"), (True, "unsubscribed")])
def test_a_person_made_anew_comes_out_of_the_archive(world: World, said_no: bool, status: str) -> None:
    held = world.create(person(), consent("granted", **PROOF))
    if said_no:
        world.box.audience.unsubscribe(ANN)
    delete(world, held)
    again = world.create(person(groups={"g": {"name": "vip"}}), key="another")
    assert again.id == held.id
    assert world.box.member(ANN)["status"] == status, "nobody is subscribed by it"
    assert again.card and list(again.card["groups"].values()) == [{"name": "vip"}]
    assert again.consents == world.read(held.id).consents


def test_what_a_person_was_before_does_not_come_out_of_the_archive(world: World) -> None:
    """Only what we have no place for stays as it was."""
    before = {
        "phones": {"p": {"number": "+44 20 7946 0001"}},
        "organizations": {"o": {"name": "Old Ltd"}},
        "groups": {"g": {"name": "old"}, "i": {"name": "Newsletters: Weekly"}},
    }
    held = world.create(person(**before))
    world.box.edit(ANN, SHOESIZE="43")
    delete(world, held)
    mobile = {"p": {"number": "+44 7700 900002", "features": {"mobile": True}}}
    again = world.create(person(phones=mobile, groups={"g": {"name": "new"}}), key="another")
    assert again.id == held.id and again.card
    assert [phone["number"] for phone in again.card["phones"].values()] == ["+44 7700 900002"]
    assert [group["name"] for group in again.card["groups"].values()] == ["new"]
    assert "organizations" not in again.card
    assert world.box.member(ANN)["merge_fields"]["SHOESIZE"] == "43"


def test_somebody_else_in_the_archive_is_left_in_peace(world: World) -> None:
    delete(world, world.create(person()))
    assert "as Ann Bell" in world.refused(world.push(person("Bob")))
    assert world.box.member(ANN)["merge_fields"]["FNAME"] == "Ann"


def test_the_forgotten_stay_forgotten(world: World) -> None:
    held = world.create(person())
    assert good(delete(world, held, erase=True)).card is None
    assert not world.box.audience.members
    assert isinstance(delete(world, held, erase=True).error, Missing)
    for known in ((), (consent("granted", **PROOF),), (consent("withdrawn"),)):
        words = world.refused(world.push(person(), None, known))
        assert "permanently deleted" in words and "sign up again" in words
    assert not world.box.audience.members


# --- groups -----------------------------------------------------------------------------------------------------------


def test_tags_and_interests(world: World) -> None:
    weekly, *_ = (entry["id"] for entry in world.box.audience.interests)
    groups = {"a": {"name": "newsletters: weekly"}, "b": {"name": "vip"}}
    held = world.create(person(groups=groups))
    member = world.box.member(ANN)
    assert member["interests"][weekly] is True
    assert [tag["name"] for tag in member["tags"]] == ["vip"], "what is an interest is no tag"
    assert {g["name"] for g in (held.card or {})["groups"].values()} == {"Newsletters: Weekly", "vip"}
    held = good(world.write(world.push(person(groups={"c": {"name": "press"}}), held))[0])
    member = world.box.member(ANN)
    assert member["interests"][weekly] is False
    assert [tag["name"] for tag in member["tags"]] == ["press"]
    assert {g["name"] for g in (held.card or {})["groups"].values()} == {"press"}


def test_more_tags_than_a_member_shows(world: World) -> None:
    names = [f"tag {number:02}" for number in range(60)]
    groups = {name: {"name": name} for name in names}
    held = world.create(person(groups=groups))
    assert len((held.card or {})["groups"]) == 60
    assert records(world.pull()[0])[0].card == held.card
    del groups["tag 59"]  # one of those that the member does not show
    held = good(world.write(world.push(person(groups=groups), held))[0])
    assert len((held.card or {})["groups"]) == 59


# --- values that Mailchimp is particular about ------------------------------------------------------------------------

FULL = {"addr1": "Weg 1", "city": "Bonn", "state": "NRW", "zip": "53111", "country": "DE"}


def test_an_incomplete_address_in_the_member_does_not_stop_an_edit(world: World) -> None:
    merge = {"FNAME": "Ann", "LNAME": "Bell", "ADDRESS": {**FULL, "state": ""}}
    [name] = world.box.seed([{"email_address": ANN, "merge_fields": merge}])
    held = world.read(name)
    assert (held.card or {})["addresses"], "what there is of it is shown"
    card = {**(held.card or {}), "name": person("Anna")["name"]}
    good(world.write(Push("u", "u", held, card))[0])
    assert world.box.member(ANN)["merge_fields"]["ADDRESS"] == merge["ADDRESS"], "and left as it is"
    assert world.box.member(ANN)["merge_fields"]["FNAME"] == "Anna"


def test_an_edit_that_mailchimp_drops_is_no_success(make: Callable[..., World]) -> None:
    world = make(swallows=True)
    merge = {"FNAME": "Ann", "LNAME": "Bell", "ADDRESS": {**FULL, "state": ""}}
    [name] = world.box.seed([{"email_address": ANN, "merge_fields": merge}])
    held = world.read(name)
    card = {**(held.card or {}), "organizations": {"COMPANY": {"name": "Weiß", "concord:slot": "COMPANY"}}}
    words = world.refused(Push("u", "u", held, card))
    assert "did not store COMPANY" in words


def test_a_bad_row_spoils_no_other(world: World) -> None:
    world.box.audience.busy.add("busy@example.org")
    outcomes = world.write(
        world.push(person(), key="1"),
        world.push(person("Bob", address="bob@nowhere.invalid"), key="2"),
        world.push(person("Cat", address="busy@example.org"), key="3"),
        world.push({**person("Dan", address="dan@example.org")}, key="4"),
    )
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, True]
    assert "no real one; correct it" in str(outcomes[1].error)
    assert "retry in a day or two" in str(outcomes[2].error)


def test_a_request_that_is_refused_whole_is_tried_in_halves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = client.Client.create

    def picky(self: client.Client, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        if any(row["email_address"].startswith("bad") for row in rows):
            raise Refused("Schema describes string")
        return whole(self, rows)

    monkeypatch.setattr(client.Client, "create", picky)
    names = ["a", "b", "bad", "d", "e"]
    outcomes = world.write(*(world.push(person(n, address=f"{n}@example.org"), key=n) for n in names))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True, True]


# --- our key ----------------------------------------------------------------------------------------------------------


def test_our_key_in_a_merge_field(make: Callable[..., World]) -> None:
    world = make({"key_field": "CONCORDID"})
    assert "will be made" in " ".join(world.connector.check().notes)
    held = world.create(person(), key="the-key")
    made = world.box.audience.merge_fields[-1]
    assert (made["tag"], made["public"]) == ("CONCORDID", False)
    assert held.key == world.read(held.id).key == world.box.member(ANN)["merge_fields"]["CONCORDID"] == "the-key"
    assert (held.card or {}).keys() == {"name", "emails"}, "it is no part of the card"
    mine, theirs = world.push(person("Anna"), key="the-key"), world.push(person(), key="another")
    assert [ref for ref, _ in world.connector.find([mine, theirs])] == ["the-key"], "the name does not count then"
    again = good(world.write(mine)[0])
    assert again.id == held.id, "a create that was made already is no second member"
    assert world.box.member(ANN)["merge_fields"]["FNAME"] == "Anna"
    assert "two people share" in world.refused(theirs)


# --- what is found, and when ------------------------------------------------------------------------------------------


def seeded(world: World, number: int, start: int = 0) -> list[str]:
    people = (
        {"email_address": f"p{n}@example.org", "merge_fields": {"LNAME": f"P{n}"}} for n in range(start, start + number)
    )
    return world.box.seed(people)


def test_everybody_is_read_whatever_moves_meanwhile(make: Callable[..., World]) -> None:
    world = make({"page_size": 3})
    names = []
    for number in range(10):
        names += seeded(world, 1, number)
        world.box.advance(60)
    shown: dict[str, Record] = {}
    for step, page in enumerate(world.connector.changes(None)):
        for record in page.records:
            shown[record.id] = record
        if step == 0:  # what was on the first page moves to the end, what is on the next is archived
            world.box.edit("p0@example.org", LNAME="Moved")
            world.box.call("DELETE", f"/lists/{world.box.audience.id}/members/p5@example.org", {}, None)
    assert {*names} - shown.keys() <= {names[5]}
    assert page.cursor is not None
    assert "Moved" in str(shown[names[0]].card)


def test_an_import_within_one_second(make: Callable[..., World]) -> None:
    world = make({"page_size": 10})
    names = seeded(world, 47)
    assert world.cost(lambda: world.pull()) == 5 + 5, "five pages, and what a first listing asks for beside"
    pages, cursor = world.pull()
    assert {record.id for record in records(pages)} == {*names}
    assert len(records(pages)) == 47
    assert pages[-1].complete
    more = seeded(world, 33, start=47)
    assert {record.id for record in records(world.pull(cursor)[0])} == {*more}


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_page_that_ends_within_a_second(make: Callable[..., World], inclusive: bool) -> None:
    """The rest of that second is on the next page, whether or not a time takes in its own second."""
    world = make({"page_size": 3}, inclusive=inclusive)
    cursor = world.quiet()
    names = []
    for number in range(0, 12, 2):
        names += seeded(world, 2, number)
        world.box.advance(1)
    for known in (None, cursor):
        assert [record.id for record in records(world.pull(known)[0])] == names


def test_a_listing_that_misses_somebody_is_not_complete(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nobody is taken for deleted, and it is tried again in an hour."""
    world = make({"page_size": 4})
    names = seeded(world, 9)
    cursor = world.quiet()
    world.box.advance(24 * 3600)
    whole = world.box.audience.listing
    monkeypatch.setattr(world.box.audience, "listing", lambda archived: whole(archived)[:-1] + whole(archived)[:1])
    pages, cursor = world.pull(cursor)
    assert len(listed(pages)) == 8
    assert not any(page.complete for page in pages)
    monkeypatch.undo()
    assert not listed(world.pull(cursor)[0]), "not at once"
    world.box.advance(3600)
    pages, cursor = world.pull(cursor)
    assert pages[-1].complete
    assert listed(pages) == {*names}


def test_what_leaves_no_trace_is_found_by_the_sweep(world: World) -> None:
    """Deleted for good; a tag and an interest that do not move the time."""
    gone, tagged, interested = seeded(world, 3)
    world.box.advance(60)
    [other] = seeded(world, 1, start=3)
    cursor = world.quiet()
    before = {record.id: record.version for record in records(world.pull()[0])}
    world.box.audience.forget(world.box.audience.find(gone))
    world.box.audience.tag(world.box.audience.find(tagged), [{"name": "vip", "status": "active"}])
    world.box.edit(interested, interests={world.box.audience.interests[0]["id"]: True})
    pages, cursor = world.pull(cursor)
    assert not records(pages), "nothing of it is reported"
    world.box.advance(24 * 3600)
    pages, cursor = world.pull(cursor)
    assert pages[-1].complete
    versions = {name: version for page in pages for name, version in page.listed.items()}
    assert versions.keys() == {tagged, interested, other}
    assert [name for name in versions if versions[name] != before[name]] == [tagged, interested]
    assert {name: world.read(name).version for name in versions} == versions
    assert not listed(world.pull(cursor)[0]), "until tomorrow"


def test_late_rows_are_seen_and_nothing_twice(make: Callable[..., World]) -> None:
    """An index that lags shows an older change after a younger one."""
    world = make(lag=0.0)
    seeded(world, 3)
    cursor = world.quiet()
    changed = world.box.clock()
    seeded(world, 1, start=3)
    world.box.advance(100)
    seeded(world, 1, start=4)
    pages, cursor = world.pull(cursor)
    assert len(records(pages)) == 2
    hidden = world.box.audience.find("p1@example.org")
    hidden.changed = changed  # shows up only now, with a time from before
    hidden.merge["FNAME"] = "Late"
    pages, cursor = world.pull(cursor)
    assert [record.id for record in records(pages)] == [hidden.contact_id]
    world.box.advance(301)
    pages, cursor = world.pull(cursor)
    assert not records(pages)


def test_edits_within_one_second_are_news(world: World) -> None:
    """Times are whole seconds: what was edited right after it was read has the time that we know already."""
    [name] = seeded(world, 1)
    _, cursor = world.pull()
    for surname in ("One", "Two"):
        world.box.edit(name, LNAME=surname)
        pages, cursor = world.pull(cursor)
        [news] = records(pages)
        assert surname in str(news.card)
    world.box.edit(name, status="unsubscribed")
    [news] = records(world.pull(cursor)[0])
    assert news.consents[0].state == "withdrawn"


def test_times_have_no_fractions(make: Callable[..., World]) -> None:
    """With one, Mailchimp ignores the filter and gives everybody."""
    world = make({"page_size": 2})
    seeded(world, 5)
    world.box.advance(0.5)
    cursor = world.quiet()
    seeded(world, 5, start=5)
    world.pull(cursor)
    times = [v for _, _, query, _ in world.watched.requests for k, v in query.items() if k.endswith("last_changed")]
    assert times
    assert all(re.fullmatch(r"[-\d]{10}T[:\d]{8}\+00:00", moment) for moment in times)
    assert {"since_last_changed", "before_last_changed"} <= {
        k for _, _, query, _ in world.watched.requests for k in query
    }


def test_a_field_more_is_read_from_everybody_again(world: World) -> None:
    seeded(world, 2)
    cursor = world.quiet()
    world.box.add_merge_field({"tag": "NICKNAME", "name": "Nickname", "type": "text"})
    assert not records(world.pull(cursor)[0])
    world.box.advance(24 * 3600)
    with pytest.raises(CursorExpired, match="read again"):
        world.pull(cursor)


def test_a_meaning_more_in_the_settings_is_read_from_everybody_again(world: World) -> None:
    cursor = world.quiet()
    with pytest.raises(CursorExpired):
        world.pull(cursor, world.open(merge_fields={"SHOESIZE": "note"}))


def test_an_interest_more_is_only_that(world: World) -> None:
    [name] = seeded(world, 1)
    cursor = world.quiet()
    [id_] = world.box.add_interests("Newsletters", ["Daily"])
    world.box.edit(name, interests={id_: True}, LNAME="Moved")
    [news] = records(world.pull(cursor)[0])
    assert {"name": "Newsletters: Daily"} in (news.card or {})["groups"].values()


# --- batches, and what they cost --------------------------------------------------------------------------------------


def test_many_edits_go_in_a_batch_each_with_its_own_outcome(make: Callable[..., World]) -> None:
    world = make({"batch_from": 5})
    outcomes = world.write(*(world.push(person(address=f"p{n}@example.org"), key=f"k{n}") for n in range(8)))
    held = [good(outcome) for outcome in outcomes]
    delete(world, held[3])
    world.box.audience.unsubscribe("p4@example.org")
    edits = [
        world.push(person("Anna", address=f"p{n}@example.org", groups={"g": {"name": f"t{n}"}}), held[n], key=f"k{n}")
        for n in range(8)
    ]
    edits[4] = replace(edits[4], consents=[consent("granted", "p4@example.org", **PROOF)])
    world.counted.clear()
    outcomes = world.write(*edits)
    assert isinstance(outcomes[3].error, Missing)
    assert isinstance(outcomes[4].error, Refused)
    for n in (0, 1, 2, 5, 6, 7):
        record = good(outcomes[n])
        assert record == world.read(record.id), "the answer is what is stored"
        assert "Anna" in str(record.card) and f"t{n}" in str(record.card)
    assert world.box.member("p4@example.org")["merge_fields"]["FNAME"] == "Anna"
    assert world.counted["PATCH"] == 0


def test_the_result_of_a_batch_is_asked_for_again(make: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = make({"batch_from": 2})
    names = seeded(world, 3)
    whole, calls = world.box.file, []

    def expired(ticket: str) -> bytes | None:
        calls.append(ticket)
        return None if len(calls) == 1 else whole(ticket)

    monkeypatch.setattr(world.box, "file", expired)
    assert [record.id for record in world.connector.read(names)] == names
    assert len({*calls}) == 2


def test_a_batch_that_does_not_end(make: Callable[..., World]) -> None:
    world = make({"batch_from": 2}, batch_delay=1e9)
    held = [world.read(name) for name in seeded(world, 3)]
    pushes = [Push(r.id, r.id, r, {**(r.card or {}), "name": person()["name"]}) for r in held]
    outcomes = world.write(*pushes)
    assert all(isinstance(outcome.error, Uncertain) for outcome in outcomes)


@pytest.mark.parametrize("broken", [b"", b"no archive"])
def test_a_result_that_cannot_be_read(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    world = make({"batch_from": 2})
    held = [world.read(name) for name in seeded(world, 3)]
    monkeypatch.setattr(world.box, "file", lambda ticket: broken)
    outcomes = world.write(*(Push(r.id, r.id, r, None) for r in held))
    assert all(isinstance(outcome.error, Uncertain) for outcome in outcomes)


def test_what_it_costs(world: World) -> None:
    """First sync of 1,000, silence, ten changes in, ten changes out."""
    names = seeded(world, 1000)
    first = world.cost(lambda: world.pull())
    assert first == 6, "merge fields, categories and their two interests, the newest in the archive, one page"
    cursor = world.quiet()
    assert world.cost(lambda: world.pull(cursor, world.open())) == 2, "who changed, who was archived"
    for name in names[:10]:
        world.box.edit(name, LNAME="Moved")
    shown: list[Page] = []
    assert world.cost(lambda: shown.extend(world.pull(cursor)[0])) == 2
    held = records(shown)
    assert len(held) == 10
    pushes = [Push(r.id, r.id, r, {**(r.card or {}), "name": person()["name"]}) for r in held]
    assert world.cost(lambda: [good(outcome) for outcome in world.write(*pushes)]) == 10
    new = [
        world.push(person(address=f"n{n}@example.org", groups={"g": {"name": "vip"}}), key=f"n{n}") for n in range(1000)
    ]
    assert world.cost(lambda: [good(outcome) for outcome in world.write(*new)]) == 2, "500 a request, tags included"
    many = [
        Push(r.id, r.id, r, {**(r.card or {}), "name": person("Z")["name"]}) for r in records(world.pull()[0])[:100]
    ]
    assert world.cost(lambda: [good(outcome) for outcome in world.write(*many)]) <= 9, (
        "by batch: one, some looks, a file"
    )


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_throttle_without_a_body_is_waited_for(world: World) -> None:
    world.box.bodyless_403 = 2
    assert isinstance(world.connector.check(), Account)
    world.box.bodyless_403 = 1000
    with pytest.raises(Throttled) as caught:
        world.connector.check()
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("status", "title", "detail", "kind"),
    [
        (400, "Member Exists", "x is already a list member.", answers.Exists),
        (400, "", "x is already a list member. Use PUT", answers.Exists),
        (400, "Member In Compliance State", "", answers.Compliance),
        (400, "Forgotten Email Not Subscribed", "", Refused),
        (400, "Invalid Resource", '"x" is already in this list with a status of "cleaned".', answers.Collision),
        (400, "Bad Request", "The domain portion is invalid", Refused),
        (401, "API Key Invalid", "", Unauthorised),
        (403, "Forbidden", "You don't have permission", Unauthorised),
        (404, "Resource Not Found", "", Missing),
        (405, "Method Not Allowed", "", answers.NotAllowed),
        (429, "Too Many Requests", "", Throttled),
        (500, "Internal Server Error", "", Uncertain),
    ],
)
def test_problems_by_reaction(status: int, title: str, detail: str, kind: type[Error]) -> None:
    found = answers.judge(status, {"title": title, "detail": detail}, "/lists/a/members/b")
    assert type(found) is kind
    assert str(found)


def test_no_audience_is_no_deletion(world: World) -> None:
    """A wrong audience answers 404 like a member that is gone."""
    lost = world.open(audience="nowhere")
    words = f"has no audience 'nowhere'; it has: {world.box.audience.id} (Newsletter)"
    with pytest.raises(Unauthorised, match=re.escape(words)):
        lost.check()
    with pytest.raises(Unauthorised, match="no such audience"):
        list(lost.changes(None))
    assert isinstance(answers.judge(404, {}, "/lists/a/merge-fields"), Unauthorised)


def test_wrong_meanings_are_told(world: World) -> None:
    with pytest.raises(Unauthorised, match=r"FAVOURITE, which the audience does not have; it has: .*SHOESIZE"):
        world.open(merge_fields={"FAVOURITE": "note"}).check()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"api_key": "0123456789abcdef"}, "ends with its data centre"),
        ({"merge_fields": {"FNAME": "first name"}}, "say one of: given name"),
        ({"key_field": "concord-id"}, "at most ten characters"),
        ({"audience": ""}, "at least 1 character"),
        ({"page_size": 1001}, "less than or equal to 1000"),
    ],
)
def test_settings_are_checked_in_words(world: World, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        world.open(**wrong)
    assert API_KEY not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_without_credentials_nothing_is_asked(world: World) -> None:
    with pytest.raises(Unauthorised, match="API key"):
        world.open(api_key="").check()
    assert not world.counted


def test_a_create_that_gets_no_answer_is_looked_for(world: World) -> None:
    world.connector.check()
    world.box.faults.add("lost_after", rf"^POST /3.0/lists/{world.box.audience.id}\?")
    pushes = [world.push(person(address=f"p{n}@example.org"), key=f"k{n}") for n in range(3)]
    outcomes = world.write(*pushes)
    assert all(isinstance(outcome.error, Uncertain) for outcome in outcomes)
    assert len(world.box.audience.members) == 3
    found = dict(world.connector.find(pushes))
    assert {ref: record.id for ref, record in found.items()} == {
        f"k{n}": world.box.member(f"p{n}@example.org")["contact_id"] for n in range(3)
    }


# --- OAuth2 -----------------------------------------------------------------------------------------------------------


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def landing(link: str) -> str:
    """Where the browser is sent once the user said yes."""
    try:
        urllib.request.build_opener(_Stay).open(link)
    except urllib.error.HTTPError as answer:
        return str(answer.headers["location"])
    raise AssertionError("no redirect came")


def test_consent_brings_a_token_that_stays(world: World) -> None:
    settings = {**world.box.consented(world.url), "access_token": ""}
    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)
    assert CONNECTOR.oauth is not None
    granted = loopback.consent(CONNECTOR.oauth, settings, landing, context)
    assert set(granted) == {"access_token"}
    world.settings = {**settings, **granted}
    before = len(world.box.faults.log)
    for _ in range(2):
        assert "Newsletter" in world.open().check().label
    asked = [line for line in world.box.faults.log[before:] if "metadata" in line]
    assert len(asked) == 1, "where the account is does not change"


def test_a_no_is_told(world: World) -> None:
    world.box.oauth.denies = True
    settings = {**world.box.consented(world.url), "access_token": ""}
    context = Context(now=lambda: datetime.now(UTC), sleep=time.sleep, random=lambda: 0.5)
    assert CONNECTOR.oauth is not None
    with pytest.raises(Unauthorised, match="access_denied"):
        loopback.consent(CONNECTOR.oauth, settings, landing, context)


def test_a_token_that_was_revoked(world: World) -> None:
    world.settings = world.box.consented(world.url)
    stranger = world.open()
    world.box.oauth.tokens.clear()
    with pytest.raises(Unauthorised, match="give access again"):
        stranger.check()


def test_the_data_centre_is_in_the_key() -> None:
    assert client._of_key("0123-us19") == "https://us19.api.mailchimp.com/3.0"
