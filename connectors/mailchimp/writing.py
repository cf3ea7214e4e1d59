"""What is done to an audience for one person: steps that yield operations (see `batches`), each ending with the record
as Mailchimp shows it.

A profile edit never sends a status. A write is proved by the member in its answer; tags have no answer, so the member
is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors.card import Card
from connectors.consent import Consent
from connectors.contract import Push, Record
from connectors.errors import Error, Missing, Refused, Uncertain
from connectors.mailchimp import consents, mapping
from connectors.mailchimp.answers import FORGOTTEN, Collision, Compliance, NotAllowed, judge
from connectors.mailchimp.batches import Step
from connectors.mailchimp.client import PAGE, Client, subscriber_hash
from connectors.mailchimp.layout import Layout
from connectors.mailchimp.mapping import Member

NO_ADDRESS: Final = (
    "a Mailchimp contact cannot be without an e-mail address; give this person one, or archive the contact in Mailchimp"
)


def record(member: Member, layout: Layout, tags: Sequence[Mapping[str, Any]] | None = None) -> Record:
    """A member as a record. An archived one counts as deleted. tags: all of them, where the member's own are cut."""
    status = str(member.get("status") or "")
    named = member.get("tags") or () if tags is None else tags
    raw = {
        "hash": member.get("id"),
        "status": status,
        "tags": [str(tag["name"]) for tag in named],
        "interests": mapping.joined(member),
    }
    archived = status == consents.ARCHIVED
    return Record(
        id=mapping.record_id(member),
        card=None if archived else mapping.view(member, layout, named),
        version=mapping.version(member),
        modified=consents.time(member.get("last_changed")),
        key=mapping.key_of(member, layout),
        raw=raw,
        consents=() if archived else consents.shown(member),
    )


def has_more_tags(member: Member) -> bool:
    """Are there more tags than the member itself shows (note 2: fifty)?"""
    return int(member.get("tags_count") or 0) > len(member.get("tags") or ())


class Writer:
    """The steps, for an audience of this layout."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client, self._layout = client, layout

    # -- reading

    def fetch(self, name: str) -> Step[Record]:
        """The record of that id, `card` None where there is none."""
        try:
            member = yield self._client.member(name)
        except Missing:
            return Record(name, None)
        found = yield from self.full(member)
        return found if found.id == name else replace(found, aliases=(name,))

    def full(self, member: Member) -> Step[Record]:
        """The member as a record, with all its tags."""
        if not has_more_tags(member) or member.get("status") == consents.ARCHIVED:
            return record(member, self._layout)
        answer = yield self._client.tags(mapping.record_id(member))
        tags = answer.get("tags") or ()
        if int(answer.get("total_items") or 0) > len(tags):
            raise Refused(f"a contact with more than {PAGE} tags cannot be read in full; take some away")
        return record(member, self._layout, tags)

    def seek(self, push: Push) -> Step[Record | None]:
        """What a create that was lost may have made: the member of this address, if it carries our key, or has no key
        and the name that we gave it."""
        try:
            member = yield self._client.member(subscriber_hash(mapping.address_of(push.card or {})))
        except Missing:
            return None
        found = yield from self.full(member)
        if found.card is None:
            return None
        ours = found.key == push.key or (found.key is None and mapping.same_name(found.card, push.card or {}))
        return found if ours else None

    # -- updates and deletes

    def update(self, push: Push) -> Step[Record]:
        """Write what differs, and the consent that must be written."""
        held, card = push.held, push.card
        assert held is not None
        assert card is not None
        address = mapping.address_of(card)
        if not address:
            raise Refused(NO_ADDRESS)
        change = mapping.difference(card, held.card or {}, self._layout)
        body = self._profile(change, held)
        status: dict[str, str] = {}
        objection: Error | None = None
        member: Member | None = None
        name = held.id
        if push.consents:
            member = yield self._client.member(held.id)
            _alive(member)
            status, why = consents.of_held(push.consents, member, address)
            objection = Refused(why) if why else None
        if body or status:
            try:
                member = yield self._client.patch(held.id, {**body, **status})
            except Collision:
                return (yield from self._merge(push, change))
            except Compliance as refused:
                # The profile is not to suffer for it. Without a status it has nothing to do with consent.
                objection = consents.compliance(address, str(refused)) if status else refused
                if status and body:
                    member = yield self._client.patch(held.id, body)
            if member is not None:
                self._prove(member, body)
                name = mapping.record_id(member)  # another one where there is no contact id
        active, inactive = self._tags(change, held)
        if active or inactive:
            yield self._client.tag(name, active, inactive)
            member = yield self._client.member(name)
            _alive(member)
        if objection:
            raise objection
        if member is None:
            return held
        found = yield from self.full(member)
        return found if found.id == held.id else replace(found, aliases=(held.id,))

    def _profile(self, change: mapping.Change, held: Record) -> dict[str, Any]:
        """The body that makes the change, but for tags. Never a status."""
        body: dict[str, Any] = {"email_address": change.email} if change.email else {}
        if change.merge:
            body["merge_fields"] = dict(change.merge)
        ids = self._layout.interest_ids
        joined = set((held.raw or {}).get("interests") or ())
        interests = {ids[name.casefold()]: True for name in change.join if name.casefold() in ids}
        left = (ids.get(name.casefold(), "") for name in change.leave)
        interests |= {id_: False for id_ in left if id_ in joined}
        return {**body, **({"interests": interests} if interests else {})}

    def _tags(self, change: mapping.Change, held: Record) -> tuple[list[str], list[str]]:
        """(tags to give, tags to take)."""
        there = {str(name).casefold(): str(name) for name in (held.raw or {}).get("tags") or ()}
        active = [name for name in change.join if name.casefold() not in self._layout.interest_ids]
        return active, [there[name.casefold()] for name in change.leave if name.casefold() in there]

    @staticmethod
    def _prove(member: Member, body: Mapping[str, Any]) -> None:
        """What was written stands there. An incomplete address in a member can make Mailchimp drop the rest of an
        update without a word (note 3)."""
        _alive(member)
        merge = member.get("merge_fields") or {}
        lost = [tag for tag, value in (body.get("merge_fields") or {}).items() if value and not merge.get(tag)]
        if lost:
            raise Refused(
                f"Mailchimp did not store {', '.join(sorted(lost))}; is the contact's address complete there?"
            )

    def remove(self, push: Push) -> Step[Record]:
        """Archive, or forget for good. An archived member is gone already."""
        held = push.held
        assert held is not None
        try:
            yield self._client.forget(held.id) if push.erase else self._client.archive(held.id)
        except NotAllowed:
            member = yield self._client.member(held.id)
            if member.get("status") != consents.ARCHIVED:
                raise
        return Record(held.id, None, raw=held.raw)

    # -- creates

    def row(self, push: Push) -> dict[str, Any]:
        """The new member, as creates take it: only what is set. Nobody is subscribed by being created."""
        card = push.card or {}
        address = mapping.address_of(card)
        if not address:
            raise Refused(NO_ADDRESS)
        merge = {tag: value for tag, value in mapping.merge_fields(card, {}, self._layout).items() if value}
        if self._layout.key:
            merge[self._layout.key] = push.key
        change = mapping.difference(card, {}, self._layout)
        blank = Record("", {})
        body = {name: value for name, value in self._profile(change, blank).items() if name == "interests"}
        tags = self._tags(change, blank)[0]
        return {
            "email_address": address,
            **consents.of_new(push.consents, address),
            **({"merge_fields": merge} if merge else {}),
            **body,
            **({"tags": tags} if tags else {}),
        }

    def created(self, push: Push, row: Mapping[str, Any], member: Member, outdated: Sequence[str] = ()) -> Step[Record]:
        """The record of a new member. Tags that the create did not take are given now, `outdated` ones taken."""
        there = {str(tag["name"]).casefold() for tag in member.get("tags") or ()}
        missing = [name for name in row.get("tags") or () if name.casefold() not in there]
        try:
            if missing or outdated:
                name = mapping.record_id(member)
                yield self._client.tag(name, missing, outdated)
                member = yield self._client.member(name)
            return (yield from self.full(member))
        except (Refused, Missing) as error:
            raise Uncertain(f"created, but its tags are not in place: {error}") from None

    def denied(self, row: Mapping[str, Any], error: Mapping[str, Any]) -> Error:
        """Why a row of a create was refused."""
        said, code = str(error.get("error") or ""), str(error.get("error_code") or "")
        title = "Member Exists" if code == "ERROR_CONTACT_EXISTS" else ""
        flaws = [{"field": error.get("field"), "message": error.get("field_message")}] if error.get("field") else []
        problem = {"title": title, "detail": said, "errors": flaws}
        found = judge(400, problem, "") or Refused(said)
        return consents.compliance(row["email_address"], said) if isinstance(found, Compliance) else found

    def taken(self, push: Push, row: Mapping[str, Any]) -> Step[Record]:
        """A create whose address is a member already. It is theirs, whoever that is, unless it carries our key; one in
        the archive under the same name is brought back."""
        address = row["email_address"]
        try:
            member = yield self._client.member(subscriber_hash(address))
        except Missing:
            raise Refused(f"{address} {FORGOTTEN}") from None
        there = record({**member, "status": consents.TRANSACTIONAL}, self._layout)
        if member.get("status") != consents.ARCHIVED and there.key == push.key:
            held = yield from self.full(member)
            return (yield from self.update(replace(push, held=held)))
        if member.get("status") != consents.ARCHIVED:
            raise _shared(address, there.card or {})
        if not _is_same(there, push):
            raise _another(address, there.card or {})
        # What stands there from before is not this card's: it is to show what a new one would.
        change = mapping.difference(push.card or {}, there.card or {}, self._layout)
        body = {name: value for name, value in row.items() if name not in ("email_address", "tags")}
        for name, values in self._profile(change, there).items():
            body[name] = {**body.get(name, {}), **values}
        if body["status"] == consents.TRANSACTIONAL and member.get("unsubscribe_reason"):
            body["status"] = consents.UNSUBSCRIBED
        try:
            member = yield self._client.put(address, {**body, "status_if_new": body["status"]})
        except Compliance as refused:
            raise consents.compliance(address, str(refused)) from None
        return (yield from self.created(push, row, member, self._tags(change, there)[1]))

    # -- a new address that is taken

    def _merge(self, push: Push, change: mapping.Change) -> Step[Record]:
        """The new address is another member (note 2, "Email change"): what we know and what the old one has goes there,
        the old one goes to the archive. Only where both are the same person. An opt-out goes along."""
        assert push.held is not None
        address, layout = change.email, self._layout
        old = yield self._client.member(push.held.id)
        _alive(old)
        try:
            target = yield self._client.member(subscriber_hash(address))
        except Missing:
            raise Refused(f"{address} {FORGOTTEN}") from None
        there = record({**target, "status": consents.TRANSACTIONAL}, layout)
        if there.key not in (None, push.key) or not _is_same(there, push):
            raise _shared(address, there.card or {})
        source = yield from self.full(old)
        body: dict[str, Any] = {"merge_fields": self._carried(push, old, target)}
        if joined := mapping.joined(old):
            body["interests"] = dict.fromkeys(joined, True)
        status = _merged_status(old, target, push.consents, address)
        if target.get("status") == consents.ARCHIVED:
            yield self._client.put(address, {**body, **status, "status_if_new": status["status"]})
        else:
            yield self._client.patch(mapping.record_id(target), {**body, **status})
        name = mapping.record_id(target)
        wanted = [group for group in change.join if group.casefold() not in layout.interest_ids]
        gone = {group.casefold() for group in change.leave}
        tags = [*wanted, *(tag for tag in source.raw["tags"] if tag.casefold() not in gone)]
        if tags:
            yield self._client.tag(name, tags, [])
        yield self._client.archive(push.held.id)
        member = yield self._client.member(name)
        found = yield from self.full(member)
        return replace(found, aliases=(push.held.id,))

    def _carried(self, push: Push, old: Member, target: Member) -> dict[str, Any]:
        """The merge fields that go to the target: ours as the card has them, others where it has none itself."""
        ours = mapping.merge_fields(push.card or {}, (push.held.card if push.held else None) or {}, self._layout)
        has = target.get("merge_fields") or {}
        rest = {
            tag: value
            for tag, value in (old.get("merge_fields") or {}).items()
            if value and not has.get(tag) and tag not in ours and not isinstance(value, Mapping)
        }
        key = {self._layout.key: push.key} if self._layout.key else {}
        return {**rest, **{tag: value for tag, value in ours.items() if value}, **key}


def _merged_status(old: Member, target: Member, said: Sequence[Consent], address: str) -> dict[str, str]:
    """The status of the target of a merge: never more than it was, unless the person said so."""
    status, _ = consents.of_held(said, target, address)
    out = old.get("status") == consents.UNSUBSCRIBED
    if target.get("status") == consents.ARCHIVED:
        out = out or bool(target.get("unsubscribe_reason"))
        return status or {"status": consents.UNSUBSCRIBED if out else consents.TRANSACTIONAL}
    if out and not status and target.get("status") not in (consents.UNSUBSCRIBED, "cleaned"):
        return {"status": consents.UNSUBSCRIBED}
    return status


def _is_same(there: Record, push: Push) -> bool:
    """Is this member the person of the push? Our key tells, else the name; a member without a name is anybody."""
    card = there.card or {}
    return there.key == push.key or not mapping.name_of(card) or mapping.same_name(card, push.card or {})


def _alive(member: Member) -> None:
    """An archived member takes edits and stays archived (note 2): for us it is gone."""
    if member.get("status") == consents.ARCHIVED:
        raise Missing("the contact is archived in Mailchimp")


def _another(address: str, theirs: Card) -> Refused:
    return Refused(
        f"{address} is in Mailchimp's archive as {mapping.name_of(theirs)}; if that is this person under a former "
        "name, take the contact out of the archive there, else give this person another address"
    )


def _shared(address: str, theirs: Card) -> Refused:
    name = mapping.name_of(theirs) or "somebody without a name"
    return Refused(
        f"{address} already is a member as {name}; two people share this address, and Mailchimp has one contact for "
        "it. Give this person another address, or leave them out of Mailchimp"
    )
