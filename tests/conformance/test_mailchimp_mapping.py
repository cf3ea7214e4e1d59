"""A member and our card: what the merge fields of an audience mean, what they can hold, and consent as a status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.card import LINES, SLOT, components
from connectors.consent import Consent
from connectors.mailchimp import consents, mapping
from connectors.mailchimp.client import LIGHT
from connectors.mailchimp.countries import code_of, name_of
from connectors.mailchimp.layout import Layout, Mistake, layout
from connectors.testing import cards


def field(tag: str, kind: str = "text", name: str = "", **options: Any) -> dict[str, Any]:
    return {"tag": tag, "type": kind, "name": name, "options": options}


USUAL = (
    field("FNAME"),
    field("LNAME"),
    field("ADDRESS", "address"),
    field("PHONE", "phone"),
    field("BIRTHDAY", "birthday"),
    field("COMPANY"),
)


def audience(*fields: Mapping[str, Any], **more: Any) -> Layout:
    return layout(fields or USUAL, more.pop("interests", {}), more.pop("meanings", {}), **more)


def member(merge: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    base = {"id": "hash", "contact_id": "c1", "email_address": "ann@example.org", "status": "transactional"}
    return {**base, "merge_fields": merge or {}, "interests": {}, "tags": [], "tags_count": 0, **more}


def view(merge: Mapping[str, Any] | None = None, at: Layout | None = None, **more: Any) -> Mapping[str, Any]:
    shown = member(merge, **more)
    return mapping.view(shown, at or audience(), shown["tags"])


def mail(address: str = "ann@example.org", **more: Any) -> dict[str, Any]:
    return {"emails": {"e1": {"address": address}}, **more}


# --- what merge fields mean -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "holds"),
    [
        (field("MMERGE5", name="Company Name"), "organizations"),
        (field("MMERGE5", name="Job title"), "titles"),
        (field("MMERGE5", "url", name="Website"), "links"),
        (field("LINKEDIN", "url"), "links"),  # the only one of its type
        (field("MMERGE5", "phone", name="Handy"), "phones"),
        (field("MMERGE5", "address", name="Where you live"), "addresses"),
        (field("DOB", "date"), "anniversaries"),
        (field("MMERGE5", "birthday", name="Your day"), "anniversaries"),
        (field("NICKNAME"), "nicknames"),
    ],
)
def test_tag_name_and_type_tell_what_a_field_holds(entry: dict[str, Any], holds: str) -> None:
    assert set(audience(entry).fields) == {holds}


@pytest.mark.parametrize(
    "entry",
    [field("MMERGE5", name="T-shirt size"), field("PHOTO", "imageurl"), field("JOINED", "date"), field("TITLE")],
)
def test_what_says_nothing_is_left_alone(entry: dict[str, Any]) -> None:
    assert audience(entry).fields == {}


def test_two_fields_of_a_type_are_no_hint() -> None:
    assert audience(field("LINKEDIN", "url"), field("XING", "url")).fields == {}


def test_the_settings_know_better() -> None:
    found = audience(field("MMERGE5"), field("PHONE", "phone"), meanings={"MMERGE5": "nickname", "PHONE": "off"})
    assert set(found.fields) == {"nicknames"}


def test_settings_that_cannot_be_are_told_in_words() -> None:
    with pytest.raises(Mistake, match="names MMERGE9, which the audience does not have; it has: FNAME"):
        audience(field("FNAME"), meanings={"MMERGE9": "note"})
    with pytest.raises(Mistake, match="BIRTHDAY is of type birthday and cannot hold the website"):
        audience(field("BIRTHDAY", "birthday"), meanings={"BIRTHDAY": "website"})


def test_a_name_in_one_field() -> None:
    at = audience(field("NAME"))
    card = mail(name={"components": components({"given": "Ann", "surname": "Bell"})})
    assert mapping.fit(card, None, at)["name"] == {"full": "Ann Bell"}
    assert view({"NAME": "Ann Bell"}, at)["name"] == {"full": "Ann Bell"}


def test_of_full_and_parts_the_parts_count() -> None:
    assert set(audience(field("FNAME"), field("FULLNAME")).names) == {"given"}


def test_a_new_interest_extends_a_layout_and_a_renamed_one_does_not() -> None:
    before = audience(interests={"a": "News: Weekly"})
    assert audience(interests={"a": "News: Weekly", "b": "News: Daily"}).extends(before)
    assert not audience(interests={"a": "News: Every week"}).extends(before)
    assert not audience(*USUAL, field("NICKNAME"), interests={"a": "News: Weekly"}).extends(before)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_member_as_a_card() -> None:
    merge = {
        "FNAME": "Zoë",
        "LNAME": "Bell",
        "PHONE": "+44 20 7946 0000",
        "BIRTHDAY": "02/29",
        "COMPANY": "Weiß & Sons",
        "ADDRESS": {
            "addr1": "1 High St",
            "addr2": "Flat 2",
            "city": "Leeds",
            "state": "Yorks",
            "zip": "LS1",
            "country": "GB",
        },
    }
    shown = view(merge)
    assert shown["name"]["components"] == components({"given": "Zoë", "surname": "Bell"})
    assert shown["emails"] == {"email": {"address": "ann@example.org", SLOT: "email"}}
    assert shown["anniversaries"]["BIRTHDAY"]["date"] == {"month": 2, "day": 29}
    assert shown["phones"]["PHONE"] == {"number": "+44 20 7946 0000", SLOT: "PHONE"}
    address = shown["addresses"]["ADDRESS"]
    assert address[LINES] == "1 High St\nFlat 2"
    assert address["countryCode"] == "GB"
    assert address["components"] == components(
        {"locality": "Leeds", "region": "Yorks", "postcode": "LS1", "country": "United Kingdom"}
    )


@pytest.mark.parametrize("value", ["", None, {}, {"addr1": "", "city": "", "state": "", "zip": "", "country": "US"}])
def test_no_address_is_none(value: Any) -> None:
    """A form's default country is no address."""
    assert "addresses" not in view({"ADDRESS": value})


def test_groups_are_tags_and_interests() -> None:
    at = audience(interests={"i1": "News: Weekly", "i2": "News: Daily"})
    tags = [{"id": 12, "name": "vip"}, {"id": 11, "name": "News: weekly"}]
    shown = view({}, at, tags=tags, interests={"i1": True, "i2": False, "i9": True})
    assert shown["groups"] == {"tag:12": {"name": "vip"}, "tag:11": {"name": "News: weekly"}}, "each name once"


def test_a_version_is_the_same_in_a_light_listing() -> None:
    whole = member(
        {"FNAME": "Ann"}, last_changed="2026-01-01T00:00:00+00:00", tags=[{"id": 1, "name": "a"}], tags_count=1
    )
    light = {name: whole[name] for name in LIGHT}
    assert mapping.version(light) == mapping.version(whole)
    assert mapping.version({**whole, "tags": [], "tags_count": 0}) != mapping.version(whole)
    assert mapping.version({**whole, "interests": {"x": True}}) != mapping.version(whole)
    assert mapping.version({**whole, "merge_fields": {}}) != mapping.version(whole), "two edits in one second"


# --- projecting -------------------------------------------------------------------------------------------------------


def test_without_an_address_there_is_no_member() -> None:
    card = {"name": {"components": components({"given": "Ann"})}, "phones": {"p": {"number": "1"}}}
    assert mapping.fit(card, None, audience()) == {}
    assert mapping.fit({**card, "emails": {"e": {"address": "no address"}}}, None, audience()) == {}


def test_the_address_that_is_held_stays_while_it_is_there() -> None:
    emails = {"e1": {"address": "old@example.org"}, "e2": {"address": "new@example.org", "pref": 1}}
    first = mapping.fit({"emails": emails}, None, audience())
    assert list(first["emails"]) == ["e2"], "the preferred one makes a member"
    held = {"emails": {"e1": {"address": "old@example.org", SLOT: "email"}}}
    assert list(mapping.fit({"emails": emails}, held, audience())["emails"]) == ["e1"]
    assert list(mapping.fit({"emails": {"e2": emails["e2"]}}, held, audience())["emails"]) == ["e2"]


def test_a_domain_is_written_small() -> None:
    assert mapping.fit(mail("Ann@Example.ORG"), None, audience())["emails"]["e1"]["address"] == "Ann@example.org"


COMPLETE = {"locality": "Bonn", "region": "NRW", "postcode": "53111", "country": "Germany"}


def fitted_address(parts: Mapping[str, str], lines: str = "Weg 1", held: Any = None, **more: Any) -> Any:
    card = mail(addresses={"a": {LINES: lines, "components": components(parts), **more}})
    return mapping.fit(card, held, audience()).get("addresses", {}).get("a")


def written_address(element: Any) -> Any:
    card = mail(addresses={"a": {**element, SLOT: "ADDRESS"}})
    return mapping.merge_fields(card, {}, audience())["ADDRESS"]


@pytest.mark.parametrize("missing", ["locality", "region", "postcode"])
def test_only_a_complete_address_is_held(missing: str) -> None:
    assert fitted_address(COMPLETE)
    assert fitted_address({kind: text for kind, text in COMPLETE.items() if kind != missing}) is None
    assert fitted_address(COMPLETE, lines="") is None


def test_a_country_goes_by_its_code_and_keeps_its_words() -> None:
    german = fitted_address({**COMPLETE, "country": "Deutschland"})
    assert german["components"][-1] == {"kind": "country", "value": "Deutschland"}
    assert written_address(german)["country"] == "DE"
    assert written_address(fitted_address({**COMPLETE, "country": ""}, countryCode="at"))["country"] == "AT"
    assert "country" not in written_address(fitted_address({**COMPLETE, "country": ""}))


def test_a_country_that_nobody_knows_is_not_made_american() -> None:
    assert fitted_address({**COMPLETE, "country": "Narnia"}) is None
    standing = {"ADDRESS": {"addr1": "Weg 1", "city": "Bonn", "state": "NRW", "zip": "53111", "country": "Narnia"}}
    held = view(standing)
    assert fitted_address({**COMPLETE, "country": "Narnia"}, held=held), "what stands there may stay"


def test_a_stale_code_does_not_outvote_the_name() -> None:
    found = fitted_address(COMPLETE, countryCode="AT")
    assert "countryCode" not in found
    assert written_address(found)["country"] == "DE"


def test_street_and_flat() -> None:
    assert written_address(fitted_address(COMPLETE, "Weg 1\nHaus B\nTür 3")) == {
        "addr1": "Weg 1",
        "addr2": "Haus B, Tür 3",
        "city": "Bonn",
        "state": "NRW",
        "zip": "53111",
        "country": "DE",
    }


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("+1 (404) 655-0123", "404-655-0123"),
        ("404.655.0123", "404-655-0123"),
        ("1 404 655 0123", "404-655-0123"),
        ("+1 104 655 0123", None),
        ("+49 171 5550001", None),
        ("655-0123", None),
    ],
)
def test_an_american_phone_field_takes_american_numbers(number: str, kept: str | None) -> None:
    at = audience(field("PHONE", "phone", phone_format="US"))
    found = mapping.fit(mail(phones={"p": {"number": number}}), None, at).get("phones", {})
    assert found.get("p", {}).get("number") == kept


def test_a_choice_is_one_of_the_choices() -> None:
    at = audience(field("COMPANY", "dropdown", choices=["Acme", "Other"]))
    assert mapping.fit(mail(organizations={"o": {"name": "ACME"}}), None, at)["organizations"]["o"]["name"] == "Acme"
    assert "organizations" not in mapping.fit(mail(organizations={"o": {"name": "Weiß"}}), None, at)


def test_texts_are_cut_tidied_and_stripped_of_markup() -> None:
    def kept(text: str) -> Any:
        return mapping.fit(mail(organizations={"o": {"name": text}}), None, audience())["organizations"]["o"]["name"]

    assert kept("ä" * 200) == "ä" * 127
    assert kept("Ann <b>&</b> <<b>i>Co") == "Ann & Co"
    assert kept("a < b & c > d") == "a < b & c > d"
    assert kept("two\nlines") == "two lines"


def test_half_a_number_or_link_is_none() -> None:
    at = audience(*USUAL, field("WEBSITE", "url"))
    long = mapping.fit(
        mail(links={"l": {"uri": "https://x.org/" + "a" * 300}}, phones={"p": {"number": "1" * 256}}), None, at
    )
    assert not long.keys() & {"links", "phones"}
    assert "links" not in mapping.fit(mail(links={"l": {"uri": "tel:1"}}), None, at)


def test_dates() -> None:
    card = mail(anniversaries={"b": {"kind": "birth", "date": {"year": 1979, "month": 2, "day": 28}}})
    assert mapping.fit(card, None, audience())["anniversaries"]["b"]["date"] == {"month": 2, "day": 28}
    dated = audience(field("DOB", "date"))
    assert mapping.fit(card, None, dated)["anniversaries"]["b"]["date"] == {"year": 1979, "month": 2, "day": 28}
    nameless = mail(anniversaries={"b": {"kind": "birth", "date": {"month": 2, "day": 28}}})
    assert "anniversaries" not in mapping.fit(nameless, None, dated)
    wedding = mail(anniversaries={"w": {"kind": "wedding", "date": {"year": 2004, "month": 6, "day": 5}}})
    assert "anniversaries" not in mapping.fit(wedding, None, audience())


def test_phones_find_the_place_that_says_what_they_are() -> None:
    at = audience(field("PHONE", "phone"), field("MOBILE", "phone"), field("FAX", "phone"))
    phones = {
        "work": {"number": "1", "contexts": {"work": True}},
        "fax": {"number": "2", "features": {"fax": True}},
        "mobile": {"number": "3", "features": {"mobile": True}},
        "other": {"number": "4"},
    }
    found = mapping.fit(mail(phones=phones), None, at)["phones"]
    assert {key: e[SLOT] for key, e in found.items()} == {"work": "PHONE", "fax": "FAX", "mobile": "MOBILE"}


def test_who_has_only_a_full_name_is_called_by_it() -> None:
    assert mapping.fit(mail(name={"full": "Ann Bell"}), None, audience())["name"] == {
        "components": components({"given": "Ann Bell"})
    }


@given(cards(), cards())
def test_every_audience_is_projected_stably(card: Any, other: Any) -> None:
    """The laws of `fit`, for an audience with every kind of field."""
    at = audience(
        field("NAME"),
        field("PHONE", "phone", phone_format="US"),
        field("WORKPHONE", "phone"),
        field("HOME", "address"),
        field("OFFICE", "address"),
        field("DOB", "date"),
        field("WEDDING", "date"),
        field("COMPANY", "radio", choices=["Ann", "b"]),
        field("NOTE"),
        field("JOBTITLE"),
        field("NICKNAME"),
        field("WEBSITE", "url"),
        meanings={"HOME": "address", "OFFICE": "address"},
        interests={"i": "Friends"},
    )
    for held in (None, mapping.fit(other, None, at)):
        once = mapping.fit(card, held, at)
        assert mapping.fit(once, held, at) == once
        assert mapping.fit(card, once, at) == once
        assert mapping.difference(once, once, at) == mapping.Change("", {}, [], [])


# --- writing ----------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_written() -> None:
    held = view({"FNAME": "Ann", "LNAME": "Bell", "COMPANY": "Weiß"}, tags=[{"id": 1, "name": "vip"}])
    card = {**held, "name": {"components": components({"given": "Ann", "surname": "Ball"})}}
    card = {**card, "groups": {"g": {"name": "press"}}}
    card.pop("organizations")
    change = mapping.difference(card, held, audience())
    assert change == mapping.Change("", {"LNAME": "Ball", "COMPANY": ""}, ["press"], ["vip"])


def test_the_case_of_an_address_is_no_new_address() -> None:
    change = mapping.difference(mail("ANN@example.org"), mail(), audience())
    assert change.email == ""


def test_an_incomplete_address_that_stands_there_is_left_alone() -> None:
    held = view({"ADDRESS": {"addr1": "Weg 1", "city": "", "state": "", "zip": "", "country": "DE"}, "FNAME": "Ann"})
    card = {**held, "name": {"components": components({"given": "Anna"})}}
    assert mapping.difference(card, held, audience()).merge == {"FNAME": "Anna"}


# --- consent ----------------------------------------------------------------------------------------------------------

WHEN = "2026-01-02T03:04:05+00:00"


def said(**more: Any) -> Sequence[Consent]:
    return consents.shown(member(**more))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("subscribed", "granted"),
        ("unsubscribed", "withdrawn"),
        ("pending", "pending"),
        ("cleaned", "undeliverable"),
        ("transactional", "unknown"),
    ],
)
def test_a_status_as_consent(status: str, state: str) -> None:
    [shown] = said(status=status)
    assert (shown.channel, shown.address, shown.state) == ("email", "ann@example.org", state)


def test_who_signed_up_has_evidence() -> None:
    [shown] = said(status="subscribed", timestamp_opt=WHEN, ip_opt="192.0.2.7", source="Hosted Signup Form")
    assert shown.at == datetime.fromisoformat(WHEN)
    assert shown.evidence == {"timestamp": WHEN, "ip": "192.0.2.7", "form": "Hosted Signup Form"}


@pytest.mark.parametrize("source", ["API - Generic", "Admin Add", "Import", "List Import from CSV"])
def test_whom_somebody_added_has_none(source: str) -> None:
    """Mailchimp fills in a time of opt-in for these, too."""
    [shown] = said(status="subscribed", timestamp_opt=WHEN, ip_opt="192.0.2.7", source=source)
    assert shown.state == "granted"
    assert shown.evidence == {}
    [signed] = said(status="subscribed", timestamp_opt=WHEN, timestamp_signup=WHEN, source=source)
    assert signed.evidence == {"timestamp": WHEN}


def test_reasons_are_told() -> None:
    assert said(status="unsubscribed", unsubscribe_reason="NORMAL")[0].reason == "NORMAL"
    assert said(status="cleaned")[0].reason == "hard bounce"


def test_text_messages() -> None:
    assert len(said(sms_subscription_status="nonsubscribed", sms_phone_number="")) == 1
    text: dict[str, Any] = {"sms_phone_number": "+14046550123", "sms_subscription_last_updated": WHEN}
    shown = said(sms_subscription_status="unsubscribed", **text)[1]
    assert (shown.channel, shown.address, shown.state) == ("sms", "+14046550123", "withdrawn")
    assert said(sms_subscription_status="nonsubscribed", **text)[1].state == "unknown"
    wish = [Consent("sms", "+1 404 655 0123", "granted")]
    assert consents.of_held(wish, member(sms_subscription_status="unsubscribed", **text), "")[1]
    assert not consents.of_held(wish, member(sms_subscription_status="subscribed", **text), "")[1]


PROOF = {"timestamp": "2026-01-02T04:04:05.678+01:00", "ip": "192.0.2.7"}
PASSED_ON = {"timestamp_opt": WHEN, "timestamp_signup": WHEN, "ip_opt": "192.0.2.7", "ip_signup": "192.0.2.7"}


def consent(state: Any, address: str = "ann@example.org", **evidence: str) -> Consent:
    return Consent("email", address, state, datetime(2026, 1, 2, tzinfo=UTC), evidence)


@pytest.mark.parametrize(
    ("known", "row"),
    [
        ([], {"status": "transactional"}),
        ([consent("granted")], {"status": "transactional"}),
        ([consent("granted", **PROOF)], {"status": "subscribed", **PASSED_ON}),
        ([consent("pending")], {"status": "transactional"}),
        ([consent("withdrawn"), consent("granted", **PROOF)], {"status": "unsubscribed"}),
        ([consent("withdrawn", "")], {"status": "unsubscribed"}),
        ([consent("withdrawn", "ANN@example.org")], {"status": "unsubscribed"}),
        ([consent("withdrawn", "other@example.org")], {"status": "transactional"}),
        ([Consent("phone", "", "withdrawn")], {"status": "transactional"}),
    ],
)
def test_a_new_member(known: list[Consent], row: dict[str, str]) -> None:
    assert consents.of_new(known, "ann@example.org") == row


@pytest.mark.parametrize("now", ["subscribed", "transactional", "pending", "cleaned"])
def test_less_is_always_possible(now: str) -> None:
    assert consents.of_held([consent("withdrawn")], member(status=now), "ann@example.org") == (
        {"status": "unsubscribed"},
        "",
    )


def test_more_takes_the_person() -> None:
    out = member(status="unsubscribed")
    status, why = consents.of_held([consent("granted")], out, "ann@example.org")
    assert status == {}
    assert "evidence" in why
    assert consents.of_held([consent("granted", **PROOF)], out, "ann@example.org")[0]["status"] == "subscribed"
    assert consents.of_held([consent("pending")], out, "ann@example.org")[0] == {"status": "pending"}
    assert consents.of_held([consent("unknown")], out, "ann@example.org")[1]
    assert consents.of_held([consent("undeliverable")], out, "ann@example.org")[1]


def test_what_is_so_already_or_about_somebody_else_is_not_written() -> None:
    out = member(status="unsubscribed")
    assert consents.of_held([consent("withdrawn")], out, "ann@example.org") == ({}, "")
    assert consents.of_held([consent("withdrawn", "x@example.org")], member(), "ann@example.org") == ({}, "")


# --- countries --------------------------------------------------------------------------------------------------------


@given(st.sampled_from(["DE", "gb", "Us", "XK"]))
def test_codes_are_codes(code: str) -> None:
    assert code_of(code) == code.upper()
    assert code_of(name_of(code)) == code.upper()


def test_names_in_many_languages() -> None:
    names = {"Deutschland": "DE", "Großbritannien": "GB", "U.S.A.": "US", "España": "ES", "côte d’ivoire": "CI"}
    assert {name: code_of(name) for name in names} == names
    assert code_of("Narnia") == ""
    assert name_of("Narnia") == "Narnia"
