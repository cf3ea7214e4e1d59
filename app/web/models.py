"""What several resources show."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from app.engine.world import Tally
from app.store.runs import Run

Name = Annotated[str, Path(max_length=64, description="The connection's name.", examples=["crm"])]
Uid = Annotated[
    str, Path(max_length=64, description="The person's uid.", examples=["0b7c2b9e-6f0e-4a54-9c07-3f0a4b1f7d11"])
]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
BigNumber = Annotated[int, Path(ge=1, le=2**63 - 1)]


def _written(value: Any) -> Any:
    """Pydantic takes numbers for seconds since 1970; the document does not."""
    if isinstance(value, int | float) or (isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d.", value)):
        raise ValueError("write a moment as in 2026-03-01T09:30:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A moment as RFC 3339 writes it."""

CARD: dict[str, Any] = {
    "name": {"components": [{"kind": "given", "value": "Zoë"}, {"kind": "surname", "value": "Öz"}]},
    "emails": {"e1": {"address": "zoe@example.com", "contexts": {"work": True}}},
}
Card = Annotated[
    dict[str, Any], Field(description="The contact, in a profile of JSContact (RFC 9553).", examples=[CARD])
]
Pointer = Annotated[str, Field(description="A place of the card, as a JSON pointer.", examples=["/emails/e1/address"])]


class Model(BaseModel):
    """Base of what is sent to us: nothing that we do not know."""

    model_config = ConfigDict(extra="forbid")


class Progress(BaseModel):
    """How far a run is."""

    phase: str = Field(examples=["pull"])
    done: int
    total: int | None = None


class RunInfo(BaseModel):
    """One pull and push of one connection."""

    id: int
    connection: str
    started: datetime
    finished: datetime | None
    outcome: str = Field(description="running | done | held | failed | paused | waiting", examples=["done"])
    message: str | None
    counters: dict[str, Any] = Field(examples=[Tally(pulled=12, written=3).as_json()])


def run_info(run: Run, connection: str) -> RunInfo:
    return RunInfo(
        id=run.id,
        connection=connection,
        started=run.started,
        finished=run.finished,
        outcome=run.outcome,
        message=run.message,
        counters=run.counters,
    )
