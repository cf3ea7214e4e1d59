"""Person ↔ card: what is shown, what fits, what an update changes. Where a rule is Google's, its sandbox judges."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings

from app.core.align import align
from connectors.card import LINES, SLOT, VALUE, Card, Equivalence, leaves
from connectors.google import mapping
from connectors.google.sandbox import SINGLETONS, GoogleSandbox
from connectors.testing import cards

EQ = Equivalence("GB")


def shown(person: dict[str, Any]) -> Card:
    """The view of a person that Google was given."""
    box = GoogleSandbox()
    groups = {box.group(name): name for name in ("VIP", "Chess")}
    [name] = box.seed([person])
    [rendered] = box.people()
    assert rendered["resourceName"] == name
    mine = {group: title for group, title in groups.items() if group in mapping.memberships(rendered)}
    return mapping.view(mapping.writable(rendered), mine, None)


def values(card: Card) -> dict[str, list[Any]]:
    """A card without its element ids, to compare what two cards hold."""
    names = {key: o.get("name") for key, o in card.get("organizations", {}).items()}

    def bare(element: Any) -> Any:
        tie = {"organizationId": names.get(element["organizationId"])} if "organizationId" in element else {}
        return {**element, **tie}

    return {
        field: sorted(map(repr, map(_sorted, map(bare, value.values())))) if field in VALUE else value
        for field, value in card.items()
    }


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


PERSON = {
    "names": [
        {"honorificPrefix": "Dr.", "givenName": "Zoë", "familyName": "O'Brien", "honorificSuffix": "PhD",
         "phoneticGivenName": "Zo-ee"}
    ],
    "nicknames": [{"value": "Zo"}],
    "emailAddresses": [
        {"value": "z@work.test", "type": "work"},
        {"value": "z@boat.test", "type": "Boat"},
        {"value": "z@other.test", "type": "other"},
    ],
    "phoneNumbers": [
        {"value": "020 7946 0000", "type": "workMobile"},
        {"value": "020 7946 0001", "type": "main"},
        {"value": "020 7946 0002", "type": "googleVoice"},
        {"value": "020 7946 0003", "type": "homeFax"},
    ],
    "addresses": [
        {"type": "home", "streetAddress": "1 High St", "extendedAddress": "Flat 2", "poBox": "7", "city": "London",
         "postalCode": "SW1", "country": "UK", "countryCode": "GB"},
        {"formattedValue": "Somewhere by the sea"},
    ],
    "organizations": [
        {"name": "Acme", "department": "R&D", "title": "CTO", "current": True},
        {"title": "Poet"},
        {"name": "Old Ltd", "endDate": {"year": 2001}},
    ],
    "birthdays": [{"date": {"month": 2, "day": 29}}],
    "events": [{"type": "anniversary", "date": {"year": 2010, "month": 5, "day": 1}},
               {"type": "First dive", "date": {"year": 1999}}],
    "biographies": [{"value": "Likes boats"}],
    "urls": [{"value": "https://z.test", "type": "homePage"}, {"value": "https://blog.test", "type": "blog"}],
    "relations": [{"person": "Ida", "type": "mother"}],
    "imClients": [{"username": "zoe", "protocol": "skype", "type": "home"}],
    "sipAddresses": [{"value": "sip:z@x.test", "type": "work"}],
    "occupations": [{"value": "carpenter"}],
    "miscKeywords": [{"value": "regatta", "type": "OUTLOOK_KEYWORD"}, {"value": "3", "type": "OUTLOOK_PRIORITY"}],
    "userDefined": [{"key": "Shoe", "value": "42"}],
}  # fmt: skip


def test_a_person_shows_whole() -> None:
    card = values(shown(PERSON))
    assert card["name"] == {
        "components": [
            {"kind": "title", "value": "Dr."},
            {"kind": "given", "value": "Zoë", "phonetic": "Zo-ee"},
            {"kind": "surname", "value": "O'Brien"},
            {"kind": "credential", "value": "PhD"},
        ]
    }
    expected: dict[str, list[Any]] = {
        "nicknames": [{"name": "Zo"}],
        "emails": [
            {"address": "z@work.test", "contexts": {"work": True}},
            {"address": "z@boat.test", "label": "Boat"},
            {"address": "z@other.test"},
        ],
        "phones": [
            {"number": "020 7946 0000", "contexts": {"work": True}, "features": {"mobile": True}},
            {"number": "020 7946 0001", "features": {"main-number": True}},
            {"number": "020 7946 0002", "label": "googleVoice"},
            {"number": "020 7946 0003", "contexts": {"private": True}, "features": {"fax": True}},
        ],
        "addresses": [
            {
                LINES: "1 High St\nFlat 2",
                "components": [
                    {"kind": "postOfficeBox", "value": "7"},
                    {"kind": "locality", "value": "London"},
                    {"kind": "postcode", "value": "SW1"},
                    {"kind": "country", "value": "UK"},
                ],
                "countryCode": "GB",
                "contexts": {"private": True},
            },
            {"full": "Somewhere by the sea"},
        ],
        "organizations": [{"name": "Acme", "units": [{"name": "R&D"}]}],
        "titles": [
            {"name": "CTO", "organizationId": "Acme"},
            {"name": "Poet"},
            {"name": "carpenter", "kind": "role"},
        ],
        "anniversaries": [
            {"kind": "birth", "date": {"month": 2, "day": 29}, SLOT: "birthday"},
            {"kind": "wedding", "date": {"year": 2010, "month": 5, "day": 1}},
            {"kind": "other", "label": "First dive", "date": {"year": 1999}},
        ],
        "notes": [{"note": "Likes boats", SLOT: "biography"}],
        "links": [{"uri": "https://z.test"}, {"uri": "https://blog.test", "label": "blog"}],
        "relations": [{"name": "Ida", "kind": "mother"}],
        "onlineServices": [
            {"user": "zoe", "service": "Skype", "contexts": {"private": True}},
            {"uri": "sip:z@x.test", "contexts": {"work": True}},
        ],
    }
    for field, elements in expected.items():
        assert card[field] == sorted(map(repr, map(_sorted, elements))), field
    assert card["keywords"] == {"regatta": True}


def test_the_order_of_items_means_nothing() -> None:
    turned = {name: items[::-1] for name, items in PERSON.items()}
    assert shown(turned) == shown(PERSON)


def test_an_equal_item_twice_is_two_elements() -> None:
    phones = [{"value": "1", "type": "home"}] * 2
    assert len(shown({"phoneNumbers": phones})["phones"]) == 2


def test_items_of_a_profile_are_not_ours() -> None:
    theirs = {"value": "z@profile.test", "metadata": {"source": {"type": "PROFILE", "id": "7"}}}
    ours = {"value": "z@x.test", "metadata": {"source": {"type": "CONTACT", "id": "4d2"}}}
    assert mapping.writable({"emailAddresses": [theirs, ours]}) == {"emailAddresses": [{"value": "z@x.test"}]}
    photo = {"url": "https://photo.test/x", "metadata": theirs["metadata"]}
    assert mapping.photo_url({"photos": [photo]}) is None


# --- fit --------------------------------------------------------------------------------------------------------


@given(cards(), cards())
def test_fit_is_stable(card: Card, other: Card) -> None:
    held = mapping.fit(other, None)
    once = mapping.fit(card, held)
    assert mapping.fit(once, held) == once
    assert mapping.fit(card, once) == once


@given(cards())
@settings(max_examples=60)
def test_google_shows_what_fits_and_its_answer_owes_nothing(card: Card) -> None:
    """What is made of a card, given to Google and read again, is what `fit` said; a name without parts is parsed."""
    fitted = mapping.fit({key: value for key, value in card.items() if key not in ("groups", "media")}, None)
    answer = shown(mapping.changes({}, {}, fitted))
    parsed = "full" in fitted.get("name", {})
    assert {k: v for k, v in values(answer).items() if k != "name"} == {
        k: v for k, v in values(fitted).items() if k != "name"
    }
    assert parsed or answer.get("name") == fitted.get("name")
    ids = (f"new{n}" for n in itertools.count())
    rekeyed = align(answer, [fitted], EQ, lambda: next(ids))
    assert leaves(mapping.fit(fitted, rekeyed)) == leaves(fitted)


@given(cards(), cards())
@settings(max_examples=60)
def test_an_update_makes_the_one_card_of_the_other_and_never_two_of_an_only_one(card: Card, other: Card) -> None:
    held = mapping.fit({key: value for key, value in other.items() if key not in ("groups", "media")}, None)
    wanted = mapping.fit({key: value for key, value in card.items() if key not in ("groups", "media")}, held)
    lists = mapping.changes({}, {}, held)
    replaced = mapping.changes(lists, held, wanted)
    assert all(len(replaced.get(name, ())) <= 1 for name in SINGLETONS)
    after = mapping.view({**lists, **replaced}, {}, None)
    assert values(after) == values(wanted)
    assert mapping.changes(lists, held, held) == {}


def fit(held: Card | None = None, **fields: Any) -> Card:
    return mapping.fit(fields, held)


@pytest.mark.parametrize(
    ("date", "fits"),
    [
        ({"year": 1980, "month": 2, "day": 29}, True),
        ({"year": 1981, "month": 2, "day": 29}, False),
        ({"month": 2, "day": 29}, True),
        ({"year": 1980}, True),
        ({"year": 1980, "month": 2}, True),
        ({"day": 3}, False),
        ({"month": 2}, False),
        ({"year": 1980, "day": 3}, False),
        ({"month": 13, "day": 1}, False),
        ({"year": 1980, "month": 0, "day": 0}, True),
    ],
)
def test_only_dates_that_google_can_hold_fit(date: dict[str, int], fits: bool) -> None:
    fitted = fit(anniversaries={"b": {"kind": "birth", "date": date}, "w": {"kind": "wedding", "date": date}})
    assert set(fitted.get("anniversaries", {})) == ({"b", "w"} if fits else set())


def test_the_one_note_stays_who_it_was() -> None:
    notes = {"a": {"note": "A"}, "b": {"note": "B"}}
    assert list(fit(notes=notes)["notes"]) == ["a"]
    assert list(fit({"notes": {"b": {"note": "old", SLOT: "biography"}}}, notes=notes)["notes"]) == ["b"]
    assert list(fit({"notes": {"c": {"note": "gone", SLOT: "biography"}}}, notes=notes)["notes"]) == ["a"]


def test_a_title_alone_joins_an_organisation_that_has_none() -> None:
    fitted = fit(organizations={"o": {"name": "Acme"}}, titles={"t": {"name": "CTO"}, "u": {"name": "Poet"}})
    assert fitted["titles"] == {"t": {"name": "CTO", "organizationId": "o"}, "u": {"name": "Poet"}}


@pytest.mark.parametrize("tie", [{}, {"organizationId": "o"}])
def test_a_title_that_stands_beside_an_organisation_stays_there(tie: dict[str, str]) -> None:
    """Whatever the ids: another title that stands alone does not take its place."""
    firm = {"organizations": {"o": {"name": "Acme"}}}
    held = {**firm, "titles": {"s": {"name": "Poet"}, "t": {"name": "CTO", "organizationId": "o"}}}
    assert fit(held, **firm, titles={"s": {"name": "Poet", **tie}, "t": {"name": "CTO", **tie}}) == held


def test_two_titles_of_one_organisation_are_one_with_it_and_one_alone() -> None:
    tied = {key: {"name": key, "organizationId": "o"} for key in ("s", "t")}
    assert fit(organizations={"o": {"name": "Acme"}}, titles=tied)["titles"] == {
        "s": {"name": "s", "organizationId": "o"},
        "t": {"name": "t"},
    }


def test_one_type_says_it_all() -> None:
    both = {"contexts": {"work": True, "private": True}}
    fitted = fit(
        emails={"a": {"address": "a@x.test", **both}, "b": {"address": "b@x.test", "label": "Boat", **both}},
        phones={
            "m": {"number": "1", "features": {"mobile": True, "voice": True}, "contexts": {"private": True}},
            "f": {"number": "2", "features": {"fax": True}, "contexts": {"private": True}},
            "l": {"number": "3", "label": "pager"},
        },
    )
    assert fitted["emails"] == {
        "a": {"address": "a@x.test", "contexts": {"work": True}},
        "b": {"address": "b@x.test", "label": "Boat"},
    }
    assert fitted["phones"] == {
        "m": {"number": "1", "features": {"mobile": True}},
        "f": {"number": "2", "features": {"fax": True}, "contexts": {"private": True}},
        "l": {"number": "3", "features": {"pager": True}},
    }


def test_equal_addresses_collapse() -> None:
    assert list(fit(emails={"b": {"address": "a@x.test"}, "a": {"address": " a@x.test "}})["emails"]) == ["a"]


def test_what_has_no_place_is_absent() -> None:
    nothing = {
        "onlineServices": {"s": {"uri": "https://social.test/z"}},
        "media": {
            "l": {"kind": "logo", "uri": "sha-256:00"},
            "g": {"kind": "photo", "uri": "u", "mediaType": "image/gif"},
        },
        "example.com:foo": 1,
        "kind": "org",
    }
    assert mapping.fit(nothing, None) == {}


# --- update -----------------------------------------------------------------------------------------------------


def update(person: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The lists replaced when the person's card gets these fields."""
    lists = mapping.writable(person)
    held = mapping.view(lists, {}, None)
    return mapping.changes(lists, held, {**held, **fields})


def test_lines_go_to_the_street_and_only_if_they_changed() -> None:
    address = {"streetAddress": "1 High St", "extendedAddress": "Flat 2", "city": "London", "formattedValue": "old"}
    [element] = mapping.view({"addresses": [address]}, {}, None)["addresses"].values()
    moved = {**element, "components": [{"kind": "locality", "value": "Leeds"}]}
    held = {"addresses": {"a": element}}
    lists = {"addresses": [address]}
    assert mapping.changes(lists, held, {"addresses": {"a": moved}}) == {
        "addresses": [{"streetAddress": "1 High St", "extendedAddress": "Flat 2", "city": "Leeds"}]
    }
    assert mapping.changes(lists, held, {"addresses": {"a": {**element, LINES: "2 Low Rd\nFlat 9"}}}) == {
        "addresses": [{"streetAddress": "2 Low Rd\nFlat 9", "city": "London"}]
    }


def test_what_google_derived_is_not_sent_back() -> None:
    one, other = {"city": "London", "formattedValue": "London"}, {"city": "Leeds", "formattedValue": "Leeds"}
    lists = mapping.writable({"addresses": [one, other], "names": [{"givenName": "A", "displayName": "A"}]})
    held = mapping.view(lists, {}, None)
    keys = list(held["addresses"])
    card = {**held, "addresses": {keys[0]: held["addresses"][keys[0]]}}
    assert mapping.changes(lists, held, card) == {"addresses": [{"city": "London"}]}
    assert lists["names"] == [{"givenName": "A"}]


def test_a_birthday_as_text_gives_way_to_a_date_and_stays_otherwise() -> None:
    person = {"birthdays": [{"text": "in spring"}]}
    assert update(person) == {}
    birth = {"kind": "birth", "date": {"month": 3, "day": 1}}
    assert update(person, anniversaries={"b": birth}) == {"birthdays": [{"date": {"month": 3, "day": 1}}]}


def test_past_jobs_and_unknown_properties_stay() -> None:
    jobs = [
        {"name": "Acme", "title": "CTO", "jobDescription": "builds", "current": True},
        {"name": "Old Ltd", "endDate": {"year": 2001}},
    ]
    held = mapping.view({"organizations": jobs}, {}, None)
    [key] = held["organizations"]
    card = {**held, "titles": {key: {"name": "CEO", "organizationId": key}}}
    assert mapping.changes({"organizations": jobs}, held, card) == {
        "organizations": [{**jobs[0], "title": "CEO"}, jobs[1]]
    }
    assert mapping.changes({"organizations": jobs}, held, {}) == {"organizations": [jobs[1]]}


def test_an_html_note_is_plain_once_we_change_it() -> None:
    person = {"biographies": [{"value": "<b>x</b>", "contentType": "TEXT_HTML"}]}
    assert update(person) == {}
    assert update(person, notes={"biography": {"note": "y"}}) == {"biographies": [{"value": "y"}]}


def test_a_changed_name_drops_the_derived_form_and_keeps_what_we_do_not_know() -> None:
    person = {"names": [{"givenName": "Ann", "unstructuredName": "Ann", "phoneticFullName": "An"}]}
    name = {"components": [{"kind": "given", "value": "Anna"}]}
    assert update(person, name=name) == {"names": [{"givenName": "Anna", "phoneticFullName": "An"}]}
    assert update({"names": [{"givenName": "Ann"}]}, name={}) == {"names": []}


def test_a_service_that_becomes_another_moves_to_its_list() -> None:
    person = {"imClients": [{"username": "ann", "protocol": "jabber"}]}
    [key] = mapping.view(person, {}, None)["onlineServices"]
    assert update(person, onlineServices={key: {"uri": "sip:ann@x.test"}}) == {
        "imClients": [],
        "sipAddresses": [{"value": "sip:ann@x.test"}],
    }
