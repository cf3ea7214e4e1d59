"""The scheduler: one leader, the truth in the database, and a clock that the tests own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from house import NOON, Clock, House, card
from hypothesis import given
from hypothesis import strategies as st

from app.engine.run import sync
from app.jobs.local import LocalQueue
from app.jobs.perform import Performer
from app.jobs.queue import Task
from app.jobs.schedule import Past, check_quiet, check_schedule, next_run, quiet_until, rest
from app.jobs.scheduler import LEASE, Scheduler
from app.store import connections, jobs, keeping

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
HOUSES = Callable[..., House]


class Desk:
    """A house with one process: its scheduler looks when it is told to, and its jobs are done when they are due."""

    def __init__(self, house: House, zone: ZoneInfo = UTC_ZONE) -> None:
        self.house, self.clock, self.zone = house, house.clock, zone
        self.queue = LocalQueue(house.store, house.owner)
        self.scheduler = self.another()
        nothing = {"notices": lambda task: None, "housekeeping": lambda task: None}
        self.perform = Performer(house.store, lambda at: house.world(at=at), self.queue, zone, nothing)
        with house.store.begin() as unit:
            keeping.done(unit)

    def another(self) -> Scheduler:
        """One more process that wants to lead."""
        return Scheduler(self.house.store, self.queue, "other", self.zone, jitter=False)

    def waiting(self) -> list[tuple[str, str]]:
        """(kind, connection) of the jobs that wait and are due, without doing them."""
        names = {id_: name for name, id_ in self.house.ids.items()}
        with self.house.store.read() as unit:
            found = [job for job in jobs.listing(unit) if job.state == "waiting" and job.due <= unit.now]
        return [(job.kind, names[job.connection_id]) for job in found if job.connection_id is not None]

    def work(self) -> list[tuple[str, str]]:
        """Do all that is due, also what comes of it; what was done."""
        names, done = {id_: name for name, id_ in self.house.ids.items()}, []
        while True:
            with self.house.store.begin() as unit:
                job = jobs.take(unit, "worker t", 10)
            if job is None:
                return done
            again = self.perform(Task(job.kind, job.connection_id, lambda: False))
            with self.house.store.begin() as unit:
                if again is None:
                    jobs.finish(unit, job)
                else:
                    jobs.hand_back(unit, job, again)
            if job.connection_id is not None:
                done.append((job.kind, names[job.connection_id]))

    def turn(self) -> list[tuple[str, str]]:
        """Look once and do what is due."""
        self.scheduler.tick()
        return self.work()


@pytest.fixture
def desk(houses: HOUSES, clock: Clock) -> Desk:
    house = houses(clock)
    house.connect("crm")
    house.connect("book")
    return Desk(house)


# --- intervals


def test_a_new_connection_runs_at_once_and_then_at_its_interval(desk: Desk, clock: Clock) -> None:
    assert sorted(desk.turn()) == [("sync", "book"), ("sync", "crm")]
    assert desk.turn() == []
    clock.wait(299)
    assert desk.turn() == []
    clock.wait(2)
    assert sorted(desk.turn()) == [("sync", "book"), ("sync", "crm")]


def test_what_is_paused_or_run_by_hand_or_not_approved_does_not_run(houses: HOUSES, clock: Clock) -> None:
    house = houses(clock)
    house.connect("hand", schedule=None)
    house.connect("new", active=False, approve="ask")
    house.connect("auto", active=False, approve="auto")
    house.connect("paused")
    with house.store.begin() as unit:
        connections.update(unit, house.ids["paused"], state="paused")
    assert Desk(house).turn() == [("sync", "auto")]


def test_a_changed_schedule_holds_at_once(desk: Desk, clock: Clock) -> None:
    desk.turn()
    clock.wait(61)
    assert desk.turn() == []
    with desk.house.store.begin() as unit:
        connections.update(unit, desk.house.ids["crm"], schedule="1m")
    assert desk.turn() == [("sync", "crm")]


def test_a_run_by_hand_counts(desk: Desk, clock: Clock) -> None:
    desk.turn()
    clock.wait(250)
    sync(desk.house.world(), "crm")
    clock.wait(51)
    assert desk.turn() == [("sync", "book")]


def test_who_is_being_synced_is_left_alone(desk: Desk, clock: Clock) -> None:
    from app.engine.run import lease

    with lease(desk.house.world(), "crm"):
        assert desk.turn() == [("sync", "book")]
    assert desk.turn() == [("sync", "crm")]


def test_writing_alone_does_not_put_off_the_reading(desk: Desk, clock: Clock) -> None:
    """A connection that hears of changes every minute must still be asked for its own."""
    desk.turn()
    done = []
    for minute in range(11):
        clock.wait(60)
        desk.house.remotes["crm"].add(card(f"Ann {minute}", f"ann{minute}@x.test"))
        sync(desk.house.world(), "crm")
        done += desk.turn()
    assert done.count(("sync", "book")) == 2
    assert done.count(("push", "book")) >= 9


# --- leaders


def test_two_candidates_never_both_fire(desk: Desk, clock: Clock) -> None:
    rival = desk.another()
    led = []
    for second in range(30):
        clock.wait(1)
        order = [desk.scheduler, rival] if second % 2 else [rival, desk.scheduler]
        led.append([candidate.tick() for candidate in order].count(True))
    assert set(led) == {1}
    desk.work()
    assert len(desk.house.runs("crm")) == 1


def test_another_takes_the_lead_of_a_dead_one_and_goes_on_where_it_was(desk: Desk, clock: Clock) -> None:
    desk.turn()
    rival = desk.another()
    assert not rival.tick()
    clock.wait(LEASE + 1)
    assert rival.tick(), "within seconds"
    assert desk.waiting() == [], "nothing is due yet: it knows of the runs of the dead one's time"
    assert not desk.scheduler.tick(), "who wakes up from the dead leads no more"
    clock.wait(300)
    assert not desk.scheduler.tick() or not rival.tick()
    assert sorted(desk.work()) == [("sync", "book"), ("sync", "crm")]


def test_who_ends_leaves_the_lead_at_once(desk: Desk) -> None:
    assert desk.scheduler.tick()
    rival = desk.another()
    assert not rival.tick()
    desk.scheduler.stop()
    assert rival.tick()


def test_a_leader_that_was_asleep_fires_nothing(desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked, slept, another took over and did it; what it saw is not true any more when it wakes."""
    rival, slept = desk.another(), []
    assert desk.scheduler.tick()
    desk.work()
    clock.wait(300)
    begin = desk.house.store.begin

    def sleep(**options: Any) -> Any:
        if not slept:
            slept.append(True)
            clock.wait(LEASE + 1)
            assert rival.tick()
            desk.work()
            rival.stop()
        return begin(**options)

    with desk.house.store.begin() as unit:  # so that it still believes in its lead when it looks
        from app.store import runs

        runs.take_lease(unit, "scheduler", desk.scheduler._owner, LEASE)
    monkeypatch.setattr(desk.house.store, "begin", sleep)
    desk.scheduler.tick()
    monkeypatch.undo()
    assert desk.work() == []
    assert len(desk.house.runs("crm")) == 2


def test_a_chore_that_fails_is_not_put_in_every_second(desk: Desk, clock: Clock) -> None:
    clock.wait(90_000)
    desk.turn()
    with desk.house.store.begin() as unit:
        keeping.done(unit)
    clock.wait(90_000)
    put_in = 0
    for _ in range(10):
        clock.wait(1)
        desk.scheduler.tick()
        with desk.house.store.begin() as unit:
            while job := jobs.take(unit, "worker t", 10):  # as one that failed leaves it: gone, and nothing kept
                put_in += job.kind == "housekeeping"
                jobs.finish(unit, job)
    assert put_in == 1


# --- quiet hours


def test_nothing_runs_in_quiet_hours_and_at_their_end_what_was_due_does(houses: HOUSES, clock: Clock) -> None:
    house = houses(clock)
    house.connect("crm", quiet="12:30-14:00")
    house.connect("book")
    desk = Desk(house)
    desk.turn()
    clock.wait(1800)
    house.remotes["book"].add(card("Ann Abel", "ann@x.test"))
    assert desk.turn() == [("sync", "book")], "and crm is not told either"
    clock.wait(5100)  # 13:55
    assert desk.turn() == [("sync", "book")]
    clock.wait(300)
    assert ("sync", "crm") in desk.turn()
    assert house.names("crm") == ["Ann Abel"]


@pytest.mark.parametrize(
    ("quiet", "hour", "end"),
    [
        ("22:00-06:00", 23, datetime(2026, 3, 3, 5, tzinfo=UTC)),
        ("22:00-06:00", 3, datetime(2026, 3, 2, 5, tzinfo=UTC)),
        ("22:00-06:00", 12, None),
        ("12:00-14:00", 11, datetime(2026, 3, 2, 13, tzinfo=UTC)),
        ("12:00-14:00", 13, None),
        (None, 13, None),
    ],
)
def test_quiet_hours_are_those_of_the_place(quiet: str | None, hour: int, end: datetime | None) -> None:
    """`hour` is UTC, Berlin is an hour on."""
    assert quiet_until(quiet, NOON.replace(hour=hour), BERLIN) == end


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 2 * 365 * 24 * 60))
def test_quiet_hours_end(begins: int, ends: int, minutes: int) -> None:
    """Whenever one is in quiet hours, they end within a day; also across the changes of summer time."""
    text = f"{begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}"
    if begins == ends:
        with pytest.raises(ValueError, match="from when to when"):
            check_quiet(text)
        return
    check_quiet(text)
    now = NOON + timedelta(minutes=minutes)
    end = quiet_until(text, now, BERLIN)
    if end is not None:
        assert now < end <= now + timedelta(hours=25) or end <= now, "an hour that is there twice may end early"


# --- trouble


def test_a_failing_connection_rests_longer_each_time_and_recovers(desk: Desk, clock: Clock) -> None:
    desk.turn()
    failing = desk.house
    broken = {"on": True}

    def busy(name: str) -> None:
        from connectors.errors import Unreachable

        if name == "crm" and broken["on"]:
            raise Unreachable("planted")

    failing.busy = busy
    times = []
    for _ in range(70):
        clock.wait(60)
        before = len(failing.runs("crm"))
        desk.turn()
        if len(failing.runs("crm")) > before:
            times.append(clock.now)
    gaps = [round((b - a).total_seconds() / 60) for a, b in pairwise(times)]
    assert gaps == [1, 2, 4, 8, 16, 32]
    broken["on"] = False
    clock.wait(3600)
    assert ("sync", "crm") in desk.turn()
    clock.wait(301)
    assert ("sync", "crm") in desk.turn(), "as if nothing had been"


def test_changes_do_not_wake_a_resting_connection(desk: Desk, clock: Clock) -> None:
    desk.turn()

    def busy(name: str) -> None:
        from connectors.errors import Unreachable

        if name == "crm":
            raise Unreachable("planted")

    desk.house.busy = busy
    clock.wait(301)
    desk.turn()
    desk.house.remotes["book"].add(card("Ann Abel", "ann@x.test"))
    sync(desk.house.world(), "book")
    assert desk.turn() == []
    desk.house.busy = lambda name: None
    clock.wait(61)
    assert ("sync", "crm") in desk.turn()
    assert desk.house.names("crm") == ["Ann Abel"]


def test_rests_are_bounded() -> None:
    assert [rest(n).total_seconds() for n in (1, 2, 3, 100)] == [60, 120, 240, 3600]


# --- changes


def test_a_change_reaches_the_others_without_waiting_for_their_turn(desk: Desk, clock: Clock) -> None:
    desk.house.connect("mail")
    desk.turn()
    clock.wait(240)
    desk.house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    desk.queue.enqueue("sync", desk.house.ids["crm"])
    assert desk.work() == [("sync", "crm"), ("push", "book"), ("push", "mail")]
    assert desk.house.names("mail") == desk.house.names("book") == ["Ann Abel"]
    assert desk.turn() == [], "and that is all"


def test_an_edit_made_elsewhere_is_noticed_within_a_look(desk: Desk, clock: Clock) -> None:
    """At a terminal, in the API, in another process: who writes it need not know of any queue."""
    desk.turn()
    clock.wait(30)
    desk.house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    sync(desk.house.world(), "crm")
    clock.wait(1)
    assert desk.turn() == [("push", "book")]
    assert desk.turn() == []


def test_who_is_being_synced_is_not_woken(desk: Desk, clock: Clock) -> None:
    """It may be about to write it anyway; when it ends, it is asked again."""
    from app.engine.run import lease

    desk.turn()
    desk.house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    sync(desk.house.world(), "crm")
    with lease(desk.house.world(), "book"):
        assert desk.turn() == []
    assert desk.turn() == [("push", "book")]


def test_what_is_run_by_hand_only_is_not_woken(houses: HOUSES, clock: Clock) -> None:
    house = houses(clock)
    house.connect("crm")
    house.connect("hand", schedule=None)
    desk = Desk(house)
    house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    assert desk.turn() == [("sync", "crm")]
    assert house.names("hand") == []
    desk.queue.enqueue("sync", house.ids["hand"])
    assert desk.work() == [("sync", "hand")]
    assert house.names("hand") == ["Ann Abel"]


def test_a_refused_push_does_not_wake_for_ever(desk: Desk, clock: Clock) -> None:
    """What a run saw and left is left until something new happens."""
    desk.turn()
    clock.wait(1)
    desk.house.remotes["crm"].add(card("Ann Abel", "ann@x.test"))
    desk.queue.enqueue("sync", desk.house.ids["crm"])
    desk.work()
    with desk.house.store.begin() as unit:
        from app.store import outbox

        outbox.owe(unit, [desk.house.ids["book"]], [1])
    clock.wait(1)
    assert desk.turn() == [("push", "book")]
    for _ in range(5):
        clock.wait(1)
        assert desk.turn() == []


# --- schedules


@pytest.mark.parametrize("text", ["30s", "5m", "1h", "1d", "*/15 8-18 * * mon-fri", "0 3 * * 0", "0 0 1 1 *"])
def test_good_schedules(text: str) -> None:
    check_schedule(text)
    assert next_run(text, Past(), NOON, UTC_ZONE) >= NOON


@pytest.mark.parametrize("text", ["", "5", "5x", "1s", "61 * * * *", "* * * *", "0 0 30 2 *", "0 3 * * 5-2", "@daily"])
def test_bad_schedules_say_what_a_good_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"as in 30s, 5m, 1h or 1d|is the least"):
        check_schedule(text)


@pytest.mark.parametrize(
    ("days", "weekday"), [("0", 6), ("7", 6), ("1", 0), ("5-7", 4), ("sun", 6), ("fri,sat", 4), ("*/6", 5)]
)
def test_days_are_counted_as_cron_counts_them(days: str, weekday: int) -> None:
    """0 is Sunday. NOON is a Monday."""
    tuesday = NOON + timedelta(days=1 if days != "1" else 0)
    assert next_run(f"0 3 * * {days}", Past(), tuesday, UTC_ZONE, jitter=False).weekday() == weekday


def test_a_cron_line_that_was_missed_is_made_up_for_once() -> None:
    past = Past(NOON - timedelta(days=3))
    assert next_run("0 3 * * *", past, NOON, UTC_ZONE, jitter=False) < NOON
    assert next_run("0 3 * * *", Past(NOON), NOON, UTC_ZONE, jitter=False) == datetime(2026, 3, 3, 3, tzinfo=UTC)


def test_a_cron_line_is_in_the_time_of_the_place(houses: HOUSES) -> None:
    clock = Clock(datetime(2026, 3, 2, 0, 30, tzinfo=UTC))
    house = houses(clock)
    house.connect("crm", schedule="0 3 * * *")
    desk = Desk(house, BERLIN)
    assert desk.turn() == []
    clock.wait(5399)
    assert desk.turn() == []
    clock.wait(2)  # 02:00:01 UTC
    assert desk.turn() == [("sync", "crm")]
    clock.wait(3600)
    assert desk.turn() == []


def test_jitter_spreads_and_is_bounded() -> None:
    found = {next_run("5m", Past(NOON), NOON, UTC_ZONE) - NOON - timedelta(minutes=5) for _ in range(50)}
    assert len(found) > 10
    assert timedelta() <= min(found)
    assert max(found) <= timedelta(seconds=30)
