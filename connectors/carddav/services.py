"""Where a domain says that its CardDAV is: SRV and TXT records (RFC 6764), by a resolver that is passed in.

DNS is a hint and never a need: no answer, a late one or a broken one is as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

LIFETIME: Final = 1.5
"""Seconds after which no more is waited for an answer."""
AGAIN: Final = 0.7
"""Seconds after which a question is asked again: datagrams get lost."""
SERVICES: Final = {
    "https": (("_carddavs._tcp", "https"),),
    "http": (("_carddavs._tcp", "https"), ("_carddav._tcp", "http")),
}
"""What is asked for, and how it is spoken with, by what the admin allows: TLS alone, or plain HTTP as well."""
PORTS: Final = {"https": 443, "http": 80}
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)
_PATH: Final = re.compile(r"/[!-~]*")
_PRIVATE: Final = (".localhost", ".local")
"""Domains that no nameserver has (RFC 6761 section 6.3, RFC 6762)."""


class Silent(Exception):
    """No nameserver answers in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """An SRV record (RFC 2782). host: without the dot at its end, "" where the service is said not to exist."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0


class Resolver(Protocol):
    """Asks the DNS. A name that has none of what is asked for gives nothing; raises Silent."""

    def srv(self, name: str) -> Sequence[Target]:
        """Its SRV records, in any order."""
        ...

    def txt(self, name: str) -> Sequence[str]:
        """Its texts, each in one piece."""
        ...


class DNS:
    """A resolver by dnspython. nameservers: addresses to ask; None: those of this machine."""

    def __init__(self, nameservers: Sequence[str] | None = None, port: int = 53) -> None:
        self._nameservers, self._port = nameservers, port

    def srv(self, name: str) -> Sequence[Target]:
        return [
            Target(record.target.to_text(omit_final_dot=True).strip("."), record.port, record.priority, record.weight)
            for record in self._ask(name, "SRV")
        ]

    def txt(self, name: str) -> Sequence[str]:
        return [b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name, "TXT")]

    def _ask(self, name: str, kind: str) -> Iterable[Any]:
        # Imported when first needed: it takes a tenth of a second, and few accounts ever ask.
        import dns.exception
        import dns.resolver

        try:
            resolver = dns.resolver.Resolver(configure=self._nameservers is None)
            if self._nameservers is not None:
                resolver.nameservers, resolver.port = list(self._nameservers), self._port
            resolver.timeout = AGAIN
            return resolver.resolve(name + ".", kind, raise_on_no_answer=False, lifetime=LIFETIME)
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise Silent(str(error)) from None


@dataclass(frozen=True, slots=True)
class Place:
    """Where CardDAV is announced. url: scheme, host and port. path: of the DAV root there, None where it is not told.
    ours: the host lies within the domain that was typed, so that its certificate proves whose it is."""

    url: str
    path: str | None
    ours: bool


def domain(typed: str) -> str | None:
    """The domain that may be asked, in ASCII: of a host name, of user@host, and of http:// and a host. None for any
    other URL, a port, a path, an IP address and names that are none of the DNS: there is nothing to find out."""
    text = typed.strip()
    if "://" not in text:
        text = "https://" + text.rpartition("@")[2]
    elif not text.lower().startswith("http://"):
        return None
    try:
        parts = urlsplit(text)
        if parts.port is not None or parts.path.strip("/") or parts.query or parts.fragment or not parts.hostname:
            return None
        name = parts.hostname.rstrip(".").encode("idna").decode().lower()
    except ValueError:  # UnicodeError among it
        return None
    top = name.rpartition(".")[2]
    return None if top == name or top.isdigit() or ":" in name or name.endswith(_PRIVATE) else name


def announced(name: str, scheme: str, resolver: Resolver, random: Callable[[], float]) -> list[Place]:
    """What a domain announces, in the order in which to try it. scheme: as in `SERVICES`."""
    found: list[Place] = []
    try:
        for service, spoken in SERVICES[scheme]:
            full = f"{service}.{name}"
            targets = [target for target in resolver.srv(full) if _HOST.fullmatch(target.host) and target.port]
            path = _path(resolver, full) if targets else None
            found += [_place(target, spoken, path, name) for target in in_order(targets, random)]
    except Silent:
        pass  # and whatever else would be asked would only take as long again
    return found


def _path(resolver: Resolver, name: str) -> str | None:
    """RFC 6764 section 4: `path=` in the TXT record of the same name."""
    try:
        texts = resolver.txt(name)
    except Silent:
        return None
    told = (value for key, _, value in (text.partition("=") for text in texts) if key.strip().casefold() == "path")
    # A path and nothing else: it must lead to no other host.
    return next((value for value in told if _PATH.fullmatch(value)), None)


def _place(target: Target, scheme: str, path: str | None, name: str) -> Place:
    host = target.host.lower()
    url = f"{scheme}://{host}" + ("" if target.port == PORTS[scheme] else f":{target.port}")
    return Place(url, path, host == name or host.endswith("." + name))


def in_order(targets: Iterable[Target], random: Callable[[], float]) -> Iterator[Target]:
    """By priority, and within one by chance, in proportion to the weights (RFC 2782)."""
    left = sorted(targets, key=lambda target: (target.priority, target.weight))
    while left:
        first = [target for target in left if target.priority == left[0].priority]
        point = random() * sum(target.weight for target in first)
        chosen = first[-1]
        for target in first:
            point -= target.weight
            if point <= 0:
                chosen = target
                break
        left.remove(chosen)
        yield chosen
