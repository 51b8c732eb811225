"""Texts as virtual units: an image-text model's projection onto sketches of a probe set, and sketches of texts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_projections",
        *_of(),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("projection", sa.LargeBinary(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", name=op.f("pk_text_projections")),
        *_references("text_projections"),
    )
    op.create_table(
        "text_sketches",
        *_of(),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sketch", HALFVEC(512), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", "text", name=op.f("pk_text_sketches")),
        *_references("text_sketches"),
    )


def _of() -> tuple[sa.Column, sa.Column]:
    return (
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
    )


def _created() -> sa.Column:
    return sa.Column(
        "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )


def _references(table: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")
        for column, target in (("probe_set_id", "probe_sets"), ("model_id", "models"))
    ]


def downgrade() -> None:
    op.drop_table("text_sketches")
    op.drop_table("text_projections")
