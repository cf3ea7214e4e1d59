"""Tokens for programs."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.engine import access
from app.store import access as stored
from app.store.access import Token
from app.store.store import Unit
from app.web.acts import Guarded, Here, Noted, Who, rule
from app.web.models import Model, Number
from app.web.paging import Cursor, Limit, Page, page, place
from app.web.problems import Failure, responses

router = APIRouter(prefix="/v1/tokens", route_class=Guarded, tags=["access"])
MAX_DAYS = 3650


class TokenInfo(BaseModel):
    """A token, but for itself."""

    id: int
    user: str
    name: str = Field(examples=["nightly report"])
    scopes: list[str] = Field(examples=[["people:read"]])
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None


class NewToken(Model):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=64, description="What it is for.", examples=["nightly report"])
    scopes: list[str] = Field(
        default=["*"], min_length=1, max_length=64, description="What it may, of what its user may; * is all of it."
    )
    days: int | None = Field(
        default=90, ge=1, le=MAX_DAYS, description="How long it is good; null: until it is revoked."
    )
    user: str | None = Field(
        default=None, max_length=64, description="Whose it is; by default, mine. Others': admins only."
    )


class MadeToken(TokenInfo):
    """A new token. It is shown once."""

    token: str = Field(examples=["ccd_…"])


def _info(unit: Unit, token: Token) -> TokenInfo:
    user = stored.user_by_id(unit, token.user_id) if token.user_id is not None else None
    given = {name: getattr(token, name) for name in TokenInfo.model_fields if name != "user"}
    return TokenInfo(user=user.name if user else "", **given)


@router.get("", **rule("tokens:read"), responses=responses(401, 403, 422))
def list_tokens(here: Here, who: Who, limit: Limit = 50, cursor: Cursor = None) -> Page[TokenInfo]:
    """My tokens; an admin sees everybody's."""
    own = None if who.may("users:write") else who.user_id
    with here.store.read() as unit:
        found = stored.list_tokens(unit, own, after=place(cursor) or 0, limit=limit + 1)
        return page(found, limit, lambda token: token.id, lambda token: _info(unit, token))


@router.post(
    "",
    status_code=201,
    **rule("tokens:write", shown_once=True),
    responses=responses(401, 403, 404, 409, 413, 422),
)
def make_token(here: Here, who: Who, note: Noted, body: NewToken, response: Response) -> MadeToken:
    """Make a token. It can do no more than the one that makes it, and no more than its user."""
    user = body.user or who.name
    if user != who.name and not who.may("users:write"):
        raise Failure(403, "tokens of others are an admin's to make")
    life = timedelta(days=body.days) if body.days is not None else None
    note.detail = {"user": user, "name": body.name, "scopes": body.scopes, "days": body.days}
    token, made = access.issue(here.store, body.name, user, body.scopes, life, within=who.scopes)
    note.target = f"tokens/{made.id}"
    response.headers["location"] = f"/v1/tokens/{made.id}"
    with here.store.read() as unit:
        return MadeToken(token=token, **_info(unit, made).model_dump())


@router.delete("/{id}", status_code=204, **rule("tokens:write"), responses=responses(401, 403, 404, 422))
def revoke_token(here: Here, who: Who, id: Number) -> None:  # noqa: A002
    """It opens nothing from now on."""
    access.revoke(here.store, id, of=None if who.may("users:write") else who.user_id)
