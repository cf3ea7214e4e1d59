"""Organisations: a contact refers to a record of the module Accounts by id, a card says its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from connectors.contract import batched
from connectors.errors import Error, Uncertain
from connectors.vtiger import mapping
from connectors.vtiger.client import PAGE, Client, Row, equals, listed, plain

NAMES_AT_ONCE = 20
"""How many names one query asks for: names are not unique, and an answer holds `PAGE` rows."""


class Accounts:
    """Names and ids of accounts, remembered for one run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        """By name; "" for a name that no account has."""

    def fill(self, rows: Iterable[Row]) -> list[Row]:
        """The rows with their accounts' names (`mapping.ORGANIZATION`). An account that we may not see has none."""
        filled = list(rows)
        self._learn({str(row["account_id"]) for row in filled if row.get("account_id")})
        return [{**row, mapping.ORGANIZATION: self.names.get(row.get("account_id") or "", "")} for row in filled]

    def _learn(self, ids: Collection[str]) -> None:
        unknown = sorted(record for record in ids if record not in self.names and "x" in record)
        for batch in batched(unknown, PAGE):
            for row in self._client.query(f"select id, accountname from Accounts where id in {listed(batch)}"):
                self.names[row["id"]] = row["accountname"]

    def look_up(self, names: Iterable[str]) -> None:
        """Find the accounts of these names, in few requests."""
        unknown = sorted({name for name in names if name and name not in self._ids})
        for batch in batched((name for name in unknown if plain(name)), NAMES_AT_ONCE):
            rows = self._named(f"accountname in {listed(batch)}")
            if len(rows) < PAGE:  # else one name's many accounts may hide another's
                self._remember(batch, rows)
        for name in unknown:
            if name not in self._ids:
                self._remember([name], self._named(equals("accountname", name)))

    def _named(self, where: str) -> list[Row]:
        return self._client.query(f"select id, accountname from Accounts where {where} order by id limit {PAGE}")

    def _remember(self, names: list[str], rows: list[Row]) -> None:
        exact: dict[str, str] = {}
        folded: dict[str, str] = {}
        for row in rows:
            exact.setdefault(row["accountname"], row["id"])
            folded.setdefault(row["accountname"].casefold(), row["id"])
            self.names[row["id"]] = row["accountname"]
        for name in names:
            self._ids[name] = exact.get(name) or folded.get(name.casefold(), "")

    def id_of(self, name: str, owner: str) -> str:
        """The account of that name: the oldest one of exactly that name, else of that name but for letter case, else
        a new one. An account is never renamed because one contact's organisation changed. "" has none."""
        if not name:
            return ""
        self.look_up([name])
        return self._ids[name] or self._make(name, owner)

    def _make(self, name: str, owner: str) -> str:
        element = {"accountname": name, "assigned_user_id": owner, "source": mapping.KEY_PREFIX.rstrip(":")}
        try:
            row: Mapping[str, str] = self._client.create("Accounts", element)
        except Uncertain as lost:
            del self._ids[name]
            self.look_up([name])
            if not self._ids[name]:
                raise _unsure(lost, name) from lost
            return self._ids[name]
        self.names[row["id"]] = row["accountname"]
        self._ids[name] = row["id"]
        return row["id"]


def _unsure(lost: Error, name: str) -> Uncertain:
    return Uncertain(f"the organisation {name!r} may or may not have been created: {lost}")
