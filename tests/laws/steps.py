"""What can happen in a history: people at screens, runs of the engine, trouble. Each step is a value that prints as the
code that makes it, so a failing history can be pasted into a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import strategies as st
from world import ELEMENTS, NAME_PARTS, LawWorld, marks

from connectors.card import VALUE
from connectors.memory import tidy_phones
from connectors.sandbox import Kind


class Step(Protocol):
    """One thing that happens. Where it cannot happen (no such record), it does not."""

    def do(self, world: LawWorld) -> None: ...


@dataclass(frozen=True)
class Add:
    """Somebody new is entered. also: the same person, with the same e-mail address, in another system as well.
    shares: with the e-mail address of the first person there. address: with an e-mail address at all."""

    at: str
    fields: tuple[str, ...] = ("emails",)
    also: str | None = None
    shares: bool = False
    address: bool = True

    def do(self, world: LawWorld) -> None:
        ledger = world.ledger
        real = ledger.new_life()
        card: dict[str, Any] = {
            "name": {"components": [{"kind": part, "value": ledger.enter_text(real, part)} for part in NAME_PARTS]}
        }
        if self.address:
            card["emails"] = {"n": _address(world, self.at) if self.shares else ledger.enter(real, "emails")}
        for n, name in enumerate(self.fields):
            card.setdefault(name, {})[f"n{n}"] = ledger.enter(real, name)
        record = world.add(self.at, card)
        if self.also and self.also != self.at:
            twin = world.add(self.also, {name: card[name] for name in ("name", "emails") if name in card})
            # Where reads lag, nobody can know of it yet, and a run would rightly create another.
            world.clock.wait(max(world.remotes[at].profile.lag for at in (self.at, self.also)))
            if record and twin:
                world.strangers[real] = {(self.at, record), (self.also, twin)}


def _address(world: LawWorld, at: str) -> dict[str, Any]:
    """The address of somebody who is there; their husband's, say."""
    for other in world.remotes[at].cards().values():
        for mail in other.get("emails", {}).values():
            world.ledger.shared |= marks(mail)
            return {"address": mail["address"]}
    return {"address": "info@x.test"}


@dataclass(frozen=True)
class Edit:
    """A human changes the n-th element of a field of the n-th record of a system.

    how: value · add · remove · relabel · swap (two elements exchange their values) · move (to another slot)
    """

    at: str
    how: str
    field: str
    record: int = 0
    which: int = 0

    def do(self, world: LawWorld) -> None:
        records = world.records(self.at)
        if not records:
            return
        record = records[self.record % len(records)]
        shown = world.remotes[self.at].card(record)
        real = world.ledger.owner(shown)
        if real is not None and (self.field != "emails" or world.met(real)):
            world.human(self.at, record, lambda card: self.change(world, real, card))

    def change(self, world: LawWorld, real: int, card: dict[str, Any]) -> None:
        elements = card.setdefault(self.field, {})
        key = sorted(elements)[self.which % len(elements)] if elements else None
        if self.how == "add" or (self.how == "value" and key is None):
            _add(world, self.at, self.field, elements, real)
        elif key is None:
            return
        elif self.how == "value":
            elements[key] = {**elements[key], **world.ledger.enter(real, self.field)}
        elif self.how == "remove":
            del elements[key]
        elif self.how == "relabel":
            elements[key] = {**elements[key], "contexts": {"private" if self.which % 2 else "work": True}}
        else:
            _exchange(world, self.at, self.field, elements, key, move=self.how == "move")


def _add(world: LawWorld, at: str, name: str, elements: dict[str, Any], real: int) -> None:
    """Into the first free slot, or at the end of the list."""
    slots = world.remotes[at].profile.slots.get(name)
    if slots is None:
        elements["new"] = world.ledger.enter(real, name)
        return
    free = next((slot for slot in slots if slot.name not in elements), None)
    if free is not None:
        elements[free.name] = {**world.ledger.enter(real, name), **free.shown(), "concord:slot": free.name}


def _exchange(world: LawWorld, at: str, name: str, elements: dict[str, Any], key: str, *, move: bool) -> None:
    """The value changes places with the next one, or moves to a free slot."""
    value = VALUE[name]
    others = [other for other in sorted(elements) if other != key]
    if not move and others:
        elements[key][value], elements[others[0]][value] = elements[others[0]][value], elements[key][value]
    slots = world.remotes[at].profile.slots.get(name)
    if move and slots:
        for slot in slots:
            if slot.name not in elements:
                elements[slot.name] = {value: elements.pop(key)[value], **slot.shown(), "concord:slot": slot.name}
                return


@dataclass(frozen=True)
class Rename:
    """A human writes another given name or surname, or clears it."""

    at: str
    part: str
    record: int = 0
    clear: bool = False

    def do(self, world: LawWorld) -> None:
        records = world.records(self.at)
        if not records:
            return
        record = records[self.record % len(records)]
        real = world.ledger.owner(world.remotes[self.at].card(record))
        if real is None or not world.met(real):
            return

        def change(card: dict[str, Any]) -> None:
            rest = [c for c in card.get("name", {}).get("components", ()) if c["kind"] != self.part]
            new = [] if self.clear else [{"kind": self.part, "value": world.ledger.enter_text(real, self.part)}]
            card["name"] = {"components": sorted(rest + new, key=lambda c: NAME_PARTS.index(c["kind"]))}

        world.human(self.at, record, change)


@dataclass(frozen=True)
class Clash:
    """The same element of one person is edited in two systems before either is synced."""

    one: str
    other: str
    field: str
    record: int = 0

    def do(self, world: LawWorld) -> None:
        records = world.records(self.one)
        if not records:
            return
        record = records[self.record % len(records)]
        real = world.ledger.owner(world.remotes[self.one].card(record))
        twin = next((r for r, c in world.remotes[self.other].cards().items() if world.ledger.owner(c) == real), None)
        if twin is None or real is None or not world.met(real):
            return
        for at, name in ((self.one, record), (self.other, twin)):
            world.human(at, name, lambda card: Edit(at, "value", self.field).change(world, real, card))  # noqa: B023


@dataclass(frozen=True)
class Delete:
    """A human deletes a record; again: and enters it anew, without what they forgot (where all agreed before; who is
    renamed elsewhere at that moment becomes two)."""

    at: str
    record: int = 0
    again: bool = False

    def do(self, world: LawWorld) -> None:
        records = world.records(self.at)
        if not records:
            return
        record = records[self.record % len(records)]
        card = world.remotes[self.at].card(record) or {}
        real, again = world.ledger.owner(card), self.again and world.agreed
        world.delete(self.at, record)
        if again:
            anew = world.add(self.at, {name: card[name] for name in ("name", "emails") if name in card})
            world.clock.wait(world.remotes[self.at].profile.lag)
            if real and anew:
                world.strangers[real] = {(self.at, anew)}


@dataclass(frozen=True)
class Tell:
    """A human tells a record something that no card tells."""

    at: str
    record: int = 0

    def do(self, world: LawWorld) -> None:
        if records := world.records(self.at):
            record = records[self.record % len(records)]
            world.remotes[self.at].plant(record, "shoe size", 30 + len(world.written))
            world.besides[self.at, record] = dict(world.remotes[self.at].planted(record))


@dataclass(frozen=True)
class Tag:
    """A human gives a record a keyword, or takes it away: who has it belongs where a filter asks for it."""

    at: str
    record: int = 0
    keyword: str = "customer"

    def do(self, world: LawWorld) -> None:
        if records := world.records(self.at):
            world.human(self.at, records[self.record % len(records)], self.change)

    def change(self, card: dict[str, Any]) -> None:
        keywords = card.setdefault("keywords", {})
        if not keywords.pop(self.keyword, False):
            keywords[self.keyword] = True


@dataclass(frozen=True)
class Run:
    """One run of one connection. fault: the trouble that its requests meet, after `skip` of them; killed: dies at that
    boundary (of transactions, requests and named ones); meanwhile: what a human does at that boundary."""

    at: str
    fault: Kind | None = None
    skip: int = 0
    killed: int | None = None
    meanwhile: tuple[int, Step] | None = None

    def do(self, world: LawWorld) -> None:
        remote = world.remotes[self.at]
        if self.fault:
            remote.faults.add(self.fault, skip=self.skip, retry_after=1.0)
            world.troubled = True
        if self.meanwhile:
            step = self.meanwhile[1]
            world.meanwhile = (self.meanwhile[0], lambda: step.do(world))
        if self.killed:
            world.run_killed(self.at, lambda name, number: number == self.killed)
        else:
            world.run(self.at)
        remote.faults.clear()
        world.meanwhile = None


@dataclass(frozen=True)
class Switch:
    """A remote changes its manners: short_pages · tidy (reformats phones) · plain · behind (reads lag by some events) ·
    current · expired (cursors) · lying (versions)."""

    at: str
    how: str

    def do(self, world: LawWorld) -> None:
        remote = world.remotes[self.at]
        if self.how == "short_pages":
            remote.short_pages = not remote.short_pages
        elif self.how in ("tidy", "plain"):
            remote.reformat = tidy_phones if self.how == "tidy" else lambda cells: cells
        elif self.how in ("behind", "current"):
            remote.behind = 2 if self.how == "behind" else 0
            remote.lied |= self.how == "behind" and not remote.profile.modified and not remote.profile.lag
        elif self.how == "lying":
            remote.lying = not remote.lying
        else:
            remote.expire_cursors()


@dataclass(frozen=True)
class Wait:
    seconds: float

    def do(self, world: LawWorld) -> None:
        world.clock.wait(self.seconds)


@dataclass(frozen=True)
class Settle:
    """People stop for a while, and everything must agree."""

    def do(self, world: LawWorld) -> None:
        from laws import at_peace

        at_peace(world)


def play(world: LawWorld, steps: Sequence[Step]) -> LawWorld:
    for step in steps:
        step.do(world)
    return world


# --- random histories ----------------------------------------------------------------------------------------

FAULTS: tuple[Kind, ...] = ("throttle", "unavailable", "html", "error_after", "lost_before", "lost_after")
SWITCHES = ("short_pages", "tidy", "plain", "behind", "current", "expired", "lying")


def newcomers(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    fields = st.lists(st.sampled_from(ELEMENTS), max_size=4).map(tuple)
    return st.builds(Add, at, fields, st.none() | at)


def people(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    """What people do."""
    few = st.integers(0, 3)
    fields = st.sampled_from(ELEMENTS)
    hows = st.sampled_from(["value", "add", "remove", "swap", "move", "relabel"])
    return st.one_of(
        newcomers(at),
        st.builds(Add, at, shares=st.just(True)),
        st.builds(Edit, at, hows, fields, few, few),
        st.builds(Edit, at, hows, st.sampled_from(["phones", "emails"]), few, few),
        st.builds(Rename, at, st.sampled_from(NAME_PARTS), few, st.booleans()),
        st.builds(Clash, at, at, fields, few),
        st.builds(Delete, at, few, st.booleans()),
        st.builds(Tell, at, few),
    )


def tags(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    """Who belongs where changes."""
    return st.builds(Tag, at, st.integers(0, 3))


def runs(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    return st.builds(Run, at)


def trouble(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    """What goes wrong."""
    locked = st.sampled_from(["book", "list"])  # a human can be seen there between our read and our write
    edit = st.builds(Edit, locked, st.sampled_from(["value", "remove", "add"]), st.sampled_from(ELEMENTS))
    return st.one_of(
        st.builds(Run, at, st.sampled_from(FAULTS), st.integers(0, 6)),
        st.builds(Run, at, killed=st.integers(1, 40)),
        st.builds(Run, at, meanwhile=st.tuples(st.integers(1, 8), edit)),
        st.builds(Switch, at, st.sampled_from(SWITCHES)),
        st.builds(Wait, st.sampled_from([1.0, 40.0])),
    )
