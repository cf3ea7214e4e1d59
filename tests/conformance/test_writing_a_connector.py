"""docs/writing-a-connector.md shows a whole connector; the kit runs on exactly that text, so the page cannot lag."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "writing-a-connector.md"
BLOCK = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_connector_in_the_page_passes_the_kit(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert {Path(name).name for name in files} >= {"mapping.py", "client.py", "connector.py", "sandbox.py"}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    options = ["-q", "--disable-plugin-autoload", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed, ran.stdout[-500:]
    assert int(passed[1]) > 55


def test_every_block_of_the_page_is_formatted() -> None:
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        assert max(map(len, text.splitlines())) <= 120, name
        compile(text, name, "exec")
