"""Records that cannot be read as a contact, and whose they may be: nobody gets a second record beside one of those."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from app.core import identity
from app.core.identity import Candidate, Key
from app.engine.suppression import suppressed
from app.engine.world import Session
from app.store import links, outbox, runs
from app.store.people import Person
from app.store.runs import Refusal
from app.store.store import Unit
from connectors.card import Card, Equivalence

Unread = Mapping[Key, Sequence[Refusal]]
"""Records that cannot be read, by what tells whose they may be."""


def keep(unit: Unit, connection: int, reasons: Mapping[str, str], cards: Mapping[str, Card], eq: Equivalence) -> None:
    """Set these records aside. cards: what could be read of them. Of records that are somebody's already nothing is
    kept, nor of who asked to be forgotten."""
    if not reasons:
        return
    owned = {remote for remote, link in links.briefs(unit, connection, reasons).items() if link.state == "live"}
    traits = {remote: found for remote, card in cards.items() if (found := identity.traits(card)) is not None}
    keys = {remote: identity.keys_of(card, eq) for remote, card in traits.items()}
    out = suppressed(unit, {key for each in keys.values() for key in each})
    barred = owned | {remote for remote in keys if not keys[remote].isdisjoint(out)}
    runs.refuse(unit, connection, reasons, {**traits, **dict.fromkeys(barred)})


def lift(unit: Unit, connection: int, records: Collection[str]) -> None:
    """These records can be read now, or are gone: what was not written to them is tried again."""
    lifted = runs.accept(unit, connection, records) if records and runs.refuses(unit, connection) else []
    if lifted:
        held = links.load(unit, connection, [refusal.remote_id for refusal in lifted])
        outbox.retry(unit, connection, {link.person_id for link in held.values()})


def in_the_way(session: Session, unit: Unit, persons: Iterable[Person]) -> dict[int, str]:
    """Who must not be made there, and why: a record that cannot be read may be theirs."""
    if session.unread is None:
        session.unread = _by_mark(runs.unread(unit, session.id), session.world.eq)
    if not session.unread:
        return {}
    name, eq = session.connection.name, session.world.eq
    found = ((person.id, next(_theirs(person, session.unread, eq), None)) for person in persons)
    return {
        person: f"record {refusal.remote_id} there may be this very person's, and cannot be read ({refusal.reason}); "
        f"mend or delete it there, or if it is somebody else's: concord refused ignore {name} {refusal.remote_id}"
        for person, refusal in found
        if refusal is not None
    }


def of_person(unit: Unit, person: Person, eq: Equivalence) -> list[Refusal]:
    """The refused records that may be this person's."""
    found = _theirs(person, _by_mark(runs.unread(unit), eq), eq)
    return [*{(refusal.connection_id, refusal.remote_id): refusal for refusal in found}.values()]


def forget(unit: Unit, cards: Iterable[Card], eq: Equivalence) -> None:
    """Of refused records that may be of whom these cards are, it is not kept whose they may be."""
    marks = {mark for card in cards for mark in identity.marks_of(card, eq)}
    for mark, found in _by_mark(runs.unread(unit), eq).items():
        for refusal in found if mark in marks else ():
            runs.forget_card(unit, refusal.connection_id, refusal.remote_id)


def _by_mark(refusals: Sequence[Refusal], eq: Equivalence) -> Unread:
    found: dict[Key, list[Refusal]] = {}
    for refusal in refusals:
        for mark in sorted(identity.marks_of(refusal.card or {}, eq)):
            found.setdefault(mark, []).append(refusal)
    return found


def _theirs(person: Person, unread: Unread, eq: Equivalence) -> Iterator[Refusal]:
    """Those that may be this person's: with the very same name, for nobody knows what else stood there, or with an
    address or number and no name that says otherwise. Better one too many waits than that one is doubled."""
    keys = frozenset(identity.keys_of(person.card, eq))
    for mark in sorted(identity.marks_of(person.card, eq)):
        for refusal in unread.get(mark, ()):
            candidate = Candidate(person.id, person.card, keys)
            if mark not in keys or identity.choose(refusal.card or {}, [candidate]) is not None:
                yield refusal
