"""Watches the traffic between the Mailchimp connector and its sandbox and holds it against the Marketing API's
specification (OpenAPI 3.0.85, cut to the endpoints used): methods, addresses, parameters, bodies, in both directions,
and what is inside batches. What the specification does not know fails.

Where the specification is wrong or silent, `EXCEPTIONS` says so and why.
"""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SPEC = Path(__file__).parents[1] / "data" / "specs" / "mailchimp-marketing.json"
EXCEPTIONS = {
    "a value of merge_fields": "called an object; it is a text, a number, or an address object (note 2, 3)",
    "AddListMembers.tags": "missing, though `sync_tags` speaks of the tags in the request (note 4)",
    "ListWebhooks1.signing_secret": "newer than the specification (note 6)",
    "ProblemDetailDocument.errors": "missing; the fields that are wrong (note 1)",
    "_links": "were taken out of the specification; a read must not ask for them (note 1)",
}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SPEC.read_text())
    schemas = found["schemas"]
    for schema in schemas.values():
        properties = schema.get("properties", {})
        if properties.get("merge_fields", {}).get("type") == "object":
            properties["merge_fields"] = {"type": "object", "additionalProperties": {"$any": True}}
    schemas["AddListMembers"]["properties"]["tags"] = {"type": "array", "items": {"type": "string"}}
    schemas["ListWebhooks1"]["properties"]["signing_secret"] = {"type": "string"}
    flaw = {"type": "object", "properties": {"field": {"type": "string"}, "message": {"type": "string"}}}
    schemas["ProblemDetailDocument"]["properties"]["errors"] = {"type": "array", "items": flaw}
    return found


@cache
def validator(schema: str, request: bool) -> Draft202012Validator:
    """schema: as JSON. Unknown properties fail, and read-only ones in requests."""
    kept = {name: _closed(value, request) for name, value in document()["schemas"].items()}
    return Draft202012Validator({**_closed(json.loads(schema), request), "$defs": kept})


def _closed(node: dict[str, Any], request: bool) -> dict[str, Any]:
    if "$any" in node:
        return {}
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref'].rpartition('/')[2]}"}
    if "allOf" in node:
        return {"allOf": [_closed(inner, request) for inner in node["allOf"]]}
    kind = node.get("type")
    if kind == "array":
        return {"type": "array", "items": _closed(node["items"], request)}
    if kind != "object":
        return {key: node[key] for key in ("type", "enum", "maximum") if key in node}
    if "additionalProperties" in node:
        return {"type": "object", "additionalProperties": _closed(node["additionalProperties"], request)}
    if not node.get("properties"):
        return {"type": "object"}
    properties = {
        name: _closed(value, request)
        for name, value in node["properties"].items()
        if not (request and value.get("readOnly"))
    }
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, **({"required": node["required"]} if request and "required" in node else {})}


def find(method: str, path: str) -> dict[str, Any]:
    for template, methods in document()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in methods:
            known: dict[str, Any] = methods[method.lower()]
            return known
    raise AssertionError(f"the specification has no {method} {path}")


def check_query(known: dict[str, Any], query: dict[str, str]) -> None:
    declared = {parameter["name"]: parameter["schema"] for parameter in known["parameters"]}
    for name, value in query.items():
        assert name in declared, f"{known['operationId']} has no parameter {name}"
        schema = declared[name]
        assert value in schema.get("enum", [value]), f"{value} for {name}"
        if schema["type"] == "integer":
            assert value.isdigit(), f"{value} for {name}"
            assert int(value) <= schema.get("maximum", int(value)), f"{value} for {name}"
        if schema["type"] == "boolean":
            assert value in ("true", "false"), f"{value} for {name}"


def check_request(method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
    known = find(method, path)
    check_query(known, query)
    assert (body is not None) == ("requestBody" in known), "a body where there should be none, or none where one is due"
    if body is not None:
        validator(json.dumps(known["requestBody"]), True).validate(body)
    for operation in (body or {}).get("operations", ()) if path == "/batches" else ():
        inner = json.loads(operation["body"]) if "body" in operation else None
        check_request(operation["method"], operation["path"], operation.get("params", {}), inner)
    if method == "GET" and path not in ("/ping",) and "/batches" not in path:
        asked = query.get("fields", "") or query.get("exclude_fields", "")
        assert "_links" in asked or "fields" in query, "the answer will be full of _links"
    return known


def check_answer(known: dict[str, Any], status: int, body: Any) -> None:
    responses = known["responses"]
    schema = responses.get(str(status), responses["default"])
    if schema is None or body is None:
        assert schema is None and body is None, f"HTTP {status} with a body, or without one"
        return
    if status >= 400:
        assert {"title", "status", "detail"} <= body.keys()
    validator(json.dumps(schema), False).validate(_unlinked(body))


def _unlinked(body: Any) -> Any:
    if isinstance(body, list):
        return [_unlinked(entry) for entry in body]
    if isinstance(body, dict):
        return {name: _unlinked(value) for name, value in body.items() if name != "_links"}
    return copy.copy(body)


class Watched:
    """ASGI middleware that remembers every violation, and every request with its body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.violations: list[str] = []
        self.seen: set[str] = set()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/3.0/"):
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer: list[Message] = []

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def hold(message: Message) -> None:
            answer.append(message)

        await self.app(scope, replay, hold)
        try:
            self.check(scope, body, answer)
        except (AssertionError, ValidationError) as violation:
            self.violations.append(f"{scope['method']} {scope['path']}: {str(violation)[:600]}")
        # Sent only now, so that a test that has its answer finds what was remembered.
        for message in answer:
            await send(message)

    def check(self, scope: Scope, sent: bytes, answer: list[Message]) -> None:
        path = scope["path"].removeprefix("/3.0")
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        body = json.loads(sent) if sent else None
        self.requests.append((scope["method"], path, query, body))
        known = check_request(scope["method"], path, query, body)
        self.seen.add(known["operationId"])
        headers = dict(answer[0]["headers"])
        came = b"".join(message.get("body", b"") for message in answer[1:])
        status = answer[0]["status"]
        if b"json" in headers.get(b"content-type", b"") or status == 204:
            check_answer(known, status, json.loads(came) if came else None)
