"""What customers bought, as the books tell it and an admin sees it: read, shown with the person, never written."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from desk import Desk

Pay = Callable[[], Any]
"""What the bookkeeper does when the money has come."""


def xero(box: Any) -> Pay:
    ann = box.books.add(Name="Ann Lee", FirstName="Ann", LastName="Lee")
    lines = [
        {"Description": text, "Quantity": 1.0, "UnitAmount": amount, "LineAmount": amount}
        for text, amount in (("Roses", 100.0), ("Ribbon", 19.5))
    ]
    sold = box.books.sell(ann, 119.5, LineItems=lines, InvoiceNumber="INV-7", CurrencyCode="GBP", Status="AUTHORISED")
    return lambda: box.books.mark(sold, "PAID")


def quickbooks(box: Any) -> Pay:
    box.seed([{"GivenName": "Ann", "FamilyName": "Lee"}])
    lines = [
        {"Description": text, "Amount": Decimal(amount), "DetailType": "SalesItemLineDetail"}
        for text, amount in (("Roses", "100.00"), ("Ribbon", "19.50"))
    ]
    whole = {"TotalAmt": Decimal("119.50"), "Balance": Decimal("119.50"), "CurrencyRef": {"value": "GBP"}}
    sold = box.issue("Invoice", "1", DocNumber="INV-7", Line=lines, **whole)
    return lambda: box.amend("Invoice", sold, Balance=Decimal("0"))


def tryton(box: Any) -> Pay:
    (ann,) = box.seed([{"name": "Ann Lee"}])
    box.store.create("currency.currency", {"name": "Pound", "code": "GBP"})
    sold = box.invoice(ann, [("Roses", "1", "100.00"), ("Ribbon", "1", "19.50")], number="INV-7", currency=2)
    return lambda: box.write("account.invoice", int(sold), state="paid")


BOOKS: dict[str, Callable[[Any], Pay]] = {"xero": xero, "quickbooks": quickbooks, "tryton": tryton}
DOCUMENTS: dict[str, Callable[[Any], str]] = {
    "xero": lambda box: repr(box.books.documents["Invoices"]),
    "quickbooks": lambda box: repr(box.rows("Invoice")),
    "tryton": lambda box: repr(box.rows("account.invoice")),
}
"""All that stands in the invoices."""


@pytest.mark.parametrize("system", BOOKS)
def test_what_was_bought_is_shown_with_the_person_and_nothing_is_written(desk: Desk, system: str) -> None:
    with desk.system("books", system) as box:
        pay = BOOKS[system](box)
        # Even where all may be written: what was sold is a fact.
        desk("apply", desk.file(desk.entry("books", system, direction="both")))
        assert desk("sync").code == 0
        (person,) = desk.people()
        (sold,) = desk("people", "show", person["uid"], "--json").json["purchases"]
        assert (sold["number"], Decimal(sold["total"]), sold["currency"]) == ("INV-7", Decimal("119.5"), "GBP")
        assert (sold["kind"], sold["state"], sold["connection"]) == ("invoice", "open", "books")
        assert [line["text"] for line in sold["lines"]] == ["Roses", "Ribbon"]
        assert sold["date"]
        told = desk("people", "show", person["uid"]).out
        for word in ("Bought", "INV-7", "Roses and 1 more", "119.5", "GBP", "open", "books"):
            assert word in told, told
        pay()
        before = DOCUMENTS[system](box)
        assert before
        assert desk("sync").code == 0
        (sold,) = desk("people", "show", person["uid"], "--json").json["purchases"]
        assert sold["state"] == "paid"
        assert DOCUMENTS[system](box) == before
        assert desk("sync", "--json").json[0]["written"] == 0
