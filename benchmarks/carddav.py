"""Whole processes between two real CardDAV servers, beside vdirsyncer on the same servers, in turn.

Each tool has an address book of its own on either server, with the same cards and the same edits, so that neither finds
the other's work done. All traffic goes through counting forwarders. The servers keep their files in memory where there
is some to be had: what a disk does meanwhile is neither tool's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from dulwich import porcelain

from benchmarks.engine import folder
from benchmarks.figure import Figure
from benchmarks.forwarder import counts
from tests import servers
from tests.servers import Server

FIRST, MANY, SHARE = 1_000, 5_000, 100
"""Cards of a first sync; cards of the others; one in so many is changed on each side."""
KINDS = ("radicale", "xandikos")
BOOKS = ("ours", "theirs")
CHANGES = (
    '<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>'
)
"""RFC 6578: everything, and a token."""
BARE = """
import sys, httpx, json
url, user, password, file = sys.argv[1:]
cards = json.load(open(file))
with httpx.Client(auth=(user, password), headers={"content-type": "text/vcard; charset=utf-8"}) as client:
    for name, text in cards.items():
        client.put(url + name, content=text.encode(), headers={"if-none-match": "*"}).raise_for_status()
"""


def vcard(number: int, edition: int = 0) -> str:
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"UID:card-{number}",
        f"N:Surname{number};Given{number % 997};;;",
        f"FN:Given{number % 997} Surname{number}",
        f"EMAIL;TYPE=WORK:user{number}@example{number % 50}.test",
        f"TEL;TYPE=CELL:+44 7700 {number:07d}",
        f"ORG:Firm {number % 1000}",
        f"ADR;TYPE=WORK:;;{number} High Street;London;;SW{number % 99};UK",
        f"NOTE:edition {edition}",
        "END:VCARD",
    ]
    return "\r\n".join(lines) + "\r\n"


@dataclass(frozen=True)
class Books:
    """A server behind its forwarder. counted: the file of the forwarder's counts."""

    server: Server
    url: str
    counted: Path

    def book(self, name: str) -> str:
        """An address book, as the clients see it."""
        home = self.server.book.rstrip("/").rsplit("/", 1)[0].removeprefix(self.server.url)
        return f"{self.url}{home}/{name}/"

    def direct(self, name: str) -> str:
        return self.book(name).replace(self.url, self.server.url)


@contextlib.contextmanager
def serving(kind: str, at: Path) -> Iterator[Books]:
    """A real server of this kind over a folder, behind a forwarder."""
    start: Callable[[Path], Any] = getattr(servers, kind)
    with start(at) as server:
        counted = at / "counts"
        command = [sys.executable, "-m", "benchmarks.forwarder", server.url.rsplit(":", 1)[1], str(counted)]
        forwarder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert forwarder.stdout is not None
        port = forwarder.stdout.readline().strip()
        try:
            yield Books(server, f"http://127.0.0.1:{port}", counted)
        finally:
            forwarder.terminate()
            forwarder.wait()


# --- the two tools


@dataclass
class Tool:
    """A command that syncs one address book on two servers, in an environment of its own."""

    command: list[str]
    environment: dict[str, str]

    def run(self) -> float:
        """Seconds of the whole process."""
        before = time.perf_counter()
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True, input="y\n" * 20)
        seconds = time.perf_counter() - before
        if done.returncode:
            raise RuntimeError(f"{' '.join(self.command)}: {done.stdout[-1000:]} {done.stderr[-2000:]}")
        return seconds


def concord(home: Path, left: tuple[Books, str], right: tuple[Books, str]) -> Tool:
    """Concord between two books, (server, name) each."""
    home.mkdir()
    environment = {**os.environ, "CONCORD_HOME": str(home), "CONCORD_LOG_LEVEL": "error"}
    connections = [
        {
            "name": name,
            "system": "carddav",
            "approve": "auto",
            "settings": {"url": side.book(book), "username": side.server.username, "password": side.server.password},
        }
        for name, (side, book) in (("left", left), ("right", right))
    ]
    (home / "connections.yaml").write_text(json.dumps({"connections": connections}))
    Tool([sys.executable, "-m", "app", "apply", str(home / "connections.yaml")], environment).run()
    return Tool([sys.executable, "-m", "app", "sync"], environment)


def vdirsyncer(at: Path, left: Books, right: Books, book: str) -> Tool:
    home = at / f"vdirsyncer-{book}"
    home.mkdir()
    parts = [f'[general]\nstatus_path = "{home}/status/"\n']
    parts.append('[pair both]\na = "left"\nb = "right"\ncollections = null\nconflict_resolution = "a wins"\n')
    for name, side in (("left", left), ("right", right)):
        login = f'username = "{side.server.username}"\npassword = "{side.server.password}"\n'
        parts.append(f'[storage {name}]\ntype = "carddav"\nurl = "{side.book(book)}"\n{login}')
    config = home / "config"
    config.write_text("\n".join(parts))
    program = [str(Path(sys.executable).with_name("vdirsyncer")), "-c", str(config)]
    Tool([*program, "discover"], dict(os.environ)).run()
    return Tool([*program, "sync"], dict(os.environ))


# --- figures


def measure(runs: int) -> Iterator[Figure]:
    for kind in KINDS:
        yield from first(kind, runs)
    for kind in KINDS:
        yield from steady(kind, runs)


def first(kind: str, runs: int) -> Iterator[Figure]:
    """A first sync of 1,000 cards into an empty book, beside the same PUTs sent bare."""
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    cards = {f"card-{n}.vcf": vcard(n) for n in range(FIRST)}
    with folder(memory=True) as at, serving(kind, at / "left") as left, serving(kind, at / "right") as right:
        (at / "cards.json").write_text(json.dumps(cards))
        _fill(left, "source", cards)
        for run in range(runs):
            for name in (f"bare{run}", f"ours{run}"):
                right.server.make_book(right.direct(name), name)
            login = [right.server.username, right.server.password]
            sender = [sys.executable, "-c", BARE, right.book(f"bare{run}"), *login, str(at / "cards.json")]
            tools = {
                "ours": concord(at / f"first{run}", (left, "source"), (right, f"ours{run}")),
                "bare": Tool(sender, dict(os.environ)),
            }
            for which in ("ours", "bare") if run % 2 else ("bare", "ours"):
                seconds[which].append(tools[which].run())
    ratio = median(a / b for a, b in zip(seconds["ours"], seconds["bare"], strict=True))
    value, floor = median(seconds["ours"]), median(seconds["bare"])
    target = f"≤ 1.15 × {FIRST:,} bare PUTs"
    yield Figure("vdirsyncer_first", FIRST, value, "s", floor, ratio, target, ratio <= 1.15, kind)


def _fill(side: Books, name: str, cards: dict[str, str]) -> None:
    side.server.make_book(side.direct(name), name)
    for card, text in cards.items():
        side.server.put(card, text, side.direct(name))


def steady(kind: str, runs: int) -> Iterator[Figure]:
    """5,000 cards in step: nothing changed; 1 % changed on both sides."""
    with folder(memory=True) as at:
        _seed(kind, at)
        with serving(kind, at / "left") as left, serving(kind, at / "right") as right:
            tools = {
                "ours": concord(at / "concord", (left, "ours"), (right, "ours")),
                "theirs": vdirsyncer(at, left, right, "theirs"),
            }
            for tool in tools.values():
                tool.run()
                tool.run()
            yield _pair("vdirsyncer_silence", kind, runs, tools, left, right, lambda run: None)

            bare: list[float] = []

            def edit(run: int) -> None:
                for book in tools:
                    began = time.perf_counter()
                    with ThreadPoolExecutor(2) as lanes:
                        sent = lanes.map(_edit, (left, right), (0, SHARE // 2), (book, book), (run, run))
                    assert sum(sent) == 2 * MANY // SHARE
                    bare.append(time.perf_counter() - began)

            found = _pair("vdirsyncer_changed", kind, runs, tools, left, right, edit)
            floor = f"as many bare PUTs, both servers at once: {median(bare):.2f} s"
            yield replace(found, note=f"{found.note}; {floor}")


def _edit(side: Books, first: int, book: str, run: int) -> int:
    """One card in a hundred gets another text, as by another client; how many."""
    chosen = range(first, MANY, SHARE)
    for n in chosen:
        side.server.put(f"card-{n}.vcf", vcard(n, run + 1), side.direct(book))
    return len(chosen)


def _seed(kind: str, at: Path) -> None:
    """Both servers' folders with the same two books of 5,000 cards, as if another client had PUT them.

    Sending them takes a quarter of an hour: both servers look through the whole book at every new card. They are
    placed once, then copied.
    """
    cards = {f"card-{n}.vcf": vcard(n) for n in range(MANY)}
    with serving(kind, at / "left") as left:
        for book in BOOKS:
            left.server.make_book(left.direct(book), book)
            _PLACE[kind](left, book, cards)
    shutil.copytree(at / "left", at / "right")


def _in_files(side: Books, book: str, cards: dict[str, str]) -> None:
    """Radicale keeps a file for each card and, of every card that it was ever sent, one of its history (`upload` in its
    storage). A first question for changes writes those."""
    folder = side.server.folder / "collections" / "collection-root" / side.server.username / book
    for name, text in cards.items():
        (folder / name).write_text(text, newline="")
    status, answer, _ = side.server.ask("REPORT", side.direct(book), CHANGES, {"content-type": "application/xml"})
    if status != 207 or len(list((folder / ".Radicale.cache" / "history").iterdir())) != len(cards):
        raise RuntimeError(f"Radicale keeps its histories elsewhere now: HTTP {status}: {answer[:200]}")


def _in_git(side: Books, book: str, cards: dict[str, str]) -> None:
    """Xandikos keeps an address book as a Git repository; one commit is enough for all of them."""
    folder = side.server.folder / "data" / side.server.username / "contacts" / book
    for name, text in cards.items():
        (folder / name).write_text(text, newline="")
    porcelain.add(folder, [folder / name for name in cards])
    porcelain.commit(folder, message=b"cards", author=b"lab <lab@example.test>", committer=b"lab <lab@example.test>")


_PLACE: Mapping[str, Callable[[Books, str, dict[str, str]], None]] = {"radicale": _in_files, "xandikos": _in_git}


def _pair(
    name: str, kind: str, runs: int, tools: dict[str, Tool], left: Books, right: Books, prepare: Callable[[int], None]
) -> Figure:
    """Both tools in turn after the same preparation; seconds, requests and bytes."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    traffic: dict[str, list[tuple[int, int]]] = {"ours": [], "theirs": []}
    for run in range(runs):
        prepare(run)
        for which in ("theirs", "ours") if run % 2 else ("ours", "theirs"):
            before = [counts(side.counted) for side in (left, right)]
            seconds[which].append(tools[which].run())
            after = [counts(side.counted) for side in (left, right)]
            traffic[which].append(
                (
                    sum(a[0] - b[0] for a, b in zip(after, before, strict=True)),
                    sum(a[1] - b[1] for a, b in zip(after, before, strict=True)),
                )
            )
    ratio = median(a / b for a, b in zip(seconds["ours"], seconds["theirs"], strict=True))
    ours, theirs = (tuple(median(t[k] for t in traffic[w]) for k in (0, 1)) for w in ("ours", "theirs"))
    note = f"{kind}: requests {ours[0]:.0f} : {theirs[0]:.0f}, KB {ours[1] / 1024:,.0f} : {theirs[1] / 1024:,.0f}"
    held = ratio <= 0.5 and ours[0] <= theirs[0] and ours[1] < theirs[1]
    target = "≤ 0.5 × vdirsyncer, no more requests, fewer bytes"
    return Figure(name, MANY, median(seconds["ours"]), "s", median(seconds["theirs"]), ratio, target, held, note)
