"""Translations: images that a generator was steered to through the units it shares with other models."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.database.schema.base import created, identity, metadata, model_reference

# An inversion, or an edit of one. The recipe makes it again: digests, pairs with their statistics, every number.
translations = sa.Table(
    "translations",
    metadata,
    identity(),
    sa.Column("kind", sa.Text, nullable=False),
    # Of an edit: what it starts from.
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("translations.id", ondelete="SET NULL")),
    model_reference("generator_id"),
    sa.Column("probe_set_id", sa.Integer, sa.ForeignKey("probe_sets.id", ondelete="CASCADE"), nullable=False),
    sa.Column("recipe", JSONB, nullable=False),
    sa.Column("images", sa.Integer, nullable=False),
    sa.Column("pairs", sa.Integer, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="SET NULL")),
    created(),
    sa.CheckConstraint("kind IN ('inversion', 'edit')", name="kind"),
    sa.Index(None, "generator_id"),
    sa.Index(None, "job_id"),
)

translation_images = sa.Table(
    "translation_images",
    metadata,
    sa.Column("translation_id", sa.Integer, sa.ForeignKey("translations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    # What it was to become, as it was asked for; and as the models saw it, PNG.
    sa.Column("reference", JSONB, nullable=False),
    sa.Column("target", sa.LargeBinary, nullable=False),
    # What it became, PNG, and its latent: float32, little-endian, of that shape.
    sa.Column("picture", sa.LargeBinary, nullable=False),
    sa.Column("space", sa.Text, nullable=False),
    sa.Column("latent", sa.LargeBinary, nullable=False),
    sa.Column("shape", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("class_index", sa.Integer),
    sa.Column("start", sa.Integer, nullable=False),
    # correlation, psnr, ssim, and lpips where it was there
    sa.Column("metrics", JSONB, nullable=False),
    # The loss of the start that was kept, by step.
    sa.Column("losses", sa.ARRAY(sa.REAL), nullable=False),
    sa.CheckConstraint("space IN ('z', 'w', 'w+')", name="space"),
)
