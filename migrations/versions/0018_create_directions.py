"""Directions of a generator's latents, what moves along them, and their views in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_VIEWS = {
    "directions": (
        "Directions of generators'' latents along which most changes",
        {
            "directions": ("d.id", "Number of the directions that were found together"),
            "generator": ("g.name", "Model whose latents they move"),
            "space": ("d.space", "Space of the latents: z or w"),
            "layer": ("d.layer", "Layer that they change most; null: they are the axes of the latents themselves"),
            "axis": ("(a.place - 1)::int", "Place of the direction, from 0, the one that changes most first"),
            "share": ("a.share", "Share of the variance that it explains"),
            "deviation": ("a.deviation", "Deviation of the latents along it"),
            "samples": ("d.samples", "From how many samples they were found"),
            "seed": ("d.seed", "Of the samples"),
            "created_at": ("d.created_at", "When they were found"),
        },
        """directions d JOIN models g ON g.id = d.generator_id
  CROSS JOIN LATERAL unnest(d.shares, d.deviations) WITH ORDINALITY AS a (share, deviation, place)""",
    ),
    "direction_movements": (
        "What moves along directions: units and concepts, beside random directions",
        {
            "directions": ("d.id", "Number of the directions"),
            "generator": ("g.name", "Model whose latents they move"),
            "axis": ("v.axis::int", "Place of the direction, from 0"),
            "probe_set": ("p.name", "Probe set whose statistics scale the change"),
            "model": ("m.name", "Model whose units move"),
            "unit": ("v.unit", "Number of the unit in its model; null of a concept"),
            "concept": ("v.concept_id", "The concept whose units of that model move together; null of a unit"),
            "change": ("v.change", "In deviations, along one deviation of the direction"),
            "z": ("v.z", "The change in deviations of what random directions give"),
            "q_value": ("v.q_value", "Chance of a false discovery of a change like that"),
        },
        """direction_movements v JOIN directions d ON d.id = v.directions_id
  JOIN models g ON g.id = d.generator_id JOIN models m ON m.id = v.model_id
  LEFT JOIN probe_sets p ON p.id = d.probe_set_id""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "directions",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("generator_id", sa.Integer(), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=True),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=True),
        sa.Column("class_index", sa.Integer(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("latents", sa.Integer(), nullable=False),
        sa.Column("controls", sa.Integer(), nullable=False),
        sa.Column("shares", sa.ARRAY(sa.Double()), nullable=False),
        sa.Column("deviations", sa.ARRAY(sa.Double()), nullable=False),
        sa.Column("steps", sa.LargeBinary(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.CheckConstraint("space IN ('z', 'w')", name=op.f("ck_directions_space")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directions")),
        *_references(
            "directions",
            ("generator_id", "models", "CASCADE"),
            ("probe_set_id", "probe_sets", "SET NULL"),
            ("job_id", "jobs", "SET NULL"),
        ),
    )
    op.create_index(op.f("ix_directions_generator_id"), "directions", ["generator_id"])
    op.create_index(op.f("ix_directions_job_id"), "directions", ["job_id"])
    op.create_table(
        "direction_movements",
        sa.Column("directions_id", sa.Integer(), nullable=False),
        sa.Column("axis", sa.SmallInteger(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=True),
        sa.Column("concept_id", sa.Integer(), nullable=True),
        sa.Column("change", sa.REAL(), nullable=False),
        sa.Column("z", sa.REAL(), nullable=False),
        sa.Column("q_value", sa.REAL(), nullable=False),
        sa.CheckConstraint("num_nonnulls(unit, concept_id) = 1", name=op.f("ck_direction_movements_target")),
        *_references(
            "direction_movements",
            ("directions_id", "directions", "CASCADE"),
            ("model_id", "models", "CASCADE"),
            ("concept_id", "concepts", "CASCADE"),
        ),
    )
    op.create_index(op.f("ix_direction_movements_directions_id_axis"), "direction_movements", ["directions_id", "axis"])
    for column in ("model_id", "concept_id"):
        op.create_index(op.f(f"ix_direction_movements_{column}"), "direction_movements", [column])
    for name, (comment, columns, source) in _VIEWS.items():
        selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in columns.items())
        op.execute(f"CREATE VIEW analytics.{name} AS SELECT {selected} FROM {source}")
        op.execute(f"COMMENT ON VIEW analytics.{name} IS '{comment}'")
        for column, (_, text) in columns.items():
            op.execute(f"COMMENT ON COLUMN analytics.{name}.{column} IS '{text}'")
        op.execute(f"GRANT SELECT ON analytics.{name} TO rosetta_reader")


def _references(table: str, *columns: tuple[str, str, str]) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=what)
        for column, target, what in columns
    ]


def downgrade() -> None:
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW analytics.{name}")
    op.drop_table("direction_movements")
    op.drop_table("directions")
