"""Submitting a `look` job: an uploaded image goes through models, and units are ranked by how they answer to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from celery import Celery

from rosetta.errors import InvalidRequest, NotFound
from rosetta.image_search import ImageAnswer, ImageMatch
from rosetta.results import Job
from service import jobs
from service.database.schema import models, probe_sets, profiles
from service.engine_version import ENGINE_VERSION
from service.pictures.boxes import image_size, is_seen_whole, region_of
from service.pictures.cache import maps_key
from service.queries import names
from service.queries.comparisons import not_mined
from service.settings import Settings
from service.uploads import check_still, uploaded_image

MOST_MODELS = 32
KEPT = 200  # units of a model, and of all of them together: nobody reads further


@dataclass(frozen=True)
class Look:
    """An image, and who looks at it.

    Attributes:
        key: the same for the same question.
        models: rows of them.
        probe_set: row of the one that activations are held against.
        digest: of the image.
        region: the box as shares of the square that networks see; None: all of it.
        cut: whether the box reaches out of that square; what lies outside does not count.
    """

    key: str
    models: tuple[sa.Row[Any], ...]
    probe_set: sa.Row[Any]
    digest: str
    region: tuple[float, float, float, float] | None
    cut: bool


def look_at(
    conn: sa.Connection,
    settings: Settings,
    image: str,
    *,
    box: Sequence[float] | None = None,
    within: str | None = None,
    probe: str | None = None,
) -> Look:
    """What a search by image asks for.

    Args:
        conn: where to look names up.
        settings: say where uploads lie.
        image: the sha256 of an uploaded image.
        box: x, y, width, height in pixels of it; None: the whole image.
        within: a model, a family or a nickname; None: every model that looks at images.
        probe: the probe set; None: the one on which one of the models was mined last.

    Raises:
        NotFound: when the image was not uploaded, a name is unknown, or nothing was mined.
        InvalidRequest: when the image has several pictures, a box is none, or a model looks at no images.
    """
    path = uploaded_image(settings, image)
    check_still(path, image[:12])
    size = image_size(path)
    region = None if box is None else region_of(box, *size)
    rows = looking(conn, within)
    probe_set = _probe_set(conn, rows, probe)
    mined = set(conn.scalars(sa.select(profiles.c.model_id).where(profiles.c.probe_set_id == probe_set.id)))
    chosen = [row for row in rows if row.id in mined]
    if not chosen:
        raise not_mined(",".join(row.name for row in rows), None, probe_set.name)
    if len(chosen) > MOST_MODELS:
        raise InvalidRequest(f"{len(chosen)} models are more than the {MOST_MODELS} that look at once: name one")
    asked = [image, region, probe_set.digest, [[row.id, row.weights_digest] for row in chosen], ENGINE_VERSION]
    key = f"look {hashlib.sha256(json.dumps(asked).encode()).hexdigest()}"
    return Look(key, tuple(chosen), probe_set, image, region, cut=box is not None and not is_seen_whole(box, *size))


def submit_look(engine: sa.Engine, celery: Celery, look: Look, *, again: bool = False) -> Job:
    """The job that ranks the units of the models; the finished one when that was done before.

    Args:
        engine: of the store.
        celery: to ring with.
        look: what is asked.
        again: do it though it was done: the maps it made are no longer kept.
    """
    with engine.connect() as connection:
        if not again and (done := jobs.finished(connection, look.key)):
            return done
    parameters = {
        "image": look.digest,
        "probe": look.probe_set.name,
        "models": [row.name for row in look.models],
        **({"region": list(look.region)} if look.region else {}),
    }
    payload = {
        "models": [row.id for row in look.models],
        "sources": {str(row.id): [row.source, row.weights_digest] for row in look.models},
        "images": len(look.models),
    }
    job_id = jobs.create(engine, "look", look.key, parameters, [payload])
    jobs.ring(engine, celery, job_id)
    with engine.connect() as connection:
        return jobs.get(connection, job_id)


def answer_of(look: Look, job: Job, top: int) -> ImageAnswer:
    """What a finished job found, the best first."""
    result = job.result or {}
    left_out, notes = int(result["left_out"]), []
    if look.cut:
        notes.append("only the part of the box inside the central square counts, which is what networks see")
    if left_out:
        notes.append(f"{left_out:,} units were left out: their maps have one position, which has no inside")
    return ImageAnswer(
        items=tuple(ImageMatch(rank=rank, **match) for rank, match in enumerate(result["matches"][:top], start=1)),
        probe_set=look.probe_set.name,
        models=tuple(row.name for row in look.models),
        left_out=left_out,
        note="; ".join(notes) or None,
    )


def looked_key(image: str, size: int, source: str, weights_digest: str, layer: str) -> str:
    """What decides a layer's maps on an uploaded image, in a few hexadecimal digits: among the pictures, as image 0.

    Args:
        image: sha256 of the image.
        size: side of the square that networks see, pixels.
        source: of the model.
        weights_digest: of the model.
        layer: module path.
    """
    return maps_key(f"{image} {size}", source, weights_digest, layer)


def looking(conn: sa.Connection, within: str | None = None) -> Sequence[sa.Row[Any]]:
    """The models that look at images, of some name or all.

    Raises:
        NotFound: when the name is unknown, or there is none.
        InvalidRequest: when those of that name look at none.
    """
    looks = sa.and_(~models.c.is_generator, models.c.recorded_on.is_(None))
    if within is None:
        rows = conn.execute(sa.select(models).where(looks).order_by(models.c.name)).all()
        if not rows:
            raise NotFound("no model here looks at images: register one with `rosetta models add`, and mine it")
        return rows
    named = names.resolve_models(conn, within)
    rows = [row for row in named if not row.is_generator and row.recorded_on is None]
    if not rows:
        raise InvalidRequest(
            f"{', '.join(row.name for row in named)} looks at no image, as generators and recordings do not: name "
            "another model",
            model=within,
        )
    return rows


def _probe_set(conn: sa.Connection, rows: Sequence[sa.Row[Any]], probe: str | None) -> sa.Row[Any]:
    if probe is not None:
        return names.probe_row(conn, probe)
    newest = (
        sa.select(*probe_sets.c)
        .join(profiles, profiles.c.probe_set_id == probe_sets.c.id)
        .where(profiles.c.model_id.in_([row.id for row in rows]))
        .order_by(profiles.c.created_at.desc(), probe_sets.c.id.desc())
        .limit(1)
    )
    row = conn.execute(newest).one_or_none()
    if row is None:
        raise not_mined(",".join(row.name for row in rows), None, None)
    return row
