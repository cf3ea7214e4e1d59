"""What the daemon did: runs, how far they are, and what became of each record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.datastructures import State

from app.engine.access import TooOften
from app.engine.run import find
from app.store import connections, overview
from app.store.overview import Result
from app.store.runs import Run
from app.store.store import Unit
from app.web.acts import Guarded, Here, may_still, ports_of, rule
from app.web.models import Number, Progress, RunInfo, run_info
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.ports import Ports
from app.web.problems import responses

router = APIRouter(prefix="/v1/runs", route_class=Guarded, tags=["runs"])
LOOK: Final = 0.5
"""Seconds between two looks at a run that is watched."""
ALIVE: Final = 15.0
"""Seconds after which a silent stream says that it is still there (proxies cut what is silent)."""

WATCHING: Final = "runs:read"
"""What it takes to follow a run, all the time."""
STREAMS: Final = 100
"""Runs that are followed at one time; each look costs a query or two."""
RETRY: Final = 10.0


@router.get("", **rule("runs:read"), responses=responses(401, 403, 404, 422))
def list_runs(
    here: Here,
    connection: Annotated[str | None, Query(max_length=64)] = None,
    outcome: Literal["running", "done", "held", "failed", "paused", "waiting", "busy"] | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunInfo]:
    """Runs, newest first."""
    of = find(here.world(), connection).id if connection is not None else None
    before = place(cursor)
    with here.store.read() as unit:
        names = _names(unit)
        found = overview.list_runs(unit, connection=of, outcome=outcome, before=before, limit=limit + 1)
    return page(found, limit, lambda run: run.id, lambda run: run_info(run, names[run.connection_id]))


def _names(unit: Unit) -> dict[int, str]:
    return {connection.id: connection.name for connection in connections.every(unit)}


def _run(unit: Unit, id_: int) -> Run:
    run = overview.run(unit, id_)
    if run is None:
        raise LookupError(f"there is no run {id_}")
    return run


class RunDetail(RunInfo):
    """A run, and how far it is."""

    progress: Progress | None


@router.get("/{id}", **rule("runs:read"), responses=responses(401, 403, 404, 422))
def show_run(here: Here, id: Number) -> RunDetail:  # noqa: A002
    """One run."""
    return _detail(here, id)


def _detail(here: Ports, id_: int) -> RunDetail:
    with here.store.read() as unit:
        run = _run(unit, id_)
        told = overview.progress(unit, id_) if run.outcome == "running" else None
        name = _names(unit)[run.connection_id]
    progress = Progress(phase=told[0], done=told[1], total=told[2]) if told else None
    return RunDetail(progress=progress, **run_info(run, name).model_dump())


class ResultInfo(BaseModel):
    """What became of one record or person. taken: its card changed by this run (detail: in so many places); written:
    to the remote; conflict: both sides changed the place in `detail`; refused: could not be taken in; aside: could not
    be written; waiting: for the brake."""

    what: Literal["taken", "written", "conflict", "refused", "aside", "waiting"]
    person: str | None
    name: str | None
    record: str | None
    detail: str | None


def _result(found: Result) -> ResultInfo:
    return ResultInfo(what=found.what, person=found.uid, name=found.name, record=found.record, detail=found.detail)


@router.get("/{id}/results", **rule("runs:read"), responses=responses(401, 403, 404, 422))
def list_results(here: Here, id: Number, limit: Limit = 50, cursor: Cursor = None) -> Page[ResultInfo]:  # noqa: A002
    """What became of the records in a run, as far as it is stored: a later run that wrote the same one is named
    instead."""
    after = pair(place(cursor, list), 2)
    with here.store.read() as unit:
        found = overview.results(unit, _run(unit, id), after=after, limit=limit + 1)
    return page(found, limit, lambda row: [row.what, row.key], _result)


def pair(found: Any, length: int) -> list[str] | None:
    """The texts that a cursor stands for."""
    if found is not None and (len(found) != length or not all(isinstance(text, str) for text in found)):
        raise ValueError("this cursor is from another listing; begin again without one")
    return found  # type: ignore[no-any-return]


@router.get(
    "/{id}/events",
    **rule(WATCHING),
    response_class=StreamingResponse,
    responses={
        **responses(401, 403, 404, 422, 429),
        200: {
            "description": "Server-sent events: `progress` with a run as it is, `end` with it as it ended.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
async def watch_run(request: Request, id: Number) -> StreamingResponse:  # noqa: A002
    """Follow a run while it happens, for as long as the token is good."""
    here = ports_of(request)
    first = await run_in_threadpool(_detail, here, id)
    return StreamingResponse(_in_turn(request.app.state, _events(request, here, first)), media_type="text/event-stream")


def _in_turn(state: State, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """One of so many streams at a time. Raises TooOften where there are enough."""
    open_ = getattr(state, "streams", 0)
    if open_ >= STREAMS:
        raise TooOften(RETRY, "too many streams are open; close one, or try again in a while")

    async def counted() -> AsyncIterator[str]:
        state.streams = getattr(state, "streams", 0) + 1
        try:
            async for event in events:
                yield event
        finally:
            state.streams -= 1

    return counted()


async def _events(request: Request, here: Ports, run: RunDetail) -> AsyncIterator[str]:
    shown, silent = "", 0.0
    while True:
        now = run.model_dump_json()
        if run.outcome != "running":
            yield f"event: end\ndata: {now}\n\n"
            return
        if now != shown:
            yield f"event: progress\ndata: {now}\n\n"
            shown, silent = now, 0.0
        elif silent >= ALIVE:
            yield ": still there\n\n"
            silent = 0.0
        if here.stopping() or await request.is_disconnected():
            return
        await asyncio.sleep(LOOK)
        silent += LOOK
        if not await may_still(request, WATCHING):
            return
        run = await run_in_threadpool(_detail, here, run.id)
