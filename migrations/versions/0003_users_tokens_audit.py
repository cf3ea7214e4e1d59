"""Users, tokens, audit

Version 0003, after 0002; made on 2026-11-22.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "actor", sa.String(length=64), nullable=False, comment="the user, or as whom a stranger wanted to sign in"
        ),
        sa.Column("token_id", sa.Integer(), nullable=True, comment="with which token; null: none, or at the terminal"),
        sa.Column("address", sa.String(length=64), nullable=False, comment='where from; "" is the terminal'),
        sa.Column("action", sa.String(length=64), nullable=False, comment="the operation's id"),
        sa.Column("target", sa.String(length=200), nullable=False, comment="on what: connections/crm"),
        sa.Column("status", sa.Integer(), nullable=False, comment="the HTTP status of the answer"),
        sa.Column(
            "detail", sa.Text(), nullable=False, comment="what else to know; never a secret, never a contact's data"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_actor_id"), ["actor", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_address_action_at"), ["address", "action", "at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_target_id"), ["target", "id"], unique=False)

    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(length=64), nullable=False, comment="whose key it is"),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False, comment="SHA-256 of what was asked"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True, comment="of the answer; null: not answered yet"),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True, comment="the answer; null: it held what is shown once"),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_at"), ["at"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False, comment="admin | operator | viewer | webhook"),
        sa.Column("password", sa.Text(), nullable=True, comment="argon2; null: signs in with tokens only"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, comment="wrong passwords since the last right one"),
        sa.Column("locked", sa.BigInteger(), nullable=True, comment="until when no password is looked at"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True, comment="null: the first start's"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="api | session | bootstrap"),
        sa.Column("name", sa.String(length=64), nullable=False, comment="what it is for"),
        sa.Column("hash", sa.String(length=64), nullable=False, comment="SHA-256; the token itself is nowhere"),
        sa.Column(
            "scopes", sa.Text(), nullable=False, comment='["people:read", …]; what it may do of what its user may'
        ),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True, comment="null: never"),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.Column("used", sa.BigInteger(), nullable=True, comment="when it was last shown, to the minute"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tokens_user_id"), ["user_id"], unique=False)

    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_changes_run_id_id"), ["run_id", "id"], unique=False)

    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("progress", sa.Text(), nullable=True, comment="while it runs: [phase, done, total or null]")
        )


def downgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("progress")

    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_changes_run_id_id"))

    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tokens_user_id"))

    op.drop_table("tokens")
    op.drop_table("users")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_at"))

    op.drop_table("idempotency")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_target_id"))
        batch_op.drop_index(batch_op.f("ix_audit_address_action_at"))
        batch_op.drop_index(batch_op.f("ix_audit_actor_id"))

    op.drop_table("audit")
