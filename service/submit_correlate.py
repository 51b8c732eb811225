"""Submitting a `correlate` job: the candidates that sketches give become a job; what was correlated is not again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import sqlalchemy as sa
from celery import Celery

from rosetta.addresses import UnitReference, parse_address
from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.engine_version import ENGINE_VERSION
from service.queries.approximate import Target

LARGEST_TOP = 100
MOST_CANDIDATES = 1000


def submit_correlate(
    engine: sa.Engine,
    celery: Celery,
    *,
    model: str,
    unit: UnitReference,
    candidates: Sequence[str] | None = None,
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
        candidates: addresses of units; None: those whose sketches are nearest.
        neighbour: then, where to look: a model, a family or a nickname; None: every model with sketches.
        probe: the probe set; None: the one on which the model was last mined.
        top: candidates in each model, where none are given.

    Raises:
        NotFound: when a name is unknown, with the nearest ones; or there are no sketches, with the command.
        InvalidRequest: when the unit or a candidate is dead on that probe set, `top` is out of range, or candidates are
            too many or too few, or come with a place to look.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InvalidRequest(f"top must be between 1 and {LARGEST_TOP}, not {top}", top=top)
    with engine.connect() as connection:
        if candidates is None:
            target = Target.resolve(connection, model, unit, neighbour, probe)
            near = [one for other in target.others for one in target.nearest(connection, other, top)]
        else:
            units = _addresses(candidates, neighbour)
            target = Target.among(connection, model, unit, sorted({name for name, _ in units}), probe)
            near = target.estimates(connection, units)
    found = {one.model_id for one in near}
    parameters = {
        "probe": target.probe_set.name,
        "unit": f"{target.model.name}/{target.unit.layer}:{target.unit.channel}",
        "models": [target.model.name, *(other.name for other in target.others if other.id in found)],
        **({"top": top} if candidates is None else {"candidates": len(near)}),
    }
    asked = [target.model.id, target.unit.number]
    # The candidates, not the question: a model that was sketched since may have given others.
    inputs = json.dumps([target.probe_set.id, asked, sorted(near), ENGINE_VERSION])
    key = f"correlate {hashlib.sha256(inputs.encode()).hexdigest()}"
    with engine.connect() as connection:
        done = jobs.finished(connection, key)
    if done is not None:
        return done
    images = target.probe_set._mapping["count"]  # `.count` is a method of tuples
    payload = {"unit": asked, "candidates": near, "images": images}
    if near:
        job_id = jobs.create(engine, "correlate", key, parameters, [payload])
    else:  # everything there is dead
        job_id = jobs.create(engine, "correlate", key, parameters, [], result={"matches": []})
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _addresses(candidates: Sequence[str], neighbour: str | None) -> list[tuple[str, UnitReference]]:
    """The units that candidates name.

    Raises:
        InvalidRequest: when one is no address, they are too many or too few, or come with a place to look.
    """
    if neighbour is not None:
        raise InvalidRequest("candidates name their models themselves: leave out where to look", neighbour=neighbour)
    if not 1 <= len(candidates) <= MOST_CANDIDATES:
        raise InvalidRequest(f"name 1 to {MOST_CANDIDATES:,} candidates, not {len(candidates):,}")
    return [parse_address(candidate) for candidate in candidates]
