"""Records that were merged in QuickBooks. Only a webhook names the one that is left, by an event "Merge" with the Id of
the other (note, "CDC" and "Webhooks"); no request can ask for it. So what a proved webhook said is remembered, and
looked up before it is believed: the one must be there, the other gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.quickbooks.client import Row
from connectors.quickbooks.places import KINDS

MEMORY: Final = "merged"
"""What is remembered under this name: {company: {record that is gone: record that took it in}}, latest last."""
MOST: Final = 500
"""Merges remembered of a company."""

Merge = tuple[str, str, str]
"""(company, record that is gone, record that took it in)"""
Rows = Callable[[Iterable[str]], Mapping[str, Row]]


def told(body: bytes, memory: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is to be remembered of a webhook, beside what is: see `connectors.contract.Webhook`."""
    known: dict[str, dict[str, str]] = {realm: dict(pairs) for realm, pairs in (memory.get(MEMORY) or {}).items()}
    found = [*_merges(body)]
    for realm, gone, left in found:
        pairs = known.setdefault(realm, {})
        pairs.pop(gone, None)
        pairs[gone] = left
        known[realm] = dict([*pairs.items()][-MOST:])
    return {MEMORY: known} if found else {}


def _merges(body: bytes) -> Iterator[Merge]:
    """Merges of customers and vendors, by a body in either shape (note, "Webhooks"); what is in another is none."""
    try:
        said = json.loads(body)
    except ValueError:
        return
    events = _cloud_events(said) if isinstance(said, list) else _legacy(said)
    names = {name.casefold(): name for name in KINDS}
    for realm, entity, operation, left, gone in events:
        kind = names.get(entity.casefold())
        if kind and operation.casefold() in ("merge", "merged") and left.isdecimal() and gone.isdecimal() and realm:
            yield realm, f"{kind}/{gone}", f"{kind}/{left}"


Said = tuple[str, str, str, str, str]
"""(company, entity, operation, Id, the Id that is gone)"""


def _legacy(said: Any) -> Iterator[Said]:
    for notification in _list(said, "eventNotifications"):
        for entity in _list(_part(notification, "dataChangeEvent"), "entities"):
            words = [_text(entity, name) for name in ("name", "operation", "id", "deletedId")]
            yield (_text(notification, "realmId"), words[0], words[1], words[2], words[3])


def _cloud_events(said: Sequence[Any]) -> Iterator[Said]:
    for event in said:
        parts = _text(event, "type").split(".")  # qbo.customer.merged.v1 [K]
        if len(parts) >= 3:
            gone = _text(_part(event, "data"), "deletedId")
            yield _text(event, "intuitaccountid"), parts[1], parts[2], _text(event, "intuitentityid"), gone


def _part(said: Any, name: str) -> Any:
    return said.get(name) if isinstance(said, Mapping) else None


def _list(said: Any, name: str) -> list[Any]:
    found = _part(said, name)
    return found if isinstance(found, list) else []


def _text(said: Any, name: str) -> str:
    return str(_part(said, name) or "")


def followed(pairs: Mapping[str, str], rows: Rows) -> Iterator[tuple[str, Row, list[str]]]:
    """(record that is left, its row, those that it took in) of the merges that show. A record that was merged in its
    turn leads on. rows: reads the rows there are, inactive ones too, by record id."""
    ends = {gone: _end(gone, pairs) for gone in pairs}
    there = rows(dict.fromkeys([*ends, *ends.values()])) if ends else {}
    alive = {name: row for name, row in there.items() if row.get("Active", True)}
    for left in dict.fromkeys(ends.values()):
        absorbed = [gone for gone, end in ends.items() if end == left and gone not in alive]
        if left in alive and absorbed:
            yield left, alive[left], absorbed


def _end(gone: str, pairs: Mapping[str, str]) -> str:
    passed, left = set[str](), gone
    while left in pairs and left not in passed:
        passed.add(left)
        left = pairs[left]
    return left
