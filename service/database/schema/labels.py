"""Labels: what people and jobs say that a unit or a concept answers to."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from service.database.schema.base import created, identity, metadata

# One table, three kinds. A job replaces the rows of its own kind, author and probe set alone; what people said goes by
# their wish alone.
labels = sa.Table(
    "labels",
    metadata,
    identity(),
    sa.Column("kind", sa.Text, nullable=False),
    # Of a unit, or of a concept.
    sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE")),
    sa.Column("unit", sa.Integer),
    sa.Column("concept_id", sa.Integer, sa.ForeignKey("concepts.id", ondelete="CASCADE")),
    # Where a job measured it; null of a person's.
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE")),
    sa.Column("text", sa.Text, nullable=False),
    # A person, an image-text model, or the masks' name.
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("score", sa.REAL),
    # How it came about: q, threshold, the concept it was carried over from.
    sa.Column("evidence", JSONB, nullable=False, server_default="{}"),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    # Words as they are and by their stems, so that "glasses" finds "glass".
    sa.Column(
        "words",
        TSVECTOR,
        sa.Computed("to_tsvector('simple', text) || to_tsvector('english', text)", persisted=True),
        nullable=False,
    ),
    sa.CheckConstraint("kind IN ('person', 'text', 'mask')", name="kind"),
    sa.CheckConstraint(
        "num_nonnulls(model_id, unit) = 2 AND concept_id IS NULL"
        " OR num_nonnulls(model_id, unit) = 0 AND concept_id IS NOT NULL",
        name="target",
    ),
    sa.CheckConstraint("kind = 'person' OR probe_set_id IS NOT NULL", name="measured"),
    sa.Index(
        "uq_labels_target",
        "kind",
        "model_id",
        "unit",
        "concept_id",
        "probe_set_id",
        "text",
        "author",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
    sa.Index(None, "model_id", "unit"),
    sa.Index(None, "concept_id"),
    sa.Index(None, "words", postgresql_using="gin"),
)
