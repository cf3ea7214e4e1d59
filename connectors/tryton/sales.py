"""Customer invoices as purchases: `purchases`, and the cursor it leaves behind.

An invoice's `write_date` moves with every step from draft to paid; lines are written by themselves at most in drafts,
so their `write_date` is asked for as well. Only what has no number yet can be deleted (invoice.py), so those are
remembered and looked for in every run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from connectors.card import digest
from connectors.contract import Line, Purchase, Sales
from connectors.errors import CursorExpired, Refused
from connectors.tryton.client import Broken, Client, Domain, Row, encode

INVOICE: Final = "account.invoice"
PAGE: Final = 200
OVERLAP: Final = timedelta(seconds=60)
VERSION: Final = 1

STATES: Final[Mapping[str, Literal["draft", "open", "paid", "void"]]] = {
    "draft": "draft",
    "validated": "draft",
    "posted": "open",
    "paid": "paid",
    "cancelled": "void",
}
"""State of an invoice -> ours (invoice.py)."""

READ: Final = (
    "party",
    "number",
    "invoice_date",
    "state",
    "total_amount",
    "currency.code",
    "write_date",
    "create_date",
    *(f"lines.{column}" for column in ("type", "description", "quantity", "unit_price", "amount")),
    "lines.product.rec_name",
    "lines.write_date",
    "lines.create_date",
)


@dataclass
class State:
    """The cursor. since: everything written until then is known; the server's time. recent: {id: fingerprint} of what
    was seen that was written shortly before. unnumbered: what can still be deleted. after, began: as in `changes`."""

    since: str = ""
    recent: dict[str, str] = field(default_factory=dict)
    unnumbered: list[int] = field(default_factory=list)
    after: int | None = None
    began: str = ""

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {"v": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def load(cls, cursor: Any) -> State:
        """From JSON. Raises CursorExpired where another version made it."""
        names = {"v", *(one.name for one in dataclasses.fields(cls))}
        if not isinstance(cursor, dict) or cursor.keys() != names or cursor["v"] != VERSION:
            raise CursorExpired("the place was kept by another version of this connector; every invoice is read again")
        return cls(**{name: value for name, value in cursor.items() if name != "v"})


def sells(client: Client) -> bool:
    """Are there invoices that we may read?"""
    try:
        client.rows(INVOICE, [["id", "=", 0]], ["number"], context=client.preferences())
    except (Refused, Broken):
        return False
    return True


def purchases(client: Client, now: Callable[[], datetime], cursor: Any | None) -> Iterator[Sales]:
    """See `Seller.purchases`. Nothing where there are no invoices."""
    state = State() if cursor is None else State.load(cursor)
    context = client.preferences()
    gone = _gone(client, state, context)
    if gone:
        yield Sales(gone=gone)
    domain: Domain = [["type", "=", "out"], ["party", "!=", None]]
    if state.since:
        since = encode(datetime.fromisoformat(state.since) - OVERLAP)
        names = (f"{name}{date}" for name in ("", "lines.") for date in ("write_date", "create_date"))
        domain.append(["OR", *([name, ">", since] for name in names)])
    seen: dict[str, str] = {}
    while True:
        try:
            rows = client.rows(INVOICE, [*domain, ["id", ">", state.after or 0]], READ, limit=PAGE, context=context)
        except (Refused, Broken):
            if sells(client):
                raise
            return
        state.began = state.began or (client.clock or now()).astimezone(UTC).isoformat()
        news = list(_news(rows, state, seen))
        if len(rows) < PAGE:
            break
        state.after = rows[-1]["id"]
        yield Sales(news, cursor=state.dump())
    state.since, state.after, state.began, state.recent = state.began, None, "", seen
    yield Sales(news, cursor=state.dump())


def _gone(client: Client, state: State, context: Mapping[str, Any]) -> list[str]:
    """Those of the invoices without a number that are not there any more."""
    if not state.unnumbered:
        return []
    there = {row["id"] for row in client.rows(INVOICE, [["id", "in", state.unnumbered]], ["number"], context=context)}
    gone = [number for number in state.unnumbered if number not in there]
    state.unnumbered = [number for number in state.unnumbered if number in there]
    return [str(number) for number in gone]


def _news(rows: list[Row], state: State, seen: dict[str, str]) -> Iterator[Purchase]:
    """The purchases that were not seen as they are. What was written so shortly before that the next run will see it
    again is remembered."""
    fresh = datetime.fromisoformat(state.began) - OVERLAP - OVERLAP
    for row in rows:
        number, mark = str(row["id"]), _fingerprint(row)
        if _written(row) > fresh:
            seen[number] = mark
        if state.recent.get(number) != mark:
            yield purchase(row)
    unnumbered = {row["id"] for row in rows if not row["number"]}
    state.unnumbered = sorted({*state.unnumbered} - {row["id"] for row in rows} | unnumbered)


def purchase(row: Row) -> Purchase:
    """A purchase of an invoice. A credit note is an invoice whose total is negative."""
    total = Decimal(row["total_amount"] or 0)
    return Purchase(
        id=str(row["id"]),
        record=str(row["party"]),
        kind="credit" if total < 0 else "invoice",
        number=row["number"] or "",
        date=row["invoice_date"],
        total=total,
        currency=(row["currency."] or {}).get("code") or "",
        state=STATES.get(row["state"], "draft"),
        lines=tuple(_line(line) for line in row["lines."] if line["type"] == "line"),
    )


def _line(line: Row) -> Line:
    product = line.get("product.") or {}
    return Line(
        text=line["description"] or "",
        item=product.get("rec_name") or None,
        quantity=_decimal(line["quantity"]),
        price=_decimal(line["unit_price"]),
        amount=_decimal(line["amount"]),
    )


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _written(row: Row) -> datetime:
    dates: list[datetime] = [one["write_date"] or one["create_date"] for one in (row, *row["lines."])]
    return max(dates)


def _fingerprint(row: Row) -> str:
    return digest({"purchase": str(purchase(row)), "written": _written(row).isoformat()})
