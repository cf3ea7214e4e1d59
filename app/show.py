"""How things look on a terminal: Rich tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from app.secrets import redact
from connectors.card import VALUE, Card, full_name, part

if TYPE_CHECKING:
    from app.core.policy import Policy
    from app.engine.plan import Item, Plan
    from app.engine.run import Report
    from app.store.people import Person

WIDE = 120
"""Columns of output that is no terminal: a file, a pipe, a CI log."""
LEAST = 12
"""Columns below which a text is not folded."""


_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
_CONTROLS |= dict.fromkeys([0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""What steers a terminal, or turns its writing round, and what is shown for it."""


def harmless(text: str) -> str:
    """What people and systems wrote, as it may be shown: it is read, and never obeyed."""
    return text if text.isascii() and text.isprintable() else text.translate(_CONTROLS)


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(harmless(text), **options)


def console(**options: Any) -> Console:
    """A console that shows what is printed as it is, brackets and colons too: only `styled` knows markup."""
    return _Console(highlight=False, markup=False, emoji=False, **options)


out = console(width=None if sys.stdout.isatty() else WIDE)
err = console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def styled(words: str, *values: object) -> Text:
    """Words in our own markup. Values stand for its {} as they are: people may call their firm [b]right[/]."""
    return Text.from_markup(words.format(*(escape(harmless(str(value))) for value in values)), emoji=False)


STATES = {"well": styled("[green]✓[/]"), "look": styled("[yellow]![/]"), "ill": styled("[red]✗[/]")}
OUTCOMES = {"done": "green", "held": "yellow", "waiting": "yellow", "busy": "yellow", "failed": "red", "paused": "red"}


def as_json(value: Any) -> None:
    """Print JSON, secrets hidden."""
    raw = orjson.dumps(redact(None, "", value), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.write(raw.decode() + "\n")


def complain(message: object) -> None:
    """Tell an error to a person."""
    err.print(styled("[red]✗[/] {}", redact(None, "", str(message))), soft_wrap=True)


def warn(message: object, to: Console = out) -> None:
    """Tell what somebody should look at."""
    to.print(styled("[yellow]![/] {}", message), soft_wrap=True)


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table; columns named in `numbers` are set to the right. Columns in which nothing stands are left out.
    Where the numbers would not fit beside each other, every row is a line of words."""
    body = [[*row] for row in rows]
    shown = [
        n for n, column in enumerate(columns) if not body or any(_tells(row[n], column in numbers) for row in body)
    ]
    if title:
        out.print(styled("[bold]{}[/]", title))
    if sum(_width(columns[n], [row[n] for row in body], columns[n] in numbers) + 2 for n in shown) - 2 > out.width:
        for row in body:
            out.print(_words([(columns[n], columns[n] in numbers, row[n]) for n in shown]))
        return
    made = Table(header_style="bold", box=None, pad_edge=False)
    for n in shown:
        right = columns[n] in numbers
        made.add_column(columns[n], justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in body:
        made.add_row(*(_cell(row[n]) for n in shown))
    out.print(made)


def _tells(value: Any, number: bool) -> bool:
    return bool(value) if number else value not in (None, "")


def _width(head: str, cells: Sequence[Any], number: bool) -> int:
    """The least that a column takes: of a number all of it, of a text so much that it can be read, folded."""
    width = max(len(head), *(_cell(cell).cell_len for cell in cells), 0)
    return width if number else min(width, LEAST)


def _words(cells: Sequence[tuple[str, bool, Any]]) -> Text:
    """A row as a line: crm done: 1,204 read, 3 new."""
    first, *texts = [_cell(value) for _, number, value in cells if not number and _tells(value, False)]
    counts = [f"{_cell(value)} {name}" for name, number, value in cells if number and value]
    head = Text(" ").join([styled("[bold]{}[/]", first), *texts])
    return head + Text(f": {', '.join(counts)}") if counts else head


def _cell(value: Any) -> Text:
    return value if isinstance(value, Text) else Text(harmless(_plain(value)))


def _plain(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        here = value.astimezone()
        return here.strftime("%H:%M:%S" if here.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")
    return str(value)


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """A progress line for each connection and phase; yields the function that the engine calls."""
    if quiet or not err.is_terminal:
        yield lambda connection, phase, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        tasks: dict[tuple[str, str], Any] = {}

        def tell(connection: str, phase: str, done: int, total: int | None) -> None:
            key = (connection, phase)
            if key not in tasks:
                tasks[key] = bar.add_task(f"{connection}: {phase}", total=total)
            bar.update(tasks[key], completed=done, total=total)

        yield tell


# --- runs


def reports(found: Sequence[Report]) -> None:
    """What a sync did, one line a connection (the rounds summed up)."""
    columns = ["connection", "outcome", *_COUNTED.values(), "seconds"]
    rows = []
    for name in dict.fromkeys(report.connection for report in found):
        own = [report for report in found if report.connection == name]
        counts = [sum(getattr(report.tally, key) for report in own) for key in _COUNTED]
        outcome = own[-1].outcome
        rows.append([name, Text(outcome, OUTCOMES[outcome]), *counts, f"{sum(r.tally.seconds for r in own):.2f}"])
    table(None, columns, rows, numbers=columns[2:])
    for report in {(r.connection, r.message): r for r in found if r.message}.values():
        warn(f"{report.connection}: {redact(None, '', report.message)}", err)
    if any(report.tally.aside or report.tally.refused for report in found):
        out.print(styled("What was set aside, and why: [bold]concord refused[/]"))


_COUNTED = {
    "pulled": "read",
    "people": "new",
    "linked": "known",
    "updated": "changed",
    "archived": "gone",
    "created": "created",
    "written": "updated",
    "deleted": "deleted",
    "conflicts": "clashes",
    "aside": "aside",
    "refused": "refused",
    "requests": "requests",
}


# --- plans


def plan(made: Plan, *, details: int = 20) -> None:
    """A forecast: what would come in, what would go out, and the first things in detail."""
    columns = ["connection", "reads", "new", "known", "changed", "clashes", "losses", "creates", "updates"]
    columns += ["deletes", "requests"]
    rows = [[f.connection, *(getattr(f, k) for k in _FORECAST)] for f in made.forecasts if not f.failed]
    if any(any(row[1:]) for row in rows):
        table("What would happen", columns, rows, numbers=columns[1:])
    for f in made.forecasts:
        if f.cannot_hold:
            kept = ", ".join(f"{field} of {number:,}" for field, number in f.cannot_hold.items())
            out.print(styled("[dim]{} cannot hold all {}; they stay in the card and elsewhere.[/]", f.connection, kept))
        if f.refused:
            warn(f"{f.connection}: {f.refused} records cannot be read and would be set aside")
        if f.aside:
            warn(f"{f.connection}: {f.aside} persons would not be made: records that cannot be read may be theirs")
        if f.held:
            warn(f.held)
        if f.failed:
            warn(f"{f.connection} is not in this plan: {redact(None, '', f.failed)}", err)
    _items(made.items, details)


_FORECAST = (
    "records",
    "people",
    "linked",
    "updated",
    "conflicts",
    "losses",
    "creates",
    "updates",
    "deletes",
    "requests",
)


def _items(items: Sequence[Item], details: int) -> None:
    written = [item for item in items if item.action != "link"]
    if not written:
        out.print("Nothing would be written.")
        return
    rows = [[item.connection, item.action, item.name, _values(item)] for item in written[:details]]
    table(None, ["connection", "what", "who", "values"], rows)
    if len(written) > details:
        more = f"{len(written) - details:,}"
        out.print(styled("[dim]… and {} more (--all shows them, --json everything)[/]", more))


def _values(item: Item) -> str:
    if item.action != "update":
        return ""
    words = []
    for path, before, after in item.values[:2]:
        parts = path.strip("/").split("/")
        label = parts[0] if len(parts) < 3 else f"{parts[0]} {parts[-1]}"
        words.append(
            f"{label}: {_short(before)} → {_short(after)}" if before is not None else f"{label}: {_short(after)}"
        )
    return "; ".join(words + (["…"] if len(item.values) > 2 else []))


def _short(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, Mapping) and value.keys() & {"year", "month", "day"}:
        return _date(value)
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= 32 else text[:31] + "…"


# --- people


def person_row(person: Person) -> list[Any]:
    """One line of a listing."""
    card = person.card
    return [
        person.uid[:8],
        full_name(card),
        _first(card, "emails"),
        _first(card, "phones"),
        _first(card, "organizations"),
    ]


def _first(card: Card, field: str) -> str:
    return next((str(e.get(VALUE[field], "")) for e in card.get(field, {}).values()), "")


def card_lines(card: Card) -> Iterator[tuple[str, str | Text]]:
    """A card as (what, value) lines."""
    name = card.get("name", {})
    yield "name", full_name(card)
    if part(name, "surname"):
        yield "", styled("[dim]given {}, surname {}[/]", part(name, "given") or "—", part(name, "surname"))
    for field in VALUE:
        for element in card.get(field, {}).values():
            yield field, _element(field, element)
    if card.get("keywords"):
        yield "keywords", ", ".join(card["keywords"])


def _element(field: str, element: Mapping[str, Any]) -> str | Text:
    value = element.get(VALUE[field], "")
    if field == "addresses":
        parts = [str(value).replace("\n", ", ")] + [
            part(element, k) for k in ("postcode", "locality", "region", "country")
        ]
        value = ", ".join(filter(None, parts)) or element.get("full", "")
    elif field == "anniversaries":
        value = _date(element.get("date", {}))
    marks = [*element.get("contexts", ()), *element.get("features", ()), element.get("label"), element.get("kind")]
    kinds = ", ".join(str(mark) for mark in marks if mark)
    return styled("{} [dim]({})[/]", value, kinds) if kinds else str(value)


def _date(date: Mapping[str, Any]) -> str:
    """A date, of which parts may be unknown: 1985-04-12, --04-12, 1985-04, 1985."""
    year, month, day = (date.get(part) for part in ("year", "month", "day"))
    known = [f"{year:04}" if year else "-", f"{month:02}" if month else "-", f"{day:02}" if day else ""]
    return "-".join(known).rstrip("-")


def policy(found: Policy) -> str:
    """A policy in a few words: what differs from the defaults."""
    words: list[str] = [found.direction]
    if found.ask or found.prefer:
        words.append("asks" if found.ask else f"prefers {', '.join(found.prefer)}")
    if found.deletes != "propagate":
        words.append({"archive": "archives the deleted", "ignore": "deletes nothing"}[found.deletes])
    return ", ".join(words)


def person(found: Mapping[str, Any]) -> None:
    """A person whole: card, links, conflicts, history."""
    facts = f"{found['uid']}, revision {found['rev']}, {found['state']}"
    out.print(styled("[bold]{}[/]  [dim]{}[/]", full_name(found["card"]), facts))
    table(None, ["", ""], list(card_lines(found["card"])))
    table(
        "\nLinked to",
        ["connection", "record", "state"],
        [[x["connection"], x["id"], x["state"]] for x in found["links"]],
    )
    if found["consent"]["said"]:
        rows = [[h["channel"], h["address"] or "(all)", _STANDS[h["state"]]] for h in found["consent"]["holds"]]
        table("\nConsent", ["channel", "address", "holds"], rows)
    if found["purchases"]:
        purchases(found["purchases"])
    if found["conflicts"]:
        conflicts([{**c, "name": "", "at": None} for c in found["conflicts"]])
    rows = [
        [c["at"], c["by"], c["path"] or "(all)", _short(c["before"]), _short(c["after"]), c["reason"]]
        for c in found["history"]
    ]
    table("\nHistory", ["when", "who", "what", "before", "after", "why"], rows)


def consent(found: Mapping[str, Any]) -> None:
    """What holds for each address of a person, and what was said."""
    out.print(styled("[bold]{}[/]  [dim]{}[/]", found["name"], found["uid"]))
    if not found["said"]:
        out.print("Nothing was ever said about contacting this person.")
        return
    rows = [[h["channel"], h["address"] or "(all)", _STANDS[h["state"]], h["since"]] for h in found["holds"]]
    table(None, ["channel", "address", "holds", "since"], rows)
    columns = ["when", "by", "channel", "address", "said", "on what it rests"]
    said = [
        [s["at"], s["by"], s["channel"], s["address"] or "(all)", s["state"], _basis(s["basis"], s["evidence"])]
        for s in found["said"]
    ]
    table("\nWhat was said", columns, said)


_STANDS = {
    "granted": styled("[green]may be contacted[/]"),
    "pending": styled("[yellow]asked, no answer yet[/]"),
    "undeliverable": styled("[yellow]does not arrive[/]"),
    "withdrawn": styled("[red]must not be contacted[/]"),
}


def _basis(basis: str, evidence: Mapping[str, str]) -> str:
    proof = ", ".join(f"{name}: {value}" for name, value in evidence.items() if value != basis)
    return f"{basis} ({proof})" if proof else basis


def purchases(rows: Sequence[Mapping[str, Any]]) -> None:
    """What a person bought."""
    columns = ["date", "number", "what", "total", "", "state", "where"]
    table(
        "\nBought",
        columns,
        [[p["date"], p["number"], _bought(p), p["total"], p["currency"], p["state"], p["connection"]] for p in rows],
        numbers=["total"],
    )


def _bought(purchase: Mapping[str, Any]) -> str:
    lines = [line["text"] for line in purchase["lines"] if line["text"]]
    kind = "" if purchase["kind"] == "invoice" else f"{purchase['kind']}: "
    return kind + (lines[0] + (f" and {len(lines) - 1} more" if len(lines) > 1 else "") if lines else "")


def conflicts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Conflicts, with both values."""
    if not rows:
        out.print("No conflict waits for you.")
        return
    columns = ["id", "who", "where", "what", "ours", "theirs", "kept"]
    table(
        "Conflicts",
        columns,
        [
            [c["id"], c["name"], c["connection"], c["path"], _short(c["ours"]), _short(c["theirs"]), c["kept"]]
            for c in rows
        ],
    )
    if any(c["kept"] == "ask" for c in rows):
        out.print(styled("Decide: [bold]concord conflicts resolve ID ours|theirs[/]"))


def inspection(found: Mapping[str, Any]) -> None:
    """What an import would make of a file."""
    facts = [[key, value] for key, value in found.items() if not isinstance(value, list | dict) and value is not None]
    table(None, ["", ""], facts)
    if found.get("columns"):
        rows = [
            [c["header"], c["becomes"], c["filled"], ", ".join(map(str, c["samples"][:2]))] for c in found["columns"]
        ]
        table("\nColumns", ["column", "becomes", "filled", "for example"], rows, numbers=["filled"])
    for warning in [*found["suspicious"], *found["dates"]]:
        warn(warning)
    for note in found["notes"]:
        out.print(f"  {note}")
    if found["refused"]:
        out.print()
        warn(f"{found['refused_count']:,} cannot be taken:")
        for line in found["refused"][:20]:
            out.print(f"  {line}")


def refusals(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows that cannot be taken, and why."""
    if rows:
        shown = [[r["row"], r["reason"]] for r in rows[:20]]
        table(f"\n{len(rows):,} rows cannot be taken", ["row", "why"], shown)
