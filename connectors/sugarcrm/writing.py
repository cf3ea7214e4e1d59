"""Writing to REST v11: what a batch of pushes wants, in as few requests as prove what came of each.

An update is a PUT on the condition that the record is as we saw it (`X-TIMESTAMP`, note A5). The lists of addresses
and tags are replaced as a whole by a write (A3), so they are read again right before it, and the change is written into
what is there then: an address's opt-out is never carried back from an older read, nor reset because another record
brings the address along. Everything rides in one bulk request (A6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.card import email_key
from connectors.contract import Outcome, Push, Record, batched
from connectors.errors import Error, Missing, Refused, Stale, Uncertain
from connectors.sugarcrm import mapping, rows
from connectors.sugarcrm.client import AT_ONCE, Answer, Call, Client, Denied, Filter, Row, below, listing
from connectors.sugarcrm.lists import LINK, Directory, Lists, groups
from connectors.sugarcrm.mapping import ORGANIZATION, Change

BATCH: Final = 25
"""Pushes in one bulk request: each takes two calls at most (A6: 50)."""
ERASED: Final = "erased"
"""The last name of somebody who is to be forgotten: there must be one."""
HOLDERS: Final = ("Contacts", "Leads", "Accounts", "Prospects")
"""Modules whose records have addresses."""
TELLING: Final = frozenset({"email", mapping.MANDATORY, rows.STAMP})
"""What an answer holds that shows the whole record."""
PER_RECORD: Final = (Refused, Stale, Missing, Uncertain)


@dataclass
class Work:
    """A push under way.

    change: to the card. module, row: of the record; row "" creates. now: the lists of addresses and tags as they are
    there now. calls: what is sent.
    """

    push: Push
    change: Change
    module: str
    row: str = ""
    now: Mapping[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    @property
    def creates(self) -> bool:
        return self.push.held is None

    @property
    def deletes(self) -> bool:
        return self.push.card is None

    @property
    def raw(self) -> Mapping[str, Any]:
        return (self.push.held.raw if self.push.held else None) or {}

    @property
    def denied(self) -> set[str]:
        """What this user may not write of the record (A3)."""
        denied = set(self.raw.get("denied") or ())
        return denied | {"account_id"} if ORGANIZATION in denied else denied

    def links_an_account(self) -> bool:
        """Is its organisation a record of its own, and ours to choose?"""
        return self.module == "Contacts" and "account_id" not in self.denied

    def needs_a_look(self) -> bool:
        """Must the record be read again before it is written?"""
        emails = self.change.emails or self.change.primary or any(c.channel == "email" for c in self.push.consents)
        return not self.creates and bool(self.deletes or emails or self.change.tags)


class Writer:
    """Writes one batch after another; what it learns of names and rights holds for its run.

    new: the module of new records. key_field: the field for our key where the user may not use `sync_key`.
    """

    def __init__(self, client: Client, new: str, key_field: str) -> None:
        self._client, self._new, self._key_field = client, new, key_field
        self._fields = rows.fields(key_field)
        self._accounts = Directory(client, "Accounts")
        self._groups = groups(client)
        self._lists = Lists(client)

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """See `Connector.write`."""
        for batch in batched(pushes, BATCH):
            yield from self._write([_work(push, self._new) for push in batch])

    def _write(self, batch: Sequence[Work]) -> Iterator[Outcome]:
        due: list[Work] = []
        for work in batch:
            if work.push.held and not (work.deletes or work.change or work.push.consents):
                yield Outcome(work.push.ref, work.push.held)
            else:
                due.append(work)
        self._look(due)
        ready: list[Work] = []
        for work in due:
            error = _obstacle(work)
            if error:
                yield Outcome(work.push.ref, error=error)
            else:
                ready.append(work)
        known = self._flags(ready)
        self._accounts.ensure(work.change.columns.get(ORGANIZATION, "") for work in ready if work.links_an_account())
        self._groups.ensure(name for work in ready for name in work.change.lists.added)
        for work in ready:
            try:
                work.calls = self._calls(work, known)
            except PER_RECORD as error:
                yield Outcome(work.push.ref, error=error)
        yield from self._sent([work for work in ready if work.calls])

    # -- before

    def _look(self, due: Sequence[Work]) -> None:
        """Read again what is to be written over."""
        for module in mapping.MODULES:
            wanted = {work.row: work for work in due if work.module == module and work.needs_a_look()}
            found = self._client.among(module, "id", list(wanted), ["id", "email", "tag", rows.STAMP])
            now = {str(row["id"]): row for row in found}
            for row, work in wanted.items():
                work.now = now.get(row, {})

    def _flags(self, due: Sequence[Work]) -> dict[str, dict[str, bool]]:
        """{folded address: its flags} of those addresses new to a record that are opted out or invalid already: one
        address is one for all records, also for those that are gone (note A3)."""
        new = sorted({address for work in due if not work.deletes for address in work.change.emails.added})
        if not new:
            return {}
        found: list[Mapping[str, Any]] = []
        for batch in batched(new, AT_ONCE):
            among = {"$in": [address.upper() for address in batch]}
            caps = "email_address_caps"
            marked = {"$or": [{"email_addresses.opt_out": True}, {"email_addresses.invalid_email": True}]}
            asked: list[tuple[str, Filter, list[str]]] = [
                ("EmailAddresses", [{caps: among}], ["id", "email_address", "opt_out", "invalid_email"]),
            ]
            by_holder: Filter = [{f"email_addresses.{caps}": among}, marked]
            asked += [(module, by_holder, ["id", "email"]) for module in HOLDERS]
            answers = self._client.reads([listing(*query, AT_ONCE) for query in asked])
            for (module, where, fields), answer in zip(asked, answers, strict=True):
                for page in [] if answer.error else self._client.walk(module, where, fields, first=answer):
                    found += page if module == "EmailAddresses" else [i for row in page for i in mapping.addresses(row)]
        known: dict[str, dict[str, bool]] = {}
        for item in found:
            flags_now, before = mapping.flags_of(item), known.get(email_key(str(item["email_address"])), {})
            known[email_key(str(item["email_address"]))] = {
                name: value or before.get(name, False) for name, value in flags_now.items()
            }
        return known

    # -- what to send

    def _calls(self, work: Work, known: Mapping[str, Mapping[str, Any]]) -> list[Call]:
        """The calls of a push; the last one answers with what is there then. Raises what keeps it from being sent."""
        if work.deletes:
            return _removal(work)
        body = self._body(work, known)
        if work.creates:
            return self._creation(work, body)
        return [Call("PUT", below(work.module, work.row), body, _condition(work))]

    def _creation(self, work: Work, body: Mapping[str, Any]) -> list[Call]:
        key = mapping.KEY_PREFIX + work.push.key
        if self._client.keyed:
            # Idempotent: whoever sends the same key again writes the same record (A6).
            path = below("integrate", work.module, "sync_key", key)
            return [Call("PATCH", path, body), Call("GET", path)]
        return [Call("POST", work.module, {**body, self._key_field: key} if self._key_field else body)]

    def _body(self, work: Work, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What is sent of a change: only what changed, and nothing that this user may not write (A3)."""
        change, agreed = work.change, work.push.consents
        body = _plain(change.columns)
        if work.module == "Contacts" and ORGANIZATION in body:
            name = body.pop(ORGANIZATION)
            body["account_id"] = self._accounts.id_of(name) if work.links_an_account() else ""
        if work.creates:
            body = {name: value for name, value in body.items() if value}
        if change.emails or change.primary or any(consent.channel == "email" for consent in agreed):
            body["email"] = mapping.email_list(work.now.get("email"), change, agreed, known)
        if change.tags:
            body["tag"] = _tags(work.now.get("tag"), change)
        if change.lists:
            body[LINK] = self._membership(work)
        call = mapping.do_not_call(agreed)
        if call is not None:
            body["do_not_call"] = call
        return _allowed(body, work)

    def _membership(self, work: Work) -> dict[str, list[str]]:
        """The edit of a link rides in the record (A3)."""
        gone = {name.strip().casefold() for name in work.change.lists.removed}
        held: Mapping[str, str] = work.raw.get("lists") or {}
        edit = {
            "add": [self._groups.id_of(name) for name in work.change.lists.added],
            "delete": [at for at, name in held.items() if name.strip().casefold() in gone],
        }
        return {verb: ids for verb, ids in edit.items() if ids}

    # -- what came of it

    def _sent(self, ready: Sequence[Work]) -> Iterator[Outcome]:
        if not ready:
            return
        try:
            answers = self._client.bulk([call for work in ready for call in work.calls], repeatable=False)
        except Uncertain as lost:
            yield from (Outcome(work.push.ref, error=lost) for work in ready)
            return
        ending: Error | None = None
        again: list[Work] = []
        done: list[tuple[Work, Row]] = []
        position = 0
        for work in ready:
            own = answers[position : position + len(work.calls)]
            position += len(work.calls)
            if self._keyless(work, own):
                again.append(work)
                continue
            result = _result(work, own)
            if result is None:
                yield Outcome(work.push.ref, Record(mapping.record_id(work.module, work.row), None))
            elif isinstance(result, PER_RECORD):
                yield Outcome(work.push.ref, error=result)
            elif isinstance(result, Error):
                ending = result
            else:
                done.append((work, result))
        yield from self._shown(done)
        if ending:
            raise ending
        yield from self._sent(again)

    def _keyless(self, work: Work, own: Sequence[Answer]) -> bool:
        """Was a create refused because this user may not write `sync_key`? It had no effect, then."""
        if not (work.creates and self._integrates(work) and isinstance(own[0].error, Denied | Missing)):
            return False
        self._client.keyed = False
        work.calls = self._creation(work, work.calls[0].body or {})
        return True

    @staticmethod
    def _integrates(work: Work) -> bool:
        return work.calls[0].method == "PATCH"

    def _shown(self, done: Sequence[tuple[Work, Row]]) -> Iterator[Outcome]:
        """The records as they are now. Target lists are no part of an answer: they are read where they were edited, and
        are otherwise as they were seen."""
        for module in mapping.MODULES:
            mine = [(work, row) for work, row in done if work.module == module]
            thin = [str(row["id"]) for _, row in mine if not row.keys() >= TELLING]
            full = {str(row["id"]): row for row in self._client.among(module, "id", thin, self._fields)}
            members = self._lists.of(module, [str(row["id"]) for work, row in mine if work.change.lists])
            for work, row in mine:
                at = str(row["id"])
                lists = members.get(at, []) if work.change.lists else _lists_of(work)
                yield Outcome(work.push.ref, rows.record(module, full.get(at, row), lists, self._key_field))


def _lists_of(work: Work) -> list[Row]:
    return [{"id": at, "name": name} for at, name in (work.raw.get("lists") or {}).items()]


def _work(push: Push, new: str) -> Work:
    held = push.held
    module, row = mapping.module_and_row(held.id) if held else (new, "")
    change = Change() if push.card is None else mapping.difference(push.card, (held.card if held else None) or {})
    return Work(push, change, module, row)


def _obstacle(work: Work) -> Error | None:
    """What is known beforehand to keep a push from being written."""
    if work.creates and not work.change.columns.get(mapping.MANDATORY):
        return Refused(
            "SugarCRM needs a last name, and this contact has no name, organisation, e-mail address or phone number"
        )
    if work.creates or not work.needs_a_look():
        return None
    if not work.now:
        return Missing(f"{work.row} is not in SugarCRM any more")
    if work.raw.get("stamp") and rows.instant(work.now) != rows.instant({rows.STAMP: work.raw["stamp"]}):
        return Stale(f"{work.row} was changed in SugarCRM meanwhile")
    return None


def _condition(work: Work) -> dict[str, str]:
    """The header that makes a write conditional (A5)."""
    stamp = str(work.raw.get("stamp") or "")
    return {"X-TIMESTAMP": stamp} if stamp else {}


def _removal(work: Work) -> list[Call]:
    """A delete keeps the row in the database (A3): who is to be forgotten is blanked before."""
    path = below(work.module, work.row)
    delete = Call("DELETE", path)
    if not work.push.erase:
        return [delete]
    blank = {**_plain(dict.fromkeys(mapping.COLUMNS, "")), mapping.MANDATORY: ERASED, "email": [], "tag": []}
    if work.module == "Contacts":
        del blank[ORGANIZATION]
        blank["account_id"] = ""
    return [Call("PUT", path, _allowed(blank, work)), delete]


def _plain(columns: Mapping[str, str]) -> dict[str, Any]:
    """Columns as the API takes them: no date is null."""
    return {name: None if name == "birthdate" and not value else value for name, value in columns.items()}


def _tags(now: Any, change: Change) -> list[dict[str, str]]:
    """The tags that there are to be: those that are there, without those that go, and those that come (A3)."""
    gone = {name.casefold() for name in change.tags.removed}
    names = [str(item["name"]) for item in now or () if isinstance(item, Mapping) and item.get("name")]
    kept = [name for name in names if name.casefold() not in gone]
    there = {name.casefold() for name in kept}
    return [{"name": name} for name in (*kept, *(n for n in change.tags.added if n.casefold() not in there))]


def _allowed(body: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """The body without what this user may not write. Raises Refused where nothing is left."""
    allowed = {name: value for name, value in body.items() if name not in work.denied}
    if body and not allowed:
        raise Refused(f"the user may not write {', '.join(sorted(body))} in SugarCRM; widen the role")
    return allowed


def _result(work: Work, own: Sequence[Answer]) -> Row | Error | None:
    """What came of a push: the row as it is now, None for one that is gone, or the error."""
    for answer in own:
        if answer.error:
            return _meant(work, answer, own)
    if work.deletes:
        return None
    body = own[-1].body
    if not isinstance(body, dict) or not body.get("id"):
        return Uncertain("SugarCRM did not show what it stored")
    return body


def _meant(work: Work, answer: Answer, own: Sequence[Answer]) -> Error:
    """An error of one of a push's calls. A create that could not be read back is uncertain."""
    error = answer.error
    assert error
    if work.creates and answer is not own[0]:
        return Uncertain(f"created, but it could not be read back: {error}")
    return error
