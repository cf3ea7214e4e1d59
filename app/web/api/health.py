"""Is the daemon alive, and can it work?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.web.acts import Guarded, Here, rule
from app.web.problems import Failure, responses

router = APIRouter(route_class=Guarded, tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", **rule(None))
def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", **rule(None), responses=responses(503))
def readyz(here: Here) -> Health:
    """The process can work: its database, and whatever else it needs, can be had."""
    with here.store.read():
        pass
    reasons = [reason for ready in here.ready if (reason := ready())]
    if reasons:
        raise Failure(503, "; ".join(reasons))
    return Health()
