"""Credentials at rest, and out of every log line.

Every secret that this process has encrypted or decrypted is remembered for as long as it runs, so that `redact` can
take it out of whatever is about to be written.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from app.settings import Settings

HIDDEN: Final = "[secret]"
SHORTEST: Final = 4
"""Characters; a shorter secret is hidden by the name of its field only, or every line would lose its letters."""
_TELLING: Final = (
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_key",
    "access_key",
    "apikey",
)

_held: set[str] = set()
_lock = threading.Lock()


class BadKey(Exception):
    """The stored credentials cannot be read with the keys at hand; the message says what to do."""


class Keyring:
    """Encrypts and decrypts the credentials of connections (Fernet: AES-128-CBC with HMAC-SHA256).

    The keys are those of CONCORD_SECRETS_KEYS, of which the first encrypts and all decrypt; without it, the one in
    `Settings.key_file`, made at its first use, readable by its owner only.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys, self._file = settings.secrets_keys, settings.key_file

    def encrypt(self, values: Mapping[str, str]) -> bytes:
        """{setting: secret} as one opaque token."""
        remember(values.values())
        keys = self._keys or (_read(self._file) or _make(self._file),)
        return _fernet(keys).encrypt(json.dumps(dict(values)).encode())

    def decrypt(self, token: bytes) -> dict[str, str]:
        """What `encrypt` was given. Raises BadKey."""
        key = None if self._keys else _read(self._file)
        keys = self._keys or ((key,) if key else ())
        try:
            raw = _fernet(keys).decrypt(token) if keys else None
        except InvalidToken:
            raw = None
        if raw is None:
            raise BadKey(self._advice())
        values: dict[str, str] = json.loads(raw)
        remember(values.values())
        return values

    def _advice(self) -> str:
        again = "or enter the credentials again with `concord apply`"
        if self._keys:
            return f"CONCORD_SECRETS_KEYS has no key that fits the stored credentials; add theirs, {again}"
        if self._file.exists():
            return f"the key in {self._file} does not fit the stored credentials; put theirs in its place, {again}"
        return (
            f"the key of the stored credentials is not at {self._file}; "
            f"put it there or into CONCORD_SECRETS_KEYS, {again}"
        )


def _fernet(keys: Sequence[SecretStr]) -> MultiFernet:
    return MultiFernet([Fernet(key.get_secret_value()) for key in keys])


def _read(file: Path) -> SecretStr | None:
    try:
        text = file.read_text().strip()
        mode = file.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadKey(
            f"the key of the stored credentials at {file} cannot be read ({error.strerror}); "
            "let it be a file of the user whom Concord runs as, with mode 600"
        ) from None
    except UnicodeDecodeError:
        text, mode = "", 0
    if os.name == "posix" and mode & 0o077:
        raise BadKey(f"others can read the key of the stored credentials; run `chmod 600 {file}`")
    try:
        Fernet(text)
    except ValueError:
        raise BadKey(f"{file} holds no key; restore it from a backup") from None
    return SecretStr(text)


def _make(file: Path) -> SecretStr:
    """A new key, unless another process was faster: then its key."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(Fernet.generate_key() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, file)  # whole, or not at all
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    key = _read(file)
    assert key is not None
    return key


def remember(values: Any) -> None:
    """These texts are secrets: `redact` hides them from now on."""
    with _lock:
        for value in values:
            if isinstance(value, str) and len(value) >= SHORTEST:
                # In the forms in which a library may quote it.
                _held.update((value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]))


def redact(_logger: Any, _method: str, event: Any) -> Any:
    """A structlog processor: hides the values of telling names, and every remembered secret wherever it stands."""
    with _lock:
        held = sorted(_held, key=len, reverse=True)  # a secret may begin with another one
    return _clean(event, held)


def _clean(value: Any, held: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            _clean(name, held): HIDDEN if _tells(name) and item is not None else _clean(item, held)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, held) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    for secret in held:
        text = text.replace(secret, HIDDEN)
    return text


def _tells(name: Any) -> bool:
    return isinstance(name, str) and any(word in name.casefold().replace("-", "_") for word in _TELLING)
