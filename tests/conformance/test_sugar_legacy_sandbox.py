"""v4_1's sandbox answers as a live SuiteCRM 7.14 did, and is as wrong as it was.

`suitecrm_transcripts.json` holds what was asked of the live server, and what it answered, in order; long lists are cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from connectors.sugarcrm.legacy.sandbox import PASSWORD, USERNAME, SuiteSandbox, _md5
from connectors.sugarcrm.legacy.store import Denied, checked

START = datetime(2026, 11, 22, 1, 55, 45, tzinfo=UTC)
PAIRS = json.loads((Path(__file__).parent / "suitecrm_transcripts.json").read_text(encoding="utf-8"))["v4_1"]
SOURCES = sorted({pair["source"] for pair in PAIRS})
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class Caller:
    """Speaks to a sandbox as any client would."""

    def __init__(self, box: SuiteSandbox) -> None:
        self.box = box
        self.http = TestClient(box.app, raise_server_exceptions=False)
        self.session = self.call("login", [{"user_name": USERNAME, "password": _md5(PASSWORD)}, "test", []])["id"]

    def raw(self, method: str, data: Any) -> tuple[int, Any]:
        text = data if isinstance(data, str) else json.dumps(data)
        form = {"method": method, "input_type": "JSON", "response_type": "JSON", "rest_data": text}
        answer = self.http.post("/service/v4_1/rest.php", data=form)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text

    def call(self, method: str, data: Any) -> Any:
        return self.raw(method, data)[1]

    def ask(self, method: str, *params: Any) -> Any:
        return self.call(method, [self.session, *params])

    def listing(self, query: str = "", order: str = "id ASC", size: int = 20, deleted: int = 0, offset: int = 0) -> Any:
        fields = ["id", "last_name", "date_modified", "deleted"]
        return self.ask("get_entry_list", "Contacts", query, order, offset, fields, [], size, deleted, False)

    def save(self, module: str = "Contacts", **values: Any) -> Any:
        return self.ask("set_entry", module, [{"name": name, "value": value} for name, value in values.items()])

    def get(self, record: str, *fields: str) -> dict[str, Any]:
        found = self.ask("get_entry", "Contacts", record, list(fields), [])["entry_list"][0]["name_value_list"]
        return {name: item["value"] for name, item in found.items()} if isinstance(found, dict) else {}


@pytest.fixture
def box() -> SuiteSandbox:
    return SuiteSandbox(clock=lambda: START)


@pytest.fixture
def caller(box: SuiteSandbox) -> Caller:
    return Caller(box)


# --- replay ------------------------------------------------------------------------------------------------------


def replaced(value: Any, names: dict[str, str]) -> Any:
    """The request with our ids and session in place of theirs."""
    if isinstance(value, dict):
        return {key: replaced(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, names) for inner in value]
    if isinstance(value, str):
        for theirs, ours in names.items():
            value = value.replace(theirs, ours)
    return value


def alike(theirs: Any, ours: Any, at: str, echo: bool, whole: bool) -> Iterator[str]:
    """Where an answer is not like theirs: types and names; of an echo the values, too. whole: all fields were asked
    for, of which a sandbox has only some."""
    if type(theirs) is not type(ours):
        yield f"{at}: {theirs!r} and {ours!r}"
    elif isinstance(theirs, dict):
        missing = theirs.keys() ^ ours.keys()
        if missing and not (whole and "name_value_list" in at and not ours.keys() - theirs.keys()):
            yield f"{at}: {sorted(missing)}"
        for key in theirs.keys() & ours.keys():
            yield from alike(theirs[key], ours[key], f"{at}/{key}", echo, whole)
    elif isinstance(theirs, list):
        if bool(theirs) != bool(ours):
            yield f"{at}: {len(theirs)} and {len(ours)} items"
        for n, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from alike(one, other, f"{at}/{n}", echo, whole)
    elif isinstance(theirs, str):
        plain = UUID.sub("ID", DATE.sub("DATE", theirs)), UUID.sub("ID", DATE.sub("DATE", ours))
        fixed = echo or at.endswith(("/name", "/description", "/number", "/module_name"))
        if fixed and "/session" not in at and at != "/id" and plain[0] != plain[1]:
            yield f"{at}: {theirs!r} and {ours!r}"


@pytest.mark.parametrize("source", SOURCES)
def test_it_answers_as_the_live_server(box: SuiteSandbox, caller: Caller, source: str) -> None:
    names = {"SESSION": caller.session}
    pairs = [pair for pair in PAIRS if pair["source"] == source]
    if source in ("v41-03", "v41-04", "v41-00"):
        _furnish(box, pairs)
    for pair in pairs:
        data = replaced(pair["data"], names)
        if pair["method"] == "login":
            auth = data["user_auth"] if isinstance(data, dict) else data[0]
            auth["password"] = {"RIGHT": _md5(PASSWORD)}.get(auth["password"], auth["password"])
        status, body = caller.raw(pair["method"], data)
        what = f"{pair['title']}: {pair['method']} {pair['data']}"[:300]
        assert status == pair["status"], what
        theirs = pair["body"]
        if isinstance(theirs, dict) and isinstance(body, dict) and isinstance(theirs.get("id"), str):
            if UUID.fullmatch(theirs["id"]) and pair["method"] == "set_entry":
                names[theirs["id"]] = body["id"]
            elif pair["method"] == "login":
                theirs = {**theirs, "id": body["id"]}
        if pair["method"] == "get_relationships" and isinstance(theirs, str):
            continue  # cut off in the transcript
        whole = isinstance(data, dict) and data.get("select_fields") == []
        found = list(alike(theirs, body, "", pair["method"] == "set_entry", whole))
        assert found == [], what
        if pair["method"] == "get_entry" and "email_addresses" in str(pair["data"]):
            _learn_addresses(theirs, body, names)


def _furnish(box: SuiteSandbox, pairs: list[Any]) -> None:
    """Contacts under the ids that are asked for, and some more; one of them deleted."""
    asked = {found for pair in pairs for found in UUID.findall(json.dumps(pair["data"]))}
    lists = {"b2a087dc-2d8c-cd26-4b83-6b024d0c580a"}
    for n, record in enumerate(sorted(asked - lists)):
        if not any(record in json.dumps(pair["data"]) and pair["method"] == "set_entry" for pair in pairs):
            mail = f"one{n:05}@example.com"
            given = {"last_name": f"One{n:05}", "first_name": "Ann", "email1": mail, "phone_mobile": "+15550000005"}
            box.store.save("Contacts", given, None, record)
    box.seed([{"last_name": f"More{n}", "phone_mobile": "+15550000005"} for n in range(25)])
    box.seed([{"last_name": "One00005x", "email1": "one00005@example.com"}])
    [gone] = box.seed([{"last_name": "Gone"}])
    box.remove(gone)
    # In the first listing of the transcript all rows have a name and a time.


def _learn_addresses(theirs: Any, ours: Any, names: dict[str, str]) -> None:
    for one, other in zip(*(body["relationship_list"][0][0]["records"] for body in (theirs, ours)), strict=True):
        names[one["id"]["value"]] = other["id"]["value"]


# --- single rules ------------------------------------------------------------------------------------------------


def test_success_is_answered_for_what_was_not_done(box: SuiteSandbox, caller: Caller) -> None:
    """T02, "set_entry with unknown id", "set_entry to a deleted record", "undelete"."""
    ghost = "aaaaaaaa-0000-4000-8000-000000000002"
    assert caller.save(id=ghost, last_name="Ghost")["id"] == ghost
    assert caller.get(ghost, "last_name") == {}
    [gone] = box.seed([{"last_name": "Gone"}])
    box.remove(gone)
    assert caller.save(id=gone, title="zombie", deleted=0)["id"] == gone
    assert caller.get(gone, "title") == {}
    assert box.rows() == []


def test_addresses_of_a_record_that_has_one_are_left_alone(box: SuiteSandbox, caller: Caller) -> None:
    """T02, "change email1"; T02b, A and I."""
    record = caller.save(last_name="EA", email1="ea1@example.com")["id"]
    caller.save(id=record, email1="ea2@example.com", email_opt_out="1")
    assert caller.get(record, "email1", "email_opt_out") == {"email1": "ea1@example.com", "email_opt_out": "0"}
    bare = caller.save(last_name="EB")["id"]
    caller.save(id=bare, email1="eb@example.com")
    assert caller.get(bare, "email1") == {"email1": "eb@example.com"}


def test_an_address_is_shared_with_its_opt_out(box: SuiteSandbox, caller: Caller) -> None:
    """T02, "two contacts share an email"; and a create sets the opt-out back (S:AddUpdateEmailAddress)."""
    one = caller.save(last_name="A", email1="share@example.com")["id"]
    box.flag("share@example.com", opt_out="1")
    assert caller.get(one, "email_opt_out") == {"email_opt_out": "1"}
    caller.save(last_name="B", email1="SHARE@example.com")
    assert caller.get(one, "email1", "email_opt_out") == {"email1": "SHARE@example.com", "email_opt_out": "0"}


def test_community_edition_writes_addresses_anew_with_each_save() -> None:
    """Note, E-mail traps."""
    box = SuiteSandbox(clock=lambda: START, edition="ce65", php8=False)
    [record] = box.seed([{"last_name": "A", "emails": ["a@example.com", "b@example.com", "c@example.com"]}])
    box.flag("b@example.com", opt_out="1")
    box.edit(record, title="x")
    assert box.rows()[0]["emails"] == [("a@example.com", "0"), ("b@example.com", "0")]


def test_only_bare_columns_order(box: SuiteSandbox, caller: Caller) -> None:
    """T03b: an order by a qualified column is silently none; pages then lose rows (live, Paging)."""
    box.seed([{"last_name": f"N{n:02}"} for n in range(40)])
    ids = [entry["id"] for entry in caller.listing(size=100)["entry_list"]]
    assert ids == sorted(ids)
    walked = [entry["id"] for o in range(0, 40, 10) for entry in _page(caller, "contacts.id ASC", o)]
    assert len(walked) == 40
    assert len(set(walked)) < 40, "a walk without an order gives rows twice and loses others"
    assert {entry["id"] for o in range(0, 40, 10) for entry in _page(caller, "date_modified ASC, id ASC", o)} == set(
        ids
    )


def _page(caller: Caller, order: str, offset: int) -> list[Any]:
    return list(caller.listing(order=order, size=10, offset=offset)["entry_list"])


@pytest.mark.parametrize(
    ("query", "status", "number"),
    [
        ("contacts.last_name = 'X'", 200, None),
        ("last_name = 'X'", 500, None),
        ("contacts.email1 = 'x'", 500, None),
        ("contacts.last_name = 'X' limit 3", 200, 40),
        ("1=1) union select 1 --", 200, 40),
        ("contacts.last_name === ((", 200, 40),
        ("contacts.id in (select eabr.bean_id from email_addr_bean_rel eabr where eabr.deleted=0)", 200, None),
        ("contacts.id in (select plp.related_id from prospect_lists_prospects plp)", 200, 40),
    ],
)
def test_what_a_query_may_say(caller: Caller, query: str, status: int, number: int | None) -> None:
    """T03; S:SugarSQLValidate for the tables of a subselect."""
    found, body = caller.raw("get_entry_list", [caller.session, "Contacts", query, "", 0, ["id"], [], 2, 0, False])
    assert found == status
    if status == 500:
        assert body.startswith("Database failure")
    else:
        assert body.get("number") == number


def test_an_apostrophe_is_escaped_by_a_backslash() -> None:
    """Note, HTML entities."""
    assert checked(r"contacts.last_name = 'O\'Brien'", "") == "contacts.last_name = 'O''Brien'"
    with pytest.raises(Denied):
        checked("contacts.id = '1'; drop table contacts", "")


def test_texts_are_stored_raw_and_read_encoded(box: SuiteSandbox, caller: Caller) -> None:
    """T02, "set_entry full": tags go, quotes and brackets come encoded, emoji are lost, blanks go later."""
    record = caller.save(last_name="O'Brien & Søn <x>", description='<b>bold</b> "q" 😀')["id"]
    read = caller.get(record, "last_name", "description")
    assert read == {"last_name": "O&#039;Brien & Søn ", "description": "&lt;b&gt;bold&lt;/b&gt; &quot;q&quot; ????"}
    assert [row["last_name"] for row in box.rows()] == ["O'Brien & Søn "]
    caller.save(id=record, title="x")
    assert [row["last_name"] for row in box.rows()] == ["O'Brien & Søn"]


def test_links_and_addresses_move_no_time(box: SuiteSandbox, caller: Caller) -> None:
    """T02b, J; live, "List membership changes do not bump the contact"."""
    [record] = box.seed([{"last_name": "A", "emails": ["a@example.com"]}])
    before = caller.get(record, "date_modified")
    box.advance(5)
    box.flag("a@example.com", opt_out="1")
    box.edit(record, lists=["Newsletter"])
    assert caller.get(record, "date_modified") == before


def test_deleted_rows_are_shown_on_demand(box: SuiteSandbox, caller: Caller) -> None:
    """T03, "deleted=1"; the time is that of the deletion."""
    [one, two] = box.seed([{"last_name": "A"}, {"last_name": "B"}])
    box.advance(5)
    box.remove(one)
    assert {entry["id"] for entry in caller.listing()["entry_list"]} == {two}
    [gone] = caller.listing("contacts.deleted=1", deleted=1)["entry_list"]
    assert gone["id"] == one
    assert gone["name_value_list"]["date_modified"]["value"] == "2026-11-22 01:55:50"


def test_set_entries_takes_a_namesake_for_the_same_and_makes_accounts(box: SuiteSandbox, caller: Caller) -> None:
    """Note, set_entries; S:new_handle_set_entries."""
    first = [{"name": "last_name", "value": "A"}, {"name": "email1", "value": "a@example.com"}]
    named = [*first, {"name": "account_name", "value": "Acme"}]
    [made] = caller.ask("set_entries", "Contacts", [named])["ids"]
    assert caller.ask("set_entries", "Contacts", [first])["ids"] == [made]
    assert [row["name"] for row in box.rows("Accounts")] == ["Acme"]
    assert len(box.rows()) == 1


def test_denied_rows_are_left_out(box: SuiteSandbox) -> None:
    """Note: ACL-denied rows are skipped, the list gets shorter; one alone is a fault."""
    caller = Caller(SuiteSandbox(clock=lambda: START, denied=["Contacts"]))
    values = [{"name": "last_name", "value": "A"}]
    assert caller.ask("set_entries", "Contacts", [values, values])["ids"] == []
    assert caller.ask("set_entry", "Contacts", values)["number"] == 40


def test_sessions_die(box: SuiteSandbox, caller: Caller) -> None:
    """Note, login: idle for some 24 minutes."""
    assert caller.ask("get_user_id") == "1"
    box.advance(25 * 60)
    assert caller.ask("get_user_id")["number"] == 11


def test_php_7_binds_by_position() -> None:
    """T00: an object's values by position; on PHP 8 by name, an unknown one ends in nothing."""
    data = {"module_name": "Contacts", "session": "SESSION", "query": "", "deleted": 0}
    modern = Caller(SuiteSandbox(clock=lambda: START))
    assert modern.call("get_entries_count", {**data, "session": modern.session}) == {"result_count": "0"}
    old = Caller(SuiteSandbox(clock=lambda: START, php8=False))
    assert old.call("get_entries_count", {**data, "session": old.session})["number"] == 11
    assert modern.raw("get_entries_count", {**data, "session": modern.session, "Favorites": 1})[0] == 500
