"""The configured accounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.common import Json, Name, acting, app, connections_app, running, say

if TYPE_CHECKING:
    from app.bootstrap import Application
    from app.store.connections import Connection

DAEMON = "http://127.0.0.1:8420"
"""Where `concord serve` answers unless it is told otherwise."""


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
    with acting("apply_connections", "connections", connections=[d.entry.name for d in declared]) as application:
        done = configure.apply(application, declared)
    if json:
        show.as_json([{"name": d.name, "system": d.system, "what": d.what} for d in done])
        return
    show.table(None, ["connection", "system", ""], [[d.name, d.system, d.what] for d in done])
    for d in done:
        if d.what == "reset":
            waits = " and waits for your approval" if d.approve == "ask" else ""
            show.warn(f"{d.name}: another account: it starts over{waits}")
    if any(d.what in ("created", "reset") for d in done):
        show.out.print(show.styled("See what a first sync would do: [bold]concord plan[/]"))


@connections_app.callback()
def connections(context: typer.Context, json: Json = False) -> None:
    """List the connections and how they are."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.consenting import lacks_access
    from app.engine.run import consent_path, give_access, owed
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
                    "owed": owed(unit, c),
                    "aside": outbox.count(unit, c.id, *outbox.ASIDE),
                    "last run": last.started if last else None,
                    "outcome": last.outcome if last else None,
                    "reason": c.reason or (last.message if last else None),
                    "consent_url": consent_path(c.name) if lacks_access(application, c) else None,
                }
            )
    if json:
        show.as_json(rows)
    elif not rows:
        show.out.print(show.styled("No connections yet. Declare them in a file: [bold]concord apply FILE.yaml[/]"))
    else:
        columns = [name for name in rows[0] if name not in ("reason", "consent_url")]
        show.table(None, columns, [[row[c] for c in columns] for row in rows], numbers=["records", "owed", "aside"])
        for row in rows:
            words = row["reason"]
            if words is None and row["consent_url"]:
                words = f"nobody has given access yet: {give_access(str(row['name']))}"
            if words:
                show.warn(f"{row['name']}: {words}")


@connections_app.command()
def check(name: Name, json: Json = False) -> None:
    """Ask a connection's remote who we are and what is possible there."""
    from app import show
    from app.engine import look
    from app.engine.run import telling_of

    with running() as application, telling_of(name):
        account = look.check(application.world(), name)
    if json:
        show.as_json({"label": account.label, "notes": [*account.notes], "clock": account.clock})
        return
    show.out.print(show.styled("[green]✓[/] {}", account.label))
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

    action = "pause_connection" if state == "paused" else "resume_connection"
    with acting(action, f"connections/{name}") as application:
        connection = find(application.world(), name)
        if connection.state == "new":
            raise ValueError(f"{name} has not had its first contact yet: concord plan {name}")
        with application.store.begin(durable=True) as unit:
            stored.update(unit, connection.id, state=state, reason=reason, denied=None)
    say(json, f"{name} is {state}", name=name, state=state)


@connections_app.command()
def remove(
    name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: Json = False
) -> None:
    """Forget a connection and its links. No contact is deleted, neither here nor there."""
    from app.engine.run import find
    from app.store import connections as stored

    with acting("remove_connection", f"connections/{name}") as application:
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

    with acting("retry_connection", f"connections/{name}") as application:
        number = resolve.retry(application.world(), name)
    say(json, f"{number} contacts will be tried again by: concord sync {name}", name=name, contacts=number)


@connections_app.command()
def consent(
    name: Name,
    redirect: Annotated[
        str | None, typer.Option(help="The redirect address that is registered with the vendor, letter by letter.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Short for --redirect http://127.0.0.1:PORT")
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Only make a link for any browser; the daemon takes what comes back.")
    ] = False,
    other_account: Annotated[
        bool, typer.Option("--other-account", help="It may be another account than before: it starts over then.")
    ] = False,
    json: Json = False,
) -> None:
    """Give a connection the right to your account there. In the browser, or where there is no page for it by entering
    the credentials."""
    import getpass

    from app.consenting import Links, accept, prove
    from app.engine.run import find

    # A link stands in the audit as the daemon writes it.
    doing = running() if link else acting("consent_connection", f"connections/{name}", other_account=other_account)
    with doing as application:
        connection = find(application.world(), name)
        if link:
            base = application.settings.public_url or DAEMON
            who = f"{getpass.getuser()} at the terminal"
            made = Links(application).invite(name, who, base, other_account)
            say(json, f"Good until {made.expires:%H:%M:%S} UTC:\n\n  {made.url}\n", url=made.url, expires=made.expires)
            return
        given = _given(application, connection, redirect or (f"http://127.0.0.1:{port}" if port else None))
        proof = prove(application, connection, given, other=other_account)
        resumed = accept(application, connection, proof)
    again = " It goes on." if resumed else ""
    if proof.other:
        again = f" It is another account than before, so it starts over: concord plan {name}"
    say(
        json, f"{name} may use {proof.label} now.{again}", name=name, consented=True, resumed=resumed, reset=proof.other
    )


def _given(application: Application, connection: Connection, redirect: str | None) -> dict[str, str]:
    """The credentials that a consent in the browser brings, or that are entered."""
    from app import show
    from app.consenting import entered
    from connectors import loopback, registry

    system = registry.system(connection.system)
    if system.oauth is None:
        fields = entered(system)
        if not fields:
            raise ValueError(f"{connection.system} needs no credentials")
        return {field: typer.prompt(field.replace("_", " "), hide_input=True, err=True) for field in fields}

    def ask(address: str) -> str:
        show.err.print(f"Open this address and allow access:\n\n  {address}\n", soft_wrap=True)
        words = (
            "Then press Enter; if the browser is on another machine, paste the address you were sent to (or the code)"
        )
        answer: str = typer.prompt(words, default="", show_default=False, err=True)
        return answer

    settings = application.connector_settings(system, connection)
    return loopback.consent(system.oauth, settings.model_dump(), ask, application.context(), redirect)
