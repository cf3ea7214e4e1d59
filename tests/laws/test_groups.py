"""What is done to a group is done to all who are in it, everywhere, once; and nobody is lost by it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from laws import converged, no_duplicates, silent
from opting import Opt
from steps import play
from world import LawWorld

from app.core.policy import Policy
from app.engine import groups as acts
from app.engine import privacy, resolve
from app.engine.access import Taken
from app.engine.resolve import Outdated
from app.engine.world import policy_json
from app.store import browse, connections, groups, journal, people
from app.store.groups import Group
from app.store.store import Store, Unit
from connectors.memory import addressbook, crm, mailer

KINDS: Final = {"book": addressbook, "phone": addressbook, "mail": mailer, "crm": crm}
LONG: Final = settings.get_current_profile_name() == "long"
HOLDING: Final = ("book", "phone", "mail")
"""Those that have groups."""


def a_world(url: str | None = None, **policies: Policy) -> LawWorld:
    return LawWorld({name: make() for name, make in KINDS.items()}, policies=policies, url=url)


def enter(world: LawWorld, number: int, *names: str, at: str = "book") -> str:
    """Somebody is entered in these groups."""
    card: dict[str, Any] = {
        "name": {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": f"Doe{number}"}]},
        "emails": {"1": {"address": f"ann{number}@x.test"}},
    }
    if names:
        card["groups"] = {f"g{n}": {"name": name} for n, name in enumerate(names)}
    record = world.add(at, card)
    assert record is not None
    return record


def rounds(world: LawWorld) -> LawWorld:
    for _ in range(2):
        world.round()
        world.rest()
    return world


def crowd(**policies: Policy) -> LawWorld:
    """Three friends, of whom one is a customer too; a customer; somebody in no group."""
    world = a_world(**policies)
    for number, names in enumerate([["Friends"], ["friends "], ["Friends", "Customers"], ["Customers"], []]):
        enter(world, number, *names)
    return rounds(world)


def of(world: LawWorld, name: str) -> Group:
    found: Group | None = world.look(lambda unit: groups.called(unit, name))
    assert found is not None, name
    return found


def there(world: LawWorld) -> dict[str, int]:
    """The groups and how many are in them."""

    def read(unit: Unit) -> dict[str, int]:
        found = groups.listing(unit)
        sizes = groups.sizes(unit, found)
        return {group.name: sizes[group.id] for group in found}

    shown: dict[str, int] = world.look(read)
    return shown


def shown(world: LawWorld, at: str) -> list[list[str]]:
    """The groups of everybody in a remote, by surname."""
    cards = sorted(world.remotes[at].cards().values(), key=lambda card: str(card["name"]))
    return [sorted(group["name"] for group in card.get("groups", {}).values()) for card in cards]


def everybody(world: LawWorld) -> list[str]:
    return sorted(person.uid for person in world.look(people.search))


def at_rest(world: LawWorld) -> None:
    """Everybody is everywhere as they are here, once, and nothing more is written."""
    rounds(world)
    silent(world)
    converged(world)
    no_duplicates(world)


# --- there


def test_whatever_a_card_names_is_there_by_its_first_spelling() -> None:
    world = crowd()
    assert there(world) == {"Customers": 2, "Friends": 3}
    before = world.look(groups.listing)
    enter(world, 9, "FRIENDS", "New  ones", at="mail")
    rounds(world)
    assert there(world) == {"Customers": 2, "Friends": 4, "New  ones": 1}
    assert [g for g in world.look(groups.listing) if g.name != "New  ones"] == before, "ids are minted once"
    person = world.look(people.search)[0]
    resolve.edit(world.engine, person.uid, {("groups", "h", "name"): "By hand"}, "ann")
    assert there(world)["By hand"] == 1


def test_who_is_in_it_twice_is_one_person() -> None:
    world = a_world()
    person = people.Person(1, "u", 1, "live", {"groups": {"1": {"name": "friends"}, "2": {"name": "Friends"}}})
    with world.store.begin() as unit:
        people.insert(unit, [person], {})
    assert there(world) == {"friends": 1}


def test_an_emptied_group_stays_until_it_is_removed() -> None:
    world = a_world()
    record = enter(world, 1, "Friends")
    rounds(world)
    group = of(world, "friends")
    world.human("book", record, lambda card: card.pop("groups"))
    at_rest(world)
    assert there(world) == {"Friends": 0}
    enter(world, 2, "FRIENDS")
    rounds(world)
    assert of(world, "friends") == group
    acts.remove(world.engine, group.uid, "ann")
    enter(world, 3, "friends")
    rounds(world)
    assert of(world, "friends").uid != group.uid, "an id is never used again"


def test_two_processes_that_bring_a_group_at_once_make_one(postgres_url: str) -> None:
    world = a_world(postgres_url)
    stores = [Store(postgres_url, world.clock) for _ in range(4)]

    def bring(number: int) -> None:
        for step in range(10):
            card = {"groups": {"1": {"name": f"Group {step}" if number % 2 else f"GROUP  {step}"}}}
            with stores[number].begin() as unit:
                [id_] = people.next_ids(unit, 1)
                people.insert(unit, [people.Person(id_, f"u{number}-{step}", 1, "live", card)], {})

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(bring, range(4))] == [None] * 4
    for store in stores:
        store.close()
    assert sorted(there(world).values()) == [4] * 10


# --- renamed


def test_a_rename_here_reaches_all_systems_and_everybody() -> None:
    world = crowd()
    before, count = everybody(world), of(world, "Friends")
    done = acts.rename(world.engine, count.uid, " Best friends ", "ann", rev=count.rev)
    assert (done.people, done.group.name, done.group.uid, done.group.rev) == (3, "Best friends", count.uid, 2)
    assert there(world) == {"Best friends": 3, "Customers": 2}
    at_rest(world)
    for at in HOLDING:
        assert shown(world, at) == [
            ["Best friends"],
            ["Best friends"],
            ["Best friends", "Customers"],
            ["Customers"],
            [],
        ], at
    assert everybody(world) == before
    assert there(world) == {"Best friends": 3, "Customers": 2}
    assert all(len(remote.cards()) == 5 for remote in world.remotes.values())


@pytest.mark.parametrize("at", ["book", "mail"])
def test_a_rename_in_the_middle_of_a_run_reaches_everybody_all_the_same(at: str) -> None:
    """At the boundaries of a run to which another group of a member's is owed as well."""
    for number in range(1, 40, 1 if LONG else 3):
        world = crowd()
        phone = next(r for r, card in world.remotes["phone"].cards().items() if "Doe0" in str(card))
        world.human("phone", phone, lambda card: card["groups"].update(n={"name": "Fans"}))
        world.run("phone")
        world.meanwhile = (number, lambda: acts.rename(world.engine, of(world, "friends").uid, "Pals", "ann"))  # noqa: B023
        world.run(at)
        if world.meanwhile is not None:
            assert number > 4
            return
        at_rest(world)
        assert there(world) == {"Customers": 2, "Fans": 1, "Pals": 3}
        assert shown(world, at)[0] == ["Fans", "Pals"]
    raise AssertionError("the run never ended")


def test_whoever_dies_on_the_way_the_rename_arrives_once() -> None:
    world = crowd()
    acts.rename(world.engine, of(world, "friends").uid, "Pals", "ann")
    for name in world.remotes:
        for number in range(1, 40):
            if world.run_killed(name, lambda _, n: n == number) is None:  # noqa: B023
                break
    at_rest(world)
    assert there(world) == {"Customers": 2, "Pals": 3}
    assert all(shown(world, at)[0] == ["Pals"] for at in HOLDING)


def test_history_tells_who_renamed_it_and_why() -> None:
    world = crowd()
    acts.rename(world.engine, of(world, "customers").uid, "Clients", "ann")
    person = world.look(lambda unit: browse.persons(unit, group="clients"))[0].person
    rows = [row for row in world.look(lambda unit: journal.history(unit, person.id)) if row.reason]
    assert {(row.actor, row.before, row.after, row.reason) for row in rows} == {
        ("ann", "Customers", None, "the group Customers was renamed to Clients"),
        ("ann", None, "Clients", "the group Customers was renamed to Clients"),
    }


def test_another_spelling_is_told_here_and_disturbs_no_system() -> None:
    world = crowd()
    acts.rename(world.engine, of(world, "friends").uid, "FRIENDS", "ann")
    cards = [person.card for person in world.look(people.search)]
    assert {g["name"] for card in cards for g in card.get("groups", {}).values()} == {"FRIENDS", "Customers"}
    silent(rounds(world))
    assert there(world) == {"Customers": 2, "FRIENDS": 3}


def test_what_is_renamed_here_and_entered_there_at_once_is_the_same() -> None:
    """Somebody at a screen puts a friend into a group of the new name before any system has heard of it."""
    world = crowd()
    record = next(r for r, card in world.remotes["phone"].cards().items() if "Doe0" in str(card))
    world.human("phone", record, lambda card: card["groups"].update(n={"name": "best FRIENDS"}))
    acts.rename(world.engine, of(world, "friends").uid, "Best friends", "ann")
    at_rest(world)
    assert all(len(groups_) == len(set(groups_)) for at in HOLDING for groups_ in shown(world, at))
    assert len(shown(world, "book")[0]) == len(shown(world, "phone")[0]) == 1
    assert there(world)["Best friends"] == 3


def test_who_left_it_there_meanwhile_is_asked_again_and_not_lost() -> None:
    """Edited beats deleted, for a membership as for any value; and a second word counts."""
    world = crowd()
    record = next(r for r, card in world.remotes["phone"].cards().items() if "Doe0" in str(card))
    world.human("phone", record, lambda card: card.pop("groups"))
    acts.rename(world.engine, of(world, "friends").uid, "Best friends", "ann")
    at_rest(world)
    assert there(world)["Best friends"] == 3
    world.human("phone", record, lambda card: card.pop("groups"))
    at_rest(world)
    assert there(world)["Best friends"] == 2


def test_a_rename_does_not_bring_back_who_was_deleted_nor_keep_who_is() -> None:
    world = crowd()
    record = next(r for r, card in world.remotes["book"].cards().items() if "Doe0" in str(card))
    world.delete("book", record)
    rounds(world)
    acts.rename(world.engine, of(world, "friends").uid, "Best friends", "ann")
    at_rest(world)
    assert len(everybody(world)) == 4
    gone = world.look(lambda unit: people.search(unit, state="archived"))[0]
    resolve.restore(world.engine, gone.uid, "ann")
    at_rest(world)
    assert there(world) == {"Best friends": 3, "Customers": 2}, "who is brought back is in the group as it is now"


def test_a_rename_is_no_edit_of_each_person() -> None:
    """Where we only read, a deletion counts for who was not edited elsewhere since."""
    world = crowd(book=Policy(direction="pull"))
    acts.rename(world.engine, of(world, "friends").uid, "Best friends", "ann")
    rounds(world)
    assert shown(world, "book")[0] == ["Friends"], "where we may not write, it stays"
    assert shown(world, "phone")[0] == ["Best friends"]
    assert there(world) == {"Best friends": 3, "Customers": 2}
    person = world.look(lambda unit: browse.persons(unit, text="Doe0"))[0].person
    last = world.look(lambda unit: journal.last_change(unit, person.id, ()))
    assert last[0] == world.ids["book"]


def test_nobody_opts_in_or_out_by_it() -> None:
    world = crowd()
    play(world, [Opt("mail"), Opt("crm", 2, "phone")])
    rounds(world)
    uids = everybody(world)
    said = [privacy.standing(world.engine, uid) for uid in uids]
    assert any(found["said"] for found in said)
    acts.rename(world.engine, of(world, "friends").uid, "Best friends", "ann")
    at_rest(world)
    acts.rename(world.engine, of(world, "customers").uid, "best friends", "ann", merge=True)
    at_rest(world)
    acts.remove(world.engine, of(world, "best friends").uid, "ann")
    at_rest(world)
    assert [privacy.standing(world.engine, uid) for uid in uids] == said
    assert everybody(world) == uids


def test_renaming_is_refused_where_it_would_do_more_than_was_said() -> None:
    world = crowd(mail=Policy(filter={"groups": ("friends",)}))
    friends, customers = of(world, "friends"), of(world, "customers")
    for name, error, words in (
        ("customers", Taken, "say merge"),
        ("Best friends", Taken, "mail takes only who is in Friends"),
        ("  ", ValueError, "1 to 320"),
        ("x" * 321, ValueError, "1 to 320"),
        ("a\0b", ValueError, "NUL"),
    ):
        with pytest.raises(error, match=words):
            acts.rename(world.engine, friends.uid, name, "ann")
    with pytest.raises(Taken, match="take it out"):
        acts.remove(world.engine, friends.uid, "ann")
    with pytest.raises(Taken, match="its filter"):
        acts.rename(world.engine, friends.uid, "customers", "ann", merge=True)
    with pytest.raises(Outdated):
        acts.rename(world.engine, customers.uid, "Clients", "ann", rev=7)
    with pytest.raises(LookupError):
        acts.rename(world.engine, "nobody", "Clients", "ann")
    assert there(world) == {"Customers": 2, "Friends": 3}
    assert acts.rename(world.engine, friends.uid, "Friends", "ann") == acts.Done(friends, 0)
    with world.store.begin() as unit:
        policy = policy_json(Policy(filter={"groups": ("friends", "best friends")}))
        connections.update(unit, world.ids["mail"], policy=policy)
    assert acts.rename(world.engine, friends.uid, "Best friends", "ann").people == 3
    silent(rounds(world))
    assert shown(world, "mail") == [["Best friends"], ["Best friends"], ["Best friends", "Customers"]]


# --- joined


@pytest.mark.parametrize("backwards", [False, True])
def test_two_groups_become_one_whose_id_is_the_older(backwards: bool) -> None:
    world = crowd()
    uids = everybody(world)
    groups_ = sorted([of(world, "friends"), of(world, "customers")], key=lambda g: g.id)
    one, other = reversed(groups_) if backwards else groups_
    done = acts.rename(world.engine, one.uid, other.name.upper(), "ann", merge=True)
    assert (done.group.uid, done.joined, done.group.name) == (groups_[0].uid, groups_[1].uid, other.name)
    at_rest(world)
    assert there(world) == {other.name: 4}
    for at in HOLDING:
        assert [[name.casefold() for name in names] for names in shown(world, at)] == [[other.key]] * 4 + [[]], at
    assert everybody(world) == uids
    with world.store.read() as unit:
        assert [acts.find(unit, group.uid) for group in groups_] == [done.group] * 2, "both ids lead there"


def test_an_id_leads_on_through_every_joining() -> None:
    world = crowd()
    enter(world, 7, "Fans")
    rounds(world)
    first, second, third = (of(world, name) for name in ("friends", "customers", "fans"))
    acts.rename(world.engine, third.uid, "customers", "ann", merge=True)
    acts.rename(world.engine, third.uid, "friends", "ann", merge=True)
    with world.store.read() as unit:
        assert {acts.find(unit, g.uid).name for g in (first, second, third)} == {"Friends"}
    assert there(world) == {"Friends": 5}
    acts.remove(world.engine, second.uid, "ann")
    with world.store.read() as unit:
        for gone in (first, second, third):
            with pytest.raises(LookupError):
                acts.find(unit, gone.uid)
    at_rest(world)
    assert shown(world, "phone") == [[]] * 6


# --- removed


def test_who_was_in_a_removed_group_lives_on() -> None:
    world = crowd()
    uids = everybody(world)
    done = acts.remove(world.engine, of(world, "friends").uid, "ann")
    assert done.people == 3
    at_rest(world)
    assert there(world) == {"Customers": 2}
    for at in HOLDING:
        assert shown(world, at) == [[], [], ["Customers"], ["Customers"], []], at
    assert everybody(world) == uids


# --- erased


def test_a_group_that_only_the_erased_brought_goes_with_them() -> None:
    world = a_world()
    record = enter(world, 1, "Only mine", "Left long ago", "Ours")
    enter(world, 2, "ours")
    rounds(world)
    world.human("book", record, lambda card: card["groups"].pop(_key(card, "Left long ago")))
    rounds(world)
    assert there(world) == {"Left long ago": 0, "Only mine": 1, "Ours": 2}
    (mine,) = [f.person for f in world.look(lambda unit: browse.persons(unit, group="only mine"))]
    privacy.erase(world.engine, mine.uid, "ann")
    assert there(world) == {"Ours": 1}
    at_rest(world)
    (theirs,) = everybody(world)
    privacy.erase(world.engine, theirs, "ann")
    assert there(world) == {}, "it had passed to who was left in it"


def test_no_word_of_theirs_is_left_in_any_table(tmp_path: Path) -> None:
    world = a_world(f"sqlite:///{tmp_path}/concord.db")
    record = enter(world, 1, "Zoes", "Zoes left", "Zoes renamed", "Zoes joined", "Ours")
    enter(world, 2, "Ours")
    rounds(world)
    world.human("book", record, lambda card: card["groups"].pop(_key(card, "Zoes left")))
    acts.rename(world.engine, of(world, "zoes renamed").uid, "Zoes new", "ann")
    acts.rename(world.engine, of(world, "zoes joined").uid, "ours", "ann", merge=True)
    rounds(world)
    (zoe,) = [f.person for f in world.look(lambda unit: browse.persons(unit, group="zoes"))]
    privacy.erase(world.engine, zoe.uid, "ann")
    rounds(world)
    assert there(world) == {"Ours": 1}
    world.store.close()
    with sqlite3.connect(tmp_path / "concord.db") as db:
        text = "\n".join(db.iterdump())
    assert "Zoes" not in text and "zoes" not in text
    assert "Ours" in text


def test_a_group_that_others_brought_survives_its_last_member() -> None:
    world = a_world()
    first = enter(world, 1, "Ours")
    rounds(world)
    enter(world, 2, "ours")
    rounds(world)
    world.human("book", first, lambda card: card.pop("groups"))
    rounds(world)
    (last,) = [f.person for f in world.look(lambda unit: browse.persons(unit, group="ours"))]
    privacy.erase(world.engine, last.uid, "ann")
    assert there(world) == {"Ours": 0}


def _key(card: dict[str, Any], name: str) -> str:
    return next(key for key, group in card["groups"].items() if group["name"] == name)
