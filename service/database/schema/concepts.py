"""Concepts: sets of units of several models that belong together."""

from __future__ import annotations

import sqlalchemy as sa

from service.database.schema.base import created, identity, metadata

# What was found on a probe set by one job; a newer version leaves the older ones readable.
concept_versions = sa.Table(
    "concept_versions",
    metadata,
    identity(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("resolution", sa.Double, nullable=False),
    sa.Column("q_value", sa.Double, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("stability_seeds", sa.SmallInteger, nullable=False),
    # Each pair of best buddies is among the other's k best.
    sa.Column("k", sa.SmallInteger, nullable=False),
    # Significant best buddies that it was found among.
    sa.Column("pairs", sa.Integer, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.UniqueConstraint("probe_set_id", "version"),
)

concepts = sa.Table(
    "concepts",
    metadata,
    identity(),
    sa.Column("version_id", sa.Integer, sa.ForeignKey("concept_versions.id", ondelete="CASCADE"), nullable=False),
    # Its place in the version: those of most models first, then by cohesion.
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("models", sa.SmallInteger, nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("cohesion", sa.REAL, nullable=False),
    sa.Column("stability", sa.REAL, nullable=False),
    # Of the weakest pair in it.
    sa.Column("q_value", sa.REAL, nullable=False),
    sa.UniqueConstraint("version_id", "number"),
)

concept_members = sa.Table(
    "concept_members",
    metadata,
    sa.Column("concept_id", sa.Integer, sa.ForeignKey("concepts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("unit", sa.Integer, primary_key=True, autoincrement=False),
    # Mean r with its best buddies in the concept.
    sa.Column("strength", sa.REAL, nullable=False),
    sa.Index(None, "model_id", "unit"),
)
