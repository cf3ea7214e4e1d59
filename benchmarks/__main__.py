"""`python -m benchmarks`: measure everything, print a table, write benchmarks/latest.json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import api, carddav, engine, latency, page, requests, throughput
from benchmarks.figure import Figure

LATEST = Path(__file__).with_name("latest.json")
DAEMON = ("latency", "api", "throughput")
"""The parts that measure the daemon: `--only daemon` is all of them."""


def main() -> int:
    """0 where every target was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of contacts, smallest first")
    parser.add_argument("--only", choices=["engine", "carddav", "requests", "daemon", *DAEMON], help="one part")
    parser.add_argument("--runs", type=int, default=5, help="paired runs against vdirsyncer")
    parser.add_argument("--page", action="store_true", help="write the table of docs/figures.md as well")
    chosen = parser.parse_args()
    console = Console(stderr=True)
    figures = []
    parts = _parts([int(n) for n in chosen.sizes.split(",")], chosen.runs)
    for name in DAEMON if chosen.only == "daemon" else [chosen.only] if chosen.only else parts:
        for figure in parts[name]():
            figures.append(figure)
            console.print(f"[dim]{figure.name} {figure.n:,}: {figure.value:,.3g} {figure.unit}[/]")
    _keep(figures)
    if chosen.page:
        page.PAGE.write_text(page.rewritten(page.PAGE.read_text(), figures))
    _show(figures)
    return 1 if any(figure.held is False for figure in figures) else 0


def _parts(sizes: list[int], runs: int) -> Mapping[str, Callable[[], Iterator[Figure]]]:
    """What is measured, by name, at these sizes. Of the daemon's the latency is measured with the smallest of them."""
    return {
        "engine": lambda: engine.measure(sizes),
        "carddav": lambda: carddav.measure(runs),
        "requests": requests.measure,
        "latency": lambda: latency.measure(sizes[0], min(latency.CHANGES, sizes[0])),
        "api": lambda: api.measure(sizes),
        "throughput": lambda: throughput.measure(min(throughput.PEOPLE, sizes[0])),
    }


def _keep(figures: Sequence[Figure]) -> None:
    """In the file, in place of what was measured of the same before; what was not measured now stays."""
    new = {figure.name for figure in figures}
    before = json.loads(LATEST.read_text()) if LATEST.exists() else []
    old = [row for row in before if row["name"] not in new]
    LATEST.write_text(json.dumps([*old, *(figure.as_json() for figure in figures)], indent=1) + "\n")


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
