"""Who may be contacted: a ledger of what was said, and what follows from it. Kept apart from the card.

An opt-out sticks. At one address the last word of the person counts, but a word is only what proves to be one: to opt
in again takes an act with evidence that is newer than the opt-out. Everything else (a mark that vanished, a profile
that was saved, a list that was imported) opts nobody in.

A word is about an address, or about a person's whole channel ("do not call"). An address may be shared: what is said
about it holds for all who share it. What one of them says about their whole channel holds for the shared address, too,
since who writes there reaches them, but not for the others' other addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from connectors.card import VALUE, Card, Equivalence
from connectors.consent import Channel, Consent, ConsentState

FIELDS: Final[Mapping[Channel, str]] = {"email": "emails", "phone": "phones", "sms": "phones"}
"""Where the addresses of a channel stand in the card; post has none that could be compared."""
_MAX_KEY: Final = 320
Place = tuple[Channel, str]
"""Channel and folded address; "" is the whole channel."""


@dataclass(frozen=True, slots=True)
class Act:
    """One row of the ledger: what was said about one place of one person, when, and what proves it."""

    person: int
    channel: Channel
    address: str
    state: ConsentState
    at: datetime
    evidence: Mapping[str, str] = field(default_factory=dict)


class Shown(NamedTuple):
    """A place for consent of a record: what it shows, and what we wrote there last (None: nothing)."""

    channel: Channel
    address: str
    state: ConsentState
    sent: ConsentState | None = None


class Standing(NamedTuple):
    """What holds now at a place, and the word that it rests on."""

    state: ConsentState
    act: Act | None = None


NOTHING: Final = Standing("unknown")


def fold(channel: Channel, address: str, eq: Equivalence) -> str:
    """The address however it is written; "" stays ""."""
    if not address or channel not in FIELDS:
        return address.strip()[:_MAX_KEY]
    name = FIELDS[channel]
    return str(eq.key(name, VALUE[name], address))[:_MAX_KEY]


def addresses(card: Card, channel: Channel, eq: Equivalence) -> set[str]:
    """The folded addresses of one channel that a card has."""
    name = FIELDS.get(channel, "")
    found = (element.get(VALUE[name]) or "" for element in card.get(name, {}).values()) if name else ()
    return {fold(channel, address, eq) for address in found if address}


def standing(acts: Iterable[Act]) -> Standing:
    """What holds after these words. Of two at one moment the opt-out is the later one."""
    now = NOTHING
    for act in sorted(acts, key=lambda act: (act.at, act.state == "withdrawn")):
        if _counts(act, now):
            now = Standing(act.state, act)
    return now


def _counts(act: Act, now: Standing) -> bool:
    if act.state == "withdrawn":
        return True
    if now.state == "withdrawn":
        assert now.act is not None
        return act.state == "granted" and bool(act.evidence) and act.at > now.act.at
    if act.state == "granted":  # a word without evidence says nothing new over one with it
        return bool(act.evidence) or now.state != "granted"
    return act.state == "undeliverable" or (act.state == "pending" and now.state == "unknown")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known about some persons: every act at their addresses, and of all who share one.

    at: {place: acts about it, of anybody; a whole channel's are in `whole`}. whole: {(person, channel): acts}.
    holders: {address: persons that have it}. owns: {(person, channel): folded addresses}.
    """

    at: Mapping[Place, Sequence[Act]]
    whole: Mapping[tuple[int, Channel], Sequence[Act]]
    holders: Mapping[Place, set[int]]
    owns: Mapping[tuple[int, Channel], set[str]]

    def of(self, person: int, place: Place) -> Standing:
        """What holds at a place of this person's record."""
        channel, address = place
        return self._address(person, place) if address else self._channel(person, channel)

    def _address(self, person: int, place: Place) -> Standing:
        acts = [*self.at.get(place, ())]
        for holder in {person, *self.holders.get(place, ())}:
            acts += self.whole.get((holder, place[0]), ())
        return standing(acts)

    def _channel(self, person: int, channel: Channel) -> Standing:
        """The most restrictive that holds for any of the person's addresses."""
        own = self.whole.get((person, channel), ())
        each = [standing([*self.at.get((channel, a), ()), *own]) for a in sorted(self.owns.get((person, channel), ()))]
        if not each:
            return standing(own)
        for state in ("withdrawn", "granted"):
            found = next((one for one in each if one.state == state), None)
            if found:
                return found
        return NOTHING

    def said(self, act: Act) -> bool:
        """Does this act only repeat what is known about the very place, and what holds there?"""
        place, whole = (act.channel, act.address), (act.person, act.channel)
        acts = self.at.get(place, ()) if act.address else self.whole.get(whole, ())
        known = standing(acts)
        if known.act is None:
            return act.state == "unknown"
        if known.state == act.state and self.of(act.person, place).state == act.state:
            return act.state != "granted" or not act.evidence or act.at <= known.act.at
        return act in acts

    def due(self, person: int, shown: Sequence[Shown], optins: Collection[Channel]) -> list[Consent]:
        """What must be written to these places so that they say what holds. optins: the channels whose places can say
        that somebody opted in; the others' only that they opted out."""
        return [*self._due(person, shown, optins)]

    def _due(self, person: int, shown: Sequence[Shown], optins: Collection[Channel]) -> Iterator[Consent]:
        for place in shown:
            state, act = self.of(person, (place.channel, place.address))
            if act is None or state == place.state:
                continue
            if state == "withdrawn" and place.state != "undeliverable":
                yield Consent(place.channel, place.address, state, act.at)
            elif state == "granted" and act.evidence and _is_behind(place, optins):
                yield Consent(place.channel, place.address, state, act.at, act.evidence)

    def known(self, person: int, channels: Iterable[Channel], optins: Collection[Channel]) -> list[Consent]:
        """What a new record of this person must be told: opt-outs, and opt-ins with their evidence."""
        places = [
            Shown(channel, address, "unknown")
            for channel in sorted(channels)
            for address in ["", *sorted(self.owns.get((person, channel), ()))]
        ]
        return self.due(person, places, optins)


def _is_behind(place: Shown, optins: Collection[Channel]) -> bool:
    """Has this place not heard of the opt-in? Where the remote asks the person first, told once is told."""
    return place.state == "withdrawn" or (
        place.state == "unknown" and place.channel in optins and place.sent != "granted"
    )


def places(shown: Sequence[Consent], before: Sequence[Shown], eq: Equivalence) -> tuple[Shown, ...]:
    """The places of a record as it shows them now; what we wrote there is remembered from before."""
    sent = {(place.channel, place.address): place.sent for place in before}
    found = [(consent.channel, fold(consent.channel, consent.address, eq), consent.state) for consent in shown]
    return tuple(Shown(channel, address, state, sent.get((channel, address))) for channel, address, state in found)


def turned(before: Sequence[Shown], now: Sequence[Shown]) -> list[Shown]:
    """The places that show something else than before, or are new."""
    old = {place[:2]: place.state for place in before}
    return [place for place in now if old.get(place[:2]) != place.state]


def flips(before: Sequence[Shown], now: Sequence[Shown]) -> bool:
    """Did a place that was there turn into an opt-out, or out of one?"""
    old = {place[:2]: place.state for place in before}
    return any(
        place[:2] in old and (old[place[:2]] == "withdrawn") != (place.state == "withdrawn")
        for place in turned(before, now)
    )


def written(before: Sequence[Shown], answer: Sequence[Shown], wrote: Iterable[Consent]) -> tuple[Shown, ...]:
    """What the record would show after our write if that were all: where we wrote, its answer. Places that it did not
    have before are left out: what they show is news (an opt-out that went along when the address changed)."""
    ours = {(consent.channel, consent.address): consent.state for consent in wrote}
    old = {place[:2]: place for place in before}
    return tuple(
        place._replace(sent=ours[place[:2]]) if place[:2] in ours else old[place[:2]]
        for place in answer
        if place[:2] in ours or place[:2] in old
    )


def as_json(shown: Sequence[Shown]) -> list[Any] | None:
    """The places as a link keeps them."""
    return [list(place) for place in shown] or None


def of_json(stored: list[Any] | None) -> tuple[Shown, ...]:
    """The places that a link keeps."""
    return tuple(Shown(*place) for place in stored or ())
