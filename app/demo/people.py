"""Made-up people, and in which systems each of them stands: overlapping, with gaps."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from typing import Literal

Newsletter = Literal["subscribed", "unsubscribed", "cleaned"]


def _words(text: str) -> list[str]:
    return text.split()


GIVEN = _words(
    """Zoë Ágnes Björn Çelik Dmitri Éloïse Fatima Giovanni Håkon Inés Jürgen Katarzyna Lars Małgorzata Noah Oana
Paulo Quentin Rósa Søren Thérèse Uma Věra William Xavier Yusuf Zsófia Anna Benjamin Clara David Emma Felix Grace Henry
Iris John Leonard Maria Nina Oscar Petra Robert Sara Thomas Ursula Victor"""
)
SHORT = {
    "William": "Bill",
    "Anna": "Annie",
    "Benjamin": "Ben",
    "David": "Dave",
    "John": "Jack",
    "Leonard": "Leo",
    "Robert": "Bob",
    "Thomas": "Tom",
}
"""What friends call them, and their own phones."""
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
CITIES = [("London", "SW1A 1AA"), ("Leeds", "LS1 4DY"), ("Bath", "BA1 1SU"), ("York", "YO1 7HH")]
COUNTRY = "United Kingdom"
FIRMS = ["Acme", "Bäckerei Vogel", "Globex", "Initech", "Umbrella Florists", "Stark Plumbing", "Wayne Books", "Hooli"]
TITLES = ["Owner", "Buyer", "Accountant", "Sales Manager", "Engineer", "Chef"]
GOODS = [
    ("Tulips, a bunch", "4.50"),
    ("Delivery", "12.00"),
    ("Wedding arrangement", "180.00"),
    ("Potted olive", "39.90"),
]
SEATS = ("vtiger", "sugarcrm", "google", "mailchimp", "accounting", "phones")
COUPLE = 25
"""Every so many-th person shares an e-mail address with the one before: a couple."""


@dataclass(frozen=True)
class Person:
    """One made-up person.

    systems: where they stand, among `SEATS`; only customers stand in accounting. short: what their phone calls them.
    newsletter: how they stand in Mailchimp, if they do; signed_up: they filled in the form themselves.
    no_mail, no_calls: somebody ticked the box in the CRMs that have them.
    invoices: of each its lines, (text, quantity, price of one).
    """

    number: int
    given: str
    short: str
    surname: str
    emails: tuple[str, ...]
    mobile: str
    work: str
    firm: str
    title: str
    street: str
    city: tuple[str, str]
    birthday: tuple[int | None, int, int]
    note: str
    systems: frozenset[str]
    newsletter: Newsletter
    signed_up: bool
    no_mail: bool
    no_calls: bool
    invoices: tuple[tuple[tuple[str, str, str], ...], ...]

    @property
    def silenced(self) -> frozenset[str]:
        """The addresses at which nobody may write to them."""
        in_crm = self.systems & {"vtiger", "sugarcrm"}
        left = {self.emails[0]} if "mailchimp" in self.systems and self.newsletter == "unsubscribed" else set()
        return frozenset(left | (set(self.emails) if self.no_mail and in_crm else set()))


def mobile(number: int) -> str:
    """The mobile of the person of that number; the first thousand, as of landlines, are kept free for drama."""
    return f"+44 7700 9{number:05d}"


def _landline(number: int) -> str:
    digits = f"{79_460_000 + number}"
    return f"+44 20 {digits[:4]} {digits[4:]}"


def people(count: int, seed: int = 1) -> list[Person]:
    """So many people, the same for the same seed."""
    dice = random.Random(seed)
    made: list[Person] = []
    for number in range(count):
        made.append(_person(number, dice, made[-1] if number % COUPLE == COUPLE - 1 else None))
    return made


def _person(number: int, dice: random.Random, partner: Person | None) -> Person:
    given = dice.choice([name for name in GIVEN if partner is None or name[0] != partner.given[0]])
    surname = partner.surname if partner else dice.choice(SURNAME)
    plain = _in_ascii(f"{given}.{surname}").replace("'", "").lower()
    emails = [partner.emails[0] if partner else f"{plain}{number}@example.com"]
    if partner or dice.random() < 0.3:
        emails.append(f"{plain}.{number}@home.example")
    # An audience has one member of an address: of a couple it knows one.
    seats = [seat for seat in SEATS if not (partner and seat in ("mailchimp", "accounting"))]
    systems = frozenset(dice.sample(seats, dice.choice([1, 2, 3, 3, 4])))
    year = dice.choice([None, dice.randint(1940, 2005)])
    return Person(
        number=number,
        given=given,
        short=SHORT.get(given, given),
        surname=surname,
        emails=tuple(emails),
        mobile=mobile(number),
        work=_landline(number),
        firm=dice.choice(FIRMS),
        title=dice.choice(TITLES),
        street=f"{dice.randint(1, 200)} {dice.choice(STREETS)}",
        city=dice.choice(CITIES),
        birthday=(year, dice.randint(1, 12), dice.randint(1, 28)),
        note=f"Met at the fair, stand {number}" if dice.random() < 0.4 else "",
        systems=systems,
        newsletter=dice.choices(("subscribed", "unsubscribed", "cleaned"), (78, 16, 6))[0],
        signed_up=dice.random() < 0.5,
        no_mail=dice.random() < 0.06,
        no_calls=dice.random() < 0.06,
        invoices=tuple(_invoice(dice) for _ in range(dice.choices((0, 1, 2), (17, 2, 1))[0])),
    )


def _in_ascii(name: str) -> str:
    """As people spell themselves in an address."""
    plain = name.replace("ø", "o").replace("ł", "l")
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


def _invoice(dice: random.Random) -> tuple[tuple[str, str, str], ...]:
    return tuple((text, str(dice.randint(1, 6)), price) for text, price in dice.sample(GOODS, dice.choice([1, 2])))
