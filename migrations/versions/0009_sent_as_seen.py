"""What was sent is kept only where it is not what was seen: a third of a database less

Version 0009, after 0008; made on 2026-12-01.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COMMENT = "null: as seen, which it nearly always is"
LINKS = sa.table("links", sa.column("seen", sa.Text), sa.column("sent", sa.Text))


def upgrade() -> None:
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.alter_column("sent", existing_type=sa.Text(), nullable=True, comment=COMMENT)
    op.execute(sa.update(LINKS).where(LINKS.c.sent == LINKS.c.seen).values(sent=sa.null()))


def downgrade() -> None:
    op.execute(sa.update(LINKS).where(LINKS.c.sent.is_(None)).values(sent=LINKS.c.seen))
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.alter_column("sent", existing_type=sa.Text(), nullable=False, existing_comment=COMMENT, comment=None)
