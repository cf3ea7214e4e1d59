"""Rows of REST v11 as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connectors.contract import Record
from connectors.sugarcrm import mapping
from connectors.sugarcrm.client import Row

STAMP: Final = "date_modified"


def fields(key_field: str = "") -> list[str]:
    """The fields that we read of Contacts and Leads. `sync_key` holds our key where we may write it (A6)."""
    more = ["account_id", "email", "tag", "do_not_call", STAMP, "sync_key", *([key_field] if key_field else [])]
    return ["id", *mapping.COLUMNS, *more]


def record(module: str, row: Row, lists: Sequence[Row], key_field: str = "") -> Record:
    """The record of a row and the target lists that it is in.

    raw: {stamp: date_modified as it came, lists: {id: name}, denied: columns that this user may not write}.
    """
    full = {**row, mapping.LISTS: list(lists)}
    shown, agreed = mapping.view(full), mapping.consents(full)
    raw: dict[str, Any] = {"stamp": str(row.get(STAMP) or "")}
    if lists:
        raw["lists"] = {str(entry["id"]): str(entry["name"]) for entry in lists}
    if denied := unwritable(row):
        raw["denied"] = denied
    return Record(
        id=mapping.record_id(module, str(row["id"])),
        card=shown,
        version=mapping.version({STAMP: instant(row)}, shown, agreed),
        modified=moment(row),
        key=mapping.key(row.get("sync_key")) or (mapping.key(row.get(key_field)) if key_field else None),
        raw=raw,
        consents=agreed,
    )


def tombstone(module: str, row: Row) -> Record:
    """The record of a deleted row, which shrinks to its id and the time of its deletion (A4)."""
    return Record(mapping.record_id(module, str(row["id"])), None, modified=moment(row))


def unwritable(row: Row) -> list[str]:
    """The fields that this user may not write (A3)."""
    acl = row.get("_acl")
    denied = acl.get("fields") if isinstance(acl, Mapping) else None
    if not isinstance(denied, Mapping):  # PHP writes an empty object as a list
        return []
    return sorted(
        str(name) for name, verbs in denied.items() if isinstance(verbs, Mapping) and verbs.get("write") == "no"
    )


def moment(row: Row) -> datetime | None:
    """When the row changed, aware. Times come with the user's offset (A3)."""
    try:
        at = datetime.fromisoformat(str(row.get(STAMP)))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def instant(row: Row) -> str:
    """When the row changed, in UTC: comparable as text, and what a filter takes; "" where it does not say."""
    at = moment(row)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""
