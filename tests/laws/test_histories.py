"""Random histories: whatever people do in whatever order, at the end all systems agree, are silent, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from laws import at_peace
from steps import Settle, Step, people, play, runs, trouble
from world import LawWorld

EVERYWHERE = st.sampled_from(["book", "crm", "mail", "list"])


PEACEFUL = st.lists(
    st.one_of(people(EVERYWHERE), people(EVERYWHERE), runs(EVERYWHERE), st.just(Settle())), max_size=12
)
TROUBLED = st.lists(st.one_of(people(EVERYWHERE), runs(EVERYWHERE), trouble(EVERYWHERE)), max_size=12)


@given(PEACEFUL)
def test_people_and_runs_in_any_order(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))


@given(TROUBLED)
def test_with_every_kind_of_trouble(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))
