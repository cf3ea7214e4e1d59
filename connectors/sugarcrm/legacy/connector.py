"""SugarCRM CE and SuiteCRM 7 through `service/v4_1/rest.php`, as a connector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.http import Http
from connectors.sugarcrm import mapping
from connectors.sugarcrm.legacy import client as wire
from connectors.sugarcrm.legacy.changes import TABLES, Pull, takes_wide
from connectors.sugarcrm.legacy.client import Client, Forbidden, listed
from connectors.sugarcrm.legacy.mapping import DIALECT
from connectors.sugarcrm.legacy.writing import Writer, client_id, record_of, twin_ids
from connectors.sugarcrm.mapping import module_and_row, record_id
from connectors.sugarcrm.settings import SugarSettings

BATCH: Final = 100
"""Pushes that are written together: one look before, one save, one look after."""
AT_ONCE: Final = 300
"""Ids in one query."""


class Legacy:
    """See `connectors.contract.Connector`."""

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(
            settings.url,
            settings.username,
            settings.password.get_secret_value(),
            context,
            rate=settings.rate,
            verify=settings.verify_tls,
            key_field=settings.key_field,
        )
        self._modules = ["Contacts", "Leads"] if settings.leads else ["Contacts"]
        self._writer = Writer(self._client, settings.create_as, self.look, settings.key_field)
        self.capabilities = Capabilities(fields=DIALECT.fields, batch=BATCH, consents=frozenset({"email", "phone"}))

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held, DIALECT)

    # --- who and what ------------------------------------------------------------------------------------------------

    def check(self) -> Account:
        server, user = self._client.server(), self._client.user
        notes = []
        for module in self._modules:
            known, key_field = self._client.fields(module), self._settings.key_field
            if key_field and key_field not in known:
                notes.append(f"{module} has no field {key_field}: our key is not kept")
        if not user.admin:
            notes.append(f"{user.name} is no administrator: a record that is taken from view looks deleted in the end")
        at = (server.clock or self._context.now()).strftime("%Y-%m-%d %H:%M:%S")
        if not takes_wide(self._client, self._modules[0], at):
            hours = self._settings.full_every
            notes.append(f"changed addresses and opt-outs are found once in {hours:g} hours: this server hides them")
        if server.rebuilds:
            notes.append("this server touches opt-outs on each save; what a write of ours must not change is put back")
        notes += self._missing()
        return Account(f"{user.name} at {server.version}", notes, server.clock)

    def _missing(self) -> list[str]:
        """What this user cannot have beside the people themselves."""
        needed = {
            "Accounts": "organisations are neither found nor made",
            "ProspectLists": "memberships in target lists are seen with full listings only, and none are written",
            "EmailAddresses": "no e-mail address can be added",
        }
        notes = []
        for module, lost in needed.items():
            try:
                self._client.fields(module)
            except Forbidden:
                notes.append(f"this user has no access to {module}: {lost}")
        return notes

    # --- reading -----------------------------------------------------------------------------------------------------

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        pull = Pull(
            self._client,
            self._modules,
            record_of,
            self._context.now,
            self._settings.page,
            timedelta(hours=self._settings.full_every),
        )
        return pull.changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for batch in batched(dict.fromkeys(ids), BATCH):
            found = self.look(batch)
            for record in batch:
                row = found.get(record)
                gone = row is None or row.get("deleted") == "1"
                yield Record(record, None) if row is None or gone else record_of(module_and_row(record)[0], row)

    def look(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The rows of these records that there are, those in the bin included, by record id."""
        by_module: dict[str, list[str]] = {}
        for record in ids:
            module, row = module_and_row(record)
            by_module.setdefault(module, []).append(row)
        found: dict[str, Mapping[str, Any]] = {}
        for module in by_module.keys() & TABLES.keys():
            for batch in batched(by_module[module], AT_ONCE):
                where = f"{TABLES[module]}.id in {listed(batch)}"
                rows = self._client.people(module, where, size=AT_ONCE, deleted=True).rows
                found |= {record_id(module, row["id"]): row for row in rows}
        return found

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        for batch in batched(pushes, BATCH):
            yield from self._writer.write(batch)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """A create gives the new row its id, made of our key: so that is where it is, if it is anywhere."""
        module = self._settings.create_as
        for batch in batched((push for push in pushes if push.card is not None), BATCH):
            wanted = {record_id(module, row): push for push in batch for row in twin_ids(client_id(push.key))}
            told: set[str] = set()
            for record, row in self.look(list(wanted)).items():
                push = wanted[record]
                if row.get("deleted") != "1" and push.ref not in told:
                    told.add(push.ref)
                    yield push.ref, record_of(module, row)

    def close(self) -> None:
        self._client.close()


def speaks(http: Http) -> bool:
    """Does the server at this start page speak v4_1? Asked without credentials."""
    return wire.speaks(http)
