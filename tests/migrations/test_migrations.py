"""From nothing to the tables and back, on every database, and never a difference between tables and migrations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.store import groups, links, outbox
from app.store.store import Store
from app.store.tables import metadata
from connectors.card import card_of
from migrations import HEAD, WrongVersion, config, current, downgrade, upgrade


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'concord.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    store = _store(url)
    yield store.engine
    store.close()


def _store(url: str) -> Store:
    return Store(url, lambda: datetime.now(UTC))


def _tables(engine: sa.Engine) -> set[str]:
    return {*sa.inspect(engine).get_table_names()} - {"alembic_version"}


def _drift(engine: sa.Engine, tables: sa.MetaData = metadata) -> list[Any]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), tables))


def test_up_down_and_up_again(engine: sa.Engine) -> None:
    assert current(engine) is None
    assert upgrade(engine)
    assert (current(engine), _tables(engine)) == (HEAD, {*metadata.tables})
    downgrade(engine, "base")
    assert (current(engine), _tables(engine)) == (None, set())
    assert upgrade(engine)
    assert not upgrade(engine), "an upgrade of an upgraded database must do nothing"
    # Here? `.venv/bin/alembic revision --autogenerate --rev-id 0002 -m "why"`, and HEAD in migrations/__init__.py.
    assert _drift(engine) == []


def test_a_drift_is_noticed(engine: sa.Engine) -> None:
    upgrade(engine)
    newer = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(newer)
    newer.tables["people"].append_column(sa.Column("shoe_size", sa.Integer))
    sa.Index(None, newer.tables["runs"].c.outcome)
    assert {str(found[0]) for found in _drift(engine, newer)} == {"add_column", "add_index"}


def test_the_head_is_the_last_script() -> None:
    script = ScriptDirectory.from_config(config())
    assert script.get_heads() == [HEAD]


def test_the_migrations_make_what_the_tables_make(tmp_path: Path) -> None:
    """Also what `compare_metadata` does not look at on SQLite: WITHOUT ROWID, ON DELETE CASCADE."""
    migrated, created = (_store(f"sqlite:///{tmp_path / name}.db") for name in ("migrated", "created"))
    upgrade(migrated.engine)
    with created.begin() as unit:
        metadata.create_all(unit.db)
    assert _schema(migrated) == _schema(created)


def _schema(store: Store) -> dict[str, list[str]]:
    with store.read() as unit:
        rows = unit.db.execute(
            sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        )
        # SQLite puts the name of a renamed table in quotes.
        return {name: sorted(re.sub('[,)"]', "\n", sql).split()) for name, sql in rows}


def test_many_may_upgrade_at_once(url: str, engine: sa.Engine) -> None:
    def one(_: int) -> bool:
        store = _store(url)
        upgrade(store.engine)
        store.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(4)))
    assert current(engine) == HEAD
    assert _drift(engine) == []


def test_creates_that_were_on_their_way_survive_an_upgrade(engine: sa.Engine) -> None:
    card = {"name": {"components": [{"kind": "surname", "value": "Doe"}]}, "emails": {"1": {"address": "d@x.test"}}}
    upgrade(engine)
    downgrade(engine, "0005")
    rows = {
        "connections": "(id, name, system, settings, policy, approve, state)"
        " VALUES (1, 'a', 's', '{}', '{}', 'ask', 'new')",
        "people": "(id, uid, rev, state, name, card, updated) VALUES (1, 'u', 1, 'live', 'Doe', '{}', 1)",
        "pushes": "(connection_id, person_id, state, attempts, since, card) VALUES (1, 1, 'sent', 0, 1, :card)",
    }
    bound = {"pushes": {"card": json.dumps(card)}}
    with engine.begin() as connection:
        for table, row in rows.items():
            connection.execute(sa.text(f"INSERT INTO {table} {row}").bindparams(**bound.get(table, {})))
    upgrade(engine)
    store = _store(engine.url.render_as_string(hide_password=False))
    with store.read() as unit:
        (push,) = outbox.due(unit, 1, "sent")
    store.close()
    assert card_of(push.sent[""]) == card
    downgrade(engine, "0005")
    with engine.begin() as connection:
        assert json.loads(connection.execute(sa.text("SELECT card FROM pushes")).scalar_one()) == card


def test_the_groups_of_the_cards_become_objects(engine: sa.Engine) -> None:
    """One for each, however it is written, by its first spelling; the names of no others."""
    upgrade(engine)
    downgrade(engine, "0006")
    long = "Long " * 100
    cards: list[dict[str, Any]] = [
        {"groups": {"1": {"name": "Friends "}, "2": {"name": long}}},
        {"groups": {"x": {"name": "fRIENDS"}, "y": {"name": "Best  customers"}, "z": {}}},
        {"groups": {"x": {"name": "best customers"}, "y": {"name": long.upper()}}},
        {"notes": {"1": {"note": 'the "groups" of the old'}}},
    ]
    row = "INSERT INTO people (id, uid, rev, state, name, card, updated) VALUES (:id, :uid, 1, 'live', '', :card, 1)"
    with engine.begin() as connection:
        for number, card in enumerate(cards, 1):
            connection.execute(sa.text(row), {"id": number, "uid": f"u{number}", "card": json.dumps(card)})
    upgrade(engine)
    store = _store(engine.url.render_as_string(hide_password=False))
    with store.begin() as unit:
        found = groups.listing(unit)
        assert [(g.name, g.rev, g.person_id) for g in found] == [
            ("Best  customers", 1, 2),
            ("Friends", 1, 1),
            (long.strip(), 1, 1),
        ]
        assert len({g.uid for g in found}) == 3
        assert groups.sizes(unit, found) == {g.id: 2 for g in found}
        groups.ensure(unit, enumerate(cards, 1))
        assert groups.listing(unit) == found, "the migration and the code fold names alike"
    store.close()
    downgrade(engine, "0006")
    assert upgrade(engine)


def test_what_was_sent_survives_whether_it_is_what_was_seen_or_not(engine: sa.Engine) -> None:
    card, more = {"notes": {"1": {"note": "a"}}}, {"notes": {"1": {"note": "a"}, "2": {"note": "b"}}}
    upgrade(engine)
    downgrade(engine, "0008")
    rows = {
        "connections": "(id, name, system, settings, policy, approve, state)"
        " VALUES (1, 'a', 's', '{}', '{}', 'ask', 'new')",
        "people": "(id, uid, rev, state, name, card, updated) VALUES (1, 'u', 1, 'live', 'Doe', '{}', 1)",
        "links": "(connection_id, remote_id, person_id, state, seen, sent)"
        " VALUES (1, 'same', 1, 'live', :card, :card), (1, 'other', 1, 'live', :card, :more)",
    }
    bound = {"links": {"card": json.dumps(card), "more": json.dumps(more)}}
    with engine.begin() as connection:
        for table, row in rows.items():
            connection.execute(sa.text(f"INSERT INTO {table} {row}").bindparams(**bound.get(table, {})))
    upgrade(engine)
    assert _sent(engine) == {"same": None, "other": json.dumps(more)}
    store = _store(engine.url.render_as_string(hide_password=False))
    with store.begin() as unit:
        held = links.load(unit, 1, ["same", "other"])
        links.save(unit, [replace(link, prior=f"{'a' * 24} {'b' * 24}") for link in held.values()])
    store.close()
    assert {name: sent and json.loads(sent) for name, sent in _sent(engine).items()} == {"same": None, "other": more}
    assert {name: (link.seen, link.sent) for name, link in held.items()} == {
        "same": (card, card),
        "other": (card, more),
    }
    downgrade(engine, "0008")
    assert {name: json.loads(sent or "") for name, sent in _sent(engine).items()} == {"same": card, "other": more}
    with engine.connect() as connection:
        assert set(connection.execute(sa.text("SELECT prior FROM links")).scalars()) == {None}


def _sent(engine: sa.Engine) -> dict[str, str | None]:
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(sa.text("SELECT remote_id, sent FROM links"))}


def test_a_broken_migration_leaves_nothing_behind(engine: sa.Engine) -> None:
    """One table is in the way: none of the others may be left when it fails."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE runs (id INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        upgrade(engine)
    assert _tables(engine) == {"runs"}
    assert current(engine) is None


def test_a_newer_database_is_refused(engine: sa.Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongVersion, match="version 9999, this Concord knows versions up to " + HEAD):
        upgrade(engine)
    assert _tables(engine) == {*metadata.tables}


def test_foreign_keys_are_kept_again_after_an_upgrade(engine: sa.Engine) -> None:
    upgrade(engine)
    orphan = sa.text("INSERT INTO aliases (connection_id, alias, remote_id) VALUES (1, 'a', 'b')")
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(orphan)
