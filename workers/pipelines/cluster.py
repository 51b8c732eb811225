"""The job `cluster`: finds the concepts of a probe set among the significant best buddies, as a new version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.database import schema
from service.database.copy import copy_records
from service.engine_version import ENGINE_VERSION
from service.queries.labels import carry_over
from workers.mining.concepts import SEEDS, Concepts, find_concepts
from workers.pipelines.context import Context
from workers.pipelines.inputs import probe_row

# Best buddies once a pair, with the greater q of both directions. NaN is greater than any number.
_EDGES = """
SELECT c.model_id, t.unit, c.neighbour_model_id, t.neighbour, t.correlation, greatest(t.q_value, s.q_value)
FROM comparisons c
JOIN comparisons d ON d.probe_set_id = c.probe_set_id
  AND d.model_id = c.neighbour_model_id AND d.neighbour_model_id = c.model_id
JOIN matches t ON t.comparison_id = c.id AND t.rank <= :k AND t.reciprocal_rank <= :k
JOIN matches s ON s.comparison_id = d.id AND s.unit = t.neighbour AND s.rank = t.reciprocal_rank
WHERE c.probe_set_id = :probe_set AND c.model_id < c.neighbour_model_id
  AND greatest(t.q_value, s.q_value) < :q_value
ORDER BY 1, 2, 3
"""
_EDGE = np.dtype([("model", "i8"), ("unit", "i8"), ("other", "i8"), ("neighbour", "i8"), ("r", "f8"), ("q", "f8")])
_MEMBER = np.dtype([("concept_id", "i4"), ("model_id", "i4"), ("unit", "i4"), ("strength", "f4")])


def run(context: Context) -> None:
    """Finds the concepts of the probe set that the job's parameters name.

    Raises:
        NotFound: when the probe set was removed meanwhile.
    """
    wanted = context.parameters
    context.report(0, 1, "reading best buddies")
    with context.engine.connect() as connection:
        probe_set = probe_row(connection, wanted["probe"])
        chosen = {"probe_set": probe_set.id, "q_value": wanted["q_value"], "k": wanted.get("k", 1)}
        found = connection.execute(sa.text(_EDGES), chosen)
        edges = np.fromiter(map(tuple, found), _EDGE)
    ends = np.empty(2 * len(edges), [("model", "i8"), ("unit", "i8")])
    ends["model"] = np.concatenate([edges["model"], edges["other"]])
    ends["unit"] = np.concatenate([edges["unit"], edges["neighbour"]])
    units, places = np.unique(ends, return_inverse=True)
    context.report(0, 1, f"communities of {len(edges):,} pairs of best buddies")
    first, second = places[: len(edges)], places[len(edges) :]
    concepts = find_concepts(
        first, second, edges["r"], units["model"], seed=wanted["seed"], resolution=wanted["resolution"]
    )
    context.report(1, 1, "storing the concepts")
    outcome: dict[str, Any] = {"concepts": len(concepts.models), "pairs": len(edges)}
    with context.publish(outcome) as connection:
        version = _store_version(connection, context, probe_set.id, len(edges))
        outcome["version"] = version.version
        ids = _store_concepts(connection, version.id, concepts, _weakest(edges["q"], first, second, concepts))
        inside = np.flatnonzero(concepts.concept >= 0)
        members = np.empty(len(inside), _MEMBER)
        members["concept_id"] = ids[concepts.concept[inside]]
        members["model_id"], members["unit"] = units["model"][inside], units["unit"][inside]
        members["strength"] = concepts.strength[inside]
        copy_records(connection, schema.concept_members, np.sort(members, order=["concept_id", "model_id", "unit"]))
        outcome["labels"] = carry_over(connection, version.id)


def _weakest(
    q: npt.NDArray[np.float64], first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], concepts: Concepts
) -> npt.NDArray[np.float64]:
    """The greatest q among the pairs inside each concept: float64 [C]."""
    inside = (concepts.concept[first] == concepts.concept[second]) & (concepts.concept[first] >= 0)
    weakest = np.zeros(len(concepts.models))
    np.maximum.at(weakest, concepts.concept[first][inside], q[inside])
    return weakest


def _store_version(connection: sa.Connection, context: Context, probe_set_id: int, pairs: int) -> sa.Row[Any]:
    # Versions of a probe set are numbered one after the other.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("cluster"), probe_set_id)))
    versions = schema.concept_versions
    newest = sa.select(sa.func.coalesce(sa.func.max(versions.c.version), 0)).where(
        versions.c.probe_set_id == probe_set_id
    )
    wanted = context.parameters
    new = sa.insert(versions).values(
        probe_set_id=probe_set_id,
        version=newest.scalar_subquery() + 1,
        resolution=wanted["resolution"],
        q_value=wanted["q_value"],
        k=wanted.get("k", 1),  # a job of before there was a choice
        seed=wanted["seed"],
        stability_seeds=SEEDS,
        pairs=pairs,
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
    )
    return connection.execute(new.returning(versions.c.id, versions.c.version)).one()


def _store_concepts(
    connection: sa.Connection, version_id: int, concepts: Concepts, weakest: Iterable[float]
) -> npt.NDArray[np.int64]:
    """Writes the concepts in their order; their ids."""
    sizes = np.bincount(concepts.concept[concepts.concept >= 0], minlength=len(concepts.models))
    columns = (concepts.models, sizes, concepts.cohesion, concepts.stability, weakest)
    rows = [
        {
            "version_id": version_id,
            "number": number,
            "models": int(models),
            "units": int(units),
            "cohesion": float(cohesion),
            "stability": float(stability),
            "q_value": float(q_value),
        }
        for number, (models, units, cohesion, stability, q_value) in enumerate(zip(*columns, strict=True))
    ]
    if not rows:
        return np.empty(0, np.int64)
    new = sa.insert(schema.concepts).returning(schema.concepts.c.id, sort_by_parameter_order=True)
    return np.fromiter(connection.execute(new, rows).scalars(), np.int64, len(rows))
