"""What each system would have of the made-up people: each in its own format and spelling, with gaps.

Nothing here goes through our mappings, so that the demo proves something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.demo.people import COUNTRY, Person

CUSTOMERS = "Customers"
"""What accounting calls its customers: the group by which others know them."""
SIGNED_UP = "2024-05-17T08:30:00+00:00"


def _seated(everybody: Iterable[Person], seat: str) -> Iterator[Person]:
    return (person for person in everybody if seat in person.systems)


def vtiger(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """Contacts as vTiger's users typed them: spaces, capitals, the second address missing."""
    for p in _seated(everybody, "vtiger"):
        yield {
            "firstname": p.given,
            "lastname": p.surname,
            "email": p.emails[0].capitalize() if p.number % 5 == 0 else p.emails[0],
            "mobile": p.mobile.replace(" ", "") if p.number % 3 == 0 else p.mobile,
            "phone": p.work,
            "title": p.title if p.number % 2 else "",
            "mailingstreet": p.street,
            "mailingcity": p.city[0],
            "mailingzip": p.city[1],
            "mailingcountry": COUNTRY,
            "description": p.note,
            "emailoptout": "1" if p.no_mail else "0",
            "donotcall": "1" if p.no_calls else "0",
        }


def sugarcrm(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """Contacts of a second sales team: firms rather than streets, dots in the numbers."""
    for p in _seated(everybody, "sugarcrm"):
        yield {
            "first_name": p.given,
            "last_name": p.surname,
            "account_name": p.firm if p.number % 3 else "",
            "title": p.title,
            "phone_mobile": p.mobile,
            "phone_work": p.work.replace(" ", ".") if p.number % 4 == 1 else p.work,
            "email": [
                {"email_address": address, "primary_address": n == 0, "opt_out": p.no_mail}
                for n, address in enumerate(p.emails)
            ],
            "do_not_call": p.no_calls,
        }


def google(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """Contacts as Google shows them: several addresses, numbers in another format, birthdays without a year."""
    for p in _seated(everybody, "google"):
        year, month, day = p.birthday
        date = {"month": month, "day": day} | ({"year": year} if year else {})
        yield {
            "names": [{"givenName": p.given, "familyName": p.surname}],
            "emailAddresses": [{"value": address, "type": "work"} for address in p.emails],
            "phoneNumbers": [
                {"value": p.mobile.replace("+44 ", "0044 ") if p.number % 4 == 0 else p.mobile, "type": "mobile"}
            ],
            "organizations": [{"name": p.firm, "title": p.title}],
            "birthdays": [{"date": date}],
        }


def mailchimp(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """Members as years of forms and imports left them: who subscribed, who left, whose address does not work."""
    for p in _seated(everybody, "mailchimp"):
        proof = {"timestamp_opt": SIGNED_UP, "timestamp_signup": SIGNED_UP, "ip_opt": "203.0.113.7"}
        formed = p.newsletter == "subscribed" and p.signed_up
        yield {
            "email_address": p.emails[0],
            "status": p.newsletter,
            "source": "Hosted Signup Form" if formed else "Import",
            "merge_fields": {
                "FNAME": p.given,
                "LNAME": p.surname,
                **({"MOBILE": p.mobile} if p.number % 3 else {}),
                **({"COMPANY": p.firm} if p.number % 2 else {}),
            },
            **(proof if formed else {}),
        }


def tryton(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """Customers as parties of Tryton: one name, telephone and e-mail, the address that invoices go to."""
    for p in _seated(everybody, "accounting"):
        yield {
            "name": f"{p.given} {p.surname}",
            "contact_mechanisms": [{"type": "phone", "value": p.work}, {"type": "email", "value": p.emails[0]}],
            "addresses": [
                {
                    "street_unstructured": p.street,
                    "city": p.city[0],
                    "postal_code": p.city[1],
                    "country": "GB",
                }
            ],
            "categories": [CUSTOMERS],
        }


def xero(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """The same customers as contacts of Xero."""
    for p in _seated(everybody, "accounting"):
        address = {"AddressLine1": p.street, "City": p.city[0], "PostalCode": p.city[1], "Country": COUNTRY}
        yield {
            "Name": f"{p.given} {p.surname} {p.number}" if p.number % 4 == 0 else f"{p.given} {p.surname}",
            "FirstName": p.given,
            "LastName": p.surname,
            "EmailAddress": p.emails[0],
            "Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": p.work}],
            "Addresses": [{"AddressType": "POBOX", **address}],
        }


def quickbooks(everybody: Iterable[Person]) -> Iterator[dict[str, Any]]:
    """The same customers as customers of QuickBooks, whose names must differ."""
    for p in _seated(everybody, "accounting"):
        yield {
            "DisplayName": f"{p.given} {p.surname} {p.number}",
            "GivenName": p.given,
            "FamilyName": p.surname,
            "PrimaryEmailAddr": {"Address": p.emails[0]},
            "PrimaryPhone": {"FreeFormNumber": p.work},
            "BillAddr": {"Line1": p.street, "City": p.city[0], "PostalCode": p.city[1], "Country": COUNTRY},
        }


def vcards(everybody: Iterable[Person]) -> Iterator[tuple[str, str]]:
    """(name, text) of vCards as a phone wrote them: short names, and a property that nobody else knows."""
    for p in _seated(everybody, "phones"):
        lines = [
            "BEGIN:VCARD",
            "VERSION:3.0",
            f"UID:phone-{p.number}",
            f"N:{p.surname};{p.short};;;",
            f"FN:{p.short} {p.surname}",
            f"EMAIL;TYPE=INTERNET,WORK:{p.emails[0]}",
            *(f"EMAIL;TYPE=INTERNET,HOME:{address}" for address in p.emails[1:]),
            f"TEL;TYPE=CELL:{p.mobile}",
            _birthday(p.birthday),
            f"X-SHOE-SIZE:{36 + p.number % 12}",
            "END:VCARD",
        ]
        yield f"phone-{p.number}.vcf", "\r\n".join(lines) + "\r\n"


def _birthday(birthday: tuple[int | None, int, int]) -> str:
    year, month, day = birthday
    if year:
        return f"BDAY:{year}-{month:02}-{day:02}"
    return f"BDAY;X-APPLE-OMIT-YEAR=1604:1604-{month:02}-{day:02}"


# --- filling a box ---------------------------------------------------------------------------------------------------


def fill(system: str, box: Any, everybody: Iterable[Person]) -> list[str]:
    """Put those into a sandbox whom that system would have; the ids of the records, in the order of the people where
    the sandbox tells. Raises LookupError where we have nobody for it."""
    if system in _SEEDED:
        return [str(made) for made in box.seed([*_SEEDED[system](everybody)])]
    if system == "xero":
        made = [str(box.books.add(**contact)) for contact in xero(everybody)]
        box.books.group(CUSTOMERS, *made)
        return made
    if system == "carddav":
        return [str(box.put(name, text)) for name, text in vcards(everybody)]
    raise LookupError(f"there are no made-up people for {system}")


_SEEDED: Mapping[str, Any] = {
    "vtiger": vtiger,
    "sugarcrm": sugarcrm,
    "google": google,
    "mailchimp": mailchimp,
    "tryton": tryton,
    "quickbooks": quickbooks,
}
