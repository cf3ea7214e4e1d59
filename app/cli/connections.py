"""The configured accounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.common import Json, Name, app, connections_app, running, say

if TYPE_CHECKING:
    pass


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
    say(json, f"{name} is {state}", name=name, state=state)


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
    say(json, f"{name} is forgotten", name=name, state="forgotten")


@connections_app.command()
def retry(name: Name, json: Json = False) -> None:
    """Try again everything that was set aside in a connection."""
    from app.engine import resolve

    with running() as application:
        number = resolve.retry(application.world(), name)
    say(json, f"{number} contacts will be tried again by: concord sync {name}", name=name, contacts=number)


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
    say(json, f"{name} may use your account now. {again}", name=name, consented=True, reset=another)
