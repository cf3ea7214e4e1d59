"""Six systems as those at their screens see them: what stands in a record, in the system's own columns, and what can be
entered there. Nothing here goes through our connectors' mappings, so that one can contradict the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors import carddav, google, mailchimp, quickbooks, sugarcrm, tryton, vtiger, xero
from connectors.carddav.sandbox import CardDAVSandbox
from connectors.contentline import VCard, escape, fold, parse, split, unescape
from connectors.contract import System
from connectors.google.sandbox import GoogleSandbox
from connectors.mailchimp.sandbox import MailchimpSandbox
from connectors.quickbooks.sandbox import QuickBooksSandbox
from connectors.sandbox import Faults
from connectors.sugarcrm.legacy.sandbox import SuiteSandbox
from connectors.sugarcrm.sandbox import SugarSandbox
from connectors.sugarcrm.suite8.sandbox import Suite8Sandbox
from connectors.tryton.sandbox import TrytonSandbox
from connectors.vtiger.sandbox import VtigerSandbox
from connectors.xero.sandbox import XeroSandbox

Values = dict[str, list[Any]]
"""What a record shows: {field: its values}. Dates are {"year"?, "month", "day"}; addresses are their street lines."""
Clock = Callable[[], datetime]

PLACE: Final = {"locality": "Hull", "region": "ER", "postcode": "HU1 2AA", "country": "United Kingdom"}
"""Where everybody lives: some systems hold no address without."""
MULTIPLE: Final = frozenset({"emails", "phones"})


class Screen:
    """One system. fields: what there is a place for. paths: what its requests begin with. mails: it has a place that
    says whether its people may be mailed. lists: fields that hold any number of values. late: those of which nothing
    tells that they changed, so that it is seen once a day."""

    system: System
    box: Any
    paths: tuple[str, ...]
    fields: frozenset[str]
    lists: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    login: re.Pattern[str] = re.compile("$^")
    """Requests that only let us in."""

    @property
    def faults(self) -> Faults:
        found: Faults = self.box.faults
        return found

    def settings(self, url: str) -> dict[str, Any]:
        return {**self.box.settings(url)}

    def cards(self) -> dict[str, Values]:
        """Every living record."""
        raise NotImplementedError

    def add(self, values: Values) -> str:
        """Enter somebody; what there is no place for is left out."""
        raise NotImplementedError

    def set(self, record: str, name: str, values: list[Any]) -> None:
        """Enter other values into a field; [] blanks it."""
        raise NotImplementedError

    def remove(self, record: str) -> None:
        raise NotImplementedError

    def card(self, record: str) -> Values | None:
        return self.cards().get(record)

    def opt_out(self, record: str) -> None:
        """The person of that record says no to mail."""
        raise NotImplementedError

    def out(self, record: str) -> dict[str, bool]:
        """Who may not be mailed: {address: is it marked so}; "" for all of the person's mail."""
        return {}

    def watched(self) -> int:
        """Things of which each is looked at by a request of its own to see whether it changed."""
        return 0


def _iso(dates: list[Any]) -> str:
    return "{year:04}-{month:02}-{day:02}".format(**dates[0]) if dates else ""


def _date(text: str) -> list[Any]:
    return [dict(zip(("year", "month", "day"), map(int, text.split("-")), strict=True))] if text else []


def _shown(**fields: Iterable[Any]) -> Values:
    """Fields without blanks."""
    found = {name: [value for value in values if value] for name, values in fields.items()}
    return {name: values for name, values in found.items() if values}


def _slots(columns: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    """One value a column."""
    assert len(values) <= len(columns)
    return dict(zip(columns, [*values, *[""] * len(columns)], strict=False))


# --- CRMs ------------------------------------------------------------------------------------------------------------

CRM: Final = frozenset(
    {
        "given",
        "surname",
        "emails",
        "phones",
        "organizations",
        "titles",
        "addresses",
        "notes",
        "anniversaries",
    }
)


class Sugar(Screen):
    """Groups are target lists."""

    system = sugarcrm.CONNECTOR
    paths: tuple[str, ...] = ("/rest/",)
    fields = CRM | {"groups"}
    lists = frozenset({"emails", "groups"})
    late = frozenset({"groups"})
    login = re.compile("/oauth2/token")
    columns: Mapping[str, tuple[str, ...]] = {
        "given": ("first_name",),
        "surname": ("last_name",),
        "phones": ("phone_mobile", "phone_work", "phone_home", "phone_other"),
        "organizations": ("account_name",),
        "titles": ("title",),
        "notes": ("description",),
    }

    def __init__(self, clock: Clock) -> None:
        self.box: Any = SugarSandbox(clock=clock)

    def cards(self) -> dict[str, Values]:
        return {row["id"]: self._values(row) for row in self.box.rows()}

    def _values(self, row: Mapping[str, Any]) -> Values:
        return _shown(
            **{name: [row[column] for column in columns] for name, columns in self.columns.items()},
            groups=sorted(self.box.lists(row["id"])),
            emails=[item["email_address"] for item in row["email"]],
            addresses=[row["primary_address_street"], row["alt_address_street"]],
            anniversaries=_date(row["birthdate"]),
        )

    def add(self, values: Values) -> str:
        (record,) = self.box.seed([{k: v for name in values for k, v in self._entered(name, values[name]).items()}])
        return str(record)

    def set(self, record: str, name: str, values: list[Any]) -> None:
        if name == "groups":
            self._regroup(record, values)
        else:
            self.box.edit(record, **self._entered(name, values))

    def _regroup(self, record: str, names: list[Any]) -> None:
        for name in self.box.lists(record) - {*names}:
            self.box.leave("Contacts", record, name)
        for name in names:
            self.box.join("Contacts", record, name)

    def _entered(self, name: str, values: list[Any]) -> dict[str, Any]:
        if name == "groups":
            return {"lists": values}
        if name == "emails":
            return {"email": [self._email(address, n == 0) for n, address in enumerate(values)]}
        if name == "addresses":
            kinds = {"city": "locality", "state": "region", "postalcode": "postcode", "country": "country"}
            place = {f"primary_address_{part}": PLACE[kind] if values else "" for part, kind in kinds.items()}
            return {"primary_address_street": values[0] if values else "", **place}
        if name == "anniversaries":
            return {"birthdate": _iso(values)}
        return _slots(self.columns[name], values)

    def _email(self, address: str, primary: bool) -> dict[str, Any]:
        """The screen keeps the marks of an address that is known."""
        known = self.box.data.address(address)
        marks = {"opt_out": known.opt_out, "invalid_email": known.invalid} if known else {}
        return {"email_address": address, "primary_address": primary, **marks}

    def remove(self, record: str) -> None:
        self.box.remove(record)

    def opt_out(self, record: str) -> None:
        for address in self.cards()[record].get("emails", ()):
            self.box.opt_out(address)

    def out(self, record: str) -> dict[str, bool]:
        (row,) = [row for row in self.box.rows() if row["id"] == record]
        return {item["email_address"]: item["opt_out"] for item in row["email"]}


class Suite(Sugar):
    """SuiteCRM's older protocol."""

    paths: tuple[str, ...] = ("/service/",)
    late = frozenset()
    login = re.compile("method=login")
    columns: Mapping[str, tuple[str, ...]] = {**Sugar.columns, "organizations": ("account",)}

    def __init__(self, clock: Clock) -> None:
        self.box = SuiteSandbox(clock=clock)

    def _regroup(self, record: str, names: list[Any]) -> None:
        self.box.edit(record, lists=names)

    def _values(self, row: Mapping[str, Any]) -> Values:
        plain = {name: [row.get(column) or "" for column in columns] for name, columns in self.columns.items()}
        streets = [row["primary_address_street"] or "", row["alt_address_street"] or ""]
        dates = _date(row["birthdate"] or "")
        emails = [address for address, _ in row["emails"]]
        return _shown(**plain, emails=emails, groups=row["lists"], addresses=streets, anniversaries=dates)

    def _entered(self, name: str, values: list[Any]) -> dict[str, Any]:
        return {"emails": values} if name == "emails" else super()._entered(name, values)

    def opt_out(self, record: str) -> None:
        for address in self.cards()[record].get("emails", ()):
            self.box.flag(address, opt_out=1)

    def out(self, record: str) -> dict[str, bool]:
        (row,) = [row for row in self.box.rows() if row["id"] == record]
        return {address: bool(int(flag or 0)) for address, flag in row["emails"]}

    def watched(self) -> int:
        """Target lists: their members, now and then."""
        return len(self.box.rows("ProspectLists"))


class Suite8(Suite):
    """SuiteCRM's newer protocol, where the older one is closed."""

    paths = ("/Api/", "/service/")
    fields = CRM
    lists = frozenset({"emails"})
    login = re.compile("/Api/access_token")

    def __init__(self, clock: Clock) -> None:
        self.box = Suite8Sandbox(clock=clock)


class Vtiger(Screen):
    system = vtiger.CONNECTOR
    paths = ("/webservice.php",)
    fields = CRM
    login = re.compile("getchallenge|operation=login")
    columns: Mapping[str, tuple[str, ...]] = {
        "given": ("firstname",),
        "surname": ("lastname",),
        "emails": ("email", "secondaryemail"),
        "phones": ("mobile", "phone", "homephone", "otherphone"),
        "organizations": ("accountname",),
        "titles": ("title",),
        "notes": ("description",),
    }

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.box: Any = VtigerSandbox(clock=clock, **options)

    def cards(self) -> dict[str, Values]:
        accounts = {row["id"]: row["accountname"] for row in self.box.rows("Accounts")}
        rows = [{**row, "accountname": accounts.get(row["account_id"], "")} for row in self.box.rows()]
        return {
            row["id"]: _shown(
                **{name: [row[column] for column in columns] for name, columns in self.columns.items()},
                addresses=[row["mailingstreet"], row["otherstreet"]],
                anniversaries=_date(row["birthday"]),
            )
            for row in rows
        }

    def add(self, values: Values) -> str:
        (record,) = self.box.seed([{k: v for name in values for k, v in self._entered(name, values[name]).items()}])
        return str(record)

    def set(self, record: str, name: str, values: list[Any]) -> None:
        self.box.edit(record, **self._entered(name, values))

    def _entered(self, name: str, values: list[Any]) -> dict[str, Any]:
        if name == "addresses":
            kinds = {"city": "locality", "state": "region", "zip": "postcode", "country": "country"}
            place = {f"mailing{part}": PLACE[kind] if values else "" for part, kind in kinds.items()}
            return {"mailingstreet": values[0] if values else "", **place}
        if name == "anniversaries":
            return {"birthday": _iso(values)}
        return _slots(self.columns[name], values)

    def remove(self, record: str) -> None:
        self.box.remove(record)

    def opt_out(self, record: str) -> None:
        self.box.edit(record, emailoptout="1")

    def out(self, record: str) -> dict[str, bool]:
        (row,) = [row for row in self.box.rows() if row["id"] == record]
        return {"": row["emailoptout"] == "1"}


# --- address books ---------------------------------------------------------------------------------------------------


class Google(Screen):
    system = google.CONNECTOR
    paths = ("/v1/", "/photos/", "/token")
    fields = CRM | {"groups"}
    lists = MULTIPLE | {"groups"}
    login = re.compile("/token$")
    items: Mapping[str, tuple[str, str]] = {
        "emails": ("emailAddresses", "value"),
        "phones": ("phoneNumbers", "value"),
        "notes": ("biographies", "value"),
        "addresses": ("addresses", "streetAddress"),
        "anniversaries": ("birthdays", "date"),
    }

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.box: Any = GoogleSandbox(now=clock, **options)

    @property
    def _groups(self) -> dict[str, str]:
        """The user's own groups: {name of the resource: title}."""
        groups = self.box._groups.values()
        return {group.name: group.title for group in groups if not group.system and not group.deleted}

    def _titles(self, person: Mapping[str, Any]) -> list[str]:
        names = [item["contactGroupMembership"]["contactGroupResourceName"] for item in person.get("memberships", ())]
        return [self._groups[name] for name in names if name in self._groups]

    def _memberships(self, titles: list[Any]) -> list[dict[str, Any]]:
        there = {title: name for name, title in self._groups.items()}
        names = ["contactGroups/myContacts", *(there.get(title) or self.box.group(title) for title in titles)]
        return [{"contactGroupMembership": {"contactGroupResourceName": name}} for name in names]

    def cards(self) -> dict[str, Values]:
        return {person["metadata"]["sources"][0]["id"]: self._values(person) for person in self.box.people()}

    def _values(self, person: Mapping[str, Any]) -> Values:
        (own,) = person.get("names") or [{}]
        works = person.get("organizations", [])
        jobs = [work.get("title") for work in works] + [o.get("value") for o in person.get("occupations", ())]
        return _shown(
            given=[own.get("givenName")],
            surname=[own.get("familyName")],
            organizations=[work.get("name") for work in works],
            titles=jobs,
            groups=self._titles(person),
            **{name: [i.get(prop) for i in person.get(items, ())] for name, (items, prop) in self.items.items()},
        )

    def add(self, values: Values) -> str:
        fields: dict[str, list[dict[str, Any]]] = {}
        for name, entered in values.items():
            self._enter(fields, name, entered)
        (name,) = self.box.seed([fields])
        (made,) = [p for p in self.box.people() if p["resourceName"] == name]
        return str(made["metadata"]["sources"][0]["id"])

    def set(self, record: str, name: str, values: list[Any]) -> None:
        self.box.edit(record, lambda fields: self._enter(fields, name, values))

    def _enter(self, fields: dict[str, list[dict[str, Any]]], name: str, values: list[Any]) -> None:
        if name in ("given", "surname"):
            own = fields.setdefault("names", [{}])[0]
            _put(own, {"given": "givenName", "surname": "familyName"}[name], values)
            for shown in ("displayName", "unstructuredName"):
                own.pop(shown, None)
            return
        if name in ("organizations", "titles"):
            work = fields.setdefault("organizations", [{}])
            if not work:
                work.append({})
            _put(work[0], "name" if name == "organizations" else "title", values)
            if name == "titles":
                fields["occupations"] = []
            fields["organizations"] = [w for w in work if w.get("name") or w.get("title")]
            return
        if name == "groups":
            fields["memberships"] = self._memberships(values)
            return
        items, prop = self.items[name]
        there = fields.get(items, [])
        made = {"city": PLACE["locality"], "region": PLACE["region"], "postalCode": PLACE["postcode"]}
        new = {**made, "country": PLACE["country"]} if name == "addresses" else {}
        kept = [*there, *[new] * len(values)]
        fields[items] = [{**kept[n], prop: value} for n, value in enumerate(values)]
        for item in fields[items]:
            for derived in ("formattedValue", "canonicalForm", "text"):
                item.pop(derived, None)

    def remove(self, record: str) -> None:
        self.box.remove(record)


def _put(item: dict[str, Any], prop: str, values: list[Any]) -> None:
    if values:
        item[prop] = values[0]
    else:
        item.pop(prop, None)


class Phone(Screen):
    """A CardDAV address book, as its owner's phone edits it: line by line."""

    system = carddav.CONNECTOR
    paths = ("/dav/", "/.well-known/")
    fields = CRM
    lists = MULTIPLE
    names: Mapping[str, str] = {
        "emails": "EMAIL",
        "phones": "TEL",
        "organizations": "ORG",
        "titles": "TITLE",
        "addresses": "ADR",
        "notes": "NOTE",
        "anniversaries": "BDAY",
    }

    def __init__(self, clock: Clock, **warts: Any) -> None:
        self.box: Any = CardDAVSandbox(**warts)
        self._made = 0

    def cards(self) -> dict[str, Values]:
        book = self.box.book
        return {book.path + name: self._values(text) for name, text in book.cards.items()}

    def _values(self, text: str) -> Values:
        (card,) = parse(text)
        assert isinstance(card, VCard)
        found: Values = {}
        for line in card.lines:
            for name, prop in self.names.items():
                if line.name == prop:
                    found.setdefault(name, []).append(self._read(name, line.value))
            if line.name == "N":
                surname, given, *_ = [unescape(part) for part in split(line.value, ";")]
                found |= {"given": [given], "surname": [surname]}
        return _shown(**found)

    def _read(self, name: str, value: str) -> Any:
        if name == "addresses":
            _, extended, street, *_ = [unescape(part) for part in split(value, ";")]
            return "\n".join(filter(None, (street, extended)))
        if name == "organizations":
            return unescape(split(value, ";")[0])
        if name == "anniversaries":
            digits = value.replace("-", "")
            return {"year": int(digits[:4]), "month": int(digits[4:6]), "day": int(digits[6:8])}
        return unescape(value)

    def add(self, values: Values) -> str:
        self._made += 1
        text = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:phone-{self._made}\r\nN:;;;;\r\nFN:?\r\nEND:VCARD\r\n"
        for name, entered in values.items():
            text = self._with(text, name, entered)
        return str(self.box.put(f"phone-{self._made}.vcf", text))

    def set(self, record: str, name: str, values: list[Any]) -> None:
        self.box.put(record.rpartition("/")[2], self._with(self.box.text(record), name, values))

    def _with(self, text: str, name: str, values: list[Any]) -> str:
        """The card with these values in place of those of a field; lines that stay keep their parameters."""
        (card,) = parse(text)
        assert isinstance(card, VCard)
        if name in ("given", "surname"):
            return self._named(card, name, values)
        prop = self.names[name]
        heads = [line.raw.replace("\r\n ", "").partition(":")[0] for line in card.lines if line.name == prop]
        made = [_line(f"{head}:{self._write(name, v)}") for head, v in zip([*heads, *[prop] * 9], values, strict=False)]
        rest = [line.raw for line in card.lines if line.name != prop]
        return "".join([*rest[:-1], *made, rest[-1]])

    def _write(self, name: str, value: Any) -> str:
        if name == "addresses":
            parts = ["", "", value, *(PLACE[kind] for kind in ("locality", "region", "postcode", "country"))]
            return ";".join(map(escape, parts))
        return _iso([value]) if name == "anniversaries" else escape(value)

    def _named(self, card: VCard, name: str, values: list[Any]) -> str:
        parts = next(split(line.value, ";") for line in card.lines if line.name == "N")
        parts += [""] * (5 - len(parts))
        parts[1 if name == "given" else 0] = escape(values[0] if values else "")
        full = " ".join(part for part in (parts[1], parts[0]) if part)
        new = {"N": _line("N:" + ";".join(parts)), "FN": _line(f"FN:{full}")}
        return "".join(new.get(line.name, line.raw) for line in card.lines)

    def remove(self, record: str) -> None:
        self.box.remove(record)


def _line(text: str) -> str:
    return fold(text) + "\r\n"


# --- mailing ---------------------------------------------------------------------------------------------------------


class Mailchimp(Screen):
    system = mailchimp.CONNECTOR
    paths = ("/3.0", "/results/")
    fields = frozenset({"given", "surname", "emails", "phones", "organizations", "addresses", "groups"})
    lists = frozenset({"groups"})
    columns: Mapping[str, tuple[str, ...]] = {
        "given": ("FNAME",),
        "surname": ("LNAME",),
        "phones": ("PHONE", "MOBILE"),
        "organizations": ("COMPANY",),
    }

    def __init__(self, clock: Clock, **options: Any) -> None:
        # Where a tag does not move the time of the last change, it is seen once a day.
        self.box: Any = MailchimpSandbox(now=clock, tags_move=True, **options)

    def cards(self) -> dict[str, Values]:
        audience = self.box.audience
        return {
            member.contact_id: _shown(
                emails=[member.email],
                groups=[name for _, name in member.tags.values()],
                addresses=["\n".join(filter(None, (address.get("addr1"), address.get("addr2"))))],
                **{name: [member.merge.get(tag) for tag in tags] for name, tags in self.columns.items()},
            )
            for member in audience.members.values()
            if member.status != "archived"
            for address in [member.merge.get("ADDRESS") or {}]
        }

    def add(self, values: Values) -> str:
        columns = values.keys() - {"emails", "groups"}
        merge = {k: v for name in sorted(columns) for k, v in self._entered(name, values[name]).items()}
        (record,) = self.box.seed([{"email_address": values["emails"][0], "merge_fields": merge}])
        self._tag(record, values.get("groups", []))
        return str(record)

    def set(self, record: str, name: str, values: list[Any]) -> None:
        if name == "groups":
            self._tag(record, values)
        else:
            self.box.edit(record, **self._entered(name, values))

    def _tag(self, record: str, names: list[Any]) -> None:
        member = self.box.audience.find(record)
        former = [name for _, name in member.tags.values() if name not in names]
        marks = [{"name": name, "status": "inactive"} for name in former]
        self.box.audience.tag(member, [*marks, *({"name": name, "status": "active"} for name in names)])

    def _entered(self, name: str, values: list[Any]) -> dict[str, Any]:
        if name == "emails":
            return {"email_address": values[0]}
        if name == "addresses":
            if not values:
                return {"ADDRESS": ""}
            first, _, second = values[0].partition("\n")
            place = {"city": PLACE["locality"], "state": PLACE["region"], "zip": PLACE["postcode"], "country": "GB"}
            return {"ADDRESS": {"addr1": first, "addr2": second, **place}}
        return _slots(self.columns[name], values)

    def remove(self, record: str) -> None:
        self.box.audience.archive(self.box.audience.find(record))

    def opt_out(self, record: str) -> None:
        self.box.audience.unsubscribe(record)

    def out(self, record: str) -> dict[str, bool]:
        member = self.box.audience.find(record)
        return {member.email: member.status in ("unsubscribed", "cleaned")}


# --- books -----------------------------------------------------------------------------------------------------------


class Xero(Screen):
    system = xero.CONNECTOR
    paths = ("/api.xro/", "/connect", "/identity/")
    fields = frozenset({"given", "surname", "emails", "phones", "organizations", "addresses", "groups"})
    login = re.compile("/connect/token$")
    kinds = ("MOBILE", "DEFAULT", "DDI")

    def __init__(self, clock: Clock) -> None:
        self.box: Any = XeroSandbox(now=clock)

    def _living(self) -> dict[str, dict[str, Any]]:
        return {key: row for key, row in self.box.books.contacts.items() if row["ContactStatus"] == "ACTIVE"}

    def cards(self) -> dict[str, Values]:
        return {key: self._values(row) for key, row in self._living().items()}

    def _values(self, row: Mapping[str, Any]) -> Values:
        numbers = {phone["PhoneType"]: phone["PhoneNumber"] for phone in row["Phones"]}
        own = self._own(row)
        return _shown(
            given=[row.get("FirstName")],
            surname=[row.get("LastName")],
            emails=[row.get("EmailAddress")],
            phones=[numbers[kind] for kind in self.kinds],
            organizations=[] if row["Name"] == own else [row["Name"]],
            groups=[group["Name"] for group in self._groups(row)],
            addresses=[
                "\n".join(line for n in range(1, 5) if (line := a.get(f"AddressLine{n}"))) for a in row["Addresses"]
            ],
        )

    def _groups(self, row: Mapping[str, Any]) -> list[Any]:
        return [group for group in self.box.books.groups.values() if row["ContactID"] in group["members"]]

    @staticmethod
    def _own(row: Mapping[str, Any]) -> str:
        return f"{row.get('FirstName') or ''} {row.get('LastName') or ''}".strip()

    def add(self, values: Values) -> str:
        record = str(self.box.books.add(Name=" ".join([*values["given"], *values["surname"]])))
        for name in ("given", "surname", *values):
            self.set(record, name, values[name])
        return record

    def set(self, record: str, name: str, values: list[Any]) -> None:
        row = self.box.books.contacts[record]
        first = values[0] if values else ""
        if name in ("given", "surname"):
            named_so = row["Name"] == self._own(row)
            changed = {**row, {"given": "FirstName", "surname": "LastName"}[name]: first}
            more = {"Name": self._own(changed)} if named_so else {}
            self.box.books.edit(record, FirstName=changed.get("FirstName"), LastName=changed.get("LastName"), **more)
        elif name == "emails":
            self.box.books.edit(record, EmailAddress=first)
        elif name == "groups":
            for group in self._groups(row):
                self.box.books.leave(group["ContactGroupID"], record)
            for group in values:
                self.box.books.group(group, record)
        elif name == "phones":
            numbers = _slots(self.kinds, values)
            blank = {"PhoneAreaCode": "", "PhoneCountryCode": ""}
            phones = [{"PhoneType": kind, "PhoneNumber": text, **blank} for kind, text in numbers.items()]
            self.box.books.edit(record, Phones=phones)
        elif name == "organizations":
            self.box.books.edit(record, Name=first or self._own(row))
        else:
            lines = [*first.split("\n"), "", "", ""]
            parts = {f"AddressLine{n + 1}": lines[n] for n in range(4)}
            kinds = {"City": "locality", "Region": "region", "PostalCode": "postcode", "Country": "country"}
            parts |= {part: PLACE[kind] if values else "" for part, kind in kinds.items()}
            self.box.books.edit(record, Addresses=[{"AddressType": "POBOX", **parts}])

    def remove(self, record: str) -> None:
        self.box.books.archive(record)

    def merge(self, winner: str, loser: str) -> None:
        self.box.books.merge(winner, loser)


class QuickBooks(Screen):
    system = quickbooks.CONNECTOR
    paths = ("/v3/", "/oauth2/")
    fields = frozenset({"given", "surname", "emails", "phones", "organizations", "notes"})
    login = re.compile("/tokens?/")
    columns: Mapping[str, tuple[str, str]] = {"emails": ("PrimaryEmailAddr", "Address")}
    kinds = ("Mobile", "PrimaryPhone", "AlternatePhone")

    def __init__(self, clock: Clock) -> None:
        self.box: Any = QuickBooksSandbox(clock=clock)

    def cards(self) -> dict[str, Values]:
        rows = [row for row in self.box.rows() if row.get("Active", True)]
        return {
            f"Customer/{row['Id']}": _shown(
                given=[row.get("GivenName")],
                surname=[row.get("FamilyName")],
                emails=[(row.get("PrimaryEmailAddr") or {}).get("Address")],
                phones=[(row.get(kind) or {}).get("FreeFormNumber") for kind in self.kinds],
                organizations=[row.get("CompanyName")],
                notes=[row.get("Notes")],
            )
            for row in rows
        }

    def add(self, values: Values) -> str:
        shown = {"DisplayName": " ".join([*values["given"], *values["surname"]])}
        shown |= {k: v for name in values for k, v in self._entered(name, values[name]).items()}
        (record,) = self.box.seed([shown])
        return f"Customer/{record}"

    def set(self, record: str, name: str, values: list[Any]) -> None:
        self.box.edit("Customer", record.partition("/")[2], **self._entered(name, values))

    def _entered(self, name: str, values: list[Any]) -> dict[str, Any]:
        plain = {"given": "GivenName", "surname": "FamilyName", "organizations": "CompanyName", "notes": "Notes"}
        if name in plain:
            return {plain[name]: values[0] if values else ""}
        if name == "emails":
            return {"PrimaryEmailAddr": {"Address": values[0]} if values else {}}
        numbers = _slots(self.kinds, values)
        return {kind: {"FreeFormNumber": text} if text else {} for kind, text in numbers.items()}

    def remove(self, record: str) -> None:
        self.box.archive("Customer", record.partition("/")[2])

    def merge(self, winner: str, loser: str) -> None:
        self.box.merge("Customer", winner.partition("/")[2], loser.partition("/")[2])


class Tryton(Screen):
    """A party has one name: nobody edits its parts."""

    system = tryton.CONNECTOR
    paths = ("/demo/", "/rpc/")
    fields = frozenset({"given", "surname", "emails", "phones", "groups"})
    lists = MULTIPLE | {"groups"}
    kinds: Mapping[str, tuple[str, ...]] = {"emails": ("email",), "phones": ("phone", "mobile")}

    def __init__(self, clock: Clock) -> None:
        self.box: Any = TrytonSandbox(clock=clock)
        store = self.box.store
        (country,) = store.search("country.country", [["name", "=", PLACE["country"]]])
        region = {"country": country, "code": "GB-ER", "name": PLACE["region"], "type": "state"}
        store.create("country.subdivision", region)

    def cards(self) -> dict[str, Values]:
        names = {row["id"]: row["name"] for row in self.box.rows("party.category")}
        return {
            str(row["id"]): _shown(
                **{
                    name: [child["value"] for child in self._children(row["id"], kind)]
                    for name, kind in self.kinds.items()
                },
                given=[row["name"].split(" ")[0]],
                surname=row["name"].split(" ")[1:],
                groups=[names[category] for category in row.get("categories") or ()],
            )
            for row in self.box.rows()
            if row["active"]
        }

    def _children(self, party: int, types: tuple[str, ...]) -> list[Any]:
        rows = self.box.rows("party.contact_mechanism")
        return [row for row in rows if row["party"] == party and row["type"] in types and row["active"]]

    def add(self, values: Values) -> str:
        (record,) = self.box.seed([{"name": " ".join([*values["given"], *values["surname"]])}])
        for name in self.lists & values.keys():
            self.set(record, name, values[name])
        return str(record)

    def set(self, record: str, name: str, values: list[Any]) -> None:
        if name == "groups":
            former = next(row for row in self.box.rows() if row["id"] == int(record)).get("categories") or ()
            wanted = [self.box.category(value) for value in values]
            self.box.edit(record, categories=[["remove", [*former]], ["add", wanted]])
        elif name in self.kinds:
            rows = self._children(int(record), self.kinds[name])
            for row in rows:
                if row["value"] not in values:
                    self.box.remove(row["id"], "party.contact_mechanism")
            new = [value for value in values if value not in [row["value"] for row in rows]]
            made = [{"type": self.kinds[name][0], "value": value} for value in new]
            self.box.edit(record, contact_mechanisms=[["create", made]] if made else [])

    def remove(self, record: str) -> None:
        self.box.edit(record, active=False)


@dataclass(frozen=True)
class Kind:
    """A screen that can be made. settings: beside the sandbox's own."""

    make: Callable[[Clock], Screen]
    settings: Mapping[str, Any] = field(default_factory=dict)


KINDS: Final[Mapping[str, Kind]] = {
    "sugar": Kind(Sugar),
    "vtiger": Kind(Vtiger),
    "google": Kind(Google),
    "mail": Kind(Mailchimp),
    "books": Kind(Xero),
    "phone": Kind(Phone),
}
"""The usual six."""
