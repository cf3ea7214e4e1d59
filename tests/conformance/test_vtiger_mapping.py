"""Rows and cards: what stands where, what is cut, what is left alone. That `fit` is stable for any card is the
conformance kit's business."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.card import SLOT, Card
from connectors.vtiger.mapping import (
    CONTACTS,
    LEADS,
    LIMITS,
    ORGANIZATION,
    columns,
    difference,
    fit,
    module_of,
    storable,
    view,
)
from connectors.vtiger.schema import SCHEMAS

ROW = {
    "salutationtype": "Ms.",
    "firstname": "Zoë",
    "lastname": "O'Brien",
    "account_id": "11x15",
    ORGANIZATION: "Acme Ltd",
    "department": "R&D",
    "title": "CTO",
    "email": "zoe@example.com",
    "secondaryemail": "z2@example.com",
    "phone": "+44 20 7946 0000",
    "mobile": "+1 555 010 2030",
    "homephone": "h1",
    "otherphone": "o1",
    "fax": "f1",
    "assistant": "Bo",
    "assistantphone": "a1",
    "birthday": "1980-02-29",
    "mailingstreet": "1 High St\nFlat 2",
    "mailingcity": "London",
    "mailingzip": "SW1A 1AA",
    "mailingpobox": "PO 9",
    "otherstreet": "2 Low St",
    "othercountry": "UK",
    "description": "Line1\nLine2",
    "emailoptout": "1",
    "donotcall": "1",
    "leadsource": "Web Site",
}


def phones(*elements: dict[str, Any]) -> Card:
    return {"phones": {f"p{n}": element for n, element in enumerate(elements)}}


def phone(number: str, *marks: str, **more: Any) -> dict[str, Any]:
    features = {mark: True for mark in marks if mark in ("mobile", "fax", "pager")}
    contexts = {mark: True for mark in marks if mark in ("work", "private")}
    return {"number": number, **({"features": features} if features else {}), **more} | (
        {"contexts": contexts} if contexts else {}
    )


def slots(card: Card, card_field: str = "phones") -> dict[str, str]:
    return {key: element[SLOT] for key, element in card.get(card_field, {}).items()}


def test_a_row_comes_back_as_it_went() -> None:
    card = view(ROW, CONTACTS)
    written = {column: text for column, text in columns(card, CONTACTS).items() if text}
    left_alone = {"account_id", "emailoptout", "donotcall", "leadsource"}
    assert written == {column: text for column, text in ROW.items() if column not in left_alone}
    assert fit(card, card, CONTACTS) == card
    assert difference(card, card, CONTACTS) == {}


def test_a_view_is_a_card_with_slots() -> None:
    card = view(ROW, CONTACTS)
    assert card["name"] == {
        "components": [
            {"kind": "title", "value": "Ms."},
            {"kind": "given", "value": "Zoë"},
            {"kind": "surname", "value": "O'Brien"},
        ]
    }
    assert card["organizations"] == {"account_id": {"name": "Acme Ltd", "units": [{"name": "R&D"}], SLOT: "account_id"}}
    assert card["phones"]["fax"] == {"number": "f1", "features": {"fax": True}, SLOT: "fax"}
    assert card["anniversaries"]["birthday"]["date"] == {"year": 1980, "month": 2, "day": 29}
    assert card["relations"]["assistant"] == {"name": "Bo", "kind": "assistant", SLOT: "assistant"}


def test_our_lengths_are_the_tables() -> None:
    """Two notes of the same tables, made apart."""
    for module in (CONTACTS, LEADS):
        for column in module.columns:
            if column != ORGANIZATION:
                kept = SCHEMAS[module.name].by_name[column]
                assert LIMITS.get(column) == (None if kept.kind == "date" else kept.length), column
    assert LIMITS[ORGANIZATION] == SCHEMAS["Accounts"].by_name["accountname"].length


@pytest.mark.parametrize("blank", [None, "", "  ", "0000-00-00"])
def test_blanks_are_nothing(blank: str | None) -> None:
    assert view(
        {"lastname": "Lee", "birthday": blank, "title": None if blank == "0000-00-00" else blank}, CONTACTS
    ) == {"name": {"components": [{"kind": "surname", "value": "Lee"}]}}


@pytest.mark.parametrize(
    "date",
    [
        {"month": 2, "day": 29},
        {"year": 1980},
        {"year": 1981, "month": 2, "day": 29},
        {"year": 800, "month": 1, "day": 1},
    ],
)
def test_a_birthday_that_is_no_full_date_is_not_held(date: dict[str, int]) -> None:
    card = {"anniversaries": {"a": {"kind": "birth", "date": date}}}
    assert "anniversaries" not in fit(card, None, CONTACTS)


def test_other_anniversaries_are_not_held() -> None:
    card = {"anniversaries": {"w": {"kind": "wedding", "date": {"year": 2000, "month": 1, "day": 1}}}}
    assert "anniversaries" not in fit(card, None, CONTACTS)


# --- phones ----------------------------------------------------------------------------------------------------------


def test_each_phone_goes_where_it_says() -> None:
    card = phones(
        phone("1", "fax", "work"), phone("2", "private"), phone("3"), phone("4", "mobile"), phone("5", "work"),
        phone("6", label="Assistant"),
    )  # fmt: skip
    assert slots(fit(card, None, CONTACTS)) == {
        "p0": "fax",
        "p1": "homephone",
        "p2": "otherphone",
        "p3": "mobile",
        "p4": "phone",
        "p5": "assistantphone",
    }


def test_two_mobiles_do_not_fight() -> None:
    card = phones(phone("1", "mobile"), phone("2", "mobile"), phone("3", "mobile"))
    first = fit(card, None, CONTACTS)
    assert slots(first) == {"p0": "mobile", "p1": "otherphone"}
    for held in (first, fit({"phones": dict(reversed(card["phones"].items()))}, first, CONTACTS)):
        assert slots(fit(card, held, CONTACTS)) == slots(first)
    swapped = {"phones": {"p2": {**phone("3", "mobile"), SLOT: "mobile"}, "p0": {**phone("1"), SLOT: "otherphone"}}}
    assert slots(fit(card, swapped, CONTACTS)) == {"p2": "mobile", "p0": "otherphone"}


def test_what_stands_in_a_slot_stays_while_it_is_true() -> None:
    held = {"phones": {"p0": {"number": "1", SLOT: "mobile"}, "p1": {"number": "2", SLOT: "phone"}}}
    unsaid = fit(phones(phone("1"), phone("2")), held, CONTACTS)
    assert slots(unsaid) == {"p0": "mobile", "p1": "phone"}
    moved = fit(phones(phone("1", "mobile"), phone("2", "private")), held, CONTACTS)
    assert slots(moved) == {"p0": "mobile", "p1": "homephone"}


def test_a_number_that_says_nothing_is_not_called_private_or_mobile() -> None:
    card = phones(*(phone(str(n)) for n in range(4)))
    assert sorted(slots(fit(card, None, CONTACTS)).values()) == ["otherphone", "phone"]


def test_a_second_fax_has_no_place() -> None:
    assert slots(fit(phones(phone("1", "fax"), phone("2", "fax")), None, CONTACTS)) == {"p0": "fax"}


def test_the_preferred_come_first() -> None:
    emails = {"a": {"address": "a@x"}, "b": {"address": "b@x", "pref": 2}, "c": {"address": "c@x", "pref": 1}}
    assert slots(fit({"emails": emails}, None, CONTACTS), "emails") == {"c": "email", "b": "secondaryemail"}


# --- names -----------------------------------------------------------------------------------------------------------


def components(**parts: str) -> list[dict[str, str]]:
    return [{"kind": kind, "value": value} for kind, value in parts.items()]


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ({"name": {"components": components(given="Ann", surname="Lee")}}, components(given="Ann", surname="Lee")),
        ({"name": {"components": components(title="Dr.", given="Ann")}}, components(title="Dr.", surname="Ann")),
        ({"name": {"full": "Ann van Lee"}}, components(surname="Ann van Lee")),
        ({"organizations": {"o": {"name": "Acme"}}}, components(surname="Acme")),
        ({"emails": {"e": {"address": "a@x.org"}}}, components(surname="a@x.org")),
        ({"name": {"components": components(given="Ann", surname="😀")}}, components(surname="Ann")),
        ({"name": {"components": components(surname="😀")}, "phones": {"p": {"number": "1"}}}, components(surname="1")),
    ],
)
def test_a_surname_is_found_for_everybody(card: Card, name: list[dict[str, str]]) -> None:
    fitted = fit(card, None, CONTACTS)
    assert fitted["name"]["components"] == name
    assert fit(fitted, None, CONTACTS)["name"] == fitted["name"]


def test_nobody_gets_no_name() -> None:
    assert fit({"notes": {"n": {"note": "x"}}}, None, CONTACTS).keys() == {"notes"}


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Ann 😀", "Ann"),
        ("👩‍👧 family", "family"),
        ("a\u200db", "a\u200db"),
        ("日本語 ö", "日本語 ö"),
        ("R&amp;D", "R&D"),
        ("&amp;amp;lt;b&gt;", "<b>"),
        ("&#039;x&#x41;", "'xA"),
        ("&a😀mp;", "&"),
        ("&nope; &copy & ;", "&nope; &copy & ;"),
        ("&#0;&#128512;", "&#0;"),
        ("  ", ""),
        (" x ", " x "),
    ],
)
def test_what_is_left_of_a_text(text: str, kept: str) -> None:
    assert storable(text, "description") == kept
    assert storable(kept, "description") == kept


def test_texts_are_cut() -> None:
    assert storable("L" * 300, "lastname") == "L" * 80
    assert len(storable("x" * 100_000, "description")) == 100_000


def test_no_half_of_an_address_is_held() -> None:
    """It would be somebody else's."""
    card = {
        "emails": {
            "long": {"address": "a" * 100 + "@x.org"},
            "b": {"address": "😀b@x.org"},
            "c": {"address": "c@x.org"},
        },
        **phones(phone("5" * 51), phone("4" * 50)),
    }
    fitted = fit(card, None, CONTACTS)
    assert (list(fitted["emails"]), list(fitted["phones"])) == (["c"], ["p1"])


def test_a_longer_column_than_ours_is_not_cut_again() -> None:
    """An installation may have widened its columns: what stands there stays."""
    held = view({"lastname": "Lee", "title": "T" * 90}, CONTACTS)
    assert fit(held, held, CONTACTS) == held


def test_only_the_first_unit_and_the_first_note() -> None:
    card = {
        "organizations": {"o": {"name": "Acme", "units": [{"name": "A"}, {"name": "B"}]}},
        "notes": {"a": {"note": "one"}, "b": {"note": "two"}},
    }
    fitted = fit(card, None, CONTACTS)
    assert fitted["organizations"]["o"]["units"] == [{"name": "A"}]
    assert list(fitted["notes"]) == ["a"]


def test_an_address_of_which_only_the_whole_is_known() -> None:
    card = {"addresses": {"a": {"full": "1 High St, London"}}}
    assert fit(card, None, CONTACTS)["addresses"]["a"]["concord:lines"] == "1 High St, London"


# --- writing ---------------------------------------------------------------------------------------------------------


def test_the_difference_is_what_changed() -> None:
    held = view(ROW, CONTACTS)
    card = {**held, "titles": {}, "phones": {**held["phones"], "mobile": {**held["phones"]["mobile"], "number": "9"}}}
    assert difference(card, held, CONTACTS) == {"title": "", "mobile": "9"}


def test_an_address_that_loses_a_part() -> None:
    held = view(ROW, CONTACTS)
    mailing = {**held["addresses"]["mailing"], "components": [{"kind": "locality", "value": "Leeds"}]}
    card = {**held, "addresses": {**held["addresses"], "mailing": mailing}}
    assert difference(card, held, CONTACTS) == {"mailingcity": "Leeds", "mailingzip": "", "mailingpobox": ""}


# --- leads -----------------------------------------------------------------------------------------------------------


def test_a_module_is_known_by_its_slots() -> None:
    lead = view({"lastname": "Lee", "company": "LCo", "email": "lee@x"}, LEADS)
    assert module_of(lead, CONTACTS) is LEADS
    assert module_of(view(ROW, CONTACTS), LEADS) is CONTACTS
    unsaid = view({"lastname": "Lee", "email": "lee@x"}, LEADS)
    assert (module_of(unsaid, CONTACTS), module_of(unsaid, LEADS), module_of(None, LEADS)) == (CONTACTS, LEADS, LEADS)


def test_what_was_fitted_for_a_contact_fits_a_lead() -> None:
    card = fit({"titles": {"t": {"name": "CEO"}}, "organizations": {"o": {"name": "LCo"}}}, None, CONTACTS)
    written = columns(card, LEADS)
    assert (written["designation"], written["company"]) == ("CEO", "LCo")
