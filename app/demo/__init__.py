"""`concord demo`: the main job on real input, visibly, with proof; and made-up people for sandboxes."""

from __future__ import annotations

from typing import Any


def run(count: int, json: bool, real: bool = True) -> int:
    """Play the demo; 0 where every law held, else 1. real: with real servers where they are installed."""
    from app.demo.screen import play

    return play(count, json, real)


def fill(system: str, box: Any, count: int) -> None:
    """Fill a sandbox with made-up people. Raises LookupError where we have none for it."""
    from app.demo.people import people
    from app.demo.rows import fill as fill_box

    fill_box(system, box, people(count))
