"""A measured figure and what it is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measurement.

    n: how many contacts. value, floor: in `unit`. ratio: value / floor as the target means it. target: in words. held:
    whether it was met (None: only to show how it grows).
    """

    name: str
    n: int
    value: float
    unit: str
    floor: float
    ratio: float
    target: str = ""
    held: bool | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        return {key: round(item, 4) if isinstance(item, float) else item for key, item in found.items()}
