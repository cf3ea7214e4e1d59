"""The database of the SuiteCRM and SugarCRM CE sandboxes, and what their beans do when they are saved.

It is SQLite, so that a `query` of v4_1 is really run: what MySQL says of an unknown column, SQLite says, too. Rules
cite the sugarcrm note ("note"), a transcript ("T02": transcripts/suitecrm/v41-02…), or SuiteCRM's source ("S:").
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from connectors.sugarcrm.mapping import LIMITS

PERSON: Final = [
    "salutation",
    "first_name",
    "last_name",
    "title",
    "department",
    "do_not_call",
    "phone_home",
    "phone_mobile",
    "phone_work",
    "phone_other",
    "phone_fax",
    "lead_source",
    "birthdate",
    "description",
    "assistant",
    "assistant_phone",
    "primary_address_street",
    "primary_address_city",
    "primary_address_state",
    "primary_address_postalcode",
    "primary_address_country",
    "alt_address_street",
    "alt_address_city",
    "alt_address_state",
    "alt_address_postalcode",
    "alt_address_country",
]
COMMON: Final = ["id", "date_entered", "date_modified", "modified_user_id", "created_by", "assigned_user_id", "deleted"]
BEANS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "Contacts": ("contacts", [*COMMON, *PERSON]),
    "Leads": ("leads", [*COMMON, *PERSON, "account_name", "website", "status", "converted"]),
    "Accounts": ("accounts", [*COMMON, "name", "website", "phone_office", "description"]),
    "ProspectLists": ("prospect_lists", [*COMMON, "name", "list_type", "description"]),
    "EmailAddresses": (
        "email_addresses",
        [
            "id",
            "email_address",
            "email_address_caps",
            "invalid_email",
            "opt_out",
            "confirm_opt_in",
            "date_created",
            "date_modified",
            "deleted",
        ],
    ),
}
"""Module -> (table, columns) of a stock installation."""
LINKS: Final = {
    "email_addr_bean_rel": [
        "id",
        "email_address_id",
        "bean_id",
        "bean_module",
        "primary_address",
        "date_modified",
        "deleted",
    ],
    "accounts_contacts": ["id", "contact_id", "account_id", "date_modified", "deleted"],
    "prospect_lists_prospects": ["id", "prospect_list_id", "related_id", "related_type", "date_modified", "deleted"],
}
DEFAULTS: Final = {"do_not_call": "0", "deleted": 0, "invalid_email": "0", "opt_out": "0", "list_type": "default"}
LINKED: Final = {
    ("Contacts", "email_addresses"): "EmailAddresses",
    ("Leads", "email_addresses"): "EmailAddresses",
    ("Contacts", "prospect_lists"): "ProspectLists",
    ("Leads", "prospect_lists"): "ProspectLists",
    ("Contacts", "accounts"): "Accounts",
    ("Accounts", "contacts"): "Contacts",
    ("ProspectLists", "contacts"): "Contacts",
    ("ProspectLists", "leads"): "Leads",
}
"""(module, link) -> the module at its other end (T01, get_module_fields)."""
NOT_PRINTED: Final = "deleted"
_TAG: Final = re.compile(r"<(?!\s)[^>]*(?:>|$)")
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")
_SPACE: Final = UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")

Values = dict[str, Any]


class Broken(Exception):
    """What ends in PHP or in the database: HTTP 500 (T03, "unqualified column")."""


@dataclass
class Options:
    """How this server is made.

    edition: suite714, or ce65 with its way to save addresses. php8: parameters are bound by name (T00). admin: what the
    user is. utf8mb4: four-byte characters are kept. v41, v8: the doors that are open.
    minutes: V8 shows times without their seconds (note, V8). denied: modules the user may not write; hidden: those that
    are not there for the user; frozen: columns that a save leaves as they are. custom: more columns of Contacts and
    Leads. poison: a last name that makes PHP crash. subselects: a query may ask for addresses.
    """

    edition: Literal["suite714", "ce65"] = "suite714"
    php8: bool = True
    admin: bool = True
    utf8mb4: bool = False
    v41: bool = True
    v8: bool = True
    minutes: bool = True
    denied: Sequence[str] = ()
    hidden: Sequence[str] = ()
    frozen: Sequence[str] = ()
    custom: Sequence[str] = ()
    poison: str = ""
    subselects: bool = True


class Store:
    """The tables. Humans act on it through a sandbox; not safe for threads without the sandbox's lock."""

    def __init__(self, options: Options, clock: Callable[[], datetime] | None) -> None:
        self.options = options
        people = ("Contacts", "Leads")
        self.beans = {m: (t, [*c, *(options.custom if m in people else ())]) for m, (t, c) in BEANS.items()}
        self._clock = clock or (lambda: datetime.now(UTC))
        self._ahead = timedelta()
        self._serial = 0
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.create_function("shuffled", 2, _shuffled, deterministic=True)
        for table, columns in [*self.beans.values(), *LINKS.items()]:
            # MySQL compares without letter case (utf8_general_ci).
            declared = ", ".join(f"{column} {_kind(column)}" for column in columns)
            self.db.execute(f"create table {table} ({declared}, primary key (id))")
        for index in ("email_addr_bean_rel(bean_id)", "prospect_lists_prospects(related_id)"):
            self.db.execute(f"create index i_{index[:10]} on {index}")
        self.db.execute("create index i_accounts on accounts_contacts(contact_id)")
        self.db.execute("create index i_caps on email_addresses(email_address_caps)")

    # --- the clock ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)

    def stamp(self) -> str:
        """Times are whole seconds, UTC (note, Dates)."""
        return self.now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def guid(self) -> str:
        """Ids come in no order (T03), and the same in each run of a test."""
        self._serial += 1
        return str(uuid5(_SPACE, str(self._serial)))

    # --- rows --------------------------------------------------------------------------------------------------------

    def rows(self, sql: str, *params: Any) -> list[Values]:
        return [dict(found) for found in self.db.execute(sql, params)]

    def get(self, module: str, record: str, *, deleted: bool = False) -> Values | None:
        table, _ = BEANS[module]
        found = self.rows(f"select * from {table} where id = ?", record)
        return found[0] if found and (deleted or not found[0]["deleted"]) else None

    def save(self, module: str, given: Mapping[str, Any], record: str | None, new_id: str | None = None) -> str:
        """Save a bean; its id. record: the one that is there; None inserts, as `new_id` where the client chose one."""
        table, columns = self.beans[module]
        before = self.get(module, record) if record else None
        if self.options.poison and given.get("last_name") == self.options.poison:
            raise Broken
        kept = self.options.frozen if before is not None else ()
        taken = {name: value for name, value in given.items() if name in columns and name not in kept}
        values = {name: self._stored(module, name, value) for name, value in taken.items()}
        if before is not None:
            # What a new record was given with blanks around is trimmed by a later save (note, HTML entities).
            trimmed = {k: v.strip() for k, v in before.items() if isinstance(v, str) and k in PERSON}
            values = {**trimmed, **values}
        if _off(given.get("update_date_modified", True)):
            values["date_modified"] = str(given.get("date_modified", self.stamp()))  # T02, "date_modified override"
        else:
            values["date_modified"] = self.stamp()
        made = record or new_id or self.guid()
        if before is None:
            created = {"date_created" if module == "EmailAddresses" else "date_entered": self.stamp()}
            self._insert(table, {**{c: DEFAULTS.get(c, "") for c in columns}, **created, **values, "id": made})
        else:
            sets = ", ".join(f"{name} = ?" for name in values)
            self.db.execute(f"update {table} set {sets} where id = ?", [*values.values(), made])
        if module in ("Contacts", "Leads"):
            self._save_addresses(module, made, given)
        if module == "Contacts":
            self._save_account(made, given)
        return made

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        marks = ", ".join("?" for _ in values)
        try:
            self.db.execute(f"insert into {table} ({', '.join(values)}) values ({marks})", list(values.values()))
        except sqlite3.IntegrityError as twice:
            raise Broken("Database failure. Please refer to suitecrm.log for details.") from twice

    def _stored(self, module: str, name: str, value: Any) -> Any:
        """What the database keeps (T02, "bad date", "long last name"; note, HTML entities)."""
        if name == "deleted":
            return 0 if _off(value) else 1
        if name in ("do_not_call", "opt_out", "invalid_email"):
            return "0" if _off(value) else "1"
        text = "" if value is None else str(value)
        if name == "birthdate":
            return text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else ""
        if name != "description":
            text = _TAG.sub("", text)
        if not self.options.utf8mb4:
            text = _ASTRAL.sub("????", text)
        return text[: 255 if module == "Accounts" else LIMITS.get(name, 255) if name != "description" else None]

    def delete(self, module: str, record: str) -> None:
        """`mark_deleted`: the row stays, its time is that of the deletion (note, deleted), its links go."""
        table, _ = BEANS[module]
        self.db.execute(f"update {table} set deleted = 1, date_modified = ? where id = ?", (self.stamp(), record))
        for link, column in (("email_addr_bean_rel", "bean_id"), ("accounts_contacts", "contact_id")):
            self.db.execute(
                f"update {link} set deleted = 1, date_modified = ? where {column} = ?", (self.stamp(), record)
            )

    # --- addresses ---------------------------------------------------------------------------------------------------

    def addresses(self, module: str, record: str) -> list[Values]:
        """An address's bean with its link, in the order of S:SugarEmailAddress::getAddressesByGUID."""
        return self.rows(
            "select ea.*, ear.primary_address, ear.rowid as linked from email_addresses ea"
            " join email_addr_bean_rel ear on ea.id = ear.email_address_id"
            " where ear.bean_id = ? and ear.bean_module = ? and ear.deleted = 0 and ea.deleted = 0"
            " order by ear.primary_address desc, ear.rowid",
            record,
            module,
        )

    def legacy(self, module: str, record: str) -> Values:
        """email1, email2 and the first one's flags, as S:SugarEmailAddress::populateLegacyFields fills them."""
        found = self.addresses(module, record)
        if not found:
            return {}
        filled = {"email1": found[0]["email_address"], "email_opt_out": found[0]["opt_out"]}
        filled["invalid_email"] = found[0]["invalid_email"]
        if len(found) > 1:
            filled["email2"] = found[1]["email_address"]
        return filled

    def _save_addresses(self, module: str, record: str, given: Mapping[str, Any]) -> None:
        there = self.addresses(module, record)
        named = [str(given[f"email{n}"] or "") for n in range(1, 11) if f"email{n}" in given]
        if self.options.edition == "ce65":
            self._rebuild(module, record, there, given)
        elif not there and any(named):
            # On a record that has addresses, email1 and email_opt_out are silently ignored (T02, T02b A and I).
            self._link_addresses(module, record, named, "0" if _off(given.get("email_opt_out")) else "1", "0")

    def _rebuild(self, module: str, record: str, there: Sequence[Values], given: Mapping[str, Any]) -> None:
        """CE writes the list anew on each save, and knows two addresses and one flag of it (note, E-mail traps)."""
        if not there and not any(name in given for name in ("email1", "email2")):
            return
        known = self.legacy(module, record)
        wanted = {**known, **{name: given[name] for name in known.keys() | given.keys() if name in given}}
        named = [str(wanted.get(f"email{n}") or "") for n in range(1, 11)]
        flags = ["0" if _off(wanted.get(name)) else "1" for name in ("email_opt_out", "invalid_email")]
        kept = self._link_addresses(module, record, named, *flags)
        for address in there:
            if address["id"] not in kept:
                self.unlink(module, record, "email_addresses", address["id"])

    def _link_addresses(self, module: str, record: str, named: Iterable[str], opt_out: str, invalid: str) -> set[str]:
        """S:SugarEmailAddress::AddUpdateEmailAddress: an address that others have gets the flags of this save."""
        kept: set[str] = set()
        for n, address in enumerate(named):
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
                continue  # T02, "bad email"
            found = self.rows(
                "select * from email_addresses where email_address_caps = ? and deleted = 0", address.upper()
            )
            flags = {"email_address": address, "opt_out": opt_out, "invalid_email": invalid}
            bean = found[0]["id"] if found else None
            if bean is None or any(found[0][name] != value for name, value in flags.items()):
                bean = self.save("EmailAddresses", {**flags, "email_address_caps": address.upper()}, bean)
            self.link(module, record, "email_addresses", bean, {"primary_address": int(n == 0)})
            kept.add(bean)
        return kept

    # --- accounts ----------------------------------------------------------------------------------------------------

    def account(self, contact: str) -> Values | None:
        found = self.rows(
            "select a.* from accounts a join accounts_contacts ac on ac.account_id = a.id"
            " where ac.contact_id = ? and ac.deleted = 0 and a.deleted = 0",
            contact,
        )
        return found[0] if found else None

    def _save_account(self, contact: str, given: Mapping[str, Any]) -> None:
        """`account_id` links; one that is not there is linked all the same, and shows nothing (T02, "BadAcc")."""
        if "account_id" not in given:
            return
        for old in self.rows("select account_id from accounts_contacts where contact_id = ? and deleted = 0", contact):
            self.unlink("Contacts", contact, "accounts", old["account_id"])
        if given["account_id"]:
            self.link("Contacts", contact, "accounts", str(given["account_id"]))

    # --- links -------------------------------------------------------------------------------------------------------

    def link(self, module: str, record: str, name: str, other: str, more: Mapping[str, Any] | None = None) -> None:
        """Neither end has to exist (T04, "with a nonexistent id"). No end's date_modified moves (note, A4; T02b J)."""
        table, values = _ends(module, record, name, other)
        where = " and ".join(f"{column} = ?" for column in values)
        found = self.rows(f"select id from {table} where {where} and deleted = 0", *values.values())
        flags = {k: v for k, v in (more or {}).items() if k == "primary_address" and table == "email_addr_bean_rel"}
        flags |= {"deleted": 0, "date_modified": self.stamp()}
        if found:
            sets = ", ".join(f"{column} = ?" for column in flags)
            self.db.execute(f"update {table} set {sets} where id = ?", [*flags.values(), found[0]["id"]])
        else:
            blank = {"primary_address": 0} if table == "email_addr_bean_rel" else {}
            self._insert(table, {"id": self.guid(), **values, **blank, **flags})

    def unlink(self, module: str, record: str, name: str, other: str) -> None:
        table, values = _ends(module, record, name, other)
        where = " and ".join(f"{column} = ?" for column in values)
        self.db.execute(
            f"update {table} set deleted = 1, date_modified = ? where {where} and deleted = 0",
            [self.stamp(), *values.values()],
        )

    def linked(self, module: str, record: str, name: str) -> list[Values]:
        """The beans at the other end, those that are there; removed links are never shown (T04, "remove")."""
        if name == "email_addresses":
            return self.addresses(module, record)
        other = LINKED[module, name]
        table, _ = _ends(module, record, name, "")
        here, there = _columns(module, name)
        related = " and l.related_type = ?" if table == "prospect_lists_prospects" else ""
        kind = [module if there == "prospect_list_id" else other] if related else []
        return self.rows(
            f"select b.* from {BEANS[other][0]} b join {table} l on l.{there} = b.id"
            f" where l.{here} = ? and l.deleted = 0 and b.deleted = 0{related}",
            record,
            *kind,
        )

    def entry_count(self, target_list: str) -> int:
        """S:ProspectList::get_entry_count."""
        sql = "select count(*) as n from prospect_lists_prospects where prospect_list_id = ? and deleted = 0"
        return int(self.rows(sql, target_list)[0]["n"])


def _kind(column: str) -> str:
    return "integer" if column in ("deleted", "primary_address") else "text collate nocase"


def _columns(module: str, name: str) -> tuple[str, str]:
    """(this end's column, the other end's)."""
    ends = {
        "email_addresses": ("bean_id", "email_address_id"),
        "prospect_lists": ("related_id", "prospect_list_id"),
        "accounts": ("contact_id", "account_id"),
    }
    if name in ends:
        return ends[name]
    return ("account_id", "contact_id") if module == "Accounts" else ("prospect_list_id", "related_id")


def _ends(module: str, record: str, name: str, other: str) -> tuple[str, dict[str, str]]:
    here, there = _columns(module, name)
    values = {here: record, there: other}
    if name == "email_addresses":
        return "email_addr_bean_rel", {**values, "bean_module": module}
    if "prospect_list_id" in values:
        kind = module if name == "prospect_lists" else LINKED[module, name]
        return "prospect_lists_prospects", {**values, "related_type": kind}
    return "accounts_contacts", values


def _off(value: Any) -> bool:
    return value in (None, "", 0, "0", False, "false")


def _shuffled(record: str, offset: int) -> int:
    """An order that is another one on each page: what a walk without ORDER BY meets (note, Paging)."""
    return (int(record.replace("-", "")[:8] or "0", 16) ^ (offset * 2654435761)) * 40503 % 2**31


# --- queries -----------------------------------------------------------------------------------------------------

_FORBIDDEN: Final = re.compile(r"\b(union|limit|into|group\s+by|having)\b|;|--|/\*", re.I)
_SUBSELECT: Final = re.compile(r"\(\s*select\b", re.I)
_TABLES: Final = re.compile(r"\b(?:from|join)\s+(\w+)", re.I)
ALLOWED: Final = frozenset(
    ("email_addr_bean_rel", "email_addresses", "emails", "emails_beans", "emails_text", "teams", "team_sets_teams")
)
"""Tables that a subselect may name (S:SugarSQLValidate)."""


class Denied(Exception):
    """Fault 40: SQL that the validator rejects (T03, "syntax error SQL", "union injection")."""


def checked(query: str, order_by: str) -> str:
    """The query as SQLite writes it. Raises Denied for what S:SugarSQLValidate rejects."""
    bare = re.sub(r"'(?:[^'\\]|\\.|'')*'", "''", query)
    for text in (bare, order_by):
        if _FORBIDDEN.search(text) or "===" in text:
            raise Denied
    if _SUBSELECT.search(order_by) or any(table.lower() not in ALLOWED for table in _TABLES.findall(bare)):
        raise Denied
    if bare.count("(") != bare.count(")"):
        raise Denied
    return re.sub(r"'((?:[^'\\]|\\.|'')*)'", _literal, query)


def _literal(match: re.Match[str]) -> str:
    """MySQL's backslashes, as SQLite writes them; a time in ISO's form is a time (T03, "date_modified >= ISO")."""
    text = re.sub(r"\\(.)|''", lambda m: m.group(1) or "'", match.group(1))
    text = re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z?$", r"\1 \2", text)
    return "'" + text.replace("'", "''") + "'"


def ordered(module: str, order_by: str, offset: int) -> str:
    """ORDER BY: only bare column names count; anything else is silently left out (T03b)."""
    table, columns = BEANS[module]
    terms = [term.split() for term in order_by.split(",")]
    known = [t for t in terms if t and t[0] in columns and (len(t) == 1 or t[1].upper() in ("ASC", "DESC"))]
    parts = [f"{table}.{t[0]} {t[1] if len(t) > 1 else 'ASC'}" for t in known] if len(known) == len(terms) else []
    return ", ".join([*parts, f"shuffled({table}.id, {int(offset)})"])


def select(store: Store, module: str, query: str, deleted: bool) -> str:
    """FROM and WHERE of a listing. Every column is there twice, so that an unqualified one is ambiguous, as with the
    server's own joins (T03, "unqualified column")."""
    table, _ = BEANS[module]
    parts = [f"({query})"] if query else []
    parts += [] if deleted else [f"{table}.deleted = 0"]
    where = " and ".join(parts) or "1"
    return f"from {table} left join {table} jt0 on 0 where {where}"


def run(store: Store, sql: str) -> Iterator[Values]:
    """Raises Denied for a syntax error, Broken for the rest."""
    try:
        yield from store.rows(sql)
    except sqlite3.OperationalError as wrong:
        if "syntax" in str(wrong) or "incomplete" in str(wrong) or "unrecognized" in str(wrong):
            raise Denied from wrong
        raise Broken("Database failure. Please refer to suitecrm.log for details.") from wrong
