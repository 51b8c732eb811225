"""Submitting a map: a request becomes a job; what was laid out already is not laid out again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.queries.names import probe_row
from service.settings import Settings

N_NEIGHBORS, MIN_DIST, SEED = 15, 0.1, 0
MOST_NEIGHBORS = 200
MOST_UNASKED = 50_000  # live units: with more, no map is made unless someone asks
DELAY_S = 10.0  # from the end of a mine to the map that nobody asked for
MOST_UNITS = 250_000  # neighbours are sought among all pairs: a GPU takes a minute of it, a CPU half an hour


def submit_map(
    engine: sa.Engine,
    celery: Celery,
    *,
    probe: str,
    n_neighbors: int = N_NEIGHBORS,
    min_dist: float = MIN_DIST,
    seed: int = SEED,
) -> Job:
    """The job that makes a map of a probe set's sketches; the finished one when nothing was mined since.

    Args:
        engine: of the store.
        celery: to ring with.
        probe: the probe set's name.
        n_neighbors: of each unit that are kept near.
        min_dist: how near points may lie, in [0, 1).
        seed: of the layout.

    Raises:
        NotFound: when there is no such probe set.
        InvalidRequest: when a number is none, or there is nothing to lay out, or too much.
    """
    return _submit(engine, partial(jobs.ring, engine, celery), probe, n_neighbors, min_dist, seed)


def submit_map_unasked(engine: sa.Engine, settings: Settings, *, probe: str) -> None:
    """Has the map made that a mine is followed by; none of so many units that it would take minutes.

    A little later: concepts and pictures, which people wait for, go first.
    """
    with engine.connect() as connection:
        units = sum(live for _, _, live in _mined(connection, probe_row(connection, probe).id))
    if 0 < units <= MOST_UNASKED:
        later = partial(jobs.ring_later, engine, delay_s=DELAY_S, settings=settings)
        _submit(engine, later, probe, N_NEIGHBORS, MIN_DIST, SEED)


def _submit(
    engine: sa.Engine, ring: Callable[[int], None], probe: str, n_neighbors: int, min_dist: float, seed: int
) -> Job:
    """The job; `ring` is called with its number unless it is done."""
    _check(n_neighbors, min_dist, seed)
    with engine.connect() as connection:
        probe_set = probe_row(connection, probe)
        mined = _mined(connection, probe_set.id)
    units = sum(live for _, _, live in mined)
    if not units:
        mend = "no unit on it is alive" if mined else f"`rosetta mine --probe {probe}` comes first"
        raise InvalidRequest(f"there is nothing to map on probe set '{probe}' yet: {mend}", probe=probe)
    if units > MOST_UNITS:
        raise InvalidRequest(f"a map has up to {MOST_UNITS:,} units; '{probe}' has {units:,} live ones", units=units)
    parameters: dict[str, Any] = {
        "probe": probe_set.name,
        "n_neighbors": n_neighbors,
        "min_dist": min_dist,
        "seed": seed,
    }
    taken = [[model_id, when] for model_id, when, _ in mined]
    inputs = json.dumps([probe_set.id, taken, n_neighbors, min_dist, seed, ENGINE_VERSION])
    key = f"map {hashlib.sha256(inputs.encode()).hexdigest()}"
    with engine.connect() as connection:
        if done := jobs.finished(connection, key):
            return done
    job_id = jobs.create(engine, "map", key, parameters, [{"images": units}])
    ring(job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _mined(connection: sa.Connection, probe_set_id: int) -> list[tuple[int, str, int]]:
    """The models mined on the probe set: their ids, when each was mined, and how many live units it has."""
    profiles, models = schema.profiles, schema.models
    rows = connection.execute(
        sa.select(profiles.c.model_id, profiles.c.created_at, models.c.units - profiles.c.dead_units)
        .join_from(profiles, models)
        .where(profiles.c.probe_set_id == probe_set_id)
        .order_by(profiles.c.model_id)
    )
    return [(model_id, str(when), live) for model_id, when, live in rows]


def _check(n_neighbors: int, min_dist: float, seed: int) -> None:
    if not 2 <= n_neighbors <= MOST_NEIGHBORS:
        raise InvalidRequest(
            f"n_neighbors lies between 2 and {MOST_NEIGHBORS}: {n_neighbors} does not", n_neighbors=n_neighbors
        )
    if not 0 <= min_dist < 1:
        raise InvalidRequest(f"min_dist lies between 0 and below 1: {min_dist} does not", min_dist=min_dist)
    if not 0 <= seed < 2**31:
        raise InvalidRequest(f"a seed lies between 0 and {2**31 - 1}: {seed} does not", seed=seed)
