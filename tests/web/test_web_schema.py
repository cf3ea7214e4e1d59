"""The OpenAPI document is true: what schemathesis makes up from it is answered as it says, and never with a 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from office import Office
from schemathesis.checks import not_a_server_error
from schemathesis.openapi.checks import response_schema_conformance, status_code_conformance
from schemathesis.specs.openapi.checks import content_type_conformance, response_headers_conformance

from app.core.policy import Policy

HERE: dict[str, Office] = {}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    office = Office(tmp_path_factory.mktemp("schema") / "home")
    office.connect(book=Policy(ask=True), crm=Policy(ask=True))
    for number in range(3):
        office.add(number)
    office.add(9, notes={"1": {"note": "x" * 100_001}})
    office.round()
    HERE["office"] = office
    yield schemathesis.openapi.from_asgi("/openapi.json", office.app)
    office.close()


SCHEMA = schemathesis.pytest.from_fixture("document")


@SCHEMA.parametrize()
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[*HealthCheck],
)
def test_the_document_is_true(case: Any) -> None:
    if case.operation.definition.raw["operationId"] in ("sign_out", "revoke_token", "watch_run"):
        return  # they would end this test's own session, or never end
    headers = {**(case.headers or {}), "Authorization": f"Bearer {HERE['office'].tokens['admin']}"}
    case.call_and_validate(checks=CHECKS, headers=headers)


def test_every_operation_is_described(showroom: Office) -> None:
    made = showroom.get("/openapi.json")
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"] and operation["operationId"] and operation["tags"], where
            assert operation["description"], where
            guarded = operation["security"] == [{"bearer": []}]
            assert not guarded or {"401", "403"} <= operation["responses"].keys(), where
            assert "{" not in path or path.startswith("/v1/refused/") or "404" in operation["responses"], where
            if method in ("post", "put", "patch") and "requestBody" in operation:
                assert {"413", "422"} <= operation["responses"].keys(), where
    assert "HTTPValidationError" not in made["components"]["schemas"]
    assert not [name for name in made["components"]["schemas"] if "Secret" in name]
