"""Recordings: models that answer one probe set only, which the view `analytics.models` shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

VIEW = """
VIEW analytics.models AS
SELECT
  m.name AS model,
  m.family AS family,
  m.aliases AS aliases,
  m.source AS source,
  m.weights_digest AS weights_digest,
  m.is_generator AS is_generator,
  (SELECT count(*) FROM layers l WHERE l.model_id = m.id) AS layers,
  m.units AS units,
  m.details AS details,
  m.created_at AS created_at{more}
FROM models m
"""
# A view that loses a column is made anew, and its comments with it.
COMMENTS = {
    "model": "Model",
    "family": "Family, such as resnet or clip",
    "aliases": "Nicknames a question may use",
    "source": "Where it came from, a source URI",
    "weights_digest": "SHA-256 of the weights",
    "is_generator": "Whether it makes images",
    "layers": "Number of its layers",
    "units": "Number of units",
    "details": "Input size, preprocessing, latent space, licence",
    "created_at": "When it was registered",
}
RECORDED_ON = "Digest of the probe set whose recorded responses it is; null: it runs on any"


def upgrade() -> None:
    op.add_column("models", sa.Column("recorded_on", sa.Text()))
    op.execute("CREATE OR REPLACE " + VIEW.format(more=",\n  m.recorded_on AS recorded_on"))
    op.execute(f"COMMENT ON COLUMN analytics.models.recorded_on IS '{RECORDED_ON}'")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.models")
    op.execute("CREATE " + VIEW.format(more=""))
    op.execute("COMMENT ON VIEW analytics.models IS 'Registered networks'")
    for column, comment in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN analytics.models.{column} IS '{comment}'")
    op.execute("GRANT SELECT ON analytics.models TO rosetta_reader")
    op.drop_column("models", "recorded_on")
