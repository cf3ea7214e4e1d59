"""Records that cannot be read are somebody's all the same: nobody gets a second record beside one (law 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from laws import at_peace
from steps import Add, Edit, Run, play
from test_each_law import persons
from world import LawWorld

from app.engine import plan, privacy, resolve
from app.engine.look import read_again
from app.store import outbox, runs, tables
from connectors.contract import Record
from connectors.memory import MemoryConnector, addressbook, crm, lister

KINDS = {"book": addressbook, "crm": crm, "list": lister}
PLACES = ("book", "crm", "list")


def unreadable(world: LawWorld, at: str, record: str, *, shown: bool = True) -> Callable[[], None]:
    """From now on nobody can read this record. shown: what can be made out of it. Gives what mends it."""
    torn = {record}

    class Torn(MemoryConnector):
        def _record(self, state: Any) -> Record:
            found = super()._record(state)
            if found.id not in torn or found.card is None:
                return found
            return replace(found, card=found.card if shown else None, refused="it is torn")

    remote = world.remotes[at]
    world.connect = lambda it, context: (Torn if it is remote else MemoryConnector)(it, context)  # type: ignore[assignment]
    return torn.clear


def twice(at: str, **how: Any) -> tuple[LawWorld, str, Callable[[], None]]:
    """One person entered in two systems; the record at `at` cannot be read. With what mends it."""
    world = LawWorld({name: make() for name, make in KINDS.items()})
    Add("book" if at != "book" else "crm", also=at).do(world)
    (record,) = world.records(at)
    return world, record, unreadable(world, at, record, **how)


def waits(world: LawWorld, at: str) -> list[str]:
    """Why people are not written there."""
    return [found.reason for found in world.look(lambda unit: outbox.aside(unit, world.ids[at]))]


def several(world: LawWorld) -> None:
    for _ in range(3):
        world.round()
        world.rest()


@pytest.mark.parametrize("at", PLACES)
def test_nobody_gets_a_second_record_beside_one_that_cannot_be_read(at: str) -> None:
    world, record, mend = twice(at)
    several(world)
    assert world.records(at) == [record]
    (why,) = waits(world, at)
    assert record in why
    assert "it is torn" in why
    (there,) = world.remotes[at].cards().values()
    mend()
    world.human(at, record, lambda card: card["name"].update(world.remotes[at].card(record)["name"]))
    Edit(at, "add", "phones").do(world)
    at_peace(world)
    assert world.records(at) == [record]
    assert len(persons(world)) == 1
    assert not waits(world, at)
    assert there["emails"] == world.remotes[at].card(record)["emails"]  # type: ignore[index]


@pytest.mark.parametrize("at", PLACES)
def test_when_it_is_deleted_there_the_person_is_made(at: str) -> None:
    world, record, _ = twice(at)
    several(world)
    world.remotes[at].remove(record)
    several(world)
    assert len(world.records(at)) == 1
    assert not waits(world, at)
    assert not world.refusals()
    at_peace(world)


@pytest.mark.parametrize("at", PLACES)
def test_when_a_full_listing_lacks_it_the_person_is_made(at: str) -> None:
    world, record, _ = twice(at)
    several(world)
    world.remotes[at].remove(record)
    world.remotes[at].expire_cursors()
    several(world)
    assert len(world.records(at)) == 1
    assert not world.refusals()


def test_who_is_ignored_is_in_nobodys_way() -> None:
    world, record, _ = twice("crm")
    several(world)
    resolve.forget_refusal(world.engine, "crm", record)
    several(world)
    assert len(world.records("crm")) == 2
    assert not waits(world, "crm")


def test_a_retry_of_the_person_asks_again_and_changes_nothing() -> None:
    world, record, _ = twice("crm")
    several(world)
    (person,) = persons(world)
    resolve.retry_push(world.engine, "crm", person.uid)
    several(world)
    assert world.records("crm") == [record]
    assert len(waits(world, "crm")) == 1


def test_read_again_the_record_is_the_persons() -> None:
    world, record, mend = twice("crm")
    several(world)
    assert read_again(world.engine, "crm", record) == "it is torn"
    assert len(waits(world, "crm")) <= 1
    mend()
    assert read_again(world.engine, "crm", record) is None
    at_peace(world)
    assert world.records("crm") == [record]
    assert len(persons(world)) == 1


def test_somebody_else_at_the_same_address_is_written() -> None:
    world, _, _ = twice("crm")
    Add("book", shares=True).do(world)
    several(world)
    assert len(world.records("crm")) == 2
    assert len(waits(world, "crm")) == 1


def test_one_of_whom_nothing_can_be_made_out_holds_nobody_up() -> None:
    world, _, _ = twice("crm", shown=False)
    several(world)
    assert len(world.records("crm")) == 2


def test_one_that_was_somebodys_before_it_was_torn_holds_nobody_up() -> None:
    world = play(LawWorld({name: make() for name, make in KINDS.items()}), [Add("book")])
    at_peace(world)
    (record,) = world.records("crm")
    unreadable(world, "crm", record)
    Edit("crm", "add", "phones").do(world)
    world.run("crm")
    assert world.refusals() == {("crm", record)}
    assert not world.look(runs.unread)


def test_one_that_was_torn_and_is_as_it_was_is_not_set_aside_any_more() -> None:
    world = play(LawWorld({name: make() for name, make in KINDS.items()}), [Add("book")])
    at_peace(world)
    (record,) = world.records("crm")
    mend = unreadable(world, "crm", record)
    world.remotes["crm"].expire_cursors()
    world.run("crm")
    assert world.refusals() == {("crm", record)}
    mend()
    world.remotes["crm"].expire_cursors()
    world.run("crm")
    assert not world.refusals()


def test_a_record_beyond_all_bounds_is_somebodys_too() -> None:
    world = LawWorld({"book": addressbook(), "crm": crm()})
    Add("crm", also="book").do(world)
    (record,) = world.records("book")
    world.human("book", record, lambda card: card.update(notes={"n": {"note": "x" * 100_001}}))
    several(world)
    assert world.records("book") == [record]
    (why,) = waits(world, "book")
    assert "limit" in why


@pytest.mark.parametrize("shown", [True, False])
def test_a_create_whose_answer_was_lost_is_not_sent_again_where_the_record_cannot_be_read(shown: bool) -> None:
    world = play(LawWorld({"book": addressbook(), "crm": crm()}), [Add("crm"), Run("crm")])
    world.remotes["book"].faults.add("lost_after", "POST")
    world.run("book")
    (record,) = world.records("book")
    mend = unreadable(world, "book", record, shown=shown)
    several(world)
    resolve.retry(world.engine, "book")
    several(world)
    assert world.records("book") == [record]
    assert world.refusals() == {("book", record)}
    mend()
    world.troubled = True
    at_peace(world)
    assert world.records("book") == [record]


def test_a_plan_says_who_would_not_be_made_and_keeps_nothing_of_it() -> None:
    world, record, _ = twice("crm")
    world.run("book")
    made = plan.make(world.engine, ["crm"])
    (forecast,) = [each for each in made.forecasts if each.connection == "crm"]
    assert (forecast.creates, forecast.aside, forecast.refused) == (0, 1, 1)
    assert not waits(world, "crm")
    assert not world.refusals()
    assert world.records("crm") == [record]


def test_of_who_asked_to_be_forgotten_nothing_is_kept_of_unread_records_either() -> None:
    world, record, _ = twice("crm")
    several(world)
    (person,) = persons(world)
    held = privacy.everything(world.engine, person.uid)["unread"]
    assert [(each["connection"], each["id"]) for each in held] == [("crm", record)]
    assert held[0]["shows"]["emails"]
    privacy.erase(world.engine, person.uid, "ann")
    kept = sa.select(tables.refused.c.card)
    assert world.look(lambda unit: unit.db.execute(kept).scalars().all()) == [None]
    world.remotes["crm"].expire_cursors()
    world.run("crm")
    assert world.look(lambda unit: unit.db.execute(kept).scalars().all()) == [None]
