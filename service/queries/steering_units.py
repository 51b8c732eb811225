"""The units and concepts that a recipe's pairs can steer: what a person may raise, lower or mute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rosetta.addresses import format_address

_UNITS = """
SELECT w.layer, w.channel, u.number, e.images_by_maximum[1] AS image, (
  SELECT x.text FROM labels x WHERE x.model_id = m.id AND x.unit = u.number
  ORDER BY x.kind <> 'person', x.score DESC NULLS LAST, x.id DESC LIMIT 1) AS label
FROM unnest(CAST(:layers AS text[]), CAST(:channels AS int[])) AS w(layer, channel)
JOIN models m ON m.name = :generator
JOIN layers l ON l.model_id = m.id AND l.name = w.layer
JOIN units u ON u.layer_id = l.id AND u.channel = w.channel
LEFT JOIN exemplars e ON e.model_id = m.id AND e.unit = u.number
  AND e.probe_set_id = (SELECT id FROM probe_sets WHERE name = :probe)
"""
_CONCEPTS = """
SELECT k.concept_id AS concept, count(*) AS units FROM concept_members k
JOIN concepts c ON c.id = k.concept_id
JOIN models m ON m.id = k.model_id
WHERE m.name = :generator AND k.unit = ANY(:units) AND c.version_id = (
  SELECT max(v.id) FROM concept_versions v JOIN probe_sets p ON p.id = v.probe_set_id WHERE p.name = :probe)
GROUP BY k.concept_id ORDER BY units DESC, k.concept_id
"""


@dataclass(frozen=True)
class SteeringUnit:
    """A unit of the generator that pairs steer.

    `weight`: of its strongest pair, which is with `neighbour`. `image`: of the probe set, on which it fires most; null
    where that is not stored. `label`: the best.
    """

    number: int
    layer: str
    channel: int
    address: str
    weight: float
    neighbour: str
    image: int | None
    label: str | None


@dataclass(frozen=True)
class SteeringConcept:
    """A concept, and how many of the generator's units in it pairs steer."""

    concept: int
    units: int


def steering_units(conn: sa.Connection, recipe: Mapping[str, Any]) -> list[SteeringUnit]:
    """The generator's units that the recipe's pairs have, the strongest first.

    Args:
        conn: where to look.
        recipe: as a translation has it.
    """
    best: dict[tuple[str, int], Mapping[str, Any]] = {}
    for pair in sorted(recipe.get("pairs", ()), key=lambda pair: -pair["weight"]):
        best.setdefault((pair["layer"], pair["channel"]), pair)
    if not best:
        return []
    generator = recipe["generator"]["name"]
    layers, channels = zip(*best, strict=True)
    values = {"layers": list(layers), "channels": list(channels), "generator": generator, "probe": recipe["probe_set"]}
    found = []
    for row in conn.execute(sa.text(_UNITS), values):
        pair = best[row.layer, row.channel]
        model = recipe["models"][pair["model"]]["name"]
        found.append(
            SteeringUnit(
                row.number,
                row.layer,
                row.channel,
                format_address(generator, row.layer, row.channel),
                pair["weight"],
                format_address(model, pair["model_layer"], pair["model_channel"]),
                row.image,
                row.label,
            )
        )
    return sorted(found, key=lambda unit: (-unit.weight, unit.number))


def steering_concepts(conn: sa.Connection, recipe: Mapping[str, Any], units: list[int]) -> list[SteeringConcept]:
    """The newest concepts that have some of these units of the recipe's generator, those with the most first."""
    values = {"generator": recipe["generator"]["name"], "probe": recipe["probe_set"], "units": units}
    return [SteeringConcept(*row) for row in conn.execute(sa.text(_CONCEPTS), values)] if units else []
