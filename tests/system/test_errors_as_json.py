"""With --json an error can be read by programs, and is the same as people are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk

from app.cli import common as cli


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["sync", "nobody"], cli.BAD_INPUT, "no connection is called 'nobody'"),
        (["people", "show", "nobody"], cli.BAD_INPUT, "nobody"),
        (["apply", "missing.yaml"], cli.BAD_INPUT, "missing.yaml:1: cannot be read"),
    ],
)
def test_an_error_is_json(desk: Desk, command: list[str], code: int, words: str) -> None:
    told = desk(*command, "--json")
    assert told.code == code and words in told.err
    assert told.json.keys() == {"error"}
    assert told.json["error"]["exit_code"] == code and words in told.json["error"]["message"]
    plain = desk(*command)
    assert (plain.code, plain.out) == (code, "") and plain.err == told.err


def test_what_failed_is_json_too_and_hides_what_is_secret(desk: Desk, tmp_path: Path) -> None:
    with desk.system("crm", "vtiger"):
        desk("apply", desk.file(desk.entry("crm", "vtiger")))
    answer = desk("connections", "check", "crm", "--json")
    assert answer.code == answer.json["error"]["exit_code"] == cli.FAILED
    assert "crm: 127.0.0.1:" in answer.json["error"]["message"]
    assert desk.settings["crm"]["access_key"] not in answer.out
