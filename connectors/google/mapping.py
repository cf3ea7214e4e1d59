"""A person of the People API and our card. Pure.

Google's lists are unlimited, so hardly anything competes for a place; its singletons (names, biographies, birthdays)
hold one. Each list is described once, by a `Listed`: how an item reads as an element and how an element is written
as an item. `view`, `fit` and `changes` are made of the same two functions, so that what we project is what Google
will show: `fit` is "written, then read".

An update replaces a whole list (google-people note 5). It starts from the list as Google gave it (`writable`), and only
the properties that changed are touched: what we do not know of an item survives, and so do items that we do not view.
"""

from __future__ import annotations

import calendar
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from connectors.card import ADDRESS_KINDS, LINES, NAME_KINDS, SLOT, Card, Element, components, digest, part

Item = Mapping[str, Any]
Items = Sequence[Item]
Person = Mapping[str, Any]

KEY: Final = "concord.uid"
"""The key of our uid in `clientData`, which no user interface shows (google-people note 6)."""
MY_CONTACTS: Final = "contactGroups/myContacts"
PHOTO_TYPES: Final = ("image/jpeg", "image/png")
PRIVATE: Final = {"contexts": {"private": True}}
WORK: Final = {"contexts": {"work": True}}

Words = Mapping[str, Mapping[str, Any]]
"""What each predefined type says; the earlier one wins where two say as much of an element."""

EMAIL_TYPES: Final[Words] = {"work": WORK, "home": PRIVATE, "other": {}}
PHONE_TYPES: Final[Words] = {
    "workMobile": {**WORK, "features": {"mobile": True}},
    "workPager": {**WORK, "features": {"pager": True}},
    "workFax": {**WORK, "features": {"fax": True}},
    "homeFax": {**PRIVATE, "features": {"fax": True}},
    "mobile": {"features": {"mobile": True}},
    "otherFax": {"features": {"fax": True}},
    "pager": {"features": {"pager": True}},
    "main": {"features": {"main-number": True}},
    "work": WORK,
    "home": PRIVATE,
    "other": {},
}
URL_TYPES: Final[Words] = {"work": WORK, "home": PRIVATE, "homePage": {}, "other": {}}
EVENT_TYPES: Final[Words] = {"anniversary": {"kind": "wedding"}, "death": {"kind": "death"}, "other": {"kind": "other"}}
PROTOCOLS: Final = {
    "aim": "AIM",
    "msn": "MSN",
    "yahoo": "Yahoo",
    "skype": "Skype",
    "qq": "QQ",
    "googleTalk": "Google Talk",
    "icq": "ICQ",
    "jabber": "Jabber",
    "netMeeting": "NetMeeting",
}
_PROTOCOL_OF: Final = {name.casefold(): word for word, name in PROTOCOLS.items()} | {w.casefold(): w for w in PROTOCOLS}
_GENERATIONS: Final = frozenset({"jr", "sr", "ii", "iii", "iv", "v"})


@dataclasses.dataclass(frozen=True)
class Listed:
    """One list of a person and the elements of the card that it holds.

    field, google: its name in the card, and in the person.
    read: an item as an element; None where it says nothing that a card has a place for.
    write: an element as an item; None where this list cannot hold it. read(write(e)) is what Google shows of e.
    slot: the place's name where there is only one.
    stale: {property: what is wrong once it changed}; "" stands for any property.
    """

    field: str
    google: str
    read: Callable[[Item], Element | None]
    write: Callable[[Element], Item | None]
    slot: str | None = None
    stale: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def shown(self, element: Element) -> Element | None:
        """What this list would show of an element; None where it cannot hold it."""
        item = self.write(element)
        return self._view(item) if item is not None else None

    def _view(self, item: Item) -> Element | None:
        element = self.read(item)
        return {**element, SLOT: self.slot} if element is not None and self.slot else element

    def view(self, items: Items) -> list[tuple[Item, Element]]:
        """The items that show as elements."""
        return [(item, element) for item in items if (element := self._view(item)) is not None]


# --- the lists ----------------------------------------------------------------------------------------------


def _text(holder: Mapping[str, Any], prop: str) -> str:
    value = holder.get(prop)
    return value.strip() if isinstance(value, str) else ""


def _filled(**properties: Any) -> dict[str, Any]:
    """Those that are not blank: Google drops empty properties (note 8)."""
    return {prop: value for prop, value in properties.items() if value}


def _marks(says: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(prop, mark) for prop in ("contexts", "features") for mark in says.get(prop) or ()}


def _read_type(item: Item, words: Words) -> Mapping[str, Any]:
    word = _text(item, "type")
    return words.get(word, {"label": word}) if word else {}


def _write_type(element: Element, words: Words) -> dict[str, str]:
    """One type has to say it all: the label if there is one, else the word that says most of the element."""
    if label := _text(element, "label"):
        return {"type": label}
    marks = _marks(element)
    fitting = [word for word, says in words.items() if says and _marks(says) <= marks]
    return {"type": max(fitting, key=lambda word: len(_marks(words[word])))} if fitting else {}


def _plain(card_field: str, google: str, prop: str, google_prop: str = "value", words: Words | None = None) -> Listed:
    """A list whose items are one text and, with `words`, a type."""

    def read(item: Item) -> Element | None:
        value = _text(item, google_prop)
        return {prop: value, **(_read_type(item, words) if words else {})} if value else None

    def write(element: Element) -> Item | None:
        value = _text(element, prop)
        return {google_prop: value, **(_write_type(element, words) if words else {})} if value else None

    return Listed(card_field, google, read, write)


_ADDRESS: Final = dict(zip(ADDRESS_KINDS, ("poBox", "city", "region", "postalCode", "country"), strict=True))
_STRUCTURED: Final = ("streetAddress", "extendedAddress", *_ADDRESS.values())


def _read_address(item: Item) -> Element | None:
    lines = "\n".join(filter(None, (_text(item, "streetAddress"), _text(item, "extendedAddress"))))
    parts = components({kind: _text(item, prop) for kind, prop in _ADDRESS.items()})
    whole = "" if lines or parts else _text(item, "formattedValue")
    element = _filled(**{LINES: lines}, components=parts, full=whole)
    if not element:
        return None
    return {**element, **_filled(countryCode=_text(item, "countryCode")), **_read_type(item, EMAIL_TYPES)}


def _write_address(element: Element) -> Item | None:
    parts = {prop: part(element, kind).strip() for kind, prop in _ADDRESS.items()}
    item = _filled(streetAddress=_text(element, LINES), **parts) or _filled(formattedValue=_text(element, "full"))
    if not item:
        return None
    return {**item, **_filled(countryCode=_text(element, "countryCode")), **_write_type(element, EMAIL_TYPES)}


def _date(holder: Mapping[str, Any]) -> dict[str, int]:
    """A partial date; Google writes 0, or nothing, for what is not known (note 3). {} where it is no date."""
    given = holder.get("date")
    if not isinstance(given, Mapping):
        return {}
    date = {unit: given[unit] for unit in ("year", "month", "day") if given.get(unit)}
    return date if _possible(date) else {}


def _possible(date: Mapping[str, int]) -> bool:
    """Is this one of the dates that Google can hold: y-m-d, m-d, y-m, y?"""
    if set(date) not in ({"year", "month", "day"}, {"month", "day"}, {"year", "month"}, {"year"}):
        return False
    year, month, day = date.get("year", 2000), date.get("month", 1), date.get("day", 1)
    return 1 <= year <= 9999 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def _read_birthday(item: Item) -> Element | None:
    date = _date(item)
    return {"kind": "birth", "date": date} if date else None


def _write_birthday(element: Element) -> Item | None:
    date = _date(element)
    return {"date": date} if date and element.get("kind") == "birth" else None


def _read_event(item: Item) -> Element | None:
    date = _date(item)
    return {"date": date, "kind": "other", **_read_type(item, EVENT_TYPES)} if date else None


def _write_event(element: Element) -> Item | None:
    date, kind = _date(element), element.get("kind", "other")
    if not date or kind == "birth":
        return None
    named = {"wedding": "anniversary", "death": "death"}.get(kind) or _text(element, "label")
    return {"date": date, **_filled(type=named)}


def _read_relation(item: Item) -> Element | None:
    name = _text(item, "person")
    return {"name": name, **_filled(kind=_text(item, "type"))} if name else None


def _write_relation(element: Element) -> Item | None:
    name = _text(element, "name")
    return {"person": name, **_filled(type=_text(element, "kind"))} if name else None


def _read_im(item: Item) -> Element | None:
    user, protocol = _text(item, "username"), _text(item, "protocol")
    if not user:
        return None
    return {"user": user, **_filled(service=PROTOCOLS.get(protocol, protocol)), **_read_type(item, EMAIL_TYPES)}


def _write_im(element: Element) -> Item | None:
    user, service = _text(element, "user"), _text(element, "service")
    if not user:
        return None
    protocol = _PROTOCOL_OF.get(service.casefold(), service)
    return {"username": user, **_filled(protocol=protocol), **_write_type(element, EMAIL_TYPES)}


def _read_sip(item: Item) -> Element | None:
    uri = _text(item, "value")
    return {"uri": uri, **_read_type(item, PHONE_TYPES)} if uri else None


def _write_sip(element: Element) -> Item | None:
    uri = _text(element, "uri")
    if _text(element, "user") or not uri.casefold().startswith(("sip:", "sips:")):
        return None
    return {"value": uri, **_write_type(element, PHONE_TYPES)}


def _read_note(item: Item) -> Element | None:
    text = _text(item, "value")
    return {"note": text} if text else None


def _write_note(element: Element) -> Item | None:
    return _filled(value=_text(element, "note")) or None


def _read_role(item: Item) -> Element | None:
    name = _text(item, "value")
    return {"name": name, "kind": "role"} if name else None


def _write_role(element: Element) -> Item | None:
    return (_filled(value=_text(element, "name")) or None) if element.get("kind") == "role" else None


def _read_keyword(item: Item) -> Element | None:
    word = _text(item, "value")
    return {"keyword": word} if word and item.get("type") == "OUTLOOK_KEYWORD" else None


def _write_keyword(element: Element) -> Item | None:
    word = _text(element, "keyword")
    return {"value": word, "type": "OUTLOOK_KEYWORD"} if word else None


def _read_job(item: Item) -> Element | None:
    # `current` is left out where it is false, as all blank properties are: only an end tells of a past job.
    if item.get("endDate") and not item.get("current"):
        return None
    return _filled(**{prop: _text(item, prop) for prop in ("name", "department", "title")}) or None


def _write_job(job: Element) -> Item | None:
    return _filled(**job) or None


JOBS: Final = Listed("jobs", "organizations", _read_job, _write_job)
"""An organisation and a title in one; `_jobs` makes such elements of a card."""
KEYWORDS: Final = Listed("keywords", "miscKeywords", _read_keyword, _write_keyword)
LISTS: Final = (
    _plain("nicknames", "nicknames", "name"),
    _plain("emails", "emailAddresses", "address", words=EMAIL_TYPES),
    _plain("phones", "phoneNumbers", "number", words=PHONE_TYPES),
    Listed(
        "addresses",
        "addresses",
        _read_address,
        _write_address,
        # Google builds the formatted text anew where we leave it out; the street takes all the lines.
        stale={"": ("formattedValue",), "streetAddress": ("extendedAddress",)},
    ),
    Listed("anniversaries", "birthdays", _read_birthday, _write_birthday, slot="birthday", stale={"": ("text",)}),
    Listed("anniversaries", "events", _read_event, _write_event),
    Listed("notes", "biographies", _read_note, _write_note, slot="biography", stale={"": ("contentType",)}),
    _plain("links", "urls", "uri", words=URL_TYPES),
    Listed("relations", "relations", _read_relation, _write_relation),
    Listed("onlineServices", "imClients", _read_im, _write_im),
    Listed("onlineServices", "sipAddresses", _read_sip, _write_sip),
    Listed("titles", "occupations", _read_role, _write_role),
)

FIELDS: Final = frozenset(
    {"name", "organizations", "titles", "keywords", "groups", "media", *(listed.field for listed in LISTS)}
)
"""The fields of the card that Google holds at least in part."""
WRITTEN: Final = tuple(
    sorted({"names", "memberships", JOBS.google, KEYWORDS.google, *(listed.google for listed in LISTS)})
)
"""The fields of a person that we write."""


# --- the name -----------------------------------------------------------------------------------------------

_NAME: Final = (
    ("title", "honorificPrefix", "phoneticHonorificPrefix"),
    ("given", "givenName", "phoneticGivenName"),
    ("given2", "middleName", "phoneticMiddleName"),
    ("surname", "familyName", "phoneticFamilyName"),
)


def _read_name(item: Item) -> dict[str, Any]:
    parts: list[dict[str, str]] = []
    for kind, prop, phonetic in _NAME:
        value, sound = _text(item, prop), _text(item, phonetic)
        if value or sound:
            parts.append({"kind": kind, "value": value, **_filled(phonetic=sound)})
    if suffix := _text(item, "honorificSuffix"):
        generation = suffix.casefold().rstrip(".") in _GENERATIONS
        parts.append({"kind": "generation" if generation else "credential", "value": suffix})
    if parts:
        return {"components": sorted(parts, key=lambda component: NAME_KINDS.index(component["kind"]))}
    return _filled(full=_text(item, "unstructuredName"))


def _write_name(name: Mapping[str, Any]) -> dict[str, Any]:
    """Parts where there are any: the free form is then derived by Google. Without parts Google parses it (note 8)."""
    phonetics = {c["kind"]: c.get("phonetic", "").strip() for c in name.get("components", ())}
    values = {kind: part(name, kind).strip() for kind in NAME_KINDS}
    values["surname"] = " ".join(filter(None, (values["surname"], values["surname2"])))
    suffix = " ".join(filter(None, (values["generation"], values["credential"])))
    item = _filled(**{prop: values[kind] for kind, prop, _ in _NAME}, honorificSuffix=suffix)
    item |= _filled(**{phonetic: phonetics.get(kind, "") for kind, _, phonetic in _NAME})
    return item or _filled(unstructuredName=_text(name, "full"))


# --- organisations and titles: one item in Google, two elements in a card --------------------------------------


def _is_title(element: Element) -> bool:
    return element.get("kind", "title") == "title" and bool(_text(element, "name"))


def _stood(card: Card) -> dict[str, str]:
    """{title: the organisation beside which it stands}"""
    titles, organizations = card.get("titles", {}), card.get("organizations", {})
    tied = {key: title.get("organizationId") for key, title in titles.items() if _is_title(title)}
    return {key: organization for key, organization in tied.items() if organization in organizations}


def _ties(card: Card, held: Card | None = None) -> dict[str, str]:
    """{organisation: its title}; one title each, the one that stands there already or the first; more stand alone."""
    tied, before = _stood(card), _stood(held or {})
    ties: dict[str, str] = {}
    for key in sorted(tied, key=lambda key: (tied[key] != before.get(key), key)):
        ties.setdefault(tied[key], key)
    return ties


def _jobs(card: Card) -> dict[str, Element]:
    """The jobs of a card: an organisation with its title, and titles alone."""
    titles, ties = card.get("titles", {}), _ties(card)
    jobs: dict[str, Element] = {}
    for key, organization in card.get("organizations", {}).items():
        units = [_text(unit, "name") for unit in organization.get("units", ())]
        title = titles[ties[key]] if key in ties else {}
        jobs["o" + key] = {
            "name": _text(organization, "name"),
            "department": ", ".join(filter(None, units)),
            "title": _text(title, "name"),
        }
    for key, title in titles.items():
        if _is_title(title) and key not in ties.values():
            jobs["t" + key] = {"title": _text(title, "name")}
    return jobs


def _organization(job: Element) -> dict[str, Any]:
    units = [{"name": job["department"]}] if job.get("department") else []
    return _filled(name=job.get("name"), units=units)


def _fit_jobs(card: Card, held: Card) -> dict[str, Any]:
    """Organisations and titles as Google will show them: a title without an organisation joins one that has none."""
    organizations = {k: o for k, job in _jobs(card).items() if k[0] == "o" and (o := _organization(job))}
    organizations = {key[1:]: organization for key, organization in organizations.items()}
    ties = {o: t for o, t in _ties(card, held).items() if o in organizations}
    loose = sorted(k for k, t in card.get("titles", {}).items() if _is_title(t) and k not in ties.values())
    before, there = _stood(held), held.get("titles", {})
    # Who stands beside an organisation stays there, whoever else would come first.
    for key in sorted(loose, key=lambda key: (before.get(key) not in organizations, key not in there, key)):
        free = [organization for organization in sorted(organizations) if organization not in ties]
        if free:
            ties[before[key] if before.get(key) in free else free[0]] = key
    of = {title: organization for organization, title in ties.items()}
    titles = {
        key: {"name": _text(title, "name"), **_filled(organizationId=of.get(key))}
        for key, title in card.get("titles", {}).items()
        if _is_title(title)
    }
    return _filled(organizations=organizations, titles=titles)


# --- person → card --------------------------------------------------------------------------------------------

_OUTPUT_ONLY: Final = frozenset(
    {"metadata", "formattedType", "formattedProtocol", "canonicalForm", "displayNameLastFirst", "contactGroupId"}
)


def contact_source(person: Person) -> Mapping[str, Any]:
    """The person's CONTACT source (id, etag, updateTime); {} where it has none."""
    for source in person.get("metadata", {}).get("sources", ()):
        if source.get("type") == "CONTACT":
            found: Mapping[str, Any] = source
            return found
    return {}


def _own(items: Items) -> list[Item]:
    """The contact's own items, the primary one first: those of a linked profile are not ours to write (note 8)."""
    own = [i for i in items if i.get("metadata", {}).get("source", {}).get("type", "CONTACT") == "CONTACT"]
    return sorted(own, key=lambda item: not item.get("metadata", {}).get("sourcePrimary", False))


def _writable(google: str, item: Item) -> Item:
    drop = set(_OUTPUT_ONLY)
    if google == "names":
        drop.add("displayName")
    if google == "addresses" and set(_STRUCTURED) & set(item):
        drop.add("formattedValue")  # sent back, what Google derived would count as set by the user
    return {prop: value for prop, value in item.items() if prop not in drop}


def writable(person: Person) -> dict[str, list[Item]]:
    """The lists that we write, as Google gave them, without what is output only: what an update starts from."""
    kept = {google: [_writable(google, item) for item in _own(person.get(google, ()))] for google in WRITTEN}
    kept["memberships"] = [
        {"contactGroupMembership": {"contactGroupResourceName": name}} for name in memberships(person)
    ]
    return {google: items for google, items in kept.items() if items}


def memberships(person: Person) -> list[str]:
    """The resource names of the groups that the person is in, sorted."""
    groups = (item.get("contactGroupMembership", {}) for item in person.get("memberships", ()))
    return sorted({group["contactGroupResourceName"] for group in groups if group.get("contactGroupResourceName")})


def photo_url(person: Person) -> str | None:
    """Where the contact's own photo can be had; None where it has but a default one."""
    for photo in _own(person.get("photos", ())):
        if not photo.get("default") and photo.get("url"):
            return str(photo["url"])
    return None


def key_of(person: Person) -> str | None:
    """Our own key, where we left it in a create."""
    for item in person.get("clientData", ()):
        if item.get("key") == KEY and item.get("value"):
            return str(item["value"])
    return None


def _named(elements: Iterable[Element]) -> dict[str, Element]:
    """Elements under ids made of their content: Google gives items no id and promises no order (note 3)."""
    named: dict[str, Element] = {}
    for element in elements:
        stem = element.get(SLOT) or digest(element)[:10]
        key, n = stem, 1
        while key in named:
            n += 1
            key = f"{stem}-{n}"
        named[key] = element
    return named


def view(lists: Mapping[str, Items], groups: Mapping[str, str], photo: Element | None) -> Card:
    """The card that Google shows.

    lists: what `writable` made of the person. groups: {resource name: name} of the user's groups it is in.
    photo: its media element, {kind, uri, mediaType, size}.
    """
    card: dict[str, Any] = {}
    for item in lists.get("names", ())[:1]:
        card |= _filled(name=_read_name(item))
    for key, job in _named(element for _, element in JOBS.view(lists.get(JOBS.google, ()))).items():
        organization = _organization(job)
        if organization:
            card.setdefault("organizations", {})[key] = organization
        if job.get("title"):
            tie = {"organizationId": key} if organization else {}
            card.setdefault("titles", {})[key] = {"name": job["title"], **tie}
    for listed in LISTS:
        elements = _named(element for _, element in listed.view(lists.get(listed.google, ())))
        if elements:
            card.setdefault(listed.field, {}).update(elements)
    words = [element["keyword"] for _, element in KEYWORDS.view(lists.get(KEYWORDS.google, ()))]
    named = {resource.rpartition("/")[2]: {"name": name} for resource, name in groups.items()}
    media = {"photo": {**photo, SLOT: "photo"}} if photo else {}
    return card | _filled(keywords=dict.fromkeys(words, True), groups=named, media=media)


# --- card → what Google would show --------------------------------------------------------------------------


def fit(card: Card, held: Card | None, *, photos: bool = True) -> Card:
    """What Google would show if `card` were written over `held`. Stable, because it is "written, then read"."""
    held = held or {}
    fitted = _filled(name=_read_name(_write_name(card.get("name", {}))), **_fit_jobs(card, held))
    for listed in LISTS:
        shown = {key: e for key, element in card.get(listed.field, {}).items() if (e := listed.shown(element))}
        if listed.slot:
            shown = _one(shown, held.get(listed.field, {}))
        if listed.field == "emails":
            shown = _distinct(shown, "address", str)
        if shown:
            fitted.setdefault(listed.field, {}).update(shown)
    words = {word.strip(): True for word in card.get("keywords", {}) if word.strip()}
    groups = {key: {"name": name} for key, group in card.get("groups", {}).items() if (name := _text(group, "name"))}
    media = _fit_photo(card, held) if photos else {}
    return fitted | _filled(keywords=words, groups=_distinct(groups, "name", str.casefold), media=media)


def _one(elements: Mapping[str, Element], held: Mapping[str, Element]) -> dict[str, Element]:
    """The element for an only place: the one that stands there, else the one with the least id."""
    standing = sorted(key for key in elements if SLOT in held.get(key, ()))
    keys = standing or sorted(elements)
    return {key: elements[key] for key in keys[:1]}


def _distinct(elements: Mapping[str, Element], prop: str, fold: Callable[[str], str]) -> dict[str, Element]:
    """One element of each value, the one with the least id: Google collapses equal ones (note 8)."""
    first: dict[str, str] = {}
    for key in sorted(elements):
        first.setdefault(fold(elements[key][prop]), key)
    return {key: element for key, element in elements.items() if key in first.values()}


def _fit_photo(card: Card, held: Card) -> dict[str, Element]:
    """One photo, JPEG or PNG (updateContactPhoto takes no other)."""
    photos = {
        key: {**{prop: media[prop] for prop in ("kind", "uri", "mediaType", "size") if prop in media}, SLOT: "photo"}
        for key, media in card.get("media", {}).items()
        if media.get("kind") == "photo" and media.get("mediaType", PHOTO_TYPES[0]) in PHOTO_TYPES and media.get("uri")
    }
    return _one(photos, held.get("media", {}))


# --- card → update ------------------------------------------------------------------------------------------


def changes(lists: Mapping[str, Items], held: Card, card: Card) -> dict[str, list[Item]]:
    """The lists that must be replaced to turn `held` into `card`, memberships left out, each complete.

    lists: the person as read (`writable`), which `held` is the view of.
    """
    return {google: items for google, items in _replaced(lists, held, card) if items != list(lists.get(google, ()))}


def _replaced(lists: Mapping[str, Items], held: Card, card: Card) -> Iterable[tuple[str, list[Item]]]:
    yield "names", _replaced_name(lists.get("names", ()), held.get("name", {}), card.get("name", {}))
    yield JOBS.google, _items(JOBS, lists.get(JOBS.google, ()), _jobs(held), _jobs(card))
    words, wanted = ({k: {"keyword": k} for k in c.get("keywords", {})} for c in (held, card))
    yield KEYWORDS.google, _items(KEYWORDS, lists.get(KEYWORDS.google, ()), words, wanted)
    for listed in LISTS:
        old, new = held.get(listed.field, {}), card.get(listed.field, {})
        yield listed.google, _items(listed, lists.get(listed.google, ()), old, new)


def _replaced_name(items: Items, held: Mapping[str, Any], name: Mapping[str, Any]) -> list[Item]:
    before, after = _write_name(held), _write_name(name)
    if before == after:
        return list(items)
    patched = _patched(items[0] if items else {}, before, after, {"": ("unstructuredName",)})
    return [patched] if patched else []


def _items(listed: Listed, items: Items, held: Mapping[str, Element], wanted: Mapping[str, Element]) -> list[Item]:
    """The list rewritten: changed items patched in their places, removed ones left out, new ones at the end."""
    before = {key: item for key, element in held.items() if (item := listed.write(element)) is not None}
    after = {key: item for key, element in wanted.items() if (item := listed.write(element)) is not None}
    if listed.slot:
        after = {key: after[key] for key in [*sorted(after.keys() & before.keys()), *sorted(after)][:1]}
    places = _places(listed, items, before)
    rewritten: list[Item] = []
    for index, item in enumerate(items):
        if index not in places:
            if not (listed.slot and after):  # what we do not view stays, unless its only place is wanted
                rewritten.append(item)
        elif places[index] in after:
            key = places[index]
            rewritten.append(_patched(item, before[key], after[key], listed.stale))
    known = set(places.values())
    new = [key for key in after if key not in known and after[key] != before.get(key)]
    return rewritten + [after[key] for key in new]


def _places(listed: Listed, items: Items, before: Mapping[str, Item]) -> dict[int, str]:
    """{position: the held element that stands there}: the element whose own writing reads as the item does."""
    left = {key: listed.read(item) for key, item in before.items()}
    places: dict[int, str] = {}
    for index, item in enumerate(items):
        shown = listed.read(item)
        key = next((key for key, element in left.items() if shown is not None and element == shown), None)
        if key is not None:
            places[index] = key
            del left[key]
    return places


def _patched(item: Item, before: Item, after: Item, stale: Mapping[str, Sequence[str]]) -> Item:
    """The item with what changed from `before` to `after`, and without what that made wrong."""
    changed = [prop for prop in {**before, **after} if before.get(prop) != after.get(prop)]
    if not changed:
        return item
    gone = {prop for cause in ("", *changed) for prop in stale.get(cause, ())} | set(changed)
    kept = {prop: value for prop, value in item.items() if prop not in gone}
    return kept | {prop: after[prop] for prop in changed if prop in after}


def group_changes(groups: Mapping[str, str], card: Card) -> tuple[list[str], list[str]]:
    """(names of the groups to join, resource names of those to leave).

    groups: {resource name: name} of the user's groups that the contact is in.
    """
    wanted = {name.casefold(): name for group in card.get("groups", {}).values() if (name := _text(group, "name"))}
    current = {name.casefold(): resource for resource, name in groups.items()}
    join = [wanted[name] for name in sorted(wanted) if name not in current]
    return join, [current[name] for name in sorted(current) if name not in wanted]
