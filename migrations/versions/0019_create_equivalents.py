"""Translations between models: fits of one model's units from another's, and their view in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_COMMENT = "How much of a unit is told from the units of another model that match it, on held-out images"
_VIEW = {
    "equivalents": ("e.id", "Number of the fit"),
    "probe_set": ("p.name", "Probe set on which the matches were mined"),
    "source_model": ("s.name", "Model that units are told from"),
    "model": ("t.name", "Model whose units are told"),
    "layer": ("l.name", "Layer of the unit"),
    "unit": ("a.unit", "Number of the unit in its model, from 0, layers in forward order"),
    "channel": ("u.channel", "Channel in the layer, from 0"),
    "k": ("e.k", "From how many matches it is told, at most"),
    "pooled": ("nullif(a.pooled, 'NaN')", "R^2 of its mean over positions; null: dead there"),
    "pooled_chance": ("nullif(a.pooled_chance, 'NaN')", "The same with permuted images"),
    "maps": ("nullif(a.maps, 'NaN')", "R^2 of its map; null: dead there"),
    "maps_chance": ("nullif(a.maps_chance, 'NaN')", "The same with permuted images"),
    "images": ("e.images", "How many images it was fitted on"),
    "held_out": ("e.held_out", "How many others it was tested on"),
    "unseen": ("e.unseen", "Whether the matches were found without these, too"),
    "created_at": ("e.created_at", "When it was fitted"),
}


def upgrade() -> None:
    op.create_table(
        "equivalents",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("source_model_id", sa.Integer(), nullable=False),
        sa.Column("target_model_id", sa.Integer(), nullable=False),
        sa.Column("k", sa.SmallInteger(), nullable=False),
        sa.Column("ridge", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("held_out", sa.Integer(), nullable=False),
        sa.Column("unseen", sa.Boolean(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        *(sa.Column(f"pooled_{how}", sa.Double(), nullable=True) for how in ("explained", "best", "chance")),
        *(sa.Column(f"maps_{how}", sa.Double(), nullable=True) for how in ("explained", "best", "chance")),
        sa.Column("units", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("pooled_by_unit", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("pooled_by_unit_chance", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("maps_by_unit", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("maps_by_unit_chance", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_equivalents")),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(f"fk_equivalents_{column}"), ondelete=what)
            for column, table, what in (
                ("probe_set_id", "probe_sets", "CASCADE"),
                ("source_model_id", "models", "CASCADE"),
                ("target_model_id", "models", "CASCADE"),
                ("job_id", "jobs", "SET NULL"),
            )
        ),
        sa.UniqueConstraint(
            "probe_set_id", "source_model_id", "target_model_id", "k", name=op.f("uq_equivalents_fitted")
        ),
    )
    for column in ("source_model_id", "target_model_id", "job_id"):
        op.create_index(op.f(f"ix_equivalents_{column}"), "equivalents", [column])
    selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in _VIEW.items())
    op.execute(
        f"""CREATE VIEW analytics.equivalents AS SELECT {selected}
FROM equivalents e JOIN probe_sets p ON p.id = e.probe_set_id
  JOIN models s ON s.id = e.source_model_id JOIN models t ON t.id = e.target_model_id
  CROSS JOIN LATERAL unnest(e.units, e.pooled_by_unit, e.pooled_by_unit_chance, e.maps_by_unit, e.maps_by_unit_chance)
    AS a (unit, pooled, pooled_chance, maps, maps_chance)
  JOIN units u ON u.model_id = e.target_model_id AND u.number = a.unit JOIN layers l ON l.id = u.layer_id"""
    )
    op.execute(f"COMMENT ON VIEW analytics.equivalents IS '{_COMMENT}'")
    for column, (_, text) in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analytics.equivalents.{column} IS '{text}'")
    op.execute("GRANT SELECT ON analytics.equivalents TO rosetta_reader")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.equivalents")
    op.drop_table("equivalents")
