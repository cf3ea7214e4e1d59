"""The ledger of consent as a whole: who said what about being contacted, where, when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.engine.run import find
from app.store import connections
from app.store import consents as ledger
from app.store.consents import Said
from app.web.acts import Guarded, Here, rule
from app.web.models import Moment
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import responses
from connectors.consent import Channel, ConsentState

router = APIRouter(prefix="/v1/consent", route_class=Guarded, tags=["consent"])


class LedgerEntry(BaseModel):
    """One row of the ledger; rows are never rewritten."""

    id: int
    person: str
    name: str
    channel: Channel
    address: str = Field(description="Folded; empty: the whole channel.")
    state: ConsentState
    at: datetime = Field(description="When it was said, as far as is known.")
    recorded: datetime = Field(description="When we heard of it.")
    by: str
    connection: str | None
    run: int | None
    basis: str
    evidence: dict[str, str]


@router.get("", **rule("consent:read"), responses=responses(401, 403, 404, 422))
def list_consent(
    here: Here,
    channel: Channel | None = None,
    state: ConsentState | None = None,
    connection: Annotated[str | None, Query(max_length=64, description="Said there.")] = None,
    by: Annotated[Literal["human", "system"] | None, Query(description="Entered here, or heard from a system.")] = None,
    since: Annotated[Moment | None, Query(description="Recorded since then.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[LedgerEntry]:
    """Everything that was said about contacting anybody, newest first. What holds for one person is at
    `/v1/people/{uid}/consent`."""
    where = find(here.world(), connection).id if connection is not None else None
    with here.store.read() as unit:
        names = {c.id: c.name for c in connections.every(unit)}
        found = ledger.listing(
            unit,
            channel=channel,
            state=state,
            connection=where,
            human=None if by is None else by == "human",
            since=since,
            before=place(cursor),
            limit=limit + 1,
        )
    return page(found, limit, lambda row: row.id, lambda row: _shown(row, names))


def _shown(row: Said, names: dict[int, str]) -> LedgerEntry:
    entry = row.entry
    return LedgerEntry(
        id=row.id,
        person=row.uid,
        name=row.name,
        channel=entry.channel,
        address=entry.address,
        state=entry.state,
        at=entry.at,
        recorded=entry.recorded or entry.at,
        by=entry.actor,
        connection=names.get(entry.connection_id) if entry.connection_id is not None else None,
        run=entry.run_id,
        basis=entry.basis,
        evidence=dict(entry.evidence),
    )
