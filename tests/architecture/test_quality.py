"""Every connector says where it stands, rule by rule; what a machine can check of it, is checked here."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors import registry
from connectors.card import Card
from connectors.contract import Connector, Push, Seller, System
from connectors.sandbox import running
from connectors.testing import hurried

ROOT = Path(__file__).parents[2]
KITS = ROOT / "tests" / "conformance"
RULES = (
    "discovery_probed",
    "incremental_reads",
    "tombstones",
    "full_listing_proven",
    "conditional_writes",
    "batch_writes",
    "our_key_stored",
    "find_after_lost_create",
    "patch_not_replace",
    "unknown_data_kept",
    "groups",
    "photos",
    "partial_dates",
    "consent",
    "erasure",
    "purchases",
    "aliases_followed",
    "rate_limits_honoured",
    "errors_by_reaction",
    "secrets_hidden",
    "credentials_rotated",
    "sandbox_cited",
    "spec_validated",
    "live_tested",
    "conformance_kit",
)
OURS = sorted(
    entry.name
    for entry in entry_points(group=registry.GROUP)
    if (ROOT / "connectors" / entry.name / "__init__.py").exists()
)
BOXED = [name for name in OURS if registry.system(name).sandbox]
OPTIONS: dict[str, dict[str, Any]] = {"mailchimp": {"key_field": "CONCORDID"}}
"""Settings without which a system keeps no key of ours."""
KEY = "6f1c1b34-8f0e-4f2a-9d5e-3a1f0c2b7d68"
CARD: Card = {
    "name": {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": "Weiss"}]},
    "emails": {"1": {"address": "ann.weiss@example.org"}},
}
YEARLESS: Card = {**CARD, "anniversaries": {"1": {"kind": "birth", "date": {"month": 2, "day": 28}}}}


@cache
def checklist(name: str) -> dict[str, Any]:
    file = ROOT / "connectors" / name / "quality.yaml"
    assert file.exists(), f"{name} has no quality.yaml; docs/connectors.md has the rules"
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def done(name: str, rule: str) -> bool:
    return bool(checklist(name)[rule] == "done")


# --- the lists themselves


def test_there_is_a_connector_for_every_folder() -> None:
    folders = {path.parent.name for path in (ROOT / "connectors").glob("*/__init__.py")}
    assert folders - {"memory"} == set(OURS), "`memory` is the tests' own remote; every other folder is a system"


@pytest.mark.parametrize("name", OURS)
def test_all_rules_are_answered_in_order(name: str) -> None:
    assert tuple(checklist(name)) == RULES


@pytest.mark.parametrize("name", OURS)
def test_an_exemption_has_a_reason(name: str) -> None:
    for rule, answer in checklist(name).items():
        if answer == "done":
            continue
        assert isinstance(answer, dict), f"{rule}: done, or {{exempt: why}}"
        assert answer.keys() == {"exempt"}, f"{rule}: done, or {{exempt: why}}"
        assert len(str(answer["exempt"]).split()) >= 4, f"{rule}: that is no reason"


# --- what the connector itself shows


@dataclass(frozen=True)
class Opened:
    """A connector that has spoken to its sandbox, and the record that it created there."""

    name: str
    connector: Connector
    key: str | None
    yearless: Card

    @property
    def system(self) -> System:
        return registry.system(self.name)


@pytest.fixture(scope="module", params=BOXED)
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    name = str(request.param)
    system, box = registry.system(name), registry.sandbox(name)
    with running(box.app) as url:
        settings = system.settings.model_validate({**box.settings(url), **OPTIONS.get(name, {})})
        connector: Connector = system.open(settings, hurried())
        try:
            assert connector.check().label
            list(connector.changes(None))
            [outcome] = connector.write([Push("1", KEY, None, connector.fit(CARD, None))])
            assert outcome.record is not None, outcome.error
            yield Opened(name, connector, outcome.record.key, connector.fit(YEARLESS, None))
        finally:
            connector.close()


def test_the_capabilities_are_those_of_the_list(opened: Opened) -> None:
    can = opened.connector.capabilities
    told = {
        "tombstones": can.tombstones,
        "conditional_writes": can.conditional,
        "batch_writes": can.batch > 1,
        "groups": "groups" in can.fields,
        "photos": "media" in can.fields,
        "consent": bool(can.consents),
    }
    assert {rule: done(opened.name, rule) for rule in told} == told
    assert can.optins <= can.consents


def test_purchases_are_read_where_the_list_says_so(opened: Opened) -> None:
    assert isinstance(opened.connector, Seller) == done(opened.name, "purchases")


def test_who_keeps_our_key_gives_it_back(opened: Opened) -> None:
    assert (opened.key == KEY) == done(opened.name, "our_key_stored")


def test_a_birthday_without_its_year_is_held_where_the_list_says_so(opened: Opened) -> None:
    assert bool(opened.yearless.get("anniversaries")) == done(opened.name, "partial_dates")


@pytest.mark.parametrize("name", OURS)
def test_a_sandbox_is_there(name: str) -> None:
    assert (name in BOXED) == done(name, "sandbox_cited")


# --- what its source and its tests show


def _source(name: str) -> str:
    """Everything of a connector but its sandboxes."""
    files = sorted((ROOT / "connectors" / name).rglob("*.py"))
    texts = (file.read_text() for file in files if "sandbox" not in file.name)
    return "\n".join(text.replace("from __future__ import annotations\n", "") for text in texts)


@pytest.mark.parametrize("name", OURS)
def test_credentials_rotate_where_they_are_renewed(name: str) -> None:
    """A session that begins with a password, or a grant by OAuth2; each stores what it is given before using it."""
    renews = re.search(r"from connectors\.oauth import .*\b(Grant|Session)\b", _source(name)) is not None
    assert renews == done(name, "credentials_rotated")
    if registry.system(name).oauth and not renews:
        assert "token" in checklist(name)["credentials_rotated"]["exempt"], "say why its tokens need no renewal"


@pytest.mark.parametrize("name", OURS)
def test_secrets_are_marked(name: str) -> None:
    module = importlib.import_module(registry.system(name).settings.__module__)
    assert ("SecretStr" in vars(module)) == done(name, "secrets_hidden")


@pytest.mark.parametrize("name", OURS)
def test_former_ids_are_told_where_the_list_says_so(name: str) -> None:
    told = [
        call
        for call in ast.walk(ast.parse(_source(name)))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("Record", "replace")
        if any(given.arg == "aliases" for given in call.keywords)
    ]
    assert bool(told) == done(name, "aliases_followed")


@dataclass(frozen=True)
class Kit:
    """A test module that runs the conformance kit. live: the systems of its live classes."""

    text: str
    about: frozenset[str]
    live: frozenset[str]


@cache
def kits() -> list[Kit]:
    return [kit for file in sorted(KITS.glob("test_*.py")) if (kit := _kit(file.read_text())) is not None]


def _kit(text: str) -> Kit | None:
    tree = ast.parse(text)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    bases = {node.name: {ast.unparse(base) for base in node.bases} for node in classes}
    if not any("Conformance" in names for names in bases.values()):
        return None
    live = {
        str(ast.literal_eval(statement.value))
        for node in classes
        if "LiveConformance" in bases[node.name]
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "system"
    }
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    about = {parts[1] for module in imported if (parts := module.split("."))[0] == "connectors" and len(parts) > 1}
    return Kit(text, frozenset(about), frozenset(live))


@pytest.mark.parametrize("name", OURS)
def test_the_kit_is_run_as_the_list_says(name: str) -> None:
    """Also with a field that no card knows, with creates whose answer is lost, and, where there is one, on a real
    account."""
    ours = [kit for kit in kits() if name in kit.about]
    assert bool(ours) == done(name, "conformance_kit")
    if not ours:
        return
    assert all("plant=" in kit.text and "planted=" in kit.text for kit in ours) == done(name, "unknown_data_kept")
    assert all("creating=" in kit.text for kit in ours) == done(name, "find_after_lost_create")
    assert any(name in kit.live for kit in ours), f"{name}: no live class; a real account must be a file away"


@pytest.mark.parametrize("name", [name for name in OURS if done(name, "conformance_kit")])
def test_traffic_is_held_against_a_specification_or_a_real_server(name: str) -> None:
    ours = [kit.text for kit in kits() if name in kit.about]
    judged = [re.search(r"import Watched|servers\.(radicale|xandikos)|tryton_server\.tryton", text) for text in ours]
    assert any(judged) == done(name, "spec_validated")


# --- the page


def test_the_page_explains_the_rules_in_order_and_names_who_is_exempt() -> None:
    page = (ROOT / "docs" / "connectors.md").read_text().partition("## The checklist")[2]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", page, re.MULTILINE)
    assert tuple(rule for rule, _ in rows) == RULES
    assert dict(rows) == {rule: ", ".join(name for name in OURS if not done(name, rule)) or "—" for rule in RULES}


def test_the_page_names_every_system() -> None:
    page = (ROOT / "docs" / "connectors.md").read_text().partition("## What each can")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| \[(\w+)\]", page, re.MULTILINE)) == OURS


def test_the_page_tells_what_each_system_can(opened: Opened) -> None:
    page = (ROOT / "docs" / "connectors.md").read_text().partition("## What each can")[2].partition("\n## ")[0]
    [row] = [line for line in page.splitlines() if line.startswith(f"| [{opened.name}](")]
    _, direction, consents, purchases, batch, *_ = [cell.strip() for cell in row.strip("|").split("|")]
    can = opened.connector.capabilities
    channels = [f"{channel}, in and out" if channel in can.optins else channel for channel in sorted(can.consents)]
    assert direction == f"`{opened.system.direction}`"
    assert consents == ("; ".join(channels) or "—")
    assert purchases == ("yes" if isinstance(opened.connector, Seller) else "—")
    assert batch == str(can.batch)
