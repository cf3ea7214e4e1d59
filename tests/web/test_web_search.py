"""Searching for persons: what is found, on both databases, and that no card is read for it but those that are found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.identity import keys_of
from app.store import browse, people, tables
from app.store.people import Person
from app.store.store import Store
from connectors.card import Equivalence

EQ = Equivalence("DE")
NAMES = ("Ann Abel", "ANNA 100%", "Bob_by Abel", "Bobby/Under", "Zoë Ünal")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/concord.db" if sqlite else request.getfixturevalue("postgres_url")
    made = Store(url, lambda: datetime.now(UTC))
    tables.metadata.create_all(made.engine)
    with made.begin() as unit:
        cards: list[dict[str, Any]] = [
            {
                "name": {"full": name},
                "emails": {"1": {"address": f"p{n}@Example.test"}},
                "phones": {"1": {"number": f"030 90090{n}"}},
            }
            for n, name in enumerate(NAMES)
        ]
        persons = [Person(n + 1, f"uid-{n}", 1, "live", card) for n, card in enumerate(cards)]
        people.insert(unit, persons, {p.id: keys_of(p.card, EQ) for p in persons})
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("abel", [1, 3]),
        ("ANN", [1, 2]),
        ("100%", [2]),
        ("%", [2]),
        ("b_b", [3]),
        ("y/u", [4]),
        ("Ünal", [5]),
        ("nobody", []),
        ("P3@example.TEST", [4]),
        ("+49 30 900902", [3]),
        ("p3@example", []),
    ],
)
def test_by_part_of_the_name_and_by_the_whole_address_or_number(store: Store, text: str, found: list[int]) -> None:
    spelled = [("email", EQ.key("emails", "address", text)), ("phone", EQ.key("phones", "number", text))]
    with store.read() as unit:
        assert [one.person.id for one in browse.persons(unit, text=text, found_by=spelled)] == found
        if "+" not in text:  # without a region a number is found as it is kept
            assert [person.id for person in people.search(unit, text)] == found


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_no_card_is_read_for_it_but_those_that_are_found(store: Store) -> None:
    """They are most of the database: at 100,000 persons, reading them all takes a third of a second."""
    with store.read() as unit:
        fits = people.fits(unit, "abel", [("email", "abel"), ("phone", "abel")])
        query = sa.select(tables.people.c.card).where(fits).order_by(tables.people.c.id).limit(50)
        said = str(query.compile(unit.db, compile_kwargs={"literal_binds": True}))
        plan = [row[3] for row in unit.db.exec_driver_sql(f"EXPLAIN QUERY PLAN {said}")]
    scans = [step for step in plan if step.startswith("SCAN")]
    assert scans == ["SCAN people_1 USING COVERING INDEX ix_people_name"], plan
    assert not any("keys" in step and "PRIMARY KEY (kind=? AND value=?)" not in step for step in plan), plan
