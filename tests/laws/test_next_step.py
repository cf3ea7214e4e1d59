"""The next step of writes is promised while the last write of this one is on its way: nobody's remote waits for us, and
whatever happens then, nothing is written twice and nothing is missed."""

from __future__ import annotations

import pytest
from laws import at_peace
from steps import Add, Edit, Run, Settle, play
from test_crashes import boundaries, nth
from world import LawWorld

from app.engine import push
from app.store import outbox
from connectors.errors import Unreachable
from connectors.memory import crm, lister
from connectors.sandbox import Kind

PEOPLE = 7
"""Four steps: of one person, and of two, two and two."""
KINDS = {"crm": crm, "list": lister}
"""Both take one write in a request."""


def many() -> LawWorld:
    """So many people in one system, of whom the other has not heard."""
    world = play(LawWorld({name: make() for name, make in KINDS.items()}), [Add("list") for _ in range(PEOPLE)])
    world.run("list")
    return world


def waiting(world: LawWorld, state: outbox.State, at: str = "crm") -> int:
    return int(world.look(lambda unit: outbox.count(unit, world.ids[at], state)))


def test_no_remote_waits_between_two_steps() -> None:
    world = many()
    world.run("crm")
    points = [point for point in world.points if point == "push.intent" or point.startswith("request POST")]
    #    one person; then two, and each time the next two are promised before the second of these is sent
    one, two = ["push.intent", "request POST"], ["request POST", "push.intent", "request POST"]
    assert points == [*one, "push.intent", *two, *two, "request POST", "request POST"]


def test_killed_at_each_boundary_between_the_steps() -> None:
    points = boundaries(many())
    assert len([point for _, point, _ in points if point == "push.intent"]) == 4
    for connection, point, before in points:
        world = many()
        if connection != "crm":
            continue
        assert world.run_killed("crm", nth(point, before)) == point
        at_peace(world)
        assert len(world.remotes["crm"].cards()) == PEOPLE


@pytest.mark.parametrize("skip", [0, 2, 3], ids=["first", "last of a step", "first of the next"])
@pytest.mark.parametrize("kind", ["throttle", "unavailable", "html", "lost_before", "lost_after"])
def test_an_error_that_ends_the_run_leaves_nobody_in_doubt_who_was_not_sent(kind: Kind, skip: int) -> None:
    world = many()
    world.remotes["crm"].faults.add(kind, "POST", skip=skip)
    world.troubled = True
    world.run("crm")
    assert waiting(world, "sent") <= (0 if kind in ("throttle", "unavailable") else 1)
    at_peace(world)
    assert len(world.remotes["crm"].cards()) == PEOPLE


def test_who_is_owed_again_while_the_next_step_is_promised_is_written_again() -> None:
    world = many()
    at_peace(world)
    for record in range(PEOPLE):
        Edit("list", "add", "phones", record=record).do(world)
    world.run("list")
    world.meanwhile = (12, lambda: play(world, [Edit("crm", "add", "titles", record=n) for n in range(3)]))
    world.run("crm")
    at_peace(world)


def test_a_reading_that_fails_after_a_stale_write_leaves_the_next_step_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise Unreachable("the line is dead")

    world = play(many(), [Settle()])
    for record in range(PEOPLE):
        Edit("crm", "add", "titles", record=record).do(world)
    world.run("crm")
    world.troubled = True
    with monkeypatch.context() as patch:
        patch.setattr(push, "_reread", unreachable)
        Run("list", meanwhile=(6, Edit("list", "add", "notes", record=2))).do(world)
    assert world.reports[-1].outcome == "failed"
    assert waiting(world, "sent", "list") == 1, "only the one that has to be read"
    at_peace(world)
