"""Who may use the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, SecretStr

from app.core.permissions import Role
from app.engine import access
from app.store import access as stored
from app.store.access import User
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.models import Model
from app.web.problems import responses

router = APIRouter(prefix="/v1/users", route_class=Guarded, tags=["access"])
UserName = Annotated[str, Path(max_length=64, examples=["ann"])]


class UserInfo(BaseModel):
    """Somebody who may use the API."""

    name: str = Field(examples=["ann"])
    role: Role
    enabled: bool
    password: bool = Field(description="Can sign in with a password; else with tokens only.")
    created: datetime


def _info(user: User) -> UserInfo:
    known = user.password is not None
    return UserInfo(name=user.name, role=user.role, enabled=user.enabled, password=known, created=user.created)


class NewUser(Model):
    """A user to be made."""

    name: str = Field(max_length=64, examples=["ann"])
    role: Role = Field(examples=["viewer"])
    password: SecretStr | None = Field(
        default=None, max_length=access.LONGEST, description="Without one the user comes in with tokens only."
    )


class UserChange(Model):
    """What is given is changed."""

    role: Role | None = Field(default=None, examples=["operator"])
    enabled: bool | None = None
    password: SecretStr | None = Field(default=None, max_length=access.LONGEST)


@router.get("", **rule("users:read"), responses=responses(401, 403))
def list_users(here: Here) -> list[UserInfo]:
    """All users, by name."""
    with here.store.read() as unit:
        return [_info(user) for user in stored.every_user(unit)]


@router.post("", status_code=201, **rule("users:write"), responses=responses(401, 403, 409, 413, 422))
def add_user(here: Here, who: Who, note: Noted, body: NewUser, response: Response) -> UserInfo:
    """Make a user. The token of the first start can make the first admin, and nothing else."""
    note.target, note.detail = f"users/{body.name}", {"role": body.role}
    password = body.password.get_secret_value() if body.password else None
    access.add_user(here.store, body.name, body.role, password, first=who.user_id is None)
    response.headers["location"] = f"/v1/users/{body.name}"
    return _read(here, body.name)


@router.get("/{name}", **rule("users:read"), responses=responses(401, 403, 404))
def show_user(here: Here, name: UserName) -> UserInfo:
    """One user."""
    return _read(here, name)


def _read(here: Here, name: str) -> UserInfo:
    with here.store.read() as unit:
        user = stored.user(unit, name)
    if user is None:
        raise LookupError(f"no user is called {name!r}")
    return _info(user)


@router.patch("/{name}", **rule("users:write"), responses=responses(401, 403, 404, 409, 413, 422))
def change_user(here: Here, note: Noted, name: UserName, body: UserChange) -> UserInfo:
    """Change a user; their sessions end."""
    given = body.model_dump(exclude_none=True)
    note.detail = {key: value for key, value in given.items() if key != "password"}
    note.detail |= {"password": "changed"} if body.password else {}
    password = body.password.get_secret_value() if body.password else None
    return _info(access.change_user(here.store, name, role=body.role, enabled=body.enabled, password=password))


@router.delete("/{name}", status_code=204, **rule("users:write"), responses=responses(401, 403, 404, 409))
def remove_user(here: Here, name: UserName) -> None:
    """Remove a user with all tokens. What they did stays in the audit."""
    access.remove_user(here.store, name)
