"""What can be connected."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.web.acts import Guarded, Here, rule
from app.web.problems import responses

router = APIRouter(prefix="/v1/systems", route_class=Guarded, tags=["connections"])


class SystemInfo(BaseModel):
    """A kind of remote that can be connected."""

    name: str = Field(examples=["vtiger"])
    title: str
    direction: str = Field(description="Which way changes flow where nothing is said.")
    oauth: bool = Field(description="Is consent given in the browser?")
    settings: dict[str, Any] = Field(description="JSON Schema of the settings.")
    secrets: list[str] = Field(description="The settings that are stored encrypted.")


@router.get("", **rule("connections:read"), responses=responses(401, 403))
def list_systems(here: Here) -> list[SystemInfo]:
    """The installed systems and what they need to know."""
    return [SystemInfo(**system) for system in here.accounts.systems()]
