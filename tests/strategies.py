"""Hypothesis strategies for cards of our profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from connectors.card import ADDRESS_KINDS, LINES, NAME_KINDS, VALUE, Card, blob_uri, components

PHOTOS: Mapping[str, bytes] = {
    blob_uri(data): data for data in (b"\xff\xd8\xff photo", b"\x89PNG\r\n", bytes(range(256)))
}
"""The bytes of the photos that the cards name."""

_AWKWARD = st.sampled_from(
    [
        "a,b;c\\d:e",
        'say "hi"',
        "^n ^^ ^'",
        "C:\\new\\table",
        "line one\nline two\r\nthree\rfour",
        "Ünïcödé 日本語 🙂 " * 6,
        "  blanks  around  ",
        "tab\there",
        "bell\x07 \x7f",
        "\u2028\x85",
        "END:VCARD",
        "tel:+1-418-656-9254;ext=102",
        "mailto:someone@example.com",
        "=C3=A9=",
        "\\",
        ",;",
    ]
)


def texts() -> st.SearchStrategy[str]:
    """Any text that a card may hold (no NUL, no lone surrogates), awkward ones often."""
    whole = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.one_of(st.sampled_from(["Ann", "Doe", "Main St 1", "x"]), _AWKWARD, st.text(whole, max_size=30))


def _flags(*names: str) -> st.SearchStrategy[dict[str, bool]]:
    return st.lists(st.sampled_from(names), unique=True).map(lambda found: dict.fromkeys(found, True))


_TRAITS: Mapping[str, st.SearchStrategy[Any]] = {
    "contexts": _flags("private", "work"),
    "label": texts(),
    "pref": st.sampled_from([1, 1, 2, 100]),
}
_FEATURES = _flags("voice", "mobile", "fax", "text", "pager", "video", "main-number", "textphone")


def _element(required: Mapping[str, Any], *traits: str, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    more = {**optional, **{name: _TRAITS[name] for name in traits}}
    return st.fixed_dictionaries(dict(required), optional=more)


def partial_dates() -> st.SearchStrategy[dict[str, int]]:
    """{year?, month?, day?}, at least one of them, a day not without its month where there is a year."""
    parts = st.fixed_dictionaries(
        {}, optional={"year": st.integers(1, 9999), "month": st.integers(1, 12), "day": st.integers(1, 28)}
    )
    likely = st.sampled_from([{"month": 2, "day": 29}, {"year": 1980, "month": 3, "day": 1}, {"year": 1980}])
    return likely | parts.filter(
        lambda date: bool(date) and not ("year" in date and "day" in date and "month" not in date)
    )


def _components(kinds: tuple[str, ...], phonetic: bool = False) -> st.SearchStrategy[list[dict[str, str]]]:
    found = st.dictionaries(st.sampled_from(kinds), texts().filter(bool), max_size=len(kinds)).map(components)
    if not phonetic:
        return found
    sounded = st.tuples(found, st.lists(st.none() | texts(), min_size=len(kinds), max_size=len(kinds)))
    return sounded.map(
        lambda pair: [
            {**component, "phonetic": sound} if sound else component
            for component, sound in zip(pair[0], pair[1], strict=False)
        ]
    )


def _media() -> st.SearchStrategy[dict[str, Any]]:
    kinds = st.sampled_from(["photo", "logo", "sound"])
    media_type = st.sampled_from(["image/jpeg", "image/svg+xml", "audio/ogg", "application/pdf", "odd"])
    stored = st.sampled_from(sorted(PHOTOS)).map(lambda uri: {"uri": uri, "size": len(PHOTOS[uri])})
    linked = st.sampled_from(["https://example.com/p,1;2.jpg", "http://example.com/x"]).map(lambda uri: {"uri": uri})
    plain = st.fixed_dictionaries({"kind": kinds}, optional={"mediaType": media_type})
    return st.tuples(plain, stored | linked).map(lambda pair: {**pair[0], **pair[1]})


_SERVICES = st.sampled_from(["Skype", "AIM", "Twitter", "work", "GoogleTalk", "Some Thing", "linkedin"]) | texts()
_URIS = st.sampled_from(["xmpp:ann@example.com", "https://example.com/a,b;c", "sip:x@y", "skype:ann?call"]) | texts()
_LABELS_OF_DAYS = {"kind": st.sampled_from(["birth", "wedding", "death", "other"]), "date": partial_dates()}

_ELEMENTS: Mapping[str, st.SearchStrategy[Any]] = {
    "nicknames": _element({"name": texts()}),
    "organizations": _element(
        {}, name=texts(), units=st.lists(st.fixed_dictionaries({"name": texts()}), min_size=1, max_size=3)
    ).filter(bool),
    "titles": _element({"name": texts()}, kind=st.sampled_from(["title", "role"]), organizationId=st.just("1")),
    "emails": _element({"address": texts()}, "contexts", "label", "pref"),
    "phones": _element({"number": texts()}, "contexts", "label", "pref", features=_FEATURES),
    "addresses": _element(
        {},
        "contexts",
        "label",
        "pref",
        components=_components(ADDRESS_KINDS),
        countryCode=st.sampled_from(["DE", "us", "GBR"]),
        full=texts(),
        **{LINES: texts()},
    ),
    "anniversaries": _element(_LABELS_OF_DAYS, "label"),
    "notes": _element({"note": texts()}),
    "links": _element({"uri": _URIS}, "contexts", "label", kind=st.sampled_from(["contact", "generic"])),
    "onlineServices": _element({}, "contexts", "label", service=_SERVICES, user=texts(), uri=_URIS),
    "relations": _element({"name": texts()}, kind=st.sampled_from(["spouse", "manager", "sibling", "Boss"]) | texts()),
    "media": _media(),
    "groups": _element({"name": texts()}),
}
assert set(_ELEMENTS) == set(VALUE)


def elements(field: str) -> st.SearchStrategy[dict[str, Any]]:
    """One element of a field."""
    return _ELEMENTS[field]


@st.composite
def cards(draw: st.DrawFn, max_elements: int = 3) -> Card:
    """A card of our profile: any of its fields, with at most so many elements each, under ids like "k3"."""
    card: dict[str, Any] = {}
    if draw(st.booleans()):
        name = {"components": draw(_components(NAME_KINDS, phonetic=True)), "full": draw(st.just("") | texts())}
        card["name"] = {key: value for key, value in name.items() if value}
    if kind := draw(st.sampled_from(["", "", "individual", "org", "group"])):
        card["kind"] = kind
    for number, field in enumerate(draw(st.lists(st.sampled_from(sorted(VALUE)), unique=True, max_size=4))):
        found = draw(st.lists(_ELEMENTS[field], min_size=1, max_size=max_elements))
        card[field] = {f"k{number}{at}": element for at, element in enumerate(found)}
    if keywords := draw(st.lists(texts().filter(bool), max_size=2)):
        card["keywords"] = dict.fromkeys(keywords, True)
    return {field: value for field, value in card.items() if value}
