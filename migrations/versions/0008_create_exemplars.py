"""Exemplars: the images each unit fires on most, and their view in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW analytics.exemplars AS
SELECT p.name AS probe_set, m.name AS model, e.unit, l.name AS layer, u.channel, i.measure, i.rank::int AS rank,
       i.image, g.name AS file, i.value
FROM exemplars e
  JOIN probe_sets p ON p.id = e.probe_set_id
  JOIN models m ON m.id = e.model_id
  LEFT JOIN units u ON u.model_id = e.model_id AND u.number = e.unit
  LEFT JOIN layers l ON l.id = u.layer_id
  CROSS JOIN LATERAL (
    SELECT 'maximum' AS measure, x.rank, x.image, x.value
    FROM unnest(e.images_by_maximum, e.maxima) WITH ORDINALITY AS x (image, value, rank)
    UNION ALL
    SELECT 'mean', x.rank, x.image, x.value
    FROM unnest(e.images_by_mean, e.means) WITH ORDINALITY AS x (image, value, rank)
  ) i
  LEFT JOIN probe_images g ON g.probe_set_id = e.probe_set_id AND g.position = i.image
"""
COMMENTS = {
    "probe_set": "Probe set: the images it was measured on",
    "model": "Model",
    "unit": "Number of the unit in its model, from 0, layers in forward order",
    "layer": "Layer: its module path in the model",
    "channel": "Channel in the layer, from 0",
    "measure": "By what the images are ranked: the maximum or the mean of the activation map",
    "rank": "1 is the image on which the unit fires most",
    "image": "Place of the image in the probe set, from 0",
    "file": "Name of the image; null of a generator",
    "value": "That maximum or mean",
}


def upgrade() -> None:
    op.create_table(
        "exemplars",
        *(
            sa.Column(name, sa.Integer(), autoincrement=False, nullable=False)
            for name in ("probe_set_id", "model_id", "unit")
        ),
        sa.Column("images_by_maximum", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("maxima", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("images_by_mean", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("means", sa.ARRAY(sa.REAL()), nullable=False),
        sa.PrimaryKeyConstraint("probe_set_id", "model_id", "unit", name=op.f("pk_exemplars")),
        sa.ForeignKeyConstraint(
            ["probe_set_id", "model_id"],
            ["profiles.probe_set_id", "profiles.model_id"],
            name=op.f("fk_exemplars_probe_set_id_model_id"),
            ondelete="CASCADE",
        ),
    )
    op.execute(VIEW)
    op.execute("COMMENT ON VIEW analytics.exemplars IS 'The images each unit fires on most, a row an image'")
    for column, comment in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN analytics.exemplars.{column} IS '{comment}'")
    op.execute("GRANT SELECT ON analytics.exemplars TO rosetta_reader")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.exemplars")
    op.drop_table("exemplars")
