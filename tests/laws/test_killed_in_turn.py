"""Many processes are as safe as one: daemons and workers that are killed one after the other, while people go on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from fleet import LATE, MEMBERS, Fleet, FleetWorld, Toll, Trap, fleet, street_with_toll
from hypothesis import settings
from sixworld import FIELDS, PLAIN, Enter, NoMail, Remove, Type, at_peace, converged, silent

LONG: Final = settings.get_current_profile_name() == "long"
NAMES: Final = ("sugar", "vtiger", "google", "mail", "phone")
TYPED: Final = (*FIELDS, "emails")
SEEDS: Final = range(1, 9) if LONG else (1,)
TURNS: Final = 6 if LONG else 2
WITHIN: Final = 15.0
"""Seconds in which the work, and the lead, of a dead process have to be another one's."""
PACE: Final = 0.2
"""Seconds between two things that people do."""
PATIENCE: Final = 60.0


@pytest.fixture(scope="module")
def here() -> Iterator[Toll]:
    with street_with_toll() as made:
        yield made


class People:
    """They do something every moment, whatever becomes of the processes."""

    def __init__(self, world: FleetWorld, members: Fleet, dice: random.Random) -> None:
        self.world, self.members, self.dice = world, members, dice
        self.since = world.clock()

    def __call__(self) -> None:
        """One of them does one thing."""
        self.world.act(self._something(), self.members.living)
        self.since = self.world.clock()
        time.sleep(PACE)

    def until(self, what: Callable[[], bool], patience: float, why: str) -> float:
        """Seconds until it is so; people go on meanwhile."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < patience, why
            self()
        return time.monotonic() - began

    def _something(self) -> Any:
        dice, at, number = self.dice, self.dice.choice(NAMES), self.dice.randrange(12)
        what = dice.choices(["enter", "no", "type", "name", "remove"], [3, 2, 10, 3, 1])[0]
        if what == "enter":
            return Enter(at, tuple(dice.sample(FIELDS, dice.randrange(4))))
        if what == "type":
            how = dice.choice(["value", "value", "more", "blank"])
            return Type(at, dice.choice(TYPED), how, number)
        if what == "name":
            return Type(at, dice.choice(sorted(PLAIN)), record=number)
        return Remove(at, number) if what == "remove" else NoMail(at, number)


def strike(world: FleetWorld, members: Fleet, people: People, name: str, bystanders: list[str]) -> None:
    """Whoever writes to that system is killed in the middle of it; so is the leader, and so are the bystanders."""
    after = name in LATE or people.dice.random() < 0.5
    with world.street.lying_in_wait(Trap(world.remotes[name], people.dice.randrange(3), after)) as trap:
        people.until(trap.caught.is_set, PATIENCE, f"nobody ever wrote to {name}")
        worker = world.at_work(name)
        assert worker is not None
        leader = world.leader()
        died = world.clock()
        members.kill(members.name_of(worker))
    if leader is not None and leader != worker:
        members.kill(members.name_of(leader))
    for bystander in bystanders:
        if members.killed[bystander] == 0:
            members.kill(bystander)

    def led() -> bool:
        found = world.leader()
        return found is not None and found != leader and members.living(found)

    def at_work_again() -> bool:
        return world.begun(name, died)

    people.until(led, WITHIN, "nobody took the lead")
    left = WITHIN - (world.clock() - died).total_seconds()
    people.until(at_work_again, left, f"nobody took the work at {name} over: {left}")


@pytest.mark.parametrize("queue", ["local", "distributed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_in_turn(here: Toll, postgres_url: str, tmp_path: Path, queue: str, seed: int) -> None:
    world = FleetWorld(here, tmp_path, postgres_url, queue, NAMES)
    dice = random.Random(seed)
    for name in NAMES:
        also = tuple(dice.sample([other for other in NAMES if other != name], 1))
        for _ in range(2):
            Enter(name, FIELDS, also if dice.random() < 0.5 else ()).do(world)
    with fleet(world) as members:
        people = People(world, members, dice)
        bystanders = list(MEMBERS)
        for turn, name in enumerate(dice.choices(NAMES, k=TURNS)):
            last = turn == TURNS - 1
            strike(world, members, people, name, bystanders if last else [dice.choice(bystanders)])
        began = time.monotonic()
        while not world.at_rest(people.since):
            assert time.monotonic() - began < PATIENCE, "it does not come to rest"
            time.sleep(0.2)
            with world.street.lock:
                world.nobody_twice()
        assert set(members.killed) == set(MEMBERS), "everybody was killed once"
        assert members.end() == dict.fromkeys(MEMBERS, 0)
        for name in MEMBERS:
            assert "should not happen" not in members.log(name)
    if not world.unanswered():
        silent(world)
        converged(world)
    at_peace(world, asides=True)
    world.store.close()
