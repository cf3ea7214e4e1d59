"""What is found out once in a process, whichever thread asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def once(function: Callable[P, T]) -> Callable[P, T]:
    """`functools.cache`, but that threads that ask at the same time wait for one answer instead of each making it."""
    known, asking = cast(Callable[P, T], cache(function)), threading.RLock()

    @wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        with asking:
            return known(*args, **kwargs)

    return ask
