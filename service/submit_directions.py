"""Submitting a search for directions of a generator's latents, and walks along them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest, NotFound
from rosetta.results import Job
from service import jobs
from service.database.schema import directions, layers, models, profiles
from service.engine_version import ENGINE_VERSION
from service.queries import names, translations
from service.queries.directions import directions_row
from service.queries.generators import compared_models, mined_probe_set, one_generator
from service.recipe_checks import check_seed

AXES, LATENTS, CONTROLS = 10, 16, 64
MOST_AXES, MOST_LATENTS, MOST_CONTROLS, MOST_SAMPLES = 64, 1024, 512, 1_000_000
_SAMPLES, _PER_DIMENSION = 2000, 10  # at least; and for each number of a latent
SIGMA, STEPS = 2.0, 9
MOST_SIGMA, MOST_STEPS = 10.0, 33
_KEY_DIGITS = 32


def submit_directions(
    engine: sa.Engine,
    celery: Celery,
    *,
    generator: str,
    layer: str | None = None,
    models: Sequence[str] | None = None,
    probe: str | None = None,
    axes: int = AXES,
    samples: int | None = None,
    latents: int = LATENTS,
    controls: int = CONTROLS,
    class_index: int | None = None,
    seed: int = 0,
) -> Job:
    """The job that finds directions and what moves along them; the finished one while what it found is there.

    Args:
        engine: of the store.
        celery: to ring with.
        generator: a name, or a nickname that stands for one generator.
        layer: whose activations are to change most; None: w of a generator with styles, else its first layer.
        models: whose units are watched beside the generator's own; None: all that were compared with it.
        probe: the probe set whose statistics and concepts tell what moves; None: the generator's newest, or none.
        axes: how many directions.
        samples: to find them from; None: ten for each number of a latent, at least 2,000.
        latents: from where the movements are measured.
        controls: random directions beside them.
        class_index: of all samples; None: of a generator with classes, each draws its own.
        seed: of all draws.

    Raises:
        NotFound: when a name is unknown.
        InvalidRequest: when a number is none, or the generator has no such layer or class.
    """
    with engine.connect() as connection:
        row = one_generator(connection, generator)
        space = row.details["latents"]
        dimensions = (space.get("styles") or (0, space["dimensions"]))[1] if layer is None else space["dimensions"]
        least = dimensions + 1
        samples = max(_SAMPLES, _PER_DIMENSION * dimensions) if samples is None else samples
        for name, value, low, most in (
            ("axes", axes, 1, MOST_AXES),
            ("samples", samples, least, MOST_SAMPLES),
            ("latents", latents, 1, MOST_LATENTS),
            ("controls", controls, 2, MOST_CONTROLS),
        ):
            if not low <= value <= most:
                raise InvalidRequest(f"{name} lies between {low:,} and {most:,}: {value} does not", **{name: value})
        if class_index is not None and not 0 <= class_index < (space.get("classes") or 0):
            raise InvalidRequest(f"{row.name} has no class {class_index}", class_index=class_index)
        if layer is not None:
            _check_layer(connection, row, layer)
        probe_set, watched = _watched(connection, row, probe, models)
    parameters = {
        "generator": row.name,
        "models": [model.name for model in watched],
        "probe": probe_set.name if probe_set is not None else None,
        "layer": layer,
        "axes": axes,
        "samples": samples,
        "latents": latents,
        "controls": controls,
        "class_index": class_index,
        "seed": check_seed(seed),
    }
    mined = _mined(engine, probe_set, [row.id, *(model.id for model in watched)])
    text = json.dumps([row.id, row.weights_digest, mined, parameters, ENGINE_VERSION], sort_keys=True)
    key = f"directions {hashlib.sha256(text.encode()).hexdigest()}"
    with engine.connect() as connection:
        done = jobs.finished(connection, key)
        if done and connection.scalar(sa.select(directions.c.id).where(directions.c.job_id == done.id)) is not None:
            return done
    passes = samples + 2 * latents * (axes + controls)
    payload = {"generator": row.id, "models": [model.id for model in watched], "images": passes}
    job_id = jobs.create(engine, "directions", key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _watched(
    connection: sa.Connection, generator: sa.Row[Any], probe: str | None, mentions: Sequence[str] | None
) -> tuple[sa.Row[Any] | None, list[sa.Row[Any]]]:
    """The probe set whose statistics say what moves, and the models beside the generator that were mined there."""
    try:
        probe_set = mined_probe_set(connection, generator, probe)
        return probe_set, compared_models(connection, generator, probe_set, mentions)
    except NotFound:
        if probe is not None or mentions is not None:
            raise
        return None, []  # it was never mined: directions can be found all the same


def _check_layer(connection: sa.Connection, generator: sa.Row[Any], layer: str) -> None:
    known = list(
        connection.scalars(
            sa.select(layers.c.name).where(layers.c.model_id == generator.id).order_by(layers.c.position)
        )
    )
    if layer not in known:
        raise names.not_found("layer", layer, known, f"register {generator.name} with it")


def _mined(engine: sa.Engine, probe_set: sa.Row[Any] | None, ids: Sequence[int]) -> list[str]:
    """When the models were mined on the probe set: their statistics are what movements are measured in."""
    if probe_set is None:
        return []
    wanted = sa.select(profiles.c.created_at).where(
        profiles.c.probe_set_id == probe_set.id, profiles.c.model_id.in_(ids)
    )
    with engine.connect() as connection:
        return sorted(map(str, connection.scalars(wanted)))


@dataclass(frozen=True)
class Walk:
    """Places along an axis, from where, and the name of the picture of them.

    Attributes:
        key: the same for the same picture.
        parameters: of the job.
        payload: of the job.
    """

    key: str
    parameters: dict[str, Any]
    payload: dict[str, Any]


def walk_along(
    connection: sa.Connection,
    directions_id: int,
    *,
    axis: int = 0,
    low: float = -SIGMA,
    high: float = SIGMA,
    steps: int = STEPS,
    seed: int = 0,
    translation: int | None = None,
    position: int = 0,
) -> Walk:
    """What a walk asks for.

    Args:
        connection: where to look names up.
        directions_id: number of the directions.
        axis: which of them.
        low: where it begins, in deviations.
        high: where it ends.
        steps: images of it.
        seed: of the image that it leads through; or
        translation: whose image that is.
        position: its place there.

    Raises:
        NotFound: when there are no such directions, axis, translation or image.
        InvalidRequest: when a number is none, or the translation's latents are of another space or generator.
    """
    row = directions_row(connection, directions_id)
    if not 0 <= axis < len(row.shares):
        raise NotFound(f"directions {directions_id} have axes 0 to {len(row.shares) - 1}, not {axis}", axis=axis)
    if not -MOST_SIGMA <= low < high <= MOST_SIGMA:
        raise InvalidRequest(
            f"a walk goes from one number of deviations to a greater one, within {MOST_SIGMA:g}: write it like -2..2"
        )
    if not 2 <= steps <= MOST_STEPS:
        raise InvalidRequest(f"a walk has 2 to {MOST_STEPS} steps, not {steps}", steps=steps)
    generator = connection.execute(sa.select(models).where(models.c.id == row.generator_id)).one()
    start: dict[str, Any] = {"seed": check_seed(seed)}
    if translation is not None:
        start = {"translation": translation, "position": position}
        _check_start(connection, generator, row.space, translation, position)
    sigmas = [low + (high - low) * step / (steps - 1) for step in range(steps)]
    asked = [hashlib.sha256(row.steps).hexdigest(), generator.weights_digest, axis, sigmas, row.class_index, start]
    key = hashlib.sha256(json.dumps([*asked, ENGINE_VERSION], sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]
    parameters = {"generator": generator.name, "directions": directions_id, "axis": axis, **start}
    payload = {"directions": directions_id, "axis": axis, "sigmas": sigmas, "start": start, "key": key, "images": steps}
    return Walk(key, parameters, payload)


def submit_walk(engine: sa.Engine, celery: Celery, walk: Walk) -> Job:
    """The job that makes the picture of a walk; an unfinished one that does, if there is one."""
    job_id = jobs.create(engine, "walk", f"walk {walk.key}", walk.parameters, [walk.payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _check_start(
    connection: sa.Connection, generator: sa.Row[Any], space: str, translation: int, position: int
) -> None:
    made = translations.get_translation(connection, translation)
    if made.generator != generator.name:
        raise InvalidRequest(f"translation {translation} is of {made.generator}, and these are of {generator.name}")
    if not 0 <= position < made.images:
        raise NotFound(f"translation {translation} has images 0 to {made.images - 1}, not {position}")
    own = made.items[position].space
    if space == "z" != own:
        raise InvalidRequest(f"translation {translation} is in {own}, and these directions move z: find those of w")
