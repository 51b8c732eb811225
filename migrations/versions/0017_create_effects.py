"""Interventions in a generator's units, what they cause, and their view in `analytics`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_COMMENT = "What a generator''s unit causes in the units of other models that it matches, by intervention"
_VIEW = {
    "probe_set": ("p.name", "Probe set on which the match was mined"),
    "generator": ("g.name", "Model whose unit was changed"),
    "layer": ("gl.name", "Layer of the unit"),
    "unit": ("e.unit", "Number of the unit in the generator, from 0, layers in forward order"),
    "channel": ("gu.channel", "Channel in the layer, from 0"),
    "neighbour_model": ("m.name", "Model that looked at the images"),
    "neighbour_layer": ("ml.name", "Layer of its matched unit"),
    "neighbour_unit": ("e.neighbour", "Number of that unit"),
    "neighbour_channel": ("mu.channel", "Channel of that unit"),
    "action": ("i.action", "zero: it does not fire; set: it fires alike everywhere; boost: it fires more"),
    "correlation": ("e.correlation", "r of the match"),
    "effect": ("e.effect", "r of what changed in the one and in the other; null: nothing changed"),
    "control_effect": ("e.control_effect", "The same of random other units of the layer, on average"),
    "response": ("e.response", "Deviations that the matched unit moves along with one deviation of the change"),
    "z": ("e.z", "How far the response is from that of the controls, in their deviations"),
    "q_value": ("e.q_value", "Chance of a false discovery of a response like that"),
    "mean_change": ("e.mean_change", "Mean change of the matched unit, in its deviations"),
    "size": ("e.size", "Root of the mean square of that change"),
    "control_size": ("e.control_size", "The same of the controls, on average"),
    "inside": ("u.inside", "Mean absolute change of the pixels where the unit fired, of 1"),
    "outside": ("u.outside", "The same of all other pixels"),
    "control_inside": ("u.control_inside", "The same of the controls where the unit fired"),
    "control_outside": ("u.control_outside", "The same of the controls elsewhere"),
    "controls": ("u.controls", "How many controls there were"),
    "latents": ("i.latents", "How many images were changed"),
    "created_at": ("i.created_at", "When it was measured"),
}


def upgrade() -> None:
    op.create_table(
        "interventions",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("probe_set_id", sa.Integer(), nullable=False),
        sa.Column("generator_id", sa.Integer(), nullable=False),
        sa.Column("neighbour_model_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=True),
        sa.Column("box", sa.ARRAY(sa.Double()), nullable=True),
        sa.Column("latents", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.CheckConstraint("action IN ('zero', 'set', 'boost')", name=op.f("ck_interventions_action")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interventions")),
        *(
            sa.ForeignKeyConstraint([column], [f"{table}.id"], name=op.f(f"fk_interventions_{column}"), ondelete=what)
            for column, table, what in (
                ("probe_set_id", "probe_sets", "CASCADE"),
                ("generator_id", "models", "CASCADE"),
                ("neighbour_model_id", "models", "CASCADE"),
                ("job_id", "jobs", "SET NULL"),
            )
        ),
        sa.UniqueConstraint(
            "probe_set_id",
            "generator_id",
            "neighbour_model_id",
            "action",
            name=op.f("uq_interventions_measured"),
        ),
    )
    for column in ("generator_id", "neighbour_model_id", "job_id"):
        op.create_index(op.f(f"ix_interventions_{column}"), "interventions", [column])
    op.create_table(
        "unit_effects",
        *_keys("intervention_id", "unit"),
        *_numbers("inside", "outside", "control_inside", "control_outside"),
        sa.Column("controls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("intervention_id", "unit", name=op.f("pk_unit_effects")),
        sa.ForeignKeyConstraint(
            ["intervention_id"], ["interventions.id"], name=op.f("fk_unit_effects_intervention_id"), ondelete="CASCADE"
        ),
    )
    op.create_table(
        "effects",
        *_keys("intervention_id", "unit", "neighbour"),
        sa.Column("correlation", sa.REAL(), nullable=False),
        *_numbers("effect", "control_effect", "response", "z", "q_value", "mean_change", "size", "control_size"),
        sa.PrimaryKeyConstraint("intervention_id", "unit", "neighbour", name=op.f("pk_effects")),
        sa.ForeignKeyConstraint(
            ["intervention_id", "unit"],
            ["unit_effects.intervention_id", "unit_effects.unit"],
            name=op.f("fk_effects_intervention_id"),
            ondelete="CASCADE",
        ),
    )
    selected = ", ".join(f"{expression} AS {column}" for column, (expression, _) in _VIEW.items())
    op.execute(
        f"""CREATE VIEW analytics.effects AS SELECT {selected}
FROM interventions i JOIN unit_effects u ON u.intervention_id = i.id
  JOIN effects e ON e.intervention_id = i.id AND e.unit = u.unit
  JOIN probe_sets p ON p.id = i.probe_set_id
  JOIN models g ON g.id = i.generator_id
  JOIN models m ON m.id = i.neighbour_model_id
  JOIN units gu ON gu.model_id = i.generator_id AND gu.number = e.unit JOIN layers gl ON gl.id = gu.layer_id
  JOIN units mu ON mu.model_id = i.neighbour_model_id AND mu.number = e.neighbour
  JOIN layers ml ON ml.id = mu.layer_id"""
    )
    op.execute(f"COMMENT ON VIEW analytics.effects IS '{_COMMENT}'")
    for column, (_, text) in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analytics.effects.{column} IS '{text}'")
    op.execute("GRANT SELECT ON analytics.effects TO rosetta_reader")


def _keys(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Integer(), autoincrement=False, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.REAL(), nullable=True) for name in names]


def downgrade() -> None:
    op.execute("DROP VIEW analytics.effects")
    for table in ("effects", "unit_effects", "interventions"):
        op.drop_table(table)
