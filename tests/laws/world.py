"""A world in which the laws must hold: remotes with people at their screens, an engine between them, and trouble.

A history is a list of steps (`steps.py`), each a small value with a `do(world)`. The world keeps a ledger of every
value that a human ever entered, each with a marker of its own, so that at the end of any history it can be asked
whether the systems agree, whether the engine is silent, and whether anything was lost or invented (`laws.py`).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from watched import Watched, Written

from app.core.policy import Policy
from app.engine.run import LEASE, Report, activate, find, sync
from app.engine.world import Tally, World, policy_json
from app.store import connections, links, people, runs, tables
from app.store.connections import Connection
from app.store.store import Store, Unit
from connectors.card import VALUE, Card, Equivalence, leaves
from connectors.contract import Connector, Context
from connectors.memory import ROW, MemoryConnector, Profile, Status, Write, addressbook, crm, lister, mailer

EQ = Equivalence()
KINDS: Mapping[str, Callable[[], Profile]] = {"book": addressbook, "crm": crm, "mail": mailer, "list": lister}
"""The usual four: lists and locks; slots and cuts; one address; versions only."""


def new_database(file: Path | None = None) -> str:
    """Where the next world is kept: in memory, or in that file. The tests' `database` puts PostgreSQL in its place."""
    return f"sqlite:///{file or ''}"


@lru_cache(maxsize=1)
def _statements() -> tuple[str, ...]:
    """What makes all tables of SQLite. SQLAlchemy works on it for longer than a world needs for all else."""
    made: list[str] = []

    def note(statement: Any, *parameters: Any, **options: Any) -> None:
        made.append(str(statement.compile(dialect=engine.dialect)))

    engine = sa.create_mock_engine("sqlite://", note)
    tables.metadata.create_all(engine, checkfirst=False)
    return tuple(made)


def make_tables(store: Store) -> None:
    """All tables in an empty database; of PostgreSQL those that are not there yet."""
    if store.engine.dialect.name != "sqlite":
        tables.metadata.create_all(store.engine)
        return
    with store.engine.begin() as db:
        for statement in _statements():
            db.exec_driver_sql(statement)


class Killed(BaseException):
    """The process is dead: no `except Exception` catches it, and no clean-up reaches the store."""


class Clock:
    """Time passes when somebody looks: a millisecond a look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


# --- values that can be told apart ---------------------------------------------------------------------------

_MARK = re.compile(r'm(\d+)q|\+49301(\d{6})|"year":(\d{4})', re.IGNORECASE)


def marks(*things: Any) -> set[int]:
    """The markers of all values that these things hold, however they are written."""
    text = json.dumps(things, ensure_ascii=False, default=str).replace(" ", "")
    return {int(a or b or int(c) - 3000) for a, b, c in _MARK.findall(text)}


def element(name: str, mark: int) -> dict[str, Any]:
    """An element of that field with a value that nobody else has. Every third text is longer than a CRM can hold."""
    word = f"m{mark}q"
    long = " and so on and so forth, as people do write" if mark % 3 == 0 else ""
    values: dict[str, dict[str, Any]] = {
        "nicknames": {"name": word},
        "organizations": {"name": f"{word} Ltd{long}"},
        "titles": {"name": f"{word} officer"},
        "emails": {"address": f"{word.upper() if mark % 2 else word}@x.test"},
        "phones": {"number": f"+49301{mark:06d}"},
        "addresses": {"concord:lines": f"{word} Road\nFlat {mark}"},
        "anniversaries": {"kind": "birth", "date": {"year": 3000 + mark, "month": 1 + mark % 12, "day": 1 + mark % 28}},
        "notes": {"note": f"{word} note{long}"},
        "links": {"uri": f"https://{word}.test/"},
        "groups": {"name": f"{word} group"},
    }
    return values[name]


ELEMENTS = ("emails", "phones", "addresses", "notes", "organizations", "titles", "nicknames", "anniversaries")
NAME_PARTS = ("given", "surname")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a human entered: for which real person, in which field, and the text (or JSON) itself."""

    real: int
    field: str
    value: Any


@dataclass
class Ledger:
    """Everything that was ever entered, and by whose life each value is known."""

    entries: dict[int, Entry] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)
    discharged: set[int] = field(default_factory=set)
    """Taken back by the human before any run took them in."""
    lives: int = 0
    deleted: set[int] = field(default_factory=set)
    """Real persons whom a human deleted somewhere: they may live on or not."""
    buried: set[int] = field(default_factory=set)
    """Real persons deleted when everything agreed, and not touched since: they must stay deleted."""

    def new_life(self) -> int:
        self.lives += 1
        return self.lives

    def enter(self, real: int, name: str) -> dict[str, Any]:
        """A new element for this person."""
        mark = len(self.entries) + 1
        made = element(name, mark)
        self.entries[mark] = Entry(real, name, made[VALUE[name]])
        return made

    def enter_text(self, real: int, part: str) -> str:
        """A new part of this person's name."""
        mark = len(self.entries) + 1
        self.entries[mark] = Entry(real, part, f"{part.title()}m{mark}q")
        return f"{part.title()}m{mark}q"

    def owner(self, *things: Any) -> int | None:
        """Whose values these are."""
        owners = self.owners(*things)
        return min(owners) if owners else None

    def owners(self, *things: Any) -> set[int]:
        return {self.entries[m].real for m in marks(*things) if m in self.entries and m not in self.shared}


# --- the world -----------------------------------------------------------------------------------------------


class LawWorld:
    """Remotes, a store, an engine, and a ledger. Nothing in it is random.

    kinds: {name of a connection: its remote's profile}. policies: those that are not the default.
    """

    def __init__(
        self,
        kinds: Mapping[str, Profile] | None = None,
        *,
        policies: Mapping[str, Policy] | None = None,
        url: str | None = None,
        create: bool = True,
    ) -> None:
        self.clock = self._clock()
        self.ledger = Ledger()
        self.numbers = count(1)
        self.url, self.running, self.dead = url or new_database(), False, False
        self.wait_for_lease, self.died_at = True, ""
        self.kill_at: Callable[[str, int], bool] | None = None
        self.meanwhile: tuple[int, Callable[[], None]] | None = None
        self.strangers: dict[int, set[tuple[str, str]]] = {}
        """Records of one real person entered in two systems."""
        self.points: list[str] = []
        self.reports: list[Report] = []
        self.troubled = False
        """Something went wrong since the systems last agreed; its repair may cost a round."""
        self.agreed = True
        """Nobody did anything since the systems last agreed."""
        self.policies = dict(policies or {})
        self.written: list[Written] = []
        """Every write that a remote was sent, as our books were then."""
        self.besides: dict[tuple[str, str], Mapping[str, Any]] = {}
        """What people told a record of a remote that no card tells."""
        profiles = kinds or {name: make() for name, make in KINDS.items()}
        self.remotes = {name: self._remote(name, profile) for name, profile in profiles.items()}
        self.connect = MemoryConnector
        self.store = Store(self.url, self._time)
        if create:
            make_tables(self.store)
        self.restart_engine("law")
        self.ids: dict[str, int] = {}
        with self.store.begin() as unit:
            for name in self.remotes:
                policy = policy_json(self.policy(name))
                row = {"name": name, "policy": policy, "approve": "auto", "state": "new", **self._account(name)}
                self.ids[name] = connections.add(unit, **row)
        self._open_for_business()

    def _clock(self) -> Clock:
        return Clock()

    def _account(self, name: str) -> Mapping[str, Any]:
        """A connection's system and its settings, as they are stored."""
        return {"system": "memory", "settings": {}}

    def _open_for_business(self) -> None:
        """The first contacts are allowed."""
        for name in self.remotes:
            activate(self.engine, find(self.engine, name))

    def policy(self, name: str) -> Policy:
        return self.policies.get(name, Policy())

    def _remote(self, name: str, profile: Profile) -> Watched:
        return Watched(profile, self.clock, lambda writes: self._notice(name, writes))

    def _notice(self, name: str, writes: Sequence[Write]) -> None:
        """These writes are on their way. (A look of ours is no boundary at which the process could die.)"""
        running, self.running = self.running, False
        self.written += self.look(lambda unit: [self._as_known(unit, name, write) for write in writes])
        self.running = running

    def _as_known(self, unit: Unit, name: str, write: Write) -> Written:
        link = links.briefs(unit, self.ids[name], [write.id]).get(write.id) if write.id else None
        made = people.by_uid(unit, write.key) if write.key else None
        id_ = link.person_id if link else made.id if made else None
        if id_ is None:
            return Written(name, write)
        person = people.load(unit, [id_])[id_]
        return Written(name, write, link.state if link else None, person.state, person.card)

    def restart_engine(self, owner: str) -> None:
        """A process of that name on our database and our remotes."""
        mint = lambda: f"x{next(self.numbers)}"  # noqa: E731
        self.engine = World(self.store, self._open, mint, self._uid, owner, eq=EQ, at=self._boundary)

    def _uid(self) -> str:
        return str(uuid.UUID(int=next(self.numbers)))

    def _time(self) -> datetime:
        """The engine's clock; it looks at it at the beginning of every transaction."""
        if self.running:
            self._die_here("begin")
        return self.clock()

    def _open(self, connection: Connection, tally: Tally) -> Connector:
        def request(method: str, sent: int, received: int) -> None:
            tally.count_request(method, sent, received)
            self._boundary(f"request {method}")

        context = Context(self.clock, self.clock.wait, lambda: 0.5, request)
        return self.connect(self.remotes[connection.name], context)

    def _boundary(self, name: str) -> None:
        """Outside any transaction: what was decided is in the store, what was answered is not."""
        self._die_here(name)
        if self.meanwhile is None:
            return
        countdown, act = self.meanwhile
        self.meanwhile = (countdown - 1, act) if countdown > 1 else None
        if self.meanwhile is None:
            self.running = False
            act()
            self.running = True

    def _die_here(self, name: str) -> None:
        if self.dead:
            raise Killed("the dead do nothing")
        self.points.append(name)
        if self.kill_at is not None and self.kill_at(name, len(self.points)):
            self.dead, self.died_at = True, name
            raise Killed(name)

    # -- the engine runs

    def run(self, name: str, *, release: bool = False) -> Report:
        self.points, self.running = [], True
        try:
            report = sync(self.engine, name, release=release)
        finally:
            self.running = False
        assert "should not happen" not in (report.message or ""), report.message
        self.reports.append(report)
        return report

    def run_killed(self, name: str, at: Callable[[str, int], bool]) -> str | None:
        """Run, and die at the first boundary where `at(name, number)`. Its name, or None where it came through."""
        self.kill_at = at
        try:
            self.run(name)
        except Killed:
            self.restart()
            return self.died_at
        finally:
            self.kill_at = None
        return None

    def restart(self) -> None:
        """Throw the process away and start another on the same database, when the dead one's lease has run out."""
        self.dead = False
        self.troubled = True
        if not self.url.endswith("//"):  # what was in memory only cannot be opened again
            self.store.close()
            self.store = Store(self.url, self._time)
        self.restart_engine("law")
        if self.wait_for_lease:
            self.clock.wait(LEASE + 1)

    def round(self, names: Sequence[str] | None = None) -> list[Report]:
        return [self.run(name) for name in names or self.remotes]

    # -- peace: people and trouble stop

    def calm(self) -> None:
        """Nothing is wrong with any remote from now on."""
        for name, remote in self.remotes.items():
            remote.faults.clear()
            remote.faults.log.clear()
            remote.behind = 0
            remote.secret = "open sesame"
            with self.store.begin() as unit:
                connections.update(unit, self.ids[name], state="active", reason=None)
        self.meanwhile = None
        self.rest()

    def rest(self) -> None:
        """Long enough for every lease, lag and retry."""
        self.clock.wait(LEASE + 1 + max(max(r.profile.lag, r.profile.find_lag) for r in self.remotes.values()))

    # -- a look into the store

    def look(self, ask: Callable[[Unit], Any]) -> Any:
        with self.store.read() as unit:
            return ask(unit)

    def remembered(self, *, waiting: bool = True) -> set[int]:
        """The markers of everything that the store can bring back. waiting: with what was read and is not taken in."""
        columns = [
            tables.people.c.card,
            tables.changes.c.before,
            tables.changes.c.after,
            tables.conflicts.c.ours,
            tables.conflicts.c.theirs,
            *([tables.losses.c.record] if waiting else []),
        ]
        with self.store.read() as unit:
            return marks([unit.db.execute(sa.select(column)).scalars().all() for column in columns])

    def refusals(self) -> set[tuple[str, str]]:
        names = {id_: name for name, id_ in self.ids.items()}
        return {(names[r.connection_id], r.remote_id) for r in self.look(runs.refusals)}

    def met(self, real: int) -> bool:
        """Have the records of this person been brought together? Before that, another name makes them two."""
        return all(
            self.look(lambda unit: links.briefs(unit, self.ids[at], [record]))  # noqa: B023
            for at, record in self.strangers.get(real, ())
        )

    # -- people at the screens

    def human(self, name: str, record: str, change: Callable[[dict[str, Any]], None]) -> bool:
        """A human opens a record, changes something and saves. False where the remote does not let them."""
        before = self.remotes[name].card(record)
        assert before is not None
        after = json.loads(json.dumps(before))
        change(after)
        try:
            self.remotes[name].edit(record, self._typed(name, after, before))
        except Status:
            shown = before
        else:
            shown = self.remotes[name].card(record) or {}
            self._touched(before)
        self._took_back([before, after], shown)
        return shown != before

    def delete(self, name: str, record: str) -> None:
        card = self.remotes[name].card(record)
        assert card is not None
        self.remotes[name].remove(record)
        self._took_back([card], {})
        owners, settled = self.ledger.owners(card), self.agreed
        self._touched(card)
        self.ledger.deleted |= owners
        if settled:
            self.ledger.buried |= owners

    def add(self, name: str, card: Card) -> str | None:
        """A human enters a new contact; None where the remote does not take it."""
        try:
            record = self.remotes[name].add(self._typed(name, card, {}))
        except Status:
            record = None
        else:
            self._touched(card)
        self._took_back([card], self.remotes[name].card(record) if record else {})
        return record

    def _typed(self, name: str, card: Card, before: Card) -> Card:
        """What the screen has fields for. Raises Status where something mandatory is left out."""
        profile = self.remotes[name].profile
        for path in profile.mandatory:
            if path[0] == "name" and path not in leaves(card):
                raise Status(422, f"{path[1]} is mandatory")
        typed: dict[str, Any] = dict(profile.fit(card, before))
        for field_name in VALUE:
            for key, shown in typed.get(field_name, {}).items():
                if ROW in card[field_name][key]:
                    shown[ROW] = card[field_name][key][ROW]
        return typed

    def _touched(self, card: Card) -> None:
        self.agreed = False
        self.ledger.buried -= self.ledger.owners(card)

    def _took_back(self, before: Sequence[Card], after: Card | None) -> None:
        """What a human removes (or the screen does not take) before any run took it in is nobody's loss. A record that
        takes something away waits for the end of its run, whole: who changes it before that has taken back the rest."""
        gone = marks(before) - marks(after)
        if gone:
            shown = marks([remote.cards() for remote in self.remotes.values()])
            self.ledger.discharged |= gone - shown - self.remembered(waiting=False)

    def records(self, name: str) -> list[str]:
        return list(self.remotes[name].cards())
