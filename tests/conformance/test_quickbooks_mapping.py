"""Customers, vendors and cards: what is shown, what stands where, what is cut, what is sent; documents and purchases.
That `fit` is stable for any card is the conformance kit's business."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.card import LINES, SLOT, Card, components
from connectors.contract import Line
from connectors.quickbooks import mapping, sales
from connectors.quickbooks.mapping import change, columns, fit, label, numbered, view
from connectors.quickbooks.places import CUSTOMER, LIMITS, LINE_NAMES, PARTS, VENDOR, kind_of

KEY = "5b0e3a1e-0c5e-4f0b-9b57-0d2c5d5b8f11"
AMY: Mapping[str, Any] = {
    "Id": "1",
    "SyncToken": "5",
    "Active": True,
    "Title": "Ms",
    "GivenName": "Amy",
    "MiddleName": "Michelle",
    "FamilyName": "Lauterbach",
    "Suffix": "Jr., PhD",
    "CompanyName": "Amy's Bird Sanctuary",
    "DisplayName": "Amy's Bird Sanctuary",
    "PrimaryEmailAddr": {"Address": "birds@example.com, books@example.com"},
    "PrimaryPhone": {"FreeFormNumber": "(650) 555-3311"},
    "Mobile": {"FreeFormNumber": "(650) 555-3312"},
    "Fax": {"FreeFormNumber": "(650) 555-3313"},
    "WebAddr": {"URI": "http://birds.example.com"},
    "BillAddr": {
        "Id": "2",
        "Line1": "4581 Finch St.",
        "Line2": "Apt. 2",
        "City": "Bayshore",
        "CountrySubDivisionCode": "CA",
        "PostalCode": "94326",
        "Lat": "INVALID",
        "Long": "INVALID",
        "Note": "ring twice",
    },
    "ShipAddr": {"Id": "109", "Line1": "1 Dock", "City": "Bayshore", "Country": "USA"},
    "Notes": "Prefers\nmail",
}


def held_of(row: Mapping[str, Any]) -> Card:
    return view(row, CUSTOMER)


def sent(card: Card, row: Mapping[str, Any] = AMY) -> dict[str, Any]:
    """What is sent to make the row show the card."""
    return change(card, held_of(row), mapping.memory(row), CUSTOMER)


def named(**parts: str) -> Card:
    return {"name": {"components": components(parts)}}


def email(**elements: Any) -> Card:
    return {"emails": {key: {"address": text} for key, text in elements.items()}}


# --- what is shown


def test_a_customer_shows_all_that_it_has() -> None:
    card = view(AMY, CUSTOMER)
    assert {c["kind"]: c["value"] for c in card["name"]["components"]} == {
        "title": "Ms",
        "given": "Amy",
        "given2": "Michelle",
        "surname": "Lauterbach",
        "generation": "Jr.",
        "credential": "PhD",
    }
    assert card["organizations"] == {"CompanyName": {"name": "Amy's Bird Sanctuary", SLOT: "CompanyName"}}
    assert card["emails"] == {
        "1": {"address": "birds@example.com", SLOT: "PrimaryEmailAddr"},
        "2": {"address": "books@example.com"},
    }
    assert {slot: e["number"] for slot, e in card["phones"].items()} == {
        "PrimaryPhone": "(650) 555-3311",
        "Mobile": "(650) 555-3312",
        "Fax": "(650) 555-3313",
    }
    assert card["addresses"]["BillAddr"][LINES] == "4581 Finch St.\nApt. 2"
    assert card["addresses"]["ShipAddr"]["contexts"] == {"delivery": True}
    assert card["links"]["WebAddr"]["uri"] == "http://birds.example.com"
    assert card["notes"]["Notes"]["note"] == "Prefers\nmail"


def test_a_vendor_has_neither_note_nor_delivery_and_says_whose_view_it_is() -> None:
    card = view({name: value for name, value in AMY.items() if name != "ShipAddr"}, VENDOR)
    assert "notes" not in card
    assert set(card["addresses"]) == {"BillAddr"}
    assert card["phones"]["Mobile"][SLOT] == "Vendor/Mobile"
    assert kind_of(card, CUSTOMER) is VENDOR
    assert kind_of(view(AMY, CUSTOMER), VENDOR) is CUSTOMER
    assert kind_of({}, VENDOR) is VENDOR
    card = {"name": {"full": "x"}, "notes": {"n": {"note": "no place"}}, **email(e="a@b.cc")}
    assert "notes" not in fit(card, None, VENDOR)


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"DisplayName": "Acme Germany", "CompanyName": "Acme"}, True),
        ({"DisplayName": "Acme", "CompanyName": "Acme"}, True),
        ({"DisplayName": "Bob's Burgers", "GivenName": "Bob"}, True),
        ({"DisplayName": "Bob's Burgers", "GivenName": "Bob", "CompanyName": "Burgers Inc."}, False),
        ({"DisplayName": "Weiss, Ann", "GivenName": "Ann", "FamilyName": "Weiss"}, False),
        ({"DisplayName": "Ann Weiss", "GivenName": "Anne", "FamilyName": "Weiss"}, False),
        ({"DisplayName": "Ann Weiss", "GivenName": "ann", "FamilyName": "Meier"}, False),
        ({"DisplayName": "Kitchen", "Job": True}, True),
        ({"DisplayName": "Kitchen", "GivenName": "Ann", "Job": True}, False),
        ({"DisplayName": "Kitchen", "GivenName": "Ann", "ParentRef": {"value": "1"}}, False),
    ],
)
def test_the_display_name_is_shown_where_it_tells_more(row: dict[str, Any], shown: bool) -> None:
    assert view(row, CUSTOMER)["name"].get("full") == (row["DisplayName"] if shown else None)
    held = view(row, CUSTOMER)
    assert fit(held, held, CUSTOMER) == held
    assert change(held, held, mapping.memory(row), CUSTOMER) == {}


def test_a_full_name_is_projected_where_it_would_be_shown() -> None:
    bob = {"name": {"full": "Bob's Burgers", "components": components({"given": "Bob"})}}
    assert fit(bob, None, CUSTOMER) == bob
    assert mapping.create(bob, CUSTOMER) == {"DisplayName": "Bob's Burgers", "GivenName": "Bob"}
    company = {**bob, "organizations": {"o": {"name": "Burgers Inc."}}}
    assert fit(company, None, CUSTOMER)["name"] == named(given="Bob")["name"]
    doctor = {"name": {"full": "Dr. Ann Weiss", "components": components({"given": "Ann", "surname": "Weiss"})}}
    assert "full" not in fit(doctor, None, CUSTOMER)["name"]


@pytest.mark.parametrize(
    "text", ["Acme ~3f2a", "Acme ~3f2a11bc", "Acme ~3f2a11bc77de", "Acme (deleted)", "Acme ~3f2a (deleted)"]
)
def test_what_only_makes_a_name_unique_is_never_shown(text: str) -> None:
    assert view({"DisplayName": text}, CUSTOMER)["name"] == {"full": "Acme"}


@pytest.mark.parametrize("text", ["Club (2024)", "Acme ~x", "Acme~3f2a", "Acme ~3F2A", "~3f2a"])
def test_what_people_write_is_no_mark_of_ours(text: str) -> None:
    assert label({"DisplayName": text}) == text


def test_one_address_given_twice_is_one() -> None:
    row = {
        "DisplayName": "x",
        "BillAddr": {"Id": "30", "Line1": "a"},
        "ShipAddr": {"Id": "31", "Line1": "a", "Lat": "1"},
    }
    assert set(view(row, CUSTOMER)["addresses"]) == {"BillAddr"}
    assert "addresses" not in view({"DisplayName": "x", "BillAddr": {"Id": "3"}, "ShipAddr": {"Id": "3"}}, CUSTOMER)


# --- what is projected


def test_names_are_cut_and_freed_of_what_quickbooks_refuses() -> None:
    card = named(title="Prof. Dr. Dr. h.c. mult.", given="Ann:\tMaria", surname="W" * 120, credential="PhD")
    parts = {c["kind"]: c["value"] for c in fit(card, None, CUSTOMER)["name"]["components"]}
    assert parts == {"given": "Ann Maria", "surname": "W" * 100, "credential": "PhD"}
    assert fit({"name": {"full": "Acme: Nord\nSüd 🎷"}}, None, CUSTOMER)["name"] == {"full": "Acme Nord Süd"}


@pytest.mark.parametrize(
    ("card", "full"),
    [
        ({"name": {"full": "Ann W"}}, "Ann W"),
        ({"name": {"components": [{"kind": "surname2", "value": "Paz"}]}}, "Paz"),
        ({"organizations": {"o": {"name": "Acme"}}, **email(e="a@b.cc")}, "Acme"),
        (email(e="a@b.cc"), "a@b.cc"),
        ({"phones": {"p": {"number": "+49 1"}}}, "+49 1"),
    ],
)
def test_a_record_without_a_name_is_called_by_the_best_there_is(card: Card, full: str) -> None:
    assert fit(card, None, CUSTOMER)["name"] == {"full": full}
    assert mapping.create(fit(card, None, CUSTOMER), CUSTOMER)["DisplayName"] == full


@pytest.mark.parametrize(
    ("generation", "credential", "shown"),
    [
        ("Jr.", "PhD", {"generation": "Jr.", "credential": "PhD"}),
        ("", "MD", {"credential": "MD"}),
        ("III", "M.Sc., M.A., Ph.D.", {"generation": "III"}),
        ("the Great", "", {"credential": "the Great"}),
    ],
)
def test_what_stands_behind_a_name_is_one_property(generation: str, credential: str, shown: dict[str, str]) -> None:
    card = named(given="Ann", generation=generation, credential=credential)
    parts = {c["kind"]: c["value"] for c in fit(card, None, CUSTOMER)["name"]["components"]}
    assert {kind: text for kind, text in parts.items() if kind != "given"} == shown


def test_no_address_joins_those_that_invoices_are_mailed_to() -> None:
    held = held_of(AMY)
    card = {"emails": {**held["emails"], "3": {"address": "private@example.com", "pref": 1}}}
    assert fit(card, held, CUSTOMER)["emails"] == held["emails"]
    one = {"emails": {"a": {"address": "a@b.cc"}, "b": {"address": "b@b.cc", "pref": 1}}}
    assert list(fit(one, None, CUSTOMER)["emails"]) == ["b"]


def test_the_next_address_moves_up_when_the_first_one_goes() -> None:
    held = held_of(AMY)
    fitted = fit({"emails": {"2": held["emails"]["2"]}}, held, CUSTOMER)
    assert fitted["emails"] == {"2": {"address": "books@example.com", SLOT: "PrimaryEmailAddr"}}
    assert sent({**held, **fitted})["PrimaryEmailAddr"] == {"Address": "books@example.com"}


@pytest.mark.parametrize("text", ["nobody", "a@b", "a@b.cc,b@b.cc", "a b@c.dd", "x" * 96 + "@b.cc"])
def test_what_is_no_address_is_not_sent(text: str) -> None:
    assert "emails" not in fit(email(e=text), None, CUSTOMER)


def test_phones_stand_where_they_belong() -> None:
    card = {
        "phones": {
            "m1": {"number": "1", "features": {"mobile": True}},
            "m2": {"number": "2", "features": {"mobile": True}},
            "w": {"number": "3", "contexts": {"work": True}},
            "h": {"number": "4"},
            "f": {"number": "5", "features": {"fax": True}},
            "long": {"number": "6" * 31, "pref": 1},
        }
    }
    fitted = fit(card, None, CUSTOMER)["phones"]
    assert {key: element[SLOT] for key, element in fitted.items()} == {
        "m1": "Mobile",
        "m2": "PrimaryPhone",
        "w": "AlternatePhone",
        "f": "Fax",
    }


def test_goods_are_sent_only_to_where_an_address_says_so() -> None:
    home, depot = {LINES: "Home 1"}, {LINES: "Depot 2", "contexts": {"delivery": True}}
    fitted = fit({"addresses": {"a": {LINES: "Office 3"}, "b": home, "c": depot}}, None, CUSTOMER)["addresses"]
    assert {key: element[SLOT] for key, element in fitted.items()} == {"a": "BillAddr", "c": "ShipAddr"}
    twins = {"a": home, "b": {**home, "contexts": {"delivery": True}}}
    assert list(fit({"addresses": twins}, None, CUSTOMER)["addresses"]) == ["a"]


def test_six_lines_become_five_and_half_an_address_none() -> None:
    six = {"addresses": {"a": {LINES: "\n".join("abcdef")}}}
    assert fit(six, None, CUSTOMER)["addresses"]["a"][LINES] == "a\nb\nc\nd\ne, f"
    for bad in (
        {"components": components({"postOfficeBox": "4711", "locality": "Bonn"})},
        {LINES: "x" * 501, "components": components({"locality": "Bonn"})},
        {LINES: "Weg 1", "components": components({"postcode": "9" * 31})},
    ):
        assert "addresses" not in fit({"addresses": {"a": bad}}, None, CUSTOMER)


def test_a_link_is_a_whole_address_or_none_but_what_stands_there_stays() -> None:
    assert "links" not in fit({"links": {"l": {"uri": "www.example.com"}}}, None, CUSTOMER)
    row = {"DisplayName": "x", "WebAddr": {"URI": "www.example.com"}}
    assert fit(view(row, CUSTOMER), view(row, CUSTOMER), CUSTOMER)["links"] == view(row, CUSTOMER)["links"]


def test_no_length_is_forgotten() -> None:
    texts = [name for name, value in columns({}, CUSTOMER).items() if not isinstance(value, Mapping)]
    assert {*texts, *LINE_NAMES, *PARTS.values()} <= LIMITS.keys()


# --- what is sent


def test_nothing_is_sent_of_what_stays() -> None:
    assert sent(held_of(AMY)) == {}
    assert fit(held_of(AMY), held_of(AMY), CUSTOMER) == held_of(AMY)


def test_an_address_is_sent_whole_with_what_we_do_not_know() -> None:
    card = copy.deepcopy(dict(held_of(AMY)))
    card["addresses"]["BillAddr"] = {LINES: "9 New St.", SLOT: "BillAddr"}
    assert sent(card) == {
        "BillAddr": {
            "Id": "2",
            "Line1": "9 New St.",
            "Line2": "",
            "City": "",
            "CountrySubDivisionCode": "",
            "PostalCode": "",
            "Note": "ring twice",
        }
    }


def test_where_it_ships_to_where_it_bills_both_move() -> None:
    row = {"DisplayName": "x", "BillAddr": {"Id": "30", "Line1": "a"}, "ShipAddr": {"Id": "31", "Line1": "a"}}
    card = {**held_of(row), "addresses": {"BillAddr": {LINES: "b", SLOT: "BillAddr"}}}
    body = sent(card, row)
    assert (body["BillAddr"], body["ShipAddr"]) == ({"Id": "30", "Line1": "b"}, {"Id": "31", "Line1": "b"})
    gone = {name: value for name, value in held_of(row).items() if name != "addresses"}
    assert {name: value["Line1"] for name, value in sent(gone, row).items()} == {"BillAddr": "", "ShipAddr": ""}


def renamed(display: str, after: Card, **row: Any) -> str | None:
    stands = {"GivenName": "Ann", "FamilyName": "Weiss", "CompanyName": "Acme", **row, "DisplayName": display}
    before = {name: value for name, value in stands.items() if value}
    card = {**held_of(before), **after}
    return change(card, held_of(before), mapping.memory(before), CUSTOMER).get("DisplayName")


MARRIED = named(given="Ann", surname="Meier")
SOLD = {"organizations": {"CompanyName": {"name": "Apex", SLOT: "CompanyName"}}}


def test_the_display_name_follows_what_it_was_made_of() -> None:
    assert renamed("Ann Weiss", MARRIED) == "Ann Meier"
    assert renamed("Ann Weiss ~3f2a", MARRIED) == "Ann Meier"
    assert renamed("Acme", SOLD) == "Apex"
    assert renamed("Acme", MARRIED) is None
    assert renamed("Ann Weiss", SOLD) is None


def test_a_display_name_that_somebody_chose_stays() -> None:
    assert renamed("Weiss, Ann", MARRIED) is None
    assert renamed("Weiss, Ann", SOLD) is None


def test_a_record_that_is_called_by_its_label_is_renamed_as_the_card_is() -> None:
    alone = {"GivenName": "", "FamilyName": "", "CompanyName": ""}
    both = {"full": "Acme Nord", **MARRIED["name"]}
    assert renamed("Acme Nord", {"name": {"full": "Acme Süd"}}, **alone) == "Acme Süd"
    assert renamed("Acme Nord", {"name": both}, **alone) is None, "it goes on being shown"
    assert renamed("Acme Nord", MARRIED, **alone) == "Ann Meier", "it must not be shown any more"
    assert renamed("Acme Nord", {**MARRIED, **SOLD}, **alone) is None, "it is hidden by the company"
    assert renamed("Weiss, Ann", {"name": {"full": "Acme"}}) == "Acme"
    assert renamed("Bob's", {"name": {"full": "Rob's", **named(given="Bob")["name"]}}, CompanyName="") == "Rob's"


def test_a_label_does_not_bring_back_a_company_that_was_taken_away() -> None:
    assert renamed("Acme", {"organizations": {}}) == "Ann Weiss"


def test_a_new_label_is_put_together_as_quickbooks_does() -> None:
    card = named(title="Dr.", given="Ann", given2="M.", surname="Weiss", generation="Jr.", credential="PhD")
    assert mapping.create(card, CUSTOMER)["DisplayName"] == "Dr. Ann M. Weiss Jr. PhD"


@pytest.mark.parametrize("job", [{"Job": True}, {"ParentRef": {"value": "1"}}])
def test_jobs_are_kept_up_to_date_and_never_renamed(job: dict[str, Any]) -> None:
    assert renamed("Ann Weiss", MARRIED, **job) is None
    row = {"DisplayName": "Kitchen", **job}
    assert sent({"name": {"full": "Bath"}}, row) == {}
    assert sent(MARRIED, row) == {"GivenName": "Ann", "FamilyName": "Meier"}


def test_names_made_unique_are_the_same_each_time_and_fit() -> None:
    names = [numbered("Ann Weiss", KEY, attempt) for attempt in range(mapping.ATTEMPTS)]
    assert names == [numbered("Ann Weiss", KEY, attempt) for attempt in range(mapping.ATTEMPTS)]
    assert names[0] == "Ann Weiss"
    assert {label({"DisplayName": name}) for name in names} == {"Ann Weiss"}
    assert [len(name) - len("Ann Weiss") for name in names] == [0, 6, 10, 14]
    assert len(numbered("x" * 500, KEY, 3)) == 500


def test_who_is_forgotten_is_blanked_but_for_the_label() -> None:
    body = mapping.blank(CUSTOMER, mapping.memory(AMY))
    assert "DisplayName" not in body
    assert body["PrimaryEmailAddr"] == {"Address": ""}
    assert body["BillAddr"]["Line1"] == body["FamilyName"] == body["Notes"] == ""


# --- purchases

INVOICE: Mapping[str, Any] = {
    "Id": "130",
    "DocNumber": "1037",
    "TxnDate": "2026-10-31",
    "CustomerRef": {"value": "24", "name": "Sonnenschein"},
    "CurrencyRef": {"value": "USD"},
    "TotalAmt": Decimal("362.07"),
    "Balance": Decimal("362.07"),
    "Line": [
        {
            "Id": "1",
            "Description": "Rock Fountain",
            "Amount": Decimal("275.00"),
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {
                "ItemRef": {"value": "5", "name": "Fountain"},
                "Qty": Decimal("1.10"),
                "UnitPrice": 250,
            },
        },
        {
            "DetailType": "GroupLineDetail",
            "Amount": 0,
            "GroupLineDetail": {"Line": [{"DetailType": "DescriptionOnly", "Description": "as agreed"}]},
        },
        {"Amount": Decimal("10.5"), "DetailType": "DiscountLineDetail", "DiscountLineDetail": {}, "Description": "Off"},
        {"Amount": Decimal("264.5"), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
    ],
}


def test_an_invoice_is_a_purchase_digit_by_digit() -> None:
    found = sales.purchase("Invoice", INVOICE, "EUR")
    assert (found.id, found.record, found.kind, found.number) == ("Invoice/130", "Customer/24", "invoice", "1037")
    assert (found.date, found.currency, found.state) == (date(2026, 10, 31), "USD", "open")
    assert str(found.total) == "362.07"
    assert found.lines == (
        Line("Rock Fountain", "Fountain", Decimal("1.10"), Decimal(250), Decimal("275.00")),
        Line("as agreed"),
        Line("Off", amount=Decimal("-10.5")),
    )
    assert str(found.lines[0].quantity) == "1.10"
    assert str(found.lines[0].amount) == "275.00"


@pytest.mark.parametrize(
    ("entity", "more", "state"),
    [
        ("Invoice", {"Balance": Decimal("0.00")}, "paid"),
        ("Invoice", {"Balance": Decimal("0.01")}, "open"),
        ("Invoice", {"Balance": 0, "TotalAmt": 0, "PrivateNote": "Voided"}, "void"),
        ("Invoice", {"Balance": 0, "TotalAmt": 0, "Line": []}, "void"),
        ("Invoice", {"Balance": 0, "TotalAmt": 0}, "paid"),
        ("SalesReceipt", {"Balance": 0}, "paid"),
        ("SalesReceipt", {"TotalAmt": 0, "PrivateNote": "Voided - twice sent"}, "void"),
        ("CreditMemo", {"RemainingCredit": Decimal(5), "Balance": 0}, "open"),
        ("CreditMemo", {"RemainingCredit": 0, "Balance": 0}, "paid"),
    ],
)
def test_what_is_left_says_the_state(entity: str, more: dict[str, Any], state: str) -> None:
    assert sales.purchase(entity, {**INVOICE, **more}, "EUR").state == state


def test_a_credit_counts_down_and_the_home_currency_stands_in() -> None:
    row = {name: value for name, value in INVOICE.items() if name != "CurrencyRef"}
    found = sales.purchase("CreditMemo", row, "EUR")
    assert (found.kind, found.total, found.currency) == ("credit", Decimal("-362.07"), "EUR")
