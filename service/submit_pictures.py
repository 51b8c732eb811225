"""Submitting a `pictures` job: a model's maps on some images of a probe set, and images that a generator makes."""

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
    model: sa.Row[Any],
    layers: Sequence[str],
    probe_set: sa.Row[Any],
    positions: Collection[int],
) -> Job:
    """The job that writes those pictures which are not kept already; the unfinished one of the same request, if any.

    Args:
        engine: of the store.
        celery: to ring with.
        model: its row.
        layers: whose maps to write, those of all channels; none: the probe set's images alone.
        probe_set: its row; the model was mined on it, or makes its images.
        positions: of images in the probe set.
    """
    images = sorted(set(positions))
    keys = {layer: maps_key(probe_set.digest, model.source, model.weights_digest, layer) for layer in layers}
    parameters = {"probe": probe_set.name, "models": [model.name], "layers": list(layers), "positions": images}
    payload = {"model": model.id, "layers": keys, "positions": images, "images": len(images)}
    text = json.dumps([probe_set.digest, model.id, keys, images], sort_keys=True)
    key = f"pictures {hashlib.sha256(text.encode()).hexdigest()}"
    job_id = jobs.create(engine, "pictures", key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)
