"""What was set aside, at the terminal: a card cut in half in a phone, whose owner stands in the office's book, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from desk import Desk
from dulwich import porcelain

from app.cli import common as cli
from app.cli import load
from connectors.carddav.sandbox import CardDAVSandbox

WHOLE = ["EMAIL:ann@x.test", "TEL:+44 7700 900001", "NOTE:in the office", "END:VCARD", ""]
ANN = "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", "UID:ann", "N:Doe;Ann;;;", "FN:Ann Doe", *WHOLE])
CUT = "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", "UID:other", "FN:Ann Doe", "N:Doe;Ann;;;", "EMAIL:ann@x.test", "TE"])
MENDED = CUT.removesuffix("TE") + "TEL:+44 7700 900001\r\nEND:VCARD\r\n"


@pytest.fixture
def office(desk: Desk) -> Iterator[CardDAVSandbox]:
    """Ann stands whole in the office, and cut in half in the phone; both were synced."""
    with desk.system("phone", "carddav") as phone, desk.system("office", "carddav") as office:
        phone.put("cut.vcf", CUT)
        office.put("ann.vcf", ANN)
        assert desk("apply", desk.file(*(desk.entry(name, "carddav") for name in ("phone", "office")))).code == cli.OK
        found = desk("sync", "--until-quiet")
        assert found.code == cli.SET_ASIDE
        assert "concord refused" in found.out
        yield office


def listed(desk: Desk) -> dict[str, dict[str, str]]:
    return {row["direction"]: row for row in desk("refused", "--json").json}


@pytest.mark.usefixtures("office")
def test_who_may_be_a_card_that_is_cut_in_half_gets_no_second_one(desk: Desk) -> None:
    phone = desk.sandboxes["phone"]
    assert phone.book.cards.keys() == {"cut.vcf"}
    found = listed(desk)
    assert found["in"]["key"].endswith("cut.vcf")
    assert "cut off" in found["in"]["reason"]
    assert found["out"]["name"] == "Ann Doe"
    assert f"concord refused ignore phone {found['in']['key']}" in found["out"]["reason"]
    words = desk("refused").out
    assert "not taken in" in words
    assert "not written" in words
    assert desk("refused", "--connection", "office", "--json").json == []
    assert "Nothing" in desk("refused", "-c", "office").out

    phone.put("cut.vcf", MENDED)
    assert desk("sync", "--until-quiet").code == cli.OK
    assert phone.book.cards.keys() == {"cut.vcf"}
    assert "NOTE:in the office" in phone.book.cards["cut.vcf"]
    assert len(desk.people()) == 1
    assert desk("refused", "--json").json == []


@pytest.mark.usefixtures("office")
def test_however_many_there_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    load("refused")
    monkeypatch.setattr("app.cli.refused.PAGE", 1)
    assert len(desk("refused", "--json").json) == 2


@pytest.mark.usefixtures("office")
def test_a_record_is_tried_again_by_itself(desk: Desk) -> None:
    phone, key = desk.sandboxes["phone"], listed(desk)["in"]["key"]
    still = desk("refused", "retry", "phone", key, "--json")
    assert still.code == cli.SET_ASIDE
    assert still.json["taken"] is False
    assert "cut off" in still.json["reason"]
    phone.put("cut.vcf", MENDED)
    assert "was taken in" in desk("refused", "retry", "phone", key).out
    assert desk("sync", "--until-quiet").code == cli.OK
    assert phone.book.cards.keys() == {"cut.vcf"}
    assert len(desk.people()) == 1


@pytest.mark.usefixtures("office")
def test_if_it_is_somebody_else_it_is_ignored(desk: Desk) -> None:
    phone, key = desk.sandboxes["phone"], listed(desk)["in"]["key"]
    assert desk("refused", "ignore", "phone", key).code == cli.OK
    assert desk("sync", "--until-quiet").code == cli.OK
    assert len(phone.book.cards) == 2
    assert desk("refused", "--json").json == []


@pytest.mark.usefixtures("office")
def test_a_person_is_tried_again_or_left_out(desk: Desk) -> None:
    uid = listed(desk)["out"]["key"]
    assert desk("refused", "retry", "phone", uid[:6], "--json").json == {"key": uid, "taken": None}
    assert desk("sync").code == cli.SET_ASIDE
    assert "not written there" in desk("refused", "ignore", "phone", uid).out
    assert listed(desk).keys() == {"in"}
    assert len(desk.sandboxes["phone"].book.cards) == 1


@pytest.mark.usefixtures("office")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry", "phone", "nobody"), "called 'nobody'"),
        (("ignore", "office", "nobody"), "called 'nobody'"),
        (("ignore", "shop", "nobody"), "shop"),
        (("--connection", "shop"), "shop"),
    ],
)
def test_what_is_not_there_is_said(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    answer = desk("refused", *arguments)
    assert answer.code == cli.BAD_INPUT
    assert words in answer.err


@pytest.mark.parametrize("left", ["EMAIL:ann@x.test", "FN:Ann Doe", "EMAIL:ann@x"], ids=["all", "the name", "half"])
def test_a_card_torn_in_the_folder_of_a_real_server(desk: Desk, tmp_path: Path, left: str) -> None:
    """However much of it is left: no second one is made beside it, and mended it is Ann's."""
    torn = CUT[: CUT.index(left) + len(left)]
    with servers.xandikos(tmp_path / "xandikos") as server, desk.system("office", "carddav") as office:
        book = server.book.rstrip("/").rsplit("/", 1)[0] + "/torn/"
        server.make_book(book, "torn")
        folder = server.folder / "data" / server.username / "contacts" / "torn"
        _commit(folder, torn)
        office.put("ann.vcf", ANN)
        desk.settings["phone"] = server.settings(url=book)
        assert desk("apply", desk.file(*(desk.entry(name, "carddav") for name in ("phone", "office")))).code == cli.OK
        assert desk("sync", "--until-quiet").code == cli.SET_ASIDE
        assert [found.name for found in folder.glob("*.vcf")] == ["cut.vcf"]
        assert listed(desk)["out"]["name"] == "Ann Doe"
        _commit(folder, MENDED)
        assert desk("sync", "--until-quiet").code == cli.OK
        assert [found.name for found in folder.glob("*.vcf")] == ["cut.vcf"]
        assert "NOTE:in the office" in (folder / "cut.vcf").read_text()
        assert len(desk.people()) == 1


def _commit(folder: Path, text: str) -> None:
    (folder / "cut.vcf").write_text(text, newline="")
    porcelain.add(folder, [folder / "cut.vcf"])
    porcelain.commit(folder, message=b"torn", author=b"lab <lab@example.test>", committer=b"lab <lab@example.test>")
