"""QuickBooks Online under the contract of a connector: see the package's docstring for its quirks and limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, Sales, batched
from connectors.quickbooks import mapping, merges, sales
from connectors.quickbooks.changes import Feed, Step, is_deleted, updated
from connectors.quickbooks.client import BATCH, Client, QuickBooksSettings, Row, listed
from connectors.quickbooks.mapping import ATTEMPTS
from connectors.quickbooks.places import DISPLAY, KINDS, Kind, kind_of
from connectors.quickbooks.writing import Writer, intent_of

READ: Final = 200
"""Records asked for in one statement."""
NAMES: Final = 100
"""Names looked for in one statement: each may be 500 characters long."""
ALL: Final = "Active in (true, false)"
"""Inactive records are hidden from queries that do not ask for them (note)."""
FIND_LAG: Final = 60.0
"""Seconds for which a create that was cut off may still be at work."""


class QuickBooks:
    """One company's customers and vendors. Record ids are "Customer/58" and "Vendor/12"; `raw` is `mapping.memory`."""

    def __init__(self, settings: QuickBooksSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(settings, context)
        self._kinds = {name: KINDS[name] for name in settings.entities}
        self._new = KINDS[settings.create_as]
        self._home = ""
        fields = frozenset().union(*(kind.fields for kind in self._kinds.values()))
        self.capabilities = Capabilities(fields=fields, batch=BATCH, find_lag=FIND_LAG)

    def close(self) -> None:
        self._client.close()

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held, kind_of(held, self._new))

    def check(self) -> Account:
        """A request for the company, and one for each kind of record: what may not be read shows here."""
        answer = self._client.query("select * from CompanyInfo")
        company = (answer.get("CompanyInfo") or [{}])[0]
        numbers = [f"{self._client.count(name):,} {name.lower()}s" for name in self._kinds]
        notes = [
            "Nothing is deleted in QuickBooks: a record is made inactive, and only where nothing is owed.",
            "Sub-customers and jobs are read and kept up to date, but never renamed.",
        ]
        name = company.get("CompanyName") or "a company"
        label = f"{name} in QuickBooks Online ({', '.join(numbers)})"
        return Account(label, notes, self._client.clock, self._client.realm)

    # --- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        feed = Feed(self._client, list(self._kinds), self._context.now, where=ALL, relist=self._settings.full_every)
        pairs: dict[str, str] = (self._context.memory.get(merges.MEMORY) or {}).get(self._settings.realm_id) or {}
        done = pairs.keys() & (cursor.get("merged") or () if isinstance(cursor, Mapping) else ())
        aliases = self._aliases({gone: left for gone, left in pairs.items() if gone not in done})
        if aliases:  # before anything else tells that somebody is gone
            yield Page(aliases)
        done |= {gone for record in aliases for gone in record.aliases}
        for step in feed.steps(cursor):
            records = self._records(step, everything=step.cursor is None)
            # A merge that did not show by the time that all was listed anew never will.
            kept = step.cursor and {**step.cursor, "merged": sorted(pairs if step.complete else done)}
            yield Page(records, dict.fromkeys(step.listed), kept, step.complete)

    def _records(self, step: Step, everything: bool) -> list[Record]:
        """The records of a step. A listing of everything tells what is gone by leaving it out."""
        records = [self._record(entity, row) for entity, row in step.rows]
        return [record for record in records if record.card is not None] if everything else records

    def _aliases(self, pairs: Mapping[str, str]) -> list[Record]:
        """Records that took in others, which a webhook told."""
        found = merges.followed(pairs, self._rows)
        return [replace(self._record(left.partition("/")[0], row), aliases=gone) for left, row, gone in found]

    def _record(self, entity: str, row: Row) -> Record:
        """An inactive or deleted row is a tombstone; made active again, it is back."""
        name, version = f"{entity}/{row['Id']}", row.get("SyncToken")
        if is_deleted(row) or not row.get("Active", True):
            return Record(name, None, version=version, modified=updated(row))
        card = mapping.view(row, KINDS[entity])
        return Record(name, card, version=version, modified=updated(row), raw=mapping.memory(row))

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        wanted = list(dict.fromkeys(ids))
        rows = self._rows(wanted)
        for name in wanted:
            row = rows.get(name)
            yield Record(name, None) if row is None else self._record(name.partition("/")[0], row)

    def _rows(self, names: Iterable[str]) -> dict[str, Row]:
        """The rows there are, inactive ones too, by record id."""
        by_entity: dict[str, list[str]] = {}
        for name in names:
            entity, _, number = name.partition("/")
            if entity in self._kinds and number.isdecimal():
                by_entity.setdefault(entity, []).append(number)
        found: dict[str, Row] = {}
        for entity, numbers in by_entity.items():
            for batch in batched(numbers, READ):
                rows = self._client.rows(entity, f"Id in {listed(batch)} and {ALL}")
                found |= {f"{entity}/{row['Id']}": row for row in rows}
        return found

    # --- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        writer = Writer(self._client, self._record, self._rows, self._context.now)
        for batch in batched((push for push in pushes if push.card is not None), BATCH):
            intents = {push.ref: intent_of(push, self._kind(push)) for push in batch}
            yield from (Outcome(push.ref, push.held) for push in batch if intents[push.ref] is None)
            yield from writer.send([intent for intent in intents.values() if intent])
        yield from writer.archive([push for push in pushes if push.card is None], self._kind_of)

    def _kind(self, push: Push) -> Kind:
        return self._kind_of(push.held.id) if push.held else self._new

    def _kind_of(self, record: str) -> Kind:
        return KINDS[record.partition("/")[0]]

    # --- finding

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """By DisplayName, there being no place for our key. One that we made unique has our key in its name. One with
        the plain name is ours if it shows all that was to be created and was never changed since."""
        wanted = {push.ref: push for push in pushes if push.card is not None}
        bases = {ref: mapping.display(push.card or {}) for ref, push in wanted.items()}
        names = {
            ref: [mapping.numbered(bases[ref], push.key, attempt) for attempt in range(ATTEMPTS)]
            for ref, push in wanted.items()
            if bases[ref]
        }
        rows = self._named(dict.fromkeys(name for several in names.values() for name in several))
        for ref, several in names.items():
            found = [rows[name.casefold()] for name in reversed(several) if name.casefold() in rows]
            mine = next((row for row in found if self._is_ours(row, wanted[ref], bases[ref])), None)
            if mine is not None:
                yield ref, self._record(self._new.name, mine)

    def _named(self, names: Iterable[str]) -> Mapping[str, Row]:
        """Active records by their folded DisplayName."""
        found: dict[str, Row] = {}
        for batch in batched(names, NAMES):
            rows = self._client.rows(self._new.name, f"{DISPLAY} in {listed(batch)}")
            found |= {str(row[DISPLAY]).casefold(): row for row in rows}
        return found

    def _is_ours(self, row: Row, push: Push, base: str) -> bool:
        if str(row[DISPLAY]).casefold() != base.casefold():
            return True
        sent = mapping.columns(push.card or {}, self._new)
        shown = mapping.read(row, self._new)
        return row.get("SyncToken") == "0" and all(shown[column] == text for column, text in sent.items() if text)

    # --- purchases

    def purchases(self, cursor: Any | None) -> Iterator[Sales]:
        """Invoices, sales receipts and credit memos. See `connectors.contract.Seller`."""
        feed = Feed(self._client, list(sales.KINDS), self._context.now, sweep=False)
        for step in feed.steps(cursor):
            gone = [f"{entity}/{row['Id']}" for entity, row in step.rows if is_deleted(row)]
            sold = [
                sales.purchase(entity, row, sales.currency(row) or self._home_currency())
                for entity, row in step.rows
                if not is_deleted(row)
            ]
            yield Sales(sold, gone, step.cursor)

    def _home_currency(self) -> str:
        """The company's own currency, asked for once."""
        if not self._home:
            answer = self._client.query("select * from Preferences")
            preferences = ((answer.get("Preferences") or [{}])[0]).get("CurrencyPrefs") or {}
            self._home = str((preferences.get("HomeCurrency") or {}).get("value") or "XXX")
        return self._home
