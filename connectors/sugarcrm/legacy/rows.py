"""Rows as v4_1 and V8 answer them, in the shape that `connectors.sugarcrm.mapping` reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from connectors.card import email_key
from connectors.sugarcrm.mapping import COLUMNS, EXEMPT, LISTS

FREE_TEXT: Final = "description"
"""The one column in which markup stays (note, HTML entities)."""
READ: Final = ("id", "date_modified", "deleted", "do_not_call", "account_id", "email1", *COLUMNS)
"""The columns we ask for. `email1` says which address is the primary one: the links do not (transcript v41-02)."""
KEY: Final = "concord:key"
"""The pseudo-column with what stands in the settings' `key_field`."""

_READ_ENTITY: Final = re.compile("&(quot|lt|gt|#0?39);")
_READ_AS: Final = {"quot": '"', "lt": "<", "gt": ">", "#39": "'", "#039": "'"}


def decoded(text: str) -> str:
    """A text as it is stored: reads encode quotes and angle brackets, and nothing else (note, HTML entities)."""
    return _READ_ENTITY.sub(lambda match: _READ_AS[match.group(1)], text)


def row(
    values: Mapping[str, Any],
    emails: Iterable[Mapping[str, Any]] = (),
    lists: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A row as `connectors.sugarcrm.mapping` reads it.

    Blanks around a text are trimmed by some later save (note, HTML entities), so they do not count.
    """
    made: dict[str, Any] = {name: _text(name, value) for name, value in values.items()}
    primary = email_key(made.get("email1", ""))
    made["email"] = [
        {**item, "primary_address": email_key(str(item.get("email_address") or "")) == primary} for item in emails
    ]
    made[LISTS] = [item for item in lists if not str(item.get("list_type") or "").startswith(EXEMPT)]
    return made


def _text(column: str, value: Any) -> str:
    found = decoded(value) if isinstance(value, str) else "" if value in (None, False) else str(value)
    return found.replace("\r\n", "\n") if column == FREE_TEXT else found.strip()


def moment(text: str | None) -> datetime | None:
    """A time of the server, aware: UTC whatever the user's zone (note, Dates)."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
