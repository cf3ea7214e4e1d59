"""SugarCRM's rows and our card (sugarcrm note, A3 and field map)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.card import LINES, SLOT, Card, leaves
from connectors.consent import Consent
from connectors.sugarcrm import mapping
from connectors.sugarcrm.mapping import Change, Dialect, ListChange, no_emoji
from connectors.sugarcrm.places import TEXT_BYTES
from connectors.testing import cards

MODERN, OLD = Dialect(), Dialect(tags=False, keeps=no_emoji)
GUS: dict[str, Any] = {
    "id": "1",
    "date_modified": "2016-04-05T10:23:28-04:00",
    "salutation": "Mr.",
    "first_name": "Gus",
    "last_name": "Dales",
    "title": "Head",
    "department": "Sales",
    "email": [
        {"email_address": "b@x.test", "primary_address": "0", "opt_out": "1", "invalid_email": "0"},
        {"email_address": "gus@x.test", "primary_address": True, "opt_out": False, "invalid_email": False},
        {"email_address": "a@x.test", "primary_address": False, "opt_out": 0, "invalid_email": 1},
    ],
    "phone_work": "+49 30 1",
    "phone_mobile": "+49 171 2",
    "phone_home": "",
    "phone_other": "+49 30 3",
    "phone_fax": "+49 30 4",
    "do_not_call": "0",
    "primary_address_street": "Lange Straße 1\nHinterhaus",
    "primary_address_city": "Bonn",
    "primary_address_postalcode": "53111",
    "primary_address_country": "Germany",
    "alt_address_state": "NRW",
    "description": "Prefers the phone.",
    "birthdate": "1980-02-29",
    "account_name": "Acme",
    "tag": [{"id": "2", "name": "vip"}, {"id": "1", "name": "Old"}],
    mapping.LISTS: [{"id": "9", "name": "Friends"}],
}


def test_a_row_is_shown_in_full() -> None:
    assert mapping.view(GUS) == {
        "name": {
            "components": [
                {"kind": "title", "value": "Mr."},
                {"kind": "given", "value": "Gus"},
                {"kind": "surname", "value": "Dales"},
            ]
        },
        "organizations": {"account_name": {"name": "Acme", "units": [{"name": "Sales"}], SLOT: "account_name"}},
        "titles": {"title": {"name": "Head", SLOT: "title"}},
        "phones": {
            "phone_mobile": {"number": "+49 171 2", "features": {"mobile": True}, SLOT: "phone_mobile"},
            "phone_work": {"number": "+49 30 1", "contexts": {"work": True}, SLOT: "phone_work"},
            "phone_other": {"number": "+49 30 3", SLOT: "phone_other"},
            "phone_fax": {"number": "+49 30 4", "features": {"fax": True}, SLOT: "phone_fax"},
        },
        "addresses": {
            "primary_address": {
                LINES: "Lange Straße 1\nHinterhaus",
                "components": [
                    {"kind": "locality", "value": "Bonn"},
                    {"kind": "postcode", "value": "53111"},
                    {"kind": "country", "value": "Germany"},
                ],
                SLOT: "primary_address",
            },
            "alt_address": {"components": [{"kind": "region", "value": "NRW"}], SLOT: "alt_address"},
        },
        "anniversaries": {
            "birthdate": {"date": {"year": 1980, "month": 2, "day": 29}, "kind": "birth", SLOT: "birthdate"}
        },
        "notes": {"description": {"note": "Prefers the phone.", SLOT: "description"}},
        "emails": {
            "1": {"address": "gus@x.test", "pref": 1},
            "2": {"address": "a@x.test"},
            "3": {"address": "b@x.test"},
        },
        "keywords": {"Old": True, "vip": True},
        "groups": {"9": {"name": "Friends"}},
    }


def test_one_state_is_one_view_in_whatever_order_it_comes() -> None:
    version = mapping.version(GUS, mapping.view(GUS), mapping.consents(GUS))
    for emails in itertools.permutations(GUS["email"]):
        row = {**GUS, "email": list(emails), "tag": GUS["tag"][::-1]}
        assert mapping.view(row) == mapping.view(GUS)
        assert list(leaves(mapping.view(row))) == list(leaves(mapping.view(GUS)))
        assert mapping.version(row, mapping.view(row), mapping.consents(row)) == version


def test_a_flag_is_part_of_the_version() -> None:
    """It moves without the record's time (note A3)."""
    row = {**GUS, "do_not_call": True}
    assert mapping.version(row, mapping.view(row), mapping.consents(row)) != mapping.version(
        GUS, mapping.view(GUS), mapping.consents(GUS)
    )


@pytest.mark.parametrize("nothing", [[], {}, "", None])
def test_an_empty_list_in_any_of_phps_ways(nothing: Any) -> None:
    row = {**GUS, "email": nothing, "tag": nothing, mapping.LISTS: nothing, "birthdate": nothing}
    assert not {"emails", "keywords", "groups", "anniversaries"} & mapping.view(row).keys()
    assert mapping.consents(row) == [Consent("phone", "", "unknown")]


def test_a_list_that_php_wrote_as_an_object() -> None:
    row = {"email": {"0": {"email_address": "a@x.test"}, "1": {"email_address": "A@X.test"}}}
    assert mapping.view(row)["emails"] == {"1": {"address": "a@x.test", "pref": 1}}


@pytest.mark.parametrize("birthdate", ["0000-00-00", "1980-00-01", "soon", "1980"])
def test_what_is_no_date_is_none(birthdate: str) -> None:
    assert "anniversaries" not in mapping.view({**GUS, "birthdate": birthdate})


@pytest.mark.parametrize("value", [True, 1, "1", "true", "on"])
def test_on(value: Any) -> None:
    assert mapping.flag(value)


@pytest.mark.parametrize("value", [False, 0, "0", "false", "", None, "off"])
def test_off(value: Any) -> None:
    assert not mapping.flag(value)


def test_ids_and_keys() -> None:
    for module, row in (("Contacts", "1"), ("Leads", "5b0e-1")):
        assert mapping.module_and_row(mapping.record_id(module, row)) == (module, row)
    assert mapping.record_id("Contacts", "1") == "1"
    assert mapping.key("concord-abc") == "abc"
    assert mapping.key("ext-17") is None
    assert mapping.key(None) is None


# --- projecting ------------------------------------------------------------------------------------------------------


def fit(card: Card, held: Card | None = None, dialect: Dialect = MODERN) -> Card:
    return mapping.fit(card, held, dialect)


def test_what_stands_there_fits_as_it_stands() -> None:
    view = mapping.view(GUS)
    assert leaves(fit(view, view)) == leaves(view)
    assert not mapping.difference(fit(view, view), view)


def test_two_mobiles_do_not_fight_for_one_slot() -> None:
    phones = {
        "a": {"number": "1", "features": {"mobile": True}},
        "b": {"number": "2", "features": {"mobile": True}},
        "c": {"number": "3", "features": {"fax": True}},
        "d": {"number": "4", "features": {"fax": True}},
        "e": {"number": "5", "contexts": {"work": True}},
    }
    slots = {key: phone[SLOT] for key, phone in fit({"phones": phones})["phones"].items()}
    assert slots == {"a": "phone_mobile", "b": "phone_other", "c": "phone_fax", "e": "phone_work"}
    held = fit({"phones": {"b": phones["b"]}})
    assert fit({"phones": phones}, held)["phones"]["b"][SLOT] == "phone_mobile"


def test_one_address_is_primary() -> None:
    emails = {"a": {"address": "a@x.test"}, "b": {"address": "b@x.test", "pref": 2}, "c": {"address": "A@X.test"}}
    assert fit({"emails": emails})["emails"] == {
        "a": {"address": "a@x.test"},
        "b": {"address": "b@x.test", "pref": 1},
    }
    equals = {"a": {"address": "a@x.test"}, "b": {"address": "b@x.test"}}
    held = {"emails": {"b": {"address": "b@x.test", "pref": 1}}}
    assert fit({"emails": equals})["emails"]["a"]["pref"] == 1
    assert fit({"emails": equals}, held)["emails"]["b"]["pref"] == 1, "who is primary stays it among equals"


@pytest.mark.parametrize("address", ["no address", "@", "a@", "a b@x.test", "x" * 250 + "@x.test"])
def test_what_cannot_be_an_address_is_not_held(address: str) -> None:
    assert "emails" not in fit({"emails": {"a": {"address": address}}})


def test_emoji_where_they_are_kept_and_where_they_are_not() -> None:
    card = {"notes": {"n": {"note": "Likes 🎷 and 👩‍👩‍👧"}}, "phones": {"p": {"number": "🎷 1"}}}
    assert fit(card)["notes"]["n"]["note"] == "Likes 🎷 and 👩‍👩‍👧"
    assert fit(card, dialect=OLD)["notes"]["n"]["note"] == "Likes  and"
    assert "phones" not in fit(card, dialect=OLD)
    standing = mapping.view({"last_name": "Lee", "description": "Likes 🎷"})
    assert fit(standing, standing, OLD) == standing, "what stands there is shown as it stands"


def test_tags_only_where_there_are_any() -> None:
    card = {"keywords": {"vip": True, "VIP": True, "x" * 300: True}}
    assert fit(card) == {"keywords": {"VIP": True}}
    assert fit(card, {"keywords": {"vip": True}}) == {"keywords": {"vip": True}}
    assert fit(card, dialect=OLD) == {}


def test_the_last_name_is_never_empty() -> None:
    def last(card: Card) -> str:
        return mapping.columns(fit(card))["last_name"]

    assert last({"name": {"components": [{"kind": "given", "value": "Ann"}]}}) == "Ann"
    assert last({"name": {"full": "Ann Lee"}}) == "Ann Lee"
    assert last({"organizations": {"o": {"name": "Acme"}}}) == "Acme"
    assert last({"emails": {"e": {"address": "a@x.test"}}}) == "a@x.test"
    assert last({"notes": {"n": {"note": "?"}}}) == ""


def test_only_a_full_date_has_a_place() -> None:
    def birth(**date: int) -> Card:
        return fit({"anniversaries": {"b": {"kind": "birth", "date": date}}})

    assert birth(month=2, day=29) == birth(year=1980) == birth(year=0, month=1, day=1) == {}
    assert birth(year=1980, month=2, day=29)["anniversaries"]["b"]["date"] == {"year": 1980, "month": 2, "day": 29}


def test_a_long_note_is_cut_at_a_character() -> None:
    note = fit({"notes": {"n": {"note": "a" + "ö" * 40_000}}})["notes"]["n"]["note"]
    assert len(note.encode()) == TEXT_BYTES


@settings(max_examples=100, deadline=None)
@given(cards(), cards(), st.sampled_from([MODERN, OLD]))
def test_writing_a_projection_and_reading_it_gives_it_back(card: Card, other: Card, dialect: Dialect) -> None:
    """`difference`, laid over a row, gives a row whose view is the projection."""
    held = fit(other, None, dialect)
    wanted = fit(card, held, dialect)
    change = mapping.difference(wanted, held)
    row: dict[str, Any] = {**mapping.columns(held), **change.columns}
    before = [
        {"email_address": e["address"], "primary_address": e.get("pref") == 1} for e in held.get("emails", {}).values()
    ]
    row["email"] = mapping.email_list(before, change)
    shown = mapping.view(row)
    assert mapping.columns(shown) == mapping.columns(wanted)
    assert not mapping.difference(shown, wanted).emails
    assert not mapping.difference(shown, wanted).primary
    assert not mapping.difference(wanted, wanted)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_written() -> None:
    view = mapping.view(GUS)
    card = {**view, "titles": {}, "keywords": {"VIP": True, "new": True}, "groups": {"g": {"name": " friends "}}}
    assert mapping.difference(card, view) == Change(
        columns={"title": ""}, tags=ListChange(added=("new",), removed=("Old",))
    )


def test_the_list_of_addresses_is_patched() -> None:
    change = Change(emails=ListChange(added=("new@x.test", "shared@x.test"), removed=("GUS@x.test",)))
    known = {"shared@x.test": {"opt_out": True, "invalid_email": False}}
    patched = mapping.email_list(GUS["email"], change, [Consent("email", "A@x.test", "withdrawn")], known)
    assert {i["email_address"]: (i["primary_address"], i["opt_out"], i["invalid_email"]) for i in patched} == {
        "a@x.test": (True, True, True),
        "b@x.test": (False, True, False),
        "new@x.test": (False, False, False),
        "shared@x.test": (False, True, False),
    }


@pytest.mark.parametrize(
    ("state", "opt_out", "invalid"),
    [
        (None, True, True),
        ("withdrawn", True, True),
        ("granted", False, False),
        ("unknown", False, False),
        ("undeliverable", False, True),
    ],
)
def test_the_flags_that_show_a_state(state: str | None, opt_out: bool, invalid: bool) -> None:
    item = {"opt_out": "1", "invalid_email": "1"}
    assert mapping.flags_of(item, state) == {"opt_out": opt_out, "invalid_email": invalid}


def test_do_not_call_is_touched_only_where_it_is_meant() -> None:
    assert mapping.do_not_call([]) is None
    assert mapping.do_not_call([Consent("email", "a@x.test", "withdrawn")]) is None
    assert mapping.do_not_call([Consent("phone", "+49 30 1", "withdrawn")]) is None
    assert mapping.do_not_call([Consent("phone", "", "withdrawn")]) is True
    assert mapping.do_not_call([Consent("phone", "", "granted")]) is False
