"""Directions of a generator's latents along which most changes, and what moves along them."""

from __future__ import annotations

import sqlalchemy as sa

from service.database.schema.base import created, identity, metadata, model_reference

# Several directions that were found together, the one that changes most first: its axes.
directions = sa.Table(
    "directions",
    metadata,
    identity(),
    model_reference("generator_id"),
    # On which the units that move were measured; null: none were.
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="SET NULL")),
    sa.Column("space", sa.Text, nullable=False),
    # Whose activations they change most; null: they are the principal axes of the latents themselves.
    sa.Column("layer", sa.Text),
    sa.Column("class_index", sa.Integer),
    sa.Column("samples", sa.Integer, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("latents", sa.Integer, nullable=False),
    sa.Column("controls", sa.Integer, nullable=False),
    # Of each axis: the share of the variance that it explains, and the length of its step.
    sa.Column("shares", sa.ARRAY(sa.Double), nullable=False),
    sa.Column("deviations", sa.ARRAY(sa.Double), nullable=False),
    # What moves a latent by one deviation along each axis, float32 [axes, dimensions], little-endian.
    sa.Column("steps", sa.LargeBinary, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.CheckConstraint("space IN ('z', 'w')", name="space"),
    sa.Index(None, "generator_id"),
    sa.Index(None, "job_id"),
)

# A unit, or the units that a concept has of a model, which moves along an axis; those that move most are stored.
direction_movements = sa.Table(
    "direction_movements",
    metadata,
    sa.Column("directions_id", sa.Integer, sa.ForeignKey("directions.id", ondelete="CASCADE"), nullable=False),
    sa.Column("axis", sa.SmallInteger, nullable=False),
    model_reference(),
    sa.Column("unit", sa.Integer),
    sa.Column("concept_id", sa.Integer, sa.ForeignKey("concepts.id", ondelete="CASCADE")),
    # In its deviations, with a step of one deviation; z holds it against random directions.
    sa.Column("change", sa.REAL, nullable=False),
    sa.Column("z", sa.REAL, nullable=False),
    sa.Column("q_value", sa.REAL, nullable=False),
    sa.CheckConstraint("num_nonnulls(unit, concept_id) = 1", name="target"),
    sa.Index(None, "directions_id", "axis"),
    sa.Index(None, "model_id"),
    sa.Index(None, "concept_id"),
)
