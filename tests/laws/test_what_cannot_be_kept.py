"""Records whose id, version or memory no database takes: each is set aside with its reason, and spoils nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from steps import Add, play
from world import LawWorld

from app.store import people, runs
from connectors.contract import Page, Record
from connectors.memory import MemoryConnector


def _garbled(world: LawWorld, at: str, garble: Callable[[Record], Record]) -> None:
    """This remote's connector shows its records so."""

    class Garbled(MemoryConnector):
        def _record(self, state: Any) -> Record:
            return garble(super()._record(state))

    remote = world.remotes[at]
    world.connect = lambda it, context: (Garbled if it is remote else MemoryConnector)(it, context)  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"id": "r\0one"}, "NUL"),
        ({"id": "\ud800"}, "surrogate"),
        ({"id": ""}, "empty"),
        ({"id": "r" * 600}, "600 characters"),
        ({"version": "v\0"}, "NUL"),
        ({"raw": {"memory": "\udfff"}}, "surrogate"),
    ],
    ids=["nul", "half a character", "none", "long", "version", "memory"],
)
def test_a_record_that_cannot_be_kept_is_set_aside_and_spoils_nothing(wrong: dict[str, Any], words: str) -> None:
    world = LawWorld()
    play(world, [Add("book"), Add("book")])
    first = world.records("book")[0]
    _garbled(world, "book", lambda record: replace(record, **wrong) if record.id == first else record)
    world.run("book")
    assert len(world.look(people.search)) == 1
    (refusal,) = world.look(runs.refusals)
    assert words in refusal.reason


def test_a_listed_id_that_cannot_be_kept_is_set_aside_and_spoils_nothing() -> None:
    class Listing(MemoryConnector):
        def changes(self, cursor: Any) -> Iterator[Page]:
            for page in super().changes(cursor):
                yield replace(page, listed={**page.listed, "bad\0id": "v1"})

    world = play(LawWorld(), [Add("list")])
    world.connect = lambda remote, context: (Listing if remote is world.remotes["list"] else MemoryConnector)(  # type: ignore[assignment]
        remote, context
    )
    assert world.run("list").outcome == "done"
    assert len(world.look(people.search)) == 1
    assert "NUL" in world.look(runs.refusals)[0].reason
