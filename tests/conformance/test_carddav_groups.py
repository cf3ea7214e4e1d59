"""Groups that are new to an address book: a card of their own where groups are cards there, a category elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from test_carddav import ANNA, Remote, group, groups_of, vcard
from test_carddav_sandbox import open_stage, served

from connectors.carddav import addressbook, mapping
from connectors.carddav.mapping import GroupCard
from connectors.carddav.sandbox import CardDAVSandbox
from connectors.contract import Push, Record
from connectors.errors import Refused, Uncertain, Unreachable

__all__ = ["open_stage"]  # a fixture of this module as well


@pytest.fixture(scope="module", params=["radicale", "xandikos"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with getattr(servers, request.param)(tmp_path_factory.mktemp(request.param)) as running_server:
        yield running_server


def group4(uid: str, name: str, *members: str) -> str:
    head = ["BEGIN:VCARD", "VERSION:4.0", f"UID:urn:uuid:{uid}", f"FN:{name}", "KIND:group"]
    return "\r\n".join([*head, *(f"MEMBER:urn:uuid:{member}" for member in members), "END:VCARD", ""])


def member_of(*names: str) -> Any:
    return {**ANNA, "groups": {str(n): {"name": name} for n, name in enumerate(names)}}


def pushes(count: int, *names: str) -> list[Push]:
    return [Push(str(n), f"key-{n}", None, member_of(*names)) for n in range(count)]


def with_groups(record: Record, *names: str) -> Any:
    assert record.card is not None
    return {**record.card, "groups": {str(n): {"name": name} for n, name in enumerate(names)}}


def group_cards(sandbox: CardDAVSandbox) -> dict[str, list[str]]:
    """The group cards there are: members by name. Two of one name fail."""
    found: dict[str, list[str]] = {}
    for text in sandbox.book.cards.values():
        card = mapping.parsed(text, None)
        if isinstance(card, GroupCard):
            assert card.name not in found, f"two group cards are called {card.name}"
            found[card.name] = sorted(card.members)
    return found


def path_of(sandbox: CardDAVSandbox, name: str) -> str:
    texts = sandbox.book.cards.items()
    return sandbox.book.path + next(key for key, text in texts if f"FN:{name}\r\n" in text)


# --- made -----------------------------------------------------------------------------------------------------------


def test_a_new_group_becomes_a_card_on_a_real_server(server: servers.Server) -> None:
    folder = server.book.rstrip("/").rpartition("/")[0]
    book = server.make_book(f"{folder}/{uuid.uuid4()}/", "Groups")
    server.put("club.vcf", group(str(uuid.uuid4()), "Club"), book)
    bo = server.put("bo.vcf", vcard(bo_uid := str(uuid.uuid4())), book)
    remote = Remote(server.settings(url=book))
    remote.pull()

    created = remote.create(member_of("Choir"))
    assert groups_of(created) == {"Choir"}
    assert "CATEGORIES" not in server.get(created.id)
    joined = remote.update(remote.records[bo], with_groups(remote.records[bo], "choir")).record
    assert joined is not None
    assert groups_of(joined) == {"Choir"}

    remote.pull()
    assert sorted(remote.records) == sorted([bo, created.id]), "the new card is no contact"
    other = Remote(server.settings(url=book))
    other.pull()
    assert {href: groups_of(record) for href, record in other.records.items()} == {bo: {"Choir"}, created.id: {"Choir"}}
    [choir] = [group for group in other.connector._book.groups.values() if group.name == "Choir"]
    assert choir.members == {bo_uid, created.key}
    remote.pull()
    assert remote.pull() == []
    assert remote.requests.total() == 1


@pytest.mark.parametrize(
    ("like", "lines"),
    [
        (
            group,
            ["VERSION:3.0", "N:Choir;;;;", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:a"],
        ),
        (group4, ["VERSION:4.0", "KIND:group", "MEMBER:urn:uuid:a"]),
    ],
)
@pytest.mark.parametrize("warts", [{}, {"queries": False}, {"sync": False, "queries": False}])
def test_it_speaks_the_dialect_of_the_others(like: Any, lines: list[str], warts: dict[str, Any]) -> None:
    with served(**warts) as (sandbox, remote):
        sandbox.put("club.vcf", like("uid-club", "Club"))
        remote.pull()
        assert groups_of(remote.create(member_of("Choir"), "a")) == {"Choir"}
        text = sandbox.text(path_of(sandbox, "Choir"))
        assert set(lines) <= set(text.splitlines())
        assert ("X-ADDRESSBOOKSERVER-KIND:group" in text) is (like is group)
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a"]}


def test_a_category_is_found_on_a_real_server(server: servers.Server) -> None:
    """Among others in one line, and beside one that only contains its name."""
    folder = server.book.rstrip("/").rpartition("/")[0]
    book = server.make_book(f"{folder}/{uuid.uuid4()}/", "Groups")
    server.put("club.vcf", group(str(uuid.uuid4()), "Club"), book)
    server.put("bo.vcf", vcard(str(uuid.uuid4()), "CATEGORIES:Friends,Golf,Choir Boys"), book)
    remote = Remote(server.settings(url=book))
    remote.pull()
    created = remote.create(member_of("Golf", "Choir"))
    assert groups_of(created) == {"Golf", "Choir"}
    assert "CATEGORIES:Golf" in server.get(created.id)
    assert {card.name for card in remote.connector._book.groups.values()} == {"Club", "Choir"}


def test_one_card_with_all_its_members_costs_three_requests() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        remote.requests.clear()
        outcomes = remote.write(*pushes(20, "Choir"))
        assert all(outcome.record and groups_of(outcome.record) == {"Choir"} for outcome in outcomes)
        assert remote.requests["PUT"] == 20 + 1
        assert remote.requests.total() == 20 + 1 + 3, "group cards, categories, and what was stored"
        remote.requests.clear()
        remote.write(*(Push(str(n), f"kez-{n}", None, member_of("Choir")) for n in range(20)))
        assert remote.requests == {"PUT": 21, "GET": 1}
        assert len(group_cards(sandbox)["Choir"]) == 40


def test_several_new_groups_at_once_however_they_are_spelled() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        remote.write(
            Push("1", "a", None, member_of("Choir", "Band, brass; loud")),
            Push("2", "b", None, member_of("CHOIR ", "Club")),
            Push("3", "c", None, ANNA),
        )
        assert group_cards(sandbox) == {"Choir": ["a", "b"], "Band, brass; loud": ["a"], "Club": ["b"]}


# --- not made -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [[], ["CATEGORIES:Friends"]], ids=["empty", "categories"])
def test_a_book_without_group_cards_keeps_to_categories(others: list[str]) -> None:
    with served() as (sandbox, remote):
        if others:
            sandbox.put("bo.vcf", vcard("uid-bo", *others))
        remote.pull()
        remote.requests.clear()
        created = remote.create(member_of("Choir"))
        assert groups_of(created) == {"Choir"}
        assert "CATEGORIES:Choir" in sandbox.text(created.id)
        assert group_cards(sandbox) == {}
        assert remote.requests == {"PUT": 1, "REPORT": 1}, "what was stored, and nothing about groups"


def test_what_is_a_category_there_stays_one() -> None:
    """Although other groups have cards; and a name that only contains it is another group."""
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        sandbox.put("bo.vcf", vcard("uid-bo", "CATEGORIES:Golf,Choir Boys"))
        remote.pull()
        created = remote.create(member_of("golf", "Choir"), "a")
        assert groups_of(created) == {"golf", "Choir"}
        assert "CATEGORIES:golf\r\n" in sandbox.text(created.id)
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a"]}


def test_a_contact_that_has_it_as_a_category_keeps_that() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        bo = sandbox.put("bo.vcf", vcard("uid-bo", "CATEGORIES:Choir"))
        remote.pull()
        remote.requests.clear()
        assert remote.update(remote.records[bo], with_groups(remote.records[bo], "Choir", "Club")).error is None
        assert remote.requests == {"GET": 1, "PUT": 1}, "nobody joins a new group, so nothing is asked"
        assert "CATEGORIES:Choir\r\n" in sandbox.text(bo)
        assert group_cards(sandbox) == {"Club": ["uid-bo"]}


def test_who_has_no_uid_has_groups_in_the_own_card() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        bo = sandbox.put("bo.vcf", vcard("x").replace("UID:x\r\n", ""))
        remote.pull()
        remote.requests.clear()
        joined = remote.update(remote.records[bo], with_groups(remote.records[bo], "Choir")).record
        assert joined is not None
        assert groups_of(joined) == {"Choir"}
        assert remote.requests == {"PUT": 1, "REPORT": 1}
        assert "CATEGORIES:Choir" in sandbox.text(bo)
        assert group_cards(sandbox) == {"Club": []}


def test_nobody_stored_is_no_group() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        taken = sandbox.put("other.vcf", vcard("key-0"))
        [outcome] = remote.write(*pushes(1, "Choir"))
        assert isinstance(outcome.error, Refused)
        assert taken
        assert group_cards(sandbox) == {"Club": []}
        list(remote.connector.changes(remote.cursor))
        assert [group.name for group in remote.connector._book.groups.values()] == ["Club"]
        assert not remote.connector._book._unmade
        assert groups_of(remote.create(member_of("Choir"), "b")) == {"Choir"}
        assert group_cards(sandbox) == {"Club": [], "Choir": ["b"]}


# --- not made twice -------------------------------------------------------------------------------------------------

MAKING = r"PUT /dav/books/lab/contacts/[0-9a-f-]{36}\.vcf"


@pytest.mark.parametrize("kind", ["lost_after", "error_after"])
def test_a_lost_answer_is_looked_up(kind: Any) -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.faults.add(kind, MAKING)
        assert groups_of(remote.create(member_of("Choir"), "a")) == {"Choir"}
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a"]}


@pytest.mark.parametrize("queries", [True, False])
def test_a_lost_answer_and_the_end_of_the_run(queries: bool) -> None:
    """The next run finds the contact, and the group card that nobody told of."""
    with served(queries=queries) as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.faults.add("lost_after", MAKING)
        sandbox.faults.add("unavailable", "GET", times=9)
        push = Push("1", "a", None, member_of("Choir"))
        told = []
        with pytest.raises(Unreachable):
            told.extend(remote.connector.write([push]))
        sandbox.faults.clear()
        remote.open()
        if not queries:  # then it knows what the last run knew
            remote.connector._book.keep({club: GroupCard("Club", frozenset(), None)})
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a"]}
        [(_, record)] = remote.connector.find([push])
        again = remote.update(record, with_groups(record, "Choir"))
        assert again.error is None
        assert again.record is not None
        assert groups_of(again.record) == {"Choir"}
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a"]}


def test_the_end_of_the_run_is_told() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.faults.add("lost_after", MAKING)
        sandbox.faults.add("unavailable", "GET", times=9)
        outcomes = iter(remote.connector.write(pushes(1, "Choir")))
        assert isinstance(next(outcomes).error, Uncertain)
        with pytest.raises(Unreachable):
            next(outcomes)


def test_a_group_that_did_not_come_to_be_is_not_hidden() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.faults.add("lost_before", MAKING)
        plain, member = remote.write(Push("1", "a", None, ANNA), Push("2", "b", None, member_of("Choir")))
        assert plain.error is None
        assert isinstance(member.error, Refused)
        assert "group" in str(member.error)
        remote.pull()
        record = remote.records["/dav/books/lab/contacts/b.vcf"]
        assert remote.update(record, with_groups(record, "Choir")).error is None
        assert group_cards(sandbox) == {"Club": [], "Choir": ["b"]}


def test_a_group_that_somebody_made_meanwhile_is_joined() -> None:
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.put("theirs.vcf", group("uid-choir", "Choir", "somebody"))
        remote.create(member_of("Choir"), "a")
        assert group_cards(sandbox) == {"Club": [], "Choir": ["a", "somebody"]}


def test_group_cards_that_are_gone_by_now_are_no_reason() -> None:
    with served() as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        sandbox.put("bo.vcf", vcard("uid-bo"))
        remote.pull()
        sandbox.remove(club)
        created = remote.create(member_of("Choir"))
        assert "CATEGORIES:Choir" in sandbox.text(created.id)
        assert group_cards(sandbox) == {}


@pytest.mark.parametrize("known", [True, False])
def test_a_group_of_ours_that_was_renamed_is_another_one(known: bool) -> None:
    with served(queries=known) as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        remote.create(member_of("Choir"), "a")
        choir = path_of(sandbox, "Choir")
        sandbox.put(choir.rpartition("/")[2], sandbox.text(choir).replace("Choir", "Band"))
        remote.open()
        if known:
            remote.pull()
        else:  # as before it was made
            remote.connector._book.keep({club: GroupCard("Club", frozenset(), None)})
        assert groups_of(remote.create(member_of("Choir"), "b")) == {"Choir"}
        assert group_cards(sandbox) == {"Club": [], "Band": ["a"], "Choir": ["b"]}
        assert path_of(sandbox, "Choir") != choir
        there = sorted(group.name for group in remote.connector._book.groups.values())
        assert there == (["Band", "Choir", "Club"] if known else ["Choir", "Club"])


def test_a_group_that_is_renamed_for_ever_becomes_a_category(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressbook, "NAMESAKES", 2)
    with served() as (sandbox, remote):
        sandbox.put("club.vcf", group("uid-club", "Club"))
        for name in ("One", "Two"):
            remote.pull()
            remote.create(member_of("Choir"))
            made = path_of(sandbox, "Choir")
            sandbox.put(made.rpartition("/")[2], sandbox.text(made).replace("Choir", name))
        remote.pull()
        created = remote.create(member_of("Choir"))
        assert "CATEGORIES:Choir" in sandbox.text(created.id)
        assert sorted(group_cards(sandbox)) == ["Club", "One", "Two"]


def test_two_address_books_do_not_share_the_uid_of_a_group(tmp_path: Path) -> None:
    with served(books=("work",)) as (sandbox, remote):
        for book in sandbox.books:
            book.store("club.vcf", group("uid-club", "Club"))
        made = []
        for book in sandbox.books:
            remote.settings["address_book"] = book.name
            remote.open()
            remote.cursor = None
            remote.pull()
            remote.create(member_of("Choir"))
            made += [name for name, text in book.cards.items() if "FN:Choir" in text]
        assert len(set(made)) == 2


# --- emptied --------------------------------------------------------------------------------------------------------


def test_a_group_card_without_members_stays() -> None:
    """People make groups, and keep them; so does the one that was made here."""
    with served() as (sandbox, remote):
        bo = sandbox.put("bo.vcf", vcard("uid-bo"))
        sandbox.put("club.vcf", group("uid-club", "Club", "uid-bo"))
        remote.pull()
        made = remote.create(member_of("Choir"), "a")
        left = remote.update(remote.records[bo], with_groups(remote.records[bo])).record
        assert left is not None
        assert groups_of(left) == set()
        remote.write(Push("1", "a", made, None))
        assert group_cards(sandbox) == {"Club": [], "Choir": []}
        remote.pull()
        assert groups_of(remote.create(member_of("Choir"), "c")) == {"Choir"}
        assert group_cards(sandbox) == {"Club": [], "Choir": ["c"]}
