"""Random histories: whatever people do in whatever order, at the end all systems agree, are silent, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from laws import at_peace
from steps import Settle, Step, newcomers, people, play, runs, trouble
from world import LawWorld

AT = st.sampled_from(["book", "crm", "mail", "list"])


def histories(*later: st.SearchStrategy[Step], settled: bool = True) -> st.SearchStrategy[list[Step]]:
    """Some people are entered, and perhaps everything agrees; then these things happen."""
    before = st.lists(newcomers(AT), min_size=1, max_size=3)
    pause = st.sampled_from([[Settle()], []]) if settled else st.just([])
    return st.tuples(before, pause, st.lists(st.one_of(*later), min_size=1, max_size=10)).map(
        lambda parts: [*parts[0], *parts[1], *parts[2]]
    )


PEACEFUL = histories(people(AT), people(AT), runs(AT))
TROUBLED = histories(people(AT), runs(AT), trouble(AT))


@given(PEACEFUL)
def test_people_and_runs_in_any_order(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))


@given(TROUBLED)
def test_with_every_kind_of_trouble(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))
