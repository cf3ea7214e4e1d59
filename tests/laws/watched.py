"""A remote that remembers what people did at its screen, and tells of every write of ours before it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.card import Card
from connectors.memory import MemoryRemote, Profile, Write


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did to a record at the screen: as it was shown, as they saved it, and as it is shown since; empty
    where there was, or is, no record."""

    before: Card
    saved: Card
    after: Card


@dataclass(frozen=True, slots=True)
class Written:
    """A write of ours, and what our books said of it at that moment. link: the state of the record's link; None: it had
    none. person: the state of whose record it is, or who is to be made there; None: nobody. card: theirs."""

    at: str
    write: Write
    link: str | None = None
    person: str | None = None
    card: Card = field(default_factory=dict)


class Watched(MemoryRemote):
    """deeds: what was done here by people. tell: hears of the writes of each request. lied: it showed the past undated,
    and had not said that it does; that looks like people undoing what they did."""

    def __init__(self, profile: Profile, now: Callable[[], Any], tell: Callable[[Sequence[Write]], None]) -> None:
        super().__init__(profile, now)
        self.deeds: list[Deed] = []
        self.tell = tell
        self.lied = False

    def add(self, card: Card) -> str:
        record = super().add(card)
        self.deeds.append(Deed({}, card, self.card(record) or {}))
        return record

    def edit(self, record_id: str, card: Card) -> None:
        before = self.card(record_id) or {}
        super().edit(record_id, card)
        self.deeds.append(Deed(before, card, self.card(record_id) or {}))

    def remove(self, record_id: str) -> None:
        before = self.card(record_id) or {}
        super().remove(record_id)
        self.deeds.append(Deed(before, {}, {}))

    def send(self, secret: str, writes: Sequence[Write]) -> Any:
        self.tell(writes)
        return super().send(secret, writes)
