"""What Alembic runs: the migrations, over the connection it is given, or over CONCORD_DATABASE_URL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from app.settings import load
from app.store.store import Store
from app.store.tables import Json, Moment, metadata


def _freeze(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Migrations name the database's types, not ours: ours may change, a migration may not."""
    if kind == "type" and isinstance(item, Json | Moment):
        return f"sa.{type(item.impl_instance).__name__}()"
    return False


def _migrate(**target: Any) -> None:
    context.configure(target_metadata=metadata, render_as_batch=True, render_item=_freeze, **target)
    with context.begin_transaction():
        context.run_migrations()


def _online() -> None:
    store = Store(load().database_url, lambda: datetime.now(UTC))
    try:
        with store.engine.begin() as connection:
            _migrate(connection=connection)
    finally:
        store.close()


if context.is_offline_mode():
    _migrate(url=load().database_url, literal_binds=True)
elif given := context.config.attributes.get("connection"):
    _migrate(connection=given)
else:
    _online()
