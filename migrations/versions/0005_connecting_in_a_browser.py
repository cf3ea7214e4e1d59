"""Connecting accounts in a browser; whose account it is; since when its credentials are refused

Version 0005, after 0004; made on 2026-11-22.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "handshakes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=True, comment="null: removed meanwhile"),
        sa.Column("asked_by", sa.String(length=64), nullable=False, comment="the user who may connect"),
        sa.Column("ticket", sa.String(length=64), nullable=False, comment="SHA-256 of what its link holds"),
        sa.Column("other", sa.Boolean(), nullable=False, comment="may it be another account than before?"),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column(
            "browser",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of the cookie of the browser that opened the link last",
        ),
        sa.Column(
            "state",
            sa.String(length=64),
            nullable=True,
            comment="SHA-256 of what the vendor sends back; null: not opened yet",
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=True, comment="JSON of the PKCE verifier, encrypted"),
        sa.Column("redirect", sa.Text(), nullable=True, comment="where the vendor sends the browser back to"),
        sa.Column("spent", sa.BigInteger(), nullable=True, comment="when the state came back"),
        sa.Column("done", sa.BigInteger(), nullable=True, comment="when access was given"),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_handshakes_connection_id_connections"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handshakes")),
        sa.UniqueConstraint("state", name=op.f("uq_handshakes_state")),
        sa.UniqueConstraint("ticket", name=op.f("uq_handshakes_ticket")),
    )
    with op.batch_alter_table("handshakes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_handshakes_connection_id"), ["connection_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_handshakes_expires"), ["expires"], unique=False)

    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "account",
                sa.String(length=64),
                nullable=True,
                comment="SHA-256 of the account's id there, since it was first told",
            )
        )
        batch_op.add_column(
            sa.Column(
                "denied",
                sa.BigInteger(),
                nullable=True,
                comment="paused, because its credentials are refused since then",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.drop_column("denied")
        batch_op.drop_column("account")

    with op.batch_alter_table("handshakes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_handshakes_expires"))
        batch_op.drop_index(batch_op.f("ix_handshakes_connection_id"))

    op.drop_table("handshakes")
