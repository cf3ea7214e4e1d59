"""A member's status as consent, and consent as a status. Pure.

A member has one place about its e-mail address (`status`), and one about its phone number where it has one for text
messages. Statuses and what may follow on which: mailchimp note 2, "Status state machine".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from connectors.consent import Consent, ConsentState, place_key
from connectors.errors import Refused

SUBSCRIBED: Final = "subscribed"
UNSUBSCRIBED: Final = "unsubscribed"
TRANSACTIONAL: Final = "transactional"
ARCHIVED: Final = "archived"

STATES: Final[Mapping[str, ConsentState]] = {
    SUBSCRIBED: "granted",
    "pending": "pending",
    TRANSACTIONAL: "unknown",
    "cleaned": "undeliverable",
    UNSUBSCRIBED: "withdrawn",
}
STATUSES: Final = {state: status for status, state in STATES.items()}
SMS: Final[Mapping[str, ConsentState]] = {
    "subscribed": "granted",
    "pending": "pending",
    "nonsubscribed": "unknown",
    "unsubscribed": "withdrawn",
}
RESTRICTION: Final = {state: rank for rank, state in enumerate(STATES.values())}
"""How much less may be sent to whom; more is always possible, less takes the person."""
MACHINES: Final = ("api", "admin", "import", "list import", "copy", "batch")
"""How the source of a member begins whom somebody else added: the times of opt-in that Mailchimp fills in for these
prove nothing (K)."""


# --- reading ---------------------------------------------------------------------------------------------------------


def shown(member: Mapping[str, Any]) -> tuple[Consent, ...]:
    """Every place for consent that a member has."""
    found = [_email(member)]
    number, said = str(member.get("sms_phone_number") or ""), str(member.get("sms_subscription_status") or "")
    if said in SMS and (number or said != "nonsubscribed"):
        at = time(member.get("sms_subscription_last_updated"))
        found.append(Consent("sms", number, SMS[said], at if said != "nonsubscribed" else None))
    return tuple(found)


def _email(member: Mapping[str, Any]) -> Consent:
    status, address = str(member.get("status") or ""), str(member["email_address"])
    if status == SUBSCRIBED:
        at = time(member.get("timestamp_opt") or member.get("timestamp_signup"))
        return Consent("email", address, "granted", at, evidence(member))
    reason = str(member.get("unsubscribe_reason") or "") if status in (UNSUBSCRIBED, "cleaned") else ""
    if status == "cleaned":
        reason = reason or "hard bounce"
    return Consent("email", address, STATES.get(status, "unknown"), reason=reason)


def evidence(member: Mapping[str, Any]) -> dict[str, str]:
    """What proves that the person subscribed: the times and the IP address of the opt-in, and the form. Of a member
    whom an API, an import or an admin added only what the sign-up itself left behind counts."""
    source = str(member.get("source") or "").strip()
    machine = source.casefold().startswith(MACHINES)
    if machine and not (member.get("timestamp_signup") or member.get("ip_signup")):
        return {}
    found = {
        "timestamp": member.get("timestamp_opt") or member.get("timestamp_signup"),
        "ip": member.get("ip_opt") or member.get("ip_signup"),
        "form": "" if machine else source,
    }
    return {name: str(text) for name, text in found.items() if text}


def time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- writing ---------------------------------------------------------------------------------------------------------


def of_new(consents: Iterable[Consent], address: str) -> dict[str, str]:
    """Status and opt-in of a new member: nobody is subscribed by being created."""
    said = {consent.state: consent for consent in consents if _is_about(consent, address)}
    if "withdrawn" in said:
        return {"status": UNSUBSCRIBED}
    granted = said.get("granted")
    return {"status": SUBSCRIBED, **proof(granted)} if granted and granted.evidence else {"status": TRANSACTIONAL}


def proof(consent: Consent) -> dict[str, str]:
    """The evidence, as Mailchimp keeps it. As the opt-in and as the sign-up: the opt-in alone might be its own
    doing."""
    moment = time(consent.evidence.get("timestamp")) or consent.at
    address = consent.evidence.get("ip", "")
    found: dict[str, str] = {}
    if moment:
        text = moment.astimezone(UTC).replace(microsecond=0).isoformat()
        found |= {"timestamp_opt": text, "timestamp_signup": text}
    if address:
        found |= {"ip_opt": address, "ip_signup": address}
    return found


def of_held(consents: Iterable[Consent], member: Mapping[str, Any], address: str) -> tuple[dict[str, str], str]:
    """(what to write so that a member shows these consents, why some of them cannot be written or "").

    address: the member's, after this write.
    """
    written: dict[str, str] = {}
    objection = ""
    for consent in consents:
        if consent.channel == "sms":
            objection = _sms(consent, member) or objection
        elif _is_about(consent, address):
            found, why = _status(consent, str(member.get("status") or ""))
            written, objection = {**written, **found}, why or objection
    return written, objection


def _is_about(consent: Consent, address: str) -> bool:
    """Is this about the member's e-mail address?"""
    here = place_key("email", address)
    return consent.channel == "email" and place_key("email", consent.address) in ("", here)


def _status(consent: Consent, now: str) -> tuple[dict[str, str], str]:
    wanted, current = consent.state, STATES.get(now, "unknown")
    if wanted == current:
        return {}, ""
    if wanted == "granted" and consent.evidence:
        return {"status": SUBSCRIBED, **proof(consent)}, ""
    if wanted == "pending" or (RESTRICTION[wanted] > RESTRICTION[current] and wanted != "unknown"):
        return {"status": STATUSES[wanted]}, ""
    if wanted == "granted":
        return {}, "nobody is subscribed in Mailchimp without evidence that they opted in themselves"
    return (
        {},
        f"Mailchimp cannot turn a member who is {now} into one who is {STATUSES[wanted]}; change it there by hand",
    )


def _sms(consent: Consent, member: Mapping[str, Any]) -> str:
    """Text messages cannot be opted in or out by the API (its requests have no such property)."""
    place = next((c for c in shown(member) if c.channel == "sms"), None)
    if place is None or place.state == consent.state or consent.place[1] not in ("", place.place[1]):
        return ""
    return "Mailchimp's API does not take consent to text messages; change it by hand in the contact's profile there"


def compliance(address: str, said: str) -> Refused:
    """Why somebody stays as they are."""
    return Refused(
        f"Mailchimp lets nobody but the person subscribe {address} again ({said}). Let them sign up through one of its "
        "forms, or have them asked by a confirmation mail (consent: pending); it is not tried again by itself"
    )
