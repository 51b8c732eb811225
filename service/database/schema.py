"""The tables of the store, beside their indexes.

Bulk rows address a unit by (model, number), so that a row is narrow and a worker needs no look-up of unit ids.
"""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import JSONB

SKETCH_DIMENSIONS = 512

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _created() -> sa.Column[object]:
    return sa.Column(
        "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True)


def _model(name: str = "model_id") -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), nullable=False)


models = sa.Table(
    "models",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("family", sa.Text, nullable=False),
    # Nicknames a question may use, lower case.
    sa.Column("aliases", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("source", sa.Text, nullable=False),
    # A path below a weights folder, when the source alone does not lead to the weights.
    sa.Column("weights", sa.Text),
    sa.Column("weights_digest", sa.Text, nullable=False),
    sa.Column("is_generator", sa.Boolean, nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    # What people want to know and nothing joins on: input size, preprocessing, latent space, licence.
    sa.Column("details", JSONB, nullable=False, server_default="{}"),
    _created(),
)

layers = sa.Table(
    "layers",
    metadata,
    _id(),
    _model(),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channels", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("first_unit", sa.Integer, nullable=False),
    sa.UniqueConstraint("model_id", "position"),
    sa.UniqueConstraint("model_id", "name"),
)

units = sa.Table(
    "units",
    metadata,
    sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("layer_id", sa.Integer, sa.ForeignKey("layers.id", ondelete="CASCADE"), nullable=False),
    sa.Column("channel", sa.Integer, nullable=False),
    sa.UniqueConstraint("layer_id", "channel"),
)

probe_sets = sa.Table(
    "probe_sets",
    metadata,
    _id(),
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
    _created(),
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
    _created(),
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

# Directed: two rows a pair of models, written together.
comparisons = sa.Table(
    "comparisons",
    metadata,
    _id(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    _model(),
    _model("neighbour_model_id"),
    sa.Column("keep", sa.SmallInteger, nullable=False),
    sa.Column("permutations", sa.SmallInteger, nullable=False),
    sa.Column("best_buddies", sa.Integer, nullable=False),
    sa.Column("significant_best_buddies", sa.Integer, nullable=False),
    # How many best buddies the pair shows, on average, when the images of one model are permuted.
    sa.Column("chance_best_buddies", sa.Double, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("parameters", JSONB, nullable=False, server_default="{}"),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    _created(),
    sa.UniqueConstraint("probe_set_id", "model_id", "neighbour_model_id"),
    sa.Index(None, "model_id"),
    sa.Index(None, "neighbour_model_id"),
    sa.CheckConstraint("model_id <> neighbour_model_id", name="two_models"),
)

# Directed neighbours: `unit` and `neighbour` are unit numbers in the comparison's two models. The key makes
# every question an index range scan, and a load in order appends to the right of the index. There is no foreign
# key, for it would cost more than the COPY: a statement trigger on `comparisons` deletes their matches.
matches = sa.Table(
    "matches",
    metadata,
    sa.Column("comparison_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rank", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("neighbour", sa.Integer, nullable=False),
    sa.Column("correlation", sa.REAL, nullable=False),
    # The unit's rank among the neighbour's matches; 0: beyond the kept ones.
    sa.Column("reciprocal_rank", sa.SmallInteger, nullable=False),
    sa.Column("q_value", sa.REAL, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    _id(),
    sa.Column("kind", sa.Text, nullable=False),
    # What the job is about, in words a repetition would use again: no two unfinished jobs share it.
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("parameters", JSONB, nullable=False),
    sa.Column("result", JSONB),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    # Parts that are not done yet; the one that counts it down to zero finishes the job.
    sa.Column("remaining", sa.Integer, nullable=False),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
    _created(),
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    sa.Index(
        "uq_jobs_unfinished_key",
        "key",
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    ),
)

job_parts = sa.Table(
    "job_parts",
    metadata,
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("owner", sa.Uuid),
    sa.Column("lease_until", sa.TIMESTAMP(timezone=True)),
    sa.Column("attempt", sa.SmallInteger, nullable=False, server_default="0"),
    # When the doorbell was last rung; null: never.
    sa.Column("rung_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("progress_done", sa.Integer, nullable=False, server_default="0"),
    sa.Column("progress_total", sa.Integer, nullable=False, server_default="0"),
    sa.Column("progress_note", sa.Text, nullable=False, server_default=""),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    sa.Index("ix_job_parts_unfinished", "state", "lease_until", postgresql_where=sa.text("finished_at IS NULL")),
)
