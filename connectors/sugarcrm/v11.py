"""SugarCRM 7 and later as a connector, by REST v11: Contacts, and Leads where the settings say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import Missing, Refused, Unauthorised
from connectors.sugarcrm import client, mapping, rows
from connectors.sugarcrm.changes import Pull
from connectors.sugarcrm.client import Call, Client, Row, below, listing
from connectors.sugarcrm.lists import Lists
from connectors.sugarcrm.mapping import Dialect
from connectors.sugarcrm.settings import SugarSettings
from connectors.sugarcrm.writing import BATCH, Writer

speaks = client.speaks
NOBODY: Final = mapping.KEY_PREFIX + "nobody"
"""A key that no record has."""


def dialect(settings: SugarSettings) -> Dialect:
    """What this protocol keeps: everything, but for emoji where the settings say so."""
    return Dialect() if settings.emoji else Dialect(keeps=mapping.no_emoji)


class V11:
    """See `connectors.contract.Connector`."""

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(settings, context)
        self._dialect = dialect(settings)
        self._modules = mapping.MODULES if settings.leads else mapping.MODULES[:1]
        self._fields = rows.fields(settings.key_field)
        self.capabilities = Capabilities(
            fields=self._dialect.fields, batch=BATCH, consents=frozenset({"email", "phone"})
        )

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held, self._dialect)

    # -- who and what

    def check(self) -> Account:
        keyed = Call("GET", below("integrate", self._settings.create_as, "sync_key", NOBODY))
        calls = [Call("GET", "me"), keyed, *(listing(module, [], self._fields, 1) for module in self._modules)]
        with _readable():
            me, by_key, *samples = self._client.reads(calls)
            user = me.checked().get("current_user") or {}
            sampled = dict(zip(self._modules, (answer.rows() for answer in samples), strict=True))
        notes: list[str] = []
        if user.get("type") not in (None, "admin"):
            notes.append(f"{user.get('user_name')} is no administrator: a record that is taken from view looks deleted")
        if isinstance(by_key.error, Refused):
            kept = f"in {self._settings.key_field}" if self._settings.key_field else "nowhere"
            notes.append(f"this user may not use sync_key; our key is kept {kept}")
        for module, found in sampled.items():
            notes += _rights(module, found)
        notes.append(f"who is in a target list is read with each full listing ({self._settings.full_every:g} h)")
        name = str(user.get("user_name") or self._settings.username)
        return Account(f"{name} at SugarCRM (REST {self._client.version})", notes, self._client.clock)

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        pull = Pull(
            self._client,
            self._modules,
            self._fields,
            self._records,
            self._context.now,
            page=self._settings.page,
            full_every=timedelta(hours=self._settings.full_every),
        )
        with _readable():
            yield from pull.changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        wanted: dict[str, list[str]] = {}
        for record in dict.fromkeys(ids):
            module, row = mapping.module_and_row(record)
            if module in self._modules:
                wanted.setdefault(module, []).append(row)
            else:
                yield Record(record, None)
        with _readable():
            for module, own in wanted.items():
                for batch in batched(own, client.AT_ONCE):
                    yield from self._read(module, batch)

    def _read(self, module: str, ids: Sequence[str]) -> Iterator[Record]:
        found = self._client.among(module, "id", ids, self._fields)
        there = {str(row["id"]) for row in found}
        yield from self._records(module, found, Lists(self._client).of(module, sorted(there)))
        yield from (Record(mapping.record_id(module, row), None) for row in ids if row not in there)

    def _records(self, module: str, found: Sequence[Row], members: Mapping[str, Sequence[Row]]) -> list[Record]:
        return [rows.record(module, row, members.get(str(row["id"]), ()), self._settings.key_field) for row in found]

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return Writer(self._client, self._settings.create_as, self._settings.key_field).write(pushes)

    # -- finding

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        module = self._settings.create_as
        with _readable():
            found = self._found([push for push in pushes if push.card is not None], module)
            members = Lists(self._client).of(module, [str(row["id"]) for row in found.values()])
            for ref, row in found.items():
                [record] = self._records(module, [row], members)
                yield ref, record

    def _found(self, pushes: Sequence[Push], module: str) -> dict[str, Row]:
        """{ref: row}: by `sync_key`, by the field that holds our key, or by what the record shows."""
        refs = {mapping.KEY_PREFIX + push.key: push.ref for push in pushes}
        if name := self._settings.key_field:
            found = self._client.among(module, name, list(refs), self._fields)
            return {refs[row[name]]: row for row in found if row.get(name) in refs}
        answers = self._client.reads([Call("GET", below("integrate", module, "sync_key", key)) for key in refs])
        if any(isinstance(answer.error, Refused) for answer in answers) or self._client.version == client.VERSIONS[-1]:
            return self._lookalikes(pushes, module)
        return {ref: answer.checked() for ref, answer in zip(refs.values(), answers, strict=True) if not answer.error}

    def _lookalikes(self, pushes: Sequence[Push], module: str) -> dict[str, Row]:
        """The newest record for each push that shows all that was to be created, and nobody's key."""
        found: dict[str, Row] = {}
        for push in pushes:
            wanted = mapping.columns(push.card or {})
            name = wanted[mapping.MANDATORY]
            if not name:
                continue
            for row in sorted(self._client.rows(module, [{mapping.MANDATORY: name}], self._fields), key=rows.instant):
                taken = {found[ref]["id"] for ref in found}
                if not row.get("sync_key") and row["id"] not in taken and _shows(row, push.card or {}):
                    found[push.ref] = row
        return found

    def close(self) -> None:
        self._client.close()


def _shows(row: Row, card: Card) -> bool:
    """Does the row show all of the card's texts and addresses?"""
    change = mapping.difference(card, mapping.view(row))
    return not any(change.columns.values()) and not change.emails.added


def _rights(module: str, found: Sequence[Row]) -> Iterator[str]:
    """What this user may not do, as a record of that module tells (A3)."""
    acl = found[0].get("_acl") if found else None
    verbs = [verb for verb in ("create", "edit", "delete") if isinstance(acl, Mapping) and acl.get(verb) == "no"]
    if verbs:
        yield f"this user may not {' or '.join(verbs)} {module}"
    denied = sorted(set(rows.unwritable(found[0]) if found else ()) & {*mapping.COLUMNS, "email", "tag"})
    if denied:
        yield f"this user may not write {', '.join(denied)} of {module}"


@contextmanager
def _readable() -> Iterator[None]:
    """Where reading is refused there is nothing to go on with."""
    try:
        yield
    except (Refused, Missing) as error:
        raise Unauthorised(f"SugarCRM does not let this user read; check the role: {error}") from error
