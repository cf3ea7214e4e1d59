"""People and conflicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import Json, acting, conflicts_app, people_app, running, say

if TYPE_CHECKING:
    pass


Uid = Annotated[str, typer.Argument(help="The person's uid, or its beginning.")]


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
def show_person(uid: Uid, json: Json = False) -> None:
    """Show a person and all that happened to it. The card, where it is linked, its history."""
    from app import show
    from app.engine import privacy

    with running() as application:
        found = privacy.everything(application.world(), uid)
    del found["photos"]
    show.as_json(found) if json else show.person(found)


@people_app.command()
def edit(
    uid: Uid,
    values: Annotated[list[str], typer.Argument(help='"PATH=VALUE", as in name/given=Zoë; no value clears it.')],
    json: Json = False,
) -> None:
    """Change values of a person here. Every connected system hears of it with its next sync."""
    from app.engine import resolve
    from app.store.journal import path_of

    changes = {}
    for text in values:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f'{text}: write it as "PATH=VALUE"; `concord people show {uid} --json` shows the paths')
        changes[path_of("/" + path.strip("/"))] = value or None
    with acting("edit_person", f"people/{uid}") as application:
        person = resolve.edit(application.world(), uid, changes, "admin")
    say(json, f"{person.uid[:8]} is at revision {person.rev}", uid=person.uid, rev=person.rev)


@people_app.command()
def restore(uid: Uid, json: Json = False) -> None:
    """Bring back a person who was deleted in some system. The records are made anew with the next sync."""
    from app.engine import resolve

    with acting("restore_person", f"people/{uid}") as application:
        person = resolve.restore(application.world(), uid, "admin")
    say(json, f"{person.uid[:8]} lives again.", now="concord sync", uid=person.uid, state=person.state)


@people_app.command()
def release(uid: Uid, json: Json = False) -> None:
    """Let a person whom a plan held back go to the systems after all."""
    from app.engine import resolve

    with acting("release_person", f"people/{uid}") as application:
        names = resolve.release(application.world(), uid)
    say(json, f"{uid} goes to {', '.join(names)} with the next sync", uid=uid, connections=names)


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
    with acting("resolve_conflict", f"conflicts/{number}", side=side) as application:
        resolving.decide(application.world(), number, "ours" if side == "ours" else "theirs", "admin")
    say(json, f"conflict {number}: {side}", conflict=number, kept=side)


# --- privacy


@people_app.command()
def data(
    uid: Uid,
    file: Annotated[Path, typer.Argument(help="Where to write it (JSON).")],
    json: Json = False,
) -> None:
    """Write everything that is held on a person into a file. For the person, who may ask for it."""
    import orjson

    from app.engine import privacy

    with acting("export_data", f"people/{uid}") as application:
        found = privacy.everything(application.world(), uid)
    file.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    say(json, f"everything on {uid} → {file}", uid=uid, file=str(file))


@people_app.command()
def erase(
    uid: Uid,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only show what would be done.")] = False,
    json: Json = False,
) -> None:
    """Forget a person who asked for it. Here at once, in the connected systems with their next sync."""
    from app import show
    from app.engine import privacy

    with acting("erase_person", f"people/{uid}") as application:
        world = application.world()
        steps = privacy.erase(world, uid, "admin") if yes else privacy.plan(world, uid)
    rows = [{"connection": s.connection, "record": s.record, "what": s.what} for s in steps]
    if json:
        show.as_json({"uid": uid, "erased": yes, "records": rows})
        return
    show.table(None, ["connection", "record", "what"], [[*row.values()] for row in rows])
    if yes:
        say(json, "Erased here; a salted hash stays, so that no list brings them back.", now="concord sync")
    else:
        again = f"concord people erase {uid} --yes"
        show.out.print(show.styled("Card, history, consent and purchases would go. Do it: [bold]{}[/]", again))


@people_app.command()
def admit(
    address: Annotated[str, typer.Argument(help="The e-mail address of somebody who was erased.")], json: Json = False
) -> None:
    """Let an address be known again. Its owner came back, or shares it with somebody who was erased."""
    from app.engine import privacy

    with acting("admit_address", "people") as application:
        privacy.admit(application.world(), address)
    say(
        json,
        f"{address} may be known again; refused records come with: concord connections retry NAME",
        address=address,
    )
