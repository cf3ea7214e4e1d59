"""Against vdirsyncer."""

from collections.abc import Iterator

from benchmarks.figure import Figure


def measure(runs: int) -> Iterator[Figure]:
    yield from ()
