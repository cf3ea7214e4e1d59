"""Consent, purchases, and whom we must not know again

Version 0002, after 0001; made on 2026-11-22.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "installation",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "suppressions",
        sa.Column(
            "hash", sa.String(length=64), nullable=False, comment="of an address of somebody who was erased, salted"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_suppressions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False, comment="email | phone | sms | post"),
        sa.Column("address", sa.String(length=320), nullable=False, comment='folded; "" is the whole channel'),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was said, as far as is known"),
        sa.Column("recorded", sa.BigInteger(), nullable=False),
        sa.Column("connection_id", sa.Integer(), nullable=True, comment="where it was said; null: here"),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="on what the entry rests, in words"),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_consents_person_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
    )
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_consents_address_channel"), ["address", "channel"], unique=False)
        batch_op.create_index(batch_op.f("ix_consents_person_id"), ["person_id"], unique=False)

    op.create_table(
        "purchases",
        sa.Column("connection_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=512), nullable=False),
        sa.Column("record", sa.String(length=512), nullable=False, comment="remote id of whose purchase it is"),
        sa.Column("kind", sa.String(length=8), nullable=False, comment="invoice | receipt | credit"),
        sa.Column("number", sa.String(length=200), nullable=False),
        sa.Column("date", sa.String(length=10), nullable=True, comment="YYYY-MM-DD"),
        sa.Column("total", sa.String(length=40), nullable=False, comment="decimal, with tax"),
        sa.Column("currency", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False, comment="draft | open | paid | void"),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["connections.id"],
            name=op.f("fk_purchases_connection_id_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", "id", name=op.f("pk_purchases")),
    )
    with op.batch_alter_table("purchases", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_purchases_connection_id_record"), ["connection_id", "record"], unique=False
        )

    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("sales_cursor", sa.Text(), nullable=True, comment="the place up to which purchases were read")
        )
        batch_op.add_column(
            sa.Column("memory", sa.Text(), nullable=True, comment="what the connector found out about the remote")
        )

    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "consents",
                sa.Text(),
                nullable=True,
                comment="its places for consent: [[channel, address, what it shows, what we wrote]]",
            )
        )


def downgrade() -> None:

    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.drop_column("consents")

    with op.batch_alter_table("connections", schema=None) as batch_op:
        batch_op.drop_column("memory")
        batch_op.drop_column("sales_cursor")

    with op.batch_alter_table("purchases", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_purchases_connection_id_record"))

    op.drop_table("purchases")
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_consents_person_id"))
        batch_op.drop_index(batch_op.f("ix_consents_address_channel"))

    op.drop_table("consents")
    op.drop_table("suppressions")
    op.drop_table("installation")
