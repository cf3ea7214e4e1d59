"""Structured logging: ours and the libraries' lines in one form, to standard error, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO

from app.secrets import redact
from app.settings import Settings
from connectors.contract import Tell

_CHATTY = ("alembic", "apscheduler")
"""Libraries that tell about every step; their warnings are worth a line, the rest only when debugging."""
_BLABBING = ("httpx", "httpcore", "googleapiclient", "urllib3")
"""Libraries that tell addresses with their queries, and cookies: sessions of remotes stand there. Only their warnings
are ever written; what is sent is told by `connectors.http`."""
ABOUT: Final = ("connection", "run")
"""What every line of a run carries."""

_about: ContextVar[dict[str, Any]] = ContextVar("about")


@contextmanager
def about(what: str, facts: Mapping[str, Any]) -> Iterator[Tell]:
    """A `Watch`: every line that is written meanwhile carries the connection and the run, as soon as they are known."""
    held = {**_about.get({}), **{name: facts[name] for name in ABOUT if name in facts}}
    token = _about.set(held)

    def tell(name: str, value: Any) -> None:
        if name in ABOUT:
            held[name] = value

    try:
        yield tell
    finally:
        _about.reset(token)


def _add_about(_logger: Any, _method: str, event: Any) -> Any:
    """A structlog processor: see `about`."""
    return {**_about.get({}), **event}


class Later(logging.Handler):
    """Sets logging up at the first line: most commands write none, and structlog takes long to import."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        setup(self._settings)
        logging.getLogger().handle(record)


def later(settings: Settings) -> None:
    """`setup`, as soon as there is something to say."""
    root = logging.getLogger()
    root.handlers[:] = [Later(settings)]
    _levels(settings)


def _levels(settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.getLogger().setLevel(level)
    for name in _BLABBING:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else logging.WARNING)


def setup(settings: Settings, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's lines to `stream` (standard error), as `settings` say."""
    import structlog

    out = stream or sys.stderr
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_about,
        structlog.stdlib.ExtraAdder(ABOUT),
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # text before it is redacted: a traceback quotes values
    ]
    render: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    _levels(settings)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
