"""Records that cannot be read as a contact, and whose they may be: nobody gets a second record beside one of those."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from app.core import identity
from app.core.identity import Candidate, Key
from app.engine.suppression import suppressed
from app.engine.world import Session
from app.store import outbox, people, runs
from app.store.people import Person
from app.store.runs import Refusal
from app.store.store import Unit
from connectors.card import Card, Equivalence


def keep(unit: Unit, connection: int, reasons: Mapping[str, str], cards: Mapping[str, Card], eq: Equivalence) -> None:
    """Set these records aside. cards: what could be read of them. Of who asked to be forgotten nothing is kept."""
    traits = {remote: found for remote, card in cards.items() if (found := identity.traits(card)) is not None}
    keys = {remote: identity.keys_of(card, eq) for remote, card in traits.items()}
    out = suppressed(unit, {key for each in keys.values() for key in each}) if traits else {}
    known = {remote: card for remote, card in traits.items() if keys[remote].isdisjoint(out)}
    runs.refuse(unit, connection, reasons, known)


def lift(unit: Unit, connection: int, records: Collection[str], eq: Equivalence) -> None:
    """These records are taken now, are gone, or are nobody's: who was not written for their sake may be."""
    cards = runs.accept(unit, connection, records) if records and runs.refuses(unit, connection) else []
    keys = {key for card in cards for key in identity.keys_of(card, eq)}
    if keys:
        persons = people.by_keys(unit, keys).values()
        outbox.retry_some(unit, connection, {person for each in persons for person in each})


def in_the_way(session: Session, unit: Unit, persons: Iterable[Person]) -> dict[int, str]:
    """Who must not be made there, and why: a record that cannot be read may be theirs."""
    eq, name = session.world.eq, session.connection.name
    unread = _by_key(runs.unread(unit, session.id), eq)
    if not unread:
        return {}
    found = ((person.id, next(_theirs(person, unread, eq), None)) for person in persons)
    return {
        person: f"record {refusal.remote_id} there may be this very person's, and cannot be read ({refusal.reason}); "
        f"mend or delete it there, or if it is somebody else's: concord refused ignore {name} {refusal.remote_id}"
        for person, refusal in found
        if refusal is not None
    }


def of_person(unit: Unit, person: Person, eq: Equivalence) -> list[Refusal]:
    """The refused records that may be this person's."""
    found = _theirs(person, _by_key(runs.unread(unit), eq), eq)
    return [*{(refusal.connection_id, refusal.remote_id): refusal for refusal in found}.values()]


def forget(unit: Unit, cards: Iterable[Card], eq: Equivalence) -> None:
    """Of refused records that share an address or number with these, it is not kept whose they may be."""
    keys = {key for card in cards for key in identity.keys_of(card, eq)}
    for key, found in _by_key(runs.unread(unit), eq).items():
        for refusal in found if key in keys else ():
            runs.forget_card(unit, refusal.connection_id, refusal.remote_id)


def _by_key(refusals: Sequence[Refusal], eq: Equivalence) -> dict[Key, list[Refusal]]:
    found: dict[Key, list[Refusal]] = {}
    for refusal in refusals:
        for key in sorted(identity.keys_of(refusal.card or {}, eq)):
            found.setdefault(key, []).append(refusal)
    return found


def _theirs(person: Person, unread: Mapping[Key, Sequence[Refusal]], eq: Equivalence) -> Iterator[Refusal]:
    """Those that would be taken for this person, if they could be read."""
    keys = frozenset(identity.keys_of(person.card, eq))
    for refusal in (refusal for key in sorted(keys) for refusal in unread.get(key, ())):
        if identity.choose(refusal.card or {}, [Candidate(person.id, person.card, keys)]) is not None:
            yield refusal
