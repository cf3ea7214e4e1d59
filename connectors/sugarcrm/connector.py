"""SugarCRM as a connector: whichever of its three protocols the server speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from connectors.card import Card
from connectors.contract import Account, Capabilities, Connector, Context, Outcome, Page, Push, Record
from connectors.errors import Unreachable
from connectors.http import Http
from connectors.sugarcrm.client import unavailable
from connectors.sugarcrm.settings import Protocol, SugarSettings


@dataclass(frozen=True, slots=True)
class Door:
    """Where a protocol is: its module, and the class in it. Imported when it is needed."""

    module: str
    name: str

    def speaks(self, wire: Http) -> bool:
        """Is it spoken at this address?"""
        asked: Callable[[Http], bool] = import_module(self.module).speaks
        return asked(wire)

    def open(self, settings: SugarSettings, context: Context) -> Connector:
        made: Connector = getattr(import_module(self.module), self.name)(settings, context)
        return made


DOORS: Final[dict[Protocol, Door]] = {
    "v11": Door("connectors.sugarcrm.v11", "V11"),
    "v4_1": Door("connectors.sugarcrm.legacy.connector", "Legacy"),
    "v8": Door("connectors.sugarcrm.suite8.connector", "Suite8"),
}
"""The protocols, the one that can do most first: a SuiteCRM 7 speaks v4_1 and V8, and V8 neither tells deletions nor
seconds (note, part B)."""


class Sugar:
    """See `connectors.contract.Connector`.

    Which protocol it is, the settings say, or what was found in an earlier run, or it is found out before the first
    request. `fit` and `capabilities` are of the protocol that is known by then; before anything was ever found, of v11.
    """

    def __init__(self, settings: SugarSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._lock = threading.Lock()
        self._protocol: Protocol | None = None
        if settings.protocol != "auto":
            self._protocol = settings.protocol
        elif settings.found:
            self._protocol = settings.found
        self._opened: dict[Protocol, Connector] = {}
        self.capabilities: Capabilities = self._voice(self.protocol).capabilities

    # -- which protocol

    @property
    def protocol(self) -> Protocol:
        """The protocol as far as it is known; no request is made."""
        return self._protocol or "v11"

    def _voice(self, protocol: Protocol) -> Connector:
        with self._lock:
            if protocol not in self._opened:
                self._opened[protocol] = DOORS[protocol].open(self._settings, self._context)
            return self._opened[protocol]

    def _spoken(self) -> Connector:
        """The connector of the protocol that this server speaks."""
        if self._protocol is None:
            self._probe()
        return self._voice(self.protocol)

    def _probe(self) -> None:
        """Find the protocol out, and keep it for later runs: what fits a record must not depend on who asked first."""
        settings = self._settings
        with Http(settings.url + "/", self._context, react=unavailable, verify=settings.verify_tls) as wire:
            found = next((name for name, door in DOORS.items() if door.speaks(wire)), None)
        if found is None:
            raise Unreachable(
                "neither SugarCRM nor SuiteCRM answers at this URL; give the URL of its start page, and see that it is"
                " not in maintenance"
            )
        if found != (self._protocol or settings.found):
            self._context.save_secrets({"found": found})
        self._protocol = found
        self.capabilities = self._voice(found).capabilities

    # -- the contract

    def fit(self, card: Card, held: Card | None) -> Card:
        return self._voice(self.protocol).fit(card, held)

    def check(self) -> Account:
        if self._settings.protocol == "auto":
            self._probe()
        return self._spoken().check()

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        return self._spoken().changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        return self._spoken().read(ids)

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        return self._spoken().write(pushes)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        return self._spoken().find(pushes)

    def close(self) -> None:
        for opened in self._opened.values():
            opened.close()


def connect(settings: SugarSettings, context: Context) -> Sugar:
    """The connector of one account."""
    return Sugar(settings, context)
