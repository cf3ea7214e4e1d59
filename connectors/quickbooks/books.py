"""The books of the sandbox: customers, vendors, employees, documents, and what QuickBooks makes of what it is sent.

"note" is the accounting note, part B; [K] marks what it calls general knowledge; "Intuit" is Intuit's reference page of
Customer; "spec" the list of entities and fields.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

Row = dict[str, Any]

PACIFIC: Final = timezone(timedelta(hours=-8))
"""Times are told in Pacific time (note: the example of a Customer)."""
NAMED: Final = ("Customer", "Vendor", "Employee")
"""DisplayName is unique over these (note)."""
DOCUMENTS: Final = ("Invoice", "SalesReceipt", "CreditMemo", "Payment")
PHONES: Final = ("PrimaryPhone", "AlternatePhone", "Mobile", "Fax")
PARTS: Final = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
LIMITS: Final = {
    "DisplayName": 500,
    "Title": 16,
    "GivenName": 100,
    "MiddleName": 100,
    "FamilyName": 100,
    "Suffix": 16,
    "CompanyName": 100,
    "Notes": 2000,
    "PrintOnCheckName": 110,
    "PrimaryEmailAddr": 100,
    "WebAddr": 1000,
    **dict.fromkeys(PHONES, 30),
}
"""Intuit; e-mail and phones: note."""
INNER: Final = {"PrimaryEmailAddr": "Address", "WebAddr": "URI", **dict.fromkeys(PHONES, "FreeFormNumber")}
LINES: Final = frozenset(
    {f"Line{n}" for n in range(1, 6)} | {"City", "CountrySubDivisionCode", "Country", "PostalCode"}
)
ADDRESS: Final = LINES | {"Id", "Lat", "Long", "Note"}
# fmt: off
COMMON: Final = frozenset({
    "Title", "GivenName", "MiddleName", "FamilyName", "Suffix", "CompanyName", "DisplayName", "PrintOnCheckName",
    "Active", "PrimaryPhone", "AlternatePhone", "Mobile", "Fax", "PrimaryEmailAddr", "WebAddr", "BillAddr",
    "CurrencyRef",
})
WRITABLE: Final = {
    "Customer": COMMON | {
        "ShipAddr", "Notes", "Job", "ParentRef", "BillWithParent", "Taxable", "ResaleNum", "PreferredDeliveryMethod",
        "PrimaryTaxIdentifier", "SalesTermRef", "PaymentMethodRef", "DefaultTaxCodeRef",
    },
    "Vendor": COMMON | {"TermRef", "AcctNum", "TaxIdentifier", "Vendor1099", "BillRate"},
}
# fmt: on
"""spec. Balance, FullyQualifiedName, Level, MetaData are read only."""
KEPT: Final = frozenset({"DisplayName", "PrintOnCheckName", "Active", "CurrencyRef", "Job", "ParentRef"})
"""A full update does not clear these (Intuit: "Cannot be removed"; the others [K])."""
READ_ONLY: Final = frozenset(
    {"Id", "SyncToken", "sparse", "domain", "MetaData", "Balance", "FullyQualifiedName", "Level"}
)


class Fault(Exception):
    """What QuickBooks says instead of doing it."""

    def __init__(self, code: str, message: str, detail: str, element: str = "", kind: str = "ValidationFault") -> None:
        super().__init__(message)
        self.code, self.message, self.detail, self.element, self.kind = code, message, detail, element, kind

    def body(self) -> Row:
        error = {"Message": self.message, "Detail": self.detail, "code": self.code}
        return {"Error": [{**error, **({"element": self.element} if self.element else {})}], "type": self.kind}


def stale() -> Fault:
    said = "You and Craig were working on this at the same time. Craig finished before you did, so your work was not "
    said += "saved."
    return Fault("5010", "Stale Object Error", f"Stale Object Error : {said}")


def duplicate(ident: str) -> Fault:
    said = "Another customer, vendor or employee is already using this \nname. Please use a different name."
    return Fault("6240", "Duplicate Name Exists Error", f"The name supplied already exists. : {said} Id={ident}")


def not_found() -> Fault:
    said = "Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, "
    return Fault("610", "Object Not Found", f"Object Not Found : {said}vendors or employees.")


@dataclass
class Entry:
    """A record with what is told of it. deleted: its tombstone is all that is left."""

    row: Row
    created: datetime
    updated: datetime
    deleted: bool = False


@dataclass
class Books:
    """The company's records. clock: the server's time."""

    clock: Callable[[], datetime]
    home: str = "USD"
    tables: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = {name: {} for name in (*NAMED, *DOCUMENTS)}
        # Each kind counts for itself: Customer 1 and Vendor 1 are two records (Intuit: customers 1, 2, 29; vendor 67).
        self._ids = {name: itertools.count(1) for name in self.tables}
        self._addresses = itertools.count(1)

    def entry(self, entity: str, ident: Any) -> Entry:
        found = self.tables[entity].get(str(ident))
        if found is None or found.deleted:
            raise not_found()
        return found

    def rows(self, entity: str) -> Iterator[Row]:
        """All that are there, inactive ones too, as they are shown."""
        return (self.shown(entity, entry) for entry in self.tables[entity].values() if not entry.deleted)

    def shown(self, entity: str, entry: Entry) -> Row:
        """A record as it is told; properties without a value are left out (Intuit: "Only those with values")."""
        if entry.deleted:
            return {"domain": "QBO", "status": "Deleted", "Id": entry.row["Id"], "MetaData": _meta(entry)}
        row = copy.deepcopy(entry.row)
        if entity in NAMED and not row["Active"]:
            row["DisplayName"] += " (deleted)"  # [K]
        if entity == "Customer":
            row["FullyQualifiedName"] = self._qualified(entry.row)
        return {**row, "MetaData": _meta(entry)}

    def _qualified(self, row: Row) -> str:
        parent = self.tables["Customer"].get(str((row.get("ParentRef") or {}).get("value")))
        return f"{self._qualified(parent.row)}:{row['DisplayName']}" if parent else str(row["DisplayName"])

    # --- saving

    def save(self, entity: str, body: Mapping[str, Any]) -> Row:
        """Create, or update where there is an Id; the record as it is told. Raises Fault."""
        if entity not in WRITABLE:
            raise Fault("500", "Unsupported Operation", f"Operation on {entity} is not supported.")
        unknown = body.keys() - WRITABLE[entity] - READ_ONLY
        if unknown:
            raise Fault("2010", "Request has invalid or unsupported property", f"Property Name:{min(unknown)}")
        entry = self._updated(entity, body) if body.get("Id") else self._created(entity, body)
        return self.shown(entity, entry)

    def _created(self, entity: str, body: Mapping[str, Any]) -> Entry:
        row: Row = {"Active": True, "Balance": Decimal("0"), "CurrencyRef": {"value": self.home}}
        if entity == "Customer":
            row |= {"Job": False, "Taxable": True, "PreferredDeliveryMethod": "Print"}
        self._put(row, body)
        if not row.get("DisplayName"):
            # Without it, it is put together of the parts (Intuit).
            row["DisplayName"] = " ".join(row[part] for part in PARTS if row.get(part))
        row.setdefault("PrintOnCheckName", str(row["DisplayName"])[: LIMITS["PrintOnCheckName"]])  # Intuit
        self._check(entity, row, "")
        ident = str(next(self._ids[entity]))
        row = {**row, "Id": ident, "SyncToken": "0", "domain": "QBO", "sparse": False}
        self.tables[entity][ident] = Entry(row, self.clock(), self.clock())
        return self.tables[entity][ident]

    def _updated(self, entity: str, body: Mapping[str, Any]) -> Entry:
        entry = self.entry(entity, body["Id"])
        if str(body.get("SyncToken")) != entry.row["SyncToken"]:
            raise stale()
        if not entry.row["Active"] and "Active" not in body:
            raise not_found()  # [K]: an inactive record is not written to
        row = copy.deepcopy(entry.row)
        if not body.get("sparse"):
            # "Writable fields omitted from the request body are set to NULL" (Intuit; note).
            for name in WRITABLE[entity] - KEPT - body.keys():
                row.pop(name, None)
        self._put(row, body)
        self._check(entity, row, str(body["Id"]))
        entry.row = row
        self.touch(entry)
        return entry

    def touch(self, entry: Entry) -> None:
        """A write: the SyncToken grows (Intuit), and so does the time."""
        entry.row["SyncToken"] = str(int(entry.row["SyncToken"]) + 1)
        entry.updated = max(self.clock(), entry.updated)

    def _put(self, row: Row, body: Mapping[str, Any]) -> None:
        """What was sent into the record. "" and null clear [K]; an object is replaced whole [K], but an address keeps
        its Id."""
        for name, value in body.items():
            if name in READ_ONLY:
                continue
            if isinstance(value, Mapping):
                value = {inner: text for inner, text in value.items() if text not in ("", None)}
                if name in ("BillAddr", "ShipAddr"):
                    value = self._placed(value, row.get(name))
            if value in ("", None, {}):
                row.pop(name, None)
            else:
                row[name] = value.strip() if isinstance(value, str) else copy.deepcopy(value)

    def _placed(self, value: Row, old: Row | None) -> Row:
        if not value.keys() & LINES:
            return {"Id": old["Id"]} if old else {}  # there are addresses with nothing but an Id (note's example: {})
        ident = value.get("Id") or (old or {}).get("Id") or str(next(self._addresses))
        return {**value, "Id": ident, "Lat": "INVALID", "Long": "INVALID"}

    # --- checking

    def _check(self, entity: str, row: Row, ident: str) -> None:
        if not row.get("DisplayName"):
            raise Fault("2020", "Required param missing, need to supply the required value for the API", "DisplayName")
        for name in (*PARTS, "DisplayName", "PrintOnCheckName"):
            if re.search(r"[:\t\n]", str(row.get(name) or "")):
                raise _illegal(name)
        for name, limit in LIMITS.items():
            value = row.get(name) or ""
            text = str(value.get(INNER[name]) or "") if isinstance(value, Mapping) else str(value)
            if len(text) > limit:
                said = f"Max:{limit} Min:0 Supplied length:{len(text)}"
                words = "String length is either shorter or longer than supported by specification"
                raise Fault("2050", words, f"{words}: {said}", name)
            if re.search("[\U00010000-\U0010ffff]", text):
                raise _illegal(name)  # emoji (help page of noviams.com)
        for name in ("BillAddr", "ShipAddr"):
            if (row.get(name) or {}).keys() - ADDRESS:
                raise Fault("2010", "Request has invalid or unsupported property", f"Property Name:{name}")
        self._check_links(row)
        # The names of inactive records are free, for theirs end in "(deleted)" [K].
        taken = self._owner(row["DisplayName"], entity, ident) if row.get("Active", True) else None
        if taken:
            raise duplicate(taken)

    @staticmethod
    def _check_links(row: Row) -> None:
        mail = str((row.get("PrimaryEmailAddr") or {}).get("Address") or "")
        for one in filter(None, mail.split(",")):
            if not re.fullmatch(r"\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*", one):  # Intuit: at sign and dot
                raise Fault("2210", "Invalid email address format", f"Email Address {one!r} does not conform")
        uri = str((row.get("WebAddr") or {}).get("URI") or "")
        if uri and not re.match(r"https?://\S+\.", uri):  # note, "Normalises" [K]
            raise Fault("2030", "Invalid ID", "WebAddr must be a URL", "WebAddr")

    def _owner(self, name: str, entity: str, ident: str) -> str | None:
        for table in NAMED:
            for other, entry in self.tables[table].items():
                same = str(entry.row.get("DisplayName")).casefold() == name.casefold()
                if same and not entry.deleted and entry.row["Active"] and (table, other) != (entity, ident):
                    return other
        return None

    # --- documents

    def issue(self, entity: str, document: Mapping[str, Any]) -> str:
        """A document as it is; its Id."""
        ident = str(next(self._ids[entity]))
        row = {"domain": "QBO", "sparse": False, **copy.deepcopy(dict(document)), "Id": ident, "SyncToken": "0"}
        self.tables[entity][ident] = Entry(row, self.clock(), self.clock())
        return ident

    def amend(self, entity: str, ident: str, **properties: Any) -> None:
        """Change a document, or a record past all rules."""
        entry = self.entry(entity, ident)
        entry.row |= copy.deepcopy(properties)
        self.touch(entry)

    def drop(self, entity: str, ident: str) -> None:
        """Delete a document: CDC tells (note)."""
        entry = self.entry(entity, ident)
        entry.deleted = True
        self.touch(entry)


def _illegal(name: str) -> Fault:
    words = "Invalid String. The String may contain unsupported or illegal chars"
    return Fault("2040", words, f"{name} contains invalid characters.", name)


def told(at: datetime) -> str:
    """A time as QuickBooks writes it: whole seconds."""
    return at.astimezone(PACIFIC).replace(microsecond=0).isoformat()


def _meta(entry: Entry) -> dict[str, str]:
    return {"CreateTime": told(entry.created), "LastUpdatedTime": told(entry.updated)}
