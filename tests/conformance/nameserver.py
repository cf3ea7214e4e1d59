"""A small DNS server on this machine, and names that lead to it: for tests of discovery."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from connectors.carddav.services import DNS


class Nameserver:
    """Answers by UDP from `records`: {(name, type): texts as in a zone file}. asked: every question that came.
    silent: it hears, and says nothing. broken: it answers with what is no DNS message."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.silent = self.broken = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def resolver(self) -> DNS:
        return DNS(["127.0.0.1"], self.port)

    def announce(self, name: str, *targets: str, text: str | None = None) -> None:
        """targets: "priority weight port host." each. text: of a TXT record beside them."""
        self.records[name, "SRV"] = list(targets)
        if text is not None:
            self.records[name, "TXT"] = [f'"{text}"']

    def serve(self) -> None:
        while True:
            try:
                wire, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            if wire == b"end":
                return
            answer = self._answer(dns.message.from_wire(wire))
            if not self.silent:
                self._socket.sendto(b"\0\1\2" if self.broken else answer.to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        [question] = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(query)
        texts = self.records.get((name, kind))
        if texts:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", self.port))


@contextlib.contextmanager
def nameserver() -> Iterator[Nameserver]:
    made = Nameserver()
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.end()
        thread.join(5)
        made._socket.close()


def lead_here(patch: pytest.MonkeyPatch, *domains: str) -> None:
    """Hosts in these domains are this machine."""
    lookup = socket.getaddrinfo

    def found(host: Any, *rest: Any, **more: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else str(host)
        here = any(text == domain or text.endswith("." + domain) for domain in domains)
        return lookup("127.0.0.1" if here else host, *rest, **more)

    patch.setattr(socket, "getaddrinfo", found)
