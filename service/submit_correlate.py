"""Submitting a `correlate` job: the candidates that sketches give become a job; what was correlated is not again."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from celery import Celery

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.engine_version import ENGINE_VERSION
from service.queries.approximate import Target

LARGEST_TOP = 100


def submit_correlate(
    engine: sa.Engine,
    celery: Celery,
    *,
    model: str,
    unit: UnitReference,
    neighbour: str | None = None,
    probe: str | None = None,
    top: int = 10,
) -> Job:
    """The job that correlates a unit with its candidates exactly; the finished one when that was done before.

    Args:
        engine: of the store.
        celery: to ring with.
        model: the unit's model.
        unit: the unit.
        neighbour: where to look: a model, a family or a nickname; None: every model with sketches.
        probe: the probe set; None: the one on which the model was last mined.
        top: candidates in each model.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or there are no sketches, with the command.
        InvalidRequest: when the unit is dead on that probe set, or `top` is out of range.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
    with engine.connect() as connection:
        target = Target.resolve(connection, model, unit, neighbour, probe)
        candidates = [
            [near.model_id, near.unit, near.similarity]
            for other in target.others
            for near in target.nearest(connection, other, top)
        ]
    found = {model_id for model_id, _, _ in candidates}
    parameters = {
        "probe": target.probe_set.name,
        "unit": f"{target.model.name}/{target.unit.layer}:{target.unit.channel}",
        "models": [target.model.name, *(other.name for other in target.others if other.id in found)],
        "top": top,
    }
    asked = [target.model.id, target.unit.number]
    # The candidates, not the question: a model that was sketched since may have given others.
    inputs = json.dumps([target.probe_set.id, asked, candidates, ENGINE_VERSION])
    key = f"correlate {hashlib.sha256(inputs.encode()).hexdigest()}"
    with engine.connect() as connection:
        done = jobs.finished(connection, key)
    if done is not None:
        return done
    images = target.probe_set._mapping["count"]  # `.count` is a method of tuples
    payload = {"unit": asked, "candidates": candidates, "images": images}
    if candidates:
        job_id = jobs.create(engine, "correlate", key, parameters, [payload])
    else:  # everything there is dead
        job_id = jobs.create(engine, "correlate", key, parameters, [], result={"matches": []})
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
