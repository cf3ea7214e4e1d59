"""What a terminal of eighty columns shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest

from app import show
from app.core.policy import Policy
from app.engine.plan import Forecast, Item, Plan
from app.engine.run import Report
from app.engine.world import Tally


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    shown = StringIO()
    monkeypatch.setattr(show, "out", show.console(file=shown, width=80))
    return shown


BUSY = Tally(
    pulled=12_345, people=1_234, linked=1_234, updated=1_234, archived=1_234, created=1_234, written=1_234,
    deleted=1_234, conflicts=1_234, aside=1_234, refused=1_234, requests=12_345, seconds=123.4,
)  # fmt: skip


def test_a_report_that_is_too_wide_is_told_in_words(terminal: StringIO) -> None:
    show.reports([Report("warehouse", "done", None, BUSY), Report("crm", "failed", None, Tally(seconds=0.5))])
    *lines, last, hint = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert hint == "What was set aside, and why: concord refused"
    words = " ".join(line.strip() for line in lines)
    assert words.startswith("warehouse done: 12,345 read, 1,234 new, 1,234 known")
    assert words.endswith("12,345 requests, 123.40 seconds")
    assert last == "crm failed: 0.50 seconds"


def test_a_report_that_fits_is_a_table(terminal: StringIO) -> None:
    show.reports([Report("crm", "done", None, Tally(pulled=5, requests=3))])
    head, line = terminal.getvalue().splitlines()
    assert head.split() == ["connection", "outcome", "read", "requests", "seconds"]
    assert line.split() == ["crm", "done", "5", "3", "0.00"]


def test_a_plan_in_which_nothing_happens_is_a_line(terminal: StringIO) -> None:
    nothing = dict.fromkeys(Forecast.__slots__, 0) | {"first": False, "held": None, "cannot_hold": {}}
    forecast = Forecast(**{**nothing, "connection": "crm"})
    show.plan(Plan([forecast], []))
    assert terminal.getvalue() == "Nothing would be written.\n"


def test_columns_in_which_nothing_stands_are_left_out(terminal: StringIO) -> None:
    show.table("Tokens", ["id", "used", "revoked"], [[1, None, None], [2, datetime(2026, 3, 1, 9, 30, tzinfo=UTC), ""]])
    assert [line.split() for line in terminal.getvalue().splitlines()] == [
        ["Tokens"],
        ["id", "used"],
        ["1", "—"],
        ["2", *datetime(2026, 3, 1, 9, 30, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M").split()],
    ]


def test_what_happened_today_needs_no_date(terminal: StringIO) -> None:
    now = datetime.now().astimezone()
    if now.hour == 0:
        now += timedelta(hours=1)
    show.table(None, ["at"], [[now]])
    assert terminal.getvalue().splitlines()[1] == now.strftime("%H:%M:%S")


def test_a_policy_is_what_differs() -> None:
    assert show.policy(Policy()) == "both"
    assert show.policy(Policy(direction="pull", ask=True, deletes="ignore")) == "pull, asks, deletes nothing"
    assert show.policy(Policy(prefer=("crm", "phone"), deletes="archive")) == (
        "both, prefers crm, phone, archives the deleted"
    )


@pytest.mark.parametrize(
    "name", ["[/]", "[b]right[/b]", "Firm [", "back\\", "\\[x]", "[dim", ":smile:", "{}", "{0} {name}", "[/dim]\\"]
)
def test_what_people_are_called_is_shown_as_it_is(
    terminal: StringIO, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    card = {
        "name": {"full": name},
        "emails": {"1": {"address": name, "label": name}},
        "notes": {"1": {"note": name}},
        "organizations": {"1": {"name": name}},
    }
    said = {"channel": "email", "address": name, "state": "withdrawn", "since": None}
    show.person(
        {
            "card": card, "uid": "u", "rev": 1, "state": "live", "purchases": [], "history": [],
            "consent": {"said": [said], "holds": [said]},
            "links": [{"connection": name, "id": name, "state": "live"}],
            "conflicts": [{"id": 1, "connection": "crm", "path": "x", "ours": name, "theirs": name, "kept": "ask"}],
        }
    )  # fmt: skip
    show.warn(name)
    monkeypatch.setattr(show, "err", show.out)
    show.complain(name)
    show.reports([Report("crm", "failed", name, Tally())])
    assert terminal.getvalue().count(name) == 13


def test_a_plan_shows_names_and_values_as_they_are(terminal: StringIO) -> None:
    item = Item("crm", "update", "u", "[/] Ltd", values=[("/phones/1/number", "[b]1[/b]", ":smile:")])
    show.plan(Plan([], [item]))
    assert "[/] Ltd" in terminal.getvalue()
    assert "[b]1[/b] → :smile:" in terminal.getvalue()
