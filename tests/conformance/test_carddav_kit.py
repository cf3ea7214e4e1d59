"""The conformance kit on CardDAV: Radicale, Xandikos, and the sandbox as different servers are."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
import servers

from connectors.carddav import CardDAV, CardDAVSettings
from connectors.carddav.sandbox import create
from connectors.contract import Context
from connectors.testing import Conformance, LiveConformance, Subject

PLANTED = re.compile(r"^X-PLANTED:(.*?)\r?$", re.MULTILINE)


def opener(settings: dict[str, Any], count: list[str]) -> Callable[[], CardDAV]:
    context = Context(
        now=lambda: datetime.now(UTC),
        sleep=lambda seconds: None,
        random=lambda: 0.5,
        requests=lambda method, sent, received: count.append(method),
    )
    return lambda: CardDAV(CardDAVSettings(**settings), context)


def with_planted(card: str, text: str) -> str:
    return PLANTED.sub("", card).replace("END:VCARD", f"X-PLANTED:{text}\r\nEND:VCARD")


def planted_in(card: str) -> str | None:
    found = PLANTED.search(card)
    return found.group(1) if found else None


ONCE = {
    name: "the same for every server; tested with Radicale"
    for name in vars(Conformance)
    if name.startswith("test_fit_")
}


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield server


@pytest.fixture(scope="module")
def xandikos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.xandikos(tmp_path_factory.mktemp("xandikos")) as server:
        yield server


@pytest.fixture(scope="module")
def stage() -> Iterator[servers.Stage]:
    with servers.stage() as made:
        yield made


class OnServer(Conformance):
    running: str
    exempt: Mapping[str, str] = ONCE

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Subject:
        server: servers.Server = request.getfixturevalue(self.running)
        folder = server.book.rstrip("/").rpartition("/")[0]
        book = server.make_book(f"{folder}/{uuid.uuid4()}/", "Kit")
        count: list[str] = []
        settings = server.settings(url=book)

        def plant(path: str, text: str) -> None:
            server.put(path.rpartition("/")[2], with_planted(server.get(path), text), book)

        return Subject(
            open=opener(settings, count),
            requests=lambda: len(count),
            secrets=["pass:word", "wrong word"],
            impostor=opener({**settings, "password": "wrong word"}, count) if server.password != "none" else None,
            plant=plant,
            planted=lambda path: planted_in(server.get(path)),
            creating=r"^PUT ",
            quiet=1,
            exempt=self.exempt,
        )


class TestRadicale(OnServer):
    running = "radicale"
    exempt: Mapping[str, str] = MappingProxyType({})


class TestXandikos(OnServer):
    running = "xandikos"


class OnSandbox(Conformance):
    warts: Mapping[str, Any] = MappingProxyType({})
    stored: Mapping[str, str] = MappingProxyType({})
    quiet = 1
    exempt: Mapping[str, str] = ONCE

    @pytest.fixture
    def subject(self, stage: servers.Stage) -> Subject:
        box = create(**self.warts)
        for name, lines in self.stored.items():
            box.put(name, "".join(line + "\r\n" for line in ("BEGIN:VCARD", *lines.split(), "END:VCARD")))
        stage.app = box.app
        settings = box.settings(stage.url)

        def plant(path: str, text: str) -> None:
            box.put(path.rpartition("/")[2], with_planted(box.text(path), text))

        return Subject(
            open=opener(settings, []),
            faults=box.faults,
            impostor=opener({**settings, "password": "wrong word"}, []),
            secrets=[settings["password"], "wrong word"],
            expire=box.forget if box.warts.sync else None,
            plant=plant,
            planted=lambda path: planted_in(box.text(path)),
            creating=r"^PUT ",
            quiet=self.quiet,
            exempt=self.exempt,
        )


class TestSandbox(OnSandbox):
    """As the RFCs have it."""


class TestNoSync(OnSandbox):
    warts = MappingProxyType({"sync": False})


class TestNeitherSyncNorCtag(OnSandbox):
    warts = MappingProxyType({"sync": False, "ctag": False})
    quiet = 2
    exempt = MappingProxyType(
        {**ONCE, "test_news_goes_on_where_a_page_ended": "each run lists everything; there is no place to go on from"}
    )


class TestLikeDavical(OnSandbox):
    """It rewrites cards, and says so; it forgets tokens without a word; it is silent about cards that are missing."""

    warts = MappingProxyType(
        {"put_etag": "none", "rewrites": True, "tells_missing": False, "unique_uid": False, "token_error": 207}
    )
    exempt = MappingProxyType({**ONCE, "test_a_forgotten_cursor_expires": "DAViCal does not tell"})


class TestLying(OnSandbox):
    """A strong ETag for a card that is stored otherwise; answers in pieces; whole URLs."""

    warts = MappingProxyType({"rewrites": True, "truncate": 2, "absolute_hrefs": True})


class TestGroupCards(OnSandbox):
    """An address book as Apple's devices keep it: every group that is new gets a card."""

    stored = MappingProxyType({"club.vcf": "VERSION:3.0 UID:club FN:Club N:Club X-ADDRESSBOOKSERVER-KIND:group"})


class TestGroupCards4(OnSandbox):
    """The same in vCard 4.0, on a server that neither searches nor lists changes."""

    warts = MappingProxyType({"sync": False, "queries": False})
    stored = MappingProxyType({"club.vcf": "VERSION:4.0 UID:club FN:Club KIND:group"})


class TestLikeBaikal(OnSandbox):
    """Digest and nothing else; nonces that do not last."""

    warts = MappingProxyType({"login": "digest", "nonce_uses": 5})
    quiet = 2


class TestLive(LiveConformance):
    system = "carddav"
