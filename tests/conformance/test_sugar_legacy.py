"""What the connector for v4_1 promises beyond the conformance kit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from connectors.card import components
from connectors.consent import Consent, shown
from connectors.contract import Context, Outcome, Push, Record
from connectors.errors import Missing, Refused, Stale, Unauthorised, Uncertain, Unreachable
from connectors.http import Http
from connectors.sandbox import running
from connectors.sugarcrm.legacy import changes
from connectors.sugarcrm.legacy.connector import Legacy, speaks
from connectors.sugarcrm.legacy.mapping import keeps
from connectors.sugarcrm.legacy.sandbox import SuiteSandbox
from connectors.sugarcrm.settings import SugarSettings
from connectors.testbench import Mirror

START = datetime(2026, 11, 22, 1, 55, 45, tzinfo=UTC)
KEYS = [f"0198c0de-0000-7000-8000-{n:012}" for n in range(1, 40)]


class Host:
    """One server for all tests; each has a box of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.box = SuiteSandbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.box.app(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with running(made) as made.url:
        yield made


class World:
    """A box, a connector on it, and the number of requests."""

    def __init__(self, host: Host, **options: Any) -> None:
        self.host, self.box = host, SuiteSandbox(clock=lambda: START, **options)
        host.box = self.box
        self.requests = 0
        self.opened: list[Legacy] = []

    def open(self, **settings: Any) -> Legacy:
        def counted(method: str, sent: int, received: int) -> None:
            self.requests += 1

        context = Context(now=self.box.now, sleep=self.box.advance, random=lambda: 0.5, requests=counted)
        self.opened.append(Legacy(SugarSettings(**{**self.box.settings(self.host.url), **settings}), context))
        return self.opened[-1]

    def spent(self, act: Callable[[], Any]) -> int:
        before = self.requests
        act()
        return self.requests - before

    def only(self) -> dict[str, Any]:
        [row] = self.box.rows()
        return row


MakeWorld = Callable[..., World]


@pytest.fixture
def world(host: Host) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(host, **options))
        return made[-1]

    yield make
    for each in made:
        for connector in each.opened:
            connector.close()


def card(surname: str = "Lovelace", given: str = "Ada", *emails: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": {"components": components({"given": given, "surname": surname})}, **fields}
    if emails:
        made["emails"] = {f"e{n}": {"address": address} for n, address in enumerate(emails, 1)}
    return made


def creation(connector: Legacy, what: Mapping[str, Any], key: str = KEYS[0], consents: Sequence[Consent] = ()) -> Push:
    return Push(ref=key, key=key, held=None, card=connector.fit(what, None), consents=consents)


def edit(held: Record, consents: Sequence[Consent] = (), **fields: Any) -> Push:
    return Push(ref=held.id, key=KEYS[0], held=held, card={**(held.card or {}), **fields}, consents=consents)


def write(connector: Legacy, *pushes: Push) -> list[Outcome]:
    found = {outcome.ref: outcome for outcome in connector.write(pushes)}
    return [found[push.ref] for push in pushes]


def written(connector: Legacy, push: Push) -> Record:
    [outcome] = write(connector, push)
    assert outcome.error is None, outcome.error
    assert outcome.record is not None
    return outcome.record


def read(connector: Legacy, record: str) -> Record:
    [found] = list(connector.read([record]))
    return found


def mirror(world: World, connector: Legacy) -> Mirror:
    """A mirror that has seen everything and is quiet."""
    made = Mirror(connector)
    for _ in range(2):
        made.pull()
        world.box.advance(60)
    return made


def state(record: Record | None, address: str = "", channel: Any = "email") -> str:
    assert record is not None
    return shown(record.consents, channel, address)


# --- what it costs -----------------------------------------------------------------------------------------------


def test_requests_are_few(world: MakeWorld) -> None:
    """Beside each the least that the protocol allows."""
    w = world()
    w.box.seed([{"last_name": f"N{n:04}", "emails": [f"n{n}@example.org"]} for n in range(1_000)])
    connector = w.open()
    made = Mirror(connector)
    assert w.spent(made.pull) == 6  # clock, login, probe, 2 pages and a last empty one; least: 4
    assert len(made.known) == 1_000
    w.box.advance(60)
    made.pull()
    w.box.advance(60)
    assert w.spent(made.pull) == 4  # clock, accounts, contacts, lists; least: 3
    rows = [row["id"] for row in w.box.rows()][:10]
    for row in rows:
        w.box.edit(row, title="Countess")
    w.box.advance(60)
    assert w.spent(made.pull) == 4  # least: 3
    held = [read(connector, row) for row in rows]
    pushes = [edit(record, titles={"t": {"name": "Baroness", "concord:slot": "title"}}) for record in held]
    assert w.spent(lambda: write(connector, *pushes)) == 4  # look, save, look, the server's edition once; least: 2
    assert w.spent(lambda: write(connector, *[edit(read(connector, r), notes={}) for r in rows[:1]])) <= 2
    new = [creation(connector, card(f"New{n}", "Ada", f"new{n}@example.org"), KEYS[n]) for n in range(10)]
    assert w.spent(lambda: write(connector, *new)) == 6  # look, addresses: find and make, save, link, look; least: 4


def test_rows_of_one_second_are_all_seen(world: MakeWorld) -> None:
    """`date_modified` steps by a second, and pages end within one."""
    w = world()
    connector = w.open(page=7)
    made = mirror(w, connector)
    w.box.seed([{"last_name": f"N{n}"} for n in range(50)])
    assert len(made.pull().changed) == 50
    assert made.pull().shown == []


def test_a_dead_session_is_renewed(world: MakeWorld) -> None:
    w = world()
    connector = w.open()
    record = written(connector, creation(connector, card()))
    w.box.kill_sessions()
    assert read(connector, record.id).card == record.card
    w.box.kill_sessions()
    assert written(connector, edit(record, notes={"n": {"note": "x", "concord:slot": "description"}})).version


def test_wrong_credentials_say_what_to_do(world: MakeWorld) -> None:
    connector = world().open(password="wrong")
    with pytest.raises(Unauthorised, match="enter user name and password"):
        connector.check()


def test_who_speaks_it(world: MakeWorld, host: Host) -> None:
    w = world()
    context = Context(now=w.box.now, sleep=w.box.advance, random=lambda: 0.5)
    with Http(host.url + "/", context) as wire:
        assert speaks(wire)
        w.box.faults.add("html", times=1)
        assert not speaks(wire)
        w.box.faults.add("unavailable", times=100)
        with pytest.raises(Unreachable):
            speaks(wire)
        host.box = SuiteSandbox(v41=False)
        assert not speaks(wire)


def test_check_tells_edition_and_limits(world: MakeWorld) -> None:
    account = world().open().check()
    assert account.label == "admin at SuiteCRM 7.14.6"
    assert account.notes == []
    assert account.clock == START
    old = world(edition="ce65", php8=False, admin=False, subselects=False).open(key_field="concord_key_c").check()
    assert old.label == "admin at SugarCRM CE 6.5.25"
    for word in ("administrator", "once in 24 hours", "put back", "concord_key_c"):
        assert word in " ".join(old.notes)


# --- addresses and consent -----------------------------------------------------------------------------------------


def test_one_address_changes_for_one_person(world: MakeWorld) -> None:
    """Editing the shared bean would change it for the other as well."""
    w = world()
    one, other = w.box.seed([{"last_name": "A", "emails": ["us@example.org"]}, {"last_name": "B"}])
    w.box.edit(other, emails=["us@example.org"])
    connector = w.open()
    held = read(connector, one)
    answer = written(connector, edit(held, emails={"1": {"address": "me@example.org", "pref": 1}}))
    assert [e["address"] for e in (answer.card or {})["emails"].values()] == ["me@example.org"]
    assert [row["emails"] for row in w.box.rows() if row["id"] == other] == [[("us@example.org", "0")]]


def test_more_than_two_addresses_and_another_primary(world: MakeWorld) -> None:
    w = world()
    connector = w.open()
    mails = ("a@example.org", "b@example.org", "c@example.org")
    held = written(connector, creation(connector, card("A", "B", *mails)))
    assert [item[0] for item in w.only()["emails"]] == list(mails)
    emails = {key: {"address": e["address"]} for key, e in (held.card or {})["emails"].items()}
    last = next(key for key, e in emails.items() if e["address"] == "c@example.org")
    answer = written(connector, edit(held, emails={**emails, last: {**emails[last], "pref": 1}}))
    assert [e["address"] for e in (answer.card or {})["emails"].values() if e.get("pref")] == ["c@example.org"]
    assert w.only()["emails"][0][0] == "c@example.org"
    assert len(w.only()["emails"]) == 3


@pytest.mark.parametrize("edition", ["suite714", "ce65"])
def test_a_create_does_not_reset_an_opt_out(world: MakeWorld, edition: str) -> None:
    """An address that somebody else's record has comes with its flags (SugarEmailAddress::AddUpdateEmailAddress)."""
    w = world(edition=edition)
    w.box.seed([{"last_name": "Other", "emails": ["us@example.org"]}])
    w.box.flag("us@example.org", opt_out="1")
    connector = w.open()
    record = written(connector, creation(connector, card("A", "B", "US@example.org")))
    assert state(record, "us@example.org") == "withdrawn"
    assert {item for row in w.box.rows() for item in row["emails"]} == {("us@example.org", "1")}


@pytest.mark.parametrize("edition", ["suite714", "ce65"])
def test_a_profile_edit_keeps_opt_outs_and_addresses(world: MakeWorld, edition: str) -> None:
    """CE copies the first one's flags to all and drops the third address with each save (note, E-mail traps)."""
    w = world(edition=edition)
    mails = ["a@example.org", "b@example.org", "c@example.org"]
    [row] = w.box.seed([{"last_name": "A", "emails": mails}])
    w.box.flag("b@example.org", opt_out="1")
    w.box.flag("c@example.org", invalid_email="1")
    connector = w.open()
    held = read(connector, row)
    answer = written(connector, edit(held, titles={"t": {"name": "Countess", "concord:slot": "title"}}))
    assert dict(w.only()["emails"]) == {"a@example.org": "0", "b@example.org": "1", "c@example.org": "0"}
    assert [state(answer, mail) for mail in mails] == ["unknown", "withdrawn", "undeliverable"]
    assert w.only()["emails"][0][0] == "a@example.org"


def test_a_withdrawn_create_is_out_before_it_can_be_mailed(world: MakeWorld) -> None:
    w = world()
    connector = w.open()
    no = [Consent("email", "a@example.org", "withdrawn"), Consent("phone", "", "withdrawn")]
    record = written(connector, creation(connector, card("A", "B", "a@example.org", "b@example.org"), consents=no))
    assert [state(record, f"{x}@example.org") for x in "ab"] == ["withdrawn", "unknown"]
    assert state(record, "", "phone") == "withdrawn"
    calls = [re.findall(r"method=(\w+)(?:&module=(\w+))?", line)[0] for line in w.box.faults.log]
    order = [call for call in calls if call[0].startswith("set_")]
    assert order == [("set_entries", "EmailAddresses"), ("set_entries", "Contacts"), ("set_relationships", "")]


def test_consent_is_written_and_nothing_else(world: MakeWorld) -> None:
    w = world()
    [row] = w.box.seed([{"last_name": "A", "emails": ["a@example.org", "b@example.org"]}])
    w.box.flag("b@example.org", opt_out="1")
    connector = w.open()
    out = written(connector, edit(read(connector, row), [Consent("email", "A@example.org", "withdrawn")]))
    assert [state(out, f"{x}@example.org") for x in "ab"] == ["withdrawn", "withdrawn"]
    assert state(out, "", "phone") == "unknown"
    back = Consent("email", "b@example.org", "granted", at=START, evidence={"form": "f"})
    again = written(connector, edit(out, [back, Consent("phone", "", "withdrawn")]))
    assert [state(again, f"{x}@example.org") for x in "ab"] == ["withdrawn", "unknown"]
    assert state(again, "", "phone") == "withdrawn"
    assert w.only()["do_not_call"] == "1"


def test_an_opt_out_is_heard_although_no_time_moves(world: MakeWorld) -> None:
    w = world()
    one, other = w.box.seed([{"last_name": "A", "emails": ["us@example.org"]}, {"last_name": "B"}])
    w.box.edit(other, emails=["us@example.org"])
    made = mirror(w, w.open())
    w.box.flag("us@example.org", opt_out="1")
    news = made.pull()
    assert {record.id for record in news.shown} == {one, other}
    assert all(state(record, "us@example.org") == "withdrawn" for record in news.shown)
    w.box.advance(60)
    w.box.edit(one, emails=["new@example.org"])
    assert set(made.pull().changed) == {one}
    w.box.advance(60)
    w.box.edit(one, emails=[])
    assert set(made.pull().changed) == {one}, "only a link went"
    w.box.advance(60)
    assert made.pull().shown == []


def test_a_server_that_takes_no_subselects_is_heard_once_a_day(world: MakeWorld) -> None:
    w = world(subselects=False)
    [row] = w.box.seed([{"last_name": "A", "emails": ["a@example.org"]}])
    made = mirror(w, w.open())
    w.box.flag("a@example.org", opt_out="1")
    assert made.pull().shown == []
    w.box.edit(row, title="x")
    assert set(made.pull().changed) == {row}
    w.box.flag("a@example.org", opt_out="0")
    w.box.advance(25 * 3600)
    assert [state(record, "a@example.org") for record in made.pull().shown] == ["unknown"]


# --- organisations and lists ---------------------------------------------------------------------------------------


def test_accounts_are_found_made_and_left(world: MakeWorld) -> None:
    w = world()
    w.box.seed([{"last_name": "Other", "account": "Acme O'Brien"}])
    connector = w.open()
    held = written(connector, creation(connector, card(organizations={"o": {"name": "ACME o'brien"}})))
    assert [row["name"] for row in w.box.rows("Accounts")] == ["Acme O'Brien"]
    assert (held.card or {})["organizations"] == {
        "account_name": {"name": "Acme O'Brien", "concord:slot": "account_name"}
    }
    new = {"o": {"name": "Newco", "concord:slot": "account_name"}}
    moved = written(connector, edit(held, organizations=new))
    assert {row["name"] for row in w.box.rows("Accounts")} == {"Acme O'Brien", "Newco"}
    left = written(connector, edit(moved, organizations={}))
    assert "organizations" not in (left.card or {})
    assert {row["account"] for row in w.box.rows()} == {"Acme O'Brien", None}


def test_a_renamed_account_is_news_of_its_contacts(world: MakeWorld) -> None:
    w = world()
    row, _ = w.box.seed([{"last_name": "A", "account": "Acme"}, {"last_name": "B", "account": "Other"}])
    made = mirror(w, w.open())
    w.box.rename("Acme", "Acme Ltd")
    news = made.pull()
    assert set(news.changed) == {row}
    assert (news.changed[row].card or {})["organizations"]["account_name"]["name"] == "Acme Ltd"
    w.box.advance(60)
    assert made.pull().shown == []


def test_many_changed_accounts_mean_a_full_listing(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_ACCOUNTS", 3)
    w = world()
    w.box.seed([{"last_name": f"N{n}", "account": f"A{n}"} for n in range(5)])
    made = mirror(w, w.open())
    for n in range(5):
        w.box.rename(f"A{n}", f"B{n}")
    news = made.pull()
    assert len(news.changed) == 5
    assert news.pages[-1].complete


def test_target_lists_are_groups(world: MakeWorld) -> None:
    w = world()
    row, other = w.box.seed([{"last_name": "A", "lists": ["News"]}, {"last_name": "B"}])
    connector = w.open()
    made = mirror(w, connector)
    assert [g["name"] for g in (made.known[row].card or {})["groups"].values()] == ["News"]
    w.box.edit(other, lists=["News", "Choir"])
    assert set(made.pull().changed) == {other}
    w.box.advance(60)
    w.box.edit(other, lists=["Choir"])
    assert set(made.pull().changed) == {other}
    w.box.advance(60)
    w.box.rename("News", "Newsletter", "ProspectLists")
    assert set(made.pull().changed) == {row}
    w.box.advance(60)
    held = made.known[row]
    groups = {"x": {"name": "choir"}, "y": {"name": "Brand new"}}
    answer = written(connector, edit(held, groups=groups))
    assert {g["name"] for g in (answer.card or {})["groups"].values()} == {"Choir", "Brand new"}
    assert sorted(item["name"] for item in w.box.rows("ProspectLists")) == ["Brand new", "Choir", "Newsletter"]
    w.box.advance(60)
    made.pull()
    w.box.advance(60)
    assert made.pull().shown == []


def test_an_exchange_of_members_is_found_in_time(world: MakeWorld) -> None:
    """The number of members stays the same, so nothing tells until the members are compared."""
    w = world()
    one, other = w.box.seed([{"last_name": "A", "lists": ["News"]}, {"last_name": "B"}])
    made = mirror(w, w.open())
    w.box.edit(one, lists=[])
    w.box.edit(other, lists=["News"])
    assert made.pull().shown == []
    w.box.advance(changes.LISTS_EVERY.total_seconds())
    assert set(made.pull().changed) == {one, other}


def test_lists_of_those_who_must_not_be_mailed_are_no_groups(world: MakeWorld) -> None:
    w = world()
    [row] = w.box.seed([{"last_name": "A", "lists": ["Robinson"]}])
    for entry in w.box.rows("ProspectLists"):
        w.box.store.save("ProspectLists", {"list_type": "exempt"}, entry["id"])
    connector = w.open()
    held = read(connector, row)
    assert "groups" not in (held.card or {})
    written(connector, edit(held, notes={"n": {"note": "x", "concord:slot": "description"}}))
    assert w.only()["lists"] == ["Robinson"]


def test_too_many_members_wait_for_the_full_listing(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_MEMBERS", 2)
    w = world()
    rows = w.box.seed([{"last_name": f"N{n}", "lists": ["News"]} for n in range(4)])
    made = mirror(w, w.open())
    w.box.edit(rows[0], lists=[])
    assert made.pull().shown == []
    w.box.advance(25 * 3600)
    assert set(made.pull().changed) == {rows[0]}


# --- false successes -----------------------------------------------------------------------------------------------


def test_a_column_that_is_not_stored_is_told(world: MakeWorld) -> None:
    w = world(frozen=["title"])
    [row] = w.box.seed([{"last_name": "A", "title": "old"}])
    connector = w.open()
    held = read(connector, row)
    [outcome] = write(connector, edit(held, titles={"t": {"name": "new", "concord:slot": "title"}}))
    assert isinstance(outcome.error, Refused)
    assert "title" in str(outcome.error)


def test_rows_that_may_not_be_written_are_told(world: MakeWorld) -> None:
    w = world(denied=["Contacts"])
    [row] = w.box.seed([{"last_name": "A"}])
    connector = w.open()
    held = read(connector, row)
    delete = Push(ref="d", key=KEYS[1], held=held, card=None)
    pushes = [
        creation(connector, card()),
        edit(held, notes={"n": {"note": "x", "concord:slot": "description"}}),
        delete,
    ]
    assert [type(outcome.error) for outcome in write(connector, *pushes)] == [Refused] * 3


def test_accounts_and_addresses_that_may_not_be_made_spoil_nothing_else(world: MakeWorld) -> None:
    w = world(denied=["EmailAddresses"])
    connector = w.open()
    pushes = [creation(connector, card("A", "B", "a@example.org")), creation(connector, card("C"), KEYS[1])]
    refused, fine = write(connector, *pushes)
    assert isinstance(refused.error, Refused)
    assert "EmailAddresses" in str(refused.error)
    assert fine.error is None


def test_modules_that_are_not_there_take_only_their_own_part(world: MakeWorld) -> None:
    w = world(hidden=["Accounts", "ProspectLists", "EmailAddresses"])
    [row] = w.box.seed([{"last_name": "A", "emails": ["a@example.org"], "lists": ["News"]}])
    connector = w.open()
    assert len(connector.check().notes) == 3
    made = mirror(w, connector)
    w.box.edit(row, title="x")
    assert set(made.pull().changed) == {row}
    groups = {"g": {"name": "New"}}
    pushes = [
        creation(connector, card("B", "Ada", "b@example.org")),
        creation(connector, card("C", "Ada", organizations={"o": {"name": "Acme"}}), KEYS[1]),
        creation(connector, card("D", "Ada", groups=groups), KEYS[2]),
        edit(made.known[row], notes={"n": {"note": "x", "concord:slot": "description"}}),
    ]
    assert [type(outcome.error) for outcome in write(connector, *pushes)] == [Refused, Refused, Refused, type(None)]


def test_one_that_makes_the_server_crash_spoils_nothing_else(world: MakeWorld) -> None:
    """A batch ends at the crash: what came before it is there, the rest is sent again by itself."""
    w = world(poison="Crash")
    connector = w.open()
    pushes = [creation(connector, card(name), KEYS[n]) for n, name in enumerate(("A", "Crash", "B"))]
    first, bad, last = write(connector, *pushes)
    assert isinstance(bad.error, Uncertain)
    assert first.error is None
    assert last.error is None
    assert sorted(row["last_name"] for row in w.box.rows()) == ["A", "B"]


def test_a_create_that_is_there_already_is_looked_for(world: MakeWorld) -> None:
    w = world()
    connector = w.open()
    push = creation(connector, card())
    made = written(connector, push)
    [again] = write(connector, push)
    assert isinstance(again.error, Uncertain)
    assert [(ref, record.id) for ref, record in connector.find([push])] == [(push.ref, made.id)]
    assert len(w.box.rows()) == 1


def test_the_id_of_a_deleted_row_is_not_used_again(world: MakeWorld) -> None:
    """A save to it would be a success without effect (transcript v41-02)."""
    w = world()
    connector = w.open()
    push = creation(connector, card())
    ids = set()
    for _ in range(3):
        made = written(connector, push)
        ids.add(made.id)
        assert [record.id for _, record in connector.find([push])] == [made.id]
        w.box.remove(made.id)
    assert len(ids) == 3
    [outcome] = write(connector, push)
    assert isinstance(outcome.error, Refused)


def test_a_batch_whose_answer_was_lost_is_told_by_what_is_there(world: MakeWorld) -> None:
    w = world()
    connector = w.open()
    connector.check()
    pushes = [creation(connector, card(f"N{n}"), KEYS[n]) for n in range(3)]
    w.box.faults.add("lost_after", "method=set_entries")
    assert all(outcome.error is None for outcome in write(connector, *pushes))
    more = [creation(connector, card(f"M{n}"), KEYS[n + 10]) for n in range(3)]
    w.box.faults.add("lost_before", "method=set_entries")
    assert all(isinstance(outcome.error, Uncertain) for outcome in write(connector, *more))
    assert len(w.box.rows()) == 3
    held = [outcome.record for outcome in write(connector, *more)]
    assert all(held)


def test_another_s_edit_is_not_overwritten(world: MakeWorld) -> None:
    w = world()
    [row] = w.box.seed([{"last_name": "A", "emails": ["a@example.org"]}])
    connector = w.open()
    held = read(connector, row)
    w.box.flag("a@example.org", opt_out="1")
    [outcome] = write(connector, edit(held, notes={"n": {"note": "x", "concord:slot": "description"}}))
    assert isinstance(outcome.error, Stale)


# --- deletions -----------------------------------------------------------------------------------------------------


def test_deletions_come_with_their_time_and_purged_rows_with_the_full_listing(world: MakeWorld) -> None:
    w = world()
    one, other = w.box.seed([{"last_name": "A"}, {"last_name": "B"}])
    made = mirror(w, w.open())
    w.box.remove(one)
    news = made.pull()
    assert news.gone == {one}
    assert [record.modified for record in news.shown] == [w.box.now()]
    w.box.remove(other)
    w.box.purge(other)
    assert made.pull().gone == set()
    w.box.advance(25 * 3600)
    assert made.pull().gone == {other}


def test_erasure_leaves_nothing_in_the_bin(world: MakeWorld) -> None:
    w = world()
    [row] = w.box.seed([{"last_name": "A", "title": "x", "emails": ["a@example.org"], "lists": ["News"]}])
    connector = w.open()
    [outcome] = write(connector, Push("e", KEYS[0], read(connector, row), None, erase=True))
    assert outcome.error is None
    gone = w.box.store.get("Contacts", row, deleted=True)
    assert gone is not None
    assert gone["deleted"] == 1
    assert [gone[name] for name in ("last_name", "title")] == ["", ""]
    assert w.box.store.addresses("Contacts", row) == []
    assert w.box.store.linked("Contacts", row, "prospect_lists") == []


def test_what_is_gone_is_missing(world: MakeWorld) -> None:
    w = world()
    [row] = w.box.seed([{"last_name": "A"}])
    connector = w.open()
    held = read(connector, row)
    w.box.remove(row)
    w.box.purge(row)
    [outcome] = write(connector, edit(held, notes={"n": {"note": "x", "concord:slot": "description"}}))
    assert isinstance(outcome.error, Missing)
    assert [r.card for r in connector.read([row, "Nonsense/1", "nope' or '1'='1"])] == [None] * 3


# --- texts, keys, leads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "sent", "kept"),
    [
        ("last_name", "O'Brien & Søn <x>", "O'Brien & Søn"),
        ("last_name", "a < b", "a < b"),
        ("last_name", "AT&amp;T &lt;b&gt;", "AT&T"),
        ("description", "<b>bold</b> &amp;lt;", "<b>bold</b> <"),
        ("description", "😀 ok", "ok"),
        ("title", " \t ", ""),
    ],
)
def test_what_is_kept_of_a_text(column: str, sent: str, kept: str) -> None:
    assert keeps(column, sent) == kept
    assert keeps(column, kept) == kept


def test_our_key_is_kept_where_a_field_is_named(world: MakeWorld) -> None:
    w = world(custom=["concord_key_c"])
    connector = w.open(key_field="concord_key_c")
    record = written(connector, creation(connector, card()))
    assert record.key == KEYS[0]
    assert w.only()["concord_key_c"] == f"concord-{KEYS[0]}"
    w.box.seed([{"last_name": "B", "concord_key_c": "of another program"}])
    assert {r.key for page in connector.changes(None) for r in page.records} == {KEYS[0], None}


def test_contacts_and_leads_side_by_side(world: MakeWorld) -> None:
    w = world()
    [contact] = w.box.seed([{"last_name": "A"}])
    [lead] = w.box.seed([{"last_name": "B", "account_name": "Free text", "emails": ["b@example.org"]}], "Leads")
    connector = w.open(leads=True)
    made = mirror(w, connector)
    assert set(made.known) == {contact, f"Leads/{lead}"}
    held = made.known[f"Leads/{lead}"]
    assert (held.card or {})["organizations"]["account_name"]["name"] == "Free text"
    organization = {"o": {"name": "Newco", "concord:slot": "account_name"}}
    mails = {"1": {"address": "b@example.org", "pref": 1}, "2": {"address": "c@example.org"}}
    pushes = [edit(held, organizations=organization, emails=mails), edit(made.known[contact], notes={})]
    outcomes = write(connector, *pushes)
    assert [outcome.error for outcome in outcomes] == [None, None]
    [row] = w.box.rows("Leads")
    assert row["account_name"] == "Newco"
    assert row["emails"] == [("b@example.org", "0"), ("c@example.org", "0")]
    assert w.box.rows("Accounts") == []
    w.box.remove(lead, "Leads")
    assert made.pull().gone == {f"Leads/{lead}"}
