"""Each law alone, in the short histories that are most likely to break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from deeds import only_people_edit
from laws import at_peace, books
from steps import Add, Clash, Delete, Edit, Rename, Run, Settle, Tag, play
from world import LawWorld, marks

from app.core.policy import Policy
from app.engine import resolve
from app.engine.run import sync
from app.store import connections, journal, outbox, people, runs
from app.store.people import Person
from app.store.store import Unit
from connectors.card import Card, part
from connectors.memory import (
    Cells,
    MemoryConnector,
    addressbook,
    crm,
    lister,
    mailer,
    tidy_phones,
    without,
)
from connectors.sandbox import Kind

BOOK_AND_CRM = {"book": addressbook(), "crm": crm()}


def only(world: LawWorld, name: str) -> Card:
    """The one record of a remote."""
    (card,) = world.remotes[name].cards().values()
    return card


def only_id(world: LawWorld, name: str) -> str:
    (record,) = world.remotes[name].cards()
    return record


def persons(world: LawWorld) -> list[Person]:
    return [*books(world).people.values()]


def history(world: LawWorld, person: int = 1) -> list[journal.Change]:
    found: list[journal.Change] = world.look(lambda unit: journal.history(unit, person))
    return found


def clashes(world: LawWorld) -> list[journal.Conflict]:
    found: list[journal.Conflict] = world.look(journal.list_conflicts)
    return found


def agreed(*steps: Any, kinds: Any = None, policies: Any = None) -> LawWorld:
    """A world in which this happened and everything agrees."""
    world = play(LawWorld(kinds, policies=policies), steps)
    at_peace(world)
    return world


# --- 1, 2: convergence and silence ---------------------------------------------------------------------------


def test_one_round_tells_everybody_after_the_source() -> None:
    world = agreed(Add("book", ("phones", "notes")))
    ids = persons(world)[0].card["phones"].keys()
    Edit("book", "value", "phones").do(world)
    world.round()
    assert persons(world)[0].card["phones"].keys() == ids, "an edited element is the same element"
    assert [row.path[0] for row in history(world)[1:]] == ["phones"]
    shown = {next(iter(only(world, name)["phones"].values()))["number"] for name in ("book", "crm", "list")}
    assert len(shown) == 1


def test_a_change_costs_one_write_in_each_other_system_and_one_field_of_it() -> None:
    world = LawWorld()
    world.remotes["list"].reformat = tidy_phones  # which is theirs to do, and nothing for us to mend
    Add("book", ("phones", "notes", "titles")).do(world)
    at_peace(world)
    sent: list[Any] = []
    _spy_on_writes(world, sent)
    Rename("book", "given").do(world)
    world.round()
    world.round()
    assert [(write.id, [*write.cells]) for write in sent] == [("r1", [("name", "given")])] * 3


def _spy_on_writes(world: LawWorld, sent: list[Any]) -> None:
    for remote in world.remotes.values():
        send = remote.send

        def spied(secret: str, writes: Any, send: Any = send) -> Any:
            sent.extend(writes)
            return send(secret, writes)

        remote.send = spied  # type: ignore[method-assign]


@pytest.mark.parametrize("lag", [0.0, 120.0])
def test_a_remote_that_shows_the_past_for_a_while_does_not_bring_it_back(lag: float) -> None:
    slow = replace(addressbook(), lag=lag, modified=False)
    world = agreed(Add("crm", ("phones", "notes")), kinds={"crm": crm(), "book": slow})
    for _ in range(4):  # quicker than the lag
        Edit("crm", "value", "phones").do(world)
        Edit("crm", "value", "notes").do(world)
        world.round()
        world.clock.wait(35)
        world.remotes["book"].expire_cursors()  # a full listing shows everything as it was
        world.round()
    assert marks(only(world, "crm")["phones"]) == marks(persons(world)[0].card["phones"])
    at_peace(world)


# --- 3, 4: nothing lost, nothing invented --------------------------------------------------------------------


@pytest.mark.parametrize("at", ["book", "list"])
def test_an_edit_between_our_read_and_our_write_is_not_overwritten(at: str) -> None:
    world = agreed(Add("crm", ("phones",)))
    Edit("crm", "value", "phones").do(world)
    world.run("crm")
    Run(at, meanwhile=(3, Edit(at, "value", "phones"))).do(world)
    at_peace(world)
    assert len(clashes(world)) == 1


def test_what_was_not_sent_because_of_throttling_is_sent_later() -> None:
    world = agreed(Add("crm", ("phones",)), Add("crm", ("phones",)), Add("crm", ("phones",)))
    for record in range(3):
        Edit("crm", "value", "phones", record).do(world)
    world.run("crm")
    Run("list", fault="throttle", skip=3).do(world)
    assert world.reports[-1].outcome == "failed"
    at_peace(world)


def test_a_first_meeting_is_a_union() -> None:
    world = LawWorld(BOOK_AND_CRM)
    Add("book", ("phones", "notes")).do(world)
    card = only(world, "book")
    real = world.ledger.owner(card)
    assert real
    other: dict[str, Any] = {"name": card["name"], "emails": {"n": card["emails"]["1"]}}
    for name in ("phones", "notes", "titles"):
        other[name] = {"n": world.ledger.enter(real, name)}
    world.add("crm", other)
    at_peace(world)
    (person,) = persons(world)
    assert len(person.card["phones"]) == 2
    assert len(person.card["notes"]) == 2
    assert not clashes(world)


def test_a_first_meeting_keeps_the_loser_of_two_names() -> None:
    world = LawWorld(BOOK_AND_CRM)
    Add("book").do(world)
    card = only(world, "book")
    short = [{"kind": "given", "value": "G"}, next(c for c in card["name"]["components"] if c["kind"] == "surname")]
    world.remotes["crm"].add({"name": {"components": short}, "emails": {"email": {"address": "M3Q@x.test"}}})
    world.round()
    (person,) = persons(world)
    (clash,) = clashes(world)
    assert {clash.ours, clash.theirs} == {"Givenm1q", "G"}
    assert part(person.card["name"], "given") in {"Givenm1q", "G"}


def test_the_loser_of_a_conflict_is_kept_and_said() -> None:
    world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM)
    Clash("book", "crm", "phones").do(world)
    at_peace(world)
    (clash,) = clashes(world)
    assert clash.ours != clash.theirs
    assert {clash.ours, clash.theirs} == {"+49301000005", "+49301000006"}


def test_the_preferred_system_wins_and_ask_waits_for_a_human() -> None:
    prefer = Policy(prefer=("crm",))
    world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM, policies={"book": prefer, "crm": prefer})
    Clash("crm", "book", "phones").do(world)  # the book's edit is the newer one
    at_peace(world)
    assert only(world, "book")["phones"]["2"]["number"] == "+49301000005"

    ask = Policy(ask=True)
    world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM, policies={"book": ask, "crm": ask})
    Clash("book", "crm", "phones").do(world)
    world.round()
    world.round()
    (clash,) = clashes(world)
    assert (clash.kept, clash.ours, clash.theirs) == ("ask", "+49301000005", "+49301000006")
    assert all(report.quiet for report in world.round()), "an open question must not be asked again and again"
    resolve.decide(world.engine, clash.id, "theirs", "me")
    at_peace(world)
    assert only(world, "book")["phones"]["2"]["number"] == "+49301000006"


def test_blanks_that_never_erase_are_filled_again() -> None:
    world = agreed(Add("book", ("phones", "notes")), kinds=BOOK_AND_CRM, policies={"crm": Policy(blanks="keep")})
    Edit("crm", "remove", "phones").do(world)
    Edit("book", "remove", "notes").do(world)
    at_peace(world)
    assert "phones" in only(world, "crm")
    assert "notes" not in only(world, "crm")


# --- 5: no duplicates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "error_after", "html"])
@pytest.mark.parametrize("at", ["book", "crm", "mail", "list"])
def test_a_create_without_an_answer_is_looked_up_before_it_is_sent_again(at: str, fault: Kind) -> None:
    source = "list" if at == "book" else "book"
    world = LawWorld()
    for fields in (("notes",), ("titles",)):  # nothing that identity could be told by, but where it must be
        Add(source, fields, address=at == "mail").do(world)
    world.run(source)
    world.remotes[at].faults.add(fault, "POST")
    world.troubled = True
    world.run(at)
    at_peace(world)
    assert len(world.remotes[at].cards()) == 2


@pytest.mark.parametrize("at", ["book", "crm", "mail", "list"])
def test_an_edit_of_a_record_whose_create_was_never_answered_is_not_lost(at: str) -> None:
    source = "list" if at == "book" else "book"
    world = LawWorld({source: addressbook() if source == "book" else lister(), at: LawWorld().remotes[at].profile})
    Add(source, ("phones", "notes")).do(world)
    world.run(source)
    world.remotes[at].faults.add("lost_after", "POST")
    world.troubled = True
    world.run(at)
    edit = Rename(at, "given") if at == "mail" else Edit(at, "value", "notes")
    edit.do(world)
    at_peace(world)
    newest = {max(world.ledger.entries)}
    assert newest <= marks(only(world, source)) & marks(only(world, at))


def test_search_that_lags_is_waited_for() -> None:
    world = LawWorld({"book": addressbook(), "crm": replace(crm(), find_lag=60.0)})
    Add("book", ("phones",)).do(world)
    world.run("book")
    world.remotes["crm"].faults.add("lost_after", "POST")
    world.troubled = True
    world.run("crm")
    world.run("crm")
    at_peace(world)


def test_two_with_one_address_stay_two_in_every_system_that_allows_it() -> None:
    world = agreed(Add("book"), Settle(), Add("book", shares=True), Add("crm", shares=True))
    assert len(persons(world)) == 3
    assert {name: len(remote.cards()) for name, remote in world.remotes.items()} == {
        "book": 3,
        "crm": 3,
        "mail": 1,
        "list": 3,
    }
    reasons = {row.reason for row in world.look(lambda unit: outbox.aside(unit, world.ids["mail"]))}
    assert reasons == {"409 another record has this address"}


def test_twins_whose_creates_are_lost_are_not_mistaken_for_each_other() -> None:
    """Where there is no place for our key, and two people share every value that the remote can hold."""
    world = LawWorld({"book": addressbook(), "crm": crm()})
    name = {"components": [{"kind": "surname", "value": "Twin"}]}
    for note in ("a", "b"):
        world.remotes["book"].add({"name": name, "nicknames": {"n": {"name": note}}})
    world.run("book")
    world.remotes["crm"].faults.add("lost_before", "POST", skip=1)
    world.run("crm")
    world.round()
    world.round()
    assert len(world.remotes["crm"].cards()) == 2
    assert not world.look(outbox.aside)


# --- 6: a lossy system loses only its own copy ---------------------------------------------------------------


def test_what_is_cut_reformatted_or_forgotten_stays_in_the_card() -> None:
    def rough(cells: Cells) -> Cells:
        kept = without("titles")(cells)
        return {path: value[:8] if path[0] == "notes" else value for path, value in kept.items()}

    world = LawWorld({"book": addressbook(), "crm": crm(), "list": lister()})
    world.remotes["crm"].reformat = tidy_phones
    world.remotes["list"].reformat = rough
    Add("book", ("phones", "organizations", "notes", "titles", "notes", "nicknames")).do(world)
    for _ in range(2):
        world.round()
        Rename("crm", "given").do(world)
        Rename("list", "surname").do(world)
        world.round()
        Edit("book", "add", "phones").do(world)
        Edit("book", "value", "notes").do(world)
        before = {**only(world, "book"), "name": {}}
        world.round()
        world.round()
        assert {**only(world, "book"), "name": {}} == before
    assert not clashes(world)
    assert all(report.quiet for report in world.round())


def test_a_text_that_is_cut_there_stays_whole_here() -> None:
    """All would agree on the short one, and be silent, and it begins as what was typed."""
    world = LawWorld({"book": addressbook(), "list": lister()})
    world.remotes["list"].reformat = lambda cells: {
        path: value[:45] if path[0] == "notes" else value for path, value in cells.items()
    }
    play(world, [Add("book", ("phones", "titles", "notes"))])
    for _ in range(2):
        world.round()
    before = only(world, "book")["notes"]
    Rename("list", "given").do(world)
    for _ in range(2):
        world.round()
    only_people_edit(world)
    assert only(world, "book")["notes"] == before


@pytest.mark.parametrize("writes", range(1, 4))
def test_what_stood_there_before_any_of_our_late_writes_is_no_edit(writes: int) -> None:
    """However many they are within the time for which reads show the past."""
    slow = replace(addressbook(), lag=200.0, modified=False)
    world = agreed(Add("crm", ("phones",)), kinds={"crm": crm(), "book": slow})
    for _ in range(writes):
        Edit("crm", "value", "phones").do(world)
        world.round()
        world.clock.wait(35)
    world.remotes["book"].expire_cursors()
    world.round()
    assert marks(persons(world)[0].card["phones"]) == {max(world.ledger.entries)}
    at_peace(world)


def test_an_edit_of_a_cut_text_is_an_edit() -> None:
    world = agreed(Add("book", ("titles", "notes", "notes")), kinds=BOOK_AND_CRM)
    Edit("crm", "value", "notes").do(world)
    at_peace(world)
    assert marks(only(world, "crm")["notes"]) <= marks(only(world, "book")["notes"])


# --- 7: absence is not deletion ------------------------------------------------------------------------------


def crowd(number: int, kinds: Any = None) -> LawWorld:
    world = LawWorld(kinds or BOOK_AND_CRM)
    for _ in range(number):
        Add("book").do(world)
    at_peace(world)
    return world


def state(world: LawWorld) -> list[tuple[str, Card]]:
    return [(person.state, person.card) for person in persons(world)]


@pytest.mark.parametrize(("gone", "held"), [(10, False), (11, True)])
def test_the_brake(gone: int, held: bool) -> None:
    world = crowd(12)
    before = state(world)
    for record in world.records("crm")[:gone]:
        world.delete("crm", record)
    report = world.run("crm")
    assert (report.outcome == "held") is held
    if not held:
        return
    assert "--release" in (report.message or "")
    world.run("book")
    assert state(world) == before, "not one before the human has spoken"
    assert len(world.remotes["book"].cards()) == 12
    assert world.run("crm").outcome == "held"
    assert world.run("crm", release=True).outcome == "done"
    at_peace(world)
    assert len(world.remotes["book"].cards()) == 1


def test_whom_we_made_is_looked_for_once_however_long_the_brake_holds() -> None:
    world = LawWorld(BOOK_AND_CRM)
    for _ in range(12):
        Add("book").do(world)
    for name in ("book", "crm"):
        assert world.run(name).outcome == "done"
    for record in world.records("crm")[:11]:
        world.delete("crm", record)
    looked, waits = (world.run("crm") for _ in range(2))
    assert (looked.outcome, waits.outcome) == ("held", "held")
    assert waits.tally.requests < looked.tally.requests


def test_the_brake_counts_emptied_values_too() -> None:
    world = crowd(12)
    for record in world.records("book"):
        world.human("book", record, lambda card: card.pop("emails"))
    before = state(world)
    assert world.run("book").outcome == "held"
    assert state(world) == before


def test_a_large_share_may_go_where_there_are_many() -> None:
    world = crowd(11, {"list": lister()} | BOOK_AND_CRM)
    for record in world.records("list")[:10]:
        world.delete("list", record)
    assert world.run("list").outcome == "done"


@pytest.mark.parametrize("kind", ["crm", "list"])
def test_an_emptied_remote_deletes_nothing_and_may_come_back(kind: str) -> None:
    world = LawWorld({"book": addressbook(), kind: LawWorld().remotes[kind].profile})
    for _ in range(12):
        Add("book").do(world)
    at_peace(world)
    before, remote = state(world), world.remotes[kind]
    real = remote.listing
    remote.listing = lambda secret, after=0: {**real(secret, after), "records": [], "next": None}  # type: ignore
    remote.expire_cursors()
    assert world.run(kind).outcome == "held"
    assert state(world) == before
    remote.listing = real  # type: ignore[method-assign]
    remote.expire_cursors()
    assert world.run(kind).outcome == "done", "what shows up again is no longer missing"
    assert state(world) == before
    at_peace(world)


@pytest.mark.parametrize("kind", ["book", "crm", "mail", "list"])
def test_short_pages_and_broken_listings_delete_nothing(kind: str) -> None:
    world = LawWorld(
        {"source": addressbook(), kind: replace(LawWorld().remotes[kind].profile, page=4)},
    )
    for _ in range(9):
        Add("source").do(world)
    at_peace(world)
    before, remote = state(world), world.remotes[kind]
    remote.short_pages = True
    for skip in range(4):
        remote.expire_cursors()
        remote.faults.add("unavailable", "GET", skip=skip)
        world.run(kind)
        remote.faults.clear()
        world.run(kind)
        assert state(world) == before
    at_peace(world)


def test_a_deletion_before_a_broken_full_listing_is_still_heard_of() -> None:
    """Tombstones older than an expired cursor are told by nobody; only a complete listing shows them."""
    world = LawWorld({"source": crm(), "book": replace(addressbook(), page=2)})
    for _ in range(5):
        Add("source").do(world)
    at_peace(world)
    world.delete("book", world.records("book")[0])
    world.remotes["book"].expire_cursors()
    world.remotes["book"].faults.add("unavailable", "GET /records", skip=1)
    world.run("book")
    at_peace(world)
    assert len(world.remotes["source"].cards()) == 4


@pytest.mark.parametrize("at", ["book", "list"])
def test_a_value_that_came_back_before_the_brake_was_released_stays(at: str) -> None:
    world = crowd(12, {"list": lister()} | BOOK_AND_CRM)
    cards = world.remotes[at].cards()
    for record in cards:
        world.human(at, record, lambda card: card.pop("emails"))
    assert world.run(at).outcome == "held"
    for record, card in cards.items():
        world.remotes[at].edit(record, card)
    world.run(at, release=True)
    at_peace(world)
    assert all("emails" in card for card in world.remotes["crm"].cards().values())


# --- 8: deleted stays deleted, edited beats deleted ----------------------------------------------------------


@pytest.mark.parametrize("at", ["book", "crm", "mail", "list"])
def test_deleted_everywhere_and_not_brought_back(at: str) -> None:
    world = agreed(Add("book", ("phones",)), Settle(), Delete(at))
    assert [person.state for person in persons(world)] == ["deleted"]
    for remote in world.remotes.values():
        assert not remote.cards()
        remote.expire_cursors()
    at_peace(world)
    assert history(world)[-1].before, "what was deleted can be brought back"


@pytest.mark.parametrize("order", [("book", "list"), ("list", "book")])
def test_an_edit_after_the_last_agreement_survives_a_delete_and_says_so(order: tuple[str, str]) -> None:
    world = agreed(Add("book", ("phones",)))
    Edit("book", "value", "phones").do(world)
    Delete("list").do(world)
    for name in order:
        world.run(name)
    at_peace(world)
    assert {name: len(remote.cards()) for name, remote in world.remotes.items()} == dict.fromkeys(world.remotes, 1)
    assert [clash for clash in clashes(world) if clash.path == ()], "nobody was told"


@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
def test_our_own_unanswered_delete_is_not_taken_for_a_humans(fault: Kind) -> None:
    world = agreed(Add("book", ("notes",)))
    Delete("book").do(world)
    Edit("list", "value", "notes").do(world)
    world.run("book")
    world.remotes["mail"].faults.add(fault, "POST")
    world.troubled = True
    world.run("mail")  # deletes, and never hears of it
    world.run("list")  # the edit is heard of
    at_peace(world)
    assert {name: len(remote.cards()) for name, remote in world.remotes.items()} == dict.fromkeys(world.remotes, 1)


def test_an_old_copy_that_comes_back_by_itself_is_deleted_again() -> None:
    world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM)
    card = only(world, "crm")
    Delete("book").do(world)
    at_peace(world)
    remote = world.remotes["crm"]
    past = remote._past["r1"]
    remote._note(past[-2], past[-2].cells)  # out of a backup
    assert only(world, "crm") == card
    at_peace(world)
    assert not remote.cards()


def test_what_a_deletion_means_is_policy() -> None:
    for deletes, left in (("archive", {"book": 0, "crm": 1}), ("ignore", {"book": 0, "crm": 1})):
        world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM, policies={"book": Policy(deletes=deletes)})  # type: ignore[arg-type]
        world.remotes["book"].remove(only_id(world, "book"))
        for _ in range(3):
            world.round()
        assert {name: len(remote.cards()) for name, remote in world.remotes.items()} == left
        assert persons(world)[0].state == ("archived" if deletes == "archive" else "live")


def test_entered_anew_after_a_deletion_is_one_record_again() -> None:
    for at in ("book", "crm", "mail", "list"):
        world = agreed(Add("book", ("phones", "notes")), Settle(), Delete(at, again=True))
        assert {name: len(remote.cards()) for name, remote in world.remotes.items()} == dict.fromkeys(world.remotes, 1)


# --- 10: one bad apple ---------------------------------------------------------------------------------------


def test_a_refused_person_is_set_aside_with_a_reason_and_retried_when_changed() -> None:
    world = LawWorld({"book": addressbook(), "mail": mailer()})
    Add("book").do(world)
    good = only_id(world, "book")
    Add("book").do(world)
    bad = next(record for record in world.records("book") if record != good)
    world.human("book", bad, lambda card: card.pop("emails"))
    at_peace(world)
    assert len(world.remotes["mail"].cards()) == 1
    (row,) = world.look(outbox.aside)
    assert "mandatory" in row.reason
    assert resolve.retry(world.engine, "mail") == 1
    world.round()
    assert len(world.look(outbox.aside)) == 1
    Edit("book", "add", "emails", record=1).do(world)
    at_peace(world)
    assert len(world.remotes["mail"].cards()) == 2
    assert not world.look(outbox.aside)


def test_a_record_beyond_all_bounds_is_set_aside_with_a_reason_and_taken_when_mended() -> None:
    world = LawWorld(BOOK_AND_CRM)
    Add("book").do(world)
    long = world.remotes["book"].add({"name": {"components": [{"kind": "surname", "value": "Long"}]}})
    world.remotes["book"].edit(long, {"notes": {"1": {"note": "x" * 100_001}}})
    world.round()
    (refusal,) = world.look(runs.refusals)
    assert "limit" in refusal.reason
    assert len(world.remotes["crm"].cards()) == 1
    world.remotes["book"].edit(long, {"name": {"components": [{"kind": "surname", "value": "Short"}]}})
    world.round()
    assert not world.look(runs.refusals)
    assert len(world.remotes["crm"].cards()) == 2


@pytest.mark.parametrize(("trouble", "outcome"), [("unavailable", "failed"), ("secret", "paused")])
def test_a_dead_connection_stops_only_itself(trouble: str, outcome: str) -> None:
    world = agreed(Add("book", ("phones",)))
    Edit("book", "value", "phones").do(world)
    if trouble == "secret":
        world.connect = lambda remote, context: MemoryConnector(  # type: ignore[assignment, misc]
            remote, context, "wrong" if remote is world.remotes["crm"] else None
        )
    else:
        world.remotes["crm"].faults.add("unavailable", times=1_000)
    reports = {report.connection: report for report in world.round()}
    assert {name: report.outcome for name, report in reports.items()} == {
        **dict.fromkeys(world.remotes, "done"),
        "crm": outcome,
    }
    assert reports["crm"].message
    assert marks(only(world, "list")["phones"]) == marks(only(world, "book")["phones"])
    assert marks(only(world, "crm")["phones"]) != marks(only(world, "book")["phones"])
    world.connect = MemoryConnector
    world.troubled = True
    at_peace(world)


@pytest.mark.parametrize("at", ["crm", "mail"])
def test_a_run_that_only_writes_overwrites_nothing_unseen(at: str) -> None:
    """Where no condition guards a write, what was typed there since is read first."""
    world = agreed(Add("book", ("phones",)))
    assert not world.remotes[at].profile.conditional
    Rename(at, "given").do(world)
    Rename("book", "given").do(world)
    world.run("book")
    assert sync(world.engine, at, reads="overwritable").tally.conflicts == 1
    at_peace(world)


# --- 11: only ours -------------------------------------------------------------------------------------------


def test_what_we_only_push_to_keeps_its_own_records() -> None:
    world = LawWorld(BOOK_AND_CRM, policies={"crm": Policy(direction="push")})
    theirs = world.remotes["crm"].add({"name": {"components": [{"kind": "surname", "value": "Theirs"}]}})
    shown = world.remotes["crm"].card(theirs)
    Add("book", ("phones",)).do(world)
    for _ in range(3):
        world.round()
    assert world.remotes["crm"].card(theirs) == shown
    assert len(world.remotes["crm"].cards()) == 2
    assert len(persons(world)) == 1
    Rename("crm", "given", record=1).do(world)
    world.round()
    world.round()
    assert part(only(world, "book")["name"], "given") == "Givenm1q"


def test_fields_go_only_the_way_that_the_policy_allows() -> None:
    policy = Policy(fields={"notes": "pull", "phones": "push", "titles": "off"})
    world = LawWorld(BOOK_AND_CRM, policies={"crm": policy})
    Add("crm", ("notes", "phones", "titles")).do(world)
    world.round()
    world.round()
    assert {"notes", "phones", "titles"} & only(world, "book").keys() == {"notes"}
    shown = only(world, "crm")
    for name in ("notes", "phones", "titles"):
        Edit("book", "value" if name == "notes" else "add", name).do(world)
    for _ in range(3):
        world.round()
    after = only(world, "crm")
    assert (after["notes"], after["titles"]) == (shown["notes"], shown["titles"])
    assert marks(after["phones"]) & marks(only(world, "book")["phones"]), "ours is written"
    assert all(report.quiet for report in world.round())


def test_whatever_else_a_remote_knows_is_patched_around() -> None:
    world = agreed(Add("book", ("phones", "notes")))
    for name, remote in world.remotes.items():
        remote.plant(only_id(world, name), "shoe size", 43)
    Rename("book", "given").do(world)
    Edit("list", "add", "phones").do(world)
    at_peace(world)
    for name, remote in world.remotes.items():
        assert remote.planted(only_id(world, name)) == {"shoe size": 43}


def test_a_write_starts_from_what_the_remote_knows_besides() -> None:
    """A connector that must put a record whole keeps the rest in `raw`; it must be the rest as it is now."""

    class Whole(MemoryConnector):
        def _record(self, state: Any) -> Any:
            return replace(super()._record(state), raw=dict(state.extra))

        def _difference(self, push: Any) -> Any:
            write = super()._difference(push)
            if write and push.held and push.card:
                raws.append(push.held.raw)
            return write

    raws: list[Any] = []
    world = LawWorld({"book": addressbook(), "list": lister()})
    world.connect = Whole  # type: ignore[assignment]
    Add("book", ("phones",)).do(world)
    at_peace(world)
    world.remotes["list"].plant(only_id(world, "list"), "shoe size", 43)
    world.round()
    Rename("book", "given").do(world)
    at_peace(world)
    assert raws == [{"shoe size": 43}]


def test_who_leaves_the_filter_is_not_deleted() -> None:
    policy = Policy(filter={"keywords": ("customer",)})
    world = LawWorld({"book": addressbook(), "crm": crm()}, policies={"crm": policy})
    Add("book", ("phones",)).do(world)
    world.round()
    assert not world.remotes["crm"].cards()
    record = only_id(world, "book")
    world.human("book", record, lambda card: card.update(keywords={"customer": True}))
    world.round()
    assert len(world.remotes["crm"].cards()) == 1
    world.human("book", record, lambda card: card.pop("keywords"))
    for _ in range(2):
        world.round()
    assert len(world.remotes["crm"].cards()) == 1
    assert [person.state for person in persons(world)] == ["live"]


def test_what_is_only_read_is_never_written() -> None:
    policy = Policy(fields={"notes": "pull", "titles": "off"})
    world = LawWorld(BOOK_AND_CRM, policies={"crm": policy})
    steps = [Add("crm", ("notes",)), Run("crm"), Run("book"), Edit("book", "value", "notes")]
    play(world, [*steps, Edit("book", "add", "titles"), Rename("book", "given")])
    at_peace(world, everybody_agrees=False)
    assert part(only(world, "crm")["name"], "given") == "Givenm7q"


def test_who_leaves_the_filter_may_be_kept_and_is_not_made_anew() -> None:
    policy = Policy(filter={"keywords": ("customer",)})
    world = LawWorld(BOOK_AND_CRM, policies={"crm": policy})
    play(world, [Add("book"), Add("book"), Tag("book"), Run("book"), Run("crm"), Tag("book"), Rename("book", "given")])
    at_peace(world, everybody_agrees=False)
    assert len(world.remotes["crm"].cards()) == 1
    play(world, [Delete("crm"), Rename("book", "surname")])
    at_peace(world, everybody_agrees=False)
    assert not world.remotes["crm"].cards()


def test_the_erased_do_not_come_back_with_an_edit() -> None:
    world = agreed(Add("book", ("phones",)), kinds=BOOK_AND_CRM)

    def erase(unit: Unit) -> None:
        found = people.load(unit, [1])[1]
        people.update(unit, [replace(found, rev=found.rev + 1, state="erased", card={})], {})
        outbox.owe(unit, connections.receivers(unit, None), [1])

    with world.store.begin() as unit:
        erase(unit)
    Edit("crm", "value", "phones").do(world)
    for _ in range(3):
        world.round()
    assert state(world) == [("erased", {})]
    assert not any(remote.cards() for remote in world.remotes.values())


def test_a_run_that_finds_nothing_to_do_leaves_no_journal() -> None:
    world = agreed(Add("book", ("phones",)))
    before = len(history(world))
    for name in world.remotes:
        Run(name).do(world)
    assert len(history(world)) == before


@pytest.mark.parametrize("at", range(1, 9))
def test_an_edit_that_our_write_met_without_a_lock_is_heard_of(at: int) -> None:
    """The CRM has no lock: its answer to our write shows that somebody wrote something else meanwhile."""
    world = play(LawWorld(BOOK_AND_CRM), [Add("crm", ("phones", "notes")), Settle()])
    play(world, [Edit("book", "value", "notes"), Run("book")])
    play(world, [Run("crm", meanwhile=(at, Edit("crm", "value", "phones")))])
    at_peace(world)
