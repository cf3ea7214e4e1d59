"""`concord` on the command line. Every command says what it did, has `--json` where programs read, and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from app.bootstrap import Application
    from app.engine.run import Report

OK: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
WAITING: Final = 3
SET_ASIDE: Final = 4
PAUSED: Final = 5
INTERRUPTED: Final = 130

app = typer.Typer(
    name="concord",
    help="One true card per person, and every system of your business in step with it, both ways.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
connections_app = typer.Typer(help="The configured accounts: list them, or act on one.", invoke_without_command=True)
people_app = typer.Typer(help="The persons: list, show, edit.", invoke_without_command=True)
conflicts_app = typer.Typer(help="Values that both sides changed: list, resolve.", invoke_without_command=True)
app.add_typer(connections_app, name="connections")
app.add_typer(people_app, name="people")
app.add_typer(conflicts_app, name="conflicts")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Names = Annotated[list[str] | None, typer.Argument(help="Connections; all of them by default.", metavar="[NAME]...")]
Name = Annotated[str, typer.Argument(help="A connection.")]


def main() -> None:
    """The console script. Nobody ever sees a traceback for something that they can mend."""
    gc.disable()  # until all is imported (bootstrap.relax_gc): looking for cycles meanwhile is a tenth of a start
    try:
        app()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; what was committed stays, the rest is done by the next run\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Tell an error in words; its exit code. What is our own fault is raised on."""
    from app import show

    for kinds, code in _reactions():
        if isinstance(error, kinds):
            show.complain(error)
            return code
    raise error


def _reactions() -> Iterator[tuple[tuple[type[Exception], ...], int]]:
    from app.bootstrap import BadConnection
    from app.configure import BadFile
    from app.engine.resolve import Outdated
    from app.engine.run import Busy
    from app.engine.world import Unusable
    from app.secrets import BadKey
    from app.settings import BadSettings
    from app.store.store import StoreFull, Unopenable
    from connectors.errors import Error, Unauthorised
    from connectors.registry import UnknownSystem
    from migrations import WrongVersion

    yield (Unauthorised,), PAUSED
    yield (BadFile, BadSettings, BadConnection, UnknownSystem), BAD_INPUT
    yield (LookupError, ValueError, FileNotFoundError, IsADirectoryError, PermissionError), BAD_INPUT
    yield (Error, Unusable, BadKey, StoreFull, Unopenable, WrongVersion, Outdated, Busy, OSError), FAILED


@contextmanager
def running() -> Iterator[Application]:
    """The application, for one command."""
    from app.bootstrap import start

    application = start()
    try:
        yield application
    finally:
        application.store.close()


def _say(json: bool, text: str, **facts: Any) -> None:
    """What was done: a line for a person, or the facts for a program."""
    from app import show

    show.as_json(facts) if json else show.out.print(text, soft_wrap=True)


def _leave(code: int) -> NoReturn:
    raise typer.Exit(code)


# --- connections


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="YAML with `connections:`.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the file.")] = False,
    json: Json = False,
) -> None:
    """Make the connections as a YAML file declares them. The file is checked whole before anything is touched."""
    from app import configure, show

    declared = configure.read(file, os.environ)
    if dry_run:
        found = [{"name": d.entry.name, "system": d.entry.system} for d in declared]
        show.as_json(found) if json else show.out.print(f"{file} is well: {len(found)} connections")
        return
    with running() as application:
        done = configure.apply(application, declared)
    if json:
        show.as_json([{"name": d.name, "system": d.system, "what": d.what} for d in done])
        return
    show.table(None, ["connection", "system", ""], [[d.name, d.system, d.what] for d in done])
    for d in done:
        if d.what == "reset":
            waits = " and waits for your approval" if d.approve == "ask" else ""
            show.out.print(f"[yellow]![/] {d.name}: another account: it starts over{waits}", soft_wrap=True)
    if any(d.what in ("created", "reset") for d in done):
        show.out.print("See what a first sync would do: [bold]concord plan[/]")


@connections_app.callback()
def connections(context: typer.Context, json: Json = False) -> None:
    """List the connections and how they are."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.engine.world import policy_of
    from app.store import connections as stored
    from app.store import links, outbox, runs

    with running() as application, application.store.read() as unit:
        latest = runs.latest(unit)
        rows = []
        for c in stored.every(unit):
            last = latest.get(c.id)
            rows.append(
                {
                    "name": c.name,
                    "system": c.system,
                    "state": c.state,
                    "every": c.schedule,
                    "policy": show.policy(policy_of(c.policy)),
                    "records": links.count(unit, c.id),
                    "owed": outbox.count(unit, c.id, "owed"),
                    "aside": outbox.count(unit, c.id, "aside"),
                    "last run": last.started if last else None,
                    "outcome": last.outcome if last else None,
                    "reason": c.reason or (last.message if last else None),
                }
            )
    if json:
        show.as_json(rows)
    elif not rows:
        show.out.print("No connections yet. Declare them in a file: [bold]concord apply FILE.yaml[/]")
    else:
        columns = [name for name in rows[0] if name != "reason"]
        show.table(None, columns, [[row[c] for c in columns] for row in rows], numbers=["records", "owed", "aside"])
        for row in rows:
            if row["reason"]:
                show.out.print(f"[yellow]![/] {row['name']}: {row['reason']}", soft_wrap=True)


@connections_app.command()
def check(name: Name, json: Json = False) -> None:
    """Ask a connection's remote who we are and what is possible there."""
    from app import show
    from app.engine.run import find, session_for
    from app.engine.world import Tally

    with running() as application:
        world = application.world()
        with session_for(world, find(world, name), Tally()) as session:
            account = session.connector.check()
    if json:
        show.as_json({"label": account.label, "notes": [*account.notes], "clock": account.clock})
        return
    show.out.print(f"[green]✓[/] {account.label}")
    for note in account.notes:
        show.out.print(f"  {note}")


@connections_app.command()
def pause(name: Name, json: Json = False) -> None:
    """Leave a connection alone until it is resumed. What happens meanwhile is owed to it then."""
    _set_state(name, "paused", "paused by hand", json)


@connections_app.command()
def resume(name: Name, json: Json = False) -> None:
    """Let a paused connection run again."""
    _set_state(name, "active", None, json)


def _set_state(name: str, state: Literal["active", "paused"], reason: str | None, json: bool) -> None:
    from app.engine.run import find
    from app.store import connections as stored

    with running() as application:
        connection = find(application.world(), name)
        if connection.state == "new":
            raise ValueError(f"{name} has not had its first contact yet: concord plan {name}")
        with application.store.begin(durable=True) as unit:
            stored.update(unit, connection.id, state=state, reason=reason)
    _say(json, f"{name} is {state}", name=name, state=state)


@connections_app.command()
def remove(
    name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: Json = False
) -> None:
    """Forget a connection and its links. No contact is deleted, neither here nor there."""
    from app.engine.run import find
    from app.store import connections as stored

    with running() as application:
        connection = find(application.world(), name)
        if not yes:
            typer.confirm(f"Forget {name} and which of its records is whom?", abort=True)
        with application.store.begin(durable=True) as unit:
            stored.remove(unit, connection.id)
    _say(json, f"{name} is forgotten", name=name, state="forgotten")


@connections_app.command()
def retry(name: Name, json: Json = False) -> None:
    """Try again everything that was set aside in a connection."""
    from app.engine import resolve

    with running() as application:
        number = resolve.retry(application.world(), name)
    _say(json, f"{number} contacts will be tried again by: concord sync {name}", name=name, contacts=number)


@connections_app.command()
def consent(name: Name, json: Json = False) -> None:
    """Give a connection the right to your account there (OAuth), in the browser."""
    from app import show
    from app.configure import consented
    from app.engine.run import find
    from connectors import loopback, registry

    with running() as application:
        connection = find(application.world(), name)
        system = registry.system(connection.system)
        if system.oauth is None:
            raise ValueError(f"{connection.system} needs no consent; its credentials are in its settings")

        def ask(link: str) -> str:
            show.err.print(f"Open this address and allow access:\n\n  {link}\n", soft_wrap=True)
            answer: str = typer.prompt("Then paste the address you were sent to (or the code)", err=True)
            return answer

        settings = application.connector_settings(system, connection)
        granted = loopback.consent(system.oauth, settings.model_dump(), ask, application.context())
        another = consented(application, connection, granted)
    again = f"If it was paused: concord connections resume {name}"
    if another:
        again = f"It is another account than before, so it starts over: concord plan {name}"
    _say(json, f"{name} may use your account now. {again}", name=name, consented=True, reset=another)


# --- plans and runs


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

    with running() as application:
        chosen = _names(application, names)
        if approve:
            planning.approve(application.world(), chosen, hold=hold or ())
            again = f"concord sync {' '.join(names or [])}".rstrip()
            _say(json, f"Approved: {', '.join(chosen)}. Now: [bold]{again}[/]", approved=chosen)
            return
        with show.progress(json) as tell:
            made = planning.save(application.world(tell), planning.make(application.world(tell), chosen))
    if json:
        show.as_json(made.as_json())
        return
    show.plan(made, details=10**9 if all_ else 20)
    if any(f.first for f in made.forecasts):
        show.out.print(f"\nIf this is what you want: [bold]concord plan {' '.join(names or [])} --approve[/]")


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
    from app.engine.run import sync_all

    with running() as application:
        chosen = _names(application, names)
        if watch:
            _watch(application, chosen, json)
        with show.progress(json) as tell:
            reports = sync_all(application.world(tell), chosen, until_quiet=until_quiet, release=release)
    _show_reports(reports, json)
    _leave(_verdict(reports))


def _names(application: Application, names: list[str] | None) -> list[str]:
    from app.engine.run import find
    from app.store import connections as stored

    if names:
        return [find(application.world(), name).name for name in names]
    with application.store.read() as unit:
        found = [connection.name for connection in stored.every(unit)]
    if not found:
        raise LookupError("there are no connections yet; declare them in a file: concord apply FILE.yaml")
    return found


def _show_reports(reports: list[Report], json: bool) -> None:
    from app import show

    if json:
        rows = [{"connection": r.connection, "outcome": r.outcome, "message": r.message} for r in reports]
        show.as_json([{**row, **report.tally.as_json()} for row, report in zip(rows, reports, strict=True)])
    else:
        show.reports(reports)


def _verdict(reports: list[Report]) -> int:
    """The exit code of what the last runs came to."""
    last = {report.connection: report for report in reports}
    outcomes = {report.outcome for report in last.values()}
    if outcomes & {"failed", "busy"}:
        return FAILED
    if "paused" in outcomes:
        return PAUSED
    if outcomes & {"waiting", "held"}:
        return WAITING
    return SET_ASIDE if any(report.tally.aside or report.tally.refused for report in reports) else OK


def _watch(application: Application, names: list[str], json: bool) -> NoReturn:
    """Sync for ever: each connection at its interval."""
    import time

    from app.jobs.watch import watch

    for reports in watch(application.world(), names, time.sleep):
        _show_reports(reports, json)
    raise AssertionError("a watch does not end")


# --- files


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="vCard, CSV, TSV, XLSX or JSContact JSON.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each column becomes and which rows fail.")
    ] = False,
    name: Annotated[str | None, typer.Option("--as", help="Name of the source; by default, of the file.")] = None,
    column: Annotated[list[str] | None, typer.Option("--column", help='"HEADER=PLACE": what a column is.')] = None,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="The file is everybody: who is missing was deleted.")
    ] = False,
    json: Json = False,
) -> None:
    """Take people in from a file. The same file again changes nothing; an edited one brings its edits."""
    from app import show
    from app.filing import describe_file, import_file

    columns = _columns(column or [])
    if dry_run:
        inspection = describe_file(file, columns)
        show.as_json(inspection) if json else show.inspection(inspection)
        return
    with running() as application, show.progress(json) as tell:
        report, refusals = import_file(application, file, name, columns, snapshot=snapshot, progress=tell)
    if json:
        show.as_json(
            {"connection": report.connection, "outcome": report.outcome, "message": report.message}
            | report.tally.as_json()
            | {"refused_rows": refusals}
        )
    else:
        show.reports([report])
        show.refusals(refusals)
    _leave(_verdict([report]))


def _columns(given: list[str]) -> dict[str, str]:
    chosen = {}
    for text in given:
        header, equals, place = text.partition("=")
        if not equals:
            raise ValueError(f'--column {text}: write it as "HEADER=PLACE", for example "Handy=phones/mobile"')
        chosen[header] = place
    return chosen


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to: .vcf, .csv, .xlsx or .json tells the format.")],
    format_: Annotated[str | None, typer.Option("--format", help="vcard, csv, xlsx or jscontact.")] = None,
    search: Annotated[str, typer.Option("--search", help="Only people with this in their name, or this address.")] = "",
    json: Json = False,
) -> None:
    """Write people to a file."""
    from app import show
    from app.filing import export_file

    with running() as application, show.progress(json) as tell:
        written = export_file(application, file, format_, search, tell)
    if json:
        show.as_json({"file": str(file), "people": written.contacts, "left_out": written.left_out})
        return
    show.out.print(f"{written.contacts:,} people → {file}")
    for what, number in sorted(written.left_out.items()):
        show.out.print(f"[yellow]![/] {what}: {number:,} people")


# --- people and conflicts


@people_app.callback()
def people(
    context: typer.Context,
    search: Annotated[str, typer.Option("--search", "-s", help="Part of the name, or an address or number.")] = "",
    archived: Annotated[bool, typer.Option("--archived", help="Those who were deleted.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """List people."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.store import people as stored

    with running() as application, application.store.read() as unit:
        found = stored.search(unit, search, state="archived" if archived else "live", limit=limit)
    if json:
        show.as_json([{"uid": p.uid, "rev": p.rev, "state": p.state, "card": p.card} for p in found])
    else:
        show.table(None, ["uid", "name", "e-mail", "phone", "organisation"], [show.person_row(p) for p in found])


@people_app.command("show")
def show_person(
    uid: Annotated[str, typer.Argument(help="The person's uid, or its beginning.")], json: Json = False
) -> None:
    """Show a person: the card, where it is linked, and everything that happened to it."""
    from app import show
    from app.store import connections as stored
    from app.store import journal, links
    from app.store import people as persons

    with running() as application, application.store.read() as unit:
        person = persons.by_uid(unit, uid)
        if person is None:
            raise LookupError(f"no (single) person has a uid that begins with {uid!r}")
        names = {c.id: c.name for c in stored.every(unit)}
        held = links.of_people(unit, [person.id], state=None)
        history = journal.history(unit, person.id)
        clashes = journal.list_conflicts(unit, person=person.id)
    found = {
        "uid": person.uid,
        "rev": person.rev,
        "state": person.state,
        "card": person.card,
        "links": [{"connection": names[x.connection_id], "id": x.remote_id, "state": x.state} for x in held],
        "history": [
            {"at": c.at, "by": c.actor, "path": journal.pointer(c.path), "before": c.before, "after": c.after}
            for c in history
        ],
        "conflicts": [
            {
                "id": c.id,
                "connection": c.connection,
                "path": journal.pointer(c.path),
                "ours": c.ours,
                "theirs": c.theirs,
                "kept": c.kept,
            }
            for c in clashes
        ],
    }
    show.as_json(found) if json else show.person(found)


@people_app.command()
def edit(
    uid: Annotated[str, typer.Argument(help="The person's uid, or its beginning.")],
    values: Annotated[list[str], typer.Argument(help='"PATH=VALUE", as in name/given=Zoë; no value clears it.')],
    json: Json = False,
) -> None:
    """Change values of a person here; every connected system hears of it with its next sync."""
    from app.engine import resolve
    from app.store.journal import path_of

    changes = {}
    for text in values:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f'{text}: write it as "PATH=VALUE"; `concord people show {uid} --json` shows the paths')
        changes[path_of("/" + path.strip("/"))] = value or None
    with running() as application:
        person = resolve.edit(application.world(), uid, changes, "admin")
    _say(json, f"{person.uid[:8]} is at revision {person.rev}", uid=person.uid, rev=person.rev)


@conflicts_app.callback()
def conflicts(
    context: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Those too that were settled by the policy.")] = False,
    json: Json = False,
) -> None:
    """List the conflicts that wait for you."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.store import journal

    with running() as application, application.store.read() as unit:
        found = journal.list_conflicts(unit, only_open=not all_)
    rows = [
        {
            "id": c.id,
            "at": c.at,
            "person": c.uid,
            "name": c.name,
            "connection": c.connection,
            "path": journal.pointer(c.path),
            "ours": c.ours,
            "theirs": c.theirs,
            "kept": c.kept,
        }
        for c in found
    ]
    show.as_json(rows) if json else show.conflicts(rows)


@conflicts_app.command()
def resolve(
    number: Annotated[int, typer.Argument(help="The conflict's number.")],
    side: Annotated[str, typer.Argument(help="ours or theirs: whose value it shall be.")],
    json: Json = False,
) -> None:
    """Settle a conflict; the next sync carries the decision everywhere."""
    from app.engine import resolve as resolving

    if side not in ("ours", "theirs"):
        raise ValueError(f"{side!r}: say ours or theirs")
    with running() as application:
        resolving.decide(application.world(), number, "ours" if side == "ours" else "theirs", "admin")
    _say(json, f"conflict {number}: {side}", conflict=number, kept=side)


# --- looking after it


@app.command()
def doctor(json: Json = False) -> None:
    """Look at database, keys, connections and clocks, and say what to do."""
    from app import show
    from app.doctor import examine

    findings = []
    with running() as application:
        for finding in examine(application):
            findings.append(finding)
            if not json:
                show.out.print(
                    f"{show.STATES[finding.state]} [bold]{finding.about}[/]: {finding.message}", soft_wrap=True
                )
                if finding.advice:
                    show.out.print(f"    → {finding.advice}", soft_wrap=True)
    if json:
        show.as_json([{name: getattr(f, name) for name in f.__slots__} for f in findings])
    _leave(FAILED if any(finding.state == "ill" for finding in findings) else OK)


@app.command()
def sandbox(
    system: Annotated[str, typer.Argument(help="Which system to play.")],
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0: any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Fill it with so many made-up people.")] = 0,
) -> None:
    """Run a system in a box on this machine, to try things out on."""
    import time

    from app import show
    from app.demo import fill
    from connectors import registry
    from connectors.sandbox import running as serving

    box = registry.sandbox(system)
    if seed:
        fill(system, box, seed)
    with serving(box.app, port) as url:
        show.out.print(f"{system} in a box at [bold]{url}[/]; settings for `concord apply`:")
        show.as_json(box.settings(url))
        while True:
            time.sleep(3600)


@app.command()
def demo(
    people: Annotated[int, typer.Option(min=20, help="How many made-up people.")] = 300,
    json: Json = False,
) -> None:
    """See it work: two CRMs in a box and a real CardDAV server, synced both ways, with proof."""
    from app.demo import run

    _leave(run(people, json))
