"""A remote that takes a write and names its new version, and what became of it is seen later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import at_peace, silent
from steps import Add, Edit, Rename, Run, Settle, Step, newcomers, people, play, runs, trouble
from test_histories import share
from world import LawWorld

from connectors.contract import Outcome, Push
from connectors.memory import MemoryConnector, addressbook, crm, lister, tidy_phones, without

KINDS = {"book": addressbook(), "crm": crm(), "list": lister()}
AT = st.sampled_from([*KINDS])


class Hasty(MemoryConnector):
    """Tells what it sent as the answer, as CardDAV does with servers that it trusts."""

    def _outcomes(self, pushes: Sequence[Push], answers: Sequence[Any]) -> Iterator[Outcome]:
        sent = {push.ref: push.card for push in pushes}
        for outcome in super()._outcomes(pushes, answers):
            if outcome.record is None or outcome.record.card is None:
                yield outcome
            else:
                yield replace(outcome, record=replace(outcome.record, card=sent[outcome.ref]), proven=False)


def hasty(at: str = "list") -> LawWorld:
    world = LawWorld(KINDS)
    remote = world.remotes[at]
    world.connect = lambda it, context: (Hasty if it is remote else MemoryConnector)(it, context)  # type: ignore[assignment]
    return world


@pytest.mark.parametrize("at", KINDS)
@pytest.mark.parametrize("what", [tidy_phones, without("notes")], ids=["reformats", "forgets"])
def test_what_became_of_a_write_is_no_edit(at: str, what: Any) -> None:
    world = hasty(at)
    world.remotes[at].reformat = what
    other = "book" if at != "book" else "list"
    for step in (Add(other, ("phones", "notes")), Edit(other, "value", "notes"), Edit(other, "value", "phones")):
        before = dict(world.remotes[other].cards())
        play(world, [step])
        entered = next(iter(world.remotes[other].cards().values()))
        for _ in range(3):
            world.round()
            world.rest()
        (shown,) = world.remotes[other].cards().values()
        assert shown == entered, f"what became of a write came back as an edit of {before}"
    silent(world)


@pytest.mark.parametrize("at", KINDS)
def test_an_edit_before_it_was_seen_is_an_edit(at: str) -> None:
    world = hasty(at)
    other = "book" if at != "book" else "list"
    play(world, [Add(other, ("phones", "notes")), Settle()])
    play(world, [Edit(other, "value", "notes"), Run(other), Run(at), Edit(at, "value", "phones"), Rename(at, "given")])
    at_peace(world)


HISTORY = (
    st.lists(newcomers(AT), min_size=1, max_size=3),
    st.lists(
        st.one_of(
            people(st.sampled_from(list(KINDS))),
            runs(st.sampled_from(list(KINDS))),
            trouble(st.sampled_from(list(KINDS))),
        ),
        min_size=1,
        max_size=8,
    ),
)


@share(30)
@given(*HISTORY)
def test_in_every_history(before: Sequence[Step], steps: Sequence[Step]) -> None:
    at_peace(play(hasty(), [*before, Settle(), *steps]))
