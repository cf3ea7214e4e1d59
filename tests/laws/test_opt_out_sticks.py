"""Law 9: no history of edits, imports, failures and crashes ever turns an opt-out into a subscription without
evidence, and an opt-out reaches every place there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import at_peace
from opting import Opt, Return, Subscribe, Unmark, opting, outs, sticks
from steps import Add, Edit, Rename, Run, Settle, Step, newcomers, play, runs
from test_crashes import _other as beside
from test_crashes import nth
from test_histories import share
from world import LawWorld, marks

from app.core.consent import of_json
from app.engine.run import sync
from app.store import consents, links
from connectors.consent import ConsentState
from connectors.memory import addressbook, crm, lister
from connectors.sandbox import Kind

AT = st.sampled_from(["book", "crm", "mail", "list"])
FEW = st.integers(0, 3)
EDITS = st.one_of(
    st.builds(Edit, AT, st.sampled_from(["value", "add", "relabel"]), st.sampled_from(["phones", "notes"]), FEW, FEW),
    st.builds(Edit, AT, st.sampled_from(["value", "add"]), st.just("emails"), FEW, FEW),
    st.builds(Rename, AT, st.just("given"), FEW, st.booleans()),
    st.builds(Add, AT, shares=st.just(True)),
)
TROUBLE = st.one_of(
    st.builds(Run, AT, st.sampled_from(["error_after", "lost_after", "lost_before", "html"]), st.integers(0, 6)),
    st.builds(Run, AT, killed=st.integers(1, 40)),
)


HISTORY = (
    st.lists(newcomers(AT), min_size=1, max_size=3),
    st.lists(st.one_of(opting(AT), opting(AT), runs(AT), EDITS, TROUBLE), min_size=1, max_size=10),
)


@share(60)
@given(*HISTORY)
def test_in_every_history(before: Sequence[Step], steps: Sequence[Step]) -> None:
    world = play(LawWorld(), [*before, Settle(), *steps])
    at_peace(world)
    sticks(world)
    world.round()
    sticks(world)


@pytest.mark.parametrize("at", ["crm", "mail"])
def test_who_is_brought_back_from_a_deletion_is_still_opted_out(at: str) -> None:
    world = play(one_person(), [Opt(at), Settle(), Return("book")])
    for other in ("crm", "mail"):
        assert shows(world, other) == "withdrawn"
    assert {out[0] for out in outs(world)} == {at}
    sticks(world)


def one_person() -> LawWorld:
    """Somebody in all four systems, and everything agrees."""
    return play(LawWorld(), [Add("crm", ("phones",)), Settle()])


def shows(world: LawWorld, at: str) -> ConsentState:
    (record,) = world.records(at)
    return world.remotes[at].opted(record, "email")


def entries(world: LawWorld) -> list[consents.Entry]:
    people = world.look(lambda unit: {link.person_id for link in links.of_people(unit, range(1, 50))})
    found: list[consents.Entry] = world.look(lambda unit: consents.of_people(unit, people))
    return found


def test_an_opt_out_in_the_crm_reaches_the_mailer() -> None:
    world = play(one_person(), [Opt("crm"), Settle()])
    assert shows(world, "mail") == "withdrawn"
    (entry,) = entries(world)
    assert (entry.channel, entry.address, entry.state, entry.actor) == ("email", "", "withdrawn", "crm")


def test_an_opt_out_in_the_mailer_reaches_the_crm_and_leaves_the_phone_alone() -> None:
    world = play(one_person(), [Opt("mail"), Settle()])
    assert shows(world, "crm") == "withdrawn"
    assert world.remotes["crm"].opted(world.records("crm")[0], "phone") == "unknown"


def test_a_profile_edit_subscribes_nobody() -> None:
    world = play(
        one_person(), [Opt("mail"), Settle(), Rename("crm", "given"), Edit("book", "value", "emails"), Settle()]
    )
    assert shows(world, "mail") == shows(world, "crm") == "withdrawn"


def test_a_box_unticked_by_hand_is_ticked_again() -> None:
    world = play(one_person(), [Opt("mail"), Settle(), Unmark("crm"), Settle()])
    assert shows(world, "mail") == shows(world, "crm") == "withdrawn"


def test_a_list_imported_as_subscribed_subscribes_nobody_who_said_no() -> None:
    world = play(one_person(), [Opt("crm"), Settle(), Unmark("mail"), Settle()])
    assert shows(world, "mail") == shows(world, "crm") == "withdrawn"


def test_signing_up_again_lifts_the_opt_out_everywhere() -> None:
    world = play(one_person(), [Opt("crm"), Settle(), Subscribe(), Settle()])
    assert (shows(world, "mail"), shows(world, "crm")) == ("granted", "unknown")
    world = play(world, [Opt("crm"), Settle()])
    assert (shows(world, "mail"), shows(world, "crm")) == ("withdrawn", "withdrawn")


def test_a_sign_up_from_before_the_opt_out_lifts_nothing() -> None:
    """It is read later, and yet older."""
    world = play(one_person(), [Subscribe(), Opt("crm"), Run("crm"), Run("mail"), Settle()])
    assert shows(world, "mail") == shows(world, "crm") == "withdrawn"


def test_a_new_record_of_somebody_who_said_no_is_made_opted_out() -> None:
    world = play(LawWorld(), [Add("crm"), Opt("crm"), Settle()])
    assert shows(world, "mail") == "withdrawn"
    states = [state.consents for state in world.remotes["mail"]._log]
    assert all(state["email"].state == "withdrawn" for state in states), "for a moment it could have been mailed"


def test_who_shares_an_address_shares_what_is_said_about_it() -> None:
    world = play(LawWorld(), [Add("crm"), Settle(), Add("crm", shares=True), Settle(), Opt("mail"), Settle()])
    assert [world.remotes["crm"].opted(record, "email") for record in world.records("crm")] == ["withdrawn"] * 2


def test_what_one_says_of_all_their_mail_is_not_said_for_who_shares_an_address() -> None:
    world = play(LawWorld(), [Add("crm"), Settle(), Add("crm", shares=True), Settle(), Opt("crm", 1), Settle()])
    assert [world.remotes["crm"].opted(record, "email") for record in world.records("crm")] == ["unknown", "withdrawn"]
    assert world.remotes["mail"].opted(world.records("mail")[0], "email") == "withdrawn"


def test_a_write_whose_answer_was_lost_is_nobodys_word() -> None:
    """Our own mark at the CRM, found after a crash, is not read as the person's word about all their mail."""
    faults: tuple[Kind, ...] = ("lost_after", "error_after")
    for fault in faults:
        world = play(one_person(), [Opt("mail"), Run("mail")])
        world.remotes["crm"].faults.add(fault, "^POST")
        play(world, [Run("crm"), Settle()])
        assert shows(world, "crm") == "withdrawn"
        assert [entry.actor for entry in entries(world)] == ["mail"]


@pytest.mark.parametrize("at", ["crm", "mail"])
def test_who_opts_out_at_a_record_of_ours_before_we_heard_of_it_is_heard(at: str) -> None:
    """The answer to our create never came; by the time we find the record its person has said no."""
    world = play(LawWorld(), [Add("book", ("phones",)), Run("book")])
    assert world.run_killed(at, nth("push.written", 0)) == "push.written"
    play(world, [Opt(at), Settle()])
    assert shows(world, "mail") == shows(world, "crm") == "withdrawn"
    sticks(world)


@pytest.mark.parametrize(("said", "told"), [("crm", "mail"), ("mail", "crm")])
@pytest.mark.parametrize("boundary", range(1, 9))
def test_who_opts_out_while_a_write_is_on_its_way_is_told_of_there_too(said: str, told: str, boundary: int) -> None:
    """The write was prepared before, and its outcome is stored after: it settles nothing that was said meanwhile."""
    world = play(LawWorld(), [Add("crm", ("phones",)), Settle()])
    Rename("book", "given").do(world)
    world.run("book")

    def meanwhile() -> None:
        Opt(said).do(world)  # type: ignore[arg-type]
        other.run(said)

    other = beside(world)
    world.meanwhile = (boundary, meanwhile)
    world.run(told)
    at_peace(world)
    sticks(world)


def test_what_our_lost_create_said_is_nobodys_word() -> None:
    world = play(LawWorld(), [Add("mail"), Opt("mail"), Run("mail")])
    assert world.run_killed("crm", nth("push.written", 0)) == "push.written"
    play(world, [Settle()])
    assert shows(world, "crm") == "withdrawn"
    assert [entry.actor for entry in entries(world)] == ["mail"]


def test_a_status_column_that_arrives_changed_trips_the_brake() -> None:
    """A stale list is put in place of an audience: nobody is opted out elsewhere before a human has looked."""
    world = play(LawWorld(), [*[Add("mail") for _ in range(14)], Settle()])
    for record in world.records("mail"):
        world.remotes["mail"].opt(record, "email", "withdrawn")
    assert world.run("mail").outcome == "held"
    assert not entries(world)
    world.round(["crm"])
    assert {world.remotes["crm"].opted(record, "email") for record in world.records("crm")} == {"unknown"}
    assert world.run("mail", release=True).outcome == "done"
    world.round(["crm"])
    assert {world.remotes["crm"].opted(record, "email") for record in world.records("crm")} == {"withdrawn"}


def test_an_opt_out_that_a_remote_does_not_take_is_set_aside_and_said() -> None:
    world = one_person()
    remote = world.remotes["crm"]
    update = remote._update
    remote._update = lambda old, changes, whole=False, consents=None: update(old, changes, whole, {})  # type: ignore[method-assign]
    play(world, [Opt("mail"), Run("mail")])
    report = sync(world.engine, "crm")
    assert report.tally.aside == 1
    from app.store import outbox

    (aside,) = world.look(outbox.aside)
    assert "did not take the opt-out" in aside.reason


def test_the_journal_of_consent_is_complete() -> None:
    world = play(one_person(), [Opt("crm"), Settle(), Unmark("crm"), Settle(), Subscribe(), Settle()])
    assert [(e.actor, e.state) for e in entries(world)] == [
        ("crm", "withdrawn"),
        ("crm", "unknown"),
        ("mail", "granted"),
    ]
    assert entries(world)[-1].evidence == {"ip": "192.0.2.1", "form": "newsletter"}
    held = world.look(lambda unit: links.of_people(unit, [1]))
    assert [of_json(link.consents) for link in held if link.consents]
    assert not outs(world)


def test_an_address_that_our_own_write_brings_is_told_of_its_opt_out() -> None:
    """The flag of a CRM is about all of somebody's mail; whoever comes to share the address shares that."""
    kinds = {"book": addressbook(), "crm": crm(), "list": replace(lister(), consents={"email": "status"})}
    world = play(LawWorld(kinds), [Add("crm", ()), Opt("crm"), Settle(), Add("book", ()), Settle()])
    husband, wife = world.records("list")
    (address,) = [mail["address"] for mail in (world.remotes["list"].card(husband) or {})["emails"].values()]
    world.ledger.shared |= marks(address)
    twin = next(r for r, card in world.remotes["book"].cards().items() if address not in str(card))
    world.human("book", twin, lambda card: card["emails"]["1"].update(address=address))
    play(world, [Settle()])
    assert address in str(world.remotes["list"].card(wife))
    assert world.remotes["list"].opted(wife, "email") == "withdrawn"
