"""Random histories: whatever people do in whatever order, at the end all agree, are silent, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from laws import at_peace
from steps import Settle, Step, newcomers, people, play, runs, tags, trouble
from world import LawWorld

from app.core.policy import Policy
from connectors.memory import addressbook, crm, lister

AT = st.sampled_from(["book", "crm", "mail", "list"])
SOME = st.sampled_from(["book", "crm", "list"])


def histories(
    *later: st.SearchStrategy[Step], at: st.SearchStrategy[str] = AT, pause: bool = True
) -> st.SearchStrategy[list[Step]]:
    """Some people are entered, and perhaps everything comes to agree; then these things happen."""
    before = st.lists(newcomers(at), min_size=1, max_size=3)
    agreement: st.SearchStrategy[list[Step]] = st.sampled_from([[Settle()], []]) if pause else st.just([])
    return st.tuples(before, agreement, st.lists(st.one_of(*later), min_size=1, max_size=10)).map(
        lambda parts: [*parts[0], *parts[1], *parts[2]]
    )


PEACEFUL = histories(people(AT), people(AT), runs(AT))
TROUBLED = histories(people(AT), runs(AT), trouble(AT))
TAGGED = tags(st.sampled_from(["book", "list"]))
UNAGREED = histories(people(AT), runs(AT), runs(AT), trouble(AT), TAGGED, pause=False)
LATE = histories(people(SOME), runs(SOME), runs(SOME), trouble(SOME), at=SOME)


POLICIES = st.builds(
    Policy,
    direction=st.sampled_from(["both", "both", "pull", "push"]),
    fields=st.dictionaries(
        st.sampled_from(["notes", "phones", "name"]), st.sampled_from(["both", "pull", "push", "off"]), max_size=2
    ),
    prefer=st.sampled_from([(), ("crm",), ("book", "crm")]),
    ask=st.booleans(),
    deletes=st.sampled_from(["propagate", "archive", "ignore"]),
    blanks=st.sampled_from(["erase", "keep"]),
    filter=st.sampled_from([{}, {}, {"keywords": ("customer",)}]),
)
EVERY_POLICY = st.fixed_dictionaries(dict.fromkeys(["book", "crm", "mail", "list"], POLICIES))
SLOW = {
    "book": replace(addressbook(), lag=90.0, modified=False, page=2),
    "crm": replace(crm(), find_lag=60.0, page=1, batch=3),
    "list": replace(lister(), page=2, conditional=False),
}
"""Remotes whose reads, or searches, show the past; with tiny pages."""


def share(percent: int) -> settings:
    """So much of the examples that the profile asks for."""
    return settings(max_examples=settings.default.max_examples * percent // 100)  # type: ignore[union-attr]


@share(60)
@given(PEACEFUL)
def test_people_and_runs_in_any_order(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))


@share(60)
@given(TROUBLED)
def test_with_every_kind_of_trouble(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(), steps))


@share(40)
@given(UNAGREED, EVERY_POLICY)
def test_under_any_policy(steps: Sequence[Step], policies: dict[str, Policy]) -> None:
    at_peace(play(LawWorld(policies=policies), steps), everybody_agrees=False)


@share(40)
@given(LATE)
def test_with_remotes_that_show_the_past(steps: Sequence[Step]) -> None:
    at_peace(play(LawWorld(SLOW), steps))
