"""Two records that a remote made one: nothing is deleted elsewhere for it, nothing is made anew, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from laws import silent
from steps import Add, Edit, Rename, Settle, play
from world import LawWorld

from app.store import links
from connectors.contract import Outcome, Page, Push, Record
from connectors.memory import MemoryConnector


def merging(world: LawWorld, winner: str, loser: str) -> None:
    """The address book's own users join two records: the loser is gone, the winner goes under both ids."""

    class Merging(MemoryConnector):
        def changes(self, cursor: Any) -> Iterator[Page]:
            for page in super().changes(cursor):
                yield replace(page, records=[self._also(record) for record in page.records])

        def _also(self, record: Record) -> Record:
            return replace(record, aliases=[loser]) if record.id == winner else record

    book = world.remotes["book"]
    world.connect = lambda remote, context: (Merging if remote is book else MemoryConnector)(remote, context)  # type: ignore[assignment]


def test_two_persons_whose_records_became_one_live_on_elsewhere() -> None:
    world = play(LawWorld(), [Add("book"), Settle(), Add("book"), Settle()])
    [winner, loser] = world.records("book")
    merging(world, winner, loser)
    play(world, [Rename("book", "given")])
    world.remotes["book"].remove(loser)
    for _ in range(3):
        world.round()
    silent(world)
    assert len(world.records("book")) == 1, "and the loser is not made anew"
    assert len(world.records("crm")) == len(world.records("list")) == 2, "nobody deleted anybody"
    held = world.look(lambda unit: links.load(unit, world.ids["book"], [winner, loser]))
    states = {link.remote_id: link.state for link in held.values()}
    assert states == {winner: "live", loser: "gone"}


def test_a_write_that_gives_the_record_another_id_keeps_the_link() -> None:
    """An e-mail address is the id in some mailing tools, and an edit moves the record."""

    class Moving(MemoryConnector):
        names: dict[str, str] = {}  # noqa: RUF012

        def _batch(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
            there = {new: old for old, new in self.names.items()}
            held = [
                replace(p, held=replace(p.held, id=there.get(p.held.id, p.held.id))) if p.held else p for p in pushes
            ]
            for outcome in super()._batch(held):
                record = outcome.record
                if record is not None and any(push.held and push.ref == outcome.ref for push in pushes):
                    self.names[record.id] = f"{record.id}-moved"
                yield replace(outcome, record=record and self._named(record))

        def _record(self, state: Any) -> Record:
            return self._named(super()._record(state))

        def _named(self, record: Record) -> Record:
            name = self.names.get(record.id)
            return replace(record, id=name, aliases=[record.id]) if name else record

        def read(self, ids: Sequence[str]) -> Iterator[Record]:
            there = {new: old for old, new in self.names.items()}
            return super().read([there.get(key, key) for key in ids])

    world = play(LawWorld(), [Add("book", ("notes",)), Settle()])
    Moving.names = {}
    book = world.remotes["book"]
    world.connect = lambda remote, context: (Moving if remote is book else MemoryConnector)(remote, context)  # type: ignore[assignment]
    play(world, [Edit("crm", "value", "notes")])
    for _ in range(3):
        world.round()
    silent(world)
    held = world.look(lambda unit: links.of_people(unit, [1], connection=world.ids["book"], state=None))
    assert [(link.remote_id, link.state) for link in held] == [("r1-moved", "live")]
