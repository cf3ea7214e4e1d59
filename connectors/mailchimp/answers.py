"""What an answer of the Marketing API means: its problem documents as errors by reaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors import http
from connectors.errors import Error, Missing, Refused, Throttled, Unauthorised, Uncertain
from connectors.http import Response
from connectors.oauth import AGAIN

RENEW: Final = f"make a new API key (Account, Extras, API keys), or {AGAIN}"


class Exists(Refused):
    """The address is a member already, whatever its status."""


class Compliance(Refused):
    """Nobody but the person may subscribe this address again."""


class Collision(Refused):
    """The new address of a member is another member already."""


class NotAllowed(Refused):
    """This cannot be done to a member in this state (HTTP 405)."""


class NoAudience(Unauthorised):
    """The account has no such audience."""


FORGOTTEN: Final = (
    "was permanently deleted from this audience, and Mailchimp takes the address back from nobody but the person: they "
    "have to sign up again through one of its forms"
)


@dataclass(frozen=True)
class Rule:
    """One row of the table of reactions. sign: what is looked for in title and detail, in small letters."""

    status: int
    sign: str
    kind: type[Error]
    words: str


RULES: Final = (
    Rule(400, "member exists", Exists, "the address is a member already"),
    Rule(400, "already a list member", Exists, "the address is a member already"),
    Rule(400, "member in compliance state", Compliance, "the person must subscribe themselves"),
    Rule(400, "in a compliance state", Compliance, "the person must subscribe themselves"),
    Rule(400, "forgotten email", Refused, FORGOTTEN),
    Rule(400, "permanently deleted", Refused, FORGOTTEN),
    Rule(400, "already in this list with a status", Collision, "the new address is another member already"),
    Rule(400, "looks fake or invalid", Refused, "Mailchimp takes the address for no real one; correct it"),
    Rule(400, "signed up to a lot of lists", Refused, "Mailchimp allows this address no more sign-ups for now; "
         "retry in a day or two"),
    Rule(401, "", Unauthorised, f"Mailchimp does not take the credentials; {RENEW}"),
    Rule(403, "", Unauthorised, "the API key's user may not do this; use one of an owner, admin or manager"),
    Rule(405, "", NotAllowed, "Mailchimp does not allow it"),
)  # fmt: skip
"""mailchimp notes 1 and 2, first match counts. Classified by title and detail, as `type` is not always there. What is
not here is left to HTTP's own meaning: 429 backs off, 5xx is uncertain, another 4xx refused."""


def judge(status: int, body: Any, path: str) -> Error | None:
    """What an answer in JSON means, of a request of its own or in a batch; None for one that is no error."""
    if status < 400:
        return None
    problem = body if isinstance(body, Mapping) else {}
    said = " ".join(str(problem.get(name) or "") for name in ("title", "detail")).strip()
    if status == 404:
        if re.search(r"/(members|batches)/", path):
            return Missing("Mailchimp has no such member")
        return NoAudience("Mailchimp has no such audience; correct it in the settings")
    for rule in RULES:
        if rule.status == status and rule.sign in said.casefold():
            return rule.kind(f"{rule.words} ({_cut(said)})" if said else rule.words)
    if status < 500 and status != 429:
        return Refused(f"Mailchimp refused it: {_cut(said)}{_flaws(problem)}")
    kind = Throttled if status == 429 else Uncertain
    return kind(f"Mailchimp: {said or 'no answer'} (HTTP {status})")


def _flaws(problem: Mapping[str, Any]) -> str:
    """The fields that a problem names: {field, message} each."""
    flaws = [error for error in problem.get("errors") or () if isinstance(error, Mapping)]
    return "".join(f"; {error.get('field') or 'it'}: {_cut(str(error.get('message') or ''))}" for error in flaws[:5])


def _cut(text: str) -> str:
    return text[:200]


def react(response: Response) -> Error | None:
    """What an answer means. Without a body in JSON, HTTP 403 is a throttle like 429 (note 1)."""
    status, body = response.status_code, as_json(response)
    if status == 204:
        return None
    if body is None and status == 403:
        return Throttled("Mailchimp: too many requests (HTTP 403 without a body)")
    if status == 429 or status >= 500 or 300 <= status < 400:
        return http.react(response) or Uncertain(f"Mailchimp sent us elsewhere (HTTP {status})")
    if body is None:
        return Uncertain(f"Mailchimp answered with something that is no answer of its API (HTTP {status})")
    return judge(status, body, response.request.url.path)


def as_json(response: Response) -> Any | None:
    """The body where it is JSON; None for web pages and nothing at all."""
    if "json" not in response.headers.get("content-type", ""):
        return None
    try:
        return response.json()
    except ValueError:
        return None
