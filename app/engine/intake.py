"""Taking in what a remote shows: records become links, persons, journal rows, and what others are owed.

An intake belongs to one unit of work. It loads what a batch of records touches in a few queries, lets the core decide
record by record, and writes everything at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.core import identity
from app.core.align import align
from app.core.consent import as_json, flips, of_json
from app.core.identity import Candidate, Key
from app.core.reconcile import EMPTY, Merged, Owed, Side, first_sight, merge, owed
from app.core.rendering import renders
from app.engine import consents, refusals, suppression
from app.engine.arbiter import arbiter
from app.engine.world import Session, earlier, policy_of
from app.store import connections, journal, links, outbox, people, runs
from app.store.consents import Entry
from app.store.links import Brief, Link
from app.store.people import Person
from app.store.store import Unit
from connectors.card import (
    SLOT,
    Card,
    Equivalence,
    Path,
    card_of,
    digest,
    leaves,
    problem,
    problem_id,
    unstorable,
)
from connectors.consent import Consent
from connectors.contract import Record


@dataclass(frozen=True, slots=True)
class News:
    """A record that has to be looked at, and the digest of its view."""

    record: Record
    digest: str


class Intake:
    """One batch of arrivals in one unit of work. `take`, then `flush` once."""

    def __init__(self, session: Session, unit: Unit) -> None:
        self.session, self.unit = session, unit
        self.fit = session.connector.fit
        self.eq = session.world.eq
        self.people: dict[int, Person] = {}
        self._disputed: dict[int, set[Path]] = {}
        self._fresh: dict[int, Person] = {}
        self._changed: dict[int, Person] = {}
        self._keys: dict[int, set[Key]] = {}
        self._uids: set[str] = set()  # of those that were looked for, whose they are; and of newcomers
        self._links: dict[str, Link] = {}
        self._journal: list[journal.Change] = []
        self._conflicts: list[journal.Conflict] = []
        self._refused: dict[str, str] = {}
        self._unread: dict[str, Card] = {}  # what could be read of those
        self._fine: set[str] = set()  # which were read, or are gone
        self._parked: dict[str, Any] = {}
        self._alive: set[str] = set()
        self._revived: set[int] = set()
        self._touched: set[int] = set()
        self._own: set[int] = set()
        self._proofs: list[News] = []
        self._heard: list[Entry] = []
        self._versions: list[Record] = []

    # -- what came

    def take(self, records: Iterable[Record], *, settling: bool = False) -> None:
        """Decide about each record.

        settling: these have waited; what they take away may be taken now. Otherwise a record that takes something away
        is parked for the end of the run, where the brake looks at all of them together.
        """
        arrivals = self._storable(records)
        self._follow_aliases(arrivals.values())
        self._alive.update(record.id for record in arrivals.values() if record.card is not None)
        known = links.briefs(self.unit, self.session.id, arrivals)
        strangers: list[News] = []
        changed: list[News] = []
        for record in arrivals.values():
            self._sort(record, known.get(record.id), strangers, changed)
        self._proven()
        self._news(changed, settling)
        self._strangers(strangers)

    def _storable(self, records: Iterable[Record]) -> dict[str, Record]:
        """Those that can be told from others and kept, by id; the rest is refused under a name of ours."""
        found: dict[str, Record] = {}
        for record in records:
            memory = unstorable([record.version, record.raw])
            if reason := problem_id(record.id):
                self._refuse(replace(record, id=nameless(record.id)), reason)
            elif memory:
                self._refuse(record, f"what its connector keeps of it {memory}")
            elif any(map(problem_id, record.aliases)):
                found[record.id] = replace(record, aliases=[a for a in record.aliases if not problem_id(a)])
            else:
                found[record.id] = record
        return found

    def _refuse(self, record: Record, reason: str) -> None:
        if record.card is None and record.refused is None:
            self._fine.add(record.id)
            return
        self._refused[record.id] = reason
        if record.card:
            self._unread[record.id] = record.card

    def _follow_aliases(self, records: Iterable[Record]) -> None:
        for record in records:
            for old in record.aliases:
                if links.briefs(self.unit, self.session.id, [old]):
                    links.rename(self.unit, self.session.id, old, record.id)

    def _sort(self, record: Record, link: Brief | None, strangers: list[News], changed: list[News]) -> None:
        if reason := record.refused or (problem(record.card) if record.card else None):
            self._refuse(record, reason)
            return
        self._fine.update((record.id, *record.aliases))
        if record.card is None:
            if link is not None and link.state == "live":
                self._parked[record.id] = None
        elif link is None:
            strangers.append(news_of(record))
        else:
            news = news_of(record)
            if self._is_proof(news, link):
                self._proofs.append(news)
            elif self._is_news(news, link):
                changed.append(news)
            elif record.version != link.version and news.digest == link.digest and not self._is_old(record, link):
                self._versions.append(record)

    def _is_news(self, news: News, link: Brief) -> bool:
        if self._is_old(news.record, link):
            return False
        # Some remotes show the states before our last writes for a while.
        lag = timedelta(seconds=self.session.connector.capabilities.lag)
        lagging = (
            link.written is not None and self.unit.now - link.written < lag and not self._is_newer(news.record, link)
        )
        if link.state == "gone":
            return not (lagging and news.digest == link.digest)
        return news.digest != link.digest and not (lagging and news.digest in (link.prior or "").split())

    @staticmethod
    def _is_proof(news: News, link: Brief) -> bool:
        """Is this what the remote made of our last write, of which we know only what we sent?"""
        same = link.version is not None and news.record.version == link.version
        return same and link.digest is None and link.written is not None and link.state == "live"

    @staticmethod
    def _is_newer(record: Record, link: Brief) -> bool:
        return record.modified is not None and link.modified is not None and record.modified > link.modified

    @staticmethod
    def _is_old(record: Record, link: Brief) -> bool:
        return record.modified is not None and link.modified is not None and record.modified < link.modified

    # -- records of persons we know

    def _news(self, changed: Sequence[News], settling: bool) -> None:
        held = links.load(self.unit, self.session.id, [news.record.id for news in changed])
        self._load({link.person_id for link in held.values()})
        for news in changed:
            link = held[news.record.id]
            person = self.people[link.person_id]
            if self._stays_deleted(person, news, link):
                if self._was_deleted_here(person):
                    self._refuse(news.record, _back(person, link, self.session.connection.name))
                    continue
                self._link(replace(link, state="live", version=news.record.version))
                self._own.add(person.id)
                continue
            merged = self._merge(person, news, link)
            if not settling and (merged.losses or self._opts(news.record, link)):
                self._park(news.record)
                continue
            self._apply(person, news, merged, link)

    def _proven(self) -> None:
        """Shown as it is, and no edit: what the record does not show of what we sent, the remote cannot hold. But who
        is in which group is often kept elsewhere, and no version of the record tells of it."""
        held = links.load(self.unit, self.session.id, [news.record.id for news in self._proofs])
        self._load({link.person_id for link in held.values()})
        for news in self._proofs:
            link = held[news.record.id]
            if self.people[link.person_id].state == "erased":
                continue  # nothing of theirs is kept
            assert news.record.card is not None
            view = align(news.record.card, [link.seen], self.eq, self.session.world.mint)
            answer = {**view, "groups": link.seen.get("groups", {})}
            proven = replace(link, seen={name: value for name, value in answer.items() if value})
            if proven.seen == view:
                self._link(self._linked(link.person_id, news, view, link.sent, link))
                runs.keep_blobs(self.unit, news.record.blobs)
            else:
                person = self.people[link.person_id]
                self._apply(person, news, self._merge(person, news, proven), proven)

    def _opts(self, record: Record, link: Link) -> bool:
        """Did somebody opt out there, or in? If many did at once, a human looks at it first."""
        shown = consents.shown(record, link, self.eq)
        return link.state == "live" and consents.pulls(self.session) and flips(of_json(link.consents), shown)

    @staticmethod
    def _stays_deleted(person: Person, news: News, link: Link) -> bool:
        """An old copy came back by itself, or a record of somebody whom we must not know any more."""
        return person.state == "erased" or (
            person.state != "live" and link.state == "gone" and news.digest == link.digest
        )

    def _was_deleted_here(self, person: Person) -> bool:
        """Was it this very system that told of the deletion? Then its record is no old copy that a system which never
        heard of it still has: somebody put it back, or the system shows the past. That is for a human to say."""
        last = journal.last_change(self.unit, person.id, ()) if person.state == "deleted" else None
        return last is not None and last[0] == self.session.id

    def _merge(self, person: Person, news: News, link: Link | None) -> Merged:
        """The record into the person's card; a first meeting where there is no link or it is a tombstone."""
        assert news.record.card is not None
        seen, sent = (link.seen, link.sent) if link is not None and link.state == "live" else (EMPTY, EMPTY)
        view = align(news.record.card, [seen, person.card], self.eq, self.session.world.mint)
        at = earlier(news.record.modified, self.unit.now)
        return merge(
            person.card,
            view,
            seen,
            sent,
            fit=self.fit,
            policy=self.session.policy,
            arbiter=arbiter(self.unit, self.session, person.id, at),
            eq=self.eq,
            disputed=self._disputed.get(person.id, ()),
        )

    def _apply(self, person: Person, news: News, merged: Merged, link: Link | None, *, revive: bool = False) -> None:
        """The record is this person's. revive: that it is there at all says that the person lives."""
        record, at = news.record, earlier(news.record.modified, self.unit.now)
        for clash in merged.conflicts:
            self._clash(person.id, clash.path, clash.ours, clash.theirs, clash.kept)
        if merged.edits or (person.state != "live" and (revive or merged.conflicts)):
            self._edit(person, merged, at)
        self._heard += consents.heard(self.session, self.unit, person.id, record, link)
        self._link(self._linked(person.id, news, merged.seen, merged.sent, link))
        runs.keep_blobs(self.unit, record.blobs)
        person = self.people[person.id]
        if person.state != "live" or self._owes(person.card, merged.seen, merged.sent) is not None:
            self._own.add(person.id)

    def _edit(self, person: Person, merged: Merged, at: datetime) -> None:
        if person.state != "live":
            # Edited after we last agreed, deleted elsewhere: the edit wins, and it is said.
            self._log(person.id, (), None, merged.card, at)
            self._clash(person.id, (), None, merged.card, "theirs")
            self._revived.add(person.id)
        for edit in merged.edits:
            self._log(person.id, edit.path, edit.before, edit.after, at)
        self._put(replace(person, rev=person.rev + 1, card=merged.card, state="live"))
        self._touched.add(person.id)
        self.session.tally.updated += 1

    def _clash(self, person: int, path: Path, ours: Any, theirs: Any, kept: Side) -> None:
        self._conflicts.append(journal.Conflict(person, self.session.id, path, ours, theirs, kept))
        self.session.tally.conflicts += 1

    def _owes(self, card: Card, seen: Card, sent: Card) -> Owed | None:
        return owed(card, seen, sent, fit=self.fit, policy=self.session.policy, eq=self.eq)

    # -- records of persons we do not know (yet)

    def _strangers(self, strangers: Sequence[News]) -> None:
        wanted = {news.record.id: self._keys_of(news.record) for news in strangers}
        strangers = self._admitted(strangers, wanted)
        if not strangers:
            return
        holders = people.by_keys(self.unit, {key for keys in wanted.values() for key in keys})
        everybody = {person for persons in holders.values() for person in persons}
        self._uids.update(value for kind, value in holders if kind == "uid")
        self._load(everybody)
        here = links.people_here(self.unit, self.session.id, everybody)
        lost = self._lost_creates()
        numbers = iter(people.next_ids(self.unit, len(strangers)))
        for news in strangers:
            record = news.record
            assert record.card is not None
            answers = _answers(record, lost, self.people, self.eq)
            chosen = identity.choose(record.card, answers or self._candidates(wanted[record.id], holders, here))
            if chosen is None and not self._pulls_anything():
                continue  # somebody of theirs, of whom nothing may be taken
            if chosen is None:
                person = self._newcomer(next(numbers), news, wanted[record.id])
            elif answers:
                person = self.people[chosen]
                self._answer(person, news, lost[chosen])
            else:
                person = self.people[chosen]
                self._meet(person, news)
                self._rekey(chosen)
                self.session.tally.linked += 1
            here.add(person.id)
            for key in self._keys.get(person.id, wanted[record.id]):
                holders.setdefault(key, set()).add(person.id)

    def _admitted(self, strangers: Sequence[News], wanted: Mapping[str, set[Key]]) -> Sequence[News]:
        """Those who are not kept out because they asked to be forgotten."""
        out = suppression.suppressed(self.unit, {key for keys in wanted.values() for key in keys}) if strangers else {}
        if not out:
            return strangers
        admitted = []
        for news in strangers:
            since = next((out[key] for key in sorted(wanted[news.record.id]) if key in out), None)
            if since is None:
                admitted.append(news)
            else:
                self._refused[news.record.id] = (
                    f"somebody with its e-mail address asked on {since:%Y-%m-%d} to be forgotten; take it out there, "
                    "or let the address in again: concord people admit ADDRESS"
                )
        return admitted

    def _meet(self, person: Person, news: News) -> None:
        """The record is somebody we know."""
        if person.state != "live" and self._predates_deletion(person, news.record):
            # A copy from before the deletion is no wish to have the person back; nor is it ours to delete.
            assert news.record.card is not None
            view = align(news.record.card, [person.card], self.eq, self.session.world.mint)
            self._link(self._linked(person.id, news, view, self.fit(person.card, view)))
        else:
            self._apply(person, news, self._merge(person, news, None), None, revive=True)

    def answer(self, person: Person, record: Record, sent: Card) -> None:
        """This record was made by our create of this person, whose answer never came."""
        assert record.card is not None
        self._load([person.id])
        self.people[person.id] = person
        self._answer(person, news_of(record), sent)

    def _answer(self, person: Person, news: News, sent: Card) -> None:
        """What it shows otherwise than any remote shows what we sent, somebody has edited since. What it does not show
        of it, it cannot hold, or somebody has taken it away before we ever saw it: that is owed once more, and the
        answer tells."""
        assert news.record.card is not None
        view = leaves(align(news.record.card, [sent], self.eq, self.session.world.mint))
        kept = {path: value for path, value in leaves(sent).items() if path in view}
        seen = {path: view[path] if renders(path, value, view[path]) else value for path, value in kept.items()}
        link = replace(self._linked(person.id, news, card_of(seen), card_of(kept)), written=self.unit.now)
        # Of what it says about consent only that is ours which our create said; the rest somebody has said since.
        silent = replace(link, consents=as_json([p._replace(state="unknown") for p in of_json(link.consents)]))
        link = next(iter(consents.ours(self.session, self.unit, [silent], [news.record])), silent)
        self._apply(person, news, self._merge(person, news, link), link)
        self._own.add(person.id)

    def _predates_deletion(self, person: Person, record: Record) -> bool:
        if record.modified is None:  # what a first listing shows may be old; what comes later was made later
            return self.session.connection.cursor is None
        last = journal.last_change(self.unit, person.id, ())
        return last is not None and record.modified <= last[1]

    def _pulls_anything(self) -> bool:
        policy = self.session.policy
        return policy.direction in ("both", "pull") or any(policy.pulls(field) for field in policy.fields)

    def _keys_of(self, record: Record) -> set[Key]:
        assert record.card is not None
        found = identity.keys_of(record.card, self.eq)
        return found | {("uid", record.key)} if record.key and identity.is_uid(record.key) else found

    def _candidates(self, wanted: set[Key], holders: dict[Key, set[int]], here: set[int]) -> list[Candidate]:
        shared: dict[int, set[Key]] = {}
        for key in wanted:
            for person in holders.get(key, ()):
                shared.setdefault(person, set()).add(key)
        return [
            Candidate(person, self.people[person].card, frozenset(keys), person in here)
            for person, keys in shared.items()
            if self.people[person].state != "erased"
        ]

    def _lost_creates(self) -> dict[int, Card]:
        """Persons whose create got no answer, and what it sent: the answer may be this very record."""
        sent = {
            push.person_id: card_of(push.sent[""])
            for push in outbox.due(self.unit, self.session.id, "sent", limit=100_000)
            if "" in push.sent
        }
        self._load(sent)
        return sent

    def _newcomer(self, number: int, news: News, keys: set[Key]) -> Person:
        record = news.record
        assert record.card is not None
        view = align(record.card, [], self.eq, self.session.world.mint)
        first = first_sight(view, self.fit, self.session.policy)
        key = next((value for kind, value in keys if kind == "uid"), None)
        uid = key if key and key not in self._uids else self.session.world.uid()
        self._uids.add(uid)
        person = Person(number, uid, 1, "live", first.card)
        self._fresh[number] = self.people[number] = person
        self._keys[number] = {key for key in keys if key[0] != "uid"}
        self._touched.add(person.id)
        self._log(person.id, (), None, first.card, earlier(record.modified, self.unit.now))
        self._heard += consents.heard(self.session, self.unit, person.id, record, None)
        self._link(self._linked(person.id, news, first.seen, first.sent))
        runs.keep_blobs(self.unit, record.blobs)
        self.session.tally.people += 1
        return person

    # -- notes for the flush

    def _load(self, ids: Iterable[int]) -> None:
        new = [id_ for id_ in ids if id_ not in self.people]
        self.people.update(people.load(self.unit, new))
        if new and self.session.policy.ask:
            self._disputed.update(journal.disputed(self.unit, self.session.id, new))

    def _put(self, person: Person) -> None:
        self.people[person.id] = person
        (self._fresh if person.id in self._fresh else self._changed)[person.id] = person
        self._rekey(person.id)

    def _rekey(self, person: int) -> None:
        self._keys[person] = identity.keys_of(self.people[person].card, self.eq)

    def _link(self, link: Link) -> None:
        self._links[link.remote_id] = link

    def _linked(self, person: int, news: News, seen: Card, sent: Card, before: Link | None = None) -> Link:
        record = news.record
        return Link(
            connection_id=self.session.id,
            remote_id=record.id,
            person_id=person,
            state="live",
            version=record.version,
            modified=record.modified,
            digest=news.digest,
            prior=before.prior if before else None,
            written=before.written if before else None,
            seen=seen,
            sent=sent,
            raw=record.raw,
            consents=as_json(consents.shown(record, before, self.eq)),
        )

    def _park(self, record: Record) -> None:
        self._parked[record.id] = record_json(record)
        runs.keep_blobs(self.unit, record.blobs)

    def _log(self, person: int, path: Path, before: Any, after: Any, at: datetime) -> None:
        self._journal.append(
            journal.Change(
                person, path, before, after, self.session.connection.name, self.session.id, self.session.run_id, at
            )
        )

    # -- the writing

    @property
    def own(self) -> Set[int]:
        """The persons who, as it turned out, are owed to this very connection."""
        return self._own

    def flush(self) -> None:
        """Write everything that was decided."""
        unit, here = self.unit, self.session.id
        people.insert(unit, [*self._fresh.values()], {id_: self._keys[id_] for id_ in self._fresh})
        people.update(unit, [*self._changed.values()], {id_: self._keys[id_] for id_ in self._changed})
        links.save(unit, [*self._links.values()])
        self._let_live()
        journal.append(unit, self._journal)
        journal.record_conflicts(unit, self._conflicts)
        links.set_versions(unit, here, self._versions)
        refusals.keep(unit, here, self._refused, self._unread, self.eq)
        refusals.lift(unit, here, self._fine - self._refused.keys())
        runs.unpark(unit, here, self._alive)
        runs.park(unit, here, self.session.run_id, self._parked)
        if self._touched:
            outbox.owe(unit, connections.receivers(unit, here), sorted(self._touched))
        consents.record(unit, self.session.world, self._heard)
        self._own |= consents.unsaid(self.session, unit, [*self._links.values()], self.people)
        outbox.owe(unit, [here], sorted(self._own))
        self.session.tally.refused += len(self._refused)

    def _let_live(self) -> None:
        """Who was deleted and lives on is made anew where the deletion took them away."""
        if self._revived:
            others = [c for c in connections.every(self.unit) if c.id != self.session.id]
            ids = [c.id for c in others if policy_of(c.policy).deletes != "ignore"]
            links.forget_tombstones(self.unit, ids, self._revived)


def news_of(record: Record) -> News:
    """The record with the digest of all that it shows: the card, and what it says of consent."""
    assert record.card is not None
    if not record.consents:
        return News(record, digest(record.card))
    said = [[c.channel, c.address, c.state] for c in record.consents]
    return News(record, digest({"card": record.card, "consents": said}))


def _answers(record: Record, lost: dict[int, Card], persons: dict[int, Person], eq: Equivalence) -> list[Candidate]:
    """Persons whose unanswered create made this record: it has their key, or is exactly what was sent."""
    if not lost or record.card is None:
        return []
    shown = _values(record.card, eq)
    return [
        Candidate(person, sent, frozenset({("uid", persons[person].uid)}))
        for person, sent in lost.items()
        if record.key == persons[person].uid or _values(sent, eq) == shown
    ]


def _values(card: Card, eq: Equivalence) -> list[Any]:
    """Every value of a card whatever its elements are called."""
    return sorted(
        (path[0], path[-1], str(eq.key(path[0], path[-1], value)))
        for path, value in leaves(card).items()
        if path[-1] != SLOT
    )


def _back(person: Person, link: Link, name: str) -> str:
    return (
        "it was deleted there, and is there again just as it was; to have it back everywhere: concord people restore "
        f"{person.uid}, then concord refused retry {name} {link.remote_id}; else delete it there"
    )


def nameless(remote_id: str) -> str:
    """A name for a record whose own id cannot be stored."""
    return "unnamed-" + hashlib.blake2b(remote_id.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def record_json(record: Record) -> dict[str, Any]:
    """A record as it waits in the store."""
    return {
        "id": record.id,
        "card": record.card,
        "version": record.version,
        "modified": record.modified.isoformat() if record.modified else None,
        "key": record.key,
        "raw": record.raw,
        "consents": [
            [c.channel, c.address, c.state, c.at.isoformat() if c.at else None, dict(c.evidence), c.reason]
            for c in record.consents
        ],
    }


def record_of(stored: dict[str, Any]) -> Record:
    """The record that `record_json` stored."""
    said = [
        Consent(channel, address, state, _moment(at), evidence, reason)
        for channel, address, state, at, evidence, reason in stored.get("consents", ())
    ]
    return Record(**{**stored, "modified": _moment(stored["modified"]), "consents": said})


def _moment(stored: str | None) -> datetime | None:
    return datetime.fromisoformat(stored) if stored else None
