"""Telling our subscribers, as Standard Webhooks says: signed, tried again for three days, then set aside to be resent.

Every subscriber is told in the order in which things happened, apart from what has to be tried again; a slow one holds
up no other.
"""

from __future__ import annotations

import json
import logging
import secrets
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Protocol
from urllib.parse import urlsplit

from app.jobs.queue import Task
from app.store import hooks
from app.store.hooks import Notice, Subscription
from app.store.store import Store
from connectors.contract import Context
from connectors.errors import Error
from connectors.http import Http, Response, retry_after

log = logging.getLogger(__name__)

RESTS: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Between the attempts (Standard Webhooks, "Retry schedule"): after the last one, about three days on, it is dead."""
PATIENCE: Final = 15.0
"""Seconds that a subscriber has to answer in (Standard Webhooks recommends 15 to 30)."""
BATCH: Final = 100
SIDE_BY_SIDE: Final = 8
"""Subscribers that are spoken with at one time."""
GONE: Final = 410


class Cipher(Protocol):
    """Encrypts what is stored."""

    def encrypt(self, values: Mapping[str, str]) -> bytes:
        """As one opaque token."""
        ...

    def decrypt(self, token: bytes) -> dict[str, str]:
        """What `encrypt` was given."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a subscriber made of a notice. wait: seconds it asked for before the next attempt."""

    good: bool
    answer: str
    gone: bool = False
    wait: float = 0.0


def new_secret() -> str:
    """A secret to sign with, as Standard Webhooks writes it."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def subscribe(store: Store, cipher: Cipher, url: str, events: Sequence[str]) -> tuple[int, str]:
    """(id, secret) of a new subscription; the secret is shown this once. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address that can be told; it must begin with https://")
    if parts.username or parts.password:
        raise ValueError("the address must hold no credentials; the signature proves who is speaking")
    secret = new_secret()
    with store.begin(durable=True) as unit:
        return hooks.subscribe(unit, url, events, cipher.encrypt({"secret": secret})), secret


class Notifier:
    """Does the job "notices"."""

    def __init__(self, store: Store, cipher: Cipher, context: Context) -> None:
        self._store, self._cipher, self._context = store, cipher, context

    def __call__(self, task: Task) -> datetime | None:
        """Make notices of what happened and tell those that are due."""
        self._collect(task)
        while not task.stopping() and self._tell():
            pass
        return None

    def _collect(self, task: Task) -> None:
        more = True
        while more and not task.stopping():
            with self._store.begin() as unit:
                more = hooks.collect(unit, lambda: uuid.uuid4().hex)

    def _tell(self) -> bool:
        """Tell a batch; True where there may be more."""
        with self._store.read() as unit:
            due = hooks.due(unit, BATCH)
            listening = {subscription.id: subscription for subscription in hooks.every(unit, active=True)}
        by_subscription = sorted(due, key=lambda notice: notice.subscription_id)
        groups = [
            (listening[id_], [*own]) for id_, own in groupby(by_subscription, lambda notice: notice.subscription_id)
        ]
        if groups:
            with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(groups))) as pool:
                for done in [pool.submit(self._tell_one, *group) for group in groups]:
                    done.result()
        return len(due) == BATCH

    def _tell_one(self, subscription: Subscription, notices: Sequence[Notice]) -> None:
        """One subscriber, one notice after the other; after a failure the rest waits with it."""
        try:
            secret = self._cipher.decrypt(subscription.secret)["secret"]
        except Exception as error:
            # Its key is not at hand: nobody is told until a human has seen to it, and nobody else is held up.
            log.warning("subscription %d cannot be told: %s", subscription.id, error)
            with self._store.begin() as unit:
                hooks.switch(unit, subscription.id, "off", str(error))
            return
        with Http("", self._context, react=lambda response: None, tries=1, timeout=PATIENCE) as http:
            for notice in notices:
                verdict = self._send(http, subscription.url, secret, notice)
                self._settle(subscription, notice, verdict)
                if not verdict.good:
                    return

    def _send(self, http: Http, url: str, secret: str, notice: Notice) -> Verdict:
        headers = {**signed(notice.id, notice.body, secret, self._context.now()), "content-type": "application/json"}
        try:
            response = http.request("POST", url, content=notice.body.encode(), headers=headers)
        except Error as error:
            return Verdict(False, str(error))
        return _judge(response)

    def _settle(self, subscription: Subscription, notice: Notice, verdict: Verdict) -> None:
        with self._store.begin() as unit:
            if verdict.good:
                hooks.settle(unit, notice.id, "sent", unit.now, verdict.answer)
            elif notice.attempts >= len(RESTS):
                hooks.settle(unit, notice.id, "dead", unit.now, verdict.answer)
            else:
                wait = max(RESTS[notice.attempts], timedelta(seconds=min(verdict.wait, 86_400)))
                hooks.settle(unit, notice.id, "waiting", unit.now + wait, verdict.answer)
            if verdict.gone:
                hooks.switch(unit, subscription.id, "off", "it answered that it is gone for good (HTTP 410)")


def _judge(response: Response) -> Verdict:
    status = response.status_code
    if 200 <= status < 300:
        return Verdict(True, f"HTTP {status}")
    return Verdict(False, f"HTTP {status}", status == GONE, retry_after(response) or 0.0)


def signed(notice: str, body: str, secret: str, now: datetime) -> dict[str, str]:
    """The headers that prove a body (Standard Webhooks, "Signature scheme")."""
    from standardwebhooks.webhooks import Webhook

    return {
        "webhook-id": notice,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(notice, now, body),
    }


def shown(notice: Notice) -> dict[str, object]:
    """A notice for people and programs."""
    return {
        "id": notice.id,
        "subscription": notice.subscription_id,
        "type": notice.type,
        "data": json.loads(notice.body)["data"],
        "created": notice.created,
        "state": notice.state,
        "attempts": notice.attempts,
        "next": notice.due if notice.state == "waiting" else None,
        "answer": notice.answer,
    }
