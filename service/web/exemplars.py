"""Exemplars of a concept: the images that its members are shown on together."""

from __future__ import annotations

import sqlalchemy as sa

# Every member votes for its exemplars, for the first ones most.
_OF_CONCEPT = """
SELECT i.image FROM concept_members k
JOIN concepts c ON c.id = k.concept_id
JOIN concept_versions v ON v.id = c.version_id
JOIN exemplars e ON e.probe_set_id = v.probe_set_id AND e.model_id = k.model_id AND e.unit = k.unit
CROSS JOIN LATERAL unnest(e.images_by_maximum) WITH ORDINALITY AS i (image, rank)
WHERE k.concept_id = :concept
GROUP BY i.image ORDER BY sum(1.0 / i.rank) DESC, i.image LIMIT :top
"""


def of_concept(conn: sa.Connection, concept: int, *, top: int) -> list[int]:
    """The images that a concept's members together fire on most, best first; none where none are stored."""
    return list(conn.scalars(sa.text(_OF_CONCEPT), {"concept": concept, "top": top}))
