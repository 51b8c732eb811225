"""Submitting a `pictures` job: models' maps on some images of a probe set, and images that a generator makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.results import Job
from service import jobs
from service.database import schema
from service.jobs.life import UNFINISHED
from service.pictures.cache import maps_key, version_of_images


def submit_pictures(
    engine: sa.Engine,
    celery: Celery,
    *,
    wanted: Sequence[tuple[sa.Row[Any], Sequence[str]]],
    probe_set: sa.Row[Any],
    positions: Collection[int],
    needed: Collection[int] | None = None,
) -> Job:
    """The job that writes those pictures which are not kept already; an unfinished one that does, if there is one.

    Args:
        engine: of the store.
        celery: to ring with.
        wanted: rows of models, with the layers of each whose maps to write, those of all channels; no layers: the
            probe set's images alone.
        probe_set: its row; the models were mined on it, or make its images.
        positions: of images in the probe set.
        needed: those among them that an unfinished job has to write, to be the answer; None: all.
    """
    images = sorted(set(positions))
    models = [
        {
            "id": model.id,
            "name": model.name,
            "layers": {
                layer: maps_key(probe_set.digest, model.source, model.weights_digest, layer) for layer in sorted(layers)
            },
        }
        for model, layers in sorted(wanted, key=lambda pair: pair[0].id)
    ]
    of_images = version_of_images(probe_set.digest) if probe_set.kind == "generator" else None
    same = {
        "probe_images": of_images,
        "models": [{"layers": model["layers"]} for model in models if model["layers"]],
        "positions": images if needed is None else sorted(needed),
    }
    job_id = _unfinished(engine, same)
    if job_id is None:
        parameters = {
            "probe": probe_set.name,
            "models": [model["name"] for model in models],
            "layers": sorted({layer for model in models for layer in model["layers"]}),
            "positions": images,
        }
        payload = {"probe_images": of_images, "models": models, "positions": images, "images": len(images)}
        text = json.dumps([probe_set.digest, models, images], sort_keys=True)
        key = f"pictures {hashlib.sha256(text.encode()).hexdigest()}"
        job_id = jobs.create(engine, "pictures", key, parameters, [payload])
        jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _unfinished(engine: sa.Engine, wanted: dict[str, Any]) -> int | None:
    """The oldest unfinished job whose payload has all that is wanted in it, such as that of a whole page."""
    found = (
        sa.select(sa.func.min(schema.jobs.c.id))
        .join(schema.job_parts, schema.job_parts.c.job_id == schema.jobs.c.id)
        .where(
            schema.jobs.c.kind == "pictures",
            schema.jobs.c.state.in_(UNFINISHED),
            schema.job_parts.c.payload.contains(wanted),
        )
    )
    with engine.connect() as connection:
        job_id: int | None = connection.scalar(found)
    return job_id
