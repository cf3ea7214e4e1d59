"""If no test falls for a planted bug, the test is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from bugs import BUGS

PAGE = Path(__file__).parents[2] / "docs" / "planted-bugs.md"


@pytest.mark.parametrize("name", BUGS)
def test_the_law_falls(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    BUGS[name].plant(monkeypatch)
    with pytest.raises(AssertionError):
        BUGS[name].falls(tmp_path)


def test_every_bug_is_on_the_page() -> None:
    listed = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert listed == BUGS.keys()
