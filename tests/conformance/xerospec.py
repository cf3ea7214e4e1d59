"""Watches the traffic between the Xero connector and its sandbox and holds it against Xero's OpenAPI specification
(16.1.0, without descriptions): paths, parameters, headers, bodies, in both directions. What the specification does not
know fails, but for the envelope that its examples show around every answer."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SPECIFICATION = Path(__file__).parents[1] / "data" / "specs" / "xero-accounting.json"
PREFIX = "/api.xro/2.0"
ENVELOPE = {"Id", "Status", "ProviderName", "DateTimeUTC"}
"""Around every answer: in the specification's examples, not in its schemas."""
ROW = {"StatusAttributeString", "HasValidationErrors", "ValidationErrors"}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SPECIFICATION.read_text("utf-8"))
    return found


@cache
def schema(name: str, request: bool) -> Draft202012Validator:
    """The schema of that name; unknown properties fail, and read-only ones in requests."""
    kept = {key: _closed(value, request) for key, value in document()["components"]["schemas"].items()}
    kept.setdefault("Allocation", {})
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": kept})


def _closed(node: dict[str, Any], request: bool) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": node["$ref"].replace("#/components/schemas/", "#/$defs/")}
    if node.get("type") == "array":
        return {"type": "array", "items": _closed(node["items"], request)}
    if "properties" in node:
        properties = {
            name: _closed(value, request)
            for name, value in node["properties"].items()
            if not (request and value.get("readOnly"))
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}
    return {key: node[key] for key in ("type", "enum", "maxLength") if key in node}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a $ref outside of the schemas stands for."""
    if "$ref" not in node:
        return node
    found: Any = document()
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def find(method: str, path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(operation, its parameters) of a request; a path with fixed words comes before one with a parameter."""
    for pattern, item in sorted(document()["paths"].items(), key=lambda known: known[0].count("{")):
        expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
        if re.fullmatch(expression, path) and method.lower() in item:
            operation = item[method.lower()]
            return operation, [resolved(p) for p in (*item.get("parameters", ()), *operation.get("parameters", ()))]
    raise AssertionError(f"the specification has no {method} {path}")


def check_parameters(parameters: list[dict[str, Any]], scope: Scope) -> None:
    query = dict(parse_qs(scope["query_string"].decode()).items())
    declared = {p["name"]: p for p in parameters if p["in"] == "query"}
    for name, values in query.items():
        assert name in declared, f"there is no parameter {name}"
        kind = declared[name]["schema"]["type"]
        if kind == "integer":
            assert values[0].isdigit(), f"{values} for {name}"
        if kind == "boolean":
            assert values[0] in ("true", "false"), f"{values} for {name}"
    headers = {name.decode().lower() for name, _ in scope["headers"]}
    known = {p["name"].lower(): p for p in parameters if p["in"] == "header"}
    for name, parameter in known.items():
        assert name in headers or not parameter.get("required"), f"{name} is missing"
    for name in headers & {"if-modified-since", "idempotency-key", "summarizeerrors"}:
        assert name in known, f"there is no header {name} here"


class Watched:
    """ASGI middleware that remembers every violation. bodies: (operationId, what was sent)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.violations: list[str] = []
        self.seen: set[str] = set()
        self.bodies: list[tuple[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
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
            self.check(scope, body, answer[0]["status"], b"".join(message.get("body", b"") for message in answer[1:]))
        except (AssertionError, ValidationError) as violation:
            self.violations.append(f"{scope['method']} {scope['path']}: {str(violation)[:600]}")
        # Sent only now, so that a test that has its answer finds what was remembered.
        for message in answer:
            await send(message)

    def check(self, scope: Scope, sent: bytes, status: int, came: bytes) -> None:
        operation, parameters = find(scope["method"], scope["path"].removeprefix(PREFIX))
        self.seen.add(operation["operationId"])
        check_parameters(parameters, scope)
        assert bool(sent) == ("requestBody" in operation), "a body where there should be none, or none where one should"
        if sent:
            body = json.loads(sent)
            self.bodies.append((operation["operationId"], body))
            schema(_named(operation["requestBody"]), True).validate(body)
        if came.startswith(b"{") and str(status) in operation["responses"]:
            answer = json.loads(came)
            name = _named(resolved(operation["responses"][str(status)]))
            if name == "Error":
                # The rows of an error are shown whole, though the schema names their ids and messages only.
                answer["Elements"] = [
                    {key: value for key, value in row.items() if key in ROW | {"ContactID"} and key == "ContactID"}
                    for row in answer.get("Elements", ())
                ]
            schema(name, False).validate({key: value for key, value in answer.items() if key not in ENVELOPE})


def _named(node: dict[str, Any]) -> str:
    return str(node["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2])
