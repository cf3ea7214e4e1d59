"""CardDAV against real servers: Radicale and Xandikos."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import servers

from connectors.carddav import CardDAV, CardDAVSettings
from connectors.carddav import connector as module
from connectors.carddav.services import Resolver
from connectors.contract import Context, Outcome, Push, Record
from connectors.errors import CursorExpired, Missing, Refused, Stale, Unauthorised, Uncertain, Unreachable

ANNA = {
    "name": {"components": [{"kind": "given", "value": "Anna"}, {"kind": "surname", "value": "Åström"}]},
    "emails": {"1": {"address": "anna@example.org"}},
}


@pytest.fixture(scope="module", params=["radicale", "xandikos"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with getattr(servers, request.param)(tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.radicale(tmp_path_factory.mktemp("radicale-alone")) as running:
        yield running


@pytest.fixture
def book(server: servers.Server) -> str:
    """The URL of a new address book."""
    folder = server.book.rstrip("/").rpartition("/")[0]
    return server.make_book(f"{folder}/{uuid.uuid4()}/", "Test")


class Remote:
    """A connector as the engine uses it: versions known, listed cards read if they are not known."""

    def __init__(self, settings: dict[str, Any], resolver: Resolver | None = None) -> None:
        self.settings = settings
        self.resolver = resolver
        self.requests: Counter[str] = Counter()
        self.records: dict[str, Record] = {}
        self.cursor: Any = None
        self.memory: dict[str, Any] = {}
        self.open()

    def open(self) -> None:
        """As a new run would."""
        context = Context(
            now=lambda: datetime.now(UTC),
            sleep=lambda seconds: None,
            random=lambda: 0.5,
            requests=self._count,
            memory=dict(self.memory),
            remember=self.memory.__setitem__,
        )
        self.context = context
        self.connector = CardDAV(CardDAVSettings(**self.settings), context, self.resolver)

    def _count(self, method: str, sent: int, received: int) -> None:
        self.requests[method] += 1

    def pull(self) -> list[str]:
        """One run's reading; gives the ids of the records that came."""
        self.open()
        self.requests.clear()
        came: list[str] = []
        complete, named = False, set()
        for page in self.connector.changes(self.cursor):
            versions = {record.id: record.version for record in self.records.values()}
            unknown = [href for href, etag in page.listed.items() if versions.get(href, "") != etag]
            records = [*page.records, *self.connector.read(unknown)]
            named |= {*page.listed, *(record.id for record in page.records)}
            complete = page.complete
            for record in records:
                came.append(record.id)
                self._take(record)
            self.cursor = page.cursor or self.cursor
        if complete:
            self.records = {href: record for href, record in self.records.items() if href in named}
        return came

    def _take(self, record: Record) -> None:
        if record.card is None and record.refused is None:
            self.records.pop(record.id, None)
        else:
            self.records[record.id] = record

    def write(self, *pushes: Push) -> list[Outcome]:
        outcomes = list(self.connector.write(pushes))
        for outcome in outcomes:
            if outcome.record is not None:
                self._take(outcome.record)
        return outcomes

    def create(self, card: Any, key: str | None = None) -> Record:
        outcome = self.write(Push("1", key or str(uuid.uuid4()), None, card))[0]
        assert outcome.error is None, outcome.error
        assert outcome.record is not None
        return outcome.record

    def update(self, held: Record, card: Any) -> Outcome:
        return self.write(Push("1", held.key or "", held, card))[0]


@pytest.fixture
def remote(server: servers.Server, book: str) -> Remote:
    return Remote(server.settings(url=book))


def vcard(uid: str, *lines: str, name: str = "Bo Berg") -> str:
    given, family = name.split()
    head = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"N:{family};{given};;;", f"FN:{name}"]
    return "\r\n".join([*head, *lines, "END:VCARD", ""])


def group(uid: str, name: str, *members: str) -> str:
    lines = [f"X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:{member}" for member in members]
    head = ["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"N:{name}", f"FN:{name}", "X-ADDRESSBOOKSERVER-KIND:group"]
    return "\r\n".join([*head, *lines, "END:VCARD", ""])


def with_email(record: Record, address: str) -> Any:
    assert record.card is not None
    return {**record.card, "emails": {"1": {**record.card["emails"]["1"], "address": address}}}


def groups_of(record: Record) -> set[str]:
    assert record.card is not None
    return {element["name"] for element in record.card.get("groups", {}).values()}


# --- discovery ------------------------------------------------------------------------------------------------------


def test_the_host_is_enough(server: servers.Server) -> None:
    account = Remote(server.settings(address_book=server.book.split("/", 3)[3])).connector.check()
    assert account.label.startswith(("Contacts of lab", "addressbook of user"))
    assert any("unencrypted" in note for note in account.notes)


@pytest.mark.parametrize("end", ["/.well-known/carddav", "/"])
def test_other_ways_in(radicale: servers.Server, end: str) -> None:
    """A typed well-known URL, and the principal's."""
    url = radicale.url + ("/lab/" if end == "/" else end)
    assert Remote(radicale.settings(url=url)).connector.check().label.startswith("Contacts of lab")


def test_several_address_books_ask_for_a_choice(tmp_path: Path) -> None:
    with servers.radicale(tmp_path) as server:
        server.make_book(f"{server.url}/lab/work/", "Work")
        with pytest.raises(Unreachable, match=r"several.*'Contacts' \(/lab/contacts/\).*'Work'"):
            Remote(server.settings()).connector.check()
        with pytest.raises(Unreachable, match=r"no address book 'Home'; it has .*'Work'"):
            Remote(server.settings(address_book="Home")).connector.check()
        assert Remote(server.settings(address_book="work")).connector.check().label.startswith("Work of lab")
        for path in ("/lab/work", "lab/work/"):
            assert Remote(server.settings(address_book=path)).connector.check().label.startswith("Work of lab")


def test_a_wrong_password_is_said_to_be_wrong(radicale: servers.Server) -> None:
    with pytest.raises(Unauthorised, match="credentials"):
        Remote({**radicale.settings(), "password": "wrong"}).connector.check()


def test_nothing_there(radicale: servers.Server) -> None:
    with pytest.raises(Unreachable, match=r"no CardDAV at .*/lab/nothing/here/"):
        Remote(radicale.settings(url=radicale.url + "/lab/nothing/here/")).connector.check()
    closed = f"http://127.0.0.1:{servers.free_port()}"
    with pytest.raises(Unreachable, match="cannot be reached"):
        Remote(radicale.settings(url=closed)).connector.check()


def test_the_password_is_in_no_message(radicale: servers.Server) -> None:
    with pytest.raises(Unauthorised) as caught:
        Remote({**radicale.settings(), "password": "s3cret-word"}).connector.check()
    assert "s3cret-word" not in str(caught.value)


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_first_run_then_silence_then_a_delta(server: servers.Server, book: str, remote: Remote) -> None:
    paths = [server.put(f"{n}.vcf", vcard(f"uid-{n}", f"EMAIL:p{n}@example.org"), book) for n in range(3)]
    assert sorted(remote.pull()) == paths
    record = remote.records[paths[1]]
    assert record.key == "uid-1"
    assert record.card is not None
    assert record.card["emails"]["1"]["address"] == "p1@example.org"

    assert remote.pull() == []
    assert remote.requests.total() == 1, "a silent run is one request"

    server.put("1.vcf", vcard("uid-1", "EMAIL:new@example.org"), book)
    server.ask("DELETE", server.url + paths[2])
    assert sorted(remote.pull()) == paths[1:]
    assert remote.requests.total() == 2
    assert remote.records[paths[1]].card["emails"]["1"]["address"] == "new@example.org"  # type: ignore[index]
    assert paths[2] not in remote.records
    assert remote.pull() == []


def test_many_cards_are_listed_not_read(server: servers.Server, book: str, remote: Remote) -> None:
    for n in range(5):
        server.put(f"{n}.vcf", vcard(f"uid-{n}"), book)
    [page] = remote.connector.changes(None)
    assert page.complete
    assert page.records == []
    assert len(page.listed) == 5
    assert all(page.listed.values())


def test_a_forgotten_token_expires_the_cursor(server: servers.Server, remote: Remote) -> None:
    remote.pull()
    kind = "http://radicale.org/ns/sync/" + "0" * 64 if "radicale" in remote.cursor["token"] else "0" * 40
    with pytest.raises(CursorExpired):
        list(remote.connector.changes({**remote.cursor, "token": kind}))


def test_other_settings_expire_the_cursor(server: servers.Server, remote: Remote) -> None:
    remote.pull()
    with pytest.raises(CursorExpired, match="settings"):
        list(Remote(server.settings(url=server.book)).connector.changes(remote.cursor))


def test_a_removed_address_book_is_not_an_empty_one(server: servers.Server, book: str, remote: Remote) -> None:
    path = server.put("1.vcf", vcard("uid-1"), book)
    remote.pull()
    server.ask("DELETE", book)
    with pytest.raises(Unreachable, match="no longer there"):
        list(remote.connector.read([path]))
    with pytest.raises(CursorExpired, match="no longer there"):
        list(remote.connector.changes(remote.cursor))
    with pytest.raises(Unreachable):
        list(remote.connector.changes(None))


def test_where_the_book_is_is_remembered_for_runs_that_only_write(remote: Remote) -> None:
    remote.pull()
    remote.open()
    remote.requests.clear()
    remote.create(ANNA)
    assert remote.requests["PROPFIND"] == 0
    remote.settings = {**remote.settings, "address_book": remote.connector._book.book.name}
    remote.open()
    remote.requests.clear()
    remote.create(ANNA)
    assert remote.requests["PROPFIND"] > 0, "with other settings it could be another one"


def test_a_book_that_has_gone_since_it_was_found_ends_the_run(remote: Remote, server: servers.Server) -> None:
    remote.pull()
    gone = remote.connector._book.book.url
    server.ask("DELETE", gone)
    remote.open()
    with pytest.raises(Unreachable, match="no longer there"):
        remote.create(ANNA)


def test_reading_what_is_not_there(server: servers.Server, book: str, remote: Remote) -> None:
    there = server.put("1.vcf", vcard("uid-1"), book)
    missing = there.replace("1.vcf", "2.vcf")
    records = {record.id: record for record in remote.connector.read([missing, there])}
    assert records[missing].card is None
    assert records[missing].refused is None
    assert records[there].key == "uid-1"


def test_names_that_need_escaping(server: servers.Server, book: str, remote: Remote) -> None:
    path = server.put("a%20b%20%C3%A5%2Bc.vcf", vcard("uid-1", "EMAIL:a@example.org"), book)
    remote.pull()
    [record] = remote.records.values()
    assert remote.update(record, with_email(record, "b@example.org")).error is None
    assert "b@example.org" in server.get(path)
    server.ask("DELETE", server.url + path)
    remote.pull()
    assert remote.records == {}


# --- writing --------------------------------------------------------------------------------------------------------


def test_create_update_delete(server: servers.Server, book: str, remote: Remote) -> None:
    remote.pull()
    key = str(uuid.uuid4())
    created = remote.create(ANNA, key)
    assert created.id == "/" + book.split("/", 3)[3] + key + ".vcf"
    assert created.key == key
    assert created.card == next(remote.connector.read([created.id])).card
    assert created.version == next(remote.connector.read([created.id])).version

    updated = remote.update(created, with_email(created, "anna@new.example")).record
    assert updated is not None
    assert "anna@new.example" in server.get(created.id)
    assert updated.version != created.version

    remote.pull()
    assert remote.records[updated.id].card == updated.card, "our own echo is no news"
    assert remote.pull() == []

    assert remote.write(Push("1", key, updated, None))[0].record == Record(created.id, None)
    assert server.ask("GET", server.url + created.id)[0] == 404


def test_no_difference_is_no_request(remote: Remote) -> None:
    created = remote.create(ANNA)
    remote.requests.clear()
    assert remote.update(created, created.card) == Outcome("1", created)
    assert remote.requests.total() == 0


def test_writes_cost_one_request_each(server: servers.Server, remote: Remote) -> None:
    """And one more for the first 50: the server then has proved that it keeps such cards."""
    remote.pull()
    remote.requests.clear()
    outcomes = remote.write(*(Push(str(n), str(uuid.uuid4()), None, ANNA) for n in range(120)))
    assert [outcome.error for outcome in outcomes] == [None] * 120
    assert sorted(outcome.ref for outcome in outcomes) == sorted(map(str, range(120)))
    assert remote.requests["PUT"] == 120
    assert remote.requests.total() == 120 + 1


def test_a_conflict_is_stale(server: servers.Server, remote: Remote) -> None:
    created = remote.create(ANNA)
    name = created.id.rpartition("/")[2]
    server.put(name, vcard(created.key or "", "EMAIL:theirs@example.org"), remote.settings["url"])
    assert isinstance(remote.update(created, with_email(created, "ours@example.org")).error, Stale)
    assert isinstance(remote.write(Push("1", "", created, None))[0].error, Stale)
    assert "theirs@example.org" in server.get(created.id)


def test_writing_to_what_is_gone(server: servers.Server, remote: Remote) -> None:
    created = remote.create(ANNA)
    server.ask("DELETE", server.url + created.id)
    assert isinstance(remote.update(created, with_email(created, "b@example.org")).error, Missing)
    assert server.ask("GET", server.url + created.id)[0] == 404, "not made again"
    assert remote.write(Push("1", "", created, None))[0].record == Record(created.id, None)


def test_a_create_cannot_happen_twice(remote: Remote) -> None:
    key = str(uuid.uuid4())
    push = Push("7", key, None, ANNA)
    assert list(remote.connector.find([push])) == []
    created = remote.create(ANNA, key)
    assert isinstance(remote.write(push)[0].error, Uncertain)
    assert [(ref, record.id) for ref, record in remote.connector.find([push])] == [("7", created.id)]


def test_one_bad_card_does_not_stop_the_others(radicale: servers.Server) -> None:
    remote = Remote(radicale.settings(url=radicale.make_book(f"{radicale.url}/lab/{uuid.uuid4()}/", "Bad")))
    taken = radicale.put("other.vcf", vcard(key := str(uuid.uuid4())), remote.settings["url"])
    first, second = remote.write(Push("1", key, None, ANNA), Push("2", str(uuid.uuid4()), None, ANNA))
    assert isinstance(first.error, Refused)
    assert "UID" in str(first.error)
    assert second.error is None
    assert radicale.get(taken)


def test_what_we_do_not_know_stays_byte_for_byte(server: servers.Server, book: str, remote: Remote) -> None:
    strange = [
        'X-CUSTOM;X-P="a;b":one\\, two\\; three',
        "item1.TEL;TYPE=pref:+46 70 123 45 67",
        "item1.X-ABLabel:_$!<Mobile>!$_",
        "X-SOCIALPROFILE;TYPE=twitter:https://example.org/bo",
        "GEO:59.3;18.1",
        "X-LONG:" + "åäö" * 30,
    ]
    path = server.put("s.vcf", vcard("uid-s", "EMAIL:a@example.org", *strange), book)
    remote.pull()
    before = server.get(path)
    record = remote.records[path]
    assert remote.update(record, with_email(record, "b@example.org")).error is None
    after = server.get(path)
    lines = before.replace("a@example.org", "b@example.org").splitlines()
    assert sorted(after.splitlines()) == sorted(lines)


def test_somebody_edits_between_our_write_and_our_proof(
    server: servers.Server, book: str, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their edit must be news at the next pull, not part of our answer."""
    remote.pull()
    remote.create(ANNA)  # by now it is known how far the server can be trusted
    key = str(uuid.uuid4())
    put = remote.connector._client.put

    def slower(book: str, href: str, text: str, etag: str | None) -> str | None:
        told = put(book, href, text, etag)
        server.put(f"{key}.vcf", vcard(key, "EMAIL:theirs@example.org"), book)
        return told

    monkeypatch.setattr(remote.connector._client, "put", slower)
    created = remote.create(ANNA, key)
    assert created.card is not None
    assert created.card["emails"]["1"]["address"] == "anna@example.org"
    assert created.id in remote.pull()
    assert remote.records[created.id].card["emails"]["1"]["address"] == "theirs@example.org"  # type: ignore[index]


# --- groups ---------------------------------------------------------------------------------------------------------


def test_categories_are_groups(server: servers.Server, remote: Remote) -> None:
    created = remote.create({**ANNA, "groups": {"1": {"name": "Friends"}}})
    assert groups_of(created) == {"Friends"}
    assert "CATEGORIES:Friends" in server.get(created.id)


def test_a_group_card_is_no_contact_but_shows_on_its_members(server: servers.Server, book: str, remote: Remote) -> None:
    ids = {name: str(uuid.uuid4()).upper() for name in ("bo", "cy", "club")}
    bo = server.put("bo.vcf", vcard(ids["bo"]), book)
    cy = server.put("cy.vcf", vcard(ids["cy"], name="Cy Carl"), book)
    club = server.put("club.vcf", group(ids["club"], "Club", ids["bo"]), book)
    remote.pull()
    assert sorted(remote.records) == [bo, cy]
    assert groups_of(remote.records[bo]) == {"Club"}
    assert groups_of(remote.records[cy]) == set()

    server.put("club.vcf", group(ids["club"], "Club", ids["cy"]), book)
    remote.pull()
    assert groups_of(remote.records[bo]) == set()
    assert groups_of(remote.records[cy]) == {"Club"}

    server.put("club.vcf", group(ids["club"], "Society", ids["cy"]), book)
    assert remote.pull() == [cy]
    assert groups_of(remote.records[cy]) == {"Society"}
    assert remote.pull() == []
    assert remote.requests.total() == 1

    server.ask("DELETE", server.url + club)
    remote.pull()
    assert groups_of(remote.records[cy]) == set()
    assert club not in remote.records


def test_membership_is_written_to_the_group_card(server: servers.Server, book: str, remote: Remote) -> None:
    ids = {name: str(uuid.uuid4()) for name in ("bo", "club")}
    bo = server.put("bo.vcf", vcard(ids["bo"]), book)
    club = server.put("club.vcf", group(ids["club"], "Club", "somebody-else"), book)
    remote.pull()
    record = remote.records[bo]
    assert record.card is not None
    text = server.get(bo)

    joined = remote.update(record, {**record.card, "groups": {"g": {"name": "club"}}}).record
    assert joined is not None
    assert groups_of(joined) == {"Club"}
    assert f"urn:uuid:{ids['bo']}" in server.get(club)
    assert "somebody-else" in server.get(club)
    assert server.get(bo) == text, "no CATEGORIES for a group that has a card"

    created = remote.create({**ANNA, "groups": {"g": {"name": "Club"}}})
    assert groups_of(created) == {"Club"}
    assert created.key in server.get(club)

    remote.pull()
    assert groups_of(remote.records[created.id]) == {"Club"}
    left = remote.update(remote.records[bo], {**record.card, "groups": {}}).record
    assert left is not None
    assert groups_of(left) == set()
    assert ids["bo"] not in server.get(club)

    remote.write(Push("1", created.key or "", created, None))
    assert created.key not in server.get(club), "who is deleted leaves the groups"
    remote.pull()
    assert groups_of(remote.records[bo]) == set()
    remote.pull()
    assert remote.pull() == []
    assert remote.requests.total() == 1


def test_page_size_is_kept(server: servers.Server, book: str, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for n in range(5):
        server.put(f"{n}.vcf", vcard(f"uid-{n}"), book)
    pages = list(remote.connector.changes(None))
    assert [len(page.listed) for page in pages] == [2, 2, 1]
    assert [page.complete for page in pages] == [False, False, True]
    assert [page.cursor is not None for page in pages] == [False, False, True]
