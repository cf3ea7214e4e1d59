"""`concord demo`: the main job on real input, visibly, with proof; and made-up people for sandboxes."""

from __future__ import annotations

from typing import Any

from app.demo.people import google_people, people, vcards, vtiger_rows
from app.demo.story import NAMES, Story, tell


def run(count: int, json: bool) -> int:
    """Play the demo; 0 where every law held, else 1."""
    from app import show

    def say(line: str) -> None:
        if not json:
            show.out.print(f"\n[bold cyan]▸[/] [bold]{line}[/]")

    with show.progress(json) as progress:
        story = tell(count, say, progress)
    if json:
        show.as_json(_as_json(story))
    else:
        _show(story)
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


def _show(story: Story) -> None:
    from app import show

    assert story.plan is not None
    show.plan(story.plan, details=6)
    show.out.print("\n[bold]The first sync[/]")
    show.reports(story.first)
    arrived = ", ".join(f"{name} {'✓' if there else '✗'}" for name, there in story.arrival["arrived"].items())
    show.out.print(f"\nThe new number {story.arrival['number']} arrived: {arrived}")
    clash = story.conflict
    show.out.print(
        f"Both titles are kept: “{clash['ours']}” and “{clash['theirs']}”; the policy (newest) chose {clash['kept']}. "
        f"Now: {', '.join(f'{name} {titles[0]}' for name, titles in clash['now'].items() if titles)}"
    )
    columns = ["system", "contacts", "writes", "requests", "seconds"]
    rows = [[*row.values()] for row in _systems(story)]
    show.out.print()
    show.table("Altogether", columns, rows, numbers=columns[1:])
    show.out.print()
    for law in story.laws:
        show.out.print(f"{'[green]✓[/]' if law.held else '[red]✗[/]'} {law.law} [dim]({law.seen})[/]")
    show.out.print("\n[bold green]Every law held.[/]" if story.well else "\n[bold red]A law failed.[/]")
