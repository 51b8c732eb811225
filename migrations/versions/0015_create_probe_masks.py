"""Masks of a probe set's images: where a thing is to be seen on each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probe_masks",
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("probe_set_id", "text", "position", name=op.f("pk_probe_masks")),
        sa.ForeignKeyConstraint(
            ["probe_set_id", "position"],
            ["probe_images.probe_set_id", "probe_images.position"],
            name=op.f("fk_probe_masks_probe_set_id"),
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("probe_masks")
