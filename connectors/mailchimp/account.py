"""The account inside the sandbox: the API's endpoints, pages, bulk requests and batches, apart from HTTP.

Rules cite the sections of the mailchimp note in parentheses; K marks what it calls unconfirmed.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import tarfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote

from connectors.mailchimp.audience import Audience, Member, Problem, Rules, invalid, not_found, text_of

PAGE: Final = 1000
ROWS: Final = 500
"""Members of a bulk request (4)."""
OPEN_BATCHES: Final = 500
FILE_LIFE: Final = timedelta(minutes=10)
"""How long the address of a result file is good (4, K)."""
CREATED: Final = "2024-03-01T09:00:00+00:00"

# fmt: off
MERGE_FIELDS: Final[tuple[dict[str, Any], ...]] = (
    {"tag": "FNAME", "name": "First Name", "type": "text", "required": True},
    {"tag": "LNAME", "name": "Last Name", "type": "text"},
    {"tag": "ADDRESS", "name": "Address", "type": "address", "options": {"default_country": 164}},
    {"tag": "PHONE", "name": "Phone Number", "type": "phone", "options": {"phone_format": "none"}},
    {"tag": "BIRTHDAY", "name": "Birthday", "type": "birthday", "options": {"date_format": "MM/DD"}},
    {"tag": "COMPANY", "name": "Company", "type": "text"},
    {"tag": "MMERGE7", "name": "Website", "type": "url"},
    {"tag": "MOBILE", "name": "Mobile", "type": "phone", "options": {"phone_format": "none"}},
    {"tag": "SHOESIZE", "name": "Shoe size", "type": "text"},
)
"""Mailchimp's own five, and what a business added."""
# fmt: on
INTERESTS: Final = {"Newsletters": ("Weekly", "Monthly"), "Language": ("English", "Deutsch")}


@dataclass
class Manner:
    """How this account answers.

    batch_delay: seconds until a batch is finished. delay: seconds that every request takes. typed: problems name their
    `type` (1: sometimes absent).
    """

    batch_delay: float = 20.0
    delay: float = 0.0
    typed: bool = True


@dataclass
class Batch:
    """Operations that were handed in, and their results."""

    id: str
    at: datetime
    results: list[dict[str, Any]]


class Account:
    """The account with its one audience. options: those of `Rules` and `Manner`."""

    def __init__(
        self,
        now: Callable[[], datetime] | None = None,
        merge_fields: Iterable[Mapping[str, Any]] = MERGE_FIELDS,
        interests: Mapping[str, Iterable[str]] | None = None,
        **options: Any,
    ) -> None:
        rules = {f.name: options.pop(f.name) for f in fields(Rules) if f.name in options}
        self.manner = Manner(**options)
        self.lock = threading.RLock()
        self._now, self._ahead = now or (lambda: datetime.now(UTC)), timedelta()
        self.audience = Audience("a6b5c4d3e2", "Newsletter", self.clock, Rules(**rules))
        self.audiences = {self.audience.id: self.audience}
        self.webhooks: dict[str, dict[str, Any]] = {}
        self._batches: dict[str, Batch] = {}
        self._files: dict[str, tuple[str, datetime]] = {}
        for entry in merge_fields:
            self.add_merge_field(dict(entry))
        for category, names in (INTERESTS if interests is None else interests).items():
            self.add_interests(category, names)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The account's time."""
        return self._now() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass here."""
        with self.lock:
            self._ahead += timedelta(seconds=seconds)

    # --- what the audience has ---

    def add_merge_field(self, entry: dict[str, Any]) -> dict[str, Any]:
        """An admin adds a merge field."""
        with self.lock:
            blank = {"required": False, "default_value": "", "public": True, "help_text": "", "options": {}}
            number = len(self.audience.merge_fields) + 1
            made = {**blank, **entry, "merge_id": number, "display_order": number, "list_id": self.audience.id}
            made.setdefault("tag", f"MMERGE{number}")
            if any(known["tag"] == made["tag"] for known in self.audience.merge_fields):
                raise Problem(400, "Invalid Resource", f'A Merge Field with the tag "{made["tag"]}" already exists.')
            self.audience.merge_fields.append(made)
            return made

    def add_interests(self, category: str, names: Iterable[str]) -> list[str]:
        """An admin adds interests to a category, new or there already; their ids."""
        with self.lock:
            audience = self.audience
            known = next((c for c in audience.categories if c["title"] == category), None)
            if known is None:
                known = {"id": f"c{len(audience.categories):09x}", "title": category, "type": "checkboxes"}
                known |= {"list_id": audience.id, "display_order": len(audience.categories)}
                audience.categories.append(known)
            ids = []
            for name in names:
                ids.append(f"9143cf{len(audience.interests):04x}")
                entry = {"id": ids[-1], "name": name, "category_id": known["id"], "list_id": audience.id}
                audience.interests.append({**entry, "subscriber_count": "0", "display_order": len(audience.interests)})
            return ids

    # --- the API -----------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """One request, by itself or in a batch: (status, JSON or None)."""
        with self.lock:
            try:
                answer = self._answer(method, path, query, body)
            except Problem as problem:
                return problem.status, self._problem(problem)
        if answer is None:
            return 204, None
        return 200, _pruned(answer, query)

    def _problem(self, problem: Problem) -> dict[str, Any]:
        kind = {"type": "https://mailchimp.com/developer/marketing/docs/errors/"} if self.manner.typed else {}
        found = {**kind, "title": problem.title, "status": problem.status, "detail": problem.detail}
        return {**found, "instance": secrets.token_hex(8), **({"errors": problem.errors} if problem.errors else {})}

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        for verb, pattern, act in self._routes():
            match = re.fullmatch(pattern, path) if verb == method else None
            if match:
                return act(query, body, *map(unquote, match.groups()))
        raise not_found()

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        part = "([^/]+)"
        one = f"/lists/{part}/members/{part}"
        category = f"/lists/{part}/interest-categories"
        return [
            ("GET", "/ping", lambda q, b: {"health_status": "Everything's Chimpy!"}),
            ("GET", "/lists", lambda q, b: self._lists()),
            ("GET", f"/lists/{part}", lambda q, b, a: self._shown(self._list(a))),
            ("POST", f"/lists/{part}", lambda q, b, a: self._bulk(self._list(a), b, _lenient(q))),
            ("GET", f"/lists/{part}/members", lambda q, b, a: self._members(self._list(a), q)),
            ("POST", f"/lists/{part}/members", lambda q, b, a: self._make(self._list(a), b, _lenient(q))),
            ("GET", one, lambda q, b, a, m: self._one(a, m)),
            ("PUT", one, lambda q, b, a, m: self._show(a, self._list(a).put(m, b, lenient=_lenient(q)))),
            ("PATCH", one, lambda q, b, a, m: self._patch(self._list(a), m, b, _lenient(q))),
            ("DELETE", one, lambda q, b, a, m: self._list(a).archive(self._list(a).find(m))),
            (
                "POST",
                f"{one}/actions/delete-permanent",
                lambda q, b, a, m: self._list(a).forget(self._list(a).find(m)),
            ),
            ("GET", f"{one}/tags", lambda q, b, a, m: self._tags(self._list(a).find(m), q)),
            ("POST", f"{one}/tags", lambda q, b, a, m: self._list(a).tag(self._list(a).find(m), b["tags"])),
            ("GET", f"/lists/{part}/merge-fields", lambda q, b, a: self._rows(a, "merge_fields", q)),
            ("POST", f"/lists/{part}/merge-fields", lambda q, b, a: self.add_merge_field(b)),
            ("GET", category, lambda q, b, a: self._rows(a, "categories", q)),
            ("GET", f"{category}/{part}/interests", lambda q, b, a, c: self._rows(a, "interests", q, c)),
            ("GET", f"/lists/{part}/webhooks", lambda q, b, a: self._hooks()),
            ("POST", f"/lists/{part}/webhooks", lambda q, b, a: self._add_webhook(b)),
            ("DELETE", f"/lists/{part}/webhooks/{part}", lambda q, b, a, w: self._drop_webhook(w)),
            ("POST", "/batches", lambda q, b: self._start(b)),
            ("GET", f"/batches/{part}", lambda q, b, name: self._progress(name)),
        ]

    def _list(self, name: str) -> Audience:
        if name not in self.audiences:
            raise not_found()
        return self.audiences[name]

    def _lists(self) -> Any:
        shown = [self._shown(audience) for audience in self.audiences.values()]
        return {"lists": shown, "total_items": len(shown), "_links": []}

    def _shown(self, audience: Audience) -> Any:
        count = sum(member.status == "subscribed" for member in audience.members.values())
        stats = {"member_count": count, "merge_field_count": len(audience.merge_fields)}
        shown = {"id": audience.id, "web_id": 1, "name": audience.title, "date_created": CREATED, "stats": stats}
        return {**shown, "double_optin": False, "marketing_permissions": False, "_links": []}

    # members

    def _members(self, audience: Audience, query: Mapping[str, str]) -> Any:
        """A page (1, 5): ten rows unless said, a thousand at most."""
        status = query.get("status", "")
        rows = audience.listing(status == "archived")
        if status:
            rows = [row for row in rows if row["status"] == status]
        for name, keep in (("since_last_changed", _since(audience.rules)), ("before_last_changed", _before)):
            # A time with fractions of a second is ignored and everybody comes (5).
            if name in query and not re.search(r":\d\d\.\d", query[name]):
                limit = _moment(query[name])
                rows = [row for row in rows if keep(row["last_changed"], limit)]
        if query.get("sort_field"):
            rows.sort(key=lambda row: str(row[query["sort_field"]]), reverse=query.get("sort_dir") == "DESC")
        page = _page(rows, query)
        return {"members": page, "list_id": audience.id, "total_items": len(rows), "_links": []}

    def _show(self, audience: str, member: Member) -> Any:
        return self._list(audience).show(member)

    def _one(self, audience: str, name: str) -> Any:
        return self._show(audience, self._list(audience).find(name))

    def _make(self, audience: Audience, given: Any, lenient: bool) -> Any:
        return audience.show(audience.add(given, lenient=lenient))

    def _patch(self, audience: Audience, name: str, given: Any, lenient: bool) -> Any:
        return audience.show(audience.change(audience.find(name), given, lenient=lenient))

    def _bulk(self, audience: Audience, given: Any, lenient: bool) -> Any:
        """HTTP 200 with errors by row (4). `update_existing` changes the status of who is there; `sync_tags` replaces
        their tags."""
        rows = given.get("members") or ()
        if len(rows) > ROWS:
            raise invalid("members", f"No more than {ROWS} members can be sent at a time.")
        made: list[Any] = []
        updated: list[Any] = []
        errors: list[dict[str, str]] = []
        for row in rows:
            try:
                there = audience.at(str(row.get("email_address") or "")) if given.get("update_existing") else None
                kept = row if audience.rules.row_tags else {k: v for k, v in row.items() if k != "tags"}
                if there is None:
                    made.append(_in_bulk(audience.show(audience.add(kept, lenient=lenient))))
                else:
                    if given.get("sync_tags"):
                        there.tags.clear()
                    updated.append(_in_bulk(audience.show(audience.change(there, kept, lenient=lenient))))
            except Problem as problem:
                flaw = problem.errors[0] if problem.errors else {"field": "", "message": ""}
                exists = problem.title == "Member Exists"
                errors.append(
                    {
                        "email_address": str(row.get("email_address") or ""),
                        "error": problem.detail,
                        "error_code": "ERROR_CONTACT_EXISTS" if exists else "ERROR_GENERIC",
                        "field": flaw["field"],
                        "field_message": flaw["message"],
                    }
                )
        counts = {"total_created": len(made), "total_updated": len(updated), "error_count": len(errors)}
        return {"new_members": made, "updated_members": updated, "errors": errors, **counts, "_links": []}

    def _tags(self, member: Member, query: Mapping[str, str]) -> Any:
        rows = [{"id": number, "name": name, "date_added": CREATED} for number, name in sorted(member.tags.values())]
        return {"tags": _page(rows, query), "total_items": len(rows)}

    def _rows(self, audience: str, what: str, query: Mapping[str, str], category: str = "") -> Any:
        rows = [row for row in getattr(self._list(audience), what) if not category or row["category_id"] == category]
        shown = [{**row, "_links": []} for row in _page(rows, query)]
        more = {"category_id": category} if category else {}
        return {what: shown, "list_id": audience, **more, "total_items": len(rows), "_links": []}

    # batches (4)

    def _start(self, given: Any) -> Any:
        operations = given.get("operations") or []
        waiting = sum(self._status(batch) != "finished" for batch in self._batches.values())
        if waiting >= OPEN_BATCHES:
            raise Problem(429, "Too Many Requests", "You have more than 500 pending batches.")
        results = [self._done(operation) for operation in operations]
        results.reverse()  # the order is not guaranteed
        name = secrets.token_hex(5)
        self._batches[name] = Batch(name, self.clock(), results)
        return self._progress(name)

    def _done(self, operation: Mapping[str, Any]) -> dict[str, Any]:
        body = json.loads(operation["body"]) if operation.get("body") else None
        query = {key: str(value) for key, value in (operation.get("params") or {}).items()}
        status, answer = self.call(operation["method"], operation["path"], query, body)
        told = "" if answer is None else json.dumps(answer)
        return {"status_code": status, "operation_id": operation.get("operation_id"), "response": told}

    def _status(self, batch: Batch) -> str:
        done = (self.clock() - batch.at).total_seconds() / (self.manner.batch_delay or 1e-9)
        steps = ("pending", "preprocessing", "started", "finalizing", "finished")
        return steps[max(0, min(4, int(done * 4)))]

    def _progress(self, name: str) -> Any:
        if name not in self._batches:
            raise not_found()
        batch, status = self._batches[name], self._status(self._batches[name])
        finished = status == "finished"
        errored = sum(row["status_code"] >= 400 for row in batch.results)
        shown = {
            "id": name,
            "status": status,
            "total_operations": len(batch.results),
            "finished_operations": len(batch.results) if finished else 0,
            "errored_operations": errored if finished else 0,
            "submitted_at": text_of(batch.at),
            "completed_at": text_of(self.clock()) if finished else "",
            "response_body_url": "",
        }
        if finished:
            ticket = secrets.token_hex(8)
            self._files[ticket] = (name, self.clock() + FILE_LIFE)
            shown["response_body_url"] = f"@/results/{ticket}.tar.gz"
        return {**shown, "_links": []}

    def file(self, ticket: str) -> bytes | None:
        """A result file: a gzipped tar of JSON files. None where its address is not good any more."""
        with self.lock:
            name, until = self._files.get(ticket, ("", self.clock()))
            if until <= self.clock():
                return None
            return _archive(self._batches[name].results)

    # webhooks (6)

    def _add_webhook(self, given: Mapping[str, Any]) -> Any:
        if not str(given.get("url") or "").startswith("http"):
            raise invalid("url", "This value should not be blank.")
        name = f"{len(self.webhooks) + 1:010x}"
        hook = {"id": name, "list_id": self.audience.id, "url": given["url"]}
        hook |= {part: dict(given.get(part) or {}) for part in ("events", "sources")}
        self.webhooks[name] = {**hook, "signing_secret": secrets.token_hex(16)}
        return self.webhooks[name]  # with its secret, this once

    def _hooks(self) -> Any:
        shown = [{key: v for key, v in hook.items() if key != "signing_secret"} for hook in self.webhooks.values()]
        return {"webhooks": shown, "list_id": self.audience.id, "total_items": len(shown)}

    def _drop_webhook(self, name: str) -> None:
        if self.webhooks.pop(name, None) is None:
            raise not_found()


def _lenient(query: Mapping[str, str]) -> bool:
    return query.get("skip_merge_validation") == "true"


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("since_last_changed", "This value is not a valid datetime.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _since(rules: Rules) -> Callable[[str, datetime], bool]:
    if rules.inclusive:
        return lambda changed, limit: datetime.fromisoformat(changed) >= limit
    return lambda changed, limit: datetime.fromisoformat(changed) > limit


def _before(changed: str, limit: datetime) -> bool:
    return datetime.fromisoformat(changed) < limit


def _page(rows: list[Any], query: Mapping[str, str]) -> list[Any]:
    count, offset = int(query.get("count", 10)), int(query.get("offset", 0))
    if count > PAGE:
        raise invalid("count", f"This value should be {PAGE} or less.")
    return rows[offset : offset + count]


def _in_bulk(member: dict[str, Any]) -> dict[str, Any]:
    """A member in the answer to a bulk request tells less (4)."""
    absent = {"full_name", "unsubscribe_reason", "source", "web_id", "_links"}
    return {name: value for name, value in member.items() if name not in absent and not name.startswith("sms_")}


def _pruned(answer: Any, query: Mapping[str, str]) -> Any:
    """`fields` and `exclude_fields` in dot notation (1)."""
    if query.get("fields"):
        return _only(answer, [name.split(".") for name in query["fields"].split(",")])
    for name in (query.get("exclude_fields") or "").split(","):
        answer = _without(answer, name.split("."))
    return answer


def _only(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_only(entry, paths) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if below:
            kept[name] = inner if [] in below else _only(inner, below)
    return kept


def _without(value: Any, path: list[str]) -> Any:
    if isinstance(value, list):
        return [_without(entry, path) for entry in value]
    if not isinstance(value, dict):
        return value
    if len(path) == 1:
        return {name: inner for name, inner in value.items() if name != path[0]}
    return {name: _without(inner, path[1:]) if name == path[0] else inner for name, inner in value.items()}


def _archive(results: list[dict[str, Any]]) -> bytes:
    """Several files, each an array (4)."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for number, start in enumerate(range(0, len(results), 100)):
            data = json.dumps(results[start : start + 100]).encode()
            entry = tarfile.TarInfo(f"./{number:05x}.json")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()
