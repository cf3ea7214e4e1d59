"""The table of docs/figures.md. What a sync costs in requests is on the page of connectors, and tested there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.figure import Figure

PAGE: Final = Path(__file__).parents[1] / "docs" / "figures.md"
HEAD: Final = (
    "| figure | n | measured | floor | ratio | target | note |\n| --- | ---: | ---: | ---: | ---: | --- | --- |\n"
)
ROWS: Final = re.compile(rf"(?<={re.escape(HEAD)})(?:\|.*\n)*")


def rewritten(text: str, figures: Sequence[Figure]) -> str:
    """The page with these figures in place of what it tells of the same; what was not measured stays."""
    new = {figure.name for figure in figures}

    def table(found: re.Match[str]) -> str:
        kept = [line for line in found[0].splitlines() if line.split("|")[1].strip() not in new]
        made = [_row(figure) for figure in figures if not figure.name.startswith("requests_")]
        return "".join(f"{line}\n" for line in [*kept, *made])

    return ROWS.sub(table, text)


def _row(figure: Figure) -> str:
    value, floor = (f"{_short(number)} {figure.unit}" for number in (figure.value, figure.floor))
    target = f"{figure.target}: {'held' if figure.held else 'missed'}" if figure.held is not None else ""
    cells = (figure.name, f"{figure.n:,}", value, floor, _short(figure.ratio), target, figure.note)
    return f"| {' | '.join(cells)} |"


def _short(number: float) -> str:
    """Three digits that count."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
