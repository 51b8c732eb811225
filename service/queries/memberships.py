"""Memberships: the concepts that a unit is in."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

_CONCEPTS = """
SELECT c.id, p.name, c.models, c.units
FROM concept_members k
JOIN models m ON m.id = k.model_id
JOIN concepts c ON c.id = k.concept_id
JOIN concept_versions v ON v.id = c.version_id
JOIN probe_sets p ON p.id = v.probe_set_id
WHERE m.name = :model AND k.unit = :unit
    AND v.id IN (SELECT max(id) FROM concept_versions GROUP BY probe_set_id)
ORDER BY p.name, c.id
"""


@dataclass(frozen=True)
class Membership:
    """A concept that a unit is in: where it was found, how many models it spans and how many units it has."""

    concept: int
    probe_set: str
    models: int
    units: int


def concepts_of(conn: sa.Connection, model: str, unit: int) -> list[Membership]:
    """The unit's concepts in the newest version of each probe set."""
    return [Membership(*row) for row in conn.execute(sa.text(_CONCEPTS), {"model": model, "unit": unit})]
