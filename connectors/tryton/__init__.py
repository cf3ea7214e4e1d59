"""Tryton."""

from connectors.contract import System
from connectors.tryton.connector import TrytonSettings, connect

CONNECTOR = System(
    name="tryton",
    title="Tryton",
    settings=TrytonSettings,
    open=connect,
    sandbox="connectors.tryton.sandbox:create",
)
