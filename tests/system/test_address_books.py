"""Two address books through the whole daemon: one keeps groups as cards, the other as categories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desk import Desk

from app.cli import common as cli
from connectors.carddav import mapping
from connectors.carddav.mapping import Contact, GroupCard
from connectors.carddav.sandbox import CardDAVSandbox


def contact(number: int, *lines: str) -> str:
    head = ["BEGIN:VCARD", "VERSION:3.0", f"UID:uid-{number}", f"N:Doe{number};Ann;;;", f"FN:Ann Doe{number}"]
    return "\r\n".join([*head, f"EMAIL:ann{number}@x.test", *lines, "END:VCARD", ""])


GROUP = ["UID:club", "FN:Club", "N:Club;;;;", "X-ADDRESSBOOKSERVER-KIND:group"]
MEMBER = "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:uid-1"
CLUB = "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *GROUP, MEMBER, "END:VCARD", ""])


def cards(box: CardDAVSandbox) -> dict[str, list[str]]:
    """The group cards there are, each with its members' names."""
    found = [mapping.parsed(text, None) for text in box.book.cards.values()]
    names = {
        mapping.member_key(card.uid or ""): str(next(iter(card.card["emails"].values()))["address"]).partition("@")[0]
        for card in found
        if isinstance(card, Contact)
    }
    groups = [card for card in found if isinstance(card, GroupCard)]
    assert len({group.name for group in groups}) == len(groups), "two cards of one name"
    return {group.name: sorted(names[member] for member in group.members) for group in groups}


def categories(box: CardDAVSandbox) -> list[str]:
    return sorted(line for text in box.book.cards.values() for line in text.splitlines() if line.startswith("CATEG"))


@pytest.fixture
def books(desk: Desk) -> Iterator[tuple[CardDAVSandbox, CardDAVSandbox]]:
    """A phone's, with a club; an office's, where two sing. Both are connected, and not yet synced."""
    with desk.system("phone", "carddav", login="digest") as phone, desk.system("office", "carddav") as office:
        phone.put("1.vcf", contact(1))
        phone.put("club.vcf", CLUB)
        for number in (2, 3):
            office.put(f"{number}.vcf", contact(number, "CATEGORIES:Choir"))
        entries = [desk.entry(name, "carddav") for name in ("phone", "office")]
        assert desk("apply", desk.file(*entries)).code == cli.OK
        yield phone, office


def settled(desk: Desk, *boxes: CardDAVSandbox) -> None:
    """Synced until nothing changes, and then nothing is written."""
    assert desk("sync", "--until-quiet").code == cli.OK
    before = [len(box.faults.log) for box in boxes]
    assert desk("sync").code == cli.OK
    for box, seen in zip(boxes, before, strict=True):
        assert not [line for line in box.faults.log[seen:] if line.startswith(("PUT", "DELETE"))]


def test_each_book_keeps_groups_in_its_own_way(desk: Desk, books: tuple[CardDAVSandbox, CardDAVSandbox]) -> None:
    phone, office = books
    settled(desk, phone, office)
    assert cards(phone) == {"Club": ["ann1"], "Choir": ["ann2", "ann3"]}
    assert cards(office) == {}
    assert categories(phone) == []
    assert categories(office) == ["CATEGORIES:Choir", "CATEGORIES:Choir", "CATEGORIES:Club"]

    made, text = next((name, text) for name, text in phone.book.cards.items() if "FN:Choir" in text)
    phone.put(made, text.replace("END:VCARD", f"{MEMBER}\r\nEND:VCARD"))
    settled(desk, phone, office)
    assert sorted(categories(office)) == ["CATEGORIES:Choir", "CATEGORIES:Choir", "CATEGORIES:Club,Choir"]

    for name, text in office.book.cards.items():
        if "CATEGORIES" in text:
            office.put(name, "".join(line for line in text.splitlines(True) if not line.startswith("CATEG")))
    settled(desk, phone, office)
    assert cards(phone) == {"Club": [], "Choir": []}, "nobody is in them any more, and they stay"


@pytest.mark.parametrize("kind", ["lost_after", "error_after", "lost_before"])
def test_a_group_card_whose_answer_is_lost_is_not_made_twice(
    desk: Desk, books: tuple[CardDAVSandbox, CardDAVSandbox], kind: str
) -> None:
    phone, office = books
    phone.faults.add(kind, r"PUT /dav/books/lab/contacts/[^/]*\.vcf", skip=2)  # after the two contacts
    desk("sync", "--until-quiet")
    made = next(name for name, text in phone.book.cards.items() if "FN:Choir" in text)
    written = [line for line in phone.faults.log if line.startswith("PUT")]
    assert written[2] == f"PUT {phone.book.path}{made}", "it was that request that failed"
    settled(desk, phone, office)
    assert cards(phone) == {"Club": ["ann1"], "Choir": ["ann2", "ann3"]}
    assert len([text for text in phone.book.cards.values() if "EMAIL" in text]) == 3


def test_cards_that_share_an_uid_are_persons_of_their_own(desk: Desk) -> None:
    """Somebody copied a card and typed over it; on one page, and after the first was taken in."""

    def copy(name: str) -> str:
        lines = ["BEGIN:VCARD", "VERSION:3.0", "UID:same", f"N:Bell;{name};;;", f"FN:{name} Bell"]
        return "\r\n".join([*lines, f"EMAIL:{name.lower()}@example.org", "END:VCARD", ""])

    with desk.system("phone", "carddav") as phone:
        for name in ("Anna", "Ben"):
            phone.put(f"{name}.vcf", copy(name))
        assert desk("apply", desk.file(desk.entry("phone", "carddav", approve="auto"))).code == cli.OK
        assert desk("sync", "phone").code == cli.OK
        phone.put("Cleo.vcf", copy("Cleo"))
        assert desk("sync", "phone").code == cli.OK
        found = desk.people()
        assert len(found) == len({person["uid"] for person in found}) == 3
        assert all(name in str(found) for name in ("Anna", "Ben", "Cleo"))
