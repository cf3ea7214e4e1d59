"""Writes whose answer never comes, at remotes that keep what they are given in their own way."""

from __future__ import annotations

import pytest
from laws import books, silent
from steps import Add, Edit, Settle, play
from test_crashes import nth
from world import LawWorld, marks

from connectors.memory import addressbook, crm, lister
from connectors.memory.mapping import Cells

KINDS = {"book": addressbook, "crm": crm, "list": lister}


def loses(cells: Cells) -> Cells:
    """Keeps seven characters of a note."""
    return {path: value[:7] if path[0] == "notes" and path[-1] == "note" else value for path, value in cells.items()}


def world_of_three() -> LawWorld:
    return LawWorld({name: make() for name, make in KINDS.items()})


def texts(world: LawWorld) -> tuple[str, str]:
    """The note and the number of the only person there is."""
    (person,) = books(world).people.values()
    return (
        next(iter(person.card["notes"].values()))["note"],
        next(iter(person.card["phones"].values()))["number"],
    )


def settled(world: LawWorld) -> None:
    for _ in range(3):
        world.round()
        world.rest()
    silent(world)


def other(at: str) -> str:
    return "book" if at != "book" else "list"


def entered(world: LawWorld) -> tuple[str, str]:
    """What was typed last."""
    last = {entry.field: entry.value for entry in world.ledger.entries.values()}
    return last["notes"], last["phones"]


def typed(world: LawWorld, at: str, what: str) -> None:
    """Something new is owed to `at`, which from now on cuts what it is given."""
    here = other(at)
    play(world, [Add(here, ("phones", "notes"))])
    if what == "update":
        play(world, [Settle(), Edit(here, "value", "notes"), Edit(here, "value", "phones")])
    world.remotes[at].reformat = loses
    world.run(here)


@pytest.mark.parametrize("what", ["create", "update"])
@pytest.mark.parametrize("at", KINDS)
def test_what_the_remote_made_of_it_is_no_edit(at: str, what: str) -> None:
    world = world_of_three()
    typed(world, at, what)
    world.remotes[at].faults.add("lost_after", "POST")
    world.troubled = True
    world.run(at)
    settled(world)
    assert texts(world) == entered(world)


@pytest.mark.parametrize("what", ["create", "update"])
@pytest.mark.parametrize("at", KINDS)
def test_nor_after_a_crash(at: str, what: str) -> None:
    world = world_of_three()
    typed(world, at, what)
    assert world.run_killed(at, nth("push.written", 0)) == "push.written"
    settled(world)
    assert texts(world) == entered(world)


@pytest.mark.parametrize("at", KINDS)
def test_nor_where_the_person_was_edited_again_meanwhile(at: str) -> None:
    world = world_of_three()
    typed(world, at, "update")
    assert world.run_killed(at, nth("push.written", 0)) == "push.written"
    for name in ("notes", "phones"):
        play(world, [Edit(other(at), "value", name)])
    world.run(other(at))
    settled(world)
    assert texts(world) == entered(world)


@pytest.mark.parametrize("at", KINDS)
def test_what_somebody_typed_there_since_is_an_edit(at: str) -> None:
    world = world_of_three()
    typed(world, at, "update")
    assert world.run_killed(at, nth("push.written", 0)) == "push.written"
    play(world, [Edit(at, "value", "phones")])
    settled(world)
    assert marks(texts(world)[1]) == {max(world.ledger.entries)}
    assert texts(world)[0] == entered(world)[0]


@pytest.mark.parametrize("at", KINDS)
def test_what_never_arrived_is_sent_again_although_it_begins_with_what_is_there(at: str) -> None:
    """The old text is no sign that the new one was taken, and cut."""
    world = world_of_three()
    here = other(at)
    play(world, [Add(here, ("notes",)), Settle()])
    ((record, card),) = world.remotes[here].cards().items()
    ((key, note),) = card["notes"].items()
    world.remotes[here].edit(record, {**card, "notes": {key: {**note, "note": note["note"] + " more"}}})
    world.run(here)
    world.remotes[at].faults.add("lost_before", "POST")
    world.run(at)
    for _ in range(3):
        world.round()
    (shown,) = world.remotes[at].cards().values()
    assert next(iter(shown["notes"].values()))["note"].endswith(" more")


@pytest.mark.parametrize("died_at", ["push.intent", "request POST"])
@pytest.mark.parametrize("how", ["remove", "replace"])
@pytest.mark.parametrize("field", ["phones", "emails", "groups", "notes"])
def test_what_was_taken_away_does_not_come_back_because_nobody_was_told(field: str, how: str, died_at: str) -> None:
    """We die before the request: the record still shows it, and that is no edit of anybody."""
    world = LawWorld({"one": addressbook(), "two": addressbook()})
    play(world, [Add("one", (field, field, "titles")), Settle()])
    edits = [Edit("one", "remove", field), *([Edit("one", "add", field)] if how == "replace" else [])]
    play(world, edits)
    wanted = shown(world, "one", field)
    world.run("one")
    assert world.run_killed("two", lambda name, _: name == died_at) == died_at
    settled(world)
    assert shown(world, "one", field) == shown(world, "two", field) == wanted


def shown(world: LawWorld, at: str, field: str) -> set[int]:
    """The markers of everything in one field there."""
    return marks([card.get(field) for card in world.remotes[at].cards().values()])
