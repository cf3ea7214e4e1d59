"""A sync that is told to end (Ctrl-C, SIGTERM) ends in order: every run is left at its next good moment, when what it
did is committed and nothing is on its way. So its connection is free at once for whoever goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from app.engine.run import GOOD_MOMENTS, Busy

if TYPE_CHECKING:
    from app.bootstrap import Application
    from app.engine.world import World

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
BREATH: Final = 0.2
"""Seconds after which who waits looks whether it was told to end."""
SOON: Final = b"\nending as soon as what is on its way was answered; once more to end at once\n"


class Ending:
    """Whether the process was told to end, and what runs until it does."""

    def __init__(self) -> None:
        self.told = False

    def tell(self, _number: int, _frame: FrameType | None) -> None:
        """What the signals call; who is told twice ends at once, and what was on its way is looked for later."""
        if self.told:
            raise KeyboardInterrupt
        self.told = True
        os.write(2, SOON)  # a stream may be in the middle of a line

    def world(self, application: Application, progress: Callable[..., None] | None = None) -> World:
        """The application's, in which runs are left once that was told; what has not begun is not, and nobody waits for
        a turn."""
        world = replace(application, sleep=self._sleep).world(progress or (lambda *_: None), self._at)

        def opened(*given: Any) -> Any:
            self._leave()
            return world.open(*given)

        return replace(world, open=opened)

    def rest(self, seconds: float) -> None:
        """Wait between two syncs. Raises KeyboardInterrupt."""
        self._wait(seconds)
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt where that was told."""
        if self.told:
            raise KeyboardInterrupt

    def _at(self, moment: str) -> None:
        if moment in GOOD_MOMENTS:
            self._leave()

    def _sleep(self, seconds: float) -> None:
        self._wait(seconds)
        self._leave()

    def _leave(self) -> None:
        if self.told:
            raise Busy("interrupted; the next sync goes on from here")

    def _wait(self, seconds: float) -> None:
        while seconds > 0 and not self.told:
            time.sleep(min(seconds, BREATH))
            seconds -= BREATH


@contextmanager
def ending() -> Iterator[Ending]:
    """Meanwhile, to be told to end is no exception but a wish. What the process was started to ignore it ignores."""
    wish = Ending()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if before[number] != signal.SIG_IGN]
    try:
        for number in heard:
            signal.signal(number, wish.tell)
        yield wish
    finally:
        for number in heard:
            signal.signal(number, before[number])
