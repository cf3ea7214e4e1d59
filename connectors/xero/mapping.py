"""A contact of Xero and our card. Pure.

Reading (`view`), projecting (`fit`) and writing (`columns`, `row`) go through the same texts, so that what we project
is what Xero will show: `fit` is "written, then read".

A contact is one person or one organisation. Who has a FirstName or a LastName is a person, and a Name that differs from
theirs is the organisation; without both, the contact is an organisation (`kind: org`), or a person known by one text
where the settings say so (`persons`). What is not the contact's own is only shown: Website, IsCustomer, IsSupplier, and
the names of ContactPersons, whose e-mail addresses can be corrected and taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, SLOT, Card, Element, components, full_name, part
from connectors.xero.naming import EMAIL, LONGEST, Contact, company, full, is_person, is_stopgap, line

Columns = dict[str, str]
"""The texts of a contact by slot; of an address by slot and part ("POBOX City")."""

FIELDS: Final = frozenset({"name", "organizations", "emails", "phones", "addresses", "links", "keywords", "groups"})
NAMES: Final = ("FirstName", "LastName")
PERSON: Final = "ContactPerson"
"""Slots of the e-mail addresses of other people at the contact: ContactPerson1, …"""
PHONES: Final[Mapping[str, Mapping[str, Any]]] = {
    "DEFAULT": {},
    "DDI": {"contexts": {"work": True}},
    "MOBILE": {"features": {"mobile": True}},
    "FAX": {"features": {"fax": True}},
}
"""What each type of number says of it (accounting note A)."""
PHONE_LIMIT: Final = 50
POSTAL: Final = ("POBOX", "STREET")
"""Types of addresses. POBOX is the postal one, which invoices show, and holds any address (K)."""
LINE_LIMIT: Final = 500
MOST_LINES: Final = 4
PARTS: Final[Mapping[str, tuple[str, int]]] = {
    "locality": ("City", 255),
    "region": ("Region", 255),
    "postcode": ("PostalCode", 50),
    "country": ("Country", 50),
}
"""Parts of an address and their most characters (accounting note A; the specification's maxLength)."""
ROLES: Final = {"IsCustomer": "customer", "IsSupplier": "supplier"}
TRUNKLESS: Final = frozenset({"39", "378", "379"})
"""Countries in whose numbers the leading 0 is dialled from abroad, too."""


# --- reading ---------------------------------------------------------------------------------------------------------


def view(contact: Contact, persons: bool) -> Card:
    """The card that a contact shows. Element ids are the slots' names; those of groups their ids in Xero.

    persons: a contact without FirstName and LastName is a person, not an organisation.
    """
    card: dict[str, Any] = {}
    first, last = (line(contact.get(prop)) for prop in NAMES)
    organization = company(contact)
    if first or last:
        card["name"] = {"components": components({"given": first, "surname": last})}
    elif organization and persons:
        card["name"], organization = {"full": organization}, ""
    elif organization:
        card["kind"] = "org"
    shelves: dict[str, list[Element]] = {
        "organizations": [{"name": organization, SLOT: "Name"}] if organization else [],
        "emails": list(_emails(contact)),
        "phones": list(_phones(contact)),
        "addresses": list(_addresses(contact)),
        "links": [{"uri": uri, SLOT: "Website"}] if (uri := line(contact.get("Website"), LINE_LIMIT)) else [],
    }
    card |= {field: {str(e[SLOT]): e for e in elements} for field, elements in shelves.items() if elements}
    roles = {word: True for prop, word in ROLES.items() if contact.get(prop) is True}
    groups = {group: {"name": name} for group, name in memberships(contact).items()}
    return card | ({"keywords": roles} if roles else {}) | ({"groups": groups} if groups else {})


def memberships(contact: Contact) -> dict[str, str]:
    """{ContactGroupID: name} of the groups that the contact is in."""
    groups = [group for group in contact.get("ContactGroups") or () if group.get("Status", "ACTIVE") == "ACTIVE"]
    return {str(group["ContactGroupID"]): line(group.get("Name")) for group in groups if line(group.get("Name"))}


def _emails(contact: Contact) -> Iterator[Element]:
    if address := line(contact.get("EmailAddress")):
        yield {"address": address, SLOT: "EmailAddress"}
    for position, person in enumerate(contact.get("ContactPersons") or (), 1):
        if address := line(person.get("EmailAddress")):
            label = full(*(line(person.get(prop)) for prop in NAMES))
            yield {"address": address, **({"label": label} if label else {}), SLOT: f"{PERSON}{position}"}


def _phones(contact: Contact) -> Iterator[Element]:
    for phone in contact.get("Phones") or ():
        kind = phone.get("PhoneType")
        if kind in PHONES and (number := joined(phone)):
            yield {"number": number, **PHONES[kind], SLOT: kind}


def joined(phone: Mapping[str, Any]) -> str:
    """A number in one text. In front of it may stand an area code, and a country code, written in any way."""
    country, area, number = (line(phone.get(f"Phone{prop}")) for prop in ("CountryCode", "AreaCode", "Number"))
    if not number or number.startswith("+"):
        return number
    code = country.lstrip("+").lstrip("0")
    if not code.isdigit():
        return " ".join(filter(None, (country, area, number)))
    parts = [text for text in (area, number) if text]
    if parts[0].startswith("0") and code not in TRUNKLESS:
        parts[0] = parts[0][1:]  # it is dialled within the country only
    return " ".join(filter(None, ("+" + code, *parts)))


def _addresses(contact: Contact) -> Iterator[Element]:
    for address in contact.get("Addresses") or ():
        kind = address.get("AddressType")
        lines = filter(None, (line(address.get(f"AddressLine{n}"), LINE_LIMIT) for n in range(1, MOST_LINES + 1)))
        street = "\n".join(lines)
        parts = components({part: line(address.get(prop)) for part, (prop, _) in PARTS.items()})
        if kind in POSTAL and (street or parts):
            found: dict[str, Any] = {LINES: street} if street else {}
            yield {**found, **({"components": parts} if parts else {}), SLOT: kind}


# --- projecting ------------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None, persons: bool) -> Card:
    """What a contact would show if the card were written over `held`."""
    before = held or {}
    first, last, one = _names(card, persons)
    slotted: dict[str, Any] = {"name": {"components": components({"given": first, "surname": last}), "full": one}}
    for field, settle in _SETTLE.items():
        found = {key: e for key, e in (card.get(field) or {}).items() if isinstance(e, Mapping)}
        slotted[field] = settle(found, before.get(field) or {}, slotted)
    # A text that stands there is shown as it stands, whatever we would not write ourselves.
    standing = set(columns(before).items())
    texts = {
        column: text if (column, text) in standing else storable(column, text)
        for column, text in columns(slotted).items()
    }
    shown_there = view(_contact(texts, slotted["emails"]), persons)
    fitted = {field: value for field, value in shown_there.items() if field == "name" or field in _SETTLE}
    for field in _SETTLE.keys() & fitted.keys():
        names = {element[SLOT]: key for key, element in slotted[field].items()}
        fitted[field] = {names[slot]: e for slot, e in fitted[field].items() if slot in names}
    if card.get("kind") == "org" and "kind" in shown_there:
        fitted["kind"] = "org"
    fitted |= {"links": _still(card, before), "keywords": _roles(card, before), "groups": _groups(card, before)}
    return {field: value for field, value in fitted.items() if value}


def _names(card: Card, persons: bool) -> tuple[str, str, str]:
    """(FirstName, LastName, one text for Name). Whoever has neither is called by the best there is: as LastName, which
    tells a person from an organisation, or by Name where that is read as a person."""
    name = card.get("name") or {}
    first, last = line(part(name, "given")), line(part(name, "surname"))
    if first or last:
        return first, last, ""
    companies = any(_company(e, "", "") for e in (card.get("organizations") or {}).values())
    if companies and card.get("kind") == "org":
        return "", "", ""
    telling = [c for c in name.get("components") or () if c["kind"] != "title"]
    nicknames = {"nicknames": card.get("nicknames") or {}}
    best = line(full_name({"name": {**name, "components": telling}})) or line(full_name(nicknames))
    return ("", "", best) if persons and not companies else ("", best, "")


def _company(element: Element, first: str, last: str) -> str:
    """What this organisation would be called in Name, where that can tell it from the person."""
    name = line(element.get("name"))
    return "" if is_stopgap(name) or is_person(name, first, last) else name


Elements = Mapping[str, Element]


def _settle_organizations(found: Elements, held: Elements, slotted: Mapping[str, Any]) -> Elements:
    if slotted["name"]["full"]:
        return {}
    first, last = _parts(slotted)
    return _settled({k: ["Name"] for k, e in found.items() if _company(e, first, last)}, found, held)


def _settle_emails(found: Elements, held: Elements, slotted: Mapping[str, Any]) -> Elements:
    """Nobody is made a contact person: only those that are there keep their address."""
    good = {k: e for k, e in found.items() if _stands(k, e, held, "address") or storable("EmailAddress", _address(e))}
    settled = dict(_settled({key: ["EmailAddress"] for key in good}, good, held, PERSON))
    for key, element in settled.items():
        if element[SLOT] != "EmailAddress":
            label = (held.get(key) or element).get("label")
            kept = {prop: value for prop, value in element.items() if prop != "label"}
            settled[key] = {**kept, **({"label": label} if label else {})}
    return settled


def _settle_phones(found: Elements, held: Elements, slotted: Mapping[str, Any]) -> Elements:
    fitting = {k: _phone_slots(e) for k, e in found.items() if 0 < len(_number(e)) <= PHONE_LIMIT}
    return _settled(fitting, found, held)


def _settle_addresses(found: Elements, held: Elements, slotted: Mapping[str, Any]) -> Elements:
    good = [k for k, e in found.items() if any(storable(c, t) for c, t in _address_columns("POBOX", e).items())]
    return _settled({key: list(POSTAL) for key in good}, found, held)


_SETTLE: Final = {
    "organizations": _settle_organizations,
    "emails": _settle_emails,
    "phones": _settle_phones,
    "addresses": _settle_addresses,
}


def _settled(wanted: Mapping[str, Sequence[str]], found: Elements, held: Elements, open_to: str = "") -> Elements:
    """The elements that find a slot. What stands in one stays while that is still true of it; the others take what is
    free: who has the least choice first, then the preferred.

    wanted: {id: slots that are true of the element, best first}. open_to: where an element stands in a slot whose name
    begins so, it may stay there, too.
    """
    slots: dict[str, str] = {}
    for source in (found, held):
        for key in wanted:
            slot = str((source.get(key) or {}).get(SLOT, ""))
            allowed = slot in wanted[key] or bool(open_to and slot.startswith(open_to))
            if allowed and key not in slots and slot not in slots.values():
                slots[key] = slot
    waiting = [key for key in wanted if key not in slots]
    for key in sorted(waiting, key=lambda k: (len(wanted[k]), found[k].get("pref") or 100, k)):
        free = next((slot for slot in wanted[key] if slot not in slots.values()), None)
        if free:
            slots[key] = free
    return {key: {**found[key], SLOT: slot} for key, slot in slots.items()}


def _phone_slots(element: Element) -> list[str]:
    """The types that say nothing false of a number, the best first."""
    features, contexts = element.get("features") or {}, element.get("contexts") or {}
    if features.get("fax"):
        return ["FAX"]
    if features.get("mobile"):
        return ["MOBILE", "DEFAULT"]
    # A number that says nothing may be anything; of a private one nobody may say that it is at work.
    return ["DEFAULT"] if contexts.get("private") else ["DEFAULT", "DDI"]


def _stands(key: str, element: Element, held: Elements, prop: str) -> bool:
    return key in held and held[key].get(prop) == element.get(prop)


def _still(card: Card, held: Card) -> Elements:
    """The website, while the card has it as Xero shows it: it cannot be written (accounting note A)."""
    there = held.get("links") or {}
    return {k: there[k] for k, e in (card.get("links") or {}).items() if k in there and _stands(k, e, there, "uri")}


def _roles(card: Card, held: Card) -> Mapping[str, bool]:
    """Who buys and who sells is known by Xero from the invoices; nobody else can say it."""
    return {word: True for word in card.get("keywords") or {} if word in (held.get("keywords") or {})}


def _groups(card: Card, held: Card) -> Elements:
    """The groups, one of a name."""
    there, kept = held.get("groups") or {}, dict[str, str]()
    found = {key: line(e.get("name")) for key, e in (card.get("groups") or {}).items()}
    for key in sorted(found, key=lambda k: (k not in there, k)):
        if found[key]:
            kept.setdefault(found[key].casefold(), key)
    return {key: {"name": found[key]} for key in found if key in kept.values()}


# --- writing ---------------------------------------------------------------------------------------------------------


def columns(card: Card) -> Columns:
    """The texts of a view, blank where it says nothing. Elements stand where their slot says."""
    first, last = _parts(card)
    texts = {"FirstName": first, "LastName": last}
    texts |= dict.fromkeys(("EmailAddress", *PHONES), "")
    for slot in POSTAL:
        texts |= _address_columns(slot, {})
    organization = ""
    for element in (card.get("organizations") or {}).values():
        organization = line(element.get("name")) if element.get(SLOT) == "Name" else organization
    texts |= {str(e[SLOT]): _address(e) for e in (card.get("emails") or {}).values() if SLOT in e}
    texts |= {str(e[SLOT]): _number(e) for e in (card.get("phones") or {}).values() if SLOT in e}
    for element in (card.get("addresses") or {}).values():
        texts |= _address_columns(str(element[SLOT]), element) if SLOT in element else {}
    known = (texts["EmailAddress"], *(texts[slot] for slot in PHONES))
    own = line(full(first, last)) or line((card.get("name") or {}).get("full"))
    texts["Name"] = organization or own or next(filter(None, known), "")
    return texts


def _parts(card: Card) -> tuple[str, str]:
    name = card.get("name") or {}
    return line(part(name, "given")), line(part(name, "surname"))


def _address(element: Element) -> str:
    return line(element.get("address"), LINE_LIMIT)


def _number(element: Element) -> str:
    return line(element.get("number"), LINE_LIMIT)


def _address_columns(slot: str, element: Element) -> Columns:
    """The texts of an address. A post-office box has no place of its own: it is a line."""
    text = element.get(LINES) or ("" if element.get("components") else element.get("full")) or ""
    lines = [kept for each in str(text).split("\n") if (kept := line(each, LINE_LIMIT))]
    box = line(part(element, ADDRESS_KINDS[0]))
    if box and box not in lines:
        lines.append(box)
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], line(", ".join(lines[MOST_LINES - 1 :]), LINE_LIMIT)]
    parts = {f"{slot} {prop}": line(part(element, kind), limit) for kind, (prop, limit) in PARTS.items()}
    return {f"{slot} lines": "\n".join(lines), **parts}


def storable(column: str, text: str) -> str:
    """The text, or "" where Xero would refuse the whole contact for it: an e-mail address with other letters than
    English ones, a country that is no word (accounting note A)."""
    if column == "EmailAddress" or column.startswith(PERSON):
        return text if text.isascii() and EMAIL.fullmatch(text) and len(text) <= LONGEST else ""
    if column.endswith(" Country"):
        return text if all(sign.isalpha() or sign in " .,'’&()-" for sign in text) else ""
    return text


def _contact(texts: Columns, emails: Elements) -> dict[str, Any]:
    """A contact that holds these texts, for `view`. emails: with the names of the contact persons as labels."""
    labels = {str(e[SLOT]): str(e.get("label") or "") for e in emails.values()}
    numbers = {int(slot.removeprefix(PERSON)): slot for slot in texts if slot.startswith(PERSON)}
    people = [
        {"FirstName": labels.get(numbers[n], ""), "EmailAddress": texts[numbers[n]]} if n in numbers else {}
        for n in range(1, max(numbers, default=0) + 1)
    ]
    return {**row({}, texts), "ContactPersons": people}


def difference(card: Card, held: Card) -> Columns:
    """The texts that must be written to turn `held` into `card`; "" clears. A name cannot be cleared."""
    before, after = columns(held), columns(card)
    texts = {column: after.get(column, "") for column in {**before, **after}}
    return {c: text for c, text in texts.items() if text != before.get(c, "") and (text or c != "Name")}


def row(contact: Contact, changes: Columns) -> dict[str, Any]:
    """What to send to write these texts into the contact as it is there now ({}: into a new one).

    Omitted properties are kept; phones and addresses merge by type, contact persons are replaced as a list (accounting
    note A). A number goes whole into PhoneNumber: nobody knows where its codes end.
    """
    found: dict[str, Any] = {"ContactID": contact["ContactID"]} if contact else {}
    found["Name"] = changes.get("Name") or contact.get("Name", "")
    found |= {prop: changes[prop] for prop in (*NAMES, "EmailAddress") if prop in changes}
    phones = [
        {"PhoneType": slot, "PhoneNumber": changes[slot], "PhoneAreaCode": "", "PhoneCountryCode": ""}
        for slot in PHONES
        if slot in changes
    ]
    addresses = [
        {"AddressType": slot, **_address_row(slot, changes)}
        for slot in POSTAL
        if any(column.startswith(slot + " ") for column in changes)
    ]
    persons = _persons(contact, changes)
    found |= {"Phones": phones} if phones else {}
    found |= {"Addresses": addresses} if addresses else {}
    return found | ({"ContactPersons": persons} if persons else {})


def _address_row(slot: str, changes: Columns) -> dict[str, str]:
    props = {prop: changes[f"{slot} {prop}"] for prop, _ in PARTS.values() if f"{slot} {prop}" in changes}
    if f"{slot} lines" not in changes:
        return props
    lines = changes[f"{slot} lines"].split("\n")
    return {f"AddressLine{n + 1}": (lines[n] if n < len(lines) else "") for n in range(MOST_LINES)} | props


def _persons(contact: Contact, changes: Columns) -> list[dict[str, Any]]:
    """All contact persons, with the addresses that change; none where none does. Who loses the address stays: [] would
    not clear the list (accounting note A), and the name is somebody's."""
    people = [dict(person) for person in contact.get("ContactPersons") or ()]
    changed = False
    for position, person in enumerate(people, 1):
        if f"{PERSON}{position}" in changes:
            person["EmailAddress"], changed = changes[f"{PERSON}{position}"], True
    return people if changed else []


def new(card: Card) -> dict[str, Any]:
    """A new contact that holds this card; blanks are left out."""
    return row({}, {column: text for column, text in columns(card).items() if text})


def joins_and_leaves(card: Card, held: Card) -> tuple[list[str], list[str]]:
    """(groups to join, groups to leave), by name, of a record that is to show `card` instead of `held`."""
    wanted, there = _group_names(card), _group_names(held)
    join = [name for folded, name in wanted.items() if folded not in there]
    return join, [name for folded, name in there.items() if folded not in wanted]


def _group_names(card: Card) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in (card.get("groups") or {}).values():
        if name := line(element.get("name")):
            found.setdefault(name.casefold(), name)
    return found


def blank(contact: Contact) -> dict[str, Any]:
    """What to send so that nothing personal of ours is left in a contact. What the law wants kept (tax number, bank
    details, the invoices) is not ours to take."""
    texts = columns(view(contact, persons=False))
    texts |= dict.fromkeys(texts, "")
    found = {**row(contact, texts), "Name": f"Erased {contact['ContactID']}", "ContactNumber": ""}
    if contact.get("ContactPersons"):
        found["ContactPersons"] = [{"FirstName": "", "LastName": "", "EmailAddress": "", "IncludeInEmails": False}]
    return found


def same_address(text: Any) -> str:
    """An e-mail address, comparable."""
    return line(text).casefold()
