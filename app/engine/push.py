"""Writing what a connection is owed.

The intent is committed before the call and the outcome right after each answer. So whenever the process dies, the next
run knows what may have happened, and looks before it sends anything again (`recover`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from app.core.align import align
from app.core.consent import Ledger, Shown, as_json, of_json, written
from app.core.reconcile import EMPTY, Owed, acknowledged, answered, owed, owed_create
from app.engine import consents, refusals
from app.engine.intake import Intake, news_of
from app.engine.world import Session
from app.store import journal, links, outbox, people, runs
from app.store.links import Link
from app.store.outbox import MAX_ATTEMPTS, Due
from app.store.people import Person
from app.store.store import Unit
from connectors.card import VALUE, Card, Leaves, Path, card_of, leaves, problem, problem_id, unstorable
from connectors.consent import Consent
from connectors.contract import Outcome, Push, Record
from connectors.errors import Error, Missing, Stale, Uncertain

Settled = Literal["done", "owed", "read"]
"""What follows an outcome: nothing, the person is owed more, or the record must be read first."""

FIRST, STEP = 10, 50
"""Persons whose pushes are prepared and promised in one transaction, or as many as go in one request: few at first,
for meanwhile the remote has nothing to do."""
PAST: Final = 16
"""States of a record before our writes that are remembered while its remote's reads may show them."""
LOOKED_FOR = 200
"""Writes without an answer that are looked for at once."""


@dataclass(frozen=True, slots=True)
class Task:
    """One write: of a person to a record (link None: to be created; owed None: to be deleted). alone: the only one
    that this person is owed here. consents: the places for consent that must be written with it. since: when the person
    was last owed here before it."""

    person: Person
    link: Link | None
    owed: Owed | None
    alone: bool = True
    consents: Sequence[Consent] = ()
    since: datetime | None = None

    @property
    def ref(self) -> str:
        return f"{self.person.id}:{self.link.remote_id if self.link else ''}"


@dataclass(slots=True)
class Prepared:
    """What is to be written for a batch of pushes. settled: persons to whom nothing is owed. level: links whose shadow
    only was behind. aside: persons who must not be made, and why."""

    tasks: list[Task]
    settled: list[int]
    level: list[Link]
    aside: Mapping[int, str] = field(default_factory=dict)


# --- deciding what to write


def prepare(session: Session, unit: Unit, persons: Sequence[int]) -> Prepared:
    """What these persons are owed now."""
    found = people.load(unit, persons)
    held: dict[int, list[Link]] = {}
    for link in links.of_people(unit, persons, connection=session.id, state=None):
        held.setdefault(link.person_id, []).append(link)
    waiting = runs.waiting(unit, session.id, [link.remote_id for each in held.values() for link in each])
    prepared = Prepared([], [], [])
    known = _ledger(session, unit, found, held)
    disputed = journal.disputed(unit, session.id, persons) if session.policy.ask else {}
    for id_ in persons:
        if any(link.remote_id in waiting for link in held.get(id_, ())):
            continue  # what the record brought comes first; owed until then
        asked = disputed.get(id_, set())
        tasks = [*_tasks(session, found[id_], held.get(id_, []), prepared.level, known, asked)]
        prepared.tasks += tasks if len(tasks) == 1 else [replace(task, alone=False) for task in tasks]
        if not tasks:
            prepared.settled.append(id_)
    if made := [task.person for task in prepared.tasks if task.link is None]:
        prepared.aside = refusals.in_the_way(session, unit, made)
        prepared.tasks = [task for task in prepared.tasks if task.person.id not in prepared.aside]
    return prepared


def _ledger(
    session: Session, unit: Unit, persons: Mapping[int, Person], held: Mapping[int, Sequence[Link]]
) -> Ledger | None:
    """What is known of the persons' consent; None where the connection is never told."""
    if not consents.pushes(session):
        return None
    more = {place[:2] for each in held.values() for link in each for place in of_json(link.consents)}
    return consents.ledger(unit, persons, session.world.eq, session.connector.capabilities.consents, more)


def _tasks(
    session: Session,
    person: Person,
    held: Sequence[Link],
    level: list[Link],
    known: Ledger | None,
    disputed: Collection[Path],
) -> Iterator[Task]:
    policy, can = session.policy, session.connector.capabilities
    live = [link for link in held if link.state == "live"]
    if person.state != "live":
        # Who asked to be forgotten is forgotten everywhere, whatever becomes of others' deletions.
        wanted = person.state == "erased" or (person.state == "deleted" and policy.deletes == "propagate")
        if wanted and can.deletes and policy.direction in ("both", "push"):
            yield from (Task(person, link, None) for link in live)
        return
    for link in live:
        change = owed(
            person.card,
            link.seen,
            link.sent,
            fit=session.connector.fit,
            policy=policy,
            eq=session.world.eq,
            disputed=disputed,
        )
        said = known.due(person.id, of_json(link.consents), can.optins) if known else []
        if change is None and not said:
            continue
        if change is not None and not change.paths and not said:
            level.append(replace(link, sent=change.sent))
        elif can.updates:
            yield Task(person, link, change or Owed(link.seen, link.sent, frozenset()), consents=said)
    if not held and can.creates and policy.direction in ("both", "push") and policy.welcomes(person.card):
        new = owed_create(person.card, fit=session.connector.fit, policy=policy)
        if new.paths:
            yield Task(person, None, new, consents=known.known(person.id, can.consents, can.optins) if known else ())


def request(session: Session, task: Task) -> Push:
    """The task as the connector takes it."""
    held = None
    if task.link is not None:
        link = task.link
        held = Record(
            link.remote_id,
            link.seen,
            link.version,
            link.modified,
            task.person.uid,
            link.raw,
            consents=[Consent(place.channel, place.address, place.state) for place in of_json(link.consents)],
        )

    def blob(uri: str) -> bytes:
        with session.store.read() as unit:
            return runs.blob(unit, uri)

    card = task.owed.card if task.owed else None
    return Push(task.ref, task.person.uid, held, card, blob, task.consents, erase=task.person.state == "erased")


# --- writing


def push(session: Session) -> None:
    """Write everything this connection is owed.

    Raises what ends the run (Throttled, Unreachable, Unauthorised); what had no outcome by then is owed still.
    """
    _rouse(session)
    for _ in range(MAX_ATTEMPTS):
        with session.store.read() as unit:
            total = outbox.count(unit, session.id, "owed")
        if not total:
            return
        session.connector.fit(EMPTY, None)  # who must ask once what the account has places for does not ask in a unit
        if not _pass(session, total):
            return


def _rouse(session: Session) -> None:
    """Whoever waits for a record is looked at again, once in a run."""
    with session.store.read() as unit:
        waits = outbox.count(unit, session.id, "waits")
    if waits:
        with session.store.begin() as unit:
            session.fence(unit)
            outbox.rouse(unit, session.id)


@dataclass(frozen=True, slots=True)
class Step:
    """Writes that were promised in one transaction, and whom they are for; nobody where nobody is left."""

    due: Sequence[Due]
    tasks: Sequence[Task]


def _pass(session: Session, total: int) -> bool:
    """Go once through all that is owed; True where somebody is owed again at its end."""
    done, again = 0, False
    step = _promise(session, 0, FIRST)
    while step.due:
        following = None
        if step.tasks:
            with session.world.watch("batch", {"records": len(step.tasks)}):
                owed_again, following = _write(session, step)
            again |= owed_again
        done += len(step.due)
        session.progress("push", done, total)
        step = following or _promise(session, step.due[-1].person_id, STEP)
    return again


def _promise(session: Session, after: int, most: int) -> Step:
    """Commit ourselves to write to those who come after that person: from now on these writes may happen."""
    with session.store.begin(durable=True) as unit:
        limit = max(most, session.connector.capabilities.batch)
        due = outbox.due(unit, session.id, "owed", after=after, limit=limit)
        step = Step(due, _promised(session, unit, due))
    if due:
        session.world.at("push.intent")
    return step


def _promised(session: Session, unit: Unit, due: Sequence[Due]) -> list[Task]:
    session.fence(unit)
    prepared = prepare(session, unit, [push.person_id for push in due])
    links.save(unit, prepared.level)
    outbox.settle(unit, session.id, prepared.settled)
    for person, reason in prepared.aside.items():
        _set_aside(session, unit, person, reason, waits=True)
    promised: dict[int, dict[str, Leaves]] = {task.person.id: {} for task in prepared.tasks}
    for task in prepared.tasks:
        if task.owed is not None:
            promised[task.person.id][task.link.remote_id if task.link else ""] = _wrote(task)
    outbox.promise(unit, session.id, promised)
    since = {push.person_id: push.since for push in due}
    return [replace(task, since=since[task.person.id]) for task in prepared.tasks]


def _write(session: Session, step: Step) -> tuple[bool, Step | None]:
    """Send a step and settle each outcome: whether some are owed again, and the step that follows, if it was promised
    while the last write was on its way: the remote need not wait for it."""
    unsent = {task.ref: task for task in step.tasks}
    ahead: list[Step] = []
    again = False
    stale: list[Task] = []
    for outcome in _answers(session, step, unsent, ahead):
        session.world.at("push.written")
        task = unsent.pop(outcome.ref)
        with session.store.begin() as unit:
            session.fence(unit)
            what = _settle(session, unit, task, outcome)
        again |= what != "done"
        if what == "read":
            stale.append(task)
        session.world.at("push.outcome")
        if len(unsent) == 1:
            ahead.append(_promise(session, step.due[-1].person_id, STEP))
    if unsent:
        raise AssertionError(f"{session.connection.name}: the connector gave no outcome for {len(unsent)} writes")
    if stale:
        _read_stale(session, step, stale, ahead)
    return again, next(iter(ahead), None)


def _answers(session: Session, step: Step, unsent: Mapping[str, Task], ahead: Sequence[Step]) -> Iterator[Outcome]:
    """The outcomes of a step, as they come. Where they end the run, what was not sent is owed as before: it, and what
    was promised ahead. (A fault of our own between two of them leaves all in doubt: it may be on its way.)"""
    try:
        yield from session.connector.write([request(session, task) for task in step.tasks])
    except Error:
        _give_back(session, [*unsent.values(), *_tasks_of(ahead)])
        raise


def _read_stale(session: Session, step: Step, stale: Sequence[Task], ahead: Sequence[Step]) -> None:
    try:
        _reread(session, stale, {push.person_id: push.attempts for push in step.due})
    except Error:
        _give_back(session, _tasks_of(ahead))
        raise


def _tasks_of(steps: Sequence[Step]) -> list[Task]:
    return [task for step in steps for task in step.tasks]


def _give_back(session: Session, tasks: Sequence[Task]) -> None:
    """These were promised, and not sent."""
    with session.store.begin() as unit:
        outbox.mark_owed(unit, session.id, {task.person.id for task in tasks})


def _settle(session: Session, unit: Unit, task: Task, outcome: Outcome) -> Settled:
    """Store what became of one write."""
    error, person = outcome.error, task.person.id
    if error is None:
        assert outcome.record is not None
        return _succeeded(session, unit, task, outcome)
    if isinstance(error, Missing) and task.owed is None:
        return _deleted(session, unit, task)
    if task.link is not None and isinstance(error, Stale | Missing | Uncertain):
        return "read"  # a refused write proves no deletion: wrong rights look alike
    if not isinstance(error, Uncertain):  # an uncertain create stays as it is: `recover` looks for it
        _set_aside(session, unit, person, str(error))
    return "done"


def _succeeded(session: Session, unit: Unit, task: Task, outcome: Outcome) -> Settled:
    record = outcome.record
    assert record is not None
    if task.owed is None:
        return _deleted(session, unit, task)
    if wrong := _flaw(record):
        _set_aside(session, unit, task.person.id, f"it was written, but its answer cannot be taken: {wrong}")
        return "done"
    if task.link is not None and not _moved(session, unit, task, task.link, record):
        return "done"
    if task.link is not None:
        more = _updated(session, unit, task, task.link, task.owed, outcome)
        session.tally.written += 1
        return _heeded(session, unit, replace(task, alone=task.alone and not more), record)
    if _created(session, unit, task, task.owed.card, outcome):
        session.tally.created += 1
        return _heeded(session, unit, task, record)
    return "done"


def _flaw(record: Record) -> str | None:
    """Why an answer cannot be stored."""
    return (
        record.refused
        or problem_id(record.id)
        or problem(record.card or EMPTY)
        or unstorable([record.version, record.raw])
    )


def _moved(session: Session, unit: Unit, task: Task, link: Link, record: Record) -> bool:
    """Our write gave the record another id, or joined it to another one. False where that is another person's."""
    if record.id == link.remote_id:
        return True
    if links.holder(unit, session.id, record.id) in (None, task.person.id):
        links.rename(unit, session.id, link.remote_id, record.id)
        return True
    reason = f"the remote made it one with record {record.id}, which is another person's; look at both there"
    _set_aside(session, unit, task.person.id, reason)
    return False


def _heeded(session: Session, unit: Unit, task: Task, record: Record) -> Settled:
    """The write is done, if the remote took the opt-outs. One that it does not take is nothing to be silent about."""
    shows = {place[:2]: place.state for place in consents.shown(record, None, session.world.eq)}
    for consent in task.consents:
        place = consent.channel, consent.address
        if consent.state != "withdrawn" or shows.get(place, "withdrawn") in _OUT:
            continue
        what = f"the opt-out of {consent.address}" if consent.address else f"the opt-out ({consent.channel})"
        reason = f"{session.connection.name} did not take {what}; mark it there by hand, then retry"
        _set_aside(session, unit, task.person.id, reason)
        return "done"
    return _level(session, unit, task)


_OUT: Final = ("withdrawn", "undeliverable")


def _deleted(session: Session, unit: Unit, task: Task) -> Settled:
    assert task.link is not None
    state = people.load(unit, [task.person.id])[task.person.id].state
    if state == "live":
        links.forget(unit, session.id, task.link.remote_id)  # lives on since: to be made anew
    elif state == "erased":
        links.save(unit, [replace(task.link, state="gone", written=unit.now, seen=EMPTY, sent=EMPTY, raw=None)])
    else:
        links.save(unit, [replace(task.link, state="gone", written=unit.now)])
    session.tally.deleted += 1
    return _level(session, unit, task)


def _created(session: Session, unit: Unit, task: Task, sent: Card, outcome: Outcome) -> bool:
    """A new record is this person's. False where the remote answered with somebody else's record."""
    record = outcome.record
    assert record is not None
    assert record.card is not None
    person = task.person
    if links.holder(unit, session.id, record.id) not in (None, person.id):
        reason = f"the remote answered with record {record.id}, which is another person's"
        _set_aside(session, unit, person.id, reason)
        return False
    seen = align(record.card, [sent], session.world.eq, session.world.mint)
    shown = consents.shown(record, None, session.world.eq)
    ours = written((), shown, task.consents)
    places = [next((place for place in ours if place[:2] == other[:2]), other) for other in shown]
    made = link_of(session, unit, person.id, record, seen=seen, sent=sent, places=places)
    links.save(unit, [made if outcome.proven else replace(made, digest=None)])
    said = consents.heard(session, unit, person.id, record, None)
    written_by_us = {place[:2] for place in ours}
    consents.record(unit, session.world, [e for e in said if (e.channel, e.address) not in written_by_us])
    runs.keep_blobs(unit, record.blobs)
    return True


def _updated(session: Session, unit: Unit, task: Task, link: Link, change: Owed, outcome: Outcome) -> bool:
    """Our write was answered. Where the answer differs beyond what we wrote, somebody else wrote too, or an address
    came with marks of its own. True where the record is owed something for that."""
    record = outcome.record
    assert record is not None
    assert record.card is not None
    answer = align(record.card, [change.card], session.world.eq, session.world.mint)
    expected = answered(link.seen, answer, change.paths)
    shown = consents.shown(record, link, session.world.eq)
    places = written(of_json(link.consents), shown, task.consents)
    saved = link_of(session, unit, task.person.id, record, seen=answer, sent=change.sent, places=places)
    saved = replace(saved, prior=_prior(session, unit, link, saved.digest))
    runs.keep_blobs(unit, record.blobs)
    if leaves(expected) == leaves(answer) and [p[:3] for p in places] == [p[:3] for p in shown]:
        links.save(unit, [replace(saved, digest=saved.digest if outcome.proven else None)])
        return False
    # Without a version: what is now taken in is news, and not what became of our write.
    links.save(unit, [replace(saved, seen=expected, modified=link.modified, digest=None, version=None)])
    intake = Intake(session, unit)
    intake.take([record])
    intake.flush()
    return task.person.id in intake.own


def _prior(session: Session, unit: Unit, link: Link, now: str | None) -> str | None:
    """What reads may still show of the record although we have written: it as it was, and as it was before the writes
    that this one follows too soon for any read to show them. now: what it shows since, which is no past."""
    lag = timedelta(seconds=session.connector.capabilities.lag)
    soon = link.written is not None and unit.now - link.written < lag
    known = [*(link.prior or "").split(), link.digest] if soon else [link.digest]
    return " ".join([digest for digest in known if digest and digest != now][-PAST:]) or None


def link_of(
    session: Session, unit: Unit, person: int, record: Record, *, seen: Card, sent: Card, places: Sequence[Shown]
) -> Link:
    """The link to a record that we have just written."""
    return Link(
        connection_id=session.id,
        remote_id=record.id,
        person_id=person,
        state="live",
        version=record.version,
        modified=record.modified,
        digest=news_of(record).digest,
        prior=None,
        written=unit.now,
        seen=seen,
        sent=sent,
        raw=record.raw,
        consents=as_json(places),
    )


def _set_aside(session: Session, unit: Unit, person: int, reason: str, *, waits: bool = False) -> None:
    outbox.set_aside(unit, session.id, person, reason, waits=waits)
    session.tally.aside += 1


def _level(session: Session, unit: Unit, task: Task) -> Settled:
    """The push is done, unless the person changed or was owed again meanwhile, or has more records here."""
    assert task.since is not None
    if task.alone and outbox.settle_unchanged(unit, session.id, task.person.id, task.person.rev, task.since):
        return "done"
    outbox.mark_owed(unit, session.id, [task.person.id])
    return "owed"


def _reread(session: Session, tasks: Sequence[Task], attempts: dict[int, int]) -> None:
    """These changed under us (or may have been written): read, merge, and let them be prepared again."""
    ids = [task.link.remote_id for task in tasks if task.link is not None]
    records = [*session.connector.read(ids)]
    with session.store.begin() as unit:
        session.fence(unit)
        held = links.load(unit, session.id, ids)
        wrote = {task.link.remote_id: _wrote(task) for task in tasks if task.link and task.owed}
        links.save(unit, _arrived(session, unit, [*held.values()], records, wrote))
        intake = Intake(session, unit)
        intake.take(records)
        intake.flush()
        unread = {record.id: record.refused for record in records if record.refused is not None}
        broken = {
            task.person.id: unread[task.link.remote_id] for task in tasks if task.link and task.link.remote_id in unread
        }
        for person in {task.person.id for task in tasks}:
            if person in broken:
                _set_aside(session, unit, person, f"its record there cannot be read: {broken[person]}")
            elif attempts.get(person, 0) + 1 >= MAX_ATTEMPTS:
                _set_aside(session, unit, person, "the record changed under every one of our writes")
            else:
                outbox.mark_owed(unit, session.id, [person], failed=True)
    session.world.at("push.reread")


# --- after a crash, or an answer that never came


def recover(session: Session) -> None:
    """Find out what became of writes whose outcome we do not know, before anything else is read or written."""
    after = 0
    while True:
        with session.store.read() as unit:
            due = outbox.due(unit, session.id, "sent", after=after, limit=LOOKED_FOR)
            if not due:
                return
            found = people.load(unit, [push.person_id for push in due])
            held: dict[int, list[Link]] = {}
            for link in links.of_people(unit, found, connection=session.id):
                held.setdefault(link.person_id, []).append(link)
        after = due[-1].person_id
        wrote = {record: parts for push in due for record, parts in push.sent.items()}
        _recover_known(session, [link for each in held.values() for link in each], wrote)
        _recover_creates(session, [push for push in due if push.person_id not in held], found)


def _recover_known(session: Session, held: Sequence[Link], wrote: outbox.Sent) -> None:
    if not held:
        return
    records = [*session.connector.read([link.remote_id for link in held])]
    with session.store.begin() as unit:
        session.fence(unit)
        links.save(unit, _arrived(session, unit, held, records, wrote))
        intake = Intake(session, unit)
        intake.take(records)
        intake.flush()
        outbox.mark_owed(unit, session.id, {link.person_id for link in held})
    session.world.at("recover.known")


def _arrived(
    session: Session, unit: Unit, held: Sequence[Link], records: Sequence[Record], wrote: outbox.Sent
) -> list[Link]:
    """The links of records to which we may have written: what shows as we wrote it is ours, and nobody's edit."""
    changed = {link.remote_id: link for link in consents.ours(session, unit, held, records)}
    known = {link.remote_id: link for link in held} | changed
    eq = session.world.eq
    for record in records:
        link = known.get(record.id)
        if link is None or record.card is None or record.refused is not None:
            continue  # of what cannot be read whole it cannot be told what arrived
        if not (parts := wrote.get(record.id)):
            continue
        view = _as_written(record.card, leaves(link.seen), parts, session)
        seen, sent = acknowledged(view, link.seen, link.sent, parts, eq)
        changed[record.id] = replace(link, seen=seen, sent=sent)
    return [*changed.values()]


def _as_written(card: Card, seen: Leaves, parts: Leaves, session: Session) -> Card:
    """A record's view beside what we wrote, which may have arrived or not. Where it still shows an element that we took
    away, that is the one it was, and no new one."""
    eq, mint = session.world.eq, session.world.mint
    added = {path: value for path, value in parts.items() if value is not None}
    gone = {path[:2] for path, value in parts.items() if value is None} - {path[:2] for path in added}
    values = {path for path in seen if path[:2] in gone and path[-1] == VALUE.get(path[0])}
    view = align(card, [card_of(seen | added)], eq, mint)
    if any(path in values and eq.same(path, value, seen[path]) for path, value in leaves(view).items()):
        return view
    return align(card, [card_of({p: v for p, v in (seen | parts).items() if v is not None})], eq, mint)


def _wrote(task: Task) -> Leaves:
    """The leaves that a write set; None for one that it took away."""
    assert task.owed is not None
    parts = leaves(task.owed.card)
    return {path: parts.get(path) for path in sorted(task.owed.paths)}


def _recover_creates(session: Session, due: Sequence[Due], found: dict[int, Person]) -> None:
    """Creates whose answer never came: look for the record, and only when it cannot be there, create again."""
    tasks = {}
    for waiting in due:
        sent = card_of(waiting.sent.get("", {}))
        task = Task(found[waiting.person_id], None, Owed(sent, sent, frozenset()))
        tasks[task.ref] = (task, waiting.sent_at, sent)
    if not tasks:
        return
    answers: dict[str, list[Record]] = {}
    for ref, found_there in session.connector.find([request(session, task) for task, _, _ in tasks.values()]):
        answers.setdefault(ref, []).append(found_there)
    lag = timedelta(seconds=session.connector.capabilities.find_lag)
    with session.store.begin() as unit:
        session.fence(unit)
        intake = Intake(session, unit)
        persons = people.load(unit, [task.person.id for task, _, _ in tasks.values()])  # as they are by now
        for ref, (task, sent_at, sent) in tasks.items():
            person = persons[task.person.id]
            there = answers.get(ref, ())
            record = _made_by_us(session, unit, person, [found for found in there if found.refused is None])
            if record is not None:
                intake.answer(person, record, sent)
            else:
                _may_be_ours(session, unit, person, there, sent)
            if record is not None or sent_at is None or unit.now - sent_at >= lag:
                outbox.mark_owed(unit, session.id, [task.person.id])
        intake.flush()
    session.world.at("recover.creates")


def _may_be_ours(session: Session, unit: Unit, person: Person, there: Sequence[Record], sent: Card) -> None:
    """A record that our create made and nobody can read is this person's, whatever can be made out of it: no other is
    made beside it, unless a human said to ignore it."""
    record = _made_by_us(session, unit, person, [found for found in there if found.refused is not None])
    if record is not None and record.id not in runs.refused_ids(unit, session.id, ignored=True):
        refusals.keep(unit, session.id, {record.id: record.refused or ""}, {record.id: sent}, session.world.eq)


def _made_by_us(session: Session, unit: Unit, person: Person, found: Sequence[Record]) -> Record | None:
    """The record that our create made: it carries our key, or it has none and is nobody's yet. What is somebody else's
    cannot be what we made."""
    known = links.briefs(unit, session.id, [record.id for record in found])
    free = [record for record in found if record.id not in known and record.key in (None, person.uid)]
    return next(iter(sorted(free, key=lambda record: record.key is None)), None)
