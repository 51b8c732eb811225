"""Interventions in a generator's units, and what they cause: in its images, and in units of other models."""

from __future__ import annotations

import sqlalchemy as sa

from service.database.schema.base import created, identity, metadata, model_reference

# One measurement: a new one of the same kind takes its place.
interventions = sa.Table(
    "interventions",
    metadata,
    identity(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    model_reference("generator_id"),
    model_reference("neighbour_model_id"),
    sa.Column("action", sa.Text, nullable=False),
    # Of `set`, in deviations of the unit; of `boost`, the factor.
    sa.Column("amount", sa.Double),
    # x, y, width, height in pixels of the generator's images; null: everywhere.
    sa.Column("box", sa.ARRAY(sa.Double)),
    sa.Column("latents", sa.Integer, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.CheckConstraint("action IN ('zero', 'set', 'boost')", name="action"),
    # A name of its own: that of the convention is longer than Postgres takes.
    sa.UniqueConstraint(
        "probe_set_id", "generator_id", "neighbour_model_id", "action", name="uq_interventions_measured"
    ),
    sa.Index(None, "generator_id"),
    sa.Index(None, "neighbour_model_id"),
    sa.Index(None, "job_id"),
)

# What the change of a unit does to the pixels where it fired before, and to all others.
unit_effects = sa.Table(
    "unit_effects",
    metadata,
    sa.Column("intervention_id", sa.Integer, sa.ForeignKey("interventions.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    # Mean absolute change of pixels in [0, 1]; null: nowhere such.
    sa.Column("inside", sa.REAL),
    sa.Column("outside", sa.REAL),
    # The same of random other units of the layer, in the same places.
    sa.Column("control_inside", sa.REAL),
    sa.Column("control_outside", sa.REAL),
    sa.Column("controls", sa.Integer, nullable=False),
)

# What it does to a unit of the other model that it matches. Null: nothing changed, or there are too few controls.
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("intervention_id", sa.Integer, primary_key=True),
    sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("neighbour", sa.Integer, primary_key=True, autoincrement=False),
    # r of the match.
    sa.Column("correlation", sa.REAL, nullable=False),
    # r of what changed in the one and in the other.
    sa.Column("effect", sa.REAL),
    sa.Column("control_effect", sa.REAL),
    # Deviations that the other moves along with one deviation of the change; z and q hold it against the controls.
    sa.Column("response", sa.REAL),
    sa.Column("z", sa.REAL),
    sa.Column("q_value", sa.REAL),
    sa.Column("mean_change", sa.REAL),
    sa.Column("size", sa.REAL),
    sa.Column("control_size", sa.REAL),
    sa.ForeignKeyConstraint(
        ["intervention_id", "unit"], ["unit_effects.intervention_id", "unit_effects.unit"], ondelete="CASCADE"
    ),
)
