"""Law 11: only records that we are linked to, only fields that the policy allows, and patch rather than replace."""

from __future__ import annotations

from watched import Written
from world import LawWorld

from app.core.policy import Policy
from connectors.card import Card

WRITES = ("both", "push")


def only_ours(world: LawWorld) -> None:
    """Every write that a remote was sent was ours to make; and whatever else it knows is as people left it."""
    for written in world.written:
        _ours(world, written)
    for (name, record), known in world.besides.items():
        if world.remotes[name].card(record) is not None:
            found = world.remotes[name].planted(record)
            assert found == known, f"law 11: {name} knew {known} besides of {record}, and knows {found}"


def _ours(world: LawWorld, written: Written) -> None:
    write, policy = written.write, world.policy(written.at)
    what = f"law 11: {written.at} was sent {write}"
    assert not write.whole, f"{what}: in place of all that was there"
    if write.id is None:
        assert written.person == "live", f"{what}: of nobody"
        assert _belongs(policy, written.card), f"{what}: of who does not belong there"
    elif write.cells is None:
        # Who slept through the lease may send a delete once more.
        assert written.link in ("live", "gone"), f"{what}: it is not ours"
        meant = written.person == "erased" or (written.person == "deleted" and policy.deletes == "propagate")
        assert meant, f"{what}: of who is {written.person}"
    else:
        assert written.link == "live", f"{what}: it is not ours"
    if write.id is None or write.cells is None:
        assert policy.direction in WRITES, f"{what}: it is only read"
    needed = world.remotes[written.at].profile.mandatory if write.id is None else ()
    wrong = [path for path in write.cells or () if not _writes(policy, path[0]) and path not in needed]
    assert not wrong, f"{what}: {wrong} are only read"


def _writes(policy: Policy, field: str) -> bool:
    return policy.fields.get(field, policy.direction) in WRITES


def _belongs(policy: Policy, card: Card) -> bool:
    """Of the filters, histories have only that for keywords."""
    return not policy.filter or not card.get("keywords", {}).keys().isdisjoint(policy.filter["keywords"])
