"""What the demo does, step by step: what people do in their systems, and what becomes of it in the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.demo import laws
from app.demo.laws import Law
from app.demo.people import SEATS, mobile
from app.demo.stage import Progress, Stage, one, stage
from app.engine import plan as planning
from app.engine import privacy
from app.engine.plan import Plan
from app.engine.rounds import sync_all
from app.engine.run import Report, find
from app.store import journal, links
from app.store import people as persons
from app.store.people import Person
from connectors.card import full_name, phone_key

CRMS = ("vtiger", "sugarcrm")
Facts = dict[str, Any]


class TooFew(LookupError):
    """Among so few people there is nobody to whom this chapter could happen; the message says so."""


@dataclass(slots=True)
class Story:
    """Everything that the demo found out, chapter by chapter; empty what is yet to come."""

    cast: list[Facts] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plan: Plan | None = None
    first: list[Report] = field(default_factory=list)
    arrival: Facts = field(default_factory=dict)
    unsubscribed: Facts = field(default_factory=dict)
    unticked: Facts = field(default_factory=dict)
    conflict: Facts = field(default_factory=dict)
    invoice: Facts = field(default_factory=dict)
    after: list[Report] = field(default_factory=list)
    contacts: dict[str, int] = field(default_factory=dict)
    laws: list[Law] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Did every law hold, and every chapter end as it should?"""
        chapters = (self.arrival, self.unsubscribed, self.unticked, self.conflict, self.invoice)
        return bool(self.laws) and all(law.held for law in self.laws) and all(c.get("well") for c in chapters)


def tell(count: int, progress: Progress, real: bool) -> Iterator[tuple[str, Story]]:
    """Play it: (what comes next, what is known so far), step by step. Raises TooFew."""
    story = Story()
    yield f"Six systems with {count} people in them, overlapping and untidy", story
    with stage(count, progress, real) as on:
        story.cast, story.notes = _cast(on), on.notes
        world = on.app.world(progress)
        yield "What would a first sync do? Nothing is written yet", story
        story.plan = planning.make(world, SEATS)
        yield "Approved. Syncing until nothing changes any more", story
        planning.approve(world, SEATS)
        story.first = sync_all(world, SEATS, until_quiet=True)
        for announcement, name, chapter in CHAPTERS:
            yield announcement, story
            setattr(story, name, chapter(on, lambda: _sync(on, story)))
        yield "Proof: every system is read anew and compared", story
        story.contacts, story.laws = laws.prove(on)
    yield "", story


def _sync(on: Stage, story: Story) -> None:
    story.after += sync_all(on.app.world(), SEATS, until_quiet=True)


def _cast(on: Stage) -> list[Facts]:
    there = {name: sum(name in person.systems for person in on.everybody) for name in SEATS}
    return [
        {
            "system": seat.name,
            "is": seat.title,
            "real": seat.real,
            "people": there[seat.name],
            "who": _who(on, seat.name),
        }
        for seat in on.seats
    ]


def _who(on: Stage, name: str) -> str:
    here = [person for person in on.everybody if name in person.systems]
    if name == "mailchimp":
        left = sum(person.newsletter == "unsubscribed" for person in here)
        return f"subscribers, {left} unsubscribed"
    if name == "accounting":
        return f"customers, {sum(len(person.invoices) for person in here)} invoices"
    if name in CRMS:
        return f"sales, {sum(person.no_mail for person in here)} “no e-mail”"
    return {"google": "contacts", "phones": "the team’s phones"}[name]


# --- who it happens to -----------------------------------------------------------------------------------------------


def _somebody(
    on: Stage, where: tuple[str, ...], fits: Callable[[Person, dict[str, str]], bool], what: str
) -> tuple[Person, dict[str, str]]:
    """The first whom these systems have and to whom it can happen: the person, and {connection: record}."""
    ids = {find(on.app.world(), name).id: name for name in SEATS}
    with on.app.store.read() as unit:
        for person in persons.search(unit, limit=10_000):
            held = {ids[link.connection_id]: link.remote_id for link in links.of_people(unit, [person.id])}
            if held.keys() >= set(where) and fits(person, held):
                return person, held
    raise TooFew(f"among {len(on.everybody)} people nobody {what}; ask for more: concord demo --people 200")


# --- the chapters ----------------------------------------------------------------------------------------------------


def _a_new_number(on: Stage, sync: Callable[[], None]) -> Facts:
    person, records = _somebody(on, SEATS, lambda p, held: _mobile(on, held) != "", "is a customer with a mobile")
    number = mobile(len(on.everybody))
    before = _mobile(on, records)
    on.enter("vtiger", records["vtiger"], "phones", "number", number)
    on.boxes["vtiger"].edit(records["vtiger"], mobile=number)
    sync()
    arrived = {}
    for name, record in records.items():
        phones = [phone_key(phone["number"]) for phone in one(on.app, name, record).get("phones", {}).values()]
        arrived[name] = phone_key(number) in phones and phone_key(before) not in phones
    facts = {"person": person.uid, "name": full_name(person.card), "before": before, "number": number}
    return {**facts, "arrived": {name: arrived[name] for name in SEATS}, "well": all(arrived.values())}


def _mobile(on: Stage, records: dict[str, str]) -> str:
    """What vTiger shows as the mobile."""
    row = next(row for row in on.boxes["vtiger"].rows() if row["id"] == records["vtiger"])
    return str(row["mobile"])


def _leaves_the_newsletter(on: Stage, sync: Callable[[], None]) -> Facts:
    """They follow the link in a mail; later somebody in sales edits their profile."""
    person, records = _somebody(
        on, ("mailchimp", *CRMS), lambda p, held: _subscribed(on, held), "is subscribed and in both CRMs"
    )
    address = str(on.boxes["mailchimp"].member(records["mailchimp"])["email_address"])
    on.boxes["mailchimp"].audience.unsubscribe(address)
    on.unsubscribed.add(address)
    sync()
    heard = _boxes(on, records, address)
    firm = "Petal & Stem"
    on.enter("vtiger", records["vtiger"], "organizations", "name", firm)
    on.boxes["vtiger"].edit(records["vtiger"], accountname=firm)
    sync()
    member = on.boxes["mailchimp"].member(records["mailchimp"])
    still, moved = member["status"] == "unsubscribed", member["merge_fields"]["COMPANY"] == firm
    return {
        "person": person.uid,
        "name": full_name(person.card),
        "address": address,
        "heard": heard,
        "edit": firm,
        "edit_arrived": moved,
        "status": member["status"],
        "well": all(heard.values()) and still and moved,
    }


def _subscribed(on: Stage, records: dict[str, str]) -> bool:
    member = on.boxes["mailchimp"].member(records["mailchimp"])
    return bool(member["status"] == "subscribed" and member["merge_fields"]["COMPANY"])


def _boxes(on: Stage, records: dict[str, str], address: str) -> dict[str, bool]:
    """Is the box ticked, as the CRMs themselves have it?"""
    row = next(row for row in on.boxes["vtiger"].rows() if row["id"] == records["vtiger"])
    found = on.boxes["sugarcrm"].data.address(address)
    return {"vtiger": row["emailoptout"] == "1", "sugarcrm": bool(found and found.opt_out)}


def _a_box_is_unticked(on: Stage, sync: Callable[[], None]) -> Facts:
    """Somebody in sales wants to mail them all the same."""
    address = min(on.unsubscribed)
    person, records = _somebody(
        on, CRMS, lambda p, held: all(_boxes(on, held, address).values()) and _has(p, address), "is unsubscribed"
    )
    on.boxes["vtiger"].edit(records["vtiger"], emailoptout="0")
    on.boxes["sugarcrm"].opt_out(address, opt_out=False)
    before = _boxes(on, records, address)
    sync()
    ticked = _boxes(on, records, address)
    facts = {"person": person.uid, "name": full_name(person.card), "address": address, "unticked": before}
    return {**facts, "ticked_again": ticked, "well": not any(before.values()) and all(ticked.values())}


def _has(person: Person, address: str) -> bool:
    return address.casefold() in {e["address"].casefold() for e in person.card.get("emails", {}).values()}


def _a_conflict(on: Stage, sync: Callable[[], None]) -> Facts:
    where = ("vtiger", "sugarcrm", "google", "phones")
    person, records = _somebody(
        on, where, lambda p, held: len(p.card.get("titles", {})) == 1, "has a job title everywhere"
    )
    theirs, ours = "Head of Purchasing", "Purchasing Director"

    def promote(fields: dict[str, Any]) -> None:
        fields["organizations"][0]["title"] = theirs

    on.enter("vtiger", records["vtiger"], "titles", "name", ours)
    on.enter("google", records["google"], "titles", "name", theirs)
    on.boxes["vtiger"].edit(records["vtiger"], title=ours)
    on.boxes["google"].edit(records["google"], promote)
    sync()
    with on.app.store.read() as unit:
        clashes = journal.list_conflicts(unit, person=person.id, limit=100)
    found = next((c for c in clashes if {c.ours, c.theirs} == {ours, theirs}), None)
    now = {
        name: [title.get("name") for title in one(on.app, name, records[name]).get("titles", {}).values()]
        for name in where
    }
    return {
        "person": person.uid,
        "name": full_name(person.card),
        "ours": found.ours if found else None,
        "theirs": found.theirs if found else None,
        "kept": found.kept if found else None,
        "now": now,
        "well": found is not None and all(titles == now["vtiger"] for titles in now.values()),
    }


def _an_invoice(on: Stage, sync: Callable[[], None]) -> Facts:
    person, records = _somebody(on, ("accounting",), lambda p, held: True, "is a customer")
    lines = [("Wedding arrangement", "1", "180.00"), ("Tulips, a bunch", "12", "4.50")]
    on.books.sell(records["accounting"], lines)
    sync()
    found = privacy.everything(on.app.world(), person.uid)
    bought = [purchase for purchase in found["purchases"] if purchase["total"] in ("234.00", "234.0", "234")]
    return {
        "person": person.uid,
        "name": full_name(person.card),
        "links": [link["connection"] for link in found["links"]],
        "purchases": found["purchases"],
        "well": len(bought) == 1,
    }


CHAPTERS = (
    ("A customer has a new mobile number: somebody changes it in vTiger", "arrival", _a_new_number),
    (
        "A subscriber follows the unsubscribe link; then sales edits the profile",
        "unsubscribed",
        _leaves_the_newsletter,
    ),
    ("Somebody unticks “no e-mail” in both CRMs by hand", "unticked", _a_box_is_unticked),
    ("Two people change one job title, one in vTiger, one at Google", "conflict", _a_conflict),
    ("An invoice is written in accounting", "invoice", _an_invoice),
)
"""(what happens, where the story keeps it, how)."""
