"""Which systems there are: found by the entry point group `concord.connectors`, ours and strangers' alike."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import TYPE_CHECKING, Any

from connectors.contract import System
from connectors.once import once

if TYPE_CHECKING:  # a sandbox brings a web server along
    from connectors.sandbox import Sandbox

GROUP = "concord.connectors"


class UnknownSystem(LookupError):
    """No connector of that name is installed; the message lists those that are."""


def names() -> list[str]:
    """The installed systems, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@once
def system(name: str) -> System:
    """The system of that name. Loading it imports its connector, so ask only for what is used."""
    entry = _entry(name)
    if entry is None:
        raise UnknownSystem(f"no system is called {name!r}; there are: {', '.join(names())}")
    try:
        loaded: System = entry.load()
    except (ImportError, AttributeError) as error:
        raise UnknownSystem(f"the connector {name!r} is installed but cannot be loaded: {error}") from error
    return loaded


def _entry(name: str) -> EntryPoint | None:
    """Ours come first: no other package takes over the name of a system of ours, nor need all packages be looked at."""
    ours = (entry for own in distributions(name="concord") for entry in own.entry_points.select(group=GROUP, name=name))
    return next(ours, None) or next(iter(entry_points(group=GROUP, name=name)), None)


def sandbox(name: str, **options: Any) -> Sandbox:
    """A new sandbox of that system. Raises UnknownSystem where it has none."""
    path = system(name).sandbox
    if path is None:
        raise UnknownSystem(f"{name} has no sandbox")
    module, _, function = path.partition(":")
    made: Sandbox = getattr(importlib.import_module(module), function)(**options)
    return made
