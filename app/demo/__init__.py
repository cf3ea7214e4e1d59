"""`concord demo`: the main job on real input, visibly, with proof; and made-up people for sandboxes."""

from __future__ import annotations

from typing import Any

from app.demo.people import google_people, people, vcards, vtiger_rows
from app.demo.story import NAMES, Story, tell


def run(count: int, json: bool) -> int:
    """Play the demo; 0 where every law held, else 1."""
    from app import show

    shown: set[str] = set()
    with show.progress(json) as progress:
        for announcement, story in tell(count, progress):
            if not json:
                _show(story, shown)
                if announcement:
                    show.out.print(f"\n[bold cyan]▸[/] [bold]{announcement} …[/]")
    if json:
        show.as_json(_as_json(story))
    return 0 if story.well else 1


def fill(system: str, box: Any, count: int) -> None:
    """Fill a sandbox with made-up people. Raises LookupError where we have none for it."""
    makers = {"vtiger": vtiger_rows, "google": google_people, "carddav": vcards}
    if system not in makers:
        raise LookupError(f"there are no made-up people for {system}")
    box.seed([*makers[system](people(count))])


def _as_json(story: Story) -> dict[str, Any]:
    assert story.plan is not None
    return {
        "plan": story.plan.as_json()["connections"],
        "systems": _systems(story),
        "arrival": story.arrival,
        "conflict": story.conflict,
        "laws": [{"law": law.law, "held": law.held, "seen": law.seen} for law in story.laws],
        "well": story.well,
    }


def _systems(story: Story) -> list[dict[str, Any]]:
    rows = []
    for name in NAMES:
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


def _show(story: Story, shown: set[str]) -> None:
    """Show the chapters that are new."""
    chapters = {
        "plan": _plan,
        "first": _first,
        "arrival": _arrival,
        "conflict": _conflict,
        "laws": _laws,
    }
    for name, chapter in chapters.items():
        if getattr(story, name) and name not in shown:
            shown.add(name)
            chapter(story)


def _plan(story: Story) -> None:
    from app import show

    assert story.plan is not None
    show.plan(story.plan, details=6)


def _first(story: Story) -> None:
    from app import show

    show.reports(story.first)


def _arrival(story: Story) -> None:
    from app import show

    arrived = ", ".join(f"{name} {'✓' if there else '✗'}" for name, there in story.arrival["arrived"].items())
    show.out.print(f"The new number {story.arrival['number']} is in: {arrived}")


def _conflict(story: Story) -> None:
    from app import show

    clash = story.conflict
    now = ", ".join(f"{name} “{' / '.join(titles)}”" for name, titles in clash["now"].items())
    show.out.print(
        f"Both are kept in the journal: “{clash['ours']}” and “{clash['theirs']}”. The policy, newest, chose "
        f"{clash['kept']}.\nNow: {now}"
    )


def _laws(story: Story) -> None:
    from app import show

    columns = ["system", "contacts", "writes", "requests", "seconds"]
    rows = [[*row.values()] for row in _systems(story)]
    show.table(None, columns, rows, numbers=columns[1:])
    for law in story.laws:
        mark = "[green]✓[/]" if law.held else "[red]✗[/]"
        show.out.print(f"{mark} {law.law} [dim]({law.seen})[/]", soft_wrap=True)
    verdict = "[bold green]Every law held.[/]" if story.well else "[bold red]A law failed.[/]"
    show.out.print(f"\n{verdict}")
