"""Xero under the contract of a connector: see the package's docstring for its quirks and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, Sales, batched
from connectors.errors import CursorExpired
from connectors.xero import mapping, naming, sales
from connectors.xero.changes import ORDER, Fetch, Place, walk
from connectors.xero.client import CONTACTS, MOST_ROWS, SALES, Client, Listing, Row, XeroSettings
from connectors.xero.stamps import milliseconds, moment
from connectors.xero.writing import ACTIVE, Writer

VERSION: Final = 1
"""Of our cursors."""
LONG_AGO: Final = "1970-01-01T00:00:00+00:00"
"""When everything was last read in whole, where that was never proven: it is due again."""
LISTED: Final[tuple[Listing, ...]] = ("Invoices", "CreditNotes")


class Xero:
    """The contacts of one organisation; what its customers bought."""

    def __init__(self, settings: XeroSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._persons = settings.nameless == "person"
        self._client = Client(settings, context)
        self.capabilities = Capabilities(fields=mapping.FIELDS, batch=MOST_ROWS)

    def close(self) -> None:
        self._client.close()

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held, self._persons)

    def check(self) -> Account:
        """Two requests: the organisations that the consent covers, and how many contacts the chosen one has."""
        tenants = self._client.tenants()
        tenant = self._client.choose(tenants)
        answer = self._client.listing("Contacts", {"page": 1, "pageSize": 1})
        total = (answer.get("pagination") or {}).get("itemCount")
        notes = []
        scopes = self._client.scopes()
        if scopes and CONTACTS not in scopes:
            self.capabilities = replace(self.capabilities, creates=False, updates=False, deletes=False)
            notes.append("This consent is for reading only: nothing will be written to Xero.")
        if scopes and not scopes & SALES:
            notes.append("This consent does not cover invoices: purchases are not read.")
        if self._settings.tenant.lower() != tenant.id.lower():
            notes.append(f"Enter {tenant.id} as tenant to spare a request with each run.")
        if self._client.day_left is not None:
            notes.append(f"{self._client.day_left:,} requests are left today.")
        count = f" ({total:,} contacts)" if total is not None else ""
        return Account(f"{tenant.name} at Xero{count}", notes, self._client.clock, tenant.id.lower())

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """A full listing, or what changed. cursor: {v, tenant, contacts: place, full: when everything was read}."""
        place, full = self._place(cursor)
        anew = cursor is None or self._due(full)
        started = self._context.now().isoformat()
        # A listing that is made anew goes on from nowhere but its end: only whole does it tell who is gone.
        told = cursor is None or not anew
        params = {"includeArchived": "true"}
        for step in walk(self._fetch("Contacts", params), "Contacts", "ContactID", Place() if anew else place):
            complete = anew and step.proven
            at = started if complete or (cursor is None and not step.last) else full or LONG_AGO
            kept = {"v": VERSION, "tenant": self._client.tenant().id, "contacts": step.place.dump(), "full": at}
            yield Page(
                self._records(step.rows, tombstones=not anew),
                cursor=kept if told or step.last else None,
                complete=complete,
                total=step.total,
            )

    def _place(self, cursor: Any | None) -> tuple[Place, str]:
        if cursor is None:
            return Place(), ""
        known = isinstance(cursor, dict) and cursor.get("v") == VERSION
        if not known or cursor.get("tenant") != self._client.tenant().id:
            raise CursorExpired("the place was kept for another organisation or by another version")
        return Place.load(cursor.get("contacts")), str(cursor["full"])

    def _due(self, full: str) -> bool:
        return self._context.now() - datetime.fromisoformat(full) >= timedelta(hours=self._settings.full_every)

    def _fetch(self, name: Listing, params: Mapping[str, Any]) -> Fetch:
        asked = {**params, "order": ORDER, "pageSize": self._settings.page_size}
        return lambda since, page: self._client.listing(name, {**asked, "page": page}, since)

    def _records(self, rows: Sequence[Row], *, tombstones: bool) -> list[Record]:
        """The contacts of a page, those who took in others under their aliases, and those who are gone, last."""
        alive = {row["ContactID"]: row for row in rows if row.get("ContactStatus") == ACTIVE}
        gone = [row for row in rows if row.get("ContactStatus") != ACTIVE]
        aliases = self._merged(gone, alive)
        records = [self._record(row, aliases.get(key, ())) for key, row in alive.items()]
        return records + ([_tombstone(row) for row in gone] if tombstones else [])

    def _merged(self, gone: Sequence[Row], alive: dict[str, Row]) -> dict[str, list[str]]:
        """{id of a contact: ids of those that were merged into it}. Contacts that are not on the page are read and put
        into `alive`; one that was merged in its turn leads on (accounting note A: MergedToContactID)."""
        known = {**alive, **{row["ContactID"]: row for row in gone}}
        into = {row["ContactID"]: str(row["MergedToContactID"]) for row in gone if row.get("MergedToContactID")}
        while missing := sorted(set(into.values()) - known.keys()):
            for batch in batched(missing, MOST_ROWS):
                known |= {key: {} for key in batch} | {row["ContactID"]: row for row in self._client.contacts(batch)}
            into |= {
                key: str(known[key]["MergedToContactID"]) for key in missing if known[key].get("MergedToContactID")
            }
        found: dict[str, list[str]] = {}
        for loser in into:
            winner, passed = loser, set[str]()
            while winner in into and winner not in passed:
                passed.add(winner)
                winner = into[winner]
            if known[winner].get("ContactStatus") == ACTIVE:
                alive[winner] = known[winner]
                found.setdefault(winner, []).append(loser)
        return found

    def _record(self, contact: Row, aliases: Sequence[str] = ()) -> Record:
        at = milliseconds(contact.get("UpdatedDateUTC"))
        return Record(
            id=contact["ContactID"],
            card=mapping.view(contact, self._persons),
            version=str(at),
            modified=moment(at) if at else None,
            key=naming.key_of(contact),
            aliases=aliases,
        )

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for batch in batched(dict.fromkeys(ids), MOST_ROWS):
            there = {row["ContactID"]: row for row in self._client.contacts(batch)}
            for key in batch:
                row = there.get(key)
                alive = row is not None and row.get("ContactStatus") == ACTIVE
                yield self._record(row) if row is not None and alive else Record(key, None)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        for push in pushes:
            row = self._client.contact(naming.number_of(push.key))
            if row is not None and row.get("ContactStatus") == ACTIVE and naming.key_of(row) == push.key:
                yield push.ref, self._record(row)

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        yield from Writer(self._client, self._record).write(pushes)

    # -- purchases

    def purchases(self, cursor: Any | None) -> Iterator[Sales]:
        """See `connectors.contract.Seller`. cursor: {v, tenant, Invoices: place, CreditNotes: place}. Nothing comes
        where the consent does not cover invoices; `check` says so."""
        scopes = self._client.scopes()
        if scopes and not scopes & SALES:
            return
        places = self._sold_places(cursor)
        for name in LISTED:
            params = {"where": f'Type=="{sales.TYPES[name]}"', "unitdp": 4}
            if name == "Invoices":
                params["includeArchived"] = "true"
            for step in walk(self._fetch(name, params), name, sales.IDS[name], places[name]):
                places[name] = step.place
                sold = [row for row in step.rows if sales.is_sale(name, row)]
                found = {row[sales.IDS[name]]: sales.purchase(name, row) for row in sold}
                yield Sales(
                    purchases=[purchase for purchase in found.values() if purchase is not None],
                    gone=[key for key, purchase in found.items() if purchase is None],
                    cursor={
                        "v": VERSION,
                        "tenant": self._client.tenant().id,
                        **{listed: place.dump() for listed, place in places.items()},
                    },
                )

    def _sold_places(self, cursor: Any | None) -> dict[str, Place]:
        if cursor is None:
            return {name: Place() for name in LISTED}
        known = isinstance(cursor, dict) and cursor.get("v") == VERSION
        if not known or cursor.get("tenant") != self._client.tenant().id:
            raise CursorExpired("the place was kept for another organisation or by another version")
        return {name: Place.load(cursor.get(name)) for name in LISTED}


def _tombstone(contact: Row) -> Record:
    """Archived, merged or erased: gone."""
    at = milliseconds(contact.get("UpdatedDateUTC"))
    return Record(contact["ContactID"], None, version=str(at), modified=moment(at) if at else None)
