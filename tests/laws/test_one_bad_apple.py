"""Law 10 in every history: one system takes some people not, or shows records that nobody can read; another is dead.
Meanwhile all else goes on, what is set aside says why, and one retry later everything is as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import ROUNDS, at_peace, books, converged, no_duplicates, nothing_invented, nothing_lost
from steps import Add, Delete, Edit, Settle, Step, newcomers, people, play, runs
from test_histories import AT, share
from world import KINDS, LawWorld

from app.engine import resolve
from app.store import outbox
from app.store import runs as kept
from connectors.contract import Context, Outcome, Push, Record
from connectors.errors import Error, Refused, Unauthorised, Unreachable
from connectors.memory import MemoryConnector, MemoryRemote

REFUSED, TORN = "422 we do not take them", "it is torn"
RULES = ("is mandatory", "another record has this address", "too long")
"""What a remote may say against somebody when all is well."""
DEATHS: Mapping[str, Error] = {
    "unavailable": Unreachable("503 unavailable"),
    "secret": Unauthorised("401 who are you?"),
}


class Ward(LawWorld):
    """A world in which remotes can fall ill. refused: the people whom each does not take. torn: its records that nobody
    can read. fatal: what each of the dead says to everything."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, set[int]] = {name: set() for name in self.remotes}
        self.torn: dict[str, set[str]] = {name: set() for name in self.remotes}
        self.fatal: dict[str, Error] = {}
        self.connect = self._ill  # type: ignore[assignment]

    def _ill(self, remote: MemoryRemote, context: Context) -> MemoryConnector:
        return Ill(remote, context, self, next(name for name, each in self.remotes.items() if each is remote))

    def heal(self) -> None:
        """All are well again, and somebody presses every button."""
        self.fatal.clear()
        for name in self.remotes:
            self.refused[name].clear()
            self.torn[name].clear()
            resolve.retry(self.engine, name)
        self.troubled = True


class Ill(MemoryConnector):
    """The connector of a remote in the ward."""

    def __init__(self, remote: MemoryRemote, context: Context, ward: Ward, name: str) -> None:
        super().__init__(remote, context)
        self.ward, self.name = ward, name

    def _call(self, endpoint: Any, *parts: Any) -> Any:
        if self.name in self.ward.fatal:
            raise self.ward.fatal[self.name]
        return super()._call(endpoint, *parts)

    def _batch(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        bad = [push for push in pushes if self._refuses(push)]
        yield from (Outcome(push.ref, error=Refused(REFUSED)) for push in bad)
        yield from super()._batch([push for push in pushes if push not in bad])

    def _refuses(self, push: Push) -> bool:
        whose = self.ward.ledger.owners(push.card, push.held and push.held.card)
        return not whose.isdisjoint(self.ward.refused[self.name])

    def _record(self, state: Any) -> Record:
        found = super()._record(state)
        if found.card is None or found.id not in self.ward.torn[self.name]:
            return found
        left = {name: value for name, value in found.card.items() if name in ("name", "emails")}
        return replace(found, card=left, refused=TORN)


# --- what can happen in a ward


@dataclass(frozen=True)
class Refuse:
    """From now on a remote takes no write of this person."""

    at: str
    who: int = 0

    def do(self, world: Ward) -> None:
        if lives := world.ledger.lives:
            world.refused[self.at].add(1 + self.who % lives)


@dataclass(frozen=True)
class Tear:
    """From now on nobody can read this record. (Not one that stands for a record which was deleted there: unread, it
    says nothing, and when it is read at last the person is deleted, and it is taken for an old copy.)"""

    at: str
    record: int = 0

    def do(self, world: Ward) -> None:
        anew = {found for records in world.strangers.values() if len(records) == 1 for found in records}
        if records := [record for record in world.records(self.at) if (self.at, record) not in anew]:
            world.torn[self.at].add(records[self.record % len(records)])


@dataclass(frozen=True)
class Die:
    """From now on a remote answers nothing but this."""

    at: str
    how: str = "unavailable"

    def do(self, world: Ward) -> None:
        world.fatal[self.at] = DEATHS[self.how]


def in_the_ward(steps: Sequence[Any]) -> Ward:
    """What happened, first while some are ill, then when they are well again."""
    ward = Ward()
    play(ward, steps)
    the_others_are_well(ward)
    ward.heal()
    at_peace(ward)
    assert not ward.refusals(), "law 10: everything can be read again"
    assert not [row for row in ward.look(outbox.aside) if not _by_rule(row.reason)], "law 10: everybody is taken again"
    return ward


def the_others_are_well(ward: Ward) -> None:
    """Some are ill, and people have stopped. Whoever lives agrees with all who live, and is silent; nothing is lost;
    and whatever is not as it should be is set aside, with what was said against it."""
    for _ in range(ROUNDS + ward.troubled):
        ward.round()
        ward.rest()
    for report in ward.round():
        dead = report.connection in ward.fatal
        said = f"law 10: {report.connection}: {report.outcome}: {report.message}"
        assert (report.outcome in ("failed", "paused")) if dead else (report.outcome == "done"), said
        assert report.message if dead else report.quiet, f"{said}; {report.tally}"
    living = [name for name in ward.remotes if name not in ward.fatal]
    unheard = [ward.remotes[name].cards() for name in ward.fatal]
    unheard += [{record: ward.remotes[at].card(record)} for at, record in ward.refusals()]  # type: ignore[dict-item]
    converged(ward, living)
    nothing_lost(ward, shown_at=ward.fatal)
    nothing_invented(ward)
    no_duplicates(ward, unheard=ward.ledger.owners(unheard))
    _only_the_bad_are_aside(ward)


def _only_the_bad_are_aside(ward: Ward) -> None:
    names = {id_: name for name, id_ in ward.ids.items()}
    persons = books(ward).people
    for row in ward.look(outbox.aside):
        at, whose = names[row.connection_id], ward.ledger.owners(persons[row.person_id].card)
        bad = (whose & ward.refused[at] and REFUSED in row.reason) or (ward.torn[at] and TORN in row.reason)
        assert bad or _by_rule(row.reason), f"law 10: {at} set {whose} aside: {row.reason}"
    for refusal in ward.look(kept.refusals):
        at = names[refusal.connection_id]
        assert refusal.remote_id in ward.torn[at], f"law 10: {at} set {refusal.remote_id} aside: {refusal.reason}"
        assert refusal.reason == TORN


def _by_rule(reason: str) -> bool:
    return any(rule in reason for rule in RULES)


# --- fixed histories, and all others

THREE = (Add("book", ("phones",)), Add("crm", ("notes",)), Add("list", ("titles",)))


@pytest.mark.parametrize("at", KINDS)
@pytest.mark.parametrize("how", DEATHS)
def test_a_dead_connection_stops_only_itself(at: str, how: str) -> None:
    other = "book" if at != "book" else "list"
    in_the_ward([*THREE, Settle(), Die(at, how), Edit(other, "value", "phones"), Add(other), Delete(other, 1)])


@pytest.mark.parametrize("at", KINDS)
def test_who_is_refused_is_set_aside_alone(at: str) -> None:
    other = "book" if at != "book" else "list"
    edits = [Edit(other, "value", "emails", record) for record in range(3)]
    in_the_ward([*THREE, Settle(), Refuse(at), *edits, Add(other), Refuse(at, 3)])


def ill(names: Sequence[str]) -> st.SearchStrategy[list[Any]]:
    """A history in which the first of these is bad and the second dies."""
    bad, dead = st.just(names[0]), st.just(names[1])
    few = st.integers(0, 3)
    bad_apples = st.one_of(st.builds(Refuse, bad, few), st.builds(Tear, bad, few))
    life: st.SearchStrategy[Any] = st.one_of(people(AT), people(AT), runs(AT), bad_apples)
    agreement: st.SearchStrategy[list[Step]] = st.sampled_from([[Settle()], []])
    death = st.builds(Die, dead, st.sampled_from([*DEATHS])).map(lambda step: [step])
    parts = (
        st.lists(newcomers(AT), min_size=1, max_size=3),
        agreement,
        st.lists(life, max_size=5),
        st.lists(bad_apples, min_size=1, max_size=2),
        death,
        st.lists(life, min_size=1, max_size=5),
    )
    return st.tuples(*parts).map(lambda found: [step for part in found for step in part])


@share(20)
@given(st.permutations([*KINDS]).flatmap(ill))
def test_in_every_history(steps: Sequence[Any]) -> None:
    in_the_ward(steps)
