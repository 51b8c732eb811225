"""A map on paper: points of live units in the database, as the job `map` stores them."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from service.database import schema
from service.database.copy import copy_records
from tests.integration.api import zoo

POINT = np.dtype([("map_id", "i4"), ("model_id", "i4"), ("unit", "i4"), ("x", "f4"), ("y", "f4")])


def add_map(conn: sa.Connection, probe: str, version: int = 1, seed: int = 0) -> int:
    """The id of a map of all live units of a probe set: the first at (-9, 9), the tenth at (3, 4), others anywhere."""
    statistics = schema.unit_statistics.c
    probe_set = conn.scalar(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == probe))
    live = conn.execute(
        sa.select(statistics.model_id, statistics.unit)
        .where(statistics.probe_set_id == probe_set, ~statistics.dead)
        .order_by(statistics.model_id, statistics.unit)
    ).all()
    points = np.zeros(len(live), POINT)
    points["model_id"], points["unit"] = np.array(live).T
    points["x"], points["y"] = np.random.default_rng(seed).uniform(-8, 8, (2, len(live)))
    points["x"][0], points["y"][0] = -9, 9
    points["x"][9:10], points["y"][9:10] = 3, 4  # beneath no button of the page
    numbers = {"version": version, "units": len(live), "n_neighbors": 15, "min_dist": 0.1, "seed": seed}
    map_id = zoo.insert(conn, schema.unit_maps, probe_set_id=probe_set, code_version="1", **numbers)
    points["map_id"] = map_id
    copy_records(conn, schema.unit_map_points, points)
    return map_id
