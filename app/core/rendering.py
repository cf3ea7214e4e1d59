"""What a remote may make of a text that it is given: the same in another spelling, or the beginning of it."""

from __future__ import annotations

import html
from typing import Any, Final

from connectors.card import Path, fold

TELLING: Final = 6
"""Least digits at the end of a phone number by which it is known, however it begins: +44 20, 0044 20, (020)."""


def renders(path: Path, sent: Any, shown: Any) -> bool:
    """Can `shown` be all that a remote made of `sent`?

    Letters and digits count, and their order. Signs, blanks, capitals and entities do not; the end may be missing.
    """
    if not isinstance(sent, str) or not isinstance(shown, str):
        return False
    if path[0] == "phones":
        short, long = sorted((_digits(sent), _digits(shown)), key=len)
        return len(short) >= TELLING and long.endswith(short)
    return bool(_bare(shown)) and _bare(sent).startswith(_bare(shown))


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text)).lstrip("0")


def _bare(text: str) -> str:
    return fold(html.unescape(text)).replace(" ", "")
