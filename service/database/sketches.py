"""Sketches: units as vectors whose cosine approximates Pearson r. The only file that knows pgvector's operators.

One partition holds the sketches of one probe set, for those of two are never compared. Its HNSW index is built
after a load, not row by row: 100,000 rows take a fraction of the time that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy as sa
from pgvector import HalfVector

from rosetta.errors import InvalidRequest, NotFound
from service.database.schema import SKETCH_DIMENSIONS, sketches

# HNSW: links a node, and how many candidates it weighs while building and while searching. Weak matches lie near
# the noise floor of 1/sqrt(512); a planted neighbour of cosine 0.71 was found 84 times in 100 at 40, always at 200.
_LINKS = 16
_BUILD_CANDIDATES = 64
_SEARCH_CANDIDATES = 200
_MOST_CANDIDATES = 1000  # pgvector's own limit

_BYTES_A_NODE = 2 * SKETCH_DIMENSIONS + 512  # the vector, its links, and some slack
_LEAST_MEMORY, _MOST_MEMORY = 64 << 20, 1 << 30


class Neighbour(NamedTuple):
    """A unit and how near it is: `similarity` is the cosine, in [-1, 1], higher is closer."""

    model_id: int
    unit: int
    similarity: float


def ensure_partition(connection: sa.Connection, probe_set_id: int) -> None:
    """Makes the partition of the probe set's sketches unless it stands; safe under concurrency.

    The lock that this takes on `profiles`, when the partition is new, lasts until the transaction ends: commit soon.
    """
    name = _partition(probe_set_id)
    if _exists(connection, name):
        return
    _lock(connection, probe_set_id)
    if _exists(connection, name):
        return
    # Attached, for CREATE TABLE ... PARTITION OF would lock out the readers of all other partitions.
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE sketches INCLUDING ALL)")
    connection.exec_driver_sql(f"ALTER TABLE sketches ATTACH PARTITION {name} FOR VALUES IN ({int(probe_set_id)})")


def drop_partition(connection: sa.Connection, probe_set_id: int) -> None:
    """Removes the probe set's sketches and their partition; nothing when there is none."""
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_partition(probe_set_id)}")


def drop_index_before_load(connection: sa.Connection, probe_set_id: int, new_rows: int) -> bool:
    """Drops the HNSW index when inserting `new_rows` into it would take longer than building it anew.

    Call it before the transaction's first write to the sketches, with all rows to come; `build_index` follows the
    commit. Until then questions scan, which is exact and slower.

    Returns:
        Whether there is no index now.
    """
    name, index = _partition(probe_set_id), _index(probe_set_id)
    if not _exists(connection, index):
        return True
    enough = new_rows * 8
    existing = connection.exec_driver_sql(
        f"SELECT count(*) FROM (SELECT FROM {name} LIMIT {int(enough)}) AS counted"  # noqa: S608 - integers
    ).scalar_one()
    if existing >= enough:
        return False
    connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index}")
    return True


def build_index(engine: sa.Engine, probe_set_id: int) -> None:
    """Builds the HNSW index of the probe set's sketches unless it stands, and refreshes the planner's statistics.

    Call it after the load has committed: it waits for transactions that write to the partition, and they for it.
    """
    try:
        _build(engine, probe_set_id, parallel=True)
    except sa.exc.OperationalError as error:
        # Containers come with 64 MiB of shared memory, and parallel workers build in it.
        if not isinstance(error.orig, psycopg.errors.DiskFull):
            raise
        _build(engine, probe_set_id, parallel=False)


def nearest(
    connection: sa.Connection,
    probe_set_id: int,
    query: npt.NDArray[np.floating[Any]] | tuple[int, int],
    *,
    model_ids: Sequence[int] | None = None,
    top: int = 10,
) -> list[Neighbour]:
    """The units whose sketches are nearest to the query, nearest first.

    Args:
        connection: for the rest of its transaction, HNSW searches weigh more candidates.
        probe_set_id: where the sketches were taken.
        query: a sketch [D], or a unit as (model id, number): then units of other models, unless its own is named.
        model_ids: only these models, by an exact scan. None: all, by the HNSW index, which may miss a few.
        top: how many.

    Raises:
        NotFound: when the unit has no sketch.
        InvalidRequest: when the sketch has another shape.
    """
    distance = sketches.c.sketch.cosine_distance(_vector(connection, probe_set_id, query))
    found = sa.select(sketches.c.model_id, sketches.c.unit, (1 - distance).label("similarity"))
    found = found.where(_of(probe_set_id)).limit(top)
    if model_ids is not None:
        # Ordered by similarity, not by distance: no index fits, so the planner cannot but scan the models.
        found = found.where(sketches.c.model_id.in_(model_ids))
        found = found.order_by(sa.desc("similarity"), sketches.c.model_id, sketches.c.unit)
        if isinstance(query, tuple):
            found = found.where(~_is_unit(*query))
    else:
        _search_widely(connection, top)
        found = found.order_by(distance)
        if isinstance(query, tuple):
            found = found.where(sketches.c.model_id != query[0])
    return [Neighbour(*row) for row in connection.execute(found)]


def similarities(
    connection: sa.Connection, probe_set_id: int, unit: tuple[int, int], others: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], float]:
    """The cosine of a unit's sketch with those of others, as (model id, number); those without one are left out.

    Raises:
        NotFound: when the unit has no sketch.
    """
    distance = sketches.c.sketch.cosine_distance(_vector(connection, probe_set_id, unit))
    key = sketches.c.model_id, sketches.c.unit
    found = sa.select(*key, 1 - distance).where(_of(probe_set_id), sa.tuple_(*key).in_(others))
    return {(model, number): similarity for model, number, similarity in connection.execute(found)}


def _vector(
    connection: sa.Connection, probe_set_id: int, query: npt.NDArray[np.floating[Any]] | tuple[int, int]
) -> HalfVector | list[float]:
    if isinstance(query, tuple):
        of_unit = sa.select(sketches.c.sketch).where(_of(probe_set_id), _is_unit(*query))
        stored: HalfVector | list[float] | None = connection.scalar(of_unit)
        if stored is None:
            raise NotFound("the unit has no sketch: it is dead on this probe set, or its model was not mined on it")
        return stored
    if query.shape != (SKETCH_DIMENSIONS,):
        raise InvalidRequest(f"a sketch has shape [{SKETCH_DIMENSIONS}], got {list(query.shape)}")
    return HalfVector(query)


def _of(probe_set_id: int) -> sa.ColumnElement[bool]:
    # Written into the statement, so that the planner sees one partition, whatever their number.
    return sketches.c.probe_set_id == sa.bindparam("probe_set", probe_set_id, sa.Integer, literal_execute=True)


def _is_unit(model_id: int, unit: int) -> sa.ColumnElement[bool]:
    return (sketches.c.model_id == model_id) & (sketches.c.unit == unit)


def _search_widely(connection: sa.Connection, top: int) -> None:
    candidates = min(max(_SEARCH_CANDIDATES, 2 * top), _MOST_CANDIDATES)
    connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {candidates}")
    connection.exec_driver_sql("SET LOCAL hnsw.iterative_scan = strict_order")  # goes on where a filter leaves few


def _build(engine: sa.Engine, probe_set_id: int, *, parallel: bool) -> None:
    name = _partition(probe_set_id)
    with engine.begin() as connection:
        _lock(connection, probe_set_id)
        if not _exists(connection, name):
            return
        if not _exists(connection, _index(probe_set_id)):
            rows = connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one()  # noqa: S608
            memory = min(max(rows * _BYTES_A_NODE, _LEAST_MEMORY), _MOST_MEMORY)
            connection.exec_driver_sql(f"SET LOCAL maintenance_work_mem = '{memory >> 10}kB'")
            if not parallel:
                connection.exec_driver_sql("SET LOCAL max_parallel_maintenance_workers = 0")
            connection.exec_driver_sql(
                f"CREATE INDEX {_index(probe_set_id)} ON {name} USING hnsw (sketch halfvec_cosine_ops) "
                f"WITH (m = {_LINKS}, ef_construction = {_BUILD_CANDIDATES})"
            )
        connection.exec_driver_sql(f"ANALYZE {name}")


def _partition(probe_set_id: int) -> str:
    return f"sketches_p{int(probe_set_id)}"


def _index(probe_set_id: int) -> str:
    return f"sketches_p{int(probe_set_id)}_hnsw"


def _exists(connection: sa.Connection, relation: str) -> bool:
    # Not to_regclass: it may answer from a cache that has not heard of what others just made.
    visible = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = :name AND pg_table_is_visible(oid))"
    return bool(connection.scalar(sa.text(visible), {"name": relation}))


def _lock(connection: sa.Connection, probe_set_id: int) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("sketches"), probe_set_id)))
