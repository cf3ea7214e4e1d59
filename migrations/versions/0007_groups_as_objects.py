"""Groups as objects, one for each that a card names; why a change was made, where it was made to many

Version 0007, after 0006; made on 2026-11-22.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PEOPLE = sa.table("people", sa.column("id"), sa.column("state"), sa.column("card", sa.Text))
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    groups = op.create_table(
        "groups",
        sa.Column("id", ID, nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="as it was first written, or as it was renamed"),
        sa.Column("key", sa.String(length=320), nullable=False, comment="the name, folded: it is one group per key"),
        sa.Column("person_id", ID, nullable=True, comment="on whose card the name first stood"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_groups_person_id_people"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("key", name=op.f("uq_groups_key")),
        sa.UniqueConstraint("uid", name=op.f("uq_groups_uid")),
    )
    op.create_table(
        "group_aliases",
        sa.Column("uid", sa.String(length=64), nullable=False, comment="of a group that was joined with another"),
        sa.Column("group_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_aliases_group_id_groups"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_group_aliases")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "reason",
                sa.Text(),
                nullable=True,
                comment="where it was done to many at once: what; null: to this person",
            )
        )
    _fill(groups)


def downgrade() -> None:
    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.drop_column("reason")
    op.drop_table("group_aliases")
    op.drop_table("groups")


def _fill(groups: sa.Table) -> None:
    """A group for each that a card names, by its first spelling."""
    db, found = op.get_bind(), dict[str, dict[str, Any]]()
    now = time.time_ns() // 1000
    naming = PEOPLE.c.card.contains('"groups"')
    for person, card in db.execute(sa.select(PEOPLE.c.id, PEOPLE.c.card).where(naming).order_by(PEOPLE.c.id)):
        for element in json.loads(card).get("groups", {}).values():
            name = element.get("name")
            if isinstance(name, str) and name.strip():
                row = {"rev": 1, "name": name.strip(), "person_id": person, "created": now}
                found.setdefault(_key(name), row)
    rows = [{"uid": str(uuid.uuid4()), "key": key, **row} for key, row in found.items()]
    for start in range(0, len(rows), 500):
        db.execute(sa.insert(groups), rows[start : start + 500])


def _key(name: str) -> str:
    folded = " ".join(name.split()).casefold()
    return folded if len(folded) <= 200 else f"{folded[:200]} {hashlib.sha256(folded.encode()).hexdigest()}"
