"""What a server was seen to keep of what it is sent.

A strong ETag promises that a card is stored as it was sent (RFC 6352 section 6.3.2.3), but Radicale gives one and
rewrites the card, and others cut or drop what they do not like. So what is written is read back, until the server has
proved with other cards that it keeps such values. What a photo becomes is never taken on trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.contentline import Line, VCard, parse
from connectors.contract import Context

KEPT: Final = "kept"
NEVER: Final = frozenset({"PHOTO", "LOGO", "SOUND"})
FRAME: Final = frozenset({"BEGIN", "VERSION", "END"})
Sizes = dict[str, tuple[int, int]]
"""For each kind of line (its property and parameters): characters of the longest, and how many there are."""


class Kept:
    """The kinds of lines that came back with the same meaning, how long and how many at most."""

    def __init__(self, context: Context) -> None:
        self._remember = context.remember
        self._proven: Sizes = {kind: (size, number) for kind, (size, number) in context.memory.get(KEPT, {}).items()}
        self._news = False

    def keeps(self, text: str) -> bool:
        """Is everything in this card of a kind, a length and a number that was seen to be kept?"""
        sizes = sizes_of(text)
        return bool(sizes) and all(self._holds(kind, size) for kind, size in sizes.items())

    def _holds(self, kind: str, size: tuple[int, int]) -> bool:
        longest, most = self._proven.get(kind, (-1, -1))
        return kind.partition(";")[0] not in NEVER and size[0] <= longest and size[1] <= most

    def proven(self, text: str, *, same: bool) -> None:
        """This card was read back, and meant the same as when it was sent, or did not."""
        for kind, (size, number) in sizes_of(text).items():
            longest, most = self._proven.get(kind, (-1, -1))
            if same and (size > longest or number > most):
                self._proven[kind] = max(size, longest), max(number, most)
                self._news = True
            elif not same and kind in self._proven:
                del self._proven[kind]
                self._news = True

    def save(self) -> None:
        """Remember it for the runs to come."""
        if self._news:
            self._remember(KEPT, {kind: list(size) for kind, size in self._proven.items()})
            self._news = False


def sizes_of(text: str) -> Sizes:
    """What there is in a card; {} where it is no card."""
    sizes: Sizes = {}
    for card in parse(text):
        if not isinstance(card, VCard):
            return {}
        for line in (line for line in card.lines if line.name not in FRAME):
            longest, number = sizes.get(_kind(line), (0, 0))
            sizes[_kind(line)] = max(longest, len(line.value)), number + 1
    return sizes


def _kind(line: Line) -> str:
    params: Mapping[str, tuple[str, ...]] = dict(line.params)
    said = [f"{name}={','.join(sorted(values))}" for name, values in sorted(params.items()) if name == "TYPE"]
    return ";".join([line.name, *said, *sorted(name for name in params if name != "TYPE")])
