"""The books of one organisation in the sandbox: contacts, groups, invoices, credit notes, and what Xero makes of them.

Sources: accounting note A; "spec" is Xero's specification 16.1.0 and its examples; "rec" are answers recorded by
others from Xero's demo company and published with their fake of it; K is general knowledge, switchable where it
matters. What a human does in Xero is done by `add`, `edit`, `archive`, `restore`, `merge`, `erase`, `sell`, …
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

Row = dict[str, Any]

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
PHONE_TYPES: Final = ("DEFAULT", "DDI", "FAX", "MOBILE")
ADDRESS_TYPES: Final = ("STREET", "POBOX")
TEXTS: Final = {
    **dict.fromkeys(("Name", "FirstName", "LastName", "EmailAddress"), 255),
    **dict.fromkeys(("ContactNumber", "AccountNumber", "TaxNumber", "CompanyNumber"), 50),
    "BankAccountDetails": 1_000,
}
"""Texts that can be written, and their most characters (spec)."""
PHONE_PARTS: Final = {"PhoneNumber": 50, "PhoneAreaCode": 10, "PhoneCountryCode": 20}
ADDRESS_PARTS: Final = {
    **{f"AddressLine{n}": 500 for n in range(1, 5)},
    "City": 255,
    "Region": 255,
    "PostalCode": 50,
    "Country": 50,
    "AttentionTo": 255,
}
KINDS: Final = {"Phones": "PhoneType", "Addresses": "AddressType"}
SHOWN_EMPTY: Final = ("City", "Region", "PostalCode", "Country")
"""Parts of an address that come even if empty (note: slots come back even if empty; spec, example)."""
THIN: Final = ("MergedToContactID", "ContactPersons", "ContactGroups", "PaymentTerms", "Website", "Balances")
"""What is missing where no page is asked for (note: thin records)."""
TAKEN: Final = (
    "The contact name {} is already assigned to another contact. The contact name must be unique across all active "
    "contacts."
)
ARCHIVED: Final = (
    "The specified contact details matched an archived contact. Archived contacts cannot currently be edited via the "
    "API."
)
_SPACE: Final = UUID("5d1b3c1e-1b5e-4a57-8d8b-3f6d2f6f0b11")


class NoSuchThing(Exception):
    """Answered with HTTP 404 and no JSON (rec)."""


class Invalid(Exception):
    """Answered with HTTP 400 and the rows that were refused."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__(f"{len(rows)} rows")
        self.rows = rows


class BadQuery(Exception):
    """Answered with HTTP 400."""


def stamp(at: datetime) -> str:
    """A time as Xero writes it."""
    return f"/Date({(at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)}+0000)/"


class Books:
    """One organisation. groups_touch: joining a group changes a contact's UpdatedDateUTC (K: it does not). A name is
    unique among active contacts, letter case aside (note; rec)."""

    def __init__(
        self, tenant: str, name: str, clock: Callable[[], datetime], page_cap: int, groups_touch: bool
    ) -> None:
        self.tenant, self.name, self.page_cap, self.groups_touch = tenant, name, page_cap, groups_touch
        self._clock = clock
        self._made = 0
        self.contacts: dict[str, Row] = {}
        self.groups: dict[str, Row] = {}
        self.documents: dict[str, dict[str, Row]] = {"Invoices": {}, "CreditNotes": {}}

    def new_id(self) -> str:
        self._made += 1
        return str(uuid5(_SPACE, f"{self.tenant}/{self._made}"))

    def now(self) -> str:
        return stamp(self._clock())

    # --- what a human does ---------------------------------------------------------------------------------------

    def add(self, **props: Any) -> str:
        """A new contact; returns its id. A human may write what the API would refuse."""
        contact: Row = {
            "ContactID": self.new_id(),
            "ContactStatus": "ACTIVE",
            "Addresses": [{"AddressType": kind} for kind in ADDRESS_TYPES],
            "Phones": [{"PhoneType": kind, **dict.fromkeys(PHONE_PARTS, "")} for kind in PHONE_TYPES],
            "ContactPersons": [],
            "IsSupplier": False,
            "IsCustomer": False,
        }
        self.contacts[contact["ContactID"]] = contact
        self.edit(contact["ContactID"], **props)
        return str(contact["ContactID"])

    def edit(self, contact: str, **props: Any) -> None:
        """Change a contact. Phones and Addresses merge by type."""
        there = self.contacts[contact]
        for prop, value in props.items():
            if prop in ("Phones", "Addresses"):
                _merge(there[prop], value, KINDS[prop])
            else:
                there[prop] = copy.deepcopy(value)
        there["UpdatedDateUTC"] = self.now()

    def archive(self, contact: str) -> None:
        self.edit(contact, ContactStatus="ARCHIVED")

    def restore(self, contact: str) -> None:
        self.edit(contact, ContactStatus="ACTIVE")

    def erase(self, contact: str) -> None:
        """The person asked to be forgotten (note: GDPRREQUEST)."""
        self.edit(contact, ContactStatus="GDPRREQUEST")

    def merge(self, winner: str, loser: str) -> None:
        """Two contacts become one: the loser is archived and says into whom; the winner gets the documents, and not
        even a new time (K, the harsher)."""
        for documents in self.documents.values():
            for document in documents.values():
                if document["Contact"]["ContactID"] == loser:
                    document["Contact"] = {"ContactID": winner, "Name": self.contacts[winner]["Name"]}
                    document["UpdatedDateUTC"] = self.now()
        self.edit(loser, ContactStatus="ARCHIVED", MergedToContactID=winner)

    def group(self, name: str, *members: str) -> str:
        """A contact group with these members, made or added to; returns its id."""
        found = next((key for key, group in self.groups.items() if group["Name"] == name), None)
        key = found or self.new_id()
        self.groups.setdefault(key, {"ContactGroupID": key, "Name": name, "Status": "ACTIVE", "members": []})
        self.join(key, members)
        return key

    def join(self, group: str, members: Iterable[str]) -> None:
        for member in members:
            if member not in self.groups[group]["members"]:
                self.groups[group]["members"].append(member)
                self._touch(member)

    def leave(self, group: str, member: str) -> None:
        self.groups[group]["members"].remove(member)
        self._touch(member)

    def _touch(self, contact: str) -> None:
        if self.groups_touch:
            self.edit(contact)

    def sell(self, contact: str, total: float, **props: Any) -> str:
        """An invoice to a customer; returns its id. Who is sold something is a customer from then on (spec:
        IsCustomer)."""
        if props.get("Type", "ACCREC") == "ACCREC":
            self.contacts[contact]["IsCustomer"] = True
        return self._document("Invoices", "Invoice", contact, total, {"Type": "ACCREC", **props})

    def credit(self, contact: str, total: float, **props: Any) -> str:
        """A credit note for a customer; returns its id."""
        return self._document("CreditNotes", "CreditNote", contact, total, {"Type": "ACCRECCREDIT", **props})

    def _document(self, kind: str, word: str, contact: str, total: float, props: Mapping[str, Any]) -> str:
        key = self.new_id()
        self.documents[kind][key] = {
            f"{word}ID": key,
            f"{word}Number": f"{word[:3].upper()}-{self._made:04}",
            "Contact": {"ContactID": contact, "Name": self.contacts[contact]["Name"]},
            "Date": self.now(),
            "Status": "AUTHORISED",
            "LineItems": [],
            "Total": total,
            "CurrencyCode": "NZD",
            "UpdatedDateUTC": self.now(),
            **props,
        }
        return key

    def mark(self, document: str, status: str) -> None:
        """Pay, void or delete a document, or approve a draft."""
        kind = next(kind for kind, documents in self.documents.items() if document in documents)
        self.documents[kind][document] |= {"Status": status, "UpdatedDateUTC": self.now()}

    # --- how things are shown --------------------------------------------------------------------------------------

    def show(self, contact: Row, thin: bool = False) -> Row:
        """A contact as Xero answers it: texts only where there are some, slots always (spec, examples)."""
        shown = {prop: value for prop, value in copy.deepcopy(contact).items() if value != "" or prop == "Name"}
        shown["Addresses"] = [
            {**dict.fromkeys(SHOWN_EMPTY, ""), **{part: text for part, text in address.items() if text}}
            for address in shown["Addresses"]
        ]
        shown["ContactGroups"] = [
            {prop: group[prop] for prop in ("ContactGroupID", "Name", "Status")}
            for group in self.groups.values()
            if contact["ContactID"] in group["members"] and group["Status"] == "ACTIVE"
        ]
        shown["HasValidationErrors"] = False
        return {prop: value for prop, value in shown.items() if not (thin and prop in THIN)}

    def show_group(self, group: Row) -> Row:
        return {prop: group[prop] for prop in ("ContactGroupID", "Name", "Status")}

    def find(self, name: str) -> Row:
        """A contact by its id or its ContactNumber."""
        found = self.contacts.get(name.lower())
        numbered = (c for c in self.contacts.values() if name and c.get("ContactNumber") == name)
        best = found or min(numbered, key=lambda c: c["ContactStatus"] != "ACTIVE", default=None)
        if best is None:
            raise NoSuchThing
        return best

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, rows: Sequence[Mapping[str, Any]], *, create: bool) -> list[Row]:
        """PUT (create) or POST (update or create) contacts, one after another: each as it is now, or as it was sent
        with its errors. A ContactID that was never given fails the request before anything is done (rec)."""
        for row in rows:
            if row.get("ContactID") and row["ContactID"].lower() not in self.contacts:
                raise NoSuchThing
        return [self._write(dict(row), create) for row in rows]

    def _write(self, row: Row, create: bool) -> Row:
        there = None if create else self._meant(row)
        errors = self._errors(row, there)
        if errors:
            sent = {**row, "ContactID": there["ContactID"] if there else NOBODY}
            failed = [{"Message": error} for error in errors]
            return {**sent, "HasValidationErrors": True, "StatusAttributeString": "ERROR", "ValidationErrors": failed}
        key = there["ContactID"] if there else self.add(Name="")
        self.edit(key, **_taken_from(row, self.contacts[key]))
        return {**self.show(self.contacts[key]), "StatusAttributeString": "OK"}

    def _meant(self, row: Row) -> Row | None:
        """Which contact a POST is about: ContactID, else ContactNumber, else Name (note, K)."""
        if row.get("ContactID"):
            return self.contacts[row["ContactID"].lower()]
        if row.get("ContactNumber"):
            numbered = (c for c in self.contacts.values() if c.get("ContactNumber") == row["ContactNumber"])
            if found := next(numbered, None):
                return found
        return self._named(str(row.get("Name", "")))

    def _named(self, name: str) -> Row | None:
        active = (c for c in self.contacts.values() if c["ContactStatus"] == "ACTIVE")
        return next((c for c in active if c["Name"].casefold() == name.strip().casefold()), None)

    def _errors(self, row: Row, there: Row | None) -> list[str]:
        """What Xero says against a row."""
        if there and there["ContactStatus"] != "ACTIVE":
            return [ARCHIVED]
        name = str(row.get("Name", ""))
        if not name.strip():
            return ["Contact Name cannot be empty"]
        namesake = self._named(name)
        errors = [TAKEN.format(name)] if namesake is not None and namesake is not there else []
        for prop, limit in TEXTS.items():
            if len(str(row.get(prop) or "")) > limit:
                errors.append(f"The {prop} field cannot exceed {limit} characters.")
        people = (row, *(row.get("ContactPersons") or ()))
        if not all(_is_address(str(person.get("EmailAddress") or "")) for person in people):
            errors.append("Email address must be valid.")
        if len(row.get("ContactPersons") or ()) > 5:
            errors.append("A contact can have at most 5 contact persons.")
        return errors + [error for part in _parts(row) for error in part]

    def put_group(self, name: str) -> Row:
        if not name.strip():
            raise BadQuery("Contact group name cannot be empty")
        if any(
            g["Name"].casefold() == name.strip().casefold() and g["Status"] == "ACTIVE" for g in self.groups.values()
        ):
            raise BadQuery("A contact group with this name already exists")
        return self.groups[self.group(name.strip())]

    def living_group(self, key: str) -> Row:
        group = self.groups.get(key.lower())
        if group is None or group["Status"] != "ACTIVE":
            raise NoSuchThing
        return group


def _merge(slots: list[Row], sent: Iterable[Mapping[str, Any]], kind: str) -> None:
    """Phones and addresses merge by type; what is left out of one stays (note K; rec)."""
    for given in sent:
        for slot in slots:
            if slot[kind] == given.get(kind):
                slot.update(given)


def _taken_from(row: Row, there: Row) -> Row:
    """What of a row is written. Blanks at the ends go (K); contact persons are replaced as a list, but [] does not
    clear it (note: iss xero-node#560); what is read only is not looked at."""
    taken: Row = {prop: str(row[prop]).strip() for prop in TEXTS if prop in row}
    if row.get("ContactStatus") in ("ACTIVE", "ARCHIVED"):
        taken["ContactStatus"] = row["ContactStatus"]
    if row.get("ContactPersons"):
        taken["ContactPersons"] = [{"IncludeInEmails": False, **person} for person in row["ContactPersons"]]
    for prop, kind in KINDS.items():
        if prop in row:
            taken[prop] = [
                {part: text if part == kind else str(text).strip() for part, text in given.items()}
                for given in row[prop]
            ]
    return taken


def _parts(row: Row) -> Iterable[list[str]]:
    """What is wrong with phones and addresses. A country has letters only (note)."""
    for prop, limits in (("Phones", PHONE_PARTS), ("Addresses", ADDRESS_PARTS)):
        for given in row.get(prop) or ():
            yield [
                f"The {part} field cannot exceed {limit} characters."
                for part, limit in limits.items()
                if len(str(given.get(part) or "")) > limit
            ]
            if re.search(r"[\d<>@/\\;:!?*#]", str(given.get("Country") or "")):
                yield ["The Country field must contain letters only."]


def _is_address(text: str) -> bool:
    """No umlauts (note)."""
    return not text or (text.isascii() and re.fullmatch(r"[^\s@]+@[^\s@]+", text) is not None)
