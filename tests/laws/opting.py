"""What people do about being contacted, as steps of a history, and law 9 as a question to the world.

The truth is kept beside the world: the records at which a person said no, until they say yes again with evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from laws import Books, books
from steps import Step
from world import EQ, LawWorld

from app.core.consent import addresses, of_json
from app.engine import resolve
from connectors.consent import Channel

Out = tuple[str, str, Channel]
"""A remote, a record in it, a channel: here its person said no."""


@dataclass(frozen=True)
class Opt:
    """The person of the n-th record opts out there."""

    at: str
    record: int = 0
    channel: Channel = "email"

    def do(self, world: LawWorld) -> None:
        record = _record(world, self.at, self.record)
        if record is None or self.channel not in world.remotes[self.at].profile.consents:
            return
        world.remotes[self.at].opt(record, self.channel, "withdrawn")
        world.agreed = False
        outs(world).add((self.at, record, self.channel))


@dataclass(frozen=True)
class Unmark:
    """Somebody at the screen takes the mark away (a box unticked, a list imported as subscribed): no word of theirs."""

    at: str
    record: int = 0
    channel: Channel = "email"

    def do(self, world: LawWorld) -> None:
        record = _record(world, self.at, self.record)
        kind = world.remotes[self.at].profile.consents.get(self.channel)
        if record is not None and kind:
            if not _seen(world, self.at, record, self.channel):
                outs(world).discard((self.at, record, self.channel))  # marked and unmarked before anybody looked
            world.remotes[self.at].opt(record, self.channel, "granted" if kind == "status" else "unknown")
            world.agreed = False


@dataclass(frozen=True)
class Subscribe:
    """The person of the n-th record signs up again in a form of the mailing tool."""

    record: int = 0

    def do(self, world: LawWorld) -> None:
        record = _record(world, "mail", self.record)
        if record is None:
            return
        world.remotes["mail"].opt(record, "email", "granted", ip="192.0.2.1", form="newsletter")
        world.agreed = False
        # Whose word this is among those who share the address nobody can tell: nothing is claimed of any of them.
        found = books(world)
        address = _address(world, "mail", record)
        concerned = {p.id for p in found.people.values() if address in addresses(p.card, "email", EQ)}
        concerned |= {link.person_id for link in found.links if link.remote_id == record}
        here = {(world.ids[out[0]], out[1]): out for out in outs(world)}
        for link in found.links:
            if link.person_id in concerned:
                outs(world).discard(here.get((link.connection_id, link.remote_id), ("", "", "email")))
        for out in [*outs(world)]:
            if out[0] == "mail" and _address(world, "mail", out[1]) == address:
                outs(world).discard(out)
        owners = world.ledger.owners(world.remotes["mail"].card(record))
        for out in [*outs(world)]:
            if world.ledger.owners(world.remotes[out[0]].card(out[1])) & owners:
                outs(world).discard(out)


@dataclass(frozen=True)
class Return:
    """The person of the n-th record is deleted there, and brought back by an admin: what they said is still said."""

    at: str
    record: int = 0

    def do(self, world: LawWorld) -> None:
        record = _record(world, self.at, self.record)
        if record is None or not world.agreed:
            return
        real = world.ledger.owner(world.remotes[self.at].card(record) or {})
        said = {(at, channel) for at, r, channel in outs(world) if _owner(world, at, r) == real}
        world.delete(self.at, record)
        for _ in range(2):
            world.round()
        for person in books(world).people.values():
            if real in world.ledger.owners(person.card) and person.state in ("archived", "deleted"):
                resolve.restore(world.engine, person.uid, "an admin")
                world.ledger.buried.discard(real)
        for _ in range(2):
            world.round()
        back = {(at, r): _owner(world, at, r) for at, _ in said for r in world.records(at)}
        outs(world).update(
            (at, r, channel) for at, channel in said for (there, r), who in back.items() if who == real and there == at
        )
        world.agreed = False


def _owner(world: LawWorld, at: str, record: str) -> int | None:
    return world.ledger.owner(world.remotes[at].card(record) or {})


def outs(world: LawWorld) -> set[Out]:
    """Where somebody said no."""
    found: set[Out] = world.__dict__.setdefault("outs", set())
    return found


def _seen(world: LawWorld, at: str, record: str, channel: Channel) -> bool:
    """Did any run see that this place says no?"""
    held = [link for link in books(world).links if (link.connection_id, link.remote_id) == (world.ids[at], record)]
    return any(place.channel == channel and place.state == "withdrawn" for x in held for place in of_json(x.consents))


def _record(world: LawWorld, at: str, number: int) -> str | None:
    records = world.records(at)
    return records[number % len(records)] if records else None


def _address(world: LawWorld, at: str, record: str) -> str:
    card = world.remotes[at].card(record) or {}
    return next(iter(sorted(addresses(card, "email", EQ))), "")


def sticks(world: LawWorld) -> None:
    """Who said no is marked so where they said it, and at every other place that is about them."""
    found = books(world)
    for at, record, channel in sorted(outs(world)):
        if world.remotes[at].card(record) is None:
            continue
        assert world.remotes[at].opted(record, channel) == "withdrawn", f"{at} {record} is opted in again: {channel}"
        for other, twin in _concerned(world, found, at, record, channel):
            person = next((link.person_id for link in found.links if link.remote_id == twin), None)
            if (world.ids[other], person) in found.aside:
                continue
            state = world.remotes[other].opted(twin, channel)
            assert state == "withdrawn", f"{at} {record} is out ({channel}), and {other} {twin} says {state}"


def _concerned(world: LawWorld, found: Books, at: str, record: str, channel: Channel) -> Iterator[tuple[str, str]]:
    """Every other record with a place for that channel that is about the same person, or the same address."""
    names = {id_: name for name, id_ in world.ids.items()}
    mine = {link.person_id for link in found.links if (names[link.connection_id], link.remote_id) == (at, record)}
    held: set[str] = set()
    if world.remotes[at].profile.consents[channel] == "status":
        held = {_address(world, at, record)} - {""}
    else:
        for person in mine:
            held |= addresses(found.people[person].card, channel, EQ)
    for link in found.links:
        name = names[link.connection_id]
        kind = world.remotes[name].profile.consents.get(channel)
        if (name, link.remote_id) == (at, record) or kind is None or link.consents is None:
            continue
        whole = world.remotes[at].profile.consents[channel] == "flag"
        if kind == "status":
            if _address(world, name, link.remote_id) in held:
                yield name, link.remote_id
        elif (whole and link.person_id in mine) or (
            not whole and held & addresses(found.people[link.person_id].card, channel, EQ)
        ):
            yield name, link.remote_id


def opting(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    few = st.integers(0, 3)
    channel: st.SearchStrategy[Any] = st.sampled_from(["email", "email", "phone"])
    return st.one_of(
        st.builds(Opt, at, few, channel),
        st.builds(Unmark, at, few, channel),
        st.builds(Subscribe, few),
        st.builds(Return, at, few),
    )


__all__ = ["Opt", "Return", "Subscribe", "Unmark", "opting", "outs", "sticks"]
