"""Who may use the API, and the keys of the stored credentials."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated, get_args

import typer

from app.cli.common import Json, acting, app, running, say
from app.core.permissions import EVERYTHING, Role

users_app = typer.Typer(help="Who may use the API: list, add, change, remove.", invoke_without_command=True)
tokens_app = typer.Typer(help="Tokens for programs: list, add, revoke.", invoke_without_command=True)
secrets_app = typer.Typer(help="The stored credentials.", no_args_is_help=True)
app.add_typer(users_app, name="users")
app.add_typer(tokens_app, name="tokens")
app.add_typer(secrets_app, name="secrets")

User = Annotated[str, typer.Argument(help="A user's name.")]
RoleName = Annotated[str, typer.Option("--role", help="admin, operator, viewer or webhook.")]
FromInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@users_app.callback()
def users(context: typer.Context, json: Json = False) -> None:
    """List the users."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.store import access as stored

    with running() as application, application.store.read() as unit:
        found = stored.every_user(unit)
    columns = ["name", "role", "enabled", "signs in", "created"]
    rows = [[u.name, u.role, u.enabled, u.password is not None, u.created] for u in found]
    if json:
        show.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif not rows:
        show.out.print(show.styled("No users yet. Make the first one: [bold]concord users add NAME --role admin[/]"))
    else:
        show.table(None, columns, rows)


@users_app.command("add")
def add_user(
    name: User,
    role: RoleName = "viewer",
    password_stdin: FromInput = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="The user comes in with tokens only.")] = False,
    json: Json = False,
) -> None:
    """Let somebody in. The password is asked for."""
    from app.engine import access

    chosen = _role(role)
    password = None if no_password else _password(password_stdin)
    with acting("add_user", f"users/{name}", role=chosen) as application:
        access.add_user(application.store, name, chosen, password)
    say(json, f"{name} may come in as {chosen}", name=name, role=chosen)


@users_app.command("change")
def change_user(
    name: User,
    role: Annotated[str | None, typer.Option("--role", help="admin, operator, viewer or webhook.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="May this user come in?")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a new password.")] = False,
    password_stdin: FromInput = False,
    json: Json = False,
) -> None:
    """Change a user. Whoever is signed in under that name has to sign in anew."""
    from app.engine import access

    chosen = _role(role) if role is not None else None
    new = _password(password_stdin) if password or password_stdin else None
    told = {"role": chosen, "enabled": enabled, "password": "changed" if new else None}
    detail = {name: value for name, value in told.items() if value is not None}
    with acting("change_user", f"users/{name}", **detail) as application:
        user = access.change_user(application.store, name, role=chosen, enabled=enabled, password=new)
    state = "may come in" if user.enabled else "may not come in"
    say(json, f"{name} is {user.role} and {state}", name=name, role=user.role, enabled=user.enabled)


@users_app.command("remove")
def remove_user(name: User, json: Json = False) -> None:
    """Remove a user with all tokens. What they did stays in the audit."""
    from app.engine import access

    with acting("remove_user", f"users/{name}") as application:
        access.remove_user(application.store, name)
    say(json, f"{name} is gone", name=name)


def _role(text: str) -> Role:
    if text not in get_args(Role):
        raise ValueError(f"--role {text}: one of {', '.join(get_args(Role))}")
    return text  # type: ignore[return-value]


def _password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\n")
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


@tokens_app.callback()
def tokens(context: typer.Context, json: Json = False) -> None:
    """List the tokens."""
    if context.invoked_subcommand is not None:
        return
    from app import show
    from app.store import access as stored

    with running() as application, application.store.read() as unit:
        names = {user.id: user.name for user in stored.every_user(unit)}
        found = stored.list_tokens(unit)
    columns = ["id", "user", "name", "scopes", "created", "expires", "used", "revoked"]
    rows = [
        [t.id, names.get(t.user_id or 0), t.name, ", ".join(t.scopes), t.created, t.expires, t.used, t.revoked]
        for t in found
    ]
    if json:
        show.as_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        show.table(None, columns, rows)


@tokens_app.command("add")
def add_token(
    user: User,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "token",
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="people:read, connections:*, …; default *.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=0, help="How long it is good; 0: until it is revoked.")] = 90,
    json: Json = False,
) -> None:
    """Make a token. It is shown this once."""
    from app.engine import access

    life = timedelta(days=days) if days else None
    with acting("make_token", "tokens", user=user, name=name, scopes=scope or [EVERYTHING], days=days) as application:
        token, made = access.issue(application.store, name[:64], user, scope or [EVERYTHING], life)
    if json:
        say(True, "", id=made.id, user=user, expires=made.expires, shown_once=token)
        return
    say(False, f"Token {made.id} of {user}. Keep it safe, it is shown this once:")
    say(False, token)


@tokens_app.command("revoke")
def revoke_token(number: Annotated[int, typer.Argument(help="The token's number.")], json: Json = False) -> None:
    """It opens nothing from now on."""
    from app.engine import access

    with acting("revoke_token", f"tokens/{number}") as application:
        access.revoke(application.store, number)
    say(json, f"token {number} opens nothing any more", id=number)


@secrets_app.command("rotate")
def rotate(json: Json = False) -> None:
    """Encrypt all stored credentials with the newest key. It is the first of CONCORD_SECRETS_KEYS; then the others can
    go."""
    with acting("rotate_secrets", "secrets") as application:
        number = application.rotate_secrets()
    say(json, f"{number} stored secrets are encrypted with the first key now", encrypted=number)
