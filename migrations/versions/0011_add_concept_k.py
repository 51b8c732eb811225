"""Of concepts, among how many best each pair of best buddies had to be: until now among the first alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_VIEW = """
SELECT k.id AS concept, p.name AS probe_set, v.version AS version,
  v.version = (SELECT max(w.version) FROM concept_versions w WHERE w.probe_set_id = v.probe_set_id) AS is_newest,
  k.models::int AS models, k.units AS units, k.cohesion AS cohesion, k.stability AS stability, k.q_value AS q_value,
  v.resolution AS resolution, v.seed AS seed, v.created_at AS created_at{more}
FROM concepts k JOIN concept_versions v ON v.id = k.version_id JOIN probe_sets p ON p.id = v.probe_set_id
"""


def upgrade() -> None:
    op.add_column("concept_versions", sa.Column("k", sa.SmallInteger(), nullable=False, server_default="1"))
    op.alter_column("concept_versions", "k", server_default=None)
    op.execute("CREATE OR REPLACE VIEW analytics.concepts AS" + _VIEW.format(more=", v.k::int AS k"))
    op.execute("COMMENT ON COLUMN analytics.concepts.k IS 'Best buddies were each among the k best of the other'")


def downgrade() -> None:
    # A view that loses a column is made anew: its comments are kept over it.
    kept = op.get_bind().execute(
        sa.text(
            """SELECT
  CASE objsubid WHEN 0 THEN 'VIEW analytics.concepts' ELSE 'COLUMN analytics.concepts.' || attname END,
  quote_literal(description)
FROM pg_description LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
WHERE objoid = 'analytics.concepts'::regclass AND attname IS DISTINCT FROM 'k'"""
        )
    )
    comments = kept.all()
    op.execute("DROP VIEW analytics.concepts")
    op.execute("CREATE VIEW analytics.concepts AS" + _VIEW.format(more=""))
    for target, text in comments:
        op.execute(f"COMMENT ON {target} IS {text}")
    op.execute("GRANT SELECT ON analytics.concepts TO rosetta_reader")
    op.drop_column("concept_versions", "k")
