"""Running it: webhooks, backups, the database to another place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import Json, Name, acting, app, connections_app, running, say

webhooks_app = typer.Typer(help="Who is told of what happens here: list, add, remove.", no_args_is_help=True)
app.add_typer(webhooks_app, name="webhooks")

Subscription = Annotated[int, typer.Argument(help="The number of a subscription.", metavar="NUMBER")]


@connections_app.command("webhook")
def webhook(
    name: Name,
    fresh: Annotated[bool, typer.Option("--fresh", help="A new address; the old one is dead at once.")] = False,
    json: Json = False,
) -> None:
    """Show where a connection's remote may tell of news. It is the path to enter there, after your own
    server's address."""
    from app.jobs.receiving import address

    with acting("show_hook_address", f"connections/{name}", fresh=fresh) as application:
        path = address(application.store, application.keyring, name, fresh=fresh)
    _reveal(json, f"{path}\nThis address is a secret: whoever knows it can make {name} be read.", name=name, path=path)


def _reveal(json: bool, text: str, **facts: object) -> None:
    """Say what is shown on purpose, although it is a secret: everywhere else it is hidden."""
    from json import dumps

    typer.echo(dumps(facts) if json else text)


# --- webhooks out


@webhooks_app.command("list")
def list_(json: Json = False) -> None:
    """List who is told of what, and how it goes."""
    from app import show
    from app.store import hooks

    with running() as application, application.store.read() as unit:
        rows = [
            {
                "number": found.id,
                "url": found.url,
                "events": ", ".join(found.events) or "all",
                "state": found.state,
                "waiting": len(hooks.listing(unit, "waiting", subscription=found.id, limit=1_000)),
                "dead": len(hooks.listing(unit, "dead", subscription=found.id, limit=1_000)),
                "reason": found.reason,
            }
            for found in hooks.every(unit)
        ]
    if json:
        show.as_json(rows)
    elif not rows:
        show.out.print(show.styled("Nobody yet: [bold]concord webhooks add URL[/]"))
    else:
        show.table(None, [*rows[0]], [[*row.values()] for row in rows], numbers=["waiting", "dead"])


@webhooks_app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where notices go, by POST.")],
    event: Annotated[list[str] | None, typer.Option(help="Only these; again for more. Default: all.")] = None,
    json: Json = False,
) -> None:
    """Tell somebody what happens from now on. Signed as Standard Webhooks says, tried again for three days."""
    from app.jobs.notices import subscribe

    with acting("add_webhook", "webhooks", events=event or []) as application:
        number, secret = subscribe(application.store, application.keyring, url, event or [])
    _reveal(json, f"{number}: {url}\nIts secret, shown this once: {secret}", number=number, url=url, secret=secret)


@webhooks_app.command()
def remove(number: Subscription, json: Json = False) -> None:
    """Tell them nothing any more."""
    from app.store import hooks

    with acting("remove_webhook", f"webhooks/{number}") as application, application.store.begin(durable=True) as unit:
        if not hooks.unsubscribe(unit, number):
            raise LookupError(f"there is no subscription {number}")
    say(json, f"{number} is told nothing any more", number=number, state="removed")


@webhooks_app.command()
def resume(number: Subscription, json: Json = False) -> None:
    """Tell somebody again who was switched off. Also what happened meanwhile."""
    from app.store import hooks

    with acting("resume_webhook", f"webhooks/{number}") as application, application.store.begin(durable=True) as unit:
        if not hooks.switch(unit, number, "active"):
            raise LookupError(f"there is no subscription {number}")
    say(json, f"{number} is told again", number=number, state="active")


@webhooks_app.command()
def dead(json: Json = False) -> None:
    """List notices that nobody would take."""
    from app import show
    from app.jobs.notices import shown
    from app.store import hooks

    with running() as application, application.store.read() as unit:
        rows = [shown(notice) for notice in hooks.listing(unit, "dead", limit=1_000)]
    if json:
        show.as_json(rows)
    elif not rows:
        show.out.print("None: everything was taken, or is still being tried")
    else:
        columns = ["id", "subscription", "type", "created", "attempts", "answer"]
        show.table(None, columns, [[row[column] for column in columns] for row in rows], numbers=["attempts"])


@webhooks_app.command()
def resend(
    notices: Annotated[list[str] | None, typer.Argument(help="Notices by id; all dead ones by default.")] = None,
    json: Json = False,
) -> None:
    """Try dead notices again, from the first attempt on."""
    from app.store import hooks

    with (
        acting("resend_notices", "webhooks", notices=len(notices or [])) as application,
        application.store.begin(durable=True) as unit,
    ):
        number = hooks.resend(unit, notices or None)
    say(json, f"{number} notices are tried again", notices=number)


# --- the database


@app.command("move-database")
def move_database(
    source: Annotated[str, typer.Argument(help="sqlite:////path/concord.db or postgresql://…", metavar="FROM")],
    target: Annotated[str, typer.Argument(help="An empty database.", metavar="TO")],
    json: Json = False,
) -> None:
    """Copy everything to another database, with proof. Both hold the same then. The daemon must not run meanwhile."""
    from app import moving, show
    from app.settings import load

    moved = moving.move_database(load(), source, target)
    if json:
        rows = [{"table": proof.table, "rows": proof.rows, "digest": proof.digest} for proof in moved.proofs]
        show.as_json({"tables": rows, "key": str(moved.key) if moved.key else None})
        return
    rows_ = [[proof.table, proof.rows, proof.digest[:16]] for proof in moved.proofs]
    show.table(None, ["table", "rows", "digest on both sides"], rows_, numbers=["rows"])
    if moved.key:
        show.out.print(f"The key of the credentials was copied to {moved.key}", soft_wrap=True)
    show.out.print("Both hold the same. Now set CONCORD_DATABASE_URL to the new one, and start the daemon.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it appears whole or not at all.")],
    replace: Annotated[bool, typer.Option("--replace", help="Although the file is there.")] = False,
    json: Json = False,
) -> None:
    """Back the database up into a file, while the daemon runs. The key of the credentials is not in it."""
    from app import moving

    with acting("backup", "database") as application:
        size = moving.backup(application, file, replace=replace)
        key = application.settings.key_file
        where = "CONCORD_SECRETS_KEYS" if application.settings.secrets_keys else str(key)
    text = f"{file}: {size:,} bytes. Neither is of use without the key of the credentials ({where}); keep it apart."
    say(json, text, file=str(file), bytes=size, key=where)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `concord backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Put the present database aside.")] = False,
    json: Json = False,
) -> None:
    """Make a backup the database. What changed in the systems since is read from them before anything is written."""
    from app import moving
    from app.settings import load

    done = moving.restore(load(), file, replace=replace)
    with acting("restore", "database", people=done.people):
        """What is restored holds no word of it."""
    text = f"{done.people:,} people are back."
    if done.aside:
        text += f" The former database is {done.aside}."
    if done.forgotten:
        text += f" {done.forgotten} who asked to be forgotten since were erased again."
    aside = str(done.aside) if done.aside else None
    say(json, text, now="concord sync", people=done.people, aside=aside, forgotten=done.forgotten)
