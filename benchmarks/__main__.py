"""`python -m benchmarks`: measure everything, print a table, write benchmarks/latest.json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import carddav, engine, requests
from benchmarks.figure import Figure

LATEST = Path(__file__).with_name("latest.json")


def main() -> int:
    """0 where every target was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of contacts, smallest first")
    parser.add_argument("--only", choices=["engine", "carddav", "requests"], help="one part")
    parser.add_argument("--runs", type=int, default=3, help="paired runs against vdirsyncer")
    chosen = parser.parse_args()
    console = Console(stderr=True)
    figures = []
    for figure in _figures([int(n) for n in chosen.sizes.split(",")], chosen.only, chosen.runs):
        figures.append(figure)
        console.print(f"[dim]{figure.name} {figure.n:,}: {figure.value:,.3g} {figure.unit}[/]")
    LATEST.write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n")
    _show(figures)
    return 1 if any(figure.held is False for figure in figures) else 0


def _figures(sizes: list[int], only: str | None, runs: int) -> Iterator[Figure]:
    if only in (None, "engine"):
        yield from engine.measure(sizes)
    if only in (None, "carddav"):
        yield from carddav.measure(runs)
    if only in (None, "requests"):
        yield from requests.measure()


def _show(figures: list[Figure]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(header_style="bold", box=None)
    for column in ("figure", "n", "ours", "floor", "unit", "ratio", "target", "", "note"):
        table.add_column(column, justify="right" if column in ("n", "ours", "floor", "ratio") else "left")
    for f in figures:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: ""}[f.held]
        target = f.target if f.held is not None else ""
        table.add_row(
            f.name, f"{f.n:,}", f"{f.value:,.4g}", f"{f.floor:,.4g}", f.unit, f"{f.ratio:.2f}", target, mark, f.note
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
