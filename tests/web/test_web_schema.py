"""The OpenAPI document is true: what schemathesis makes up from it is answered as it says, and never with a 5xx."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from office import Office
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from test_web_access import routes

from app.core.policy import Policy
from connectors.errors import Unreachable

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LEFT_OUT = {"sign_out", "revoke_token", "watch_run"}
"""They would end this test's own session, or not end."""
FINAL = {"erase_person", "remove_group", "remove_connection", "remove_user"}
"""Of what is there they leave nothing for the others."""

HERE: dict[str, str] = {}
"""What is there to be asked for."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("schema") / "home", raising=False)
    made.connect(book=Policy(ask=True), crm=Policy(ask=True))
    for number in range(3):
        made.add(number, groups={"1": {"name": "Friends"}})
    made.add(9, notes={"1": {"note": "x" * 100_001}})
    made.round()
    HERE["uid"] = made.person()["uid"]
    HERE["group"] = made.get("/v1/groups")["items"][0]["id"]
    settings = {"url": "http://127.0.0.1:9", "username": "ann", "access_key": "x"}
    made.post("/v1/connections", {"name": "form", "system": "vtiger", "settings": settings})
    HERE["ticket"] = made.post("/v1/connections/form/consent")["url"].rpartition("/")[2]
    HERE["refused"] = made.get("/v1/refused")["items"][0]["id"]
    yield made
    made.close()


@pytest.fixture(scope="module")
def operations(office: Office) -> dict[str, Any]:
    document = schemathesis.openapi.from_asgi("/openapi.json", office.app)
    found = [result.ok() for result in document.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.mark.parametrize("name", [route.name for route in routes() if route.name not in LEFT_OUT])
def test_the_document_is_true(office: Office, operations: dict[str, Any], name: str) -> None:
    @seed(1)
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(case=operations[name].as_strategy(), real=st.booleans())
    def told(case: Any, real: bool) -> None:
        if real and case.path_parameters and name not in FINAL:
            kind = case.path.split("/")[2]
            there = {
                "uid": HERE["uid"],
                "name": "viewer" if kind == "users" else "crm",
                "id": {"refused": HERE["refused"], "groups": HERE["group"]}.get(kind, 1),
                "ticket": HERE["ticket"],
            }
            case.path_parameters = {key: there[key] for key in case.path_parameters or {}}
        if name in ("edit_person", "rename_group"):
            case.headers = {**(case.headers or {}), "If-Match": "*"}
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {office.tokens['admin']}"}
        case.call_and_validate(checks=CHECKS)

    told()


def test_every_operation_is_described(office: Office) -> None:
    made = office.get("/openapi.json")
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"] and operation["operationId"] and operation["tags"], where
            assert operation["description"], where
            guarded = operation["security"] == [{"bearer": []}]
            assert not guarded or {"401", "403"} <= operation["responses"].keys(), where
            assert "{" not in path or "404" in operation["responses"], where
            if method in ("post", "put", "patch") and "requestBody" in operation:
                assert {"413", "422"} <= operation["responses"].keys(), where
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(made)))
    assert named == made["components"]["schemas"].keys(), "something is named and not there, or there and not named"


# --- examples


def described(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(where, schema, example) of everything that has to have one."""
    nothing = object()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            for parameter in operation.get("parameters", ()):
                yield f"{where} {parameter['name']}", parameter["schema"], parameter.get("example", nothing)
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{where} {media}", content["schema"], content.get("example", nothing)
            for status, response in operation["responses"].items():
                for media, content in response.get("content", {}).items():
                    if status < "300":
                        yield f"{where} {status} {media}", content["schema"], content.get("example", nothing)


def test_everything_has_an_example_that_fits(office: Office) -> None:
    document = office.get("/openapi.json")
    components = {"components": document["components"]}
    wrong = []
    for where, schema, example in described(document):
        try:
            found = [e.message for e in Draft202012Validator({**schema, **components}).iter_errors(example)]
        except Exception as error:  # what is no JSON is no example
            found = [repr(error)]
        wrong += [f"{where}: {why}" for why in found]
        wrong += (
            [f"{where}: {example!r} tells nothing"] if example in ({}, [], [{}], "", None) and "4" not in where else []
        )
    assert not wrong, "\n".join(wrong)


def test_what_the_examples_ask_for_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent as they stand: what they name may not be there, or be there already; but none is sent away for nonsense."""

    def nowhere(*_: Any) -> None:
        raise Unreachable("crm.example.com cannot be reached")

    monkeypatch.setattr("app.engine.plan.make", nowhere)
    made = Office(tmp_path / "home", raising=False)
    told, document = {}, made.get("/openapi.json")["paths"]
    new = document["/v1/connections"]["post"]["requestBody"]["content"]["application/json"]["example"]
    made.post("/v1/connections", new)
    for path, methods in document.items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" not in content:
                continue
            place = {p["name"]: p["example"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            asked = {
                p["name"]: p["example"]
                for p in operation.get("parameters", ())
                if p["in"] == "header" and p["name"] != "Idempotency-Key"
            }
            body = content["application/json"]["example"]
            answer = made(method.upper(), path.format_map(place), headers=asked, json=body)
            told[operation["operationId"]] = (answer.status_code, answer.text)
    made.close()
    assert len(told) > 12
    assert told.pop("make_plan")[0] == 502
    assert not {name: answer for name, answer in told.items() if answer[0] in (400, 422) or answer[0] >= 500}
