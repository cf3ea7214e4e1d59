"""What V8 shows of a record, and our card. Pure; the card itself: `connectors.sugarcrm.mapping`.

V8 shows two addresses of a record, the flags of the first one, and no target lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.card import Card, email_key
from connectors.contract import Record
from connectors.sugarcrm import mapping
from connectors.sugarcrm.legacy.mapping import DIALECT
from connectors.sugarcrm.legacy.rows import moment
from connectors.sugarcrm.mapping import LISTS, record_id

Row = Mapping[str, Any]

FIELDS: Final = DIALECT.fields - {"groups"}
EMAILS: Final = ("email1", "email2")
READ: Final = (
    *mapping.COLUMNS,
    *EMAILS,
    "email_opt_out",
    "invalid_email",
    "do_not_call",
    "account_id",
    "date_modified",
    "date_entered",
)
ADDRESS: Final = ("email_address", "opt_out", "invalid_email")


def fit(card: Card, held: Card | None) -> Card:
    """What a record would show if the card were written over `held`: of more than two addresses those that stand there
    already, then the first ones."""
    fitted = {name: value for name, value in mapping.fit(card, held, DIALECT).items() if name != "groups"}
    emails = fitted.get("emails") or {}
    if len(emails) <= len(EMAILS):
        return fitted
    standing = (held or {}).get("emails") or {}
    kept = sorted(emails, key=lambda key: key not in standing)[: len(EMAILS)]
    fewer = {**card, "emails": {key: value for key, value in card["emails"].items() if key in kept}}
    return {**fitted, "emails": mapping.fit(fewer, held, DIALECT)["emails"]}


def full(row: Row, flagged: Mapping[str, Row]) -> dict[str, Any]:
    """The row as `connectors.sugarcrm.mapping` reads it. flagged: {folded address: flags} where one is set."""
    emails = []
    for n, name in enumerate(EMAILS):
        address = str(row.get(name) or "")
        if address:
            shown = {"opt_out": row.get("email_opt_out"), "invalid_email": row.get("invalid_email")}
            flags = shown if n == 0 else flagged.get(email_key(address), {})
            emails.append({"email_address": address, "primary_address": n == 0, **mapping.flags_of(flags)})
    return {**row, "email": emails, LISTS: []}


def record(module: str, row: Row) -> Record:
    """A record of a full row. Times may lack their seconds, so they say nothing of the order of two states."""
    card, agreed = mapping.view(row), mapping.consents(row)
    return Record(
        id=record_id(module, row["id"]),
        card=card,
        version=mapping.version({"date_modified": minute(row.get("date_modified"))}, card, agreed),
        modified=None,
        consents=agreed,
    )


def minute(text: str | None) -> str:
    """A time to the minute, UTC, as filters take it; "" where it cannot be read."""
    at = moment(text)
    return at.strftime("%Y-%m-%d %H:%M:00") if at else ""
