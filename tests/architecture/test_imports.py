"""The arrows between modules: the contracts in pyproject.toml hold, and each of them can be broken."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLANTS = {
    "daemon-on-connectors": ("connectors/errors.py", "app.settings"),
    "floors-of-the-daemon": ("app/store/store.py", "app.engine.world"),
    "floors-of-the-connectors": ("connectors/card.py", "connectors.http"),
    "floors-of-a-remote": ("connectors/carddav/mapping.py", "connectors.carddav.client"),
    "pure": ("app/core/guard.py", "time"),
    "sql-in-the-store": ("app/engine/run.py", "sqlalchemy"),
    "one-way-out": ("connectors/google/mapping.py", "httpx"),
    "migrations-are-called-once": ("app/core/policy.py", "migrations"),
    "no-remote-by-name": ("app/engine/push.py", "connectors.google"),
    "no-sandbox-in-production": ("app/engine/pull.py", "connectors.sandbox"),
    "no-test-tools": ("app/logs.py", "pytest"),
    "no-kit-in-production": ("connectors/http.py", "connectors.testbench"),
    "no-circles": ("app/store/store.py", "app.store.outbox"),
}
"""For each contract one import that it forbids: (file, module)."""


def _lint(folder: Path, *options: str) -> tuple[int, str]:
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [script, "--no-logo", "--no-cache", *options], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _contracts() -> dict[str, str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return {c["id"]: c["name"] for c in tomllib.load(file)["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in ("app", "connectors", "migrations"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_contracts_hold() -> None:
    code, report = _lint(ROOT)
    assert code == 0, report


def test_every_contract_can_be_broken(copy: Path) -> None:
    """All the plants at once, then each contract alone must name its own."""
    assert PLANTS.keys() == _contracts().keys(), "a contract without a plant, or a plant without a contract"
    for path, module in PLANTS.values():
        with (copy / path).open("a") as file:
            file.write(f"\nimport {module}\n")
    code, report = _lint(copy)
    assert code == 1, report
    text = " ".join(report.partition("Broken contracts")[2].split())
    sections = _sections(text, _contracts())
    for contract, (path, module) in PLANTS.items():
        importer = path.removesuffix(".py").replace("/", ".")
        arrow = rf"{_named(importer)} (->|→) {_named(module)}\b"
        assert re.search(arrow, sections.get(contract, "")), f"{contract} lets {path} import {module}"


def _named(module: str) -> str:
    """A module as a report names it: in full, or by its last part among its siblings."""
    return rf"({re.escape(module)}|\.{module.rpartition('.')[2]})"


def _sections(text: str, names: dict[str, str]) -> dict[str, str]:
    starts = sorted((text.index(name), contract) for contract, name in names.items() if name in text)
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return {contract: text[start:end] for (start, contract), end in zip(starts, ends, strict=True)}


@pytest.mark.parametrize(("container", "contract"), [("app", "daemon"), ("connectors", "connectors")])
def test_a_module_without_a_floor_is_noticed(copy: Path, container: str, contract: str) -> None:
    newcomer = copy / container / "newcomer.py"
    newcomer.write_text("")
    code, report = _lint(copy, "--contract", f"floors-of-the-{contract}")
    newcomer.unlink()
    assert code == 1
    assert f"{container}.newcomer" in report
