"""What went out with each write, until its outcome is known: for updates as for creates

Version 0006, after 0005; made on 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

from connectors.card import card_of, leaves

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PUSHES = sa.table(
    "pushes", sa.column("connection_id"), sa.column("person_id"), sa.column("card", sa.Text), sa.column("sent", sa.Text)
)


def upgrade() -> None:
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "sent",
                sa.Text(),
                nullable=True,
                comment="{record id, '' for a create: [[path, value]]} on its way, until the outcome is known",
            )
        )
    _move("card", "sent", lambda card: {"": [[*each] for each in leaves(card).items()]})
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.drop_column("card")


def downgrade() -> None:
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("card", sa.Text(), nullable=True, comment="what a create sent, until its outcome is known")
        )
    _move(
        "sent", "card", lambda sent: card_of({tuple(path): value for path, value in sent[""]}) if "" in sent else None
    )
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.drop_column("sent")


def _created(sent: dict[str, Any]) -> Any:
    return card_of({tuple(path): value for path, value in sent[""]}) if "" in sent else None


def _move(source: str, target: str, convert: Callable[[Any], Any]) -> None:
    db, old = op.get_bind(), PUSHES.c[source]
    rows = db.execute(sa.select(PUSHES.c.connection_id, PUSHES.c.person_id, old).where(old.is_not(None))).all()
    for connection, person, value in rows:
        converted = convert(json.loads(value))
        if converted is not None:
            where = PUSHES.c.connection_id == connection, PUSHES.c.person_id == person
            db.execute(sa.update(PUSHES).where(*where).values({target: json.dumps(converted)}))
