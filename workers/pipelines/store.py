"""What a mining part leaves in the store: comparisons with their matches, profiles with statistics and sketches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.database import schema, sketches
from service.database.copy import copy_records
from service.engine_version import ENGINE_VERSION
from workers.mining.exemplars import Exemplars
from workers.mining.miner import Direction, PairResult, Profile
from workers.pipelines.context import Context

_MATCH = np.dtype(
    [
        ("comparison_id", "i4"),
        ("unit", "i4"),
        ("rank", "i2"),
        ("neighbour", "i4"),
        ("correlation", "f4"),
        ("reciprocal_rank", "i2"),
        ("q_value", "f4"),
    ]
)
_UNIT = [("probe_set_id", "i4"), ("model_id", "i4"), ("unit", "i4")]
_STATISTICS = np.dtype([*_UNIT, *((name, "f4") for name in ("mean", "std", "minimum", "maximum")), ("dead", "?")])
_EXEMPLARS = ("images_by_maximum", "i4"), ("maxima", "f4"), ("images_by_mean", "i4"), ("means", "f4")
_SKETCH = np.dtype([*_UNIT, ("sketch", "f2", (schema.SKETCH_DIMENSIONS,))])


def store_part(
    connection: sa.Connection,
    context: Context,
    probe_set_id: int,
    pairs: Mapping[tuple[int, int], PairResult],
    permutations: int,
    profiles: Mapping[int, Profile],
) -> int:
    """Write everything in the connection's transaction, in place of what was there of the same pairs and models.

    Args:
        connection: of `Context.publish`.
        context: of the part.
        probe_set_id: whose.
        pairs: by model ids.
        permutations: of the null.
        profiles: by model id.

    Returns:
        How many matches were written.
    """
    # Jobs that share a pair write it one after the other.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("mine"), probe_set_id)))
    alive = {model: np.flatnonzero(~profile.dead.numpy()) for model, profile in profiles.items()}
    sketches.drop_index_before_load(connection, probe_set_id, sum(map(len, alive.values())))
    for model, profile in profiles.items():
        _store_profile(connection, context, (probe_set_id, model), profile, alive[model])
    written = 0
    for (first, second), result in pairs.items():
        for (model, neighbour), direction in (
            ((first, second), result.forward),
            ((second, first), result.backward),
        ):
            comparison = {
                "probe_set_id": probe_set_id,
                "model_id": model,
                "neighbour_model_id": neighbour,
                "keep": context.parameters["keep"],
                "permutations": permutations,
                "best_buddies": result.best_buddies,
                "significant_best_buddies": result.significant_best_buddies,
                "chance_best_buddies": result.chance_best_buddies,
                "code_version": ENGINE_VERSION,
                "parameters": context.parameters,
                "job_id": context.claim.job_id,
            }
            written += _store_comparison(connection, comparison, direction)
    return written


def _store_comparison(connection: sa.Connection, comparison: dict[str, object], direction: Direction) -> int:
    columns = schema.comparisons.c
    key = ("probe_set_id", "model_id", "neighbour_model_id")
    connection.execute(sa.delete(schema.comparisons).where(*(columns[name] == comparison[name] for name in key)))
    new = sa.insert(schema.comparisons).values(comparison).returning(columns.id)
    records = match_records(connection.execute(new).scalar_one(), direction)
    copy_records(connection, schema.matches, records)
    return len(records)


def match_records(comparison_id: int, direction: Direction) -> npt.NDArray[np.void]:
    """Rows of `matches`, in order of the table's key."""
    index = direction.neighbours.index.numpy()
    units, places = np.nonzero(index >= 0)
    records = np.empty(len(units), dtype=_MATCH)
    records["comparison_id"] = comparison_id
    records["unit"] = units
    records["rank"] = places + 1
    records["neighbour"] = index[units, places]
    records["correlation"] = direction.neighbours.correlation.numpy()[units, places]
    records["reciprocal_rank"] = direction.reciprocal_rank.numpy()[units, places]
    records["q_value"] = direction.q_value.numpy()[units, places]
    return records


def _store_profile(
    connection: sa.Connection, context: Context, key: tuple[int, int], profile: Profile, alive: npt.NDArray[np.intp]
) -> None:
    probe_set_id, model_id = key
    columns = schema.profiles.c
    connection.execute(
        sa.delete(schema.profiles).where(columns.probe_set_id == probe_set_id, columns.model_id == model_id)
    )
    row = {
        "probe_set_id": probe_set_id,
        "model_id": model_id,
        "dead_units": len(profile.dead) - len(alive),
        "code_version": ENGINE_VERSION,
        "job_id": context.claim.job_id,
    }
    connection.execute(sa.insert(schema.profiles).values(row))
    statistics = _records(_STATISTICS, key, np.arange(len(profile.dead)))
    for name in ("mean", "std", "minimum", "maximum", "dead"):
        statistics[name] = getattr(profile, name).numpy()
    copy_records(connection, schema.unit_statistics, statistics)
    if profile.sketches is not None:
        rows = _records(_SKETCH, key, alive)
        rows["sketch"] = profile.sketches.numpy()[alive]
        copy_records(connection, schema.sketches, rows)
    if profile.by_maximum is not None and profile.by_mean is not None:
        _store_exemplars(connection, key, profile.by_maximum, profile.by_mean, alive)


def _store_exemplars(
    connection: sa.Connection,
    key: tuple[int, int],
    by_maximum: Exemplars,
    by_mean: Exemplars,
    alive: npt.NDArray[np.intp],
) -> None:
    """Writes the exemplars of the units that are not dead: of a dead one any image would do."""
    keep = by_maximum.images.shape[1]
    rows = _records(np.dtype([*_UNIT, *((name, kind, (keep,)) for name, kind in _EXEMPLARS)]), key, alive)
    rows["images_by_maximum"], rows["maxima"] = by_maximum.images.numpy()[alive], by_maximum.values.numpy()[alive]
    rows["images_by_mean"], rows["means"] = by_mean.images.numpy()[alive], by_mean.values.numpy()[alive]
    copy_records(connection, schema.exemplars, rows)


def _records(dtype: np.dtype[np.void], key: tuple[int, int], units: npt.NDArray[np.intp]) -> npt.NDArray[np.void]:
    records = np.empty(len(units), dtype=dtype)
    records["probe_set_id"], records["model_id"] = key
    records["unit"] = units
    return records
