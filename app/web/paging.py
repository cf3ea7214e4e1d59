"""Pages: a cursor says where the next one begins. It means nothing to the client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")
Row = TypeVar("Row")

MOST = 200
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(max_length=2_000, description="`next` of the page before; none: from the beginning.")
]


class Page(BaseModel, Generic[T]):
    """Some of a listing."""

    items: list[T]
    next: str | None = Field(default=None, description="The cursor of the next page; null: this is the last one.")


def place(cursor: str | None, like: type[Any] = int) -> Any:
    """What the cursor stands for: a value of that type; None for the beginning. Raises ValueError."""
    if cursor is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error):
        found = None
    flawed = (like is int and not 0 <= found < 2**63) or "\0" in str(found) if isinstance(found, like) else True
    if flawed or isinstance(found, bool):
        raise ValueError("this cursor is from another listing; begin again without one")
    return found


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode()


def page(rows: Sequence[Row], limit: int, key: Callable[[Row], Any], show: Callable[[Row], T]) -> Page[T]:
    """A page of `limit` of these rows, of which there is one more if there is another page."""
    more = cursor_of(key(rows[limit - 1])) if len(rows) > limit else None
    return Page(items=[show(row) for row in rows[:limit]], next=more)
