"""Credentials at rest: who can read them, and what is said when nobody can."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.secrets import BadKey, Keyring, redact
from app.settings import load

SECRETS = {"password": "correct horse", "token": "Zażółć\n🐎"}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CONCORD_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_key_is_made_at_first_use_and_is_ours_alone(home: Path) -> None:
    token = Keyring(load()).encrypt(SECRETS)
    assert b"horse" not in token
    assert (home / "concord.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in home.iterdir()] == ["concord.key"]
    assert Keyring(load()).decrypt(token) == SECRETS


def test_processes_that_start_at_once_agree_on_one_key(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = [*pool.map(lambda _: Keyring(load()).encrypt(SECRETS), range(8))]
    assert all(Keyring(load()).decrypt(token) == SECRETS for token in tokens)
    assert [file.name for file in home.iterdir()] == ["concord.key"]


def test_the_first_key_encrypts_and_all_decrypt(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", old)
    before = Keyring(load()).encrypt(SECRETS)
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", f"{new},{old}")
    after = Keyring(load()).encrypt(SECRETS)
    assert Keyring(load()).decrypt(before) == Keyring(load()).decrypt(after) == SECRETS
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", new)
    assert Keyring(load()).decrypt(after) == SECRETS
    with pytest.raises(BadKey, match=r"CONCORD_SECRETS_KEYS has no key that fits .* or enter the credentials again"):
        Keyring(load()).decrypt(before)
    assert not home.exists(), "keys from the environment need no file"


def test_a_lost_key_is_told_and_not_replaced(home: Path) -> None:
    token = Keyring(load()).encrypt(SECRETS)
    (home / "concord.key").unlink()
    with pytest.raises(BadKey, match=r"is not at .*/concord\.key; put it there or into CONCORD_SECRETS_KEYS"):
        Keyring(load()).decrypt(token)
    assert not (home / "concord.key").exists()


def test_a_wrong_key_is_told(home: Path) -> None:
    token = Keyring(load()).encrypt(SECRETS)
    (home / "concord.key").write_bytes(Fernet.generate_key())
    with pytest.raises(BadKey, match=r"the key in .*/concord\.key does not fit the stored credentials"):
        Keyring(load()).decrypt(token)


def test_a_tampered_token_is_refused() -> None:
    token = bytearray(Keyring(load()).encrypt(SECRETS))
    token[len(token) // 2] ^= 1
    with pytest.raises(BadKey):
        Keyring(load()).decrypt(bytes(token))


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_key_that_others_can_read_is_refused(home: Path) -> None:
    token = Keyring(load()).encrypt(SECRETS)
    (home / "concord.key").chmod(0o640)
    with pytest.raises(BadKey, match="chmod 600"):
        Keyring(load()).decrypt(token)


def test_a_spoilt_key_file_is_told_and_kept(home: Path) -> None:
    Keyring(load()).encrypt(SECRETS)
    (home / "concord.key").write_text("oops")
    with pytest.raises(BadKey, match="holds no key"):
        Keyring(load()).encrypt(SECRETS)
    assert (home / "concord.key").read_text() == "oops"


def test_a_moment_is_written_as_programs_read_it() -> None:
    assert redact(None, "", {"at": datetime(2026, 3, 4, 5, 6, tzinfo=UTC)}) == {"at": "2026-03-04T05:06:00+00:00"}
