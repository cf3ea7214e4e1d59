"""The QuickBooks sandbox keeps the rules that the accounting note (part B) and Intuit's reference tell of. It is spoken
to without the connector."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from connectors.quickbooks.deliveries import Event
from connectors.quickbooks.qbql import Malformed, parse
from connectors.quickbooks.sandbox import QuickBooksSandbox, create

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)


class Caller:
    """An app that speaks to a box."""

    def __init__(self, box: QuickBooksSandbox) -> None:
        self.box, self.http = box, TestClient(box.app)
        self.refresh = box.settings("")["refresh_token"]
        self.token = self.renew().json()["access_token"]

    def renew(self, secret: str = "") -> Any:
        oauth = self.box.oauth
        basic = base64.b64encode(f"{oauth.client_id}:{secret or oauth.client_secret}".encode()).decode()
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh}
        return self.http.post("/oauth2/v1/tokens/bearer", data=form, headers={"authorization": f"Basic {basic}"})

    def call(self, method: str, path: str, body: Any = None, token: str = "", realm: str = "", **query: str) -> Any:
        content = None if body is None else body if isinstance(body, str) else json.dumps(body)
        return self.http.request(
            method,
            f"/v3/company/{realm or self.box.realm}/{path}",
            content=content,
            params={"minorversion": "75", **query},
            headers={"authorization": f"Bearer {token or self.token}"},
        )

    def post(self, path: str, body: Any, **query: str) -> Any:
        return self.call("POST", path, body, **query).json()

    def query(self, statement: str) -> Any:
        return self.post("query", statement)

    def fault(self, path: str, body: Any, **query: str) -> str:
        """The code with which it is refused."""
        answer = self.call("POST", path, body, **query)
        assert answer.status_code == 400
        return str(answer.json()["Fault"]["Error"][0]["code"])

    def changed(self, entities: str, since: datetime) -> list[Any]:
        answer = self.call("GET", "cdc", entities=entities, changedSince=since.isoformat()).json()
        return list(answer["CDCResponse"][0]["QueryResponse"])


def caller(**options: Any) -> Caller:
    return Caller(create(clock=lambda: START, **options))


@pytest.fixture
def app() -> Iterator[Caller]:
    made = caller()
    with made.http:
        yield made


ANN = {"GivenName": "Ann", "FamilyName": "Weiss", "PrimaryEmailAddr": {"Address": "ann@example.com"}}


def test_a_new_customer_is_told_in_full(app: Caller) -> None:
    row = app.post("customer", {**ANN, "BillAddr": {"Line1": "1 High St"}})["Customer"]
    assert (row["Id"], row["SyncToken"], row["DisplayName"]) == ("1", "0", "Ann Weiss")
    assert row["PrintOnCheckName"] == row["FullyQualifiedName"] == "Ann Weiss"
    assert (row["Active"], row["Job"], row["sparse"]) == (True, False, False)
    assert row["BillAddr"]["Id"] == "1"
    assert row["MetaData"]["CreateTime"] == "2026-11-21T17:43:33-08:00"
    assert "Notes" not in row


def test_a_job_is_named_after_its_parent(app: Caller) -> None:
    app.post("customer", ANN)
    job = app.post("customer", {"DisplayName": "Kitchen", "Job": True, "ParentRef": {"value": "1"}})["Customer"]
    assert job["FullyQualifiedName"] == "Ann Weiss:Kitchen"


def test_a_name_is_taken_over_customers_vendors_and_employees(app: Caller) -> None:
    app.post("customer", ANN)
    app.box.employ("Bo Lee")
    assert app.fault("vendor", {"DisplayName": "ANN WEISS"}) == "6240"
    assert app.fault("customer", {"DisplayName": "Bo Lee"}) == "6240"
    assert app.post("vendor", {"DisplayName": "Ann Weiss ~3f2a"})["Vendor"]["Id"] == "1"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"DisplayName": "a:b"}, "2040"),
        ({"DisplayName": "a", "FamilyName": "b\tc"}, "2040"),
        ({"DisplayName": "a", "Notes": "🎷"}, "2040"),
        ({"DisplayName": "a", "Title": "x" * 17}, "2050"),
        ({"DisplayName": "a", "Mobile": {"FreeFormNumber": "1" * 31}}, "2050"),
        ({"DisplayName": "a", "PrimaryEmailAddr": {"Address": "nobody"}}, "2210"),
        ({"DisplayName": "a", "WebAddr": {"URI": "www"}}, "2030"),
        ({"DisplayName": "a", "Nickname": "b"}, "2010"),
        ({"Notes": "no name"}, "2020"),
    ],
)
def test_what_quickbooks_refuses(app: Caller, body: dict[str, Any], code: str) -> None:
    assert app.fault("customer", body) == code
    assert app.box.rows() == []


def test_several_addresses_in_one_property_are_taken(app: Caller) -> None:
    both = {"Address": "a@example.com, b@example.com"}
    assert app.post("customer", {"DisplayName": "a", "PrimaryEmailAddr": both})["Customer"]["PrimaryEmailAddr"] == both


def test_what_is_not_sent_is_cleared_unless_sparse(app: Caller) -> None:
    app.post("customer", {**ANN, "Notes": "n", "Mobile": {"FreeFormNumber": "1"}})
    row = app.post("customer", {"Id": "1", "SyncToken": "0", "sparse": True, "Notes": ""})["Customer"]
    assert "Notes" not in row
    assert (row["Mobile"], row["SyncToken"]) == ({"FreeFormNumber": "1"}, "1")
    row = app.post("customer", {"Id": "1", "SyncToken": "1", "GivenName": "Anna"})["Customer"]
    assert "Mobile" not in row
    assert "FamilyName" not in row
    assert row["DisplayName"] == "Ann Weiss"


def test_a_stale_token_is_refused_and_changes_nothing(app: Caller) -> None:
    app.post("customer", ANN)
    app.box.edit("Customer", "1", Notes="theirs")
    assert app.fault("customer", {"Id": "1", "SyncToken": "0", "sparse": True, "Notes": "ours"}) == "5010"
    assert app.box.row("Customer", "1")["Notes"] == "theirs"
    assert app.fault("customer", {"Id": "9", "SyncToken": "0", "sparse": True, "Notes": "ours"}) == "610"


def test_an_inactive_record_is_hidden_renamed_and_not_written_to(app: Caller) -> None:
    app.post("customer", ANN)
    app.post("customer", {"Id": "1", "SyncToken": "0", "sparse": True, "Active": False})
    assert app.query("select * from Customer")["QueryResponse"] == {}
    found = app.query("select * from Customer where Active in (true, false)")["QueryResponse"]["Customer"]
    assert [row["DisplayName"] for row in found] == ["Ann Weiss (deleted)"]
    assert app.fault("customer", {"Id": "1", "SyncToken": "1", "sparse": True, "Notes": "n"}) == "610"
    assert app.post("customer", ANN)["Customer"]["Id"] == "2", "its name is free"
    assert app.fault("customer", {"Id": "1", "SyncToken": "1", "sparse": True, "Active": True}) == "6240"
    app.box.archive("Customer", "2")
    app.box.restore("Customer", "1")
    assert app.box.row("Customer", "1")["DisplayName"] == "Ann Weiss"


# --- the query language


def test_a_query_gives_pages_by_id(app: Caller) -> None:
    app.box.seed({"DisplayName": f"N{n:03}"} for n in range(1, 121))
    assert len(app.query("select * from Customer")["QueryResponse"]["Customer"]) == 100
    found = app.query("Select * From Customer OrderBy Id StartPosition 119 MaxResults 5")["QueryResponse"]
    assert [row["Id"] for row in found["Customer"]] == ["119", "120"]
    assert (found["startPosition"], found["maxResults"]) == (119, 2)
    assert app.query("select count(*) from Customer")["QueryResponse"] == {"totalCount": 120}


def test_conditions_are_joined_by_and(app: Caller) -> None:
    app.box.seed([{"DisplayName": "O'Brien \\ Co", "GivenName": "Pat"}, {"DisplayName": "Pat", "GivenName": "Pat"}])
    app.box.advance(60)
    app.box.edit("Customer", "2", Notes="n")

    def ids(where: str) -> list[str]:
        return [
            row["Id"] for row in app.query(f"select * from Customer where {where}")["QueryResponse"].get("Customer", ())
        ]

    assert ids(r"DisplayName = 'O\'Brien \\ Co'") == ["1"]
    assert ids("GivenName = 'Pat' and Id in ('2', '3')") == ["2"]
    assert ids("Metadata.LastUpdatedTime > '2026-11-22T01:44:00Z'") == ["2"]
    assert ids("DisplayName like 'o%co'") == ["1"]
    assert ids("Id > '9'") == []
    assert ids("Notes = ''") == []


@pytest.mark.parametrize(
    "statement",
    [
        "select * from Customer where Id = '1' or Id = '2'",
        "select * from Customer where Id in '1'",
        "select * from Customer maxresults 0",
        "select Id from Customer",
        "select * from Customer; drop",
        "delete from Customer",
        "select * from Customer where Id = ",
        "",
    ],
)
def test_what_the_language_does_not_know_is_refused(app: Caller, statement: str) -> None:
    with pytest.raises(Malformed):
        parse(statement)
    assert app.fault("query", statement or " ") == "4000"


def test_an_unknown_entity_is_refused(app: Caller) -> None:
    assert app.fault("query", "select * from Horse") == "4001"


# --- change data capture


def test_cdc_tells_what_changed_and_what_is_deleted(app: Caller) -> None:
    app.box.seed([{"DisplayName": "a"}, {"DisplayName": "b"}])
    invoice = app.box.issue("Invoice", "1", TotalAmt=5)
    app.box.advance(60)
    app.box.edit("Customer", "2", Notes="n")
    app.box.remove("Invoice", invoice)
    [customers, vendors, invoices] = app.changed("Customer,Vendor,Invoice", START + timedelta(seconds=30))
    assert [row["Id"] for row in customers["Customer"]] == ["2"]
    assert vendors == {}
    assert [(row["Id"], row["status"]) for row in invoices["Invoice"]] == [(invoice, "Deleted")]


def test_cdc_looks_back_thirty_days(app: Caller) -> None:
    app.changed("Customer", START - timedelta(days=30))
    answer = app.call("GET", "cdc", entities="Customer", changedSince=(START - timedelta(days=31)).isoformat())
    assert answer.status_code == 400
    assert "30 days" in answer.text


def test_cdc_is_cut_at_its_limit_over_all_entities() -> None:
    app = caller(cap=3)
    app.box.seed({"DisplayName": f"c{n}"} for n in range(2))
    app.box.seed(({"DisplayName": f"v{n}"} for n in range(2)), "Vendor")
    [customers, vendors] = app.changed("Customer,Vendor", START - timedelta(days=1))
    assert (len(customers["Customer"]), len(vendors["Vendor"])) == (2, 1)


@pytest.mark.parametrize("merged", ["vanish", "inactive"])
def test_only_the_webhook_tells_of_a_merge(merged: str) -> None:
    app = caller(merged=merged)
    app.box.seed([{"DisplayName": "a"}, {"DisplayName": "b"}])
    invoice = app.box.issue("Invoice", "2", TotalAmt=5)
    app.box.webhook()
    app.box.advance(60)
    app.box.merge("Customer", "1", "2")
    [customers] = app.changed("Customer", START + timedelta(seconds=30))
    shown = {row["Id"]: row["Active"] for row in customers["Customer"]}
    assert shown == ({"1": True} if merged == "vanish" else {"1": True, "2": False})
    assert app.box.row("Invoice", invoice)["CustomerRef"] == {"value": "1"}
    [entity] = json.loads(app.box.webhook().body)["eventNotifications"][0]["dataChangeEvent"]["entities"]
    assert (entity["operation"], entity["id"], entity["deletedId"]) == ("Merge", "1", "2")


# --- batches, replays, failures


def test_each_item_of_a_batch_stands_for_itself(app: Caller) -> None:
    app.post("customer", ANN)
    items = [
        {"bId": "a", "operation": "create", "Customer": ANN},
        {"bId": "b", "operation": "create", "Vendor": {"DisplayName": "V"}},
        {"bId": "c", "operation": "update", "Customer": {"Id": "1", "SyncToken": "7", "sparse": True, "Notes": "n"}},
        {"bId": "d", "operation": "delete", "Customer": {"Id": "1", "SyncToken": "0"}},
    ]
    said = {item["bId"]: item for item in app.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]}
    assert said["a"]["Fault"]["Error"][0]["code"] == "6240"
    assert said["b"]["Vendor"]["Id"] == "1"
    assert said["c"]["Fault"]["Error"][0]["code"] == "5010"
    assert "not supported" in said["d"]["Fault"]["Error"][0]["Detail"]


def test_thirty_items_are_the_most(app: Caller) -> None:
    items = [{"bId": str(n), "operation": "create", "Customer": {"DisplayName": str(n)}} for n in range(31)]
    app.fault("batch", {"BatchItemRequest": items})
    assert app.box.rows() == []
    assert len(app.post("batch", {"BatchItemRequest": items[:30]})["BatchItemResponse"]) == 30


def test_a_request_of_the_same_name_gets_the_first_answer(app: Caller) -> None:
    first = app.post("customer", ANN, requestid="r1")
    app.box.edit("Customer", "1", Notes="later")
    assert app.post("customer", ANN, requestid="r1") == first
    assert app.fault("customer", ANN, requestid="r2") == "6240"
    assert app.fault("customer", ANN, requestid="r2") == "6240"
    app.box.archive("Customer", "1")
    assert app.post("customer", ANN, requestid="r2")["Customer"]["Id"] == "2", "failures are not kept"


def test_without_replays_everything_is_done_twice() -> None:
    app = caller(replays=False)
    app.post("customer", ANN, requestid="r1")
    assert app.fault("customer", ANN, requestid="r1") == "6240"


def test_a_business_failure_may_come_as_a_success(app: Caller) -> None:
    app.box.fail("POST /customer", "6000", "closed books", status=200)
    answer = app.call("POST", "customer", ANN)
    assert (answer.status_code, answer.json()["Fault"]["Error"][0]["code"]) == (200, "6000")
    assert "Customer" in app.post("customer", ANN)


def test_every_answer_has_a_time_and_a_trace(app: Caller) -> None:
    answer = app.call("POST", "query", "select * from Customer")
    assert datetime.fromisoformat(answer.json()["time"]) == START
    assert answer.headers["intuit_tid"]


def test_amounts_come_digit_by_digit(app: Caller) -> None:
    from decimal import Decimal

    app.box.issue("Invoice", "1", TotalAmt=Decimal("85.10"), Balance=Decimal("0.00"))
    assert '"TotalAmt": 85.10, "Balance": 0.00' in app.call("POST", "query", "select * from Invoice").text


def test_quotas_of_a_minute() -> None:
    app = caller(per_minute=3, batches=1)
    empty: dict[str, Any] = {"BatchItemRequest": []}
    assert [app.call("POST", "batch", empty).status_code for _ in range(2)] == [200, 429]
    codes = [app.call("POST", "query", "select * from Customer").status_code for _ in range(3)]
    assert codes == [200, 429, 429], "a batch that was refused by its own quota counts for the other one"
    app.box.advance(61)
    assert app.call("POST", "query", "select * from Customer").status_code == 200


# --- tokens


def test_a_dead_access_token_is_told_in_another_shape(app: Caller) -> None:
    app.box.advance(3601)
    answer = app.call("POST", "query", "select * from Customer")
    assert answer.status_code == 401
    assert "Fault" not in answer.json()
    assert answer.json()["fault"]["error"][0]["code"] == "3200"


def test_another_company_is_not_ours(app: Caller) -> None:
    answer = app.call("POST", "query", "select * from Customer", realm="1")
    assert (answer.status_code, answer.json()["Fault"]["Error"][0]["code"]) == (403, "3100")


def test_the_refresh_token_changes_about_every_day(app: Caller) -> None:
    assert app.renew().json()["refresh_token"] == app.refresh
    app.box.advance(86_400)
    first, app.refresh = app.refresh, app.renew().json()["refresh_token"]
    assert app.refresh != first
    second, app.refresh = app.refresh, first
    assert (app.renew().status_code, app.renew().json()["error"]) == (400, "invalid_grant")
    app.refresh = second
    app.box.advance(101 * 86_400)
    assert app.renew().json()["error"] == "invalid_grant"


def test_a_consent_dies_after_five_years(app: Caller) -> None:
    for _ in range(5 * 365 // 90):
        app.box.advance(90 * 86_400)
        app.refresh = app.renew().json()["refresh_token"]
    app.box.advance(90 * 86_400)
    assert app.renew().json()["error"] == "invalid_grant"


def test_a_wrong_client_gets_nothing(app: Caller) -> None:
    assert (app.renew("wrong").status_code, app.renew("wrong").json()) == (401, {"error": "invalid_client"})


# --- webhooks


@pytest.mark.parametrize("style", ["legacy", "cloudevents"])
def test_a_webhook_is_signed_over_the_body_as_it_is(app: Caller, style: Any) -> None:
    app.box.seed([{"DisplayName": "a"}])
    sent = app.box.webhook(style=style, path="/hooks/books")
    wanted = base64.b64encode(hmac.new(app.box.verifier.encode(), sent.body, hashlib.sha256).digest()).decode()
    assert (sent.path, sent.headers["intuit-signature"]) == ("/hooks/books", wanted)
    assert app.box.events == []


def test_both_shapes_tell_the_same(app: Caller) -> None:
    events = [Event("Customer", "58", "Merge", "2026-11-21T17:43:33-08:00", absorbed="99")]
    old = json.loads(app.box.webhook(events).body)["eventNotifications"][0]
    [new] = json.loads(app.box.webhook(events, "cloudevents").body)
    assert old["realmId"] == new["intuitaccountid"] == app.box.realm
    assert old["dataChangeEvent"]["entities"][0]["id"] == new["intuitentityid"] == "58"
    assert (new["specversion"], new["type"]) == ("1.0", "qbo.customer.merged.v1")
    assert old["dataChangeEvent"]["entities"][0]["deletedId"] == new["data"]["deletedId"] == "99"
