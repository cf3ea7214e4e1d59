"""Records that cannot be read are somebody's all the same: nobody gets a second record beside one (law 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from laws import at_peace
from steps import Add, Delete, Edit, Run, Settle, play
from test_each_law import persons
from world import LawWorld

from app.core.policy import Policy
from app.engine import plan, privacy, resolve
from app.engine.look import read_again
from app.store import outbox, people, runs, tables
from connectors.contract import Record
from connectors.memory import MemoryConnector, addressbook, crm, lister

KINDS = {"book": addressbook, "crm": crm, "list": lister}
PLACES = ("book", "crm", "list")


def unreadable(
    world: LawWorld, at: str, record: str, *, shown: bool = True, left: tuple[str, ...] = ("name", "emails")
) -> Callable[[], None]:
    """From now on nobody can read this record. shown: can anything be made out of it? left: what. Gives what mends
    it."""
    torn = {record}

    class Torn(MemoryConnector):
        def _record(self, state: Any) -> Record:
            found = super()._record(state)
            if found.id not in torn or found.card is None:
                return found
            half = {name: value for name, value in found.card.items() if name in left}
            return replace(found, card=half if shown else None, refused="it is torn")

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


def readdressed(world: LawWorld, at: str, record: str) -> None:
    """It has another address now, and is as torn as before."""
    card = world.remotes[at].card(record)
    assert card is not None
    new = {key: {**mail, "address": "else@x.test"} for key, mail in card["emails"].items()}
    world.remotes[at].edit(record, {**card, "emails": new})


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


@pytest.mark.parametrize("at", PLACES)
def test_who_is_ignored_is_in_nobodys_way_until_it_changes_there(at: str) -> None:
    world, record, _ = twice(at)
    several(world)
    resolve.forget_refusal(world.engine, at, record)
    Add(at).do(world)  # so that there is something to list
    world.remotes[at].expire_cursors()
    several(world)
    assert len(world.records(at)) == 3
    assert not waits(world, at)
    assert not world.refusals()
    readdressed(world, at, record)
    several(world)
    assert world.refusals() == {(at, record)}, "it says something else now"


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


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("then", ["somebody else's", "nothing legible"])
def test_who_waits_is_looked_at_again_when_the_record_shows_something_else(at: str, then: str) -> None:
    """Nothing that was known of it before may hold anybody up for ever."""
    world, record, _ = twice(at, left=("emails",))
    several(world)
    assert len(waits(world, at)) == 1
    if then == "somebody else's":
        readdressed(world, at, record)
    else:
        with world.store.begin() as unit:
            runs.forget_card(unit, world.ids[at], record)
    several(world)
    assert not waits(world, at)
    assert len(world.records(at)) == 2


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


def test_half_a_record_proves_nothing_of_what_we_wrote() -> None:
    """A number is taken away while the record there is torn and shows none: that is no sign that it is gone there."""
    kinds = {"book": addressbook(), "crm": crm(), "list": lister()}
    world = play(LawWorld(kinds), [Add("book", ("phones", "phones")), Settle()])
    (record,) = world.records("list")
    mend = unreadable(world, "list", record)
    world.human("list", record, lambda card: card.update(notes={"n": world.ledger.enter(1, "notes")}))
    Edit("book", "remove", "phones").do(world)
    several(world)
    mend()
    world.remotes["list"].expire_cursors()
    world.troubled = True
    at_peace(world)
    (person,) = persons(world)
    assert len(person.card["phones"]) == 1


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("lives", [True, False])
def test_what_was_torn_and_then_deleted_there_is_in_nobodys_way(at: str, lives: bool) -> None:
    other = "book" if at != "book" else "crm"
    world = play(LawWorld({name: make() for name, make in KINDS.items()}), [Add(other, ("phones",)), Settle()])
    (record,) = world.records(at)
    unreadable(world, at, record)
    world.remotes[at].expire_cursors()
    world.run(at)
    world.remotes[at].remove(record)
    if lives:  # an edit after the last agreement survives a delete
        Edit(other, "add", "titles").do(world)
        world.run(other)
    several(world)
    if not lives:
        (gone,) = world.look(lambda unit: people.search(unit, state="archived"))
        resolve.restore(world.engine, gone.uid, "ann")
        several(world)
    assert len(world.records(at)) == 1
    assert not world.refusals()
    assert not waits(world, at)


def test_mended_under_another_id_it_is_refused_no_more() -> None:
    world, record, mend = twice("list")
    several(world)
    mend()

    class Renamed(MemoryConnector):
        def _record(self, state: Any) -> Record:
            found = super()._record(state)
            return replace(found, id="new", aliases=[record]) if found.id == record else found

        def read(self, ids: Any) -> Any:
            return super().read([record if id_ == "new" else id_ for id_ in ids])

    remote = world.remotes["list"]
    world.connect = lambda it, context: (Renamed if it is remote else MemoryConnector)(it, context)  # type: ignore[assignment]
    remote.expire_cursors()
    several(world)
    assert not world.refusals()
    assert not waits(world, "list")


def test_what_goes_only_one_way_waits_no_longer_than_the_record_is_torn() -> None:
    """A connection that is only written to takes in no strangers; a mended one is refused no more all the same."""
    world = LawWorld({"book": addressbook(), "crm": crm()}, policies={"crm": Policy(direction="push")})
    Add("book").do(world)
    world.run("book")
    stranger = world.remotes["crm"].add({"name": {"components": [{"kind": "surname", "value": "Else"}]}})
    mend = unreadable(world, "crm", stranger)
    several(world)
    assert world.refusals()
    mend()
    world.remotes["crm"].expire_cursors()
    several(world)
    assert not world.refusals()


def test_a_card_of_no_known_shape_is_one_bad_apple() -> None:
    world, _, _ = twice("crm", left=("name",))
    torn = world.connect

    def shapeless(remote: Any, context: Any) -> MemoryConnector:
        found = torn(remote, context)
        record = found._record

        def odd(state: Any) -> Record:
            shown = record(state)
            return replace(shown, card={**(shown.card or {}), "emails": ["x"], "name": "y"}) if shown.refused else shown

        found._record = odd  # type: ignore[method-assign]
        return found

    world.connect = shapeless  # type: ignore[assignment]
    assert world.run("crm").outcome == "done"
    assert len(world.refusals()) == 1


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


@pytest.mark.parametrize("left", [("name",), ("emails",)])
def test_half_of_it_is_enough_to_tell_whose_it_may_be(left: tuple[str, ...]) -> None:
    """A card that was cut off before the address, or a note of which nothing but the address is left."""
    world, record, mend = twice("crm", left=left)
    several(world)
    assert world.records("crm") == [record]
    (why,) = waits(world, "crm")
    assert record in why
    mend()
    Edit("crm", "add", "phones").do(world)
    at_peace(world)
    assert world.records("crm") == [record]


def test_what_is_torn_while_it_is_owed_an_edit_says_so_and_gets_it_when_it_is_mended() -> None:
    world = play(LawWorld({name: make() for name, make in KINDS.items()}), [Add("book"), Settle()])
    Edit("book", "add", "phones").do(world)
    world.run("book")
    (record,) = world.records("list")
    mend = unreadable(world, "list", record)
    world.human("list", record, lambda card: card.update(notes={"n": world.ledger.enter(1, "notes")}))
    several(world)
    assert waits(world, "list") in ([], ["its record there cannot be read: it is torn"])
    mend()
    world.remotes["list"].expire_cursors()
    world.troubled = True
    at_peace(world)
    assert not waits(world, "list")


# --- what was deleted in a system, and is there again


def back(deletes_elsewhere: bool = False) -> tuple[LawWorld, str]:
    """Deleted in the address book, heard of everywhere; then somebody took it out of the bin."""
    world = play(LawWorld({"book": addressbook(), "crm": crm()}), [Add("book", ("phones",)), Settle()])
    (record,) = world.records("book")
    Delete("crm" if deletes_elsewhere else "book").do(world)
    several(world)
    assert not world.records("book")
    remote = world.remotes["book"]
    past = remote._past[record]
    remote._note(past[-2], past[-2].cells)
    return world, record


def test_what_is_taken_out_of_the_bin_is_not_deleted_again_and_a_human_is_asked() -> None:
    world, record = back()
    several(world)
    assert world.records("book") == [record]
    assert world.refusals() == {("book", record)}
    assert "concord people restore" in world.look(runs.refusals)[0].reason
    assert not world.records("crm"), "nobody is brought back unasked"
    assert not world.round()[0].tally.writes


@pytest.mark.parametrize("at", ["crm", "list"])
def test_what_is_there_again_as_if_nothing_had_been_is_asked_about_once(at: str) -> None:
    """No news tells of it, only its place in the listing of all: as of what was in the bin of a CRM."""
    world = play(LawWorld(), [Add(at, ("phones",)), Add("book"), Settle()])
    record = world.records(at)[0]
    Delete(at).do(world)
    several(world)
    assert record not in world.records(at)
    world.remotes[at]._past[record].pop()
    Edit("book", "add", "notes").do(world)  # where nothing happens at all, nothing is listed
    several(world)
    assert record in world.records(at)
    assert world.refusals() == {(at, record)}
    assert len(world.records("book")) == 1, "nobody is brought back unasked"
    world.remotes[at].faults.log.clear()
    assert world.run(at).quiet
    assert not [request for request in world.remotes[at].faults.log if record in request], "nor read again and again"


def test_who_is_restored_then_has_that_record() -> None:
    world, record = back()
    several(world)
    uid = world.look(lambda unit: people.search(unit, state="archived"))[0].uid
    resolve.restore(world.engine, uid, "ann")
    world.round()
    assert world.records("book") == [record], "and no other beside it"
    assert read_again(world.engine, "book", record) is None
    world.ledger.buried.clear()
    at_peace(world)
    assert len(world.records("crm")) == 1
    assert not world.refusals()


def test_when_it_is_deleted_once_more_nobody_is_asked_any_more() -> None:
    world, record = back()
    several(world)
    world.remotes["book"].remove(record)
    several(world)
    assert not world.refusals()


def test_an_old_copy_in_another_system_is_deleted_again() -> None:
    world, _ = back(deletes_elsewhere=True)
    several(world)
    assert not world.records("book")
    assert not world.refusals()


# --- beyond bounds, lost answers, plans, privacy


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


def test_of_a_record_that_is_somebodys_nothing_is_kept() -> None:
    world = play(LawWorld({"book": addressbook(), "crm": crm()}), [Add("book"), Settle()])
    (record,) = world.records("crm")
    unreadable(world, "crm", record)
    world.remotes["crm"].expire_cursors()
    world.run("crm")
    assert world.refusals() == {("crm", record)}
    assert world.look(lambda unit: unit.db.execute(sa.select(tables.refused.c.card)).scalars().all()) == [None]


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
