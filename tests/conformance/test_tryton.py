"""The Tryton connector, trap by trap: on the real server and on the sandbox alike, and what only a sandbox can do."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import servers
import tryton_server
from pydantic import ValidationError
from tryton_server import Tryton

from connectors.card import LINES, Card, components
from connectors.contract import Context, Outcome, Purchase, Push, Record, Seller
from connectors.errors import CursorExpired, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.testing import Mirror
from connectors.tryton import CONNECTOR, changes
from connectors.tryton.connector import TrytonConnector
from connectors.tryton.sandbox import DATABASE, LOGIN, PASSWORD, TrytonSandbox

PARTY, MECHANISM, ADDRESS, CATEGORY = (
    f"model.party.{name}" for name in ("party", "contact_mechanism", "address", "category")
)
ALL = {"active_test": False}
KEY = "5b0e3a1e-0c5e-4f0b-9b57-0d2c5d5b8f11"


@dataclass
class World:
    """A Tryton, connectors to it, and a human who works in it (`call`). Sleeping is told, and not done."""

    server: Tryton
    box: TrytonSandbox | None = None
    sent: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    opened: list[TrytonConnector] = field(default_factory=list)
    ahead: float = 0.0

    def open(self, **settings: Any) -> TrytonConnector:
        context = Context(
            now=lambda: datetime.now(UTC) + timedelta(seconds=self.ahead),
            sleep=self.slept.append,
            random=lambda: 0.5,
            requests=lambda method, sent, received: self.sent.append(method),
        )
        opened = CONNECTOR.open(CONNECTOR.settings(**self.server.settings(**settings)), context)
        assert isinstance(opened, TrytonConnector)
        self.opened.append(opened)
        return opened

    def call(self, method: str, *params: Any, **context: Any) -> Any:
        return self.server.call(method, *params, context=context)

    def party(self, **columns: Any) -> int:
        [made] = self.call(f"{PARTY}.create", [{"name": "Ann Lee", **columns}])
        return int(made)

    def read(self, party: int | str, *fields: str) -> dict[str, Any]:
        [row] = self.call(f"{PARTY}.read", [int(party)], list(fields), **ALL)
        return dict(row)

    def wizard(self, name: str, **form: Any) -> None:
        there = {"active_model": "party.party", "active_id": 1, "active_ids": [1]}
        self.server.wizard(name, "ask", form, name.rpartition(".")[2], there)

    def cost(self, act: Callable[[], Any]) -> int:
        """How many requests an act takes."""
        before = len(self.sent)
        act()
        return len(self.sent) - before

    def close(self) -> None:
        for connector in self.opened:
            connector.close()
        self.opened.clear()
        self.sent.clear()
        self.slept.clear()
        self.ahead = 0.0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tryton]:
    with tryton_server.tryton(tmp_path_factory.mktemp("tryton")) as running:
        yield running


@pytest.fixture(scope="module")
def stage() -> Iterator[servers.Stage]:
    with servers.stage() as made:
        yield made


def boxed(stage: servers.Stage, **options: Any) -> World:
    box = TrytonSandbox(**options)
    stage.app = box.app
    return World(Tryton(stage.url, LOGIN, PASSWORD, DATABASE), box)


@pytest.fixture
def box(stage: servers.Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = boxed(stage)
    _tells_its_time(made, monkeypatch)
    yield made
    made.close()


def _tells_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Date header is the web server's, which knows nothing of the sandbox's clock."""
    box = world.box
    assert box is not None
    monkeypatch.setattr("connectors.http.server_time", lambda response: box.now())


@pytest.fixture(params=["server", "sandbox"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Both. The real server's database is shared by the tests of this file."""
    if request.param == "server":
        made = World(request.getfixturevalue("real"))
    else:
        made = boxed(request.getfixturevalue("stage"))
        _tells_its_time(made, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def passing(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets so much time pass that what was written is not read again for having been written shortly before."""
    if world.box is not None:
        box = world.box
        return lambda: box.advance(300)
    monkeypatch.setattr(changes, "OVERLAP", timedelta(0))
    return lambda: time.sleep(1.05 - time.time() % 1)  # the server tells its time in whole seconds


def mail(address: str, **more: Any) -> dict[str, Any]:
    return {"type": "email", "value": address, **more}


def phone(number: str, **more: Any) -> dict[str, Any]:
    return {"type": "phone", "value": number, **more}


def rows(*columns: Mapping[str, Any]) -> list[Any]:
    return [["create", list(columns)]]


def push(connector: TrytonConnector, held: Record | None, card: Card | None, key: str = KEY, **more: Any) -> Outcome:
    [outcome] = connector.write([Push("ref", key, held, card, **more)])
    assert outcome.ref == "ref"
    return outcome


def made(connector: TrytonConnector, key: str = KEY, **card: Any) -> Record:
    outcome = push(connector, None, connector.fit({"name": {"full": "Ann Lee"}, **card}, None), key)
    assert outcome.error is None, outcome.error
    assert outcome.record is not None
    return outcome.record


def changed(connector: TrytonConnector, held: Record, **fields: Any) -> Outcome:
    """What comes of writing these fields over a record; None takes a field away."""
    card = {name: value for name, value in {**(held.card or {}), **fields}.items() if value is not None}
    return push(connector, held, card)


def one(connector: TrytonConnector, party: int | str) -> Record:
    [found] = connector.read([str(party)])
    return found


def card_of(record: Record | None) -> Card:
    assert record is not None
    assert record.card is not None
    return record.card


def values(record: Record | None, name: str, prop: str) -> list[Any]:
    return [element[prop] for element in card_of(record).get(name, {}).values()]


def quiet(world: World) -> Mirror:
    """A mirror that has seen everything."""
    mirror = Mirror(world.open())
    mirror.pull()
    mirror.pull()
    return mirror


# --- what changed ----------------------------------------------------------------------------------------------------


def test_a_row_that_is_written_by_itself_is_news(world: World, passing: Callable[[], None]) -> None:
    """It does not move its party's `write_date`."""
    party = world.party(contact_mechanisms=rows(mail("a@example.org")), addresses=rows({"city": "Bonn"}))
    passing()
    mirror = quiet(world)
    row = world.read(party, "contact_mechanisms", "addresses", "_timestamp")
    world.call(f"{MECHANISM}.write", row["contact_mechanisms"], {"value": "b@example.org"})
    assert world.read(party, "_timestamp")["_timestamp"] == row["_timestamp"]
    assert values(mirror.pull().changed[str(party)], "emails", "address") == ["b@example.org"]
    passing()
    mirror.pull()
    world.call(f"{ADDRESS}.write", row["addresses"], {"city": "Köln"})
    [address] = card_of(mirror.pull().changed[str(party)])["addresses"].values()
    assert address["components"] == [{"kind": "locality", "value": "Köln"}]
    world.call(f"{MECHANISM}.create", [{**phone("+49 30 5550002"), "party": party}])
    assert values(mirror.pull().changed[str(party)], "phones", "number") == ["+49 30 5550002"]
    world.call(f"{MECHANISM}.write", row["contact_mechanisms"], {"active": False})
    assert "emails" not in card_of(mirror.pull().changed[str(party)])
    assert mirror.pull().shown == []


def test_categories_that_are_renamed_show_in_their_parties(world: World, passing: Callable[[], None]) -> None:
    [top] = world.call(f"{CATEGORY}.create", [{"name": f"Top{time.time_ns()}"}])
    [sub] = world.call(f"{CATEGORY}.create", [{"name": "Sub", "parent": top}])
    party = world.party(categories=[["add", [sub]]])
    passing()
    mirror = quiet(world)
    name = f"New{time.time_ns()}"
    world.call(f"{CATEGORY}.write", [top], {"name": name})
    assert values(mirror.pull().changed[str(party)], "groups", "name") == [f"{name} / Sub"]
    passing()
    mirror.pull()
    world.call(f"{CATEGORY}.write", [sub], {"name": "Other"})
    assert values(mirror.pull().changed[str(party)], "groups", "name") == [f"{name} / Other"]
    passing()
    mirror.pull()
    world.call(f"{CATEGORY}.delete", [sub])
    assert "groups" not in card_of(mirror.pull().changed[str(party)])


def test_a_row_that_is_deleted_by_itself_is_news(world: World, passing: Callable[[], None]) -> None:
    """Its party shows nothing of it, and everything else about the party is older than what was seen."""
    party = world.party(contact_mechanisms=rows(mail("a@example.org"), phone("+49 30 5550002")))
    passing()
    mirror = quiet(world)
    first, second = world.read(party, "contact_mechanisms")["contact_mechanisms"]
    world.call(f"{MECHANISM}.delete", [second])
    found = mirror.pull().changed[str(party)]
    assert "phones" not in card_of(found)
    assert found.modified is None, "an older time would make it an old read"
    # In the party's own form it costs nothing more: the party was written in the same transaction.
    world.call(f"{PARTY}.write", [party], {"contact_mechanisms": [["delete", [first]]]})
    news = mirror.pull()
    assert "emails" not in card_of(news.changed[str(party)])
    assert not any(page.complete for page in news.pages)


def test_archived_is_deleted_and_back_is_back(world: World) -> None:
    party = world.party()
    mirror = quiet(world)
    world.call(f"{PARTY}.write", [party], {"active": False})
    assert mirror.pull().gone == {str(party)}
    assert one(mirror.connector, party).card is None
    world.call(f"{PARTY}.write", [party], {"active": True})
    assert set(mirror.pull().changed) == {str(party)}


def test_a_merged_party_is_an_alias_of_the_one_that_is_left(world: World) -> None:
    loser = world.party(contact_mechanisms=rows(mail("a@example.org")))
    winner = world.party(contact_mechanisms=rows(mail("b@example.org")))
    last = world.party()
    mirror = quiet(world)
    world.wizard("party.replace", source=loser, destination=winner)
    news = mirror.pull()
    assert [record.aliases for record in news.shown if record.id == str(winner)] == [(str(loser),)]
    assert news.gone == set()
    assert str(loser) not in mirror.known
    assert str(winner) in mirror.known
    world.wizard("party.replace", source=winner, destination=last)
    mirror.pull()
    assert {str(loser), str(winner), str(last)} & mirror.known.keys() == {str(last)}
    found = one(mirror.connector, loser)
    assert (found.id, found.aliases) == (str(last), (str(loser),))
    fresh = Mirror(world.open())
    [listed] = [record for record in fresh.pull().shown if record.id == str(last)]
    assert set(listed.aliases) == {str(loser), str(winner)}


def test_a_merged_party_is_not_taken_for_deleted_by_a_listing_of_ids(world: World) -> None:
    loser, winner, deleted = world.party(), world.party(), world.party()
    mirror = quiet(world)
    world.call(f"{PARTY}.delete", [deleted])
    world.wizard("party.replace", source=loser, destination=winner)
    news = mirror.pull()
    assert news.pages[-1].complete
    assert news.gone == {str(deleted)}


def test_an_erased_party_is_deleted_and_not_edited(world: World) -> None:
    party = world.party(contact_mechanisms=rows(mail("a@example.org")))
    mirror = quiet(world)
    world.call(f"{PARTY}.write", [party], {"active": False})
    world.wizard("party.erase", party=party)
    news = mirror.pull()
    assert (news.gone, news.changed) == ({str(party)}, {})
    # Somebody takes the husk back into use: there is nothing in it to be read as an edit.
    world.call(f"{PARTY}.write", [party], {"active": True})
    [husk] = [record for record in mirror.pull().shown if record.id == str(party)]
    assert husk.refused
    world.call(f"{PARTY}.write", [party], {"active": False})


def test_a_deletion_costs_a_listing_of_ids_and_silence_nothing(world: World) -> None:
    party = world.party()
    mirror = quiet(world)
    assert world.cost(mirror.pull) == 2
    world.call(f"{PARTY}.delete", [party])
    news = mirror.pull()
    assert (news.gone, news.shown, news.pages[-1].complete) == ({str(party)}, [], True)
    assert world.cost(mirror.pull) == 2


def test_what_was_deleted_while_a_listing_was_broken_off(box: World) -> None:
    assert box.box is not None
    ids = box.box.seed([{"name": f"P{n}"} for n in range(1_200)])
    mirror = quiet(box)
    box.box.remove(ids[3])
    box.box.edit(ids[4], name="Edited")
    mirror.cursor = None
    assert mirror.pull(most=1).gone == set()
    box.box.remove(ids[900])
    mirror.connector = box.open()
    news = mirror.pull()
    assert news.gone == {ids[3], ids[900]}
    assert card_of(mirror.known[ids[4]])["name"] == {"full": "Edited"}


def test_news_of_more_than_a_page_that_was_broken_off(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.box is not None
    monkeypatch.setattr(changes, "PAGE", 10)
    ids = box.box.seed([{"name": f"P{n}"} for n in range(35)])
    mirror = quiet(box)
    box.box.advance(200)
    for party in ids:
        box.box.edit(party, name="Edited")
    box.box.remove(ids[7])
    assert len(mirror.pull(most=2).changed) == 20
    mirror.connector = box.open()
    news = mirror.pull()
    assert news.gone == {ids[7]}
    assert {card_of(record)["name"]["full"] for record in mirror.known.values()} == {"Edited"}


def test_an_edit_behind_a_reading_that_takes_long(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.box is not None
    monkeypatch.setattr(changes, "PAGE", 10)
    ids = box.box.seed([{"name": f"P{n}"} for n in range(25)])
    for cursor in (None, quiet(box).cursor):
        box.box.advance(300)
        for party in ids:
            box.box.edit(party, name="Edited")
        mirror = Mirror(box.open())
        pages = mirror.connector.changes(cursor)
        next(pages)
        box.box.edit(ids[0], name="Once more")
        box.box.advance(300)
        mirror.cursor = [page.cursor for page in pages if page.cursor is not None][-1]
        assert ids[0] in mirror.pull().changed


def test_who_may_not_read_the_log_lists_the_ids_in_every_run(stage: servers.Stage) -> None:
    world = boxed(stage, log=False)
    party, _ = world.party(), world.party()
    mirror = quiet(world)
    assert "log" in " ".join(mirror.connector.check().notes)
    world.call(f"{PARTY}.delete", [party])
    assert mirror.pull().gone == {str(party)}
    assert world.cost(mirror.pull) == 2
    world.close()


def test_what_leaves_no_trace_shows_once_a_day(box: World) -> None:
    assert box.box is not None
    [kept, lost] = box.box.seed([{"name": "Kept"}, {"name": "Lost"}])
    mirror = quiet(box)
    box.box.vanish(lost)
    assert mirror.pull().gone == set()
    box.ahead = 24 * 3600
    assert mirror.pull().gone == {lost}
    assert kept in mirror.known


def test_every_change_arrives(box: World) -> None:
    """Everything that humans do, at random, with looks at any time between."""
    assert box.box is not None
    chance, sandbox = random.Random(7), box.box
    ids = sandbox.seed([{"name": f"P{n}", "categories": [f"C{n % 3}"]} for n in range(30)])
    mirror = quiet(box)
    for step in range(80):
        for _ in range(chance.choice((0, 1, 1, 4))):
            _act(sandbox, chance, ids, step)
        sandbox.advance(chance.choice((0, 0, 1, 45, 300)))
        mirror.pull()
    mirror.pull()
    fresh = Mirror(box.open())
    fresh.pull()
    assert {key: record.card for key, record in mirror.known.items()} == {
        key: record.card for key, record in fresh.known.items()
    }
    assert len(fresh.known) > 5
    assert mirror.pull().shown == []


def _act(box: TrytonSandbox, chance: random.Random, ids: list[str], step: int) -> None:
    """One thing that a human does."""
    living = [str(row["id"]) for row in box.rows() if row["active"]]
    single = [str(row["id"]) for row in box.rows() if not row["replaced_by"]]
    lone = [row["id"] for row in box.rows("party.contact_mechanism") if row["active"]]
    groups = [str(row["id"]) for row in box.rows("party.category")]
    party = chance.choice(living)
    acts: dict[str, Callable[[], Any]] = {
        "edit": lambda: box.edit(party, name=f"N{step}"),
        "row": lambda: box.edit(party, contact_mechanisms=rows(mail(f"m{step}@example.org"))),
        "make": lambda: ids.extend(box.seed([{"name": f"New{step}"}])),
        "archive": lambda: box.edit(party, active=False),
        "revive": lambda: box.edit(chance.choice(single), active=True),
        "merge": lambda: _merge(box, party, chance.choice(living)),
        "remove": lambda: box.remove(ids.pop(ids.index(party))),
    }
    if lone:
        acts["lone"] = lambda: box.write("party.contact_mechanism", chance.choice(lone), value=f"w{step}@example.org")
        acts["drop"] = lambda: box.remove(str(chance.choice(lone)), "party.contact_mechanism")
    if groups:
        acts["rename"] = lambda: box.write("party.category", int(chance.choice(groups)), name=f"R{step}")
        acts["dissolve"] = lambda: box.remove(chance.choice(groups), "party.category")
    act = chance.choice(sorted(acts))
    if act not in ("archive", "merge", "remove") or len(living) > 12:
        acts[act]()


def _merge(box: TrytonSandbox, loser: str, winner: str) -> None:
    if loser != winner:
        box.edit(loser, name="Same")
        box.edit(winner, name="Same")
        box.merge(loser, winner)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_written(world: World) -> None:
    connector = world.open()
    party = world.party(
        contact_mechanisms=rows(mail("a@example.org", comment="hers", sequence=3), phone("+49 30 5550002")),
        identifiers=rows({"type": None, "code": "K-1"}),
        addresses=rows({"city": "Bonn", "attn": "Mr Lee"}),
    )
    held = one(connector, party)
    before = world.read(party, "contact_mechanisms._timestamp", "addresses._timestamp")
    [key, element] = next(iter(card_of(held)["emails"].items()))
    record = changed(connector, held, emails={key: {**element, "address": "b@example.org"}}).record
    assert values(record, "emails", "address") == ["b@example.org"]
    asked = [f"contact_mechanisms.{column}" for column in ("_timestamp", "value", "comment")]
    after = world.read(party, *asked, "addresses.attn", "addresses._timestamp", "identifiers.code")
    stamps = [{m["id"]: m["_timestamp"] for m in one_of["contact_mechanisms."]} for one_of in (before, after)]
    assert [stamps[0][n] == stamps[1][n] for n in sorted(stamps[0])] == [False, True], "the telephone was not touched"
    assert after["addresses."][0]["_timestamp"] == before["addresses."][0]["_timestamp"]
    assert {m["value"]: m["comment"] for m in after["contact_mechanisms."]}["b@example.org"] == "hers"
    assert after["addresses."][0]["attn"] == "Mr Lee"
    assert [code["code"] for code in after["identifiers."]] == ["K-1"]


def test_a_new_row_does_not_become_the_default(world: World) -> None:
    """The first of a type is what documents are sent to; rows without a number come first."""
    connector = world.open()
    party = world.party(contact_mechanisms=rows(mail("first@example.org", sequence=5)))
    held = one(connector, party)
    changed(connector, held, emails={**card_of(held)["emails"], "new": {"address": "second@example.org"}})
    assert world.read(party, "email")["email"] == "first@example.org" if world.box is None else True
    assert values(one(connector, party), "emails", "address") == ["first@example.org", "second@example.org"]


def test_what_humans_did_in_between_is_stale(world: World) -> None:
    connector = world.open()
    party = world.party(contact_mechanisms=rows(mail("a@example.org"), phone("+49 30 5550002")))
    held = one(connector, party)
    number = min(world.read(party, "contact_mechanisms")["contact_mechanisms"])
    world.call(f"{MECHANISM}.write", [number], {"value": "theirs@example.org"})
    ours = {"x": {**next(iter(card_of(held)["emails"].values())), "address": "ours@example.org"}}
    assert isinstance(changed(connector, held, emails=ours).error, Stale)
    assert isinstance(changed(connector, held, emails=None).error, Stale)
    held = one(connector, party)
    world.call(f"{MECHANISM}.delete", [number])
    assert isinstance(changed(connector, held, emails=ours).error, Stale), "the row is gone, the party is not"
    world.call(f"{PARTY}.write", [party], {"name": "Theirs"})
    assert isinstance(changed(connector, held, name={"full": "Ours"}).error, Stale)
    assert isinstance(push(connector, held, None).error, Stale)
    assert one(connector, party).card is not None


def test_what_is_gone_or_archived_is_missing(world: World) -> None:
    connector = world.open()
    gone, archived = world.party(), world.party()
    held = [one(connector, party) for party in (gone, archived)]
    world.call(f"{PARTY}.delete", [gone])
    assert isinstance(changed(connector, held[0], name={"full": "x"}).error, Missing)
    world.call(f"{PARTY}.write", [archived], {"active": False})
    assert isinstance(changed(connector, held[1], name={"full": "x"}).error, (Missing, Stale))


def test_a_bad_address_is_refused_in_tryton_s_words_and_spoils_nothing(world: World) -> None:
    connector = world.open()
    cards = [{"name": {"full": f"P{n}"}, "emails": {"e": {"address": f"p{n}@example.org"}}} for n in range(20)]
    cards[13] = {**cards[13], "emails": {"e": {"address": "no mail"}}}
    pushes = [Push(str(n), f"{KEY}-{time.time_ns()}-{n}", None, card) for n, card in enumerate(cards)]
    outcomes: dict[str, Outcome] = {}
    cost = world.cost(lambda: outcomes.update({o.ref: o for o in connector.write(pushes)}))
    error = outcomes.pop("13").error
    assert isinstance(error, Refused)
    assert "no mail" in str(error)
    assert "not valid" in str(error)
    assert all(outcome.error is None for outcome in outcomes.values())
    assert len({outcome.record.id for outcome in outcomes.values() if outcome.record}) == 19
    assert cost <= 14, "it is found by halves"


def test_a_number_that_tryton_refuses_is_kept_and_is_a_number(world: World) -> None:
    connector = world.open()
    numbers = {"a": {"number": "0551 4567", "label": "Shop"}, "b": {"number": "555-0100", "features": {"mobile": True}}}
    record = made(connector, phones=numbers)
    assert sorted(values(record, "phones", "number")) == ["0551 4567", "555-0100"]
    shown = {e["number"]: e for e in card_of(record)["phones"].values()}
    assert shown["0551 4567"]["label"] == "Shop"
    assert shown["555-0100"]["features"] == {"mobile": True}
    kinds = {
        m["type"]: m["name"]
        for m in world.read(record.id, "contact_mechanisms.type", "contact_mechanisms.name")["contact_mechanisms."]
    }
    assert kinds.keys() == {"other"}
    # Once somebody has mended it, it is a telephone number there as well.
    mended = {
        key: {**e, "number": "+49 551 4567"} if "label" in e else e for key, e in card_of(record)["phones"].items()
    }
    record = changed(connector, record, phones=mended).record
    assert "+49 551 4567" in values(record, "phones", "number")


def test_how_tryton_writes_a_number_is_its_view_and_no_edit(world: World) -> None:
    connector = world.open()
    card = {
        "name": {"full": "Ann"},
        "phones": {"p": {"number": "+493055500-02"}},
        "emails": {"e": {"address": "A@EXAMPLE.org"}},
    }
    record = push(connector, None, connector.fit(card, None)).record
    assert values(record, "phones", "number") == ["+49 30 5550002"]
    assert values(record, "emails", "address") == ["A@example.org"]
    assert connector.fit(card, card_of(record)) == connector.fit(card, None)


def test_addresses_and_their_places(world: World) -> None:
    connector = world.open()
    home = {
        LINES: "Lange Straße 12\nHinterhaus",
        "components": components(
            {"locality": "Göttingen", "region": "niedersachsen", "postcode": "37073", "country": "DE"}
        ),
    }
    record = made(connector, addresses={"a": home})
    [shown] = card_of(record)["addresses"].values()
    assert shown[LINES] == home[LINES]
    assert shown["countryCode"] == "DE"
    assert {c["kind"]: c["value"] for c in shown["components"]}.items() >= {
        "country": "Germany",
        "region": "Niedersachsen",
    }.items()
    # Another country takes the region along; an unknown one is not kept.
    key = next(iter(card_of(record)["addresses"]))
    parts = components({"locality": "Rennes", "region": "Niedersachsen", "country": "France"})
    record = changed(connector, record, addresses={key: {**shown, "components": parts}}).record
    [shown] = card_of(record)["addresses"].values()
    assert {c["kind"] for c in shown["components"]} == {"locality", "country"}
    assert shown["countryCode"] == "FR"
    parts = components({"locality": "Atlantis", "country": "Atlantis"})
    record = changed(connector, record, addresses={key: {**shown, "components": parts}}).record
    [shown] = card_of(record)["addresses"].values()
    assert {c["kind"]: c["value"] for c in shown["components"]} == {"locality": "Atlantis"}
    # A post box joins, then leaves.
    parts = components({"locality": "Bonn", "postOfficeBox": "4711"})
    record = changed(connector, record, addresses={key: {**shown, "components": parts}}).record
    [boxed_address] = card_of(record)["addresses"].values()
    assert boxed_address[LINES] == "Lange Straße 12, Hinterhaus"
    record = changed(
        connector, record, addresses={key: {**boxed_address, "components": components({"locality": "Bonn"})}}
    ).record
    [shown] = card_of(record)["addresses"].values()
    assert shown[LINES] == "Lange Straße 12, Hinterhaus"


def test_a_street_in_parts_is_only_taken_apart_when_it_changes(world: World) -> None:
    connector = world.open()
    party = world.party(addresses=rows({"street_name": "Weg", "building_number": "3", "city": "Bonn"}))
    record = one(connector, party)
    [(key, shown)] = card_of(record)["addresses"].items()
    record = changed(
        connector, record, addresses={key: {**shown, "components": components({"locality": "Köln"})}}
    ).record
    fields = ("addresses.street_name", "addresses.building_number", "addresses.street_unstructured", "addresses.city")
    [address] = world.read(party, *fields)["addresses."]
    assert (address["street_name"], address["building_number"], address["city"]) == ("Weg", "3", "Köln")
    [shown] = card_of(record)["addresses"].values()
    record = changed(connector, one(connector, party), addresses={key: {**shown, LINES: "Weg 4"}}).record
    [address] = world.read(party, *fields)["addresses."]
    assert (address["street_name"], address["building_number"], address["street_unstructured"]) == (None, None, "Weg 4")


def test_a_category_that_is_not_there_is_made_with_its_parents(world: World) -> None:
    connector = world.open()
    top = f"Club{time.time_ns()}"
    record = made(connector, groups={"a": {"name": f"{top} / Choir"}, "b": {"name": top}})
    assert sorted(values(record, "groups", "name")) == [top, f"{top} / Choir"]
    other = made(connector, key="another", groups={"a": {"name": top.upper()}})
    assert values(other, "groups", "name") == [top], "letter case makes no second one"
    left = {key: e for key, e in card_of(record)["groups"].items() if e["name"] == top}
    assert values(changed(connector, record, groups=left).record, "groups", "name") == [top]


def test_our_key_finds_what_was_made(world: World) -> None:
    connector = world.open()
    key = f"key-{time.time_ns()}"
    record = made(connector, key=key)
    assert record.key == key
    [(ref, found)] = connector.find([Push("r", key, None, {}), Push("s", "nobody", None, {})])
    assert (ref, found) == ("r", record)


# --- deleting --------------------------------------------------------------------------------------------------------


def test_a_party_with_invoices_is_archived(world: World) -> None:
    party = world.party(addresses=rows({"city": "Bonn"}))
    invoice(world, party)
    connector = world.open()
    outcome = push(connector, one(connector, party), None)
    assert (outcome.error, outcome.record) == (None, Record(str(party), None))
    assert not world.read(party, "active")["active"]
    assert one(connector, party).card is None


def test_a_party_without_is_deleted(world: World) -> None:
    connector = world.open()
    record = made(connector)
    assert push(connector, record, None).error is None
    assert world.call(f"{PARTY}.search", [["id", "=", int(record.id)]], 0, None, None, **ALL) == []


@pytest.mark.parametrize("invoiced", [False, True])
def test_who_asks_to_be_forgotten_is_erased(world: World, invoiced: bool) -> None:
    party = world.party(
        contact_mechanisms=rows(mail("a@example.org", name="n", comment="c")),
        addresses=rows({"street_unstructured": "Weg 3", "city": "Bonn"}),
        identifiers=rows({"type": None, "code": f"concord:{KEY}"}),
    )
    if invoiced:
        invoice(world, party, state="draft")
    connector = world.open()
    outcome = push(connector, one(connector, party), None, erase=True)
    assert (outcome.error, outcome.record) == (None, Record(str(party), None))
    assert _personal(world, party) == {None, "****", "other"}


def test_where_the_wizard_is_not_to_be_had_the_party_is_blanked(stage: servers.Stage) -> None:
    world = boxed(stage, wizard=False)
    party = world.party(
        contact_mechanisms=rows(mail("a@example.org", name="n", comment="c")),
        addresses=rows({"street_name": "Weg", "post_box": "3", "city": "Bonn"}),
        identifiers=rows({"type": None, "code": "K-1"}),
    )
    connector = world.open()
    assert push(connector, one(connector, party), None, erase=True).error is None
    assert _personal(world, party) == {None, "****", "other"}
    world.close()


def _personal(world: World, party: int) -> set[Any]:
    """What is left of a person."""
    fields = {
        "contact_mechanisms": ("type", "value", "name", "comment"),
        "addresses": ("street", "street_unstructured", "street_name", "post_box", "city"),
        "identifiers": ("type", "code"),
    }
    row = world.read(party, "name", "active", *(f"{name}.{column}" for name, of in fields.items() for column in of))
    assert not row["active"]
    return {row["name"], *(child[column] for name, of in fields.items() for child in row[f"{name}."] for column in of)}


# --- purchases -------------------------------------------------------------------------------------------------------


def invoice(world: World, party: int, *lines: tuple[str, str, str], state: str = "posted") -> str:
    """A customer invoice of (text, quantity, price)."""
    lines = lines or (("Apples", "3", "10.10"),)
    if world.box is not None:
        return world.box.invoice(str(party), lines, state)

    def first(model: str, *domain: Any) -> int:
        return int(world.call(f"model.{model}.search", list(domain), 0, 1, None)[0])

    ours = {"currency": 1, "company": 1}
    account = first("account.account", ["type.revenue", "=", True], ["closed", "!=", True])
    columns = {
        "type": "out",
        "party": party,
        "invoice_address": first("party.address", ["party", "=", party]),
        "account": first("account.account", ["type.receivable", "=", True], ["party_required", "=", True]),
        "journal": first("account.journal", ["type", "=", "revenue"]),
        **ours,
        "lines": rows(
            *(
                {
                    "type": "line",
                    "description": text,
                    "quantity": float(quantity),
                    "unit_price": {"__class__": "Decimal", "decimal": price},
                    "account": account,
                    **ours,
                }
                for text, quantity, price in lines
            ),
            {"type": "comment", "description": "Thank you"},
        ),
    }
    companies = {"company": 1, "companies": [1]}
    [made_invoice] = world.call("model.account.invoice.create", [columns], **companies)
    if state != "draft":
        world.call("model.account.invoice.post", [made_invoice], **companies)
    return str(made_invoice)


def bought(connector: TrytonConnector, cursor: Any) -> tuple[dict[str, Purchase], set[str], Any]:
    """What `purchases` brings: by id, what is gone, the next cursor."""
    found: dict[str, Purchase] = {}
    gone: set[str] = set()
    for step in connector.purchases(cursor):
        found |= {purchase.id: purchase for purchase in step.purchases}
        gone |= set(step.gone)
        cursor = step.cursor or cursor
    assert json.loads(json.dumps(cursor)) == cursor
    return found, gone, cursor


def test_invoices_are_purchases(world: World) -> None:
    connector = world.open()
    assert isinstance(connector, Seller)
    party = world.party(addresses=rows({"city": "Bonn"}))
    sold = invoice(world, party, ("Apples", "3", "10.10"), ("Pears", "0.5", "2.00"))
    credit = invoice(world, party, ("Apples", "-1", "10.10"))
    found, _, cursor = bought(connector, None)
    purchase = found[sold]
    assert (purchase.record, purchase.kind, purchase.state) == (str(party), "invoice", "open")
    assert (purchase.total, purchase.currency) == (Decimal("31.30"), "EUR")
    assert purchase.number
    assert purchase.date == datetime.now(UTC).date()
    assert [(line.text, line.quantity, line.price, line.amount) for line in purchase.lines] == [
        ("Apples", Decimal(3), Decimal("10.10"), Decimal("30.30")),
        ("Pears", Decimal("0.5"), Decimal("2.00"), Decimal("1.00")),
    ]
    assert (found[credit].kind, found[credit].total) == ("credit", Decimal("-10.10"))
    # Nothing new is nothing; a draft comes, is posted, is gone.
    assert bought(connector, cursor)[:2] == ({}, set())
    draft = invoice(world, party, state="draft")
    found, _, cursor = bought(connector, cursor)
    assert {key: one_of.state for key, one_of in found.items()} == {draft: "draft"}
    assert bought(connector, cursor)[:2] == ({}, set())
    if world.box is None:
        world.call("model.account.invoice.delete", [int(draft)])
    else:
        world.box.remove(draft, "account.invoice")
    found, gone, cursor = bought(connector, cursor)
    assert (found, gone) == ({}, {draft})
    assert bought(connector, cursor)[:2] == ({}, set())


@pytest.mark.parametrize(
    ("state", "ours"),
    [("draft", "draft"), ("validated", "draft"), ("posted", "open"), ("paid", "paid"), ("cancelled", "void")],
)
def test_each_state_has_a_meaning(box: World, state: str, ours: str) -> None:
    invoice(box, box.party(), state=state)
    [purchase] = bought(box.open(), None)[0].values()
    assert purchase.state == ours


def test_a_payment_is_news(box: World) -> None:
    assert box.box is not None
    sold = invoice(box, box.party())
    connector = box.open()
    cursor = bought(connector, None)[2]
    box.box.write("account.invoice", int(sold), state="paid")
    assert bought(connector, cursor)[0][sold].state == "paid"


def test_more_invoices_than_a_page(box: World) -> None:
    party = box.party()
    ids = [invoice(box, party) for _ in range(450)]
    connector = box.open()
    steps = connector.purchases(None)
    first = next(steps)
    assert len(first.purchases) == 200
    rest = bought(box.open(), first.cursor)[0]
    assert {p.id for p in first.purchases} | rest.keys() == set(ids)
    with pytest.raises(CursorExpired):
        bought(connector, {"v": 0})


def test_without_the_module_there_are_no_purchases(stage: servers.Stage) -> None:
    world = boxed(stage, invoices=False)
    connector = world.open()
    assert list(connector.purchases(None)) == []
    assert any("account_invoice" in note for note in connector.check().notes)
    world.close()


# --- who and what ----------------------------------------------------------------------------------------------------


def test_check_says_what_is_there(world: World) -> None:
    account = world.open().check()
    assert "Tryton 8.2" in account.label
    assert account.notes == []


def test_check_tells_that_there_are_no_countries(box: World) -> None:
    assert box.box is not None
    box.box.store.tables["country.country"].clear()
    assert any("countries" in note for note in box.open().check().notes)


def test_settings_are_checked() -> None:
    good = {"url": "http://x", "database": "d", "username": "u", "password": "p"}
    assert CONNECTOR.settings(**good)
    for wrong in ({"url": "tryton.example.org"}, {"database": ""}, {"full_every": 0}):
        with pytest.raises(ValidationError):
            CONNECTOR.settings(**{**good, **wrong})


def test_a_database_that_is_not_there(world: World) -> None:
    with pytest.raises(Unreachable, match="no such Tryton database"):
        world.open(database="nowhere").check()


def test_a_dead_session_is_renewed_once(box: World) -> None:
    assert box.box is not None
    connector = box.open()
    record = made(connector)
    box.box.kill_sessions()
    assert box.cost(lambda: one(connector, record.id)) == 3
    box.box.kill_sessions()
    assert changed(connector, record, name={"full": "Berta"}).error is None


def test_a_password_that_was_changed(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.box is not None
    connector = box.open()
    record = made(connector)
    monkeypatch.setattr("connectors.tryton.sandbox.PASSWORD", "another")
    box.box.kill_sessions()
    with pytest.raises(Unauthorised, match="enter user name and password"):
        changed(connector, record, name={"full": "Berta"})


# --- trouble ---------------------------------------------------------------------------------------------------------


ERRORS: Sequence[tuple[list[Any], type[Exception], type[Exception], str]] = [
    (["UserError", ["No.", "Because.", None]], Refused, Refused, "No. Because."),
    (["UserWarning", ["key", "Sure?", "Think."]], Refused, Refused, "Sure? Think."),
    (["ConcurrencyException", "Records were modified"], Stale, Stale, "Records were modified"),
    (["LoginException", ["otp", "Code of your token", "char"]], Unauthorised, Unauthorised, "more than a password"),
    (["'name'", ""], Unreachable, Refused, "the server failed ('name')"),
]


@pytest.mark.parametrize(("error", "reading", "writing", "words"), ERRORS)
def test_each_error_has_a_reaction(
    error: list[Any], reading: type[Exception], writing: type[Exception], words: str
) -> None:
    from connectors.tryton.client import result

    for read, kind in ((True, reading), (False, writing)):
        with pytest.raises(kind, match=words.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
            result({"id": 1, "error": error}, "m", read=read)


def test_creates_whose_answer_never_came_are_all_uncertain(box: World) -> None:
    assert box.box is not None
    connector = box.open()
    made(connector, key="warm")
    pushes = [Push(str(n), f"k{n}", None, {"name": {"full": f"P{n}"}}) for n in range(3)]
    box.box.faults.add("lost_after", "POST")
    outcomes = list(connector.write(pushes))
    assert all(isinstance(outcome.error, Uncertain) for outcome in outcomes)
    assert {ref for ref, _ in connector.find(pushes)} == {"0", "1", "2"}


def test_a_write_that_cannot_be_read_back_is_uncertain(box: World) -> None:
    """It must not count as not sent: it would be sent again."""
    assert box.box is not None
    connector = box.open()
    made(connector, key="warm")
    box.box.faults.add("throttle", "POST", times=99, skip=1)
    [outcome] = connector.write([Push("r", "k", None, {"name": {"full": "P"}})])
    assert isinstance(outcome.error, Uncertain)


def test_what_took_effect_is_told_before_the_run_ends(box: World) -> None:
    assert box.box is not None
    connector = box.open()
    held = made(connector)
    box.box.faults.add("throttle", "POST", times=99, skip=2)
    pushes = [Push("new", "k", None, {"name": {"full": "P"}}), Push("old", KEY, held, {"name": {"full": "Q"}})]
    outcomes: list[Outcome] = []

    def write() -> None:
        outcomes.extend([])
        for outcome in connector.write(pushes):
            outcomes.append(outcome)  # noqa: PERF402

    with pytest.raises(Throttled):
        write()
    assert [(outcome.ref, outcome.error) for outcome in outcomes] == [("new", None)]


def test_a_category_whose_answer_never_came_is_looked_up(box: World) -> None:
    assert box.box is not None
    connector = box.open()
    made(connector, key="warm")
    box.box.faults.add("lost_after", "POST", skip=1)
    record = made(connector, groups={"g": {"name": "Friends"}})
    assert values(record, "groups", "name") == ["Friends"]
    assert len(box.box.rows("party.category")) == 1


def test_a_contact_with_nothing_in_it_is_refused(box: World) -> None:
    assert isinstance(push(box.open(), None, {}).error, Refused)
    assert box.box is not None
    assert box.box.rows() == []


def test_the_server_s_clock_is_what_counts(stage: servers.Stage) -> None:
    """Ours may be minutes ahead; nothing is missed for that."""
    world = boxed(stage)
    party = world.party()
    world.ahead = 900
    mirror = quiet(world)
    world.call(f"{PARTY}.write", [party], {"name": "Berta"})
    assert set(mirror.pull().changed) == {str(party)}
    world.close()


def test_nothing_is_lost_where_the_server_does_not_tell_its_time(box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.box is not None
    monkeypatch.setattr("connectors.http.server_time", lambda response: None)
    [party] = box.box.seed([{"name": "Ann"}])
    mirror = quiet(box)
    box.box.edit(party, name="Berta")
    assert set(mirror.pull().changed) == {party}
