"""Probe sets and their images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probe_sets",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("generator_id", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("truncation", sa.Double(), nullable=True),
        sa.Column("class_index", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("(kind = 'generator') = (generator_id IS NOT NULL)", name=op.f("ck_probe_sets_generator")),
        sa.CheckConstraint("kind IN ('generator', 'images')", name=op.f("ck_probe_sets_kind")),
        sa.CheckConstraint("count > 0", name=op.f("ck_probe_sets_count")),
        sa.ForeignKeyConstraint(
            ["generator_id"], ["models.id"], name=op.f("fk_probe_sets_generator_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probe_sets")),
        sa.UniqueConstraint("digest", name=op.f("uq_probe_sets_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_probe_sets_name")),
    )
    op.create_table(
        "probe_images",
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_probe_images_probe_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("probe_set_id", "position", name=op.f("pk_probe_images")),
    )
    op.create_index(op.f("ix_probe_images_digest"), "probe_images", ["digest"], unique=False)


def downgrade() -> None:
    op.drop_table("probe_images")
    op.drop_table("probe_sets")
