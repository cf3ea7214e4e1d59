"""CardDAV against the sandbox: what real servers do only now and then, or not on this machine."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import servers
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from test_carddav import ANNA, Remote, group, groups_of, vcard, with_email

from connectors.card import full_name
from connectors.carddav import addressbook, dav, mapping
from connectors.carddav import connector as module
from connectors.carddav.client import typed_url
from connectors.carddav.sandbox import CardDAVSandbox, create
from connectors.contract import Outcome, Push, Record
from connectors.errors import CursorExpired, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.sandbox import running

STAGE = servers.Stage()


@pytest.fixture(scope="module", autouse=True)
def open_stage() -> Iterator[None]:
    with running(STAGE) as STAGE.url:
        yield


@contextlib.contextmanager
def served(**warts: Any) -> Iterator[tuple[CardDAVSandbox, Remote]]:
    sandbox = create(**warts)
    STAGE.app = sandbox.app
    yield sandbox, Remote(sandbox.settings(STAGE.url))


def emails(record: Record) -> list[str]:
    assert record.card is not None
    return [element["address"] for element in record.card["emails"].values()]


def fill(sandbox: CardDAVSandbox, count: int) -> list[str]:
    return [sandbox.put(f"{n}.vcf", vcard(f"uid-{n}", f"EMAIL:p{n}@example.org")) for n in range(count)]


# --- discovery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_well_known_redirect(status: int) -> None:
    with served(redirect=status, seed=1, people=3) as (_sandbox, remote):
        account = remote.connector.check()
        assert account.label.startswith("Contacts of lab at 127.0.0.1:")
        assert account.clock is not None
        assert len(remote.pull()) == 3
        remote.open()
        assert remote.pull() == []
        assert remote.requests.total() == 1, "the way in is remembered in the cursor"


@pytest.mark.parametrize("path", ["/dav/", "/dav/principals/lab/", "/dav/books/lab/", "/dav/books/lab/contacts"])
def test_every_place_on_the_way_can_be_typed(path: str) -> None:
    with served(absolute_hrefs=True) as (_sandbox, remote):
        remote.settings["url"] += path
        remote.open()
        created = remote.create(ANNA)
        assert created.id.startswith("/dav/books/lab/contacts/")
        assert remote.pull() == []
        assert list(remote.records) == [created.id]
        assert remote.records[created.id].version


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("dav.example.org", "https://dav.example.org/"),
        ("anna@example.org", "https://example.org/"),
        ("example.org:8443/dav", "https://example.org:8443/dav"),
        (" http://example.org/x?y#z ", "http://example.org/x"),
        ("https://user:word@example.org/", "https://example.org/"),
    ],
)
def test_what_may_be_typed(typed: str, url: str) -> None:
    assert typed_url(typed) == url


@pytest.mark.parametrize("typed", ["ftp://example.org", "https://", "http://example.org:x/", "https://[::1/"])
def test_what_may_not_be_typed(typed: str) -> None:
    with pytest.raises(Unreachable, match="correct it"):
        typed_url(typed)


def test_the_password_goes_to_no_other_host() -> None:
    with (
        served() as (other, _),
        running(other.app) as url,
        served(to=url.replace("127.0.0.1", "localhost")) as (_, remote),
    ):
        with pytest.raises(Unreachable, match=r"not given the password.*type http://localhost"):
            remote.connector.check()
        assert other.faults.log == []


def test_redirects_in_circles() -> None:
    with served(to="/.well-known/carddav") as (_, remote), pytest.raises(Unreachable, match="circles"):
        remote.connector.check()


def test_webdav_without_carddav() -> None:
    with served(addressbook=False) as (_, remote), pytest.raises(Unreachable, match="lacks `addressbook`"):
        remote.connector.check()


def test_a_web_page_is_no_answer() -> None:
    with served() as (sandbox, remote):
        sandbox.faults.add("html", "PROPFIND")
        with pytest.raises(Unreachable, match="text/html, not as a CardDAV server"):
            remote.connector.check()
        remote.pull()
        sandbox.faults.add("html", "REPORT")
        with pytest.raises(Unreachable, match="not as a CardDAV server"):
            list(remote.connector.changes(remote.cursor))


def test_a_read_only_book_is_told_and_refuses() -> None:
    with served(read_only=True) as (_sandbox, remote):
        assert "this account may only read the address book" in remote.connector.check().notes
        [outcome] = remote.write(Push("1", "key", None, ANNA))
        assert isinstance(outcome.error, Refused)
        assert "read-only" in str(outcome.error)


def test_a_wrong_password() -> None:
    with served() as (_sandbox, remote):
        remote.settings["password"] = "wrong"
        remote.open()
        with pytest.raises(Unauthorised):
            remote.connector.check()


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(start).not_valid_after(start.replace(year=2090))
    pem = tmp_path / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {"url": f"https://127.0.0.1:{server.server_port}", "username": "lab", "password": "word"}
        with pytest.raises(Unreachable, match="TLS certificate is not trusted: self"):
            Remote(settings).connector.check()
        with pytest.raises(Unreachable, match="no CardDAV"):  # but HTTP
            Remote({**settings, "verify_tls": False}).connector.check()
        server.shutdown()


# --- what changed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ctag", [True, False])
def test_without_sync_collection(ctag: bool) -> None:
    with served(sync=False, ctag=ctag) as (sandbox, remote):
        paths = fill(sandbox, 4)
        assert any("cannot list changes" in note for note in remote.connector.check().notes)
        assert sorted(remote.pull()) == paths
        assert remote.pull() == []
        assert remote.requests == {"PROPFIND": 1} or not ctag
        sandbox.put("1.vcf", vcard("uid-1", "EMAIL:new@example.org"))
        sandbox.remove(paths[2])
        assert remote.pull() == [paths[1]]
        assert sorted(remote.records) == [paths[0], paths[1], paths[3]]
        assert emails(remote.records[paths[1]]) == ["new@example.org"]


def test_a_server_that_promises_sync_collection_and_refuses_it() -> None:
    with served() as (sandbox, remote):
        paths = fill(sandbox, 2)
        book = remote.connector._book.book
        sandbox.warts.sync = False
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(addressbook, "discover", lambda client, wanted: book)
            assert sorted(remote.pull()) == paths
        assert remote.pull() == []
        assert remote.requests.total() == 1


def test_a_truncated_sync_goes_on() -> None:
    with served(truncate=3) as (sandbox, remote):
        paths = fill(sandbox, 10)
        pages = list(remote.connector.changes(None))
        assert sorted(href for page in pages for href in page.listed) == paths
        assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
        assert [page.cursor for page in pages[:-1]] == [None] * (len(pages) - 1), "a broken off listing begins anew"
        remote.pull()
        for n in range(8):
            sandbox.put(f"{n}.vcf", vcard(f"uid-{n}", "EMAIL:new@example.org"))
        sandbox.remove(paths[9])
        assert sorted(remote.pull()) == [*paths[:8], paths[9]]
        assert paths[9] not in remote.records


@pytest.mark.parametrize("status", [403, 409, 412, 507])
def test_a_forgotten_token(status: int) -> None:
    with served(token_error=status) as (sandbox, remote):
        paths = fill(sandbox, 3)
        remote.pull()
        sandbox.remove(paths[0])
        sandbox.forget()
        with pytest.raises(CursorExpired, match="sync token"):
            list(remote.connector.changes(remote.cursor))
        remote.cursor = None
        assert remote.pull() == []
        assert sorted(remote.records) == paths[1:]


def test_a_forgotten_token_that_davical_does_not_mention() -> None:
    """It answers with everything, so that the deletion is missed, but nothing else is."""
    with served(token_error=207) as (sandbox, remote):
        paths = fill(sandbox, 3)
        remote.pull()
        sandbox.forget()
        sandbox.put("0.vcf", vcard("uid-0", "EMAIL:new@example.org"))
        assert set(remote.pull()) == set(paths)
        assert emails(remote.records[paths[0]]) == ["new@example.org"]


def test_an_empty_listing_needs_the_book_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(sync=False) as (sandbox, remote):
        fill(sandbox, 2)
        remote.pull()
        fill(sandbox, 1)
        monkeypatch.setattr(sandbox, "_members", lambda path, depth: [("/dav/elsewhere/", {dav.CTAG: "new"})])
        with pytest.raises(Unreachable, match="lacks the address book itself"):
            list(remote.connector.changes(remote.cursor))


# --- reading --------------------------------------------------------------------------------------------------------


def test_silence_about_missing_cards_is_looked_into() -> None:
    with served(tells_missing=False) as (sandbox, remote):
        [path] = fill(sandbox, 1)
        gone = path.replace("0.vcf", "gone.vcf")
        records = {record.id: record for record in remote.connector.read([gone, path])}
        assert records[gone] == Record(gone, None)
        assert records[path].key == "uid-0"


def test_a_broken_card_is_set_aside_with_its_reason() -> None:
    with served() as (sandbox, remote):
        path = sandbox.put("bad.vcf", "this is no vCard")
        empty = sandbox.put("two.vcf", vcard("a") + vcard("b"))
        [good] = fill(sandbox, 1)
        assert sorted(remote.pull()) == sorted([path, empty, good])
        assert remote.records[path].refused
        assert remote.records[path].raw == "this is no vCard"
        assert "2 vCards" in (remote.records[empty].refused or "")
        assert remote.records[good].refused is None


def test_a_card_that_breaks_the_xml_does_not_hide_the_others() -> None:
    """A vertical tab cannot stand in XML 1.0; servers put it there all the same."""
    with served() as (sandbox, remote):
        path = sandbox.put("tab.vcf", vcard("uid-t", "NOTE:one\x0btwo", "EMAIL:t@example.org"))
        [good] = fill(sandbox, 1)
        assert sorted(remote.pull()) == sorted([path, good])
        assert emails(remote.records[path]) == ["t@example.org"]


def test_large_deltas_are_listed_and_echo_costs_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", 5)
    with served() as (_sandbox, remote):
        remote.pull()
        remote.write(*(Push(str(n), str(uuid.uuid4()), None, ANNA) for n in range(8)))
        assert remote.pull() == []
        assert remote.requests.total() == 2
        assert remote.pull() == []
        assert remote.requests.total() == 1


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("put_etag", ["strong", "weak", "none"])
@pytest.mark.parametrize("rewrites", [False, True])
def test_the_answer_is_what_is_stored(put_etag: str, rewrites: bool) -> None:
    """However the server vouches for it, or lies (strong and rewrites)."""
    with served(put_etag=put_etag, rewrites=rewrites) as (sandbox, remote):
        remote.pull()
        records = [
            outcome.record for outcome in remote.write(*(Push(str(n), f"key-{n}", None, ANNA) for n in range(4)))
        ]
        for record in records:
            assert record is not None
            assert record.raw == sandbox.text(record.id)
            assert [record] == list(remote.connector.read([record.id])) or rewrites or "\r" in record.raw
        assert remote.records.keys() == {f"/dav/books/lab/contacts/key-{n}.vcf" for n in range(4)}
        echo = {record.id: record.version for record in records if record}
        remote.pull()
        assert {record.id: record.version for record in remote.records.values()} == echo
        changed = remote.update(remote.records[records[0].id], with_email(records[0], "b@example.org"))  # type: ignore
        assert changed.error is None


def test_a_faithful_server_is_asked_once() -> None:
    with served() as (_sandbox, remote):
        remote.pull()
        remote.requests.clear()
        remote.write(*(Push(str(n), f"key-{n}", None, ANNA) for n in range(60)))
        assert remote.requests == {"PUT": 60, "REPORT": 1}


def test_too_large_for_the_server_is_not_even_sent() -> None:
    with served(max_size=300) as (sandbox, remote):
        assert "a card may have 300 bytes" in remote.connector.check().notes
        long = {**ANNA, "emails": {str(n): {"address": f"{n}@example.org"} for n in range(20)}}
        pushes = Push("1", "a", None, ANNA), Push("2", "b", None, long)
        small, large = sorted(remote.write(*pushes), key=lambda outcome: outcome.ref)
        assert small.error is None
        assert isinstance(large.error, Refused)
        assert "300 at most" in str(large.error)
        assert not any("b.vcf" in line for line in sandbox.faults.log)


def test_the_server_says_too_large() -> None:
    with served() as (sandbox, remote):
        remote.pull()
        sandbox.warts.max_size = 10
        [outcome] = remote.write(Push("1", "a", None, ANNA))
        assert isinstance(outcome.error, Refused)
        assert "larger than the server takes" in str(outcome.error)


def test_no_room_on_the_server() -> None:
    with served(quota=1) as (_sandbox, remote):
        pushes = Push("1", "a", None, ANNA), Push("2", "b", None, ANNA)
        first, second = sorted(remote.write(*pushes), key=lambda outcome: outcome.ref)
        assert first.error is None
        assert isinstance(second.error, Refused)
        assert "no room" in str(second.error)


@pytest.mark.parametrize("kind", ["lost_after", "error_after", "lost_before"])
def test_a_lost_answer_is_looked_up(kind: Any) -> None:
    with served() as (sandbox, remote):
        remote.pull()
        push = Push("1", "key", None, ANNA)
        sandbox.faults.add(kind, "PUT")
        [outcome] = remote.write(push)
        assert isinstance(outcome.error, Uncertain)
        assert len([line for line in sandbox.faults.log if line.startswith("PUT")]) == 1, "never sent twice"
        found = list(remote.connector.find([push]))
        assert len(found) == (kind != "lost_before")


def test_the_proof_is_lost() -> None:
    with served(put_etag="none") as (sandbox, remote):
        remote.pull()
        sandbox.faults.add("unavailable", "GET", times=9)
        [outcome] = remote.write(Push("1", "key", None, ANNA))
        assert isinstance(outcome.error, Uncertain)
        assert "read back" in str(outcome.error)


def test_what_was_stored_is_told_before_the_run_ends() -> None:
    with served(rewrites=True) as (sandbox, remote):
        remote.pull()
        sandbox.faults.add("throttle", "PUT", times=9, skip=3, retry_after=9999)
        told: list[Outcome] = []
        with pytest.raises(Throttled) as caught:
            pushes = [Push(str(n), f"key-{n}", None, ANNA) for n in range(5)]
            told.extend(outcome for outcome in remote.connector.write(pushes))
        assert caught.value.retry_after == 9999
        stored = {line.rpartition("key-")[2][0] for line in sandbox.faults.log if line.startswith("PUT")}
        assert {outcome.ref for outcome in told} == {"0", "1", "2"}
        assert stored == {"0", "1", "2", "3"}, "nothing more is sent after that"
        assert all(outcome.record and outcome.record.version for outcome in told)


def test_while_one_is_told_the_next_is_on_its_way_and_no_more() -> None:
    """Whoever dies while they store an outcome has one other write to look for."""
    with served() as (sandbox, remote):
        records = [remote.create(ANNA, f"key-{n}") for n in range(4)]

        def deleted() -> int:
            return sum(line.startswith("DELETE") for line in sandbox.faults.log)

        told = iter(remote.connector.write([Push(record.id, "", record, None) for record in records]))
        assert next(told).ref == records[0].id
        until = time.monotonic() + 10
        while deleted() < 2 and time.monotonic() < until:
            time.sleep(0.01)
        told.close()  # type: ignore[attr-defined]
        assert deleted() == 2


def test_a_web_page_in_answer_to_a_write_proves_nothing() -> None:
    with served() as (sandbox, remote):
        remote.pull()
        sandbox.faults.add("html", "PUT")
        assert isinstance(remote.write(Push("1", "key", None, ANNA))[0].error, Uncertain)


def test_a_lost_delete() -> None:
    with served() as (sandbox, remote):
        created = remote.create(ANNA)
        sandbox.faults.add("lost_after", "DELETE")
        [outcome] = remote.write(Push("1", "", created, None))
        assert isinstance(outcome.error, Uncertain) or outcome.record == Record(created.id, None)
        assert remote.write(Push("1", "", created, None))[0].record == Record(created.id, None)


def test_gone_and_changed() -> None:
    with served() as (sandbox, remote):
        created = remote.create(ANNA)
        sandbox.put(created.id.rpartition("/")[2], vcard(created.key or "", "EMAIL:theirs@example.org"))
        assert isinstance(remote.update(created, with_email(created, "b@example.org")).error, Stale)
        sandbox.remove(created.id)
        assert isinstance(remote.update(created, with_email(created, "b@example.org")).error, Missing)


# --- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warts", [{}, {"queries": False}, {"sync": False}, {"sync": False, "queries": False}])
def test_group_cards_however_they_are_found(warts: dict[str, Any]) -> None:
    with served(**warts) as (sandbox, remote):
        bo = sandbox.put("bo.vcf", vcard("uid-bo"))
        cy = sandbox.put("cy.vcf", vcard("uid-cy", name="Cy Carl"))
        club = sandbox.put("club.vcf", group("uid-club", "Club", "uid-bo"))
        remote.pull()
        assert sorted(remote.records) == [bo, cy]
        assert groups_of(remote.records[bo]) == {"Club"}
        sandbox.put("club.vcf", group("uid-club", "Club", "uid-cy"))
        remote.pull()
        assert groups_of(remote.records[bo]) == set()
        assert groups_of(remote.records[cy]) == {"Club"}
        sandbox.remove(club)
        remote.pull()
        assert groups_of(remote.records[cy]) == set()
        assert sorted(remote.records) == [bo, cy]


def test_many_join_with_one_write_of_the_group() -> None:
    with served() as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        card = {**ANNA, "groups": {"1": {"name": "Club"}}}
        outcomes = remote.write(*(Push(str(n), f"key-{n}", None, card) for n in range(10)))
        assert all(groups_of(outcome.record) == {"Club"} for outcome in outcomes if outcome.record)
        assert len([line for line in sandbox.faults.log if line == f"PUT {club}"]) == 1
        assert sandbox.text(club).count("MEMBER:") == 10
        assert not any("CATEGORIES" in text for text in sandbox.book.cards.values())


def test_a_group_card_changed_meanwhile_is_changed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        put = remote.connector._client.put

        def raced(book: str, href: str, text: str, etag: str | None) -> str | None:
            if href == club and "somebody" not in sandbox.text(club):
                sandbox.put("club.vcf", group("uid-club", "Club", "somebody"))
            return put(book, href, text, etag)

        monkeypatch.setattr(remote.connector._client, "put", raced)
        created = remote.create({**ANNA, "groups": {"1": {"name": "Club"}}}, "key")
        assert groups_of(created) == {"Club"}
        assert "somebody" in sandbox.text(club)
        assert "urn:uuid:key" in sandbox.text(club)


def test_a_group_that_cannot_be_written_is_not_hidden() -> None:
    with served() as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club"))
        remote.pull()
        sandbox.faults.add("error_after", f"PUT {club}")
        plain, member = remote.write(
            Push("1", "a", None, ANNA), Push("2", "b", None, {**ANNA, "groups": {"1": {"name": "Club"}}})
        )
        assert plain.error is None
        assert isinstance(member.error, Refused)
        assert "group" in str(member.error)


def test_leaving_a_group_that_is_a_category_too() -> None:
    with served() as (sandbox, remote):
        club = sandbox.put("club.vcf", group("uid-club", "Club", "uid-bo"))
        bo = sandbox.put("bo.vcf", vcard("uid-bo", "EMAIL:bo@example.org", "CATEGORIES:Club,Choir"))
        remote.pull()
        record = remote.records[bo]
        assert groups_of(record) == {"Club", "Choir"}
        assert record.card is not None
        kept = {key: element for key, element in record.card["groups"].items() if element["name"] != "Club"}
        left = remote.update(record, {**record.card, "groups": kept}).record
        assert left is not None
        assert groups_of(left) == {"Choir"}
        assert "uid-bo" not in sandbox.text(club)
        assert "CATEGORIES:Choir" in sandbox.text(bo)


# --- XML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE multistatus [<!ENTITY a "aaaa">]>',
        '<?xml version="1.0"?> <!DOCTYPE multistatus SYSTEM "http://127.0.0.1/x">',
        "<!-- <multistatus> --><!DOCTYPE multistatus>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document_type_is_never_parsed(head: str, encoding: str) -> None:
    with pytest.raises(dav.Malformed, match="document type"):
        dav.multistatus(f'{head}<multistatus xmlns="DAV:"/>'.encode(encoding))


def test_a_document_type_within_a_card_is_text() -> None:
    body = '<multistatus xmlns="DAV:"><response><href><![CDATA[/a<!DOCTYPE x>]]></href></response></multistatus>'
    assert dav.multistatus(body.encode()).items[0].href == "/a%3C%21DOCTYPE%20x%3E".replace("%21", "!")


def test_a_prolog_made_to_be_slow() -> None:
    with pytest.raises(dav.Malformed):
        dav.multistatus(b"<?a?>" * 20_000 + b"<!DOCTYPE x>")


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"<multistatus", b"\xff\xfe", b'{"a": 1}'])
def test_what_is_no_multistatus(body: bytes) -> None:
    with pytest.raises(dav.Malformed):
        dav.multistatus(body)


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("http://example.org:80/a/b.vcf", "/a/b.vcf"),
        ("/a/%c3%a5.vcf", "/a/%C3%A5.vcf"),
        ("/a/å b.vcf", "/a/%C3%A5%20b.vcf"),
        ("/a/b%2Fc.vcf", "/a/b%2Fc.vcf"),
        ("/a%40b/%E9.vcf", "/a@b/%E9.vcf"),
        ("/a/x%3Fy%23z.vcf", "/a/x%3Fy%23z.vcf"),
        ("//a/b.vcf", "/b.vcf"),
    ],
)
def test_paths_have_one_spelling(href: str, path: str) -> None:
    assert dav.path_of(href) == path
    assert dav.path_of(path) == path


BO = "FN:Bo Berg\r\nEMAIL:bo@x.test\r\nTEL:+46 8 123456\r\n"
AL = "FN:Al Alm\r\nEMAIL:al@x.test\r\n"


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        (f"BEGIN:VCARD\r\nVERSION:3.0\r\n{BO}", "Bo Berg", ["bo@x.test", "+46 8 123456"]),
        (f"BEGIN:VCARD\r\nVERSION:3.0\r\n{BO}NOTE;ENCODING=b:AAA", "Bo Berg", ["bo@x.test", "+46 8 123456"]),
        ("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Bo Berg\r\nN:Be", "Bo Berg", []),
        (f"garbage\r\nBEGIN:VCARD\r\n{BO}END:VCARD\r\n", "Bo Berg", ["bo@x.test", "+46 8 123456"]),
        (f"BEGIN:VCARD\r\nVERSION:3.0\r\n{BO}BEGIN:VCARD\r\nEND:VCARD\r\n", "Bo Berg", ["bo@x.test", "+46 8 123456"]),
        (
            f"BEGIN:VCARD\r\n{BO}END:VCARD\r\nBEGIN:VCARD\r\n{AL}END:VCARD\r\n",
            "",
            ["bo@x.test", "al@x.test", "+46 8 123456"],
        ),
        ("BEGIN:VCARD\r\nVERSION:2.1\r\nN;ENCODING=QUOTED-PRINTABLE:B=C3=A9rg;Bo\r\nTEL:1", "Bo Bérg", ["1"]),
        ("", "", []),
        ("no card at all", "", []),
    ],
    ids=["cut", "cut in a photo", "cut in the name", "garbage before", "cut by another", "two", "2.1", "empty", "none"],
)
def test_whose_an_unreadable_text_may_be(text: str, name: str, values: list[str]) -> None:
    found = mapping.parsed(text, None)
    assert isinstance(found, mapping.Unreadable)
    card = found.card
    elements = [*card.get("emails", {}).values(), *card.get("phones", {}).values()]
    assert [element.get("address") or element.get("number") for element in elements] == values
    assert (full_name(card) if "name" in card else "") == name
