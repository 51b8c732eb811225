"""Labels of units and concepts, searched by words, and their view in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COMMENT = "What people and jobs say that units and concepts answer to"
_VIEW = {
    "label": ("b.id", "Number of the label"),
    "kind": ("b.kind", "person: typed; text: by an image-text model; mask: by overlap with masks of a probe set"),
    "text": ("b.text", "What it says"),
    "author": ("b.author", "Person, image-text model, or masks"),
    "score": ("b.score", "Of kind text, similarity; of kind mask, intersection over union; null of a person"),
    "model": ("m.name", "Model of the labelled unit; null of a concept"),
    "layer": ("l.name", "Layer of the unit"),
    "unit": ("b.unit", "Number of the unit in its model, from 0, layers in forward order"),
    "channel": ("u.channel", "Channel in the layer, from 0"),
    "concept": ("b.concept_id", "The labelled concept; null of a unit"),
    "probe_set": ("p.name", "Probe set it was measured on; null of a person"),
    "created_at": ("b.created_at", "When it was given"),
}


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("unit", sa.Integer(), nullable=True),
        sa.Column("concept_id", sa.Integer(), nullable=True),
        sa.Column("probe_set_id", sa.Integer(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=True),
        sa.Column("evidence", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple', text) || to_tsvector('english', text)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("kind IN ('person', 'text', 'mask')", name=op.f("ck_labels_kind")),
        sa.CheckConstraint(
            "num_nonnulls(model_id, unit) = 2 AND concept_id IS NULL"
            " OR num_nonnulls(model_id, unit) = 0 AND concept_id IS NOT NULL",
            name=op.f("ck_labels_target"),
        ),
        sa.CheckConstraint("kind = 'person' OR probe_set_id IS NOT NULL", name=op.f("ck_labels_measured")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labels")),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(f"fk_labels_{column}"), ondelete=what)
            for column, table, what in (
                ("model_id", "models", "CASCADE"),
                ("concept_id", "concepts", "CASCADE"),
                ("probe_set_id", "probe_sets", "CASCADE"),
                ("job_id", "jobs", "SET NULL"),
            )
        ),
    )
    op.create_index(
        "uq_labels_target",
        "labels",
        ["kind", "model_id", "unit", "concept_id", "probe_set_id", "text", "author"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(op.f("ix_labels_model_id_unit"), "labels", ["model_id", "unit"])
    op.create_index(op.f("ix_labels_concept_id"), "labels", ["concept_id"])
    op.create_index(op.f("ix_labels_words"), "labels", ["words"], postgresql_using="gin")
    selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in _VIEW.items())
    op.execute(
        f"""CREATE VIEW analytics.labels AS SELECT {selected}
FROM labels b
  LEFT JOIN models m ON m.id = b.model_id
  LEFT JOIN units u ON u.model_id = b.model_id AND u.number = b.unit
  LEFT JOIN layers l ON l.id = u.layer_id
  LEFT JOIN probe_sets p ON p.id = b.probe_set_id"""
    )
    op.execute(f"COMMENT ON VIEW analytics.labels IS '{_COMMENT}'")
    for column, (_, text) in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analytics.labels.{column} IS '{text}'")
    op.execute("GRANT SELECT ON analytics.labels TO rosetta_reader")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.labels")
    op.drop_table("labels")
