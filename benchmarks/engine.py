"""The engine alone: first pull, silence, deltas, memory. Each part runs in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from app.bootstrap import relax_gc
from app.engine.run import sync
from benchmarks.figure import Figure
from benchmarks.made import PAGE, Remote, world

MEMORY, ENOUGH = Path("/dev/shm"), 1 << 30
"""Where files are kept in memory, and the bytes that have to be free there: containers lend little."""
TABLES = ("people", "keys", "links", "changes", "pushes")


@contextlib.contextmanager
def folder(memory: bool = False) -> Iterator[Path]:
    """A folder that goes afterwards. memory: in memory where the machine lends enough, else on the disk as usual."""
    lent = memory and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH
    place = MEMORY if lent else None
    with tempfile.TemporaryDirectory(prefix="concord-bench-", dir=place) as name:
        yield Path(name)


def measure(sizes: list[int]) -> Iterator[Figure]:
    """All figures of the engine, for these numbers of contacts (the last one is held to the targets)."""
    for n in sizes:
        yield from first_pull(n, held=n == sizes[-1])
    for n in sizes:
        yield from silence(n, held=n == sizes[-1])
    yield delta_scaling(sizes[-2], sizes[-1])
    yield memory_growth(sizes[-2], sizes[-1])


# --- first pull


def first_pull(n: int, held: bool) -> Iterator[Figure]:
    """Cards a second into an empty store, beside executemany of the very same rows by raw sqlite3; medians."""
    seconds, floors = [], []
    for _ in range(3):
        with folder() as at:
            seconds.append(child("pull", n, at / "concord.db")["seconds"])
            floors.append(_raw(at / "concord.db", at / "raw.db"))
    value = n / median(seconds)
    ratio = median(ours / raw for ours, raw in zip(seconds, floors, strict=True))
    yield Figure(
        "first_pull",
        n,
        value,
        "cards/s",
        n / median(floors),
        ratio,
        "≥ 5,000 cards/s, ≤ 5 × the time of raw sqlite3",
        (value >= 5000 and ratio <= 5) if held else None,
    )


def _raw(source: Path, target: Path) -> float:
    """Seconds that sqlite3 alone takes for the rows of `source`: one executemany a table, one transaction."""
    old, new = sqlite3.connect(source), sqlite3.connect(target, isolation_level=None)
    new.execute("PRAGMA journal_mode=WAL")
    new.execute("PRAGMA synchronous=NORMAL")
    new.execute("PRAGMA foreign_keys=ON")
    for (sql,) in old.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"):
        new.execute(sql)
    for row in old.execute("SELECT * FROM connections"):
        new.execute(f"INSERT INTO connections VALUES ({','.join('?' * len(row))})", row)
    rows = {table: old.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    before = time.perf_counter()
    new.execute("BEGIN")
    for table, found in rows.items():
        if found:
            new.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(found[0]))})", found)
    new.execute("COMMIT")
    seconds = time.perf_counter() - before
    old.close()
    new.close()
    return seconds


# --- silence


def silence(n: int, held: bool) -> Iterator[Figure]:
    """A run in which nothing happened, over n links."""
    with folder() as at:
        file = at / "concord.db"
        child("pull", n, file)
        quiet, listing = child("quiet", n, file), child("versions", n, file)
        floor = median(_commits(at / f"commits{k}.db") for k in range(3))
        reading = median(_compare(file) for _ in range(3))
    yield Figure(
        "silence_delta",
        n,
        quiet["seconds"] * 1000,
        "ms",
        floor * 1000,
        quiet["seconds"] / floor,
        "< 50 ms, 1 request",
        (quiet["seconds"] < 0.05 and quiet["requests"] == 1) if held else None,
        f"{quiet['requests']} request",
    )
    yield Figure(
        "silence_listing",
        n,
        n / listing["seconds"],
        "records/s",
        n / reading,
        listing["seconds"] / reading,
        "≥ 20,000 records/s",
        n / listing["seconds"] >= 20_000 if held else None,
    )


def _commits(file: Path) -> float:
    """Seconds for what a quiet run must commit: lease, run, cursor, end, lease."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=NORMAL")
    raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)")
    before = time.perf_counter()
    for _ in range(5):
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("INSERT INTO t (value) VALUES ('x')")
        raw.execute("COMMIT")
    return time.perf_counter() - before


def _compare(file: Path) -> float:
    """Seconds in which sqlite3 alone reads the versions of all links, page by page, and compares them."""
    raw = sqlite3.connect(file)
    ids = [row[0] for row in raw.execute("SELECT remote_id FROM links")]
    before = time.perf_counter()
    same = 0
    for start in range(0, len(ids), PAGE):
        some = ids[start : start + PAGE]
        marks = ",".join("?" * len(some))
        query = f"SELECT remote_id, version FROM links WHERE connection_id = 1 AND remote_id IN ({marks})"
        same += sum(version == "v0" for _, version in raw.execute(query, some))
    assert same == len(ids)
    return time.perf_counter() - before


# --- growth


def delta_scaling(small: int, large: int, changed: int = 1000) -> Figure:
    """Seconds for 1,000 changes pulled and pushed on, in a large store beside a small one, in turn."""
    with folder() as at:
        for n in (small, large):
            child("both", n, at / f"{n}.db")
            child("delta", n, at / f"{n}.db")  # the first run after it looks once at everybody that it made
        times: dict[int, list[float]] = {small: [], large: []}
        for edition in range(1, 4):
            for n in (small, large):
                times[n].append(child("delta", n, at / f"{n}.db", changed, edition)["seconds"])
    value, floor = median(times[large]), median(times[small])
    return Figure("delta_scaling", large, value, "s", floor, value / floor, f"≤ 1.5 × {small:,}", value / floor <= 1.5)


def memory_growth(small: int, large: int) -> Figure:
    """Peak memory of a first pull and a complete listing, in a large store over that in a small one."""
    peaks = {}
    for n in (small, large):
        with folder() as at:
            pull = child("pull", n, at / "concord.db")
            listing = child("versions", n, at / "concord.db")
            peaks[n] = max(pull["peak"], listing["peak"])
    growth = peaks[large] - peaks[small]
    floor = sum(sys.getsizeof(str(i)) for i in range(small, large)) / 2**20 + sys.getsizeof(set(range(large))) / 2**20
    note = f"{peaks[small]:.0f} → {peaks[large]:.0f} MB"
    return Figure("memory_growth", large, growth, "MB", floor, growth / floor, "≤ 50 MB", growth <= 50, note)


# --- the measured processes


def child(what: str, n: int, file: Path, *more: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.engine", what, str(n), str(file), *map(str, more)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _play(what: str, n: int, file: Path, changed: int = 0, edition: int = 0) -> dict[str, float]:
    relax_gc()
    other = Remote(n, "quiet")
    remote = Remote(n, {"pull": "full", "both": "full"}.get(what, what), changed, edition)
    on = world(file, {"one": remote, "two": other})  # the second one is owed everybody, as in real life
    before = time.perf_counter()
    report = sync(on, "one")
    reports = [report, sync(on, "two")] if what in ("both", "delta") else [report]
    seconds = time.perf_counter() - before
    assert all(report.outcome == "done" for report in reports), reports
    return {"seconds": seconds, "requests": report.tally.requests, "peak": _peak()}


def _peak() -> float:
    """MB that this process held at most. Not `ru_maxrss`: a child begins with what its parent held when it was made."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_play(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))))
