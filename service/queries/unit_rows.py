"""A model's units as rows of a table: statistics and the best match anywhere, on one probe set."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from rosetta.addresses import UnitReference
from rosetta.results import Page
from service.queries import names, pages

_ROWS = """
SELECT u.number, l.name, u.channel, s.mean, s.std, s.maximum, s.dead, b.model, b.neighbour, b.correlation, b.buddies
FROM units u
JOIN layers l ON l.id = u.layer_id
LEFT JOIN unit_statistics s ON s.probe_set_id = :probe_set AND s.model_id = u.model_id AND s.unit = u.number
LEFT JOIN LATERAL (
    SELECT n.name AS model, t.neighbour, t.correlation, t.reciprocal_rank = 1 AS buddies
    FROM comparisons c
    JOIN models n ON n.id = c.neighbour_model_id
    JOIN matches t ON t.comparison_id = c.id AND t.unit = u.number AND t.rank = 1
    WHERE c.probe_set_id = :probe_set AND c.model_id = u.model_id
    ORDER BY t.correlation DESC LIMIT 1
) b ON true
WHERE u.model_id = :model AND u.number > :after AND (CAST(:layer AS text) IS NULL OR l.name = :layer)
ORDER BY u.number
LIMIT :limit
"""


@dataclass(frozen=True)
class UnitRow:
    """A unit; `mean` to `dead` are null where its model was not mined, `best_*` where nothing matches it."""

    number: int
    layer: str
    channel: int
    mean: float | None
    std: float | None
    maximum: float | None
    dead: bool | None
    best_model: str | None
    best_unit: int | None
    best_correlation: float | None
    best_buddies: bool | None


def list_rows(
    conn: sa.Connection,
    model: str,
    probe_set_id: int | None,
    *,
    layer: str | None = None,
    limit: int = pages.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[UnitRow]:
    """The units by number, of one layer where it is named.

    Raises:
        NotFound: when there is no such model, or it has no such layer.
        InvalidRequest: when the limit or the cursor is none.
    """
    owner = names.model_row(conn, model)
    if layer is not None:
        names.unit_row(conn, owner, UnitReference(layer=layer, channel=0))
    values = {
        "model": owner.id,
        "probe_set": probe_set_id,
        "layer": layer,
        "after": -1 if cursor is None else pages.decode_cursor(cursor, int)[0],
        "limit": pages.check_limit(limit) + 1,
    }
    rows = conn.execute(sa.text(_ROWS), values).all()
    return pages.paged(rows, limit, key=lambda row: (row.number,), item=lambda row: UnitRow(*row))
