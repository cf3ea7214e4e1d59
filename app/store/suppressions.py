"""Whom we must not know again: salted hashes of the addresses of persons who were erased."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import sqlalchemy as sa

from app.store.store import Unit
from app.store.tables import installation, suppressions

_SALT = "suppression salt"


def salt(unit: Unit, mint: Callable[[], str]) -> str:
    """This installation's salt, made when it is first needed. mint: a few random characters."""
    unit.upsert(installation, [{"name": _SALT, "value": "".join(mint() for _ in range(4))}], ignore=True)
    found = known_salt(unit)
    assert found is not None
    return found


def known_salt(unit: Unit) -> str | None:
    """The salt, where anybody was ever erased."""
    found: str | None = unit.db.execute(sa.select(installation.c.value).where(installation.c.name == _SALT)).scalar()
    return found


def add(unit: Unit, hashes: Iterable[str]) -> None:
    unit.upsert(suppressions, [{"hash": found, "at": unit.now} for found in hashes], ignore=True)


def remove(unit: Unit, hashes: Iterable[str]) -> int:
    """How many of them there were."""
    return unit.db.execute(sa.delete(suppressions).where(unit.among(suppressions.c.hash, hashes))).rowcount


def among(unit: Unit, hashes: Iterable[str]) -> dict[str, datetime]:
    """Which of these are kept out, and since when."""
    query = sa.select(suppressions.c.hash, suppressions.c.at).where(unit.among(suppressions.c.hash, hashes))
    return {row[0]: row[1] for row in unit.db.execute(query)}
