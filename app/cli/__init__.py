"""`concord` on the command line. Every command says what it did, has `--json` where programs read, and an exit code."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from app.cli.common import BAD_INPUT, FAILED, INTERRUPTED, PAUSED, app

if TYPE_CHECKING:
    from typer import Typer

WORDS: Final[Mapping[str, frozenset[str]]] = {
    "access": frozenset({"users", "tokens", "secrets"}),
    "connections": frozenset({"apply", "connections"}),
    "consent": frozenset({"consent"}),
    "files": frozenset({"import", "export"}),
    "groups": frozenset({"groups"}),
    "operations": frozenset({"connections", "webhooks", "move-database", "backup", "restore"}),
    "people": frozenset({"people", "conflicts"}),
    "refused": frozenset({"refused"}),
    "serve": frozenset({"serve"}),
    "syncing": frozenset({"plan", "sync"}),
    "upkeep": frozenset({"doctor", "sandbox", "demo"}),
    "worker": frozenset({"worker"}),
}
"""Which commands each module here has, by their first word."""


def load(word: str | None = None) -> Typer:
    """The application with the commands that begin with this word; with all where none does. To build them all is a
    tenth of a start."""
    for module in [module for module, words in WORDS.items() if word in words] or WORDS:
        import_module(f"app.cli.{module}")
    return app


def main() -> None:
    """The console script. Nobody ever sees a traceback for something that they can mend."""
    gc.disable()  # until all is imported (bootstrap.relax_gc): looking for cycles meanwhile is a tenth of a start
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # told to end, every command puts away what it holds
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        load(next((word for word in sys.argv[1:] if not word.startswith("-")), None))()
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            _interrupted()
        raise
    except KeyboardInterrupt:
        _interrupted()
    except Exception as error:
        sys.exit(_explain(error))


def _interrupted() -> NoReturn:
    words = "interrupted; what was committed stays, the rest is done by the next run"
    sys.stderr.write(f"\n{words}\n")
    _for_programs(words, INTERRUPTED)
    sys.exit(INTERRUPTED)


def _for_programs(words: str, code: int) -> None:
    """Whoever asked for JSON is answered with JSON, in success and in failure."""
    if "--json" in sys.argv[1:]:
        from app import show

        show.as_json({"error": {"message": words, "exit_code": code}})


def _explain(error: Exception) -> int:
    """Tell an error in words, with --json to programs, too; its exit code. What is our own fault is raised on."""
    from app import show

    for kinds, code in _reactions():
        if isinstance(error, kinds):
            show.complain(error)
            _for_programs(str(error), code)
            return code
    raise error


def _reactions() -> Iterator[tuple[tuple[type[Exception], ...], int]]:
    from app.bootstrap import BadConnection
    from app.configure import BadFile
    from app.engine.access import Taken
    from app.engine.resolve import Outdated
    from app.engine.run import Busy
    from app.engine.world import Unusable
    from app.moving import InUse
    from app.secrets import BadKey
    from app.settings import BadSettings
    from app.store.copying import Mismatch
    from app.store.store import StoreFull, Unopenable
    from connectors.errors import Error, Unauthorised
    from connectors.registry import UnknownSystem
    from migrations import WrongVersion

    yield (Unauthorised,), PAUSED
    yield (BadFile, BadSettings, BadConnection, UnknownSystem), BAD_INPUT
    yield (LookupError, ValueError, Taken, FileNotFoundError, FileExistsError, IsADirectoryError), BAD_INPUT
    yield (PermissionError,), BAD_INPUT
    yield (InUse, Mismatch, StoreFull, Unopenable, WrongVersion), FAILED
    yield (Error, Unusable, BadKey, Outdated, Busy, OSError), FAILED
