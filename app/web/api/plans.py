"""What a sync would do: made, read, approved whole or in part, rejected."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from app.engine import plan as planning
from app.engine.plan import Forecast
from app.engine.run import find
from app.store import overview, runs
from app.store.overview import Plan
from app.web.acts import Guarded, Here, Noted, rule
from app.web.models import BigNumber, Model, Number
from app.web.paging import Cursor, Limit, Page, cursor_of, page, place
from app.web.problems import Failure, responses

router = APIRouter(prefix="/v1/plans", route_class=Guarded, tags=["plans"])
_MAKING: Final = threading.BoundedSemaphore(2)
"""A plan reads remotes and holds what they say in memory."""


class ForecastInfo(BaseModel):
    """What would happen to one connection."""

    connection: str
    first: bool = Field(description="Is it the first contact?")
    records: int = Field(description="Records that were read.")
    people: int = Field(description="Persons who would be new here.")
    linked: int
    updated: int
    conflicts: int
    refused: int
    losses: int = Field(description="Deletions and blanks that would be taken over.")
    held: str | None = Field(description="Why the brake would stop the run.")
    creates: int
    updates: int
    deletes: int
    aside: int = Field(0, description="Persons not made, since a record there that cannot be read may be theirs.")
    requests: int = Field(description="What the writes would cost, estimated.")
    cannot_hold: dict[str, int] = Field(description="{field: persons who have it and would not show it there}")
    failed: str | None = Field(
        default=None,
        description="Why the connection could not be read; then nothing of it is known. Where it is the only one that "
        "the plan was asked for, there is no plan.",
    )


assert {*ForecastInfo.model_fields} == {*Forecast.__slots__}


class PlanInfo(BaseModel):
    """A plan, without its single items."""

    id: int
    made: datetime
    state: Literal["waiting", "approved", "rejected"]
    connections: list[ForecastInfo]


def _info(plan: Plan) -> PlanInfo:
    return PlanInfo.model_validate(
        {"id": plan.id, "made": plan.made, "state": plan.state, "connections": plan.forecasts}
    )


class NewPlan(Model):
    """For which connections."""

    connections: list[str] = Field(min_length=1, max_length=100, examples=[["crm"]])


@router.get("", **rule("plans:read"), responses=responses(401, 403, 422))
def list_plans(here: Here, limit: Limit = 20, cursor: Cursor = None) -> Page[PlanInfo]:
    """Plans, newest first."""
    before = place(cursor)
    with here.store.read() as unit:
        found = overview.list_plans(unit, before=before, limit=limit + 1)
    return page(found, limit, lambda plan: plan.id, _info)


@router.post("", status_code=201, **rule("plans:write"), responses=responses(401, 403, 404, 409, 413, 422, 502, 503))
def make_plan(here: Here, note: Noted, body: NewPlan, response: Response) -> PlanInfo:
    """Find out what syncing these connections would do. They are read to the end; nothing is changed."""
    note.detail = {"connections": body.connections}
    world = here.world()
    if not _MAKING.acquire(blocking=False):
        raise Failure(503, "two plans are being made already; ask again when one is done", {"retry-after": "30"})
    try:
        made = planning.save(world, planning.make(world, list(dict.fromkeys(body.connections))))
    finally:
        _MAKING.release()
    note.target = f"plans/{made.id}"
    response.headers["location"] = f"/v1/plans/{made.id}"
    return _info(_plan(here, made.id))


def _plan(here: Here, id_: int) -> Plan:
    with here.store.read() as unit:
        plan = overview.plan(unit, id_)
    if plan is None:
        raise LookupError(f"there is no plan {id_}")
    return plan


@router.get("/{id}", **rule("plans:read"), responses=responses(401, 403, 404, 422))
def show_plan(here: Here, id: Number) -> PlanInfo:  # noqa: A002
    """One plan."""
    return _info(_plan(here, id))


class ItemInfo(BaseModel):
    """One thing that would happen to one person in one connection."""

    connection: str
    action: Literal["link", "create", "update", "delete"]
    person: str
    name: str
    record: str | None
    values: list[tuple[str, Any, Any]] = Field(description="[[place, before, after]]")


@router.get("/{id}/items", **rule("plans:read"), responses=responses(401, 403, 404, 422))
def list_items(
    here: Here,
    id: BigNumber,  # noqa: A002
    connection: Annotated[str | None, Query(max_length=64)] = None,
    action: Literal["link", "create", "update", "delete"] | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ItemInfo]:
    """Every single thing that the plan would do."""
    start = place(cursor) or 0
    _plan(here, id)
    with here.store.read() as unit:
        items = overview.plan_items(unit, id)
    wanted = {"connection": connection, "action": action}
    found = [item for item in items if all(value in (None, item[name]) for name, value in wanted.items())]
    more = cursor_of(start + limit) if len(found) > start + limit else None
    return Page(items=[ItemInfo.model_validate(item) for item in found[start : start + limit]], next=more)


class Approval(Model):
    """Whole, or in part."""

    connections: list[str] | None = Field(
        default=None, max_length=100, description="Only these of the plan's; by default, all that could be read."
    )
    hold: list[str] = Field(
        default=[],
        max_length=10_000,
        examples=[["0b7c2b9e-6f0e-4a54-9c07-3f0a4b1f7d11"]],
        description="Uids of persons who shall not be written there.",
    )


@router.post("/{id}/approval", **rule("plans:write"), responses=responses(401, 403, 404, 409, 413, 422))
def approve_plan(here: Here, note: Noted, id: Number, body: Approval) -> PlanInfo:  # noqa: A002
    """Let the plan's connections have their first contact, and have them synced: all that could be read, or those that
    are named."""
    plan = _waiting(here, id)
    planned = [f["connection"] for f in plan.forecasts if f["first"] and not f.get("failed")]
    chosen = planned if body.connections is None else body.connections
    if unknown := [name for name in chosen if name not in {f["connection"] for f in plan.forecasts}]:
        raise ValueError(f"plan {id} is not about {', '.join(unknown)}")
    note.detail = {"connections": chosen, "held": len(body.hold)}
    world = here.world()
    planning.approve(world, chosen, hold=body.hold)
    _settle(here, id, "approved")
    for name in chosen:
        here.jobs.enqueue("sync", find(world, name).id)
    return _info(_plan(here, id))


@router.post("/{id}/rejection", **rule("plans:write"), responses=responses(401, 403, 404, 409, 422))
def reject_plan(here: Here, id: Number) -> PlanInfo:  # noqa: A002
    """This is not what is wanted; nothing happens."""
    _waiting(here, id)
    _settle(here, id, "rejected")
    return _info(_plan(here, id))


def _waiting(here: Here, id_: int) -> Plan:
    plan = _plan(here, id_)
    if plan.state != "waiting":
        raise Failure(409, f"plan {id_} is {plan.state} already; make a new one")
    return plan


def _settle(here: Here, id_: int, state: Literal["approved", "rejected"]) -> None:
    with here.store.begin(durable=True) as unit:
        runs.set_plan_state(unit, id_, state)
