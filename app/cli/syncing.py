"""Plans and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app.cli.common import FAILED, OK, Json, Names, acting, app, leave, running, say, verdict

if TYPE_CHECKING:
    from app.bootstrap import Application
    from app.cli.ending import Ending
    from app.engine.run import Report


@app.command()
def plan(
    names: Names = None,
    approve: Annotated[bool, typer.Option("--approve", help="Allow the first contact of these connections.")] = False,
    hold: Annotated[list[str] | None, typer.Option("--hold", help="A person (uid) not to be written there.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show every single write.")] = False,
    json: Json = False,
) -> None:
    """Show what a sync would do, without doing it."""
    from app import show
    from app.engine import plan as planning

    if approve:
        with acting("approve_plan", "plans", connections=names or "all", held=len(hold or ())) as application:
            chosen = chosen_names(application, names)
            planning.approve(application.world(), chosen, hold=hold or ())
            again = f"concord sync {' '.join(names or [])}".rstrip()
            say(json, f"Approved: {', '.join(chosen)}.", now=again, approved=chosen)
            return
    with running() as application:
        chosen = chosen_names(application, names)
        with show.progress(json) as tell:
            made = planning.save(application.world(tell), planning.make(application.world(tell), chosen))
    failed = [forecast for forecast in made.forecasts if forecast.failed]
    if json:
        show.as_json(made.as_json())
    else:
        show.plan(made, details=10**9 if all_ else 20)
        new = [f.connection for f in made.forecasts if f.first and not f.failed]
        if new:
            again = " ".join(["concord plan", *(new if failed else names or []), "--approve"])
            show.out.print(show.styled("\nIf this is what you want: [bold]{}[/]", again))
    leave(FAILED if failed else OK)


@app.command()
def sync(
    names: Names = None,
    until_quiet: Annotated[bool, typer.Option("--until-quiet", help="Again, until nothing changes any more.")] = False,
    release: Annotated[bool, typer.Option("--release", help="The deletions that the brake holds are meant.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on for ever, each connection at its interval.")] = False,
    json: Json = False,
) -> None:
    """Sync connections now, both ways."""
    from app import show
    from app.cli.ending import ending
    from app.engine.rounds import sync_all

    doing = acting("release_losses", "connections", connections=names or "all") if release else running()
    with doing as application, ending() as wish:
        chosen = chosen_names(application, names)
        if watch:
            _watch(application, chosen, json, wish)
        with show.progress(json) as tell:
            reports = sync_all(wish.world(application, tell), chosen, until_quiet=until_quiet, release=release)
    if not (wish.told and json):
        show_reports(reports, json)
    wish.check()
    leave(verdict(reports))


def chosen_names(application: Application, names: list[str] | None) -> list[str]:
    from app.engine.run import find
    from app.store import connections as stored

    if names:
        return [find(application.world(), name).name for name in names]
    with application.store.read() as unit:
        found = [connection.name for connection in stored.every(unit)]
    if not found:
        raise LookupError("there are no connections yet; declare them in a file: concord apply FILE.yaml")
    return found


def show_reports(reports: list[Report], json: bool) -> None:
    from app import show

    if json:
        rows = [{"connection": r.connection, "outcome": r.outcome, "message": r.message} for r in reports]
        show.as_json([{**row, **report.tally.as_json()} for row, report in zip(rows, reports, strict=True)])
    else:
        show.reports(reports)


def _watch(application: Application, names: list[str], json: bool, wish: Ending) -> NoReturn:
    """Sync until told to end: each connection at its interval."""
    from app.jobs.schedule import zone_of
    from app.jobs.watch import watch

    for reports in watch(wish.world(application), names, wish.rest, zone_of(application.settings.timezone)):
        show_reports(reports, json)
        wish.check()
    raise AssertionError("a watch does not end")
