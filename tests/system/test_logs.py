"""Log lines: one form for ours and the libraries', and no secret in any of them, however it gets there."""

from __future__ import annotations

import io
import json
import logging
from typing import Any, Literal
from urllib.parse import quote

import pytest
import structlog

from app import logs
from app.secrets import HIDDEN, Keyring
from app.settings import Settings, load

SECRET = 'tr0ub4dor&3 "quoted" ünïcode'


pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def _setup(form: Literal["console", "json"], level: Literal["debug", "info", "warning"] = "info") -> io.StringIO:
    out = io.StringIO()
    logs.setup(Settings(log_format=form, log_level=level), out)
    return out


def _log_everything_with(secret: str) -> None:
    ours: Any = structlog.get_logger("app.test")
    theirs = logging.getLogger("some.package")
    ours.info("plain", settings={"password": "short", "nested": [{"api-key": "x1"}]})
    ours.warning(f"in the text {secret}", value=secret, deep={"list": [f"a {secret} z"]}, data=secret.encode())
    ours.info("in a web address", url=f"https://host/?key={quote(secret, safe='')}&page=2")
    theirs.warning("a library says %s and %r", secret, {"pass": secret})
    structlog.contextvars.bind_contextvars(account=secret)
    try:
        raise RuntimeError(f"refused: {secret}")
    except RuntimeError:
        ours.exception("failed")
        theirs.exception("failed there")
    finally:
        structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("learned", ["by encrypting", "by decrypting"])
def test_no_planted_secret_appears(form: Literal["console", "json"], learned: str) -> None:
    secret = f"{SECRET} {form} {learned}"
    token = Keyring(load()).encrypt({"access_key": secret})
    if learned == "by decrypting":
        from app import secrets

        secrets._held.clear()  # as in another process
        Keyring(load()).decrypt(token)
    out = _setup(form)
    _log_everything_with(secret)
    text = out.getvalue()
    for shape in (secret, "tr0ub4dor", "short", "x1", json.dumps(secret)[1:-1], quote(secret, safe="")):
        assert shape not in text, f"{shape!r} stands in\n{text}"
    assert text.count(HIDDEN) >= 10
    assert "page=2" in text, "only the secret may be hidden"


def test_lines_are_json_with_time_level_and_name() -> None:
    out = _setup("json")
    structlog.get_logger("app.engine").info("pulled", connection="crm", records=3)
    logging.getLogger("some.package").info("started on port %d", 8080)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first | {"timestamp": ""} == {
        "event": "pulled",
        "connection": "crm",
        "records": 3,
        "level": "info",
        "logger": "app.engine",
        "timestamp": "",
    }
    assert (second["event"], second["level"]) == ("started on port 8080", "info")
    assert first["timestamp"].endswith("Z")


def test_levels_are_kept_and_chatty_libraries_are_quiet() -> None:
    out = _setup("json", "warning")
    structlog.get_logger("app").info("too much")
    logging.getLogger("x").info("too much")
    assert out.getvalue() == ""
    out = _setup("json", "info")
    logging.getLogger("alembic.runtime").info("Will assume …")
    assert out.getvalue() == ""
    out = _setup("json", "debug")
    logging.getLogger("alembic.runtime").info("Will assume …")
    assert "Will assume" in out.getvalue()


def test_what_http_libraries_tell_is_never_written() -> None:
    """Addresses with the sessions in their queries, headers with cookies."""
    out = _setup("json", "debug")
    for name in ("httpx", "httpcore.http11", "googleapiclient.discovery", "urllib3.connectionpool"):
        logging.getLogger(name).debug("GET https://crm.example.com/?sessionName=4711, Set-Cookie: session=4711")
    assert out.getvalue() == ""


def test_an_exception_is_told_whole() -> None:
    out = _setup("json")
    try:
        raise ValueError("why it failed")
    except ValueError:
        structlog.get_logger("app").exception("failed")
    line = json.loads(out.getvalue())
    assert "ValueError: why it failed" in line["exception"]
    assert "test_logs.py" in line["exception"]
