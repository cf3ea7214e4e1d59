"""Invoices, sales receipts and credit memos of QuickBooks as purchases. Pure.

Source: the accounting note, part B, "Facts". Amounts are Decimals exactly as QuickBooks sends them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from connectors.contract import Line, Purchase

Row = Mapping[str, Any]
KINDS: Final[Mapping[str, Literal["invoice", "receipt", "credit"]]] = {
    "Invoice": "invoice",
    "SalesReceipt": "receipt",
    "CreditMemo": "credit",
}
"""The entities that are purchases. Estimates are none, and payments show in the balance of what they pay."""


def purchase(entity: str, row: Row, home: str) -> Purchase:
    """One document. home: the company's currency, for documents that do not name one."""
    total = _number(row.get("TotalAmt")) or Decimal(0)
    return Purchase(
        id=f"{entity}/{row['Id']}",
        record=f"Customer/{(row.get('CustomerRef') or {}).get('value', '')}",
        kind=KINDS[entity],
        number=str(row.get("DocNumber") or ""),
        date=date.fromisoformat(row["TxnDate"][:10]) if row.get("TxnDate") else None,
        total=-total if entity == "CreditMemo" else total,
        currency=currency(row) or home,
        state=_state(entity, row, total),
        lines=tuple(_lines(row.get("Line") or ())),
    )


def currency(row: Row) -> str:
    """The currency that a document names, or "": companies with a single one need not."""
    return str((row.get("CurrencyRef") or {}).get("value") or "")


def _state(entity: str, row: Row, total: Decimal) -> Literal["open", "paid", "void"]:
    """Voiding leaves a document of nothing, with "Voided" in its private note; what was free is just paid."""
    if total == 0:
        amounts = [_number(line.get("Amount")) for line in row.get("Line") or ()]
        if "voided" in str(row.get("PrivateNote") or "").casefold() or not any(amounts):
            return "void"
    if entity == "SalesReceipt":
        return "paid"
    left = row.get("Balance") if entity == "Invoice" else row.get("RemainingCredit", row.get("Balance"))
    return "open" if _number(left) else "paid"


def _lines(lines: Any) -> Iterator[Line]:
    """The lines that say something; those of a bundle one by one. A discount counts down."""
    for line in lines:
        kind = str(line.get("DetailType") or "")
        detail = line.get(kind) or {}
        if kind == "SubTotalLineDetail":
            continue
        if kind == "GroupLineDetail":
            yield from _lines(detail.get("Line") or ())
            continue
        item = str((detail.get("ItemRef") or {}).get("name") or "")
        amount = _number(line.get("Amount"))
        if kind == "DiscountLineDetail" and amount is not None:
            amount = -amount
        yield Line(
            text=str(line.get("Description") or item),
            item=item or None,
            quantity=_number(detail.get("Qty")),
            price=_number(detail.get("UnitPrice")),
            amount=amount,
        )


def _number(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(str(value))
