"""Habits of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMON = sorted(path for path in (ROOT / "connectors").glob("*.py") if path.read_text())
DAEMON = sorted(path for path in (ROOT / "app").rglob("*.py") if path.read_text())
INTERFACES = [path for path in COMMON if path.stem in {"card", "contract", "errors", "http", "registry", "sandbox"}] + [
    path for path in DAEMON if path.parent.name in {"app", "core"}
]
"""What strangers, or many files of ours, build on: here every public function says what it does."""
REMOTES = sorted(path for path in (ROOT / "connectors").glob("*/*.py") if path.read_text())
PURE = [*(ROOT / "app" / "core").glob("*.py"), *(ROOT / "connectors").glob("*/mapping.py"), ROOT / "connectors/card.py"]

# Spelled in pieces, for this file is looked at too.
MACHINE = re.compile(
    "|".join(["/wor" + r"k/(main|shared)", "/roo" + "t/", "/home/" + r"\w+/", "/tmp/" + r"\w+/bin", "/opt/" + "wheels"])
    + "|"
    + "|".join(["pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.org", "deb" + r"ian\.org"])
)
BINARY = {".png", ".jpg", ".jpeg", ".xlsx", ".gif", ".ico", ".db", ".woff2"}


def _tracked() -> Iterator[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git clone")
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in BINARY and path.name != "uv.lock":
            yield path


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_machine_is_named() -> None:
    """A path or a host of the machine where something was made means nothing, or harm, anywhere else."""
    found = [
        f"{_shown(path)}:{number}: {line.strip()[:100]}"
        for path in _tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_search_for_machines_finds_them() -> None:
    planted = ["cd /wor" + "k/main", "--index https://pypi" + ".org/simple", "/home/" + "ann/concord.db"]
    assert all(map(MACHINE.search, planted))


@pytest.mark.parametrize("path", [*COMMON, *DAEMON, *REMOTES], ids=_shown)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{_shown(path)} begins without a docstring"


@pytest.mark.parametrize("path", [*COMMON, *DAEMON], ids=_shown)
def test_every_class_is_described(path: Path) -> None:
    assert not _undescribed(path, ast.ClassDef)


@pytest.mark.parametrize("path", INTERFACES, ids=_shown)
def test_what_others_build_on_is_described(path: Path) -> None:
    assert not _undescribed(path, ast.FunctionDef, ast.AsyncFunctionDef)


def _undescribed(path: Path, *kinds: type[ast.AST]) -> list[str]:
    """The public things of these kinds that have no docstring; `Protocol` classes are looked into."""
    body = ast.parse(path.read_text()).body
    for node in [
        node for node in body if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
    ]:
        body = [*body, *node.body]
    return [
        f"{_shown(path)}:{node.lineno}: {node.name}"
        for node in body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]


@pytest.mark.parametrize("path", PURE, ids=_shown)
def test_pure_code_does_not_read_the_clock(path: Path) -> None:
    """The contracts forbid `time` and `random` as modules; `datetime` is a type as well, so its clock is looked for."""
    read = [
        f"{_shown(path)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"now", "utcnow", "today"}
    ]
    assert not read, "\n".join(read)


def test_every_test_file_has_a_name_of_its_own() -> None:
    """Without packages under tests/, two files of one name would hide each other."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
