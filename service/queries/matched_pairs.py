"""Matched pairs: the units that a generator shares with another model, with all that steering by them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import sqlalchemy as sa

from rosetta.errors import InvalidRequest
from service.database.schema import comparisons
from service.queries import names
from service.queries.comparisons import not_mined
from service.queries.matches import fewer_kept

MOST_K, Q_VALUE = 10, 0.05

# The rank back says where the other direction's row is, whose q counts as well. NaN is greater than any number.
_PAIRS = """
SELECT gl.name AS layer, gu.channel, t.unit, gs.mean, gs.std,
  ml.name AS neighbour_layer, mu.channel AS neighbour_channel, t.neighbour, ms.mean AS neighbour_mean,
  ms.std AS neighbour_std, ms.minimum AS neighbour_minimum, t.correlation, greatest(t.q_value, s.q_value) AS q_value
FROM comparisons c
JOIN comparisons d ON d.probe_set_id = c.probe_set_id
  AND d.model_id = c.neighbour_model_id AND d.neighbour_model_id = c.model_id
JOIN matches t ON t.comparison_id = c.id AND t.rank <= :k AND t.reciprocal_rank BETWEEN 1 AND :k
JOIN matches s ON s.comparison_id = d.id AND s.unit = t.neighbour AND s.rank = t.reciprocal_rank
JOIN units gu ON gu.model_id = c.model_id AND gu.number = t.unit
JOIN layers gl ON gl.id = gu.layer_id
JOIN units mu ON mu.model_id = c.neighbour_model_id AND mu.number = t.neighbour
JOIN layers ml ON ml.id = mu.layer_id
JOIN unit_statistics gs ON gs.probe_set_id = c.probe_set_id AND gs.model_id = c.model_id AND gs.unit = t.unit
JOIN unit_statistics ms ON ms.probe_set_id = c.probe_set_id
  AND ms.model_id = c.neighbour_model_id AND ms.unit = t.neighbour
WHERE c.probe_set_id = :probe_set AND c.model_id = :model AND c.neighbour_model_id = :neighbour
  AND t.correlation >= :min_correlation {filters}
ORDER BY t.correlation DESC, t.unit, t.neighbour
"""
_BELOW = "AND greatest(t.q_value, s.q_value) < :q_value"
_IN_CONCEPTS = """AND EXISTS (
  SELECT 1 FROM concept_members a JOIN concept_members b ON b.concept_id = a.concept_id
  WHERE a.concept_id = ANY(:concepts) AND a.model_id = c.model_id AND a.unit = t.unit
    AND b.model_id = c.neighbour_model_id AND b.unit = t.neighbour)"""


@dataclass(frozen=True)
class MatchedPair:
    """A unit of the generator, and the one of the other model that fires alike; their numbers over the probe set."""

    layer: str
    channel: int
    unit: int
    mean: float
    std: float
    neighbour_layer: str
    neighbour_channel: int
    neighbour: int
    neighbour_mean: float
    neighbour_std: float
    neighbour_minimum: float
    correlation: float
    q_value: float


def matched_pairs(
    conn: sa.Connection,
    generator: sa.Row[Any],
    model: sa.Row[Any],
    probe_set: sa.Row[Any],
    *,
    k: int | None = None,
    q_value: float | None = Q_VALUE,
    min_correlation: float = 0.0,
    layers: Sequence[str] = (),
    model_layers: Sequence[str] = (),
    concepts: Sequence[int] = (),
    limit: int | None = None,
) -> list[MatchedPair]:
    """The pairs of best buddies of a generator and another model, those of the highest r first.

    Args:
        conn: where to look.
        generator: its row.
        model: the other's row.
        probe_set: its row.
        k: each is among the other's k best. None: as many as mining kept, up to 10.
        q_value: every pair is below it in both directions; None: whatever it is.
        min_correlation: the least r.
        layers: globs over the generator's layers; none: all.
        model_layers: globs over the other model's layers; none: all.
        concepts: only pairs that these concepts hold; none: all.
        limit: how many at most; None: all.

    Raises:
        NotFound: when the two were not compared on that probe set; names the mine that would.
        InvalidRequest: when a number is none, or no pair is left.
    """
    _check(k, q_value, min_correlation, limit)
    columns = comparisons.c
    kept: Any = conn.execute(
        sa.select(
            columns.keep,
            sa.literal(generator.name).label("model"),
            sa.literal(model.name).label("neighbour_model"),
            sa.literal(probe_set.name).label("probe_set"),
        ).where(
            columns.probe_set_id == probe_set.id,
            columns.model_id == generator.id,
            columns.neighbour_model_id == model.id,
        )
    ).one_or_none()
    if kept is None:
        raise not_mined(generator.name, model.name, probe_set.name)
    if k is None:
        k = min(MOST_K, kept.keep)
    if k > kept.keep:
        raise fewer_kept("k", k, kept)
    chosen = ((_BELOW, q_value is not None), (_IN_CONCEPTS, bool(concepts)))
    filters = " ".join(part for part, on in chosen if on)
    values: dict[str, Any] = {"probe_set": probe_set.id, "model": generator.id, "neighbour": model.id}
    values |= {"k": k, "min_correlation": min_correlation}
    if q_value is not None:
        values["q_value"] = q_value
    if concepts:
        values["concepts"] = list(concepts)
    rows = conn.execute(sa.text(_PAIRS.format(filters=filters)), values)
    pairs = [MatchedPair(**row._mapping) for row in rows]
    _check_globs(conn, generator, layers)
    _check_globs(conn, model, model_layers)
    pairs = [pair for pair in pairs if _fits(pair.layer, layers) and _fits(pair.neighbour_layer, model_layers)]
    if not pairs:
        raise InvalidRequest(
            f"{generator.name} and {model.name} share no pair of units so chosen on {probe_set.name}: ask for a greater"
            " k or q_value, a smaller least r, or more layers or concepts",
            generator=generator.name,
            model=model.name,
        )
    return pairs[:limit]


def _check(k: int | None, q_value: float | None, min_correlation: float, limit: int | None) -> None:
    if k is not None and k < 1:
        raise InvalidRequest(f"k must be 1 or more, not {k}", k=k)
    if q_value is not None and not 0 < q_value <= 1:
        raise InvalidRequest(f"a q-value lies above 0 and up to 1: {q_value} does not", q_value=str(q_value))
    if not -1 <= min_correlation < 1:
        raise InvalidRequest(f"a least r lies between -1 and 1: {min_correlation} does not")
    if limit is not None and limit < 1:
        raise InvalidRequest(f"a limit of pairs is 1 or more, not {limit}", limit=limit)


def _check_globs(conn: sa.Connection, model: sa.Row[Any], globs: Sequence[str]) -> None:
    """Refuses a glob that no layer of the model fits."""
    if not globs:
        return
    there = list(conn.scalars(sa.text("SELECT name FROM layers WHERE model_id = :id"), {"id": model.id}))
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in there):
            near = names.suggest(glob, there)
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(there[:8])}"
            raise InvalidRequest(f"no layer of {model.name} fits '{glob}': {hint}", layer=glob)


def _fits(layer: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(layer, glob) for glob in globs)
