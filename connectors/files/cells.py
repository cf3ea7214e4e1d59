"""The text of one cell: cleaned, split, read as a list, a date, a kind. Pure."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_BLANKS: Final = frozenset({"", "-", "--", "---", "–", "—", "n/a", "#n/a", "none", "\\n"})
_INVISIBLE: Final = re.compile("[\u00ad\u200b\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ODD_SPACE: Final = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


def clean(text: str) -> str:
    """A cell as a reader sees it: trimmed, NFC, no-break spaces as spaces, zero-width characters gone; "" for the
    words that stand for nothing ("N/A", "-", "none"; spreadsheets note, "Cell traps")."""
    if not (text.isascii() and text.isprintable()):
        text = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        text = unicodedata.normalize("NFC", _ODD_SPACE.sub(" ", text))
    text = text.strip()
    # "NULL" is what databases write; Null is a surname.
    return "" if len(text) < 5 and (text.lower() in _BLANKS or text == "NULL") else text


def as_written(text: str) -> str:
    """A cell of our own export, which needs no guessing: as it stands, nothing for white space alone."""
    return text if text.strip() else ""


# --- text that a spreadsheet would run as a formula ------------------------------------------------------------

_RUNS: Final = re.compile(r"'*[=+\-@\t\r]")
_SHIELDED: Final = re.compile(r"'+[=+\-@\t\r]")


def shield(text: str) -> str:
    """Text that no spreadsheet runs as a formula when it opens a CSV file: an apostrophe goes before = + - @ TAB CR
    (spreadsheets note, "Write"). `unshield` takes exactly that one away again."""
    return "'" + text if _RUNS.match(text) else text


def unshield(text: str) -> str:
    """The text that was shielded; other text as it is."""
    return text[1:] if _SHIELDED.match(text) else text


# --- several values in one cell --------------------------------------------------------------------------------

_LISTED: Final = re.compile(r'\s*("(?:[^"]|"")*"|[^;,\n]+)\s*(?:[;,\n]|\Z)')
_OWN_LISTED: Final = re.compile(r'("(?:[^"]|"")*"|[^;]+)(?:; |\Z)')
_ONE_EMAIL: Final = re.compile(r"[^\s;,/|<>@:]+@[^\s;,/|<>@:]+\Z")
_ONE_PHONE: Final = re.compile(r"[+(]?\d[\d ().-]*\Z")
_PHONE_SLASH: Final = re.compile(r"(?<=\d)\s*/\s*(?=\+|00|0\d{2,})")


def listed(text: str, own: bool = False) -> Iterator[str]:
    """The items of a list in a cell (`a; b`, `"a","b"`); own: as `list_text` writes it."""
    for match in (_OWN_LISTED if own else _LISTED).finditer(text):
        item = match[1]
        if item.startswith('"') and item.endswith('"') and len(item) > 1:
            item = item[1:-1].replace('""', '"')
        item = item if own else clean(item)
        if item:
            yield item


def list_text(items: Iterable[str]) -> str:
    """Items in one cell, so that `listed(…, own=True)` gives the same items."""
    quoted = ('"' + item.replace('"', '""') + '"' if ";" in item or '"' in item else item for item in items)
    return "; ".join(item for item in quoted if item)


def emails(text: str) -> list[str] | None:
    """The addresses in a cell; None where something else is in it."""
    if _ONE_EMAIL.match(text):
        return [text]
    found = []
    for piece in re.split(r"[;,|\n]|\s/\s|\s+(?=\S+@)", re.sub(r'("[^"]*"|[^;,|\n<]*)<([^>]*)>', r"\2;", text)):
        address = piece.strip(" \t<>/").removeprefix("mailto:")
        if address and ("@" not in address[1:-1] or re.search(r"\s", address)):
            return None
        if address and address not in found:
            found.append(address)
    return found or None


def phones(text: str) -> list[str] | None:
    """The numbers in a cell as they are written; None where one has no digit.

    A slash divides two numbers only where both sides are whole numbers: 0351/123456 is one.
    """
    if _ONE_PHONE.match(text):
        return [text]
    found = []
    for piece in re.split(r"[;\n|]|,\s", text):
        halves = _PHONE_SLASH.split(piece)
        whole = all(sum(map(str.isdigit, half)) > 6 for half in halves)
        for number in halves if whole else [piece]:
            number = number.strip().removeprefix("tel:")
            if number and not any(map(str.isdigit, number)):
                return None
            if number and number not in found:
                found.append(number)
    return found or None


# --- dates -----------------------------------------------------------------------------------------------------

Date = dict[str, int]

_MONTH_NAMES: Final = (
    ("jan", "januar", "january", "jänner"),
    ("feb", "februar", "february"),
    ("mar", "mär", "märz", "maerz", "mrz", "march"),
    ("apr", "april"),
    ("may", "mai"),
    ("jun", "juni", "june"),
    ("jul", "juli", "july"),
    ("aug", "august"),
    ("sep", "sept", "september"),
    ("oct", "okt", "oktober", "october"),
    ("nov", "november"),
    ("dec", "dez", "dezember", "december"),
)
_MONTHS: Final = {name: month for month, names in enumerate(_MONTH_NAMES, 1) for name in names}
_CLOCK: Final = r"(?:[T ]\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?(?: ?[AaPp][Mm])?(?:Z|[+-]\d\d:?\d\d)?)?"
_SURE: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<year>\d{{4}})[-/](?P<month>\d{{1,2}})(?:[-/](?P<day>\d{{1,2}}){_CLOCK})?\Z",
        r"(?P<year>\d{4})(?:(?P<month>\d\d)(?P<day>\d\d))?\Z",
        r"--(?P<month>\d\d)(?:-?(?P<day>\d\d))?\Z",
        r"---(?P<day>\d\d)\Z",
        rf"(?P<day>\d{{1,2}})\. ?(?P<month>\d{{1,2}})\.(?: ?(?P<year>\d{{4}}){_CLOCK})?\Z",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[. -]+(?P<name>[^\W\d]{3,})\.?,?(?:[ -](?P<year>\d{4}))?\Z",
        r"(?P<name>[^\W\d]{3,})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>\d{4}))?\Z",
    )
)
_EITHER: Final = re.compile(rf"(\d{{1,2}})[/-](\d{{1,2}})(?:[/-](\d{{4}}){_CLOCK})?\Z")
_NO_DATE: Final = re.compile(r"0{1,2}([/.-])0{1,2}\1?(0{0,4})\Z")


def no_date(text: str) -> bool:
    """Outlook writes 0/0/00 where there is no date."""
    return _NO_DATE.match(text) is not None


def day_month(text: str) -> tuple[int, int] | None:
    """The two numbers of a date whose order nobody tells (03/07/1980, 03/07); None for every other text."""
    match = _EITHER.match(text)
    return (int(match[1]), int(match[2])) if match else None


def date(text: str, order: str | None = None) -> Date | None:
    """A date that can be read for sure, perhaps in part: {year?, month?, day?}; None otherwise.

    order: "dmy" or "mdy" for 03/07/1980, None where it is not known. Years of two digits are never sure.
    """
    for pattern in _SURE:
        if match := pattern.match(text):
            parts = match.groupdict()
            if "name" in parts:
                parts["month"] = str(_MONTHS.get(parts.pop("name").casefold(), 0))
            return _valid({part: int(parts[part]) for part in ("year", "month", "day") if parts.get(part)})
    match = _EITHER.match(text)
    if match and order:
        first, second = int(match[1]), int(match[2])
        day, month = (first, second) if order == "dmy" else (second, first)
        return _valid(({"year": int(match[3])} if match[3] else {}) | {"month": month, "day": day})
    return None


def _valid(parts: Date) -> Date | None:
    month, year = parts.get("month", 1), parts.get("year", 2000)
    if not 1 <= month <= 12 or year < 1 or not 1 <= parts.get("day", 1) <= calendar.monthrange(year, month)[1]:
        return None
    return parts


def date_text(parts: Mapping[str, int]) -> str:
    """A date, whole or in part, as ISO 8601 writes it (1980-03-07, --03-07, 1980-03, 1980, ---07)."""
    year, month, day = (parts.get(part) for part in ("year", "month", "day"))
    if not (year or month or day):
        return ""
    middle = f"-{month:02d}" if month else "" if year else "-"
    return (f"{year:04d}" if year else "-") + middle + (f"-{day:02d}" if day else "")


# --- kinds: work, home, mobile, fax … --------------------------------------------------------------------------

_CONTEXTS: Final = {
    "work": "work business office company geschäftlich geschaeftlich geschaftlich dienstlich beruflich arbeit",
    "private": "home private personal privat zuhause",
    "billing": "billing rechnung",
    "delivery": "delivery shipping lieferung",
}
CONTEXT_WORDS: Final = {word: context for context, words in _CONTEXTS.items() for word in words.split()}
OTHER_WORDS: Final = frozenset(
    {"other", "weitere", "weiterer", "weiteres", "andere", "sonstige", "mailing", "alternate"}
)
_FEATURES: Final = {
    "mobile": "mobile cell cellular mobil handy",
    "fax": "fax",
    "pager": "pager",
    "main-number": "main",
    "voice": "voice",
    "text": "text",
    "video": "video",
    "textphone": "textphone",
}
FEATURE_WORDS: Final = {word: feature for feature, words in _FEATURES.items() for word in words.split()}


def kind(text: str, phone: bool = False) -> dict[str, Any]:
    """What a label says about an element: "Work Fax" is a context and a feature, what is not in our words stays a
    label."""
    contexts, features = {}, {}
    for word in text.casefold().split():
        if word in CONTEXT_WORDS:
            contexts[CONTEXT_WORDS[word]] = True
        elif phone and word in FEATURE_WORDS:
            features[FEATURE_WORDS[word]] = True
        elif word not in OTHER_WORDS and word not in ("phone", "telefon"):
            return {"label": text}
    found: dict[str, Any] = {"contexts": contexts, "features": features}
    return {prop: value for prop, value in found.items() if value}


_OWN_CONTEXT: Final = {"private": "home"}
_OWN_WORDS: Final = {"home": ("contexts", "private"), "work": ("contexts", "work")} | {
    feature: ("features", feature) for feature in _FEATURES
}


def kind_text(element: Mapping[str, Any]) -> str:
    """Contexts, features, preference and label of an element in one cell, as `own_kind` reads it."""
    words = [_own_word("contexts", _OWN_CONTEXT.get(name, name)) for name in element.get("contexts", ())]
    words += [_own_word("features", name) for name in element.get("features", ())]
    if element.get("kind"):
        words.append(f"kind={element['kind']}")
    if "pref" in element:
        words.append(f"preferred {element['pref']}")
    label = element.get("label")
    if label:
        plain = own_kind(label) == {"label": label}
        words.append(label if plain else '"' + label.replace('"', '""') + '"')
    return ", ".join(words)


def _own_word(prop: str, name: str) -> str:
    return name if name in _OWN_WORDS and _OWN_WORDS[name][0] == prop else f"{prop}={name}"


def own_kind(text: str) -> dict[str, Any]:
    """The reverse of `kind_text`."""
    found: dict[str, Any] = {}
    while text:
        word, _, rest = text.partition(", ")
        prop, equals, name = word.partition("=")
        if word in _OWN_WORDS:
            prop, name = _OWN_WORDS[word]
            found.setdefault(prop, {})[name] = True
        elif equals and name and prop in ("contexts", "features"):
            found.setdefault(prop, {})[name] = True
        elif equals and name and prop == "kind":
            found["kind"] = name
        elif re.fullmatch(r"preferred \d{1,3}", word):
            found["pref"] = int(word.removeprefix("preferred "))
        else:
            quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
            found["label"] = text[1:-1].replace('""', '"') if quoted else text
            break
        text = rest
    return found


_EVENTS: Final = {
    "birth": "birth",
    "birthday": "birth",
    "geburtstag": "birth",
    "wedding": "wedding",
    "death": "death",
} | {
    "anniversary": "wedding",
    "jahrestag": "wedding",
    "other": "other",
}


def event_kind(text: str) -> dict[str, str]:
    """What day it is: a kind that we know ("Anniversary", "death"), or the kind "other" with the text as its label;
    "wedding, at sea" is a kind and a label."""
    word, _, label = text.removeprefix("* ").partition(", ")
    kind = _EVENTS.get(word.casefold())
    if kind is None:
        kind, label = "other", text.removeprefix("* ")
    return {"kind": kind, "label": label} if label else {"kind": kind}


def event_text(element: Mapping[str, Any]) -> str:
    """The reverse of `event_kind`."""
    kind, label = element.get("kind", "other"), element.get("label")
    return f"{kind}, {label}" if label else str(kind)
