"""Submitting interventions: which units of a generator are changed, how, and who looks on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.interventions import Action
from rosetta.results import Job
from service import jobs
from service.database.schema import comparisons, interventions
from service.engine_version import ENGINE_VERSION
from service.queries.generators import compared_models, mined_probe_set, one_generator
from service.queries.matched_pairs import Q_VALUE, matched_pairs
from service.recipe_checks import check_box, check_seed

LIMIT, LATENTS, CONTROLS = 64, 64, 100
MOST_LIMIT, MOST_LATENTS, MOST_CONTROLS = 512, 4096, 1024
AMOUNTS: dict[Action, float | None] = {"zero": None, "set": 4.0, "boost": 2.0}


def submit_effects(
    engine: sa.Engine,
    celery: Celery,
    *,
    generator: str,
    models: Sequence[str] | None = None,
    probe: str | None = None,
    action: Action = "zero",
    amount: float | None = None,
    box: Sequence[float] | None = None,
    k: int | None = None,
    q_value: float = Q_VALUE,
    limit: int = LIMIT,
    latents: int = LATENTS,
    controls: int = CONTROLS,
    seed: int | None = None,
) -> Job:
    """The job that measures what a generator's matched units cause, a part a model; the finished one if it stands.

    Args:
        engine: of the store.
        celery: to ring with.
        generator: a name, or a nickname that stands for one generator.
        models: who looks on; None: all that were compared with it, and share a pair of units.
        probe: the probe set on which they were; None: the newest of the generator's.
        action: what happens to a unit.
        amount: of `set`, the activation in the unit's deviations; of `boost`, the factor.
        box: x, y, width, height in pixels of the generator's images; None: everywhere.
        k: pairs are each among the other's k best.
        q_value: pairs are below it in both directions.
        limit: the strongest so many pairs of each model.
        latents: images that are changed.
        controls: random other units of each layer, at most.
        seed: of the latents and controls; None: the probe set's + 1, as matches are tested on new images.

    Raises:
        NotFound: when a name is unknown, or nothing was mined, with the mine that would.
        InvalidRequest: when a number is none, no pair of units is left, or the latents are the probe set's own.
    """
    _check(action, amount, q_value, limit, latents, controls)
    with engine.connect() as connection:
        row = one_generator(connection, generator)
        probe_set = mined_probe_set(connection, row, probe)
        chosen = compared_models(connection, row, probe_set, models)
        choice: dict[str, Any] = {"k": k, "q_value": q_value, "limit": limit}
        sharing = _sharing(connection, row, chosen, probe_set, choice, named=models is not None)
        parameters: dict[str, Any] = {
            "generator": row.name,
            "models": [model.name for model in sharing],
            "probe": probe_set.name,
            "action": action,
            "amount": AMOUNTS[action] if amount is None else amount,
            "box": None if box is None else _box(box, row),
            **choice,
            "latents": latents,
            "controls": controls,
            "seed": _seed(seed, probe_set),
        }
        key = f"intervene {_digest(connection, probe_set, row, [model.id for model in sharing], parameters)}"
        if (done := jobs.finished(connection, key)) and _stands(connection, done, len(sharing)):
            return done
    payloads = [{"generator": row.id, "model": model.id, "images": latents} for model in sharing]
    job_id = jobs.create(engine, "intervene", key, parameters, payloads)
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _sharing(
    connection: sa.Connection,
    generator: sa.Row[Any],
    chosen: Sequence[sa.Row[Any]],
    probe_set: sa.Row[Any],
    choice: dict[str, Any],
    *,
    named: bool,
) -> list[sa.Row[Any]]:
    """The models that share a pair of units with the generator; a named one has to, others are passed over."""
    found: list[sa.Row[Any]] = []
    reason: InvalidRequest | None = None
    for model in chosen:
        try:
            matched_pairs(connection, generator, model, probe_set, **choice)
        except InvalidRequest as error:
            if named:
                raise
            reason = reason or error
        else:
            found.append(model)
    if not found:
        raise reason or InvalidRequest(f"no model shares units with {generator.name}")
    return found


def _digest(
    connection: sa.Connection,
    probe_set: sa.Row[Any],
    generator: sa.Row[Any],
    models: Sequence[int],
    parameters: dict[str, Any],
) -> str:
    """What decides the result: a new mine is a new comparison."""
    columns = comparisons.c
    compared = connection.scalars(
        sa.select(columns.id)
        .where(
            columns.probe_set_id == probe_set.id,
            columns.model_id == generator.id,
            columns.neighbour_model_id.in_(models),
        )
        .order_by(columns.id)
    ).all()
    text = json.dumps([probe_set.id, generator.id, list(compared), parameters, ENGINE_VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _stands(connection: sa.Connection, job: Job, parts: int) -> bool:
    """Whether all that the job stored is still there: another box or amount of the same action takes its place."""
    count = sa.select(sa.func.count()).where(interventions.c.job_id == job.id)
    return connection.scalar(count) == parts


def _seed(seed: int | None, probe_set: sa.Row[Any]) -> int:
    if seed is None:
        return 1 if probe_set.seed is None else int((probe_set.seed + 1) % 2**31)
    if seed == probe_set.seed:
        raise InvalidRequest(
            f"seed {seed} draws the images of '{probe_set.name}', on which the matches were found: take another",
            seed=seed,
        )
    return check_seed(seed)


def _check(action: Action, amount: float | None, q_value: float, limit: int, latents: int, controls: int) -> None:
    if action == "zero" and amount is not None:
        raise InvalidRequest("an amount belongs to `set` and `boost`: zero has none", amount=amount)
    if amount is not None and not math.isfinite(amount):
        raise InvalidRequest(f"an amount is a finite number: {amount} is none")
    if action == "boost" and amount == 1:
        raise InvalidRequest("a boost by 1 changes nothing: take another factor", amount=amount)
    for name, value, low, most in (
        ("limit", limit, 1, MOST_LIMIT),
        ("latents", latents, 2, MOST_LATENTS),
        ("controls", controls, 0, MOST_CONTROLS),
    ):
        if not low <= value <= most:
            raise InvalidRequest(f"{name} lies between {low} and {most}: {value} does not", **{name: value})
    if not 0 < q_value <= 1:
        raise InvalidRequest(f"a q-value lies above 0 and up to 1: {q_value} does not", q_value=q_value)


def _box(box: Sequence[float], generator: sa.Row[Any]) -> list[float]:
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise InvalidRequest("a box is four numbers: x, y, width, height in pixels of the generator's images")
    x, y, width, height = (float(number) for number in box)
    latents = generator.details["latents"]
    check_box((x, y, width, height), (latents["width"], latents["height"]))
    return [x, y, width, height]
