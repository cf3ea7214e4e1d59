"""Mailchimp."""

from __future__ import annotations

from connectors.contract import System
from connectors.mailchimp.client import OAUTH, MailchimpSettings
from connectors.mailchimp.connector import Mailchimp

CONNECTOR = System(
    name="mailchimp",
    title="Mailchimp",
    settings=MailchimpSettings,
    open=Mailchimp,
    sandbox="connectors.mailchimp.sandbox:create",
    oauth=OAUTH,
)
