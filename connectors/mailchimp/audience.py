"""The audience inside the sandbox: members, what states they may take, and what values merge fields keep.

Rules cite the sections of the mailchimp note in parentheses; K marks what it calls unconfirmed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

STATUSES: Final = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
SHOWN_TAGS: Final = 50
"""Tags in a member's own JSON; more only by the tags endpoint (2)."""
INVALID: Final = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."


class Problem(Exception):
    """An answer that is an error (1)."""

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.errors = status, title, detail, list(errors)


def not_found() -> Problem:
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")


def invalid(name: str, message: str) -> Problem:
    return Problem(400, "Invalid Resource", INVALID, [{"field": name, "message": message}])


def hash_of(address: str) -> str:
    """MD5 of the address in small letters (2)."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


@dataclass
class Member:
    """One contact. complies: they unsubscribed themselves, bounced or are under review: nobody else may subscribe them.
    tags: {folded name: (id, name)}."""

    contact_id: str
    email: str
    number: int
    status: str
    changed: datetime
    merge: dict[str, Any] = field(default_factory=dict)
    interests: dict[str, bool] = field(default_factory=dict)
    tags: dict[str, tuple[int, str]] = field(default_factory=dict)
    complies: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Rules:
    """How this audience is kept.

    lag: seconds for which listings show what was before (5, K). inclusive: `since_last_changed` takes in the very
    second (K). tags_move: a tag or an interest moves `last_changed` (5: not always, K). row_tags: rows of a bulk create
    take tags (4, K). default_country: of an address that comes without one (K). only_subscribed: only subscribed
    members may change their address, as in older accounts (2, K). swallows: with an incomplete address in the member
    an update is answered and not applied (3).
    """

    lag: float = 0.0
    inclusive: bool = True
    tags_move: bool = False
    row_tags: bool = True
    default_country: str = "US"
    only_subscribed: bool = False
    swallows: bool = False


class Audience:
    """A list with its members. now: the time."""

    def __init__(self, name: str, title: str, now: Callable[[], datetime], rules: Rules) -> None:
        self.id, self.title, self.now, self.rules = name, title, now, rules
        self.merge_fields: list[dict[str, Any]] = []
        self.categories: list[dict[str, Any]] = []
        self.interests: list[dict[str, Any]] = []
        self.members: dict[str, Member] = {}
        self.forgotten: set[str] = set()
        self.busy: set[str] = set()
        """Addresses with too many sign-ups lately (2)."""
        self.tag_ids: dict[str, tuple[int, str]] = {}
        self.mails: list[str] = []
        """Who was sent an opt-in mail."""
        self.events: list[tuple[str, datetime, str, dict[str, str]]] = []
        """(type, when, source, data) of what a webhook would tell (6)."""
        self._hashes: dict[str, str] = {}
        self._past: dict[str, list[tuple[datetime, dict[str, Any] | None]]] = {}
        self._born = 0

    # --- finding -----------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Member:
        """By hash, raw address or contact id (2)."""
        key = name if name in self.members else self._hashes.get(name) or self._hashes.get(hash_of(name), "")
        if key not in self.members:
            raise not_found()
        return self.members[key]

    def at(self, address: str) -> Member | None:
        return self.members.get(self._hashes.get(hash_of(address), ""))

    def listing(self, archived: bool) -> list[dict[str, Any]]:
        """Members as listings show them: some time late, archived ones only when asked for (5, K)."""
        shown = [self._as_listed(name) for name in [*self._past]] if self.rules.lag else map(self.show, [*self._live()])
        return [entry for entry in shown if entry is not None and (entry["status"] == "archived") == archived]

    def _live(self) -> Sequence[Member]:
        return list(self.members.values())

    def _as_listed(self, name: str) -> dict[str, Any] | None:
        horizon = self.now().timestamp() - self.rules.lag
        states = [state for at, state in self._past[name] if at.timestamp() <= horizon]
        return states[-1] if states else None

    def show(self, member: Member) -> dict[str, Any]:
        """The member's JSON (2)."""
        tags = sorted(member.tags.values())
        names = (str(member.merge.get(tag) or "") for tag in ("FNAME", "LNAME"))
        # fmt: off
        return {
            "id": hash_of(member.email), "email_address": member.email, "contact_id": member.contact_id,
            "unique_email_id": f"{member.number:010x}", "web_id": member.number,
            "full_name": " ".join(filter(None, names)), "email_type": "html", "status": member.status,
            "unsubscribe_reason": "", "merge_fields": {f["tag"]: "" for f in self.merge_fields} | member.merge,
            "interests": {entry["id"]: member.interests.get(entry["id"], False) for entry in self.interests},
            "stats": {"avg_open_rate": 0, "avg_click_rate": 0}, "ip_signup": "", "timestamp_signup": "", "ip_opt": "",
            "timestamp_opt": "", "member_rating": 2, "last_changed": text_of(member.changed), "language": "",
            "vip": False, "email_client": "",
            "location": {"latitude": 0, "longitude": 0, "country_code": "", "timezone": ""},
            "source": "API - Generic", "tags_count": len(tags),
            "tags": [{"id": number, "name": name} for number, name in tags[:SHOWN_TAGS]],
            "sms_phone_number": "", "sms_subscription_status": "nonsubscribed", "sms_subscription_last_updated": "",
            "list_id": self.id, **member.facts,
            "_links": [{"rel": "self", "href": f"/lists/{self.id}/members/{hash_of(member.email)}", "method": "GET"}],
        }
        # fmt: on

    # --- making and changing -----------------------------------------------------------------------------------------

    def add(self, given: Mapping[str, Any], *, lenient: bool, source: str = "api") -> Member:
        """A new member. Raises Problem where the address is one already, whatever its status."""
        address = self._address(given)
        self._admit(address)
        if self.at(address) is not None:
            detail = f"{address} is already a list member. Use PUT to insert or update list members."
            raise Problem(400, "Member Exists", detail)
        status = _status(given.get("status"), "status")
        merge = self._merge(given.get("merge_fields") or {}, None, lenient)
        self._know_interests(given)
        self._born += 1
        name = hashlib.md5(f"{self.id}{self._born}".encode(), usedforsecurity=False).hexdigest()
        member = Member(name, address, self._born, status, self.now(), merge)
        self.members[name] = member
        self._hashes[hash_of(address)] = name
        self._settle(member, given, status)
        for tag in given.get("tags") or ():
            self._give(member, str(tag))
        self._touch(member)
        if status == "subscribed":
            self._tell("subscribe", source, member)
        return member

    def put(self, name: str, given: Mapping[str, Any], *, lenient: bool) -> Member:
        """Upsert: `status_if_new` for a new one, `status` for an existing one, too (2)."""
        address = self._address(given)
        if "status_if_new" not in given:
            raise invalid("status_if_new", "This value should not be blank.")
        member = self.at(address)
        if member is None:
            try:
                member = self.find(name)
            except Problem:
                status = given.get("status") or given["status_if_new"]
                return self.add({**given, "status": status}, lenient=lenient)
        return self.change(member, given, lenient=lenient, statuses=STATUSES)

    def change(
        self,
        member: Member,
        given: Mapping[str, Any],
        *,
        lenient: bool,
        statuses: Sequence[str] = ("subscribed", "unsubscribed", "cleaned", "pending"),
        source: str = "api",
    ) -> Member:
        """Change what is named. Without `status` an archived member stays archived though its fields change (2, K)."""
        status = _status(given["status"], "status", statuses) if "status" in given else member.status
        if status == "subscribed" and member.status != status and member.complies:
            detail = (
                f"{member.email} is in a compliance state due to unsubscribe, bounce, or compliance review "
                "and cannot be subscribed."
            )
            raise Problem(400, "Member In Compliance State", detail)
        merge = self._merge(given.get("merge_fields") or {}, member, lenient)
        self._know_interests(given)
        if "email_address" in given:
            self._move(member, self._address(given), source)
        if not (self.rules.swallows and _incomplete(member.merge)):
            member.merge.update(merge)  # merged by key (2, K)
        before, member.status = member.status, status
        self._settle(member, given, status if status != before else "")
        moved = {"interests", "tags"} >= {*given} and not self.rules.tags_move
        self._touch(member, moves=not moved)
        if status != before and status in ("subscribed", "unsubscribed"):
            self._tell("subscribe" if status == "subscribed" else "unsubscribe", source, member)
        self._tell("profile", source, member)
        return member

    def _settle(self, member: Member, given: Mapping[str, Any], status: str) -> None:
        """What goes with a status, and the facts. status: "" where it stays."""
        member.interests.update({name: bool(on) for name, on in (given.get("interests") or {}).items()})
        now = text_of(self.now())
        if status == "subscribed":
            member.facts |= {"timestamp_opt": now, "unsubscribe_reason": ""}
        elif status == "unsubscribed":
            member.facts["unsubscribe_reason"] = "N/A (Unsubscribed by admin)"
        elif status == "pending":
            self.mails.append(member.email)
        for name in ("timestamp_opt", "ip_opt", "timestamp_signup", "ip_signup", "language", "vip"):
            if name in given:
                member.facts[name] = given[name]

    def _know_interests(self, given: Mapping[str, Any]) -> None:
        ids = {entry["id"] for entry in self.interests}
        for name in given.get("interests") or ():
            if name not in ids:
                raise invalid("interests", f"Invalid interest ID: {name}")

    def _move(self, member: Member, address: str, source: str) -> None:
        """A new address keeps the history; the hash becomes another (2)."""
        if hash_of(address) == hash_of(member.email):
            member.email = address
            return
        if self.rules.only_subscribed and member.status != "subscribed":
            raise invalid("email address", "The email address of this contact cannot be changed.")
        self._admit(address)
        other = self.at(address)
        if other is not None:
            detail = f'"{address}" is already in this list with a status of "{other.status}".'
            raise Problem(400, "Invalid Resource", detail)
        old = member.email
        del self._hashes[hash_of(old)]
        member.email = address
        self._hashes[hash_of(address)] = member.contact_id
        data = {"new_id": f"{member.number:010x}", "new_email": address, "old_email": old}
        self.events.append(("upemail", self.now(), source, {"list_id": self.id, **data}))

    def archive(self, member: Member) -> None:
        """DELETE (2). A second one is not allowed (K)."""
        if member.status == "archived":
            raise Problem(405, "Method Not Allowed", "This list member cannot be removed. Please contact support.")
        member.status = "archived"
        self._touch(member)

    def forget(self, member: Member, source: str = "api") -> None:
        """delete-permanent (2): never reported, never taken back."""
        self.forgotten.add(hash_of(member.email))
        self._tell("unsubscribe", source, member, action="delete", reason="manual")
        del self._hashes[hash_of(member.email)], self.members[member.contact_id]
        self._past.setdefault(member.contact_id, []).append((self.now(), None))

    def tag(self, member: Member, marks: Sequence[Mapping[str, Any]]) -> None:
        """An unknown active tag is created (2)."""
        for mark in marks:
            if mark.get("status") not in ("active", "inactive"):
                raise invalid("status", "Value must be one of: inactive, active")
            if mark["status"] == "active":
                self._give(member, str(mark["name"]))
            else:
                member.tags.pop(str(mark["name"]).casefold(), None)
        self._touch(member, moves=self.rules.tags_move)

    def _give(self, member: Member, name: str) -> None:
        known = self.tag_ids.setdefault(name.casefold(), (10 + len(self.tag_ids), name))
        member.tags[name.casefold()] = known

    def _touch(self, member: Member, *, moves: bool = True) -> None:
        if moves:
            member.changed = self.now()
        if self.rules.lag:
            self._past.setdefault(member.contact_id, []).append((self.now(), self.show(member)))

    # --- what people do ----------------------------------------------------------------------------------------------

    def unsubscribe(self, address: str, reason: str = "NORMAL") -> None:
        """The person follows the link in a campaign."""
        member = self.find(address)
        member.status, member.complies = "unsubscribed", True
        member.facts["unsubscribe_reason"] = reason
        self._touch(member)
        self._tell("unsubscribe", "user", member, action="unsub", reason="manual")

    def bounce(self, address: str) -> None:
        """A campaign could not be delivered for good."""
        member = self.find(address)
        member.status, member.complies = "cleaned", True
        self._touch(member)
        self.events.append(
            ("cleaned", self.now(), "admin", {"list_id": self.id, "reason": "hard", "email": member.email})
        )

    def sign_up(self, address: str, ip: str, **merge: Any) -> Member:
        """The person fills in a hosted form: it takes back who was forgotten, too (2)."""
        self.forgotten.discard(hash_of(address))
        member = self.at(address)
        given = {"email_address": address, "status": "subscribed", "merge_fields": merge}
        if member is None:
            member = self.add(given, lenient=True, source="user")
        member.complies = False
        self.change(member, given, lenient=True, source="user")
        now = text_of(self.now())
        member.facts |= {"source": "Hosted Signup Form", "ip_opt": ip, "ip_signup": ip}
        member.facts |= {"timestamp_opt": now, "timestamp_signup": now}
        self._touch(member)
        return member

    def _tell(self, kind: str, source: str, member: Member, **more: str) -> None:
        data = {
            "id": f"{member.number:010x}",
            "list_id": self.id,
            "email": member.email,
            "email_type": "html",
            "ip_opt": str(member.facts.get("ip_opt") or ""),
            "merges][EMAIL": member.email,
        }
        data |= {f"merges][{tag}": str(value) for tag, value in member.merge.items() if not isinstance(value, Mapping)}
        self.events.append((kind, self.now(), source, {**more, **data}))

    # --- what is taken -----------------------------------------------------------------------------------------------

    def _address(self, given: Mapping[str, Any]) -> str:
        """Trimmed, the domain in small letters (8, K)."""
        text = str(given.get("email_address") or "").strip()
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", text) or text.lower().endswith(".invalid"):
            detail = f"{text} looks fake or invalid, please enter a real email address."
            raise Problem(400, "Invalid Resource", detail)
        user, _, domain = text.rpartition("@")
        return f"{user}@{domain.lower()}"

    def _admit(self, address: str) -> None:
        if hash_of(address) in self.forgotten:
            detail = (
                f"{address} was permanently deleted and cannot be re-imported. "
                "The contact must re-subscribe to get back on the list."
            )
            raise Problem(400, "Forgotten Email Not Subscribed", detail)
        if address in self.busy:
            detail = f"{address} has signed up to a lot of lists very recently; we're not allowing more signups for now"
            raise Problem(400, "Invalid Resource", detail)

    def _merge(self, given: Mapping[str, Any], member: Member | None, lenient: bool) -> dict[str, Any]:
        """The merge fields as they will be kept (3). lenient: what the forms require may be missing."""
        kept: dict[str, Any] = {}
        errors: list[dict[str, str]] = []
        for entry in self.merge_fields:
            tag = entry["tag"]
            standing = member.merge.get(tag) if member else None
            if tag in given:
                found, why = value_of(given[tag], entry, self.rules.default_country)
                kept[tag] = found
            elif lenient:
                continue
            else:
                blank = entry["required"] and not standing
                why = "This value should not be blank." if blank else ""
                if entry["type"] == "address" and _incomplete({tag: standing}):
                    why = "Please enter a complete address"
            if why:
                errors.append({"field": tag, "message": why})
        if errors:
            raise Problem(400, "Invalid Resource", "Your merge fields were invalid.", errors)
        return kept


def _status(value: Any, name: str, allowed: Sequence[str] = STATUSES) -> str:
    if value not in allowed:
        raise invalid(name, f"Value must be one of: {', '.join(allowed)}")
    return str(value)


def _incomplete(merge: Mapping[str, Any]) -> bool:
    """Is there an address among these values that lacks a part (3)?"""
    parts = ("addr1", "city", "state", "zip")
    return any(isinstance(value, Mapping) and not all(value.get(name) for name in parts) for value in merge.values())


def text_of(at: datetime) -> str:
    """Times are whole seconds with an offset (2)."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat()


# --- values (3) ------------------------------------------------------------------------------------------------------


def value_of(value: Any, entry: Mapping[str, Any], default_country: str) -> tuple[Any, str]:
    """(value as it is kept, why it is refused or "")."""
    if value is None:
        return "", "Schema describes string, NULL found instead"
    if value == "":
        return "", ""
    kind, options = entry["type"], entry.get("options") or {}
    if kind == "address":
        return _address_of(value, default_country)
    text = re.sub(r"</?[A-Za-z!][^>]*>", "", str(value)).strip()  # HTML is stripped (8, K)
    if kind == "number":
        return (value, "") if isinstance(value, int | float) else ("", "This value should be a number.")
    wrong = {
        "birthday": ("Please enter a month (01-12) and a day (01-31)", r"(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])"),
        "date": ("Please enter the date", r"\d{4}-\d\d-\d\d"),
        "url": ("Please enter a valid URL", r"(?i)https?://\S+\.\S+"),
        "imageurl": ("Please enter a valid URL", r"(?i)https?://\S+\.\S+"),
        "zip": ("Please enter a valid zip code", r"\d{5}"),
        "phone": ("Please enter a valid phone number", r"[2-9]\d\d-[2-9]\d\d-\d{4}"),
    }
    if kind == "phone" and options.get("phone_format") != "US":
        return text, ""
    if kind in wrong and not re.fullmatch(wrong[kind][1], text):
        return "", wrong[kind][0]
    if kind in ("radio", "dropdown") and text not in options.get("choices", ()):
        return "", "Value must be one of the choices"
    return text.encode()[:255].decode(errors="ignore"), ""  # 255 bytes (3, K)


def _address_of(value: Any, default_country: str) -> tuple[Any, str]:
    """Complete or not at all; a country that is no code is taken for the default (K)."""
    if not isinstance(value, Mapping) or _incomplete({"": value}):
        return "", "Please enter a complete address"
    country = str(value.get("country") or "")
    parts = {name: str(value.get(name) or "").strip() for name in ("addr1", "addr2", "city", "state", "zip")}
    return {**parts, "country": country if re.fullmatch("[A-Z]{2}", country) else default_country}, ""
