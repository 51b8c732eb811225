"""Submitting a search for concepts: a request becomes a job; what was found already is not looked for again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.queries.names import probe_row

RESOLUTION, Q_VALUE, K, SEED = 0.2, 0.05, 3, 0


def submit_cluster(
    engine: sa.Engine,
    celery: Celery,
    *,
    probe: str,
    resolution: float = RESOLUTION,
    q_value: float = Q_VALUE,
    k: int | None = None,
    seed: int = SEED,
) -> Job:
    """The job that finds the concepts of a probe set; the finished one when nothing was mined since.

    Args:
        engine: of the store.
        celery: to ring with.
        probe: the probe set's name.
        resolution: the least mean r inside a concept, in (0, 1).
        q_value: only pairs of best buddies below it count.
        k: best buddies are each among the other's k best. None: 3, or as many as mining kept.
        seed: of the communities.

    Raises:
        NotFound: when there is no such probe set.
        InvalidRequest: when a number is none, or nothing was mined on the probe set.
    """
    if not 0 < resolution < 1:
        raise InvalidRequest(f"a resolution lies between 0 and 1: {resolution} does not", resolution=resolution)
    if not 0 < q_value <= 1:
        raise InvalidRequest(f"a q-value lies above 0 and up to 1: {q_value} does not", q_value=q_value)
    if not 0 <= seed < 2**31:
        raise InvalidRequest(f"a seed lies between 0 and {2**31 - 1}: {seed} does not", seed=seed)
    with engine.connect() as connection:
        probe_set = probe_row(connection, probe)
        columns = schema.comparisons.c
        compared = connection.execute(
            sa.select(columns.id, columns.keep).where(columns.probe_set_id == probe_set.id).order_by(columns.id)
        ).all()
    if not compared:
        raise InvalidRequest(
            f"nothing is mined on probe set '{probe}' yet: `rosetta mine --probe {probe}` comes first", probe=probe
        )
    kept = min(row.keep for row in compared)
    if k is not None and not 1 <= k <= kept:
        raise InvalidRequest(f"k lies between 1 and {kept}, the matches that mining kept: {k} does not", k=k)
    parameters: dict[str, Any] = {
        "probe": probe_set.name,
        "resolution": resolution,
        "q_value": q_value,
        "k": k or min(K, kept),
        "seed": seed,
    }
    inputs = json.dumps([probe_set.id, [row.id for row in compared], parameters, ENGINE_VERSION])
    key = f"cluster {hashlib.sha256(inputs.encode()).hexdigest()}"
    with engine.connect() as connection:
        if done := jobs.finished(connection, key):
            return done
    job_id = jobs.create(engine, "cluster", key, parameters, [{}])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
