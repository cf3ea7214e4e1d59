"""What was set aside: records that could not be taken in, people who could not be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import SET_ASIDE, Json, Name, acting, app, leave, running, say

if TYPE_CHECKING:
    from app.bootstrap import Application
    from app.store.overview import SetAside

refused_app = typer.Typer(help="What was set aside, and why: list, retry, ignore.", invoke_without_command=True)
app.add_typer(refused_app, name="refused")

Key = Annotated[str, typer.Argument(help="The record's id or the person's uid, or its beginning.")]
PAGE = 1_000
"""So many are read at once."""


@refused_app.callback()
def refused(
    context: typer.Context,
    connection: Annotated[str | None, typer.Option("--connection", "-c", help="Only of this connection.")] = None,
    json: Json = False,
) -> None:
    """List what was set aside, and why."""
    if context.invoked_subcommand is not None:
        return
    from app import show

    with running() as application:
        found = _listed(application, connection)
    if json:
        rows = [{"connection": f.connection, "direction": f.direction, "key": f.key} for f in found]
        show.as_json(
            [row | {"name": f.name, "reason": f.reason, "at": f.at} for row, f in zip(rows, found, strict=True)]
        )
    elif not found:
        show.out.print("Nothing was set aside.")
    else:
        show.table(None, ["connection", "what", "key", "name", "why"], [_row(each) for each in found])
        show.out.print(show.styled("When that is mended: [bold]concord refused retry CONNECTION KEY[/]"))


def _row(found: SetAside) -> list[object]:
    from app.secrets import redact

    what = "not taken in" if found.direction == "in" else "not written"
    return [found.connection, what, found.key, found.name, redact(None, "", found.reason)]


@refused_app.command("retry")
def retry_one(connection: Name, key: Key, json: Json = False) -> None:
    """Try again. A record is read anew at once, a person is written with the next sync."""
    from app.engine import look, resolve

    with acting("retry_refused", f"connections/{connection}", key=key) as application:
        found = _found(application, connection, key)
        if found.direction == "out":
            resolve.retry_push(application.world(), connection, found.key)
            say(json, f"{found.name or found.key} is written by: concord sync {connection}", key=found.key, taken=None)
            return
        reason = look.read_again(application.world(), connection, found.key)
    words = f"is refused still: {reason}" if reason else "was taken in"
    say(json, f"{found.key} {words}", key=found.key, taken=reason is None, reason=reason)
    if reason:
        leave(SET_ASIDE)


@refused_app.command()
def ignore(connection: Name, key: Key, json: Json = False) -> None:
    """Leave it. A record is not heard of until it changes there, a person is not written there."""
    from app.engine import resolve

    with acting("ignore_refused", f"connections/{connection}", key=key) as application:
        found = _found(application, connection, key)
        out = found.direction == "out"
        (resolve.leave_out if out else resolve.forget_refusal)(application.world(), connection, found.key)
    words = "is not written there" if out else "is not heard of until it changes there"
    say(json, f"{found.name or found.key} {words}", key=found.key, direction=found.direction)


def _listed(application: Application, connection: str | None) -> list[SetAside]:
    from app.engine.run import find
    from app.store import overview

    if connection is not None:
        find(application.world(), connection)
    found: list[SetAside] = []
    with application.store.read() as unit:
        while True:
            after = [found[-1].connection, found[-1].direction, found[-1].key] if found else None
            page = overview.set_aside(unit, connection=connection, after=after, limit=PAGE)
            found += page
            if len(page) < PAGE:
                return found


def _found(application: Application, connection: str, key: str) -> SetAside:
    """The one thing of that key, or whose key begins so. Raises LookupError."""
    listed = _listed(application, connection)
    found = [each for each in listed if each.key == key] or [each for each in listed if each.key.startswith(key)]
    if len(found) != 1:
        many = f"{len(found)} things that were set aside in {connection} begin with {key!r}"
        none = f"nothing that was set aside in {connection} is called {key!r}"
        raise LookupError(f"{many if found else none}; `concord refused --connection {connection}` lists them")
    return found[0]
