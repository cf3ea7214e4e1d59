"""Docs that cannot lag: what they name exists, and what exists is in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from app import configure
from app.settings import PREFIX, Settings
from benchmarks import requests
from connectors import errors, registry

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _first_column(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?! export)", _text("Makefile"), re.MULTILINE))


# --- the commands that everybody starts with


def test_the_two_commands_stand_on_the_first_screen_and_exist() -> None:
    first_screen = "\n".join(_text("README.md").splitlines()[:40])
    commands = re.findall(r"^make ([a-z-]+)", _blocks(first_screen, "sh")[0], re.MULTILINE)
    assert commands == ["demo", "test"]
    assert {*commands} <= _targets()


def test_ci_runs_the_command_of_the_readme() -> None:
    lines = [line for line in _text(".ci/run").splitlines() if line.startswith("make")]
    assert lines == ["make test", "make check"]


def test_every_make_that_a_page_names_exists() -> None:
    named = {target for page in DOCS for target in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named
    assert named <= _targets()


def test_every_target_says_what_it_does() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", _text("Makefile"), re.MULTILINE)
    assert phony
    described = set(re.findall(r"^([a-z-]+):.*?## ", _text("Makefile"), re.MULTILINE))
    assert {*phony[1].split()} == described


# --- links


@pytest.mark.parametrize("page", DOCS, ids=_shown)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            lost.append(target)
    assert not lost


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- settings and files


def test_every_variable_is_documented_and_every_documented_one_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert _first_column(_text("docs/configuration.md")) & {*map(str.upper, known)} == known
    slips = {"CONCORD_DATABSE_URL"}  # shown as what a slip looks like
    for page in [*DOCS, ROOT / "Dockerfile"]:
        # CONCORD_LIVE_<SYSTEM> is read by the conformance kit alone.
        named = set(re.findall(rf"\b{PREFIX}(?!LIVE_)[A-Z_]+\b", page.read_text()))
        assert named - slips <= known, _shown(page)


def test_a_variable_is_described_in_the_words_of_the_code() -> None:
    text = _text("docs/configuration.md")
    for name, field in Settings.model_fields.items():
        assert field.description
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}`")]
        assert field.description.split(";")[0].split(":")[0].rstrip(".") in row


def test_the_keys_of_a_connection_are_documented() -> None:
    section = _text("docs/configuration.md").partition("## The file of connections")[2]
    assert _first_column(section) == set(configure.Entry.model_fields)


@pytest.mark.parametrize("system", registry.names())
def test_the_settings_of_every_system_are_documented(system: str) -> None:
    section = re.search(rf"^## {system}\n(.*?)(?=^## |\Z)", _text("docs/connecting-systems.md"), re.M | re.S)
    assert section, f"docs/connecting-systems.md has no section {system}"
    fields = registry.system(system).settings.model_fields
    rows = {found[0]: found[1] for found in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", section[1], re.MULTILINE)}
    assert rows.keys() == fields.keys()
    assert {name for name, default in rows.items() if default == "required"} == {
        name for name, field in fields.items() if field.is_required()
    }


class _Anything(Mapping[str, str]):
    """An environment in which every variable is set, to what any system takes for a secret."""

    def __getitem__(self, key: str) -> str:
        return "x" * 32 + "-us19"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, key: object) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]


@pytest.mark.parametrize("page", DOCS, ids=_shown)
def test_the_files_that_a_page_shows_can_be_applied(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(_blocks(page.read_text(), "yaml")):
        if block.startswith("connections:"):
            file = tmp_path / f"{number}.yaml"
            file.write_text(block)
            assert configure.read(file, _Anything())


# --- commands


def _commands(page: Path) -> Iterator[list[str]]:
    """What a page tells to type: `concord …`, as words."""
    text = page.read_text()
    lines = [line for block in _blocks(text, "sh") for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`(concord [^`]+)`", text)]:
        words = shlex.split(line, comments=True)
        if words[:1] == ["concord"]:
            yield words[1:]


@pytest.mark.parametrize("page", DOCS, ids=_shown)
def test_the_commands_that_a_page_shows_exist(page: Path) -> None:
    import typer

    from app.cli import load

    for words in _commands(page):
        command: Any = typer.main.get_command(load())
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands") or not words or words[0].startswith("-"), words
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, words


def test_exit_codes_are_documented() -> None:
    from app.cli import common as cli

    codes = {cli.OK, cli.FAILED, cli.BAD_INPUT, cli.WAITING, cli.SET_ASIDE, cli.PAUSED, cli.INTERRUPTED}
    rows = re.findall(r"^\| (\d+) \|", _text("docs/errors-and-exit-codes.md"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(codes)


def test_every_error_of_a_connector_is_documented() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__base__ is errors.Error}
    assert kinds <= _first_column(_text("docs/errors-and-exit-codes.md"))


# --- what a sync costs

MANY = 1_000 if settings.default is settings.get_profile("long") else 100
"""Contacts of a first sync. What silence and ten changes cost does not depend on them."""


@pytest.mark.parametrize("name", requests.VARIANTS)
def test_the_requests_that_a_page_tells_are_those_that_are_sent(name: str) -> None:
    """The page's first syncs are of 1,000; they are counted anew by the long profile only."""
    variant, counted = requests.VARIANTS[name], requests.count(name, MANY)
    [told] = [line for line in _text("docs/connectors.md").splitlines() if line.startswith(f"| {variant.title} |")]
    fresh = requests.row(variant.title, counted, variant.least(requests.MANY, requests.FEW))
    columns = slice(None) if requests.MANY == MANY else slice(4, None)
    assert told.split("|")[columns] == fresh.split("|")[columns]
    assert all(ours >= least for ours, least in zip(counted, variant.least(MANY, requests.FEW), strict=True))


def test_the_page_says_where_the_least_comes_from() -> None:
    text = " ".join(_text("docs/connectors.md").split())
    assert all(f"- **{variant.title}.** {variant.why}" in text for variant in requests.VARIANTS.values())


# --- decisions


def test_every_decision_is_in_the_index_and_numbered_in_order() -> None:
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", _text("docs/decisions/README.md"))
    assert listed == [page.name for page in DECISIONS]
    assert [int(page.name[:4]) for page in DECISIONS] == [*range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("page", DECISIONS, ids=_shown)
def test_a_decision_names_its_reason_its_price_and_what_keeps_it(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {int(page.name[:4])}. ")
    for part in ("**We decided**", "**Because**", "**The price:**", "**Enforced by**"):
        assert part in text
    assert re.search(r"\]\(\.\./\.\./[^)]+\)", text.partition("**Enforced by**")[2]), "no test or lint is named"
    assert len(text.splitlines()) <= 30, "half a page"
