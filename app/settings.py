"""The settings of this installation: environment variables named CONCORD_*, read once at the edge."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

PREFIX: Final = "CONCORD_"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_SQLITE: Final = "sqlite:///"
_DRIVERS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


class BadSettings(Exception):
    """Environment variables that cannot be used; the message names each and says what it should be."""


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "concord"


class Settings(BaseModel):
    """What an installation may choose. Every field is the environment variable of its name after CONCORD_."""

    # pydantic-settings reads the environment in as many words, and costs every start a fifth of a second.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    home: Path = Field(default_factory=_home, description="The folder of Concord's own files.")
    database_url: str = Field(
        default_factory=lambda data: f"{_SQLITE}{data['home'] / 'concord.db'}",
        repr=False,  # it may hold a password
        description="Where the contacts are: `sqlite:////path/concord.db` or `postgresql://user:password@host/name`.",
    )
    secrets_keys: tuple[SecretStr, ...] = Field(
        default=(),
        description="Fernet keys for the stored credentials, separated by commas; the first one encrypts.",
    )
    region: str | None = Field(
        default=None,
        description="The country (two letters: DE) whose phone numbers are written without a country code.",
    )
    timezone: str = Field(
        default="UTC", description="The time zone of cron lines and quiet hours, by its IANA name: Europe/Berlin."
    )
    public_url: str | None = Field(
        default=None,
        description="Where browsers reach the daemon: https://concord.example.com. Vendors send them back there.",
    )
    queue: Literal["local", "distributed"] = Field(
        default="local",
        description="Where jobs wait: in a table of Concord's own, or with Procrastinate (needs PostgreSQL).",
    )
    lanes: int = Field(default=8, ge=1, le=32, description="How many connections a process syncs at a time.")
    keep_journal_days: int = Field(
        default=0, ge=0, description="For how many days the journal, settled conflicts and runs are kept; 0: for ever."
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="Where traces of runs and requests go: nowhere, or by OpenTelemetry's protocol (needs the extra "
        "`otel`; OTEL_EXPORTER_OTLP_ENDPOINT says where).",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is worth a line.")
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="How lines are written; auto: for people on a terminal, else JSON."
    )

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value == "UTC":
            return value
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is no time zone; use a name as in Europe/Berlin or UTC") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in value:
            raise ValueError("must be an address as in https://concord.example.com, with nothing after ? or #")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("must begin with https://: what vendors send there opens accounts")
        return value.rstrip("/")

    @field_validator("queue")
    @classmethod
    def _brokered(cls, value: str, of: ValidationInfo) -> str:
        if value == "distributed" and not str(of.data.get("database_url", "")).startswith("postgresql"):
            raise ValueError("distributed needs CONCORD_DATABASE_URL to be a PostgreSQL database")
        return value

    @field_validator("log_level", "log_format", "queue", "traces", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("region")
    @classmethod
    def _country(cls, value: str | None) -> str | None:
        if value is None:
            return None
        import phonenumbers  # lazily: it costs 60 ms and most installations never come here

        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is no country code; use the two letters of ISO 3166, as in DE or US")
        return value.upper()

    @field_validator("secrets_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("secrets_keys")
    @classmethod
    def _fernet(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        from cryptography.fernet import Fernet  # lazily: it costs 30 ms

        for number, key in enumerate(value, 1):
            try:
                Fernet(key.get_secret_value())
            except ValueError:
                raise ValueError(
                    f"key {number} is no Fernet key (32 bytes in URL-safe base64, 44 characters); make one with "
                    "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'`"
                ) from None
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in _DRIVERS:
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return f"{_DRIVERS[scheme]}://{rest}"

    @property
    def database_file(self) -> Path | None:
        """The SQLite database's file; None for another database, or one in memory."""
        name = self.database_url.removeprefix(_SQLITE).partition("?")[0]
        if not self.database_url.startswith(_SQLITE) or name in ("", ":memory:"):
            return None
        return Path(name).absolute()

    @property
    def key_file(self) -> Path:
        """Where the key of the credentials is kept unless CONCORD_SECRETS_KEYS brings it: beside the database."""
        return (self.database_file or self.home / "concord.db").with_suffix(".key")


def load() -> Settings:
    """The settings from the environment. Raises BadSettings."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        # Others may own names that begin like ours; only what looks like a slip is one.
        if meant := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise BadSettings(f"{name} is no setting; did you mean {meant[0]}?")
    given = {name: os.environ.get(PREFIX + name.upper()) for name in Settings.model_fields}
    try:
        return Settings.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        raise BadSettings("\n".join(_words(problem) for problem in error.errors(include_input=False))) from None


def _words(problem: Any) -> str:
    variable = PREFIX + str(problem["loc"][0]).upper()
    return f"{variable}: {problem['msg'].removeprefix('Value error, ')}"
