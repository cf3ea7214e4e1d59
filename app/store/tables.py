"""The tables. JSON is text written by orjson, moments are microseconds since 1970 UTC, on every database alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Json(TypeDecorator[Any]):
    """Any JSON value, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, to the microsecond."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")


def _connection(*, primary_key: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(
        "connection_id",
        Integer,
        ForeignKey("connections.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=nullable,
    )


def _person(*, primary_key: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(
        "person_id", Id, ForeignKey("people.id", ondelete="CASCADE"), primary_key=primary_key, nullable=nullable
    )


connections = Table(
    "connections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("system", String(64), nullable=False),
    Column("settings", Json, nullable=False),
    Column("secrets", LargeBinary, comment="JSON of the secret settings, encrypted"),
    Column("policy", Json, nullable=False),
    Column("schedule", String(64), comment="5m, 1h, a cron line; null: by hand"),
    Column("quiet", String(16), comment="22:00-06:00: when nothing runs by itself"),
    Column("approve", String(8), nullable=False, comment="ask | auto: what the first contact needs"),
    Column("state", String(16), nullable=False, comment="new (waits for its first contact) | active | paused"),
    Column("reason", Text, comment="why it is paused, for the admin"),
    Column("cursor", Json),
    Column("sales_cursor", Json, comment="the place up to which purchases were read"),
    Column("memory", Json, comment="what the connector found out about the remote"),
    Column("cleared", Moment, comment="until when the brake is released by a human"),
    Column("hook", LargeBinary, comment="JSON of how its webhooks are known to be its own, encrypted"),
    Column("account", String(64), comment="SHA-256 of the account's id there, since it was first told"),
    Column("denied", Moment, comment="paused, because its credentials are refused since then"),
)

people = Table(
    "people",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("rev", Integer, nullable=False),
    Column("state", String(16), nullable=False, comment="live | archived | deleted | erased"),
    Column("name", String(200), nullable=False, comment="how it is shown in lists"),
    Column("card", Json, nullable=False),
    Column("updated", Moment, nullable=False),
    Index(None, "name"),
)

keys = Table(
    "keys",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("value", String(320), primary_key=True),
    _person(primary_key=True),
    Index(None, "person_id"),
    sqlite_with_rowid=False,
)

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("rev", Integer, nullable=False),
    Column("name", Text, nullable=False, comment="as it was first written, or as it was renamed"),
    Column("key", String(320), nullable=False, unique=True, comment="the name, folded: it is one group per key"),
    Column("person_id", Id, ForeignKey("people.id", ondelete="SET NULL"), comment="on whose card the name first stood"),
    Column("created", Moment, nullable=False),
)

group_aliases = Table(
    "group_aliases",
    metadata,
    Column("uid", String(64), primary_key=True, comment="of a group that was joined with another"),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE"), nullable=False),
    sqlite_with_rowid=False,
)

links = Table(
    "links",
    metadata,
    _connection(primary_key=True),
    Column("remote_id", String(512), primary_key=True),
    _person(),
    Column("state", String(8), nullable=False, comment="live | gone (deleted there; kept as a tombstone)"),
    Column("version", Text),
    Column("modified", Moment),
    Column("digest", String(24), comment="of the view as the connector gave it"),
    Column("prior", Text, comment="the digests before our last writes, for remotes whose reads lag"),
    Column("written", Moment, comment="when we last wrote to it"),
    Column("seen", Json, nullable=False),
    Column("sent", Json, comment="null: as seen, which it nearly always is"),
    Column("raw", Json),
    Column("consents", Json, comment="its places for consent: [[channel, address, what it shows, what we wrote]]"),
    Index(None, "person_id", "connection_id"),
)

aliases = Table(
    "aliases",
    metadata,
    _connection(primary_key=True),
    Column("alias", String(512), primary_key=True),
    Column("remote_id", String(512), nullable=False),
)

pushes = Table(
    "pushes",
    metadata,
    _connection(primary_key=True),
    _person(primary_key=True),
    Column(
        "state",
        String(8),
        nullable=False,
        comment="owed | sent (on its way, outcome unknown) | aside (refused) | waits (for a record) | held",
    ),
    Column("attempts", Integer, nullable=False),
    Column("since", Moment, nullable=False),
    Column("sent_at", Moment),
    Column(
        "sent", Json, comment="{record id, '' for a create: [[path, value]]} on its way, until the outcome is known"
    ),
    Column("reason", Text, comment="why it was set aside"),
    Index(None, "connection_id", "state"),
    sqlite_with_rowid=False,
)

losses = Table(
    "losses",
    metadata,
    _connection(primary_key=True),
    Column("remote_id", String(512), primary_key=True),
    Column("record", Json, comment="the arrival that takes something away; null: the record is gone there"),
    Column("run_id", Integer),
    Column("at", Moment, nullable=False),
)

refused = Table(
    "refused",
    metadata,
    _connection(primary_key=True),
    Column("remote_id", String(512), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("card", Json, comment="as much of it as tells whose it may be; null: that cannot be told, or is known"),
    Column("ignored", Moment, comment="when a human said to leave it until it changes there"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", Id, primary_key=True),
    _person(),
    Column("path", Text, nullable=False, comment='JSON pointer into the card; "" is the whole person'),
    Column("before", Json),
    Column("after", Json),
    Column("connection_id", Integer, comment="whose side it came from; null: a human here"),
    Column("run_id", Integer),
    Column("actor", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", Text, comment="where it was done to many at once: what; null: to this person"),
    Index(None, "person_id", "id"),
    Index(None, "run_id", "id"),
    sqlite_autoincrement=True,  # a number is never given twice: who follows the table by it would miss one
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", Id, primary_key=True),
    _person(),
    _connection(),
    Column("path", Text, nullable=False),
    Column("ours", Json),
    Column("theirs", Json),
    Column("kept", String(8), nullable=False, comment="ours | theirs | ask"),
    Column("open", Boolean, nullable=False),
    Column("at", Moment, nullable=False),
    Index(None, "open"),
    Index(None, "person_id"),
    sqlite_autoincrement=True,  # a number is never given twice: who follows the table by it would miss one
)

consents = Table(
    "consents",
    metadata,
    Column("id", Id, primary_key=True),
    _person(),
    Column("channel", String(8), nullable=False, comment="email | phone | sms | post"),
    Column("address", String(320), nullable=False, comment='folded; "" is the whole channel'),
    Column("state", String(16), nullable=False),
    Column("at", Moment, nullable=False, comment="when it was said, as far as is known"),
    Column("recorded", Moment, nullable=False),
    Column("connection_id", Integer, comment="where it was said; null: here"),
    Column("run_id", Integer),
    Column("actor", String(64), nullable=False),
    Column("basis", Text, nullable=False, comment="on what the entry rests, in words"),
    Column("evidence", Json, nullable=False),
    Index(None, "person_id"),
    Index(None, "address", "channel"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("hash", String(64), primary_key=True, comment="of an address of somebody who was erased, salted"),
    Column("at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

purchases = Table(
    "purchases",
    metadata,
    _connection(primary_key=True),
    Column("id", String(512), primary_key=True),
    Column("record", String(512), nullable=False, comment="remote id of whose purchase it is"),
    Column("kind", String(8), nullable=False, comment="invoice | receipt | credit"),
    Column("number", String(200), nullable=False),
    Column("date", String(10), comment="YYYY-MM-DD"),
    Column("total", String(40), nullable=False, comment="decimal, with tax"),
    Column("currency", String(8), nullable=False),
    Column("state", String(8), nullable=False, comment="draft | open | paid | void"),
    Column("lines", Json, nullable=False),
    Column("read", Moment, nullable=False),
    Index(None, "connection_id", "record"),
)

installation = Table(
    "installation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    _connection(),
    Column("started", Moment, nullable=False),
    Column("finished", Moment),
    Column(
        "scope",
        String(8),
        nullable=False,
        server_default="sync",
        comment="sync | push: it read nothing | restored: before",
    ),
    Column("outcome", String(16), nullable=False, comment="running | done | held | failed | paused | waiting"),
    Column("message", Text),
    Column("counters", Json, nullable=False),
    Column("progress", Json, comment="while it runs: [phase, done, total or null]"),
    Index(None, "connection_id", "id"),
    sqlite_autoincrement=True,  # a number is never given twice: who follows the table by it would miss one
)

plans = Table(
    "plans",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("made", Moment, nullable=False),
    Column("state", String(16), nullable=False, comment="waiting | approved | rejected"),
    Column("body", Json, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("uri", String(80), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("owner", String(120), nullable=False),
    Column("until", Moment, nullable=False),
)

# --- who may use the API, and what they did

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False, comment="admin | operator | viewer | webhook"),
    Column("password", Text, comment="argon2; null: signs in with tokens only"),
    Column("enabled", Boolean, nullable=False),
    Column("failures", Integer, nullable=False, comment="wrong passwords since the last right one"),
    Column("locked", Moment, comment="until when no password is looked at"),
    Column("created", Moment, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), comment="null: the first start's"),
    Column("kind", String(16), nullable=False, comment="api | session | bootstrap"),
    Column("name", String(64), nullable=False, comment="what it is for"),
    Column("hash", String(64), nullable=False, unique=True, comment="SHA-256; the token itself is nowhere"),
    Column("scopes", Json, nullable=False, comment='["people:read", …]; what it may do of what its user may'),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, comment="null: never"),
    Column("revoked", Moment),
    Column("used", Moment, comment="when it was last shown, to the minute"),
    Index(None, "user_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", String(64), nullable=False, comment="the user, or as whom a stranger wanted to sign in"),
    Column("token_id", Integer, comment="with which token; null: none, or at the terminal"),
    Column("address", String(64), nullable=False, comment='where from; "" is the terminal'),
    Column("action", String(64), nullable=False, comment="the operation's id"),
    Column("target", String(200), nullable=False, comment="on what: connections/crm"),
    Column("status", Integer, nullable=False, comment="the HTTP status of the answer"),
    Column("detail", Json, nullable=False, comment="what else to know; never a secret, never a contact's data"),
    Index(None, "actor", "id"),
    Index(None, "target", "id"),
    Index(None, "address", "action", "at"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", String(64), primary_key=True, comment="whose key it is"),
    Column("key", String(200), primary_key=True),
    Column("request", String(64), nullable=False, comment="SHA-256 of what was asked"),
    Column("at", Moment, nullable=False),
    Column("status", Integer, comment="of the answer; null: not answered yet"),
    Column("headers", Json),
    Column("body", LargeBinary, comment="the answer; null: it held what is shown once"),
    Index(None, "at"),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    # So that the database itself sees to it that of each lock at most one job waits and at most one runs.
    Column("lock", String(80), primary_key=True, comment="whose turn it is: sync:<connection>, notices, housekeeping"),
    Column("state", String(8), primary_key=True, comment="waiting | running"),
    Column("kind", String(16), nullable=False, comment="sync | push | notices | housekeeping"),
    _connection(nullable=True),
    Column("due", Moment, nullable=False, comment="not before; of a running one when it was due"),
    Column("worker", String(120), comment="who runs it"),
    Column("until", Moment, comment="when it may be taken over, unless its worker says again that it lives"),
    Index(None, "connection_id"),
    Index(None, "state", "due"),
    sqlite_with_rowid=False,
)

hook_deliveries = Table(
    "hook_deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    _connection(),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the body; the body itself is not kept"),
    Column("received", Moment, nullable=False),
    Column("size", Integer, nullable=False, comment="bytes"),
    Column("times", Integer, nullable=False, comment="how often it came"),
    Index(None, "connection_id", "digest", unique=True),
    Index(None, "received"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Json, nullable=False, comment='["person.changed", …]; []: all'),
    Column("secret", LargeBinary, nullable=False, comment="with which its notices are signed, encrypted"),
    Column("state", String(8), nullable=False, comment="active | off"),
    Column("reason", Text, comment="why it was switched off"),
    Column("created", Moment, nullable=False),
    Column("place", Json, nullable=False, comment="up to where the journal and the runs have become its notices"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", String(40), primary_key=True, comment="webhook-id: the same at every attempt"),
    Column("subscription_id", Integer, ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", Text, nullable=False, comment="as it is signed and sent"),
    Column("created", Moment, nullable=False),
    Column("state", String(8), nullable=False, comment="waiting | sent | dead"),
    Column("due", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("answer", Text, comment="what became of the last attempt"),
    Index(None, "state", "due"),
    Index(None, "subscription_id", "state"),
)

handshakes = Table(
    "handshakes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "connection_id", Integer, ForeignKey("connections.id", ondelete="SET NULL"), comment="null: removed meanwhile"
    ),
    Column("asked_by", String(64), nullable=False, comment="the user who may connect"),
    Column("ticket", String(64), nullable=False, unique=True, comment="SHA-256 of what its link holds"),
    Column("other", Boolean, nullable=False, comment="may it be another account than before?"),
    Column("expires", Moment, nullable=False),
    Column("browser", String(64), comment="SHA-256 of the cookie of the browser that opened the link last"),
    Column("state", String(64), unique=True, comment="SHA-256 of what the vendor sends back; null: not opened yet"),
    Column("sealed", LargeBinary, comment="JSON of the PKCE verifier, encrypted"),
    Column("redirect", Text, comment="where the vendor sends the browser back to"),
    Column("spent", Moment, comment="when the state came back"),
    Column("done", Moment, comment="when access was given"),
    Index(None, "expires"),
    Index(None, "connection_id"),
)
