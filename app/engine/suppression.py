"""Keeping those out who asked to be forgotten. Of them we know only salted hashes of their e-mail addresses."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from app.core.identity import Key
from app.store import suppressions
from app.store.store import Unit


def suppressed(unit: Unit, keys: Iterable[Key]) -> dict[Key, datetime]:
    """Which of these keys were somebody's who asked to be forgotten, and when that was."""
    salt = suppressions.known_salt(unit)
    if salt is None:
        return {}
    hashes = {hashed(salt, key): key for key in keys if key[0] == "email"}
    return {hashes[found]: since for found, since in suppressions.among(unit, hashes).items()}


def hashed(salt: str, key: Key) -> str:
    """The hash under which a key is kept."""
    return hmac.new(salt.encode(), "\0".join(key).encode(), hashlib.sha256).hexdigest()
