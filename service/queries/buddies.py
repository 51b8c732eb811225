"""Best buddies: the pairs of units of two models that are each other's best."""

from __future__ import annotations

import sqlalchemy as sa

from rosetta.results import Match

_BUDDIES = sa.text(
    """
SELECT p.name, m.name, l.name, t.unit, t.unit - l.first_unit,
       nm.name, nl.name, t.neighbour, t.neighbour - nl.first_unit,
       t.correlation, t.rank, t.reciprocal_rank, nullif(t.q_value, 'NaN'), true
FROM comparisons c
JOIN probe_sets p ON p.id = c.probe_set_id
JOIN models m ON m.id = c.model_id
JOIN models nm ON nm.id = c.neighbour_model_id
JOIN matches t ON t.comparison_id = c.id AND t.rank = 1 AND t.reciprocal_rank = 1
JOIN layers l ON l.model_id = m.id AND t.unit BETWEEN l.first_unit AND l.first_unit + l.channels - 1
JOIN layers nl ON nl.model_id = nm.id
    AND t.neighbour BETWEEN nl.first_unit AND nl.first_unit + nl.channels - 1
WHERE c.id = :comparison AND t.correlation >= :minimum
ORDER BY t.correlation DESC, t.unit
LIMIT :top
"""
)


def strongest(conn: sa.Connection, comparison_id: int, *, top: int, minimum: float | None = None) -> tuple[Match, ...]:
    """The best buddies of one comparison, highest r first.

    Args:
        conn: where to look.
        comparison_id: of the two models.
        top: how many at most.
        minimum: the least r.
    """
    values = {"comparison": comparison_id, "top": top, "minimum": -1.0 if minimum is None else minimum}
    return tuple(Match(*row) for row in conn.execute(_BUDDIES, values))
