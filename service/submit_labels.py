"""Submitting jobs that label units and concepts: by an image-text model, and by masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest
from rosetta.results import Job
from service import jobs
from service.database import schema
from service.engine_version import ENGINE_VERSION
from service.queries.comparisons import not_mined
from service.queries.image_text import image_text_model
from service.queries.labels import LONGEST_TEXT, plain_text
from service.queries.masks import mask_words
from service.queries.names import model_row, probe_row

EACH, Q_VALUE = 1, 0.05
QUANTILE, LEAST_IOU = 0.005, 0.04  # Bau et al. 2017, "Network Dissection"
MOST_EACH, MOST_WORDS = 20, 50_000
_FEWEST, _MOST = 10, 100  # top images of a unit: a twentieth of all, between these


def submit_text_labels(
    engine: sa.Engine,
    celery: Celery,
    *,
    probe: str,
    models: Sequence[str] | None = None,
    words: Sequence[str] | None = None,
    image_text: str | None = None,
    each: int = EACH,
    top: int | None = None,
    q_value: float = Q_VALUE,
) -> Job:
    """The job that labels units by the words that an image-text model sees in their top images.

    Args:
        engine: of the store.
        celery: to ring with.
        probe: the probe set's name.
        models: names; None: all that were mined on it.
        words: to choose from; None: the built-in ones.
        image_text: the image-text model's name; None: the only one.
        each: words a unit at most.
        top: images of a unit that count; None: a twentieth of all, 10 to 100.
        q_value: only words below it are kept.

    Raises:
        NotFound: when a name is unknown, with the nearest ones, or a model was not mined.
        InvalidRequest: when a number is none, a word is none, or there is no image-text model to go by.
    """
    if not 1 <= each <= MOST_EACH:
        raise InvalidRequest(f"a unit gets between 1 and {MOST_EACH} words, not {each}", each=each)
    if not 0 < q_value <= 1:
        raise InvalidRequest(f"a q-value lies above 0 and up to 1: {q_value} does not", q_value=q_value)
    chosen = None if words is None else _words(words)
    with engine.connect() as connection:
        probe_set = probe_row(connection, probe)
        guide = image_text_model(connection, image_text)
        mined = _mined(connection, probe_set, models)
    count = probe_set._mapping["count"]  # `.count` is a method of tuples
    if top is None:
        top = min(max(_FEWEST, count // 20), _MOST, max(1, count // 2))
    if not 1 <= top < count:
        raise InvalidRequest(
            f"top images lie between 1 and {count - 1}, those of the probe set: {top} does not", top=top
        )
    parameters = {
        "probe": probe_set.name,
        "models": [row.name for row in mined],
        "image_text": guide.name,
        "words": "built-in" if chosen is None else len(chosen),
        "each": each,
        "top": top,
        "q_value": q_value,
    }
    payload = {"models": [row.id for row in mined], "image_text": guide.id, "words": chosen, "images": count}
    return _submit(engine, celery, "label_text", parameters, payload)


def submit_mask_labels(
    engine: sa.Engine,
    celery: Celery,
    *,
    probe: str,
    models: Sequence[str] | None = None,
    words: Sequence[str] | None = None,
    quantile: float = QUANTILE,
    least_iou: float = LEAST_IOU,
) -> Job:
    """The job that labels units by the masks that they overlap with.

    Args:
        engine: of the store.
        celery: to ring with.
        probe: the probe set's name.
        models: names; None: all that were mined on it.
        words: of its masks; None: all.
        quantile: the part of all its activations for which a unit is on.
        least_iou: only words of a larger intersection over union are kept.

    Raises:
        NotFound: when a name is unknown, with the nearest ones, or a model was not mined.
        InvalidRequest: when a number is none, or the probe set has no such masks.
    """
    if not 0 < quantile < 1:
        raise InvalidRequest(f"a quantile lies between 0 and 1: {quantile} does not", quantile=quantile)
    if not 0 <= least_iou < 1:
        raise InvalidRequest(f"an intersection over union lies from 0 to below 1: {least_iou} does not")
    with engine.connect() as connection:
        probe_set = probe_row(connection, probe)
        there = mask_words(connection, probe_set.id)
        mined = _mined(connection, probe_set, models)
    if not there:
        raise InvalidRequest(
            f"probe set '{probe}' has no masks: `rosetta probes masks {probe} --masks DIR` gives it some", probe=probe
        )
    chosen = there if words is None else _words(words)
    if missing := [word for word in chosen if word not in there]:
        raise InvalidRequest(f"probe set '{probe}' has no masks of '{missing[0]}': it has {', '.join(there)}")
    parameters = {
        "probe": probe_set.name,
        "models": [row.name for row in mined],
        "words": chosen,
        "quantile": quantile,
        "least_iou": least_iou,
    }
    payload = {"models": [row.id for row in mined], "images": 2 * probe_set._mapping["count"]}
    return _submit(engine, celery, "label_masks", parameters, payload)


def _submit(engine: sa.Engine, celery: Celery, kind: str, parameters: dict[str, Any], payload: dict[str, Any]) -> Job:
    """The job; the unfinished one of the same request. A finished one says nothing: labels may be removed since."""
    text = json.dumps([parameters, payload, ENGINE_VERSION], sort_keys=True)
    job_id = jobs.create(engine, kind, f"{kind} {hashlib.sha256(text.encode()).hexdigest()}", parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def _words(words: Sequence[str]) -> list[str]:
    """The words as they are stored, each once.

    Raises:
        InvalidRequest: when there is none, there are too many, or one is empty or too long.
    """
    plain = list(dict.fromkeys(plain_text("word", word, LONGEST_TEXT) for word in words))
    if not 1 <= len(plain) <= MOST_WORDS:
        raise InvalidRequest(f"there are {len(plain):,} words to choose from: give 1 to {MOST_WORDS:,}")
    return plain


def _mined(connection: sa.Connection, probe_set: sa.Row[Any], names: Sequence[str] | None) -> list[sa.Row[Any]]:
    """The models of those names, or all, that were mined on the probe set; ordered by id."""
    profiles, models = schema.profiles.c, schema.models
    mined = sa.select(models).join(schema.profiles, profiles.model_id == models.c.id)
    rows = connection.execute(mined.where(profiles.probe_set_id == probe_set.id).order_by(models.c.id)).all()
    if names is None:
        if not rows:
            raise InvalidRequest(
                f"nothing is mined on probe set '{probe_set.name}' yet: "
                f"`rosetta mine --probe {probe_set.name}` comes first",
                probe=probe_set.name,
            )
        return list(rows)
    if not names:
        raise InvalidRequest("name the models to label, or leave `models` out to label all that were mined")
    wanted = {model_row(connection, name).id: name for name in names}
    for model_id, name in wanted.items():
        if model_id not in {row.id for row in rows}:
            raise not_mined(name, None, probe_set.name)
    return [row for row in rows if row.id in wanted]
