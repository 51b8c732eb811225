"""Submitting a look into a source: a request becomes a job, or an error at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.settings import Settings
from service.sources import resolve


def submit_inspect(
    engine: sa.Engine,
    celery: Celery,
    settings: Settings,
    *,
    source: str,
    weights: str | None = None,
    layers: Sequence[str] | None = None,
) -> Job:
    """The job that says what every module of a network gives; an unfinished one of the same request where there is one.

    Args:
        engine: of the store.
        celery: to ring with.
        settings: where weights may lie.
        source: a source URI.
        weights: a file in a weights folder that overrides the source's own.
        layers: globs over module paths; None: the source's choice.

    Raises:
        InvalidRequest: when the source or a file cannot be.
    """
    resolve(settings, source, weights)
    parameters = {"source": source, "weights": weights, "layers": list(layers) if layers else None}
    request = json.dumps(parameters, sort_keys=True)
    if "\\u0000" in request:
        raise InvalidRequest("a NUL character is part of no source, file or layer")
    key = f"inspect {hashlib.sha256(request.encode()).hexdigest()}"
    job_id = jobs.create(engine, "inspect", key, parameters, [{"images": 1}])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
