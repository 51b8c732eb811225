"""Sharing: how many best buddies the layers of a model have in the layers of others."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

# As analytics.neuron_pairs has it, a pair counts as significant by the greater q of its two directions. NaN, where
# there was no test, is greater than any number.
_SHARING = """
SELECT l.position, n.name, k.position, count(*),
    count(*) FILTER (WHERE greatest(t.q_value, s.q_value) < 0.05), avg(t.correlation)
FROM comparisons c
JOIN comparisons d ON d.probe_set_id = c.probe_set_id
    AND d.model_id = c.neighbour_model_id AND d.neighbour_model_id = c.model_id
JOIN models n ON n.id = c.neighbour_model_id
JOIN matches t ON t.comparison_id = c.id AND t.rank = 1 AND t.reciprocal_rank = 1
JOIN matches s ON s.comparison_id = d.id AND s.unit = t.neighbour AND s.rank = 1
JOIN layers l ON l.model_id = c.model_id AND t.unit BETWEEN l.first_unit AND l.first_unit + l.channels - 1
JOIN layers k ON k.model_id = c.neighbour_model_id
    AND t.neighbour BETWEEN k.first_unit AND k.first_unit + k.channels - 1
WHERE c.probe_set_id = :probe_set AND c.model_id = :model
    AND (CAST(:neighbour AS int) IS NULL OR c.neighbour_model_id = :neighbour)
GROUP BY l.position, n.name, k.position
ORDER BY n.name, l.position, k.position
"""
_DEAD = """
SELECT l.position, count(*) AS dead
FROM layers l
JOIN unit_statistics s ON s.model_id = l.model_id AND s.unit BETWEEN l.first_unit AND l.first_unit + l.channels - 1
WHERE l.model_id = :model AND s.probe_set_id = :probe_set AND s.dead
GROUP BY l.position
"""


@dataclass(frozen=True)
class LayerPair:
    """Best buddies between two layers, named by their positions; those at q < 0.05; the mean r of all of them."""

    position: int
    neighbour_model: str
    neighbour_position: int
    best_buddies: int
    significant: int
    mean_correlation: float


def between_layers(
    conn: sa.Connection, probe_set_id: int, model_id: int, neighbour_id: int | None = None
) -> list[LayerPair]:
    """The pairs of layers that have best buddies, by the neighbour's name and the positions.

    Args:
        conn: where to look.
        probe_set_id: the probe set.
        model_id: the model.
        neighbour_id: the other model; None: every model that it was compared with.
    """
    values = {"probe_set": probe_set_id, "model": model_id, "neighbour": neighbour_id}
    return [LayerPair(*row) for row in conn.execute(sa.text(_SHARING), values)]


def dead_by_layer(conn: sa.Connection, probe_set_id: int, model_id: int) -> dict[int, int]:
    """How many units are dead on a probe set, by the layer's position; without the layers that have none."""
    rows = conn.execute(sa.text(_DEAD), {"probe_set": probe_set_id, "model": model_id})
    return {row.position: row.dead for row in rows}
