"""Records that a party refers to and a card names: categories, countries, their regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.card import fold
from connectors.errors import Uncertain
from connectors.tryton import mapping
from connectors.tryton.client import Client, Row
from connectors.tryton.rows import COUNTRY, SUBDIVISION

CATEGORY = "party.category"


class Places:
    """Names and ids, remembered for one run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._categories: dict[str, Row] | None = None
        self._countries: list[Row] | None = None
        self._regions: dict[int, list[Row]] = {}

    # -- categories

    def category(self, name: str) -> int:
        """The category of that name: of exactly that, else but for letter case, else a new one. An archived one is
        taken as well: there cannot be a second one of its name."""
        known = self._known()
        found = known.get(name) or next((row for n, row in known.items() if n.casefold() == name.casefold()), None)
        return self._make(name) if found is None else int(found["id"])

    def _known(self) -> dict[str, Row]:
        if self._categories is None:
            self._categories = {row["rec_name"]: row for row in self._client.rows(CATEGORY, [], ["rec_name"])}
        return self._categories

    def _make(self, name: str) -> int:
        above, _, last = name.rpartition(mapping.SEPARATOR)
        columns: dict[str, Any] = {"name": last, "parent": self.category(above) if above else None}
        try:
            [made] = self._client.create(CATEGORY, [columns])
        except Uncertain as lost:
            self._categories = None
            there = self._known().get(name)
            if there is None:
                raise Uncertain(f"the category {name!r} may or may not have been created: {lost}") from lost
            return int(there["id"])
        self._known()[name] = {"id": made, "rec_name": name}
        return made

    # -- countries

    def countries(self) -> list[Row]:
        """All countries: id, name, code."""
        if self._countries is None:
            self._countries = self._client.rows("country.country", [], ["name", "code", "code3"])
        return self._countries

    def country(self, name: str, code: str) -> int | None:
        """The country of that name (or code in place of a name), else of that code; None where Tryton has none."""
        if not name and not code:
            return None
        wanted = fold(name)
        for row in self.countries():
            if wanted and wanted in {fold(str(row[column])) for column in ("name", "code", "code3") if row.get(column)}:
                return int(row["id"])
        return next((int(row["id"]) for row in self.countries() if code and row.get("code") == code), None)

    def region(self, country: int | None, name: str) -> int | None:
        """The region of that name or code in a country, of the types that Tryton takes in addresses there."""
        if country is None or not name:
            return None
        if country not in self._regions:
            rows = self._client.rows("country.subdivision", [["country", "=", country]], ["name", "code", "type"])
            types = self._types(country)
            self._regions[country] = [row for row in rows if not types or row["type"] in types]
        wanted = fold(name)
        for row in self._regions[country]:
            code = str(row.get("code") or "")
            if wanted in {fold(str(row["name"])), fold(code), fold(code.partition("-")[2])}:
                return int(row["id"])
        return None

    def _types(self, country: int) -> list[str]:
        code = next((row.get("code") for row in self.countries() if row["id"] == country), None)
        rows = self._client.rows("party.address.subdivision_type", [["country_code", "=", code]], ["types", "active"])
        return [kind for row in rows if row["active"] for kind in row["types"] or ()]

    # -- columns

    def resolved(self, columns: Mapping[str, Any], remembered: Mapping[str, str]) -> dict[str, Any]:
        """The columns of a party as Tryton takes them: ids in place of names.

        remembered: the names of the categories that the party is in, by id.
        """
        found = dict(columns)
        if mapping.ADDRESSES in found:
            found[mapping.ADDRESSES] = [self._command(command) for command in found[mapping.ADDRESSES]]
        if mapping.CATEGORIES in found:
            joined, left = found[mapping.CATEGORIES]
            folded = {name.casefold() for name in left}
            gone = [int(key) for key, name in remembered.items() if name.casefold() in folded]
            commands = [["add", self._all(joined)]] if joined else []
            found[mapping.CATEGORIES] = commands + ([["remove", gone]] if gone else [])
        return found

    def _all(self, names: Iterable[str]) -> list[int]:
        return [self.category(name) for name in names]

    def _command(self, command: list[Any]) -> list[Any]:
        if command[0] == "create":
            filled = [self._address(columns) for columns in command[1]]
            return ["create", [{name: value for name, value in row.items() if value is not None} for row in filled]]
        if command[0] == "write":
            return [*command[:2], self._address(command[2])]
        return command

    def _address(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(columns)
        if COUNTRY in found:
            found[COUNTRY] = self.country(*found[COUNTRY])
            found[SUBDIVISION] = self.region(found[COUNTRY], found.get(SUBDIVISION) or "")
        return found
