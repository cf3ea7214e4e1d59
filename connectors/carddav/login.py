"""Saying who we are: by Basic, or by Digest (RFC 7616) where a server asks for that alone, as Baïkal does unless told
otherwise (sabre/http `Auth/Digest.php`).

Nobody has to choose. Where nobody can listen, on TLS or within this machine, Basic is sent at once, and a server that
refuses it for Digest gets Digest from then on. Where anybody can listen, the first request carries nothing: what the
server asks for then decides, and of both Digest is taken. The answer is remembered from run to run.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Generator, Iterator
from typing import Any, Final
from urllib.request import parse_http_list

from connectors import http
from connectors.contract import Context
from connectors.errors import Unauthorised

LOGIN: Final = "login"
BASIC: Final = "basic"
DIGEST: Final = "digest"
ALGORITHMS: Final = frozenset(
    {"md5", "md5-sess", "sha", "sha-sess", "sha-256", "sha-256-sess", "sha-512", "sha-512-sess"}
)
"""Those that httpx knows."""
_SCHEME: Final = re.compile(r"([\w!#$%&'*+.^`|~-]+)(?:\s+(?!=)|$)")


class Login(http.Auth):
    """The login of one account. account: what it is remembered for."""

    def __init__(self, username: str, password: str, account: Any, context: Context) -> None:
        self._basic = http.BasicAuth(username, password)
        self._digest = http.DigestAuth(username, password)
        self._account, self._remember = account, context.remember
        known = context.memory.get(LOGIN, {})
        self._scheme: str | None = known["scheme"] if known.get("account") == account else None

    @property
    def digests(self) -> bool:
        """Does the server take Digest, so that the password itself is not sent?"""
        return self._scheme == DIGEST

    def auth_flow(self, request: http.Request) -> Generator[http.Request, http.Response, None]:
        first = self._scheme or (None if overheard(request) else BASIC)
        if first is not None:
            next(self._by(first).auth_flow(request))
        response = yield request
        if response.status_code != 401:
            return
        offered = list(challenges(response))
        digest = next((challenge for challenge in offered if _usable(challenge)), None)
        basic = any(scheme == BASIC for scheme, _ in offered)
        if digest is not None and not (first == BASIC and basic):
            self._settle(DIGEST)
            flow = self._digest.auth_flow(request)
            next(flow)
            yield flow.send(_only(response, digest))
        elif basic and first != BASIC:
            self._settle(BASIC)
            yield next(self._basic.auth_flow(request))
        elif not basic and any(scheme == DIGEST for scheme, _ in offered):
            raise Unauthorised(
                f"{request.url.host} asks for a kind of Digest that is not known here; allow MD5 or Basic"
            )

    def _by(self, scheme: str) -> http.Auth:
        return self._digest if scheme == DIGEST else self._basic

    def _settle(self, scheme: str) -> None:
        if scheme != self._scheme:
            self._scheme = scheme
            self._remember(LOGIN, {"account": self._account, "scheme": scheme})


def overheard(request: http.Request) -> bool:
    """Can others read what the request says? Not on TLS, and not within this machine."""
    host = request.url.host
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return request.url.scheme != "https" and not local


Challenge = tuple[str, tuple[str, ...]]
"""A scheme, folded, and its parameters (`name=value`, as written)."""


def challenges(response: http.Response) -> Iterator[Challenge]:
    """What a server asks for (RFC 9110 section 11.6.1): one or more in each header."""
    for header in response.headers.get_list("www-authenticate"):
        scheme, params = "", list[str]()
        for item in map(str.strip, parse_http_list(header)):
            begins = _SCHEME.match(item)
            if begins:
                if scheme:
                    yield scheme, tuple(params)
                scheme, params, item = begins[1].casefold(), [], item[begins.end() :]
            if "=" in item:
                params.append(item)
        if scheme:
            yield scheme, tuple(params)


def _usable(challenge: Challenge) -> bool:
    scheme, params = challenge
    said = {name.strip().casefold(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in params)}
    qops = {qop.strip() for qop in said.get("qop", "auth").split(",")}
    known = said.get("algorithm", "md5").casefold() in ALGORITHMS
    return scheme == DIGEST and known and "auth" in qops and said.keys() >= {"realm", "nonce"}


def _only(response: http.Response, challenge: Challenge) -> http.Response:
    """The answer as if it asked for nothing else: httpx takes the first Digest, and knows not all of them."""
    headers = [(name, value) for name, value in response.headers.multi_items() if name != "www-authenticate"]
    asked = ("www-authenticate", "Digest " + ", ".join(challenge[1]))
    return http.Response(response.status_code, headers=[*headers, asked], request=response.request)
