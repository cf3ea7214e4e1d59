"""Groups: what they are called, who is in which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.common import Json, acting, app, running, say

if TYPE_CHECKING:
    from app.store.groups import Group as Stored

groups_app = typer.Typer(help="The groups: list, show, rename, remove.", no_args_is_help=True)
app.add_typer(groups_app, name="groups")

Group = Annotated[str, typer.Argument(help="The group's id, its beginning, or its name.")]


@groups_app.command("list")
def list_groups(
    search: Annotated[str, typer.Option("--search", "-s", help="Part of the name.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """List the groups, and how many people are in each."""
    from app import show
    from app.store import groups

    with running() as application, application.store.read() as unit:
        found = groups.listing(unit, name=search, limit=limit)
        sizes = groups.sizes(unit, found)
    rows = [_facts(group, sizes[group.id]) for group in found]
    if json:
        show.as_json(rows)
    elif not rows:
        show.out.print("No groups yet. They come with the people who are in them.")
    else:
        lines = [[row["id"][:8], row["name"], row["people"]] for row in rows]
        show.table(None, ["id", "name", "people"], lines, numbers=["people"])


@groups_app.command("show")
def show_group(
    group: Group,
    limit: Annotated[int, typer.Option(min=1, help="At most so many members.")] = 50,
    json: Json = False,
) -> None:
    """Show a group and who is in it."""
    from app import show
    from app.engine import groups as acts
    from app.store import browse, groups

    with running() as application, application.store.read() as unit:
        found = acts.find_any(unit, group)
        number = groups.sizes(unit, [found])[found.id]
        members = [row.person for row in browse.persons(unit, group=found.name, limit=limit)]
    if json:
        people = [{"uid": p.uid, "rev": p.rev, "state": p.state, "card": p.card} for p in members]
        show.as_json({**_facts(found, number), "members": people})
        return
    show.out.print(show.styled("[bold]{}[/]  [dim]{}, {} people[/]", found.name, found.uid, number))
    show.table(None, ["uid", "name", "e-mail", "phone", "organisation"], [show.person_row(p) for p in members])


@groups_app.command()
def rename(
    group: Group,
    name: Annotated[str, typer.Argument(help="What it shall be called.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Make it one with the group that is called so already.")
    ] = False,
    json: Json = False,
) -> None:
    """Call a group otherwise. Here at once, in the connected systems with their next sync."""
    from app.engine import groups as acts
    from app.engine.access import Taken

    with acting("rename_group", _target(group), merge=merge) as application:
        with application.store.read() as unit:
            uid = acts.find_any(unit, group).uid
        try:
            done = acts.rename(application.world(), uid, name, "admin", merge=merge)
        except Taken as taken:
            raise Taken(str(taken).replace("say merge", "say --merge")) from None
    now = done.group
    what = f"{now.uid[:8]} is {now.name}" + (f", and {done.joined[:8]} leads to it" if done.joined else "")
    facts: dict[str, Any] = {"people": done.people, "joined": done.joined}
    text = f"{what}; {done.people} people changed, everywhere with the next sync"
    say(json, text, id=now.uid, rev=now.rev, name=now.name, **facts)


@groups_app.command()
def remove(
    group: Group,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove a group. Who was in it leaves it, here and in every connected system, and lives on."""
    from app.engine import groups as acts
    from app.store import groups

    with acting("remove_group", _target(group)) as application:
        with application.store.read() as unit:
            found = acts.find_any(unit, group)
            number = groups.sizes(unit, [found])[found.id]
        if not yes:
            typer.confirm(f"Take {number} people out of {found.name}, in every system?", abort=True)
        done = acts.remove(application.world(), found.uid, "admin", rev=found.rev)
    what = f"{found.name} is gone; {done.people} people left it, everywhere with the next sync"
    say(json, what, id=found.uid, name=found.name, people=done.people)


def _target(group: str) -> str:
    """The group as the audit names it: by its id, for a name may be a contact's words."""
    from app.engine import groups as acts

    with running() as application, application.store.read() as unit:
        try:
            return f"groups/{acts.find_any(unit, group).uid}"
        except LookupError:
            return "groups"


def _facts(group: Stored, people: int) -> dict[str, Any]:
    return {"id": group.uid, "rev": group.rev, "name": group.name, "people": people, "created": group.created}
