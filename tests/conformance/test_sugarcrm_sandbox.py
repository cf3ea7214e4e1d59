"""The SugarCRM sandbox by itself: what it does, rule by rule (sugarcrm note, part A)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from connectors.sandbox import running
from connectors.sugarcrm.sandbox import PASSWORD, USERNAME, SugarSandbox

START = datetime(2026, 11, 22, 1, 43, 33, 250_000, tzinfo=UTC)
TOKEN = {
    "grant_type": "password",
    "client_id": "sugar",
    "client_secret": "",
    "username": USERNAME,
    "password": PASSWORD,
    "platform": "contact_sync",
}


@dataclass
class Server:
    """The sandbox, and who talks to it."""

    http: httpx.Client
    box: SugarSandbox
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)

    def serve(self, **options: Any) -> None:
        self.box = SugarSandbox(clock=lambda: START, **options)
        self.token = self.post("oauth2/token", TOKEN)[1]["access_token"]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"oauth-token": self.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.http.request(method, f"/rest/v11/{path}", json=body, headers=sent)
        return answer.status_code, answer.json()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", path, body, **headers)

    def made(self, module: str = "Contacts", **values: Any) -> dict[str, Any]:
        status, bean = self.post(module, {"last_name": "Lee", "name": "Acme", **values})
        assert status == 200
        assert isinstance(bean, dict)
        return bean


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with httpx.Client() as http:
        made = Server(http, SugarSandbox())
        with running(made) as url:
            http.base_url = httpx.URL(url)
            yield made


@pytest.fixture
def server(served: Server) -> Server:
    served.serve()
    return served


# --- A1 --------------------------------------------------------------------------------------------------------------


def test_a_token_has_the_documented_shape(server: Server) -> None:
    status, token = server.post("oauth2/token", TOKEN)
    assert status == 200
    assert token.keys() == {
        "access_token",
        "expires_in",
        "token_type",
        "scope",
        "refresh_token",
        "refresh_expires_in",
        "download_token",
    }
    assert (token["expires_in"], token["refresh_expires_in"], token["scope"]) == (3600, 1_209_600, None)


def test_one_session_for_each_user_and_platform(server: Server) -> None:
    assert server.ask("GET", "ping") == (200, "pong")
    server.post("oauth2/token", {**TOKEN, "platform": "base"})
    assert server.ask("GET", "ping")[0] == 200
    server.post("oauth2/token", TOKEN)
    assert server.ask("GET", "ping") == (
        401,
        {"error": "invalid_grant", "error_message": "The access token provided is invalid."},
    )


def test_a_refresh_kills_the_refresh_token(server: Server) -> None:
    first = server.post("oauth2/token", TOKEN)[1]["refresh_token"]
    ask = {**TOKEN, "grant_type": "refresh_token", "refresh_token": first}
    assert server.post("oauth2/token", ask)[0] == 200
    status, error = server.post("oauth2/token", ask)
    assert (status, error["error"]) == (401, "invalid_grant")


def test_tokens_age(server: Server) -> None:
    refresh = server.post("oauth2/token", TOKEN)[1]["refresh_token"]
    server.token = server.box.sessions.grants["contact_sync"].access
    server.box.advance(3599)
    assert server.ask("GET", "ping")[0] == 200
    server.box.advance(1)
    assert server.ask("GET", "ping")[0] == 401
    server.box.advance(1_209_600)
    ask = {**TOKEN, "grant_type": "refresh_token", "refresh_token": refresh}
    assert server.post("oauth2/token", ask)[0] == 401


def test_without_a_token_and_without_a_version(server: Server) -> None:
    assert server.http.get("/rest/v11/me").json()["error"] == "need_login"
    assert server.http.get("/rest/v12/me").json()["error"] == "incorrect_version"
    assert server.http.get("/rest/v11/me").status_code == 401
    bearer = {"authorization": f"Bearer {server.token}"}
    assert server.http.get("/rest/v11_10/me", headers=bearer).json()["current_user"]["type"] == "admin"


# --- A3, A4 ----------------------------------------------------------------------------------------------------------


def test_times_have_the_users_offset_and_whole_seconds(server: Server) -> None:
    assert server.made()["date_modified"] == "2026-11-21T21:43:33-04:00"


def test_only_what_is_asked_for_comes_and_id_and_time_always(server: Server) -> None:
    bean = server.made(title="Head")
    status, shown = server.ask("GET", f"Contacts/{bean['id']}?fields=title")
    assert status == 200
    assert shown.keys() == {"id", "date_modified", "title", "_module", "_acl"}


def test_a_page_is_twenty_rows_and_the_last_one_says_minus_one(server: Server) -> None:
    server.serve(page_cap=30)
    server.box.seed([{"last_name": f"N{n}"} for n in range(50)])
    _, page = server.post("Contacts/filter", {"filter": []})
    assert (len(page["records"]), page["next_offset"]) == (20, 20)
    _, page = server.post("Contacts/filter", {"filter": [], "max_num": 100})
    assert (len(page["records"]), page["next_offset"]) == (30, 30), "cut without a word"
    _, page = server.post("Contacts/filter", {"filter": [], "max_num": 100, "offset": 30})
    assert (len(page["records"]), page["next_offset"]) == (20, -1)
    assert server.post("Contacts/filter/count", {"filter": []})[1] == {"record_count": 50}


def test_deleted_rows_shrink(server: Server) -> None:
    bean = server.made()
    server.box.advance(5)
    assert server.ask("DELETE", f"Contacts/{bean['id']}") == (200, {"id": bean["id"]})
    assert server.post("Contacts/filter", {"filter": []})[1]["records"] == []
    [row] = server.post("Contacts/filter", {"filter": [], "deleted": True})[1]["records"]
    assert row.keys() == {"id", "date_modified", "deleted", "_acl"}
    assert row["date_modified"] == "2026-11-21T21:43:38-04:00"
    assert server.ask("GET", f"Contacts/{bean['id']}")[1]["error"] == "not_found"
    assert server.ask("DELETE", f"Contacts/{bean['id']}")[0] == 404


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ([{"last_name": "b"}], {"B"}),
        ([{"last_name": {"$not_equals": "B"}}], {"A", "C"}),
        ([{"last_name": {"$in": ["a", "c"]}}], {"A", "C"}),
        ([{"last_name": {"$not_in": ["a", "c"]}}], {"B"}),
        ([{"last_name": {"$starts": "c"}}, {"title": {"$contains": "o"}}], {"C"}),
        ([{"$or": [{"last_name": "A"}, {"title": "two", "last_name": "B"}]}], {"A", "B"}),
        ([{"$and": [{"last_name": {"$gt": "A"}}, {"last_name": {"$lt": "C"}}]}], {"B"}),
        ([{"date_modified": {"$gte": "2026-11-21T21:43:34-04:00"}}], {"B", "C"}),
        ([{"date_modified": {"$gt": "2026-11-22T01:43:34Z"}}], {"C"}),
        ([{"date_modified": {"$lte": "2026-11-22T01:43:33Z"}}], {"A"}),
        ([{"email_addresses.email_address": {"$in": ["a@x.test"]}}], {"A"}),
        ([{"email_addresses.opt_out": True}], {"B"}),
        ([{"accounts.name": "Acme"}], {"C"}),
        ([{"prospect_lists.id": {"$not_equals": ""}}], {"A"}),
    ],
)
def test_filters(server: Server, where: Any, found: set[str]) -> None:
    server.box.seed([{"last_name": "A", "title": "one", "email": [{"email_address": "A@x.test"}], "lists": ["L"]}])
    server.box.advance(1)
    server.box.seed([{"last_name": "B", "title": "two", "email": [{"email_address": "b@x.test", "opt_out": True}]}])
    server.box.advance(1)
    server.box.seed([{"last_name": "C", "title": "two", "account_name": "Acme"}])
    status, page = server.post("Contacts/filter", {"filter": where, "fields": "last_name"})
    assert status == 200
    assert {row["last_name"] for row in page["records"]} == found


@pytest.mark.parametrize(
    "where",
    [[{"no_field": 1}], [{"last_name": {"$like": "x"}}], [{"date_modified": {"$gt": "soon"}}], ["x"], [{"a.b": 1}]],
)
def test_a_filter_that_is_wrong(server: Server, where: Any) -> None:
    server.made()
    status, error = server.post("Contacts/filter", {"filter": where})
    assert (status, error["error"]) == (422, "invalid_parameter")


def test_an_address_is_one_for_all(server: Server) -> None:
    email = [{"email_address": "Info@x.test", "primary_address": True, "opt_out": False}]
    one, other = server.made(email=email), server.made(email=email)
    before = server.box.data.get("Contacts", other["id"]).modified
    server.box.advance(5)
    flagged = [{**email[0], "email_address": "INFO@X.TEST", "opt_out": True}]
    server.ask("PUT", f"Contacts/{one['id']}", {"email": flagged})
    shown = server.ask("GET", f"Contacts/{other['id']}")[1]
    assert shown["email"][0]["opt_out"] is True
    assert shown["email"][0]["email_address"] == "Info@x.test"
    assert server.box.data.get("Contacts", other["id"]).modified == before


def test_the_array_of_addresses_replaces_the_list_and_one_is_primary(server: Server) -> None:
    email = [{"email_address": a, "primary_address": True} for a in ("a@x.test", "b@x.test")]
    bean = server.made(email=email)
    assert [item["primary_address"] for item in bean["email"]] == [True, False]
    status, after = server.ask("PUT", f"Contacts/{bean['id']}", {"email": [{"email_address": "c@x.test"}]})
    assert status == 200
    assert [(i["email_address"], i["primary_address"]) for i in after["email"]] == [("c@x.test", True)]


@pytest.mark.parametrize("resets", [True, False])
def test_an_address_written_without_flags(server: Server, resets: bool) -> None:
    server.serve(resets=resets)
    bean = server.made(email=[{"email_address": "a@x.test", "opt_out": True}])
    after = server.ask("PUT", f"Contacts/{bean['id']}", {"email": [{"email_address": "a@x.test"}]})[1]
    assert after["email"][0]["opt_out"] is not resets


@pytest.mark.parametrize(
    "values",
    [{"last_name": " "}, {"email": [{"email_address": "nonsense"}]}, {"birthdate": "29.2.1980"}],
)
def test_what_is_refused_leaves_nothing_behind(server: Server, values: Any) -> None:
    assert server.post("Contacts", {"last_name": "Lee", **values})[0] == 422
    assert server.box.rows() == []


def test_an_account_is_linked_by_id_or_by_an_edit_of_the_link(server: Server) -> None:
    acme = server.made("Accounts")["id"]
    bean = server.made(accounts={"add": [acme]})
    assert (bean["account_id"], bean["account_name"]) == (acme, "Acme")
    after = server.ask("PUT", f"Contacts/{bean['id']}", {"accounts": {"delete": [acme]}})[1]
    assert (after["account_id"], after["account_name"]) == ("", "")
    assert server.ask("PUT", f"Contacts/{bean['id']}", {"account_id": acme})[1]["account_name"] == "Acme"
    server.box.remove(acme, "Accounts")
    assert server.ask("GET", f"Contacts/{bean['id']}")[1]["account_name"] == ""


def test_fields_that_may_not_be_written(server: Server) -> None:
    server.serve(denied=["title"])
    bean = server.made()
    assert bean["_acl"]["fields"]["title"]["write"] == "no"
    assert server.ask("PUT", f"Contacts/{bean['id']}", {"title": "Head"})[0] == 403


# --- A5, A6 ----------------------------------------------------------------------------------------------------------


def test_a_conflict_brings_the_record(server: Server) -> None:
    bean = server.made()
    server.box.advance(1)
    server.box.edit(bean["id"], title="Theirs")
    status, error = server.ask("PUT", f"Contacts/{bean['id']}", {"title": "x"}, x_timestamp=bean["date_modified"])
    assert (status, error["error"], error["record"]["title"]) == (409, "edit_conflict", "Theirs")
    stamp = error["record"]["date_modified"]
    assert server.ask("PUT", f"Contacts/{bean['id']}", {"title": "x"}, x_timestamp=stamp)[0] == 200
    assert server.ask("PUT", f"Contacts/{bean['id']}", {"title": "y"})[0] == 200, "without it the last write wins"


@pytest.mark.parametrize("as_text", [True, False])
def test_a_bulk_goes_on_after_a_failure(server: Server, as_text: bool) -> None:
    bean = server.made()
    title: Any = {"title": "Head"}
    requests = [
        {"url": f"/v11/Contacts/{bean['id']}", "method": "PUT", "data": json.dumps(title) if as_text else title},
        {"url": "/v11/Contacts/none", "method": "GET"},
        {
            "url": f"/v11/Contacts/{bean['id']}",
            "method": "PUT",
            "headers": ["X-TIMESTAMP: 2020-01-01T00:00:00Z"],
            "data": "{}",
        },
        {"url": f"/v11/Contacts/{bean['id']}?fields=title", "method": "GET"},
    ]
    status, items = server.post("bulk", {"requests": requests})
    assert status == 200
    assert [item["status"] for item in items] == [200, 404, 409, 200]
    assert [item["headers"] for item in items] == [[]] * 4
    assert items[3]["contents"]["title"] == "Head"


def test_the_upsert_by_key(server: Server) -> None:
    path = "integrate/Contacts/sync_key/ext-17"
    assert server.ask("GET", path)[0] == 404
    status, first = server.ask("PATCH", path, {"last_name": "Lee"})
    assert (status, list(first)) == (201, ["record"])
    status, again = server.ask("PATCH", path, {"title": "Head"})
    assert (status, again) == (200, first)
    assert server.ask("GET", path)[1]["title"] == "Head"
    server.serve(admin=False)
    assert server.ask("PATCH", path, {"last_name": "Lee"})[1]["error"] == "not_authorized"
    server.serve(newest="v11")
    assert server.ask("PATCH", path, {"last_name": "Lee"})[1]["error"] == "no_method"


def test_target_lists_move_nobodys_time(server: Server) -> None:
    record = server.box.seed([{"last_name": "Lee"}])[0]
    before = server.ask("GET", f"Contacts/{record}")[1]["date_modified"]
    server.box.advance(5)
    server.box.join("Contacts", record, "Friends")
    assert server.ask("GET", f"Contacts/{record}")[1]["date_modified"] == before
    [entry] = server.ask("GET", f"Contacts/{record}/link/prospect_lists?fields=id,name")[1]["records"]
    assert entry["name"] == "Friends"
    server.box.leave("Contacts", record, "Friends")
    assert server.ask("GET", f"Contacts/{record}/link/prospect_lists")[1]["records"] == []


def test_a_logic_hooks_delivery(server: Server) -> None:
    """Unsigned, and sent when cron runs: a hint (A6)."""
    record = server.box.seed([{"last_name": "Lee", "title": "Head"}])[0]
    body = json.loads(server.box.hook(record, {"title": ("", "Head")}))
    assert body.keys() == {"isUpdate", "dataChanges", "bean", "data"}
    assert body["bean"] == "Contacts"
    assert body["data"]["id"] == record
    assert body["dataChanges"]["title"]["after"] == "Head"


def test_faults_aim_at_the_calls_inside_of_a_bulk(server: Server) -> None:
    server.box.faults.add("throttle", "PUT Contacts/1$", retry_after=3)
    assert server.post("bulk", {"requests": [{"url": "/v11/me", "method": "GET"}]})[0] == 200
    requests = [{"url": "/v11/Contacts/1", "method": "PUT", "data": "{}"}]
    sent = {"oauth-token": server.token}
    answer = server.http.post("/rest/v11/bulk", json={"requests": requests}, headers=sent)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert server.box.faults.log[-1] == "POST /rest/v11/bulk?PUT Contacts/1"


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}"])
def test_a_bulk_that_is_none(server: Server, body: bytes) -> None:
    sent = {"oauth-token": server.token}
    assert server.http.post("/rest/v11/bulk", content=body, headers=sent).status_code == 422
