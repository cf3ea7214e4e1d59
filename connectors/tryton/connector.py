"""Tryton as a connector: its parties as contacts, its customer invoices as purchases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from connectors.card import Card
from connectors.contract import (
    Account,
    Capabilities,
    Context,
    Outcome,
    Page,
    Push,
    Record,
    Sales,
    Settings,
    batched,
    web_address,
)
from connectors.errors import Refused, Unauthorised
from connectors.tryton import changes, mapping, sales
from connectors.tryton.changes import Pull, record
from connectors.tryton.client import PARTY, Broken, Client
from connectors.tryton.writing import BATCH, Writer


class TrytonSettings(Settings):
    """Settings of a connection.

    url: where Tryton's clients log in, without the database. database: its name. username, password: of a user who may
    read and write parties; an administrator sees deletions at once.
    language: code of the language in which countries are named, as on the server's list of languages.
    full_every: hours after which everything is read again, to find what leaves no trace.
    rate: most requests a second. verify_tls: False accepts any certificate.
    """

    tuning: ClassVar[frozenset[str]] = frozenset({"language", "full_every", "rate", "verify_tls"})

    url: Annotated[str, web_address("Tryton as its clients log in")]
    database: str = Field(min_length=1)
    username: str
    password: SecretStr
    language: str = "en"
    full_every: float = Field(default=24.0, gt=0)
    rate: float | None = Field(default=25.0, gt=0)
    verify_tls: bool = True


class TrytonConnector:
    """See `connectors.contract.Connector`."""

    capabilities = Capabilities(fields=mapping.FIELDS, tombstones=True, conditional=True, batch=BATCH)

    def __init__(self, settings: TrytonSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(
            settings.url,
            settings.database,
            settings.username,
            settings.password.get_secret_value(),
            context,
            language=settings.language,
            rate=settings.rate,
            verify=settings.verify_tls,
        )
        self._writer = Writer(self._client)

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held)

    # -- who and what

    def check(self) -> Account:
        version = self._client.version()
        notes = [*self._rights(), *self._places()]
        label = f"{self._settings.username} at Tryton {version}, database {self._settings.database}"
        return Account(label, notes, self._client.clock)

    def _rights(self) -> Iterator[str]:
        try:
            self._client.rows(PARTY, [], ["name"], limit=1)
        except (Refused, Broken) as refused:
            raise Unauthorised(
                f"{self._settings.username} may not read parties, or there are none: {refused}"
            ) from None
        try:
            self._client.ids(changes.LOG, [["id", "=", 0]])
        except (Refused, Broken):
            yield "the log of deletions may not be read: all ids are listed in every run to find them"
        if not sales.sells(self._client):
            yield "the module account_invoice is not there, or may not be read: no purchases are known"

    def _places(self) -> Iterator[str]:
        if not self._client.rows("country.country", [], ["code"], limit=1):
            yield (
                "there are no countries, so addresses are kept without; the administrator can bring them in with "
                "`trytond_import_countries`"
            )

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        full_every = timedelta(hours=self._settings.full_every)
        return Pull(self._client, self._context.now, full_every).changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        return changes.read(self._client, ids)

    def purchases(self, cursor: Any | None) -> Iterator[Sales]:
        return sales.purchases(self._client, self._context.now, cursor)

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return self._writer.write(pushes)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        for batch in batched((push for push in pushes if push.card is not None), BATCH):
            refs = {push.key: push.ref for push in batch}
            codes = [mapping.KEY_PREFIX + key for key in refs]
            for row in self._client.rows(PARTY, [["identifiers.code", "in", codes]], mapping.READ):
                ref = refs.pop(mapping.key(row) or "", None)
                if ref is not None and row["active"]:
                    yield ref, record(row)

    def close(self) -> None:
        self._client.close()


def connect(settings: TrytonSettings, context: Context) -> TrytonConnector:
    """The connector of one account."""
    return TrytonConnector(settings, context)
