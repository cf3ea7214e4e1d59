"""An admin at the terminal: `concord` with an own home, and sandboxes to connect to."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import cli, secrets
from connectors import registry
from connectors.sandbox import running


@dataclass(frozen=True)
class Answer:
    """What a command said. out is standard output, err standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Runs commands in this process, as the console script would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> None:
        self._patch, self._capture, self.home = monkeypatch, capsys, home
        monkeypatch.setenv("CONCORD_HOME", str(home))
        monkeypatch.setenv("CONCORD_LOG_LEVEL", "error")
        monkeypatch.setattr(secrets, "_held", set())  # those of other tests may be words that we use
        self.sandboxes: dict[str, Any] = {}
        self.settings: dict[str, dict[str, Any]] = {}

    def __call__(self, *arguments: object) -> Answer:
        self._patch.setattr(sys, "argv", ["concord", *map(str, arguments)])
        self._capture.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 0
        out, err = self._capture.readouterr()
        assert "Traceback" not in err + out
        return Answer(code, out, err)

    @contextlib.contextmanager
    def system(self, name: str, system: str, **options: Any) -> Iterator[Any]:
        """A sandbox that connections of this name go to."""
        box = registry.sandbox(system, **options)
        with running(box.app) as url:
            self.sandboxes[name], self.settings[name] = box, box.settings(url)
            yield box

    def file(self, *connections: dict[str, Any]) -> Path:
        """A YAML file (JSON is YAML) that declares these connections."""
        path = self.home / "connections.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"connections": [*connections]}, indent=1))
        return path

    def entry(self, name: str, system: str, **more: Any) -> dict[str, Any]:
        """The declaration of a connection to this desk's sandbox of that name."""
        return {"name": name, "system": system, "settings": self.settings[name], "approve": "auto", **more}

    def people(self, search: str = "") -> Any:
        return self("people", "--json", "--search", search, "--limit", "1000").json

    def bytes_stored(self) -> bytes:
        """Everything that the database's files hold."""
        with contextlib.closing(sqlite3.connect(self.home / "concord.db")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return b"".join(path.read_bytes() for path in self.home.glob("concord.db*"))
