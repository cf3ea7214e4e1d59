"""Writing to QuickBooks: creates and sparse updates in batches, names that are taken, and what is archived."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.contract import Outcome, Push, Record
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain
from connectors.quickbooks import mapping
from connectors.quickbooks.client import BATCH, Client, Inactive, Item, NameTaken, Row, moment
from connectors.quickbooks.places import DISPLAY, Kind

NAMESPACE: Final = uuid.UUID("5f0c2f3e-6c0b-5d0e-9a1b-0b6f7f0d9c11")
"""Of the names of requests."""
OLD: Final = timedelta(minutes=10)
"""An answer to a create that tells of a record this old is the answer to an earlier one."""

ToRecord = Callable[[str, Row], Record]


@dataclass(frozen=True)
class Intent:
    """One push with what is to be sent for it. id: of the row, "" to create. base: the DisplayName in the body before
    anything makes it unique. salt: makes another request of it than one that was made before."""

    push: Push
    kind: Kind
    id: str
    body: Mapping[str, Any]
    base: str = ""
    salt: str = ""

    @property
    def item(self) -> Item:
        return Item("", "update" if self.id else "create", self.kind.name, self.body)

    def numbered(self, attempt: int) -> Intent:
        """With the next name to try."""
        name = mapping.numbered(self.base, self.push.key, attempt)
        return replace(self, body={**self.body, DISPLAY: name})

    def request(self) -> str:
        """The name of the request: the same for the same content, so that a repeated POST replays the first answer."""
        return request_name([self])


def request_name(intents: Sequence[Intent]) -> str:
    """A request's name, from our keys and the content."""
    content = [[i.push.key, i.kind.name, i.body, i.salt] for i in intents]
    return str(uuid.uuid5(NAMESPACE, json.dumps(content, sort_keys=True)))


def intent_of(push: Push, kind: Kind) -> Intent | None:
    """What has to be sent for a push that is no deletion; None where nothing differs."""
    card = push.card or {}
    if push.held is None:
        body = mapping.create(card, kind)
        return Intent(push, kind, "", body, str(body.get(DISPLAY) or ""))
    body = mapping.change(card, push.held.card or {}, push.held.raw or {}, kind)
    if not body:
        return None
    return Intent(push, kind, _row_id(push.held.id), {**_address(push.held), **body}, str(body.get(DISPLAY) or ""))


def _address(held: Record) -> dict[str, Any]:
    """Which record in which state is written to, and that what is not sent stays (note: `sparse`)."""
    return {"Id": _row_id(held.id), "SyncToken": held.version or "0", "sparse": True}


def _row_id(record: str) -> str:
    return record.partition("/")[2]


class Writer:
    """Sends intents. rows: the rows there are of these records, inactive ones too, by record id."""

    def __init__(
        self,
        client: Client,
        record: ToRecord,
        rows: Callable[[Iterable[str]], Mapping[str, Row]],
        now: Callable[[], datetime],
    ) -> None:
        self._client, self._record, self._rows, self._now = client, record, rows, now

    def send(self, intents: Sequence[Intent]) -> Iterator[Outcome]:
        """An outcome for each. Names that are taken are tried again, made unique."""
        nameless = [i for i in intents if not i.id and not i.base]
        words = "QuickBooks needs a name, and this contact has no name, organisation, e-mail address or phone number"
        yield from (Outcome(i.push.ref, error=Refused(words)) for i in nameless)
        due = [i for i in intents if i not in nameless]
        ending: Error | None = None
        for attempt in range(1, mapping.ATTEMPTS + 1):
            taken: list[Intent] = []
            doubtful: list[tuple[Intent, Error]] = []
            for intent, said in self._posted(due):
                if isinstance(said, NameTaken) and intent.base and attempt < mapping.ATTEMPTS:
                    taken.append(intent.numbered(attempt))
                elif isinstance(said, (Stale, Inactive)) and intent.id:
                    doubtful.append((intent, said))
                elif isinstance(said, (Throttled, Unauthorised)):
                    ending = said
                elif isinstance(said, Error):
                    yield Outcome(intent.push.ref, error=said)
                else:
                    yield self._made(intent, said)
            yield from self._explained(doubtful)
            if ending:  # those without an outcome were not written
                raise ending
            if not taken:
                return
            due = taken

    def _posted(self, intents: Sequence[Intent]) -> Iterator[tuple[Intent, Row | Error]]:
        """The answer to each. A batch that is refused as a whole is sent one by one, to find who is to blame."""
        if len(intents) > 1:
            items = [replace(intent.item, name=str(n)) for n, intent in enumerate(intents, 1)]
            try:
                answers = self._client.batch(items, request_name(intents))
            except Uncertain as lost:
                yield from ((intent, lost) for intent in intents)
                return
            except (Refused, Stale, Missing):
                pass
            else:
                yield from ((intent, answers[item.name]) for intent, item in zip(intents, items, strict=True))
                return
        for intent in intents:
            try:
                yield intent, self._client.save(intent.item, intent.request())
            except (Refused, Stale, Missing, Uncertain) as error:
                yield intent, error

    def _made(self, intent: Intent, row: Row) -> Outcome:
        """The outcome of what was written, as QuickBooks answers it. The same content may have been sent long ago, for
        a record that was archived since: then its answer is replayed, and the request needs another name."""
        born = moment((row.get("MetaData") or {}).get("CreateTime"))
        if intent.id or born is None or self._now() - born < OLD:
            return Outcome(intent.push.ref, self._record(intent.kind.name, row))
        former = f"{intent.kind.name}/{row['Id']}"
        stands = self._rows([former]).get(former)
        if stands is not None and stands.get("Active", True):
            return Outcome(intent.push.ref, self._record(intent.kind.name, stands))
        if intent.salt:
            return Outcome(intent.push.ref, error=Uncertain("QuickBooks answers with a record that is gone"))
        [outcome] = self.send([replace(intent, salt=former)])
        return outcome

    def _explained(self, doubtful: Sequence[tuple[Intent, Error]]) -> Iterator[Outcome]:
        """A record that was archived or merged away is stale as well: which it was, it tells itself."""
        if not doubtful:
            return
        names = {f"{intent.kind.name}/{intent.id}": (intent, said) for intent, said in doubtful}
        rows = self._rows(names)
        for name, (intent, said) in names.items():
            row = rows.get(name)
            error = said
            if row is None or not row.get("Active", True):
                error = Missing(f"{name} is not in QuickBooks any more, or was made inactive")
            elif isinstance(said, Inactive):
                error = Refused(str(said))
            yield Outcome(intent.push.ref, error=error)

    def archive(self, pushes: Sequence[Push], kind: Callable[[str], Kind]) -> Iterator[Outcome]:
        """Make records inactive: nothing is ever deleted (note). One who was to be forgotten is blanked as well."""
        held = {push.held.id: push for push in pushes if push.held}
        rows = self._rows(held) if held else {}
        intents: list[Intent] = []
        for name, push in held.items():
            row = rows.get(name)
            outcome = self._unarchived(push, row)
            if outcome or row is None:
                yield outcome or Outcome(push.ref, Record(name, None))
                continue
            its = kind(name)
            body = {"Id": row["Id"], "SyncToken": row["SyncToken"], "sparse": True, "Active": False}
            cleared = mapping.blank(its, mapping.memory(row)) if push.erase else {}
            intents.append(Intent(push, its, str(row["Id"]), {**cleared, **body}))
        for start in range(0, len(intents), BATCH):
            yield from self.send(intents[start : start + BATCH])

    def _unarchived(self, push: Push, row: Row | None) -> Outcome | None:
        """What becomes of a deletion that is not to be sent."""
        assert push.held is not None
        if row is None or (not row.get("Active", True) and not push.erase):
            return Outcome(push.ref, Record(push.held.id, None))
        if row.get("Active", True) and push.held.version not in (None, row["SyncToken"]):
            return Outcome(push.ref, error=Stale(f"{push.held.id} was changed in QuickBooks meanwhile"))
        balance = Decimal(str(row.get("Balance") or 0))
        if balance:
            words = f"{push.held.id} has an open balance of {balance}; settle it in QuickBooks, then try again"
            return Outcome(push.ref, error=Refused(words))
        return None
