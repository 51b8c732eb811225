"""Submitting an inversion or an edit: a recipe becomes a job; one that was carried out here is not done again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.recipes import Recipe, Weights
from rosetta.results import Job
from service import jobs
from service.database.schema import translations
from service.engine_version import ENGINE_VERSION
from service.queries import names
from service.settings import Settings


def submit_recipe(engine: sa.Engine, celery: Celery, recipe: Recipe, *, again: bool = False) -> Job:
    """The job that carries out a recipe; the finished one when that was done and its result is still there.

    Args:
        engine: of the store.
        celery: to ring with.
        recipe: what to do.
        again: do it though it was done.

    Raises:
        NotFound: when there is no such model or probe set here.
        InvalidRequest: when a model has other weights here than in the recipe.
    """
    with engine.connect() as connection:
        generator, *others = [_model(connection, weights) for weights in (recipe.generator, *recipe.models)]
        probe_set = names.probe_row(connection, recipe.probe_set)
        key = f"{recipe.kind} {hashlib.sha256(_text(recipe).encode()).hexdigest()}"
        if not again and (done := jobs.finished(connection, key)):
            made = sa.select(translations.c.id).where(translations.c.job_id == done.id)
            if connection.scalar(made) is not None:
                return done
    parameters = {
        "generator": generator.name,
        "models": [row.name for row in others],
        "probe": probe_set.name,
        "pairs": len(recipe.pairs),
        "steps": recipe.optimiser.steps,
        **({"translation": recipe.parent, "edits": [one["kind"] for one in recipe.edits]} if recipe.edits else {}),
    }
    payload = {
        "recipe": recipe.as_json(),
        "generator": generator.id,
        "models": [row.id for row in others],
        "images": len(recipe.images) * recipe.optimiser.steps,
    }
    kind = "invert" if recipe.kind == "inversion" else "edit"
    job_id = jobs.create(engine, kind, key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def preview_path(settings: Settings, job: int) -> Path:
    """Where the preview of a running job is, WebP."""
    return settings.checkpoints_dir / f"{job}.webp"


def _model(connection: sa.Connection, weights: Weights) -> sa.Row[Any]:
    """The model of that name, whose weights are those of the recipe."""
    row = names.model_row(connection, weights.name)
    if row.weights_digest != weights.weights_digest:
        raise InvalidRequest(
            f"the recipe is of {weights.name} with weights {weights.weights_digest[:12]}, and here it has "
            f"{row.weights_digest[:12]}: register the model with those weights",
            model=weights.name,
        )
    return row


def _text(recipe: Recipe) -> str:
    return json.dumps([recipe.as_json(), ENGINE_VERSION], sort_keys=True)
