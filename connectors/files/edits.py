"""Who in an edited file was there before under another id: somebody whose e-mail address, say, was corrected. Pure.

Only the one record of a name is followed, and only from the one record of that name that is not there any more: two
people of one name are never taken for each other. Of 100,000 rows some 2 MB are remembered, of more than 250,000 none.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final

import orjson

from connectors.contract import Record
from connectors.files.identity import who

MAX_REMEMBERED: Final = 250_000
_EDITABLE: Final = ("email:", "phone:", "name:")
"""Begin the ids that are made of what people edit."""


class Roll:
    """Everybody in a file: {id: fingerprint of the name, "" for none}."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def noting(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, of which note is taken as they pass."""
        for record in records:
            self.names[record.id] = fingerprint(who(record.card).name) if record.card else ""
            yield record

    def editable(self, doubtful: Iterable[str] = ()) -> dict[str, str]:
        """Those with an id that an edit changes; without the names of which there are several, or perhaps (in rows that
        could not be read)."""
        often = Counter(self.names.values())
        often.update(map(fingerprint, doubtful))
        return {
            ident: name if often[name] == 1 else "" for ident, name in self.names.items() if ident.startswith(_EDITABLE)
        }


def fingerprint(name: str) -> str:
    """A folded name in 12 characters; "" for none."""
    return blake2b(name.encode("utf-8", "replace"), digest_size=6).hexdigest() if name else ""


def pack(editable: Mapping[str, str]) -> str:
    """To be remembered until the file comes again."""
    if len(editable) > MAX_REMEMBERED:
        return ""
    return base64.b64encode(zlib.compress(orjson.dumps(sorted(editable.items())))).decode()


def unpack(packed: str) -> dict[str, str]:
    """What was remembered."""
    return dict(orjson.loads(zlib.decompress(base64.b64decode(packed)))) if packed else {}


def moved(before: Mapping[str, str], now: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """{id now: id before} of those who were edited. there: everybody who is in the file now.

    Nobody where less than half of the former ones are left: it is another file under the same name.
    """
    gone = {name: ident for ident, name in before.items() if name and ident not in there}
    fresh = {name: ident for ident, name in now.items() if name and ident not in before}
    found = {fresh[name]: gone[name] for name in gone.keys() & fresh.keys()}
    left = sum(ident in there for ident in before) + len(found)
    return found if left * 2 >= len(before) else {}
