"""Submitting a `register` job: a request becomes a job, or an error at once."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from celery import Celery

from rosetta.addresses import check_model_name
from rosetta.errors import Conflict, InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database import schema
from service.settings import Settings
from service.sources import resolve


def submit_register(
    engine: sa.Engine,
    celery: Celery,
    settings: Settings,
    *,
    name: str,
    source: str,
    weights: str | None = None,
    layers: Sequence[str] | None = None,
    family: str | None = None,
    aliases: Sequence[str] = (),
) -> Job:
    """The job that loads a network and stores its layers and units.

    Args:
        engine: of the store.
        celery: to ring with.
        settings: where weights may lie.
        name: a slash-free slug that no model has.
        source: a source URI.
        weights: a file in a weights folder that overrides the source's own.
        layers: globs over module paths; None: the source's choice.
        family: None: the source's.
        aliases: more nicknames than the source's.

    Raises:
        InvalidRequest: when the name, the source or a file cannot be.
        Conflict: when the name is taken.
    """
    check_model_name(name)
    resolve(settings, source, weights)
    parameters = {
        "name": name,
        "source": source,
        "weights": weights,
        "layers": list(layers) if layers else None,
        "family": family.strip().lower() or None if family else None,
        "aliases": sorted({alias.strip().lower() for alias in aliases} - {""}),
    }
    if "\\u0000" in json.dumps(parameters):
        raise InvalidRequest("a NUL character is part of no name, source or layer", name=name)
    with engine.connect() as connection:
        if connection.scalar(sa.select(schema.models.c.id).where(schema.models.c.name == name)) is not None:
            raise name_taken(name)
    job_id = jobs.create(engine, "register", f"register {name}", parameters, [{"images": 1}])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        job = jobs.get(connection, job_id)
    if job.parameters != parameters:
        raise Conflict(f"job {job_id} is registering another model as '{name}' right now", name=name, job=job_id)
    return job


def name_taken(name: str) -> Conflict:
    """The error that a model of that name exists."""
    return Conflict(
        f"there is a model '{name}' already: choose another name, or `rosetta models remove {name}` first",
        name=name,
    )
