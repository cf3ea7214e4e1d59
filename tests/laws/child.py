"""A process of its own that runs one connection and kills itself at a boundary: `child.py DATABASE REMOTE BOUNDARY`.

The remotes live in the parent, who serves each call that comes through the socket whose address is in REMOTE.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Client, Connection
from typing import Any

from world import EQ, Clock

from app.engine.run import sync
from app.engine.world import World
from app.store.store import Store
from connectors.contract import Context
from connectors.memory import MemoryConnector

ENDPOINTS = ("whoami", "listing", "news", "fetch", "search", "upload", "send")


class Far:
    """A remote in another process: its endpoints are calls through a socket."""

    def __init__(self, wire: Connection) -> None:
        self._wire = wire
        for name in ENDPOINTS:
            setattr(self, name, self._endpoint(name))
        self.profile, self.secret, self.blobs = self._ask("profile"), self._ask("secret"), self._ask("blobs")

    def _endpoint(self, name: str) -> Callable[..., Any]:
        return lambda *parts: self._ask(name, *parts)

    def _ask(self, name: str, *parts: Any) -> Any:
        self._wire.send((name, parts))
        answer = self._wire.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def main(url: str, address: str, name: str, fatal: str) -> None:
    """Run the connection `name`; die, without a word, at the boundary `fatal`."""

    def at(boundary: str) -> None:
        if boundary == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    with Client(address) as wire:
        remote, clock, numbers = Far(wire), Clock(), count(1)
        clock.wait(3600)
        context = Context(clock, clock.wait, lambda: 0.5, lambda method, sent, received: at(f"request {method}"))
        store = Store(url, clock)
        world = World(
            store,
            lambda connection, tally: MemoryConnector(remote, context),  # type: ignore[arg-type]
            lambda: f"child{next(numbers)}",
            lambda: f"child{next(numbers)}",
            "child",
            eq=EQ,
            at=at,
        )
        sync(world, name)
        store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
