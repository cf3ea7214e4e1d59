"""What the demo does, step by step, and the proof that the laws held on its data."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.bootstrap import Application, start
from app.configure import apply, read
from app.core.align import align
from app.demo.people import google_people, people, vcards, vtiger_rows
from app.demo.servers import AddressBook, radicale
from app.engine import plan as planning
from app.engine.plan import Plan
from app.engine.rounds import sync_all
from app.engine.run import Report, find, session_for
from app.engine.world import Tally
from app.settings import Settings
from app.store import journal, links
from app.store import people as persons
from app.store.people import Person
from connectors import registry
from connectors.card import Card, Equivalence, leaves
from connectors.card import Path as CardPath
from connectors.sandbox import running

NAMES = ("crm", "google", "phones")
FILE = """\
connections:
  - {{name: crm, system: vtiger, every: 5m, settings: {crm}}}
  - {{name: google, system: google, every: 5m, settings: {google}}}
  - {{name: phones, system: carddav, every: 5m, settings: {phones}}}
"""


@dataclass(frozen=True, slots=True)
class Law:
    """Whether a law held, and on what that was seen."""

    law: str
    held: bool
    seen: str


@dataclass(slots=True)
class Story:
    """Everything that the demo found out."""

    plan: Plan | None = None
    first: list[Report] = field(default_factory=list)
    arrival: dict[str, Any] = field(default_factory=dict)
    conflict: dict[str, Any] = field(default_factory=dict)
    after: list[Report] = field(default_factory=list)
    contacts: dict[str, int] = field(default_factory=dict)
    laws: list[Law] = field(default_factory=list)

    @property
    def well(self) -> bool:
        return all(law.held for law in self.laws)


@dataclass(frozen=True, slots=True)
class Stage:
    """The systems, filled, and a Concord that is connected to them. entered: every value that a human entered."""

    app: Application
    crm: Any
    google: Any
    book: AddressBook
    entered: set[tuple[str, str, str]]


@contextmanager
def stage(count: int) -> Iterator[Stage]:
    """vTiger and Google in a box and a real Radicale, each with its share of `count` made-up people."""
    everybody = people(count)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concord-demo-")))
        crm, google = registry.sandbox("vtiger"), registry.sandbox("google")
        book = stack.enter_context(radicale(folder, "demo password"))
        _fill(crm, google, book, everybody)
        urls = {"crm": stack.enter_context(running(crm.app)), "google": stack.enter_context(running(google.app))}
        settings = Settings(home=folder, database_url=f"sqlite:///{folder}/concord.db", log_level="error")
        app = start(settings)
        stack.callback(app.store.close)
        file = folder / "connections.yaml"
        known = {"crm": crm.settings(urls["crm"]), "google": google.settings(urls["google"]), "phones": book.settings()}
        file.write_text(FILE.format(**{name: json.dumps(values) for name, values in known.items()}))
        apply(app, read(file, {}))
        yield Stage(app, crm, google, book, _entered(app))


def _fill(crm: Any, google: Any, book: AddressBook, everybody: Any) -> None:
    crm.seed([*vtiger_rows(everybody)])
    google.seed([*google_people(everybody)])
    for name, text in vcards(everybody):
        book.put(name, text)


# --- what every system shows


def shown(app: Application, name: str) -> dict[str, Card]:
    """Every contact that a system shows right now, read anew."""
    world = app.world()
    with session_for(world, find(world, name), Tally()) as session:
        found: dict[str, Card] = {}
        for page in session.connector.changes(None):
            records = [*page.records, *session.connector.read([*page.listed])] if page.listed else page.records
            found.update({record.id: record.card for record in records if record.card is not None})
    return found


def _values(card: Card, eq: Equivalence) -> set[tuple[str, str, str]]:
    """The values in a card that a human can have entered, folded."""
    return {
        (path[0], path[-1], str(eq.key(path[0], path[-1], value)))
        for path, value in leaves(card).items()
        if isinstance(value, str) and value and not _ours(path)
    }


def _ours(path: CardPath) -> bool:
    return path[-1] in ("organizationId", "kind", "mediaType") or (
        path[-1][:8] == "concord:" and path[-1] != "concord:lines"
    )


def _entered(app: Application) -> set[tuple[str, str, str]]:
    eq = Equivalence(app.settings.region)
    return {value for name in NAMES for card in shown(app, name).values() for value in _values(card, eq)}


# --- the story


def tell(count: int, progress: Callable[[str, str, int, int | None], None]) -> Iterator[tuple[str, Story]]:
    """Play it: (what comes next, what is known so far), step by step."""
    story = Story()
    yield f"Filling vTiger and Google (in a box) and a real Radicale with {count} people, overlapping and untidy", story
    with stage(count) as on:
        world = on.app.world(progress)
        yield "What would a first sync do? Nothing is written yet", story
        story.plan = planning.make(world, NAMES)
        yield "Approved. Syncing until nothing changes any more", story
        planning.approve(world, NAMES)
        story.first = sync_all(world, NAMES, until_quiet=True)
        yield "Someone changes a mobile number in vTiger", story
        story.arrival = _a_new_number(on, story)
        yield "Two people change the same job title, one in vTiger, one at Google", story
        story.conflict = _a_conflict(on, story)
        yield "Proof: every system is read anew and compared", story
        story.contacts = {name: len(shown(on.app, name)) for name in NAMES}
        story.laws = [_convergence(on), _silence(on), _nothing_lost(on), _no_doubles(on, count)]
    yield "", story


def _in_all_three(on: Stage, need: str) -> tuple[Person, dict[str, str]]:
    """Somebody whom all systems have, with this field: the person, and {connection: record}."""
    with on.app.store.read() as unit:
        for person in persons.search(unit, limit=10_000):
            held = {link.connection_id: link.remote_id for link in links.of_people(unit, [person.id])}
            if len(held) == len(NAMES) and person.card.get(need):
                by_name = {name: held[find(on.app.world(), name).id] for name in NAMES}
                return person, by_name
    raise LookupError("nobody is in all three systems; ask for more people")


def _a_new_number(on: Stage, story: Story) -> dict[str, Any]:
    person, records = _in_all_three(on, "phones")
    number = "+44 7700 900123"
    on.entered.add(("phones", "number", number.replace(" ", "")))
    on.crm.edit(records["crm"], mobile=number)
    story.after += sync_all(on.app.world(), NAMES, until_quiet=True)
    arrived = {}
    for name in NAMES:
        phones = shown(on.app, name)[records[name]].get("phones", {})
        arrived[name] = any(p["number"].replace(" ", "") == number.replace(" ", "") for p in phones.values())
    return {"person": person.uid, "number": number, "arrived": arrived}


def _a_conflict(on: Stage, story: Story) -> dict[str, Any]:
    person, records = _in_all_three(on, "titles")
    theirs, ours = "Head of Purchasing", "Purchasing Director"
    on.entered.update({("titles", "name", theirs), ("titles", "name", ours)})
    resource = _resource(on, records["google"])

    def promote(fields: dict[str, Any]) -> None:
        fields["organizations"][0]["title"] = theirs

    on.crm.edit(records["crm"], title=ours)
    on.google.edit(resource, promote)
    story.after += sync_all(on.app.world(), NAMES, until_quiet=True)
    with on.app.store.read() as unit:
        found = journal.list_conflicts(unit, person=person.id, limit=1)
    now = {
        name: [t.get("name") for t in shown(on.app, name)[records[name]].get("titles", {}).values()] for name in NAMES
    }
    clash = found[0] if found else None
    return {
        "person": person.uid,
        "ours": clash.ours if clash else None,
        "theirs": clash.theirs if clash else None,
        "kept": clash.kept if clash else None,
        "now": now,
    }


def _resource(on: Stage, record: str) -> str:
    """The resource name of a record of the Google sandbox."""
    for found in on.google.people():
        if any(source.get("id") == record for source in found.get("metadata", {}).get("sources", [])):
            return str(found["resourceName"])
    return record


# --- the proof


def _convergence(on: Stage) -> Law:
    """Every system shows every person as much of the card as it can hold."""
    eq = Equivalence(on.app.settings.region)
    world, compared, differing = on.app.world(), 0, []
    for name in NAMES:
        views = shown(on.app, name)
        with session_for(world, find(world, name), Tally()) as session, on.app.store.read() as unit:
            for record, link in links.load(unit, session.id, views).items():
                card = persons.load(unit, [link.person_id])[link.person_id].card
                view = align(views[record], [link.seen], eq, world.mint)
                wanted, there = leaves(session.connector.fit(card, view)), leaves(view)
                for path, value in wanted.items():
                    compared += 1
                    if not eq.same(path, value, there.get(path)) and not _ours(path):
                        differing.append((name, record, path))
    seen = f"{compared:,} values compared in {len(NAMES)} systems, {len(differing)} differ"
    return Law("1 Convergence: all systems show the same contact", not differing and compared > 0, seen)


def _silence(on: Stage) -> Law:
    reports = sync_all(on.app.world(), NAMES)
    writes, requests = sum(r.tally.writes for r in reports), sum(r.tally.requests for r in reports)
    well = all(r.outcome == "done" and r.quiet for r in reports)
    return Law("2 Silence: the next run writes nothing", well and not writes, f"{writes} writes, {requests} requests")


def _nothing_lost(on: Stage) -> Law:
    eq = Equivalence(on.app.settings.region)
    kept: set[tuple[str, str, str]] = set()
    with on.app.store.read() as unit:
        for person in persons.search(unit, limit=1_000_000):
            kept |= _values(person.card, eq)
            for change in journal.history(unit, person.id):
                kept |= _journalled(change.path, change.before, eq) | _journalled(change.path, change.after, eq)
            for clash in journal.list_conflicts(unit, person=person.id):
                kept |= _journalled(clash.path, clash.ours, eq) | _journalled(clash.path, clash.theirs, eq)
    missing = on.entered - kept
    seen = f"{len(on.entered):,} entered values, {len(missing)} missing from cards and journal"
    return Law("3 Nothing lost: every value entered is in a card or the journal", not missing, seen)


def _journalled(path: CardPath, value: Any, eq: Equivalence) -> set[tuple[str, str, str]]:
    if value is None:
        return set()
    if not path:
        return _values(value, eq)
    if isinstance(value, dict) and len(path) == 2:
        return _values({path[0]: {path[1]: value}}, eq)
    return {(path[0], path[-1], str(eq.key(path[0], path[-1], value)))} if isinstance(value, str) else set()


def _no_doubles(on: Stage, count: int) -> Law:
    """As many persons as people were made up, each once in each system."""
    with on.app.store.read() as unit:
        found = persons.count(unit)
        doubled = 0
        for name in NAMES:
            connection = find(on.app.world(), name)
            held = Counter(link.person_id for link in links.of_connection(unit, connection.id))
            doubled += sum(number - 1 for number in held.values())
    seen = f"{count} people, {found} persons, {doubled} doubled records"
    return Law("5 No duplicates", found == count and doubled == 0, seen)
