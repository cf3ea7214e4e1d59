"""Xero's times. Pure.

A time in an answer is `/Date(1503348544227+0000)/`, milliseconds since 1970 in UTC; one in a header is written out and
has whole seconds (accounting note A).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_DATE: Final = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(text: Any) -> int:
    """Of a time in an answer; 0 where there is none. What follows the sign is a zone for show: it is UTC."""
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) if match else 0


def moment(at: int) -> datetime:
    """Milliseconds as a time, aware."""
    return _EPOCH + timedelta(milliseconds=at)


def header(at: int) -> str:
    """Milliseconds for If-Modified-Since; rounded down, so that nothing is missed."""
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S")
