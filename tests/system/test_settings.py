"""Settings from the environment: what is accepted, and what is said about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.settings import BadSettings, load


def test_without_any_everything_is_in_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONCORD_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = load()
    assert settings.home == tmp_path / "concord"
    assert settings.database_url == f"sqlite:///{tmp_path}/concord/concord.db"
    assert settings.database_file == tmp_path / "concord" / "concord.db"
    assert settings.key_file == tmp_path / "concord" / "concord.key"


def test_the_key_is_beside_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONCORD_DATABASE_URL", f"sqlite:///{tmp_path}/shop.db")
    assert load().key_file == tmp_path / "shop.key"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_by_any_of_its_names(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("CONCORD_DATABASE_URL", f"{scheme}://ann:hunter2@db/contacts")
    settings = load()
    assert settings.database_url == "postgresql+psycopg://ann:hunter2@db/contacts"
    assert settings.database_file is None
    assert settings.key_file == settings.home / "concord.key"
    assert "hunter2" not in repr(settings)


def test_values_are_read_kindly(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    monkeypatch.setenv("CONCORD_SECRETS_KEYS", f" {keys[0]} ,{keys[1]}, ")
    monkeypatch.setenv("CONCORD_REGION", "de")
    monkeypatch.setenv("CONCORD_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("CONCORD_LOG_FORMAT", "")
    settings = load()
    assert [key.get_secret_value() for key in settings.secrets_keys] == keys
    assert (settings.region, settings.log_level, settings.log_format) == ("DE", "debug", "auto")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "mysql://root:hunter2@db/x", "must begin with sqlite:/// or postgresql://"),
        ("DATABASE_URL", "/var/lib/hunter2.db", "must begin with sqlite:/// or postgresql://"),
        ("SECRETS_KEYS", "hunter2", "key 1 is no Fernet key .* make one with"),
        ("REGION", "Germany", "'Germany' is no country code; use the two letters"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
    ],
)
def test_a_bad_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    monkeypatch.setenv(f"CONCORD_{name}", value)
    with pytest.raises(BadSettings, match=f"^CONCORD_{name}: .*{said}") as caught:
        load()
    assert "hunter2" not in str(caught.value)


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_REGION", "Germany")
    monkeypatch.setenv("CONCORD_LOG_LEVEL", "loud")
    with pytest.raises(BadSettings) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 2


def test_a_slip_in_a_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_DATABSE_URL", "sqlite:////tmp/x.db")
    with pytest.raises(BadSettings, match="CONCORD_DATABSE_URL is no setting; did you mean CONCORD_DATABASE_URL"):
        load()


def test_a_name_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_GOOGLE_TOKEN", "x")
    load()
