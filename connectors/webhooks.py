"""How a webhook proves whose it is: the schemes that several vendors share."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

TOLERANCE: Final = 300.0
"""Seconds by which the moment in a signature may differ from ours (mailchimp note 6)."""

Proof = Callable[[Mapping[str, str], bytes, str, datetime], bool]
"""(headers with small names, body as it came, key, now) -> is it the vendor's own?"""


def body_signed_in(header: str) -> Proof:
    """Base64 of HMAC-SHA256 of the body, in that header (accounting note: Xero and QuickBooks, "Webhooks")."""

    def proves(headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> bool:
        expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
        return hmac.compare_digest(expected, headers.get(header, "").encode())

    return proves


def moment_and_body_signed_in(header: str) -> Proof:
    """`t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">` in that header, within `TOLERANCE` (mailchimp note 6)."""

    def proves(headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> bool:
        parts = [part.strip().partition("=") for part in headers.get(header, "").split(",")]
        moments = [value for name, _, value in parts if name == "t" and value.isascii() and value.isdigit()]
        if len(moments) != 1 or abs(now.timestamp() - int(moments[0][:15])) > TOLERANCE:
            return False
        expected = hmac.new(key.encode(), f"{moments[0]}.".encode() + body, hashlib.sha256).hexdigest()
        return any(hmac.compare_digest(expected.encode(), value.encode()) for name, _, value in parts if name == "v1")

    return proves
