"""A name that somebody rewrote as one text, where others keep it in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

from connectors.card import NAME_KINDS, fold


def respelled(parts: Mapping[str, str], before: str, after: str) -> dict[str, str]:
    """The parts of a name whose full text was `before` and is `after`: {kind: value}, without those that went.

    Nothing is made up: each word of the new text goes to the part of the word that it stands for. A word that is new
    between others joins the part before it. Parts that the old text did not tell (a title, say) stay.
    """
    told = {fold(word) for word in before.split()}
    kept = {k: v for k, v in parts.items() if not any(fold(word) in told for word in v.split())}
    old = [(kind, word) for kind in NAME_KINDS if kind not in kept for word in parts.get(kind, "").split()]
    spelled: dict[str, list[str]] = {}
    for kind, word in _placed(old, after.split()):
        spelled.setdefault(kind, []).append(word)
    return kept | {kind: " ".join(words) for kind, words in spelled.items()}


def _placed(old: list[tuple[str, str]], new: list[str]) -> Iterator[tuple[str, str]]:
    """(kind, word) of each word of the new text."""
    if not old:
        return
    moves = SequenceMatcher(None, [fold(word) for _, word in old], [fold(word) for word in new], autojunk=False)
    for move, start, end, first, last in moves.get_opcodes():
        kinds = [kind for kind, _ in old[start:end]] or [old[max(0, start - 1)][0]]
        for at, word in enumerate(new[first:last]):
            yield kinds[min(at, len(kinds) - 1)], word if move != "equal" else _same(old[start + at][1], word)


def _same(old: str, new: str) -> str:
    """A word that only some sign tells apart ("Lee," and "Lee") stays as the part has it."""
    return old if fold(old) == fold(new) and not new.isalnum() else new
