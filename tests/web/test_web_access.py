"""Who may do what: every route, every role, and everything that can be wrong with a token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from office import PASSWORD, Office

from app import daemon
from app.bootstrap import start
from app.core.permissions import ADMIN, ROLES, Role
from app.engine import access
from app.jobs.service import open_queue
from app.settings import Settings
from app.store import access as stored
from app.store import tables
from app.web.acts import Guarded
from app.web.app import ROUTERS

OPEN = {"sign_in", "healthz", "readyz", "start_consent", "finish_consent", "enter_credentials"}
ROLE_OF = {
    "viewer": {
        "show_session", "sign_out", "change_own_password", "list_systems", "list_connections", "show_connection",
        "preview_mapping", "list_groups", "show_group", "list_members", "list_people", "list_history", "show_lineage",
        "show_consent", "list_purchases", "list_consent", "plan_erasure", "show_person", "list_plans", "show_plan",
        "list_items", "list_runs", "show_run", "list_results", "watch_run", "list_conflicts", "show_conflict",
        "list_refused",
    },
    "operator": {
        "list_tokens", "make_token", "revoke_token", "check_connection", "pause_connection", "resume_connection",
        "sync_connection", "release_losses", "retry_connection", "record_consent", "export_data", "edit_person",
        "make_plan", "approve_plan", "reject_plan", "resolve_conflict", "resolve_conflicts", "retry_refused",
        "rename_group", "remove_group", "ignore_refused", "inspect_import", "run_import", "export_people",
    },
    "admin": {
        "list_users", "add_user", "show_user", "change_user", "remove_user", "create_connection", "change_connection",
        "remove_connection", "rotate_credentials", "make_hook_address", "begin_consent", "erase_person", "list_acts",
    },
    "webhook": {"hint_at_connection"},
}  # fmt: skip
"""The least role that every operation takes. A new one has to be thought about here."""


def routes() -> Iterator[Any]:
    for router in ROUTERS:
        yield from router.routes


def place(route: Any) -> tuple[str, str]:
    """Method and an address of it."""
    (method,) = route.methods
    return method, re.sub(r"\{(\w+)(:\w+)?\}", lambda m: "4711" if m[1] == "id" else "nobody", route.path)


GUARDED = [route for route in routes() if route.name not in OPEN]


def test_every_operation_was_thought_about() -> None:
    assert {route.name for route in routes()} == OPEN.union(*ROLE_OF.values())
    assert len([*routes()]) == len({route.name for route in routes()})


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
def test_nobody_gets_in_without_a_token(showroom: Office, route: Any) -> None:
    method, path = place(route)
    for header in (
        {},
        {"authorization": "Bearer ccd_x"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer "},
    ):
        answer = showroom(method, path, None, headers=header, content=b"{no json")
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
def test_roles_open_what_they_should_and_no_more(showroom: Office, route: Any) -> None:
    method, path = place(route)
    least = next(role for role, names in ROLE_OF.items() if route.name in names)
    order = ["viewer", "operator", "admin"]
    may = {"webhook", "admin"} if least == "webhook" else set(order[order.index(least) :])
    for role in get_args(Role):
        if role in may and route.name in ("watch_run", "sign_out"):
            continue  # these succeed, and end the session, or do not end
        answer = showroom(method, path, role, content=b"{no json")
        assert (answer.status_code == 403) == (role not in may), f"{role}: {answer.status_code} {answer.text}"


def test_permissions_are_those_of_the_routes() -> None:
    used = {route.openapi_extra["x-permission"] for route in GUARDED}
    assert used == ADMIN, "a permission that opens nothing, or a route that no role opens"
    assert ROLES["viewer"] < ROLES["operator"] < ROLES["admin"]


def test_whatever_writes_is_written_down() -> None:
    writing = {route.name for route in GUARDED if route.methods != {"GET"}}
    recorded = {route.name for route in GUARDED if route.openapi_extra["x-recorded"]}
    assert writing - recorded == {"inspect_import"}
    assert recorded - writing == {"export_data", "export_people"}


# --- tokens


def status(office: Office, token: str, path: str = "/v1/people", method: str = "GET", **more: Any) -> int:
    answer = office(method, path, None, headers={"authorization": f"Bearer {token}"}, **more)
    code: int = answer.status_code
    return code


def test_tokens_end_when_they_should(office: Office) -> None:
    made = office.post("/v1/tokens", {"name": "report", "scopes": ["people:read"], "days": 1}, "operator")
    assert status(office, made["token"]) == 200
    assert status(office, made["token"], "/v1/runs") == 403
    office.clock.ahead = timedelta(days=1, minutes=1)
    assert status(office, made["token"]) == 401
    office.clock.ahead = timedelta()
    assert office("DELETE", f"/v1/tokens/{made['id']}", "viewer").status_code == 403
    assert office("DELETE", f"/v1/tokens/{made['id']}", "operator").status_code == 204
    assert status(office, made["token"]) == 401
    assert office.get("/v1/tokens", "operator")["items"][-1]["revoked"]


def test_a_token_makes_no_greater_one(office: Office) -> None:
    small = office.post("/v1/tokens", {"name": "s", "scopes": ["tokens:*", "people:read"]}, "operator")["token"]
    for scopes, code in ((["people:read"], 201), (["people:write"], 422), (["*"], 422), (["people:*"], 422)):
        assert status(office, small, "/v1/tokens", "POST", json={"name": "x", "scopes": scopes}) == code
    assert office("POST", "/v1/tokens", json={"name": "x", "scopes": ["nose:read"]}).status_code == 422
    assert office("POST", "/v1/tokens", "operator", json={"name": "x", "user": "admin"}).status_code == 403
    theirs = office.post("/v1/tokens", {"name": "x", "user": "viewer", "scopes": ["*"]})["token"]
    assert status(office, theirs, "/v1/users") == 403, "what its user may not do, no scope makes possible"


def test_others_tokens_are_not_mine(office: Office) -> None:
    assert {token["user"] for token in office.get("/v1/tokens", "operator")["items"]} == {"operator"}
    assert len(office.get("/v1/tokens")["items"]) == 4
    other = next(token["id"] for token in office.get("/v1/tokens")["items"] if token["user"] == "admin")
    assert office("DELETE", f"/v1/tokens/{other}", "operator").status_code == 404


def test_who_is_shut_out_stays_out(office: Office) -> None:
    assert office("PATCH", "/v1/users/viewer", json={"enabled": False}).status_code == 200
    assert office("GET", "/v1/people", "viewer").status_code == 401
    office("PATCH", "/v1/users/viewer", json={"enabled": True})
    assert office("GET", "/v1/people", "viewer").status_code == 200
    assert office("DELETE", "/v1/users/viewer").status_code == 204
    assert office("GET", "/v1/people", "viewer").status_code == 401


def test_a_token_is_kept_as_a_hash_only(office: Office) -> None:
    made = office.post("/v1/tokens", {"name": "x"})["token"]
    held = b"".join(path.read_bytes() for path in office.home.iterdir() if path.is_file())
    assert access.hash_token(made).encode() in held
    assert made.encode() not in held


# --- users


def test_there_is_always_an_admin(office: Office) -> None:
    for change in ({"role": "viewer"}, {"enabled": False}):
        assert office("PATCH", "/v1/users/admin", json=change).status_code == 409
    assert office("DELETE", "/v1/users/admin").status_code == 409
    office.post("/v1/users", {"name": "zoe", "role": "admin"})
    assert office("DELETE", "/v1/users/admin", "admin").status_code == 204
    assert office("GET", "/v1/users", "admin").status_code == 401


@pytest.mark.parametrize("password", ["short", "aZoeyb12345678", "aaaaaaaaaaaaaaaa", "x" * 1025])
def test_weak_passwords_are_refused(office: Office, password: str) -> None:
    answer = office("POST", "/v1/users", json={"name": "zoey", "role": "viewer", "password": password})
    assert answer.status_code == 422
    assert password not in answer.text


def test_a_name_is_taken_once(office: Office) -> None:
    assert office("POST", "/v1/users", json={"name": "viewer", "role": "viewer"}).status_code == 409
    assert office("POST", "/v1/users", json={"name": "first start", "role": "viewer"}).status_code == 422


def sign_in(office: Office, name: str = "zoe", password: str = PASSWORD) -> Any:
    return office("POST", "/v1/sessions", None, json={"name": name, "password": password})


@pytest.fixture
def zoe(office: Office) -> Office:
    office.post("/v1/users", {"name": "zoe", "role": "operator", "password": PASSWORD})
    return office


def test_a_session_begins_and_ends(zoe: Office) -> None:
    session = sign_in(zoe).json()
    token = session["token"]
    me = zoe("GET", "/v1/sessions/current", None, headers={"authorization": f"Bearer {token}"}).json()
    assert (me["name"], me["role"]) == ("zoe", "operator")
    zoe.clock.ahead = access.SESSION + timedelta(seconds=1)
    assert status(zoe, token) == 401
    zoe.clock.ahead = timedelta()
    assert status(zoe, token, "/v1/sessions/current", "DELETE") == 204
    assert status(zoe, token) == 401


def test_wrong_passwords_lock_for_a_while(zoe: Office) -> None:
    wrong = [sign_in(zoe, password="not it, not it").json()["detail"] for _ in range(access.MAX_WRONG)]
    assert sign_in(zoe).status_code == 401, "locked, even with the right one"
    assert {*wrong} == {sign_in(zoe).json()["detail"], sign_in(zoe, "nobody").json()["detail"]}, "it tells who there is"
    zoe.clock.ahead = access.LOCK + timedelta(seconds=1)
    assert sign_in(zoe).status_code == 201


def test_an_address_that_guesses_has_to_wait(zoe: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_fits", lambda password, hashed: password == PASSWORD and hashed is not None)
    codes = [sign_in(zoe, f"guess{n}").status_code for n in range(access.MAX_FAILED + 3)]
    assert codes == [401] * access.MAX_FAILED + [429] * 3
    answer = sign_in(zoe)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "900")
    zoe.clock.ahead = access.LOCK + timedelta(seconds=1)
    assert sign_in(zoe).status_code == 201


def test_changing_a_password_ends_the_sessions(zoe: Office) -> None:
    token = sign_in(zoe).json()["token"]
    path, new = "/v1/sessions/current/password", "another battery of horses"
    assert status(zoe, token, path, "PUT", json={"old": "not it, not it", "new": new}) == 401
    assert status(zoe, token, path, "PUT", json={"old": PASSWORD, "new": new}) == 204
    assert status(zoe, token) == 401
    assert (sign_in(zoe).status_code, sign_in(zoe, password=new).status_code) == (401, 201)


def test_who_finds_a_session_open_cannot_guess_the_password_on(zoe: Office) -> None:
    token = sign_in(zoe).json()["token"]
    path, new = "/v1/sessions/current/password", "another battery of horses"
    for _ in range(access.MAX_WRONG):
        assert status(zoe, token, path, "PUT", json={"old": "not it, not it", "new": new}) == 401
    assert status(zoe, token, path, "PUT", json={"old": PASSWORD, "new": new}) == 429
    assert sign_in(zoe).status_code == 401, "locked for a while"
    zoe.clock.ahead = access.LOCK + timedelta(seconds=1)
    assert status(zoe, token, path, "PUT", json={"old": PASSWORD, "new": new}) == 204


# --- the first start


def test_the_first_token_makes_one_admin_and_nothing_else(office: Office) -> None:
    with office.store.begin() as unit:
        for user in stored.every_user(unit):
            stored.remove_user(unit, user.id)
    old = daemon.first_token(office.branch)
    assert old is not None
    former = old.read_text().strip()
    file = daemon.first_token(office.branch)
    assert file is not None and file.stat().st_mode & 0o777 == 0o600
    token = file.read_text().strip()
    assert status(office, former, "/v1/users", "POST", json={"name": "a", "role": "admin"}) == 401
    assert status(office, token) == 403
    assert status(office, token, "/v1/users") == 403
    assert status(office, token, "/v1/users", "POST", json={"name": "a", "role": "viewer"}) == 422
    new = {"name": "a", "role": "admin", "password": PASSWORD}
    assert status(office, token, "/v1/users", "POST", json=new) == 201
    assert status(office, token, "/v1/users", "POST", json={**new, "name": "b"}) == 401
    assert sign_in(office, "a").status_code == 201
    assert daemon.first_token(office.branch) is None
    assert not file.exists()


# --- everything that can be wrong with a token, at every door

BAD_TOKENS = ("unknown", "expired", "revoked", "of somebody shut out", "of the first start", "signed out")


@pytest.fixture(scope="module")
def bad_tokens(showroom: Office) -> dict[str, str]:
    """Tokens of admins that were good once."""
    made = {"unknown": access.PREFIX + "x" * 43}
    for name in ("expired", "revoked"):
        made[name] = showroom.post("/v1/tokens", {"name": name, "scopes": ["*"], "days": 1})["token"]
    number = {token["name"]: token["id"] for token in showroom.get("/v1/tokens?limit=200")["items"]}
    assert showroom("DELETE", f"/v1/tokens/{number['revoked']}").status_code == 204
    for name in ("eve", "max"):
        showroom.post("/v1/users", {"name": name, "role": "admin", "password": PASSWORD})
    made["of somebody shut out"] = showroom.post("/v1/tokens", {"name": "x", "user": "eve"})["token"]
    assert status(showroom, made["of somebody shut out"]) == 200
    showroom("PATCH", "/v1/users/eve", json={"enabled": False})
    made["signed out"] = sign_in(showroom, "max").json()["token"]
    assert status(showroom, made["signed out"], "/v1/sessions/current", "DELETE") == 204
    with showroom.store.begin() as unit:
        hashed, past = access.hash_token(made["expired"]), unit.now - timedelta(seconds=1)
        unit.db.execute(sa.update(tables.tokens).where(tables.tokens.c.hash == hashed).values(expires=past))
        made["of the first start"] = access.PREFIX + "y" * 43
        hashed, ends = access.hash_token(made["of the first start"]), unit.now + timedelta(days=1)
        stored.add_token(unit, None, "bootstrap", "first start", hashed, ["users:write"], ends)
    return made


def knock(office: Office, token: str, route: Any) -> int:
    method, path = place(route)
    return status(office, token, path, method, content=b"{no json")


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_no_door_opens_to_a_bad_token(showroom: Office, bad_tokens: dict[str, str], kind: str) -> None:
    told = {route.name: knock(showroom, bad_tokens[kind], route) for route in GUARDED}
    assert {*told.values()} == {401}, told


def test_no_door_opens_to_a_token_for_all_others(showroom: Office) -> None:
    """An admin's, that may do everything but this."""
    told = {}
    for route in GUARDED:
        others = sorted(ADMIN - {route.openapi_extra["x-permission"]})
        token, _ = access.issue(showroom.store, "all but one", "admin", others, None)
        told[route.name] = knock(showroom, token, route)
    assert {*told.values()} == {403}, told


def test_what_the_daemon_serves_is_guarded_or_open_on_purpose(tmp_path: Path) -> None:
    """Not the routers that we know of: everything that is mounted, whoever mounted it."""
    application = start(Settings(home=tmp_path / "home"))
    queue = open_queue(application)
    mounted = [*flat(daemon.build(application, queue).routes)]
    queue.close()
    application.store.close()
    unguarded = {route.path for route in mounted if not isinstance(route, Guarded)}
    documents = {"/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css"}
    assert unguarded == {*documents, "/metrics", "/hooks/{connection}/{token}"}
    assert {route.name for route in mounted if isinstance(route, Guarded)} == {route.name for route in routes()}


def flat(found: Any) -> Iterator[Any]:
    for route in found:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if inner:
            yield from flat(inner)
        else:
            yield route
