"""Whose a record that cannot be read may be: nobody gets a second record beside it

What was refused so far is read again, by a full listing of its connection, to find that out.

Version 0008, after 0007; made on 2026-12-01.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATE = "owed | sent (on its way, outcome unknown) | aside (refused) | held"
STATES = "owed | sent (on its way, outcome unknown) | aside (refused) | waits (for a record) | held"
CONNECTIONS = sa.table("connections", sa.column("id"), sa.column("cursor"))
REFUSED = sa.table("refused", sa.column("connection_id"))
PUSHES = sa.table("pushes", sa.column("state"))


def upgrade() -> None:
    with op.batch_alter_table("refused", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "card",
                sa.Text(),
                nullable=True,
                comment="as much of it as tells whose it may be; null: that cannot be told, or is known",
            )
        )
        batch_op.add_column(
            sa.Column(
                "ignored",
                sa.BigInteger(),
                nullable=True,
                comment="when a human said to leave it until it changes there",
            )
        )
    _describe(STATE, STATES)
    again = CONNECTIONS.c.id.in_(sa.select(REFUSED.c.connection_id))
    op.execute(sa.update(CONNECTIONS).where(again).values(cursor=sa.null()))


def downgrade() -> None:
    op.execute(sa.update(PUSHES).where(PUSHES.c.state == "waits").values(state="owed"))
    _describe(STATES, STATE)
    with op.batch_alter_table("refused", schema=None) as batch_op:
        batch_op.drop_column("ignored")
        batch_op.drop_column("card")


def _describe(before: str, after: str) -> None:
    if op.get_bind().dialect.name != "sqlite":  # which keeps no comments
        kind = sa.String(length=8)
        op.alter_column(
            "pushes", "state", existing_type=kind, existing_nullable=False, existing_comment=before, comment=after
        )
