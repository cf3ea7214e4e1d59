"""Which element of a view is which of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import elements

from app.core.align import NAMED_BY_VALUE, align, pair
from connectors.card import SLOT, VALUE, Card, Equivalence

EQ = Equivalence()


def minting() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"new{next(numbers)}"


def phones(**found: Any) -> Card:
    """{id: number, or (number, slot), or an element}."""
    elements: dict[str, Any] = {}
    for key, value in found.items():
        if isinstance(value, tuple):
            elements[key] = {"number": value[0], SLOT: value[1]}
        else:
            elements[key] = value if isinstance(value, Mapping) else {"number": value}
    return {"phones": elements}


def ids(view: Card, *known: Card) -> dict[str, str]:
    """Our id of each phone number of the view."""
    return {e["number"]: key for key, e in align(view, known, EQ, minting())["phones"].items()}


def test_elements_are_recognised_by_value_wherever_they_stand_now() -> None:
    seen = phones(x=("+49 1", "mobile"), y=("+49 2", "home"))
    assert ids(phones(a=("+49 2", "mobile"), b=("+491", "home")), seen) == {"+49 2": "y", "+491": "x"}


def test_a_new_value_in_the_same_slot_is_an_edit() -> None:
    seen = phones(x=("+49 1", "mobile"), y=("+49 2", "home"))
    assert ids(phones(a=("+49 9", "home"), b=("+49 1", "mobile")), seen) == {"+49 9": "y", "+49 1": "x"}


def test_a_new_value_in_another_slot_is_an_edit_only_if_nothing_else_can_be() -> None:
    seen = phones(x=("+49 1", "mobile"), y=("+49 2", "home"))
    assert ids(phones(a=("+49 1", "mobile"), b=("+49 9", "fax")), seen) == {"+49 1": "x", "+49 9": "y"}
    assert ids(phones(a=("+49 8", "fax"), b=("+49 9", "pager"), c=("+49 7", "car")), seen) == {
        "+49 8": "new1",
        "+49 9": "new2",
        "+49 7": "new3",
    }


def test_leftovers_of_one_kind_are_edits_in_order() -> None:
    work: dict[str, Any] = {"contexts": {"work": True}}
    seen = phones(x={"number": "+49 1", **work}, y={"number": "+49 2"}, z={"number": "+49 3"})
    view = phones(a={"number": "+49 8"}, b={"number": "+49 9"}, c={"number": "+49 7", **work})
    assert ids(view, seen) == {"+49 8": "y", "+49 9": "z", "+49 7": "x"}


def test_of_equal_values_the_same_slot_and_kind_is_meant() -> None:
    work: dict[str, Any] = {"number": "+49 1", "contexts": {"work": True}}
    home: dict[str, Any] = {"number": "+49 1", "contexts": {"private": True}}
    assert align(phones(a=home, b=work), [phones(x=work, y=home)], EQ, minting())["phones"].keys() == {"x", "y"}
    aligned = align(phones(a=home, b=work), [phones(x=work, y=home)], EQ, minting())["phones"]
    assert aligned["x"] == work
    seen = phones(x=("+49 1", "mobile"), y=("+49 1", "home"))
    turned = align(phones(a=("+49 1", "home"), b=("+49 1", "mobile")), [seen], EQ, minting())
    assert turned == seen


def test_the_canonical_card_recognises_by_value_only() -> None:
    seen, card = phones(x=("+49 1", "mobile")), phones(x={"number": "+49 1"}, k={"number": "+49 5"})
    assert ids(phones(a=("+49 5", "home"), b=("+49 1", "mobile")), seen, card) == {"+49 5": "k", "+49 1": "x"}
    assert ids(phones(a=("+49 6", "home"), b=("+49 1", "mobile")), seen, card) == {"+49 6": "new1", "+49 1": "x"}
    assert ids(phones(a="+49 6"), {}, card) == {"+49 6": "new1"}, "a first meeting is no edit"


def test_an_id_is_given_once() -> None:
    seen, card = phones(x="+49 1"), phones(x="+49 2")
    assert ids(phones(a="+49 1", b="+49 2"), seen, card) == {"+49 1": "x", "+49 2": "new1"}


def test_an_element_without_a_value_is_recognised_by_its_slot() -> None:
    empty = {"label": "car", SLOT: "car"}
    assert align(phones(a=empty), [phones(x={**empty, "label": "boat"})], EQ, minting())["phones"].keys() == {"x"}
    assert pair("phones", {"a": {"number": ""}, "b": {"number": ""}}, {"x": {"number": ""}}, EQ) == {}


def test_another_group_name_is_another_group() -> None:
    assert align({"groups": {"1": {"name": "VIP"}}}, [{"groups": {"x": {"name": "vip "}}}], EQ, minting()) == {
        "groups": {"x": {"name": "VIP"}}
    }
    renamed = align({"groups": {"1": {"name": "Friends"}}}, [{"groups": {"x": {"name": "VIP"}}}], EQ, minting())
    assert renamed["groups"].keys() == {"new1"}
    slotted = {"name": "VIP", SLOT: "s"}
    assert pair("groups", {"1": {"name": "Friends", SLOT: "s"}}, {"x": slotted}, EQ) == {}


def test_titles_stay_tied_to_their_organisations() -> None:
    view = {
        "organizations": {"1": {"name": "Ours Ltd"}},
        "titles": {"1": {"name": "Boss", "organizationId": "1"}, "2": {"name": "Poet"}},
    }
    seen = {"organizations": {"o": {"name": "Ours Ltd"}}, "titles": {"t": {"name": "Boss", "organizationId": "o"}}}
    aligned = align(view, [seen], EQ, minting())
    assert aligned["titles"]["t"] == {"name": "Boss", "organizationId": "o"}
    assert {"name": "Poet"} in aligned["titles"].values()
    loose = align({"titles": view["titles"]}, [], EQ, minting())
    assert loose["titles"]["new1"]["organizationId"] == "1"


def test_what_is_no_element_stays_as_it_is() -> None:
    view = {"name": {"full": "A"}, "keywords": {"vip": True}, "x-other": [1]}
    assert align(view, [{"phones": {}}], EQ, minting()) == view


_NUMBERS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.sampled_from(["+49 1", "+491", "+49 2", "+49 3"]), st.sampled_from(["mobile", "home", "fax"])),
    max_size=4,
)


@given(_NUMBERS, _NUMBERS, _NUMBERS)
def test_nothing_comes_or_goes_and_no_id_is_given_twice(view: Any, seen: Any, card: Any) -> None:
    before = phones(**view)
    aligned = align(before, [phones(**seen), phones(**card)], EQ, minting())["phones"]
    assert sorted(map(repr, aligned.values())) == sorted(map(repr, before["phones"].values()))
    again = align({"phones": aligned}, [{"phones": aligned}], EQ, minting())["phones"]
    assert sorted(again) == sorted(aligned)


@given(st.data(), st.sampled_from(sorted(VALUE)))
def test_the_same_elements_in_the_same_order_are_each_other(data: st.DataObject, field: str) -> None:
    """What `align` takes for granted of them, the long way finds as well; but for groups without a name, which are
    nothing to it."""
    some = elements(field).filter(lambda e: field not in NAMED_BY_VALUE or EQ.element_key(field, e) is not None)
    listed = data.draw(st.lists(some, max_size=5))
    listed += data.draw(st.lists(st.sampled_from(listed), max_size=3)) if listed else []
    new, old = ({f"{side}{n}": element for n, element in enumerate(listed)} for side in ("new", "old"))
    assert pair(field, new, old, EQ) == dict(zip(new, old, strict=True))


@pytest.mark.parametrize(("kind", "same"), [("birth", True), ("death", True), ("wedding", False)])
def test_a_person_is_born_once(kind: str, same: bool) -> None:
    """In the card that was seen last and in our own alike: another date is no second birthday."""
    ours = {"anniversaries": {"x": {"kind": kind, "date": {"year": 1980, "month": 1, "day": 2}}}}
    view = {"anniversaries": {"1": {"kind": kind, "date": {"year": 1981, "month": 1, "day": 2}}}}
    aligned = align(view, [{}, ours], Equivalence(), lambda: "new")
    assert set(aligned["anniversaries"]) == ({"x"} if same else {"new"})
