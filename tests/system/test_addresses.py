"""What can be seen to be wrong when the file of connections is applied is told then, with its line, whatever system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from app.cli import common as cli
from connectors import registry

SYSTEMS = ["carddav", "google", "mailchimp", "quickbooks", "sugarcrm", "tryton", "vtiger", "xero"]


def settings_of(system: str, **changed: str) -> dict[str, Any]:
    box = registry.sandbox(system)
    held: dict[str, Any] = box.settings("http://127.0.0.1:1/")
    return {**held, **changed}


def applied(desk: Desk, tmp_path: Path, settings: dict[str, Any], system: str) -> Any:
    file = tmp_path / "c.yaml"
    lines = [f"      {name}: {json.dumps(value)}" for name, value in settings.items()]
    head = f"connections:\n  - name: it\n    system: {system}\n    settings:\n"
    file.write_text(head + "\n".join(lines) + "\n")
    return desk("apply", file, "--dry-run")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://h:port", "ftp://h/", "https://", "http://[::1"])
def test_an_address_that_cannot_be(desk: Desk, tmp_path: Path, system: str, url: str) -> None:
    settings = settings_of(system, url=url)
    answer = applied(desk, tmp_path, settings, system)
    assert answer.code == cli.BAD_INPUT
    line = 5 + [*settings].index("url")
    assert f"c.yaml:{line}: connections[0].settings.url: " in answer.err


@pytest.mark.parametrize("system", ["google", "mailchimp", "quickbooks", "xero"])
def test_the_addresses_of_consent_too(desk: Desk, tmp_path: Path, system: str) -> None:
    answer = applied(desk, tmp_path, settings_of(system, token_uri="https://h:0/"), system)
    assert answer.code == cli.BAD_INPUT and "connections[0].settings.token_uri: " in answer.err


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_sandbox_says_is_fine(desk: Desk, tmp_path: Path, system: str) -> None:
    answer = applied(desk, tmp_path, settings_of(system), system)
    assert answer.code == cli.OK, answer.err


@pytest.mark.parametrize(
    "url", ["cloud.example.com", "me@example.com", "cloud.example.com:8443/dav", "http://[::1]:80/"]
)
def test_an_address_book_may_be_typed_as_it_is_known(desk: Desk, tmp_path: Path, url: str) -> None:
    assert applied(desk, tmp_path, settings_of("carddav", url=url), "carddav").code == cli.OK


@pytest.mark.parametrize("url", ["crm.example.com/vtiger", "https://crm.example.com/a b"])
def test_a_start_page_needs_its_scheme(desk: Desk, tmp_path: Path, url: str) -> None:
    answer = applied(desk, tmp_path, settings_of("vtiger", url=url), "vtiger")
    assert "give the address of vTiger's start page, with http:// or https://" in answer.err


def test_who_is_preferred_must_be_there(desk: Desk, tmp_path: Path) -> None:
    with desk.system("crm", "vtiger"):
        file = tmp_path / "c.yaml"
        one = "  - name: {}\n    system: vtiger\n    settings: {}\n    conflicts: {}\n"
        held = json.dumps(desk.settings["crm"])
        texts = [one.format("ok1", held, "{prefer: nobody}"), one.format("ok2", held, "[ok1, never]")]
        file.write_text("connections:\n" + "".join(texts))
        answer = desk("apply", file)
        assert answer.code == cli.BAD_INPUT
        told = "no connection is called {}; there are: ok1, ok2"
        assert f"{file}:5: connections[0].conflicts: {told.format('nobody')}" in answer.err
        assert f"{file}:9: connections[1].conflicts: {told.format('never')}" in answer.err
        assert desk("connections", "--json").json == []
        file.write_text("connections:\n" + one.format("ok1", held, "{prefer: ok2}") + one.format("ok2", held, "ask"))
        assert desk("apply", file).code == cli.OK
