"""An installation in a folder, whose commands, daemon and workers are processes of their own, as in real life."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests import servers

CONCORD: Final = (sys.executable, "-m", "app")


@dataclass(frozen=True)
class Home:
    """The installation. settings: CONCORD_… beside the folder, as environment variables."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")}
        return {**bare, "CONCORD_HOME": str(self.folder), **self.settings}

    def command(self, *arguments: str) -> str:
        """What a command prints. Raises RuntimeError with what it said where it fails."""
        done = subprocess.run([*CONCORD, *arguments], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"concord {' '.join(arguments)}: {done.stdout[-1000:]} {done.stderr[-2000:]}")
        return done.stdout

    def apply(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Declare connections."""
        file = self.folder / "connections.yaml"
        file.write_text(json.dumps({"connections": entries}))
        self.command("apply", str(file))

    def token(self) -> str:
        """Of somebody who may work with persons."""
        self.command("users", "add", "bench", "--role", "operator", "--no-password")
        made: dict[str, str] = json.loads(self.command("tokens", "add", "bench", "--json"))
        return made["shown_once"]

    @contextlib.contextmanager
    def serving(self, port: int) -> Iterator[str]:
        """`concord serve`; yields its URL once it is ready."""
        url = f"http://127.0.0.1:{port}"
        command = [*CONCORD, "serve", "--port", str(port)]
        with servers.process(command, self.folder / "serve.log", f"{url}/readyz", self.environment):
            yield url

    @contextlib.contextmanager
    def working(self, number: int) -> Iterator[None]:
        """So many `concord worker`; entered once all of them work."""
        log = self.folder / "worker.log"
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("wb"))
            command = [*CONCORD, "worker"]
            for _ in range(number):
                stack.enter_context(_ended(subprocess.Popen(command, env=self.environment, stderr=output)))
            until = time.monotonic() + servers.PATIENCE
            while log.read_text().count("working") < number:
                if time.monotonic() > until:
                    raise RuntimeError(f"the workers did not come up: {log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
