"""The database of the SugarCRM sandbox: beans, the shared addresses, tags, links, and filters on them.

Rules cite the sugarcrm note by section; K marks what it calls unconfirmed.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

_ADDRESS: Final = {"street": 150, "city": 100, "state": 100, "postalcode": 20, "country": 255}
_PERSON: Final[Mapping[str, int]] = {
    "salutation": 255,
    "first_name": 100,
    "last_name": 100,
    "title": 100,
    "department": 255,
    **dict.fromkeys(("phone_work", "phone_mobile", "phone_home", "phone_other", "phone_fax"), 100),
    **{f"{kind}_address_{part}": length for kind in ("primary", "alt") for part, length in _ADDRESS.items()},
    "birthdate": 10,
    "lead_source": 255,
    "assigned_user_id": 36,
    "sync_key": 100,
}
COLUMNS: Final[Mapping[str, Mapping[str, int]]] = {
    "Contacts": _PERSON,
    "Leads": {**_PERSON, "account_name": 255},
    "Prospects": _PERSON,
    "Accounts": {"name": 150, "website": 255, "phone_office": 100, "sync_key": 100},
    "ProspectLists": {"name": 255, "list_type": 100},
    "Tags": {"name": 255},
}
"""Varchar columns and their lengths (note, field map); longer text is cut (K). `description` is of type TEXT."""
PEOPLE: Final = frozenset({"Contacts", "Leads", "Prospects"})
TEXT_BYTES: Final = 65_535
MANDATORY: Final = {**dict.fromkeys(PEOPLE, "last_name"), "Accounts": "name", "ProspectLists": "name", "Tags": "name"}


class Failure(Exception):
    """An error of the API: status, label, words, and what is merged into the body (A2)."""

    def __init__(self, status: int, label: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.label, self.message, self.extra = status, label, message, extra

    def body(self) -> dict[str, Any]:
        return {"error": self.label, "error_message": self.message, **self.extra}


def missing_parameter(what: str) -> Failure:
    return Failure(422, "missing_parameter", f"Missing required parameter: {what}")


def invalid_parameter(what: str) -> Failure:
    return Failure(422, "invalid_parameter", f"Invalid parameter: {what}")


@dataclass
class Bean:
    """A record of any module. emails: {id of the address: is it the primary one}. tags: names."""

    id: str
    module: str
    entered: datetime
    modified: datetime
    values: dict[str, Any]
    emails: dict[str, bool] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    account: str = ""
    deleted: bool = False


@dataclass
class Address:
    """One address for all records that have it (A3)."""

    id: str
    text: str
    modified: datetime
    opt_out: bool = False
    invalid: bool = False

    @property
    def caps(self) -> str:
        return self.text.upper()


class Database:
    """All beans. now: the server's time, whole seconds. resets: an address that is written without flags loses those
    that it had (K). astral: four-byte characters are kept."""

    def __init__(self, now: Callable[[], datetime], *, resets: bool, astral: bool) -> None:
        self.now, self._resets, self._astral = now, resets, astral
        self.beans: dict[str, dict[str, Bean]] = {module: {} for module in COLUMNS}
        self.addresses: dict[str, Address] = {}
        self.members: set[tuple[str, str, str]] = set()
        """(id of the target list, module, id)."""
        self.tags: dict[str, str] = {}
        """Names of the tags by their lower case."""
        self.custom: set[str] = set()
        self._serial = itertools.count(1)

    # -- finding

    def mint(self) -> str:
        """A new id; not in the order of creation."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"bean {next(self._serial)}"))

    def living(self, module: str) -> Iterator[Bean]:
        return (bean for bean in self.beans[module].values() if not bean.deleted)

    def get(self, module: str, at: str) -> Bean:
        """The living bean of that id; others are not found (A2)."""
        bean = self.beans[module].get(at)
        if bean is None or bean.deleted:
            raise Failure(404, "not_found", f"Could not find record: {at} in module: {module}")
        return bean

    def address(self, text: str) -> Address | None:
        """Matched upper-cased (A3)."""
        return self.addresses.get(text.strip().upper())

    # -- writing

    def create(self, module: str, body: Mapping[str, Any]) -> Bean:
        name = MANDATORY[module]
        if not str(body.get(name) or "").strip():
            raise missing_parameter(name)  # K
        now = self.now()
        values: dict[str, Any] = {**dict.fromkeys(COLUMNS[module], ""), "description": ""}
        if module in PEOPLE:
            values["do_not_call"] = False
        made = Bean(str(body.get("id") or self.mint()), module, now, now, values)
        self.write(made, body)
        self.beans[module][made.id] = made
        return made

    def write(self, bean: Bean, body: Mapping[str, Any]) -> None:
        """Save; every save moves `date_modified`. A refused value leaves the bean as it was."""
        emails = self._emails(bean, body["email"]) if "email" in body and bean.module != "Tags" else None
        account = self._account(bean, body)
        bean.values |= {name: self._stored(bean.module, name, value) for name, value in self._own(bean, body)}
        if emails is not None:
            bean.emails = emails
        bean.account = account
        if "tag" in body:
            bean.tags = self._tags(body["tag"])
        if "prospect_lists" in body:
            self._link_lists(bean, body["prospect_lists"])
        bean.modified = self.now()

    def _own(self, bean: Bean, body: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        known = {
            *COLUMNS[bean.module],
            "description",
            *self.custom,
            *(["do_not_call"] if bean.module in PEOPLE else []),
        }
        return [(name, value) for name, value in body.items() if name in known and name != "sync_key"]

    def _stored(self, module: str, name: str, value: Any) -> Any:
        if name == "do_not_call":
            return value in (True, 1, "1", "true")
        text = "" if value is None else str(value)
        if not self._astral:
            text = re.sub("[\U00010000-\U0010ffff]", "?", text)
        if name == "description":
            return text.encode()[:TEXT_BYTES].decode(errors="ignore")
        if name == "birthdate" and text and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise invalid_parameter(name)  # K
        return text[: COLUMNS[module].get(name, 255)]

    def _emails(self, bean: Bean, items: Any) -> dict[str, bool]:
        """The array replaces the list; one is primary (A3, K)."""
        found: dict[str, bool] = {}
        for item in items or ():
            text = str(item.get("email_address") or "").strip()
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
                raise invalid_parameter(f"email {text}")  # K
            address = self.share(text, item)
            found[address.id] = _on(item.get("primary_address"))
        primary = next((at for at, first in found.items() if first), next(iter(found), None))
        return {at: at == primary for at in found}

    def share(self, text: str, flags: Mapping[str, Any]) -> Address:
        """The address of that text, with these flags: they are everybody's (A3)."""
        address = self.address(text)
        if address is None:
            address = Address(self.mint(), text, self.now())
            self.addresses[address.caps] = address
        before = address.opt_out, address.invalid
        if "opt_out" in flags or self._resets:
            address.opt_out = _on(flags.get("opt_out"))
        if "invalid_email" in flags or self._resets:
            address.invalid = _on(flags.get("invalid_email"))
        if (address.opt_out, address.invalid) != before:
            address.modified = self.now()
        return address

    def _account(self, bean: Bean, body: Mapping[str, Any]) -> str:
        """A contact's account, by `account_id` or by an edit of the link (A3)."""
        found = str(body.get("account_id") or "") if "account_id" in body else bean.account
        edit = body.get("accounts") or {}
        if found in edit.get("delete", ()):
            found = ""
        found = next(iter(edit.get("add", ())), found)
        if found:
            self.get("Accounts", found)
        return found

    def _tags(self, items: Any) -> list[str]:
        """Made on demand (A3, K); one name is one tag whatever its letter case."""
        names = (str(item["name"] if isinstance(item, Mapping) else item).strip() for item in items or ())
        return list(dict.fromkeys(self.tags.setdefault(name.lower(), name) for name in names if name))

    def _link_lists(self, bean: Bean, edit: Mapping[str, Any]) -> None:
        """Membership of target lists; it moves no other bean's `date_modified`."""
        for at in edit.get("add", ()):
            self.members.add((self.get("ProspectLists", at).id, bean.module, bean.id))
        for at in edit.get("delete", ()):
            self.members.discard((at, bean.module, bean.id))

    def delete(self, bean: Bean) -> None:
        """Soft (A3)."""
        bean.deleted, bean.modified = True, self.now()
        if bean.module == "ProspectLists":
            self.members = {member for member in self.members if member[0] != bean.id}

    # -- showing

    def lists_of(self, bean: Bean) -> list[Bean]:
        return [b for b in self.living("ProspectLists") if (b.id, bean.module, bean.id) in self.members]

    def account_of(self, bean: Bean) -> Bean | None:
        found = self.beans["Accounts"].get(bean.account)
        return found if found and not found.deleted else None

    def emails_of(self, bean: Bean) -> list[tuple[Address, bool]]:
        by_id = {address.id: address for address in self.addresses.values()}
        return [(by_id[at], primary) for at, primary in bean.emails.items()]

    def column(self, bean: Bean, name: str) -> list[Any]:
        """The values of a field, or of a related one (`link.field`, A4), of all that are linked."""
        link, _, prop = name.partition(".")
        if not prop:
            return [self._scalar(bean, name)]
        if link == "prospect_lists":
            return [{"id": b.id, "name": b.values["name"]}.get(prop) for b in self.lists_of(bean)]
        if link == "accounts":
            account = self.account_of(bean)
            return [{"id": account.id, "name": account.values["name"]}.get(prop)] if account else []
        if link == "email_addresses":
            return [address_field(address, prop) for address, _ in self.emails_of(bean)]
        raise invalid_parameter(f"filter field {name}")

    def _scalar(self, bean: Bean, name: str) -> Any:
        if name == "id":
            return bean.id
        if name in ("date_modified", "date_entered"):
            return bean.modified if name == "date_modified" else bean.entered
        if name in bean.values:
            return bean.values[name]
        if name in self.custom:
            return ""
        raise invalid_parameter(f"filter field {name}")


def address_field(address: Address, name: str) -> Any:
    """A field of a shared address."""
    fields = {
        "id": address.id,
        "email_address": address.text,
        "email_address_caps": address.caps,
        "opt_out": address.opt_out,
        "invalid_email": address.invalid,
        "date_modified": address.modified,
    }
    if name not in fields:
        raise invalid_parameter(f"filter field {name}")
    return fields[name]


def _on(value: Any) -> bool:
    return value in (True, 1, "1", "true")


# --- filters (A4) ------------------------------------------------------------------------------------------------

Lookup = Callable[[str], list[Any]]
"""Values of a field of one row."""


def matches(where: Any, lookup: Lookup) -> bool:
    """Does a row meet all of the conditions?"""
    return all(_meets(condition, lookup) for condition in where)


def _meets(condition: Any, lookup: Lookup) -> bool:
    if not isinstance(condition, Mapping):
        raise invalid_parameter("filter")
    return all(_clause(name, wanted, lookup) for name, wanted in condition.items())


def _clause(name: str, wanted: Any, lookup: Lookup) -> bool:
    if name == "$or":
        return any(_meets(condition, lookup) for condition in wanted)
    if name == "$and":
        return matches(wanted, lookup)
    tests = wanted if isinstance(wanted, Mapping) else {"$equals": wanted}
    values = lookup(name)
    return all(_test(operator, values, operand) for operator, operand in tests.items())


def _test(operator: str, values: list[Any], operand: Any) -> bool:
    if operator not in OPERATORS:
        raise invalid_parameter(f"filter operator {operator}")
    return any(OPERATORS[operator](value, operand) for value in values)


OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$equals": lambda value, operand: _plain(value) == _like(value, operand),
    "$not_equals": lambda value, operand: _plain(value) != _like(value, operand),
    "$in": lambda value, operand: _plain(value) in [_like(value, one) for one in operand],
    "$not_in": lambda value, operand: _plain(value) not in [_like(value, one) for one in operand],
    "$gt": lambda value, operand: _plain(value) > _like(value, operand),
    "$gte": lambda value, operand: _plain(value) >= _like(value, operand),
    "$lt": lambda value, operand: _plain(value) < _like(value, operand),
    "$lte": lambda value, operand: _plain(value) <= _like(value, operand),
    "$starts": lambda value, operand: str(_plain(value)).startswith(str(_like(value, operand))),
    "$contains": lambda value, operand: str(_like(value, operand)) in str(_plain(value)),
}


def _plain(value: Any) -> Any:
    """Texts are compared without letter case, as MySQL's usual collation does."""
    return value.casefold() if isinstance(value, str) else value


def _like(value: Any, operand: Any) -> Any:
    """The operand as something that can be compared with the value."""
    if isinstance(value, datetime):
        try:
            at = datetime.fromisoformat(str(operand))
        except ValueError:
            raise invalid_parameter(f"date {operand}") from None
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    if isinstance(value, bool):
        return _on(operand)
    return str(operand).casefold()
