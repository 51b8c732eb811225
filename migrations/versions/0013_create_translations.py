"""Translations: inversions and edits, the images they made, and their view in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COMMENT = "Images that a generator was steered to through the units it shares with other models"
_VIEW = {
    "translation": ("t.id", "Number of the translation"),
    "kind": ("t.kind", "inversion: of an image; edit: of what an inversion or an edit made"),
    "parent": ("t.parent_id", "Of an edit: the translation it starts from"),
    "generator": ("m.name", "Model that made the images"),
    "probe_set": ("p.name", "Probe set on which the shared units were mined"),
    "pairs": ("t.pairs", "How many pairs of units steered"),
    "position": ("i.position", "Place of the image in the translation, from 0"),
    "space": ("i.space", "Space of its latent: z, w or w+"),
    "correlation": ("(i.metrics->>'correlation')::real", "Weighted mean r that the steering units reached"),
    "psnr": ("(i.metrics->>'psnr')::real", "Peak signal-to-noise ratio with the target, dB; null of an edit"),
    "ssim": ("(i.metrics->>'ssim')::real", "Structural similarity with the target; null of an edit"),
    "lpips": ("(i.metrics->>'lpips')::real", "Perceptual distance, where its weights were there"),
    "created_at": ("t.created_at", "When it was made"),
}


def upgrade() -> None:
    op.create_table(
        "translations",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("generator_id", sa.Integer(), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("recipe", postgresql.JSONB(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.CheckConstraint("kind IN ('inversion', 'edit')", name=op.f("ck_translations_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_translations")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["translations.id"], name=op.f("fk_translations_parent_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["generator_id"], ["models.id"], name=op.f("fk_translations_generator_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_translations_probe_set_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_translations_job_id"), ondelete="SET NULL"),
    )
    op.create_index(op.f("ix_translations_generator_id"), "translations", ["generator_id"])
    op.create_index(op.f("ix_translations_job_id"), "translations", ["job_id"])
    op.create_table(
        "translation_images",
        sa.Column("translation_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reference", postgresql.JSONB(), nullable=False),
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("latent", sa.LargeBinary(), nullable=False),
        sa.Column("shape", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("class_index", sa.Integer(), nullable=True),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(), nullable=False),
        sa.Column("losses", sa.ARRAY(sa.REAL()), nullable=False),
        sa.CheckConstraint("space IN ('z', 'w', 'w+')", name=op.f("ck_translation_images_space")),
        sa.PrimaryKeyConstraint("translation_id", "position", name=op.f("pk_translation_images")),
        sa.ForeignKeyConstraint(
            ["translation_id"],
            ["translations.id"],
            name=op.f("fk_translation_images_translation_id"),
            ondelete="CASCADE",
        ),
    )
    selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in _VIEW.items())
    op.execute(
        f"""CREATE VIEW analytics.translations AS SELECT {selected}
FROM translations t JOIN translation_images i ON i.translation_id = t.id
  JOIN models m ON m.id = t.generator_id JOIN probe_sets p ON p.id = t.probe_set_id"""
    )
    op.execute(f"COMMENT ON VIEW analytics.translations IS '{_COMMENT}'")
    for column, (_, text) in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analytics.translations.{column} IS '{text}'")
    op.execute("GRANT SELECT ON analytics.translations TO rosetta_reader")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.translations")
    op.drop_table("translation_images")
    op.drop_table("translations")
