"""Watches the traffic between the Google connector and its sandbox and holds it against Google's discovery document
(the one that google-api-python-client brings along): methods, addresses, parameters, bodies, in both directions. What
the document does not know fails."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@cache
def document() -> dict[str, Any]:
    folder = files("googleapiclient.discovery_cache") / "documents" / "people.v1.json"
    found: dict[str, Any] = json.loads(folder.read_text("utf-8"))
    return found


@cache
def methods() -> list[dict[str, Any]]:
    def walk(resource: dict[str, Any]) -> list[dict[str, Any]]:
        own = list(resource.get("methods", {}).values())
        return own + [method for inner in resource.get("resources", {}).values() for method in walk(inner)]

    return walk(document())


@cache
def schema(name: str, request: bool) -> Draft202012Validator:
    """The schema of that name; unknown properties fail, and output-only ones in requests."""
    kept = {key: _closed(value, request) for key, value in document()["schemas"].items()}
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": kept})


def _closed(node: dict[str, Any], request: bool) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    kind = node.get("type")
    if kind == "any":
        return {}
    if kind == "array":
        return {"type": "array", "items": _closed(node["items"], request)}
    if kind != "object":
        return {"type": kind, **({"enum": node["enum"]} if "enum" in node else {})}
    if "additionalProperties" in node:
        return {"type": "object", "additionalProperties": _closed(node["additionalProperties"], request)}
    properties = {
        name: _closed(value, request)
        for name, value in node.get("properties", {}).items()
        # An update tells the version it is based on in metadata.sources, output only as it otherwise is.
        if not (request and value.get("readOnly") and name != "metadata")
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def find(method: str, path: str) -> dict[str, Any]:
    for known in methods():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(known["flatPath"]))
        if known["httpMethod"] == method and re.fullmatch(pattern, path.lstrip("/")):
            return known
    raise AssertionError(f"the discovery document has no {method} {path}")


def check_query(known: dict[str, Any], query: dict[str, list[str]]) -> None:
    declared = {**known["parameters"], **document()["parameters"]}
    for name, values in query.items():
        assert name in declared, f"{known['id']} has no parameter {name}"
        assert declared[name].get("repeated") or len(values) == 1, f"{name} is not repeated"
        allowed = declared[name].get("enum")
        assert not allowed or set(values) <= set(allowed), f"{values} for {name}"
        if declared[name]["type"] == "integer":
            assert all(value.isdigit() for value in values), f"{values} for {name}"


class Watched:
    """ASGI middleware that remembers every violation."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.violations: list[str] = []
        self.seen: set[str] = set()
        self.bodies: list[tuple[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
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
        method, query = scope["method"], parse_qs(scope["query_string"].decode())
        headers = dict(scope["headers"])
        if headers.get(b"x-http-method-override") == b"GET":
            method, query, sent = "GET", parse_qs(sent.decode()), b""
        known = find(method, scope["path"])
        self.seen.add(known["id"])
        check_query(known, query)
        assert bool(sent) == ("request" in known), "a body where there should be none, or none where there should be"
        if sent:
            self.bodies.append((known["id"], json.loads(sent)))
            schema(known["request"]["$ref"], True).validate(json.loads(sent))
        if status == 200 and came.startswith(b"{"):
            schema(known["response"]["$ref"], False).validate(json.loads(came))
