"""Webhooks out: signed as the standard's own library wants it, tried again, given up on, resent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from house import Clock, House, card
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.engine import privacy, resolve
from app.engine.run import sync
from app.jobs.notices import RESTS, Notifier, subscribe
from app.jobs.queue import Task
from app.store import hooks, keeping, people, runs
from connectors.errors import Unauthorised
from connectors.sandbox import running

TASK = Task("notices", None, lambda: False)


class Ear:
    """A subscriber. It answers with these statuses in turn, then with 204."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | tuple[int, dict[str, str]]] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._hear, methods=["POST"])])

    async def _hear(self, request: Request) -> Response:
        self.heard.append((dict(request.headers), await request.body()))
        answer = self.answers.pop(0) if self.answers else 204
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return Response(status_code=status, headers=headers)

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def types(self) -> list[str]:
        return [said["type"] for said in self.said()]


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def url(ear: Ear) -> Iterator[str]:
    with running(ear.app) as base:
        yield f"{base}/concord"


@pytest.fixture
def house(houses: Callable[..., House], clock: Clock) -> House:
    house = houses(clock)
    house.connect("crm")
    house.connect("book")
    house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    sync(house.world(), "crm")
    sync(house.world(), "book")
    return house


@pytest.fixture
def tell(house: House) -> Notifier:
    return Notifier(house.store, house.keyring, house.context())


def _subscribe(house: House, url: str, *events: str) -> tuple[int, str]:
    return subscribe(house.store, house.keyring, url, events)


def _edit(house: House, name: str = "given", value: str = "Anna") -> str:
    """A human edits the only person; their uid."""
    with house.store.read() as unit:
        person = people.search(unit, "", limit=1)[0]
    resolve.edit(house.world(), person.uid, {("notes", "n1", "note"): value}, "admin")
    return person.uid


def _listing(house: House, state: str) -> list[hooks.Notice]:
    with house.store.read() as unit:
        return hooks.listing(unit, state)


def test_a_change_is_told_signed_and_without_its_value(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _, secret = _subscribe(house, url)
    uid = _edit(house, value="a very private note")
    tell(TASK)
    [(headers, body)] = ear.heard
    told = Webhook(secret).verify(body, headers)
    assert told["type"] == "person.changed"
    assert told["data"]["person"] == uid
    assert told["data"]["by"] == ["admin"]
    assert all(path.startswith("/notes/") for path in told["data"]["paths"])
    assert b"private" not in body
    assert headers["content-type"] == "application/json"
    tell(TASK)
    assert len(ear.heard) == 1, "once is enough"


def test_nothing_from_before_the_subscription_is_told(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _subscribe(house, url)
    tell(TASK)
    assert ear.heard == []


def test_only_what_was_asked_for(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _subscribe(house, url, "run.finished")
    _edit(house)
    sync(house.world(), "book")
    tell(TASK)
    assert ear.types() == ["run.finished"]
    [said] = ear.said()
    assert said["data"]["connection"] == "book"
    assert said["data"]["outcome"] == "done"
    assert said["data"]["counters"] == {"written": 1}
    with pytest.raises(ValueError, match=r"there are: person\.changed"):
        _subscribe(house, url, "person.sneezed")


def test_runs_in_which_nothing_happened_are_not_told_and_failed_ones_are(
    house: House, tell: Notifier, ear: Ear, url: str
) -> None:
    _subscribe(house, url)
    sync(house.world(), "book")
    tell(TASK)
    assert ear.heard == []

    def refuse(name: str) -> None:
        raise Unauthorised("planted")

    house.busy = refuse
    sync(house.world(), "book")
    tell(TASK)
    assert [(said["type"], said["data"]["outcome"]) for said in ear.said()] == [("run.finished", "paused")]


def test_a_run_that_still_runs_is_told_when_it_ends(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _subscribe(house, url)
    with house.store.begin() as unit:
        dead = runs.start(unit, house.ids["crm"])
        slow = runs.start(unit, house.ids["book"])
    tell(TASK)
    with house.store.begin() as unit:
        later = runs.start(unit, house.ids["crm"])
        runs.finish(unit, later, "failed", "why", {})
        assert hooks.pending(unit)
    tell(TASK)
    with house.store.begin() as unit:
        runs.finish(unit, slow, "done", None, {"created": 2})
        assert hooks.pending(unit)
    tell(TASK)
    assert [said["data"]["run"] for said in ear.said()] == [later, slow], f"run {dead} died"
    with house.store.read() as unit:
        assert not hooks.pending(unit)
        assert hooks.every(unit)[0].place["open"] == [], "the dead are not waited for"


def test_who_is_erased_is_told_of_by_id_only(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _subscribe(house, url, "person.changed")
    uid = _edit(house, value="private")
    privacy.erase(house.world(), uid, "admin")
    tell(TASK)
    assert [(said["data"]["person"], said["data"]["state"]) for said in ear.said()] == [(uid, "erased")]
    assert b"Ann" not in b"".join(body for _, body in ear.heard)


def test_it_is_tried_again_then_later_and_later(house: House, tell: Notifier, ear: Ear, url: str, clock: Clock) -> None:
    _subscribe(house, url, "person.changed")
    ear.answers = [500, 302, 404]
    _edit(house)
    for number, rest in enumerate([timedelta(), *RESTS[:3]]):
        clock.wait(max(0, rest.total_seconds() - 1))
        if number:
            tell(TASK)
            assert len(ear.heard) == number, "not yet"
        clock.wait(2)
        tell(TASK)
        assert len(ear.heard) == number + 1
    assert len({headers["webhook-id"] for headers, _ in ear.heard}) == 1
    assert len({body for _, body in ear.heard}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in ear.heard}) == 4, "each attempt has its own moment"
    [sent] = _listing(house, "sent")
    assert (sent.attempts, sent.answer) == (4, "HTTP 204")


def test_it_waits_as_long_as_it_is_asked_to(house: House, tell: Notifier, ear: Ear, url: str, clock: Clock) -> None:
    _subscribe(house, url, "person.changed")
    ear.answers = [(429, {"retry-after": "120"})]
    _edit(house)
    tell(TASK)
    clock.wait(119)
    tell(TASK)
    assert len(ear.heard) == 1
    clock.wait(2)
    tell(TASK)
    assert len(ear.heard) == 2


def test_nobody_there_then_dead_then_resent(house: House, tell: Notifier, ear: Ear, clock: Clock) -> None:
    _subscribe(house, "http://127.0.0.1:9/nobody", "person.changed")
    _edit(house)
    tell(TASK)
    for rest in RESTS:
        assert _listing(house, "dead") == []
        clock.wait(rest.total_seconds() + 1)
        tell(TASK)
    [dead] = _listing(house, "dead")
    assert dead.attempts == len(RESTS) + 1
    assert "cannot be reached" in (dead.answer or "")
    clock.wait(86_400)
    tell(TASK)
    assert len(_listing(house, "dead")) == 1, "nobody tries any more"
    with house.store.begin() as unit:
        assert hooks.resend(unit) == 1
    [waiting] = _listing(house, "waiting")
    assert (waiting.id, waiting.attempts) == (dead.id, 0)


def test_who_is_gone_is_switched_off_and_can_be_switched_on(
    house: House, tell: Notifier, ear: Ear, url: str, clock: Clock
) -> None:
    number, _ = _subscribe(house, url, "person.changed")
    ear.answers = [410]
    _edit(house)
    tell(TASK)
    with house.store.read() as unit:
        [off] = hooks.every(unit)
    assert off.state == "off"
    assert "410" in (off.reason or "")
    _edit(house, value="more")
    clock.wait(60)
    tell(TASK)
    assert len(ear.heard) == 1
    with house.store.begin() as unit:
        assert hooks.switch(unit, number, "active")
    tell(TASK)
    assert len(ear.heard) == 3


def test_a_deaf_subscriber_holds_up_no_other(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    _subscribe(house, "http://127.0.0.1:9/nobody")
    _subscribe(house, url, "person.changed")
    _edit(house)
    _edit(house, value="again")
    tell(TASK)
    assert ear.types() == ["person.changed"], "two edits before anybody was told are one piece of news"
    _edit(house, value="later")
    tell(TASK)
    assert len(ear.heard) == 2


def test_after_a_failure_the_rest_waits_with_it(house: House, tell: Notifier, ear: Ear, url: str) -> None:
    """So that who is in trouble is not hammered, and hears of things in their order."""
    _subscribe(house, url, "person.changed")
    for number in range(3):
        _edit(house, value=f"edit {number}")
        with house.store.begin() as unit:
            hooks.collect(unit, lambda: f"n{number}")  # noqa: B023
    ear.answers = [500]
    tell(TASK)
    assert len(ear.heard) == 1
    assert sorted(notice.attempts for notice in _listing(house, "waiting")) == [0, 0, 1]


def test_a_crash_between_the_answer_and_its_note_tells_twice_under_one_id(
    house: House, tell: Notifier, ear: Ear, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _subscribe(house, url, "person.changed")
    _edit(house)

    def die(*_: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(hooks, "settle", die)
        with pytest.raises(RuntimeError):
            tell(TASK)
    tell(TASK)
    assert len(ear.heard) == 2
    assert len({headers["webhook-id"] for headers, _ in ear.heard}) == 1


def test_one_whose_key_is_gone_is_switched_off_and_holds_up_no_other(
    house: House, tell: Notifier, ear: Ear, url: str
) -> None:
    number, _ = _subscribe(house, url)
    _subscribe(house, url, "person.changed")
    with house.store.begin() as unit:
        unit.db.execute(hooks.subscriptions.update().where(hooks.subscriptions.c.id == number).values(secret=b"x"))
    _edit(house)
    tell(TASK)
    with house.store.read() as unit:
        assert [found.state for found in hooks.every(unit)] == ["off", "active"]
    assert len(ear.heard) == 1


@pytest.mark.parametrize("wrong", ["ftp://x.test", "x.test/hook", "https://", "https://ann:secret@x.test/"])
def test_addresses_that_cannot_be_told(house: House, wrong: str) -> None:
    with pytest.raises(ValueError, match="address"):
        _subscribe(house, wrong)


def test_the_secret_is_stored_encrypted(house: House, url: str) -> None:
    _, secret = _subscribe(house, url)
    with house.store.read() as unit:
        [found] = hooks.every(unit)
    assert secret.encode() not in found.secret
    assert house.keyring.decrypt(found.secret) == {"secret": secret}


# --- what is kept


def test_what_is_old_goes_and_what_decides_stays(house: House, clock: Clock) -> None:
    from app.store import journal

    uid = _edit(house, value="first")
    clock.wait(86_400)
    _edit(house, value="second")
    clock.wait(86_400 * 40)
    with house.store.read() as unit:
        person = people.search(unit, "", limit=1)[0].id
        before = journal.history(unit, person)
    with house.store.begin() as unit:
        assert keeping.let_go(unit, 0).get("changes") is None, "unless it is said, the journal is kept for ever"
        gone = keeping.let_go(unit, 30)
        after = journal.history(unit, person)
        kept = unit.db.exec_driver_sql("SELECT count(*) FROM runs").scalar()
    assert gone["changes"] == 1
    assert [change for change in before if change not in after] == [
        change for change in before if change.after == "first"
    ]
    assert uid
    assert kept == 2, "the last run of each connection stays"


def test_housekeeping_is_due_once_a_day(house: House, clock: Clock) -> None:
    with house.store.begin() as unit:
        assert keeping.is_due(unit)
        keeping.done(unit)
        assert not keeping.is_due(unit)
    clock.wait(86_401)
    with house.store.read() as unit:
        assert keeping.is_due(unit)


def test_quiet_runs_go_after_a_week_and_the_others_stay(house: House, clock: Clock) -> None:
    for _ in range(5):
        sync(house.world(), "crm")
    clock.wait(86_400 * 8)
    sync(house.world(), "crm")
    with house.store.begin() as unit:
        assert keeping.let_go(unit, 0)["runs"] == 5
    assert len(house.runs()) == 3, "two in which something happened, and the last"
