"""Settings of a connection to SugarCRM or SuiteCRM, whichever protocol it speaks."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.contract import Settings, web_address

Protocol = Literal["v11", "v4_1", "v8"]


def _root(url: str) -> str:
    """The address of the start page without what the browser adds to it."""
    return re.sub(r"/(index\.php.*|rest(/.*)?|service(/.*)?|Api(/.*)?|#.*)?$", "", url.split("?")[0].split("#")[0])


class SugarSettings(Settings):
    """Settings of a connection.

    url: of the start page. username, password: of the user we work as; an administrator sees everything.
    client_id, client_secret: an OAuth key. SugarCRM has the key `sugar` without a secret from the start; SuiteCRM's
        V8 needs one made in its administration (grant type password).
    platform: what we are called there. Each user has one session per platform, so it must be ours alone: with that of
        the web pages (`base`) our login and the human's would throw each other out. Newer servers want it registered
        (Administration, API Platforms).
    refresh_token: kept by us; of the last login.
    protocol: v11 (SugarCRM 7 and later), v4_1 (SugarCRM CE, SuiteCRM 7), v8 (SuiteCRM's V8); auto finds out.
    found: kept by us; the protocol that was found.
    key_field: a custom text field of Contacts (and Leads) in which our key is kept where the user is no administrator;
        administrators need none in v11 (`sync_key`).
    emoji: the database keeps four-byte characters (v11). Where emoji come back as ????, say false: then none are sent.
    leads: Leads are contacts, too. create_as: what a new contact becomes.
    full_every: hours after which everything is listed again, to find what leaves no trace.
    page: rows asked for in one request; the server may give fewer. rate: most requests a second.
    verify_tls: False accepts any certificate.
    """

    tuning: ClassVar[frozenset[str]] = frozenset(
        {
            "client_id",
            "platform",
            "protocol",
            "found",
            "key_field",
            "emoji",
            "leads",
            "create_as",
            "full_every",
            "page",
            "rate",
            "verify_tls",
        }
    )

    url: Annotated[str, web_address("SugarCRM's start page"), AfterValidator(_root)]
    username: str
    password: SecretStr
    client_id: str = "sugar"
    client_secret: SecretStr = SecretStr("")
    platform: str = Field(default="concord", pattern=r"^[A-Za-z0-9_-]{1,127}$")
    refresh_token: SecretStr = SecretStr("")
    protocol: Literal["auto", "v11", "v4_1", "v8"] = "auto"
    found: Literal["", "v11", "v4_1", "v8"] = ""
    key_field: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*_c)?$")
    emoji: bool = True
    leads: bool = False
    create_as: Literal["Contacts", "Leads"] = "Contacts"
    full_every: float = Field(default=24.0, gt=0)
    page: int = Field(default=500, ge=1, le=10_000)
    rate: float | None = Field(default=10.0, gt=0)
    verify_tls: bool = True

    @model_validator(mode="after")
    def _leads_are_seen(self) -> SugarSettings:
        if self.create_as == "Leads" and not self.leads:
            raise ValueError("create_as: Leads needs leads: true, else what is created is never read")
        return self
