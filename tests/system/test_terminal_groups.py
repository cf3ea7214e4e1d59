"""Groups at the terminal, between two real systems that have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from desk import Desk

from app.bootstrap import start
from app.cli import common as cli
from app.store import audit


@pytest.fixture
def two(desk: Desk) -> Iterator[Desk]:
    """Google and Mailchimp; two fans at Google, one of whom is [VIP]."""
    with desk.system("google", "google") as google, desk.system("mail", "mailchimp"):
        made = {name: google.group(name) for name in ("Fans", "[VIP]")}
        google.seed([_in(0, made["Fans"]), _in(1, made["Fans"], made["[VIP]"])])
        file = desk.file(desk.entry("google", "google"), desk.entry("mail", "mailchimp"))
        assert desk("apply", file).code == cli.OK
        assert desk("sync", "--until-quiet").code == cli.OK
        yield desk


def _in(number: int, *groups: str) -> dict[str, Any]:
    memberships = ["contactGroups/myContacts", *groups]
    return {
        "names": [{"givenName": "Ann", "familyName": f"Doe{number}"}],
        "emailAddresses": [{"value": f"ann{number}@x.test"}],
        "memberships": [{"contactGroupMembership": {"contactGroupResourceName": name}} for name in memberships],
    }


def at_google(desk: Desk) -> list[list[str]]:
    """The groups of everybody there, by surname."""
    box = desk.sandboxes["google"]
    titles = {group.name: group.title for group in box._groups.values() if not group.system}
    found = sorted(box.people(), key=lambda row: str(row["names"][0]["familyName"]))
    names = [[m["contactGroupMembership"]["contactGroupResourceName"] for m in row["memberships"]] for row in found]
    return [sorted(titles[name] for name in some if name in titles) for some in names]


def at_mailchimp(desk: Desk) -> list[list[str]]:
    """The tags of everybody there, by address."""
    found = sorted(desk.sandboxes["mail"].audience.members.values(), key=lambda member: str(member.email))
    return [sorted(name for _, name in member.tags.values()) for member in found]


def test_a_group_is_renamed_joined_and_removed_everywhere(two: Desk) -> None:
    listed = two("groups", "list", "--json").json
    assert [(group["name"], group["people"]) for group in listed] == [("[VIP]", 1), ("Fans", 2)]
    assert "[VIP]" in two("groups", "list").out
    fans = next(group["id"] for group in listed if group["name"] == "Fans")

    done = two("groups", "rename", "FANS", "Best fans", "--json")
    assert done.code == cli.OK
    assert done.json == {"id": fans, "rev": 2, "name": "Best fans", "people": 2, "joined": None}
    assert two("sync", "--until-quiet").code == cli.OK
    assert at_google(two) == at_mailchimp(two) == [["Best fans"], ["Best fans", "[VIP]"]]
    quiet = two("sync", "--json").json
    assert [run["written"] + run["created"] + run["deleted"] for run in quiet] == [0, 0]

    assert two("groups", "rename", fans[:8], "[vip]").code == cli.BAD_INPUT
    assert "say --merge" in two("groups", "rename", fans[:8], "[vip]").err
    joined = two("groups", "rename", fans[:8], "[vip]", "--merge")
    assert joined.code == cli.OK and "[VIP]" in joined.out
    two("sync", "--until-quiet")
    assert at_google(two) == at_mailchimp(two) == [["[VIP]"], ["[VIP]"]]
    shown = two("groups", "show", fans, "--json").json
    assert (shown["name"], shown["people"], len(shown["members"])) == ("[VIP]", 2, 2)
    assert "[VIP]" in two("groups", "show", "[vip]").out

    assert two("groups", "remove", "[VIP]").code != cli.OK, "it asks first, and nobody answers"
    assert two("groups", "remove", "[VIP]", "--yes").code == cli.OK
    two("sync", "--until-quiet")
    assert at_google(two) == at_mailchimp(two) == [[], []]
    assert two("groups", "list", "--json").json == []
    assert len(two.people()) == 2
    assert two("groups", "show", fans).code == cli.BAD_INPUT


def test_the_audit_names_a_group_by_its_id(two: Desk) -> None:
    fans = two("groups", "list", "--search", "FAN", "--json").json[0]["id"]
    two("groups", "rename", "fans", "[VIP]")
    two("groups", "remove", "fans", "--yes")
    application = start()
    with application.store.read() as unit:
        found = [act for act in audit.listing(unit) if "group" in act.action]
    application.store.close()
    assert [(act.action, act.target, act.status) for act in found] == [
        ("remove_group", f"groups/{fans}", 200),
        ("rename_group", f"groups/{fans}", 422),
    ]
    assert "Fans" not in str(found) and "fans" not in str(found)
