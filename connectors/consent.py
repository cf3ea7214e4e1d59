"""What a remote shows about whether a person may be contacted, and over which way. Never part of the card.

    granted        the person said yes
    pending        asked, and not answered yet (a double opt-in mail is out)
    unknown        never asked: in the list, but no word from the person
    undeliverable  the address does not work (hard bounce); says nothing about what the person wants
    withdrawn      the person said no

A flag that can only be on or off ("email opt out") shows `withdrawn` when it is on and `unknown` when it is off: that
nobody objected is no consent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from connectors.card import email_key, phone_key

Channel = Literal["email", "phone", "sms", "post"]
ConsentState = Literal["granted", "pending", "unknown", "undeliverable", "withdrawn"]

CHANNELS: Final[tuple[Channel, ...]] = ("email", "phone", "sms", "post")


@dataclass(frozen=True, slots=True)
class Consent:
    """One place of a record that says whether its person may be contacted.

    address: the e-mail address or number it is about, as the remote writes it; "" where the place is about the person's
        whole channel ("do not call"), whatever the address.
    at: when the person (or who acted for them) said so, aware, where the remote knows; None: unknown.
    evidence: what proves that the person did it themselves ({"ip": …, "timestamp": …, "form": …}); empty where nothing
        does. Only with evidence can a `granted` stand against an older `withdrawn`.
    reason: why, in the remote's words ("hard bounce", "unsubscribe link"), for people to read.
    """

    channel: Channel
    address: str
    state: ConsentState
    at: datetime | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def place(self) -> tuple[Channel, str]:
        """What this is about, comparable: channel and folded address."""
        return self.channel, place_key(self.channel, self.address)


def place_key(channel: Channel, address: str) -> str:
    """The folded form of a consent's address: however it is written, it is one address. "" stays ""."""
    if not address:
        return ""
    return email_key(address) if channel == "email" else phone_key(address)


def shown(consents: Iterable[Consent], channel: Channel, address: str = "") -> ConsentState:
    """What these say about one place; `unknown` where they say nothing."""
    place = channel, place_key(channel, address)
    return next((consent.state for consent in consents if consent.place == place), "unknown")
