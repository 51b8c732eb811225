"""The schema `analytics`: views that people query, a stable contract of names.

Names stand where the tables have ids. Look-ups are left joins on unique keys, although every row finds its
partner: a query that does not name their columns is then planned without them, and one that does, the same.
"""

from __future__ import annotations

from typing import NamedTuple

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


class View(NamedTuple):
    name: str
    comment: str
    columns: list[tuple[str, str, str]]  # name, expression, comment
    source: str


PROBE_SET = ("probe_set", "p.name", "Probe set: the images it was measured on")
MODEL = ("model", "m.name", "Model")
NEIGHBOUR_MODEL = ("neighbour_model", "n.name", "The other model")
LAYER = ("layer", "l.name", "Layer: its module path in the model")
NEIGHBOUR_LAYER = ("neighbour_layer", "k.name", "Layer of the other model")
CHANNEL = ("channel", "u.channel", "Channel in the layer, from 0")
UNIT_COMMENT = "Number of the unit in its model, from 0, layers in forward order"
NEIGHBOUR_CHANNEL = ("neighbour_channel", "v.channel", "The neighbour's channel in its layer, from 0")
NEIGHBOUR_UNIT = ("neighbour_unit", "t.neighbour", "Number of the neighbour in the other model, from 0")
CORRELATION = ("correlation", "t.correlation", "Pearson correlation of their activation maps")
BEST_BUDDIES = [
    ("best_buddies", "c.best_buddies", "Pairs of units that are each other's best match"),
    ("significant_best_buddies", "c.significant_best_buddies", "Those of them with q < 0.05"),
    ("chance_best_buddies", "nullif(c.chance_best_buddies, 'NaN')", "Best buddies that chance alone gives"),
]
PAIR = """
  comparisons c
  JOIN models m ON m.id = c.model_id
  JOIN models n ON n.id = c.neighbour_model_id
  JOIN probe_sets p ON p.id = c.probe_set_id"""
UNITS_OF_MATCH = """
  LEFT JOIN units u ON u.model_id = c.model_id AND u.number = t.unit
  LEFT JOIN layers l ON l.id = u.layer_id
  LEFT JOIN units v ON v.model_id = c.neighbour_model_id AND v.number = t.neighbour
  LEFT JOIN layers k ON k.id = v.layer_id"""

VIEWS = [
    View(
        "models",
        "Registered networks",
        [
            MODEL,
            ("family", "m.family", "Family, such as resnet or clip"),
            ("aliases", "m.aliases", "Nicknames a question may use"),
            ("source", "m.source", "Where it came from, a source URI"),
            ("weights_digest", "m.weights_digest", "SHA-256 of the weights"),
            ("is_generator", "m.is_generator", "Whether it makes images"),
            ("layers", "(SELECT count(*) FROM layers l WHERE l.model_id = m.id)", "Number of its layers"),
            ("units", "m.units", "Number of units"),
            ("details", "m.details", "Input size, preprocessing, latent space, licence"),
            ("created_at", "m.created_at", "When it was registered"),
        ],
        "models m",
    ),
    View(
        "layers",
        "Recorded layers of the models, in forward order",
        [
            MODEL,
            LAYER,
            ("position", "l.position", "Place in the forward order, from 0"),
            ("channels", "l.channels", "Number of channels, each a unit"),
            ("height", "l.height", "Rows of its activation maps"),
            ("width", "l.width", "Columns of its activation maps"),
            ("first_unit", "l.first_unit", "Number of the unit of channel 0"),
        ],
        "layers l JOIN models m ON m.id = l.model_id",
    ),
    View(
        "units",
        "Units: channels of layers",
        [
            MODEL,
            ("unit", "u.number", UNIT_COMMENT),
            LAYER,
            CHANNEL,
            ("address", "m.name || '/' || l.name || ':' || u.channel", "Address: model/layer:channel"),
            ("height", "l.height", "Rows of its activation maps"),
            ("width", "l.width", "Columns of its activation maps"),
        ],
        "units u JOIN models m ON m.id = u.model_id JOIN layers l ON l.id = u.layer_id",
    ),
    View(
        "unit_statistics",
        "How each unit responds over a probe set, at its own grid",
        [
            PROBE_SET,
            MODEL,
            ("unit", "s.unit", UNIT_COMMENT),
            LAYER,
            CHANNEL,
            ("mean", "s.mean", "Mean response"),
            ("std", "s.std", "Standard deviation of the response"),
            ("minimum", "s.minimum", "Least response"),
            ("maximum", "s.maximum", "Greatest response"),
            ("dead", "s.dead", "Whether it never changes, and so has no matches"),
        ],
        """unit_statistics s
  JOIN probe_sets p ON p.id = s.probe_set_id
  JOIN models m ON m.id = s.model_id
  LEFT JOIN units u ON u.model_id = s.model_id AND u.number = s.unit
  LEFT JOIN layers l ON l.id = u.layer_id""",
    ),
    View(
        "probe_sets",
        "Probe sets: immutable, ordered sets of images",
        [
            PROBE_SET,
            ("digest", "p.digest", "SHA-256 of what it was made from; the same inputs give the same digest"),
            ("kind", "p.kind", "generator: samples of a generator; images: files"),
            ("images", "p.count", "Number of images"),
            ("height", "p.height", "Height of the images, in pixels"),
            ("width", "p.width", "Width of the images, in pixels"),
            ("generator", "g.name", "Model that generated the images; null for files"),
            ("seed", "p.seed", "Seed of the generated images"),
            ("truncation", "p.truncation", "Truncation of the generated images; null: none"),
            ("class_index", "p.class_index", "Class of the generated images; null: none"),
            (
                "mined_models",
                "ARRAY(SELECT m.name FROM profiles f JOIN models m ON m.id = f.model_id"
                " WHERE f.probe_set_id = p.id ORDER BY m.name)",
                "Models that were mined on it",
            ),
            ("created_at", "p.created_at", "When it was made"),
        ],
        "probe_sets p LEFT JOIN models g ON g.id = p.generator_id",
    ),
    View(
        "comparisons",
        "What was mined, and from what: one row for each direction of a pair of models on a probe set",
        [
            PROBE_SET,
            MODEL,
            NEIGHBOUR_MODEL,
            ("keep", "c.keep", "How many neighbours were kept for each unit"),
            ("permutations", "c.permutations", "How many permutations of the images gave the null"),
            *BEST_BUDDIES,
            ("probe_set_digest", "p.digest", "Digest of the probe set"),
            ("weights_digest", "m.weights_digest", "SHA-256 of the model's weights"),
            ("neighbour_weights_digest", "n.weights_digest", "SHA-256 of the other model's weights"),
            ("code_version", "c.code_version", "Version of the code that mined it"),
            ("parameters", "c.parameters", "Parameters it was mined with"),
            ("job", "c.job_id", "Job that mined it; null when the job was deleted"),
            ("created_at", "c.created_at", "When it was mined"),
        ],
        PAIR,
    ),
    View(
        "matches",
        "Directed matches: a unit, and one of its best neighbours in another model",
        [
            PROBE_SET,
            MODEL,
            LAYER,
            ("unit", "t.unit", UNIT_COMMENT),
            CHANNEL,
            NEIGHBOUR_MODEL,
            NEIGHBOUR_LAYER,
            NEIGHBOUR_UNIT,
            NEIGHBOUR_CHANNEL,
            CORRELATION,
            ("rank", "t.rank", "1: the best neighbour of the unit in that model"),
            (
                "reciprocal_rank",
                "nullif(t.reciprocal_rank, 0)",
                "Rank of the unit among the neighbour's matches; null: beyond those kept",
            ),
            ("q_value", "nullif(t.q_value, 'NaN')", "Chance of a false discovery, Benjamini-Hochberg"),
            (
                "is_best_buddy",
                "t.rank = 1 AND t.reciprocal_rank = 1",
                "Each is the other's best match",
            ),
        ],
        PAIR + "\n  JOIN matches t ON t.comparison_id = c.id" + UNITS_OF_MATCH,
    ),
    View(
        "neuron_pairs",
        "Best buddies: pairs of units that are each other's best match, each pair once",
        [
            PROBE_SET,
            MODEL,
            LAYER,
            ("unit", "t.unit", UNIT_COMMENT),
            CHANNEL,
            NEIGHBOUR_MODEL,
            NEIGHBOUR_LAYER,
            NEIGHBOUR_UNIT,
            NEIGHBOUR_CHANNEL,
            CORRELATION,
            (
                "q_value",
                "nullif(greatest(t.q_value, s.q_value), 'NaN')",
                "Chance of a false discovery, the greater of both directions",
            ),
        ],
        PAIR
        + """
  JOIN matches t ON t.comparison_id = c.id AND t.rank = 1 AND t.reciprocal_rank = 1
  LEFT JOIN comparisons d ON d.probe_set_id = c.probe_set_id
    AND d.model_id = c.neighbour_model_id AND d.neighbour_model_id = c.model_id
  LEFT JOIN matches s ON s.comparison_id = d.id AND s.unit = t.neighbour AND s.rank = 1"""
        + UNITS_OF_MATCH
        + "\nWHERE c.model_id < c.neighbour_model_id",
    ),
    View(
        "sharing_by_layer",
        "How many units two layers of two models share: one row for each direction",
        [
            ("probe_set", "b.probe_set", PROBE_SET[2]),
            ("model", "b.model", MODEL[2]),
            ("layer", "b.layer", LAYER[2]),
            ("neighbour_model", "b.neighbour_model", NEIGHBOUR_MODEL[2]),
            ("neighbour_layer", "b.neighbour_layer", NEIGHBOUR_LAYER[2]),
            (
                "best_buddies",
                "b.best_buddies",
                "Units with a best buddy in the other layer",
            ),
            ("mean_correlation", "b.mean_correlation", "Their mean correlation"),
            ("live_units", "live.units", "Units of the layer that are not dead on the probe set"),
            ("share", "b.best_buddies::float8 / nullif(live.units, 0)", "best_buddies / live_units"),
        ],
        # Grouped by keys, so that a filter on names reaches the tables below the grouping.
        f"""(
  SELECT p.name AS probe_set, m.name AS model, l.name AS layer, n.name AS neighbour_model,
    k.name AS neighbour_layer, count(*) AS best_buddies, avg(t.correlation) AS mean_correlation,
    p.id AS probe_set_id, m.id AS model_id, l.first_unit, l.channels
  FROM {PAIR}
  JOIN matches t ON t.comparison_id = c.id AND t.rank = 1 AND t.reciprocal_rank = 1 {UNITS_OF_MATCH}
  GROUP BY p.id, m.id, l.id, n.id, k.id
) b CROSS JOIN LATERAL (
  SELECT count(*) AS units FROM unit_statistics s
  WHERE s.probe_set_id = b.probe_set_id AND s.model_id = b.model_id AND NOT s.dead
    AND s.unit >= b.first_unit AND s.unit < b.first_unit + b.channels
) live""",
    ),
    View(
        "model_pairs",
        "How much two models share on a probe set, each pair once",
        [
            PROBE_SET,
            MODEL,
            NEIGHBOUR_MODEL,
            *BEST_BUDDIES,
            ("live_units", "m.units - f.dead_units", "Units of the model that are not dead on the probe set"),
            ("neighbour_live_units", "n.units - h.dead_units", "Those of the other model"),
            (
                "share",
                "c.best_buddies::float8 / nullif(least(m.units - f.dead_units, n.units - h.dead_units), 0)",
                "best_buddies / live units of the model with fewer",
            ),
        ],
        PAIR
        + """
  LEFT JOIN profiles f ON f.probe_set_id = c.probe_set_id AND f.model_id = c.model_id
  LEFT JOIN profiles h ON h.probe_set_id = c.probe_set_id AND h.model_id = c.neighbour_model_id
WHERE c.model_id < c.neighbour_model_id""",
    ),
]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    op.execute("CREATE SCHEMA analytics")
    op.execute("COMMENT ON SCHEMA analytics IS 'Views for people: a stable contract of names'")
    for view in VIEWS:
        columns = ",\n  ".join(f"{expression} AS {name}" for name, expression, _ in view.columns)
        op.execute(f"CREATE VIEW analytics.{view.name} AS\nSELECT\n  {columns}\nFROM {view.source}")
        op.execute(f"COMMENT ON VIEW analytics.{view.name} IS {_literal(view.comment)}")
        for name, _, comment in view.columns:
            op.execute(f"COMMENT ON COLUMN analytics.{view.name}.{name} IS {_literal(comment)}")


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW analytics.{view.name}")
    op.execute("DROP SCHEMA analytics")
