"""What a Mailchimp export says of consent: one file of subscribers, one of those who unsubscribed, one of those whose
address does not work (spreadsheets note). Other tables have columns of that kind, too, but nobody knows what they mean.

Times are written without a zone; they are taken for UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from connectors.consent import Consent
from connectors.files.headers import Layout

ADDRESS = "Email Address"
UNSUBSCRIBED, CLEANED, SIGNED_UP = "UNSUB_TIME", "CLEAN_TIME", "OPTIN_TIME"
PROOF = {"OPTIN_TIME": "timestamp", "OPTIN_IP": "ip", "CONFIRM_TIME": "confirmed", "CONFIRM_IP": "confirmed from"}


class Consents:
    """Reads them off the rows of one table; nothing where it is no such export."""

    def __init__(self, layout: Layout) -> None:
        columns = {column.header: column.index for column in layout.columns}
        told = columns.keys() & {UNSUBSCRIBED, CLEANED, SIGNED_UP}
        self._columns: Mapping[str, int] = columns if ADDRESS in columns and told else {}

    @property
    def headers(self) -> set[str]:
        """The columns that it reads."""
        return self._columns.keys() & {UNSUBSCRIBED, "UNSUB_REASON", CLEANED, *PROOF}

    def of(self, cells: Sequence[str]) -> tuple[Consent, ...]:
        """What a row says; its cells as they stand in the file."""
        return tuple(self._found(cells)) if self._columns else ()

    def _found(self, cells: Sequence[str]) -> Iterator[Consent]:
        said = {header: cells[index].strip() for header, index in self._columns.items() if index < len(cells)}
        address = said.get(ADDRESS, "")
        if not address:
            return
        if said.get(UNSUBSCRIBED):
            reason = said.get("UNSUB_REASON") or "unsubscribed, says the export"
            yield Consent("email", address, "withdrawn", _time(said[UNSUBSCRIBED]), reason=reason)
        elif said.get(CLEANED):
            reason = "does not arrive, says the export"
            yield Consent("email", address, "undeliverable", _time(said[CLEANED]), reason=reason)
        elif (at := _time(said.get("CONFIRM_TIME", "") or said.get(SIGNED_UP, ""))) is not None:
            # A sign-up with the address it came from proves something; a list that somebody uploaded has none.
            there = said.get("OPTIN_IP") or said.get("CONFIRM_IP")
            evidence = {name: said[header] for header, name in PROOF.items() if said.get(header)} if there else {}
            yield Consent("email", address, "granted", at, evidence, "subscribed, says the export")


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
