"""The demo on a terminal, or as JSON."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.text import Text

from app import show
from app.demo.people import SEATS
from app.demo.story import Story, tell


def play(count: int, json: bool, real: bool) -> int:
    """Play the demo; 0 where every law held, else 1."""
    shown: set[str] = set()
    with _ended_in_order(), show.progress(json) as progress:
        for announcement, story in tell(count, progress, real):
            if not json:
                _show(story, shown)
                if announcement:
                    show.out.print(show.styled("\n[bold cyan]▸[/] [bold]{} …[/]", announcement))
    if json:
        show.as_json(as_json(story))
    return 0 if story.well else 1


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Whoever ends us (a closed terminal, a time limit) ends our servers as well."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, leave) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_json(story: Story) -> dict[str, Any]:
    """All that the demo found out."""
    assert story.plan is not None
    chapters = {name: getattr(story, name) for name in ("arrival", "unsubscribed", "unticked", "conflict", "invoice")}
    return {
        "cast": story.cast,
        "notes": story.notes,
        "plan": story.plan.as_json()["connections"],
        "systems": _systems(story),
        **chapters,
        "laws": [
            {
                "law": law.law,
                "held": law.held,
                "compared": law.compared,
                "seen": law.seen,
                "failures": list(law.failures),
            }
            for law in story.laws
        ],
        "well": story.well,
    }


def _systems(story: Story) -> list[dict[str, Any]]:
    rows = []
    for name in SEATS:
        tallies = [report.tally for report in story.first + story.after if report.connection == name]
        rows.append(
            {
                "system": name,
                "contacts": story.contacts[name],
                "writes": sum(tally.writes for tally in tallies),
                "requests": sum(tally.requests for tally in tallies),
                "seconds": round(sum(tally.seconds for tally in tallies), 2),
            }
        )
    return rows


# --- chapters --------------------------------------------------------------------------------------------------------


def tell_all(story: Story) -> None:
    """Every chapter, one after the other."""
    _show(story, set())


def _show(story: Story, shown: set[str]) -> None:
    """Show the chapters that are new."""
    chapters = {
        "cast": _cast,
        "plan": _plan,
        "first": _first,
        "arrival": _arrival,
        "unsubscribed": _unsubscribed,
        "unticked": _unticked,
        "conflict": _conflict,
        "invoice": _invoice,
        "laws": _laws,
    }
    for name, chapter in chapters.items():
        if getattr(story, name) and name not in shown:
            shown.add(name)
            chapter(story)


def _say(words: str, *values: object) -> None:
    """Words in our markup, with values as they are."""
    show.out.print(show.styled(words, *values))


def _mark(held: bool) -> Text:
    return show.STATES["well" if held else "ill"]


def _marks(found: dict[str, bool]) -> Text:
    return Text(", ").join(Text(f"{name} ") + _mark(there) for name, there in found.items())


def _cast(story: Story) -> None:
    for note in story.notes:
        show.warn(f"{note}; a sandbox plays its part")
    rows = [
        [
            seat["system"],
            f"real {seat['is']}" if seat["real"] else f"{seat['is']} in a box",
            seat["people"],
            seat["who"],
        ]
        for seat in story.cast
    ]
    show.table(None, ["connection", "is", "people", "who"], rows, numbers=["people"])


def _plan(story: Story) -> None:
    """Of every connection something, updates first: they say more than creates."""
    assert story.plan is not None
    nth: Counter[str] = Counter()
    order = []
    for item in sorted(story.plan.items, key=lambda item: item.action != "update"):
        order.append((nth[item.connection], item))
        nth[item.connection] += 1
    items = [item for _, item in sorted(order, key=lambda ranked: ranked[0])]
    show.plan(replace(story.plan, items=items), details=len(SEATS))


def _first(story: Story) -> None:
    if any(report.outcome != "done" for report in story.first):
        show.reports(story.first)
        return
    columns = {"pulled": "read", "people": "new", "linked": "known", "created": "created", "written": "updated"}
    columns |= {"conflicts": "clashes", "requests": "requests"}
    rows = []
    for name in SEATS:
        tallies = [report.tally for report in story.first if report.connection == name]
        counts = [sum(getattr(tally, key) for tally in tallies) for key in columns]
        rows.append([name, *counts, f"{sum(tally.seconds for tally in tallies):.2f}"])
    heads = [*columns.values(), "seconds"]
    show.table(None, ["connection", *heads], rows, numbers=heads)


def _arrival(story: Story) -> None:
    facts = story.arrival
    _say("{}: {} → {}", facts["name"], facts["before"], facts["number"])
    show.out.print(Text("Now in ") + _marks(facts["arrived"]))


def _unsubscribed(story: Story) -> None:
    facts = story.unsubscribed
    _say("{}, {}", facts["name"], facts["address"])
    show.out.print(Text("The box “no e-mail” is ticked in ") + _marks(facts["heard"]))
    edit = "arrived" if facts["edit_arrived"] else "did not arrive"
    _say("Their new firm, “{}”, {} in Mailchimp: [bold]{}[/] still", facts["edit"], edit, facts["status"])


def _unticked(story: Story) -> None:
    facts = story.unticked
    again = _marks(facts["ticked_again"])
    show.out.print(Text(f"{facts['name']} did not ask for mail again: ticked again in ") + again)


def _conflict(story: Story) -> None:
    clash = story.conflict
    if clash["kept"] is None:
        _say("[red]✗[/] The conflict was not noticed.")
        return
    titles = {" / ".join(map(str, there)) for there in clash["now"].values()}
    now = " or ".join(f"“{title}”" for title in sorted(titles))
    _say("{}: “{}” or “{}”?", clash["name"], clash["ours"], clash["theirs"])
    _say("The journal keeps both; the newest wins: {} show\n{}", ", ".join(clash["now"]), now)


def _invoice(story: Story) -> None:
    facts = story.invoice
    _say("[bold]{}[/]  [dim]{}[/]\nIn {}", facts["name"], facts["person"][:8], ", ".join(facts["links"]))
    show.purchases(facts["purchases"])


def _laws(story: Story) -> None:
    columns = ["system", "contacts", "writes", "requests", "seconds"]
    show.table(None, columns, [[*row.values()] for row in _systems(story)], numbers=columns[1:])
    for law in story.laws:
        show.out.print(_mark(law.held) + show.styled(" {}\n  [dim]{}[/]", law.law, law.seen))
        for failure in law.failures:
            _say("    [red]{}[/]", failure)
    _say("\n[bold green]Every law held.[/]" if story.well else "\n[bold red]Something failed.[/]")
