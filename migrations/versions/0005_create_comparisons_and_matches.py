"""Comparisons of two models, and their directed matches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# In place of a foreign key on each match, which would cost more than loading it.
FUNCTION = """
CREATE FUNCTION delete_matches_of_comparisons() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM matches USING gone WHERE matches.comparison_id = gone.id;
  RETURN NULL;
END
$$
"""
TRIGGER = """
CREATE TRIGGER delete_matches AFTER DELETE ON comparisons REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION delete_matches_of_comparisons()
"""


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("neighbour_model_id", sa.Integer(), nullable=False),
        sa.Column("keep", sa.SmallInteger(), nullable=False),
        sa.Column("permutations", sa.SmallInteger(), nullable=False),
        sa.Column("best_buddies", sa.Integer(), nullable=False),
        sa.Column("significant_best_buddies", sa.Integer(), nullable=False),
        sa.Column("chance_best_buddies", sa.Double(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("parameters", JSONB(), server_default="{}", nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("model_id <> neighbour_model_id", name=op.f("ck_comparisons_two_models")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_comparisons_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_comparisons_model_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["neighbour_model_id"],
            ["models.id"],
            name=op.f("fk_comparisons_neighbour_model_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_comparisons_probe_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
        sa.UniqueConstraint(
            "probe_set_id",
            "model_id",
            "neighbour_model_id",
            name=op.f("uq_comparisons_probe_set_id_model_id_neighbour_model_id"),
        ),
    )
    op.create_index(op.f("ix_comparisons_model_id"), "comparisons", ["model_id"], unique=False)
    op.create_index(op.f("ix_comparisons_neighbour_model_id"), "comparisons", ["neighbour_model_id"], unique=False)
    op.create_table(
        "matches",
        sa.Column("comparison_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("neighbour", sa.Integer(), nullable=False),
        sa.Column("correlation", sa.REAL(), nullable=False),
        sa.Column("reciprocal_rank", sa.SmallInteger(), nullable=False),
        sa.Column("q_value", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("comparison_id", "unit", "rank", name=op.f("pk_matches")),
    )
    op.execute(FUNCTION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_table("matches")
    op.drop_table("comparisons")
    op.execute("DROP FUNCTION delete_matches_of_comparisons()")
