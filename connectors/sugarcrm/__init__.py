"""SugarCRM and SuiteCRM."""

from connectors.contract import System
from connectors.sugarcrm.connector import connect
from connectors.sugarcrm.settings import SugarSettings

CONNECTOR = System(
    name="sugarcrm",
    title="SugarCRM, SuiteCRM",
    settings=SugarSettings,
    open=connect,
    sandbox="connectors.sugarcrm.sandbox:create",
)
