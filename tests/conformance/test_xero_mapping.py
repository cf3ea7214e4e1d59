"""Xero's contacts and our card: views, projections, what is written, the mark of a name, sales."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.align import align
from app.core.policy import Policy
from app.core.reconcile import first_sight, owed
from connectors.card import LINES, SLOT, Card, Equivalence, components, leaves
from connectors.testing import cards
from connectors.xero import mapping, naming, sales
from connectors.xero.stamps import header, milliseconds, moment

EQ = Equivalence("NZ")
ID = "bd2270c3-8706-4c11-9cfb-000b551c3f51"


def contact(**props: Any) -> dict[str, Any]:
    return {"ContactID": ID, "ContactStatus": "ACTIVE", "Name": "", **props}


def view(persons: bool = False, **props: Any) -> Card:
    return mapping.view(contact(**props), persons)


def fit(card: Mapping[str, Any], held: Card | None = None, persons: bool = False) -> Card:
    return mapping.fit(card, held, persons)


def person(given: str = "", surname: str = "") -> dict[str, Any]:
    return {"components": components({"given": given, "surname": surname})}


# --- who it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ann Lee", "ann  lee", "Lee, Ann", "LEE ANN"])
def test_a_name_that_is_the_persons_is_no_organisation(name: str) -> None:
    assert view(Name=name, FirstName="Ann", LastName="Lee") == {"name": person("Ann", "Lee")}


def test_another_name_is_the_organisation_of_the_person() -> None:
    assert view(Name="Acme Ltd", FirstName="Ann", LastName="Lee") == {
        "name": person("Ann", "Lee"),
        "organizations": {"Name": {"name": "Acme Ltd", SLOT: "Name"}},
    }


def test_without_first_and_last_name_it_is_an_organisation_or_by_the_settings_a_person() -> None:
    organization = {"Name": {"name": "Bella Vista", SLOT: "Name"}}
    assert view(Name="Bella Vista") == {"kind": "org", "organizations": organization}
    assert view(True, Name="Bella Vista") == {"name": {"full": "Bella Vista"}}


@pytest.mark.parametrize("name", ["ann@x.test", "+64 9 123 4567", "(09) 123-4567"])
@pytest.mark.parametrize("persons", [False, True])
def test_an_address_or_a_number_is_nobodys_name(name: str, persons: bool) -> None:
    assert view(persons, Name=name) == {}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"name": person("Ann", "Lee")}, ("Ann", "Lee", "Ann Lee")),
        ({"name": person("Ann", "Lee"), "organizations": {"o": {"name": "Acme"}}}, ("Ann", "Lee", "Acme")),
        ({"name": person("Ann", "Lee"), "organizations": {"o": {"name": "Lee, Ann"}}}, ("Ann", "Lee", "Ann Lee")),
        ({"name": person("Ann")}, ("Ann", "", "Ann")),
        ({"name": {"full": "Cher"}}, ("", "Cher", "Cher")),
        ({"name": {"full": "Cher"}, "organizations": {"o": {"name": "Acme"}}}, ("", "Cher", "Acme")),
        ({"name": {"full": "Acme"}, "kind": "org", "organizations": {"o": {"name": "Acme"}}}, ("", "", "Acme")),
        ({"organizations": {"o": {"name": "Acme"}}}, ("", "", "Acme")),
        ({"nicknames": {"n": {"name": "Nan"}}}, ("", "Nan", "Nan")),
        ({"name": {"components": [{"kind": "title", "value": "Dr"}]}, "emails": {"e": {"address": "a@x.test"}}},
         ("", "", "a@x.test")),
        ({"phones": {"p": {"number": "+64 9 1234567"}}}, ("", "", "+64 9 1234567")),
        ({"addresses": {"a": {LINES: "1 Main St"}}}, ("", "", "")),
    ],
)  # fmt: skip
def test_what_a_new_contact_is_called(card: dict[str, Any], expected: tuple[str, str, str]) -> None:
    texts = mapping.columns(fit(card))
    assert (texts["FirstName"], texts["LastName"], texts["Name"]) == expected


def test_by_the_settings_a_person_of_one_name_stays_one() -> None:
    fitted = fit({"name": {"full": "Cher"}}, persons=True)
    assert fitted == {"name": {"full": "Cher"}}
    assert mapping.new(fitted) == {"Name": "Cher"}


def test_a_long_name_is_cut_and_still_the_persons() -> None:
    first, last = "A" * 200, "L" * 200
    fitted = fit({"name": person(first, last)})
    assert fitted == {"name": person(first, last)}
    assert len(mapping.new(fitted)["Name"]) == 255


def test_kind_is_told_where_it_can_be_shown() -> None:
    organization = {"kind": "org", "organizations": {"o": {"name": "Acme"}}}
    assert fit(organization)["kind"] == "org"
    assert "kind" not in fit({**organization, "name": person("Ann", "Lee")})
    assert "kind" not in fit(organization, persons=True)


# --- the mark ---------------------------------------------------------------------------------------------------------


def test_the_mark_is_told_by_the_record_itself() -> None:
    key = str(uuid4())
    ours = contact(Name="Acme", ContactNumber=naming.number_of(key))
    theirs = contact(Name="Acme", ContactNumber="C-0815")
    for one in (ours, theirs):
        name = naming.marked("Acme", one)
        assert name != "Acme"
        assert naming.shown({**one, "Name": name}) == "Acme"
        assert naming.marked("Acme", one) == name
    assert naming.shown({**theirs, "Name": naming.marked("Acme", ours)}) != "Acme", "another's mark is no mark"
    new = {"Name": "Acme", "ContactNumber": naming.number_of(key)}
    assert naming.shown({**ours, "Name": naming.marked("Acme", new)}) == "Acme", "made before there was an id"
    assert len(naming.marked("x" * 255, ours)) == 255
    assert naming.key_of(ours) == key
    assert naming.key_of(theirs) is None
    assert len(naming.number_of(key)) <= 50


@settings(max_examples=60)
@given(cards(), st.sampled_from((False, True)))
def test_a_mark_is_no_edit_and_is_never_owed(card: dict[str, Any], persons: bool) -> None:
    """Law 4 on the record as it comes back: what the engine takes in, and what it owes."""

    def fitted(one: Card, held: Card | None) -> Card:
        return mapping.fit(one, held, persons)

    sent = fitted(card, None)
    row = mapping.new(sent)
    if not row["Name"]:
        return
    stored = contact(**{**row, "ContactNumber": naming.number_of(str(uuid4()))})
    plain = mapping.view(stored, persons)
    marked = mapping.view({**stored, "Name": naming.marked(stored["Name"], stored)}, persons)
    if len(row["Name"]) < 200:
        assert marked == plain
    seen = align(marked, [sent], EQ, lambda: uuid4().hex)
    assert owed(card, seen, sent, fit=fitted, policy=Policy(), eq=EQ) is None


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "area", "number", "expected"),
    [
        ("64", "09", "1234567", "+64 9 1234567"),
        ("+64", "9", "123 4567", "+64 9 123 4567"),
        ("0064", "", "021 123456", "+64 21 123456"),
        ("39", "06", "1234567", "+39 06 1234567"),
        ("", "09", "1234567", "09 1234567"),
        ("", "", "1234567", "1234567"),
        ("64", "9", "+49 30 5550002", "+49 30 5550002"),
        ("NZ", "09", "1234567", "NZ 09 1234567"),
        ("64", "09", "", ""),
    ],
)
def test_a_number_in_parts_is_joined(country: str, area: str, number: str, expected: str) -> None:
    phone = {"PhoneType": "DEFAULT", "PhoneCountryCode": country, "PhoneAreaCode": area, "PhoneNumber": number}
    assert mapping.joined(phone) == expected
    assert ("phones" in view(Phones=[phone])) is bool(expected)


def phones(**elements: Mapping[str, Any]) -> dict[str, Any]:
    return {key: {"number": f"+64 9 000 000{n}", **element} for n, (key, element) in enumerate(elements.items())}


def slots(card: Card, field: str = "phones") -> dict[str, str]:
    return {key: element[SLOT] for key, element in card.get(field, {}).items()}


MOBILE: Mapping[str, Any] = {"features": {"mobile": True}}
FAX: Mapping[str, Any] = {"features": {"fax": True}}
WORK: Mapping[str, Any] = {"contexts": {"work": True}}
PRIVATE: Mapping[str, Any] = {"contexts": {"private": True}}


def test_numbers_take_the_places_that_are_true_of_them() -> None:
    everything = phones(a=WORK, b=MOBILE, c=PRIVATE, d=FAX)
    assert slots(fit({"phones": everything})) == {"a": "DDI", "b": "MOBILE", "c": "DEFAULT", "d": "FAX"}
    assert slots(fit({"phones": phones(a=WORK)})) == {"a": "DEFAULT"}, "the only one is the number of the contact"
    assert slots(fit({"phones": phones(a=MOBILE, b=MOBILE)})) == {"a": "MOBILE", "b": "DEFAULT"}
    assert slots(fit({"phones": phones(a=FAX, b=FAX)})) == {"a": "FAX"}
    assert slots(fit({"phones": phones(a={"pref": 2}, b={"pref": 1}, c={})})) == {"b": "DEFAULT", "a": "DDI"}


def test_a_number_stays_where_it_stands() -> None:
    held = fit({"phones": phones(a=MOBILE, b=MOBILE)})
    assert slots(fit({"phones": phones(b=MOBILE)}, held)) == {"b": "DEFAULT"}
    assert slots(fit({"phones": phones(a=FAX)}, held)) == {"a": "FAX"}, "but not where that is no longer true"


def test_a_number_that_is_too_long_is_not_held() -> None:
    assert fit({"phones": {"p": {"number": "1" * 51}}}) == {}


# --- e-mail addresses -------------------------------------------------------------------------------------------------

PEOPLE = [
    {"FirstName": "Bob", "LastName": "Ray", "EmailAddress": "bob@x.test"},
    {"FirstName": "Cid", "LastName": "", "EmailAddress": ""},
    {"EmailAddress": "desk@x.test"},
]


def test_contact_persons_are_addresses_with_their_names() -> None:
    assert view(Name="Acme", EmailAddress="info@x.test", ContactPersons=PEOPLE)["emails"] == {
        "EmailAddress": {"address": "info@x.test", SLOT: "EmailAddress"},
        "ContactPerson1": {"address": "bob@x.test", "label": "Bob Ray", SLOT: "ContactPerson1"},
        "ContactPerson3": {"address": "desk@x.test", SLOT: "ContactPerson3"},
    }


def test_what_a_contact_shows_is_projected_as_it_is() -> None:
    for persons in (False, True):
        shown = mapping.view(
            contact(
                Name="Acme",
                EmailAddress="jörg@x.test",
                ContactPersons=PEOPLE,
                Website="https://acme.test",
                IsCustomer=True,
                Phones=[{"PhoneType": "DDI", "PhoneNumber": "1", "PhoneAreaCode": "09", "PhoneCountryCode": "64"}],
                Addresses=[
                    {"AddressType": "POBOX", "AddressLine1": "PO Box 1", "AddressLine4": "Back", "Country": "NZ 1"}
                ],
                ContactGroups=[{"ContactGroupID": "g", "Name": "Friends", "Status": "ACTIVE"}],
            ),
            persons,
        )
        assert mapping.fit(shown, shown, persons) == shown
        assert mapping.difference(shown, shown) == {}
        canonical = first_sight(shown, lambda c, h: mapping.fit(c, h, persons), Policy())  # noqa: B023
        assert leaves(canonical.sent) == leaves(shown)


def test_nobody_is_made_a_contact_person() -> None:
    two = {"a": {"address": "a@x.test"}, "b": {"address": "b@x.test", "pref": 1}}
    assert slots(fit({"emails": two}), "emails") == {"b": "EmailAddress"}
    held = view(Name="Acme", ContactPersons=PEOPLE)
    kept = {**held["emails"], "z": {"address": "new@x.test"}}
    assert slots(fit({"emails": kept}, held), "emails") == {
        "ContactPerson1": "ContactPerson1",
        "ContactPerson3": "ContactPerson3",
        "z": "EmailAddress",
    }


def test_the_name_of_a_contact_person_is_not_ours_to_change() -> None:
    held = view(Name="Acme", ContactPersons=PEOPLE)
    changed = {"ContactPerson1": {**held["emails"]["ContactPerson1"], "label": "Robert", "address": "r@x.test"}}
    fitted = fit({"emails": changed}, held)
    assert fitted["emails"]["ContactPerson1"] == {"address": "r@x.test", "label": "Bob Ray", SLOT: "ContactPerson1"}
    row = mapping.row(contact(Name="Acme", ContactPersons=PEOPLE), mapping.difference({**held, **fitted}, held))
    assert row["ContactPersons"] == [
        {**PEOPLE[0], "EmailAddress": "r@x.test"},
        PEOPLE[1],
        {"EmailAddress": ""},
    ]


@pytest.mark.parametrize("address", ["jörg@x.test", "no address", "a@b@c", "x" * 250 + "@x.test", ""])
def test_an_address_for_which_xero_would_refuse_all_is_not_sent(address: str) -> None:
    assert fit({"name": person("Ann"), "emails": {"e": {"address": address}}}) == {"name": person("Ann")}


# --- addresses --------------------------------------------------------------------------------------------------------


def test_the_first_address_is_the_postal_one() -> None:
    elements = {"a": {LINES: "1 Main St"}, "b": {LINES: "2 Side St", "pref": 1}, "c": {LINES: "3 Back St"}}
    assert slots(fit({"addresses": elements}), "addresses") == {"b": "POBOX", "a": "STREET"}


def test_many_lines_become_four_and_a_box_is_a_line() -> None:
    box = [{"kind": "postOfficeBox", "value": "4711"}, {"kind": "locality", "value": "Bonn"}]
    fitted = fit({"addresses": {"a": {LINES: "1\n2\n\n3\n4", "components": box}}})
    assert fitted["addresses"]["a"] == {
        LINES: "1\n2\n3\n4, 4711",
        "components": [{"kind": "locality", "value": "Bonn"}],
        SLOT: "POBOX",
    }
    assert mapping.new(fitted)["Addresses"] == [
        {
            "AddressType": "POBOX",
            "AddressLine1": "1",
            "AddressLine2": "2",
            "AddressLine3": "3",
            "AddressLine4": "4, 4711",
            "City": "Bonn",
        }
    ]


@pytest.mark.parametrize(("country", "held"), [("Österreich", True), ("Côte d'Ivoire", True), ("Zone 51", False)])
def test_a_country_is_a_word(country: str, held: bool) -> None:
    fitted = fit({"addresses": {"a": {LINES: "1", "components": [{"kind": "country", "value": country}]}}})
    assert ("components" in fitted["addresses"]["a"]) is held


def test_lines_are_rewritten_as_a_whole() -> None:
    before = view(Name="Acme", Addresses=[{"AddressType": "STREET", "AddressLine1": "1", "AddressLine2": "2"}])
    after = {**before, "addresses": {"STREET": {LINES: "3", SLOT: "STREET"}}}
    row = mapping.row(contact(Name="Acme"), mapping.difference(after, before))
    assert row["Addresses"] == [
        {"AddressType": "STREET", "AddressLine1": "3", "AddressLine2": "", "AddressLine3": "", "AddressLine4": ""}
    ]


# --- what is only shown -----------------------------------------------------------------------------------------------


def test_website_and_roles_are_read_only() -> None:
    held = view(Name="Acme", Website="https://acme.test", IsCustomer=True, IsSupplier=False)
    assert held["keywords"] == {"customer": True}
    wanted = {
        **held,
        "links": {"Website": {"uri": "https://other.test"}, "z": {"uri": "https://more.test"}},
        "keywords": {"supplier": True},
    }
    fitted = fit(wanted, held)
    assert fitted.keys() == {"kind", "organizations"}
    assert fit(held, held) == held
    assert mapping.difference({**held, "links": {}, "keywords": {}}, held) == {}


def test_groups_are_one_of_a_name() -> None:
    groups = {"1": {"name": "Friends"}, "2": {"name": "friends "}, "3": {"name": " "}, "4": {"name": "Choir"}}
    assert fit({"groups": groups}) == {"groups": {"1": {"name": "Friends"}, "4": {"name": "Choir"}}}
    held: Card = {"groups": {"2": {"name": "friends"}}}
    assert fit({"groups": groups}, held)["groups"].keys() == {"2", "4"}
    assert mapping.joins_and_leaves({"groups": groups}, {"groups": {"9": {"name": "CHOIR"}, "8": {"name": "Old"}}}) == (
        ["Friends"],
        ["Old"],
    )
    deleted = [{"ContactGroupID": "g", "Name": "Gone", "Status": "DELETED"}]
    assert "groups" not in view(Name="Acme", ContactGroups=deleted)


def test_a_name_is_never_cleared() -> None:
    held = view(Name="Acme")
    assert mapping.difference({}, held) == {}


def test_erasing_blanks_all_that_is_ours_to_blank() -> None:
    row = mapping.blank(
        contact(
            Name="Acme",
            FirstName="Ann",
            EmailAddress="a@x.test",
            TaxNumber="GST",
            Phones=[{"PhoneType": "FAX", "PhoneNumber": "1"}],
            Addresses=[{"AddressType": "STREET", "City": "Bonn"}],
            ContactPersons=PEOPLE,
        )
    )
    assert row["Name"] == f"Erased {ID}"
    assert (row["FirstName"], row["EmailAddress"], row["ContactNumber"]) == ("", "", "")
    assert "TaxNumber" not in row
    assert not any(value for phone in row["Phones"] for key, value in phone.items() if key != "PhoneType")
    assert not any(value for address in row["Addresses"] for key, value in address.items() if key != "AddressType")
    assert [p["FirstName"] for p in row["ContactPersons"]] == [""]


# --- times and sales --------------------------------------------------------------------------------------------------


def test_times() -> None:
    at = milliseconds("/Date(1503348544227+0000)/")
    assert at == milliseconds("/Date(1503348544227)/") == milliseconds("/Date(1503348544227+1300)/") == 1503348544227
    assert moment(at).isoformat() == "2017-08-21T20:49:04.227000+00:00"
    assert header(at) == "2017-08-21T20:49:04"
    assert milliseconds(None) == milliseconds("yesterday") == 0


@pytest.mark.parametrize(
    ("status", "state"),
    [("DRAFT", "draft"), ("SUBMITTED", "draft"), ("AUTHORISED", "open"), ("PAID", "paid"), ("VOIDED", "void")],
)
def test_states_of_a_sale(status: str, state: str) -> None:
    document = {
        "Type": "ACCREC",
        "InvoiceID": "i",
        "Contact": {"ContactID": "c"},
        "Status": status,
        "Total": 12,
        "Date": "/Date(1518685950940+0000)/",
        "CurrencyCode": "NZD",
        "LineItems": [{"Description": "Only text"}],
    }
    assert sales.is_sale("Invoices", document)
    purchase = sales.purchase("Invoices", document)
    assert purchase is not None
    assert (purchase.state, purchase.total, purchase.date, purchase.number) == (
        state,
        Decimal(12),
        date(2018, 2, 15),
        "",
    )
    assert [(line.text, line.item, line.quantity, line.amount) for line in purchase.lines] == [
        ("Only text", None, None, None)
    ]
    assert sales.purchase("Invoices", {**document, "Status": "DELETED"}) is None
    others: list[dict[str, Any]] = [{"Type": "ACCPAY"}, {"Contact": {}}, {"Total": None}]
    for other in others:
        assert not sales.is_sale("Invoices", {**document, **other})
