"""The database to another place, into a backup and back: nothing is lost on the way, and nothing comes twice after."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from house import House, card, real_clock

import migrations
from app import bootstrap, moving
from app.engine import privacy
from app.engine.rounds import sync_all
from app.jobs.local import LocalQueue
from app.jobs.notices import subscribe
from app.jobs.perform import Performer
from app.jobs.queue import Task
from app.jobs.receiving import address
from app.jobs.schedule import zone_of
from app.settings import Settings
from app.store import copying, jobs, people, runs
from app.store.store import Store, Unopenable


def _settings(home: Path, url: str | None = None) -> Settings:
    return Settings.model_validate({"home": home, **({"database_url": url} if url else {})})


class Place:
    """An installation with two address books and people in them, kept in step."""

    def __init__(self, home: Path, url: str | None = None, remotes: Any = None) -> None:
        self.settings = _settings(home, url)
        self.application = bootstrap.start(self.settings)
        self.house = House(self.settings.database_url, real_clock, create=False)
        self.house.keyring = self.application.keyring
        if remotes is None:
            for name in ("crm", "book"):
                self.house.connect(name)
        else:
            self.house.remotes, self.house.ids = remotes.house.remotes, remotes.house.ids

    def sync(self) -> None:
        reports = sync_all(self.house.world(), ["crm", "book"], until_quiet=True)
        assert {report.outcome for report in reports} == {"done"}, [report.message for report in reports]

    def fill(self, number: int = 30) -> None:
        for one in range(number):
            self.house.remotes["crm"].add(card(f"Person Nº{one} 🐝", f"p{one}@x.test"))
        self.sync()
        subscribe(self.house.store, self.house.keyring, "https://x.test/hook", [])
        address(self.house.store, self.house.keyring, "crm")
        self.edit("book", "p3@x.test", phone="+4930123456")
        self.sync()

    def edit(self, remote: str, mail: str, **values: str) -> None:
        """A human edits a contact there."""
        box = self.house.remotes[remote]
        [(id_, found)] = [(id_, c) for id_, c in box.cards().items() if mail in str(c.get("emails"))]
        changed = {**found, **({"phones": {"9": {"number": values["phone"]}}} if "phone" in values else {})}
        if "name" in values:
            given, _, surname = values["name"].partition(" ")
            parts = [{"kind": "given", "value": given}, {"kind": "surname", "value": surname}]
            changed["name"] = {"full": values["name"], "components": parts}
        box.edit(id_, changed)

    def shown(self, remote: str) -> list[tuple[str, str]]:
        """(name, address) of all contacts there, in order."""
        found = self.house.remotes[remote].cards().values()
        return sorted((c["name"]["full"], next(iter(c["emails"].values()))["address"]) for c in found)

    def close(self) -> None:
        self.house.store.close()
        self.application.store.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "one")
    made.fill()
    made.close()
    return made


def _proofs(url: str) -> dict[str, tuple[int, str]]:
    store = Store(url, real_clock)
    try:
        with store.read() as unit:
            return {p.table: (p.rows, p.digest) for p in (copying.prove(unit, t) for t in copying.tables())}
    finally:
        store.close()


# --- to another database


def test_to_postgresql_and_back_it_is_the_same(place: Place, postgres_url: str, tmp_path: Path) -> None:
    first = place.settings.database_url
    moved = moving.move_database(place.settings, first, postgres_url)
    assert _proofs(first) == _proofs(postgres_url) == {p.table: (p.rows, p.digest) for p in moved.proofs}
    assert _proofs(first)["people"][0] == 30
    again = f"sqlite:///{tmp_path / 'three' / 'concord.db'}"
    back = moving.move_database(place.settings, postgres_url, again)
    assert _proofs(again) == _proofs(first)
    assert back.key == tmp_path / "three" / "concord.key"


def test_it_goes_on_there(place: Place, postgres_url: str) -> None:
    """New rows get new numbers, credentials can be read, and nothing is written twice."""
    moving.move_database(place.settings, place.settings.database_url, postgres_url)
    there = Place(place.settings.home, postgres_url, place)
    before = there.shown("book")
    there.sync()
    assert there.shown("book") == before
    there.house.remotes["crm"].add(card("Zoe Zander", "zoe@x.test"))
    there.sync()
    assert there.shown("book") == sorted([*before, ("Zoe Zander", "zoe@x.test")])
    assert address(there.house.store, there.house.keyring, "crm").startswith("/hooks/crm/")
    there.close()


def test_only_into_an_empty_one_and_only_while_it_rests(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "two")
    url = place.settings.database_url
    with pytest.raises(ValueError, match="is not empty"):
        moving.move_database(place.settings, url, other.settings.database_url)
    with other.house.store.begin() as unit:
        runs.take_lease(unit, "scheduler", "host:1", 60)
    with pytest.raises(moving.InUse, match="host:1"):
        moving.move_database(place.settings, other.settings.database_url, f"sqlite:///{tmp_path / 'three.db'}")
    with pytest.raises(ValueError, match="the same"):
        moving.move_database(place.settings, url, url)
    with pytest.raises(FileNotFoundError):
        moving.move_database(place.settings, f"sqlite:///{tmp_path / 'no.db'}", f"sqlite:///{tmp_path / 'x.db'}")
    other.close()


def test_a_copy_that_is_not_the_same_is_not_kept(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.store.store import Unit

    insert = Unit.insert

    def lossy(self: Unit, table: sa.Table, rows: Any) -> None:
        insert(
            self, table, [{**row, "name": row["name"].strip("🐝")} for row in rows] if table.name == "people" else rows
        )

    monkeypatch.setattr(Unit, "insert", lossy)
    target = f"sqlite:///{tmp_path / 'two.db'}"
    with pytest.raises(copying.Mismatch, match="people"):
        moving.move_database(place.settings, place.settings.database_url, target)
    assert _proofs(target)["people"][0] == 0


# --- backups


def test_a_backup_is_made_while_others_write(place: Place, tmp_path: Path) -> None:
    here = Place(place.settings.home, None, place)
    file = tmp_path / "backups" / "one.db"
    with here.house.store.begin() as unit:
        runs.take_lease(unit, "scheduler", "host:1", 60)
        size = moving.backup(here.application, file)
    assert size == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["one.db"]
    with pytest.raises(FileExistsError, match="--replace"):
        moving.backup(here.application, file)
    moving.backup(here.application, file, replace=True)
    here.close()


def _life_goes_on(place: Place) -> list[tuple[str, str]]:
    """What happens after the backup; what all systems must show in the end."""
    box = place.house.remotes
    box["crm"].add(card("New Incrm", "new1@x.test"))
    box["book"].add(card("New Inbook", "new2@x.test"))
    place.sync()
    place.edit("crm", "p1@x.test", name="Edited Incrm")
    place.edit("book", "new1@x.test", name="Edited Inbook")
    place.sync()
    [gone] = [id_ for id_, found in box["crm"].cards().items() if "p2@x.test" in str(found)]
    box["crm"].remove(gone)
    place.sync()
    assert place.shown("crm") == place.shown("book")
    return place.shown("crm")


@pytest.mark.parametrize("how", ["all at once", "by the daemon", "postgresql"])
def test_a_restored_backup_syncs_on_without_duplicates_or_losses(
    tmp_path: Path, how: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if how == "postgresql" else None
    first = Place(tmp_path / "one", url)
    first.fill()
    file = tmp_path / "backup.db"
    moving.backup(first.application, file)
    expected = _life_goes_on(first)
    first.close()

    home = first.settings.home
    if how == "postgresql":
        fresh = request.getfixturevalue("new_postgres")()
        moving.restore(_settings(home, fresh), file)
        second = Place(home, fresh, first)
    else:
        restored = moving.restore(_settings(home), file, replace=True)
        assert restored.people == 30
        assert restored.aside and restored.aside.exists()
        second = Place(home, None, first)
    # A human edits in one system before the first sync.
    second.edit("crm", "p5@x.test", name="Edited Later")
    expected = [("Edited Later", "p5@x.test") if mail == "p5@x.test" else (name, mail) for name, mail in expected]
    if how == "by the daemon":
        _work(second.house)
    else:
        second.sync()
    assert second.shown("crm") == second.shown("book") == sorted(expected)
    assert second.house.people() >= len(expected)
    before = sync_all(second.house.world(), ["crm", "book"])
    assert all(report.quiet for report in before)
    second.close()


def _work(house: House) -> None:
    """One connection after the other, each waking those that are owed: the order in which most can go wrong."""
    queue = LocalQueue(house.store, "host:1")
    perform = Performer(house.store, lambda at: house.world(at=at), queue, zone_of("UTC"), {})
    queue.enqueue("sync", house.ids["crm"])
    for _ in range(50):
        with house.store.begin() as unit:
            job = jobs.take(unit, "worker t", 10)
        if job is None:
            return
        perform(Task(job.kind, job.connection_id, lambda: False))
        with house.store.begin() as unit:
            jobs.finish(unit, job)
    raise AssertionError("it does not come to rest")


def test_who_was_forgotten_since_stays_forgotten(place: Place, tmp_path: Path) -> None:
    here = Place(place.settings.home, None, place)
    file = tmp_path / "backup.db"
    moving.backup(here.application, file)
    with here.house.store.read() as unit:
        person = people.search(unit, "p7@x.test", limit=1)[0]
    privacy.erase(here.house.world(), person.uid, "admin")
    here.sync()
    here.close()
    done = moving.restore(here.settings, file, replace=True)
    assert done.forgotten == 1
    again = Place(here.settings.home, None, place)
    again.sync()
    assert "p7@x.test" not in str(again.shown("crm") + again.shown("book"))
    with again.house.store.read() as unit:
        assert people.search(unit, "p7@x.test", limit=1) == []
    again.close()


def test_a_database_is_never_replaced_by_accident(place: Place, tmp_path: Path) -> None:
    here = Place(place.settings.home, None, place)
    file = tmp_path / "backup.db"
    moving.backup(here.application, file)
    here.close()
    with pytest.raises(ValueError, match="--replace"):
        moving.restore(place.settings, file)
    with here.house.store.begin() as unit:
        runs.take_lease(unit, "scheduler", "host:1", 60)
    with pytest.raises(moving.InUse):
        moving.restore(place.settings, file, replace=True)
    assert len([*place.settings.home.glob("concord.db*")]) <= 3
    here.house.store.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0 but broken"])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "backup.db"
    file.write_bytes(content)
    with pytest.raises((ValueError, Unopenable)):
        moving.restore(_settings(tmp_path / "home"), file)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE people (id)")
    other.close()
    with pytest.raises(ValueError, match="no backup of Concord"):
        moving.restore(_settings(tmp_path / "home"), tmp_path / "other.db")
    assert not (tmp_path / "home" / "concord.db").exists()


def test_an_older_backup_is_brought_up_to_date_and_stays_as_it_is(place: Place, tmp_path: Path) -> None:
    here = Place(place.settings.home, None, place)
    file = tmp_path / "backup.db"
    moving.backup(here.application, file)
    here.close()
    old = Store(f"sqlite:///{file}", real_clock)
    migrations.downgrade(old.engine, "0003")
    old.close()
    moving.restore(_settings(tmp_path / "new"), file)
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("0003",)]
    db.close()
    store = Store(_settings(tmp_path / "new").database_url, real_clock)
    assert migrations.current(store.engine) == migrations.HEAD
    store.close()
