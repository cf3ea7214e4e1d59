"""Files in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import Json, acting, app, leave, verdict


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="vCard, CSV, TSV, XLSX or JSContact JSON.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each column becomes and which rows fail.")
    ] = False,
    name: Annotated[str | None, typer.Option("--as", help="Name of the source; by default, of the file.")] = None,
    column: Annotated[list[str] | None, typer.Option("--column", help='"HEADER=PLACE": what a column is.')] = None,
    encoding: Annotated[
        str, typer.Option("--encoding", help="Of a text file: utf-8, cp1252, cp932 …; by default, found out.")
    ] = "",
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
        with _readable():
            inspection = describe_file(file, columns, encoding=encoding)
        show.as_json(inspection) if json else show.inspection(inspection)
        return
    with (
        acting("run_import", f"connections/{name}", snapshot=snapshot) as application,
        show.progress(json) as tell,
        _readable(),
    ):
        report, refusals = import_file(
            application, file, name, columns, snapshot=snapshot, encoding=encoding, progress=tell
        )
    if json:
        show.as_json(
            {"connection": report.connection, "outcome": report.outcome, "message": report.message}
            | report.tally.as_json()
            | {"refused_rows": refusals}
        )
    else:
        show.reports([report])
        show.refusals(refusals)
    leave(verdict([report]))


@contextmanager
def _readable() -> Iterator[None]:
    """A file that cannot be read at all is a wrong one."""
    from connectors.errors import Refused, Unreachable

    try:
        yield
    except (Refused, Unreachable) as error:
        raise ValueError(str(error)) from None


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

    with (
        acting("export_people", "exports", format=format_, searched=bool(search)) as application,
        show.progress(json) as tell,
    ):
        written = export_file(application, file, format_, search, tell)
    if json:
        show.as_json({"file": str(file), "people": written.contacts, "left_out": written.left_out})
        return
    told = show.out if file.is_file() else show.err  # what reads a pipe gets the people only
    told.print(f"{written.contacts:,} people → {file}")
    for what, number in sorted(written.left_out.items()):
        show.warn(f"{what}: {number:,} people", told)
