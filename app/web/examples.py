"""An example of everything that the document describes, made of what its fields say.

A model, or a field, that gives an example of its own is believed; the rest is filled in by the field's name, so that
one story is told throughout: Zoë Öz, known to the connections crm and phones.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.web.models import CARD

Schema = Mapping[str, Any]

BY_NAME: Final[Mapping[str, Any]] = {
    "action": "pause_connection",
    "actor": "ann",
    "address": "zoe@example.com",
    "amount": "119.00",
    "basis": "signed form of 2026-03-01, folder 7",
    "by": "crm",
    "card": CARD,
    "clock": "2026-03-01T09:30:00Z",
    "columns": '{"Handy": "phones/mobile"}',
    "connection": "crm",
    "connections": ["crm", "phones"],
    "currency": "EUR",
    "cursor": "WyJjcm0iXQ==",
    "date": "2026-03-01",
    "detail": ({"changed": ["every"]}, "emails"),
    "direction": "both",
    "evidence": {"form": "folder 7"},
    "field": "phones",
    "file": "people.csv",
    "filter": {"keywords": ["customer"]},
    "group": "Customers",
    "id": (7, "WyJjcm0iLCJpbiIsIjEyeDM0NSJd"),
    "if-match": '"3"',
    "if-none-match": '"3"',
    "item": "ROSE-12",
    "name": "crm",
    "notes": ["deletions are found by listing"],
    "number": "INV-0042",
    "ours": "+49 30 1234567",
    "outcome": "done",
    "path": "/phones/p1/number",
    "person's name": "Zoë Öz",
    "person": "0b7c2b9e-6f0e-4a54-9c07-3f0a4b1f7d11",
    "price": "9.92",
    "quantity": "12",
    "reason": "the note is longer than 100,000 characters",
    "record": "12x345",
    "row": "4",
    "search": "zoe@example.com",
    "since": "2026-03-01T09:30:00Z",
    "state": "withdrawn",
    "target": "connections/crm",
    "text": "Roses, red",
    "theirs": "+49 30 7654321",
    "title": "vTiger",
    "token_id": 1,
    "uid": "0b7c2b9e-6f0e-4a54-9c07-3f0a4b1f7d11",
    "updated_since": "2026-03-01T09:30:00Z",
    "code": "4/0AX4XfWh",
    "user": "ann",
    "value": "Zoë",
    "words": "signed form of 2026-03-01, folder 7",
}
PEOPLE: Final = frozenset(
    {"Brief", "PersonInfo", "ConflictInfo", "ItemInfo", "ResultInfo", "RefusedInfo", "ConsentInfo", "LedgerEntry"}
)
"""Models whose name is a person's."""
_EVENT: Final = 'event: progress\ndata: {"id": 7, "connection": "crm", "outcome": "running"}\n\n'
ASKED: Final[Mapping[str, Any]] = {"enter_credentials": {"state": "x2Vd…", "access_key": "…"}}
"""What no schema tells of a body, by operation."""
OWN: Final[Mapping[str, Any]] = {
    "inspect_import": {
        "format": "csv",
        "columns": [{"header": "Handy", "becomes": "phones/mobile", "filled": 12, "samples": ["+49 170 1234567"]}],
        "refused_count": 0,
    },
    "export_data": {"uid": BY_NAME["uid"], "card": CARD, "links": [], "consent": {"holds": [], "said": []}},
    "watch_run": _EVENT,
    "text/vcard": "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Zoë Öz\r\nEMAIL:zoe@example.com\r\nEND:VCARD\r\n",
    "text/csv": "Name,E-Mail\r\nZoë Öz,zoe@example.com\r\n",
    "text/html": "<!doctype html><title>Concord</title>",
    "application/json": [CARD],
}
"""What no schema tells of an answer, by operation or by media type."""


def add(document: dict[str, Any]) -> None:
    """Put an example to every parameter, body and good answer of the document that has none yet."""
    schemas = document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                given = _of(parameter["schema"], parameter["name"].lower(), schemas)
                parameter.setdefault("example", "1" if given is None else given)
            _exemplify(operation.get("requestBody", {}), operation["operationId"], schemas, asked=True)
            for status, response in operation["responses"].items():
                if status < "300":
                    _exemplify(response, operation["operationId"], schemas)


def _exemplify(part: dict[str, Any], operation: str, schemas: Schema, *, asked: bool = False) -> None:
    for media, content in part.get("content", {}).items():
        if "example" in content:
            continue
        schema = content.get("schema", {})
        if "$ref" in schema or schema.get("type") == "array" or asked:
            content["example"] = _of(schema, "", schemas, asked=asked)
        if content.get("example") in (None, [None], {}):
            content["example"] = ASKED[operation] if asked else OWN.get(operation, OWN.get(media, "(a file)"))


def _of(schema: Schema, name: str, schemas: Schema, *, asked: bool = False, of: str = "") -> Any:
    """A value such as the schema describes. asked: of what may be left out, only what has an example of its own. of:
    the model that it is a field of."""
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return _of(schemas[model], name, schemas, asked=asked, of=model)
    for key in ("example", "const"):
        if key in schema:
            return copy.deepcopy(schema[key])
    for key in ("examples", "enum"):
        if schema.get(key):
            return copy.deepcopy(schema[key][0])
    if schema.get("properties"):
        return {
            key: _of(value, key, schemas, asked=asked, of=of)
            for key, value in schema["properties"].items()
            if not asked or key in schema.get("required", ()) or "examples" in value
        }
    if choices := schema.get("anyOf"):
        return _of(choices[0], name, schemas, asked=asked, of=of)
    if schema.get("format") == "date-time":
        return "2026-03-01T09:30:00Z"
    known = [*_known("person's name" if name == "name" and of in PEOPLE else name, schema)]
    if known:
        return copy.deepcopy(known[0])
    kind = schema.get("type")
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})]
        return [_of(part, name, schemas, asked=asked, of=of) for part in parts]
    plain = {"integer": max(1, schema.get("minimum", 1)), "number": 1.5, "boolean": True, "object": {}}
    return schema.get("default") or plain.get(kind or "", name or None)


_KINDS: Final[Mapping[str, type]] = {"integer": int, "string": str, "object": dict, "array": list}


def _known(name: str, schema: Schema) -> Iterator[Any]:
    """What stands under that name in the story and is of the schema's type."""
    held = BY_NAME.get(name, ())
    for value in held if isinstance(held, tuple) else (held,):
        kind = next(name for name, of in _KINDS.items() if isinstance(value, of))
        texts = schema.get("items", {}).get("type") == "string"
        if schema.get("type", kind) == kind and (kind != "array" or texts):
            yield value
