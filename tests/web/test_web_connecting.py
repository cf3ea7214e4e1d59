"""Accounts are connected by a link in a browser; whatever comes back wrongly is told in words, and stores nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from office import PUBLIC, Office

from app.consenting import LIFE
from app.engine.run import sync
from app.store import connections, handshakes, sealed
from app.store.connections import Connection
from connectors import registry
from connectors.authserver import AuthServer
from connectors.sandbox import running

CALLBACK = f"{PUBLIC}/oauth/callback"


class Counter:
    """An office with one connection to a vendor's sandbox that nobody has given access to yet."""

    def __init__(self, office: Office, system: str, url: str, box: Any) -> None:
        self.office, self.system, self.box = office, system, box
        held = box.consented(url) if system == "mailchimp" else box.settings(url)
        fields = {"refresh_token", "access_token", "realm_id"}
        self.settings = {name: value for name, value in held.items() if name not in fields}
        new = {"name": "it", "system": system, "settings": self.settings, "approve": "auto"}
        office.post("/v1/connections", new)

    @property
    def server(self) -> AuthServer:
        found: AuthServer = self.box.login if self.system == "xero" else self.box.oauth
        return found

    def link(self, **query: Any) -> str:
        answer = self.office("POST", "/v1/connections/it/consent", params=query)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["url"])

    @property
    def connection(self) -> Connection:
        return self.office.connection("it")

    def held(self) -> dict[str, str]:
        """The stored secret settings."""
        sealed = self.connection.secrets
        return self.office.branch.keyring.decrypt(sealed) if sealed else {}

    def shown(self) -> Any:
        return self.office.get("/v1/connections/it")

    def acts(self) -> list[tuple[str, int]]:
        found = self.office.get("/v1/audit?target=connections/it")["items"]
        return [(act["action"], act["status"]) for act in reversed(found)]

    def connect(self, browser: Browser | None = None, **query: Any) -> httpx.Response:
        """All of it, by a human who says yes."""
        return (browser or Browser(self.office)).go(self.link(**query))

    def pause(self) -> None:
        """The connection ran, and its access was taken back."""
        assert sync(self.office.branch.world(), "it").outcome == "done"
        self.server.revoke()
        assert sync(self.office.branch.world(), "it").outcome == "paused"


class Browser:
    """A human's browser: keeps cookies, and goes where it is sent."""

    def __init__(self, office: Office) -> None:
        self.here = TestClient(office.app, base_url=PUBLIC, follow_redirects=False, raise_server_exceptions=False)

    def open(self, link: str) -> str:
        """Open the link: the vendor's page that it leads to."""
        answer = self.here.get(link)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def consent(self, page: str) -> str:
        """Say yes (or no) there: where the vendor sends the browser."""
        answer = httpx.get(page, follow_redirects=False)
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def go(self, link: str) -> httpx.Response:
        return self.here.get(self.consent(self.open(link)))


@pytest.fixture
def counters(office: Office) -> Iterator[Callable[[str], Counter]]:
    with ExitStack() as served:

        def make(system: str) -> Counter:
            box = registry.sandbox(system)
            return Counter(office, system, served.enter_context(running(box.app)), box)

        yield make


@pytest.fixture
def google(counters: Callable[[str], Counter]) -> Counter:
    return counters("google")


VENDORS = ["google", "mailchimp", "quickbooks", "xero"]


# --- the way it should go


@pytest.mark.parametrize("system", VENDORS)
def test_a_link_connects_an_account(counters: Callable[[str], Counter], system: str) -> None:
    counter = counters(system)
    assert counter.shown()["consent_url"] == "/v1/connections/it/consent"
    link, browser = counter.link(), Browser(counter.office)
    page = browser.open(link)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
    assert (asked["redirect_uri"], asked["code_challenge_method"]) == (CALLBACK, "S256")
    landing = browser.consent(page)
    answer = browser.here.get(landing)
    assert answer.status_code == 200, answer.text
    assert "it is connected" in answer.text
    assert counter.held()
    assert counter.connection.account
    assert counter.shown()["consent_url"] is None
    assert counter.office.post("/v1/connections/it/check")["ok"]
    assert counter.office.jobs.waiting == [("sync", counter.connection.id)]
    assert [act for act, status in counter.acts() if status < 300] == [
        "create_connection",
        "begin_consent",
        "finish_consent",
        "check_connection",
    ]
    assert sync(counter.office.branch.world(), "it").outcome == "done"
    query = parse_qs(urlsplit(landing).query)
    secret = [link.rpartition("/")[2], asked["state"], query["code"][0], *counter.held().values()]
    stored = b"".join(path.read_bytes() for path in counter.office.home.iterdir() if path.is_file())
    realm = counter.held().get("realm_id")
    for word in secret:
        assert word == realm or word.encode() not in stored, "it stands in the database as it is"
        assert word == realm or word not in answer.text


def test_the_pages_tell_nobody_anything(google: Counter) -> None:
    browser = Browser(google.office)
    link = google.link()
    first = browser.here.get(link)
    pages = [first, browser.here.get(browser.consent(first.headers["location"])), browser.here.get(link)]
    assert [page.status_code for page in pages] == [303, 200, 410]
    for page in pages:
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-robots-tag"] == "noindex, nofollow"
        assert page.headers["x-frame-options"] == "DENY"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert not re.search(r"<script|<img|<link|https?://", page.text)
    cookie = first.headers["set-cookie"]
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/oauth;", "Max-Age=600"):
        assert word in cookie


def test_a_link_may_be_opened_again_until_it_worked(google: Counter) -> None:
    """A messenger's preview opens it first; then a human does, says no, and thinks better of it."""
    link, preview, human = google.link(), Browser(google.office), Browser(google.office)
    early = preview.open(link)
    google.server.denies = True
    assert human.go(link).status_code == 403
    google.server.denies = False
    assert preview.here.get(preview.consent(early)).status_code == 404, "the later opening took its place"
    assert human.go(link).status_code == 200
    assert "used already" in human.here.get(link).text


# --- what comes back wrongly


def tampered(query: dict[str, str], **changed: str | None) -> str:
    kept = {**query, **{name: value for name, value in changed.items() if value is not None}}
    return f"{CALLBACK}?{urlencode({k: v for k, v in kept.items() if changed.get(k, '') is not None})}"


@pytest.mark.parametrize(
    ("changed", "status", "words", "spent"),
    [
        ({"state": "x" * 32}, 404, "not known here", False),
        ({"state": None}, 404, "not known here", False),
        ({"state": ""}, 404, "not known here", False),
        ({"code": None}, 403, "no code was found", True),
        ({"code": "guessed"}, 403, "ask for a new link", True),
        ({"error": "access_denied"}, 403, "access was not given (access_denied)", True),
        ({"error": "<script>alert(1)</script>"}, 403, "&lt;script&gt;", True),
    ],
)
def test_a_tampered_answer_stores_nothing(
    google: Counter, changed: dict[str, str | None], status: int, words: str, spent: bool
) -> None:
    browser = Browser(google.office)
    landing = browser.consent(browser.open(google.link()))
    query = {name: values[0] for name, values in parse_qs(urlsplit(landing).query).items()}
    answer = browser.here.get(tampered(query, **changed))
    assert (answer.status_code, words in answer.text.casefold() or words in answer.text) == (status, True), answer.text
    assert "Nothing was stored" in answer.text and "<script" not in answer.text
    assert "refresh_token" not in google.held()
    again = browser.here.get(landing)
    assert (again.status_code == 410) == spent, "a state is good once, whatever came with it"


def test_an_answer_comes_once(google: Counter) -> None:
    browser = Browser(google.office)
    landing = browser.consent(browser.open(google.link()))
    assert browser.here.get(landing).status_code == 200
    token = google.held()["refresh_token"]
    again = browser.here.get(landing)
    assert (again.status_code, "used already" in again.text) == (410, True)
    assert google.held()["refresh_token"] == token
    assert token in google.server.refreshes, "the code was not shown to the vendor a second time"


def test_two_who_bring_the_same_answer_at_once(google: Counter) -> None:
    browser = Browser(google.office)
    landing = browser.consent(browser.open(google.link()))
    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(lambda _: browser.here.get(landing).status_code, range(4)))
    assert found == [200, 410, 410, 410]


def test_another_browser_cannot_bring_it(google: Counter) -> None:
    """Somebody sends the victim a link that ends with the attacker's own code, or fetches the victim's."""
    mine, theirs = Browser(google.office), Browser(google.office)
    landing = mine.consent(mine.open(google.link()))
    theirs.open(google.link())
    answer = theirs.here.get(landing)
    assert (answer.status_code, "did not begin in this browser" in answer.text) == (403, True)
    assert mine.here.get(landing).status_code == 200, "it did no harm to the one who may"


def test_the_state_of_one_connection_is_not_good_for_another(google: Counter) -> None:
    """Codes of one consent, states of another: the verifier does not fit."""
    office, browser = google.office, Browser(google.office)
    office.post("/v1/connections", {"name": "two", "system": "google", "settings": google.settings})
    other = office.post("/v1/connections/two/consent")["url"]
    mine, theirs = (parse_qs(urlsplit(browser.consent(browser.open(link))).query) for link in (google.link(), other))
    answer = browser.here.get(tampered({"state": mine["state"][0], "code": theirs["code"][0]}))
    assert (answer.status_code, "it is not connected" in answer.text) == (403, True)
    assert not google.held().get("refresh_token") and office.connection("two").account is None


def test_a_swapped_verifier_is_no_key(google: Counter) -> None:
    browser = Browser(google.office)
    landing = browser.consent(browser.open(google.link()))
    with google.office.store.begin() as unit:
        other = google.office.branch.keyring.encrypt({"verifier": "v" * 64})
        unit.db.execute(handshakes.handshakes.update().values(sealed=other))
    assert browser.here.get(landing).status_code == 403
    assert "refresh_token" not in google.held()


def test_the_key_of_the_credentials_may_change_meanwhile(google: Counter) -> None:
    browser, keyring = Browser(google.office), google.office.branch.keyring
    landing = browser.consent(browser.open(google.link()))
    with google.office.store.begin() as unit:
        assert sealed.reseal(unit, lambda token: keyring.encrypt(keyring.decrypt(token))) == 2, "the verifier, too"
    assert browser.here.get(landing).status_code == 200


@pytest.mark.parametrize("late", ["at the link", "at the vendor"])
def test_it_may_take_ten_minutes(google: Counter, late: str) -> None:
    browser, link = Browser(google.office), google.link()
    target = link if late == "at the link" else browser.consent(browser.open(link))
    google.office.clock.ahead += LIFE + timedelta(seconds=1)
    answer = browser.here.get(target)
    assert (answer.status_code, "longer than ten minutes" in answer.text) == (410, True)
    google.office.clock.ahead += timedelta(days=2)
    google.link()
    assert browser.here.get(target).status_code == 404, "forgotten by and by"


def test_a_connection_that_was_removed_meanwhile(google: Counter) -> None:
    browser, link = Browser(google.office), google.link()
    landing = browser.consent(browser.open(link))
    google.office("DELETE", "/v1/connections/it")
    for target in (landing, link):
        answer = browser.here.get(target)
        assert (answer.status_code, "removed meanwhile" in answer.text) == (410, True)


def test_removed_while_the_vendor_is_asked(google: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import consenting

    real = consenting.prove

    def slowly(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        google.office("DELETE", "/v1/connections/it")
        return found

    monkeypatch.setattr(consenting, "prove", slowly)
    answer = google.connect()
    assert (answer.status_code, "removed meanwhile" in answer.text) == (410, True)


@pytest.mark.parametrize(
    ("fault", "options"), [("html", {}), ("unavailable", {"times": 9}), ("lost_after", {}), ("throttle", {"times": 9})]
)
def test_a_vendor_in_trouble_is_told(google: Counter, fault: Any, options: dict[str, Any]) -> None:
    google.box.faults.add(fault, "POST /token", **options)
    answer = google.connect()
    assert (answer.status_code, "it is not connected" in answer.text) == (502, True)
    assert "Maintenance" not in answer.text and "refresh_token" not in google.held()
    google.box.faults.clear()
    assert google.connect().status_code == 200


def test_an_address_that_is_not_registered(google: Counter) -> None:
    google.server.redirects = {CALLBACK + "/"}
    assert httpx.get(Browser(google.office).open(google.link()), follow_redirects=False).status_code == 400
    google.server.redirects = {CALLBACK}
    assert google.connect().status_code == 200


def test_a_fault_of_ours_is_a_page_too(google: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import consenting

    monkeypatch.setattr(consenting, "accept", lambda *args: 1 / 0)
    answer = google.connect()
    assert (answer.status_code, "division" in answer.text) == (500, False)
    assert google.acts()[-1] == ("finish_consent", 500)


# --- whose account it is


@pytest.mark.parametrize("system", VENDORS)
def test_another_account_is_refused(counters: Callable[[str], Counter], system: str) -> None:
    counter = counters(system)
    assert counter.connect().status_code == 200
    assert sync(counter.office.branch.world(), "it").outcome == "done"
    before, account = counter.held(), counter.connection.account
    counter.server.user = "4711"
    answer = counter.connect()
    assert answer.status_code in (403, 409), answer.text
    assert re.search("another (account|one) than|does not cover|covers no organisation|has no audience", answer.text)
    assert (counter.held(), counter.connection.account) == (before, account)
    assert sync(counter.office.branch.world(), "it").outcome == "done", "the former access still works"


def test_another_account_by_rotation_or_change_is_refused_too(google: Counter) -> None:
    assert google.connect().status_code == 200
    assert sync(google.office.branch.world(), "it").outcome == "done"
    before = google.held()
    token = google.server.grant("https://www.googleapis.com/auth/contacts", "4711")
    answer = google.office("PUT", "/v1/connections/it/credentials", json={"secrets": {"refresh_token": token}})
    assert (answer.status_code, "another account" in answer.json()["detail"]) == (409, True)
    answer = google.office("PATCH", "/v1/connections/it", json={"settings": {"refresh_token": token}})
    assert (answer.status_code, google.held()) == (409, before)
    mine = google.server.grant("https://www.googleapis.com/auth/contacts")
    google.office("PUT", "/v1/connections/it/credentials", json={"secrets": {"refresh_token": mine}})
    assert google.held()["refresh_token"] == mine


def test_another_account_is_welcome_where_somebody_says_so(google: Counter) -> None:
    assert google.connect().status_code == 200
    assert sync(google.office.branch.world(), "it").outcome == "done"
    account, google.server.user = google.connection.account, "4711"
    answer = google.connect(other_account=True)
    assert (answer.status_code, "starts over" in answer.text) == (200, True)
    assert google.connection.state == "new" and google.connection.account not in (None, account)


def test_check_notices_another_account(google: Counter) -> None:
    assert google.connect().status_code == 200
    google.office.branch.save_secrets(
        google.connection.id,
        {"refresh_token": google.server.grant("https://www.googleapis.com/auth/contacts", "4711")},
    )
    answer = google.office.post("/v1/connections/it/check")
    assert not answer["ok"] and "another account" in answer["error"]


# --- paused for want of access


@pytest.mark.parametrize("system", VENDORS)
def test_renewal_resumes(counters: Callable[[str], Counter], system: str) -> None:
    counter = counters(system)
    counter.connect()
    counter.pause()
    shown = counter.shown()
    assert (shown["state"], shown["consent_url"]) == ("paused", "/v1/connections/it/consent")
    assert "concord connections consent it" in shown["reason"]
    answer = counter.connect()
    assert (answer.status_code, "goes on" in answer.text) == (200, True)
    shown = counter.shown()
    assert (shown["state"], shown["reason"], shown["consent_url"]) == ("active", None, None)
    assert sync(counter.office.branch.world(), "it").outcome == "done"


def test_who_was_paused_by_hand_stays_so(google: Counter) -> None:
    google.connect()
    google.pause()
    google.office.post("/v1/connections/it/pause")
    assert google.connect().status_code == 200
    assert google.shown()["state"] == "paused"


# --- where there is no consent page


@pytest.mark.parametrize(("system", "field"), [("sugarcrm", "password"), ("vtiger", "access_key")])
def test_credentials_are_entered_in_a_form(office: Office, system: str, field: str) -> None:
    box = registry.sandbox(system)
    with running(box.app) as url:
        settings = box.settings(url)
        office.post("/v1/connections", {"name": "it", "system": system, "settings": {**settings, field: "old, wrong"}})
        with office.store.begin() as unit:
            connections.update(unit, office.connection("it").id, state="paused", reason="dead", denied=unit.now)
        browser = Browser(office)

        def enter(secret: str, **changed: str) -> httpx.Response:
            page = browser.here.get(office.post("/v1/connections/it/consent")["url"])
            assert page.status_code == 200 and f'name="{field}"' in page.text
            [state] = re.findall(r'name="state" value="([^"]+)"', page.text)
            [action] = re.findall(r'action="([^"]+)"', page.text)
            form = {"state": state, field: secret, **changed}
            return browser.here.post(action, data={name: value for name, value in form.items() if value != "-"})

        answer = enter("still wrong")
        assert answer.status_code in (403, 502) and "still wrong" not in answer.text
        assert enter(settings[field], username="admin").status_code == 400, "that was not asked for"
        assert enter("-", **{field: "-"}).status_code == 400
        assert office.connection("it").state == "paused"
        answer = enter(settings[field])
        assert (answer.status_code, "goes on" in answer.text) == (200, True), answer.text
        assert office.connection("it").state == "active"
        assert office.post("/v1/connections/it/check")["ok"]
        assert enter("wrong once more").status_code == 403, "a session that lives proves no password"
        assert office.post("/v1/connections/it/check")["ok"]
        acts = [act["action"] for act in office.get("/v1/audit?target=connections/it")["items"]]
        assert acts.count("enter_credentials") == 5


def test_a_form_is_only_for_its_browser(office: Office) -> None:
    box = registry.sandbox("vtiger")
    with running(box.app) as url:
        office.post("/v1/connections", {"name": "it", "system": "vtiger", "settings": box.settings(url)})
        page = Browser(office).here.get(office.post("/v1/connections/it/consent")["url"])
        [state] = re.findall(r'name="state" value="([^"]+)"', page.text)
        form = {"state": state, "access_key": "x"}
        assert Browser(office).here.post("/oauth/credentials", data=form).status_code == 403


# --- the link


def test_a_link_is_shown_once(google: Counter) -> None:
    headers = {"idempotency-key": "k1"}
    assert google.office("POST", "/v1/connections/it/consent", headers=headers).status_code == 201
    again = google.office("POST", "/v1/connections/it/consent", headers=headers)
    assert (again.status_code, "shown only once" in again.json()["detail"]) == (409, True)


def test_who_needs_no_link(office: Office, tmp_path: Path) -> None:
    office.post("/v1/connections", {"name": "list", "system": "files", "settings": {"path": str(tmp_path / "x.csv")}})
    assert office("POST", "/v1/connections/list/consent").status_code == 422
    new = {"name": "half", "system": "google", "settings": {"client_id": "", "client_secret": ""}}
    office.post("/v1/connections", new)
    answer = office("POST", "/v1/connections/half/consent")
    assert (answer.status_code, "client_secret" in answer.json()["detail"]) == (422, True)


def test_the_host_of_a_request_is_not_believed(google: Counter) -> None:
    answer = google.office("POST", "/v1/connections/it/consent", headers={"host": "evil.example.com"})
    assert answer.json()["url"].startswith(PUBLIC)
    ports = google.office.app.state.ports
    object.__setattr__(ports, "public_url", None)
    answer = google.office("POST", "/v1/connections/it/consent", headers={"host": "127.0.0.1"})
    assert (answer.status_code, "CONCORD_PUBLIC_URL" in answer.json()["detail"]) == (422, True)
