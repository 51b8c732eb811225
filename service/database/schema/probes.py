"""Probe sets, and what each model shows on them.

Bulk rows address a unit by (model, number), so that a row is narrow and a worker needs no look-up of unit ids.
"""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC

from service.database.schema.base import created, identity, metadata

SKETCH_DIMENSIONS = 512

probe_sets = sa.Table(
    "probe_sets",
    metadata,
    identity(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("generator_id", sa.Integer, sa.ForeignKey("models.id", ondelete="RESTRICT")),
    sa.Column("seed", sa.BigInteger),
    sa.Column("truncation", sa.Double),
    sa.Column("class_index", sa.Integer),
    created(),
    sa.CheckConstraint("kind IN ('generator', 'images')", name="kind"),
    sa.CheckConstraint("(kind = 'generator') = (generator_id IS NOT NULL)", name="generator"),
    sa.CheckConstraint("count > 0", name="count"),
)

probe_images = sa.Table(
    "probe_images",
    metadata,
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    # Of a folder: the file's relative name and the sha256 of its bytes. Of a generator: both null, the seed
    # and the position say all.
    sa.Column("name", sa.Text),
    sa.Column("digest", sa.Text),
    sa.Index(None, "digest"),
)

# One model over one probe set: its unit statistics and sketches were taken.
profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("dead_units", sa.Integer, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.Index(None, "model_id"),
)


def _profile() -> tuple[sa.Column[int], sa.Column[int], sa.Column[int]]:
    return (
        sa.Column("probe_set_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    )


unit_statistics = sa.Table(
    "unit_statistics",
    metadata,
    *_profile(),
    sa.Column("mean", sa.REAL, nullable=False),
    sa.Column("std", sa.REAL, nullable=False),
    sa.Column("minimum", sa.REAL, nullable=False),
    sa.Column("maximum", sa.REAL, nullable=False),
    sa.Column("dead", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(
        ["probe_set_id", "model_id"], ["profiles.probe_set_id", "profiles.model_id"], ondelete="CASCADE"
    ),
)

# The images a unit fires on most, best first, by the maximum and by the mean of its map. Arrays, as they are shown and
# written together: a row an image would be twenty times the rows. `analytics.exemplars` has a row an image.
exemplars = sa.Table(
    "exemplars",
    metadata,
    *_profile(),
    sa.Column("images_by_maximum", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("maxima", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("images_by_mean", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("means", sa.ARRAY(sa.REAL), nullable=False),
    sa.ForeignKeyConstraint(
        ["probe_set_id", "model_id"], ["profiles.probe_set_id", "profiles.model_id"], ondelete="CASCADE"
    ),
)

# Partitioned by probe set: sketches of different probe sets are never compared, and each partition has an HNSW
# index of its own, built after its rows were loaded (service.database.sketches). Dead units have no sketch.
sketches = sa.Table(
    "sketches",
    metadata,
    *_profile(),
    sa.Column("sketch", HALFVEC(SKETCH_DIMENSIONS), nullable=False),
    sa.ForeignKeyConstraint(
        ["probe_set_id", "model_id"], ["profiles.probe_set_id", "profiles.model_id"], ondelete="CASCADE"
    ),
    postgresql_partition_by="LIST (probe_set_id)",
)
