"""Files in and out. A file is a source like any other, with connection, links and journal; it is only read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from app.bootstrap import Application
from app.core.policy import Policy
from app.engine.resolve import stand_still
from app.engine.run import Report, sync
from app.engine.world import policy_json
from app.store import connections, people, runs
from connectors.card import Card
from connectors.files.export import Written, write_file
from connectors.files.inspection import check, inspect
from connectors.files.source import Format, Options

SYSTEM = "files"
FORMATS: Final[dict[str, Format]] = {
    ".vcf": "vcard",
    ".vcard": "vcard",
    ".csv": "csv",
    ".xlsx": "xlsx",
    ".json": "jscontact",
}
Progress = Callable[[str, str, int, int | None], None]


def describe_file(file: Path, columns: Mapping[str, str], *, encoding: str = "") -> dict[str, Any]:
    """What an import of the file would make of it. Raises Refused or Unreachable where it cannot be read at all."""
    return inspect(file, Options(columns=columns, encoding=encoding)).as_json


def import_file(
    app: Application,
    file: Path,
    name: str | None,
    columns: Mapping[str, str],
    *,
    snapshot: bool = False,
    encoding: str = "",
    progress: Progress,
) -> tuple[Report, list[dict[str, str]]]:
    """Take in a file; the run's report, and the rows that were refused.

    Raises Refused or Unreachable where it cannot be read at all; then nothing has changed.
    """
    doubt = check(file, Options(columns=columns, encoding=encoding))
    connection = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", file.stem).strip("-") or "file"
    settings: dict[str, Any] = {"path": str(file.absolute())}
    if columns:
        settings["columns"] = dict(columns)
    if encoding:
        settings["encoding"] = encoding
    if snapshot:
        settings["snapshot"] = True
    _declare(app, connection, settings | {"imported": app.store.clock().isoformat()})
    report = sync(app.world(progress), connection)
    with app.store.read() as unit:
        stored = connections.by_name(unit, connection)
        assert stored is not None
        refused = [{"row": r.remote_id, "reason": r.reason} for r in runs.refusals(unit, stored.id)]
    return replace(report, message=report.message or doubt or None), refused


def _declare(app: Application, name: str, settings: dict[str, Any]) -> None:
    policy = policy_json(Policy(direction="pull", deletes="archive"))
    with app.store.begin(durable=True) as unit:
        stored = connections.by_name(unit, name)
        if stored is None:
            row = {"name": name, "system": SYSTEM, "settings": settings, "policy": policy}
            connections.add(unit, **row, approve="auto", state="new")
        elif stored.system != SYSTEM:
            raise ValueError(f"{name} is the name of a {stored.system} connection; name the source: --as NAME")
        else:
            stand_still(app.world(), unit, name)
            if stored.schedule:  # it is declared, and read again and again
                settings = {key: value for key, value in settings.items() if key != "imported"}
            connections.update(unit, stored.id, settings=settings)


def export_file(app: Application, file: Path, format_: str | None, search: str, progress: Progress) -> Written:
    """Write the people found by `search` to a file. It appears whole or not at all."""
    chosen = format_ or FORMATS.get(file.suffix.lower())
    if chosen not in FORMATS.values():
        raise ValueError(f"{file}: end the name in {', '.join(sorted(FORMATS))}, or say --format")
    with app.store.read() as unit:
        total = people.count(unit)

        def found() -> Iterator[tuple[str, int, Card]]:
            after, count = 0, 0
            while batch := people.search(unit, search, limit=500, after=after):
                after = batch[-1].id
                for person in batch:
                    yield person.uid, person.rev, person.card
                count += len(batch)
                progress(file.name, "export", count, total)

        return write_file(file, cast(Format, chosen), found(), lambda uri: runs.blob(unit, uri))
