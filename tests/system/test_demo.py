"""`concord demo`: that it proves the laws, that its proof can fail, and that nothing of it is left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from rich.console import Console

from app import show
from app.cli.common import BAD_INPUT, FAILED, OK
from app.demo import laws, people, rows, screen, servers, stage, story
from app.demo.people import Person
from app.demo.stage import Stage
from app.demo.story import Story
from app.engine import plan as planning
from app.engine.rounds import sync_all
from app.engine.run import find
from app.store import links
from connectors import registry

LAWS = ["1", "2", "3", "5", "9"]
CHAPTERS = ("arrival", "unsubscribed", "unticked", "conflict", "invoice")


def silent(connection: str, phase: str, done: int, total: int | None) -> None:
    """Nobody watches."""


# --- the whole of it -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told() -> tuple[list[str], Story]:
    """The story of thirty people in sandboxes: what was announced, and what was found out."""
    steps = [*story.tell(30, silent, real=False)]
    return [announcement for announcement, _ in steps], steps[-1][1]


def test_the_demo_proves_the_laws(told: tuple[list[str], Story]) -> None:
    _, found = told
    assert [law.law[:1] for law in found.laws] == LAWS
    assert all(law.held and not law.failures for law in found.laws), found.laws
    assert min(law.compared for law in found.laws if law.law[0] != "2") > 100
    assert found.well


def test_every_chapter_ends_as_it_should(told: tuple[list[str], Story]) -> None:
    announced, found = told
    assert len(announced) == len(set(announced)) == 10
    assert all(found.arrival["arrived"].values()) and len(found.arrival["arrived"]) == 6
    assert found.unsubscribed["heard"] == {"vtiger": True, "sugarcrm": True}
    assert (found.unsubscribed["status"], found.unsubscribed["edit_arrived"]) == ("unsubscribed", True)
    assert found.unticked["ticked_again"] == {"vtiger": True, "sugarcrm": True}
    assert {found.conflict["ours"], found.conflict["theirs"]} == {"Head of Purchasing", "Purchasing Director"}
    assert found.invoice["purchases"][0]["lines"][0]["text"] == "Wedding arrangement"


def test_only_customers_and_subscribers_are_in_the_audience(told: tuple[list[str], Story]) -> None:
    _, found = told
    everywhere = {found.contacts[name] for name in ("vtiger", "sugarcrm", "google", "phones")}
    assert everywhere == {30}
    assert found.contacts["accounting"] < found.contacts["mailchimp"] < 30


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(told: tuple[list[str], Story], width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=out, width=width, highlight=False))
    screen.tell_all(told[1])
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for words in ("Xero in a box", "What would happen", "Petal & Stem", "Bought", "Every law held."):
        assert words in text
    assert "✗" not in text


def test_a_failed_law_is_told_and_is_the_exit_code(
    told: tuple[list[str], Story], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = laws.Law("1 Convergence", False, 1, "one value", ("google c25: name/given",))

    def tell(*given: Any) -> Iterator[tuple[str, Story]]:
        found = told[1]
        named = {name: getattr(found, name) for name in Story.__slots__}
        yield "", Story(**{**named, "laws": [broken]})

    monkeypatch.setattr(screen, "tell", tell)
    answer = desk("demo")
    assert answer.code == FAILED
    assert "google c25: name/given" in answer.out and "Something failed." in answer.out
    assert desk("demo", "--json").json["laws"][0]["failures"] == ["google c25: name/given"]


def test_with_the_real_servers_and_as_json(desk: Desk, started: list[subprocess.Popen[bytes]]) -> None:
    answer = desk("demo", "--people", "25", "--json")
    assert answer.code == OK, answer.err
    found = answer.json
    assert found["well"] and not found["notes"]
    assert {seat["system"] for seat in found["cast"] if seat["real"]} == {"accounting", "phones"}
    assert [law["law"][:1] for law in found["laws"]] == LAWS
    assert {system["system"] for system in found["systems"] if system["writes"]} == set(people.SEATS)
    assert all(chapter in found for chapter in CHAPTERS)
    assert len(started) == 2 and all(server.returncode is not None for server in started)


def test_too_few_people_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = people.people(20)
    unsubscribed = [person for person in everybody if "mailchimp" not in person.systems]
    monkeypatch.setattr(stage, "people", lambda count: unsubscribed)
    answer = desk("demo", "--people", "20", "--boxes")
    assert answer.code == BAD_INPUT
    assert "nobody is subscribed" in answer.err and "--people" in answer.err


# --- the proof can fail ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def synced() -> Iterator[Stage]:
    with stage.stage(25, silent, real=False) as on:
        planning.approve(on.app.world(), people.SEATS)
        sync_all(on.app.world(), people.SEATS, until_quiet=True)
        yield on


def _now(on: Stage) -> dict[str, Any]:
    return {name: stage.shown(on.app, name) for name in people.SEATS}


def test_what_differs_is_seen(synced: Stage) -> None:
    now = _now(synced)
    assert laws._convergence(synced, now).held
    record = next(iter(now["vtiger"]))
    row = next(row for row in synced.boxes["vtiger"].rows() if row["id"] == record)
    synced.boxes["vtiger"].edit(record, lastname="Somebody Else")
    law = laws._convergence(synced, _now(synced))
    synced.boxes["vtiger"].edit(record, lastname=row["lastname"])
    assert not law.held and law.failures == (f"vtiger {record}: name/surname",)


def test_who_is_missing_is_seen(synced: Stage) -> None:
    now = _now(synced)
    now["google"] = dict([*now["google"].items()][1:])
    law = laws._convergence(synced, now)
    assert not law.held and law.failures[0].startswith("google lacks ")


def test_what_was_lost_is_seen(synced: Stage) -> None:
    record = next(iter(_now(synced)["sugarcrm"]))
    assert laws._nothing_lost(synced, {}).held
    synced.enter("sugarcrm", record, "titles", "name", "Chief of Nothing")
    law = laws._nothing_lost(synced, {})
    synced.entered["sugarcrm", record].remove(("titles", "name", "Chief of Nothing"))
    assert not law.held and law.failures == (f"sugarcrm {record}: titles/name/Chief of Nothing",)


def test_a_double_is_seen(synced: Stage) -> None:
    now = _now(synced)
    assert laws._no_doubles(synced, now).held
    one, other = [*now["google"].values()][:2]
    world = synced.app.world()
    with synced.app.store.begin() as unit:
        connection = find(world, "google").id
        held = links.load(unit, connection, [one.id, other.id])
        links.save(unit, [replace(held[other.id], person_id=held[one.id].person_id)])
    law = laws._no_doubles(synced, now)
    with synced.app.store.begin() as unit:
        links.save(unit, [held[other.id]])
    assert not law.held and len(law.failures) == 1 and law.failures[0].endswith(" 2 times")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda people: people[1:], "is 0 of the people"),
        (lambda people: [*people, replace(people[0], number=99)], "is 2 of the people"),
        (lambda people: [*people, replace(people[0], number=99, given="Q", short="Q")], "number 99 became 0 persons"),
    ],
)
def test_a_person_too_many_or_too_few_is_seen(
    synced: Stage, change: Callable[[list[Person]], list[Person]], words: str
) -> None:
    law = laws._no_doubles(replace(synced, everybody=change(synced.everybody)), _now(synced))
    assert not law.held and words in law.failures[0]


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed"])
def test_a_wrong_opt_out_is_seen(synced: Stage, status: str) -> None:
    """Somebody is subscribed who never asked, or opted out who never said so."""
    assert laws._opt_outs_stick(synced, _now(synced)).held
    audience = synced.boxes["mailchimp"].audience
    member = next(member for member in audience.members.values() if member.status == "transactional")
    member.status = status
    law = laws._opt_outs_stick(synced, _now(synced))
    member.status = "transactional"
    assert not law.held and law.failures[0].startswith(f"mailchimp {member.contact_id}: email")


def test_noise_is_heard(synced: Stage) -> None:
    assert laws._silence(synced).held
    record = next(iter(_now(synced)["vtiger"]))
    synced.boxes["vtiger"].edit(record, description="Called back")
    law = laws._silence(synced)
    assert not law.held and law.failures


# --- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started."""
    made: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*given: Any, **options: Any) -> subprocess.Popen[bytes]:
        made.append(popen(*given, **options))
        return made[-1]

    monkeypatch.setattr(servers.subprocess, "Popen", start)
    return made


def test_what_is_not_installed_is_said_and_a_sandbox_plays_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(servers, "version", version)
    with stage.stage(20, silent, real=True) as on:
        assert [(seat.system, seat.real) for seat in on.seats if seat.name in ("accounting", "phones")] == [
            ("xero", False),
            ("carddav", False),
        ]
        assert len(on.notes) == 2
        assert all("is not installed" in note and "concord[demo]" in note for note in on.notes)


def test_what_does_not_start_is_said_and_a_sandbox_plays_its_part(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no room left on this disk')"]
    monkeypatch.setattr(servers.program, "command", lambda verb, file: failing)
    with stage.stage(20, silent, real=True) as on:
        assert on.notes == ["Tryton did not start: no room left on this disk"]
        assert {seat.name: seat.real for seat in on.seats}["phones"]
    assert all(server.returncode is not None for server in started)


def test_what_does_not_take_us_in_is_said_and_a_sandbox_plays_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(keeper: servers.Bookkeeper, everybody: list[Person]) -> servers.Bookkeeper:
        keeper.call("model.party.party.read", [4711], ["name"])
        raise AssertionError("there is no such party")

    monkeypatch.setattr(stage, "_kept", refuse)
    with stage.stage(20, silent, real=True) as on:
        assert [note[:40] for note in on.notes] == ["Tryton, asked for model.party.party.read"]
        assert on.books.seat.system == "xero"


def test_a_server_ends_with_its_block_even_if_it_does_not_want_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(servers, "GRACE", 0.2)
    ready = tmp_path / "ready"
    stubborn = f"import signal, time, pathlib; signal.signal(15, signal.SIG_IGN); pathlib.Path({str(ready)!r}).touch()"
    with (
        pytest.raises(ZeroDivisionError),
        servers.process("Stubborn", "127.0.0.1:1", [sys.executable, "-c", f"{stubborn}; time.sleep(60)"], tmp_path),
    ):
        _until(ready.exists)
        raise ZeroDivisionError
    assert [server.returncode for server in started] == [-signal.SIGKILL]


def test_a_port_is_nobody_elses_until_its_server_listens() -> None:
    with servers.port() as taken, servers.port() as other:
        assert taken != other
        assert all(port != taken for port in _ports(200))


def _ports(number: int) -> Iterator[int]:
    for _ in range(number):
        with servers.port() as given:
            yield given


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_ends_the_demo_ends_its_servers(number: int, code: int, tmp_path: Path) -> None:
    environment = {**os.environ, "CONCORD_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "app", "demo", "--people", "20"]
    demo = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # who runs us in the background may have us ignore it, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # type: ignore[arg-type, return-value]
    )
    try:
        _until(lambda: len(_children(demo.pid)) == 2)
        there = _children(demo.pid)
        demo.send_signal(number)
        demo.communicate(timeout=30)
    finally:
        demo.kill()
        demo.wait()
    assert demo.returncode == code
    _until(lambda: not any(map(_alive, there)))
    assert not [*tmp_path.glob("concord-demo-*")]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(true: Callable[[], bool], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- made-up people --------------------------------------------------------------------------------------------------


def test_people_are_the_same_for_the_same_seed_and_overlap() -> None:
    everybody = people.people(200)
    assert everybody == people.people(200) != people.people(200, seed=2)
    assert {seat for person in everybody for seat in person.systems} == set(people.SEATS)
    assert len({person.mobile for person in everybody}) == 200
    assert sum(len(person.systems) > 1 for person in everybody) > 100
    assert any(person.silenced for person in everybody)


def test_couples_share_an_address_and_no_more() -> None:
    everybody = people.people(50)
    one, other = everybody[23], everybody[24]
    assert one.emails[0] == other.emails[0] and one.surname == other.surname and one.given != other.given
    assert one.mobile != other.mobile and not other.systems & {"mailchimp", "accounting"}


@pytest.mark.parametrize(
    "system", ["vtiger", "sugarcrm", "google", "mailchimp", "tryton", "xero", "quickbooks", "carddav"]
)
def test_every_sandbox_can_be_filled(system: str) -> None:
    made = rows.fill(system, registry.sandbox(system), people.people(60))
    assert len(made) == len(set(made)) > 15


def test_what_cannot_be_filled_is_said() -> None:
    with pytest.raises(LookupError, match="no made-up people for fax"):
        rows.fill("fax", object(), [])
