"""What one model did over one probe set: unit statistics and sketches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# 0.7 brought halfvec, 0.8 the iterative scan, without which a filtered search comes back short.
EXTENSION = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    RAISE EXCEPTION 'this Postgres has no pgvector: install it on the server (such as the package postgresql-%-pgvector), or unset ROSETTA_DATABASE_URL to use the embedded one',
      current_setting('server_version_num')::int / 10000;
  END IF;
  BEGIN
    CREATE EXTENSION IF NOT EXISTS vector;
  EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'user % may not create the extension vector: let an administrator run CREATE EXTENSION vector once in database %',
      current_user, current_database();
  END;
  IF (SELECT string_to_array(extversion, '.')::int[] < '{0,8}' FROM pg_extension WHERE extname = 'vector') THEN
    RAISE EXCEPTION 'the extension vector of database % is older than 0.8: install a newer pgvector, then let an administrator run ALTER EXTENSION vector UPDATE',
      current_database();
  END IF;
END
$$
"""  # noqa: E501 - Postgres would print the line breaks


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("dead_units", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_profiles_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_profiles_model_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_profiles_probe_set_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", name=op.f("pk_profiles")),
    )
    op.create_index(op.f("ix_profiles_model_id"), "profiles", ["model_id"], unique=False)
    op.create_table(
        "unit_statistics",
        sa.Column("probe_set_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mean", sa.REAL(), nullable=False),
        sa.Column("std", sa.REAL(), nullable=False),
        sa.Column("minimum", sa.REAL(), nullable=False),
        sa.Column("maximum", sa.REAL(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["probe_set_id", "model_id"],
            ["profiles.probe_set_id", "profiles.model_id"],
            name=op.f("fk_unit_statistics_probe_set_id_model_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", "unit", name=op.f("pk_unit_statistics")),
    )
    op.execute(EXTENSION)
    op.create_table(
        "sketches",
        sa.Column("probe_set_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sketch", HALFVEC(512), nullable=False),
        sa.ForeignKeyConstraint(
            ["probe_set_id", "model_id"],
            ["profiles.probe_set_id", "profiles.model_id"],
            name=op.f("fk_sketches_probe_set_id_model_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", "unit", name=op.f("pk_sketches")),
        postgresql_partition_by="LIST (probe_set_id)",
    )


def downgrade() -> None:
    op.drop_table("sketches")
    op.drop_table("unit_statistics")
    op.drop_table("profiles")
    # The extension stays: it may have been there before us, and others may use it.
