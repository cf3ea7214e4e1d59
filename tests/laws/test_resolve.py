"""What humans decide and enter here: with values as they are now, in the shape of a card, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from laws import at_peace
from steps import Add, Clash, Edit, play
from world import LawWorld

from app.core.policy import Policy
from app.core.shape import entered, shape
from app.engine import resolve
from app.engine.run import Busy, find, lease
from app.store import journal, outbox, people, runs
from app.store.people import Person
from connectors.card import part
from connectors.memory import addressbook, crm, mailer

ASK = Policy(ask=True)


def one(world: LawWorld) -> Person:
    found: dict[int, Person] = world.look(lambda unit: people.load(unit, [1]))
    return found[1]


def numbers(world: LawWorld, name: str) -> list[str]:
    (card,) = world.remotes[name].cards().values()
    return [phone["number"] for phone in card.get("phones", {}).values()]


def asked() -> tuple[LawWorld, journal.Conflict]:
    """A world in which one phone number waits for a human: the book's stands, the CRM shows another."""
    kinds = {"book": addressbook(), "crm": crm()}
    world = play(LawWorld(kinds, policies=dict.fromkeys(kinds, ASK)), [Add("book", ("phones",))])
    at_peace(world)
    Clash("book", "crm", "phones").do(world)
    world.round()
    world.round()
    (clash,) = world.look(lambda unit: journal.list_conflicts(unit, only_open=True))
    return world, clash


def peaceful(**kinds: Any) -> LawWorld:
    world = play(LawWorld(kinds or {"book": addressbook(), "crm": crm()}), [Add("book", ("phones", "anniversaries"))])
    at_peace(world)
    return world


# --- decisions


def test_ours_is_the_card_as_it_is_now() -> None:
    world, clash = asked()
    resolve.edit(world.engine, one(world).uid, {clash.path: "+49 30 777"}, "me")
    resolve.decide(world.engine, clash.id, "ours", "me")
    world.round()
    world.round()
    assert numbers(world, "book") == numbers(world, "crm") == ["+49 30 777"]


def test_what_waits_for_a_human_waits_whatever_happens() -> None:
    """A later edit there neither wins nor is it overwritten, one here is not sent; it is still one question."""
    world, clash = asked()
    ours = numbers(world, "book")
    Edit("crm", "value", "phones").do(world)
    newest = numbers(world, "crm")
    for _ in range(3):
        world.round()
    assert (numbers(world, "book"), numbers(world, "crm")) == (ours, newest)
    (still,) = world.look(lambda unit: journal.list_conflicts(unit, only_open=True))
    assert (still.id, still.theirs) == (clash.id, newest[0])
    Edit("book", "value", "phones").do(world)
    mine = numbers(world, "book")
    for _ in range(3):
        world.round()
    assert (numbers(world, "book"), numbers(world, "crm")) == (mine, newest)
    resolve.decide(world.engine, clash.id, "theirs", "me")
    at_peace(world)
    assert numbers(world, "book") == numbers(world, "crm") == newest


def test_theirs_is_what_they_show_now() -> None:
    world, clash = asked()
    Edit("crm", "value", "phones").do(world)
    newest = numbers(world, "crm")
    assert newest != [clash.theirs]
    world.round()
    resolve.decide(world.engine, clash.id, "theirs", "me")
    world.round()
    world.round()
    assert numbers(world, "book") == numbers(world, "crm") == newest


def test_theirs_of_an_element_that_we_removed_comes_whole() -> None:
    world, clash = asked()
    resolve.edit(world.engine, one(world).uid, {clash.path[:2]: None}, "me")
    resolve.decide(world.engine, clash.id, "theirs", "me")
    world.round()
    world.round()
    assert numbers(world, "book") == numbers(world, "crm") == [clash.theirs]
    assert all("concord:slot" not in phone for phone in one(world).card["phones"].values())


def test_what_is_settled_stays_settled() -> None:
    world, clash = asked()
    resolve.decide(world.engine, clash.id, "ours", "me")
    with pytest.raises(ValueError, match="settled already"):
        resolve.decide(world.engine, clash.id, "theirs", "me")
    world.round()
    world.round()
    assert numbers(world, "book") == numbers(world, "crm") == [clash.ours]


# --- edits


def test_what_is_typed_becomes_what_a_card_holds() -> None:
    world = peaceful()
    person = one(world)
    (birthday,) = person.card["anniversaries"]
    values = {
        ("anniversaries", birthday, "date"): "1980-01-03",
        ("keywords", "vip"): "yes",
        ("phones", "new", "number"): "+49 30 1",
        ("phones", "new", "features"): "mobile, text",
        ("phones", "new", "pref"): "1",
    }
    card = resolve.edit(world.engine, person.uid, values, "me").card
    assert card["anniversaries"][birthday]["date"] == {"year": 1980, "month": 1, "day": 3}
    assert card["keywords"] == {"vip": True}
    assert card["phones"]["new"] == {"number": "+49 30 1", "features": {"mobile": True, "text": True}, "pref": 1}
    world.round()
    (shown,) = world.remotes["book"].cards().values()
    assert {"year": 1980, "month": 1, "day": 3} in [a["date"] for a in shown["anniversaries"].values()]
    assert "keywords" not in resolve.edit(world.engine, person.uid, {("keywords", "vip"): "no"}, "me").card


def test_a_part_of_the_name_outdates_the_full_name() -> None:
    world = peaceful()
    uid = one(world).uid
    resolve.edit(world.engine, uid, {("name", "full"): "Dr. Öz"}, "me")
    name = resolve.edit(world.engine, uid, {("name", "given"): "Zoë"}, "me").card["name"]
    assert part(name, "given") == "Zoë" and "full" not in name


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("phonez/1/number", "1", "there are: addresses, anniversaries"),
        ("phones", "1", "phones/ID/number=VALUE"),
        ("phones/1", "1", "phones/ID/number=VALUE"),
        ("phones/1/numbr", "1", "number, features, contexts, label, pref"),
        ("phones/a b/number", "1", "no place"),
        ("phones/1/number", {"a": 1}, "is a text"),
        ("phones/1/pref", "first", "from 1"),
        ("name", "Zoë", "name/given=Zoë"),
        ("name/first", "Zoë", "given"),
        ("keywords", "vip", "keywords/vip=yes"),
        ("keywords/vip", "perhaps", "yes or no"),
        ("kind", "cat", "individual, org, group"),
        ("anniversaries/1/date", "3.1.1980", "1980-01-03"),
        ("anniversaries/1/date", "1980-13-03", "1980-01-03"),
        ("anniversaries/1/date", "1981-02-29", "1980-01-03"),
        ("anniversaries/1/date", {"day": 3}, "1980-01-03"),
        ("anniversaries/1/kind", "name day", "birth, wedding"),
        ("media/1/uri", "me.jpg", "cannot be typed"),
        ("phones/new/label", "boat", "no number"),
        ("anniversaries/new/date", "1980", "kind=birth"),
        ("phones/none/number", "", "nothing at phones/none"),
    ],
)
def test_what_is_no_card_is_refused_in_words(path: str, value: Any, words: str) -> None:
    world = peaceful()
    before = one(world)
    with pytest.raises(ValueError, match=words):
        resolve.edit(world.engine, before.uid, {tuple(path.split("/")): value}, "me")
    assert one(world) == before


def test_an_element_without_its_value_is_refused_or_goes_whole() -> None:
    world = peaceful()
    uid, (phone,) = one(world).uid, one(world).card["phones"]
    resolve.edit(world.engine, uid, {("phones", phone, "label"): "boat"}, "me")
    with pytest.raises(ValueError, match="clear phones/"):
        resolve.edit(world.engine, uid, {("phones", phone, "number"): ""}, "me")
    assert "phones" not in resolve.edit(world.engine, uid, {("phones", phone): None}, "me").card


@pytest.mark.parametrize(
    ("typed", "date"),
    [
        ("1980-01-03", {"year": 1980, "month": 1, "day": 3}),
        ("1980-1", {"year": 1980, "month": 1}),
        ("1980", {"year": 1980}),
        ("--02-29", {"month": 2, "day": 29}),
        ({"year": 1980}, {"year": 1980}),
    ],
)
def test_dates(typed: Any, date: dict[str, int]) -> None:
    assert entered(("anniversaries", "1", "date"), typed) == date
    assert shape({"anniversaries": {"1": {"kind": "birth", "date": date}}}) is None


def test_who_was_deleted_is_not_edited() -> None:
    world, clash = asked()
    person = one(world)
    put(world, replace(person, state="archived"))
    with pytest.raises(ValueError, match="people restore"):
        resolve.edit(world.engine, person.uid, {("name", "given"): "Zoë"}, "me")
    with pytest.raises(ValueError, match="people restore"):
        resolve.decide(world.engine, clash.id, "theirs", "me")
    put(world, replace(person, state="erased", card={}))
    with pytest.raises(ValueError, match="erased"):
        resolve.edit(world.engine, person.uid, {("name", "given"): "Zoë"}, "me")


def put(world: LawWorld, person: Person) -> None:
    with world.store.begin() as unit:
        people.update(unit, [person], {})


# --- another try


def test_whom_a_human_held_back_a_retry_leaves_alone() -> None:
    world = peaceful(book=addressbook(), mail=mailer())
    with world.store.begin() as unit:
        outbox.hold(unit, world.ids["mail"], [1])
    assert resolve.retry(world.engine, "mail") == 0
    assert world.look(lambda unit: outbox.count(unit, world.ids["mail"], "held")) == 1


def test_refusals_stand_until_they_are_taken_and_a_retry_meets_no_run() -> None:
    world = LawWorld({"book": addressbook(), "crm": crm()})
    Add("book").do(world)
    long = world.remotes["book"].add({"notes": {"1": {"note": "x" * 100_001}}})
    world.round()
    with lease(world.engine, "book"), pytest.raises(Busy, match="being synced"):
        resolve.retry(world.engine, "book")
    assert find(world.engine, "book").cursor is not None
    assert resolve.retry(world.engine, "book") == 1
    assert find(world.engine, "book").cursor is None
    assert len(world.look(runs.refusals)) == 1
    world.round()
    assert len(world.look(runs.refusals)) == 1, "it cannot be taken yet"
    world.remotes["book"].edit(long, {"notes": {"1": {"note": "short"}}})
    world.round()
    assert world.look(runs.refusals) == []


# --- coming back


@pytest.mark.parametrize("deletes", ["propagate", "archive"])
def test_who_was_deleted_can_be_brought_back_everywhere(deletes: Any) -> None:
    kinds = {"book": addressbook(), "crm": crm()}
    world = play(LawWorld(kinds, policies={"crm": Policy(deletes=deletes)}), [Add("book", ("phones",))])
    at_peace(world)
    before = numbers(world, "book")
    world.remotes["crm"].remove(world.records("crm")[0])
    for _ in range(2):
        world.round()
    assert one(world).state == ("deleted" if deletes == "propagate" else "archived")
    with pytest.raises(ValueError, match="people restore"):
        resolve.edit(world.engine, one(world).uid, {("name", "given"): "Zoë"}, "me")
    resolve.restore(world.engine, one(world).uid, "me")
    for _ in range(2):
        world.round()
    assert numbers(world, "book") == numbers(world, "crm") == before
    with pytest.raises(ValueError, match="is live"):
        resolve.restore(world.engine, one(world).uid, "me")


def test_who_was_held_back_can_be_let_go() -> None:
    world = LawWorld({"book": addressbook(), "crm": crm()})
    play(world, [Add("book", ("phones",))])
    world.run("book")
    with world.store.begin() as unit:
        outbox.hold(unit, world.ids["crm"], [1])
    world.round()
    assert not world.records("crm")
    assert resolve.release(world.engine, one(world).uid) == ["crm"]
    at_peace(world)
    with pytest.raises(ValueError, match="held back from nowhere"):
        resolve.release(world.engine, one(world).uid)


def test_a_uid_is_known_whole_although_another_begins_with_it() -> None:
    world = LawWorld({"book": addressbook(), "crm": crm()})
    play(world, [Add("book"), Add("book")])
    world.run("book")
    with world.store.begin() as unit:
        [first, second] = people.search(unit)
        for person, uid in ((first, "uid-of-one"), (second, "uid-of-one-more")):
            unit.db.exec_driver_sql("update people set uid = ? where id = ?", (uid, person.id))
    found = world.look(lambda unit: [people.by_uid(unit, uid) for uid in ("uid-of-one", "uid-of-one-m", "uid-of")])
    assert [person and person.id for person in found] == [first.id, second.id, None]
