"""The same laws on PostgreSQL, in fewer histories; and what only a database with many writers can get wrong."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
import test_histories as histories
import test_opt_out_sticks as opting
import test_unproven as unproven
from hypothesis import given, settings
from laws import books, converged, silent
from world import LawWorld

from app.engine.run import sync
from app.store import people
from connectors.memory import addressbook, crm, lister

SEARCHES: Mapping[Any, Sequence[Any]] = {
    histories.test_people_and_runs_in_any_order: [histories.PEACEFUL],
    histories.test_with_every_kind_of_trouble: [histories.TROUBLED],
    histories.test_under_any_policy: [histories.UNAGREED, histories.EVERY_POLICY],
    histories.test_with_remotes_that_show_the_past: [histories.LATE],
    opting.test_in_every_history: opting.HISTORY,
    unproven.test_in_every_history: unproven.HISTORY,
}
"""The searches of SQLite, and what they search in."""
FEW: Final = 3
LONG: Final = settings.get_current_profile_name() == "long"


def agree(world: LawWorld) -> None:
    for _ in range(2):
        world.round()
    silent(world)
    converged(world)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("law", SEARCHES, ids=lambda law: f"{law.__module__}-{law.__name__}")
def test_histories(database: str, law: Any) -> None:
    examples = settings.default.max_examples if LONG else FEW  # type: ignore[union-attr]
    settings(max_examples=examples)(given(*SEARCHES[law])(law.hypothesis.inner_test))()


def test_two_systems_that_bring_one_new_person_at_once_make_one_person(postgres_url: str) -> None:
    """Neither run can see what the other has not yet committed; what does not exist cannot be locked."""
    world = LawWorld({"one": addressbook(), "two": lister(), "three": crm()}, url=postgres_url)
    everybody = range(20)
    for name in world.remotes:
        for n in everybody:
            world.remotes[name].add(
                {
                    "name": {"components": [{"kind": "surname", "value": f"Surname{n}"}]},
                    "emails": {"n" if name != "three" else "email": {"address": f"p{n}@x.test"}},
                }
            )
    start = threading.Barrier(3)

    def run(name: str) -> None:
        start.wait()
        sync(world.engine, name)

    threads = [threading.Thread(target=run, args=(name,)) for name in world.remotes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    agree(world)
    assert world.look(people.count) == len(everybody)
    assert all(len(remote.cards()) == len(everybody) for remote in world.remotes.values())
    world.store.close()


def test_two_systems_that_edit_one_person_at_once_both_get_their_way(postgres_url: str) -> None:
    world = LawWorld({"one": addressbook(), "two": lister(), "three": crm()}, url=postgres_url)
    card = {
        "name": {"components": [{"kind": "given", "value": "Given"}, {"kind": "surname", "value": "Surname"}]},
        "emails": {"n": {"address": "p@x.test"}},
    }
    world.remotes["one"].add(card)
    agree(world)
    for turn in range(6):
        for name, kind in (("one", "given"), ("two", "surname")):
            remote = world.remotes[name]
            ((record, shown),) = remote.cards().items()
            parts = [
                {"kind": c["kind"], "value": f"{c['kind']} {turn}" if c["kind"] == kind else c["value"]}
                for c in shown["name"]["components"]
            ]
            remote.edit(record, {**shown, "name": {"components": parts}})
        start = threading.Barrier(2)

        def run(name: str, start: threading.Barrier = start) -> None:
            start.wait()
            sync(world.engine, name)

        threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        agree(world)
        (person,) = books(world).people.values()
        assert [c["value"] for c in person.card["name"]["components"]] == [f"given {turn}", f"surname {turn}"]
    world.store.close()
