"""CardDAV found by DNS (RFC 6764): a real nameserver by UDP, and behind it a real Radicale, or the sandbox on TLS."""

from __future__ import annotations

import contextlib
import inspect
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import servers
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from nameserver import Nameserver, lead_here, nameserver
from test_carddav import ANNA, Remote, vcard

from connectors import http
from connectors.carddav import services
from connectors.carddav.client import Client
from connectors.carddav.sandbox import PASSWORD, CardDAVSandbox, create
from connectors.carddav.services import DNS, Target, announced, domain, in_order
from connectors.errors import CursorExpired, Unauthorised, Unreachable
from connectors.once import once
from connectors.sandbox import bind, running

TLS = "_carddavs._tcp.lab.test"
PLAIN = "_carddav._tcp.lab.test"
AUTHORITIES = inspect.unwrap(http._tls)


@pytest.fixture
def zone() -> Iterator[Nameserver]:
    with nameserver() as made:
        yield made


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_here(monkeypatch, "lab.test", "elsewhere.test")


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.radicale(tmp_path_factory.mktemp("radicale")) as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Authority:
    """Certifies servers of this test."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("Test Authority", self._key, ca=True)

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool = False) -> x509.Certificate:
        called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = called if ca else self.certificate.subject
        start = datetime(2020, 1, 1, tzinfo=UTC)
        made = x509.CertificateBuilder().subject_name(called).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(start)
        made = made.not_valid_after(start.replace(year=2090))
        made = made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return made.sign(self._key, hashes.SHA256())

    def pem(self, host: str) -> str:
        """A file with the key and the certificate of a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        file = self._folder / f"{host}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + self._signed(host, key).public_bytes(Encoding.PEM))
        return str(file)

    def trusted(self) -> ssl.SSLContext:
        """What a client that trusts nobody else would check with."""
        return ssl.create_default_context(cadata=self.certificate.public_bytes(Encoding.PEM).decode())


@contextlib.contextmanager
def encrypted(app: Any, pem: str) -> Iterator[int]:
    """The app on TLS; yields its port."""
    listener = bind()
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ssl_certfile=pem))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        # Clients that keep their connections would be waited for.
        server.should_exit = server.force_exit = True
        thread.join(5)
        listener.close()


@pytest.fixture
def safe(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[CardDAVSandbox, int]]:
    """A sandbox on TLS as dav.lab.test, whose certificate is trusted."""
    monkeypatch.setattr(http, "_tls", authority.trusted)
    sandbox = create(seed=1, people=3)
    with encrypted(sandbox.app, authority.pem("dav.lab.test")) as port:
        yield sandbox, port


def account(**settings: Any) -> dict[str, Any]:
    return {"url": "lab.test", "username": "lab", "password": PASSWORD, **settings}


# --- a way in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["path=/", "path=/lab/contacts/", None])
def test_radicale_by_the_name_of_its_domain(zone: Nameserver, radicale: servers.Server, text: str | None) -> None:
    """On plain HTTP, which the admin allowed; by a path that is told, and without."""
    port = urlsplit(radicale.url).port
    zone.announce(PLAIN, f"0 0 {port} dav.lab.test.", text=text)
    remote = Remote(radicale.settings(url="http://lab.test"), zone.resolver)
    found = remote.connector.check()
    assert found.label.startswith(f"Contacts of lab at dav.lab.test:{port}")
    assert f"found at dav.lab.test:{port} by the DNS of lab.test" in found.notes
    assert zone.asked == [(TLS, "SRV"), (PLAIN, "SRV"), (PLAIN, "TXT")]


@pytest.mark.parametrize("held", [None, "no certificate"])
def test_a_list_of_authorities_that_cannot_be_read_is_named(
    held: str | None, safe: tuple[CardDAVSandbox, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who speaks plain HTTP needs it."""
    sandbox, port = safe
    file = tmp_path / "authorities.pem"
    if held is not None:
        file.write_text(held)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setattr(http, "_tls", once(AUTHORITIES))
    with pytest.raises(Unreachable, match=r"authorities cannot be read .* check SSL_CERT_FILE"):
        Remote(account(url=f"https://127.0.0.1:{port}/")).connector.check()
    with running(sandbox.app) as url:
        Remote(sandbox.settings(url)).connector.check()


@pytest.mark.parametrize("typed", ["lab.test", "lab@lab.test", " LAB.test "])
def test_a_server_on_tls(zone: Nameserver, safe: tuple[CardDAVSandbox, int], typed: str) -> None:
    sandbox, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.", text="path=/dav/")
    remote = Remote(account(url=typed), zone.resolver)
    assert len(remote.pull()) == 3
    created = remote.create(ANNA)
    assert "anna@example.org" in sandbox.text(created.id)
    assert zone.asked == [(TLS, "SRV"), (TLS, "TXT")], "no plain HTTP where it was not typed"


@pytest.mark.parametrize(
    "text", [None, "v=1", "path=", "path=https://elsewhere.test/", "path=@elsewhere.test/", "PATH=/dav/"]
)
def test_without_a_path_the_host_is_asked(zone: Nameserver, safe: tuple[CardDAVSandbox, int], text: str | None) -> None:
    """Its well-known address says; and what is no path leads nowhere else."""
    sandbox, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.", text=text)
    assert Remote(account(), zone.resolver).connector.check().label.startswith("Contacts of lab at dav.lab.test")
    asked_well_known = any(".well-known" in line for line in sandbox.faults.log)
    assert asked_well_known is (text != "PATH=/dav/")


def test_a_path_that_is_wrong(zone: Nameserver, safe: tuple[CardDAVSandbox, int]) -> None:
    _, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.", text="path=/gone/")
    assert Remote(account(), zone.resolver).connector.check().label.startswith("Contacts of lab at dav.lab.test")


def test_a_host_that_tells_nothing_is_asked_at_its_root(
    zone: Nameserver, radicale: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "well_known", lambda self, host: None)
    zone.announce(PLAIN, f"0 0 {urlsplit(radicale.url).port} dav.lab.test.")
    remote = Remote(radicale.settings(url="http://lab.test"), zone.resolver)
    assert remote.connector.check().label.startswith("Contacts of lab at dav.lab.test")


def test_a_server_that_is_down_is_passed_over(zone: Nameserver, safe: tuple[CardDAVSandbox, int]) -> None:
    _, port = safe
    zone.announce(TLS, f"1 0 {servers.free_port()} old.lab.test.", f"2 0 {port} dav.lab.test.", text="path=/dav/")
    assert Remote(account(), zone.resolver).connector.check().label.startswith("Contacts of lab at dav.lab.test")


# --- once -----------------------------------------------------------------------------------------------------------


def test_it_is_remembered(zone: Nameserver, safe: tuple[CardDAVSandbox, int]) -> None:
    _, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.", text="path=/dav/")
    remote = Remote(account(), zone.resolver)
    remote.pull()
    zone.asked.clear()
    assert remote.pull() == []
    assert remote.requests.total() == 1
    remote.open()
    remote.create(ANNA)
    remote.memory.clear()
    remote.pull()
    assert zone.asked == [], "neither runs that read nor runs that only write ask again"


def test_a_server_that_moves_is_followed(
    zone: Nameserver, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_tls", authority.trusted)
    sandbox = create()
    path = sandbox.put("1.vcf", vcard("uid-1"))
    remote = Remote(account(), zone.resolver)
    with encrypted(sandbox.app, authority.pem("dav.lab.test")) as port:
        zone.announce(TLS, f"0 1 {port} dav.lab.test.", text="path=/dav/")
        assert remote.pull() == [path]
    with pytest.raises(Unreachable, match=r"dav\.lab\.test"):
        remote.pull()
    with encrypted(sandbox.app, authority.pem("new.lab.test")) as port:
        zone.announce(TLS, f"0 1 {port} new.lab.test.", text="path=/dav/")
        with pytest.raises(CursorExpired, match=r"DNS of lab\.test names another server"):
            remote.pull()
        remote.cursor = None
        remote.pull()
        assert list(remote.records) == [path]
        assert remote.pull() == []


# --- never in the way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("lab.test", "lab.test"),
        ("anna@Lab.Test.", "lab.test"),
        ("http://lab.test", "lab.test"),
        ("http://lab.test/", "lab.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("https://lab.test", None),
        ("http://lab.test/dav", None),
        ("http://lab.test:8080", None),
        ("lab.test:8443", None),
        ("lab.test/dav", None),
        ("localhost", None),
        ("app.localhost", None),
        ("printer.local", None),
        ("nas", None),
        ("anna@nas", None),
        ("127.0.0.1", None),
        ("[::1]", None),
        ("http://10.0.0.1/", None),
        ("ftp://lab.test", None),
        ("lab..test", None),
        ("lab.test:x", None),
        ("[::1", None),
        ("", None),
    ],
)
def test_whose_dns_is_asked(typed: str, asked: str | None) -> None:
    assert domain(typed) == asked


def test_a_url_asks_no_dns(zone: Nameserver, radicale: servers.Server) -> None:
    Remote(radicale.settings(), zone.resolver).connector.check()
    Remote(radicale.settings(url=radicale.url.replace("127.0.0.1", "localhost")), zone.resolver).connector.check()
    Remote(radicale.settings(url=radicale.url.replace("127.0.0.1", "dav.lab.test")), zone.resolver).connector.check()
    assert zone.asked == []


@pytest.mark.parametrize("trouble", ["none", "silent", "broken", "nothing", "no service", "nobody there"])
def test_dns_that_is_of_no_help_breaks_nothing(
    zone: Nameserver, safe: tuple[CardDAVSandbox, int], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The typed host itself has CardDAV; whatever the DNS does, it is found, and soon."""
    _, port = safe
    zone.silent, zone.broken = trouble == "silent", trouble == "broken"
    if trouble == "nothing":
        zone.records[TLS, "TXT"] = ['"path=/dav/"']
    if trouble == "no service":
        zone.announce(TLS, "0 0 0 .")
    resolver = DNS(["127.0.0.1"], servers.free_port() if trouble == "nobody there" else zone.port)
    remote = Remote(account(url="dav.lab.test"), resolver)
    # A host name without a port means 443, which is not ours to listen on.
    monkeypatch.setattr(remote.connector._client, "url", f"https://dav.lab.test:{port}/")
    assert remote.connector._client.domain == "dav.lab.test"
    began = time.monotonic()
    assert remote.connector.check().label.startswith("Contacts of lab at dav.lab.test")
    assert time.monotonic() - began < services.LIFETIME + 3
    assert len(zone.asked) >= (trouble != "nobody there")


def test_silence_is_waited_for_once(zone: Nameserver) -> None:
    zone.silent = True
    began = time.monotonic()
    assert announced("lab.test", "http", zone.resolver, lambda: 0.5) == []
    assert time.monotonic() - began < 2 * services.LIFETIME
    assert {name for name, _ in zone.asked} == {TLS}
    assert len(zone.asked) > 1, "a datagram may be lost"


def test_a_record_that_leads_nowhere_does_not_hide_the_host(
    zone: Nameserver, safe: tuple[CardDAVSandbox, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, port = safe
    zone.announce("_carddavs._tcp.dav.lab.test", f"0 0 {servers.free_port()} old.dav.lab.test.")
    remote = Remote(account(url="dav.lab.test"), zone.resolver)
    monkeypatch.setattr(remote.connector._client, "url", f"https://dav.lab.test:{port}/")
    assert remote.connector.check().label.startswith("Contacts of lab at dav.lab.test")


# --- what is trusted ------------------------------------------------------------------------------------------------


def test_another_domain_is_not_given_the_password(zone: Nameserver, authority: Authority) -> None:
    """Whoever can forge an answer of the DNS could name a server of their own, and its certificate would be good."""
    sandbox = create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "_tls", authority.trusted)
        for name in ("dav.elsewhere.test", "evillab.test"):
            lead_here(patch, name)
            with encrypted(sandbox.app, authority.pem(name)) as port:
                zone.announce(TLS, f"0 1 {port} {name}.", text="path=/dav/")
                with pytest.raises(Unreachable, match=rf"not given the password unasked.*https://{name}:{port}/dav/"):
                    Remote(account(), zone.resolver).connector.check()
    assert sandbox.faults.log == []


def test_the_certificate_must_be_of_the_host_that_was_named(
    zone: Nameserver, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_tls", authority.trusted)
    sandbox = create()
    with encrypted(sandbox.app, authority.pem("other.lab.test")) as port:
        zone.announce(TLS, f"0 1 {port} dav.lab.test.", text="path=/dav/")
        with pytest.raises(Unreachable, match=r"certificate is not trusted: .*dav\.lab\.test"):
            Remote(account(), zone.resolver).connector.check()
    assert sandbox.faults.log == []


def test_plain_http_is_not_gone_to_unasked(zone: Nameserver) -> None:
    sandbox = create()
    with running(sandbox.app) as url:
        zone.announce(PLAIN, f"0 1 {urlsplit(url).port} dav.lab.test.", text="path=/dav/")
        with pytest.raises(Unreachable):
            Remote(account(), zone.resolver).connector.check()
        assert sandbox.faults.log == []
        assert Remote(account(url="http://lab.test"), zone.resolver).connector.check().label.startswith("Contacts")


def test_a_wrong_password_is_tried_at_one_host_only(zone: Nameserver, safe: tuple[CardDAVSandbox, int]) -> None:
    sandbox, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.", f"1 1 {port} two.lab.test.", text="path=/dav/")
    with pytest.raises(Unauthorised, match="credentials were refused"):
        Remote(account(password="wrong"), zone.resolver).connector.check()
    assert len(sandbox.door.seen) == 1


def test_a_found_host_may_not_send_us_on(zone: Nameserver, safe: tuple[CardDAVSandbox, int]) -> None:
    sandbox, port = safe
    zone.announce(TLS, f"0 1 {port} dav.lab.test.")
    sandbox.warts.to = "https://dav.elsewhere.test/dav/"
    with pytest.raises(Unreachable, match=r"sends us to dav\.elsewhere\.test, which is not given the password"):
        Remote(account(), zone.resolver).connector.check()


@pytest.mark.parametrize("host", ["a\\@b.lab.test.", "a\\032b.lab.test.", "x\\/y.lab.test.", "."])
def test_a_name_that_is_no_host_is_none(zone: Nameserver, host: str) -> None:
    zone.announce(TLS, f"0 1 443 {host}")
    assert announced("lab.test", "https", zone.resolver, lambda: 0.5) == []


# --- the order ------------------------------------------------------------------------------------------------------


def test_by_priority_then_by_chance_and_weight() -> None:
    heavy, light, never, last = (
        Target("heavy", 1, 1, 90),
        Target("light", 1, 1, 10),
        Target("never", 1, 1, 0),
        Target("last", 1, 2, 5),
    )
    everybody = [last, heavy, never, light]
    assert [target.host for target in in_order(everybody, lambda: 0.0)] == ["never", "light", "heavy", "last"]
    firsts = [next(in_order(everybody, lambda chance=n / 100: chance)).host for n in range(1, 100)]  # type: ignore[misc]
    assert firsts.count("heavy") == 89
    assert firsts.count("light") == 10
    assert all(list(in_order(everybody, lambda chance=n / 100: chance))[-1] == last for n in range(100))  # type: ignore[misc]
