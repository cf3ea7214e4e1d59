"""The query language of QuickBooks Online as the sandbox understands it: one entity, `and` only, `in`, comparisons,
`like`, `orderby`, `startposition`, `maxresults`, `count(*)` (accounting note, part B; Intuit, "Query operations")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

Row = Mapping[str, Any]
Values = list[str | bool]

DEFAULT, MOST = 100, 1000
"""Rows without `maxresults`, and with the highest that is taken (note)."""

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|[^'\\])*')|(?P<sign><=|>=|[=<>(),*])|(?P<word>[A-Za-z0-9_.+-]+(?:\(\*\))?))", re.DOTALL
)
_SIGNS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
}


class Malformed(Exception):
    """A statement that QuickBooks would not parse."""


@dataclass
class Select:
    """A statement, parsed. where: (property, operator, values), all of which must hold."""

    entity: str
    counts: bool = False
    where: list[tuple[str, str, Values]] = field(default_factory=list)
    orderby: str = ""
    descending: bool = False
    start: int = 1
    most: int = DEFAULT

    def matches(self, row: Row) -> bool:
        return all(_holds(_value(row, name), sign, values) for name, sign, values in self.where)

    def asks(self, name: str) -> bool:
        """Does a condition name this property?"""
        return any(asked.casefold() == name.casefold() for asked, _, _ in self.where)

    def page(self, rows: list[Row]) -> list[Row]:
        """The rows of this page, in order; without one, by Id (Intuit: "Sort order is ASC by default")."""
        name = self.orderby or "Id"
        rows = sorted(rows, key=lambda row: _comparable(_value(row, name)), reverse=self.descending)
        return rows[self.start - 1 : self.start - 1 + self.most]


class _Parser:
    def __init__(self, statement: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(statement.rstrip()):
            match = _TOKEN.match(statement, at)
            if match is None:
                raise Malformed(f"Encountered {statement[at : at + 20]!r}")
            self.tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            at = match.end()

    def peek(self) -> str:
        return self.tokens[0][1].casefold() if self.tokens else ""

    def take(self, *expected: str) -> str:
        if not self.tokens or (expected and self.peek() not in expected):
            raise Malformed(f"Encountered {self.peek() or 'the end'!r}, expected {expected or 'something'}")
        return self.tokens.pop(0)[1]

    def value(self) -> str | bool:
        kind, text = self.tokens[0] if self.tokens else ("", "")
        self.take()
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        return text.casefold() == "true" if text.casefold() in ("true", "false") else text

    def number(self) -> int:
        text = self.take()
        if not text.isdigit() or int(text) < 1:
            raise Malformed(f"{text} is no position")
        return int(text)


def parse(statement: str) -> Select:
    """A select statement. Raises Malformed."""
    parser = _Parser(statement)
    parser.take("select")
    what = parser.take("*", "count", "count(*)")
    if what.casefold() == "count":
        for sign in ("(", "*", ")"):
            parser.take(sign)
    parser.take("from")
    select = Select(parser.take(), counts=what != "*")
    if parser.peek() == "where":
        parser.take()
        select.where.append(_condition(parser))
        while parser.peek() == "and":
            parser.take()
            select.where.append(_condition(parser))
    if parser.peek() == "orderby":
        parser.take()
        select.orderby = parser.take()
        if parser.peek() in ("asc", "desc"):
            select.descending = parser.take().casefold() == "desc"
    if parser.peek() == "startposition":
        parser.take()
        select.start = parser.number()
    if parser.peek() == "maxresults":
        parser.take()
        select.most = min(parser.number(), MOST)
    if parser.tokens:
        raise Malformed(f"Encountered {parser.peek()!r}")
    return select


def _condition(parser: _Parser) -> tuple[str, str, Values]:
    name = parser.take()
    sign = parser.take("=", "<", ">", "<=", ">=", "in", "like").casefold()
    if sign != "in":
        return name, sign, [parser.value()]
    parser.take("(")
    values = [parser.value()]
    while parser.peek() == ",":
        parser.take()
        values.append(parser.value())
    parser.take(")")
    return name, sign, values


def _value(row: Any, name: str) -> Any:
    """A property by its path, in any case ("Metadata.LastUpdatedTime")."""
    for step in name.split("."):
        if not isinstance(row, Mapping):
            return None
        row = next((value for key, value in row.items() if key.casefold() == step.casefold()), None)
    return row


def _holds(value: Any, sign: str, values: Values) -> bool:
    if value is None:
        return False
    if sign == "like":
        pattern = ".*".join(map(re.escape, str(values[0]).split("%")))
        return re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None
    if sign == "in":
        return any(_holds(value, "=", [one]) for one in values)
    left, right = _comparable(value), _comparable(values[0])
    if isinstance(left, str) or isinstance(right, str):
        left, right = str(value).casefold(), str(values[0]).casefold()
    return type(left) is type(right) and _SIGNS[sign](left, right)


def _comparable(value: Any) -> Any:
    """Times as times, numbers as numbers, texts without case."""
    if isinstance(value, bool):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        pass
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value).casefold()
    return found if found.tzinfo else str(value)
