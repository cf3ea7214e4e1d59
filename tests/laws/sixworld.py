"""Six systems of six kinds, the real connectors over HTTP on their sandboxes, the real engine between them, and one
clock for all. People act at the systems' own screens (`screens.py`); the laws are asked of what those show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from hypothesis import strategies as st
from laws import ROUNDS, Books, books, difference, no_duplicates, nothing_lost
from screens import KINDS, Kind, Screen, Values
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from steps import Run, Step, Wait
from world import EQ, LawWorld, marks

from app.core.align import align
from app.core.policy import Policy
from app.core.reconcile import leaves
from app.engine.run import LEASE
from app.engine.world import Tally
from app.store import connections, tables
from app.store.connections import Connection
from connectors.card import VALUE, Card
from connectors.contract import Connector, Context, Record
from connectors.sandbox import Kind as Trouble
from connectors.sandbox import running

LAG: Final = 600.0
"""Longest time, seconds, for which a connector's reads may show the past."""
DAY: Final = 90_000.0
"""Seconds after which every connector reads everything once more."""
IDLE: Final[Mapping[str, int]] = {
    "sugar": 3,
    "suite": 4,
    "suite8": 6,
    "vtiger": 8,
    "google": 2,
    "mail": 2,
    "books": 3,
    "ledger": 4,
    "tryton": 5,
    "phone": 1,
}
"""Requests, but for those that let us in, of the second run in which nothing is new (each connector's docstring); of
the books with what was sold, of vTiger with the accounts and one POST that lets us in; of vTiger and V8 with two that
see whether newcomers are still there."""
EXPLAINED: Final = ("in Mailchimp's archive as", "two people share this address")
"""Who was deleted in one system and renamed in another at the same time is somebody else in the archive; and two people
who share an address are one contact: said so."""
PLAIN: Final = frozenset({"given", "surname"})


class Street:
    """One server for all systems: each answers under paths of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.screens: Sequence[Screen] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = (s.box.app for s in self.screens if scope["path"].startswith(s.paths))
        await next(found, Response("", 404))(scope, receive, send)


@contextlib.contextmanager
def street() -> Iterator[Street]:
    made = Street()
    with running(made) as made.url:
        yield made


class SixWorld(LawWorld):
    """The world with screens in place of memory remotes. kinds: {name of a connection: its screen}."""

    remotes: Any

    def __init__(
        self,
        at: Street,
        kinds: Mapping[str, Kind] = KINDS,
        *,
        policies: Mapping[str, Policy] | None = None,
        url: str = "sqlite://",
    ) -> None:
        self.street, self.outs = at, set[tuple[str, Any]]()
        self.told = set[int]()
        """Who ever said no to mail."""
        self.late = False
        """Something changed that is seen once a day only."""
        self.couples: list[set[int]] = []
        """Who shares an address with whom."""
        self.memory: dict[str, dict[str, Any]] = {name: {} for name in kinds}
        directed = {"books": Policy(direction="pull"), "tryton": Policy(direction="pull"), **(policies or {})}
        super().__init__(kinds, policies=directed, url=url)  # type: ignore[arg-type]
        self.policies = {name: directed.get(name, Policy()) for name in kinds}
        at.screens = list(self.remotes.values())
        self.settings = {name: {**s.settings(at.url), **kinds[name].settings} for name, s in self.remotes.items()}

    def _remote(self, name: str, profile: Any) -> Any:
        return profile.make(self.clock)

    def connector(self, name: str, requests: Any = lambda method, sent, received: None) -> Connector:
        """The connector of a connection, with what it remembers."""
        context = Context(
            self.clock,
            self.clock.wait,
            lambda: 0.5,
            requests,
            memory=dict(self.memory[name]),
            remember=self.memory[name].__setitem__,
            save_secrets=self.settings[name].update,
        )
        system = self.remotes[name].system
        made: Connector = system.open(system.settings(**self.settings[name]), context)
        return made

    def _open(self, connection: Connection, tally: Tally) -> Connector:
        def request(method: str, sent: int, received: int) -> None:
            tally.count_request(method, sent, received)
            self._boundary(f"request {method}")

        return self.connector(connection.name, request)

    # -- peace

    def calm(self) -> None:
        for name, screen in self.remotes.items():
            screen.faults.clear()
            screen.faults.log.clear()
            with self.store.begin() as unit:
                connections.update(unit, self.ids[name], state="active", reason=None)
        self.meanwhile = None
        self.rest()

    def rest(self) -> None:
        self.clock.wait(LEASE + LAG + 1)

    # -- people at the screens

    def enter(self, at: str, values: Values) -> str:
        """Somebody new."""
        typed = {name: list(found) for name, found in values.items() if name in self.remotes[at].fields}
        record = str(self.remotes[at].add(typed))
        self._touched(values)
        self._took_back([values], self.remotes[at].card(record))
        return record

    def retype(self, at: str, record: str, name: str, values: list[Any]) -> None:
        """A human opens a record, enters other values into a field and saves."""
        screen = self.remotes[at]
        before = screen.card(record)
        screen.set(record, name, values)
        self.late |= name in screen.late
        self._touched(before)
        self._took_back([before, values], screen.card(record) or {})

    def delete(self, name: str, record: str) -> None:
        """What was said there, and nobody has heard of yet, is gone with the record: no system shows it any more."""
        unheard = self._says_no(name, record) - self._heard()
        super().delete(name, record)
        shown = (self._says_no(at, r) for at, screen in self.remotes.items() for r in screen.cards())
        self.outs -= unheard.difference(*shown)

    def _says_no(self, at: str, record: str) -> set[tuple[str, Any]]:
        """As whom a record says no to mail."""
        screen = self.remotes[at]
        owner = self.ledger.owner(screen.card(record))
        return {
            ("address", folded(address)) if address else ("person", owner)
            for address, out in screen.out(record).items()
            if out
        }

    def _heard(self) -> set[tuple[str, Any]]:
        """Who said no, as far as the ledger of consent knows."""
        people = books(self).people
        withdrawn = sa.select(tables.consents).where(tables.consents.c.state == "withdrawn")
        found = set[tuple[str, Any]]()
        for row in self.look(lambda unit: unit.db.execute(withdrawn).all()):
            owners = self.ledger.owners(people[row.person_id].card) if row.person_id in people else set()
            found |= {("address", row.address)} if row.address else {("person", owner) for owner in owners}
        return found

    def refuse_mail(self, at: str, record: str) -> None:
        """The person of a record says no to mail there. Where it is marked so already, nothing changes, and nobody can
        know: a mark for one address of theirs stays one for that."""
        screen = self.remotes[at]
        before = screen.out(record)
        if not before:
            return
        screen.opt_out(record)
        self.told |= self.ledger.owners(screen.card(record))
        self.agreed = False
        for address, marked in before.items():
            told = ("address", folded(address)) if address else ("person", self.ledger.owner(screen.card(record)))
            self.outs |= set() if marked else {told}

    def find(self, at: str, real: int) -> str | None:
        """The record of a real person."""
        found = (r for r, card in self.remotes[at].cards().items() if self.ledger.owner(card) == real)
        return next(found, None)


def folded(address: str) -> str:
    return str(EQ.key("emails", "address", address))


# --- the laws --------------------------------------------------------------------------------------------------------


def at_peace(world: SixWorld, *, asides: bool = False) -> None:
    """People and trouble stop; then agreement, silence, and no loss. asides: some may be refused, with a reason."""
    settled(world)
    silent(world)
    if not asides:
        assert all(any(reason in why for reason in EXPLAINED) for why in aside(world)), aside(world)
    converged(world)
    screens_agree(world)
    nothing_lost(world)
    nothing_invented(world)
    no_duplicates(world)
    stays_deleted(world)
    sticks(world)
    nobody_is_silenced(world)
    world.troubled = False
    world.agreed = True


def settled(world: SixWorld) -> SixWorld:
    """The rounds after which everything agrees."""
    world.calm()
    if world.late:
        world.clock.wait(DAY)
        world.late = False
    for _ in range(ROUNDS + world.troubled):
        world.round()
        world.rest()
    return world


def aside(world: SixWorld) -> list[str]:
    from app.store import outbox

    names = {id_: name for name, id_ in world.ids.items()}
    return [f"{names[row.connection_id]}: {row.reason}" for row in world.look(outbox.aside)]


def silent(world: SixWorld) -> None:
    """A round writes nothing, and the one after it asks no more than hearing of nothing costs."""
    before = state(world)
    for report in world.round():
        assert report.outcome == "done", f"{report.connection}: {report.outcome}: {report.message}"
        assert report.quiet, f"{report.connection} was not quiet: {report.tally}"
    assert state(world) == before
    world.rest()
    for screen in world.remotes.values():
        screen.faults.log.clear()
    world.round()
    for name, screen in world.remotes.items():
        asked = [request for request in screen.faults.log if not screen.login.search(request)]
        assert len(asked) <= IDLE[name] + screen.watched(), f"{name}: {len(asked)}: {asked}"


def state(world: SixWorld) -> dict[str, Any]:
    """All that all screens show."""
    return {
        name: {record: (card, screen.out(record)) for record, card in screen.cards().items()}
        for name, screen in world.remotes.items()
    }


def converged(world: SixWorld) -> None:
    """Each system shows, read anew from its beginning, what it can hold of each card, and nobody else."""
    found = books(world)
    for name in world.remotes:
        with contextlib.closing(world.connector(name)) as connector:
            shown = listing(connector)
            held = {link.remote_id: link for link in found.links if link.connection_id == world.ids[name]}
            refused = {record for at, record in world.refusals() if at == name}
            assert shown.keys() - held.keys() <= refused, f"{name} has records that we do not know"
            assert held.keys() <= shown.keys(), f"{name} has lost {held.keys() - shown.keys()}"
            for person in found.people.values():
                mine = {link.remote_id: link for link in held.values() if link.person_id == person.id}
                views = {
                    record: align(shown[record], [link.seen, person.card], EQ, lambda: "nobody")
                    for record, link in mine.items()
                }
                _shown_well(world, name, connector, person, views, found)


def listing(connector: Connector) -> dict[str, Card]:
    """Every record, by a full reading."""
    records: dict[str, Record] = {}
    for page in connector.changes(None):
        records |= {record.id: record for record in page.records}
        records |= {record.id: record for record in connector.read([*(page.listed.keys() - records.keys())])}
    return {id_: record.card for id_, record in records.items() if record.card is not None}


def _shown_well(
    world: SixWorld, name: str, connector: Connector, person: Any, views: Mapping[str, Card], found: Books
) -> None:
    policy = world.policies[name]
    if (world.ids[name], person.id) in found.aside:
        return
    if person.state != "live":
        assert not views or not policy.pushes("name"), f"{name} still has {person.card}, who was deleted"
        return
    if policy.direction == "both":
        assert views or not connector.fit(person.card, None), f"{name} has no record of {person.card}"
    for view in views.values():
        wanted = connector.fit(person.card, view)
        differing = difference(view, wanted)
        # Mailchimp says the same country by its code as well.
        wrong = {p: both for p, both in differing.items() if policy.pushes(p[0]) and p[-1] != "countryCode"}
        if words(view.get("name")) == words(wanted.get("name")):  # Google takes a whole name to pieces
            wrong = {p: both for p, both in wrong.items() if p[0] != "name"}
        assert not wrong, f"{name} shows {wrong} of {person.card}"


def words(name: Any) -> set[str]:
    """Those of a name, in whatever parts it stands."""
    return {word for part in leaves({"name": name or {}}).values() for word in str(part).split()}


def screens_agree(world: SixWorld) -> None:
    """Without a look through our mappings: of each person every screen shows the same, as far as it has places."""
    aside_here = {(at, person) for at, person in books(world).aside}
    for person in books(world).people.values():
        if person.state != "live":
            continue
        links_of = [link for link in books(world).links if link.person_id == person.id]
        names = {id_: name for name, id_ in world.ids.items()}
        shown = {
            names[link.connection_id]: world.remotes[names[link.connection_id]].card(link.remote_id) or {}
            for link in links_of
            if (link.connection_id, person.id) not in aside_here
            and world.policies[names[link.connection_id]].direction == "both"
        }
        whole = not PLAIN & {path[-1] for path in leaves({"name": person.card.get("name", {})})}
        single = ("organizations", "titles", "notes", "anniversaries")
        # A whole name that nobody took to pieces is a surname here and a given name there.
        for field in single if whole else (*sorted(PLAIN), *single):
            _same_everywhere(world, field, shown)
        for field in ("emails", "phones", "groups"):
            _within(world, field, shown)


def _same_everywhere(world: SixWorld, field: str, shown: Mapping[str, Values]) -> None:
    found = {
        name: [key(field, value) for value in card.get(field, [])]
        for name, card in shown.items()
        if field in world.remotes[name].fields
    }
    most = max(map(len, found.values()), default=0)
    if most <= 1:
        assert len({repr(values) for values in found.values()}) <= 1, f"{field}: {found}"


def _within(world: SixWorld, field: str, shown: Mapping[str, Values]) -> None:
    """What holds any number holds all that any shows."""
    sets = {name: {key(field, value) for value in card.get(field, ())} for name, card in shown.items()}
    everything = set().union(*sets.values())
    for name, found in sets.items():
        if field in world.remotes[name].lists:
            assert found == everything, f"{field}: {name} lacks {everything - found} of {sets}"


def key(field: str, value: Any) -> Any:
    """A value as it is compared."""
    return EQ.key(field, VALUE.get(field, field), value)


def nothing_invented(world: SixWorld) -> None:
    """Every value on a screen, or in a card, was entered by somebody in that field; or is the best name there is, where
    a name is mandatory or is not in parts."""
    entered: dict[str, set[Any]] = {}
    for entry in world.ledger.entries.values():
        entered.setdefault(entry.field, set()).add(key(entry.field, entry.value))
    for name, screen in world.remotes.items():
        for card in screen.cards().values():
            for field, values in card.items():
                strange = [v for v in values if key(field, v) not in entered.get(field, ())]
                fallback = field in PLAIN and all(marks(v) for v in strange)
                assert not strange or fallback, f"{name}: nobody entered {field}: {strange}"
    for person in books(world).people.values():
        for path, value in leaves(person.card).items():
            field = path[1] if path[0] == "name" else path[0]
            if path[-1] in (VALUE.get(path[0]), *PLAIN):
                known = key(field, value) in entered.get(field, ())
                assert known or (field == "surname" and marks(value)), f"nobody entered {path}: {value!r}"


def stays_deleted(world: SixWorld) -> None:
    """Who was deleted when all agreed, and not touched since, is nowhere any more."""
    for name, screen in world.remotes.items():
        if world.policies[name].direction == "both":
            back = {world.ledger.owner(card) for card in screen.cards().values()} & world.ledger.buried
            assert not back, f"{name} still shows {back}, who were deleted"


def sticks(world: SixWorld) -> None:
    """Law 9: who said no is marked so at every place that is about them."""
    found = books(world)
    live = [person for person in found.people.values() if person.state == "live"]
    addresses = {p.id: {folded(e["address"]) for e in p.card.get("emails", {}).values()} for p in live}
    reals = {p.id: world.ledger.owners(p.card) for p in live}
    silenced = {a for p in live if any(("person", r) in world.outs for r in reals[p.id]) for a in addresses[p.id]}
    silenced |= {address for kind, address in world.outs if kind == "address"}
    for link in found.links:
        name = next(name for name, id_ in world.ids.items() if id_ == link.connection_id)
        if link.person_id not in addresses or (link.connection_id, link.person_id) in found.aside:
            continue
        for address, out in world.remotes[name].out(link.remote_id).items():
            person = ("person", next(iter(reals[link.person_id]), None)) in world.outs
            own = {a for a in addresses[link.person_id] if ("address", a) in world.outs}
            wanted = folded(address) in silenced if address else bool(person or own)
            assert out or not wanted, f"{name} {link.remote_id} may be mailed again ({address})"


def nobody_is_silenced(world: SixWorld) -> None:
    """Marked is only who said no once, or shares an address with somebody who did."""
    told = world.told | {real for couple in world.couples if couple & world.told for real in couple}
    for person in books(world).people.values():
        if world.ledger.owners(person.card) & told:
            continue
        for link in books(world).links:
            name = next(name for name, id_ in world.ids.items() if id_ == link.connection_id)
            if link.person_id == person.id and link.state == "live":
                out = world.remotes[name].out(link.remote_id)
                assert not any(out.values()), f"{name}: {link.remote_id} is marked, and never said no: {out}"


# --- what happens ----------------------------------------------------------------------------------------------------


def values_of(world: SixWorld, real: int, name: str) -> list[Any]:
    """A new value of a field for this person."""
    if name in PLAIN:
        return [world.ledger.enter_text(real, name)]
    value = world.ledger.enter(real, name)[VALUE[name]]
    if name == "emails":  # Tryton takes no address of a domain that cannot be
        mark, value = len(world.ledger.entries), value.replace("x.test", "example.com")
        world.ledger.entries[mark] = replace(world.ledger.entries[mark], value=value)
    return [value]


@dataclass(frozen=True)
class Enter:
    """Somebody new is entered. also: in these systems, too, by name and address. shares: with the address of the first
    person there."""

    at: str
    fields: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    shares: bool = False

    def do(self, world: SixWorld) -> None:
        real = world.ledger.new_life()
        values: Values = {name: values_of(world, real, name) for name in sorted(PLAIN)}
        values["emails"] = self._address(world, real)
        values |= {name: values_of(world, real, name) for name in self.fields if name in world.remotes[self.at].fields}
        strangers = {(self.at, world.enter(self.at, values))}
        for other in self.also:
            if other != self.at and not (self.shares and other == "mail"):  # which has a member of that address
                strangers.add((other, world.enter(other, {name: values[name] for name in (*PLAIN, "emails")})))
        if len(strangers) > 1:
            world.strangers[real] = strangers

    def _address(self, world: SixWorld, real: int) -> list[Any]:
        taken = [card["emails"][0] for card in world.remotes[self.at].cards().values() if card.get("emails")]
        if not self.shares or not taken or self.at == "mail":
            return values_of(world, real, "emails")
        owners = {world.ledger.entries[mark].real for mark in marks(taken[0])}
        world.ledger.shared |= marks(taken[0])
        world.couples.append({real, *owners})
        return [taken[0]]


@dataclass(frozen=True)
class Type:
    """A human changes a field of the n-th record of a system. how: value (the first one is another) · more · blank."""

    at: str
    name: str
    how: str = "value"
    record: int = 0

    def do(self, world: SixWorld) -> None:
        screen = world.remotes[self.at]
        record = nth(world, self.at, self.record)
        if record is None or self.name not in screen.fields:
            return
        card = screen.card(record)
        real = world.ledger.owner(card)
        there = list(card.get(self.name, ()))
        if real is None or (self.name in (*PLAIN, "emails") and not world.met(real)):
            return
        if self.how == "more" and not (self.name in screen.lists and there):
            return
        if self.how == "blank" and self.name in (*PLAIN, "emails"):
            return
        new = [] if self.how == "blank" else values_of(world, real, self.name)
        rest = there if self.how == "more" else there[1:]
        world.retype(self.at, record, self.name, [*rest, *new] if self.how == "more" else [*new, *rest])


@dataclass(frozen=True)
class Remove:
    """A human deletes the n-th record."""

    at: str
    record: int = 0

    def do(self, world: SixWorld) -> None:
        record = nth(world, self.at, self.record)
        if record is not None:
            world.delete(self.at, record)


@dataclass(frozen=True)
class NoMail:
    """The person of the n-th record says no to mail."""

    at: str
    record: int = 0

    def do(self, world: SixWorld) -> None:
        record = nth(world, self.at, self.record)
        if record is not None:
            world.refuse_mail(self.at, record)


@dataclass(frozen=True)
class SignUp:
    """The person of the n-th member signs up at the form of the mailing tool: what was said before is not valid any
    more."""

    at: str
    record: int = 0

    def do(self, world: SixWorld) -> None:
        record = nth(world, self.at, self.record)
        if record is None:
            return
        (address,) = world.remotes[self.at].card(record)["emails"]
        world.remotes[self.at].box.audience.sign_up(address, "192.0.2.1")
        world.agreed = False
        real = world.ledger.owner(world.remotes[self.at].card(record))
        world.outs -= {("address", folded(address)), ("person", real)}
        for couple in world.couples:
            if real in couple:
                world.outs -= {("person", other) for other in couple}


@dataclass(frozen=True)
class Settle:
    """People stop for a while, and everything must agree."""

    asides: bool = False

    def do(self, world: SixWorld) -> None:
        at_peace(world, asides=self.asides)


def nth(world: SixWorld, at: str, number: int) -> str | None:
    records = world.records(at)
    return records[number % len(records)] if records else None


def play(world: SixWorld, steps: Sequence[Any]) -> SixWorld:
    for step in steps:
        step.do(world)
    return world


# --- random histories ------------------------------------------------------------------------------------------------

TROUBLES: Final[tuple[Trouble, ...]] = ("throttle", "unavailable", "html", "error_after", "lost_before", "lost_after")
FIELDS: Final = ("phones", "organizations", "titles", "notes", "addresses", "anniversaries", "groups")


def newcomers(at: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    fields = st.lists(st.sampled_from(FIELDS), max_size=4, unique=True).map(tuple)
    return st.builds(
        Enter, at, fields, st.lists(at, max_size=2, unique=True).map(tuple), st.sampled_from([False] * 5 + [True])
    )


def people(at: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    few = st.integers(0, 2)
    hows = st.sampled_from(["value", "value", "more", "blank"])
    return st.one_of(
        newcomers(at),
        st.builds(Type, at, st.sampled_from([*FIELDS, "emails"]), hows, few),
        st.builds(Type, at, st.sampled_from([*FIELDS, "emails"]), hows, few),
        st.builds(Type, at, st.sampled_from(sorted(PLAIN)), record=few),
        st.builds(NoMail, at, few),
        st.builds(SignUp, st.just("mail"), few),
        st.builds(Remove, at, few),
    )


def trouble(at: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    few = st.integers(0, 2)
    locked = st.sampled_from(["google", "phone"])  # a human can be seen there between our read and our write
    edit = st.builds(Type, locked, st.sampled_from(FIELDS), st.sampled_from(["value", "more", "blank"]), few)
    return st.one_of(
        st.builds(Run, at, st.sampled_from(TROUBLES), st.integers(0, 8)),
        st.builds(Run, at, killed=st.integers(1, 40)),
        st.builds(Run, locked, meanwhile=st.tuples(st.integers(1, 6), edit)),
        st.builds(Wait, st.sampled_from([1.0, 40.0, DAY])),
    )
