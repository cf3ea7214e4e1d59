"""SuiteCRM through its V8 JSON:API, as a connector: for servers whose v4_1 is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from connectors.card import Card, email_key
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record
from connectors.errors import Missing, Refused
from connectors.http import Http
from connectors.sugarcrm.legacy.writing import caps, client_id, twin_ids
from connectors.sugarcrm.mapping import MODULES, flags_of, module_and_row
from connectors.sugarcrm.settings import SugarSettings
from connectors.sugarcrm.suite8 import client as wire
from connectors.sugarcrm.suite8 import mapping
from connectors.sugarcrm.suite8.changes import Pull
from connectors.sugarcrm.suite8.client import Client
from connectors.sugarcrm.suite8.mapping import ADDRESS, FIELDS, READ
from connectors.sugarcrm.suite8.writing import Writer


class Suite8:
    """See `connectors.contract.Connector`."""

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(settings, context)
        self._modules = ["Contacts", "Leads"] if settings.leads else ["Contacts"]
        self._writer = Writer(self._client, settings.create_as, self.look)
        self.capabilities = Capabilities(fields=FIELDS, consents=frozenset({"email", "phone"}))

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held)

    # --- who and what ------------------------------------------------------------------------------------------------

    def check(self) -> Account:
        user = self._client.user()
        name = str(user.get("user_name") or self._settings.username)
        notes = ["V8 tells no deletions: they are found by counting and listing ids", "target lists are not read by V8"]
        for module in self._modules:
            self._client.count(module, [])
        try:
            self._client.count("EmailAddresses", [])
        except Refused:
            notes.append("addresses cannot be looked up: none can be added, and opt-outs of second ones are not seen")
        if str(user.get("is_admin")) not in ("1", "True", "true"):
            notes.append(f"{name} is no administrator: a record that is taken from view looks deleted")
        return Account(f"{name} at SuiteCRM (V8)", notes)

    # --- reading -----------------------------------------------------------------------------------------------------

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        every = timedelta(hours=self._settings.full_every)
        pull = Pull(self._client, self._modules, self._context.now, self._settings.page, every)
        return pull.changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for record in dict.fromkeys(ids):
            row = self.look(record)
            yield Record(record, None) if row is None else mapping.record(module_and_row(record)[0], row)

    def look(self, record: str) -> Mapping[str, Any] | None:
        """The full row of a record, or None."""
        module, row = module_and_row(record)
        if module not in MODULES:
            return None
        try:
            found = self._client.get(module, row, READ)
        except Missing:
            return None
        second = str(found.get("email2") or "")
        flagged = self._flags(second) if second else {}
        return mapping.full(found, flagged)

    def _flags(self, address: str) -> dict[str, Mapping[str, Any]]:
        where = [("email_address_caps", "eq", caps(address))]
        try:
            rows, _ = self._client.page("EmailAddresses", where, ADDRESS, 10)
        except Refused:
            return {}
        states = [flags_of(row) for row in rows]
        # Two beans of one address are a fault of the past; the one that says no counts.
        merged = {name: any(state[name] for state in states) for name in ("opt_out", "invalid_email")}
        return {email_key(address): merged}

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return (self._writer.write(push) for push in pushes)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """A create gives the new row its id, made of our key: so that is where it is, if it is anywhere."""
        module = self._settings.create_as
        for push in pushes:
            for row in twin_ids(client_id(push.key)):
                found = self.look(f"{module}/{row}")
                if found is not None:
                    yield push.ref, mapping.record(module, found)
                    break

    def close(self) -> None:
        self._client.close()


def speaks(http: Http) -> bool:
    """Does the server at this start page speak V8? Asked without credentials."""
    return wire.speaks(http)
