"""A row of SugarCRM's Contacts or Leads and our card. Pure; the same for all three protocols.

A row is what a protocol's client made of an answer, under SugarCRM's own field names (note, field map):

    {column: text, …,  "do_not_call": flag,
     "email": [{"email_address", "primary_address", "opt_out", "invalid_email"}],
     "tag": [{"id", "name"}],               where the protocol has tags
     "concord:lists": [{"id", "name"}]}     target lists (ProspectLists); absent: not read

A card's groups are target lists (a record is a member of them, and mail goes out to them); its keywords are tags.
An organisation is `account_name`: of a contact the name of the account it is linked to, of a lead free text. Contacts
and Leads have the same fields, so `fit` is the same for both.

Reading (`view`), projecting (`fit`) and writing (`difference`) go through the same table of places, so that what we
project is what SugarCRM will show: `fit` is "written, cut, then read". What a protocol keeps of a text beyond the
columns' lengths is its `Dialect`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.card import SLOT, Card, Element, components, digest, email_key, fold, full_name, part
from connectors.consent import Consent
from connectors.sugarcrm.places import (
    COLUMNS,
    EXEMPT,
    FIELDS,
    LIMITS,
    LISTS,
    MANDATORY,
    MODULES,
    NAME,
    ORGANIZATION,
    PLACES,
    SLOTS,
    Columns,
    Dialect,
    Place,
    Row,
    flag,
    no_emoji,
    storable,
    text,
)

__all__ = [
    "COLUMNS",
    "EXEMPT",
    "KEY_PREFIX",
    "LIMITS",
    "LISTS",
    "MANDATORY",
    "MODULES",
    "NAME",
    "ORGANIZATION",
    "PLACES",
    "Change",
    "Columns",
    "Dialect",
    "ListChange",
    "Row",
    "addresses",
    "columns",
    "consents",
    "difference",
    "do_not_call",
    "email_list",
    "fit",
    "flag",
    "flags_of",
    "key",
    "module_and_row",
    "no_emoji",
    "record_id",
    "storable",
    "text",
    "version",
    "view",
]

KEY_PREFIX: Final = "concord-"
"""What our key begins with wherever it is kept: other programs keep theirs in the same places."""

# --- ids and keys ----------------------------------------------------------------------------------------------


def record_id(module: str, row: str) -> str:
    """The id of a record: of a contact SugarCRM's own, of any other module's with the module in front."""
    return row if module == "Contacts" else f"{module}/{row}"


def module_and_row(record: str) -> tuple[str, str]:
    """(module, id of the row) of a record's id."""
    module, slash, row = record.rpartition("/")
    return (module, row) if slash else ("Contacts", record)


def key(value: Any) -> str | None:
    """Our key, where this is one."""
    found = isinstance(value, str) and value.startswith(KEY_PREFIX)
    return value.removeprefix(KEY_PREFIX) if found else None


# --- reading -----------------------------------------------------------------------------------------------------


def view(row: Row) -> Card:
    """The card that a row shows. Element ids are the slots' names, of lists positions."""
    card: dict[str, Any] = {}
    parts = {kind: text(row, column) for kind, column in NAME.items()}
    if any(parts.values()):
        card["name"] = {"components": components(parts)}
    for place in PLACES:
        element = place.read(row)
        if element is not None:
            card.setdefault(place.field, {})[place.slot] = element
    emails = addresses(row)
    if emails:
        card["emails"] = {str(n): _email(item["email_address"], n == 1) for n, item in enumerate(emails, 1)}
    tags = dict.fromkeys(_names(row.get("tag")), True)
    if tags:
        card["keywords"] = tags
    lists = {str(item["id"]): {"name": item["name"]} for item in _named(row.get(LISTS))}
    if lists:
        card["groups"] = lists
    return card


def _email(address: str, primary: bool) -> Element:
    return {"address": address, "pref": 1} if primary else {"address": address}


def addresses(row: Row) -> list[Mapping[str, Any]]:
    """The items of `email`, the primary one first, then by address: whatever order they came in, one state is one
    list. An address that stands there twice is one."""
    items = [item for item in _items(row.get("email")) if text(item, "email_address")]
    items.sort(key=lambda item: (not flag(item.get("primary_address")), email_key(item["email_address"])))
    return list({email_key(item["email_address"]): item for item in reversed(items)}.values())[::-1]


def _items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; PHP writes an empty one as [] or {} or "" (note B)."""
    found = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [item for item in found if isinstance(item, Mapping)]


def _named(value: Any) -> list[Mapping[str, Any]]:
    """The named things of a list, each name once, in a fixed order."""
    items = [item for item in _items(value) if text(item, "name")]
    items.sort(key=lambda item: (fold(item["name"]), str(item.get("id", ""))), reverse=True)
    found = {item["name"].strip().casefold(): item for item in items}
    return list(found.values())[::-1]


def _names(value: Any) -> list[str]:
    return [str(item["name"]) for item in _named(value)]


def consents(row: Row) -> list[Consent]:
    """All places for consent of a row: each address, and "do not call". Off is `unknown`: that nobody objected is no
    consent. An address's flags belong to all records that have it (note A3)."""
    found = [Consent("email", item["email_address"], _state(item)) for item in addresses(row)]
    return [*found, Consent("phone", "", "withdrawn" if flag(row.get("do_not_call")) else "unknown")]


def _state(item: Mapping[str, Any]) -> Any:
    if flag(item.get("opt_out")):
        return "withdrawn"
    return "undeliverable" if flag(item.get("invalid_email")) else "unknown"


def version(row: Row, shown: Card, agreed: Sequence[Consent]) -> str:
    """What we call a row's state: `date_modified` steps by a second and does not move with lists and flags, so a digest
    goes with it."""
    states = [f"{consent.channel}:{consent.address}:{consent.state}" for consent in agreed]
    return f"{row.get('date_modified')}/{digest({**shown, 'consents': states})[:10]}"


# --- projecting --------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None, dialect: Dialect) -> Card:
    """What a row would show if the card were written over `held`."""
    before = held or {}
    stored = _Stored(columns(before), dialect)
    fitted: dict[str, Any] = {}
    for card_field, places in FIELDS.items():
        found = card.get(card_field) or {}
        settled = _settle(found, before.get(card_field) or {}, places, stored)
        shown = {
            key: element
            for key, place in settled.items()
            if (element := place.read(stored(place.write(found[key])))) is not None
        }
        if shown:
            fitted[card_field] = shown
    fitted |= _filled(
        name=_fit_name(card, stored),
        emails=_fit_emails(card.get("emails") or {}, before.get("emails") or {}, stored),
        groups=_fit_groups(card.get("groups") or {}, before.get("groups") or {}, stored),
    )
    if dialect.tags:
        fitted |= _filled(keywords=_fit_keywords(card.get("keywords") or {}, before.get("keywords") or {}, stored))
    return fitted


def _filled(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


class _Stored:
    """What SugarCRM will show of texts that are sent. A text that stands there already is shown as it stands."""

    def __init__(self, standing: Mapping[str, str], dialect: Dialect) -> None:
        self._standing, self._dialect = standing, dialect

    def __call__(self, written: Mapping[str, str]) -> Columns:
        return {column: self.kept(column, value) for column, value in written.items()}

    def kept(self, column: str, value: str) -> str:
        return value if value == self._standing.get(column) else storable(column, value, self._dialect)


def _fit_name(card: Card, stored: _Stored) -> dict[str, Any]:
    name = card.get("name") or {}
    found = stored({column: part(name, kind) for kind, column in NAME.items()})
    if not found[MANDATORY]:
        # Whoever has only a given name gets it as last name, so that nobody reads it twice.
        best = (stored.kept(MANDATORY, value) for value in _called(card))
        found[MANDATORY] = next(filter(None, best), "")
        found[NAME["given"]] = ""
    parts = {kind: found[column] for kind, column in NAME.items()}
    return {"components": components(parts)} if any(parts.values()) else {}


def _called(card: Card) -> Iterator[str]:
    """What a person may be called by, the best first. A title is no name."""
    name = card.get("name") or {}
    yield part(name, "given")
    yield full_name({"name": {**name, "components": [c for c in name.get("components") or () if c["kind"] != "title"]}})
    for card_field in ("nicknames", "organizations", "emails", "phones"):
        yield full_name({card_field: card.get(card_field) or {}})


def _fit_emails(found: Mapping[str, Element], held: Mapping[str, Element], stored: _Stored) -> dict[str, Any]:
    """Any number of addresses, each once; one is the primary one."""
    standing = {str(element.get("address") or "") for element in held.values()}
    kept: dict[str, str] = {}
    for key in sorted(found, key=lambda key: (key not in held, list(found).index(key))):
        address = str(found[key].get("address") or "").strip()
        plausible = address in standing or (_ADDRESS.fullmatch(address) and stored.kept("email", address))
        if plausible and email_key(address) not in map(email_key, kept.values()):
            kept[key] = address
    primary = _primary({key: found[key] for key in found if key in kept}, held)
    return {key: _email(kept[key], key == primary) for key in found if key in kept}


_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+")
"""What an address must look like: SugarCRM refuses the whole record for another (v11), or stores it blank (note B)."""


def _primary(found: Mapping[str, Element], held: Mapping[str, Element]) -> str | None:
    """The key of the primary address: the preferred one; among equals the one that is it already, else the first."""
    order = list(found)
    return min(
        found,
        key=lambda key: (found[key].get("pref") or 100, (held.get(key) or {}).get("pref") or 100, order.index(key)),
        default=None,
    )


def _fit_keywords(found: Mapping[str, Any], held: Mapping[str, Any], stored: _Stored) -> dict[str, bool]:
    """Tags of one name but for letter case are one tag."""
    kept: dict[str, str] = {}
    for name in sorted(found, key=lambda name: (name not in held, name)):
        if name in held or (name.strip() == name and stored.kept("tag", name)):
            kept.setdefault(name.casefold(), name)
    return {name: True for name in found if name in kept.values()}


def _fit_groups(found: Mapping[str, Element], held: Mapping[str, Element], stored: _Stored) -> dict[str, Any]:
    standing = {str(element.get("name") or "") for element in held.values()}
    kept: dict[str, tuple[str, str]] = {}
    for key in sorted(found, key=lambda key: (key not in held, list(found).index(key))):
        name = str(found[key].get("name") or "").strip()
        if name and (name in standing or stored.kept(LISTS, name)):
            kept.setdefault(name.casefold(), (key, name))
    names = dict(kept.values())
    return {key: {"name": names[key]} for key in found if key in names}


def _settle(
    found: Mapping[str, Element], held: Mapping[str, Element], places: tuple[Place, ...], stored: _Stored
) -> dict[str, Place]:
    """Which element stands where. What stands in a place stays while that place is still true of it; the others take
    what is free, the preferred first."""
    shelf = {place.slot: place for place in places}
    settled: dict[str, Place] = {}
    wanted = {key: element for key, element in found.items() if _holdable(element, places, stored)}
    for source in (wanted, held):
        for key, element in wanted.items():
            place = shelf.get((source.get(key) or {}).get(SLOT, ""))
            if place and key not in settled and place not in settled.values() and _may_stay(place, element):
                settled[key] = place
    for key in sorted(wanted, key=lambda k: wanted[k].get("pref") or 100):
        if key not in settled:
            free = (place for place in _candidates(wanted[key], places) if place not in settled.values())
            place = next(free, None)
            if place:
                settled[key] = place
    return settled


def _holdable(element: Element, places: tuple[Place, ...], stored: _Stored) -> bool:
    """Is there anything of this element that a column could show?"""
    kind = places[0].marks.get("kind")
    if kind and element.get("kind") != kind:
        return False
    return any(place.read(stored(place.write(element))) is not None for place in places)


def _says(element: Element) -> list[str]:
    """What a phone says of itself, in the words of the places; the strongest first."""
    features, contexts = element.get("features") or {}, element.get("contexts") or {}
    if features.get("fax"):
        return ["fax"]
    return [word for word in ("mobile", "work", "private") if features.get(word) or contexts.get(word)]


def _may_stay(place: Place, element: Element) -> bool:
    """Does the place say nothing that the element contradicts?"""
    if place.field != "phones":
        return True
    says = _says(element)
    return not says or place.says in says or (not place.says and says != ["fax"])


def _candidates(element: Element, places: tuple[Place, ...]) -> list[Place]:
    """The places for a newcomer, best first. A number that says nothing is not called mobile or private."""
    if places[0].field != "phones":
        return list(places)
    says = _says(element)
    own = [place for word in says for place in places if place.says == word]
    if says == ["fax"]:
        return own
    return own + [place for word in ("", *([] if says else ["work"])) for place in places if place.says == word]


# --- writing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListChange:
    """What comes into a list and what goes out of it: addresses, names of tags, names of target lists. What is in
    neither stays as it is."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


@dataclass(frozen=True)
class Change:
    """What must be written.

    columns: text columns, "" clears; `ORGANIZATION` among them. emails: addresses; primary: the one that is to be the
    primary one, "" for the one that is. tags, lists: names.
    """

    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    emails: ListChange = ListChange()
    primary: str = ""
    tags: ListChange = ListChange()
    lists: ListChange = ListChange()

    def __bool__(self) -> bool:
        return bool(self.columns or self.emails or self.primary or self.tags or self.lists)


def columns(card: Card) -> Columns:
    """All text columns of a view, blank where it says nothing. Elements stand where their slot says."""
    written = dict.fromkeys(COLUMNS, "")
    name = card.get("name") or {}
    written |= {column: part(name, kind) for kind, column in NAME.items()}
    for card_field, value in card.items():
        for element in value.values() if card_field in FIELDS and isinstance(value, Mapping) else ():
            place = SLOTS.get(element.get(SLOT, ""))
            if place is not None and place.field == card_field:
                written |= place.write(element)
    return written


def difference(card: Card, held: Card) -> Change:
    """What must be written to turn `held` into `card`; of a create (`held` empty) all that is in it."""
    before = columns(held)
    emails, standing = card.get("emails") or {}, held.get("emails") or {}
    edit = _edit(_texts(emails, "address"), _texts(standing, "address"), email_key)
    now, was = _primary_address(emails), _primary_address(standing)
    moved = bool(now) and (email_key(now) != email_key(was))
    return Change(
        columns={column: value for column, value in columns(card).items() if value != before[column]},
        emails=edit,
        primary=now if moved else "",
        tags=_edit(list(card.get("keywords") or {}), list(held.get("keywords") or {}), str.casefold),
        lists=_edit(_texts(card.get("groups") or {}, "name"), _texts(held.get("groups") or {}, "name"), _folded),
    )


def _folded(name: str) -> str:
    return name.strip().casefold()


def _texts(elements: Mapping[str, Element], prop: str) -> list[str]:
    return [str(element[prop]) for element in elements.values() if element.get(prop)]


def _primary_address(emails: Mapping[str, Element]) -> str:
    found = _primary(emails, {})
    return str(emails[found].get("address") or "") if found is not None else ""


def _edit(now: Iterable[str], was: Iterable[str], folded: Callable[[str], str]) -> ListChange:
    after, before = {folded(value): value for value in now}, {folded(value): value for value in was}
    return ListChange(
        tuple(value for key, value in after.items() if key not in before),
        tuple(value for key, value in before.items() if key not in after),
    )


def email_list(
    items: Any, change: Change, agreed: Iterable[Consent] = (), known: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The list of addresses with a change and consents written into it: [{email_address, primary_address, opt_out,
    invalid_email}].

    items: the list as it is there now, which is not touched beyond the change. known: {folded address: the flags it has
    with other records}: an address that comes to this record brings them along (note A3). agreed: what must be shown.
    """
    gone = {email_key(address) for address in change.emails.removed}
    found = {email_key(i["email_address"]): dict(i) for i in addresses({"email": items})}
    kept = {at: item for at, item in found.items() if at not in gone}
    for address in change.emails.added:
        flags = (known or {}).get(email_key(address), {})
        kept.setdefault(email_key(address), {"email_address": address, **flags})
    wanted = {consent.place[1]: consent.state for consent in agreed if consent.channel == "email"}
    primary = email_key(change.primary)
    if primary not in kept:
        primary = next((at for at, item in kept.items() if flag(item.get("primary_address"))), next(iter(kept), ""))
    return [
        {
            "email_address": item["email_address"],
            "primary_address": at == primary,
            **flags_of(item, wanted.get(at)),
        }
        for at, item in kept.items()
    ]


def flags_of(item: Mapping[str, Any], state: str | None = None) -> dict[str, bool]:
    """{opt_out, invalid_email} of an address, once it shows `state`; None: as it is. An opt-out leaves it open whether
    the address works."""
    opt_out, invalid = flag(item.get("opt_out")), flag(item.get("invalid_email"))
    if state == "withdrawn":
        opt_out = True
    elif state is not None:
        opt_out, invalid = False, state == "undeliverable"
    return {"opt_out": opt_out, "invalid_email": invalid}


def do_not_call(agreed: Iterable[Consent]) -> bool | None:
    """What `do_not_call` must be; None: it is not to be touched."""
    states = [consent.state for consent in agreed if consent.channel == "phone" and not consent.address]
    return states[-1] == "withdrawn" if states else None
