"""Tryton's parties as cards, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.card import LINES, SLOT, Equivalence, components, leaves
from connectors.testing import cards
from connectors.tryton import mapping, rows
from connectors.tryton.rows import address, address_columns, mechanism, mechanism_columns, written_address

EQ = Equivalence()


def party(**columns: Any) -> dict[str, Any]:
    lists = {"contact_mechanisms.": [], "addresses.": [], "categories.": [], "identifiers.": []}
    return {"id": 7, "name": None, "active": True, "_timestamp": "1.5", **lists, **columns}


def row(kind: str, value: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": 1, "type": kind, "value": value, "name": name, "sequence": None, "_timestamp": "1.5", **more}


# --- contact mechanisms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "name", "field", "element"),
    [
        ("phone", "+49 30 5550002", None, "phones", {"number": "+49 30 5550002"}),
        ("mobile", "+49 171 5550001", "Boat", "phones", {"features": {"mobile": True}, "label": "Boat"}),
        ("fax", "+49 30 5550002", None, "phones", {"features": {"fax": True}}),
        ("email", "ann@example.org", "Work", "emails", {"address": "ann@example.org", "label": "Work"}),
        ("website", "example.org", None, "links", {"uri": "example.org"}),
        ("skype", "ann", "Home", "onlineServices", {"service": "Skype", "user": "ann", "label": "Home"}),
        ("sip", "sip:ann@example.org", None, "onlineServices", {"service": "SIP", "uri": "sip:ann@example.org"}),
        ("irc", "ann", None, "onlineServices", {"service": "IRC", "user": "ann"}),
        ("jabber", "ann@example.org", None, "onlineServices", {"service": "Jabber", "user": "ann@example.org"}),
        ("other", "@ann", "Mastodon", "onlineServices", {"service": "Mastodon", "user": "@ann"}),
        ("other", "at the bar", None, "onlineServices", {"user": "at the bar"}),
        ("other", "0551 4567", "Phone", "phones", {"number": "0551 4567"}),
        ("other", "0551 4567", "mobile: Boat", "phones", {"features": {"mobile": True}, "label": "Boat"}),
    ],
)
def test_each_type_has_its_place_and_comes_back(
    kind: str, value: str, name: str | None, field: str, element: dict[str, Any]
) -> None:
    shown = mechanism(row(kind, value, name))
    assert shown is not None
    assert shown[0] == field
    assert element.items() <= shown[1].items()
    columns = mechanism_columns(*shown)
    assert columns is not None
    assert (columns["type"], columns["value"]) == (kind, value)
    assert mechanism(columns) == shown


@pytest.mark.parametrize("value", ["", "  ", "****"])
def test_what_is_blank_or_erased_is_nothing(value: str) -> None:
    assert mechanism(row("other", value)) is None
    assert mechanism_columns("phones", {"number": value}) is None


@pytest.mark.parametrize("number", ["0551 4567", "+49 1", "ask Bob", "555-0100"])
def test_a_number_that_tryton_refuses_is_kept_as_another_thing(number: str) -> None:
    columns = mechanism_columns("phones", {"number": number, "features": {"mobile": True}, "label": "Boat"})
    assert columns == {"type": "other", "value": number, "name": "Mobile: Boat"}
    assert mechanism(columns) == ("phones", {"number": number, "features": {"mobile": True}, "label": "Boat"})


def test_a_service_that_would_come_back_as_a_number_is_not_held() -> None:
    assert mapping.fit({"onlineServices": {"o": {"service": "Phone", "user": "0551"}}}, None) == {}


def test_what_is_said_on_one_line_is_written_on_one_line() -> None:
    """No Char field takes a line break."""
    fitted = mapping.fit(
        {"name": {"full": " Ann\nLee "}, "emails": {"e": {"address": "a@b.org", "label": "x\ty"}}}, None
    )
    assert fitted == {"name": {"full": "Ann Lee"}, "emails": {"e": {"address": "a@b.org", "label": "x y"}}}


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_is_one_text() -> None:
    card = {"name": {"components": components({"given": "Ann", "surname": "Lee"})}}
    assert mapping.fit(card, None) == {"name": {"full": "Ann Lee"}}
    assert mapping.view(party(name="Ann Lee")) == {"name": {"full": "Ann Lee"}}


def test_the_split_name_owes_nothing_to_the_one_name() -> None:
    """Law 6: what the party shows of the name is what we project of it, however it is split."""
    card = {"name": {"components": components({"title": "Dr", "given": "Ann", "surname": "van der Lee"})}}
    view = mapping.view(party(name="Dr Ann van der Lee"))
    assert leaves(mapping.fit(card, view)) == leaves(mapping.fit(card, None)) == leaves(view)


def test_who_has_no_name_is_called_by_what_there_is() -> None:
    assert mapping.fit({"organizations": {"o": {"name": "Acme"}}}, None) == {"name": {"full": "Acme"}}
    assert mapping.fit({"notes": {"n": {"note": "x"}}}, None) == {}


# --- addresses -------------------------------------------------------------------------------------------------------


def place(**columns: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("street", "street_unstructured", *rows.PARTS, *rows.OTHERS, "post_box", "city"))
    return {
        "id": 3,
        **blank,
        "postal_code": None,
        "country.": None,
        "subdivision.": None,
        "_timestamp": "1.5",
        **columns,
    }


def test_an_address_as_tryton_shows_it() -> None:
    shown = address(
        place(
            street="Lange Straße 12\nHinterhaus",
            city="Göttingen",
            postal_code="37073",
            **{
                "country.": {"id": 1, "name": "Germany", "code": "DE"},
                "subdivision.": {"id": 1, "name": "Niedersachsen"},
            },
        )
    )
    assert shown == {
        LINES: "Lange Straße 12\nHinterhaus",
        "components": components(
            {"locality": "Göttingen", "region": "Niedersachsen", "postcode": "37073", "country": "Germany"}
        ),
        "countryCode": "DE",
    }
    assert address(place()) is None


def test_next_to_a_post_box_the_street_is_made_of_its_parts() -> None:
    """Tryton's own text has the post box in it."""
    shown = address(place(street="Weg 3\nBP 4711", street_name="Weg", building_number="3", post_box="4711"))
    assert shown == {LINES: "Weg 3", "components": [{"kind": "postOfficeBox", "value": "4711"}]}
    hidden = address(place(street="4711", street_unstructured="Weg 3", post_box="4711"))
    assert hidden == {LINES: "Weg 3", "components": [{"kind": "postOfficeBox", "value": "4711"}]}


BOX = {"components": components({"postOfficeBox": "4711"})}
ONLY_BOX = {"post_box": "4711"}


@pytest.mark.parametrize(
    ("before", "after", "standing", "written"),
    [
        (None, {LINES: "Weg 3\nHof"}, [], {"street_unstructured": "Weg 3\nHof"}),
        (None, {LINES: "Weg 3\nHof", **BOX}, [], {"street_name": "Weg 3, Hof", **ONLY_BOX}),
        (None, BOX, [], ONLY_BOX),
        ({LINES: "Weg 3"}, {LINES: "Weg 3"}, ["street_unstructured"], {}),
        ({LINES: "Weg 3"}, {LINES: "Weg 4"}, ["street_unstructured"], {"street_unstructured": "Weg 4"}),
        ({LINES: "Weg 3"}, {}, ["street_unstructured"], {"street_unstructured": None}),
        (
            {LINES: "Weg 3"},
            {LINES: "Weg 4"},
            ["street_name", "building_number"],
            {"street_unstructured": "Weg 4", "street_name": None, "building_number": None},
        ),
        (
            {LINES: "Weg 3"},
            {LINES: "Weg 3", **BOX},
            ["street_unstructured"],
            {"street_unstructured": None, "street_name": "Weg 3", **ONLY_BOX},
        ),
        ({LINES: "Weg 3"}, {LINES: "Weg 3", **BOX}, ["street_name", "building_number"], ONLY_BOX),
        ({LINES: "Weg 3", **BOX}, {LINES: "Weg 3"}, ["street_name"], {"post_box": None}),
    ],
)
def test_of_a_street_only_what_differs_is_written(
    before: dict[str, Any] | None, after: dict[str, Any], standing: list[str], written: dict[str, Any]
) -> None:
    assert address_columns(after, before, standing) == written


def test_a_region_needs_a_country() -> None:
    region = {"components": components({"region": "Bayern", "locality": "Hof"})}
    assert written_address(region) == {"components": components({"locality": "Hof"})}
    assert written_address({**region, "countryCode": "de"}) == {**region, "countryCode": "DE"}


def test_the_code_of_the_former_country_says_nothing_of_the_new_one() -> None:
    before = {"components": components({"country": "Germany"}), "countryCode": "DE"}
    after = {"components": components({"country": "Frankreich"}), "countryCode": "DE"}
    assert address_columns(after, before)["country"] == ("Frankreich", "")
    assert address_columns({"countryCode": "FR"}, before)["country"] == ("", "FR")
    assert address_columns(after)["country"] == ("Frankreich", "DE")


# --- parties ---------------------------------------------------------------------------------------------------------


def test_archived_rows_do_not_show() -> None:
    shown = mapping.view(
        party(
            name="Ann",
            **{
                "contact_mechanisms.": [
                    row("email", "a@b.org", active=False),
                    row("email", "c@d.org", id=2, active=True),
                ],
                "addresses.": [place(city="Bonn", active=0)],
                "categories.": [
                    {"id": 2, "rec_name": "A / B"},
                ],
            },
        )
    )
    assert shown == {
        "name": {"full": "Ann"},
        "emails": {"2": {"address": "c@d.org", SLOT: "2"}},
        "groups": {"2": {"name": "A / B"}},
    }


def test_our_key_is_an_identifier_without_a_type() -> None:
    codes = [{"id": 1, "code": "DE123"}, {"id": 2, "code": "concord:abc"}]
    assert mapping.key(party(**{"identifiers.": codes})) == "abc"
    assert mapping.key(party()) is None
    assert mapping.creation({"name": {"full": "Ann"}}, "abc") == {
        "name": "Ann",
        "identifiers": [["create", [{"type": None, "code": "concord:abc"}]]],
    }


def test_groups_that_differ_by_case_are_one_category() -> None:
    groups = {"a": {"name": "Friends"}, "b": {"name": "friends"}, "c": {"name": " Club /  Choir "}}
    assert mapping.fit({"groups": groups}, None)["groups"] == {"a": {"name": "Friends"}, "c": {"name": "Club / Choir"}}
    assert mapping.fit({"groups": groups}, {"groups": {"b": {"name": "x"}}})["groups"].keys() == {"b", "c"}


def shown_rows() -> dict[str, Any]:
    return party(
        name="Ann",
        **{
            "contact_mechanisms.": [
                row("phone", "+49 30 5550002"),
                row("mobile", "+49 171 5550001", id=2, sequence=4),
                row("email", "a@b.org", id=3, comment="unknown to us"),
            ],
            "addresses.": [place(street="Weg 3", street_unstructured="Weg 3", city="Bonn")],
            "categories.": [{"id": 5, "rec_name": "Friends"}],
        },
    )


def test_only_what_differs_is_written() -> None:
    held, memory = mapping.view(shown_rows()), mapping.memory(shown_rows())
    assert mapping.difference(held, held, memory) == {}
    [phone, mobile] = held["phones"].values()
    after = {
        **held,
        "name": {"full": "Berta"},
        "phones": {"x": {**phone, "features": {"fax": True}}, "new": {"number": "+49 40 5550003"}},
        "emails": {},
        "groups": {"g": {"name": "Choir"}},
    }
    assert mobile[SLOT] == "2"
    assert mapping.difference(after, held, memory) == {
        "name": "Berta",
        "contact_mechanisms": [
            ["delete", [3]],
            ["delete", [2]],
            ["write", [1], {"type": "fax"}],
            ["create", [{"type": "phone", "value": "+49 40 5550003", "sequence": 5}]],
        ],
        "categories": (["Choir"], ["Friends"]),
    }


def test_the_memory_has_what_proves_a_party_unchanged() -> None:
    memory = mapping.memory(shown_rows())
    assert set(memory["stamps"]) == {
        "party.party,7",
        *(f"party.contact_mechanism,{number}" for number in (1, 2, 3)),
        "party.address,3",
    }
    assert memory["categories"] == {"5": "Friends"}
    assert memory["streets"] == {"3": ["street_unstructured"]}


def test_blanking_leaves_nothing_personal() -> None:
    columns = mapping.blank(shown_rows())
    assert columns["name"] is None
    assert columns["contact_mechanisms"][0][:2] == ["write", [1, 2, 3]]
    assert "identifiers" not in columns
    left = {value for name in ("contact_mechanisms", "addresses") for value in columns[name][0][2].values()}
    assert left == {None, "other", "****"}


@given(cards(), st.sampled_from(("1", "2", "3")))
def test_what_is_projected_is_what_a_party_of_it_shows(card: dict[str, Any], key: str) -> None:
    """`fit` is written, then read: through the columns and back, nothing changes."""
    fitted = mapping.fit(card, None)
    for field in ("emails", "phones", "links", "onlineServices"):
        for element in fitted.get(field, {}).values():
            columns = mechanism_columns(field, element)
            assert columns is not None
            assert mechanism(columns) == (field, element)
    for element in fitted.get("addresses", {}).values():
        columns = address_columns(element)
        box, lines = columns.get("post_box"), columns.get("street_unstructured") or columns.get("street_name")
        assert bool(box) == bool(columns.get("street_name")) or not lines
        assert EQ.same(("addresses", key, LINES), element.get(LINES, ""), lines or "")
