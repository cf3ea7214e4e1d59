"""Which connector a name stands for, when other packages bring connectors too."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors import registry, vtiger
from connectors.carddav import CONNECTOR as CARDDAV

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Another package, installed before ours on the path, with one entry point: (name, what it stands for)."""

    def add(name: str, target: str) -> None:
        info = tmp_path / f"other_{uuid.uuid4().hex}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {info.stem}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {target}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return add


def test_another_packages_system_is_found_by_its_name(install: Install) -> None:
    name = f"theirs{uuid.uuid4().hex}"
    install(name, "connectors.vtiger:CONNECTOR")
    assert registry.system(name) is vtiger.CONNECTOR
    assert name in registry.names()


def test_another_package_does_not_take_the_name_of_a_system_of_ours(install: Install) -> None:
    install("carddav", "connectors.vtiger:CONNECTOR")
    assert registry.names().count("carddav") == 1
    assert registry.system.__wrapped__("carddav") is CARDDAV  # type: ignore[attr-defined]  # not what it was before


def test_a_connector_that_cannot_be_loaded_is_told_from_one_that_is_not_there(install: Install) -> None:
    name = f"broken{uuid.uuid4().hex}"
    install(name, "connectors.nothing_of_the_kind:CONNECTOR")
    with pytest.raises(registry.UnknownSystem, match="is installed but cannot be loaded: No module named"):
        registry.system(name)
    with pytest.raises(registry.UnknownSystem, match=r"no system is called 'carddov'; there are: .*carddav.*vtiger"):
        registry.system("carddov")
