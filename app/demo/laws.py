"""The proof: every system is read anew, and held against what people entered and what Concord knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.align import align
from app.core.policy import Policy
from app.demo.people import SEATS, Person
from app.demo.stage import Stage, Values, ours, shown, values
from app.engine.rounds import sync_all
from app.engine.run import find, session_for
from app.engine.world import Tally, policy_of
from app.store import journal, links
from app.store import people as persons
from app.store.people import Person as Known
from connectors.card import Card, Equivalence, fold, full_name, leaves
from connectors.card import Path as CardPath
from connectors.consent import Consent
from connectors.contract import Record

Shown = Mapping[str, Mapping[str, Record]]
"""By connection and id, what every system shows."""


@dataclass(frozen=True, slots=True)
class Law:
    """Whether a law held, on how many values that was seen, and in words; failures: the first of them."""

    law: str
    held: bool
    compared: int
    seen: str
    failures: tuple[str, ...] = ()


def prove(on: Stage) -> tuple[dict[str, int], list[Law]]:
    """(contacts by system, the laws). The silence is tried last: it is a run of its own."""
    now = {name: shown(on.app, name) for name in SEATS}
    laws = [_convergence(on, now), _nothing_lost(on, now), _no_doubles(on, now), _opt_outs_stick(on, now)]
    laws.insert(1, _silence(on))
    return {name: len(records) for name, records in now.items()}, laws


def _law(law: str, compared: int, seen: str, failures: list[str]) -> Law:
    return Law(law, not failures and compared > 0, compared, seen, tuple(failures[:10]))


def _linked(on: Stage, name: str, records: Mapping[str, Any]) -> dict[str, tuple[links.Link, Known]]:
    """Link and person of each record."""
    with on.app.store.read() as unit:
        held = links.load(unit, find(on.app.world(), name).id, records)
        known = persons.load(unit, {link.person_id for link in held.values()})
    return {record: (link, known[link.person_id]) for record, link in held.items()}


def _everybody(on: Stage) -> list[Known]:
    with on.app.store.read() as unit:
        return persons.search(unit, limit=1_000_000)


# --- 1


def _convergence(on: Stage, now: Shown) -> Law:
    """Every system has everybody who belongs there, and shows of each as much of the card as it can hold."""
    compared, differing, missing = 0, [], []
    for name, records in now.items():
        linked = _linked(on, name, records)
        missing += [f"{name} lacks {uid}" for uid in _lacking(on, name, {known.uid for _, known in linked.values()})]
        missing += [f"{name} has {record}, whom nobody knows" for record in records.keys() - linked.keys()]
        world = on.app.world()
        with session_for(world, find(world, name), Tally()) as session:
            for record, (link, known) in linked.items():
                view = align(records[record].card or {}, [link.seen], world.eq, world.mint)
                found, wrong = _compared(session.connector.fit(known.card, view), view, session.policy, world.eq)
                compared += found
                differing += [f"{name} {record}: {'/'.join(path)}" for path in wrong]
    seen = f"{compared:,} values compared in {len(now)} systems, {len(differing)} differ, {len(missing)} people missing"
    return _law("1 Convergence: all systems show the same contact", compared, seen, missing + differing)


def _compared(wanted: Card, view: Card, policy: Policy, eq: Equivalence) -> tuple[int, list[CardPath]]:
    """How many values of the card a system should show or does show, where we may write them, and those that are not
    the same."""
    if _one_text(wanted) != _one_text(view) and fold(full_name(wanted)) == fold(full_name(view)):
        wanted = {**wanted, "name": view["name"]}  # one has the name in parts, the other in one text
    ought, there = leaves(wanted), leaves(view)
    paths = [path for path in {**ought, **there} if policy.pushes(path[0]) and not ours(path)]
    return len(paths), [path for path in paths if not eq.same(path, ought.get(path), there.get(path))]


def _one_text(card: Card) -> bool:
    return "name" in card and not card["name"].get("components")


def _lacking(on: Stage, name: str, there: set[str]) -> list[str]:
    """Who belongs in a system and is not there."""
    policy = policy_of(find(on.app.world(), name).policy)
    if policy.direction == "pull":
        return []
    return [p.uid for p in _everybody(on) if policy.welcomes(p.card) and p.uid not in there]


# --- 2


def _silence(on: Stage) -> Law:
    reports = sync_all(on.app.world(), SEATS)
    writes, requests = sum(r.tally.writes for r in reports), sum(r.tally.requests for r in reports)
    loud = [
        f"{r.connection}: {r.outcome}, {r.tally.writes} writes" for r in reports if r.outcome != "done" or not r.quiet
    ]
    seen = f"{writes} writes, {requests} requests to {len(reports)} systems"
    return _law("2 Silence: the next run writes nothing", len(reports), seen, loud)


# --- 3


def _nothing_lost(on: Stage, now: Shown) -> Law:
    """Every value that was entered is in the card of that very person, or in their journal."""
    eq = Equivalence(on.app.settings.region)
    compared, missing = 0, []
    kept: dict[int, Values] = {}
    for name in SEATS:
        entered = {record: found for (where, record), found in on.entered.items() if where == name}
        linked = _linked(on, name, entered)
        for record, found in entered.items():
            compared += len(found)
            if record not in linked:
                missing.append(f"{name} {record}: nobody's")
                continue
            known = linked[record][1]
            if known.id not in kept:
                kept[known.id] = _kept(on, known, eq)
            missing += [f"{name} {record}: {'/'.join(value)}" for value in sorted(found - kept[known.id])]
    seen = f"{compared:,} entered values, {len(missing)} missing from their person's card and journal"
    return _law("3 Nothing lost: every value entered is in a card or the journal", compared, seen, missing)


def _kept(on: Stage, person: Known, eq: Equivalence) -> Values:
    kept = values(person.card, eq)
    with on.app.store.read() as unit:
        for change in journal.history(unit, person.id):
            kept |= _journalled(change.path, change.before, eq) | _journalled(change.path, change.after, eq)
        for clash in journal.list_conflicts(unit, person=person.id, limit=10_000):
            kept |= _journalled(clash.path, clash.ours, eq) | _journalled(clash.path, clash.theirs, eq)
    return kept


def _journalled(path: CardPath, value: Any, eq: Equivalence) -> Values:
    if value is None:
        return set()
    if not path:
        return values(value, eq)
    if isinstance(value, dict) and len(path) == 2:
        return values({path[0]: {path[1]: value}}, eq)
    return {(path[0], path[-1], str(eq.key(path[0], path[-1], value)))} if isinstance(value, str) else set()


# --- 5


def _no_doubles(on: Stage, now: Shown) -> Law:
    """Every person is one of the people who were made up, and no two are the same; each is in each system once."""
    eq = Equivalence(on.app.settings.region)
    known = _everybody(on)
    whom = {person.uid: _made_up(person.card, on.everybody, eq) for person in known}
    wrong = [f"{uid} is {len(those)} of the people" for uid, those in whom.items() if len(those) != 1]
    times = Counter(number for those in whom.values() for number in those)
    wrong += [f"number {p.number} became {times[p.number]} persons" for p in on.everybody if times[p.number] != 1]
    for name, records in now.items():
        held = Counter(person.uid for _, person in _linked(on, name, records).values())
        wrong += [f"{name} has {uid} {count} times" for uid, count in held.items() if count > 1]
    compared = sum(map(len, now.values()))
    seen = f"{len(on.everybody)} people are {len(known)} persons, {compared:,} records, {len(wrong)} wrong"
    return _law("5 No duplicates: nobody is there twice, nobody is two", compared, seen, wrong)


def _made_up(card: Card, everybody: list[Person], eq: Equivalence) -> set[int]:
    """The numbers of those who share an address or a number with the card, and its name: couples share an address."""
    there = _folded(card, "emails", "address", eq) | _folded(card, "phones", "number", eq)
    name = full_name(card)
    named = [p for p in everybody if name in (f"{p.given} {p.surname}", f"{p.short} {p.surname}")]
    return {p.number for p in named if there & _keys(p, eq)}


def _keys(person: Person, eq: Equivalence) -> set[Any]:
    mails = {eq.key("emails", "address", address) for address in person.emails}
    return mails | {eq.key("phones", "number", number) for number in (person.mobile, person.work)}


# --- 9


def _opt_outs_stick(on: Stage, now: Shown) -> Law:
    """Every place says no where somebody said no, and nowhere else; nobody is subscribed who did not ask for it. An
    address that does not work is not written to either."""
    eq = Equivalence(on.app.settings.region)
    no_mail = {eq.key("emails", "address", a) for a in {a for p in on.everybody for a in p.silenced} | on.unsubscribed}
    no_calls = {eq.key("phones", "number", n) for p in on.everybody for n in _numbers(p)}
    willing = {eq.key("emails", "address", p.emails[0]) for p in on.everybody if _is_willing(p)}
    compared, wrong = 0, []
    for name, records in now.items():
        for record, (_, known) in _linked(on, name, records).items():
            addresses = _folded(known.card, "emails", "address", eq)
            numbers = _folded(known.card, "phones", "number", eq)
            for place in records[record].consents:
                compared += 1
                said_no = {"email": _about(place, addresses, eq) & no_mail, "phone": numbers & no_calls}
                no = bool(said_no.get(place.channel))
                yes = place.state == "granted" and not _about(place, addresses, eq) <= willing
                shut = place.state == "withdrawn" or (no and place.state == "undeliverable")
                if no != shut or yes:
                    wrong.append(f"{name} {record}: {place.channel} {place.address or '(all)'} is {place.state}")
    seen = f"{compared:,} places, {len(no_mail)} addresses and {len(no_calls)} numbers opted out, {len(wrong)} wrong"
    return _law("9 Opt-out sticks: wherever it was said, it is heard everywhere", compared, seen, wrong)


def _numbers(person: Person) -> tuple[str, ...]:
    told = person.no_calls and person.systems & {"vtiger", "sugarcrm"}
    return (person.mobile, person.work) if told else ()


def _is_willing(person: Person) -> bool:
    return "mailchimp" in person.systems and person.newsletter == "subscribed"


def _about(place: Consent, addresses: set[Any], eq: Equivalence) -> set[Any]:
    """Which addresses a place is about."""
    return {eq.key("emails", "address", place.address)} if place.address else addresses


def _folded(card: Card, where: str, prop: str, eq: Equivalence) -> set[Any]:
    return {eq.key(where, prop, element.get(prop, "")) for element in card.get(where, {}).values()}
