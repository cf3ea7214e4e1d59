"""Whose a record that cannot be read may be: nobody gets a second record beside it

Version 0008, after 0007; made on 2026-12-01.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("refused", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "card",
                sa.Text(),
                nullable=True,
                comment="as much of it as tells whose it may be; null: that cannot be told",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("refused", schema=None) as batch_op:
        batch_op.drop_column("card")
