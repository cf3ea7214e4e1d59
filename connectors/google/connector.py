"""Google Contacts under the contract of a connector: see the package's docstring for its quirks and limits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from connectors.card import Card, Element, blob_uri
from connectors.contract import Account, Capabilities, Context, Outcome, Page, Push, Record, batched
from connectors.errors import (
    CursorExpired,
    Error,
    Missing,
    Refused,
    Stale,
    Throttled,
    Unauthorised,
    Uncertain,
    Unreachable,
)
from connectors.google import mapping
from connectors.google.client import FAILED_PRECONDITION, NOT_FOUND, SCOPE, Client, GoogleSettings, Rejected

READ: Final = ",".join(sorted({*mapping.WRITTEN, "metadata", "clientData", "photos"}))
LIST_CAP: Final = 100
"""connections.list gives at most so many e-mail addresses and phones of a person; the whole set comes by a get."""
MINUTES: Final = 600.0
"""Seconds for which listings may show what was before a write: "several minutes" (note 4.5)."""
BATCH: Final = 200
DELETES: Final = 500
RUN_ENDING: Final = (Throttled, Unreachable, Unauthorised)

_suspects: set[str] = set()
"""Keys of creates that were refused together with others, in this process: from then on each is sent alone, so that
one bad apple cannot keep the rest out for ever."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One push with what it means for Google. lists: those to replace, complete. photo: None: leave it as it is."""

    push: Push
    lists: Mapping[str, Sequence[Any]]
    photo: str | None

    @property
    def mask(self) -> str:
        return ",".join(sorted(self.lists))


class Google:
    """One account's contacts. Record ids are the ids of the CONTACT source (note 6); `raw` is {resource, lists, groups,
    photo}: the resource name, the lists as read, {group: name}, {url, media}."""

    def __init__(self, settings: GoogleSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._client = Client(settings, context)
        fields = mapping.FIELDS if settings.photos else mapping.FIELDS - {"media"}
        self.capabilities = Capabilities(fields=fields, batch=BATCH, lag=MINUTES, find_lag=MINUTES)
        self._groups: dict[str, str] | None = None
        self._resources: dict[str, str] = {}
        self._photos: dict[str, tuple[Element, bytes]] = {}

    def close(self) -> None:
        self._client.close()

    def fit(self, card: Card, held: Card | None) -> Card:
        return mapping.fit(card, held, photos=self._settings.photos)

    def check(self) -> Account:
        """Three requests: whose account it is, how many contacts there are, and what the consent covers."""
        scopes = self._client.scopes()
        total = self._client.connections({"personFields": "metadata", "pageSize": 1}).get("totalItems", 0)
        notes = ["Google shows changes in listings some minutes late; they are taken in at a later run."]
        if scopes and SCOPE not in scopes:
            self.capabilities = replace(self.capabilities, creates=False, updates=False, deletes=False)
            notes.append("This consent is for reading only: nothing will be written to Google.")
        label = f"Google Contacts of {self._settings.account or 'this account'} ({total:,} contacts)"
        return Account(label, notes, self._client.clock, self._client.me())

    # --- reading ----------------------------------------------------------------------------------------------

    def _listing(self) -> dict[str, Any]:
        """The parameters of the listing; a sync token is good for exactly these (note 4.3)."""
        return {
            "personFields": READ,
            "sources": ["READ_SOURCE_TYPE_CONTACT"],
            "sortOrder": "LAST_MODIFIED_ASCENDING",
            "pageSize": self._settings.page_size,
            "requestSyncToken": True,
        }

    def changes(self, cursor: Any | None) -> Iterator[Page]:
        """A full listing, or what changed. Both give a cursor on their last page only, as Google gives the sync token
        there, and page tokens do not live long enough to be kept: one that broke off begins again.

        cursor: {people: sync token, parameters: hash of the listing's, groups: sync token, names: {group: name},
        unknown: groups seen on contacts but not yet listed, full: when the full listing was made}.
        """
        listing = self._listing()
        parameters = hashlib.sha256(orjson.dumps(listing, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        if cursor is not None and (not isinstance(cursor, dict) or cursor.get("parameters") != parameters):
            raise CursorExpired("the listing is asked for in another way than when this sync token was made")
        groups_token, renamed = self._read_groups(cursor)
        names = dict(sorted(self._known().items()))
        tombstones: list[Record] = []
        seen: set[str] = set()
        unknown: set[str] = set()
        for answer in self._pages(listing, cursor):
            records, gone = self._sorted_out(answer.get("connections", ()), unknown)
            tombstones += gone
            seen.update(record.id for record in records)
            if not answer.get("nextPageToken"):
                break
            yield Page(records, total=answer.get("totalItems"))
        token = answer.get("nextSyncToken")
        if not token:
            raise Unreachable("Google's last page came without a sync token; the listing begins again at the next turn")
        following = {
            "people": token,
            "parameters": parameters,
            "groups": groups_token,
            "names": names,
            "unknown": sorted(unknown.union(cursor["unknown"] if cursor else ()) - names.keys()),
            "full": cursor["full"] if cursor else self._context.now().isoformat(),
        }
        # Deaths come last: a merge by the user is an update of the survivor and the death of the others (note 6).
        records += [record for record in self._members(renamed) if record.id not in seen] + tombstones
        yield Page(records, cursor=following, complete=cursor is None, total=answer.get("totalItems"))

    def _pages(self, listing: Mapping[str, Any], cursor: Any | None) -> Iterator[Mapping[str, Any]]:
        params = {**listing, **({"syncToken": cursor["people"]} if cursor else {})}
        while True:
            try:
                answer = self._client.connections(params)
            except CursorExpired as expired:
                raise CursorExpired(f"{expired}; the last full listing was made {_when(cursor)}") from None
            except Refused as refused:
                if cursor is None:
                    raise
                # A token that Google does not take for whatever reason is worth no more than an expired one.
                raise CursorExpired(f"the sync token was not taken: {refused}") from None
            yield answer
            params["pageToken"] = answer.get("nextPageToken")

    def _sorted_out(self, people: Iterable[mapping.Person], unknown: set[str]) -> tuple[list[Record], list[Record]]:
        """(records, tombstones)."""
        alive: list[mapping.Person] = []
        gone: list[Record] = []
        cut: list[str] = []
        for person in people:
            if person.get("metadata", {}).get("deleted"):
                gone.append(_tombstone(person))
            elif max(len(person.get("emailAddresses", ())), len(person.get("phoneNumbers", ()))) >= LIST_CAP:
                cut.append(person["resourceName"])
            else:
                alive.append(person)
        alive += [answer["person"] for answer in self._get(cut) if "person" in answer]
        groups = {name for person in alive for name in mapping.memberships(person) if not _is_system(name)}
        if not groups <= self._known().keys():
            self._read_groups(None)  # one made since we listed them comes with its first member
        unknown |= groups - self._known().keys()
        return [self._record(person) for person in alive], gone

    def read(self, ids: Sequence[str]) -> Iterator[Record]:
        by_resource = {self._resource(key): key for key in ids}
        for answer in self._get(list(by_resource)):
            key = by_resource.pop(answer.get("requestedResourceName", ""), None)
            person = answer.get("person", {})
            if key and mapping.contact_source(person):
                record = self._record(person)
                yield record if key == record.id else replace(record, aliases=(*record.aliases, key))
            elif key and _gone(answer):
                yield Record(key, None)
            elif key:
                raise Unreachable(f"Google did not give a contact that was asked for (HTTP {_status(answer)})")
        if by_resource:  # no answer is no proof of a deletion
            raise Unreachable(f"Google said nothing of {len(by_resource)} contacts that were asked for")

    def _get(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for batch in batched(names, BATCH):
            yield from self._client.people(batch, READ)

    def find(self, pushes: Sequence[Push]) -> Iterator[tuple[str, Record]]:
        """Look for our keys in a listing of nothing but keys. It shows a new contact some minutes late (`find_lag`);
        searchContacts would be quicker but answers from a stale cache (note 2)."""
        wanted = {push.key: push.ref for push in pushes}
        params: dict[str, Any] = {
            "personFields": "clientData,metadata",
            "sources": ["READ_SOURCE_TYPE_CONTACT"],
            "pageSize": 1000,
        }
        found: dict[str, str] = {}
        told: set[str] = set()
        while True:
            answer = self._client.connections(params)
            for person in answer.get("connections", ()):
                if mapping.key_of(person) in wanted:
                    found.setdefault(person["resourceName"], wanted[str(mapping.key_of(person))])
            if not answer.get("nextPageToken"):
                break
            params["pageToken"] = answer["nextPageToken"]
        for got in self._get(list(found)):
            person = got.get("person")
            ref = found.pop(got.get("requestedResourceName", ""), None)
            if person and ref and ref not in told:
                told.add(ref)
                yield ref, self._record(person)

    # --- records ----------------------------------------------------------------------------------------------

    def _record(self, person: mapping.Person, held: Mapping[str, Any] | None = None) -> Record:
        """The person as a record. held: the raw of the record as it was, to know its photo by its address."""
        source = mapping.contact_source(person)
        resource = person["resourceName"]
        key = source.get("id") or _id_of(resource)
        self._resources[key] = resource
        lists = mapping.writable(person)
        groups = {name: self._known()[name] for name in mapping.memberships(person) if name in self._known()}
        refused: str | None = None
        media, blobs, photo = None, {}, None
        url = mapping.photo_url(person) if self._settings.photos else None
        if url:
            try:
                media, data = self._photo(url, (held or {}).get("photo"))
            except (Missing, Refused, Unauthorised) as lost:
                refused = f"its photo cannot be had: {lost}"
            else:
                photo = {"url": url, "media": media}
                blobs = {media["uri"]: data} if data else {}
        previous = person.get("metadata", {}).get("previousResourceNames", ())
        return Record(
            id=key,
            card=mapping.view(lists, groups, media),
            version=source.get("etag"),
            modified=_time(source.get("updateTime")),
            key=mapping.key_of(person),
            raw={"resource": resource, "lists": lists, "groups": groups, "photo": photo},
            blobs=blobs,
            aliases=tuple(name for name in dict.fromkeys(map(_id_of, previous)) if name != key),
            refused=refused,
        )

    def _photo(self, url: str, held: Mapping[str, Any] | None) -> tuple[Element, bytes]:
        """(media element, bytes) of a photo. It is fetched once for each address: an address that the held record
        already had stands for the same photo, and needs no bytes."""
        if held and held["url"] == url:
            return held["media"], b""
        if url not in self._photos:
            data, media_type = self._client.photo(url)
            if not media_type.startswith("image/"):
                raise Refused(f"its address gave {media_type or 'nothing'} and no image")
            media = {"kind": "photo", "uri": blob_uri(data), "mediaType": media_type, "size": len(data)}
            self._photos = {url: (media, data)}  # the last one: an address often comes twice in a row, seldom later
        return self._photos[url]

    def _resource(self, key: str) -> str:
        """The resource name of a record: the one it was last seen under, else the one it was made with, which Google
        goes on answering to (`requestedResourceName`)."""
        return self._resources.get(key) or _resource_of(key)

    # --- groups -------------------------------------------------------------------------------------------------

    def _known(self) -> dict[str, str]:
        """{resource name: name} of the user's own groups; the system's are not ours to show."""
        if self._groups is None:
            self._read_groups(None)
        groups = self._groups
        return {} if groups is None else groups

    def _read_groups(self, cursor: Any | None) -> tuple[str | None, list[str]]:
        """Read the groups, or what changed of them: (sync token, those whose members show another name now)."""
        before: dict[str, str] = dict(cursor["names"]) if cursor else {}
        token: str | None = cursor["groups"] if cursor else None
        groups, renamed, page = dict(before), [], None
        while True:
            try:
                answer = self._client.groups(page, token)
            except (CursorExpired, Refused):
                if not token:
                    raise
                groups, token, page = {}, None, None
                continue
            for group in answer.get("contactGroups", ()):
                name = group["resourceName"]
                if group.get("metadata", {}).get("deleted"):
                    groups.pop(name, None)
                elif group.get("groupType") == "USER_CONTACT_GROUP" and group.get("name", "").strip():
                    groups[name] = group["name"].strip()
            page = answer.get("nextPageToken")
            if not page:
                break
        self._groups = groups
        if cursor:
            renamed = [n for n in groups if before.get(n, groups[n]) != groups[n] or n in cursor["unknown"]]
        return answer.get("nextSyncToken"), renamed

    def _members(self, groups: Sequence[str]) -> Iterator[Record]:
        """Everybody in these groups: Google does not report its members when a group is renamed."""
        names = {name for group in groups for name in self._client.members(group, 25_000)}
        for answer in self._get(sorted(names)):
            if "person" in answer:
                yield self._record(answer["person"])

    def _group(self, name: str) -> str | None:
        """The resource name of the group of that name, made where there is none; None where Google has a system group
        of that name, which nobody can be put into."""
        if found := self._group_called(name):
            return found
        try:
            made = self._client.create_group(name)
        except Refused:  # 409: made by somebody meanwhile, or by our own lost request
            self._read_groups(None)
        else:
            self._known()[made["resourceName"]] = made.get("name", name).strip()
        return self._group_called(name)

    def _group_called(self, name: str) -> str | None:
        return next((group for group, known in self._known().items() if known.casefold() == name.casefold()), None)

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """One request after another (note 5): updates by the fields they replace, creates, deletes."""
        updates: dict[str, list[Intent]] = {}
        creates: list[Intent] = []
        deletes: list[Push] = []
        for push in pushes:
            if push.card is None:
                deletes.append(push)
                continue
            intent = self._intent(push)
            if push.held is None:
                creates.append(intent)
            else:
                updates.setdefault(intent.mask, []).append(intent)
        for mask, intents in sorted(updates.items()):
            for batch in batched(intents, BATCH):
                yield from self._update(batch, mask)
        yield from self._create_all(creates)
        for batch in batched(deletes, BATCH):
            yield from self._delete(batch)

    def _intent(self, push: Push) -> Intent:
        card = push.card or {}
        held: Card = (push.held.card if push.held else None) or {}
        raw = push.held.raw if push.held else {"lists": {}, "groups": {}}
        lists: dict[str, Sequence[Any]] = dict(mapping.changes(raw["lists"], held, card))
        memberships = self._memberships(raw, card)
        if memberships is not None:
            lists["memberships"] = memberships
        if push.held:
            self._resources[push.held.id] = raw["resource"]
        else:
            lists["clientData"] = [{"key": mapping.KEY, "value": push.key}]
        old, new = _photo_uri(held), _photo_uri(card)
        return Intent(push, lists, new if self._settings.photos and new != old else None)

    def _memberships(self, raw: Mapping[str, Any], card: Card) -> list[Any] | None:
        """The memberships to write, None where they stay. myContacts stays too: a contact must be in some group, and
        the last one cannot be left (note 5)."""
        join, leave = mapping.group_changes(raw["groups"], card)
        joined = [group for name in join if (group := self._group(name))]
        if not joined and not leave:
            return None
        old = [
            item["contactGroupMembership"]["contactGroupResourceName"] for item in raw["lists"].get("memberships", ())
        ]
        names = [name for name in old if name not in leave] + joined
        if not old or not names:
            names.append(mapping.MY_CONTACTS)
        return [{"contactGroupMembership": {"contactGroupResourceName": name}} for name in dict.fromkeys(names)]

    # updates

    def _update(self, intents: Sequence[Intent], mask: str) -> Iterator[Outcome]:
        """Update contacts that have the same lists replaced; a batch that is refused is tried in halves, so that the
        faulty ones are found. What a refused batch did change answers a second try with Stale, which is true."""
        if not mask:
            for intent in intents:
                yield self._with_photo(intent, intent.push.held)
            return
        by_resource = {self._held(intent).raw["resource"]: intent for intent in intents}
        bodies = {name: _conditional(self._held(intent), intent.lists) for name, intent in by_resource.items()}
        try:
            results = self._client.update(bodies, mask, READ)
        except (Stale, Missing, Refused) as error:
            yield from self._update_parts(by_resource, mask, error)
            return
        answered = {result.get("requestedResourceName", name): result for name, result in results.items()}
        for name, intent in by_resource.items():
            yield self._updated(intent, answered.get(name) or results.get(name) or {})

    def _update_parts(self, by_resource: Mapping[str, Intent], mask: str, error: Error) -> Iterator[Outcome]:
        """What remains to be done after a batch was refused."""
        items = error.items if isinstance(error, Rejected) else {}
        named: dict[str, Error] = {name: _item_error(*items[name]) for name in by_resource if name in items}
        if len(by_resource) == 1 and not named:
            named = dict.fromkeys(by_resource, error)
        for name, itself in named.items():
            yield Outcome(by_resource[name].push.ref, error=itself)
        rest = [intent for name, intent in by_resource.items() if name not in named]
        middle = len(rest) if named else (len(rest) + 1) // 2
        for part in (rest[:middle], rest[middle:]):
            if part:
                yield from self._update(part, mask)

    def _updated(self, intent: Intent, result: Mapping[str, Any]) -> Outcome:
        person = result.get("person")
        if person:
            return self._with_photo(intent, self._record(person, self._held(intent).raw))
        status = result.get("status") or {}
        if status.get("code"):
            return Outcome(intent.push.ref, error=_item_error(int(status["code"]), str(status.get("message", ""))))
        return Outcome(intent.push.ref, error=Uncertain("Google did not say what became of this contact"))

    @staticmethod
    def _held(intent: Intent) -> Record:
        if intent.push.held is None:
            raise ValueError("an update needs the record it is based on")
        return intent.push.held

    def _with_photo(self, intent: Intent, record: Record | None) -> Outcome:
        """The outcome once the photo is in place as well; that takes a request of its own."""
        if record is None or intent.photo is None:
            return Outcome(intent.push.ref, record)
        resource = record.raw["resource"]
        try:
            if intent.photo:
                data = intent.push.blob(intent.photo)
                if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
                    raise Refused("Google takes photos as JPEG or PNG only")
                person = self._client.put_photo(resource, data, READ)
            else:
                person = self._client.drop_photo(resource, READ)
            shown = self._record(person)
        except (Refused, Missing, Stale, Uncertain) as error:
            return Outcome(intent.push.ref, error=error)
        return Outcome(intent.push.ref, shown)

    # creates

    def _create_all(self, creates: Sequence[Intent]) -> Iterator[Outcome]:
        alone = [intent for intent in creates if intent.push.key in _suspects]
        together = [intent for intent in creates if intent.push.key not in _suspects]
        for batch in batched(together, BATCH):
            yield from self._create(batch, lambda bodies: self._client.create(bodies, READ))
        for intent in alone:
            yield from self._create([intent], lambda bodies: [{"person": self._client.create_one(bodies[0], READ)}])

    def _create(
        self,
        intents: Sequence[Intent],
        send: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
    ) -> Iterator[Outcome]:
        try:
            results = send([dict(intent.lists) for intent in intents])
        except RUN_ENDING:
            raise
        except Error as error:
            yield from self._not_created(intents, error)
            return
        created: list[tuple[Intent, Record]] = []
        for intent, result in zip(intents, [*results, *[{}] * (len(intents) - len(results))], strict=True):
            person = result.get("person")
            if not person:
                words = "Google did not say what became of this contact"
                yield Outcome(intent.push.ref, error=Uncertain(words))
                continue
            _suspects.discard(intent.push.key)
            record = self._record(person)
            if intent.photo:
                created.append((intent, record))
            else:
                yield Outcome(intent.push.ref, record)
        yield from self._photos_of_new(created)

    def _photos_of_new(self, created: Sequence[tuple[Intent, Record]]) -> Iterator[Outcome]:
        """Photos of contacts that exist already. Whatever happens, each gets an outcome: one that is created and not
        reported would be created again. Without its photo it counts as uncertain: it will be found by its key, and
        its photo is then owed as an update."""
        ending: Error | None = None
        for intent, record in created:
            error = ending
            if error is None:
                try:
                    outcome = self._with_photo(intent, record)
                except RUN_ENDING as lost:
                    error = ending = lost
                else:
                    error = outcome.error
                    if error is None:
                        yield outcome
                        continue
            yield Outcome(intent.push.ref, error=Uncertain(f"created, but its photo is not in place yet: {error}"))
        if ending:
            raise ending

    def _not_created(self, intents: Sequence[Intent], error: Error) -> Iterator[Outcome]:
        """A refused or lost create. One contact refused does not exist. Of a refused batch only those are known not to
        exist that Google names: "nothing was applied" is not promised (note 2)."""
        lost = isinstance(error, Uncertain)
        named = error.items if isinstance(error, Rejected) else {}
        for position, intent in enumerate(intents):
            itself: Error
            if str(position) in named:
                itself = _item_error(*named[str(position)])
            elif len(intents) == 1 and not lost:
                itself = error
            else:
                itself = Uncertain(f"it is not known whether this contact was created: {error}")
                if not lost and not named:
                    _suspects.add(intent.push.key)
            yield Outcome(intent.push.ref, error=itself)

    # deletes

    def _delete(self, pushes: Sequence[Push]) -> Iterator[Outcome]:
        """Delete contacts that are still as we saw them: Google's delete has no condition, so it is looked at first."""
        held = {push.held.raw["resource"]: push for push in pushes if push.held}
        gone: list[Push] = []
        doomed: dict[str, Push] = {}
        for answer in self._get(list(held)):
            push = held[answer["requestedResourceName"]]
            source = mapping.contact_source(answer.get("person") or {})
            if source and push.held and push.held.version and source.get("etag") != push.held.version:
                yield Outcome(push.ref, error=Stale("the contact changed before it could be deleted"))
            elif source:
                doomed[answer["person"]["resourceName"]] = push
            elif _gone(answer):
                gone.append(push)
            else:
                yield Outcome(push.ref, error=Uncertain(f"Google did not show this contact (HTTP {_status(answer)})"))
        for names in batched(doomed, DELETES):
            yield from self._deleted(names, doomed)
        for push in gone:
            yield _deleted(push)

    def _deleted(self, names: Sequence[str], doomed: Mapping[str, Push]) -> Iterator[Outcome]:
        try:
            self._client.delete(names)
        except (Missing, Refused) as error:
            if len(names) > 1:
                for name in names:
                    yield from self._deleted([name], doomed)
                return
            if isinstance(error, Refused):
                yield Outcome(doomed[names[0]].ref, error=error)
                return
        for name in names:
            yield _deleted(doomed[name])


def _deleted(push: Push) -> Outcome:
    if push.held is None:
        raise ValueError("a delete needs the record it is about")
    return Outcome(push.ref, Record(push.held.id, None, raw=push.held.raw))


def _conditional(held: Record, lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The body of an update: the lists, and the CONTACT source with the etag we know (note 5)."""
    return {
        "resourceName": held.raw["resource"],
        "metadata": {"sources": [{"type": "CONTACT", "id": held.id, "etag": held.version}]},
        **lists,
    }


def _item_error(code: int, message: str) -> Error:
    """One contact's status (google.rpc.Code) in a batch."""
    if code == FAILED_PRECONDITION or "etag is different" in message.casefold():
        return Stale(f"the contact changed meanwhile: {message}")
    if code == NOT_FOUND:
        return Missing(f"Google has no such contact: {message}")
    return Refused(f"Google refused this contact: {message}")


def _tombstone(person: mapping.Person) -> Record:
    source = mapping.contact_source(person)
    return Record(
        id=source.get("id") or _id_of(person["resourceName"]),
        card=None,
        version=source.get("etag"),
        modified=_time(source.get("updateTime")),
        raw={"resource": person["resourceName"]},
    )


def _status(answer: Mapping[str, Any]) -> int:
    return int(answer.get("httpStatusCode") or 0)


def _gone(answer: Mapping[str, Any]) -> bool:
    """Is this answer of a batchGet about a contact that does not exist? A person without a CONTACT source is a bare
    profile: as a contact it is gone."""
    missing = _status(answer) == 404 or (answer.get("status") or {}).get("code") == NOT_FOUND
    return missing or bool(answer.get("person"))


def _id_of(resource: str) -> str:
    """The CONTACT source's id of people/c1234, which is its number in hexadecimal (note 3); other names as they are."""
    name = resource.partition("/")[2]
    return f"{int(name[1:]):x}" if name[:1] == "c" and name[1:].isdecimal() else name


def _resource_of(key: str) -> str:
    """The resource name with which the contact of this id was made."""
    try:
        return f"people/c{int(key, 16)}"
    except ValueError:
        return f"people/{key}"


def _is_system(group: str) -> bool:
    """System groups have words for ids, the user's own ones hexadecimal numbers."""
    name = group.partition("/")[2]
    return name in {"myContacts", "starred", "friends", "family", "coworkers", "blocked", "all", "chatBuddies"}


def _photo_uri(card: Card) -> str:
    """The uri of the card's photo, or ""."""
    return next(
        (str(m["uri"]) for m in card.get("media", {}).values() if m.get("kind") == "photo" and m.get("uri")), ""
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _when(cursor: Any | None) -> str:
    return f"on {cursor['full'][:10]}" if cursor else "never"
