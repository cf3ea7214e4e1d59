"""The Dockerfile, as far as it can be judged without building it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _instructions() -> list[tuple[str, str]]:
    """[(instruction, its arguments)], comments and line breaks gone."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name.upper(), rest) for name, rest in lines]


def _last_stage() -> list[tuple[str, str]]:
    found = _instructions()
    start = max(n for n, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def test_it_does_not_run_as_root() -> None:
    users = [rest.strip() for name, rest in _last_stage() if name == "USER"]
    assert users, "no USER: it would run as root"
    assert users[-1].split(":")[0] not in {"root", "0"}


def test_its_health_is_asked_where_it_listens() -> None:
    from app.cli.serve import PORT
    from app.web.api import health

    found = dict(_last_stage())
    command = json.loads(found["HEALTHCHECK"].partition("CMD")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    [(port, path)] = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", command[2])
    assert path in {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    assert port == found["EXPOSE"] == str(PORT)


def test_it_starts_a_command_that_exists() -> None:
    rest = {name: json.loads(rest) for name, rest in _last_stage() if name in {"ENTRYPOINT", "CMD"}}
    assert rest["ENTRYPOINT"] == ["concord"]
    cli = pytest.importorskip("app.cli")
    assert rest["CMD"][0] in _commands(cli)


def _commands(cli: Any) -> set[str]:
    import typer

    return {*typer.main.get_command(cli.load()).commands}  # type: ignore[attr-defined]


def test_data_outlive_the_container() -> None:
    found = dict(_last_stage())
    [home] = [word.partition("=")[2] for word in shlex.split(found["ENV"]) if word.startswith("CONCORD_HOME=")]
    assert found["VOLUME"] == home


def test_what_it_copies_exists_and_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "the list names what may pass"
    for name, rest in _instructions():
        *sources, _ = shlex.split(rest)
        if name != "COPY" or sources[0].startswith("--from="):
            continue
        for source in sources:
            assert (ROOT / source).exists(), f"{source} is not there"
            assert f"!{source}" in ignored, f"{source} is held back by .dockerignore"


def test_the_wheel_has_all_that_its_builder_needs() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {word for name, rest in _instructions() if name == "COPY" for word in shlex.split(rest)}
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"]}
    assert needed <= copied


def test_it_installs_with_the_same_uv_as_make_does() -> None:
    pinned = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pinned
    assert f"uv=={pinned[1]}" in (ROOT / "Dockerfile").read_text()
