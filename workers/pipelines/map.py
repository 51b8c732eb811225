"""The job `map`: lays out the live units of a probe set in two dimensions, as a new version."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import sqlalchemy as sa

from rosetta.errors import NotFound
from service.database import schema
from service.database.copy import copy_records, read_records
from service.engine_version import ENGINE_VERSION
from workers.mining.embedding import embed
from workers.pipelines.context import Context
from workers.pipelines.inputs import probe_row
from workers.pipelines.passes import device_of

_UNIT = [("model_id", "i4"), ("unit", "i4")]
_SKETCH = np.dtype([*_UNIT, ("sketch", "f2", (schema.SKETCH_DIMENSIONS,))])
_POINT = np.dtype([("map_id", "i4"), *_UNIT, ("x", "f4"), ("y", "f4")])


def run(context: Context) -> None:
    """Makes a map of the probe set that the job's parameters name.

    Raises:
        NotFound: when the probe set, or all that was mined on it, was removed meanwhile.
    """
    wanted = context.parameters
    # Where numba keeps what it compiled; beside the packages it may not write. Read when it is imported.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(context.settings.data_dir / "numba"))
    context.report(0, 1, "reading the sketches")
    with context.engine.connect() as connection:
        probe_set = probe_row(connection, wanted["probe"])
        rows = read_records(connection, schema.sketches, _SKETCH, schema.sketches.c.probe_set_id == probe_set.id)
    if not len(rows):
        raise NotFound(f"nothing is mined on probe set '{probe_set.name}' any more", probe=probe_set.name)

    def tell(done: int) -> None:
        note = "finding neighbours" if done < len(rows) else "laying out the units"
        context.report(done, 2 * len(rows), note)

    places = embed(
        rows["sketch"],
        n_neighbors=wanted["n_neighbors"],
        min_dist=wanted["min_dist"],
        seed=wanted["seed"],
        device=device_of(context.settings.device),
        tell=tell,
    )
    context.report(2 * len(rows), 2 * len(rows), "storing the map")
    points = np.empty(len(rows), _POINT)
    points["model_id"], points["unit"] = rows["model_id"], rows["unit"]
    points["x"], points["y"] = places.T
    outcome: dict[str, Any] = {"units": len(points)}
    with context.publish(outcome) as connection:
        version = _store_version(connection, context, probe_set.id, len(points))
        outcome["map"], outcome["version"] = version.id, version.version
        points["map_id"] = version.id
        copy_records(connection, schema.unit_map_points, points)


def _store_version(connection: sa.Connection, context: Context, probe_set_id: int, units: int) -> sa.Row[Any]:
    # Versions of a probe set are numbered one after the other.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("map"), probe_set_id)))
    maps = schema.unit_maps
    newest = sa.select(sa.func.coalesce(sa.func.max(maps.c.version), 0)).where(maps.c.probe_set_id == probe_set_id)
    wanted = context.parameters
    new = sa.insert(maps).values(
        probe_set_id=probe_set_id,
        version=newest.scalar_subquery() + 1,
        units=units,
        n_neighbors=wanted["n_neighbors"],
        min_dist=wanted["min_dist"],
        seed=wanted["seed"],
        code_version=ENGINE_VERSION,
        job_id=context.claim.job_id,
    )
    return connection.execute(new.returning(maps.c.id, maps.c.version)).one()
