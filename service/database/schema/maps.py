"""Maps: all live units of a probe set in two dimensions."""

from __future__ import annotations

import sqlalchemy as sa

from service.database.schema.base import created, identity, metadata

# What a job made of a probe set's sketches; a newer version leaves the older ones readable.
unit_maps = sa.Table(
    "unit_maps",
    metadata,
    identity(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("n_neighbors", sa.Integer, nullable=False),
    sa.Column("min_dist", sa.Double, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.UniqueConstraint("probe_set_id", "version"),
)

# In the order of the key, the points of a map are one range of the index: they are read all at once.
unit_map_points = sa.Table(
    "unit_map_points",
    metadata,
    sa.Column(
        "map_id", sa.Integer, sa.ForeignKey("unit_maps.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column(
        "model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("x", sa.REAL, nullable=False),
    sa.Column("y", sa.REAL, nullable=False),
    sa.Index(None, "model_id"),
)
