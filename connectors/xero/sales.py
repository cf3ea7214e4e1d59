"""Invoices and credit notes of Xero as purchases. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

from connectors.contract import Line, Purchase
from connectors.xero.stamps import milliseconds, moment

Document = Mapping[str, Any]
State = Literal["draft", "open", "paid", "void"]

STATES: Final[Mapping[str, State]] = {
    "DRAFT": "draft",
    "SUBMITTED": "draft",
    "AUTHORISED": "open",
    "PAID": "paid",
    "VOIDED": "void",
}
"""SUBMITTED waits for approval: nobody owes it yet. DELETED is a draft that is no more: such a document is gone."""
TYPES: Final = {"Invoices": "ACCREC", "CreditNotes": "ACCRECCREDIT"}
"""What is sold. The others (ACCPAY, ACCPAYCREDIT) are what the business buys."""
IDS: Final = {"Invoices": "InvoiceID", "CreditNotes": "CreditNoteID"}
_NUMBERS: Final = {"Invoices": "InvoiceNumber", "CreditNotes": "CreditNoteNumber"}


def is_sale(kind: str, document: Document) -> bool:
    """Is this something that a customer bought, or was credited? A contact and a total are what makes it one."""
    customer = (document.get("Contact") or {}).get("ContactID")
    return document.get("Type") == TYPES[kind] and bool(customer) and document.get("Total") is not None


def purchase(kind: str, document: Document) -> Purchase | None:
    """The document as a purchase; None where it was deleted. kind: Invoices or CreditNotes."""
    state = STATES.get(str(document.get("Status")))
    if state is None:
        return None
    day = milliseconds(document.get("Date"))
    total = _decimal(document["Total"]) or Decimal(0)
    return Purchase(
        id=str(document[IDS[kind]]),
        record=str(document["Contact"]["ContactID"]),
        kind="invoice" if kind == "Invoices" else "credit",
        number=str(document.get(_NUMBERS[kind]) or ""),
        date=moment(day).date() if day else None,
        total=total if kind == "Invoices" else -total,
        currency=str(document.get("CurrencyCode") or ""),
        state=state,
        lines=[_line(line) for line in document.get("LineItems") or ()],
    )


def _line(line: Document) -> Line:
    return Line(
        text=str(line.get("Description") or ""),
        item=str(line["ItemCode"]) if line.get("ItemCode") else None,
        quantity=_decimal(line.get("Quantity")),
        price=_decimal(line.get("UnitAmount")),
        amount=_decimal(line.get("LineAmount")),
    )


def _decimal(value: Any) -> Decimal | None:
    """An amount as it was sent; whole numbers come as int."""
    return value if isinstance(value, Decimal) else Decimal(value) if isinstance(value, int) else None
