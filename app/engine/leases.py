"""Leases that are kept by signs of life: who dies gives none, and is in nobody's way for long."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.store import runs
from app.store.store import Store

log = logging.getLogger(__name__)


@contextmanager
def beating(store: Store, key: str, owner: str, seconds: float) -> Iterator[None]:
    """Keep a lease that we hold while the block runs: three signs of life in its `seconds`."""
    stop = threading.Event()
    around = contextvars.copy_context()  # what it logs is of this run, too
    heart = threading.Thread(target=around.run, args=(_beat, store, key, owner, seconds, stop), daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()


def _beat(store: Store, key: str, owner: str, seconds: float, stop: threading.Event) -> None:
    while not stop.wait(seconds / 3):
        try:
            with store.begin() as unit:
                if not runs.keep_lease(unit, key, owner, seconds):
                    return  # a fence will say so before the next write
        except Exception:
            log.warning("a lease could not be renewed; trying again", exc_info=True)
