"""Jobs, webhooks in and out, quiet hours

Version 0004, after 0003; made on 2026-11-22.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


FOLLOWED = ("changes", "conflicts", "runs")
"""SQLite gives the number of a deleted last row again, unless it is told not to."""


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for table in FOLLOWED:
            with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
                pass

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False, comment='["person.changed", …]; []: all'),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="with which its notices are signed, encrypted"),
        sa.Column("state", sa.String(length=8), nullable=False, comment="active | off"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was switched off"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column(
            "place", sa.Text(), nullable=False, comment="up to where the journal and the runs have become its notices"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_table(
        "hook_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column(
            "digest", sa.String(length=64), nullable=False, comment="SHA-256 of the body; the body itself is not kept"
        ),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False, comment="bytes"),
        sa.Column("times", sa.Integer(), nullable=False, comment="how often it came"),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_hook_deliveries_connection_id_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook_deliveries")),
    )
    with op.batch_alter_table("hook_deliveries", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_hook_deliveries_connection_id_digest"), ["connection_id", "digest"], unique=True
        )
        batch_op.create_index(batch_op.f("ix_hook_deliveries_received"), ["received"], unique=False)

    op.create_table(
        "jobs",
        sa.Column(
            "lock",
            sa.String(length=80),
            nullable=False,
            comment="whose turn it is: sync:<connection>, notices, housekeeping",
        ),
        sa.Column("state", sa.String(length=8), nullable=False, comment="waiting | running"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="sync | push | notices | housekeeping"),
        sa.Column("connection_id", sa.Integer(), nullable=True),
        sa.Column("due", sa.BigInteger(), nullable=False, comment="not before; of a running one when it was due"),
        sa.Column("worker", sa.String(length=120), nullable=True, comment="who runs it"),
        sa.Column(
            "until",
            sa.BigInteger(),
            nullable=True,
            comment="when it may be taken over, unless its worker says again that it lives",
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connections.id"], name=op.f("fk_jobs_connection_id_connections"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("lock", "state", name=op.f("pk_jobs")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_connection_id"), ["connection_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_state_due"), ["state", "due"], unique=False)

    op.create_table(
        "notices",
        sa.Column("id", sa.String(length=40), nullable=False, comment="webhook-id: the same at every attempt"),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="as it is signed and sent"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False, comment="waiting | sent | dead"),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True, comment="what became of the last attempt"),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name=op.f("fk_notices_subscription_id_subscriptions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notices_state_due"), ["state", "due"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_notices_subscription_id_state"), ["subscription_id", "state"], unique=False
        )

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "scope",
                sa.String(length=8),
                nullable=False,
                server_default="sync",
                comment="sync | push: it read nothing | restored: before",
            )
        )

    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("quiet", sa.String(length=16), nullable=True, comment="22:00-06:00: when nothing runs by itself")
        )
        batch_op.add_column(
            sa.Column(
                "hook",
                sa.LargeBinary(),
                nullable=True,
                comment="JSON of how its webhooks are known to be its own, encrypted",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("scope")

    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.drop_column("hook")
        batch_op.drop_column("quiet")

    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notices_subscription_id_state"))
        batch_op.drop_index(batch_op.f("ix_notices_state_due"))

    op.drop_table("notices")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_jobs_state_due"))
        batch_op.drop_index(batch_op.f("ix_jobs_connection_id"))

    op.drop_table("jobs")
    with op.batch_alter_table("hook_deliveries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hook_deliveries_received"))
        batch_op.drop_index(batch_op.f("ix_hook_deliveries_connection_id_digest"))

    op.drop_table("hook_deliveries")
    op.drop_table("subscriptions")
    if op.get_context().dialect.name == "sqlite":
        for table in FOLLOWED:
            with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": False}):
                pass
