"""What a person may ask for: that we show what we hold, heed what they say, and forget them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from app.core import consent, identity
from app.engine import consents, refusals
from app.engine.suppression import hashed
from app.engine.world import World, policy_of
from app.store import connections, groups, idempotency, journal, links, outbox, people, purchases, runs, suppressions
from app.store import consents as ledger
from app.store.connections import Connection
from app.store.links import Link
from app.store.people import Person
from app.store.store import Unit
from connectors.card import Card, full_name
from connectors.consent import CHANNELS, Channel, ConsentState

# --- consent


def say(
    world: World,
    uid: str,
    channel: Channel,
    address: str,
    state: ConsentState,
    words: str,
    actor: str,
    at: datetime | None = None,
) -> ConsentState:
    """A human here records what a person said; what holds now.

    Raises LookupError; ValueError for an address that is not the person's, a time that is to come, and an opt-in that
    is no newer than the opt-out.
    """
    with world.store.begin(durable=True) as unit:
        person = people.get(unit, uid)
        place = channel, consent.fold(channel, address, world.eq)
        if address and place[1] not in consent.addresses(person.card, channel, world.eq):
            raise ValueError(
                f"{full_name(person.card)} has no {address}; `concord people show {uid}` shows what there is"
            )
        if at is not None and at > unit.now:
            raise ValueError("that time is yet to come")
        evidence = {"words": words, "recorded by": actor} if state == "granted" else {}
        entry = ledger.Entry(person.id, channel, place[1], state, at or unit.now, actor, words, evidence)
        consents.record(unit, world, [entry])
        held = consents.ledger(unit, {person.id: person}, world.eq, more=[place]).of(person.id, place)
        if held.state == "withdrawn" and state == "granted" and held.act is not None:
            raise ValueError(
                f"the opt-out is of {held.act.at:%Y-%m-%d %H:%M} UTC, and the opt-in no newer: nothing changes"
            )
        return held.state


def standing(world: World, uid: str) -> dict[str, Any]:
    """What holds for each address of a person, and everything that was said."""
    with world.store.read() as unit:
        person = people.get(unit, uid)
        known = consents.ledger(unit, {person.id: person}, world.eq)
        said = ledger.of_people(unit, [person.id])
    places = [(channel, a) for channel in CHANNELS for a in ["", *sorted(known.owns.get((person.id, channel), ()))]]
    return {
        "uid": person.uid,
        "name": full_name(person.card),
        "holds": [
            {"channel": c, "address": a, "state": s.state, "since": s.act.at if s.act else None}
            for c, a in places
            if (s := known.of(person.id, (c, a))).act is not None
        ],
        "said": [
            {
                "at": e.at,
                "by": e.actor,
                "channel": e.channel,
                "address": e.address,
                "state": e.state,
                "basis": e.basis,
                "evidence": dict(e.evidence),
            }
            for e in said
        ],
    }


# --- everything that we hold


def everything(world: World, uid: str) -> dict[str, Any]:
    """All that is held on a person, as JSON (GDPR, articles 15 and 20)."""
    said = standing(world, uid)
    with world.store.read() as unit:
        person = people.get(unit, uid)
        names = {c.id: c.name for c in connections.every(unit)}
        held = links.of_people(unit, [person.id], state=None)
        photos = _photos([person.card, *(link.seen for link in held)])
        return {
            "uid": person.uid,
            "state": person.state,
            "rev": person.rev,
            "card": person.card,
            "links": [
                {"connection": names[x.connection_id], "id": x.remote_id, "state": x.state, "shows": x.seen}
                for x in held
            ],
            "history": [
                {
                    "at": c.at,
                    "by": c.actor,
                    "path": journal.pointer(c.path),
                    "before": c.before,
                    "after": c.after,
                    "reason": c.reason,
                }
                for c in journal.history(unit, person.id)
            ],
            "conflicts": [
                {
                    "id": c.id,
                    "at": c.at,
                    "connection": c.connection,
                    "path": journal.pointer(c.path),
                    "ours": c.ours,
                    "theirs": c.theirs,
                    "kept": c.kept,
                }
                for c in journal.list_conflicts(unit, person=person.id, limit=100_000)
            ],
            "consent": {"holds": said["holds"], "said": said["said"]},
            "unread": [
                {"connection": names[r.connection_id], "id": r.remote_id, "reason": r.reason, "shows": r.card}
                for r in refusals.of_person(unit, person, world.eq)
            ],
            "purchases": bought(unit, person),
            "photos": {uri: b64encode(runs.blob(unit, uri)).decode() for uri in sorted(photos)},
        }


def bought(unit: Unit, person: Person) -> list[dict[str, Any]]:
    """What a person bought, newest first, as JSON."""
    return [_bought(found) for found in purchases.of_person(unit, person.id)]


def _bought(found: purchases.Bought) -> dict[str, Any]:
    purchase = asdict(found.purchase)
    purchase["total"] = str(purchase["total"])
    for line in purchase["lines"]:
        line.update({k: str(line[k]) for k in ("quantity", "price", "amount") if line[k] is not None})
    return {"connection": found.connection, **purchase}


# --- forgetting


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one record of a person who is erased."""

    connection: str
    record: str
    what: str


def plan(world: World, uid: str) -> list[Step]:
    """What erasing a person would do to their records; changes nothing. Raises LookupError."""
    with world.store.read() as unit:
        return _steps(unit, people.get(unit, uid))


def _steps(unit: Unit, person: Person) -> list[Step]:
    named = {c.id: c for c in connections.every(unit)}
    return [_step(named[x.connection_id], x) for x in links.of_people(unit, [person.id])]


def _step(connection: Connection, link: Link) -> Step:
    direction = policy_of(connection.policy).direction
    what = "erased by the next sync" if direction in ("both", "push") else f"by hand (direction: {direction})"
    return Step(connection.name, link.remote_id, what)


def erase(world: World, uid: str, actor: str) -> list[Step]:
    """Forget a person: nothing about them is left here but salted hashes of their addresses, by which they are kept
    from coming back; their records elsewhere are deleted with the next sync. Raises LookupError, ValueError.
    """
    with world.store.begin(durable=True) as unit:
        person = people.get(unit, uid)
        if person.state == "erased":
            raise ValueError(f"{person.uid} is erased already")
        steps = _steps(unit, person)
        held = links.of_people(unit, [person.id], state=None)
        cards = [person.card, *(link.seen for link in held)]
        suppressions.add(unit, _hashes(unit, world, cards))
        people.update(unit, [replace(person, rev=person.rev + 1, state="erased", card={})], {person.id: ()})
        groups.forget(unit, person.id)
        links.save(unit, [replace(link, seen={}, sent={}, digest=None, prior=None, consents=None) for link in held])
        journal.erase(unit, person.id)
        journal.append(unit, [journal.Change(person.id, (), None, None, actor)])
        ledger.erase(unit, person.id)
        purchases.erase(unit, person.id)
        runs.erase(unit, person.uid, [(x.connection_id, x.remote_id) for x in held])
        refusals.forget(unit, cards, world.eq)
        runs.drop_photos(unit, _photos(cards))
        idempotency.forget(unit, person.uid)
        outbox.forget(unit, person.id)
        outbox.owe(unit, sorted({link.connection_id for link in held if link.state == "live"}), [person.id])
        return steps


def _photos(cards: Iterable[Card]) -> set[str]:
    return {media["uri"] for card in cards for media in card.get("media", {}).values()}


def admit(world: World, address: str) -> None:
    """An address of somebody who was erased may be known again. Raises LookupError where it was not kept out."""
    with world.store.begin(durable=True) as unit:
        hashes = _hashes(unit, world, [{"emails": {"1": {"address": address}}}])
        if not suppressions.remove(unit, hashes):
            raise LookupError(f"{address} is not kept out")


def _hashes(unit: Unit, world: World, cards: Iterable[Card]) -> set[str]:
    salt = suppressions.salt(unit, world.mint)
    return {hashed(salt, key) for card in cards for key in identity.keys_of(card, world.eq) if key[0] == "email"}
