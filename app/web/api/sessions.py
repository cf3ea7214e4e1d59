"""Signing in and out."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, SecretStr

from app.core.permissions import Role
from app.engine import access
from app.engine.access import SIGN_IN, Denied
from app.store import audit
from app.store.audit import Act
from app.store.store import Store
from app.web.acts import Guarded, Here, Noted, Who, address_of, rule
from app.web.models import Model
from app.web.problems import responses

router = APIRouter(prefix="/v1/sessions", route_class=Guarded, tags=["access"])


class SignIn(Model):
    """Name and password."""

    name: str = Field(max_length=64, examples=["ann"])
    password: SecretStr = Field(max_length=access.LONGEST, examples=["correct horse battery"])


class Session(BaseModel):
    """A token that lasts for a while. It is shown once."""

    token: str = Field(examples=["ccd_…"])
    expires: datetime


@router.post("", status_code=201, **rule(None, shown_once=True), responses=responses(401, 413, 422, 429))
def sign_in(here: Here, request: Request, body: SignIn) -> Session:
    """Trade name and password for a token."""
    address = address_of(request)
    try:
        token, ends = access.sign_in(here.store, body.name, body.password.get_secret_value(), address)
    except Denied:
        _record(here.store, body.name, address, 401)
        raise
    _record(here.store, body.name, address, 201)
    return Session(token=token, expires=ends)


def _record(store: Store, name: str, address: str, status: int) -> None:
    with store.begin() as unit:
        audit.begin(unit, Act(name, SIGN_IN, "sessions", status, address))


class Me(BaseModel):
    """Who I am, and what I may."""

    name: str
    role: Role
    permissions: list[str] = Field(examples=[["people:read"]])


@router.get("/current", **rule("self:read"), responses=responses(401, 403))
def show_session(who: Who) -> Me:
    """Who I am, and what I may."""
    return Me(name=who.name, role=who.role, permissions=sorted(who.permissions))


@router.delete("/current", status_code=204, **rule("self:write"), responses=responses(401, 403))
def sign_out(here: Here, who: Who) -> None:
    """The token of this very request opens nothing from now on."""
    access.sign_out(here.store, who)


class NewPassword(Model):
    """The old password proves that it is you."""

    old: SecretStr = Field(max_length=access.LONGEST)
    new: SecretStr = Field(max_length=access.LONGEST)


@router.put("/current/password", status_code=204, **rule("self:write"), responses=responses(401, 403, 413, 422, 429))
def change_own_password(here: Here, who: Who, note: Noted, body: NewPassword) -> None:
    """Change one's own password; all sessions end."""
    note.target = f"users/{who.name}"
    access.change_own_password(here.store, who, body.old.get_secret_value(), body.new.get_secret_value())
