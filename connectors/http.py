"""The one way out: HTTP with timeouts, kept-alive connections, a rate budget, counted requests, and errors by
reaction. Nothing else in the project imports httpx."""

from __future__ import annotations

import email.utils
import logging
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, cast

from connectors.contract import Context
from connectors.errors import Error, Missing, Refused, Stale, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.once import once

# The command line of httpx is left out, as where its extra "cli" is not installed: it is half of the import.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

Request = httpx.Request
Response = httpx.Response
Auth = httpx.Auth
BasicAuth = httpx.BasicAuth
DigestAuth = httpx.DigestAuth

log = logging.getLogger(__name__)
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})
NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
LONGEST_WAIT: Final = 120.0
"""Seconds; a remote that asks for more is left alone until the connection's next turn."""


def react(response: Response) -> Error | None:
    """What HTTP itself says a status means. Connectors put what their remote means by it in front."""
    status = response.status_code
    if status < 400:
        return None
    where = named(response.request)
    if status == 429 or (status == 503 and "retry-after" in response.headers):
        return Throttled(f"{where}: too many requests (HTTP {status})", retry_after(response))
    by_status: Mapping[int, tuple[type[Error], str]] = {
        401: (Unauthorised, "the credentials were refused; enter them again"),
        403: (Unauthorised, "access was denied; check the account's rights"),
        404: (Missing, "not found"),
        409: (Refused, "the remote reports a conflict"),
        410: (Missing, "gone"),
        412: (Stale, "the record changed meanwhile"),
        413: (Refused, "the record is too large for the remote"),
        423: (Throttled, "locked"),
    }
    if status in by_status:
        kind, words = by_status[status]
        return kind(f"{where}: {words} (HTTP {status})")
    if status >= 500:
        return Uncertain(f"{where}: the server failed (HTTP {status})")
    return Refused(f"{where}: refused (HTTP {status}): {response.text[:200]}")


def named(request: Request) -> str:
    """A request without what may be secret in it."""
    return f"{request.method} {request.url.copy_with(query=None, userinfo=None)}"


def retry_after(response: Response) -> float | None:
    """Seconds of a Retry-After header, in either of its forms (RFC 9110 section 10.2.3)."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
        now = email.utils.parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return None
    return max(0.0, (until - now).total_seconds())


def _why(lost: Exception) -> str:
    """Why there is no connection; of TLS more than the name of the error, for an admin can mend it."""
    _, tls, reason = str(lost).partition("certificate verify failed: ")
    return f"its TLS certificate is not trusted: {reason}" if tls else type(lost).__name__


class Http:
    """A connection's HTTP client. Safe to share between threads.

    rate: most requests per second over any longer time (a token bucket of `burst`), None: no limit of ours.
    react: maps a response to an error by reaction, or None where it is an answer.
    tries: how often a repeatable request is sent in all.
    """

    def __init__(
        self,
        base_url: str,
        context: Context,
        *,
        react: Callable[[Response], Error | None] = react,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        rate: float | None = None,
        burst: int = 10,
        timeout: float = 30.0,
        tries: int = 4,
        verify: bool = True,
        follow_redirects: bool = False,
    ) -> None:
        self._context = context
        self._react = react
        self._tries = tries
        self._budget = Budget(rate, burst, context) if rate else None
        self._client = httpx.Client(
            base_url=base_url,
            headers={"user-agent": "concord", **(headers or {})},
            auth=auth,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=8, keepalive_expiry=60.0),
            follow_redirects=follow_redirects,
            verify=cast(ssl.SSLContext, _Later()) if verify else False,
            trust_env=True,
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        data: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        react: Callable[[Response], Error | None] | None = None,
    ) -> Response:
        """Send, and return an answer that is not an error.

        repeatable: may be sent again when its effect is unknown; default: by method (RFC 9110 section 9.2.1).
        Raises what `react` made of the last answer; Unreachable where nothing took effect, Uncertain where that is
        not known and the request is not repeatable.
        """
        repeatable = method in SAFE if repeatable is None else repeatable
        for attempt in range(1, self._tries + 1):
            error: Error
            try:
                response = self._send(method, url, params, data, json, content, headers)
            except NOT_SENT as lost:
                error = Unreachable(f"{self._host(url)} cannot be reached ({_why(lost)})")
            except httpx.HTTPError as lost:
                kind = Unreachable if repeatable else Uncertain
                error = kind(f"{method} to {self._host(url)}: no answer came ({type(lost).__name__})")
            else:
                answer = (react or self._react)(response)
                if answer is None:
                    return response
                error = answer
            wait = self._wait(error, attempt, repeatable)
            if wait is None:
                if isinstance(error, Uncertain) and repeatable:
                    raise Unreachable(str(error)) from None
                raise error from None
            self._context.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, error: Error, attempt: int, repeatable: bool) -> float | None:
        """Seconds until the next attempt, or None when there is none."""
        if attempt == self._tries:
            return None
        backoff: float = min(30.0, 0.5 * 2.0 ** (attempt - 1)) * (0.5 + self._context.random())
        if isinstance(error, Throttled):
            asked = backoff if error.retry_after is None else error.retry_after
            return asked if asked <= LONGEST_WAIT else None
        if isinstance(error, Unreachable) or (isinstance(error, Uncertain) and repeatable):
            return backoff
        return None

    def _send(self, method: str, url: str, params: Any, data: Any, json: Any, content: Any, headers: Any) -> Response:
        if self._budget:
            self._context.budget("burst", self._budget.take())
        request = self._client.build_request(
            method, url, params=params, data=data, json=json, content=content, headers=headers
        )
        sent = int(request.headers.get("content-length", 0))
        received = 0
        with self._context.watch(f"HTTP {method}", _facts(request)) as tell:
            try:
                response = self._client.send(request)
                self._count_earlier(response)
                received = len(response.content)
            finally:
                self._context.requests(method, sent, received)
            tell("http.response.status_code", response.status_code)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s: %d", named(request), response.status_code)
        return response

    def _count_earlier(self, response: Response) -> None:
        """What it took to get there: a login may need several requests (see httpx, `Auth.auth_flow`)."""
        for earlier in response.history:
            if self._budget:
                self._context.budget("burst", self._budget.take())
            sent = int(earlier.request.headers.get("content-length", 0))
            self._context.requests(earlier.request.method, sent, len(earlier.content))

    def _host(self, url: str) -> str:
        target = self._client.base_url.join(url)
        return f"{target.host}:{target.port}" if target.port else target.host

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Http:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _facts(request: httpx.Request) -> dict[str, Any]:
    """What may be told of a request: not its query, headers and body, which hold secrets and people's data."""
    url = request.url
    return {
        "http.request.method": request.method,
        "server.address": url.host,
        "server.port": url.port or (443 if url.scheme == "https" else 80),
        "url.path": url.path,
    }


@once
def _tls() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise Unreachable(
            f"the list of TLS authorities cannot be read ({error}); check SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


class _Later:
    """The TLS of all connections, made when the first of them needs it: reading the authorities takes 30 ms."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_tls(), name)


class Budget:
    """A token bucket: `rate` a second, `burst` saved up at most."""

    def __init__(self, rate: float, burst: int, context: Context) -> None:
        self._rate, self._burst, self._context = rate, burst, context
        self._tokens, self._at = float(burst), context.now()
        self._lock = threading.Lock()

    def take(self) -> int:
        """Wait until one more request is within the budget; how many more there are at once."""
        with self._lock:
            now = self._context.now()
            grown = (now - self._at).total_seconds() * self._rate
            self._tokens, self._at = min(float(self._burst), self._tokens + max(0.0, grown)) - 1.0, now
            debt = -self._tokens / self._rate
            left = max(0, int(self._tokens))
        if debt > 0:
            self._context.sleep(debt)
        return left


def server_time(response: Response) -> datetime | None:
    """The server's clock as its Date header tells it, aware."""
    try:
        return email.utils.parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
