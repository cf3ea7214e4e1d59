"""What the sandbox stores: Tryton's models as far as the connector meets them, in memory, with the server's own rules.

Rules cite the observation of the live server 8.2 ("L"), or the file of trytond and its modules that has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import ge, gt, le, lt
from typing import Any, Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from connectors.tryton.models import MODELS, STREET, Model

Row = dict[str, Any]
Domain = Sequence[Any]


class Failure(Exception):
    """An error of JSON-RPC: `args` are its class and its arguments (exceptions.py)."""


def user_error(message: str, description: str = "") -> Failure:
    return Failure("UserError", [message, description, None])


LOGGED: Final = "party."
TYPES: Final = ("phone", "mobile", "fax", "email", "website", "skype", "sip", "irc", "jabber", "other")


class Store:
    """The database. Rows are never changed in place, so that a transaction is undone by putting the old tables back.

    now: the server's time, aware; all that one transaction writes has the time of its beginning.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.tables: dict[str, dict[int, Row]] = {name: {} for name in MODELS}
        self._next = dict.fromkeys(MODELS, 1)
        self.at = now()

    def within(self, work: Callable[[], Any]) -> Any:
        """One transaction: all of it, or nothing."""
        before = {name: dict(table) for name, table in self.tables.items()}
        self.at = max(self._now(), self.at + MOMENT)
        try:
            return work()
        except Failure:
            self.tables = before
            raise

    def model(self, name: str) -> Model:
        """Raises Failure as the server fails at a model that no module has (L: `["'name'", ""]`)."""
        if name not in MODELS:
            raise Failure(repr(name), "")
        return MODELS[name]

    # --- searching and reading ---------------------------------------------------------------------------------------

    def search(self, name: str, domain: Domain, *, active: bool = True) -> list[int]:
        """The ids that match, ascending. active: without archived ones, unless the domain speaks of them (L)."""
        self.model(name)
        hidden = active and "active" in MODELS[name].plain and not _speaks(domain)
        return [
            number
            for number, row in sorted(self.tables[name].items())
            if not (hidden and not row["active"]) and self._matches(name, row, domain, active)
        ]

    def _matches(self, name: str, row: Row, domain: Domain, active: bool) -> bool:
        if not domain:
            return True
        if domain[0] in ("AND", "OR"):
            verdicts = (self._matches(name, row, clause, active) for clause in domain[1:])
            return any(verdicts) if domain[0] == "OR" else all(verdicts)
        if isinstance(domain[0], str):
            path, operator, wanted = domain
            return any(_holds(value, operator, wanted) for value in self._values(name, row, path, active))
        return all(self._matches(name, row, clause, active) for clause in domain)

    def _values(self, name: str, row: Row, path: str, active: bool) -> Iterator[Any]:
        head, _, rest = path.partition(".")
        if not rest:
            yield self.value(name, row, head, raw=True)
            return
        target, rows = self._shown(name, row, head, active)
        for other in rows:
            yield from self._values(target, other, rest, active)

    def _related(self, name: str, row: Row, column: str) -> tuple[str, list[Row]]:
        """The model that a field refers to, and its rows."""
        model = MODELS[name]
        if column in model.lists:
            target, back = model.lists[column]
            found = [other for other in self.tables[target].values() if other[back] == row["id"]]
            return target, sorted(found, key=_ordered)
        if column in model.many:
            target = model.many[column]
            return target, [self.tables[target][key] for key in row[column] if key in self.tables[target]]
        if column not in model.refs:
            raise Failure(repr(column), "")
        target = model.refs[column]
        return target, [self.tables[target][row[column]]] if row.get(column) in self.tables[target] else []

    def value(self, name: str, row: Row, column: str, *, raw: bool = False) -> Any:
        """What a field of a row shows. raw: as a search sees it."""
        if column == "_timestamp":
            return f"{row['write_date'].timestamp():.6f}".rstrip("0")
        if column == "rec_name":
            return self._rec_name(name, row)
        if column == "street" and name == "party.address":
            return street(row)
        if name == "ir.model.log" and column == "resource" and not raw:
            # L: the reference to a record that is gone reads as empty, although it can be searched for.
            model, _, number = row[column].partition(",")
            return row[column] if int(number) in self.tables.get(model, {}) else None
        if column not in row:
            raise Failure(repr(column), "")
        return row[column]

    def _rec_name(self, name: str, row: Row) -> str:
        parent = self.tables[name].get(row.get("parent") or 0)
        return f"{self._rec_name(name, parent)} / {row['name']}" if parent else str(row["name"])

    def read(self, name: str, ids: Iterable[int], columns: Sequence[str], *, active: bool = True) -> list[Row]:
        """The fields of these rows; of a related row under `field.` (L)."""
        missing = [number for number in ids if number not in self.tables[name]]
        if missing:
            raise user_error(_missing("read records", name, missing))
        return [self._read(name, self.tables[name][number], columns, active) for number in ids]

    def _read(self, name: str, row: Row, columns: Sequence[str], active: bool) -> Row:
        model, found, nested = MODELS[name], {"id": row["id"]}, dict[str, list[str]]()
        for column in columns:
            head, _, rest = column.partition(".")
            if rest:
                nested.setdefault(head, []).append(rest)
            elif head in model.lists or head in model.many:
                found[head] = [other["id"] for other in self._shown(name, row, head, active)[1]]
            else:
                found[head] = self.value(name, row, head)
        for head, rest_of in nested.items():
            target, rows = self._shown(name, row, head, active)
            read = [self._read(target, other, rest_of, active) for other in rows]
            found[head + "."] = read if head in model.lists or head in model.many else (read[0] if read else None)
        return found

    def _shown(self, name: str, row: Row, column: str, active: bool) -> tuple[str, list[Row]]:
        target, rows = self._related(name, row, column)
        if column not in MODELS[name].lists or not active:
            return target, rows  # L: a party shows archived categories, too
        return target, [other for other in rows if other.get("active", True)]

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, name: str, values: Mapping[str, Any]) -> int:
        """A new row. Fields that are not given are empty, `active` is on."""
        model = self.model(name)
        number = self._next[name]
        self._next[name] += 1
        row: Row = {column: [] if column in model.many else None for column in model.columns}
        row |= {"id": number, "create_date": self.at, "write_date": self.at}
        if "active" in model.plain:
            row["active"] = True
        if name == "party.party" and not values.get("code"):
            values = {**values, "code": str(number)}
        self.tables[name][number] = row
        self._set(name, number, values)
        return number

    def write(self, name: str, ids: Sequence[int], values: Mapping[str, Any], stamps: dict[str, str]) -> None:
        """Change rows. stamps: what their timestamps must be (modelsql.py, `__check_timestamp`)."""
        self._check(name, ids, stamps)
        missing = [number for number in ids if number not in self.tables[name]]
        if missing:
            raise user_error(_missing("write to records", name, missing))
        if name == "party.party" and "code" in values:
            raise user_error('You are not allowed to modify the field "Code" in record "" of "Party".')
        for number in ids:
            row = self.tables[name][number]
            if name != "party.party" and "party" in values and values["party"] != row.get("party"):
                raise user_error(f'You cannot change the party of contact mechanism "{row.get("value")}".')
            self._writable(name, number, values)
            self._set(name, number, values, stamps)
            self.log(name, number, "write", ",".join(sorted(values)))

    def _writable(self, name: str, number: int, values: Mapping[str, Any]) -> None:
        """Nothing but `active` can be written of what is archived, and not even that of who was merged (L)."""
        if self.tables[name][number].get("replaced_by") and "active" in values:
            raise user_error('You are not allowed to modify the field "Active" in record "" of "Party".')
        if not self.tables[name][number].get("active", True):
            for column in values:
                if column != "active":
                    title, model = column.replace("_", " ").title(), MODELS[name].title
                    raise user_error(f'You are not allowed to modify the field "{title}" in record "" of "{model}".')

    def delete(self, name: str, ids: Sequence[int], stamps: dict[str, str]) -> None:
        """Remove rows and what hangs on them. A row that is not there is no error (L)."""
        self._check(name, ids, stamps)
        for number in ids:
            row = self.tables[name].get(number)
            if row is None:
                continue
            self._used(name, number)
            self.log(name, number, "delete")
            for target, back in MODELS[name].lists.values():
                for other in [key for key, child in self.tables[target].items() if child[back] == number]:
                    self._used(target, other)
                    del self.tables[target][other]
            del self.tables[name][number]
            if name == "party.category":  # the links go with it, silently (party.py, `ondelete='CASCADE'`)
                for party in self.tables["party.party"].values():
                    if number in party["categories"]:
                        left = [key for key in party["categories"] if key != number]
                        self.tables["party.party"][party["id"]] = {**party, "categories": left}

    def _used(self, name: str, number: int) -> None:
        for invoice in self.tables["account.invoice"].values():
            for column, title in (("party", "Party"), ("invoice_address", "Invoice Address")):
                if MODELS["account.invoice"].refs[column] == name and invoice[column] == number:
                    raise user_error(
                        f'The records could not be deleted because they are used by field "{title}" of '
                        '"Account Invoice".'
                    )

    def _check(self, name: str, ids: Iterable[int], stamps: dict[str, str]) -> None:
        for number in ids:
            stamp = stamps.pop(f"{name},{number}", None)
            row = self.tables[name].get(number)
            if stamp is not None and row is not None and self.value(name, row, "_timestamp") != stamp:
                raise Failure("ConcurrencyException", "Records were modified in the meanwhile")

    def log(self, name: str, number: int, event: str, target: str | None = None) -> None:
        """What users do is logged (modelstorage.py, `log`)."""
        if name.startswith(LOGGED):
            entry = {"event": event, "target": target, "user": 1, "resource": f"{name},{number}"}
            self.create("ir.model.log", entry)

    def _set(self, name: str, number: int, values: Mapping[str, Any], stamps: dict[str, str] | None = None) -> None:
        model = MODELS[name]
        row = {**self.tables[name][number], "write_date": self.at}
        later: list[tuple[str, Any]] = []
        for column, value in values.items():
            if column in model.lists:
                later.append((column, value))
            elif column in model.many:
                row[column] = _linked(row[column], value or (), self.tables[model.many[column]])
            elif column == "street" and name == "party.address":
                if any(row[part] for part in STREET):
                    raise user_error(
                        'You are not allowed to modify the field "Street" in record "" of "Party Address".'
                    )
                row["street_unstructured"] = value
            elif column not in model.columns:
                raise Failure(repr(column), "")
            else:
                row[column] = self._clean(name, column, value)
        self.tables[name][number] = self._valid(name, row)
        for column, commands in later:
            for command in commands or ():
                self._command(model.lists[column], number, command, stamps if stamps is not None else {})

    def _clean(self, name: str, column: str, value: Any) -> Any:
        model = MODELS[name]
        if column in model.refs and value is not None and value not in self.tables[model.refs[column]]:
            raise user_error(f'The value "{value}" for field "{column}" of "{model.title}" does not exist.')
        if column not in model.chars or not isinstance(value, str):
            return value
        if re.search(r"[\t\n\r\x0b\x0c]", value):
            title = model.chars[column]
            raise user_error(
                f'The value "{value}" for field "{title}" in record "{value}" of "{model.title}" contains some '
                "invalid chars \"'\\n'\"."
            )
        return value if column in model.untrimmed else value.strip()

    def _command(self, relation: tuple[str, str], owner: int, command: Sequence[Any], stamps: dict[str, str]) -> None:
        target, back = relation
        verb, *given = command
        if verb == "create":
            for values in given[0]:
                self.create(target, {**values, back: owner})
        elif verb == "write":
            for ids, values in zip(given[::2], given[1::2], strict=True):
                self.write(target, ids, values, stamps)
        elif verb == "delete":
            self.delete(target, given[0], stamps)
        else:
            raise Failure(f"bad command {verb}", "")

    # --- validation --------------------------------------------------------------------------------------------------

    def _valid(self, name: str, row: Row) -> Row:
        model = MODELS[name]
        for column in model.required:
            if row[column] in (None, ""):
                raise user_error(f'A value is required for field "{column.title()}" in record "" of "{model.title}".')
        if name == "party.contact_mechanism":
            return self._mechanism(row)
        if name == "party.category":
            self._category(row)
        if name == "party.address" and row["subdivision"]:
            part = self.tables["country.subdivision"][row["subdivision"]]
            if part["country"] != row["country"]:
                raise user_error(
                    f'The value "{part["name"]}" for field "Subdivision" in record "" of "Party Address" is not valid '
                    "according to its domain."
                )
        return row

    def _mechanism(self, row: Row) -> Row:
        """Numbers and e-mail addresses are formatted, then checked (contact_mechanism.py)."""
        kind, value = row["type"], row["value"]
        party = self.tables["party.party"][row["party"]]["name"] or ""
        if kind not in TYPES:
            raise user_error(
                f'The value "{kind}" for field "Type" in record "{value}" of "Party Contact Mechanism" is not one of '
                "the allowed options."
            )
        if kind in ("phone", "mobile", "fax"):
            number = self._number(row)
            if number is None:
                raise user_error(f'The phone number "{value}" for party "{party}" is not valid.')
            shown = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
            compact = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return {**row, "value": shown, "value_compact": compact}
        if kind == "email":
            try:
                value = validate_email(value, check_deliverability=False).normalized
            except EmailNotValidError as wrong:
                raise user_error(f'The email address "{value}" for party "{party}" is not valid.', str(wrong)) from None
        return {**row, "value": value, "value_compact": value}

    def _number(self, row: Row) -> phonenumbers.PhoneNumber | None:
        """A valid number, read as in the countries of the party's addresses, else as an international one."""
        addresses = [one for one in self.tables["party.address"].values() if one["party"] == row["party"]]
        codes = [self.tables["country.country"][one["country"]]["code"] for one in addresses if one["country"]]
        for code in [*codes, None]:
            try:
                number = phonenumbers.parse(row["value"], code)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                return number
        return None

    def _category(self, row: Row) -> None:
        if " / " in row["name"]:
            raise user_error(
                f'The value "{row["name"]}" for field "Name" in record "{row["name"]}" of "Party Category" is not '
                "valid according to its domain."
            )
        for other in self.tables["party.category"].values():
            if other["id"] != row["id"] and (other["name"], other["parent"]) == (row["name"], row["parent"]):
                raise user_error("The name of party category must be unique by parent.")


# --- small things ----------------------------------------------------------------------------------------------------

MOMENT: Final = timedelta(microseconds=1)
"""Two transactions never have the same time."""
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {">": gt, "<": lt, ">=": ge, "<=": le}


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "=":
        return bool(value == wanted)
    if operator == "!=":
        return bool(value != wanted)
    if operator == "in":
        return value in wanted
    if operator in ("like", "ilike"):
        flags = re.DOTALL | (re.IGNORECASE if operator == "ilike" else 0)
        pattern = ".*".join(map(re.escape, wanted.split("%")))
        return isinstance(value, str) and re.fullmatch(pattern, value, flags) is not None
    return value is not None and _COMPARE[operator](value, wanted)


def _speaks(domain: Domain) -> bool:
    """Does a domain say something about `active`?"""
    if domain and isinstance(domain[0], str) and domain[0] not in ("AND", "OR"):
        return bool(domain[0] == "active")
    return any(_speaks(clause) for clause in domain if isinstance(clause, list))


def _ordered(row: Row) -> tuple[bool, int, int]:
    """By sequence, those without one first, then by id (sequence_ordered)."""
    return row.get("sequence") is not None, row.get("sequence") or 0, row["id"]


def _linked(ids: Sequence[int], commands: Sequence[Any], known: Mapping[int, Row]) -> list[int]:
    found = list(ids)
    for verb, given in commands:
        if verb == "add":
            unknown = [key for key in given if key not in known]
            if unknown:
                raise user_error(_missing("add records", "party.category", unknown))
            found += [key for key in given if key not in found]
        else:
            found = [key for key in found if key not in given]
    return found


def _missing(verb: str, name: str, ids: Sequence[int]) -> str:
    listed = ", ".join(map(str, ids))
    return f'You are trying to {verb} "{listed}" of "{MODELS[name].title}" that don\'t exist.'


def street(row: Mapping[str, Any]) -> str | None:
    """The street as the default format has it, where there is any part of it (address.py). The live server has formats
    of their own for most countries."""
    part = {name: row[name] or "" for name in STREET}
    numbers = "/".join(part[name] for name in ("building_number", "unit_number", "floor_number", "room_number"))
    first = f"{part['street_name']} {part['building_name']} {numbers}"
    second = f"{part['post_box']} {part['private_bag']} {part['post_office']}"
    lines = (re.sub(r" +", " ", re.sub(r"/[\s/]*(/)", r"\1", line)).strip(" ,/–") for line in (first, second))
    return "\n".join(filter(None, lines)) or row["street_unstructured"]
