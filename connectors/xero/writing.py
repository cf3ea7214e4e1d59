"""Writing to Xero: batches of 50 in which a bad row spoils nothing, names that must be unique, groups, archives.

A create is sent once. It carries our key as ContactNumber, by which it is found again, and an Idempotency-Key made of
what is sent, so that the very same request has no second effect while Xero remembers it (accounting note A).
PUT creates; POST would take any contact of the same Name for the one that is meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Outcome, Push, Record, batched
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.xero import mapping, naming
from connectors.xero.client import MOST_ROWS, Client, NameTaken, Row, messages, refusal

RUN_ENDING: Final = (Throttled, Unreachable, Unauthorised)
ACTIVE: Final = "ACTIVE"
ERASED: Final = "GDPRREQUEST"

Send = Callable[[Sequence[Row], str], list[Row]]


@dataclass
class Task:
    """One push, and the row that is sent for it. current: the contact as it was right before; {}: there was none."""

    push: Push
    row: dict[str, Any]
    current: Row = field(default_factory=dict)

    @property
    def join(self) -> list[str]:
        """Names of the groups to join."""
        return self._groups()[0]

    @property
    def leave(self) -> list[str]:
        """Names of the groups to leave."""
        return self._groups()[1]

    def _groups(self) -> tuple[list[str], list[str]]:
        held: Card = (self.push.held.card if self.push.held else None) or {}
        return mapping.joins_and_leaves(self.push.card, held) if self.push.card is not None else ([], [])

    @property
    def mute(self) -> bool:
        """Is there nothing to say of the contact itself?"""
        return (
            bool(self.current) and self.row.keys() <= {"ContactID", "Name"} and self.row["Name"] == self.current["Name"]
        )


class Writer:
    """One call of `write`. record: makes a record of a contact."""

    def __init__(self, client: Client, record: Callable[[Row], Record]) -> None:
        self._client, self._record = client, record
        self._groups: dict[str, str] | None = None
        self._forgotten: set[str] | None = None

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """See `Connector.write`."""
        for batch in batched(pushes, MOST_ROWS):
            creates: list[Task] = []
            others: list[Push] = []
            for push in batch:
                if push.held is not None:
                    others.append(push)
                    continue
                made = self._new(push)
                if isinstance(made, Error):
                    yield Outcome(push.ref, error=made)
                else:
                    creates.append(made)
            yield from self._others(others)
            yield from self._written(creates, self._client.create)

    # -- creates

    def _new(self, push: Push) -> Task | Error:
        if push.card is None:
            return Missing("there is nothing to delete")
        row = {**mapping.new(push.card), "ContactNumber": naming.number_of(push.key)}
        if not row["Name"]:
            return Refused(
                "Xero needs a name, and this contact has no name, organisation, e-mail address or phone number"
            )
        known = {row["ContactNumber"], mapping.same_address(row.get("EmailAddress"))} - {""}
        if known & self._erased():
            return Refused(
                "this person had themselves erased in Xero; they are not sent there again. Take them out of what this "
                "connection is given"
            )
        return Task(push, row)

    def _erased(self) -> set[str]:
        """ContactNumbers and e-mail addresses of those who asked to be forgotten (accounting note A: never re-push)."""
        if self._forgotten is None:
            params = {"where": f'ContactStatus=="{ERASED}"', "includeArchived": "true", "page": 1, "pageSize": 1000}
            rows = self._client.listing("Contacts", params)["Contacts"]
            gone = [row for row in rows if row.get("ContactStatus") == ERASED]
            numbers = {str(row.get("ContactNumber") or "") for row in gone}
            self._forgotten = (numbers | {mapping.same_address(row.get("EmailAddress")) for row in gone}) - {""}
        return self._forgotten

    # -- updates and deletes

    def _others(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        idle = [push for push in pushes if push.card is not None and not _differs(push)]
        yield from (Outcome(push.ref, record=push.held) for push in idle)
        due = [push for push in pushes if push.card is None or _differs(push)]
        ids = [push.held.id for push in due if push.held]
        # Xero has no lock: this look bounds the time in which another's edit goes unseen to one batch.
        current = {row["ContactID"]: row for row in self._client.contacts(ids)} if ids else {}
        updates: list[Task] = []
        deletes: list[Task] = []
        for push in due:
            assert push.held is not None
            there = current.get(push.held.id)
            outcome = self._judged(push, there)
            if outcome is not None:
                yield outcome
            elif there is not None:
                (deletes if push.card is None else updates).append(_task(push, there))
        yield from self._written(updates, self._client.update)
        yield from self._archived(deletes)

    def _judged(self, push: Push, there: Row | None) -> Outcome | None:
        """The outcome of a push that needs no write, or must not be written."""
        assert push.held is not None
        status = (there or {}).get("ContactStatus")
        if status != ACTIVE:
            if push.card is None:
                return Outcome(push.ref, record=Record(push.held.id, None))
            if status == ERASED:
                return Outcome(push.ref, error=Refused("this person had themselves erased in Xero; nothing is written"))
            return Outcome(push.ref, error=Missing(f"{push.held.id} is archived in Xero, or was never there"))
        if push.held.version is not None and self._record(there or {}).version != push.held.version:
            return Outcome(push.ref, error=Stale(f"{push.held.id} was changed in Xero meanwhile"))
        return None

    def _archived(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Nothing can be deleted in Xero. Whoever asked to be forgotten is blanked first: what is archived cannot be
        changed any more."""
        blanks = {t.push.ref: Task(t.push, mapping.blank(t.current), t.current) for t in tasks if t.push.erase}
        refused: set[str] = set()
        for task, answer in self._sent(list(blanks.values()), self._client.update):
            if isinstance(answer, Error):
                refused.add(task.push.ref)
                yield Outcome(task.push.ref, error=answer)
        left = [task for task in tasks if task.push.ref not in refused]
        for task in left:
            if task.push.ref in blanks:
                task.row["Name"] = blanks[task.push.ref].row["Name"]  # else it would get its own again
        for task, answer in self._sent(left, self._client.update):
            if isinstance(answer, Error) and not isinstance(answer, Missing):
                yield Outcome(task.push.ref, error=answer)
            else:
                yield Outcome(task.push.ref, record=Record(task.row["ContactID"], None))

    # -- sending

    def _written(self, tasks: Sequence[Task], send: Send) -> Iterator[Outcome]:
        """Write contacts, and then who is in which group."""
        done: list[tuple[Task, Row]] = [(task, task.current) for task in tasks if task.mute]
        for task, answer in self._named([task for task in tasks if not task.mute], send):
            if isinstance(answer, Error):
                yield Outcome(task.push.ref, error=answer)
            elif task.join or task.leave:
                done.append((task, answer))
            else:
                yield Outcome(task.push.ref, record=self._record(answer))
        if done:
            yield from self._grouped(done)

    def _named(self, tasks: Sequence[Task], send: Send) -> Iterator[tuple[Task, Row | Error]]:
        """Send; those whose name another contact has are sent again with their mark."""
        taken: list[Task] = []
        for task, answer in self._sent(tasks, send):
            if not isinstance(answer, NameTaken):
                yield task, answer
            elif not task.current and self._ours(task.row["ContactNumber"]):
                # An earlier request of ours made it, whose answer was lost.
                yield task, Uncertain("a contact with our key is in Xero already")
            else:
                name = naming.marked(task.row["Name"], task.current if task.current else task.row)
                taken.append(Task(task.push, {**task.row, "Name": name}, task.current))
        yield from self._sent(taken, send)

    def _ours(self, number: str) -> bool:
        found = self._client.contact(number)
        return found is not None and found.get("ContactStatus") == ACTIVE

    def _sent(self, tasks: Sequence[Task], send: Send) -> Iterator[tuple[Task, Row | Error]]:
        """Send rows: what Xero says of each. A request that is refused as a whole has done nothing, and is sent in
        halves, until the row that spoils it is alone."""
        if not tasks:
            return
        try:
            answers = send([task.row for task in tasks], _key(tasks))
        except (Refused, Missing) as refused:
            if len(tasks) == 1:
                yield tasks[0], refused
                return
            middle = (len(tasks) + 1) // 2
            for half in (tasks[:middle], tasks[middle:]):
                yield from self._sent(half, send)
            return
        except Uncertain as lost:
            yield from ((task, lost) for task in tasks)
            return
        by_name = {answer.get(prop): answer for answer in answers for prop in ("ContactNumber", "ContactID")}
        for task in tasks:
            answer = by_name.get(task.row.get("ContactID") or task.row["ContactNumber"])
            yield task, _verdict(answer)

    # -- groups

    def _grouped(self, done: Sequence[tuple[Task, Row]]) -> Iterator[Outcome]:
        """Let these contacts join and leave groups, and read them again: that answers with no contact.

        Whatever happens, a contact that was created gets an outcome, or it would be created again.
        """
        ids = [row["ContactID"] for _, row in done]
        try:
            self._join(done)
            for task, row in done:
                for name in task.leave:
                    for group in [
                        g for g, known in mapping.memberships(row).items() if known.casefold() == name.casefold()
                    ]:
                        self._client.leave(group, row["ContactID"])
            shown = {row["ContactID"]: row for row in self._client.contacts(ids)}
        except Error as error:
            lost = Uncertain(f"written, but perhaps not yet in its groups: {error}")
            yield from (Outcome(task.push.ref, error=lost) for task, _ in done)
            if isinstance(error, RUN_ENDING):
                raise
            return
        for task, row in done:
            there = shown.get(row["ContactID"])
            if there is None or there.get("ContactStatus") != ACTIVE:
                yield Outcome(task.push.ref, error=Uncertain("Xero did not show this contact after it was written"))
            else:
                yield Outcome(task.push.ref, record=self._record(there))

    def _join(self, done: Sequence[tuple[Task, Row]]) -> None:
        members: dict[str, list[str]] = {}
        for task, row in done:
            for name in task.join:
                members.setdefault(self._group(name), []).append(row["ContactID"])
        for group, contacts in members.items():
            self._client.join(
                group, contacts, _digest([group, contacts, [row.get("UpdatedDateUTC") for _, row in done]])
            )

    def _group(self, name: str) -> str:
        """The id of the group of that name, made if there is none."""
        known = self._known()
        if name.casefold() not in known:
            try:
                made: Sequence[Row] = self._client.create_group(name, _digest(["group", name]))
            except Refused:  # somebody made it meanwhile
                made = ()
            self._groups = None
            known = {**{str(g["Name"]).casefold(): str(g["ContactGroupID"]) for g in made}, **self._known()}
        if name.casefold() not in known:
            raise Refused(f"Xero did not make the contact group {name!r}")
        return known[name.casefold()]

    def _known(self) -> Mapping[str, str]:
        if self._groups is None:
            active = [group for group in self._client.groups() if group.get("Status", ACTIVE) == ACTIVE]
            self._groups = {naming.line(g.get("Name")).casefold(): str(g["ContactGroupID"]) for g in active}
        return self._groups


def _differs(push: Push) -> bool:
    held: Card = (push.held.card if push.held else None) or {}
    assert push.card is not None
    return bool(mapping.difference(push.card, held)) or any(mapping.joins_and_leaves(push.card, held))


def _task(push: Push, there: Row) -> Task:
    if push.card is None or push.held is None:
        row = {"ContactID": there["ContactID"], "Name": there["Name"], "ContactStatus": "ARCHIVED"}
    else:
        row = mapping.row(there, mapping.difference(push.card, push.held.card or {}))
    return Task(push, row, there)


def _verdict(answer: Row | None) -> Row | Error:
    """What an answer says of one row."""
    if answer is None:
        return Uncertain("Xero did not say what became of this contact")
    if answer.get("HasValidationErrors") or answer.get("StatusAttributeString") == "ERROR":
        return refusal(messages(answer))
    return answer


def _key(tasks: Sequence[Task]) -> str:
    """The Idempotency-Key of a request: the rows, and what they are based on, for the same change may be due again."""
    return _digest([[task.row, task.current.get("UpdatedDateUTC"), task.push.key] for task in tasks])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
