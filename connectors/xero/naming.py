"""What a Xero contact is called: whose name `Name` is, and the mark that makes it unique. Pure.

`Name` must be unique among active contacts (accounting note A). Where another contact has the name already, ours gets
a mark behind it, " (3f09ac)". The mark is made of what the record itself carries (our key in ContactNumber, else its
ContactID), so it is recognised without remembering anything, and is taken off again before anybody sees it: it is
Xero's own and never enters a card. What a human typed in brackets is never taken for one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.card import fold

Contact = Mapping[str, Any]

KEY_PREFIX: Final = "concord-"
"""Our key stands in ContactNumber (accounting note A, at most 50 characters). No colon: the number becomes part of an
address, where Xero's kind of server refuses one."""
LONGEST: Final = 255
"""Characters of Name, FirstName, LastName, EmailAddress (accounting note A)."""
EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+")
_NUMBER: Final = re.compile(r"[+(]?[\d][\d\s()./-]{4,}")


def line(value: Any, limit: int = LONGEST) -> str:
    """A text as a field of one line keeps it."""
    return " ".join(value.split())[:limit].rstrip() if isinstance(value, str) else ""


def number_of(key: str) -> str:
    """The ContactNumber of a record that we make."""
    return KEY_PREFIX + key


def key_of(contact: Contact) -> str | None:
    """Our key, where the contact carries it."""
    number = line(contact.get("ContactNumber"))
    return number.removeprefix(KEY_PREFIX) if number.startswith(KEY_PREFIX) else None


def mark(contact: Contact) -> str:
    """The mark that makes this contact's name unique."""
    return _marks(contact)[0]


def _marks(contact: Contact) -> list[str]:
    # The key comes later than the id where a contact of theirs is given one.
    told = (key_of(contact), str(contact.get("ContactID") or "").lower())
    return [f" ({hashlib.sha256(text.encode()).hexdigest()[:6]})" for text in told if text]


def marked(name: str, contact: Contact) -> str:
    """The name with the mark of this contact."""
    own = mark(contact)
    return name[: LONGEST - len(own)].rstrip() + own


def shown(contact: Contact) -> str:
    """The contact's Name without the mark."""
    name = line(contact.get("Name"))
    return next((name.removesuffix(own) for own in _marks(contact) if name.endswith(own)), name)


def full(first: str, last: str) -> str:
    """A person's name as Xero writes it."""
    return f"{first} {last}".strip()


def is_person(name: str, first: str, last: str) -> bool:
    """Is this the name of the person of these two names, in whatever order?"""
    if not first and not last:
        return False
    return fold(name) in (fold(line(full(first, last))), fold(line(full(last, first))))


def is_stopgap(name: str) -> bool:
    """Is this an address or a number that stands where nobody knew a name?"""
    return bool(EMAIL.fullmatch(name) or _NUMBER.fullmatch(name))


def company(contact: Contact) -> str:
    """The organisation that the contact's Name names; "" where it names the person, or nobody."""
    name = shown(contact)
    first, last = line(contact.get("FirstName")), line(contact.get("LastName"))
    return "" if is_stopgap(name) or is_person(name, first, last) else name
