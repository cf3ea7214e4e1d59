"""Who asks to be forgotten is forgotten, here and elsewhere, and no list brings them back; who asks what is held on
them gets all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from laws import silent
from opting import Opt, Subscribe
from steps import Add, Edit, Run, Settle, play
from world import LawWorld

from app.core.policy import Policy
from app.engine import privacy
from app.store import people, purchases
from connectors.contract import Line, Purchase, Sales, Seller
from connectors.memory import MemoryConnector

FIELDS = ("phones", "notes", "organizations")


def uids(world: LawWorld) -> list[str]:
    return [person.uid for person in world.look(people.search)]


@dataclass(frozen=True)
class Rounds:
    """Everything is synced, twice."""

    def do(self, world: LawWorld) -> None:
        for _ in range(2):
            world.round()
            world.rest()


def a_life(url: str = "sqlite://", first: str = "book", **policies: Policy) -> LawWorld:
    """Somebody in all systems with a past: edits, an opt-out, an opt-in; and somebody else."""
    world = LawWorld(url=url, policies=policies)
    edits = [Edit("crm", "value", "phones"), Edit("book", "value", "notes"), Opt("mail"), Rounds(), Subscribe()]
    return play(world, [Add(first, FIELDS), Rounds(), *edits, Rounds(), Add(first, FIELDS), Rounds()])


def test_who_is_erased_goes_everywhere_and_is_silent() -> None:
    world = a_life()
    steps = privacy.plan(world.engine, uids(world)[0])
    assert {(s.connection, s.what) for s in steps} == {(at, "erased by the next sync") for at in world.remotes}
    assert all(len(remote.cards()) == 2 for remote in world.remotes.values()), "a plan changes nothing"
    privacy.erase(world.engine, uids(world)[0], "admin")
    world.round()
    assert all(len(remote.cards()) == 1 for remote in world.remotes.values())
    silent(world)


def test_nothing_about_them_is_left_in_the_database(tmp_path: Path) -> None:
    """Not a word of theirs, in any table, once the systems were told."""
    world = a_life(f"sqlite:///{tmp_path}/concord.db")
    [uid, _] = uids(world)
    privacy.erase(world.engine, uid, "admin")
    world.round()
    mine = {str(entry.value) for entry in world.ledger.entries.values() if entry.real == 1}
    world.store.close()
    with sqlite3.connect(tmp_path / "concord.db") as db:
        text = "\n".join(db.iterdump()).casefold()
    left = {value for value in mine if value.casefold() in text}
    assert not left
    theirs = {str(entry.value) for entry in world.ledger.entries.values() if entry.real == 2}
    assert any(value.casefold() in text for value in theirs), "the other one is untouched"


def test_no_list_brings_them_back() -> None:
    world = a_life()
    before = {name: dict(remote.cards()) for name, remote in world.remotes.items()}
    privacy.erase(world.engine, uids(world)[0], "admin")
    world.round()
    (gone,) = before["list"].keys() - world.remotes["list"].cards().keys()
    world.remotes["list"].add(before["list"][gone])
    world.round()
    assert len(uids(world)) == 1
    assert [at for at, _ in world.refusals()] == ["list"]
    assert len(world.remotes["mail"].cards()) == 1, "and nobody mails them"
    address = next(iter(before["list"][gone]["emails"].values()))["address"]
    privacy.admit(world.engine, address.upper())
    from app.engine import resolve

    resolve.retry(world.engine, "list")
    play(world, [Rounds()])
    assert len(uids(world)) == 2
    with pytest.raises(LookupError, match="not kept out"):
        privacy.admit(world.engine, address)


def test_where_we_may_not_write_it_is_said_that_a_hand_is_needed() -> None:
    world = a_life(first="list", list=Policy(direction="pull"))
    steps = {s.connection: s.what for s in privacy.erase(world.engine, uids(world)[0], "admin")}
    assert steps["list"] == "by hand (direction: pull)"
    assert steps["crm"] == "erased by the next sync"


def test_erased_is_erased_whatever_a_policy_makes_of_deletions() -> None:
    world = a_life(mail=Policy(deletes="ignore"), crm=Policy(deletes="archive"))
    privacy.erase(world.engine, uids(world)[0], "admin")
    world.round()
    assert all(len(remote.cards()) == 1 for remote in world.remotes.values())


def test_erasing_twice_or_nobody_is_told() -> None:
    world = a_life()
    [uid, _] = uids(world)
    privacy.erase(world.engine, uid, "admin")
    with pytest.raises(ValueError, match="erased already"):
        privacy.erase(world.engine, uid, "admin")
    with pytest.raises(LookupError):
        privacy.plan(world.engine, "nobody-at-all")


def test_a_crash_on_the_way_forgets_all_the_same() -> None:
    world = a_life()
    privacy.erase(world.engine, uids(world)[0], "admin")
    for name in world.remotes:
        for number in range(1, 30):
            if world.run_killed(name, lambda _, n: n == number) is None:  # noqa: B023
                break
    assert all(len(remote.cards()) == 1 for remote in world.remotes.values())


def test_everything_that_is_held_is_in_the_file() -> None:
    world = a_life()
    found = privacy.everything(world.engine, uids(world)[0])
    mine = {str(e.value) for m, e in world.ledger.entries.items() if e.real == 1 and m not in world.ledger.discharged}
    text = str(found).casefold()
    assert {value for value in mine if value.casefold() not in text} == set()
    assert [entry["state"] for entry in found["consent"]["said"]] == ["withdrawn", "granted"]
    assert {link["connection"] for link in found["links"]} == world.remotes.keys()


# --- who bought what


class Shop(MemoryConnector):
    """A remote that knows what its contacts bought."""

    sold: list[Sales]

    def purchases(self, cursor: Any) -> Iterator[Sales]:
        for number in range(cursor or 0, len(self.sold)):
            yield replace(self.sold[number], cursor=number + 1)


def bought(record: str, **more: Any) -> Purchase:
    line = Line("Blue paint", "B-1", Decimal("2"), Decimal("9.95"), Decimal("19.90"))
    fields = {"date": date(2026, 3, 1), "total": Decimal("19.90"), "currency": "EUR", "state": "open", "lines": [line]}
    return Purchase(**{"id": "i1", "record": record, "kind": "invoice", "number": "2026-001", **fields, **more})


def shop(world: LawWorld, *sold: Sales) -> None:
    class Here(Shop):
        pass

    Here.sold = list(sold)
    world.connect = lambda remote, context: (Here if remote is world.remotes["crm"] else MemoryConnector)(
        remote, context
    )  # type: ignore[assignment]
    assert isinstance(Here(world.remotes["crm"]), Seller)


def test_purchases_are_read_once_and_belong_to_whom_the_record_is() -> None:
    world = play(LawWorld(), [Add("crm"), Settle()])
    (record,) = world.records("crm")
    shop(world, Sales([bought(record), bought("r99", id="i2")]), Sales([bought(record, state="paid")]))
    world.run("crm")
    (person,) = world.look(people.search)
    (found,) = world.look(lambda unit: purchases.of_person(unit, person.id))
    assert found.connection == "crm"
    assert found.purchase == bought(record, state="paid")
    assert world.run("crm").quiet
    shop(world, Sales(), Sales(), Sales(gone=["i1"]))
    world.run("crm")
    assert world.look(lambda unit: purchases.of_person(unit, person.id)) == []


def test_who_is_erased_bought_nothing() -> None:
    world = play(LawWorld(), [Add("crm"), Settle()])
    (record,) = world.records("crm")
    (person,) = world.look(people.search)
    shop(world, Sales([bought(record)]), Sales([bought(record, id="i3")]))
    world.run("crm")
    privacy.erase(world.engine, person.uid, "admin")
    shop(world, Sales(), Sales(), Sales([bought(record, id="i4")]))
    play(world, [Run("crm")])
    assert world.look(lambda unit: purchases.of_person(unit, person.id)) == []
