"""The query language of the sandbox: VTQL as a live vTiger 8.2 takes it (vtiger note A4, transcripts 04 and 07).

    SELECT * | column, … | count(*) FROM Module
        [WHERE condition] [ORDER BY column, … [ASC | DESC]] [LIMIT [offset,] n] ;

No parentheses but those of IN, no IS NULL, no NOT; AND binds tighter than OR; one direction for the whole order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, TypeVar

LIMIT: Final = 100


class QueryError(Exception):
    """The query is refused with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def failed() -> QueryError:
    """What anything that makes bad SQL is answered with (transcript 04, "double quotes")."""
    return QueryError("INTERNAL_SERVER_ERROR", "Unknown Error while processing request")


@dataclass(frozen=True)
class Condition:
    """column operator values; `values` are literals as written, with their quotes."""

    column: str
    operator: str
    values: tuple[str, ...]


@dataclass
class Query:
    """A parsed query. where: groups joined by OR, of conditions joined by AND."""

    columns: list[str]
    module: str = ""
    where: list[list[Condition]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    descending: bool = False
    offset: int = 0
    limit: int = LIMIT

    @property
    def counts(self) -> bool:
        return self.columns == ["count(*)"]


# --- parsing -------------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(r"\s*('(?:''|[^'])*'|\"[^\"]*\"|<=|>=|!=|[=<>(),;*]|[^\s'\"=<>!(),;*]+|\S)")
_OPERATORS: Final = {"=": "EQ", "<": "LT", ">": "GT", "<=": "LTE", ">=": "GTE", "!=": "NE"}
_SIGNS: Final = {",": "COMMA", ";": "SEMICOLON", "(": "PARENOPEN", ")": "PARENCLOSE", "*": "ASTERISK", **_OPERATORS}
_AFTER_COLUMN: Final = "EQ,LT,GT,LTE,GTE,NE,IN,LIKE"


class _Parser:
    """One pass over the tokens; the wording of its complaints is the live server's."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._at = 0

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _word(self) -> str:
        return self._next().lower()

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _unexpected(self, expected: str, kind: str = "COLUMNNAME") -> QueryError:
        token = self._next()
        if not token:
            last = self._tokens[-1] if self._tokens else ""
            text = f"token '{last}' Unexpected End of Input(0)"
        else:
            text = f"token '{token}' Unexpected {_SIGNS.get(token, kind)}({token})"
        return QueryError("QUERY_SYNTAX_ERROR", f"Syntax Error on line 1: {text}, expected one of: {expected}")

    def _expect(self, word: str, name: str, kind: str = "COLUMNNAME") -> None:
        if self._word() != word:
            raise self._unexpected(name, kind)
        self._take()

    def _name(self) -> str:
        if not re.fullmatch(r"[A-Za-z_][\w.]*", self._next()):
            raise self._unexpected("COLUMNNAME")
        return self._take()

    def parse(self) -> Query:
        self._expect("select", "SELECT", "Unknown")
        query = Query(self._columns())
        self._expect("from", "FRM")
        query.module = self._name()
        if self._word() == "where":
            self._take()
            query.where = self._conditions()
        if self._word() == "order":
            self._take()
            self._expect("by", "ORDERBY")
            query.order = self._names()
            if self._word() in ("asc", "desc"):
                query.descending = self._take().lower() == "desc"
        if self._word() == "limit":
            self._take()
            self._limit(query)
        self._expect(";", "SEMICOLON")
        if self._next():
            raise self._unexpected("")
        return query

    def _columns(self) -> list[str]:
        if self._next() == "*":
            return [self._take()]
        if self._word() == "count":
            for sign, name in (("count", ""), ("(", "PARENOPEN"), ("*", "ASTERISK"), (")", "PARENCLOSE")):
                self._expect(sign, name)
            return ["count(*)"]
        return self._names()

    def _names(self) -> list[str]:
        names = [self._name()]
        while self._next() == ",":
            self._take()
            names.append(self._name())
        return names

    def _conditions(self) -> list[list[Condition]]:
        groups = [[self._condition()]]
        while self._word() in ("and", "or"):
            if self._take().lower() == "or":
                groups.append([])
            groups[-1].append(self._condition())
        return groups

    def _condition(self) -> Condition:
        column = self._name()
        operator = self._word()
        if operator not in {*_OPERATORS, "in", "like"}:
            raise self._unexpected(_AFTER_COLUMN, "VALUE")
        self._take()
        if self._next() != "(":
            return Condition(column, operator, (self._value(),))
        self._take()
        values = [self._value()]
        while self._next() == ",":
            self._take()
            values.append(self._value())
        self._expect(")", "PARENCLOSE")
        return Condition(column, operator, tuple(values))

    def _value(self) -> str:
        if not self._next() or self._next() in _SIGNS:
            raise self._unexpected("VALUE")
        return self._take()

    def _limit(self, query: Query) -> None:
        numbers = [self._value()]
        if self._next() == ",":
            self._take()
            numbers.append(self._value())
        if not all(number.isdigit() for number in numbers):
            raise failed()
        *offset, limit = map(int, numbers)
        query.offset, query.limit = sum(offset), min(limit, LIMIT)


def parse(text: str) -> Query:
    """Raises QueryError."""
    return _Parser(text).parse()


# --- matching ------------------------------------------------------------------------------------------------------

Row = TypeVar("Row")
Test = Callable[[Row], bool]


def literal(value: str) -> str:
    """The text of a literal. Raises QueryError where the live server's SQL breaks: empty and double-quoted text."""
    if value.startswith("'"):
        text = value[1:-1].replace("''", "'")
        if not text or text.endswith("\\"):
            raise failed()
        return re.sub(r"\\(.)", r"\1", text)
    if value.startswith('"'):
        raise failed()
    return value


def text_test(get: Callable[[Row], str], operator: str, values: Sequence[str]) -> Test[Row]:
    """Compare texts as the usual collation does, without letter case."""
    wanted = [value.casefold() for value in values]
    if operator == "in":
        several = frozenset(wanted)
        return lambda row: get(row).casefold() in several
    if operator == "like":
        pattern = re.compile(_like(wanted[0]), re.DOTALL)
        return lambda row: pattern.fullmatch(get(row).casefold()) is not None
    return _compared(operator, lambda row: get(row).casefold(), wanted[0])


def time_test(get: Callable[[Row], str], operator: str, values: Sequence[str]) -> Test[Row]:
    """Compare times as MySQL does: a bare date is midnight, T and Z are borne, a number is 0."""
    times = [re.sub(r"[TZ]", " ", value).strip() for value in values]
    bounds = ["" if time.isdigit() else f"{time} 00:00:00" if len(time) == 10 else time for time in times]
    if operator == "in":
        return lambda row: get(row) in bounds
    return _compared(operator, get, bounds[0])


def number_test(get: Callable[[Row], int], operator: str, values: Sequence[int]) -> Test[Row]:
    """Compare the numbers of ids."""
    if operator == "in":
        several = frozenset(values)
        return lambda row: get(row) in several
    return _compared("=" if operator == "like" else operator, get, values[0])


_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def _compared(operator: str, get: Callable[[Row], Any], wanted: Any) -> Test[Row]:
    compare = _COMPARE[operator]
    return lambda row: compare(get(row), wanted)


def _like(pattern: str) -> str:
    return "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)


def either(groups: Iterable[Sequence[Test[Row]]]) -> Test[Row]:
    """Any group, all of whose tests pass."""
    tests = [list(group) for group in groups]
    if not tests:
        return lambda row: True
    return lambda row: any(all(test(row) for test in group) for group in tests)
