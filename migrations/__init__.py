"""The versions of the database, and how it gets from one to the next. Part of the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import sqlalchemy as sa

if TYPE_CHECKING:  # imported lazily: most starts find the database as it should be
    from alembic.config import Config

HEAD: Final = "0009"
"""The version that this code works with."""
_LOCK: Final = 0x636F6E63  # "conc": ours among PostgreSQL's advisory locks


class WrongVersion(Exception):
    """The database is of a version that this code does not know; the message says what to do."""


def upgrade(engine: sa.Engine) -> bool:
    """Bring the database to `HEAD`, in one transaction; many processes may try at once. True where it had to change.

    Raises WrongVersion where a newer Concord has been at it.
    """
    if current(engine) == HEAD:
        return False
    _run(engine, "upgrade", HEAD)
    return True


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Take the database back to an older version, or to "base": empty. What has no place there is gone."""
    _run(engine, "downgrade", revision)


def current(engine: sa.Engine) -> str | None:
    """The version of the database; None where it is empty."""
    with engine.connect() as connection:
        return _current(connection)


def _current(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration; without a connection it opens CONCORD_DATABASE_URL itself."""
    from alembic.config import Config

    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return made


def _run(engine: sa.Engine, direction: Literal["upgrade", "downgrade"], revision: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    with engine.connect().execution_options(concord_begin="BEGIN IMMEDIATE") as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        raw = connection.connection.cursor()
        if is_sqlite:  # a table is altered by making it anew; this cannot be said within a transaction
            raw.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not is_sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                getattr(command, direction)(config(connection), revision)
        except CommandError as error:
            raise WrongVersion(
                f"the database is of version {current(engine)}, this Concord knows versions up to {HEAD} ({error}); "
                "install the Concord that last used it, or restore a backup"
            ) from None
        finally:
            if is_sqlite:
                raw.execute("PRAGMA foreign_keys=ON")
