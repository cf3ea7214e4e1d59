"""Who may write what, who belongs where, and when to stop and ask."""

from __future__ import annotations

import pytest

from app.core.guard import may_lose
from app.core.policy import Policy


@pytest.mark.parametrize(
    ("direction", "pulls", "pushes"),
    [("both", True, True), ("pull", True, False), ("push", False, True), ("off", False, False)],
)
def test_directions(direction: str, pulls: bool, pushes: bool) -> None:
    whole = Policy(direction=direction)  # type: ignore[arg-type]
    assert (whole.pulls("notes"), whole.pushes("notes")) == (pulls, pushes)
    other = "off" if direction == "both" else "both"
    field = Policy(direction=other, fields={"notes": direction})  # type: ignore[arg-type, dict-item]
    assert (field.pulls("notes"), field.pushes("notes")) == (pulls, pushes)
    assert field.pulls("phones") is field.pushes("phones") is (other == "both")


def test_who_belongs_in_a_system() -> None:
    vip = Policy(filter={"keywords": ("VIP", "friend")})
    assert vip.welcomes({"keywords": {"vip": True, "x": True}})
    assert not vip.welcomes({"keywords": {"x": True}})
    assert not vip.welcomes({})
    assert Policy().welcomes({})
    both = Policy(filter={"groups": ("Berlin",), "kind": ("org",)})
    assert both.welcomes({"groups": {"g": {"name": "BERLIN"}}, "kind": "Org"})
    assert both.welcomes({"groups": {"g": {"name": " Berlin "}}, "kind": "org"})
    assert not both.welcomes({"groups": {"g": {"name": "Berlin"}}})
    assert not both.welcomes({"kind": "org"})


@pytest.mark.parametrize(
    ("losing", "links", "may"),
    [
        (0, 0, True),
        (10, 0, True),
        (11, 0, False),
        (11, 200, False),
        (11, 220, True),
        (50, 1000, True),
        (51, 1000, False),
    ],
)
def test_the_brake_holds_above_ten_and_five_percent(losing: int, links: int, may: bool) -> None:
    assert may_lose(losing, links) is may
