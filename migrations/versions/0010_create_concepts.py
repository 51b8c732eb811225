"""Concepts by version, their members, and their views in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

VIEWS = {
    "concepts": (
        "Sets of units of several models that belong together on a probe set",
        {
            "concept": ("k.id", "Number of the concept"),
            "probe_set": ("p.name", "Probe set: the images it was found on"),
            "version": ("v.version", "Version of the probe set's concepts; a new mine makes a new one"),
            "is_newest": (
                "v.version = (SELECT max(w.version) FROM concept_versions w WHERE w.probe_set_id = v.probe_set_id)",
                "Whether it is of the newest version",
            ),
            "models": ("k.models::int", "How many models it spans"),
            "units": ("k.units", "How many units it has"),
            "cohesion": ("k.cohesion", "Mean correlation of its pairs of best buddies"),
            "stability": ("k.stability", "From 0 to 1: how much of it comes back with other seeds"),
            "q_value": ("k.q_value", "Chance of a false discovery of its weakest pair"),
            "resolution": ("v.resolution", "The least mean correlation inside a concept"),
            "seed": ("v.seed", "Of the communities"),
            "created_at": ("v.created_at", "When it was found"),
        },
        "concepts k JOIN concept_versions v ON v.id = k.version_id JOIN probe_sets p ON p.id = v.probe_set_id",
    ),
    "concept_members": (
        "Units of the concepts",
        {
            "concept": ("k.id", "Number of the concept"),
            "probe_set": ("p.name", "Probe set: the images it was found on"),
            "version": ("v.version", "Version of the probe set's concepts"),
            "model": ("m.name", "Model"),
            "layer": ("l.name", "Layer: its module path in the model"),
            "unit": ("c.unit", "Number of the unit in its model, from 0, layers in forward order"),
            "channel": ("u.channel", "Channel in the layer, from 0"),
            "strength": ("c.strength", "Mean correlation with its best buddies in the concept"),
        },
        """concept_members c
  JOIN concepts k ON k.id = c.concept_id
  JOIN concept_versions v ON v.id = k.version_id
  JOIN probe_sets p ON p.id = v.probe_set_id
  JOIN models m ON m.id = c.model_id
  LEFT JOIN units u ON u.model_id = c.model_id AND u.number = c.unit
  LEFT JOIN layers l ON l.id = u.layer_id""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "concept_versions",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("resolution", sa.Double(), nullable=False),
        sa.Column("q_value", sa.Double(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("stability_seeds", sa.SmallInteger(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concept_versions")),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_concept_versions_probe_set_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_concept_versions_job_id"), ondelete="SET NULL"),
        sa.UniqueConstraint("probe_set_id", "version", name=op.f("uq_concept_versions_probe_set_id_version")),
    )
    op.create_table(
        "concepts",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("models", sa.SmallInteger(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("cohesion", sa.REAL(), nullable=False),
        sa.Column("stability", sa.REAL(), nullable=False),
        sa.Column("q_value", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concepts")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["concept_versions.id"], name=op.f("fk_concepts_version_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("version_id", "number", name=op.f("uq_concepts_version_id_number")),
    )
    op.create_table(
        "concept_members",
        sa.Column("concept_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("strength", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("concept_id", "model_id", "unit", name=op.f("pk_concept_members")),
        sa.ForeignKeyConstraint(
            ["concept_id"], ["concepts.id"], name=op.f("fk_concept_members_concept_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_concept_members_model_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_concept_members_model_id_unit"), "concept_members", ["model_id", "unit"])
    for name, (comment, columns, source) in VIEWS.items():
        selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in columns.items())
        op.execute(f"CREATE VIEW analytics.{name} AS SELECT {selected} FROM {source}")
        op.execute(f"COMMENT ON VIEW analytics.{name} IS '{comment}'")
        for column, (_, text) in columns.items():
            op.execute("COMMENT ON COLUMN analytics.{}.{} IS '{}'".format(name, column, text.replace("'", "''")))
        op.execute(f"GRANT SELECT ON analytics.{name} TO rosetta_reader")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW analytics.{name}")
    for table in ("concept_members", "concepts", "concept_versions"):
        op.drop_table(table)
