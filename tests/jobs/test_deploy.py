"""The examples for Docker and Kubernetes name what exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.cli import load
from app.jobs.service import GRACE
from app.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields}


def _containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(pod, container) of the deployments."""
    for found in KUBERNETES:
        if found["kind"] == "Deployment":
            pod = found["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


def _commands() -> list[list[str]]:
    ours = [service for service in COMPOSE["services"].values() if "build" in service]
    return [*(service["command"] for service in ours), *(container["args"] for _, container in _containers())]


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_the_commands_exist(words: list[str]) -> None:
    command: Any = typer.main.get_command(load())
    found = command.commands[words[0]]
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words[1:] if word.startswith("--")} <= known


def test_the_variables_exist() -> None:
    named = {name for service in COMPOSE["services"].values() for name in service["environment"] if "build" in service}
    named |= {name for found in KUBERNETES if found["kind"] == "ConfigMap" for name in found["data"]}
    assert named
    assert named <= KNOWN


def test_there_is_time_to_end_in_order() -> None:
    for pod, _ in _containers():
        assert pod["terminationGracePeriodSeconds"] > GRACE + 10
    for service in COMPOSE["services"].values():
        if "build" in service:
            assert int(service["stop_grace_period"].removesuffix("s")) > GRACE + 10


def test_nothing_runs_as_root_or_may_write_where_it_need_not() -> None:
    for pod, container in _containers():
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        written = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert written == {"/data", "/tmp"}


def test_probes_ask_what_the_api_answers() -> None:
    from app.web.api import health

    paths = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    asked = {
        container[probe]["httpGet"]["path"]
        for _, container in _containers()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        if probe in container
    }
    assert asked
    assert asked <= paths
