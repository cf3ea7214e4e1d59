"""Watches the traffic between the QuickBooks connector and its sandbox and holds it against the entities' field lists:
those of the object classes of python-quickbooks 0.9.12 (MIT), minor version 75. What the lists do not know fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COMMON: Final = {"Id": "string", "SyncToken": "string", "sparse": "boolean", "domain": "string", "MetaData": "MetaData"}
_PERSON: Final = {
    **dict.fromkeys(("PrimaryPhone", "AlternatePhone", "Mobile", "Fax"), "PhoneNumber"),
    "PrimaryEmailAddr": "EmailAddress",
    "WebAddr": "WebAddress",
    "BillAddr": "Address",
    "CurrencyRef": "Ref",
    **dict.fromkeys(("Title", "GivenName", "MiddleName", "FamilyName", "Suffix", "CompanyName"), "string"),
    **dict.fromkeys(("DisplayName", "PrintOnCheckName"), "string"),
    "Active": "boolean",
    "Balance": "number",
}
_DOCUMENT: Final = {
    **dict.fromkeys(("CustomerRef", "CurrencyRef", "DepartmentRef", "ClassRef"), "Ref"),
    **dict.fromkeys(("BillAddr", "ShipAddr"), "Address"),
    "BillEmail": "EmailAddress",
    "Line": "list:DetailLine",
    **dict.fromkeys(("DocNumber", "PrivateNote", "TxnDate", "PrintStatus", "EmailStatus"), "string"),
    **dict.fromkeys(("TotalAmt", "Balance", "ExchangeRate"), "number"),
}
ENTITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "Customer": {
        **_PERSON,
        "ShipAddr": "Address",
        **dict.fromkeys(("DefaultTaxCodeRef", "SalesTermRef", "PaymentMethodRef", "ParentRef", "ARAccountRef"), "Ref"),
        **dict.fromkeys(("FullyQualifiedName", "Notes", "PreferredDeliveryMethod", "ResaleNum"), "string"),
        **dict.fromkeys(("OpenBalanceDate", "PrimaryTaxIdentifier"), "string"),
        **dict.fromkeys(("IsProject", "Job", "BillWithParent", "Taxable"), "boolean"),
        **dict.fromkeys(("BalanceWithJobs", "Level"), "number"),
    },
    "Vendor": {
        **_PERSON,
        **dict.fromkeys(("TermRef", "APAccountRef"), "Ref"),
        **dict.fromkeys(("TaxIdentifier", "AcctNum", "TaxReportingBasis"), "string"),
        "BillRate": "number",
        "Vendor1099": "boolean",
    },
    "Invoice": {**_DOCUMENT, "DueDate": "string", "Deposit": "number", "HomeBalance": "number"},
    "SalesReceipt": {**_DOCUMENT, "PaymentRefNum": "string", "PaymentMethodRef": "Ref"},
    "CreditMemo": {**_DOCUMENT, "RemainingCredit": "number"},
    "Address": {
        **dict.fromkeys(("Id", "Line1", "Line2", "Line3", "Line4", "Line5", "City", "Country", "PostalCode"), "string"),
        **dict.fromkeys(("CountrySubDivisionCode", "Lat", "Long", "Note"), "string"),
    },
    "PhoneNumber": {"FreeFormNumber": "string"},
    "EmailAddress": {"Address": "string"},
    "WebAddress": {"URI": "string"},
    "Ref": {"value": "string", "name": "string", "type": "string"},
    "MetaData": {"CreateTime": "string", "LastUpdatedTime": "string"},
    "DetailLine": {
        **dict.fromkeys(("Id", "Description", "DetailType"), "string"),
        **dict.fromkeys(("LineNum", "Amount"), "number"),
        "SalesItemLineDetail": "SalesItemLineDetail",
        "GroupLineDetail": "any",
        "DiscountLineDetail": "any",
        "SubTotalLineDetail": "any",
    },
    "SalesItemLineDetail": {
        **dict.fromkeys(("ItemRef", "ItemAccountRef", "ClassRef", "TaxCodeRef", "PriceLevelRef"), "Ref"),
        **dict.fromkeys(("UnitPrice", "Qty", "TaxInclusiveAmt"), "number"),
        "ServiceDate": "string",
    },
}
TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "number": (int, Decimal),
}
READ_ONLY: Final = frozenset({"MetaData", "domain", "Balance", "FullyQualifiedName", "Level", "BalanceWithJobs"})
PARAMETERS: Final = {
    "query": {"minorversion", "query"},
    "cdc": {"minorversion", "entities", "changedSince"},
    "batch": {"minorversion", "requestid"},
    "customer": {"minorversion", "requestid"},
    "vendor": {"minorversion", "requestid"},
}
UNLISTED: Final = frozenset({"CompanyInfo", "Preferences"})
"""Entities that are read and that the lists do not have."""


def check(name: str, value: Any, where: str = "") -> None:
    """Asserts that a value is what the lists say."""
    where = where or name
    if name == "any":
        return
    if name.startswith("list:"):
        assert isinstance(value, list), f"{where} is no list"
        for item in value:
            check(name[5:], item, where)
        return
    if name in TYPES:
        assert isinstance(value, TYPES[name]), f"{where} is no {name}: {value!r}"
        return
    assert isinstance(value, Mapping), f"{where} is no {name}: {value!r}"
    known = ENTITIES[name]
    if name in ("Customer", "Vendor", "Invoice", "SalesReceipt", "CreditMemo"):
        known = {**COMMON, **known}
    for field, inner in value.items():
        assert field in known, f"{where} has no field {field}"
        check(known[field], inner, f"{where}.{field}")


def check_sent(entity: str, body: Mapping[str, Any]) -> None:
    """Asserts that this may be sent: nothing that is read only, and never a full update."""
    check(entity, body)
    assert not body.keys() & READ_ONLY, f"{sorted(body.keys() & READ_ONLY)} of {entity} is read only"
    if "Id" in body:
        assert body.get("sparse") is True, "an update that is not sparse clears what it does not send"
        assert "SyncToken" in body, "an update without a SyncToken"


class Watched:
    """ASGI middleware that remembers every violation."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.violations: list[str] = []
        self.bodies: list[tuple[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = re.fullmatch(r"/v3/company/[^/]+/(\w+)", scope.get("path", "")) if scope["type"] == "http" else None
        if found is None:
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
            query = parse_qs(scope["query_string"].decode())
            self._check_request(scope["method"], found[1], query, body)
            came = b"".join(message.get("body", b"") for message in answer[1:])
            if answer[0]["status"] == 200 and came.startswith(b"{"):
                self._check_answer(json.loads(came, parse_float=Decimal))
        except AssertionError as violation:
            self.violations.append(f"{scope['method']} {scope['path']}: {str(violation)[:400]}")
        # Sent only now, so that a test that has its answer finds what was remembered.
        for message in answer:
            await send(message)

    def _check_request(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> None:
        assert path in PARAMETERS, f"there is no {path}"
        assert query.keys() <= PARAMETERS[path], f"{path} has no parameter {sorted(query.keys() - PARAMETERS[path])}"
        assert query.get("minorversion") == ["75"], "minor version 75 is the oldest that is served"
        assert method == ("GET" if path == "cdc" else "POST")
        if path in ("cdc", "query"):
            return
        assert re.fullmatch(r"[0-9a-f-]{36}", query["requestid"][0]), "requestid is a uuid"
        sent = json.loads(body, parse_float=Decimal)
        self.bodies.append((path, sent))
        if path != "batch":
            check_sent(path.capitalize(), sent)
            return
        assert 1 <= len(sent["BatchItemRequest"]) <= 30
        for item in sent["BatchItemRequest"]:
            [entity] = item.keys() - {"bId", "operation"}
            assert len(item["bId"]) <= 10
            assert (item["operation"] == "update") == ("Id" in item[entity])
            check_sent(entity, item[entity])

    @staticmethod
    def _check_answer(answer: Mapping[str, Any]) -> None:
        assert isinstance(answer.get("time"), str), "an answer without the time"
        parts: Iterable[Any] = [answer, answer.get("QueryResponse") or {}]
        parts = [*parts, *(part for cdc in answer.get("CDCResponse") or () for part in cdc["QueryResponse"])]
        parts = [*parts, *(answer.get("BatchItemResponse") or ())]
        for part in parts:
            for name, rows in part.items():
                if name in ENTITIES:
                    for row in rows if isinstance(rows, list) else [rows]:
                        check(name, {key: value for key, value in row.items() if key != "status"})
                else:
                    envelope = {"time", "bId", "Fault", "startPosition", "maxResults", "totalCount"}
                    nested = {"QueryResponse", "CDCResponse", "BatchItemResponse"}
                    assert name in envelope | nested | UNLISTED, f"an answer has no {name}"
