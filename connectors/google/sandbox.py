"""The People API in a box: contacts, contact groups, photos and OAuth2 of one account, with the vendor's warts.

Sources are the sections of the google-people protocol note in brackets; K marks what it calls unconfirmed, which is
switchable. What a human does in Google's own pages is done by `seed`, `edit`, `remove`, `merge`, `rename`, … ; they are
seen by listings as late as everything else. searchContacts, otherContacts and the directory are not here: the connector
has no use for them (2).
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp

from connectors.authserver import AuthServer, Token
from connectors.sandbox import Faults, Hostile

SINGLETONS: Final = ("names", "birthdays", "biographies", "genders")
# fmt: off
WRITABLE: Final = frozenset({
    "addresses", "biographies", "birthdays", "calendarUrls", "clientData", "emailAddresses", "events", "externalIds",
    "genders", "imClients", "interests", "locales", "locations", "memberships", "miscKeywords", "names", "nicknames",
    "occupations", "organizations", "phoneNumbers", "relations", "sipAddresses", "urls", "userDefined",
})
# fmt: on
READABLE: Final = WRITABLE | {"ageRanges", "coverPhotos", "metadata", "photos", "skills"}
SYSTEM_GROUPS: Final = ("myContacts", "starred", "friends", "family", "coworkers", "chatBuddies", "all", "blocked")
ADDABLE: Final = frozenset({"contactGroups/myContacts", "contactGroups/starred"})
MY_CONTACTS: Final = {"contactGroupMembership": {"contactGroupResourceName": "contactGroups/myContacts"}}
# fmt: off
OUTPUT_ONLY: Final = frozenset({
    "metadata", "formattedType", "formattedProtocol", "canonicalForm", "displayNameLastFirst", "contactGroupId",
    "domainMembership",
})
# fmt: on
TOKEN_LIFE: Final = timedelta(days=7)
CONTACTS: Final = "https://www.googleapis.com/auth/contacts"
OWNER: Final = "101500000000000000001"
"""The id of the account whose contacts these are."""
STALE: Final = (
    "Request person.metadata.sources.etag is different than the current person.metadata.sources.etag. "
    "Clear local cache and get the latest person."
)
CODES: Final = {"FAILED_PRECONDITION": 9, "INVALID_ARGUMENT": 3, "NOT_FOUND": 5}
PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
"""The thumbnail of every photo."""

Fields = dict[str, list[dict[str, Any]]]


class ApiError(Exception):
    """An answer that is an error (7)."""

    def __init__(self, http: int, status: str, message: str, details: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.http, self.status, self.message, self.details = http, status, message, list(details)

    def body(self) -> dict[str, Any]:
        details = {"details": self.details} if self.details else {}
        return {"error": {"code": self.http, "message": self.message, "status": self.status, **details}}


def invalid(message: str, name: str = "") -> ApiError:
    violations = [{"field": name, "description": message}]
    kind = "type.googleapis.com/google.rpc.BadRequest"
    return ApiError(400, "INVALID_ARGUMENT", message, [{"@type": kind, "fieldViolations": violations}] if name else [])


def not_found() -> ApiError:
    return ApiError(404, "NOT_FOUND", "Requested entity was not found.")


def error_info(reason: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": "people.googleapis.com"}


@dataclass(frozen=True)
class State:
    """A contact from one write to the next. fields: None once it is deleted."""

    seq: int
    at: datetime
    fields: Fields | None
    photo: str | None = None

    @property
    def etag(self) -> str:
        return "#" + base64.b64encode(f"{self.seq:x}".encode()).decode()


@dataclass
class Contact:
    """A contact with its whole past: listings show it as it was some minutes ago."""

    number: int
    name: str
    former: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.number:x}"

    @property
    def now(self) -> State:
        return self.states[-1]

    def at(self, horizon: int) -> State | None:
        return next((state for state in reversed(self.states) if state.seq <= horizon), None)


@dataclass
class Group:
    """A contact group; its own log for groups' sync tokens (4.6)."""

    name: str
    title: str
    seq: int
    at: datetime
    system: bool = False
    deleted: bool = False


class GoogleSandbox:
    """One account.

    seed: how many made-up contacts there are to begin with. lag: seconds until a listing shows a write (4.5). tick:
    seconds that each request lets pass, so that a lag can be counted in requests. page_cap: most entries a listing page
    holds whatever is asked for. region: of the account, for canonical phone numbers (8). minute_quotas: {"read": n,
    "write": n} a minute. full_quota: full listings a minute (4.5). names_faulty: a refused batch tells its faulty
    contacts (2). partial: a refused batch has done what stood before the fault (2, K). rotate: a refresh gives a new
    refresh token (1, K). extend: a delta prolongs the sync token's life (4.4, K). reencode: Google keeps another file
    than the photo it was given (K). now: the clock.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        lag: float = 0.0,
        tick: float = 0.0,
        page_cap: int = 1000,
        region: str = "GB",
        minute_quotas: Mapping[str, int] | None = None,
        full_quota: int | None = None,
        names_faulty: bool = True,
        partial: bool = False,
        rotate: bool = False,
        extend: bool = False,
        reencode: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.lag, self.tick, self.page_cap, self.region = lag, tick, page_cap, region
        self.minute_quotas, self.full_quota = dict(minute_quotas or {}), full_quota
        self.names_faulty, self.partial, self.extend, self.reencode = names_faulty, partial, extend, reencode
        self.exhausted = False
        self.disabled = False
        self.lock = threading.RLock()
        self._now, self._offset = now, timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._seq = 0
        self._log: list[tuple[int, datetime]] = []
        self._contacts: dict[int, Contact] = {}
        self._names: dict[str, Contact] = {}
        self._groups: dict[str, Group] = {}
        self._photos: dict[str, bytes] = {}
        self._spent: dict[str, list[datetime]] = {}
        self._base = ""
        self.oauth = OAuth(self.clock, rotate=rotate)
        for name in SYSTEM_GROUPS:
            self._groups[f"contactGroups/{name}"] = Group(f"contactGroups/{name}", name, *self._step(), system=True)
        self.faults = Faults()
        self.app: ASGIApp = Hostile(_app(self), self.faults)
        self.seed(
            {
                "names": [{"givenName": f"Given{n}", "familyName": f"Family{n}"}],
                "emailAddresses": [{"value": f"person{n}@example.test", "type": "work"}],
                "phoneNumbers": [{"value": f"020 7946 {n:04}", "type": "mobile"}],
            }
            for n in range(1, seed + 1)
        )

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "url": url + "/",
            "auth_uri": f"{url}/auth",
            "token_uri": f"{url}/token",
            "client_id": self.oauth.client_id,
            "client_secret": self.oauth.client_secret,
            "refresh_token": self.oauth.grant(CONTACTS),
            "account": "someone@example.test",
            "rate": None,
        }

    # --- the clock --------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return self._now() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._offset += timedelta(seconds=seconds)

    def _step(self) -> tuple[int, datetime]:
        """The number and the time of a write: both only grow."""
        self._last = max(self.clock(), self._last + timedelta(microseconds=1))
        self._seq += 1
        self._log.append((self._seq, self._last))
        return self._seq, self._last

    def _horizon(self) -> int:
        """The last write that listings show by now."""
        shown = self.clock() - timedelta(seconds=self.lag)
        return next((seq for seq, at in reversed(self._log) if at <= shown or self.lag == 0), 0)

    # --- what a human does ------------------------------------------------------------------------------------

    def seed(self, people: Any) -> list[str]:
        """Make contacts; returns their resource names."""
        with self.lock:
            return [self._create(self._normal(person, {})).name for person in people]

    def edit(self, name: str, change: Callable[[Fields], Any]) -> None:
        """Change a contact in place; `change` gets its fields. Named by resource name or source id."""
        with self.lock:
            contact = self._find(name)
            fields = copy.deepcopy(contact.now.fields or {})
            change(fields)
            self._put(contact, self._normal(fields, {}))

    def remove(self, name: str) -> None:
        with self.lock:
            self._delete(self._find(name))

    def merge(self, survivor: str, other: str) -> None:
        """Two contacts become one: an update and a deletion in one delta (6)."""
        with self.lock:
            kept, lost = self._find(survivor), self._find(other)
            fields = copy.deepcopy(kept.now.fields or {})
            for name, items in (lost.now.fields or {}).items():
                old = fields.setdefault(name, [])
                old += [item for item in items if item not in old and not (name in SINGLETONS and old)]
            self._delete(lost)
            kept.former.append(lost.name)
            self._put(kept, self._normal(fields, {}))

    def rename(self, name: str) -> str:
        """Link a contact to a profile: it gets another resource name and goes on answering to the old one (6)."""
        with self.lock:
            contact = self._find(name)
            contact.former.append(contact.name)
            contact.name = f"people/1{contact.number:020d}"
            self._names[contact.name] = contact
            self._put(contact, copy.deepcopy(contact.now.fields or {}), contact.now.photo)
            return contact.name

    def people(self) -> list[dict[str, Any]]:
        """All contacts as they are now, whole."""
        with self.lock:
            alive = [contact for contact in self._contacts.values() if contact.now.fields is not None]
            return [self._render(contact, contact.now, READABLE, None) for contact in alive]

    def group(self, title: str) -> str:
        """Make a contact group; returns its resource name."""
        with self.lock:
            return self._create_group(title).name

    def rename_group(self, name: str, title: str) -> None:
        with self.lock:
            group = self._groups[name]
            group.title = title
            group.seq, group.at = self._step()

    def delete_group(self, name: str) -> None:
        with self.lock:
            self._delete_group(name)

    def set_photo(self, name: str, data: bytes | None) -> None:
        with self.lock:
            self._put_photo(self._find(name), data)

    def photo(self, name: str) -> bytes | None:
        with self.lock:
            token = self._find(name).now.photo
            return self._photos[token] if token else None

    # --- state ------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Contact:
        """A living contact by its resource name, a former one of a rename, or its source id."""
        contact = self._names.get(name)
        if contact is None or contact.now.fields is None:
            raise not_found()
        return contact

    def _create(self, fields: Fields, photo: str | None = None) -> Contact:
        number = 1000 + 37 * (len(self._contacts) + 1)
        contact = Contact(number, f"people/c{number}")
        fields.setdefault("memberships", [copy.deepcopy(MY_CONTACTS)])
        contact.states.append(State(*self._step(), fields, photo))
        self._contacts[number] = contact
        self._names |= {contact.name: contact, contact.id: contact}
        return contact

    def _put(self, contact: Contact, fields: Fields, photo: str | None = None) -> None:
        fields.setdefault("memberships", [copy.deepcopy(MY_CONTACTS)])
        contact.states.append(State(*self._step(), fields, photo or contact.now.photo))

    def _delete(self, contact: Contact) -> None:
        contact.states.append(State(*self._step(), None))

    def _put_photo(self, contact: Contact, data: bytes | None) -> None:
        token = None
        if data is not None:
            token = secrets.token_hex(8)
            self._photos[token] = data + b"\0kept by Google" if self.reencode else data
        contact.states.append(State(*self._step(), copy.deepcopy(contact.now.fields), token))

    def _create_group(self, title: str) -> Group:
        taken = {group.title.casefold() for group in self._groups.values() if not group.deleted}
        if title.strip().casefold() in taken:
            raise ApiError(409, "ALREADY_EXISTS", "Contact group name already exists.")
        name = f"contactGroups/{0xA000 + len(self._groups):x}"
        self._groups[name] = Group(name, title.strip(), *self._step())
        return self._groups[name]

    def _delete_group(self, name: str, contacts: bool = False) -> None:
        group = self._groups[name]
        for contact in self._members(name):
            if contacts:  # deleteContacts=true deletes people (2)
                self._delete(contact)
            else:
                self._leave(contact, name)
        group.deleted = True
        group.seq, group.at = self._step()

    def _members(self, name: str) -> list[Contact]:
        alive = (contact for contact in self._contacts.values() if contact.now.fields is not None)
        return [contact for contact in alive if name in _memberships(contact.now.fields or {})]

    def _leave(self, contact: Contact, name: str) -> None:
        fields = copy.deepcopy(contact.now.fields or {})
        fields["memberships"] = [_membership(group) for group in _memberships(fields) if group != name]
        self._put(contact, {key: items for key, items in fields.items() if items})

    # --- normalisation (8) ------------------------------------------------------------------------------------

    def _normal(self, person: Mapping[str, Any], old: Fields) -> Fields:
        """The fields of a person as Google keeps them: `old` with those that `person` has replaced.

        Items of a linked profile cannot be written: those sent are ignored, those there are stay.
        """
        fields = dict(old)
        for name in WRITABLE & person.keys():
            profile = [item for item in old.get(name, []) if _is_profile(item)]
            own = [_clean(item) for item in person[name] if old == {} or not _is_profile(item)]
            items = self._kept(name, [item for item in own if item])
            fields[name] = items + profile
        return {name: items for name, items in fields.items() if items}

    def _kept(self, name: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if name == "names":
            items = [_parsed(item) for item in items]
        elif name == "emailAddresses":
            items = list({item.get("value"): item for item in reversed(items)}.values())[::-1]
        elif name == "biographies":
            items = [{"contentType": "TEXT_PLAIN", **item} for item in items]
        return items

    def _check(self, person: Mapping[str, Any], old: Fields) -> None:
        """What Google refuses of a person's fields (3, 5)."""
        for name in SINGLETONS:
            if len([item for item in person.get(name, ()) if not _is_profile(item)]) > 1:
                raise invalid(f"Only one {name} can be set for a contact.", f"person.{name}")
        for item in (*person.get("birthdays", ()), *person.get("events", ())):
            _check_date(item.get("date"))
        for group in _memberships(person):
            known = self._groups.get(group)
            if known is None or known.deleted:
                raise invalid(f"Contact group {group} does not exist.", "person.memberships")
            if known.system and group not in ADDABLE and group not in _memberships(old):
                raise invalid(f"Contacts cannot be added to {group}.", "person.memberships")

    # --- rendering --------------------------------------------------------------------------------------------

    def _render(
        self, contact: Contact, state: State, mask: frozenset[str], sources: Sequence[str] | None, sync: bool = False
    ) -> dict[str, Any]:
        """A person with the fields of the mask, or its tombstone."""
        fingerprint = hashlib.sha256(f"{state.etag} {sorted(mask)}".encode()).hexdigest()[:10]
        person: dict[str, Any] = {"resourceName": contact.name, "etag": f"%{fingerprint}"}
        source = {
            "type": "CONTACT",
            "id": contact.id,
            "etag": state.etag,
            "updateTime": state.at.isoformat().replace("+00:00", "Z"),
        }
        metadata: dict[str, Any] = {"sources": [source], "objectType": "PERSON"}
        if sync and contact.former:
            metadata["previousResourceNames"] = list(contact.former)
        if state.fields is None:
            return {**person, "metadata": {**metadata, "deleted": True}}
        profile = sources is None or "READ_SOURCE_TYPE_PROFILE" in sources
        for name in sorted(mask & state.fields.keys()):
            items = [item for item in state.fields[name] if profile or not _is_profile(item)]
            if items:
                person[name] = [self._shown(name, item, contact, n == 0) for n, item in enumerate(items)]
        if "photos" in mask:
            token = state.photo or "default"
            mark = {"default": True} if state.photo is None else {}
            mine = {"primary": True, "source": {"type": "CONTACT", "id": contact.id}}
            person["photos"] = [{"metadata": mine, "url": f"{self._base}photos/{token}", **mark}]
        if "metadata" in mask:
            person["metadata"] = metadata
        return person

    def _shown(self, name: str, item: Mapping[str, Any], contact: Contact, first: bool) -> dict[str, Any]:
        """An item with what is output only (3, 8)."""
        shown = copy.deepcopy(dict(item))
        source = shown.get("metadata", {}).get("source", {"type": "CONTACT", "id": contact.id})
        shown["metadata"] = {**({"primary": True, "sourcePrimary": True} if first else {}), "source": source}
        if "type" in shown and name not in ("miscKeywords", "nicknames"):
            shown["formattedType"] = shown["type"][:1].upper() + shown["type"][1:]
        if name == "names":
            shown |= _displayed(shown)
        elif name == "phoneNumbers" and (canonical := self._canonical(shown.get("value", ""))):
            shown["canonicalForm"] = canonical
        elif name == "addresses":
            parts = ("streetAddress", "extendedAddress", "poBox", "city", "region", "postalCode", "country")
            lines = [shown[part] for part in parts if shown.get(part)]
            shown.setdefault("formattedValue", "\n".join(lines))
        elif name == "birthdays" and "date" in shown:
            date = shown["date"]
            shown.setdefault("text", "/".join(str(date[u]) for u in ("month", "day", "year") if u in date))
        elif name == "memberships":
            group = shown["contactGroupMembership"]
            group["contactGroupId"] = group["contactGroupResourceName"].partition("/")[2]
        return shown

    def _canonical(self, number: str) -> str | None:
        import phonenumbers

        try:
            parsed = phonenumbers.parse(number, self.region)
        except phonenumbers.NumberParseException:
            return None
        return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))

    # --- what a request must pass -------------------------------------------------------------------------------

    def admit(self, request: Request, kind: str) -> None:
        """Token, scope, enabled API, quotas (1, 7)."""
        self.advance(self.tick)
        self._base = str(request.base_url)
        scope = self.oauth.scope_of(request.headers.get("authorization", ""))
        if scope is None:
            raise ApiError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if self.disabled:
            message = "People API has not been used in project 1 before or it is disabled."
            raise ApiError(403, "PERMISSION_DENIED", message, [error_info("SERVICE_DISABLED")])
        if CONTACTS not in scope.split() and (kind == "write" or f"{CONTACTS}.readonly" not in scope.split()):
            message = "Request had insufficient authentication scopes."
            raise ApiError(403, "PERMISSION_DENIED", message, [error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")])
        if self.exhausted:
            detail = {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"subject": "user", "description": "FBS quota limit exceeded"}],
            }
            raise ApiError(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", [detail])
        self._spend(kind, self.minute_quotas.get(kind))

    def _spend(self, kind: str, most: int | None) -> None:
        now = self.clock()
        spent = [at for at in self._spent.get(kind, ()) if at > now - timedelta(minutes=1)]
        if most is not None and len(spent) >= most:
            metric = {"read": "Critical read requests (Contact and Profile Reads)"}.get(kind, kind)
            raise ApiError(
                429,
                "RESOURCE_EXHAUSTED",
                f"Quota exceeded for quota metric '{metric}' and limit '{metric} per minute per user' of service "
                "'people.googleapis.com' for consumer 'project_number:1'.",
            )
        self._spent[kind] = [*spent, now]

    # --- people: reading ----------------------------------------------------------------------------------------

    def list_connections(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """people.connections.list (4)."""
        mask, sources = _mask(query, "personFields"), query.get("sources")
        size = _page_size(query, 100)
        fingerprint = _fingerprint(query)
        place = self._place(query, fingerprint)
        if place is None:
            self._spend("full listing", self.full_quota)
            place = {"since": None, "horizon": self._horizon(), "offset": 0, "full": self.clock().isoformat()}
        entries = list(self._entries(place["since"], place["horizon"]))
        end = place["offset"] + min(size, self.page_cap)
        sync = place["since"] is not None
        shown = [
            _capped(self._render(contact, state, mask, sources, sync))
            for contact, state in entries[place["offset"] : end]
        ]
        answer: dict[str, Any] = {"connections": shown} if shown else {}
        answer |= {"totalPeople": len(entries), "totalItems": len(entries)} if entries else {}
        if end < len(entries):
            answer["nextPageToken"] = _token({**place, "offset": end, "of": fingerprint})
        elif query.get("requestSyncToken") == ["true"]:
            full = self.clock().isoformat() if self.extend else place["full"]
            answer["nextSyncToken"] = _token({"seq": place["horizon"], "full": full, "of": fingerprint})
        return answer

    def _place(self, query: Mapping[str, list[str]], fingerprint: str) -> dict[str, Any] | None:
        """Where a listing goes on; None where it begins."""
        page, sync = (_untoken(query[name][0]) if name in query else None for name in ("pageToken", "syncToken"))
        for token in (page, sync):
            if token and token["of"] != fingerprint:
                raise invalid("Request parameters must match the call that created the token.")
        if sync and datetime.fromisoformat(sync["full"]) + TOKEN_LIFE < self.clock():
            message = "Sync token is expired. Clear local cache and retry call without the sync token."
            raise ApiError(400, "FAILED_PRECONDITION", message, [error_info("EXPIRED_SYNC_TOKEN")])
        if page:
            return page
        if sync:
            return {"since": sync["seq"], "horizon": self._horizon(), "offset": 0, "full": sync["full"]}
        return None

    def _entries(self, since: int | None, horizon: int) -> Iterator[tuple[Contact, State]]:
        """Contacts as they were at the horizon, last modified last; tombstones only in deltas."""
        states = [(contact, state) for contact in self._contacts.values() if (state := contact.at(horizon))]
        for contact, state in sorted(states, key=lambda entry: entry[1].seq):
            if state.fields is not None if since is None else state.seq > since:
                yield contact, state

    def get_people(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """people.getBatchGet."""
        mask, names = _mask(query, "personFields"), query.get("resourceNames", [])
        if len(names) > 200:
            raise invalid("At most 200 resource names can be requested.", "resource_names")
        return {"responses": [self._response(name, mask, query.get("sources")) for name in names]}

    def _response(self, name: str, mask: frozenset[str], sources: Sequence[str] | None) -> dict[str, Any]:
        try:
            contact = self._find(name)
        except ApiError as error:
            status = {"code": CODES["NOT_FOUND"], "message": error.message}
            return {"requestedResourceName": name, "httpStatusCode": 404, "status": status}
        person = self._render(contact, contact.now, mask, sources)
        return {"requestedResourceName": name, "httpStatusCode": 200, "person": person, "status": {}}

    def get_person(self, name: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        contact = self._find(name)
        return self._render(contact, contact.now, _mask(query, "personFields"), query.get("sources"))

    # --- people: writing ------------------------------------------------------------------------------------------

    def create_contact(self, person: Mapping[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
        self._check(person, {})
        contact = self._create(self._normal(person, {}))
        return self._render(contact, contact.now, _mask(query, "personFields"), query.get("sources"))

    def create_contacts(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """people.batchCreateContacts."""
        people = [entry.get("contactPerson", {}) for entry in body.get("contacts", ())]
        _check_batch(len(people))

        def create(position: str) -> None:
            person = people[int(position)]
            self._check(person, {})
            made.append(self._create(self._normal(person, {})))

        made: list[Contact] = []
        dry = {str(n): (lambda n=n: self._check(people[n], {})) for n in range(len(people))}
        self._all_or_error("BatchCreate", dry, create)
        mask = _body_mask(body, "readMask", READABLE)
        answers = [self._response(contact.name, mask, body.get("sources")) for contact in made]
        return {"createdPeople": answers} if mask else {}

    def update_contact(self, name: str, person: Mapping[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
        mask = _fields(query.get("updatePersonFields", [""])[0], WRITABLE, "update_person_fields")
        contact = self._find(name)
        self._update(contact, person, mask)
        shown = _mask(query, "personFields") if "personFields" in query else READABLE
        return self._render(contact, contact.now, shown, query.get("sources"))

    def update_contacts(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """people.batchUpdateContacts: one mask for all."""
        people: Mapping[str, Any] = body.get("contacts", {})
        _check_batch(len(people))
        mask = _body_mask(body, "updateMask", WRITABLE)
        if not mask:
            raise invalid("update_mask is required.", "update_mask")
        dry = {name: (lambda name=name: self._check_update(self._find(name), people[name], mask)) for name in people}
        self._all_or_error("BatchUpdate", dry, lambda name: self._update(self._find(name), people[name], mask))
        read = _body_mask(body, "readMask", READABLE)
        if not read:
            return {}
        return {"updateResult": {name: self._response(name, read, body.get("sources")) for name in people}}

    def _all_or_error(self, kind: str, dry: Mapping[str, Callable[[], None]], apply: Callable[[str], None]) -> None:
        """Apply all of a batch; where one would fail the answer is an error with each one's own (2), and nothing is
        done, or (`partial`) what stands before the first fault is."""
        faults: dict[str, ApiError] = {}
        for name, check in dry.items():
            try:
                check()
            except ApiError as error:
                faults[name] = error
        for name in dry:
            if faults and (not self.partial or name in faults):
                break
            apply(name)
        if not faults:
            return
        first = next(iter(faults.values()))
        errors = {name: {"code": CODES[e.status], "message": e.message} for name, e in faults.items()}
        detail = {"@type": f"type.googleapis.com/google.people.v1.{kind}ContactsErrorDetails", "contactErrors": errors}
        raise ApiError(first.http, first.status, first.message, [detail] if self.names_faulty else [])

    def _check_update(self, contact: Contact, person: Mapping[str, Any], mask: frozenset[str]) -> None:
        """Conditional on the CONTACT source's etag, or the person's, which the read mask is part of (5)."""
        sources = person.get("metadata", {}).get("sources", ())
        etag = next((s.get("etag") for s in sources if s.get("type") == "CONTACT"), None)
        if etag is None and "etag" not in person:
            raise invalid(
                "person.metadata.sources must have a CONTACT source with its etag.", "person.metadata.sources"
            )
        current = contact.now.etag if etag else self._render(contact, contact.now, READABLE, None)["etag"]
        if (etag or person["etag"]) != current:
            raise ApiError(400, "FAILED_PRECONDITION", STALE)
        if "memberships" in mask and not _memberships(person):
            raise invalid("At least one contact group membership is required.", "person.memberships")
        self._check({name: person.get(name, ()) for name in mask}, contact.now.fields or {})

    def _update(self, contact: Contact, person: Mapping[str, Any], mask: frozenset[str]) -> None:
        """Replace every field of the mask entirely (5)."""
        self._check_update(contact, person, mask)
        old = copy.deepcopy(contact.now.fields or {})
        self._put(contact, self._normal({name: person.get(name, []) for name in mask}, old))

    def delete_contacts(self, body: Mapping[str, Any]) -> dict[str, Any]:
        names = body.get("resourceNames", [])
        if len(names) > 500:
            raise invalid("At most 500 contacts can be deleted at once.", "resource_names")
        for contact in [self._find(name) for name in names]:
            self._delete(contact)
        return {}

    def delete_contact(self, name: str) -> dict[str, Any]:
        self._delete(self._find(name))
        return {}

    def update_photo(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        contact = self._find(name)
        try:
            data = base64.b64decode(body.get("photoBytes", ""), validate=True)
        except binascii.Error:
            raise invalid("photo_bytes is not base64.", "photo_bytes") from None
        if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
            raise invalid("The photo is not a JPEG or PNG.", "photo_bytes")
        self._put_photo(contact, data)
        return self._after_photo(contact, _body_mask(body, "personFields", READABLE), body.get("sources"))

    def delete_photo(self, name: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        contact = self._find(name)
        self._put_photo(contact, None)
        mask = _fields(query.get("personFields", [""])[0], READABLE, "person_fields")
        return self._after_photo(contact, mask, query.get("sources"))

    def _after_photo(self, contact: Contact, mask: frozenset[str], sources: Any) -> dict[str, Any]:
        return {"person": self._render(contact, contact.now, mask, sources)} if mask else {}

    def photo_file(self, token: str, size: int) -> bytes:
        """A photo's file: without a size, a thumbnail."""
        return PIXEL if token == "default" or size < 256 else self._photos[token]  # noqa: S105 not a password

    # --- groups ---------------------------------------------------------------------------------------------------

    def list_groups(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """contactGroups.list with its own sync token (4.6)."""
        size = min(_page_size(query, 30), self.page_cap)
        page, sync = (_untoken(query[name][0]) if name in query else None for name in ("pageToken", "syncToken"))
        place = page or {"since": sync["seq"] if sync else None, "horizon": self._horizon(), "offset": 0}
        groups = [
            group
            for group in sorted(self._groups.values(), key=lambda group: group.seq)
            if group.seq <= place["horizon"]
            and (group.seq > place["since"] if place["since"] is not None else not group.deleted)
        ]
        end = place["offset"] + size
        shown = [self._show_group(group) for group in groups[place["offset"] : end]]
        answer: dict[str, Any] = {"contactGroups": shown, "totalItems": len(groups)} if shown else {}
        if end < len(groups):
            return {**answer, "nextPageToken": _token({**place, "offset": end})}
        return {**answer, "nextSyncToken": _token({"seq": place["horizon"]})}

    def _show_group(self, group: Group, most: int = 0) -> dict[str, Any]:
        members = [contact.name for contact in self._members(group.name)]
        metadata: dict[str, Any] = {"updateTime": group.at.isoformat().replace("+00:00", "Z")}
        shown: dict[str, Any] = {
            "resourceName": group.name,
            "etag": f"g{group.seq:x}",
            "metadata": {**metadata, "deleted": True} if group.deleted else metadata,
            "groupType": "SYSTEM_CONTACT_GROUP" if group.system else "USER_CONTACT_GROUP",
            "name": group.title,
            "formattedName": group.title,
        }
        shown |= {"memberCount": len(members)} if members else {}
        return shown | ({"memberResourceNames": members[:most]} if members[:most] else {})

    def _living_group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None or group.deleted:
            raise not_found()
        return group

    def get_group(self, name: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        return self._show_group(self._living_group(name), int(query.get("maxMembers", ["0"])[0]))

    def create_group(self, body: Mapping[str, Any]) -> dict[str, Any]:
        title = body.get("contactGroup", {}).get("name", "")
        if not title.strip():
            raise invalid("A contact group needs a name.", "contact_group.name")
        return self._show_group(self._create_group(title))

    def update_group(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        group = self._living_group(name)
        title = body.get("contactGroup", {}).get("name", "").strip()
        if any(g.title.casefold() == title.casefold() and g is not group for g in self._groups.values()):
            raise ApiError(409, "ALREADY_EXISTS", "Contact group name already exists.")
        self.rename_group(name, title)
        return self._show_group(group)

    def remove_group(self, name: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        self._living_group(name)
        self._delete_group(name, query.get("deleteContacts") == ["true"])
        return {}

    def modify_members(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """contactGroups.members.modify: the last group of a contact cannot be left (2)."""
        group = self._living_group(name)
        add, remove = body.get("resourceNamesToAdd", []), body.get("resourceNamesToRemove", [])
        if len(add) + len(remove) > 1000:
            raise invalid("At most 1000 members can be modified at once.")
        if add and group.system and name not in ADDABLE:
            raise invalid(f"Contacts cannot be added to {name}.")
        missing, last = [], []
        for person in (*add, *remove):
            try:
                contact = self._find(person)
            except ApiError:
                missing.append(person)
                continue
            groups = _memberships(contact.now.fields or {})
            if person in remove and groups == [name]:
                last.append(person)
            elif person in remove and name in groups:
                self._leave(contact, name)
            elif person in add and name not in groups:
                fields = copy.deepcopy(contact.now.fields or {})
                fields["memberships"] = [_membership(group) for group in (*groups, name)]
                self._put(contact, fields)
        answer = {"notFoundResourceNames": missing, "canNotRemoveLastContactGroupResourceNames": last}
        return {key: names for key, names in answer.items() if names}


# --- helpers of the state -------------------------------------------------------------------------------------


def _is_profile(item: Mapping[str, Any]) -> bool:
    return bool(item.get("metadata", {}).get("source", {}).get("type", "CONTACT") != "CONTACT")


def _clean(item: Mapping[str, Any]) -> dict[str, Any]:
    """Trimmed, without empties, without what is output only (8)."""
    kept: dict[str, Any] = {}
    for prop, value in item.items():
        if prop in OUTPUT_ONLY and not (prop == "metadata" and _is_profile(item)):
            continue
        tidy = value.strip() if isinstance(value, str) else _clean(value) if isinstance(value, Mapping) else value
        if tidy not in ("", {}, [], None, 0, False):
            kept[prop] = tidy
    return kept


def _parsed(name: Mapping[str, Any]) -> dict[str, Any]:
    """A name in parts: the free form is parsed where it stands alone, and derived anew otherwise (8, K)."""
    parts = {key: value for key, value in name.items() if key not in ("displayName", "unstructuredName")}
    if parts or "unstructuredName" not in name:
        return parts
    first, _, last = name["unstructuredName"].rpartition(" ")
    return {"givenName": first, "familyName": last} if first else {"givenName": last}


def _displayed(name: Mapping[str, Any]) -> dict[str, str]:
    order = ("honorificPrefix", "givenName", "middleName", "familyName", "honorificSuffix")
    whole = " ".join(name[part] for part in order if name.get(part))
    first = " ".join(name[part] for part in ("givenName", "middleName") if name.get(part))
    last_first = ", ".join(part for part in (name.get("familyName", ""), first) if part)
    derived = {"displayName": whole, "displayNameLastFirst": last_first, "unstructuredName": whole}
    return {key: value for key, value in derived.items() if value}


def _memberships(person: Mapping[str, Any]) -> list[str]:
    groups = (item.get("contactGroupMembership", {}) for item in person.get("memberships", ()))
    return [group["contactGroupResourceName"] for group in groups if "contactGroupResourceName" in group]


def _membership(name: str) -> dict[str, Any]:
    return {"contactGroupMembership": {"contactGroupResourceName": name}}


def _check_date(date: Mapping[str, int] | None) -> None:
    """One of y-m-d, m-d, y-m, y (disc, Date)."""
    if date is None:
        return
    year, month, day = (date.get(unit, 0) for unit in ("year", "month", "day"))
    try:
        datetime(year or 2000, month or 1, day or 1, tzinfo=UTC)
    except ValueError:
        raise invalid("The date is not valid.", "person.date") from None
    if (day and not month) or not (year or month) or (month and not (day or year)):
        raise invalid("The date is not valid.", "person.date")


def _check_batch(size: int) -> None:
    if not 1 <= size <= 200:
        raise invalid("A batch has 1 to 200 contacts.", "contacts")


# --- helpers of requests ----------------------------------------------------------------------------------------


def _fields(text: str, known: frozenset[str], name: str) -> frozenset[str]:
    fields = frozenset(filter(None, text.split(",")))
    if unknown := sorted(fields - known):
        raise invalid(f'Invalid {name} mask path: "{unknown[0]}".', name)
    return fields


def _mask(query: Mapping[str, list[str]], name: str) -> frozenset[str]:
    fields = _fields(query.get(name, [""])[0], READABLE, "person_fields")
    if not fields:
        raise invalid("person_fields mask is required.", "person_fields")
    return fields


def _body_mask(body: Mapping[str, Any], name: str, known: frozenset[str]) -> frozenset[str]:
    return _fields(body.get(name, ""), known, name)


def _page_size(query: Mapping[str, list[str]], default: int) -> int:
    size = int(query.get("pageSize", ["0"])[0]) or default
    if not 1 <= size <= 1000:
        raise invalid("Page size must be between 1 and 1000.", "page_size")
    return size


def _fingerprint(query: Mapping[str, list[str]]) -> str:
    """Of all parameters but the tokens: a token is bound to them (4.3)."""
    kept = sorted((name, values) for name, values in query.items() if name not in ("pageToken", "syncToken"))
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:12]


def _capped(person: dict[str, Any]) -> dict[str, Any]:
    """Listings give at most 100 e-mail addresses and phones of a person (3)."""
    return {
        name: value[:100] if name in ("emailAddresses", "phoneNumbers") else value for name, value in person.items()
    }


def _token(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def _untoken(token: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        raise invalid("Request contains an invalid token.") from None
    return content


# --- OAuth2 (1) -------------------------------------------------------------------------------------------------


class OAuth(AuthServer):
    """Google's authorization server. rotate: a refresh answers with a new refresh token (K). Its users are account
    ids."""

    stranger = 401
    access_life = timedelta(seconds=3599)

    def __init__(self, clock: Callable[[], datetime], rotate: bool) -> None:
        super().__init__(clock, "sandbox.apps.example.test", OWNER)
        self.rotate = rotate

    def name_token(self, kind: str) -> str:
        return {"code": "4/0", "refresh": "1//", "access": "ya29."}[kind] + secrets.token_urlsafe(24)

    def successor(self, token: str, held: Token) -> str | None:
        return self.replace(token, held) if self.rotate else None


# --- the app ----------------------------------------------------------------------------------------------------


def _app(box: GoogleSandbox) -> FastAPI:
    app = FastAPI(title="People API sandbox", openapi_url=None)

    @app.exception_handler(ApiError)
    def _error(request: Request, error: ApiError) -> Response:
        return JSONResponse(error.body(), error.http)

    def endpoint(method: str, path: str, kind: str, act: Callable[..., dict[str, Any]]) -> None:
        """act(**path parameters, query=…, body=…) under the lock, once the request is admitted."""

        async def handle(request: Request) -> Response:
            raw = await request.body()
            query: Mapping[str, list[str]] = parse_qs(request.url.query)
            body: Any = {}
            if request.headers.get("x-http-method-override") == "GET":
                query = parse_qs(raw.decode())  # how clients send a query that is too long for an address
            elif raw:
                body = json.loads(raw)
            query = {name: values for name, values in query.items() if name not in ("alt", "prettyPrint")}
            with box.lock:
                box.admit(request, kind)
                return JSONResponse(act(request.path_params, query, body))

        app.add_api_route(path, handle, methods=[method], response_model=None)

    def person(params: Mapping[str, str]) -> str:
        return f"people/{params['id']}"

    def group(params: Mapping[str, str]) -> str:
        return f"contactGroups/{params['id']}"

    endpoint("GET", "/v1/people/me/connections", "read", lambda p, q, b: box.list_connections(q))
    for method in ("GET", "POST"):
        endpoint(method, "/v1/people:batchGet", "read", lambda p, q, b: box.get_people(q))
    endpoint("POST", "/v1/people:createContact", "write", lambda p, q, b: box.create_contact(b, q))
    endpoint("POST", "/v1/people:batchCreateContacts", "write", lambda p, q, b: box.create_contacts(b))
    endpoint("POST", "/v1/people:batchUpdateContacts", "write", lambda p, q, b: box.update_contacts(b))
    endpoint("POST", "/v1/people:batchDeleteContacts", "write", lambda p, q, b: box.delete_contacts(b))
    endpoint("PATCH", "/v1/people/{id}:updateContactPhoto", "write", lambda p, q, b: box.update_photo(person(p), b))
    endpoint("DELETE", "/v1/people/{id}:deleteContactPhoto", "write", lambda p, q, b: box.delete_photo(person(p), q))
    endpoint("PATCH", "/v1/people/{id}:updateContact", "write", lambda p, q, b: box.update_contact(person(p), b, q))
    endpoint("DELETE", "/v1/people/{id}:deleteContact", "write", lambda p, q, b: box.delete_contact(person(p)))
    _add_me(app, box)
    endpoint("GET", "/v1/people/{id}", "read", lambda p, q, b: box.get_person(person(p), q))
    endpoint("GET", "/v1/contactGroups", "read", lambda p, q, b: box.list_groups(q))
    endpoint("POST", "/v1/contactGroups", "write", lambda p, q, b: box.create_group(b))
    endpoint("POST", "/v1/contactGroups/{id}/members:modify", "write", lambda p, q, b: box.modify_members(group(p), b))
    endpoint("GET", "/v1/contactGroups/{id}", "read", lambda p, q, b: box.get_group(group(p), q))
    endpoint("PUT", "/v1/contactGroups/{id}", "write", lambda p, q, b: box.update_group(group(p), b))
    endpoint("DELETE", "/v1/contactGroups/{id}", "write", lambda p, q, b: box.remove_group(group(p), q))

    _add_others(app, box)
    return app


def _add_me(app: FastAPI, box: GoogleSandbox) -> None:
    """people.get of people/me: the account whose token it is. The contacts are those of `OWNER`, whoever asks."""

    @app.get("/v1/people/me")
    def me(request: Request) -> Response:
        with box.lock:
            box.admit(request, "read")
            _mask(parse_qs(request.url.query), "personFields")
            user = box.oauth.user_of(request.headers.get("authorization", ""))
            metadata = {"objectType": "PERSON", "sources": [{"type": "PROFILE", "id": user}]}
            return JSONResponse({"resourceName": f"people/{user}", "etag": "%EgMBNy4=", "metadata": metadata})


def _add_others(app: FastAPI, box: GoogleSandbox) -> None:
    """What is not the People API: the authorization server and the photos' files."""

    app.router.routes.extend(box.oauth.routes("/auth", "/token", box.lock))

    @app.get("/photos/{token}")
    def photo(token: str, sz: int = 100) -> Response:
        with box.lock:
            if token != "default" and token not in box._photos:  # noqa: S105 not a password
                return Response("", 404)
            data = box.photo_file(token, sz)
        return Response(data, media_type="image/jpeg" if data.startswith(b"\xff\xd8") else "image/png")


def create(**options: Any) -> GoogleSandbox:
    """A new account; the options are those of `GoogleSandbox`."""
    return GoogleSandbox(**options)
