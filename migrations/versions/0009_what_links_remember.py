"""What links remember: what was sent only where it is not what was seen (a third of a database less), and every state
that a late read may show: before each of our writes within a system's lag, not only before the last

Version 0009, after 0008; made on 2026-12-01.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SENT = "null: as seen, which it nearly always is"
ONE = "the digest before our last write, for remotes whose reads lag"
ALL = "the digests before our last writes, for remotes whose reads lag"
LINKS = sa.table("links", sa.column("seen", sa.Text), sa.column("sent", sa.Text), sa.column("prior", sa.Text))


def upgrade() -> None:
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.alter_column("sent", existing_type=sa.Text(), nullable=True, comment=SENT)
        batch_op.alter_column(
            "prior",
            existing_type=sa.String(length=24),
            type_=sa.Text(),
            existing_nullable=True,
            existing_comment=ONE,
            comment=ALL,
        )
    op.execute(sa.update(LINKS).where(LINKS.c.sent == LINKS.c.seen).values(sent=sa.null()))


def downgrade() -> None:
    op.execute(sa.update(LINKS).where(LINKS.c.sent.is_(None)).values(sent=LINKS.c.seen))
    op.execute(sa.update(LINKS).where(sa.func.length(LINKS.c.prior) > 24).values(prior=sa.null()))
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.alter_column("sent", existing_type=sa.Text(), nullable=False, existing_comment=SENT, comment=None)
        batch_op.alter_column(
            "prior",
            existing_type=sa.Text(),
            type_=sa.String(length=24),
            existing_nullable=True,
            existing_comment=ALL,
            comment=ONE,
        )
