"""Made-up people, and what three systems would have of them: overlapping, each in its own spelling, with gaps.

Everything is written in the systems' own formats, not through our mappings, so that the demo proves something.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


def _words(text: str) -> list[str]:
    return text.split()


GIVEN = _words(
    """Zoë Ágnes Björn Çelik Dmitri Éloïse Fatima Giovanni Håkon Inés Jürgen Katarzyna Lars Małgorzata Noah Oana
Paulo Quentin Rósa Søren Thérèse Uma Věra William Xavier Yusuf Zsófia Anna Ben Clara David Emma Felix Grace Henry Iris
Jack Kate Leo Maria Nina Oscar Petra Robert Sara Tom Ursula Victor"""
)
SURNAME = _words(
    """O'Brien Åström Müller Nguyễn García Dvořák Österberg Kowalski Smith Jones Taylor Brown Wilson Evans Thomas
Roberts Walker Wright Robinson Thompson White Hughes Edwards Green Hall Wood Harris Lewis Martin Jackson Clarke Clark
Turner Hill Cooper Morris Ward Moore Baker Harrison King Morgan Patel Allen James Scott Phillips Watson Davis Parker
Bennett Price Griffiths Young"""
)
STREETS = [
    "High Street",
    "Station Road",
    "Kirkeveien",
    "Rue de la Paix",
    "Hauptstraße",
    "Via Roma",
    "Mill Lane",
    "Church Road",
]
CITIES = [
    ("London", "SW1A 1AA", "UK"),
    ("Leeds", "LS1 4DY", "UK"),
    ("Bath", "BA1 1SU", "UK"),
    ("York", "YO1 7HH", "UK"),
]
FIRMS = ["Acme", "Bäckerei Vogel", "Globex", "Initech", "Umbrella Florists", "Stark Plumbing", "Wayne Books", "Hooli"]
TITLES = ["Owner", "Buyer", "Accountant", "Sales Manager", "Engineer", "Chef"]


@dataclass(frozen=True)
class Person:
    """One made-up person, and in which systems: vtiger, google, carddav."""

    number: int
    given: str
    surname: str
    emails: tuple[str, ...]
    mobile: str
    work: str
    firm: str
    title: str
    street: str
    city: tuple[str, str, str]
    birthday: tuple[int | None, int, int]
    note: str
    systems: frozenset[str]


def people(count: int, seed: int = 1) -> list[Person]:
    """So many people, the same for the same seed."""
    dice = random.Random(seed)
    return [_person(number, dice) for number in range(count)]


def _person(number: int, dice: random.Random) -> Person:
    given, surname = dice.choice(GIVEN), dice.choice(SURNAME)
    plain = f"{given}.{surname}".encode("ascii", "ignore").decode().replace("'", "").lower()
    emails = [f"{plain}{number}@example.com"]
    if dice.random() < 0.3:
        emails.append(f"{plain}.{number}@home.example")
    everywhere = ["vtiger", "google", "carddav"]
    return Person(
        number,
        given,
        surname,
        tuple(emails),
        f"+44 7700 9{number:05d}",
        f"+44 1632 9{number:05d}",
        dice.choice(FIRMS),
        dice.choice(TITLES),
        f"{dice.randint(1, 200)} {dice.choice(STREETS)}",
        dice.choice(CITIES),
        (dice.choice([None, dice.randint(1940, 2005)]), dice.randint(1, 12), dice.randint(1, 28)),
        f"Met at the fair, stand {number}" if dice.random() < 0.4 else "",
        frozenset(dice.sample(everywhere, dice.choice([1, 2, 2, 3]))),
    )


def vtiger_rows(everybody: list[Person]) -> Iterator[dict[str, Any]]:
    """Contacts as vTiger's users typed them: spaces, capitals, the second address missing."""
    for p in everybody:
        if "vtiger" in p.systems:
            city, postcode, country = p.city
            yield {
                "firstname": p.given,
                "lastname": p.surname,
                "email": p.emails[0].capitalize() if p.number % 5 == 0 else p.emails[0],
                "mobile": p.mobile.replace(" ", "") if p.number % 3 == 0 else p.mobile,
                "phone": p.work,
                "title": p.title if p.number % 2 else "",
                "mailingstreet": p.street,
                "mailingcity": city,
                "mailingzip": postcode,
                "mailingcountry": country,
                "description": p.note,
            }


def google_people(everybody: list[Person]) -> Iterator[dict[str, Any]]:
    """Contacts as Google shows them: several addresses, numbers in another format, birthdays without a year."""
    for p in everybody:
        if "google" in p.systems:
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


def vcards(everybody: list[Person]) -> Iterator[tuple[str, str]]:
    """(name, text) of vCards as a phone wrote them: its own label, and a property that nobody else knows."""
    for p in everybody:
        if "carddav" in p.systems:
            year, month, day = p.birthday
            birthday = (
                f"BDAY:{year}-{month:02}-{day:02}" if year else f"BDAY;X-APPLE-OMIT-YEAR=1604:1604-{month:02}-{day:02}"
            )
            lines = [
                "BEGIN:VCARD",
                "VERSION:3.0",
                f"UID:phone-{p.number}",
                f"N:{p.surname};{p.given};;;",
                f"FN:{p.given} {p.surname}",
                f"EMAIL;TYPE=INTERNET,HOME:{p.emails[-1]}",
                f"EMAIL;TYPE=INTERNET,WORK:{p.emails[0]}" if len(p.emails) > 1 else "",
                f"item1.TEL:{p.mobile}",
                "item1.X-ABLabel:Salesman's line",
                birthday,
                f"X-SHOE-SIZE:{36 + p.number % 12}",
                "END:VCARD",
            ]
            yield f"phone-{p.number}.vcf", "\r\n".join(filter(None, lines)) + "\r\n"
