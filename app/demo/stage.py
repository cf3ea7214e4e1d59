"""The systems of the demo, started side by side and filled with made-up people, and a Concord connected to them."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from app.bootstrap import Application, start
from app.configure import apply, read
from app.demo import rows, servers
from app.demo.people import COUNTRY, SEATS, Person, people
from app.demo.servers import AddressBook, Bookkeeper, NoServer
from app.engine.run import find, session_for
from app.engine.world import Tally
from app.settings import Settings
from connectors import registry
from connectors.card import Card, Equivalence, full_name, leaves
from connectors.card import Path as CardPath
from connectors.contract import Record
from connectors.errors import Error
from connectors.sandbox import running

T = TypeVar("T")
Progress = Callable[[str, str, int, int | None], None]
Line = tuple[str, str, str]
"""(text, quantity, price of one) of an invoice."""
Values = set[tuple[str, str, str]]
"""(field, property, folded value)."""

BOXES = {"vtiger": "vTiger", "sugarcrm": "SugarCRM", "google": "Google Contacts", "mailchimp": "Mailchimp"}
PACE: Mapping[str, Mapping[str, Any]] = {"mailchimp": {"batch_delay": 0.0}}
"""Nobody wants to watch a batch take half a minute."""
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "mailchimp": {"filter": {"groups": [rows.CUSTOMERS]}},
    "accounting": {"fields": {"phones": "both", "emails": "both"}},
}
"""What the admin decided: beside those who are there, only customers come into the audience; the books are read, and
written only how somebody is reached."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One system on stage: the connection's name, which system, what it is in words, and how to connect."""

    name: str
    system: str
    title: str
    real: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """The accounting: its seat, and what a bookkeeper does: write an invoice to a record."""

    seat: Seat
    sell: Callable[[str, Sequence[Line]], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """The systems, filled, and a Concord that is connected to them.

    boxes: the sandboxes by connection, where humans edit. notes: what had to be done otherwise, in words.
    entered: every value that a human entered, by connection and record.
    unsubscribed: the addresses whose owners left the newsletter since.
    """

    app: Application
    everybody: list[Person]
    seats: list[Seat]
    boxes: Mapping[str, Any]
    books: Books
    notes: list[str]
    entered: dict[tuple[str, str], Values] = field(default_factory=dict)
    unsubscribed: set[str] = field(default_factory=set)

    def enter(self, name: str, record: str, where: str, prop: str, value: str) -> None:
        """A human enters a value."""
        eq = Equivalence(self.app.settings.region)
        self.entered.setdefault((name, record), set()).add((where, prop, str(eq.key(where, prop, value))))


@contextmanager
def stage(count: int, progress: Progress, real: bool) -> Iterator[Stage]:
    """Six systems, each with its share of `count` made-up people. real: with the real servers, where they can be had;
    without one a sandbox plays its part."""
    everybody = people(count)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concord-demo-")))
        # It is closed last: whoever waits for a server is let go when that ends.
        pool = stack.enter_context(ThreadPoolExecutor(2))
        notes: list[str] = []
        tryton = _started(stack, servers.tryton(folder / "tryton"), notes, real)
        radicale = _started(stack, servers.radicale(folder / "radicale", secrets.token_urlsafe(12)), notes, real)
        for name in ("accounting", "phones"):
            progress(name, "starting", 0, None)
        keeper = pool.submit(lambda: _kept(tryton(), everybody)) if tryton else None
        book = pool.submit(lambda: _written(radicale(), everybody)) if radicale else None
        boxes = {name: _filled(name, everybody) for name in BOXES}
        seats = [
            Seat(name, name, title, False, boxes[name].settings(stack.enter_context(running(boxes[name].app))))
            for name, title in BOXES.items()
        ]
        phones = _phones(stack, _awaited(book, notes), everybody)
        books = _books(stack, _awaited(keeper, notes), everybody)
        for name in ("accounting", "phones"):
            progress(name, "starting", 1, 1)
        on = Stage(_application(stack, folder), everybody, [*seats, books.seat, phones], boxes, books, notes)
        _connect(on, folder / "connections.yaml")
        on.entered.update(_entered(on))
        yield on


def _started(
    stack: ExitStack, server: AbstractContextManager[Callable[[], T]], notes: list[str], real: bool
) -> Callable[[], T] | None:
    """A real server on its way up; None, and a note, where it cannot be had."""
    if not real:
        return None
    try:
        return stack.enter_context(server)
    except NoServer as missing:
        notes.append(str(missing))
        return None


def _awaited(coming: Any, notes: list[str]) -> Any:
    """The filled server, or None, and a note, where it did not come up or did not take us in."""
    try:
        return coming.result() if coming else None
    except (NoServer, Error) as failed:
        notes.append(str(failed))
        return None


def _filled(system: str, everybody: Sequence[Person]) -> Any:
    box = registry.sandbox(system, **PACE.get(system, {}))
    rows.fill(system, box, everybody)
    return box


def _application(stack: ExitStack, folder: Path) -> Application:
    settings = Settings(home=folder, database_url=f"sqlite:///{folder}/concord.db", log_level="error")
    app = start(settings)
    stack.callback(app.store.close)
    return app


def _connect(on: Stage, file: Path) -> None:
    """As anybody would: by a file of connections."""
    connections = [
        {
            "name": seat.name,
            "system": seat.system,
            "every": "5m",
            "settings": dict(seat.settings),
            **POLICIES.get(seat.name, {}),
        }
        for seat in on.seats
    ]
    file.write_text(json.dumps({"connections": connections}))
    apply(on.app, read(file, {}))


# --- phones ----------------------------------------------------------------------------------------------------------


def _written(book: AddressBook, everybody: Sequence[Person]) -> AddressBook:
    for name, text in rows.vcards(everybody):
        book.put(name, text)
    return book


def _phones(stack: ExitStack, book: AddressBook | None, everybody: Sequence[Person]) -> Seat:
    if book is not None:
        title = f"Radicale {servers.installed('radicale')} (CardDAV)"
        return Seat("phones", "carddav", title, True, book.settings())
    box = _filled("carddav", everybody)
    return Seat("phones", "carddav", "CardDAV", False, box.settings(stack.enter_context(running(box.app))))


# --- accounting ------------------------------------------------------------------------------------------------------


def _books(stack: ExitStack, keeper: Bookkeeper | None, everybody: Sequence[Person]) -> Books:
    if keeper is not None:
        title = f"Tryton {servers.installed('trytond')} (ERP)"
        return Books(Seat("accounting", "tryton", title, True, keeper.settings()), lambda r, x: _invoice(keeper, r, x))
    box: Any = registry.sandbox("xero")
    made = rows.fill("xero", box, everybody)
    seat = Seat("accounting", "xero", "Xero", False, box.settings(stack.enter_context(running(box.app))))

    def sell(record: str, lines: Sequence[Line]) -> None:
        amounts = [(text, int(quantity), float(price)) for text, quantity, price in lines]
        items = [{"Description": text, "Quantity": number, "UnitAmount": each} for text, number, each in amounts]
        box.books.sell(record, round(sum(number * each for _, number, each in amounts), 2), LineItems=items)

    for record, person in zip(made, _customers(everybody), strict=True):
        for lines in person.invoices:
            sell(record, lines)
    return Books(seat, sell)


def _customers(everybody: Sequence[Person]) -> list[Person]:
    return [person for person in everybody if "accounting" in person.systems]


def _kept(keeper: Bookkeeper, everybody: Sequence[Person]) -> Bookkeeper:
    """Tryton, with customers and their invoices."""
    country = keeper.find("country.country", ["name", "=", COUNTRY])
    [category] = keeper.call("model.party.category.create", [{"name": rows.CUSTOMERS}])
    # The company itself is a party, too, and not who the demo is about.
    keeper.call("model.party.party.write", [keeper.find("company.company", [])], {"active": False})
    columns = [
        {
            "name": party["name"],
            "contact_mechanisms": [["create", party["contact_mechanisms"]]],
            "addresses": [["create", [{**address, "country": country} for address in party["addresses"]]]],
            "categories": [["add", [category]]],
        }
        for party in rows.tryton(everybody)
    ]
    made = keeper.call("model.party.party.create", columns) if columns else []
    bought = [(party, lines) for party, p in zip(made, _customers(everybody), strict=True) for lines in p.invoices]
    _invoices(keeper, bought)
    return keeper


def _invoice(keeper: Bookkeeper, record: str, lines: Sequence[Line]) -> None:
    _invoices(keeper, [(int(record), lines)])


def _invoices(keeper: Bookkeeper, bought: Sequence[tuple[int, Sequence[Line]]]) -> None:
    """Write invoices to parties, and post them."""
    if not bought:
        return
    ours = {"currency": 1, "company": 1}
    sold = keeper.find("account.account", ["type.revenue", "=", True], ["closed", "!=", True])
    owed = keeper.find("account.account", ["type.receivable", "=", True], ["party_required", "=", True])
    journal = keeper.find("account.journal", ["type", "=", "revenue"])
    parties = keeper.call("model.party.party.read", sorted({party for party, _ in bought}), ["addresses"])
    addresses = {party["id"]: party["addresses"][0] for party in parties}
    invoices = [
        {
            "type": "out",
            "party": party,
            "invoice_address": addresses[party],
            "account": owed,
            "journal": journal,
            **ours,
            "lines": [["create", [_line(line, sold) | ours for line in lines]]],
        }
        for party, lines in bought
    ]
    made = keeper.call("model.account.invoice.create", invoices)
    keeper.call("model.account.invoice.post", made)


def _line(line: Line, account: int) -> dict[str, Any]:
    text, quantity, price = line
    return {
        "type": "line",
        "description": text,
        "quantity": float(quantity),
        "unit_price": {"__class__": "Decimal", "decimal": price},
        "account": account,
    }


# --- what every system shows -----------------------------------------------------------------------------------------


def shown(app: Application, name: str) -> dict[str, Record]:
    """Every contact that a system shows right now, read anew."""
    world = app.world()
    with session_for(world, find(world, name), Tally()) as session:
        found: dict[str, Record] = {}
        for page in session.connector.changes(None):
            records = [*page.records, *session.connector.read([*page.listed])] if page.listed else page.records
            found.update({record.id: record for record in records if record.card is not None})
    return found


def one(app: Application, name: str, record: str) -> Card:
    """What a system shows of one contact right now."""
    world = app.world()
    with session_for(world, find(world, name), Tally()) as session:
        [found] = session.connector.read([record])
    return found.card or {}


def values(card: Card, eq: Equivalence) -> Values:
    """The values in a card that a human can have entered, folded."""
    found = {
        (path[0], path[-1], str(eq.key(path[0], path[-1], value)))
        for path, value in leaves(card).items()
        if isinstance(value, str) and value and not ours(path)
    }
    return found | ({("name", "full", full_name(card))} if card.get("name") else set())


def ours(path: CardPath) -> bool:
    """Is this a note of ours and no value?"""
    return path[-1] in ("organizationId", "kind", "mediaType") or (
        path[-1][:8] == "concord:" and path[-1] != "concord:lines"
    )


def _entered(on: Stage) -> dict[tuple[str, str], Values]:
    eq = Equivalence(on.app.settings.region)
    return {
        (name, record.id): values(record.card, eq)
        for name in SEATS
        for record in shown(on.app, name).values()
        if record.card
    }
