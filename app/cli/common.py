"""What all commands share: the application itself, exit codes, how things are said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

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
consent_app = typer.Typer(help="Who may be contacted: show, opt-out, opt-in.", no_args_is_help=True)
app.add_typer(connections_app, name="connections")
app.add_typer(people_app, name="people")
app.add_typer(conflicts_app, name="conflicts")
app.add_typer(consent_app, name="consent")


def _tell_version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        typer.echo(f"concord {version('concord')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """What can be said before any command."""


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Names = Annotated[list[str] | None, typer.Argument(help="Connections; all of them by default.", metavar="[NAME]...")]
Name = Annotated[str, typer.Argument(help="A connection.")]


@contextmanager
def running() -> Iterator[Application]:
    """The application, for one command."""
    from app.bootstrap import start

    application = start()
    try:
        yield application
    finally:
        application.store.close()


@contextmanager
def acting(action: str, target: str, **detail: Any) -> Iterator[Application]:
    """The application, for a command that does something: it stands in the audit before it is done, and how it ended.
    Whoever may read the database may do everything; it is written down all the same."""
    import getpass

    from app.engine.access import Taken
    from app.store import audit

    with running() as application:
        who = f"{getpass.getuser()} at the terminal"
        with application.store.begin(durable=True) as unit:
            id_ = audit.begin(unit, audit.Act(who, action, target, detail=detail))
        status = 200
        try:
            yield application
        except (LookupError, ValueError, Taken, typer.Abort):
            status = 422
            raise
        except BaseException as error:
            status = 200 if isinstance(error, typer.Exit) else 500
            raise
        finally:
            with application.store.begin(durable=True) as unit:
                audit.finish(unit, id_, status, target, detail)


def say(json: bool, text: str, /, *, now: str | None = None, **facts: Any) -> None:
    """What was done: a line for a person, or the facts for a program. now: the command that comes next."""
    from app import show

    if json:
        show.as_json(facts)
    else:
        words = show.styled("{} Now: [bold]{}[/]", text, now) if now else text
        show.out.print(words, soft_wrap=True)


def leave(code: int) -> NoReturn:
    raise typer.Exit(code)


def verdict(reports: list[Report]) -> int:
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
