"""How parties are written: `Writer.write`.

One call creates many parties, one changes many, one deletes many; each takes effect as a whole or not at all. Where one
is refused, its halves are tried, down to the bad party alone, which spoils nothing. What is stored is read back: an
answer holds ids only, and Tryton formats numbers and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.contract import Outcome, Push, Record, batched
from connectors.errors import Error, Missing, Refused, Stale, Uncertain
from connectors.tryton import mapping
from connectors.tryton.changes import record
from connectors.tryton.client import PARTY, Client, Row
from connectors.tryton.places import Places

BATCH: Final = 100
"""Parties in one call: a transaction that takes about a second (measured: 8 ms a party)."""
PER_PARTY: Final = (Refused, Stale, Missing, Uncertain)


@dataclass
class Job:
    """One push under way. columns: what it changes, as Tryton takes it. party: its id, once there is one. done: it
    took effect."""

    push: Push
    columns: dict[str, Any] = field(default_factory=dict)
    party: int = 0
    done: bool = False
    error: Error | None = None

    @property
    def stamps(self) -> Mapping[str, str]:
        """What proves that nobody wrote since."""
        held = self.push.held
        found: Mapping[str, str] = ((held.raw if held else None) or {}).get("stamps") or {}
        return found


Act = Callable[[Sequence[Job]], None]


class Writer:
    """Writes for one connector."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._places = Places(client)

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """See `Connector.write`."""
        for batch in batched(pushes, BATCH):
            jobs = [Job(push) for push in batch]
            for job in jobs:
                self._prepare(job)
            due = [job for job in jobs if job.columns or job.error or job.push.card is None]
            yield from (Outcome(job.push.ref, record=job.push.held) for job in jobs if job not in due)
            drops = [job for job in due if job.push.card is None]
            yield from self._group([job for job in due if job.push.held is None], self._create)
            yield from self._group([job for job in due if job.push.held and job.push.card is not None], self._edit)
            yield from self._group([job for job in drops if not job.push.erase], self._delete)
            for job in drops:
                if job.push.erase:
                    yield from self._group([job], self._erase)

    def _group(self, jobs: Sequence[Job], act: Act) -> Iterator[Outcome]:
        """Pushes of one kind. What ends the run is raised when everything that took effect has been told."""
        ending: Error | None = None
        try:
            self._together([job for job in jobs if job.error is None], act)
        except Error as error:
            ending = error
        yield from self._outcomes([job for job in jobs if job.done or job.error])
        if ending:
            raise ending

    def _prepare(self, job: Job) -> None:
        """Work out the columns, and find or make the records that they refer to."""
        push, held = job.push, job.push.held
        job.party = int(held.id) if held else 0
        if push.card is None:
            return
        if not push.card:
            job.error = Refused("this contact has no name, and nothing else that a party could be known by")
            return
        remembered = (held.raw if held else None) or {}
        columns = (
            mapping.difference(push.card, held.card or {}, remembered)
            if held
            else mapping.creation(push.card, push.key)
        )
        try:
            job.columns = self._places.resolved(columns, remembered.get("categories") or {})
        except PER_PARTY as error:
            job.error = error

    # -- calls

    def _together(self, jobs: Sequence[Job], act: Act) -> None:
        """All in one call; where that was refused as a whole, each half by itself."""
        if not jobs:
            return
        try:
            act(jobs)
        except Uncertain as lost:
            for job in jobs:
                job.error = lost
        except (Refused, Stale, Missing) as error:
            if len(jobs) == 1:
                jobs[0].error = error
                return
            half = len(jobs) // 2
            self._together(jobs[:half], act)
            self._together(jobs[half:], act)

    def _create(self, jobs: Sequence[Job]) -> None:
        for job, party in zip(jobs, self._client.create(PARTY, [job.columns for job in jobs]), strict=True):
            job.party, job.done = party, True

    def _edit(self, jobs: Sequence[Job]) -> None:
        self._write([(job.party, job.columns) for job in jobs], jobs)

    def _write(self, changes: Sequence[tuple[int, Mapping[str, Any]]], jobs: Sequence[Job]) -> None:
        stamps = {row: stamp for job in jobs for row, stamp in job.stamps.items()}
        try:
            self._client.write(changes, stamps)
        except Refused as refused:
            if len(jobs) > 1:
                raise
            raise self._why(jobs[0], refused) from refused
        for job in jobs:
            job.done = True

    def _why(self, job: Job, refused: Refused) -> Error:
        """A party or a row that is gone is refused in words only, in the user's language: look which it was."""
        row = self._rows([job.party]).get(job.party)
        if row is None or not row["active"]:
            return Missing(f"party {job.party} is not in Tryton any more")
        if job.stamps and mapping.memory(row)["stamps"] != job.stamps:
            return Stale(f"party {job.party} was changed in Tryton meanwhile")
        return refused

    def _delete(self, jobs: Sequence[Job]) -> None:
        stamps = {row: stamp for job in jobs for row, stamp in job.stamps.items()}
        try:
            self._client.delete([job.party for job in jobs], stamps)
        except Refused:
            if len(jobs) > 1:
                raise
            # It has invoices, or something else that must be kept (accounting note C).
            self._write([(jobs[0].party, {"active": False})], jobs)
        for job in jobs:
            job.done = True

    def _erase(self, jobs: Sequence[Job]) -> None:
        [job] = jobs
        self._write([(job.party, {"active": False})], jobs)
        job.done = False
        try:
            self._client.erase(job.party)
        except Refused:
            # Something pends, or we may not use the wizard: blank what it would have blanked.
            self._blank(job.party)
        job.done = True

    def _blank(self, party: int) -> None:
        """Of what is archived nothing can be written but that it is not (observed)."""
        lists = (mapping.MECHANISMS, mapping.ADDRESSES, mapping.IDENTIFIERS)
        [row] = self._client.rows(PARTY, [["id", "=", party]], [f"{name}.active" for name in lists])
        for columns in ({"active": True}, mapping.revived(row), mapping.blank(row), {"active": False}):
            if columns:
                self._client.write([(party, columns)], {})

    # -- answers

    def _rows(self, parties: Sequence[int]) -> dict[int, Row]:
        rows = self._client.rows(PARTY, [["id", "in", list(parties)]], mapping.READ)
        return {row["id"]: row for row in rows}

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        written = [job.party for job in jobs if job.done and job.push.card is not None]
        lost: Error | None = None
        rows: dict[int, Row] = {}
        try:
            rows = self._rows(written) if written else {}
        except Error as error:
            lost = Uncertain(f"the party was written, but could not be read back: {error}")
        for job in jobs:
            push = job.push
            if job.error is not None:
                yield Outcome(push.ref, error=job.error)
            elif push.card is None:
                yield Outcome(push.ref, record=Record(str(job.party), None))
            elif job.party in rows:
                yield Outcome(push.ref, record=record(rows[job.party]))
            else:
                yield Outcome(push.ref, error=lost or Missing(f"party {job.party} is not in Tryton any more"))
