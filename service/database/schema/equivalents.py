"""Equivalents: the units of one model told from those of another that match them, and how well that goes."""

from __future__ import annotations

import sqlalchemy as sa

from service.database.schema.base import created, identity, metadata, model_reference

# A fit: a new one of the same kind takes its place. The coefficients are a file of the data directory.
equivalents = sa.Table(
    "equivalents",
    metadata,
    identity(),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    model_reference("source_model_id"),
    model_reference("target_model_id"),
    # Matches that a unit is told from, at most.
    sa.Column("k", sa.SmallInteger, nullable=False),
    sa.Column("ridge", sa.Double, nullable=False),
    sa.Column("images", sa.Integer, nullable=False),
    sa.Column("held_out", sa.Integer, nullable=False),
    # Whether the matches, too, were found without the held-out images.
    sa.Column("unseen", sa.Boolean, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    # sha256 of the file.
    sa.Column("digest", sa.Text, nullable=False),
    # R^2 on held-out images, of means over positions and of maps: of all units together; null: none is alive there.
    *(sa.Column(f"{what}_{how}", sa.Double) for what in ("pooled", "maps") for how in ("explained", "best", "chance")),
    # Numbers of the target's units, and of each the same by ridge and by chance; NaN of a dead one.
    sa.Column("units", sa.ARRAY(sa.Integer), nullable=False),
    *(
        sa.Column(f"{what}_by_unit{chance}", sa.ARRAY(sa.REAL), nullable=False)
        for what in ("pooled", "maps")
        for chance in ("", "_chance")
    ),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.UniqueConstraint("probe_set_id", "source_model_id", "target_model_id", "k", name="uq_equivalents_fitted"),
    sa.Index(None, "source_model_id"),
    sa.Index(None, "target_model_id"),
    sa.Index(None, "job_id"),
)
