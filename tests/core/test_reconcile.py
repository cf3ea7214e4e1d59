"""One record against one person: what changed on which side, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.core.policy import Policy
from app.core.reconcile import (
    EMPTY,
    Conflict,
    Edit,
    Merged,
    Side,
    answered,
    first_sight,
    merge,
    outdates,
    owed,
    owed_create,
)
from connectors.card import SLOT, Card, Equivalence, Path
from connectors.memory import addressbook, crm

EQ = Equivalence()
BOTH = Policy()
Fit = Callable[[Card, Card | None], Card]


def everything(card: Card, held: Card | None) -> Card:
    """A system that holds all there is."""
    return card


def phone(number: str, **more: Any) -> Card:
    return {"phones": {"x": {"number": number, **more}}}


def name(**parts: str) -> dict[str, Any]:
    return {"name": {"components": [{"kind": kind, "value": value} for kind, value in parts.items()]}}


def never(path: Path) -> Side:
    raise AssertionError(f"nobody should be asked about {path}")


def merged(
    card: Card,
    view: Card,
    seen: Card,
    sent: Card | None = None,
    *,
    fit: Fit = everything,
    policy: Policy = BOTH,
    wins: Side | None = None,
) -> Merged:
    """wins: who wins conflicts; None: there must be none."""
    arbiter = never if wins is None else (lambda path: wins)
    return merge(
        card, view, seen, fit(card, seen) if sent is None else sent, fit=fit, policy=policy, arbiter=arbiter, eq=EQ
    )


def owes(card: Card, seen: Card, sent: Card, fit: Fit = everything, policy: Policy = BOTH) -> Any:
    return owed(card, seen, sent, fit=fit, policy=policy, eq=EQ)


# --- the remote changed --------------------------------------------------------------------------------------


def test_a_view_as_seen_is_no_news() -> None:
    card, seen = phone("+49 1"), phone("+49 2")  # we changed since
    result = merged(card, seen, seen, sent=seen)
    assert (result.card, result.edits, result.conflicts, result.losses) == (card, (), (), 0)
    assert owes(card, result.seen, result.sent).paths == {("phones", "x", "number")}


def test_an_edit_there_enters_the_card_and_nothing_is_owed_for_it() -> None:
    result = merged(phone("+49 1", label="car"), phone("+49 2"), phone("+49 1"), sent=phone("+49 1"), fit=_numbers)
    assert result.card == phone("+49 2", label="car")
    assert result.edits == (Edit(("phones", "x", "number"), "+49 1", "+49 2"),)
    assert owes(result.card, result.seen, result.sent, _numbers) is None


def _numbers(card: Card, held: Card | None) -> Card:
    """A system that knows numbers without labels."""
    return {"phones": {key: {"number": e["number"]} for key, e in card.get("phones", {}).items() if "number" in e}}


def test_another_way_to_write_the_same_is_no_edit() -> None:
    result = merged(phone("+49 1"), phone("+491"), phone("+49 1"))
    assert (result.edits, result.seen) == ((), phone("+491"))
    assert owes(result.card, result.seen, result.sent) is None


def test_an_element_that_came_enters_without_the_connectors_notes() -> None:
    result = merged(EMPTY, phone("+49 1", **{SLOT: "mobile", "concord:row": "7"}), EMPTY)
    assert result.card == phone("+49 1")
    assert result.edits == (Edit(("phones", "x"), None, {"number": "+49 1"}),)
    assert result.losses == 0


def test_an_element_that_went_is_a_loss_and_takes_what_only_we_knew_of_it() -> None:
    card = phone("+49 1", label="car")
    result = merged(card, EMPTY, phone("+49 1"), sent=phone("+49 1"), fit=_numbers)
    assert (result.card, result.losses) == ({}, 1)
    assert result.edits == (Edit(("phones", "x"), {"number": "+49 1", "label": "car"}, None),)
    assert owes(result.card, result.seen, result.sent, _numbers) is None


def test_a_value_that_went_is_a_loss() -> None:
    seen = name(given="A", surname="B")
    result = merged(seen, name(surname="B"), seen)
    assert (result.card, result.losses) == (name(surname="B"), 1)
    assert result.edits == (Edit(("name", "given"), "A", None),)


def test_a_keyword_comes_and_goes() -> None:
    assert merged(EMPTY, {"keywords": {"vip": True}}, EMPTY).card == {"keywords": {"vip": True}}
    result = merged(
        {"keywords": {"vip": True, "old": True}}, {"keywords": {"old": True}}, {"keywords": {"vip": True, "old": True}}
    )
    assert (result.card, result.losses) == ({"keywords": {"old": True}}, 1)


def test_what_went_there_after_it_went_here_is_agreed() -> None:
    result = merged(EMPTY, EMPTY, phone("+49 1"), sent=phone("+49 1"))
    assert (result.edits, result.conflicts, result.losses, result.sent) == ((), (), 0, {})


def test_blanks_that_never_erase_are_owed_again() -> None:
    keep = Policy(blanks="keep")
    card = {**phone("+49 1"), **name(given="A", surname="B")}
    result = merged(card, name(surname="B"), card, policy=keep)
    assert (result.card, result.edits, result.losses) == (card, (), 0)
    assert owes(result.card, result.seen, result.sent, policy=keep).paths == {
        ("phones", "x", "number"),
        ("name", "given"),
    }


# --- both changed --------------------------------------------------------------------------------------------


def test_different_values_of_one_person_merge_without_a_conflict() -> None:
    seen = name(given="A", surname="B")
    result = merged(name(given="A", surname="Ours"), name(given="Theirs", surname="B"), seen, sent=seen)
    assert result.card == name(given="Theirs", surname="Ours")
    assert owes(result.card, result.seen, result.sent).paths == {("name", "surname")}


def test_the_same_edit_on_both_sides_is_no_conflict() -> None:
    result = merged(phone("+49 2"), phone("+492"), phone("+49 1"), sent=phone("+49 1"))
    assert (result.edits, result.conflicts) == ((), ())
    assert owes(result.card, result.seen, result.sent) is None


@pytest.mark.parametrize(
    ("wins", "kept", "is_owed"), [("ours", "+49 3", True), ("theirs", "+49 2", False), ("ask", "+49 3", False)]
)
def test_a_conflict_goes_to_the_arbiter(wins: Side, kept: str, is_owed: bool) -> None:
    result = merged(phone("+49 3"), phone("+49 2"), phone("+49 1"), sent=phone("+49 1"), wins=wins)
    assert result.card == phone(kept)
    assert result.conflicts == (Conflict(("phones", "x", "number"), "+49 3", "+49 2", wins),)
    assert (owes(result.card, result.seen, result.sent) is not None) is is_owed
    assert result.losses == 0


def test_the_arbiter_is_asked_about_the_element_or_the_value() -> None:
    asked: list[Path] = []

    def arbiter(path: Path) -> Side:
        asked.append(path)
        return "ours"

    old = {**phone("+49 1"), **name(given="A")}
    merge(
        {**phone("+49 2"), **name(given="B")},
        {**phone("+49 3"), **name(given="C")},
        old,
        old,
        fit=everything,
        policy=BOTH,
        arbiter=arbiter,
        eq=EQ,
    )
    assert asked == [("name", "given"), ("phones", "x")]


def test_edited_here_and_gone_there_is_made_again_and_said() -> None:
    result = merged(phone("+49 2"), EMPTY, phone("+49 1"), sent=phone("+49 1"))
    assert (result.card, result.losses) == (phone("+49 2"), 0)
    assert result.conflicts == (Conflict(("phones", "x"), {"number": "+49 2"}, None, "ours"),)
    assert owes(result.card, result.seen, result.sent).card == phone("+49 2")


def test_gone_here_and_edited_there_comes_back_and_is_said() -> None:
    result = merged(EMPTY, phone("+49 2", **{SLOT: "mobile"}), phone("+49 1"), sent=phone("+49 1"))
    assert result.card == phone("+49 2")
    assert [(c.path, c.ours, c.kept) for c in result.conflicts] == [(("phones", "x"), None, "theirs")]
    assert owes(result.card, result.seen, result.sent) is None


def test_of_one_value_too_an_edit_beats_a_deletion_whoever_is_preferred() -> None:
    seen = name(given="A", surname="B")
    ours = merged(name(given="C", surname="B"), name(surname="B"), seen, sent=seen, wins="theirs")
    assert ours.card == name(given="C", surname="B")
    theirs = merged(name(surname="B"), name(given="C", surname="B"), seen, sent=seen, wins="ours")
    assert theirs.card == name(given="C", surname="B")
    assert [c.kept for c in (*ours.conflicts, *theirs.conflicts)] == ["ours", "theirs"]


def test_what_they_know_and_we_never_sent_is_taken_without_asking() -> None:
    card = phone("+49 1")
    result = merged(card, phone("+49 1", label="car"), EMPTY, sent=EMPTY)
    assert result.card == phone("+49 1", label="car")
    assert not result.conflicts


# --- a first meeting -----------------------------------------------------------------------------------------


def test_a_first_meeting_takes_nothing_away() -> None:
    card = {**phone("+49 1"), **name(given="A", surname="B"), "notes": {"n": {"note": "ours"}}}
    view = {"phones": {"y": {"number": "+49 2"}}, **name(surname="B"), "notes": {"m": {"note": "theirs"}}}
    result = merged(card, view, EMPTY, sent=EMPTY)
    assert result.card["phones"].keys() == {"x", "y"}
    assert result.card["notes"].keys() == {"n", "m"}
    assert (result.card["name"], result.losses, result.conflicts) == (card["name"], 0, ())
    due = owes(result.card, result.seen, result.sent)
    assert due.paths == {("phones", "x", "number"), ("name", "given"), ("notes", "n", "note")}
    assert due.card["phones"].keys() == {"x", "y"}


def test_what_a_lossy_system_shows_of_ours_is_no_edit_even_at_a_first_meeting() -> None:
    fit = crm().fit
    card = {**name(surname="B"), "notes": {"n": {"note": "long " * 20}}}
    cut = {**name(surname="B"), "notes": {"n": {"note": ("long " * 20)[:40], SLOT: "description"}}}
    result = merged(card, cut, EMPTY, sent=EMPTY, fit=fit)
    assert (result.card, result.edits, result.conflicts) == (card, (), ())
    assert owes(result.card, result.seen, result.sent, fit) is None


def test_a_stranger_becomes_the_card() -> None:
    view = {**phone("+49 1", **{SLOT: "otherphone", "concord:row": "1"}), "notes": {"n": {"note": "x"}}}
    result = first_sight(view, crm().fit, Policy(fields={"notes": "push"}))
    assert result.card == phone("+49 1")
    assert result.seen == view
    assert result.sent == {**phone("+49 1", **{SLOT: "otherphone"}), **name(surname="+49 1")}
    assert first_sight({"addresses": {"a": {"concord:lines": "Road"}}}, everything, BOTH).card == {
        "addresses": {"a": {"concord:lines": "Road"}}
    }


# --- ownership -----------------------------------------------------------------------------------------------


def test_only_what_may_be_pulled_is_pulled() -> None:
    policy = Policy(fields={"phones": "push", "notes": "off"})
    seen = {**phone("+49 1"), **name(given="A"), "notes": {"n": {"note": "x"}}}
    view = {"phones": {"y": {"number": "+49 2"}}, **name(given="B")}
    result = merged(seen, view, seen, policy=policy)
    assert result.card == {**seen, **name(given="B")}
    changed = merged(phone("+49 1"), phone("+49 2"), phone("+49 1"), policy=policy)
    assert changed.card == phone("+49 1")


def test_only_what_may_be_pushed_is_pushed() -> None:
    policy = Policy(fields={"phones": "pull"})
    assert owes(phone("+49 2"), phone("+49 1"), phone("+49 1"), policy=policy) is None
    assert owes(EMPTY, phone("+49 1"), phone("+49 1"), policy=policy) is None
    assert owed_create({**phone("+49 1"), **name(given="A")}, fit=everything, policy=policy).card == name(given="A")
    mixed = owes({**phone("+49 2"), **name(given="B")}, {**phone("+49 1"), **name(given="A")}, EMPTY, policy=policy)
    assert mixed.card == {**phone("+49 1"), **name(given="B")}


# --- what is owed --------------------------------------------------------------------------------------------


def test_nothing_is_owed_where_we_did_not_change() -> None:
    assert owes(phone("+49 1"), phone("completely different"), phone("+491")) is None


def test_what_is_owed_is_laid_over_what_is_shown() -> None:
    seen = phone("+491", vendor="keep", **{SLOT: "mobile"})
    due = owes(
        {**phone("+49 1"), **name(given="B")}, {**seen, **name(given="A")}, {**phone("+49 1"), **name(given="A")}
    )
    assert due.card == {**seen, **name(given="B")}, "their way to write the number stays"
    assert due.paths == {("name", "given")}
    assert due.sent == {**phone("+49 1"), **name(given="B")}


def test_an_element_that_we_took_away_goes_whole() -> None:
    due = owes(EMPTY, phone("+49 1", vendor="x", **{SLOT: "mobile"}), phone("+49 1"))
    assert due.card == {}
    assert due.paths == {("phones", "x", "number")}
    kept = Policy(fields={"phones": "pull"})
    assert owes(name(given="A"), phone("+49 1"), phone("+49 1"), policy=kept).card == {
        **phone("+49 1"),
        **name(given="A"),
    }


def test_where_only_our_shadow_is_behind_nothing_is_written() -> None:
    due = owes(phone("+49 2"), phone("+492"), phone("+49 1"))
    assert (due.paths, due.sent) == (frozenset(), phone("+49 2"))


def test_who_moves_into_a_slot_turns_out_who_stood_there() -> None:
    seen = {"phones": {"x": {"number": "+49 1", SLOT: "otherphone"}, "z": {"number": "+49 3", SLOT: "mobile"}}}
    card = {"phones": {"y": {"number": "+49 2"}, "z": {"number": "+49 3"}}}

    def fit(card: Card, held: Card | None) -> Card:
        slots = {"y": "otherphone", "z": "mobile"}
        return {"phones": {key: {**e, SLOT: slots[key]} for key, e in card["phones"].items()}}

    due = owes(card, seen, {"phones": {"z": {"number": "+49 3", SLOT: "mobile"}}}, fit)
    assert due.card["phones"] == {
        "y": {"number": "+49 2", SLOT: "otherphone"},
        "z": {"number": "+49 3", SLOT: "mobile"},
    }


def test_a_new_record_holds_what_fits() -> None:
    due = owed_create({**phone("+49 1"), "nicknames": {"n": {"name": "Al"}}}, fit=crm().fit, policy=BOTH)
    assert due.card == due.sent
    assert due.card["phones"] == {"x": {"number": "+49 1", SLOT: "otherphone"}}
    assert ("name", "surname") in due.paths


def test_what_is_shown_still_and_no_longer_fits_is_owed() -> None:
    """The surname is gone here. There somebody edits the given name, which from now on stands in the surname's place."""  # noqa: E501
    fit = crm().fit
    before, view = name(given="A", surname="B"), name(given="C", surname="B")
    result = merged(name(given="A"), view, before, sent=before, fit=fit, wins="theirs")
    due = owes(result.card, result.seen, result.sent, fit)
    assert due.card == name(surname="C")


def test_what_came_and_fits_otherwise_beside_what_is_owed_is_owed_too() -> None:
    """Somebody types a title where no firm stands. Ours is on its way there, and that system makes them one job."""

    def fit(card: Card, held: Card | None) -> Card:
        firms = card.get("organizations", {})
        tie = {"organizationId": min(firms)} if firms else {}
        return {**card, "titles": {key: {**title, **tie} for key, title in card.get("titles", {}).items()}}

    firm = {"organizations": {"o": {"name": "Acme"}}}
    view = {"titles": {"t": {"name": "Boss"}}}
    result = merged(firm, view, {}, sent={}, fit=fit)
    due = owes(result.card, result.seen, result.sent, fit)
    assert due.card == {**firm, "titles": {"t": {"name": "Boss", "organizationId": "o"}}}
    assert due.paths == {("organizations", "o", "name"), ("titles", "t", "organizationId")}


# --- the answer to a write -----------------------------------------------------------------------------------


def test_the_answer_to_what_we_wrote_is_how_it_is_shown() -> None:
    seen = {**phone("+49 1"), **name(given="A", surname="B")}
    answer = {**phone("+49-2", **{SLOT: "mobile"}), **name(given="A", surname="B")}
    assert answered(seen, answer, [("phones", "x", "number")]) == answer
    assert answered(seen, name(given="A", surname="B"), [("phones", "x", "number")]) == name(given="A", surname="B")


def test_what_else_is_different_in_the_answer_is_somebodys_edit() -> None:
    seen = {**phone("+49 1"), **name(given="A", surname="B")}
    answer = {**phone("+49 2"), **name(given="Theirs", surname="Ours")}
    assert answered(seen, answer, [("name", "surname")]) == {**phone("+49 1"), **name(given="A", surname="Ours")}


def test_where_an_element_stands_is_the_remotes_matter() -> None:
    seen, answer = phone("+49 1", **{SLOT: "home"}), phone("+49 1", **{SLOT: "mobile"})
    assert answered(seen, answer, []) == answer


# --- the rest ------------------------------------------------------------------------------------------------


def test_a_full_name_is_outdated_by_its_parts() -> None:
    assert outdates([("name", "given"), ("phones", "x", "number")])
    assert not outdates([("name", "given"), ("name", "full")])
    assert not outdates([("phones", "x", "number")])


def test_the_shadows_of_an_untouched_person_do_not_move() -> None:
    fit = addressbook().fit
    card = {**phone("+49 1"), **name(given="A"), "keywords": {"vip": True}, "x-other": [1]}
    result = merged(card, card, card, sent=fit(card, card), fit=fit)
    assert result == Merged(card=card, seen=card, sent=fit(card, card))


# --- what a person has once ----------------------------------------------------------------------------------


def birth(**date: int) -> Card:
    return {"anniversaries": {"x": {"kind": "birth", "date": date}}}


FULL_DATE, NO_YEAR = birth(year=1980, month=5, day=6), birth(month=5, day=6)


def test_of_two_who_meet_the_fuller_birthday_counts() -> None:
    for ours, theirs in ((FULL_DATE, NO_YEAR), (NO_YEAR, FULL_DATE)):
        result = merged(ours, theirs, EMPTY, EMPTY)
        assert result.card == FULL_DATE
        assert not result.conflicts
        assert (owes(result.card, result.seen, result.sent) is not None) == (theirs is NO_YEAR)


def test_other_birthdays_contradict_each_other() -> None:
    other = birth(year=1981, month=5, day=6)
    result = merged(FULL_DATE, other, EMPTY, EMPTY, wins="ours")
    assert result.card == FULL_DATE
    assert [c.path for c in result.conflicts] == [("anniversaries", "x", "date")]


def test_a_year_that_somebody_takes_away_is_gone() -> None:
    result = merged(FULL_DATE, NO_YEAR, FULL_DATE)
    assert result.card == NO_YEAR
