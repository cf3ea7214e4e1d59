"""The OpenAPI document is true: what schemathesis makes up from it is answered as it says, and never with a 5xx."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
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

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LEFT_OUT = {"sign_out", "revoke_token", "watch_run"}
"""They would end this test's own session, or not end."""
FINAL = {"erase_person", "remove_connection", "remove_user"}
"""Of what is there they leave nothing for the others."""

HERE: dict[str, str] = {}
"""What is there to be asked for."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("schema") / "home", raising=False)
    made.connect(book=Policy(ask=True), crm=Policy(ask=True))
    for number in range(3):
        made.add(number)
    made.add(9, notes={"1": {"note": "x" * 100_001}})
    made.round()
    HERE["uid"] = made.person()["uid"]
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
                "id": HERE["refused"] if kind == "refused" else 1,
                "ticket": HERE["ticket"],
            }
            case.path_parameters = {key: there[key] for key in case.path_parameters or {}}
        if name == "edit_person":
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
