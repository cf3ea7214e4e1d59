"""Groups over the API: found, read, renamed, joined, removed."""

from __future__ import annotations

from typing import Any

from office import Office

from app.web.paging import cursor_of

FRIENDS = {"1": {"name": "Friends"}}


def group(office: Office, name: str) -> Any:
    (found,) = office.get(f"/v1/groups?name={name}")["items"]
    return found


def change(office: Office, id_: str, etag: str = "*", role: str = "operator", **body: Any) -> Any:
    return office("PATCH", f"/v1/groups/{id_}", role, json=body, headers={"if-match": etag})


def crowd(office: Office) -> None:
    """Three friends, of whom one is a customer, and a customer."""
    office.connect()
    for number, names in enumerate([["Friends"], ["friends"], ["Friends", "Customers"], ["Customers"]]):
        office.add(number, groups={f"g{n}": {"name": name} for n, name in enumerate(names)})
    office.round()


def test_a_group_is_one_however_it_is_written(showroom: Office) -> None:
    found = group(showroom, "%20FRIEND")
    assert (found["name"].casefold(), found["people"], found["rev"]) == ("friends", 5, 1)
    shown = showroom("GET", f"/v1/groups/{found['id']}")
    assert (shown.json(), shown.headers["etag"]) == (found, '"1"')
    assert len(showroom.get(f"/v1/groups/{found['id']}/members")["items"]) == 5
    assert len(showroom.get("/v1/people?group=FRIENDS")["items"]) == 5
    assert showroom.get("/v1/groups?name=foes")["items"] == []
    assert showroom("GET", "/v1/groups/nobody/members").status_code == 404


def test_pages_bring_every_group_and_member_once(office: Office) -> None:
    office.connect()
    for number in range(5):
        office.add(number, groups={"1": {"name": "All"}, "2": {"name": f"Group {number}"}})
    office.round()
    for path, key in (
        ("/v1/groups?limit=2", "id"),
        (f"/v1/groups/{group(office, 'all')['id']}/members?limit=2", "uid"),
    ):
        seen, cursor = [], ""
        while cursor is not None:
            found = office.get(path + cursor)
            seen += [item[key] for item in found["items"]]
            cursor = f"&cursor={found['next']}" if found["next"] else None
        assert len(seen) == len({*seen}) == (6 if key == "id" else 5)
    assert [g["name"] for g in office.get("/v1/groups")["items"]] == ["All", *(f"Group {n}" for n in range(5))]


def test_a_cursor_that_we_did_not_make_is_refused(showroom: Office) -> None:
    for cursor in (cursor_of(7), cursor_of("a\0b"), "x"):
        assert showroom("GET", f"/v1/groups?cursor={cursor}").status_code == 422


def test_a_rename_is_one_act_for_all(office: Office) -> None:
    crowd(office)
    found = group(office, "friends")
    path = f"/v1/groups/{found['id']}"
    assert office("PATCH", path, json={"name": "Fans"}).status_code == 428
    assert change(office, found["id"], '"7"', name="Fans").status_code == 412
    assert change(office, found["id"], "nonsense", name="Fans").status_code == 412
    assert change(office, found["id"], role="viewer", name="Fans").status_code == 403
    done = change(office, found["id"], '"1"', name=" Fans ")
    assert (done.status_code, done.headers["etag"]) == (200, '"2"')
    assert done.json() == {**found, "name": "Fans", "rev": 2}
    assert change(office, found["id"], '"2"', name="Fans").json()["rev"] == 2, "twice is once"
    office.round()
    names = [g["name"] for card in office.remotes["book"].cards().values() for g in card["groups"].values()]
    assert sorted(names) == ["Customers", "Customers", "Fans", "Fans", "Fans"]
    uid = office.get(f"{path}/members")["items"][0]["uid"]
    last = office.get(f"/v1/people/{uid}/history")["items"][0]
    assert (last["by"], last["reason"]) == ("operator", "the group Friends was renamed to Fans")
    (origin,) = [o["origin"] for o in office.get(f"/v1/people/{uid}/lineage") if o["path"].startswith("/groups/")]
    assert (origin["by"], origin["after"], origin["reason"]) == ("operator", "Fans", last["reason"])
    act = next(act for act in office.get("/v1/audit?action=rename_group")["items"] if act["status"] == 200)
    assert (act["actor"], act["target"]) == ("operator", path.removeprefix("/v1/"))


def test_another_groups_name_is_taken_but_by_merging(office: Office) -> None:
    crowd(office)
    friends, customers = group(office, "friends"), group(office, "customers")
    refused = change(office, friends["id"], name="CUSTOMERS")
    assert refused.status_code == 409 and customers["id"] in refused.json()["detail"]
    done = change(office, friends["id"], name="CUSTOMERS", merge=True).json()
    assert (done["id"], done["name"], done["people"]) == (friends["id"], "Customers", 4)
    assert office.get(f"/v1/groups/{customers['id']}") == done, "the younger id leads to the older"
    assert [g["id"] for g in office.get("/v1/groups")["items"]] == [friends["id"]]
    assert office.get("/v1/audit?action=rename_group")["items"][0]["detail"] == {"people": 3, "joined": customers["id"]}


def test_a_removed_group_leaves_its_members(office: Office) -> None:
    crowd(office)
    found = group(office, "friends")
    path = f"/v1/groups/{found['id']}"
    assert office("DELETE", path, "viewer").status_code == 403
    assert office("DELETE", path, headers={"if-match": '"7"'}).status_code == 412
    assert office("DELETE", path, "operator", headers={"if-match": '"1"'}).status_code == 204
    assert [office(method, path, json={"name": "x"}, headers={"if-match": "*"}).status_code for method in
            ("GET", "DELETE", "PATCH")] == [404] * 3  # fmt: skip
    office.round()
    assert len(office.get("/v1/people")["items"]) == 4
    names = [g["name"] for card in office.remotes["book"].cards().values() for g in card.get("groups", {}).values()]
    assert names == ["Customers", "Customers"]
    acts = {act["status"]: act["detail"] for act in office.get("/v1/audit?action=remove_group")["items"]}
    assert acts == {403: {}, 412: {}, 204: {"people": 3}, 404: {}}
