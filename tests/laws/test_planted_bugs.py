"""If no test falls for a planted bug, the test is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from bugs import BUGS

LAWS = {
    *("silent", "converged", "nothing_lost", "nothing_invented", "no_duplicates", "stays_deleted"),
    *("only_people_edit", "only_ours", "the_others_are_well"),
}
"""The questions of `laws.py`, `deeds.py`, `ours.py` and `test_one_bad_apple.py`."""
PAGE = Path(__file__).parents[2] / "docs" / "planted-bugs.md"


@pytest.mark.parametrize("name", BUGS)
def test_the_law_falls(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    BUGS[name].plant(monkeypatch)
    with pytest.raises(AssertionError) as fell:
        BUGS[name].falls(tmp_path)
    asked = [entry.name for entry in fell.traceback if entry.name in LAWS]
    assert (asked or [""])[0] == BUGS[name].law
    assert asked or fell.traceback[-1].name.startswith("test_"), "the test itself, and nothing on its way"


def test_every_bug_is_on_the_page() -> None:
    listed = {line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")}
    assert listed == BUGS.keys()
