"""What records show of consent becomes entries of the ledger; what the ledger says is owed to records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from app.core.consent import Act, Ledger, Place, Shown, addresses, as_json, fold, of_json, places, turned, written
from app.engine.world import Session, World, earlier
from app.store import connections, consents, outbox, people
from app.store.consents import Entry
from app.store.links import Link
from app.store.people import Person
from app.store.store import Unit
from connectors.card import Equivalence
from connectors.consent import CHANNELS, Channel, Consent
from connectors.contract import Record

KINDS: Mapping[Channel, str] = {"email": "email", "phone": "phone", "sms": "phone"}
"""The kind of key under which the holders of a channel's address are found."""


def pulls(session: Session) -> bool:
    """Is what this connection says of consent heard? An opt-out is, whatever way the profile flows."""
    return session.policy.fields.get("consent", "both") in ("both", "pull")


def pushes(session: Session) -> bool:
    """May consent be written there?"""
    return bool(session.connector.capabilities.consents) and session.policy.pushes("consent")


def shown(record: Record, link: Link | None, eq: Equivalence) -> tuple[Shown, ...]:
    """The places of a record as it shows them now."""
    return places(record.consents, of_json(link.consents) if link else (), eq)


def heard(session: Session, unit: Unit, person: int, record: Record, link: Link | None) -> list[Entry]:
    """What a record says anew about consent."""
    if not record.consents or not pulls(session):
        return []
    before = of_json(link.consents) if link and link.state == "live" else ()
    news = {place[:2] for place in turned(before, shown(record, link, session.world.eq))}
    return [
        entry
        for consent in record.consents
        if (consent.channel, fold(consent.channel, consent.address, session.world.eq)) in news
        and (entry := _entry(session, unit, person, record, consent, first=not before)) is not None
    ]


def _entry(session: Session, unit: Unit, person: int, record: Record, consent: Consent, *, first: bool) -> Entry | None:
    if consent.state == "unknown" and first:
        return None  # nothing was ever said
    at = earlier(consent.at or record.modified, unit.now)
    proof = dict(consent.evidence) if consent.state == "granted" and consent.at else {}
    return Entry(
        person_id=person,
        channel=consent.channel,
        address=fold(consent.channel, consent.address, session.world.eq),
        state=consent.state,
        at=at,
        actor=session.connection.name,
        basis=consent.reason or ("shown when it was first read" if first else "changed there"),
        evidence=proof,
        connection_id=session.id,
        run_id=session.run_id,
    )


def ledger(
    unit: Unit,
    persons: Mapping[int, Person],
    eq: Equivalence,
    channels: Collection[Channel] = CHANNELS,
    more: Iterable[Place] = (),
) -> Ledger:
    """What is known of these persons. more: places beyond those of their cards."""
    owns = {(p.id, channel): addresses(p.card, channel, eq) for p in persons.values() for channel in channels}
    wanted = {(channel, address) for (_, channel), found in owns.items() for address in found} | set(more)
    holders = holding(unit, wanted)
    everybody = {*persons, *(person for found in holders.values() for person in found)}
    at: dict[Place, list[Act]] = {}
    for entry in consents.at_addresses(unit, {address for _, address in wanted if address}):
        at.setdefault((entry.channel, entry.address), []).append(act(entry))
    whole: dict[tuple[int, Channel], list[Act]] = {}
    for entry in consents.of_people(unit, everybody):
        if not entry.address:
            whole.setdefault((entry.person_id, entry.channel), []).append(act(entry))
    return Ledger(at=at, whole=whole, holders=holders, owns=owns)


def act(entry: Entry) -> Act:
    """The entry as the core judges it."""
    return Act(entry.person_id, entry.channel, entry.address, entry.state, entry.at, entry.evidence)


def holding(unit: Unit, wanted: Iterable[Place]) -> dict[Place, set[int]]:
    """Who has these addresses."""
    keys = {place: (KINDS[place[0]], place[1]) for place in wanted if place[0] in KINDS and place[1]}
    found = people.by_keys(unit, set(keys.values()))
    return {place: found.get(key, set()) for place, key in keys.items()}


def record(unit: Unit, world: World, entries: Sequence[Entry]) -> None:
    """Write what was said into the ledger, unless it only repeats what is known. Everybody of whom a place may have to
    change is owed to every connection."""
    if not entries:
        return
    persons = people.load(unit, {entry.person_id for entry in entries})
    known = ledger(unit, persons, world.eq, more={(e.channel, e.address) for e in entries})
    news = [entry for entry in entries if not known.said(act(entry))]
    consents.append(unit, news)
    telling = [e for e in news if e.state == "withdrawn" or (e.state == "granted" and e.evidence)]
    touched = {entry.person_id for entry in telling}
    for entry in telling:
        concerned = {(entry.channel, entry.address)} if entry.address else set()
        if not entry.address:
            concerned = {(entry.channel, a) for a in known.owns.get((entry.person_id, entry.channel), ())}
        for place in concerned:
            touched |= known.holders.get(place, set())
    outbox.owe(unit, connections.receivers(unit, None), sorted(touched))


def unsaid(session: Session, unit: Unit, held: Sequence[Link], persons: Mapping[int, Person]) -> set[int]:
    """Those of the linked persons whose records say something else than the ledger."""
    having = [link for link in held if link.consents]
    if not having or not pushes(session):
        return set()
    seen = {link.remote_id: of_json(link.consents) for link in having}
    more = {place[:2] for each in seen.values() for place in each}
    those = {link.person_id: persons[link.person_id] for link in having}
    known = ledger(unit, those, session.world.eq, session.connector.capabilities.consents, more)
    return {
        link.person_id
        for link in having
        if known.due(link.person_id, seen[link.remote_id], session.connector.capabilities.optins)
    }


def ours(session: Session, unit: Unit, held: Sequence[Link], records: Iterable[Record]) -> list[Link]:
    """The links of records to which we may have written before we died: what shows as the ledger has it is ours."""
    having = {link.remote_id: link for link in held if link.consents}
    if not having or not pushes(session):
        return []
    persons = people.load(unit, {link.person_id for link in having.values()})
    more = {place[:2] for link in having.values() for place in of_json(link.consents)}
    known = ledger(unit, persons, session.world.eq, session.connector.capabilities.consents, more)
    changed = []
    for record in records:
        link = having.get(record.id)
        if link is None or record.card is None or record.refused is not None:
            continue
        before, now = of_json(link.consents), shown(record, link, session.world.eq)
        shows = {place[:2]: place.state for place in now}
        wrote = [
            c
            for c in known.due(link.person_id, before, session.connector.capabilities.optins)
            if shows.get((c.channel, c.address)) == c.state
        ]
        changed.append(replace(link, consents=as_json(written(before, now, wrote))))
    return changed
