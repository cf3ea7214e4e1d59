"""The contacts of a business are readable by whoever runs Concord, and by no other user of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk

from app.cli import common as cli

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
def test_what_is_made_is_ours_alone(desk: Desk) -> None:
    from app.bootstrap import start

    application = start()
    with application.store.begin():
        modes = {file.name: mode(file) for file in desk.home.iterdir()}
    application.store.close()
    assert modes == dict.fromkeys(["concord.db", "concord.db-wal", "concord.db-shm"], 0o600)
    assert mode(desk.home) == 0o700
    assert not [f for f in desk("doctor", "--json").json if f["state"] != "well"]


def test_the_key_may_come_first(desk: Desk) -> None:
    from app.secrets import Keyring
    from app.settings import load

    Keyring(load()).encrypt({"password": "x" * 8})
    assert mode(desk.home) == 0o700


def test_what_is_there_stays_as_it_is_and_the_doctor_tells(desk: Desk) -> None:
    desk.home.mkdir(mode=0o755)
    desk.home.chmod(0o755)
    desk("connections")
    file = desk.home / "concord.db"
    assert (mode(desk.home), mode(file)) == (0o755, 0o600)
    for folder, own, told in [
        (0o755, 0o644, True),
        (0o750, 0o640, True),
        (0o750, 0o604, False),
        (0o701, 0o640, False),
        (0o700, 0o644, False),
        (0o755, 0o600, False),
    ]:
        desk.home.chmod(folder)
        file.chmod(own)
        answer = desk("doctor", "--json")
        assert answer.code == cli.OK
        found = [f for f in answer.json if "other users" in f["message"]]
        assert bool(found) == told, (oct(folder), oct(own))
        assert all(f["advice"] == f"chmod 600 {file}*" for f in found)
        assert (mode(desk.home), mode(file)) == (folder, own)


def test_a_home_that_is_a_file(desk: Desk) -> None:
    desk.home.write_text("")
    answer = desk("connections")
    assert answer.code == cli.BAD_INPUT
    assert f"{desk.home} is a file" in answer.err and "CONCORD_HOME" in answer.err and "Errno" not in answer.err


def test_a_home_below_a_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.home.write_text("")
    monkeypatch.setenv("CONCORD_HOME", str(desk.home / "below"))
    answer = desk("connections")
    assert answer.code == cli.BAD_INPUT and "cannot be made (Not a directory)" in answer.err
