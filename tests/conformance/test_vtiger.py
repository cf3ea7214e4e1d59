"""The vTiger connector against its sandbox, trap by trap (vtiger note, "Traps")."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from connectors.card import Card
from connectors.contract import Account, Context, Outcome, Page, Push, Record
from connectors.errors import (
    CursorExpired,
    Error,
    Missing,
    Refused,
    Stale,
    Throttled,
    Unauthorised,
    Uncertain,
    Unreachable,
)
from connectors.sandbox import running
from connectors.testing import Mirror
from connectors.vtiger import CONNECTOR, changes
from connectors.vtiger.client import TABLE, Denied
from connectors.vtiger.connector import VtigerConnector, VtigerSettings
from connectors.vtiger.sandbox import ACCESS_KEY, Fault, VtigerSandbox

START = datetime(2026, 11, 22, 1, 43, 33, tzinfo=UTC)
KEY = "5b0e3a1e-0c5e-4f0b-9b57-0d2c5d5b8f11"


@dataclass
class World:
    """A sandbox that is served, and connectors to it. Sleeping lets its clock pass."""

    url: str
    box: VtigerSandbox = field(default_factory=VtigerSandbox)
    slept: list[float] = field(default_factory=list)
    opened: list[VtigerConnector] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)

    def serve(self, **options: Any) -> VtigerSandbox:
        self.box = VtigerSandbox(clock=lambda: START, **options)
        self.memory = {}
        return self.box

    def open(self, **settings: Any) -> VtigerConnector:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.box.advance(seconds)

        given = CONNECTOR.settings(**{**self.box.settings(self.url), **settings})
        opened = CONNECTOR.open(given, self._context(sleep))
        assert isinstance(opened, VtigerConnector)
        self.opened.append(opened)
        return opened

    def _context(self, sleep: Callable[[float], None]) -> Context:
        kept = self.memory
        return Context(self.box.now, sleep, lambda: 0.5, memory=dict(kept), remember=kept.__setitem__)

    def log(self, act: Callable[[], Any]) -> list[str]:
        """The requests that an act costs."""
        before = len(self.box.faults.log)
        act()
        return self.box.faults.log[before:]


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    made = World("")
    with running(made) as made.url:
        yield made


@pytest.fixture
def world(served: World) -> Iterator[World]:
    served.serve()
    served.slept.clear()
    yield served
    for connector in served.opened:
        connector.close()
    served.opened.clear()


def contact(connector: VtigerConnector, **card: Any) -> Card:
    name = {"components": [{"kind": "given", "value": "Ann"}, {"kind": "surname", "value": "Lee"}]}
    return connector.fit({"name": name, **card}, None)


def push(connector: VtigerConnector, held: Record | None, card: Card | None, key: str = KEY) -> Outcome:
    [outcome] = connector.write([Push("ref", key, held, card)])
    assert outcome.ref == "ref"
    return outcome


def made(connector: VtigerConnector, card: Card, key: str = KEY) -> Record:
    outcome = push(connector, None, card, key)
    assert outcome.error is None
    assert outcome.record is not None
    return outcome.record


def changed(connector: VtigerConnector, held: Record, **fields: Any) -> Outcome:
    """What comes of writing these fields over a record; None takes a field away."""
    card = {name: value for name, value in {**(held.card or {}), **fields}.items() if value is not None}
    return push(connector, held, connector.fit(card, held.card))


def one(connector: VtigerConnector, record: str) -> Record:
    [found] = connector.read([record])
    return found


def surnames(records: Sequence[Record]) -> set[str]:
    return {record.card["name"]["components"][-1]["value"] for record in records if record.card}


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_dead_session_is_renewed_once(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector))
    world.box.kill_sessions()
    cost = world.log(lambda: one(connector, held.id))
    assert [line.split("operation=")[1].split("&")[0] for line in cost if "operation" in line] == [
        "query",
        "getchallenge",
        "query",
    ]
    world.box.advance(31 * 60)  # SESSION_LEFT_IDLE
    assert push(connector, held, None).error is None
    assert world.box.rows() == []


def test_two_programs_that_log_in_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenge voids that user's earlier one (transcript 01): the login is tried again."""
    connector, box = world.open(), world.box
    challenge, others = box._challenge, itertools.count()

    def interrupted(given: Any) -> Any:
        answer = challenge(given)
        if next(others) == 0:
            challenge(given)
        return answer

    monkeypatch.setattr(box, "_challenge", interrupted)
    assert connector.check().label == "admin at vTiger 8.2.0"


def test_wrong_credentials(world: World) -> None:
    for wrong in ({"access_key": "wrong"}, {"username": "nobody"}):
        with pytest.raises(Unauthorised, match="My Preferences") as caught:
            world.open(**wrong).check()
        assert ACCESS_KEY not in str(caught.value)


def test_a_web_page_instead_of_an_answer(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector))
    world.box.faults.add("html", "^GET /webservice.*query", times=9)
    with pytest.raises(Unreachable, match="no answer of its API"):
        one(connector, held.id)
    assert len(world.slept) == 3, "a read is tried again"
    world.box.faults.clear()
    world.box.faults.add("html", "^POST /webservice")
    assert isinstance(push(connector, None, contact(connector), "k2").error, Uncertain)


@pytest.mark.parametrize("kind", ["unavailable", "error_after", "lost_after", "html"])
@pytest.mark.parametrize("cloud", [False, True])
def test_a_create_without_an_answer_is_found_once(world: World, kind: Any, cloud: bool) -> None:
    world.serve(cloud=cloud)
    connector = world.open()
    connector.check()
    card = contact(connector)
    world.box.faults.add(kind, "^POST ")
    outcome = push(connector, None, card)
    assert isinstance(outcome.error, Uncertain)
    found = list(connector.find([Push("ref", KEY, None, card), Push("other", "another key", None, card)]))
    took_effect = kind in ("error_after", "lost_after")
    assert [ref for ref, _ in found] == (["ref"] if took_effect else [])
    assert [record.key for _, record in found] == [KEY] * took_effect


def test_a_row_for_an_owner_that_does_not_exist_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transcript 03, "create bad owner id": text for an answer, and the row is there."""
    connector = world.open()
    monkeypatch.setattr(connector, "_owner", "19x999")
    card = contact(connector)
    assert isinstance(push(connector, None, card).error, Uncertain)
    [(ref, record)] = connector.find([Push("ref", KEY, None, card)])
    assert (ref, record.id) == ("ref", "12x2")


def test_find_without_our_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps `source` from queries: the newest record that shows all that was sent."""
    box, connector = world.box, world.open()
    test = box._test

    def kept_from_queries(schema: Any, condition: Any) -> Any:
        if condition.column == "source":
            raise sandbox_denied("Permission to access source attribute denied.")
        return test(schema, condition)

    monkeypatch.setattr(box, "_test", kept_from_queries)
    emails = {"e": {"address": "ann@example.com"}}
    card = contact(connector, emails=emails, organizations={"o": {"name": "Acme"}})
    box.seed([{"lastname": "Lee", "firstname": "Ann", "email": "ann@example.com", "source": "concord:someone else"}])
    assert list(connector.find([Push("ref", KEY, None, card)])) == []
    [theirs] = box.seed([{"lastname": "Lee", "firstname": "Ann", "email": "ANN@example.com", "accountname": "Acme"}])
    assert list(connector.find([Push("ref", KEY, None, card)])) == [], "another spelling is not what we sent"
    box.edit(theirs, email="ann@example.com")
    assert [record.id for _, record in connector.find([Push("ref", KEY, None, card)])] == [theirs]


def sandbox_denied(message: str) -> Exception:
    return Fault("ACCESS_DENIED", message)


def test_throttling_ends_the_run_and_says_how_long(world: World) -> None:
    world.serve(cloud=True)
    connector = world.open()
    held = made(connector, contact(connector))
    world.box.faults.add("throttle", times=99, retry_after=900)
    with pytest.raises(Throttled) as caught:
        changed(connector, held, titles={"t": {"name": "CEO"}})
    assert caught.value.retry_after == 900


def test_duplicates_are_refused_with_their_reason(world: World) -> None:
    world.serve(unique=["email"])
    connector = world.open()
    world.box.seed([{"lastname": "One", "email": "one@example.com"}])
    card = contact(connector, emails={"e": {"address": "one@example.com"}})
    outcome = push(connector, None, card)
    assert isinstance(outcome.error, Refused)
    assert "Duplicate(s) detected!" in str(outcome.error)


def test_denied_means_gone_or_forbidden(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same error for both (note A3): a query tells."""
    connector, box = world.open(), world.box
    gone, forbidden = (made(connector, contact(connector), f"k{n}") for n in range(2))
    remove, asked = box._remove, itertools.count()

    def removed_first(given: Any) -> Any:
        if next(asked) == 0:
            box.remove(given["id"])
            return remove(given)
        raise sandbox_denied("Permission to perform the operation is denied")

    monkeypatch.setattr(box, "_remove", removed_first)
    assert isinstance(push(connector, gone, None).error, Missing)
    error = push(connector, forbidden, None).error
    assert type(error) is not Missing
    assert isinstance(error, Refused)


def test_a_page_that_is_no_vtiger(world: World) -> None:
    with pytest.raises(Unreachable, match="no vTiger web service at this URL"):
        world.open(url=world.url + "/elsewhere").check()


def test_settings_say_what_is_wrong() -> None:
    good = {"url": "https://crm.example.com/", "username": "admin", "access_key": "x"}
    CONNECTOR.settings(**good)
    for wrong in (
        {"url": "crm.example.com"},
        {"create_as": "Leads"},
        {"server_zone": "Mars/Olympus"},
        {"rate": 0},
        {"unknown": 1},
    ):
        with pytest.raises(ValidationError):
            CONNECTOR.settings(**{**good, **wrong})
    assert "x" not in repr(VtigerSettings(**good).access_key).replace("SecretStr", "").replace("*", "")


@pytest.mark.parametrize("ending", ["", "/", "/webservice.php"])
def test_the_address_may_end_as_it_likes(world: World, ending: str) -> None:
    assert world.open(url=world.url + ending).check().label == "admin at vTiger 8.2.0"


# --- who and what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "label", "note"),
    [
        ({}, "admin at vTiger 8.2.0", r"sync is not used \(this server fails at it \(HTTP 500\)\)"),
        ({"sync": "missing"}, "admin at vTiger 8.2.0", "HTTP 500"),
        ({"sync": "missing", "php8": False}, "admin at vTiger 8.2.0", "UNKNOWN_OPERATION"),
        ({"sync": "working", "admin": False}, "admin at vTiger 8.2.0", "Only admin users"),
        ({"sync": "working", "admin": False}, "admin at vTiger 8.2.0", "is no administrator"),
        ({"sync": "working"}, "admin at vTiger 8.2.0", None),
        ({"sync": "working", "cloud": True}, "admin at vTiger", None),
    ],
)
def test_check_says_what_is_possible(world: World, options: dict[str, Any], label: str, note: str | None) -> None:
    box = world.serve(**options)
    box.seed([{"lastname": "Lee"}])
    account = world.open().check()
    assert isinstance(account, Account)
    assert account.label == label
    if note is None:
        assert account.notes == []
    else:
        assert any(re.search(note, said) for said in account.notes)
        assert len(account.notes) == (2 if options.get("admin") is False else 1)
    if not options.get("cloud"):
        assert account.clock == START


def test_the_cloud_is_known_by_its_door(world: World) -> None:
    world.serve(cloud=True)
    connector = world.open()
    assert not any("webservice" in line for line in world.log(connector.check))


def test_which_door_a_server_has_is_asked_once(world: World) -> None:
    asked = lambda: [line for line in world.log(lambda: world.open().read(["12x1"]).__next__()) if "/me" in line]  # noqa: E731
    assert len(asked()) == 1
    assert asked() == [], "it is remembered for later runs"
    assert len([line for line in world.log(world.open().check) if "/me" in line]) == 1, "a check asks anew"


def test_a_server_that_moved_to_the_cloud_is_found_there(world: World) -> None:
    world.open().check()
    kept = world.memory
    world.serve(cloud=True)
    world.memory = kept
    world.box.seed([{"lastname": "Lee"}])
    world.box.faults.add("unavailable", "webservice", times=99)
    [row] = world.box.rows()
    assert one(world.open(), row["id"]).card
    assert kept == {"door": "Cloud"}


def test_a_remembered_door_that_does_not_open_says_why(world: World) -> None:
    world.open().check()
    with pytest.raises(Unauthorised, match="enter user name and access key again"):
        one(world.open(access_key="wrong"), "12x1")


@pytest.mark.parametrize(
    ("owner", "assigned"), [(None, "19x1"), ("ben", "19x5"), ("19x5", "19x5"), ("Team Selling", "20x2")]
)
def test_new_records_have_an_owner(world: World, owner: str | None, assigned: str) -> None:
    connector = world.open(owner=owner)
    connector.check()
    made(connector, contact(connector, organizations={"o": {"name": "Acme"}}))
    assert [row["assigned_user_id"] for row in world.box.rows()] == [assigned]
    assert [row["assigned_user_id"] for row in world.box.rows("Accounts")] == [assigned]


def test_an_unknown_owner_is_refused_before_anything_is_stored(world: World) -> None:
    connector = world.open(owner="19x999")
    with pytest.raises(Unauthorised, match="neither a user nor a group"):
        connector.check()
    with pytest.raises(Unauthorised):
        made(connector, contact(connector))
    assert world.box.rows() == []


# --- reading ---------------------------------------------------------------------------------------------------------

MODES = {
    "broken": {"sync": "broken"},
    "working": {"sync": "working"},
    "cloud": {"sync": "working", "cloud": True},
    "ahead": {"sync": "working", "zone": 5 * 3600 + 1800},
    "behind": {"sync": "working", "zone": -8 * 3600},
}


@pytest.fixture(params=MODES)
def box(world: World, request: pytest.FixtureRequest) -> VtigerSandbox:
    return world.serve(**MODES[request.param])


def test_every_change_and_deletion_arrives(world: World, box: VtigerSandbox) -> None:
    """Edits, deletions and newcomers at random, many in one second, with looks at any time between."""
    chance = random.Random(7)
    ids = box.seed({"lastname": f"Seed{n}", "accountname": f"Firm{n % 7}"} for n in range(130))
    mirror = Mirror(world.open())
    mirror.pull()
    for step in range(60):
        for _ in range(chance.choice((0, 1, 1, 3, 130 if step % 20 == 5 else 2))):
            act = chance.choice(("edit", "edit", "make", "remove", "rename"))
            if act == "make" or not ids:
                ids += box.seed([{"lastname": f"New{step}", "accountname": f"Firm{step % 7}"}])
            elif act == "edit":
                box.edit(chance.choice(ids), title=f"Step {step}")
            elif act == "rename":
                account = chance.choice(box.rows("Accounts"))["id"]
                box.edit(account, accountname=f"Renamed {step}")
            else:
                box.remove(ids.pop(chance.randrange(len(ids))))
        box.advance(chance.choice((0, 0, 0.4, 1, 2, 5)))
        mirror.pull()
    box.advance(3)
    mirror.pull()
    assert set(mirror.known) == set(ids)
    fresh = Mirror(world.open())
    fresh.pull()
    assert {i: r.card for i, r in mirror.known.items()} == {i: r.card for i, r in fresh.known.items()}


def test_an_edit_in_the_second_of_the_last_look(world: World, box: VtigerSandbox) -> None:
    [lee] = box.seed([{"lastname": "Lee"}])
    mirror = Mirror(world.open())
    mirror.pull()
    for title in ("one", "two", "three"):
        box.edit(lee, title=title)
        [news] = mirror.pull().changed.values()
        assert news.card is not None
        assert news.card["titles"]["title"]["name"] == title


def test_a_silent_run_is_cheap_and_says_nothing(world: World, box: VtigerSandbox) -> None:
    box.seed({"lastname": f"Lee{n}", "accountname": f"Firm{n}"} for n in range(250))
    mirror = Mirror(world.open())
    for _ in range(3):
        mirror.pull()
        box.advance(2)
    for _ in range(2):
        before = len(box.faults.log)
        assert mirror.pull().shown == []
        assert len(box.faults.log) - before <= 5


def test_more_than_a_page_in_one_second(world: World, box: VtigerSandbox) -> None:
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(340))
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(5)
    mirror.pull()
    for record in ids:
        box.edit(record, title="CEO")
    assert set(mirror.pull().changed) == set(ids)


def test_a_listing_that_was_broken_off_goes_on(world: World, box: VtigerSandbox) -> None:
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(350))
    mirror = Mirror(world.open())
    mirror.pull(most=2)
    assert len(mirror.known) == 200
    mirror.connector = world.open()
    box.remove(ids[3])
    box.edit(ids[4], title="CEO")
    news = mirror.pull()
    assert news.gone == {ids[3]}
    assert mirror.known[ids[4]].card is not None
    assert "titles" in (mirror.known[ids[4]].card or {})
    assert set(mirror.known) == set(ids) - {ids[3]}


def test_a_second_listing_that_was_broken_off_still_finds_what_is_gone(world: World, box: VtigerSandbox) -> None:
    """Deleted while there was no cursor: only a listing that names everything in one go can tell."""
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(250))
    mirror = Mirror(world.open())
    mirror.pull()
    box.remove(ids[3])
    mirror.cursor = None
    assert mirror.pull(most=2).gone == set()
    assert mirror.pull().gone == {ids[3]}


def test_hidden_rows_are_not_the_end(world: World) -> None:
    """Note A4: pages may be short, and even empty, in the middle."""
    box = world.box
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(600))
    box.hidden |= {*ids[50:60], *ids[200:450], *ids[590:]}
    mirror = Mirror(world.open())
    mirror.pull()
    seen = set(ids) - box.hidden
    assert set(mirror.known) == seen
    box.advance(5)
    mirror.pull()
    box.remove(ids[0])
    box.remove(ids[550])
    assert mirror.pull().gone == {ids[0], ids[550]}


def test_deletions_cost_a_listing_of_ids_only_when_there_are_any(world: World) -> None:
    box = world.box
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(250))
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(5)
    mirror.pull()
    box.remove(ids[7])
    made_meanwhile = box.seed([{"lastname": "New"}])
    news = mirror.pull()
    assert (news.gone, set(news.changed)) == ({ids[7]}, set(made_meanwhile))
    assert news.pages[-1].complete
    cost = world.log(mirror.pull)
    assert not [line for line in cost if "select+id+from+Contacts+order" in line]
    # One that came and went between two looks that saw it is noticed as well.
    box.remove(made_meanwhile[0])
    assert mirror.pull().gone == set(made_meanwhile)


def test_everything_is_read_again_once_a_day(world: World) -> None:
    """What changes without a trace: a record that becomes visible, an account that is taken away."""
    box = world.box
    hidden, orphan = box.seed([{"lastname": "Hidden"}, {"lastname": "Orphan", "accountname": "Acme"}])
    box.hidden.add(hidden)
    mirror = Mirror(world.open(full_every=12))
    mirror.pull()
    box.advance(5)
    mirror.pull()
    box.hidden.clear()
    box.remove(box.rows("Accounts")[0]["id"])
    assert hidden not in mirror.pull().named
    box.advance(12 * 3600)
    mirror.pull()
    assert hidden in mirror.known
    assert "organizations" not in (mirror.known[orphan].card or {})


def test_a_renamed_account_shows_in_its_contacts(world: World, box: VtigerSandbox) -> None:
    acme = [{"lastname": f"Lee{n}", "accountname": "Acme"} for n in range(120)]
    ids = box.seed([*acme, {"lastname": "Other", "accountname": "Globex"}])
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(5)
    mirror.pull()
    account = next(row["id"] for row in box.rows("Accounts") if row["accountname"] == "Acme")
    box.edit(account, website="acme.example")
    assert mirror.pull().shown == [], "another column of the account is nothing to us"
    box.edit(account, accountname="Acme & Sons")
    news = mirror.pull()
    assert set(news.changed) == set(ids[:-1])
    assert {r.card["organizations"]["account_id"]["name"] for r in news.changed.values() if r.card} == {"Acme & Sons"}


def test_an_account_that_is_renamed_while_we_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One contact comes with the new name in the same run; the others must not be taken for known by it."""
    box = world.box
    one_of_them, other = box.seed({"lastname": name, "accountname": "Acme"} for name in ("Lee", "Ray"))
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(5)
    mirror.pull()
    box.edit(one_of_them, title="CEO")
    query = box._query

    def renamed_before(given: Any) -> Any:
        if given["query"].startswith("select * from Contacts where modifiedtime"):
            box.edit(box.rows("Accounts")[0]["id"], accountname="Acme & Sons")
        return query(given)

    with monkeypatch.context() as patch:
        patch.setattr(box, "_query", renamed_before)
        assert set(mirror.pull().changed) == {one_of_them}
    assert set(mirror.pull().changed) == {other}


def test_a_renamed_account_among_very_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many names to remember: the contacts of whatever account changed are read again."""
    monkeypatch.setattr(changes, "MOST_NAMES", 5)
    box = world.box
    ids = box.seed({"lastname": f"Lee{n}", "accountname": f"Firm{n}"} for n in range(10))
    mirror = Mirror(world.open())
    mirror.pull()
    assert mirror.cursor["names"] is None
    box.advance(5)
    mirror.pull()
    box.advance(5)
    box.edit(box.rows("Accounts")[3]["id"], accountname="Renamed")
    assert set(mirror.pull().changed) == {ids[3]}


def test_more_newcomers_than_are_asked_for_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_FRESH", 10)
    box = world.box
    box.seed([{"lastname": "First"}])
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(5)
    ids = box.seed({"lastname": f"Lee{n}"} for n in range(30))
    mirror.pull()
    box.remove(ids[25])
    assert mirror.pull().gone == {ids[25]}
    box.advance(5)
    mirror.pull()
    box.remove(ids[2])
    assert mirror.pull().gone == {ids[2]}


@pytest.mark.parametrize("sync", ["broken", "working"])
def test_a_cursor_is_plain_json_and_bounded(world: World, sync: str) -> None:
    box = world.serve(sync=sync)
    box.seed({"lastname": f"Lee{n}", "accountname": f"Firm{n}"} for n in range(1_500))
    mirror = Mirror(world.open())
    mirror.pull()
    box.advance(1)
    mirror.pull()
    text = json.dumps(mirror.cursor)
    assert json.loads(text) == mirror.cursor
    assert len(text) < 100_000


def test_other_settings_need_another_cursor(world: World) -> None:
    mirror = Mirror(world.open())
    mirror.pull()
    with pytest.raises(CursorExpired):
        list(world.open(leads=True).changes(mirror.cursor))


# --- sync ------------------------------------------------------------------------------------------------------------


def test_sync_is_used_where_it_shows_everybodys_records(world: World) -> None:
    box = world.serve(sync="working")
    box.seed([{"lastname": "Mine"}, {"lastname": "Theirs", "assigned_user_id": "19x5"}])
    mirror = Mirror(world.open())
    mirror.pull()
    assert (mirror.cursor["zone"], mirror.cursor["proven"]) == (0, True)
    box.edit(box.rows()[1]["id"], title="CEO")
    assert len(mirror.pull().changed) == 1


def test_stock_sync_shows_only_ones_own_and_is_not_used(world: World) -> None:
    """`syncType` is not in the stock operation table (note A5): others' records never come."""
    box = world.serve(sync="working", scopes=False)
    [_, theirs] = box.seed([{"lastname": "Mine"}, {"lastname": "Theirs", "assigned_user_id": "19x5"}])
    mirror = Mirror(world.open())
    mirror.pull()
    assert mirror.cursor["zone"] is None
    box.advance(5)
    box.edit(theirs, title="CEO")
    assert set(mirror.pull().changed) == {theirs}


def test_sync_is_left_when_somebody_elses_record_appears_that_it_hides(world: World) -> None:
    box = world.serve(sync="working", scopes=False)
    [mine] = box.seed([{"lastname": "Mine"}])
    mirror = Mirror(world.open())
    mirror.pull()
    assert (mirror.cursor["zone"], mirror.cursor["proven"]) == (0, False)
    box.advance(5)
    box.edit(mine, assigned_user_id="19x5", title="CEO")
    with pytest.raises(CursorExpired, match="only the records of its user"):
        list(mirror.connector.changes(mirror.cursor))
    assert set(mirror.pull().changed) == {mine}
    assert mirror.cursor["zone"] is None


def test_sync_that_breaks_later(world: World) -> None:
    """PHP is upgraded under us."""
    box = world.serve(sync="working")
    ids = box.seed([{"lastname": "One"}, {"lastname": "Two"}])
    mirror = Mirror(world.open())
    mirror.pull()
    box.options.sync = "broken"
    box.remove(ids[0])
    with pytest.raises(CursorExpired, match="sync does not work any more"):
        list(mirror.connector.changes(mirror.cursor))
    assert mirror.pull().gone == {ids[0]}
    box.edit(ids[1], title="CEO")
    assert set(mirror.pull().changed) == {ids[1]}


def test_one_failure_of_sync_is_no_reason_to_list_everything(world: World) -> None:
    box = world.serve(sync="working")
    box.seed([{"lastname": "One"}])
    mirror = Mirror(world.open())
    mirror.pull()
    box.faults.add("error_after", "operation=sync")
    cost = world.log(mirror.pull)
    assert sum("operation=sync" in line for line in cost) == 2


# --- writing ---------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_sent(world: World) -> None:
    box, connector = world.box, world.open()
    [lee] = box.seed([{"lastname": "Lee", "email": "lee@example.com", "donotcall": "1", "leadsource": "Web"}])
    held = one(connector, lee)
    box.advance(1)
    outcome = changed(connector, held, titles={"t": {"name": "CEO"}})
    assert outcome.record is not None
    assert outcome.record.modified == START + timedelta(seconds=1)
    [row] = box.rows()
    assert (row["title"], row["email"], row["donotcall"], row["leadsource"]) == ("CEO", "lee@example.com", "1", "Web")


def test_nothing_is_sent_when_nothing_differs(world: World) -> None:
    """Every save bumps modifiedtime (note A3)."""
    connector = world.open()
    held = made(connector, contact(connector))
    outcomes: list[Outcome] = []
    assert world.log(lambda: outcomes.append(push(connector, held, held.card))) == []
    assert outcomes[0].record is held


def test_a_change_under_us_in_the_same_second(world: World) -> None:
    box, connector = world.box, world.open()
    held = made(connector, contact(connector))
    box.edit(held.id, title="CEO")
    assert isinstance(changed(connector, held, notes={"n": {"note": "x"}}).error, Stale)
    assert isinstance(push(connector, held, None).error, Stale)
    again = one(connector, held.id)
    assert changed(connector, again, notes={"n": {"note": "x"}}).error is None
    assert push(connector, one(connector, held.id), None).error is None


def test_what_is_gone_is_missing(world: World) -> None:
    box, connector = world.box, world.open()
    held = made(connector, contact(connector))
    box.remove(held.id)
    assert isinstance(changed(connector, held, notes={"n": {"note": "x"}}).error, Missing)
    assert isinstance(push(connector, held, None).error, Missing)
    assert one(connector, held.id).card is None


def test_one_bad_apple(world: World) -> None:
    connector = world.open()
    pushes = [Push(f"{n}", f"k{n}", None, contact(connector) if n != 1 else {}) for n in range(3)]
    outcomes = {outcome.ref: outcome for outcome in connector.write(pushes)}
    assert isinstance(outcomes["1"].error, Refused)
    assert "last name" in str(outcomes["1"].error)
    assert outcomes["0"].error is outcomes["2"].error is None


def test_a_batch_is_read_again_in_one_request(world: World) -> None:
    connector = world.open()
    held = [made(connector, contact(connector), f"k{n}") for n in range(15)]
    pushes = [
        Push(r.id, r.id, r, connector.fit({**(r.card or {}), "titles": {"t": {"name": "CEO"}}}, r.card)) for r in held
    ]
    cost = world.log(lambda: list(connector.write(pushes)))
    assert len(cost) == 1 + len(held)


def test_what_the_server_shows_is_what_is_held(world: World) -> None:
    """Emoji, entities, long text: `fit` says beforehand what is left of them."""
    connector = world.open()
    card = contact(
        connector,
        notes={"n": {"note": "Hello 👩‍👧 &amp;lt; world 😀"}},
        titles={"t": {"name": "T" * 70}},
        organizations={"o": {"name": "R&amp;D", "units": [{"name": "U" * 40}, {"name": "second"}]}},
    )
    held = made(connector, card)
    assert held.card is not None
    assert held.card["notes"]["description"]["note"] == "Hello  < world"
    assert connector.fit(held.card, held.card) == held.card
    assert card["titles"]["t"]["name"] == held.card["titles"]["title"]["name"] == "T" * 50
    assert held.card["organizations"]["account_id"]["name"] == "R&D"
    assert held.card["organizations"]["account_id"]["units"] == [{"name": "U" * 30}]


def test_emoji_that_a_server_keeps_are_left_alone(world: World) -> None:
    box = world.serve(utf8mb4=True)
    connector = world.open()
    [lee] = box.seed([{"lastname": "Lee 😀", "title": "CEO"}])
    held = one(connector, lee)
    assert held.card is not None
    assert connector.fit(held.card, held.card) == held.card
    assert changed(connector, held, titles={"t": {"name": "CTO"}}).error is None
    assert box.rows()[0]["lastname"] == "Lee 😀"


# --- organisations ---------------------------------------------------------------------------------------------------


def named(name: str) -> dict[str, Any]:
    return {"o": {"name": name}}


def test_an_account_is_found_by_name_or_made(world: World) -> None:
    box, connector = world.box, world.open()
    [acme, _, globex] = box.seed(
        [{"accountname": "Acme"}, {"accountname": "Acme"}, {"accountname": "GLOBEX Inc"}], "Accounts"
    )
    firms = ["Acme", "Globex inc", "New", "New", 'O\'Neil "Q" back\\slash', 'O\'Neil "Q" back\\slash']
    pushes = [
        Push(str(n), f"k{n}", None, contact(connector, organizations=named(firm))) for n, firm in enumerate(firms)
    ]
    assert all(outcome.error is None for outcome in connector.write(pushes))
    accounts = {row["id"]: row["accountname"] for row in box.rows("Accounts")}
    assert len(accounts) == 5
    assert [accounts[row["account_id"]] for row in box.rows()] == ["Acme", "GLOBEX Inc", *firms[2:]]
    assert [row["account_id"] for row in box.rows()][:2] == [acme, globex]


def test_another_organisation_renames_no_account(world: World) -> None:
    box, connector = world.box, world.open()
    [lee, _] = box.seed([{"lastname": "Lee", "accountname": "Acme"}, {"lastname": "Ray", "accountname": "Acme"}])
    outcome = changed(connector, one(connector, lee), organizations=named("Globex"))
    assert outcome.record is not None
    assert outcome.record.card is not None
    assert outcome.record.card["organizations"]["account_id"]["name"] == "Globex"
    assert [row["accountname"] for row in box.rows("Accounts")] == ["Acme", "Globex"]
    outcome = changed(connector, one(connector, lee), organizations=None)
    assert outcome.record is not None
    assert "organizations" not in (outcome.record.card or {})
    assert box.rows()[0]["account_id"] == ""


def test_a_server_that_does_not_clear_references(world: World) -> None:
    box = world.serve(clears_references=False)
    connector = world.open()
    [lee] = box.seed([{"lastname": "Lee", "accountname": "Acme"}])
    outcome = changed(connector, one(connector, lee), organizations=None)
    assert outcome.record is not None
    assert "organizations" in (outcome.record.card or {}), "the answer is what it shows, not what was sent"


@pytest.mark.parametrize("kind", ["error_after", "unavailable"])
def test_an_account_that_may_have_been_made(world: World, kind: Any) -> None:
    """The answer is lost: it is looked up, and not made twice."""
    connector = world.open()
    card = contact(connector, organizations=named("Acme"))
    connector.check()
    world.box.faults.add(kind, "^POST ")
    error = push(connector, None, card).error
    assert (error is None) == (kind == "error_after")
    assert error is None or isinstance(error, Uncertain)
    assert error is None or push(connector, None, card).error is None
    assert [row["accountname"] for row in world.box.rows("Accounts")] == ["Acme"]
    assert len(world.box.rows()) == 1


# --- leads -----------------------------------------------------------------------------------------------------------


def test_leads_are_read_and_written_in_their_own_columns(world: World) -> None:
    box, connector = world.box, world.open(leads=True)
    [lead] = box.seed([{"lastname": "Lee", "company": "LCo", "designation": "CEO", "website": "l.example"}], "Leads")
    mirror = Mirror(connector)
    mirror.pull()
    held = mirror.known[lead]
    assert held.card is not None
    assert held.card["links"]["website"]["uri"] == "l.example"
    outcome = changed(
        connector,
        held,
        organizations=named("Other Co"),
        addresses={"a": {"concord:lines": "1 High St", "components": []}},
    )
    assert outcome.error is None
    [row] = box.rows("Leads")
    assert (row["company"], row["lane"], row["designation"]) == ("Other Co", "1 High St", "CEO")
    assert box.rows("Accounts") == []
    assert outcome.record is not None
    assert push(connector, outcome.record, None).error is None
    assert box.rows("Leads") == []


def test_a_lead_that_looks_like_a_contact(world: World) -> None:
    """Its view has no slot that only Leads have: what was fitted for a contact goes to the same places."""
    box, connector = world.box, world.open(leads=True)
    [lead] = box.seed([{"lastname": "Lee", "email": "lee@example.com"}], "Leads")
    outcome = changed(connector, one(connector, lead), titles={"t": {"name": "CEO"}}, organizations=named("LCo"))
    assert outcome.error is None
    [row] = box.rows("Leads")
    assert (row["designation"], row["company"]) == ("CEO", "LCo")


def test_new_contacts_as_leads(world: World) -> None:
    connector = world.open(leads=True, create_as="Leads")
    held = made(connector, contact(connector, organizations=named("LCo")))
    assert held.id.startswith("10x")
    assert world.box.rows("Leads")[0]["company"] == "LCo"
    [(_, found)] = connector.find([Push("ref", KEY, None, held.card)])
    assert found.id == held.id


def test_a_converted_lead_is_gone_and_its_contact_is_new(world: World) -> None:
    for sync in ("broken", "working"):
        box = world.serve(sync=sync)
        [lead] = box.seed([{"lastname": "Lee", "company": "LCo"}], "Leads")
        mirror = Mirror(world.open(leads=True))
        mirror.pull()
        box.advance(5)
        mirror.pull()
        person = box.convert(lead)
        news = mirror.pull()
        assert news.gone == {lead}
        assert set(news.changed) == {person}


def test_ids_of_other_modules_are_nobody(world: World) -> None:
    connector = world.open(leads=True)
    account = world.box.seed([{"accountname": "Acme"}], "Accounts")[0]
    assert [record.card for record in connector.read([account, "12x999", "nonsense"])] == [None, None, None]


# --- the rest --------------------------------------------------------------------------------------------------------


def test_the_servers_zone_is_a_setting(world: World) -> None:
    box = world.serve(zone=3600)
    [lee] = box.seed([{"lastname": "Lee"}])
    assert one(world.open(server_zone="Europe/Berlin"), lee).modified == START


def test_our_key_is_kept_in_source(world: World) -> None:
    connector = world.open()
    held = made(connector, contact(connector))
    assert held.key == KEY
    assert world.box.rows()[0]["source"] == f"concord:{KEY}"
    [other] = world.box.seed([{"lastname": "Human"}])
    assert one(connector, other).key is None


def test_pages_say_how_many_there_are(world: World) -> None:
    world.box.seed({"lastname": f"Lee{n}"} for n in range(150))
    pages: list[Page] = list(world.open().changes(None))
    assert pages[0].total == 150
    assert [page.complete for page in pages] == [False, False, True]
    assert surnames(pages[0].records) | surnames(pages[1].records) == {f"Lee{n}" for n in range(150)}


def test_errors_are_told_by_class() -> None:
    """Every code of note A6 that a user can meet is in the table, for reading and for writing."""
    for reading, writing in TABLE.values():
        assert issubclass(reading, Error)
        assert issubclass(writing, Error)
        assert reading is not Uncertain, "reading has no effect"
    assert TABLE["ACCESS_DENIED"] == (Unauthorised, Denied)
