"""What a contact refers to by id and a card says by name: accounts, and target lists with their members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from connectors.contract import batched
from connectors.errors import Error, Refused, Throttled, Unauthorised, Uncertain, Unreachable
from connectors.sugarcrm import mapping
from connectors.sugarcrm.client import MOST_CALLS, Answer, Call, Client, Row, below, listing, with_params

LINK: Final = "prospect_lists"
"""The link from Contacts and Leads to target lists (A6)."""
FIELDS: Final = ("id", "name", "list_type")
MOST: Final = 500
"""Rows of one call within a bulk."""


class Directory:
    """Ids by name of one module's records, remembered for one run. None is ever renamed because a card says so.

    extra: what a new record gets beside its name. fields: what is read of one; ours: is it one of those meant?
    """

    def __init__(
        self,
        client: Client,
        module: str,
        extra: Mapping[str, Any] | None = None,
        fields: Sequence[str] = ("id", "name"),
        ours: Callable[[Row], bool] = lambda row: True,
    ) -> None:
        self._client, self._module, self._extra = client, module, extra or {}
        self._fields, self._ours = fields, ours
        self._ids: dict[str, str] = {}
        """By name; "" for a name that there is not."""
        self._errors: dict[str, Error] = {}

    def look_up(self, names: Iterable[str]) -> None:
        """Find the ids of these names, in few requests."""
        unknown = sorted({name for name in names if name and name not in self._ids})
        if not unknown:
            return
        exact: dict[str, str] = {}
        folded: dict[str, str] = {}
        for row in filter(self._ours, self._client.among(self._module, "name", unknown, self._fields)):
            exact.setdefault(str(row["name"]), str(row["id"]))
            folded.setdefault(str(row["name"]).strip().casefold(), str(row["id"]))
        for name in unknown:
            self._ids[name] = exact.get(name) or folded.get(name.strip().casefold(), "")

    def ensure(self, names: Iterable[str]) -> None:
        """Find these names, and make those that there are not."""
        wanted = [name for name in dict.fromkeys(names) if name]
        self.look_up(wanted)
        missing: dict[str, str] = {}
        for name in wanted:
            if not self._ids[name]:
                missing.setdefault(name.strip().casefold(), name)
        for batch in batched(missing.values(), MOST_CALLS):
            self._make(batch)
        for name in wanted:
            twin = missing.get(name.strip().casefold(), name)
            self._ids[name] = self._ids[name] or self._ids[twin]
            if twin in self._errors:
                self._errors[name] = self._errors[twin]

    def _make(self, names: Sequence[str]) -> None:
        calls = [Call("POST", self._module, {"name": name, **self._extra}) for name in names]
        try:
            answers = self._client.bulk(calls, repeatable=False)
        except Uncertain as lost:
            answers = [Answer(None, lost)] * len(names)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer.error, Throttled | Unreachable | Unauthorised):
                raise answer.error
            if answer.error:
                self._errors[name] = answer.error
            else:
                self._ids[name] = str(answer.checked()["id"])
        doubtful = [name for name in names if isinstance(self._errors.get(name), Uncertain)]
        for name in doubtful:
            del self._ids[name]
        self.look_up(doubtful)

    def id_of(self, name: str) -> str:
        """The record of exactly that name, else of that name but for letter case (of several always the same one), as
        `ensure` found or made it. "" has none. Raises Refused where it could not be made, Uncertain where that is not
        known."""
        if not name:
            return ""
        found = self._ids[name]
        if not found:
            error = self._errors.get(name) or Refused("it has no id")
            kind = Uncertain if isinstance(error, Uncertain) else Refused
            raise kind(f"SugarCRM has no {self._module} record {name!r}, and none could be made: {error}")
        return found


def groups(client: Client) -> Directory:
    """The target lists that are groups."""
    return Directory(client, "ProspectLists", {"list_type": "default"}, FIELDS, is_group)


def is_group(row: Row) -> bool:
    """Is a target list one that mail goes out to? The exempt ones say who is not to be mailed (A6)."""
    return not str(row.get("list_type") or "").startswith(mapping.EXEMPT)


class Lists:
    """Who is in which target lists. Membership moves no `date_modified` (A4), so it is read, never inferred."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: list[Row] | None = None

    def of(self, module: str, ids: Sequence[str]) -> dict[str, list[Row]]:
        """{id: its target lists} of a few records."""
        answers = self._client.reads([_memberships(module, record, 0) for record in ids])
        found: dict[str, list[Row]] = {}
        for record, answer in zip(ids, answers, strict=True):
            if answer.error:  # not there (any more)
                continue
            rows = answer.rows()
            while answer.more():
                [answer] = self._client.reads([_memberships(module, record, len(rows))])
                if not answer.rows():
                    break
                rows += answer.rows()
            found[record] = [row for row in rows if is_group(row)]
        return found

    def all(self, module: str) -> dict[str, list[Row]]:
        """{id: its target lists} of everybody who is in any."""
        if self._known is None:
            self._known = [row for row in self._client.rows("ProspectLists", [], FIELDS) if is_group(row)]
        wheres = [[{f"{LINK}.id": {"$equals": row["id"]}}] for row in self._known]
        firsts = self._client.reads([listing(module, where, ["id"], MOST) for where in wheres])
        found: dict[str, list[Row]] = {}
        for row, where, first in zip(self._known, wheres, firsts, strict=True):
            for page in self._client.walk(module, where, ["id"], first=first):
                for member in page:
                    found.setdefault(str(member["id"]), []).append(row)
        return found


def _memberships(module: str, record: str, offset: int) -> Call:
    params = {"fields": ",".join(FIELDS), "max_num": MOST, **({"offset": offset} if offset else {})}
    return Call("GET", with_params(below(module, record, "link", LINK), params))
