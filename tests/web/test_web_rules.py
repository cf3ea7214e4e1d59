"""What holds for every request: problems, sizes, pages, twice is once, two editors, the audit, secrets."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from office import PASSWORD, Office
from test_web_access import GUARDED, place, routes

from app.store import audit, idempotency, overview, runs, tables
from app.web.acts import KEPT
from app.web.shield import MAX_BODY
from connectors.errors import Unreachable

# --- problems


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("GET", "/v1/nowhere", {}, 404),
        ("PUT", "/v1/people", {}, 405),
        ("POST", "/v1/audit", {}, 405),
        ("GET", "/v1/people/nobody", {}, 404),
        ("GET", "/v1/connections/nobody", {}, 404),
        ("GET", "/v1/people?limit=0", {}, 422),
        ("GET", "/v1/people?limit=nine", {}, 422),
        ("GET", "/v1/people?cursor=nonsense", {}, 422),
        ("GET", "/v1/people?cursor=Ii0xIg==", {}, 422),
        ("GET", "/v1/people?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", {}, 422),
        ("GET", "/v1/refused?cursor=WyJhIl0=", {}, 422),
        ("GET", "/v1/runs/99999999999999999999", {}, 422),
        ("GET", "/v1/people?search=%00", {}, 422),
        ("GET", "/v1/people?updated_since=2026-01-01T00:00:00", {}, 422),
        ("GET", "/v1/people?updated_since=0.5", {}, 422),
        ("GET", "/v1/audit?until=1767225600", {}, 422),
        ("POST", "/v1/users", {"content": b"{no json", "headers": {"content-type": "application/json"}}, 422),
        ("POST", "/v1/users", {"content": b'"\xff"', "headers": {"content-type": "application/json"}}, 400),
        ("POST", "/v1/users", {"json": {"name": "x\0", "role": "admin"}}, 422),
        ("POST", "/v1/users", {"json": {"name": "x", "role": "king"}}, 422),
        ("POST", "/v1/users", {"json": {"name": "x", "role": "viewer", "more": 1}}, 422),
        ("POST", "/v1/connections", {"json": {"name": "x", "system": "nothing"}}, 422),
    ],
)
def test_errors_are_problem_details(
    showroom: Office, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = showroom(method, path, **more)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert problem["title"] and problem["detail"]
    if status == 405:
        assert answer.headers["allow"]


def test_a_problem_names_the_place_and_never_the_value(showroom: Office) -> None:
    body = {"name": "x", "role": "king", "password": ["planted-password"]}
    answer = showroom("POST", "/v1/users", json=body)
    assert {flaw["pointer"] for flaw in answer.json()["errors"]} == {"/body/role", "/body/password"}
    assert "planted-password" not in answer.text
    settings = {"url": "nonsense", "access_key": {"planted": "planted-password"}}
    answer = showroom("POST", "/v1/connections", json={"name": "x", "system": "vtiger", "settings": settings})
    assert "/body/settings/username" in {flaw["pointer"] for flaw in answer.json()["errors"]}
    assert "planted-password" not in answer.text


def test_a_fault_of_ours_tells_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("planted-detail")

    monkeypatch.setattr("app.store.browse.persons", broken)
    answer = office("GET", "/v1/people")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "planted-detail" not in answer.text


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/connections", "GET, POST"),
        ("/v1/connections/crm", "DELETE, GET, PATCH"),
        ("/v1/people/x/consent", "GET, PATCH, POST"),  # PATCH: a uid may hold slashes
        ("/v1/sessions/current/password", "PUT"),
        ("/healthz", "GET"),
    ],
)
def test_who_uses_another_method_is_told_all_that_there_are(showroom: Office, path: str, methods: str) -> None:
    answer = showroom("TRACE", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


# --- sizes and headers


def test_large_bodies_are_stopped(showroom: Office) -> None:
    def endless() -> Any:
        for _ in range(20):
            yield b"x" * (MAX_BODY // 10)

    headers = {"content-type": "application/json"}
    for content in (b"x" * (MAX_BODY + 1), endless()):
        answer = showroom("POST", "/v1/users", content=content, headers=headers)
        assert answer.status_code == 413, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert showroom("POST", "/v1/users", headers={**headers, "content-length": "-1"}).status_code == 413
    big = {"file": ("x.csv", b"Name,Notes\n" + (b"Ann," + b"x" * 99_000 + b"\n") * 11)}
    assert showroom("POST", "/v1/imports/inspection", files=big).status_code == 200


def test_every_answer_is_shielded(showroom: Office) -> None:
    for path in ("/v1/people", "/v1/nobody", "/healthz", "/docs", "/openapi.json"):
        headers = showroom("GET", path).headers
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    assert showroom("GET", "/v1/people").headers["cache-control"] == "no-store"


def test_other_origins_are_let_nothing(showroom: Office) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "GET"}
    answer = showroom("OPTIONS", "/v1/people", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_docs_need_nothing_from_elsewhere(showroom: Office) -> None:
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        answer = showroom("GET", path, None)
        assert answer.status_code == 200 and answer.content
        assert "http://" not in answer.text and "https://" not in answer.text


# --- twice is once


def test_a_repeated_post_is_answered_as_the_first(office: Office) -> None:
    new, key = {"name": "zoe", "role": "viewer"}, {"idempotency-key": "abc"}
    first = office("POST", "/v1/users", json=new, headers=key)
    again = office("POST", "/v1/users", json=new, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"] == "/v1/users/zoe"
    assert office("POST", "/v1/users", json={**new, "role": "admin"}, headers=key).status_code == 422
    assert office("POST", "/v1/users", "operator", json=new, headers=key).status_code == 403, "others' keys are theirs"
    assert office("POST", "/v1/users", json=new).status_code == 409
    office.clock.ahead = KEPT + timedelta(minutes=1)
    assert office("POST", "/v1/users", json=new, headers=key).status_code == 409


def test_what_failed_may_be_sent_again(office: Office) -> None:
    key, path = {"idempotency-key": "abc"}, "/v1/connections/crm/pause"
    office.connect()
    assert office("POST", path, headers=key).status_code == 422, "it has not had its first contact"
    office.round()
    assert office("POST", path, headers=key).status_code == 200
    office.post("/v1/connections/crm/resume")
    assert office("POST", path, headers=key).headers["idempotency-replayed"]
    assert office.get("/v1/connections/crm")["state"] == "active", "a repetition does nothing"


def test_what_is_shown_once_is_not_kept(office: Office) -> None:
    key = {"idempotency-key": "abc"}
    made = office.post("/v1/tokens", {"name": "x"}, headers=key)
    again = office("POST", "/v1/tokens", json={"name": "x"}, headers=key)
    assert again.status_code == 409 and made["token"] not in again.text
    assert len(office.get("/v1/tokens")["items"]) == 5


def test_a_key_under_way_is_not_begun_twice(office: Office) -> None:
    new, key = {"name": "zoe", "role": "viewer"}, {"idempotency-key": "abc"}
    office.post("/v1/users", new, headers=key)
    with office.store.begin() as unit:
        known = idempotency.find(unit, "user:1", "abc")
        assert known is not None
        idempotency.claim(unit, "user:1", "abc", known.request)
    office("DELETE", "/v1/users/zoe")
    assert office("POST", "/v1/users", json=new, headers=key).status_code == 409
    office.clock.ahead = timedelta(minutes=11)
    assert office("POST", "/v1/users", json=new, headers=key).status_code == 201
    assert office("POST", "/v1/users", json=new, headers={"idempotency-key": "a b"}).status_code == 422


def test_a_form_with_other_boundaries_is_the_same_form(office: Office) -> None:
    key, file = {"idempotency-key": "abc"}, {"file": ("a.csv", b"Name,E-Mail\nAnn,ann@example.com\n")}
    first = office("POST", "/v1/imports", files=file, data={"name": "a"}, headers=key)
    again = office("POST", "/v1/imports", files=file, data={"name": "a"}, headers=key)
    assert again.json() == first.json() and again.headers["idempotency-replayed"]


# --- two editors


def test_two_editors_of_one_person(office: Office) -> None:
    office.connect()
    office.add(1)
    office.round()
    path = f"/v1/people/{office.person()['uid']}"
    etag = office("GET", path).headers["etag"]
    edit = {"values": {"/name/given": "Zoë"}}
    assert office("PATCH", path, json=edit).status_code == 428
    assert office("PATCH", path, json=edit, headers={"if-match": etag}).status_code == 200
    late = office("PATCH", path, "operator", json={"values": {"/name/given": "Eve"}}, headers={"if-match": etag})
    assert (late.status_code, office.get(path)["name"]) == (412, "Zoë Doe1")
    assert office("PATCH", path, json=edit, headers={"if-match": "nonsense"}).status_code == 412
    assert office("PATCH", path, json=edit, headers={"if-match": "*"}).status_code == 200


# --- the audit


def test_every_act_is_in_the_audit(showroom: Office) -> None:
    """Whatever it comes to: done, refused, or nonsense."""
    for route in GUARDED:
        if not route.openapi_extra["x-recorded"] or route.name == "sign_out":
            continue
        method, path = place(route)
        for role in ("admin", "viewer"):
            answer = showroom(method, path, role)
            (act,) = showroom.get("/v1/audit?limit=1")["items"]
            assert (act["actor"], act["action"], act["status"]) == (role, route.name, answer.status_code)
            assert act["target"].split("/")[0] == path.split("/")[2]
            assert act["address"] == "testclient"


def test_reading_is_no_act_and_signing_in_is(office: Office) -> None:
    office.post("/v1/users", {"name": "zoe", "role": "viewer", "password": PASSWORD})
    office.get("/v1/people")
    office.post("/v1/sessions", {"name": "zoe", "password": PASSWORD})
    office("POST", "/v1/sessions", json={"name": "zoe", "password": "not it, not it"})
    acts = [(a["actor"], a["action"], a["status"]) for a in office.get("/v1/audit")["items"]]
    assert acts == [("zoe", "sign_in", 401), ("zoe", "sign_in", 201), ("admin", "add_user", 201)]
    assert office.get("/v1/audit?action=add_user")["items"][0]["target"] == "users/zoe"
    assert office.get("/v1/audit?actor=nobody")["items"] == []


def test_an_act_is_written_down_before_it_is_done(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies in it leaves a row behind."""

    class Dead(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Dead

    monkeypatch.setattr("app.engine.access.add_user", die)
    with pytest.raises(BaseException):  # noqa: B017
        office("POST", "/v1/users", json={"name": "zoe", "role": "viewer"})
    (act,) = office.get("/v1/audit")["items"]
    assert (act["action"], act["status"]) == ("add_user", None)


def test_without_the_audit_nothing_is_done(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr(audit, "begin", broken)
    assert office("POST", "/v1/users", json={"name": "zoe", "role": "viewer"}).status_code == 500
    assert office("GET", "/v1/users/zoe").status_code == 404


# --- secrets


def test_no_answer_ever_holds_a_secret(office: Office) -> None:
    """Planted wherever one can stand, looked for in everything that any route answers."""
    secrets = ["planted-access-key", "planted-hook-key", PASSWORD]
    office.connect()
    office.add(1)
    office.round()
    office.post("/v1/users", {"name": "zoe", "role": "viewer", "password": PASSWORD})
    entry = {
        "name": "shop",
        "system": "vtiger",
        "settings": {"url": "http://127.0.0.1:9", "username": "admin", "access_key": secrets[0]},
        "hook": secrets[1],
    }
    answers = [json.dumps(office.post("/v1/connections", entry))]
    for route in routes():
        if route.name in ("remove_connection", "remove_user", "sign_out", "revoke_token", "watch_run", "erase_person"):
            continue
        (method,) = route.methods
        uid = office.person()["uid"]
        for name in ("shop", "zoe"):
            path = route.path.replace("{name}", name).replace("{uid:path}", uid).replace("{id}", "1")
            body = {"json": {"values": {"/notes/1/note": secrets[0]}, **entry}} if method != "GET" else {}
            answer = office(method, path, headers={"if-match": "*"}, **body)
            answers.append(answer.text + str(answer.headers))
    for secret in secrets:
        assert not [text for text in answers if secret in text]


def test_errors_of_remotes_hide_secrets(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"url": "http://127.0.0.1:9", "username": "admin", "access_key": "planted-access-key"}
    office.post("/v1/connections", {"name": "shop", "system": "vtiger", "settings": entry})

    def leak(*_: Any, **__: Any) -> None:
        raise Unreachable("GET http://127.0.0.1:9/?key=planted-access-key failed")

    monkeypatch.setattr("app.engine.look.check", leak)
    assert "planted" not in office.post("/v1/connections/shop/check")["error"]
    monkeypatch.setattr("app.engine.plan.make", leak)
    answer = office("POST", "/v1/plans", json={"connections": ["shop"]})
    assert (answer.status_code, "planted" in answer.text) == (502, False)


# --- streams


def test_a_stream_ends_with_the_server(office: Office) -> None:

    office.connect()
    with office.store.begin() as unit:
        run = runs.start(unit, office.connection("crm").id)
        overview.tell(unit, "crm", ["pull", 3, 10])
    office.stopping = True
    with TestClient(office.app) as client:
        text = client.get(f"/v1/runs/{run}/events", headers={"authorization": f"Bearer {office.tokens['viewer']}"}).text
    assert text.startswith("event: progress")
    assert json.loads(text.split("data: ")[1])["progress"] == {"phase": "pull", "done": 3, "total": 10}


def test_a_stream_ends_with_its_token(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.connect()
    with office.store.begin() as unit:
        run = runs.start(unit, office.connection("crm").id)
    monkeypatch.setattr("app.web.api.runs.LOOK", 0.01)
    told = 0

    def progress(*arguments: Any) -> Any:
        nonlocal told
        told += 1
        if told == 3:
            with office.store.begin() as unit:
                unit.db.execute(tables.tokens.update().values(revoked=unit.now))
        return ["pull", told, 10]

    monkeypatch.setattr(overview, "progress", progress)
    with TestClient(office.app) as client:
        headers = {"authorization": f"Bearer {office.tokens['viewer']}"}
        text = client.get(f"/v1/runs/{run}/events", headers=headers).text
    assert text.count("event: progress") == 3


def test_only_so_many_runs_are_followed_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.connect()
    with office.store.begin() as unit:
        run = runs.start(unit, office.connection("crm").id)
    headers = {"authorization": f"Bearer {office.tokens['viewer']}"}
    office.stopping = True
    with TestClient(office.app) as client:
        for _ in range(3):  # who went makes room
            monkeypatch.setattr("app.web.api.runs.STREAMS", 1)
            assert client.get(f"/v1/runs/{run}/events", headers=headers).status_code == 200
        monkeypatch.setattr("app.web.api.runs.STREAMS", 0)
        refused = client.get(f"/v1/runs/{run}/events", headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert "too many streams" in refused.json()["detail"]


def test_progress_is_told_once_a_second_while_a_run_goes_on(office: Office) -> None:
    office.connect()
    with office.store.begin() as unit:
        run = runs.start(unit, office.connection("crm").id)
    office.clock.stopped = True
    shown, progress = [], office.branch.world().progress
    for second, done in ((0, 1), (0.5, 2), (1.5, 3), (2, 4), (3, 5)):
        office.clock.ahead = timedelta(seconds=second)
        progress("crm", "pull", done, None)
        shown.append((office.get(f"/v1/runs/{run}")["progress"] or {}).get("done"))
    assert shown == [None, None, 3, 3, 5]
    with office.store.begin() as unit:
        runs.finish(unit, run, "done", None, {})
    assert office.get(f"/v1/runs/{run}")["progress"] is None


# --- what nobody should send


@pytest.mark.parametrize(
    "values",
    [
        '{"/name/given": "\\ud800"}',
        '{"/name/gi\\ud800ven": "x"}',
        '{"/emails/e9": {"address": "\\ud800@x.test"}}',
        '{"/notes/1/note": 1e999}',
        '{"/notes/1/note": NaN}',
        '{"/emails/e1/pref": 123456789012345678901234567890}',
        '{"/anniversaries/a/date": {"year": 99999999999999999999}}',
        '{"/keywords/x": [[[]]]}',
        '{"/name": {"components": 3}}',
        '{"/": 1}',
        '{"": 1}',
        '{"name/given": 1}',
        '{"/phones/p1/features": {"a": {"b": 1}}}',
        '{"/notes/1/note": "' + "x" * 200_000 + '"}',
        '{"/notes/1/note": ' + "[" * 50_000 + "]" * 50_000 + "}",
        "{" + ",".join(f'"/keywords/k{n}": true' for n in range(1_001)) + "}",
    ],
    ids=range(16),
)
def test_nonsense_in_an_edit_changes_nothing(showroom: Office, values: str) -> None:
    person = showroom.person()
    answer = showroom(
        "PATCH",
        f"/v1/people/{person['uid']}",
        content='{"values": ' + values + "}",
        headers={"if-match": "*", "content-type": "application/json"},
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert showroom.person() == person


def test_text_that_only_looks_like_that_is_taken(showroom: Office) -> None:
    path = f"/v1/people/{showroom.person()['uid']}"
    for text in (r"C:\u0000 \ud800", "\N{PILE OF POO}"):
        body = json.dumps({"values": {"/notes/n9/note": text}})
        headers = {"if-match": "*", "content-type": "application/json"}
        assert showroom("PATCH", path, content=body, headers=headers).status_code == 200
        assert showroom.person()["card"]["notes"]["n9"]["note"] == text


def test_addresses_that_lead_nowhere(showroom: Office) -> None:
    for uid in ("..", "%2e%2e%2f%2e%2e", "a/b/c", "x" * 64, "%F0%9F%92%A9", "%ff"):
        assert showroom("GET", f"/v1/people/{uid}/history").status_code in (404, 422)
    assert showroom("GET", "/docs/../app.py").status_code == 404
    assert showroom("GET", "/docs/%2e%2e/app.py").status_code == 404
