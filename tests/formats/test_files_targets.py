"""Where an export is written to: files appear whole, links stay links, pipes and terminals are written through."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any, get_args

import pytest

from connectors.card import Card
from connectors.files.export import write_file
from connectors.files.inspection import inspect
from connectors.files.source import Format

BEN: Card = {"name": {"full": "Ben Bax"}, "emails": {"1": {"address": "b@example.org"}}}
PEOPLE = [("u1", 1, BEN)]


@pytest.mark.parametrize("kind", get_args(Format))
def test_a_pipe_is_written_through(tmp_path: Path, kind: Format) -> None:
    pipe, got = tmp_path / "pipe", tmp_path / "got"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for target in (pipe, link):
        reader = threading.Thread(target=lambda: got.write_bytes(pipe.read_bytes()), daemon=True)
        reader.start()
        assert write_file(target, kind, PEOPLE).contacts == 1
        reader.join(10)
        assert inspect(got).contacts == 1
        assert pipe.is_fifo() and link.is_symlink()


def test_a_device_is_written_through(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    try:
        link = tmp_path / "terminal.csv"
        link.symlink_to(os.ttyname(theirs))
        write_file(link, "csv", PEOPLE)
        assert link.is_symlink() and Path(os.ttyname(theirs)).is_char_device()
        assert b"b@example.org" in os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_written(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "far"
    folder.mkdir()
    real, link = folder / "real.csv", tmp_path / "link.csv"
    if there:
        real.write_text("before")
    link.symlink_to("far/real.csv")
    write_file(link, "csv", PEOPLE)
    assert link.is_symlink() and not real.is_symlink() and inspect(real).contacts == 1

    def broken() -> Any:
        yield PEOPLE[0]
        raise RuntimeError("in the middle")

    whole = real.read_bytes()
    with pytest.raises(RuntimeError):
        write_file(link, "csv", broken())
    assert real.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "link.csv", "real.csv"]


def test_errors_tell_of_the_folder_and_not_of_our_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "none" / "x.csv", tmp_path / "file" / "x.csv"):
        with pytest.raises(FileNotFoundError, match=r"^there is no folder ") as told:
            write_file(target, "csv", PEOPLE)
        assert str(target.parent) in str(told.value) and "x.csv" not in str(told.value)
    with pytest.raises(IsADirectoryError, match="is a folder; give the file in it"):
        write_file(tmp_path, "csv", PEOPLE)
    write_file(tmp_path / ("x" * 250 + ".csv"), "csv", PEOPLE)

    def forbidden(**_: Any) -> None:
        raise PermissionError(13, "Permission denied", f"{tmp_path}/.x.csv.yknz3uzz")

    monkeypatch.setattr(tempfile, "mkstemp", forbidden)
    with pytest.raises(PermissionError, match=r"^you may not write into the folder") as refused:
        write_file(tmp_path / "x.csv", "csv", PEOPLE)
    assert "yknz3uzz" not in str(refused.value)
