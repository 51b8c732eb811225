"""Maps: all sketches of a probe set in two dimensions, by version, and their views in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NEWEST = "v.version = (SELECT max(w.version) FROM unit_maps w WHERE w.probe_set_id = v.probe_set_id)"
VIEWS = {
    "unit_maps": (
        "Maps: all live units of a probe set in two dimensions, near where their activations correlate",
        {
            "map": ("v.id", "Number of the map"),
            "probe_set": ("p.name", "Probe set: the images it was made on"),
            "version": ("v.version", "Version of the probe set's maps; a new mine makes a new one"),
            "is_newest": (_NEWEST, "Whether it is the newest version"),
            "units": ("v.units", "How many units it has"),
            "n_neighbors": ("v.n_neighbors", "Neighbours of each unit that UMAP kept near"),
            "min_dist": ("v.min_dist", "How near UMAP let points lie"),
            "seed": ("v.seed", "Of the layout"),
            "code_version": ("v.code_version", "Version of the code that made it"),
            "job": ("v.job_id", "Job that made it"),
            "created_at": ("v.created_at", "When it was made"),
        },
        "unit_maps v JOIN probe_sets p ON p.id = v.probe_set_id",
    ),
    "unit_map_points": (
        "Places of units on maps; only distances mean something, x and y do not",
        {
            "map": ("v.id", "Number of the map"),
            "probe_set": ("p.name", "Probe set: the images it was made on"),
            "version": ("v.version", "Version of the probe set's maps"),
            "is_newest": (_NEWEST, "Whether it is on the newest version"),
            "model": ("m.name", "Model"),
            "layer": ("l.name", "Layer: its module path in the model"),
            "unit": ("t.unit", "Number of the unit in its model, from 0, layers in forward order"),
            "channel": ("u.channel", "Channel in the layer, from 0"),
            "x": ("t.x", "To the right"),
            "y": ("t.y", "Up"),
        },
        """unit_map_points t
  JOIN unit_maps v ON v.id = t.map_id
  JOIN probe_sets p ON p.id = v.probe_set_id
  JOIN models m ON m.id = t.model_id
  LEFT JOIN units u ON u.model_id = t.model_id AND u.number = t.unit
  LEFT JOIN layers l ON l.id = u.layer_id""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "unit_maps",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("n_neighbors", sa.Integer(), nullable=False),
        sa.Column("min_dist", sa.Double(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit_maps")),
        sa.ForeignKeyConstraint(
            ["probe_set_id"], ["probe_sets.id"], name=op.f("fk_unit_maps_probe_set_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_unit_maps_job_id"), ondelete="SET NULL"),
        sa.UniqueConstraint("probe_set_id", "version", name=op.f("uq_unit_maps_probe_set_id_version")),
    )
    op.create_table(
        "unit_map_points",
        sa.Column("map_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("x", sa.REAL(), nullable=False),
        sa.Column("y", sa.REAL(), nullable=False),
        sa.PrimaryKeyConstraint("map_id", "model_id", "unit", name=op.f("pk_unit_map_points")),
        sa.ForeignKeyConstraint(
            ["map_id"], ["unit_maps.id"], name=op.f("fk_unit_map_points_map_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_unit_map_points_model_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_unit_map_points_model_id"), "unit_map_points", ["model_id"])
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
    for table in ("unit_map_points", "unit_maps"):
        op.drop_table(table)
