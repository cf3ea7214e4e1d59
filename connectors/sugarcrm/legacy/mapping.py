"""What v4_1 and V8 keep of a text. Pure; the card itself: `connectors.sugarcrm.mapping`."""

from __future__ import annotations

import re
from html.entities import name2codepoint
from typing import Final

from connectors.sugarcrm.legacy.rows import FREE_TEXT
from connectors.sugarcrm.mapping import Dialect, no_emoji

_ENTITY: Final = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{2,8}));")
_TAG: Final = re.compile(r"<(?!\s)[^>]*(?:>|$)")
"""What PHP's strip_tags takes for a tag."""


def keeps(column: str, text: str) -> str:
    """What is shown of a text that was sent: entities are decoded somewhere on the way, so they are sent decoded; tags
    are taken out of every column but the description, and blanks around it (all: note, HTML entities)."""
    while True:
        # One entity may hide another (&amp;lt;), and what is left out may make one.
        plain = no_emoji(column, _ENTITY.sub(_character, text))
        plain = plain.replace("\r\n", "\n") if column == FREE_TEXT else _TAG.sub("", plain).strip()
        if plain == text:
            return plain
        text = plain


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else name2codepoint.get(name, 0)
    return chr(code) if 31 < code < 0xD800 or 0xDFFF < code < 0x110000 else match.group()


DIALECT: Final = Dialect(tags=False, keeps=keeps)
