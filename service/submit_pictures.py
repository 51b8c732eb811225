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
from service.pictures.cache import maps_key


def submit_pictures(
    engine: sa.Engine,
    celery: Celery,
    *,
    wanted: Sequence[tuple[sa.Row[Any], Sequence[str]]],
    probe_set: sa.Row[Any],
    positions: Collection[int],
) -> Job:
    """The job that writes those pictures which are not kept already; the unfinished one of the same request, if any.

    Args:
        engine: of the store.
        celery: to ring with.
        wanted: rows of models, with the layers of each whose maps to write, those of all channels; no layers: the
            probe set's images alone.
        probe_set: its row; the models were mined on it, or make its images.
        positions: of images in the probe set.
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
    parameters = {
        "probe": probe_set.name,
        "models": [model["name"] for model in models],
        "layers": sorted({layer for model in models for layer in model["layers"]}),
        "positions": images,
    }
    payload = {"models": models, "positions": images, "images": len(images)}
    text = json.dumps([probe_set.digest, models, images], sort_keys=True)
    key = f"pictures {hashlib.sha256(text.encode()).hexdigest()}"
    job_id = jobs.create(engine, "pictures", key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
