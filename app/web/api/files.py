"""Files in and out."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from app.engine.world import Tally
from app.web.acts import Guarded, Here, Noted, rule
from app.web.problems import responses

router = APIRouter(route_class=Guarded, tags=["files"])
SUFFIXES: Final = (".vcf", ".vcard", ".csv", ".tsv", ".xlsx", ".json")
TYPES: Final = {
    "vcard": (".vcf", "text/vcard"),
    "csv": (".csv", "text/csv"),
    "xlsx": (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "jscontact": (".json", "application/json"),
}

Upload = Annotated[UploadFile, File(description="vCard, CSV, TSV, XLSX or JSContact JSON.")]
Columns = Annotated[
    str,
    Form(
        max_length=100_000,
        description="What columns are, as JSON: {header: place}",
        examples=['{"Handy": "phones/mobile"}'],
    ),
]
Encoding = Annotated[
    str, Form(max_length=40, description="Of a text file; by default, found out.", examples=["cp1252"])
]


@router.post("/v1/imports/inspection", **rule("imports:write", recorded=False), responses=responses(401, 403, 413, 422))
def inspect_import(here: Here, file: Upload, columns: Columns = "{}", encoding: Encoding = "") -> dict[str, Any]:
    """See what an import would make of a file: its columns, its problems. Nothing is stored."""
    chosen = _columns(columns)
    with _kept(here.uploads, file) as path:
        return here.files.inspect(path, chosen, encoding)


class RefusedRow(BaseModel):
    """A row that cannot be taken."""

    row: str
    reason: str


class Imported(BaseModel):
    """What came of an import."""

    connection: str = Field(description="The source that the file is from now on.")
    outcome: str
    message: str | None
    counters: dict[str, Any] = Field(examples=[Tally(pulled=3, people=3).as_json()])
    refused: list[RefusedRow]


@router.post("/v1/imports", status_code=201, **rule("imports:write"), responses=responses(401, 403, 409, 413, 422))
def run_import(
    here: Here,
    note: Noted,
    file: Upload,
    name: Annotated[
        str, Form(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="Name of the source.")
    ],
    columns: Columns = "{}",
    encoding: Encoding = "",
    snapshot: Annotated[bool, Form(description="The file is everybody: who is missing was deleted.")] = False,
) -> Imported:
    """Take people in from a file. The same file again changes nothing; an edited one brings its edits."""
    note.target, note.detail = f"connections/{name}", {"snapshot": snapshot}
    chosen = _columns(columns)
    with _kept(here.uploads, file) as path:
        report, refused = here.files.take(path, name, chosen, snapshot, encoding)
    rows = [RefusedRow(row=row["row"], reason=row["reason"]) for row in refused]
    return Imported(
        connection=report.connection,
        outcome=report.outcome,
        message=report.message,
        counters=report.tally.as_json(),
        refused=rows,
    )


def _columns(text: str) -> dict[str, str]:
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError('columns: a JSON object of texts, as in {"Handy": "phones/mobile"}')
    return found


@contextlib.contextmanager
def _kept(folder: Path, upload: UploadFile) -> Iterator[Path]:
    """The upload as a file, for as long as it is looked at."""
    suffix = Path(upload.filename or "").suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"the file's name must end in {', '.join(SUFFIXES)}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / f"upload{suffix}"
        with path.open("wb") as out:
            shutil.copyfileobj(upload.file, out)
        yield path


@router.get(
    "/v1/exports",
    **rule("exports:read", recorded=True),
    response_class=FileResponse,
    responses={
        **responses(401, 403, 422),
        200: {
            "description": "The file. X-Left-Out: what could not be written, as JSON.",
            "content": {
                media: {"schema": {"type": "array"} if kind == "jscontact" else {"type": "string", "format": "binary"}}
                for kind, (_, media) in TYPES.items()
            },
        },
    },
)
def export_people(
    here: Here,
    note: Noted,
    format_: Annotated[Literal["vcard", "csv", "xlsx", "jscontact"], Query(alias="format")] = "vcard",
    search: Annotated[
        str, Query(max_length=320, description="Only people with this in their name, or this address.")
    ] = "",
) -> FileResponse:
    """Everybody, or who is found, as a file."""
    suffix, media = TYPES[format_]
    here.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(dir=here.uploads))
    try:
        written = here.files.write(folder / f"people{suffix}", format_, search)
    except BaseException:
        shutil.rmtree(folder)
        raise
    note.detail = {"format": format_, "people": written.contacts, "searched": bool(search)}
    return FileResponse(
        folder / f"people{suffix}",
        media_type=media,
        filename=f"people{suffix}",
        headers={"x-left-out": orjson.dumps(written.left_out).decode().encode("ascii", "backslashreplace").decode()},
        background=BackgroundTask(shutil.rmtree, folder),
    )
