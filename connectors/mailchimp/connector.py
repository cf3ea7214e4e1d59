"""An audience of Mailchimp under the contract of a connector: see the package's docstring for its quirks and limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from connectors.card import Card, email_key
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import Error, Refused, Unauthorised, Uncertain, Unreachable
from connectors.http import server_time
from connectors.mailchimp import mapping
from connectors.mailchimp.answers import Exists
from connectors.mailchimp.batches import Step, run
from connectors.mailchimp.changes import Pull
from connectors.mailchimp.client import Client, MailchimpSettings
from connectors.mailchimp.layout import FIELDS, Layout, Mistake, layout
from connectors.mailchimp.mapping import Member
from connectors.mailchimp.writing import Writer

BATCH: Final = 500
"""Rows of a bulk create (mailchimp note 4)."""
LAG: Final = 300.0
"""Seconds for which listings may show what was before a write (note 5: seconds to minutes, K)."""
FIND_LAG: Final = 120.0
"""Seconds for which a create without an answer may still be at work (note 1: the longest call)."""
KEY_NAME: Final = "Concord id"

Row = dict[str, Any]


class Mailchimp:
    """See `connectors.contract.Connector`. A record's id is the member's contact id; `raw` is {hash, status, tags,
    interests}."""

    def __init__(self, settings: MailchimpSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(settings, context)
        self._layout: Layout | None = None
        self.capabilities = Capabilities(
            fields=FIELDS,
            conditional=False,
            batch=BATCH,
            lag=LAG,
            find_lag=FIND_LAG,
            consents=frozenset({"email", "sms"}),
            optins=frozenset({"email"}),
        )

    def close(self) -> None:
        self._client.close()

    def fit(self, card: Card, held: Card | None) -> Card:
        """Pure, once the audience's merge fields are known: `changes` and `check` ask for them, else the first call."""
        return mapping.fit(card, held, self._known())

    # -- what the audience has

    def _known(self) -> Layout:
        return self._layout or self._adopt(self._discover())

    def _discover(self) -> Layout:
        return self._meant({"merge": self._client.merge_fields(), "interests": self._client.interests()})

    def _meant(self, found: Mapping[str, Any]) -> Layout:
        """The layout of what was discovered, now or by an earlier run."""
        try:
            return layout(found["merge"], found["interests"], self._settings.merge_fields, self._settings.key_field)
        except Mistake as mistake:
            raise Unauthorised(f"the settings do not fit this audience: {mistake}") from None

    def _adopt(self, found: Layout) -> Layout:
        self._layout = found
        self.capabilities = replace(self.capabilities, fields=found.holds)
        return found

    def check(self) -> Account:
        audience = self._client.audience()
        clock = server_time(self._client.response) if self._client.response else None
        found = self._adopt(self._discover())
        members = (audience.get("stats") or {}).get("member_count", 0)
        meant = ", ".join(sorted(found.by_tag)) or "none"
        notes = [
            f"Merge fields that are read and written: {meant}.",
            "Mailchimp holds one e-mail address of a person, and nobody without one.",
            "Contacts that are deleted for good, and tags, are looked for every "
            f"{self._settings.sweep_every:g} hours; Mailchimp does not report them.",
        ]
        if found.key and not found.keeps_key:
            notes.append(f"The merge field {self._settings.key_field} will be made with the first new contact.")
        label = f"Mailchimp audience {audience.get('name')} ({members:,} contacts)"
        return Account(label, notes, clock, str(audience.get("id") or ""))

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        pull = Pull(
            self._client,
            discover=self._discover,
            remembered=self._meant,
            adopt=self._adopt,
            record=self._record,
            now=self._context.now,
            page_size=self._settings.page_size,
            sweep_every=timedelta(hours=self._settings.sweep_every),
        )
        return pull.changes(cursor)

    def _record(self, member: Member) -> Record:
        """A member of a listing as a record; only one with many tags costs a request."""
        name = mapping.record_id(member)
        return self._read(name, next(result for _, result in self._run({name: self._writer().full(member)})))

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        writer = self._writer()
        for name, result in self._run({name: writer.fetch(name) for name in ids}):
            yield self._read(name, result)

    @staticmethod
    def _read(name: str, result: Record | Error) -> Record:
        if isinstance(result, Refused):
            return Record(name, {}, refused=str(result))
        if isinstance(result, Error):
            raise Unreachable(str(result))
        return result

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """Look at the member of each push's address; it is told apart by our key, else by its name."""
        writer = self._writer()
        for ref, found in self._run({push.ref: writer.seek(push) for push in pushes}):
            if isinstance(found, Error):
                raise Unreachable(str(found))
            if found is not None:
                yield ref, found

    # -- writing

    def _writer(self) -> Writer:
        return Writer(self._client, self._known())

    def _run(self, steps: Mapping[str, Step[Any]]) -> Iterator[tuple[str, Any]]:
        return run(steps, self._client, self._context, self._settings.batch_from)

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        writer = self._writer()
        creates = [push for push in pushes if push.held is None and push.card is not None]
        known = [push for push in pushes if push.held is not None]
        yield from self._outcomes({push.ref: writer.update(push) for push in known if push.card is not None})
        if creates:
            yield from self._create(creates)
        yield from self._outcomes({push.ref: writer.remove(push) for push in known if push.card is None})

    def _outcomes(self, steps: Mapping[str, Step[Record]]) -> Iterator[Outcome]:
        for ref, result in self._run(steps):
            yield Outcome(ref, error=result) if isinstance(result, Error) else Outcome(ref, result)

    def _create(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """New members, 500 a request. Of persons who share an address the first is created; for the others it is taken
        then."""
        writer = self._keyed()
        rows: dict[str, tuple[Push, Row]] = {}
        later: dict[str, Step[Record]] = {}
        for push in pushes:
            try:
                row = writer.row(push)
            except Refused as refused:
                yield Outcome(push.ref, error=refused)
                continue
            address = email_key(row["email_address"])
            if address in rows:
                later[push.ref] = writer.taken(push, row)
            else:
                rows[address] = (push, row)
        for addresses in batched(rows, BATCH):
            yield from self._bulk(writer, {address: rows[address] for address in addresses})
        yield from self._outcomes(later)

    def _keyed(self) -> Writer:
        """The writer, once there is a merge field for our key, if one was asked for."""
        tag = self._settings.key_field
        if tag and not self._known().keeps_key and not self._adopt(self._discover()).keeps_key:
            try:
                self._client.add_merge_field(tag, KEY_NAME)
            except Refused as refused:  # perhaps because somebody else was quicker
                if not self._adopt(self._discover()).keeps_key:
                    words = (
                        f"the merge field {tag} cannot be made; make it by hand, or take key_field from the settings"
                    )
                    raise Unauthorised(f"{words} ({refused})") from None
            else:
                self._adopt(self._discover())
        return self._writer()

    def _bulk(self, writer: Writer, rows: Mapping[str, tuple[Push, Row]]) -> Iterator[Outcome]:
        """Create these, by folded address. A refused request did nothing: it is tried in halves, so that one bad row
        keeps nobody out."""
        try:
            answer = self._client.create([row for _, row in rows.values()])
        except Uncertain as lost:
            words = f"it is not known whether this contact was created: {lost}"
            yield from (Outcome(push.ref, error=Uncertain(words)) for push, _ in rows.values())
            return
        except Refused as refused:
            yield from self._halves(writer, rows, refused)
            return
        made = {email_key(str(member.get("email_address"))): member for member in answer.get("new_members") or ()}
        wrong = {email_key(str(error.get("email_address"))): error for error in answer.get("errors") or ()}
        steps: dict[str, Step[Record]] = {}
        for address, (push, row) in rows.items():
            if address in made:
                steps[push.ref] = writer.created(push, row, made[address])
            elif address not in wrong:
                yield Outcome(push.ref, error=Uncertain("Mailchimp did not say what became of this contact"))
            elif isinstance(error := writer.denied(row, wrong[address]), Exists):
                steps[push.ref] = writer.taken(push, row)
            else:
                yield Outcome(push.ref, error=error)
        yield from self._outcomes(steps)

    def _halves(self, writer: Writer, rows: Mapping[str, tuple[Push, Row]], refused: Refused) -> Iterator[Outcome]:
        if len(rows) == 1:
            yield from (Outcome(push.ref, error=refused) for push, _ in rows.values())
            return
        for addresses in batched(rows, (len(rows) + 1) // 2):
            yield from self._bulk(writer, {address: rows[address] for address in addresses})
