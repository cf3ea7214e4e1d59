"""The Xero sandbox by itself: that it has the vendor's warts (accounting note A)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xerospec import document, schema

from connectors.xero.sandbox import XeroSandbox, create

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
API = "/api.xro/2.0"


class Desk:
    """A sandbox and somebody who speaks its protocol by hand."""

    def __init__(self, **options: Any) -> None:
        self.box: XeroSandbox = create(now=lambda: START, **options)
        self.http = TestClient(self.box.app)
        answer = self.refresh(self.box.login.grant())
        self.token = answer["access_token"]

    def refresh(self, token: str, **headers: str) -> dict[str, Any]:
        word = base64.b64encode(f"{self.box.login.client_id}:{self.box.login.client_secret}".encode()).decode()
        form = {"grant_type": "refresh_token", "refresh_token": token}
        answer = self.http.post("/connect/token", data=form, headers={"authorization": f"Basic {word}", **headers})
        found: dict[str, Any] = answer.json() | {"status": answer.status_code}
        return found

    def headers(self, **more: str) -> dict[str, str]:
        given = {"authorization": f"Bearer {self.token}", "xero-tenant-id": self.box.books.tenant}
        return {**given, "accept": "application/json", **more}

    def get(self, path: str, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        return self.http.get(API + path, params=params, headers=self.headers(**(headers or {})))

    def write(self, method: str, rows: list[dict[str, Any]], summarize: bool = False, key: str = "") -> Any:
        params = {} if summarize else {"summarizeErrors": "false"}
        headers = self.headers(**({"idempotency-key": key} if key else {}))
        return self.http.request(method, f"{API}/Contacts", params=params, json={"Contacts": rows}, headers=headers)

    def names(self, **params: Any) -> list[str]:
        return [row["Name"] for row in self.get("/Contacts", **params).json()["Contacts"]]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with_close = Desk()
    yield with_close
    with_close.http.close()


# --- Auth ------------------------------------------------------------------------------------------------------------


def test_tokens_rotate_with_half_an_hour_of_grace(desk: Desk) -> None:
    first = desk.box.login.grant()
    answer = desk.refresh(first)
    assert answer["refresh_token"] != first
    assert answer["expires_in"] == 1800
    assert desk.refresh(first)["status"] == 200
    desk.box.advance(1801)
    assert desk.refresh(first) == {"error": "invalid_grant", "status": 400}
    assert desk.get("/Contacts").status_code == 401, "access tokens live as long"
    assert desk.refresh(answer["refresh_token"])["status"] == 200
    desk.box.advance(61 * 86_400)
    assert desk.refresh(answer["refresh_token"])["error"] == "invalid_grant"


def test_the_client_is_told_by_basic_auth(desk: Desk) -> None:
    assert desk.refresh(desk.box.login.grant(), authorization="Basic d3Jvbmc=")["error"] == "invalid_client"


def test_new_apps_do_not_get_the_broad_scopes() -> None:
    for old, status in ((False, 400), (True, 302)):
        desk = Desk(old_app=old)
        query = {
            "client_id": desk.box.login.client_id,
            "scope": "offline_access accounting.transactions.read",
            "code_challenge_method": "S256",
            "code_challenge": "x",
            "state": "s",
            "redirect_uri": "http://127.0.0.1/",
        }
        answer = desk.http.get("/identity/connect/authorize", params=query, follow_redirects=False)
        assert answer.status_code == status
        assert old or answer.json() == {"error": "invalid_scope"}


def test_every_call_is_about_an_organisation_that_the_consent_covers() -> None:
    desk = Desk(tenants=("Acme", "Beta"))
    answer = desk.http.get("/connections", headers=desk.headers())
    assert [(row["tenantName"], row["tenantType"]) for row in answer.json()] == [
        ("Acme", "ORGANISATION"),
        ("Beta", "ORGANISATION"),
    ]
    desk.box.books.add(Name="Only here")
    beta = answer.json()[1]["tenantId"]
    assert desk.get("/Contacts", {"xero-tenant-id": beta}).json()["Contacts"] == []
    assert desk.get("/Contacts", {"xero-tenant-id": "nobody"}).status_code == 403
    assert desk.http.get("/connections").status_code == 401


def test_scopes_count(desk: Desk) -> None:
    answer = desk.refresh(desk.box.login.grant("accounting.contacts.read"))
    desk.token = answer["access_token"]
    assert "refresh_token" not in answer, "without offline_access"
    assert desk.get("/Contacts").status_code == 200
    assert desk.get("/Invoices").json()["Detail"] == "AuthorizationUnsuccessful"
    assert desk.write("PUT", [{"Name": "Acme"}]).status_code == 401


def test_who_does_not_ask_for_json_gets_xml(desk: Desk) -> None:
    desk.box.books.add(Name="Acme & Sons")
    answer = desk.get("/Contacts", {"accept": "*/*"})
    assert answer.headers["content-type"].startswith("text/xml")
    assert "<Name>Acme &amp; Sons</Name>" in answer.text


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_limits_are_counted_and_told() -> None:
    desk = Desk(minute=3, day=5)
    left = [desk.get("/Contacts").headers for _ in range(3)]
    assert [headers["x-minlimit-remaining"] for headers in left] == ["2", "1", "0"]
    assert left[-1]["x-daylimit-remaining"] == "2"
    refused = desk.get("/Contacts")
    assert (refused.status_code, refused.headers["x-rate-limit-problem"]) == (429, "minute")
    desk.box.advance(int(refused.headers["retry-after"]))
    assert [desk.get("/Contacts").status_code for _ in range(3)] == [200, 200, 429]
    desk.box.advance(61)
    refused = desk.get("/Contacts")
    assert refused.headers["x-rate-limit-problem"] == "day"
    assert int(refused.headers["retry-after"]) > 80_000


@pytest.mark.parametrize("problem", ["minute", "day", "concurrent", "appminute"])
def test_each_limit_on_demand(desk: Desk, problem: str) -> None:
    desk.box.limit(problem, 5, times=2)
    answers = [desk.get("/Contacts") for _ in range(3)]
    assert [a.status_code for a in answers] == [429, 429, 200]
    assert answers[0].headers["x-rate-limit-problem"] == problem


# --- Read ------------------------------------------------------------------------------------------------------------


def test_slots_come_even_if_empty_and_times_in_milliseconds(desk: Desk) -> None:
    desk.box.books.add(Name="Acme")
    [row] = desk.get("/Contacts", page=1).json()["Contacts"]
    assert {phone["PhoneType"] for phone in row["Phones"]} == {"DEFAULT", "DDI", "MOBILE", "FAX"}
    assert {address["AddressType"] for address in row["Addresses"]} == {"STREET", "POBOX"}
    assert re.fullmatch(r"/Date\(\d{13}\+0000\)/", row["UpdatedDateUTC"])
    assert "FirstName" not in row
    schema("Contact", False).validate(row)


def test_without_a_page_records_are_thin(desk: Desk) -> None:
    ann = desk.box.books.add(Name="Acme", ContactPersons=[{"FirstName": "Bob"}])
    desk.box.books.group("Friends", ann)
    assert not {"ContactPersons", "ContactGroups"} & desk.get("/Contacts").json()["Contacts"][0].keys()
    [whole] = desk.get("/Contacts", page=1).json()["Contacts"]
    assert whole["ContactPersons"] and whole["ContactGroups"]
    assert "pagination" not in desk.get("/Contacts").json()


def test_pages_order_and_what_changed_since() -> None:
    desk = Desk(page_cap=2)
    for name in "CAB":
        desk.box.books.add(Name=name)
        desk.box.advance(1)
    answer = desk.get("/Contacts", page=2, pageSize=100, order="UpdatedDateUTC ASC").json()
    assert answer["pagination"] == {"page": 2, "pageSize": 2, "pageCount": 2, "itemCount": 3}
    assert [row["Name"] for row in answer["Contacts"]] == ["B"]
    assert desk.names(order="Name ASC") == ["A", "B", "C"]
    since = desk.get("/Contacts", {"if-modified-since": "2026-11-22T12:00:01"}).json()
    assert [row["Name"] for row in since["Contacts"]] == ["B"]
    assert desk.get("/Contacts", {"if-modified-since": "yesterday"}).status_code == 400


def test_archived_contacts_are_only_shown_to_who_asks(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme")
    desk.box.books.archive(acme)
    assert desk.names(page=1) == []
    assert desk.names(page=1, includeArchived="true") == ["Acme"]
    assert desk.get(f"/Contacts/{acme}").json()["Contacts"][0]["ContactStatus"] == "ARCHIVED"


def test_by_ids_by_number_and_by_condition(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme", ContactNumber="C-1")
    desk.box.books.add(Name="Beta")
    assert desk.names(IDs=acme) == ["Acme"]
    assert desk.get("/Contacts", IDs="no id").status_code == 400
    assert desk.get("/Contacts/C-1").json()["Contacts"][0]["ContactID"] == acme
    unknown = desk.get("/Contacts/C-2")
    assert (unknown.status_code, unknown.text) == (404, "")
    assert unknown.headers["content-type"].startswith("text/html")
    assert desk.names(where='Name=="Beta"') == ["Beta"]
    assert desk.names(where='Name=="Beta" AND IsCustomer==true') == []
    assert desk.get("/Contacts", where="Name like Beta").status_code == 400


def test_a_merge_tells_of_the_loser_only(desk: Desk) -> None:
    books = desk.box.books
    acme, beta = books.add(Name="Acme"), books.add(Name="Beta")
    invoice = books.sell(beta, 10.0)
    desk.box.advance(60)
    before = books.contacts[acme]["UpdatedDateUTC"]
    books.merge(acme, beta)
    [row] = [r for r in desk.get("/Contacts", page=1, includeArchived="true").json()["Contacts"] if r["Name"] == "Beta"]
    assert (row["ContactStatus"], row["MergedToContactID"]) == ("ARCHIVED", acme)
    assert books.contacts[acme]["UpdatedDateUTC"] == before
    assert books.documents["Invoices"][invoice]["Contact"]["ContactID"] == acme


# --- Write -----------------------------------------------------------------------------------------------------------


def test_without_row_errors_one_bad_row_fails_all(desk: Desk) -> None:
    desk.box.books.add(Name="Acme")
    rows: list[dict[str, Any]] = [{"Name": "Good"}, {"Name": "ACME"}]
    answer = desk.write("PUT", rows, summarize=True)
    assert answer.status_code == 400
    body = answer.json()
    assert (body["ErrorNumber"], body["Type"]) == (10, "ValidationException")
    [error] = body["Elements"][0]["ValidationErrors"]
    assert error["Message"] == (
        "The contact name ACME is already assigned to another contact. The contact name must be unique across all "
        "active contacts."
    )
    assert desk.names() == ["Acme"]
    answer = desk.write("PUT", rows).json()["Contacts"]
    assert [row["StatusAttributeString"] for row in answer] == ["OK", "ERROR"]
    assert answer[1]["ContactID"] == "00000000-0000-0000-0000-000000000000"
    assert desk.names(order="Name") == ["Acme", "Good"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"Name": " "}, "Contact Name cannot be empty"),
        ({"Name": "x" * 256}, "255"),
        ({"Name": "A", "EmailAddress": "jörg@x.test"}, "Email address must be valid"),
        ({"Name": "A", "ContactPersons": [{"EmailAddress": "nobody"}]}, "Email address must be valid"),
        ({"Name": "A", "ContactPersons": [{"FirstName": "x"}] * 6}, "at most 5"),
        ({"Name": "A", "ContactNumber": "x" * 51}, "50"),
        ({"Name": "A", "Phones": [{"PhoneType": "FAX", "PhoneNumber": "1" * 51}]}, "50"),
        ({"Name": "A", "Phones": [{"PhoneType": "FAX", "PhoneAreaCode": "1" * 11}]}, "10"),
        ({"Name": "A", "Addresses": [{"AddressType": "POBOX", "AddressLine1": "x" * 501}]}, "500"),
        ({"Name": "A", "Addresses": [{"AddressType": "POBOX", "Country": "Zone 51"}]}, "letters"),
    ],
)
def test_rows_are_looked_at(desk: Desk, row: dict[str, Any], said: str) -> None:
    [answer] = desk.write("PUT", [row]).json()["Contacts"]
    assert answer["HasValidationErrors"] is True
    assert said in answer["ValidationErrors"][0]["Message"]
    assert desk.box.books.contacts == {}


def test_what_is_left_out_is_kept_and_slots_merge_by_type(desk: Desk) -> None:
    acme = desk.box.books.add(
        Name="Acme",
        EmailAddress="a@x.test",
        Phones=[{"PhoneType": "FAX", "PhoneNumber": "1", "PhoneAreaCode": "09"}],
        ContactPersons=[{"FirstName": "Bob"}],
        TaxNumber="GST",
    )
    row = {"ContactID": acme, "Name": "Acme", "Phones": [{"PhoneType": "MOBILE", "PhoneNumber": "2"}]}
    [answer] = desk.write("POST", [{**row, "ContactPersons": []}]).json()["Contacts"]
    numbers = {phone["PhoneType"]: phone["PhoneNumber"] for phone in answer["Phones"]}
    assert numbers == {"DEFAULT": "", "DDI": "", "FAX": "1", "MOBILE": "2"}
    assert (answer["EmailAddress"], answer["TaxNumber"]) == ("a@x.test", "GST")
    assert len(answer["ContactPersons"]) == 1, "[] does not clear"
    [answer] = desk.write("POST", [{**row, "ContactPersons": [{"FirstName": "Cid"}]}]).json()["Contacts"]
    assert [person["FirstName"] for person in answer["ContactPersons"]] == ["Cid"]


def test_post_takes_a_namesake_for_the_one_that_is_meant(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme", ContactNumber="C-1")
    for row in ({"Name": "acme", "TaxNumber": "1"}, {"Name": "Acme", "ContactNumber": "C-1"}):
        [answer] = desk.write("POST", [row]).json()["Contacts"]
        assert answer["ContactID"] == acme
    assert len(desk.box.books.contacts) == 1


def test_an_archived_contact_cannot_be_changed_and_its_name_is_free(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme")
    archive = {"ContactID": acme, "Name": "Acme", "ContactStatus": "ARCHIVED"}
    assert desk.write("POST", [archive]).json()["Contacts"][0]["StatusAttributeString"] == "OK"
    [again] = desk.write("POST", [archive]).json()["Contacts"]
    assert "matched an archived contact" in again["ValidationErrors"][0]["Message"]
    assert desk.write("PUT", [{"Name": "Acme"}]).json()["Contacts"][0]["StatusAttributeString"] == "OK"


def test_an_id_that_never_was_fails_the_request(desk: Desk) -> None:
    row = {"ContactID": "bd2270c3-8706-4c11-9cfb-000b551c3f51", "Name": "Ghost"}
    assert desk.write("POST", [{"Name": "Good"}, row]).status_code == 404
    assert desk.box.books.contacts == {}


def test_an_idempotency_key_replays_for_some_minutes(desk: Desk) -> None:
    first = desk.write("PUT", [{"Name": "Acme"}], key="k1").json()
    assert desk.write("PUT", [{"Name": "Acme"}], key="k1").json() == first
    assert desk.write("PUT", [{"Name": "Beta"}], key="k1").status_code == 400
    desk.box.advance(361)
    [late] = desk.write("PUT", [{"Name": "Acme"}], key="k1").json()["Contacts"]
    assert late["StatusAttributeString"] == "ERROR"
    assert desk.write("PUT", [{"Name": "Beta"}], key="k" * 129).status_code == 400


def test_groups(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme")
    touched = desk.box.books.contacts[acme]["UpdatedDateUTC"]
    desk.box.advance(5)
    body = {"ContactGroups": [{"Name": "Friends"}]}
    made = desk.http.put(f"{API}/ContactGroups", json=body, headers=desk.headers())
    group = made.json()["ContactGroups"][0]["ContactGroupID"]
    assert desk.http.put(f"{API}/ContactGroups", json=body, headers=desk.headers()).status_code == 400
    path = f"{API}/ContactGroups/{group}/Contacts"
    desk.http.put(path, json={"Contacts": [{"ContactID": acme}]}, headers=desk.headers())
    [row] = desk.get("/Contacts", page=1).json()["Contacts"]
    assert row["ContactGroups"] == [{"ContactGroupID": group, "Name": "Friends", "Status": "ACTIVE"}]
    assert row["UpdatedDateUTC"] == touched
    assert desk.http.delete(f"{path}/{acme}", headers=desk.headers()).status_code == 204
    assert desk.http.delete(f"{path}/{acme}", headers=desk.headers()).status_code == 404
    assert [g["Name"] for g in desk.get("/ContactGroups").json()["ContactGroups"]] == ["Friends"]


# --- Facts -----------------------------------------------------------------------------------------------------------


def test_documents_have_lines_only_in_pages(desk: Desk) -> None:
    books = desk.box.books
    acme = books.add(Name="Acme")
    books.sell(acme, 12.5, LineItems=[{"Description": "x", "LineAmount": 12.5}])
    books.credit(acme, 2.0)
    assert "LineItems" not in desk.get("/Invoices").json()["Invoices"][0]
    answer = desk.get("/Invoices", page=1).json()
    schema("Invoices", False).validate({key: answer[key] for key in ("pagination", "Invoices")})
    assert answer["Invoices"][0]["LineItems"]
    assert books.contacts[acme]["IsCustomer"] is True
    answer = desk.get("/CreditNotes", page=1, where='Type=="ACCRECCREDIT"').json()
    schema("CreditNotes", False).validate({key: answer[key] for key in ("pagination", "CreditNotes")})
    assert desk.get("/CreditNotes", page=1, where='Type=="ACCPAYCREDIT"').json()["CreditNotes"] == []


# --- Webhooks --------------------------------------------------------------------------------------------------------


def test_a_delivery_is_signed_over_its_very_bytes(desk: Desk) -> None:
    acme = desk.box.books.add(Name="Acme")
    path, headers, body = desk.box.delivery(desk.box.event(acme), desk.box.event(acme), path="/hooks/xero")
    assert path == "/hooks/xero"
    expected = base64.b64encode(hmac.new(desk.box.webhook_key.encode(), body, hashlib.sha256).digest()).decode()
    assert headers["x-xero-signature"] == expected
    told = json.loads(body)
    assert told.keys() == {"events", "firstEventSequence", "lastEventSequence", "entropy"}
    assert (told["firstEventSequence"], told["lastEventSequence"]) == (1, 2)
    assert told["events"][0].keys() == {
        "resourceUrl",
        "resourceId",
        "eventDateUtc",
        "eventType",
        "eventCategory",
        "tenantId",
        "tenantType",
    }
    assert (told["events"][0]["resourceId"], told["events"][0]["eventType"]) == (acme, "UPDATE")


def test_the_intent_to_receive_check_sends_good_and_bad_signatures(desk: Desk) -> None:
    for forged in (False, True):
        _, headers, body = desk.box.delivery(forged=forged)
        expected = base64.b64encode(hmac.new(desk.box.webhook_key.encode(), body, hashlib.sha256).digest()).decode()
        assert (headers["x-xero-signature"] == expected) is not forged
        assert json.loads(body)["events"] == []


def test_the_specification_is_there() -> None:
    assert document()["info"]["version"] == "16.1.0"
