"""Comparisons of two models, and the matches of their units."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.database.schema.base import created, identity, metadata, model_reference

# Directed: two rows a pair of models, written together.
comparisons = sa.Table(
    "comparisons",
    metadata,
    identity(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    model_reference(),
    model_reference("neighbour_model_id"),
    sa.Column("keep", sa.SmallInteger, nullable=False),
    sa.Column("permutations", sa.SmallInteger, nullable=False),
    sa.Column("best_buddies", sa.Integer, nullable=False),
    sa.Column("significant_best_buddies", sa.Integer, nullable=False),
    # How many best buddies the pair shows, on average, when the images of one model are permuted.
    sa.Column("chance_best_buddies", sa.Double, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("parameters", JSONB, nullable=False, server_default="{}"),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
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
