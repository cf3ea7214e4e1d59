"""Which person a record of somebody unknown belongs to.

Deterministic rules only, and evidence in two independent parts: an exact e-mail address or phone number, and a
compatible name. An address alone is never a person: couples share them, and so does everybody behind info@.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from connectors.card import Card, Equivalence, fold, part, problem

if TYPE_CHECKING:
    from nicknames import NickNamer

Key = tuple[str, str]
"""("email", folded address), ("phone", E.164), ("uid", our own key)."""

WEIGHT = {"uid": 100, "email": 10, "phone": 4}

MAX_UID = 64
"""Longest uid of a person, characters."""
_MAX_KEY = 320
"""Of a key so many characters count: the longest e-mail address there is (RFC 3696, 64 + 1 + 255)."""


def is_uid(text: str) -> bool:
    """Can this be the uid of a person? Else a remote's key is somebody else's matter."""
    return 0 < len(text) <= MAX_UID and text.isprintable() and " " not in text


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person that shares a key with the record.

    keys: those they share. here: it has a live record in the same connection already.
    """

    person: int
    card: Card
    keys: frozenset[Key]
    here: bool = False


def keys_of(card: Card, eq: Equivalence) -> set[Key]:
    """What a card can be found by."""
    keys = [("email", str(eq.key("emails", "address", e.get("address", "")))) for e in card.get("emails", {}).values()]
    keys += [("phone", str(eq.key("phones", "number", p.get("number", "")))) for p in card.get("phones", {}).values()]
    return {(kind, value[:_MAX_KEY]) for kind, value in keys if len(value) > 4}


def marks_of(card: Card, eq: Equivalence) -> set[Key]:
    """What tells whose a card may be that nobody can read whole: what it can be found by, and a name of two words or
    more, ("name", the words)."""
    words = _words(_name(card))
    return keys_of(card, eq) | ({("name", " ".join(sorted(words)))} if len(words) > 1 else set())


def traits(card: Card) -> Card | None:
    """As much of a card that cannot be taken as may tell whose it is: its name, addresses and numbers; None where it
    has none of these."""
    kept: dict[str, Any] = {"kind": card.get("kind"), "name": card.get("name")}
    for name in ("emails", "phones"):
        elements = card[name].items() if isinstance(card.get(name), Mapping) else ()
        kept[name] = dict(islice(((id_, e) for id_, e in elements if problem({name: {id_: e}}) is None), _FEW))
    kept = {name: value for name, value in kept.items() if value and problem({name: value}) is None}
    return kept if kept.keys() & {"name", "emails", "phones"} else None


_FEW = 50
"""Of so many addresses and numbers some will tell."""


def choose(card: Card, candidates: Iterable[Candidate]) -> int | None:
    """The person whom this record is, or None: somebody new.

    Of several the one with the strongest evidence, then the one known longest (the lowest id).
    """
    found = list(candidates)
    if not found:
        return None
    telling = len(found) == 1 or bool(_words(_name(card)))
    fitting = [(_weight(c), -c.person) for c in found if _is(card, c, telling)]
    return -max(fitting)[1] if fitting else None


def _weight(candidate: Candidate) -> int:
    return sum(WEIGHT[kind] for kind, _ in candidate.keys)


def _is(card: Card, candidate: Candidate, telling: bool) -> bool:
    """telling: the record has a name, or what it is found by is one person's only."""
    if not candidate.here and any(kind == "uid" for kind, _ in candidate.keys):
        return True
    if candidate.here:
        # Two records in one system are two on purpose, unless they say the very same name. A copy keeps our key.
        return bool(_words(_name(card))) and _words(_name(card)) == _words(_name(candidate.card))
    return telling and compatible(card, candidate.card)


def compatible(one: Card, other: Card) -> bool:
    """Can these two be the names of one person?

    Surnames must be equal; given names equal, one the other's initial or nickname, or missing. A record without any
    name says nothing against.
    """
    if one.get("kind", "individual") != other.get("kind", "individual"):
        return False
    if not _words(_name(one)) or not _words(_name(other)):
        return True
    if _words(_name(one)) == _words(_name(other)):
        return _generation(one) == _generation(other) or not (_generation(one) and _generation(other))
    surnames, givens = _pair(one, other, "surname"), _pair(one, other, "given")
    if not all(surnames) or surnames[0] != surnames[1]:
        return False
    if _generation(one) and _generation(other) and _generation(one) != _generation(other):
        return False
    return not all(givens) or _same_given(*givens)


def _name(card: Card) -> str:
    name = card.get("name", {})
    parts = [part(name, kind) for kind in ("given", "given2", "surname", "surname2")]
    return " ".join(filter(None, parts)) or str(name.get("full", ""))


def _pair(one: Card, other: Card, kind: str) -> tuple[str, str]:
    return _plain(part(one.get("name", {}), kind)), _plain(part(other.get("name", {}), kind))


def _generation(card: Card) -> str:
    return _plain(part(card.get("name", {}), "generation"))


def _same_given(one: str, other: str) -> bool:
    if one == other or one in other.split() or other in one.split():
        return True
    if _is_initial(one) or _is_initial(other):
        return one[0] == other[0]
    return other in _nicknames(one) or one in _nicknames(other)


def _is_initial(given: str) -> bool:
    """One letter of a script with capitals; elsewhere one sign is a whole name."""
    return len(given) == 1 and given.islower()


@lru_cache(maxsize=8_192)
def _nicknames(name: str) -> frozenset[str]:
    return frozenset(_namer().nicknames_of(name))


@cache
def _namer() -> NickNamer:
    from nicknames import NickNamer  # lazily: it reads a table that most runs never need

    return NickNamer()


def _words(text: str) -> frozenset[str]:
    return frozenset(_plain(text).split())


@lru_cache(maxsize=65_536)
def _plain(text: str) -> str:
    """Without accents, case and punctuation."""
    if text.isascii():
        return fold(text)
    decomposed = unicodedata.normalize("NFKD", text)
    return fold("".join([c for c in decomposed if unicodedata.combining(c) not in _ACCENTS]))


_ACCENTS = frozenset({1, *range(10, 37), *range(200, 255)})
"""Combining classes of marks that are often left out: accents, harakat, niqqud. Those of the other classes are letters'
own parts: nukta, voicing, virama (7-9), the vowels of Telugu, Thai, Lao, Tibetan (84-132); and of none (0) are most
vowels of the scripts of India."""
