"""From a change at one system's screen to the moment in which all others hold it: a real daemon, told by webhook.

The systems are sandboxes in this process, the daemon is another one. Beside it the bare requests: the very same ones,
sent one after the other by httpx to a server that answers what the sandboxes answered, at once.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from statistics import median
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.engine import folder
from benchmarks.figure import Figure
from benchmarks.home import Home
from connectors.sandbox import running
from tests import servers
from tests.laws.screens import Google, Mailchimp, Phone, Screen, Sugar, Vtiger

CHANGES: Final = 20
PATIENCE: Final = 30.0
"""Seconds that a change may take at most."""
TELLS: Final = ("crm", "sugar", "news")
"""Where changes are made: vTiger, SugarCRM and Mailchimp tell of theirs, Google and CardDAV cannot."""
PACE: Final = 4.0
"""Seconds from one change to the next. So no system is told of more than what is looked at at once."""
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Exchange:
    """A request to a system and its answer. came, done: on the clock of this process, seconds."""

    system: str
    came: float
    done: float
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    status: int
    answered: list[tuple[bytes, bytes]]
    answer: bytes

    def says(self, number: str) -> bool:
        """Does the request hold this number?"""
        return number in _digits(unquote_plus(self.body.decode(errors="replace")))


@dataclass
class Tape:
    """What went on between the daemon and the systems; whoever waits is told of every answer."""

    exchanges: list[Exchange] = field(default_factory=list)
    moved: threading.Condition = field(default_factory=threading.Condition)

    def add(self, exchange: Exchange) -> None:
        with self.moved:
            self.exchanges.append(exchange)
            self.moved.notify_all()

    def until(self, what: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for something that comes by a request."""
        with self.moved:
            if not self.moved.wait_for(what, patience):
                raise RuntimeError(f"nothing came of a change in {patience:.0f} s")


class Taped:
    """ASGI middleware before a system."""

    def __init__(self, name: str, app: ASGIApp, tape: Tape) -> None:
        self.name, self.app, self.tape = name, app, tape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        came, asked, answer = time.perf_counter(), bytearray(), bytearray()
        start: dict[str, Any] = {}

        async def heard() -> Message:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            answer.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, heard, told)
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        asking = (self.name, came, time.perf_counter(), scope["method"], target, scope["headers"], bytes(asked))
        self.tape.add(Exchange(*asking, start["status"], start["headers"], bytes(answer)))


# --- the systems


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Street:
    """The systems, and what is said to them. addresses: where the daemon takes their webhooks."""

    screens: dict[str, Screen]
    tape: Tape = field(default_factory=Tape)
    addresses: dict[str, str] = field(default_factory=dict)

    def find(self, name: str, mail: str) -> tuple[str, list[str]]:
        """(record, digits of its numbers) of a person in that system."""
        found = self.screens[name].cards().items()
        record, values = next((id_, values) for id_, values in found if mail in values["emails"])
        return record, [_digits(number) for number in values.get("phones", ())]

    def webhooks(self, name: str) -> Iterator[tuple[Mapping[str, str], bytes]]:
        """What the system sends of it: Mailchimp its signed form, the CRMs whatever their hook was made to say."""
        screen = self.screens[name]
        if isinstance(screen, Mailchimp):
            yield from ((sent.headers, sent.body) for sent in screen.box.deliveries())
        else:
            yield FORM, urlencode({"module": "Contacts", "event": "save"}).encode()


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


@contextlib.contextmanager
def street(people: int) -> Iterator[tuple[Street, list[dict[str, Any]]]]:
    """Five systems, with everybody in the first; and the entries of their connections."""
    screens = {"crm": Vtiger, "sugar": Sugar, "news": Mailchimp, "phones": Google, "office": Phone}
    made = Street({name: screen(_now) for name, screen in screens.items()})
    for n in range(people):
        made.screens["crm"].add(
            {"given": [f"Given{n}"], "surname": [f"Surname{n}"], "emails": [mail(n)], "phones": [phone(n)]}
        )
    with contextlib.ExitStack() as stack:
        entries = []
        for name, screen in made.screens.items():
            url = stack.enter_context(running(Taped(name, screen.box.app, made.tape)))
            own = {"name": name, "system": screen.system.name, "settings": screen.settings(url)}
            entries.append({**own, "approve": "auto", "every": "1d"})
        yield made, entries


def mail(n: int) -> str:
    return f"user{n}@example.org"


def phone(n: int, edition: int = 0) -> str:
    return f"+49 171 {5_000_000 + 1_000 * n + edition}"


def connect(home: Home, here: Street, entries: list[dict[str, Any]], port: int) -> None:
    """Everything in step, and the systems that can are told where to send their webhooks."""
    home.apply(entries)
    home.command("sync", "--until-quiet")
    for entry in entries:
        if (name := entry["name"]) in TELLS:
            path = json.loads(home.command("connections", "webhook", name, "--json"))["path"]
            here.addresses[name] = f"http://127.0.0.1:{port}{path}"
    [news] = [entry for entry in entries if entry["name"] == "news"]
    news["hook"] = subscribe(here, news["settings"])
    home.apply(entries)


def subscribe(here: Street, settings: Mapping[str, str]) -> str:
    """Enter our address at Mailchimp; the secret with which it signs."""
    hook = {"url": here.addresses["news"], "events": {"profile": True}, "sources": {"admin": True}}
    path = f"{settings['url']}/lists/{settings['audience']}/webhooks"
    made = httpx.post(path, json=hook, auth=("any", settings["api_key"])).raise_for_status().json()
    here.screens["news"].box.deliveries()  # nobody is told of what was before
    return str(made["signing_secret"])


# --- what is measured


@dataclass(frozen=True)
class Passage:
    """A change, in seconds. all: until everybody held it. begun: until the daemon asked its system for it. bare: what
    its requests take alone."""

    all: float
    begun: float
    bare: float


def pass_on(here: Street, source: str, n: int, edition: int) -> Passage:
    """One change, from its screen to the others."""
    wanted, others = _digits(phone(n, edition)), here.screens.keys() - {source}
    record, _ = here.find(source, mail(n))
    here.tape.exchanges.clear()

    def told() -> dict[str, float]:
        """When each of the others had taken the number."""
        return {e.system: e.done for e in here.tape.exchanges if e.system in others and e.says(wanted)}

    before = time.perf_counter()
    here.screens[source].set(record, "phones", [phone(n, edition)])
    for headers, body in here.webhooks(source):
        httpx.post(here.addresses[source], content=body, headers=dict(headers)).raise_for_status()
    here.tape.until(lambda: told().keys() == others)
    end, said = max(told().values()), sorted(here.tape.exchanges, key=lambda exchange: exchange.came)
    if lacking := [name for name in others if wanted not in here.find(name, mail(n))[1]]:
        raise RuntimeError(f"{lacking} took {wanted} and do not show it")
    return Passage(end - before, said[0].came - before, bare([e for e in said if e.came < end]))


def bare(said: list[Exchange]) -> float:
    """Seconds for the same requests, one after the other, answered at once."""
    left = iter(said)

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        exchange = next(left)
        answer = Response(exchange.answer, exchange.status)
        answer.raw_headers = [(name, value) for name, value in exchange.answered if name != b"date"]
        await answer(scope, receive, send)

    with running(play) as url, httpx.Client(base_url=url) as client:
        requests = [
            client.build_request(
                e.method, e.target, content=e.body, headers=[(k, v) for k, v in e.headers if k != b"host"]
            )
            for e in said
        ]
        before = time.perf_counter()
        for request in requests:
            client.send(request)
        return time.perf_counter() - before


def measure(people: int, changes: int = CHANGES, pace: float = PACE) -> Iterator[Figure]:
    """Median and p90 of so many changes, made in turn where there are webhooks."""
    with folder() as at, street(people) as (here, entries):
        home, port = Home(at), servers.free_port()
        connect(home, here, entries, port)
        with home.serving(port):
            done = []
            for n in range(changes):
                before = time.monotonic()
                done.append(pass_on(here, TELLS[n % len(TELLS)], n % people, n + 1))
                time.sleep(max(0.0, before + pace - time.monotonic()) if n + 1 < changes else 0)
    floor = median(one.bare for one in done)
    begun = median(one.begun for one in done)
    times = sorted(one.all for one in done)
    note = f"{changes} changes, 5 systems; the first request after {begun * 1000:.0f} ms"
    value = median(times)
    yield Figure("latency_median", people, value * 1000, "ms", floor * 1000, value / floor, "< 1 s", value < 1, note)
    value = times[ceil(0.9 * len(times)) - 1]
    yield Figure("latency_p90", people, value * 1000, "ms", floor * 1000, value / floor, note="the same changes")
