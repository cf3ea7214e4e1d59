"""vTiger as a connector: Contacts, and Leads where the settings say so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, model_validator

from connectors.card import Card
from connectors.contract import (
    Account,
    Capabilities,
    Context,
    Outcome,
    Page,
    Push,
    Record,
    Settings,
    batched,
    web_address,
)
from connectors.errors import Missing, Refused, Stale, Unauthorised, Uncertain
from connectors.vtiger import mapping
from connectors.vtiger.accounts import Accounts
from connectors.vtiger.changes import Pull, probe
from connectors.vtiger.client import PAGE, Client, Denied, Row, equals, listed, quoted
from connectors.vtiger.mapping import MODULES, ORGANIZATION, Columns, Module

BATCH: Final = 20
"""Pushes whose records are read again in one request before they are written: vTiger has no lock of its own, so this
bounds the time in which another's edit goes unseen (vtiger note A3)."""
ID: Final = "id"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as unknown:
        raise ValueError(f"{name!r} is no time zone; give a name such as Europe/Berlin") from unknown
    return name


class VtigerSettings(Settings):
    """Settings of a connection.

    url: of vTiger's start page. username, access_key: as under My Preferences; the key is not the password.
    leads: Leads are contacts, too. create_as: what a new contact becomes.
    owner: user name, group name or id to whom new records are assigned; default: the user who logs in.
    server_zone: the time zone in which the server keeps times ($default_timezone in its config.inc.php).
    full_every: hours after which everything is read again, to find what leaves no trace.
    rate: most requests a second. verify_tls: False accepts any certificate.
    """

    tuning: ClassVar[frozenset[str]] = frozenset(
        {"leads", "create_as", "owner", "server_zone", "full_every", "rate", "verify_tls"}
    )

    url: Annotated[str, web_address("vTiger's start page")]
    username: str
    access_key: SecretStr
    leads: bool = False
    create_as: Literal["Contacts", "Leads"] = "Contacts"
    owner: str | None = None
    server_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    full_every: float = Field(default=24.0, gt=0)
    rate: float | None = Field(default=25.0, gt=0)
    verify_tls: bool = True

    @model_validator(mode="after")
    def _leads_are_seen(self) -> VtigerSettings:
        if self.create_as == "Leads" and not self.leads:
            raise ValueError("create_as: Leads needs leads: true, else what is created is never read")
        return self


class VtigerConnector:
    """See `connectors.contract.Connector`."""

    def __init__(self, settings: VtigerSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(
            settings.url,
            settings.username,
            settings.access_key.get_secret_value(),
            context,
            rate=settings.rate,
            verify=settings.verify_tls,
        )
        self._modules = [MODULES[name] for name in (["Contacts", "Leads"] if settings.leads else ["Contacts"])]
        self._new = MODULES[settings.create_as]
        self._zone = ZoneInfo(settings.server_zone)
        self._prefixes: dict[str, Module] = {}
        self._owner = ""
        fields = {"name", *(field for module in self._modules for field in module.fields)}
        channels = frozenset(channel for module in self._modules for channel in module.flags)
        self.capabilities = Capabilities(fields=frozenset(fields), consents=channels)

    def fit(self, card: Card, held: Card | None) -> Card:
        module = self._new if held is None else mapping.module_of(held, self._new)
        return mapping.fit(card, held, module)

    # -- who and what

    def check(self) -> Account:
        self._client.probe()
        user = self._client.user
        notes: list[str] = []
        for module in self._modules:
            found = self._client.describe(module.name)
            denied = [
                verb
                for verb, allowed in (("create", "createable"), ("change", "updateable"), ("delete", "deleteable"))
                if not found.get(allowed, True)
            ]
            if denied:
                notes.append(f"{user.name} may not {' or '.join(denied)} {module.name}")
        if user.admin is False:
            notes.append(f"{user.name} is no administrator: a record that is taken from view looks deleted")
        why = probe(self._client, self._modules[0].name).why
        if why:
            notes.append(
                f"sync is not used ({why}): changes are found by their time, deletions by counting and listing ids"
            )
        if self._settings.owner:
            notes.append(f"new records are assigned to {self._settings.owner} ({self._owner_id()})")
        where = f"vTiger {user.version}" if user.version else "vTiger"
        return Account(f"{user.name} at {where}", notes, user.clock)

    def _module(self, record: str) -> Module:
        """The module that a record is of: the prefix of its id says it, differently on each server (note A2)."""
        if len(self._modules) == 1:
            return self._modules[0]
        if not self._prefixes:
            self._prefixes = {str(self._client.describe(m.name)["idPrefix"]): m for m in self._modules}
        module = self._prefixes.get(record.partition("x")[0])
        if module is None:
            raise Missing(f"{record} is neither a contact nor a lead of this vTiger")
        return module

    def _owner_id(self) -> str:
        """Who new records are assigned to. It must exist: vTiger stores a record for nobody, too, and then fails
        (transcript 03, "create bad owner id")."""
        if self._owner:
            return self._owner
        wanted = self._settings.owner
        self._owner = self._client.user.id if not wanted else self._assignee(wanted)
        return self._owner

    def _assignee(self, wanted: str) -> str:
        by_id = re.fullmatch(r"\d+x\d+", wanted) is not None
        for module, column in (("Users", "user_name"), ("Groups", "groupname")):
            where = f"{'id' if by_id else column} = {quoted(wanted)}"
            rows = self._client.query(f"select id, {column} from {module} where {where}")
            for row in rows:
                if wanted in (row["id"], row[column]):
                    return str(row["id"])
        raise Unauthorised(f"vTiger has neither a user nor a group {wanted!r}; give another owner in the settings")

    # -- reading

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        pull = Pull(
            self._client,
            [module.name for module in self._modules],
            self._record,
            self._context.now,
            timedelta(hours=self._settings.full_every),
        )
        return pull.changes(cursor)

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        for batch in batched(dict.fromkeys(ids), PAGE):
            rows = self._rows(batch)
            filled = {row["id"]: row for row in Accounts(self._client).fill(rows.values())}
            for record in batch:
                yield self._record(filled[record]) if record in filled else Record(record, None)

    def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """The rows that there are, by id."""
        found: dict[str, Row] = {}
        by_module: dict[str, list[str]] = {}
        for record in ids:
            try:
                by_module.setdefault(self._module(record).name, []).append(record)
            except Missing:
                continue
        for module, wanted in by_module.items():
            rows = self._client.query(f"select * from {module} where id in {listed(wanted)} limit {PAGE}")
            found |= {row["id"]: row for row in rows}
        return found

    def _record(self, row: Row) -> Record:
        """A record of a row with its account's name."""
        module = self._module(row["id"])
        shown = mapping.view(row, module)
        return Record(
            id=row["id"],
            card=shown,
            version=mapping.version(row, shown, module),
            modified=self._aware(row.get("modifiedtime")),
            key=mapping.key(row),
            consents=mapping.consents(row, module),
        )

    def _aware(self, wall: str | None) -> datetime | None:
        try:
            return datetime.fromisoformat(wall or "").replace(tzinfo=self._zone).astimezone(UTC)
        except ValueError:
            return None

    # -- writing

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        accounts = Accounts(self._client)
        for batch in batched(pushes, BATCH):
            changes = {push.ref: self._change(push) for push in batch}
            idle = [push for push in batch if push.card is not None and not changes[push.ref]]
            due = [push for push in batch if push.card is None or changes[push.ref]]
            yield from (Outcome(push.ref, record=push.held) for push in idle)
            current = self._current(due, accounts)
            accounts.look_up(change.get(ORGANIZATION, "") for change in changes.values())
            for push in due:
                try:
                    yield Outcome(push.ref, record=self._apply(push, changes[push.ref], current, accounts))
                except (Refused, Stale, Missing, Uncertain) as error:
                    yield Outcome(push.ref, error=error)

    def _change(self, push: Push) -> Columns:
        """The columns that a push wants to change; for a create those with something in them."""
        if push.card is None:
            return {}
        if push.held is None:
            return {ID: "", **mapping.difference(push.card, {}, self._new), **mapping.said(push.consents, self._new)}
        module = self._module(push.held.id)
        return {**mapping.difference(push.card, push.held.card or {}, module), **mapping.said(push.consents, module)}

    def _current(self, pushes: Sequence[Push], accounts: Accounts) -> Mapping[str, Record]:
        rows = self._rows([push.held.id for push in pushes if push.held])
        return {row["id"]: self._record(row) for row in accounts.fill(rows.values())}

    def _apply(self, push: Push, change: Columns, current: Mapping[str, Record], accounts: Accounts) -> Record:
        """The record after the push, as vTiger answers it."""
        if push.held is None:
            return self._create(push.key, change, accounts)
        there = current.get(push.held.id)
        if there is None:
            raise Missing(f"{push.held.id} is not in vTiger any more")
        if push.held.version is not None and there.version != push.held.version:
            raise Stale(f"{push.held.id} was changed in vTiger meanwhile")
        try:
            if push.card is None:
                self._client.delete(there.id)
                return Record(there.id, None)
            element = {**self._element(change, accounts), ID: there.id}
            return self._answered(self._client.revise(element), accounts)
        except Denied as denied:
            # vTiger says the same of what is gone and of what is not ours to write.
            if not self._rows([there.id]):
                raise Missing(f"{there.id} is not in vTiger any more") from denied
            raise

    def _create(self, key: str, change: Columns, accounts: Accounts) -> Record:
        if not change.get(mapping.MANDATORY):
            raise Refused(
                "vTiger needs a last name, and this contact has no name, organisation, e-mail address or phone number"
            )
        owner = {"assigned_user_id": self._owner_id(), "source": mapping.KEY_PREFIX + key}
        element = {column: text for column, text in self._element(change, accounts).items() if text}
        return self._answered(self._client.create(self._new.name, {**element, **owner}), accounts)

    def _element(self, change: Columns, accounts: Accounts) -> Columns:
        """The columns as vTiger takes them."""
        element = dict(change)
        if ORGANIZATION in element:
            element["account_id"] = accounts.id_of(element.pop(ORGANIZATION), self._owner_id())
        return element

    def _answered(self, row: Row, accounts: Accounts) -> Record:
        [filled] = accounts.fill([row])
        return self._record(filled)

    # -- finding

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        accounts = Accounts(self._client)
        for batch in batched((push for push in pushes if push.card is not None), BATCH):
            for ref, row in self._found(batch).items():
                yield ref, self._answered(row, accounts)

    def _found(self, pushes: Sequence[Push]) -> dict[str, Row]:
        refs = {mapping.KEY_PREFIX + push.key: push.ref for push in pushes}
        found: dict[str, Row] = {}
        for module in self._modules:
            where = f"source in {listed(list(refs))}"
            try:
                rows = self._client.query(f"select * from {module.name} where {where} order by id limit {PAGE}")
            except Unauthorised:
                # Some servers keep `source` from queries; others will say so again.
                return {push.ref: row for push in pushes if (row := self._lookalike(push)) is not None}
            for row in rows:
                if row.get("source") in refs:
                    found.setdefault(refs[row["source"]], row)
        return found

    def _lookalike(self, push: Push) -> Row | None:
        """The newest record that shows all that was to be created, and nobody else's key."""
        assert push.card is not None
        wanted = mapping.difference(push.card, {}, self._new)
        natural = [column for column in ("email", mapping.MANDATORY) if wanted.get(column)]
        if not natural:
            return None
        where = equals(natural[0], wanted[natural[0]])
        rows = self._client.query(f"select * from {self._new.name} where {where} order by id desc limit {PAGE}")
        for row in Accounts(self._client).fill(rows):
            shown = mapping.columns(mapping.view(row, self._new), self._new)
            if mapping.key(row) in (None, push.key) and shown.items() >= wanted.items():
                return row
        return None

    def close(self) -> None:
        self._client.close()


def connect(settings: VtigerSettings, context: Context) -> VtigerConnector:
    """The connector of one account."""
    return VtigerConnector(settings, context)
