"""The Mailchimp sandbox behaves as the mailchimp note says Mailchimp does (its section 9 lists what must be there)."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from mailchimpspec import Watched

from connectors.mailchimp.audience import hash_of
from connectors.mailchimp.sandbox import API_KEY, MailchimpSandbox, create
from connectors.sandbox import running

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
ANN = "ann@example.org"


class Api:
    """The account as one program sees it, without HTTP between."""

    def __init__(self, **options: Any) -> None:
        self.box = create(now=lambda: START, **options)
        self.list = f"/lists/{self.box.audience.id}"

    def ask(self, method: str, path: str = "", body: Any = None, **query: Any) -> tuple[int, Any]:
        """Below the audience, unless the path begins elsewhere."""
        at = path if path.startswith(("/lists", "/batches", "/ping")) else self.list + path
        return self.box.call(method, at, {name: str(value) for name, value in query.items()}, body)

    def good(self, method: str, path: str = "", body: Any = None, **query: Any) -> Any:
        status, answer = self.ask(method, path, body, **query)
        assert status in (200, 204), answer
        return answer

    def title(self, method: str, path: str = "", body: Any = None, **query: Any) -> str:
        """The title of the problem that this is answered with."""
        status, answer = self.ask(method, path, body, **query)
        assert status >= 400, answer
        assert answer["status"] == status
        return str(answer["title"])

    def add(self, address: str = ANN, status: str = "transactional", **more: Any) -> Any:
        body = {"email_address": address, "status": status, **more}
        return self.good("POST", "/members", body, skip_merge_validation="true")

    def emails(self, **query: Any) -> list[str]:
        answer = self.good("GET", "/members", **{"count": 1000, **query})
        return [member["email_address"] for member in answer["members"]]


@pytest.fixture
def api() -> Api:
    return Api()


# --- addressing (2) ---------------------------------------------------------------------------------------------------


def test_a_member_goes_by_hash_address_or_contact_id(api: Api) -> None:
    made = api.add("Ann@Example.ORG ")
    assert made["email_address"] == "Ann@example.org"
    assert made["id"] == hashlib.md5(b"ann@example.org").hexdigest()
    for name in (made["id"], "ann@example.org", made["contact_id"]):
        assert api.good("GET", f"/members/{name}")["contact_id"] == made["contact_id"]
    assert api.title("GET", "/members/nobody@example.org") == "Resource Not Found"


def test_upsert_and_create(api: Api) -> None:
    path = f"/members/{hash_of(ANN)}"
    assert api.title("PUT", path, {"email_address": ANN}) == "Invalid Resource"
    made = api.good("PUT", path, {"email_address": ANN, "status_if_new": "transactional"}, skip_merge_validation="true")
    again = api.good("PUT", path, {"email_address": ANN, "status_if_new": "pending", "merge_fields": {"FNAME": "Ann"}})
    assert (again["contact_id"], again["status"]) == (made["contact_id"], "transactional")
    status, answer = api.ask(
        "POST", "/members", {"email_address": ANN, "status": "subscribed"}, skip_merge_validation="true"
    )
    assert (status, answer["title"]) == (400, "Member Exists")
    assert answer["detail"] == f"{ANN} is already a list member. Use PUT to insert or update list members."


def test_status_of_an_upsert_is_for_existing_members_too(api: Api) -> None:
    api.add(status="unsubscribed")
    body = {"email_address": ANN, "status_if_new": "subscribed", "status": "subscribed"}
    assert api.good("PUT", f"/members/{ANN}", body, skip_merge_validation="true")["status"] == "subscribed"


def test_merge_fields_and_interests_are_merged_by_key(api: Api) -> None:
    one, other = (entry["id"] for entry in api.box.audience.interests[:2])
    api.add(merge_fields={"FNAME": "Ann", "LNAME": "Bell"}, interests={one: True})
    after = api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"LNAME": "Ball"}, "interests": {other: True}})
    assert (after["merge_fields"]["FNAME"], after["merge_fields"]["LNAME"]) == ("Ann", "Ball")
    assert after["interests"][one] and after["interests"][other]
    assert after["merge_fields"]["PHONE"] == "", "unset is never null"


def test_what_is_no_member(api: Api) -> None:
    for address in ("", "ann", "a b@example.org", "ann@nowhere.invalid"):
        status, answer = api.ask("POST", "/members", {"email_address": address, "status": "transactional"})
        assert status == 400
        assert "looks fake or invalid" in answer["detail"]
    assert api.title("POST", "/members", {"email_address": ANN, "status": "archived"}) == "Invalid Resource"
    api.add()
    assert api.title("PATCH", f"/members/{ANN}", {"status": "transactional"}) == "Invalid Resource"
    api.box.audience.busy.add("busy@example.org")
    status, answer = api.ask("POST", "/members", {"email_address": "busy@example.org", "status": "subscribed"})
    assert "signed up to a lot of lists" in answer["detail"]


# --- the status machine (2) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["unsubscribe", "bounce"])
def test_only_the_person_comes_back_from_compliance(api: Api, how: str) -> None:
    api.add(status="subscribed")
    getattr(api.box.audience, how)(ANN)
    for method, path, body in (
        ("PATCH", f"/members/{ANN}", {"status": "subscribed"}),
        ("PUT", f"/members/{ANN}", {"email_address": ANN, "status_if_new": "subscribed", "status": "subscribed"}),
    ):
        assert api.title(method, path, body, skip_merge_validation="true") == "Member In Compliance State"
    assert api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"FNAME": "Ann"}})["merge_fields"]["FNAME"] == "Ann"
    assert api.good("PATCH", f"/members/{ANN}", {"status": "pending"})["status"] == "pending"
    assert api.box.audience.mails == [ANN]
    assert api.box.audience.sign_up(ANN, "192.0.2.7").status == "subscribed"


def test_whom_the_api_unsubscribed_it_may_flip_back(api: Api) -> None:
    api.add(status="subscribed")
    api.good("PATCH", f"/members/{ANN}", {"status": "unsubscribed"}, skip_merge_validation="true")
    assert (
        api.good("PATCH", f"/members/{ANN}", {"status": "subscribed"}, skip_merge_validation="true")["status"]
        == "subscribed"
    )


def test_deleted_for_good(api: Api) -> None:
    api.add()
    assert api.ask("POST", f"/members/{ANN}/actions/delete-permanent") == (204, None)
    assert api.title("GET", f"/members/{ANN}") == "Resource Not Found"
    for status in ("subscribed", "pending"):
        assert (
            api.title("POST", "/members", {"email_address": ANN, "status": status}) == "Forgotten Email Not Subscribed"
        )
    assert api.emails() == api.emails(status="archived") == [], "it is never reported"
    api.box.audience.sign_up(ANN, "192.0.2.7")
    assert api.emails() == [ANN]


def test_the_archive(api: Api) -> None:
    made = api.add(status="subscribed")
    assert api.ask("DELETE", f"/members/{ANN}") == (204, None)
    assert api.emails() == []
    assert api.emails(status="archived") == [ANN]
    assert api.good("GET", f"/members/{ANN}")["status"] == "archived"
    assert api.title("DELETE", f"/members/{ANN}") == "Method Not Allowed"
    edited = api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"FNAME": "Ann"}})
    assert (edited["status"], edited["merge_fields"]["FNAME"]) == ("archived", "Ann")
    assert api.title("POST", "/members", {"email_address": ANN, "status": "subscribed"}) in (
        "Member Exists",
        "Invalid Resource",
    )
    body = {"email_address": ANN, "status_if_new": "transactional", "status": "transactional"}
    back = api.good("PUT", f"/members/{ANN}", body)
    assert (back["status"], back["contact_id"]) == ("transactional", made["contact_id"])


def test_a_new_address(api: Api) -> None:
    old = api.add(merge_fields={"FNAME": "Ann"})
    api.good("POST", f"/members/{ANN}/tags", {"tags": [{"name": "vip", "status": "active"}]})
    new = api.good("PATCH", f"/members/{old['id']}", {"email_address": "bell@example.org"})
    assert new["id"] == hash_of("bell@example.org") != old["id"]
    assert (new["contact_id"], new["tags"][0]["name"]) == (old["contact_id"], "vip")
    assert api.title("GET", f"/members/{old['id']}") == "Resource Not Found"


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed", "archived"])
def test_a_new_address_that_is_taken(api: Api, status: str) -> None:
    api.add(merge_fields={"FNAME": "Ann"})
    api.add("bell@example.org", "subscribed" if status == "archived" else status)
    if status == "archived":
        api.good("DELETE", "/members/bell@example.org")
    _, answer = api.ask("PATCH", f"/members/{ANN}", {"email_address": "bell@example.org"})
    assert answer["detail"] == f'"bell@example.org" is already in this list with a status of "{status}".'


def test_older_accounts_change_addresses_of_subscribed_members_only() -> None:
    api = Api(only_subscribed=True)
    api.add(merge_fields={"FNAME": "Ann"})
    assert api.title("PATCH", f"/members/{ANN}", {"email_address": "bell@example.org"}) == "Invalid Resource"


# --- values (3) -------------------------------------------------------------------------------------------------------

FULL = {"addr1": "Weg 1", "city": "Bonn", "state": "NRW", "zip": "53111", "country": "DE"}


@pytest.mark.parametrize("missing", ["addr1", "city", "state", "zip"])
def test_an_address_is_complete_or_refused(api: Api, missing: str) -> None:
    assert api.add("full@example.org", merge_fields={"ADDRESS": FULL})["merge_fields"]["ADDRESS"]["country"] == "DE"
    body = {"email_address": ANN, "status": "transactional", "merge_fields": {"ADDRESS": {**FULL, missing: ""}}}
    _, answer = api.ask("POST", "/members", body, skip_merge_validation="true")
    assert answer["detail"] == "Your merge fields were invalid."
    assert answer["errors"] == [{"field": "ADDRESS", "message": "Please enter a complete address"}]


def test_an_incomplete_address_breaks_later_updates(api: Api) -> None:
    api.box.seed([{"email_address": ANN, "merge_fields": {"FNAME": "Ann", "ADDRESS": {**FULL, "state": ""}}}])
    assert api.title("PATCH", f"/members/{ANN}", {"merge_fields": {"LNAME": "Bell"}}) == "Invalid Resource"
    api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"LNAME": "Bell"}}, skip_merge_validation="true")
    api.box.audience.rules.swallows = True
    after = api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"LNAME": "Ball"}}, skip_merge_validation="true")
    assert after["merge_fields"]["LNAME"] == "Bell", "answered, and not applied"


def test_a_country_that_is_no_code_becomes_the_default(api: Api) -> None:
    made = api.add(merge_fields={"ADDRESS": {**FULL, "country": "Germany"}})
    assert made["merge_fields"]["ADDRESS"]["country"] == "US"


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        ({"type": "birthday"}, "02/29", "29.2."),
        ({"type": "date"}, "1979-02-28", "28 Feb"),
        ({"type": "url"}, "https://example.org/", "example"),
        ({"type": "phone", "options": {"phone_format": "US"}}, "404-655-0123", "+49 171 5550001"),
        ({"type": "zip"}, "30301", "D-53111"),
        ({"type": "number"}, 42, "many"),
        ({"type": "radio", "options": {"choices": ["yes", "no"]}}, "yes", "maybe"),
    ],
)
def test_values_are_of_their_type(entry: dict[str, Any], good: Any, bad: Any) -> None:
    api = Api(merge_fields=[{"tag": "X", "name": "X", **entry}])
    assert api.add(merge_fields={"X": good})["merge_fields"]["X"] == good
    assert api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"X": ""}})["merge_fields"]["X"] == ""
    _, answer = api.ask("PATCH", f"/members/{ANN}", {"merge_fields": {"X": bad}})
    assert answer["errors"][0]["field"] == "X"
    assert api.title("PATCH", f"/members/{ANN}", {"merge_fields": {"X": None}}) == "Invalid Resource"


def test_texts_are_cut_and_stripped(api: Api) -> None:
    kept = api.add(merge_fields={"FNAME": " <b>Ann</b> ", "LNAME": "ä" * 200})["merge_fields"]
    assert (kept["FNAME"], kept["LNAME"]) == ("Ann", "ä" * 127)


def test_what_forms_require_may_be_left_out_on_request(api: Api) -> None:
    _, answer = api.ask("POST", "/members", {"email_address": ANN, "status": "transactional"})
    assert answer["errors"] == [{"field": "FNAME", "message": "This value should not be blank."}]
    api.good("POST", "/members", {"email_address": ANN, "status": "transactional"}, skip_merge_validation="true")


def test_tags(api: Api) -> None:
    api.add()
    marks = [{"name": f"tag {number:02}", "status": "active"} for number in range(60)]
    assert api.ask("POST", f"/members/{ANN}/tags", {"tags": marks, "is_syncing": True}) == (204, None)
    member = api.good("GET", f"/members/{ANN}")
    assert (len(member["tags"]), member["tags_count"]) == (50, 60)
    assert len(api.good("GET", f"/members/{ANN}/tags")["tags"]) == 10, "ten a page unless asked for more"
    assert len(api.good("GET", f"/members/{ANN}/tags", count=1000)["tags"]) == 60
    api.good("POST", f"/members/{ANN}/tags", {"tags": [{"name": "TAG 00", "status": "inactive"}]})
    assert api.good("GET", f"/members/{ANN}")["tags_count"] == 59


# --- listings (1, 5) --------------------------------------------------------------------------------------------------


def test_pages(api: Api) -> None:
    api.box.seed({"email_address": f"a{number}@example.org"} for number in range(30))
    assert len(api.good("GET", "/members")["members"]) == 10
    page = api.good("GET", "/members", count=7, offset=28, fields="members.email_address,total_items")
    assert page == {
        "members": [{"email_address": "a28@example.org"}, {"email_address": "a29@example.org"}],
        "total_items": 30,
    }
    assert "_links" in api.good("GET", "/members")
    assert "_links" not in api.good("GET", "/members", exclude_fields="_links,members._links")["members"][0]
    assert api.title("GET", "/members", count=1001) == "Invalid Resource"


@pytest.mark.parametrize(("inclusive", "late"), [(True, True), (False, False)])
def test_since(inclusive: bool, late: bool) -> None:
    api = Api(inclusive=inclusive)
    api.add("old@example.org")
    api.box.advance(10)
    changed = api.add("new@example.org")["last_changed"]
    assert ("new@example.org" in api.emails(since_last_changed=changed)) is late
    assert "old@example.org" not in api.emails(since_last_changed=changed)
    assert api.emails(before_last_changed=changed) == ["old@example.org"]
    with_fraction = changed.replace("+", ".5+")
    assert len(api.emails(since_last_changed=with_fraction)) == 2, "a fraction makes everybody come"
    assert api.emails(sort_field="last_changed", sort_dir="DESC")[0] == "new@example.org"


@pytest.mark.parametrize("moves", [True, False])
def test_a_tag_does_not_always_move_the_time(moves: bool) -> None:
    api = Api(tags_move=moves)
    before = api.add()["last_changed"]
    api.box.advance(10)
    api.good("POST", f"/members/{ANN}/tags", {"tags": [{"name": "vip", "status": "active"}]})
    assert (api.good("GET", f"/members/{ANN}")["last_changed"] != before) is moves


def test_the_index_lags() -> None:
    api = Api(lag=60)
    api.add()
    assert api.emails() == []
    assert api.good("GET", f"/members/{ANN}")["email_address"] == ANN, "a member itself does not"
    api.box.advance(60)
    assert api.emails() == [ANN]
    api.good("DELETE", f"/members/{ANN}")
    assert (api.emails(), api.emails(status="archived")) == ([ANN], [])
    api.box.advance(60)
    assert (api.emails(), api.emails(status="archived")) == ([], [ANN])


# --- bulk (4) ---------------------------------------------------------------------------------------------------------


def test_bulk_rows_fail_one_by_one(api: Api) -> None:
    api.add("there@example.org")
    rows = [
        {"email_address": ANN, "status": "transactional", "tags": ["vip"]},
        {"email_address": "there@example.org", "status": "subscribed"},
        {"email_address": "bad@example.org", "status": "subscribed", "merge_fields": {"ADDRESS": {"city": "Bonn"}}},
        {"email_address": ANN, "status": "subscribed"},
    ]
    answer = api.good("POST", "", {"members": rows, "update_existing": False}, skip_merge_validation="true")
    assert [member["email_address"] for member in answer["new_members"]] == [ANN]
    assert answer["new_members"][0]["tags"][0]["name"] == "vip"
    assert [(e["email_address"], e["error_code"], e["field"]) for e in answer["errors"]] == [
        ("there@example.org", "ERROR_CONTACT_EXISTS", ""),
        ("bad@example.org", "ERROR_GENERIC", "ADDRESS"),
        (ANN, "ERROR_CONTACT_EXISTS", ""),
    ]
    assert api.good("GET", "/members/there@example.org")["status"] == "transactional"


def test_bulk_updates_change_the_status_of_who_is_there(api: Api) -> None:
    """How a stale list re-subscribes people."""
    api.add(status="unsubscribed", merge_fields={"FNAME": "Ann"})
    api.add("out@example.org", "subscribed")
    api.box.audience.unsubscribe("out@example.org")
    rows = [{"email_address": address, "status": "subscribed"} for address in (ANN, "out@example.org")]
    answer = api.good("POST", "", {"members": rows, "update_existing": True}, skip_merge_validation="true")
    assert api.good("GET", f"/members/{ANN}")["status"] == "subscribed"
    assert answer["errors"][0]["error"].startswith("out@example.org is in a compliance state")


def test_no_more_than_500_rows(api: Api) -> None:
    rows = [{"email_address": f"a{n}@example.org", "status": "transactional"} for n in range(501)]
    assert api.title("POST", "", {"members": rows}) == "Invalid Resource"
    assert api.good("POST", "", {"members": rows[1:]}, skip_merge_validation="true")["total_created"] == 500


def test_batches() -> None:
    api = Api(batch_delay=60.0)
    api.add(merge_fields={"FNAME": "Ann"})
    operations = [
        {"method": "PATCH", "path": f"{api.list}/members/{ANN}", "operation_id": "one", "body": '{"language": "de"}'},
        {"method": "GET", "path": f"{api.list}/members/nobody@example.org", "operation_id": "two"},
        {"method": "GET", "path": f"{api.list}/members", "operation_id": "three", "params": {"count": "1"}},
    ]
    name = api.good("POST", "/batches", {"operations": operations})["id"]
    seen = []
    for _ in range(5):
        seen.append(api.good("GET", f"/batches/{name}")["status"])
        api.box.advance(15)
    assert seen == ["pending", "preprocessing", "started", "finalizing", "finished"]
    done = api.good("GET", f"/batches/{name}")
    assert (done["total_operations"], done["finished_operations"], done["errored_operations"]) == (3, 3, 1)
    ticket = done["response_body_url"].rpartition("/")[2].removesuffix(".tar.gz")
    data = api.box.file(ticket)
    assert data
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
        [entry] = archive.getmembers()
        file = archive.extractfile(entry)
        assert file
        rows = json.load(file)
    assert [(row["operation_id"], row["status_code"]) for row in rows] == [("three", 200), ("two", 404), ("one", 200)]
    assert json.loads(rows[2]["response"])["language"] == "de"
    api.box.advance(601)
    assert api.box.file(ticket) is None, "its address is good for ten minutes"


# --- webhooks (6) -----------------------------------------------------------------------------------------------------


def hooked(at: Api, **sources: bool) -> str:
    events = dict.fromkeys(("subscribe", "unsubscribe", "profile", "cleaned", "upemail"), True)
    body = {"url": "https://concord.example/hooks/mailchimp/s3cret", "events": events, "sources": sources}
    return str(at.good("POST", "/webhooks", body)["signing_secret"])


def forms(api: Api) -> list[dict[str, str]]:
    return [{k: v[0] for k, v in parse_qs(d.body.decode()).items()} for d in api.box.deliveries()]


def test_a_webhook_is_a_form_and_may_be_signed(api: Api) -> None:
    secret = hooked(api, user=True)
    api.add(status="subscribed", merge_fields={"FNAME": "Zoë"})
    api.box.audience.unsubscribe(ANN)
    [delivery] = api.box.deliveries()
    assert delivery.path == "/hooks/mailchimp/s3cret"
    assert delivery.headers["content-type"] == "application/x-www-form-urlencoded"
    form = {name: values[0] for name, values in parse_qs(delivery.body.decode()).items()}
    assert (form["type"], form["fired_at"], form["data[action]"]) == ("unsubscribe", "2026-11-22 01:43:33", "unsub")
    assert (form["data[email]"], form["data[merges][FNAME]"]) == (ANN, "Zoë")
    moment, signature = (part.partition("=")[2] for part in delivery.headers["x-mailchimp-signature"].split(","))
    assert moment == str(int(START.timestamp()))
    expected = hmac.new(secret.encode(), f"{moment}.".encode() + delivery.body, hashlib.sha256).hexdigest()
    assert signature == expected
    assert "signing_secret" not in api.good("GET", "/webhooks")["webhooks"][0], "it is told once"


def test_an_unsigned_webhook(api: Api) -> None:
    delivery = api.box.delivery("cleaned", {"email": ANN, "reason": "hard"}, "https://concord.example/h", START)
    assert not [name for name in delivery.headers if "signature" in name]
    assert b"data%5Breason%5D=hard" in delivery.body


def test_webhooks_hear_the_sources_they_asked_for(api: Api) -> None:
    hooked(api, user=True, admin=True, api=False)
    api.add(status="subscribed", merge_fields={"FNAME": "Ann"})
    api.good("PATCH", f"/members/{ANN}", {"merge_fields": {"LNAME": "Bell"}})
    assert forms(api) == [], "our own writes make no echo"
    api.box.edit(ANN, email_address="bell@example.org")
    api.box.audience.bounce("bell@example.org")
    told = forms(api)
    assert [form["type"] for form in told] == ["upemail", "profile", "cleaned"]
    assert (told[0]["data[old_email]"], told[0]["data[new_email]"]) == (ANN, "bell@example.org")
    [hook] = api.box.webhooks
    api.good("DELETE", f"/webhooks/{hook}")
    api.box.audience.sign_up("bell@example.org", "192.0.2.7")
    assert forms(api) == []


# --- the door (1) -----------------------------------------------------------------------------------------------------


@pytest.fixture
def served() -> Iterator[tuple[MailchimpSandbox, httpx.Client]]:
    box = create(now=lambda: START)
    watched = Watched(box.app)
    with running(watched) as url, httpx.Client(base_url=url, auth=("anybody", API_KEY)) as http:
        yield box, http
    assert not watched.violations, watched.violations


def test_who_may_come_in(served: tuple[MailchimpSandbox, httpx.Client]) -> None:
    box, http = served
    assert http.get("/3.0/ping").json() == {"health_status": "Everything's Chimpy!"}
    answer = http.get("/3.0/ping", auth=("anybody", "wrong-us19"))
    assert (answer.status_code, answer.json()["title"]) == (401, "API Key Invalid")
    assert answer.headers["content-type"].startswith("application/problem+json")
    token = box.oauth.grant()
    assert http.get("/3.0/ping", headers={"authorization": f"Bearer {token}"}, auth=None).status_code == 200
    assert http.get("/3.0/lists/nowhere", params={"fields": "id"}).status_code == 404


def test_ten_connections(served: tuple[MailchimpSandbox, httpx.Client]) -> None:
    box, http = served
    box.manner.delay = 0.3
    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(lambda _: http.get("/3.0/ping"), range(14)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert box.busiest > 10
    assert 0 < len(refused) < 14
    assert not [name for name in refused[0].headers if name.lower().startswith(("retry", "x-rate"))]


def test_a_throttle_without_a_body(served: tuple[MailchimpSandbox, httpx.Client]) -> None:
    box, http = served
    box.bodyless_403 = 1
    answer = http.get("/3.0/ping")
    assert (answer.status_code, answer.content) == (403, b"")
    assert http.get("/3.0/ping").status_code == 200


def test_a_result_file_wants_no_credentials(served: tuple[MailchimpSandbox, httpx.Client]) -> None:
    box, http = served
    made = http.post("/3.0/batches", json={"operations": [{"method": "GET", "path": "/ping"}]}).json()
    box.advance(60)
    url = http.get(f"/3.0/batches/{made['id']}").json()["response_body_url"]
    assert http.get(url).status_code == 403
    assert httpx.get(url).status_code == 200


def test_oauth(served: tuple[MailchimpSandbox, httpx.Client]) -> None:
    box, http = served
    ask = {
        "response_type": "code",
        "client_id": box.oauth.client_id,
        "redirect_uri": "http://127.0.0.1:1/",
        "state": "s",
    }
    landing = http.get("/oauth2/authorize", params=ask).headers["location"]
    query = parse_qs(urlsplit(landing).query)
    assert query["state"] == ["s"]
    form = {
        "grant_type": "authorization_code",
        "client_id": box.oauth.client_id,
        "client_secret": box.oauth.client_secret,
        "redirect_uri": "http://127.0.0.1:1/",
        "code": query["code"][0],
    }
    assert http.post("/oauth2/token", data={**form, "client_secret": "wrong"}).json()["error"] == "invalid_client"
    answer = http.post("/oauth2/token", data=form).json()
    assert (answer["expires_in"], answer["scope"]) == (0, None)
    known = http.get("/oauth2/metadata", headers={"authorization": f"OAuth {answer['access_token']}"}, auth=None).json()
    assert (known["dc"], known["api_endpoint"]) == ("us19", str(http.base_url).rstrip("/"))
    assert http.post("/oauth2/token", data=form).json()["error"] == "invalid_grant", "a code works once"
    assert http.get("/oauth2/metadata", headers={"authorization": "OAuth wrong"}, auth=None).status_code == 401
