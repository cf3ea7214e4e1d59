"""A process that does nothing but jobs: `concord worker`. Any number of them may run, on any number of machines that
share a database; one of them says when."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Final

from app.jobs.service import GRACE, Application, start

log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run(application: Application, grace: float = GRACE) -> bool:
    """Work until the process is told to end (SIGTERM, Ctrl-C): then the running jobs are finished, or handed back.
    False where one of them had to be left to others. To be called from the main thread."""
    told = threading.Event()

    def tell(number: int, _: FrameType | None) -> None:
        if told.is_set():  # a second Ctrl-C means it
            raise KeyboardInterrupt
        told.set()

    before = {number: signal.signal(number, tell) for number in SIGNALS}
    try:
        service = start(application)
        log.info("working")
        told.wait()
        log.info("told to end; finishing what runs")
        return service.stop(grace)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
