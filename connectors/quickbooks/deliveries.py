"""Webhooks as QuickBooks would send them, in both of its shapes (accounting note, part B, "Webhooks")."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

PAST: Final = {"Create": "created", "Update": "updated", "Merge": "merged", "Delete": "deleted", "Void": "voided"}
"""Operations in the words of the event types [K]."""


@dataclass(frozen=True)
class Event:
    """Something that happened. absorbed: of a merge the Id of the record that is gone. at: as QuickBooks tells it."""

    entity: str
    id: str
    operation: Literal["Create", "Update", "Merge", "Delete", "Void"]
    at: str
    absorbed: str = ""


@dataclass(frozen=True)
class Delivery:
    """One POST to the receiver."""

    path: str
    headers: dict[str, str]
    body: bytes


def signature(body: bytes, verifier: str) -> str:
    """The value of `intuit-signature`: base64 of HMAC-SHA256 of the body as it is, by the app's verifier token."""
    return base64.b64encode(hmac.new(verifier.encode(), body, hashlib.sha256).digest()).decode()


def legacy(realm: str, events: Sequence[Event]) -> Any:
    """{"eventNotifications": [{realmId, dataChangeEvent: {entities}}]} [K]."""
    entities = [
        {
            "name": event.entity,
            "id": event.id,
            "operation": event.operation,
            "lastUpdated": event.at,
            **({"deletedId": event.absorbed} if event.absorbed else {}),
        }
        for event in events
    ]
    return {"eventNotifications": [{"realmId": realm, "dataChangeEvent": {"entities": entities}}]}


def cloud_events(realm: str, events: Sequence[Event]) -> Any:
    """A list of CloudEvents (announced 2025-11-12; the words of `type` are [K])."""
    return [
        {
            "specversion": "1.0",
            "id": hashlib.sha256(f"{realm}/{number}/{event}".encode()).hexdigest()[:32],
            "source": "intuit.quickbooks",
            "type": f"qbo.{event.entity.lower()}.{PAST[event.operation]}.v1",
            "datacontenttype": "application/json",
            "time": event.at,
            "intuitentityid": event.id,
            "intuitaccountid": realm,
            "data": {"deletedId": event.absorbed} if event.absorbed else {},
        }
        for number, event in enumerate(events)
    ]


def delivery(
    realm: str,
    events: Sequence[Event],
    verifier: str,
    style: Literal["legacy", "cloudevents"] = "legacy",
    path: str = "/",
) -> Delivery:
    """The signed POST that tells of these events."""
    body = json.dumps((legacy if style == "legacy" else cloud_events)(realm, events)).encode()
    headers = {"content-type": "application/json", "intuit-signature": signature(body, verifier)}
    return Delivery(path, headers, body)
