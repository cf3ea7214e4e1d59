"""The sandbox answers as the real server does: the same script against both, and what comes of it side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import servers
import tryton_server
from tryton_server import Tryton

from connectors.tryton.sandbox import DATABASE, LOGIN, PASSWORD, TrytonSandbox

PARTY, MECHANISM, CATEGORY = "model.party.party", "model.party.contact_mechanism", "model.party.category"
LOG = "model.ir.model.log"
ALL = {"active_test": False}
READ = [
    *("name", "active", "replaced_by", "_timestamp", "write_date", "create_date", "contact_mechanisms"),
    *(f"contact_mechanisms.{column}" for column in ("type", "value", "value_compact", "name", "comment", "sequence")),
    *(f"addresses.{column}" for column in ("street", "street_unstructured", "street_name", "post_box", "city")),
    *("addresses.country.code", "addresses.subdivision.name", "categories.rec_name", "identifiers.code"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tryton]:
    with tryton_server.tryton(tmp_path_factory.mktemp("tryton")) as running:
        yield running


@pytest.fixture(scope="module")
def boxed() -> Iterator[Tryton]:
    box = TrytonSandbox()
    with servers.stage() as stage:
        stage.app = box.app
        yield Tryton(stage.url, login=LOGIN, password=PASSWORD, database=DATABASE)


class Script:
    """What one client does, and everything it hears: errors as they are, answers as their shape."""

    def __init__(self, server: Tryton) -> None:
        self.server = server
        self.heard: list[Any] = []
        self.names: dict[int, str] = {}

    def ask(self, method: str, *params: Any, **context: Any) -> Any:
        """The answer, which is noted; None for an error."""
        try:
            answer = self.server.call(method, *params, context=context)
        except RuntimeError as error:
            self.heard.append((method, self._unnumbered(str(error))))
            return None
        self.heard.append((method, self._shape(answer)))
        return answer

    def make(self, *people: Mapping[str, Any]) -> list[int]:
        made = self.ask(f"{PARTY}.create", list(people))
        assert made is not None, self.heard[-1]
        return list(made)

    def one(self, method: str, domain: list[Any], fields: list[str]) -> dict[str, Any]:
        """A row that the server came with; how often there is one is not compared."""
        [row] = self.server.call(f"{method}.search_read", domain, 0, 1, None, fields)
        return dict(row)

    def read(self, *parties: int, **context: Any) -> list[dict[str, Any]]:
        return list(self.ask(f"{PARTY}.read", list(parties), READ, **context) or ())

    def _unnumbered(self, text: str) -> str:
        """An error without ids, what it calls the record, and the definition of the form that comes with some."""
        error = re.sub(r", (None|\[\[.*)\]\]$", "", text.partition(": [")[2])
        return re.sub(r'\d+|(?<=record ").*?(?=" of ")|(?<=mechanism ").*(?=")', "#", error)

    def _shape(self, value: Any) -> Any:
        if isinstance(value, dict):
            if "__class__" in value:
                return value["__class__"]
            return {key: "a stamp" if key == "_timestamp" else self._shape(value[key]) for key in sorted(value)}
        if isinstance(value, list):
            return [self._shape(one) for one in value]
        if isinstance(value, str) and value.startswith("party.party,"):
            return "party.party"
        return bool(value) if isinstance(value, int) else value


def ada() -> dict[str, Any]:
    return {
        "name": "Ada Löve",
        "contact_mechanisms": [
            [
                "create",
                [
                    {"type": "phone", "value": "+49 30 5550002", "sequence": 1},
                    {"type": "mobile", "value": "+491715550001", "name": " Boat ", "comment": "a\nb"},
                    {"type": "email", "value": "Ada@Example.ORG"},
                    {"type": "other", "value": "x y"},
                ],
            ]
        ],
    }


def rows_and_texts(on: Script) -> None:
    """Rows of a party, texts as they are kept."""
    de = on.one("model.country.country", [["code", "=", "DE"]], ["id"])["id"]
    part = on.one("model.country.subdivision", [["code", "=", "DE-NI"]], ["id"])["id"]
    fr = on.one("model.country.country", [["code", "=", "FR"]], ["id"])["id"]
    addresses = [
        {"street_unstructured": "a\n\n b  \nc ", "city": " Bonn ", "country": de, "subdivision": part},
        {"street_name": "Lange Straße 12, Hinterhaus", "post_box": "4711"},
        {"street_unstructured": "two", "post_box": "4711"},
        {},
    ]
    [party] = on.make({**ada(), "addresses": [["create", addresses]], "categories": None})
    [shown] = on.read(party)
    first = shown["addresses."][0]["id"]
    on.ask(f"{PARTY}.write", [party], {"addresses": [["write", [first], {"country": fr}]]})
    on.ask(f"{PARTY}.write", [party], {"addresses": [["write", [first], {"country": None, "subdivision": None}]]})
    second = shown["addresses."][1]["id"]
    for address in (first, second):
        on.ask(f"{PARTY}.write", [party], {"addresses": [["write", [address], {"street": "x"}]]})
    on.make({"name": "  blanks  "}, {"name": ""}, {"name": None}, {"name": "🎷"})
    for wrong in (
        {"name": "two\nlines"},
        {"contact_mechanisms": [["create", [{"type": "phone", "value": "not a phone"}]]]},
        {"contact_mechanisms": [["create", [{"type": "phone", "value": "0551 4567"}]]]},
        {"contact_mechanisms": [["create", [{"type": "email", "value": "no mail"}]]]},
        {"contact_mechanisms": [["create", [{"type": "email", "value": "x@foo.test"}]]]},
    ):
        on.ask(f"{PARTY}.create", [{"name": "Bad", **wrong}])
    on.ask(f"{PARTY}.write", [party], {"code": "mine"})
    on.read(party)


def locks(on: Script) -> None:
    """Timestamps, of a party and of its rows; many in one call; what is not there."""
    one, other = on.make(ada(), {"name": "Other"})
    [before] = on.read(one)
    mechanisms = {m["value"]: m["id"] for m in before["contact_mechanisms."]}
    mail = mechanisms["Ada@example.org"]
    stamps = {f"party.party,{one}": before["_timestamp"]}
    [row] = on.server.call(f"{MECHANISM}.read", [mail], ["_timestamp"])
    stamps[f"party.contact_mechanism,{mail}"] = row["_timestamp"]
    on.ask(f"{MECHANISM}.write", [mail], {"value": "b@example.org"})
    [after] = on.read(one)
    assert after["_timestamp"] == before["_timestamp"], "a row's write does not move the party's"
    for change in (["write", [mail], {"value": "c@example.org"}], ["delete", [mail]]):
        on.ask(f"{PARTY}.write", [one], {"contact_mechanisms": [change]}, _timestamp=stamps)
    on.ask(f"{PARTY}.write", [one], {"name": "Ada L"}, _timestamp={f"party.party,{one}": before["_timestamp"]})
    on.ask(f"{PARTY}.write", [one], {"name": "Ada M"}, _timestamp={f"party.party,{one}": before["_timestamp"]})
    on.ask(f"{PARTY}.delete", [one], _timestamp={f"party.party,{one}": before["_timestamp"]})
    on.ask(f"{PARTY}.write", [one], {"name": "A"}, [other], {"name": "B"})
    on.ask(f"{PARTY}.write", [one], {"name": "AA"}, [999_999], {"name": "BB"})
    on.read(one, other)
    on.ask(f"{MECHANISM}.write", [mail], {"party": other})
    on.ask(f"{MECHANISM}.write", [mail], {"type": "phone"})
    on.ask(f"{MECHANISM}.write", [mail], {"type": "other"})
    on.ask(f"{MECHANISM}.write", [mail], {"type": "nonsense"})
    on.ask(f"{PARTY}.delete", [other])
    on.ask(f"{PARTY}.delete", [other])
    on.read(other)
    on.ask(f"{PARTY}.search_read", [["id", "in", [one, other]]], 0, None, None, ["name"])
    assert mechanisms


def categories(on: Script) -> None:
    """Names, nesting, membership."""
    [top] = on.ask(f"{CATEGORY}.create", [{"name": " Friends "}])
    for name in ("Friends", "A / B", ""):
        on.ask(f"{CATEGORY}.create", [{"name": name}])
    [sub] = on.ask(f"{CATEGORY}.create", [{"name": "Friends", "parent": top}])
    [party] = on.make({"name": "Member", "categories": [["add", [top, sub]]]})
    on.read(party)
    on.ask(f"{PARTY}.write", [party], {"categories": [["remove", [top]]]})
    on.ask(f"{CATEGORY}.write", [top], {"name": "Pals"})
    on.read(party)
    on.ask(f"{CATEGORY}.write", [sub], {"active": False})
    on.ask(f"{CATEGORY}.write", [sub], {"name": "x"})
    on.read(party)
    on.read(party, **ALL)
    on.ask(f"{CATEGORY}.delete", [sub])
    on.read(party)


def searching(on: Script) -> None:
    """What the connector asks when it looks for changes."""
    code = "concord:key"
    first, second = on.make({"name": "Seek", "identifiers": [["create", [{"type": None, "code": code}]]]}, ada())
    now = on.server.call(f"{PARTY}.read", [second], ["write_date"])[0]["write_date"]
    on.ask(f"{PARTY}.search_read", [["identifiers.code", "in", [code, "x"]]], 0, None, None, ["identifiers.code"])
    mail = on.read(second)[0]["contact_mechanisms"][0]
    on.ask(f"{MECHANISM}.write", [mail], {"active": False})
    since = [["id", ">=", first], ["OR", ["write_date", ">", now], ["contact_mechanisms.write_date", ">", now]]]
    on.ask(f"{PARTY}.search_read", since, 0, None, [["id", "ASC"]], ["name"], **ALL)
    on.ask(f"{PARTY}.search_read", since, 0, None, [["id", "ASC"]], ["name"])
    on.read(second)
    on.ask(f"{PARTY}.write", [first], {"active": False})
    on.ask(f"{PARTY}.write", [first], {"name": "x"})
    on.ask(f"{PARTY}.write", [first], {"name": "y", "active": True})
    on.ask(f"{PARTY}.write", [first], {"name": "z", "active": False})
    on.ask(f"{PARTY}.write", [first], {"active": False})
    here = [["id", "in", [first, second]]]
    on.ask(f"{PARTY}.search_read", here, 0, None, [["id", "ASC"]], ["name"])
    on.ask(f"{PARTY}.search_read", [*here, ["active", "=", False]], 0, None, [["id", "ASC"]], ["name"])
    on.ask(f"{PARTY}.search_read", here, 0, 1, [["id", "ASC"]], ["name"], **ALL)
    on.ask(f"{PARTY}.search_read", here, 1, 1, [["id", "ASC"]], ["name"], **ALL)


def deleting(on: Script) -> None:
    """The log of deletions: it does not say of what, but can be searched by it."""
    party, other = on.make(ada(), {"name": "Other"})
    first, second, *_ = on.read(party)[0]["contact_mechanisms"]
    on.ask(f"{MECHANISM}.delete", [first])
    on.ask(f"{PARTY}.write", [party], {"contact_mechanisms": [["delete", [second]]]})
    on.ask(f"{PARTY}.delete", [other])
    for model, number in (("contact_mechanism", first), ("contact_mechanism", second), ("party", other)):
        about = [["event", "=", "delete"], ["resource", "like", f"party.{model},{number}"]]
        on.ask(f"{LOG}.search_read", about, 0, None, [["id", "ASC"]], ["resource", "event", "target", "create_date"])
    written = [["event", "=", "write"], ["resource", "like", f"party.party,{party}"]]
    on.ask(f"{LOG}.search_read", written, 0, None, [["id", "ASC"]], ["resource", "target"])
    times = [
        {
            json.dumps(row["create_date"])
            for row in on.server.call(f"{LOG}.search_read", domain, 0, None, None, ["create_date"])
        }
        for domain in (written, [["event", "=", "delete"], ["resource", "like", f"party.contact_mechanism,{second}"]])
    ]
    assert times[0] == times[1], "what one transaction writes has one time"


def erasing(on: Script) -> None:
    """The wizard, which wants an archived party, and what it leaves."""
    [party] = on.make(
        {
            **ada(),
            "addresses": [["create", [{"street_unstructured": "Weg 3", "city": "Bonn"}]]],
            "identifiers": [["create", [{"type": None, "code": "concord:gone"}]]],
        }
    )
    there = {"active_model": "party.party", "active_id": party, "active_ids": [party]}
    for _ in range(2):
        session, *_ = on.ask("wizard.party.erase.create", **there)
        on.ask("wizard.party.erase.execute", session, {"ask": {"party": party}}, "erase", **there)
        on.ask("wizard.party.erase.delete", session, **there)
        on.ask(f"{PARTY}.write", [party], {"active": False})
    on.read(party)
    on.read(party, **ALL)


def merging(on: Script) -> None:
    """The wizard, which asks where names differ, and what it leaves."""
    loser, winner, other = on.make(ada(), {"name": "Ada Löve"}, {"name": "Other"})
    for destination in (other, winner):
        there = {"active_model": "party.party", "active_id": loser, "active_ids": [loser]}
        session, *_ = on.ask("wizard.party.replace.create", **there)
        form = {"ask": {"source": loser, "destination": destination}}
        on.ask("wizard.party.replace.execute", session, form, "replace", **there)
        on.ask("wizard.party.replace.delete", session, **there)
    on.read(loser, winner)
    on.read(loser, winner, **ALL)
    on.ask(f"{PARTY}.write", [loser], {"active": True})


def strange_calls(on: Script) -> None:
    """Models that are not there, arguments that are missing."""
    on.ask("model.no.such.model.search", [], 0, None, None)
    on.ask(f"{PARTY}.search_read", [], 0, 1, None, ["no_such_field"])


@pytest.mark.parametrize(
    "script",
    [rows_and_texts, locks, categories, searching, deleting, erasing, merging, strange_calls],
    ids=lambda s: s.__name__,
)
def test_both_say_the_same(real: Tryton, boxed: Tryton, script: Callable[[Script], None]) -> None:
    one, other = Script(real), Script(boxed)
    script(one)
    script(other)
    for heard, told in zip(one.heard, other.heard, strict=True):
        assert told == heard


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/{db}/rpc/", {}, {"id": 1, "method": f"{PARTY}.search", "params": [[], {}]}, 401),
        (
            "/{db}/rpc/",
            {"authorization": "Session bm9ib2R5OjE6eA=="},
            {"id": 1, "method": "x.y.z", "params": [{}]},
            401,
        ),
        ("/nowhere/rpc/", {}, {"id": 1, "method": "common.db.login", "params": ["a", {"password": "b"}, "en"]}, 404),
        ("/{db}/rpc/", {}, {"id": 1, "method": "common.db.login", "params": ["x", {"password": "b"}, "en"]}, 401),
        ("/{db}/rpc/", {}, {"id": 1, "method": "common.db.login", "params": ["x", {}, "en"]}, 200),
        ("/rpc/", {}, {"id": 1, "method": "common.server.version", "params": []}, 200),
    ],
)
def test_both_answer_with_the_same_status(
    real: Tryton, boxed: Tryton, path: str, headers: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answers = [server.raw(path.format(db=server.database), headers, body) for server in (real, boxed)]
    assert [answer[0] for answer in answers] == [status, status]
    first, second = (_told(content) for _, content in answers)
    assert first == second


def _told(content: bytes) -> Any:
    """What there is in an answer: its JSON, the name of its format, or nothing."""
    return "HTML" if content.startswith(b"<!doctype html>") else json.loads(content or b"null")


@pytest.mark.parametrize(
    ("method", "params", "status"),
    [
        ("model.party.party-party.category.search", [[], 0, None, None, {}], 403),
        (f"{PARTY}.no_such_method", [{}], 403),
        (f"{PARTY}.search", [], 422),
    ],
)
def test_both_refuse_the_same_calls(real: Tryton, boxed: Tryton, method: str, params: list[Any], status: int) -> None:
    for server in (real, boxed):
        server.call("model.res.user.get_preferences", True)
        body = {"id": 1, "method": method, "params": params}
        answer = server.raw(f"/{server.database}/rpc/", {"authorization": server.session}, body)
        assert answer[0] == status
