"""What a run costs in requests, counted, beside the least that each protocol allows.

A Concord that knows many people fills an empty remote, another one that knows nobody reads it, and both go on from
there: nothing happens, ten phone numbers change here, ten change there. It is the daemon's own code that runs; only the
clock is the remote's. Every request lets a fifth of a second pass, as on a network, and a quarter of an hour lies
between two runs.

The least: what a client would need that has what the last run left in the store (cursor, versions, an access token by
OAuth2; no open session), overlooks nothing, overwrites nobody, and asks for as much at once as the protocol gives. It
is worked out from the protocol notes; `why` says how.

`python -m benchmarks.requests [MANY]` prints the table of docs/connectors.md.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

import migrations
from app.bootstrap import Application
from app.configure import apply, read
from app.engine import resolve
from app.engine.run import find, session_for, sync
from app.engine.world import Tally
from app.filing import import_file
from app.secrets import Keyring
from app.settings import Settings
from app.store import people
from app.store.store import Store
from benchmarks.engine import folder
from benchmarks.figure import Figure
from connectors.contract import Context
from connectors.sandbox import running

START: Final = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
NETWORK: Final = 0.2
"""Seconds that a request takes."""
BETWEEN: Final = 900.0
"""Seconds from one run to the next; longer than any remote's lag."""
MANY, FEW = 1_000, 10
REMOTE: Final = "remote"


class Counts(NamedTuple):
    """Requests of whole runs: a first sync that reads everybody, one that creates everybody, one in which nothing
    happened, one with ten changes made there, one with ten made here."""

    read: int
    made: int
    silence: int
    inward: int
    outward: int


@dataclass(frozen=True)
class Remote:
    """A running remote: how to connect to it, and its clock."""

    system: str
    settings: dict[str, Any]
    now: Callable[[], datetime]
    advance: Callable[[float], None]


class Office:
    """A Concord in a folder, connected to the remote."""

    def __init__(self, at: Path, remote: Remote) -> None:
        at.mkdir()
        settings = Settings(home=at, database_url=f"sqlite:///{at}/concord.db", log_level="error")
        self._at, self._remote = at, remote
        self.app = _Here(settings, Store(settings.database_url, remote.now), Keyring(settings), remote)
        migrations.upgrade(self.app.store.engine)
        connection = {"name": REMOTE, "system": remote.system, "approve": "auto", "direction": "both"}
        file = at / "connections.yaml"
        file.write_text(json.dumps({"connections": [{**connection, "settings": remote.settings}]}))
        apply(self.app, read(file, {}))
        self.world = self.app.world()

    def know(self, number: int) -> None:
        """Take in so many people, from a file."""
        file = self._at / "people.vcf"
        file.write_text("".join(vcard(n) for n in range(number)), newline="")
        report, refused = import_file(self.app, file, None, {}, progress=lambda *_: None)
        expected(report.tally.people == number and not refused, "people.vcf", report.tally)

    def run(self) -> Tally:
        """A run of the connection, a quarter of an hour after the last. An access token is at hand: one is asked for
        about once an hour, whatever is synced."""
        self._remote.advance(BETWEEN)
        with session_for(self.world, find(self.world, REMOTE), Tally()) as session:
            session.connector.check()
        report = sync(self.world, REMOTE)
        if report.outcome != "done":
            raise RuntimeError(f"{self._remote.system}: {report.message}")
        expected(not report.tally.aside + report.tally.refused, self._remote.system, report.tally)
        return report.tally

    def edit(self, number: int) -> None:
        """Give so many people another phone number."""
        with self.app.store.read() as unit:
            found = people.search(unit, "", state="live", limit=number)
        for n, person in enumerate(found):
            [phone] = person.card["phones"]
            resolve.edit(self.world, person.uid, {("phones", phone, "number"): f"+49 172 {5_550_000 + n}"}, "admin")

    def close(self) -> None:
        self.app.store.close()


@dataclass(frozen=True, slots=True)
class _Here(Application):
    """The daemon in the remote's time."""

    remote: Remote

    def context(self) -> Context:
        return Context(now=self.remote.now, sleep=self.remote.advance, random=lambda: 0.5)


def vcard(n: int) -> str:
    """A contact as most are: a name, an e-mail address, a mobile phone, a postal address."""
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"UID:card-{n:06}",
        f"N:Surname{n};Given{n % 97};;;",
        f"FN:Given{n % 97} Surname{n}",
        f"EMAIL;TYPE=WORK:user{n}@example.org",
        f"TEL;TYPE=CELL:+49 171 {5_550_000 + n}",
        f"ADR;TYPE=WORK:;;{n} High Street;London;;SW1A 1AA;United Kingdom",
        "END:VCARD",
    ]
    return "\r\n".join(lines) + "\r\n"


# --- the remotes


class _Timed:
    """A sandbox whose time passes with every request, and which tells its own time in every answer."""

    def __init__(self, box: Any, now: Callable[[], datetime]) -> None:
        self._box, self._now = box, now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._box.advance(NETWORK)

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self._now(), usegmt=True).encode()
                message = {**message, "headers": [*message.get("headers", ()), (b"date", date)]}
            await send(message)

        await self._box.app(scope, receive, dated)


@contextlib.contextmanager
def boxed(system: str, box: Any, **settings: Any) -> Iterator[Remote]:
    """A sandbox, served."""
    now = box.now if hasattr(box, "now") else box.clock
    with running(_Timed(box, now), dated=False) as url:
        yield Remote(system, {**box.settings(url), **settings}, now, box.advance)


def _start() -> datetime:
    return START


def _vtiger(**options: Any) -> contextlib.AbstractContextManager[Remote]:
    from connectors.vtiger.sandbox import VtigerSandbox

    return boxed("vtiger", VtigerSandbox(clock=_start, **options))


def _google() -> contextlib.AbstractContextManager[Remote]:
    from connectors.google.sandbox import create

    return boxed("google", create(now=_start, lag=300))


def _sugar() -> contextlib.AbstractContextManager[Remote]:
    from connectors.sugarcrm.sandbox import SugarSandbox

    return boxed("sugarcrm", SugarSandbox(clock=_start), protocol="v11")


def _legacy() -> contextlib.AbstractContextManager[Remote]:
    from connectors.sugarcrm.legacy.sandbox import SuiteSandbox

    return boxed("sugarcrm", SuiteSandbox(clock=_start))


def _suite8() -> contextlib.AbstractContextManager[Remote]:
    from connectors.sugarcrm.suite8.sandbox import Suite8Sandbox

    return boxed("sugarcrm", Suite8Sandbox(clock=_start))


def _mailchimp() -> contextlib.AbstractContextManager[Remote]:
    from connectors.mailchimp.sandbox import create

    return boxed("mailchimp", create(now=_start, lag=60.0))


def _xero() -> contextlib.AbstractContextManager[Remote]:
    from connectors.xero.sandbox import create

    return boxed("xero", create(now=_start))


def _quickbooks() -> contextlib.AbstractContextManager[Remote]:
    from connectors.quickbooks.sandbox import create

    return boxed("quickbooks", create(clock=_start))


def _tryton() -> contextlib.AbstractContextManager[Remote]:
    from connectors.tryton.sandbox import TrytonSandbox

    return boxed("tryton", TrytonSandbox(clock=_start))


@contextlib.contextmanager
def _carddav() -> Iterator[Remote]:
    """A real Radicale: its time is the time."""
    from tests.servers import radicale

    ahead = [0.0]

    def advance(seconds: float) -> None:
        ahead[0] += seconds

    with folder() as at, radicale(at) as server:
        yield Remote("carddav", server.settings(), lambda: datetime.now(UTC) + timedelta(seconds=ahead[0]), advance)


# --- what is counted, and the least


Least = Callable[[int, int], Counts]
"""(contacts of the first sync, changed contacts) → the least."""


@dataclass(frozen=True)
class Variant:
    """A system by one of its protocols. why: where the least comes from, for the page."""

    title: str
    remote: Callable[[], contextlib.AbstractContextManager[Remote]]
    least: Least
    why: str


def _pages(number: int, size: int) -> int:
    return ceil(number / size)


VARIANTS: Final[dict[str, Variant]] = {
    "vtiger": Variant(
        "vTiger, as installed",
        _vtiger,
        lambda many, few: Counts(2 + _pages(many + 1, 100), 2 + 1 + many, 5, 5, 5 + 1 + few),
        "Two requests to log in. No working `sync`: contacts and organisations by time, and a count, for a deletion "
        "leaves no trace. 100 rows a query, one record a write, and no lock: a look before.",
    ),
    "vtiger-sync": Variant(
        "vTiger, `sync` working",
        lambda: _vtiger(sync="working", php8=False),
        lambda many, few: Counts(2 + _pages(many + 1, 100), 2 + 1 + many, 4, 4, 4 + 1 + few),
        "The same, but `sync` tells changes and deletions; organisations' names are asked for apart.",
    ),
    "sugarcrm-v11": Variant(
        "SugarCRM, REST v11",
        _sugar,
        lambda many, few: Counts(_pages(many, 500), 1 + 1 + _pages(many, 49), 1, 2, 1 + _pages(few, 50)),
        "50 calls in one bulk request; 500 rows a page. Memberships are asked for when it is known who changed. "
        "Creating: whose opt-outs the addresses bring, then 49 creates and a look at them in each request.",
    ),
    "sugarcrm-v4_1": Variant(
        "SuiteCRM 7, v4_1",
        _legacy,
        lambda many, few: Counts(2, 1 + 1 + 5, 4, 4, 4 + 3),
        "A login; contacts with their addresses, organisations, target lists. No limit to a page or a batch. A write "
        "answers success whatever it did: look, write, look; a create looks for addresses, makes and links them.",
    ),
    "sugarcrm-v8": Variant(
        "SuiteCRM, V8",
        _suite8,
        lambda many, few: Counts(4, 1 + 1 + many, 4, 4, 4 + 2 * few),
        "Flags of addresses, organisations, a count, the changes. No batches and no lock: a look and a write for each. "
        "Addresses can be looked up all at once.",
    ),
    "google": Variant(
        "Google Contacts",
        _google,
        lambda many, few: Counts(1 + _pages(many, 1000), 2 + _pages(many, 200), 2, 2, 2 + _pages(few, 200)),
        "Contacts and contact groups are two lists with a sync token each; 1,000 a page, 200 a write.",
    ),
    "mailchimp": Variant(
        "Mailchimp",
        _mailchimp,
        lambda many, few: Counts(
            4 + _pages(many, 1000) + 1, 4 + 2 + _pages(many, 500), 2, 2, 2 + min(few, 3 * _pages(few, 500))
        ),
        "Members, and archived members apart; 1,000 a page. What the audience has places for: merge fields, interest "
        "categories, the interests of its two. 500 creates a request. Edits through /batches: hand in, look, fetch.",
    ),
    "xero": Variant(
        "Xero",
        _xero,
        lambda many, few: Counts(_pages(many, 1000) + 2, 3 + 1 + _pages(many, 50), 3, 3, 3 + 2 * _pages(few, 50)),
        "Contacts, invoices, credit notes; 1,000 a page, 50 a write, and no lock: a look before. Before somebody is "
        "created, who asked to be forgotten.",
    ),
    "quickbooks": Variant(
        "QuickBooks Online",
        _quickbooks,
        lambda many, few: Counts(_pages(many + 1, 1000) + 4, 5 + _pages(many, 30), 1, 1, 1 + _pages(few, 30)),
        "One question for the changes of all kinds of records; a query for each kind where there is no place to go on "
        "from. 1,000 rows a query, 30 writes a batch.",
    ),
    "tryton": Variant(
        "Tryton",
        _tryton,
        lambda many, few: Counts(3, 3 + 1 + 2, 4, 4, 4 + 2),
        "A login, parties, invoices; deletions are in the log. No limit to a search or a call. What a write stored is "
        "read back, for Tryton formats it; creating needs the countries.",
    ),
    "carddav": Variant(
        "CardDAV (Radicale)",
        _carddav,
        lambda many, few: Counts(3 + 1 + 1, 3 + 1 + many, 1, 2, 1 + few),
        "Three requests to find the address book, one for what changed, one for the cards. A card is a request.",
    ),
}


def count(name: str, many: int, few: int = FEW) -> Counts:
    """The requests of one variant."""
    with VARIANTS[name].remote() as remote, folder() as at, contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(contextlib.closing(Office(at / side, remote))) for side in ("a", "b"))
        ours.know(many)
        made, read_ = ours.run(), theirs.run()
        expected(made.created == many and read_.people == many and not read_.writes, name, made, read_)
        for _ in range(2):  # what was just written may be shown once more
            ours.run(), theirs.run()
        silence = theirs.run()
        ours.edit(few)
        outward, inward = ours.run(), theirs.run()
        expected(silence.quiet and outward.writes == few and inward.updated == few, name, silence, outward, inward)
    return Counts(*(tally.requests for tally in (read_, made, silence, inward, outward)))


def expected(happened: bool, name: str, *tallies: Tally) -> None:
    """Counts of runs that did something else are worth nothing."""
    if not happened:
        raise RuntimeError(f"{name}: the runs did not do what they were to do: {tallies}")


def measure(many: int = MANY, few: int = FEW) -> Iterator[Figure]:
    """Each variant's five figures, beside the least."""
    for name, variant in VARIANTS.items():
        least = variant.least(many, few)
        for column, value, floor in zip(Counts._fields, count(name, many, few), least, strict=True):
            yield Figure(f"requests_{column}", many, value, "requests", floor, value / floor, note=variant.title)


def table(many: int = MANY, few: int = FEW) -> Iterator[str]:
    """The table of docs/connectors.md, line by line."""
    yield f"| | {many:,} read | {many:,} created | silence | {few} in | {few} out |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, variant in VARIANTS.items():
        yield row(variant.title, count(name, many, few), variant.least(many, few))


def row(title: str, counted: Counts, least: Counts) -> str:
    """A line of the table: what was counted, and in brackets the least where that is less."""
    cells = [
        f"{ours:,}" + (f" ({floor:,})" if floor != ours else "") for ours, floor in zip(counted, least, strict=True)
    ]
    return f"| {' | '.join([title, *cells])} |"


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else MANY):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
